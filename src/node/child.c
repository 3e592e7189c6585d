/* child: the processes of this node. What is spawned, and what an exit leads to.
 *
 * Acts for the owner of a name only; who owns what is own.c's. A child is in memory as long as this node owns
 * its name or something of it still runs here; its rows (child, metadata, checkpoint, handoff) are written
 * under the claim's epoch. What a worker says is channel.c's, moving is handoff.c's.
 *
 * Invariants
 *  1. At most one run per child: nothing is spawned before EV_CHILD_EXITED or EV_CHILD_FAILED of the last
 * one.
 *  2. A spawn needs an OPEN view with the claim's signature, our current actor, not leaving, and two copies.
 */
#include "node/child.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/place.h"
#include "node/hook.h"
#include "node/swarm.h"

#define KILL_AGAIN_MS 10000
#define UNPLACED_MS   5000
#define NOT_TRIED     (-1) /* instead of an errno */

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

static void run_leave(struct node *n, void *arg)
{
    struct child *c = arg;
    if (c->run_key)
        HASH_DELETE(run_hh, n->runs, c);
    c->run_key = 0;
}

static void run_enter(struct node *n, void *arg)
{
    struct child *c = arg;
    run_leave(n, c);
    if (c->s.run == 0) /* ended in the batch that began it: the keeper died */
        return;
    c->run_key = c->s.run;
    c->asks = 0;
    HASH_ADD(run_hh, n->runs, run_key, sizeof c->run_key, c);
}

static void destroy(struct node *n, void *arg)
{
    struct child *c = arg;
    run_leave(n, c);
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

static int child_due(struct node *n, struct timer *t);

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

static char *reason_json(const char *code, int exit_status, int sig, const char *detail);

int child_stop_homeless(struct node *n, const struct name_row *row)
{
    struct child nowhere = {.swarm = row->swarm, .name = row->name, .s.epoch = row->epoch};
    AUTOFREE char *reason = reason_json(exit_kind_word(EXIT_ASKED_STOP), -1, 0, NULL);
    return free_name(n, &nowhere, "child_stopped", reason);
}

/* ---- spawning ---- */

bool child_exec_allowed(const struct node *n, const char *path)
{
    for (char *const *p = n->o.allow_exec; p && *p; p++)
        if (text_matches(*p, path))
            return true;
    return false;
}

/* A file name for its output: readable, and unique by the hash of the whole name. */
void child_log_name(const char *swarm, const char *name, char ret[CHILD_LOG_NAME])
{
    char plain[41];
    size_t i = 0;
    for (; name[i] && i + 1 < sizeof plain; i++) {
        char ch = name[i];
        bool keep =
            (ch >= '0' && ch <= '9') || (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || ch == '-';
        plain[i] = keep ? ch : '_';
    }
    plain[i] = 0;
    snprintf(ret, CHILD_LOG_NAME, "%s-%016llx", plain, (unsigned long long)place_hash(swarm, name));
}

void child_env_add(char **env, size_t *count, char *text TAKES)
{
    size_t name = (size_t)(strchr(text, '=') - text) + 1;
    for (size_t i = 0; i < *count; i++)
        if (env[i][0] == text[0] && strncmp(env[i], text, name) == 0) { /* what comes later wins */
            free(env[i]);
            env[i] = text;
            return;
        }
    env[(*count)++] = text;
}

static char **env_of(struct node *n, const struct child *c)
{
    size_t base = 0, count = 0;
    while (n->o.env && n->o.env[base])
        base++;
    char **env = mem_array(base + c->spec.env.n + 10, sizeof *env);
    for (size_t i = 0; i < base; i++)
        child_env_add(env, &count, mem_dup(n->o.env[i]));
    for (size_t i = 0; i < c->spec.env.n; i++)
        child_env_add(env, &count, mem_printf("%s=%s", c->spec.env.list[i].name, c->spec.env.list[i].value));
    child_env_add(env, &count, mem_dup("SKEP_FD=3"));
    child_env_add(env, &count, mem_printf("SKEP_SWARM=%s", c->swarm));
    child_env_add(env, &count, mem_printf("SKEP_NAME=%s", c->name));
    child_env_add(env, &count, mem_printf("SKEP_NODE=%s", n->name));
    child_env_add(env, &count, mem_printf("SKEP_EPOCH=%lld", (long long)c->s.epoch));
    child_env_add(env, &count, mem_printf("SKEP_RUN=%s", n->run_mark));
    if (n->o.worker_role && strcmp(n->o.worker_role, "write") != 0 && n->o.socket)
        child_env_add(env, &count, mem_printf("SKEP_SOCKET=%s", n->o.socket));
    return env;
}

static struct spawn *spawn_of(struct node *n, struct child *c)
{
    struct spawn *s = mem_alloc(sizeof *s);
    char log[CHILD_LOG_NAME];
    child_log_name(c->swarm, c->name, log);
    s->argv = mem_array(c->spec.argv.n + 1, sizeof *s->argv);
    for (size_t i = 0; i < c->spec.argv.n; i++)
        s->argv[i] = mem_dup(c->spec.argv.list[i]);
    s->env = env_of(n, c);
    s->cwd = mem_dup(c->spec.cwd ? c->spec.cwd : n->o.work_dir);
    s->user = mem_dup(n->o.exec_user);
    s->log = mem_dup(log);
    s->channel = true;
    return s;
}

static char *reason_json(const char *code, int exit_status, int sig, const char *detail)
{
    struct str s = STR_INIT;
    struct jw j = jw_init(&s);
    jw_object(&j);
    jw_kv_string(&j, "code", code);
    if (exit_status >= 0)
        jw_kv_i64(&j, "exit_status", exit_status);
    if (sig)
        jw_kv_string(&j, "signal", sigabbrev_np(sig) ? sigabbrev_np(sig) : "?");
    if (detail)
        jw_kv_string(&j, "detail", detail);
    jw_object_close(&j);
    jw_end(&j);
    return str_take(&s);
}

static int run_ended(struct node *n, struct child *c, enum exit_kind kind, const char *reason);

/* Finds the program and asks the configuration. NULL, or the reason why not. */
static char *program_find(struct node *n, struct spawn *s)
{
    if (n->o.children_max && n->children_run >= n->o.children_max)
        return reason_json("start_failed", -1, 0, "max_children of this node is reached");
    char path[4096];
    if (!s->argv[0])
        return reason_json("start_failed", -1, 0,
                           "its specification names no program that this node understands");
    int error = n->w.proc.find(n->w.proc.self, s->argv[0], s->env, s->cwd, path, sizeof path);
    if (error)
        return reason_json("start_failed", -1, 0, strerror(error));
    if (!child_exec_allowed(n, path))
        return reason_json("exec_not_allowed", -1, 0, "allow_exec of this node does not name this program");
    mem_replace(&s->argv[0], path);
    return NULL;
}

static void spawn_drop(void *arg)
{
    spawn_free(arg);
}

/* The commit may have taken long: what was true before it must still be. If not, nothing was started, which
 * comes back as an event like any other end. A run that ended in the very batch that asked for it, with its
 * keeper, is started by nobody: another one has taken its place. */
static void spawn_now(struct node *n, void *arg)
{
    struct spawn *s = arg;
    const struct child *c = child_of_run(n, s->run);
    if (!c || c->s.run != s->run) {
        spawn_free(s);
        return;
    }
    view_lapse(&n->view, n->w.clock.boot_ms(n->w.clock.self));
    if (n->view.open) {
        n->w.proc.spawn(n->w.proc.self, s);
        return;
    }
    struct event ev = {.kind = EV_CHILD_FAILED, .run = s->run, .error = NOT_TRIED};
    node_hold(n, &ev);
    spawn_free(s);
}

static void start_fact(struct node *n, const struct child *c, enum gathered_kind kind, const char *reason)
{
    struct str json = STR_INIT;
    struct jw j = jw_init(&json);
    jw_kv_string(&j, "name", c->name);
    jw_kv_i64_text(&j, "epoch", c->s.epoch);
    jw_kv_i64(&j, "restarts", c->s.restarts);
    if (kind == GATHER_STARTED) {
        jw_kv_string(&j, "result", reason ? "start_failed" : "ok");
        jw_kv_i64(&j, "pid", reason ? 0 : c->s.pid);
    }
    if (reason)
        jw_kv_raw(&j, "reason", (struct span){reason, strlen(reason)});
    facts_gather(n, kind, c->swarm, c->name, str_take(&json));
}

int child_spawn(struct node *n, struct child *c)
{
    AUTOFREE char *refused = NULL;
    int altered = c->s.session ? 1 : hook_alter(n, c, &refused);
    if (altered <= 0)
        return altered;
    struct spawn *s = spawn_of(n, c);
    if (!refused)
        refused = program_find(n, s);
    child_touch(n, c);
    if (refused) {
        spawn_free(s);
        return run_ended(n, c, c->s.published ? EXIT_UNREADY : EXIT_UNSTARTED, refused);
    }
    c->s.phase = PHASE_SPAWNING;
    node_touch(n, &n->children_run, sizeof n->children_run);
    n->children_run++;
    c->s.run = s->run = ++n->next_run;
    c->s.is_asked = c->s.given_up = c->s.unplaced = false;
    c->s.backoff_until_ms = 0;
    c->s.checkpoint_hlc = c->s.resolving = 0;
    c->s.queued_bytes = c->s.queued_lines = 0;
    eff_do(n, run_enter, c, NULL);
    eff_do(n, spawn_now, s, spawn_drop);
    if (!c->s.session)
        start_fact(n, c, GATHER_STARTING, NULL);
    /* said before it is so: a home that finds nothing here may give the name to another node */
    return child_write(n, c, "starting", NULL);
}

/* What the row says of the past of this incarnation. */
static int remember(struct node *n, struct child *c)
{
    struct child_row row = {.swarm = mem_dup(c->swarm), .name = mem_dup(c->name)};
    int rc = store_load(n->store, T_CHILD, &row, &n->fault);
    if (rc == 1 && row.epoch >= c->s.incarnation) {
        c->s.restarts = row.restarts > 0 && row.restarts < INT32_MAX ? row.restarts : 0;
        c->s.started_at = row.started_at;
        c->s.published = row.started_at > 0;
        c->s.given_up = row.status && strcmp(row.status, "failed") == 0;
        if (c->s.given_up && row.epoch < c->s.epoch) /* a claim after a node's end does not revive it */
            rc = child_write(n, c, "failed", row.reason);
    }
    row_fini(T_CHILD, &row);
    return rc < 0 ? rc : 0;
}

static int begin_incarnation(struct node *n, struct child *c, const struct name_row *row)
{
    spec_fini(&c->spec);
    spec_defaults(&c->spec);
    if (row->spec &&
        (spec_parse(row->spec, &c->spec, &n->fault) < 0 || spec_check(&c->spec, &n->fault) < 0)) {
        log_warn(n->w.log, "the specification of %s cannot be read: %s", c->name, n->fault.text);
        spec_fini(&c->spec);
        spec_defaults(&c->spec);
    }
    mem_replace(&c->spec_text, row->spec);
    mem_replace(&c->op, row->op);
    c->altered = false;
    child_touch(n, c);
    c->s = (struct child_state){.epoch = row->epoch, .incarnation = row->incarnation};
    return remember(n, c);
}

bool child_wants_copy(struct node *n, const struct name_row *row)
{
    struct child *c = child_find(n, row->swarm, row->name);
    return !c || c->s.run == 0;
}

int child_adopt(struct node *n, struct child *c, const struct name_row *row)
{
    if (c->s.epoch == row->epoch)
        return 0;
    static const char *const words[] = {[PHASE_SPAWNING] = "starting",
                                        [PHASE_STARTING] = "starting",
                                        [PHASE_RUNNING] = "running",
                                        [PHASE_LEAVING] = "moving",
                                        [PHASE_STOPPING] = "stopping"};
    child_touch(n, c);
    c->s.epoch = row->epoch;
    return child_write(n, c, words[c->s.phase], NULL);
}

/* Who may decide about a claim that was made under another view and runs nothing: its home, unless the row
 * of this node says that something runs here. Then it is still ours to move, or to give to the home. */
static int stop_idle(struct node *n, struct child *c, enum exit_kind why);

static int ask_home(struct node *n, struct child *c)
{
    struct child_row row = {.swarm = mem_dup(c->swarm), .name = mem_dup(c->name)};
    bool moved;
    int rc = store_load(n->store, T_CHILD, &row, &n->fault);
    bool ours = rc == 1 && row.epoch == c->s.epoch && row.status && strcmp(row.status, "backoff") != 0;
    row_fini(T_CHILD, &row);
    if (rc < 0 || !ours)
        return rc < 0 ? rc : 0;
    if (n->leaving || n->draining || c->s.moving)
        return handoff_claim(n, c, &moved);
    return child_write(n, c, "backoff", NULL);
}

int child_unplaced(struct node *n, struct child *c)
{
    child_touch(n, c);
    c->s.moving = true;
    timer_set(n, &c->timer, n->now_ms + UNPLACED_MS + (int64_t)(node_random(n) % UNPLACED_MS));
    n->unplaced = true;
    if (c->s.unplaced)
        return 0;
    c->s.unplaced = true;
    AUTOFREE char *reason = reason_json("no_node_available", -1, 0, "no node may take it at the moment");
    int rc = child_write(n, c, "stopped", reason);
    return rc < 0 ? rc : node_log(n, "child_unplaced", c->swarm, c->name, n->name, c->s.epoch, NULL, reason);
}

/* Its home could not know that this node is full. A first start is refused if nobody else takes it. */
static int no_room(struct node *n, struct child *c)
{
    struct id to;
    bool moved;
    if (c->s.published || own_target(n, c->swarm, c->name, c->spec.nodes.list, &n->self, &to))
        return handoff_claim(n, c, &moved);
    AUTOFREE char *reason = reason_json("no_node_available", -1, 0, "every node is full (max_children)");
    return run_ended(n, c, EXIT_UNSTARTED, reason);
}

/* Owned, and nothing runs: what may be done depends on the view as it is. Every view that opens comes back.
 */
static int idle(struct node *n, struct child *c, const struct name_row *row, bool covered)
{
    char view[17];
    bool moved;
    own_signature(n, view);
    if (!node_open_now(n))
        return 0;
    if (!row->view || strcmp(row->view, view) != 0)
        return ask_home(n, c);
    if (n->leaving || n->draining || c->s.moving || !swarm_serves_here(n, c->swarm))
        return handoff_claim(n, c, &moved);
    if (!covered || n->now_ms < c->s.backoff_until_ms)
        return 0;
    int undone = batch_is_undone(n, c->op);
    if (undone != 0)
        return undone < 0 ? undone : stop_idle(n, c, EXIT_ASKED_STOP);
    return swarm_room_here(n, c->swarm) ? child_spawn(n, c) : no_room(n, c);
}

int child_owned(struct node *n, const struct name_row *row, bool covered)
{
    struct child *c = child_find(n, row->swarm, row->name);
    int rc = 0;
    if (!c)
        c = child_new(n, row->swarm, row->name);
    if (c->s.run && c->s.incarnation == row->incarnation)
        return child_adopt(n, c, row);
    if (c->s.run) { /* the process of a former life: the new one starts when it is gone */
        if (!c->s.is_asked)
            child_end(n, c, EXIT_FENCED, CHAN_NAME_CONFLICT);
        return 0;
    }
    if (c->s.incarnation != row->incarnation)
        rc = begin_incarnation(n, c, row);
    child_touch(n, c);
    c->s.epoch = row->epoch;
    c->s.since = row->since;
    return rc < 0 || c->s.given_up ? rc : idle(n, c, row, covered);
}

int child_disowned(struct node *n, const char *swarm, const char *name, const struct name_row *now)
{
    struct child *c = child_find(n, swarm, name);
    if (!c || c->s.session)
        return 0;
    if (c->s.run == 0) {
        child_forget(n, c);
        return 0;
    }
    if (c->s.is_asked)
        return 0;
    if (now)
        return conflict_beaten(n, c, now);
    child_end(n, c, EXIT_FENCED, CHAN_REMOVED);
    return node_log(n, "name_conflict", swarm, name, n->name, c->s.epoch, NULL, NULL);
}

/* ---- ending ---- */

static void terminate(struct node *n, struct child *c)
{
    eff_terminate(n, c->s.run);
    timer_set(n, &c->timer, n->now_ms + c->spec.shutdown_ms);
}

void child_end(struct node *n, struct child *c, enum exit_kind asked, enum chan_stop reason)
{
    child_touch(n, c);
    c->s.is_asked = true;
    c->s.asked = asked;
    bool spawning = c->s.phase == PHASE_SPAWNING;
    c->s.phase = PHASE_STOPPING;
    if (spawning) /* nothing to signal yet: EV_CHILD_SPAWNED comes back to this */
        return;
    struct str line = STR_INIT;
    chan_stop(&line, reason, c->spec.shutdown_ms);
    channel_send(n, c, &line);
    terminate(n, c);
}

static int child_due(struct node *n, struct timer *t)
{
    struct child *c = (struct child *)(void *)((char *)t - offsetof(struct child, timer));
    switch (c->s.phase) {
    case PHASE_IDLE:
        if (c->s.session)
            return session_changed(n, c->name);
        return own_changed(n, c->swarm, c->name);
    case PHASE_STARTING:
        child_end(n, c, c->s.published ? EXIT_UNREADY : EXIT_UNSTARTED, CHAN_RESTART);
        return 0;
    case PHASE_LEAVING: /* it never answered: it ends without a hand-off */
        child_end(n, c, c->s.asked, CHAN_MOVED);
        return 0;
    case PHASE_STOPPING:
        eff_kill(n, c->s.run);
        timer_set(n, t, n->now_ms + KILL_AGAIN_MS);
        return 0;
    case PHASE_RUNNING:
        return c->s.session ? session_due(n, c) : 0;
    case PHASE_SPAWNING:
        return 0;
    }
    return 0;
}

static void restart_counts(struct node *n, void *arg)
{
    struct child *c = arg;
    restart_counted(&c->intensity, (size_t)c->spec.max_restarts, n->now_ms);
}

/* Its run failed: again after a pause, or never. */
static int again(struct node *n, struct child *c, const char *reason)
{
    int64_t window = c->spec.restart_window_ms, ran_ms = c->s.started_ms ? n->now_ms - c->s.started_ms : 0;
    if (!restart_may(&c->intensity, (size_t)c->spec.max_restarts, window, n->now_ms)) {
        c->s.given_up = true;
        int rc = child_write(n, c, "failed", reason);
        return rc < 0 ? rc
                      : node_log(n, "child_failed", c->swarm, c->name, n->name, c->s.epoch, NULL, reason);
    }
    unsigned attempt = ran_ms < window ? c->s.attempt : 0;
    int64_t pause = restart_delay_ms(attempt, c->spec.backoff_min_ms, c->spec.backoff_max_ms, node_random(n));
    c->s.attempt = restart_attempt(attempt, 0, window);
    c->s.restarts++;
    eff_do(n, restart_counts, c, NULL); /* once, however often this is tried on a full disk */
    c->s.backoff_until_ms = n->now_ms + pause;
    timer_set(n, &c->timer, c->s.backoff_until_ms);
    return child_write(n, c, "backoff", reason);
}

static void look_again(struct node *n, void *arg)
{
    AUTOFREE char *key = arg;
    char *name = strchr(key, '\n');
    *name++ = 0;
    own_later(n, key, name);
}

static int follow(struct node *n, struct child *c, enum restart_next next, enum exit_kind kind,
                  const char *reason)
{
    bool moved;
    switch (next) {
    case NEXT_AGAIN:
        return again(n, c, reason);
    case NEXT_AGAIN_NOW:
        c->s.restarts += kind == EXIT_ASKED_AGAIN || kind == EXIT_LOST;
        c->s.attempt = 0;
        return own_changed(n, c->swarm, c->name);
    case NEXT_GONE:
        return child_free_name(n, c, kind == EXIT_ASKED_STOP ? "child_stopped" : "child_exited", reason);
    case NEXT_REFUSED:
        return child_free_name(n, c, "child_start_failed", reason);
    case NEXT_MOVED:
        return handoff_claim(n, c, &moved);
    case NEXT_KEPT:
        c->s.given_up = true;
        return child_write(n, c, "stopped", reason);
    case NEXT_YIELDED:
        child_forget(n, c);
        eff_do(n, look_again, mem_dup(c->key), free);
        return kind == EXIT_FENCED
                   ? node_log(n, "child_fenced", c->swarm, c->name, n->name, c->s.epoch, NULL, reason)
                   : 0;
    }
    return 0;
}

/* Its own, or what its swarm says today. */
static enum restart restart_of(struct node *n, const struct child *c)
{
    return (enum restart)(c->spec.restart_said ? c->spec.restart : node_settings(n, c->swarm)->restart);
}

/* A run is over and nothing of it is left. */
static int run_ended(struct node *n, struct child *c, enum exit_kind kind, const char *reason)
{
    node_touch(n, &n->children_run, sizeof n->children_run);
    n->children_run -= c->s.run != 0;
    child_touch(n, c);
    c->s.phase = PHASE_IDLE;
    c->s.run = 0;
    c->s.pid = 0;
    c->s.is_asked = false;
    timer_set(n, &c->timer, INT64_MAX);
    eff_do(n, run_leave, c, NULL);
    channel_calls_fail(n, c);
    if (c->s.session)
        return session_child_ended(n, c, kind, reason);
    if (kind == EXIT_UNSTARTED || kind == EXIT_UNREADY)
        start_fact(n, c, GATHER_STARTED, reason);
    int current = child_is_current(n, c);
    if (current < 0)
        return current;
    enum restart_next next = current ? restart_after(restart_of(n, c), kind) : NEXT_YIELDED;
    if (n->leaving && (next == NEXT_AGAIN || next == NEXT_AGAIN_NOW))
        next = NEXT_MOVED;
    int rc = 0;
    if (next == NEXT_AGAIN || next == NEXT_AGAIN_NOW)
        rc = node_log(n, "child_exited", c->swarm, c->name, n->name, c->s.epoch, NULL, reason);
    if (rc == 0 && current && (kind == EXIT_FAILED || kind == EXIT_UNREADY))
        rc = group_failed(n, c->swarm, c->name);
    return rc < 0 ? rc : follow(n, c, next, kind, reason);
}

static enum exit_kind kind_of(const struct child *c, const struct event *ev)
{
    if (c->s.is_asked)
        return c->s.asked;
    if (c->s.phase == PHASE_STARTING || c->s.phase == PHASE_SPAWNING)
        return c->s.published ? EXIT_UNREADY : EXIT_UNSTARTED;
    return ev->signal == 0 && ev->exit_status == 0 ? EXIT_CLEAN : EXIT_FAILED;
}

static int exited(struct node *n, struct child *c, const struct event *ev)
{
    enum exit_kind kind = kind_of(c, ev);
    bool start = kind == EXIT_UNSTARTED || kind == EXIT_UNREADY;
    AUTOFREE char *reason = reason_json(
        start                 ? "start_failed"
        : kind == EXIT_FAILED ? "exited"
                              : exit_kind_word(kind),
        ev->signal ? -1 : ev->exit_status, ev->signal,
        start ? c->s.is_asked ? "no ready line within start_ms" : "it ended before it was ready" : NULL);
    return run_ended(n, c, kind, reason);
}

/* ---- events ---- */

int child_up(struct node *n, struct child *c)
{
    child_touch(n, c);
    c->s.phase = PHASE_RUNNING;
    c->s.published = true;
    timer_set(n, &c->timer, INT64_MAX);
    if (c->s.session)
        return session_ready(n, c);
    start_fact(n, c, GATHER_STARTED, NULL);
    int rc = child_write(n, c, "running", NULL);
    return rc < 0 ? rc : node_log(n, "child_started", c->swarm, c->name, n->name, c->s.epoch, NULL, NULL);
}

static int spawned(struct node *n, struct child *c, const struct event *ev)
{
    child_touch(n, c);
    c->s.pid = ev->pid;
    c->s.started_ms = n->now_ms;
    c->s.started_at = n->real_ms;
    if (c->s.is_asked) { /* ended while it was being spawned */
        terminate(n, c);
        return 0;
    }
    c->s.phase = PHASE_STARTING;
    int rc = channel_start(n, c);
    if (rc < 0)
        return rc;
    if (c->spec.ready == READY_SPAWN)
        return child_up(n, c);
    timer_set(n, &c->timer, n->now_ms + c->spec.start_ms);
    return 0;
}

/* The view closed before the spawn could leave: idle as before, until it opens. */
static int not_spawned(struct node *n, struct child *c)
{
    node_touch(n, &n->children_run, sizeof n->children_run);
    n->children_run--;
    child_touch(n, c);
    c->s.phase = PHASE_IDLE;
    c->s.run = 0;
    eff_do(n, run_leave, c, NULL);
    eff_do(n, look_again, mem_dup(c->key), free);
    return c->s.session ? 0 : child_write(n, c, "backoff", NULL);
}

static int spawn_failed(struct node *n, struct child *c, const struct event *ev)
{
    if (ev->error == NOT_TRIED && !c->s.is_asked)
        return not_spawned(n, c);
    AUTOFREE char *reason = reason_json("start_failed", -1, 0, strerror(ev->error));
    return run_ended(n, c,
                     c->s.is_asked    ? c->s.asked
                     : c->s.published ? EXIT_UNREADY
                                      : EXIT_UNSTARTED,
                     reason);
}

static int keeper_died(struct node *n)
{
    struct child *c, *next;
    AUTOFREE char *reason = reason_json("lost", -1, 0, "the keeper died and took its processes along");
    int rc = node_log(n, "keeper_died", NULL, NULL, n->name, 0, NULL, NULL);
    HASH_ITER(hh, n->children, c, next)
    if (rc == 0 && c->s.run)
        rc = run_ended(n, c, c->s.is_asked ? c->s.asked : EXIT_LOST, reason);
    return rc;
}

/* How many lines the bytes are is guessed: as many as their share of all that were sent. */
static void drained(struct node *n, struct child *c, size_t left)
{
    child_touch(n, c);
    if (c->s.queued_bytes)
        c->s.queued_lines =
            left < c->s.queued_bytes ? c->s.queued_lines * left / c->s.queued_bytes : c->s.queued_lines;
    c->s.queued_bytes = left;
    if (left == 0)
        c->s.queued_lines = 0;
}

int child_event(struct node *n, const struct event *ev)
{
    if (ev->kind == EV_KEEPER_DIED)
        return keeper_died(n);
    struct child *c = child_of_run(n, ev->run);
    if (!c || c->s.run != ev->run) {
        if (ev->kind == EV_CHILD_SPAWNED) /* nobody waits for it any more, and nobody would end it */
            eff_kill(n, ev->run);
        return 0;
    }
    if (ev->kind == EV_CHILD_SPAWNED)
        return spawned(n, c, ev);
    if (ev->kind == EV_CHILD_FAILED)
        return spawn_failed(n, c, ev);
    if (ev->kind == EV_CHILD_EXITED)
        return exited(n, c, ev);
    if (ev->kind == EV_CHILD_LINE)
        return channel_line(n, c, ev->bytes, ev->bytes_n);
    drained(n, c, ev->bytes_n);
    return 0;
}

/* ---- asked of the owner ---- */

static int stop_idle(struct node *n, struct child *c, enum exit_kind why)
{
    child_touch(n, c);
    c->s.backoff_until_ms = 0;
    c->s.given_up = false;
    if (why == EXIT_ASKED_STOP) {
        AUTOFREE char *reason = reason_json(exit_kind_word(why), -1, 0, NULL);
        return child_free_name(n, c, "child_stopped", reason);
    }
    if (why == EXIT_ASKED_MOVE)
        c->s.moving = true;
    c->s.attempt = 0;
    if (why == EXIT_ASKED_AGAIN) {
        int rc = child_write(n, c, "starting", NULL);
        if (rc < 0)
            return rc;
    }
    return own_changed(n, c->swarm, c->name);
}

int child_stop(struct node *n, const char *swarm, const char *name, enum exit_kind why)
{
    struct child *c = child_find(n, swarm, name);
    if (!c)
        return own_changed(n, swarm, name);
    if (c->s.run == 0)
        return stop_idle(n, c, why);
    if (c->s.is_asked && (c->s.asked == EXIT_ASKED_STOP || why != EXIT_ASKED_STOP))
        return 0; /* the stronger wish stands */
    if (why == EXIT_ASKED_MOVE) {
        handoff_begin(n, c, why);
        return child_write(n, c, "moving", NULL);
    }
    child_end(n, c, why, why == EXIT_ASKED_AGAIN ? CHAN_RESTART : CHAN_REMOVED);
    return child_write(n, c, "stopping", NULL);
}

int children_stop_all(struct node *n, bool now)
{
    struct child *c, *next;
    HASH_ITER(hh, n->children, c, next)
    {
        if (c->s.run && now)
            eff_kill(n, c->s.run);
        else if (c->s.run && !c->s.is_asked && c->s.session)
            child_end(n, c, EXIT_SHUTDOWN, CHAN_SHUTDOWN);
        else if (c->s.run && !c->s.is_asked)
            handoff_begin(n, c, EXIT_ASKED_MOVE);
    }
    n->leave_by_ms = n->now_ms + (now ? 0 : LEAVE_MOVE_MS);
    own_scan(n);
    return 0;
}

/* Whether somebody could still take what is left here. */
static bool takers(struct node *n)
{
    struct peer *p;
    TAILQ_FOREACH (p, &n->peers, link)
        if (peer_placeable(n, p))
            return true;
    return false;
}

int children_drain(struct node *n)
{
    struct child *c, *next;
    int rc = 0;
    if (!takers(n)) /* stopping them would only start them here again */
        return 0;
    HASH_ITER(hh, n->children, c, next)
    {
        if (rc == 0 && !c->s.session && !c->s.given_up)
            rc = child_stop(n, c->swarm, c->name, EXIT_ASKED_MOVE);
    }
    return rc;
}

bool children_gone(struct node *n)
{
    struct child *c, *next;
    bool some = takers(n) && n->now_ms < n->leave_by_ms;
    HASH_ITER(hh, n->children, c, next)
    {
        if (c->s.run)
            return false;
        if (some && !c->s.session && !c->s.given_up)
            return false;
    }
    return true;
}
