/* devcluster: the folder of a `skep dev` cluster: made once, found again later with the same ids, ports, CA
 * and token. One folder a node, named a, b, c, …; DIR/ca.crt and DIR/token beside them.
 */
#ifndef SKEP_SKEP_DEVCLUSTER_H
#define SKEP_SKEP_DEVCLUSTER_H

#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

#define DEV_NODES_MAX 26

struct devnode {
    char name[2];
    uint16_t port;
    char *dir, *conf, *db, *socket, *url, *log; /* owned, absolute */
};

struct devcluster {
    char *dir, *ca, *token; /* owned */
    struct devnode nodes[DEV_NODES_MAX];
    size_t n;
    int lock; /* held while somebody runs this folder; -1 */
};

/* dir NULL = a new one under TMPDIR. n 0 = as many as there are, or 1. base_port 0 = any free ones. Takes the
 * folder's lock (SKEP_ELOCKED names who has it), and refuses (SKEP_EUNREACHABLE) ports in use. */
int devcluster_open(const char *dir, size_t n, uint16_t base_port, struct devcluster *ret_c, struct err *e);
void devcluster_fini(struct devcluster *c);

#endif
