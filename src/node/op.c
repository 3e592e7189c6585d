/* op: requests in progress. Holds who waits for what, runs handlers again when that may have come, and
 * carries requests to the node that may decide and their outcome back.
 *
 * Decides about waiting, trying again and giving up; knows nothing of what is asked.
 *
 * Invariants
 *  1. Every op ends in exactly one answer: by its handler, by an outcome, or by its deadline.
 *  2. A forwarded op is answered to its client once our own store covers what was written, or after SEEN_MS.
 *  3. Outcomes of abandoned tries are no answers.
 */
#include <string.h>

#include "base/hlc.h"
#include "node/brain.h"
#include "node/hook.h"
#include "wire/buf.h"
#include "wire/digest.h"
#include "wire/json.h"

#define SEEN_MS      1000
#define TRY_AGAIN_MS 100
#define RETRY_MIN_MS 20 /* after a refusal, doubled up to RETRY_STEPS times */
#define RETRY_STEPS  4
#define OPS_MAX      10000 /* in progress at once, but for those of workers, which have a limit of their own */

struct waiters {
    char *key;
    TAILQ_HEAD(, op) ops;
    UT_hash_handle hh;
};

struct answer *answer_json(int status, struct str *body TAKES)
{
    struct answer *a = mem_alloc(sizeof *a);
    a->status = status;
    a->content_type = status >= 400 ? "application/problem+json" : NULL;
    a->body_n = body->n;
    a->body = str_take(body);
    return a;
}

/* ---- waiting ---- */

static void key_leave(struct node *n, struct op *op)
{
    struct waiters *w = op->waiters;
    if (!w)
        return;
    TAILQ_REMOVE(&w->ops, op, key_link);
    op->waiters = NULL;
    if (TAILQ_EMPTY(&w->ops)) {
        HASH_DEL(n->waiters, w);
        free(w->key);
        free(w);
    }
}

static void key_enter(struct node *n, struct op *op, const char *key)
{
    struct waiters *w;
    HASH_FIND_STR(n->waiters, key, w);
    if (op->waiters == w && w)
        return;
    key_leave(n, op);
    if (!w) {
        w = mem_alloc(sizeof *w);
        w->key = mem_dup(key);
        TAILQ_INIT(&w->ops);
        HASH_ADD_KEYPTR(hh, n->waiters, w->key, strlen(w->key), w);
    }
    TAILQ_INSERT_TAIL(&w->ops, op, key_link);
    op->waiters = w;
}

void op_drop(struct op *op TAKES)
{
    request_free(op->request);
    answer_free(op->outcome);
    gather_free(op->gather);
    if (op->args_free)
        op->args_free(op->args);
    free(op->memo);
    free(op->ref);
    free(op->key);
    free(op->extras);
    free(op);
}

static int op_due(struct node *n, struct timer *t);

/* The op stays: from now on it is in the node's list. */
static void keep(struct node *n, void *arg)
{
    struct op *op = arg;
    if (op->kept)
        return;
    op->kept = true;
    n->ops_n++;
    if (op->source == OP_WORKER)
        child_asks(n, op->run, 1);
    TAILQ_INSERT_TAIL(&n->ops, op, link);
    HASH_ADD(hh, n->ops_by_id, id, sizeof op->id, op);
    op->timer.fire = op_due;
    timer_set(n, &op->timer, op->deadline_ms);
}

static void wake_one(struct node *n, struct op *op)
{
    if (op->woken || op->st.done)
        return;
    op->woken = true;
    TAILQ_INSERT_TAIL(&n->woken, op, wake_link);
}

void op_keep(struct node *n, struct op *op, int64_t at_ms)
{
    keep(n, op);
    timer_set(n, &op->timer, at_ms);
}

void op_wake(struct node *n, struct op *op)
{
    wake_one(n, op);
}

static void wait_now(struct node *n, void *arg)
{
    struct op *op = arg;
    n->waits_pending--;
    keep(n, op);
    key_leave(n, op);
    if (op->key)
        key_enter(n, op, op->key);
    if (op->views != n->views) /* an effect before this one opened or closed the view */
        wake_one(n, op);
}

static void wait_dropped(void *arg)
{
    struct op *op = arg;
    op->node->waits_pending--;
}

void op_wait_key(struct node *n, struct op *op, const char *swarm, const char *name)
{
    free(op->key);
    op->key = mem_printf("%s\n%s", swarm, name);
    op->waits_open = false;
    op->views = n->views;
    n->waits_pending++;
    eff_do(n, wait_now, op, wait_dropped);
}

void op_wait_until(struct node *n, struct op *op, const char *swarm, const char *name)
{
    op->ends_itself = true;
    op_wait_key(n, op, swarm, name);
}

void op_wait_open(struct node *n, struct op *op)
{
    free(TAKE(op->key));
    op->waits_open = true;
    op->views = n->views;
    n->waits_pending++;
    eff_do(n, wait_now, op, wait_dropped);
}

static void wake_key(struct node *n, void *arg)
{
    AUTOFREE char *key = arg;
    struct waiters *w;
    struct op *op;
    HASH_FIND_STR(n->waiters, key, w);
    if (w)
        TAILQ_FOREACH (op, &w->ops, key_link)
            wake_one(n, op);
    if (!n->operations)
        return;
    char *name = strchr(key, '\n');
    *name++ = 0;
    batches_wake(n, key, name);
}

void node_wake(struct node *n, const char *swarm, const char *name)
{
    if (n->waiters || n->waits_pending ||
        n->operations) /* who began to wait in this batch is not in the index yet */
        eff_do(n, wake_key, mem_printf("%s\n%s", swarm, name), free);
}

void ops_view_changed(struct node *n)
{
    struct op *op;
    n->views++;
    TAILQ_FOREACH (op, &n->ops, link)
        if (op->waits_open || op->key)
            wake_one(n, op);
}

/* ---- ending ---- */

static void gone(struct node *n, void *arg)
{
    struct op *op = arg;
    key_leave(n, op);
    timer_set(n, &op->timer, INT64_MAX);
    if (op->kept) {
        TAILQ_REMOVE(&n->ops, op, link);
        HASH_DEL(n->ops_by_id, op);
        n->ops_n--;
    }
    if (op->kept && op->source == OP_WORKER)
        child_asks(n, op->run, -1);
    if (op->woken)
        TAILQ_REMOVE(&n->woken, op, wake_link);
    op_drop(op);
}

/* Who asked through a peer hears of it by mail; a worker on its channel. */
static void tell_peer(struct node *n, struct op *op, struct answer *a, bool retry)
{
    struct str m = STR_INIT;
    buf_u8(&m, MAIL_OUTCOME);
    buf_id(&m, &op->id);
    buf_varint(&m, op->from_try);
    buf_u8(&m, retry);
    buf_u32(&m, a ? (uint32_t)a->status : 0);
    buf_text(&m, a ? a->etag : "");
    buf_u32(&m, a ? (uint32_t)a->retry_after_s : 0);
    buf_i64(&m, n->actor);
    buf_i64(&m, op->st.hlc);
    for (size_t i = 0; i < OP_SHOWN; i++) {
        buf_i64(&m, op->shows[i].actor);
        buf_i64(&m, op->shows[i].hlc);
    }
    buf_bytes(&m, a && a->body ? a->body : "", a ? a->body_n : 0);
    struct peer *p = peer_find(n, &op->from);
    if (p)
        mail_send(n, p, &m);
    str_fini(&m);
}

static struct answer *problem_of(const struct op *op, int code, const char *text)
{
    struct err e;
    struct str s = STR_INIT;
    err_set(&e, code, "%s", text);
    json_problem(&s, &e, (struct span){op->extras, op->extras ? strlen(op->extras) : 0});
    struct answer *a = answer_json(err_info(code)->http, &s);
    a->retry_after_s = a->status == 503;
    return a;
}

static struct answer *problem(int code, const char *text)
{
    return problem_of(&(struct op){0}, code, text);
}

/* After a lost try "there is none" and "it has changed" may be that try's own work, and "not now" is true of
 * the last try only. */
static struct answer *honest(const struct op *op, struct answer *a TAKES)
{
    bool gone = a->status == 404, changed = a->status == 412;
    if (!op->unsure || !(gone || changed || a->status == 503) || op->request->method == HTTP_M_GET)
        return a;
    const char *text =
        gone      ? "It is not there. A try of this request was lost on the way; it may have been "
                    "carried out"
        : changed ? "It has changed. A try of this request was lost on the way; the change may be its "
                    "own. Look it up before trying again"
                  : "A try of this request was lost on the way; it may have been carried "
                    "out, or happen yet. Look it up before trying again";
    answer_free(a);
    return problem(SKEP_ETIMEOUT, text);
}

static void deliver(struct node *n, struct op *op, struct answer *a TAKES)
{
    a = honest(op, a);
    if (op->source == OP_PEER) {
        tell_peer(n, op, a, false);
        answer_free(a);
    } else if (op->source == OP_WORKER) {
        struct str line = STR_INIT;
        chan_response(&line, op->ref, a->status, a->body ? a->body : "", a->body_n);
        n->w.proc.line(n->w.proc.self, op->run, line.p, line.n);
        answer_free(a);
    } else if (op->source == OP_DECLARED) {
        declare_answered(n, op, a);
        answer_free(a);
    } else if (op->source == OP_HOOK) {
        hook_op_answered(n, op->run, a);
        answer_free(a);
    } else if (op->source == OP_PART || op->source == OP_OWN) {
        if (op->source == OP_PART)
            gather_answered(n, op, a);
        answer_free(a);
    } else {
        n->counters.answers++;
        n->w.net.answer(n->w.net.self, op->request->id, a);
    }
}

struct ending {
    struct op *op;
    struct answer *answer;
};

static void ending_free(void *arg)
{
    struct ending *end = arg;
    answer_free(end->answer);
    free(end);
}

static void end_now(struct node *n, void *arg)
{
    struct ending *end = arg;
    deliver(n, end->op, TAKE(end->answer));
    gone(n, end->op);
    free(end);
}

char *op_idem_key(const struct request *r)
{
    return mem_printf("%s/%s", r->who.name, r->idempotency_key);
}

char *op_idem_request(const struct request *r)
{
    unsigned char sum[DIGEST_BYTES];
    struct digest d;
    struct str hex = STR_INIT;
    digest_init(&d);
    digest_add(&d, &r->method, sizeof r->method);
    digest_add(&d, r->path, strlen(r->path) + 1);
    digest_add(&d, r->body, r->body_n);
    digest_end(&d, sum);
    digest_fini(&d);
    str_hex(&hex, sum, 16);
    return str_take(&hex);
}

/* Puts the number of copies where the body says "copies":@. */
static void say_copies(struct answer *a, int copies)
{
    static const char mark[] = "\"copies\":@";
    char *at = a->body ? strstr(a->body, mark) : NULL;
    if (!at)
        return;
    struct str s = STR_INIT;
    str_add(&s, a->body, (size_t)(at - a->body));
    str_printf(&s, "\"copies\":%d", copies);
    str_puts(&s, at + sizeof mark - 1);
    free(a->body);
    a->body_n = s.n;
    a->body = str_take(&s);
}

/* A try that was given up, and comes late, finds what another one did. */
static bool is_kept(struct node *n, const char *key)
{
    struct idem_row row = {.key = mem_dup(key)};
    int rc = store_load(n->store, T_IDEM, &row, &n->fault);
    row_fini(T_IDEM, &row);
    return rc == 1;
}

/* The first answer under an Idempotency-Key is a row of the same transaction as what it answers. */
static void remember(struct node *n, struct op *op, const struct answer *a, int copies)
{
    const struct request *r = op->request;
    if (!r || !r->idempotency_key || r->method == HTTP_M_GET || a->status >= 500 || op->replayed)
        return;
    AUTOFREE char *key = op_idem_key(r), *request = op_idem_request(r);
    if (!op->st.remembered && is_kept(n, key))
        return;
    op->st.remembered = true;
    struct answer copy = {.body = mem_copy(a->body ? a->body : "", a->body_n), .body_n = a->body_n};
    say_copies(&copy, copies);
    struct idem_row row = {
        .key = key, .request = request, .answer = copy.body, .at = n->real_ms, .status = a->status};
    if (store_save(n->store, T_IDEM, &row, &n->fault) < 0)
        log_warn(n->w.log, "an Idempotency-Key could not be kept: %s", n->fault.text);
    free(copy.body);
}

void op_answer(struct node *n, struct op *op, struct answer *a TAKES)
{
    remember(n, op, a, 0);
    struct ending *end = mem_alloc(sizeof *end);
    *end = (struct ending){op, a};
    op->st.done = true;
    eff_do(n, end_now, end, ending_free);
}

/* The view closed while the copy was on its way: somebody else may have decided since. The handler looks
 * again once it is open. */
static void look_again(struct node *n, struct ending *end)
{
    struct op *op = end->op;
    ending_free(end);
    op->st.done = false;
    op->waits_open = true;
    timer_set(n, &op->timer, op->deadline_ms);
}

static void covered(struct node *n, void *arg, int copies)
{
    struct ending *end = arg;
    if (end->op->owned && copies >= 0 && !node_open_now(n)) {
        look_again(n, end);
        return;
    }
    if (copies < 0) {
        answer_free(end->answer);
        end->answer =
            copies == COVER_NEVER
                ? problem(
                      SKEP_ETIMEOUT,
                      "It is on this node's disk alone: damaged rows there, which skep doctor names, keep "
                      "the others from confirming what they get from it. Mend them, and look it up before "
                      "trying again")
                : problem(SKEP_ETIMEOUT,
                          "It is on this node's disk, but not on as many others as asked for in "
                          "time; it may still get there. Look it up before trying again");
    } else {
        say_copies(end->answer, copies);
    }
    end_now(n, end);
}

void op_answer_covered(struct node *n, struct op *op, int64_t hlc, int need, struct answer *a TAKES)
{
    struct ending *end = mem_alloc(sizeof *end);
    *end = (struct ending){op, a};
    remember(n, op, a, need);
    op->st.done = true;
    op->st.hlc = hlc;
    eff_do(n, keep, op, NULL);
    bool strict = op->acks > 0;
    cover_wait(n, hlc, strict ? op->acks - 1 : need, strict, &op->witness, op->deadline_ms, covered, end,
               ending_free);
    timer_set(n, &op->timer, INT64_MAX); /* from here the cover has the deadline */
}

void op_answer_owned(struct node *n, struct op *op, int64_t hlc, int need, struct answer *a TAKES)
{
    op->owned = true;
    op_answer_covered(n, op, hlc, need, a);
}

void op_fail(struct node *n, struct op *op, const struct err *e, struct span extras)
{
    struct str s = STR_INIT;
    json_problem(&s, e, extras);
    struct answer *a = answer_json(err_info(e->code)->http, &s);
    a->retry_after_s = a->status == 503;
    op_answer(n, op, a);
}

static int op_due(struct node *n, struct timer *t)
{
    struct op *op = (struct op *)(void *)((char *)t - offsetof(struct op, timer));
    if (op->st.done)
        return 0;
    if (n->now_ms < op->deadline_ms) { /* a second look, or a forwarded try to repeat */
        timer_set(n, t, op->deadline_ms);
        return op_begin(n, op);
    }
    node_touch(n, &op->st, sizeof op->st);
    if (op->outcome) {
        op_answer(n, op, TAKE(op->outcome));
        return 0;
    }
    if (op->ends_itself && !op->late) {
        op->late = true;
        timer_set(n, t, n->now_ms + TRY_AGAIN_MS); /* if it has no answer even so */
        return op_begin(n, op);
    }
    bool under_way = op->owned || !id_is_zero(&op->sent_to); /* it waited for an open view before that */
    op_answer(n, op,
              op->waits_open && !under_way
                  ? problem(SKEP_ESETTLING, "The nodes do not agree yet who is alive; try again in a moment")
                  : problem_of(op, SKEP_ETIMEOUT,
                               "No outcome in time; it may still happen. Look it up before trying again"));
    return 0;
}

/* ---- running ---- */

struct op *op_new(struct node *n, enum op_source source, struct request *r TAKES)
{
    struct op *op = mem_alloc(sizeof *op);
    op->node = n;
    op->source = source;
    op->request = r;
    op->deadline_ms = n->now_ms + 30000;
    op->timer.due_ms = INT64_MAX;
    prng_fill(&n->prng, op->id.b, sizeof op->id.b);
    return op;
}

static void drop_new(void *arg)
{
    struct op *op = arg;
    if (op->kept)
        return;
    if (op->source == OP_CLIENT)
        op->request = NULL; /* still the event's */
    op_drop(op);
}

static void nothing(struct node *n UNUSED, void *arg UNUSED)
{
}

struct op *op_part(struct node *n, const struct id *from, const struct id *parent, uint64_t part,
                   int64_t deadline_ms)
{
    if (n->ops_n >= OPS_MAX)
        return NULL;
    struct op *op = op_new(n, OP_PART, NULL);
    op->from = *from;
    op->parent = *parent;
    op->part = part;
    op->deadline_ms = deadline_ms;
    eff_do(n, keep, op, drop_new);
    return op;
}

static void silent(struct node *n, void *arg)
{
    gone(n, arg);
}

void op_silence(struct node *n, struct op *op)
{
    op->st.done = true;
    eff_do(n, silent, op, NULL);
}

/* The try is lost (its node is gone, or the mail was not taken): decide anew from the start, if that is safe.
 */
static int forward_step(struct node *n, struct op *op)
{
    struct peer *p = peer_find(n, &op->sent_to);
    if (p && !op->lost && !p->down)
        return 0;
    if (!op->again) {
        op_answer(n, op, problem(SKEP_ETIMEOUT, "The node that was asked is gone; it may have happened"));
        return 0;
    }
    op->lost = false;
    op->unsure = true;
    node_touch(n, &op->sent_to, sizeof op->sent_to);
    op->sent_to = (struct id){0};
    return n->o.serve(n, op);
}

static bool has_begun(const struct op *op)
{
    return op->owned || !id_is_zero(&op->sent_to) || op->gather || (op->key && !op->waits_open);
}

/* This node ends: what it did not begin may be tried elsewhere at once. Of what it began for a peer it says
 * nothing: that one sees it end, and asks who decides next. */
static void op_left(struct node *n, struct op *op)
{
    if (op->source == OP_CLIENT)
        op_answer(n, op,
                  has_begun(op) ? problem(SKEP_ETIMEOUT, "The node that was asked has ended; it may still "
                                                         "happen. Look it up before trying again")
                                : problem(SKEP_ENOTALIVE, "The node that was asked is leaving; ask another "
                                                          "one"));
    else if (op->source == OP_PEER && !has_begun(op))
        op_retry(n, op);
}

int op_begin(struct node *n, struct op *op TAKES)
{
    if (op->st.done)
        return 0;
    if (!op->kept)
        eff_do(n, nothing, op, drop_new);
    node_touch(n, &op->st, sizeof op->st);
    if (!id_is_zero(&op->sent_to))
        return forward_step(n, op);
    if (!op->kept && n->left && (op->source == OP_CLIENT || op->source == OP_PEER)) {
        op_left(n, op);
        return 0;
    }
    if (!op->kept && op->source != OP_WORKER && n->ops_n >= OPS_MAX) {
        op_answer(n, op,
                  problem(SKEP_EOVERLOADED, "Too many requests wait here already; try again, or ask "
                                            "another node"));
        return 0;
    }
    return n->o.serve(n, op);
}

/* ---- forwarding ---- */

static void try_lost(struct node *n, struct op *op)
{
    op->lost = true;
    if (op->deadline_ms > n->now_ms + TRY_AGAIN_MS)
        timer_set(n, &op->timer, n->now_ms + TRY_AGAIN_MS);
}

static void send_try(struct node *n, void *arg)
{
    struct op *op = arg;
    const struct request *r = op->request;
    struct peer *p = peer_find(n, &op->sent_to);
    struct str m = STR_INIT;
    keep(n, op);
    if (!p) {
        try_lost(n, op);
        return;
    }
    buf_u8(&m, MAIL_FORWARD);
    buf_id(&m, &op->id);
    buf_varint(&m, (uint64_t)op->st.attempt);
    buf_i64(&m, op->st.stamp);
    buf_i64(&m, op->deadline_ms - n->now_ms);
    buf_u8(&m, (uint8_t)r->who.role);
    buf_text(&m, r->who.name);
    buf_text(&m, r->who.swarm);
    buf_u8(&m, (uint8_t)r->method);
    buf_text(&m, r->path);
    buf_text(&m, r->query);
    buf_text(&m, r->if_match);
    buf_text(&m, r->idempotency_key);
    buf_bytes(&m, r->body, r->body_n);
    mail_send(n, p, &m);
    str_fini(&m);
}

void op_forward(struct node *n, struct op *op, const struct id *to, bool again)
{
    if (op->st.stamp == 0)
        op->st.stamp = store_stamp(n->store);
    op->st.attempt++;
    node_touch(n, &op->sent_to, sizeof op->sent_to);
    op->sent_to = *to;
    op->again = again;
    eff_do(n, send_try, op, NULL);
}

void ops_lost(struct node *n, const struct id *peer, uint64_t call)
{
    struct op *op;
    TAILQ_FOREACH (op, &n->ops, link) {
        if (id_equal(&op->sent_to, peer) && !op->outcome && !op->st.done)
            try_lost(n, op);
        gather_lost(n, op, peer, call);
    }
}

void ops_posted(struct node *n, const struct id *peer, uint64_t call)
{
    struct op *op;
    TAILQ_FOREACH (op, &n->ops, link)
        gather_posted(op, peer, call);
}

static void refuse_try(struct node *n, void *arg)
{
    tell_peer(n, arg, NULL, true);
    gone(n, arg);
}

/* Only when every try was answered with a refusal is a new stamp safe: one that was lost may have been
 * carried out, and undone by somebody else since. Without one it is refused until its deadline says so. */
static void refused(struct node *n, struct op *op)
{
    int64_t wait_ms = op->refusals < RETRY_STEPS ? RETRY_MIN_MS << op->refusals : RETRY_MIN_MS << RETRY_STEPS;
    op->refusals++;
    if (!op->unsure)
        op->st.stamp = 0;
    timer_set(n, &op->timer, n->now_ms + wait_ms < op->deadline_ms ? n->now_ms + wait_ms : op->deadline_ms);
}

static void wake_later(struct node *n, void *arg)
{
    refused(n, arg);
}

bool op_is_late(const struct node *n, const struct op *op, int64_t row_hlc)
{
    int64_t stamp = op->st.stamp;
    return stamp && (row_hlc >= stamp || n->real_ms - hlc_ms(stamp) >= n->o.tombstone_min_ms);
}

void op_retry(struct node *n, struct op *op)
{
    if (op->source != OP_PEER) { /* our own stamp was too old: the handler may take a new one at once */
        op_wait_open(n, op);
        eff_do(n, wake_later, op, NULL);
        return;
    }
    op->st.done = true;
    eff_do(n, refuse_try, op, NULL);
}

struct op *op_find(struct node *n, const struct id *id)
{
    struct op *op;
    HASH_FIND(hh, n->ops_by_id, id, sizeof *id, op);
    return op;
}

static bool seen(struct node *n, const struct op *op)
{
    for (size_t i = 0; i < COUNT(op->seen); i++)
        if (op->seen[i].hlc && !vv_covers(&n->vv, op->seen[i].actor, op->seen[i].hlc))
            return false;
    return true;
}

static void end_outcome(struct node *n, struct op *op, bool replicated)
{
    struct answer *a = TAKE(op->outcome);
    if (!replicated && a->body_n > 2 && a->body[0] == '{' && a->status < 300) {
        struct str s = STR_INIT;
        str_puts(&s, "{\"replicated\":false,");
        str_add(&s, a->body + 1, a->body_n - 1);
        free(a->body);
        a->body_n = s.n;
        a->body = str_take(&s);
    }
    op->st.done = true;
    deliver(n, op, a);
    gone(n, op);
}

static void end_unseen(struct node *n, void *arg)
{
    end_outcome(n, arg, false);
}

static int outcome_due(struct node *n, struct timer *t)
{
    struct op *op = (struct op *)(void *)((char *)t - offsetof(struct op, timer));
    if (!op->st.done) {
        node_touch(n, &op->st, sizeof op->st);
        op->st.done = true;
        eff_do(n, end_unseen, op, NULL);
    }
    return 0;
}

void ops_outcome(struct node *n, const struct id *id, uint64_t attempt, struct answer *a TAKES, bool retry,
                 const struct stamp seen_first[1 + OP_SHOWN])
{
    struct op *op = op_find(n, id);
    if (!op || id_is_zero(&op->sent_to) || op->st.done || op->outcome ||
        attempt != (uint64_t)op->st.attempt) {
        answer_free(a);
        return;
    }
    if (retry) {
        answer_free(a);
        op->sent_to = (struct id){0};
        refused(n, op);
        return;
    }
    op->outcome = a;
    memcpy(op->seen, seen_first, sizeof op->seen);
    if (seen(n, op)) {
        end_outcome(n, op, true);
        return;
    }
    struct peer *p = peer_find(n, &op->sent_to);
    if (p)
        pull_poked(n, p); /* it has what we wait for */
    n->unseen++;
    op->timer.fire = outcome_due;
    timer_set(n, &op->timer, n->now_ms + SEEN_MS);
}

void ops_seen(struct node *n)
{
    struct op *op, *next;
    if (n->unseen == 0)
        return;
    n->unseen = 0;
    TAILQ_FOREACH_SAFE(op, &n->ops, link, next)
    if (op->outcome && !op->st.done) {
        if (seen(n, op))
            end_outcome(n, op, true);
        else
            n->unseen++;
    }
}

int ops_end(struct node *n, void *arg)
{
    const bool *all = arg;
    struct op *op;
    TAILQ_FOREACH (op, &n->ops, link)
        if (!op->st.done && (*all || !has_begun(op))) {
            node_touch(n, &op->st, sizeof op->st);
            op_left(n, op);
        }
    return 0;
}

void ops_fini(struct node *n)
{
    struct op *op;
    while ((op = TAILQ_FIRST(&n->ops))) {
        TAILQ_REMOVE(&n->ops, op, link);
        HASH_DEL(n->ops_by_id, op);
        timer_set(n, &op->timer, INT64_MAX);
        key_leave(n, op);
        op_drop(op);
    }
}
