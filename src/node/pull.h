/* pull: replication: what one node asks of another, and what that proves.
 *
 *   request := proto u8, cluster id, node id, actor i64, number varint, base varint,
 *              vector       what is on disk here; with base > 0, what has changed in it since request `base`
 *              vector       gcvv, in the same way
 *              vector       cursor: what this chain has merged
 *   answer  := verdict u8, and after PULL_PAGE:
 *              vector       entries of the responder's vector above the requester's, under its floor
 *              more u8, rows u32, row*      as store_page writes them; more: PULL_MORE | PULL_HOLES
 *
 * A pull is answered only if neither side has dropped a tombstone that the other one never saw: each vector
 * covers the other one's gcvv. Whoever is behind needs a RESYNC (resync.c).
 *
 * Invariants
 *  1. The vector moves only at the end of a chain (more = 0), to the responder's vector as of that page.
 *     Inside a chain only the cursor moves, in memory, and a broken chain forgets it.
 *  2. The vector of a request says what is committed here: it is sent after the commit. That is what peers
 *     count as acknowledgement (cover.c); after a chain that brought something the next request follows at
 *     once.
 *  3. A row further ahead of our clock than HLC_AHEAD_MS_MAX is left out, with all that its actor wrote after
 *     it; and such a chain proves nothing, of no actor: the row may have superseded one that is covered.
 *  4. A responder sends all it has above the cursor, beyond its own vector too, and proves its own vector
 *     only.
 *  5. A row that is damaged there is left out (PULL_HOLES), and the chain proves nothing, as with 3.
 *
 * In a cluster of more than FANOUT_MESH_MAX nodes (core/fanout.h) a node asks a few others a tick and pokes a
 * few; besides them it asks whoever poked it and whoever the barrier waits for. Whoever merged something new
 * pokes in its turn, so that word of it needs as many hops as its logarithm, and no tick. Merged rows are
 * acknowledged to the one they came from.
 *
 * Bayou's prefix exchange (Petersen et al., 1997) with hybrid clocks, pulled instead of pushed.
 */
#ifndef SKEP_NODE_PULL_H
#define SKEP_NODE_PULL_H

#include "core/vv.h"
#include "node/vector.h"

struct node;
struct peer;
struct event;
struct remote_row;

#define PULL_PROTO      1
#define PULL_WHEN_DRAWN INT64_MAX /* next_ms where there are too many to ask all */

#define PULL_MORE  1 /* the chain goes on */
#define PULL_HOLES 2 /* rows are missing in this page */

enum verdict {
    PULL_PAGE,
    PULL_RESYNC, /* your vector does not reach what was dropped here: you need a RESYNC */
    PULL_STALE,  /* mine does not reach what was dropped at yours: I need one */
    PULL_BASE,   /* I do not know that base: send all */
    PULL_BUSY,   /* I am in the middle of a RESYNC, or serve another one */
};

/* One outstanding exchange with one peer; a member of struct peer. */
struct pull {
    uint64_t call;
    int64_t next_ms;
    int64_t chain; /* what view_chain_begins said */
    int failures;
    bool chaining, again; /* again: poked meanwhile */
    int64_t rows;         /* merged in this chain */
    size_t reach;         /* to how many others word of them is passed on */
    struct vv cursor;     /* of this chain */
    struct vv cut;        /* actors of which it left rows out */
    uint64_t number, base;
    struct vv sent, sent_gc;   /* the vectors of request `base` */
    struct vv going, going_gc; /* of the one that is under way */
    int64_t gc_version;        /* of ours when it left */
};

void pull_fini(struct pull *p);
/* A new run of the peer, or word that it lives: asks at once, and from the start. */
void pull_restart(struct node *n, struct peer *p);
/* Gives up all chains and what is under way: what they brought is about to be looked through, and maybe taken
 * out again. */
void pulls_forget(struct node *n);
void pulls_tick(struct node *n);
/* The answer to our pull: merges inside a handler. 1 if the call was a pull. */
int pull_answered(struct node *n, const struct event *ev);
void pull_pulled(struct node *n, const struct event *ev); /* a peer's vector; memory only */
void pull_poked(struct node *n, struct peer *p);
/* All nodes that are alive as far as we know, this one among them. */
size_t peers_reached(const struct node *n);
/* Somewhere a chain has pages to come: what is here is ahead of the vector. ret_cut: or will stay so, for a
 * peer passes on rows that are not taken; left alone if not. */
bool pulls_in_the_middle(const struct node *n, bool *ret_cut);

/* A row was merged, taken out or set aside: tells those whom it concerns. Inside a handler, once all rows of
 * its page are in. */
int row_merged(struct node *n, const struct remote_row *row);
bool pull_too_far_ahead(const struct node *n, int64_t hlc);

/* ---- resync.c: a node that was away while others dropped tombstones, or others while it did ----
 *
 *   request := proto u8, cluster id, node id, actor i64, behind table text, behind key text
 *   answer  := verdict u8, and after PULL_PAGE:
 *              vector                                  of the responder; empty but for the first page
 *              gcvv vector, gc floor i64               of the responder, now
 *              more u8, rows u32, row*                 all its rows, dead ones too, by table and key
 */

struct resync {
    bool wanted; /* on disk: until it is done, no pull is served, and the node is of nobody's view */
    bool active; /* at least one page is in */
    struct id from;
    uint64_t call;
    int64_t began_ms, next_ms, out_until_ms; /* out: somebody is served */
    struct id out;
    int64_t moved_ms;                        /* when the newest page came, or it was wanted */
    int64_t refused_since_ms, refused_at_ms; /* others, for rows that our vector does not prove */
    struct id told;                          /* by whom, that it is needed; zero: by nobody */
    struct id avoid;                         /* who failed last: another one is asked if there is one */
    int failures;
    bool cut;           /* rows of the future were left out: it takes rows, and proves nothing */
    char *tbl, *key;    /* how far it has come; NULL: the beginning */
    struct vv vv, gcvv; /* of the responder: at the first page, and of all pages so far */
    int64_t gc_floor;   /* the same */
    int64_t rows, taken, dropped, kept, aside;
};

void resync_fini(struct resync *r);
int resync_load(struct node *n); /* at the start of a run; inside a handler */
/* All others were forgotten: then there is nobody to copy from. Inside a handler. */
int resync_alone(struct node *n);
/* From now on a RESYNC is wanted, for that reason, as somebody has told (or NULL); inside a handler. */
int resync_want(struct node *n, const struct id *told, const char *why);
void resync_tick(struct node *n);
/* 1 if the call was one of it. */
int resync_answered(struct node *n, const struct event *ev);
/* It is wanted and pages come, or are waited for with reason: what is here may be far behind. */
bool resync_goes_on(const struct node *n);
/* The answer to a peer's request; inside a handler. */
int resync_serve(struct node *n, const struct id *peer, const char *body, size_t bytes, struct str *ret);

/* ---- gc.c: tombstones that everybody has, and actors that have ended ---- */

/* In memory only. */
struct gc_look {
    struct vv all, any; /* at one moment, what every node had, and what any other one had */
    struct vv agreed;   /* what all had at a moment of which everything is here */
};

int gc_tick(struct node *n); /* inside a handler */

#endif
