/* row: the canonical bytes of one row of a replicated table. Peers send them, hashes are made of them.
 *
 *   row   := field*            in strictly rising byte order of the names
 *   field := varint name length (1..127), name, tag, varint length, bytes
 *   tag 0  NULL   length 0
 *   tag 1  INT    two's complement, big endian, the fewest bytes that hold it; 0 has length 0
 *   tag 2  REAL   8 bytes, IEEE 754 big endian; no NaN (SQLite stores NULL for it), no -0.0 (it stores 0.0)
 *   tag 3  TEXT   valid UTF-8 without a NUL
 *   tag 4  BLOB   any bytes
 *
 * A column at its declared default is left out, so that adding a column changes the bytes of no row.
 * Invariants: 1. equal values have equal bytes and different values different bytes; 2. row_decode accepts
 * what row_encode writes and nothing else; 3. hostile bytes give SKEP_EARG, never more.
 * tests/unit/wire/golden/row.txt pins the format.
 *
 * A column that this version does not know goes to `extra`, itself canonical row bytes, is kept beside the
 * row and merged back by row_encode: old and new versions agree on the bytes. When an update makes such a
 * column known, the migration reads it out with row_decode(extra, …); until then the column's own value wins.
 */
#ifndef SKEP_WIRE_ROW_H
#define SKEP_WIRE_ROW_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

#define ROW_NAME_MAX 127 /* bytes of a column's name */

enum val_type { VAL_NULL, VAL_INT, VAL_REAL, VAL_TEXT, VAL_BLOB };

struct val {
    enum val_type type;
    int64_t i;
    double real;
    const char *p; /* TEXT and BLOB: borrowed, not 0-terminated */
    size_t n;
};

struct col {
    const char *name;
    enum val_type type;
    struct val def; /* the declared default; {0} is NULL */
};

/* Once per table, at its registration: ensure()s that the columns are sorted by name, without a double, and
 * that types and defaults fit. */
void row_cols_check(const struct col *cols, size_t n);

/* Appends the canonical bytes of vals[0..n) (each NULL or of its column's type: ensured) to out. extra is
 * what row_decode gave; {NULL, 0} when there is none; what is not canonical in it is left out. */
void row_encode(struct str *out, const struct col *cols, const struct val *vals, size_t n, struct span extra);

/* Fills ret_vals[0..n), defaults included, TEXT and BLOB borrowed from bytes (or from the default), and
 * appends unknown columns to ret_extra. On failure (SKEP_EARG) ret_extra is as it was and ret_vals may hold
 * anything. */
int row_decode(struct span bytes, const struct col *cols, struct val *ret_vals, size_t n,
               struct str *ret_extra, struct err *e);

bool val_equal(const struct val *a, const struct val *b);

#endif
