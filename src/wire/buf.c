/* buf: primitive encodings of peer messages (specified in buf.h). Knows no message. Every length comes from
 * a hostile peer: it is compared with what is left before anything is touched. */
#include "wire/buf.h"

#include <string.h>

size_t varint_get(const unsigned char *p, size_t n, uint64_t *ret)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n && i < VARINT_MAX; i++) {
        if (i == VARINT_MAX - 1 && p[i] > 1)
            return 0;
        v |= (uint64_t)(p[i] & 0x7f) << (7 * i);
        if (p[i] & 0x80)
            continue;
        if (p[i] == 0 && i > 0)
            return 0; /* a shorter form exists */
        *ret = v;
        return i + 1;
    }
    return 0;
}

void buf_u8(struct str *s, uint8_t v)
{
    str_add(s, &v, 1);
}

void buf_u32(struct str *s, uint32_t v)
{
    unsigned char b[4];
    for (size_t i = 0; i < sizeof b; i++)
        b[i] = (unsigned char)(v >> (8 * i));
    str_add(s, b, sizeof b);
}

void buf_i64(struct str *s, int64_t v)
{
    unsigned char b[8];
    for (size_t i = 0; i < sizeof b; i++)
        b[i] = (unsigned char)((uint64_t)v >> (8 * i));
    str_add(s, b, sizeof b);
}

void buf_varint(struct str *s, uint64_t v)
{
    unsigned char b[VARINT_MAX];
    str_add(s, b, varint_put(b, v));
}

void buf_bytes(struct str *s, const void *p, size_t n)
{
    buf_varint(s, n);
    str_add(s, p, n);
}

void buf_text(struct str *s, const char *text)
{
    size_t n = text ? strlen(text) : 0;
    buf_varint(s, text ? (uint64_t)n + 1 : 0);
    str_add(s, text, n);
}

void buf_id(struct str *s, const struct id *id)
{
    str_add(s, id->b, sizeof id->b);
}

struct reader reader_init(const void *p, size_t n)
{
    return (struct reader){.p = p, .n = n};
}

/* The next n bytes, or NULL and bad. */
static const unsigned char *next(struct reader *r, uint64_t n)
{
    if (r->bad || n > r->n) {
        r->bad = true;
        return NULL;
    }
    const unsigned char *p = r->p;
    if (n) {
        r->p += n;
        r->n -= (size_t)n;
    }
    return p;
}

uint8_t read_u8(struct reader *r)
{
    const unsigned char *p = next(r, 1);
    return p ? *p : 0;
}

static uint64_t little_endian(struct reader *r, size_t n)
{
    const unsigned char *p = next(r, n);
    uint64_t v = 0;
    for (size_t i = 0; p && i < n; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

uint32_t read_u32(struct reader *r)
{
    return (uint32_t)little_endian(r, 4);
}

int64_t read_i64(struct reader *r)
{
    return (int64_t)little_endian(r, 8);
}

uint64_t read_varint(struct reader *r)
{
    uint64_t v = 0;
    size_t n = r->bad ? 0 : varint_get(r->p, r->n, &v);
    if (n == 0) {
        r->bad = true;
        return 0;
    }
    next(r, n);
    return v;
}

struct span read_bytes(struct reader *r)
{
    uint64_t n = read_varint(r);
    const unsigned char *p = next(r, n);
    return p ? (struct span){(const char *)p, (size_t)n} : (struct span){NULL, 0};
}

char *read_text(struct reader *r)
{
    uint64_t n = read_varint(r);
    if (n == 0)
        return NULL;
    const unsigned char *p = next(r, n - 1);
    if (!p)
        return NULL;
    size_t bytes = (size_t)(n - 1);
    if (memchr(p, 0, bytes) || !text_is_utf8((const char *)p, bytes)) {
        r->bad = true;
        return NULL;
    }
    return mem_copy(p, bytes);
}

struct id read_id(struct reader *r)
{
    struct id id = {{0}};
    const unsigned char *p = next(r, sizeof id.b);
    if (p)
        memcpy(id.b, p, sizeof id.b);
    return id;
}

bool read_bool(struct reader *r)
{
    uint8_t v = read_u8(r);
    if (v > 1)
        r->bad = true;
    return v == 1;
}

size_t read_count(struct reader *r, size_t bytes_each)
{
    uint64_t n = read_varint(r);
    if (n > r->n / (bytes_each ? bytes_each : 1)) {
        r->bad = true;
        return 0;
    }
    return (size_t)n;
}

bool reader_done(const struct reader *r)
{
    return !r->bad && r->n == 0;
}
