/* Opening a database.
 *
 * The order: look at the header before anything is changed; make a new file ours; switch to WAL; read the
 * schema; take the checkpoint byte. Until the header was accepted nothing is written, and the close of a
 * refused file does not checkpoint it.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/ensure.h"
#include "base/mem.h"
#include "db/conn.h"

enum {
    PROGRESS_OPS = 1000, /* virtual machine steps between two looks at the clock: some ten microseconds */
    READER_BUSY_MS = 1000,
    HOLD_TRIES = 50, /* a foreign checkpoint that runs at start is waited for */
    HOLD_PAUSE_MS = 20,
    FILE_MODE = 0640,
};

static int open_file(struct db *db, const struct db_options *o, struct err *e)
{
    const char *vfs = o->vfs ? o->vfs : "unix";
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0); /* counting its memory costs a lock for every piece of it */
    if (!o->readonly && !o->vfs && !o->exclusive && !db->memory) {
        db->shim = shim_new();
        vfs = shim_vfs(db->shim);
    }
    int flags = o->readonly ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
    flags |= o->create && !o->readonly ? SQLITE_OPEN_CREATE : 0;
    int rc = sqlite3_open_v2(o->path, &db->conn, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, vfs);
    ensure(db->conn, "out of memory");
    if (rc == SQLITE_OK)
        return 0;
    int sys = sqlite3_system_errno(db->conn);
    if (sys == ENOENT && !(flags & SQLITE_OPEN_CREATE))
        return err_set(e, SKEP_ENOTFOUND, "there is no database %s", o->path);
    return err_set(e, conn_code(db, rc), "cannot open the database %s: %s%s%s", o->path,
                   sqlite3_errmsg(db->conn), sys ? ": " : "", sys ? strerror(sys) : "");
}

static int on_progress(void *self)
{
    struct db *db = self;
    return db->deadline_ms && db->boot_ms(db->clock) >= db->deadline_ms;
}

static int on_wal(void *self, sqlite3 *conn UNUSED, const char *name UNUSED, int frames)
{
    struct db *db = self;
    if (frames < db->wal_frames) /* the WAL began anew */
        db->wal_moved = 0;
    db->wal_frames = frames;
    return SQLITE_OK;
}

/* Reads through SQLite, because a descriptor of our own would drop SQLite's locks when closed. */
static bool has_magic(struct db *db)
{
    sqlite3_file *f = NULL;
    char head[16];
    if (sqlite3_file_control(db->conn, "main", SQLITE_FCNTL_FILE_POINTER, &f) || !f || !f->pMethods)
        return false;
    return f->pMethods->xRead(f, head, sizeof head, 0) == SQLITE_OK &&
           memcmp(head, "SQLite format 3", sizeof head) == 0;
}

static int refuse_header(struct db *db, const char *path, struct err *e)
{
    bool unknown_format = (sqlite3_errcode(db->conn) & 0xff) == SQLITE_ERROR;
    if (e->code != SKEP_EDAMAGED && !unknown_format)
        return err_wrap(e, "cannot read %s", path);
    if (!has_magic(db))
        return err_set(e, SKEP_EFOREIGN,
                       "%s is not a database: its first bytes are not SQLite's. Name "
                       "another path, or move the file away and restore a backup",
                       path);
    return err_set(e, SKEP_EDAMAGED,
                   "%s is damaged: its header makes no sense or the file is cut short. "
                   "Restore a backup, or move it away and let the node start anew from its peers",
                   path);
}

/* Reads nothing but the header. */
static int check_header(struct db *db, const struct db_options *o, bool *ret_new, struct err *e)
{
    int64_t pages = 0, id = 0;
    struct err why = {0};
    if (conn_ask_i64(db, "PRAGMA page_count", &pages, &why) ||
        conn_ask_i64(db, "PRAGMA application_id", &id, &why)) {
        refuse_header(db, o->path, &why);
        if (e)
            *e = why;
        return why.code;
    }
    *ret_new = pages == 0 && !o->readonly && o->create;
    if (*ret_new || o->application_id == 0 || id == o->application_id)
        return 0;
    if (pages == 0)
        return err_set(e, SKEP_EFOREIGN, "%s is an empty file", o->path);
    return err_set(e, SKEP_EFOREIGN,
                   "%s belongs to another program: its application_id is 0x%08x, not "
                   "0x%08x. Name another path",
                   o->path, (unsigned)id, (unsigned)o->application_id);
}

static int set_pragmas(struct db *db, const struct db_options *o, struct err *e)
{
    static const char common[] = "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;"
                                 "PRAGMA temp_store = MEMORY; PRAGMA mmap_size = 0;"
                                 "PRAGMA wal_autocheckpoint = 0;";
    sqlite3_db_config(db->conn, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    sqlite3_busy_timeout(db->conn, o->readonly ? READER_BUSY_MS : 0);
    int rc = db_exec(db, common, e);
    if (rc == 0 && o->readonly)
        return db_exec(db, "PRAGMA query_only = ON", e);
    return rc ? rc : db_exec(db, "PRAGMA cache_size = -65536; PRAGMA synchronous = FULL;", e);
}

/* In one transaction, for auto_vacuum writes the first page: a crash leaves an empty file or one of ours. */
static int make_ours(struct db *db, const struct db_options *o, struct err *e)
{
    if (!o->vfs && !db->memory && chmod(o->path, FILE_MODE))
        return err_set(e, SKEP_ESTORE, "cannot set the mode of %s: %s", o->path, strerror(errno));
    AUTOFREE char *sql = mem_printf("PRAGMA page_size = 4096; BEGIN; PRAGMA auto_vacuum = INCREMENTAL;"
                                    "PRAGMA application_id = %d; COMMIT;",
                                    o->application_id);
    return db_exec(db, sql, e);
}

/* SQLite opens read-only what it may not write, and what a format of the future forbids it to write. */
static int check_writable(struct db *db, const struct db_options *o, struct err *e)
{
    if (!sqlite3_db_readonly(db->conn, "main"))
        return 0;
    if (!o->vfs && access(o->path, W_OK) != 0)
        return err_set(e, SKEP_ESTORE, "%s cannot be written: %s", o->path, strerror(errno));
    return err_set(e, SKEP_EDAMAGED,
                   "%s is damaged: its header asks for a format of the future. Restore a backup", o->path);
}

static int enter_wal(struct db *db, const struct db_options *o, struct err *e)
{
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(db->conn, "PRAGMA journal_mode = WAL", -1, &s, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(s);
    const char *mode = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(s, 0) : NULL;
    bool wal = mode && strcmp(mode, db->memory ? "memory" : "wal") == 0;
    int code = mode ? 0 : conn_fail(db, rc, "entering WAL mode", e);
    sqlite3_finalize(s);
    if (code || (code = check_writable(db, o, e)))
        return code;
    return wal ? 0
               : err_set(e, SKEP_ESTORE, "%s lies on a file system without shared memory: use a local disk",
                         o->path);
}

/* The WAL as it was found. */
static void count_wal(struct db *db)
{
    sqlite3_file *f = NULL;
    sqlite3_int64 bytes = 0;
    db->page_bytes = db_i64(db, "PRAGMA page_size", 4096);
    if (sqlite3_file_control(db->conn, "main", SQLITE_FCNTL_JOURNAL_POINTER, &f) == SQLITE_OK && f &&
        f->pMethods && f->pMethods->xFileSize(f, &bytes) == SQLITE_OK && bytes > CONN_WAL_HEADER_BYTES)
        db->wal_frames = (bytes - CONN_WAL_HEADER_BYTES) / (db->page_bytes + CONN_WAL_FRAME_BYTES);
}

static int hold_checkpoints(struct db *db, struct err *e)
{
    int rc = db->shim ? SKEP_EBUSY : 0;
    for (int i = 0; rc == SKEP_EBUSY && i < HOLD_TRIES; i++) {
        rc = shim_hold(db->shim);
        if (rc == SKEP_EBUSY)
            sqlite3_sleep(HOLD_PAUSE_MS);
    }
    return rc ? err_set(e, rc, "somebody else checkpoints %s or has it open for writing: end that program",
                        db->path)
              : 0;
}

static int open_writer(struct db *db, const struct db_options *o, bool fresh, struct err *e)
{
    int rc;
    int64_t tables;
    if (fresh && (rc = make_ours(db, o, e)))
        return rc;
    if ((rc = enter_wal(db, o, e)) || (rc = set_pragmas(db, o, e)))
        return rc;
    if ((rc = conn_ask_i64(db, "SELECT count(*) FROM sqlite_schema", &tables, e)))
        return err_wrap(e, "reading the schema of %s", o->path);
    if (db->memory)
        return 0;
    sqlite3_wal_hook(db->conn, on_wal, db);
    count_wal(db);
    return hold_checkpoints(db, e);
}

static int open_reader(struct db *db, const struct db_options *o, struct err *e)
{
    int64_t tables;
    int rc = set_pragmas(db, o, e);
    if (rc == 0 && conn_ask_i64(db, "SELECT count(*) FROM sqlite_schema", &tables, e))
        return err_wrap(e, "reading the schema of %s", o->path);
    if (rc == 0 && o->read_limit_ms > 0) {
        db->boot_ms = o->boot_ms;
        db->clock = o->clock;
        db->read_limit_ms = o->read_limit_ms;
        sqlite3_progress_handler(db->conn, PROGRESS_OPS, on_progress, db);
    }
    return rc;
}

/* A reader's transaction is one snapshot for several statements. */
static int prepare_verbs(struct db *db, struct err *e)
{
    for (int i = 0; i < CONN_VERBS; i++) {
        const char *sql = i == CONN_BEGIN && db->readonly ? "BEGIN" : conn_verb_sql[i];
        int rc = sqlite3_prepare_v3(db->conn, sql, -1, SQLITE_PREPARE_PERSISTENT, &db->verbs[i], NULL);
        if (rc)
            return conn_fail(db, rc, sql, e);
    }
    return 0;
}

static int open_checked(struct db *db, const struct db_options *o, struct err *e)
{
    bool fresh = false;
    int rc = open_file(db, o, e);
    if (rc)
        return rc;
    sqlite3_db_config(db->conn, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    if (o->exclusive && (rc = db_exec(db, "PRAGMA locking_mode = EXCLUSIVE", e)))
        return rc;
    if ((rc = check_header(db, o, &fresh, e)))
        return rc;
    rc = o->readonly ? open_reader(db, o, e) : open_writer(db, o, fresh, e);
    if (rc)
        return rc;
    if (!o->readonly)
        sqlite3_db_config(db->conn, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
    return prepare_verbs(db, e);
}

int db_open(struct db **ret, const struct db_options *o, struct err *e)
{
    ensure(!o->read_limit_ms || (o->readonly && o->boot_ms), "a read limit needs a reader and a clock");
    struct db *db = mem_alloc(sizeof *db);
    db->path = mem_dup(o->path);
    db->vfs = mem_dup(o->vfs);
    db->readonly = o->readonly;
    db->memory = strcmp(o->path, ":memory:") == 0;
    db->application_id = o->application_id;
    struct err why = {0};
    int rc = open_checked(db, o, &why);
    if (rc) {
        db_close(db);
        if (e)
            *e = why;
        return rc;
    }
    *ret = db;
    return 0;
}
