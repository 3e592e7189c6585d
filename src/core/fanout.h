/* fanout: whom to talk to, and how often, as a cluster grows.
 *
 * Up to FANOUT_MESH_MAX nodes everybody pulls from everybody. Above that a node draws FANOUT_PEERS others
 * each tick, and tells as many that it wrote something: what a node pays for rows no longer grows with the
 * cluster, and a row is everywhere after a few ticks more.
 *
 * Pings are another matter. A node that decides about names needs a recent answer of every node of its view
 * (core/view.h), so it pings all of them, at any size; only the pause between two pings of one peer grows, as
 * far as that answer may be old. Who decides nothing needs no more than one ping a period, to the next one of
 * a round that is shuffled each time (struct fanout_round).
 *
 * Invariants
 *  1. A draw is uniform over the candidates and without repetition.
 *  2. Between two turns of one peer in a round there are less than twice as many turns as there are peers.
 *  3. Pauses never shrink as a cluster grows, and up to FANOUT_MESH_MAX nodes they are what they were.
 *
 * After Demers et al., "Epidemic Algorithms for Replicated Database Maintenance", 1987, sections 1.3 and 1.4
 * (anti-entropy by pulling; rumours); Das, Gupta and Motivala, "SWIM", 2002, section 4.3 (the round).
 */
#ifndef SKEP_CORE_FANOUT_H
#define SKEP_CORE_FANOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/prng.h"

#define FANOUT_MESH_MAX 16
#define FANOUT_PEERS    3

/* nodes: all that are thought to be alive, this one among them. */
bool fanout_is_mesh(size_t nodes);

/* Indices of up to `want` of n candidates into ret; returns how many. */
size_t fanout_draw(struct prng *p, size_t n, size_t want, size_t *ret);

/* The pause between an answered ping and the next one of the same peer. fresh_ms: how old an answered ping
 * may be; timeout_ms: of one ping. Leaves time for a ping that is lost, for its timeout and for asking
 * others. */
int64_t fanout_ping_pause_ms(size_t nodes, int64_t ping_ms, int64_t timeout_ms, int64_t fresh_ms);
/* The pause between two asks of one peer that has not agreed yet: with so many, least_ms would keep everybody
 * busy with asking. */
int64_t fanout_ask_pause_ms(size_t nodes, int64_t least_ms);

/* A round: indices 0 .. n-1 in a random order, each once, then in another one. */
struct fanout_round {
    size_t *order; /* owned */
    size_t n, cap, at;
};

void fanout_round_fini(struct fanout_round *r);
/* One more peer, index n: somewhere in what is left of this round. */
void fanout_round_add(struct fanout_round *r, struct prng *p);
/* The next one; there must be one. */
size_t fanout_round_next(struct fanout_round *r, struct prng *p);

#endif
