/* What each kind of fault does, how long, and how it ends. Whether it may happen at all is asked of
 * nemesis.c, how it feels is the simulator's.
 */
#include "sim/blow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ensure.h"

#define PATIENCE_US (3 * SIM_SECOND) /* a silence so short changes no view (0.8 of suspect_ms is 4 s) */
#define LEAD_US     (3 * SIM_SECOND) /* what was answered so shortly before a partition is not everywhere yet */
#define REFRESH_US  (15 * SIM_SECOND) /* until a node that had forgotten things has them again */
#define FORGET_US   (60 * SIM_SECOND)
#define HANG_US     (35 * SIM_SECOND) /* at most, of a commit */
#define Y2038_MS    INT64_C(2147483647000)
#define HOUR_MS     INT64_C(3600000)

static void seconds_later(struct nemesis *n, int min_s, int max_s, void (*fn)(struct nemesis *n, int node),
                          int node)
{
    nemesis_later(n, nemesis_span(n, min_s * SIM_SECOND, max_s * SIM_SECOND), fn, node);
}

static void weak_end(struct nemesis *n, int node)
{
    n->weak[node]--;
}

/* It counts as away for so long. */
static void weaken(struct nemesis *n, int node, int64_t for_us)
{
    n->weak[node]++;
    nemesis_later(n, for_us, weak_end, node);
}

/* ---- Nodes ---- */

static bool strike_kill(struct nemesis *n, int node)
{
    if (!nemesis_spare(n, node))
        return false;
    sim_crash(n->sim, node);
    return true;
}

static bool strike_stop(struct nemesis *n, int node)
{
    if (!nemesis_spare(n, node))
        return false;
    sim_stop(n->sim, node);
    return true;
}

static bool strike_power(struct nemesis *n, int node)
{
    if (!nemesis_spare(n, node))
        return false;
    sim_cut_power(n->sim, node);
    return true;
}

/* Mostly shorter than anybody's patience, sometimes so long that its keeper kills. */
static bool strike_pause(struct nemesis *n, int node)
{
    if (!nemesis_spare(n, node))
        return false;
    bool lasting = nemesis_toss(n, 8);
    int64_t us = lasting ? nemesis_span(n, 20 * SIM_SECOND, 45 * SIM_SECOND)
                         : nemesis_span(n, SIM_SECOND / 2, 8 * SIM_SECOND);
    if (us > 0)
        sim_pause(n->sim, node, us);
    return true;
}

/* ---- The network ---- */

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
    seconds_later(n, 6, 45, split_end, node);
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

static bool strike_partition(struct nemesis *n, int node)
{
    return may_last(n) ? split_plan(n, node, split_both) : cut_shortly(n, node, false);
}

static bool strike_oneway(struct nemesis *n, int node)
{
    return may_last(n) ? split_plan(n, node, split_oneway) : cut_shortly(n, node, true);
}

static bool strike_reject(struct nemesis *n, int node)
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

static bool strike_slow(struct nemesis *n, int node)
{
    int64_t most = nemesis_draw(n, 2000, 300000);
    struct sim_link shape = {.delay = {most / 4, most}, .loss_ppm = (int)nemesis_draw(n, 0, 100000)};
    links_shape(n, node, &shape);
    seconds_later(n, 2, 20, links_as_always, node);
    return true;
}

static bool strike_break(struct nemesis *n, int node)
{
    struct sim_link shape = {.delay = {150, 5000}, .break_ppm = (int)nemesis_draw(n, 5000, 100000)};
    links_shape(n, node, &shape);
    seconds_later(n, 2, 20, links_as_always, node);
    return true;
}

/* ---- Clocks ---- */

/* So slowly that it does not matter before the end. */
static bool strike_drift(struct nemesis *n, int node)
{
    const int64_t most_us = 100000;
    int64_t left_s = (n->opts.calm_us - sim_now_us(n->sim)) / SIM_SECOND + 1, ppm = most_us / left_s;
    ppm = ppm > 500 ? 500 : ppm;
    sim_drift(n->sim, node, (int)nemesis_draw(n, -ppm, ppm));
    return true;
}

/* As the time daemon does it. */
static void clock_set_right(struct nemesis *n, int node)
{
    int64_t off_ms = sim_clock_off_ms(n->sim, node);
    if (llabs(off_ms) > 1000)
        sim_step_clock(n->sim, node, -off_ms);
    n->one_jump = false;
    n->weak[node]--;
}

static int64_t jump_draw(struct nemesis *n)
{
    int64_t sign = nemesis_toss(n, 2) ? 1 : -1;
    switch (nemesis_draw(n, 0, 3)) {
    case 0:
        return sign * nemesis_draw(n, 1100, 10000);
    case 1:
        return sign * HOUR_MS;
    case 2:
        return sign * nemesis_draw(n, 10000, 60000);
    default:
        return Y2038_MS + 1000 - SIM_REAL_MS - sim_now_us(n->sim) / 1000;
    }
}

static bool strike_jump(struct nemesis *n, int node)
{
    if (n->one_jump || !nemesis_spare(n, node))
        return false;
    n->one_jump = true;
    n->weak[node]++;
    sim_step_clock(n->sim, node, jump_draw(n));
    seconds_later(n, 1, 40, clock_set_right, node);
    return true;
}

/* ---- Disks ---- */

static void disk_whole(struct nemesis *n, int node)
{
    for (int op = 0; op < SIMDISK_OPS; op++)
        simdisk_plan(sim_node_disk(sim_node(n->sim, node)), (enum simdisk_op)op, 0, SIMDISK_IOERR);
    sim_may_refuse(n->sim, node, false);
    n->weak[node]--;
}

static bool strike_disk(struct nemesis *n, int node)
{
    if (!nemesis_spare(n, node))
        return false;
    enum simdisk_op op = (enum simdisk_op)nemesis_draw(n, 0, SIMDISK_OPS - 1);
    enum simdisk_fault fault = op != SIMDISK_READ && nemesis_toss(n, 3) ? SIMDISK_DEAD : SIMDISK_IOERR;
    static const char *const words[] = {"read", "write", "sync"};
    int64_t nth = nemesis_draw(n, 1, 30);
    sim_note(n->sim, sim_node(n->sim, node), "disk: %s %lld from now fails%s", words[op], (long long)nth,
             fault == SIMDISK_DEAD ? ", though it is done" : "");
    simdisk_plan(sim_node_disk(sim_node(n->sim, node)), op, nth, fault);
    sim_may_refuse(n->sim, node, true);
    n->weak[node]++;
    seconds_later(n, 2, 8, disk_whole, node);
    return true;
}

static void disk_room(struct nemesis *n, int node)
{
    simdisk_limit(sim_node_disk(sim_node(n->sim, node)), 0);
    sim_note(n->sim, sim_node(n->sim, node), "disk: there is room again");
    sim_may_refuse(n->sim, node, false);
    n->one_full = false;
    n->weak[node]--;
}

static bool strike_full(struct nemesis *n, int node)
{
    if (n->one_full || !nemesis_spare(n, node))
        return false;
    struct simdisk *d = sim_node_disk(sim_node(n->sim, node));
    int64_t room = nemesis_toss(n, 2) ? 0 : nemesis_draw(n, 0, 32768);
    sim_note(n->sim, sim_node(n->sim, node), "disk: full, but for %lld bytes", (long long)room);
    simdisk_limit(d, simdisk_bytes(d) + room);
    sim_may_refuse(n->sim, node, true);
    n->one_full = true;
    n->weak[node]++;
    seconds_later(n, 2, 20, disk_room, node);
    return true;
}

static void disk_fast(struct nemesis *n, int node)
{
    sim_slow_disk(n->sim, node, 1);
}

/* Sometimes one commit stands for the disk of a machine that hangs. */
static bool strike_late(struct nemesis *n, int node)
{
    if (!nemesis_spare(n, node))
        return false;
    bool hangs = nemesis_toss(n, 8);
    int64_t for_us = hangs ? SIM_SECOND : nemesis_span(n, 2 * SIM_SECOND, 15 * SIM_SECOND);
    sim_slow_disk(n->sim, node, (int)(hangs ? nemesis_draw(n, 1000, 20000) : nemesis_draw(n, 5, 200)));
    nemesis_later(n, for_us, disk_fast, node);
    weaken(n, node, hangs ? HANG_US : for_us);
    return true;
}

/* ---- Processes ---- */

static bool strike_crash(struct nemesis *n, int node)
{
    bool some = false;
    for (int64_t left = nemesis_draw(n, 1, 4); left > 0; left--)
        some |= sim_process_crash(n->sim, node);
    return some;
}

static bool strike_hang(struct nemesis *n, int node)
{
    return sim_process_hang(n->sim, node, nemesis_span(n, SIM_SECOND / 2, 20 * SIM_SECOND));
}

static void exec_well(struct nemesis *n, int node)
{
    sim_process_odds(n->sim, node, &(struct sim_odds){0});
}

static bool strike_exec(struct nemesis *n, int node)
{
    struct sim_odds odds = {.fail_ppm = nemesis_toss(n, 2) ? 300000 : 0,
                            .slow_ppm = nemesis_toss(n, 2) ? 300000 : 0,
                            .stubborn_ppm = nemesis_toss(n, 2) ? 300000 : 0};
    sim_process_odds(n->sim, node, &odds);
    seconds_later(n, 2, 20, exec_well, node);
    return true;
}

static bool strike_keeper(struct nemesis *n, int node)
{
    sim_kill_keeper(n->sim, node);
    return true;
}

/* ---- Nodes that forget, are forgotten, come and go ---- */

static void release(struct nemesis *n, int node)
{
    n->held[node]--;
    weaken(n, node, REFRESH_US);
}

/* The longer ago the better: what there is of a node is kept for the second time that it strikes. */
static bool strike_restore(struct nemesis *n, int node)
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

static bool strike_away(struct nemesis *n, int node)
{
    if (!nemesis_spare(n, node))
        return false;
    if (nemesis_toss(n, 2))
        sim_stop(n->sim, node);
    else
        sim_crash(n->sim, node);
    n->held[node]++;
    seconds_later(n, 30, 60, release, node);
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

static bool strike_wipe(struct nemesis *n, int node)
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
static bool strike_flip(struct nemesis *n, int node)
{
    struct sim_node *it = sim_node(n->sim, node);
    if (!nemesis_spare(n, node) || !simdisk_flip(sim_node_disk(it), "/skep.db", &n->prng))
        return false;
    sim_note(n->sim, it, "disk: a bit turns");
    nemesis_suspend(n, SIM_ONE_PROCESS | SIM_ANSWERS);
    sim_may_refuse(n->sim, node, true);
    n->weak[node]++;
    seconds_later(n, 2, 15, replace, node);
    return true;
}

static void clone_start(struct nemesis *n, int node)
{
    sim_start(n->sim, node);
}

/* For about as long as its copy looks for it. */
static void clone_sleep(struct nemesis *n, int node)
{
    if (sim_node_up(sim_node(n->sim, node)))
        sim_pause(n->sim, node, nemesis_draw(n, SIM_SECOND / 2, 3 * SIM_SECOND));
}

/* By now it must have noticed. What it took of clients before goes with its disk. */
static void clone_end(struct nemesis *n, int node)
{
    sim_loses(n->sim);
    if (sim_node_up(sim_node(n->sim, node)))
        sim_violation(n->sim, "%s is a clone of a node that is up, and runs",
                      sim_node_name(sim_node(n->sim, node)));
    sim_retire(n->sim, node);
    n->one_clone = false;
}

static bool strike_clone(struct nemesis *n, int node)
{
    const int64_t notices_us = 15 * SIM_SECOND;
    if (n->one_clone || !nemesis_spare(n, node) || sim_spare(n->sim) == 0)
        return false;
    bool same_url = nemesis_toss(n, 2), asleep = same_url && nemesis_toss(n, 2);
    int twin = sim_clone(n->sim, node, same_url);
    int64_t start_us = nemesis_draw(n, SIM_SECOND / 10, 2 * SIM_SECOND);
    n->one_clone = true;
    n->held[twin]++;
    weaken(n, node, notices_us + 3 * SIM_SECOND);
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

static bool strike_join(struct nemesis *n, int node UNUSED)
{
    if (sim_spare(n->sim) == 0)
        return false;
    int joiner = sim_add(n->sim);
    nemesis_start(n, joiner, nemesis_draw(n, SIM_SECOND / 10, 2 * SIM_SECOND));
    if (!nemesis_toss(n, 4))
        seconds_later(n, 10, 40, leave, joiner);
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
    seconds_later(f->n, 5, 20, drain_end, f->node);
}

static bool strike_drain(struct nemesis *n, int node)
{
    if (n->one_drain)
        return false;
    n->one_drain = true;
    drain_ask(n, node, HTTP_M_PUT, drained);
    return true;
}

/* ---- All of them ---- */

#define VOIDS (SIM_ONE_PROCESS | SIM_ANSWERS)

const struct blow blows[NEMESIS_KINDS] = {
    [NEMESIS_KILL] = {"kill", 0, false, 3, true, strike_kill},
    [NEMESIS_STOP] = {"stop", 0, false, 1, true, strike_stop},
    [NEMESIS_POWER] = {"power", 0, false, 1, true, strike_power},
    [NEMESIS_PAUSE] = {"pause", 0, false, 1, true, strike_pause},
    [NEMESIS_PARTITION] = {"partition", VOIDS, false, 2, false, strike_partition},
    [NEMESIS_ONEWAY] = {"oneway", VOIDS, false, 2, false, strike_oneway},
    [NEMESIS_REJECT] = {"reject", VOIDS, true, 1, false, strike_reject},
    [NEMESIS_SLOW] = {"slow", 0, false, 1, true, strike_slow},
    [NEMESIS_BREAK] = {"break", 0, false, 1, true, strike_break},
    [NEMESIS_DRIFT] = {"drift", 0, false, 1, true, strike_drift},
    [NEMESIS_JUMP] = {"jump", 0, false, 1, true, strike_jump},
    [NEMESIS_DISK] = {"disk", 0, false, 1, true, strike_disk},
    [NEMESIS_FULL] = {"full", 0, false, 1, true, strike_full},
    [NEMESIS_LATE] = {"late", 0, false, 1, true, strike_late},
    [NEMESIS_FLIP] = {"flip", VOIDS, true, 1, false, strike_flip},
    [NEMESIS_CRASH] = {"crash", 0, false, 1, true, strike_crash},
    [NEMESIS_HANG] = {"hang", 0, false, 2, true, strike_hang},
    [NEMESIS_EXEC] = {"exec", 0, false, 1, true, strike_exec},
    [NEMESIS_KEEPER] = {"keeper", 0, false, 1, true, strike_keeper},
    [NEMESIS_RESTORE] = {"restore", 0, true, 2, false, strike_restore},
    [NEMESIS_CLONE] = {"clone", 0, true, 1, false, strike_clone},
    [NEMESIS_WIPE] = {"wipe", 0, true, 1, false, strike_wipe},
    [NEMESIS_AWAY] = {"away", 0, true, 1, false, strike_away},
    [NEMESIS_JOIN] = {"join", 0, false, 1, true, strike_join},
    [NEMESIS_DRAIN] = {"drain", 0, false, 1, false, strike_drain},
};

/* All spans end by now; what is left is what has none. */
void blows_end(struct nemesis *n)
{
    for (int i = 0; i < sim_nodes(n->sim); i++)
        sim_drift(n->sim, i, 0);
}
