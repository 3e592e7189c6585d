/* batch: starts and stops of many over HTTP. Checks what is asked, makes it an operation (node/batch.h) that
 * this node coordinates, and waits for its end, if the client wants to.
 *
 * Under an Idempotency-Key the operation's id is a digest of the key: a repeat through any node finds it,
 * also when the one that was asked first is gone.
 */
#include <stdio.h>
#include <string.h>

#include "api/api.h"
#include "api/operation.h"
#include "api/plan.h"
#include "node/batch.h"
#include "node/spec.h"
#include "wire/digest.h"

#define MANY_MAX       100000
#define CHILD_BYTES    API_BODY_BYTES /* of one specification, as of a single start */
#define TIMEOUT_MS     5000           /* unless said otherwise … */
#define TIMEOUT_ONE_MS 1              /* … and so much more a name */

/* ---- arguments ---- */

struct one {
    struct spec spec;
    char *name;
    struct span metadata;
};
static const struct json_field one_fields[] = {
    SPEC_ROWS, JSON_FIELD(struct one, name, JSON_NAME, .required = true),
    JSON_FIELD(struct one, metadata, JSON_RAW_OBJECT, .nullable = true)};
static const struct one one_defaults = {.spec = SPEC_DEFAULTS};
static const struct json_table one_table = JSON_TABLE(struct one, one_fields, .defaults = &one_defaults);

struct start_body {
    struct json_array children;
    int mode, on_failure;
    struct span metadata, child_metadata, child_mapping;
    bool await;
};
struct start_query {
    bool dry_run;
};
static const struct uri_param start_params[] = {URI_PARAM(struct start_query, dry_run, URI_BOOL)};
static const struct json_field start_fields[] = {
    JSON_FIELD(struct start_body, children, JSON_OBJECTS, .required = true, .max = MANY_MAX,
               .inner = &one_table),
    JSON_FIELD(struct start_body, mode, JSON_WORD, .words = batch_mode_words),
    JSON_FIELD(struct start_body, on_failure, JSON_WORD, .words = batch_failure_words),
    JSON_FIELD(struct start_body, metadata, JSON_RAW_OBJECT, .nullable = true),
    JSON_FIELD(struct start_body, child_metadata, JSON_RAW_OBJECT, .nullable = true),
    JSON_FIELD(struct start_body, child_mapping, JSON_RAW, .nullable = true),
    JSON_FIELD(struct start_body, await, JSON_BOOL)};
static const struct start_body start_defaults = {.await = true};
static const struct json_table start_table =
    JSON_TABLE(struct start_body, start_fields, .defaults = &start_defaults);

struct stop_body {
    struct json_strings names;
    bool await;
};
static const struct json_field stop_fields[] = {
    JSON_FIELD(struct stop_body, names, JSON_STRINGS, .required = true, .bytes_max = 1024, .max = MANY_MAX),
    JSON_FIELD(struct stop_body, await, JSON_BOOL)};
static const struct stop_body stop_defaults = {.await = true};
static const struct json_table stop_table =
    JSON_TABLE(struct stop_body, stop_fields, .defaults = &stop_defaults);

/* ---- the names of a batch ---- */

struct known {
    const char *name;
    size_t at; /* in wants */
    struct one *one;
    struct json_strings mapped; /* its nodes, as child_mapping says; owned */
    bool own_metadata, own_nodes;
    UT_hash_handle hh;
};

struct many {
    struct batch_want *wants; /* names and spans are borrowed */
    size_t n;
    const char **twice;
    size_t twice_n;
    struct known *list, *index;
    char **specs; /* what the wants' specs lie in */
    size_t specs_n;
};

static void many_init(struct many *m, size_t n)
{
    *m = (struct many){.wants = mem_array(n + 1, sizeof *m->wants),
                       .twice = mem_array(n + 1, sizeof *m->twice),
                       .list = mem_array(n + 1, sizeof *m->list),
                       .specs = mem_array(n + 1, sizeof *m->specs)};
}

static void many_fini(struct many *m)
{
    HASH_CLEAR(hh, m->index);
    for (size_t i = 0; i < m->n; i++)
        json_strings_fini(&m->list[i].mapped);
    for (size_t i = 0; i < m->specs_n; i++)
        free(m->specs[i]);
    free(m->specs);
    free(m->wants);
    free(m->twice);
    free(m->list);
}

static struct known *many_find(struct many *m, const char *name)
{
    struct known *k;
    HASH_FIND_STR(m->index, name, k);
    return k;
}

/* NULL: it stands there already. */
static struct known *many_add(struct many *m, const char *name)
{
    if (many_find(m, name)) {
        m->twice[m->twice_n++] = name;
        return NULL;
    }
    struct known *k = &m->list[m->n];
    *k = (struct known){.name = name, .at = m->n};
    m->wants[m->n++] = (struct batch_want){.name = (char *)(uintptr_t)name};
    HASH_ADD_KEYPTR(hh, m->index, k->name, strlen(k->name), k);
    return k;
}

/* Most children of a batch are alike: one text for those that follow each other. */
static void many_spec(struct many *m, struct batch_want *w, const struct spec *spec)
{
    struct str text = STR_INIT;
    spec_write(spec, &text);
    const char *last = m->specs_n ? m->specs[m->specs_n - 1] : NULL;
    if (last && strcmp(last, str_get(&text)) == 0)
        str_fini(&text);
    else
        last = m->specs[m->specs_n++] = str_take(&text);
    w->spec = (struct span){last, strlen(last)};
}

static int each_metadata(struct many *m, struct span all, struct err *e)
{
    struct json_iter it = json_iter_init(all);
    struct span key, value;
    while (all.p && json_iter_next(&it, &key, &value)) {
        AUTOSTR struct str name = STR_INIT;
        json_unquote(key, &name);
        struct known *k = many_find(m, str_get(&name));
        if (!k)
            return err_field(e, SKEP_EARG, "child_metadata", "no child of this batch is called %.200s",
                             str_get(&name));
        if (k->own_metadata)
            return err_field(e, SKEP_EARG, "child_metadata",
                             "%.200s has metadata of its own in the batch; say it in one place",
                             str_get(&name));
        if (json_type(value) != JSON_T_OBJECT)
            return err_field(e, SKEP_EARG, "child_metadata", "of %.200s it must be an object",
                             str_get(&name));
        m->wants[k->at].metadata = value;
    }
    return 0;
}

struct nodes {
    struct json_strings nodes;
};
static const struct json_field nodes_fields[] = {
    JSON_FIELD(struct nodes, nodes, JSON_STRINGS, .bytes_max = 1024, .max = 1000)};
static const struct json_table nodes_table = JSON_TABLE(struct nodes, nodes_fields);

/* The nodes that a mapping names for a child, into its specification. */
static int map_one(struct many *m, struct span key, struct span value, struct err *e)
{
    AUTOSTR struct str name = STR_INIT, object = STR_INIT;
    json_unquote(key, &name);
    struct known *k = many_find(m, str_get(&name));
    if (!k)
        return err_field(e, SKEP_EARG, "child_mapping",
                         "child_mapping_mismatch: no child of this batch is called %.200s", str_get(&name));
    if (k->own_nodes)
        return err_field(e, SKEP_EARG, "child_mapping",
                         "invalid_child_mapping: %.200s has \"nodes\" of its own in the batch; say it in one "
                         "place",
                         str_get(&name));
    struct nodes nodes = {0};
    str_printf(&object, "{\"nodes\":%.*s}", (int)value.n, value.p);
    if (json_read(str_get(&object), object.n, &nodes_table, &nodes, NULL) < 0 || nodes.nodes.n == 0) {
        json_release(&nodes_table, &nodes);
        return err_field(e, SKEP_EARG, "child_mapping",
                         "invalid_child_mapping: of %.200s it must be an array of names of nodes",
                         str_get(&name));
    }
    struct spec spec = k->one->spec; /* the body stays as it came: it may be read again */
    spec.nodes = k->mapped = nodes.nodes;
    many_spec(m, &m->wants[k->at], &spec);
    return 0;
}

static int each_mapping(const struct start_body *b, struct many *m, struct err *e)
{
    struct json_iter it = json_iter_init(b->child_mapping);
    struct span key, value;
    int rc = 0;
    if (b->child_mapping.p && json_type(b->child_mapping) != JSON_T_OBJECT)
        return err_field(e, SKEP_EARG, "child_mapping",
                         "invalid_child_mapping: it must be an object, {\"w1\":[\"a\"]}");
    while (rc == 0 && b->child_mapping.p && json_iter_next(&it, &key, &value))
        rc = map_one(m, key, value, e);
    return rc;
}

static const struct json_strings *nodes_of(const struct known *k)
{
    return k->mapped.n ? &k->mapped : &k->one->spec.nodes;
}

/* What the swarm asks of the nodes that its children name. A child that a mapping forgot is blamed on it. */
static int nodes_fit(struct node *n, const char *swarm, const struct start_body *b, const struct many *m,
                     struct err *e)
{
    for (size_t i = 0; i < m->n; i++) {
        const struct json_strings *nodes = nodes_of(&m->list[i]);
        int rc = plan_check(n, swarm, "child_mapping", m->list[i].name, nodes, e);
        if (rc < 0 && nodes->n == 0 && b->child_mapping.p)
            return err_field(e, SKEP_EARG, "child_mapping",
                             "child_mapping_mismatch: it says no node for %.200s", m->list[i].name);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int plan(struct node *n, struct op *op, const struct call *c, const struct many *m)
{
    AUTOFREE struct plan_name *names = mem_array(m->n, sizeof *names);
    if (!node_open_now(n)) {
        op_wait_open(n, op);
        return 0;
    }
    for (size_t i = 0; i < m->n; i++)
        names[i] = (struct plan_name){m->list[i].name, nodes_of(&m->list[i])->list};
    return plan_answer(n, op, c->param[0], names, m->n);
}

/* No child may be larger than it may be alone: its rows are as large. */
static int sizes_check(const struct start_body *b, const struct many *m, struct err *e)
{
    if (b->metadata.n > CHILD_BYTES)
        return err_field(e, SKEP_ETOOLARGE, "metadata", "it may have %u bytes", CHILD_BYTES);
    for (size_t i = 0; i < m->n; i++)
        if (m->wants[i].spec.n + m->wants[i].metadata.n > CHILD_BYTES)
            return err_field(e, SKEP_ETOOLARGE, "children",
                             "%.200s has more than the %u bytes that one may have", m->wants[i].name,
                             CHILD_BYTES);
    return 0;
}

static int many_read(struct start_body *b, struct many *m, struct err *e)
{
    struct one *list = b->children.list;
    many_init(m, b->children.n * 2);
    if (b->children.n == 0)
        return err_field(e, SKEP_EARG, "children", "there must be at least one");
    for (size_t i = 0; i < b->children.n; i++) {
        if (spec_check(&list[i].spec, e) < 0) {
            AUTOFREE char *field = mem_dup(e->field);
            snprintf(e->field, sizeof e->field, "children[%zu].%s", i, field);
            return e->code;
        }
        struct known *k = many_add(m, list[i].name);
        if (!k)
            continue;
        k->one = &list[i];
        k->own_metadata = list[i].metadata.p != NULL;
        k->own_nodes = list[i].spec.nodes.n > 0;
        m->wants[k->at].metadata = list[i].metadata;
        many_spec(m, &m->wants[k->at], &list[i].spec);
    }
    int rc = each_metadata(m, b->child_metadata, e);
    if (rc == 0)
        rc = each_mapping(b, m, e);
    return rc < 0 ? rc : sizes_check(b, m, e);
}

static int names_read(const struct stop_body *b, struct many *m, struct err *e)
{
    many_init(m, b->names.n);
    if (b->names.n == 0)
        return err_field(e, SKEP_EARG, "names", "there must be at least one");
    for (size_t i = 0; i < b->names.n; i++) {
        char field[32];
        snprintf(field, sizeof field, "names[%zu]", i);
        if (name_check(b->names.list[i], strlen(b->names.list[i]), field, e) < 0)
            return e->code;
        many_add(m, b->names.list[i]); /* one that stands there twice is stopped once */
    }
    return 0;
}

/* ---- serving ---- */

static char *operation_id(const struct op *op)
{
    char text[ID_TEXT];
    unsigned char sum[DIGEST_BYTES];
    struct str hex = STR_INIT;
    if (!op->request->idempotency_key)
        return mem_dup(id_text(&op->id, text));
    AUTOFREE char *key = op_idem_key(op->request);
    digest_sha256(key, strlen(key), sum);
    str_hex(&hex, sum, sizeof(struct id));
    return str_take(&hex);
}

static int answer_accepted(struct node *n, struct op *op)
{
    struct str body = STR_INIT;
    str_printf(&body, "{\"operation\":\"%s\"}", op->memo);
    api_answer_copies(n, op, 202, &body, NULL, store_written(n->store), 1);
    return 0;
}

static int answer_refused(struct node *n, struct op *op, int code, struct str *names)
{
    struct err e;
    AUTOSTR struct str extras = STR_INIT;
    err_set(&e, code,
            code == SKEP_ENONODE ? "no node may take some of these names, so none was started; "
                                   "\"mode\":\"each\" starts the others"
                                 : "some of these names run already, so none was started; "
                                   "\"mode\":\"missing\" starts the others");
    str_printf(&extras, "\"names\":%s,\"operation\":\"%s\"", str_get(names), op->memo);
    op_fail(n, op, &e, (struct span){str_get(&extras), extras.n});
    return 0;
}

/* Nothing of it was written. */
static int answer_unplaced(struct node *n, struct op *op, const struct str *names, const struct err *why)
{
    AUTOSTR struct str extras = STR_INIT;
    str_printf(&extras, "\"names\":%s", str_get(names));
    op_fail(n, op, why, (struct span){str_get(&extras), extras.n});
    return 0;
}

/* It has begun: has it ended? */
static int outcome(struct node *n, struct op *op)
{
    struct operation_row row = {.operation = mem_dup(op->memo)};
    struct str body = STR_INIT;
    AUTOSTR struct str names = STR_INIT;
    bool ends = false;
    int refused = 0;
    int rc = store_load(n->store, T_OPERATION, &row, &n->fault);
    bool ended = rc == 1 && row.ended_at;
    if (ended)
        rc = operation_result(n, &row, &body, &names, &refused);
    if (ended) /* every home hears of the end of its names before the client does */
        ends = strcmp(row.kind, "stop") == 0 || strcmp(row.state, "rolling_back") == 0;
    row_fini(T_OPERATION, &row);
    if (rc < 0 || !ended)
        op_wait_key(n, op, BATCH_KEY, op->memo);
    else if (refused)
        answer_refused(n, op, refused, &names);
    else
        api_answer_owned(n, op, 200, &body, NULL, store_written(n->store), ends ? INT16_MAX : 1);
    str_fini(&body);
    return rc < 0 ? rc : 0;
}

/* A repeat, whose first request another node may have got. 1: there is none. */
static int repeated(struct node *n, struct op *op, const char *request)
{
    struct operation_row row = {.operation = mem_dup(op->memo)};
    struct batch_options o;
    int rc = store_load(n->store, T_OPERATION, &row, &n->fault);
    if (rc == 1) {
        struct err e;
        batch_options_read(&row, &o);
        bool same = o.request && request && strcmp(o.request, request) == 0;
        batch_options_fini(&o);
        row_fini(T_OPERATION, &row);
        if (same)
            return 0;
        err_field(&e, SKEP_EKEYREUSED, "Idempotency-Key",
                  "this key came with another request before; a new request needs a new key");
        api_fail(n, op, &e);
        return 2;
    }
    row_fini(T_OPERATION, &row);
    return rc < 0 ? rc : 1;
}

static int wait_or_go(struct node *n, struct op *op, bool await)
{
    op->st.step = 1;
    return await ? outcome(n, op) : answer_accepted(n, op);
}

static int begin(struct node *n, struct op *op, const struct call *c, struct batch_order *o, struct many *m,
                 bool await)
{
    AUTOFREE char *request = op->request->idempotency_key ? op_idem_request(op->request) : NULL;
    AUTOSTR struct str refused = STR_INIT;
    struct err why;
    int rc = api_swarm_known(n, op, c->param[0]);
    if (rc <= 0)
        return rc;
    if (!c->common.timeout_said)
        op->deadline_ms = n->now_ms + TIMEOUT_MS + TIMEOUT_ONE_MS * (int64_t)(m->n + m->twice_n);
    if (!op->memo)
        op->memo = operation_id(op);
    if (!node_open_now(n)) {
        op_wait_open(n, op);
        return 0;
    }
    if ((rc = repeated(n, op, request)) != 1)
        return rc == 0 ? wait_or_go(n, op, await) : rc < 0 ? rc : 0;
    o->id = op->memo;
    o->swarm = c->param[0];
    o->who = op->request->who.name;
    o->options.request = request;
    o->options.total = (int64_t)(m->n + m->twice_n);
    o->wants = m->wants;
    o->wants_n = m->n;
    o->twice = m->twice;
    o->twice_n = m->twice_n;
    if ((rc = batch_begin(n, o, &refused, &why)) != 0)
        return rc < 0 ? rc : answer_unplaced(n, op, &refused, &why);
    free(op->extras);
    op->extras = mem_printf("\"operation\":\"%s\"", op->memo);
    return wait_or_go(n, op, await);
}

static int start_serve(struct node *n, struct op *op, const struct call *c)
{
    struct start_body *b = c->body;
    CLEANUP(many_fini) struct many m = {0};
    struct err e;
    if (op->st.step == 1)
        return b->await ? outcome(n, op) : answer_accepted(n, op);
    if (many_read(b, &m, &e) < 0)
        return api_fail(n, op, &e);
    int rc = api_swarm_known(n, op, c->param[0]);
    if (rc <= 0)
        return rc;
    if (nodes_fit(n, c->param[0], b, &m, &e) < 0)
        return api_fail(n, op, &e);
    if (((const struct start_query *)c->query)->dry_run)
        return plan(n, op, c, &m);
    struct batch_order o = {
        .kind = "start", .options = {.mode = b->mode, .on_failure = b->on_failure, .metadata = b->metadata}};
    return begin(n, op, c, &o, &m, b->await);
}

static int stop_serve(struct node *n, struct op *op, const struct call *c)
{
    const struct stop_body *b = c->body;
    CLEANUP(many_fini) struct many m = {0};
    struct err e;
    if (op->st.step == 1)
        return b->await ? outcome(n, op) : answer_accepted(n, op);
    if (names_read(b, &m, &e) < 0)
        return api_fail(n, op, &e);
    m.twice_n = 0;
    struct batch_order o = {.kind = "stop", .options = {.mode = BATCH_EACH}};
    return begin(n, op, c, &o, &m, b->await);
}

const struct route batch_routes[] = {
    {HTTP_M_POST, "/v1/swarms/{swarm}/children", ROLE_WRITE, API_BRAIN, API_BIG_BODY_BYTES, true,
     .query = start_params, .query_n = COUNT(start_params), .query_bytes = sizeof(struct start_query),
     .body = &start_table, .serve = start_serve, .about = "Start many processes in one call."},
    {HTTP_M_POST, "/v1/swarms/{swarm}/stop", ROLE_WRITE, API_BRAIN, API_BIG_BODY_BYTES, true,
     .body = &stop_table, .serve = stop_serve, .about = "Stop many processes in one call."},
    {0},
};
