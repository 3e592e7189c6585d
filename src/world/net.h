/* What a node may do to the network: answer what arrived, and call a peer. Nothing here blocks.
 *
 * A call ends in exactly one EV_PEER_ANSWERED or EV_PEER_FAILED event with its id (world/event.h).
 * Calls on one (node, lane) are sent in order, one outstanding at a time; the lanes are separate
 * connections, so that pings never wait behind pages.
 */
#ifndef SKEP_WORLD_NET_H
#define SKEP_WORLD_NET_H

#include "world/request.h"

/* What goes through others (VIA) and what is passed on for others (FOR) have lanes of their own, pings apart
 * from all else. They may hang, and nothing of ours waits behind them; a VIA ends when a FOR does, and never
 * the other way round, so that nodes that relay for each other do not wait in a circle. */
enum net_lane {
    LANE_CONTROL,
    LANE_BULK,
    LANE_FORWARD,
    LANE_VIA_PING,
    LANE_VIA,
    LANE_FOR_PING,
    LANE_FOR,
};
#define NET_LANES 7

struct peer_call {
    uint64_t id;    /* chosen by the caller, unique for its run */
    struct id node; /* expected in the peer's certificate; zero = not known yet (a static peer's url) */
    char *url;      /* https://host:port, owned */
    enum net_lane lane;
    char *path; /* /v1/peer/…; owned */
    char *body; /* owned */
    size_t body_n;
    int64_t timeout_ms; /* from now, queueing included */
};

void peer_call_free(struct peer_call *c); /* accepts NULL */

/* A POST to somebody outside of the cluster, for a hook. */
struct hook_call {
    uint64_t id;  /* chosen by the caller, unique for its run */
    char *url;    /* https://…, or http://… on this machine; owned, like all here */
    char *secret; /* the name of what it is signed with; NULL = not signed */
    char *hook, *event, *event_id;
    unsigned attempt; /* from 1 */
    char *body;
    size_t body_n;
    int64_t timeout_ms;
};

void hook_call_free(struct hook_call *c); /* accepts NULL */

enum net_failure {
    NET_REFUSED, /* the connection was refused: nobody listens */
    NET_CLOSED,  /* an established connection broke before the answer */
    NET_TIMEOUT,
    NET_TLS,         /* handshake or certificate, or it names another node */
    NET_UNREACHABLE, /* no route, no such host, anything else */
};

struct world_net {
    void *self;
    void (*answer)(void *self, uint64_t request, struct answer *a TAKES);
    void (*call)(void *self, struct peer_call *c TAKES);
    /* Ends all calls to that node with NET_CLOSED, and closes its connections. May be NULL: then they end by
     * themselves. */
    void (*reset)(void *self, const struct id *node);
    /* One EV_HOOK_ANSWERED with its id follows. NULL: nobody outside can be called. */
    void (*hook)(void *self, struct hook_call *c TAKES);
};

#endif
