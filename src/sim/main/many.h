/* many: runs many seeds, each in a process of its own, and tells what came of it.
 *
 * The report goes to standard output: progress on standard error if that is a terminal, at the end how many
 * seeds, which failed, how fast, what befell the nodes, and for each failure the command that repeats it. A
 * failing run is made smaller, within a time, and its last seconds are written to a file in `folder`.
 */
#ifndef SKEP_SIM_MAIN_MANY_H
#define SKEP_SIM_MAIN_MANY_H

#include "sim/runner.h"

struct many {
    struct scenario plan; /* of each run, but for its seed */
    bool draw_nodes;      /* the number of nodes follows from the seed */
    bool random;          /* seeds nobody has tried, from `first` on */
    uint64_t first, count;
    int64_t wall_ms; /* no new seed after so long; 0 = no limit. With it, count is no limit. */
    int jobs;
    int64_t shrink_ms;  /* for one failure; 0 = not at all */
    int failures_max;   /* no new seed after so many */
    const char *folder; /* of the transcripts */
    int cpu_s;          /* limits of one run */
    int64_t memory_mb;  /* 0 = none */
    char *const *more;  /* options passed on as they are, NULL-terminated */
};

/* Exit status: 0, or 1 if a seed failed. */
int many_run(const struct many *m);

#endif
