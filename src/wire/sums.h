/* sums: what two replicas compare before they look at any row. 4096 buckets, each the sum of the digests of
 * its rows, mod 2^256, and their number; so the order of the rows does not matter, and one row more, less or
 * different changes its bucket.
 *
 *   entry  := SHA-256(len u64, table, len u64, key, rank i64, hlc i64, actor i64, hash[16])   little endian
 *   bucket := digest16(sum as 4 x u64 little endian, lowest first; count u64 little endian)
 *   group  := digest16 of its 64 buckets' digests, in order;  root := digest16 of the 64 groups' digests
 *
 * Which bucket a row belongs to is its owner's affair. tests/unit/store/golden/sums.txt pins the numbers.
 *
 * Addition, not XOR, so that a row twice does not cancel itself out, and the sum is hashed with its count
 * before anybody compares it: as Negentropy v1 does (Hoyte, "Range-based set reconciliation", 2023; after
 * Bellare and Micciancio, "A New Paradigm for Collision-Free Hashing", 1997).
 */
#ifndef SKEP_WIRE_SUMS_H
#define SKEP_WIRE_SUMS_H

#include <stdint.h>

#include "wire/digest.h"

#define SUMS_BUCKETS 4096
#define SUMS_GROUPS  64
#define SUMS_EACH    (SUMS_BUCKETS / SUMS_GROUPS) /* buckets of a group */

struct sums {
    uint64_t sum[SUMS_BUCKETS][4];
    uint64_t count[SUMS_BUCKETS];
};

/* The digest of one row. stamp: rank, hlc, actor. d: started, and so again afterwards. */
void sums_entry(struct digest *d, struct span tbl, struct span key, const int64_t stamp[3],
                const unsigned char hash[DIGEST16_BYTES], unsigned char ret_entry[DIGEST_BYTES]);
void sums_add(struct sums *s, unsigned bucket, const unsigned char entry[DIGEST_BYTES]);
void sums_bucket(const struct sums *s, unsigned bucket, unsigned char ret_digest[DIGEST16_BYTES]);
void sums_group(const struct sums *s, unsigned group, unsigned char ret_digest[DIGEST16_BYTES]);
void sums_root(const struct sums *s, unsigned char ret_digest[DIGEST16_BYTES]);
/* Rows in all buckets. */
uint64_t sums_rows(const struct sums *s);

#endif
