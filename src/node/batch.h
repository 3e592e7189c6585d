/* batch: starts and stops of many, in parts of at most 1000 names (docs/batches.md).
 *
 * batch.c keeps what this node coordinates and looks at what changed; batch_lead.c is the coordinator's side,
 * batch_home.c that of the homes and of the owners, batch_part.c what a part says, batch_result.c what became
 * of each name.
 *
 * Everything is in two tables. The row of an operation belongs to its coordinator, who writes it under a
 * higher epoch the longer it lives. A part belongs to one home of its names, and is a question or its answer:
 *
 *   state     result   who is to move
 *   waiting   NULL     the home: which of these are there already? (all_or_none only)
 *   waiting   list     the coordinator: refuse all, or go on
 *   running   NULL     the home: claim them (or find them, for a stop); if the operation is rolling back, say
 *                      what was claimed
 *   running   list     the owners start or stop; the coordinator watches the rows of each name
 *   done      list     what became of each
 *   partly    list     the same, but of some nobody knew in time: what was claimed of those is taken back
 *   undone    list     the same, and nothing of it is left
 *
 * Who rolls back adds a part of the number BATCH_UNDONE: two coordinators that did not know of each other may
 * have come to different ends, and of their rows of the operation one remains. That part stays whatever does.
 *
 * The coordinator asks under a new, higher epoch of the part, the home answers under that epoch: so an answer
 * to an older question never wins. A claim carries the operation's id as its op; with the name that tells
 * which child of which operation it is for, so a part that is asked again finds what it has done.
 */
#ifndef SKEP_NODE_BATCH_H
#define SKEP_NODE_BATCH_H

#include "base/list.h"
#include "node/seating.h"
#include "node/timer.h"
#include "store/store.h"
#include "wire/json.h"

struct node;

#define BATCH_NAMES_MAX  1000           /* of a part */
#define BATCH_BODY_BYTES (256 * 1024)   /* of a part, but for its last child */
#define BATCH_LIFE_MS    (10 * 60000)   /* after which what has no outcome has none */
#define BATCH_KEEP_MS    (10 * 60000)   /* results, after the end */
#define BATCH_UNDONE_MS  (24 * 3600000) /* the rows of what was taken back: a claim may come late */
#define BATCH_UNDONE     (-1)           /* the part that says it */
#define BATCH_PART_BITS  16             /* of a part's number: those of one coordinator */
#define BATCH_KEY        "operation"    /* who waits for one waits for (this, its id) */

/* ---- what a part says (batch_part.c) ---- */

enum batch_is {
    IS_CLAIMED, /* for `node`, under the epoch */
    IS_STARTED,
    IS_FOUND, /* of a stop: its life began with that epoch */
    IS_STOPPED,
    IS_EXISTING,
    IS_ERROR,     /* code and detail */
    IS_ELSEWHERE, /* the home that was asked is not its home */
    IS_LATE,      /* it may have been done and undone already */
    IS_NONE,      /* nothing was claimed */
    IS_MOVED,     /* asked again in another part */
    IS_UNDONE,
    IS_TWICE, /* it stands there already */
};

/* One name in an answer. */
struct batch_item {
    char *name, *node, *code, *detail; /* owned */
    struct span reason;                /* JSON, borrowed from the answer; or from reason_text */
    char *reason_text;                 /* owned */
    int is;                            /* enum batch_is */
    int64_t epoch, pid;
};
void item_fini(struct batch_item *i);
void item_write(struct jw *j, const struct batch_item *i);
/* Nobody knows whether it was claimed: if it was, that must not run. */
bool item_is_unknown(const struct batch_item *i);
/* From now on an error. */
void item_fail(struct batch_item *i, int code, const char *detail);
/* The next of an answer. ret is emptied first; what cannot be read is passed over. */
bool item_next(struct json_iter *it, struct batch_item *ret);

/* One child that is wanted, or one name that is to be stopped. */
struct batch_want {
    char *name;       /* owned where part_read made it, else borrowed */
    struct span spec; /* as spec_write has it; borrowed. {NULL, 0}: a stop */
    struct span metadata;
    int64_t to; /* where it was put: of the head's targets; < 0: it was not */
};

/* The head of a part: what holds for all of its names. */
struct batch_head {
    char *view;                  /* signature under which it was put together; owned */
    char *seating;               /* of what its names were placed by, NULL if they were not; owned */
    struct json_strings targets; /* ids of nodes */
    int64_t stamp;               /* of the request: what a name has seen since then may be its own work */
    bool unsure;                 /* it was asked before, and that may have been carried out */
};
void head_fini(struct batch_head *h);

/* The body of a part: an array of the head and the names. Wants are yours: wants_free. */
int part_read(const char *body, struct batch_head *ret_head, struct batch_want **ret_wants, size_t *ret_n);
void wants_free(struct batch_want *wants, size_t n);
/* Where each of these names goes, computed once for all of them. */
struct batch_plan {
    bool seated; /* this was asked for: there is a seating */
    struct seating seating;
    int *to;                    /* of each name: of the seating's nodes; PLAN_OPEN, PLAN_REFUSED */
    struct batch_item *refused; /* no node may take them; names and codes are borrowed */
    size_t refused_n, refused_cap;
    bool taken; /* some of those that were looked for run already */
};
#define PLAN_OPEN    (-1) /* it runs already, or is to be stopped: nobody has to place it */
#define PLAN_REFUSED (-2)
int plan_make(struct node *n, const struct operation_row *op, const struct batch_want *wants, size_t count,
              struct batch_plan *ret);
void plan_fini(struct batch_plan *p);
/* Writes parts for these names, one home each; those that were refused are answered already. *part: the
 * number of the next, as of all that write parts. The view must be open. */
int parts_write(struct node *n, const struct operation_row *op, const struct batch_want *wants, size_t count,
                const struct batch_plan *plan, const struct batch_head *head, const char *state,
                int64_t *part);
/* Both. */
int parts_plan(struct node *n, const struct operation_row *op, const struct batch_want *wants, size_t count,
               const struct batch_head *head, const char *state, int64_t *part);
/* Parts that nobody has to be asked about. */
int parts_answered(struct node *n, const struct operation_row *op, const struct batch_item *items,
                   size_t count, int64_t *part);
/* Its "nodes"; yours. */
void want_nodes(const struct batch_want *w, struct json_strings *ret);
/* Parts are numbered by each coordinator for itself: two that do not know of each other replace none. */
int64_t part_first(const struct node *n);
bool part_is_of(int64_t part, int64_t first);
/* An epoch for what the coordinator asks next, above that of the row it replaces. */
int64_t part_epoch(struct node *n, const struct operation_row *op, int64_t old);

/* ---- operations ---- */

enum batch_mode { BATCH_ALL_OR_NONE, BATCH_MISSING, BATCH_EACH };
extern const char *const batch_mode_words[], *const batch_failure_words[];

struct batch_options {
    int mode;             /* enum batch_mode */
    int on_failure;       /* 1: rollback */
    int64_t total;        /* names that were asked for */
    char *request;        /* what a repeat must be equal to, or NULL; owned */
    struct span metadata; /* of every child that has none; borrowed from the row */
};
void batch_options_fini(struct batch_options *o);
void batch_options_read(const struct operation_row *op, struct batch_options *ret);

struct batch_order {
    const char *id, *swarm, *kind, *who; /* kind: start | stop */
    struct batch_options options;
    const struct batch_want *wants;
    size_t wants_n;
    const char *const *twice; /* names that stood there already */
    size_t twice_n;
};
/* Writes the operation and its parts, with this node as its coordinator. The view must be open. 1: nothing is
 * written, as all or none are wanted, and no node may take some of them: their names as a JSON array, and
 * why.
 */
int batch_begin(struct node *n, const struct batch_order *o, struct str *ret_refused, struct err *ret_why);
/* Rolled back, or about to be, or over before anybody knew of that claim: it must not run. 1 yes, 0 no, < 0.
 */
int batch_is_undone(struct node *n, const char *op, const char *name);
/* Whether anybody has begun to roll it back: 1, 0, < 0. */
int batch_is_marked(struct node *n, const struct operation_row *op);

/* ---- what became of each name (batch_result.c) ---- */

/* Whether a name that was claimed, found or is to be undone has its outcome: 1, and then it is in the item.
 */
int item_resolve(struct node *n, const struct operation_row *op, bool undo, struct batch_item *i);
/* What ended since it began may have been forgotten by now, and what took its place has come. */
bool batch_is_old(const struct node *n, const struct operation_row *op);

struct batch_outcome {
    struct batch_item item;
    UT_hash_handle hh;
};
struct batch_outcomes {
    struct batch_outcome *list; /* uthash by name */
    struct batch_item *twice;
    size_t twice_n, twice_cap;
    int64_t twice_part;
    bool undone;  /* it was rolled back, by this coordinator or by one that it did not know of */
    bool waiting; /* it was refused before anything was claimed */
};
/* Of one that goes on: as far as it is known. */
int outcomes_read(struct node *n, const struct operation_row *op, struct batch_outcomes *ret);
/* The same, by what the parts say alone. */
int outcomes_said(struct node *n, const struct operation_row *op, struct batch_outcomes *ret);
/* Whether a part of it says that of some nobody knew: 1, 0, < 0. */
int batch_is_partly(struct node *n, const char *op);
/* Nobody knew in time whether it was claimed: if it was, it must not run. */
bool outcomes_lack(const struct batch_outcomes *o, const char *name);
int batch_is_unknown(struct node *n, const struct operation_row *op,
                     const char *name); /* the same: 1, 0, < 0 */
void outcomes_fini(struct batch_outcomes *o);

/* ---- looking (batch.c) ---- */

struct batch_name;
struct batch_part;

struct batch {
    char *id;
    bool dirty; /* its rows, or what they depend on, have changed */
    bool again; /* what was left alone here may be possible now */
    /* Of the coordinator, and made from rows: what has no outcome yet. */
    char *swarm;
    struct batch_part *parts; /* a list */
    struct batch_name *names; /* uthash by name */
    struct batch_name **woken;
    size_t woken_n, woken_cap;
    bool undo; /* it waits for the end of what it claimed */
    UT_hash_handle hh;
};

/* A look at the operation, in a transaction of its own, soon. Anywhere. */
void batch_later(struct node *n, const char *id);
/* At every one that is open. */
void batches_scan(struct node *n);
bool batches_have_work(const struct node *n);
int batches_work(struct node *n, void *unused);
/* Rows of a name have changed. Outside handlers. */
void batches_wake(struct node *n, const char *swarm, const char *name);
void batches_begin(struct node *n);
void batches_fini(struct node *n);

/* batch_lead.c */
int batch_lead(struct node *n, struct batch *b, struct operation_row *op);
/* From now on it rolls back; also one that had ended. */
int batch_undo(struct node *n, struct batch *b, struct operation_row *op);
void batch_lead_wake(struct batch *b, const char *name);
void batch_lead_forget(struct batch *b);

/* batch_home.c: answers one part at most, *ret_more if there are others. */
int batch_answer(struct node *n, const struct operation_row *op, bool *ret_more);
/* Whether a start may claim the name, as the rows are here: 1, 0, < 0. */
int batch_is_free(struct node *n, const char *swarm, const char *name);
/* Ends what the operation wants ended and this node owns. */
int batch_end_mine(struct node *n, const struct operation_row *op);

#endif
