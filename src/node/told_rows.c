/* told_rows: what a row that came, and the one that was in its place, tell of. Nothing else is asked but
 * rows, so that every node tells the same; of rows that were replaced before they came nothing is said.
 */
#include <string.h>

#include "base/hlc.h"
#include "node/told_inside.h"
#include "node/turn.h"
#include "wire/json.h"

const char *const told_moves[] = {"asked", "drain", "stop", "swarm", "placement", NULL};

static bool is(const char *text, const char *word)
{
    return text && strcmp(text, word) == 0;
}

/* ---- names ---- */

/* Whose run wrote the row; yours, NULL: a node that is not known any more. */
static char *writer_of(struct node *n, const struct remote_row *row)
{
    struct actor_row actor = {.actor = row->stamp.actor};
    char *name = NULL;
    if (store_load(n->store, T_ACTOR, &actor, NULL) == 1)
        name = mem_dup(node_name_of(n, actor.node));
    row_fini(T_ACTOR, &actor);
    return name;
}

static char *cause_word(const struct name_row *claim, const char *member)
{
    struct str word = STR_INIT;
    struct span value = {NULL, 0};
    if (claim->cause)
        value = json_raw_member(claim->cause, strlen(claim->cause), member);
    return value.p && json_unquote(value, &word) ? str_take(&word) : NULL;
}

static bool is_move(const char *why)
{
    for (size_t i = 0; why && told_moves[i]; i++)
        if (strcmp(told_moves[i], why) == 0)
            return true;
    return false;
}

/* A process whose claim came after its row: it is published by both. */
static int child_of_claim(struct node *n, const struct telling *t, const struct name_row *claim)
{
    struct child_row child = {.swarm = mem_dup(claim->swarm), .name = mem_dup(claim->name)}, none = {0};
    int rc = store_load(n->store, T_CHILD, &child, &n->fault);
    bool here = rc == 1 && child.epoch == claim->epoch;
    for (size_t i = 0; here && i < t->n; i++)
        here = t->all[i].t != T_CHILD || t->all[i].key.n != t->row->key.n ||
               memcmp(t->all[i].key.p, t->row->key.p, t->row->key.n) != 0;
    if (here)
        rc = facts_registry(n, &none, &child, true);
    row_fini(T_CHILD, &child);
    return rc < 0 ? rc : 0;
}

static int child_claim(struct node *n, const struct telling *t)
{
    const struct name_row *now = t->now;
    AUTOFREE char *why = cause_word(now, "why"), *from = cause_word(now, "from"), *by = writer_of(n, t->row);
    const char *to = node_name_of(n, now->owner), *teller = by ? by : to;
    bool moved = is_move(why);
    int rc = node_told(n, moved ? "child_moved" : "child_claimed", now->swarm, now->name, to, now->epoch,
                       now->cause);
    if (rc == 0 && moved)
        facts_moved(n, teller, now->swarm, now->name, to);
    else if (rc == 0 && why && !is(why, "oldest"))
        facts_taken(n, teller, now->swarm, now->name, from, to);
    return rc < 0 ? rc : child_of_claim(n, t, now);
}

static bool session_ran_out(struct node *n, const struct telling *t, const char *session)
{
    for (size_t i = 0; i < t->n; i++) {
        const struct session_row *s =
            t->all[i].t == T_SESSION && t->all[i].dead ? told_former(n, &t->all[i]) : NULL;
        if (s && is(s->session, session))
            return s->ttl_ms && s->updated_at + s->ttl_ms <= hlc_ms(t->row->stamp.hlc);
    }
    return false;
}

static int name_ended(struct node *n, const struct telling *t)
{
    const struct name_row *old = t->old;
    if (!old || is(old->kind, "child")) /* the row of its process says so */
        return 0;
    AUTOFREE char *by = writer_of(n, t->row);
    bool address = is(old->kind, "address");
    bool late = address ? old->expires_at && old->expires_at <= hlc_ms(t->row->stamp.hlc)
                        : session_ran_out(n, t, old->name);
    return node_told(n,
                     address ? late ? "name_expired" : "name_released"
                     : late  ? "session_expired"
                             : "session_ended",
                     old->swarm, old->name, address ? by : node_name_of(n, old->owner), old->epoch, NULL);
}

static int name_told(struct node *n, const struct telling *t)
{
    const struct name_row *old = t->old, *now = t->now;
    bool same = old && now && old->epoch == now->epoch;
    if (!now)
        return name_ended(n, t);
    if (is(now->kind, "address")) {
        AUTOFREE char *by = writer_of(n, t->row);
        return node_told(n, same ? "name_renewed" : "name_registered", now->swarm, now->name, by, now->epoch,
                         NULL);
    }
    if (same)
        return 0;
    if (is(now->kind, "child"))
        return child_claim(n, t);
    return node_told(n, now->cause ? "session_claimed" : "session_created", now->swarm, now->name,
                     node_name_of(n, now->owner), now->epoch, now->cause);
}

/* ---- processes ---- */

/* Its claim is still on its way: then that tells of both, in their order. */
static int is_early(struct node *n, const struct child_row *now)
{
    struct name_row name = {.swarm = now->swarm, .name = now->name};
    struct stamp stamp = {0};
    int rc = store_version(n->store, T_NAME, &name, &stamp, NULL, &n->fault);
    return rc < 0 ? rc : stamp.rank < now->epoch && store_gc_floor(n->store) < now->epoch;
}

static int ended_told(struct node *n, const struct child_row *old, const struct child_row *now)
{
    bool known = old->epoch == now->epoch && is(now->status, old->status ? old->status : "");
    const char *node = node_name_of(n, now->node);
    if (known || (!is(now->status, "failed") && !is(now->status, "stopped")))
        return 0;
    return is(now->status, "failed")
               ? node_told(n, "child_failed", now->swarm, now->name, node, now->epoch, now->reason)
           : now->reason && strstr(now->reason, "\"no_node_available\"")
               ? node_told(n, "child_unplaced", now->swarm, now->name, node, now->epoch, now->reason)
               : 0;
}

static int child_told(struct node *n, const struct telling *t)
{
    static const struct child_row none;
    const struct child_row *now = t->now, *old = t->old ? t->old : &none;
    int early = now ? is_early(n, now) : 1;
    if (early)
        return early < 0 ? early : 0;
    facts_start(n, old, now);
    int rc = facts_registry(n, old, now, true);
    return rc < 0 ? rc : ended_told(n, old, now);
}

/* ---- turns ---- */

static int turn_say(struct node *n, const struct telling *t, const char *type, bool ended)
{
    struct turn_row turn = *(const struct turn_row *)t->now;
    AUTOFREE char *by = writer_of(n, t->row);
    AUTOSTR struct str data = STR_INIT;
    turn.detail = ended ? turn.detail : NULL;
    turn_data(&turn, &data);
    return node_told(n, type, "", turn.session, by, turn.epoch, str_get(&data));
}

/* Its row is often replaced before it comes: each step that it has taken since is told. */
static int turn_told(struct node *n, const struct telling *t)
{
    const struct turn_row *old = t->old, *now = t->now;
    int64_t tried = old ? old->attempts : 0;
    if (!now)
        return 0;
    int rc = old ? 0 : turn_say(n, t, "turn_queued", false);
    if (rc == 0 && tried < 1 && now->attempts >= 1)
        rc = turn_say(n, t, "turn_started", false);
    if (rc == 0 && now->attempts > 1 && now->attempts > tried)
        rc = turn_say(n, t, "turn_resumed", false);
    const char *end = is(now->status, "done")        ? "turn_done"
                      : is(now->status, "failed")    ? "turn_failed"
                      : is(now->status, "cancelled") ? "turn_cancelled"
                                                     : NULL;
    return rc == 0 && end && !(old && is(old->status, now->status)) ? turn_say(n, t, end, true) : rc;
}

/* ---- groups ---- */

static bool same_member(const struct remote_row *a, const struct remote_row *b)
{
    const char *slash = memrchr(a->key.p, '/', a->key.n); /* of the tag */
    size_t bytes = slash ? (size_t)(slash - a->key.p) + 1 : 0;
    return b->t == T_MEMBER && b->key.n > bytes && memcmp(a->key.p, b->key.p, bytes) == 0;
}

/* Another row of this membership went with it: before it, or behind it. */
static bool went_too(struct node *n, const struct telling *t, bool behind)
{
    for (size_t i = 0; i < t->n; i++) {
        const struct remote_row *o = &t->all[i];
        if (o->dead && o->stamp.hlc != t->row->stamp.hlc && (o->stamp.hlc > t->row->stamp.hlc) == behind &&
            same_member(t->row, o) && told_former(n, o))
            return true;
    }
    return false;
}

static int member_told(struct node *n, const struct telling *t)
{
    const struct member_row *m = t->now ? t->now : t->old;
    struct member_row newest = {0}, older = {0};
    if (!m)
        return 0;
    struct stmt *q =
        store_ask(n->store, Q_MEMBER_JOINS, "ttti", m->swarm, m->process_group, m->name, (int64_t)2);
    int some = store_next(q, T_MEMBER, &newest, &n->fault),
        more = some == 1 ? store_next(q, T_MEMBER, &older, &n->fault) : 0;
    stmt_reset(q);
    bool counts = t->now ? some == 1 && is(newest.tag, m->tag) : some == 0 && !went_too(n, t, true);
    bool changed = t->now && ((more == 1 && older.incarnation == m->incarnation) || went_too(n, t, false));
    int rc = some < 0 ? some : more < 0 ? more : 0;
    if (rc == 0 && counts) {
        AUTOFREE char *by = writer_of(n, t->row);
        AUTOSTR struct str data = STR_INIT;
        group_data(m->process_group, &data);
        rc = node_told(n,
                       !t->now   ? "member_left"
                       : changed ? "member_changed"
                                 : "member_joined",
                       m->swarm, m->name, by, 0, str_get(&data));
    }
    row_fini(T_MEMBER, &newest);
    row_fini(T_MEMBER, &older);
    return rc;
}

static int group_told(struct node *n, const struct telling *t)
{
    const struct process_group_row *g = t->now ? t->now : t->old;
    if (!g)
        return 0;
    AUTOFREE char *by = writer_of(n, t->row);
    AUTOSTR struct str data = STR_INIT;
    group_data(g->process_group, &data);
    return node_told(n, t->now ? "group_changed" : "group_deleted", g->swarm, NULL, by, 0, str_get(&data));
}

/* ---- swarms and nodes ---- */

static int swarm_told(struct node *n, const struct telling *t)
{
    const struct swarm_row *s = t->now ? t->now : t->old;
    if (!s)
        return 0;
    AUTOFREE char *by = writer_of(n, t->row);
    return node_told(n, t->now ? "swarm_changed" : "swarm_deleted", s->swarm, NULL, by, 0,
                     t->now ? s->settings : NULL);
}

static int serve_told(struct node *n, const struct telling *t)
{
    const struct serve_row *s = t->now ? t->now : t->old;
    if (!s || (t->now && t->old))
        return 0;
    return node_told(n, t->now ? "swarm_joined" : "swarm_left", s->swarm, NULL, node_name_of(n, s->node), 0,
                     NULL);
}

static int mark_told(struct node *n, const struct telling *t)
{
    const struct node_mark_row *now = t->now, *old = t->old;
    if (!now || !now->forgotten_at || (old && old->forgotten_at))
        return 0;
    return node_told(n, "node_forgotten", NULL, NULL, node_name_of(n, now->node), 0, NULL);
}

/* ---- what has a row of its own ---- */

static int news_told(struct node *n, const struct telling *t)
{
    const struct news_row *now = t->now;
    return now && now->type && !is(now->node, n->self_text)
               ? node_told(n, now->type, now->swarm, now->name, now->about, now->epoch, now->data)
               : 0;
}

/* ---- all of them ---- */

static int (*const tellers[T_N])(struct node *n, const struct telling *t) = {
    [T_NAME] = name_told,     [T_CHILD] = child_told, [T_TURN] = turn_told,
    [T_MEMBER] = member_told, [T_NEWS] = news_told,   [T_PROCESS_GROUP] = group_told,
    [T_SWARM] = swarm_told,   [T_SERVE] = serve_told, [T_NODE_MARK] = mark_told,
};

bool told_speaks(enum table_id t)
{
    return tellers[t] != NULL;
}

int told_row(struct node *n, const struct telling *t)
{
    return tellers[t->row->t](n, t);
}
