/* inside: what the files of store/ share with each other, and nobody else includes. */
#ifndef SKEP_STORE_INSIDE_H
#define SKEP_STORE_INSIDE_H

#include <string.h>

#include "store/store.h"
#include "wire/digest.h"

/* The generated statements of one table. */
struct table_sql {
    struct stmt *get, *put, *del;
};

struct store {
    struct db *db;
    const struct world_clock *clock;
    struct stmt *query[Q_N];
    struct table_sql sql[T_N];
    int64_t actor, hlc, written, writes, schema;
    int64_t gc_floor; /* the highest stamp or rank of any tombstone that was dropped here */
    bool asides;      /* there may be rows in "aside" */
    int snapshots;    /* begun and not ended, one inside the other */
    int (*on_loss)(void *ctx, const struct remote_row *row, const struct stamp *old, struct err *e);
    void *on_loss_ctx;
    char *frozen;          /* why nothing may be stamped; NULL: it may */
    char *notice;          /* what is not ours in the schema */
    struct str key, bytes; /* scratch, so that the hot path does not allocate */
};

/* A row of "change". */
struct version {
    struct stamp stamp;
    bool found, dead;
    unsigned char hash[DIGEST16_BYTES];
};

static inline struct span table_span(const struct table *t)
{
    return (struct span){t->name, strlen(t->name)};
}

static inline struct span col_span(struct stmt *q, int c)
{
    return (struct span){col_text(q, c), col_bytes(q, c)};
}

/* tbl and key as "change" has them. ret->found says whether there is one. */
int version_get(struct store *s, struct span tbl, struct span key, struct version *ret, struct err *e);
/* bytes: canonical, of a live row. What was aside under this key is no longer. */
int version_put(struct store *s, struct span tbl, struct span key, const struct stamp *stamp, bool dead,
                struct span bytes, struct err *e);
void bind_val(struct stmt *q, int i, const struct val *v);
/* The row itself, without its version. */
int domain_put(struct store *s, enum table_id t, const struct val vals[TABLE_COLS_MAX], struct span extra,
               struct err *e);
int domain_del(struct store *s, enum table_id t, const struct val vals[TABLE_COLS_MAX], struct err *e);
/* The columns of a row as they come from a generated SELECT. */
void row_vals(struct stmt *q, const struct table *t, struct val vals[TABLE_COLS_MAX], struct span *extra);
/* The canonical bytes of a live row, appended: of its table, or as it lies aside. 1; 0: "change" names it,
 * but it is not there. ret_doubt: whether it lies aside because it may have been deleted; NULL: not asked. */
int bytes_of(struct store *s, struct span tbl, struct span key, struct str *ret, bool *ret_doubt,
             struct err *e);
/* Appends a row as pages have it and store_read_row reads it. bytes: of a live one. */
void row_append(struct str *out, struct span tbl, struct span key, const struct stamp *stamp, bool dead,
                bool doubt, struct span bytes);
/* Every version and its row away, without a tombstone. */
int version_drop(struct store *s, struct span tbl, struct span key, struct err *e);
/* The key of a row; borrowed until the next call. */
struct span key_of(struct store *s, const struct table *t, const struct val vals[TABLE_COLS_MAX]);

#endif
