/* whim: somebody who changes how nodes tell each other of the swarm default, while everything runs.
 *
 * Nothing may depend on it: whatever is set, whoever knows of it already, all checks hold as they do without.
 */
#ifndef SKEP_SIM_WHIM_H
#define SKEP_SIM_WHIM_H

#include "sim/sim.h"

/* Another synchronization, said at any node; what becomes of that is nobody's business. */
void whim_act(struct sim *s);

#endif
