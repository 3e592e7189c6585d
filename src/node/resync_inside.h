/* resync_inside: what the files of a RESYNC share. */
#ifndef SKEP_NODE_RESYNC_INSIDE_H
#define SKEP_NODE_RESYNC_INSIDE_H

#include "node/brain.h"

#define RESYNC_RETRY_MAX_MS 5000

/* One page beside our own rows. What changes in memory, changes after the commit. */
struct walk {
    struct reader r;
    const struct resync *at; /* the vectors it is judged by, and how far it had come */
    struct resync next;      /* the same when this page is in */
    bool more, ended;
    bool we_know, they_know; /* all deletions that the other side has dropped */
    uint32_t rows;           /* of the page, still to be read */
    int ours_left;
    struct remote_row theirs;
    bool has_theirs, has_ours, dead;
    struct str tbl, key; /* of the row of ours, or of the one before it */
    struct stamp stamp;
    struct remote_row *changed;
    size_t changed_n, changed_cap;
    struct span *memory; /* keys of those that are ours; owned */
    size_t memory_n, memory_cap;
};

void walk_free(void *arg);
/* The rows of a page, whose head is read, and our own beside them. */
int walk_page(struct node *n, struct walk *w);

/* From the beginning, of anybody. What it has done so far does no harm; a page that is on its way is of no
 * use any more. */
void resync_start_over(struct node *n);

#endif
