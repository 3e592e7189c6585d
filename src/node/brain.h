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
#include "node/node.h"
#include "wire/chan.h"

/* ---- effects (effect.c) ---- */

struct effects;
struct again;

void eff_answer(struct node *n, uint64_t request, struct answer *a TAKES);
void eff_call(struct node *n, struct peer_call *c TAKES);
void eff_spawn(struct node *n, struct spawn *s TAKES);
void eff_terminate(struct node *n, uint64_t run);
void eff_kill(struct node *n, uint64_t run);
/* A line to a worker's channel. */
void eff_line(struct node *n, uint64_t run, struct str *line TAKES);
/* fn(n, arg) after the commit, in its place among the other effects; drop(arg) if it never happened. */
void eff_do(struct node *n, void (*fn)(struct node *n, void *arg), void *arg, void (*drop)(void *arg));
/* p[0..bytes) will be changed in place: restored if this handler fails. */
void node_touch(struct node *n, void *p, size_t bytes);

/* ---- timers (timer.c): a heap ---- */

struct timer {
    int64_t due_ms;                               /* boot; INT64_MAX = not set */
    size_t at;                                    /* place in the heap + 1; 0 = not in it */
    int (*fire)(struct node *n, struct timer *t); /* inside a savepoint; a failure fires it again soon */
};

/* Sets or moves it; INT64_MAX takes it out. Allowed any time: a timer that fires needlessly must do no harm.
 */
void timer_set(struct node *n, struct timer *t, int64_t due_ms);

/* ---- operations: requests that wait (op.c) ---- */

enum op_source { OP_CLIENT, OP_PEER, OP_WORKER };

struct op_state {
    int step;                        /* the handler's own */
    int64_t epoch, incarnation, hlc; /* the handler's own: what it claimed, what must be covered */
    int64_t stamp;                   /* hlc at which the request entered the cluster */
    int attempt;                     /* of forwarding */
    bool done;
};

#define OP_SHOWN 2

struct op {
    struct id id;
    enum op_source source;
    struct op_state st;      /* touched before each run of the handler */
    struct request *request; /* owned */
    struct id from;          /* OP_PEER: whom to tell */
    uint64_t from_try;       /* OP_PEER: its try */
    uint64_t run;            /* OP_WORKER: the process that asked */
    char *ref;               /* OP_WORKER: its ref; owned */
    bool replayed;           /* its answer is one that was kept */
    struct id sent_to;       /* forwarded: where the newest try went; zero = not forwarded */
    int acks;                /* ?acks=k: nodes that must have it, this one included; 0 = as the call says */
    int64_t deadline_ms;     /* boot */
    char *memo;              /* the handler's own text; owned */
    void *args;              /* parsed by the handler on its first run; owned */
    void (*args_free)(void *args);
    const void *route; /* api's */
    bool kept, woken, waits_open;
    bool again, lost; /* forwarded: may be sent twice; its newest try has come to nothing */
    bool unsure;      /* a try was lost, and may have been carried out */
    int refusals;     /* of its tries */
    struct node *node;
    char *key;                       /* what it waits for: "swarm\nname"; owned */
    struct stamp shows[OP_SHOWN];    /* rows of others that its answer shows; hlc 0 = none */
    struct stamp seen[1 + OP_SHOWN]; /* after an outcome: what our own store must cover first */
    struct answer *outcome;          /* waiting for that */
    struct timer timer;
    TAILQ_ENTRY(op) link, key_link, wake_link;
    struct waiters *waiters;
};

/* Ends the op with this answer, after the commit. */
void op_answer(struct node *n, struct op *op, struct answer *a TAKES);
/* The same, once `need` other nodes have on disk what we wrote up to hlc (0 = nothing to wait for). With
 * ?acks the number is the client's and is waited for until the deadline; otherwise at most as many as the
 * view has. The body may hold "copies":@ once: replaced by the number. */
void op_answer_covered(struct node *n, struct op *op, int64_t hlc, int need, struct answer *a TAKES);
/* Ends it with the problem document of e. extras: see json_problem. */
void op_fail(struct node *n, struct op *op, const struct err *e, struct span extras);
/* Runs the handler again when a row of that name (claim, child, end) changes, the view opens or closes, or
 * the deadline comes (then it is answered 504, or 503 settling while it waits for the view). */
void op_wait_key(struct node *n, struct op *op, const char *swarm, const char *name);
void op_wait_open(struct node *n, struct op *op);
/* Sends the request to another node, whose outcome becomes the answer. again: may be sent twice (idempotent).
 */
void op_forward(struct node *n, struct op *op, const struct id *to, bool again);
/* A refusal of a forwarded try: the entry node may stamp anew and try again. */
void op_retry(struct node *n, struct op *op);
/* A row of the name changed: wakes who waits. Inside handlers. */
void node_wake(struct node *n, const char *swarm, const char *name);
struct answer *answer_json(int status, struct str *body TAKES);
TAILQ_HEAD(oplist, op);

/* An internal op of its own, e.g. for a worker's request line. */
struct op *op_new(struct node *n, enum op_source source, struct request *r TAKES);
/* First run of an op that op_new made, inside a handler. */
int op_begin(struct node *n, struct op *op TAKES);
void op_drop(struct op *op TAKES); /* one that never began */
/* Under what an answer to this request is kept, and what must be equal in a repeat. Yours. */
char *op_idem_key(const struct request *r);
char *op_idem_request(const struct request *r);
/* An op that waits; NULL if it has ended. */
struct op *op_find(struct node *n, const struct id *id);
void ops_outcome(struct node *n, const struct id *op, uint64_t attempt, struct answer *a TAKES, bool retry,
                 const struct stamp seen[1 + OP_SHOWN]);
void ops_seen(struct node *n); /* own vector moved */
void ops_fini(struct node *n);
void ops_view_changed(struct node *n);
void ops_lost(struct node *n, const struct id *peer); /* mail to it failed, or it left the view */

/* ---- cover: what waits until others have it on disk (cover.c) ---- */

/* fn(n, arg, copies) once `need` peers of the view cover our hlc, outside any handler: memory and world only.
 * strict: never lowered to the size of the view. deadline: then fn gets copies = -1. Inside handlers; takes
 * effect after the commit. */
void cover_wait(struct node *n, int64_t hlc, int need, bool strict, int64_t deadline_ms,
                void (*fn)(struct node *n, void *arg, int copies), void *arg, void (*drop)(void *arg));
/* Peers of the view that cover our hlc. */
int cover_count(struct node *n, int64_t hlc);
void cover_check(struct node *n);
void covers_fini(struct node *n);
TAILQ_HEAD(coverlist, cover);

/* ---- peers (peer.c, pull.c, mail.c) ---- */

struct peer {
    struct id id; /* zero until a static peer's first answer */
    char *url, *name, *version;
    int64_t actor, born; /* its run, and the stamp that run began with; 0 = never heard */
    struct detector detector;
    enum liveness liveness;
    bool down;   /* verdict: what its actor owned may be taken */
    bool proven; /* the verdict rests on a refused connection */
    bool known;  /* answered us at least once */
    bool member, left, draining;
    int64_t down_since_ms, load, weight, clock_off_ms, skew_said_ms;
    struct vv vv; /* what it has on disk, as its last pull request said */
    uint64_t ping_call;
    int64_t ping_sent_ms, ping_ask, ping_next_ms;
    struct {
        uint64_t call;
        int64_t next_ms;
        int64_t chain; /* what view_chain_begins said */
        int failures;
        bool chaining, again;  /* again: poked meanwhile */
        int64_t rows;          /* merged in this chain */
        struct vv cursor, cut; /* of this chain; cut: actors that it does not prove */
    } pull;
    struct {
        uint64_t call;
        struct str out;     /* messages to send */
        bool poke, carries; /* carries: the mail that is on its way has messages */
        int64_t next_ms;
    } mail;
    TAILQ_ENTRY(peer) link;
};
TAILQ_HEAD(peers, peer);

struct peer *peer_find(struct node *n, const struct id *id);
/* Alive, in the view, not leaving, with a moving brain. */
bool peer_placeable(struct node *n, const struct peer *p);
/* Is the run `actor` of node `id` (text) alive as far as we know? Our own included. */
enum owner_state owner_state(struct node *n, const char *node_id, int64_t actor, int64_t *ret_down_since_ms);
void peers_init(struct node *n);
void peers_fini(struct node *n);
int peers_load(struct node *n); /* node rows into memory; inside or outside a handler */
bool node_is_forgotten(const struct node *n, const struct id *id);
struct detect_opts node_detect_opts(const struct node *n);

/* Something that happened to a peer, waiting to be logged. */
struct peer_fact {
    const char *type;
    struct id id;
};
void peers_tick(struct node *n); /* pings, pulls, liveness; no store */
bool peers_have_work(const struct node *n);
int peers_work(struct node *n);  /* what needs the store: verdicts' events; inside a handler */
void peers_view(struct node *n); /* view_update, and what follows */
int peer_pinged(struct node *n, const struct event *ev);                    /* memory only */
void peer_answered(struct node *n, const struct event *ev, bool *ret_mine); /* pings; memory only */
void peer_closed(struct node *n, const struct id *id, int64_t at_ms);
int node_row_merged(struct node *n, const char *node_id); /* rows of node or node_mark changed */
/* `row` of our own node as it is now. */
int node_row_write(struct node *n, struct err *e);

void pulls_tick(struct node *n);
/* The answer to our pull: merges inside a handler. 1 if the call was a pull. */
int pull_answered(struct node *n, const struct event *ev);
void pull_pulled(struct node *n, const struct event *ev); /* a peer's vector; memory only */
void pull_poke_peers(struct node *n);                     /* after a commit that wrote rows */
void pull_poked(struct node *n, struct peer *p);

enum mail_kind { MAIL_FORWARD = 1, MAIL_OUTCOME = 2 };
/* Room for one message to a peer: append its bytes (after the kind) to the returned string. Effects only. */
void mail_send(struct node *n, struct peer *p, struct str *message TAKES);
void mail_forget(struct peer *p); /* what still waits for it is lost */
void mail_tick(struct node *n);
/* ret_only_poke NULL: inside a handler, all of it. Otherwise memory only: done if it was nothing but a poke.
 */
int mail_arrived(struct node *n, const struct request *r, bool *ret_only_poke);
bool mail_answered(struct node *n, const struct event *ev);

void node_settings_merged(struct node *n); /* rows of tokens or swarms changed */

/* ---- who owns a name (own.c) ---- */

bool node_open_now(struct node *n);
/* Home of a name; NULL id pointer never: self or a peer of the view. */
struct id own_home(struct node *n, const char *swarm, const char *name);
bool own_is_home(struct node *n, const char *swarm, const char *name);
/* Where the strategy puts it: of `nodes` (names or ids; NULL = all) that may take something. false: none. */
bool own_target(struct node *n, const char *swarm, const char *name, char *const *nodes,
                const struct id *not_this, struct id *ret);
int64_t own_actor_of(struct node *n, const struct id *node);
/* What the log says of a claim that changes hands. */
void own_taken(const char *from, const char *why, struct str *ret_json);
/* Fills owner, owner_actor, epoch (above `over`), view; since if it is 0. */
void own_claim(struct node *n, struct name_row *row, const struct id *owner, int64_t over);
/* Whether the claim has its second copy; if not, own_changed runs again once it has. */
int claim_covered(struct node *n, const struct name_row *row, bool *ret);
/* A name's row was written or merged: what follows here. Inside handlers. old_epoch: 0 if there was none. */
int own_changed(struct node *n, const char *swarm, const char *name);
/* The same in a transaction of its own, soon. Anywhere. */
void own_later(struct node *n, const char *swarm, const char *name);
/* After the view opened or a verdict fell: looks at every name again, in slices. */
void own_scan(struct node *n);
void own_scan_at(struct node *n, int64_t at_ms);
bool own_has_work(const struct node *n);
int own_work(struct node *n);
void own_fini(struct node *n);
/* The topology signature as text. */
void own_signature(const struct node *n, char ret[17]);

/* Leases of external names, at their home: the end of one (ms, real time), a renewal that is not written. */
int64_t lease_expires(struct node *n, const struct name_row *row);
void lease_renew(struct node *n, const struct name_row *row, int64_t expires_ms);
void lease_forget(struct node *n, const char *swarm, const char *name);
void leases_fini(struct node *n);
/* Ends an external name: tombstone and log row. */
int own_end_address(struct node *n, const struct name_row *row, const char *type, const char *who);
int own_expire(struct node *n);

/* ---- settings of swarms (swarm.c) ---- */

/* The settings as JSON, yours; NULL if the swarm has none. swarm "" (sessions) has none. */
char *swarm_settings(struct store *s, const char *swarm);
/* Whether these settings (NULL = none) let a node serve: no "nodes", or one of them is its name or id. */
bool swarm_serves(const char *settings, const struct id *node, const char *name);

/* ---- processes of this node (child.c, handoff.c) ---- */

enum child_phase {
    PHASE_IDLE,     /* owned, nothing runs: waiting for the claim's copy, an open view, or a back-off */
    PHASE_SPAWNING, /* asked of the keeper */
    PHASE_STARTING, /* runs, not ready yet */
    PHASE_RUNNING,
    PHASE_LEAVING,  /* begin_handoff sent, waiting for state or deadline */
    PHASE_STOPPING, /* SIGTERM sent, waiting for the exit */
};

struct child;
struct child *child_find(struct node *n, const char *swarm, const char *name);
struct child *child_of_run(struct node *n, uint64_t run);
/* The stream its output goes to (world/proc.h). */
#define CHILD_LOG_NAME 64
void child_log_name(const char *swarm, const char *name, char ret[CHILD_LOG_NAME]);
enum child_phase child_phase(const struct child *c);
int64_t child_epoch(const struct child *c);
uint64_t child_run(const struct child *c);
/* Whether child_owned would spawn for it, which needs the claim's second copy first. */
bool child_wants_copy(struct node *n, const struct name_row *row);
bool child_running(struct node *n, const char *swarm, const char *name);
/* So many more (or fewer) of its requests wait. Effects only. */
void child_asks(struct node *n, uint64_t run, int more);
/* The claim in `row` is this run's own: spawn, adopt or go on, as rule 6 says. covered: a second node has it.
 */
int child_owned(struct node *n, const struct name_row *row, bool covered);
/* The name is not ours (any more): stops what runs under it. */
int child_disowned(struct node *n, const char *swarm, const char *name, const struct name_row *now_or_null);
/* Asked by the owner's side of DELETE, restart and move. 0 = under way: wait for the row to change. */
int child_stop(struct node *n, const char *swarm, const char *name, enum exit_kind why);
int child_event(struct node *n, const struct event *ev);
#define LEAVE_MOVE_MS 15000 /* how long a stopping node looks for takers */
#define BATCHES_KEPT  63    /* transactions whose sizes are remembered, for /metrics */
/* ok once the rows up to hlc (and the last checkpoint) have their copies; nothing without an ack. */
void channel_ok(struct node *n, struct child *c, const char *ack, int64_t hlc);
void channel_refuse(struct node *n, struct child *c, const char *ack, const struct err *e);
/* Sends a line; SKEP_EQUEUEFULL, SKEP_ENOTALIVE. */
int child_line(struct node *n, struct child *c, struct str *line TAKES, struct err *e);
/* A call's ref, answered by op_answer when the reply comes. */
int child_call(struct node *n, struct child *c, struct op *op, struct span data, struct err *e);
int children_stop_all(struct node *n, bool now); /* the node leaves */
/* Moves away what may run elsewhere; nothing while nobody could take it. */
int children_drain(struct node *n);
bool children_gone(struct node *n);
int64_t children_count(const struct node *n);

/* ---- sessions (session.c) ---- */

int session_changed(struct node *n, const char *session); /* claim written, merged or gone */
/* At its home: the owner of the claim is gone. */
int session_orphaned(struct node *n, struct name_row *row, enum owner_state state, int64_t down_since_ms);
int session_dropped(struct node *n, const char *session); /* its death was merged */
int session_line(struct node *n, struct child *c, const struct chan_line *line);
/* Its worker is gone. reason: JSON. */
int session_child_ended(struct node *n, struct child *c, enum exit_kind kind, const char *reason);
/* The time of its worker may be up: a turn's, or that of an idle one. */
int session_due(struct node *n, struct child *c);
/* Rows of it were merged. */
int session_merged(struct node *n, const char *session);
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
    struct doubt doubt;
    struct prng prng;
    struct vv vv; /* own vector, as committed */
    struct effects *fx;
    struct err fault; /* the failure a handler returned */
    struct timer **heap;
    size_t heap_n, heap_cap;
    struct event *held; /* not requests, to be tried again */
    size_t held_n, held_cap, held_bytes;
    int64_t held_until_ms;
    struct view view;
    bool was_open;
    struct peers peers;
    struct peer_fact *peer_facts;
    size_t peer_facts_n, peer_facts_cap;
    struct id *forgotten;
    size_t forgotten_n, forgotten_cap;
    struct down_batch down_batch;
    struct brake brake;
    uint64_t next_call, next_run;
    struct oplist ops, woken;
    struct waiters *waiters; /* uthash */
    int waits_pending;       /* op_wait_* of this batch */
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
    struct lease *leases; /* renewals in memory, uthash by key */
    struct bucket reap_bucket;
    char *reap_after; /* session.c: how far its look at unfinished sessions has come; owned */
};

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
/* The store failed: remembered in n->fault; returns rc. Use as the error of store calls: &n->fault. */
const char *node_name_of(struct node *n, const char *id_text);
bool node_id_of(struct node *n, const char *name_or_id, struct id *ret);

#endif
