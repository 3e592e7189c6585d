/* crasher: a row that ends skepd each time it is applied would end it for ever, for it comes again with each
 * pull. So the row that is being applied is noted where the note outlives the process; one that was noted at
 * two ends is kept aside, and everything else goes on.
 */
#ifndef SKEP_NODE_CRASHER_H
#define SKEP_NODE_CRASHER_H

#include "store/store.h"

struct node;

#define CRASHERS_MAX 16

struct crashers {
    struct crasher {
        int64_t actor, hlc;
        int ends;
    } rows[CRASHERS_MAX]; /* newest first */
    int n;
};

/* When a run begins, in its first transaction: what the last one was doing when it ended. */
int crashers_load(struct node *n);
/* Around the application of a row, and what follows from it. */
void crasher_note(struct node *n, const struct remote_row *row);
void crasher_clear(struct node *n);
/* Why a row is not to be applied, or NULL. */
const char *crasher_why(const struct node *n, const struct remote_row *row);

#endif
