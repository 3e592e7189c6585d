/* probe: is this the only life of this node? A folder can be copied, a machine put back to an earlier state.
 *
 * Before a run begins (its first row, its first ping) the node dials the address that its database says it
 * had in the last run, and its present one. If a run of its own id that is not this one answers there, this
 * folder is a copy: it refuses to run, and says where the other one does. Whoever does not answer within
 * PROBE_MS is not there; who was only asleep meets the newer run later, ends, and is refused at its next
 * start.
 */
#ifndef SKEP_NODE_PROBE_H
#define SKEP_NODE_PROBE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "world/event.h"

#define PROBE_MS 1000

struct node;
struct peer;

struct probe {
    bool running; /* the run has not begun */
    uint64_t calls[2];
    char *urls[2]; /* owned; NULL = not asked (any more) */
    int64_t until_ms;
    int again; /* dials after a broken connection */
    char *met; /* owned; where a later run of this node is: this one ends once that is on disk */
};

/* Whether there is anybody to ask: a first run has no last one. 1: probe_turn goes on; 0; < 0. */
int probe_begin(struct node *n, struct err *e);
/* Nobody answered: what was on disk of another run is out of date. Inside a handler. */
int probe_passed(struct node *n);
/* A turn while it runs: answers are taken, everything else is kept for the first turn of the run. True once
 * nobody has answered: the run may begin. A clone has an exit status then. */
bool probe_turn(struct node *n, struct event *events, size_t count);
void probe_fini(struct probe *p);

/* Word of a run of this node that is not this one, by a merged row, a ping of that run or the answer to one
 * of ours, in or outside of a handler. A newer one ends this run, once all that came is on disk. */
void probe_met(struct node *n, int64_t actor, int64_t born, const char *where);
/* Ends this run if a later one was met; inside a handler. */
int probe_work(struct node *n);
/* A merged row of our own node that we did not write; inside a handler. */
int probe_own_row(struct node *n);
/* A peer claims to have more of this run than it wrote; inside a handler. Ends this run, for a memory
 * snapshot may have lived on; but the same peer gets that only once a day. */
int probe_claimed(struct node *n, const struct peer *p);
/* A sign of life of a run of a peer that is older than the one we know. */
void probe_echo(struct node *n, struct peer *p, int64_t actor, const char *url);

#endif
