/* The lives of the simulated nodes: their clocks and disks, how they start, end, are restored, cloned and
 * replaced.
 *
 * It decides what each of these does to what a node has and is. It refuses to know when they happen
 * (nemesis.c), and what a brain makes of them.
 */
#include <stdio.h>
#include <string.h>

#include "base/ensure.h"
#include "sim/inside.h"

#define REVIVE_US (SIM_SECOND / 5) /* from the death of a keeper to its successor */

/* ---- A node's world ---- */

/* Both clocks count one oscillator, which is off by so many ppm. */
int64_t sim_boot_us(const struct sim_node *n, int64_t at_us)
{
    int64_t passed = at_us - n->base_us;
    return n->boot_us + passed + passed * n->ppm / 1000000;
}

int64_t sim_boot_ms(const struct sim_node *n)
{
    return sim_boot_us(n, n->sim->now_us) / 1000;
}

static int64_t clock_real_ms(void *self)
{
    const struct sim_node *n = self;
    return SIM_REAL_MS + (sim_boot_us(n, n->sim->now_us) - n->uptime_us) / 1000 + n->skew_ms;
}

static int64_t clock_boot_ms(void *self)
{
    return sim_boot_ms(self);
}

static void random_fill(void *self, void *bytes, size_t n)
{
    struct sim_node *node = self;
    prng_fill(&node->prng, bytes, n);
}

/* Sleeping in a turn is what makes its commit late. */
static void disk_sleep_ms(void *self, int64_t ms)
{
    struct sim_node *node = self;
    if (node->in_turn)
        node->busy_us += ms * 1000;
}

static void world_make(struct sim *s, struct sim_node *n)
{
    n->log = (struct log){s->opts.log_level, s->opts.log_fd, clock_real_ms, n, n->name};
    n->world.clock = (struct world_clock){n, clock_real_ms, clock_boot_ms};
    n->world.random = (struct world_random){n, random_fill};
    n->world.log = &n->log;
    simnet_world(n, &n->world.net);
    simproc_world(n, &n->world.proc);
    snprintf(n->db, sizeof n->db, "/skep.db");
    snprintf(n->vfs, sizeof n->vfs, "sim-%p", (void *)n); /* unique in the process, and never written down */
    n->disk = simdisk_new(n->vfs, &(struct simdisk_hooks){n, random_fill, clock_real_ms, disk_sleep_ms});
    n->world.disk = (struct world_disk){.path = n->db, .vfs = n->vfs, .exclusive = true};
}

static void identity_draw(struct sim_node *n)
{
    prng_fill(&n->sim->prng, n->id.b, sizeof n->id.b);
    if (n->generation)
        snprintf(n->name, sizeof n->name, "n%d.%d", n->index + 1, n->generation + 1);
    else
        snprintf(n->name, sizeof n->name, "n%d", n->index + 1);
}

void simlife_make(struct sim *s, int index)
{
    struct sim_node *n = &s->nodes[index];
    n->sim = s;
    n->index = index;
    n->tick_us = INT64_MAX;
    n->powered = true;
    n->slow = 1;
    snprintf(n->url, sizeof n->url, "https://n%d.sim:7537", index + 1);
    identity_draw(n);
    prng_init(&n->prng, prng_next(&s->prng));
    n->uptime_us = (int64_t)prng_below(&s->prng, 1000000) * 1000 + 60 * SIM_SECOND;
    n->base_us = s->now_us;
    n->boot_us = n->uptime_us + s->now_us;
    n->first_ms = (int64_t)prng_below(&s->prng, (uint64_t)(2 * s->opts.skew_ms) + 1) - s->opts.skew_ms;
    n->skew_ms = n->first_ms;
    world_make(s, n);
}

void simlife_home(struct sim_node *n)
{
    struct sim *s = n->sim;
    int k = 0;
    for (int i = 0; i < s->nodes_n; i++)
        if (i != n->index && strcmp(s->nodes[i].url, n->url) != 0)
            n->peers[k++] = s->nodes[i].url;
    n->peers[k] = NULL;
    n->home = (struct sim_home){.world = &n->world,
                                .self = n,
                                .cluster = s->cluster,
                                .node = n->id,
                                .name = n->name,
                                .url = n->url,
                                .index = n->index,
                                .nodes = s->nodes_n,
                                .peers = n->peers,
                                .founder = n->index == 0 && !n->generation,
                                .opts = &s->opts};
}

void simlife_free(struct sim_node *n)
{
    free(n->events);
    simdisk_free(n->disk);
}

/* ---- Lives ---- */

int sim_nodes(const struct sim *s)
{
    return s->nodes_n;
}

struct sim_node *sim_node(struct sim *s, int index)
{
    ensure(index >= 0 && index < s->nodes_n, "node %d of %d", index, s->nodes_n);
    return &s->nodes[index];
}

const char *sim_node_name(const struct sim_node *n)
{
    return n->name;
}

struct id sim_node_id(const struct sim_node *n)
{
    return n->id;
}

bool sim_node_up(const struct sim_node *n)
{
    return n->up;
}

struct simdisk *sim_node_disk(struct sim_node *n)
{
    return n->disk;
}

void *sim_node_brain(const struct sim_node *n)
{
    return n->up ? n->brain : NULL;
}

bool sim_start(struct sim *s, int index)
{
    struct sim_node *n = sim_node(s, index);
    struct err e = {0};
    if (n->up)
        return true;
    n->life++;
    simdisk_kill(n->disk); /* locks of the life before */
    n->powered = true;
    n->stopping = n->turn_planned = false;
    n->seen = n->keepers;
    n->busy_us = n->last_turn_us = s->now_us;
    n->paused_us = 0;
    n->tick_us = INT64_MAX;
    n->home.first = !n->ever;
    simproc_up(n);
    n->up = true; /* the brain may act from its first moment */
    n->brain = s->brain->open(s->brain->ctx, &n->home, &e);
    if (!n->brain) {
        n->up = false;
        simdisk_kill(n->disk);
        if (n->may_refuse)
            sim_note(s, n, "does not start: %s", e.text);
        else
            sim_violation(s, "%s does not start: %s", n->name, e.text);
        return false;
    }
    n->ever = true;
    sim_note(s, n, "started");
    sim_tick_plan(n);
    return true;
}

void simlife_ended(struct sim *s, struct sim_node *n)
{
    n->brain = NULL;
    n->up = false;
    n->down_us = s->now_us;
    sim_events_drop(n);
    simnet_down(n);
    simproc_down(n, n->powered ? s->opts.reap : (struct sim_range){0, 0});
}

void simlife_crash(struct sim *s, struct sim_node *n)
{
    if (n->powered)
        simdisk_kill(n->disk);
    else
        simdisk_crash(n->disk, &s->dice);
    s->brain->crash(n->brain);
    simlife_ended(s, n);
}

void sim_crash(struct sim *s, int index)
{
    struct sim_node *n = sim_node(s, index);
    if (!n->up)
        return;
    sim_note(s, n, "killed");
    simlife_crash(s, n);
}

void sim_cut_power(struct sim *s, int index)
{
    struct sim_node *n = sim_node(s, index);
    bool up = n->up;
    sim_note(s, n, "power cut");
    n->powered = false;
    if (up)
        simlife_crash(s, n);
}

void sim_stop(struct sim *s, int index)
{
    struct sim_node *n = sim_node(s, index);
    struct event e = {.kind = EV_STOP};
    if (!n->up || n->stopping)
        return;
    n->stopping = true;
    sim_note(s, n, "asked to stop");
    sim_event(n, &e);
}

static void keeper_fire(struct sim *s, void *arg)
{
    AUTOFREE struct visit *v = arg;
    if (!visit_valid(v) || v->node->last_turn_us > v->at_us)
        return;
    sim_note(s, v->node, "made no progress: its keeper kills");
    simproc_down(v->node, (struct sim_range){0, 0});
}

static void resume_fire(struct sim *s, void *arg)
{
    AUTOFREE struct visit *v = arg;
    struct sim_node *n = v->node;
    if (!visit_valid(v) || n->paused_us != v->at_us)
        return;
    sim_note(s, n, "goes on");
    if (s->now_us - n->last_turn_us < s->opts.keeper_ms * 1000)
        return;
    sim_note(s, n, "ends, for its keeper has killed");
    simlife_crash(s, n);
}

void sim_pause(struct sim *s, int index, int64_t for_us)
{
    struct sim_node *n = sim_node(s, index);
    if (!n->up)
        return;
    sim_note(s, n, "paused for %lld ms", (long long)(for_us / 1000));
    n->paused_us = s->now_us + for_us;
    int64_t limit = n->last_turn_us + s->opts.keeper_ms * 1000;
    if (limit <= n->paused_us)
        sim_at(s, limit, keeper_fire, visit_new(n, n->last_turn_us), free);
    sim_at(s, n->paused_us, resume_fire, visit_new(n, n->paused_us), free);
}

static void wedged_fire(struct sim *s, void *arg)
{
    AUTOFREE struct visit *v = arg;
    if (!visit_valid(v))
        return;
    sim_note(s, v->node, "ends, for its keeper has killed");
    simlife_crash(s, v->node);
}

void simlife_busy(struct sim *s, struct sim_node *n)
{
    if (n->busy_us - s->now_us < s->opts.keeper_ms * 1000)
        return;
    sim_note(s, n, "hangs in a turn for %lld ms", (long long)((n->busy_us - s->now_us) / 1000));
    sim_at(s, n->last_turn_us + s->opts.keeper_ms * 1000, keeper_fire, visit_new(n, n->last_turn_us), free);
    sim_at(s, n->busy_us, wedged_fire, visit_new(n, n->busy_us), free);
}

static void revive_fire(struct sim *s UNUSED, void *arg)
{
    AUTOFREE struct visit *v = arg;
    struct event e = {.kind = EV_KEEPER_DIED};
    if (visit_valid(v))
        sim_event(v->node, &e);
}

void sim_kill_keeper(struct sim *s, int index)
{
    struct sim_node *n = sim_node(s, index);
    if (!n->up)
        return;
    sim_note(s, n, "its keeper dies");
    n->keepers++;
    simproc_vanish(n);
    sim_at(s, s->now_us + REVIVE_US, revive_fire, visit_new(n, 0), free);
}

void sim_may_refuse(struct sim *s, int index, bool may)
{
    sim_node(s, index)->may_refuse = may;
}

void sim_retire(struct sim *s, int index)
{
    struct sim_node *n = sim_node(s, index);
    sim_note(s, n, "is no part of the cluster any more");
    n->retired = true;
    sim_crash(s, index);
}

bool sim_node_retired(const struct sim_node *n)
{
    return n->retired;
}

int64_t sim_node_down_us(const struct sim_node *n)
{
    return n->down_us;
}

/* ---- Clocks and slowness ---- */

void sim_step_clock(struct sim *s, int index, int64_t by_ms)
{
    struct sim_node *n = sim_node(s, index);
    n->skew_ms += by_ms;
    sim_note(s, n, "clock stepped by %lld ms", (long long)by_ms);
}

void sim_drift(struct sim *s, int index, int ppm)
{
    struct sim_node *n = sim_node(s, index);
    n->boot_us = sim_boot_us(n, s->now_us);
    n->base_us = s->now_us;
    if (n->ppm != ppm)
        sim_note(s, n, "clocks run %+d ppm off", ppm);
    n->ppm = ppm;
    if (n->up)
        sim_tick_plan(n);
}

int64_t sim_clock_off_ms(const struct sim *s, int index)
{
    ensure(index >= 0 && index < s->nodes_n, "node %d of %d", index, s->nodes_n);
    void *n = &s->nodes[index];
    return clock_real_ms(n) - SIM_REAL_MS - s->now_us / 1000;
}

void sim_slow_disk(struct sim *s, int index, int times)
{
    struct sim_node *n = sim_node(s, index);
    if (n->slow != times)
        sim_note(s, n, "commits take %d times as long", times);
    n->slow = times;
}

/* ---- Copies ---- */

struct sim_backup {
    struct simdisk_image *files; /* owned */
    struct id id;
    char name[32];
    int generation;
};

struct sim_backup *sim_backup_new(struct sim *s, int index)
{
    const struct sim_node *n = sim_node(s, index);
    struct sim_backup *b = mem_alloc(sizeof *b);
    ensure(n->ever, "a backup of %s, which has no files yet", n->name);
    b->files = simdisk_image_new(n->disk);
    b->id = n->id;
    b->generation = n->generation;
    memcpy(b->name, n->name, sizeof b->name);
    sim_note(s, n, "is backed up");
    return b;
}

void sim_backup_free(struct sim_backup *b)
{
    if (!b)
        return;
    simdisk_image_free(b->files);
    free(b);
}

void sim_loses(struct sim *s)
{
    s->lost_us = s->now_us;
}

int64_t sim_lost_us(const struct sim *s)
{
    return s->lost_us;
}

void sim_restore(struct sim *s, int index, const struct sim_backup *b)
{
    struct sim_node *n = sim_node(s, index);
    ensure(!n->up, "%s is up", n->name);
    simdisk_load(n->disk, b->files);
    n->id = b->id;
    memcpy(n->name, b->name, sizeof n->name);
    n->generation = b->generation;
    n->ever = true;
    simlife_home(n);
    sim_note(s, n, "is restored");
}

void sim_wipe(struct sim *s, int index)
{
    struct sim_node *n = sim_node(s, index);
    ensure(!n->up, "%s is up", n->name);
    sim_note(s, n, "is wiped");
    simdisk_load(n->disk, NULL);
    n->generation++;
    identity_draw(n);
    n->ever = false;
    simlife_home(n);
}

int sim_spare(const struct sim *s)
{
    return s->nodes_cap - s->nodes_n;
}

int sim_add(struct sim *s)
{
    ensure(s->nodes_n < s->nodes_cap, "no spare node is left of %d", s->nodes_cap);
    int index = s->nodes_n++;
    simlife_make(s, index);
    simlife_home(&s->nodes[index]);
    sim_note(s, &s->nodes[index], "is added");
    return index;
}

int sim_clone(struct sim *s, int index, bool same_url)
{
    int twin = sim_add(s);
    struct sim_node *n = sim_node(s, twin);
    struct sim_backup *b = sim_backup_new(s, index);
    if (same_url)
        memcpy(n->url, sim_node(s, index)->url, sizeof n->url);
    n->may_refuse = true;
    simdisk_load(n->disk, b->files);
    n->id = b->id;
    n->ever = true;
    simlife_home(n);
    sim_note(s, n, "is a clone of %s, at %s", b->name, n->url);
    sim_backup_free(b);
    return twin;
}
