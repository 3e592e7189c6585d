/* held: rows that wait for somebody's decision: those in quarantine, and those that lie aside.
 *
 * One in quarantine is no row any more: kept, it is written again as if it were new; dropped, it is gone. One
 * that lies aside is a row that others have, too: kept, it is applied under a new stamp; dropped, it is dead
 * everywhere. Either way every node follows.
 *
 * An id is the number in quarantine, or "a:TABLE/KEY" with the key as "change" has it.
 */
#ifndef SKEP_STORE_HELD_H
#define SKEP_STORE_HELD_H

#include "store/store.h"

struct held {
    char *id, *tbl, *key, *why; /* owned */
    int64_t at;
    struct stamp stamp;
    bool dead, aside;
    struct str bytes; /* canonical */
};

void held_fini(struct held *h);
/* The one behind this id ("" = the first): those in quarantine first. 1, 0 at the end, SKEP_EARG: no id. */
int held_after(struct store *s, const char *id, struct held *ret, struct err *e);
/* The one of this id. 1, 0: there is none (any more). */
int held_get(struct store *s, const char *id, struct held *ret, struct err *e);

/* Appends its columns as a JSON object; false: of a table this program does not know, or not of its form. */
struct jw;
bool held_columns(const struct held *h, struct jw *j);

/* Writes it again under a new stamp. ret_row borrows from h. SKEP_ECONFLICT: what is there now counts for
 * more; SKEP_EARG: this program cannot apply it. */
int held_keep(struct store *s, const struct held *h, struct remote_row *ret_row, struct err *e);
/* Lets go of it; ret_row is the tombstone of one that lay aside. */
int held_drop(struct store *s, const struct held *h, struct remote_row *ret_row, struct err *e);

#endif
