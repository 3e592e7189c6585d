/* blow: what each kind of fault does to a cluster, and what the nemesis remembers of it. For nemesis.c only.
 */
#ifndef SKEP_SIM_BLOW_H
#define SKEP_SIM_BLOW_H

#include "sim/nemesis.h"

struct nemesis {
    struct sim *sim;
    struct nemesis_opts opts;
    struct prng prng;
    unsigned kinds;
    struct sim_range gap;                      /* between two strikes */
    bool starting[SIM_NODES_MAX];              /* its start is planned */
    int held[SIM_NODES_MAX];                   /* somebody else will start it */
    int weak[SIM_NODES_MAX];                   /* counts as away, though it may be up */
    struct sim_backup *backups[SIM_NODES_MAX]; /* owned */
    int cuts;                                  /* partitions in force */
    bool one_jump, one_full, one_drain, one_clone;
    unsigned suspended;   /* promises */
    int64_t disturbed_us; /* when something was amiss for the last time */
    int64_t begun_us;
    enum nemesis_kind wish; /* waits until all is well; NEMESIS_KINDS for none */
    int64_t wish_until_us;
};

struct blow {
    const char *word;
    unsigned voids; /* promises */
    bool calm;      /* wants all to be well before */
    int weight;     /* how often it is drawn */
    bool single;    /* makes sense with a single node, too */
    /* False if it cannot be done there at the moment. */
    bool (*strike)(struct nemesis *n, int node);
};
extern const struct blow blows[NEMESIS_KINDS];

/* Ends what the blows have left that does not end by itself. */
void blows_end(struct nemesis *n);

/* ---- blow_net.c ---- */

bool strike_partition(struct nemesis *n, int node);
bool strike_oneway(struct nemesis *n, int node);
bool strike_reject(struct nemesis *n, int node);
bool strike_slow(struct nemesis *n, int node);
bool strike_break(struct nemesis *n, int node);

/* ---- blow_files.c ---- */

bool strike_restore(struct nemesis *n, int node);
bool strike_away(struct nemesis *n, int node);
bool strike_wipe(struct nemesis *n, int node);
bool strike_flip(struct nemesis *n, int node);
bool strike_clone(struct nemesis *n, int node);
bool strike_join(struct nemesis *n, int node);
bool strike_drain(struct nemesis *n, int node);

/* ---- nemesis.c ---- */

/* Somebody who is part of the cluster, up, and whose absence a fault may add to those of others. */
bool nemesis_spare(const struct nemesis *n, int node);
int64_t nemesis_draw(struct nemesis *n, int64_t min_us, int64_t max_us);
/* Drawn, but not beyond the calm. */
int64_t nemesis_span(struct nemesis *n, int64_t min_us, int64_t max_us);
bool nemesis_toss(struct nemesis *n, unsigned one_in);
/* fn(n, node) after that time. */
void nemesis_later(struct nemesis *n, int64_t after_us, void (*fn)(struct nemesis *n, int node), int node);
/* The same after seconds of that range, but not beyond the calm. */
void nemesis_within_s(struct nemesis *n, int min_s, int max_s, void (*fn)(struct nemesis *n, int node),
                      int node);
/* It counts as away for so long. */
void nemesis_weaken(struct nemesis *n, int node, int64_t for_us);
/* Suspends them until the cluster has settled; once. */
void nemesis_suspend(struct nemesis *n, unsigned promises);
void nemesis_start(struct nemesis *n, int node, int64_t after_us);

#endif
