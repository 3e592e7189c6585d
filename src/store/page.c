/* page: what peers are given: vectors, and rows in pages, as they came or as they stand. */
#include <string.h>

#include "store/inside.h"
#include "wire/buf.h"

/* ---- vectors ---- */

static int vector(struct store *s, enum query query, struct vv *ret, struct err *e)
{
    struct stmt *q = store_ask(s, query, "");
    int rc;
    while ((rc = stmt_step(q, e)) == 1)
        if (col_i64(q, 0) == 0)
            ret->floor = col_i64(q, 1);
        else if (col_i64(q, 1) > 0)
            vv_put(ret, col_i64(q, 0), col_i64(q, 1));
    return rc;
}

int store_vv(struct store *s, struct vv *ret, struct err *e)
{
    return vector(s, Q_VV_ALL, ret, e);
}

int store_gcvv(struct store *s, struct vv *ret, struct err *e)
{
    return vector(s, Q_GCVV_ALL, ret, e);
}

int store_vv_raise(struct store *s, int64_t actor, int64_t hlc, struct err *e)
{
    return store_do(s, Q_VV_RAISE, e, "ii", actor, hlc);
}

int store_vv_saw(struct store *s, int64_t actor, int64_t hlc, struct err *e)
{
    return store_do(s, Q_VV_SAW, e, "ii", actor, hlc);
}

int store_vv_fold(struct store *s, int64_t actor, int64_t hlc, struct err *e)
{
    int rc = store_do(s, Q_VV_FORGET, e, "i", actor);
    if (rc == 0)
        rc = store_do(s, Q_GCVV_FORGET, e, "i", actor);
    return rc < 0 ? rc : store_vv_raise(s, 0, hlc, e);
}

int64_t store_actor_rows(struct store *s, int64_t actor)
{
    return store_number(s, Q_ACTOR_ROWS, 2, "i", actor);
}

int64_t store_gc_floor(const struct store *s)
{
    return s->gc_floor;
}

int store_gc_raise(struct store *s, int64_t actor, int64_t hlc, struct err *e)
{
    if (actor == 0 && hlc > s->gc_floor)
        s->gc_floor = hlc; /* also after a rollback: higher does no harm */
    if (s->gc_floor > s->hlc)
        s->hlc = s->gc_floor;
    return store_do(s, Q_GCVV_RAISE, e, "ii", actor, hlc);
}

int store_read_begin(struct store *s, struct err *e)
{
    int rc = s->snapshots ? 0 : stmt_run(s->query[Q_READ_BEGIN], e);
    s->snapshots += rc == 0;
    return rc;
}

void store_read_end(struct store *s)
{
    if (s->snapshots > 0 && --s->snapshots == 0 && db_in_transaction(s->db))
        stmt_run(s->query[Q_READ_END], NULL);
}

/* ---- rows on their way out ---- */

static int aside_bytes(struct store *s, struct span tbl, struct span key, struct str *ret, bool *ret_doubt,
                       struct err *e)
{
    struct stmt *q = s->query[Q_ASIDE_GET];
    stmt_textn(q, 1, tbl.p, tbl.n);
    stmt_textn(q, 2, key.p, key.n);
    int rc = stmt_step(q, e);
    if (rc == 1)
        str_add(ret, col_blob(q, 0), col_bytes(q, 0));
    if (rc == 1 && ret_doubt)
        *ret_doubt = strcmp(col_text(q, 1), STORE_ASIDE_AMBIGUOUS) == 0;
    stmt_reset(q);
    return rc;
}

int bytes_of(struct store *s, struct span tbl, struct span key, struct str *ret, bool *ret_doubt,
             struct err *e)
{
    AUTOSTR struct str memory = STR_INIT;
    struct val keys[TABLE_KEYS_MAX], vals[TABLE_COLS_MAX];
    struct span extra;
    enum table_id id = table_find(tbl);
    if (ret_doubt)
        *ret_doubt = false;
    if (id == T_N || !table_unkey(table_get(id), key, &memory, keys))
        return aside_bytes(s, tbl, key, ret, ret_doubt, e);
    const struct table *t = table_get(id);
    struct stmt *q = s->sql[id].get;
    for (int k = 0; k < t->keys_n; k++)
        bind_val(q, k + 1, &keys[k]);
    int rc = stmt_step(q, e);
    if (rc == 1) {
        row_vals(q, t, vals, &extra);
        row_encode(ret, t->cols, vals, (size_t)t->cols_n, extra);
    }
    stmt_reset(q);
    return rc == 0 ? aside_bytes(s, tbl, key, ret, ret_doubt, e) : rc;
}

void row_append(struct str *out, struct span tbl, struct span key, const struct stamp *stamp, bool dead,
                bool doubt, struct span bytes)
{
    buf_bytes(out, tbl.p, tbl.n);
    buf_bytes(out, key.p, key.n);
    buf_i64(out, stamp->rank);
    buf_i64(out, stamp->hlc);
    buf_i64(out, stamp->actor);
    buf_u8(out, dead ? ROW_DEAD : doubt ? ROW_DOUBT : 0);
    buf_bytes(out, bytes.p, bytes.n);
}

/* SKEP_EDAMAGED: it is not what its version says, and so must not leave this node. */
static int row_write(struct store *s, struct span tbl, struct span key, const struct stamp *stamp, bool dead,
                     struct span hash, struct str *out, struct err *e)
{
    unsigned char sum[DIGEST16_BYTES];
    bool doubt = false;
    str_clear(&s->bytes);
    int rc = dead ? 1 : bytes_of(s, tbl, key, &s->bytes, &doubt, e);
    if (rc < 0)
        return rc;
    struct span bytes = {str_get(&s->bytes), s->bytes.n};
    if (rc == 1 && !dead)
        digest16(&bytes, 1, sum);
    if (rc == 0 || (!dead && (hash.n != sizeof sum || memcmp(sum, hash.p, sizeof sum) != 0)))
        return err_set(e, SKEP_EDAMAGED, "the version table names %.*s %.*s, which is not %s", (int)tbl.n,
                       tbl.p, (int)key.n, key.p, rc == 0 ? "there" : "what its hash says");
    row_append(out, tbl, key, stamp, dead, doubt, bytes);
    return 0;
}

static bool page_full(const struct str *out, size_t start, uint32_t count)
{
    return count >= STORE_PAGE_ROWS || out->n - start >= STORE_PAGE_BYTES;
}

static struct span col_hash(struct stmt *q, int c)
{
    return (struct span){col_blob(q, c), col_bytes(q, c)};
}

/* The rows of one actor above hlc. 1: the page is full. */
static int page_actor(struct store *s, int64_t actor, int64_t above, struct str *out, size_t start,
                      uint32_t *count, bool *left_out, struct err *e)
{
    struct stmt *q = store_ask(s, Q_CHANGE_OF_ACTOR, "iii", actor, above, (int64_t)STORE_PAGE_ROWS + 1);
    int rc;
    while ((rc = stmt_step(q, e)) == 1) {
        struct stamp stamp = {col_i64(q, 2), col_i64(q, 3), actor};
        if (page_full(out, start, *count))
            break;
        rc = row_write(s, col_span(q, 0), col_span(q, 1), &stamp, col_i64(q, 4) != 0, col_hash(q, 5), out, e);
        if (rc < 0 && rc != SKEP_EDAMAGED)
            break;
        *left_out |= rc < 0;
        *count += rc == 0;
    }
    stmt_reset(q);
    return rc;
}

int store_page(struct store *s, const struct vv *have, struct str *ret_rows, uint32_t *ret_count,
               bool *ret_more, struct err *e)
{
    AUTOVV struct vv seen = VV_INIT;
    size_t start = ret_rows->n;
    bool left_out = false;
    *ret_count = 0;
    *ret_more = false;
    int rc = vector(s, Q_VV_SEEN, &seen, e);
    for (size_t i = 0; rc == 0 && i < seen.n; i++) {
        int64_t above = vv_get(have, seen.e[i].actor);
        if (seen.e[i].hlc > above)
            rc = page_actor(s, seen.e[i].actor, above, ret_rows, start, ret_count, &left_out, e);
    }
    *ret_more = rc == 1;
    return rc < 0 ? rc : left_out;
}

int store_scan_page(struct store *s, const char *tbl, const char *key, struct str *ret_rows,
                    uint32_t *ret_count, bool *ret_more, struct err *e)
{
    size_t start = ret_rows->n;
    struct stmt *q = store_ask(s, Q_CHANGE_AFTER, "tti", tbl, key, (int64_t)STORE_PAGE_ROWS + 1);
    int rc;
    *ret_count = 0;
    while ((rc = stmt_step(q, e)) == 1) {
        struct stamp stamp = {col_i64(q, 2), col_i64(q, 3), col_i64(q, 4)};
        if (page_full(ret_rows, start, *ret_count))
            break;
        if ((rc = row_write(s, col_span(q, 0), col_span(q, 1), &stamp, col_i64(q, 5) != 0, col_hash(q, 6),
                            ret_rows, e)) < 0)
            break;
        (*ret_count)++;
    }
    stmt_reset(q);
    *ret_more = rc == 1;
    return rc < 0 ? rc : 0;
}

int store_row_after(struct store *s, struct str *tbl, struct str *key, struct stamp *ret_stamp,
                    bool *ret_dead, struct err *e)
{
    struct stmt *q = store_ask(s, Q_CHANGE_AFTER, "tti", str_get(tbl), str_get(key), (int64_t)1);
    int rc = stmt_step(q, e);
    if (rc == 1) {
        str_clear(tbl);
        str_clear(key);
        str_add(tbl, col_text(q, 0), col_bytes(q, 0));
        str_add(key, col_text(q, 1), col_bytes(q, 1));
        *ret_stamp = (struct stamp){col_i64(q, 2), col_i64(q, 3), col_i64(q, 4)};
        *ret_dead = col_i64(q, 5) != 0;
    }
    stmt_reset(q);
    return rc;
}
