/* name: external names over HTTP. An address under a name that is unique in its swarm, with or without a
 * lease.
 *
 * The home of a name decides all of it: register, renew, replace, release, expire. A lease belongs to no
 * node.
 */
#include <stdio.h>
#include <string.h>

#include "api/api.h"
#include "node/child.h"
#include "node/settings.h"

#define ALIAS_SPEC "{}" /* only that it is there counts */

struct register_body {
    char *address, *child;
    int64_t ttl_ms;
    struct span metadata;
    bool has_metadata;
};

static const struct json_field register_fields[] = {
    JSON_FIELD(struct register_body, address, JSON_STRING, .bytes_max = 4096),
    JSON_FIELD(struct register_body, child, JSON_NAME),
    JSON_FIELD(struct register_body, ttl_ms, JSON_INT, .min = 100, .max = INT64_C(31536000000),
               .nullable = true),
    JSON_FIELD(struct register_body, metadata, JSON_RAW_OBJECT, .nullable = true,
               .present = offsetof(struct register_body, has_metadata)),
};
static const struct json_table register_table = JSON_TABLE(struct register_body, register_fields);

static int64_t rev_of(struct store *s, const struct name_row *row)
{
    struct stamp v = {0};
    return store_version(s, T_NAME, row, &v, NULL, NULL) == 1 ? v.hlc : 0;
}

static void answer_address(struct node *n, struct op *op, const struct name_row *row, int status,
                           int64_t expires_ms, int64_t hlc, int need)
{
    struct str body = STR_INIT;
    struct jw j = jw_init(&body);
    char etag[32];
    int64_t rev = hlc ? hlc : rev_of(n->store, row);
    show_address(row, expires_ms, rev, &j);
    snprintf(etag, sizeof etag, "%lld", (long long)rev);
    (need ? api_answer_owned : api_answer_copies)(n, op, status, &body, etag, hlc, need);
}

static int taken(struct node *n, struct op *op, const struct name_row *row)
{
    AUTOSTR struct str extras = STR_INIT;
    struct err e;
    if (strcmp(row->kind, "address") != 0) {
        err_set(&e, SKEP_ETAKEN, "a process holds the name %s, on %s", row->name,
                node_name_of(n, row->owner));
        return api_fail(n, op, &e);
    }
    str_puts(&extras, "\"holder\":");
    struct jw j = jw_init(&extras);
    show_address(row, lease_expires(n, row), rev_of(n->store, row), &j);
    err_set(&e, SKEP_ETAKEN,
            "the name %s is registered for %s; replace it with If-Match and its rev, or choose another",
            row->name, row->address);
    op_fail(n, op, &e, (struct span){str_get(&extras), extras.n});
    return 0;
}

/* Writes the row (again) with what the body says. */
static int write_address(struct node *n, struct op *op, struct name_row *row, const char *type)
{
    const struct register_body *b = ((const struct call *)op->args)->body;
    mem_replace(&row->address, b->child ? b->child : b->address);
    mem_replace(&row->spec, b->child ? ALIAS_SPEC : NULL);
    row->ttl_ms = b->ttl_ms;
    row->expires_at = b->ttl_ms ? n->real_ms + b->ttl_ms : 0;
    if (b->has_metadata) {
        free(row->metadata);
        row->metadata = mem_copy(b->metadata.p, b->metadata.n);
    }
    lease_forget(n, row->swarm, row->name);
    int rc = store_save(n->store, T_NAME, row, &n->fault);
    if (rc == 0)
        rc = node_log(n, type, row->swarm, row->name, NULL, row->epoch, op->request->who.name, NULL);
    node_wake(n, row->swarm, row->name);
    return rc;
}

/* life: the incarnation that another name is bound to; 0: an address */
static int register_new(struct node *n, struct op *op, struct name_row *row, int64_t life)
{
    struct stamp v = {0};
    int rc = store_version(n->store, T_NAME, row, &v, NULL, &n->fault);
    if (rc < 0)
        return rc;
    if (op_is_late(n, op, v.hlc)) {
        op_retry(n, op);
        return 0;
    }
    char op_text[ID_TEXT];
    mem_replace(&row->kind, "address");
    mem_replace(&row->op, id_text(&op->id, op_text));
    mem_replace(&row->metadata, NULL);
    row->incarnation = 0;
    row->since = life; /* of an address: 0, which own_claim fills in */
    own_claim(n, row, NULL, v.rank);
    if ((rc = group_forget(n, row->swarm, row->name)) < 0)
        return rc;
    if ((rc = write_address(n, op, row, "name_registered")) < 0)
        return rc;
    op->st.step = 1;
    answer_address(n, op, row, 201, 0, store_written(n->store), 1);
    return 0;
}

/* The same address again. What only moves the end of the lease stays in memory until half of it is gone. */
static int renew(struct node *n, struct op *op, struct name_row *row)
{
    const struct register_body *b = ((const struct call *)op->args)->body;
    bool same = row->ttl_ms == b->ttl_ms &&
                (!b->has_metadata || (row->metadata && strlen(row->metadata) == b->metadata.n &&
                                      memcmp(row->metadata, b->metadata.p, b->metadata.n) == 0));
    int64_t expires_ms = b->ttl_ms ? n->real_ms + b->ttl_ms : 0;
    if (same && (!b->ttl_ms || row->expires_at - n->real_ms > b->ttl_ms / 2)) {
        if (b->ttl_ms)
            lease_renew(n, row, expires_ms);
        answer_address(n, op, row, 200, expires_ms, 0, 0);
        return 0;
    }
    int rc = write_address(n, op, row, "name_renewed");
    if (rc == 0)
        answer_address(n, op, row, 200, 0, store_written(n->store), 1);
    return rc;
}

static bool lapsed(struct node *n, const struct name_row *row)
{
    return row->expires_at && lease_expires(n, row) <= n->real_ms &&
           n->now_ms - n->opened_at_ms >= row->ttl_ms && watch_period(n, row->ttl_ms);
}

/* Whether the row says what is asked already. */
static bool says(const struct name_row *row, const struct register_body *b, int64_t life)
{
    if (b->child)
        return alias_is(row) && strcmp(row->address, b->child) == 0 && row->since == life;
    return !alias_is(row) && strcmp(row->address, b->address) == 0;
}

static int register_at_home(struct node *n, struct op *op, struct name_row *row, bool found, int64_t life)
{
    const struct register_body *b = ((const struct call *)op->args)->body;
    struct err e;
    bool address = found && strcmp(row->kind, "address") == 0;
    char op_text[ID_TEXT];
    if (address && row->op && strcmp(row->op, id_text(&op->id, op_text)) == 0) {
        answer_address(n, op, row, 201, 0, rev_of(n->store, row), 1); /* an earlier try did it */
        return 0;
    }
    if (op->st.step ==
        1) { /* it was written, and has been changed since, or by somebody else at that moment */
        err_set(&e, SKEP_ETIMEOUT, "%s was registered, but is not what it was any more; look it up",
                row->name);
        return api_fail(n, op, &e);
    }
    if (op->request->if_match) {
        if (!found)
            err_field(&e, SKEP_ECONFLICT, "If-Match",
                      "nobody holds the name %s; register it without If-Match", row->name);
        if (!found || (address && api_match(op->request, rev_of(n->store, row), &e) < 0))
            return api_fail(n, op, &e);
    }
    int dead = address ? alias_dead(n->store, row, &n->fault) : 0;
    if (dead < 0)
        return dead;
    if (!found || dead || (address && lapsed(n, row)))
        return register_new(n, op, row, life);
    if (!address)
        return taken(n, op, row);
    if (says(row, b, life))
        return renew(n, op, row);
    return op->request->if_match ? register_new(n, op, row, life) : taken(n, op, row);
}

/* Brings the op to the home of its name. 1: we are it, and may decide; or we were, and have done it. */
static int at_home(struct node *n, struct op *op, const struct call *c)
{
    int rc = api_swarm_known(n, op, c->param[0]);
    if (rc <= 0)
        return rc;
    if (!node_open_now(n)) {
        op_wait_open(n, op);
        return 0;
    }
    if (op->st.step == 1) /* a home that is another one by now knows nothing of that */
        return 1;
    struct id home = own_home(n, c->param[0], c->param[1]);
    if (id_equal(&home, &n->self))
        return 1;
    if (op->source == OP_PEER)
        op_retry(n, op); /* we do not agree who is the home: whoever forwarded it decides anew */
    else
        op_forward(n, op, &home, true);
    return 0;
}

static int body_check(const struct register_body *b, struct err *e)
{
    if (!b->address == !b->child)
        return err_field(e, SKEP_EARG, "address",
                         "say either the address of something that skep did not start, "
                         "or as child the process that it is another name of");
    if (b->child && b->ttl_ms)
        return err_field(e, SKEP_EARG, "ttl_ms",
                         "another name of a process has no lease: it lives as long as that");
    return 0;
}

/* That there is no such process only its open home knows; whoever has heard of it sends the request back. */
static int no_child(struct node *n, struct op *op, const struct call *c)
{
    const struct register_body *b = c->body;
    struct id home = own_home(n, c->param[0], b->child);
    struct err e;
    if (!node_open_now(n))
        op_wait_open(n, op);
    else if (id_equal(&home, &n->self)) {
        err_field(&e, SKEP_ENOTFOUND, "child", "no process of the name %s runs in swarm %s", b->child,
                  c->param[0]);
        return api_fail(n, op, &e);
    } else if (op->source == OP_PEER) /* who sent it here knows of it: it is on its way */
        op_wait_key(n, op, c->param[0], b->child);
    else
        op_forward(n, op, &home, true);
    return 0;
}

/* The life of the process that it is to be another name of. 1: *ret_life; 0: there is none, or it is about to
 * start, and the op is taken care of. */
static int child_life(struct node *n, struct op *op, const struct call *c, int64_t *ret_life)
{
    const struct register_body *b = c->body;
    struct name_row row = {.swarm = mem_dup(c->param[0]), .name = mem_dup(b->child)};
    struct child_row child = {.swarm = mem_dup(c->param[0]), .name = mem_dup(b->child)};
    int rc = store_load(n->store, T_NAME, &row, &n->fault);
    bool is_child = rc == 1 && strcmp(row.kind, "child") == 0;
    *ret_life = row.incarnation;
    if (rc >= 0)
        rc = store_load(n->store, T_CHILD, &child, &n->fault);
    bool known = is_child && rc == 1 && child.epoch >= row.incarnation;
    bool runs = known && child.started_at > 0;
    bool ended = known && (strcmp(child.status, "failed") == 0 || strcmp(child.status, "stopped") == 0);
    row_fini(T_NAME, &row);
    row_fini(T_CHILD, &child);
    if (rc < 0 || runs)
        return rc < 0 ? rc : 1;
    if (!is_child || ended)
        return no_child(n, op, c);
    op_wait_key(n, op, c->param[0], b->child);
    return 0;
}

/* In a strict swarm a process takes its other names, and lets go of them, itself. Looked at where the request
 * comes in: there the process is, if it is the one that asks. child: NULL: of nobody in particular. */
static bool may_name(struct node *n, const struct op *op, const struct call *c, const char *child,
                     struct err *e)
{
    bool has = false;
    if (op->source == OP_PEER || !node_settings(n, c->param[0])->strict)
        return true;
    if (child && !api_may_change(n, op, c->param[0], child, "takes another name", e))
        return false;
    struct name_row row = {.swarm = mem_dup(c->param[0]), .name = mem_dup(c->param[1])};
    if (store_load(n->store, T_NAME, &row, NULL) == 1 && alias_is(&row) &&
        alias_dead(n->store, &row, NULL) == 0)
        has = !api_may_change(n, op, c->param[0], row.address, "lets go of its other names", e);
    row_fini(T_NAME, &row);
    return !has;
}

static int register_serve(struct node *n, struct op *op, const struct call *c)
{
    const struct register_body *b = c->body;
    struct err e;
    int64_t life = 0;
    if (body_check(b, &e) < 0 || !may_name(n, op, c, b->child, &e))
        return api_fail(n, op, &e);
    int rc = api_swarm_known(n, op, c->param[0]);
    if (rc <= 0 || (b->child && op->st.step != 1 && (rc = child_life(n, op, c, &life)) <= 0))
        return rc;
    rc = at_home(n, op, c);
    if (rc != 1)
        return rc;
    struct name_row row = {.swarm = mem_dup(c->param[0]), .name = mem_dup(c->param[1])};
    rc = store_load(n->store, T_NAME, &row, &n->fault);
    if (rc >= 0)
        rc = register_at_home(n, op, &row, rc == 1, life);
    row_fini(T_NAME, &row);
    return rc;
}

static int release_at_home(struct node *n, struct op *op, struct name_row *row, bool found)
{
    struct err e;
    if (!found || strcmp(row->kind, "address") != 0) {
        err_set(&e, SKEP_ENOTFOUND,
                found ? "%s is a process: DELETE /v1/swarms/{swarm}/children/{name} stops it"
                      : "nobody has registered the name %s",
                row->name);
        return api_fail(n, op, &e);
    }
    if (op->st.stamp && row->incarnation > op->st.stamp) {
        op_retry(n, op); /* it was asked of a former registration, or by a node that is behind */
        return 0;
    }
    if (api_match(op->request, rev_of(n->store, row), &e) < 0)
        return api_fail(n, op, &e);
    struct str body = STR_INIT;
    struct jw j = jw_init(&body);
    show_address(row, lease_expires(n, row), rev_of(n->store, row), &j);
    int64_t incarnation = row->incarnation;
    int rc = own_end_address(n, row, store_stamp(n->store), "name_released", op->request->who.name);
    lease_forget(n, row->swarm, row->name);
    if (rc < 0) {
        str_fini(&body);
        return rc;
    }
    op->st.step = 1;
    op->st.incarnation = incarnation;
    op->memo = mem_dup(str_get(&body));
    api_answer_owned(n, op, 200, &body, NULL, store_written(n->store), 1);
    return 0;
}

static int release_serve(struct node *n, struct op *op, const struct call *c)
{
    struct err e;
    if (op->st.step == 0 && !may_name(n, op, c, NULL, &e))
        return api_fail(n, op, &e);
    int rc = at_home(n, op, c);
    if (rc != 1)
        return rc;
    struct name_row row = {.swarm = mem_dup(c->param[0]), .name = mem_dup(c->param[1])};
    rc = store_load(n->store, T_NAME, &row, &n->fault);
    if (op->st.step == 1 && rc == 0) { /* it is away */
        struct str body = STR_INIT;
        str_puts(&body, op->memo);
        api_answer_owned(n, op, 200, &body, NULL, store_written(n->store), 1);
    } else if (op->st.step == 1 && rc == 1 && row.incarnation > op->st.incarnation) {
        err_set(&e, SKEP_ETIMEOUT,
                "%s was registered anew meanwhile, after it was released or in place of what was to be; look "
                "it up before trying again",
                row.name);
        rc = api_fail(n, op, &e);
    } else if (rc >= 0 && op->st.step == 1) { /* it is back, under a claim of that moment: all of it again */
        mem_replace(&op->memo, NULL);
        op->st.step = 0;
        row_fini(T_NAME, &row);
        return release_serve(n, op, c);
    } else if (rc >= 0) {
        rc = release_at_home(n, op, &row, rc == 1);
    }
    row_fini(T_NAME, &row);
    return rc;
}

/* ---- reads ---- */

/* Another name of a process, with that. 0: its process is gone. */
static int show_alias(struct store *s, const struct frozen *f, const struct name_row *row, struct jw *j,
                      char etag[32], struct err *e)
{
    struct name_row child;
    AUTOSTR struct str process = STR_INIT;
    struct jw k = jw_init(&process);
    int64_t rev = rev_of(s, row);
    int rc = alias_child(s, row, &child, e);
    if (rc == 1)
        rc = show_child(s, f, child.swarm, child.name, &k, NULL, e);
    row_fini(T_NAME, &child);
    if (rc != 1)
        return rc;
    jw_object(j);
    show_alias_members(row, rev, j);
    jw_kv_raw(j, "process", (struct span){str_get(&process), process.n});
    jw_object_close(j);
    snprintf(etag, 32, "%lld", (long long)rev);
    return 1;
}

/* One published name of any kind. 1, or 0: nobody holds it, or it is not published yet. */
static int show_name(struct store *s, const struct frozen *f, const char *swarm, const char *name,
                     struct jw *j, char etag[32], struct err *e)
{
    struct name_row row = {.swarm = mem_dup(swarm), .name = mem_dup(name)};
    struct child_row child = {.swarm = mem_dup(swarm), .name = mem_dup(name)};
    int rc = store_load(s, T_NAME, &row, e);
    if (rc == 1 && alias_is(&row)) {
        rc = show_alias(s, f, &row, j, etag, e);
    } else if (rc == 1 && strcmp(row.kind, "address") == 0) {
        int64_t rev = rev_of(s, &row);
        show_address(&row, 0, rev, j);
        snprintf(etag, 32, "%lld", (long long)rev);
    } else if (rc == 1 && (rc = store_load(s, T_CHILD, &child, e)) == 1) {
        bool published = child.started_at > 0 && child.epoch >= row.incarnation;
        rc = published ? show_child(s, f, swarm, name, j, etag, e) : 0;
    }
    row_fini(T_NAME, &row);
    row_fini(T_CHILD, &child);
    return rc;
}

static int name_read(const struct call *c, const struct reading *r, struct str *body, struct answer *ret,
                     struct err *e)
{
    struct jw j = jw_init(body);
    int rc = show_name(r->store, r->frozen, c->param[0], c->param[1], &j, ret->etag, e);
    return rc == 0
               ? err_set(e, SKEP_ENOTFOUND, "nobody holds the name %s in swarm %s", c->param[1], c->param[0])
           : rc < 0 ? rc
                    : 200;
}

struct names_query {
    char *after;
    int64_t limit;
};
static const struct uri_param names_params[] = {
    {.name = "limit", .kind = URI_INT, .offset = offsetof(struct names_query, limit), .min = 1, .max = 1000},
    {.name = "after", .kind = URI_NAME, .offset = offsetof(struct names_query, after)},
};

static int names_read(const struct call *c, const struct reading *r, struct str *body,
                      struct answer *ret UNUSED, struct err *e)
{
    const struct names_query *q = c->query;
    int64_t limit = q->limit ? q->limit : 100, shown = 0;
    AUTOFREE char *after = mem_dup(q->after ? q->after : "");
    char etag[32];
    int rc = 1;
    if (!api_swarm_exists(r->store, c->param[0], e))
        return e->code;
    struct jw j = jw_init(body);
    jw_object(&j);
    jw_kv_array(&j, "names");
    while (rc == 1 && shown < limit && body->n < API_LIST_BYTES) {
        struct stmt *s = store_ask(r->store, Q_NAME_AFTER, "tt", c->param[0], after);
        if ((rc = stmt_step(s, e)) == 1)
            mem_replace(&after, col_text(s, 0));
        stmt_reset(s);
        int one = rc == 1 ? show_name(r->store, r->frozen, c->param[0], after, &j, etag, e) : 0;
        if (one < 0)
            return one;
        shown += one;
    }
    jw_array_close(&j);
    jw_kv_string(&j, "next", rc == 1 ? after : NULL);
    jw_object_close(&j);
    return rc < 0 ? rc : 200;
}

#define NAME "/v1/swarms/{swarm}/names/{name}"

const struct route name_routes[] = {
    {HTTP_M_GET, "/v1/swarms/{swarm}/names", ROLE_READ, API_READER, API_BODY_BYTES, true, names_params,
     COUNT(names_params), sizeof(struct names_query), NULL, names_read, NULL,
     "List the published names of a swarm, processes and addresses, in byte order."},
    {HTTP_M_PUT, NAME, ROLE_WRITE, API_BRAIN, API_BODY_BYTES, true, NULL, 0, 0, &register_table, NULL,
     register_serve, "Register an address under a name, renew its lease, or give a process another name."},
    {HTTP_M_GET, NAME, ROLE_READ, API_READER, API_BODY_BYTES, true, NULL, 0, 0, NULL, name_read, NULL,
     "Look up a name, a process's or an address's."},
    {HTTP_M_DELETE, NAME, ROLE_WRITE, API_BRAIN, API_BODY_BYTES, true, NULL, 0, 0, NULL, NULL, release_serve,
     "Release a registered name."},
    {0},
};
