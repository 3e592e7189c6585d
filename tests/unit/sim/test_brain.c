/* Real brains in a simulated cluster, one situation each: how fast they agree, how little they say when
 * nothing happens, what a stop, a crash and a return do to processes. The seeds of tests/sim look for what
 * nobody thought of; these say what must hold.
 */
#include "rig.h"

#define NODES_MAX 5
#define CHILDREN  8

/* One test at a time. */
static struct {
    int pings, pulls, mails, turns;
} seen;

static bool count_request(void *brain, struct request *r)
{
    seen.pings += strcmp(r->path, "/v1/peer/ping") == 0;
    seen.pulls += strcmp(r->path, "/v1/peer/pull") == 0;
    seen.mails += strcmp(r->path, "/v1/peer/mail") == 0;
    return sim_brain_node.request(brain, r);
}

static void count_turn(void *brain, struct event *events, size_t n)
{
    seen.turns++;
    sim_brain_node.turn(brain, events, n);
}

/* They do not know each other yet. */
static void begin(struct rig *r, uint64_t seed, int nodes)
{
    static struct sim_brain brain;
    struct sim_opts o = rig_opts(seed, nodes);
    brain = sim_brain_node;
    brain.request = count_request;
    brain.turn = count_turn;
    memset(&seen, 0, sizeof seen);
    rig_begin_brain(r, &o, &brain);
}

#define COUNTER "{\"argv\":[\"counter\"],\"restart\":\"permanent\"}"

static const char *child_path(int i, const char *more)
{
    static char path[100];
    snprintf(path, sizeof path, "/v1/swarms/default/children/c%d%s", i, more);
    return path;
}

static void children_start(struct rig *r, const char *spec)
{
    for (int i = 0; i < CHILDREN; i++) {
        want(r, 201, i % sim_nodes(r->sim), HTTP_M_PUT, child_path(i, ""), spec);
        for (int k = 0; k <= i; k++) /* so that each has a value of its own */
            want(r, 200, (i + 1) % sim_nodes(r->sim), HTTP_M_POST, child_path(i, "/calls"), "{\"data\":10}");
    }
}

static struct sim_process child_at(struct rig *r, int i)
{
    char name[16];
    struct sim_process p = {0};
    snprintf(name, sizeof name, "c%d", i);
    assert_int_equal(sim_running(r->sim, "default", name, &p), 1);
    assert_false(p.orphan);
    return p;
}

/* Every child runs once, with its value, and not on this node (-1: anywhere). */
static void children_hold(struct rig *r, int not_on)
{
    for (int i = 0; i < CHILDREN; i++) {
        struct sim_process p = child_at(r, i);
        assert_int_equal(p.value, 10 * (i + 1));
        assert_true(not_on < 0 || p.node != sim_node(r->sim, not_on));
    }
}

static int children_on(struct rig *r, int node)
{
    int n = 0;
    for (int i = 0; i < CHILDREN; i++)
        n += child_at(r, i).node == sim_node(r->sim, node);
    return n;
}

/* Processes of c0, c1, … that live, whoever runs them. */
static int running(struct rig *r)
{
    int n = 0;
    for (int i = 0; i < CHILDREN; i++) {
        char name[16];
        snprintf(name, sizeof name, "c%d", i);
        n += sim_running(r->sim, "default", name, NULL);
    }
    return n;
}

/* A node that runs some. */
static int busy_node(struct rig *r)
{
    return (int)(strtol(sim_node_name(child_at(r, 0).node) + 1, NULL, 10)) - 1;
}

static int64_t epoch_of(struct rig *r, int node, const char *path)
{
    want(r, 200, node, HTTP_M_GET, path, NULL);
    return strtoll(member(r, "epoch"), NULL, 10);
}

/* ---- agreement ---- */

static void a_cluster_opens_within_a_second(void **state)
{
    (void)state;
    for (int nodes = 1; nodes <= NODES_MAX; nodes++) {
        struct rig r;
        begin(&r, (uint64_t)nodes, nodes);
        assert_in_range(agree_within(&r, nodes, 2000), 0, nodes == 1 ? 20 : 1000);
        rig_end(&r);
    }
}

static void a_killed_node_leaves_the_view_within_a_second(void **state)
{
    (void)state;
    for (int nodes = 3; nodes <= NODES_MAX; nodes++) {
        struct rig r;
        begin(&r, (uint64_t)nodes, nodes);
        run_ms(&r, 3000);
        sim_crash(r.sim, nodes - 1);
        assert_in_range(agree_within(&r, nodes - 1, 3000), 300, 1000);
        assert_true(sim_start(r.sim, nodes - 1));
        assert_in_range(agree_within(&r, nodes, 3000), 0, 1200);
        rig_end(&r);
    }
}

static void a_node_that_restarts_at_once_is_soon_agreed_on(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 9, 3);
    run_ms(&r, 3000);
    sim_crash(r.sim, 1);
    run_ms(&r, 50);
    assert_true(sim_start(r.sim, 1));
    run_ms(&r, 20);
    assert_in_range(agree_within(&r, 3, 3000), 0, 1200);
    rig_end(&r);
}

static void the_last_of_two_waits_five_seconds(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 5, 2);
    run_ms(&r, 3000);
    sim_crash(r.sim, 1);
    assert_in_range(agree_within(&r, 1, 8000), 5000, 6500);
    rig_end(&r);
}

/* A node whose clock is wrong decides nothing: what it stamps could outrank what was acknowledged. */
static void a_node_with_a_wrong_clock_is_no_home(void **state)
{
    (void)state;
    struct rig r;
    char home[8] = "";
    begin(&r, 6, 3);
    run_ms(&r, 3000);
    for (int round = 0; round < 3; round++) { /* right, ahead, right again */
        int at_home = 0;
        for (int i = 0; i < 20; i++) {
            want(&r, 200, i % 3, HTTP_M_GET, child_path(i, "/why"), NULL);
            struct span at = json_raw_member(str_get(&r.body), r.body.n, "home");
            assert_int_equal(at.n, 4);
            memcpy(home, at.p, at.n);
            at_home += strcmp(home, "\"n2\"") == 0;
        }
        if (round == 1)
            assert_int_equal(at_home, 0);
        else
            assert_in_range(at_home, 1, 19);
        sim_step_clock(r.sim, 1, round == 0 ? 400 : -400);
        run_ms(&r, 4000);
        assert_true(agree(&r, 3));
    }
    rig_end(&r);
}

/* ---- silence ---- */

static void idle_nodes_say_little(void **state)
{
    (void)state;
    struct rig r;
    const int s = 60, pairs = 6;
    begin(&r, 3, 3);
    children_start(&r, COUNTER);
    run_ms(&r, 10000);
    memset(&seen, 0, sizeof seen);
    run_ms(&r, s * 1000);
    assert_in_range(seen.pings, pairs * s * 8 / 10, pairs * s * 11 / 10); /* one a second */
    assert_in_range(seen.pulls, pairs * s * 3 / 2, pairs * s * 5 / 2);    /* one in 500 ms */
    assert_in_range(seen.mails, 0, s / 10);
    assert_in_range(seen.turns, s, 3 * s * 35); /* ten ticks a second, and what arrives */
    rig_end(&r);
}

static void a_node_alone_with_the_dead_says_little(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 3, 3);
    run_ms(&r, 3000);
    sim_crash(r.sim, 1);
    sim_crash(r.sim, 2);
    run_ms(&r, 10000);
    seen.turns = 0;
    run_ms(&r, 20000);
    assert_in_range(seen.turns, 20, 20 * 35);
    rig_end(&r);
}

/* ---- processes ---- */

static void a_killed_nodes_children_go_on_elsewhere(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 11, 3);
    run_ms(&r, 2000);
    children_start(&r, COUNTER);
    int victim = busy_node(&r);
    sim_crash(r.sim, victim);
    run_ms(&r, 2000);
    children_hold(&r, victim);
    rig_end(&r);
}

static void a_returning_node_starts_nothing_unasked(void **state)
{
    (void)state;
    struct rig r;
    int pids[CHILDREN];
    begin(&r, 12, 3);
    run_ms(&r, 2000);
    children_start(&r, COUNTER);
    int victim = busy_node(&r);
    sim_crash(r.sim, victim);
    run_ms(&r, 3000);
    for (int i = 0; i < CHILDREN; i++)
        pids[i] = child_at(&r, i).pid;
    assert_true(sim_start(r.sim, victim));
    run_ms(&r, 20000);
    children_hold(&r, victim);
    for (int i = 0; i < CHILDREN; i++)
        assert_int_equal(child_at(&r, i).pid, pids[i]);
    rig_end(&r);
}

static void a_node_back_at_once_runs_its_children_again(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 13, 3);
    run_ms(&r, 2000);
    children_start(&r, COUNTER);
    int victim = busy_node(&r);
    sim_crash(r.sim, victim);
    run_ms(&r, 60);
    assert_true(sim_start(r.sim, victim));
    run_ms(&r, 3000);
    children_hold(&r, -1);
    rig_end(&r);
}

static void a_lone_node_goes_on_after_its_own_crash(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 14, 1);
    run_ms(&r, 500);
    children_start(&r, COUNTER);
    sim_crash(r.sim, 0);
    run_ms(&r, 100);
    assert_true(sim_start(r.sim, 0));
    run_ms(&r, 1000);
    children_hold(&r, -1);
    rig_end(&r);
}

static int64_t handoffs_at(struct rig *r, int node)
{
    return db_i64(store_db(node_store(node_at(r, node))), "SELECT count(*) FROM handoff", -1);
}

static void a_stop_hands_over(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 15, 3);
    run_ms(&r, 2000);
    children_start(&r, COUNTER);
    int victim = busy_node(&r);
    sim_stop(r.sim, victim);
    run_ms(&r, 3000);
    assert_false(sim_node_up(sim_node(r.sim, victim)));
    children_hold(&r, victim);
    for (int i = 0; i < 3; i++)
        if (i != victim)
            assert_int_equal(handoffs_at(&r, i), 0); /* restored, and forgotten */
    rig_end(&r);
}

/* One that never answers begin_handoff goes too, with what it had checkpointed. */
static void a_stop_does_not_wait_for_the_mute(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 16, 3);
    run_ms(&r, 2000);
    children_start(&r, "{\"argv\":[\"counter\",\"--mute\"],\"restart\":\"permanent\",\"handoff_ms\":700}");
    int victim = busy_node(&r);
    sim_stop(r.sim, victim);
    run_ms(&r, 4000);
    assert_false(sim_node_up(sim_node(r.sim, victim)));
    children_hold(&r, victim);
    rig_end(&r);
}

/* Not even for one that ignores SIGTERM. */
static void a_stop_kills_the_stubborn(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 17, 3);
    run_ms(&r, 2000);
    children_start(&r,
                   "{\"argv\":[\"counter\",\"--stubborn\"],\"restart\":\"permanent\",\"shutdown_ms\":900}");
    int victim = busy_node(&r);
    sim_stop(r.sim, victim);
    run_ms(&r, 5000);
    assert_false(sim_node_up(sim_node(r.sim, victim)));
    children_hold(&r, victim);
    rig_end(&r);
}

static void every_node_may_stop_in_turn(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 18, 3);
    run_ms(&r, 2000);
    children_start(&r, COUNTER);
    for (int i = 0; i < 3; i++) {
        sim_stop(r.sim, i);
        run_ms(&r, 4000);
        assert_false(sim_node_up(sim_node(r.sim, i)));
        children_hold(&r, i);
        assert_true(sim_start(r.sim, i));
        run_ms(&r, 2000);
        children_hold(&r, -1);
    }
    rig_end(&r);
}

static void a_cluster_that_stops_as_a_whole_comes_back(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 19, 3);
    run_ms(&r, 2000);
    children_start(&r, COUNTER);
    for (int i = 0; i < 3; i++)
        sim_stop(r.sim, i);
    run_ms(&r, 25000);
    for (int i = 0; i < 3; i++)
        assert_false(sim_node_up(sim_node(r.sim, i)));
    for (int i = 0; i < 3; i++)
        assert_true(sim_start(r.sim, i));
    run_ms(&r, 5000);
    children_hold(&r, -1);
    rig_end(&r);
}

/* The disks that had it are gone: what the third node knows counts, and no number is given out again. */
static void all_copies_may_be_lost(void **state)
{
    (void)state;
    struct rig r;
    static const char late[] = "/v1/swarms/default/children/late";
    begin(&r, 20, 3);
    run_ms(&r, 2000);
    children_start(&r, COUNTER);
    run_ms(&r, 1000);
    sim_crash(r.sim, 2);
    run_ms(&r, 3000);
    want(&r, 201, 0, HTTP_M_PUT, late, COUNTER);
    want(&r, 200, 1, HTTP_M_POST, child_path(0, "/calls"), "{\"data\":7}");
    want(&r, 200, 0, HTTP_M_DELETE, child_path(1, ""), NULL);
    int64_t first = epoch_of(&r, 1, late);
    for (int i = 0; i < 2; i++) {
        sim_crash(r.sim, i);
        sim_wipe(r.sim, i);
    }
    assert_true(sim_start(r.sim, 2));
    run_ms(&r, 8000);
    children_hold(&r, -1); /* as the third node knew them: c0 without its 7, c1 not stopped */
    want(&r, 404, 2, HTTP_M_GET, late, NULL);
    for (int i = 0; i < 2; i++)
        assert_true(sim_start(r.sim, i));
    converge_within(&r, 20000);
    agree_within(&r, 3, 45000); /* at their address nobody refuses in the name of those who are gone */
    want(&r, 201, 0, HTTP_M_PUT, late, COUNTER);
    assert_true(epoch_of(&r, 0, late) > first);
    children_hold(&r, -1);
    digests_equal(&r);
    rig_end(&r);
}

static void a_cluster_that_is_killed_as_a_whole_comes_back(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 20, 3);
    run_ms(&r, 2000);
    children_start(&r, COUNTER);
    for (int i = 0; i < 3; i++)
        sim_crash(r.sim, i);
    run_ms(&r, 1000);
    for (int i = 0; i < 3; i++)
        assert_true(sim_start(r.sim, i));
    run_ms(&r, 5000);
    children_hold(&r, -1);
    rig_end(&r);
}

static void a_silent_nodes_children_wait_for_the_verdict(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 21, 3);
    run_ms(&r, 2000);
    children_start(&r, COUNTER);
    int victim = busy_node(&r);
    int lost = children_on(&r, victim);
    sim_cut_power(r.sim, victim);
    run_ms(&r, 42000); /* down_ms and the orphans' delay: nobody else may run them before */
    assert_int_equal(running(&r), CHILDREN - lost);
    run_ms(&r, 10000);
    children_hold(&r, victim);
    rig_end(&r);
}

/* Two of five fall silent at once: whoever sees that is perhaps the one that was cut off, and waits. */
static void the_brake_holds_back_a_mass_failure(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 31, 5);
    run_ms(&r, 3000);
    children_start(&r, "{\"argv\":[\"counter\"],\"restart\":\"permanent\",\"nodes\":[\"n4\",\"n5\",\"n1\"]}");
    int lost = children_on(&r, 3) + children_on(&r, 4);
    assert_true(lost > 0);
    sim_pause(r.sim, 3, 300 * SIM_SECOND);
    sim_pause(r.sim, 4, 300 * SIM_SECOND);
    run_ms(&r, 55000); /* down after 30 s; one silent node alone would be taken over 15 s later */
    assert_int_equal(running(&r), CHILDREN - lost);
    run_ms(&r, 15000); /* the brake is released 30 s after the verdict */
    assert_int_equal(running(&r), CHILDREN);
    children_hold(&r, -1);
    rig_end(&r);
}

/* Nobody waits for the verdict about who refuses connections: it is no opinion. */
static void the_brake_counts_no_proven_deaths(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 32, 5);
    run_ms(&r, 3000);
    children_start(&r, "{\"argv\":[\"counter\"],\"restart\":\"permanent\",\"nodes\":[\"n4\",\"n5\",\"n1\"]}");
    assert_true(children_on(&r, 3) + children_on(&r, 4) > 0);
    sim_crash(r.sim, 3);
    sim_crash(r.sim, 4);
    run_ms(&r, 5000);
    assert_int_equal(running(&r), CHILDREN);
    assert_int_equal(rows_number(&r, 0, "SELECT count(*) FROM log WHERE type = 'brake_pulled'"), 0);
    rig_end(&r);
}

static void nothing_starts_before_its_claim_has_a_copy(void **state)
{
    (void)state;
    struct rig r, each[CHILDREN] = {{0}};
    begin(&r, 26, 3);
    run_ms(&r, 3000);
    sim_pause(r.sim, 1, 2 * SIM_SECOND); /* shorter than suspect_ms: the view stays as it is */
    sim_pause(r.sim, 2, 2 * SIM_SECOND);
    for (int i = 0; i < CHILDREN; i++)
        ask_later(&r, &each[i], 0, HTTP_M_PUT, child_path(i, ""),
                  "{\"argv\":[\"counter\"],\"nodes\":[\"n1\"]}");
    run_ms(&r, 1900);
    assert_int_equal(running(&r), 0);
    run_ms(&r, 3000);
    assert_int_equal(running(&r), CHILDREN);
    for (int i = 0; i < CHILDREN; i++) {
        assert_int_equal(each[i].status, 201);
        str_fini(&each[i].body);
    }
    rig_end(&r);
}

static void nothing_starts_while_the_view_is_closed(void **state)
{
    (void)state;
    struct rig r, each[CHILDREN] = {{0}};
    begin(&r, 27, 3);
    run_ms(&r, 3000);
    children_start(&r, "{\"argv\":[\"counter\"],\"restart\":\"permanent\",\"nodes\":[\"n1\"]}");
    sim_pause(r.sim, 1, 4800 * SIM_SECOND / 1000); /* closed after 4 s, out of the view after 5 s */
    sim_pause(r.sim, 2, 4800 * SIM_SECOND / 1000);
    run_ms(&r, 4300);
    for (int i = 0; i < CHILDREN; i++)
        ask_later(&r, &each[i], 0, HTTP_M_POST, child_path(i, "/restart"), "");
    run_ms(&r, 300);
    assert_int_equal(running(&r), 0);
    run_ms(&r, 3000);
    children_hold(&r, -1);
    for (int i = 0; i < CHILDREN; i++) {
        assert_int_equal(each[i].status, 200);
        str_fini(&each[i].body);
    }
    rig_end(&r);
}

/* ---- answers ---- */

static void one_of_many_starts_wins(void **state)
{
    (void)state;
    struct rig r;
    struct rig each[9] = {{0}};
    int won = 0, lost = 0;
    begin(&r, 22, 3);
    run_ms(&r, 2000);
    for (int i = 0; i < 9; i++)
        ask_later(&r, &each[i], i % 3, HTTP_M_PUT, child_path(0, ""), COUNTER);
    run_ms(&r, 2000);
    for (int i = 0; i < 9; i++) {
        won += each[i].status == 201;
        lost += each[i].status == 409 && strstr(str_get(&each[i].body), "already_started") &&
                strstr(str_get(&each[i].body), "\"epoch\"");
        str_fini(&each[i].body);
    }
    assert_int_equal(won, 1);
    assert_int_equal(lost, 8);
    assert_int_equal(sim_running(r.sim, "default", "c0", NULL), 1);
    rig_end(&r);
}

static void a_crash_looper_is_given_up_alone(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 23, 3);
    run_ms(&r, 2000);
    children_start(&r, COUNTER);
    want(&r, 201, 0, HTTP_M_PUT, "/v1/swarms/default/children/loop",
         "{\"argv\":[\"false\"],\"restart\":\"permanent\",\"max_restarts\":3}");
    run_ms(&r, 5000);
    want(&r, 200, 1, HTTP_M_GET, "/v1/swarms/default/children/loop", NULL);
    assert_non_null(strstr(str_get(&r.body), "\"status\":\"failed\""));
    assert_non_null(strstr(str_get(&r.body), "\"reason\""));
    children_hold(&r, -1);
    for (int i = 0; i < CHILDREN; i++) {
        want(&r, 200, 2, HTTP_M_GET, child_path(i, ""), NULL);
        assert_non_null(strstr(str_get(&r.body), "\"restarts\":0"));
    }
    want(&r, 200, 2, HTTP_M_DELETE, "/v1/swarms/default/children/loop", NULL);
    want(&r, 404, 1, HTTP_M_GET, "/v1/swarms/default/children/loop", NULL);
    rig_end(&r);
}

/* A name that was given up stays given up when its node dies, and can still be ended. */
static void a_failed_child_of_a_dead_node_can_be_ended(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 24, 3);
    run_ms(&r, 2000);
    want(&r, 201, 0, HTTP_M_PUT, "/v1/swarms/default/children/loop",
         "{\"argv\":[\"false\"],\"restart\":\"permanent\",\"max_restarts\":2}");
    run_ms(&r, 5000);
    want(&r, 200, 0, HTTP_M_GET, "/v1/swarms/default/children/loop", NULL);
    const char *at = strstr(str_get(&r.body), "\"node\":\"n");
    assert_non_null(at);
    int owner = at[9] - '1', other = (owner + 1) % 3;
    sim_crash(r.sim, owner);
    run_ms(&r, 3000);
    want(&r, 200, other, HTTP_M_GET, "/v1/swarms/default/children/loop", NULL);
    assert_non_null(strstr(str_get(&r.body), "\"status\":\"failed\""));
    for (int i = 1; i < 3; i++)
        assert_int_equal(db_i64(store_db(node_store(node_at(&r, (owner + i) % 3))),
                                "SELECT count(*) FROM log WHERE type = 'child_started'", -1),
                         0);
    want(&r, 200, other, HTTP_M_DELETE, "/v1/swarms/default/children/loop", NULL);
    rig_end(&r);
}

static int64_t loop_number(struct rig *r, int node, const char *member)
{
    int64_t v = -1;
    want(r, 200, node, HTTP_M_GET, "/v1/swarms/default/children/loop", NULL);
    struct span raw = json_raw_member(str_get(&r->body), r->body.n, member);
    return raw.p && json_int(raw, &v) ? v : -1;
}

/* Its owner may not start it under a claim of another view: the home must claim it again. */
static void a_back_off_outlives_a_change_of_the_view(void **state)
{
    (void)state;
    for (uint64_t seed = 28; seed < 32; seed++) {
        struct rig r;
        begin(&r, seed, 3);
        run_ms(&r, 2000);
        want(&r, 201, 0, HTTP_M_PUT, "/v1/swarms/default/children/loop",
             "{\"argv\":[\"false\"],\"restart\":\"permanent\",\"max_restarts\":1000,\"backoff_min_ms\":3000,"
             "\"backoff_max_ms\":3000}");
        want(&r, 200, 0, HTTP_M_GET, "/v1/swarms/default/children/loop", NULL);
        const char *at = strstr(str_get(&r.body), "\"node\":\"n");
        assert_non_null(at);
        int owner = at[9] - '1', bystander = (owner + 1) % 3;
        run_ms(&r, 200); /* it has ended, and waits */
        sim_crash(r.sim, bystander);
        run_ms(&r, 500);
        int64_t before = loop_number(&r, owner, "restarts");
        run_ms(&r, 10000);
        assert_true(loop_number(&r, owner, "restarts") >= before + 2);
        rig_end(&r);
    }
}

static void what_was_written_is_seen_through_the_same_node(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 25, 3);
    run_ms(&r, 2000);
    for (int i = 0; i < 12; i++) {
        char path[100];
        snprintf(path, sizeof path, "/v1/swarms/default/names/a%d", i);
        want(&r, 201, i % 3, HTTP_M_PUT, path, "{\"address\":\"10.0.0.1:80\"}");
        want(&r, 200, i % 3, HTTP_M_GET, path, NULL);
        want(&r, 200, (i + 1) % 3, HTTP_M_DELETE, path, NULL);
        want(&r, 404, (i + 1) % 3, HTTP_M_GET, path, NULL);
    }
    rig_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cluster_opens_within_a_second),
        cmocka_unit_test(a_killed_node_leaves_the_view_within_a_second),
        cmocka_unit_test(a_node_that_restarts_at_once_is_soon_agreed_on),
        cmocka_unit_test(the_last_of_two_waits_five_seconds),
        cmocka_unit_test(a_node_with_a_wrong_clock_is_no_home),
        cmocka_unit_test(idle_nodes_say_little),
        cmocka_unit_test(a_node_alone_with_the_dead_says_little),
        cmocka_unit_test(a_killed_nodes_children_go_on_elsewhere),
        cmocka_unit_test(a_returning_node_starts_nothing_unasked),
        cmocka_unit_test(a_node_back_at_once_runs_its_children_again),
        cmocka_unit_test(a_lone_node_goes_on_after_its_own_crash),
        cmocka_unit_test(a_stop_hands_over),
        cmocka_unit_test(a_stop_does_not_wait_for_the_mute),
        cmocka_unit_test(a_stop_kills_the_stubborn),
        cmocka_unit_test(every_node_may_stop_in_turn),
        cmocka_unit_test(a_cluster_that_stops_as_a_whole_comes_back),
        cmocka_unit_test(all_copies_may_be_lost),
        cmocka_unit_test(a_cluster_that_is_killed_as_a_whole_comes_back),
        cmocka_unit_test(a_silent_nodes_children_wait_for_the_verdict),
        cmocka_unit_test(the_brake_holds_back_a_mass_failure),
        cmocka_unit_test(the_brake_counts_no_proven_deaths),
        cmocka_unit_test(nothing_starts_before_its_claim_has_a_copy),
        cmocka_unit_test(nothing_starts_while_the_view_is_closed),
        cmocka_unit_test(one_of_many_starts_wins),
        cmocka_unit_test(a_crash_looper_is_given_up_alone),
        cmocka_unit_test(a_failed_child_of_a_dead_node_can_be_ended),
        cmocka_unit_test(a_back_off_outlives_a_change_of_the_view),
        cmocka_unit_test(what_was_written_is_seen_through_the_same_node),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
