/* http_lane: see http_lane.h. Decides when to connect, to which address, and who may be on the other side; it
 * knows nothing of what is called.
 */
#include "real/http_lane.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdio.h>
#include <string.h>

#include "base/ensure.h"
#include "real/tls.h"

#define READ_BUDGET   262144 /* bytes read from one peer before others have their turn */
#define KEEP_MAX      4096   /* an idle lane keeps no larger buffers */
#define BACKOFF_STEPS 4
#define LANE_MAGIC    0x6c616e65U

static void lane_on_io(evutil_socket_t fd, short what, void *arg);
static void lane_next_address(struct lane *l);

static void timer_set(struct event *timer, int64_t ms)
{
    struct timeval wait = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    event_add(timer, &wait);
}

/* ---- how fast ---- */

/* How long until there is a token; 0 = now. */
static int64_t bucket_wait_ms(struct bucket *b, int64_t now)
{
    b->tokens += (double)(now - b->at_ms) * b->rate / 1000;
    b->at_ms = now;
    if (b->tokens > b->burst)
        b->tokens = b->burst;
    return b->tokens >= 1 ? 0 : 1 + (int64_t)((1 - b->tokens) * 1000 / b->rate);
}

/* A peer that cannot be reached is tried less and less often, and not by all nodes at the same moment. */
static void back_off(struct peer *p)
{
    int64_t now = lane_now_ms(), wait_ms = p->client->options.backoff_ms
                                           << (p->failures < BACKOFF_STEPS ? p->failures : BACKOFF_STEPS);
    p->failures++;
    p->failed_at_ms = now;
    p->try_at_ms = now + wait_ms - (int64_t)prng_below(&p->client->prng, (uint64_t)wait_ms / 2 + 1);
}

/* ---- calls ---- */

/* Takes the call off its lane and frees it; returns its id. */
static uint64_t call_end(struct call *call)
{
    uint64_t id = call->c->id;
    if (call->lane->current == call)
        call->lane->current = NULL;
    else
        TAILQ_REMOVE(&call->lane->queue, call, next);
    event_del(&call->timer);
    peer_call_free(call->c);
    free(call);
    return id;
}

static void call_fail(struct call *call, enum net_failure failure, const char *why)
{
    struct http_client *k = call->lane->peer->client;
    uint64_t id = call_end(call);
    k->callbacks.failed(k->callbacks.ctx, id, failure, why);
}

/* Only those that wait now: a callback may add more, which are another attempt's. */
static void queue_fail(struct lane *l, enum net_failure failure, const char *why)
{
    size_t n = 0;
    struct call *call;
    TAILQ_FOREACH (call, &l->queue, next)
        n++;
    while (n-- > 0 && (call = TAILQ_FIRST(&l->queue)))
        call_fail(call, failure, why);
}

/* ---- lanes ---- */

static void lane_kick(struct lane *l)
{
    struct http_client *k = l->peer->client;
    if (l->kicked)
        return;
    l->kicked = true;
    TAILQ_INSERT_TAIL(&k->kicked, l, kick_link);
    event_active(k->kick, EV_TIMEOUT, 0);
}

static void lane_watch(struct lane *l, short wanted)
{
    if (wanted == l->watched)
        return;
    if (l->watched)
        event_del(&l->io);
    l->watched = wanted;
    if (!wanted)
        return;
    event_assign(&l->io, l->peer->client->base, l->stream.fd, (short)(wanted | EV_PERSIST), lane_on_io, l);
    ensure(event_add(&l->io, NULL) == 0, "libevent takes no more events");
}

static void lookup_drop(struct lane *l)
{
    if (!l->lookup)
        return;
    l->lookup->lane = NULL;
    evdns_getaddrinfo_cancel(l->lookup->request);
    l->lookup = NULL;
}

/* Back to NONE, whatever was. */
static void lane_reset(struct lane *l)
{
    lane_watch(l, 0);
    event_del(&l->timer);
    lookup_drop(l);
    stream_fini(&l->stream);
    if (l->addresses)
        evutil_freeaddrinfo(TAKE(l->addresses));
    l->address = NULL;
    str_fini(&l->out);
    str_fini(&l->body);
    l->out_at = 0;
    l->complete = l->too_large = false;
    l->state = LANE_NONE;
}

/* No connection came about. */
static void lane_give_up(struct lane *l, enum net_failure failure, const char *why)
{
    char text[sizeof l->why];
    snprintf(text, sizeof text, "%s", why);
    lane_reset(l);
    back_off(l->peer);
    queue_fail(l, failure, text);
    if (!TAILQ_EMPTY(&l->queue))
        lane_kick(l);
}

/* A connection that was there is not any more, and not by our will. */
static void lane_broken(struct lane *l, enum net_failure failure, const char *why)
{
    struct http_client *k = l->peer->client;
    struct id node = l->node;
    char text[sizeof l->why];
    snprintf(text, sizeof text, "%s", why);
    lane_reset(l);
    if (l->current)
        call_fail(l->current, failure, text);
    if (l->lane == LANE_CONTROL && failure == NET_CLOSED)
        k->callbacks.closed(k->callbacks.ctx, node);
    if (!TAILQ_EMPTY(&l->queue))
        lane_kick(l);
}

static void call_on_timeout(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
    struct call *call = arg;
    struct lane *l = call->lane;
    bool sent = l->current == call;
    if (sent)
        lane_reset(l); /* its answer may still come: nothing else may use this connection */
    call_fail(call, NET_TIMEOUT, "no answer in time");
    if (sent && !TAILQ_EMPTY(&l->queue))
        lane_kick(l);
}

/* ---- an answer ---- */

static int on_head(http_parser *p)
{
    struct lane *l = p->data;
    size_t max = l->peer->client->options.answer_bytes_max;
    l->too_large = (p->flags & F_CONTENTLENGTH) && p->content_length > max;
    p->upgrade = 0;
    return l->too_large ? -1 : 0;
}

static int on_body(http_parser *p, const char *at, size_t n)
{
    struct lane *l = p->data;
    l->too_large = n > l->peer->client->options.answer_bytes_max - l->body.n;
    if (l->too_large)
        return -1;
    str_add(&l->body, at, n);
    return 0;
}

static int on_end(http_parser *p)
{
    struct lane *l = p->data;
    if (p->status_code < 200)
        return 0; /* 100 Continue and its kin announce another head */
    l->complete = true;
    http_parser_pause(p, 1);
    return 0;
}

static const http_parser_settings settings = {
    .on_headers_complete = on_head,
    .on_body = on_body,
    .on_message_complete = on_end,
};

static void lane_answered(struct lane *l)
{
    struct http_client *k = l->peer->client;
    int status = (int)l->parser.status_code;
    bool keep = http_should_keep_alive(&l->parser);
    size_t n = l->body.n;
    char *body = str_take(&l->body);
    uint64_t id = call_end(l->current);
    l->complete = false;
    if (!keep)
        lane_reset(l);
    else if (l->lane != LANE_CONTROL)
        timer_set(&l->timer, k->options.idle_ms);
    if (!TAILQ_EMPTY(&l->queue))
        lane_kick(l);
    k->callbacks.answered(k->callbacks.ctx, id, status, body, n);
}

static void lane_take(struct lane *l, const char *bytes, size_t n)
{
    if (!l->current) {
        lane_broken(l, NET_CLOSED, "the peer sent what nobody asked for");
        return;
    }
    size_t used = http_parser_execute(&l->parser, &settings, bytes, n);
    if (l->complete && used == n)
        lane_answered(l);
    else if (l->too_large)
        lane_broken(l, NET_CLOSED, "the peer's answer is too large");
    else if (l->complete || HTTP_PARSER_ERRNO(&l->parser) != HPE_OK)
        lane_broken(l, NET_CLOSED, "the peer's answer is not HTTP/1.1");
}

/* ---- traffic ---- */

static void lane_why(struct lane *l, enum stream_result r)
{
    if (r == STREAM_TLS)
        tls_why(l->stream.ssl, l->why, sizeof l->why);
    else
        snprintf(l->why, sizeof l->why, "the peer closed the connection");
}

static void lane_lost(struct lane *l, enum stream_result r)
{
    lane_why(l, r);
    lane_broken(l, r == STREAM_TLS ? NET_TLS : NET_CLOSED, l->why);
}

static void lane_flush(struct lane *l)
{
    short want = EV_READ;
    while (l->out_at < l->out.n) {
        size_t n = 0;
        enum stream_result r = stream_write(&l->stream, l->out.p + l->out_at, l->out.n - l->out_at, &n);
        if (r == STREAM_WANT_WRITE || r == STREAM_WANT_READ) {
            want = r == STREAM_WANT_WRITE ? EV_READ | EV_WRITE : EV_READ;
            break;
        }
        if (r != STREAM_DONE) {
            lane_lost(l, r);
            return;
        }
        l->out_at += n;
    }
    lane_watch(l, want);
    if (l->out_at < l->out.n)
        return;
    l->out_at = 0;
    if (l->out.cap > KEEP_MAX)
        str_fini(&l->out);
    else
        str_clear(&l->out);
}

static void lane_send(struct lane *l)
{
    struct call *call = TAILQ_FIRST(&l->queue);
    TAILQ_REMOVE(&l->queue, call, next);
    l->current = call;
    const struct peer_call *c = call->c;
    const struct peer *p = l->peer;
    bool v6 = strchr(p->host, ':');
    str_printf(&l->out,
               "POST %s HTTP/1.1\r\nHost: %s%s%s:%s\r\nContent-Type: application/json\r\nContent-Length: "
               "%zu\r\n\r\n",
               c->path, v6 ? "[" : "", p->host, v6 ? "]" : "", p->port, c->body_n);
    str_add(&l->out, c->body, c->body_n);
    http_parser_init(&l->parser, HTTP_RESPONSE);
    l->parser.data = l;
    event_del(&l->timer);
    lane_flush(l);
}

static void lane_read(struct lane *l)
{
    struct http_client *k = l->peer->client;
    size_t budget = READ_BUDGET;
    do {
        size_t n = 0;
        enum stream_result r = stream_read(&l->stream, k->buffer, sizeof k->buffer, &n);
        if (r == STREAM_WANT_READ || r == STREAM_WANT_WRITE)
            return;
        if (r != STREAM_DONE) {
            lane_lost(l, r);
            return;
        }
        lane_take(l, k->buffer, n);
        budget = n < budget ? budget - n : 0;
    } while (l->state == LANE_READY && stream_pending(&l->stream) && budget > 0);
    if (l->state == LANE_READY && budget == 0)
        event_active(&l->io, EV_READ, 0);
}

/* ---- the way to READY ---- */

static bool host_is_name(const char *host)
{
    return strspn(host, "0123456789.") != strlen(host) && !strchr(host, ':');
}

/* Who is it? Sets l->node; false = somebody else than who was called. */
static bool lane_recognise(struct lane *l)
{
    char cn[TLS_CN_MAX];
    const struct id *expected = &l->peer->node;
    struct id found = {0};
    bool named = tls_peer_cn(l->stream.ssl, cn) && id_parse(cn, &found);
    l->node = named ? found : *expected;
    return id_is_zero(expected) || (named && id_equal(expected, &found));
}

/* One address is done with; the next may be better. */
static void lane_address_failed(struct lane *l, enum net_failure failure)
{
    lane_watch(l, 0);
    event_del(&l->timer);
    stream_fini(&l->stream);
    /* Refused by all is proof that nobody is there; anything else says more than a refusal. */
    if (!l->tried || l->worst == NET_REFUSED)
        l->worst = failure;
    l->tried = true;
    lane_next_address(l);
}

/* Whoever waited for a better moment need not any more. */
static void peer_reached(struct peer *p)
{
    p->failures = 0;
    p->try_at_ms = 0;
    for (size_t i = 0; i < NET_LANES; i++) {
        struct lane *l = &p->lanes[i];
        if (l->state != LANE_TOKEN)
            continue;
        event_del(&l->timer);
        l->state = LANE_NONE;
        lane_kick(l);
    }
}

static void lane_ready(struct lane *l)
{
    event_del(&l->timer);
    evutil_freeaddrinfo(TAKE(l->addresses));
    l->address = NULL;
    l->state = LANE_READY;
    peer_reached(l->peer);
    lane_watch(l, EV_READ);
    if (!TAILQ_EMPTY(&l->queue))
        lane_send(l);
    else if (l->lane != LANE_CONTROL)
        timer_set(&l->timer, l->peer->client->options.idle_ms);
}

static void lane_handshake(struct lane *l)
{
    enum stream_result r = stream_handshake(&l->stream);
    if (r == STREAM_WANT_READ || r == STREAM_WANT_WRITE) {
        lane_watch(l, r == STREAM_WANT_READ ? EV_READ : EV_WRITE);
    } else if (r != STREAM_DONE) {
        lane_why(l, r);
        lane_address_failed(l, r == STREAM_TLS ? NET_TLS : NET_CLOSED);
    } else if (!lane_recognise(l)) {
        snprintf(l->why, sizeof l->why,
                 "the peer's certificate names another node than the one that was called");
        lane_address_failed(l, NET_TLS);
    } else {
        lane_ready(l);
    }
}

static void lane_connect_failed(struct lane *l, int error)
{
    snprintf(l->why, sizeof l->why, "cannot connect: %s", strerror(error));
    lane_address_failed(l, error == ECONNREFUSED ? NET_REFUSED : NET_UNREACHABLE);
}

static void lane_connected(struct lane *l)
{
    int error = 0;
    socklen_t n = sizeof error;
    if (getsockopt(l->stream.fd, SOL_SOCKET, SO_ERROR, &error, &n) || error) {
        lane_connect_failed(l, error ? error : errno);
        return;
    }
    int fd = l->stream.fd;
    lane_watch(l, 0);
    stream_init(&l->stream, fd, l->peer->client->tls, false);
    if (host_is_name(l->peer->host))
        SSL_set_tlsext_host_name(l->stream.ssl, l->peer->host);
    l->state = LANE_HANDSHAKE;
    lane_handshake(l);
}

static void lane_connect(struct lane *l)
{
    const struct evutil_addrinfo *a = l->address;
    int one = 1;
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        lane_connect_failed(l, errno);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
    stream_init(&l->stream, fd, NULL, false);
    l->state = LANE_CONNECT;
    if (connect(fd, a->ai_addr, (socklen_t)a->ai_addrlen) && errno != EINPROGRESS) {
        lane_connect_failed(l, errno);
        return;
    }
    timer_set(&l->timer, l->peer->client->options.connect_ms);
    lane_watch(l, EV_WRITE);
}

static void lane_next_address(struct lane *l)
{
    l->address = l->address ? l->address->ai_next : l->addresses;
    if (l->address)
        lane_connect(l);
    else
        lane_give_up(l, l->worst, l->why);
}

static void lane_resolved(struct lane *l, struct evutil_addrinfo *list TAKES)
{
    l->addresses = list;
    l->address = NULL;
    l->tried = false;
    l->worst = NET_UNREACHABLE;
    snprintf(l->why, sizeof l->why, "the host has no address");
    lane_next_address(l);
}

static void on_resolved(int error, struct evutil_addrinfo *list, void *arg)
{
    struct lookup *lookup = arg;
    struct lane *l = lookup->lane;
    free(lookup);
    if (!l) {
        if (list)
            evutil_freeaddrinfo(list);
        return;
    }
    l->lookup = NULL;
    if (!error) {
        lane_resolved(l, list);
        return;
    }
    snprintf(l->why, sizeof l->why, "cannot resolve %s: %s", l->peer->host, evutil_gai_strerror(error));
    lane_give_up(l, NET_UNREACHABLE, l->why);
}

static void lane_resolve(struct lane *l)
{
    struct peer *p = l->peer;
    struct evutil_addrinfo *list = NULL;
    struct evutil_addrinfo hints = {.ai_family = AF_UNSPEC,
                                    .ai_socktype = SOCK_STREAM,
                                    .ai_protocol = IPPROTO_TCP,
                                    .ai_flags = AI_NUMERICHOST};
    l->state = LANE_RESOLVE;
    if (!p->valid) {
        lane_give_up(l, NET_UNREACHABLE, "the peer's address is not of the form https://host:port");
    } else if (evutil_getaddrinfo(p->host, p->port, &hints, &list) == 0) {
        lane_resolved(l, list);
    } else {
        struct lookup *lookup = l->lookup = mem_alloc(sizeof *lookup);
        lookup->lane = l;
        hints.ai_flags = 0;
        struct evdns_getaddrinfo_request *request =
            evdns_getaddrinfo(p->client->dns, p->host, p->port, &hints, on_resolved, lookup);
        if (request) /* NULL: on_resolved has run and freed the lookup */
            lookup->request = request;
    }
}

static int64_t longer(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static bool lane_pings(const struct lane *l)
{
    return l->lane == LANE_CONTROL || l->lane == LANE_VIA_PING || l->lane == LANE_FOR_PING;
}

/* At most so many connections a second to one peer, whatever the lane. Pings have a pace of their own, and
 * what they find out must not wait for a connection to somebody else, or until a peer has been missed for a
 * while. */
static int64_t connect_wait_ms(struct lane *l)
{
    struct peer *p = l->peer;
    int64_t now = lane_now_ms(), wait_ms = bucket_wait_ms(&p->connects, now);
    if (lane_pings(l))
        return wait_ms;
    wait_ms = longer(wait_ms, bucket_wait_ms(&p->client->connects, now));
    return longer(wait_ms, p->try_at_ms - now);
}

static void lane_begin(struct lane *l)
{
    int64_t wait_ms = connect_wait_ms(l);
    if (wait_ms > 0) {
        l->state = LANE_TOKEN;
        timer_set(&l->timer, wait_ms);
        return;
    }
    l->peer->connects.tokens -= 1;
    if (!lane_pings(l))
        l->peer->client->connects.tokens -= 1;
    lane_resolve(l);
}

void lane_work(struct lane *l)
{
    if (TAILQ_EMPTY(&l->queue) || l->current)
        return;
    if (l->state == LANE_READY)
        lane_send(l);
    else if (l->state == LANE_NONE)
        lane_begin(l);
}

static void lane_on_io(evutil_socket_t fd UNUSED, short what, void *arg)
{
    struct lane *l = arg;
    ensure(l->magic == LANE_MAGIC, "an event for a lane that is none");
    switch (l->state) {
    case LANE_NONE:
    case LANE_TOKEN:
    case LANE_RESOLVE:
        break;
    case LANE_CONNECT:
        lane_connected(l);
        break;
    case LANE_HANDSHAKE:
        lane_handshake(l);
        break;
    case LANE_READY:
        if (what & EV_READ)
            lane_read(l);
        if ((what & EV_WRITE) && l->state == LANE_READY)
            lane_flush(l);
        break;
    }
}

static void lane_on_timer(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
    struct lane *l = arg;
    ensure(l->magic == LANE_MAGIC, "a timer of a lane that is none");
    switch (l->state) {
    case LANE_NONE:
    case LANE_RESOLVE:
        break;
    case LANE_TOKEN:
        l->state = LANE_NONE;
        lane_work(l);
        break;
    case LANE_CONNECT:
    case LANE_HANDSHAKE:
        snprintf(l->why, sizeof l->why, "no connection within %lld ms",
                 (long long)l->peer->client->options.connect_ms);
        lane_address_failed(l, NET_TIMEOUT);
        break;
    case LANE_READY:
        if (!l->current) {
            stream_finish(&l->stream);
            lane_reset(l);
        }
        break;
    }
}

/* ---- from outside ---- */

void lane_init(struct lane *l, struct peer *p, enum net_lane lane)
{
    l->magic = LANE_MAGIC;
    l->peer = p;
    l->lane = lane;
    l->stream.fd = -1;
    TAILQ_INIT(&l->queue);
    evtimer_assign(&l->timer, p->client->base, lane_on_timer, l);
}

void lane_fini(struct lane *l)
{
    lane_reset(l);
    if (l->current)
        call_end(l->current);
    while (!TAILQ_EMPTY(&l->queue))
        call_end(TAILQ_FIRST(&l->queue));
    if (l->kicked)
        TAILQ_REMOVE(&l->peer->client->kicked, l, kick_link);
}

void lane_call(struct lane *l, struct peer_call *c TAKES)
{
    struct call *call = mem_alloc(sizeof *call);
    call->c = c;
    call->lane = l;
    TAILQ_INSERT_TAIL(&l->queue, call, next);
    evtimer_assign(&call->timer, l->peer->client->base, call_on_timeout, call);
    timer_set(&call->timer, c->timeout_ms > 0 ? c->timeout_ms : 0);
    lane_kick(l);
}

bool lane_is_spare(const struct lane *l)
{
    return l->state == LANE_NONE && !l->current && TAILQ_EMPTY(&l->queue) && !l->kicked;
}

void lane_end(struct lane *l)
{
    static const char why[] = "what this connection was made for is over";
    lane_reset(l);
    if (l->current)
        call_fail(l->current, NET_CLOSED, why);
    queue_fail(l, NET_CLOSED, why);
    if (!TAILQ_EMPTY(&l->queue))
        lane_kick(l);
}
