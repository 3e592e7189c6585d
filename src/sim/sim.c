/* The clock, the nodes and the book: what happens next, who is alive, and what is written down about it.
 *
 * It decides the order of things. It refuses to know how nodes live and die (life.c), what a brain decides,
 * what travels over the network (net.c), what processes do (proc.c), and which faults or clients a scenario
 * wants (nemesis.c, load.c).
 */
#include "sim/sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/ensure.h"
#include "sim/inside.h"

#define BATCH_MAX 256

struct sim_plan {
    int64_t at_us;
    uint64_t number;
    void (*fire)(struct sim *s, void *arg);
    void (*drop)(void *arg);
    void *arg;
};

struct sim_opts sim_opts_default(uint64_t seed, int nodes)
{
    return (struct sim_opts){
        .seed = seed,
        .nodes = nodes,
        .link = {150, 600},
        .commit = {200, 1500},
        .spawn = {800, 4000},
        .channel = {20, 120},
        .reap = {1000, 40000},
        .loss_ppm = 500,
        .slow_commit_ppm = 10000,
        .skew_ms = 20,
        .keeper_ms = 24000,
        .unique_names = true,
        .log_level = LOG_WARN,
        .log_fd = -1,
    };
}

/* ---- Time ---- */

int64_t sim_now_us(const struct sim *s)
{
    return s->now_us;
}

static bool before(const struct sim_plan *a, const struct sim_plan *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->number < b->number;
}

static void heap_swap(struct sim *s, size_t a, size_t b)
{
    struct sim_plan t = s->heap[a];
    s->heap[a] = s->heap[b];
    s->heap[b] = t;
}

void sim_at(struct sim *s, int64_t at_us, void (*fire)(struct sim *s, void *arg), void *arg,
            void (*drop)(void *))
{
    ARRAY_GROW(s->heap, s->heap_n, s->heap_cap);
    size_t i = s->heap_n++;
    s->heap[i] = (struct sim_plan){at_us > s->now_us ? at_us : s->now_us, s->planned++, fire, drop, arg};
    for (; i && before(&s->heap[i], &s->heap[(i - 1) / 2]); i = (i - 1) / 2)
        heap_swap(s, i, (i - 1) / 2);
}

static struct sim_plan heap_take(struct sim *s)
{
    struct sim_plan first = s->heap[0];
    s->heap[0] = s->heap[--s->heap_n];
    for (size_t i = 0;;) {
        size_t least = i;
        for (size_t child = 2 * i + 1; child <= 2 * i + 2; child++)
            if (child < s->heap_n && before(&s->heap[child], &s->heap[least]))
                least = child;
        if (least == i)
            return first;
        heap_swap(s, i, least);
        i = least;
    }
}

bool sim_run(struct sim *s, int64_t until_us)
{
    while (s->heap_n && s->heap[0].at_us <= until_us && !s->violated) {
        struct sim_plan p = heap_take(s);
        ensure(p.at_us >= s->now_us, "time runs back from %lld to %lld", (long long)s->now_us,
               (long long)p.at_us);
        s->now_us = p.at_us;
        p.fire(s, p.arg);
    }
    if (!s->violated && until_us > s->now_us)
        s->now_us = until_us;
    return !s->violated;
}

struct prng *sim_prng(struct sim *s)
{
    return &s->prng;
}

int64_t sim_draw(struct prng *p, struct sim_range r)
{
    return r.min_us + (int64_t)prng_below(p, (uint64_t)(r.max_us - r.min_us) + 1);
}

/* ---- The book ---- */

void sim_mark(struct sim *s, uint64_t what, uint64_t a, uint64_t b)
{
    s->digest = prng_mix(s->digest ^ (uint64_t)s->now_us);
    s->digest = prng_mix(s->digest ^ what);
    s->digest = prng_mix(s->digest ^ a);
    s->digest = prng_mix(s->digest ^ b);
}

static void mark_text(struct sim *s, const char *text)
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    for (const char *c = text; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 1099511628211u;
    sim_mark(s, 1, hash, 0);
}

static void note_text(struct sim *s, const char *who, const char *text, bool marked)
{
    AUTOSTR struct str line = STR_INIT;
    str_printf(&line, "%4lld.%06lld %-4s %s", (long long)(s->now_us / SIM_SECOND),
               (long long)(s->now_us % SIM_SECOND), who, text);
    if (marked)
        mark_text(s, str_get(&line));
    if (s->opts.line)
        s->opts.line(s->opts.line_ctx, str_get(&line));
}

void sim_note(struct sim *s, const struct sim_node *n, const char *fmt, ...)
{
    char text[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    note_text(s, n ? n->name : "sim", text, true);
}

void sim_trace(struct sim *s, const struct sim_node *n, const char *fmt, ...)
{
    char text[1024];
    va_list args;
    if (!s->opts.trace)
        return;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    note_text(s, n ? n->name : "sim", text, false);
}

void sim_violation(struct sim *s, const char *fmt, ...)
{
    char text[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    sim_note(s, NULL, "VIOLATION: %s", text);
    s->violated = true;
}

bool sim_violated(const struct sim *s)
{
    return s->violated;
}

uint64_t sim_digest(const struct sim *s)
{
    return s->digest;
}

/* ---- What may be expected ---- */

void sim_suspend(struct sim *s, unsigned promises)
{
    for (int i = 0; i < SIM_PROMISES; i++)
        s->suspended[i] += promises >> i & 1;
}

void sim_resume(struct sim *s, unsigned promises)
{
    for (int i = 0; i < SIM_PROMISES; i++) {
        if (!(promises >> i & 1))
            continue;
        ensure(s->suspended[i] > 0, "promise %d is not suspended", i);
        s->resumed_us[i] = s->now_us;
        if (--s->suspended[i] == 0 && 1u << i == SIM_ONE_PROCESS)
            simproc_unique(s);
    }
}

bool sim_promised(const struct sim *s, unsigned promises, int64_t since_us)
{
    for (int i = 0; i < SIM_PROMISES; i++)
        if (promises >> i & 1 && (s->suspended[i] || (s->resumed_us[i] && s->resumed_us[i] >= since_us)))
            return false;
    return true;
}

/* ---- Checks ---- */

void sim_check_add(struct sim *s, const struct sim_check *c)
{
    ARRAY_GROW(s->checks, s->checks_n, s->checks_cap);
    s->checks[s->checks_n++] = *c;
}

bool sim_check_all(struct sim *s)
{
    bool all = true;
    for (size_t i = 0; i < s->checks_n; i++) {
        const struct sim_check *c = &s->checks[i];
        AUTOSTR struct str why = STR_INIT;
        bool holds = c->holds(s, c->ctx, &why);
        sim_note(s, NULL, "check %s: %s%s", c->name, holds ? "ok" : "BROKEN: ", holds ? "" : str_get(&why));
        all &= holds;
    }
    return all;
}

static void check_turn(struct sim *s)
{
    for (size_t i = 0; i < s->checks_n && !s->violated; i++) {
        const struct sim_check *c = &s->checks[i];
        AUTOSTR struct str why = STR_INIT;
        if (c->each_turn && !c->holds(s, c->ctx, &why))
            sim_violation(s, "%s: %s", c->name, str_get(&why));
    }
}

bool sim_digests_equal(struct sim *s, void *ctx UNUSED, struct str *why)
{
    AUTOSTR struct str first = STR_INIT;
    const struct sim_node *one = NULL;
    for (int i = 0; s->brain->digest && i < s->nodes_n; i++) {
        struct sim_node *n = &s->nodes[i];
        AUTOSTR struct str own = STR_INIT;
        if (n->retired)
            continue;
        if (!n->up) {
            str_printf(why, "%s is not up", n->name);
            return false;
        }
        s->brain->digest(n->brain, one ? &own : &first);
        if (one && strcmp(str_get(&own), str_get(&first)) != 0) {
            str_printf(why, "%s has %.200s, %s has %.200s", one->name, str_get(&first), n->name,
                       str_get(&own));
            return false;
        }
        one = one ? one : n;
    }
    return true;
}

/* ---- Begin and end ---- */

struct sim *sim_new(const struct sim_opts *o, const struct sim_brain *brain)
{
    ensure(o->nodes >= 1 && o->spare >= 0 && o->nodes + o->spare < SIM_NODES_MAX, "%d nodes and %d", o->nodes,
           o->spare);
    struct sim *s = mem_alloc(sizeof *s);
    s->opts = *o;
    s->brain = brain;
    prng_init(&s->prng, o->seed);
    prng_init(&s->net_prng, prng_next(&s->prng));
    prng_init(&s->dice, prng_next(&s->prng));
    simdisk_seed((uint32_t)prng_next(&s->prng) | 1);
    prng_fill(&s->prng, s->cluster.b, sizeof s->cluster.b);
    s->net = simnet_new(s);
    s->links = simlinks_new();
    s->proc = simproc_new(s);
    s->nodes_cap = o->nodes + o->spare;
    s->nodes = mem_array((size_t)s->nodes_cap, sizeof *s->nodes);
    for (s->nodes_n = 0; s->nodes_n < o->nodes; s->nodes_n++)
        simlife_make(s, s->nodes_n);
    for (int i = 0; i < o->nodes; i++)
        simlife_home(&s->nodes[i]);
    return s;
}

void sim_events_drop(struct sim_node *n)
{
    for (size_t i = 0; i < n->events_n; i++)
        event_fini(&n->events[i]);
    n->events_n = 0;
}

void sim_free(struct sim *s)
{
    if (!s)
        return;
    for (int i = 0; i < s->nodes_n; i++)
        if (s->nodes[i].up)
            simlife_crash(s, &s->nodes[i]);
    while (s->heap_n) {
        struct sim_plan p = heap_take(s);
        if (p.drop)
            p.drop(p.arg);
    }
    simnet_free(s->net);
    simproc_free(s->proc);
    simlinks_free(s->links);
    for (int i = 0; i < s->nodes_n; i++)
        simlife_free(&s->nodes[i]);
    free(s->nodes);
    free(s->heap);
    free(s->checks);
    free(s);
}

/* ---- Turns ---- */

struct visit *visit_new(struct sim_node *n, int64_t at_us)
{
    struct visit *v = mem_alloc(sizeof *v);
    *v = (struct visit){n, n->life, at_us};
    return v;
}

bool visit_valid(const struct visit *v)
{
    return v->node->up && v->node->life == v->life;
}

bool sim_node_paused(const struct sim_node *n)
{
    return n->paused_us > n->sim->now_us;
}

int64_t sim_effect_us(const struct sim_node *n)
{
    return n->in_turn ? n->busy_us : n->sim->now_us;
}

static void turn_fire(struct sim *s, void *arg);

static void turn_plan(struct sim_node *n)
{
    struct sim *s = n->sim;
    if (n->turn_planned || !n->up)
        return;
    n->turn_planned = true;
    int64_t at = n->busy_us > s->now_us ? n->busy_us : s->now_us;
    at = n->paused_us > at ? n->paused_us : at;
    sim_at(s, at, turn_fire, visit_new(n, at), free);
}

static void tick_fire(struct sim *s, void *arg)
{
    AUTOFREE struct visit *v = arg;
    if (!visit_valid(v) || v->node->tick_us != v->at_us)
        return;
    v->node->tick_us = INT64_MAX;
    if (sim_node_paused(v->node)) {
        int64_t until = v->node->paused_us;
        v->at_us = v->node->tick_us = until;
        sim_at(s, until, tick_fire, TAKE(v), free);
        return;
    }
    struct event e = {.kind = EV_TICK};
    sim_event(v->node, &e);
}

/* The first moment of the simulation at which the node's CLOCK_BOOTTIME is there. */
static int64_t when(const struct sim_node *n, int64_t boot_us)
{
    int64_t at = n->base_us + (boot_us - n->boot_us) * 1000000 / (1000000 + n->ppm);
    while (sim_boot_us(n, at) < boot_us)
        at++;
    return at;
}

/* Follows the brain's deadline: not before a millisecond has passed, so that time always goes on. */
void sim_tick_plan(struct sim_node *n)
{
    struct sim *s = n->sim;
    int64_t deadline_ms = s->brain->deadline_ms(n->brain);
    if (deadline_ms == INT64_MAX) {
        n->tick_us = INT64_MAX;
        return;
    }
    int64_t at = when(n, deadline_ms * 1000);
    at = at < n->busy_us + 1000 ? n->busy_us + 1000 : at;
    if (at == n->tick_us)
        return;
    n->tick_us = at;
    sim_at(s, at, tick_fire, visit_new(n, at), free);
}

static int64_t commit_us(struct sim *s, const struct sim_node *n)
{
    int64_t us = sim_draw(&s->net_prng, s->opts.commit) * n->slow;
    bool slow = prng_below(&s->net_prng, 1000000) < (uint64_t)s->opts.slow_commit_ppm;
    return slow && n->slow == 1 ? us * 20 : us;
}

/* The brain's turn with what is there, bounded. */
static void turn_run(struct sim *s, struct sim_node *n)
{
    struct event batch[BATCH_MAX];
    size_t k = n->events_n < BATCH_MAX ? n->events_n : BATCH_MAX;
    memcpy(batch, n->events, k * sizeof *batch);
    n->events_n -= k;
    memmove(n->events, n->events + k, n->events_n * sizeof *batch);
    sim_mark(s, 2, (uint64_t)n->index, k);
    for (size_t i = 0; i < k; i++)
        if (batch[i].kind == EV_KEEPER_DIED)
            n->seen = n->keepers;
    n->busy_us = s->now_us + commit_us(s, n);
    n->last_turn_us = s->now_us;
    n->in_turn = true;
    s->brain->turn(n->brain, batch, k);
    n->in_turn = false;
    for (size_t i = 0; i < k; i++)
        event_fini(&batch[i]);
}

static void end_fire(struct sim *s, void *arg)
{
    AUTOFREE struct visit *v = arg;
    if (!visit_valid(v))
        return;
    s->brain->close(v->node->brain);
    sim_note(s, v->node, "ended");
    simlife_ended(s, v->node);
}

static void turn_fire(struct sim *s, void *arg)
{
    AUTOFREE struct visit *v = arg;
    struct sim_node *n = v->node;
    if (!visit_valid(v))
        return;
    n->turn_planned = false;
    if (sim_node_paused(n)) {
        turn_plan(n);
        return;
    }
    turn_run(s, n);
    simlife_busy(s, n);
    check_turn(s);
    if (s->brain->finished ? s->brain->finished(n->brain) : n->stopping) {
        sim_at(s, n->busy_us, end_fire, visit_new(n, n->busy_us), free);
        return;
    }
    sim_tick_plan(n);
    if (n->events_n)
        turn_plan(n);
}

void sim_event(struct sim_node *n, struct event *e TAKES)
{
    if (!n->up) {
        event_fini(e);
        return;
    }
    int64_t at_us =
        sim_node_paused(n) ? n->paused_us : n->sim->now_us; /* a stopped I/O thread stamps nothing */
    e->at_boot_ms = sim_boot_us(n, at_us) / 1000;
    sim_mark(n->sim, 3, (uint64_t)n->index, (uint64_t)e->kind);
    ARRAY_GROW(n->events, n->events_n, n->events_cap);
    n->events[n->events_n++] = *e;
    *e = (struct event){0};
    turn_plan(n);
}

void sim_deliver(struct sim_node *n, struct request *r TAKES)
{
    struct sim *s = n->sim;
    r->arrived_boot_ms = sim_boot_ms(n);
    if (s->brain->request && s->brain->request(n->brain, r)) {
        sim_tick_plan(n);
        return;
    }
    struct event e = {.kind = EV_REQUEST, .request = r};
    sim_event(n, &e);
}
