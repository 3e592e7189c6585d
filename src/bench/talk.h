/* talk: what goes over the connections of a cluster, as the kernel counts it: payload of TCP, TLS included.
 */
#ifndef SKEP_BENCH_TALK_H
#define SKEP_BENCH_TALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* One connection, seen from the server's end. */
struct talk_line {
    uint16_t port, from; /* local and remote */
    int64_t bytes;       /* both ways */
    int64_t requests;    /* segments with data that came: one a request, as small as they are */
};

struct talk {
    struct talk_line *line; /* owned */
    size_t n, cap;
};

/* The connections that are open to these ports of 127.0.0.1. */
int talk_take(const uint16_t *ports, size_t n, struct talk *ret, struct err *e);
/* What was said between the two, of a connection that is in both; false if it is not. */
bool talk_since(const struct talk *before, const struct talk_line *now, struct talk_line *ret);
void talk_fini(struct talk *t);

#endif
