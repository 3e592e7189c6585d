/* Wall clocks that jump, in simulated clusters of real brains: nothing that was acknowledged is lost, nothing
 * starts again or ends without need, nobody takes rows from the future. */
#include "rig.h"

#include "base/hlc.h"

#define HOUR  INT64_C(3600000)
#define YEARS (12 * 365 * 24 * HOUR) /* from 2026 to 2038 */
#define NAMES 6

#define COUNTER "{\"argv\":[\"counter\"],\"restart\":\"permanent\"}"

static const char *path_of(int i, const char *more)
{
    static char path[100];
    snprintf(path, sizeof path, "/v1/swarms/default/children/c%d%s", i, more);
    return path;
}

static struct sim_process counter(struct rig *r, int i)
{
    char name[16];
    snprintf(name, sizeof name, "c%d", i);
    return process_of(r, name);
}

static int running(struct rig *r, int i)
{
    char name[16];
    snprintf(name, sizeof name, "c%d", i);
    return sim_running(r->sim, "default", name, NULL);
}

static void counters_start(struct rig *r)
{
    for (int i = 0; i < NAMES; i++) {
        want(r, 201, i % sim_nodes(r->sim), HTTP_M_PUT, path_of(i, ""), COUNTER);
        want(r, 200, i % sim_nodes(r->sim), HTTP_M_POST, path_of(i, "/calls"), "{\"data\":10}");
    }
}

static int on_node(struct rig *r, int node)
{
    for (int i = 0; i < NAMES; i++)
        if (counter(r, i).node == sim_node(r->sim, node))
            return i;
    return -1;
}

/* A node that runs one of them. */
static int busy_node(struct rig *r, int *ret_name)
{
    for (int k = 0; k < sim_nodes(r->sim); k++)
        if ((*ret_name = on_node(r, k)) >= 0)
            return k;
    fail();
    return -1;
}

static bool frozen(struct rig *r, int i)
{
    return watch_frozen(node_at(r, i));
}

static void refused_for_its_clock(struct rig *r, int node)
{
    want(r, 503, node, HTTP_M_PUT, "/v1/swarms/default/names/refused", "{\"address\":\"x\"}");
    assert_string_equal(member(r, "code"), "clock");
    assert_non_null(strstr(member(r, "detail"), "timedatectl"));
}

/* What was written while the clock was wrong or right is on every node. */
static void all_have(struct rig *r, const char *name, const char *address)
{
    AUTOFREE char *path = mem_printf("/v1/swarms/default/names/%s", name);
    for (int i = 0; i < sim_nodes(r->sim); i++) {
        want(r, 200, i, HTTP_M_GET, path, NULL);
        assert_string_equal(member(r, "address"), address);
    }
}

static int64_t newest_ms(struct rig *r, int node)
{
    return hlc_ms(vv_max(&node_at(r, node)->vv)) - SIM_REAL_MS - sim_now_us(r->sim) / 1000;
}

/* Three nodes hold the same, nothing of the future, and every counter has its value. */
static void nothing_is_harmed(struct rig *r)
{
    for (int i = 0; i < 3; i++)
        assert_true(newest_ms(r, i) < HLC_AHEAD_MS_MAX);
    for (int i = 0; i < NAMES; i++)
        assert_int_equal(counter(r, i).value, 10);
    digests_equal(r);
}

static void a_jump_is_frozen_out(struct rig *r, int64_t by_ms)
{
    int pids[NAMES], name, wrong;
    rig_begin(r, 3, 3);
    counters_start(r);
    wrong = busy_node(r, &name);
    int right = (wrong + 1) % 3;
    for (int i = 0; i < NAMES; i++)
        pids[i] = counter(r, i).pid;
    want(r, 201, wrong, HTTP_M_PUT, "/v1/swarms/default/names/before", "{\"address\":\"1\"}");
    sim_step_clock(r->sim, wrong, by_ms);
    run_ms(r, 3000);
    assert_true(frozen(r, wrong));
    refused_for_its_clock(r, wrong);
    assert_true(agree(r, 3));
    want(r, 201, right, HTTP_M_PUT, "/v1/swarms/default/names/meanwhile", "{\"address\":\"2\"}");
    run_ms(r, 3000);
    all_have(r, "meanwhile", "2"); /* it merges on */
    want(r, 200, right, HTTP_M_GET, path_of(name, ""), NULL);
    assert_int_equal(events(r, wrong, "clock_frozen"), 1);
    run_ms(r, 60000); /* with peers that disagree it waits */
    assert_true(frozen(r, wrong));
    sim_step_clock(r->sim, wrong, -by_ms);
    run_ms(r, 3000);
    assert_false(frozen(r, wrong));
    want(r, 201, wrong, HTTP_M_PUT, "/v1/swarms/default/names/after", "{\"address\":\"3\"}");
    run_ms(r, 2000);
    all_have(r, "before", "1");
    all_have(r, "after", "3");
    for (int i = 0; i < NAMES; i++)
        assert_int_equal(counter(r, i).pid, pids[i]);
    nothing_is_harmed(r);
    assert_int_equal(events(r, wrong, "clock_thawed"), 1);
    rig_end(r);
}

static void jumps_are_frozen_out(void **state)
{
    (void)state;
    static const int64_t jumps[] = {HOUR, -HOUR, YEARS, 10000, -10000};
    for (size_t i = 0; i < COUNT(jumps); i++) {
        struct rig r;
        a_jump_is_frozen_out(&r, jumps[i]);
    }
}

/* What a process does meanwhile waits, and is not lost. */
static void what_happens_meanwhile_is_carried_out_later(void **state)
{
    (void)state;
    struct rig r;
    int name, wrong;
    rig_begin(&r, 4, 3);
    counters_start(&r);
    wrong = busy_node(&r, &name);
    int pid = counter(&r, name).pid;
    sim_step_clock(r.sim, wrong, HOUR);
    run_ms(&r, 2000);
    want(&r, 503, (wrong + 1) % 3, HTTP_M_POST, path_of(name, "/calls"), "{\"data\":1}"); /* goes there */
    assert_string_equal(member(&r, "code"), "clock");
    assert_int_equal(counter(&r, name).pid, pid);
    while (running(&r, name)) {
        assert_true(sim_process_crash(r.sim, wrong));
        run_ms(&r, 10);
    }
    run_ms(&r, 10000);
    assert_int_equal(running(&r, name), 0);
    assert_true(node_held_bytes(node_at(&r, wrong)) > 0);
    want(&r, 201, (wrong + 1) % 3, HTTP_M_PUT, "/v1/swarms/default/names/meanwhile", "{\"address\":\"1\"}");
    run_ms(&r, 2000);
    all_have(&r, "meanwhile", "1"); /* what waits holds up no page */
    sim_step_clock(r.sim, wrong, -HOUR);
    run_ms(&r, 10000);
    assert_int_equal(node_held_bytes(node_at(&r, wrong)), 0);
    assert_int_equal(counter(&r, name).value, 10); /* again, with its checkpoint */
    want(&r, 200, 0, HTTP_M_GET, path_of(name, ""), NULL);
    assert_string_equal(member(&r, "restarts"), "1");
    digests_equal(&r);
    rig_end(&r);
}

/* All clocks at once, as when a machine slept: nobody is wrong. */
static void leases_get_a_whole_period_after_a_jump_that_is_right(void **state)
{
    (void)state;
    struct rig r;
    static const char lease[] = "/v1/swarms/default/names/lease";
    rig_begin(&r, 5, 3);
    want(&r, 201, 0, HTTP_M_PUT, lease, "{\"address\":\"x\",\"ttl_ms\":20000}");
    run_ms(&r, 1000);
    for (int i = 0; i < 3; i++)
        sim_step_clock(r.sim, i, HOUR);
    run_ms(&r, 5000);
    for (int i = 0; i < 3; i++)
        assert_false(frozen(&r, i));
    run_ms(&r, 10000);
    want(&r, 200, 1, HTTP_M_GET, lease, NULL);
    run_ms(&r, 20000);
    want(&r, 404, 1, HTTP_M_GET, lease, NULL);
    digests_equal(&r);
    rig_end(&r);
}

#define LEASE "/v1/swarms/default/names/lease"

/* Renewed in the memory of its home only: the rows of all say that its time is up. */
static void renewed_in_memory(struct rig *r, uint64_t seed)
{
    rig_begin(r, seed, 3);
    run_ms(r, 12000); /* each has been open for a whole period */
    want(r, 201, 0, HTTP_M_PUT, LEASE, "{\"address\":\"x\",\"ttl_ms\":10000}");
    run_ms(r, 4500);
    want(r, 200, 1, HTTP_M_PUT, LEASE, "{\"address\":\"x\",\"ttl_ms\":10000}");
}

static void only_its_home_ends_a_lease(void **state)
{
    (void)state;
    struct rig r;
    renewed_in_memory(&r, 7);
    for (int s = 0; s < 9; s++) { /* up to 13.5 s after the registration, 9 after the renewal */
        run_ms(&r, 1000);
        for (int i = 0; i < 3; i++)
            want(&r, 200, i, HTTP_M_GET, LEASE, NULL);
    }
    run_ms(&r, 15000);
    for (int i = 0; i < 3; i++)
        want(&r, 404, i, HTTP_M_GET, LEASE, NULL);
    digests_equal(&r);
    rig_end(&r);
}

static void a_new_home_grants_a_lease_a_whole_period(void **state)
{
    (void)state;
    struct rig r;
    renewed_in_memory(&r, 8);
    int home = home_of(&r, "lease");
    run_ms(&r, 500);
    sim_crash(r.sim, home);
    for (int s = 0; s < 9; s++) {
        run_ms(&r, 1000);
        for (int i = 0; i < 3; i++)
            if (i != home)
                want(&r, 200, i, HTTP_M_GET, LEASE, NULL);
    }
    run_ms(&r, 20000);
    want(&r, 404, (home + 1) % 3, HTTP_M_GET, LEASE, NULL);
    rig_end(&r);
}

static void nothing_ends_while_it_is_frozen(void **state)
{
    (void)state;
    struct rig r;
    static const char lease[] = "/v1/swarms/default/names/lease";
    rig_begin(&r, 6, 1);
    want(&r, 201, 0, HTTP_M_PUT, lease, "{\"address\":\"x\",\"ttl_ms\":20000}");
    want(&r, 201, 0, HTTP_M_POST, "/v1/sessions", "{\"ttl_ms\":60000}");
    AUTOFREE char *session = mem_printf("/v1/sessions/%s", member(&r, "id"));
    sim_step_clock(r.sim, 0, HOUR);
    run_ms(&r, 29000); /* longer than the lease */
    assert_true(frozen(&r, 0));
    refused_for_its_clock(&r, 0);
    want(&r, 200, 0, HTTP_M_GET, lease, NULL);
    run_ms(&r, 5000); /* nobody can be asked: it goes on */
    assert_false(frozen(&r, 0));
    want(&r, 200, 0, HTTP_M_GET, lease, NULL);
    want(&r, 200, 0, HTTP_M_GET, session, NULL);
    run_ms(&r, 22000);
    want(&r, 404, 0, HTTP_M_GET, lease, NULL);
    want(&r, 200, 0, HTTP_M_GET, session, NULL);
    run_ms(&r, 60000);
    want(&r, 404, 0, HTTP_M_GET, session, NULL);
    rig_end(&r);
}

/* The first start with a clock that runs in 2038. */
static void a_first_start_in_2038_is_healed(void **state)
{
    (void)state;
    struct rig r;
    rig_begin(&r, 7, 1);
    sim_crash(r.sim, 0);
    run_ms(&r, 1000);
    sim_step_clock(r.sim, 0, YEARS);
    assert_true(sim_start(r.sim, 0));
    run_ms(&r, 2000);
    counters_start(&r);
    want(&r, 201, 0, HTTP_M_PUT, "/v1/swarms/default/names/future", "{\"address\":\"1\",\"ttl_ms\":100000}");
    want(&r, 201, 0, HTTP_M_PUT, "/v1/swarms/default/names/twice", "{\"address\":\"1\"}");
    want(&r, 200, 0, HTTP_M_DELETE, "/v1/swarms/default/names/twice", NULL);
    run_ms(&r, 5000);
    assert_true(newest_ms(&r, 0) > YEARS / 2);
    sim_step_clock(r.sim, 0, -YEARS);
    run_ms(&r, 29000);
    assert_true(frozen(&r, 0));
    run_ms(&r, 3000);
    assert_false(sim_node_up(sim_node(r.sim, 0))); /* to begin a new run */
    assert_true(sim_start(r.sim, 0));
    run_ms(&r, 10000);
    assert_true(newest_ms(&r, 0) < HLC_AHEAD_MS_MAX);
    all_have(&r, "future", "1");
    want(&r, 404, 0, HTTP_M_GET, "/v1/swarms/default/names/twice", NULL);
    for (int i = 0; i < NAMES; i++) {
        assert_int_equal(counter(&r, i).value, 10);
        want(&r, 200, 0, HTTP_M_GET, path_of(i, ""), NULL);
        assert_true(hlc_ms(strtoll(member(&r, "epoch"), NULL, 10)) < SIM_REAL_MS + HOUR);
    }
    run_ms(&r, 100000);
    want(&r, 404, 0, HTTP_M_GET, "/v1/swarms/default/names/future", NULL); /* its lease is not from 2038 */
    assert_int_equal(events(&r, 0, "clock_restamped"), 1);
    rig_end(&r);
}

/* A node of three starts in 2038: the others refuse what it says until its clock is right. */
static void a_node_that_starts_in_2038_is_refused_and_healed(void **state)
{
    (void)state;
    struct rig r;
    rig_begin(&r, 8, 3);
    counters_start(&r);
    sim_crash(r.sim, 1);
    sim_step_clock(r.sim, 1, YEARS);
    run_ms(&r, 3000);
    assert_true(sim_start(r.sim, 1));
    run_ms(&r, 5000);
    assert_true(frozen(&r, 1));
    refused_for_its_clock(&r, 1);
    want(&r, 201, 0, HTTP_M_PUT, "/v1/swarms/default/names/meanwhile", "{\"address\":\"2\"}");
    run_ms(&r, 2000);
    all_have(&r, "meanwhile", "2");
    for (int i = 0; i < 3; i++)
        assert_true(i == 1 || newest_ms(&r, i) < HLC_AHEAD_MS_MAX);
    assert_true(events(&r, 0, "clock_skew") > 0);
    want(&r, 200, 0, HTTP_M_GET, "/v1/nodes/n2", NULL);
    assert_true(strtoll(member(&r, "clock_off_ms"), NULL, 10) > YEARS / 2);
    sim_step_clock(r.sim, 1, -YEARS);
    run_ms(&r, 5000);
    assert_false(sim_node_up(sim_node(r.sim, 1)));
    assert_true(sim_start(r.sim, 1));
    agree_within(&r, 3, 5000);
    want(&r, 201, 1, HTTP_M_PUT, "/v1/swarms/default/names/after", "{\"address\":\"3\"}");
    run_ms(&r, 3000);
    all_have(&r, "after", "3");
    nothing_is_harmed(&r);
    rig_end(&r);
}

/* An empty battery: everything there is looks like the future, and nothing of it is touched. */
static void a_start_in_1970_touches_nothing(void **state)
{
    (void)state;
    for (int nodes = 1; nodes <= 3; nodes += 2) {
        struct rig r;
        rig_begin(&r, 9, nodes);
        counters_start(&r);
        int last = nodes - 1;
        sim_crash(r.sim, last);
        sim_step_clock(r.sim, last, -SIM_REAL_MS + 1000000000);
        run_ms(&r, 3000);
        assert_true(sim_start(r.sim, last));
        run_ms(&r, 5000);
        assert_true(frozen(&r, last));
        refused_for_its_clock(&r, last);
        run_ms(&r, nodes == 1 ? 40000 : 5000);
        assert_int_equal(frozen(&r, last), nodes > 1); /* alone it goes on, behind its newest row */
        if (nodes == 1) {
            want(&r, 201, 0, HTTP_M_PUT, "/v1/swarms/default/names/early", "{\"address\":\"1\"}");
            for (int i = 0; i < NAMES; i++)
                assert_int_equal(counter(&r, i).value, 10);
        }
        sim_step_clock(r.sim, last, SIM_REAL_MS - 1000000000);
        run_ms(&r, 40000);
        assert_false(frozen(&r, last));
        assert_true(sim_node_up(sim_node(r.sim, last)));
        want(&r, 201, last, HTTP_M_PUT, "/v1/swarms/default/names/after", "{\"address\":\"1\"}");
        run_ms(&r, 3000);
        all_have(&r, "after", "1");
        for (int i = 0; i < NAMES; i++)
            assert_int_equal(counter(&r, i).value, 10);
        assert_int_equal(events(&r, last, "clock_restamped"), 0);
        digests_equal(&r);
        rig_end(&r);
    }
}

static void cut_both(struct rig *r, int a, int b)
{
    sim_cut(r->sim, a, b);
    sim_cut(r->sim, b, a);
}

/* Cut off, its clock jumps, and nobody is there to say so: what it wrote then waits for its clock, and all
 * have it in the end. */
static void what_was_stamped_alone_in_the_future_is_not_lost(void **state)
{
    (void)state;
    struct rig r;
    struct sim_opts o = sim_opts_default(10, 3);
    o.loss_ppm = o.slow_commit_ppm = 0;
    o.unique_names = false; /* both sides serve */
    rig_begin_opts(&r, &o);
    agree_within(&r, 3, 3000);
    counters_start(&r);
    cut_both(&r, 2, 0);
    cut_both(&r, 2, 1);
    run_ms(&r, 40000);
    sim_step_clock(r.sim, 2, HOUR);
    run_ms(&r, 35000);
    assert_false(frozen(&r, 2));
    want(&r, 201, 2, HTTP_M_PUT, "/v1/swarms/default/names/poison", "{\"address\":\"1\"}");
    assert_true(newest_ms(&r, 2) > HOUR / 2);
    sim_heal_all(r.sim);
    run_ms(&r, 10000);
    assert_true(frozen(&r, 2)); /* it went on unconfirmed */
    for (int i = 0; i < 2; i++) {
        want(&r, 404, i, HTTP_M_GET, "/v1/swarms/default/names/poison", NULL);
        assert_true(newest_ms(&r, i) < HLC_AHEAD_MS_MAX);
    }
    sim_step_clock(r.sim, 2, -HOUR);
    run_ms(&r, 5000);
    assert_false(sim_node_up(sim_node(r.sim, 2)));
    assert_true(sim_start(r.sim, 2));
    agree_within(&r, 3, 5000);
    run_ms(&r, 10000);
    all_have(&r, "poison", "1");
    nothing_is_harmed(&r);
    rig_end(&r);
}

/* Whatever happens inside a turn, its stamps come from the clock that was checked at its beginning. */
static void a_step_inside_a_turn_leaks_into_no_stamp(void **state)
{
    (void)state;
    struct rig r;
    rig_begin(&r, 11, 1);
    struct node *n = node_at(&r, 0);
    int64_t before = hlc_ms(store_stamp(n->store));
    sim_step_clock(r.sim, 0, HOUR);
    assert_in_range(hlc_ms(store_stamp(n->store)), before, before + 1000);
    rig_end(&r);
}

static int64_t offs_told(struct rig *r)
{
    int64_t told = 0;
    for (int i = 0; i < 3; i++)
        told += rows_number(r, i, "SELECT count(*) FROM log WHERE type = 'clock_off'");
    return told;
}

/* What a node hears comes late, as when others use its processor: that is no fault of its clock. A clock that
 * is off by more than that explains is. */
static void a_slow_way_is_no_wrong_clock(void **state)
{
    (void)state;
    struct rig r;
    rig_begin(&r, 12, 3);
    agree_within(&r, 3, 10000);
    for (int i = 1; i < 3; i++)
        sim_link(r.sim, i, 0, &(struct sim_link){.delay = {700000, 700000}});
    run_ms(&r, 20000);
    assert_int_equal(offs_told(&r), 0);
    sim_step_clock(r.sim, 0, 1000);
    run_ms(&r, 5000);
    assert_int_equal(offs_told(&r), 1);
    rig_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jumps_are_frozen_out),
        cmocka_unit_test(what_happens_meanwhile_is_carried_out_later),
        cmocka_unit_test(leases_get_a_whole_period_after_a_jump_that_is_right),
        cmocka_unit_test(only_its_home_ends_a_lease),
        cmocka_unit_test(a_new_home_grants_a_lease_a_whole_period),
        cmocka_unit_test(nothing_ends_while_it_is_frozen),
        cmocka_unit_test(a_first_start_in_2038_is_healed),
        cmocka_unit_test(a_node_that_starts_in_2038_is_refused_and_healed),
        cmocka_unit_test(a_start_in_1970_touches_nothing),
        cmocka_unit_test(what_was_stamped_alone_in_the_future_is_not_lost),
        cmocka_unit_test(a_step_inside_a_turn_leaks_into_no_stamp),
        cmocka_unit_test(a_slow_way_is_no_wrong_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
