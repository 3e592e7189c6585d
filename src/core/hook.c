/* hook: selection, order and pace of hooks. Knows neither what an event means nor what a hook does. */
#include "core/hook.h"

#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "core/restart.h"

#define AGAIN_MIN_MS 1000

/* ---- which ---- */

static bool fits(const char *pattern, const char *text)
{
    return !pattern || (text && text_matches(pattern, text));
}

static bool runs_here(const struct hook_filter *f, const struct hook_fact *fact)
{
    if (f->where == HOOK_ORIGIN && !fact->origin)
        return false;
    for (const char *const *p = f->nodes; p && *p; p++)
        if (strcmp(*p, fact->node) == 0)
            return true;
    return !f->nodes || !f->nodes[0];
}

bool hook_wants(const struct hook_filter *f, const struct hook_fact *fact)
{
    return fits(f->event, fact->type) && fits(f->swarm, fact->swarm) && fits(f->name, fact->name) &&
           runs_here(f, fact);
}

int hook_order(const struct hook_rank *a, const struct hook_rank *b)
{
    if (a->priority != b->priority)
        return a->priority > b->priority ? -1 : 1;
    int by_id = strcmp(a->id, b->id);
    return by_id ? by_id : strcmp(a->event, b->event);
}

/* ---- when ---- */

bool hook_may(const struct hook_gate *g, int64_t concurrency, int64_t now_ms)
{
    /* after a failure one call at a time finds out whether it works again */
    return g->running < (g->failures ? 1 : concurrency) && now_ms >= g->paused_until_ms;
}

void hook_began(struct hook_gate *g)
{
    g->running++;
}

void hook_ended(struct hook_gate *g, bool ok, int64_t now_ms, uint64_t random)
{
    g->running -= g->running > 0;
    if (ok) {
        g->failures = 0;
        g->paused_until_ms = 0;
        return;
    }
    g->paused_until_ms = now_ms + restart_delay_ms(g->failures, HOOK_PAUSE_MIN_MS, HOOK_PAUSE_MAX_MS, random);
    g->failures++;
}

int64_t hook_again_ms(unsigned attempts, int64_t now_ms, uint64_t random)
{
    return now_ms + restart_delay_ms(attempts ? attempts - 1 : 0, AGAIN_MIN_MS, HOOK_AGAIN_MAX_MS, random);
}

/* ---- what waits ---- */

void hook_queue_fini(struct hook_queue *q)
{
    free(q->list);
    *q = (struct hook_queue){0};
}

void hook_queue_add(struct hook_queue *q, struct hook_item item)
{
    ARRAY_GROW(q->list, q->n, q->cap);
    q->list[q->n++] = item;
}

/* The first one that is not below this id; NULL: all are. */
static struct hook_item *lowest(const struct hook_queue *q, int64_t id)
{
    size_t low = 0, high = q->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (q->list[mid].id < id)
            low = mid + 1;
        else
            high = mid;
    }
    return low < q->n ? &q->list[low] : NULL;
}

struct hook_item *hook_queue_find(const struct hook_queue *q, int64_t id)
{
    struct hook_item *it = lowest(q, id);
    return it && it->id == id ? it : NULL;
}

bool hook_queue_before(const struct hook_queue *q, const struct hook_item *it)
{
    const struct hook_item *other = it->first ? lowest(q, it->first) : NULL;
    return other && other->id < it->id && other->attempts == 0;
}

void hook_queue_drop(struct hook_queue *q, int64_t id)
{
    struct hook_item *it = hook_queue_find(q, id);
    if (!it)
        return;
    size_t at = (size_t)(it - q->list);
    q->n--;
    memmove(it, it + 1, (q->n - at) * sizeof *it);
}

struct hook_item *hook_queue_next(const struct hook_queue *q, int64_t now_ms)
{
    struct hook_item *next = NULL;
    for (size_t i = 0; i < q->n; i++) {
        struct hook_item *it = &q->list[i];
        if (!it->running && it->due_ms <= now_ms && (!next || it->due_ms < next->due_ms))
            next = it;
    }
    return next;
}

int64_t hook_queue_due_ms(const struct hook_queue *q)
{
    int64_t due = INT64_MAX;
    for (size_t i = 0; i < q->n; i++)
        if (!q->list[i].running && q->list[i].due_ms < due)
            due = q->list[i].due_ms;
    return due;
}

int64_t hook_queue_oldest(const struct hook_queue *q)
{
    for (size_t i = 0; i < q->n; i++)
        if (!q->list[i].running)
            return q->list[i].id;
    return 0;
}
