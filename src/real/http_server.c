#include "real/http_server.h"

#include <event2/event.h>
#include <event2/listener.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/ensure.h"
#include "real/http_conn.h"
#include "real/listen.h"
#include "real/tls.h"

#define FULL_WAIT_MS 50 /* between looks whether there is room for a connection again */
#define OVER_MAX     16 /* what has left the backlog is served: so many may be over connections_max for that */
#define SPARE_MS                                                                                             \
    1000 /* a handshake or a head that takes longer may be cut off where others need its place               \
          */
#define SMALL_BYTES 65536 /* an answer up to this leaves whatever waits already */

/* ---- accepting ---- */

/* The connection that can best be spared: it waits for its client, not for us, and has done so for longest.
 * Those of peers (and of whoever else shows a certificate) go last: rather than one of them, somebody whose
 * handshake or first request is on its way will be spared in a moment. */
static struct http_conn *spare(const struct http_server *s)
{
    struct http_conn *best[2] = {NULL, NULL}; /* without a certificate, with one */
    int64_t since[2] = {INT64_MAX, INT64_MAX}, young_ms = http_now_ms() - SPARE_MS;
    bool soon = false;
    for (size_t i = 0; i < s->conns_n; i++) {
        struct http_conn *c = s->conns[i];
        int64_t at = c ? http_conn_waits_since_ms(c) : INT64_MAX;
        bool certified = c && c->cert_cn, young = at > young_ms && c && !(c->idle && c->served);
        soon = soon || (young && !certified && at != INT64_MAX);
        if (at >= since[certified] || young)
            continue;
        since[certified] = at;
        best[certified] = c;
    }
    return best[0] || soon ? best[0] : best[1];
}

/* Every connection is busy and there may be no more. */
static bool full(const struct http_server *s)
{
    return s->stats.open > s->options.connections_max ||
           (s->stats.open == s->options.connections_max && TAILQ_EMPTY(&s->idle) && !spare(s));
}

static void accept_pause(struct http_server *s, int64_t ms, bool local_too)
{
    struct timeval wait = http_timeval(ms);
    s->stats.accept_waits++;
    if (s->tcp)
        evconnlistener_disable(s->tcp);
    if (s->local && local_too)
        evconnlistener_disable(s->local);
    event_add(s->accept_again, &wait);
}

static bool evict(struct http_server *s)
{
    struct http_conn *c = spare(s);
    if (!c)
        return false;
    http_conn_end(c);
    s->stats.evicted++;
    return true;
}

static void on_accept_again(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
    struct http_server *s = arg;
    struct timeval wait = http_timeval(FULL_WAIT_MS);
    while (s->stats.open > s->options.connections_max && evict(s))
        ;
    if (full(s)) {
        event_add(s->accept_again, &wait);
        return;
    }
    if (s->tcp)
        evconnlistener_enable(s->tcp);
    if (s->local)
        evconnlistener_enable(s->local);
}

/* How long to wait before the next connection is accepted; 0 = no wait. */
static int64_t rate_wait_ms(struct http_server *s)
{
    int64_t now = http_now_ms();
    double rate = s->options.accepts_per_s;
    s->accept_tokens += (double)(now - s->accept_at_ms) * rate / 1000;
    if (s->accept_tokens > rate)
        s->accept_tokens = rate;
    s->accept_at_ms = now;
    s->accept_tokens -= 1; /* this one is accepted anyway: it has left the backlog */
    return s->accept_tokens >= 1 ? 0 : 1 + (int64_t)((1 - s->accept_tokens) * 1000 / rate);
}

/* The oldest handshake of the address that has the most of them: who comes alone is not cut off for others.
 */
static struct http_conn *most_unfinished(struct http_server *s)
{
    struct http_conn *c, *most = TAILQ_FIRST(&s->young);
    TAILQ_FOREACH (c, &s->young, idle_link)
        if (*http_gate_unfinished(c->guest) > *http_gate_unfinished(most->guest))
            most = c;
    return most;
}

/* A client on the TLS port, by the limits that there are for its address and for unfinished handshakes. */
static void welcome(struct http_server *s, int fd, const struct sockaddr *from)
{
    struct http_guest *guest = NULL;
    int64_t wait_ms = http_gate_enter(s->gate, from, http_now_ms(), &guest);
    if (wait_ms == HTTP_GATE_REFUSED) {
        close(fd);
        s->stats.refused++;
        return;
    }
    s->stats.delayed += wait_ms > 0;
    http_conn_new(s, fd, from, guest, wait_ms);
    while (s->stats.handshaking > s->options.handshakes_max) {
        s->stats.timeouts++;
        http_conn_kill(most_unfinished(s));
    }
}

static void on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *from, int n UNUSED,
                      void *arg)
{
    struct http_server *s = arg;
    ensure(s->magic == SERVER_MAGIC, "a listener of a server that is none");
    bool tls = l == s->tcp;
    bool over = s->stats.open >= s->options.connections_max && !evict(s);
    if (over && s->stats.open >= s->options.connections_max + OVER_MAX) {
        close(fd);
        accept_pause(s, FULL_WAIT_MS, true);
        return;
    }
    if (tls)
        welcome(s, fd, from);
    else
        http_conn_new(s, fd, NULL, NULL, 0);
    int64_t wait_ms = tls ? rate_wait_ms(s) : 0;
    if (full(s))
        accept_pause(s, FULL_WAIT_MS, true);
    else if (wait_ms > 0)
        accept_pause(s, wait_ms, false);
}

/* Out of descriptors, most likely. */
static void on_accept_error(struct evconnlistener *l UNUSED, void *arg)
{
    struct http_server *s = arg;
    evict(s);
    accept_pause(s, FULL_WAIT_MS, true);
}

static int listener(struct http_server *s, int fd, struct evconnlistener **ret)
{
    struct evconnlistener *l =
        evconnlistener_new(s->base, on_accept, s, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
    ensure(l, "libevent takes no more events");
    evconnlistener_set_error_cb(l, on_accept_error);
    *ret = l;
    return 0;
}

/* ---- requests ---- */

/* The slot of a request that the owner may still answer; NULL if there is none any more. */
static struct http_slot *find(struct http_server *s, uint64_t id, struct http_conn **ret_conn)
{
    size_t index = id & ((1U << INDEX_BITS) - 1);
    struct http_conn *c = index < s->conns_n ? s->conns[index] : NULL;
    struct http_slot *slot = c && !c->dead ? http_slot_of(c, id) : NULL;
    *ret_conn = c;
    return slot && slot->delivered && !slot->answer && !slot->ended ? slot : NULL;
}

/* ---- the server ---- */

static void on_empty(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
    struct http_server *s = arg;
    if (s->callbacks.empty)
        s->callbacks.empty(s->callbacks.ctx);
}

#define DEFAULT(field, value)                                                                                \
    do {                                                                                                     \
        if (!(field))                                                                                        \
            (field) = (value);                                                                               \
    } while (0)

static void defaults(struct http_server_options *o)
{
    DEFAULT(o->backlog, 1024);
    DEFAULT(o->connections_max, 8192);
    DEFAULT(o->accepts_per_s, 500);
    DEFAULT(o->address_connections_max, SIZE_MAX);
    DEFAULT(o->address_accepts_per_s, o->accepts_per_s);
    DEFAULT(o->handshakes_max, o->connections_max < 32 ? 8 : o->connections_max / 4);
    DEFAULT(o->pipeline_max, 16);
    DEFAULT(o->uri_bytes_max, 8192);
    DEFAULT(o->head_bytes_max, 16384);
    DEFAULT(o->bodies_bytes_max, 256U << 20);
    DEFAULT(o->out_bytes_max, 32U << 20);
    DEFAULT(o->outs_bytes_max, 256U << 20);
    DEFAULT(o->stream_low_bytes, 65536);
    DEFAULT(o->body_bytes_per_s, 1024);
    DEFAULT(o->handshake_ms, 10000);
    DEFAULT(o->head_ms, 10000);
    DEFAULT(o->body_ms, 30000);
    DEFAULT(o->idle_ms, 120000);
    DEFAULT(o->stall_ms, 30000);
    DEFAULT(o->linger_ms, 2000);
    if (o->connections_max > (1U << INDEX_BITS) - OVER_MAX)
        o->connections_max = (1U << INDEX_BITS) - OVER_MAX;
}

struct http_server *http_server_new(struct event_base *base, const struct http_server_options *options,
                                    const struct http_server_callbacks *callbacks)
{
    struct http_server *s = mem_alloc(sizeof *s);
    s->magic = SERVER_MAGIC;
    s->base = base;
    s->options = *options;
    defaults(&s->options);
    s->callbacks = *callbacks;
    s->accept_tokens = s->options.accepts_per_s;
    s->accept_at_ms = http_now_ms();
    TAILQ_INIT(&s->idle);
    TAILQ_INIT(&s->young);
    s->gate = http_gate_new(s->options.address_accepts_per_s, s->options.address_connections_max);
    s->accept_again = evtimer_new(base, on_accept_again, s);
    s->empty = evtimer_new(base, on_empty, s);
    ensure(s->accept_again && s->empty, "libevent takes no more events");
    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes with write() */
    return s;
}

static void stop_listening(struct http_server *s)
{
    event_del(s->accept_again);
    if (s->tcp)
        evconnlistener_free(s->tcp);
    if (s->local)
        evconnlistener_free(s->local);
    s->tcp = s->local = NULL;
    struct stat st;
    if (s->local_path && lstat(s->local_path, &st) == 0 && st.st_dev == s->local_dev &&
        st.st_ino == s->local_ino)
        unlink(s->local_path);
    free(TAKE(s->local_path));
}

void http_server_free(struct http_server *s)
{
    if (!s)
        return;
    s->silent = true;
    stop_listening(s);
    for (size_t i = 0; i < s->conns_n; i++)
        if (s->conns[i])
            http_conn_kill(s->conns[i]);
    event_free(s->accept_again);
    event_free(s->empty);
    http_gate_free(s->gate);
    tls_free(s->tls);
    free(s->conns);
    free(s->free_index);
    s->magic = 0;
    free(s);
}

int http_server_listen_tls(struct http_server *s, const char *host, uint16_t port, SSL_CTX *tls,
                           struct err *e)
{
    int fd;
    int rc = listen_tcp(host, port, s->options.backlog, &fd, e);
    if (rc)
        return rc;
    http_server_set_tls(s, tls);
    return listener(s, fd, &s->tcp);
}

int http_server_listen_unix(struct http_server *s, const char *path, struct err *e)
{
    int fd;
    struct stat st;
    int rc = listen_unix(path, s->options.backlog, &fd, e);
    if (rc)
        return rc;
    if (lstat(path, &st) == 0) {
        s->local_path = mem_dup(path);
        s->local_dev = st.st_dev;
        s->local_ino = st.st_ino;
    }
    return listener(s, fd, &s->local);
}

uint16_t http_server_port(const struct http_server *s)
{
    return s->tcp ? listen_port(evconnlistener_get_fd(s->tcp)) : 0;
}

void http_server_set_tls(struct http_server *s, SSL_CTX *tls)
{
    SSL_CTX_up_ref(tls);
    tls_free(s->tls);
    s->tls = tls;
}

/* Where too much waits already for clients that do not read, a large answer stays here. */
static struct answer *bounded(const struct http_server *s, const struct http_slot *slot,
                              struct answer *a TAKES)
{
    if (!slot->safe || a->body_n <= SMALL_BYTES ||
        s->stats.out_bytes + a->body_n <= s->options.outs_bytes_max)
        return a;
    answer_free(a);
    return http_out_problem(SKEP_EOVERLOADED,
                            "Too many answers of this node wait for clients that do not read "
                            "them. Try again in a second");
}

void http_server_answer(struct http_server *s, uint64_t id, struct answer *a TAKES)
{
    struct http_conn *c;
    struct http_slot *slot = find(s, id, &c);
    if (!slot || slot->stream_type) {
        answer_free(a);
        return;
    }
    http_conn_enter(c);
    slot->answer = bounded(s, slot, a);
    http_conn_leave(c, c->depth == 1 ? http_now_ms() : 0);
}

bool http_server_stream_begin(struct http_server *s, uint64_t id, const char *content_type)
{
    struct http_conn *c;
    struct http_slot *slot = find(s, id, &c);
    if (!slot || slot->stream_type)
        return false;
    http_conn_enter(c);
    slot->stream_type = content_type;
    http_conn_leave(c, c->depth == 1 ? http_now_ms() : 0);
    return true;
}

size_t http_server_stream_data(struct http_server *s, uint64_t id, const char *bytes, size_t n)
{
    struct http_conn *c;
    struct http_slot *slot = find(s, id, &c);
    if (!slot || !slot->stream_type)
        return 0;
    http_conn_enter(c);
    int64_t now = http_now_ms();
    struct str *to = slot->head_written ? &c->out : &slot->queued;
    http_conn_out_begins(c, now);
    if (n > 0 && !slot->head_only) {
        if (slot->http_1_0)
            str_add(to, bytes, n);
        else
            http_out_chunk(to, bytes, n);
    }
    if (c->depth == 1)
        http_conn_flush(c, now);
    size_t waits = c->dead ? 0 : c->out.n - c->out_at;
    if (!c->dead) {
        waits += slot->queued.n;
        slot->above_low = slot->above_low || waits > s->options.stream_low_bytes;
        if (waits > s->options.out_bytes_max)
            http_conn_kill(c);
    }
    http_conn_leave(c, now);
    return waits;
}

void http_server_stream_end(struct http_server *s, uint64_t id)
{
    struct http_conn *c;
    struct http_slot *slot = find(s, id, &c);
    if (!slot || !slot->stream_type)
        return;
    http_conn_enter(c);
    slot->ended = true;
    http_conn_leave(c, http_now_ms());
}

void http_server_stream_abort(struct http_server *s, uint64_t id)
{
    struct http_conn *c;
    struct http_slot *slot = find(s, id, &c);
    if (!slot || !slot->stream_type)
        return;
    slot->ended = true;
    http_conn_kill(c);
}

void http_server_body_resume(struct http_server *s, uint64_t id)
{
    struct http_conn *c;
    if (!find(s, id, &c) || c->body_id != id || !c->body_paused)
        return;
    int64_t now = http_now_ms();
    http_conn_enter(c);
    c->body_paused = false;
    c->body_ms = now;
    http_conn_leave(c, now);
}

void http_server_drain(struct http_server *s)
{
    s->draining = true;
    stop_listening(s);
    struct http_conn *c, *next;
    TAILQ_FOREACH_SAFE(c, &s->idle, idle_link, next)
    {
        http_conn_end(c);
    }
    for (size_t i = 0; i < s->conns_n; i++)
        if (s->conns[i] && s->conns[i]->state == CONN_HANDSHAKE)
            http_conn_kill(s->conns[i]);
    if (s->stats.open == 0)
        event_active(s->empty, EV_TIMEOUT, 0);
}

void http_server_stats(const struct http_server *s, struct http_server_stats *ret_stats)
{
    *ret_stats = s->stats;
}
