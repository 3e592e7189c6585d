/* made: rows, vectors and whole messages of a peer out of a few bytes of an input, so that a fuzzer which
 * knows nothing of their form still gets past the first checks: each byte chooses one of the values that mean
 * something.
 */
#ifndef SKEP_TESTS_FUZZ_MADE_H
#define SKEP_TESTS_FUZZ_MADE_H

#include "core/dot.h"
#include "core/vv.h"
#include "rig.h"

/* What is left of an input; bytes behind its end are 0. */
struct feed {
    const char *p;
    size_t n;
};
unsigned take(struct feed *f);

/* A row as a peer has it. */
struct row_copy {
    char *tbl, *key; /* owned; key has key_n bytes */
    size_t key_n;
    struct stamp stamp;
    bool dead;
    unsigned char hash[16];
    struct str bytes; /* as a page has it */
};
void copies_free(struct row_copy *list, size_t n);

/* Appends the row of: table u8 (0xf8 on: none that we know), flags u8 (1 dead, 2 of another actor, 4 whatever
 * its rank should be), age u8, a byte for each column. Returns how many there are of it: 0 if such a row
 * cannot be. */
int row_make(struct str *s, struct feed *f);
/* The rows of the rest of an input, by table and key, each key once, with those that were damaged here as
 * they were before. Yours. */
size_t rows_sorted(const struct rig *g, struct feed *f, struct row_copy **ret);
/* A vector: how many u8, floor u8, (actor u8, hlc u8)*. */
void vector_make(struct rig *g, struct feed *f, struct vv *ret);

/* ---- what a peer does: each reads its message out of f ---- */

void make_page(struct rig *g, const struct mate *by, struct feed f);
void make_rows(struct rig *g, const struct mate *by, struct feed f);
void make_pull(struct rig *g, const struct mate *by, struct feed f);
void make_resync_page(struct rig *g, const struct mate *by, struct feed f);
void make_resync_ask(struct rig *g, const struct mate *by, struct feed f);
void make_relay(struct rig *g, const struct mate *by, struct feed f);
void make_relayed(struct rig *g, const struct mate *by, struct feed f);
void make_comparison(struct rig *g, const struct mate *by, struct feed f);
void make_compare_ask(struct rig *g, const struct mate *by, struct feed f);
/* A row of the node is damaged on disk. */
void make_rot(struct rig *g, struct feed f);

/* Pulls and pings as they reach a node: answered, then told to the brain. Of node `who`. */
void pulled(struct rig *g, const struct id *who, const void *p, size_t n);
void pinged(struct rig *g, const struct id *who, const void *p, size_t n);

#endif
