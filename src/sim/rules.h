/* rules: clients that change the settings of a swarm while its processes run: who serves it, and by which
 * strategy they are distributed.
 *
 * At the end, long after the last change: every node has the same settings, those that were answered last (if
 * that binds); a process runs only where they let it; what was started and not stopped runs, once, if there
 * is such a node, and else nowhere.
 *
 * Once faults are over the strategy changes some more times, and nothing else: that restarts and moves
 * nobody.
 */
#ifndef SKEP_SIM_RULES_H
#define SKEP_SIM_RULES_H

#include "sim/sim.h"

struct rules;

/* Adds its checks; the simulation must be freed first. */
struct rules *rules_new(struct sim *s);
void rules_free(struct rules *r); /* accepts NULL */
/* Faults are over by then. */
void rules_begin(struct rules *r, int64_t until_us);
void rules_act(struct rules *r);
/* Only after the last operation has been answered. */
void rules_audit(struct rules *r);
int rules_open(const struct rules *r);
void rules_summary(struct rules *r);

#endif
