/* swarm: named sets of settings over HTTP. What is said is kept as it came, once it is known to be carried
 * out.
 *
 * "default" exists without a row; a PUT gives it one. A strategy is a word or an object {"kind": word}; the
 * words that this version carries out are in the table below, every other one is refused with that list: a
 * setting that would be kept but not obeyed is worse than one that is refused.
 */
#include <stdio.h>
#include <string.h>

#include "api/api.h"

struct settings {
    struct span restart, handoff, distribution, redundancy, migration, partition, synchronization, conflict,
        limits;
    struct span worker_role;
    struct json_strings nodes;
};

static const struct json_field settings_fields[] = {
    JSON_FIELD(struct settings, restart, JSON_RAW, .nullable = true),
    JSON_FIELD(struct settings, handoff, JSON_RAW, .nullable = true),
    JSON_FIELD(struct settings, distribution, JSON_RAW, .nullable = true),
    JSON_FIELD(struct settings, redundancy, JSON_RAW, .nullable = true),
    JSON_FIELD(struct settings, migration, JSON_RAW, .nullable = true),
    JSON_FIELD(struct settings, partition, JSON_RAW, .nullable = true),
    JSON_FIELD(struct settings, synchronization, JSON_RAW, .nullable = true),
    JSON_FIELD(struct settings, conflict, JSON_RAW, .nullable = true),
    JSON_FIELD(struct settings, limits, JSON_RAW_OBJECT, .nullable = true),
    JSON_FIELD(struct settings, worker_role, JSON_RAW, .nullable = true),
    JSON_FIELD(struct settings, nodes, JSON_STRINGS, .bytes_max = NAME_BYTES_MAX, .max = 1000,
               .nullable = true),
};
static const struct json_table settings_table = JSON_TABLE(struct settings, settings_fields);

/* ---- strategies ---- */

struct strategy {
    const char *field, *words[2]; /* those that are carried out; the first one is meant without a word */
    size_t offset;
};

static const struct strategy strategies[] = {
    {"restart",
     {"transient"},
     offsetof(struct settings, restart)}, /* of a process that asks for nothing else */
    {"distribution", {"consistent_hashing"}, offsetof(struct settings, distribution)},
    {"redundancy", {"singularity"}, offsetof(struct settings, redundancy)},
    {"migration", {"cold_swap"}, offsetof(struct settings, migration)},
    {"partition", {"divergence"}, offsetof(struct settings, partition)},
    {"synchronization", {"pull"}, offsetof(struct settings, synchronization)},
    {"conflict", {"newest", "oldest"}, offsetof(struct settings, conflict)},
};

static int options_check(const struct strategy *s, struct span object, struct err *e)
{
    struct span key;
    struct json_iter it = json_iter_init(object);
    while (json_iter_next(&it, &key, &(struct span){NULL, 0})) {
        AUTOSTR struct str name = STR_INIT;
        json_unquote(key, &name);
        AUTOFREE char *field = mem_printf("%s.%.60s", s->field, str_get(&name));
        if (strcmp(str_get(&name), "kind") != 0)
            return err_field(e, SKEP_EARG, field, "no such option; \"%s\" has none", s->words[0]);
    }
    return 0;
}

static int strategy_check(const struct strategy *s, struct span value, struct err *e)
{
    AUTOSTR struct str word = STR_INIT;
    if (!value.p)
        return 0;
    bool object = json_type(value) == JSON_T_OBJECT;
    struct span kind = object ? json_raw_member(value.p, value.n, "kind") : value;
    const char *other = s->words[1] ? s->words[1] : "", *between = s->words[1] ? "\" or \"" : "";
    if (!kind.p || !json_unquote(kind, &word))
        return err_field(e, SKEP_EARG, s->field,
                         "must be a word, or an object with a word as \"kind\"; supported: \"%s%s%s\"",
                         s->words[0], between, other);
    if (strcmp(str_get(&word), s->words[0]) != 0 && (!*other || strcmp(str_get(&word), other) != 0))
        return err_field(e, SKEP_EARG, s->field, "\"%.60s\" is not supported; supported: \"%s%s%s\"",
                         str_get(&word), s->words[0], between, other);
    return object ? options_check(s, value, e) : 0;
}

static struct span setting_of(const struct settings *s, const struct strategy *t)
{
    return *(const struct span *)(const void *)((const char *)s + t->offset);
}

static int others_check(const struct settings *s, struct err *e)
{
    struct span one;
    struct json_iter it = json_iter_init(s->limits);
    if (s->handoff.p && (json_type(s->handoff) != JSON_T_BOOL || s->handoff.p[0] != 't'))
        return err_field(e, SKEP_EARG, "handoff",
                         "supported: true; \"handoff\": false can be said of each process");
    if (s->limits.p && json_iter_next(&it, NULL, &one))
        return err_field(e, SKEP_EARG, "limits", "no limit is supported; leave it out, or {}");
    if (s->worker_role.p)
        return err_field(e, SKEP_EARG, "worker_role",
                         "not supported for one swarm; worker_role in skep.conf is for "
                         "all that runs on a node");
    return 0;
}

static int settings_check(const struct settings *s, struct err *e)
{
    int rc = others_check(s, e);
    for (size_t i = 0; rc == 0 && i < COUNT(strategies); i++)
        rc = strategy_check(&strategies[i], setting_of(s, &strategies[i]), e);
    for (size_t i = 0; rc == 0 && i < s->nodes.n; i++)
        rc = name_check(s->nodes.list[i], strlen(s->nodes.list[i]), "nodes", e);
    return rc;
}

/* ---- a swarm as JSON ---- */

static void write_nodes(const struct frozen *f, struct span nodes, struct jw *j)
{
    if (nodes.p && json_type(nodes) == JSON_T_ARRAY) {
        jw_kv_raw(j, "nodes", nodes);
        return;
    }
    jw_kv_array(j, "nodes");
    for (int i = 0; i < f->nodes_n; i++)
        if (!f->nodes[i].left)
            jw_string(j, f->nodes[i].name);
    jw_array_close(j);
}

/* row->settings NULL: all as it is without a word. */
static void write_swarm(const struct frozen *f, const struct swarm_row *row, int64_t rev, struct jw *j)
{
    const char *text = row->settings ? row->settings : "{}";
    char signature[17];
    snprintf(signature, sizeof signature, "%016llx", (unsigned long long)f->signature);
    jw_object(j);
    jw_kv_string(j, "name", row->swarm);
    for (size_t i = 0; i < COUNT(strategies); i++) {
        struct span said = json_raw_member(text, strlen(text), strategies[i].field);
        if (said.p && json_type(said) != JSON_T_NULL)
            jw_kv_raw(j, strategies[i].field, said);
        else
            jw_kv_string(j, strategies[i].field, strategies[i].words[0]);
    }
    jw_kv_bool(j, "handoff", true);
    jw_kv_object(j, "limits");
    jw_object_close(j);
    write_nodes(f, json_raw_member(text, strlen(text), "nodes"), j);
    jw_kv_bool(j, "deterministic", true);
    jw_kv_string(j, "topology_signature", signature);
    jw_kv_i64_text(j, "rev", rev);
    jw_object_close(j);
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
