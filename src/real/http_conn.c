/* A connection is a queue of slots, one per request whose answer has not left. What can be done with it is
 * decided in one place, conn_settle(), which runs last whenever anything has happened to the connection:
 * it writes answers, handles input that had to wait, and sets what to watch for and until when. Everything
 * else only leaves marks. A connection that must die is marked too, and freed when nobody is inside it.
 *
 * Input that must wait (an earlier request may change something, too much is in flight) is kept up to
 * INPUT_MAX; until then the socket is read on, so that an end is noticed. After that, and once the client has
 * sent its end, the socket is watched edge-triggered for its death only.
 *
 * Timers are lazy: a deadline that moves further away leaves the timer alone; when it fires too early, it is
 * set again. A busy keep-alive connection touches its timer once in idle_ms.
 */
#include "real/http_conn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <openssl/err.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/ensure.h"
#include "real/tls.h"

#define READ_BUDGET  262144 /* bytes read from one connection before others have their turn */
#define INPUT_MAX    65536  /* bytes kept of requests that must wait */
#define KEEP_OUT_MAX 4096   /* an idle connection keeps no larger output buffer */
#define NEVER        INT64_MAX

static void conn_settle(struct http_conn *c, int64_t now);
static void conn_free(struct http_conn *c);

int64_t http_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- slots ---- */

struct http_slot *http_slot_new(struct http_conn *c)
{
    struct http_slot *slot = mem_alloc(sizeof *slot);
    slot->id = ++c->server->sequence << INDEX_BITS | c->index;
    TAILQ_INSERT_TAIL(&c->slots, slot, next);
    c->slots_n++;
    c->server->stats.in_flight++;
    return slot;
}

static void slot_free(struct http_conn *c, struct http_slot *slot)
{
    TAILQ_REMOVE(&c->slots, slot, next);
    c->slots_n--;
    c->server->stats.in_flight--;
    answer_free(slot->answer);
    str_fini(&slot->queued);
    free(slot);
}

struct http_slot *http_slot_of(struct http_conn *c, uint64_t id)
{
    struct http_slot *slot;
    TAILQ_FOREACH (slot, &c->slots, next)
        if (slot->id == id)
            return slot;
    return NULL;
}

/* ---- life and death ---- */

void http_conn_enter(struct http_conn *c)
{
    c->depth++;
}

void http_conn_leave(struct http_conn *c, int64_t now)
{
    if (c->depth == 1 && !c->dead)
        conn_settle(c, now);
    if (--c->depth == 0 && c->dead)
        conn_free(c);
}

void http_conn_drop_body(struct http_conn *c)
{
    c->server->stats.body_bytes -= c->body.n;
    str_fini(&c->body);
}

static void tell_gone(struct http_conn *c)
{
    struct http_server *s = c->server;
    struct http_slot *slot, *next;
    TAILQ_FOREACH_SAFE(slot, &c->slots, next, next)
    {
        uint64_t id = slot->id;
        bool tell = slot->delivered && !slot->answer && !slot->ended && !s->silent && s->callbacks.gone;
        slot_free(c, slot);
        if (tell) {
            s->stats.gone++;
            s->callbacks.gone(s->callbacks.ctx, id);
        }
    }
}

void http_conn_kill(struct http_conn *c)
{
    if (c->dead)
        return;
    c->dead = true;
    http_conn_enter(c);
    tell_gone(c);
    http_conn_leave(c, 0);
}

void http_conn_end(struct http_conn *c)
{
    stream_finish(&c->stream);
    http_conn_kill(c);
}

void http_conn_leave_idle(struct http_conn *c)
{
    if (c->idle)
        TAILQ_REMOVE(&c->server->idle, c, idle_link);
    c->idle = false;
}

/* Its handshake has ended, or will not. */
static void leave_young(struct http_conn *c)
{
    if (c->state != CONN_HANDSHAKE)
        return;
    TAILQ_REMOVE(&c->server->young, c, idle_link);
    --*http_gate_unfinished(c->guest);
    c->server->stats.handshaking--;
}

static void conn_free(struct http_conn *c)
{
    struct http_server *s = c->server;
    http_conn_leave_idle(c);
    leave_young(c);
    http_gate_leave(c->guest);
    s->stats.out_bytes -= c->out_counted;
    http_conn_drop_body(c);
    event_del(&c->io);
    event_del(&c->timer);
    stream_fini(&c->stream);
    http_in_fini(&c->in);
    str_fini(&c->input);
    str_fini(&c->out);
    free(c->cert_cn);
    s->conns[c->index] = NULL;
    ARRAY_GROW(s->free_index, s->free_n, s->free_cap);
    s->free_index[s->free_n++] = c->index;
    s->stats.open--;
    if (s->draining && s->stats.open == 0)
        event_active(s->empty, EV_TIMEOUT, 0);
    c->magic = 0;
    free(c);
}

/* Says good-bye and reads on for a while: closing with unread input would take our last words with it. */
static void conn_linger(struct http_conn *c, int64_t now)
{
    stream_finish(&c->stream);
    leave_young(c);
    c->state = CONN_LINGER;
    c->state_ms = now;
}

/* ---- answers ---- */

void http_conn_out_begins(struct http_conn *c, int64_t now)
{
    if (c->out_at == c->out.n)
        c->wrote_ms = now;
}

static const char *date(struct http_server *s)
{
    time_t now = time(NULL);
    if (now != s->date_s) {
        s->date_s = now;
        http_out_date(now, s->date);
    }
    return s->date;
}

static struct http_out how_of(struct http_conn *c, const struct http_slot *slot)
{
    return (struct http_out){.head_only = slot->head_only,
                             .http_1_0 = slot->http_1_0,
                             .close = slot->close,
                             .date = date(c->server)};
}

/* What an answer means for the connection, known when it is this slot's turn. */
static void decide_close(struct http_conn *c, struct http_slot *slot)
{
    bool unfinished = c->receiving && c->body_id == slot->id && !c->discard;
    if (unfinished || (slot->answer && slot->answer->close) || (slot->stream_type && slot->http_1_0))
        slot->close = true;
    if (c->server->draining && !TAILQ_NEXT(slot, next))
        slot->close = true;
}

/* True: the slot is through. */
static bool pump_slot(struct http_conn *c, struct http_slot *slot, int64_t now)
{
    if (!slot->answer && !slot->stream_type)
        return false;
    http_conn_out_begins(c, now);
    if (slot->answer) {
        decide_close(c, slot);
        struct http_out how = how_of(c, slot);
        http_out_answer(&c->out, slot->answer, &how);
        return true;
    }
    if (!slot->head_written) {
        decide_close(c, slot);
        struct http_out how = how_of(c, slot);
        http_out_stream(&c->out, slot->stream_type, &how);
        slot->head_written = true;
        str_add(&c->out, slot->queued.p, slot->queued.n);
        str_fini(&slot->queued);
    }
    if (slot->ended && !slot->http_1_0 && !slot->head_only)
        http_out_last_chunk(&c->out);
    return slot->ended;
}

/* Moves what is ready, in order, to the output. */
static void conn_pump(struct http_conn *c, int64_t now)
{
    struct http_slot *slot;
    while ((slot = TAILQ_FIRST(&c->slots)) && pump_slot(c, slot, now)) {
        bool close = slot->close;
        c->server->stats.answers++;
        slot_free(c, slot);
        if (close) {
            c->closing = true;
            http_conn_drop_body(c);
            tell_gone(c);
        }
    }
    if (c->slots_n == 0)
        c->exclusive = false;
}

void http_conn_flush(struct http_conn *c, int64_t now)
{
    c->want_write = false;
    while (c->out_at < c->out.n) {
        size_t n = 0;
        enum stream_result r = stream_write(&c->stream, c->out.p + c->out_at, c->out.n - c->out_at, &n);
        if (r == STREAM_WANT_WRITE || r == STREAM_WANT_READ) {
            c->want_write = r == STREAM_WANT_WRITE;
            break;
        }
        if (r != STREAM_DONE) {
            http_conn_kill(c);
            return;
        }
        c->out_at += n;
        c->wrote_ms = now;
        c->server->stats.bytes_out += n;
    }
    if (c->out_at == c->out.n) {
        c->out_at = 0;
        if (c->out.cap > KEEP_OUT_MAX)
            str_fini(&c->out);
        else
            str_clear(&c->out);
    } else if (c->out_at > c->out.n / 2) {
        memmove(c->out.p, c->out.p + c->out_at, c->out.n - c->out_at);
        c->out.n -= c->out_at;
        c->out_at = 0;
    }
}

/* True: the owner of a stream was asked for more. */
static bool tell_drained(struct http_conn *c)
{
    struct http_server *s = c->server;
    struct http_slot *slot = TAILQ_FIRST(&c->slots);
    if (!slot || !slot->above_low || c->out.n - c->out_at > s->options.stream_low_bytes)
        return false;
    slot->above_low = false;
    if (slot->ended || !s->callbacks.drained)
        return false;
    s->callbacks.drained(s->callbacks.ctx, slot->id);
    return true;
}

/* ---- what next ---- */

static bool reading(const struct http_conn *c)
{
    return !c->read_eof && !c->closing && c->input.n - c->input_at < INPUT_MAX && !c->body_paused;
}

static short wish(const struct http_conn *c)
{
    short write = c->want_write ? EV_WRITE : 0;
    switch (c->state) {
    case CONN_HANDSHAKE:
        return c->early ? 0 : c->want_write ? EV_WRITE : EV_READ;
    case CONN_OPEN:
        return reading(c) ? (short)(EV_READ | write) : (short)(EV_READ | EV_ET | write);
    case CONN_LINGER:
        return EV_READ;
    }
    return EV_READ;
}

static void conn_on_io(evutil_socket_t fd, short what, void *arg);

static void watch(struct http_conn *c)
{
    short wanted = wish(c);
    if (wanted == c->watched)
        return;
    if (c->watched)
        event_del(&c->io);
    c->watched = wanted;
    if (!wanted)
        return;
    event_assign(&c->io, c->server->base, c->stream.fd, (short)(wanted | EV_PERSIST), conn_on_io, c);
    ensure(event_add(&c->io, NULL) == 0, "libevent takes no more events");
}

static int64_t sooner(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t body_deadline(const struct http_conn *c)
{
    const struct http_server_options *o = &c->server->options;
    if (c->streaming)
        return c->body_ms + o->idle_ms;
    return sooner(c->body_ms + o->body_ms,
                  c->body_start_ms + o->body_ms + c->body_got * 1000 / (int64_t)o->body_bytes_per_s);
}

static int64_t deadline(const struct http_conn *c)
{
    const struct http_server_options *o = &c->server->options;
    if (c->state == CONN_HANDSHAKE)
        return c->early ? c->state_ms : c->state_ms + o->handshake_ms;
    if (c->state == CONN_LINGER)
        return c->state_ms + o->linger_ms;
    if (c->out_at < c->out.n)
        return c->wrote_ms + o->stall_ms;
    if (c->idle)
        return c->idle_ms + o->idle_ms;
    if (http_conn_blocked(c) || c->read_eof)
        return NEVER; /* we are the ones to move */
    if (c->receiving)
        return body_deadline(c);
    if (c->in.begun)
        return c->head_ms + o->head_ms;
    return NEVER;
}

static void arm(struct http_conn *c, int64_t now)
{
    int64_t at = deadline(c);
    if (at == NEVER || (c->timer_set && c->timer_at_ms <= at))
        return;
    struct timeval wait = http_timeval(at > now ? at - now : 0);
    event_add(&c->timer, &wait);
    c->timer_set = true;
    c->timer_at_ms = at;
}

/* Nothing in flight, nothing begun, nothing to write. */
static bool resting(const struct http_conn *c)
{
    return c->state == CONN_OPEN && c->slots_n == 0 && !c->in.begun && !c->receiving &&
           c->out_at == c->out.n && c->input.n == 0 && !c->closing;
}

static void rest(struct http_conn *c, int64_t now)
{
    bool now_resting = resting(c);
    if (c->idle && !now_resting)
        http_conn_leave_idle(c);
    if (c->idle || !now_resting)
        return;
    c->idle = true;
    c->idle_ms = now;
    TAILQ_INSERT_TAIL(&c->server->idle, c, idle_link);
}

/* Ends a connection that has nothing left to do. True: it is dead. */
static bool finish(struct http_conn *c, int64_t now)
{
    bool cut = c->read_eof && c->receiving && c->input.n == 0; /* the rest of its body will not come */
    if ((c->slots_n > 0 && !cut) || c->out_at < c->out.n)
        return false;
    if (cut)
        http_conn_kill(c);
    else if (c->closing && !c->read_eof)
        conn_linger(c, now);
    else if (c->closing || (c->read_eof && !c->head_due && (c->input.n == 0 || !http_conn_blocked(c))) ||
             (c->server->draining && resting(c))) {
        http_conn_end(c);
    }
    return c->dead;
}

/* The owner of a stream is asked for more once in a turn, so that a fast reader leaves time for others. */
static bool wants_another_turn(const struct http_conn *c)
{
    const struct http_slot *slot = TAILQ_FIRST(&c->slots);
    if (slot && slot->above_low && c->out.n - c->out_at <= c->server->options.stream_low_bytes)
        return true;
    return reading(c) && c->more;
}

int64_t http_conn_waits_since_ms(const struct http_conn *c)
{
    if (c->dead || c->slots_n > 0 || c->receiving || c->out_at < c->out.n)
        return INT64_MAX;
    return c->idle ? c->idle_ms : c->state == CONN_OPEN && c->in.begun ? c->head_ms : c->state_ms;
}

/* What waits here for the client to read. */
static void count_out(struct http_conn *c)
{
    struct http_slot *slot;
    size_t n = c->out.n - c->out_at;
    TAILQ_FOREACH (slot, &c->slots, next)
        n += slot->queued.n + (slot->answer ? slot->answer->body_n : 0);
    c->server->stats.out_bytes += n - c->out_counted;
    c->out_counted = n;
}

static void conn_settle(struct http_conn *c, int64_t now)
{
    bool again = c->state == CONN_OPEN, asked = false;
    while (again) {
        conn_pump(c, now);
        again = http_conn_take_waiting(c, now);
        if (!c->dead)
            http_conn_flush(c, now);
        if (!c->dead && !asked && tell_drained(c))
            again = asked = true;
        if (c->dead)
            return;
        struct http_slot *first = TAILQ_FIRST(&c->slots);
        again = again || (first && first->answer && c->out_at == c->out.n);
    }
    if (c->state == CONN_OPEN && finish(c, now))
        return;
    count_out(c);
    rest(c, now);
    watch(c);
    if (c->state == CONN_OPEN && wants_another_turn(c))
        event_active(&c->io, EV_READ, 0);
    arm(c, now);
}

/* ---- events ---- */

static void conn_read(struct http_conn *c, int64_t now)
{
    struct http_server *s = c->server;
    size_t budget = READ_BUDGET;
    while (reading(c) && !c->dead) {
        size_t n = 0;
        c->more = false;
        switch (stream_read(&c->stream, s->buffer, sizeof s->buffer, &n)) {
        case STREAM_DONE:
            http_conn_take(c, s->buffer, n, now);
            c->more = stream_pending(&c->stream);
            if (!c->more || n >= budget)
                return;
            budget -= n;
            break;
        case STREAM_WANT_READ:
        case STREAM_WANT_WRITE:
            return;
        case STREAM_EOF:
            c->read_eof = true;
            return;
        case STREAM_BROKEN:
        case STREAM_TLS:
            ERR_clear_error();
            http_conn_kill(c);
            return;
        }
    }
}

static void plain_on_tls(struct http_conn *c)
{
    SSL_free(c->stream.ssl);
    c->stream.ssl = NULL;
    leave_young(c);
    c->state = CONN_OPEN;
    http_conn_refuse(c, http_out_problem(SKEP_EARG, "This port speaks TLS. Use https in the address"));
}

static void handshake_failed(struct http_conn *c, enum stream_result r, int64_t now)
{
    c->server->stats.handshakes_failed++;
    int reason = r == STREAM_TLS ? ERR_GET_REASON(ERR_peek_last_error()) : 0;
    ERR_clear_error();
    if (reason == SSL_R_HTTP_REQUEST)
        plain_on_tls(c);
    else if (r == STREAM_TLS)
        conn_linger(c, now); /* the alert says why: let it arrive */
    else
        http_conn_kill(c);
}

static void conn_handshake(struct http_conn *c, int64_t now)
{
    enum stream_result r = stream_handshake(&c->stream);
    c->want_write = r == STREAM_WANT_WRITE;
    if (r == STREAM_WANT_READ || r == STREAM_WANT_WRITE)
        return;
    if (r != STREAM_DONE) {
        handshake_failed(c, r, now);
        return;
    }
    char cn[TLS_CN_MAX];
    if (tls_peer_cn(c->stream.ssl, cn))
        c->cert_cn = mem_dup(cn);
    c->server->stats.handshakes++;
    c->server->stats.resumed += SSL_session_reused(c->stream.ssl) != 0;
    leave_young(c);
    c->state = CONN_OPEN;
    conn_read(c, now);
}

/* Throws away what a refused client still sends; below TLS, since nobody wants to know what it was. */
static void conn_drain(struct http_conn *c)
{
    struct http_server *s = c->server;
    ssize_t n = recv(c->stream.fd, s->buffer, sizeof s->buffer, 0);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        http_conn_kill(c);
}

static void conn_on_io(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
    struct http_conn *c = arg;
    ensure(c->magic == CONN_MAGIC, "an event for a connection that is none");
    int64_t now = http_now_ms();
    http_conn_enter(c);
    switch (c->state) {
    case CONN_HANDSHAKE:
        conn_handshake(c, now);
        break;
    case CONN_OPEN:
        if (reading(c))
            conn_read(c, now);
        else if (stream_gone(&c->stream))
            http_conn_kill(c);
        break;
    case CONN_LINGER:
        conn_drain(c);
        break;
    }
    http_conn_leave(c, now);
}

static void too_slow(struct http_conn *c)
{
    const struct http_server_options *o = &c->server->options;
    if (c->receiving)
        http_conn_refuse(c, http_out_problem(SKEP_EARG,
                                             "The body came too slowly: nothing for %lld ms, or fewer than "
                                             "%u bytes/s. Send it without pauses",
                                             (long long)o->body_ms, o->body_bytes_per_s));
    else
        http_conn_refuse(c, http_out_problem(SKEP_EARG,
                                             "The request's head was not complete after %lld ms. Send it at "
                                             "once",
                                             (long long)o->head_ms));
}

static void conn_on_timer(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
    struct http_conn *c = arg;
    ensure(c->magic == CONN_MAGIC, "a timer of a connection that is none");
    int64_t now = http_now_ms();
    http_conn_enter(c);
    c->timer_set = false;
    if (c->early && c->state_ms <= now) {
        c->early = false;
    } else if (deadline(c) <= now) {
        c->server->stats.timeouts += !c->idle && c->state != CONN_LINGER;
        if (c->state == CONN_OPEN && !c->idle && c->out_at == c->out.n)
            too_slow(c);
        else if (c->idle)
            http_conn_end(c);
        else
            http_conn_kill(c);
    }
    http_conn_leave(c, now);
}

/* ---- birth ---- */

static uint32_t take_index(struct http_server *s)
{
    if (s->free_n > 0)
        return s->free_index[--s->free_n];
    ARRAY_GROW(s->conns, s->conns_n, s->conns_cap);
    return (uint32_t)s->conns_n++;
}

static void name_client(struct http_conn *c, const struct sockaddr *from)
{
    char text[INET6_ADDRSTRLEN] = "?";
    uint16_t port = 0;
    if (from->sa_family == AF_INET) {
        const struct sockaddr_in *in4 = (const void *)from;
        inet_ntop(AF_INET, &in4->sin_addr, text, sizeof text);
        port = ntohs(in4->sin_port);
    } else if (from->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const void *)from;
        inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof text);
        port = ntohs(in6->sin6_port);
    }
    snprintf(c->from, sizeof c->from, "%s:%u", text, port);
}

static void name_local(struct http_conn *c)
{
    struct ucred who = {.uid = (uid_t)-1};
    socklen_t n = sizeof who;
    getsockopt(c->stream.fd, SOL_SOCKET, SO_PEERCRED, &who, &n);
    c->local = true;
    c->peer_uid = who.uid;
    c->peer_pid = (uint32_t)who.pid;
    snprintf(c->from, sizeof c->from, "unix");
}

void http_conn_new(struct http_server *s, int fd, const struct sockaddr *from, struct http_guest *guest,
                   int64_t wait_ms)
{
    struct http_conn *c = mem_alloc(sizeof *c);
    struct http_in_limits limits = {s->options.uri_bytes_max, s->options.head_bytes_max};
    c->magic = CONN_MAGIC;
    c->server = s;
    c->index = take_index(s);
    s->conns[c->index] = c;
    s->stats.open++;
    s->stats.accepted++;
    TAILQ_INIT(&c->slots);
    http_in_init(&c->in, &limits);
    stream_init(&c->stream, fd, from ? s->tls : NULL, true);
    if (from)
        name_client(c, from);
    else
        name_local(c);
    c->guest = guest;
    c->state = from ? CONN_HANDSHAKE : CONN_OPEN;
    c->early = wait_ms > 0;
    int64_t now = http_now_ms();
    c->state_ms = now + wait_ms;
    if (from) {
        TAILQ_INSERT_TAIL(&s->young, c, idle_link);
        ++*http_gate_unfinished(guest);
        s->stats.handshaking++;
    }
    evtimer_assign(&c->timer, s->base, conn_on_timer, c);
    http_conn_enter(c);
    http_conn_leave(c, now);
}
