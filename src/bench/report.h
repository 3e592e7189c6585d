/* report: measured figures beside their yardsticks, as a table for people or as JSON. */
#ifndef SKEP_BENCH_REPORT_H
#define SKEP_BENCH_REPORT_H

#include <stdbool.h>

#include "base/str.h"
#include "bench/samples.h"

enum aim {
    AIM_NONE,
    AIM_RATIO_MIN, /* figure / yardstick, run by run, is at least this */
    AIM_RATIO_MAX,
    AIM_MAX, /* the figure itself is at most this */
};

struct result {
    const char *figure; /* static */
    char *what;         /* owned: the case, "32 connections, 3 nodes" */
    const char *unit;
    struct samples got;    /* one value a run */
    const char *yardstick; /* static; NULL = none */
    struct samples yard;   /* of the same runs, in the same unit and order */
    struct samples ratio;  /* filled by result_run */
    enum aim aim;
    double limit;
    struct str note; /* what else was seen */
};

struct report {
    struct result *list[64];
    size_t n;
};

/* Owned by the report. what is printf's. */
struct result *report_new(struct report *r, const char *figure, const char *unit, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* One run: the figure, and its yardstick (NAN = none). */
void result_run(struct result *r, double got, double yard);
/* The median ratio, or the median itself, whichever the aim is about. */
double result_judged(struct result *r);
bool result_met(struct result *r);
void report_table(struct report *r);
void report_json(struct report *r, const char *machine, bool quick);
void report_fini(struct report *r);

#endif
