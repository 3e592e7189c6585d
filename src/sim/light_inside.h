/* light_inside: what the files about light nodes share. A row is known by its actor (its node's index + 1)
 * and its stamp (the moment it was written). What a node holds is a vector, for rows come in order; what it
 * may show as proof is another one, as in node/pull.h.
 */
#ifndef SKEP_SIM_LIGHT_INSIDE_H
#define SKEP_SIM_LIGHT_INSIDE_H

#include "core/detect.h"
#include "core/fanout.h"
#include "core/vv.h"
#include "sim/light.h"

#define PING_BYTES 76 /* as REQUEST_BYTES in light_net.c */
#define PONG_BYTES 102

enum word { WORD_PING, WORD_PROBE, WORD_PULL, WORD_POKE };
enum kind { ROW_DATA, ROW_NODE, ROW_HINT };
enum known { STRANGER, ALIVE, DOWN };

struct light_row {
    int64_t hlc;
    enum kind kind;
    int about; /* ROW_DATA: its number; else a node */
};

/* A range of rows of one actor, up to hlc. */
struct range {
    int64_t actor, from, to;
};

/* What a message carries. */
struct pack {
    struct vv vv, cursor;
    struct range *ranges;
    size_t ranges_n, ranges_cap;
    bool more, good;
    int about;
};

struct message {
    int64_t at_us;
    uint64_t order, call;
    enum { M_TICK, M_REQUEST, M_ANSWER, M_COMMITTED, M_REFUSED } what;
    enum word word;
    int from, to;
    struct pack *pack; /* owned; may be NULL */
};

struct call {
    uint64_t number;
    enum word word;
    int to, about;
    int64_t sent_us;
    uint32_t version; /* of our vector */
    struct vv cursor; /* WORD_PULL: of its chain */
    int64_t rows;     /* of the chain */
    int origin;       /* WORD_PING: for whom, or -1 */
    uint64_t origin_call;
};

/* Somebody who is looked after, since a ping failed or somebody said so. */
struct watch {
    int about;
    struct detector d;
    int64_t next_us;
    int silent;            /* others who got no answer, either */
    bool hinted, heard_of; /* we told everybody; somebody told us */
};

struct light_peer {
    uint8_t state; /* enum known */
    bool pulling, again, poking, poke_again, watched;
    uint32_t base; /* version of our vector that it knows */
};

struct light_node {
    bool alive, silent;
    struct prng prng;
    struct vv vv, has;
    uint32_t *changed, version; /* by index of the actor: when its entry of vv changed */
    uint32_t pulls;
    struct light_peer *peers; /* by index */
    size_t *list;             /* those it knows, in the order it met them */
    struct fanout_round round;
    size_t list_n, list_cap;
    struct watch *watches;
    size_t watches_n, watches_cap;
    struct call *calls;
    size_t calls_n, calls_cap;
    int64_t draw_us, ping_us, passed_us; /* passed: when word was last passed on */
    int64_t commit_us[2];                /* the end of the transaction that runs, and of the next one */
    struct light_row *rows;              /* its own */
    size_t rows_n, rows_cap;
    int64_t news_bytes; /* that it sent */
};

struct track {
    int64_t born_us, everywhere_us;
    int holders;
    int *hops; /* by node: of its way there; owned */
};

struct light {
    struct light_opts o;
    struct prng prng;
    int64_t now_us;
    int nodes_n, nodes_cap, alive;
    struct light_node *nodes;
    struct message *heap;
    size_t heap_n, heap_cap;
    uint64_t planned, next_call, digest;
    struct track *tracks;
    size_t tracks_n, tracks_cap;
    struct light_counters count;
};

static inline struct light_node *node(const struct light *l, int i)
{
    return &l->nodes[i];
}

/* light_net.c: messages on their way, and the calls that wait for answers. */
void light_pack_free(struct pack *p);
void light_plan(struct light *l, struct message m);
/* The first one; there is one. */
struct message light_next(struct light *l);
void light_send(struct light *l, struct message m, size_t bytes);
struct call *light_request(struct light *l, int from, int to, enum word word, struct pack *p TAKES,
                           size_t bytes);
void light_answer(struct light *l, const struct message *m, struct pack *p TAKES, size_t bytes);
bool light_call_take(struct light_node *n, uint64_t number, struct call *ret);

/* light_pull.c: whom a node knows, and how rows come to it. */
void light_know(struct light *l, int self, int about);
/* Those who may be drawn, but for one; yours. */
size_t *light_candidates(const struct light_node *n, int but, size_t *ret_n);
/* So many of them. */
void light_each_drawn(struct light *l, int self, int but, size_t want,
                      void (*fn)(struct light *l, int self, int other));
bool light_is_mesh(const struct light_node *n);
/* How many others are asked at a time, and told of what was written where nobody gossips. */
size_t light_fanout(const struct light_node *n);
void light_pull(struct light *l, int self, int to);
void light_poke(struct light *l, int self, int to);
void light_pull_serve(struct light *l, const struct message *m);
void light_pulled(struct light *l, int self, struct call *c, const struct pack *in);
void light_write_row(struct light *l, int self, enum kind kind, int about);

/* light_judge.c: who is alive. */
void light_ping(struct light *l, int self, int about);
void light_look_after(struct light *l, int self, int about, bool heard_of);
void light_ping_failed(struct light *l, int self, int about, bool refused);
/* It was heard of: by an answer to that call, or otherwise (NULL). */
void light_lives(struct light *l, int self, int about, const struct call *c);
/* Somebody else asked for us. */
void light_probed(struct light *l, int self, const struct call *c, bool good);
void light_watch_judge(struct light *l, int self, struct watch *w);

#endif
