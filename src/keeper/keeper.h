/* keeper: the parent of every supervised process of a node, and the only one that kills them.
 *
 * It decides nothing about who should run: skepd orders, the keeper carries out, and when skepd is gone or
 * its deadline has passed everything dies. One thread, no file after the start (only /proc, and cgroupfs
 * where a delegated cgroup was given), and nothing that may wait on a child, a disk or skepd.
 *
 * Invariants:
 * 1. A run's main process stays unreaped until nothing of the run is left: its pid, group and session
 *    cannot be reused while they are still aimed at.
 * 2. SPAWNED or FAILED comes exactly once for each SPAWN; after SPAWNED, EXITED exactly once.
 * 3. A deadline that has passed is final, also when a later feed is already in the socket.
 * 4. What a child may make slow (user look-up, chdir, exec) happens in the child, behind fork.
 */
#ifndef SKEP_KEEPER_KEEPER_H
#define SKEP_KEEPER_KEEPER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "base/keep.h"
#include "base/list.h"

struct run;

enum watch_kind {
    WATCH_SOCKET,   /* messages of skepd */
    WATCH_SKEPD,    /* pidfd: skepd ended */
    WATCH_DEADLINE, /* timerfd: skepd did not feed */
    WATCH_SIGCHLD,  /* something below us ended */
    WATCH_LOG,      /* messages of the log process */
    WATCH_EXIT,     /* pidfd: a main process ended */
    WATCH_EXEC,     /* pipe: an exec failed (an int) or went well (end of file) */
};

/* What epoll gives back. fd -1: not watched. */
struct watch {
    enum watch_kind kind;
    int fd;
    struct run *run;
};

void watch_add(int epoll, struct watch *w, uint32_t events);
void watch_change(int epoll, struct watch *w, uint32_t events);
/* Takes it out of epoll and closes it. A watch that is not watched stays as it is. */
void watch_close(int epoll, struct watch *w);

/* The children's output: a pipe each, read by a disposable log process that this part keeps alive. */
struct stream {
    uint64_t run;
    int fd;      /* read end; held until the log process is done with it, for a successor of it */
    bool handed; /* the living log process has it */
    char name[KEEP_LOG_NAME_MAX + 1];
    UT_hash_handle hh;
};

struct child_world;

struct logs {
    const struct child_world *child;
    const char *dir; /* NULL: output goes to /dev/null */
    const char *bytes_max, *files_max;
    int exe; /* this program, to start log processes from */
    int epoll;
    struct watch watch; /* our end of its socket */
    pid_t pid;          /* 0: none at the moment */
    int64_t started_ms, pinged_ms;
    bool waiting, blocked; /* for a pong; for room in the socket */
    struct stream *streams;
};

struct child_world {
    pid_t keeper;
    int null;
    bool shielded; /* the keeper's own oom_score_adj was lowered: children get oom back */
    char oom[16];
    struct rlimit nofile;
};

struct run {
    uint64_t id;
    pid_t pid; /* of the main process: leader of its session and group */
    struct watch exit, exec;
    bool told, failed;   /* SPAWNED or FAILED was sent; it was FAILED */
    bool ending, exited; /* to be killed with everything; main process is a zombie */
    bool aimed;          /* since then it got its SIGKILL; again at the next retry */
    bool cgroup;
    int status, signal;
    size_t left;   /* living orphans of it, as of the last look */
    uint64_t mark; /* of its SKEP_* environment: tells its stray descendants */
    UT_hash_handle by_id, by_pid;
};

/* A process that lost its parent below us and became our child. */
struct orphan {
    pid_t pid;
    uint64_t run; /* 0: of none that we can tell */
    bool asked;   /* run is known, or nothing was to be learnt */
    bool aimed;
    int64_t seen_ms;
    UT_hash_handle hh;
};

struct note {
    struct keep_msg msg;
    STAILQ_ENTRY(note) next;
};

struct keeper {
    int epoll, cgroup; /* cgroup: directory, -1 = none */
    struct watch socket, skepd, deadline, sigchld;
    int64_t deadline_ms;        /* CLOCK_BOOTTIME; 0 = none */
    bool ending, orderly, look; /* kill all and exit; because skepd asked; something changed below us */
    int64_t retry_at_ms; /* the next look while something that should be dead is not; 0 = all is well */
    int retry_ms;        /* the step, doubled each time */
    struct run *runs_by_id, *runs_by_pid;
    struct orphan *orphans;
    size_t unsure; /* orphans not asked yet, as of the last look: no run is known to be without them */
    STAILQ_HEAD(, note) notes; /* to skepd, what its socket had no room for */
    struct logs logs;
    struct child_world child;
};

int64_t boot_ms(void);

/* keeper.c: messages and time */
void keeper_run(struct keeper *k);
void keeper_tell(struct keeper *k, struct keep_msg msg);

/* run.c: the table of runs, from spawn to nothing left */
/* What a program gets besides its output into the log; each -1 = none. */
struct ends {
    int channel, input, output; /* input: in place of /dev/null; output: in place of the log, not of errors */
};

void run_spawn(struct keeper *k, uint64_t id, int order_fd, struct ends ends);
void run_terminate(struct keeper *k, uint64_t id);
void run_kill(struct keeper *k, uint64_t id);
void run_exec_ready(struct keeper *k, struct run *r);
void run_exit_ready(struct keeper *k, struct run *r);
/* Kills what must die, reaps what did, tells about runs of which nothing is left. */
void runs_look(struct keeper *k);

/* child.c: between fork and exec. Never returns. */
_Noreturn void child_exec(const struct child_world *w, const struct keep_order *o, struct ends ends,
                          int output, int error, int cgroup_procs);

/* Gives a fork of the keeper the oom_score_adj that the keeper was born with. */
void child_unshield(const struct child_world *w);

/* tree.c: what /proc tells */
struct pids {
    pid_t *p;
    size_t n, cap;
};
bool tree_usable(void);
/* Adds the children of a process. A process that is gone has none. */
void tree_children(pid_t pid, struct pids *ret);
/* SIGKILL to a child of ours, with its group if it leads one, and to everything below it. */
void tree_kill(pid_t child, bool group);
/* Sums up the SKEP_* strings of an environment in any order; 0 = it has none. */
uint64_t tree_mark(char *const *env);
/* Of a living process. False where its environment is empty, as it is in the midst of exec and of dying. */
bool tree_mark_of(pid_t pid, uint64_t *ret);
/* Kills everything on the machine whose SKEP_RUN is of this node, besides us and skepd. False: some still
 * live after wait_ms; *ret_pid is one of them. */
bool tree_sweep(const char *node, int wait_ms, pid_t *ret_pid);

/* cgroup.c: one cgroup a run below a delegated one, where there is one */
int cgroup_open(const char *dir);        /* kills and removes leftovers; -1 = not usable */
int cgroup_make(int dir, uint64_t run);  /* cgroup.procs to write "0" to; -1 = none */
bool cgroup_kill(int dir, uint64_t run); /* true once it is empty and removed */

/* logs.c */
void logs_init(struct logs *l, int epoll, const struct child_world *child, const char *dir,
               const char *bytes_max, const char *files_max);
/* The write end for a child's output, -errno on failure. */
int logs_open(struct logs *l, uint64_t run, const char *name);
void logs_ready(struct logs *l);
void logs_reopen(struct logs *l);
/* The log process was reaped. */
void logs_died(struct logs *l);
/* Starts, pings, replaces. Returns ms until it wants to be called again, -1 = no need. */
int logs_tick(struct logs *l);
/* Ends the log process after it has written what is in the pipes, waiting at most wait_ms. */
void logs_finish(struct logs *l, int wait_ms);
void logs_fini(struct logs *l);

/* log_main.c: the log process */
int log_main(const char *dir, const char *bytes_max, const char *files_max);

#endif
