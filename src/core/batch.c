/* The window of refused nodes. It decides when a refusal becomes an event, not whether a refusal is proof. */
#include "core/batch.h"

#include <string.h>

#include "base/mem.h"

void down_batch_fini(struct down_batch *b)
{
    free(b->nodes);
    *b = (struct down_batch){0};
}

void down_batch_refused(struct down_batch *b, const struct id *node, int64_t at_ms)
{
    for (size_t i = 0; i < b->n; i++)
        if (id_equal(&b->nodes[i].node, node))
            return;
    ARRAY_GROW(b->nodes, b->n, b->cap);
    b->nodes[b->n++] = (struct down_node){*node, at_ms};
}

bool down_batch_cancel(struct down_batch *b, const struct id *node)
{
    for (size_t i = 0; i < b->n; i++) {
        if (!id_equal(&b->nodes[i].node, node))
            continue;
        b->n--;
        memmove(b->nodes + i, b->nodes + i + 1, (b->n - i) * sizeof *b->nodes);
        return true;
    }
    return false;
}

int64_t down_batch_deadline_ms(const struct down_batch *b, const struct down_batch_opts *o)
{
    if (!b->n)
        return INT64_MAX;
    int64_t first = INT64_MAX, last = INT64_MIN;
    for (size_t i = 0; i < b->n; i++) {
        first = b->nodes[i].refused_ms < first ? b->nodes[i].refused_ms : first;
        last = b->nodes[i].refused_ms > last ? b->nodes[i].refused_ms : last;
    }
    int64_t window = first + o->window_ms, longest = last + o->node_min_ms, hard = first + o->max_ms;
    int64_t due = longest > window ? longest : window;
    return due < hard ? due : hard;
}

size_t down_batch_due(struct down_batch *b, const struct down_batch_opts *o, int64_t now_ms,
                      struct id **ret_nodes)
{
    *ret_nodes = NULL;
    if (now_ms < down_batch_deadline_ms(b, o))
        return 0;
    struct id *out = mem_array(b->n, sizeof *out);
    size_t given = 0, kept = 0;
    for (size_t i = 0; i < b->n; i++) {
        if (now_ms - b->nodes[i].refused_ms >= o->node_min_ms)
            out[given++] = b->nodes[i].node;
        else
            b->nodes[kept++] = b->nodes[i];
    }
    b->n = kept;
    if (!given)
        free(TAKE(out));
    *ret_nodes = out;
    return given;
}
