/* pull_serve: the answering side of a pull, off the brain: on any store of this node's database, from one
 * snapshot. What a puller has said in full is remembered, so that it need not say it again.
 */
#include <string.h>

#include "base/list.h"
#include "node/node.h"
#include "node/pull.h"

#define PULLERS_MAX 1024
#define ENTRIES_MAX ((size_t)2 << 20) /* of all their vectors */

struct puller {
    struct id id;
    int64_t actor;
    uint64_t number;
    struct vv vv, gcvv;
    UT_hash_handle hh;
};

struct pull_memory {
    struct puller *pullers; /* uthash by id */
    size_t entries;
};

struct pull_memory *pull_memory_new(void)
{
    return mem_alloc(sizeof(struct pull_memory));
}

static void puller_free(struct pull_memory *m, struct puller *p)
{
    HASH_DEL(m->pullers, p);
    m->entries -= p->vv.cap + p->gcvv.cap;
    vv_fini(&p->vv);
    vv_fini(&p->gcvv);
    free(p);
}

void pull_memory_free(struct pull_memory *m)
{
    while (m && m->pullers)
        puller_free(m, m->pullers);
    free(m);
}

static struct puller *puller_of(struct pull_memory *m, const struct id *id)
{
    struct puller *p;
    HASH_FIND(hh, m->pullers, id, sizeof *id, p);
    if (p)
        return p;
    if (HASH_COUNT(m->pullers) >= PULLERS_MAX)
        puller_free(m, m->pullers);
    p = mem_alloc(sizeof *p);
    p->id = *id;
    HASH_ADD(hh, m->pullers, id, sizeof p->id, p);
    return p;
}

struct ask {
    struct id node;
    int64_t actor;
    uint64_t number, base;
    struct vv vv, gcvv, cursor;
};

static void ask_fini(struct ask *a)
{
    vv_fini(&a->vv);
    vv_fini(&a->gcvv);
    vv_fini(&a->cursor);
}

static bool ask_decode(const char *body, size_t n, struct ask *ret)
{
    struct reader r = reader_init(body, n);
    *ret = (struct ask){.node = {{0}}};
    bool proto = read_u8(&r) == PULL_PROTO;
    read_id(&r);
    ret->node = read_id(&r);
    ret->actor = read_i64(&r);
    ret->number = read_varint(&r);
    ret->base = read_varint(&r);
    vector_read(&r, &ret->vv);
    vector_read(&r, &ret->gcvv);
    vector_read(&r, &ret->cursor);
    return proto && reader_done(&r);
}

/* Whoever has to go will say all again. */
static void make_room(struct pull_memory *m, const struct puller *for_whom)
{
    struct puller *p, *next;
    HASH_ITER(hh, m->pullers, p, next)
    if (m->entries > ENTRIES_MAX && p != for_whom)
        puller_free(m, p);
}

/* What the puller has, out of what it said now and before. false: that is not known here. */
static bool take(struct puller *p, const struct ask *a)
{
    if (a->base == 0) {
        vv_copy(&p->vv, &a->vv);
        vv_copy(&p->gcvv, &a->gcvv);
    } else {
        if (p->actor != a->actor || p->number != a->base)
            return false;
        vector_apply(&p->vv, &a->vv);
        vector_apply(&p->gcvv, &a->gcvv);
    }
    p->actor = a->actor;
    p->number = a->number;
    return true;
}

static bool remember(struct pull_memory *m, struct puller *p, const struct ask *a)
{
    m->entries -= p->vv.cap + p->gcvv.cap;
    bool known = take(p, a);
    m->entries += p->vv.cap + p->gcvv.cap;
    make_room(m, p);
    if (m->entries <= ENTRIES_MAX)
        return known;
    puller_free(m, p); /* one that says something else each time */
    return false;
}

/* What this side knows of itself, in one snapshot. */
struct own {
    struct vv vv, gcvv;
    bool resync;
};

static int own_read(struct store *s, struct own *ret, struct err *e)
{
    AUTOFREE char *resync = store_meta(s, "resync");
    int rc = store_vv(s, &ret->vv, e);
    ret->resync = resync && *resync;
    return rc < 0 ? rc : store_gcvv(s, &ret->gcvv, e);
}

static void own_done(struct own *o)
{
    vv_fini(&o->vv);
    vv_fini(&o->gcvv);
}

/* Whether a vector has all that was dropped on the other side. The floor of that side is part of it. */
static bool reaches(const struct vv *vv, struct vv *gcvv, int64_t floor)
{
    gcvv->floor = floor;
    return vv_reaches(vv, gcvv);
}

static enum verdict judge(struct own *mine, struct puller *p)
{
    if (mine->resync)
        return PULL_BUSY;
    if (!reaches(&p->vv, &mine->gcvv, mine->vv.floor))
        return PULL_RESYNC;
    return reaches(&mine->vv, &p->gcvv, p->vv.floor) ? PULL_PAGE : PULL_STALE;
}

static int write_page(struct store *s, const struct own *mine, const struct puller *p,
                      const struct vv *cursor, struct str *ret, struct err *e)
{
    AUTOVV struct vv have = VV_INIT;
    AUTOSTR struct str rows = STR_INIT;
    uint32_t count;
    bool more;
    vv_copy(&have, &p->vv);
    vv_merge(&have, cursor); /* what the chain has merged counts as had */
    have.floor = p->vv.floor;
    int rc = store_page(s, &have, &rows, &count, &more, e);
    if (rc < 0)
        return rc;
    vector_write_above(ret, &mine->vv, &p->vv);
    buf_u8(ret, (uint8_t)((more ? PULL_MORE : 0) | (rc == 1 ? PULL_HOLES : 0)));
    buf_u32(ret, count);
    str_add(ret, str_get(&rows), rows.n);
    return 0;
}

int node_serve_pull(struct store *s, struct pull_memory *m, const struct id *peer, const char *body, size_t n,
                    struct str *ret, struct err *e)
{
    CLEANUP(ask_fini) struct ask a;
    CLEANUP(own_done) struct own mine = {0};
    if (!ask_decode(body, n, &a))
        return err_set(e, SKEP_EARG, "this is no pull request");
    if (!id_equal(&a.node, peer))
        return err_set(e, SKEP_EFORBIDDEN, "this pull speaks for another node");
    struct puller *p = puller_of(m, &a.node);
    if (!remember(m, p, &a)) {
        buf_u8(ret, PULL_BASE);
        return 0;
    }
    int rc = store_read_begin(s, e);
    if (rc == 0)
        rc = own_read(s, &mine, e);
    enum verdict v = rc < 0 ? PULL_BUSY : judge(&mine, p);
    buf_u8(ret, (uint8_t)v);
    if (rc == 0 && v == PULL_PAGE)
        rc = write_page(s, &mine, p, &a.cursor, ret, e);
    store_read_end(s);
    return rc;
}
