/* inside: what the parts of the simulator share with each other, and nobody else includes. */
#ifndef SKEP_SIM_INSIDE_H
#define SKEP_SIM_INSIDE_H

#include "sim/sim.h"

struct simnet;
struct simproc;
struct simlinks;

struct sim_node {
    struct sim *sim;
    int index;
    char name[32], url[64], db[64], vfs[64];
    struct id id;
    const char *peers[SIM_NODES_MAX];
    struct prng prng;          /* behind world.random */
    int64_t uptime_us;         /* of the machine, when the simulation began */
    int64_t base_us, boot_us;  /* at base_us of the simulation CLOCK_BOOTTIME was boot_us … */
    int ppm;                   /* … and goes on so much too fast */
    int64_t skew_ms, first_ms; /* of CLOCK_REALTIME, now and in the beginning */
    struct simdisk *disk;
    struct log log;
    struct world world;
    struct sim_home home;

    bool ever, up, powered, retired, may_refuse;
    int generation;         /* of who it is: counts wipes */
    unsigned keepers, seen; /* keepers so far, and how many of them the brain knows of */
    int slow;               /* times as long */
    int64_t down_us;
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
    int nodes_n, nodes_cap;
    unsigned suspended[SIM_PROMISES];
    int64_t resumed_us[SIM_PROMISES];
    int64_t lost_us; /* of sim_loses */
    struct simlinks *links;
    struct simnet *net;
    struct simproc *proc;
    struct sim_said (*outside)(void *ctx, const struct sim_called *c);
    void *outside_ctx;
};

/* Mixes into the digest. */
void sim_mark(struct sim *s, uint64_t what, uint64_t a, uint64_t b);
/* When what the node does now takes effect: at once, or after the commit of the turn it is in. */
int64_t sim_effect_us(const struct sim_node *n);
/* A request arrives at a living node. */
void sim_deliver(struct sim_node *n, struct request *r TAKES);
int64_t sim_boot_ms(const struct sim_node *n);
/* Its CLOCK_BOOTTIME at a moment of the simulation. */
int64_t sim_boot_us(const struct sim_node *n, int64_t at_us);
/* Drops what waits for a turn. */
void sim_events_drop(struct sim_node *n);
/* Plans its next EV_TICK. */
void sim_tick_plan(struct sim_node *n);

/* What is planned for one life of a node. */
struct visit {
    struct sim_node *node;
    uint64_t life;
    int64_t at_us;
};
struct visit *visit_new(struct sim_node *n, int64_t at_us);
bool visit_valid(const struct visit *v);

/* life.c */
/* A node of that index, down and without peers. */
void simlife_make(struct sim *s, int index);
/* Whom it knows: all that are there. */
void simlife_home(struct sim_node *n);
/* Down, whatever the reason: nobody remembers this life any more. */
void simlife_ended(struct sim *s, struct sim_node *n);
void simlife_crash(struct sim *s, struct sim_node *n);
/* Its turn does not end before n->busy_us. */
void simlife_busy(struct sim *s, struct sim_node *n);
void simlife_free(struct sim_node *n);

/* link.c */
enum simlink_state { LINK_OPEN, LINK_SILENT, LINK_REJECTS };
struct simlinks *simlinks_new(void);
void simlinks_free(struct simlinks *l);
enum simlink_state simlink_state(const struct sim *s, int from, int to);
/* Until a packet that leaves now arrives, if the link is open. */
int64_t simlink_delay_us(struct sim *s, int from, int to);
/* Whether the connection breaks with this packet. */
bool simlink_breaks(struct sim *s, int from, int to);

/* net.c */
struct simnet *simnet_new(struct sim *s);
void simnet_free(struct simnet *net);
void simnet_world(struct sim_node *n, struct world_net *ret);
void simnet_hook(void *node, struct hook_call *c TAKES); /* of that world; in outside.c */
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
/* They are gone, and nobody is told. */
void simproc_vanish(struct sim_node *n);
/* Two processes under one name are a violation, now. */
void simproc_unique(struct sim *s);

#endif
