/* Real brains in a simulated cluster whose folders were copied: one life of a node at a time, told apart by
 * what answers where its file says that it ran.
 */
#include "sim/brain.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "node/brain.h"
#include "sim/sim.h"

#define NODES 3

static struct sim *cluster_new(uint64_t seed)
{
    struct sim_opts o = sim_opts_default(seed, NODES);
    o.loss_ppm = o.slow_commit_ppm = 0;
    o.spare = 2;
    struct sim *s = sim_new(&o, &sim_brain_node);
    for (int i = 0; i < NODES; i++)
        assert_true(sim_start(s, i));
    return s;
}

static void cluster_free(struct sim *s)
{
    assert_false(sim_violated(s));
    sim_free(s);
}

static bool up(struct sim *s, int i)
{
    return sim_node_up(sim_node(s, i));
}

static struct node *node_at(struct sim *s, int i)
{
    return sim_brain_of(sim_node_brain(sim_node(s, i)));
}

static void run_ms(struct sim *s, int64_t ms)
{
    assert_true(sim_run(s, sim_now_us(s) + ms * 1000));
}

static bool is_open(struct sim *s, int i)
{
    return up(s, i) && node_open_now(node_at(s, i));
}

/* Milliseconds until this node is up and decides, or is down. */
static int64_t until_ms(struct sim *s, int i, bool (*so)(struct sim *, int), bool want, int64_t within_ms)
{
    for (int64_t ms = 0; ms <= within_ms; ms += 10) {
        if (so(s, i) == want)
            return ms;
        run_ms(s, 10);
    }
    fail_msg("node %d: not within %lld ms", i, (long long)within_ms);
    return 0;
}

static int64_t runs_known(struct sim *s, int i)
{
    return db_i64(store_db(node_store(node_at(s, i))), "SELECT count(*) FROM actor", -1);
}

static int64_t logged(struct sim *s, int i, const char *type)
{
    AUTOFREE char *sql = mem_printf("SELECT count(*) FROM log WHERE type = '%s'", type);
    return db_i64(store_db(node_store(node_at(s, i))), sql, -1);
}

static void settle(struct sim *s)
{
    for (int i = 0; i < NODES; i++)
        until_ms(s, i, is_open, true, 20000);
    run_ms(s, 2000);
}

static void the_copy_of_a_running_node_refuses_and_nobody_hears_of_it(void **state)
{
    (void)state;
    struct sim *s = cluster_new(11);
    settle(s);
    int64_t runs = runs_known(s, 0);
    int twin = sim_clone(s, 1, false);
    sim_start(s, twin);
    assert_in_range(until_ms(s, twin, up, false, 1100), 0, 500);
    run_ms(s, 3000);
    sim_start(s, twin); /* it does not forget where it should have looked */
    until_ms(s, twin, up, false, 1100);
    run_ms(s, 3000);
    for (int i = 0; i < NODES; i++) {
        assert_true(is_open(s, i));
        assert_int_equal(runs_known(s, i), runs);
    }
    cluster_free(s);
}

static void a_copy_at_the_same_address_refuses_as_well(void **state)
{
    (void)state;
    struct sim *s = cluster_new(12);
    settle(s);
    int twin = sim_clone(s, 1, true);
    sim_start(s, twin);
    until_ms(s, twin, up, false, 1100);
    assert_true(is_open(s, 1));
    cluster_free(s);
}

static void a_restart_is_no_clone(void **state)
{
    (void)state;
    struct sim *s = cluster_new(13);
    settle(s);
    for (int i = 0; i < 3; i++) {
        sim_crash(s, 1);
        run_ms(s, 100);
        assert_true(sim_start(s, 1));
        assert_in_range(until_ms(s, 1, is_open, true, 10000), 0, 5000);
        run_ms(s, 1000);
    }
    cluster_free(s);
}

static void a_copy_runs_where_the_other_one_is_gone(void **state)
{
    (void)state;
    struct sim *s = cluster_new(14);
    settle(s);
    int twin = sim_clone(s, 1, false);
    sim_cut_power(s, 1); /* it does not refuse, it is silent */
    run_ms(s, 5000);
    sim_start(s, twin);
    run_ms(s, 800); /* it listens for the other one, and does nothing else */
    assert_true(up(s, twin) && node_at(s, twin)->probe.running);
    assert_in_range(node_at(s, twin)->counters.turns, 1, 20);
    assert_in_range(until_ms(s, twin, is_open, true, 40000), 100, 40000);
    sim_retire(s, 1);
    cluster_free(s);
}

static void who_slept_while_its_copy_ran_ends_once_and_is_refused(void **state)
{
    (void)state;
    struct sim *s = cluster_new(15);
    settle(s);
    int twin = sim_clone(s, 1, false);
    sim_may_refuse(s, 1, true);
    sim_pause(s, 1, 8 * SIM_SECOND);
    run_ms(s, 1000);
    sim_start(s, twin);
    until_ms(s, twin, is_open, true, 7000);
    until_ms(s, 1, up, false, 10000);
    assert_int_equal(logged(s, 0, "node_down"), 0);
    assert_true(up(s, twin));
    sim_start(s, 1);
    until_ms(s, 1, up, false, 3000);
    run_ms(s, 3000);
    assert_true(is_open(s, twin));
    sim_retire(s, 1);
    cluster_free(s);
}

/* Both are started whenever they end, as by a supervisor; each a few times. Which one is up in the end. */
static int one_stays(struct sim *s, int twin, int seconds)
{
    const int both[] = {1, twin};
    int starts = 0;
    for (int second = 0; second < seconds; second++) {
        run_ms(s, 1000);
        for (int i = 0; i < 2; i++)
            if (!up(s, both[i]) && starts < 6) {
                starts++;
                sim_start(s, both[i]);
            }
    }
    assert_int_equal(up(s, 1) + up(s, twin), 1);
    int stays = up(s, 1) ? 1 : twin;
    assert_true(is_open(s, stays));
    sim_retire(s, stays == 1 ? twin : 1);
    return stays;
}

/* The keeper of the one that slept has ended it, so it knows of nothing and begins a run of its own. */
static void of_two_that_are_started_again_and_again_one_stays(void **state)
{
    (void)state;
    struct sim *s = cluster_new(18);
    settle(s);
    int twin = sim_clone(s, 1, false);
    sim_may_refuse(s, 1, true);
    sim_pause(s, 1, 60 * SIM_SECOND);
    run_ms(s, 1000);
    sim_start(s, twin);
    one_stays(s, twin, 180);
    cluster_free(s);
}

static struct sim *copied_in_its_sleep(uint64_t seed, bool same_url, int *ret_twin)
{
    struct sim *s = cluster_new(seed);
    settle(s);
    *ret_twin = sim_clone(s, 1, same_url);
    run_ms(s, 2000); /* what the copy does not have */
    sim_may_refuse(s, 1, true);
    sim_may_refuse(s, *ret_twin, true);
    sim_pause(s, 1, 1300000); /* longer than its copy looks for it */
    sim_start(s, *ret_twin);
    return s;
}

static void who_was_copied_in_its_sleep_ends(void **state)
{
    (void)state;
    int twin;
    struct sim *s = copied_in_its_sleep(19, false, &twin);
    assert_int_equal(one_stays(s, twin, 30), twin);
    cluster_free(s);
}

/* No ping of the others reaches the copy, and what it writes reaches nobody as long as the other one writes:
 * each time it copies what there is. That there are two, the others say. */
static void a_copy_at_the_address_of_who_slept_ends(void **state)
{
    (void)state;
    int twin;
    struct sim *s = copied_in_its_sleep(20, true, &twin);
    assert_int_equal(one_stays(s, twin, 30), 1);
    cluster_free(s);
}

/* A ping of node 1, by a run of it. */
static void ping(struct sim *s, int to, int64_t actor, int64_t born, const char *url)
{
    struct node *n = node_at(s, to), *of = node_at(s, 1), as = {0};
    struct str body = STR_INIT;
    as.cluster = of->cluster;
    as.self = of->self;
    as.name = of->name;
    as.url = (char *)(uintptr_t)url;
    as.actor = actor;
    as.born = born;
    ping_write(&as, &body);
    struct event ev = {.kind = EV_PINGED, .node = of->self, .bytes_n = body.n, .at_boot_ms = n->now_ms};
    ev.bytes = str_take(&body);
    peer_pinged(n, &ev);
    event_fini(&ev);
}

static void two_runs_that_alternate_are_seen(void **state)
{
    (void)state;
    struct sim *s = cluster_new(16);
    settle(s);
    struct node *of = node_at(s, 1);
    ping(s, 0, 4711, of->born - 1, "https://old.sim:1");
    run_ms(s, 3000);
    ping(s, 0, 4711, of->born - 1, "https://old.sim:1");
    run_ms(s, 1000);
    assert_int_equal(logged(s, 0, "clone_seen"), 0); /* it may have been under way */
    for (int i = 0; i < 5; i++) {
        ping(s, 0, 4711, of->born - 1, "https://old.sim:1");
        run_ms(s, 1000);
    }
    assert_int_equal(logged(s, 0, "clone_seen"), 1);
    cluster_free(s);
}

static void the_same_peer_ends_a_run_by_its_word_only_once_a_day(void **state)
{
    (void)state;
    struct sim *s = cluster_new(17);
    settle(s);
    struct node *n = node_at(s, 0);
    struct id liar = sim_node_id(sim_node(s, 2));
    struct peer *p = peer_find(n, &liar);
    char who[ID_TEXT];
    AUTOFREE char *just_now = mem_printf("%s %lld", id_text(&liar, who), (long long)n->real_ms);
    AUTOFREE char *long_ago = mem_printf("%s %lld", who, (long long)(n->real_ms - 2 * INT64_C(86400000)));
    assert_int_equal(store_meta_set(n->store, "claimed_by", just_now, NULL), 0);
    assert_int_equal(probe_claimed(n, p), 0);
    assert_int_equal(node_ended(n), -1);
    assert_int_equal(store_meta_set(n->store, "claimed_by", long_ago, NULL), 0);
    sim_may_refuse(s, 0, true);
    assert_int_equal(probe_claimed(n, p), 0);
    assert_int_equal(node_ended(n), 75);
    cluster_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_copy_of_a_running_node_refuses_and_nobody_hears_of_it),
        cmocka_unit_test(a_copy_at_the_same_address_refuses_as_well),
        cmocka_unit_test(a_restart_is_no_clone),
        cmocka_unit_test(a_copy_runs_where_the_other_one_is_gone),
        cmocka_unit_test(who_slept_while_its_copy_ran_ends_once_and_is_refused),
        cmocka_unit_test(of_two_that_are_started_again_and_again_one_stays),
        cmocka_unit_test(who_was_copied_in_its_sleep_ends),
        cmocka_unit_test(a_copy_at_the_address_of_who_slept_ends),
        cmocka_unit_test(two_runs_that_alternate_are_seen),
        cmocka_unit_test(the_same_peer_ends_a_run_by_its_word_only_once_a_day),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
