/* compare_serve: what a node answers a member that compares itself with it. It only tells what it has; every
 * answer is bounded, and nothing that a request says is believed or kept, but who is served.
 */
#include "node/compare_inside.h"
#include "node/vector.h"
#include "wire/buf.h"

#define SERVED_MS 10000 /* somebody who has not asked again for so long has gone away */

static void look_wanted(struct node *n, void *arg UNUSED)
{
    rescan_want(n);
}

/* Once the sums are there: without them, ask again. */
static bool sums_ready(struct node *n, struct str *ret)
{
    if (rescan_fresh(n)) {
        buf_u8(ret, COMPARE_OK);
        return true;
    }
    eff_do(n, look_wanted, NULL, NULL);
    buf_u8(ret, COMPARE_WAIT);
    return false;
}

static void serve_root(struct node *n, struct reader *r, struct str *ret)
{
    unsigned char theirs[DIGEST16_BYTES], mine[DIGEST16_BYTES];
    for (size_t i = 0; i < sizeof theirs; i++)
        theirs[i] = read_u8(r);
    if (!reader_done(r) || !sums_ready(n, ret))
        return;
    sums_root(n->compare->sums, mine);
    bool equal = memcmp(mine, theirs, sizeof mine) == 0;
    buf_u8(ret, equal);
    for (unsigned g = 0; !equal && g < SUMS_GROUPS; g++) {
        sums_group(n->compare->sums, g, mine);
        str_add(ret, mine, 8);
    }
}

static void put_group(const struct sums *s, unsigned group, struct str *ret)
{
    for (unsigned i = 0; i < SUMS_EACH; i++) {
        unsigned char digest[DIGEST16_BYTES];
        unsigned bucket = group * SUMS_EACH + i;
        sums_bucket(s, bucket, digest);
        str_add(ret, digest, 8);
        buf_varint(ret, s->count[bucket]);
    }
}

static void serve_buckets(struct node *n, struct reader *r, struct str *ret)
{
    unsigned char groups[SUMS_GROUPS];
    size_t count = read_count(r, 1);
    if (count > SUMS_GROUPS) {
        r->bad = true;
        return;
    }
    for (size_t i = 0; i < count; i++) {
        groups[i] = read_u8(r);
        r->bad |= groups[i] >= SUMS_GROUPS || (i > 0 && groups[i] <= groups[i - 1]);
    }
    if (!reader_done(r) || !sums_ready(n, ret))
        return;
    for (size_t i = 0; i < count; i++)
        put_group(n->compare->sums, groups[i], ret);
}

/* ---- lists ---- */

struct order {
    struct id whom;
    uint64_t wanted[SUMS_BUCKETS / 64];
};

static void list_begin(struct node *n, void *arg)
{
    AUTOFREE struct order *o = arg;
    listing_begin(n, &o->whom, o->wanted);
}

static void served_again(struct node *n, void *arg UNUSED)
{
    n->compare->listing.asked_ms = n->now_ms;
}

static void served(struct node *n, void *arg UNUSED)
{
    n->compare->listing.ready = false; /* the next list is of another moment */
}

static void put_list(struct node *n, const struct listing *l, struct str *ret)
{
    buf_u8(ret, COMPARE_OK);
    vector_write(ret, &l->vv);
    buf_u8(ret, l->cut);
    buf_varint(ret, l->count);
    str_add(ret, str_get(&l->entries), l->entries.n);
    eff_do(n, served, NULL, NULL);
}

static bool read_order(struct reader *r, struct order *ret)
{
    size_t count = read_count(r, 4);
    r->bad |= count > BUCKETS_MAX;
    for (size_t i = 0; i < count && !r->bad; i++) {
        uint32_t bucket = read_u32(r);
        if (bucket >= SUMS_BUCKETS)
            r->bad = true;
        else
            bit_set(ret->wanted, bucket);
    }
    return reader_done(r);
}

static void serve_keys(struct node *n, const struct id *peer, struct reader *r, struct str *ret)
{
    const struct listing *l = &n->compare->listing;
    struct order o = {.whom = *peer};
    if (!read_order(r, &o))
        return;
    bool theirs = id_equal(&l->whom, peer) && memcmp(l->wanted, o.wanted, sizeof o.wanted) == 0;
    bool taken = (l->running || l->ready) && !id_equal(&l->whom, peer) && n->now_ms - l->asked_ms < SERVED_MS;
    if (theirs && l->ready) {
        put_list(n, l, ret);
        return;
    }
    buf_u8(ret, taken ? COMPARE_BUSY : COMPARE_WAIT);
    if (theirs && l->running)
        eff_do(n, served_again, NULL, NULL);
    else if (!taken)
        eff_do(n, list_begin, mem_copy(&o, sizeof o), free);
}

static int serve_fetch(struct node *n, struct reader *r, struct str *ret)
{
    AUTOSTR struct str rows = STR_INIT;
    uint32_t found = 0;
    size_t count = read_count(r, 2);
    int rc = 0;
    r->bad |= count > FETCH_MAX;
    for (size_t i = 0; i < count && !r->bad && rc >= 0; i++) {
        struct span tbl = read_bytes(r), key = read_bytes(r);
        if (r->bad || !text_is_utf8(tbl.p, tbl.n) || !text_is_utf8(key.p, key.n))
            r->bad = true;
        else if (rows.n < STORE_PAGE_BYTES &&
                 (rc = scan_fetch(n->compare->list, tbl, key, &rows, &n->fault)) == 1)
            found++;
    }
    if (rc < 0 || !reader_done(r))
        return rc < 0 ? rc : 0;
    buf_u8(ret, COMPARE_OK);
    buf_u32(ret, found);
    str_add(ret, str_get(&rows), rows.n);
    return 0;
}

int compare_serve(struct node *n, const struct id *peer, const char *body, size_t bytes, struct str *ret)
{
    struct reader r = reader_init(body, bytes);
    struct id cluster = read_id(&r), id = read_id(&r);
    uint8_t step = read_u8(&r);
    size_t before = ret->n;
    int rc = 0;
    r.bad |= !id_equal(&cluster, &n->cluster) || !id_equal(&id, peer) || !peer_find(n, peer);
    if (!r.bad && n->resync.wanted)
        buf_u8(ret, COMPARE_BUSY);
    else if (!r.bad && step == STEP_PREPARE && r.n == 0)
        sums_ready(n, ret);
    else if (!r.bad && step == STEP_ROOT)
        serve_root(n, &r, ret);
    else if (!r.bad && step == STEP_BUCKETS)
        serve_buckets(n, &r, ret);
    else if (!r.bad && step == STEP_KEYS)
        serve_keys(n, peer, &r, ret);
    else if (!r.bad && step == STEP_FETCH)
        rc = serve_fetch(n, &r, ret);
    if (rc < 0)
        return rc;
    return ret->n > before ? 0 : err_set(&n->fault, SKEP_EARG, "this is no comparison");
}
