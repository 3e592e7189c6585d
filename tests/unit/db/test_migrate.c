/* What is found at start: new, old, newer, foreign and damaged files; migrations; the schema as it is. */
#include "bench.h"

#include "db/migrate.h"

static const struct db_migration list[] = {
    {"0001.sql", "CREATE TABLE a(k TEXT PRIMARY KEY) STRICT; INSERT INTO a VALUES ('one');"},
    {"0002.sql", "ALTER TABLE a ADD COLUMN n INTEGER; CREATE INDEX a_n ON a(n);"},
    {"0003.sql", "CREATE VIEW v AS SELECT k FROM a; CREATE TABLE b(x INTEGER) STRICT;"},
};

static int try_open(const struct folder *f, struct err *e)
{
    struct db *db = NULL;
    struct db_options o = writer_options(f);
    int rc = db_open(&db, &o, e);
    if (rc == 0)
        db_close(db);
    return rc;
}

static void put_file(const struct folder *f, const void *bytes, size_t n)
{
    FILE *file = fopen(f->path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, n, file), n);
    fclose(file);
}

static void poke_file(const struct folder *f, const void *bytes, size_t n, off_t at)
{
    int fd = open(f->path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0 && pwrite(fd, bytes, n, at) == (ssize_t)n);
    close(fd);
}

static void migrations_run_once_and_in_order(void **state)
{
    struct db *db = writer(*state);
    ok(db_migrate(db, list, 1, e));
    assert_int_equal(db_i64(db, "PRAGMA user_version", -1), 1);
    ok(db_migrate(db, list, 3, e));
    ok(db_migrate(db, list, 3, e));
    assert_int_equal(db_i64(db, "PRAGMA user_version", -1), 3);
    assert_int_equal(db_i64(db, "SELECT count(*) FROM a", -1), 1);
    db_close(db);
    db = writer(*state);
    ok(db_migrate(db, list, 3, e));
    db_close(db);
}

static void a_failing_migration_leaves_the_version_before_it(void **state)
{
    const struct db_migration bad[] = {list[0], {"0002-bad.sql", "CREATE TABLE c(x); DELETE FROM missing;"}};
    struct db *db = writer(*state);
    struct err why = {0};
    assert_int_equal(db_migrate(db, bad, 2, &why), SKEP_ESTORE);
    assert_non_null(strstr(why.text, "migration 0002-bad.sql of "));
    assert_non_null(strstr(why.text, "no such table: missing"));
    assert_int_equal(db_i64(db, "PRAGMA user_version", -1), 1);
    assert_int_equal(db_i64(db, "SELECT count(*) FROM sqlite_schema WHERE name = 'c'", -1), 0);
    assert_false(db_in_transaction(db));
    db_close(db);
}

static void a_newer_schema_is_refused(void **state)
{
    struct db *db = writer(*state);
    struct err why = {0};
    ok(db_migrate(db, list, 3, e));
    assert_int_equal(db_migrate(db, list, 2, &why), SKEP_ENEWER);
    assert_non_null(strstr(why.text, "has schema version 3, this program knows 2"));
    db_close(db);
}

static void a_missing_file_is_said_to_be_missing(void **state)
{
    const struct folder *f = *state;
    struct db *db = NULL;
    struct err why = {0};
    struct db_options o = writer_options(f);
    o.create = false;
    assert_int_equal(db_open(&db, &o, &why), SKEP_ENOTFOUND);
    assert_null(db);
    o.readonly = true;
    assert_int_equal(db_open(&db, &o, &why), SKEP_ENOTFOUND);
    assert_int_equal(file_bytes(f, ""), -1);
}

static void a_file_that_is_no_database_is_foreign(void **state)
{
    const struct folder *f = *state;
    struct err why = {0};
    char text[5000];
    memset(text, 'x', sizeof text);
    const size_t sizes[] = {2, 99, 512, 5000};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        put_file(f, text, sizes[i]);
        assert_int_equal(try_open(f, &why), SKEP_EFOREIGN);
        assert_non_null(strstr(why.text, "is not a database"));
        assert_int_equal(file_bytes(f, ""), sizes[i]);
    }
}

static void anothers_database_is_foreign_and_not_touched(void **state)
{
    const struct folder *f = *state;
    struct err why = {0};
    struct shell s;
    shell_start(&s, f);
    shell_ask(&s, "CREATE TABLE mine(x); INSERT INTO mine VALUES (1);");
    shell_end(&s);
    struct stat before, after;
    assert_int_equal(stat(f->path, &before), 0);
    assert_int_equal(try_open(f, &why), SKEP_EFOREIGN);
    assert_non_null(strstr(why.text, "belongs to another program: its application_id is 0x00000000"));
    assert_int_equal(stat(f->path, &after), 0);
    assert_memory_equal(&before.st_mtim, &after.st_mtim, sizeof before.st_mtim);
    assert_int_equal(before.st_mode, after.st_mode);
    assert_int_equal(file_bytes(f, "-wal"), -1);
    shell_start(&s, f);
    assert_string_equal(shell_ask(&s, "PRAGMA journal_mode; SELECT x FROM mine;"), "delete\n1");
    shell_end(&s);
}

/* What a killed program left in its WAL stays where it is. */
static void anothers_wal_is_not_moved(void **state)
{
    const struct folder *f = *state;
    struct err why = {0};
    struct shell s;
    shell_start(&s, f);
    shell_ask(&s, "PRAGMA journal_mode = WAL; CREATE TABLE mine(x); INSERT INTO mine VALUES (1);");
    kill(s.pid, SIGKILL);
    shell_end(&s);
    int64_t main_bytes = file_bytes(f, ""), wal = file_bytes(f, "-wal");
    assert_true(wal > 0);
    assert_int_equal(try_open(f, &why), SKEP_EFOREIGN);
    assert_int_equal(file_bytes(f, ""), main_bytes);
    assert_int_equal(file_bytes(f, "-wal"), wal);
}

static void make_ours(const struct folder *f)
{
    struct db *db = writer(f);
    ok(db_migrate(db, list, 3, e));
    db_close(db);
}

static void a_damaged_header_is_damage(void **state)
{
    const struct folder *f = *state;
    struct err why = {0};
    make_ours(f);
    int64_t whole = file_bytes(f, "");
    assert_int_equal(truncate(f->path, whole - 4096), 0);
    assert_int_equal(try_open(f, &why), SKEP_EDAMAGED);
    assert_non_null(strstr(why.text, "Restore a backup"));
    assert_int_equal(truncate(f->path, 60), 0);
    assert_int_equal(try_open(f, &why), SKEP_EDAMAGED);
    unlink(f->path);
    make_ours(f);
    poke_file(f, "\x12\x34", 2, 16); /* the page size */
    assert_int_equal(try_open(f, &why), SKEP_EDAMAGED);
    unlink(f->path);
    make_ours(f);
    poke_file(f, "\x07", 1, 18); /* the write version */
    assert_int_equal(try_open(f, &why), SKEP_EDAMAGED);
    assert_non_null(strstr(why.text, "of the future"));
    unlink(f->path);
    make_ours(f);
    char junk[3000];
    memset(junk, 0xff, sizeof junk);
    poke_file(f, junk, sizeof junk, 100); /* the schema */
    assert_int_equal(try_open(f, &why), SKEP_EDAMAGED);
}

static void every_single_byte_of_the_header_may_be_wrong(void **state)
{
    const struct folder *f = *state;
    char bytes[100];
    make_ours(f);
    int fd = open(f->path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(pread(fd, bytes, sizeof bytes, 0), sizeof bytes);
    close(fd);
    for (off_t at = 0; at < 100; at++) {
        struct err why = {0};
        char wrong = (char)~bytes[at];
        poke_file(f, &wrong, 1, at);
        int rc = try_open(f, &why);
        if (rc && rc != SKEP_EDAMAGED && rc != SKEP_EFOREIGN)
            print_error("byte %d: %d %s\n", (int)at, rc, why.text);
        assert_true(rc == 0 || ((rc == SKEP_EDAMAGED || rc == SKEP_EFOREIGN) && why.text[0]));
        unlink(f->path);
        make_ours(f);
    }
}

static void spelling_is_no_difference(void **state)
{
    struct db *db = writer(*state);
    struct str d = STR_INIT;
    ok(db_migrate(db, list, 3, e));
    static const char same[] =
        "-- a table\ncreate table A ( K text primary key, -- the key\n n INTEGER ) STRICT;\n"
        "CREATE INDEX \"a_n\" ON a (n); CREATE VIEW v AS /* names */ SELECT k FROM a;\n"
        "CREATE TABLE b (x INTEGER)\n STRICT;";
    assert_int_equal(db_schema_differs(db, same, &d), 2); /* a table called A is another one */
    str_clear(&d);
    char *lower = mem_dup(same);
    lower[strcspn(lower, "A")] = 'a';
    assert_int_equal(db_schema_differs(db, lower, &d), 0);
    assert_int_equal(d.n, 0);
    free(lower);
    str_fini(&d);
    db_close(db);
}

static void differences_are_named(void **state)
{
    struct db *db = writer(*state);
    struct str d = STR_INIT;
    ok(db_migrate(db, list, 3, e));
    ok(db_exec(db, "DROP VIEW v; CREATE TABLE extra(x TEXT DEFAULT 'A  b')", e));
    static const char schema[] =
        "CREATE TABLE a(k TEXT PRIMARY KEY, n TEXT) STRICT; CREATE INDEX a_n ON a(n);"
        "CREATE VIEW v AS SELECT k FROM a; CREATE TABLE b(x INTEGER) STRICT;";
    assert_int_equal(db_schema_differs(db, schema, &d), 2);
    assert_string_equal(str_get(&d), "table a is\n  create table a(k text primary key,n integer)strict\n"
                                     "but should be\n  create table a(k text primary key,n text)strict\n"
                                     "table extra is not ours\nview v is missing\n");
    str_fini(&d);
    db_close(db);
}

int main(void)
{
#define with_folder(test) cmocka_unit_test_setup_teardown(test, folder_make, folder_remove)
    const struct CMUnitTest tests[] = {
        with_folder(migrations_run_once_and_in_order),
        with_folder(a_failing_migration_leaves_the_version_before_it),
        with_folder(a_newer_schema_is_refused),
        with_folder(a_missing_file_is_said_to_be_missing),
        with_folder(a_file_that_is_no_database_is_foreign),
        with_folder(anothers_database_is_foreign_and_not_touched),
        with_folder(anothers_wal_is_not_moved),
        with_folder(a_damaged_header_is_damage),
        with_folder(every_single_byte_of_the_header_may_be_wrong),
        with_folder(spelling_is_no_difference),
        with_folder(differences_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
