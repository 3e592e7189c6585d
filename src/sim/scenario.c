/* The first scenario. It decides when which node dies and returns; what a death means is the simulator's,
 * what must be true the load's.
 */
#include "sim/scenario.h"

#include "base/ensure.h"

#define WARM_UP_US (5 * SIM_SECOND) /* before the first operation */
#define FAULT_MIN  (4 * SIM_SECOND) /* between two faults */
#define FAULT_MAX  (20 * SIM_SECOND)
#define RETURN_MIN (1 * SIM_SECOND) /* until a node that is down comes back */
#define RETURN_MAX (10 * SIM_SECOND)
#define PAUSE_MAX  (8 * SIM_SECOND)
#define ANSWERS_US (50 * SIM_SECOND) /* every operation is answered within */
#define AUDIT_US   (2 * SIM_SECOND)
#define BURST_US   (SIM_SECOND / 50) /* operations take about so long */

const char *const scenario_fault_words[FAULT_KINDS] = {"kill", "stop", "power", "pause"};

struct run {
    const struct scenario *c;
    struct sim *sim;
    struct load *load;
    int64_t calm_us; /* no faults from here on */
    bool returning[SIM_NODES_MAX];
};

/* A node that will be started. */
struct comeback {
    struct run *run;
    int node;
};

struct scenario scenario_default(uint64_t seed, int nodes)
{
    return (struct scenario){.sim = sim_opts_default(seed, nodes),
                             .load = LOAD_OPTS_DEFAULT,
                             .for_us = 120 * SIM_SECOND,
                             .faults = FAULT_KILL | FAULT_STOP};
}

static void start_fire(struct sim *s, void *arg)
{
    AUTOFREE struct comeback *c = arg;
    c->run->returning[c->node] = false;
    sim_start(s, c->node);
}

static void start_plan(struct run *r, int node, struct sim_range after)
{
    struct comeback *c = mem_alloc(sizeof *c);
    *c = (struct comeback){r, node};
    r->returning[node] = true;
    sim_at(r->sim, sim_now_us(r->sim) + sim_draw(sim_prng(r->sim), after), start_fire, c, free);
}

/* Whatever took a node down, somebody starts it again. */
static void watch_fire(struct sim *s, void *arg)
{
    struct run *r = arg;
    for (int i = 0; i < sim_nodes(s); i++)
        if (!sim_node_up(sim_node(s, i)) && !r->returning[i])
            start_plan(r, i, (struct sim_range){RETURN_MIN, RETURN_MAX});
    sim_at(s, sim_now_us(s) + SIM_SECOND / 2, watch_fire, r, NULL);
}

/* Whether it is not there: down, or paused. */
static bool away(struct sim *s, int node)
{
    const struct sim_node *n = sim_node(s, node);
    return !sim_node_up(n) || sim_node_paused(n);
}

static int away_count(struct sim *s)
{
    int n = 0;
    for (int i = 0; i < sim_nodes(s); i++)
        n += away(s, i);
    return n;
}

/* A minority may be away at a time; of one or two nodes, one. */
static int away_max(struct sim *s)
{
    int minority = (sim_nodes(s) - 1) / 2;
    return minority > 0 ? minority : 1;
}

/* One of those that are wanted; kills three times as often as any other. */
static enum scenario_fault draw_fault(struct prng *p, unsigned faults)
{
    for (;;) {
        uint64_t dice = prng_below(p, FAULT_KINDS + 2);
        enum scenario_fault fault = (enum scenario_fault)(1u << (dice < FAULT_KINDS ? dice : 0));
        if (faults & fault)
            return fault;
    }
}

static void strike(struct sim *s, int node, enum scenario_fault fault)
{
    switch (fault) {
    case FAULT_KILL:
        sim_crash(s, node);
        break;
    case FAULT_STOP:
        sim_stop(s, node);
        break;
    case FAULT_POWER:
        sim_cut_power(s, node);
        break;
    case FAULT_PAUSE:
        sim_pause(s, node, sim_draw(sim_prng(s), (struct sim_range){SIM_SECOND / 2, PAUSE_MAX}));
        break;
    }
}

/* A fault on its way. */
struct blow {
    struct run *run;
    int node;
    enum scenario_fault fault;
};

static void blow_fire(struct sim *s, void *arg)
{
    AUTOFREE struct blow *b = arg;
    if (away_count(s) < away_max(s) && !away(s, b->node))
        strike(s, b->node, b->fault);
}

/* Half of the faults strike while something is going on: those find what a promise rests on. */
static void fault_fire(struct sim *s, void *arg)
{
    struct run *r = arg;
    struct prng *p = sim_prng(s);
    if (sim_now_us(s) >= r->calm_us)
        return;
    struct blow *b = mem_alloc(sizeof *b);
    *b = (struct blow){r, (int)prng_below(p, (uint64_t)sim_nodes(s)), draw_fault(p, r->c->faults)};
    int64_t at_us = sim_now_us(s);
    if (prng_below(p, 2)) {
        load_burst(r->load);
        at_us += sim_draw(p, (struct sim_range){0, BURST_US});
    }
    sim_at(s, at_us, blow_fire, b, free);
    sim_at(s, sim_now_us(s) + sim_draw(p, (struct sim_range){FAULT_MIN, FAULT_MAX}), fault_fire, r, NULL);
}

/* Load and faults, then quiet, then questions. */
static void play(struct run *r)
{
    struct sim *s = r->sim;
    int64_t end = r->c->for_us;
    if (!sim_run(s, WARM_UP_US < end ? WARM_UP_US : end))
        return;
    load_begin(r->load, r->calm_us);
    if (r->c->faults)
        sim_at(s, sim_now_us(s) + sim_draw(sim_prng(s), (struct sim_range){FAULT_MIN, FAULT_MAX}), fault_fire,
               r, NULL);
    if (!sim_run(s, end))
        return;
    for (int64_t limit = end + ANSWERS_US; load_open(r->load) && sim_now_us(s) < limit;)
        if (!sim_run(s, sim_now_us(s) + SIM_SECOND / 10))
            return;
    ensure(load_open(r->load) == 0, "clients have limits, but %d still wait", load_open(r->load));
    load_audit(r->load);
    if (sim_run(s, sim_now_us(s) + AUDIT_US) && !sim_check_all(s))
        sim_violation(s, "not converged");
}

static bool all_up(struct sim *s, void *ctx UNUSED, struct str *why)
{
    int n = away_count(s);
    if (n)
        str_printf(why, "%d nodes are down or paused", n);
    return n == 0;
}

bool scenario_run(const struct scenario *c, const struct sim_brain *brain)
{
    struct run r = {.c = c, .sim = sim_new(&c->sim, brain)};
    int64_t quiet = c->for_us / 4 > 30 * SIM_SECOND ? c->for_us / 4 : 30 * SIM_SECOND;
    r.calm_us = c->for_us - (quiet < c->for_us / 2 ? quiet : c->for_us / 2);
    sim_check_add(r.sim, &(struct sim_check){"every node is up", false, all_up, NULL});
    sim_check_add(r.sim, &(struct sim_check){"all nodes hold the same", false, sim_digests_equal, NULL});
    r.load = load_new(r.sim, &c->load);
    if (c->prepare)
        c->prepare(r.sim, c->ctx);
    for (int i = 0; i < sim_nodes(r.sim); i++)
        start_plan(&r, i, (struct sim_range){0, SIM_SECOND / 2});
    sim_at(r.sim, SIM_SECOND, watch_fire, &r, NULL);
    play(&r);
    load_summary(r.load);
    bool good = !sim_violated(r.sim);
    sim_note(r.sim, NULL, "seed %llu: %s, digest %016llx", (unsigned long long)c->sim.seed,
             good ? "ok" : "FAILED", (unsigned long long)sim_digest(r.sim));
    sim_free(r.sim);
    load_free(r.load);
    return good;
}
