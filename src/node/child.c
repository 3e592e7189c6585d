/* child: the life of a process of this node. When it is spawned, and what its end leads to.
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

#include <string.h>

#include "base/hlc.h"
#include "node/swarm.h"

#define KILL_AGAIN_MS 10000
#define UNPLACED_MS   5000

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
    AUTOFREE char *reason = child_reason("no_node_available", -1, 0, "no node may take it at the moment");
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
    AUTOFREE char *reason = child_reason("no_node_available", -1, 0, "every node is full (max_children)");
    return child_run_ended(n, c, EXIT_UNSTARTED, reason);
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
    int undone = batch_is_undone(n, c->op, c->name);
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
    if (c->s.run && c->s.incarnation == row->incarnation) {
        rc = c->s.is_asked ? 0 : batch_is_undone(n, c->op, c->name);
        return rc < 0    ? rc
               : rc == 1 ? child_stop(n, c->swarm, c->name, EXIT_ASKED_STOP)
                         : child_adopt(n, c, row);
    }
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
    struct str line = STR_INIT;
    chan_stop(&line, c->s.told, c->spec.shutdown_ms);
    channel_send(n, c, &line);
    eff_terminate(n, c->s.run);
    timer_set(n, &c->timer, n->now_ms + c->spec.shutdown_ms);
}

void child_end(struct node *n, struct child *c, enum exit_kind asked, enum chan_stop reason)
{
    child_touch(n, c);
    c->s.is_asked = true;
    c->s.asked = asked;
    c->s.told = reason;
    bool spawning = c->s.phase == PHASE_SPAWNING;
    c->s.phase = PHASE_STOPPING;
    if (!spawning) /* else there is nothing to signal yet: EV_CHILD_SPAWNED comes back to this */
        terminate(n, c);
}

int child_due(struct node *n, struct timer *t)
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
int child_run_ended(struct node *n, struct child *c, enum exit_kind kind, const char *reason)
{
    node_touch(n, &n->children_run, sizeof n->children_run);
    n->children_run -= c->s.run != 0;
    child_touch(n, c);
    c->s.phase = PHASE_IDLE;
    c->s.run = 0;
    c->s.pid = 0;
    c->s.is_asked = false;
    timer_set(n, &c->timer, INT64_MAX);
    eff_do(n, child_run_leaves, c, NULL);
    channel_calls_fail(n, c);
    if (c->s.session)
        return session_child_ended(n, c, kind, reason);
    if (kind == EXIT_UNSTARTED || kind == EXIT_UNREADY)
        child_start_fact(n, c, GATHER_STARTED, reason);
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
    AUTOFREE char *reason = child_reason(
        start                 ? "start_failed"
        : kind == EXIT_FAILED ? "exited"
                              : exit_kind_word(kind),
        ev->signal ? -1 : ev->exit_status, ev->signal,
        start ? c->s.is_asked ? "no ready line within start_ms" : "it ended before it was ready" : NULL);
    return child_run_ended(n, c, kind, reason);
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
    child_start_fact(n, c, GATHER_STARTED, NULL);
    int rc = child_write(n, c, "running", NULL);
    return rc < 0 ? rc : node_log(n, "child_started", c->swarm, c->name, n->name, c->s.epoch, NULL, NULL);
}

/* Behind its claim and its last run, whatever this clock says beside those who wrote them: that tells a run
 * from the next one. */
static int64_t start_time(const struct node *n, const struct child *c)
{
    int64_t claimed = hlc_ms(c->s.epoch), least = c->s.started_at < claimed ? claimed : c->s.started_at + 1;
    return n->real_ms > least ? n->real_ms : least;
}

static int spawned(struct node *n, struct child *c, const struct event *ev)
{
    child_touch(n, c);
    c->s.pid = ev->pid;
    c->s.started_ms = n->now_ms;
    c->s.started_at = start_time(n, c);
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
    eff_do(n, child_run_leaves, c, NULL);
    eff_do(n, look_again, mem_dup(c->key), free);
    return c->s.session ? 0 : child_write(n, c, "backoff", NULL);
}

static int spawn_failed(struct node *n, struct child *c, const struct event *ev)
{
    if (ev->error == NOT_TRIED && !c->s.is_asked)
        return not_spawned(n, c);
    const char *in = c->spec.cwd ? c->spec.cwd : "its working directory";
    AUTOFREE char *detail = mem_printf("%.1000s in %.1000s: %s", c->spec.argv.n ? c->spec.argv.list[0] : "",
                                       in, strerror(ev->error));
    AUTOFREE char *reason = child_reason("start_failed", -1, 0, detail);
    return child_run_ended(n, c,
                           c->s.is_asked    ? c->s.asked
                           : c->s.published ? EXIT_UNREADY
                                            : EXIT_UNSTARTED,
                           reason);
}

static int keeper_died(struct node *n)
{
    struct child *c, *next;
    AUTOFREE char *reason = child_reason("lost", -1, 0, "the keeper died and took its processes along");
    int rc = node_log(n, "keeper_died", NULL, NULL, n->name, 0, NULL, NULL);
    HASH_ITER(hh, n->children, c, next)
    if (rc == 0 && c->s.run)
        rc = child_run_ended(n, c, c->s.is_asked ? c->s.asked : EXIT_LOST, reason);
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
        AUTOFREE char *reason = child_reason(exit_kind_word(why), -1, 0, NULL);
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
