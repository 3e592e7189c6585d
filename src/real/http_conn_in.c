/* What a client's bytes may do, in which order, and what is refused before anybody asked for it.
 *
 * Requests that may change something, and all with a body, begin when everything before them is answered;
 * requests that change nothing may overlap, up to pipeline_max. What must wait stays in c->input.
 */
#include <string.h>

#include "real/http_conn.h"

#define OUT_HIGH         ((size_t)262144) /* with more output waiting no further request is begun */
#define DISCARD_MAX      65536 /* a refused body up to this is read over; with a larger one we hang up */
#define BODY_RESERVE_MAX 65536 /* room made for a body at once, on the client's word alone */

/* ---- refusals ---- */

void http_conn_refuse(struct http_conn *c, struct answer *a TAKES)
{
    struct http_slot *slot = c->receiving ? http_slot_of(c, c->body_id) : NULL;
    c->closing = true;
    if (c->receiving && !slot) { /* its answer has left: there is no second one */
        answer_free(a);
        return;
    }
    if (slot && slot->stream_type) { /* its answer has begun: it can only break off */
        answer_free(a);
        http_conn_kill(c);
        return;
    }
    if (!slot)
        slot = http_slot_new(c);
    if (slot->delivered && c->server->callbacks.gone && !slot->answer) {
        /* A streamed body that broke off: its owner must not wait for the rest. */
        slot->delivered = false;
        c->server->callbacks.gone(c->server->callbacks.ctx, slot->id);
    }
    answer_free(slot->answer);
    slot->answer = a;
    slot->close = true;
    c->receiving = false;
    http_conn_drop_body(c);
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

static struct answer *check_length(struct http_conn *c, size_t body_max)
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
static struct answer *consult(struct http_conn *c, bool *ret_streaming)
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
static void reject_head(struct http_conn *c, struct http_slot *slot, struct answer *a TAKES)
{
    bool small = !c->in.chunked && c->in.content_length <= DISCARD_MAX && !c->in.expects_continue;
    slot->answer = a;
    c->server->stats.rejects++;
    c->discard = true;
    if (c->in.has_body && !small)
        slot->close = c->closing = true;
}

static void deliver(struct http_conn *c, struct http_slot *slot, char *body TAKES, size_t n)
{
    struct http_server *s = c->server;
    struct request *r = TAKE(c->in.request);
    r->body = body;
    r->body_n = n;
    slot->delivered = true;
    s->stats.requests++;
    s->callbacks.request(s->callbacks.ctx, r);
}

static void begin_body(struct http_conn *c, struct http_slot *slot, int64_t now)
{
    c->body_start_ms = c->body_ms = now;
    c->body_got = 0;
    http_conn_out_begins(c, now);
    if (c->in.expects_continue)
        str_puts(&c->out, "HTTP/1.1 100 Continue\r\n\r\n");
    if (c->streaming)
        deliver(c, slot, mem_dup(""), 0);
    else if (c->in.content_length > 0)
        str_reserve(&c->body, c->in.content_length < BODY_RESERVE_MAX ? (size_t)c->in.content_length
                                                                      : BODY_RESERVE_MAX);
}

static void handle_head(struct http_conn *c, int64_t now)
{
    struct request *r = c->in.request;
    struct http_slot *slot = http_slot_new(c);
    c->head_due = c->streaming = c->discard = c->body_paused = false;
    slot->head_only = r->method == HTTP_M_HEAD;
    slot->safe = http_in_safe(r->method);
    slot->http_1_0 = c->in.http_1_0;
    slot->close = !c->in.keep_alive;
    r->id = slot->id;
    r->local = c->local;
    r->peer_uid = c->peer_uid;
    r->peer_pid = c->peer_pid;
    r->arrived_boot_ms = now;
    c->receiving = c->served = true;
    c->body_id = slot->id;
    http_conn_leave_idle(c);
    struct answer *reject = consult(c, &c->streaming);
    if (c->dead)
        answer_free(reject);
    else if (reject)
        reject_head(c, slot, reject);
    else
        begin_body(c, slot, now);
}

/* Whether the head that was just parsed must wait until all before it is answered (invariant 2). */
static bool must_wait(const struct http_conn *c)
{
    return c->slots_n > 0 && (!http_in_safe(c->in.request->method) || c->in.has_body);
}

static void stream_in(struct http_conn *c, const char *bytes, size_t n, bool last)
{
    struct http_server *s = c->server;
    struct http_slot *slot = http_slot_of(c, c->body_id);
    if (!slot || slot->answer || slot->ended)
        return; /* answered before its end: conn_pump closes */
    if (!s->callbacks.body_part(s->callbacks.ctx, c->body_id, bytes, n, last) && !last)
        c->body_paused = true;
}

static void handle_body(struct http_conn *c, struct span part, int64_t now)
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
        http_conn_refuse(c, too_large(c->body_max));
    } else if (part.n > s->options.bodies_bytes_max - s->stats.body_bytes) {
        http_conn_refuse(c, overloaded());
    } else {
        str_add(&c->body, part.p, part.n);
        s->stats.body_bytes += part.n;
    }
}

static void handle_end(struct http_conn *c)
{
    struct http_slot *slot = http_slot_of(c, c->body_id);
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

bool http_conn_blocked(const struct http_conn *c)
{
    return c->dead || c->closing || c->head_due || c->body_paused ||
           (!c->receiving && (c->exclusive || c->slots_n >= c->server->options.pipeline_max ||
                              c->out.n - c->out_at > OUT_HIGH));
}

/* Handles what it may of the bytes; returns how many are done with. */
static size_t parse(struct http_conn *c, const char *bytes, size_t n, int64_t now)
{
    size_t done = 0, used;
    struct span part = {0};
    while (done < n && !http_conn_blocked(c)) {
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
            http_conn_refuse(c, http_out_problem(c->in.error.code, "%s", c->in.error.text));
            return n;
        }
    }
    return c->closing ? n : done;
}

bool http_conn_take_waiting(struct http_conn *c, int64_t now)
{
    bool moved = false;
    if (c->head_due && c->slots_n == 0 && !c->closing) {
        handle_head(c, now);
        moved = true;
    }
    if (c->input_at == c->input.n || http_conn_blocked(c))
        return moved && !c->dead;
    c->input_at += parse(c, c->input.p + c->input_at, c->input.n - c->input_at, now);
    if (c->input_at == c->input.n) {
        str_fini(&c->input);
        c->input_at = 0;
    }
    return !c->dead;
}

void http_conn_take(struct http_conn *c, const char *bytes, size_t n, int64_t now)
{
    size_t done = 0;
    c->server->stats.bytes_in += n;
    if (c->input.n == 0)
        done = parse(c, bytes, n, now);
    if (done < n && !c->dead && !c->closing)
        str_add(&c->input, bytes + done, n - done);
}
