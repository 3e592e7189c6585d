/* compare: the full anti-entropy. Every minute or so a node looks at each of its rows anew (rescan.c), and
 * holds what it found against one other member (compare.c asks, compare_serve.c answers). What is damaged
 * here, or should be here and is not, it takes from there (heal.c, by core/judge.h); nothing is ever deleted.
 *
 * Everything found or mended is an incident: a row of the log (row_damaged, row_healed, row_late,
 * row_set_aside; file_damaged for a file that cannot be read) and a counter. In steady state there are none.
 *
 *   request := cluster id, node id, step u8, body      to POST /v1/peer/compare
 *   answer  := status u8 (0 here it is, 1 ask again soon, 2 busy with somebody else), body if 0
 *
 *   step        request's body                 answer's body
 *   1 prepare   -                              -                 the other side has looked at its rows lately
 *   2 root      root[16]                       equal u8; if 0: 64 x group[8]
 *   3 buckets   count, (group u8)*             for each group 64 x (bucket[8], rows varint)
 *   4 keys      count, (bucket u32)*           vector, cut u8, count, entry*    by table and key
 *   5 fetch     count, (table, key bytes)*     count u32, row*                  those that are there and
 * sound entry := table bytes, key bytes, rank i64, hlc i64, actor i64, flags u8, hash[16] unless dead
 *
 * The vector is that of before the entries were read: what it covers and is not listed is not there.
 */
#ifndef SKEP_NODE_COMPARE_H
#define SKEP_NODE_COMPARE_H

#include "base/str.h"
#include "wire/sums.h"
#include "world/world.h"

struct node;
struct compare;
struct peer;

/* Whether all that this node has can be sent to that one, as far as its last look tells: if not, that one
 * confirms nothing. Inside handlers. */
bool compare_sends(struct node *n, const struct peer *p);
void compare_begin(struct node *n); /* with the run; n->compare from then on */
void compare_free(struct compare *c);
/* The answer to one of our requests, or its failure; memory only. True: it was. */
bool compare_answered(struct node *n, const struct event *ev);
/* A peer's request; inside a handler. 0, or SKEP_EARG with n->fault. */
int compare_serve(struct node *n, const struct id *peer, const char *body, size_t bytes, struct str *ret);

/* ---- for people (GET /v1/nodes/{node}/digest) ---- */

struct compare_digest {
    unsigned char root[DIGEST16_BYTES];
    const struct sums *sums; /* borrowed, until the handler returns */
    uint64_t rows;
    int64_t damaged, began_ms; /* real */
};
/* The number of the first look at all rows that begins from now on, and makes sure that there is one. */
int64_t compare_look(struct node *n);
/* Whether that look is done: then what came of it. Whoever waits does it by op_wait_key(n, op, "compare",
 * ""). */
bool compare_looked(struct node *n, int64_t number, struct compare_digest *ret);
/* The rows of one bucket, as "entry" above. 1; 0: not yet, wait in the same way. */
int compare_bucket(struct node *n, unsigned bucket, struct str *ret_entries, uint32_t *ret_count);

struct compare_entry {
    struct span tbl, key; /* borrowed */
    int64_t rank, hlc, actor;
    bool dead, aside, damaged;
    bool doubt; /* aside, for it may have been deleted */
    unsigned char hash[DIGEST16_BYTES];
};
struct reader;
/* The next entry of a list; false: it is none. */
bool compare_entry_read(struct reader *r, struct compare_entry *ret);

#endif
