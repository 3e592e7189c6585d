/* timer: a binary heap of struct timer, the nearest first. */
#include "node/brain.h"

static void put(struct node *n, size_t i, struct timer *t)
{
    n->heap[i] = t;
    t->at = i + 1;
}

static void up(struct node *n, size_t i)
{
    struct timer *t = n->heap[i];
    for (size_t parent; i > 0 && n->heap[parent = (i - 1) / 2]->due_ms > t->due_ms; i = parent)
        put(n, i, n->heap[parent]);
    put(n, i, t);
}

static void down(struct node *n, size_t i)
{
    struct timer *t = n->heap[i];
    for (size_t kid; (kid = 2 * i + 1) < n->heap_n; i = kid) {
        if (kid + 1 < n->heap_n && n->heap[kid + 1]->due_ms < n->heap[kid]->due_ms)
            kid++;
        if (n->heap[kid]->due_ms >= t->due_ms)
            break;
        put(n, i, n->heap[kid]);
    }
    put(n, i, t);
}

static void take_out(struct node *n, struct timer *t)
{
    size_t i = t->at - 1;
    struct timer *last = n->heap[--n->heap_n];
    t->at = 0;
    if (last == t)
        return;
    put(n, i, last);
    up(n, i);
    down(n, last->at - 1);
}

void timer_set(struct node *n, struct timer *t, int64_t due_ms)
{
    t->due_ms = due_ms;
    if (due_ms == INT64_MAX) {
        if (t->at)
            take_out(n, t);
        return;
    }
    if (!t->at) {
        ARRAY_GROW(n->heap, n->heap_n, n->heap_cap);
        put(n, n->heap_n++, t);
    }
    up(n, t->at - 1);
    down(n, t->at - 1);
}
