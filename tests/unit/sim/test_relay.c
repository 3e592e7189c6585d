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
    int starts, ok, slow_ms, status; /* starts that were asked for; the longest took so long */
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
    r->unlike = r->starts = r->ok = r->slow_ms = 0;
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
    a->rig->status = reply->status;
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
    run_ms(r, 3000);
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

static void a_flapping_link(void **state)
{
    (void)state;
    for (int nodes = 3; nodes <= 7; nodes += 2) {
        struct rig r;
        int before[CHILDREN], after[CHILDREN];
        rig_begin(&r, (uint64_t)nodes, nodes);
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
        assert_in_range(longest(&r), 0, 2000);
        heals(&r);
        rig_end(&r);
    }
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
