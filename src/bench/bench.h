/* bench: what all figures share: how often and how long to measure, where, and the report.
 *
 * A figure starts what it needs, adds its results to the report, and ends what it started. It returns 0, or a
 * code (< 0) when it could not measure; a missed aim is no failure.
 */
#ifndef SKEP_BENCH_BENCH_H
#define SKEP_BENCH_BENCH_H

#include "bench/cluster.h"
#include "bench/raw.h"
#include "bench/report.h"

struct bench {
    const char *bin;      /* folder of the programs */
    const char *examples; /* folder of the example workers */
    const char *dir;      /* an existing folder on the disk to measure */
    int runs, nodes, workers;
    int connections;         /* of the figure "register"; 0: its own choice */
    int64_t names;           /* of the figure "million" */
    int many;                /* workers of the figure "batch" */
    int64_t warm_ms, run_ms; /* of one load */
    bool quick;
    struct report report;
};

/* A run is cut into slices in which the figure and its yardstick take turns, so that what else happens on the
 * machine meets both. */
#define SLICES 4

struct figure {
    const char *name, *about;
    int (*measure)(struct bench *b, struct err *e);
};

extern const struct figure figure_register, figure_lookup, figure_failover, figure_handoff, figure_visible,
    figure_million, figure_sync, figure_batch;

/* A line on standard error, for people who wait. */
void progress(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
