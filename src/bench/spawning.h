/* spawning: the yardstick of what starts processes: keepers alone, that spawn as many of the same worker. */
#ifndef SKEP_BENCH_SPAWNING_H
#define SKEP_BENCH_SPAWNING_H

#include "bench/bench.h"

/* So many keepers spawn b->workers together; the seconds until the last one runs. */
int keepers_spawn(struct bench *b, int keepers, double *ret_s, struct err *e);

#endif
