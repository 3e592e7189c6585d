/* gc: what nobody needs any more: tombstones, runs that have ended, nodes that were forgotten.
 *
 * A tombstone goes once every node that is not forgotten has it and it is old enough, or is so old that
 * nobody should wait; gcvv says so to those who come back and have not seen it (pull.h). An actor that has
 * ended and has no row left is folded into the floor, once every node's vector agrees on its end: never by
 * age alone, for a node in isolation may have begun runs whose stamps lie below (docs/decisions/0012).
 * Nodes that are no members count, too: one that copies everything anew is none until it is done, and holds
 * the rows that these tombstones deleted. An address at which nobody ever answered counts for nobody.
 *
 * Who has a tombstone may have what outranks it, and did before it had the tombstone: a session that was
 * ended here was claimed there. What lies idle under it is sent by nobody again, so what all have counts only
 * once everything is here that any of them had at that moment.
 */
#include "base/hlc.h"
#include "node/child.h"

#define LOOK_AT   500 /* tombstones of one tick */
#define FOLD_MAX  200 /* actors of one tick */
#define ACTOR_MAX 100 /* rows of ended runs of one tick */

static int64_t hlc_before(const struct node *n, int64_t age_ms)
{
    return n->real_ms > age_ms ? (n->real_ms - age_ms) << 16 : 0;
}

/* ---- what all have ---- */

static void lower(struct vv *v, const struct vv *to)
{
    for (size_t i = 0; i < v->n; i++) {
        int64_t theirs = vv_get(to, v->e[i].actor);
        if (theirs < v->e[i].hlc)
            vv_put(v, v->e[i].actor, theirs);
    }
    v->floor = to->floor < v->floor ? to->floor : v->floor;
}

/* What one of them has folded, all have: only entries count. */
static void raise(struct vv *v, const struct vv *to)
{
    for (size_t i = 0; i < to->n; i++)
        vv_raise(v, to->e[i].actor, to->e[i].hlc);
}

static bool somebody_has(const struct node *n, const struct vv_entry *e)
{
    const struct peer *p;
    TAILQ_FOREACH (p, &n->peers, link)
        if (!id_is_zero(&p->id) && vv_covers(&p->vv, e->actor, e->hlc))
            return true;
    return false;
}

/* What was lost since with those who had it is not waited for. */
static bool is_here(const struct node *n, const struct vv *v)
{
    for (size_t i = 0; i < v->n; i++)
        if (!vv_covers(&n->vv, v->e[i].actor, v->e[i].hlc) && somebody_has(n, &v->e[i]))
            return false;
    return true;
}

/* The next moment, once all that anybody had at the last one is here: under load it is never all here at
 * once. */
static void look(struct node *n)
{
    struct gc_look *g = &n->gc_look;
    struct peer *p;
    if (!is_here(n, &g->any))
        return;
    vv_copy(&g->agreed, &g->all);
    vv_copy(&g->all, &n->vv);
    vv_clear(&g->any);
    TAILQ_FOREACH (p, &n->peers, link) {
        if (id_is_zero(&p->id))
            continue;
        if (!p->gc_seen)
            vv_clear(&g->agreed);
        p->gc_seen = true;
        lower(&g->all, &p->vv);
        raise(&g->any, &p->vv);
    }
    if (is_here(n, &g->any))
        vv_copy(&g->agreed, &g->all);
}

/* ---- tombstones ---- */

static bool may_drop(void *ctx, const struct stamp *stamp)
{
    struct node *n = ctx;
    struct peer *p;
    if (!vv_covers(&n->vv, stamp->actor, stamp->hlc))
        return false;
    if (stamp->hlc < hlc_before(n, n->o.tombstone_max_ms))
        return true;
    TAILQ_FOREACH (p, &n->peers, link)
        if (!id_is_zero(&p->id) && !p->gc_seen)
            return false;
    return vv_covers(&n->gc_look.agreed, stamp->actor, stamp->hlc);
}

static void gcvv_read(struct node *n, void *arg UNUSED)
{
    AUTOVV struct vv now = VV_INIT;
    if (store_gcvv(n->store, &now, NULL) < 0)
        return;
    vv_copy(&n->gcvv, &now);
    n->gc_version++;
}

static int tombstones(struct node *n)
{
    int dropped;
    node_touch(n, &n->gc_after, sizeof n->gc_after);
    int rc = store_drop_dead(n->store, &n->gc_after, hlc_before(n, n->o.tombstone_min_ms), may_drop, n,
                             LOOK_AT, &dropped, &n->fault);
    if (rc == 0 && dropped) {
        n->counters.tombstones_dropped += dropped;
        eff_do(n, gcvv_read, NULL, NULL);
    }
    return rc;
}

/* ---- actors ---- */

static bool is_current(const struct node *n, int64_t actor)
{
    const struct peer *p;
    TAILQ_FOREACH (p, &n->peers, link)
        if (p->actor == actor)
            return true;
    return actor == n->actor;
}

/* Every node agrees where it ended, or has folded it too. */
static bool is_agreed(const struct node *n, const struct vv_entry *e)
{
    const struct peer *p;
    TAILQ_FOREACH (p, &n->peers, link) {
        int64_t theirs = vv_get(&p->vv, e->actor);
        if (!id_is_zero(&p->id) && theirs != e->hlc && !(theirs == p->vv.floor && theirs > e->hlc))
            return false;
    }
    return true;
}

/* No node has told of a run of which nothing is here. Its first stamps may lie below the end of another one:
 * under that floor its rows would count as had. */
static bool knows_all(const struct node *n)
{
    const struct peer *p;
    TAILQ_FOREACH (p, &n->peers, link)
        for (size_t i = 0; i < p->vv.n; i++) {
            const struct vv_entry *e = &p->vv.e[i];
            if (e->hlc > n->vv.floor && vv_get(&n->vv, e->actor) == n->vv.floor)
                return false;
        }
    return true;
}

/* The deletion of its row is still here. Once it is dropped, gcvv has an entry of a later run, and so finds
 * whoever is put back to a time when this one was alive; until then only this one's own entry would. */
static int leaves_trace(struct node *n, int64_t actor)
{
    struct actor_row row = {.actor = actor};
    struct stamp stamp;
    return store_version(n->store, T_ACTOR, &row, &stamp, NULL, &n->fault);
}

static void vv_read_again(struct node *n, void *arg UNUSED)
{
    AUTOVV struct vv now = VV_INIT;
    if (store_vv(n->store, &now, NULL) == 0)
        vv_copy(&n->vv, &now);
}

static int fold(struct node *n)
{
    int rc = 0, folded = 0;
    for (size_t i = 0; rc == 0 && i < n->vv.n && folded < FOLD_MAX; i++) {
        const struct vv_entry *e = &n->vv.e[i];
        if (e->hlc >= hlc_before(n, n->o.tombstone_min_ms) || is_current(n, e->actor) || !is_agreed(n, e) ||
            store_actor_rows(n->store, e->actor) > 0 || (rc = leaves_trace(n, e->actor)) != 0) {
            rc = rc < 0 ? rc : 0;
            continue;
        }
        if (folded == 0 && !knows_all(n))
            break;
        rc = store_vv_fold(n->store, e->actor, e->hlc, &n->fault);
        folded++;
    }
    if (rc == 0 && folded) {
        eff_do(n, vv_read_again, NULL, NULL);
        eff_do(n, gcvv_read, NULL, NULL);
    }
    return rc;
}

/* Whose business the row of a run is: the node's own, or the home's of a node that was forgotten. */
static bool is_ours(struct node *n, const struct actor_row *row)
{
    struct id id;
    if (!row->node || !id_parse(row->node, &id) || row->actor == n->actor)
        return false;
    return id_equal(&id, &n->self) || (node_is_forgotten(n, &id) && own_is_home(n, "", row->node));
}

/* Runs that have ended and left no row but their own. */
static int ended_runs(struct node *n)
{
    struct actor_row rows[ACTOR_MAX] = {{0}};
    struct stmt *q =
        store_ask(n->store, Q_ACTORS_BEFORE, "ii", hlc_before(n, n->o.tombstone_min_ms), n->gc_actor);
    int rc = 0;
    size_t count = 0;
    while (count < ACTOR_MAX && (rc = store_next(q, T_ACTOR, &rows[count], &n->fault)) == 1)
        count++;
    stmt_reset(q);
    node_touch(n, &n->gc_actor, sizeof n->gc_actor);
    n->gc_actor = count == ACTOR_MAX ? rows[count - 1].actor : 0;
    for (size_t i = 0; i < count; i++) {
        if (rc >= 0 && is_ours(n, &rows[i]) && store_actor_rows(n->store, rows[i].actor) <= 1 &&
            store_number(n->store, Q_NAME_OWNED_COUNT, 1, "i", rows[i].actor) == 0)
            rc = store_kill(n->store, T_ACTOR, &rows[i], 0, &n->fault);
        row_fini(T_ACTOR, &rows[i]);
    }
    return rc < 0 ? rc : 0;
}

/* ---- nodes that were forgotten ---- */

static int forgotten_nodes(struct node *n)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < n->forgotten_n; i++) {
        char text[ID_TEXT];
        id_text(&n->forgotten[i], text);
        struct node_row row = {.node = text};
        if (own_is_home(n, "", row.node))
            rc = store_kill(n->store, T_NODE, &row, 0, &n->fault);
        if (rc == 0 && own_is_home(n, "", row.node))
            rc = told_forget(n, text);
    }
    return rc;
}

int gc_tick(struct node *n)
{
    if (n->resync.wanted)
        return resync_alone(n);
    if (n->leaving)
        return 0;
    look(n);
    int rc = tombstones(n);
    if (rc == 0)
        rc = fold(n);
    if (rc == 0 && node_open_now(n))
        rc = ended_runs(n);
    if (rc == 0 && node_open_now(n))
        rc = forgotten_nodes(n);
    return rc;
}
