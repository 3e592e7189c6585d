/* seating: on which nodes many names of a swarm are put, computed once for all of them: by the swarm's
 * distribution, and with no node given more than it has room for.
 *
 * What a node has is counted in the rows as they are here, when the seating is made. Who is asked elsewhere
 * meanwhile is not known: the node that is to run a process has the last word.
 */
#ifndef SKEP_NODE_SEATING_H
#define SKEP_NODE_SEATING_H

#include "node/own.h"

struct seating {
    struct node *n;
    const char *swarm;
    struct places all;         /* of names that name no nodes */
    int64_t *room;             /* what each of these nodes may still take; owned */
    struct seating_some *some; /* of names that do */
    uint64_t
        signature;  /* of what the choice follows from, but for the room; equal where others see the same */
    bool limited;   /* some node may get full */
    bool only_plan; /* nothing comes of it */
};

/* Its signature as text. */
void seating_text(const struct seating *s, char ret[17]);
/* For at most `count` names. Inside a handler, which it must not outlive. */
void seating_init(struct node *n, const char *swarm, size_t count, bool only_plan, struct seating *ret);
void seating_fini(struct seating *s);
/* The candidates of one name, of which those that are full by now take nothing: borrowed. nodes: as of
 * own_targets. */
struct places *seating_places(struct seating *s, char *const *nodes);
/* Which of them gets it: an index that holds for `all` too, or -1. It has less room from then on. */
int seating_pick(struct seating *s, struct places *from, const char *name);
/* Somebody else has put a name on that node of `all`. */
void seating_follow(struct seating *s, size_t at);

#endif
