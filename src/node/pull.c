/* pull: the asking side. Decides when to pull from whom, merges what comes by the one rule (store_merge), and
 * moves the vector. Knows nothing of what rows mean; whose row changed is told to the files that do.
 */
#include <string.h>

#include "base/hlc.h"
#include "core/fanout.h"
#include "node/child.h"
#include "node/hook.h"
#include "node/swarm.h"

#define PULL_TIMEOUT_MS 5000 /* a node that lost its power and is back waits for this, at the longest */
#define BACKOFF_MIN_MS  500
#define BACKOFF_MAX_MS  30000
#define ACTORS_MAX      ((size_t)1 << 18) /* of what a peer has; more are folded long before */
#define HOLES           0                 /* among the actors that are cut: rows of nobody knows whom */
#define WHOLE_EVERY     64                /* requests: one that says all, whatever was lost on the way */

/* The request of a peer: what it has on disk. */
void pull_pulled(struct node *n, const struct event *ev)
{
    AUTOVV struct vv has = VV_INIT;
    struct reader r = reader_init(ev->bytes, ev->bytes_n);
    bool proto = read_u8(&r) == PULL_PROTO;
    struct id cluster = read_id(&r), id = read_id(&r);
    int64_t actor = read_i64(&r);
    read_varint(&r);
    uint64_t base = read_varint(&r);
    vector_read(&r, &has);
    struct peer *p = peer_find(n, &ev->node);
    n->counters.impostors += !r.bad && proto && !id_equal(&id, &ev->node);
    if (r.bad || !proto || !p || !id_equal(&cluster, &n->cluster) || !id_equal(&id, &ev->node) ||
        actor != p->actor)
        return;
    has.floor = base ? 0 : has.floor; /* what a change does not name has not changed */
    if (base == 0)
        vv_copy(&p->vv, &has);
    else if (has.n && p->vv.n + has.n <= ACTORS_MAX) /* also out of order, through two ways, it only grows */
        vv_merge(&p->vv, &has);
    cover_check(n);
}

/* ---- asking ---- */

void pull_fini(struct pull *p)
{
    vv_fini(&p->cursor);
    vv_fini(&p->cut);
    vv_fini(&p->sent);
    vv_fini(&p->sent_gc);
    vv_fini(&p->going);
    vv_fini(&p->going_gc);
}

void pull_restart(struct node *n, struct peer *p)
{
    p->pull.failures = 0;
    p->pull.base = 0;
    p->pull.next_ms = n->now_ms;
}

void pulls_forget(struct node *n)
{
    struct peer *p;
    TAILQ_FOREACH (p, &n->peers, link) {
        p->pull.call = 0; /* its answer is late, and so ignored */
        p->pull.base = 0;
        p->pull.chaining = false;
        p->pull.rows = 0;
        vv_clear(&p->pull.cut);
    }
}

static void chain_begin(struct node *n, struct peer *p)
{
    p->pull.chaining = true;
    p->pull.again = false;
    p->pull.rows = 0;
    p->pull.reach = 0;
    vv_clear(&p->pull.cut);
    vv_clear(&p->pull.cursor);
    p->pull.chain = view_chain_begins(&n->view, &p->id);
}

static void write_request(struct node *n, struct peer *p, struct str *body)
{
    struct pull *l = &p->pull;
    if (++l->number % WHOLE_EVERY == 0)
        l->base = 0;
    buf_u8(body, PULL_PROTO);
    buf_id(body, &n->cluster);
    buf_id(body, &n->self);
    buf_i64(body, n->actor);
    buf_varint(body, l->number);
    buf_varint(body, l->base);
    vector_write_since(body, &n->vv, l->base ? &l->sent : NULL);
    vector_write_since(body, &n->gcvv, l->base ? &l->sent_gc : NULL);
    vector_write(body, &l->cursor);
    vv_copy(&l->going, &n->vv);
    vv_copy(&l->going_gc, &n->gcvv);
    l->gc_version = n->gc_version;
}

static void pull_send(struct node *n, struct peer *p)
{
    struct str body = STR_INIT;
    struct peer_call *c = mem_alloc(sizeof *c);
    if (!p->pull.chaining)
        chain_begin(n, p);
    write_request(n, p, &body);
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
    relay_call(n, p, c);
}

/* The barrier waits for a chain that begins after the answer to our newest ask. */
static bool barrier_wants(const struct node *n, const struct peer *p)
{
    const struct view_node *v = view_find((struct view *)(uintptr_t)&n->view, &p->id);
    return v && !n->view.open && v->answered_ask == n->view.ask && v->pulled_ask != n->view.ask &&
           !p->pull.chaining;
}

size_t peers_reached(const struct node *n)
{
    const struct peer *p;
    size_t count = 1;
    TAILQ_FOREACH (p, &n->peers, link)
        count += p->known && !p->down && !p->left;
    return count;
}

static int64_t next_tick_ms(struct node *n)
{
    int64_t pause_ms = n->gossip.pause_ms;
    return n->now_ms + pause_ms - pause_ms / 10 + (int64_t)prng_below(&n->prng, (uint64_t)pause_ms / 5 + 1);
}

static void ask_now(struct node *n, struct peer *p)
{
    p->pull.next_ms = n->now_ms;
}

static bool pull_due(const struct node *n, const struct peer *p, bool mesh)
{
    return p->pull.call == 0 && !id_is_zero(&p->id) && p->known && !p->down &&
           (n->now_ms >= p->pull.next_ms || (mesh && p->pull.next_ms == PULL_WHEN_DRAWN) ||
            (p->pull.failures == 0 && (p->pull.again || barrier_wants(n, p))));
}

/* A node that comes up and missed much asks one member for it, and then the others for what that one had not:
 * each of them would send it all. NULL: everybody may be asked. */
static const struct peer *catching_up_from(const struct node *n)
{
    const struct peer *p, *far = NULL;
    TAILQ_FOREACH (p, &n->peers, link) {
        if (n->ready || !p->member || p->down || !p->pull.chaining || p->pull.rows == 0)
            continue;
        if (p->pull.call)
            return p;
        if (!far || p->pull.rows > far->pull.rows)
            far = p;
    }
    return far;
}

void pulls_tick(struct node *n)
{
    const struct peer *only = catching_up_from(n);
    struct peer *p;
    bool mesh = fanout_is_mesh(peers_reached(n));
    if (n->resync.wanted)
        return;
    if (!mesh && n->now_ms >= n->draw_ms) {
        peers_draw(n, FANOUT_PEERS, NULL, ask_now);
        n->draw_ms = next_tick_ms(n);
    }
    TAILQ_FOREACH (p, &n->peers, link)
        if ((!only || p == only) && pull_due(n, p, mesh))
            pull_send(n, p);
}

bool pulls_in_the_middle(const struct node *n, bool *ret_cut)
{
    const struct peer *p;
    bool middle = false;
    TAILQ_FOREACH (p, &n->peers, link) {
        middle |= p->pull.chaining && p->pull.rows > 0;
        *ret_cut |= p->pull.cut.n > 0;
    }
    return middle;
}

void pull_poked(struct node *n, struct peer *p)
{
    p->pull.again = true;
    (void)n;
}

/* The next tick that is nobody's fault. */
static void chain_later(struct node *n, struct peer *p)
{
    p->pull.chaining = false;
    p->pull.next_ms = fanout_is_mesh(peers_reached(n)) ? next_tick_ms(n) : PULL_WHEN_DRAWN;
}

static void chain_broken(struct node *n, struct peer *p)
{
    int64_t wait = BACKOFF_MIN_MS << (p->pull.failures < 6 ? p->pull.failures : 6);
    p->pull.failures++;
    p->pull.chaining = false;
    p->pull.base = 0;
    wait = wait < BACKOFF_MAX_MS ? wait : BACKOFF_MAX_MS;
    p->pull.next_ms = n->now_ms + wait / 2 + (int64_t)prng_below(&n->prng, (uint64_t)wait / 2 + 1);
}

/* ---- a page ---- */

struct page {
    struct id peer;         /* which may be forgotten by the time the page is in: a row of it may say so */
    struct vv theirs, seen; /* of the responder's vector, what is above ours; the highest row of each actor */
    struct vv cut;          /* actors whose rows were left out, by this page or one before it */
    bool more, holes;
    uint32_t rows;
    size_t reach; /* to how many others word of it is passed on */
};

static void page_free(void *arg)
{
    struct page *g = arg;
    vv_fini(&g->theirs);
    vv_fini(&g->seen);
    vv_fini(&g->cut);
    free(g);
}

static bool is_cut(const struct page *g, int64_t actor)
{
    return vv_get(&g->cut, actor) != 0;
}

/* All that this peer can send. Who waits for a row that is damaged there waits for ever if nobody else has
 * it, and gets it from somebody else if anybody has: the barrier wants a chain of each. */
static bool got_all_there_is(const struct peer *p)
{
    return p->pull.cut.n == 0 || (p->pull.cut.n == 1 && p->pull.cut.e[0].actor == HOLES);
}

/* Rows of a node that died between two of its pages are proven by nobody until it is back: they come with
 * every chain, and are no news. */
static bool is_proof(const struct page *g)
{
    return g->theirs.n > 0;
}

static void chain_ended(struct node *n, struct peer *p, const struct page *g)
{
    chain_later(n, p);
    if (got_all_there_is(p))
        view_chain_ended(&n->view, &p->id, p->pull.chain);
    if (p->pull.cut.n == 0) {
        vv_merge(&n->vv, &g->theirs);
        if (p->pull.rows && is_proof(g)) /* that must be acknowledged: the next request goes out at once */
            p->pull.next_ms = n->now_ms;
        poke_others(n, p->pull.reach, p);
    }
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

/* The responder knows our vectors as this request told them. */
static void base_moves(struct peer *p)
{
    p->pull.base = p->pull.number;
    vv_copy(&p->pull.sent, &p->pull.going);
    vv_copy(&p->pull.sent_gc, &p->pull.going_gc);
}

static void page_taken(struct node *n, struct peer *p, const struct page *g)
{
    p->pull.call = 0; /* not before: another page of this batch may look for somebody to ask */
    if (!goes_on(p, g)) {
        chain_broken(n, p);
        return;
    }
    p->pull.failures = 0;
    p->pull.rows += g->rows;
    p->pull.reach = g->reach > p->pull.reach ? g->reach : p->pull.reach;
    base_moves(p);
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

/* A run of this node that is not the present one: its rows should be here, for this node wrote them. */
static int own_run_merged(struct node *n, int64_t actor)
{
    struct actor_row row = {.actor = actor};
    int rc = store_load(n->store, T_ACTOR, &row, &n->fault);
    bool own = rc == 1 && actor != n->actor && row.node && strcmp(row.node, n->self_text) == 0;
    bool earlier = own && row.born_at < n->born;
    if (own && row.born_at > n->born)
        probe_met(n, actor, row.born_at, "another address");
    row_fini(T_ACTOR, &row);
    return rc < 0    ? rc
           : earlier ? resync_want(n, NULL, "this folder is older than what it has told others")
                     : 0;
}

static int session_changed_hands(struct node *n, const char *session)
{
    int rc = session_claim_merged(n, session);
    return rc < 0 ? rc : own_changed(n, "", session);
}

/* Whom a merged row concerns. Asked once the whole page is in, so that every row of it is seen. */
int row_merged(struct node *n, const struct remote_row *row)
{
    AUTOSTR struct str memory = STR_INIT;
    struct val key[TABLE_KEYS_MAX];
    if (row->t == T_N || !table_unkey(table_get(row->t), row->key, &memory, key))
        return 0;
    AUTOFREE char *a = key[0].type == VAL_TEXT ? mem_copy(key[0].p, key[0].n) : NULL;
    AUTOFREE char *b =
        table_get(row->t)->keys_n > 1 && key[1].type == VAL_TEXT ? mem_copy(key[1].p, key[1].n) : NULL;
    switch (row->t) {
    case T_NODE:
    case T_NODE_MARK:
        return node_row_merged(n, a);
    case T_TOKEN:
        node_settings_merged(n);
        return 0;
    case T_SWARM:
        node_settings_merged(n);
        swarm_changed(n);
        return row->dead ? swarm_ended(n, a) : swarm_keep(n);
    case T_SERVE:
        swarm_changed(n);
        return strcmp(b, n->self_text) == 0 ? swarm_serve_merged(n, a, row) : 0;
    case T_NAME:
        node_wake(n, a, b);
        return *a ? own_changed(n, a, b) : session_changed_hands(n, b);
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
        return row->dead ? session_changed(n, a) : session_left(n, a);
    case T_TURN:
    case T_ENTRY:
    case T_SESSION_STATE:
        node_wake(n, "", a);
        return session_row_merged(n, row->t, a, b ? b : "");
    case T_ACTOR:
        return row->dead ? 0 : own_run_merged(n, key[0].i);
    case T_OPERATION:
        node_wake(n, BATCH_KEY, a);
        batch_later(n, a);
        return 0;
    case T_OPERATION_PART:
        batch_later(n, a);
        return 0;
    case T_HOOK:
        hooks_changed(n);
        return 0;
    case T_IDEM:
    case T_TEMPLATE:
    case T_CONFLICT:
    case T_SCORE:
    case T_PROCESS_GROUP:
    case T_MEMBER:
    case T_NEWS:
    case T_N:
        break;
    }
    return 0;
}

bool pull_too_far_ahead(const struct node *n, int64_t hlc)
{
    return hlc_ms(hlc) > n->real_ms + HLC_AHEAD_MS_MAX;
}

/* Nor is a vector believed that speaks of the future: our own stamps would follow it there, for ever. */
static void cut_vector(const struct node *n, struct page *g)
{
    AUTOVV struct vv cut = VV_INIT;
    for (size_t i = 0; i < g->theirs.n; i++)
        if (pull_too_far_ahead(n, g->theirs.e[i].hlc))
            vv_raise(&cut, g->theirs.e[i].actor, 1);
    vv_merge(&g->cut, &cut);
}

/* One stamp for two rows: somebody lies, and the others must go on. It may come again with each chain. */
static int lie_kept(struct node *n, const struct remote_row *row)
{
    struct err why = n->fault;
    int rc = store_quarantined(n->store, row, &n->fault);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    log_error(n->w.log, "%s", why.text);
    rc = store_quarantine(n->store, row, why.text, &n->fault);
    return rc < 0 ? rc : node_log(n, "row_quarantined", NULL, NULL, NULL, 0, NULL, NULL);
}

/* What a row of a page has become. */
static int row_merge(struct node *n, struct page *g, const struct remote_row *row, enum merged *ret)
{
    *ret = MERGED_KEPT;
    if (pull_too_far_ahead(n, row->stamp.hlc) ||
        pull_too_far_ahead(n, row->stamp.rank)) /* ranks are stamps */
        vv_raise(&g->cut, row->stamp.actor, 1);
    vv_raise(&g->seen, row->stamp.actor, row->stamp.hlc); /* also of what is cut: the chain must go on */
    if (is_cut(g, row->stamp.actor))
        return 0;
    crasher_note(n, row);
    int rc = store_merge_as(n->store, row, crasher_why(n, row), ret, &n->fault);
    if (rc == SKEP_EARG)
        return lie_kept(n, row);
    if (rc == 0 && *ret == MERGED_ASIDE)
        rc = node_log(n, "row_set_aside", NULL, NULL, NULL, 0, NULL, NULL);
    return rc;
}

/* All rows of a page into the store, then word of them to whom they concern. */
static int page_merge(struct node *n, struct reader *r, struct page *g)
{
    struct remote_row *taken = mem_array(g->rows, sizeof *taken);
    size_t count = 0;
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < g->rows; i++) {
        struct remote_row row;
        enum merged how = MERGED_KEPT;
        rc = store_read_row(r, &row, &n->fault);
        if (rc == 0)
            rc = row_merge(n, g, &row, &how);
        bool news = rc == 0 && (how != MERGED_KEPT || is_proof(g));
        size_t reach = news ? poke_merged(n, row.t, row.key) : 0;
        g->reach = reach > g->reach ? reach : g->reach;
        if (how != MERGED_KEPT)
            taken[count++] = row;
    }
    for (size_t i = 0; rc == 0 && i < g->seen.n; i++)
        if (!is_cut(g, g->seen.e[i].actor))
            rc = store_vv_saw(n->store, g->seen.e[i].actor, g->seen.e[i].hlc, &n->fault);
    if (rc == 0)
        rc = told_merged(n, taken, count);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        crasher_note(n, &taken[i]);
        rc = row_merged(n, &taken[i]);
    }
    crasher_clear(n);
    free(taken);
    return rc;
}

/* An ended run of this node has written more than is here: this file is older than the node. */
static int check_own_past(struct node *n, int64_t actor)
{
    struct peer *p;
    TAILQ_FOREACH (p, &n->peers, link)
        if (p->actor == actor)
            return 0;
    return own_run_merged(n, actor);
}

static int vector_raise(struct node *n, const struct page *g)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && g->cut.n == 0 && i < g->theirs.n; i++) {
        const struct vv_entry *v = &g->theirs.e[i];
        if (v->actor == n->actor || v->hlc <= vv_get(&n->vv, v->actor))
            continue;
        rc = store_vv_raise(n->store, v->actor, v->hlc, &n->fault);
        if (rc == 0)
            rc = check_own_past(n, v->actor);
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

/* What an answer without rows means for the chain, once that is certain. */
enum next { CHAIN_BROKEN, CHAIN_LATER, CHAIN_AGAIN };

struct meaning {
    struct id peer;
    enum next next;
};

static void answer_taken(struct node *n, void *arg)
{
    AUTOFREE struct meaning *m = arg;
    struct peer *p = peer_find(n, &m->peer);
    if (!p)
        return;
    p->pull.call = 0;
    p->pull.base = 0;
    switch (m->next) {
    case CHAIN_BROKEN:
        chain_broken(n, p);
        break;
    case CHAIN_LATER:
        chain_later(n, p);
        break;
    case CHAIN_AGAIN: /* the same page: what the chain has brought was judged as it came */
        p->pull.next_ms = n->now_ms;
        pulls_tick(n);
        break;
    }
}

static int answer_means(struct node *n, const struct peer *p, enum next next)
{
    struct meaning *m = mem_alloc(sizeof *m);
    *m = (struct meaning){p->id, next};
    eff_do(n, answer_taken, m, free);
    return 0;
}

/* Somebody has more of this very run than we wrote: this file, or one like it, lives a second life; or that
 * peer lies. */
static bool knows_more_of_us(const struct node *n, const struct page *g)
{
    return vv_get(&g->theirs, n->actor) > vv_get(&n->vv, n->actor);
}

static int page_said(struct node *n, struct peer *p, struct page *g)
{
    int rc = 0;
    if (g->holes && n->now_ms - p->skew_said_ms > 60000) {
        p->skew_said_ms = n->now_ms;
        log_warn(n->w.log,
                 "%s has damaged rows that it cannot send; until they are healed what it sends proves "
                 "nothing",
                 p->name);
    } else if (g->cut.n && !is_cut(g, HOLES) && n->now_ms - p->skew_said_ms > 60000) {
        p->skew_said_ms = n->now_ms;
        rc = node_log(n, "clock_skew", NULL, NULL, p->name, 0, NULL, NULL);
        log_warn(n->w.log,
                 "%s passes on rows from more than %d ms in the future; they wait until our clock is there",
                 p->name, HLC_AHEAD_MS_MAX);
    }
    eff_do(n, page_done, g, page_free);
    return rc;
}

static int page_take(struct node *n, struct peer *p, struct reader *r)
{
    struct page *g = mem_alloc(sizeof *g);
    g->peer = p->id;
    vv_copy(&g->cut, &p->pull.cut);
    vector_read(r, &g->theirs);
    g->theirs.floor = 0; /* the responder's own business: what it folded, it had */
    cut_vector(n, g);
    uint8_t more = read_u8(r);
    g->more = more & PULL_MORE;
    g->holes = more & PULL_HOLES;
    if (g->holes)
        vv_raise(&g->cut, HOLES, 1);
    g->rows = read_u32(r);
    bool bad = r->bad || more > (PULL_MORE | PULL_HOLES) || g->rows > 2 * STORE_PAGE_ROWS;
    bool more_of_us = !bad && knows_more_of_us(n, g);
    int rc = bad          ? err_set(&n->fault, SKEP_EARG, "a page is malformed")
             : more_of_us ? probe_claimed(n, p)
                          : page_merge(n, r, g);
    if (rc == 0 && !more_of_us && !g->more)
        rc = vector_raise(n, g);
    if (rc == 0 && !more_of_us)
        return page_said(n, p, g);
    page_free(g);
    return rc < 0 ? rc : answer_means(n, p, CHAIN_BROKEN);
}

/* gcvv is compared by both sides: what was dropped here since we asked, the responder did not know. */
static int verdict_take(struct node *n, struct peer *p, struct reader *r)
{
    uint8_t verdict = read_u8(r);
    switch (verdict) {
    case PULL_PAGE:
        return p->pull.gc_version == n->gc_version ? page_take(n, p, r) : answer_means(n, p, CHAIN_AGAIN);
    case PULL_RESYNC:
        answer_means(n, p, CHAIN_LATER);
        return resync_want(n, &p->id, "it was away while others dropped what was deleted");
    case PULL_BASE:
        return answer_means(n, p, p->pull.base ? CHAIN_AGAIN : CHAIN_BROKEN);
    case PULL_STALE:
    case PULL_BUSY:
        return answer_means(n, p, CHAIN_LATER);
    default:
        return answer_means(n, p, CHAIN_BROKEN);
    }
}

struct answer_in {
    struct peer *p;
    struct reader r;
    bool taken;
};

static int answer_take(struct node *n, void *arg)
{
    struct answer_in *a = arg;
    int rc = verdict_take(n, a->p, &a->r);
    a->taken = rc == 0;
    return rc;
}

/* What cannot be used leaves nothing behind but another try. */
int pull_answered(struct node *n, const struct event *ev)
{
    struct answer_in a = {.p = ev->call ? pulled_from(n, ev->call) : NULL,
                          .r = reader_init(ev->bytes, ev->bytes_n)};
    if (!a.p)
        return 0;
    int rc = 0;
    if (ev->kind == EV_PEER_ANSWERED && ev->status == 200)
        rc = node_try(n, answer_take, &a, "an answer to a pull");
    if (rc == 0 && !a.taken)
        answer_means(n, a.p, CHAIN_BROKEN);
    return rc < 0 ? rc : 1;
}
