/* score: how busy a node is, and which of several gets the next process of a swarm that balances its load.
 *
 * A sample of a node is weighed into one number from 0 (idle) to 1000 (busy): 0.4 of the share of CPU time in
 * use, 0.3 of the run queue (100 and more is full), 0.2 of the processes (10 000 and more is full), 0.1 of
 * the share of memory in use. What is shown of a node is the mean of its last 30 samples, each counting 0.9
 * of the next newer one. Its capacity is what is left, and at least a tenth.
 *
 * New processes are allotted by capacity: the next goes where the quotient of what was given, it included,
 * and capacity is least. So many of them are shared in proportion, and what cannot be divided goes to the
 * biggest (the method of D'Hondt; Balinski and Young, "Fair Representation", 1982). All in integers.
 */
#ifndef SKEP_CORE_SCORE_H
#define SKEP_CORE_SCORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/id.h"

#define SCORE_ONE     1000
#define SCORE_KEPT    30
#define SCORE_LEAST   (SCORE_ONE / 10) /* capacity of a node that is busy */
#define SCORE_PUSH_MS 10000

struct score_sample {
    int64_t cpu_permille;    /* of all processors */
    int64_t runq;            /* runnable now */
    int64_t processes;       /* children of this node that run */
    int64_t memory_permille; /* in use */
};

struct score_history { /* zeros: no sample yet */
    int16_t scores[SCORE_KEPT];
    int n, newest;
};

/* 0 to SCORE_ONE. What is out of range counts as the nearest that is in it. */
int score_of(const struct score_sample *s);
void score_add(struct score_history *h, int score);
/* The mean; -1 without a sample. */
int score_mean(const struct score_history *h);
int64_t score_capacity(int score);

struct score_node {
    struct id id;
    bool eligible;
    int64_t capacity; /* > 0 */
    int64_t given;    /* to this node, since the scores were told */
};
/* Index of the one that gets the next; -1 if none is eligible. The order of the array does not matter. */
int score_pick(const struct score_node *nodes, size_t n);

#endif
