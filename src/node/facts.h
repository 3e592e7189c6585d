/* facts: events that are about more than one row or one process: what this node's registry gains and loses,
 * starts and moves as one event a transaction, and the course of a redistribution. Decides what is said, and
 * when; does nothing else.
 *
 * What is gathered is written at the end of the transaction, as one row a kind, swarm and thousand; a handler
 * that fails takes back what it gathered.
 */
#ifndef SKEP_NODE_FACTS_H
#define SKEP_NODE_FACTS_H

#include "core/dot.h"
#include "node/children.h"

struct peer;

enum gathered_kind {
    GATHER_STARTING, /* pre_children_start */
    GATHER_STARTED,  /* post_children_start: failures, too */
    GATHER_TAKEN,    /* pre_children_redistribution */
    GATHER_MOVED,    /* migration_completed */
};
#define GATHERED_KINDS 4

struct gathered;

/* Of a row of "child" before it was replaced. */
struct former;

struct facts {
    struct gathered *list;
    size_t n, filled, cap;  /* filled: places that own something, at least n */
    struct former *formers; /* uthash by the row's key */
};

void facts_fini(struct node *n);

/* One more of these; json: the members of its object, without braces. */
void facts_gather(struct node *n, enum gathered_kind kind, const char *swarm, const char *name,
                  char *json TAKES);
/* Before the commit. 0 or < 0. */
int facts_write(struct node *n);
/* After the commit, or when nothing came of it. */
void facts_clear(struct node *n);

/* What a "starting", "running" or ended row of a process means for who looks names up. old may be empty
 * (status NULL). told: another node's row was merged. */
int facts_registry(struct node *n, const struct child_row *old, const struct child_row *now, bool told);
/* A row of "child" is about to be replaced by merging; and has been. */
int facts_child_losing(struct node *n, const char *swarm, const char *name);
/* Whether such a row can be one that the registry tells of: most are not, and need not be looked up. */
bool facts_child_matters(const struct remote_row *row);
bool facts_status_matters(const char *status);
int facts_child_merged(struct node *n, const char *swarm, const char *name);

/* A node joins or leaves what this one sees. Inside handlers. */
void facts_change(struct node *n, struct peer *p, bool joins);
/* Every name will be looked at; all of them were. true: look from the start. */
int facts_redistribution_begins(struct node *n, bool *ret_anew);
int facts_redistribution_ends(struct node *n);

#endif
