/* conn: what the files of db/ share about a connection. Not for other floors. */
#ifndef SKEP_DB_CONN_H
#define SKEP_DB_CONN_H

#include <sqlite3.h>

#include "db/db.h"
#include "db/shim.h"

/* The statements that a connection needs for itself; not listed by db_stmt_at. */
enum conn_verb {
    CONN_BEGIN,
    CONN_COMMIT,
    CONN_ROLLBACK,
    CONN_SAVEPOINT,
    CONN_RELEASE,
    CONN_ROLLBACK_TO,
    CONN_VERBS
};

enum { CONN_WAL_HEADER_BYTES = 32, CONN_WAL_FRAME_BYTES = 24 /* and a page */ };

/* SQL of the verbs, for the writer. */
extern const char *const conn_verb_sql[CONN_VERBS];

struct db {
    sqlite3 *conn;
    struct shim *shim; /* NULL: a reader, or a VFS that was asked for by name */
    char *path, *vfs;  /* vfs: the name asked for, or NULL */
    bool readonly, memory;
    int32_t application_id;
    int64_t page_bytes, wal_frames,
        wal_moved; /* of the WAL's frames, moved by checkpoints that could not end */

    int read_limit_ms;
    int64_t deadline_ms; /* of the statement that is running now; 0 = none */
    int64_t (*boot_ms)(void *clock);
    void *clock;

    sqlite3_stmt *verbs[CONN_VERBS];
    struct stmt **stmts;
    size_t stmts_n, stmts_cap;
};

/* The one translation of SQLite's result codes. */
int conn_code(struct db *db, int rc);
/* Fails with the translated code and SQLite's own words after "doing". */
int conn_fail(struct db *db, int rc, const char *doing, struct err *e);
/* The deadline of a statement that starts now; 0 = none. */
int64_t conn_deadline(struct db *db);
/* sqlite3_step under a deadline. */
int conn_step(struct db *db, sqlite3_stmt *s, int64_t deadline_ms);
/* The first column of the first row; *ret is untouched when there is none. */
int conn_ask_i64(struct db *db, const char *sql, int64_t *ret, struct err *e);

#endif
