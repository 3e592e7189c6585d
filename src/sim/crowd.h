/* crowd: several clients at one name at once, and whether there is one order of what they were told.
 *
 * What is promised in divergence mode, and therefore asked here: as long as no fault suspends the promise
 * about answers (sim_promised: partitions beyond the detector's patience, two nodes away at once, files that
 * went back, clocks that lie), each name is one register. Starts, stops, registrations, replacements and
 * removals are decided by one node at a time, the home or the owner, which is OPEN and holds what every
 * acknowledged decision before it left (two copies before it counts, and a barrier before it opens); a read
 * with ?read=owner asks that node; a call is counted once its checkpoint has its second copy. So the history
 * of a name must be linearizable. Not promised, and not recorded:
 *
 *  - plain reads: they are local, and may be behind. After the last operation and the healing they are not:
 *    the audit's are recorded.
 *  - a child that is starting: it is visible before its start has succeeded.
 *  - answers with "copies": 0 by one of several nodes: what it said may be lost with it. They are of unknown
 *    outcome.
 *
 * When the promise was suspended, the operations from then on are of unknown outcome; after a rest in which
 * they have all had their time, a new history begins with "who knows".
 */
#ifndef SKEP_SIM_CROWD_H
#define SKEP_SIM_CROWD_H

#include "sim/linear.h"
#include "sim/sim.h"

struct crowd;

/* That many children and addresses. Adds its check; the simulation must be freed first. */
struct crowd *crowd_new(struct sim *s, int children, int names);
void crowd_free(struct crowd *c); /* accepts NULL */
/* One operation of one more client, if there is not a crowd already. */
void crowd_act(struct crowd *c);
/* Reads every name at every node that is up. Only after the last operation has been answered. */
void crowd_audit(struct crowd *c);
/* Operations without an answer yet. */
int crowd_open(const struct crowd *c);
/* Notes how many operations were judged. */
void crowd_summary(struct crowd *c);

#endif
