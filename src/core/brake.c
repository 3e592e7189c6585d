/* The brake on reaping. It decides how long silent nodes' belongings stay untouched, not which nodes are
 * silent. */
#include "core/brake.h"

#include <string.h>

#include "base/mem.h"

void brake_fini(struct brake *b)
{
    free(b->deaths);
    *b = (struct brake){0};
}

static void forget(struct brake *b, size_t i)
{
    b->n--;
    memmove(b->deaths + i, b->deaths + i + 1, (b->n - i) * sizeof *b->deaths);
}

void brake_alive(struct brake *b, const struct id *node)
{
    for (size_t i = b->n; i-- > 0;)
        if (id_equal(&b->deaths[i].node, node))
            forget(b, i);
}

static void remember(struct brake *b, const struct brake_opts *o, const struct id *node, int64_t at_ms)
{
    brake_alive(b, node); /* a node counts once */
    while (b->n && at_ms - b->deaths[0].at_ms > o->window_ms)
        forget(b, 0);
    ARRAY_GROW(b->deaths, b->n, b->cap);
    b->deaths[b->n++] = (struct brake_death){*node, at_ms};
}

bool brake_silent(struct brake *b, const struct brake_opts *o, const struct id *node, size_t members,
                  int64_t at_ms)
{
    remember(b, o, node, at_ms);
    if (members < o->nodes_min || b->n < o->deaths_min || b->n * 100 <= members * (size_t)o->percent)
        return false;
    bool pulled = !brake_held(b, at_ms);
    b->until_ms = at_ms + o->brake_ms;
    return pulled;
}

bool brake_held(const struct brake *b, int64_t now_ms)
{
    return now_ms < b->until_ms;
}
