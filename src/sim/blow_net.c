/* Faults of the network: links that are cut, one way or both, or slow, and connections that break. */
#include "sim/blow.h"

#define PATIENCE_US (3 * SIM_SECOND) /* a silence so short changes no view (0.8 of suspect_ms is 4 s) */
#define LEAD_US     (3 * SIM_SECOND) /* what was answered so shortly before a partition is not everywhere yet */

enum way { BOTH_WAYS, THERE, BACK };

static void link_cut(struct nemesis *n, int a, int b, enum way way, bool reject)
{
    void (*const cut)(struct sim * s, int from, int to) = reject ? sim_reject : sim_cut;
    if (way != BACK)
        cut(n->sim, a, b);
    if (way != THERE)
        cut(n->sim, b, a);
}

static void cuts_heal(struct nemesis *n)
{
    for (int a = 0; a < sim_nodes(n->sim); a++)
        for (int b = 0; b < sim_nodes(n->sim); b++)
            sim_heal(n->sim, a, b);
    n->cuts = 0;
}

static void short_end(struct nemesis *n, int node)
{
    if (n->cuts)
        cuts_heal(n);
    n->weak[node]--;
}

static int other_than(struct nemesis *n, int node)
{
    return (node + 1 + (int)nemesis_draw(n, 0, sim_nodes(n->sim) - 2)) % sim_nodes(n->sim);
}

/* A node from all others, or from one. */
static void cut_off(struct nemesis *n, int node, enum way way, bool reject)
{
    int only = nemesis_toss(n, 3) ? other_than(n, node) : -1;
    for (int i = 0; i < sim_nodes(n->sim); i++)
        if (i != node && (only < 0 || i == only))
            link_cut(n, node, i, way, reject);
    n->cuts = 1;
}

/* Two sides of any size, neither empty: node is on one, another one on the other. */
static void divide(struct nemesis *n, int node, enum way way, bool reject)
{
    int other = other_than(n, node);
    bool here[SIM_NODES_MAX];
    for (int i = 0; i < sim_nodes(n->sim); i++)
        here[i] = i == node || (i != other && nemesis_toss(n, 2));
    for (int a = 0; a < sim_nodes(n->sim); a++)
        for (int b = 0; b < sim_nodes(n->sim); b++)
            if (here[a] && !here[b])
                link_cut(n, a, b, way, reject);
    n->cuts = 1;
}

static enum way way_draw(struct nemesis *n, bool oneway)
{
    return !oneway ? BOTH_WAYS : nemesis_toss(n, 2) ? THERE : BACK;
}

static void split_end(struct nemesis *n, int node UNUSED)
{
    cuts_heal(n);
}

static void split(struct nemesis *n, int node, bool oneway, bool reject)
{
    enum way way = way_draw(n, oneway);
    if (nemesis_toss(n, 2))
        divide(n, node, way, reject);
    else
        cut_off(n, node, way, reject);
    nemesis_within_s(n, 6, 45, split_end, node);
}

static void split_both(struct nemesis *n, int node)
{
    split(n, node, false, false);
}

static void split_oneway(struct nemesis *n, int node)
{
    split(n, node, true, false);
}

static void split_reject(struct nemesis *n, int node)
{
    split(n, node, false, true);
}

/* Promises are off before the links are: what was answered a moment ago has not reached everybody. */
static bool split_plan(struct nemesis *n, int node, void (*fn)(struct nemesis *n, int node))
{
    nemesis_suspend(n, SIM_ONE_PROCESS | SIM_ANSWERS);
    n->cuts = 1;
    nemesis_later(n, LEAD_US, fn, node);
    return true;
}

static bool cut_shortly(struct nemesis *n, int node, bool oneway)
{
    if (n->cuts || !nemesis_spare(n, node))
        return false;
    cut_off(n, node, way_draw(n, oneway), false);
    n->weak[node]++;
    nemesis_later(n, nemesis_span(n, SIM_SECOND / 5, PATIENCE_US), short_end, node);
    return true;
}

/* Whether a partition may last; a short one strikes whenever a node may be away. */
static bool may_last(struct nemesis *n)
{
    int64_t now = sim_now_us(n->sim);
    return nemesis_toss(n, 2) && !n->cuts && !n->suspended && now - n->disturbed_us > LEAD_US &&
           now + LEAD_US < n->opts.calm_us && sim_nodes(n->sim) > 1;
}

bool strike_partition(struct nemesis *n, int node)
{
    return may_last(n) ? split_plan(n, node, split_both) : cut_shortly(n, node, false);
}

bool strike_oneway(struct nemesis *n, int node)
{
    return may_last(n) ? split_plan(n, node, split_oneway) : cut_shortly(n, node, true);
}

bool strike_reject(struct nemesis *n, int node)
{
    return !n->cuts && split_plan(n, node, split_reject);
}

static void links_as_always(struct nemesis *n, int node)
{
    for (int i = SIM_CLIENTS; i < sim_nodes(n->sim); i++) {
        if (i != node)
            sim_link(n->sim, node, i, NULL);
        if (i != node)
            sim_link(n->sim, i, node, NULL);
    }
}

/* All links of a node, or one way of one of them. */
static void links_shape(struct nemesis *n, int node, const struct sim_link *shape)
{
    if (nemesis_toss(n, 2) && sim_nodes(n->sim) > 1) {
        sim_link(n->sim, node, other_than(n, node), shape);
        return;
    }
    for (int i = SIM_CLIENTS; i < sim_nodes(n->sim); i++) {
        if (i == node)
            continue;
        sim_link(n->sim, node, i, shape);
        sim_link(n->sim, i, node, shape);
    }
}

bool strike_slow(struct nemesis *n, int node)
{
    int64_t most = nemesis_draw(n, 2000, 300000);
    struct sim_link shape = {.delay = {most / 4, most}, .loss_ppm = (int)nemesis_draw(n, 0, 100000)};
    links_shape(n, node, &shape);
    nemesis_within_s(n, 2, 20, links_as_always, node);
    return true;
}

bool strike_break(struct nemesis *n, int node)
{
    struct sim_link shape = {.delay = {150, 5000}, .break_ppm = (int)nemesis_draw(n, 5000, 100000)};
    links_shape(n, node, &shape);
    nemesis_within_s(n, 2, 20, links_as_always, node);
    return true;
}
