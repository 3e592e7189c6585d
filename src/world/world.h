/* The outside of a node: five seams. src/real makes them of sockets and processes, src/sim of a seed. */
#ifndef SKEP_WORLD_WORLD_H
#define SKEP_WORLD_WORLD_H

#include "base/err.h"
#include "base/log.h"
#include "world/clock.h"
#include "world/disk.h"
#include "world/event.h"
#include "world/net.h"
#include "world/proc.h"
#include "world/random.h"

/* Only at a node that holds the cluster's CA key; sign is NULL elsewhere. */
struct world_ca {
    void *self;
    /* Signs a certificate for node_id from a PEM request; *ret_pem is yours. */
    int (*sign)(void *self, const char *csr_pem, const struct id *node, const char *name, char **ret_pem,
                struct err *e);
};

struct world {
    struct world_clock clock;
    struct world_random random;
    struct world_net net;
    struct world_proc proc;
    struct world_disk disk;
    struct world_ca ca;
    const struct log *log;
};

#endif
