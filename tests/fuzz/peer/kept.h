/* kept: one store for all inputs. Making a database, opening it and preparing its statements took nearly all
 * of an input's time; so the store is opened once, each input runs in one transaction around all of its own,
 * and that is rolled back at its end: the next one finds exactly what this one found.
 *
 * The linker hands the calls that would notice (of store_open, of transactions, checkpoints and snapshots) to
 * kept.c. What it leaves out is what disks do: that is the simulator's.
 */
#ifndef SKEP_TESTS_FUZZ_KEPT_H
#define SKEP_TESTS_FUZZ_KEPT_H

#include "world/world.h"

/* The store, and what the first input finds in it: a node that was never opened. Once. */
void kept_begin(const struct world_disk *disk, const struct id *cluster, const struct id *self);
/* What is there now is what each input finds. */
void kept_is_start(void);
/* All that was written since is gone. No node may be open. */
void kept_reset(void);

#endif
