/* op_inside: what the files about requests in progress share. */
#ifndef SKEP_NODE_OP_INSIDE_H
#define SKEP_NODE_OP_INSIDE_H

#include "node/brain.h"

#define OP_TRY_AGAIN_MS 100

/* op.c: the op stays (arg), from now on in the node's list; and it is over. Effects. */
void op_enter(struct node *n, void *arg);
void op_gone(struct node *n, void *arg);

/* op_answer.c: a problem document; with the op's extras. */
struct answer *op_problem(int code, const char *text);
struct answer *op_problem_of(const struct op *op, int code, const char *text);
/* Now, to whoever asked. */
void op_deliver(struct node *n, struct op *op, struct answer *a TAKES);
/* Who asked through a peer hears of it by mail: an answer, or that it may try again (NULL). */
void op_tell_peer(struct node *n, struct op *op, struct answer *a, bool retry);

/* op_forward.c: a try is under way; looks what has become of it. Inside a handler. */
int op_forwarded(struct node *n, struct op *op);

#endif
