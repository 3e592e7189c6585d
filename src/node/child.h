/* child: a process of this node, for child.c, channel.c, handoff.c and session.c. */
#ifndef SKEP_NODE_CHILD_H
#define SKEP_NODE_CHILD_H

#include "node/brain.h"
#include "node/conflict.h"
#include "node/spec.h"

#define CHILD_LINES_MAX 1000
#define CHILD_BYTES_MAX (4u << 20)
#define CHILD_ASKS_MAX  256 /* requests of one worker that wait for their answers */

/* What a handler changes in place: announce it with node_touch(n, &c->s, sizeof c->s). */
struct child_state {
    enum child_phase phase;
    int64_t epoch, incarnation;
    uint64_t run; /* 0: no process */
    int pid;
    unsigned attempt;   /* of the back-off */
    int64_t restarts;   /* as its row says */
    int64_t started_ms; /* boot: of this run */
    int64_t started_at; /* real: of this run */
    int64_t backoff_until_ms;
    bool is_asked; /* skep ends this run: `asked` says why */
    enum exit_kind asked;
    enum chan_stop told;    /* what it hears of that */
    bool published;         /* ran under this incarnation: a failed start no longer frees the name */
    bool given_up;          /* failed or kept: nothing is spawned until somebody asks */
    bool unplaced;          /* no node took it, and that was said */
    bool moving;            /* its claim is to go to another node */
    bool session;           /* a session's worker: no rows of its own */
    int64_t session_due_ms; /* boot: when its turn must have ended, or its idle time ends; 0 = never */
    int64_t since;          /* first claim of this process */
    int64_t resolving;      /* epoch of the loser whose state is on its way to it; 0 = none */
    int64_t checkpoint_hlc; /* of its last checkpoint: what it says next leaves after the copies of that */
    size_t queued_bytes, queued_lines;
};

/* A call that the worker has not answered yet. */
struct child_call {
    uint64_t ref;
    struct id op;
    int64_t until_ms; /* of the op */
};

struct child {
    struct node *node;
    char *key, *swarm, *name; /* key: "swarm\nname" */
    struct child_state s;
    uint64_t run_key; /* s.run while it is in the index */
    struct spec spec;
    struct intensity intensity;
    struct timer timer;
    struct child_call *calls;
    size_t calls_n, calls_cap;
    uint64_t next_ref;
    int asks;             /* requests of this run that wait */
    char *move_to;        /* node id a move named; NULL: where the strategy says */
    char *spec_text, *op; /* as its claim had them, for a claim again */
    bool altered;         /* spec is what hooks made of spec_text */
    char *lost_metadata;  /* conflict.c: before a better claim's replaced it; NULL = none */
    char *session_turn;   /* session.c: the turn it works on */
    UT_hash_handle hh, run_hh;
};

#define NOT_TRIED (-1) /* instead of an errno: the spawn did not leave */

#define child_touch(n, c) node_touch((n), &(c)->s, sizeof(c)->s)

/* Whether allow_exec of this node names the program at this path. */
bool child_exec_allowed(const struct node *n, const char *path);
/* Adds NAME=value; what comes later wins. */
void child_env_add(char **env, size_t *count, char *text TAKES);
struct child *child_new(struct node *n, const char *swarm, const char *name);
void children_fini(struct node *n);
/* Spawns now; the caller has checked that it may. */
int child_spawn(struct node *n, struct child *c);
/* No node takes it: it waits, and is tried again when something changes, and now and then. */
int child_unplaced(struct node *n, struct child *c);
/* Writes its row with this status and reason (JSON or NULL). */
int child_write(struct node *n, struct child *c, const char *status, const char *reason);
/* Stop line, SIGTERM, and SIGKILL after shutdown_ms. */
void child_end(struct node *n, struct child *c, enum exit_kind asked, enum chan_stop reason);
/* A better claim for what runs here already: the same process goes on under it. */
int child_adopt(struct node *n, struct child *c, const struct name_row *row);
/* It is up: row, log, who waits. */
int child_up(struct node *n, struct child *c);
/* The name is free again, with all that depends on it. type: of the log row. */
int child_free_name(struct node *n, struct child *c, const char *type, const char *reason);
/* Takes it out of memory after the commit. */
void child_forget(struct node *n, struct child *c);
/* Its claim is still the one it runs under. 1 yes, 0 no. */
int child_is_current(struct node *n, struct child *c);
/* Effects: its run (s.run) comes into the index of runs; and goes. */
void child_run_enters(struct node *n, void *child);
void child_run_leaves(struct node *n, void *child);
/* Its timer. */
int child_due(struct node *n, struct timer *t);
/* A run is over and nothing of it is left. reason: JSON. */
int child_run_ended(struct node *n, struct child *c, enum exit_kind kind, const char *reason);
/* Why, as JSON: yours. exit_status < 0, sig 0, detail NULL: none. */
char *child_reason(const char *code, int exit_status, int sig, const char *detail);
/* It is about to start, or has started (reason: NULL) or not. */
void child_start_fact(struct node *n, const struct child *c, enum gathered_kind kind, const char *reason);

/* channel.c */
int channel_line(struct node *n, struct child *c, const char *p, size_t bytes);
int channel_start(struct node *n, struct child *c);
void channel_calls_fail(struct node *n, struct child *c);
void channel_send(struct node *n, struct child *c, struct str *line TAKES);

/* handoff.c */
void handoff_begin(struct node *n, struct child *c, enum exit_kind why);
/* The running process ends and its successor is given this state, whatever it would have left itself. */
int handoff_instead(struct node *n, struct child *c, struct span data);
/* The worker's answer: {NULL, 0} if it ignores the question. */
int handoff_state(struct node *n, struct child *c, struct span data);
int handoff_restored(struct node *n, struct child *c);
/* Appends the state that waits for the name; 1 if there is some. */
int handoff_waiting(struct node *n, struct child *c, struct str *ret_state, char ret_ref[32]);
/* The process is gone: the claim goes to another node; 0 if nobody can take it. */
int handoff_claim(struct node *n, struct child *c, bool *ret_moved);
int handoff_forget(struct node *n, const char *swarm, const char *name);
/* Drops chunks whose hand-off is over; the one chunk, if its hand-off is. */
int handoff_chunk_merged(struct node *n, const char *swarm, const char *name, int64_t epoch, int64_t idx);
int handoff_settle(struct node *n, const char *swarm, const char *name);

#endif
