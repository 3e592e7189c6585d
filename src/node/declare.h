/* declare: the children that the configuration of a node declares. Each start of the cluster makes them true,
 * once.
 *
 * A cluster starts when a node's view opens for the first time in its run and no member in it belongs to a
 * living cluster already. From then on the cluster has a life: the stamp with which the run of that node
 * began. Who comes later learns it from the answers to its pings; when two have begun at once, or meet after
 * a cut, the older life becomes everybody's. In each life a node asks once for each of its declared children,
 * with ?if_exists=return and under an Idempotency-Key of the life and the name, and keeps a list of those
 * that it was answered for: so what somebody stops stays stopped until the cluster starts again, whatever
 * nodes start again meanwhile, and what several nodes declare runs once.
 */
#ifndef SKEP_NODE_DECLARE_H
#define SKEP_NODE_DECLARE_H

#include <stdbool.h>

struct answer;
struct node;
struct op;

/* In node_options: ends with a swarm of NULL. body: JSON object, the spec and metadata of PUT. */
struct declared {
    const char *swarm, *name, *body;
};

/* What the configuration says, again. Outside of handlers. */
void declare_load(struct node *n);
void declare_fini(struct node *n);
bool declare_has_work(struct node *n);
int declare_work(struct node *n); /* inside a handler */
void declare_answered(struct node *n, const struct op *op, const struct answer *a);

#endif
