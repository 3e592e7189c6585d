/* Nodes that forget, are forgotten, come and go: old backups, copied, damaged and lost files, long absences,
 * nodes that join, leave and are drained.
 */
#include "sim/blow.h"

#define REFRESH_US (15 * SIM_SECOND) /* until a node that had forgotten things has them again */
#define FORGET_US  (60 * SIM_SECOND)

static void release(struct nemesis *n, int node)
{
    n->held[node]--;
    nemesis_weaken(n, node, REFRESH_US);
}

/* The longer ago the better: what there is of a node is kept for the second time that it strikes. */
bool strike_restore(struct nemesis *n, int node)
{
    if (!nemesis_spare(n, node))
        return false;
    if (!n->backups[node] && n->one_drain) /* it would come back drained, and nobody knows */
        return false;
    if (!n->backups[node]) {
        n->backups[node] = sim_backup_new(n->sim, node);
        return true;
    }
    sim_crash(n->sim, node);
    sim_loses(n->sim);
    sim_restore(n->sim, node, n->backups[node]);
    if (nemesis_toss(n, 2))
        sim_backup_free(TAKE(n->backups[node]));
    n->held[node]++;
    nemesis_later(n, nemesis_draw(n, SIM_SECOND / 10, 3 * SIM_SECOND), release, node);
    return true;
}

bool strike_away(struct nemesis *n, int node)
{
    if (!nemesis_spare(n, node))
        return false;
    if (nemesis_toss(n, 2))
        sim_stop(n->sim, node);
    else
        sim_crash(n->sim, node);
    n->held[node]++;
    nemesis_within_s(n, 30, 60, release, node);
    return true;
}

/* A node that is down is to be forgotten by the others, whatever comes then. */
struct farewell {
    struct nemesis *n;
    int node;
    char id[ID_TEXT];
    int64_t until_us;
    void (*then)(struct nemesis *n, int node);
};

static void farewell_fire(struct sim *s, void *arg);

static void farewell_done(struct sim *s, void *arg, const struct sim_reply *r)
{
    struct farewell *f = arg;
    bool over = r->status == 200 || r->status == 404 || sim_now_us(s) > f->until_us;
    if (!over) {
        sim_at(s, sim_now_us(s) + SIM_SECOND, farewell_fire, f, free);
        return;
    }
    sim_note(s, sim_node(s, f->node), "to be forgotten: %d", r->status);
    f->then(f->n, f->node);
    free(f);
}

static void farewell_fire(struct sim *s, void *arg)
{
    struct farewell *f = arg;
    int asked = f->node;
    for (int i = 1; i < sim_nodes(s) && !sim_node_up(sim_node(s, asked)); i++)
        asked = (f->node + i) % sim_nodes(s);
    AUTOFREE char *path = mem_printf("/v1/nodes/%s", f->id);
    struct sim_ask ask = {.node = asked, .method = HTTP_M_DELETE, .path = path, .timeout_ms = 5000};
    ask.done = farewell_done;
    ask.drop = free;
    ask.arg = f;
    sim_ask(s, &ask);
}

static void farewell(struct nemesis *n, int node, void (*then)(struct nemesis *n, int node))
{
    struct farewell *f = mem_alloc(sizeof *f);
    struct id id = sim_node_id(sim_node(n->sim, node));
    *f = (struct farewell){.n = n, .node = node, .then = then};
    f->until_us = sim_now_us(n->sim) + FORGET_US;
    id_text(&id, f->id);
    sim_at(n->sim, sim_now_us(n->sim) + SIM_SECOND, farewell_fire, f, free);
}

static void anew(struct nemesis *n, int node)
{
    sim_backup_free(TAKE(n->backups[node]));
    sim_wipe(n->sim, node);
    release(n, node);
}

bool strike_wipe(struct nemesis *n, int node)
{
    if (!nemesis_spare(n, node))
        return false;
    sim_crash(n->sim, node);
    sim_loses(n->sim);
    n->held[node]++;
    farewell(n, node, anew);
    return true;
}

static void replace(struct nemesis *n, int node)
{
    sim_crash(n->sim, node);
    sim_loses(n->sim);
    sim_may_refuse(n->sim, node, false);
    n->held[node]++;
    n->weak[node]--;
    farewell(n, node, anew);
}

/* Until the damage is noticed anything may be said. */
bool strike_flip(struct nemesis *n, int node)
{
    struct sim_node *it = sim_node(n->sim, node);
    if (!nemesis_spare(n, node) || !simdisk_flip(sim_node_disk(it), "/skep.db", &n->prng))
        return false;
    sim_note(n->sim, it, "disk: a bit turns");
    nemesis_suspend(n, SIM_ONE_PROCESS | SIM_ANSWERS);
    sim_may_refuse(n->sim, node, true);
    n->weak[node]++;
    nemesis_within_s(n, 2, 15, replace, node);
    return true;
}

static void clone_start(struct nemesis *n, int node)
{
    sim_start(n->sim, node);
}

/* For about as long as its copy looks for it: both may run for a moment, and what the copy is told goes with
 * it. */
static void clone_sleep(struct nemesis *n, int node)
{
    nemesis_suspend(n, SIM_ONE_PROCESS | SIM_ANSWERS);
    if (sim_node_up(sim_node(n->sim, node)))
        sim_pause(n->sim, node, nemesis_draw(n, SIM_SECOND / 2, 3 * SIM_SECOND));
}

/* By now it must have noticed. */
static void clone_end(struct nemesis *n, int node)
{
    if (sim_node_up(sim_node(n->sim, node)))
        sim_violation(n->sim, "%s is a clone of a node that is up, and runs",
                      sim_node_name(sim_node(n->sim, node)));
    sim_retire(n->sim, node);
    n->one_clone = false;
}

bool strike_clone(struct nemesis *n, int node)
{
    const int64_t notices_us = 15 * SIM_SECOND;
    if (n->one_clone || !nemesis_spare(n, node) || sim_spare(n->sim) == 0)
        return false;
    bool asleep = nemesis_toss(n, 3), same_url = asleep || nemesis_toss(n, 2);
    int twin = sim_clone(n->sim, node, same_url);
    int64_t start_us = nemesis_draw(n, SIM_SECOND / 10, 2 * SIM_SECOND);
    n->one_clone = true;
    n->held[twin]++;
    nemesis_weaken(n, node, notices_us + 3 * SIM_SECOND);
    if (asleep) /* at another address the copy would stay, and the node go */
        nemesis_later(n, start_us, clone_sleep, node);
    nemesis_later(n, start_us, clone_start, twin);
    nemesis_later(n, notices_us + 2 * SIM_SECOND, clone_end, twin);
    return true;
}

static void retire(struct nemesis *n, int node)
{
    sim_retire(n->sim, node);
    n->held[node]--;
}

static void leave(struct nemesis *n, int node)
{
    if (!nemesis_spare(n, node)) {
        nemesis_later(n, SIM_SECOND, leave, node);
        return;
    }
    if (nemesis_toss(n, 2))
        sim_stop(n->sim, node);
    else
        sim_crash(n->sim, node);
    n->held[node]++;
    farewell(n, node, retire);
}

bool strike_join(struct nemesis *n, int node UNUSED)
{
    if (sim_spare(n->sim) == 0)
        return false;
    int joiner = sim_add(n->sim);
    nemesis_start(n, joiner, nemesis_draw(n, SIM_SECOND / 10, 2 * SIM_SECOND));
    if (!nemesis_toss(n, 4))
        nemesis_within_s(n, 10, 40, leave, joiner);
    return true;
}

/* ---- Drains ---- */

static void drain_ask(struct nemesis *n, int node, enum req_method method,
                      void (*done)(struct sim *s, void *arg, const struct sim_reply *r))
{
    char id[ID_TEXT];
    struct id own = sim_node_id(sim_node(n->sim, node));
    struct farewell *f = mem_alloc(sizeof *f);
    *f = (struct farewell){.n = n, .node = node};
    id_text(&own, id);
    AUTOFREE char *path = mem_printf("/v1/nodes/%s/drain", id);
    struct sim_ask ask = {.node = node, .method = method, .path = path, .timeout_ms = 5000};
    ask.done = done;
    ask.drop = free;
    ask.arg = f;
    sim_ask(n->sim, &ask);
}

static void drain_end(struct nemesis *n, int node);

static void undrained(struct sim *s, void *arg, const struct sim_reply *r)
{
    AUTOFREE struct farewell *f = arg;
    if (r->status == 200 || sim_node_retired(sim_node(s, f->node))) {
        sim_note(s, sim_node(s, f->node), "is drained no more");
        f->n->one_drain = false;
    } else
        nemesis_later(f->n, SIM_SECOND, drain_end, f->node);
}

static void drain_end(struct nemesis *n, int node)
{
    drain_ask(n, node, HTTP_M_DELETE, undrained);
}

static void drained(struct sim *s, void *arg, const struct sim_reply *r)
{
    AUTOFREE struct farewell *f = arg;
    sim_note(s, sim_node(s, f->node), "is drained: %d", r->status);
    nemesis_within_s(f->n, 5, 20, drain_end, f->node);
}

bool strike_drain(struct nemesis *n, int node)
{
    if (n->one_drain)
        return false;
    n->one_drain = true;
    drain_ask(n, node, HTTP_M_PUT, drained);
    return true;
}
