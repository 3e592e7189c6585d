/* Damaged files, made on the spot: what is found, what is still read of them, and that nothing wrong comes
 * back.
 */
#include "store/salvage.h"

#include "damage.h"

static struct salvage salvaged(struct bench *b)
{
    struct salvage got;
    struct id cluster = {{1}}, node = {{1}};
    AUTOFREE char *from = path_in(b, "1.db"), *work = path_in(b, "work"), *to = path_in(b, "to");
    ok(store_salvage(from, work, to, &cluster, &node, "a", &b->clock, &got, e));
    ok(store_sound(to, e));
    return got;
}

/* Each row that came back is what was written, and its version describes it. */
static void assert_whole(struct bench *b, const struct salvage *got)
{
    struct store *s;
    AUTOFREE char *to = path_in(b, "to");
    ok(store_open(&s, &(struct store_options){.path = to, .clock = &b->clock}, e));
    assert_versions_fit(s);
    assert_int_equal(ask(s, "SELECT count(*) FROM change WHERE dead = 0"), got->rows);
    assert_int_equal(ask(s, "SELECT count(*) FROM change WHERE dead = 1"), got->dead);
    assert_int_equal(ask(s, "SELECT count(*) FROM template WHERE length(spec) <> 302"), 0);
    store_close(s);
}

static void of_a_sound_file_all_is_read(void **state)
{
    struct bench *b = *state;
    AUTOFREE char *from = path_in(b, "1.db"), *to = path_in(b, "to");
    make_node(b);
    ok(store_sound(from, e));
    struct salvage got = salvaged(b);
    assert_true(got.readable);
    assert_int_equal(got.rows, ROWS);
    assert_int_equal(got.dead, 1);
    assert_int_equal(got.lost, 0);
    assert_whole(b, &got);
    assert_int_equal(look(to, "SELECT count(*) FROM quarantine WHERE key = 't000'"), 1);
    assert_int_equal(look(to, "SELECT count(*) FROM meta WHERE key = 'resync' AND value = 'repaired'"), 1);
    assert_int_equal(look(to, "SELECT count(*) FROM vv WHERE hlc > 0"), 0); /* it proves nothing yet */
}

/* Page by page, one file after the other: it is noticed, nothing crashes, and no wrong row comes back. */
static void any_page_may_be_damaged(void **state)
{
    struct bench *b = *state;
    AUTOFREE char *from = path_in(b, "1.db"), *good = path_in(b, "good");
    struct stat st;
    int64_t best = 0;
    make_node(b);
    assert_int_equal(rename(from, good), 0);
    assert_int_equal(stat(good, &st), 0);
    int64_t pages = st.st_size / PAGE_SIZE, noticed = 0, step = pages / 10 + 1;
    assert_true(pages > 40);
    for (int64_t page = 1; page < pages; page += step) {
        AUTOFREE char *copy = mem_printf("cd '%s' && rm -f work* to* 1.db* && cp good 1.db", b->dir);
        struct err why = {0};
        assert_int_equal(system(copy), 0);
        overwrite(from, page * PAGE_SIZE, PAGE_SIZE);
        int rc = store_sound(from, &why);
        assert_true(rc == 0 || rc == SKEP_EDAMAGED);
        noticed += rc < 0;
        struct salvage got = salvaged(b);
        if (got.readable)
            assert_whole(b, &got);
        assert_true(got.rows <= ROWS);
        best = got.rows > best ? got.rows : best;
    }
    assert_true(noticed * step > pages / 2);
    assert_true(best > ROWS / 2);
}

static void without_its_header_nothing_is_readable(void **state)
{
    struct bench *b = *state;
    struct err why = {0};
    AUTOFREE char *from = path_in(b, "1.db");
    make_node(b);
    overwrite(from, 0, PAGE_SIZE);
    assert_int_equal(store_sound(from, &why), SKEP_EDAMAGED);
    struct salvage got = salvaged(b);
    assert_false(got.readable);
    assert_int_equal(got.rows, 0);
}

static void a_row_that_is_not_what_was_written_is_lost(void **state)
{
    struct bench *b = *state;
    AUTOFREE char *from = path_in(b, "1.db"), *to = path_in(b, "to");
    make_node(b);
    spoil(from,
          "UPDATE template SET spec = '\"y\"' WHERE template = 't007';"
          "DELETE FROM template WHERE template = 't008';"
          "UPDATE change SET actor = 11 WHERE key = 'gone'"); /* another one's death: hashed by nobody */
    struct salvage got = salvaged(b);
    assert_int_equal(got.lost, 2);
    assert_int_equal(got.rows, ROWS - 2);
    assert_int_equal(got.dead, 0);
    assert_int_equal(look(to, "SELECT count(*) FROM template WHERE template IN ('t007', 't008')"), 0);
    assert_whole(b, &got);
}

/* Nobody can be asked: what is read counts, and is proven at once. */
static void the_only_node_of_a_cluster_goes_on(void **state)
{
    struct bench *b = *state;
    AUTOFREE char *to = path_in(b, "to");
    make_node(b);
    struct store *s = store_again(b, 1, 11);
    struct node_row row = {.node = store_meta(s, "node"), .name = mem_dup("a"), .state = mem_dup("up")};
    row.boot = mem_dup("b");
    row.labels = mem_dup("{}");
    row.url = mem_dup("u");
    row.version = mem_dup("1");
    ok(store_save(s, T_NODE, &row, e));
    row_fini(T_NODE, &row);
    store_end(s);
    struct salvage got = salvaged(b);
    assert_true(got.alone);
    assert_int_equal(look(to, "SELECT count(*) FROM meta WHERE key = 'member' AND value = '1'"), 1);
    assert_int_equal(look(to, "SELECT count(*) FROM meta WHERE key = 'resync'"), 0);
    assert_int_equal(look(to, "SELECT count(*) FROM vv WHERE actor = 11 AND hlc > 0"), 1);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, bench_make, bench_remove)
    const struct CMUnitTest tests[] = {
        T(of_a_sound_file_all_is_read),
        T(any_page_may_be_damaged),
        T(without_its_header_nothing_is_readable),
        T(a_row_that_is_not_what_was_written_is_lost),
        T(the_only_node_of_a_cluster_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
