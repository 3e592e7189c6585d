/* vector: version vectors as bytes, whole or as what has changed since an earlier one. */
#ifndef SKEP_NODE_VECTOR_H
#define SKEP_NODE_VECTOR_H

#include "core/vv.h"
#include "wire/buf.h"

/*   vector := floor i64, count varint, (actor i64, hlc i64)*      in rising order of the actors */

/* All of it. */
void vector_write(struct str *s, const struct vv *v);
/* Its floor and the entries that differ from those of `known`; of NULL, all. Vectors of a run only grow, and
 * lose entries only to their floor: whoever has `known` gets v by vector_apply, but for entries that were
 * folded, which stay with him and do no harm. */
void vector_write_since(struct str *s, const struct vv *v, const struct vv *known);
/* The entries that are above what `have` has, under v's floor. */
void vector_write_above(struct str *s, const struct vv *v, const struct vv *have);
/* Into an empty vector. What is no vector makes the reader bad. */
void vector_read(struct reader *r, struct vv *ret);
/* Puts all entries and the floor of a change over v. */
void vector_apply(struct vv *v, const struct vv *change);

#endif
