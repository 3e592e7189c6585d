/* json_scan: steps over JSON text that passed json_check. Private to src/wire/json_*.c.
 *
 * Because the text was checked, none of these can fail or overrun; given anything else they are undefined.
 */
#ifndef SKEP_WIRE_JSON_SCAN_H
#define SKEP_WIRE_JSON_SCAN_H

#include "wire/json.h"

static inline const char *scan_space(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r'))
        p++;
    return p;
}

/* The byte behind the value that begins at p. */
const char *scan_value(const char *p, const char *end);
/* The byte behind the string that begins at the quote p. */
const char *scan_string(const char *p);

/* The decoded bytes of a string, one by one. */
struct unescape {
    const char *p; /* behind the opening quote at first */
    unsigned char pending[4];
    unsigned pending_n, pending_at;
};

static inline struct unescape unescape_init(const char *quote)
{
    return (struct unescape){.p = quote + 1};
}

/* -1 at the closing quote. */
int unescape_next(struct unescape *u);

/* A key of an object, with a hash of its decoded text that makes comparing cheap. `quote` is where it begins.
 */
struct key {
    uint64_t hash;
    const char *quote;
};

struct key key_init(const char *quote);
/* A total order over decoded texts (by hash first); for qsort too. */
int key_compare(const void *a, const void *b);
bool key_is(const char *quote, const char *name);

#endif
