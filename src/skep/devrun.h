/* devrun: the skepd processes of a `skep dev`. Started once, never again; ended when dev is ended, and by the
 * kernel when dev dies. SIGCHLD, SIGINT and SIGTERM must be blocked: they are waited for.
 */
#ifndef SKEP_SKEP_DEVRUN_H
#define SKEP_SKEP_DEVRUN_H

#include <stdbool.h>
#include <sys/types.h>

#include "skep/devcluster.h"

struct devrun {
    const struct devcluster *cluster;  /* borrowed */
    char *skepd;                       /* owned; absolute */
    pid_t pid[DEV_NODES_MAX];          /* 0 once it ended */
    int64_t keeper_pid[DEV_NODES_MAX]; /* 0 = not known */
    int64_t started_pid[DEV_NODES_MAX];
};

int devrun_init(struct devrun *ret_r, const struct devcluster *c, struct err *e);
void devrun_fini(struct devrun *r);
int devrun_start(struct devrun *r, struct err *e);
/* Until every node is ready and sees all others. Fails when one ends or time is up; SKEP_EINTERNAL with
 * *ret_asked when somebody asked to end. */
int devrun_wait_ready(struct devrun *r, int64_t limit_ms, bool *ret_asked, struct err *e);
/* Returns when dev is asked to end; says on standard error which node ended meanwhile. */
void devrun_wait_end(struct devrun *r);
/* Ends all nodes and waits for it: gracefully, when asked again at once. */
void devrun_stop(struct devrun *r);

#endif
