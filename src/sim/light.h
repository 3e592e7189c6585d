/* light: a thousand nodes in one process, for what depends on their number: who learns of a row when, who
 * knows that a node is gone, what it costs.
 *
 * A light node has no store, no processes and decides nothing about names. It pulls, pokes, pings and judges
 * by the same functions as a node does (core/fanout, core/vv, core/detect); a row is a dot with a size. Three
 * things differ from a node: it pings one other a period (nobody's view waits for its answers); a ping that
 * nobody could get answered becomes a row, which makes everybody look for themselves; and a refused
 * connection is proof without a window in which several are collected.
 *
 * Everything follows from the seed. Bytes are those of requests and answers with their heads and TLS records,
 * without those of TCP and IP.
 */
#ifndef SKEP_SIM_LIGHT_H
#define SKEP_SIM_LIGHT_H

#include <stdbool.h>
#include <stdint.h>

#include "sim/sim.h"

struct light;

struct light_opts {
    uint64_t seed;
    int nodes, spare;              /* spare: how many may join later */
    struct sim_range link, commit; /* one way; until merged or written rows may be shown */
    int loss_ppm;                  /* as in sim_opts */
    int row_bytes;
    int64_t sync_ms, ping_ms;
    bool pokes;
    int recipients; /* of word of a row, and of each word passed on: gossip; 0: all, as a swarm's pubsub */
};
/* As simulated clusters and skepd have it. */
struct light_opts light_opts_default(uint64_t seed, int nodes);

/* Sums over all nodes since the beginning. */
struct light_counters {
    int64_t messages, bytes;           /* requests and answers */
    int64_t news_messages, news_bytes; /* those of them that are pulls and pokes */
    int64_t pings, pulls, pokes;
    int64_t rows, twice;       /* that came; those among them that were there already */
    int64_t suspicions, hints; /* of living nodes: a ping unanswered; nobody else got one answered either */
    int64_t false_downs;       /* verdicts on living nodes */
};

/* All know each other and hold the same. */
struct light *light_new(const struct light_opts *o);
void light_free(struct light *l); /* accepts NULL */
int64_t light_now_us(const struct light *l);
void light_run(struct light *l, int64_t until_us);
struct light_counters light_counters(const struct light *l);
uint64_t light_digest(const struct light *l);
void light_set_loss(struct light *l, int ppm);
void light_set_pokes(struct light *l, bool pokes);

int light_alive(const struct light *l);
/* Any of those that live. */
int light_any(struct light *l);
/* A row written by a node; returns its number. */
int light_write(struct light *l, int node);
/* From its writing until the last living node had it; -1: not yet. */
int64_t light_spread_us(const struct light *l, int row);
/* Of pulls and pokes, sent by that node. */
int64_t light_news_bytes(const struct light *l, int node);
/* How many nodes have it that lived when they got it; over how many others it came to the farthest. */
int light_holders(const struct light *l, int row);
int light_hops(const struct light *l, int row);
/* Ends a node. silent: nothing refuses connections to it, as without power. */
void light_kill(struct light *l, int node, bool silent);
/* How many living nodes hold it for down. */
int light_mourners(const struct light *l, int node);
/* A new node that knows three others. */
int light_join(struct light *l);
/* All that live know each other and hold the same rows. */
bool light_settled(const struct light *l);

#endif
