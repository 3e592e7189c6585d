/* Who serves a swarm, while nodes die and links break: nothing runs where its swarm is not served, each name
 * runs once, and what nodes know differently for a moment does no harm. */
#include "rig.h"

#include <stdlib.h>

#include "base/prng.h"
#include "node/swarm.h"

#define NODES 3

static char *child_path(const char *swarm, int i)
{
    return mem_printf("/v1/swarms/%s/children/x%d", swarm, i);
}

static void start_many(struct rig *r, const char *swarm, int count)
{
    for (int i = 0; i < count; i++) {
        AUTOFREE char *path = child_path(swarm, i);
        want(r, 201, i % NODES, HTTP_M_PUT, path, "{\"argv\":[\"/bin/counter\"],\"restart\":\"permanent\"}");
    }
}

/* Through nodes that may not know yet who serves it. */
static void start_many_later(struct rig *r, const char *swarm, int count)
{
    for (int i = 0; i < count; i++) {
        AUTOFREE char *path = child_path(swarm, i);
        int status = 503;
        for (int k = 0; k < 200 && status == 503; k++) {
            status = ask(r, i % NODES, HTTP_M_PUT, path,
                         "{\"argv\":[\"/bin/counter\"],\"restart\":\"permanent\"}");
            run_ms(r, 10);
        }
        assert_int_equal(status, 201);
    }
}

static void serve(struct rig *r, enum req_method method, const char *swarm, int node)
{
    AUTOFREE char *path = mem_printf("/v1/swarms/%s/nodes/n%d", swarm, node + 1);
    want(r, 200, node, method, path, NULL);
}

static bool served(const struct sim_node *node, const char *swarm)
{
    return swarm_serves_here(sim_brain_of(sim_node_brain(node)), swarm);
}

/* How many of them run, all in all; -1 if one of them runs twice, or where its node does not serve it. */
static int running_well(struct rig *r, const char *swarm, int count)
{
    int all = 0;
    for (int i = 0; i < count; i++) {
        AUTOFREE char *name = mem_printf("x%d", i);
        struct sim_process p = {0};
        int n = sim_running(r->sim, swarm, name, &p);
        if (n > 1 || (n == 1 && (p.orphan || !served(p.node, swarm))))
            return -1;
        all += n;
    }
    return all;
}

static void all_run_within(struct rig *r, const char *swarm, int count, int64_t within_ms)
{
    int n = 0;
    for (int64_t ms = 0; ms < within_ms && (n = running_well(r, swarm, count)) != count; ms += 50)
        run_ms(r, 50);
    if (n != count)
        fail_msg("%d of %d run well after %lld ms", n, count, (long long)within_ms);
}

static void begin(struct rig *r, uint64_t seed)
{
    struct sim_opts opts = sim_opts_default(seed, NODES);
    rig_begin_opts(r, &opts);
    agree_within(r, NODES, 5000);
    want(r, 201, 0, HTTP_M_PUT, "/v1/swarms/s", "{\"serve\":\"joined\"}");
    run_ms(r, 1000);
}

/* A node joins and another one leaves while the home of the names is cut off from both: it gives claims to
 * who has left, which hands them on. */
static void a_home_that_is_behind_does_no_harm(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct rig r;
        begin(&r, seed);
        serve(&r, HTTP_M_PUT, "s", 0);
        run_ms(&r, 2000);
        int home = (int)(seed % NODES);
        sim_cut(r.sim, 0, home);
        sim_cut(r.sim, 1, home);
        serve(&r, HTTP_M_PUT, "s", 1);
        serve(&r, HTTP_M_DELETE, "s", 0);
        run_ms(&r, (int64_t)(seed * 40));
        sim_heal_all(r.sim);
        start_many_later(&r, "s", 8);
        all_run_within(&r, "s", 8, 30000);
        converge_within(&r, 30000);
        rig_end(&r);
    }
}

static void ignored(struct sim *s, void *arg, const struct sim_reply *reply)
{
    (void)s;
    (void)arg;
    (void)reply;
}

/* Said, and not waited for. */
static void serve_soon(struct rig *r, enum req_method method, const char *swarm, int node)
{
    AUTOFREE char *path = mem_printf("/v1/swarms/%s/nodes/n%d", swarm, node + 1);
    struct sim_ask a = {.node = node, .method = method, .path = path, .timeout_ms = 60000, .done = ignored};
    sim_ask(r->sim, &a);
    run_ms(r, 1);
}

/* A node leaves while others start on it: what reaches it then is handed on. */
static void who_has_just_left_hands_on_what_still_comes(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 11);
    serve(&r, HTTP_M_PUT, "s", 1);
    for (int i = 0; i < 24; i++) {
        AUTOFREE char *path = child_path("s", i);
        serve(&r, HTTP_M_PUT, "s", 0);
        serve_soon(&r, HTTP_M_DELETE, "s", 0);
        want(&r, 201, 1 + i % 2, HTTP_M_PUT, path, "{\"argv\":[\"/bin/counter\"],\"restart\":\"permanent\"}");
        all_run_within(&r, "s", i + 1, 5000);
    }
    rig_end(&r);
}

static void start_others(struct sim *s, void *arg)
{
    (void)arg;
    for (int i = 0; i < NODES; i++)
        assert_true(sim_start(s, i));
}

/* A node that has just joined, and has nobody to copy from, has heard of no swarm: it waits until it has. */
static void a_new_node_knows_of_no_swarm_yet(void **state)
{
    (void)state;
    struct rig r;
    struct sim_opts opts = sim_opts_default(13, NODES);
    opts.spare = 1;
    rig_begin_opts(&r, &opts);
    agree_within(&r, NODES, 5000);
    want(&r, 201, 0, HTTP_M_PUT, "/v1/swarms/s", "{}");
    run_ms(&r, 2000);
    int added = sim_add(r.sim);
    for (int i = 0; i < NODES; i++)
        sim_crash(r.sim, i);
    assert_true(sim_start(r.sim, added));
    sim_at(r.sim, sim_now_us(r.sim) + 3 * SIM_SECOND, start_others, NULL, NULL);
    run_ms(&r, 1500);
    AUTOFREE char *path = child_path("s", 0);
    want(&r, 201, added, HTTP_M_PUT, path, "{\"argv\":[\"/bin/counter\"]}");
    rig_end(&r);
}

/* Each in turn joins, and the one before leaves: everything moves on, again and again. */
static void what_is_served_elsewhere_moves_there(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 21);
    serve(&r, HTTP_M_PUT, "s", 0);
    start_many(&r, "s", 6);
    for (int i = 1; i < 7; i++) {
        serve(&r, HTTP_M_PUT, "s", i % NODES);
        serve(&r, HTTP_M_DELETE, "s", (i - 1) % NODES);
        all_run_within(&r, "s", 6, 20000);
    }
    AUTOFREE char *path = child_path("s", 0);
    want(&r, 200, 1, HTTP_M_GET, path, NULL);
    assert_string_equal(member(&r, "node"), "n1");
    assert_string_equal(member(&r, "restarts"), "0");
    rig_end(&r);
}

/* The only node that serves it dies, while it is started, runs, or moves there; it comes back, or another one
 * joins. */
static void the_only_one_that_serves_it_dies(void **state)
{
    (void)state;
    for (uint64_t seed = 31; seed <= 42; seed++) {
        struct rig r;
        begin(&r, seed);
        int only = (int)(seed % NODES), other = (only + 1) % NODES;
        serve(&r, HTTP_M_PUT, "s", only);
        start_many(&r, "s", 4);
        if (seed % 2)
            serve(&r, HTTP_M_PUT, "s", other);
        sim_crash(r.sim, only);
        if (seed % 2)
            serve(&r, HTTP_M_DELETE, "s", other);
        run_ms(&r, (int64_t)(seed % 4) * 700);
        if (seed % 3)
            assert_true(sim_start(r.sim, only));
        else
            serve(&r, HTTP_M_PUT, "s", other);
        all_run_within(&r, "s", 4, 90000);
        rig_end(&r);
    }
}

/* Settings change on two sides of a cut: after the heal the later ones hold, and what runs follows them. */
static void settings_of_two_sides_meet(void **state)
{
    (void)state;
    for (uint64_t seed = 51; seed <= 56; seed++) {
        struct rig r;
        begin(&r, seed);
        want(&r, 200, 0, HTTP_M_PUT, "/v1/swarms/s", "{\"nodes\":[\"n1\",\"n3\"]}");
        start_many(&r, "s", 6);
        split_off(&r, 2);
        run_ms(&r, 1000);
        want(&r, 200, 0, HTTP_M_PUT, "/v1/swarms/s", "{\"nodes\":[\"n2\"]}");
        run_ms(&r, (int64_t)(seed * 100));
        want(&r, 200, 2, HTTP_M_PUT, "/v1/swarms/s", "{\"nodes\":[\"n1\"]}");
        run_ms(&r, 60000); /* both sides serve */
        sim_heal_all(r.sim);
        AUTOFREE char *path = child_path("s", 3);
        for (int i = 0; i < 600 && strcmp(member(&r, "node"), "n1") != 0; i++) {
            run_ms(&r, 100);
            want(&r, 200, 1, HTTP_M_GET, path, NULL);
        }
        assert_string_equal(member(&r, "node"), "n1");
        all_run_within(&r, "s", 6, 10000);
        converge_within(&r, 60000);
        rig_end(&r);
    }
}

/* Of those that do not run on that node (-1: of all). */
static void pids_of(struct rig *r, int but, int count, int *ret_pids)
{
    for (int i = 0; i < count; i++) {
        AUTOFREE char *name = mem_printf("x%d", i);
        struct sim_process p = {0};
        assert_int_equal(sim_running(r->sim, "s", name, &p), 1);
        ret_pids[i] = but >= 0 && p.node == sim_node(r->sim, but) ? 0 : p.pid;
    }
}

static void what_is_said_anew_restarts_nothing(void **state)
{
    static const char *const settings[] = {
        "{\"handoff\":false}",
        "{\"restart\":\"temporary\",\"limits\":{\"max_children\":50}}",
        "{\"strict\":true,\"conflict\":\"oldest\"}",
        "{\"distribution\":\"random\",\"nodes\":[\"n*\"]}",
        "{\"distribution\":\"load_balancer\",\"worker_role\":\"none\"}",
        "{\"nodes\":[\"!n1\"]}", /* who runs there moves, and nobody else */
    };
    enum { RUN = 9 };
    int before[RUN], after[RUN];
    (void)state;
    struct rig r;
    begin(&r, 57);
    want(&r, 200, 0, HTTP_M_PUT, "/v1/swarms/s", "{}");
    run_ms(&r, 1000);
    start_many(&r, "s", RUN);
    for (size_t k = 0; k < COUNT(settings); k++) {
        int leave = k + 1 < COUNT(settings) ? -1 : 0;
        pids_of(&r, leave, RUN, before);
        want(&r, 200, (int)k % NODES, HTTP_M_PUT, "/v1/swarms/s", settings[k]);
        run_ms(&r, 5000);
        all_run_within(&r, "s", RUN, 10000);
        pids_of(&r, -1, RUN, after);
        for (int i = 0; i < RUN; i++)
            if (before[i] && before[i] != after[i])
                fail_msg("x%d was started again by %s", i, settings[k]);
    }
    rig_end(&r);
}

/* More is claimed at once, by several homes, than the nodes have room for: nobody runs more than it may, and
 * what was refused left nothing. */
static void no_node_runs_more_than_it_may(void **state)
{
    (void)state;
    for (uint64_t seed = 61; seed <= 64; seed++) {
        struct rig r;
        int started = 0;
        begin(&r, seed);
        want(&r, 200, 0, HTTP_M_PUT, "/v1/swarms/s", "{\"limits\":{\"max_children\":3}}");
        run_ms(&r, 1000);
        for (int i = 0; i < 14; i++) {
            AUTOFREE char *path = child_path("s", i);
            int status = ask(&r, (int)(seed + (uint64_t)i) % NODES, HTTP_M_PUT, path,
                             "{\"argv\":[\"/bin/counter\"],\"restart\":\"permanent\"}");
            if (status != 201 && status != 503)
                fail_msg("%d: %s", status, str_get(&r.body));
            started += status == 201;
        }
        assert_int_equal(started, 9);
        sim_crash(r.sim, 1);
        run_ms(&r, 20000);
        assert_int_equal(running_well(&r, "s", 14), 6); /* the rest waits for room */
        assert_true(sim_start(r.sim, 1));
        int n = 0;
        for (int i = 0; i < 600 && (n = running_well(&r, "s", 14)) != 9; i++)
            run_ms(&r, 100);
        assert_int_equal(n, 9);
        rig_end(&r);
    }
}

static int most_on_one_node(struct rig *r, int count)
{
    int on[NODES] = {0}, most = 0;
    for (int i = 0; i < count; i++) {
        AUTOFREE char *name = mem_printf("x%d", i);
        struct sim_process p = {0};
        if (sim_running(r->sim, "s", name, &p))
            for (int k = 0; k < NODES; k++)
                on[k] += p.node == sim_node(r->sim, k);
    }
    for (int k = 0; k < NODES; k++)
        most = on[k] > most ? on[k] : most;
    return most;
}

static void counted(struct sim *s, void *arg, const struct sim_reply *reply)
{
    int *statuses = arg; /* started, refused */
    (void)s;
    assert_true(reply->status == 201 || reply->status == 503);
    statuses[reply->status == 503]++;
}

/* All in the same moment: no home knows yet what the others give away. */
static void what_is_claimed_at_once_fits(void **state)
{
    enum { WANTED = 14, MAX = 3 };
    (void)state;
    for (uint64_t seed = 65; seed <= 68; seed++) {
        struct rig r;
        int statuses[2] = {0};
        begin(&r, seed);
        want(&r, 200, 0, HTTP_M_PUT, "/v1/swarms/s", "{\"limits\":{\"max_children\":3}}");
        run_ms(&r, 1000);
        for (int i = 0; i < WANTED; i++) {
            AUTOFREE char *path = child_path("s", i);
            sim_ask(r.sim,
                    &(struct sim_ask){.node = i % NODES,
                                      .method = HTTP_M_PUT,
                                      .path = path,
                                      .body = "{\"argv\":[\"/bin/counter\"],\"restart\":\"permanent\"}",
                                      .timeout_ms = 60000,
                                      .done = counted,
                                      .arg = statuses});
        }
        for (int ms = 0; ms < 60000 && statuses[0] + statuses[1] < WANTED; ms++) {
            run_ms(&r, 1);
            assert_in_range(most_on_one_node(&r, WANTED), 0, MAX);
        }
        run_ms(&r, 5000);
        assert_in_range(most_on_one_node(&r, WANTED), 1, MAX);
        assert_int_equal(running_well(&r, "s", WANTED), statuses[0]);
        rig_end(&r);
    }
}

/* The directory: a node that is gone stays for an hour, and is then taken away by one of the others. */
static void who_is_gone_leaves_the_directory_after_an_hour(void **state)
{
    (void)state;
    struct rig r;
    static const char rows[] = "SELECT count(*) FROM serve WHERE swarm = 's'";
    begin(&r, 71);
    for (int i = 0; i < NODES; i++)
        serve(&r, HTTP_M_PUT, "s", i);
    sim_crash(r.sim, 2);
    run_ms(&r, 3500 * 1000);
    assert_int_equal(rows_number(&r, 0, rows), 3);
    run_ms(&r, 200 * 1000);
    assert_int_equal(rows_number(&r, 0, rows), 2);
    assert_int_equal(rows_number(&r, 1, rows), 2);
    assert_true(sim_start(r.sim, 2)); /* it was told to serve it, and does so again */
    run_ms(&r, 20 * 1000);
    for (int i = 0; i < NODES; i++)
        assert_int_equal(rows_number(&r, i, rows), 3);
    rig_end(&r);
}

static void restore(struct rig *r, int node, struct sim_backup *old TAKES)
{
    sim_crash(r->sim, node);
    run_ms(r, 500);
    sim_restore(r->sim, node, old);
    sim_backup_free(old);
    assert_true(sim_start(r->sim, node));
    run_ms(r, 20000);
    sim_crash(r->sim, node); /* and what it learnt stays */
    run_ms(r, 500);
    assert_true(sim_start(r->sim, node));
    run_ms(r, 20000);
}

/* What it was told since its backup comes back to it from the others. */
static void a_restored_node_serves_what_it_served(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 73);
    want(&r, 201, 0, HTTP_M_PUT, "/v1/swarms/t", "{\"serve\":\"joined\"}");
    run_ms(&r, 1000);
    serve(&r, HTTP_M_PUT, "t", 2);
    struct sim_backup *old = sim_backup_new(r.sim, 2);
    serve(&r, HTTP_M_PUT, "s", 2);
    serve(&r, HTTP_M_DELETE, "t", 2);
    run_ms(&r, 1000);
    restore(&r, 2, old);
    for (int i = 0; i < NODES; i++) {
        assert_int_equal(rows_number(&r, i, "SELECT count(*) FROM serve WHERE swarm = 's'"), 1);
        assert_int_equal(rows_number(&r, i, "SELECT count(*) FROM serve WHERE swarm = 't'"), 0);
    }
    rig_end(&r);
}

/* One of many things that change who serves the swarm, or that break. */
static void blow(struct rig *r, struct prng *p)
{
    static const char *const settings[] = {
        "{}",
        "{\"serve\":\"joined\"}",
        "{\"nodes\":[\"!n1\"]}",
        "{\"nodes\":[\"n2\"],\"handoff\":false}",
        "{\"nodes\":[\"*\",\"!n3\"],\"limits\":{\"max_children\":5}}",
        "{\"labels\":{\"zone\":\"none\"}}",
    };
    int node = (int)(prng_next(p) % NODES), other = (node + 1) % NODES;
    bool up = sim_node_up(sim_node(r->sim, node));
    struct sim_ask put = {.node = node,
                          .method = HTTP_M_PUT,
                          .path = "/v1/swarms/s",
                          .body = settings[prng_next(p) % COUNT(settings)],
                          .timeout_ms = 20000,
                          .done = ignored};
    switch (prng_next(p) % 8) {
    case 0:
    case 1:
    case 2:
        sim_ask(r->sim, &put);
        break;
    case 3:
        serve_soon(r, HTTP_M_PUT, "s", node);
        break;
    case 4:
        serve_soon(r, HTTP_M_DELETE, "s", node);
        break;
    case 5:
        if (up)
            sim_crash(r->sim, node);
        else
            sim_start(r->sim, node);
        break;
    case 6:
        sim_cut(r->sim, node, other);
        break;
    case 7:
        sim_heal_all(r->sim);
        break;
    }
}

/* SKEP_SWARM_SEEDS=A-B says which. */
static void swarms_change_while_nodes_die(void **state)
{
    (void)state;
    unsigned first = 101, last = 112;
    const char *seeds = getenv("SKEP_SWARM_SEEDS");
    if (seeds)
        assert_int_equal(sscanf(seeds, "%u-%u", &first, &last), 2);
    for (unsigned seed = first; seed <= last; seed++) {
        struct rig r;
        struct prng p;
        prng_init(&p, seed);
        begin(&r, seed);
        want(&r, 200, 0, HTTP_M_PUT, "/v1/swarms/s", "{}");
        run_ms(&r, 1000);
        start_many(&r, "s", 8);
        for (int i = 0; i < 40; i++) {
            blow(&r, &p);
            run_ms(&r, (int64_t)(prng_next(&p) % 1500));
        }
        sim_heal_all(r.sim);
        for (int i = 0; i < NODES; i++)
            if (!sim_node_up(sim_node(r.sim, i)))
                assert_true(sim_start(r.sim, i));
        agree_within(&r, NODES, 60000);
        run_ms(&r, 20000); /* what was still under way has ended */
        want(&r, 200, (int)(seed % NODES), HTTP_M_PUT, "/v1/swarms/s", "{}");
        int n = 0;
        for (int64_t ms = 0; ms < 90000 && (n = running_well(&r, "s", 8)) != 8; ms += 50)
            run_ms(&r, 50);
        if (n != 8)
            fail_msg("seed %u: %d of 8 run well", seed, n);
        converge_within(&r, 60000);
        rig_end(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_home_that_is_behind_does_no_harm),
        cmocka_unit_test(who_has_just_left_hands_on_what_still_comes),
        cmocka_unit_test(a_new_node_knows_of_no_swarm_yet),
        cmocka_unit_test(what_is_served_elsewhere_moves_there),
        cmocka_unit_test(the_only_one_that_serves_it_dies),
        cmocka_unit_test(settings_of_two_sides_meet),
        cmocka_unit_test(what_is_said_anew_restarts_nothing),
        cmocka_unit_test(no_node_runs_more_than_it_may),
        cmocka_unit_test(what_is_claimed_at_once_fits),
        cmocka_unit_test(who_is_gone_leaves_the_directory_after_an_hour),
        cmocka_unit_test(a_restored_node_serves_what_it_served),
        cmocka_unit_test(swarms_change_while_nodes_die),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
