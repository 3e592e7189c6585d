/* group: groups of processes over HTTP. Settings, join, leave, who is in.
 *
 * A join or a leave is carried out by whoever decides about the name: the owner of a process, the home of an
 * address. Settings are anybody's. Messages to a group are message.c's.
 */
#include <stdio.h>
#include <string.h>

#include "api/api.h"
#include "node/settings.h"

#define MEMBERS_LIMIT 1000 /* of the members of a group, unless ?limit= says less */

/* ---- as JSON ---- */

struct group_name {
    const char *swarm, *group;
};

static struct group_name group_of(const struct call *c)
{
    return (struct group_name){c->param[0], c->param[1]};
}

static int rev_of(struct store *s, const struct group_name *g, int64_t *ret, struct err *e)
{
    struct process_group_row row = {.swarm = (char *)(uintptr_t)g->swarm,
                                    .process_group = (char *)(uintptr_t)g->group};
    struct stamp v = {0};
    bool dead = false;
    int rc = store_version(s, T_PROCESS_GROUP, &row, &v, &dead, e);
    *ret = rc == 1 && !dead ? v.hlc : 0;
    return rc < 0 ? rc : 0;
}

static void write_member(struct jw *j, const struct frozen *f, const struct group_member *m)
{
    jw_kv_string(j, "name", m->name);
    jw_kv_string(j, "node", m->owner ? frozen_name_of(f, m->owner) : NULL);
    jw_kv_string(j, "kind", m->address ? "address" : "child");
    jw_kv_raw(j, "metadata", (struct span){m->metadata, strlen(m->metadata)});
    jw_kv_time(j, "joined_at", m->at);
}

/* What every description of a group begins with. */
static int write_head(struct store *s, const struct group_name *g, struct jw *j, char ret_etag[32],
                      struct err *e)
{
    int64_t rev;
    AUTOFREE char *restart = group_restart(s, g->swarm, g->group);
    int rc = rev_of(s, g, &rev, e);
    if (rc < 0)
        return rc;
    jw_kv_string(j, "swarm", g->swarm);
    jw_kv_string(j, "group", g->group);
    jw_kv_string(j, "restart_strategy", restart);
    jw_kv_i64(j, "count", store_number(s, Q_MEMBER_COUNT, 0, "tt", g->swarm, g->group));
    jw_kv_i64_text(j, "rev", rev);
    if (ret_etag)
        snprintf(ret_etag, 32, "%lld", (long long)rev);
    return 0;
}

static int write_group(struct store *s, const struct frozen *f, const struct group_name *g, const char *after,
                       int64_t limit, struct jw *j, char ret_etag[32], struct err *e)
{
    CLEANUP(group_members_fini) struct group_members m = {0};
    int rc = group_members(s, g->swarm, g->group, after, limit, &m, e);
    if (rc < 0)
        return rc;
    jw_object(j);
    if ((rc = write_head(s, g, j, ret_etag, e)) < 0)
        return rc;
    jw_kv_array(j, "members");
    for (size_t i = 0; i < m.n; i++) {
        jw_object(j);
        write_member(j, f, &m.list[i]);
        jw_object_close(j);
    }
    jw_array_close(j);
    jw_kv_string(j, "next", m.more ? m.list[m.n - 1].name : NULL);
    jw_object_close(j);
    return 0;
}

/* ---- reads ---- */

struct list_query {
    char *after;
    int64_t limit;
};
static const struct uri_param list_params[] = {
    URI_PARAM(struct list_query, limit, URI_INT, .min = 1, .max = API_LIST_MAX),
    URI_PARAM(struct list_query, after, URI_NAME),
};

static int group_read(const struct call *c, const struct reading *r, struct str *body, struct answer *ret,
                      struct err *e)
{
    const struct list_query *q = c->query;
    struct group_name g = group_of(c);
    struct jw j = jw_init(body);
    if (!api_swarm_exists(r->store, g.swarm, e))
        return e->code;
    int rc =
        write_group(r->store, r->frozen, &g, q->after, q->limit ? q->limit : MEMBERS_LIMIT, &j, ret->etag, e);
    return rc < 0 ? rc : 200;
}

/* A group is there if somebody is in it, or somebody made it. */
static int list_one(const struct reading *r, const struct group_name *g, struct jw *j, int64_t *left,
                    struct err *e)
{
    int64_t rev;
    int rc = rev_of(r->store, g, &rev, e);
    if (rc < 0 || (!rev && store_number(r->store, Q_MEMBER_COUNT, 0, "tt", g->swarm, g->group) == 0))
        return rc;
    jw_object(j);
    rc = write_head(r->store, g, j, NULL, e);
    jw_object_close(j);
    --*left;
    return rc;
}

static int list_read(const struct call *c, const struct reading *r, struct str *body,
                     struct answer *ret UNUSED, struct err *e)
{
    const struct list_query *q = c->query;
    int64_t left = q->limit ? q->limit : API_LIST_LIMIT;
    AUTOFREE char *after = mem_dup(q->after ? q->after : "");
    struct jw j = jw_init(body);
    int rc = 1;
    if (!api_swarm_exists(r->store, c->param[0], e))
        return e->code;
    jw_object(&j);
    jw_kv_array(&j, "groups");
    while (rc == 1 && left > 0 && body->n < API_LIST_BYTES) {
        struct stmt *s = store_ask(r->store, Q_GROUP_AFTER, "tt", c->param[0], after);
        if ((rc = stmt_step(s, e)) == 1 && (rc = !col_is_null(s, 0)))
            mem_replace(&after, col_text(s, 0));
        stmt_reset(s);
        struct group_name g = {c->param[0], after};
        int one = rc == 1 ? list_one(r, &g, &j, &left, e) : 0;
        if (one < 0)
            return one;
    }
    jw_array_close(&j);
    jw_kv_string(&j, "next", rc == 1 ? after : NULL);
    jw_object_close(&j);
    return rc < 0 ? rc : 200;
}

static int no_member(const struct call *c, struct err *e)
{
    return err_set(e, SKEP_ENOTFOUND, "%s is in no group %s of swarm %s", c->param[2], c->param[1],
                   c->param[0]);
}

/* 1, or 0: it is no member. */
static int show_member(struct store *s, const struct frozen *f, const struct call *c, struct str *body,
                       struct err *e)
{
    CLEANUP(group_member_fini) struct group_member m = {0};
    struct jw j = jw_init(body);
    int rc = group_find(s, c->param[0], c->param[1], c->param[2], &m, e);
    if (rc < 1)
        return rc;
    jw_object(&j);
    jw_kv_string(&j, "swarm", c->param[0]);
    jw_kv_string(&j, "group", c->param[1]);
    write_member(&j, f, &m);
    jw_object_close(&j);
    return 1;
}

static int member_read(const struct call *c, const struct reading *r, struct str *body,
                       struct answer *ret UNUSED, struct err *e)
{
    if (!api_swarm_exists(r->store, c->param[0], e))
        return e->code;
    int rc = show_member(r->store, r->frozen, c, body, e);
    return rc == 0 ? no_member(c, e) : rc < 0 ? rc : 200;
}

/* ---- settings ---- */

static const char *const restart_words[] = {"none", "one_for_one", "one_for_all", NULL};
enum { RESTART_NONE, RESTART_ONE, RESTART_ALL };

struct group_body {
    int restart_strategy;
};
static const struct json_field group_fields[] = {
    JSON_FIELD(struct group_body, restart_strategy, JSON_WORD, .words = restart_words)};
static const struct group_body group_defaults = {.restart_strategy = RESTART_ALL};
static const struct json_table group_table =
    JSON_TABLE(struct group_body, group_fields, .defaults = &group_defaults);

static int answer_group(struct node *n, struct op *op, const struct call *c, int status, int64_t hlc)
{
    struct str body = STR_INIT;
    struct jw j = jw_init(&body);
    struct group_name g = group_of(c);
    char etag[32];
    const struct frozen *f = node_frozen(n);
    int rc = write_group(n->store, f, &g, NULL, MEMBERS_LIMIT, &j, etag, &n->fault);
    frozen_unref(f);
    if (rc < 0) {
        str_fini(&body);
        return rc;
    }
    api_answer_copies(n, op, status, &body, etag, hlc, 0);
    return 0;
}

static int audit(struct node *n, struct op *op, const struct call *c, const char *type, const char *name)
{
    AUTOSTR struct str data = STR_INIT;
    group_data(c->param[1], &data);
    return node_log(n, type, c->param[0], name, n->name, 0, op->request->who.name, str_get(&data));
}

static int group_put(struct node *n, struct op *op, const struct call *c)
{
    const struct group_body *b = c->body;
    struct group_name g = group_of(c);
    int64_t rev, now;
    struct err e;
    int rc = api_swarm_known(n, op, g.swarm);
    if (rc <= 0)
        return rc;
    if ((rc = rev_of(n->store, &g, &rev, &n->fault)) < 0)
        return rc;
    if (api_match(op->request, rev, &e) < 0)
        return api_fail(n, op, &e);
    AUTOFREE char *settings = mem_printf("{\"restart_strategy\":\"%s\"}", restart_words[b->restart_strategy]);
    struct process_group_row row = {.swarm = (char *)(uintptr_t)g.swarm,
                                    .process_group = (char *)(uintptr_t)g.group,
                                    .settings = settings};
    if ((rc = store_set(n->store, T_PROCESS_GROUP, &row, &n->fault)) < 0 ||
        (rc = rev_of(n->store, &g, &now, &n->fault)) < 0)
        return rc;
    if (now != rev)
        rc = audit(n, op, c, "group_changed", NULL);
    return rc < 0 ? rc : answer_group(n, op, c, rev ? 200 : 201, now == rev ? 0 : store_written(n->store));
}

static int group_delete(struct node *n, struct op *op, const struct call *c)
{
    struct group_name g = group_of(c);
    int64_t rev;
    struct err e;
    struct process_group_row row = {.swarm = (char *)(uintptr_t)g.swarm,
                                    .process_group = (char *)(uintptr_t)g.group};
    int rc = api_swarm_known(n, op, g.swarm);
    if (rc <= 0)
        return rc;
    if ((rc = rev_of(n->store, &g, &rev, &n->fault)) < 0)
        return rc;
    if (node_settings(n, g.swarm)->strict && op->request->who.role < ROLE_ADMIN) {
        err_set(&e, SKEP_EFORBIDDEN,
                "the swarm %s is strict: its processes leave a group themselves, and an admin "
                "deletes it",
                g.swarm);
        return api_fail(n, op, &e);
    }
    if (!rev && store_number(n->store, Q_MEMBER_COUNT, 0, "tt", g.swarm, g.group) == 0) {
        err_set(&e, SKEP_ENOTFOUND, "there is no group %s in swarm %s", g.group, g.swarm);
        return api_fail(n, op, &e);
    }
    if (api_match(op->request, rev, &e) < 0)
        return api_fail(n, op, &e);
    struct str body = STR_INIT;
    struct jw j = jw_init(&body);
    const struct frozen *f = node_frozen(n);
    rc = write_group(n->store, f, &g, NULL, MEMBERS_LIMIT, &j, NULL, &n->fault);
    frozen_unref(f);
    if (rc >= 0)
        rc = group_empty(n, g.swarm, g.group);
    if (rc >= 0)
        rc = store_kill(n->store, T_PROCESS_GROUP, &row, 0, &n->fault);
    if (rc >= 0)
        rc = audit(n, op, c, "group_deleted", NULL);
    if (rc < 0) {
        str_fini(&body);
        return rc;
    }
    api_answer_copies(n, op, 200, &body, NULL, store_written(n->store), 0);
    return 0;
}

/* ---- join, leave ---- */

struct join_body {
    struct span metadata;
};
static const struct json_field join_fields[] = {
    JSON_FIELD(struct join_body, metadata, JSON_RAW_OBJECT, .nullable = true)};
static const struct json_table join_table = JSON_TABLE(struct join_body, join_fields);

static bool is(const char *a, const char *b)
{
    return a && strcmp(a, b) == 0;
}

/* Whether what is claimed has become somebody: until then a claim of another moment may begin its life anew.
 */
static int is_born(struct node *n, const struct name_row *name)
{
    if (is(name->kind, "address"))
        return 1;
    struct child_row row = {.swarm = mem_dup(name->swarm), .name = mem_dup(name->name)};
    int rc = store_load(n->store, T_CHILD, &row, &n->fault);
    if (rc == 1)
        rc = row.epoch >= name->incarnation &&
             (row.started_at > 0 || is(row.status, "failed") || is(row.status, "stopped"));
    row_fini(T_CHILD, &row);
    return rc;
}

/* Brings the op to who decides about the name. 1: that is us, and *ret is its row, yours. */
static int at_decider(struct node *n, struct op *op, const struct call *c, struct name_row *ret)
{
    struct err e;
    int rc = api_swarm_known(n, op, c->param[0]);
    if (rc <= 0)
        return rc;
    *ret = (struct name_row){.swarm = mem_dup(c->param[0]), .name = mem_dup(c->param[2])};
    if ((rc = store_load(n->store, T_NAME, ret, &n->fault)) < 0)
        return rc;
    bool found = rc == 1;
    rc = api_to_owner(n, op, ret, found && is(ret->kind, "child"), true);
    if (rc == 3)
        return api_homeless(n, op, ret);
    if (rc != 2)
        return rc;
    if (found)
        return 1;
    err_set(&e, SKEP_ENOTFOUND, "nobody holds the name %s in swarm %s", c->param[2], c->param[0]);
    return api_fail(n, op, &e);
}

/* In a strict swarm a process joins and leaves itself; an address belongs to nobody. */
static bool may_change(struct node *n, const struct op *op, const struct name_row *name, struct err *e)
{
    return is(name->kind, "address") ||
           api_may_change(n, op, name->swarm, name->name, "joins and leaves groups", e);
}

static bool may_join(struct node *n, const struct op *op, const struct name_row *name, struct err *e)
{
    if (alias_is(name))
        err_field(e, SKEP_EARG, "name", "%s is another name of %s; let that one join", name->name,
                  name->address);
    return !alias_is(name) && may_change(n, op, name, e);
}

static void name_fini(struct name_row *row)
{
    row_fini(T_NAME, row);
}

/* An earlier try of this very join: 1. It was written, whatever became of it since. */
static int joined_before(struct node *n, const struct call *c, const char *tag, bool *ret_dead)
{
    struct member_row row = {.swarm = (char *)(uintptr_t)c->param[0],
                             .process_group = (char *)(uintptr_t)c->param[1],
                             .name = (char *)(uintptr_t)c->param[2],
                             .tag = (char *)(uintptr_t)tag};
    struct stamp v;
    return store_version(n->store, T_MEMBER, &row, &v, ret_dead, &n->fault);
}

static int answer_member(struct node *n, struct op *op, const struct call *c, int status, int64_t hlc)
{
    struct str body = STR_INIT;
    const struct frozen *f = node_frozen(n);
    int rc = show_member(n->store, f, c, &body, &n->fault);
    frozen_unref(f);
    if (rc == 1) /* who asked through another node finds it there */
        rc = group_member_stamp(n->store, c->param[0], c->param[1], c->param[2], &op->shows[0], &n->fault);
    if (rc < 1) {
        struct err e;
        str_fini(&body);
        err_set(&e, SKEP_ETIMEOUT, "%s joined %s, but is no member any more", c->param[2], c->param[1]);
        return rc < 0 ? rc : api_fail(n, op, &e);
    }
    api_answer_copies(n, op, status, &body, NULL, hlc, hlc ? 1 : 0);
    return 0;
}

static int join_serve(struct node *n, struct op *op, const struct call *c)
{
    const struct join_body *b = c->body;
    CLEANUP(name_fini) struct name_row name = {0};
    char tag[ID_TEXT];
    bool dead, is_new, wrote;
    struct err e;
    int rc = at_decider(n, op, c, &name);
    if (rc <= 0)
        return rc;
    if (!may_join(n, op, &name, &e))
        return api_fail(n, op, &e);
    if ((rc = joined_before(n, c, id_text(&op->id, tag), &dead)) != 0)
        return rc < 0 ? rc : answer_member(n, op, c, 201, store_written(n->store));
    if (op_is_late(n, op, 0)) {
        op_retry(n, op);
        return 0;
    }
    if ((rc = is_born(n, &name)) < 1) { /* it joins once it runs */
        op_wait_key(n, op, c->param[0], c->param[2]);
        return rc;
    }
    AUTOFREE char *metadata = b->metadata.n ? mem_copy(b->metadata.p, b->metadata.n) : mem_dup("{}");
    rc = group_join(n, &name, c->param[1], metadata, tag, &is_new, &wrote);
    if (rc == 0 && wrote)
        rc = audit(n, op, c, is_new ? "member_joined" : "member_changed", c->param[2]);
    return rc < 0 ? rc : answer_member(n, op, c, is_new ? 201 : 200, wrote ? store_written(n->store) : 0);
}

static int leave_serve(struct node *n, struct op *op, const struct call *c)
{
    CLEANUP(name_fini) struct name_row name = {0};
    struct str body = STR_INIT;
    struct err e;
    size_t left;
    int rc = at_decider(n, op, c, &name);
    if (rc <= 0)
        return rc;
    if (!may_change(n, op, &name, &e))
        return api_fail(n, op, &e);
    const struct frozen *f = node_frozen(n);
    int shown = show_member(n->store, f, c, &body, &n->fault);
    frozen_unref(f);
    rc = shown < 0 ? shown : group_leave(n, c->param[0], c->param[1], c->param[2], &left);
    if (rc == 0 && shown == 1)
        rc = audit(n, op, c, "member_left", c->param[2]);
    if (rc < 0 || shown < 1) {
        str_fini(&body);
        no_member(c, &e);
        return rc < 0 ? rc : api_fail(n, op, &e);
    }
    api_answer_copies(n, op, 200, &body, NULL, store_written(n->store), 1);
    return 0;
}

#define GROUPS "/v1/swarms/{swarm}/groups"
#define GROUP  "/v1/swarms/{swarm}/groups/{group}"
#define MEMBER "/v1/swarms/{swarm}/groups/{group}/members/{name}"

const struct route group_routes[] = {
    {HTTP_M_GET, GROUPS, ROLE_READ, API_READER, API_BODY_BYTES, true, list_params, COUNT(list_params),
     sizeof(struct list_query), NULL, list_read, NULL, "List the groups of a swarm, in byte order."},
    {HTTP_M_PUT, GROUP, ROLE_WRITE, API_BRAIN, API_BODY_BYTES, true, NULL, 0, 0, &group_table, NULL,
     group_put, "Make a group, or change what it does when a member fails."},
    {HTTP_M_GET, GROUP, ROLE_READ, API_READER, API_BODY_BYTES, true, list_params, COUNT(list_params),
     sizeof(struct list_query), NULL, group_read, NULL,
     "Who is in a group; nobody in one that is not there."},
    {HTTP_M_DELETE, GROUP, ROLE_WRITE, API_BRAIN, API_BODY_BYTES, true, NULL, 0, 0, NULL, NULL, group_delete,
     "Take everybody out of a group, and forget its settings."},
    {HTTP_M_PUT, MEMBER, ROLE_WRITE, API_BRAIN, API_BODY_BYTES, true, NULL, 0, 0, &join_table, NULL,
     join_serve, "Join a name to a group, or replace what its membership says."},
    {HTTP_M_GET, MEMBER, ROLE_READ, API_READER, API_BODY_BYTES, true, NULL, 0, 0, NULL, member_read, NULL,
     "Look up a member of a group."},
    {HTTP_M_DELETE, MEMBER, ROLE_WRITE, API_BRAIN, API_BODY_BYTES, true, NULL, 0, 0, NULL, NULL, leave_serve,
     "Take a name out of a group."},
    {0},
};
