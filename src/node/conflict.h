/* conflict: two sides of a partition ran the same name and meet again (conflict.c). */
#ifndef SKEP_NODE_CONFLICT_H
#define SKEP_NODE_CONFLICT_H

#include "store/store.h"

struct node;
struct child;

/* A better row is about to replace one of ours by merging: what only the loser has is saved first. The hook
 * of store_on_loss; ctx is the node. */
int conflict_losing(void *ctx, const struct remote_row *row, const struct stamp *old, struct err *e);
/* The claim `now` is merged, and our process runs under an older one. Ends it, or, under the policy `oldest`,
 * claims again: 1 if it did and the process goes on. Inside handlers, in the merging transaction. */
int conflict_beaten(struct node *n, struct child *c, const struct name_row *now);
/* Offers what losers left to the processes that this node runs now. Inside a handler, every second. */
int conflicts_offer(struct node *n);
/* What hangs on a name that is no more. */
int conflict_forget(struct node *n, const char *swarm, const char *name);

/* What the worker that stayed, or somebody for it, says of the last conflict of its name that waits: this
 * process goes on, or (keep_loser) the other side's state does: under a new claim, on the node that lost if
 * that can take it. The process runs. 1; 0: none waits. */
int conflict_answer(struct node *n, struct child *c, bool keep_loser, const char *who);

#endif
