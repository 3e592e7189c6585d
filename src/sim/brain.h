/* brain: node/ and api/ as the simulator's brain. */
#ifndef SKEP_SIM_BRAIN_H
#define SKEP_SIM_BRAIN_H

#include "sim/sim.h"

extern const struct sim_brain sim_brain_node;

struct node;
/* The node behind what sim_node_brain gives. */
struct node *sim_brain_of(void *brain);

#endif
