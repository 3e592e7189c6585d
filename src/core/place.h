/* place: weighted rendezvous hashing: which node a name belongs to, as a function of name and nodes only.
 *
 * Every node scores every name; the best score wins. A node that leaves moves only its own names, a node that
 * comes takes 1/(n+1) of each other's. Nothing but ids, weights and eligibility enters, and the order of the
 * array does not matter; so every node that sees the same view gives the same answer. The arithmetic is in
 * integers throughout: the answer is the same on every machine, compiler and libm (golden values in the
 * test).
 *
 * After Thaler and Ravishankar, "A Name-Based Mapping Scheme for Rendezvous", 1996; weights by -w / ln(u) as
 * in Schindler and Tomerlin, "Weighted Distributed Hash Tables", 2005.
 */
#ifndef SKEP_CORE_PLACE_H
#define SKEP_CORE_PLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/id.h"

struct place_node {
    struct id id;
    double weight; /* > 0, counted in steps of 1/65536 up to 65536; anything else is not eligible */
    bool eligible;
};

/* The hash of a name of a swarm (XXH64 of the name, seeded with the XXH64 of the swarm). */
uint64_t place_hash(const char *swarm, const char *name);
/* Index of the winner among the eligible nodes; -1 if there is none. */
int place_pick(const struct place_node *nodes, size_t n, uint64_t name_hash);
/* The best `r` eligible nodes, best first, as indices into nodes. Returns how many there are (<= r). */
size_t place_rank(const struct place_node *nodes, size_t n, uint64_t name_hash, size_t r, int *ret_index);

/* What place_pick compares, for people to see: least wins; -1 for who is not eligible. */
double place_cost(const struct place_node *node, uint64_t name_hash);

/* What the nodes carry already, beside the array of nodes: how many children of the swarm, and in which zone
 * (any number; the same for nodes of one zone). */
struct place_load {
    int64_t has;
    int zone;
};
/* place_pick among the eligible nodes that stay within bound_percent (from 100 up) of their fair share: their
 * weight's part of all the children on eligible nodes, the new one included, rounded up. There always is one,
 * if any is eligible. Mirrokni, Thorup, Zadimoghaddam, "Consistent Hashing with Bounded Loads", 2018. */
int place_pick_bounded(const struct place_node *nodes, const struct place_load *loads, size_t n,
                       int64_t bound_percent, uint64_t name_hash);
/* Leaves eligible only the nodes of those zones that have the fewest children for their weight, counted over
 * all nodes of positive weight, eligible or not. */
void place_spread(struct place_node *nodes, const struct place_load *loads, size_t n);

#endif
