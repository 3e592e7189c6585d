/* heard: what the log of every node must tell of, whatever struck: each claim that is here, once, and those
 * of a name in their order. Part of the invariants.
 */
#ifndef SKEP_SIM_HEARD_H
#define SKEP_SIM_HEARD_H

struct invariants;

/* Of the node of that number, which is up. */
void heard_hold(struct invariants *v, int i);

#endif
