/* cover: what waits until other nodes have it on disk. */
#ifndef SKEP_NODE_COVER_H
#define SKEP_NODE_COVER_H

#include "base/list.h"

struct node;

/* fn(n, arg, copies) once `need` peers of the view cover our hlc, outside any handler: memory and world only.
 * strict: never lowered to the size of the view. witness: one of the view who must be among them (it decides
 * by what we wrote); NULL, ourselves, or out of the view: nobody in particular. deadline: then fn gets copies
 * = -1. With one, fn gets COVER_NEVER at once where damaged rows keep the others from confirming anything.
 * Inside handlers; takes effect after the commit. */
#define COVER_NEVER (-2)
void cover_wait(struct node *n, int64_t hlc, int need, bool strict, const struct id *witness,
                int64_t deadline_ms, void (*fn)(struct node *n, void *arg, int copies), void *arg,
                void (*drop)(void *arg));
/* Peers of the view that cover our hlc. */
int cover_count(struct node *n, int64_t hlc);
void cover_check(struct node *n);
void covers_fini(struct node *n);
TAILQ_HEAD(coverlist, cover);

#endif
