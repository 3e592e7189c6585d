/* commit: jobs in one transaction, each in a savepoint; and what is said of those that were not written. */
#include "node/commit.h"

#include <stdlib.h>
#include <string.h>

#include "node/brain.h"

#define WAL_IDLE_BYTES (256 << 10)
#define WAL_SOFT_BYTES (4 << 20)
#define WAL_HARD_BYTES (64 << 20)

static bool is_fatal(int rc)
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

bool commit_may_pass(int rc)
{
    return rc == SKEP_EBUSY || rc == SKEP_EDISKFULL || rc == SKEP_ESTORE || rc == SKEP_ETIMEOUT ||
           rc == SKEP_ECLOCK;
}

int node_try(struct node *n, int (*fn)(struct node *n, void *arg), void *arg, const char *what)
{
    int rc = run_one(n, fn, arg);
    if (rc == 0 || commit_may_pass(rc) || is_fatal(rc) || !db_in_transaction(store_db(n->store)))
        return rc;
    log_error(n->w.log, "%s was given up: %s", what, n->fault.text);
    return 0;
}

/* What a job that failed means for those behind it: 0, or the failure of every one that must not overtake. */
static int stuck_by(const struct job *j, int before)
{
    return before == 0 && j->in_order && commit_may_pass(j->rc) ? j->rc : before;
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

void commit_jobs(struct node *n, struct job *jobs, size_t count)
{
    if (count == 0)
        return;
    int rc = run_batch(n, jobs, count);
    if (met_the_end(jobs, count, rc) && room_give(n))
        rc = run_again(n, jobs, count, rc);
    int broke = rc;
    for (size_t i = 0; rc == 0 && i < count; i++)
        if (is_fatal(jobs[i].rc)) {
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
        if (is_fatal(jobs[i].rc)) {
            die(n);
            return;
        }
    }
}

int commit_once(struct node *n, struct job *jobs, size_t count)
{
    int rc = run_batch(n, jobs, count);
    bool die_now = is_fatal(rc);
    for (size_t i = 0; rc == 0 && i < count; i++)
        die_now |= is_fatal(jobs[i].rc);
    if (die_now)
        die(n);
    return rc;
}

int node_transact(struct node *n, int (*fn)(struct node *n, void *arg), void *arg)
{
    struct job j = {.fn = fn, .arg = arg};
    commit_jobs(n, &j, 1);
    return j.rc;
}

void commit_checkpoint(struct node *n, bool idle)
{
    int64_t wal = db_wal_bytes(store_db(n->store));
    bool due =
        wal >= WAL_SOFT_BYTES || (idle && wal >= WAL_IDLE_BYTES && n->now_ms - n->checkpoint_ms > 1000);
    if (!due || n->now_ms - n->checkpoint_ms < 100)
        return;
    n->checkpoint_ms = n->now_ms;
    int rc = db_checkpoint(store_db(n->store), wal >= WAL_HARD_BYTES, &n->fault);
    if (is_fatal(rc))
        die(n);
    else if (rc < 0 && wal >= WAL_HARD_BYTES && n->now_ms - n->wal_warned_ms > 60000) {
        n->wal_warned_ms = n->now_ms;
        log_warn(n->w.log, "the write-ahead log has %lld MiB: %s", (long long)(wal >> 20), n->fault.text);
    }
}
