/* sums: adding digests up, and hashing the sums. Knows nothing of rows but their parts. */
#include "wire/sums.h"

#include <string.h>

#include "base/ensure.h"

static unsigned char *put_u64(unsigned char *p, uint64_t v)
{
    for (size_t i = 0; i < 8; i++)
        p[i] = (unsigned char)(v >> (8 * i));
    return p + 8;
}

static uint64_t get_u64(const unsigned char *p)
{
    uint64_t v = 0;
    for (size_t i = 8; i > 0; i--)
        v = v << 8 | p[i - 1];
    return v;
}

static void add_span(struct digest *d, struct span s)
{
    unsigned char length[8];
    put_u64(length, s.n);
    digest_add(d, length, sizeof length);
    digest_add(d, s.p, s.n);
}

void sums_entry(struct digest *d, struct span tbl, struct span key, const int64_t stamp[3],
                const unsigned char hash[DIGEST16_BYTES], unsigned char ret_entry[DIGEST_BYTES])
{
    unsigned char tail[24 + DIGEST16_BYTES], *p = tail;
    for (int i = 0; i < 3; i++)
        p = put_u64(p, (uint64_t)stamp[i]);
    memcpy(p, hash, DIGEST16_BYTES);
    add_span(d, tbl);
    add_span(d, key);
    digest_add(d, tail, sizeof tail);
    digest_end(d, ret_entry);
}

void sums_add(struct sums *s, unsigned bucket, const unsigned char entry[DIGEST_BYTES])
{
    ensure(bucket < SUMS_BUCKETS, "bucket %u", bucket);
    uint64_t carry = 0;
    for (size_t i = 0; i < 4; i++) {
        unsigned __int128 sum = (unsigned __int128)s->sum[bucket][i] + get_u64(entry + 8 * i) + carry;
        s->sum[bucket][i] = (uint64_t)sum;
        carry = (uint64_t)(sum >> 64);
    }
    s->count[bucket]++;
}

void sums_bucket(const struct sums *s, unsigned bucket, unsigned char ret_digest[DIGEST16_BYTES])
{
    unsigned char bytes[40], *p = bytes;
    ensure(bucket < SUMS_BUCKETS, "bucket %u", bucket);
    for (size_t i = 0; i < 4; i++)
        p = put_u64(p, s->sum[bucket][i]);
    put_u64(p, s->count[bucket]);
    struct span all = {(const char *)bytes, sizeof bytes};
    digest16(&all, 1, ret_digest);
}

void sums_group(const struct sums *s, unsigned group, unsigned char ret_digest[DIGEST16_BYTES])
{
    unsigned char parts[SUMS_EACH][DIGEST16_BYTES];
    ensure(group < SUMS_GROUPS, "group %u", group);
    for (unsigned i = 0; i < SUMS_EACH; i++)
        sums_bucket(s, group * SUMS_EACH + i, parts[i]);
    struct span all = {(const char *)parts, sizeof parts};
    digest16(&all, 1, ret_digest);
}

void sums_root(const struct sums *s, unsigned char ret_digest[DIGEST16_BYTES])
{
    unsigned char parts[SUMS_GROUPS][DIGEST16_BYTES];
    for (unsigned g = 0; g < SUMS_GROUPS; g++)
        sums_group(s, g, parts[g]);
    struct span all = {(const char *)parts, sizeof parts};
    digest16(&all, 1, ret_digest);
}

uint64_t sums_rows(const struct sums *s)
{
    uint64_t rows = 0;
    for (unsigned b = 0; b < SUMS_BUCKETS; b++)
        rows += s->count[b];
    return rows;
}
