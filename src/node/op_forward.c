/* op_forward: a request on its way to the node that may decide: tries that are lost or refused and made
 * again, the outcome of one of them, and our own store, which has to cover that before it is told.
 */
#include "node/op_inside.h"

#include <string.h>

#include "base/hlc.h"
#include "wire/buf.h"

#define SEEN_MS      1000
#define RETRY_MIN_MS 20 /* after a refusal, doubled up to RETRY_STEPS times */
#define RETRY_STEPS  4

/* The try is lost (its node is gone, or the mail was not taken): decide anew from the start, if that is safe.
 */
int op_forwarded(struct node *n, struct op *op)
{
    struct peer *p = peer_find(n, &op->sent_to);
    if (p && !op->lost && !p->down)
        return 0;
    if (!op->again) {
        op_answer(n, op, op_problem(SKEP_ETIMEOUT, "The node that was asked is gone; it may have happened"));
        return 0;
    }
    op->lost = false;
    op->unsure = true;
    node_touch(n, &op->sent_to, sizeof op->sent_to);
    op->sent_to = (struct id){0};
    return n->o.serve(n, op);
}

static void try_lost(struct node *n, struct op *op)
{
    op->lost = true;
    if (op->deadline_ms > n->now_ms + OP_TRY_AGAIN_MS)
        timer_set(n, &op->timer, n->now_ms + OP_TRY_AGAIN_MS);
}

static void send_try(struct node *n, void *arg)
{
    struct op *op = arg;
    const struct request *r = op->request;
    struct peer *p = peer_find(n, &op->sent_to);
    struct str m = STR_INIT;
    op_enter(n, op);
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
    op_tell_peer(n, arg, NULL, true);
    op_gone(n, arg);
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
    op_deliver(n, op, a);
    op_gone(n, op);
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
