/* node: the turn. Takes events, runs each in a savepoint, commits once, lets the effects go.
 *
 * Decides what is done in which order, and what becomes of what could not be written; knows nothing of names
 * or sessions.
 */
#include <string.h>

#include "base/hlc.h"
#include "node/brain.h"
#include "node/commit.h"
#include "node/compare.h"
#include "node/hook.h"
#include "wire/json.h"

#define RETRY_MS         200
#define TICK_MS          100
#define BATCH_EVENTS     512
#define LEAVE_MS         3000
#define LEAVE_ANSWERS_MS 1000  /* of these, for what was asked here and is under way */
#define STOP_STUCK_MS    10000 /* a stop that cannot be written ends all the same */
#define MAIL_PATH        "/v1/peer/mail"

uint64_t node_random(struct node *n)
{
    return prng_next(&n->prng);
}

void node_random_id(struct node *n, struct id *ret)
{
    n->w.random.fill(n->w.random.self, ret->b, sizeof ret->b);
}

int node_log(struct node *n, const char *type, const char *swarm, const char *name, const char *node,
             int64_t epoch, const char *who, const char *data_json)
{
    struct log_entry l = {.type = type,
                          .swarm = swarm,
                          .name = name,
                          .node = node,
                          .who = who,
                          .epoch = epoch,
                          .data = data_json};
    int rc = store_log(n->store, &l, &n->fault);
    if (rc == 0 && told_by_no_row(type))
        rc = told_carry(n, &l);
    return rc < 0 ? rc : hooks_fact(n, &l, true);
}

int node_told(struct node *n, const char *type, const char *swarm, const char *name, const char *node,
              int64_t epoch, const char *data_json)
{
    struct log_entry l = {
        .type = type, .swarm = swarm, .name = name, .node = node, .epoch = epoch, .data = data_json};
    int rc = store_log(n->store, &l, &n->fault);
    return rc < 0 ? rc : hooks_fact(n, &l, false);
}

const char *node_name_of(struct node *n, const char *id_text)
{
    struct id id;
    if (!id_text)
        return NULL;
    if (strcmp(id_text, n->self_text) == 0)
        return n->name;
    struct peer *p = id_parse(id_text, &id) ? peer_find(n, &id) : NULL;
    return p && p->name ? p->name : id_text;
}

bool node_id_of(struct node *n, const char *name_or_id, struct id *ret)
{
    struct peer *p;
    if (strcmp(name_or_id, n->name) == 0 || strcmp(name_or_id, n->self_text) == 0) {
        *ret = n->self;
        return true;
    }
    TAILQ_FOREACH (p, &n->peers, link)
        if (p->name && strcmp(p->name, name_or_id) == 0) {
            *ret = p->id;
            return true;
        }
    struct id id;
    if (!id_parse(name_or_id, &id) || !peer_find(n, &id))
        return false;
    *ret = id;
    return true;
}

struct store *node_store(struct node *n)
{
    return n->store;
}

size_t node_held_bytes(const struct node *n)
{
    return n->held_bytes;
}

int node_ended(const struct node *n)
{
    return n->exit_status;
}

bool node_unclean(const struct node *n)
{
    return n->unclean;
}

/* ---- events ---- */

/* What needs no store, and so goes on while somebody holds the database. True: done with. */
static bool memory_event(struct node *n, struct event *ev)
{
    bool mine = false;
    switch (ev->kind) {
    case EV_PINGED:
        peer_pinged(n, ev);
        return true;
    case EV_PULLED:
        pull_pulled(n, ev);
        return true;
    case EV_PEER_CLOSED:
        peer_closed(n, &ev->node, ev->at_boot_ms);
        return true;
    case EV_PEER_ANSWERED:
    case EV_PEER_FAILED:
        if (relay_event(n, ev))
            return true;
        peer_answered(n, ev, &mine);
        return mine || mail_answered(n, ev) || compare_answered(n, ev);
    case EV_TICK:
    case EV_RELOADED:
        return true;
    case EV_REQUEST:
        if (strcmp(ev->request->path, RELAY_PATH) == 0) {
            relay_arrived(n, ev->request);
            return true;
        }
        if (strcmp(ev->request->path, MAIL_PATH) != 0)
            return false;
        mail_arrived(n, ev->request, &mine);
        return mine;
    case EV_CHILD_SPAWNED:
    case EV_CHILD_FAILED:
    case EV_CHILD_EXITED:
    case EV_CHILD_LINE:
    case EV_CHILD_DRAINED:
    case EV_KEEPER_DIED:
    case EV_HOOK_ANSWERED:
        return false;
    case EV_STOP: /* what is held and tried again is the same one */
        n->stop_now |= n->stop_asked_ms && ev->at_boot_ms != n->stop_asked_ms;
        if (!n->stop_asked_ms)
            n->stop_asked_ms = ev->at_boot_ms;
        return false;
    }
    return true;
}

static int stop_asked(struct node *n)
{
    if (n->leaving)
        return children_stop_all(n, true);
    node_touch(n, &n->leaving, sizeof n->leaving);
    node_touch(n, &n->draining, sizeof n->draining);
    n->leaving = n->draining = true;
    int rc = node_log(n, "coordinator_shutdown", NULL, NULL, n->name, 0, NULL, "{\"reason\":\"stop\"}");
    if (rc == 0)
        rc = node_row_write(n, &n->fault);
    return rc < 0 ? rc : children_stop_all(n, false);
}

static void request_taken(struct node *n UNUSED, void *arg)
{
    ((struct event *)arg)->request = NULL;
}

static int process_event(struct node *n, const struct event *ev)
{
    int rc = 0;
    bool of_hook = hook_call_event(n, ev, &rc);
    return of_hook || rc < 0 ? rc : child_event(n, ev);
}

static int event_handle(struct node *n, void *arg)
{
    struct event *ev = arg;
    switch (ev->kind) {
    case EV_REQUEST:
        if (strcmp(ev->request->path, MAIL_PATH) == 0)
            return mail_arrived(n, ev->request, NULL);
        eff_do(n, request_taken, ev, NULL);
        return op_begin(n, op_new(n, OP_CLIENT, ev->request));
    case EV_PEER_ANSWERED:
    case EV_PEER_FAILED: {
        int rc = pull_answered(n, ev);
        if (rc == 0)
            rc = resync_answered(n, ev);
        return rc < 0 ? rc : 0;
    }
    case EV_CHILD_SPAWNED:
    case EV_CHILD_FAILED:
    case EV_CHILD_EXITED:
    case EV_CHILD_LINE:
    case EV_CHILD_DRAINED:
    case EV_KEEPER_DIED:
    case EV_HOOK_ANSWERED:
        return process_event(n, ev);
    case EV_STOP:
        return stop_asked(n);
    case EV_PINGED:
    case EV_PULLED:
    case EV_PEER_CLOSED:
    case EV_TICK:
    case EV_RELOADED:
        break;
    }
    return 0;
}

void node_hold(struct node *n, struct event *ev TAKES)
{
    ARRAY_GROW(n->held, n->held_n, n->held_cap);
    n->held_bytes += sizeof *ev + ev->bytes_n;
    n->held[n->held_n++] = *ev;
    *ev = (struct event){0};
    n->held_until_ms = n->now_ms + RETRY_MS;
}

/* The store would not take it: a request gets its verdict, everything else is tried again. */
static void refuse(struct node *n, struct event *ev, int rc)
{
    struct err e = n->fault;
    n->counters.busy += rc == SKEP_EBUSY;
    n->counters.disk_full += rc == SKEP_EDISKFULL;
    if (ev->kind == EV_REQUEST && ev->request) {
        int pid;
        char what[128];
        if (rc == SKEP_EBUSY && db_culprit(n->w.disk.path, &pid, what, sizeof what))
            err_set(&e, rc, "%s; nothing was written. End that transaction, or try again later", what);
        struct str body = STR_INIT;
        e.code = rc;
        json_problem(&body, &e, (struct span){NULL, 0});
        struct answer *a = answer_json(err_info(rc)->http, &body);
        a->retry_after_s = a->status == 503;
        n->w.net.answer(n->w.net.self, ev->request->id, a);
        event_fini(ev);
        return;
    }
    if (!commit_may_pass(rc)) { /* it would be refused for ever */
        log_error(n->w.log, "an event of kind %d was given up: %s", (int)ev->kind, e.text);
        event_fini(ev);
        return;
    }
    node_hold(n, ev);
}

/* What a process of this node has done, and the stop, come one after the other; a page of a peer, and what a
 * hook was answered, may overtake them. */
static bool in_line(const struct event *ev)
{
    return ev->kind != EV_REQUEST && ev->kind != EV_PEER_ANSWERED && ev->kind != EV_PEER_FAILED &&
           ev->kind != EV_HOOK_ANSWERED;
}

static void events_run(struct node *n, struct event *events, size_t count)
{
    struct job jobs[BATCH_EVENTS];
    struct event *of[BATCH_EVENTS];
    size_t jobs_n = 0;
    for (size_t i = 0; i < count; i++) {
        if (memory_event(n, &events[i])) {
            event_fini(&events[i]);
            continue;
        }
        if (n->held_n && in_line(&events[i])) { /* after those that came before it */
            node_hold(n, &events[i]);
            continue;
        }
        of[jobs_n] = &events[i];
        jobs[jobs_n++] = (struct job){.fn = event_handle, .arg = &events[i], .in_order = in_line(&events[i])};
    }
    effects_release(n);
    commit_jobs(n, jobs, jobs_n);
    for (size_t i = 0; i < jobs_n && n->exit_status < 0; i++)
        if (jobs[i].rc < 0)
            refuse(n, of[i], jobs[i].rc);
        else
            event_fini(of[i]);
    n->counters.events += (int64_t)count;
}

/* ---- what is due ---- */

static void read_clocks(struct node *n)
{
    n->now_ms = n->w.clock.boot_ms(n->w.clock.self);
    n->real_ms = n->w.clock.real_ms(n->w.clock.self);
    watch_read(n);
}

/* Timers and woken ops point into things that an effect may free: of their own batch after its commit at the
 * earliest, but of a batch that broke and is run one by one, each after its own. So a failure is noted by the
 * handler, while its owner lives, and what is run alone is taken off its queue only then. */

static int fire(struct node *n, void *arg)
{
    struct timer *t = arg;
    int rc = t->fire(n, t);
    if (rc < 0)
        timer_set(n, t, n->now_ms + RETRY_MS);
    return rc;
}

static int wake(struct node *n, void *arg)
{
    struct op *op = arg;
    int rc = op_begin(n, op);
    if (rc < 0)
        timer_set(n, &op->timer, n->now_ms + RETRY_MS);
    return rc;
}

static struct job timer_take(struct node *n)
{
    struct job j = {.fn = fire, .arg = n->heap[0]};
    timer_set(n, n->heap[0], INT64_MAX);
    return j;
}

static bool timer_is_due(const struct node *n)
{
    return n->heap_n && n->heap[0]->due_ms <= n->now_ms && n->exit_status < 0;
}

static void timers_run(struct node *n)
{
    struct job jobs[BATCH_EVENTS];
    size_t count = 0;
    while (count < BATCH_EVENTS && timer_is_due(n))
        jobs[count++] = timer_take(n);
    int rc = count ? commit_once(n, jobs, count) : 0;
    if (rc == 0)
        return;
    bool alone = rc != SKEP_EBUSY && count > 1;
    for (size_t i = 0; i < count; i++)
        timer_set(n, jobs[i].arg, alone ? n->now_ms : n->now_ms + RETRY_MS);
    for (size_t i = 0; alone && i < count && timer_is_due(n); i++) {
        struct job j = timer_take(n);
        if (commit_once(n, &j, 1) < 0)
            timer_set(n, j.arg, n->now_ms + RETRY_MS);
    }
}

static struct job woken_take(struct node *n)
{
    struct op *op = TAILQ_FIRST(&n->woken);
    TAILQ_REMOVE(&n->woken, op, wake_link);
    op->woken = false;
    return (struct job){.fn = wake, .arg = op};
}

static bool some_woken(const struct node *n)
{
    return !TAILQ_EMPTY(&n->woken) && n->exit_status < 0;
}

static void woken_again(struct node *n, struct op *op)
{
    op->woken = true;
    TAILQ_INSERT_TAIL(&n->woken, op, wake_link);
}

/* Ops whose row changed run again, all in one transaction. */
static void woken_batch(struct node *n)
{
    struct job jobs[BATCH_EVENTS];
    size_t count = 0;
    while (count < BATCH_EVENTS && some_woken(n))
        jobs[count++] = woken_take(n);
    int rc = commit_once(n, jobs, count);
    if (rc == 0)
        return;
    bool alone = rc != SKEP_EBUSY && count > 1;
    for (size_t i = 0; i < count; i++) {
        struct op *op = jobs[i].arg;
        if (alone)
            woken_again(n, op);
        else
            timer_set(n, &op->timer, n->now_ms + RETRY_MS);
    }
    for (size_t i = 0; alone && i < count && some_woken(n); i++) {
        struct job j = woken_take(n);
        struct op *op = j.arg;
        if (commit_once(n, &j, 1) < 0)
            timer_set(n, &op->timer, n->now_ms + RETRY_MS);
    }
}

static void woken_run(struct node *n)
{
    for (int round = 0; round < 100 && some_woken(n); round++)
        woken_batch(n);
}

static void held_run(struct node *n)
{
    if (n->held_n == 0 || n->now_ms < n->held_until_ms)
        return;
    struct event *held = TAKE(n->held);
    size_t count = n->held_n;
    n->held_n = n->held_cap = n->held_bytes = 0;
    for (size_t i = 0; i < count; i += BATCH_EVENTS)
        events_run(n, held + i, count - i < BATCH_EVENTS ? count - i : BATCH_EVENTS);
    free(held);
}

static int work(struct node *n, void *arg UNUSED)
{
    int rc = watch_work(n);
    if (rc == 0)
        rc = peers_work(n);
    if (rc == 0)
        rc = declare_work(n);
    return rc < 0 ? rc : own_work(n);
}

/* The last word of a node that owns nothing any more. */
static int say_left(struct node *n, void *arg UNUSED)
{
    node_touch(n, &n->left, sizeof n->left);
    n->left = true;
    int rc = node_row_write(n, &n->fault);
    if (rc == 0)
        rc = store_meta_set(n->store, "ended", "clean", &n->fault);
    return rc < 0 ? rc : node_log(n, "node_left", NULL, NULL, n->name, 0, NULL, NULL);
}

/* A stop ends once nothing runs here, that was written, all others have it, or somebody after a
 * second, and who asked is answered.
 */
static void leave_when_done(struct node *n)
{
    /* Full disk, or somebody holds the database: the keeper ends what runs here, others take it over. */
    bool stuck = n->stop_now || n->now_ms - n->stop_asked_ms > STOP_STUCK_MS;
    if (n->stop_asked_ms && stuck && !n->leaving && n->exit_status < 0)
        n->exit_status = 0;
    if (!n->leaving || n->exit_status >= 0 || !children_gone(n))
        return;
    if (!n->left) {
        n->leave_by_ms = n->now_ms + LEAVE_MS;
        if (node_transact(n, say_left, NULL) < 0 && stuck)
            n->exit_status = 0;
        return;
    }
    bool patient = n->now_ms < n->leave_by_ms - LEAVE_MS + LEAVE_ANSWERS_MS;
    size_t others = view_others(&n->view), need = patient ? others : others > 0;
    bool covered = (size_t)cover_count(n, vv_get(&n->vv, n->actor)) >= need;
    bool ends = stuck || n->now_ms > n->leave_by_ms || (covered && !patient);
    node_transact(n, ops_end, &ends);
    if (ends || (covered && n->ops_n == 0 && !mail_waits(n)))
        n->exit_status = 0;
}

/* Nobody else has our id. */
static bool run_begins(struct node *n)
{
    int rc = node_begin(n);
    if (rc < 0 && n->exit_status < 0) {
        log_error(n->w.log, "the run could not begin: %s", n->fault.text);
        n->exit_status = err_info(rc)->exit_status;
    }
    n->frozen_dirty = true;
    return rc == 0;
}

void node_turn(struct node *n, struct event *events, size_t count)
{
    int64_t due = n->late_due_ms;
    read_clocks(n);
    doubt_tick(&n->doubt, due < n->now_ms ? due : n->now_ms, n->now_ms);
    n->counters.turns++;
    if (n->probe.running) {
        if (!probe_turn(n, events, count) || n->exit_status >= 0 || !run_begins(n))
            return;
        count = 0;
    }
    view_lapse(&n->view, n->now_ms);
    held_run(n);
    for (size_t i = 0; i < count && n->exit_status < 0; i += BATCH_EVENTS)
        events_run(n, events + i, count - i < BATCH_EVENTS ? count - i : BATCH_EVENTS);
    for (size_t i = 0; i < count; i++)
        event_fini(&events[i]);
    if (n->exit_status >= 0)
        return;
    room_tick(n);
    poke_tick(n);
    peers_tick(n);
    watch_judge(n);
    peers_view(n);
    effects_release(n);
    if ((own_has_work(n) || peers_have_work(n) || declare_has_work(n) || watch_has_work(n)) &&
        n->now_ms >= n->work_after_ms && node_transact(n, work, NULL) < 0)
        n->work_after_ms = n->now_ms + RETRY_MS;
    if (batches_have_work(n) && n->now_ms >= n->work_after_ms && node_transact(n, batches_work, NULL) < 0)
        n->work_after_ms = n->now_ms + RETRY_MS;
    timers_run(n);
    woken_run(n);
    leave_when_done(n);
    hooks_tick(n);
    commit_checkpoint(n, count == 0);
    mail_tick(n);
    effects_release(n);
    node_publish(n);
    n->late_due_ms = node_deadline_boot_ms(n) + TICK_MS;
}

int64_t node_deadline_boot_ms(const struct node *n)
{
    int64_t at = n->now_ms + TICK_MS;
    if (n->probe.running) /* the first turn dials; no timer fires before the run begins */
        return n->counters.turns ? n->probe.until_ms : n->now_ms;
    if (((n->scanning || n->again_n || batches_have_work(n)) && n->now_ms >= n->work_after_ms) ||
        !TAILQ_EMPTY(&n->woken) || hooks_have_work(n))
        at = n->now_ms;
    if (n->heap_n && n->heap[0]->due_ms < at)
        at = n->heap[0]->due_ms;
    return at;
}
