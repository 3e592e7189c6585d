/* Many at once, and a home that lives and does not answer, or may have answered to nobody: what is not listed
 * as started does not run in the end, and all or none are started. */
#include "batch.h"

#include "node/batch.h"

#define LIFE_MS (10 * 60000)

static const char *const rests[] = {",\"await\":false",
                                    ",\"mode\":\"each\",\"on_failure\":\"rollback\",\"await\":false",
                                    ",\"mode\":\"missing\",\"await\":false"};

static void ask_many(struct rig *r, int node, const char *rest, char ret_path[64])
{
    AUTOFREE char *all = body_of("q", CHILDREN, NULL, rest);
    want(r, 202, node, HTTP_M_POST, MANY, all);
    snprintf(ret_path, 64, "/v1/operations/%s", member(r, "operation"));
}

/* Whether an item of this list of the result has that name, and names its node. */
static bool lists(struct rig *r, const char *list, const char *name)
{
    struct span result = json_raw_member(str_get(&r->body), r->body.n, "result"), one;
    struct json_iter it = json_iter_init(json_raw_member(result.p, result.n, list));
    AUTOFREE char *named = mem_printf("\"name\":\"%s\"", name);
    while (json_iter_next(&it, NULL, &one)) {
        AUTOFREE char *text = mem_copy(one.p, one.n);
        if (strstr(text, named) && json_raw_member(one.p, one.n, "node").p)
            return true;
    }
    return false;
}

/* What it lists with a node, as started or as not ready in time, is there, and nothing else of it; of all or
 * none, and with rollback, all are or none is. How many are.
 */
static int keeps_its_word(struct rig *r, int node, const char *path, bool whole, const char *what)
{
    int n = 0;
    want(r, 200, node, HTTP_M_GET, path, NULL);
    if (strcmp(member(r, "state"), "done") != 0)
        fail_msg("%s: %s", what, str_get(&r->body));
    for (int i = 0; i < CHILDREN; i++) {
        AUTOFREE char *name = mem_printf("q%02d", i);
        bool said = lists(r, "started", name) || lists(r, "errors", name);
        int runs = sim_running(r->sim, "default", name, NULL);
        n += said;
        if (runs != said)
            fail_msg("%s: %s runs %d times: %s", what, name, runs, str_get(&r->body));
    }
    if (whole && n != 0 && n != CHILDREN)
        fail_msg("%s: %d of %d run: %s", what, n, CHILDREN, str_get(&r->body));
    return n;
}

/* ---- it lives ---- */

/* Its disk is full from some moment on, and until all is over: it pings, and writes nothing. */
static void a_home_whose_disk_is_full(void **state)
{
    (void)state;
    int partly = 0, late = 0;
    for (size_t k = 0; k < COUNT(rests); k++)
        for (int64_t us = 0; us < 40000; us = us ? us * 3 : 1500) {
            struct rig r;
            char path[64];
            begin(&r, 1 + k, 3);
            struct simdisk *disk = sim_node_disk(sim_node(r.sim, 1));
            if (us == 0)
                simdisk_limit(disk, simdisk_bytes(disk));
            ask_many(&r, 0, rests[k], path);
            assert_true(sim_run(r.sim, sim_now_us(r.sim) + us));
            simdisk_limit(disk, simdisk_bytes(disk));
            run_ms(&r, 60000);
            want(&r, 200, 0, HTTP_M_GET, path, NULL);
            bool soon = strcmp(member(&r, "state"), "done") == 0;
            if (!soon)
                run_ms(&r, LIFE_MS - 30000);
            late += !soon;
            simdisk_limit(disk, 0);
            run_ms(&r, 30000);
            AUTOFREE char *what = mem_printf("%s, %d us", rests[k], (int)us);
            int n = keeps_its_word(&r, 2, path, k < 2, what);
            partly += n > 0 && n < CHILDREN;
            converge_within(&r, 30000);
            rig_end(&r);
        }
    assert_true(partly > 0 && late > partly);
}

/* Its clock is off: it decides nothing, and is asked no longer. */
static void a_home_whose_clock_is_off(void **state)
{
    (void)state;
    for (size_t k = 0; k < COUNT(rests); k++) {
        struct rig r;
        char path[64];
        begin(&r, 7 + k, 3);
        sim_step_clock(r.sim, 1, 3600000);
        ask_many(&r, 0, rests[k], path);
        run_ms(&r, 90000);
        assert_int_equal(keeps_its_word(&r, 2, path, true, rests[k]), CHILDREN);
        sim_step_clock(r.sim, 1, -3600000);
        run_ms(&r, 60000);
        assert_int_equal(keeps_its_word(&r, 1, path, true, rests[k]), CHILDREN);
        rig_end(&r);
    }
}

/* Nothing comes from one to the other: the third one carries it. */
static void a_home_behind_a_broken_link(void **state)
{
    (void)state;
    for (size_t k = 0; k < COUNT(rests); k++) {
        struct rig r;
        char path[64];
        begin(&r, 11 + k, 3);
        sim_cut(r.sim, 0, 1);
        sim_cut(r.sim, 1, 0);
        ask_many(&r, 0, rests[k], path);
        run_ms(&r, 60000);
        assert_int_equal(keeps_its_word(&r, 0, path, true, rests[k]), CHILDREN);
        sim_heal_all(r.sim);
        run_ms(&r, 60000);
        assert_int_equal(keeps_its_word(&r, 1, path, true, rests[k]), CHILDREN);
        rig_end(&r);
    }
}

/* ---- it may have answered ---- */

/* A home is cut off, with its claims or before them, for longer than tombstones are kept: whoever is asked in
 * its place cannot know what it has done. Where nothing undoes it, what one side started stays, though the
 * other one could not know of it. */
static void what_nobody_knows_is_taken_back(void **state)
{
    (void)state;
    int undone = 0;
    for (size_t k = 0; k < COUNT(rests); k++)
        for (int64_t us = 500; us < 60000; us = us * 2) {
            struct rig r;
            char path[64];
            struct sim_opts o = sim_opts_default(20 + k, 3);
            o.loss_ppm = 0;
            o.tombstone_min_ms = 3000;
            o.tombstone_max_ms = 3600000;
            o.unique_names = false;
            rig_begin_opts(&r, &o);
            agree_within(&r, 3, 5000);
            ask_many(&r, 0, rests[k], path);
            assert_true(sim_run(r.sim, sim_now_us(r.sim) + us));
            split_off(&r, 1);
            run_ms(&r, 100000);
            sim_heal_all(r.sim);
            run_ms(&r, 90000);
            all_ended_within(&r, 30000);
            AUTOFREE char *what = mem_printf("%s, %d us", rests[k], (int)us);
            for (int i = 0; i < 3; i++) {
                int n = keeps_its_word(&r, i, path, k < 2, what);
                undone += n == 0;
                if (k == 2 && n != CHILDREN)
                    fail_msg("%s: one side started what the other did not know of, and %d run", what, n);
            }
            converge_within(&r, 30000);
            rig_end(&r);
        }
    assert_true(undone > 0);
}

/* A home claims, and is gone before anybody has heard of it; nobody can know that any more when its names are
 * asked of others. Each for itself: the others stay, and its claims are not carried out when it is back. */
static void what_was_claimed_in_vain_does_not_run(void **state)
{
    (void)state;
    for (uint64_t seed = 30; seed < 33; seed++) {
        struct rig r, answer = {0};
        struct sim_opts o = sim_opts_default(seed, 3);
        o.loss_ppm = 0;
        o.tombstone_min_ms = 3000;
        o.tombstone_max_ms = 3600000;
        rig_begin_opts(&r, &o);
        agree_within(&r, 3, 5000);
        AUTOFREE char *claims = mem_printf("SELECT count(*) FROM change WHERE tbl = 'name' AND actor = %lld",
                                           (long long)node_at(&r, 1)->actor);
        AUTOFREE char *all = body_of("q", CHILDREN, NULL, rests[2]);
        ask_later(&r, &answer, 0, HTTP_M_POST, MANY, all);
        for (int i = 0; i < 100000 && rows_number(&r, 1, claims) == 0; i++)
            assert_true(sim_run(r.sim, sim_now_us(r.sim) + 10));
        split_off(&r, 1);
        int64_t had = rows_number(&r, 1, claims);
        assert_true(had > 0);
        sim_crash(r.sim, 1);
        run_ms(&r, 60000);
        assert_int_equal(answer.status, 202);
        AUTOFREE char *path = mem_printf("/v1/operations/%s", member(&answer, "operation"));
        int told = keeps_its_word(&r, 0, path, false, "without it");
        if (told == 0 || told == CHILDREN)
            fail_msg("seed %d: %d of %d: %s", (int)seed, told, CHILDREN, str_get(&r.body));
        sim_heal_all(r.sim);
        assert_true(sim_start(r.sim, 1));
        run_ms(&r, 30000);
        assert_int_equal(keeps_its_word(&r, 1, path, false, "with it"), told);
        converge_within(&r, 30000);
        str_fini(&answer.body);
        rig_end(&r);
    }
}

/* As the file of each node has it. */
static int64_t listed(struct rig *r, int node, const char *where)
{
    AUTOFREE char *sql = mem_printf("SELECT count(*) FROM v_operation_name WHERE %s", where);
    assert_int_equal(db_exec(store_db(node_at(r, node)->store), "PRAGMA trusted_schema = ON", NULL), 0);
    return rows_number(r, node, sql);
}

/* A home claims what no other node may run, and dies before anybody has heard of it: that is an error, and
 * what it comes back with is listed as what it is. */
static void what_runs_all_the_same_is_listed(void **state)
{
    (void)state;
    struct rig r, answer = {0};
    begin(&r, 50, 3);
    AUTOFREE char *bound = name_at(&r, 1);
    AUTOFREE char *last =
        mem_printf("{\"name\":\"%s\",\"argv\":[\"/bin/counter\"],\"nodes\":[\"n2\"]}", bound);
    AUTOFREE char *all = body_of("q", CHILDREN, last, rests[2]);
    AUTOFREE char *claims = mem_printf("SELECT count(*) FROM change WHERE tbl = 'name' AND actor = %lld",
                                       (long long)node_at(&r, 1)->actor);
    ask_later(&r, &answer, 0, HTTP_M_POST, MANY, all);
    for (int i = 0; i < 100000 && rows_number(&r, 1, claims) == 0; i++)
        assert_true(sim_run(r.sim, sim_now_us(r.sim) + 10));
    split_off(&r, 1);
    assert_true(rows_number(&r, 1, claims) > 0);
    sim_crash(r.sim, 1);
    run_ms(&r, 60000);
    assert_int_equal(answer.status, 202);
    AUTOFREE char *path = mem_printf("/v1/operations/%s", member(&answer, "operation"));
    keeps_its_word(&r, 0, path, false, "without it");
    assert_int_equal(listed(&r, 0, "became = 'started'"), CHILDREN);
    assert_int_equal(listed(&r, 0, "became = 'error' AND code = 'no_node_available' AND node IS NULL"), 1);
    sim_heal_all(r.sim);
    assert_true(sim_start(r.sim, 1));
    run_ms(&r, 30000);
    assert_int_equal(sim_running(r.sim, "default", bound, NULL), 1);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(keeps_its_word(&r, i, path, false, "with it"), CHILDREN);
        assert_true(lists(&r, "started", bound) && !lists(&r, "errors", bound));
        assert_int_equal(listed(&r, i, "became = 'started'"), CHILDREN + 1);
        assert_int_equal(listed(&r, i, "became <> 'started'"), 0);
    }
    str_fini(&answer.body);
    rig_end(&r);
}

/* A home hears of its part when the time of the operation is up, and the coordinator, whose disk is full,
 * could not say so: it claims nothing. */
static void nothing_is_claimed_when_its_time_is_up(void **state)
{
    (void)state;
    for (size_t k = 1; k < COUNT(rests); k++) { /* of all or none nothing is claimed anyway */
        struct rig r;
        char path[64];
        int claimed = 0, late = 0;
        struct sim_opts o = sim_opts_default(60 + k, 3);
        o.loss_ppm = 0;
        o.tombstone_min_ms = 3600000; /* what is dead is remembered: nothing but the time is up */
        o.tombstone_max_ms = 7200000;
        rig_begin_opts(&r, &o);
        agree_within(&r, 3, 5000);
        struct simdisk *first = sim_node_disk(sim_node(r.sim, 0)), *home = sim_node_disk(sim_node(r.sim, 1));
        simdisk_limit(home, simdisk_bytes(home));
        ask_many(&r, 0, rests[k], path);
        simdisk_limit(first, simdisk_bytes(first));
        run_ms(&r, LIFE_MS + 5000);
        simdisk_limit(home, 0);
        run_ms(&r, 30000);
        assert_int_equal(rows_number(&r, 1, "SELECT count(*) FROM operation WHERE ended_at = 0"), 1);
        for (int i = 0; i < CHILDREN; i++) {
            AUTOFREE char *name = mem_printf("q%02d", i);
            AUTOFREE char *row = mem_printf("SELECT count(*) FROM name WHERE name = '%s'", name);
            late += home_of(&r, name) == 1;
            claimed += home_of(&r, name) == 1 && rows_number(&r, 1, row) != 0;
        }
        assert_true(late > 0);
        assert_int_equal(claimed, 0);
        simdisk_limit(first, 0);
        run_ms(&r, 30000);
        all_ended_within(&r, 60000);
        keeps_its_word(&r, 2, path, k < 2, rests[k]);
        rig_end(&r);
    }
}

/* What a part says that another coordinator wrote, and a claim that nobody heard of when it did. */
static void write_late(struct node *n, char *operation)
{
    struct operation_part_row part = {
        .operation = operation,
        .part = part_first(n),
        .epoch = store_stamp(n->store),
        .body = (char[]){"[]"},
        .node = n->self_text,
        .result = (char[]){"[{\"name\":\"late\",\"is\":\"error\",\"code\":\"timeout\",\"detail\":\"\"}]"},
        .state = (char[]){"partly"}};
    struct name_row row = {.swarm = (char[]){"default"},
                           .name = (char[]){"late"},
                           .kind = (char[]){"child"},
                           .op = operation,
                           .spec = (char[]){"{\"argv\":[\"/bin/counter\"],\"restart\":\"permanent\"}"}};
    assert_int_equal(db_begin(store_db(n->store), NULL), 0);
    assert_int_equal(store_save(n->store, T_OPERATION_PART, &part, NULL), 0);
    own_claim(n, &row, &n->self, 0);
    assert_int_equal(store_save(n->store, T_NAME, &row, NULL), 0);
    assert_int_equal(db_commit(store_db(n->store), NULL), 0);
    free(row.owner);
    free(row.view);
    own_scan(n);
}

/* The row of an operation that remains is that of a coordinator that knew of all, and is gone: what another
 * one could not know is taken back all the same, for longer than results are kept. */
static void what_is_taken_back_is_kept(void **state)
{
    (void)state;
    struct rig r;
    char path[64];
    begin(&r, 70, 3);
    ask_many(&r, 0, rests[2], path);
    run_ms(&r, 5000);
    assert_int_equal(keeps_its_word(&r, 1, path, true, "before"), CHILDREN);
    sim_crash(r.sim, 0);
    run_ms(&r, 60000);
    assert_true(sim_start(r.sim, 0));
    run_ms(&r, 15000);
    AUTOFREE char *operation = mem_dup(strrchr(path, '/') + 1);
    write_late(node_at(&r, 2), operation);
    for (int ms = 0; ms < 5000; ms++) {
        assert_int_equal(sim_running(r.sim, "default", "late", NULL), 0);
        run_ms(&r, 1);
    }
    run_ms(&r, 15 * 60000);
    for (int i = 0; i < 3; i++) {
        want(&r, 200, i, HTTP_M_GET, path, NULL);
        assert_int_equal(rows_number(&r, i, "SELECT count(*) FROM name WHERE name = 'late'"), 0);
        assert_int_equal(listed(&r, i, "became = 'started'"), CHILDREN);
        assert_int_equal(listed(&r, i, "name = 'late' AND code = 'timeout' AND node IS NULL"), 1);
    }
    rig_end(&r);
}

/* One side of a split has no node for one of them, and rolls back; the other one, which took it over or began
 * it, starts them all. Together again nothing of it runs, whoever ended last. */
static void what_one_side_took_back_is_taken_back(void **state)
{
    static const char bound[] = "{\"name\":\"bound\",\"argv\":[\"/bin/counter\"],\"nodes\":[\"n2\"]}";
    (void)state;
    int differed = 0;
    for (int asked_at = 0; asked_at < 2; asked_at++)
        for (int64_t us = 500; us < 60000; us = us * 2) {
            struct rig r;
            struct sim_opts o = sim_opts_default(40 + (uint64_t)us / 500, 3);
            o.loss_ppm = 0;
            o.unique_names = false;
            rig_begin_opts(&r, &o);
            agree_within(&r, 3, 5000);
            AUTOFREE char *all = body_of("q", CHILDREN, bound, ",\"await\":false");
            want(&r, 202, asked_at, HTTP_M_POST, MANY, all);
            AUTOFREE char *path = mem_printf("/v1/operations/%s", member(&r, "operation"));
            assert_true(sim_run(r.sim, sim_now_us(r.sim) + us));
            split_off(&r, 1);
            run_ms(&r, 100000);
            static const char back[] = "SELECT count(*) FROM operation WHERE state = 'rolling_back'";
            bool mixed = rows_number(&r, 0, back) != rows_number(&r, 1, back);
            differed += mixed;
            sim_heal_all(r.sim);
            run_ms(&r, 60000);
            all_ended_within(&r, 30000);
            AUTOFREE char *what = mem_printf("asked at n%d, %d us", asked_at + 1, (int)us);
            want(&r, 200, 0, HTTP_M_GET, path, NULL);
            int n = running(&r, "q", CHILDREN) + sim_running(r.sim, "default", "bound", NULL);
            if (n != CHILDREN + 1 && n != 0)
                fail_msg("%s: %d are left: %s", what, n, str_get(&r.body));
            if (mixed && n != 0)
                fail_msg("%s: one side took it back, and all run: %s", what, str_get(&r.body));
            converge_within(&r, 30000);
            rig_end(&r);
        }
    assert_true(differed > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_home_whose_disk_is_full),
        cmocka_unit_test(a_home_whose_clock_is_off),
        cmocka_unit_test(a_home_behind_a_broken_link),
        cmocka_unit_test(what_nobody_knows_is_taken_back),
        cmocka_unit_test(what_was_claimed_in_vain_does_not_run),
        cmocka_unit_test(what_runs_all_the_same_is_listed),
        cmocka_unit_test(nothing_is_claimed_when_its_time_is_up),
        cmocka_unit_test(what_is_taken_back_is_kept),
        cmocka_unit_test(what_one_side_took_back_is_taken_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
