/* relay: the way to a peer: directly, or through a third node while the direct link is silent.
 *
 * Silence of one link is no silence of a node. When a direct ping gets no answer in time, up to RELAY_PROBES
 * other nodes are asked at once to pass a ping on (SWIM's indirect probe). The first answer that comes back
 * makes its bearer the way: pings, pulls and mail go through it, until a direct ping is answered again.
 *
 *   POST /v1/peer/relay := cluster id, origin id, target id, timeout varint, path text, body bytes
 *   answer              := RELAY_ANSWERED u8, status u32, body bytes
 *                          or RELAY_SILENT u8: the relayer cannot reach it either
 *
 * The relayer calls `path?for=ORIGIN` on a connection of its own; the target takes that as the origin's word
 * (relay_speaks_for says when). What is trusted with that is in docs/security.md.
 *
 * Invariants
 *  1. Nothing goes through others while the direct link answers: a network without faults pays nothing.
 *  2. A relayer uses its direct link only, and passes on only what is in the table of paths: two hops, never
 *     three. At most RELAYS_MAX calls of one origin are under way at it.
 *  3. A refusal that a relayer met proves nothing here: it counts as its opinion that the node is silent.
 *  4. Everything here is memory; only the events node_via and node_direct reach the log.
 *
 * After Das, Gupta and Motivala, "SWIM", 2002, section 3.1 and 4.
 */
#ifndef SKEP_NODE_RELAY_H
#define SKEP_NODE_RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/id.h"
#include "base/str.h"
#include "world/world.h"

#define RELAY_PATH   "/v1/peer/relay"
#define RELAY_PROBES 3
#define RELAYS_MAX   16

struct node;
struct peer;
struct frozen;

/* A ping that is under way through somebody. */
struct relay_ping {
    uint64_t call; /* 0 = free */
    struct id through;
    int64_t sent_ms, ask;
};

/* A member of struct peer. Zero bytes: direct. */
struct way {
    bool silent;         /* the last direct ping that was not refused got no answer */
    struct id via;       /* who passes calls on; zero: nobody */
    struct id told;      /* the one that the log names; zero: direct */
    int64_t via_sent_ms; /* when the newest ping that was answered through it was sent */
    struct relay_ping pings[RELAY_PROBES];
    int64_t asked_ms, asked_ask, ask_next_ms; /* of the newest round */
};

/* A call that was sent through somebody, or is passed on for somebody. */
struct relayed {
    uint64_t call;
    uint64_t request;        /* of the origin, to be answered; 0: the call is our own */
    struct id target, other; /* other: the relayer, or the origin */
    int64_t sent_ms;
};

struct relays {
    struct relayed *list; /* owned */
    size_t n, cap;
};
void relays_fini(struct relays *r);

/* Sends a call to a peer, whichever way it is reached; for all calls but direct pings. Its answer or failure
 * comes under its id as if it had been direct (paths that are not passed on go directly); one that came
 * through somebody is never NET_REFUSED: NET_UNREACHABLE says that the relayer does not reach the peer
 * either, NET_TIMEOUT that nobody knows. */
void relay_call(struct node *n, struct peer *p, struct peer_call *c TAKES);

/* A direct ping got its answer, or none. Memory only. */
void way_direct(struct node *n, struct peer *p);
void way_silent(struct node *n, struct peer *p);
/* Asks others for a silent peer, when it is time. Memory only. */
void way_tick(struct node *n, struct peer *p);
/* "direct", "down", "via NAME"; yours. */
char *way_text(struct node *n, const struct peer *p);
/* Whether somebody is there who could say whether a peer is silent to everybody. */
bool relay_has_helpers(struct node *n, const struct peer *p);

/* The end of a call. True: it was passed on for somebody, who now knows. Otherwise the event is now what it
 * would be had the call been direct. Memory only. */
bool relay_event(struct node *n, struct event *ev);
/* The end of an indirect ping; false if the call was none. After relay_event. */
bool relay_probed(struct node *n, const struct event *ev);
/* A request to pass a call on. Memory only. */
void relay_arrived(struct node *n, const struct request *r);

/* A request of a peer with a query: whether its sender, an authenticated node, may speak for the one it
 * names. Then *who is that one. Without a query: true, and nothing changes. Any thread. */
bool relay_speaks_for(const struct frozen *f, const char *path, const char *query, struct principal *who);

#endif
