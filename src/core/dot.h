/* stamp: the version of a row, and the one comparison by which rows merge.
 *
 * A dot (actor, hlc) names one row write of the whole cluster, for ever; the rank in front of it says which
 * kind of rule the row follows (0: last writer wins, dead: a set's removal wins over the dot it saw, epoch:
 * what only an owner writes, nearness: of two places in a tree the one nearer to its root, so that no merge
 * of whole rows can make a ring of parents). Nothing outside the two stamps ever takes part in a merge.
 *
 * Invariants
 *  1. stamp_compare is a total order, and equal only for equal stamps.
 *  2. A merge keeps the greater stamp's row; hence merging is commutative, associative and idempotent.
 *
 * After Shapiro et al., "Conflict-free Replicated Data Types", 2011 (a total order is a semilattice).
 */
#ifndef SKEP_CORE_DOT_H
#define SKEP_CORE_DOT_H

#include <stdint.h>

/* Far below every epoch, which are stamps, and at most RANK_FAR lower. */
#define RANK_ROOT (INT64_C(1) << 40)
#define RANK_FAR  (INT64_C(1) << 32)

struct stamp {
    int64_t rank;  /* 0, 1 for a set's dead member, an epoch, or RANK_ROOT minus a distance */
    int64_t hlc;   /* base/hlc.h */
    int64_t actor; /* random 63 bits, one for each run of a node */
};

/* Below 0, 0 or above 0, by (rank, hlc, actor). The greater one wins a merge. */
int stamp_compare(const struct stamp *a, const struct stamp *b);

#endif
