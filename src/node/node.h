/* node: one node of the cluster as a value. Events in, effects out, durable before visible.
 *
 * node_turn takes what happened, decides, writes it in one transaction and only then lets the effects leave
 * through the world. Ten nodes fit in one process; nothing here is global, nothing blocks but the disk.
 *
 * One thread calls all functions here, except node_frozen.
 */
#ifndef SKEP_NODE_NODE_H
#define SKEP_NODE_NODE_H

#include "node/frozen.h"
#include "store/store.h"
#include "world/world.h"

struct declared;
struct node;
struct op;

struct node_options {
    const char *url; /* https://host:port that peers use */
    const char *version;
    const char *ca_pem;      /* the cluster's CA certificate, for those who enrol; may be NULL */
    const char *boot;        /* id of this run as its keeper knows it, 32 hex digits; NULL: drawn */
    char *const *peers;      /* static peers' urls, NULL-terminated; may be NULL */
    char *const *allow_exec; /* patterns over absolute program paths; NULL or empty: starts nothing */
    char *const *env;        /* "NAME=value" that every child gets before its own; NULL-terminated */
    const char *work_dir;    /* cwd of children without one */
    const char *exec_user;   /* NULL: our own */
    const char *socket;      /* path of the local socket, for SKEP_SOCKET; may be NULL */
    const char *worker_role; /* "write" unless configured */
    const char *labels;      /* JSON object of texts that swarms may ask for; NULL: none */
    int64_t weight;          /* percent of processes that are placed here, compared to others; 0: 100 */
    const struct declared *declared; /* children that each start of the cluster makes true (declare.h) */
    char *const *serves; /* swarms that the configuration declares to be served here; NULL-terminated */
    int64_t suspect_ms, down_ms, ping_ms, sync_ms, batch_window_ms, brake_ms;
    int64_t handoff_ttl_ms, events_keep_ms, events_keep_rows, history_keep_rows;
    /* Tombstones go once all members have them and they are older than the first, or than the second in any
     * case. */
    int64_t tombstone_min_ms, tombstone_max_ms;
    int64_t compare_ms; /* between full comparisons with a peer; 0 = never */
    int64_t alone_ms;   /* how long a node whose peers all refuse waits before it serves alone */
    int checkpoint_acks;
    int64_t children_max;
    int64_t pid, keeper_pid;    /* of this process and its keeper, to be shown; 0 = unknown */
    const char *ca_fingerprint; /* SHA-256 of the cluster's CA, 64 hex digits, for join tokens; may be NULL */
    /* Serves a request: api/ routes it, runs its handler, which answers through the op or lets it wait;
     * called again whenever what the op waits for may have come. */
    int (*serve)(struct node *n, struct op *op);
};

/* Opens the database of world->disk, begins a new run (a new actor) and makes what is left of the old one
 * visible as such. options and world are copied; what they point to is borrowed. */
int node_open(struct node **ret, const struct node_options *o, const struct world *w, struct err *e);
/* Settings that HUP may change: everything in options but serve and peers already known. */
void node_reload(struct node *n, const struct node_options *o);
/* One turn: all events, in order. Empties them. count may be 0: time passes. */
void node_turn(struct node *n, struct event *events, size_t count);
/* When node_turn wants to be called at the latest, ms of CLOCK_BOOTTIME. */
int64_t node_deadline_boot_ms(const struct node *n);
/* The newest frozen view, with a reference of yours: frozen_unref. Any thread. */
const struct frozen *node_frozen(struct node *n);
/* -1 while it runs; the exit status once it has ended (0 after a stop, 70 after a failed disk). */
int node_ended(const struct node *n);
/* The run before this one ended without a goodbye. Does not change: any thread. */
bool node_unclean(const struct node *n);
struct store *node_store(struct node *n);
/* Bytes of events that wait for a store that cannot write: more of them should rather not come. */
size_t node_held_bytes(const struct node *n);
/* Without any goodbye: what a crash leaves. */
void node_close(struct node *n);

/* What pullers have said before: one for each thread that serves pulls. */
struct pull_memory;
struct pull_memory *pull_memory_new(void);
void pull_memory_free(struct pull_memory *m);
/* The answer to a pull request of that peer, off the brain: on any store of this node's database. Nobody
 * speaks for another one. */
int node_serve_pull(struct store *s, struct pull_memory *m, const struct id *peer, const char *body, size_t n,
                    struct str *ret, struct err *e);
/* The answer to a ping, from the frozen view alone. brain_age_ms: since the brain's last turn. */
int node_serve_ping(const struct frozen *f, int64_t brain_age_ms, int64_t real_ms, const char *body, size_t n,
                    struct str *ret, struct err *e);

#endif
