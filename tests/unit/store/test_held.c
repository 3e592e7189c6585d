/* Rows that wait for somebody: found by their ids, shown, kept under a new stamp, or let go of. */
#include "store/held.h"

#include "bench.h"
#include "wire/json.h"

static const struct span templates = {"template", 8};

static void put(struct store *s, const char *name, const char *spec)
{
    struct template_row row = {.template = mem_dup(name), .spec = mem_dup(spec)};
    ok(store_save(s, T_TEMPLATE, &row, e));
    row_fini(T_TEMPLATE, &row);
}

static bool has(struct store *s, const char *name)
{
    struct template_row row = {.template = mem_dup(name)};
    int rc = store_load(s, T_TEMPLATE, &row, NULL);
    row_fini(T_TEMPLATE, &row);
    return rc == 1;
}

static void take_out(struct store *s, const char *name)
{
    struct template_row row = {.template = mem_dup(name)};
    ok(store_keep(s, T_TEMPLATE, &row, "written in isolation", e));
    row_fini(T_TEMPLATE, &row);
    ok(store_take_out(s, templates, (struct span){name, strlen(name)}, e));
    assert_false(has(s, name));
}

/* Everything of `from` into `to`, where it is not applied. */
static void set_aside(struct store *to, struct store *from)
{
    AUTOVV struct vv have = VV_INIT;
    struct page *g = mem_alloc(sizeof *g);
    page_get(from, &have, g);
    for (uint32_t i = 0; i < g->n; i++) {
        enum merged how;
        ok(store_merge_as(to, &g->row[i], STORE_ASIDE_AMBIGUOUS, &how, e));
        assert_int_equal(how, MERGED_ASIDE);
    }
    str_fini(&g->bytes);
    free(g);
}

static void each_has_an_id(void **state)
{
    struct store *s = store_new(*state, 10), *other = store_new(*state, 20);
    CLEANUP(held_fini) struct held h = {.bytes = STR_INIT};
    static const char *const ids[] = {"1", "2", "a:template/x", "a:template/y"};
    put(s, "p", "{}");
    put(s, "q", "{}");
    take_out(s, "p");
    take_out(s, "q");
    put(other, "x", "{}");
    put(other, "y", "{}");
    set_aside(s, other);
    AUTOFREE char *last = mem_dup("");
    for (size_t i = 0; i < COUNT(ids); i++) {
        assert_int_equal(held_after(s, last, &h, NULL), 1);
        assert_string_equal(h.id, ids[i]);
        assert_string_equal(h.why, i < 2 ? "written in isolation" : STORE_ASIDE_AMBIGUOUS);
        assert_int_equal(h.aside, i >= 2);
        assert_int_equal(held_get(s, ids[i], &h, NULL), 1);
        assert_string_equal(h.id, ids[i]);
        mem_replace(&last, h.id);
    }
    assert_int_equal(held_after(s, last, &h, NULL), 0);
    assert_int_equal(held_after(s, "x", &h, NULL), SKEP_EARG);
    static const char *const none[] = {"", "3", "-1", "1x", "a:", "a:template", "a:template/z", "a:x/y"};
    for (size_t i = 0; i < COUNT(none); i++)
        assert_int_equal(held_get(s, none[i], &h, NULL), 0);
    store_end(s);
    store_end(other);
}

static void its_columns_can_be_read(void **state)
{
    struct store *s = store_new(*state, 10);
    CLEANUP(held_fini) struct held h = {.bytes = STR_INIT};
    AUTOSTR struct str text = STR_INIT;
    put(s, "p", "{\"argv\":[\"/bin/x\"]}");
    take_out(s, "p");
    assert_int_equal(held_get(s, "1", &h, NULL), 1);
    struct jw j = jw_init(&text);
    assert_true(held_columns(&h, &j));
    jw_end(&j);
    assert_string_equal(str_get(&text), "{\"spec\":{\"argv\":[\"/bin/x\"]},\"template\":\"p\"}");
    h.bytes.n--; /* damaged on the way */
    assert_false(held_columns(&h, &j));
    h.dead = true;
    h.bytes.n++;
    assert_false(held_columns(&h, &j));
    h.dead = false;
    free(h.tbl);
    h.tbl = mem_dup("of_tomorrow");
    assert_false(held_columns(&h, &j));
    store_end(s);
}

static void what_is_kept_is_a_row_under_a_new_stamp(void **state)
{
    struct store *s = store_new(*state, 10), *other = store_new(*state, 20);
    CLEANUP(held_fini) struct held h = {.bytes = STR_INIT};
    struct remote_row row;
    put(s, "p", "{}");
    take_out(s, "p");
    put(other, "x", "{}");
    set_aside(s, other);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(held_after(s, "", &h, NULL), 1);
        struct stamp before = h.stamp;
        ok(held_keep(s, &h, &row, e));
        assert_int_equal(row.stamp.actor, 10);
        assert_true(row.stamp.hlc > before.hlc);
        assert_int_equal(store_written(s), row.stamp.hlc); /* it is proven with the commit */
    }
    assert_true(has(s, "p") && has(s, "x"));
    assert_int_equal(held_after(s, "", &h, NULL), 0);
    assert_versions_fit(s);
    pull_all(other, s);
    assert_true(has(other, "p"));
    assert_agree(s, other);
    store_end(s);
    store_end(other);
}

static void what_is_dropped_is_gone_everywhere(void **state)
{
    struct store *s = store_new(*state, 10), *other = store_new(*state, 20);
    CLEANUP(held_fini) struct held h = {.bytes = STR_INIT};
    struct remote_row row;
    put(s, "p", "{}");
    take_out(s, "p");
    put(other, "x", "{}");
    set_aside(s, other);
    assert_int_equal(held_get(s, "1", &h, NULL), 1);
    ok(held_drop(s, &h, &row, e));
    assert_int_equal(held_get(s, "1", &h, NULL), 0);
    assert_int_equal(held_get(s, "a:template/x", &h, NULL), 1);
    ok(held_drop(s, &h, &row, e));
    assert_true(row.dead);
    assert_int_equal(held_after(s, "", &h, NULL), 0);
    assert_versions_fit(s);
    pull_all(other, s);
    assert_false(has(other, "x"));
    assert_agree(s, other);
    store_end(s);
    store_end(other);
}

static void name_of(struct store *s, int64_t epoch)
{
    struct name_row row = {
        .swarm = mem_dup("default"), .name = mem_dup("n"), .kind = mem_dup("address"), .epoch = epoch};
    ok(store_save(s, T_NAME, &row, e));
    row_fini(T_NAME, &row);
}

/* A claim that was beaten meanwhile is not put over the one that beat it. */
static void a_higher_epoch_counts_for_more(void **state)
{
    struct store *s = store_new(*state, 10);
    CLEANUP(held_fini) struct held h = {.bytes = STR_INIT};
    struct remote_row row;
    struct err why = {0};
    name_of(s, 3);
    struct name_row held = {.swarm = mem_dup("default"), .name = mem_dup("n")};
    ok(store_keep(s, T_NAME, &held, "why", e));
    row_fini(T_NAME, &held);
    name_of(s, 5);
    assert_int_equal(held_after(s, "", &h, NULL), 1);
    assert_int_equal(held_keep(s, &h, &row, &why), SKEP_ECONFLICT);
    assert_int_equal(ask(s, "SELECT epoch FROM name"), 5);
    assert_int_equal(held_get(s, "1", &h, NULL), 1);
    ok(held_drop(s, &h, &row, e));
    assert_int_equal(ask(s, "SELECT epoch FROM name"), 5);
    assert_versions_fit(s);
    store_end(s);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, bench_make, bench_remove)
    const struct CMUnitTest tests[] = {
        T(each_has_an_id),
        T(its_columns_can_be_read),
        T(what_is_kept_is_a_row_under_a_new_stamp),
        T(what_is_dropped_is_gone_everywhere),
        T(a_higher_epoch_counts_for_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
