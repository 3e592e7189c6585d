/* choice: which of the nodes that may take a process gets it, by the distribution of its swarm.
 *
 *   consistent_hash  weighted rendezvous by the name; with "spread", in the zone that has the fewest for its
 *                    weight; with "bound_percent", on a node that stays within its share
 *   guided           the one that its specification names
 *   load_balancer    the one with the most capacity left, by the scoreboard; as consistent_hash without one
 *   random           any, by weight
 *
 * What a node has is counted in the rows as they are here, and kept for a moment with what was chosen since:
 * several homes choose at the same time, so a bound is kept by each of them for what it knows.
 */
#ifndef SKEP_NODE_CHOICE_H
#define SKEP_NODE_CHOICE_H

#include "core/place.h"
#include "core/score.h"

struct node;
struct settings;

struct choice {
    int kind;              /* enum distribution */
    int64_t bound_percent; /* 0: none */
    bool spread;
    bool only_plan;            /* nothing comes of it: it counts in this choice only */
    struct place_load *loads;  /* beside the nodes; owned; NULL unless bound or spread */
    struct score_node *scores; /* the same; NULL unless the scoreboard says something */
};

/* list: the candidates, eligible or not. The settings are as of now. */
void choice_init(struct node *n, const char *swarm, const struct settings *s, const struct place_node *list,
                 size_t count, struct choice *ret);
void choice_fini(struct choice *c);
/* Index of the one that gets this name, or -1. From now on it counts as given. */
int choice_pick(struct node *n, struct choice *c, const struct place_node *list, size_t count,
                const char *swarm, const char *name);
/* Somebody else has given that one a name. */
void choice_given(struct node *n, struct choice *c, const struct id *id, size_t at, const char *swarm);
/* What decided about one of them, as a number of which the least won; < 0: nothing but chance. Ask before the
 * pick. */
double choice_score(const struct choice *c, const struct place_node *list, size_t i, const char *swarm,
                    const char *name);
/* Children of the swarm on that node, as its rows say and this node gave since. */
int64_t choice_count(struct node *n, const char *swarm, const struct id *node);
void choices_fini(struct node *n);

#endif
