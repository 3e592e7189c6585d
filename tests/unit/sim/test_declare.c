/* Declared children: each start of the cluster makes them true, once, whoever starts when. */
#include "rig.h"

#include "node/declare.h"

#define NODES 3
#define BODY  "{\"argv\":[\"/bin/counter\"],\"restart\":\"permanent\"}"

static const struct declared children[] = {{"default", "d0", BODY},
                                           {"default", "d1", BODY},
                                           {"default", "d2", BODY},
                                           {"default", "d3", BODY},
                                           {NULL, NULL, NULL}};

/* Which of the four run, as bits; -1 if one runs twice. */
static int running(struct rig *r)
{
    int bits = 0;
    for (int i = 0; children[i].swarm; i++) {
        int n = sim_running(r->sim, "default", children[i].name, NULL);
        if (n > 1)
            return -1;
        bits |= n << i;
    }
    return bits;
}

static void running_within(struct rig *r, int want, int64_t within_ms)
{
    for (int64_t ms = 0; ms < within_ms && running(r) != want; ms += 50)
        run_ms(r, 50);
    assert_int_equal(running(r), want);
}

static void begin(struct rig *r, uint64_t seed)
{
    struct sim_opts opts = sim_opts_default(seed, NODES);
    opts.declared = children;
    rig_begin_opts(r, &opts);
    running_within(r, 15, 20000);
}

static void all_end(struct rig *r)
{
    for (int i = 0; i < NODES; i++)
        if (sim_node_up(sim_node(r->sim, i)))
            sim_crash(r->sim, i);
    run_ms(r, 2000);
}

static void all_begin(struct rig *r, int first, int64_t apart_ms)
{
    for (int i = 0; i < NODES; i++) {
        assert_true(sim_start(r->sim, (first + i) % NODES));
        run_ms(r, apart_ms);
    }
}

/* Declared by all, they run once; what somebody stops stays stopped while nodes come and go one after the
 * other; and runs again after the cluster was down. */
static void once_in_each_life(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct rig r;
        begin(&r, seed);
        run_ms(&r, 3000);
        want(&r, 200, 1, HTTP_M_DELETE, "/v1/swarms/default/children/d2", NULL);
        for (int i = 0; i < NODES; i++) {
            sim_crash(r.sim, i);
            run_ms(&r, (int64_t)seed * 1500);
            assert_true(sim_start(r.sim, i));
            agree_within(&r, NODES, 30000);
            run_ms(&r, 5000);
        }
        running_within(&r, 11, 20000);
        run_ms(&r, 40000);
        assert_int_equal(running(&r), 11);
        all_end(&r);
        all_begin(&r, (int)seed, seed % 2 ? 100 : 7000);
        running_within(&r, 15, 40000);
        rig_end(&r);
    }
}

/* A day later the answers that were kept are gone; the lists are not. */
static void also_when_the_answers_are_forgotten(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 11);
    want(&r, 200, 1, HTTP_M_DELETE, "/v1/swarms/default/children/d1", NULL);
    want(&r, 200, 1, HTTP_M_DELETE, "/v1/swarms/default/children/d3", NULL);
    run_ms(&r, 5000);
    for (int i = 0; i < NODES; i++)
        db_exec(store_db(node_store(node_at(&r, i))), "DELETE FROM idem", NULL);
    for (int i = 0; i < NODES; i++) {
        sim_crash(r.sim, i);
        run_ms(&r, 2000);
        assert_true(sim_start(r.sim, i));
        agree_within(&r, NODES, 30000);
        run_ms(&r, 5000);
    }
    assert_int_equal(running(&r), 5);
    rig_end(&r);
}

/* The first to start dies at once, wherever it had got to. */
static void the_first_one_dies_in_the_midst_of_it(void **state)
{
    (void)state;
    for (uint64_t seed = 21; seed <= 32; seed++) {
        struct rig r;
        begin(&r, seed);
        all_end(&r);
        int first = (int)(seed % NODES);
        assert_true(sim_start(r.sim, first));
        run_ms(&r, 5000 + (int64_t)(seed - 21) * 30); /* alone it serves after five seconds */
        assert_true(sim_start(r.sim, (first + 1) % NODES));
        run_ms(&r, (int64_t)(seed % 4) * 50);
        sim_crash(r.sim, first);
        assert_true(sim_start(r.sim, (first + 2) % NODES));
        running_within(&r, 15, 60000);
        rig_end(&r);
    }
}

/* No node may take one of them until later: it is tried again. */
static void what_cannot_be_placed_is_tried_again(void **state)
{
    (void)state;
    static const struct declared picky[] = {{"late", "x", "{\"argv\":[\"/bin/counter\"],\"nodes\":[\"n2\"]}"},
                                            {NULL, NULL, NULL}};
    struct rig r;
    struct sim_opts opts = sim_opts_default(41, NODES);
    opts.declared = picky;
    rig_begin_opts(&r, &opts);
    agree_within(&r, NODES, 5000);
    run_ms(&r, 10000);
    want(&r, 201, 0, HTTP_M_PUT, "/v1/swarms/late", "{\"serve\":\"joined\"}");
    run_ms(&r, 10000);
    assert_int_equal(sim_running(r.sim, "late", "x", NULL), 0);
    want(&r, 200, 1, HTTP_M_PUT, "/v1/swarms/late/nodes/n2", NULL);
    run_ms(&r, 32000);
    assert_int_equal(sim_running(r.sim, "late", "x", NULL), 1);
    rig_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(once_in_each_life),
        cmocka_unit_test(also_when_the_answers_are_forgotten),
        cmocka_unit_test(the_first_one_dies_in_the_midst_of_it),
        cmocka_unit_test(what_cannot_be_placed_is_tried_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
