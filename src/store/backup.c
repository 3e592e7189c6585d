/* backup: what is kept of a node's database in a backup, and what a node makes of it.
 *
 * Two kinds of node can be made of a backup. The founder of a new cluster takes the nodes it lists for lost
 * (meta "restored" = "founder": its first run forgets them). A node that joined the cluster of the backup has
 * old rows of it, and says so (meta "resync" = "restored"): others may have deleted some of them since.
 */
#include "store/backup.h"

#include <string.h>

#include "base/when.h"
#include "store/inside.h"
#include "store/sql_embedded.h"

/* On the copy. 'of', 'at' and 'version' follow by meta_put's statement. */
static const char strip_sql[] =
    "BEGIN;"
    "UPDATE meta SET key = 'backup_of' WHERE key = 'name';"
    "DELETE FROM meta WHERE key NOT IN ('cluster', 'backup_of');"
    "DELETE FROM log;"
    "INSERT INTO meta (key, value) VALUES ('backup_at', %s), ('backup_version', %s);"
    "COMMIT;";
static const char *const meta_sql = "SELECT value FROM meta WHERE key = ?1";
static const char ran_sql[] = "SELECT EXISTS (SELECT 1 FROM actor WHERE node = "
                              "(SELECT value FROM meta WHERE key = 'node'))";
static const char forget_backup_sql[] = "DELETE FROM meta WHERE key GLOB 'backup_*'";

void backup_facts_fini(struct backup_facts *f)
{
    free(f->cluster);
    free(f->of);
    free(f->at);
    free(f->version);
    *f = (struct backup_facts){0};
}

/* ---- taking one ---- */

static char *quoted(const char *text)
{
    struct str s = STR_INIT;
    str_putc(&s, '\'');
    for (; *text; text++) {
        if (*text == '\'')
            str_putc(&s, '\'');
        str_putc(&s, *text);
    }
    str_putc(&s, '\'');
    return str_take(&s);
}

int store_backup(const char *path, const char *to, const char *version, const struct world_clock *clock,
                 bool (*go_on)(void *self), void *self, struct err *e)
{
    char now[WHEN_TEXT];
    AUTOFREE char *at = quoted(when_text(clock->real_ms(clock->self), now)), *by = quoted(version);
    AUTOFREE char *sql = mem_printf(strip_sql, at, by);
    struct db_options o = {.path = path, .readonly = true, .application_id = STORE_APPLICATION_ID};
    struct db *db;
    int rc = db_open(&db, &o, e);
    if (rc < 0)
        return rc;
    rc = db_backup(db, to, sql, go_on, self, e);
    db_close(db);
    return rc;
}

/* ---- checking one ---- */

static char *meta_of(struct db *db, const char *key)
{
    struct stmt *q = stmt_new(db, meta_sql);
    stmt_text(q, 1, key);
    char *value = stmt_step(q, NULL) == 1 ? mem_dup(col_text(q, 0)) : NULL;
    stmt_free(q);
    return value;
}

/* The row behind a live version: there, and what its hash says. */
static int row_check(struct store *s, struct span tbl, struct span key, struct span hash, struct err *e)
{
    unsigned char sum[DIGEST16_BYTES];
    str_clear(&s->bytes);
    int rc = bytes_of(s, tbl, key, &s->bytes, NULL, e);
    if (rc < 0)
        return rc;
    struct span bytes = {str_get(&s->bytes), s->bytes.n};
    digest16(&bytes, 1, sum);
    if (rc == 1 && hash.n == sizeof sum && memcmp(sum, hash.p, sizeof sum) == 0)
        return 0;
    return err_set(e, SKEP_EDAMAGED, "the row %.*s of table %.*s is %s", (int)key.n, key.p, (int)tbl.n, tbl.p,
                   rc == 1 ? "not what its hash says" : "missing");
}

static int versions_check(struct store *s, struct backup_facts *f, struct err *e)
{
    struct stmt *q = store_ask(s, Q_CHANGE_AFTER, "tti", "", "", INT64_MAX);
    int rc;
    while ((rc = stmt_step(q, e)) == 1) {
        struct span tbl = {col_text(q, 0), col_bytes(q, 0)}, key = {col_text(q, 1), col_bytes(q, 1)};
        bool dead = col_i64(q, 5) != 0;
        f->dead += dead;
        f->rows += !dead;
        rc = dead ? 0 : row_check(s, tbl, key, (struct span){col_blob(q, 6), col_bytes(q, 6)}, e);
        if (rc < 0)
            break;
    }
    stmt_reset(q);
    return rc;
}

/* No row without a version: what is in the tables is as much as the versions name. */
static int rows_check(struct store *s, const struct backup_facts *f, struct err *e)
{
    int64_t there = db_i64(s->db, "SELECT count(*) FROM aside", -1);
    for (int t = 0; t < T_N; t++) {
        AUTOFREE char *sql = mem_printf("SELECT count(*) FROM %s", table_get((enum table_id)t)->name);
        there += db_i64(s->db, sql, -1);
    }
    if (there == f->rows)
        return 0;
    return err_set(e, SKEP_EDAMAGED, "%lld rows are there, and versions of %lld", (long long)there,
                   (long long)f->rows);
}

static int contents_check(struct store *s, struct backup_facts *f, struct err *e)
{
    int rc = versions_check(s, f, e);
    if (rc == 0)
        rc = rows_check(s, f, e);
    if (rc == 0)
        rc = store_digest(s, f->digest, e);
    f->whole = rc == 0;
    return rc;
}

/* The structure of the file and what it says of itself. 1: its schema is that of this program. */
static int file_check(const char *path, struct backup_facts *f, struct err *e)
{
    struct db_options o = {.path = path, .readonly = true, .application_id = STORE_APPLICATION_ID};
    struct db *db;
    int rc = db_open(&db, &o, e);
    if (rc < 0)
        return rc;
    int64_t version = db_i64(db, "PRAGMA user_version", 0);
    if (version > sql_migrations_n)
        rc = err_set(e, SKEP_ENEWER, "%s was made by a newer skep: its schema is %lld, ours %d", path,
                     (long long)version, sql_migrations_n);
    if (rc == 0 && (rc = db_integrity_check(db, e)) == 0) {
        f->cluster = meta_of(db, "cluster");
        f->of = meta_of(db, "backup_of");
        f->at = meta_of(db, "backup_at");
        f->version = meta_of(db, "backup_version");
    }
    db_close(db);
    return rc < 0 ? rc : version == sql_migrations_n;
}

int store_backup_check(const char *path, struct backup_facts *ret, struct err *e)
{
    CLEANUP(backup_facts_fini) struct backup_facts f = {0};
    struct store_options o = {.path = path, .readonly = true};
    struct store *s;
    int rc = file_check(path, &f, e);
    if (rc >= 0 && (!f.at || !f.cluster))
        return err_set(e, SKEP_EARG,
                       "%s is a database of skep, but no backup that skep backup took; the folder of a "
                       "stopped node is copied whole, and runs as it is",
                       path);
    if (rc == 1 && (rc = store_open(&s, &o, e)) == 0) {
        rc = contents_check(s, &f, e);
        store_close(s);
    }
    if (rc < 0)
        return rc;
    *ret = f;
    f = (struct backup_facts){0};
    return 0;
}

/* ---- making a node of one ---- */

struct identity {
    char *cluster, *node, *name, *member, *hash;
};

static void identity_fini(struct identity *i)
{
    free(i->cluster);
    free(i->node);
    free(i->name);
    free(i->member);
    free(i->hash);
}

static int identity_read(const char *path, struct identity *ret, struct err *e)
{
    struct store_options o = {.path = path};
    struct store *s;
    int rc = store_open(&s, &o, e);
    if (rc < 0)
        return rc;
    *ret = (struct identity){.cluster = store_meta(s, "cluster"),
                             .node = store_meta(s, "node"),
                             .name = store_meta(s, "name"),
                             .member = store_meta(s, "member"),
                             .hash = store_meta(s, "admin_token_hash")};
    if (!ret->cluster || !ret->node || !ret->name || !ret->member)
        rc = err_set(e, SKEP_EDAMAGED, "%s does not say who this node is", path);
    else if (db_i64(s->db, ran_sql, 1))
        rc = err_set(e, SKEP_EARG,
                     "the node of %s has run already, and what it knows would be lost; make a new one with "
                     "skep init or skep join",
                     path);
    store_close(s);
    return rc;
}

static int identity_write(struct store *s, const struct identity *i, struct err *e)
{
    bool founder = strcmp(i->member, "1") == 0;
    int rc = store_meta_set(s, "cluster", i->cluster, e);
    if (rc == 0)
        rc = store_meta_set(s, "node", i->node, e);
    if (rc == 0)
        rc = store_meta_set(s, "name", i->name, e);
    if (rc == 0)
        rc = store_meta_set(s, "member", i->member, e);
    if (rc == 0 && i->hash)
        rc = store_meta_set(s, "admin_token_hash", i->hash, e);
    if (rc == 0 && founder)
        rc = store_meta_set(s, "restored", "founder", e);
    if (rc == 0 && !founder)
        rc = store_meta_set(s, "resync", "restored", e);
    return rc < 0 ? rc : db_exec(s->db, forget_backup_sql, e);
}

static int become(struct store *s, const struct identity *i, struct err *e)
{
    struct backup_facts f = {0};
    AUTOFREE char *at = store_meta(s, "backup_at"), *cluster = store_meta(s, "cluster");
    int rc = at && cluster ? contents_check(s, &f, e) : err_set(e, SKEP_EARG, "this is no backup");
    if (rc == 0 && strcmp(i->member, "1") != 0 && strcmp(cluster, i->cluster) != 0)
        rc = err_set(e, SKEP_EARG,
                     "the backup is of cluster %s, and this node joined cluster %s, which gives it all its "
                     "rows: start it as it is",
                     cluster, i->cluster);
    if (rc == 0)
        rc = db_begin(s->db, e);
    if (rc == 0)
        rc = (rc = identity_write(s, i, e)) == 0 ? db_commit(s->db, e) : (db_rollback(s->db, NULL), rc);
    return rc;
}

int store_restore(const char *copy, const char *fresh, struct err *e)
{
    CLEANUP(identity_fini) struct identity i = {0};
    struct store_options o = {.path = copy};
    struct store *s;
    int rc = identity_read(fresh, &i, e);
    if (rc == 0)
        rc = store_open(&s, &o, e);
    if (rc < 0)
        return rc;
    rc = become(s, &i, e);
    store_close(s);
    return rc;
}
