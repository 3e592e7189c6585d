/* Version vectors as sorted arrays. A cluster has a few actors for each node (a new one with every start of
 * skepd, folded after a week), so binary search over 16-byte entries and whole-vector merges are all it
 * takes. Knows nothing of rows: what a covered dot means is the pull loop's business.
 */
#include "core/vv.h"

#include <string.h>

#include "base/ensure.h"

void vv_init(struct vv *v)
{
    *v = VV_INIT;
}

void vv_fini(struct vv *v)
{
    free(v->e);
    *v = VV_INIT;
}

void vv_clear(struct vv *v)
{
    v->n = 0;
    v->floor = 0;
}

void vv_copy(struct vv *to, const struct vv *from)
{
    if (to == from)
        return;
    if (to->cap < from->n) {
        to->e = mem_resize(to->e, from->n, sizeof *to->e);
        to->cap = from->n;
    }
    if (from->n)
        memcpy(to->e, from->e, from->n * sizeof *to->e);
    to->n = from->n;
    to->floor = from->floor;
}

/* The place of the actor's entry, or where it would be. */
static size_t find(const struct vv *v, int64_t actor)
{
    size_t low = 0, high = v->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (v->e[middle].actor < actor)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool has(const struct vv *v, size_t at, int64_t actor)
{
    return at < v->n && v->e[at].actor == actor;
}

int64_t vv_get(const struct vv *v, int64_t actor)
{
    size_t at = find(v, actor);
    return has(v, at, actor) ? v->e[at].hlc : v->floor;
}

bool vv_covers(const struct vv *v, int64_t actor, int64_t hlc)
{
    return vv_get(v, actor) >= hlc;
}

int64_t vv_max(const struct vv *v)
{
    int64_t max = v->floor;
    for (size_t i = 0; i < v->n; i++)
        if (v->e[i].hlc > max)
            max = v->e[i].hlc;
    return max;
}

static void insert(struct vv *v, size_t at, int64_t actor, int64_t hlc)
{
    ARRAY_GROW(v->e, v->n, v->cap);
    memmove(v->e + at + 1, v->e + at, (v->n - at) * sizeof *v->e);
    v->e[at] = (struct vv_entry){actor, hlc};
    v->n++;
}

bool vv_raise(struct vv *v, int64_t actor, int64_t hlc)
{
    ensure(hlc >= 0, "negative stamp %lld", (long long)hlc);
    size_t at = find(v, actor);
    if (has(v, at, actor)) {
        if (v->e[at].hlc >= hlc)
            return false;
        v->e[at].hlc = hlc;
        return true;
    }
    if (v->floor >= hlc)
        return false;
    insert(v, at, actor, hlc);
    return true;
}

void vv_put(struct vv *v, int64_t actor, int64_t hlc)
{
    ensure(hlc >= 0, "negative stamp %lld", (long long)hlc);
    size_t at = find(v, actor);
    if (has(v, at, actor))
        v->e[at].hlc = hlc;
    else
        insert(v, at, actor, hlc);
}

/* Both vectors are walked side by side: next gives the lesser actor and its value in each. */
struct walk {
    const struct vv *a, *b;
    size_t i, j;
};

struct pair {
    int64_t actor, a, b;
};

static bool walk_next(struct walk *w, struct pair *ret)
{
    bool more_a = w->i < w->a->n, more_b = w->j < w->b->n;
    if (!more_a && !more_b)
        return false;
    const struct vv_entry *a = more_a ? &w->a->e[w->i] : NULL, *b = more_b ? &w->b->e[w->j] : NULL;
    bool take_a = a && (!b || a->actor <= b->actor), take_b = b && (!a || b->actor <= a->actor);
    *ret = (struct pair){take_a ? a->actor : b->actor, take_a ? a->hlc : w->a->floor,
                         take_b ? b->hlc : w->b->floor};
    w->i += take_a;
    w->j += take_b;
    return true;
}

void vv_replace(struct vv *v, const struct vv *change)
{
    size_t i = 0, j = 0;
    struct vv out = {.cap = v->n + change->n, .floor = v->floor};
    if (v == change || change->n == 0)
        return;
    out.e = mem_array(out.cap, sizeof *out.e);
    while (i < v->n || j < change->n)
        if (j == change->n || (i < v->n && v->e[i].actor < change->e[j].actor)) {
            out.e[out.n++] = v->e[i++];
        } else {
            i += i < v->n && v->e[i].actor == change->e[j].actor;
            out.e[out.n++] = change->e[j++];
        }
    free(v->e);
    *v = out;
}

bool vv_merge(struct vv *into, const struct vv *from)
{
    if (into == from)
        return false;
    struct vv out = VV_INIT;
    struct walk w = {into, from, 0, 0};
    struct pair p;
    bool changed = from->floor > into->floor;
    out.floor = changed ? from->floor : into->floor;
    out.cap = into->n + from->n;
    out.e = out.cap ? mem_array(out.cap, sizeof *out.e) : NULL;
    while (walk_next(&w, &p)) {
        changed |= p.b > p.a;
        out.e[out.n++] = (struct vv_entry){p.actor, p.a > p.b ? p.a : p.b};
    }
    free(into->e);
    *into = out;
    return changed;
}

void vv_fold(struct vv *v, int64_t actor)
{
    size_t at = find(v, actor);
    if (!has(v, at, actor))
        return;
    if (v->e[at].hlc > v->floor)
        v->floor = v->e[at].hlc;
    v->n--;
    memmove(v->e + at, v->e + at + 1, (v->n - at) * sizeof *v->e);
}

bool vv_equal(const struct vv *a, const struct vv *b)
{
    struct walk w = {a, b, 0, 0};
    struct pair p;
    if (a->floor != b->floor)
        return false;
    while (walk_next(&w, &p))
        if (p.a != p.b)
            return false;
    return true;
}

bool vv_reaches(const struct vv *a, const struct vv *b)
{
    for (size_t i = 0; i < b->n; i++)
        if (!vv_covers(a, b->e[i].actor, b->e[i].hlc))
            return false;
    return vv_max(a) >= b->floor;
}
