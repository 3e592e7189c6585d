/* Vectors, walks and what deleting safely needs: pages in order, tombstones that go, actors that fold, rows
 * aside that a newer program applies.
 */
#include "bench.h"

#include "store/salvage.h"

static void names_add(struct store *s, int from, int n)
{
    for (int i = from; i < from + n; i++) {
        AUTOFREE char *name = mem_printf("n%05d", i);
        struct name_row row = {.swarm = (char *)"s", .name = name, .kind = (char *)"address", .epoch = 1};
        ok(store_save(s, T_NAME, &row, e));
    }
}

static void name_kill(struct store *s, int i)
{
    AUTOFREE char *name = mem_printf("n%05d", i);
    struct name_row row = {.swarm = (char *)"s", .name = name};
    ok(store_kill(s, T_NAME, &row, 0, e));
}

/* ---- walks ---- */

static void a_walk_in_pages_meets_every_row_once(void **state)
{
    struct store *s = store_new(*state, 8);
    AUTOSTR struct str rows = STR_INIT, tbl = STR_INIT, key = STR_INIT;
    bool more = true;
    int pages = 0;
    int64_t met = 0;
    names_add(s, 0, 700);
    for (int i = 0; i < 700; i += 7)
        name_kill(s, i);
    while (more) {
        uint32_t count;
        str_clear(&rows);
        ok(store_scan_page(s, str_get(&tbl), str_get(&key), &rows, &count, &more, e));
        struct reader r = reader_init(str_get(&rows), rows.n);
        for (uint32_t i = 0; i < count; i++) {
            struct remote_row row;
            ok(store_read_row(&r, &row, e));
            AUTOFREE char *next = mem_copy(row.key.p, row.key.n);
            assert_true(strcmp(str_get(&key), next) < 0);
            assert_int_equal(row.dead, atoi(next + 3) % 7 == 0);
            assert_true(row.dead ? row.bytes.n == 0 : row.bytes.n > 0);
            str_clear(&tbl);
            str_add(&tbl, row.tbl.p, row.tbl.n);
            str_clear(&key);
            str_puts(&key, next);
            met++;
        }
        assert_true(reader_done(&r));
        pages++;
    }
    assert_int_equal(met, ask(s, "SELECT count(*) FROM change"));
    assert_int_equal(pages, 3);
    store_end(s);
}

static void the_row_behind_a_row(void **state)
{
    struct store *s = store_new(*state, 8);
    AUTOSTR struct str tbl = STR_INIT, key = STR_INIT;
    struct stamp stamp;
    bool dead;
    int n = 0, rc;
    names_add(s, 0, 5);
    name_kill(s, 3);
    while ((rc = store_row_after(s, &tbl, &key, &stamp, &dead, NULL)) == 1) {
        AUTOFREE char *want = mem_printf("s/n%05d", n);
        assert_string_equal(str_get(&tbl), "name");
        assert_string_equal(str_get(&key), want);
        assert_int_equal(dead, n == 3);
        assert_true(stamp.actor == 8 && stamp.hlc > 0 && stamp.rank == 1);
        n++;
    }
    assert_true(rc == 0 && n == 5);
    store_end(s);
}

/* A page asks for actors that are ahead only, also for rows that the vector does not prove. */
static void what_was_seen_is_passed_on(void **state)
{
    struct bench *b = *state;
    struct store *s = store_new(b, 8), *to = store_new(b, 9);
    struct page *g = mem_alloc(sizeof *g);
    AUTOVV struct vv have = VV_INIT, vv = VV_INIT;
    enum merged how;
    names_add(s, 0, 3);
    page_get(s, &have, g);
    ok(store_merge(to, &g->row[0], &how, e));
    AUTOSTR struct str rows = STR_INIT;
    uint32_t count;
    bool more;
    ok(store_page(to, &have, &rows, &count, &more, e));
    assert_int_equal(count, 0); /* nobody said so */
    ok(store_vv_saw(to, 8, g->row[0].stamp.hlc, e));
    ok(store_page(to, &have, &rows, &count, &more, e));
    assert_true(count == 1 && !more);
    ok(store_vv(to, &vv, e));
    assert_int_equal(vv_get(&vv, 8), 0); /* and nothing is proven by it */
    ok(store_vv_raise(to, 8, g->row[0].stamp.hlc, e));
    ok(store_vv_raise(to, 8, 1, e)); /* never lower */
    vv_clear(&vv);
    ok(store_vv(to, &vv, e));
    assert_int_equal(vv_get(&vv, 8), g->row[0].stamp.hlc);
    str_fini(&g->bytes);
    free(g);
    store_end(s);
    store_end(to);
}

/* ---- deleting ---- */

struct may {
    int64_t not_hlc;
    int asked;
};

static bool may_go(void *ctx, const struct stamp *stamp)
{
    struct may *m = ctx;
    m->asked++;
    return stamp->hlc != m->not_hlc;
}

static void tombstones_go_in_slices_and_raise_gcvv(void **state)
{
    struct bench *b = *state;
    struct store *s = store_new(b, 8);
    struct may may = {0};
    AUTOVV struct vv gcvv = VV_INIT;
    int64_t after = 0, before = INT64_MAX, highest;
    int dropped, total = 0, slices = 0;
    names_add(s, 0, 20);
    for (int i = 0; i < 10; i++)
        name_kill(s, i);
    highest = ask(s, "SELECT max(hlc) FROM change WHERE dead = 1");
    may.not_hlc = ask(s, "SELECT hlc FROM change WHERE key = 's/n00004'");
    before = ask(s, "SELECT hlc FROM change WHERE key = 's/n00009'"); /* this one is too young */
    do {
        ok(store_drop_dead(s, &after, before, may_go, &may, 3, &dropped, e));
        total += dropped;
        slices++;
    } while (after);
    assert_true(total == 8 && may.asked == 9 && slices == 4);
    assert_int_equal(ask(s, "SELECT count(*) FROM change WHERE dead = 1"), 2);
    assert_int_equal(ask(s, "SELECT count(*) FROM change WHERE dead = 0"), 10);
    ok(store_gcvv(s, &gcvv, e));
    assert_int_equal(vv_get(&gcvv, 8), highest - 1);
    assert_int_equal(store_gc_floor(s), highest - 1);
    assert_versions_fit(s);
    store_end(s);
    s = store_again(b, 1, 9);
    assert_int_equal(store_gc_floor(s), highest - 1); /* on disk, and no stamp below it is given */
    assert_true(store_stamp(s) > highest - 1);
    store_end(s);
}

static int is_idle(struct store *s, const char *tbl, const char *key)
{
    return store_is_idle(s, (struct span){tbl, strlen(tbl)}, (struct span){key, strlen(key)}, NULL);
}

/* What lies under a parent that is not alive is idle, and goes with the parent's tombstone, no more and no
 * less. */
static void what_lies_under_a_tombstone_goes_with_it(void **state)
{
    struct store *s = store_new(*state, 8);
    struct may may = {0};
    int64_t after = 0;
    int dropped;
    char before[33], idle[33];
    const struct session_row other = {.session = (char *)"a b", .epoch = 5};
    ok(store_save(s, T_SESSION, &other, e));
    ok(store_digest(s, before, e));
    const char *const ids[] = {"a/", "a"}; /* the one's key is a prefix of those under the other */
    for (int i = 0; i < 2; i++) {
        const struct session_row row = {.session = (char *)(uintptr_t)ids[i], .epoch = 5};
        const struct entry_row entry = {.session = row.session,
                                        .entry = (char *)"e",
                                        .role = (char *)"user",
                                        .content = (char *)"1",
                                        .seq = 1,
                                        .epoch = 5};
        const struct turn_row turn = {.session = row.session, .turn = (char *)"t", .epoch = 5};
        const struct session_state_row at = {.session = row.session, .state = (char *)"1", .epoch = 5};
        ok(store_save(s, T_SESSION, &row, e));
        ok(store_save(s, T_ENTRY, &entry, e));
        ok(store_save(s, T_TURN, &turn, e));
        ok(store_save(s, T_SESSION_STATE, &at, e));
        ok(store_kill(s, T_SESSION, &row, 5, e));
    }
    assert_int_equal(is_idle(s, "entry", "a/e"), 1);
    assert_int_equal(is_idle(s, "session_state", "a"), 1);
    assert_int_equal(is_idle(s, "turn", "a%2F/t"), 1);
    assert_int_equal(is_idle(s, "entry", "a b/e"), 0);
    assert_int_equal(is_idle(s, "session", "a"), 0);
    ok(store_digest(s, idle, e));
    assert_string_equal(before, idle);
    may.not_hlc = ask(s, "SELECT hlc FROM change WHERE tbl = 'session' AND key = 'a'");
    ok(store_drop_dead(s, &after, INT64_MAX, may_go, &may, 100, &dropped, e));
    assert_int_equal(dropped, 1);
    assert_int_equal(ask(s, "SELECT count(*) FROM change WHERE dead = 0"), 1 + 3);
    assert_int_equal(ask(s, "SELECT count(*) FROM entry WHERE session = 'a'"), 1);
    may.not_hlc = 0;
    ok(store_drop_dead(s, &after, INT64_MAX, may_go, &may, 100, &dropped, e));
    assert_int_equal(dropped, 1);
    assert_int_equal(ask(s, "SELECT count(*) FROM change"), 1);
    assert_versions_fit(s);
    store_end(s);
}

/* Only so many parents in one go: each may have left much. */
static void parents_go_in_slices(void **state)
{
    struct store *s = store_new(*state, 8);
    struct may may = {0};
    int64_t after = 0;
    int dropped, total = 0, slices = 0;
    for (int i = 0; i < 50; i++) {
        AUTOFREE char *id = mem_printf("s%d", i);
        const struct session_row row = {.session = id, .epoch = 5};
        ok(store_save(s, T_SESSION, &row, e));
        ok(store_kill(s, T_SESSION, &row, 5, e));
    }
    do {
        ok(store_drop_dead(s, &after, INT64_MAX, may_go, &may, 1000, &dropped, e));
        assert_true(dropped <= 20);
        total += dropped;
        slices++;
    } while (after && slices < 10);
    assert_true(total == 50 && slices == 3);
    store_end(s);
}

/* The floor is the highest stamp or rank, whichever that is. */
static void the_floor_counts_ranks_too(void **state)
{
    struct store *s = store_new(*state, 8);
    struct may may = {0};
    int64_t after = 0;
    int dropped;
    struct name_row row = {.swarm = (char *)"s", .name = (char *)"n", .kind = (char *)"child", .epoch = 1};
    ok(store_save(s, T_NAME, &row, e));
    int64_t rank = store_hlc(s) + (INT64_C(5) << 16);
    ok(store_kill(s, T_NAME, &row, rank, e));
    ok(store_drop_dead(s, &after, INT64_MAX, may_go, &may, 100, &dropped, e));
    assert_int_equal(dropped, 1);
    assert_int_equal(store_gc_floor(s), rank);
    store_end(s);
}

static void an_actor_that_folds_counts_as_the_floor(void **state)
{
    struct store *s = store_new(*state, 8);
    AUTOVV struct vv vv = VV_INIT, gcvv = VV_INIT;
    names_add(s, 0, 2);
    ok(store_vv_raise(s, 70, 500, e));
    ok(store_vv_raise(s, 71, 900, e));
    ok(store_gc_raise(s, 70, 400, e));
    assert_true(store_actor_rows(s, 8) == 2 && store_actor_rows(s, 70) == 0);
    ok(store_vv_fold(s, 70, 500, e));
    ok(store_vv(s, &vv, e));
    ok(store_gcvv(s, &gcvv, e));
    assert_int_equal(vv.floor, 500);
    assert_int_equal(vv_get(&vv, 70), 500);
    assert_int_equal(vv_get(&vv, 12345), 500);
    assert_int_equal(vv_get(&vv, 71), 900);
    assert_int_equal(ask(s, "SELECT count(*) FROM vv WHERE actor = 70"), 0);
    assert_int_equal(ask(s, "SELECT count(*) FROM gcvv WHERE actor = 70"), 0);
    store_end(s);
}

/* ---- aside ---- */

static void merge_strange(struct store *s, const char *key, const char *bytes, size_t n, const char *why)
{
    struct remote_row row = {.t = T_TEMPLATE,
                             .tbl = {"template", 8},
                             .key = {key, strlen(key)},
                             .stamp = {0, hlc_at(START_MS) + key[0], 50},
                             .bytes = {bytes, n}};
    enum merged how;
    ok(store_merge_as(s, &row, why, &how, e));
    assert_int_equal(how, MERGED_ASIDE);
}

/* An older program put it there; this one can apply it. What is held for a person stays. */
static void rows_aside_are_applied_once_they_can_be(void **state)
{
    struct bench *b = *state;
    struct store *from = store_new(b, 8), *s = store_new(b, 9);
    struct page *g = mem_alloc(sizeof *g);
    AUTOVV struct vv none = VV_INIT;
    for (int i = 0; i < 4; i++) {
        char name[2] = {(char)('a' + i), 0};
        struct template_row row = {.template = name, .spec = (char *)"{}"};
        ok(store_save(from, T_TEMPLATE, &row, e));
    }
    page_get(from, &none, g);
    static const char *const why[] = {"a table of a newer version", STORE_ASIDE_AMBIGUOUS,
                                      STORE_ASIDE_CRASHED, "the bytes made no sense"};
    for (uint32_t i = 0; i < 4; i++) {
        enum merged how;
        ok(store_merge_as(s, &g->row[i], why[i], &how, e));
        assert_int_equal(how, MERGED_ASIDE);
    }
    merge_strange(s, "x", "junk", 4, NULL); /* and this one still cannot be applied */
    char before[33], after[33];
    ok(store_digest(s, before, e));
    assert_int_equal(ask(s, "SELECT count(*) FROM template"), 0);
    ok(store_newer_apply(s, e));
    assert_int_equal(ask(s, "SELECT count(*) FROM template"), 2);
    assert_int_equal(ask(s, "SELECT count(*) FROM aside"), 3);
    assert_int_equal(ask(s, "SELECT count(*) FROM template WHERE template IN ('a', 'd')"), 2);
    ok(store_digest(s, after, e));
    assert_string_equal(before, after); /* others see no difference */
    assert_versions_fit(s);
    struct page *h = mem_alloc(sizeof *h);
    page_get(s, &none, h); /* they get the same bytes, aside or not */
    assert_int_equal(h->n, 5);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(h->row[i].bytes.n, g->row[i].bytes.n);
        assert_memory_equal(h->row[i].bytes.p, g->row[i].bytes.p, g->row[i].bytes.n);
    }
    str_fini(&g->bytes);
    str_fini(&h->bytes);
    free(g);
    free(h);
    store_end(from);
    store_end(s);
}

/* What is aside gives way to a newer row, and a newer row aside takes the place of what was applied. */
static void aside_and_applied_replace_each_other(void **state)
{
    struct store *s = store_new(*state, 8);
    merge_strange(s, "x", "junk", 4, NULL);
    struct template_row row = {.template = (char *)"x", .spec = (char *)"{}"};
    ok(store_save(s, T_TEMPLATE, &row, e));
    assert_int_equal(ask(s, "SELECT count(*) FROM aside"), 0);
    assert_int_equal(ask(s, "SELECT count(*) FROM template"), 1);
    struct remote_row newer = {.t = T_TEMPLATE,
                               .tbl = {"template", 8},
                               .key = {"x", 1},
                               .stamp = {0, store_hlc(s) + 1, 50},
                               .bytes = {"junk", 4}};
    enum merged how;
    ok(store_merge(s, &newer, &how, e));
    assert_int_equal(how, MERGED_ASIDE);
    assert_int_equal(ask(s, "SELECT count(*) FROM template"), 0);
    assert_int_equal(ask(s, "SELECT count(*) FROM aside"), 1);
    ok(store_kill(s, T_TEMPLATE, &row, 0, e));
    assert_int_equal(ask(s, "SELECT count(*) FROM aside"), 0);
    assert_versions_fit(s);
    store_end(s);
}

static void what_is_taken_out_leaves_nothing(void **state)
{
    struct store *s = store_new(*state, 8);
    names_add(s, 0, 1);
    merge_strange(s, "x", "junk", 4, NULL);
    ok(store_take_out(s, (struct span){"name", 4}, (struct span){"s/n00000", 8}, e));
    ok(store_take_out(s, (struct span){"template", 8}, (struct span){"x", 1}, e));
    ok(store_take_out(s, (struct span){"name", 4}, (struct span){"s/none", 6}, e));
    assert_int_equal(ask(s, "SELECT (SELECT count(*) FROM change) + (SELECT count(*) FROM aside) + "
                            "(SELECT count(*) FROM name)"),
                     0);
    store_end(s);
}

static void what_is_kept_leaves_a_copy(void **state)
{
    struct store *s = store_new(*state, 8);
    names_add(s, 0, 1);
    merge_strange(s, "x", "junk", 4, NULL);
    struct name_row name = {.swarm = (char *)"s", .name = (char *)"n00000"},
                    none = {.swarm = (char *)"s", .name = (char *)"none"};
    struct template_row x = {.template = (char *)"x"};
    ok(store_keep(s, T_NAME, &name, "why", e));
    ok(store_keep(s, T_TEMPLATE, &x, "why", e));
    ok(store_keep(s, T_NAME, &none, "why", e));
    assert_int_equal(ask(s, "SELECT count(*) FROM quarantine"), 2);
    assert_int_equal(ask(s, "SELECT count(*) FROM quarantine WHERE key = 'x' AND row = CAST('junk' AS BLOB)"),
                     1);
    assert_int_equal(ask(s, "SELECT count(*) FROM quarantine WHERE key = 's/n00000' AND length(row) > 5"), 1);
    store_end(s);
}

static int doubt(struct store *s, const char *key)
{
    struct err e = {0};
    int rc = store_doubt(s, (struct span){"name", 4}, (struct span){key, strlen(key)}, &e);
    return rc;
}

/* How many rows of a whole copy are in doubt. */
static int doubts_sent(struct store *s)
{
    AUTOSTR struct str rows = STR_INIT;
    uint32_t count;
    bool more;
    int n = 0;
    ok(store_scan_page(s, "", "", &rows, &count, &more, e));
    struct reader r = reader_init(str_get(&rows), rows.n);
    for (uint32_t i = 0; i < count; i++) {
        struct remote_row row;
        ok(store_read_row(&r, &row, e));
        n += row.doubt;
    }
    return n;
}

/* It keeps its version, and is not applied, neither here nor where it goes from here, until something newer
 * comes. */
static void doubt_is_part_of_a_row(void **state)
{
    struct bench *b = *state;
    struct store *s = store_new(b, 8), *to = store_new(b, 9);
    struct store *reader = NULL;
    AUTOFREE char *path = mem_printf("%s/1.db", b->dir);
    char before[33], after[33];
    names_add(s, 0, 3);
    name_kill(s, 2);
    ok(store_digest(s, before, e));
    ok(db_commit(store_db(s), e)); /* a reader that was opened while there was no doubt */
    ok(store_open(&reader, &(struct store_options){.path = path, .readonly = true, .clock = &b->clock}, e));
    assert_int_equal(doubts_sent(reader), 0);
    ok(db_begin(store_db(s), e));
    assert_int_equal(doubt(s, "s/n00001"), 1);
    assert_int_equal(doubt(s, "s/n00001"), 0);
    assert_int_equal(doubt(s, "s/n00002"), 0);
    assert_int_equal(doubt(s, "s/none"), 0);
    ok(store_digest(s, after, e));
    assert_string_equal(before, after);
    assert_int_equal(ask(s, "SELECT count(*) FROM name"), 1);
    assert_versions_fit(s);
    assert_int_equal(doubts_sent(s), 1);
    ok(db_commit(store_db(s), e));
    assert_int_equal(doubts_sent(reader), 1);
    store_close(reader);
    ok(db_begin(store_db(s), e));
    pull_all(to, s);
    assert_int_equal(ask(to, "SELECT count(*) FROM name"), 1);
    assert_int_equal(ask(to, "SELECT count(*) FROM aside WHERE key = 's/n00001'"), 1);
    assert_int_equal(doubts_sent(to), 1);
    assert_versions_fit(to);
    struct name_row row = {.swarm = (char *)"s", .name = (char *)"n00001", .kind = (char *)"address"};
    row.epoch = 2; /* somebody writes it anew */
    ok(store_save(to, T_NAME, &row, e));
    assert_int_equal(ask(to, "SELECT count(*) FROM name"), 2);
    assert_int_equal(doubts_sent(to), 0);
    pull_all(s, to);
    assert_int_equal(ask(s, "SELECT count(*) FROM name"), 2);
    assert_int_equal(ask(s, "SELECT count(*) FROM aside"), 0);
    store_end(s);
    store_end(to);
}

static void what_is_in_doubt_stays_so_in_a_file_made_anew(void **state)
{
    struct bench *b = *state;
    struct id cluster = {{1}}, node = {{1}};
    struct store *s = store_new(b, 8), *to = NULL;
    AUTOFREE char *from = mem_printf("%s/1.db", b->dir), *work = mem_printf("%s/work.db", b->dir),
                  *made = mem_printf("%s/made.db", b->dir);
    struct salvage what;
    names_add(s, 0, 2);
    assert_int_equal(doubt(s, "s/n00001"), 1);
    store_end(s);
    ok(store_salvage(from, work, made, &cluster, &node, "a", &b->clock, &what, e));
    assert_int_equal(what.rows, 2);
    ok(store_open(&to, &(struct store_options){.path = made, .clock = &b->clock}, e));
    assert_int_equal(ask(to, "SELECT count(*) FROM name"), 1);
    assert_int_equal(
        ask(to, "SELECT count(*) FROM aside WHERE key = 's/n00001' AND why = '" STORE_ASIDE_AMBIGUOUS "'"),
        1);
    assert_versions_fit(to);
    store_close(to);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, bench_make, bench_remove)
    const struct CMUnitTest tests[] = {
        T(a_walk_in_pages_meets_every_row_once),
        T(the_row_behind_a_row),
        T(what_was_seen_is_passed_on),
        T(tombstones_go_in_slices_and_raise_gcvv),
        T(what_lies_under_a_tombstone_goes_with_it),
        T(parents_go_in_slices),
        T(the_floor_counts_ranks_too),
        T(an_actor_that_folds_counts_as_the_floor),
        T(rows_aside_are_applied_once_they_can_be),
        T(aside_and_applied_replace_each_other),
        T(what_is_taken_out_leaves_nothing),
        T(what_is_kept_leaves_a_copy),
        T(doubt_is_part_of_a_row),
        T(what_is_in_doubt_stays_so_in_a_file_made_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
