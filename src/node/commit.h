/* commit: when rows become durable, and what happens when they do not. Jobs run one after the other in one
 * transaction (a group commit), each in a savepoint; once that is on disk their effects are let go. A job
 * whose rc is < 0 never happened, and neither did its effects.
 *
 * node_transact and node_try, for one job, are in brain.h.
 */
#ifndef SKEP_NODE_COMMIT_H
#define SKEP_NODE_COMMIT_H

#include <stdbool.h>
#include <stddef.h>

struct node;

struct job {
    int (*fn)(struct node *n, void *arg);
    void *arg;
    bool in_order; /* not before the one in front of it that must be tried again */
    int rc;
};

/* Outside of handlers; a disk that fails ends the node. */
/* When the transaction breaks each runs alone, so that each gets its own verdict in job.rc. */
void commit_jobs(struct node *n, struct job *jobs, size_t count);
/* Of jobs that come again by themselves. < 0: the transaction broke, none of them happened. */
int commit_once(struct node *n, struct job *jobs, size_t count);
/* A failure that may be over soon. */
bool commit_may_pass(int rc);
/* Of the WAL, off the answers' path: when idle, or when it has grown. A reader that pins it only delays this.
 */
void commit_checkpoint(struct node *n, bool idle);

#endif
