/* brain: node/ and api/ as the simulator's brain. */
#ifndef SKEP_SIM_BRAIN_H
#define SKEP_SIM_BRAIN_H

#include "sim/sim.h"

extern const struct sim_brain sim_brain_node;

struct node;
/* The node behind what sim_node_brain gives. */
struct node *sim_brain_of(void *brain);
/* Whether it is down, or there was no room once, in this run, to write what others had done: it may not know.
 */
bool sim_brain_was_full(const struct sim_node *n);
/* Rows wait for a person's decision somewhere: what they are about waits, too. */
bool sim_brain_in_doubt(struct sim *s);

/* Every node has a label "zone": "a" on n1, n3, n5 …, which also have "disk": "ssd"; "b" on the others. */
bool sim_is_odd(const char *name);

#endif
