/* frozen: what is true now and is no row, as the brain last published it. Immutable, counted, for any thread.
 */
#ifndef SKEP_NODE_FROZEN_H
#define SKEP_NODE_FROZEN_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/id.h"
#include "core/detect.h"

struct frozen_node {
    struct id id;
    char *name, *url, *version, *role;
    char *labels; /* JSON; may be NULL */
    char *link;   /* how it is reached: "direct", "via NAME", "down"; NULL = it is ourselves, or has left */
    enum liveness liveness;
    bool self, left, draining, member, forgotten, in_view;
    int64_t actor, born, started_at_ms, rtt_ms, load, weight, max_children;
    int64_t down_at_ms;   /* since when it is down, as far as this run knows; 0 = it is not */
    int64_t clock_off_ms; /* its clock's distance from what this node believes */
    int64_t lag_ms;       /* how far what it has of our writes is behind */
    double avg_rtt_ms;
};

struct frozen_token {
    char *token, *hash, *name, *role, *swarm;
    int64_t expires_at_ms, used_at_ms;
};

struct frozen_counters {
    int64_t turns, events, commits, pulls, rows_merged, pokes, relayed, answers, children, ops_waiting;
    int64_t wal_bytes; /* of the write-ahead log that no checkpoint has moved yet */
    int64_t pull_pause_ms;
    int64_t busy, disk_full, batch_last, batch_median;
    int64_t plans_kept, plans_anew; /* parts of batches, by how their names were placed */
    int64_t tombstones_dropped;
    int64_t impostors; /* pulls and pings of a peer that spoke for another one */
    int64_t hooks_delivered, hooks_failed, hooks_dropped, hooks_waiting;
    int64_t rows_scanned, looks, compares, compares_equal, compare_bytes; /* compare.h */
    int64_t rows_damaged, rows_healed, rows_late, rows_set_aside;
};

struct frozen {
    atomic_int refs;
    struct id cluster, self, boot;
    char *name, *url, *version;
    int64_t actor, born, started_at_ms, published_boot_ms;
    bool member, open, draining, leaving, left, ready;
    bool copying; /* what it missed, from another node: what is here may be far behind */
    uint64_t signature;
    int64_t life;              /* of the cluster; 0 = not known yet */
    char *commander;           /* name of the node that leads; never NULL */
    int64_t score;             /* of this machine, as pings say it */
    int64_t clock_line_ms;     /* CLOCK_BOOTTIME + this is what the node believes to be the time */
    struct frozen_node *nodes; /* sorted by name; this node among them */
    int nodes_n;
    struct frozen_token *tokens;
    int tokens_n;
    struct id *forgotten; /* nodes whose certificates are refused */
    int forgotten_n;
    int64_t pid, keeper_pid; /* of this node's processes; 0 = unknown */
    struct frozen_counters counters;
};

const struct frozen *frozen_ref(const struct frozen *f);
void frozen_unref(const struct frozen *f);
/* NULL if there is none; by name or by id. */
const struct frozen_node *frozen_node(const struct frozen *f, const char *name);
/* Whether that node was forgotten: its certificate is refused. */
bool frozen_forgotten(const struct frozen *f, const struct id *node);
/* Name of a node by its id as text, or the id itself. Borrowed. */
const char *frozen_name_of(const struct frozen *f, const char *id_text);

#endif
