/* Prepared statements: binding, stepping, columns.
 *
 * A statement that could not be prepared because of the disk or a lock (never because of its text)
 * is kept: its steps fail with that reason, and each of them tries again to prepare it.
 */
#include <string.h>

#include "base/ensure.h"
#include "base/mem.h"
#include "db/conn.h"

struct stmt {
    struct db *db;
    sqlite3_stmt *s; /* NULL while `failed` */
    char *sql;
    int failed;
    bool running;
    int64_t deadline_ms;
};

static void prepare(struct stmt *s)
{
    const char *rest = NULL;
    s->failed = sqlite3_prepare_v3(s->db->conn, s->sql, -1, SQLITE_PREPARE_PERSISTENT, &s->s, &rest);
    if ((s->failed & 0xff) == SQLITE_ERROR)
        unreachable("SQL does not compile: %s: %s", sqlite3_errmsg(s->db->conn), s->sql);
    ensure(s->failed || s->s, "empty SQL");
    ensure(s->failed || !rest[strspn(rest, " \t\n;")], "more than one statement: %s", s->sql);
}

struct stmt *stmt_new(struct db *db, const char *sql)
{
    struct stmt *s = mem_alloc(sizeof *s);
    s->db = db;
    s->sql = mem_dup(sql);
    prepare(s);
    ARRAY_GROW(db->stmts, db->stmts_n, db->stmts_cap);
    db->stmts[db->stmts_n++] = s;
    return s;
}

void stmt_free(struct stmt *s)
{
    if (!s)
        return;
    struct db *db = s->db;
    size_t i = db->stmts_n;
    while (i > 0 && db->stmts[i - 1] != s)
        i--;
    ensure(i > 0, "a statement that its connection does not know");
    db->stmts_n--;
    memmove(db->stmts + i - 1, db->stmts + i, (db->stmts_n - (i - 1)) * sizeof *db->stmts);
    sqlite3_finalize(s->s);
    free(s->sql);
    free(s);
}

static void bound(struct stmt *s, int i, int rc)
{
    ensure(!s->s || rc == SQLITE_OK, "parameter %d of %s: %s%s", i, s->sql, sqlite3_errstr(rc),
           s->running ? " (it was not reset)" : "");
}

void stmt_i64(struct stmt *s, int i, int64_t v)
{
    bound(s, i, s->s ? sqlite3_bind_int64(s->s, i, v) : 0);
}

void stmt_text(struct stmt *s, int i, const char *p)
{
    bound(s, i, s->s ? sqlite3_bind_text(s->s, i, p, -1, SQLITE_STATIC) : 0);
}

void stmt_textn(struct stmt *s, int i, const char *p, size_t n)
{
    bound(s, i, s->s ? sqlite3_bind_text64(s->s, i, p, n, SQLITE_STATIC, SQLITE_UTF8) : 0);
}

void stmt_blob(struct stmt *s, int i, const void *p, size_t n)
{
    bound(s, i, s->s ? sqlite3_bind_blob64(s->s, i, p, n, SQLITE_STATIC) : 0);
}

void stmt_null(struct stmt *s, int i)
{
    bound(s, i, s->s ? sqlite3_bind_null(s->s, i) : 0);
}

void stmt_reset(struct stmt *s)
{
    if (!s->s)
        return;
    sqlite3_reset(s->s);
    sqlite3_clear_bindings(s->s);
    s->running = false;
}

int stmt_step(struct stmt *s, struct err *e)
{
    if (!s->s) {
        int code = conn_fail(s->db, s->failed, s->sql, e);
        prepare(s);
        return code;
    }
    if (!s->running)
        s->deadline_ms = conn_deadline(s->db);
    s->running = true;
    int rc = conn_step(s->db, s->s, s->deadline_ms);
    if (rc == SQLITE_ROW)
        return 1;
    int code = rc == SQLITE_DONE ? 0 : conn_fail(s->db, rc, s->sql, e);
    stmt_reset(s);
    return code;
}

int stmt_run(struct stmt *s, struct err *e)
{
    int rc;
    do
        rc = stmt_step(s, e);
    while (rc > 0);
    return rc;
}

static sqlite3_stmt *row(struct stmt *s, int c)
{
    ensure(s->s && s->running, "column %d without a row: %s", c, s->sql);
    ensure(c >= 0 && c < sqlite3_data_count(s->s), "no column %d: %s", c, s->sql);
    return s->s;
}

int64_t col_i64(struct stmt *s, int c)
{
    return sqlite3_column_int64(row(s, c), c);
}

const char *col_text(struct stmt *s, int c)
{
    return (const char *)sqlite3_column_text(row(s, c), c);
}

const void *col_blob(struct stmt *s, int c)
{
    return sqlite3_column_blob(row(s, c), c);
}

size_t col_bytes(struct stmt *s, int c)
{
    return (size_t)sqlite3_column_bytes(row(s, c), c);
}

enum db_type col_type(struct stmt *s, int c)
{
    return (enum db_type)sqlite3_column_type(row(s, c), c);
}

bool col_is_null(struct stmt *s, int c)
{
    return col_type(s, c) == DB_NULL;
}

int col_count(struct stmt *s)
{
    return s->s ? sqlite3_column_count(s->s) : 0;
}

const char *col_name(struct stmt *s, int c)
{
    return sqlite3_column_name(s->s, c);
}

const char *stmt_sql(const struct stmt *s)
{
    return s->sql;
}

int db_stmt_count(const struct db *db)
{
    return (int)db->stmts_n;
}

struct stmt *db_stmt_at(const struct db *db, int i)
{
    ensure(i >= 0 && (size_t)i < db->stmts_n, "no statement %d", i);
    return db->stmts[i];
}
