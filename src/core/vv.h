/* vv: a version vector: for each actor the hlc up to which its writes are here.
 *
 * Read it as a function from every actor there may ever be to an hlc: an actor without an entry has `floor`
 * (0 until old actors were folded), never 0. All comparisons and joins are those of that function.
 *
 * Invariants
 *  1. Entries are sorted by actor, each actor at most once, every hlc >= 0.
 *  2. vv_raise and vv_merge never lower a value: the vector of a run only grows.
 *  3. vv_merge is the pointwise maximum: commutative, associative, idempotent.
 *
 * After Parker et al., "Detection of Mutual Inconsistency in Distributed Systems", 1983; prefixes by stamp
 * instead of counters as in Bayou (Petersen et al., 1997).
 */
#ifndef SKEP_CORE_VV_H
#define SKEP_CORE_VV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"

struct vv_entry {
    int64_t actor, hlc;
};

/* Zero bytes are an empty vector. Entries may be read by index; change them through vv_raise only. */
struct vv {
    struct vv_entry *e; /* owned */
    size_t n, cap;
    int64_t floor; /* what an actor without an entry has */
};

#define VV_INIT ((struct vv){NULL, 0, 0, 0})
#define AUTOVV  CLEANUP(vv_fini)

void vv_init(struct vv *v);
void vv_fini(struct vv *v);
void vv_clear(struct vv *v); /* empty with floor 0; keeps the memory */
/* Makes `to` equal to `from`: one memcpy, and no allocation once `to` is large enough. */
void vv_copy(struct vv *to, const struct vv *from);

int64_t vv_get(const struct vv *v, int64_t actor);
bool vv_covers(const struct vv *v, int64_t actor, int64_t hlc);
/* The greatest hlc of the vector, its floor included. */
int64_t vv_max(const struct vv *v);

/* Raises the actor's value to hlc if it is less. True if that changed anything. */
bool vv_raise(struct vv *v, int64_t actor, int64_t hlc);
/* The entry as somebody wrote it down, below the floor too; for reading vectors into an empty one. */
void vv_put(struct vv *v, int64_t actor, int64_t hlc);
/* Puts all entries of `change` over those of v, in one walk over both; v's floor stays. */
void vv_replace(struct vv *v, const struct vv *change);
/* into = the pointwise maximum of both. True if that changed into. */
bool vv_merge(struct vv *into, const struct vv *from);
/* Drops an actor's entry: from now on it counts as the floor, which rises to its hlc if that is greater. */
void vv_fold(struct vv *v, int64_t actor);

/* Equal as functions: an entry at the floor and no entry are the same. */
bool vv_equal(const struct vv *a, const struct vv *b);
/* Whether a has all that b has, as pulls and their refusal ask it: a covers each entry of b, and vv_max(a) is
 * not below b's floor. The floor is asked as a scalar, and not of a's own entries, for nodes fold at
 * different times: an actor that ended at 100 and was folded over there into a floor of 200 must not make us
 * look behind. */
bool vv_reaches(const struct vv *a, const struct vv *b);

#endif
