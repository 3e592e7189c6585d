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
#include "real/http_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/listener.h>
#include <openssl/err.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/ensure.h"
#include "base/list.h"
#include "real/http_in.h"
#include "real/http_out.h"
#include "real/listen.h"
#include "real/stream.h"
#include "real/tls.h"

#define CONN_MAGIC       0x636f6e6eU
#define SERVER_MAGIC     0x73727672U
#define INDEX_BITS       20
#define BUFFER_BYTES     65536
#define INPUT_MAX        65536            /* bytes kept of requests that must wait */
#define OUT_HIGH         ((size_t)262144) /* with more output waiting no further request is begun */
#define READ_BUDGET      262144           /* bytes read from one connection before others have their turn */
#define KEEP_OUT_MAX     4096             /* an idle connection keeps no larger output buffer */
#define DISCARD_MAX      65536 /* a refused body up to this is read over; with a larger one we hang up */
#define FULL_WAIT_MS     50    /* between looks whether there is room for a connection again */
#define OVER_MAX         16 /* what has left the backlog is served: so many may be over connections_max for that */
#define NEVER            INT64_MAX
#define BODY_RESERVE_MAX 65536 /* room made for a body at once, on the client's word alone */

struct slot {
    TAILQ_ENTRY(slot) next;
    uint64_t id;
    struct answer *answer;
    const char *stream_type; /* not NULL: a streamed answer */
    struct str queued;       /* stream bytes, framed, while it is not this slot's turn */
    bool head_only, http_1_0;
    bool close;     /* the connection ends after this answer */
    bool delivered; /* the owner knows it: it hears of its end */
    bool head_written, ended, above_low;
};
TAILQ_HEAD(slot_list, slot);

enum conn_state { CONN_HANDSHAKE, CONN_OPEN, CONN_LINGER };

struct conn {
    unsigned magic;
    struct http_server *server;
    uint32_t index;
    enum conn_state state;
    struct stream stream;
    struct event io, timer;
    short watched;
    int depth; /* who is inside; see conn_enter */
    bool dead, local, idle, timer_set;
    bool read_eof; /* the client sends no more */
    bool closing;  /* no request is begun or continued any more */
    bool want_write;
    bool more;      /* the TLS layer holds bytes that we did not ask for yet; the socket will not say so */
    bool head_due;  /* a head is parsed but must wait for its turn */
    bool exclusive; /* a request that may change something is in flight */
    bool receiving; /* a head was handled, the body's end is still to come */
    bool streaming, body_paused, discard;

    struct http_in in;
    uint64_t body_id; /* slot of the request being received */
    struct str body;
    size_t body_max;
    int64_t body_got;
    struct str input;
    size_t input_at;
    struct str out;
    size_t out_at;
    struct slot_list slots;
    unsigned slots_n;

    int64_t state_ms, head_ms, body_start_ms, body_ms, wrote_ms, idle_ms; /* since when */
    int64_t timer_at_ms;
    TAILQ_ENTRY(conn) idle_link;
    uint32_t peer_uid, peer_pid;
    char *cert_cn;
    char from[INET6_ADDRSTRLEN + 8];
};
TAILQ_HEAD(conn_list, conn);

struct http_server {
    unsigned magic;
    struct event_base *base;
    struct http_server_options options;
    struct http_server_callbacks callbacks;
    struct http_server_stats stats;
    SSL_CTX *tls;
    struct evconnlistener *tcp, *local;
    char *local_path;
    dev_t local_dev;
    ino_t local_ino;
    struct event *accept_again, *empty;
    double accept_tokens;
    int64_t accept_at_ms;
    bool draining, silent;
    struct conn **conns;
    size_t conns_n, conns_cap;
    uint32_t *free_index;
    size_t free_n, free_cap;
    struct conn_list idle;
    uint64_t sequence;
    int64_t date_s;
    char date[HTTP_DATE_MAX];
    char buffer[BUFFER_BYTES];
};

static void conn_settle(struct conn *c, int64_t now);
static void conn_free(struct conn *c);

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static struct timeval in_ms(int64_t ms)
{
    return (struct timeval){.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
}

/* ---- slots ---- */

static struct slot *slot_new(struct conn *c)
{
    struct slot *slot = mem_alloc(sizeof *slot);
    slot->id = ++c->server->sequence << INDEX_BITS | c->index;
    TAILQ_INSERT_TAIL(&c->slots, slot, next);
    c->slots_n++;
    c->server->stats.in_flight++;
    return slot;
}

static void slot_free(struct conn *c, struct slot *slot)
{
    TAILQ_REMOVE(&c->slots, slot, next);
    c->slots_n--;
    c->server->stats.in_flight--;
    answer_free(slot->answer);
    str_fini(&slot->queued);
    free(slot);
}

static struct slot *slot_of(struct conn *c, uint64_t id)
{
    struct slot *slot;
    TAILQ_FOREACH (slot, &c->slots, next)
        if (slot->id == id)
            return slot;
    return NULL;
}

/* The slot of a request that the owner may still answer; NULL if there is none any more. */
static struct slot *find(struct http_server *s, uint64_t id, struct conn **ret_conn)
{
    size_t index = id & ((1U << INDEX_BITS) - 1);
    struct conn *c = index < s->conns_n ? s->conns[index] : NULL;
    struct slot *slot = c && !c->dead ? slot_of(c, id) : NULL;
    *ret_conn = c;
    return slot && slot->delivered && !slot->answer && !slot->ended ? slot : NULL;
}

/* ---- life and death ---- */

/* Around everything that may end in a callback: the connection outlives its innermost user. */
static void conn_enter(struct conn *c)
{
    c->depth++;
}

static void conn_leave(struct conn *c, int64_t now)
{
    if (c->depth == 1 && !c->dead)
        conn_settle(c, now);
    if (--c->depth == 0 && c->dead)
        conn_free(c);
}

static void drop_body(struct conn *c)
{
    c->server->stats.body_bytes -= c->body.n;
    str_fini(&c->body);
}

static void tell_gone(struct conn *c)
{
    struct http_server *s = c->server;
    struct slot *slot, *next;
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

/* Ends the connection without a farewell. */
static void conn_kill(struct conn *c)
{
    if (c->dead)
        return;
    c->dead = true;
    conn_enter(c);
    tell_gone(c);
    conn_leave(c, 0);
}

static void leave_idle(struct conn *c)
{
    if (c->idle)
        TAILQ_REMOVE(&c->server->idle, c, idle_link);
    c->idle = false;
}

static void conn_free(struct conn *c)
{
    struct http_server *s = c->server;
    leave_idle(c);
    drop_body(c);
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
static void conn_linger(struct conn *c, int64_t now)
{
    stream_finish(&c->stream);
    c->state = CONN_LINGER;
    c->state_ms = now;
}

/* ---- refusals ---- */

/* The layer's own answer to what is being received, or to nothing in particular; the connection ends after.
 */
static void conn_refuse(struct conn *c, struct answer *a TAKES)
{
    struct slot *slot = c->receiving ? slot_of(c, c->body_id) : NULL;
    c->closing = true;
    if (c->receiving && !slot) { /* its answer has left: there is no second one */
        answer_free(a);
        return;
    }
    if (!slot)
        slot = slot_new(c);
    if (slot->delivered && c->server->callbacks.gone && !slot->answer) {
        /* A streamed body that broke off: its owner must not wait for the rest. */
        slot->delivered = false;
        c->server->callbacks.gone(c->server->callbacks.ctx, slot->id);
    }
    answer_free(slot->answer);
    slot->answer = a;
    slot->close = true;
    c->receiving = false;
    drop_body(c);
    c->server->stats.rejects++;
}

static struct answer *too_large(size_t body_max)
{
    return http_out_problem(SKEP_ETOOLARGE,
                            "This path takes a body of at most %zu bytes. Send less, or in parts", body_max);
}

static struct answer *overloaded(void)
{
    return http_out_problem(SKEP_EOVERLOADED,
                            "This node is receiving too much at once. Try again in a second");
}

/* ---- requests ---- */

/* Before anything is added to the output: from now on the client has time to take it. */
static void append_out(struct conn *c, int64_t now)
{
    if (c->out_at == c->out.n)
        c->wrote_ms = now;
}

static struct answer *check_length(struct conn *c, size_t body_max)
{
    const struct http_server *s = c->server;
    int64_t n = c->in.content_length;
    if (n <= 0)
        return NULL;
    if ((uint64_t)n > body_max)
        return too_large(body_max);
    if ((size_t)n > s->options.bodies_bytes_max - s->stats.body_bytes)
        return overloaded();
    return NULL;
}

/* Asks the owner; NULL = go on. */
static struct answer *consult(struct conn *c, bool *ret_streaming)
{
    struct http_server *s = c->server;
    struct request *r = c->in.request;
    struct http_head head = {.request = r,
                             .cert_cn = c->cert_cn,
                             .from = c->from,
                             .content_length = c->in.content_length,
                             .has_body = c->in.has_body};
    struct answer *reject = NULL;
    size_t body_max = 0;
    bool streaming = false;
    s->callbacks.authorize(s->callbacks.ctx, &head, &r->who, &reject);
    if (!reject)
        s->callbacks.head(s->callbacks.ctx, &head, &body_max, &streaming, &reject);
    streaming = streaming && s->callbacks.body_part;
    if (!reject && !streaming)
        reject = check_length(c, body_max);
    c->body_max = body_max;
    *ret_streaming = streaming;
    return reject;
}

/* A refused request with a small body costs the client nothing but this request. */
static void reject_head(struct conn *c, struct slot *slot, struct answer *a TAKES)
{
    bool small = !c->in.chunked && c->in.content_length <= DISCARD_MAX && !c->in.expects_continue;
    slot->answer = a;
    c->server->stats.rejects++;
    c->discard = true;
    if (c->in.has_body && !small)
        slot->close = c->closing = true;
}

static void deliver(struct conn *c, struct slot *slot, char *body TAKES, size_t n)
{
    struct http_server *s = c->server;
    struct request *r = TAKE(c->in.request);
    r->body = body;
    r->body_n = n;
    slot->delivered = true;
    s->stats.requests++;
    s->callbacks.request(s->callbacks.ctx, r);
}

static void begin_body(struct conn *c, struct slot *slot, int64_t now)
{
    c->body_start_ms = c->body_ms = now;
    c->body_got = 0;
    append_out(c, now);
    if (c->in.expects_continue)
        str_puts(&c->out, "HTTP/1.1 100 Continue\r\n\r\n");
    if (c->streaming)
        deliver(c, slot, mem_dup(""), 0);
    else if (c->in.content_length > 0)
        str_reserve(&c->body, c->in.content_length < BODY_RESERVE_MAX ? (size_t)c->in.content_length
                                                                      : BODY_RESERVE_MAX);
}

static void handle_head(struct conn *c, int64_t now)
{
    struct request *r = c->in.request;
    struct slot *slot = slot_new(c);
    c->head_due = c->streaming = c->discard = c->body_paused = false;
    slot->head_only = r->method == HTTP_M_HEAD;
    slot->http_1_0 = c->in.http_1_0;
    slot->close = !c->in.keep_alive;
    r->id = slot->id;
    r->local = c->local;
    r->peer_uid = c->peer_uid;
    r->peer_pid = c->peer_pid;
    r->arrived_boot_ms = now;
    c->receiving = true;
    c->body_id = slot->id;
    leave_idle(c);
    struct answer *reject = consult(c, &c->streaming);
    if (c->dead)
        answer_free(reject);
    else if (reject)
        reject_head(c, slot, reject);
    else
        begin_body(c, slot, now);
}

/* Whether the head that was just parsed must wait until all before it is answered (invariant 2). */
static bool must_wait(const struct conn *c)
{
    return c->slots_n > 0 && (!http_in_safe(c->in.request->method) || c->in.has_body);
}

static void stream_in(struct conn *c, const char *bytes, size_t n, bool last)
{
    struct http_server *s = c->server;
    struct slot *slot = slot_of(c, c->body_id);
    if (!slot || slot->answer || slot->ended)
        return; /* answered before its end: conn_pump closes */
    if (!s->callbacks.body_part(s->callbacks.ctx, c->body_id, bytes, n, last) && !last)
        c->body_paused = true;
}

static void handle_body(struct conn *c, struct span part, int64_t now)
{
    struct http_server *s = c->server;
    c->body_ms = now;
    c->body_got += (int64_t)part.n;
    if (c->discard)
        return;
    if (c->streaming) {
        stream_in(c, part.p, part.n, false);
        return;
    }
    if (part.n > c->body_max - c->body.n) {
        conn_refuse(c, too_large(c->body_max));
    } else if (part.n > s->options.bodies_bytes_max - s->stats.body_bytes) {
        conn_refuse(c, overloaded());
    } else {
        str_add(&c->body, part.p, part.n);
        s->stats.body_bytes += part.n;
    }
}

static void handle_end(struct conn *c)
{
    struct slot *slot = slot_of(c, c->body_id);
    bool safe = c->in.request ? http_in_safe(c->in.request->method) : false;
    c->receiving = false;
    if (!c->in.keep_alive)
        c->closing = true;
    if (!slot)
        return;
    c->exclusive = !safe;
    if (c->discard)
        return;
    if (c->streaming) {
        stream_in(c, NULL, 0, true);
        return;
    }
    size_t n = c->body.n;
    c->server->stats.body_bytes -= n;
    deliver(c, slot, str_take(&c->body), n);
}

/* Whether parsing must stop here. */
static bool blocked(const struct conn *c)
{
    return c->dead || c->closing || c->head_due || c->body_paused ||
           (!c->receiving && (c->exclusive || c->slots_n >= c->server->options.pipeline_max ||
                              c->out.n - c->out_at > OUT_HIGH));
}

/* Handles what it may of the bytes; returns how many are done with. */
static size_t parse(struct conn *c, const char *bytes, size_t n, int64_t now)
{
    size_t done = 0, used;
    struct span part = {0};
    while (done < n && !blocked(c)) {
        bool begun = c->in.begun;
        enum http_in_step step = http_in_feed(&c->in, bytes + done, n - done, &used, &part);
        done += used;
        if (!begun)
            c->head_ms = now;
        switch (step) {
        case HTTP_IN_MORE:
            return n;
        case HTTP_IN_HEAD:
            if (must_wait(c))
                c->head_due = true;
            else
                handle_head(c, now);
            break;
        case HTTP_IN_BODY:
            handle_body(c, part, now);
            break;
        case HTTP_IN_END:
            handle_end(c);
            break;
        case HTTP_IN_BAD:
            conn_refuse(c, http_out_problem(c->in.error.code, "%s", c->in.error.text));
            return n;
        }
    }
    return c->closing ? n : done;
}

/* Goes on with input that had to wait. True: something was done. */
static bool parse_waiting(struct conn *c, int64_t now)
{
    bool moved = false;
    if (c->head_due && c->slots_n == 0 && !c->closing) {
        handle_head(c, now);
        moved = true;
    }
    if (c->input_at == c->input.n || blocked(c))
        return moved && !c->dead;
    c->input_at += parse(c, c->input.p + c->input_at, c->input.n - c->input_at, now);
    if (c->input_at == c->input.n) {
        str_fini(&c->input);
        c->input_at = 0;
    }
    return !c->dead;
}

static void take_input(struct conn *c, const char *bytes, size_t n, int64_t now)
{
    size_t done = 0;
    c->server->stats.bytes_in += n;
    if (c->input.n == 0)
        done = parse(c, bytes, n, now);
    if (done < n && !c->dead && !c->closing)
        str_add(&c->input, bytes + done, n - done);
}

/* ---- answers ---- */

static const char *date(struct http_server *s)
{
    time_t now = time(NULL);
    if (now != s->date_s) {
        s->date_s = now;
        http_out_date(now, s->date);
    }
    return s->date;
}

static struct http_out how_of(struct conn *c, const struct slot *slot)
{
    return (struct http_out){.head_only = slot->head_only,
                             .http_1_0 = slot->http_1_0,
                             .close = slot->close,
                             .date = date(c->server)};
}

/* What an answer means for the connection, known when it is this slot's turn. */
static void decide_close(struct conn *c, struct slot *slot)
{
    bool unfinished = c->receiving && c->body_id == slot->id && !c->discard;
    if (unfinished || (slot->answer && slot->answer->close) || (slot->stream_type && slot->http_1_0))
        slot->close = true;
    if (c->server->draining && !TAILQ_NEXT(slot, next))
        slot->close = true;
}

/* True: the slot is through. */
static bool pump_slot(struct conn *c, struct slot *slot, int64_t now)
{
    if (!slot->answer && !slot->stream_type)
        return false;
    append_out(c, now);
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
static void conn_pump(struct conn *c, int64_t now)
{
    struct slot *slot;
    while ((slot = TAILQ_FIRST(&c->slots)) && pump_slot(c, slot, now)) {
        bool close = slot->close;
        c->server->stats.answers++;
        slot_free(c, slot);
        if (close) {
            c->closing = true;
            drop_body(c);
            tell_gone(c);
        }
    }
    if (c->slots_n == 0)
        c->exclusive = false;
}

static void conn_flush(struct conn *c, int64_t now)
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
            conn_kill(c);
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
static bool tell_drained(struct conn *c)
{
    struct http_server *s = c->server;
    struct slot *slot = TAILQ_FIRST(&c->slots);
    if (!slot || !slot->above_low || c->out.n - c->out_at > s->options.stream_low_bytes)
        return false;
    slot->above_low = false;
    if (slot->ended || !s->callbacks.drained)
        return false;
    s->callbacks.drained(s->callbacks.ctx, slot->id);
    return true;
}

/* ---- what next ---- */

static bool reading(const struct conn *c)
{
    return !c->read_eof && !c->closing && c->input.n - c->input_at < INPUT_MAX && !c->body_paused;
}

static short wish(const struct conn *c)
{
    short write = c->want_write ? EV_WRITE : 0;
    switch (c->state) {
    case CONN_HANDSHAKE:
        return c->want_write ? EV_WRITE : EV_READ;
    case CONN_OPEN:
        return reading(c) ? (short)(EV_READ | write) : (short)(EV_READ | EV_ET | write);
    case CONN_LINGER:
        return EV_READ;
    }
    return EV_READ;
}

static void conn_on_io(evutil_socket_t fd, short what, void *arg);

static void watch(struct conn *c)
{
    short wanted = wish(c);
    if (wanted == c->watched)
        return;
    if (c->watched)
        event_del(&c->io);
    event_assign(&c->io, c->server->base, c->stream.fd, (short)(wanted | EV_PERSIST), conn_on_io, c);
    ensure(event_add(&c->io, NULL) == 0, "libevent takes no more events");
    c->watched = wanted;
}

static int64_t sooner(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t body_deadline(const struct conn *c)
{
    const struct http_server_options *o = &c->server->options;
    if (c->streaming)
        return c->body_ms + o->idle_ms;
    return sooner(c->body_ms + o->body_ms,
                  c->body_start_ms + o->body_ms + c->body_got * 1000 / (int64_t)o->body_bytes_per_s);
}

static int64_t deadline(const struct conn *c)
{
    const struct http_server_options *o = &c->server->options;
    if (c->state == CONN_HANDSHAKE)
        return c->state_ms + o->handshake_ms;
    if (c->state == CONN_LINGER)
        return c->state_ms + o->linger_ms;
    if (c->out_at < c->out.n)
        return c->wrote_ms + o->stall_ms;
    if (c->idle)
        return c->idle_ms + o->idle_ms;
    if (blocked(c) || c->read_eof)
        return NEVER; /* we are the ones to move */
    if (c->receiving)
        return body_deadline(c);
    if (c->in.begun)
        return c->head_ms + o->head_ms;
    return NEVER;
}

static void arm(struct conn *c, int64_t now)
{
    int64_t at = deadline(c);
    if (at == NEVER || (c->timer_set && c->timer_at_ms <= at))
        return;
    struct timeval wait = in_ms(at > now ? at - now : 0);
    event_add(&c->timer, &wait);
    c->timer_set = true;
    c->timer_at_ms = at;
}

/* Nothing in flight, nothing begun, nothing to write. */
static bool resting(const struct conn *c)
{
    return c->state == CONN_OPEN && c->slots_n == 0 && !c->in.begun && !c->receiving &&
           c->out_at == c->out.n && c->input.n == 0 && !c->closing;
}

static void rest(struct conn *c, int64_t now)
{
    bool now_resting = resting(c);
    if (c->idle && !now_resting)
        leave_idle(c);
    if (c->idle || !now_resting)
        return;
    c->idle = true;
    c->idle_ms = now;
    TAILQ_INSERT_TAIL(&c->server->idle, c, idle_link);
}

/* Ends a connection that has nothing left to do. True: it is dead. */
static bool finish(struct conn *c, int64_t now)
{
    bool cut = c->read_eof && c->receiving && c->input.n == 0; /* the rest of its body will not come */
    if ((c->slots_n > 0 && !cut) || c->out_at < c->out.n)
        return false;
    if (cut)
        conn_kill(c);
    else if (c->closing && !c->read_eof)
        conn_linger(c, now);
    else if (c->closing || (c->read_eof && !c->head_due && (c->input.n == 0 || !blocked(c))) ||
             (c->server->draining && resting(c))) {
        stream_finish(&c->stream);
        conn_kill(c);
    }
    return c->dead;
}

/* The owner of a stream is asked for more once in a turn, so that a fast reader leaves time for others. */
static bool wants_another_turn(const struct conn *c)
{
    const struct slot *slot = TAILQ_FIRST(&c->slots);
    if (slot && slot->above_low && c->out.n - c->out_at <= c->server->options.stream_low_bytes)
        return true;
    return reading(c) && c->more;
}

static void conn_settle(struct conn *c, int64_t now)
{
    bool again = c->state == CONN_OPEN, asked = false;
    while (again) {
        conn_pump(c, now);
        again = parse_waiting(c, now);
        if (!c->dead)
            conn_flush(c, now);
        if (!c->dead && !asked && tell_drained(c))
            again = asked = true;
        if (c->dead)
            return;
        struct slot *first = TAILQ_FIRST(&c->slots);
        again = again || (first && first->answer && c->out_at == c->out.n);
    }
    if (c->state == CONN_OPEN && finish(c, now))
        return;
    rest(c, now);
    watch(c);
    if (c->state == CONN_OPEN && wants_another_turn(c))
        event_active(&c->io, EV_READ, 0);
    arm(c, now);
}

/* ---- events ---- */

static void conn_read(struct conn *c, int64_t now)
{
    struct http_server *s = c->server;
    size_t budget = READ_BUDGET;
    while (reading(c) && !c->dead) {
        size_t n = 0;
        c->more = false;
        switch (stream_read(&c->stream, s->buffer, sizeof s->buffer, &n)) {
        case STREAM_DONE:
            take_input(c, s->buffer, n, now);
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
            conn_kill(c);
            return;
        }
    }
}

static void plain_on_tls(struct conn *c)
{
    SSL_free(c->stream.ssl);
    c->stream.ssl = NULL;
    c->state = CONN_OPEN;
    conn_refuse(c, http_out_problem(SKEP_EARG, "This port speaks TLS. Use https in the address"));
}

static void handshake_failed(struct conn *c, enum stream_result r, int64_t now)
{
    c->server->stats.handshakes_failed++;
    int reason = r == STREAM_TLS ? ERR_GET_REASON(ERR_peek_last_error()) : 0;
    ERR_clear_error();
    if (reason == SSL_R_HTTP_REQUEST)
        plain_on_tls(c);
    else if (r == STREAM_TLS)
        conn_linger(c, now); /* the alert says why: let it arrive */
    else
        conn_kill(c);
}

static void conn_handshake(struct conn *c, int64_t now)
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
    c->state = CONN_OPEN;
    conn_read(c, now);
}

/* Throws away what a refused client still sends; below TLS, since nobody wants to know what it was. */
static void conn_drain(struct conn *c)
{
    struct http_server *s = c->server;
    ssize_t n = recv(c->stream.fd, s->buffer, sizeof s->buffer, 0);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        conn_kill(c);
}

static void conn_on_io(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
    struct conn *c = arg;
    ensure(c->magic == CONN_MAGIC, "an event for a connection that is none");
    int64_t now = now_ms();
    conn_enter(c);
    switch (c->state) {
    case CONN_HANDSHAKE:
        conn_handshake(c, now);
        break;
    case CONN_OPEN:
        if (reading(c))
            conn_read(c, now);
        else if (stream_gone(&c->stream))
            conn_kill(c);
        break;
    case CONN_LINGER:
        conn_drain(c);
        break;
    }
    conn_leave(c, now);
}

static void too_slow(struct conn *c)
{
    const struct http_server_options *o = &c->server->options;
    if (c->receiving)
        conn_refuse(c, http_out_problem(SKEP_EARG,
                                        "The body came too slowly: nothing for %lld ms, or fewer than "
                                        "%u bytes/s. Send it without pauses",
                                        (long long)o->body_ms, o->body_bytes_per_s));
    else
        conn_refuse(c, http_out_problem(SKEP_EARG,
                                        "The request's head was not complete after %lld ms. Send it at "
                                        "once",
                                        (long long)o->head_ms));
}

static void conn_on_timer(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
    struct conn *c = arg;
    ensure(c->magic == CONN_MAGIC, "a timer of a connection that is none");
    int64_t now = now_ms();
    conn_enter(c);
    c->timer_set = false;
    if (deadline(c) <= now) {
        c->server->stats.timeouts += !c->idle && c->state != CONN_LINGER;
        if (c->state == CONN_OPEN && !c->idle && c->out_at == c->out.n)
            too_slow(c);
        else {
            if (c->idle)
                stream_finish(&c->stream);
            conn_kill(c);
        }
    }
    conn_leave(c, now);
}

/* ---- accepting ---- */

static uint32_t take_index(struct http_server *s)
{
    if (s->free_n > 0)
        return s->free_index[--s->free_n];
    ARRAY_GROW(s->conns, s->conns_n, s->conns_cap);
    return (uint32_t)s->conns_n++;
}

static void name_client(struct conn *c, const struct sockaddr *from)
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

static void name_local(struct conn *c)
{
    struct ucred who = {.uid = (uid_t)-1};
    socklen_t n = sizeof who;
    getsockopt(c->stream.fd, SOL_SOCKET, SO_PEERCRED, &who, &n);
    c->local = true;
    c->peer_uid = who.uid;
    c->peer_pid = (uint32_t)who.pid;
    snprintf(c->from, sizeof c->from, "unix");
}

static void conn_new(struct http_server *s, int fd, const struct sockaddr *from)
{
    struct conn *c = mem_alloc(sizeof *c);
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
    c->state = from ? CONN_HANDSHAKE : CONN_OPEN;
    c->state_ms = now_ms();
    evtimer_assign(&c->timer, s->base, conn_on_timer, c);
    conn_enter(c);
    conn_leave(c, c->state_ms);
}

/* Every connection is busy and there may be no more. */
static bool full(const struct http_server *s)
{
    return s->stats.open > s->options.connections_max ||
           (s->stats.open == s->options.connections_max && TAILQ_EMPTY(&s->idle));
}

static void accept_pause(struct http_server *s, int64_t ms, bool local_too)
{
    struct timeval wait = in_ms(ms);
    s->stats.accept_waits++;
    if (s->tcp)
        evconnlistener_disable(s->tcp);
    if (s->local && local_too)
        evconnlistener_disable(s->local);
    event_add(s->accept_again, &wait);
}

static bool evict_idle(struct http_server *s)
{
    struct conn *c = TAILQ_FIRST(&s->idle);
    if (!c)
        return false;
    stream_finish(&c->stream);
    conn_kill(c);
    s->stats.evicted++;
    return true;
}

static void on_accept_again(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
    struct http_server *s = arg;
    struct timeval wait = in_ms(FULL_WAIT_MS);
    while (s->stats.open > s->options.connections_max && evict_idle(s))
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
    int64_t now = now_ms();
    double rate = s->options.accepts_per_s;
    s->accept_tokens += (double)(now - s->accept_at_ms) * rate / 1000;
    if (s->accept_tokens > rate)
        s->accept_tokens = rate;
    s->accept_at_ms = now;
    s->accept_tokens -= 1; /* this one is accepted anyway: it has left the backlog */
    return s->accept_tokens >= 1 ? 0 : 1 + (int64_t)((1 - s->accept_tokens) * 1000 / rate);
}

static void on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *from, int n UNUSED,
                      void *arg)
{
    struct http_server *s = arg;
    ensure(s->magic == SERVER_MAGIC, "a listener of a server that is none");
    bool tls = l == s->tcp;
    bool over = s->stats.open >= s->options.connections_max && !evict_idle(s);
    if (over && s->stats.open >= s->options.connections_max + OVER_MAX) {
        close(fd);
        accept_pause(s, FULL_WAIT_MS, true);
        return;
    }
    conn_new(s, fd, tls ? from : NULL);
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
    evict_idle(s);
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
    DEFAULT(o->accepts_per_s, 2000);
    DEFAULT(o->pipeline_max, 16);
    DEFAULT(o->uri_bytes_max, 8192);
    DEFAULT(o->head_bytes_max, 16384);
    DEFAULT(o->bodies_bytes_max, 256U << 20);
    DEFAULT(o->out_bytes_max, 32U << 20);
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
    s->accept_at_ms = now_ms();
    TAILQ_INIT(&s->idle);
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
            conn_kill(s->conns[i]);
    event_free(s->accept_again);
    event_free(s->empty);
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

void http_server_answer(struct http_server *s, uint64_t id, struct answer *a TAKES)
{
    struct conn *c;
    struct slot *slot = find(s, id, &c);
    if (!slot || slot->stream_type) {
        answer_free(a);
        return;
    }
    conn_enter(c);
    slot->answer = a;
    conn_leave(c, c->depth == 1 ? now_ms() : 0);
}

bool http_server_stream_begin(struct http_server *s, uint64_t id, const char *content_type)
{
    struct conn *c;
    struct slot *slot = find(s, id, &c);
    if (!slot || slot->stream_type)
        return false;
    conn_enter(c);
    slot->stream_type = content_type;
    conn_leave(c, c->depth == 1 ? now_ms() : 0);
    return true;
}

size_t http_server_stream_data(struct http_server *s, uint64_t id, const char *bytes, size_t n)
{
    struct conn *c;
    struct slot *slot = find(s, id, &c);
    if (!slot || !slot->stream_type)
        return 0;
    conn_enter(c);
    int64_t now = now_ms();
    struct str *to = slot->head_written ? &c->out : &slot->queued;
    append_out(c, now);
    if (n > 0 && !slot->head_only) {
        if (slot->http_1_0)
            str_add(to, bytes, n);
        else
            http_out_chunk(to, bytes, n);
    }
    if (c->depth == 1)
        conn_flush(c, now);
    size_t waits = c->dead ? 0 : c->out.n - c->out_at;
    if (!c->dead) {
        waits += slot->queued.n;
        slot->above_low = slot->above_low || waits > s->options.stream_low_bytes;
        if (waits > s->options.out_bytes_max)
            conn_kill(c);
    }
    conn_leave(c, now);
    return waits;
}

void http_server_stream_end(struct http_server *s, uint64_t id)
{
    struct conn *c;
    struct slot *slot = find(s, id, &c);
    if (!slot || !slot->stream_type)
        return;
    conn_enter(c);
    slot->ended = true;
    conn_leave(c, now_ms());
}

void http_server_stream_abort(struct http_server *s, uint64_t id)
{
    struct conn *c;
    struct slot *slot = find(s, id, &c);
    if (!slot || !slot->stream_type)
        return;
    slot->ended = true;
    conn_kill(c);
}

void http_server_body_resume(struct http_server *s, uint64_t id)
{
    struct conn *c;
    if (!find(s, id, &c) || c->body_id != id || !c->body_paused)
        return;
    int64_t now = now_ms();
    conn_enter(c);
    c->body_paused = false;
    c->body_ms = now;
    conn_leave(c, now);
}

void http_server_drain(struct http_server *s)
{
    s->draining = true;
    stop_listening(s);
    struct conn *c, *next;
    TAILQ_FOREACH_SAFE(c, &s->idle, idle_link, next)
    {
        stream_finish(&c->stream);
        conn_kill(c);
    }
    for (size_t i = 0; i < s->conns_n; i++)
        if (s->conns[i] && s->conns[i]->state == CONN_HANDSHAKE)
            conn_kill(s->conns[i]);
    if (s->stats.open == 0)
        event_active(s->empty, EV_TIMEOUT, 0);
}

void http_server_stats(const struct http_server *s, struct http_server_stats *ret_stats)
{
    *ret_stats = s->stats;
}
