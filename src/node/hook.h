/* hook: what is run, called or told when something happens: hook.c keeps the hooks and what waits for them,
 * hook_call.c makes the calls, hook_alter.c asks before a start.
 *
 * A row of the log that a hook wants becomes a row of the outbox in the same transaction, and is taken out of
 * it in the transaction that learns of the good end of its call: at least once, whatever crashes between.
 * Calls begin and end beside the brain; nothing waits for one but a start for child_data_alter, and that not
 * for long.
 *
 * Each hook has an outbox of bounded length; when it is full its oldest event goes, and the log says how
 * many. Events about hooks call no hooks.
 */
#ifndef SKEP_NODE_HOOK_H
#define SKEP_NODE_HOOK_H

#include "base/list.h"
#include "node/brain.h"
#include "node/hook_spec.h"

#define HOOKS_RUNNING_MAX 32 /* calls of a node at once, but for those that a start waits for */
#define HOOK_ANSWER_MAX   (1u << 20)

/* One hook, and how it does on this node. */
struct hook {
    char *event, *id;
    struct hook_spec spec;
    struct hook_gate gate;
    struct hook_queue queue;
    int64_t look_ms;          /* nothing of it is due before */
    int64_t dropped, said_ms; /* events that were let go since the log said so */
    const char *dropped_why;  /* static */
    bool failing;             /* the last call failed */
    bool said_failing;        /* so the log has it */
    char *why;                /* it failed; owned, NULL: it does not */
    bool gone;                /* its row is; what waits for it goes next */
};

enum hook_run_phase { HOOK_CALLED, HOOK_TERMINATED, HOOK_KILLED };

struct alter;

/* A call under way. */
struct hook_run {
    uint64_t number; /* a run of the keeper's, or the id of a call */
    char *event, *id;
    int kind;
    int64_t item; /* of the outbox; 0: a start waits for it */
    enum hook_run_phase phase;
    bool over;         /* its time is up: what comes is too late */
    struct str answer; /* what its program wrote */
    struct timer timer;
    UT_hash_handle hh;
};

/* The end of a call, on its way into a transaction. */
struct hook_end {
    uint64_t run;
    bool ok;
    char *text; /* the answer, or why not; owned */
};

struct hooks {
    struct hook **list; /* in the order in which they run */
    size_t n, cap;
    struct hook_run *runs; /* uthash by number */
    struct hook_end *ends;
    size_t ends_n, ends_cap;
    struct alter *alters; /* hook_alter.c: uthash by the child's key */
    int64_t next_id, running, waiting;
    struct timer timer;
    bool stale, begun; /* rows of the table have changed; the outbox was read */
};

void hooks_init(struct node *n);
/* Before the first event of a run: its beginning is one. */
void hooks_begin(struct node *n);
void hooks_fini(struct node *n);
/* The table of hooks was written or merged. Inside handlers. */
void hooks_changed(struct node *n);
/* Begins what is due. Once a turn, outside of handlers. */
void hooks_tick(struct node *n);
/* Whether hooks_tick should be called again at once. */
bool hooks_have_work(const struct node *n);
/* The newest row of the log is this one. origin: it happened here. */
int hooks_fact(struct node *n, const struct log_entry *l, bool origin);
/* NULL: there is none. */
struct hook *hook_find(struct node *n, const char *event, const char *id);
/* What an event is sent as. Yours. */
char *hook_event_json(struct node *n, const struct log_entry *l, int64_t seq);

/* ---- hook_call.c ---- */

/* Begins a call. Outside of handlers. item 0: it is a start's. Returns its number. */
uint64_t hook_call_begin(struct node *n, const struct hook *h, int64_t item, unsigned attempt,
                         const char *event_id, char *body TAKES, size_t body_n);
/* It is of a hook: handled. Inside handlers. */
bool hook_call_event(struct node *n, const struct event *ev, int *ret_rc);
/* The answer of a message's operation. From effects. */
void hook_op_answered(struct node *n, uint64_t run, const struct answer *a);
/* An end for the next tick. */
void hook_end_later(struct node *n, uint64_t run, bool ok, char *text TAKES);
int hook_ended_call(struct node *n, const struct hook_end *end);
void hook_run_free(struct node *n, struct hook_run *r);
void hook_runs_fini(struct node *n);

/* ---- hook_alter.c ---- */

/* Before a start: 1 = go on, with c->spec as it is now; 0 = it is asked, and own_changed runs again once the
 * answers are there; 2 = refused: *ret_reason (yours) is why the start has failed. */
int hook_alter(struct node *n, struct child *c, char **ret_reason);
/* A call of a start ended. Inside handlers. */
int hook_alter_ended(struct node *n, const struct hook_end *end);
/* The child is not there any more, or was spawned. Effects only. */
void hook_alter_forget(struct node *n, const char *key);
void hook_alters_tick(struct node *n);
void hook_alters_fini(struct node *n);

#endif
