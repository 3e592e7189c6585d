/* Broken links that somebody can bridge: nobody leaves the view, starts go on, nothing runs twice or starts
 * anew. Real brains, links cut one way or both, for each shape of a network that two hops still connect.
 */
#include "sim/brain.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "node/brain.h"
#include "sim/worker.h"

#define NODES_MAX 7
#define CHILDREN  8
#define NOTE_MAX  200

struct rig {
    struct sim *sim;
    struct sim_brain brain; /* sim_brain_node, with requests counted */
    int nodes;
    int pings, relays, for_others;
    int starts, ended, ok, slow_ms; /* starts that were asked for; the longest took so long */
    int64_t closed_ms[NODES_MAX], longest_ms[NODES_MAX], since_ms[NODES_MAX];
    int unlike; /* tenths of a second in which views differed */
};

static struct rig *counting; /* one test at a time */

static bool count_request(void *brain, struct request *r)
{
    counting->pings += strcmp(r->path, "/v1/peer/ping") == 0;
    counting->relays += strcmp(r->path, RELAY_PATH) == 0;
    counting->for_others += r->query && strncmp(r->query, "for=", 4) == 0;
    return sim_brain_node.request(brain, r);
}

static struct node *node_at(struct rig *r, int i)
{
    return sim_brain_of(sim_node_brain(sim_node(r->sim, i)));
}

/* Closed views are added up, a millisecond at a time. */
static void watch(struct rig *r)
{
    uint64_t signature = 0;
    for (int i = 0; i < r->nodes; i++) {
        if (!sim_node_up(sim_node(r->sim, i)))
            continue;
        const struct node *n = node_at(r, i);
        r->closed_ms[i] += !n->view.open;
        r->since_ms[i] = n->view.open ? 0 : r->since_ms[i] + 1;
        if (r->since_ms[i] > r->longest_ms[i])
            r->longest_ms[i] = r->since_ms[i];
        if (signature && signature != n->view.signature)
            r->unlike++;
        signature = n->view.signature;
    }
}

static void run_ms(struct rig *r, int64_t ms)
{
    for (; ms > 0; ms--) {
        assert_true(sim_run(r->sim, sim_now_us(r->sim) + 1000));
        watch(r);
    }
}

static int64_t longest(const struct rig *r)
{
    int64_t ms = 0;
    for (int i = 0; i < r->nodes; i++)
        ms = r->longest_ms[i] > ms ? r->longest_ms[i] : ms;
    return ms;
}

static void forget(struct rig *r)
{
    memset(r->closed_ms, 0, sizeof r->closed_ms);
    memset(r->longest_ms, 0, sizeof r->longest_ms);
    memset(r->since_ms, 0, sizeof r->since_ms);
    r->unlike = r->starts = r->ended = r->ok = r->slow_ms = 0;
    r->pings = r->relays = r->for_others = 0;
}

/* ---- starts ---- */

struct start {
    struct rig *rig;
    int64_t at_us;
    int node;
    char path[80];
};

static void started(struct sim *s, void *arg, const struct sim_reply *reply)
{
    struct start *a = arg;
    int ms = (int)((sim_now_us(s) - a->at_us) / 1000);
    a->rig->ok += reply->status == 201;
    a->rig->ended++;
    if (ms > a->rig->slow_ms)
        a->rig->slow_ms = ms;
    if (reply->status != 201)
        print_message("# start of %s at node %d after %d ms: %d %s\n", a->path, a->node, ms, reply->status,
                      reply->body ? reply->body : "");
    free(a);
}

static void start(struct rig *r, int node, const char *name)
{
    struct start *a = mem_alloc(sizeof *a);
    *a = (struct start){.rig = r, .at_us = sim_now_us(r->sim), .node = node};
    snprintf(a->path, sizeof a->path, "/v1/swarms/default/children/%s", name);
    struct sim_ask ask = {.node = node,
                          .method = HTTP_M_PUT,
                          .path = a->path,
                          .body = "{\"argv\":[\"counter\"],\"restart\":\"permanent\"}",
                          .timeout_ms = 40000,
                          .done = started,
                          .drop = free,
                          .arg = a};
    r->starts++;
    sim_ask(r->sim, &ask);
}

static void pids_of(struct rig *r, int pids[CHILDREN])
{
    for (int i = 0; i < CHILDREN; i++) {
        char name[16];
        struct sim_process p = {0};
        snprintf(name, sizeof name, "c%d", i);
        assert_int_equal(sim_running(r->sim, "default", name, &p), 1);
        pids[i] = p.pid;
    }
}

/* For a while, with a start at each node in turn every 100 ms. */
static void work_s(struct rig *r, int s)
{
    static int number;
    for (int i = 0; i < 10 * s; i++) {
        char name[16];
        snprintf(name, sizeof name, "w%d", ++number);
        start(r, i % r->nodes, name);
        run_ms(r, 100);
    }
}

/* ---- the rig ---- */

static void rig_begin(struct rig *r, uint64_t seed, int nodes)
{
    struct sim_opts o = sim_opts_default(seed, nodes);
    o.loss_ppm = o.slow_commit_ppm = 0;
    o.unique_names = true;
    *r = (struct rig){.brain = sim_brain_node, .nodes = nodes};
    r->brain.request = count_request;
    counting = r;
    r->sim = sim_new(&o, &r->brain);
    for (int i = 0; i < nodes; i++)
        assert_true(sim_start(r->sim, i));
    run_ms(r, 3000);
    for (int i = 0; i < CHILDREN; i++) {
        char name[16];
        snprintf(name, sizeof name, "c%d", i);
        start(r, i % nodes, name);
        run_ms(r, 200);
    }
    assert_int_equal(r->ok, CHILDREN);
    run_ms(r, 2000);
    forget(r);
}

static void rig_end(struct rig *r)
{
    assert_false(sim_violated(r->sim));
    sim_free(r->sim);
}

static void cut(struct rig *r, int a, int b)
{
    sim_cut(r->sim, a, b);
    sim_cut(r->sim, b, a);
}

static const struct peer *peer_at(struct rig *r, int i, int of)
{
    const struct id id = sim_node_id(sim_node(r->sim, of));
    return peer_find(node_at(r, i), &id);
}

static bool is_via(struct rig *r, int i, int of)
{
    AUTOFREE char *text = way_text(node_at(r, i), peer_at(r, i, of));
    return strncmp(text, "via ", 4) == 0;
}

static void say(const struct rig *r, const char *what)
{
    print_message(
        "# %s, %d nodes: closed at most %lld ms in one piece, views differed %d ms, %d of %d starts, the "
        "slowest %d ms\n",
        what, r->nodes, (long long)longest(r), r->unlike, r->ok, r->starts, r->slow_ms);
}

/* The shape holds for 20 s: nothing closes for long, all starts succeed, and nothing that ran starts anew. */
static void holds(struct rig *r, const char *what, int64_t closed_ms, int slow_ms)
{
    int before[CHILDREN], after[CHILDREN];
    pids_of(r, before);
    work_s(r, 20);
    for (int i = 0; i < 100 && r->ended < r->starts; i++)
        run_ms(r, 100);
    say(r, what);
    pids_of(r, after);
    assert_memory_equal(before, after, sizeof before);
    assert_in_range(longest(r), 0, closed_ms);
    assert_int_equal(r->ok, r->starts);
    assert_in_range(r->slow_ms, 0, slow_ms);
}

/* After the heal everything goes directly again. */
static void heals(struct rig *r)
{
    sim_heal_all(r->sim);
    run_ms(r, 8000);
    for (int i = 0; i < r->nodes; i++)
        for (int k = 0; k < r->nodes; k++)
            if (i != k)
                assert_false(peer_at(r, i, k)->way.silent);
    forget(r);
    run_ms(r, 5000);
    assert_int_equal(r->relays, 0);
    assert_int_equal(longest(r), 0);
}

/* ---- shapes ---- */

static void nothing_is_relayed_while_nothing_is_broken(void **state)
{
    (void)state;
    struct rig r;
    rig_begin(&r, 1, 5);
    work_s(&r, 10);
    assert_int_equal(r.ok, r.starts);
    assert_int_equal(r.relays, 0);
    assert_int_equal(r.for_others, 0);
    rig_end(&r);
}

static void one_broken_link(void **state)
{
    (void)state;
    for (int nodes = 3; nodes <= 7; nodes += 2) {
        struct rig r;
        rig_begin(&r, (uint64_t)nodes, nodes);
        cut(&r, 0, 1);
        holds(&r, "one broken link", 2000, 3000);
        assert_true(is_via(&r, 0, 1) && is_via(&r, 1, 0) && !is_via(&r, 0, 2));
        heals(&r);
        rig_end(&r);
    }
}

static void one_way(void **state)
{
    (void)state;
    for (int nodes = 3; nodes <= 7; nodes += 2)
        for (int from = 0; from < 2; from++) {
            struct rig r;
            rig_begin(&r, (uint64_t)nodes, nodes);
            sim_cut(r.sim, from, 1 - from);
            holds(&r, from ? "answers are lost" : "requests are lost", 2000, 3000);
            heals(&r);
            rig_end(&r);
        }
}

/* Only the last node sees all others. */
static void a_star(void **state)
{
    (void)state;
    for (int nodes = 3; nodes <= 7; nodes += 2) {
        struct rig r;
        rig_begin(&r, (uint64_t)nodes, nodes);
        for (int i = 0; i < nodes - 1; i++)
            for (int k = 0; k < i; k++)
                cut(&r, i, k);
        holds(&r, "a star", 2000, 3000);
        heals(&r);
        rig_end(&r);
    }
}

/* Each node reaches its neighbours only: of five that is two hops at most. */
static void a_ring(void **state)
{
    (void)state;
    struct rig r;
    rig_begin(&r, 5, 5);
    for (int i = 0; i < 5; i++)
        cut(&r, i, (i + 2) % 5);
    holds(&r, "a ring", 2000, 3000);
    heals(&r);
    rig_end(&r);
}

static void flap(uint64_t seed, int nodes)
{
    struct rig r;
    int before[CHILDREN], after[CHILDREN];
    rig_begin(&r, seed, nodes);
    pids_of(&r, before);
    for (int i = 0; i < 15; i++) {
        cut(&r, 0, 1);
        work_s(&r, 1 + i % 4);
        sim_heal_all(r.sim);
        work_s(&r, 1 + i % 3);
    }
    run_ms(&r, 3000);
    say(&r, "a flapping link");
    pids_of(&r, after);
    assert_memory_equal(before, after, sizeof before);
    assert_int_equal(r.ok, r.starts);
    assert_in_range(r.slow_ms, 0, 3000);
    assert_in_range(longest(&r), 0, 2000);
    heals(&r);
    rig_end(&r);
}

static void a_flapping_link(void **state)
{
    (void)state;
    for (int nodes = 3; nodes <= 7; nodes += 2)
        flap((uint64_t)nodes, nodes);
    for (uint64_t seed = 100; seed < (getenv("FLAPS") ? 160u : 102u); seed++)
        flap(seed, 3);
}

/* Whatever of a start is lost with the link, forward or outcome, it ends as soon as there is a way again. */
static void a_link_breaks_while_a_start_is_under_way(void **state)
{
    (void)state;
    struct rig r;
    rig_begin(&r, 6, 3);
    for (int ms = 0; ms < 24; ms++) {
        for (int i = 0; i < 6; i++) {
            char name[32];
            snprintf(name, sizeof name, "u%d-%d", ms, i);
            start(&r, i % 2, name);
        }
        run_ms(&r, ms);
        cut(&r, 0, 1);
        run_ms(&r, 4000);
        assert_int_equal(r.ok, r.starts);
        sim_heal_all(r.sim);
        run_ms(&r, 5000);
    }
    say(&r, "a link that breaks in the midst");
    assert_in_range(r.slow_ms, 0, 3000);
    rig_end(&r);
}

/* A link that loses much: pings get through now and then. */
static void a_bad_link(void **state)
{
    (void)state;
    const struct sim_link bad = {{200, 600}, 300000, 0};
    struct rig r;
    rig_begin(&r, 3, 3);
    sim_link(r.sim, 0, 1, &bad);
    sim_link(r.sim, 1, 0, &bad);
    holds(&r, "a bad link", 2000, 10000); /* ten seeds: from 3 to 9 s */
    heals(&r);
    rig_end(&r);
}

/* ---- who relays ends ---- */

static int relayer_of(struct rig *r, int i, int of)
{
    const struct peer *p = peer_at(r, i, of);
    for (int k = 0; k < r->nodes; k++) {
        const struct id id = sim_node_id(sim_node(r->sim, k));
        if (id_equal(&id, &p->way.via))
            return k;
    }
    fail_msg("node %d has no way to %d", i, of);
    return -1;
}

static void another_node_takes_over(void **state)
{
    (void)state;
    for (int how = 0; how < 2; how++) { /* killed; paused */
        struct rig r;
        rig_begin(&r, 5, 5);
        cut(&r, 0, 1);
        run_ms(&r, 5000);
        assert_int_equal(longest(&r), 0);
        int by = relayer_of(&r, 0, 1);
        forget(&r);
        if (how == 0)
            sim_crash(r.sim, by);
        else
            sim_pause(r.sim, by, 3000 * 1000);
        run_ms(&r, 8000);
        say(&r, how ? "the relayer pauses" : "the relayer is killed");
        assert_in_range(longest(&r), 0, how ? 100 : 1500);
        assert_int_not_equal(relayer_of(&r, 0, 1), how ? -1 : by);
        rig_end(&r);
    }
}

/* ---- verdicts ---- */

static int64_t down_after_ms(struct rig *r, int i, int of, int64_t within_ms)
{
    int64_t ms = 0;
    for (; !peer_at(r, i, of)->down && ms < within_ms; ms += 10)
        run_ms(r, 10);
    return ms;
}

/* All who could say something have: a silent node is down when its time is over. */
static void a_silent_node_goes_down_in_time(void **state)
{
    (void)state;
    for (int nodes = 2; nodes <= 7; nodes += nodes == 2 ? 1 : 2) {
        struct rig r;
        rig_begin(&r, (uint64_t)nodes, nodes);
        sim_cut_power(r.sim, 1);
        assert_in_range(down_after_ms(&r, 0, 1, 40000), 29000, 31500);
        assert_false(peer_at(&r, 0, 1)->proven);
        say(&r, "a silent node");
        rig_end(&r);
    }
}

static bool speechless_request(void *brain, struct request *r)
{
    if (strcmp(r->path, RELAY_PATH) == 0)
        mem_replace(&r->path, "/v1/peer/nothing"); /* of an older version */
    return sim_brain_node.request(brain, r);
}

/* Somebody is there who could have an opinion, and gives none: the verdict waits, and not for ever. */
static void a_verdict_of_silence_waits_for_a_second_opinion(void **state)
{
    (void)state;
    struct rig r;
    rig_begin(&r, 3, 3);
    r.brain.request = speechless_request;
    sim_cut_power(r.sim, 1);
    assert_in_range(down_after_ms(&r, 0, 1, 70000), 59000, 61500);
    rig_end(&r);
}

/* What a relayer was told by a RST proves it to the relayer only. */
static void a_refusal_that_a_relayer_met_is_no_proof(void **state)
{
    (void)state;
    struct rig r;
    rig_begin(&r, 3, 3);
    cut(&r, 0, 1);
    run_ms(&r, 5000);
    sim_crash(r.sim, 1);
    assert_in_range(down_after_ms(&r, 2, 1, 40000), 300, 2500);
    assert_true(peer_at(&r, 2, 1)->proven);
    assert_in_range(down_after_ms(&r, 0, 1, 40000), 25000, 32000);
    assert_false(peer_at(&r, 0, 1)->proven);
    rig_end(&r);
}

/* A run that begins anew behind a broken link is met through others, and soon. */
static void a_node_returns_behind_a_broken_link(void **state)
{
    (void)state;
    struct rig r;
    rig_begin(&r, 3, 3);
    cut(&r, 0, 1);
    run_ms(&r, 5000);
    for (int how = 0; how < 2; how++) {
        if (how == 0)
            sim_crash(r.sim, 1);
        else
            sim_cut_power(r.sim, 1);
        run_ms(&r, 700);
        forget(&r);
        assert_true(sim_start(r.sim, 1));
        run_ms(&r, 10000);
        say(&r,
            how ? "back after a power cut, behind a broken link" : "back after a kill, behind a broken link");
        assert_in_range(longest(&r), 0, 4000);
        assert_true(is_via(&r, 0, 1) && is_via(&r, 1, 0));
    }
    rig_end(&r);
}

/* Nobody waits for answers of a run that is over. */
static void a_node_that_lost_its_power_returns(void **state)
{
    (void)state;
    int64_t worst = 0;
    for (int seed = 1; seed <= 10; seed++) {
        struct rig r;
        rig_begin(&r, (uint64_t)seed, 3);
        sim_cut_power(r.sim, 1);
        run_ms(&r, 100 * seed);
        forget(&r);
        assert_true(sim_start(r.sim, 1));
        run_ms(&r, 8000);
        worst = longest(&r) > worst ? longest(&r) : worst;
        rig_end(&r);
    }
    print_message("# back after a power cut: closed for at most %lld ms\n", (long long)worst);
    assert_in_range(worst, 0, 2500);
}

/* ---- three hops are a partition ---- */

static void a_line_of_four_is_no_whole(void **state)
{
    (void)state;
    struct rig r;
    rig_begin(&r, 4, 4);
    cut(&r, 0, 2);
    cut(&r, 0, 3);
    cut(&r, 1, 3);
    run_ms(&r, 40000);
    assert_true(is_via(&r, 0, 2) && is_via(&r, 1, 3));
    assert_false(is_via(&r, 0, 3));
    assert_true(peer_at(&r, 0, 3)->down);
    heals(&r);
    rig_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_relayed_while_nothing_is_broken),
        cmocka_unit_test(one_broken_link),
        cmocka_unit_test(one_way),
        cmocka_unit_test(a_star),
        cmocka_unit_test(a_ring),
        cmocka_unit_test(a_flapping_link),
        cmocka_unit_test(a_link_breaks_while_a_start_is_under_way),
        cmocka_unit_test(a_bad_link),
        cmocka_unit_test(another_node_takes_over),
        cmocka_unit_test(a_silent_node_goes_down_in_time),
        cmocka_unit_test(a_verdict_of_silence_waits_for_a_second_opinion),
        cmocka_unit_test(a_refusal_that_a_relayer_met_is_no_proof),
        cmocka_unit_test(a_node_returns_behind_a_broken_link),
        cmocka_unit_test(a_node_that_lost_its_power_returns),
        cmocka_unit_test(a_line_of_four_is_no_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
