#include "store/salvage.h"

#include "store/held.h"
#include "store/inside.h"

#define PROBES_MAX 200000          /* reads into damaged pages, in all */
#define ROWID_MAX  (INT64_MAX - 1) /* the number of an actor is one */

static const char *const local_tables[] = {"change", "gcvv", "aside", "quarantine"};
static const char member_sql[] = "SELECT value = '1' FROM meta WHERE key = 'member'";
static const char others_sql[] = "SELECT count(*) FROM node WHERE node NOT IN (SELECT node FROM node_mark "
                                 "WHERE forgotten_at <> 0)";

int store_sound(const char *path, struct err *e)
{
    struct db_options o = {.path = path, .readonly = true, .application_id = STORE_APPLICATION_ID};
    struct db *db;
    int rc = db_open(&db, &o, e);
    if (rc == SKEP_EFOREIGN)
        return e ? e->code = SKEP_EDAMAGED : SKEP_EDAMAGED;
    if (rc < 0)
        return rc;
    rc = db_integrity_check(db, e);
    db_close(db);
    return rc;
}

/* ---- tables, page by page ---- */

struct copying {
    struct db *from, *to;
    struct stmt *up, *down, *put; /* put: made with the first row, which tells the columns */
    const char *table;
    int64_t probes;
    bool some;
};

static void put_new(struct copying *c, struct stmt *q)
{
    AUTOSTR struct str sql = STR_INIT;
    str_printf(&sql, "INSERT OR IGNORE INTO %s (", c->table);
    for (int i = 1; i < col_count(q); i++)
        str_printf(&sql, "%s\"%s\"", i > 1 ? ", " : "", col_name(q, i));
    str_puts(&sql, ") VALUES (");
    for (int i = 1; i < col_count(q); i++)
        str_printf(&sql, "%s?%d", i > 1 ? ", " : "", i);
    str_puts(&sql, ")");
    c->put = stmt_new(c->to, str_get(&sql));
}

static void put_column(struct stmt *put, struct stmt *q, int i)
{
    switch (col_type(q, i)) {
    case DB_INTEGER:
        stmt_i64(put, i, col_i64(q, i));
        break;
    case DB_TEXT:
        stmt_textn(put, i, col_text(q, i), col_bytes(q, i));
        break;
    case DB_BLOB:
        stmt_blob(put, i, col_bytes(q, i) ? col_blob(q, i) : "", col_bytes(q, i));
        break;
    case DB_FLOAT:
    case DB_NULL:
        stmt_null(put, i);
        break;
    }
}

/* A row that its new table does not take was torn. */
static void put_row(struct copying *c, struct stmt *q)
{
    if (!c->put)
        put_new(c, q);
    for (int i = 1; i < col_count(q); i++)
        put_column(c->put, q, i);
    c->some |= stmt_run(c->put, NULL) == 0;
}

/* Rows from one end on, as far as they can be read: true if that was all. *ret_last: the last one read. */
static bool run_along(struct copying *c, struct stmt *q, int64_t low, int64_t high, int64_t *ret_last)
{
    int rc;
    stmt_i64(q, 1, low);
    stmt_i64(q, 2, high);
    while ((rc = stmt_step(q, NULL)) == 1) {
        *ret_last = col_i64(q, 0);
        put_row(c, q);
    }
    stmt_reset(q);
    return rc == 0;
}

/* What lies between two readable ends is halved, until the damaged pages are stepped over. */
static void copy_range(struct copying *c, int64_t low, int64_t high)
{
    int64_t first = low - 1, last = high + 1;
    if (low > high || c->probes-- <= 0 || run_along(c, c->up, low, high, &first) ||
        run_along(c, c->down, first + 1, high, &last) || first + 1 >= last - 1)
        return;
    int64_t middle = first + 1 + (last - 1 - (first + 1)) / 2;
    copy_range(c, first + 1, middle);
    copy_range(c, middle + 1, last - 1);
}

static bool table_exists(struct db *db, const char *table)
{
    AUTOFREE char *sql =
        mem_printf("SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = '%s'", table);
    return db_i64(db, sql, 0) == 1;
}

static bool copy_table(struct db *from, struct db *to, const char *table)
{
    struct copying c = {.from = from, .to = to, .table = table, .probes = PROBES_MAX};
    if (!table_exists(from, table))
        return false;
    AUTOFREE char *up =
        mem_printf("SELECT rowid, * FROM %s NOT INDEXED WHERE rowid BETWEEN ?1 AND ?2 ORDER BY rowid", table);
    AUTOFREE char *down = mem_printf("%s DESC", up);
    c.up = stmt_new(from, up);
    c.down = stmt_new(from, down);
    copy_range(&c, -1, ROWID_MAX);
    stmt_free(c.up);
    stmt_free(c.down);
    stmt_free(c.put);
    return c.some;
}

static int copy_tables(const char *from_path, struct store *work, struct salvage *ret, struct err *e)
{
    struct db_options o = {.path = from_path, .readonly = true};
    struct db *from;
    if (db_open(&from, &o, NULL) < 0)
        return 0;
    int rc = db_begin(work->db, e);
    for (size_t i = 0; rc == 0 && i < COUNT(local_tables); i++)
        ret->readable |= copy_table(from, work->db, local_tables[i]);
    for (int t = 0; rc == 0 && t < T_N; t++)
        ret->readable |= copy_table(from, work->db, table_get((enum table_id)t)->name);
    db_close(from);
    return rc < 0 ? rc : db_commit(work->db, e);
}

/* ---- rows that are what their version says ---- */

/* Deaths are hashed by nobody: only those that this node itself wrote, for others have theirs. */
static int own_death(struct store *work, const char *node, int64_t actor, struct err *e)
{
    struct actor_row row = {.actor = actor};
    int rc = store_load(work, T_ACTOR, &row, e);
    bool own = rc == 1 && row.node && strcmp(row.node, node) == 0;
    row_fini(T_ACTOR, &row);
    return rc < 0 ? rc : own;
}

static int row_of(struct store *work, struct stmt *q, const char *node, struct str *bytes,
                  struct remote_row *ret, struct err *e)
{
    unsigned char sum[DIGEST16_BYTES];
    *ret = (struct remote_row){.tbl = {col_text(q, 0), col_bytes(q, 0)},
                               .key = {col_text(q, 1), col_bytes(q, 1)},
                               .stamp = {col_i64(q, 2), col_i64(q, 3), col_i64(q, 4)},
                               .dead = col_i64(q, 5) != 0};
    ret->t = table_find(ret->tbl);
    if (ret->stamp.actor <= 0 || ret->stamp.hlc <= 0 || ret->stamp.rank < 0)
        return 0;
    if (ret->dead)
        return own_death(work, node, ret->stamp.actor, e);
    str_clear(bytes);
    int rc = bytes_of(work, ret->tbl, ret->key, bytes, &ret->doubt, e);
    ret->bytes = (struct span){str_get(bytes), bytes->n};
    digest16(&ret->bytes, 1, sum);
    return rc < 0 ? rc
                  : rc == 1 && col_bytes(q, 6) == sizeof sum && memcmp(sum, col_blob(q, 6), sizeof sum) == 0;
}

static int put_back(struct store *to, const struct remote_row *row, struct salvage *ret, struct err *e)
{
    enum merged how;
    int rc = store_merge(to, row, &how, e);
    if (rc == SKEP_EARG) {
        ret->lost++;
        return 0;
    }
    if (rc == 0)
        rc = store_vv_saw(to, row->stamp.actor, row->stamp.hlc, e);
    if (rc == 0 && ret->alone)
        rc = store_vv_raise(to, row->stamp.actor, row->stamp.hlc, e);
    ret->rows += !row->dead;
    ret->dead += row->dead;
    return rc;
}

static int put_all_back(struct store *work, struct store *to, const char *node, struct salvage *ret,
                        struct err *e)
{
    AUTOSTR struct str bytes = STR_INIT;
    struct stmt *q = store_ask(work, Q_CHANGE_AFTER, "tti", "", "", INT64_MAX);
    struct remote_row row;
    int rc;
    while ((rc = stmt_step(q, e)) == 1) {
        rc = row_of(work, q, node, &bytes, &row, e);
        ret->lost += rc == 0 && !row.dead;
        rc = rc == 1 ? put_back(to, &row, ret, e) : rc;
        if (rc < 0)
            break;
    }
    stmt_reset(q);
    return rc;
}

static int floors_put_back(struct store *work, struct store *to, struct err *e)
{
    AUTOVV struct vv gcvv = VV_INIT;
    int rc = store_gcvv(work, &gcvv, e);
    for (size_t i = 0; rc == 0 && i < gcvv.n; i++)
        rc = store_gc_raise(to, gcvv.e[i].actor, gcvv.e[i].hlc, e);
    return rc < 0 ? rc : store_gc_raise(to, 0, store_gc_floor(work), e);
}

static int quarantine_put_back(struct store *work, struct store *to, struct err *e)
{
    CLEANUP(held_fini) struct held h = {.bytes = STR_INIT};
    AUTOFREE char *last = mem_dup("");
    int rc;
    while ((rc = held_after(work, last, &h, e)) == 1 && !h.aside) {
        struct remote_row row = {.tbl = {h.tbl, strlen(h.tbl)},
                                 .key = {h.key, strlen(h.key)},
                                 .stamp = h.stamp,
                                 .dead = h.dead,
                                 .bytes = {str_get(&h.bytes), h.bytes.n}};
        if ((rc = store_quarantine(to, &row, h.why, e)) < 0)
            break;
        mem_replace(&last, h.id);
    }
    return rc < 0 ? rc : 0;
}

static int fill(struct store *work, struct store *to, const char *node, struct salvage *ret, struct err *e)
{
    int rc = db_begin(to->db, e);
    if (rc == 0)
        rc = put_all_back(work, to, node, ret, e);
    if (rc == 0)
        rc = floors_put_back(work, to, e);
    if (rc == 0)
        rc = quarantine_put_back(work, to, e);
    if (rc == 0)
        rc = ret->alone ? store_meta_set(to, "member", "1", e) : store_meta_set(to, "resync", "repaired", e);
    if (rc == 0)
        return db_commit(to->db, e);
    db_rollback(to->db, NULL);
    return rc;
}

/* Whether that node was a member, and the only one it knew. */
static bool was_alone(const char *from, struct store *work)
{
    struct db_options o = {.path = from, .readonly = true};
    struct db *db;
    bool member = false;
    if (db_open(&db, &o, NULL) == 0) {
        member = table_exists(db, "meta") && db_i64(db, member_sql, 0) == 1;
        db_close(db);
    }
    return member && db_i64(work->db, others_sql, 0) == 1;
}

int store_salvage(const char *from, const char *work_path, const char *to_path, const struct id *cluster,
                  const struct id *node, const char *name, const struct world_clock *clock,
                  struct salvage *ret, struct err *e)
{
    char text[ID_TEXT];
    struct store_options o = {.path = work_path, .clock = clock}, p = {.path = to_path, .clock = clock};
    struct store *work = NULL, *to = NULL;
    *ret = (struct salvage){0};
    int rc = store_create(work_path, cluster, node, name, false, NULL, e);
    if (rc == 0)
        rc = store_create(to_path, cluster, node, name, false, NULL, e);
    if (rc == 0)
        rc = store_open(&work, &o, e);
    if (rc == 0)
        rc = copy_tables(from, work, ret, e);
    store_close(work);
    work = NULL;
    if (rc == 0)
        rc = store_open(&work, &o,
                        e); /* anew: what it remembers of gcvv and of asides has come with the copy */
    if (rc == 0)
        rc = store_open(&to, &p, e);
    if (rc == 0) {
        ret->alone = was_alone(from, work);
        rc = fill(work, to, id_text(node, text), ret, e);
    }
    store_close(work);
    store_close(to);
    return rc;
}
