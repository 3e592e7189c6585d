/* The replicated tables as data: columns in name order, where each lives in its struct, what ranks a row.
 *
 * From this one description come the statements, the canonical bytes and the loading and saving of structs.
 */
#ifndef SKEP_STORE_TABLE_H
#define SKEP_STORE_TABLE_H

#include <stdbool.h>

#include "base/str.h"
#include "store/rows.h"
#include "wire/row.h"

enum table_id {
    T_NODE,
    T_NODE_MARK,
    T_ACTOR,
    T_SWARM,
    T_TOKEN,
    T_IDEM,
    T_NAME,
    T_CHILD,
    T_METADATA,
    T_CHECKPOINT,
    T_HANDOFF,
    T_CHUNK,
    T_TEMPLATE,
    T_SESSION,
    T_ENTRY,
    T_TURN,
    T_SESSION_STATE,
    T_CONFLICT,
    T_SERVE,
    T_SCORE,
    T_HOOK,
    T_OPERATION,
    T_OPERATION_PART,
    T_PROCESS_GROUP,
    T_MEMBER,
    T_NEWS,
    T_N /* no table: also the name of "a query that is not of one table" */
};

#define TABLE_COLS_MAX 20
#define TABLE_KEYS_MAX 4
#define TABLE_INT_MAX  (INT64_C(1) << 62) /* of all numbers but actors */

struct table {
    const char *name;
    size_t row_bytes; /* of its struct */
    size_t extra;     /* offset of its `extra` blob */
    int cols_n;
    struct col cols[TABLE_COLS_MAX]; /* sorted by name; `extra` is none of them */
    size_t offset[TABLE_COLS_MAX];
    int keys_n;
    int key[TABLE_KEYS_MAX]; /* indexes into cols, in the order of the primary key */
    int epoch;               /* index of the column that is the rank of a row, -1: none */
    int distance;            /* index of the column with its distance from the root of a tree, 0: none */
    uint32_t json, needed;   /* bits of columns that are JSON or NULL, and of such that are never NULL */
    uint32_t actors;         /* bits of columns that are actors: any number */
    enum table_id under;     /* the table of its parent, 0: none. The key begins with the parent's */
};

const struct table *table_get(enum table_id t);
/* T_N if there is none of this name. */
enum table_id table_find(struct span name);

/* What ranks a row: its epoch; or how near to the root of its tree it is (core/dot.h); or nothing, 0. */
int64_t table_rank(const struct table *t, const struct val vals[TABLE_COLS_MAX]);
/* Struct members as values, borrowed. */
void table_vals(const struct table *t, const void *row, struct val ret[TABLE_COLS_MAX]);
/* Whether a column, by its index, is a part of the primary key. */
bool table_is_key(const struct table *t, int col);
/* Whether a table holds them and readers can rely on them: no NULL in a key, a number or a needed column,
 * text in UTF-8, JSON where JSON belongs, numbers that one can count on from (within TABLE_INT_MAX). Checked
 * on the way out and on the way in: what one node writes, no other may refuse, or replication stops there. */
bool table_fits(const struct table *t, const struct val vals[TABLE_COLS_MAX]);
/* Values into an empty struct, copied. */
void table_fill(const struct table *t, void *row, const struct val vals[TABLE_COLS_MAX]);
/* The primary key as text: values joined by '/', with % and / percent-encoded. */
void table_key(const struct table *t, const struct val vals[TABLE_COLS_MAX], struct str *ret);
/* The key's values out of that text; text values are put into `memory` and borrowed from it. false: no key.
 */
bool table_unkey(const struct table *t, struct span key, struct str *memory, struct val ret[TABLE_KEYS_MAX]);

/* The part of the key of a row under a parent that is the parent's key. */
struct span table_parent(struct span key);

/* Frees what the row owns and zeroes it. */
void row_fini(enum table_id t, void *row);

#endif
