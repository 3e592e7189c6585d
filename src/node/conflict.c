/* conflict: what becomes of two processes of one name when both sides of a partition meet.
 *
 * Which claim wins is not asked here: the merge decides, by (epoch, hlc, actor) and nothing else. Here the
 * loser is ended in the transaction that merges the better claim, and its last checkpoint, which that merge
 * overwrites, is kept as a row of "conflict" first, whether the winner's checkpoint or its claim comes
 * before. The row travels like any other; who runs the name then writes it to its process's channel, as
 * resolve_conflict, again after a crash or a restart, until the line has left; then the row dies. At the
 * latest it dies with its name, or after handoff_ttl.
 *
 * Under the swarm's policy `oldest` a process that is beaten by a younger one claims again in that same
 * transaction, unless its node's clock is not believed. Its `since` stays, so at each such step the `since`
 * of the winning claim falls: with s sides that ends after s - 1 of them.
 */
#include "node/conflict.h"

#include <string.h>

#include "node/child.h"
#include "node/settings.h"
#include "wire/json.h"

#define AT_ONCE 100

/* ---- what is said of it ---- */

/* Once for each process that lost, where it ran; every other node is told of it. */
static int log_it(struct node *n, const struct child *c, const struct name_row *now)
{
    AUTOSTR struct str data = STR_INIT;
    const char *winner = now->owner ? node_name_of(n, now->owner) : "";
    struct jw j = jw_init(&data);
    jw_object(&j);
    jw_kv_string(&j, "winner", winner);
    jw_kv_i64_text(&j, "winner_epoch", now->epoch);
    jw_kv_string(&j, "loser", n->name);
    jw_kv_i64_text(&j, "loser_epoch", c->s.epoch);
    jw_object_close(&j);
    jw_end(&j);
    return node_log(n, "name_conflict", c->swarm, c->name, winner, now->epoch, NULL, str_get(&data));
}

/* ---- the loser's last state ---- */

static struct blob blob_take(struct blob *b)
{
    struct blob taken = *b;
    *b = (struct blob){NULL, 0};
    return taken;
}

/* The checkpoint of this run, whether it still has its place or was saved from being overwritten: yours in
 * ret. 1 if there is one. */
static int checkpoint_of(struct node *n, struct child *c, struct blob *ret)
{
    struct checkpoint_row row = {.swarm = mem_dup(c->swarm), .name = mem_dup(c->name)};
    struct conflict_row kept = {.swarm = mem_dup(c->swarm), .name = mem_dup(c->name), .epoch = c->s.epoch};
    *ret = (struct blob){NULL, 0};
    int rc = store_load(n->store, T_CHECKPOINT, &row, &n->fault);
    if (rc == 1 && row.epoch <= c->s.epoch)
        *ret = blob_take(&row.data);
    else if (rc >= 0 && (rc = store_load(n->store, T_CONFLICT, &kept, &n->fault)) == 1)
        *ret = blob_take(&kept.data);
    row_fini(T_CHECKPOINT, &row);
    row_fini(T_CONFLICT, &kept);
    return rc < 0 ? rc : ret->p != NULL;
}

/* Nothing may be stamped while the clock is not believed, and the process must end all the same: its state
 * stays here, where skep doctor lists it. */
static int save_unstamped(struct node *n, struct child *c)
{
    struct checkpoint_row row = {.swarm = mem_dup(c->swarm), .name = mem_dup(c->name)};
    int rc = store_load(n->store, T_CHECKPOINT, &row, &n->fault);
    if (rc == 1 && row.epoch <= c->s.epoch)
        rc = store_keep(n->store, T_CHECKPOINT, &row,
                        "the last state of a process that lost its name while "
                        "this node's clock was not believed",
                        &n->fault);
    row_fini(T_CHECKPOINT, &row);
    return rc < 0 ? rc : 0;
}

/* Once for each epoch: the first time is before anything of it is overwritten. */
static int save(struct node *n, struct child *c)
{
    if (watch_frozen(n))
        return save_unstamped(n, c);
    struct conflict_row row = {
        .swarm = c->swarm, .name = c->name, .node = n->self_text, .epoch = c->s.epoch, .at = n->real_ms};
    struct stamp stamp;
    int rc = store_version(n->store, T_CONFLICT, &row, &stamp, NULL, &n->fault);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    rc = checkpoint_of(n, c, &row.data);
    if (rc >= 0)
        rc = store_save(n->store, T_CONFLICT, &row, &n->fault);
    free(row.data.p);
    return rc;
}

static int save_metadata(struct node *n, struct child *c)
{
    struct metadata_row row = {.swarm = mem_dup(c->swarm), .name = mem_dup(c->name)};
    int rc = store_load(n->store, T_METADATA, &row, &n->fault);
    if (rc == 1)
        mem_replace(&c->lost_metadata, row.data);
    row_fini(T_METADATA, &row);
    return rc < 0 ? rc : 0;
}

int conflict_losing(void *ctx, const struct remote_row *row, const struct stamp *old, struct err *e)
{
    struct node *n = ctx;
    AUTOSTR struct str memory = STR_INIT;
    struct val key[TABLE_KEYS_MAX];
    int told = told_losing(n, row);
    if (told < 0 && e)
        *e = n->fault;
    if (told < 0 || (row->t != T_CHECKPOINT && row->t != T_METADATA) ||
        !table_unkey(table_get(row->t), row->key, &memory, key))
        return told;
    AUTOFREE char *swarm = mem_copy(key[0].p, key[0].n), *name = mem_copy(key[1].p, key[1].n);
    struct child *c = child_find(n, swarm, name);
    if (!c || !c->s.run || c->s.session || c->s.is_asked || old->rank > c->s.epoch ||
        row->stamp.rank <= c->s.epoch)
        return 0;
    int rc = row->t == T_CHECKPOINT ? save(n, c) : save_metadata(n, c);
    if (rc < 0 && e)
        *e = n->fault;
    return rc;
}

/* ---- beaten ---- */

static bool is_oldest(struct node *n, const char *swarm)
{
    return node_settings(n, swarm)->conflict.kind == CONFLICT_OLDEST;
}

/* What this process left, under its new epoch: the other side's has a lesser one. */
static int checkpoint_again(struct node *n, struct child *c, int64_t epoch)
{
    struct checkpoint_row row = {.swarm = c->swarm, .name = c->name, .at = n->real_ms, .epoch = epoch};
    struct conflict_row kept = {.swarm = c->swarm, .name = c->name, .epoch = c->s.epoch};
    int rc = checkpoint_of(n, c, &row.data);
    if (rc == 1)
        rc = store_save(n->store, T_CHECKPOINT, &row, &n->fault);
    else if (rc == 0)
        rc = store_kill(n->store, T_CHECKPOINT, &row, epoch, &n->fault);
    free(row.data.p);
    return rc < 0 ? rc : store_kill(n->store, T_CONFLICT, &kept, 0, &n->fault);
}

static int metadata_again(struct node *n, struct child *c, int64_t epoch)
{
    struct metadata_row row = {.swarm = mem_dup(c->swarm), .name = mem_dup(c->name)};
    int rc = store_load(n->store, T_METADATA, &row, &n->fault);
    if (rc == 1 && row.epoch > c->s.epoch) {
        free(row.data);
        row.data = mem_dup(c->lost_metadata);
    }
    row.epoch = epoch;
    if (rc == 1)
        rc = row.data ? own_metadata(n, c->swarm, c->name, epoch, (struct span){row.data, strlen(row.data)})
                      : store_kill(n->store, T_METADATA, &row, epoch, &n->fault);
    row_fini(T_METADATA, &row);
    return rc < 0 ? rc : 0;
}

static int claim_again(struct node *n, struct child *c, const struct name_row *now)
{
    struct name_row row = {.swarm = mem_dup(c->swarm),
                           .name = mem_dup(c->name),
                           .kind = mem_dup("child"),
                           .spec = mem_dup(c->spec_text),
                           .op = mem_dup(c->op),
                           .since = c->s.since,
                           .incarnation = c->s.incarnation};
    AUTOSTR struct str data = STR_INIT;
    own_claim(n, &row, &n->self, now->epoch);
    own_taken(node_name_of(n, now->owner), "oldest", &data);
    mem_replace(&row.cause, str_get(&data));
    int rc = store_save(n->store, T_NAME, &row, &n->fault);
    node_wake(n, row.swarm, row.name);
    if (rc == 0)
        rc = checkpoint_again(n, c, row.epoch);
    if (rc == 0)
        rc = metadata_again(n, c, row.epoch);
    if (rc == 0)
        rc = child_adopt(n, c, &row);
    row_fini(T_NAME, &row);
    return rc < 0 ? rc : 1;
}

int conflict_beaten(struct node *n, struct child *c, const struct name_row *now)
{
    bool stays = !n->leaving && !watch_frozen(n) && c->s.since && c->s.since < now->since;
    if (stays && is_oldest(n, c->swarm))
        return claim_again(n, c, now);
    int rc = save(n, c);
    child_end(n, c, EXIT_FENCED, CHAN_NAME_CONFLICT);
    return rc < 0 ? rc : log_it(n, c, now);
}

/* ---- offered to the winner ---- */

static bool is_callback(struct node *n, const char *swarm)
{
    return node_settings(n, swarm)->conflict.kind == CONFLICT_CALLBACK;
}

/* One at a time: the next one follows when this one has left and its row is dead. */
static int offer(struct node *n, struct child *c, const struct conflict_row *row)
{
    struct str line = STR_INIT;
    struct err e;
    child_touch(n, c);
    if (c->s.resolving == row->epoch && is_callback(n, c->swarm))
        return 0; /* told; its answer ends it (conflict_answer), or the time to live of what the loser left */
    if (c->s.resolving == row->epoch && c->s.queued_bytes == 0) {
        c->s.resolving = 0;
        return store_kill(n->store, T_CONFLICT, row, 0, &n->fault);
    }
    if (c->s.resolving)
        return 0;
    chan_resolve_conflict(&line, (struct span){row->data.p, row->data.n}, node_name_of(n, row->node));
    if (child_line(n, c, &line, &e) == 0) /* else its queue is full: later */
        c->s.resolving = row->epoch;
    return 0;
}

/* A later life of the name has nothing to do with it. */
static int is_stale(struct node *n, const struct conflict_row *row, const struct name_row *claim)
{
    struct stamp stamp;
    int rc = store_version(n->store, T_CONFLICT, row, &stamp, NULL, &n->fault);
    return rc < 0 ? rc : rc == 1 && stamp.hlc <= claim->incarnation;
}

static int settle_under(struct node *n, const struct conflict_row *row, const struct name_row *claim)
{
    struct child *c = child_find(n, row->swarm, row->name);
    if (!c || claim->owner_actor != n->actor || claim->epoch <= row->epoch)
        return 0;
    int stale = is_stale(n, row, claim);
    if (stale < 0)
        return stale;
    if (stale || !row->data.p)
        return store_kill(n->store, T_CONFLICT, row, 0, &n->fault);
    return c->s.phase == PHASE_RUNNING && !c->s.is_asked ? offer(n, c, row) : 0;
}

static int settle(struct node *n, const struct conflict_row *row)
{
    struct name_row claim = {.swarm = mem_dup(row->swarm), .name = mem_dup(row->name)};
    int rc = store_load(n->store, T_NAME, &claim, &n->fault);
    if (rc == 1)
        rc = settle_under(n, row, &claim);
    else if (rc == 0 && node_open_now(n) && own_is_home(n, row->swarm, row->name))
        rc = store_kill(n->store, T_CONFLICT, row, 0, &n->fault);
    row_fini(T_NAME, &claim);
    return rc;
}

int conflicts_offer(struct node *n)
{
    struct conflict_row rows[AT_ONCE] = {0};
    size_t count = 0;
    int rc = 0;
    if (watch_frozen(n))
        return 0;
    struct stmt *q = store_ask(n->store, Q_CONFLICTS, "i", (int64_t)AT_ONCE);
    while (count < AT_ONCE && (rc = store_next(q, T_CONFLICT, &rows[count], &n->fault)) == 1)
        count++;
    stmt_reset(q);
    for (size_t i = 0; i < count; i++) {
        rc = rc < 0 ? rc : settle(n, &rows[i]);
        row_fini(T_CONFLICT, &rows[i]);
    }
    return rc < 0 ? rc : 0;
}

/* Of the side that lost last, if it left a state. 1, 0, < 0. */
static int waiting(struct node *n, const struct child *c, struct conflict_row *ret)
{
    struct conflict_row row = {0};
    int rc, found = 0;
    struct stmt *q = store_ask(n->store, Q_CONFLICT_NAME, "tti", c->swarm, c->name, (int64_t)AT_ONCE);
    while ((rc = store_next(q, T_CONFLICT, &row, &n->fault)) == 1) {
        if (!row.data.p || row.epoch >= c->s.epoch || (found && row.epoch < ret->epoch))
            continue;
        row_fini(T_CONFLICT, ret);
        *ret = row;
        row = (struct conflict_row){0};
        found = 1;
    }
    stmt_reset(q);
    row_fini(T_CONFLICT, &row);
    return rc < 0 ? rc : found;
}

static int log_answer(struct node *n, const struct child *c, const char *kept, const char *node,
                      const char *who)
{
    AUTOSTR struct str data = STR_INIT;
    struct jw j = jw_init(&data);
    jw_object(&j);
    jw_kv_string(&j, "kept", kept);
    jw_kv_string(&j, "loser", node);
    jw_object_close(&j);
    jw_end(&j);
    return node_log(n, "conflict_resolved", c->swarm, c->name, n->name, c->s.epoch, who, str_get(&data));
}

int conflict_answer(struct node *n, struct child *c, bool keep_loser, const char *who)
{
    struct conflict_row row = {0};
    int rc = waiting(n, c, &row), found = rc;
    if (rc == 1)
        rc = log_answer(n, c, keep_loser ? "loser" : "winner", node_name_of(n, row.node), who);
    if (rc >= 0 && found == 1) {
        child_touch(n, c);
        c->s.resolving = 0;
        rc = conflict_forget(n, c->swarm, c->name);
    }
    if (rc >= 0 && found == 1 && keep_loser) {
        mem_replace(&c->move_to, row.node);
        rc = handoff_instead(n, c, (struct span){row.data.p, row.data.n});
    }
    row_fini(T_CONFLICT, &row);
    return rc < 0 ? rc : found;
}

int conflict_forget(struct node *n, const char *swarm, const char *name)
{
    struct conflict_row row = {0},
                        kill = {.swarm = (char *)(uintptr_t)swarm, .name = (char *)(uintptr_t)name};
    int64_t epochs[AT_ONCE];
    size_t count = 0;
    int rc = 0;
    struct stmt *q = store_ask(n->store, Q_CONFLICT_NAME, "tti", swarm, name, (int64_t)AT_ONCE);
    while (count < AT_ONCE && (rc = store_next(q, T_CONFLICT, &row, &n->fault)) == 1)
        epochs[count++] = row.epoch;
    stmt_reset(q);
    row_fini(T_CONFLICT, &row);
    for (size_t i = 0; rc >= 0 && i < count; i++) {
        kill.epoch = epochs[i];
        rc = store_kill(n->store, T_CONFLICT, &kill, 0, &n->fault);
    }
    return rc < 0 ? rc : 0;
}
