/* Light nodes: what each does at its time and with what arrives, and the cluster of them. How they look for
 * rows is light_pull.c's, who lives light_judge.c's, the way of messages light_net.c's; whom, how often, what
 * a vector proves and who is dead is core/'s. What is measured is sim/main/light.c's.
 */
#include "sim/light_inside.h"

#include <string.h>

#include "base/ensure.h"

#define TICK_US  100000
#define PING_MS  1000 /* timeouts, as node/peer.c and node/pull.c have them */
#define PULL_MS  5000
#define CONTACTS 3

/* ---- a node's time ---- */

static void ping_next(struct light *l, int self)
{
    struct light_node *n = node(l, self);
    for (size_t tries = 0; tries < n->list_n; tries++) {
        int about = (int)n->list[fanout_round_next(&n->round, &n->prng)];
        if (n->peers[about].state == ALIVE && !n->peers[about].watched) {
            light_ping(l, self, about);
            return;
        }
    }
}

static void failed(struct light *l, int self, struct call *c, bool refused)
{
    switch (c->word) {
    case WORD_PING:
        if (c->origin < 0)
            light_ping_failed(l, self, c->to, refused);
        else
            light_answer(
                l,
                &(struct message){.word = WORD_PROBE, .from = c->origin, .to = self, .call = c->origin_call},
                mem_alloc(sizeof(struct pack)), 1);
        break;
    case WORD_PULL:
        node(l, self)->peers[c->to].pulling = node(l, self)->peers[c->to].again = false;
        node(l, self)->peers[c->to].base = 0;
        break;
    case WORD_POKE:
        node(l, self)->peers[c->to].poking = false;
        break;
    case WORD_PROBE:
        break;
    }
    vv_fini(&c->cursor);
}

static void calls_expire(struct light *l, int self)
{
    struct light_node *n = node(l, self);
    for (size_t i = n->calls_n; i-- > 0;) {
        int64_t limit_ms = n->calls[i].word == WORD_PING ? PING_MS : PULL_MS;
        struct call c;
        if (l->now_us - n->calls[i].sent_us < limit_ms * 1000 || !light_call_take(n, n->calls[i].number, &c))
            continue;
        failed(l, self, &c, false);
    }
}

static void tick(struct light *l, int self)
{
    struct light_node *n = node(l, self);
    calls_expire(l, self);
    if (l->now_us >= n->draw_us) {
        light_each_drawn(l, self, -1, light_fanout(n), light_pull);
        int64_t sync_us = l->o.sync_ms * 1000;
        n->draw_us =
            l->now_us + sync_us - sync_us / 10 + (int64_t)prng_below(&n->prng, (uint64_t)sync_us / 5);
    }
    for (size_t i = n->watches_n; i-- > 0;)
        if (i < n->watches_n)
            light_watch_judge(l, self, &n->watches[i]);
    if (l->now_us >= n->ping_us) {
        n->ping_us = l->now_us + l->o.ping_ms * 1000;
        for (size_t i = 0; i < (light_is_mesh(n) ? n->list_n : 1); i++)
            ping_next(l, self);
    }
    light_plan(l, (struct message){.at_us = l->now_us + TICK_US, .what = M_TICK, .to = self});
}

/* ---- the loop ---- */

static void requested(struct light *l, const struct message *m)
{
    struct call *c;
    light_lives(l, m->to, m->from, NULL);
    switch (m->word) {
    case WORD_PING:
        light_answer(l, m, NULL, PONG_BYTES);
        return;
    case WORD_PROBE:
        l->count.pings++;
        c = light_request(l, m->to, m->pack->about, WORD_PING, NULL, PING_BYTES);
        c->origin = m->from;
        c->origin_call = m->call;
        return;
    case WORD_PULL:
        light_pull_serve(l, m);
        return;
    case WORD_POKE:
        light_answer(l, m, NULL, 0);
        light_pull(l, m->to, m->from);
        return;
    }
}

static void answered(struct light *l, struct call *c, const struct message *m)
{
    struct pack *p;
    switch (m->word) {
    case WORD_PING:
        if (c->origin < 0) {
            light_lives(l, m->to, c->to, c);
            return;
        }
        p = mem_alloc(sizeof *p);
        p->good = true;
        light_answer(
            l, &(struct message){.word = WORD_PROBE, .from = c->origin, .to = m->to, .call = c->origin_call},
            p, PONG_BYTES);
        return;
    case WORD_PROBE:
        light_probed(l, m->to, c, m->pack->good);
        return;
    case WORD_PULL:
        light_pulled(l, m->to, c, m->pack);
        return;
    case WORD_POKE:
        node(l, m->to)->peers[c->to].poking = false;
        if (node(l, m->to)->peers[c->to].poke_again)
            light_poke(l, m->to, c->to);
        return;
    }
}

/* When rows that come now are committed: one transaction at a time, and the next one takes all that came
 * during the last. */
static int64_t commit_us(struct light *l, struct light_node *n)
{
    int64_t *end = n->commit_us;
    if (l->now_us >= end[0])
        end[0] = end[1];
    if (l->now_us >= end[0])
        return end[0] = end[1] = l->now_us + sim_draw(&l->prng, l->o.commit);
    if (end[1] == end[0])
        end[1] += sim_draw(&l->prng, l->o.commit);
    return end[1];
}

static void arrived(struct light *l, struct message *m)
{
    struct light_node *n = node(l, m->to);
    struct call c = {0};
    if (m->what == M_TICK && n->alive)
        tick(l, m->to);
    else if (m->what == M_REQUEST && n->alive)
        requested(l, m);
    else if (m->what == M_REQUEST && !n->silent)
        light_send(l, (struct message){.what = M_REFUSED, .from = m->to, .to = m->from, .call = m->call}, 0);
    else if (m->what == M_ANSWER && n->alive && m->pack && m->pack->ranges_n) {
        struct message later = *m;
        later.what = M_COMMITTED;
        later.at_us = commit_us(l, n);
        m->pack = NULL;
        light_plan(l, later);
    } else if ((m->what == M_ANSWER || m->what == M_COMMITTED) && n->alive && light_call_take(n, m->call, &c))
        answered(l, &c, m);
    else if (m->what == M_REFUSED && n->alive && light_call_take(n, m->call, &c))
        failed(l, m->to, &c, true);
    vv_fini(&c.cursor);
    light_pack_free(m->pack);
}

void light_run(struct light *l, int64_t until_us)
{
    while (l->heap_n && l->heap[0].at_us <= until_us) {
        struct message m = light_next(l);
        l->now_us = m.at_us;
        l->digest = prng_mix(l->digest ^ (uint64_t)m.at_us) ^ ((uint64_t)m.to << 8 | (uint64_t)m.word);
        arrived(l, &m);
    }
    l->now_us = until_us;
}

/* ---- the cluster ---- */

struct light_opts light_opts_default(uint64_t seed, int nodes)
{
    struct sim_opts o = sim_opts_default(seed, 3);
    return (struct light_opts){.seed = seed,
                               .nodes = nodes,
                               .link = o.link,
                               .commit = o.commit,
                               .row_bytes = 250,
                               .sync_ms = 500,
                               .ping_ms = 1000,
                               .pokes = true};
}

/* A node that knows nobody yet. */
static void node_begin(struct light *l, int i)
{
    struct light_node *n = node(l, i);
    n->alive = true;
    prng_init(&n->prng, prng_next(&l->prng));
    n->changed = mem_array((size_t)l->nodes_cap, sizeof *n->changed);
    n->peers = mem_array((size_t)l->nodes_cap, sizeof *n->peers);
    n->version = 1;
    n->draw_us = l->now_us + (int64_t)prng_below(&n->prng, (uint64_t)l->o.sync_ms * 1000);
    n->ping_us = l->now_us + (int64_t)prng_below(&n->prng, (uint64_t)l->o.ping_ms * 1000);
    light_plan(l, (struct message){
                      .at_us = l->now_us + (int64_t)prng_below(&n->prng, TICK_US), .what = M_TICK, .to = i});
    l->alive++;
}

/* As if all had been there for long: each has the others' rows, and they know that. */
static void acquaint(struct light *l, int i)
{
    struct light_node *n = node(l, i);
    for (int k = 0; k < l->nodes_n; k++) {
        light_know(l, i, k);
        n->peers[k].base = 1;
        n->changed[k] = 1;
        vv_raise(&n->vv, k + 1, 1);
        vv_raise(&n->has, k + 1, 1);
    }
    ARRAY_GROW(n->rows, n->rows_n, n->rows_cap);
    n->rows[n->rows_n++] = (struct light_row){1, ROW_NODE, i};
}

struct light *light_new(const struct light_opts *o)
{
    struct light *l = mem_alloc(sizeof *l);
    l->o = *o;
    l->nodes_n = o->nodes;
    l->nodes_cap = o->nodes + o->spare;
    l->nodes = mem_array((size_t)l->nodes_cap, sizeof *l->nodes);
    prng_init(&l->prng, o->seed);
    for (int i = 0; i < l->nodes_n; i++) {
        node_begin(l, i);
        acquaint(l, i);
    }
    return l;
}

static void node_fini(struct light_node *n)
{
    for (size_t i = 0; i < n->calls_n; i++)
        vv_fini(&n->calls[i].cursor);
    vv_fini(&n->vv);
    vv_fini(&n->has);
    free(n->changed);
    free(n->peers);
    free(n->list);
    fanout_round_fini(&n->round);
    free(n->watches);
    free(n->calls);
    free(n->rows);
}

void light_free(struct light *l)
{
    if (!l)
        return;
    for (size_t i = 0; i < l->heap_n; i++)
        light_pack_free(l->heap[i].pack);
    for (int i = 0; i < l->nodes_n; i++)
        node_fini(node(l, i));
    for (size_t i = 0; i < l->tracks_n; i++)
        free(l->tracks[i].hops);
    free(l->heap);
    free(l->nodes);
    free(l->tracks);
    free(l);
}

int64_t light_now_us(const struct light *l)
{
    return l->now_us;
}

struct light_counters light_counters(const struct light *l)
{
    return l->count;
}

uint64_t light_digest(const struct light *l)
{
    return l->digest;
}

void light_set_loss(struct light *l, int ppm)
{
    l->o.loss_ppm = ppm;
}

void light_set_pokes(struct light *l, bool pokes)
{
    l->o.pokes = pokes;
}

int light_alive(const struct light *l)
{
    return l->alive;
}

int light_any(struct light *l)
{
    ensure(l->alive > 0, "nobody lives");
    for (;;) {
        int i = (int)prng_below(&l->prng, (uint64_t)l->nodes_n);
        if (node(l, i)->alive)
            return i;
    }
}

int light_write(struct light *l, int i)
{
    ARRAY_GROW(l->tracks, l->tracks_n, l->tracks_cap);
    l->tracks[l->tracks_n++] = (struct track){l->now_us, -1, 0, mem_array((size_t)l->nodes_cap, sizeof(int))};
    light_write_row(l, i, ROW_DATA, (int)l->tracks_n - 1);
    return (int)l->tracks_n - 1;
}

int64_t light_spread_us(const struct light *l, int row)
{
    const struct track *t = &l->tracks[row];
    return t->everywhere_us < 0 ? -1 : t->everywhere_us - t->born_us;
}

int64_t light_news_bytes(const struct light *l, int i)
{
    return node(l, i)->news_bytes;
}

int light_holders(const struct light *l, int row)
{
    return l->tracks[row].holders;
}

int light_hops(const struct light *l, int row)
{
    int most = 0;
    for (int i = 0; i < l->nodes_n; i++)
        most = l->tracks[row].hops[i] > most ? l->tracks[row].hops[i] : most;
    return most;
}

void light_kill(struct light *l, int i, bool silent)
{
    struct light_node *n = node(l, i);
    ensure(n->alive, "node %d is dead", i);
    n->alive = false;
    n->silent = silent;
    l->alive--;
}

int light_mourners(const struct light *l, int i)
{
    int count = 0;
    for (int k = 0; k < l->nodes_n; k++)
        count += node(l, k)->alive && node(l, k)->peers[i].state == DOWN;
    return count;
}

int light_join(struct light *l)
{
    int contacts[CONTACTS], i = l->nodes_n;
    ensure(i < l->nodes_cap, "no room for another node");
    for (int k = 0; k < CONTACTS; k++)
        contacts[k] = light_any(l);
    l->nodes_n++;
    node_begin(l, i);
    for (int k = 0; k < CONTACTS; k++)
        light_know(l, i, contacts[k]);
    light_write_row(l, i, ROW_NODE, i);
    return i;
}

static bool knows_all(const struct light *l, int i)
{
    for (int k = 0; k < l->nodes_n; k++)
        if (k != i && node(l, k)->alive && node(l, i)->peers[k].state != ALIVE)
            return false;
    return true;
}

bool light_settled(const struct light *l)
{
    const struct light_node *first = NULL;
    for (int i = 0; i < l->nodes_n; i++) {
        const struct light_node *n = node(l, i);
        if (!n->alive)
            continue;
        first = first ? first : n;
        if (!vv_equal(&n->vv, &first->vv) || !knows_all(l, i))
            return false;
    }
    return true;
}
