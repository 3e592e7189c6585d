/* resync_serve: a page of our rows for a peer that missed deletions, and whether this is the time for it. */
#include "node/resync_inside.h"

#define SERVED_MS   5000 /* who asks for no page any more has given up */
#define CUT_WAIT_MS 30000

/* Two that want it from each other: the one with the lesser id begins its own anew later. */
static bool gives_way(const struct node *n, const struct id *peer)
{
    return id_equal(&n->resync.from, peer) && id_compare(&n->self, peer) < 0;
}

static void give_way(struct node *n, void *arg UNUSED)
{
    resync_start_over(n);
    n->resync.next_ms = n->now_ms + RESYNC_RETRY_MAX_MS;
}

static void serving(struct node *n, void *arg)
{
    AUTOFREE struct id *peer = arg;
    n->resync.out = *peer;
    n->resync.out_until_ms = n->now_ms + SERVED_MS;
}

/* That was the last page: the next one need not wait. */
static void served(struct node *n, void *arg UNUSED)
{
    n->resync.out_until_ms = 0;
}

/* Somebody's rows are left out here, maybe for ever: so long and no longer that is a reason to refuse. */
static bool waits_for_cut(struct node *n)
{
    struct resync *s = &n->resync;
    node_touch(n, &s->refused_since_ms, sizeof s->refused_since_ms);
    node_touch(n, &s->refused_at_ms, sizeof s->refused_at_ms);
    if (s->refused_since_ms == 0 || n->now_ms - s->refused_at_ms > 2 * RESYNC_RETRY_MAX_MS)
        s->refused_since_ms = n->now_ms;
    s->refused_at_ms = n->now_ms;
    return n->now_ms - s->refused_since_ms < CUT_WAIT_MS;
}

static bool is_busy(struct node *n, const struct id *peer)
{
    bool other = n->now_ms < n->resync.out_until_ms && !id_equal(&n->resync.out, peer), cut = false;
    if (pulls_in_the_middle(n, &cut) || other || (n->resync.active && !gives_way(n, peer)))
        return true;
    return cut && waits_for_cut(n);
}

int resync_serve(struct node *n, const struct id *peer, const char *body, size_t bytes, struct str *ret)
{
    AUTOSTR struct str rows = STR_INIT;
    struct reader r = reader_init(body, bytes);
    bool proto = read_u8(&r) == PULL_PROTO;
    struct id cluster = read_id(&r), id = read_id(&r);
    read_i64(&r);
    AUTOFREE char *tbl = read_text(&r);
    AUTOFREE char *key = read_text(&r);
    if (!reader_done(&r) || !proto || !id_equal(&cluster, &n->cluster) || !id_equal(&id, peer))
        return err_set(&n->fault, SKEP_EARG, "this is no request for a RESYNC");
    if (is_busy(n, peer)) {
        buf_u8(ret, PULL_BUSY);
        return 0;
    }
    if (n->resync.active)
        eff_do(n, give_way, NULL, NULL);
    eff_do(n, serving, mem_copy(peer, sizeof *peer), free);
    uint32_t count;
    bool more;
    int rc = store_scan_page(n->store, tbl ? tbl : "", key ? key : "", &rows, &count, &more, &n->fault);
    if (rc == SKEP_EDAMAGED) {
        log_warn(n->w.log, "a RESYNC must wait until this row is healed: %s", n->fault.text);
        buf_u8(ret, PULL_BUSY);
        return 0;
    }
    buf_u8(ret, PULL_PAGE);
    if (!more)
        eff_do(n, served, NULL, NULL);
    vector_write(ret, tbl && *tbl ? &VV_INIT : &n->vv); /* that of the first page is the one that counts */
    vector_write(ret, &n->gcvv);
    buf_i64(ret, store_gc_floor(n->store));
    buf_u8(ret, more);
    buf_u32(ret, count);
    str_add(ret, str_get(&rows), rows.n);
    return rc;
}
