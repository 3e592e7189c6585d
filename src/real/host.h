/* host: a node in the real world. Three threads around one brain, from its start to its end.
 *
 *   I/O     the caller's thread in host_run: sockets, the keeper, signals, timers. Decides nothing about
 * names. brain   takes what happened from its mailbox, runs node_turn, posts what it wants done to the I/O
 * thread. reader  answers reads and pulls from a read-only connection of its own.
 *
 * Signals: TERM and INT stop (again: now), HUP reads the configuration again, USR1 reopens the children's
 * logs.
 */
#ifndef SKEP_REAL_HOST_H
#define SKEP_REAL_HOST_H

#include "base/log.h"
#include "real/setup.h"

struct host;

struct host_options {
    struct setup *setup;     /* TAKES a reference, also on failure */
    const char *keeper_path; /* of skep-keeper; copied */
    char *const *envp;       /* for reloads; borrowed for the host's life */
    const char *cgroup;      /* see keeper_link.h; NULL = none; copied */
};

/* Takes the folder's lock, checks certificates, listens, starts the keeper and opens the database, in this
 * order; nothing is accepted yet. The text of e is for people: err_info(code)->exit_status is how skepd ends
 * then. Before any other thread is there. */
int host_new(const struct host_options *o, struct host **ret, struct err *e);
/* Runs until the node has ended; the exit status. */
int host_run(struct host *h);
/* Kills what still runs, closes the database cleanly and gives the lock back. Accepts NULL. */
void host_free(struct host *h);

#endif
