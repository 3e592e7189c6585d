/* buf: the bytes of peer messages. A writer that appends to a struct str, a reader that cannot overrun.
 *
 * Decides the primitive encodings, nothing about any message:
 *   u8, u32, i64   fixed, little endian (i64 as two's complement)
 *   varint         7 bits a byte, lowest first, the top bit says that more follow; at most 10 bytes and
 *                  always the shortest form
 *   bytes          varint length, then the bytes
 *   text           varint 0 for NULL, else length + 1, then the bytes: valid UTF-8 without a NUL
 *   id             its 16 bytes
 *
 * A reader is sticky: after the first overrun or malformed value `bad` is set, every later read gives
 * zero, an empty span or NULL, and reader_done is false. So a decoder reads everything and asks once.
 */
#ifndef SKEP_WIRE_BUF_H
#define SKEP_WIRE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/id.h"
#include "base/str.h"

#define VARINT_MAX 10 /* bytes of the longest varint */

/* Writes v at p, which has room for VARINT_MAX bytes; returns how many it took. */
static inline size_t varint_put(unsigned char *p, uint64_t v)
{
    size_t n = 0;
    for (; v >= 0x80; v >>= 7)
        p[n++] = (unsigned char)(v | 0x80);
    p[n++] = (unsigned char)v;
    return n;
}

/* Reads one varint from p[0..n); returns its length, 0 if it is cut, not the shortest form or over 64 bits.
 */
size_t varint_get(const unsigned char *p, size_t n, uint64_t *ret);

void buf_u8(struct str *s, uint8_t v);
void buf_u32(struct str *s, uint32_t v);
void buf_i64(struct str *s, int64_t v);
void buf_varint(struct str *s, uint64_t v);
void buf_bytes(struct str *s, const void *p, size_t n);
void buf_text(struct str *s, const char *text); /* NULL allowed, and kept apart from "" */
void buf_id(struct str *s, const struct id *id);

struct reader {
    const unsigned char *p; /* borrowed: the bytes must outlive every span that was read */
    size_t n;               /* what is left */
    bool bad;
};

struct reader reader_init(const void *p, size_t n);
uint8_t read_u8(struct reader *r);
uint32_t read_u32(struct reader *r);
int64_t read_i64(struct reader *r);
uint64_t read_varint(struct reader *r);
struct span read_bytes(struct reader *r); /* borrowed; never NULL unless bad */
char *read_text(struct reader *r);        /* yours; NULL if NULL was written (or bad) */
struct id read_id(struct reader *r);
bool read_bool(struct reader *r); /* a u8 of 0 or 1, anything else is bad */
/* The number of elements that follow, each at least bytes_each long: a count that the rest cannot hold is
 * bad, so that a decoder may allocate by it. */
size_t read_count(struct reader *r, size_t bytes_each);
/* Nothing was wrong and nothing is left. */
bool reader_done(const struct reader *r);

#endif
