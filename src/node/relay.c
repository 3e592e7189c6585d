/* relay: decides whether a peer is reached directly or through whom, and passes on calls of others. What a
 * ping or a pull says is none of its business. */
#include "node/relay.h"

#include <stdio.h>
#include <string.h>

#include "node/brain.h"
#include "wire/buf.h"

#define MARGIN_MS      200 /* of a call's time at most, for the two ways between us and the relayer */
#define TIMEOUT_MAX_MS 5000
#define HELPERS_MAX    64

static const struct id nobody;

enum relay_verdict { RELAY_SILENT, RELAY_ANSWERED };

/* What may be passed on. */
static const struct {
    const char *path;
    enum net_lane via, on; /* to who passes it on; from there */
} paths[] = {
    {"/v1/peer/ping", LANE_VIA_PING, LANE_FOR_PING},
    {"/v1/peer/pull", LANE_VIA, LANE_FOR},
    {"/v1/peer/resync", LANE_VIA, LANE_FOR},
    {"/v1/peer/mail", LANE_VIA, LANE_FOR},
};

static bool path_lanes(const char *path, enum net_lane *ret_via, enum net_lane *ret_on)
{
    for (size_t i = 0; i < COUNT(paths); i++)
        if (strcmp(paths[i].path, path) == 0) {
            *ret_via = paths[i].via;
            *ret_on = paths[i].on;
            return true;
        }
    return false;
}

void relays_fini(struct relays *r)
{
    free(r->list);
    *r = (struct relays){0};
}

static void relays_add(struct node *n, const struct relayed *r)
{
    ARRAY_GROW(n->relays.list, n->relays.n, n->relays.cap);
    n->relays.list[n->relays.n++] = *r;
}

static void relays_remove(struct node *n, size_t i)
{
    n->relays.list[i] = n->relays.list[--n->relays.n];
}

static bool relays_take(struct node *n, uint64_t call, struct relayed *ret)
{
    for (size_t i = 0; i < n->relays.n; i++)
        if (n->relays.list[i].call == call) {
            *ret = n->relays.list[i];
            relays_remove(n, i);
            return true;
        }
    return false;
}

/* ---- the way ---- */

/* Reached directly, and as good as any: it may be asked to pass something on. */
static bool is_helper(const struct peer *p)
{
    return p->known && p->member && !p->left && !p->down && !p->way.silent &&
           p->liveness == LIVENESS_HEALTHY && !id_is_zero(&p->id);
}

bool relay_has_helpers(struct node *n, const struct peer *p)
{
    struct peer *q;
    TAILQ_FOREACH (q, &n->peers, link)
        if (q != p && is_helper(q))
            return true;
    return false;
}

/* Who passes our calls on; NULL: they go directly. A way that has not answered for half of what makes a node
 * suspect is none any more, so that there is time to find another one. */
static struct peer *through(struct node *n, const struct peer *p)
{
    if (!p->way.silent || id_is_zero(&p->way.via) || n->now_ms - p->way.via_sent_ms > n->o.suspect_ms / 2)
        return NULL;
    struct peer *q = peer_find(n, &p->way.via);
    return q && is_helper(q) ? q : NULL;
}

static void carry(struct node *n, const struct peer *p, const struct peer *by, enum net_lane lane,
                  struct peer_call *c TAKES)
{
    struct str body = STR_INIT;
    int64_t margin_ms = c->timeout_ms / 5 < MARGIN_MS ? c->timeout_ms / 5 : MARGIN_MS;
    buf_id(&body, &n->cluster);
    buf_id(&body, &n->self);
    buf_id(&body, &p->id);
    buf_varint(&body, (uint64_t)(c->timeout_ms - margin_ms));
    buf_text(&body, c->path);
    buf_bytes(&body, c->body, c->body_n);
    c->node = by->id;
    mem_replace(&c->url, by->url);
    c->lane = lane;
    mem_replace(&c->path, RELAY_PATH);
    free(c->body);
    c->body_n = body.n;
    c->body = str_take(&body);
    relays_add(n, &(struct relayed){.call = c->id, .target = p->id, .other = by->id, .sent_ms = n->now_ms});
    eff_call(n, c);
}

void relay_call(struct node *n, struct peer *p, struct peer_call *c TAKES)
{
    enum net_lane via, on;
    struct peer *by = through(n, p);
    if (by && path_lanes(c->path, &via, &on))
        carry(n, p, by, via, c);
    else
        eff_call(n, c);
}

void way_direct(struct node *n, struct peer *p)
{
    p->way.silent = false;
    p->way.via = nobody;
    if (id_is_zero(&p->way.told))
        return;
    peer_log(n, "node_direct", p, NULL);
    p->way.told = nobody;
}

static void serve_silent(struct node *n, const struct peer *p);

void way_silent(struct node *n, struct peer *p)
{
    if (p->way.silent)
        return;
    p->way.silent = true;
    p->way.ask_next_ms = n->now_ms;
    n->frozen_dirty = true;
    serve_silent(n, p);
}

/* A ping was answered through somebody. What hangs on the direct link is hopeless, and begins anew. */
static void way_found(struct node *n, struct peer *p, const struct id *by, int64_t sent_ms)
{
    if (!p->way.silent)
        return;
    bool was_there = through(n, p) != NULL;
    if (!was_there || id_equal(by, &p->way.via)) {
        p->way.via = *by;
        if (sent_ms > p->way.via_sent_ms)
            p->way.via_sent_ms = sent_ms;
    }
    if (was_there)
        return;
    eff_reset(n, &p->id);
    p->pull.next_ms = p->mail.next_ms = n->now_ms;
    n->frozen_dirty = true;
    if (id_equal(&p->way.told, by))
        return;
    p->way.told = *by;
    peer_log(n, "node_via", p, by);
}

static void way_lost(struct node *n, struct peer *p, const struct id *by)
{
    if (!id_equal(&p->way.via, by))
        return;
    p->way.via = nobody;
    p->way.ask_next_ms = n->now_ms;
    n->frozen_dirty = true;
}

char *way_text(struct node *n, const struct peer *p)
{
    struct peer *by = through(n, p);
    if (p->down || p->left || p->detector.answered_ms < 0 || (p->way.silent && !by))
        return mem_dup("down");
    if (!by)
        return mem_dup("direct");
    AUTOSTR struct str s = STR_INIT;
    str_printf(&s, "via %s", by->name ? by->name : by->url);
    return str_take(&s);
}

/* ---- indirect pings ---- */

static struct relay_ping *ping_by(struct peer *p, const struct id *by)
{
    for (size_t i = 0; i < RELAY_PROBES; i++)
        if (p->way.pings[i].call && id_equal(&p->way.pings[i].through, by))
            return &p->way.pings[i];
    return NULL;
}

static struct relay_ping *ping_free(struct peer *p)
{
    for (size_t i = 0; i < RELAY_PROBES; i++)
        if (!p->way.pings[i].call)
            return &p->way.pings[i];
    return NULL;
}

static void ping_send_by(struct node *n, struct peer *p, const struct peer *by)
{
    struct relay_ping *s = ping_free(p);
    if (!s || ping_by(p, &by->id))
        return;
    struct peer_call *c = ping_new(n, p);
    *s = (struct relay_ping){c->id, by->id, n->now_ms, n->view.ask};
    carry(n, p, by, LANE_VIA_PING, c);
}

/* Up to `count` others, any of them. */
static void ping_by_others(struct node *n, struct peer *p, size_t count)
{
    struct peer *helpers[HELPERS_MAX], *q;
    size_t helpers_n = 0;
    TAILQ_FOREACH (q, &n->peers, link)
        if (q != p && is_helper(q) && helpers_n < HELPERS_MAX)
            helpers[helpers_n++] = q;
    for (; count > 0 && helpers_n > 0; count--) {
        size_t i = prng_below(&n->prng, helpers_n);
        ping_send_by(n, p, helpers[i]);
        helpers[i] = helpers[--helpers_n];
    }
}

void way_tick(struct node *n, struct peer *p)
{
    struct way *w = &p->way;
    if (!w->silent || p->left || id_is_zero(&p->id) ||
        n->now_ms < ping_due_ms(n, p, w->asked_ms, w->asked_ask, w->ask_next_ms))
        return;
    struct peer *by = through(n, p);
    if (by && ping_by(p, &by->id))
        return;
    w->asked_ms = n->now_ms;
    w->asked_ask = n->view.ask;
    w->ask_next_ms = n->now_ms + n->o.ping_ms;
    if (by)
        ping_send_by(n, p, by);
    else
        ping_by_others(n, p, p->down ? 1 : RELAY_PROBES);
}

bool relay_probed(struct node *n, const struct event *ev)
{
    struct peer *p;
    TAILQ_FOREACH (p, &n->peers, link)
        for (size_t i = 0; i < RELAY_PROBES; i++) {
            struct relay_ping s = p->way.pings[i];
            if (s.call == 0 || s.call != ev->call)
                continue;
            p->way.pings[i].call = 0;
            if (ev->kind == EV_PEER_ANSWERED && peer_pong(n, p, ev, s.sent_ms, s.ask))
                way_found(n, p, &s.through, s.sent_ms);
            return true;
        }
    return false;
}

/* ---- a call of ours that went through somebody has ended ---- */

static bool answer_take(struct event *ev, enum relay_verdict *ret)
{
    struct reader r = reader_init(ev->bytes, ev->bytes_n);
    *ret = RELAY_SILENT;
    if (read_u8(&r) != RELAY_ANSWERED)
        return reader_done(&r);
    uint32_t status = read_u32(&r);
    struct span body = read_bytes(&r);
    if (!reader_done(&r) || status < 100 || status > 599)
        return false;
    *ret = RELAY_ANSWERED;
    ev->status = (int)status;
    memmove(ev->bytes, body.p, body.n);
    ev->bytes[body.n] = 0;
    ev->bytes_n = body.n;
    return true;
}

/* As it would be had the call been direct. */
static void unwrap(struct node *n, const struct relayed *r, struct event *ev)
{
    enum relay_verdict verdict;
    struct peer *p = peer_find(n, &r->target);
    bool usable = ev->kind == EV_PEER_ANSWERED && ev->status == 200 && answer_take(ev, &verdict);
    if (usable && verdict == RELAY_ANSWERED)
        return;
    ev->kind = EV_PEER_FAILED;
    ev->failure = usable ? NET_UNREACHABLE : NET_TIMEOUT;
    if (!p)
        return;
    if (usable)
        detector_seconded(&p->detector, r->sent_ms);
    way_lost(n, p, &r->other);
}

/* ---- passing on ---- */

static void reply(struct node *n, uint64_t request, int status, struct str *body TAKES)
{
    eff_answer(n, request, answer_json(status, body));
}

static void reply_silent(struct node *n, uint64_t request)
{
    struct str body = STR_INIT;
    buf_u8(&body, RELAY_SILENT);
    reply(n, request, 200, &body);
}

/* Who waits for a node that has fallen silent need not wait longer. */
static void serve_silent(struct node *n, const struct peer *p)
{
    for (size_t i = 0; i < n->relays.n;) {
        const struct relayed *r = &n->relays.list[i];
        if (r->request == 0 || !id_equal(&r->target, &p->id)) {
            i++;
            continue;
        }
        reply_silent(n, r->request);
        relays_remove(n, i);
    }
}

static void pass_back(struct node *n, const struct relayed *r, const struct event *ev)
{
    if (ev->kind != EV_PEER_ANSWERED) {
        reply_silent(n, r->request);
        return;
    }
    struct str body = STR_INIT;
    buf_u8(&body, RELAY_ANSWERED);
    buf_u32(&body, (uint32_t)ev->status);
    buf_bytes(&body, ev->bytes, ev->bytes_n);
    reply(n, r->request, 200, &body);
}

bool relay_event(struct node *n, struct event *ev)
{
    struct relayed r = {0};
    if (!relays_take(n, ev->call, &r))
        return false;
    if (r.request)
        pass_back(n, &r, ev);
    else
        unwrap(n, &r, ev);
    return r.request != 0;
}

static size_t served_for(const struct node *n, const struct id *origin)
{
    size_t count = 0;
    for (size_t i = 0; i < n->relays.n; i++)
        count += n->relays.list[i].request && id_equal(&n->relays.list[i].other, origin);
    return count;
}

struct wish {
    struct id cluster, origin, target;
    int64_t timeout_ms;
    char *path;
    struct span body;
    enum net_lane via, lane;
};

static void wish_fini(struct wish *w)
{
    free(w->path);
}

static bool wish_decode(const struct request *r, struct wish *ret)
{
    struct reader in = reader_init(r->body, r->body_n);
    *ret = (struct wish){0};
    ret->cluster = read_id(&in);
    ret->origin = read_id(&in);
    ret->target = read_id(&in);
    uint64_t timeout_ms = read_varint(&in);
    ret->timeout_ms = timeout_ms < TIMEOUT_MAX_MS ? (int64_t)timeout_ms : TIMEOUT_MAX_MS;
    ret->path = read_text(&in);
    ret->body = read_bytes(&in);
    return reader_done(&in) && ret->path && path_lanes(ret->path, &ret->via, &ret->lane);
}

static void pass_on(struct node *n, const struct request *r, const struct peer *to, const struct wish *w)
{
    struct str path = STR_INIT;
    char origin[ID_TEXT];
    struct peer_call *c = mem_alloc(sizeof *c);
    str_printf(&path, "%s?for=%s", w->path, id_text(&w->origin, origin));
    *c = (struct peer_call){.id = ++n->next_call,
                            .node = to->id,
                            .url = mem_dup(to->url),
                            .lane = w->lane,
                            .path = str_take(&path),
                            .body = mem_copy(w->body.p, w->body.n),
                            .body_n = w->body.n,
                            .timeout_ms = w->timeout_ms};
    relays_add(
        n, &(struct relayed){
               .call = c->id, .request = r->id, .target = to->id, .other = w->origin, .sent_ms = n->now_ms});
    n->counters.relayed++;
    eff_call(n, c);
}

void relay_arrived(struct node *n, const struct request *r)
{
    CLEANUP(wish_fini) struct wish w;
    struct str nothing = STR_INIT;
    bool good = wish_decode(r, &w) && id_equal(&w.cluster, &n->cluster) && !id_equal(&w.target, &w.origin);
    struct peer *to = good ? peer_find(n, &w.target) : NULL;
    if (!good || !id_equal(&w.origin, &r->who.node))
        reply(n, r->id, 400, &nothing);
    else if (!to || !peer_find(n, &w.origin))
        reply(n, r->id, 409, &nothing); /* we do not know them: no opinion */
    else if (to->way.silent)
        reply_silent(n, r->id);
    else if (served_for(n, &w.origin) >= RELAYS_MAX)
        reply(n, r->id, 503, &nothing);
    else
        pass_on(n, r, to, &w);
}

/* ---- the target ---- */

static const struct frozen_node *frozen_by_id(const struct frozen *f, const struct id *id)
{
    for (int i = 0; i < f->nodes_n; i++)
        if (id_equal(&f->nodes[i].id, id))
            return &f->nodes[i];
    return NULL;
}

bool relay_speaks_for(const struct frozen *f, const char *path, const char *query, struct principal *who)
{
    static const char word[] = "for=";
    struct id origin;
    enum net_lane via, on;
    if (!query)
        return true;
    const struct frozen_node *by = frozen_by_id(f, &who->node);
    if (!path_lanes(path, &via, &on) || !text_starts(query, word) ||
        !id_parse(query + sizeof word - 1, &origin) || id_is_zero(&origin) || id_equal(&origin, &f->self) ||
        frozen_forgotten(f, &origin) || !by || !by->member)
        return false;
    who->node = origin;
    const struct frozen_node *node = frozen_by_id(f, &origin);
    snprintf(who->name, sizeof who->name, "node:%.58s", node ? node->name : query + sizeof word - 1);
    text_whole(who->name);
    return true;
}
