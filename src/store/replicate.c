/* replicate: what peers have given: merging, what lies aside, and deletions that nobody needs any more. What
 * a row means is not asked here; what goes to peers is page.c's.
 *
 * A row that this program cannot apply (a table it does not know, bytes that are not of the form that their
 * table has, a row that killed it twice) is taken into "change" like any other and kept aside as the bytes it
 * came as: so vectors stay true, hashes equal, and others get it from here.
 */
#include <stdio.h>
#include <string.h>

#include "store/inside.h"
#include "wire/buf.h"

/* Tables and keys are texts everywhere, also where a walk over all rows goes on behind one. */
static bool is_text(struct span s)
{
    return text_is_utf8(s.p, s.n) && (s.n == 0 || !memchr(s.p, 0, s.n));
}

int store_read_row(struct reader *r, struct remote_row *ret, struct err *e)
{
    ret->tbl = read_bytes(r);
    ret->key = read_bytes(r);
    ret->stamp.rank = read_i64(r);
    ret->stamp.hlc = read_i64(r);
    ret->stamp.actor = read_i64(r);
    uint8_t flags = read_u8(r);
    ret->dead = flags == ROW_DEAD;
    ret->doubt = flags == ROW_DOUBT;
    ret->bytes = read_bytes(r);
    if (r->bad || flags > ROW_DOUBT || ret->stamp.actor <= 0 || ret->stamp.hlc <= 0 || ret->stamp.rank < 0 ||
        !is_text(ret->tbl) || !is_text(ret->key))
        return err_set(e, SKEP_EARG, "a page of rows is malformed");
    ret->t = table_find(ret->tbl);
    return 0;
}

static int aside_put(struct store *s, const struct remote_row *row, const char *why, struct err *e)
{
    struct stmt *q = s->query[Q_ASIDE_PUT];
    s->asides = true;
    stmt_textn(q, 1, row->tbl.p, row->tbl.n);
    stmt_textn(q, 2, row->key.p, row->key.n);
    stmt_i64(q, 3, s->clock->real_ms(s->clock->self));
    stmt_text(q, 4, why);
    stmt_blob(q, 5, row->bytes.n ? row->bytes.p : "", row->bytes.n);
    return stmt_run(q, e);
}

/* An entry of before there was nearness has no rank. */
static bool ranks_fit(const struct table *t, int64_t rank, int64_t came)
{
    return came == rank || (t->distance && came == 0);
}

/* The values of a remote row: all of them, or the key only when it is dead. */
static int remote_vals(struct store *s, const struct remote_row *row, struct val vals[TABLE_COLS_MAX],
                       struct str *memory, struct str *extra, struct err *e)
{
    const struct table *t = table_get(row->t);
    struct val keys[TABLE_KEYS_MAX];
    memset(vals, 0, sizeof *vals * TABLE_COLS_MAX);
    if (!row->dead) {
        int rc = row_decode(row->bytes, t->cols, vals, (size_t)t->cols_n, extra, e);
        if (rc < 0)
            return rc;
    } else {
        if (!table_unkey(t, row->key, memory, keys))
            return err_set(e, SKEP_EARG, "a row of table %s has no key", t->name);
        for (int k = 0; k < t->keys_n; k++)
            vals[t->key[k]] = keys[k];
    }
    struct span key = key_of(s, t, vals);
    int64_t rank = table_rank(t, vals);
    if (key.n != row->key.n || memcmp(key.p, row->key.p, key.n) != 0 ||
        (!row->dead && (!ranks_fit(t, rank, row->stamp.rank) || !table_fits(t, vals))))
        return err_set(e, SKEP_EARG, "a row of table %s does not fit its key or rank", t->name);
    return 0;
}

/* Takes the row as bytes only. What was applied under its key before goes. */
static int take_aside(struct store *s, const struct remote_row *row, const char *why, struct err *e)
{
    int rc = version_drop(s, row->tbl, row->key, e);
    if (rc == 0)
        rc = version_put(s, row->tbl, row->key, &row->stamp, row->dead, row->bytes, e);
    return rc < 0 || row->dead ? rc : aside_put(s, row, why, e);
}

static int take_applied(struct store *s, const struct remote_row *row, const struct val *vals,
                        struct span extra, struct err *e)
{
    int rc = row->dead ? domain_del(s, row->t, vals, e) : domain_put(s, row->t, vals, extra, e);
    return rc < 0 ? rc : version_put(s, row->tbl, row->key, &row->stamp, row->dead, row->bytes, e);
}

/* One dot is one row: somebody lies, or forgot that he wrote. 1 if another row has it. */
static int dot_is_taken(struct store *s, const struct remote_row *row, struct err *e)
{
    struct stmt *q = store_ask(s, Q_CHANGE_DOT, "ii", row->stamp.actor, row->stamp.hlc);
    stmt_textn(q, 3, row->tbl.p, row->tbl.n);
    stmt_textn(q, 4, row->key.p, row->key.n);
    int rc = stmt_step(q, e);
    stmt_reset(q);
    return rc;
}

void store_on_loss(struct store *s,
                   int (*fn)(void *ctx, const struct remote_row *row, const struct stamp *old, struct err *e),
                   void *ctx)
{
    s->on_loss = fn;
    s->on_loss_ctx = ctx;
}

int store_merge_as(struct store *s, const struct remote_row *row, const char *aside, enum merged *ret,
                   struct err *e)
{
    AUTOSTR struct str memory = STR_INIT, extra = STR_INIT;
    struct val vals[TABLE_COLS_MAX];
    struct version old;
    int rc = version_get(s, row->tbl, row->key, &old, e);
    if (rc < 0)
        return rc;
    if (row->stamp.hlc > s->hlc)
        s->hlc = row->stamp.hlc;
    *ret = MERGED_KEPT;
    if (old.found && stamp_compare(&old.stamp, &row->stamp) >= 0)
        return 0;
    if ((rc = dot_is_taken(s, row, e)) != 0)
        return rc < 0 ? rc
                      : err_set(e, SKEP_EARG, "a row of table %.*s has the stamp of another row",
                                (int)row->tbl.n, row->tbl.p);
    if (s->on_loss && row->t != T_N && old.found && !old.dead &&
        (rc = s->on_loss(s->on_loss_ctx, row, &old.stamp, e)) < 0)
        return rc;
    struct err why = {0};
    aside = row->doubt ? STORE_ASIDE_AMBIGUOUS : aside;
    if (aside)
        err_set(&why, SKEP_EARG, "%s", aside);
    else if (row->t == T_N)
        err_set(&why, SKEP_EARG, "a table of a newer version");
    else if ((rc = remote_vals(s, row, vals, &memory, &extra, &why)) < 0 && rc != SKEP_EARG)
        return err_set(e, rc, "%s", why.text);
    *ret = why.code ? MERGED_ASIDE : MERGED_TAKEN;
    rc = why.code ? take_aside(s, row, why.text, e)
                  : take_applied(s, row, vals, (struct span){str_get(&extra), extra.n}, e);
    return rc;
}

int store_merge(struct store *s, const struct remote_row *row, enum merged *ret, struct err *e)
{
    return store_merge_as(s, row, NULL, ret, e);
}

int store_doubt(struct store *s, struct span tbl, struct span key, struct err *e)
{
    AUTOSTR struct str bytes = STR_INIT;
    struct version v;
    bool doubt;
    int rc = version_get(s, tbl, key, &v, e);
    if (rc < 0 || !v.found || v.dead)
        return rc;
    if ((rc = bytes_of(s, tbl, key, &bytes, &doubt, e)) <= 0 || doubt)
        return rc < 0 ? rc : 0;
    struct remote_row row = {.tbl = tbl, .key = key, .stamp = v.stamp, .bytes = {str_get(&bytes), bytes.n}};
    rc = take_aside(s, &row, STORE_ASIDE_AMBIGUOUS, e);
    return rc < 0 ? rc : 1;
}

/* The next row that lies aside, borrowed from the two strings. 1, 0 at the end. */
static int aside_next(struct store *s, struct str *tbl, struct str *key, struct str *row, char **ret_why,
                      struct err *e)
{
    struct stmt *q = store_ask(s, Q_ASIDE_AFTER, "tt", str_get(tbl), str_get(key));
    int rc = stmt_step(q, e);
    if (rc == 1) {
        str_clear(tbl);
        str_clear(key);
        str_clear(row);
        str_add(tbl, col_text(q, 0), col_bytes(q, 0));
        str_add(key, col_text(q, 1), col_bytes(q, 1));
        mem_replace(ret_why, col_text(q, 2));
        str_add(row, col_blob(q, 3), col_bytes(q, 3));
    }
    stmt_reset(q);
    return rc;
}

/* Applies what lies aside, if this program can. */
static int aside_apply(struct store *s, const struct remote_row *row, struct err *e)
{
    AUTOSTR struct str memory = STR_INIT, extra = STR_INIT;
    struct val vals[TABLE_COLS_MAX];
    struct remote_row r = *row;
    struct version v;
    int rc = version_get(s, row->tbl, row->key, &v, e);
    if (rc < 0 || !v.found || v.dead || (r.t = table_find(row->tbl)) == T_N)
        return rc;
    r.stamp = v.stamp;
    rc = remote_vals(s, &r, vals, &memory, &extra, e);
    if (rc < 0)
        return rc == SKEP_EARG ? 0 : rc;
    rc = domain_put(s, r.t, vals, (struct span){str_get(&extra), extra.n}, e);
    struct stmt *q = s->query[Q_ASIDE_DROP];
    stmt_textn(q, 1, row->tbl.p, row->tbl.n);
    stmt_textn(q, 2, row->key.p, row->key.n);
    return rc < 0 ? rc : stmt_run(q, e);
}

static int asides_apply(struct store *s, struct err *e)
{
    AUTOSTR struct str tbl = STR_INIT, key = STR_INIT, bytes = STR_INIT;
    AUTOFREE char *why = NULL;
    int rc = 0;
    while (rc == 0 && s->asides && (rc = aside_next(s, &tbl, &key, &bytes, &why, e)) == 1) {
        struct remote_row row = {.tbl = {str_get(&tbl), tbl.n},
                                 .key = {str_get(&key), key.n},
                                 .bytes = {str_get(&bytes), bytes.n}};
        bool held = strcmp(why, STORE_ASIDE_AMBIGUOUS) == 0 || strcmp(why, STORE_ASIDE_CRASHED) == 0;
        rc = held ? 0 : aside_apply(s, &row, e);
    }
    return rc;
}

/* The columns of a row that came as a newer version's, and that this version has. */
static int extra_apply(struct store *s, enum table_id id, struct stmt *q, struct err *e)
{
    const struct table *t = table_get(id);
    struct val vals[TABLE_COLS_MAX], came[TABLE_COLS_MAX];
    AUTOSTR struct str rest = STR_INIT;
    struct span extra;
    row_vals(q, t, vals, &extra);
    if (row_decode(extra, t->cols, came, (size_t)t->cols_n, &rest, NULL) < 0)
        return 0; /* what is not canonical there was never sent on */
    for (int i = 0; i < t->cols_n; i++)
        if (!table_is_key(t, i) && val_equal(&vals[i], &t->cols[i].def))
            vals[i] = came[i];
    return table_fits(t, vals) ? domain_put(s, id, vals, (struct span){str_get(&rest), rest.n}, e) : 0;
}

static int extras_of(struct store *s, enum table_id id, struct err *e)
{
    const struct table *t = table_get(id);
    AUTOSTR struct str sql = STR_INIT;
    str_puts(&sql, "SELECT ");
    for (int i = 0; i < t->cols_n; i++)
        str_printf(&sql, "%s, ", t->cols[i].name);
    str_printf(&sql, "extra, rowid FROM %s WHERE extra IS NOT NULL AND rowid > ?1 ORDER BY rowid LIMIT 1",
               t->name);
    struct stmt *q = stmt_new(s->db, str_get(&sql));
    int rc;
    for (int64_t after = INT64_MIN;;) {
        stmt_i64(q, 1, after);
        if ((rc = stmt_step(q, e)) < 1)
            break;
        after = col_i64(q, t->cols_n + 1);
        if ((rc = extra_apply(s, id, q, e)) < 0)
            break;
        stmt_reset(q);
    }
    stmt_free(q);
    return rc;
}

/* What this program knows, as a word. */
static void known_tables(char ret_hex[33])
{
    unsigned char sum[DIGEST16_BYTES];
    AUTOSTR struct str names = STR_INIT;
    AUTOSTR struct str hex = STR_INIT;
    for (int id = 0; id < T_N; id++) {
        const struct table *t = table_get((enum table_id)id);
        if (table_find(table_span(t)) == (enum table_id)id)
            str_printf(&names, "%s(", t->name);
        for (int i = 0; i < t->cols_n; i++)
            str_printf(&names, "%s,", t->cols[i].name);
    }
    digest16(&(struct span){str_get(&names), names.n}, 1, sum);
    str_hex(&hex, sum, sizeof sum);
    snprintf(ret_hex, 33, "%s", str_get(&hex));
}

int store_newer_apply(struct store *s, struct err *e)
{
    char now[33];
    AUTOFREE char *done = store_meta(s, "tables_known");
    known_tables(now);
    if (done && strcmp(done, now) == 0)
        return 0;
    int rc = asides_apply(s, e);
    for (int id = 0; rc == 0 && id < T_N; id++)
        rc = extras_of(s, (enum table_id)id, e);
    return rc < 0 ? rc : store_meta_set(s, "tables_known", now, e);
}

/* ---- deleting ---- */

int store_quarantine(struct store *s, const struct remote_row *row, const char *why, struct err *e)
{
    struct stmt *q = s->query[Q_QUARANTINE];
    stmt_i64(q, 1, s->clock->real_ms(s->clock->self));
    stmt_textn(q, 2, row->tbl.p, row->tbl.n);
    stmt_textn(q, 3, row->key.p, row->key.n);
    stmt_i64(q, 4, row->stamp.rank);
    stmt_i64(q, 5, row->stamp.actor);
    stmt_i64(q, 6, row->stamp.hlc);
    stmt_i64(q, 7, row->dead);
    stmt_text(q, 8, why);
    stmt_blob(q, 9, row->bytes.p, row->bytes.n);
    return stmt_run(q, e);
}

int store_quarantined(struct store *s, const struct remote_row *row, struct err *e)
{
    struct stmt *q = store_ask(s, Q_QUARANTINED, "ii", row->stamp.actor, row->stamp.hlc);
    stmt_textn(q, 3, row->tbl.p, row->tbl.n);
    stmt_textn(q, 4, row->key.p, row->key.n);
    int rc = stmt_step(q, e);
    stmt_reset(q);
    return rc;
}

int store_keep(struct store *s, enum table_id id, const void *row, const char *why, struct err *e)
{
    AUTOSTR struct str key = STR_INIT;
    AUTOSTR struct str bytes = STR_INIT;
    struct version v;
    store_key(id, row, &key);
    struct remote_row copy = {.tbl = table_span(table_get(id)), .key = {str_get(&key), key.n}};
    int rc = version_get(s, copy.tbl, copy.key, &v, e);
    if (rc < 0 || !v.found)
        return rc;
    rc = v.dead ? 0 : bytes_of(s, copy.tbl, copy.key, &bytes, NULL, e);
    copy.stamp = v.stamp;
    copy.dead = v.dead;
    copy.bytes = (struct span){str_get(&bytes), bytes.n};
    return rc < 0 ? rc : store_quarantine(s, &copy, why, e);
}

int store_take_out(struct store *s, struct span tbl, struct span key, struct err *e)
{
    return version_drop(s, tbl, key, e);
}

#define PARENTS_MAX 20 /* tombstones in one go under which something may lie */

struct tomb {
    char *tbl, *key;
    size_t tbl_n, key_n;
    struct stamp stamp;
};

/* What lies idle under it. */
static int under_drop(struct store *s, const struct tomb *t, struct err *e)
{
    enum table_id parent = table_find((struct span){t->tbl, t->tbl_n});
    AUTOFREE char *prefix = mem_printf("%s/", t->key);
    int rc = 0;
    for (int id = 0; rc == 0 && id < T_N; id++) {
        const struct table *under = table_get((enum table_id)id);
        if (!under->under || under->under != parent)
            continue;
        rc = under->keys_n > 1 ? store_drop(s, (enum table_id)id, prefix, e)
                               : version_drop(s, table_span(under), (struct span){t->key, t->key_n}, e);
    }
    return rc;
}

static int tomb_drop(struct store *s, const struct tomb *t, struct err *e)
{
    int64_t most = t->stamp.rank > t->stamp.hlc ? t->stamp.rank : t->stamp.hlc;
    int rc = version_drop(s, (struct span){t->tbl, t->tbl_n}, (struct span){t->key, t->key_n}, e);
    if (rc == 0)
        rc = under_drop(s, t, e);
    if (rc == 0)
        rc = store_gc_raise(s, t->stamp.actor, t->stamp.hlc, e);
    return rc < 0 ? rc : store_gc_raise(s, 0, most, e);
}

int store_drop_dead(struct store *s, int64_t *after, int64_t before,
                    bool (*may)(void *ctx, const struct stamp *stamp), void *ctx, int64_t rows_max,
                    int *ret_dropped, struct err *e)
{
    struct stmt *q = store_ask(s, Q_CHANGE_DEAD, "iii", *after, before, rows_max);
    struct tomb *tombs = mem_array((size_t)rows_max, sizeof *tombs);
    size_t count = 0, looked = 0;
    int rc;
    while ((rc = stmt_step(q, e)) == 1) {
        struct stamp stamp = {col_i64(q, 2), col_i64(q, 3), col_i64(q, 4)};
        looked++;
        *after = stamp.hlc;
        if (may(ctx, &stamp))
            tombs[count++] = (struct tomb){mem_copy(col_text(q, 0), col_bytes(q, 0)),
                                           mem_copy(col_text(q, 1), col_bytes(q, 1)), col_bytes(q, 0),
                                           col_bytes(q, 1), stamp};
    }
    stmt_reset(q);
    if (looked < (size_t)rows_max)
        *after = 0;
    size_t parents = 0, dropped = 0;
    for (size_t i = 0; i < count; i++) {
        if (parents == PARENTS_MAX && dropped == i)
            *after = tombs[i].stamp.hlc - 1; /* goes on here */
        if (rc >= 0 && parents < PARENTS_MAX) {
            parents += table_find((struct span){tombs[i].tbl, tombs[i].tbl_n}) == T_SESSION;
            rc = tomb_drop(s, &tombs[i], e);
            dropped++;
        }
        free(tombs[i].tbl);
        free(tombs[i].key);
    }
    free(tombs);
    *ret_dropped = rc < 0 ? 0 : (int)dropped;
    return rc < 0 ? rc : 0;
}

int store_digest(struct store *s, char ret_hex[33], struct err *e)
{
    unsigned char sum[DIGEST_BYTES];
    struct digest d;
    struct stmt *q = store_ask(s, Q_CHANGE_ALL, "");
    int rc;
    digest_init(&d);
    while ((rc = stmt_step(q, e)) == 1) {
        int64_t stamp[3] = {col_i64(q, 2), col_i64(q, 3), col_i64(q, 4)};
        if ((rc = store_is_idle(s, col_span(q, 0), col_span(q, 1), e)) < 0)
            break;
        if (rc == 1)
            continue;
        digest_add(&d, col_text(q, 0), col_bytes(q, 0) + 1);
        digest_add(&d, col_text(q, 1), col_bytes(q, 1) + 1);
        digest_add(&d, stamp, sizeof stamp);
        digest_add(&d, col_blob(q, 5), col_bytes(q, 5));
    }
    digest_end(&d, sum);
    digest_fini(&d);
    struct id id;
    memcpy(id.b, sum, sizeof id.b);
    id_text(&id, ret_hex);
    return rc;
}
