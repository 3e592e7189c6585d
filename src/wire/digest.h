/* digest: SHA-256, the only door to OpenSSL's digests. Knows nothing of what it digests.
 *
 * digest16 is the short form for row hashes and bucket sums: the first 16 bytes of the SHA-256 of every
 * span, each preceded by its length as 8 bytes little endian. So two lists of spans that differ in any way,
 * also in where one ends and the next begins, differ in their digest.
 */
#ifndef SKEP_WIRE_DIGEST_H
#define SKEP_WIRE_DIGEST_H

#include <stddef.h>

#include "base/str.h"

#define DIGEST_BYTES   32
#define DIGEST16_BYTES 16

void digest_sha256(const void *p, size_t n, unsigned char ret_digest[DIGEST_BYTES]);
/* HMAC-SHA-256 (RFC 2104), for what we sign for others. */
void digest_hmac(struct span key, const struct span *list, size_t n, unsigned char ret_digest[DIGEST_BYTES]);
void digest16(const struct span *list, size_t n, unsigned char ret_digest[DIGEST16_BYTES]);

/* In pieces. After digest_end it may be used again from the start. */
struct digest {
    void *ctx;
};

void digest_init(struct digest *d);
void digest_add(struct digest *d, const void *p, size_t n);
void digest_end(struct digest *d, unsigned char ret_digest[DIGEST_BYTES]);
void digest_fini(struct digest *d); /* NULL and {NULL} are fine */

#endif
