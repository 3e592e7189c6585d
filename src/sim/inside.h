/* inside: what the parts of the simulator share with each other, and nobody else includes. */
#ifndef SKEP_SIM_INSIDE_H
#define SKEP_SIM_INSIDE_H

#include "sim/sim.h"

struct simnet;
struct simproc;

struct sim_node {
    struct sim *sim;
    int index;
    char name[16], url[64], db[64], vfs[64];
    struct id id;
    const char *peers[SIM_NODES_MAX];
    struct prng prng; /* behind world.random */
    int64_t boot_us;  /* machine's uptime when the simulation began */
    int64_t skew_ms;  /* of CLOCK_REALTIME */
    struct simdisk *disk;
    struct log log;
    struct world world;
    struct sim_home home;

    bool ever, up, powered;
    uint64_t life; /* counts starts; what was planned for another one is void */
    void *brain;   /* while up */
    struct event *events;
    size_t events_n, events_cap;
    bool turn_planned, in_turn, stopping;
    int64_t busy_us;   /* its commit is over at that moment */
    int64_t paused_us; /* until; in the past if it runs */
    int64_t last_turn_us;
    int64_t tick_us; /* the planned EV_TICK; INT64_MAX for none */
};

struct sim {
    struct sim_opts opts;
    const struct sim_brain *brain;
    struct prng prng, net_prng, dice;
    struct id cluster;
    int64_t now_us;
    uint64_t planned; /* counts sim_at */
    struct sim_plan *heap;
    size_t heap_n, heap_cap;
    uint64_t digest;
    bool violated;
    struct sim_check *checks;
    size_t checks_n, checks_cap;
    struct sim_node *nodes;
    struct simnet *net;
    struct simproc *proc;
};

/* Mixes into the digest. */
void sim_mark(struct sim *s, uint64_t what, uint64_t a, uint64_t b);
/* When what the node does now takes effect: at once, or after the commit of the turn it is in. */
int64_t sim_effect_us(const struct sim_node *n);
/* A request arrives at a living node. */
void sim_deliver(struct sim_node *n, struct request *r TAKES);
int64_t sim_boot_ms(const struct sim_node *n);

/* net.c */
struct simnet *simnet_new(struct sim *s);
void simnet_free(struct simnet *net);
void simnet_world(struct sim_node *n, struct world_net *ret);
/* After its crash or end: its calls are forgotten, connections to it break (or go silent without power). */
void simnet_down(struct sim_node *n);

/* proc.c */
struct simproc *simproc_new(struct sim *s);
void simproc_free(struct simproc *p);
void simproc_world(struct sim_node *n, struct world_proc *ret);
/* Kills what older lives of the node left. */
void simproc_up(struct sim_node *n);
/* The keeper kills all of the node within at most that time. */
void simproc_down(struct sim_node *n, struct sim_range within);

#endif
