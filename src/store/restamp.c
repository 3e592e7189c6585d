/* restamp: rows that were stamped while the clock was far ahead, moved back to where they belong.
 *
 * Whoever asks has made sure that no other node has them. They get stamps of the run that begins, in their
 * old order, above everything else there is, and as much earlier as the clock was wrong; so do the ranks and
 * the stamps and times inside them. The vectors fall to what is left of the old runs.
 */
#include <stdlib.h>
#include <string.h>

#include "base/hlc.h"
#include "store/inside.h"

/* Columns that hold stamps, and such that hold ms since 1970. */
static const char *const stamps[] = {"born_at", "epoch", "incarnation", "since"};
static const char *const times[] = {"at",         "created_at",   "ended_at",   "expires_at",
                                    "started_at", "forgotten_at", "updated_at", "used_at"};

struct mapped {
    int64_t from, to;
};

struct ahead_row {
    char *tbl, *key;
    size_t tbl_n, key_n;
    int64_t rank, hlc;
    bool dead;
};

struct restamp {
    struct store *s;
    int64_t limit, by_ms, era_ms; /* era_ms: the earliest moment of the wrong clock */
    struct ahead_row *rows;
    size_t rows_n, rows_cap;
    struct mapped *map; /* every stamp above the limit, sorted */
    size_t map_n, map_cap;
    int64_t last; /* the newest stamp given */
};

static bool named(const char *name, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i], name) == 0)
            return true;
    return false;
}

static void note(struct restamp *r, int64_t stamp)
{
    if (stamp <= r->limit)
        return;
    ARRAY_GROW(r->map, r->map_n, r->map_cap);
    r->map[r->map_n++] = (struct mapped){stamp, 0};
}

static int find(struct restamp *r, struct err *e)
{
    struct stmt *q = store_ask(r->s, Q_CHANGE_AHEAD, "i", r->limit);
    int rc;
    while ((rc = stmt_step(q, e)) == 1) {
        ARRAY_GROW(r->rows, r->rows_n, r->rows_cap);
        r->rows[r->rows_n++] = (struct ahead_row){.tbl = mem_copy(col_text(q, 0), col_bytes(q, 0)),
                                                  .key = mem_copy(col_text(q, 1), col_bytes(q, 1)),
                                                  .tbl_n = col_bytes(q, 0),
                                                  .key_n = col_bytes(q, 1),
                                                  .rank = col_i64(q, 2),
                                                  .hlc = col_i64(q, 3),
                                                  .dead = col_i64(q, 4) != 0};
        note(r, col_i64(q, 2));
        note(r, col_i64(q, 3));
        if (col_i64(q, 3) > r->limit && hlc_ms(col_i64(q, 3)) < r->era_ms)
            r->era_ms = hlc_ms(col_i64(q, 3));
    }
    return rc;
}

/* The values of a row, the key's only if it is dead. 1; 0: this program cannot read it. */
static int vals_of(struct restamp *r, const struct ahead_row *row, struct str *memory, struct str *bytes,
                   struct val vals[TABLE_COLS_MAX], struct str *extra, struct err *e)
{
    struct span tbl = {row->tbl, row->tbl_n}, key = {row->key, row->key_n};
    enum table_id id = table_find(tbl);
    struct val keys[TABLE_KEYS_MAX];
    memset(vals, 0, sizeof *vals * TABLE_COLS_MAX);
    if (id == T_N || !table_unkey(table_get(id), key, memory, keys))
        return 0;
    for (int k = 0; k < table_get(id)->keys_n; k++)
        vals[table_get(id)->key[k]] = keys[k];
    if (row->dead)
        return 1;
    int rc = bytes_of(r->s, tbl, key, bytes, NULL, e);
    if (rc < 1)
        return rc;
    struct err unread;
    return row_decode((struct span){str_get(bytes), bytes->n}, table_get(id)->cols, vals,
                      (size_t)table_get(id)->cols_n, extra, &unread) == 0;
}

static int note_columns(struct restamp *r, const struct ahead_row *row, struct err *e)
{
    AUTOSTR struct str memory = STR_INIT, bytes = STR_INIT, extra = STR_INIT;
    struct val vals[TABLE_COLS_MAX];
    int rc = vals_of(r, row, &memory, &bytes, vals, &extra, e);
    if (rc < 1)
        return rc;
    const struct table *t = table_get(table_find((struct span){row->tbl, row->tbl_n}));
    for (int i = 0; i < t->cols_n; i++)
        if (vals[i].type == VAL_INT && named(t->cols[i].name, stamps, COUNT(stamps)))
            note(r, vals[i].i);
    return 0;
}

static int by_stamp(const void *a, const void *b)
{
    int64_t x = ((const struct mapped *)a)->from, y = ((const struct mapped *)b)->from;
    return (x > y) - (x < y);
}

/* Order and equality stay; nothing falls below what is there already. */
static void map_make(struct restamp *r)
{
    int64_t last = r->s->hlc;
    qsort(r->map, r->map_n, sizeof *r->map, by_stamp);
    for (size_t i = 0; i < r->map_n; i++) {
        int64_t to = r->map[i].from - hlc_at(r->by_ms);
        if (i && r->map[i].from == r->map[i - 1].from)
            to = last;
        else
            last = to = to > last ? to : last + 1;
        r->map[i].to = to;
    }
}

static int64_t moved(const struct restamp *r, int64_t stamp)
{
    const struct mapped key = {stamp, 0};
    const struct mapped *m =
        stamp > r->limit ? bsearch(&key, r->map, r->map_n, sizeof *r->map, by_stamp) : NULL;
    return m ? m->to : stamp;
}

static void move_columns(const struct restamp *r, const struct table *t, struct val vals[TABLE_COLS_MAX])
{
    for (int i = 0; i < t->cols_n; i++) {
        if (vals[i].type != VAL_INT)
            continue;
        if (named(t->cols[i].name, stamps, COUNT(stamps)))
            vals[i].i = moved(r, vals[i].i);
        else if (named(t->cols[i].name, times, COUNT(times)) && vals[i].i >= r->era_ms)
            vals[i].i -= r->by_ms;
    }
}

static int move(struct restamp *r, const struct ahead_row *row, struct err *e)
{
    AUTOSTR struct str memory = STR_INIT, old = STR_INIT, extra = STR_INIT, key = STR_INIT, bytes = STR_INIT;
    struct val vals[TABLE_COLS_MAX];
    enum merged how;
    int rc = vals_of(r, row, &memory, &old, vals, &extra, e);
    if (rc < 1)
        return rc; /* it waits until the clock is there, as with everybody else */
    const struct table *t = table_get(table_find((struct span){row->tbl, row->tbl_n}));
    move_columns(r, t, vals);
    table_key(t, vals, &key);
    if (!row->dead)
        row_encode(&bytes, t->cols, vals, (size_t)t->cols_n, (struct span){str_get(&extra), extra.n});
    int64_t hlc = moved(r, row->hlc);
    r->last = hlc > r->last ? hlc : r->last + 1;
    struct remote_row fresh = {.t = table_find(table_span(t)),
                               .tbl = table_span(t),
                               .key = {str_get(&key), key.n},
                               .stamp = {moved(r, row->rank), r->last, r->s->actor},
                               .dead = row->dead,
                               .bytes = {str_get(&bytes), bytes.n}};
    rc = version_drop(r->s, table_span(t), (struct span){row->key, row->key_n}, e);
    return rc < 0 ? rc : store_merge(r->s, &fresh, &how, e);
}

static int vectors_fall(struct restamp *r, struct err *e)
{
    int rc = store_do(r->s, Q_VV_FALL, e, "i", r->limit);
    if (rc == 0)
        rc = store_do(r->s, Q_GCVV_FALL, e, "i", r->limit);
    if (rc == 0)
        rc = store_do(r->s, Q_LOG_FALL, e, "ii", r->era_ms, r->by_ms);
    return rc;
}

/* The newest of what stays. */
static int64_t newest_left(struct restamp *r)
{
    return store_number(r->s, Q_CHANGE_NEWEST, 0, "i", r->limit);
}

int store_restamp(struct store *s, int64_t limit, int64_t by_ms, int64_t *ret_rows, struct err *e)
{
    struct restamp r = {.s = s, .limit = limit, .by_ms = by_ms, .era_ms = INT64_MAX};
    int rc = find(&r, e);
    for (size_t i = 0; rc == 0 && i < r.rows_n; i++)
        rc = note_columns(&r, &r.rows[i], e);
    s->gc_floor = s->gc_floor < limit ? s->gc_floor : limit;
    s->hlc = newest_left(&r);
    s->hlc = s->hlc > s->gc_floor ? s->hlc : s->gc_floor;
    map_make(&r);
    for (size_t i = 0; rc == 0 && i < r.rows_n; i++)
        rc = move(&r, &r.rows[i], e);
    if (rc == 0)
        rc = vectors_fall(&r, e);
    if (r.last > s->written)
        s->written = r.last;
    for (size_t i = 0; i < r.rows_n; i++) {
        free(r.rows[i].tbl);
        free(r.rows[i].key);
    }
    *ret_rows = (int64_t)r.rows_n;
    free(r.rows);
    free(r.map);
    return rc;
}
