/* store: rows to structs and back, and the version that goes with each write. Beginning is open.c's, what
 * goes to peers and comes from them page.c's and replicate.c's.
 */
#include "store/inside.h"

#include <stdarg.h>
#include <string.h>

#include "base/ensure.h"
#include "base/hlc.h"

/* ---- asking ---- */

static void bind_args(struct stmt *q, const char *kinds, va_list ap)
{
    for (int i = 0; kinds[i]; i++)
        if (kinds[i] == 't')
            stmt_text(q, i + 1, va_arg(ap, const char *));
        else
            stmt_i64(q, i + 1, va_arg(ap, int64_t));
}

struct stmt *store_ask(struct store *s, enum query q, const char *kinds, ...)
{
    va_list ap;
    struct stmt *stmt = s->query[q];
    stmt_reset(stmt);
    va_start(ap, kinds);
    bind_args(stmt, kinds, ap);
    va_end(ap);
    return stmt;
}

int store_do(struct store *s, enum query q, struct err *e, const char *kinds, ...)
{
    va_list ap;
    struct stmt *stmt = s->query[q];
    stmt_reset(stmt);
    va_start(ap, kinds);
    bind_args(stmt, kinds, ap);
    va_end(ap);
    return stmt_run(stmt, e);
}

int64_t store_number(struct store *s, enum query q, int64_t fallback, const char *kinds, ...)
{
    va_list ap;
    struct stmt *stmt = s->query[q];
    stmt_reset(stmt);
    va_start(ap, kinds);
    bind_args(stmt, kinds, ap);
    va_end(ap);
    int64_t n = stmt_step(stmt, NULL) == 1 && !col_is_null(stmt, 0) ? col_i64(stmt, 0) : fallback;
    stmt_reset(stmt);
    return n;
}

static struct val column(struct stmt *q, int c, enum val_type type)
{
    if (col_is_null(q, c))
        return (struct val){.type = VAL_NULL};
    if (type == VAL_INT)
        return (struct val){.type = VAL_INT, .i = col_i64(q, c)};
    const char *p = type == VAL_TEXT ? col_text(q, c) : col_blob(q, c);
    return (struct val){.type = type, .p = p ? p : "", .n = col_bytes(q, c)};
}

/* The columns of a row as they come from a generated SELECT. */
void row_vals(struct stmt *q, const struct table *t, struct val vals[TABLE_COLS_MAX], struct span *extra)
{
    for (int i = 0; i < t->cols_n; i++)
        vals[i] = column(q, i, t->cols[i].type);
    *extra = (struct span){col_blob(q, t->cols_n), col_bytes(q, t->cols_n)};
}

static void row_take(struct stmt *q, enum table_id id, void *row)
{
    struct val vals[TABLE_COLS_MAX];
    struct span extra;
    const struct table *t = table_get(id);
    row_vals(q, t, vals, &extra);
    row_fini(id, row);
    table_fill(t, row, vals);
    if (extra.n)
        *(struct blob *)(void *)((char *)row + t->extra) = (struct blob){mem_copy(extra.p, extra.n), extra.n};
}

int store_next(struct stmt *q, enum table_id t, void *row, struct err *e)
{
    int rc = stmt_step(q, e);
    if (rc == 1)
        row_take(q, t, row);
    else
        row_fini(t, row);
    return rc;
}

char *store_meta(struct store *s, const char *key)
{
    struct stmt *q = store_ask(s, Q_META_GET, "t", key);
    char *value = stmt_step(q, NULL) == 1 ? mem_dup(col_text(q, 0)) : NULL;
    stmt_reset(q);
    return value;
}

int store_meta_set(struct store *s, const char *key, const char *value, struct err *e)
{
    return store_do(s, Q_META_SET, e, "tt", key, value);
}

/* ---- stamps ---- */

void store_run(struct store *s, int64_t actor)
{
    ensure(s->actor == 0, "a run begins once");
    s->actor = actor;
}

int64_t store_actor(const struct store *s)
{
    return s->actor;
}

int64_t store_hlc(const struct store *s)
{
    return s->hlc;
}

int64_t store_stamp(struct store *s)
{
    return s->hlc = hlc_next(s->hlc, s->clock->real_ms(s->clock->self));
}

void store_heard(struct store *s, int64_t hlc)
{
    if (hlc > s->hlc)
        s->hlc = hlc;
}

void store_freeze(struct store *s, const char *why)
{
    mem_replace(&s->frozen, why);
}

int64_t store_written(const struct store *s)
{
    return s->written;
}

void store_unwritten(struct store *s, int64_t written)
{
    s->written = written;
}

int64_t store_writes(const struct store *s)
{
    return s->writes;
}

/* ---- rows ---- */

int version_get(struct store *s, struct span tbl, struct span key, struct version *ret, struct err *e)
{
    struct stmt *q = s->query[Q_CHANGE_GET];
    *ret = (struct version){0};
    stmt_textn(q, 1, tbl.p, tbl.n);
    stmt_textn(q, 2, key.p, key.n);
    int rc = stmt_step(q, e);
    if (rc <= 0)
        return rc;
    ret->found = true;
    ret->stamp = (struct stamp){.rank = col_i64(q, 0), .hlc = col_i64(q, 1), .actor = col_i64(q, 2)};
    ret->dead = col_i64(q, 3) != 0;
    if (col_bytes(q, 4) == DIGEST16_BYTES)
        memcpy(ret->hash, col_blob(q, 4), DIGEST16_BYTES);
    stmt_reset(q);
    return 0;
}

static int aside_forget(struct store *s, struct span tbl, struct span key, struct err *e)
{
    struct stmt *q = s->query[Q_ASIDE_DROP];
    if (!s->asides)
        return 0;
    stmt_textn(q, 1, tbl.p, tbl.n);
    stmt_textn(q, 2, key.p, key.n);
    return stmt_run(q, e);
}

int version_put(struct store *s, struct span tbl, struct span key, const struct stamp *stamp, bool dead,
                struct span bytes, struct err *e)
{
    unsigned char hash[DIGEST16_BYTES];
    struct stmt *q = s->query[Q_CHANGE_PUT];
    int rc = aside_forget(s, tbl, key, e);
    if (rc < 0)
        return rc;
    s->writes++;
    stmt_textn(q, 1, tbl.p, tbl.n);
    stmt_textn(q, 2, key.p, key.n);
    stmt_i64(q, 3, stamp->rank);
    stmt_i64(q, 4, stamp->actor);
    stmt_i64(q, 5, stamp->hlc);
    stmt_i64(q, 6, dead);
    if (!dead) {
        digest16(&bytes, 1, hash);
        stmt_blob(q, 7, hash, sizeof hash);
    }
    return stmt_run(q, e);
}

void bind_val(struct stmt *q, int i, const struct val *v)
{
    if (v->type == VAL_INT)
        stmt_i64(q, i, v->i);
    else if (v->type == VAL_TEXT)
        stmt_textn(q, i, v->p, v->n);
    else if (v->type == VAL_BLOB)
        stmt_blob(q, i, v->p, v->n);
    else
        stmt_null(q, i);
}

static void bind_key(struct stmt *q, const struct table *t, const struct val vals[TABLE_COLS_MAX])
{
    for (int k = 0; k < t->keys_n; k++)
        bind_val(q, k + 1, &vals[t->key[k]]);
}

int domain_put(struct store *s, enum table_id id, const struct val vals[TABLE_COLS_MAX], struct span extra,
               struct err *e)
{
    const struct table *t = table_get(id);
    struct stmt *q = s->sql[id].put;
    for (int i = 0; i < t->cols_n; i++)
        bind_val(q, i + 1, &vals[i]);
    stmt_blob(q, t->cols_n + 1, extra.n ? extra.p : NULL, extra.n);
    return stmt_run(q, e);
}

int domain_del(struct store *s, enum table_id id, const struct val vals[TABLE_COLS_MAX], struct err *e)
{
    struct stmt *q = s->sql[id].del;
    bind_key(q, table_get(id), vals);
    return stmt_run(q, e);
}

struct span key_of(struct store *s, const struct table *t, const struct val vals[TABLE_COLS_MAX])
{
    str_clear(&s->key);
    table_key(t, vals, &s->key);
    return (struct span){str_get(&s->key), s->key.n};
}

int store_load(struct store *s, enum table_id id, void *row, struct err *e)
{
    struct val vals[TABLE_COLS_MAX];
    const struct table *t = table_get(id);
    struct stmt *q = s->sql[id].get;
    table_vals(t, row, vals);
    bind_key(q, t, vals);
    int rc = stmt_step(q, e);
    if (rc == 1)
        row_take(q, id, row);
    stmt_reset(q);
    return rc;
}

/* The stamp of the next local write over `old`. */
static int next_stamp(struct store *s, const struct table *t, const struct version *old, int64_t rank,
                      struct stamp *ret, struct err *e)
{
    ensure(s->actor != 0, "a write to %s before the run began", t->name);
    if (old->found && rank < old->stamp.rank)
        return err_set(e, SKEP_EFENCED, "epoch %lld is not the current one: %lld is; write no more under it",
                       (long long)rank, (long long)old->stamp.rank);
    if (s->frozen)
        return err_set(e, SKEP_ECLOCK, "%s", s->frozen);
    /* what was merged in a chain that never ended stands above the vector, and may stand above our clock */
    if (old->found && old->stamp.hlc > s->hlc)
        s->hlc = old->stamp.hlc;
    *ret = (struct stamp){.rank = rank, .hlc = store_stamp(s), .actor = s->actor};
    ensure(!old->found || stamp_compare(ret, &old->stamp) > 0,
           "a local write to %s does not exceed what is there", t->name);
    return 0;
}

static bool says_so(const struct version *there, int64_t rank, struct span bytes)
{
    unsigned char hash[DIGEST16_BYTES];
    digest16(&bytes, 1, hash);
    return there->found && !there->dead && there->stamp.rank == rank &&
           memcmp(there->hash, hash, sizeof hash) == 0;
}

static int save(struct store *s, enum table_id id, const void *row, bool always, struct err *e)
{
    struct val vals[TABLE_COLS_MAX];
    const struct table *t = table_get(id);
    const struct blob *extra = (const struct blob *)(const void *)((const char *)row + t->extra);
    struct version old;
    struct stamp stamp;
    table_vals(t, row, vals);
    if (!table_fits(t, vals))
        return err_set(e, SKEP_EARG, "what is to be written to %s is no row of it", t->name);
    struct span key = key_of(s, t, vals);
    int rc = version_get(s, table_span(t), key, &old, e);
    if (rc < 0)
        return rc;
    /* where nothing ranks rows, one that came with a rank must not fence everybody for ever */
    int64_t rank = t->epoch >= 0 || !old.found ? table_rank(t, vals) : old.stamp.rank;
    str_clear(&s->bytes);
    row_encode(&s->bytes, t->cols, vals, (size_t)t->cols_n, (struct span){extra->p, extra->n});
    if (!always && says_so(&old, rank, (struct span){str_get(&s->bytes), s->bytes.n}))
        return 0;
    rc = next_stamp(s, t, &old, rank, &stamp, e);
    if (rc < 0)
        return rc;
    rc = domain_put(s, id, vals, (struct span){extra->p, extra->n}, e);
    if (rc == 0)
        rc = version_put(s, table_span(t), key, &stamp, false, (struct span){str_get(&s->bytes), s->bytes.n},
                         e);
    if (rc == 0)
        s->written = stamp.hlc;
    return rc;
}

int store_save(struct store *s, enum table_id id, const void *row, struct err *e)
{
    return save(s, id, row, true, e);
}

int store_set(struct store *s, enum table_id id, const void *row, struct err *e)
{
    return save(s, id, row, false, e);
}

int store_kill(struct store *s, enum table_id id, const void *row, int64_t rank, struct err *e)
{
    struct val vals[TABLE_COLS_MAX];
    const struct table *t = table_get(id);
    struct version old;
    struct stamp stamp;
    table_vals(t, row, vals);
    struct span key = key_of(s, t, vals);
    int rc = version_get(s, table_span(t), key, &old, e);
    if (rc < 0 || !old.found || old.dead)
        return rc;
    rc = next_stamp(s, t, &old, rank > old.stamp.rank ? rank : old.stamp.rank, &stamp, e);
    if (rc == 0)
        rc = domain_del(s, id, vals, e);
    if (rc == 0)
        rc = version_put(s, table_span(t), key, &stamp, true, (struct span){NULL, 0}, e);
    if (rc == 0)
        s->written = stamp.hlc;
    return rc;
}

int store_version(struct store *s, enum table_id id, const void *row, struct stamp *ret_stamp, bool *ret_dead,
                  struct err *e)
{
    struct val vals[TABLE_COLS_MAX];
    struct version v;
    table_vals(table_get(id), row, vals);
    int rc = version_get(s, table_span(table_get(id)), key_of(s, table_get(id), vals), &v, e);
    if (rc < 0 || !v.found)
        return rc;
    *ret_stamp = v.stamp;
    if (ret_dead)
        *ret_dead = v.dead;
    return 1;
}

void store_key(enum table_id id, const void *row, struct str *ret)
{
    struct val vals[TABLE_COLS_MAX];
    table_vals(table_get(id), row, vals);
    table_key(table_get(id), vals, ret);
}

int version_drop(struct store *s, struct span tbl, struct span key, struct err *e)
{
    AUTOSTR struct str memory = STR_INIT;
    struct val keys[TABLE_KEYS_MAX], vals[TABLE_COLS_MAX] = {0};
    enum table_id id = table_find(tbl);
    int rc = aside_forget(s, tbl, key, e);
    if (rc == 0 && id != T_N && table_unkey(table_get(id), key, &memory, keys)) {
        for (int k = 0; k < table_get(id)->keys_n; k++)
            vals[table_get(id)->key[k]] = keys[k];
        rc = domain_del(s, id, vals, e);
    }
    struct stmt *q = s->query[Q_CHANGE_DROP];
    stmt_textn(q, 1, tbl.p, tbl.n);
    stmt_textn(q, 2, key.p, key.n);
    return rc < 0 ? rc : stmt_run(q, e);
}

int store_drop(struct store *s, enum table_id id, const char *key_prefix, struct err *e)
{
    AUTOFREE char *end = mem_printf("%s\xff", key_prefix); /* above every UTF-8 text with this prefix */
    for (;;) {
        struct stmt *q = store_ask(s, Q_CHANGE_PREFIX, "ttt", table_get(id)->name, key_prefix, end);
        int rc = stmt_step(q, e);
        if (rc <= 0)
            return rc;
        AUTOFREE char *key = mem_copy(col_text(q, 0), col_bytes(q, 0));
        size_t n = col_bytes(q, 0);
        stmt_reset(q);
        rc = version_drop(s, table_span(table_get(id)), (struct span){key, n}, e);
        if (rc < 0)
            return rc;
    }
}

int store_drop_row(struct store *s, enum table_id id, const void *row, struct err *e)
{
    AUTOSTR struct str key = STR_INIT;
    store_key(id, row, &key);
    return version_drop(s, table_span(table_get(id)), (struct span){str_get(&key), key.n}, e);
}

int store_is_idle(struct store *s, struct span tbl, struct span key, struct err *e)
{
    struct version parent;
    enum table_id id = table_find(tbl);
    if (id == T_N || !table_get(id)->under)
        return 0;
    int rc = version_get(s, table_span(table_get(table_get(id)->under)), table_parent(key), &parent, e);
    return rc < 0 ? rc : !parent.found || parent.dead;
}
