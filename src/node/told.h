/* told: what this node says of what happened elsewhere, so that every node's log tells of it.
 *
 * Most of it is in the rows: of a row that was merged, and what was in its place, follows what happened, in
 * the transaction that merges them, in the order of their stamps, once: a row that comes again is not merged
 * again. What no row says is carried by one of its own, in the table "news". A node that is no member yet
 * copies what has long been so, and says nothing of it.
 */
#ifndef SKEP_NODE_TOLD_H
#define SKEP_NODE_TOLD_H

#include "store/store.h"

#define NEWS_KEPT 1024 /* of a node */

struct node;

/* A live row is about to be replaced or deleted by merging this one; called before each merge, by stores. */
int told_losing(struct node *n, const struct remote_row *row);
/* All of these have been merged. Inside handlers. 0 or < 0. */
int told_merged(struct node *n, const struct remote_row *rows, size_t count);
/* Whether events of this type are carried, wherever they happen. */
bool told_by_no_row(const char *type);
/* This happened here, and was logged, and no row says so to the others: one is written. */
int told_carry(struct node *n, const struct log_entry *l);
/* What was in the place of rows of a transaction that came to nothing. */
void told_clear(struct node *n);
/* The news of a node that was forgotten go, some at a time. */
int told_forget(struct node *n, const char *node);
/* Our own go after tombstone_min_ms: a run that has a row left is never folded. */
int told_sweep(struct node *n);

/* What this owner's claim for another node says of why. They are told as child_moved. */
extern const char *const told_moves[];
enum told_move { MOVE_ASKED, MOVE_DRAIN, MOVE_STOP, MOVE_SWARM, MOVE_PLACEMENT };

#endif
