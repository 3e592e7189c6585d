/* view: whom this node sees, and whether it may decide (rules 1 and 2 of who owns a name).
 *
 * A node's view is itself and the members that answer it. Asks are numbered; a change of the view, a peer's
 * different signature, or a lapse gives a new number. The node is OPEN when every node of its view has
 * answered its newest ask with the node's own signature, and then one chain of pulls, begun after that
 * answer, has ended from each; and while each has answered a ping sent less than fresh_ms ago.
 *
 * Invariants
 *  1. A view without a member never opens.
 *  2. An answer to an older ask changes freshness, never the barrier.
 *  3. Once open, any doubt (another signature, a lapse, another view) needs the whole barrier again.
 * Times are ms of CLOCK_BOOTTIME, handed in. Liveness is judged elsewhere (core/detect.h).
 */
#ifndef SKEP_CORE_VIEW_H
#define SKEP_CORE_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/id.h"

struct view_node {
    struct id id;
    bool member, in_view; /* in_view: judged alive enough */
    bool draining;        /* takes nothing new; part of the signature */
    int64_t weight;       /* percent, part of the signature */
    int64_t answered_ask; /* newest ask it answered with our signature at that time; 0 = none */
    int64_t pulled_ask;   /* ask for which a chain begun after that answer has ended */
    int64_t fresh_ms;     /* when the newest answered ping was sent; INT64_MIN = never */
    uint64_t signature;   /* of its last answer */
};

struct view {
    struct view_node self;
    struct view_node *peers; /* owned; all known nodes but this one, sorted by id */
    size_t n, cap;
    uint64_t settings;  /* hash of the settings that place */
    uint64_t signature; /* of the view as it is */
    int64_t ask;        /* number of the newest ask, from 1 */
    bool open;
    int64_t alone_since_ms; /* nobody else is in the view although members are known; INT64_MAX = not so */
    int64_t fresh_within_ms, alone_ms;
};

void view_init(struct view *v, const struct id *self, int64_t fresh_within_ms, int64_t alone_ms);
void view_fini(struct view *v);
/* The entry of a node; made, outside the view and no member, if it is not there. Valid until the next call.
 */
struct view_node *view_node(struct view *v, const struct id *id);
/* NULL if unknown. */
struct view_node *view_find(struct view *v, const struct id *id);
void view_forget(struct view *v, const struct id *id);

/* Says what changed: recomputes the signature; if it differs, closes and asks anew. True if it did. */
bool view_update(struct view *v, int64_t now_ms);
/* A lapse of any node of the view closes and asks anew. Call before the events of a turn. True if it closed.
 */
bool view_lapse(struct view *v, int64_t now_ms);
/* An answer to the ping `ask`, which was sent then, with the peer's signature. */
void view_answered(struct view *v, const struct id *id, int64_t ask, int64_t sent_ms, uint64_t signature);
/* A chain of pulls begins: the number to give back at its end (0: it will prove nothing). */
int64_t view_chain_begins(struct view *v, const struct id *id);
void view_chain_ended(struct view *v, const struct id *id, int64_t begun);
/* A peer has a new actor: what it answered or sent before is void, though the view is the same. */
void view_bounced(struct view *v, const struct id *id);

/* Recomputes and returns v->open. */
bool view_is_open(struct view *v, int64_t now_ms);
/* Whether a node that is no member yet has done the whole barrier with the members it sees: it may become
 * one. */
bool view_may_join(const struct view *v, int64_t now_ms);
/* Nodes of the view besides this one. */
size_t view_others(const struct view *v);
/* When view_is_open or view_lapse may change by time alone; INT64_MAX = never. */
int64_t view_deadline_ms(const struct view *v, int64_t now_ms);

#endif
