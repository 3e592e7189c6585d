/* swarm: named sets of settings over HTTP. What is said is kept as it came, once it is known to be carried
 * out (node/settings.h).
 *
 * "default" exists without a row; a PUT gives it one.
 */
#include <stdio.h>
#include <string.h>

#include "api/api.h"
#include "node/settings.h"

/* ---- a swarm as JSON ---- */

static void write_nodes(const struct frozen *f, const struct settings *s, struct jw *j)
{
    jw_kv_array(j, "nodes");
    for (size_t i = 0; i < s->nodes.n; i++)
        jw_string(j, s->nodes.list[i]);
    for (int i = 0; !s->has_nodes && i < f->nodes_n; i++)
        if (!f->nodes[i].left)
            jw_string(j, f->nodes[i].name);
    jw_array_close(j);
}

/* row->settings NULL: all as it is without a word. */
static void write_swarm(const struct frozen *f, const struct swarm_row *row, int64_t rev, struct jw *j)
{
    struct settings settings;
    char signature[17];
    snprintf(signature, sizeof signature, "%016llx", (unsigned long long)f->signature);
    settings_parse(row->settings, &settings);
    jw_object(j);
    jw_kv_string(j, "name", row->swarm);
    settings_write(&settings, j);
    write_nodes(f, &settings, j);
    jw_kv_bool(j, "deterministic", true);
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
        write_swarm(r->frozen, &row, rev, &j);
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
    int64_t left;
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
        write_swarm(l->frozen, row, rev, l->j);
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
    struct list l = {q, r->frozen, r->store, &j, q->limit ? q->limit : API_LIST_LIMIT, NULL, false, false};
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
    write_swarm(f, row, rev, &j);
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
    if (rc < 0)
        return rc;
    struct jw j = jw_init(&body);
    const struct frozen *f = node_frozen(n);
    write_swarm(f, row, rev, &j);
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

const struct route swarm_routes[] = {
    {HTTP_M_GET, "/v1/swarms", ROLE_READ, API_READER, API_BODY_BYTES, false, list_params, COUNT(list_params),
     sizeof(struct list_query), NULL, list_read, NULL, "List the swarms, in byte order of their names."},
    {HTTP_M_GET, "/v1/swarms/{swarm}", ROLE_READ, API_READER, API_BODY_BYTES, true, NULL, 0, 0, NULL,
     swarm_read, NULL, "Show a swarm's settings and the nodes that serve it."},
    {HTTP_M_PUT, "/v1/swarms/{swarm}", ROLE_ADMIN, API_BRAIN, API_BODY_BYTES, true, NULL, 0, 0,
     &settings_table, NULL, put_serve, "Make a swarm, or replace its settings (If-Match compares its rev)."},
    {HTTP_M_DELETE, "/v1/swarms/{swarm}", ROLE_ADMIN, API_BRAIN, API_BODY_BYTES, true, NULL, 0, 0, NULL, NULL,
     delete_serve, "Delete a swarm that holds no names."},
    {0},
};
