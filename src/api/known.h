/* known: a supervised process as the rows of its name say, for the routes about one: loading them, answering
 * with them, and the way to whoever may decide about it.
 *
 * Handlers run again whenever these rows change, and decide by the rows as they are.
 */
#ifndef SKEP_API_KNOWN_H
#define SKEP_API_KNOWN_H

#include <string.h>

#include "api/api.h"

struct known {
    struct name_row name;
    struct child_row child;
    bool found, current; /* current: the child row is of the claim's epoch */
};

static inline bool is(const char *a, const char *b)
{
    return a && strcmp(a, b) == 0;
}

/* Of the name that the route is about. */
int known_load(struct node *n, const struct call *c, struct known *k);
void known_fini(struct known *k);
/* Who meets a start or stop under way waits for what becomes of it. */
bool known_is_in_flight(const struct known *k);

/* Brings the op to the owner of a child. 1: we are it (k is filled); 0: under way, or answered. */
int known_at_owner(struct node *n, struct op *op, const struct call *c, struct known *k, bool again);
/* The same; 3: nobody owns it, and nobody may take it. */
int known_to_owner(struct node *n, struct op *op, const struct call *c, struct known *k, bool again);
/* Not for this node: a client's request goes on; who forwarded one decides anew, for one of us is behind. */
void known_send_on(struct node *n, struct op *op, const struct id *to, bool again);

/* The child as JSON. ended: the status it will have once it is gone; NULL = as it is. 1, 0: there is none. */
int known_render(struct node *n, const struct call *c, const char *ended, struct str *body, char rev[32]);
/* Who is told of the child through another node finds it there: claim and state are rows of two nodes. */
int known_shows(struct node *n, struct op *op, const struct call *c);
/* Answers with the child; need: as op_answer_owned, 0: nothing about its claim was decided. */
int known_answer(struct node *n, struct op *op, const struct call *c, int status, int64_t hlc, int need);
int known_none(struct node *n, struct op *op, const struct call *c);
/* The reason of a failed start, as the answer: who gets it finds nothing any more, through whatever node. */
int known_not_started(struct node *n, struct op *op, const struct call *c, const struct known *k);

/* What was asked, and by whom, in the log of the name. */
int known_audit(struct node *n, struct op *op, const struct call *c, const char *type, int64_t epoch);

#endif
