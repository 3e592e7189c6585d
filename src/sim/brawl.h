/* brawl: clients that start and stop the same processes at once, one by one and many in a call, in every
 * mode, in swarms that say where each may run. Nobody keeps book of their answers; what must be true follows
 * from what is there:
 *
 *  - at any moment a process of a guided swarm runs on the node that its name says, and one of a swarm that
 *    wants a label on a node that has it;
 *  - a mapping that is no good is refused for the reason that it deserves;
 *  - at the end each name that is there runs, once, if there is a node for it, and nothing else runs;
 *  - at the end no rollback is open (others end in 10 minutes at the latest), whoever began it; what lives
 *    for one is what it says it has started; one that was rolled back, or wanted all and did not get them,
 *    has nothing;
 *  - each name that was asked for has one outcome, the same for HTTP and SQL, on all nodes.
 *
 * Where rows wait for "skep doctor" nothing is asked. The last holds under every fault that is over by then,
 * also where what clients are told binds nobody.
 */
#ifndef SKEP_SIM_BRAWL_H
#define SKEP_SIM_BRAWL_H

#include "sim/sim.h"

struct brawl;

/* Adds its checks; the simulation must be freed first. */
struct brawl *brawl_new(struct sim *s);
void brawl_free(struct brawl *b); /* accepts NULL */
void brawl_begin(struct brawl *b);
void brawl_act(struct brawl *b);
/* Only after the last operation has been answered. */
void brawl_audit(struct brawl *b);
int brawl_open(const struct brawl *b);
void brawl_summary(struct brawl *b);

#endif
