/* children: the processes of this node, for the files that are not theirs: what may be asked of them. Their
 * inside is node/child.h.
 */
#ifndef SKEP_NODE_CHILDREN_H
#define SKEP_NODE_CHILDREN_H

#include "core/restart.h"
#include "store/store.h"
#include "wire/chan.h"
#include "world/world.h"

struct node;

struct op;

enum child_phase {
    PHASE_IDLE,     /* owned, nothing runs: waiting for the claim's copy, an open view, or a back-off */
    PHASE_SPAWNING, /* asked of the keeper */
    PHASE_STARTING, /* runs, not ready yet */
    PHASE_RUNNING,
    PHASE_LEAVING,  /* begin_handoff sent, waiting for state or deadline */
    PHASE_STOPPING, /* SIGTERM sent, waiting for the exit */
};

struct child;
struct child *child_find(struct node *n, const char *swarm, const char *name);
struct child *child_of_run(struct node *n, uint64_t run);
/* The stream its output goes to (world/proc.h). */
#define CHILD_LOG_NAME 64
void child_log_name(const char *swarm, const char *name, char ret[CHILD_LOG_NAME]);
enum child_phase child_phase(const struct child *c);
int64_t child_epoch(const struct child *c);
uint64_t child_run(const struct child *c);
/* Whether child_owned would spawn for it, which needs the claim's second copy first. */
bool child_wants_copy(struct node *n, const struct name_row *row);
bool child_running(struct node *n, const char *swarm, const char *name);
/* So many more (or fewer) of its requests wait. Effects only. */
void child_asks(struct node *n, uint64_t run, int more);
/* The claim in `row` is this run's own: spawn, adopt or go on, as rule 6 says. covered: a second node has it.
 */
int child_owned(struct node *n, const struct name_row *row, bool covered);
/* The name is not ours (any more): stops what runs under it. 1 if it is ours again by the policy `oldest`. */
int child_disowned(struct node *n, const char *swarm, const char *name, const struct name_row *now_or_null);
/* Asked by the owner's side of DELETE, restart and move. 0 = under way: wait for the row to change. */
int child_stop(struct node *n, const char *swarm, const char *name, enum exit_kind why);
/* Why a run ended, of the JSON that its row has, in words: "No such file or directory", "…, status 3". */
void child_reason_words(const char *reason, struct str *out);
/* At its home: a process whose owner is gone, and that no other node may take (EXIT_ASKED_STOP), or that went
 * with it for good (EXIT_LOST). Its name is free again. */
int child_end_homeless(struct node *n, const struct name_row *row, enum exit_kind why);
int child_event(struct node *n, const struct event *ev);
#define LEAVE_MOVE_MS 15000 /* how long a stopping node looks for takers */
#define BATCHES_KEPT  63    /* transactions whose sizes are remembered, for /metrics */
/* ok once the rows up to hlc (and the last checkpoint) have their copies; nothing without an ack. */
void channel_ok(struct node *n, struct child *c, const char *ack, int64_t hlc);
void channel_refuse(struct node *n, struct child *c, const char *ack, const struct err *e);
/* Sends a line; SKEP_EQUEUEFULL, SKEP_ENOTALIVE. */
int child_line(struct node *n, struct child *c, struct str *line TAKES, struct err *e);
/* A call's ref, answered by op_answer when the reply comes. */
int child_call(struct node *n, struct child *c, struct op *op, const char *from, struct span data,
               struct err *e);
/* Nothing runs at the moment, but soon will, here or elsewhere: it moves, restarts, or is being spawned. */
bool child_passes(const struct child *c);
int children_stop_all(struct node *n, bool now); /* the node leaves */
/* Moves away what may run elsewhere; nothing while nobody could take it. */
int children_drain(struct node *n);
bool children_gone(struct node *n);
int64_t children_count(const struct node *n);

#endif
