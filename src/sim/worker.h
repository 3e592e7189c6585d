/* worker: the programs that simulated nodes may start, and what such a program may do.
 *
 * A program is a row of functions; argv[0] (its last part) names it. A worker is one running process of it.
 * Lines arrive and leave in order; an exit comes after the lines before it. Built in:
 *
 *   counter   speaks the channel: a number that `start`, `end_handoff` and `resolve_conflict` set; a call
 *             adds its data to it (1 if that is no integer), checkpointed before it is replied; turns
 *             append, save and are done at once. --ready: sends ready after start. --mute: never answers
 *             begin_handoff. --stubborn: ignores SIGTERM. --obeys: ends when it is
 *             told to, by the line.
 *   sleep     never touches the channel, ends on SIGTERM
 *   true      exits 0 at once
 *   false     exits 1 at once
 *
 * Anything else does not exist (ENOENT).
 */
#ifndef SKEP_SIM_WORKER_H
#define SKEP_SIM_WORKER_H

#include "sim/sim.h"

struct sim_worker;

struct sim_program {
    const char *name;
    void *(*start)(struct sim_worker *w);                           /* its state; may be NULL */
    void (*line)(struct sim_worker *w, const char *line, size_t n); /* NULL: lines are ignored */
    void (*terminated)(struct sim_worker *w);                       /* SIGTERM; NULL: it ends of it */
    void (*free)(void *state);                                      /* may be NULL */
    void *ctx;                                                      /* for worker_ctx; borrowed */
};

/* Makes a program known, before any node starts it; one of the same name is replaced. Borrowed. */
void sim_program_add(struct sim *s, const struct sim_program *p);

/* ---- For programs ---- */

void *worker_state(struct sim_worker *w);
void *worker_ctx(const struct sim_worker *w); /* of its program */
struct sim *worker_sim(struct sim_worker *w);
bool worker_has_arg(const struct sim_worker *w, const char *arg);
/* Value of an environment variable, NULL if it is not set. */
const char *worker_env(const struct sim_worker *w, const char *name);
/* One line to skep. */
void worker_say(struct sim_worker *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Its standard input; empty if it has none. */
struct span worker_input(const struct sim_worker *w);
/* Ends with that status, after what was said. */
void worker_exit(struct sim_worker *w, int status);

/* ---- For checks ---- */

struct sim_process {
    const struct sim_node *node;
    const char *swarm, *name; /* of its environment; "" if absent */
    int64_t epoch;
    int pid;
    bool orphan;   /* its skepd is gone, its keeper about to kill it */
    int64_t value; /* of a counter; 0 for others */
};

/* Calls back for each living process, in order of their start. */
void sim_processes(struct sim *s, void (*each)(void *ctx, const struct sim_process *p), void *ctx);
/* How many live under a name, orphans included; the last one is in ret if it is not NULL. */
int sim_running(struct sim *s, const char *swarm, const char *name, struct sim_process *ret);

/* Who hears of each line that left a node and no process will ever read: it ended first. */
void sim_unread(struct sim *s, void (*unread)(void *ctx, const char *line, size_t n), void *ctx);

extern const struct sim_program sim_counter, sim_sleep, sim_true, sim_false;
/* The value of a worker that is a counter. */
int64_t sim_counter_value(const void *state);

#endif
