#include "core/fanout.h"

#include "base/ensure.h"
#include "base/mem.h"

bool fanout_is_mesh(size_t nodes)
{
    return nodes <= FANOUT_MESH_MAX;
}

static bool is_among(const size_t *list, size_t n, size_t x)
{
    for (size_t i = 0; i < n; i++)
        if (list[i] == x)
            return true;
    return false;
}

/* Floyd's sampling (Bentley and Floyd, 1987): as many random numbers as are wanted, no memory. */
size_t fanout_draw(struct prng *p, size_t n, size_t want, size_t *ret)
{
    size_t count = 0;
    for (size_t j = want < n ? n - want : 0; j < n; j++) {
        size_t x = prng_below(p, j + 1);
        ret[count] = is_among(ret, count, x) ? j : x;
        count++;
    }
    return count;
}

/* A quarter of the time is left for a second try after a ping that was lost: directly, or through others. */
int64_t fanout_ping_pause_ms(size_t nodes, int64_t ping_ms, int64_t timeout_ms, int64_t fresh_ms)
{
    int64_t slow_ms = ping_ms * (int64_t)nodes / FANOUT_MESH_MAX, most_ms = fresh_ms * 3 / 4 - timeout_ms;
    if (fanout_is_mesh(nodes) || most_ms <= ping_ms)
        return ping_ms;
    return slow_ms < most_ms ? slow_ms : most_ms;
}

int64_t fanout_ask_pause_ms(size_t nodes, int64_t least_ms)
{
    return fanout_is_mesh(nodes) ? least_ms : least_ms * (int64_t)nodes / FANOUT_MESH_MAX;
}

/* ---- the round ---- */

void fanout_round_fini(struct fanout_round *r)
{
    free(r->order);
    *r = (struct fanout_round){0};
}

static void swap(size_t *a, size_t *b)
{
    size_t x = *a;
    *a = *b;
    *b = x;
}

void fanout_round_add(struct fanout_round *r, struct prng *p)
{
    ARRAY_GROW(r->order, r->n, r->cap);
    r->order[r->n] = r->n;
    r->n++;
    swap(&r->order[r->n - 1], &r->order[r->at + prng_below(p, r->n - r->at)]);
}

static void shuffle(struct fanout_round *r, struct prng *p)
{
    for (size_t i = r->n; i > 1; i--)
        swap(&r->order[i - 1], &r->order[prng_below(p, i)]);
}

size_t fanout_round_next(struct fanout_round *r, struct prng *p)
{
    ensure(r->n > 0, "a round of nobody");
    if (r->at == 0)
        shuffle(r, p);
    size_t next = r->order[r->at];
    r->at = (r->at + 1) % r->n;
    return next;
}
