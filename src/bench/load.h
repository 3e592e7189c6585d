/* load: many keep-alive connections that each send the next request as soon as the last one is answered. One
 * thread, one epoll.
 */
#ifndef SKEP_BENCH_LOAD_H
#define SKEP_BENCH_LOAD_H

#include "bench/http.h"
#include "bench/samples.h"

struct load {
    struct ssl_ctx_st *tls;
    const uint16_t *ports; /* connections are dealt to them in turn */
    size_t ports_n;
    int connections, status; /* the status that is right */
    int64_t warm_ms, run_ms; /* run_ms 0: until `requests` were answered */
    int64_t requests;
    /* Appends the next request of a connection. */
    void (*request)(void *ctx, int connection, struct str *ret);
    void *ctx;
};

struct loaded {
    int64_t answered;          /* all of them, the warm-up too */
    double per_second;         /* of the measured time */
    struct samples latency_ms; /* of each request in it; owned */
};

/* The connections, open: what they cost is no part of what is measured. */
struct loader;
int loader_open(const struct load *l, struct loader **ret, struct err *e);
/* Fails with the first answer of another status. ret is to be emptied in any case. */
int loader_run(struct loader *r, struct loaded *ret, struct err *e);
/* Accepts NULL. */
void loader_close(struct loader *r);
/* All three. */
int load_run(const struct load *l, struct loaded *ret, struct err *e);
void loaded_fini(struct loaded *l);

#endif
