/* swarm: named sets of settings over HTTP. What is said is kept as it came, once it is known to be carried
 * out (node/settings.h).
 *
 * "default" exists without a row; a PUT gives it one.
 */
#include <stdio.h>
#include <string.h>

#include "api/api.h"
#include "base/hlc.h"
#include "node/swarm.h"

/* ---- a swarm as JSON ---- */

struct shown {
    struct store *store;
    const struct frozen *f;
    const char *swarm;
    const struct settings *settings;
    struct jw *j;
    int64_t now_ms; /* real */
};

static bool serves(const struct shown *s, const struct frozen_node *node)
{
    return swarm_serves(s->store, s->settings, s->swarm, &node->id, node->name, node->labels);
}

/* Since when it is dead, 0: it is not. */
static int64_t dead_since(const struct shown *s, const struct frozen_node *node)
{
    char id[ID_TEXT];
    struct node_row row = {.node = id};
    struct stamp stamp = {0};
    id_text(&node->id, id);
    if (!node->left)
        return node->down_at_ms;
    return store_version(s->store, T_NODE, &row, &stamp, NULL, NULL) == 1 ? hlc_ms(stamp.hlc) : 1;
}

static void write_nodes(const struct shown *s)
{
    jw_kv_array(s->j, "nodes");
    for (size_t i = 0; i < s->settings->nodes.n; i++)
        jw_string(s->j, s->settings->nodes.list[i]);
    for (int i = 0; !s->settings->has_nodes && i < s->f->nodes_n; i++)
        if (!s->f->nodes[i].left && serves(s, &s->f->nodes[i]))
            jw_string(s->j, s->f->nodes[i].name);
    jw_array_close(s->j);
}

/* since: when it began to serve. */
static void write_entry(const struct shown *s, const char *id, int64_t since)
{
    const struct frozen_node *node = frozen_node(s->f, id);
    int64_t dead = node ? dead_since(s, node) : 0;
    if (node && (!serves(s, node) || (dead && s->now_ms - dead > SWARM_GONE_KEEP_MS)))
        return;
    jw_object(s->j);
    jw_kv_string(s->j, "node", node ? node->name : id);
    jw_kv_string(s->j, "status", node && !dead ? "alive" : "dead");
    jw_kv_time(s->j, "since", !node || dead ? dead : since);
    jw_object_close(s->j);
}

/* Who serves it, and who did until less than an hour ago. */
static void write_directory(const struct shown *s)
{
    struct serve_row row = {0};
    char id[ID_TEXT];
    jw_kv_array(s->j, "directory");
    for (int i = 0; s->settings->serve == SERVE_ALL && i < s->f->nodes_n; i++)
        write_entry(s, id_text(&s->f->nodes[i].id, id), s->f->nodes[i].started_at_ms);
    if (s->settings->serve == SERVE_JOINED) {
        struct stmt *q = store_ask(s->store, Q_SERVES_OF, "t", s->swarm);
        while (store_next(q, T_SERVE, &row, NULL) == 1)
            write_entry(s, row.node, row.at);
        stmt_reset(q);
        row_fini(T_SERVE, &row);
    }
    jw_array_close(s->j);
}

static uint64_t signature_of(const struct shown *s)
{
    AUTOFREE struct id *ids = mem_array((size_t)s->f->nodes_n, sizeof *ids);
    size_t n = 0;
    for (int i = 0; i < s->f->nodes_n; i++)
        if (s->f->nodes[i].member && s->f->nodes[i].in_view && serves(s, &s->f->nodes[i]))
            ids[n++] = s->f->nodes[i].id;
    bool balances = s->settings->distribution.kind == DISTRIBUTION_LOAD_BALANCER;
    uint64_t board = balances ? board_signature(s->store) : 0;
    return swarm_signature(s->f->signature ^ board, s->settings, ids, n);
}

/* row->settings NULL: all as it is without a word. */
static void write_swarm(struct store *store, const struct frozen *f, int64_t now_ms,
                        const struct swarm_row *row, int64_t rev, struct jw *j)
{
    struct settings settings;
    char signature[17];
    settings_parse(row->settings, &settings);
    const struct shown s = {store, f, row->swarm, &settings, j, now_ms};
    snprintf(signature, sizeof signature, "%016llx", (unsigned long long)signature_of(&s));
    jw_object(j);
    jw_kv_string(j, "name", row->swarm);
    settings_write(&settings, j);
    write_nodes(&s);
    write_directory(&s);
    jw_kv_bool(j, "deterministic", settings_deterministic(&settings));
    jw_kv_string(j, "topology_signature", signature);
    jw_kv_i64_text(j, "rev", rev);
    jw_object_close(j);
    settings_fini(&settings);
}

static int rev_of(struct store *s, const struct swarm_row *row, int64_t *ret, struct err *e)
{
    struct stamp stamp = {0};
    int rc = store_version(s, T_SWARM, row, &stamp, NULL, e);
    *ret = rc == 1 ? stamp.hlc : 0;
    return rc < 0 ? rc : 0;
}

static int no_swarm(const char *name, struct err *e)
{
    return err_field(e, SKEP_ENOTFOUND, "swarm", "there is no swarm %.100s; PUT /v1/swarms/{swarm} makes one",
                     name);
}

static bool is_default(const char *name)
{
    return strcmp(name, "default") == 0;
}

static int swarm_read(const struct call *c, const struct reading *r, struct str *body, struct answer *ret,
                      struct err *e)
{
    struct swarm_row row = {.swarm = mem_dup(c->param[0])};
    struct jw j = jw_init(body);
    int64_t rev = 0;
    int rc = store_load(r->store, T_SWARM, &row, e);
    if (rc == 0 && !is_default(c->param[0]))
        rc = no_swarm(c->param[0], e);
    if (rc >= 0)
        rc = rev_of(r->store, &row, &rev, e);
    if (rc >= 0) {
        write_swarm(r->store, r->frozen, r->now_real_ms, &row, rev, &j);
        snprintf(ret->etag, sizeof ret->etag, "%lld", (long long)rev);
    }
    row_fini(T_SWARM, &row);
    return rc < 0 ? rc : 200;
}

struct list_query {
    char *after;
    int64_t limit;
};
static const struct uri_param list_params[] = {
    URI_PARAM(struct list_query, limit, URI_INT, .min = 1, .max = API_LIST_MAX),
    URI_PARAM(struct list_query, after, URI_NAME),
};

struct list {
    const struct list_query *q;
    const struct frozen *frozen;
    struct store *store;
    struct jw *j;
    int64_t left, now_ms;
    char *last; /* name of the last one shown; owned */
    bool more, default_shown;
};

static int list_one(struct list *l, const struct swarm_row *row, struct err *e)
{
    int64_t rev;
    if (l->more || (l->q->after && strcmp(row->swarm, l->q->after) <= 0))
        return 0;
    if (l->left-- == 0) {
        l->more = true;
        return 0;
    }
    int rc = rev_of(l->store, row, &rev, e);
    if (rc == 0)
        write_swarm(l->store, l->frozen, l->now_ms, row, rev, l->j);
    mem_replace(&l->last, row->swarm);
    return rc;
}

/* "default" has its place among the others, also without a row. */
static int list_default(struct list *l, const char *before, struct err *e)
{
    const struct swarm_row row = {.swarm = (char[]){"default"}};
    if (l->default_shown || (before && strcmp(before, row.swarm) < 0))
        return 0;
    l->default_shown = true;
    return before && is_default(before) ? 0 : list_one(l, &row, e);
}

static int list_read(const struct call *c, const struct reading *r, struct str *body,
                     struct answer *ret UNUSED, struct err *e)
{
    const struct list_query *q = c->query;
    struct jw j = jw_init(body);
    struct list l = {.q = q,
                     .frozen = r->frozen,
                     .store = r->store,
                     .j = &j,
                     .left = q->limit ? q->limit : API_LIST_LIMIT,
                     .now_ms = r->now_real_ms};
    struct swarm_row row = {0};
    int rc = 0, more = 0;
    jw_object(&j);
    jw_kv_array(&j, "swarms");
    struct stmt *s = store_ask(r->store, Q_SWARMS, "");
    while (rc == 0 && !l.more && (more = store_next(s, T_SWARM, &row, e)) == 1) {
        rc = list_default(&l, row.swarm, e);
        if (rc == 0)
            rc = list_one(&l, &row, e);
    }
    row_fini(T_SWARM, &row);
    stmt_reset(s);
    rc = more < 0 ? more : rc;
    if (rc == 0)
        rc = list_default(&l, NULL, e);
    jw_array_close(&j);
    jw_kv_string(&j, "next", l.more ? l.last : NULL);
    jw_object_close(&j);
    free(l.last);
    return rc < 0 ? rc : 200;
}

/* ---- changing ---- */

static int answer_swarm(struct node *n, struct op *op, int status, const struct swarm_row *row)
{
    struct str body = STR_INIT;
    struct jw j = jw_init(&body);
    char etag[32];
    int64_t rev;
    int rc = rev_of(n->store, row, &rev, &n->fault);
    if (rc < 0)
        return rc;
    const struct frozen *f = node_frozen(n);
    write_swarm(n->store, f, n->real_ms, row, rev, &j);
    frozen_unref(f);
    snprintf(etag, sizeof etag, "%lld", (long long)rev);
    api_show_soon(n);
    api_answer_copies(n, op, status, &body, etag, store_written(n->store), 0);
    return 0;
}

static int put_row(struct node *n, struct op *op, struct swarm_row *row)
{
    int64_t rev;
    struct err e;
    int found = store_load(n->store, T_SWARM, row, &n->fault);
    int rc = found < 0 ? found : rev_of(n->store, row, &rev, &n->fault);
    if (rc < 0)
        return rc;
    if (api_match(op->request, rev, &e) < 0)
        return api_fail(n, op, &e);
    free(row->settings);
    row->settings = mem_copy(op->request->body_n ? op->request->body : "{}",
                             op->request->body_n ? op->request->body_n : 2);
    rc = store_set(n->store, T_SWARM, row, &n->fault);
    if (rc == 0)
        rc = node_log(n, "swarm_changed", row->swarm, NULL, NULL, 0, op->request->who.name, row->settings);
    if (rc == 0)
        rc = swarm_keep(n);
    swarm_changed(n);
    return rc < 0 ? rc : answer_swarm(n, op, found || is_default(row->swarm) ? 200 : 201, row);
}

static int put_serve(struct node *n, struct op *op, const struct call *c)
{
    struct err e;
    if (settings_check(c->body, &e) < 0)
        return api_fail(n, op, &e);
    struct swarm_row row = {.swarm = mem_dup(c->param[0])};
    int rc = put_row(n, op, &row);
    row_fini(T_SWARM, &row);
    return rc;
}

/* Why it must stay: something is called by a name of it. */
static int may_delete(struct node *n, const char *swarm, struct err *e)
{
    if (is_default(swarm))
        return err_field(e, SKEP_ETAKEN, "swarm",
                         "the swarm default always exists; PUT {} takes its settings back");
    struct stmt *q = store_ask(n->store, Q_NAME_AFTER, "tt", swarm, "");
    int rc = stmt_step(q, &n->fault);
    stmt_reset(q);
    if (rc == 1)
        return err_field(e, SKEP_ETAKEN, "swarm",
                         "there are names in swarm %.100s; stop or remove them first", swarm);
    return rc;
}

static int delete_row(struct node *n, struct op *op, struct swarm_row *row)
{
    struct str body = STR_INIT;
    int64_t rev;
    struct err e;
    int rc = store_load(n->store, T_SWARM, row, &n->fault);
    if (rc == 0) {
        no_swarm(row->swarm, &e);
        return api_fail(n, op, &e);
    }
    if (rc < 0 || (rc = rev_of(n->store, row, &rev, &n->fault)) < 0)
        return rc;
    if (api_match(op->request, rev, &e) < 0)
        return api_fail(n, op, &e);
    rc = store_kill(n->store, T_SWARM, row, 0, &n->fault);
    if (rc == 0)
        rc = node_log(n, "swarm_deleted", row->swarm, NULL, NULL, 0, op->request->who.name, NULL);
    if (rc == 0)
        rc = swarm_ended(n, row->swarm);
    if (rc < 0)
        return rc;
    struct jw j = jw_init(&body);
    const struct frozen *f = node_frozen(n);
    write_swarm(n->store, f, n->real_ms, row, rev, &j);
    frozen_unref(f);
    api_show_soon(n);
    api_answer_copies(n, op, 200, &body, NULL, store_written(n->store), 0);
    return 0;
}

static int delete_serve(struct node *n, struct op *op, const struct call *c)
{
    struct err e;
    int rc = may_delete(n, c->param[0], &e);
    if (rc == SKEP_ETAKEN)
        return api_fail(n, op, &e);
    if (rc < 0)
        return rc;
    struct swarm_row row = {.swarm = mem_dup(c->param[0])};
    rc = delete_row(n, op, &row);
    row_fini(T_SWARM, &row);
    return rc;
}

/* ---- joining and leaving ---- */

/* What a node is to a swarm after its word. Once every node of the view knows: from then on they all place
 * there. */
static int answer_serve(struct node *n, struct op *op, const char *swarm)
{
    struct str body = STR_INIT;
    struct jw j = jw_init(&body);
    jw_object(&j);
    jw_kv_string(&j, "swarm", swarm);
    jw_kv_string(&j, "node", n->name);
    jw_kv_bool(&j, "serves", swarm_serves_here(n, swarm));
    jw_object_close(&j);
    jw_end(&j);
    api_show_soon(n);
    api_answer_copies(n, op, 200, &body, NULL, store_written(n->store), (int)view_others(&n->view));
    return 0;
}

static int join_serve(struct node *n, struct op *op, const struct call *c)
{
    int rc = api_swarm_known(n, op, c->param[0]);
    if (rc > 0)
        rc = api_at_node(n, op, c->param[1]);
    if (rc <= 0 || (rc = swarm_join(n, c->param[0])) < 0)
        return rc;
    return answer_serve(n, op, c->param[0]);
}

static int leave_serve(struct node *n, struct op *op, const struct call *c)
{
    struct err e;
    int rc = api_swarm_known(n, op, c->param[0]);
    if (rc > 0)
        rc = api_at_node(n, op, c->param[1]);
    if (rc <= 0)
        return rc;
    if (swarm_declared(n, c->param[0])) {
        err_field(&e, SKEP_ETAKEN, "node",
                  "the configuration of %.100s declares this swarm; take it out there and reload", n->name);
        return api_fail(n, op, &e);
    }
    if (node_settings(n, c->param[0])->serve == SERVE_ALL) {
        err_field(
            &e, SKEP_ETAKEN, "node",
            "every node serves this swarm; \"serve\":\"joined\" or \"nodes\":[\"!%.100s\"] in its settings "
            "changes that",
            n->name);
        return api_fail(n, op, &e);
    }
    return (rc = swarm_leave(n, c->param[0])) < 0 ? rc : answer_serve(n, op, c->param[0]);
}

const struct route swarm_routes[] = {
    {HTTP_M_GET, "/v1/swarms", ROLE_READ, API_READER, API_BODY_BYTES, false, list_params, COUNT(list_params),
     sizeof(struct list_query), NULL, list_read, NULL, "List the swarms, in byte order of their names."},
    {HTTP_M_GET, "/v1/swarms/{swarm}", ROLE_READ, API_READER, API_BODY_BYTES, true, NULL, 0, 0, NULL,
     swarm_read, NULL, "Show a swarm's settings and the nodes that serve it."},
    {HTTP_M_PUT, "/v1/swarms/{swarm}", ROLE_ADMIN, API_BRAIN, API_BODY_BYTES, true, NULL, 0, 0,
     &settings_table, NULL, put_serve, "Make a swarm, or replace its settings (If-Match compares its rev)."},
    {HTTP_M_DELETE, "/v1/swarms/{swarm}", ROLE_ADMIN, API_BRAIN, API_BODY_BYTES, true, NULL, 0, 0, NULL, NULL,
     delete_serve, "Delete a swarm that holds no names."},
    {HTTP_M_PUT, "/v1/swarms/{swarm}/nodes/{node}", ROLE_ADMIN, API_BRAIN, API_BODY_BYTES, true, NULL, 0, 0,
     NULL, NULL, join_serve, "Let a node serve a swarm that has to be joined, from now on."},
    {HTTP_M_DELETE, "/v1/swarms/{swarm}/nodes/{node}", ROLE_ADMIN, API_BRAIN, API_BODY_BYTES, true, NULL, 0,
     0, NULL, NULL, leave_serve, "Let a node serve it no more; its processes move."},
    {0},
};
