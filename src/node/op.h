/* op: requests in progress. Who waits for what, runs again when that may have come, and where a request went
 * that this node may not decide.
 */
#ifndef SKEP_NODE_OP_H
#define SKEP_NODE_OP_H

#include "base/list.h"
#include "core/dot.h"
#include "node/timer.h"
#include "world/world.h"

struct node;

struct waiters;
struct gather;

enum op_source {
    OP_CLIENT,
    OP_PEER,
    OP_WORKER,
    OP_PART,     /* one of many questions: gather.c */
    OP_HOOK,     /* a hook's message: hook_call.c */
    OP_DECLARED, /* a child of the configuration: declare.c */
    OP_OWN       /* this node's own: nobody waits for its answer */
};

struct op_state {
    int step;                        /* the handler's own */
    int64_t epoch, incarnation, hlc; /* the handler's own: what it claimed, what must be covered */
    int64_t stamp;                   /* hlc at which the request entered the cluster */
    int attempt;                     /* of forwarding */
    bool done;
    bool remembered; /* under its Idempotency-Key */
};

#define OP_SHOWN 2

struct op {
    struct id id;
    enum op_source source;
    struct op_state st;      /* touched before each run of the handler */
    struct request *request; /* owned */
    struct id from;          /* OP_PEER, OP_PART: whom to tell */
    uint64_t from_try;       /* OP_PEER: its try */
    struct id parent;        /* OP_PART: the op that is answered by all of them, at `from` */
    uint64_t part;           /* OP_PART: which of its questions */
    struct gather *gather;   /* what it waits for the answers of; owned */
    uint64_t run;            /* OP_WORKER: the process that asked; OP_HOOK: the call */
    char *ref;               /* OP_WORKER: its ref; OP_DECLARED: which child; owned */
    bool replayed;           /* its answer is one that was kept */
    struct id sent_to;       /* forwarded: where the newest try went; zero = not forwarded */
    int acks;                /* ?acks=k: nodes that must have it, this one included; 0 = as the call says */
    int64_t deadline_ms;     /* boot */
    char *memo;              /* the handler's own text; owned */
    void *args;              /* parsed by the handler on its first run; owned */
    void (*args_free)(void *args);
    const void *route; /* api's */
    bool kept, woken, waits_open;
    bool ends_itself, late; /* its handler answers when its time is up; that is now */
    char *extras;           /* of the problem document when its time is up: see json_problem; owned */
    bool owned;             /* its answer is about a claim: what it did may stand */
    struct id witness; /* who must have it before it is answered (cover.h); zero = nobody in particular */
    uint64_t views;    /* of the node when it began to wait */
    bool again, lost;  /* forwarded: may be sent twice; its newest try has come to nothing */
    bool unsure;       /* a try was lost, and may have been carried out */
    int refusals;      /* of its tries */
    struct node *node;
    char *key;                       /* what it waits for: "swarm\nname"; owned */
    struct stamp shows[OP_SHOWN];    /* rows of others that its answer shows; hlc 0 = none */
    struct stamp seen[1 + OP_SHOWN]; /* after an outcome: what our own store must cover first */
    struct answer *outcome;          /* waiting for that */
    struct timer timer;
    TAILQ_ENTRY(op) link, key_link, wake_link;
    UT_hash_handle hh; /* by id */
    struct waiters *waiters;
};

/* Ends the op with this answer, after the commit. */
void op_answer(struct node *n, struct op *op, struct answer *a TAKES);
/* The same, once `need` other nodes have on disk what we wrote up to hlc (0 = nothing to wait for). With
 * ?acks the number is the client's and is waited for until the deadline; otherwise at most as many as the
 * view has. The body may hold "copies":@ once: replaced by the number. */
void op_answer_covered(struct node *n, struct op *op, int64_t hlc, int need, struct answer *a TAKES);
/* The same for a claim or its end: leaves only while the view is open. If it closed meanwhile, somebody else
 * may have decided about the name, and the handler runs again once it is open: it must find out by itself
 * what it has done already. */
void op_answer_owned(struct node *n, struct op *op, int64_t hlc, int need, struct answer *a TAKES);
/* Ends it with the problem document of e. extras: see json_problem. */
void op_fail(struct node *n, struct op *op, const struct err *e, struct span extras);
/* Runs the handler again when a row of that name (claim, child, end) changes, the view opens or closes, or
 * the deadline comes (then it is answered 504, or 503 settling while it waits for the view). */
void op_wait_key(struct node *n, struct op *op, const char *swarm, const char *name);
void op_wait_open(struct node *n, struct op *op);
/* As op_wait_key; at the deadline the handler runs with op->late and must answer. */
void op_wait_until(struct node *n, struct op *op, const char *swarm, const char *name);
/* Sends the request to another node, whose outcome becomes the answer. again: may be sent twice (idempotent).
 */
void op_forward(struct node *n, struct op *op, const struct id *to, bool again);
/* A refusal of a forwarded try: the entry node may stamp anew and try again. */
void op_retry(struct node *n, struct op *op);
/* Whether what it asks for may have been done and undone already: the row of that stamp (or the tombstone) is
 * newer than the request, or so much time has passed that a tombstone may have been dropped. Then: op_retry.
 */
bool op_is_late(const struct node *n, const struct op *op, int64_t row_hlc);
/* A row of the name changed: wakes who waits. Inside handlers. */
void node_wake(struct node *n, const char *swarm, const char *name);
struct answer *answer_json(int status, struct str *body TAKES);
TAILQ_HEAD(oplist, op);

/* An internal op of its own, e.g. for a worker's request line. */
struct op *op_new(struct node *n, enum op_source source, struct request *r TAKES);
/* First run of an op that op_new made, inside a handler. */
int op_begin(struct node *n, struct op *op TAKES);
void op_drop(struct op *op TAKES); /* one that never began */
/* Under what an answer to this request is kept, and what must be equal in a repeat. Yours. */
char *op_idem_key(const struct request *r);
char *op_idem_request(const struct request *r);
/* An op that waits; NULL if it has ended. */
struct op *op_find(struct node *n, const struct id *id);
void ops_outcome(struct node *n, const struct id *op, uint64_t attempt, struct answer *a TAKES, bool retry,
                 const struct stamp seen[1 + OP_SHOWN]);
void ops_seen(struct node *n); /* own vector moved */
void ops_fini(struct node *n);
/* The node ends: who asked for what did not begin yet, or (arg: a bool) everybody is told. In a transaction.
 */
int ops_end(struct node *n, void *arg);
void ops_view_changed(struct node *n);
/* That mail to it failed; call 0: it is gone, or left the view. */
void ops_lost(struct node *n, const struct id *peer, uint64_t call);
void ops_posted(struct node *n, const struct id *peer, uint64_t call); /* mail is on its way to it */
/* One question of many, for child_call: its answer is gather_answered's. NULL: too many wait here. */
struct op *op_part(struct node *n, const struct id *from, const struct id *parent, uint64_t part,
                   int64_t deadline_ms);
/* It waits, and its handler runs at that time, or once it is woken. Outside of handlers, both. */
void op_keep(struct node *n, struct op *op, int64_t at_ms);
void op_wake(struct node *n, struct op *op);
/* Ends it without an answer: it is a copy of one that was answered. */
void op_silence(struct node *n, struct op *op);

#endif
