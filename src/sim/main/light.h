/* light: what a cluster of light nodes does in one run, as a table. */
#ifndef SKEP_SIM_MAIN_LIGHT_H
#define SKEP_SIM_MAIN_LIGHT_H

#include <stdint.h>

#define LIGHT_NODES_MAX 2000

/* Idle, loaded and lossy for a third of for_us each, and what else there is to see, on standard output. Exit
 * status: 0, or 1 if something did not come to its end in time. */
int light_table(uint64_t seed, int nodes, int64_t for_us);

#endif
