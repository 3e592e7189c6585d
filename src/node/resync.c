/* resync: how a node that missed deletions comes to be equal again, without reviving or losing anything.
 *
 * It walks over all rows of one peer, by table and key, and over its own beside them:
 *   both have it     the one merge rule; what is in doubt there is in doubt here, too
 *   only the peer    taken; but not what our vector has seen (it was deleted here)
 *   only we          away, if the peer's vector has seen it (it was deleted there); else kept: it was written
 *                    in isolation
 * What only one has is in doubt if it may be older than a deletion that the other one has dropped and its own
 * side never saw. It stays where it is and goes where it would go, under its stamp, but lies aside, is passed
 * on as such, and is applied nowhere until somebody decides.
 *
 * Each page is one transaction and the way so far is on disk, so that it goes on after a crash. The vectors
 * become those of the peer's first page when the last one is in. A row from the future is left out, as in a
 * pull; such a walk brings rows and proves nothing, so that another one follows, of another peer if there is
 * one.
 *
 * Invariants
 *  1. From the moment it is wanted until it is done no pull is served here, and the node is of nobody's view.
 *  2. One at a time, in and out; of two that want it from each other the lesser id serves first. Where all
 *     want it the lesser ids serve, and nobody waits for one that does not.
 *  3. It is not served inside a chain of pulls, and while rows are here that our vector will not prove for a
 *     while (an actor is cut) only after CUT_WAIT_MS: they do no harm there, being merged like any others and
 *     covered by no vector; but whom we wait for may set right what we would pass on.
 */
#include "node/resync_inside.h"

#include <string.h>

#include "base/hlc.h"
#include "node/child.h"

#define RESYNC_PATH     "/v1/peer/resync"
#define TIMEOUT_MS      10000
#define RETRY_MIN_MS    200
#define STATE_KEY       "resync_at"
#define VECTORS_KEY     "resync_vectors"
#define FAILURES_MAX    6
#define OURS_MAX        2000  /* rows of ours in one transaction */
#define MEMBERS_WAIT_MS 30000 /* for a member, before somebody else has to do */
#define STUCK_MS        30000 /* without a page: nobody can be copied from, and what is here has to do */

/* ---- what is on disk of it ---- */

static int hex_save(struct node *n, const char *key, const struct str *bytes)
{
    AUTOSTR struct str hex = STR_INIT;
    str_hex(&hex, str_get(bytes), bytes->n);
    return store_meta_set(n->store, key, str_get(&hex), &n->fault);
}

/* How far it has come; and the vectors, which are large, when they are not those on disk already. */
static int state_save(struct node *n, const struct resync *s)
{
    AUTOSTR struct str place = STR_INIT;
    AUTOSTR struct str vectors = STR_INIT;
    buf_id(&place, &s->from);
    buf_text(&place, s->tbl);
    buf_text(&place, s->key);
    buf_i64(&place, s->gc_floor);
    buf_u8(&place, s->cut);
    int rc = hex_save(n, STATE_KEY, &place);
    if (rc < 0 ||
        (n->resync.active && vv_equal(&s->vv, &n->resync.vv) && vv_equal(&s->gcvv, &n->resync.gcvv)))
        return rc;
    vector_write(&vectors, &s->vv);
    vector_write(&vectors, &s->gcvv);
    return hex_save(n, VECTORS_KEY, &vectors);
}

static bool state_read(struct resync *s, const char *place, const char *vectors)
{
    AUTOSTR struct str bytes = STR_INIT;
    AUTOSTR struct str more = STR_INIT;
    if (!str_unhex(&bytes, place) || !str_unhex(&more, vectors))
        return false;
    struct reader r = reader_init(str_get(&bytes), bytes.n), v = reader_init(str_get(&more), more.n);
    s->from = read_id(&r);
    s->tbl = read_text(&r);
    s->key = read_text(&r);
    s->gc_floor = read_i64(&r);
    s->cut = read_bool(&r);
    vector_read(&v, &s->vv);
    vector_read(&v, &s->gcvv);
    return reader_done(&r) && reader_done(&v) && s->tbl && s->key;
}

void resync_fini(struct resync *s)
{
    free(s->tbl);
    free(s->key);
    vv_fini(&s->vv);
    vv_fini(&s->gcvv);
    *s = (struct resync){0};
}

int resync_load(struct node *n)
{
    AUTOFREE char *why = store_meta(n->store, "resync"), *at = store_meta(n->store, STATE_KEY),
                  *vectors = store_meta(n->store, VECTORS_KEY);
    bool wanted = why && *why;
    if (wanted && at && *at && vectors && *vectors)
        n->resync.active = state_read(&n->resync, at, vectors);
    if (!n->resync.active) /* from the beginning, whatever was read of it */
        resync_fini(&n->resync);
    n->resync.wanted = wanted;
    n->resync.began_ms = n->resync.moved_ms = n->now_ms;
    return 0;
}

static void view_changes(struct node *n, void *arg UNUSED)
{
    n->frozen_dirty = true;
    peers_view(n);
}

static void wanted(struct node *n, void *arg)
{
    pulls_forget(n);
    view_changes(n, arg);
}

int resync_want(struct node *n, const struct id *told, const char *why)
{
    if (n->resync.wanted)
        return 0;
    log_warn(n->w.log, "this node begins to copy what others have: %s", why);
    node_touch(n, &n->resync.wanted, sizeof n->resync.wanted);
    n->resync.wanted = true;
    node_touch(n, &n->resync.began_ms, sizeof n->resync.began_ms);
    n->resync.began_ms = n->now_ms;
    node_touch(n, &n->resync.moved_ms, sizeof n->resync.moved_ms);
    n->resync.moved_ms = n->now_ms;
    node_touch(n, &n->resync.told, sizeof n->resync.told);
    n->resync.told = told ? *told : (struct id){{0}};
    node_touch(n, &n->resync.avoid, sizeof n->resync.avoid);
    n->resync.avoid = (struct id){{0}};
    eff_do(n, wanted, NULL, NULL);
    int rc = store_meta_set(n->store, "resync", why, &n->fault);
    AUTOSTR struct str data = STR_INIT;
    struct jw j = jw_init(&data);
    jw_object(&j);
    jw_kv_string(&j, "why", why);
    jw_object_close(&j);
    jw_end(&j);
    return rc < 0 ? rc : node_log(n, "resync_started", NULL, NULL, n->name, 0, NULL, str_get(&data));
}

bool resync_goes_on(const struct node *n)
{
    return n->resync.wanted && n->now_ms - n->resync.moved_ms <= STUCK_MS;
}

/* ---- asking ---- */

static bool usable(const struct peer *p)
{
    return !id_is_zero(&p->id) && p->known && !p->down && !p->left && p->liveness == LIVENESS_HEALTHY;
}

enum fitness { UNFIT, MAYBE_EMPTY, COPIES_TOO, FIT };

/* A member. One that calls itself none wants a RESYNC, too: all may at once, and then they copy from each
 * other, each from those with a lesser id, so that no circle of them waits. Who never was one may have
 * nothing, and is the last choice. */
static enum fitness fitness_of(const struct node *n, const struct peer *p)
{
    if (!usable(p))
        return UNFIT;
    return p->member ? FIT : p->joined && id_compare(&p->id, &n->self) < 0 ? COPIES_TOO : MAYBE_EMPTY;
}

/* Who said that one is needed has what is missing here, which others may lack, too; else one of the fittest.
 * Not whom the last try failed with while there is another one. */
static struct peer *choose(struct node *n)
{
    struct peer *p, *best = NULL, *avoid = NULL, *told = peer_find(n, &n->resync.told);
    uint64_t count = 0;
    enum fitness want = n->now_ms - n->resync.began_ms > MEMBERS_WAIT_MS ? MAYBE_EMPTY : COPIES_TOO;
    if (told && usable(told) && !id_equal(&told->id, &n->resync.avoid))
        return told;
    TAILQ_FOREACH (p, &n->peers, link)
        want = fitness_of(n, p) > want ? fitness_of(n, p) : want;
    TAILQ_FOREACH (p, &n->peers, link) {
        if (fitness_of(n, p) < want)
            continue;
        if (id_equal(&p->id, &n->resync.avoid))
            avoid = p;
        else if (prng_below(&n->prng, ++count) == 0)
            best = p;
    }
    return best ? best : avoid;
}

static void ask(struct node *n, struct peer *p)
{
    struct str body = STR_INIT;
    struct peer_call *c = mem_alloc(sizeof *c);
    buf_u8(&body, PULL_PROTO);
    buf_id(&body, &n->cluster);
    buf_id(&body, &n->self);
    buf_i64(&body, n->actor);
    buf_text(&body, n->resync.tbl);
    buf_text(&body, n->resync.key);
    *c = (struct peer_call){.id = ++n->next_call,
                            .node = p->id,
                            .url = mem_dup(p->url),
                            .lane = LANE_BULK,
                            .path = mem_dup(RESYNC_PATH),
                            .body_n = body.n,
                            .timeout_ms = TIMEOUT_MS};
    c->body = str_take(&body);
    n->resync.call = c->id;
    relay_call(n, p, c);
}

void resync_start_over(struct node *n)
{
    struct resync *s = &n->resync;
    struct resync fresh = {.wanted = s->wanted,
                           .began_ms = s->began_ms,
                           .next_ms = s->next_ms,
                           .moved_ms = s->moved_ms,
                           .told = s->told,
                           .avoid = s->avoid,
                           .out = s->out,
                           .out_until_ms = s->out_until_ms,
                           .refused_since_ms = s->refused_since_ms,
                           .refused_at_ms = s->refused_at_ms};
    resync_fini(s);
    *s = fresh;
}

static void tried(struct node *n, void *arg UNUSED)
{
    struct resync *s = &n->resync;
    int64_t wait = RETRY_MIN_MS << (s->failures < 5 ? s->failures : 5);
    s->call = 0;
    s->avoid = s->from;
    s->failures++;
    wait = wait < RESYNC_RETRY_MAX_MS ? wait : RESYNC_RETRY_MAX_MS;
    s->next_ms = n->now_ms + wait / 2 + (int64_t)prng_below(&n->prng, (uint64_t)wait / 2 + 1);
    if (s->failures > FAILURES_MAX)
        resync_start_over(n);
}

void resync_tick(struct node *n)
{
    struct resync *s = &n->resync;
    if (!s->wanted || s->call || n->now_ms < s->next_ms || n->leaving)
        return;
    struct peer *p = s->active ? peer_find(n, &s->from) : choose(n);
    if (p && usable(p)) {
        s->from = p->id;
        ask(n, p);
    } else if (s->active) {
        tried(n, NULL);
    }
}

/* ---- the end ---- */

/* The vectors of the peer's first page become ours. */
static int vectors_write(struct node *n, const struct walk *w)
{
    AUTOVV struct vv all = VV_INIT;
    vv_copy(&all, &n->vv);
    vv_merge(&all, &w->at->vv);
    int rc = store_vv_raise(n->store, 0, all.floor, &n->fault);
    for (size_t i = 0; rc == 0 && i < all.n; i++)
        if (all.e[i].hlc > 0)
            rc = store_vv_raise(n->store, all.e[i].actor, all.e[i].hlc, &n->fault);
    for (size_t i = 0; rc == 0 && i < w->at->gcvv.n; i++)
        rc = store_gc_raise(n->store, w->at->gcvv.e[i].actor, w->at->gcvv.e[i].hlc, &n->fault);
    return rc < 0 ? rc : store_gc_raise(n->store, 0, w->at->gc_floor, &n->fault);
}

static int over_write(struct node *n)
{
    int rc = store_meta_set(n->store, "resync", "", &n->fault);
    if (rc == 0)
        rc = store_meta_set(n->store, VECTORS_KEY, "", &n->fault);
    return rc < 0 ? rc : store_meta_set(n->store, STATE_KEY, "", &n->fault);
}

/* The walk is through and proves nothing: the next one begins anew. */
static int cut_write(struct node *n)
{
    return store_meta_set(n->store, STATE_KEY, "", &n->fault);
}

static int end_write(struct node *n, const struct walk *w)
{
    AUTOSTR struct str data = STR_INIT;
    struct jw j = jw_init(&data);
    int rc = vectors_write(n, w);
    if (rc == 0)
        rc = over_write(n);
    jw_object(&j);
    jw_kv_string(&j, "from", node_name_of(n, id_text(&w->next.from, (char[ID_TEXT]){0})));
    jw_kv_i64(&j, "taken", w->next.taken);
    jw_kv_i64(&j, "dropped", w->next.dropped);
    jw_kv_i64(&j, "kept", w->next.kept);
    jw_kv_i64(&j, "aside", w->next.aside);
    jw_object_close(&j);
    jw_end(&j);
    return rc < 0 ? rc : node_log(n, "resync_done", NULL, NULL, n->name, 0, NULL, str_get(&data));
}

static void is_over(struct node *n, void *arg UNUSED)
{
    struct peer *p;
    n->resync.wanted = false;
    resync_start_over(n);
    TAILQ_FOREACH (p, &n->peers, link)
        pull_restart(n, p);
    ops_seen(n);
    own_scan(n);
    node_settings_merged(n);
    view_changes(n, NULL);
}

int resync_alone(struct node *n)
{
    struct peer *p;
    /* a member that forgot somebody knew them all; but one whose files are old may not */
    if (!n->member || n->forgotten_n == 0 || n->now_ms - n->resync.began_ms < MEMBERS_WAIT_MS)
        return 0;
    TAILQ_FOREACH (p, &n->peers, link)
        if (!id_is_zero(&p->id))
            return 0;
    log_warn(n->w.log,
             "all other nodes were forgotten: there is nobody to copy from, and what is here counts");
    eff_do(n, is_over, NULL, NULL);
    int rc = over_write(n);
    return rc < 0 ? rc : node_log(n, "resync_done", NULL, NULL, n->name, 0, NULL, "{\"from\":null}");
}

static void ended(struct node *n, const struct resync *s)
{
    vv_merge(&n->vv, &s->vv);
    vv_merge(&n->gcvv, &s->gcvv);
    n->gc_version++;
    if (s->vv.floor >= n->born) {
        log_error(n->w.log, "what this run has written is older than what others remember of ended runs; "
                            "ending, to begin a new one");
        n->exit_status = 75;
    }
    is_over(n, NULL);
}

static void cut_short(struct node *n)
{
    struct resync *s = &n->resync;
    s->avoid = s->from;
    s->next_ms = n->now_ms + RESYNC_RETRY_MAX_MS;
    resync_start_over(n);
    view_changes(n, NULL);
}

static void page_done(struct node *n, void *arg)
{
    struct walk *w = arg;
    n->counters.rows_merged += w->next.taken;
    struct resync before = n->resync;
    n->resync = w->next;
    n->resync.out = before.out; /* somebody may have asked in this very batch */
    n->resync.out_until_ms = before.out_until_ms;
    n->resync.refused_since_ms = before.refused_since_ms;
    n->resync.refused_at_ms = before.refused_at_ms;
    n->resync.told = before.told;
    n->resync.avoid = before.avoid;
    n->resync.moved_ms = n->now_ms;
    n->resync.call = 0;
    n->resync.failures = 0;
    n->resync.active = true;
    w->next = before; /* freed with the walk */
    if (w->ended && n->resync.cut) {
        cut_short(n);
    } else if (w->ended) {
        struct resync at = n->resync;
        n->resync.tbl = n->resync.key = NULL;
        n->resync.vv = n->resync.gcvv = VV_INIT;
        ended(n, &at);
        resync_fini(&at);
    }
    walk_free(w);
    resync_tick(n);
}

static void vectors_from(struct walk *w, const struct resync *s)
{
    vv_copy(&w->next.vv, &s->vv);
    vv_copy(&w->next.gcvv, &s->gcvv);
    w->next.gc_floor = s->gc_floor;
}

/* The head of a page; the vector of the first one is that of the whole RESYNC. But what was dropped there
 * since is missing in this page, too. */
static bool head_read(struct node *n, struct walk *w)
{
    AUTOVV struct vv vv = VV_INIT;
    AUTOVV struct vv gcvv = VV_INIT;
    vector_read(&w->r, &vv);
    vector_read(&w->r, &gcvv);
    int64_t gc_floor = read_i64(&w->r);
    w->more = read_bool(&w->r);
    w->rows = read_u32(&w->r);
    struct resync first = {.vv = vv, .gcvv = gcvv, .gc_floor = gc_floor};
    const struct resync *now = &n->resync;
    w->next = (struct resync){.wanted = true,
                              .from = now->from,
                              .began_ms = now->began_ms,
                              .taken = now->taken,
                              .dropped = now->dropped,
                              .kept = now->kept,
                              .aside = now->aside,
                              .cut = now->cut || pull_too_far_ahead(n, vv_max(&vv)),
                              .tbl = mem_dup(now->tbl ? now->tbl : ""),
                              .key = mem_dup(now->key ? now->key : "")};
    vectors_from(w, now->active ? now : &first);
    vv_merge(&w->next.gcvv, &gcvv);
    if (gc_floor > w->next.gc_floor)
        w->next.gc_floor = gc_floor;
    return !w->r.bad && gc_floor >= 0 && w->rows <= 2 * STORE_PAGE_ROWS && !pull_too_far_ahead(n, gc_floor);
}

static int page_written(struct node *n, const struct walk *w)
{
    int rc = !w->ended ? state_save(n, &w->next) : w->next.cut ? cut_write(n) : end_write(n, w);
    if (rc < 0 || !w->next.cut || n->resync.cut)
        return rc;
    const char *from = node_name_of(n, id_text(&w->next.from, (char[ID_TEXT]){0}));
    log_warn(n->w.log,
             "%s passes on rows from the future; this RESYNC takes the others, and another one follows",
             from);
    return node_log(n, "clock_skew", NULL, NULL, from, 0, NULL, NULL);
}

static int page_take(struct node *n, struct reader *r)
{
    struct walk *w = mem_alloc(sizeof *w);
    struct resync at = {0};
    *w = (struct walk){.r = *r, .at = &at, .ours_left = OURS_MAX, .tbl = STR_INIT, .key = STR_INIT};
    int rc = head_read(n, w) ? 0 : err_set(&n->fault, SKEP_EARG, "a page is malformed");
    at = w->next; /* as it was before this page; borrowed, but for the place */
    at.tbl = mem_dup(w->next.tbl);
    at.key = mem_dup(w->next.key);
    if (rc == 0)
        rc = walk_page(n, w);
    if (rc == 0)
        rc = page_written(n, w);
    free(at.tbl);
    free(at.key);
    w->at = NULL;
    if (rc == 0) {
        eff_do(n, page_done, w, walk_free);
        return 0;
    }
    walk_free(w);
    return rc;
}

struct answer_in {
    struct reader r;
    bool taken;
};

static int answer_take(struct node *n, void *arg)
{
    struct answer_in *a = arg;
    int rc = page_take(n, &a->r);
    a->taken = rc == 0;
    return rc;
}

int resync_answered(struct node *n, const struct event *ev)
{
    if (!n->resync.call || ev->call != n->resync.call)
        return 0;
    struct answer_in a = {.r = reader_init(ev->bytes, ev->bytes_n)};
    bool page = ev->kind == EV_PEER_ANSWERED && ev->status == 200 && read_u8(&a.r) == PULL_PAGE;
    int rc = page && n->resync.wanted ? node_try(n, answer_take, &a, "a page of a RESYNC") : 0;
    if (rc == 0 && !a.taken)
        eff_do(n, tried, NULL, NULL);
    return rc < 0 ? rc : 1;
}
