/* pull: replication as seen from the puller, and what it proves to others.
 *
 * Decides when to pull from whom, merges what comes by the one rule (store_merge), and moves the vector.
 * Knows nothing of what rows mean; whose row changed is told to the files that do.
 *
 *   request := cluster id, node id, actor i64, count, (actor i64, hlc i64)*      what is on disk here
 *              count, (actor i64, hlc i64)*                                      cursor: merged in this chain
 * so far page    := count, (actor i64, hlc i64)*                                      the responder's vector
 *              more u8, rows u32, row*                                           rows as store_page writes
 * them
 *
 * Invariants
 *  1. The vector moves only at the end of a chain (more = 0), to the responder's vector as of that page.
 * Inside a chain only the cursor moves, in memory, and a broken chain forgets it.
 *  2. The vector of a request says what is committed here: it is sent after the commit. That is what peers
 * count as acknowledgement (cover.c); after a chain that brought something the next request follows at once.
 *  3. A row further ahead of our clock than HLC_AHEAD_MS_MAX cuts its actor: nothing of that actor is proven.
 *
 * Bayou's prefix exchange (Petersen et al., 1997) with hybrid clocks, pulled instead of pushed. Tombstones
 * are kept for ever: nothing drops them yet. Whoever does has to raise gcvv with it, and then a pull whose
 * vector does not reach gcvv must be refused here, by responder and requester alike (store_gcvv).
 */
#include <string.h>

#include "base/hlc.h"
#include "node/child.h"
#include "wire/buf.h"

#define PULL_TIMEOUT_MS 5000 /* a node that lost its power and is back waits for this, at the longest */
#define BACKOFF_MIN_MS  500
#define BACKOFF_MAX_MS  30000

static void vv_write(struct str *s, const struct vv *v)
{
    buf_varint(s, v->n);
    for (size_t i = 0; i < v->n; i++) {
        buf_i64(s, v->e[i].actor);
        buf_i64(s, v->e[i].hlc);
    }
}

/* In rising order of the actors, as vv_write puts them: then raising an empty vector only appends. */
static void vv_read(struct reader *r, struct vv *ret)
{
    int64_t last = 0;
    for (size_t n = read_count(r, 16); n > 0 && !r->bad; n--) {
        int64_t actor = read_i64(r), hlc = read_i64(r);
        if (actor <= last || hlc < 0)
            r->bad = true;
        else
            vv_raise(ret, actor, hlc);
        last = actor;
    }
}

/* ---- serving ---- */

int node_serve_pull(struct store *s, const char *body, size_t n, struct str *ret, struct err *e)
{
    AUTOVV struct vv have = VV_INIT, merged = VV_INIT, mine = VV_INIT;
    AUTOSTR struct str rows = STR_INIT;
    struct reader r = reader_init(body, n);
    read_id(&r);
    read_id(&r);
    read_i64(&r);
    vv_read(&r, &have);
    vv_read(&r, &merged);
    if (!reader_done(&r))
        return err_set(e, SKEP_EARG, "this is no pull request");
    vv_merge(&have, &merged); /* what the chain has merged counts as had */
    uint32_t count;
    bool more;
    int rc = store_read_begin(s, e);
    if (rc == 0)
        rc = store_vv(s, &mine, e);
    if (rc == 0)
        rc = store_page(s, &have, &rows, &count, &more, e);
    store_read_end(s);
    if (rc < 0)
        return rc;
    vv_write(ret, &mine);
    buf_u8(ret, more);
    buf_u32(ret, count);
    str_add(ret, str_get(&rows), rows.n);
    return 0;
}

/* The request of a peer: what it has on disk. */
void pull_pulled(struct node *n, const struct event *ev)
{
    AUTOVV struct vv has = VV_INIT;
    struct reader r = reader_init(ev->bytes, ev->bytes_n);
    struct id cluster = read_id(&r), id = read_id(&r);
    int64_t actor = read_i64(&r);
    vv_read(&r, &has);
    struct peer *p = peer_find(n, &ev->node);
    if (r.bad || !p || !id_equal(&cluster, &n->cluster) || !id_equal(&id, &ev->node) || actor != p->actor)
        return;
    vv_copy(&p->vv, &has);
    cover_check(n);
}

/* ---- pulling ---- */

static void pull_send(struct node *n, struct peer *p)
{
    struct str body = STR_INIT;
    struct peer_call *c = mem_alloc(sizeof *c);
    if (!p->pull.chaining) {
        p->pull.chaining = true;
        p->pull.again = false;
        p->pull.rows = 0;
        vv_clear(&p->pull.cut);
        vv_clear(&p->pull.cursor);
        p->pull.chain = view_chain_begins(&n->view, &p->id);
    }
    buf_id(&body, &n->cluster);
    buf_id(&body, &n->self);
    buf_i64(&body, n->actor);
    vv_write(&body, &n->vv);
    vv_write(&body, &p->pull.cursor);
    *c = (struct peer_call){.id = ++n->next_call,
                            .node = p->id,
                            .url = mem_dup(p->url),
                            .lane = LANE_BULK,
                            .path = mem_dup("/v1/peer/pull"),
                            .body_n = body.n,
                            .timeout_ms = PULL_TIMEOUT_MS};
    c->body = str_take(&body);
    p->pull.call = c->id;
    n->counters.pulls++;
    eff_call(n, c);
}

/* The barrier waits for a chain that begins after the answer to our newest ask. */
static bool barrier_wants(const struct node *n, const struct peer *p)
{
    const struct view_node *v = view_find((struct view *)(uintptr_t)&n->view, &p->id);
    return v && !n->view.open && v->answered_ask == n->view.ask && v->pulled_ask != n->view.ask &&
           !p->pull.chaining;
}

static bool pull_due(const struct node *n, const struct peer *p)
{
    return p->pull.call == 0 && !id_is_zero(&p->id) && p->known && !p->down &&
           (n->now_ms >= p->pull.next_ms ||
            (p->pull.failures == 0 && (p->pull.again || barrier_wants(n, p))));
}

void pulls_tick(struct node *n)
{
    struct peer *p;
    TAILQ_FOREACH (p, &n->peers, link)
        if (pull_due(n, p))
            pull_send(n, p);
}

void pull_poked(struct node *n, struct peer *p)
{
    p->pull.again = true;
    (void)n;
}

void pull_poke_peers(struct node *n)
{
    struct peer *p;
    TAILQ_FOREACH (p, &n->peers, link)
        if (p->known && !p->down)
            p->mail.poke = true;
}

static void chain_broken(struct node *n, struct peer *p)
{
    int64_t wait = BACKOFF_MIN_MS << (p->pull.failures < 6 ? p->pull.failures : 6);
    p->pull.failures++;
    p->pull.chaining = false;
    wait = wait < BACKOFF_MAX_MS ? wait : BACKOFF_MAX_MS;
    p->pull.next_ms = n->now_ms + wait / 2 + (int64_t)prng_below(&n->prng, (uint64_t)wait / 2 + 1);
}

/* ---- a page ---- */

struct page {
    struct id peer;         /* which may be forgotten by the time the page is in: a row of it may say so */
    struct vv theirs, seen; /* the responder's vector; the highest row of each actor in this page */
    struct vv cut;          /* actors that are not proven, by this page or one before it */
    bool more;
    uint32_t rows;
};

static void page_free(void *arg)
{
    struct page *g = arg;
    vv_fini(&g->theirs);
    vv_fini(&g->seen);
    vv_fini(&g->cut);
    free(g);
}

static void chain_ended(struct node *n, struct peer *p, const struct page *g)
{
    for (size_t i = 0; i < g->theirs.n; i++)
        if (vv_get(&g->cut, g->theirs.e[i].actor) == 0)
            vv_raise(&n->vv, g->theirs.e[i].actor, g->theirs.e[i].hlc);
    p->pull.chaining = false;
    if (p->pull.cut.n == 0)
        view_chain_ended(&n->view, &p->id, p->pull.chain);
    /* what came must be acknowledged: the next request goes out at once, unless the same would come again */
    int64_t wait = p->pull.rows && p->pull.cut.n == 0 ? 0 : n->o.sync_ms - n->o.sync_ms / 10;
    p->pull.next_ms =
        n->now_ms + wait + (wait ? (int64_t)prng_below(&n->prng, (uint64_t)n->o.sync_ms / 5 + 1) : 0);
    ops_seen(n);
    peers_view(n);
}

/* A page that brings nothing new and promises more would be asked for without end. */
static bool goes_on(const struct peer *p, const struct page *g)
{
    for (size_t i = 0; i < g->seen.n; i++)
        if (g->seen.e[i].hlc > vv_get(&p->pull.cursor, g->seen.e[i].actor))
            return true;
    return !g->more;
}

static void page_taken(struct node *n, struct peer *p, const struct page *g)
{
    if (!goes_on(p, g)) {
        chain_broken(n, p);
        return;
    }
    p->pull.failures = 0;
    p->pull.rows += g->rows;
    vv_copy(&p->pull.cut, &g->cut);
    vv_merge(&p->pull.cursor, &g->seen);
    if (g->more)
        p->pull.next_ms = n->now_ms;
    else
        chain_ended(n, p, g);
}

static void page_done(struct node *n, void *arg)
{
    struct page *g = arg;
    struct peer *p = peer_find(n, &g->peer);
    n->counters.rows_merged += g->rows;
    if (p)
        page_taken(n, p, g);
    page_free(g);
    pulls_tick(n);
}

int row_merged(struct node *n, const struct remote_row *row)
{
    AUTOSTR struct str memory = STR_INIT;
    struct val key[TABLE_KEYS_MAX];
    if (row->t == T_N || !table_unkey(table_get(row->t), row->key, &memory, key))
        return 0;
    AUTOFREE char *a = key[0].type == VAL_TEXT ? mem_copy(key[0].p, key[0].n) : NULL;
    AUTOFREE char *b =
        key[1].type == VAL_TEXT && table_get(row->t)->keys_n > 1 ? mem_copy(key[1].p, key[1].n) : NULL;
    switch (row->t) {
    case T_NODE:
    case T_NODE_MARK:
        return node_row_merged(n, a);
    case T_TOKEN:
    case T_SWARM:
        node_settings_merged(n);
        return 0;
    case T_NAME:
        node_wake(n, a, b);
        return own_changed(n, a, b);
    case T_CHILD:
        node_wake(n, a, b);
        return own_changed(n, a, b); /* its owner may ask for a new claim */
    case T_METADATA:
    case T_CHECKPOINT:
        node_wake(n, a, b);
        return 0;
    case T_HANDOFF:
        return handoff_settle(n, a, b);
    case T_CHUNK:
        return handoff_chunk_merged(n, a, b, key[2].i, key[3].i);
    case T_SESSION:
        node_wake(n, "", a);
        return row->dead ? session_dropped(n, a) : 0;
    case T_TURN:
    case T_ENTRY:
    case T_SESSION_STATE:
        node_wake(n, "", a);
        return session_merged(n, a);
    case T_ACTOR:
    case T_IDEM:
    case T_TEMPLATE:
    case T_CONFLICT:
    case T_N:
        break;
    }
    return 0;
}

static bool too_far_ahead(const struct node *n, int64_t hlc)
{
    return hlc_ms(hlc) > n->real_ms + HLC_AHEAD_MS_MAX;
}

/* Nor is a vector believed that speaks of the future: our own stamps would follow it there, for ever. */
static void cut_vector(const struct node *n, struct page *g)
{
    for (size_t i = 0; i < g->theirs.n; i++)
        if (too_far_ahead(n, g->theirs.e[i].hlc))
            vv_raise(&g->cut, g->theirs.e[i].actor, 1);
}

/* All rows of a page into the store, then word of them to whom they concern. */
static int page_merge(struct node *n, struct reader *r, struct page *g)
{
    struct remote_row *taken = mem_array(g->rows, sizeof *taken);
    size_t count = 0;
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < g->rows; i++) {
        struct remote_row row;
        enum merged how;
        if ((rc = store_read_row(r, &row, &n->fault)) < 0)
            break;
        if (too_far_ahead(n, row.stamp.hlc) || too_far_ahead(n, row.stamp.rank)) /* ranks are stamps */
            vv_raise(&g->cut, row.stamp.actor, 1);
        vv_raise(&g->seen, row.stamp.actor, row.stamp.hlc); /* also of what is cut: the chain must go on */
        if (vv_get(&g->cut, row.stamp.actor))
            continue;
        rc = store_merge(n->store, &row, &how, &n->fault);
        if (rc == 0 && how != MERGED_KEPT)
            taken[count++] = row;
    }
    for (size_t i = 0; rc == 0 && i < g->seen.n; i++)
        rc = store_vv_saw(n->store, g->seen.e[i].actor, g->seen.e[i].hlc, &n->fault);
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = row_merged(n, &taken[i]);
    free(taken);
    return rc;
}

static int vector_write(struct node *n, const struct page *g)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < g->theirs.n; i++) {
        const struct vv_entry *v = &g->theirs.e[i];
        if (v->actor != n->actor && v->hlc > vv_get(&n->vv, v->actor) && vv_get(&g->cut, v->actor) == 0)
            rc = store_vv_raise(n->store, v->actor, v->hlc, &n->fault);
    }
    return rc;
}

static struct peer *pulled_from(struct node *n, uint64_t call)
{
    struct peer *p;
    TAILQ_FOREACH (p, &n->peers, link)
        if (p->pull.call == call)
            return p;
    return NULL;
}

static void page_refused(struct node *n, void *arg)
{
    AUTOFREE struct id *id = arg;
    struct peer *p = peer_find(n, id);
    if (!p)
        return;
    p->pull.call = 0;
    chain_broken(n, p);
}

static int refuse_page(struct node *n, const struct peer *p)
{
    eff_do(n, page_refused, mem_copy(&p->id, sizeof p->id), free);
    return 0;
}

/* Somebody has more of this very run than we wrote: this file, or one like it, lives a second life. */
static bool is_clone(struct node *n, const struct peer *p, const struct page *g)
{
    if (vv_get(&g->theirs, n->actor) <= vv_get(&n->vv, n->actor))
        return false;
    log_error(n->w.log,
              "%s knows writes of this run that are not here; was this folder copied or restored while it "
              "ran? Ending, to begin a new run",
              p->name);
    n->exit_status = 75;
    return true;
}

static int page_take(struct node *n, struct peer *p, const struct event *ev)
{
    struct page *g = mem_alloc(sizeof *g);
    struct reader r = reader_init(ev->bytes, ev->bytes_n);
    g->peer = p->id;
    vv_copy(&g->cut, &p->pull.cut);
    vv_read(&r, &g->theirs);
    cut_vector(n, g);
    g->more = read_bool(&r);
    g->rows = read_u32(&r);
    int rc = r.bad || g->rows > 2 * STORE_PAGE_ROWS ? err_set(&n->fault, SKEP_EARG, "a page is malformed")
                                                    : page_merge(n, &r, g);
    if (rc == 0 && !g->more)
        rc = vector_write(n, g);
    if (rc == SKEP_EARG || rc == SKEP_EJSON || (rc == 0 && is_clone(n, p, g))) {
        log_warn(n->w.log, "%s sent a page that cannot be used: %s", p->name, n->fault.text);
        page_free(g);
        return refuse_page(n, p);
    }
    if (rc < 0) {
        page_free(g);
        return rc;
    }
    if (g->cut.n && n->now_ms - p->skew_said_ms > 60000) {
        p->skew_said_ms = n->now_ms;
        rc = node_log(n, "clock_skew", NULL, NULL, p->name, 0, NULL, NULL);
        log_warn(n->w.log,
                 "%s passes on rows from more than %d ms in the future; they wait until our clock is there",
                 p->name, HLC_AHEAD_MS_MAX);
    }
    node_touch(n, &p->pull.call, sizeof p->pull.call);
    p->pull.call = 0;
    eff_do(n, page_done, g, page_free);
    return rc;
}

int pull_answered(struct node *n, const struct event *ev)
{
    struct peer *p = pulled_from(n, ev->call);
    if (!p || ev->call == 0)
        return 0;
    if (ev->kind == EV_PEER_ANSWERED && ev->status == 200) {
        int rc = page_take(n, p, ev);
        return rc < 0 ? rc : 1;
    }
    refuse_page(n, p);
    return 1;
}
