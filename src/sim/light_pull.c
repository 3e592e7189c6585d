/* light_pull: whom a light node knows, what it asks them for, and what it tells them. */
#include "sim/light_inside.h"

#define PAGE_ROWS   256
#define WHOLE_EVERY 64
#define PULL_BYTES  70 /* without entries of vectors, 16 each */
#define PAGE_BYTES  15
#define MAIL_BYTES  33

/* ---- whom a node knows ---- */

void light_know(struct light *l, int self, int about)
{
    struct light_node *n = node(l, self);
    struct light_peer *p = &n->peers[about];
    if (about == self || p->state == ALIVE)
        return;
    if (p->state == STRANGER) {
        ARRAY_GROW(n->list, n->list_n, n->list_cap);
        n->list[n->list_n++] = (size_t)about;
        fanout_round_add(&n->round, &n->prng);
    }
    p->state = ALIVE;
}

size_t *light_candidates(const struct light_node *n, int but, size_t *ret_n)
{
    size_t *list = mem_array(n->list_n + 1, sizeof *list), count = 0;
    for (size_t i = 0; i < n->list_n; i++) {
        const struct light_peer *p = &n->peers[n->list[i]];
        if (p->state == ALIVE && !p->watched && (int)n->list[i] != but)
            list[count++] = n->list[i];
    }
    *ret_n = count;
    return list;
}

void light_each_drawn(struct light *l, int self, int but, size_t want,
                      void (*fn)(struct light *l, int self, int other))
{
    struct light_node *n = node(l, self);
    size_t count, drawn[FANOUT_MESH_MAX];
    AUTOFREE size_t *list = light_candidates(n, but, &count);
    size_t got = fanout_draw(&n->prng, count, want, drawn);
    for (size_t i = 0; i < got; i++)
        fn(l, self, (int)list[drawn[i]]);
}

bool light_is_mesh(const struct light_node *n)
{
    return fanout_is_mesh(n->list_n + 1);
}

size_t light_fanout(const struct light_node *n)
{
    return light_is_mesh(n) ? FANOUT_MESH_MAX : FANOUT_PEERS;
}

/* ---- pulling ---- */

static size_t entries_changed(const struct light *l, const struct light_node *n, uint32_t base)
{
    size_t count = 0;
    for (int i = 0; base < n->version && i < l->nodes_n; i++)
        count += n->changed[i] > base;
    return count; /* base 0: all */
}

static void pull_page(struct light *l, int self, int to, struct vv *cursor TAKES, int64_t rows)
{
    struct light_node *n = node(l, self);
    struct light_peer *p = &n->peers[to];
    struct pack *out = mem_alloc(sizeof *out);
    size_t entries = entries_changed(l, n, ++n->pulls % WHOLE_EVERY ? p->base : 0) + cursor->n;
    vv_copy(&out->vv, &n->vv);
    vv_copy(&out->cursor, cursor);
    p->pulling = true;
    p->again = false;
    l->count.pulls++;
    struct call *c = light_request(l, self, to, WORD_PULL, out, PULL_BYTES + 16 * entries);
    c->version = n->version;
    c->cursor = *cursor;
    c->rows = rows;
}

void light_pull(struct light *l, int self, int to)
{
    struct vv none = VV_INIT;
    if (node(l, self)->peers[to].pulling)
        node(l, self)->peers[to].again = true;
    else
        pull_page(l, self, to, &none, 0);
}

void light_poke(struct light *l, int self, int to)
{
    struct light_peer *p = &node(l, self)->peers[to];
    p->poke_again = p->poking;
    if (p->poking)
        return;
    p->poking = true;
    l->count.pokes++;
    light_request(l, self, to, WORD_POKE, NULL, MAIL_BYTES);
}

/* Rows of an actor above `from`, as many as there is room for. */
static size_t page_add(const struct light *l, struct pack *out, int64_t actor, int64_t from, int64_t to,
                       size_t room)
{
    const struct light_node *by = node(l, (int)actor - 1);
    size_t i = by->rows_n, count = 0;
    while (i > 0 && by->rows[i - 1].hlc > from)
        i--;
    for (; i < by->rows_n && by->rows[i].hlc <= to && count < room; i++)
        count++;
    out->more |= i < by->rows_n && by->rows[i].hlc <= to;
    if (count == 0)
        return 0;
    ARRAY_GROW(out->ranges, out->ranges_n, out->ranges_cap);
    out->ranges[out->ranges_n++] = (struct range){actor, from, by->rows[i - 1].hlc};
    return count;
}

void light_pull_serve(struct light *l, const struct message *m)
{
    const struct light_node *n = node(l, m->to);
    struct pack *out = mem_alloc(sizeof *out);
    const struct vv *theirs = &m->pack->vv;
    size_t rows = 0, entries = 0, j = 0;
    for (size_t i = 0; i < n->has.n && !out->more; i++) {
        int64_t actor = n->has.e[i].actor, hlc = 0;
        while (j < theirs->n && theirs->e[j].actor < actor)
            j++;
        hlc = j < theirs->n && theirs->e[j].actor == actor ? theirs->e[j].hlc : 0;
        if (n->has.e[i].hlc <= hlc)
            continue;
        entries++;
        int64_t passed = vv_get(&m->pack->cursor, actor);
        hlc = passed > hlc ? passed : hlc;
        if (n->has.e[i].hlc > hlc)
            rows += page_add(l, out, actor, hlc, n->has.e[i].hlc, PAGE_ROWS - rows);
    }
    vv_copy(&out->vv, &n->vv);
    light_answer(l, m, out, PAGE_BYTES + 16 * entries + rows * (size_t)l->o.row_bytes);
}

static void row_new(struct light *l, int self, int from, const struct light_row *row)
{
    struct track *t;
    switch (row->kind) {
    case ROW_NODE:
        light_know(l, self, row->about);
        return;
    case ROW_HINT:
        light_look_after(l, self, row->about, true);
        return;
    case ROW_DATA:
        t = &l->tracks[row->about];
        t->hops[self] = from == self ? 0 : t->hops[from] + 1;
        if (++t->holders >= l->alive && t->everywhere_us < 0)
            t->everywhere_us = l->now_us;
        return;
    }
}

static int64_t range_take(struct light *l, int self, int from, const struct range *r)
{
    struct light_node *n = node(l, self), *by = node(l, (int)r->actor - 1);
    int64_t had = vv_get(&n->has, r->actor), rows = 0;
    size_t i = by->rows_n;
    while (i > 0 && by->rows[i - 1].hlc > r->from)
        i--;
    vv_raise(&n->has, r->actor, r->to);
    for (; i < by->rows_n && by->rows[i].hlc <= r->to; i++) {
        rows++;
        if (by->rows[i].hlc > had)
            row_new(l, self, from, &(struct light_row){by->rows[i].hlc, by->rows[i].kind, by->rows[i].about});
        else
            l->count.twice++;
    }
    l->count.rows += rows;
    return rows;
}

static size_t passed_on_to(const struct light *l, const struct light_node *n)
{
    if (l->o.recipients == 0)
        return light_is_mesh(n) ? 0 : FANOUT_PEERS;
    return (size_t)l->o.recipients < n->list_n ? (size_t)l->o.recipients : 0;
}

static void vector_raise(struct light_node *n, const struct vv *theirs)
{
    for (size_t i = 0, j = 0; i < theirs->n; i++) {
        const struct vv_entry *e = &theirs->e[i];
        while (j < n->vv.n && n->vv.e[j].actor < e->actor)
            j++;
        if (j < n->vv.n && n->vv.e[j].actor == e->actor && n->vv.e[j].hlc >= e->hlc)
            continue;
        vv_raise(&n->vv, e->actor, e->hlc);
        n->changed[e->actor - 1] = ++n->version;
    }
}

void light_pulled(struct light *l, int self, struct call *c, const struct pack *in)
{
    struct light_node *n = node(l, self);
    struct light_peer *p = &n->peers[c->to];
    p->pulling = false;
    p->base = c->version;
    for (size_t i = 0; i < in->ranges_n; i++) {
        c->rows += range_take(l, self, c->to, &in->ranges[i]);
        vv_raise(&c->cursor, in->ranges[i].actor, in->ranges[i].to);
    }
    if (in->more) {
        pull_page(l, self, c->to, &c->cursor, c->rows);
        c->cursor = VV_INIT;
        return;
    }
    vector_raise(n, &in->vv);
    if (c->rows > 0 || p->again) /* what came is acknowledged at once */
        light_pull(l, self, c->to);
    if (c->rows > 0 && l->o.pokes && n->passed_us != l->now_us) {
        n->passed_us = l->now_us;
        light_each_drawn(l, self, c->to, passed_on_to(l, n), light_poke);
    }
}

void light_write_row(struct light *l, int self, enum kind kind, int about)
{
    struct light_node *n = node(l, self);
    int64_t last = n->rows_n ? n->rows[n->rows_n - 1].hlc : 0;
    struct light_row row = {l->now_us > last ? l->now_us : last + 1, kind, about};
    ARRAY_GROW(n->rows, n->rows_n, n->rows_cap);
    n->rows[n->rows_n++] = row;
    vv_raise(&n->has, self + 1, row.hlc);
    vv_raise(&n->vv, self + 1, row.hlc);
    n->changed[self] = ++n->version;
    if (kind == ROW_DATA)
        row_new(l, self, self, &row);
    if (l->o.pokes)
        light_each_drawn(l, self, -1, l->o.recipients ? (size_t)l->o.recipients : light_fanout(n),
                         light_poke);
}
