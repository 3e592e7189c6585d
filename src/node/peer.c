/* peer: the other nodes. Pings, liveness, verdicts, and the view that follows from them.
 *
 * Decides who is alive as seen from here, when a node is down, and when this node becomes a member. Opinions
 * are memory; only their events reach the log. Pings travel on connections of their own and are answered by
 * the peer's I/O thread from its frozen view, with the age of its brain's last turn (ping.c).
 */
#include <string.h>

#include "base/hlc.h"
#include "core/fanout.h"
#include "node/brain.h"

#define PING_TIMEOUT_MS 1000 /* at most; see ping_timeout_ms */
#define PING_CLOSED_MS  50   /* while the view is closed, agreement is asked for often */
#define PING_REFUSED_MS 200
#define PLACE_AGE_MS    5000
#define CLOCK_OFF_MS    250
#define CLOCK_RTT_MS    2000
#define CLOCK_GOOD_MS   200

/* ---- the list ---- */

struct peer *peer_find(struct node *n, const struct id *id)
{
    struct peer *p;
    TAILQ_FOREACH (p, &n->peers, link)
        if (id_equal(&p->id, id) && !id_is_zero(id))
            return p;
    return NULL;
}

struct peer *peer_new(struct node *n, const struct id *id, const char *url)
{
    struct peer *p = mem_alloc(sizeof *p);
    p->id = *id;
    p->url = mem_dup(url);
    p->weight = PEER_WEIGHT;
    detector_init(&p->detector, n->now_ms);
    p->pull.next_ms = n->now_ms;
    TAILQ_INSERT_TAIL(&n->peers, p, link);
    n->frozen_dirty = true;
    return p;
}

static void peer_free(struct peer *p)
{
    free(p->url);
    free(p->name);
    free(p->version);
    free(p->labels);
    vv_fini(&p->vv);
    pull_fini(&p->pull);
    str_fini(&p->mail.out);
    str_fini(&p->mail.again);
    free(p->echo.url);
    free(p);
}

void peer_drop(struct node *n, struct peer *p)
{
    if (!id_is_zero(&p->id))
        view_forget(&n->view, &p->id);
    TAILQ_REMOVE(&n->peers, p, link);
    n->away_changed |= p->down;
    peer_free(p);
    n->frozen_dirty = true;
}

void peers_fini(struct node *n)
{
    struct peer *p;
    while ((p = TAILQ_FIRST(&n->peers))) {
        TAILQ_REMOVE(&n->peers, p, link);
        peer_free(p);
    }
    free(TAKE(n->peer_facts));
    relays_fini(&n->relays);
    down_batch_fini(&n->down_batch);
    brake_fini(&n->brake);
}

struct peer *peer_by_url(struct node *n, const char *url)
{
    struct peer *p;
    TAILQ_FOREACH (p, &n->peers, link)
        if (strcmp(p->url, url) == 0)
            return p;
    return NULL;
}

/* A fact about a peer, for the log at the next occasion. */
void peer_log(struct node *n, const char *type, const struct peer *p, const struct id *via)
{
    ARRAY_GROW(n->peer_facts, n->peer_facts_n, n->peer_facts_cap);
    struct peer_fact *f = &n->peer_facts[n->peer_facts_n++];
    *f = (struct peer_fact){.type = type, .id = p->id};
    if (via)
        f->via = *via;
    n->frozen_dirty = true;
}

static void fact(struct node *n, const char *type, const struct peer *p)
{
    peer_log(n, type, p, NULL);
}

static void fact_self(struct node *n, const char *type)
{
    ARRAY_GROW(n->peer_facts, n->peer_facts_n, n->peer_facts_cap);
    n->peer_facts[n->peer_facts_n++] = (struct peer_fact){.type = type, .id = n->self};
    n->frozen_dirty = true;
}

/* ---- what we hear ---- */

void peer_set_text(char **text, const char *s)
{
    if (!*text || strcmp(*text, s) != 0)
        mem_replace(text, s);
}

/* Half of the round trip is what such a measurement may be wrong by. */
static void clock_measured(struct node *n, struct peer *p, const struct ping *m, int64_t sent_ms,
                           int64_t got_ms)
{
    if (got_ms - sent_ms > CLOCK_RTT_MS)
        return;
    p->clock_ms = m->real_ms - (sent_ms + got_ms) / 2;
    p->clock_doubt_ms = (got_ms - sent_ms) / 2;
    p->clock_at_ms = got_ms;
    watch_judge(n);
}

/* A run that began while its node's clock was far ahead is no measure for those after it. */
static int64_t born_believed(const struct node *n, int64_t born)
{
    return hlc_ms(born) > n->real_ms + HLC_AHEAD_MS_MAX ? hlc_at(n->real_ms - CLOCK_APART_MS) : born;
}

/* A sign of life of a run: newer than the one we knew, the same, or an echo of an older one (false). */
static bool peer_run(struct node *n, struct peer *p, const struct ping *m)
{
    if (m->born < p->born) {
        probe_echo(n, p, m->actor, m->url);
        return false;
    }
    if (m->actor != p->actor) {
        if (p->actor) {
            detector_newer_actor(&p->detector, n->now_ms);
            view_bounced(&n->view, &p->id);
            eff_reset(n, &p->id); /* it hears nothing that was sent to its old run */
            fact(n, "node_restarted", p);
            fact(n, "pre_node_join", p);
            own_scan(n);
        }
        p->actor = m->actor;
        p->life = 0;
        p->born = born_believed(n, m->born);
        p->left = false;
        pull_restart(n, p);
        vv_clear(&p->vv);
        p->gc_seen = false;
        down_batch_cancel(&n->down_batch, &p->id);
        ops_lost(n, &p->id, 0); /* what the old run was asked died with it */
    }
    peer_set_text(&p->name, m->name);
    peer_set_text(&p->url, m->url);
    p->member |= m->member;
    p->weight = m->weight;
    board_heard(n, p, m->score);
    return true;
}

/* It lives: verdicts against it are void. */
static void peer_alive(struct node *n, struct peer *p)
{
    down_batch_cancel(&n->down_batch, &p->id);
    brake_alive(&n->brake, &p->id);
    if (p->down || p->liveness != LIVENESS_HEALTHY || !p->known) {
        fact(n, "node_up", p);
        if (p->down && !p->proven && p->lost_actor == p->actor)
            fact(n, "cluster_healed", p);
        fact(n, "pre_node_join", p);
        if (p->down || !p->known)
            p->up_at_ms = n->now_ms;
        n->away_changed = true;
        p->down = false;
        p->known = true;
        p->liveness = LIVENESS_HEALTHY;
        pull_restart(n, p);
        own_scan(n);
    }
}

static struct peer *peer_met(struct node *n, const struct ping *m)
{
    if (id_equal(&m->id, &n->self) || node_is_forgotten(n, &m->id))
        return NULL;
    struct peer *p = peer_find(n, &m->id), *by_url = peer_by_url(n, m->url);
    if (!p && by_url && id_is_zero(&by_url->id)) {
        p = by_url;
        p->id = m->id;
    }
    return p ? p : peer_new(n, &m->id, m->url);
}

int peer_pinged(struct node *n, const struct event *ev)
{
    CLEANUP(ping_fini) struct ping m;
    if (!ping_decode(ev->bytes, ev->bytes_n, false, &m) || !id_equal(&m.cluster, &n->cluster))
        return 0;
    if (!id_equal(&m.id, &ev->node)) {
        n->counters.impostors++;
        return 0;
    }
    if (id_equal(&m.id, &n->self))
        probe_met(n, m.actor, m.born, m.url);
    struct peer *p = peer_met(n, &m);
    if (!p || !peer_run(n, p, &m))
        return 0;
    detector_heard(&p->detector, ev->at_boot_ms);
    if (p->liveness != LIVENESS_HEALTHY || p->down || !p->known)
        p->ping_next_ms = n->now_ms; /* it must answer us before it counts */
    return 0;
}

bool peer_pong(struct node *n, struct peer *p, const struct event *ev, int64_t sent_ms, int64_t ask)
{
    CLEANUP(ping_fini) struct ping m;
    if (!ping_answer(n, ev, &m))
        return false;
    probe_met(n, m.later.actor, m.later.born, m.later.url);
    if (id_is_zero(&p->id)) { /* a static peer says who it is */
        struct peer *known = peer_find(n, &m.id);
        if (known || id_equal(&m.id, &n->self) || node_is_forgotten(n, &m.id)) {
            peer_drop(n, p);
            return false;
        }
        p->id = m.id;
    }
    if (!id_equal(&p->id, &m.id) || !peer_run(n, p, &m))
        return false;
    detector_answered(&p->detector, sent_ms, ev->at_boot_ms, m.brain_age_ms);
    p->member = m.member;
    p->draining = m.draining;
    if (m.left && !p->left && p->known && !p->down)
        fact(n, "pre_node_leave", p);
    p->left = m.left;
    p->load = m.load;
    p->life = m.life > 0 ? m.life : 0;
    clock_measured(n, p, &m, sent_ms, ev->at_boot_ms);
    peer_set_text(&p->version, m.version ? m.version : "");
    peer_alive(n, p);
    view_node(&n->view, &p->id);
    peers_view(n);
    view_answered(&n->view, &p->id, ask, sent_ms, (uint64_t)m.signature);
    if (!n->view.open)
        p->pull.next_ms = n->now_ms; /* the barrier waits for a chain that begins after this answer */
    n->frozen_dirty = true;
    return true;
}

/* A ping and its timeout must leave time to ask others, before what was answered last is too old for the
 * barrier. */
static int64_t ping_timeout_ms(const struct node *n)
{
    int64_t ms = n->o.suspect_ms * 3 / 5 - n->o.ping_ms, least = n->o.suspect_ms / 5;
    ms = ms < least ? least : ms;
    return ms < PING_TIMEOUT_MS ? ms : PING_TIMEOUT_MS;
}

/* Each of many peers at a time of its own, not all of them at once. */
static int64_t ping_pause_ms(struct node *n, const struct peer *p)
{
    size_t nodes = peers_reached(n);
    if (fanout_is_mesh(nodes) || p->liveness != LIVENESS_HEALTHY)
        return n->o.ping_ms;
    int64_t ms = fanout_ping_pause_ms(nodes, n->o.ping_ms, ping_timeout_ms(n), n->view.fresh_within_ms);
    return ms - (int64_t)prng_below(&n->prng, (uint64_t)ms / 8 + 1);
}

void peer_answered(struct node *n, const struct event *ev, bool *ret_mine)
{
    struct peer *p;
    TAILQ_FOREACH (p, &n->peers, link)
        if (p->ping_call == ev->call)
            break;
    *ret_mine = p || relay_probed(n, ev);
    if (!p)
        return;
    p->ping_call = 0;
    if (ev->kind == EV_PEER_ANSWERED) {
        p->ping_next_ms = n->now_ms + ping_pause_ms(n, p);
        way_direct(n, p);
        peer_pong(n, p, ev, p->ping_sent_ms, p->ping_ask);
        return;
    }
    p->ping_next_ms = n->now_ms + (p->down || p->left ? n->o.ping_ms : PING_REFUSED_MS);
    if (ev->failure == NET_TIMEOUT || ev->failure == NET_UNREACHABLE)
        way_silent(n, p);
    if (ev->failure == NET_REFUSED && p->left) /* it has ended, and answers no more */
        ops_lost(n, &p->id, 0);
    if (ev->failure == NET_REFUSED && !id_is_zero(&p->id) && !p->left) {
        detector_refused(&p->detector, ev->at_boot_ms);
        p->way.ask_next_ms = n->now_ms; /* if it lives, whoever reaches it says so before the verdict */
        if (!p->down || !p->proven)     /* proof spares the names of a silent node their orphan delay */
            down_batch_refused(&n->down_batch, &p->id, ev->at_boot_ms);
    }
}

void peer_closed(struct node *n, const struct id *id, int64_t at_ms UNUSED)
{
    struct peer *p = peer_find(n, id);
    if (p) /* refused now is the proof; anything else is a broken connection */
        p->ping_next_ms = n->now_ms;
}

/* ---- pinging ---- */

struct peer_call *ping_new(struct node *n, const struct peer *p)
{
    struct str body = STR_INIT;
    struct peer_call *c = mem_alloc(sizeof *c);
    ping_write(n, &body);
    *c = (struct peer_call){.id = ++n->next_call,
                            .node = p->id,
                            .url = mem_dup(p->url),
                            .lane = LANE_CONTROL,
                            .path = mem_dup(PING_PATH),
                            .body_n = body.n,
                            .timeout_ms = ping_timeout_ms(n)};
    c->body = str_take(&body);
    return c;
}

static void ping_send(struct node *n, struct peer *p)
{
    struct peer_call *c = ping_new(n, p);
    p->ping_call = c->id;
    p->ping_sent_ms = n->now_ms;
    p->ping_ask = n->view.ask;
    eff_call(n, c);
}

/* While closed, ask again as soon as our newest ask is not the one that was answered. */
int64_t ping_due_ms(const struct node *n, const struct peer *p, int64_t sent_ms, int64_t ask, int64_t next_ms)
{
    if (n->view.open || sent_ms == 0 || p->down || p->left)
        return next_ms;
    struct view_node *v = view_find((struct view *)&n->view, &p->id);
    if (v && v->answered_ask == n->view.ask)
        return next_ms;
    int64_t soon = ask < n->view.ask
                       ? n->now_ms
                       : sent_ms + fanout_ask_pause_ms(view_others(&n->view) + 1, PING_CLOSED_MS);
    return soon < next_ms ? soon : next_ms;
}

struct detect_opts node_detect_opts(const struct node *n)
{
    struct detect_opts o = DETECT_OPTS_DEFAULT;
    o.suspect_ms = n->o.suspect_ms;
    o.down_ms = n->o.down_ms;
    o.refusal_is_proof = false; /* the batch of refusals decides that, one window for all */
    return o;
}

/* Who is silent to us may not be to others: ask, if there is somebody to be asked. */
static struct detect_opts detect_opts_of(struct node *n, const struct peer *p)
{
    struct detect_opts o = node_detect_opts(n);
    o.second_opinion = p->way.silent && relay_has_helpers(n, p);
    return o;
}

static void judge(struct node *n, struct peer *p, int64_t late_ms)
{
    struct detect_opts o = detect_opts_of(n, p);
    enum liveness was = p->liveness, is = detector_judge(&p->detector, &o, n->now_ms, late_ms);
    if (p->down || p->left || id_is_zero(&p->id) || is == was)
        return;
    p->liveness = is;
    n->frozen_dirty = true;
    if (is == LIVENESS_SUSPECT && p->known)
        fact(n, "node_suspect", p);
    if (is != LIVENESS_DOWN)
        return;
    p->down = n->away_changed = true;
    p->down_since_ms = n->now_ms;
    p->proven = false;
    p->lost_actor = p->actor;
    fact(n, "node_down", p);
    fact(n, "cluster_partitioned", p);
    fact(n, "pre_node_leave", p);
    mail_forget(p);
    ops_lost(n, &p->id, 0);
    size_t members = 1;
    struct peer *other;
    TAILQ_FOREACH (other, &n->peers, link)
        members += other->member;
    struct brake_opts b = BRAKE_OPTS_DEFAULT;
    b.brake_ms = n->o.brake_ms;
    if (brake_silent(&n->brake, &b, &p->id, members, n->now_ms))
        fact(n, "brake_pulled", p);
    own_scan(n);
}

static void refused_due(struct node *n)
{
    struct down_batch_opts o = DOWN_BATCH_OPTS_DEFAULT;
    o.window_ms = n->o.batch_window_ms;
    AUTOFREE struct id *ids = NULL;
    size_t count = down_batch_due(&n->down_batch, &o, n->now_ms, &ids);
    for (size_t i = 0; i < count; i++) {
        struct peer *p = peer_find(n, &ids[i]);
        if (!p)
            continue;
        bool was_down = p->down;
        p->down = p->proven = n->away_changed = true;
        p->liveness = LIVENESS_DOWN;
        p->down_since_ms = n->now_ms;
        if (p->known && !was_down) {
            fact(n, "node_down", p);
            fact(n, "pre_node_leave", p);
        }
        mail_forget(p);
        ops_lost(n, &p->id, 0);
        own_scan(n);
    }
}

void peers_tick(struct node *n)
{
    int64_t late_ms = doubt_late_ms(&n->doubt, n->now_ms);
    struct peer *p;
    refused_due(n);
    TAILQ_FOREACH (p, &n->peers, link) {
        judge(n, p, late_ms);
        if (p->ping_call == 0 &&
            n->now_ms >= ping_due_ms(n, p, p->ping_sent_ms, p->ping_ask, p->ping_next_ms))
            ping_send(n, p);
        way_tick(n, p);
    }
    pulls_tick(n);
    resync_tick(n);
    if (n->now_ms - n->frozen_at_ms > 1000)
        n->frozen_dirty = true;
}

/* ---- the view ---- */

static void view_of(struct node *n, struct peer *p, int64_t late_ms)
{
    struct detect_opts o = detect_opts_of(n, p);
    if (id_is_zero(&p->id))
        return;
    struct view_node *v = view_node(&n->view, &p->id);
    v->member = p->member;
    v->draining = p->draining;
    v->weight = p->weight;
    v->in_view = !p->down && !p->left && detector_in_view(&p->detector, &o, n->now_ms, late_ms);
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* How far at least its clock is ahead of ours, or behind it (< 0): by what the way there and back leaves
 * open. */
static int64_t clock_apart_ms(const struct node *n, const struct peer *p)
{
    int64_t apart = p->clock_ms - n->watch.clock.raw_ms;
    return apart > p->clock_doubt_ms    ? apart - p->clock_doubt_ms
           : apart < -p->clock_doubt_ms ? apart + p->clock_doubt_ms
                                        : 0;
}

/* How far our clock is from the median of all clocks of the view, ours among them. */
static int64_t clock_off_ms(struct node *n)
{
    struct peer *p;
    size_t count = 0;
    AUTOFREE int64_t *off = mem_array(view_others(&n->view) + 1, sizeof *off);
    off[count++] = 0;
    TAILQ_FOREACH (p, &n->peers, link) {
        const struct view_node *v = view_find(&n->view, &p->id);
        if (v && v->member && v->in_view && p->clock_at_ms && count <= view_others(&n->view))
            off[count++] = clock_apart_ms(n, p);
    }
    qsort(off, count, sizeof *off, by_value);
    int64_t low = llabs(off[(count - 1) / 2]), high = llabs(off[count / 2]);
    return low < high ? low : high;
}

static int64_t weight_of_self(const struct node *n)
{
    return n->o.weight > 0 ? n->o.weight : PEER_WEIGHT;
}

/* Rows of a home whose clock runs ahead could outrank what was acknowledged: rule 9. Of two, nobody can tell
 * who is right. */
static void weigh_self(struct node *n)
{
    int64_t off = clock_off_ms(n);
    bool is_home = n->view.self.weight > 0;
    bool frozen = watch_frozen(n); /* it has said so itself */
    if (is_home && (frozen || off > CLOCK_OFF_MS)) {
        n->view.self.weight = 0;
        if (frozen)
            return;
        fact_self(n, "clock_off");
        log_warn(n->w.log,
                 "the clock is %lld ms off the other nodes'; until it is right this node decides nothing",
                 (long long)off);
    } else if (!is_home && !frozen && off < CLOCK_GOOD_MS) {
        n->view.self.weight = weight_of_self(n);
        fact_self(n, "clock_good");
    } else if (is_home) {
        n->view.self.weight = weight_of_self(n);
    }
}

void peers_view(struct node *n)
{
    int64_t late_ms = doubt_late_ms(&n->doubt, n->now_ms);
    struct peer *p;
    n->view.self.member = n->member && !n->left && !n->resync.wanted && !watch_refused(n);
    n->view.self.draining = n->draining;
    TAILQ_FOREACH (p, &n->peers, link)
        view_of(n, p, late_ms);
    weigh_self(n);
    bool another = view_update(&n->view, n->now_ms);
    if (another) {
        n->frozen_dirty = true;
        cover_check(n);
    }
    bool open = view_is_open(&n->view, n->now_ms);
    if (open == n->was_open && !(open && another)) /* alone, one view opens as the other one closes */
        return;
    n->was_open = open;
    n->frozen_dirty = true;
    if (open) {
        n->ready = true;
        n->opened_at_ms = n->now_ms;
        own_scan(n);
    }
    ops_view_changed(n);
}

bool node_open_now(struct node *n)
{
    return view_is_open(&n->view, n->now_ms);
}

bool peer_placeable(struct node *n, const struct peer *p)
{
    const struct view_node *v = view_find(&n->view, &p->id);
    return v && v->member && v->in_view && p->weight > 0 && !p->draining && !p->left &&
           p->detector.brain_age_ms < PLACE_AGE_MS;
}

/* The stamp with which a run began: what orders the runs of a node. 0 = we do not know that run. */
static int64_t born_of(struct node *n, int64_t actor)
{
    struct actor_row row = {.actor = actor};
    int64_t born = store_load(n->store, T_ACTOR, &row, NULL) == 1 ? row.born_at : 0;
    row_fini(T_ACTOR, &row);
    return born;
}

enum owner_state owner_state(struct node *n, const char *node_id, int64_t actor, int64_t *ret_down_since_ms)
{
    struct id id;
    *ret_down_since_ms = n->now_ms;
    if (!node_id || !id_parse(node_id, &id))
        return OWNER_LEFT;
    if (id_equal(&id, &n->self))
        return actor == n->actor ? OWNER_ALIVE : OWNER_NEWER_ACTOR;
    struct peer *p = peer_find(n, &id);
    if (!p)
        return node_is_forgotten(n, &id) ? OWNER_LEFT : OWNER_DOWN_SILENT;
    if (p->actor && p->actor != actor) {
        int64_t born = born_of(n, actor);
        return born && born < p->born ? OWNER_NEWER_ACTOR : OWNER_ALIVE;
    }
    if (p->left)
        return OWNER_LEFT;
    *ret_down_since_ms = p->down_since_ms;
    return !p->down ? OWNER_ALIVE : p->proven ? OWNER_DOWN_PROVEN : OWNER_DOWN_SILENT;
}
