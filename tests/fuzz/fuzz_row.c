/* row_decode: what it takes is exactly what row_encode writes. */
#include "fuzz.h"

#include <string.h>

#include "base/ensure.h"
#include "wire/row.h"

static const struct col cols[] = {
    {"a", VAL_BLOB, {0}},
    {"count", VAL_INT, {.type = VAL_INT, .i = 0}},
    {"load", VAL_REAL, {.type = VAL_REAL, .real = 0.0}},
    {"meta", VAL_TEXT, {.type = VAL_TEXT, .p = "{}", .n = 2}},
    {"name", VAL_TEXT, {0}},
};
#define N COUNT(cols)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    AUTOSTR struct str extra = STR_INIT, again = STR_INIT;
    struct val vals[N];
    struct err e = {0};
    const struct span bytes = {(const char *)data, n};
    if (row_decode(bytes, cols, vals, N, &extra, &e) < 0) {
        ensure(e.code == SKEP_EARG && *e.text && extra.n == 0, "a refusal without a word");
        ensure(text_is_utf8(e.text, strlen(e.text)), "an error that is no text");
        /* As the extra of a row it must do no harm either. */
        struct val defaults[N];
        for (size_t i = 0; i < N; i++)
            defaults[i] = cols[i].def;
        row_encode(&again, cols, defaults, N, bytes);
        ensure(row_decode((struct span){str_get(&again), again.n}, cols, vals, N, &extra, NULL) == 0,
               "a damaged extra spread");
        return 0;
    }
    row_encode(&again, cols, vals, N, (struct span){extra.p, extra.n});
    ensure(again.n == n && (n == 0 || memcmp(again.p, data, n) == 0), "two forms of one row");
    return 0;
}
