#include "bench/raw.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/ensure.h"
#include "bench/samples.h"
#include "store/store.h"

enum { R_NAME, R_CHANGE, R_LOG, R_N };

/* What a registration writes: the rows as they stand in skep's file, and the column that names them. */
static const struct {
    const char *table, *like, *key;
} rows[R_N] = {
    [R_NAME] = {"name", "SELECT * FROM name WHERE kind = 'address' LIMIT 1", "name"},
    [R_CHANGE] = {"change", "SELECT * FROM change WHERE tbl = 'name' AND dead = 0 LIMIT 1", "key"},
    [R_LOG] = {"log", "SELECT * FROM log WHERE type = 'name_registered' LIMIT 1", "name"},
};

struct raw {
    sqlite3 *db;
    sqlite3_stmt *begin, *commit, *put[R_N];
    int key[R_N], hlc; /* parameters that differ from row to row */
    int64_t n;
    int round;
};

static int failed(sqlite3 *db, struct err *e)
{
    return err_set(e, SKEP_ESTORE, "raw SQLite: %s", sqlite3_errmsg(db));
}

static sqlite3_stmt *prepared(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *s = NULL;
    sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &s, NULL);
    return s;
}

/* INSERT of all columns, bound to the values of the row in skep's file. */
static int put_new(struct raw *r, int i, sqlite3 *like, struct err *e)
{
    AUTOSTR struct str sql = STR_INIT;
    sqlite3_stmt *row = prepared(like, rows[i].like);
    if (!row || sqlite3_step(row) != SQLITE_ROW) {
        sqlite3_finalize(row);
        return err_set(e, SKEP_ENOTFOUND, "no row of table %s to write again", rows[i].table);
    }
    str_printf(&sql, "INSERT INTO %s VALUES (", rows[i].table);
    for (int c = 0; c < sqlite3_column_count(row); c++)
        str_puts(&sql, c ? ", ?" : "?");
    str_puts(&sql, ")");
    r->put[i] = prepared(r->db, str_get(&sql));
    if (!r->put[i]) {
        sqlite3_finalize(row);
        return failed(r->db, e);
    }
    for (int c = 0; c < sqlite3_column_count(row); c++) {
        const char *column = sqlite3_column_name(row, c);
        sqlite3_value *v = sqlite3_value_dup(sqlite3_column_value(row, c));
        sqlite3_bind_value(r->put[i], c + 1, v);
        sqlite3_value_free(v);
        if (strcmp(column, rows[i].key) == 0)
            r->key[i] = c + 1;
        if (i == R_CHANGE && strcmp(column, "hlc") == 0)
            r->hlc = c + 1;
        if (i == R_LOG && strcmp(column, "seq") == 0)
            sqlite3_bind_null(r->put[i], c + 1);
    }
    sqlite3_finalize(row);
    return 0;
}

static int prepare_all(struct raw *r, const char *like, struct err *e)
{
    sqlite3 *from = NULL;
    int rc = sqlite3_open_v2(like, &from, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK ? 0 : failed(from, e);
    for (int i = 0; rc == 0 && i < R_N; i++)
        rc = put_new(r, i, from, e);
    sqlite3_close(from);
    r->begin = prepared(r->db, "BEGIN IMMEDIATE");
    r->commit = prepared(r->db, "COMMIT");
    return rc;
}

int raw_new(const char *dir, const char *like, struct raw **ret, struct err *e)
{
    AUTOFREE char *path = mem_printf("%s/raw.db", dir);
    struct id id = {{1}};
    int rc = store_create(path, &id, &id, "raw", true, NULL, e);
    if (rc < 0)
        return rc;
    struct raw *r = mem_alloc(sizeof *r);
    if (sqlite3_open_v2(path, &r->db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK ||
        sqlite3_exec(
            r->db,
            "PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; "
            "PRAGMA cache_size = -65536; PRAGMA temp_store = MEMORY; PRAGMA wal_autocheckpoint = 1000",
            NULL, NULL, NULL) != SQLITE_OK)
        rc = failed(r->db, e);
    sqlite3_db_config(r->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    if (rc == 0)
        rc = prepare_all(r, like, e);
    if (rc < 0)
        raw_free(r);
    else
        *ret = r;
    return rc;
}

void raw_free(struct raw *r)
{
    if (!r)
        return;
    sqlite3_finalize(r->begin);
    sqlite3_finalize(r->commit);
    for (int i = 0; i < R_N; i++)
        sqlite3_finalize(r->put[i]);
    sqlite3_close(r->db);
    free(r);
}

static bool done(sqlite3_stmt *s)
{
    bool ok = sqlite3_step(s) == SQLITE_DONE;
    sqlite3_reset(s);
    return ok;
}

static bool one(struct raw *r, int series)
{
    char name[64], key[80];
    int64_t n = r->n++;
    snprintf(name, sizeof name, "bench-%d-%d-%lld", r->round, (int)(n % series), (long long)(n / series));
    snprintf(key, sizeof key, "default/%s", name);
    sqlite3_bind_text(r->put[R_NAME], r->key[R_NAME], name, -1, SQLITE_STATIC);
    sqlite3_bind_text(r->put[R_CHANGE], r->key[R_CHANGE], key, -1, SQLITE_STATIC);
    sqlite3_bind_int64(r->put[R_CHANGE], r->hlc, n + 1);
    sqlite3_bind_text(r->put[R_LOG], r->key[R_LOG], name, -1, SQLITE_STATIC);
    return done(r->put[R_NAME]) && done(r->put[R_CHANGE]) && done(r->put[R_LOG]);
}

int raw_run(struct raw *r, int batch, int series, int64_t ms, double *ret_per_second, int64_t *ret_n,
            struct err *e)
{
    int64_t start = now_ns(), end = start + ms * 1000000, n = 0, now;
    r->round++; /* names of its own for every run */
    do {
        bool fine = done(r->begin);
        for (int i = 0; fine && i < batch; i++, n++)
            fine = one(r, series);
        if (!fine || !done(r->commit))
            return failed(r->db, e);
    } while ((now = now_ns()) < end);
    *ret_n = n;
    *ret_per_second = (double)n * 1e9 / (double)(now - start);
    return 0;
}

double raw_fdatasync_ms(const char *dir, int n)
{
    AUTOFREE char *path = mem_printf("%s/fdatasync", dir);
    static char page[4096];
    struct samples ms = SAMPLES_INIT;
    int fd = open(path, O_CREAT | O_RDWR | O_TRUNC | O_CLOEXEC, 0600);
    for (int i = 0; fd >= 0 && i < n; i++) {
        page[0] = (char)i;
        int64_t start = now_ns();
        if (pwrite(fd, page, sizeof page, (off_t)i * (off_t)sizeof page) != (ssize_t)sizeof page ||
            fdatasync(fd) != 0)
            break;
        samples_add(&ms, (double)(now_ns() - start) / 1e6);
    }
    if (fd >= 0)
        close(fd);
    unlink(path);
    double median = samples_median(&ms);
    samples_fini(&ms);
    return median;
}

struct watch {
    sqlite3 *db;
    sqlite3_stmt *ask;
};

struct watch *watch_new(const char *db, const char *sql)
{
    struct watch *w = mem_alloc(sizeof *w);
    if (sqlite3_open_v2(db, &w->db, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK) {
        sqlite3_busy_timeout(w->db, 1000);
        w->ask = prepared(w->db, sql);
    }
    return w;
}

int64_t watch_get(struct watch *w)
{
    int64_t n = w->ask && sqlite3_step(w->ask) == SQLITE_ROW ? sqlite3_column_int64(w->ask, 0) : -1;
    sqlite3_reset(w->ask);
    return n;
}

void watch_free(struct watch *w)
{
    if (!w)
        return;
    sqlite3_finalize(w->ask);
    sqlite3_close(w->db);
    free(w);
}

int64_t raw_ask(const char *db, const char *sql)
{
    struct watch *w = watch_new(db, sql);
    int64_t n = watch_get(w);
    watch_free(w);
    return n;
}
