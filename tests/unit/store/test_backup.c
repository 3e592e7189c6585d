/* A backup holds what the cluster has and nothing of the node; a damaged one is refused; a node made of one
 * has its own identity.
 */
#include "store/backup.h"

#include "damage.h"

static void take(struct bench *b, const char *to)
{
    AUTOFREE char *from = path_in(b, "1.db"), *path = path_in(b, to);
    ok(store_backup(from, path, "1.2'3", &b->clock, NULL, NULL, e));
}

static void it_has_the_rows_and_not_the_node(void **state)
{
    struct bench *b = *state;
    char digest[33];
    CLEANUP(backup_facts_fini) struct backup_facts f = {0};
    AUTOFREE char *path = path_in(b, "backup"), *wal = path_in(b, "backup-wal");
    make_node(b);
    struct store *s = store_again(b, 1, 0);
    ok(store_digest(s, digest, e));
    store_end(s);
    take(b, "backup");
    assert_int_not_equal(access(wal, F_OK), 0);
    ok(store_backup_check(path, &f, e));
    assert_true(f.whole);
    assert_string_equal(f.of, "a");
    assert_string_equal(f.version, "1.2'3");
    assert_string_equal(f.at, "2023-11-14T22:13:20.000Z");
    assert_string_equal(f.digest, digest);
    assert_int_equal(f.rows, ROWS); /* one is in quarantine, one is the run */
    assert_int_equal(f.dead, 1);
    assert_int_equal(look(path, "SELECT count(*) FROM quarantine"), 1);
    assert_int_equal(look(path, "SELECT count(*) FROM log"), 0);
    assert_int_equal(look(path, "SELECT count(*) FROM meta WHERE key IN ('node', 'name', 'member')"), 0);
}

static bool give_up(void *asked)
{
    return ++*(int *)asked < 1;
}

static void nothing_is_overwritten_and_nothing_is_left_behind(void **state)
{
    struct bench *b = *state;
    struct err why = {0};
    int asked = 0;
    AUTOFREE char *from = path_in(b, "1.db"), *path = path_in(b, "backup"), *other = path_in(b, "other");
    make_node(b);
    spoil(from, "INSERT INTO log (at, type, data) VALUES (1, 'x', hex(zeroblob(1500000)))");
    take(b, "backup");
    assert_int_equal(store_backup(from, path, "1", &b->clock, NULL, NULL, &why), SKEP_EARG);
    assert_int_equal(store_backup(from, other, "1", &b->clock, give_up, &asked, &why), SKEP_ETIMEOUT);
    assert_true(asked > 0);
    assert_int_not_equal(access(other, F_OK), 0);
}

/* What a check says of a backup to which this was done. */
static int checked(struct bench *b, const char *sql, struct err *why)
{
    static int number;
    CLEANUP(backup_facts_fini) struct backup_facts f = {0};
    AUTOFREE char *name = mem_printf("spoilt%d", ++number), *path = path_in(b, name);
    take(b, name);
    spoil(path, sql);
    return store_backup_check(path, &f, why);
}

static void damage_is_found(void **state)
{
    struct bench *b = *state;
    struct err why = {0};
    CLEANUP(backup_facts_fini) struct backup_facts f = {0};
    AUTOFREE char *path = path_in(b, "torn"), *node = path_in(b, "1.db"), *text = path_in(b, "text");
    make_node(b);
    assert_int_equal(checked(b, "UPDATE template SET spec = '\"y\"' WHERE template = 't007'", &why),
                     SKEP_EDAMAGED);
    assert_non_null(strstr(why.text, "t007"));
    assert_int_equal(checked(b, "DELETE FROM template WHERE template = 't008'", &why), SKEP_EDAMAGED);
    assert_non_null(strstr(why.text, "t008"));
    assert_int_equal(checked(b, "DELETE FROM change WHERE key = 't009'", &why), SKEP_EDAMAGED);
    assert_int_equal(checked(b, "UPDATE change SET hash = NULL WHERE key = 't009'", &why), SKEP_EDAMAGED);
    assert_int_equal(checked(b, "PRAGMA user_version = 9999", &why), SKEP_ENEWER);
    assert_int_equal(checked(b, "PRAGMA application_id = 7", &why), SKEP_EFOREIGN);
    assert_int_equal(checked(b, "DELETE FROM meta WHERE key = 'backup_at'", &why), SKEP_EARG);
    assert_int_equal(store_backup_check(node, &f, &why), SKEP_EARG);
    take(b, "torn");
    overwrite(path, 20 * PAGE_SIZE, 4 * PAGE_SIZE);
    assert_int_equal(store_backup_check(path, &f, &why), SKEP_EDAMAGED);
    FILE *file = fopen(text, "w");
    fputs("no database at all, but long enough to look like one, or it would be taken for an empty one\n",
          file);
    fclose(file);
    assert_int_equal(store_backup_check(text, &f, &why), SKEP_EFOREIGN);
}

/* A node that never ran, of this or of another cluster. */
static char *fresh(struct bench *b, const char *name, unsigned char cluster, bool founder)
{
    char *path = path_in(b, name);
    struct id c = {{cluster}}, node = {{99}};
    ok(store_create(path, &c, &node, "new", founder, "hash", e));
    return path;
}

static bool says(const char *path, const char *key, const char *value)
{
    AUTOFREE char *sql =
        mem_printf("SELECT count(*) FROM meta WHERE key = '%s' AND value = '%s'", key, value);
    return look(path, sql) == 1;
}

static void a_node_of_it_is_itself(void **state)
{
    struct bench *b = *state;
    char before[33], after[33];
    struct store *s;
    AUTOFREE char *founder = fresh(b, "founder.db", 7, true), *member = fresh(b, "member.db", 1, false);
    AUTOFREE char *one = path_in(b, "one"), *two = path_in(b, "two");
    make_node(b);
    s = store_again(b, 1, 0);
    ok(store_digest(s, before, e));
    store_end(s);
    take(b, "one");
    take(b, "two");
    ok(store_restore(one, founder, e));
    ok(store_restore(two, member, e));
    assert_true(says(one, "name", "new") && says(two, "name", "new"));
    assert_true(says(one, "restored", "founder") && says(one, "member", "1"));
    assert_true(says(two, "resync", "restored") && says(two, "member", "0"));
    assert_true(says(one, "admin_token_hash", "hash"));
    assert_int_equal(look(one, "SELECT count(*) FROM meta WHERE key GLOB 'backup_*'"), 0);
    ok(store_open(&s, &(struct store_options){.path = one, .clock = &b->clock}, e));
    ok(store_digest(s, after, e));
    store_close(s);
    assert_string_equal(before, after);
}

static void what_would_be_lost_is_refused(void **state)
{
    struct bench *b = *state;
    struct err why = {0};
    AUTOFREE char *stranger = fresh(b, "stranger.db", 7, false), *founder = fresh(b, "founder.db", 7, true);
    AUTOFREE char *ran = path_in(b, "1.db"), *copy = path_in(b, "copy");
    make_node(b);
    take(b, "copy");
    assert_int_equal(store_restore(copy, stranger, &why), SKEP_EARG); /* it joined another cluster */
    assert_int_equal(store_restore(copy, ran, &why), SKEP_EARG);
    assert_true(says(copy, "backup_of", "a")); /* nothing was done */
    spoil(copy, "UPDATE template SET spec = '\"y\"' WHERE template = 't007'");
    assert_int_equal(store_restore(copy, founder, &why), SKEP_EDAMAGED);
    assert_true(says(copy, "backup_of", "a"));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, bench_make, bench_remove)
    const struct CMUnitTest tests[] = {
        T(it_has_the_rows_and_not_the_node),
        T(nothing_is_overwritten_and_nothing_is_left_behind),
        T(damage_is_found),
        T(a_node_of_it_is_itself),
        T(what_would_be_lost_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
