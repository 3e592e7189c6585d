/* board: how busy each node is, and the scoreboard that swarms with a load balancer go by.
 *
 * Each node measures itself once a second and says its score with its pings and their answers. The commander,
 * who is up the longest of the nodes that the view has, writes the mean of each node's last samples into the
 * table `score`, as often as the swarms ask for. A node that is late itself says nothing, and does not lead.
 */
#ifndef SKEP_NODE_BOARD_H
#define SKEP_NODE_BOARD_H

#include "core/score.h"
#include "node/timer.h"

struct peer;
struct store;

struct board {
    struct timer timer;
    struct score_history own;
    int score;                               /* of this node now; -1: it cannot tell */
    int64_t looked_ms, interval_ms, push_ms; /* boot; interval 0: no swarm wants it */
};

void board_begin(struct node *n);
/* A ping or its answer said this: 0 nothing, else the score and 1. Memory only. */
void board_heard(struct node *n, struct peer *p, int64_t said);
/* What this node says of itself. */
int64_t board_said(const struct node *n);
/* The node of the view that is up the longest; of those that began in the same moment, the least id. */
struct id board_commander(struct node *n);
/* All of the scoreboard as one number: part of what places the children of a swarm that goes by it. */
uint64_t board_signature(struct store *s);

#endif
