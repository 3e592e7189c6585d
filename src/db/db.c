/* Closing, transactions, checkpoints, one-off queries. */
#include "base/ensure.h"
#include "base/mem.h"
#include "db/conn.h"

const char *const conn_verb_sql[CONN_VERBS] = {
    [CONN_BEGIN] = "BEGIN IMMEDIATE", [CONN_COMMIT] = "COMMIT",
    [CONN_ROLLBACK] = "ROLLBACK",     [CONN_SAVEPOINT] = "SAVEPOINT one",
    [CONN_RELEASE] = "RELEASE one",   [CONN_ROLLBACK_TO] = "ROLLBACK TO one",
};

int db_exec(struct db *db, const char *sql, struct err *e)
{
    int rc = sqlite3_exec(db->conn, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? 0 : conn_fail(db, rc, sql, e);
}

int64_t db_i64(struct db *db, const char *sql, int64_t fallback)
{
    int64_t v = fallback;
    conn_ask_i64(db, sql, &v, NULL);
    return v;
}

int64_t db_changes(struct db *db)
{
    return sqlite3_changes64(db->conn);
}

const char *db_library_version(void)
{
    return sqlite3_libversion();
}

int32_t db_application_id(const struct db *db)
{
    return db->application_id;
}

const char *db_path(const struct db *db)
{
    return db->path;
}

void db_close(struct db *db)
{
    if (!db)
        return;
    while (db->stmts_n)
        stmt_free(db->stmts[db->stmts_n - 1]);
    free(db->stmts);
    for (int i = 0; i < CONN_VERBS; i++)
        sqlite3_finalize(db->verbs[i]);
    int rc = sqlite3_close(db->conn);
    ensure(rc == SQLITE_OK, "closing %s: %s", db->path, sqlite3_errstr(rc));
    shim_free(db->shim);
    free(db->path);
    free(db->vfs);
    free(db);
}

/* ---- transactions ---- */

static int run_verb(struct db *db, enum conn_verb verb, struct err *e)
{
    sqlite3_stmt *s = db->verbs[verb];
    int rc = sqlite3_step(s);
    int code = rc == SQLITE_DONE ? 0 : conn_fail(db, rc, conn_verb_sql[verb], e);
    sqlite3_reset(s);
    return code;
}

int db_begin(struct db *db, struct err *e)
{
    return run_verb(db, CONN_BEGIN, e);
}

int db_commit(struct db *db, struct err *e)
{
    return run_verb(db, CONN_COMMIT, e);
}

int db_rollback(struct db *db, struct err *e)
{
    return db_in_transaction(db) ? run_verb(db, CONN_ROLLBACK, e) : 0;
}

int db_savepoint(struct db *db, struct err *e)
{
    ensure(db_in_transaction(db), "a savepoint outside a transaction");
    return run_verb(db, CONN_SAVEPOINT, e);
}

int db_release(struct db *db, struct err *e)
{
    return run_verb(db, CONN_RELEASE, e);
}

int db_rollback_to(struct db *db, struct err *e)
{
    int rc = run_verb(db, CONN_ROLLBACK_TO, e);
    return rc ? rc : run_verb(db, CONN_RELEASE, e);
}

bool db_in_transaction(struct db *db)
{
    return !sqlite3_get_autocommit(db->conn);
}

/* ---- checkpoints ---- */

int db_checkpoint(struct db *db, bool truncate, struct err *e)
{
    ensure(!db->readonly, "a reader never checkpoints");
    ensure(!db_in_transaction(db), "a checkpoint inside a transaction");
    int mode = truncate ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_RESTART;
    int frames = -1, moved = -1;
    int rc = sqlite3_wal_checkpoint_v2(db->conn, "main", mode, &frames, &moved);
    if (rc == SQLITE_OK)
        db->wal_frames = db->wal_moved = 0;
    else if (frames >= 0 && moved >= 0) { /* a reader kept it from the last step, not from copying */
        db->wal_frames = frames;
        db->wal_moved = moved;
    }
    return rc == SQLITE_OK ? 0 : conn_fail(db, rc, "checkpoint", e);
}

int64_t db_wal_bytes(const struct db *db)
{
    int64_t waiting = db->wal_frames - db->wal_moved;
    return waiting > 0 ? CONN_WAL_HEADER_BYTES + waiting * (db->page_bytes + CONN_WAL_FRAME_BYTES) : 0;
}
