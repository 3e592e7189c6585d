#include "core/view.h"

#include <string.h>

#include "base/ensure.h"
#include "base/mem.h"
#include "base/prng.h"

void view_init(struct view *v, const struct id *self, int64_t fresh_within_ms, int64_t alone_ms)
{
    *v = (struct view){.self = {.id = *self, .in_view = true, .weight = 100},
                       .ask = 1,
                       .alone_since_ms = INT64_MAX,
                       .fresh_within_ms = fresh_within_ms,
                       .alone_ms = alone_ms};
}

void view_fini(struct view *v)
{
    free(v->peers);
    *v = (struct view){0};
}

/* Index of the node, or of the place where it belongs. */
static size_t place_of(const struct view *v, const struct id *id, bool *ret_found)
{
    size_t low = 0, high = v->n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (id_compare(&v->peers[middle].id, id) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_found = low < v->n && id_equal(&v->peers[low].id, id);
    return low;
}

struct view_node *view_find(struct view *v, const struct id *id)
{
    bool found;
    size_t i = place_of(v, id, &found);
    return found ? &v->peers[i] : NULL;
}

struct view_node *view_node(struct view *v, const struct id *id)
{
    bool found;
    size_t i = place_of(v, id, &found);
    ensure(!id_equal(id, &v->self.id), "a node is no peer of itself");
    if (found)
        return &v->peers[i];
    ARRAY_GROW(v->peers, v->n, v->cap);
    memmove(v->peers + i + 1, v->peers + i, (v->n - i) * sizeof *v->peers);
    v->peers[i] = (struct view_node){.id = *id, .weight = 100, .fresh_ms = INT64_MIN};
    v->n++;
    return &v->peers[i];
}

void view_forget(struct view *v, const struct id *id)
{
    bool found;
    size_t i = place_of(v, id, &found);
    if (!found)
        return;
    memmove(v->peers + i, v->peers + i + 1, (v->n - i - 1) * sizeof *v->peers);
    v->n--;
}

/* Only members are of the view; this node too only once it is one. */
static bool counts(const struct view_node *p)
{
    return p->member && p->in_view;
}

static uint64_t mix_node(uint64_t h, const struct view_node *p)
{
    uint64_t word[2];
    memcpy(word, p->id.b, sizeof word);
    h = prng_mix(h ^ word[0]);
    h = prng_mix(h ^ word[1]);
    return prng_mix(h ^ (uint64_t)p->weight << 1 ^ (p->draining ? 1u : 0u));
}

/* The nodes in the order of their ids, this one in its place, so that equal views hash equally. */
static uint64_t signature_of(const struct view *v)
{
    uint64_t h = prng_mix(v->settings);
    bool self_done = !counts(&v->self);
    for (size_t i = 0; i < v->n; i++) {
        if (!self_done && id_compare(&v->self.id, &v->peers[i].id) < 0) {
            h = mix_node(h, &v->self);
            self_done = true;
        }
        if (counts(&v->peers[i]))
            h = mix_node(h, &v->peers[i]);
    }
    return self_done ? h : mix_node(h, &v->self);
}

static void ask_anew(struct view *v)
{
    v->ask++;
    v->open = false;
}

size_t view_others(const struct view *v)
{
    size_t n = 0;
    for (size_t i = 0; i < v->n; i++)
        n += counts(&v->peers[i]);
    return n;
}

static bool knows_members(const struct view *v)
{
    for (size_t i = 0; i < v->n; i++)
        if (v->peers[i].member)
            return true;
    return false;
}

bool view_update(struct view *v, int64_t now_ms)
{
    bool alone = view_others(v) == 0 && knows_members(v);
    if (!alone)
        v->alone_since_ms = INT64_MAX;
    else if (v->alone_since_ms == INT64_MAX)
        v->alone_since_ms = now_ms;
    uint64_t signature = signature_of(v);
    if (signature == v->signature)
        return false;
    v->signature = signature;
    ask_anew(v);
    return true;
}

static bool fresh(const struct view *v, const struct view_node *p, int64_t now_ms)
{
    return p->fresh_ms != INT64_MIN && now_ms - p->fresh_ms < v->fresh_within_ms;
}

bool view_lapse(struct view *v, int64_t now_ms)
{
    if (!v->open)
        return false;
    for (size_t i = 0; i < v->n; i++)
        if (counts(&v->peers[i]) && !fresh(v, &v->peers[i], now_ms)) {
            ask_anew(v);
            return true;
        }
    return false;
}

void view_answered(struct view *v, const struct id *id, int64_t ask, int64_t sent_ms, uint64_t signature)
{
    struct view_node *p = view_find(v, id);
    if (!p)
        return;
    if (sent_ms > p->fresh_ms)
        p->fresh_ms = sent_ms;
    p->signature = signature;
    if (signature != v->signature) {
        /* it decides under another view: what it did there must be pulled before we decide again */
        if (p->answered_ask == v->ask && counts(p))
            ask_anew(v);
        return;
    }
    if (ask == v->ask)
        p->answered_ask = ask;
}

int64_t view_chain_begins(struct view *v, const struct id *id)
{
    const struct view_node *p = view_find(v, id);
    return p && p->answered_ask == v->ask ? v->ask : 0;
}

void view_chain_ended(struct view *v, const struct id *id, int64_t begun)
{
    struct view_node *p = view_find(v, id);
    if (p && begun > p->pulled_ask)
        p->pulled_ask = begun;
}

void view_bounced(struct view *v, const struct id *id)
{
    struct view_node *p = view_find(v, id);
    if (!p)
        return;
    p->fresh_ms = INT64_MIN;
    p->answered_ask = p->pulled_ask = 0;
    if (counts(p))
        ask_anew(v);
}

/* Every other node of the view answered the newest ask, was pulled from since, and is fresh. */
static bool barrier_done(const struct view *v, int64_t now_ms)
{
    for (size_t i = 0; i < v->n; i++) {
        const struct view_node *p = &v->peers[i];
        if (counts(p) && (p->answered_ask != v->ask || p->pulled_ask != v->ask || !fresh(v, p, now_ms)))
            return false;
    }
    return true;
}

bool view_may_join(const struct view *v, int64_t now_ms)
{
    return !v->self.member && view_others(v) > 0 && barrier_done(v, now_ms);
}

bool view_is_open(struct view *v, int64_t now_ms)
{
    bool waited = v->alone_since_ms == INT64_MAX || now_ms - v->alone_since_ms >= v->alone_ms;
    return v->open = v->self.member && v->signature != 0 && waited && barrier_done(v, now_ms);
}

int64_t view_deadline_ms(const struct view *v, int64_t now_ms)
{
    int64_t at = INT64_MAX;
    if (v->alone_since_ms != INT64_MAX && now_ms - v->alone_since_ms < v->alone_ms)
        at = v->alone_since_ms + v->alone_ms;
    for (size_t i = 0; i < v->n && v->open; i++)
        if (counts(&v->peers[i]) && v->peers[i].fresh_ms + v->fresh_within_ms < at)
            at = v->peers[i].fresh_ms + v->fresh_within_ms;
    return at;
}
