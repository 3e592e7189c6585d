/* db: one SQLite connection, its transactions and its prepared statements.
 *
 * Knows SQLite and nothing of skep. A connection belongs to one thread. Exactly one connection of a
 * database may be a writer, and only it checkpoints (db/shim.h says why); the others are read-only.
 *
 * Functions that can fail return 0 or one of
 *   SKEP_EBUSY      somebody else holds a lock: nothing happened, try again (db_culprit names him)
 *   SKEP_EDISKFULL  no space: the statement, and often the whole transaction, was rolled back
 *   SKEP_EIO        a read, write or fsync failed: what is on disk is unknown, the process must end
 *   SKEP_EDAMAGED   the file's contents make no sense
 *   SKEP_ETIMEOUT   a read ran into read_limit_ms
 *   SKEP_ESTORE     everything else: a constraint, a file that cannot be opened, a read-only folder
 * and db_open and db_migrate also SKEP_EFOREIGN, SKEP_ENEWER, SKEP_ENOTFOUND.
 */
#ifndef SKEP_DB_DB_H
#define SKEP_DB_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct db;
struct stmt;

struct db_options {
    const char *path;
    const char *vfs;                 /* NULL: the shim over "unix" for the writer, "unix" for readers */
    bool readonly;                   /* a reader: query_only, sees what is committed */
    bool create;                     /* the writer may make the file (mode 0640); otherwise SKEP_ENOTFOUND */
    bool exclusive;                  /* locking_mode=EXCLUSIVE: no shared memory, no second connection */
    int32_t application_id;          /* of a new file, and expected of an old one; 0 = neither */
    int read_limit_ms;               /* readers: ends a statement that runs longer; 0 = never */
    int64_t (*boot_ms)(void *clock); /* needed with read_limit_ms */
    void *clock;
};

/* Opens and checks the file: SKEP_EFOREIGN when it is not a database or not of application_id,
 * SKEP_EDAMAGED when its header makes no sense. A foreign file is not touched. */
int db_open(struct db **ret, const struct db_options *o, struct err *e);
/* Frees its statements too; accepts NULL. The last connection's close empties and removes the WAL. */
void db_close(struct db *db);

/* One or many statements, rows are dropped. */
int db_exec(struct db *db, const char *sql, struct err *e);
/* The first column of the first row; fallback when there is none or the query fails. */
int64_t db_i64(struct db *db, const char *sql, int64_t fallback);
/* Rows that the last INSERT, UPDATE or DELETE changed. */
int64_t db_changes(struct db *db);
/* The expected application_id, as given to db_open. */
int32_t db_application_id(const struct db *db);
const char *db_path(const struct db *db);

/* BEGIN IMMEDIATE: the write lock at once or SKEP_EBUSY at once. On a reader: one snapshot for all statements
 * until db_commit; keep it short, it pins the WAL. */
int db_begin(struct db *db, struct err *e);
/* When it fails nothing of the transaction counts: call db_rollback. */
int db_commit(struct db *db, struct err *e);
/* Does nothing when no transaction is open (SQLite may have ended it). */
int db_rollback(struct db *db, struct err *e);
int db_savepoint(struct db *db, struct err *e);
/* Both end the innermost savepoint; db_rollback_to first undoes what came after it. */
int db_release(struct db *db, struct err *e);
int db_rollback_to(struct db *db, struct err *e);
/* Ask after every failed statement: a full disk or a failed write may have rolled back everything. */
bool db_in_transaction(struct db *db);

/* Prepares one statement, to be kept until db_close (or stmt_free). SQL that does not compile is a bug
 * and aborts. Parameters are numbered from 1 in the order of their first use; :name counts once. */
struct stmt *stmt_new(struct db *db, const char *sql);
void stmt_free(struct stmt *s);

/* Text and blobs are borrowed until stmt_reset. What is not bound is NULL. */
void stmt_i64(struct stmt *s, int i, int64_t v);
void stmt_text(struct stmt *s, int i, const char *p); /* NULL = NULL */
void stmt_textn(struct stmt *s, int i, const char *p, size_t n);
void stmt_blob(struct stmt *s, int i, const void *p, size_t n); /* p NULL = NULL */
void stmt_null(struct stmt *s, int i);

/* 1: a row; 0: done, and reset; < 0: failed, and reset. */
int stmt_step(struct stmt *s, struct err *e);
/* Steps to the end, ignores rows, resets. 0 or < 0. */
int stmt_run(struct stmt *s, struct err *e);
/* Ends a statement before its last row and forgets what was bound. Always allowed. */
void stmt_reset(struct stmt *s);

enum db_type { DB_INTEGER = 1, DB_FLOAT = 2, DB_TEXT = 3, DB_BLOB = 4, DB_NULL = 5 };

/* Columns from 0, of the row of the last stmt_step. Pointers live until the next step or reset. */
int64_t col_i64(struct stmt *s, int c);
const char *col_text(struct stmt *s, int c); /* NULL if NULL */
const void *col_blob(struct stmt *s, int c); /* NULL if NULL or empty */
size_t col_bytes(struct stmt *s, int c);
enum db_type col_type(struct stmt *s, int c);
bool col_is_null(struct stmt *s, int c);
int col_count(struct stmt *s);
const char *col_name(struct stmt *s, int c);

/* The statements made by stmt_new, for tests that look at their query plans. */
const char *stmt_sql(const struct stmt *s);
int db_stmt_count(const struct db *db);
struct stmt *db_stmt_at(const struct db *db, int i);

/* The writer only, outside a transaction. Moves the WAL into the database (RESTART), with truncate also
 * shrinks the file to nothing. SKEP_EBUSY: somebody writes, or a reader is inside the WAL. With readers
 * that never pause that is the usual answer, though all may have been moved: db_wal_bytes tells. */
int db_checkpoint(struct db *db, bool truncate, struct err *e);
/* The writer only: bytes of WAL that no checkpoint has moved yet, as far as our own commits and checkpoints
 * know; too low by at most what the last busy checkpoint moved. Touches no file. */
int64_t db_wal_bytes(const struct db *db);

/* Copies the database as it is now to a new file at path, in slices of 1 MiB under one read transaction.
 * change_sql, if not NULL, is run on the copy, and what it deletes is gone from the file. Between slices
 * go_on (may be NULL) is called; false gives up with SKEP_ETIMEOUT. No half copy stays behind; a whole one is
 * not synced. */
int db_backup(struct db *db, const char *path, const char *change_sql, bool (*go_on)(void *self), void *self,
              struct err *e);
/* PRAGMA quick_check, of everything or of one table (to do it in slices). SKEP_EDAMAGED with the first
 * complaint. Not bounded by read_limit_ms. */
int db_quick_check(struct db *db, struct err *e);
int db_quick_check_table(struct db *db, const char *table, struct err *e);
/* The same with PRAGMA integrity_check, which also compares indexes with their tables. */
int db_integrity_check(struct db *db, struct err *e);

/* Another process that holds the write lock, checkpoints or pins the WAL of the database at path, the worst
 * first: true with its pid and a sentence ("pid 42 (sqlite3) holds the write lock"). Reads /proc/locks, opens
 * neither the database nor its companions. */
bool db_culprit(const char *path, int *ret_pid, char *ret_what, size_t what_bytes);

/* The version of the SQLite library in this program: "3.40.1". */
const char *db_library_version(void);

#endif
