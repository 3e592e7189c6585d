#include "bench/samples.h"

#include <math.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"

void samples_fini(struct samples *s)
{
    free(s->v);
    *s = SAMPLES_INIT;
}

void samples_add(struct samples *s, double v)
{
    ARRAY_GROW(s->v, s->n, s->cap);
    s->v[s->n++] = v;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double samples_at(struct samples *s, double share)
{
    if (s->n == 0)
        return NAN;
    qsort(s->v, s->n, sizeof *s->v, ascending);
    size_t i = (size_t)ceil(share * (double)s->n);
    return s->v[i > 0 ? i - 1 : 0];
}

double samples_median(struct samples *s)
{
    if (s->n == 0 || s->n % 2)
        return samples_at(s, 0.5);
    double low = samples_at(s, 0.5);
    return (low + s->v[s->n / 2]) / 2;
}

int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t now_ms(void)
{
    return now_ns() / 1000000;
}

int64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void pause_ms(int ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&t, NULL);
}
