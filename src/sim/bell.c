/* Addresses, each with a number of its own, and who was called about them. It speaks HTTP as docs/hooks.md
 * has it.
 */
#include "sim/bell.h"

#include <stdio.h>
#include <string.h>

#include "base/ensure.h"
#include "base/list.h"
#include "node/brain.h"
#include "node/hook.h"
#include "sim/brain.h"
#include "wire/json.h"

#define TIMEOUT_MS 35000
#define HELD_MAX   6    /* addresses at a time */
#define SLOW_MS    6000 /* what the hook does not wait for */
#define HOOK       "/v1/hooks/name_re*/bell"

enum deed { DO_HOOK, DO_REGISTER, DO_RELEASE };
static const char *const deed_words[] = {"hook", "register", "release"};

/* Something that happened to an address, of which there is one event. */
struct stroke {
    int64_t begun_us;
    bool told;    /* by an answer that binds, while the hook was known */
    bool refused; /* it never happens */
    bool taken;   /* by the receiver */
};

struct ring {
    struct stroke strokes[2]; /* registered, released */
    bool there, busy;
};

/* A node as a caller. */
struct tower {
    int64_t down_us, last; /* its life, and the number of its last event */
};

struct taken {
    char event[64];
    int node;
    int64_t down_us; /* the life of the node */
    int64_t told_us; /* it knows since then … */
    int64_t full;    /* … unless its disk was full meanwhile: so often it had been */
};

struct bell {
    struct sim *sim;
    struct ring *rings;
    size_t n, cap;
    struct taken *taken;
    size_t taken_n, taken_cap;
    struct tower towers[SIM_NODES_MAX];
    int64_t known_us; /* every node has the hook since then; 0 = not yet */
    int64_t until_us;
    int open;
    bool hook_asked, hooked;
    int64_t calls, refusals;
};

struct errand {
    struct bell *bell;
    enum deed deed;
    size_t ring;
    int node;
    int64_t begun_us;
};

/* ---- The receiver ---- */

static int index_of(const struct bell *b, const struct sim_node *n)
{
    for (int i = 0; i < sim_nodes(b->sim); i++)
        if (sim_node(b->sim, i) == n)
            return i;
    unreachable("a node of no cluster");
}

/* "n1:17" is the event 17 of n1. */
static void in_order(struct bell *b, int node, const struct sim_called *c)
{
    struct tower *t = &b->towers[node];
    const char *colon = strchr(c->event_id, ':');
    long long number = 0;
    if (!colon || sscanf(colon, ":%lld", &number) != 1)
        sim_violation(b->sim, "an event of no number: %s", c->event_id);
    if (t->down_us != sim_node_down_us(c->node))
        *t = (struct tower){.down_us = sim_node_down_us(c->node)};
    if (c->attempt > 1)
        return;
    if (number <= t->last)
        sim_violation(b->sim, "%s tells of its event %lld after %lld", sim_node_name(c->node), number,
                      (long long)t->last);
    t->last = number;
}

static int64_t times_full(const struct sim_called *c)
{
    return sim_brain_of(sim_node_brain(c->node))->counters.disk_full;
}

static void not_again(struct bell *b, int node, const struct sim_called *c)
{
    for (size_t i = b->taken_n; i-- > 0;) {
        const struct taken *t = &b->taken[i];
        if (t->node == node && t->told_us < sim_now_us(b->sim) && t->down_us == sim_node_down_us(c->node) &&
            t->full == times_full(c) && strcmp(t->event, c->event_id) == 0)
            sim_violation(b->sim, "%s tells again of %s, which was taken", sim_node_name(c->node),
                          c->event_id);
    }
}

static struct stroke *stroke_of(struct bell *b, const struct sim_called *c)
{
    AUTOSTR struct str type = STR_INIT, name = STR_INIT;
    size_t n = strlen(c->body), ring;
    json_unquote(json_raw_member(c->body, n, "type"), &type);
    json_unquote(json_raw_member(c->body, n, "name"), &name);
    if (sscanf(str_get(&name), "bell-%zu", &ring) != 1 || ring >= b->n)
        return NULL;
    return strcmp(str_get(&type), "name_registered") == 0 ? &b->rings[ring].strokes[0]
           : strcmp(str_get(&type), "name_released") == 0 ? &b->rings[ring].strokes[1]
                                                          : NULL;
}

static void take(struct bell *b, int node, const struct sim_called *c, int64_t after_ms)
{
    ARRAY_GROW(b->taken, b->taken_n, b->taken_cap);
    struct taken *t = &b->taken[b->taken_n++];
    *t = (struct taken){.node = node,
                        .down_us = sim_node_down_us(c->node),
                        .full = times_full(c),
                        .told_us = sim_now_us(b->sim) + 1000 * after_ms + SIM_SECOND};
    snprintf(t->event, sizeof t->event, "%s", c->event_id);
}

static struct sim_said called(void *ctx, const struct sim_called *c)
{
    struct bell *b = ctx;
    int node = index_of(b, c->node);
    struct stroke *s = stroke_of(b, c);
    int64_t after_ms = 1 + (int64_t)prng_below(sim_prng(b->sim), 50);
    uint64_t dice = sim_now_us(b->sim) < b->until_us ? prng_below(sim_prng(b->sim), 12) : 99;
    b->calls++;
    sim_trace(b->sim, c->node, "bell: %s for the time %u: %.200s", c->event_id, c->attempt, c->body);
    in_order(b, node, c);
    not_again(b, node, c);
    if (!s || s->refused)
        sim_violation(b->sim, "%s tells of what never happened: %.200s", sim_node_name(c->node), c->body);
    b->refusals += dice < 2;
    if (dice < 2)
        return (struct sim_said){dice ? 503 : 0, after_ms, NULL};
    if (s)
        s->taken = true;
    if (dice == 2) /* and nobody hears of that */
        after_ms = SLOW_MS;
    else
        take(b, node, c, after_ms);
    return (struct sim_said){200, after_ms, NULL};
}

/* ---- What an answer proves ---- */

static bool never(int status)
{
    return status == 400 || status == 401 || status == 403 || status == 405 || status == 500;
}

/* It is so, and will be known to be so. */
static bool binds(const struct errand *e, const struct sim_reply *r)
{
    struct bell *b = e->bell;
    struct span raw = json_raw_member(r->body, r->body_n, "copies");
    int64_t copies = 1;
    if (raw.p)
        json_int(raw, &copies);
    return b->known_us && e->begun_us > b->known_us && sim_promised(b->sim, SIM_ANSWERS, e->begun_us) &&
           (copies > 0 || sim_nodes(b->sim) == 1);
}

static void errand_done(struct sim *s, void *arg, const struct sim_reply *r)
{
    AUTOFREE struct errand *e = arg;
    struct bell *b = e->bell;
    sim_trace(s, sim_node(s, e->node), "bell: %s %zu: %d %.200s", deed_words[e->deed], e->ring, r->status,
              r->body ? r->body : "");
    b->open--;
    if (never(r->status))
        sim_violation(s, "bell: %s at %s: %d %.200s", deed_words[e->deed],
                      sim_node_name(sim_node(s, e->node)), r->status, r->body);
    if (e->deed == DO_HOOK) {
        b->hook_asked = false;
        b->hooked = r->status == 200 || r->status == 201 || r->status == 409;
        return;
    }
    struct ring *ring = &b->rings[e->ring];
    struct stroke *stroke = &ring->strokes[e->deed == DO_RELEASE];
    bool good = r->status == (e->deed == DO_RELEASE ? 200 : 201);
    ring->busy = false;
    ring->there = e->deed == DO_REGISTER && good;
    stroke->told = good && binds(e, r);
    stroke->refused = r->status == 503 || (r->status == 0 && !r->sent);
    if (stroke->refused && stroke->taken)
        sim_violation(s, "bell-%zu: the receiver took what was refused", e->ring);
}

/* ---- Operations ---- */

static void errand_send(struct bell *b, enum deed deed, size_t ring)
{
    struct errand *e = mem_alloc(sizeof *e);
    char path[64] = HOOK;
    *e = (struct errand){b, deed, ring, (int)prng_below(sim_prng(b->sim), (uint64_t)sim_nodes(b->sim)),
                         sim_now_us(b->sim)};
    if (deed != DO_HOOK) {
        snprintf(path, sizeof path, "/v1/swarms/default/names/bell-%zu", ring);
        b->rings[ring].busy = true;
        b->rings[ring].strokes[deed == DO_RELEASE].begun_us = e->begun_us;
    }
    b->open++;
    sim_ask(b->sim, &(struct sim_ask){.node = e->node,
                                      .method = deed == DO_RELEASE ? HTTP_M_DELETE : HTTP_M_PUT,
                                      .path = path,
                                      .body = deed == DO_HOOK ? "{\"kind\":\"url\",\"url\":\"https://out/"
                                                                "\",\"attempts\":1000,\"name\":\"bell-*\"}"
                                              : deed == DO_REGISTER ? "{\"address\":\"x\"}"
                                                                    : NULL,
                                      .timeout_ms = TIMEOUT_MS,
                                      .done = errand_done,
                                      .drop = free,
                                      .arg = e});
}

/* One that is full, or was away, may not have heard of it for long. */
static bool all_have_it(const struct bell *b)
{
    for (int i = 0; i < sim_nodes(b->sim); i++) {
        const struct sim_node *at = sim_node(b->sim, i);
        struct node *n = sim_node_up(at) ? sim_brain_of(sim_node_brain(at)) : NULL;
        if (!sim_node_retired(at) && (!n || !n->hooks || !hook_find(n, "name_re*", "bell")))
            return false;
    }
    return true;
}

void bell_act(struct bell *b)
{
    if (!b->known_us && all_have_it(b))
        b->known_us = sim_now_us(b->sim);
    if (!b->hooked && !b->hook_asked) {
        b->hook_asked = true;
        errand_send(b, DO_HOOK, 0);
        return;
    }
    size_t there = 0, some = b->n;
    for (size_t i = 0; i < b->n; i++)
        if (b->rings[i].there && !b->rings[i].busy && prng_below(sim_prng(b->sim), ++there) == 0)
            some = i;
    if (there && prng_below(sim_prng(b->sim), HELD_MAX) < there) {
        errand_send(b, DO_RELEASE, some);
        return;
    }
    ARRAY_GROW(b->rings, b->n, b->cap);
    b->rings[b->n] = (struct ring){.busy = true};
    errand_send(b, DO_REGISTER, b->n++);
}

int bell_open(const struct bell *b)
{
    return b->open;
}

void bell_begin(struct bell *b, int64_t until_us)
{
    b->until_us = until_us;
}

/* ---- The check ---- */

/* What waited for a call may be gone, with the disk that it was on. */
static bool may_be_lost(struct sim *s, int64_t since_us)
{
    bool lost = sim_lost_us(s) >= since_us && sim_lost_us(s) > 0;
    for (int i = 0; i < sim_nodes(s); i++)
        lost |= sim_node_retired(sim_node(s, i)) && sim_node_down_us(sim_node(s, i)) >= since_us;
    return lost;
}

static bool all_were_called(struct sim *s, void *ctx, struct str *why)
{
    const struct bell *b = ctx;
    static const char *const words[] = {"registered", "released"};
    for (size_t i = 0; i < b->n; i++)
        for (size_t k = 0; k < COUNT(words); k++) {
            const struct stroke *x = &b->rings[i].strokes[k];
            if (x->told && !x->taken && !may_be_lost(s, x->begun_us))
                str_printf(why, "bell-%zu was %s at %.6f, and nobody was called; ", i, words[k],
                           (double)x->begun_us / SIM_SECOND);
        }
    return why->n == 0;
}

bool bell_waits(const struct bell *b)
{
    AUTOSTR struct str why = STR_INIT;
    return !all_were_called(b->sim, (void *)(uintptr_t)b, &why);
}

struct bell *bell_new(struct sim *s)
{
    struct bell *b = mem_alloc(sizeof *b);
    b->sim = s;
    sim_outside(s, called, b);
    sim_check_add(s, &(struct sim_check){"a hook is called about every event", false, all_were_called, b});
    return b;
}

void bell_free(struct bell *b)
{
    if (!b)
        return;
    free(b->rings);
    free(b->taken);
    free(b);
}

void bell_summary(struct bell *b)
{
    int64_t told = 0, taken = 0;
    for (size_t i = 0; i < b->n; i++)
        for (int k = 0; k < 2; k++) {
            told += b->rings[i].strokes[k].told;
            taken += b->rings[i].strokes[k].taken;
        }
    sim_note(b->sim, NULL, "bell     %lld acknowledged, %lld taken, %lld calls, %lld of them refused",
             (long long)told, (long long)taken, (long long)b->calls, (long long)b->refusals);
}
