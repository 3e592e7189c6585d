/* nemesis: who strikes a simulated cluster, when, and how hard: within what skep promises to survive.
 *
 * It draws from the seed which kinds of faults a run has and how often, strikes (half of the time in the
 * midst of operations), starts again what is down, and ends everything before the quiet time. A fault that
 * skep does not promise to survive without harm suspends promises (sim_suspend) from a moment before it
 * begins until the cluster had time to settle; overlaps that would are kept out:
 *
 *  - of the nodes a minority (of two: one) is away at a time, be it down, paused, cut off or on a bad disk;
 *  - what makes a node forget (restore, wipe), or takes long (away, clone), begins when all has been well for
 *    a while, and the node counts as away until it has caught up;
 *  - partitions that last longer than the detector's patience suspend promises; shorter ones do not.
 */
#ifndef SKEP_SIM_NEMESIS_H
#define SKEP_SIM_NEMESIS_H

#include "sim/sim.h"

enum nemesis_kind {
    NEMESIS_KILL,      /* kill -9 of skepd */
    NEMESIS_STOP,      /* SIGTERM */
    NEMESIS_POWER,     /* the machine is gone for a while, unsynced sectors for ever */
    NEMESIS_PAUSE,     /* SIGSTOP for a while */
    NEMESIS_PARTITION, /* links cut both ways: a node, a set of nodes, one link */
    NEMESIS_ONEWAY,    /* the same, one way */
    NEMESIS_REJECT,    /* the same, by a firewall that fakes proofs of death */
    NEMESIS_SLOW,      /* late and lost packets */
    NEMESIS_BREAK,     /* connections that break, those of clients too */
    NEMESIS_DRIFT,     /* clocks that run too fast or too slow */
    NEMESIS_JUMP,      /* CLOCK_REALTIME that steps by seconds, by an hour, to 2038, and back */
    NEMESIS_DISK,      /* an operation fails with EIO */
    NEMESIS_FULL,      /* ENOSPC for a while */
    NEMESIS_LATE,      /* commits that take long, or very long */
    NEMESIS_FLIP,      /* a bit of the database turns; the node is replaced when it notices */
    NEMESIS_CRASH,     /* processes that crash */
    NEMESIS_HANG,      /* processes that hang */
    NEMESIS_EXEC,      /* processes that do not start, or slowly, or ignore SIGTERM */
    NEMESIS_KEEPER,    /* the keeper dies, with all children */
    NEMESIS_RESTORE,   /* a node goes back to an old backup of its files */
    NEMESIS_CLONE,     /* a copy of a node's files is started elsewhere */
    NEMESIS_WIPE,      /* a node loses its files, is forgotten, and joins as a new one */
    NEMESIS_AWAY,      /* a node is away for longer than tombstones are kept */
    NEMESIS_JOIN,      /* nodes join; some leave again and are forgotten */
    NEMESIS_DRAIN,     /* a node is drained for a while */
    NEMESIS_KINDS
};
#define NEMESIS_BIT(kind) (1u << (kind))
#define NEMESIS_MILD      (1u << 29) /* rarely */
#define NEMESIS_HARSH     (1u << 30) /* often */
#define NEMESIS_DRAWN     (1u << 31) /* of the kinds a subset, and how often: drawn from the seed */

/* The words of a list of faults: one for each bit, and some that mean several. */
struct nemesis_word {
    const char *word;
    unsigned bits;
    const char *what; /* for a manual */
};
extern const struct nemesis_word nemesis_words[]; /* ends with word NULL */
/* "kill,pause", "all", "nemesis", "none". False if a word is unknown. */
bool nemesis_parse(const char *list, unsigned *ret_bits);
/* The reverse. */
void nemesis_list(unsigned bits, struct str *ret_list);
/* What NEMESIS_DRAWN draws from that seed, as bits without it: a run with them is the same run. */
unsigned nemesis_lot(unsigned bits, uint64_t seed);
/* The promises that faults of these kinds may suspend. */
unsigned nemesis_voids(unsigned kinds);

struct nemesis;

struct nemesis_opts {
    uint64_t seed;
    unsigned kinds;  /* bits; 0: it only starts what is down */
    int64_t calm_us; /* by then everything is well again, but for what nodes do to get well themselves */
    void (*burst)(void *ctx); /* makes something go on at this moment */
    void *ctx;
};

/* All nodes will be started within half a second, and again whenever they are down. The simulation must be
 * freed first. */
struct nemesis *nemesis_new(struct sim *s, const struct nemesis_opts *o);
void nemesis_free(struct nemesis *n); /* accepts NULL */
/* From now on it strikes. */
void nemesis_begin(struct nemesis *n);

#endif
