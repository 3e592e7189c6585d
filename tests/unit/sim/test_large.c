/* Clusters beyond the mesh, of real brains: what an idle node says, how soon all agree, how fast a row
 * spreads.
 *
 * SKEP_LARGE="16 32 50" runs those sizes instead and prints what was measured; docs/benchmarks.md has it from
 * there.
 */
#include "rig.h"

#include <stdlib.h>

#define IDLE_S 10
#define ROWS   10

static struct {
    int64_t pings, pulls, mails;
} said;

static bool count_request(void *brain, struct request *r)
{
    said.pings += strcmp(r->path, "/v1/peer/ping") == 0;
    said.pulls += strcmp(r->path, "/v1/peer/pull") == 0;
    said.mails += strcmp(r->path, "/v1/peer/mail") == 0;
    return sim_brain_node.request(brain, r);
}

struct measured {
    double pings, pulls, mails;      /* that come to an idle node, a second */
    int64_t open_ms, again_ms;       /* until all agree: after the start, after a kill */
    double again_pings, again_pulls; /* that came to a node until then */
    int64_t spread_ms, longest_ms;   /* a row to all: median, longest */
};

static int64_t agreed_ms(struct rig *r, int want)
{
    int64_t from = sim_now_us(r->sim);
    agree_within(r, want, 30000);
    return (sim_now_us(r->sim) - from) / 1000;
}

static bool all_have(struct rig *r, int64_t actor, int64_t hlc)
{
    for (int i = 0; i < sim_nodes(r->sim); i++)
        if (!vv_covers(&node_at(r, i)->vv, actor, hlc))
            return false;
    return true;
}

static int64_t spread_ms(struct rig *r, int number)
{
    AUTOFREE char *path = mem_printf("/v1/swarms/default/names/spread-%d", number);
    int writer = number % sim_nodes(r->sim);
    want(r, 201, writer, HTTP_M_PUT, path, "{\"address\":\"10.0.0.1:1\"}");
    int64_t from = sim_now_us(r->sim), actors[64], stamps[64];
    for (int i = 0; i < sim_nodes(r->sim); i++) {
        actors[i] = node_at(r, i)->actor;
        stamps[i] = vv_get(&node_at(r, i)->vv, actors[i]);
    }
    for (int i = 0; i < sim_nodes(r->sim); i++)
        while (!all_have(r, actors[i], stamps[i])) {
            run_ms(r, 1);
            assert_true(sim_now_us(r->sim) - from < 10 * SIM_SECOND);
        }
    return (sim_now_us(r->sim) - from) / 1000;
}

static int ascending(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void spread(struct rig *r, struct measured *m)
{
    int64_t ms[ROWS];
    for (int i = 0; i < ROWS; i++) {
        ms[i] = spread_ms(r, i);
        run_ms(r, 1000 + 77 * i);
    }
    qsort(ms, ROWS, sizeof *ms, ascending);
    m->spread_ms = ms[ROWS / 2];
    m->longest_ms = ms[ROWS - 1];
}

static struct measured measure(int nodes)
{
    struct measured m = {0};
    struct sim_opts o = sim_opts_default(3, nodes);
    struct sim_brain brain = sim_brain_node;
    brain.request = count_request;
    struct rig r = {.sim = sim_new(&o, &brain)};
    for (int i = 0; i < nodes; i++)
        assert_true(sim_start(r.sim, i));
    m.open_ms = agreed_ms(&r, nodes);
    run_ms(&r, 5000);
    memset(&said, 0, sizeof said);
    run_ms(&r, IDLE_S * 1000);
    m.pings = (double)said.pings / nodes / IDLE_S;
    m.pulls = (double)said.pulls / nodes / IDLE_S;
    m.mails = (double)said.mails / nodes / IDLE_S;
    assert_true(agree(&r, nodes));
    spread(&r, &m);
    memset(&said, 0, sizeof said);
    sim_crash(r.sim, nodes / 2);
    m.again_ms = agreed_ms(&r, nodes - 1);
    m.again_pings = (double)said.pings / nodes;
    m.again_pulls = (double)said.pulls / nodes;
    rig_end(&r);
    return m;
}

static void print(int nodes, const struct measured *m)
{
    printf("%d nodes: idle %.1f pings/s, %.1f pulls/s, %.1f mails/s a node; open after %lld ms, after a kill "
           "again after %lld ms with %.0f pings and %.0f pulls a node; a row everywhere after %lld ms, at "
           "most %lld\n",
           nodes, m->pings, m->pulls, m->mails, (long long)m->open_ms, (long long)m->again_ms, m->again_pings,
           m->again_pulls, (long long)m->spread_ms, (long long)m->longest_ms);
}

static void check(int nodes)
{
    struct measured m = measure(nodes);
    print(nodes, &m);
    assert_true(m.open_ms < 3000);
    assert_true(m.again_ms < 1500);
    assert_true(m.spread_ms < (nodes <= 24 ? 100 : 800) && m.longest_ms < 2500);
    if (nodes <= 16) {
        assert_true(m.pulls > 1.5 * (nodes - 1));
        return;
    }
    assert_true(m.pulls < 8 && m.mails < 1);
    assert_true(m.pings < nodes - 1);
    assert_true(m.pings > 0.4 * (nodes - 1)); /* each of the view, or it could not stay open */
}

static void test_sizes(void **state)
{
    (void)state;
    const char *sizes = getenv("SKEP_LARGE");
    AUTOFREE char *copy = mem_dup(sizes ? sizes : "6 17 24");
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
        check(atoi(word));
}

/* Three have much; two more come at once. Each hears it from one of the others, not from every one of them.
 */
static void test_who_missed_much_asks_one_for_it(void **state)
{
    (void)state;
    struct sim_opts o = sim_opts_default(5, 5);
    struct rig r = {.sim = sim_new(&o, &sim_brain_node)};
    for (int i = 0; i < 3; i++)
        assert_true(sim_start(r.sim, i));
    agree_within(&r, 3, 10000);
    for (int i = 0; i < 1500; i++) {
        AUTOFREE char *path = mem_printf("/v1/swarms/default/names/n%d", i);
        want(&r, 201, i % 3, HTTP_M_PUT, path, "{\"address\":\"10.0.0.1:1\"}");
    }
    assert_true(sim_start(r.sim, 3) && sim_start(r.sim, 4));
    agree_within(&r, 5, 20000);
    for (int i = 3; i < 5; i++) {
        assert_in_range(node_at(&r, i)->counters.rows_merged, 1500, 3000); /* a page of each comes at first */
    }
    rig_end(&r);
}

/* Three of five within 300 ms: the others hear of one event, and are whole again in little more than its
 * window. */
static void test_three_at_once_are_one_event(void **state)
{
    (void)state;
    struct sim_opts o = sim_opts_default(6, 5);
    struct rig r;
    rig_begin_opts(&r, &o);
    agree_within(&r, 5, 10000);
    run_ms(&r, 3000);
    for (int i = 1; i < 4; i++) {
        sim_crash(r.sim, i);
        run_ms(&r, 100);
    }
    assert_true(agreed_ms(&r, 2) < 1500);
    run_ms(&r, 3000);
    for (int i = 0; i < 5; i += 4) {
        const char *leave =
            "SELECT count(*) FROM log WHERE type = 'pre_redistribution' AND data ->> 'event' = "
            "'node_leave'";
        const char *of_three = "SELECT json_array_length(data, '$.nodes') FROM log WHERE data ->> 'event' = "
                               "'node_leave'";
        assert_int_equal(rows_number(&r, i, leave), 1);
        assert_int_equal(rows_number(&r, i, of_three), 3);
    }
    rig_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sizes),
                                       cmocka_unit_test(test_who_missed_much_asks_one_for_it),
                                       cmocka_unit_test(test_three_at_once_are_one_event)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
