/* told_inside: what told.c and told_rows.c share, and nobody else includes. */
#ifndef SKEP_NODE_TOLD_INSIDE_H
#define SKEP_NODE_TOLD_INSIDE_H

#include "node/brain.h"

/* A row that came, and what it replaced. */
struct telling {
    const struct remote_row *row;
    void *old, *now; /* a struct of the table; NULL: none, or dead */
    const struct remote_row *all;
    size_t n; /* that came together */
};

/* The live row that this one of them replaced, borrowed; NULL: none. */
const void *told_former(struct node *n, const struct remote_row *row);

/* ---- told_rows.c ---- */

/* Whether such rows tell of something by themselves. */
bool told_speaks(enum table_id t);
/* Logs what it tells. 0 or < 0. */
int told_row(struct node *n, const struct telling *t);

#endif
