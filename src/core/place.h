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

#endif
