/* The one translation of SQLite's result codes, and steps under a deadline. */
#include "db/conn.h"

#include <errno.h>

#include "base/ensure.h"

/* What SQLite calls an I/O error may be a full disk (the WAL index grows by ftruncate and write, quotas
 * have an errno of their own), or a file that ends where a page should be. A failed fsync is never
 * taken for a full disk: nobody knows what it lost. */
static int code_of_ioerr(struct db *db, int rc)
{
    int sys = sqlite3_system_errno(db->conn);
    switch (rc) {
    case SQLITE_IOERR_SHMSIZE:
        return SKEP_EDISKFULL;
    case SQLITE_IOERR_WRITE:
        return sys == ENOSPC || sys == EDQUOT ? SKEP_EDISKFULL : SKEP_EIO;
    case SQLITE_IOERR_SHORT_READ:
    case SQLITE_IOERR_DATA:
    case SQLITE_IOERR_CORRUPTFS:
        return SKEP_EDAMAGED;
    default:
        return SKEP_EIO;
    }
}

int conn_code(struct db *db, int rc)
{
    ensure(rc != SQLITE_NOMEM && rc != SQLITE_IOERR_NOMEM, "out of memory");
    ensure((rc & 0xff) != SQLITE_MISUSE, "SQLite misused: %s", sqlite3_errmsg(db->conn));
    switch (rc & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return 0;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
        return SKEP_EBUSY;
    case SQLITE_FULL:
        return SKEP_EDISKFULL;
    case SQLITE_IOERR:
        return code_of_ioerr(db, rc);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return SKEP_EDAMAGED;
    case SQLITE_INTERRUPT:
        return SKEP_ETIMEOUT;
    default:
        return SKEP_ESTORE;
    }
}

int conn_fail(struct db *db, int rc, const char *doing, struct err *e)
{
    int code = conn_code(db, rc);
    if (code == SKEP_ETIMEOUT)
        return err_set(e, code, "the read took longer than %d ms: ask for less: %.300s", db->read_limit_ms,
                       doing);
    return err_set(e, code, "%s (SQLite %d): %.300s", sqlite3_errmsg(db->conn), rc, doing);
}

int64_t conn_deadline(struct db *db)
{
    return db->read_limit_ms ? db->boot_ms(db->clock) + db->read_limit_ms : 0;
}

int conn_step(struct db *db, sqlite3_stmt *s, int64_t deadline_ms)
{
    db->deadline_ms = deadline_ms;
    int rc = sqlite3_step(s);
    db->deadline_ms = 0;
    return rc;
}

int conn_ask_i64(struct db *db, const char *sql, int64_t *ret, struct err *e)
{
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(db->conn, sql, -1, &s, NULL);
    if (rc == SQLITE_OK && (rc = conn_step(db, s, conn_deadline(db))) == SQLITE_ROW)
        *ret = sqlite3_column_int64(s, 0);
    int code = rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : conn_fail(db, rc, sql, e);
    sqlite3_finalize(s);
    return code;
}
