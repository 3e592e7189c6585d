/* The writer beside people: stock sqlite3 shells that read, write, lock and checkpoint. */
#include "bench.h"

static void fill(struct db *db, int rows)
{
    struct stmt *s = stmt_new(db, "INSERT INTO t(v) VALUES (randomblob(1000))");
    ok(db_begin(db, e));
    for (int i = 0; i < rows; i++)
        ok(stmt_run(s, e));
    ok(db_commit(db, e));
    stmt_free(s);
}

static struct db *writer_with_table(const struct folder *f)
{
    struct db *db = writer(f);
    ok(db_exec(db, "CREATE TABLE t(id INTEGER PRIMARY KEY, v ANY) STRICT", e));
    return db;
}

static void a_shells_checkpoint_is_busy_while_we_commit(void **state)
{
    struct folder *f = *state;
    struct db *db = writer_with_table(f);
    struct shell s;
    shell_start(&s, f);
    fill(db, 100);
    for (int i = 0; i < 20; i++) {
        static const char *const kinds[] = {"PASSIVE", "FULL", "RESTART", "TRUNCATE"};
        char line[64];
        snprintf(line, sizeof line, "PRAGMA wal_checkpoint(%s);", kinds[i % 4]);
        fill(db, 5);
        assert_int_equal(strncmp(shell_ask(&s, line), "1|", 2), 0);
        fill(db, 5);
    }
    assert_string_equal(shell_ask(&s, "SELECT count(*) FROM t;"), "300");
    assert_string_equal(shell_ask(&s, "PRAGMA quick_check;"), "ok");
    shell_end(&s);
    db_close(db);
}

/* A shell checkpoints by itself after a commit past 1000 pages of WAL: it must not. */
static void a_shells_own_commit_does_not_checkpoint(void **state)
{
    struct folder *f = *state;
    struct db *db = writer_with_table(f);
    struct shell s;
    shell_start(&s, f);
    fill(db, 8000);
    int64_t before = file_bytes(f, "");
    assert_string_equal(shell_ask(&s, "INSERT INTO t(v) VALUES ('by hand'); SELECT changes();"), "1");
    assert_int_equal(file_bytes(f, ""), before);
    assert_int_equal(db_i64(db, "SELECT count(*) FROM t", -1), 8001);
    shell_end(&s);
    ok(db_checkpoint(db, true, e));
    assert_true(file_bytes(f, "") > before);
    db_close(db);
}

static void our_checkpoints_work_and_shrink_the_wal(void **state)
{
    struct folder *f = *state;
    struct db *db = writer_with_table(f), *r = reader(f);
    fill(db, 1000);
    int64_t wal = file_bytes(f, "-wal");
    assert_int_equal(db_wal_bytes(db), wal);
    ok(db_checkpoint(db, false, e));
    assert_int_equal(db_wal_bytes(db), 0);
    fill(db, 10);
    assert_int_equal(file_bytes(f, "-wal"), wal); /* restarted, not grown */
    assert_true(db_wal_bytes(db) > 0 && db_wal_bytes(db) < wal / 10);
    ok(db_checkpoint(db, true, e));
    assert_int_equal(file_bytes(f, "-wal"), 0);
    assert_int_equal(db_i64(r, "SELECT count(*) FROM t", -1), 1010);
    fill(db, 10);
    assert_int_equal(db_i64(r, "SELECT count(*) FROM t", -1), 1020);
    db_close(r);
    db_close(db);
    assert_int_equal(file_bytes(f, "-wal"), -1);
}

/* A PRAGMA is how a PASSIVE checkpoint of ours would come about. */
static void a_passive_checkpoint_of_ours_does_nothing(void **state)
{
    struct folder *f = *state;
    struct db *db = writer_with_table(f);
    fill(db, 1000);
    int64_t before = file_bytes(f, "");
    db_exec(db, "PRAGMA wal_checkpoint(PASSIVE)", NULL);
    assert_int_equal(file_bytes(f, ""), before);
    fill(db, 10);
    ok(db_checkpoint(db, true, e));
    assert_true(file_bytes(f, "") > before);
    db_close(db);
}

static void our_checkpoint_is_busy_while_a_shell_writes(void **state)
{
    struct folder *f = *state;
    struct db *db = writer_with_table(f);
    struct shell s;
    shell_start(&s, f);
    fill(db, 1000);
    int64_t before = file_bytes(f, "");
    assert_string_equal(shell_ask(&s, "BEGIN IMMEDIATE; INSERT INTO t(v) VALUES (1);"), "");
    struct err why = {0};
    assert_int_equal(db_checkpoint(db, true, &why), SKEP_EBUSY);
    assert_int_equal(db_checkpoint(db, false, &why), SKEP_EBUSY);
    assert_int_equal(file_bytes(f, ""), before); /* nothing moved: it did not fall back to PASSIVE */
    assert_string_equal(shell_ask(&s, "COMMIT; SELECT count(*) FROM t;"), "1001");
    ok(db_checkpoint(db, true, e));
    shell_end(&s);
    db_close(db);
}

static void a_long_reader_pins_the_wal_and_is_named(void **state)
{
    struct folder *f = *state;
    struct db *db = writer_with_table(f);
    struct shell s;
    struct err why = {0};
    int pid = 0;
    char what[128];
    fill(db, 10);
    shell_start(&s, f);
    assert_string_equal(shell_ask(&s, "BEGIN; SELECT count(*) FROM t;"), "10");
    fill(db, 500);
    assert_int_equal(db_checkpoint(db, true, &why), SKEP_EBUSY);
    assert_true(db_wal_bytes(db) > 0);
    assert_true(db_culprit(f->path, &pid, what, sizeof what));
    assert_int_equal(pid, s.pid);
    assert_non_null(strstr(what, "(sqlite3) reads"));
    assert_string_equal(shell_ask(&s, "SELECT count(*) FROM t; COMMIT;"), "10");
    ok(db_checkpoint(db, true, e));
    assert_false(db_culprit(f->path, &pid, what, sizeof what));
    shell_end(&s);
    db_close(db);
}

static void who_holds_the_write_lock_is_named(void **state)
{
    struct folder *f = *state;
    struct db *db = writer_with_table(f);
    struct shell s, idle;
    struct err why = {0};
    int pid = 0;
    char what[128];
    shell_start(&idle, f);
    shell_ask(&idle, "BEGIN; SELECT count(*) FROM t;");
    assert_true(db_culprit(f->path, &pid, what, sizeof what));
    assert_int_equal(pid, idle.pid);
    shell_start(&s, f);
    shell_ask(&s, "BEGIN IMMEDIATE;");
    assert_int_equal(db_begin(db, &why), SKEP_EBUSY);
    assert_false(db_in_transaction(db));
    assert_true(db_culprit(f->path, &pid, what, sizeof what));
    assert_int_equal(pid, s.pid);
    assert_non_null(strstr(what, "(sqlite3) holds the write lock"));
    shell_ask(&s, "ROLLBACK;");
    ok(db_begin(db, e));
    assert_non_null(strstr(shell_ask(&s, "BEGIN IMMEDIATE;"), "locked"));
    ok(db_commit(db, e));
    shell_end(&s);
    shell_end(&idle);
    db_close(db);
}

static void a_shell_cannot_leave_wal_mode_under_us(void **state)
{
    struct folder *f = *state;
    struct db *db = writer_with_table(f);
    struct shell s;
    shell_start(&s, f);
    shell_ask(&s, "PRAGMA journal_mode=DELETE;");
    fill(db, 10);
    assert_string_equal(shell_ask(&s, "PRAGMA journal_mode; SELECT count(*) FROM t;"), "wal\n10");
    shell_end(&s);
    db_close(db);
}

static void triggers_bind_the_shell_and_not_us(void **state)
{
    struct folder *f = *state;
    struct db *db = writer_with_table(f);
    ok(db_exec(db, "CREATE TRIGGER t_guard BEFORE INSERT ON t BEGIN SELECT RAISE(ABORT, 'use skep'); END",
               e));
    fill(db, 3);
    struct shell s;
    shell_start(&s, f);
    assert_non_null(strstr(shell_ask(&s, "INSERT INTO t(v) VALUES (1);"), "use skep"));
    assert_string_equal(shell_ask(&s, "SELECT count(*) FROM t;"), "3");
    shell_end(&s);
    db_close(db);
}

/* kill -9 of a process that holds the WAL open, with a shell that keeps the WAL index alive: the next
 * writer recovers, takes the checkpoint byte again, and goes on. */
static void a_new_writer_takes_over_after_a_kill(void **state)
{
    struct folder *f = *state;
    db_close(writer_with_table(f));
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct db *db = writer(f);
        fill(db, 50);
        if (write(ready[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    char c;
    assert_int_equal(read(ready[0], &c, 1), 1);
    struct shell s;
    shell_start(&s, f);
    assert_string_equal(shell_ask(&s, "SELECT count(*) FROM t;"), "50");
    struct db *second = NULL;
    struct db_options o = writer_options(f);
    struct err why = {0};
    assert_int_equal(db_open(&second, &o, &why), SKEP_EBUSY); /* its checkpoint byte is taken */
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    struct db *db = writer(f);
    assert_true(db_wal_bytes(db) > 0);
    fill(db, 1);
    assert_string_equal(shell_ask(&s, "PRAGMA wal_checkpoint; SELECT count(*) FROM t;"), "1|-1|-1\n51");
    ok(db_checkpoint(db, true, e));
    shell_end(&s);
    db_close(db);
    close(ready[0]);
    close(ready[1]);
}

int main(void)
{
#define with_folder(test) cmocka_unit_test_setup_teardown(test, folder_make, folder_remove)
    const struct CMUnitTest tests[] = {
        with_folder(a_shells_checkpoint_is_busy_while_we_commit),
        with_folder(a_shells_own_commit_does_not_checkpoint),
        with_folder(our_checkpoints_work_and_shrink_the_wal),
        with_folder(a_passive_checkpoint_of_ours_does_nothing),
        with_folder(our_checkpoint_is_busy_while_a_shell_writes),
        with_folder(a_long_reader_pins_the_wal_and_is_named),
        with_folder(who_holds_the_write_lock_is_named),
        with_folder(a_shell_cannot_leave_wal_mode_under_us),
        with_folder(triggers_bind_the_shell_and_not_us),
        with_folder(a_new_writer_takes_over_after_a_kill),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
