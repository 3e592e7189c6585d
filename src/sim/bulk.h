/* bulk: clients that start and stop many processes in one call.
 *
 * As long as no fault suspends the promise about answers (sim_promised) and no disk is lost, of each group of
 * names:
 *
 *  - what was answered is so: all run, each once, or none does;
 *  - a start or stop of which nobody knows the outcome, for its node was killed, happens to all of the names
 *    in the end, or to none; but for those that no exec could start;
 *  - a start with rollback, one of whose children can never run, leaves nothing, also if nobody was told.
 *
 * Each group has one operation at a time; after one of unknown outcome it rests until that has happened, or
 * never will.
 */
#ifndef SKEP_SIM_BULK_H
#define SKEP_SIM_BULK_H

#include "sim/sim.h"

struct bulk;

/* That many groups. Adds its check; the simulation must be freed first. */
struct bulk *bulk_new(struct sim *s, int groups);
void bulk_free(struct bulk *b); /* accepts NULL */
/* One operation on a group of which none is under way. */
void bulk_act(struct bulk *b);
/* Only after the last operation has been answered: from now on the check asks the table of processes. */
void bulk_audit(struct bulk *b);
int bulk_open(const struct bulk *b);
void bulk_summary(struct bulk *b);

#endif
