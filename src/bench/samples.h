/* samples: the values of a figure's runs, and what is said of them: the median and the spread. */
#ifndef SKEP_BENCH_SAMPLES_H
#define SKEP_BENCH_SAMPLES_H

#include <stddef.h>
#include <stdint.h>

#define SAMPLES_INIT ((struct samples){NULL, 0, 0})

struct samples {
    double *v; /* owned */
    size_t n, cap;
};

void samples_fini(struct samples *s);
void samples_add(struct samples *s, double v);
/* The value that a share of them (0..1) does not exceed; NAN of none. Sorts. */
double samples_at(struct samples *s, double share);
double samples_median(struct samples *s);

/* CLOCK_MONOTONIC. */
int64_t now_ns(void);
int64_t now_ms(void);
/* Processor time of this process. */
int64_t cpu_ns(void);
/* For polling; nothing is measured by it. */
void pause_ms(int ms);

#endif
