/* The writer beside people: stock sqlite3 shells that read, write, lock and checkpoint. */
#include "bench.h"

#include <pthread.h>
#include <stdatomic.h>

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

/* A reader of the newest state keeps the WAL from its restart, not from being moved. */
static void a_busy_checkpoint_may_have_moved_all(void **state)
{
    struct folder *f = *state;
    struct db *db = writer_with_table(f);
    struct shell s;
    struct err why = {0};
    fill(db, 500);
    int64_t before = file_bytes(f, ""), wal = db_wal_bytes(db);
    shell_start(&s, f);
    assert_string_equal(shell_ask(&s, "BEGIN; SELECT count(*) FROM t;"), "500");
    assert_int_equal(db_checkpoint(db, false, &why), SKEP_EBUSY);
    assert_true(file_bytes(f, "") > before);
    assert_int_equal(db_wal_bytes(db), 0);
    fill(db, 5);
    assert_true(db_wal_bytes(db) > 0 && db_wal_bytes(db) < wal / 10);
    assert_int_equal(db_checkpoint(db, false, &why), SKEP_EBUSY);
    assert_true(db_wal_bytes(db) > 0); /* these it may not move */
    shell_end(&s);
    ok(db_checkpoint(db, true, e));
    assert_int_equal(db_wal_bytes(db), 0);
    db_close(db);
}

static void who_holds_the_write_lock_is_named(void **state)
{
    struct folder *f = *state;
    struct db *db = writer_with_table(f);
    struct shell s, idle, late;
    struct err why = {0};
    int pid = 0;
    char what[128];
    shell_start(&idle, f);
    shell_ask(&idle, "BEGIN; SELECT count(*) FROM t;");
    assert_true(db_culprit(f->path, &pid, what, sizeof what));
    assert_int_equal(pid, idle.pid);
    shell_start(&s, f);
    shell_ask(&s, "BEGIN IMMEDIATE;");
    shell_start(&late, f); /* readers before and after: the order of the kernel's list does not matter */
    shell_ask(&late, "BEGIN; SELECT count(*) FROM t;");
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
    shell_end(&late);
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
        alarm(DEADLINE_MS / 1000); /* should the test fail and forget it */
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

/* A shell that dies inside a commit leaves a torn WAL index: we recover it though we hold a part of what a
 * recovery locks. Written by a child, for a descriptor of our own would drop our locks. */
static void a_torn_wal_index_is_recovered(void **state)
{
    struct folder *f = *state;
    struct db *db = writer_with_table(f), *r = reader(f);
    struct shell s;
    fill(db, 20);
    for (int i = 1; i <= 3; i++) {
        char *tear = mem_printf(
            "dd if=/dev/urandom of='%s-shm' bs=1 seek=%d count=40 conv=notrunc status=none", f->path,
            i == 1   ? 0
            : i == 2 ? 48
                     : 8);
        assert_int_equal(system(tear), 0);
        free(tear);
        fill(db, 1);
        assert_int_equal(db_i64(r, "SELECT count(*) FROM t", -1), 20 + i);
    }
    shell_start(&s, f);
    assert_string_equal(shell_ask(&s, "PRAGMA wal_checkpoint(TRUNCATE); SELECT count(*) FROM t;"),
                        "1|-1|-1\n23");
    shell_end(&s);
    char *tear = mem_printf("dd if=/dev/zero of='%s-shm' bs=1 count=96 conv=notrunc status=none", f->path);
    assert_int_equal(system(tear), 0);
    free(tear);
    ok(db_checkpoint(db, true, e)); /* a recovery inside a checkpoint */
    assert_int_equal(db_i64(r, "SELECT count(*) FROM t", -1), 23);
    ok(db_quick_check(r, e));
    db_close(r);
    db_close(db);
}

/* The WAL index outlives the writer in its own process: what it held must not. */
static void the_checkpoint_byte_is_given_back(void **state)
{
    struct folder *f = *state;
    struct db *db = writer_with_table(f), *r = reader(f);
    struct shell s;
    shell_start(&s, f);
    fill(db, 20);
    assert_string_equal(shell_ask(&s, "PRAGMA wal_checkpoint;"), "1|-1|-1");
    db_close(db);
    assert_int_equal(strncmp(shell_ask(&s, "PRAGMA wal_checkpoint;"), "0|", 2), 0);
    db = writer(f);
    assert_string_equal(shell_ask(&s, "PRAGMA wal_checkpoint;"), "1|-1|-1");
    fill(db, 20);
    assert_int_equal(db_i64(r, "SELECT count(*) FROM t", -1), 40);
    shell_end(&s);
    db_close(r);
    db_close(db);
}

struct beside {
    const struct folder *f;
    int64_t last, reads;
    atomic_bool stop;
};

/* Never less than before, never half a transaction, never an error. */
static void *read_beside(void *arg)
{
    struct beside *b = arg;
    struct db *r = reader(b->f);
    while (!atomic_load(&b->stop) || b->reads < 10) {
        int64_t n = db_i64(r, "SELECT count(*) FROM t", -1);
        if (n < b->last || n % 7) {
            b->last = -1;
            break;
        }
        b->last = n;
        b->reads++;
    }
    db_close(r);
    return NULL;
}

static void readers_of_other_threads_go_on_beside_checkpoints(void **state)
{
    struct folder *f = *state;
    struct db *db = writer_with_table(f);
    struct beside b[2] = {{.f = f}, {.f = f}};
    pthread_t threads[2];
    struct err why = {0};
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_beside, &b[i]), 0);
    for (int i = 0; i < 300; i++) {
        fill(db, 7);
        int rc = i % 3 ? 0 : db_checkpoint(db, i % 2, &why);
        assert_true(rc == 0 || rc == SKEP_EBUSY);
    }
    for (int i = 0; i < 2; i++) {
        atomic_store(&b[i].stop, true);
        pthread_join(threads[i], NULL);
        assert_true(b[i].last >= 0 && b[i].last <= 2100);
    }
    ok(db_checkpoint(db, true, e));
    ok(db_quick_check(db, e));
    assert_int_equal(db_i64(db, "SELECT count(*) FROM t", -1), 2100);
    db_close(db);
}

/* The race that the shim is there for: shells that write, read and checkpoint as fast as they can while we
 * commit and checkpoint. Nothing that anybody was told is lost. */
static void busy_shells_lose_nothing(void **state)
{
    struct folder *f = *state;
    struct db *db = writer_with_table(f);
    struct shell s[2];
    char line[256];
    struct err why = {0};
    int ours = 0, theirs = 0;
    for (int i = 0; i < 2; i++)
        shell_start(&s[i], f);
    for (int round = 0; round < 30; round++) {
        for (int i = 0; i < 2; i++) { /* typed, not waited for */
            snprintf(line, sizeof line,
                     ".timeout 5000\nINSERT INTO t(v) VALUES ('shell'), (randomblob(9000)); PRAGMA "
                     "wal_checkpoint(%s);\n",
                     round % 2 ? "TRUNCATE" : "PASSIVE");
            assert_int_equal(write(s[i].in, line, strlen(line)), strlen(line));
        }
        for (int i = 0; i < 5; i++) {
            int64_t end = now_ms() + DEADLINE_MS;
            while (db_begin(db, &why) == SKEP_EBUSY)
                assert_true(now_ms() < end);
            ok(db_exec(db, "INSERT INTO t(v) VALUES ('ours'), (randomblob(9000))", e));
            ok(db_commit(db, e));
            ours++;
            int rc = db_checkpoint(db, i % 2, &why);
            assert_true(rc == 0 || rc == SKEP_EBUSY);
        }
        for (int i = 0; i < 2; i++) {
            const char *said = shell_ask(&s[i], "");
            assert_null(strstr(said, "rror"));
            theirs++;
        }
    }
    for (int i = 0; i < 2; i++)
        shell_end(&s[i]);
    assert_int_equal(db_i64(db, "SELECT count(*) FROM t WHERE v = 'ours'", -1), ours);
    assert_int_equal(db_i64(db, "SELECT count(*) FROM t WHERE v = 'shell'", -1), theirs);
    ok(db_checkpoint(db, true, e));
    ok(db_quick_check(db, e));
    db_close(db);
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
        with_folder(a_busy_checkpoint_may_have_moved_all),
        with_folder(who_holds_the_write_lock_is_named),
        with_folder(a_shell_cannot_leave_wal_mode_under_us),
        with_folder(triggers_bind_the_shell_and_not_us),
        with_folder(a_new_writer_takes_over_after_a_kill),
        with_folder(a_torn_wal_index_is_recovered),
        with_folder(the_checkpoint_byte_is_given_back),
        with_folder(readers_of_other_threads_go_on_beside_checkpoints),
        with_folder(busy_shells_lose_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
