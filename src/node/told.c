/* told: keeps what is about to be replaced, has all that came told in the order of its stamps, and carries
 * what no row says. What a row means is told_rows.c's.
 */

#include <stdlib.h>
#include <string.h>

#include "base/hlc.h"
#include "node/told_inside.h"

#define NEWS_AT_ONCE 100

struct former {
    char *key; /* table and key */
    enum table_id t;
    void *row;
    UT_hash_handle hh;
};

/* ---- rows by their keys ---- */

static char *former_key(const struct remote_row *row)
{
    return mem_printf("%.*s/%.*s", (int)row->tbl.n, row->tbl.p, (int)row->key.n, row->key.p);
}

static void row_drop(enum table_id t, void *row)
{
    if (row)
        row_fini(t, row);
    free(row);
}

/* The live row that is here under this key, yours; NULL: none. */
static int row_here(struct node *n, const struct remote_row *row, void **ret)
{
    AUTOSTR struct str memory = STR_INIT;
    const struct table *t = table_get(row->t);
    struct val key[TABLE_KEYS_MAX], vals[TABLE_COLS_MAX] = {{0}};
    *ret = NULL;
    if (!table_unkey(t, row->key, &memory, key))
        return 0;
    for (int k = 0; k < t->keys_n; k++)
        vals[t->key[k]] = key[k];
    void *found = mem_array(1, t->row_bytes);
    table_fill(t, found, vals);
    int rc = store_load(n->store, row->t, found, &n->fault);
    if (rc == 1)
        *ret = found;
    else
        row_drop(row->t, found);
    return rc < 0 ? rc : 0;
}

static struct former *former_find(struct node *n, const struct remote_row *row)
{
    struct former *f;
    AUTOFREE char *key = former_key(row);
    HASH_FIND_STR(n->facts.formers, key, f);
    return f;
}

/* Sessions tell nothing themselves: their names do, and ask what the session was. */
static bool is_kept(enum table_id t)
{
    return t != T_N && (told_speaks(t) || t == T_SESSION);
}

int told_losing(struct node *n, const struct remote_row *row)
{
    if (!n->member || !is_kept(row->t))
        return 0;
    struct former *f = former_find(n, row);
    if (f) { /* of a page that failed */
        row_drop(row->t, f->row);
    } else {
        f = mem_alloc(sizeof *f);
        f->key = former_key(row);
        f->t = row->t;
        HASH_ADD_KEYPTR(hh, n->facts.formers, f->key, strlen(f->key), f);
    }
    return row_here(n, row, &f->row);
}

const void *told_former(struct node *n, const struct remote_row *row)
{
    const struct former *f = former_find(n, row);
    return f ? f->row : NULL;
}

void told_clear(struct node *n)
{
    struct former *f, *next;
    HASH_ITER(hh, n->facts.formers, f, next)
    {
        HASH_DEL(n->facts.formers, f);
        row_drop(f->t, f->row);
        free(f->key);
        free(f);
    }
}

/* ---- what no row says ---- */

static const char *const carried[] = {
    "child_fenced",       "children_forwarded", "conflict_resolved", "coordinator_shutdown",
    "drain_began",        "drain_ended",        "group_restarted",   "handover_delivered",
    "keeper_died",        "name_conflict",      "node_joined",       "node_left",
    "operation_begun",    "operation_ended",    "operation_taken",   "operation_rolled_back",
    "scoreboard_updated", "session_fenced",
};

bool told_by_no_row(const char *type)
{
    for (size_t i = 0; i < COUNT(carried); i++)
        if (strcmp(carried[i], type) == 0)
            return true;
    return false;
}

int told_carry(struct node *n, const struct log_entry *l)
{
    if (watch_frozen(n)) /* nothing may be stamped */
        return 0;
    if (table_find((struct span){"news", 4}) == T_N) /* the older program of the tests has no such table */
        return 0;
    int64_t seq = store_number(n->store, Q_NEWS_LAST, 0, "t", n->self_text) + 1;
    struct news_row row = {.node = n->self_text,
                           .slot = seq % NEWS_KEPT,
                           .seq = seq,
                           .about = (char *)(uintptr_t)(l->node ? l->node : n->name),
                           .data = (char *)(uintptr_t)l->data,
                           .epoch = l->epoch,
                           .name = (char *)(uintptr_t)l->name,
                           .swarm = (char *)(uintptr_t)l->swarm,
                           .type = (char *)(uintptr_t)l->type};
    return store_save(n->store, T_NEWS, &row, &n->fault);
}

/* The oldest news of a node that were written before that, some at a time. */
static int news_drop(struct node *n, const char *node, int64_t before_ms)
{
    struct news_row rows[NEWS_AT_ONCE] = {{0}};
    struct stmt *q = store_ask(n->store, Q_NEWS_OF, "ti", node, (int64_t)NEWS_AT_ONCE);
    size_t count = 0;
    int rc = 0;
    while (count < NEWS_AT_ONCE && (rc = store_next(q, T_NEWS, &rows[count], &n->fault)) == 1)
        count++;
    stmt_reset(q);
    for (size_t i = 0; i < count; i++) {
        struct stamp v = {0};
        if (rc >= 0)
            rc = store_version(n->store, T_NEWS, &rows[i], &v, NULL, &n->fault);
        if (rc >= 0 && hlc_ms(v.hlc) < before_ms)
            rc = store_kill(n->store, T_NEWS, &rows[i], 0, &n->fault);
        row_fini(T_NEWS, &rows[i]);
    }
    return rc < 0 ? rc : 0;
}

int told_forget(struct node *n, const char *node)
{
    return news_drop(n, node, INT64_MAX);
}

int told_sweep(struct node *n)
{
    return news_drop(n, n->self_text, n->real_ms - n->o.tombstone_min_ms);
}

/* ---- all that came ---- */

static int tell(struct node *n, struct telling *t)
{
    struct former *f = former_find(n, t->row);
    int rc = 0;
    t->old = f ? f->row : NULL;
    if (!t->row->dead)
        rc = row_here(n, t->row, &t->now);
    if (rc == 0 && (t->now || t->row->dead)) /* else it lies aside */
        rc = told_row(n, t);
    row_drop(t->row->t, TAKE(t->now));
    return rc;
}

static int by_stamp(const void *a, const void *b)
{
    const struct stamp *x = &(*(const struct remote_row *const *)a)->stamp,
                       *y = &(*(const struct remote_row *const *)b)->stamp;
    return x->hlc != y->hlc ? (x->hlc > y->hlc) - (x->hlc < y->hlc)
                            : (x->actor > y->actor) - (x->actor < y->actor);
}

int told_merged(struct node *n, const struct remote_row *rows, size_t count)
{
    AUTOFREE const struct remote_row **list = mem_array(count + 1, sizeof *list);
    size_t some = 0;
    int rc = 0;
    for (size_t i = 0; n->member && i < count; i++)
        if (rows[i].t != T_N && told_speaks(rows[i].t))
            list[some++] = &rows[i];
    if (some)
        qsort(list, some, sizeof *list, by_stamp);
    for (size_t i = 0; rc == 0 && i < some; i++) {
        crasher_note(n, list[i]);
        rc = tell(n, &(struct telling){.row = list[i], .all = rows, .n = count});
    }
    crasher_clear(n);
    told_clear(n);
    return rc;
}
