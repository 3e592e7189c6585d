/* scenario: one run from a seed: nodes start, clients work, the nemesis strikes, everything converges.
 *
 * The faults end with the load, a quarter of the time (30 s at least, half of the time at most) before the
 * end. Then every node must come up again, and at the end all checks must hold. What is noted on the way
 * depends on the options and the seed only.
 */
#ifndef SKEP_SIM_SCENARIO_H
#define SKEP_SIM_SCENARIO_H

#include "sim/load.h"
#include "sim/nemesis.h"
#include "sim/sim.h"

struct scenario {
    struct sim_opts sim;
    struct load_opts load;
    int64_t for_us;
    unsigned faults; /* bits of nemesis_kind, and NEMESIS_DRAWN; 0 = none */
    /* Adds programs and checks before anything starts; may be NULL. */
    void (*prepare)(struct sim *s, void *ctx);
    void *ctx;
};

struct scenario scenario_default(uint64_t seed, int nodes);
/* True if nothing was violated. The last note is the digest. */
bool scenario_run(const struct scenario *c, const struct sim_brain *brain);

#endif
