/* batch: nodes whose connections were refused, collected so that one power cut is one event.
 *
 * A window opens with the first refusal and closes window_ms later. Each node in it has a minimum of its own
 * since its own refusal (its keeper needs that time to kill), and prolongs the window as far as it must, up
 * to the hard maximum; a node that has not had its minimum by then stays for the next window.
 *
 * Invariants
 *  1. down_batch_due never gives a node before its own refusal + node_min_ms.
 *  2. A node is given at most once for a refusal, and never after a cancel.
 */
#ifndef SKEP_CORE_BATCH_H
#define SKEP_CORE_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/id.h"

struct down_batch_opts {
    int64_t window_ms, node_min_ms, max_ms;
};
#define DOWN_BATCH_OPTS_DEFAULT ((struct down_batch_opts){500, 300, 2000})

struct down_node {
    struct id node;
    int64_t refused_ms;
};

/* Zero bytes are an empty batch. Times: ms of CLOCK_BOOTTIME. */
struct down_batch {
    struct down_node *nodes; /* owned, in order of arrival */
    size_t n, cap;
};

void down_batch_fini(struct down_batch *b);
/* A refusal; a node that is already in the batch keeps its first moment. */
void down_batch_refused(struct down_batch *b, const struct id *node, int64_t at_ms);
/* A newer actor or any other sign of life. True if the node was in the batch. */
bool down_batch_cancel(struct down_batch *b, const struct id *node);
/* When down_batch_due will give something; INT64_MAX while the batch is empty. */
int64_t down_batch_deadline_ms(const struct down_batch *b, const struct down_batch_opts *o);
/* The nodes that are down now, all of one event: removed from the batch. *ret_nodes is an array of yours
 * (NULL when the count, which is returned, is 0). */
size_t down_batch_due(struct down_batch *b, const struct down_batch_opts *o, int64_t now_ms,
                      struct id **ret_nodes);

#endif
