/* simfile: the contents of one simulated file, as they are read now and as a power cut would leave them.
 *
 * Kept as the bytes of now plus, for each 512-byte sector written since the last sync, what it held
 * before: a write costs one copy of what it touches, a sync costs nothing but forgetting.
 * Knows neither names nor SQLite.
 */
#ifndef SKEP_SIM_SIMFILE_H
#define SKEP_SIM_SIMFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/prng.h"

enum { SIMFILE_SECTOR = 512 };

enum simfile_fate { FATE_KEEP, FATE_LOSE, FATE_MIX }; /* of what was not synced */

struct simfile_undo;

struct simfile {
    unsigned char *bytes; /* n of them; 0 from n to cap */
    size_t n, cap;
    size_t durable_n;
    struct simfile_undo *undo; /* one for each dirty sector */
    size_t undo_n, undo_cap;
    uint64_t *dirty; /* a bit for each sector */
    size_t dirty_words;
    bool cut; /* truncated since the last sync, at the lowest to cut_at */
    size_t cut_at;
    int refs;
    const void *owner; /* who holds its lock */
};

/* With one reference. */
struct simfile *simfile_new(void);
struct simfile *simfile_ref(struct simfile *f);
void simfile_unref(struct simfile *f); /* accepts NULL */

/* Copies what there is, fills the rest with 0; returns how much there was. */
size_t simfile_read(const struct simfile *f, void *ret_bytes, size_t n, size_t at);
void simfile_write(struct simfile *f, const void *bytes, size_t n, size_t at);
void simfile_truncate(struct simfile *f, size_t n);
void simfile_sync(struct simfile *f);
void simfile_crash(struct simfile *f, enum simfile_fate fate, struct prng *dice);
/* Damages one bit for good; the file must not be empty. */
void simfile_flip(struct simfile *f, size_t at, unsigned bit);

#endif
