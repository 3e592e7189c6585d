#include "node/vector.h"

static bool in(const struct vv *v, const struct vv_entry *e)
{
    size_t low = 0, high = v->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (v->e[middle].actor < e->actor)
            low = middle + 1;
        else
            high = middle;
    }
    return low < v->n && v->e[low].actor == e->actor && v->e[low].hlc == e->hlc;
}

enum which { ALL, CHANGED, ABOVE };

static bool wanted(enum which which, const struct vv_entry *e, const struct vv *other)
{
    return which == ALL || (which == CHANGED ? !in(other, e) : e->hlc > vv_get(other, e->actor));
}

static void write(struct str *s, const struct vv *v, enum which which, const struct vv *other)
{
    size_t count = 0;
    for (size_t i = 0; i < v->n; i++)
        count += wanted(which, &v->e[i], other);
    buf_i64(s, v->floor);
    buf_varint(s, count);
    for (size_t i = 0; i < v->n; i++)
        if (wanted(which, &v->e[i], other)) {
            buf_i64(s, v->e[i].actor);
            buf_i64(s, v->e[i].hlc);
        }
}

void vector_write(struct str *s, const struct vv *v)
{
    write(s, v, ALL, NULL);
}

void vector_write_since(struct str *s, const struct vv *v, const struct vv *known)
{
    write(s, v, known ? CHANGED : ALL, known);
}

void vector_write_above(struct str *s, const struct vv *v, const struct vv *have)
{
    write(s, v, ABOVE, have);
}

void vector_read(struct reader *r, struct vv *ret)
{
    int64_t last = 0, floor = read_i64(r);
    r->bad |= floor < 0;
    for (size_t n = read_count(r, 16); n > 0 && !r->bad; n--) {
        int64_t actor = read_i64(r), hlc = read_i64(r);
        if (actor <= last || hlc < 0)
            r->bad = true;
        else
            vv_put(ret, actor, hlc); /* in rising order, so that this only appends */
        last = actor;
    }
    ret->floor = r->bad ? 0 : floor;
}

void vector_apply(struct vv *v, const struct vv *change)
{
    vv_replace(v, change);
    v->floor = change->floor;
}
