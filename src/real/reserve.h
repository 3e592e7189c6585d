/* reserve: what a node keeps in its folder beside the database: room for the day the disk is full, and a note
 * that outlives the process. Brain thread.
 */
#ifndef SKEP_REAL_RESERVE_H
#define SKEP_REAL_RESERVE_H

#include "world/disk.h"

#define RESERVE_BYTES (8 << 20)

struct reserve;

/* In that folder. Never fails: without room or a note it does without. */
struct reserve *reserve_new(const char *folder);
/* Leaves the room in place. Accepts NULL. */
void reserve_free(struct reserve *r);
/* Fills the members of a world's disk that are its business. */
void reserve_world(struct reserve *r, struct world_disk *ret);

#endif
