/* children: the processes of this node in memory, and the rows that say what becomes of them.
 *
 * Finds, makes and forgets a child, writes its rows, and frees its name. When, is child.c's to say.
 */
#include "node/children.h"

#include <string.h>

#include "node/child.h"
#include "node/hook.h"

/* ---- the two indexes ---- */

struct child *child_find(struct node *n, const char *swarm, const char *name)
{
    AUTOFREE char *key = mem_printf("%s\n%s", swarm, name);
    struct child *c;
    HASH_FIND(hh, n->children, key, strlen(key), c);
    return c;
}

struct child *child_of_run(struct node *n, uint64_t run)
{
    struct child *c;
    HASH_FIND(run_hh, n->runs, &run, sizeof run, c);
    return c;
}

enum child_phase child_phase(const struct child *c)
{
    return c->s.phase;
}

int64_t child_epoch(const struct child *c)
{
    return c->s.epoch;
}

uint64_t child_run(const struct child *c)
{
    return c->s.run;
}

bool child_running(struct node *n, const char *swarm, const char *name)
{
    struct child *c = child_find(n, swarm, name);
    return c && c->s.run;
}

bool child_passes(const struct child *c)
{
    bool asked = c->s.is_asked && (c->s.asked == EXIT_ASKED_MOVE || c->s.asked == EXIT_ASKED_AGAIN);
    bool pauses = c->s.backoff_until_ms > c->node->now_ms;
    bool waits = c->s.given_up || c->s.unplaced || pauses;
    return c->s.phase == PHASE_SPAWNING || (c->s.run ? asked : !waits);
}

void child_asks(struct node *n, uint64_t run, int more)
{
    struct child *c = child_of_run(n, run);
    if (c)
        c->asks += more;
}

int64_t children_count(const struct node *n)
{
    return (int64_t)HASH_COUNT(n->children);
}

void child_run_leaves(struct node *n, void *arg)
{
    struct child *c = arg;
    if (c->run_key)
        HASH_DELETE(run_hh, n->runs, c);
    c->run_key = 0;
}

void child_run_enters(struct node *n, void *arg)
{
    struct child *c = arg;
    child_run_leaves(n, c);
    if (c->s.run == 0) /* ended in the batch that began it: the keeper died */
        return;
    c->run_key = c->s.run;
    c->asks = 0;
    HASH_ADD(run_hh, n->runs, run_key, sizeof c->run_key, c);
}

static void destroy(struct node *n, void *arg)
{
    struct child *c = arg;
    child_run_leaves(n, c);
    timer_set(n, &c->timer, INT64_MAX);
    intensity_fini(&c->intensity);
    spec_fini(&c->spec);
    hook_alter_forget(n, c->key);
    free(c->calls);
    free(c->key);
    free(c->swarm);
    free(c->name);
    free(c->move_to);
    free(c->session_turn);
    free(c->spec_text);
    free(c->op);
    free(c->lost_metadata);
    free(c);
}

static void attach(struct node *n, struct child *c)
{
    HASH_ADD_KEYPTR(hh, n->children, c->key, strlen(c->key), c);
}

static void child_delete(struct node *n, struct child *c)
{
    HASH_DELETE(hh, n->children, c);
    destroy(n, c);
}

void children_fini(struct node *n)
{
    struct child *c, *next;
    HASH_ITER(hh, n->children, c, next)
    child_delete(n, c);
}

static void attach_again(void *arg)
{
    attach(((struct child *)arg)->node, arg);
}

/* Out of the index at once, so that a new life of the name in the same batch finds a new child. */
void child_forget(struct node *n, struct child *c)
{
    HASH_DELETE(hh, n->children, c);
    eff_do(n, destroy, c, attach_again);
}

static void undo_new(void *arg)
{
    child_delete(((struct child *)arg)->node, arg);
}

static void nothing(struct node *n UNUSED, void *arg UNUSED)
{
}

struct child *child_new(struct node *n, const char *swarm, const char *name)
{
    struct child *c = mem_alloc(sizeof *c);
    c->node = n;
    c->key = mem_printf("%s\n%s", swarm, name);
    c->swarm = mem_dup(swarm);
    c->name = mem_dup(name);
    c->timer.due_ms = INT64_MAX;
    c->timer.fire = child_due;
    spec_defaults(&c->spec);
    attach(n, c);
    eff_do(n, nothing, c, undo_new);
    return c;
}

/* ---- rows ---- */

int child_write(struct node *n, struct child *c, const char *status, const char *reason)
{
    if (c->s.session)
        return 0;
    struct child_row row = {.swarm = c->swarm,
                            .name = c->name,
                            .node = n->self_text,
                            .reason = (char *)(uintptr_t)reason,
                            .status = (char *)(uintptr_t)status,
                            .at = n->real_ms,
                            .epoch = c->s.epoch,
                            .pid = c->s.pid,
                            .restarts = c->s.restarts,
                            .started_at = c->s.started_at};
    struct child_row old = {.swarm = mem_dup(c->swarm), .name = mem_dup(c->name)};
    node_wake(n, c->swarm, c->name);
    bool tells = facts_status_matters(status);
    int rc = tells ? store_load(n->store, T_CHILD, &old, &n->fault) : 0;
    if (rc >= 0)
        rc = store_save(n->store, T_CHILD, &row, &n->fault);
    if (rc == 0 && tells)
        rc = facts_registry(n, &old, &row, false);
    poke_home(n, c->swarm, c->name); /* a start may wait for it there */
    row_fini(T_CHILD, &old);
    return rc == SKEP_EFENCED
               ? 0
               : rc; /* somebody else's life of the name is seen already: ours does not count */
}

int child_is_current(struct node *n, struct child *c)
{
    struct name_row row = {.swarm = mem_dup(c->swarm), .name = mem_dup(c->name)};
    int rc = store_load(n->store, T_NAME, &row, &n->fault);
    if (rc == 1)
        rc = row.owner_actor == n->actor && row.epoch == c->s.epoch;
    row_fini(T_NAME, &row);
    return rc;
}

static int kill_row(struct node *n, enum table_id t, struct child *c)
{
    struct metadata_row row = {.swarm = c->swarm, .name = c->name};
    struct checkpoint_row checkpoint = {.swarm = c->swarm, .name = c->name};
    struct name_row name = {.swarm = c->swarm, .name = c->name};
    const void *p = t == T_METADATA     ? (const void *)&row
                    : t == T_CHECKPOINT ? (const void *)&checkpoint
                                        : &name;
    return store_kill(n->store, t, p, 0, &n->fault);
}

static int free_name(struct node *n, struct child *c, const char *type, const char *reason)
{
    int rc = child_write(n, c, "gone", reason);
    if (rc == 0)
        rc = kill_row(n, T_METADATA, c);
    if (rc == 0)
        rc = kill_row(n, T_CHECKPOINT, c);
    if (rc == 0)
        rc = handoff_forget(n, c->swarm, c->name);
    if (rc == 0)
        rc = conflict_forget(n, c->swarm, c->name);
    if (rc == 0)
        rc = group_forget(n, c->swarm, c->name);
    if (rc == 0)
        rc = kill_row(n, T_NAME, c);
    return rc < 0 ? rc : node_log(n, type, c->swarm, c->name, n->name, c->s.epoch, NULL, reason);
}

int child_free_name(struct node *n, struct child *c, const char *type, const char *reason)
{
    int rc = free_name(n, c, type, reason);
    child_forget(n, c);
    return rc;
}

int child_end_homeless(struct node *n, const struct name_row *row, enum exit_kind why)
{
    bool lost = why == EXIT_LOST;
    struct child nowhere = {.swarm = row->swarm, .name = row->name, .s.epoch = row->epoch};
    AUTOFREE char *reason =
        child_reason(exit_kind_word(why), -1, 0, lost ? "its node ended, and it is temporary" : NULL);
    int rc = free_name(n, &nowhere, lost ? "child_exited" : "child_stopped", reason);
    node_wake(n, row->swarm, row->name);
    return rc;
}
