/* op: requests in progress. Holds who waits for what, and runs handlers again when that may have come. How
 * one ends is op_answer.c's, its way to the node that may decide and back op_forward.c's.
 *
 * All three decide about waiting, trying again and giving up; they know nothing of what is asked.
 *
 * Invariants
 *  1. Every op ends in exactly one answer: by its handler, by an outcome, or by its deadline.
 *  2. A forwarded op is answered to its client once our own store covers what was written, or after SEEN_MS.
 *  3. Outcomes of abandoned tries are no answers.
 */
#include "node/op_inside.h"

#include <string.h>

#define OPS_MAX 10000 /* in progress at once, but for those of workers, which have a limit of their own */

struct waiters {
    char *key;
    TAILQ_HEAD(, op) ops;
    UT_hash_handle hh;
};

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
void op_enter(struct node *n, void *arg)
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
    op_enter(n, op);
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
    op_enter(n, op);
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

void op_gone(struct node *n, void *arg)
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
        timer_set(n, t, n->now_ms + OP_TRY_AGAIN_MS); /* if it has no answer even so */
        return op_begin(n, op);
    }
    bool under_way = op->owned || !id_is_zero(&op->sent_to); /* it waited for an open view before that */
    op_answer(
        n, op,
        op->waits_open && !under_way
            ? op_problem(SKEP_ESETTLING, "The nodes do not agree yet who is alive; try again in a moment")
            : op_problem_of(op, SKEP_ETIMEOUT,
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
    eff_do(n, op_enter, op, drop_new);
    return op;
}

static void silent(struct node *n, void *arg)
{
    op_gone(n, arg);
}

void op_silence(struct node *n, struct op *op)
{
    op->st.done = true;
    eff_do(n, silent, op, NULL);
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
                  has_begun(op)
                      ? op_problem(SKEP_ETIMEOUT, "The node that was asked has ended; it may still "
                                                  "happen. Look it up before trying again")
                      : op_problem(SKEP_ENOTALIVE, "The node that was asked is leaving; ask another "
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
        return op_forwarded(n, op);
    if (!op->kept && n->left && (op->source == OP_CLIENT || op->source == OP_PEER)) {
        op_left(n, op);
        return 0;
    }
    if (!op->kept && op->source != OP_WORKER && n->ops_n >= OPS_MAX) {
        op_answer(n, op,
                  op_problem(SKEP_EOVERLOADED, "Too many requests wait here already; try again, or ask "
                                               "another node"));
        return 0;
    }
    return n->o.serve(n, op);
}

struct op *op_find(struct node *n, const struct id *id)
{
    struct op *op;
    HASH_FIND(hh, n->ops_by_id, id, sizeof *id, op);
    return op;
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
