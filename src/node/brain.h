/* brain: the inside of a node, for the files of this floor and the handlers of api/.
 *
 * The rules of a turn:
 *  1. A handler runs inside a savepoint and returns 0, or a store's failure (< 0) after which the whole
 *     handler never happened: its rows are rolled back, its effects dropped, and the memory it announced with
 *     node_touch restored.
 *  2. What leaves the node (answers, calls, spawns, lines) goes through eff_*, never through the world
 * directly.
 *  3. Memory changes of plain structs are announced with node_touch first; everything else that changes
 * memory (lists, hashes, frees) is an eff_do.
 *  4. Later events of a batch see earlier ones through the store and through touched memory.
 */
#ifndef SKEP_NODE_BRAIN_H
#define SKEP_NODE_BRAIN_H

#include "base/list.h"
#include "base/prng.h"
#include "core/batch.h"
#include "core/brake.h"
#include "core/detect.h"
#include "core/place.h"
#include "core/reap.h"
#include "core/restart.h"
#include "core/view.h"
#include "node/batch.h"
#include "node/board.h"
#include "node/children.h"
#include "node/cover.h"
#include "node/crasher.h"
#include "node/declare.h"
#include "node/effect.h"
#include "node/facts.h"
#include "node/gather.h"
#include "node/group.h"
#include "node/node.h"
#include "node/op.h"
#include "node/own.h"
#include "node/peer.h"
#include "node/poke.h"
#include "node/probe.h"
#include "node/room.h"
#include "node/timer.h"
#include "node/told.h"
#include "node/watch.h"
#include "wire/chan.h"

struct again;
struct child;
struct seats;
struct settings_kept;
struct counted;
struct given;
struct hooks;

/* ---- sessions (session.c) ---- */

int session_changed(struct node *n, const char *session); /* claim written, merged or gone */
/* At its home: the owner of the claim is gone. */
int session_orphaned(struct node *n, struct name_row *row, enum owner_state state, int64_t down_since_ms);
/* A claim of it was merged: what was written in a former life under this id goes. */
int session_claim_merged(struct node *n, const char *session);
int session_line(struct node *n, struct child *c, const struct chan_line *line);
/* Its worker is gone. reason: JSON. */
int session_child_ended(struct node *n, struct child *c, enum exit_kind kind, const char *reason);
/* The time of its worker may be up: a turn's, or that of an idle one. */
int session_due(struct node *n, struct child *c);
/* Ends what has outlived the other: its claim, or itself. */
int session_left(struct node *n, const char *id);
/* A row of it was merged: an entry, a turn, or its state (id: ""). */
int session_row_merged(struct node *n, enum table_id t, const char *session, const char *id);
int session_ready(struct node *n, struct child *c);
int sessions_reap(struct node *n);

/* ---- retention (sweep.c) ---- */

int node_sweep(struct node *n);

/* ---- the node ---- */

struct node {
    struct node_options o;
    struct world w;
    struct store *store;
    struct id cluster, self, boot;
    char self_text[ID_TEXT], boot_text[ID_TEXT];
    char *name, *url, *run_mark;        /* run_mark: node/boot, as in SKEP_RUN */
    int64_t actor, born, started_at_ms; /* born: the stamp this run began with */
    bool member, draining, leaving, left, ready;
    bool unclean; /* the last run ended without a goodbye: its file wants a check */
    int exit_status;
    int64_t now_ms, real_ms; /* of this turn */
    int64_t late_due_ms;     /* when this turn was due, for self-doubt */
    int64_t work_after_ms;   /* its last transaction failed */
    int64_t leave_by_ms, checkpoint_ms, wal_warned_ms;
    int64_t stop_asked_ms; /* arrival of the first EV_STOP; 0 = none */
    bool stop_now;         /* there was a second one */
    int64_t children_run;  /* processes that were asked for and have not ended */
    struct doubt doubt;
    struct watch watch; /* of the clock: real_ms is what it believes */
    struct prng prng;
    struct vv vv, gcvv;         /* own vectors, as committed */
    int64_t gc_version;         /* of gcvv: counts its changes */
    int64_t gc_after, gc_actor; /* gc.c: how far its looks have come */
    struct gc_look gc_look;
    struct resync resync;
    struct crashers crashers;
    struct room room;
    struct compare *compare; /* owned; compare.h */
    struct hooks *hooks;     /* owned; hook.h */
    struct facts facts;
    struct probe probe;
    struct effects *fx;
    struct err fault; /* the failure a handler returned */
    struct timer **heap;
    size_t heap_n, heap_cap;
    struct event *held; /* not requests, to be tried again */
    size_t held_n, held_cap, held_bytes;
    int64_t held_until_ms;
    struct view view;
    bool was_open;
    uint64_t views; /* counts how often it opened or closed */
    struct peers peers;
    struct gossip gossip;
    int64_t draw_ms;   /* when peers to pull from are drawn next, in a cluster that is no mesh */
    bool away_changed; /* who is down, and what meta says of it */
    struct peer_fact *peer_facts;
    size_t peer_facts_n, peer_facts_cap;
    struct id *forgotten;
    size_t forgotten_n, forgotten_cap;
    struct down_batch down_batch;
    struct brake brake;
    uint64_t next_call, next_run;
    struct relays relays;
    struct oplist ops, woken;
    struct op *ops_by_id;    /* uthash: those in ops */
    uint64_t *handed;        /* gather.c: HANDED_KEPT marks; owned */
    struct waiters *waiters; /* uthash */
    int waits_pending;       /* op_wait_* of this batch */
    int ops_n;               /* of ops */
    int unseen;              /* ops with an outcome that our store does not cover yet */
    struct coverlist covers;
    struct child *children; /* uthash by key */
    struct child *runs;     /* uthash by run */
    bool scanning;
    int64_t scan_actor, scan_rowid, scan_at_ms;
    struct again **again; /* names to look at again */
    size_t again_n, again_cap;
    int64_t opened_at_ms; /* when the view last opened: leases get one fresh period */
    struct timer work_timer, sweep_timer, lease_timer, reap_timer;
    const struct frozen *frozen;
    atomic_flag frozen_lock;
    int64_t opened_first_ms;
    bool frozen_dirty;
    int64_t frozen_at_ms;
    struct frozen_counters counters;
    int batch_sizes[BATCHES_KEPT]; /* rows of the last transactions that wrote, a ring */
    unsigned batches;
    struct declare *declare;        /* owned */
    bool declare_read;              /* its list on disk */
    int64_t life;                   /* of the cluster: the stamp with which it started; 0 = not known yet */
    struct seats *seats;            /* swarm.c: what each node has, uthash by key */
    bool unsettled;                 /* what serves a swarm has changed */
    bool unplaced;                  /* some name found no node */
    struct settings_kept *settings; /* of swarms, uthash by name: settings.c */
    struct counted *counted;        /* choice.c, uthash by swarm */
    struct given *given;            /* choice.c, uthash by key */
    struct lease *leases;           /* renewals in memory, uthash by key */
    struct homeless *homeless;      /* homeless.c, uthash by key */
    struct timer homeless_timer;
    struct batch *operations; /* uthash by id */
    bool operations_dirty, operations_scan;
    struct timer batch_timer;
    struct board board;
    struct bucket reap_bucket;
    char *reap_after;             /* session.c: how far its look at unfinished sessions has come; owned */
    struct member_row *member_at; /* group.c: the same for members */
    int64_t log_after;            /* sweep.c: the same for names in the log */
};

/* The first rows of a run, once it may begin (open.c). */
int node_begin(struct node *n);
void node_publish(struct node *n); /* a new frozen view, if something changed */
/* Runs one handler in a savepoint of its own batch (for callers outside of any). */
int node_transact(struct node *n, int (*fn)(struct node *n, void *arg), void *arg);
/* Inside a handler: one of several things that have nothing to do with each other. If it fails for a reason
 * that will not pass, it never happened, and the others go on: 0. */
int node_try(struct node *n, int (*fn)(struct node *n, void *arg), void *arg, const char *what);
uint64_t node_random(struct node *n);
void node_random_id(struct node *n, struct id *ret);
/* An event for a later turn, before those that have not arrived yet. Outside of handlers. */
void node_hold(struct node *n, struct event *ev TAKES);
int node_log(struct node *n, const char *type, const char *swarm, const char *name, const char *node,
             int64_t epoch, const char *who, const char *data_json);
/* The same of what another node told of. */
int node_told(struct node *n, const char *type, const char *swarm, const char *name, const char *node,
              int64_t epoch, const char *data_json);
/* The store failed: remembered in n->fault; returns rc. Use as the error of store calls: &n->fault. */
const char *node_name_of(struct node *n, const char *id_text);
bool node_id_of(struct node *n, const char *name_or_id, struct id *ret);

#endif
