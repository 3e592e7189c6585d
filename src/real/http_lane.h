/* http_lane: one connection to a peer that may be there or not, and the calls that want it; what
 * http_client.c and http_lane.c share, and nobody else includes.
 *
 * lane_work() moves it on; it runs from the loop only. While calls wait, the lane is on its way from NONE to
 * READY:
 *
 *   NONE -> TOKEN -> RESOLVE -> CONNECT -> HANDSHAKE -> READY
 *
 * If the way fails, all waiting calls fail with the same reason: the caller learns at once what is known. If
 * a READY lane breaks, only the call that was sent fails; those behind it get a new connection.
 */
#ifndef SKEP_REAL_HTTP_LANE_H
#define SKEP_REAL_HTTP_LANE_H

#include <event2/dns.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/util.h>
#include <http_parser.h>
#include <time.h>

#include "base/list.h"
#include "base/prng.h"
#include "base/str.h"
#include "real/http_client.h"
#include "real/stream.h"

#define LANE_BUFFER_BYTES 65536
#define PEER_HOST_MAX     256

enum lane_state { LANE_NONE, LANE_TOKEN, LANE_RESOLVE, LANE_CONNECT, LANE_HANDSHAKE, LANE_READY };

struct call {
    TAILQ_ENTRY(call) next;
    struct lane *lane;
    struct peer_call *c;
    struct event timer;
};
TAILQ_HEAD(call_list, call);

/* A name being resolved: outlives its lane if it must. */
struct lookup {
    struct lane *lane; /* NULL: nobody waits any more */
    struct evdns_getaddrinfo_request *request;
};

struct lane {
    unsigned magic;
    struct peer *peer;
    enum net_lane lane;
    enum lane_state state;
    struct stream stream;
    struct event io, timer;
    short watched;
    bool kicked;
    TAILQ_ENTRY(lane) kick_link;
    struct call_list queue;
    struct call *current; /* sent; its answer is awaited */
    struct lookup *lookup;
    struct evutil_addrinfo *addresses, *address;
    enum net_failure worst; /* of the addresses tried so far */
    bool tried;
    char why[512];
    struct id node; /* who answered the handshake */
    struct str out;
    size_t out_at;
    http_parser parser;
    struct str body;
    bool complete, too_large;
};
TAILQ_HEAD(lane_list, lane);

/* Tokens that come at a rate, up to a burst. */
struct bucket {
    double tokens, rate, burst; /* rate: per second */
    int64_t at_ms;
};

struct peer {
    TAILQ_ENTRY(peer) next;
    struct http_client *client;
    struct id node;
    char *url;
    char host[PEER_HOST_MAX], port[8];
    bool valid;
    struct bucket connects;
    unsigned failures; /* since the last connection that came about */
    int64_t failed_at_ms, try_at_ms;
    struct lane lanes[NET_LANES];
};
TAILQ_HEAD(peer_list, peer);

struct http_client {
    struct event_base *base;
    struct evdns_base *dns;
    struct http_client_options options;
    struct http_client_callbacks callbacks;
    SSL_CTX *tls;
    struct peer_list peers;
    struct lane_list kicked;
    struct event *kick;
    struct bucket connects; /* to all peers */
    struct prng prng;
    char buffer[LANE_BUFFER_BYTES];
};

void lane_init(struct lane *l, struct peer *p, enum net_lane lane);
/* Its calls end without a callback. */
void lane_fini(struct lane *l);
void lane_call(struct lane *l, struct peer_call *c TAKES);
/* From the loop, for one that was put among the client's `kicked`: they wait for that, or for nothing. */
void lane_work(struct lane *l);
/* Closes the connection and fails the calls that wait for it now: a callback may make new ones. */
void lane_end(struct lane *l);
/* No connection and no call. */
bool lane_is_spare(const struct lane *l);

static inline int64_t lane_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static inline struct bucket bucket_init(double rate, double burst_s)
{
    return (struct bucket){rate * burst_s, rate, rate * burst_s, lane_now_ms()};
}

#endif
