#include "sim/simfile.h"

#include <string.h>

#include "base/ensure.h"
#include "base/mem.h"

struct simfile_undo {
    size_t sector;
    unsigned char old[SIMFILE_SECTOR];
};

struct simfile *simfile_new(void)
{
    struct simfile *f = mem_alloc(sizeof *f);
    f->refs = 1;
    return f;
}

struct simfile *simfile_ref(struct simfile *f)
{
    f->refs++;
    return f;
}

void simfile_unref(struct simfile *f)
{
    if (!f || --f->refs > 0)
        return;
    free(f->bytes);
    free(f->undo);
    free(f->dirty);
    free(f);
}

/* Room for n bytes, in whole sectors, 0 behind the end. */
static void reserve(struct simfile *f, size_t n)
{
    if (n <= f->cap)
        return;
    size_t cap = f->cap ? f->cap : 8192;
    while (cap < n)
        cap *= 2;
    f->bytes = mem_resize(f->bytes, cap, 1);
    memset(f->bytes + f->cap, 0, cap - f->cap);
    f->cap = cap;
    size_t words = cap / SIMFILE_SECTOR / 64 + 1;
    f->dirty = mem_resize(f->dirty, words, sizeof *f->dirty);
    memset(f->dirty + f->dirty_words, 0, (words - f->dirty_words) * sizeof *f->dirty);
    f->dirty_words = words;
}

static void set_dirty(struct simfile *f, size_t sector, bool on)
{
    uint64_t bit = 1ULL << (sector % 64);
    f->dirty[sector / 64] = on ? f->dirty[sector / 64] | bit : f->dirty[sector / 64] & ~bit;
}

static bool is_dirty(const struct simfile *f, size_t sector)
{
    return f->dirty[sector / 64] >> (sector % 64) & 1;
}

/* Remembers what the sectors of [from, to) hold, before they change for the first time. */
static void remember(struct simfile *f, size_t from, size_t to)
{
    for (size_t s = from / SIMFILE_SECTOR; s * SIMFILE_SECTOR < to; s++) {
        if (is_dirty(f, s))
            continue;
        ARRAY_GROW(f->undo, f->undo_n, f->undo_cap);
        struct simfile_undo *u = &f->undo[f->undo_n++];
        u->sector = s;
        memcpy(u->old, f->bytes + s * SIMFILE_SECTOR, SIMFILE_SECTOR);
        set_dirty(f, s, true);
    }
}

size_t simfile_read(const struct simfile *f, void *ret_bytes, size_t n, size_t at)
{
    size_t there = at >= f->n ? 0 : f->n - at < n ? f->n - at : n;
    if (there)
        memcpy(ret_bytes, f->bytes + at, there);
    memset((char *)ret_bytes + there, 0, n - there);
    return there;
}

void simfile_write(struct simfile *f, const void *bytes, size_t n, size_t at)
{
    if (n == 0)
        return;
    reserve(f, at + n);
    remember(f, at, at + n);
    memcpy(f->bytes + at, bytes, n);
    if (f->n < at + n)
        f->n = at + n;
}

void simfile_truncate(struct simfile *f, size_t n)
{
    if (n >= f->n)
        return;
    remember(f, n, f->n);
    memset(f->bytes + n, 0, f->n - n);
    f->n = n;
    if (n < f->durable_n && (!f->cut || n < f->cut_at)) {
        f->cut = true;
        f->cut_at = n;
    }
}

void simfile_sync(struct simfile *f)
{
    for (size_t i = 0; i < f->undo_n; i++)
        set_dirty(f, f->undo[i].sector, false);
    f->undo_n = 0;
    f->cut = false;
    f->durable_n = f->n;
}

/* Overwrites a sector with a part of what it could hold after the crash. */
static void settle_sector(unsigned char *now, const unsigned char *old, enum simfile_fate fate,
                          struct prng *dice)
{
    uint64_t pick = fate == FATE_KEEP ? 0 : fate == FATE_LOSE ? 1 : prng_below(dice, 3);
    if (pick == 0)
        return;
    size_t from = 0, to = SIMFILE_SECTOR;
    if (pick == 2) {
        size_t tear = 1 + prng_below(dice, SIMFILE_SECTOR - 1);
        *(prng_below(dice, 2) ? &from : &to) = tear;
    }
    memcpy(now + from, old + from, to - from);
}

/* Where the bytes of a sector lie behind the cut, from here to its end. */
static size_t cut_in_sector(const struct simfile *f, size_t sector)
{
    size_t start = sector * SIMFILE_SECTOR;
    if (!f->cut || f->cut_at >= start + SIMFILE_SECTOR)
        return SIMFILE_SECTOR;
    return f->cut_at > start ? f->cut_at - start : 0;
}

static bool toss(enum simfile_fate fate, struct prng *dice)
{
    return fate == FATE_KEEP || (fate == FATE_MIX && prng_below(dice, 2));
}

/* A truncation is one change of the file system's journal: it happened with all before it, or nothing
 * behind the cut did. */
void simfile_crash(struct simfile *f, enum simfile_fate fate, struct prng *dice)
{
    bool cut_happened = f->cut && toss(fate, dice);
    size_t n = f->durable_n;
    if (cut_happened)
        n = toss(fate, dice) ? f->n : f->cut_at;
    else if (!f->cut && f->n > f->durable_n)
        n = toss(fate, dice) ? f->n : f->durable_n;
    reserve(f, n);
    for (size_t i = 0; i < f->undo_n; i++) {
        struct simfile_undo *u = &f->undo[i];
        unsigned char *now = f->bytes + u->sector * SIMFILE_SECTOR;
        size_t behind = cut_in_sector(f, u->sector);
        if (cut_happened)
            memset(u->old + behind, 0, SIMFILE_SECTOR - behind);
        else
            memcpy(now + behind, u->old + behind, SIMFILE_SECTOR - behind);
        settle_sector(now, u->old, fate, dice);
    }
    if (f->cap > n)
        memset(f->bytes + n, 0, f->cap - n);
    f->n = n;
    simfile_sync(f);
}

void simfile_flip(struct simfile *f, size_t at, unsigned bit)
{
    ensure(at < f->n, "byte %zu of %zu", at, f->n);
    f->bytes[at] ^= (unsigned char)(1U << (bit & 7));
    for (size_t i = 0; i < f->undo_n; i++)
        if (f->undo[i].sector == at / SIMFILE_SECTOR)
            f->undo[i].old[at % SIMFILE_SECTOR] ^= (unsigned char)(1U << (bit & 7));
}
