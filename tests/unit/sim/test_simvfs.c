/* The simulated disk, and SQLite's promises on it: what was acknowledged is there after every crash. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "db/db.h"
#include "db/migrate.h"
#include "sim/simfile.h"
#include "sim/simvfs.h"

enum { OUR_ID = 0x736b6570, ROWS_A_TURN = 3, TURNS = 12 };

struct world {
    struct prng dice;
    int64_t ms, slept;
    struct simdisk *disk;
};

static void fill(void *self, void *bytes, size_t n)
{
    prng_fill(&((struct world *)self)->dice, bytes, n);
}

static int64_t real_ms(void *self)
{
    return ((struct world *)self)->ms;
}

static void sleep_ms(void *self, int64_t ms)
{
    ((struct world *)self)->slept += ms;
}

static struct world *world_new(uint64_t seed)
{
    struct world *w = mem_alloc(sizeof *w);
    prng_init(&w->dice, seed);
    simdisk_seed(1 + (uint32_t)seed);
    w->ms = 1700000000000;
    w->disk = simdisk_new("sim-test", &(struct simdisk_hooks){w, fill, real_ms, sleep_ms});
    return w;
}

static void world_free(struct world *w)
{
    simdisk_free(w->disk);
    free(w);
}

static int open_db(struct db **ret, struct err *e)
{
    static const struct db_migration list[] = {
        {"1", "CREATE TABLE t(id INTEGER PRIMARY KEY, turn INTEGER, v BLOB) STRICT; CREATE INDEX t_turn ON "
              "t(turn)"},
    };
    struct db_options o = {
        .path = "/skep.db", .vfs = "sim-test", .create = true, .exclusive = true, .application_id = OUR_ID};
    struct db *db = NULL;
    int rc = db_open(&db, &o, e);
    if (rc == 0 && (rc = db_migrate(db, list, 1, e)))
        db_close(db);
    if (rc == 0)
        *ret = db;
    return rc;
}

static struct db *must_open(void)
{
    struct db *db = NULL;
    struct err e = {0};
    if (open_db(&db, &e))
        fail_msg("%d %s", e.code, e.text);
    return db;
}

/* Rows of one turn, in one transaction; older turns lose a row, so that pages are rewritten. */
static int turn(struct db *db, int n, struct err *e)
{
    char sql[256];
    int rc = db_begin(db, e);
    for (int i = 0; rc == 0 && i < ROWS_A_TURN; i++) {
        snprintf(sql, sizeof sql, "INSERT INTO t(turn, v) VALUES (%d, zeroblob(%d))", n,
                 100 + (n * 977) % 3000);
        rc = db_exec(db, sql, e);
    }
    if (rc == 0) {
        snprintf(sql, sizeof sql, "UPDATE t SET v = zeroblob(50) WHERE turn = %d", n - 2);
        rc = db_exec(db, sql, e);
    }
    if (rc == 0)
        rc = db_commit(db, e);
    if (rc)
        db_rollback(db, NULL);
    return rc;
}

/* Until something fails. Checkpoints now and then. Returns the turns that were acknowledged. */
static int work(struct db *db, int from)
{
    int done = from;
    while (done < TURNS && turn(db, done + 1, NULL) == 0) {
        done++;
        if (done % 4 == 0 && db_checkpoint(db, done % 8 == 0, NULL))
            break;
    }
    return done;
}

static int64_t turns_there(struct db *db)
{
    char sql[128];
    snprintf(sql, sizeof sql, "SELECT count(*) FROM (SELECT turn FROM t GROUP BY turn HAVING count(*) = %d)",
             ROWS_A_TURN);
    int64_t whole = db_i64(db, sql, -1);
    assert_int_equal(db_i64(db, "SELECT count(DISTINCT turn) FROM t", -2), whole); /* no half turn */
    assert_int_equal(db_i64(db, "SELECT coalesce(max(turn), 0) FROM t", -3), whole);
    return whole;
}

/* ---- the disk alone ---- */

static void what_is_synced_survives_and_the_rest_meets_the_dice(void **state UNUSED)
{
    struct prng dice;
    unsigned char a[4096], b[4096], got[4096];
    int kept = 0, lost = 0, torn = 0;
    prng_init(&dice, 7);
    memset(a, 'a', sizeof a);
    memset(b, 'b', sizeof b);
    for (int i = 0; i < 200; i++) {
        struct simfile *f = simfile_new();
        simfile_write(f, a, sizeof a, 0);
        simfile_sync(f);
        simfile_write(f, b, 2000, 1000);
        simfile_crash(f, FATE_MIX, &dice);
        assert_int_equal(simfile_read(f, got, sizeof got, 0), 4096);
        assert_memory_equal(got, a, 1000); /* bytes outside the write are safe */
        assert_memory_equal(got + 3000, a, 1096);
        int old = memchr(got + 1536, 'a', 512) != NULL, new = memchr(got + 1536, 'b', 512) != NULL;
        kept += new && !old;
        lost += old && !new;
        torn += old && new;
        simfile_unref(f);
    }
    assert_true(kept > 40 && lost > 40 && torn > 40);
    assert_int_equal(kept + lost + torn, 200);
}

static void a_truncation_happened_wholly_or_not(void **state UNUSED)
{
    struct prng dice;
    unsigned char a[4096], b[600], got[4096];
    int before = 0, after = 0;
    prng_init(&dice, 8);
    memset(a, 'a', sizeof a);
    memset(b, 'b', sizeof b);
    for (int i = 0; i < 200; i++) {
        struct simfile *f = simfile_new();
        simfile_write(f, a, sizeof a, 0);
        simfile_sync(f);
        simfile_truncate(f, 700);
        simfile_write(f, b, sizeof b, 700);
        simfile_crash(f, FATE_MIX, &dice);
        size_t n = simfile_read(f, got, sizeof got, 0);
        bool is_old = n == 4096 && memcmp(got, a, 4096) == 0;
        bool is_new = n <= 1300 && n >= 700 && memcmp(got, a, 700) == 0 &&
                      (n == 700 || !memchr(got + 700, 'a', n - 700));
        assert_true(is_old || is_new);
        before += is_old;
        after += is_new;
        simfile_unref(f);
    }
    assert_true(before > 40 && after > 40);
}

static void a_long_history_agrees_with_plain_arrays(void **state UNUSED)
{
    enum { SIZE = 20000 };
    static unsigned char now[SIZE], durable[SIZE], got[SIZE], data[3000];
    struct prng dice;
    prng_init(&dice, 9);
    struct simfile *f = simfile_new();
    size_t n = 0, durable_n = 0;
    memset(now, 0, SIZE);
    memset(durable, 0, SIZE);
    for (int i = 0; i < 20000; i++) {
        size_t at = prng_below(&dice, SIZE - sizeof data), len = 1 + prng_below(&dice, sizeof data);
        switch (prng_below(&dice, 12)) {
        case 0:
            simfile_sync(f);
            memcpy(durable, now, SIZE);
            durable_n = n;
            break;
        case 1:
            simfile_truncate(f, at);
            if (at < n)
                memset(now + at, 0, n - at), n = at;
            break;
        case 2:
            simfile_crash(f, FATE_LOSE, &dice);
            memcpy(now, durable, SIZE);
            n = durable_n;
            break;
        case 3:
            simfile_crash(f, FATE_KEEP, &dice);
            memcpy(durable, now, SIZE);
            durable_n = n;
            break;
        default:
            prng_fill(&dice, data, len);
            simfile_write(f, data, len, at);
            memcpy(now + at, data, len);
            n = at + len > n ? at + len : n;
        }
        assert_int_equal(simfile_read(f, got, SIZE, 0), n);
        assert_memory_equal(got, now, SIZE);
    }
    simfile_unref(f);
}

/* ---- SQLite on it ---- */

static void a_commit_survives_a_power_cut(void **state UNUSED)
{
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct world *w = world_new(seed);
        struct db *db = must_open();
        int done = work(db, 0);
        assert_int_equal(done, TURNS);
        assert_int_equal(db_begin(db, NULL), 0);
        assert_int_equal(db_exec(db, "DELETE FROM t", NULL), 0); /* not committed */
        simdisk_crash(w->disk, &w->dice);
        assert_int_not_equal(db_commit(db, NULL), 0); /* the old life is over */
        db_close(db);
        db = must_open();
        assert_int_equal(turns_there(db), TURNS);
        db_close(db);
        db = must_open();
        assert_int_equal(turns_there(db), TURNS);
        db_close(db);
        world_free(w);
    }
}

static void a_killed_process_loses_nothing(void **state UNUSED)
{
    struct world *w = world_new(1);
    struct db *db = must_open(), *other = NULL;
    struct err e = {0};
    assert_int_equal(work(db, 0), TURNS);
    assert_int_equal(open_db(&other, &e), SKEP_EBUSY); /* one connection a file */
    simdisk_kill(w->disk);
    other = must_open();
    db_close(db); /* late, and without any effect */
    assert_int_equal(turns_there(other), TURNS);
    assert_int_equal(db_quick_check(other, &e), 0);
    db_close(other);
    world_free(w);
}

/* The machine stops at the nth write or sync, for each n until a run gets through; it is cut off twice
 * more while it recovers and goes on. */
static int crash_at_every(enum simdisk_op op, uint64_t seeds)
{
    int runs = 0;
    bool through = false;
    for (int64_t nth = 1; !through; nth++) {
        for (uint64_t seed = 0; seed < seeds; seed++, runs++) {
            struct world *w = world_new(seed * 1000003 + (uint64_t)nth);
            struct db *db = NULL;
            int acknowledged = 0, lives;
            simdisk_plan(w->disk, op, nth, SIMDISK_DEAD);
            for (lives = 0; lives < 3; lives++) {
                int from = 0;
                if (open_db(&db, NULL) == 0) {
                    from = (int)turns_there(db);
                    assert_true(from >= acknowledged && from <= acknowledged + 1);
                    acknowledged = work(db, from);
                }
                if (!simdisk_is_dead(w->disk))
                    break;
                simdisk_crash(w->disk, &w->dice);
                db_close(TAKE(db));
                simdisk_plan(w->disk, op, 1 + (int64_t)prng_below(&w->dice, 20), SIMDISK_DEAD);
            }
            through = lives == 0;
            simdisk_plan(w->disk, op, 0, SIMDISK_DEAD);
            if (!db)
                db = must_open();
            int64_t there = turns_there(db);
            if (!(there >= acknowledged && there <= acknowledged + 1))
                fail_msg("cut off at %d, seed %d: %d turns of %d", (int)nth, (int)seed, (int)there,
                         acknowledged);
            assert_int_equal(db_quick_check(db, NULL), 0);
            assert_int_equal(work(db, (int)there), TURNS);
            assert_int_equal(turns_there(db), TURNS);
            db_close(db);
            world_free(w);
        }
    }
    return runs;
}

static void acknowledged_turns_survive_a_crash_at_every_write(void **state UNUSED)
{
    assert_true(crash_at_every(SIMDISK_WRITE, 6) > 600);
}

static void acknowledged_turns_survive_a_crash_at_every_sync(void **state UNUSED)
{
    assert_true(crash_at_every(SIMDISK_SYNC, 20) > 200);
}

static void a_full_disk_rolls_back_and_says_so(void **state UNUSED)
{
    struct world *w = world_new(3);
    struct db *db = must_open();
    struct err e = {0};
    assert_int_equal(turn(db, 1, NULL), 0);
    assert_int_equal(db_exec(db, "PRAGMA cache_size = 5", NULL), 0); /* so that it spills before COMMIT */
    simdisk_limit(w->disk, simdisk_bytes(w->disk) + 100000);
    assert_int_equal(db_begin(db, NULL), 0);
    assert_int_equal(db_savepoint(db, NULL), 0);
    int rc = 0;
    for (int i = 0; rc == 0 && i < 1000; i++)
        rc = db_exec(db, "INSERT INTO t(turn, v) VALUES (99, zeroblob(3000))", &e);
    assert_int_equal(rc, SKEP_EDISKFULL);
    assert_false(db_in_transaction(db)); /* SQLite has ended all of it, savepoint included */
    assert_int_equal(db_rollback(db, NULL), 0);
    assert_int_equal(turns_there(db), 1);
    simdisk_limit(w->disk, 0);
    assert_int_equal(turn(db, 2, NULL), 0);
    db_close(db);
    db = must_open();
    assert_int_equal(turns_there(db), 2);
    db_close(db);
    world_free(w);
}

/* Fails the 1st, 2nd, 3rd … operation until a run gets through: an error each time, never a lie. */
static int fail_at_every(enum simdisk_op op, enum simdisk_fault fault, int code)
{
    int failures = 0;
    bool through = false;
    for (int64_t nth = 1; !through; nth++) {
        struct world *w = world_new((uint64_t)nth);
        struct db *db = must_open();
        struct err e = {0};
        int done = 0, rc = 0;
        simdisk_plan(w->disk, op, nth, fault);
        while (rc == 0 && done < TURNS)
            if ((rc = turn(db, done + 1, &e)) == 0 && ++done % 4 == 0)
                rc = db_checkpoint(db, true, &e);
        through = rc == 0;
        failures += !through;
        if (rc)
            assert_int_equal(rc, code);
        simdisk_plan(w->disk, op, 0, fault);
        simdisk_crash(w->disk, &w->dice); /* an I/O error ends the process */
        db_close(db);
        db = must_open();
        int64_t there = turns_there(db);
        assert_true(there >= done && there <= done + 1);
        assert_int_equal(db_quick_check(db, NULL), 0);
        db_close(db);
        world_free(w);
    }
    return failures;
}

static void every_failing_write_is_an_io_error(void **state UNUSED)
{
    assert_true(fail_at_every(SIMDISK_WRITE, SIMDISK_IOERR, SKEP_EIO) > 60);
}

static void every_failing_sync_is_an_io_error(void **state UNUSED)
{
    assert_true(fail_at_every(SIMDISK_SYNC, SIMDISK_IOERR, SKEP_EIO) > 10);
}

static void a_flip_turns_one_bit(void **state UNUSED)
{
    struct world *w = world_new(6);
    struct db *db = must_open();
    size_t n = 0, after_n = 0;
    work(db, 0);
    db_close(db);
    const void *bytes = simdisk_file(w->disk, "/skep.db", &n);
    unsigned char *before = mem_copy(bytes, n);
    assert_true(simdisk_flip(w->disk, "/skep.db", &w->dice));
    assert_false(simdisk_flip(w->disk, "/other", &w->dice));
    const unsigned char *after = simdisk_file(w->disk, "/skep.db", &after_n);
    int bits = 0;
    for (size_t i = 0; i < n; i++)
        bits += __builtin_popcount(before[i] ^ after[i]);
    assert_int_equal(after_n, n);
    assert_int_equal(bits, 1);
    free(before);
    world_free(w);
}

static void damaged_pages_are_found(void **state UNUSED)
{
    int found = 0;
    for (uint64_t seed = 0; seed < 40; seed++) {
        struct world *w = world_new(seed);
        struct db *db = must_open();
        work(db, 0);
        db_close(db);
        for (int i = 0; i < 1000; i++)
            simdisk_flip(w->disk, "/skep.db", &w->dice);
        db = NULL;
        int rc = open_db(&db, NULL);
        if (rc == 0)
            rc = db_quick_check(db, NULL);
        found += rc == SKEP_EDAMAGED || rc == SKEP_EFOREIGN;
        db_close(db);
        world_free(w);
    }
    assert_int_equal(found, 40);
}

static void the_same_seed_gives_the_same_bytes(void **state UNUSED)
{
    void *first = NULL;
    size_t first_n = 0, n = 0;
    for (int i = 0; i < 2; i++) {
        struct world *w = world_new(42);
        struct db *db = must_open();
        work(db, 0);
        db_exec(db, "INSERT INTO t(turn, v) VALUES (unixepoch(), randomblob(16))", NULL);
        assert_int_equal(db_i64(db, "SELECT max(turn) FROM t", -1), 1700000000);
        simdisk_crash(w->disk, &w->dice);
        db_close(db);
        const void *wal = simdisk_file(w->disk, "/skep.db-wal", &n);
        assert_true(wal && n > 0);
        if (i == 0)
            first = mem_copy(wal, first_n = n);
        assert_int_equal(n, first_n);
        assert_memory_equal(wal, first, n);
        world_free(w);
    }
    free(first);
}

static void files_can_be_put_and_taken(void **state UNUSED)
{
    struct world *w = world_new(5);
    struct db *db = must_open();
    size_t n = 0;
    work(db, 0);
    db_close(db);
    const void *bytes = simdisk_file(w->disk, "/skep.db", &n);
    void *backup = mem_copy(bytes, n);
    db = must_open();
    assert_int_equal(db_exec(db, "DELETE FROM t", NULL), 0);
    db_close(db);
    simdisk_put(w->disk, "/skep.db", backup, n);
    simdisk_put(w->disk, "/skep.db-wal", NULL, 0);
    free(backup);
    db = must_open();
    assert_int_equal(turns_there(db), TURNS);
    struct err e = {0};
    if (db_backup(db, "/copy.db", NULL, NULL, NULL, &e))
        fail_msg("%s", e.text);
    assert_non_null(simdisk_file(w->disk, "/copy.db", &n));
    db_close(db);
    simdisk_put(w->disk, "/skep.db", NULL, 0);
    assert_null(simdisk_file(w->disk, "/skep.db", &n));
    db = must_open();
    assert_int_equal(turns_there(db), 0);
    db_close(db);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_synced_survives_and_the_rest_meets_the_dice),
        cmocka_unit_test(a_truncation_happened_wholly_or_not),
        cmocka_unit_test(a_long_history_agrees_with_plain_arrays),
        cmocka_unit_test(a_commit_survives_a_power_cut),
        cmocka_unit_test(a_killed_process_loses_nothing),
        cmocka_unit_test(acknowledged_turns_survive_a_crash_at_every_write),
        cmocka_unit_test(acknowledged_turns_survive_a_crash_at_every_sync),
        cmocka_unit_test(a_full_disk_rolls_back_and_says_so),
        cmocka_unit_test(every_failing_write_is_an_io_error),
        cmocka_unit_test(every_failing_sync_is_an_io_error),
        cmocka_unit_test(a_flip_turns_one_bit),
        cmocka_unit_test(damaged_pages_are_found),
        cmocka_unit_test(the_same_seed_gives_the_same_bytes),
        cmocka_unit_test(files_can_be_put_and_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
