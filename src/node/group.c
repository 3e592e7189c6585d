/* group: rows of members and of groups; what a message to a group does is gather.c's. */
#include "node/group.h"

#include <stdio.h>
#include <string.h>

#include "node/brain.h"
#include "wire/json.h"
#include "wire/uri.h"

#define AT_ONCE    200
#define SWEEP_ROWS 500
/* Rows of another life are left alone for so long: its claim may be on its way. */
#define STALE_MS 60000

/* ---- reading ---- */

void group_member_fini(struct group_member *m)
{
    free(m->name);
    free(m->metadata);
    free(m->owner);
    *m = (struct group_member){0};
}

void group_members_fini(struct group_members *m)
{
    for (size_t i = 0; i < m->n; i++)
        group_member_fini(&m->list[i]);
    free(m->list);
    *m = (struct group_members){0};
}

static struct group_member member_of(struct stmt *q)
{
    return (struct group_member){.name = mem_dup(col_text(q, 0)),
                                 .metadata = mem_dup(col_is_null(q, 1) ? "{}" : col_text(q, 1)),
                                 .owner = col_is_null(q, 6) ? NULL : mem_dup(col_text(q, 6)),
                                 .incarnation = col_i64(q, 4),
                                 .at = col_i64(q, 2),
                                 .address = strcmp(col_text(q, 5), "address") == 0};
}

/* Of several joins of one name the newest comes first, and counts. */
int group_members(struct store *s, const char *swarm, const char *group, const char *after, int64_t limit,
                  struct group_members *ret, struct err *e)
{
    struct stmt *q = store_ask(s, Q_MEMBERS, "ttt", swarm, group, after ? after : "");
    int rc;
    *ret = (struct group_members){0};
    while ((rc = stmt_step(q, e)) == 1) {
        if (ret->n && strcmp(ret->list[ret->n - 1].name, col_text(q, 0)) == 0)
            continue;
        if ((int64_t)ret->n == limit) {
            ret->more = true;
            break;
        }
        ARRAY_GROW(ret->list, ret->n, ret->cap);
        ret->list[ret->n++] = member_of(q);
    }
    stmt_reset(q);
    if (rc < 0)
        group_members_fini(ret);
    return rc < 0 ? rc : 0;
}

int group_find(struct store *s, const char *swarm, const char *group, const char *name,
               struct group_member *ret, struct err *e)
{
    struct name_row row = {.swarm = mem_dup(swarm), .name = mem_dup(name)};
    struct member_row m = {0};
    int rc = store_load(s, T_NAME, &row, e), found = 0;
    struct stmt *q = store_ask(s, Q_MEMBER_JOINS, "ttti", swarm, group, name, (int64_t)AT_ONCE);
    while (rc == 1 && !found && (rc = store_next(q, T_MEMBER, &m, e)) == 1)
        found = m.incarnation == row.incarnation;
    stmt_reset(q);
    if (found)
        *ret = (struct group_member){.name = mem_dup(name),
                                     .metadata = m.metadata ? TAKE(m.metadata) : mem_dup("{}"),
                                     .owner = TAKE(row.owner),
                                     .incarnation = m.incarnation,
                                     .at = m.at,
                                     .address = strcmp(row.kind, "address") == 0};
    row_fini(T_MEMBER, &m);
    row_fini(T_NAME, &row);
    return rc < 0 ? rc : found;
}

int group_member_stamp(struct store *s, const char *swarm, const char *group, const char *name,
                       struct stamp *ret, struct err *e)
{
    struct member_row m = {0};
    struct stmt *q = store_ask(s, Q_MEMBER_JOINS, "ttti", swarm, group, name, (int64_t)1);
    int rc = store_next(q, T_MEMBER, &m, e);
    stmt_reset(q);
    if (rc == 1)
        rc = store_version(s, T_MEMBER, &m, ret, NULL, e);
    row_fini(T_MEMBER, &m);
    return rc;
}

char *group_restart(struct store *s, const char *swarm, const char *group)
{
    AUTOSTR struct str word = STR_INIT;
    struct process_group_row row = {.swarm = mem_dup(swarm), .process_group = mem_dup(group)};
    if (store_load(s, T_PROCESS_GROUP, &row, NULL) == 1 && row.settings)
        json_unquote(json_raw_member(row.settings, strlen(row.settings), "restart_strategy"), &word);
    row_fini(T_PROCESS_GROUP, &row);
    return mem_dup(word.n ? str_get(&word) : "none");
}

/* ---- writing ---- */

/* Deletes the rows that a query finds, a few at a time: it finds the first of those that are left. */
static int kill_found(struct node *n, struct stmt *(*ask)(struct node *n, const void *arg), const void *arg,
                      size_t *ret)
{
    struct member_row *rows = mem_array(AT_ONCE, sizeof *rows);
    size_t count = AT_ONCE;
    int rc = 0;
    while (rc >= 0 && count == AT_ONCE) {
        struct stmt *q = ask(n, arg);
        for (count = 0; count < AT_ONCE && (rc = store_next(q, T_MEMBER, &rows[count], &n->fault)) == 1;)
            count++;
        stmt_reset(q);
        for (size_t i = 0; i < count; i++) {
            rc = rc < 0 ? rc : store_kill(n->store, T_MEMBER, &rows[i], 0, &n->fault);
            row_fini(T_MEMBER, &rows[i]);
        }
        *ret += count;
    }
    free(rows);
    return rc < 0 ? rc : 0;
}

static struct stmt *joins_of(struct node *n, const void *arg)
{
    const char *const *key = arg;
    return store_ask(n->store, Q_MEMBER_JOINS, "ttti", key[0], key[1], key[2], (int64_t)AT_ONCE);
}

static struct stmt *all_of_name(struct node *n, const void *arg)
{
    const char *const *key = arg;
    return store_ask(n->store, Q_MEMBER_OF_NAME, "tti", key[0], key[1], (int64_t)AT_ONCE);
}

static struct stmt *all_of_group(struct node *n, const void *arg)
{
    const char *const *key = arg;
    return store_ask(n->store, Q_MEMBER_OF_GROUP, "tti", key[0], key[1], (int64_t)AT_ONCE);
}

int group_leave(struct node *n, const char *swarm, const char *group, const char *name, size_t *ret)
{
    const char *const key[] = {swarm, group, name};
    *ret = 0;
    return kill_found(n, joins_of, key, ret);
}

void group_data(const char *group, struct str *ret)
{
    struct jw j = jw_init(ret);
    jw_object(&j);
    jw_kv_string(&j, "group", group);
    jw_object_close(&j);
    jw_end(&j);
}

/* The groups that this life of the name is in. 0, < 0; the names in ret, yours each, whatever it returns. */
static int groups_of(struct node *n, const char *swarm, const char *name, char ***ret, size_t *ret_n)
{
    struct name_row row = {.swarm = mem_dup(swarm), .name = mem_dup(name)};
    size_t cap = 0;
    *ret = NULL;
    *ret_n = 0;
    int rc = store_load(n->store, T_NAME, &row, &n->fault);
    if (rc == 1) {
        struct stmt *q = store_ask(n->store, Q_GROUP_OF_NAME, "tti", swarm, name, row.incarnation);
        while ((rc = stmt_step(q, &n->fault)) == 1) {
            ARRAY_GROW(*ret, *ret_n, cap);
            (*ret)[(*ret_n)++] = mem_dup(col_text(q, 0));
        }
        stmt_reset(q);
    }
    row_fini(T_NAME, &row);
    return rc;
}

/* A name that ends leaves its groups. */
int group_forget(struct node *n, const char *swarm, const char *name)
{
    const char *const key[] = {swarm, name};
    char **groups;
    size_t count;
    int rc = groups_of(n, swarm, name, &groups, &count);
    for (size_t i = 0; i < count; i++) {
        AUTOSTR struct str data = STR_INIT;
        group_data(groups[i], &data);
        if (rc == 0)
            rc = node_log(n, "member_left", swarm, name, n->name, 0, NULL, str_get(&data));
        free(groups[i]);
    }
    free(groups);
    return rc < 0 ? rc : kill_found(n, all_of_name, key, &(size_t){0});
}

int group_empty(struct node *n, const char *swarm, const char *group)
{
    const char *const key[] = {swarm, group};
    return kill_found(n, all_of_group, key, &(size_t){0});
}

/* Nobody is away who could take it out of the group at this moment: then saying it again writes nothing.
 * Otherwise the join gets a row that no leave over there has seen. */
static bool is_whole(struct node *n)
{
    struct peer *p;
    TAILQ_FOREACH (p, &n->peers, link) {
        const struct view_node *v = view_find(&n->view, &p->id);
        if (p->member && !p->left && !(v && v->in_view))
            return false;
    }
    return true;
}

int group_join(struct node *n, const struct name_row *name, const char *group, const char *metadata,
               const char *tag, bool *ret_new, bool *ret_wrote)
{
    struct group_member old = {0};
    size_t left;
    int rc = group_find(n->store, name->swarm, group, name->name, &old, &n->fault);
    bool same = rc == 1 && strcmp(old.metadata, metadata) == 0 && is_whole(n);
    group_member_fini(&old);
    *ret_new = rc == 0;
    *ret_wrote = rc >= 0 && !same;
    if (rc < 0 || same)
        return rc < 0 ? rc : 0;
    struct member_row row = {.swarm = name->swarm,
                             .process_group = (char *)(uintptr_t)group,
                             .name = name->name,
                             .tag = (char *)(uintptr_t)tag,
                             .metadata = (char *)(uintptr_t)metadata,
                             .at = n->real_ms,
                             .incarnation = name->incarnation};
    rc = group_leave(n, name->swarm, group, name->name, &left);
    return rc < 0 ? rc : store_save(n->store, T_MEMBER, &row, &n->fault);
}

/* ---- failing together ---- */

/* Asked of its owner, like anybody's restart; one that does not run is left alone, so that two that fail
 * together do not keep each other from their pauses. */
static int restart_one(struct node *n, const char *swarm, const char *group, const char *name)
{
    struct str path = STR_INIT;
    struct request *r = mem_alloc(sizeof *r);
    str_puts(&path, "/v1/swarms/");
    uri_encode(&path, swarm, strlen(swarm));
    str_puts(&path, "/children/");
    uri_encode(&path, name, strlen(name));
    str_puts(&path, "/restart");
    r->method = HTTP_M_POST;
    r->path = str_take(&path);
    r->query = mem_dup("if=running");
    r->body = mem_dup("");
    r->who.role = ROLE_ADMIN;
    snprintf(r->who.name, sizeof r->who.name, "group:%.50s", group);
    text_whole(r->who.name);
    return op_begin(n, op_new(n, OP_OWN, r));
}

static int restart_others(struct node *n, const char *swarm, const char *group, const char *failed)
{
    CLEANUP(group_members_fini) struct group_members m = {0};
    AUTOSTR struct str data = STR_INIT;
    int rc = group_members(n->store, swarm, group, NULL, INT64_MAX, &m, &n->fault);
    for (size_t i = 0; rc == 0 && i < m.n; i++)
        if (!m.list[i].address && strcmp(m.list[i].name, failed) != 0)
            rc = restart_one(n, swarm, group, m.list[i].name);
    group_data(group, &data);
    return rc < 0 ? rc : node_log(n, "group_restarted", swarm, failed, n->name, 0, NULL, str_get(&data));
}

int group_failed(struct node *n, const char *swarm, const char *name)
{
    char **groups;
    size_t count;
    int rc = groups_of(n, swarm, name, &groups, &count);
    for (size_t i = 0; i < count; i++) {
        AUTOFREE char *word = group_restart(n->store, swarm, groups[i]);
        if (rc >= 0 && strcmp(word, "one_for_all") == 0)
            rc = restart_others(n, swarm, groups[i], name);
        free(groups[i]);
    }
    free(groups);
    return rc < 0 ? rc : 0;
}

/* ---- sweeping ---- */

static int is_stale(struct node *n, const struct member_row *m)
{
    struct name_row row = {.swarm = mem_dup(m->swarm), .name = mem_dup(m->name)};
    int rc = store_load(n->store, T_NAME, &row, &n->fault);
    bool stale = m->at + STALE_MS <= n->real_ms && own_is_home(n, m->swarm, m->name) &&
                 (rc == 0 || row.incarnation != m->incarnation);
    row_fini(T_NAME, &row);
    return rc < 0 ? rc : stale;
}

struct found {
    struct member_row rows[SWEEP_ROWS];
    size_t n;
};

static int read_slice(struct node *n, struct found *f)
{
    const struct member_row *at = n->member_at;
    struct stmt *q =
        store_ask(n->store, Q_MEMBER_AFTER, "tttti", at ? at->swarm : "", at ? at->process_group : "",
                  at ? at->name : "", at ? at->tag : "", (int64_t)SWEEP_ROWS);
    int rc = 0;
    while (f->n < SWEEP_ROWS && (rc = store_next(q, T_MEMBER, &f->rows[f->n], &n->fault)) == 1)
        f->n++;
    stmt_reset(q);
    return rc < 0 ? rc : 0;
}

/* How far the look has come: behind the last row, or at the beginning. */
static void moved(struct node *n, void *arg)
{
    struct member_row *old = n->member_at;
    n->member_at = arg;
    if (old)
        row_fini(T_MEMBER, old);
    free(old);
}

static void move_dropped(void *arg)
{
    if (arg)
        row_fini(T_MEMBER, arg);
    free(arg);
}

int group_sweep(struct node *n)
{
    AUTOFREE struct found *f = mem_alloc(sizeof *f);
    if (!node_open_now(n) || !watch_period(n, STALE_MS))
        return 0;
    int rc = read_slice(n, f);
    for (size_t i = 0; rc == 0 && i < f->n; i++) {
        rc = is_stale(n, &f->rows[i]);
        if (rc == 1)
            rc = store_kill(n->store, T_MEMBER, &f->rows[i], 0, &n->fault);
    }
    struct member_row *next = NULL;
    if (f->n == SWEEP_ROWS) {
        next = mem_alloc(sizeof *next);
        *next = f->rows[--f->n];
    }
    for (size_t i = 0; i < f->n; i++)
        row_fini(T_MEMBER, &f->rows[i]);
    eff_do(n, moved, next, move_dropped);
    return rc;
}

void group_fini(struct node *n)
{
    moved(n, NULL);
}
