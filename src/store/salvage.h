/* salvage: what can still be read of a damaged database, as the database of the same node.
 *
 * Pages that cannot be read are stepped over; a row counts only if its version could be read, too, and its
 * bytes have the hash that stands there. Rows keep their stamps, and the vector is left empty: the first run
 * copies from a peer (meta "resync" = "repaired") and so learns what was lost, and what of the rest others
 * have deleted.
 */
#ifndef SKEP_STORE_SALVAGE_H
#define SKEP_STORE_SALVAGE_H

#include "store/store.h"

struct salvage {
    int64_t rows, dead; /* that were put back */
    int64_t lost;       /* versions whose row could not be read or was not what its hash says */
    bool readable;      /* something was; not: its header or its schema is gone */
    bool alone;         /* it knew no other node: nothing is asked of anybody */
};

/* 0: the file is sound. SKEP_EDAMAGED: it is not, e says where. */
int store_sound(const char *path, struct err *e);
/* Makes a new database at `to` for the node, with what is readable of the one at `from`, which nobody has
 * open. `work` is used meanwhile, and removed by the caller. */
int store_salvage(const char *from, const char *work, const char *to, const struct id *cluster,
                  const struct id *node, const char *name, const struct world_clock *clock,
                  struct salvage *ret, struct err *e);

#endif
