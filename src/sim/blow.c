/* What each kind of fault does, how long, and how it ends: of nodes, clocks, disks and processes here, of the
 * network in blow_net.c, of nodes that come, go and forget in blow_files.c. Whether it may happen at all is
 * asked of nemesis.c, how it feels is the simulator's.
 */
#include "sim/blow.h"

#define HANG_US  (35 * SIM_SECOND) /* at most, of a commit */
#define Y2038_MS INT64_C(2147483647000)
#define HOUR_MS  INT64_C(3600000)

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
    nemesis_within_s(n, 1, 40, clock_set_right, node);
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
    nemesis_within_s(n, 2, 8, disk_whole, node);
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
    nemesis_within_s(n, 2, 20, disk_room, node);
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
    nemesis_weaken(n, node, hangs ? HANG_US : for_us);
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
    nemesis_within_s(n, 2, 20, exec_well, node);
    return true;
}

static bool strike_keeper(struct nemesis *n, int node)
{
    sim_kill_keeper(n->sim, node);
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
    [NEMESIS_CLONE] = {"clone", VOIDS, true, 1, false, strike_clone},
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
