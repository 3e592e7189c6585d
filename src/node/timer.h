/* timer: a heap of moments at which something is due (ms of CLOCK_BOOTTIME). */
#ifndef SKEP_NODE_TIMER_H
#define SKEP_NODE_TIMER_H

#include "base/mem.h"

struct node;

struct timer {
    int64_t due_ms;                               /* boot; INT64_MAX = not set */
    size_t at;                                    /* place in the heap + 1; 0 = not in it */
    int (*fire)(struct node *n, struct timer *t); /* inside a savepoint; a failure fires it again soon */
};

/* Sets or moves it; INT64_MAX takes it out. Allowed any time: a timer that fires needlessly must do no harm.
 */
void timer_set(struct node *n, struct timer *t, int64_t due_ms);

#endif
