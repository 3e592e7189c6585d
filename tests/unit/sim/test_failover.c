/* One fail-over after the other: who held a name goes, again and again, and who watches it is told each time.
 */
#include "rig.h"

#define NODES 4
#define CHILD "/v1/swarms/default/children/x"

static int holder(struct rig *r, int node)
{
    want(r, 200, node, HTTP_M_GET, CHILD, NULL);
    return member(r, "node")[1] - '1';
}

static void begin(struct rig *r, uint64_t seed)
{
    struct sim_opts o = sim_opts_default(seed, NODES);
    rig_begin_opts(r, &o);
    agree_within(r, NODES, 5000);
    want(r, 201, 0, HTTP_M_PUT, CHILD, "{\"argv\":[\"/bin/counter\"]}");
    run_ms(r, 500);
}

/* Kills its node, and waits until the counter has gone on elsewhere from what it had told. */
static void fails_over(struct rig *r, int up, int node, int64_t value)
{
    int old = holder(r, node);
    sim_crash(r->sim, old);
    agree_within(r, up, 10000);
    for (int ms = 0; ms < 3000 && sim_running(r->sim, "default", "x", NULL) != 1; ms += 10)
        run_ms(r, 10);
    run_ms(r, 500);
    struct sim_process p = process_of(r, "x");
    assert_int_equal(p.value, value);
    assert_true(p.node != sim_node(r->sim, old));
}

/* The last node that is up asks: it is never killed, for the name is moved away from it. */
static int witness(struct rig *r)
{
    int at = holder(r, NODES - 1);
    if (at == NODES - 1)
        want(r, 200, NODES - 1, HTTP_M_POST, CHILD "/move", "{}");
    run_ms(r, 500);
    return NODES - 1;
}

static void the_second_and_the_third_fail_over_work(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct rig r;
        begin(&r, seed);
        for (int i = 1; i < NODES; i++) {
            int last = witness(&r);
            want(&r, 200, last, HTTP_M_POST, CHILD "/calls", "{\"data\":1}");
            fails_over(&r, NODES - i, last, i);
        }
        for (int i = 0; i + 1 < NODES; i++)
            assert_true(sim_start(r.sim, i));
        agree_within(&r, NODES, 10000);
        run_ms(&r, 2000);
        assert_int_equal(process_of(&r, "x").value, NODES - 1);
        converge_within(&r, 10000);
        rig_end(&r);
    }
}

/* Each question waits behind the version of the last answer; the deaths of two nodes lie between them. */
static void who_watches_is_told_of_each_fail_over(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 11);
    AUTOFREE char *version = NULL;
    for (int i = 1; i < NODES - 1; i++) {
        int last = witness(&r), old = holder(&r, last), now = old;
        want(&r, 200, last, HTTP_M_GET, CHILD "/watch", NULL);
        mem_replace(&version, member(&r, "version"));
        sim_crash(r.sim, old);
        for (int k = 0; k < 20 && (now == old || sim_running(r.sim, "default", "x", NULL) != 1); k++) {
            AUTOFREE char *path = mem_printf(CHILD "/watch?timeout_ms=20000&after=%s", version);
            want(&r, 200, last, HTTP_M_GET, path, NULL);
            assert_string_equal(member(&r, "changed"), "true");
            mem_replace(&version, member(&r, "version"));
            now = holder(&r, last);
        }
        assert_true(now != old);
        agree_within(&r, NODES - i, 10000);
    }
    rig_end(&r);
}

/* ---- a temporary process ends with its node ---- */

#define TEMPORARY "{\"argv\":[\"/bin/counter\"],\"restart\":\"temporary\"}"

static void gone_everywhere(struct rig *r, int but)
{
    for (int i = 0; i < NODES; i++)
        if (i != but)
            want(r, 404, i, HTTP_M_GET, CHILD, NULL);
    assert_int_equal(sim_running(r->sim, "default", "x", NULL), 0);
}

static void begin_temporary(struct rig *r, uint64_t seed)
{
    begin(r, seed);
    want(r, 200, 0, HTTP_M_DELETE, CHILD, NULL);
    want(r, 201, 0, HTTP_M_PUT, CHILD, TEMPORARY);
    run_ms(r, 500);
}

/* Its node dies and comes back, at once or after the others have seen it: it does not, and its name is free.
 */
static void what_is_temporary_ends_with_its_node(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct rig r;
        begin_temporary(&r, seed);
        int old = holder(&r, 0);
        sim_crash(r.sim, old);
        if (seed % 2) {
            agree_within(&r, NODES - 1, 10000);
            run_ms(&r, 2000);
            gone_everywhere(&r, old);
        }
        assert_true(sim_start(r.sim, old));
        agree_within(&r, NODES, 10000);
        run_ms(&r, 3000);
        gone_everywhere(&r, -1);
        want(&r, 201, old, HTTP_M_PUT, CHILD, TEMPORARY);
        run_ms(&r, 500);
        process_of(&r, "x");
        converge_within(&r, 10000);
        rig_end(&r);
    }
}

/* The others take a node that is cut off for dead: its process ends for good, at the heal at the latest. */
static void what_is_temporary_ends_with_a_partition(void **state)
{
    (void)state;
    struct rig r;
    rig_begin_apart(&r, 21, NODES);
    want(&r, 201, 0, HTTP_M_PUT, CHILD, TEMPORARY);
    run_ms(&r, 500);
    int old = holder(&r, 0);
    split_off(&r, old);
    run_ms(&r, 90000);
    for (int i = 0; i < NODES; i++)
        want(&r, i == old ? 200 : 404, i, HTTP_M_GET, CHILD, NULL);
    sim_heal_all(r.sim);
    agree_within(&r, NODES, 60000);
    run_ms(&r, 5000);
    gone_everywhere(&r, -1);
    converge_within(&r, 10000);
    rig_end(&r);
}

/* A move is a wish, and no end. */
static void what_is_temporary_moves_like_any_other(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct rig r;
        begin_temporary(&r, seed);
        want(&r, 200, 0, HTTP_M_POST, CHILD "/calls", "{\"data\":1}");
        int old = holder(&r, 0);
        if (seed % 2)
            want(&r, 200, 0, HTTP_M_POST, CHILD "/move", "{}");
        else
            sim_stop(r.sim, old);
        for (int ms = 0; ms < 10000 && holder(&r, (old + 1) % NODES) == old; ms += 100)
            run_ms(&r, 100);
        run_ms(&r, 3000);
        assert_int_equal(process_of(&r, "x").value, 1);
        assert_true(holder(&r, (old + 1) % NODES) != old);
        rig_end(&r);
    }
}

/* ---- who is forgotten is gone ---- */

/* A name whose home is node 1, and that node 3 holds. */
static char *held_by_last(struct rig *r)
{
    for (int i = 0;; i++) {
        AUTOFREE char *name = mem_printf("y%d", i);
        AUTOFREE char *path = mem_printf("/v1/swarms/default/children/%s", name);
        if (home_of(r, name) != 1)
            continue;
        want(r, 201, 0, HTTP_M_PUT, path, "{\"argv\":[\"/bin/counter\"]}");
        if (strcmp(member(r, "node"), sim_node_name(sim_node(r->sim, 3))) == 0)
            return TAKE(name);
    }
}

/* One node has seen it die, and somebody has it forgotten there, before the home of what it held has. */
static void what_the_forgotten_held_runs_elsewhere(void **state)
{
    (void)state;
    struct rig r;
    char text[ID_TEXT];
    begin(&r, 21);
    AUTOFREE char *name = held_by_last(&r);
    struct id lost = sim_node_id(sim_node(r.sim, 3));
    AUTOFREE char *path = mem_printf("/v1/nodes/%s", id_text(&lost, text));
    run_ms(&r, 1000);
    for (int i = 1; i < 3; i++) { /* to them it is only silent */
        sim_cut(r.sim, i, 3);
        sim_cut(r.sim, 3, i);
    }
    sim_crash(r.sim, 3);
    agree_within(&r, NODES - 1, 10000);
    assert_true(peer_find(node_at(&r, 0), &lost)->down);
    assert_false(peer_find(node_at(&r, 1), &lost)->down);
    want(&r, 200, 0, HTTP_M_DELETE, path, NULL);
    run_ms(&r, 3000);
    assert_true(process_of(&r, name).node != sim_node(r.sim, 3));
    sim_retire(r.sim, 3);
    rig_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_second_and_the_third_fail_over_work),
        cmocka_unit_test(who_watches_is_told_of_each_fail_over),
        cmocka_unit_test(what_is_temporary_ends_with_its_node),
        cmocka_unit_test(what_is_temporary_ends_with_a_partition),
        cmocka_unit_test(what_is_temporary_moves_like_any_other),
        cmocka_unit_test(what_the_forgotten_held_runs_elsewhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
