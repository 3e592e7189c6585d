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

struct gathered;

/* Of a row before it was replaced (told.c). */
struct former;

struct facts {
    struct gathered *list;
    size_t n, filled, cap;  /* filled: places that own something, at least n */
    struct former *formers; /* uthash by table and key */
};

void facts_fini(struct node *n);

/* by: the node that did it; NULL: this one. */
void facts_taken(struct node *n, const char *by, const char *swarm, const char *name, const char *from,
                 const char *to);
void facts_moved(struct node *n, const char *by, const char *swarm, const char *name, const char *to);
/* GATHER_STARTING or GATHER_STARTED of a process here; its reason: the start failed. */
void facts_start_here(struct node *n, enum gathered_kind kind, const struct child_row *row);
/* What two rows of a process elsewhere say of its starts. */
void facts_start(struct node *n, const struct child_row *old, const struct child_row *now);
/* Before the commit. 0 or < 0. */
int facts_write(struct node *n);
/* After the commit, or when nothing came of it. */
void facts_clear(struct node *n);

/* What a "starting", "running" or ended row of a process means for who looks names up. old may be empty
 * (status NULL). told: another node's row was merged. */
int facts_registry(struct node *n, const struct child_row *old, const struct child_row *now, bool told);
/* Whether a row of that status can mean something for them. */
bool facts_status_matters(const char *status);

/* A node joins or leaves what this one sees. Inside handlers. */
void facts_change(struct node *n, struct peer *p, bool joins);
/* Every name will be looked at; all of them were. true: look from the start. */
int facts_redistribution_begins(struct node *n, bool *ret_anew);
int facts_redistribution_ends(struct node *n);

#endif
