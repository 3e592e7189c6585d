/* The network of the simulation: calls between nodes as their brains make them, requests of clients, answers.
 *
 * It models what TCP makes of a network: packets are late, never lost or out of order within a connection (a
 * lost one is sent again after 200 ms, 400 ms …), connections are refused where nobody listens, break when
 * the other end dies, and go silent when its machine does, or when the link is cut (link.c). Each (from, to,
 * lane) is one connection with one call outstanding. Whoever does not hear an answer knows nothing: a call
 * that has timed out, or whose connection broke, may have been carried out, or may be later, even after calls
 * on newer connections; its answer is dropped.
 *
 * Messages name nodes by index and life, and calls by number: whatever they meet may be gone by then.
 */
#include <stdio.h>
#include <string.h>

#include "base/ensure.h"
#include "sim/inside.h"

#define RESEND_US    200000
#define CONNECT_US   SIM_SECOND
#define RESENDS_MAX  7 /* of what nobody waits for any more: for about 25 s */
#define CLIENT_LIFE  0
#define CLIENT_LIMIT 45000 /* ms */

/* A call of a brain that has not ended yet. */
struct wire_call {
    uint64_t number;
    struct peer_call *call; /* owned */
    struct sim_node *from, *to;
    struct lane *lane;
    bool sent;
    TAILQ_ENTRY(wire_call) link;
    UT_hash_handle hh;
};

struct lane {
    TAILQ_HEAD(, wire_call) calls;
    bool connected;
    struct id to_id;  /* of the other end, when it connected … */
    uint64_t to_life; /* … and its life */
};

/* A request of a client that has not ended yet. */
struct wire_ask {
    uint64_t number;
    struct sim_ask ask; /* its strings are not used any more */
    bool sent;          /* it may have arrived */
    UT_hash_handle hh;
};

/* A request that waits for its answer at a node. */
struct wire_request {
    uint64_t id;
    uint64_t call, ask; /* one of the two */
    struct sim_node *at, *from;
    UT_hash_handle hh;
};

struct simnet {
    struct sim *sim;
    uint64_t numbers;
    struct wire_call *calls;
    struct wire_ask *asks;
    struct wire_request *requests;
    struct lane lanes[SIM_NODES_MAX][SIM_NODES_MAX][NET_LANES];
};

/* What travels. */
struct packet {
    struct simnet *net;
    uint64_t number; /* of the call or ask it belongs to */
    struct sim_node *from, *to;
    uint64_t from_life, to_life;
    int resends;
    struct request *request; /* owned */
    struct answer *answer;   /* owned */
    enum net_failure failure;
    struct peer_call *call; /* owned, before it takes effect */
    bool fresh;             /* on a connection of its own making */
    bool accepted;          /* the other end's kernel has it */
    enum net_lane lane;
    struct id expected;
};

static void packet_free(void *arg)
{
    struct packet *p = arg;
    request_free(p->request);
    answer_free(p->answer);
    peer_call_free(p->call);
    free(p);
}

static void packet_done(struct packet **p)
{
    if (*p)
        packet_free(*p);
}
#define AUTOPACKET CLEANUP(packet_done)

static struct packet *packet_new(struct simnet *net, uint64_t number, struct sim_node *from,
                                 struct sim_node *to)
{
    struct packet *p = mem_alloc(sizeof *p);
    p->net = net;
    p->number = number;
    p->from = from;
    p->to = to;
    p->from_life = from ? from->life : CLIENT_LIFE;
    return p;
}

struct simnet *simnet_new(struct sim *s)
{
    struct simnet *net = mem_alloc(sizeof *net);
    net->sim = s;
    for (int i = 0; i < SIM_NODES_MAX; i++)
        for (int j = 0; j < SIM_NODES_MAX; j++)
            for (int k = 0; k < NET_LANES; k++)
                TAILQ_INIT(&net->lanes[i][j][k].calls);
    return net;
}

/* ---- Links ---- */

static int end_of(const struct sim_node *n)
{
    return n ? n->index : SIM_CLIENTS;
}

static int64_t delay_us(struct simnet *net, const struct sim_node *from, const struct sim_node *to)
{
    return simlink_delay_us(net->sim, end_of(from), end_of(to));
}

static bool is_silent(const struct simnet *net, const struct sim_node *from, const struct sim_node *to)
{
    return simlink_state(net->sim, end_of(from), end_of(to)) == LINK_SILENT;
}

/* Sends a packet again that met a silent link; drops it when nobody waits and TCP gives up. */
static void resend(struct packet *p TAKES, bool wanted, void (*fire)(struct sim *s, void *arg))
{
    struct sim *s = p->net->sim;
    int64_t first = p->fresh ? CONNECT_US : RESEND_US;
    int doublings = p->resends < RESENDS_MAX ? p->resends : RESENDS_MAX;
    if (!wanted && (p->fresh || p->resends >= RESENDS_MAX)) {
        packet_free(p);
        return;
    }
    p->resends++;
    sim_at(s, s->now_us + (first << doublings), fire, p, packet_free);
}

/* ---- Calls of brains ---- */

static void lane_go(struct simnet *net, struct lane *lane);
static void request_fire(struct sim *s, void *arg);

static void call_free(struct simnet *net, struct wire_call *c)
{
    if (c->lane)
        TAILQ_REMOVE(&c->lane->calls, c, link);
    HASH_DEL(net->calls, c);
    peer_call_free(c->call);
    free(c);
}

static struct wire_call *call_find(struct simnet *net, uint64_t number)
{
    struct wire_call *c;
    HASH_FIND(hh, net->calls, &number, sizeof number, c);
    return c;
}

/* The one end of a call, as an event for its brain. */
static void call_end(struct simnet *net, struct wire_call *c, struct event *e TAKES)
{
    struct sim_node *from = c->from;
    e->call = c->call->id;
    call_free(net, c);
    sim_event(from, e);
}

static void call_end_failed(struct simnet *net, struct wire_call *c, enum net_failure failure)
{
    static const char *const words[] = {"refused", "closed", "timeout", "tls", "unreachable"};
    struct event e = {.kind = EV_PEER_FAILED, .failure = failure};
    sim_trace(net->sim, c->from, "call %s%s: %s", c->call->url, c->call->path, words[failure]);
    call_end(net, c, &e);
}

/* A connection that was there is not any more, and not by the will of its owner. */
static void lane_closed(struct sim_node *from, struct lane *lane, enum net_lane number)
{
    struct event e = {.kind = EV_PEER_CLOSED, .node = lane->to_id};
    bool was = lane->connected;
    lane->connected = false;
    if (was && number == LANE_CONTROL)
        sim_event(from, &e);
}

/* If there was no way to connect, that is so for all who wait; otherwise the next one goes out. */
static void call_fail(struct simnet *net, struct wire_call *c, enum net_failure failure)
{
    struct lane *lane = c->lane;
    struct sim_node *from = c->from;
    enum net_lane number = c->call->lane;
    bool sent = c->sent, all = sent && !lane->connected && failure != NET_TIMEOUT && failure != NET_CLOSED;
    call_end_failed(net, c, failure);
    if (sent && failure == NET_CLOSED)
        lane_closed(from, lane, number);
    if (sent)
        lane->connected = false;
    while (all && !TAILQ_EMPTY(&lane->calls))
        call_end_failed(net, TAILQ_FIRST(&lane->calls), failure);
    if (lane)
        lane_go(net, lane);
}

static void failure_fire(struct sim *s UNUSED, void *arg)
{
    AUTOPACKET struct packet *p = arg;
    struct wire_call *c = call_find(p->net, p->number);
    if (c)
        call_fail(p->net, c, p->failure);
}

static void fail_later(struct simnet *net, struct wire_call *c, enum net_failure failure, int64_t after_us)
{
    struct packet *p = packet_new(net, c->number, c->from, NULL);
    p->failure = failure;
    sim_at(net->sim, net->sim->now_us + after_us, failure_fire, p, packet_free);
}

static struct request *request_of_call(const struct wire_call *c)
{
    struct request *r = mem_alloc(sizeof *r);
    const char *query = strchr(c->call->path, '?');
    size_t path_n = query ? (size_t)(query - c->call->path) : strlen(c->call->path);
    r->method = HTTP_M_POST;
    r->path = mem_copy(c->call->path, path_n);
    r->query = query ? mem_dup(query + 1) : NULL;
    r->body = mem_copy(c->call->body ? c->call->body : "", c->call->body_n);
    r->body_n = c->call->body_n;
    r->who.role = ROLE_PEER;
    r->who.node = c->from->id;
    snprintf(r->who.name, sizeof r->who.name, "%s", c->from->name);
    return r;
}

/* The connection breaks while a packet is under way: its sender will hear of that, the packet may get there.
 */
static bool breaks(struct simnet *net, struct wire_call *c, const struct sim_node *from,
                   const struct sim_node *to)
{
    if (!simlink_breaks(net->sim, end_of(from), end_of(to)))
        return false;
    fail_later(net, c, NET_CLOSED, 2 * delay_us(net, from, to));
    return true;
}

/* Sends the lane's first call, if it is not under way. */
static void lane_go(struct simnet *net, struct lane *lane)
{
    struct wire_call *c = TAILQ_FIRST(&lane->calls);
    if (!c || c->sent)
        return;
    c->sent = true;
    struct packet *p = packet_new(net, c->number, c->from, c->to);
    p->request = request_of_call(c);
    p->expected = c->call->node;
    p->fresh = !lane->connected;
    p->to_life = lane->to_life;
    int64_t us = delay_us(net, c->from, c->to);
    if (p->fresh)
        us += delay_us(net, c->to, c->from) + delay_us(net, c->from, c->to); /* the handshakes' round trip */
    if (breaks(net, c, c->from, c->to) && prng_below(&net->sim->net_prng, 2))
        packet_free(p);
    else
        sim_at(net->sim, net->sim->now_us + us, request_fire, p, packet_free);
}

static struct sim_node *node_by_url(struct sim *s, const char *url)
{
    for (int i = 0; i < s->nodes_n; i++)
        if (strcmp(s->nodes[i].url, url) == 0)
            return &s->nodes[i];
    return NULL;
}

static void call_fire(struct sim *s, void *arg)
{
    AUTOPACKET struct packet *p = arg;
    struct simnet *net = p->net;
    if (!p->from->up || p->from->life != p->from_life)
        return;
    struct wire_call *c = mem_alloc(sizeof *c);
    c->number = ++net->numbers;
    c->call = TAKE(p->call);
    c->from = p->from;
    c->to = node_by_url(s, c->call->url);
    HASH_ADD(hh, net->calls, number, sizeof c->number, c);
    sim_mark(s, 4, c->number, (uint64_t)c->from->index);
    if (!c->to) {
        fail_later(net, c, NET_UNREACHABLE, 1000);
        return;
    }
    c->lane = &net->lanes[c->from->index][c->to->index][c->call->lane];
    TAILQ_INSERT_TAIL(&c->lane->calls, c, link);
    fail_later(net, c, NET_TIMEOUT, c->call->timeout_ms * 1000);
    lane_go(net, c->lane);
}

static void net_call(void *self, struct peer_call *call TAKES)
{
    struct sim_node *n = self;
    struct packet *p = packet_new(n->sim->net, 0, n, NULL);
    p->call = call;
    sim_at(n->sim, sim_effect_us(n), call_fire, p, packet_free);
}

/* ---- Requests arrive ---- */

static void expect_answer(struct simnet *net, struct request *r, struct sim_node *at, struct sim_node *from,
                          uint64_t call, uint64_t ask)
{
    struct wire_request *w = mem_alloc(sizeof *w);
    *w = (struct wire_request){.id = ++net->numbers, .call = call, .ask = ask, .at = at, .from = from};
    HASH_ADD(hh, net->requests, id, sizeof w->id, w);
    r->id = w->id;
}

/* Why this node does not take the request; false if it does. */
static bool refuses(const struct packet *p, enum net_failure *ret)
{
    bool rejects = simlink_state(p->net->sim, p->from->index, p->to->index) == LINK_REJECTS;
    if (!p->to->up || rejects)
        *ret = p->fresh ? NET_REFUSED : NET_CLOSED;
    else if (!p->fresh && p->to_life != p->to->life)
        *ret = NET_CLOSED; /* of its former life */
    else if (!id_is_zero(&p->expected) && !id_equal(&p->expected, &p->to->id))
        *ret = NET_TLS;
    else
        return false;
    return true;
}

/* It waits in the kernel of a paused node, whatever its sender does meanwhile. */
static bool waits(struct packet **p, void (*fire)(struct sim *s, void *arg))
{
    struct sim *s = (*p)->net->sim;
    if (!(*p)->to->up || !sim_node_paused((*p)->to))
        return false;
    (*p)->accepted = true;
    (*p)->to_life = (*p)->to->life;
    int64_t until = (*p)->to->paused_us;
    sim_at(s, until, fire, TAKE(*p), packet_free);
    return true;
}

static void request_fire(struct sim *s, void *arg)
{
    AUTOPACKET struct packet *p = arg;
    struct simnet *net = p->net;
    struct wire_call *c = call_find(net, p->number);
    bool silent = is_silent(net, p->from, p->to) || (p->fresh && is_silent(net, p->to, p->from));
    if (!p->accepted && silent && (c || p->from->powered)) {
        resend(TAKE(p), c != NULL, request_fire);
        return;
    }
    if (!p->to->powered || (p->accepted && p->to_life != p->to->life))
        return; /* silence: the caller's timeout ends it */
    if (waits(&p, request_fire))
        return;
    enum net_failure failure;
    if (refuses(p, &failure)) {
        if (c)
            fail_later(net, c, failure, delay_us(net, p->to, p->from));
        return;
    }
    if (c) {
        c->lane->connected = true;
        c->lane->to_life = p->to->life;
        c->lane->to_id = p->to->id;
    }
    expect_answer(net, p->request, p->to, p->from, p->number, 0);
    sim_mark(s, 5, p->number, (uint64_t)p->to->index);
    sim_deliver(p->to, TAKE(p->request));
}

/* ---- Answers ---- */

static void ask_end(struct simnet *net, uint64_t number, const struct sim_reply *reply);
static void ask_lost(struct simnet *net, uint64_t number, int64_t after_us);
static struct wire_ask *ask_find(struct simnet *net, uint64_t number);

/* Whether anybody waits for the answer. */
static bool is_awaited(const struct packet *p)
{
    return p->to ? call_find(p->net, p->number) != NULL : ask_find(p->net, p->number) != NULL;
}

static void answer_fire(struct sim *s UNUSED, void *arg)
{
    AUTOPACKET struct packet *p = arg;
    struct answer *a = p->answer;
    if (!is_awaited(p))
        return;
    if (simlink_state(s, end_of(p->from), end_of(p->to)) != LINK_OPEN) {
        resend(TAKE(p), true, answer_fire);
        return;
    }
    if (!p->to) {
        ask_end(p->net, p->number, &(struct sim_reply){a->status, true, a->body ? a->body : "", a->body_n});
        return;
    }
    struct wire_call *c = call_find(p->net, p->number);
    struct lane *lane = c->lane;
    struct event e = {.kind = EV_PEER_ANSWERED, .status = a->status, .bytes_n = a->body_n};
    e.bytes = a->body ? mem_copy(a->body, a->body_n) : mem_copy("", 0);
    call_end(p->net, c, &e);
    lane_go(p->net, lane);
}

/* The answer leaves, when the turn that gave it is committed. */
static void reply_fire(struct sim *s, void *arg)
{
    struct packet *p = arg;
    struct wire_request *w;
    HASH_FIND(hh, p->net->requests, &p->number, sizeof p->number, w);
    if (!w) { /* its node died in between */
        packet_free(p);
        return;
    }
    p->number = w->call ? w->call : w->ask;
    p->to = w->from;
    HASH_DEL(p->net->requests, w);
    free(w);
    struct wire_call *c = p->to ? call_find(p->net, p->number) : NULL;
    if (c && breaks(p->net, c, p->from, p->to))
        packet_free(p);
    else if (!p->to && simlink_breaks(s, p->from->index, SIM_CLIENTS)) {
        ask_lost(p->net, p->number, delay_us(p->net, p->from, NULL));
        packet_free(p);
    } else
        sim_at(s, s->now_us + delay_us(p->net, p->from, p->to), answer_fire, p, packet_free);
}

static void net_answer(void *self, uint64_t request, struct answer *a TAKES)
{
    struct sim_node *n = self;
    struct packet *p = packet_new(n->sim->net, request, n, NULL);
    p->answer = a;
    sim_mark(n->sim, 6, request, (uint64_t)a->status);
    sim_at(n->sim, sim_effect_us(n), reply_fire, p, packet_free);
}

struct reset {
    struct sim_node *from;
    uint64_t life;
    struct id to;
};

static void reset_fire(struct sim *s, void *arg)
{
    AUTOFREE struct reset *r = arg;
    if (!r->from->up || r->from->life != r->life)
        return;
    for (int i = 0; i < s->nodes_n; i++)
        for (int k = 0; k < NET_LANES; k++) {
            struct lane *lane = &s->net->lanes[r->from->index][i][k];
            struct wire_call *c, *next;
            bool theirs = lane->connected && id_equal(&lane->to_id, &r->to);
            TAILQ_FOREACH_SAFE(c, &lane->calls, link, next)
            if (id_equal(&c->call->node, &r->to)) {
                theirs |= c->sent;
                call_end_failed(s->net, c, NET_CLOSED);
            }
            if (theirs)
                lane->connected = false;
            lane_go(s->net, lane);
        }
}

static void net_reset(void *self, const struct id *node)
{
    struct sim_node *n = self;
    struct reset *r = mem_alloc(sizeof *r);
    *r = (struct reset){n, n->life, *node};
    sim_at(n->sim, sim_effect_us(n), reset_fire, r, free);
}

void simnet_world(struct sim_node *n, struct world_net *ret)
{
    *ret = (struct world_net){
        .self = n, .answer = net_answer, .call = net_call, .reset = net_reset, .hook = simnet_hook};
}

/* ---- Clients ---- */

static struct wire_ask *ask_find(struct simnet *net, uint64_t number)
{
    struct wire_ask *a;
    HASH_FIND(hh, net->asks, &number, sizeof number, a);
    return a;
}

static void ask_end(struct simnet *net, uint64_t number, const struct sim_reply *reply)
{
    struct wire_ask *a = ask_find(net, number);
    if (!a)
        return;
    HASH_DEL(net->asks, a);
    a->ask.done(net->sim, a->ask.arg, reply);
    free(a);
}

static void ask_lost_fire(struct sim *s UNUSED, void *arg)
{
    AUTOPACKET struct packet *p = arg;
    struct wire_ask *a = ask_find(p->net, p->number);
    if (a)
        ask_end(p->net, p->number, &(struct sim_reply){.sent = a->sent, .body = ""});
}

static void ask_lost(struct simnet *net, uint64_t number, int64_t after_us)
{
    sim_at(net->sim, net->sim->now_us + after_us, ask_lost_fire, packet_new(net, number, NULL, NULL),
           packet_free);
}

/* A client's connection is its own: what has not arrived when it gives up never does, unless the kernel of
 * the node has it. */
static void ask_fire(struct sim *s, void *arg)
{
    AUTOPACKET struct packet *p = arg;
    struct simnet *net = p->net;
    struct wire_ask *a = ask_find(net, p->number);
    if (!p->to->powered || (!a && !p->accepted) || (p->accepted && p->to_life != p->to->life))
        return;
    if (!p->accepted && (is_silent(net, NULL, p->to) || is_silent(net, p->to, NULL))) {
        p->fresh = true;
        resend(TAKE(p), true, ask_fire);
        return;
    }
    if (a && p->to->up)
        a->sent = true;
    if (waits(&p, ask_fire))
        return;
    if (!p->to->up || simlink_state(s, SIM_CLIENTS, p->to->index) == LINK_REJECTS) {
        ask_lost(net, p->number, delay_us(net, p->to, NULL));
        return;
    }
    expect_answer(net, p->request, p->to, NULL, 0, p->number);
    sim_mark(s, 7, p->number, (uint64_t)p->to->index);
    sim_deliver(p->to, TAKE(p->request));
}

static struct request *request_of_ask(const struct sim_ask *a)
{
    struct request *r = mem_alloc(sizeof *r);
    r->method = a->method;
    r->path = mem_dup(a->path);
    r->query = mem_dup(a->query);
    r->if_match = mem_dup(a->if_match);
    r->idempotency_key = mem_dup(a->key);
    r->body = mem_dup(a->body ? a->body : "");
    r->body_n = strlen(r->body);
    r->who.role = ROLE_ADMIN;
    snprintf(r->who.name, sizeof r->who.name, "client");
    return r;
}

void sim_ask(struct sim *s, const struct sim_ask *ask)
{
    struct simnet *net = s->net;
    struct wire_ask *a = mem_alloc(sizeof *a);
    a->number = ++net->numbers;
    a->ask = *ask;
    HASH_ADD(hh, net->asks, number, sizeof a->number, a);
    int64_t timeout_ms = ask->timeout_ms ? ask->timeout_ms : CLIENT_LIMIT;
    ask_lost(net, a->number, timeout_ms * 1000);
    struct packet *p = packet_new(net, a->number, NULL, sim_node(s, ask->node));
    p->request = request_of_ask(ask);
    int64_t us = delay_us(net, NULL, p->to);
    if (!simlink_breaks(s, SIM_CLIENTS, ask->node)) {
        sim_at(s, s->now_us + us, ask_fire, p, packet_free);
        return;
    }
    a->sent = true;
    ask_lost(net, a->number, us);
    packet_free(p);
}

/* ---- Ends of nodes ---- */

/* A FIN or RST of a node that has died arrives at who was connected to it. */
static void closed_fire(struct sim *s UNUSED, void *arg)
{
    AUTOPACKET struct packet *p = arg;
    struct simnet *net = p->net;
    struct lane *lane = &net->lanes[p->from->index][p->to->index][p->lane];
    if (!p->from->up || p->from->life != p->from_life || !lane->connected || lane->to_life != p->to_life)
        return;
    if (simlink_state(s, p->to->index, p->from->index) != LINK_OPEN) {
        resend(TAKE(p), false, closed_fire);
        return;
    }
    struct wire_call *c = TAILQ_FIRST(&lane->calls);
    if (c && c->sent)
        call_fail(net, c, NET_CLOSED);
    else
        lane_closed(p->from, lane, p->lane);
}

static void lane_broken(struct simnet *net, struct sim_node *from, struct sim_node *to, enum net_lane number)
{
    if (!net->lanes[from->index][to->index][number].connected)
        return;
    struct packet *p = packet_new(net, 0, from, to);
    p->lane = number;
    p->to_life = to->life;
    sim_at(net->sim, net->sim->now_us + delay_us(net, to, from), closed_fire, p, packet_free);
}

static void requests_forget(struct simnet *net, const struct sim_node *n)
{
    struct wire_request *w, *next;
    HASH_ITER(hh, net->requests, w, next)
    {
        if (w->at != n)
            continue;
        if (w->ask && n->powered)
            ask_lost(net, w->ask, delay_us(net, n, NULL));
        HASH_DEL(net->requests, w);
        free(w);
    }
}

static void calls_forget(struct simnet *net, const struct sim_node *n)
{
    struct wire_call *c, *next;
    HASH_ITER(hh, net->calls, c, next)
    if (c->from == n)
        call_free(net, c);
}

void simnet_down(struct sim_node *n)
{
    struct simnet *net = n->sim->net;
    calls_forget(net, n);
    requests_forget(net, n);
    for (int i = 0; i < net->sim->nodes_n; i++) {
        for (int k = 0; k < NET_LANES; k++) {
            net->lanes[n->index][i][k].connected = false;
            if (n->powered)
                lane_broken(net, &net->sim->nodes[i], n, (enum net_lane)k);
        }
    }
}

void simnet_free(struct simnet *net)
{
    struct wire_ask *a, *next;
    HASH_ITER(hh, net->asks, a, next)
    {
        HASH_DEL(net->asks, a);
        if (a->ask.drop)
            a->ask.drop(a->ask.arg);
        free(a);
    }
    free(net);
}
