/* Transactions, statements, readers, backups. */
#include "bench.h"

static struct db *with_table(const struct folder *f)
{
    struct db *db = writer(f);
    ok(db_exec(db, "CREATE TABLE t(k TEXT PRIMARY KEY, v ANY, n INTEGER) STRICT", e));
    return db;
}

static int64_t rows(struct db *db)
{
    return db_i64(db, "SELECT count(*) FROM t", -1);
}

static void a_new_file_is_set_up(void **state)
{
    struct folder *f = *state;
    struct db *db = writer(f);
    struct stat st;
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_int_equal(db_i64(db, "PRAGMA application_id", 0), OUR_ID);
    assert_int_equal(db_i64(db, "PRAGMA auto_vacuum", -1), 2);
    assert_int_equal(db_i64(db, "PRAGMA synchronous", -1), 2);
    assert_int_equal(db_i64(db, "PRAGMA page_size", -1), 4096);
    assert_int_equal(db_i64(db, "PRAGMA cache_size", -1), -65536);
    assert_int_equal(db_i64(db, "PRAGMA trusted_schema", -1), 0);
    assert_int_equal(db_i64(db, "PRAGMA cell_size_check", -1), 1);
    assert_int_equal(db_i64(db, "PRAGMA temp_store", -1), 2);
    assert_int_equal(db_i64(db, "PRAGMA wal_autocheckpoint", -1), 0);
    assert_int_equal(db_i64(db, "PRAGMA mmap_size", -1), 0);
    assert_int_equal(db_i64(db, "PRAGMA busy_timeout", -1), 0);
    struct db *r = reader(f);
    assert_int_equal(db_i64(r, "PRAGMA query_only", -1), 1);
    assert_int_equal(db_i64(r, "PRAGMA wal_autocheckpoint", -1), 0);
    assert_int_equal(stat(f->path, &st), 0);
    db_close(r);
    db_close(db);
    db = writer(f); /* and again as an old file */
    assert_int_equal(db_i64(db, "PRAGMA auto_vacuum", -1), 2);
    assert_int_equal(db_i64(db, "PRAGMA synchronous", -1), 2);
    db_close(db);
}

static void every_type_goes_in_and_comes_out(void **state)
{
    struct db *db = with_table(*state);
    struct stmt *put = stmt_new(db, "INSERT INTO t(k, v, n) VALUES (:k, :v, :n)");
    struct stmt *get = stmt_new(db, "SELECT v, n FROM t WHERE k = :k");
    stmt_text(put, 1, "a");
    stmt_blob(put, 2, "x\0y", 3);
    stmt_i64(put, 3, INT64_MIN);
    ok(stmt_run(put, e));
    assert_int_equal(db_changes(db), 1);
    stmt_text(get, 1, "a");
    assert_int_equal(stmt_step(get, NULL), 1);
    assert_int_equal(col_type(get, 0), DB_BLOB);
    assert_int_equal(col_bytes(get, 0), 3);
    assert_memory_equal(col_blob(get, 0), "x\0y", 3);
    assert_true(col_i64(get, 1) == INT64_MIN);
    assert_string_equal(col_name(get, 1), "n");
    assert_int_equal(stmt_step(get, NULL), 0);

    stmt_textn(put, 1, "bcd", 1);
    stmt_null(put, 2);
    stmt_text(put, 3, NULL);
    ok(stmt_run(put, e));
    stmt_text(get, 1, "b");
    assert_int_equal(stmt_step(get, NULL), 1);
    assert_true(col_is_null(get, 0) && col_is_null(get, 1));
    assert_null(col_text(get, 0));
    stmt_reset(get);
    assert_int_equal(stmt_step(get, NULL), 0); /* what was bound is forgotten */
    assert_int_equal(db_stmt_count(db), 2);
    assert_ptr_equal(db_stmt_at(db, 1), get);
    assert_string_equal(stmt_sql(get), "SELECT v, n FROM t WHERE k = :k");
    db_close(db);
}

static void a_name_counts_once(void **state)
{
    struct db *db = writer(*state);
    struct stmt *s = stmt_new(db, "SELECT :b + :a + :b");
    stmt_i64(s, 1, 10);
    stmt_i64(s, 2, 1);
    assert_int_equal(stmt_step(s, NULL), 1);
    assert_int_equal(col_i64(s, 0), 21);
    db_close(db);
}

static void a_failed_statement_says_why_and_is_reset(void **state)
{
    struct db *db = with_table(*state);
    struct stmt *put = stmt_new(db, "INSERT INTO t(k) VALUES (?)");
    struct err why = {0};
    stmt_text(put, 1, "a");
    ok(stmt_run(put, e));
    ok(db_begin(db, e));
    stmt_text(put, 1, "a");
    assert_int_equal(stmt_run(put, &why), SKEP_ESTORE);
    assert_non_null(strstr(why.text, "UNIQUE constraint failed: t.k"));
    assert_true(db_in_transaction(db));
    stmt_text(put, 1, "b");
    ok(stmt_run(put, e));
    ok(db_commit(db, e));
    assert_int_equal(rows(db), 2);
    db_close(db);
}

static void savepoints_undo_one_event(void **state)
{
    struct db *db = with_table(*state);
    ok(db_begin(db, e));
    for (int i = 0; i < 6; i++) {
        char sql[64];
        snprintf(sql, sizeof sql, "INSERT INTO t(k) VALUES (%d)", i);
        ok(db_savepoint(db, e));
        db_exec(db, sql, NULL);
        ok(i % 2 ? db_rollback_to(db, e) : db_release(db, e));
    }
    ok(db_commit(db, e));
    assert_false(db_in_transaction(db));
    assert_int_equal(rows(db), 3);
    assert_int_equal(db_i64(db, "SELECT max(k) FROM t", -1), 4);
    ok(db_begin(db, e));
    ok(db_exec(db, "DELETE FROM t", e));
    ok(db_rollback(db, e));
    ok(db_rollback(db, e)); /* nothing open: nothing to do */
    assert_int_equal(rows(db), 3);
    db_close(db);
}

static void readers_see_what_is_committed(void **state)
{
    struct folder *f = *state;
    struct db *db = with_table(f), *r = reader(f);
    struct err why = {0};
    ok(db_begin(db, e));
    ok(db_exec(db, "INSERT INTO t(k) VALUES (1)", e));
    assert_int_equal(rows(r), 0);
    ok(db_commit(db, e));
    assert_int_equal(rows(r), 1);
    ok(db_begin(r, e)); /* one snapshot */
    assert_int_equal(rows(r), 1);
    ok(db_exec(db, "INSERT INTO t(k) VALUES (2)", e));
    assert_int_equal(rows(r), 1);
    ok(db_commit(r, e));
    assert_int_equal(rows(r), 2);
    assert_int_equal(db_exec(r, "DELETE FROM t", &why), SKEP_ESTORE);
    assert_int_equal(db_exec(r, "PRAGMA query_only = OFF; DELETE FROM t", &why), SKEP_ESTORE);
    assert_int_equal(rows(db), 2);
    db_close(r);
    db_close(db);
}

static int64_t counting_ms(void *clock)
{
    return ++*(int64_t *)clock;
}

static void a_read_ends_at_its_limit(void **state)
{
    static const char endless[] =
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";
    struct folder *f = *state;
    db_close(with_table(f));
    int64_t clock = 0;
    struct db_options o = {
        .path = f->path, .readonly = true, .read_limit_ms = 50, .boot_ms = counting_ms, .clock = &clock};
    struct db *r = NULL;
    struct err why = {0};
    ok(db_open(&r, &o, e));
    struct stmt *s = stmt_new(r, endless);
    assert_int_equal(stmt_run(s, &why), SKEP_ETIMEOUT);
    assert_non_null(strstr(why.text, "longer than 50 ms"));
    assert_in_range(clock, 50, 60);
    assert_int_equal(stmt_step(s, &why), 1); /* the next one has its own limit */
    stmt_reset(s);
    assert_int_equal(rows(r), 0);
    db_close(r);
}

static bool write_more(void *self)
{
    struct db *db = self;
    ok(db_exec(db, "INSERT INTO t(k) VALUES (hex(randomblob(8)))", e));
    return true;
}

static bool give_up(void *self UNUSED)
{
    return false;
}

static void a_backup_is_one_snapshot_in_one_file(void **state)
{
    struct folder *f = *state, copy;
    struct db *db = with_table(f), *r = reader(f), *b = NULL;
    struct err why = {0};
    snprintf(copy.path, sizeof copy.path, "%s/copy.db", f->dir);
    ok(db_exec(db,
               "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)"
               "INSERT INTO t(k, v) SELECT i, zeroblob(1000) FROM n",
               e));
    assert_int_equal(db_backup(r, copy.path, NULL, give_up, NULL, &why), SKEP_ETIMEOUT);
    assert_int_equal(file_bytes(&copy, ""), -1);
    ok(db_backup(r, copy.path, NULL, write_more, db, e));
    assert_true(rows(db) > 3000);
    assert_int_equal(rows(r), rows(db)); /* the reader's snapshot has ended */
    assert_int_equal(db_backup(r, copy.path, NULL, NULL, NULL, &why), SKEP_EARG);
    assert_int_equal(file_bytes(&copy, "-wal"), -1);
    ok(db_open(&b, &(struct db_options){.path = copy.path, .readonly = true, .application_id = OUR_ID}, e));
    assert_int_equal(rows(b), 3000);
    ok(db_quick_check(b, e));
    ok(db_quick_check_table(b, "t", e));
    db_close(b);
    db_close(r);
    db_close(db);
}

static void quick_check_finds_damage(void **state)
{
    struct folder *f = *state;
    struct db *db = with_table(f);
    struct err why = {0};
    ok(db_exec(db,
               "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)"
               "INSERT INTO t(k, v) SELECT i, i FROM n",
               e));
    db_close(db);
    int fd = open(f->path, O_RDWR | O_CLOEXEC);
    char junk[300];
    memset(junk, 0xa5, sizeof junk);
    assert_int_equal(pwrite(fd, junk, sizeof junk, 8 * 4096), sizeof junk);
    close(fd);
    db = writer(f);
    assert_int_equal(db_quick_check(db, &why), SKEP_EDAMAGED);
    assert_non_null(strstr(why.text, "is damaged"));
    db_close(db);
}

/* A statement that could not be prepared because of a lock fails with that, then works. */
static void preparing_under_a_lock_is_not_a_bug(void **state)
{
    struct folder *f = *state;
    db_close(with_table(f));
    struct db *r = reader(f);
    struct shell s;
    struct err why = {0};
    shell_start(&s, f);
    shell_ask(&s, "CREATE TABLE other(x); PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode;");
    db_close(r);
    shell_ask(&s, "BEGIN EXCLUSIVE; COMMIT;"); /* nobody else is there: the lock is on the whole file */
    int pid;
    char what[128];
    struct db *db = NULL;
    struct db_options o = writer_options(f);
    assert_int_equal(db_open(&db, &o, &why), SKEP_EBUSY);
    assert_true(db_culprit(f->path, &pid, what, sizeof what));
    assert_int_equal(pid, s.pid);
    shell_end(&s);
    ok(db_open(&db, &o, e));
    db_close(db);
}

int main(void)
{
#define with_folder(test) cmocka_unit_test_setup_teardown(test, folder_make, folder_remove)
    const struct CMUnitTest tests[] = {
        with_folder(a_new_file_is_set_up),      with_folder(every_type_goes_in_and_comes_out),
        with_folder(a_name_counts_once),        with_folder(a_failed_statement_says_why_and_is_reset),
        with_folder(savepoints_undo_one_event), with_folder(readers_see_what_is_committed),
        with_folder(a_read_ends_at_its_limit),  with_folder(a_backup_is_one_snapshot_in_one_file),
        with_folder(quick_check_finds_damage),  with_folder(preparing_under_a_lock_is_not_a_bug),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
