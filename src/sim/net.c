/* The network of the simulation: calls between nodes as their brains make them, requests of clients, answers.
 *
 * It models what TCP makes of a network: packets are late, never lost or out of order within a connection (a
 * lost one is sent again after 200 ms, 400 ms …), connections are refused where nobody listens, break when
 * the other end dies, and go silent when its machine does. Each (from, to, lane) is one connection with one
 * call outstanding; a call that has timed out may still be carried out at the other end, and its answer is
 * dropped.
 *
 * Messages name nodes by index and life, and calls by number: whatever they meet may be gone by then.
 */
#include <stdio.h>
#include <string.h>

#include "base/ensure.h"
#include "sim/inside.h"

#define LANES        3
#define RESEND_US    200000
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
    uint64_t to_life; /* of the other end, when it connected */
};

/* A request of a client that has not ended yet. */
struct wire_ask {
    uint64_t number;
    struct sim_ask ask;      /* its strings are not used any more */
    struct request *request; /* owned until it has arrived */
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
    struct lane lanes[SIM_NODES_MAX][SIM_NODES_MAX][LANES];
};

/* What travels. */
struct packet {
    struct simnet *net;
    uint64_t number; /* of the call or ask it belongs to */
    struct sim_node *from, *to;
    uint64_t from_life;
    struct request *request; /* owned */
    struct answer *answer;   /* owned */
    enum net_failure failure;
    struct peer_call *call; /* owned, before it takes effect */
    bool fresh;             /* on a connection of its own making */
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
            for (int k = 0; k < LANES; k++)
                TAILQ_INIT(&net->lanes[i][j][k].calls);
    return net;
}

static int64_t delay_us(struct simnet *net)
{
    struct sim *s = net->sim;
    int64_t us = sim_draw(&s->net_prng, s->opts.link);
    for (int64_t again = RESEND_US; prng_below(&s->net_prng, 1000000) < (uint64_t)s->opts.loss_ppm;
         again *= 2)
        us += again;
    return us;
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

/* The one end of a call, as an event for its brain; the lane's next call goes out. */
static void call_end(struct simnet *net, struct wire_call *c, struct event *e TAKES)
{
    struct lane *lane = c->lane;
    struct sim_node *from = c->from;
    e->call = c->call->id;
    call_free(net, c);
    sim_event(from, e);
    if (lane)
        lane_go(net, lane);
}

static void call_fail(struct simnet *net, struct wire_call *c, enum net_failure failure)
{
    static const char *const words[] = {"refused", "closed", "timeout", "tls", "unreachable"};
    struct event e = {.kind = EV_PEER_FAILED, .failure = failure};
    sim_trace(net->sim, c->from, "call %s%s: %s", c->call->url, c->call->path, words[failure]);
    if (c->lane && c->sent)
        c->lane->connected = false;
    call_end(net, c, &e);
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
    int64_t us = delay_us(net);
    if (p->fresh)
        us += delay_us(net) + delay_us(net); /* the handshakes' round trip */
    sim_at(net->sim, net->sim->now_us + us, request_fire, p, packet_free);
}

static struct sim_node *node_by_url(struct sim *s, const char *url)
{
    for (int i = 0; i < s->opts.nodes; i++)
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
    if (!p->to->up)
        *ret = p->fresh ? NET_REFUSED : NET_CLOSED;
    else if (!id_is_zero(&p->expected) && !id_equal(&p->expected, &p->to->id))
        *ret = NET_TLS;
    else
        return false;
    return true;
}

static void request_fire(struct sim *s, void *arg)
{
    AUTOPACKET struct packet *p = arg;
    struct simnet *net = p->net;
    if (!p->to->powered)
        return; /* silence: the caller's timeout ends it */
    if (p->to->up && sim_node_paused(p->to)) {
        int64_t until = p->to->paused_us;
        sim_at(s, until, request_fire, TAKE(p), packet_free);
        return;
    }
    struct wire_call *c = call_find(net, p->number);
    enum net_failure failure;
    if (refuses(p, &failure)) {
        if (c)
            fail_later(net, c, failure, delay_us(net));
        return;
    }
    if (c) {
        c->lane->connected = true;
        c->lane->to_life = p->to->life;
    }
    expect_answer(net, p->request, p->to, p->from, p->number, 0);
    sim_mark(s, 5, p->number, (uint64_t)p->to->index);
    sim_deliver(p->to, TAKE(p->request));
}

/* ---- Answers ---- */

static void ask_end(struct simnet *net, uint64_t number, const struct sim_reply *reply);

static void answer_fire(struct sim *s UNUSED, void *arg)
{
    AUTOPACKET struct packet *p = arg;
    struct answer *a = p->answer;
    if (!p->to) {
        ask_end(p->net, p->number, &(struct sim_reply){a->status, true, a->body ? a->body : "", a->body_n});
        return;
    }
    struct wire_call *c = call_find(p->net, p->number);
    if (!c)
        return;
    struct event e = {.kind = EV_PEER_ANSWERED, .status = a->status, .bytes_n = a->body_n};
    e.bytes = a->body ? mem_copy(a->body, a->body_n) : mem_copy("", 0);
    call_end(p->net, c, &e);
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
    sim_at(s, s->now_us + delay_us(p->net), answer_fire, p, packet_free);
}

static void net_answer(void *self, uint64_t request, struct answer *a TAKES)
{
    struct sim_node *n = self;
    struct packet *p = packet_new(n->sim->net, request, n, NULL);
    p->answer = a;
    sim_mark(n->sim, 6, request, (uint64_t)a->status);
    sim_at(n->sim, sim_effect_us(n), reply_fire, p, packet_free);
}

void simnet_world(struct sim_node *n, struct world_net *ret)
{
    *ret = (struct world_net){.self = n, .answer = net_answer, .call = net_call};
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
    request_free(a->request);
    free(a);
}

static void ask_lost_fire(struct sim *s UNUSED, void *arg)
{
    AUTOPACKET struct packet *p = arg;
    struct wire_ask *a = ask_find(p->net, p->number);
    if (a)
        ask_end(p->net, p->number, &(struct sim_reply){.sent = !a->request, .body = ""});
}

static void ask_lost(struct simnet *net, uint64_t number, int64_t after_us)
{
    sim_at(net->sim, net->sim->now_us + after_us, ask_lost_fire, packet_new(net, number, NULL, NULL),
           packet_free);
}

static void ask_fire(struct sim *s, void *arg)
{
    AUTOPACKET struct packet *p = arg;
    struct wire_ask *a = ask_find(p->net, p->number);
    if (!a || !p->to->powered)
        return;
    if (p->to->up && sim_node_paused(p->to)) {
        int64_t until = p->to->paused_us;
        sim_at(s, until, ask_fire, TAKE(p), packet_free);
        return;
    }
    if (!p->to->up) {
        ask_lost(p->net, p->number, delay_us(p->net));
        return;
    }
    expect_answer(p->net, a->request, p->to, NULL, 0, p->number);
    sim_mark(s, 7, p->number, (uint64_t)p->to->index);
    sim_deliver(p->to, TAKE(a->request));
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
    a->request = request_of_ask(ask);
    HASH_ADD(hh, net->asks, number, sizeof a->number, a);
    int64_t timeout_ms = ask->timeout_ms ? ask->timeout_ms : CLIENT_LIMIT;
    ask_lost(net, a->number, timeout_ms * 1000);
    struct packet *p = packet_new(net, a->number, NULL, sim_node(s, ask->node));
    sim_at(s, s->now_us + delay_us(net), ask_fire, p, packet_free);
}

/* ---- Ends of nodes ---- */

static void closed_fire(struct sim *s UNUSED, void *arg)
{
    AUTOPACKET struct packet *p = arg;
    struct event e = {.kind = EV_PEER_CLOSED, .node = p->to->id};
    if (p->from->up && p->from->life == p->from_life)
        sim_event(p->from, &e);
}

/* The other end of a connection has died with a FIN or RST. */
static void lane_broken(struct simnet *net, struct sim_node *from, struct sim_node *to, int k)
{
    struct lane *lane = &net->lanes[from->index][to->index][k];
    struct wire_call *c = TAILQ_FIRST(&lane->calls);
    if (!lane->connected)
        return;
    lane->connected = false;
    if (c && c->sent)
        fail_later(net, c, NET_CLOSED, delay_us(net));
    if (k == LANE_CONTROL) {
        struct packet *p = packet_new(net, 0, from, to);
        sim_at(net->sim, net->sim->now_us + delay_us(net), closed_fire, p, packet_free);
    }
}

static void requests_forget(struct simnet *net, const struct sim_node *n)
{
    struct wire_request *w, *next;
    HASH_ITER(hh, net->requests, w, next)
    {
        if (w->at != n)
            continue;
        if (w->ask && n->powered)
            ask_lost(net, w->ask, delay_us(net));
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
    for (int i = 0; i < net->sim->opts.nodes; i++) {
        for (int k = 0; k < LANES; k++) {
            net->lanes[n->index][i][k].connected = false;
            if (n->powered)
                lane_broken(net, &net->sim->nodes[i], n, k);
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
        request_free(a->request);
        free(a);
    }
    free(net);
}
