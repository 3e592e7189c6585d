/* plan: where names would go, and why, without anything being written (?dry_run=true). */
#ifndef SKEP_API_PLAN_H
#define SKEP_API_PLAN_H

#include "api/api.h"

struct plan_name {
    const char *name;
    char *const *nodes; /* of its specification; NULL: all */
};
/* Ends the op: for each name its home, its node and what each node was to the choice, as this node sees it
 * now. Inside a handler. */
int plan_answer(struct node *n, struct op *op, const char *swarm, const struct plan_name *names,
                size_t count);
/* What each node would be to the choice for one name now, as objects of an array that is open. */
void plan_candidates(struct node *n, const char *swarm, const char *name, char *const *nodes, struct jw *j);
/* What this swarm asks of the nodes that a child names: of "guided" exactly one, and no pattern. */
int plan_check(struct node *n, const char *swarm, const char *field, const char *name,
               const struct json_strings *nodes, struct err *e);

#endif
