/* scan: every replicated row looked at anew, in slices: are its bytes those that were written?
 *
 * Nothing stored is trusted: the canonical bytes are made again from the table of the row (or as they lie
 * aside), hashed, and held against the hash that "change" has of them. Then the tables are walked the other
 * way round, for rows that no version stands for. A scan sees rows that change meanwhile once, twice or not
 * at all; each row is of one moment.
 *
 * Read only, but for scan_reindex and scan_undead. Outside or inside a transaction.
 */
#ifndef SKEP_STORE_SCAN_H
#define SKEP_STORE_SCAN_H

#include "store/store.h"
#include "wire/digest.h"

enum scan_damage {
    SCAN_SOUND,
    SCAN_DIFFERS,  /* its bytes have another hash */
    SCAN_MISSING,  /* a live version without a row */
    SCAN_ORPHAN,   /* a row without a version */
    SCAN_UNDEAD,   /* a row that its version says is dead */
    SCAN_UNLISTED, /* not in the index that pulls go by */
};

struct scan_row {
    struct span tbl, key; /* borrowed until the function that was given it returns */
    struct stamp stamp;   /* not of ORPHAN */
    bool dead;
    bool idle;  /* see store_is_idle; of a walk only */
    bool doubt; /* it lies aside, for it may have been deleted */
    enum scan_damage damage;
    unsigned char stored[DIGEST16_BYTES], real[DIGEST16_BYTES]; /* of a live row; zero if there is none */
    size_t bytes;                                               /* how many were hashed */
};

struct scan;

/* One at a time for each. The store must outlive it. */
struct scan *scan_new(struct store *s);
void scan_free(struct scan *scan); /* accepts NULL */

/* From the start. listing: versions only, without bytes and damage: what there is, by its stored hash. */
void scan_begin(struct scan *scan, bool listing);
/* At most so many rows or bytes more. 1: there is more; 0: it is complete; < 0: the file cannot be read. */
int scan_step(struct scan *scan, int64_t rows_max, size_t bytes_max,
              void (*found)(void *ctx, const struct scan_row *row), void *ctx, struct err *e);
/* One row, looked at in the same way. 1; 0: neither version nor row. Spans of ret: those given. */
int scan_look(struct scan *scan, struct span tbl, struct span key, struct scan_row *ret, struct err *e);
/* Its version alone, as if it were sound. 1, or 0: there is none. */
int scan_glance(struct scan *scan, struct span tbl, struct span key, struct scan_row *ret, struct err *e);
/* Which of SUMS_BUCKETS a key belongs to. */
unsigned scan_bucket(const char *tbl, const char *key);
/* Whether a live row lies aside, and that because it may have been deleted. */
int scan_is_aside(struct scan *scan, struct span tbl, struct span key, bool *ret_doubt, struct err *e);
/* Appends a row as pages have it, if it is there and sound. 1, or 0. */
int scan_fetch(struct scan *scan, struct span tbl, struct span key, struct str *ret_row, struct err *e);

const char *scan_damage_word(enum scan_damage d);
/* What mends UNLISTED, and what looks like ORPHAN or MISSING but is an index without an entry: the indexes of
 * "change" and of this table made anew. Inside a transaction; SKEP_ESTORE if that cannot be done. */
int scan_reindex(struct scan *scan, struct span tbl, struct err *e);
/* A copy of the row as it is into quarantine; nothing there is fine. */
int scan_keep(struct scan *scan, struct span tbl, struct span key, const char *why, struct err *e);
/* What mends UNDEAD: a copy into quarantine, and the row away. */
int scan_undead(struct scan *scan, struct span tbl, struct span key, const char *why, struct err *e);

#endif
