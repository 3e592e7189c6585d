/* open: a file becomes a store, brought to this program's schema, with its statements prepared; and the first
 * rows of a new one. Reading and writing are store.c's.
 */
#include "store/inside.h"

#include "base/ensure.h"
#include "db/migrate.h"
#include "store/sql_embedded.h"

static void columns(const struct table *t, struct str *s)
{
    for (int i = 0; i < t->cols_n; i++)
        str_printf(s, "%s, ", t->cols[i].name);
    str_puts(s, "extra");
}

static void where_key(const struct table *t, struct str *s)
{
    for (int k = 0; k < t->keys_n; k++)
        str_printf(s, "%s%s = ?%d", k ? " AND " : " WHERE ", t->cols[t->key[k]].name, k + 1);
}

static void put_sql(const struct table *t, struct str *s)
{
    str_printf(s, "INSERT INTO %s (", t->name);
    columns(t, s);
    str_puts(s, ") VALUES (");
    for (int i = 0; i <= t->cols_n; i++)
        str_printf(s, "%s?%d", i ? ", " : "", i + 1);
    str_puts(s, ") ON CONFLICT (");
    for (int k = 0; k < t->keys_n; k++)
        str_printf(s, "%s%s", k ? ", " : "", t->cols[t->key[k]].name);
    str_puts(s, ") DO UPDATE SET extra = excluded.extra");
    for (int i = 0; i < t->cols_n; i++)
        if (!table_is_key(t, i))
            str_printf(s, ", %s = excluded.%s", t->cols[i].name, t->cols[i].name);
}

static void prepare(struct store *s)
{
    AUTOSTR struct str sql = STR_INIT;
    for (int id = 0; id < T_N; id++) {
        const struct table *t = table_get((enum table_id)id);
        row_cols_check(t->cols, (size_t)t->cols_n);
        str_clear(&sql);
        str_puts(&sql, "SELECT ");
        columns(t, &sql);
        str_printf(&sql, " FROM %s", t->name);
        where_key(t, &sql);
        s->sql[id].get = stmt_new(s->db, str_get(&sql));
        str_clear(&sql);
        put_sql(t, &sql);
        s->sql[id].put = stmt_new(s->db, str_get(&sql));
        str_clear(&sql);
        str_printf(&sql, "DELETE FROM %s", t->name);
        where_key(t, &sql);
        s->sql[id].del = stmt_new(s->db, str_get(&sql));
    }
    for (int q = 0; q < Q_N; q++) {
        const struct query_text *text = query_get((enum query)q);
        str_clear(&sql);
        if (text->t != T_N) {
            str_puts(&sql, "SELECT ");
            columns(table_get(text->t), &sql);
            str_printf(&sql, " FROM %s ", table_get(text->t)->name);
        }
        str_puts(&sql, text->sql);
        s->query[q] = stmt_new(s->db, str_get(&sql));
    }
}

static int migrate(struct db *db, struct err *e)
{
    struct db_migration list[64];
    ensure(sql_migrations_n <= (int)COUNT(list), "%d migrations", sql_migrations_n);
    for (int i = 0; i < sql_migrations_n; i++)
        list[i] = (struct db_migration){sql_migrations[i].name, sql_migrations[i].sql};
    return db_migrate(db, list, sql_migrations_n, e);
}

static void db_options_of(const struct store_options *o, bool create, struct db_options *ret)
{
    *ret = (struct db_options){.path = o->path,
                               .vfs = o->vfs,
                               .readonly = o->readonly,
                               .create = create,
                               .exclusive = o->exclusive,
                               .application_id = STORE_APPLICATION_ID,
                               .read_limit_ms = o->read_limit_ms};
    if (o->clock) {
        ret->boot_ms = o->clock->boot_ms;
        ret->clock = o->clock->self;
    }
}

/* Lines as one: "a; b". */
static char *one_line(const struct str *lines)
{
    struct str s = STR_INIT;
    for (size_t i = 0; i < lines->n; i++)
        if (lines->p[i] != '\n')
            str_putc(&s, lines->p[i]);
        else if (i + 1 < lines->n)
            str_puts(&s, "; ");
    return str_take(&s);
}

/* DDL by the file's owner is not guarded against, but noticed: fatal where it took or changed what is needed.
 */
static int schema_check(struct store *s, const char *path, struct err *e)
{
    AUTOSTR struct str difference = STR_INIT;
    int rc = db_schema_differs(s->db, sql_schema, &difference);
    if (rc == 0)
        return 0;
    s->notice = one_line(&difference);
    if (rc == 1)
        return 0;
    return err_set(e, SKEP_EDAMAGED,
                   "the schema of %s is not skep's any more; undo this with sqlite3, or restore the file: %s",
                   path, s->notice);
}

const char *store_notice(const struct store *s)
{
    return s->notice;
}

int store_open(struct store **ret, const struct store_options *o, struct err *e)
{
    struct store *s = mem_alloc(sizeof *s);
    struct db_options options;
    db_options_of(o, false, &options);
    s->clock = o->clock;
    int rc = db_open(&s->db, &options, e);
    if (rc == 0 && !o->readonly)
        rc = migrate(s->db, e);
    if (rc == 0 && !o->readonly)
        rc = schema_check(s, o->path, e);
    if (rc < 0) {
        store_close(s);
        return rc;
    }
    prepare(s);
    AUTOVV struct vv vv = VV_INIT;
    if ((rc = store_vv(s, &vv, e)) < 0) {
        store_close(s);
        return rc;
    }
    s->hlc = vv_max(&vv);
    s->schema = db_i64(s->db, "PRAGMA user_version", 0);
    s->gc_floor = store_number(s, Q_GC_FLOOR, 0, "");
    s->asides = store_number(s, Q_ASIDE_SOME, 0, "") != 0;
    if (s->gc_floor > s->hlc)
        s->hlc = s->gc_floor;
    *ret = s;
    return 0;
}

void store_close(struct store *s)
{
    if (!s)
        return;
    db_close(s->db);
    str_fini(&s->key);
    str_fini(&s->bytes);
    free(s->notice);
    free(s->frozen);
    free(s);
}

int store_check_slice(struct store *s, size_t i, struct err *e)
{
    static const char *const local[] = {"change", "log", "meta", "vv", "gcvv", "quarantine", "aside"};
    if (i >= T_N + COUNT(local))
        return 0;
    int rc = db_quick_check_table(s->db, i < T_N ? table_get((enum table_id)i)->name : local[i - T_N], e);
    return rc < 0 ? rc : 1;
}

int64_t store_schema(struct store *s)
{
    return s->schema;
}

struct db *store_db(struct store *s)
{
    return s->db;
}

static int meta_put(struct db *db, const char *key, const char *value, struct err *e)
{
    struct stmt *q = stmt_new(db, query_get(Q_META_SET)->sql);
    stmt_text(q, 1, key);
    stmt_text(q, 2, value);
    int rc = stmt_run(q, e);
    stmt_free(q);
    return rc;
}

static int identity_put(struct db *db, const struct id *cluster, const struct id *node, const char *name,
                        bool member, const char *hash, struct err *e)
{
    char text[ID_TEXT];
    int rc = meta_put(db, "cluster", id_text(cluster, text), e);
    if (rc == 0)
        rc = meta_put(db, "node", id_text(node, text), e);
    if (rc == 0)
        rc = meta_put(db, "name", name, e);
    if (rc == 0)
        rc = meta_put(db, "member", member ? "1" : "0", e);
    if (rc == 0 && hash) /* becomes a token row with the first run: a row needs an actor */
        rc = meta_put(db, "admin_token_hash", hash, e);
    return rc;
}

int store_create(const char *path, const struct id *cluster, const struct id *node, const char *node_name,
                 bool member, const char *admin_token_hash, struct err *e)
{
    struct store_options o = {.path = path};
    return store_create_in(&o, cluster, node, node_name, member, admin_token_hash, e);
}

int store_create_in(const struct store_options *o, const struct id *cluster, const struct id *node,
                    const char *node_name, bool member, const char *admin_token_hash, struct err *e)
{
    struct db_options options;
    struct db *db;
    db_options_of(o, true, &options);
    int rc = db_open(&db, &options, e);
    if (rc < 0)
        return rc;
    if (db_i64(db, "PRAGMA user_version", 0) != 0)
        rc = err_set(e, SKEP_EARG, "%s is a node's database already; choose an empty folder", o->path);
    if (rc == 0)
        rc = migrate(db, e);
    if (rc == 0 && (rc = db_begin(db, e)) == 0) {
        rc = identity_put(db, cluster, node, node_name, member, admin_token_hash, e);
        rc = rc == 0 ? db_commit(db, e) : (db_rollback(db, NULL), rc);
    }
    db_close(db);
    return rc;
}
