/* open: the beginning and the end of a run, and what it publishes for other threads.
 *
 * A run is a new actor: its row is on disk before anything is answered, so a copied or restored file never
 * uses a (actor, hlc) pair twice.
 */
#include <stdlib.h>
#include <string.h>

#include "node/child.h"
#include "node/compare.h"
#include "node/hook.h"
#include "node/swarm.h"

#define SWEEP_MS 5000
#define LEASE_MS 250
#define REAP_MS  1000

static void begun(struct node *n, void *arg UNUSED)
{
    watch_opened(n);
}

static int identity_read(struct node *n, struct err *e)
{
    AUTOFREE char *cluster = store_meta(n->store, "cluster"), *node = store_meta(n->store, "node");
    AUTOFREE char *member = store_meta(n->store, "member"), *ended = store_meta(n->store, "ended");
    n->name = store_meta(n->store, "name");
    if (!cluster || !node || !n->name || !id_parse(cluster, &n->cluster) || !id_parse(node, &n->self))
        return err_set(e, SKEP_EDAMAGED,
                       "%s does not say who this node is; make it with skep init or skep join",
                       n->w.disk.path);
    n->member = member && strcmp(member, "1") == 0;
    n->unclean = ended && strcmp(ended, "clean") != 0; /* known before the run begins: readers ask once */
    id_text(&n->self, n->self_text);
    return 0;
}

/* The admin token of skep init, as a row of this first run. */
static int first_token(struct node *n)
{
    AUTOFREE char *hash = store_meta(n->store, "admin_token_hash");
    if (!hash || !*hash)
        return 0;
    struct token_row row = {.token = (char[]){"admin"},
                            .hash = hash,
                            .name = (char[]){"admin"},
                            .role = (char[]){"admin"},
                            .created_at = n->real_ms};
    int rc = store_save(n->store, T_TOKEN, &row, &n->fault);
    return rc < 0 ? rc : store_meta_set(n->store, "admin_token_hash", "", &n->fault);
}

/* From now on this run has not ended with a goodbye. */
static int note_ending(struct node *n)
{
    if (store_notice(n->store))
        log_warn(n->w.log, "somebody changed the schema of %s: %s", n->w.disk.path, store_notice(n->store));
    return store_meta_set(n->store, "ended", "not yet", &n->fault);
}

/* The first run of a cluster that was made out of a backup: the nodes it lists are gone for good. */
static int forget_others(struct node *n)
{
    AUTOFREE char *restored = store_meta(n->store, "restored");
    struct node_row row = {0};
    int rc = 0;
    if (!restored || strcmp(restored, "founder") != 0)
        return 0;
    struct stmt *q = store_ask(n->store, Q_NODES, "");
    while (rc >= 0 && (rc = store_next(q, T_NODE, &row, &n->fault)) == 1) {
        struct node_mark_row mark = {.node = row.node, .forgotten_at = n->real_ms};
        if (strcmp(row.node, n->self_text) != 0)
            rc = store_save(n->store, T_NODE_MARK, &mark, &n->fault);
    }
    stmt_reset(q);
    row_fini(T_NODE, &row);
    if (rc == 0)
        rc = node_log(n, "node_restored", NULL, NULL, n->name, 0, NULL, NULL);
    return rc < 0 ? rc : store_meta_set(n->store, "restored", "done", &n->fault);
}

static int begin_run(struct node *n, void *arg UNUSED)
{
    AUTOFREE char *drained = store_meta(n->store, "draining"); /* somebody's wish, which outlives a run */
    n->draining = drained && strcmp(drained, "1") == 0;
    int rc = watch_restamp(n);
    eff_do(n, begun, NULL, NULL);
    n->born = store_stamp(n->store);
    if (rc == 0)
        rc = store_newer_apply(n->store, &n->fault);
    struct actor_row row = {
        .actor = n->actor, .boot = n->boot_text, .node = n->self_text, .born_at = n->born};
    if (rc == 0)
        rc = crashers_load(n);
    if (rc == 0)
        rc = resync_load(n);
    if (rc == 0)
        rc = store_save(n->store, T_ACTOR, &row, &n->fault);
    if (rc == 0)
        rc = node_row_write(n, &n->fault);
    if (rc == 0)
        rc = swarm_keep(n);
    if (rc == 0)
        rc = note_ending(n);
    if (rc == 0)
        rc = first_token(n);
    if (rc == 0)
        rc = forget_others(n);
    if (rc == 0)
        rc = probe_passed(n);
    return rc < 0 ? rc : node_log(n, "node_started", NULL, NULL, n->name, 0, NULL, NULL);
}

static int sweep_due(struct node *n, struct timer *t)
{
    timer_set(n, t, n->now_ms + SWEEP_MS);
    return node_sweep(n);
}

static int leases_due(struct node *n, struct timer *t)
{
    timer_set(n, t, n->now_ms + LEASE_MS);
    int rc = own_expire(n);
    return rc < 0 ? rc : aliases_sweep(n);
}

static int reap_due(struct node *n, struct timer *t)
{
    timer_set(n, t, n->now_ms + REAP_MS);
    int rc = sessions_reap(n);
    return rc < 0 ? rc : conflicts_offer(n);
}

static void timer_begin(struct node *n, struct timer *t, int (*fire)(struct node *, struct timer *),
                        int64_t in_ms)
{
    t->fire = fire;
    timer_set(n, t, n->now_ms + in_ms);
}

static void memory_init(struct node *n)
{
    uint64_t seed;
    TAILQ_INIT(&n->peers);
    TAILQ_INIT(&n->ops);
    TAILQ_INIT(&n->woken);
    TAILQ_INIT(&n->covers);
    atomic_flag_clear(&n->frozen_lock);
    n->exit_status = -1;
    n->scan_at_ms = INT64_MAX;
    n->fx = effects_new();
    hooks_init(n);
    n->now_ms = n->w.clock.boot_ms(n->w.clock.self);
    n->real_ms = n->started_at_ms = n->w.clock.real_ms(n->w.clock.self);
    watch_begin(n);
    n->late_due_ms = INT64_MAX;
    n->w.random.fill(n->w.random.self, &seed, sizeof seed);
    prng_init(&n->prng, seed);
    n->w.random.fill(n->w.random.self, &n->actor, sizeof n->actor);
    n->actor = (n->actor & INT64_MAX) | 1;
    node_random_id(n, &n->boot);
    id_text(&n->boot, n->boot_text);
    bucket_init(&n->reap_bucket, REAP_RATE, REAP_BURST, n->now_ms);
}

/* The run's marks must be known before its first spawn: SKEP_RUN=<node>/<boot>. */
static void run_mark(struct node *n)
{
    if (n->o.boot)
        id_parse(n->o.boot, &n->boot);
    id_text(&n->boot, n->boot_text);
    n->run_mark = mem_printf("%s/%s", n->self_text, n->boot_text);
}

int node_begin(struct node *n)
{
    hooks_begin(n);
    int rc = node_transact(n, begin_run, NULL);
    if (rc == 0 && n->w.proc.begin)
        n->w.proc.begin(n->w.proc.self);
    return rc;
}

int node_open(struct node **ret, const struct node_options *o, const struct world *w, struct err *e)
{
    struct node *n = mem_alloc(sizeof *n);
    n->handed = mem_array(HANDED_KEPT, sizeof *n->handed);
    n->o = *o;
    n->w = *w;
    n->url = mem_dup(o->url);
    memory_init(n);
    struct store_options so = {
        .path = w->disk.path, .vfs = w->disk.vfs, .exclusive = w->disk.exclusive, .clock = &n->watch.stamps};
    int rc = store_open(&n->store, &so, e);
    if (rc == 0)
        rc = identity_read(n, e);
    if (rc == 0) {
        run_mark(n);
        store_run(n->store, n->actor);
        store_on_loss(n->store, conflict_losing, n);
        rc = store_vv(n->store, &n->vv, e);
    }
    if (rc == 0)
        rc = store_gcvv(n->store, &n->gcvv, e);
    if (rc == 0) {
        view_init(&n->view, &n->self, o->suspect_ms * 4 / 5, o->alone_ms);
        rc = probe_begin(n, &n->fault);
        if (rc == 0)
            rc = node_begin(n);
        if (rc < 0 || (rc = peers_load(n)) < 0)
            *e = n->fault;
    }
    if (rc < 0) {
        node_close(n);
        return rc;
    }
    poke_init(n);
    peers_init(n);
    peers_view(n);
    room_begin(n);
    timer_begin(n, &n->sweep_timer, sweep_due, SWEEP_MS);
    timer_begin(n, &n->lease_timer, leases_due, LEASE_MS);
    timer_begin(n, &n->reap_timer, reap_due, 0);
    batches_begin(n);
    board_begin(n);
    compare_begin(n);
    declare_load(n);
    n->frozen_dirty = true;
    node_publish(n);
    *ret = n;
    return 0;
}

/* What others know of the configuration. */
static int say_again(struct node *n, void *arg UNUSED)
{
    int rc = node_row_write(n, &n->fault);
    swarm_changed(n);
    return rc < 0 ? rc : swarm_keep(n);
}

void node_reload(struct node *n, const struct node_options *o)
{
    int (*serve)(struct node *, struct op *) = n->o.serve;
    n->o = *o;
    n->o.serve = serve;
    n->frozen_dirty = true;
    n->view.fresh_within_ms = o->suspect_ms * 4 / 5;
    peers_init(n);
    declare_load(n);
    if (n->born && node_transact(n, say_again, NULL) < 0)
        log_warn(n->w.log, "others learn later of the new configuration: %s", n->fault.text);
}

void node_close(struct node *n)
{
    if (!n)
        return;
    ops_fini(n);
    children_fini(n);
    hooks_fini(n);
    facts_fini(n);
    covers_fini(n);
    own_fini(n);
    leases_fini(n);
    homeless_fini(n);
    batches_fini(n);
    node_settings_fini(n);
    choices_fini(n);
    swarm_seats_fini(n);
    poke_fini(n);
    declare_fini(n);
    effects_free(n->fx);
    peers_fini(n);
    view_fini(&n->view);
    vv_fini(&n->vv);
    vv_fini(&n->gcvv);
    vv_fini(&n->gc_look.all);
    vv_fini(&n->gc_look.any);
    vv_fini(&n->gc_look.agreed);
    resync_fini(&n->resync);
    probe_fini(&n->probe);
    for (size_t i = 0; i < n->held_n; i++)
        event_fini(&n->held[i]);
    free(n->held);
    free(n->heap);
    free(n->forgotten);
    free(n->reap_after);
    group_fini(n);
    free(n->handed);
    compare_free(n->compare);
    store_close(n->store);
    frozen_unref(n->frozen);
    free(n->name);
    free(n->url);
    free(n->run_mark);
    free(n);
}
