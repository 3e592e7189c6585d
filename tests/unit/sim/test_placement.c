/* Swarms of each distribution while nodes die: each name runs once, where its distribution lets it. */
#include "rig.h"

#define NODES 3
#define NAMES 12

static char *path_of(const char *swarm, int i)
{
    return mem_printf("/v1/swarms/%s/children/%s%d", swarm, swarm, i);
}

static void make(struct rig *r, const char *swarm, const char *distribution)
{
    AUTOFREE char *path = mem_printf("/v1/swarms/%s", swarm);
    AUTOFREE char *body = mem_printf("{\"distribution\":%s}", distribution);
    want(r, 201, 0, HTTP_M_PUT, path, body);
    run_ms(r, 1000);
}

/* named: each says its node. */
static void start_all(struct rig *r, const char *swarm, bool named, int64_t pause_ms)
{
    for (int i = 0; i < NAMES; i++) {
        AUTOFREE char *path = path_of(swarm, i);
        AUTOFREE char *nodes = named ? mem_printf(",\"nodes\":[\"n%d\"]", i % NODES + 1) : mem_dup("");
        AUTOFREE char *body = mem_printf("{\"argv\":[\"/bin/counter\"],\"restart\":\"permanent\"%s}", nodes);
        want(r, 201, i % NODES, HTTP_M_PUT, path, body);
        run_ms(r, pause_ms);
    }
}

/* How many run on that node; -1 if one of the swarm runs twice, -2 if one is on a node that it does not name.
 */
static int running_on(struct rig *r, const char *swarm, const struct sim_node *node, bool named)
{
    int count = 0;
    for (int i = 0; i < NAMES; i++) {
        AUTOFREE char *name = mem_printf("%s%d", swarm, i);
        struct sim_process p = {0};
        int n = sim_running(r->sim, swarm, name, &p);
        if (n > 1 || (n == 1 && p.orphan))
            return -1;
        if (n == 1 && named && p.node != sim_node(r->sim, i % NODES))
            return -2;
        count += n == 1 && (!node || p.node == node);
    }
    return count;
}

static void run_within(struct rig *r, const char *swarm, int want_n, bool named, int64_t within_ms)
{
    int n = 0;
    for (int64_t ms = 0; ms < within_ms && (n = running_on(r, swarm, NULL, named)) != want_n; ms += 50) {
        run_ms(r, 50);
    }
    if (n != want_n)
        fail_msg("%s: %d of %d run after %lld ms", swarm, n, want_n, (long long)within_ms);
}

static void begin(struct rig *r, uint64_t seed)
{
    struct sim_opts opts = sim_opts_default(seed, NODES);
    rig_begin_opts(r, &opts);
    agree_within(r, NODES, 5000);
}

/* A node dies and comes back: what it had runs elsewhere, once; with "guided" it waits for its node. */
static void a_death_leaves_each_name_once(void **state)
{
    static const struct {
        const char *swarm, *distribution;
        bool named;
    } some[] = {{"h", "{\"kind\":\"consistent_hash\",\"bound_percent\":110,\"spread\":\"zone\"}", false},
                {"g", "\"guided\"", true},
                {"r", "\"random\"", false}};
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct rig r;
        int dies = (int)(seed % NODES);
        begin(&r, seed);
        for (size_t i = 0; i < COUNT(some); i++) {
            make(&r, some[i].swarm, some[i].distribution);
            start_all(&r, some[i].swarm, some[i].named, 0);
        }
        sim_crash(r.sim, dies);
        for (size_t i = 0; i < COUNT(some); i++)
            run_within(&r, some[i].swarm, some[i].named ? NAMES - NAMES / NODES : NAMES, some[i].named,
                       60000);
        run_ms(&r, 5000);
        assert_int_equal(running_on(&r, "g", NULL, true), NAMES - NAMES / NODES);
        assert_true(sim_start(r.sim, dies));
        for (size_t i = 0; i < COUNT(some); i++)
            run_within(&r, some[i].swarm, NAMES, some[i].named, 60000);
        converge_within(&r, 30000);
        rig_end(&r);
    }
}

/* It waits for the view, and is looked at again then: what it says is still what it said. */
static void a_mapping_may_wait(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 51);
    make(&r, "w", "\"guided\"");
    split_off(&r, 2);
    for (int ms = 0; ms < 20000 && node_open_now(node_at(&r, 0)); ms += 10)
        run_ms(&r, 10);
    assert_false(node_open_now(node_at(&r, 0))); /* nobody is sure yet whether it is gone */
    want(&r, 200, 0, HTTP_M_POST, "/v1/swarms/w/children",
         "{\"children\":[{\"name\":\"x\",\"argv\":[\"/bin/counter\"]}],\"child_mapping\":{\"x\":[\"n2\"]}}");
    assert_string_equal(member(&r, "status"), "ok");
    rig_end(&r);
}

/* One after the other, through all nodes: no node gets more than its bound, whoever decides, once each knows
 * of what the others did. */
static void a_bound_holds_between_homes(void **state)
{
    (void)state;
    for (uint64_t seed = 11; seed <= 14; seed++) {
        struct rig r;
        begin(&r, seed);
        make(&r, "b", "{\"kind\":\"consistent_hash\",\"bound_percent\":100}");
        start_all(&r, "b", false, 500);
        for (int i = 0; i < NODES; i++)
            assert_int_equal(running_on(&r, "b", sim_node(r.sim, i), false), NAMES / NODES);
        rig_end(&r);
    }
}

static void board_within(struct rig *r, int node, int nodes)
{
    int64_t n = 0;
    for (int i = 0; i < 200 && (n = rows_number(r, node, "SELECT count(*) FROM score")) != nodes; i++)
        run_ms(r, 100);
    assert_int_equal(n, nodes);
}

/* The scoreboard reaches all nodes and follows its leader; what it shares out runs once while they die. */
static void a_scoreboard_outlives_its_leader(void **state)
{
    (void)state;
    for (uint64_t seed = 21; seed <= 24; seed++) {
        struct rig r;
        begin(&r, seed);
        make(&r, "l", "{\"kind\":\"load_balancer\",\"push_interval_ms\":2000}");
        start_all(&r, "l", false, 100);
        for (int i = 0; i < NODES; i++)
            board_within(&r, i, NODES);
        struct id leader = board_commander(node_at(&r, 1));
        int dies = 0;
        for (int i = 0; i < NODES; i++) {
            struct id id = sim_node_id(sim_node(r.sim, i));
            dies = id_equal(&id, &leader) ? i : dies;
        }
        sim_crash(r.sim, dies);
        run_within(&r, "l", NAMES, false, 60000);
        int other = (dies + 1) % NODES;
        board_within(&r, other, NODES - 1);
        assert_true(events(&r, other, "scoreboard_updated") +
                        events(&r, (dies + 2) % NODES, "scoreboard_updated") >
                    0);
        assert_true(sim_start(r.sim, dies));
        run_within(&r, "l", NAMES, false, 60000);
        converge_within(&r, 30000);
        rig_end(&r);
    }
}

/* A node comes back: nothing moves, unless the swarm wants it; then it gets its share, and each runs once. */
static void a_node_that_joins_gets_its_share_if_wanted(void **state)
{
    (void)state;
    for (uint64_t seed = 31; seed <= 34; seed++) {
        struct rig r;
        bool wanted = seed % 2;
        begin(&r, seed);
        make(&r, "m",
             wanted ? "{\"kind\":\"load_balancer\",\"push_interval_ms\":1000,"
                      "\"nodeup_redistribution\":true}"
                    : "{\"kind\":\"load_balancer\",\"push_interval_ms\":1000}");
        sim_crash(r.sim, 2);
        run_ms(&r, 10000);
        for (int i = 0; i < NAMES; i++) {
            AUTOFREE char *path = path_of("m", i);
            want(&r, 201, i % 2, HTTP_M_PUT, path, "{\"argv\":[\"/bin/counter\"],\"restart\":\"permanent\"}");
        }
        assert_true(sim_start(r.sim, 2));
        int most = 0;
        for (int i = 0; i < 600; i++) {
            run_ms(&r, 100);
            int n = running_on(&r, "m", sim_node(r.sim, 2), false);
            assert_true(n >= 0);
            most = n > most ? n : most;
        }
        if (wanted ? most == 0 : most != 0)
            fail_msg("seed %d: %d moved", (int)seed, most);
        run_within(&r, "m", NAMES, false, 30000);
        rig_end(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_death_leaves_each_name_once),
        cmocka_unit_test(a_mapping_may_wait),
        cmocka_unit_test(a_bound_holds_between_homes),
        cmocka_unit_test(a_scoreboard_outlives_its_leader),
        cmocka_unit_test(a_node_that_joins_gets_its_share_if_wanted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
