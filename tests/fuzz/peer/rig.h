/* rig: a real node, its two peers and its worker. The peers say what an input tells them to say; here is the
 * world they meet in, and what they say when they behave.
 */
#ifndef SKEP_TESTS_FUZZ_RIG_H
#define SKEP_TESTS_FUZZ_RIG_H

#include "node/node.h"
#include "node/pull.h"
#include "wire/buf.h"

#define REQUESTS_MAX 98 /* one each, and those that begin and look */
#define RUNS_MAX     64
#define CALLS_MAX    256
#define REAL_MS      INT64_C(1700000000000)
#define PULL         "/v1/peer/pull"
#define COMPARE      "/v1/peer/compare"
#define RESYNC       "/v1/peer/resync"

/* How the first peer, B, is reached. C always is, once it has come. */
enum way_to_b { WAY_DIRECT, WAY_THROUGH_C, WAY_NONE, WAYS };

struct mate {
    struct id id;
    const char *name, *url;
    int64_t actor;
};
extern const struct mate mate_b, mate_c;
extern const struct id cluster, self;

struct row_copy; /* made.h */

struct rig {
    struct node *node;
    struct pull_memory *pullers;
    int64_t boot_ms;
    uint8_t dice;
    int answers[REQUESTS_MAX + 1], requests;
    struct peer_call *calls[CALLS_MAX];
    uint64_t runs[RUNS_MAX];
    bool dying[RUNS_MAX];
    size_t runs_n;
    enum way_to_b way;
    bool third;             /* C is there */
    struct row_copy *whole; /* what was damaged, as it was; owned */
    size_t whole_n;
    uint64_t seen; /* a sum of all that the node has said */
};

/* Each input has one of its own, zero before; the node was never opened. */
void rig_open(struct rig *g);
/* What was written lets the node begin again. */
void rig_close(struct rig *g);
/* The node's process dies; another one begins. */
void rig_restart(struct rig *g);
/* Until every request has its answer, and some time after that. */
void rig_settle(struct rig *g);

struct event;
void turn(struct rig *g, struct event ev TAKES);
void pass(struct rig *g, int64_t ms);
/* So many turns of a peer (or two) that does all it should. */
void good_peer(struct rig *g, int turns);
void good_pongs(struct rig *g);
/* C joins. */
void third_comes(struct rig *g);

/* The oldest call to this peer on that lane, or to this path; taken off the list: yours. NULL if there is
 * none. */
struct peer_call *call_take(struct rig *g, const struct mate *to, enum net_lane lane);
struct peer_call *call_take_path(struct rig *g, const struct mate *to, const char *path);
bool is_asked(const struct rig *g, const struct mate *to, const char *path);
/* Ends a call; NULL does nothing. */
void answered(struct rig *g, struct peer_call *call TAKES, int status, const void *p, size_t n);
void failed(struct rig *g, struct peer_call *call TAKES, enum net_failure how);

/* A request to the node: its path, and body, are copied. */
struct request *request_new(struct rig *g, enum req_method method, const char *path, const void *body,
                            size_t n);
void peer_posts(struct rig *g, const struct mate *by, const char *path, const void *p, size_t n);
void asked(struct rig *g, struct request *r TAKES);

static inline unsigned byte(const char *p, size_t n, size_t i)
{
    return i < n ? (unsigned char)p[i] : 0;
}

#endif
