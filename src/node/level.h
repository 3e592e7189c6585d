/* level: where a swarm with a load balancer wants it ("nodeup_redistribution"), processes move to a node that
 * joined: one a second from each node that has more than its share, to a node that joined within the last
 * five minutes and has less than its own. A share is a node's part of the swarm's processes by its capacity.
 */
#ifndef SKEP_NODE_LEVEL_H
#define SKEP_NODE_LEVEL_H

struct node;

/* Inside a handler, once a second. */
int level_tick(struct node *n);

#endif
