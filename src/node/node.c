/* node: the turn. Takes events, runs each in a savepoint, commits once, lets the effects go.
 *
 * Decides when rows become durable and what happens when they do not; knows nothing of names or sessions.
 */
#include <string.h>

#include "base/hlc.h"
#include "node/brain.h"
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
#define WAL_IDLE_BYTES   (256 << 10)
#define WAL_SOFT_BYTES   (4 << 20)
#define WAL_HARD_BYTES   (64 << 20)

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

/* ---- the batch ---- */

static void read_clocks(struct node *n)
{
    n->now_ms = n->w.clock.boot_ms(n->w.clock.self);
    n->real_ms = n->w.clock.real_ms(n->w.clock.self);
    watch_read(n);
}

static bool fatal(int rc)
{
    return rc == SKEP_EIO || rc == SKEP_EDAMAGED;
}

static void die(struct node *n)
{
    log_error(n->w.log, "%s; ending, for nothing can be promised on this disk", n->fault.text);
    n->exit_status = err_info(SKEP_EIO)->exit_status;
}

/* One handler in a savepoint. < 0: it never happened. */
static int run_one(struct node *n, int (*fn)(struct node *n, void *arg), void *arg)
{
    struct mark m = effects_mark(n->fx);
    int64_t written = store_written(n->store);
    int rc = db_savepoint(store_db(n->store), &n->fault);
    if (rc == 0)
        rc = fn(n, arg);
    if (rc >= 0)
        rc = db_release(store_db(n->store), &n->fault);
    if (rc == 0)
        return 0;
    effects_drop(n->fx, m);
    store_unwritten(n->store, written);
    if (db_in_transaction(store_db(n->store)))
        db_rollback_to(store_db(n->store), NULL);
    return rc;
}

struct job {
    int (*fn)(struct node *n, void *arg);
    void *arg;
    bool in_order; /* not before the one in front of it that must be tried again */
    int rc;
};

/* A failure that may be over soon. */
static bool passes(int rc)
{
    return rc == SKEP_EBUSY || rc == SKEP_EDISKFULL || rc == SKEP_ESTORE || rc == SKEP_ETIMEOUT ||
           rc == SKEP_ECLOCK;
}

int node_try(struct node *n, int (*fn)(struct node *n, void *arg), void *arg, const char *what)
{
    int rc = run_one(n, fn, arg);
    if (rc == 0 || passes(rc) || fatal(rc) || !db_in_transaction(store_db(n->store)))
        return rc;
    log_error(n->w.log, "%s was given up: %s", what, n->fault.text);
    return 0;
}

/* What a job that failed means for those behind it: 0, or the failure of every one that must not overtake. */
static int stuck_by(const struct job *j, int before)
{
    return before == 0 && j->in_order && passes(j->rc) ? j->rc : before;
}

/* The run's own entry in the vector, so that readers prove what is committed with it. */
static int write_own_vector(struct node *n)
{
    int64_t written = store_written(n->store);
    if (written <= vv_get(&n->vv, n->actor))
        return 0;
    return store_vv_raise(n->store, n->actor, written, &n->fault);
}

static int ascending(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

static void batch_counted(struct node *n, int rows)
{
    int sizes[BATCHES_KEPT];
    if (rows == 0)
        return;
    n->batch_sizes[n->batches++ % BATCHES_KEPT] = rows;
    unsigned kept = n->batches < BATCHES_KEPT ? n->batches : BATCHES_KEPT;
    memcpy(sizes, n->batch_sizes, sizeof sizes);
    qsort(sizes, kept, sizeof *sizes, ascending);
    n->counters.batch_last = rows;
    n->counters.batch_median = sizes[kept / 2];
}

static int commit(struct node *n)
{
    int rc = facts_write(n);
    if (rc == 0)
        rc = write_own_vector(n);
    size_t reach = rc == 0 && store_written(n->store) > vv_get(&n->vv, n->actor) ? poke_written(n) : 0;
    if (rc == 0)
        rc = db_commit(store_db(n->store), &n->fault);
    if (rc < 0) {
        db_rollback(store_db(n->store), NULL);
        return rc;
    }
    n->counters.commits++;
    facts_clear(n);
    if (vv_raise(&n->vv, n->actor, store_written(n->store)))
        poke_others(n, reach, NULL);
    effects_release(n);
    return 0;
}

/* All jobs in one transaction. < 0: none of them happened. */
static int run_batch(struct node *n, struct job *jobs, size_t count)
{
    struct mark m = effects_mark(n->fx);
    int64_t writes = store_writes(n->store), written = store_written(n->store);
    int rc = db_begin(store_db(n->store), &n->fault), stuck = 0;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        bool waits = stuck && jobs[i].in_order;
        jobs[i].rc = waits ? stuck : run_one(n, jobs[i].fn, jobs[i].arg);
        stuck = stuck_by(&jobs[i], stuck);
        if (jobs[i].rc < 0 && !db_in_transaction(store_db(n->store)))
            rc = jobs[i].rc; /* SQLite gave up the whole transaction */
    }
    if (rc == 0)
        rc = commit(n);
    if (rc < 0) {
        db_rollback(store_db(n->store), NULL);
        effects_drop(n->fx, m);
        store_unwritten(n->store, written); /* or the next batch, with nothing to write, would write that */
    } else {
        batch_counted(n, (int)(store_writes(n->store) - writes));
    }
    return rc;
}

static bool met_the_end(const struct job *jobs, size_t count, int rc)
{
    for (size_t i = 0; rc == 0 && i < count; i++)
        if (jobs[i].rc == SKEP_EDISKFULL)
            return true;
    return rc == SKEP_EDISKFULL;
}

/* What the end of the disk has stopped, in its order. */
static int run_again(struct node *n, struct job *jobs, size_t count, int rc)
{
    if (rc < 0)
        return run_batch(n, jobs, count);
    for (size_t i = 0; i < count; i++)
        if (jobs[i].rc == SKEP_EDISKFULL && (rc = run_batch(n, &jobs[i], 1)) < 0)
            jobs[i].rc = rc;
    return 0;
}

/* Runs the jobs; when the transaction breaks, each alone, so that each gets its own verdict in job.rc. */
static void run_jobs(struct node *n, struct job *jobs, size_t count)
{
    if (count == 0)
        return;
    int rc = run_batch(n, jobs, count);
    if (met_the_end(jobs, count, rc) && room_give(n))
        rc = run_again(n, jobs, count, rc);
    int broke = rc;
    for (size_t i = 0; rc == 0 && i < count; i++)
        if (fatal(jobs[i].rc)) {
            die(n);
            return;
        }
    int stuck = 0;
    for (size_t i = 0; rc < 0 && i < count; i++) {
        if (broke == SKEP_EBUSY || count == 1) /* the begin failed, or there is nothing to separate */
            jobs[i].rc = broke;
        else if (stuck && jobs[i].in_order)
            jobs[i].rc = stuck;
        else if ((broke = run_batch(n, &jobs[i], 1)) < 0)
            jobs[i].rc = broke;
        stuck = stuck_by(&jobs[i], stuck);
        if (fatal(jobs[i].rc)) {
            die(n);
            return;
        }
    }
}

int node_transact(struct node *n, int (*fn)(struct node *n, void *arg), void *arg)
{
    struct job j = {.fn = fn, .arg = arg};
    run_jobs(n, &j, 1);
    return j.rc;
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
    if (!passes(rc)) { /* it would be refused for ever */
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
    run_jobs(n, jobs, jobs_n);
    for (size_t i = 0; i < jobs_n && n->exit_status < 0; i++)
        if (jobs[i].rc < 0)
            refuse(n, of[i], jobs[i].rc);
        else
            event_fini(of[i]);
    n->counters.events += (int64_t)count;
}

/* ---- what is due ---- */

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

/* One transaction of jobs that return here. < 0: it broke, none of them happened, all their owners live. */
static int run_queue(struct node *n, struct job *jobs, size_t count)
{
    int rc = run_batch(n, jobs, count);
    bool die_now = fatal(rc);
    for (size_t i = 0; rc == 0 && i < count; i++)
        die_now |= fatal(jobs[i].rc);
    if (die_now)
        die(n);
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
    int rc = count ? run_queue(n, jobs, count) : 0;
    if (rc == 0)
        return;
    bool alone = rc != SKEP_EBUSY && count > 1;
    for (size_t i = 0; i < count; i++)
        timer_set(n, jobs[i].arg, alone ? n->now_ms : n->now_ms + RETRY_MS);
    for (size_t i = 0; alone && i < count && timer_is_due(n); i++) {
        struct job j = timer_take(n);
        if (run_queue(n, &j, 1) < 0)
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
    int rc = run_queue(n, jobs, count);
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
        if (run_queue(n, &j, 1) < 0)
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

/* Off the answers' path: when idle, or when the WAL has grown. A reader that pins it only delays this. */
static void checkpoint(struct node *n, bool idle)
{
    int64_t wal = db_wal_bytes(store_db(n->store));
    bool due =
        wal >= WAL_SOFT_BYTES || (idle && wal >= WAL_IDLE_BYTES && n->now_ms - n->checkpoint_ms > 1000);
    if (!due || n->now_ms - n->checkpoint_ms < 100)
        return;
    n->checkpoint_ms = n->now_ms;
    int rc = db_checkpoint(store_db(n->store), wal >= WAL_HARD_BYTES, &n->fault);
    if (fatal(rc))
        die(n);
    else if (rc < 0 && wal >= WAL_HARD_BYTES && n->now_ms - n->wal_warned_ms > 60000) {
        n->wal_warned_ms = n->now_ms;
        log_warn(n->w.log, "the write-ahead log has %lld MiB: %s", (long long)(wal >> 20), n->fault.text);
    }
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
    checkpoint(n, count == 0);
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
