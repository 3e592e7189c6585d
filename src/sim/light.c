/* Light nodes and the network between them. Decides what they say to each other and when; whom, how often,
 * what a vector proves and who is dead is core/'s. What is measured is sim/main/light.c's.
 *
 * A row is known by its actor (its node's index + 1) and its stamp (the moment it was written). What a node
 * holds is a vector, for rows come in order; what it may show as proof is another one, as in node/pull.h.
 */
#include "sim/light.h"

#include <string.h>

#include "base/ensure.h"
#include "core/detect.h"
#include "core/fanout.h"
#include "core/vv.h"

#define TICK_US     100000
#define PING_MS     1000 /* timeouts, as node/peer.c and node/pull.c have them */
#define PULL_MS     5000
#define RESEND_US   200000
#define PAGE_ROWS   256
#define PROBES      3
#define CONTACTS    3
#define WHOLE_EVERY 64
/* With the heads and TLS records of real nodes: between equal replicas a ping takes 204 bytes and its answer
 * 240, a pull 198 and its answer 153. */
#define REQUEST_BYTES 128
#define ANSWER_BYTES  138
#define PING_BYTES    76
#define PONG_BYTES    102
#define PULL_BYTES    70 /* without entries of vectors, 16 each */
#define PAGE_BYTES    15
#define MAIL_BYTES    33

enum word { WORD_PING, WORD_PROBE, WORD_PULL, WORD_POKE };
enum kind { ROW_DATA, ROW_NODE, ROW_HINT };
enum known { STRANGER, ALIVE, DOWN };

struct light_row {
    int64_t hlc;
    enum kind kind;
    int about; /* ROW_DATA: its number; else a node */
};

/* A range of rows of one actor, up to hlc. */
struct range {
    int64_t actor, from, to;
};

/* What a message carries. */
struct pack {
    struct vv vv, cursor;
    struct range *ranges;
    size_t ranges_n, ranges_cap;
    bool more, good;
    int about;
};

struct message {
    int64_t at_us;
    uint64_t order, call;
    enum { M_TICK, M_REQUEST, M_ANSWER, M_COMMITTED, M_REFUSED } what;
    enum word word;
    int from, to;
    struct pack *pack; /* owned; may be NULL */
};

struct call {
    uint64_t number;
    enum word word;
    int to, about;
    int64_t sent_us;
    uint32_t version; /* of our vector */
    struct vv cursor; /* WORD_PULL: of its chain */
    int64_t rows;     /* of the chain */
    int origin;       /* WORD_PING: for whom, or -1 */
    uint64_t origin_call;
};

/* Somebody who is looked after, since a ping failed or somebody said so. */
struct watch {
    int about;
    struct detector d;
    int64_t next_us;
    int silent;            /* others who got no answer, either */
    bool hinted, heard_of; /* we told everybody; somebody told us */
};

struct light_peer {
    uint8_t state; /* enum known */
    bool pulling, again, poking, poke_again, watched;
    uint32_t base; /* version of our vector that it knows */
};

struct light_node {
    bool alive, silent;
    struct prng prng;
    struct vv vv, has;
    uint32_t *changed, version; /* by index of the actor: when its entry of vv changed */
    uint32_t pulls;
    struct light_peer *peers; /* by index */
    size_t *list;             /* those it knows, in the order it met them */
    struct fanout_round round;
    size_t list_n, list_cap;
    struct watch *watches;
    size_t watches_n, watches_cap;
    struct call *calls;
    size_t calls_n, calls_cap;
    int64_t draw_us, ping_us, passed_us; /* passed: when word was last passed on */
    int64_t commit_us[2];                /* the end of the transaction that runs, and of the next one */
    struct light_row *rows;              /* its own */
    size_t rows_n, rows_cap;
    int64_t news_bytes; /* that it sent */
};

struct track {
    int64_t born_us, everywhere_us;
    int holders;
    int *hops; /* by node: of its way there; owned */
};

struct light {
    struct light_opts o;
    struct prng prng;
    int64_t now_us;
    int nodes_n, nodes_cap, alive;
    struct light_node *nodes;
    struct message *heap;
    size_t heap_n, heap_cap;
    uint64_t planned, next_call, digest;
    struct track *tracks;
    size_t tracks_n, tracks_cap;
    struct light_counters count;
};

/* ---- messages ---- */

static void pack_free(struct pack *p)
{
    if (!p)
        return;
    vv_fini(&p->vv);
    vv_fini(&p->cursor);
    free(p->ranges);
    free(p);
}

static bool before(const struct message *a, const struct message *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

static void plan(struct light *l, struct message m)
{
    m.order = l->planned++;
    ARRAY_GROW(l->heap, l->heap_n, l->heap_cap);
    size_t i = l->heap_n++;
    for (; i > 0 && before(&m, &l->heap[(i - 1) / 2]); i = (i - 1) / 2)
        l->heap[i] = l->heap[(i - 1) / 2];
    l->heap[i] = m;
}

static struct message next(struct light *l)
{
    struct message first = l->heap[0], last = l->heap[--l->heap_n];
    size_t i = 0;
    for (size_t k; (k = 2 * i + 1) < l->heap_n; i = k) {
        k += k + 1 < l->heap_n && before(&l->heap[k + 1], &l->heap[k]);
        if (before(&last, &l->heap[k]))
            break;
        l->heap[i] = l->heap[k];
    }
    l->heap[i] = last;
    return first;
}

/* TCP sends again what was lost. */
static int64_t delay_us(struct light *l)
{
    int64_t us = sim_draw(&l->prng, l->o.link);
    for (int64_t again = RESEND_US; prng_below(&l->prng, 1000000) < (uint64_t)l->o.loss_ppm; again *= 2)
        us += again;
    return us;
}

static void send(struct light *l, struct message m, size_t bytes)
{
    m.at_us += l->now_us + delay_us(l);
    l->count.messages++;
    l->count.bytes += (int64_t)bytes;
    plan(l, m);
}

static struct light_node *node(const struct light *l, int i)
{
    return &l->nodes[i];
}

static void count_news(struct light *l, int from, enum word word, size_t bytes)
{
    if (word != WORD_PULL && word != WORD_POKE)
        return;
    l->count.news_messages++;
    l->count.news_bytes += (int64_t)bytes;
    node(l, from)->news_bytes += (int64_t)bytes;
}

/* ---- calls ---- */

static struct call *request(struct light *l, int from, int to, enum word word, struct pack *p TAKES,
                            size_t bytes)
{
    struct light_node *n = node(l, from);
    ARRAY_GROW(n->calls, n->calls_n, n->calls_cap);
    struct call *c = &n->calls[n->calls_n++];
    *c = (struct call){
        .number = ++l->next_call, .word = word, .to = to, .sent_us = l->now_us, .about = to, .origin = -1};
    count_news(l, from, word, REQUEST_BYTES + bytes);
    send(l,
         (struct message){
             .what = M_REQUEST, .word = word, .from = from, .to = to, .call = c->number, .pack = p},
         REQUEST_BYTES + bytes);
    return c;
}

static void answer(struct light *l, const struct message *m, struct pack *p TAKES, size_t bytes)
{
    count_news(l, m->to, m->word, ANSWER_BYTES + bytes);
    send(l,
         (struct message){
             .what = M_ANSWER, .word = m->word, .from = m->to, .to = m->from, .call = m->call, .pack = p},
         ANSWER_BYTES + bytes);
}

static bool call_take(struct light_node *n, uint64_t number, struct call *ret)
{
    for (size_t i = 0; i < n->calls_n; i++)
        if (n->calls[i].number == number) {
            *ret = n->calls[i];
            n->calls[i] = n->calls[--n->calls_n];
            return true;
        }
    return false;
}

/* ---- whom a node knows ---- */

static void know(struct light *l, int self, int about)
{
    struct light_node *n = node(l, self);
    struct light_peer *p = &n->peers[about];
    if (about == self || p->state == ALIVE)
        return;
    if (p->state == STRANGER) {
        ARRAY_GROW(n->list, n->list_n, n->list_cap);
        n->list[n->list_n++] = (size_t)about;
        fanout_round_add(&n->round, &n->prng);
    }
    p->state = ALIVE;
}

/* Those who may be drawn, but for one; yours. */
static size_t *candidates(const struct light_node *n, int but, size_t *ret_n)
{
    size_t *list = mem_array(n->list_n + 1, sizeof *list), count = 0;
    for (size_t i = 0; i < n->list_n; i++) {
        const struct light_peer *p = &n->peers[n->list[i]];
        if (p->state == ALIVE && !p->watched && (int)n->list[i] != but)
            list[count++] = n->list[i];
    }
    *ret_n = count;
    return list;
}

/* So many of them. */
static void each_drawn(struct light *l, int self, int but, size_t want,
                       void (*fn)(struct light *l, int self, int other))
{
    struct light_node *n = node(l, self);
    size_t count, drawn[FANOUT_MESH_MAX];
    AUTOFREE size_t *list = candidates(n, but, &count);
    size_t got = fanout_draw(&n->prng, count, want, drawn);
    for (size_t i = 0; i < got; i++)
        fn(l, self, (int)list[drawn[i]]);
}

static bool is_mesh(const struct light_node *n)
{
    return fanout_is_mesh(n->list_n + 1);
}

/* How many others are asked at a time, and told of what was written where nobody gossips. */
static size_t fanout(const struct light_node *n)
{
    return is_mesh(n) ? FANOUT_MESH_MAX : FANOUT_PEERS;
}

/* ---- pulling ---- */

static size_t entries_changed(const struct light *l, const struct light_node *n, uint32_t base)
{
    size_t count = 0;
    for (int i = 0; base < n->version && i < l->nodes_n; i++)
        count += n->changed[i] > base;
    return count; /* base 0: all */
}

static void pull_page(struct light *l, int self, int to, struct vv *cursor TAKES, int64_t rows)
{
    struct light_node *n = node(l, self);
    struct light_peer *p = &n->peers[to];
    struct pack *out = mem_alloc(sizeof *out);
    size_t entries = entries_changed(l, n, ++n->pulls % WHOLE_EVERY ? p->base : 0) + cursor->n;
    vv_copy(&out->vv, &n->vv);
    vv_copy(&out->cursor, cursor);
    p->pulling = true;
    p->again = false;
    l->count.pulls++;
    struct call *c = request(l, self, to, WORD_PULL, out, PULL_BYTES + 16 * entries);
    c->version = n->version;
    c->cursor = *cursor;
    c->rows = rows;
}

static void pull(struct light *l, int self, int to)
{
    struct vv none = VV_INIT;
    if (node(l, self)->peers[to].pulling)
        node(l, self)->peers[to].again = true;
    else
        pull_page(l, self, to, &none, 0);
}

static void poke(struct light *l, int self, int to)
{
    struct light_peer *p = &node(l, self)->peers[to];
    p->poke_again = p->poking;
    if (p->poking)
        return;
    p->poking = true;
    l->count.pokes++;
    request(l, self, to, WORD_POKE, NULL, MAIL_BYTES);
}

/* Rows of an actor above `from`, as many as there is room for. */
static size_t page_add(const struct light *l, struct pack *out, int64_t actor, int64_t from, int64_t to,
                       size_t room)
{
    const struct light_node *by = node(l, (int)actor - 1);
    size_t i = by->rows_n, count = 0;
    while (i > 0 && by->rows[i - 1].hlc > from)
        i--;
    for (; i < by->rows_n && by->rows[i].hlc <= to && count < room; i++)
        count++;
    out->more |= i < by->rows_n && by->rows[i].hlc <= to;
    if (count == 0)
        return 0;
    ARRAY_GROW(out->ranges, out->ranges_n, out->ranges_cap);
    out->ranges[out->ranges_n++] = (struct range){actor, from, by->rows[i - 1].hlc};
    return count;
}

static void pull_serve(struct light *l, const struct message *m)
{
    const struct light_node *n = node(l, m->to);
    struct pack *out = mem_alloc(sizeof *out);
    const struct vv *theirs = &m->pack->vv;
    size_t rows = 0, entries = 0, j = 0;
    for (size_t i = 0; i < n->has.n && !out->more; i++) {
        int64_t actor = n->has.e[i].actor, hlc = 0;
        while (j < theirs->n && theirs->e[j].actor < actor)
            j++;
        hlc = j < theirs->n && theirs->e[j].actor == actor ? theirs->e[j].hlc : 0;
        if (n->has.e[i].hlc <= hlc)
            continue;
        entries++;
        int64_t passed = vv_get(&m->pack->cursor, actor);
        hlc = passed > hlc ? passed : hlc;
        if (n->has.e[i].hlc > hlc)
            rows += page_add(l, out, actor, hlc, n->has.e[i].hlc, PAGE_ROWS - rows);
    }
    vv_copy(&out->vv, &n->vv);
    answer(l, m, out, PAGE_BYTES + 16 * entries + rows * (size_t)l->o.row_bytes);
}

static void look_after(struct light *l, int self, int about, bool heard_of);

static void row_new(struct light *l, int self, int from, const struct light_row *row)
{
    struct track *t;
    switch (row->kind) {
    case ROW_NODE:
        know(l, self, row->about);
        return;
    case ROW_HINT:
        look_after(l, self, row->about, true);
        return;
    case ROW_DATA:
        t = &l->tracks[row->about];
        t->hops[self] = from == self ? 0 : t->hops[from] + 1;
        if (++t->holders >= l->alive && t->everywhere_us < 0)
            t->everywhere_us = l->now_us;
        return;
    }
}

static int64_t range_take(struct light *l, int self, int from, const struct range *r)
{
    struct light_node *n = node(l, self), *by = node(l, (int)r->actor - 1);
    int64_t had = vv_get(&n->has, r->actor), rows = 0;
    size_t i = by->rows_n;
    while (i > 0 && by->rows[i - 1].hlc > r->from)
        i--;
    vv_raise(&n->has, r->actor, r->to);
    for (; i < by->rows_n && by->rows[i].hlc <= r->to; i++) {
        rows++;
        if (by->rows[i].hlc > had)
            row_new(l, self, from, &(struct light_row){by->rows[i].hlc, by->rows[i].kind, by->rows[i].about});
        else
            l->count.twice++;
    }
    l->count.rows += rows;
    return rows;
}

static size_t passed_on_to(const struct light *l, const struct light_node *n)
{
    if (l->o.recipients == 0)
        return is_mesh(n) ? 0 : FANOUT_PEERS;
    return (size_t)l->o.recipients < n->list_n ? (size_t)l->o.recipients : 0;
}

static void vector_raise(struct light_node *n, const struct vv *theirs)
{
    for (size_t i = 0, j = 0; i < theirs->n; i++) {
        const struct vv_entry *e = &theirs->e[i];
        while (j < n->vv.n && n->vv.e[j].actor < e->actor)
            j++;
        if (j < n->vv.n && n->vv.e[j].actor == e->actor && n->vv.e[j].hlc >= e->hlc)
            continue;
        vv_raise(&n->vv, e->actor, e->hlc);
        n->changed[e->actor - 1] = ++n->version;
    }
}

static void pulled(struct light *l, int self, struct call *c, const struct pack *in)
{
    struct light_node *n = node(l, self);
    struct light_peer *p = &n->peers[c->to];
    p->pulling = false;
    p->base = c->version;
    for (size_t i = 0; i < in->ranges_n; i++) {
        c->rows += range_take(l, self, c->to, &in->ranges[i]);
        vv_raise(&c->cursor, in->ranges[i].actor, in->ranges[i].to);
    }
    if (in->more) {
        pull_page(l, self, c->to, &c->cursor, c->rows);
        c->cursor = VV_INIT;
        return;
    }
    vector_raise(n, &in->vv);
    if (c->rows > 0 || p->again) /* what came is acknowledged at once */
        pull(l, self, c->to);
    if (c->rows > 0 && l->o.pokes && n->passed_us != l->now_us) {
        n->passed_us = l->now_us;
        each_drawn(l, self, c->to, passed_on_to(l, n), poke);
    }
}

/* ---- judging ---- */

static struct watch *watch_find(struct light_node *n, int about)
{
    for (size_t i = 0; i < n->watches_n; i++)
        if (n->watches[i].about == about)
            return &n->watches[i];
    return NULL;
}

static void watch_end(struct light_node *n, struct watch *w)
{
    n->peers[w->about].watched = false;
    *w = n->watches[--n->watches_n];
}

static void write_row(struct light *l, int self, enum kind kind, int about)
{
    struct light_node *n = node(l, self);
    int64_t last = n->rows_n ? n->rows[n->rows_n - 1].hlc : 0;
    struct light_row row = {l->now_us > last ? l->now_us : last + 1, kind, about};
    ARRAY_GROW(n->rows, n->rows_n, n->rows_cap);
    n->rows[n->rows_n++] = row;
    vv_raise(&n->has, self + 1, row.hlc);
    vv_raise(&n->vv, self + 1, row.hlc);
    n->changed[self] = ++n->version;
    if (kind == ROW_DATA)
        row_new(l, self, self, &row);
    if (l->o.pokes)
        each_drawn(l, self, -1, l->o.recipients ? (size_t)l->o.recipients : fanout(n), poke);
}

static void probe(struct light *l, int self, int about, size_t count)
{
    struct light_node *n = node(l, self);
    size_t some, drawn[PROBES];
    AUTOFREE size_t *list = candidates(n, -1, &some);
    count = fanout_draw(&n->prng, some, count, drawn);
    for (size_t i = 0; i < count; i++) {
        struct pack *p = mem_alloc(sizeof *p);
        p->about = about;
        request(l, self, (int)list[drawn[i]], WORD_PROBE, p, PING_BYTES + 80)->about = about;
    }
}

static void ping(struct light *l, int self, int about)
{
    l->count.pings++;
    request(l, self, about, WORD_PING, NULL, PING_BYTES);
}

static void look_after(struct light *l, int self, int about, bool heard_of)
{
    struct light_node *n = node(l, self);
    if (about == self || n->peers[about].state != ALIVE || n->peers[about].watched)
        return;
    if (!heard_of)
        l->count.suspicions += node(l, about)->alive;
    ARRAY_GROW(n->watches, n->watches_n, n->watches_cap);
    struct watch *w = &n->watches[n->watches_n++];
    *w = (struct watch){.about = about, .heard_of = heard_of, .next_us = l->now_us + l->o.ping_ms * 1000};
    detector_init(&w->d, l->now_us / 1000);
    n->peers[about].watched = true;
    if (heard_of)
        ping(l, self, about);
}

/* Everybody should look for themselves. */
static void hint(struct light *l, int self, struct watch *w)
{
    if (w->hinted || w->heard_of)
        return;
    w->hinted = true;
    l->count.hints += node(l, w->about)->alive;
    write_row(l, self, ROW_HINT, w->about);
}

static void ping_failed(struct light *l, int self, int about, bool refused)
{
    look_after(l, self, about, false);
    struct watch *w = watch_find(node(l, self), about);
    if (!w)
        return;
    if (refused)
        detector_refused(&w->d, l->now_us / 1000);
    if (refused)
        hint(l, self, w);
    else
        probe(l, self, about, w->heard_of || w->hinted ? 1 : PROBES);
}

static void lives(struct light *l, int self, int about, const struct call *c)
{
    struct light_node *n = node(l, self);
    struct watch *w = watch_find(n, about);
    know(l, self, about);
    if (!w)
        return;
    if (c)
        detector_answered(&w->d, c->sent_us / 1000, l->now_us / 1000, 0);
    else
        detector_heard(&w->d, l->now_us / 1000);
}

/* Somebody else asked for us. */
static void probed(struct light *l, int self, const struct call *c, bool good)
{
    struct watch *w = watch_find(node(l, self), c->about);
    if (good)
        lives(l, self, c->about, NULL);
    if (!w || good)
        return;
    detector_seconded(&w->d, c->sent_us / 1000);
    if (++w->silent == PROBES)
        hint(l, self, w);
}

static void watch_judge(struct light *l, int self, struct watch *w)
{
    struct light_node *n = node(l, self);
    struct detect_opts o = DETECT_OPTS_DEFAULT;
    o.second_opinion = true;
    enum liveness is = detector_judge(&w->d, &o, l->now_us / 1000, 0);
    if (is == LIVENESS_DOWN) {
        n->peers[w->about].state = DOWN;
        l->count.false_downs += node(l, w->about)->alive;
    }
    if (is != LIVENESS_SUSPECT) {
        watch_end(n, w);
        return;
    }
    if (l->now_us < w->next_us)
        return;
    w->next_us = l->now_us + l->o.ping_ms * 1000;
    ping(l, self, w->about);
}

/* ---- a node's time ---- */

static void ping_next(struct light *l, int self)
{
    struct light_node *n = node(l, self);
    for (size_t tries = 0; tries < n->list_n; tries++) {
        int about = (int)n->list[fanout_round_next(&n->round, &n->prng)];
        if (n->peers[about].state == ALIVE && !n->peers[about].watched) {
            ping(l, self, about);
            return;
        }
    }
}

static void failed(struct light *l, int self, struct call *c, bool refused)
{
    switch (c->word) {
    case WORD_PING:
        if (c->origin < 0)
            ping_failed(l, self, c->to, refused);
        else
            answer(
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
        if (l->now_us - n->calls[i].sent_us < limit_ms * 1000 || !call_take(n, n->calls[i].number, &c))
            continue;
        failed(l, self, &c, false);
    }
}

static void tick(struct light *l, int self)
{
    struct light_node *n = node(l, self);
    calls_expire(l, self);
    if (l->now_us >= n->draw_us) {
        each_drawn(l, self, -1, fanout(n), pull);
        int64_t sync_us = l->o.sync_ms * 1000;
        n->draw_us =
            l->now_us + sync_us - sync_us / 10 + (int64_t)prng_below(&n->prng, (uint64_t)sync_us / 5);
    }
    for (size_t i = n->watches_n; i-- > 0;)
        if (i < n->watches_n)
            watch_judge(l, self, &n->watches[i]);
    if (l->now_us >= n->ping_us) {
        n->ping_us = l->now_us + l->o.ping_ms * 1000;
        for (size_t i = 0; i < (is_mesh(n) ? n->list_n : 1); i++)
            ping_next(l, self);
    }
    plan(l, (struct message){.at_us = l->now_us + TICK_US, .what = M_TICK, .to = self});
}

/* ---- the loop ---- */

static void requested(struct light *l, const struct message *m)
{
    struct call *c;
    lives(l, m->to, m->from, NULL);
    switch (m->word) {
    case WORD_PING:
        answer(l, m, NULL, PONG_BYTES);
        return;
    case WORD_PROBE:
        l->count.pings++;
        c = request(l, m->to, m->pack->about, WORD_PING, NULL, PING_BYTES);
        c->origin = m->from;
        c->origin_call = m->call;
        return;
    case WORD_PULL:
        pull_serve(l, m);
        return;
    case WORD_POKE:
        answer(l, m, NULL, 0);
        pull(l, m->to, m->from);
        return;
    }
}

static void answered(struct light *l, struct call *c, const struct message *m)
{
    struct pack *p;
    switch (m->word) {
    case WORD_PING:
        if (c->origin < 0) {
            lives(l, m->to, c->to, c);
            return;
        }
        p = mem_alloc(sizeof *p);
        p->good = true;
        answer(l,
               &(struct message){.word = WORD_PROBE, .from = c->origin, .to = m->to, .call = c->origin_call},
               p, PONG_BYTES);
        return;
    case WORD_PROBE:
        probed(l, m->to, c, m->pack->good);
        return;
    case WORD_PULL:
        pulled(l, m->to, c, m->pack);
        return;
    case WORD_POKE:
        node(l, m->to)->peers[c->to].poking = false;
        if (node(l, m->to)->peers[c->to].poke_again)
            poke(l, m->to, c->to);
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
        send(l, (struct message){.what = M_REFUSED, .from = m->to, .to = m->from, .call = m->call}, 0);
    else if (m->what == M_ANSWER && n->alive && m->pack && m->pack->ranges_n) {
        struct message later = *m;
        later.what = M_COMMITTED;
        later.at_us = commit_us(l, n);
        m->pack = NULL;
        plan(l, later);
    } else if ((m->what == M_ANSWER || m->what == M_COMMITTED) && n->alive && call_take(n, m->call, &c))
        answered(l, &c, m);
    else if (m->what == M_REFUSED && n->alive && call_take(n, m->call, &c))
        failed(l, m->to, &c, true);
    vv_fini(&c.cursor);
    pack_free(m->pack);
}

void light_run(struct light *l, int64_t until_us)
{
    while (l->heap_n && l->heap[0].at_us <= until_us) {
        struct message m = next(l);
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
    plan(l, (struct message){
                .at_us = l->now_us + (int64_t)prng_below(&n->prng, TICK_US), .what = M_TICK, .to = i});
    l->alive++;
}

/* As if all had been there for long: each has the others' rows, and they know that. */
static void acquaint(struct light *l, int i)
{
    struct light_node *n = node(l, i);
    for (int k = 0; k < l->nodes_n; k++) {
        know(l, i, k);
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
        pack_free(l->heap[i].pack);
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
    write_row(l, i, ROW_DATA, (int)l->tracks_n - 1);
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
        know(l, i, contacts[k]);
    write_row(l, i, ROW_NODE, i);
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
