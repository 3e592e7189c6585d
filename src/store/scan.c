/* scan: the walk over all versions, and over all rows, by the keys of both. Knows damage when it sees it, and
 * not what is to be done about it.
 */
#include "store/scan.h"

#include "base/ensure.h"
#include "core/place.h"
#include "store/inside.h"
#include "wire/buf.h"
#include "wire/sums.h"

static const char after_sql[] = "SELECT tbl, key, rank, hlc, actor, dead, hash FROM change "
                                "WHERE (tbl, key) > (?1, ?2) ORDER BY tbl, key LIMIT ?3";
static const char listed_sql[] = "SELECT 1 FROM change INDEXED BY change_dot WHERE actor = ?1 AND hlc = ?2";

struct scan {
    struct store *s;
    struct stmt *after, *listed;
    struct stmt *keys[T_N]; /* of a table, behind a key */
    struct digest digest;
    bool listing;
    int table;           /* -1: the versions; then each table */
    struct str tbl, key; /* the last one looked at */
    struct str parent; /* whose rows were looked at last in this step, and whether they are idle; -1: none */
    enum table_id under;
    int idle;
};

/* The keys of a table behind one: by its primary key's index alone. */
static void keys_sql(const struct table *t, struct str *sql)
{
    AUTOSTR struct str cols = STR_INIT, marks = STR_INIT;
    for (int k = 0; k < t->keys_n; k++) {
        str_printf(&cols, "%s%s", k ? ", " : "", t->cols[t->key[k]].name);
        str_printf(&marks, "%s?%d", k ? ", " : "", k + 1);
    }
    str_printf(sql, "SELECT %s FROM %s WHERE (%s) > (%s) ORDER BY %s LIMIT ?%d", str_get(&cols), t->name,
               str_get(&cols), str_get(&marks), str_get(&cols), t->keys_n + 1);
}

struct scan *scan_new(struct store *s)
{
    struct scan *scan = mem_alloc(sizeof *scan);
    scan->s = s;
    scan->after = stmt_new(s->db, after_sql);
    scan->listed = stmt_new(s->db, listed_sql);
    for (int id = 0; id < T_N; id++) {
        AUTOSTR struct str sql = STR_INIT;
        keys_sql(table_get((enum table_id)id), &sql);
        scan->keys[id] = stmt_new(s->db, str_get(&sql));
    }
    digest_init(&scan->digest);
    scan_begin(scan, false);
    return scan;
}

void scan_free(struct scan *scan)
{
    if (!scan)
        return;
    stmt_free(scan->after);
    stmt_free(scan->listed);
    for (int id = 0; id < T_N; id++)
        stmt_free(scan->keys[id]);
    digest_fini(&scan->digest);
    str_fini(&scan->tbl);
    str_fini(&scan->key);
    str_fini(&scan->parent);
    free(scan);
}

void scan_begin(struct scan *scan, bool listing)
{
    scan->listing = listing;
    scan->table = -1;
    str_clear(&scan->tbl);
    str_clear(&scan->key);
}

unsigned scan_bucket(const char *tbl, const char *key)
{
    return (unsigned)(place_hash(tbl, key) >> 52);
}

const char *scan_damage_word(enum scan_damage d)
{
    static const char *const words[] = {
        [SCAN_SOUND] = "sound",       [SCAN_DIFFERS] = "bytes differ", [SCAN_MISSING] = "no row",
        [SCAN_ORPHAN] = "no version", [SCAN_UNDEAD] = "not dead",      [SCAN_UNLISTED] = "not in the index"};
    return words[d];
}

/* ---- one row ---- */

static void hash_of(struct scan *scan, const struct str *bytes, unsigned char ret_hash[DIGEST16_BYTES])
{
    unsigned char length[8], whole[DIGEST_BYTES];
    for (size_t i = 0; i < sizeof length; i++)
        length[i] = (unsigned char)((uint64_t)bytes->n >> (8 * i));
    digest_add(&scan->digest, length, sizeof length);
    digest_add(&scan->digest, str_get(bytes), bytes->n);
    digest_end(&scan->digest, whole);
    memcpy(ret_hash, whole, DIGEST16_BYTES);
}

static int is_listed(struct scan *scan, const struct stamp *stamp, struct err *e)
{
    stmt_i64(scan->listed, 1, stamp->actor);
    stmt_i64(scan->listed, 2, stamp->hlc);
    int rc = stmt_step(scan->listed, e);
    stmt_reset(scan->listed);
    return rc;
}

/* Fills in hash and damage of a row whose version is known. */
static int examine(struct scan *scan, struct scan_row *row, struct err *e)
{
    struct str *bytes = &scan->s->bytes;
    str_clear(bytes);
    int rc = bytes_of(scan->s, row->tbl, row->key, bytes, &row->doubt, e);
    if (rc < 0)
        return rc;
    if (rc == 1) {
        row->bytes = bytes->n;
        hash_of(scan, bytes, row->real);
    }
    if (row->dead)
        row->damage = rc == 1 ? SCAN_UNDEAD : SCAN_SOUND;
    else if (rc == 0)
        row->damage = SCAN_MISSING;
    else if (memcmp(row->real, row->stored, DIGEST16_BYTES) != 0)
        row->damage = SCAN_DIFFERS;
    if (row->damage != SCAN_SOUND)
        return 0;
    if ((rc = is_listed(scan, &row->stamp, e)) == 0)
        row->damage = SCAN_UNLISTED;
    return rc < 0 ? rc : 0;
}

int scan_look(struct scan *scan, struct span tbl, struct span key, struct scan_row *ret, struct err *e)
{
    struct version v;
    *ret = (struct scan_row){.tbl = tbl, .key = key};
    int rc = version_get(scan->s, tbl, key, &v, e);
    if (rc < 0)
        return rc;
    ret->stamp = v.stamp;
    ret->dead = v.dead || !v.found;
    memcpy(ret->stored, v.hash, sizeof v.hash);
    rc = examine(scan, ret, e);
    if (rc < 0)
        return rc;
    if (v.found)
        return 1;
    ret->dead = false;
    if (ret->damage != SCAN_UNDEAD)
        return 0;
    ret->damage = SCAN_ORPHAN;
    return 1;
}

int scan_glance(struct scan *scan, struct span tbl, struct span key, struct scan_row *ret, struct err *e)
{
    struct version v;
    int rc = version_get(scan->s, tbl, key, &v, e);
    if (rc < 0 || !v.found)
        return rc;
    *ret = (struct scan_row){.tbl = tbl, .key = key, .stamp = v.stamp, .dead = v.dead};
    memcpy(ret->stored, v.hash, sizeof v.hash);
    memcpy(ret->real, v.hash, sizeof v.hash);
    rc = v.dead ? 0 : scan_is_aside(scan, tbl, key, &ret->doubt, e);
    return rc < 0 ? rc : 1;
}

int scan_is_aside(struct scan *scan, struct span tbl, struct span key, bool *ret_doubt, struct err *e)
{
    struct stmt *q = scan->s->query[Q_ASIDE_GET];
    *ret_doubt = false;
    if (!scan->s->asides)
        return 0;
    stmt_textn(q, 1, tbl.p, tbl.n);
    stmt_textn(q, 2, key.p, key.n);
    int rc = stmt_step(q, e);
    if (rc == 1)
        *ret_doubt = strcmp(col_text(q, 1), STORE_ASIDE_AMBIGUOUS) == 0;
    stmt_reset(q);
    return rc;
}

int scan_fetch(struct scan *scan, struct span tbl, struct span key, struct str *ret_row, struct err *e)
{
    struct scan_row row;
    int rc = scan_look(scan, tbl, key, &row, e);
    if (rc <= 0 || row.damage == SCAN_DIFFERS || row.damage == SCAN_MISSING || row.damage == SCAN_ORPHAN)
        return rc < 0 ? rc : 0;
    const struct str *bytes = &scan->s->bytes; /* as the look has left them */
    row_append(ret_row, tbl, key, &row.stamp, row.dead, row.doubt,
               row.dead ? (struct span){"", 0} : (struct span){str_get(bytes), bytes->n});
    return 1;
}

/* ---- the walk ---- */

static void text_keep(struct str *to, const char *p, size_t n)
{
    str_clear(to);
    str_add(to, p ? p : "", n);
}

struct left {
    int64_t rows;
    size_t bytes;
};

static void found_one(struct left *left, const struct scan_row *row)
{
    left->rows--;
    left->bytes -= row->bytes < left->bytes ? row->bytes : left->bytes;
}

/* Rows under one parent follow each other: it is looked up once a step. */
static int is_idle(struct scan *scan, const struct scan_row *row, struct err *e)
{
    enum table_id id = table_find(row->tbl), under = id == T_N ? T_NODE : table_get(id)->under;
    struct span parent = table_parent(row->key);
    if (!under)
        return 0;
    if (scan->idle < 0 || scan->under != under || parent.n != scan->parent.n ||
        memcmp(parent.p, str_get(&scan->parent), parent.n) != 0) {
        text_keep(&scan->parent, parent.p, parent.n);
        scan->under = under;
        scan->idle = store_is_idle(scan->s, row->tbl, row->key, e);
    }
    return scan->idle;
}

/* The versions behind the cursor. 1: it went as far as it may; 0: that was the last. */
static int step_versions(struct scan *scan, struct left *left,
                         void (*found)(void *ctx, const struct scan_row *row), void *ctx, struct err *e)
{
    AUTOSTR struct str tbl = STR_INIT, key = STR_INIT; /* bound: they must not move with the cursor */
    struct stmt *q = scan->after;
    scan->idle = -1;
    text_keep(&tbl, scan->tbl.p, scan->tbl.n);
    text_keep(&key, scan->key.p, scan->key.n);
    stmt_textn(q, 1, str_get(&tbl), tbl.n);
    stmt_textn(q, 2, str_get(&key), key.n);
    stmt_i64(q, 3, left->rows + 1);
    int rc;
    while ((rc = stmt_step(q, e)) == 1 && left->rows > 0 && left->bytes > 0) {
        struct scan_row row = {.stamp = {col_i64(q, 2), col_i64(q, 3), col_i64(q, 4)},
                               .dead = col_i64(q, 5) != 0};
        text_keep(&scan->tbl, col_text(q, 0), col_bytes(q, 0));
        text_keep(&scan->key, col_text(q, 1), col_bytes(q, 1));
        row.tbl = (struct span){str_get(&scan->tbl), scan->tbl.n};
        row.key = (struct span){str_get(&scan->key), scan->key.n};
        if (col_bytes(q, 6) == DIGEST16_BYTES)
            memcpy(row.stored, col_blob(q, 6), DIGEST16_BYTES);
        if ((rc = is_idle(scan, &row, e)) < 0)
            break;
        row.idle = rc == 1;
        if (!scan->listing && (rc = examine(scan, &row, e)) < 0)
            break;
        found(ctx, &row);
        found_one(left, &row);
    }
    stmt_reset(q);
    return rc;
}

/* Below every key there is. */
static void bind_start(struct stmt *q, const struct table *t)
{
    for (int k = 0; k < t->keys_n; k++)
        if (t->cols[t->key[k]].type == VAL_INT)
            stmt_i64(q, k + 1, INT64_MIN);
        else
            stmt_text(q, k + 1, "");
}

/* Binds the key of the cursor; the values' memory is the caller's. */
static void bind_cursor(struct scan *scan, const struct table *t, struct stmt *q, struct str *memory)
{
    struct val keys[TABLE_KEYS_MAX];
    if (scan->key.n == 0 || !table_unkey(t, (struct span){str_get(&scan->key), scan->key.n}, memory, keys)) {
        bind_start(q, t);
        return;
    }
    for (int k = 0; k < t->keys_n; k++)
        bind_val(q, k + 1, &keys[k]);
}

static void key_of_row(struct scan *scan, const struct table *t, struct stmt *q)
{
    struct val vals[TABLE_COLS_MAX] = {0};
    for (int k = 0; k < t->keys_n; k++) {
        bool number = t->cols[t->key[k]].type == VAL_INT;
        const char *text = number ? NULL : col_text(q, k);
        vals[t->key[k]] = number
                              ? (struct val){.type = VAL_INT, .i = col_i64(q, k)}
                              : (struct val){.type = VAL_TEXT, .p = text ? text : "", .n = col_bytes(q, k)};
    }
    str_clear(&scan->key);
    table_key(t, vals, &scan->key);
}

static int step_table(struct scan *scan, struct left *left,
                      void (*found)(void *ctx, const struct scan_row *row), void *ctx, struct err *e)
{
    AUTOSTR struct str memory = STR_INIT;
    const struct table *t = table_get((enum table_id)scan->table);
    struct stmt *q = scan->keys[scan->table];
    int rc;
    bind_cursor(scan, t, q, &memory);
    stmt_i64(q, t->keys_n + 1, left->rows + 1);
    while ((rc = stmt_step(q, e)) == 1 && left->rows > 0) {
        struct version v;
        key_of_row(scan, t, q);
        struct scan_row row = {.tbl = table_span(t), .key = {str_get(&scan->key), scan->key.n}};
        left->rows--;
        if ((rc = version_get(scan->s, row.tbl, row.key, &v, e)) < 0)
            break;
        row.damage = SCAN_ORPHAN;
        if (!v.found)
            found(ctx, &row);
    }
    stmt_reset(q);
    return rc;
}

int scan_step(struct scan *scan, int64_t rows_max, size_t bytes_max,
              void (*found)(void *ctx, const struct scan_row *row), void *ctx, struct err *e)
{
    struct left left = {rows_max, bytes_max};
    int tables = scan->listing ? 0 : T_N;
    while (scan->table < tables) {
        int rc = scan->table < 0 ? step_versions(scan, &left, found, ctx, e)
                                 : step_table(scan, &left, found, ctx, e);
        if (rc != 0)
            return rc;
        scan->table++;
        str_clear(&scan->key);
    }
    return 0;
}

/* ---- what can be mended without anybody else ---- */

int scan_reindex(struct scan *scan, struct span tbl, struct err *e)
{
    enum table_id id = table_find(tbl);
    AUTOFREE char *sql = mem_printf("REINDEX change; REINDEX %s", id == T_N ? "aside" : table_get(id)->name);
    int rc = db_savepoint(scan->s->db, e);
    if (rc < 0)
        return rc;
    if ((rc = db_exec(scan->s->db, sql, e)) == 0)
        return db_release(scan->s->db, e);
    db_rollback_to(scan->s->db, NULL);
    return rc;
}

int scan_keep(struct scan *scan, struct span tbl, struct span key, const char *why, struct err *e)
{
    struct scan_row row;
    int rc = scan_look(scan, tbl, key, &row, e);
    if (rc <= 0 || row.bytes == 0)
        return rc < 0 ? rc : 0;
    struct remote_row copy = {
        .tbl = tbl, .key = key, .stamp = row.stamp, .bytes = {str_get(&scan->s->bytes), scan->s->bytes.n}};
    return store_quarantine(scan->s, &copy, why, e);
}

int scan_undead(struct scan *scan, struct span tbl, struct span key, const char *why, struct err *e)
{
    AUTOSTR struct str memory = STR_INIT;
    struct scan_row row;
    struct val keys[TABLE_KEYS_MAX], vals[TABLE_COLS_MAX] = {0};
    enum table_id id = table_find(tbl);
    int rc = scan_look(scan, tbl, key, &row, e);
    if (rc < 0 || row.damage != SCAN_UNDEAD)
        return rc < 0 ? rc : 0;
    if ((rc = scan_keep(scan, tbl, key, why, e)) < 0)
        return rc;
    struct stmt *q = scan->s->query[Q_ASIDE_DROP];
    stmt_textn(q, 1, tbl.p, tbl.n);
    stmt_textn(q, 2, key.p, key.n);
    rc = stmt_run(q, e);
    if (rc < 0 || id == T_N || !table_unkey(table_get(id), key, &memory, keys))
        return rc;
    for (int k = 0; k < table_get(id)->keys_n; k++)
        vals[table_get(id)->key[k]] = keys[k];
    return domain_del(scan->s, id, vals, e);
}
