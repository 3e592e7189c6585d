/* The one scenario. It decides when clients, faults and questions begin and end; which faults is the
 * nemesis's, what they do the simulator's, what must be true the load's.
 */
#include "sim/scenario.h"

#include "base/ensure.h"

#define WARM_UP_US (5 * SIM_SECOND) /* before the first operation */
#define SPARES     6                /* nodes that may join, or be cloned */
/* where nodes are away for half a minute and more, that must be longer than tombstones are kept */
#define TOMBSTONE_MIN_MS 5000
#define TOMBSTONE_MAX_MS 20000
#define ANSWERS_US       (50 * SIM_SECOND) /* every operation is answered within */
#define AUDIT_US         (2 * SIM_SECOND)
#define OWED_US          (70 * SIM_SECOND) /* a hook that failed pauses for a minute at most */

struct run {
    const struct scenario *c;
    struct sim *sim;
    struct load *load;
    struct nemesis *nemesis;
    int64_t calm_us; /* no faults from here on */
};

struct scenario scenario_default(uint64_t seed, int nodes)
{
    return (struct scenario){.sim = sim_opts_default(seed, nodes),
                             .load = LOAD_OPTS_DEFAULT,
                             .for_us = 120 * SIM_SECOND,
                             .faults = NEMESIS_BIT(NEMESIS_KILL) | NEMESIS_BIT(NEMESIS_STOP)};
}

static void burst(void *ctx)
{
    load_burst(ctx);
}

/* A node writes of itself now and then (what has had its time goes): that may be on its way just now. */
static bool settle(struct sim *s)
{
    AUTOSTR struct str why = STR_INIT;
    for (int64_t limit = sim_now_us(s) + SIM_SECOND; sim_now_us(s) < limit;)
        if (sim_digests_equal(s, NULL, &why) || !sim_run(s, sim_now_us(s) + SIM_SECOND / 20))
            break;
    return !sim_violated(s);
}

/* Load and faults, then quiet, then questions. */
static void play(struct run *r)
{
    struct sim *s = r->sim;
    int64_t end = r->c->for_us;
    if (!sim_run(s, WARM_UP_US < end ? WARM_UP_US : end))
        return;
    load_begin(r->load, r->calm_us);
    nemesis_begin(r->nemesis);
    if (!sim_run(s, end))
        return;
    for (int64_t limit = end + ANSWERS_US; load_open(r->load) && sim_now_us(s) < limit;)
        if (!sim_run(s, sim_now_us(s) + SIM_SECOND / 10))
            return;
    ensure(load_open(r->load) == 0, "clients have limits, but %d still wait", load_open(r->load));
    for (int64_t limit = sim_now_us(s) + OWED_US; load_owed(r->load) && sim_now_us(s) < limit;)
        if (!sim_run(s, sim_now_us(s) + SIM_SECOND))
            return;
    load_audit(r->load);
    if (sim_run(s, sim_now_us(s) + AUDIT_US) && settle(s) && !sim_check_all(s))
        sim_violation(s, "not converged");
}

static bool all_up(struct sim *s, void *ctx UNUSED, struct str *why)
{
    int away = 0;
    for (int i = 0; i < sim_nodes(s); i++) {
        const struct sim_node *n = sim_node(s, i);
        away += !sim_node_retired(n) && (!sim_node_up(n) || sim_node_paused(n));
    }
    if (away)
        str_printf(why, "%d nodes are down or paused", away);
    return away == 0;
}

bool scenario_run(const struct scenario *c, const struct sim_brain *brain)
{
    struct sim_opts o = c->sim;
    if (nemesis_lot(c->faults, o.seed) & NEMESIS_BIT(NEMESIS_AWAY) && !o.tombstone_max_ms) {
        o.tombstone_min_ms = TOMBSTONE_MIN_MS;
        o.tombstone_max_ms = TOMBSTONE_MAX_MS;
    }
    o.spare = o.spare + o.nodes + SPARES < SIM_NODES_MAX ? o.spare + SPARES : 0;
    struct run r = {.c = c, .sim = sim_new(&o, brain)};
    int64_t quiet = c->for_us / 4 > 30 * SIM_SECOND ? c->for_us / 4 : 30 * SIM_SECOND;
    r.calm_us = c->for_us - (quiet < c->for_us / 2 ? quiet : c->for_us / 2);
    sim_check_add(r.sim, &(struct sim_check){"every node is up", false, all_up, NULL});
    sim_check_add(r.sim, &(struct sim_check){"all nodes hold the same", false, sim_digests_equal, NULL});
    r.load = load_new(r.sim, &c->load);
    if (c->prepare)
        c->prepare(r.sim, c->ctx);
    struct nemesis_opts faults = {
        .seed = c->sim.seed, .kinds = c->faults, .calm_us = r.calm_us, .burst = burst, .ctx = r.load};
    r.nemesis = nemesis_new(r.sim, &faults);
    play(&r);
    load_summary(r.load);
    bool good = !sim_violated(r.sim);
    sim_note(r.sim, NULL, "seed %llu: %s, digest %016llx", (unsigned long long)c->sim.seed,
             good ? "ok" : "FAILED", (unsigned long long)sim_digest(r.sim));
    sim_free(r.sim);
    load_free(r.load);
    nemesis_free(r.nemesis);
    return good;
}
