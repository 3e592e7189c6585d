/* bell: clients that register and release addresses, and a receiver outside that a hook calls about each.
 *
 * Whatever strikes:
 *
 *  - a node calls about its events in their order, each for the first time: "id" rises within a life of it;
 *  - what was taken (2xx, in time) is not told again by a node that lives on and can write it down;
 *  - nobody is called about what was refused.
 *
 * At the end: of each registration and release that was answered the receiver has taken a call, if no disk
 * was lost since, and no node has left for good. The receiver refuses and is late now and then, until faults
 * end.
 */
#ifndef SKEP_SIM_BELL_H
#define SKEP_SIM_BELL_H

#include "sim/sim.h"

struct bell;

/* Adds its check, and takes the place outside (sim_outside); the simulation must be freed first. */
struct bell *bell_new(struct sim *s);
void bell_free(struct bell *b); /* accepts NULL */
/* The receiver is well from then on. */
void bell_begin(struct bell *b, int64_t until_us);
void bell_act(struct bell *b);
int bell_open(const struct bell *b);
/* A call is owed: the hook may pause for a minute after failures. */
bool bell_waits(const struct bell *b);
void bell_summary(struct bell *b);

#endif
