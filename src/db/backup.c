/* Copies of a whole database, and checks of one: what reads every page. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/ensure.h"
#include "base/mem.h"
#include "db/conn.h"

enum { SLICE_PAGES = 256, FILE_MODE = 0640 };

static const char *vfs_of(const struct db *db)
{
    return db->vfs ? db->vfs : "unix";
}

/* Through SQLite's VFS, so that a simulated disk works as well. */
static bool file_exists(const struct db *db, const char *path)
{
    sqlite3_vfs *v = sqlite3_vfs_find(vfs_of(db));
    int there = 0;
    return v->xAccess(v, path, SQLITE_ACCESS_EXISTS, &there) == SQLITE_OK && there;
}

static void file_remove(const struct db *db, const char *path)
{
    sqlite3_vfs *v = sqlite3_vfs_find(vfs_of(db));
    v->xDelete(v, path, 0);
}

/* Under an exclusive lock SQLite keeps it, emptied. */
static void journal_remove(const struct db *db, const char *path)
{
    AUTOFREE char *journal = mem_printf("%s-journal", path);
    file_remove(db, journal);
}

/* SQLite makes the file at the first look into it, readable for all. */
static int make_file(const struct db *db, struct db *to, struct err *e)
{
    int rc = db_exec(to, "PRAGMA user_version", e);
    if (rc == 0 && !db->vfs && chmod(to->path, FILE_MODE))
        rc = err_set(e, SKEP_ESTORE, "cannot set the mode of %s: %s", to->path, strerror(errno));
    return rc;
}

static int copy_slices(struct db *db, struct db *to, bool (*go_on)(void *), void *self, struct err *e)
{
    sqlite3_backup *b = sqlite3_backup_init(to->conn, "main", db->conn, "main");
    if (!b)
        return conn_fail(to, sqlite3_extended_errcode(to->conn), "starting a backup", e);
    int rc;
    bool stopped = false;
    while ((rc = sqlite3_backup_step(b, SLICE_PAGES)) == SQLITE_OK && !stopped)
        stopped = go_on && !go_on(self);
    int end = sqlite3_backup_finish(b);
    if (rc == SQLITE_DONE && end == SQLITE_OK)
        return 0;
    if (stopped && rc == SQLITE_OK)
        return err_set(e, SKEP_ETIMEOUT, "the backup was given up");
    return conn_fail(to, rc == SQLITE_DONE ? end : rc, "copying the database", e);
}

/* A copy leaves as one file without WAL, so that it opens on any medium. What is changed in it needs no
 * journal: nobody has it yet. */
static int copy_finish(struct db *to, const char *change_sql, struct err *e)
{
    int rc = db_exec(to, "PRAGMA journal_mode = DELETE", e);
    if (rc || !change_sql)
        return rc;
    sqlite3_db_config(to->conn, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    rc = db_exec(to, "PRAGMA journal_mode = OFF; PRAGMA secure_delete = ON", e);
    if (rc == 0)
        rc = db_exec(to, change_sql, e);
    return rc ? rc : db_exec(to, "PRAGMA incremental_vacuum", e);
}

static int backup_to(struct db *db, struct db *to, const char *change_sql, bool (*go_on)(void *), void *self,
                     struct err *e)
{
    bool own = !db_in_transaction(db);
    int rc = make_file(db, to, e);
    if (rc == 0) /* nobody looks at half a copy */
        rc = db_exec(to, "PRAGMA locking_mode = EXCLUSIVE; PRAGMA synchronous = OFF", e);
    if (rc)
        return rc;
    rc = own ? db_exec(db, "BEGIN; SELECT count(*) FROM sqlite_schema;", e) : 0;
    if (rc == 0)
        rc = copy_slices(db, to, go_on, self, e);
    if (own)
        db_rollback(db, NULL);
    return rc ? rc : copy_finish(to, change_sql, e);
}

int db_backup(struct db *db, const char *path, const char *change_sql, bool (*go_on)(void *self), void *self,
              struct err *e)
{
    if (file_exists(db, path))
        return err_set(e, SKEP_EARG, "%s exists already: name a new file", path);
    struct db to = {.path = (char *)path};
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    int rc = sqlite3_open_v2(path, &to.conn, flags, vfs_of(db));
    ensure(to.conn, "out of memory");
    rc = rc ? conn_fail(&to, rc, path, e) : backup_to(db, &to, change_sql, go_on, self, e);
    sqlite3_close(to.conn);
    journal_remove(db, path);
    if (rc)
        file_remove(db, path);
    return rc;
}

static int check(struct db *db, char *sql TAKES, struct err *e)
{
    sqlite3_stmt *s = NULL;
    ensure(sql, "out of memory");
    int rc = sqlite3_prepare_v2(db->conn, sql, -1, &s, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(s);
    const char *verdict = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(s, 0) : NULL;
    int code = 0;
    if (!verdict)
        code = conn_fail(db, rc, sql, e);
    else if (strcmp(verdict, "ok") != 0)
        code = err_set(e, SKEP_EDAMAGED, "%s is damaged: %.400s", db->path, verdict);
    sqlite3_finalize(s);
    sqlite3_free(sql);
    return code;
}

int db_quick_check(struct db *db, struct err *e)
{
    return check(db, sqlite3_mprintf("PRAGMA quick_check(1)"), e);
}

int db_quick_check_table(struct db *db, const char *table, struct err *e)
{
    return check(db, sqlite3_mprintf("PRAGMA quick_check(%Q)", table), e);
}

int db_integrity_check(struct db *db, struct err *e)
{
    return check(db, sqlite3_mprintf("PRAGMA integrity_check(1)"), e);
}
