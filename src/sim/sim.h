/* sim: a whole cluster in one process, under one clock that jumps from event to event, from one seed.
 *
 * It hosts the worlds (world/world.h) of K nodes: their clocks, their randomness, the network between them,
 * their processes and disks (simvfs.h); their brains come in through a struct of functions. Nothing in here
 * reads a clock, a random device or an address; whatever happens follows from the seed, in one order. So the
 * same seed gives the same run, note by note, and a failing seed is the report of a bug.
 *
 * Invariants
 *  1. Time is in microseconds since the start of the simulation, never runs back, and two events of the same
 *     moment happen in the order in which they were planned.
 *  2. A node's effects leave it when its turn's commit is over; a crash before that loses them.
 *  3. What was planned for one life of a node (from start to crash or end) never reaches another life.
 *
 * After Wilcox et al., "Verdi", 2015, in purpose; in form after the simulators of FoundationDB (Zhou et al.,
 * 2021, section 4) and Tarantool's fakesys.
 */
#ifndef SKEP_SIM_SIM_H
#define SKEP_SIM_SIM_H

#include "base/list.h"
#include "base/prng.h"
#include "base/str.h"
#include "sim/simvfs.h"
#include "world/world.h"

#define SIM_NODES_MAX 64
#define SIM_REAL_MS   INT64_C(1767225600000) /* the simulation begins on 1 January 2026 */
#define SIM_SECOND    INT64_C(1000000)

struct sim;
struct declared;
struct sim_node;
struct sim_opts;

/* Who a brain is, and where it lives. Borrowed for its whole life. */
struct sim_home {
    const struct world *world;
    struct sim_node *self; /* for sim_event */
    struct id cluster, node;
    const char *name, *url;   /* n1, https://n1.sim:7537 */
    int index, nodes;         /* of the cluster: 0 .. nodes - 1 */
    const char *const *peers; /* urls of all other nodes, NULL-terminated */
    bool first;               /* its disk is new */
    bool founder;             /* with first: by skep init; everybody else joins */
    const struct sim_opts *opts;
};

/* The node's program. Everything is called from the simulation's one thread. */
struct sim_brain {
    void *ctx;
    /* The brain is yours until crash or close. NULL with *e set: it refuses to start. */
    void *(*open)(void *ctx, const struct sim_home *home, struct err *e);
    /* A batch. The brain moves out what it keeps (TAKE); the simulator finishes the events afterwards. */
    void (*turn)(void *brain, struct event *events, size_t n);
    /* CLOCK_BOOTTIME of the next EV_TICK it wants; INT64_MAX for none. */
    int64_t (*deadline_ms)(void *brain);
    /* A request as the I/O thread and the reader see it, outside of any turn. True: taken, and answered or to
     * be answered through world->net. False: untouched, and comes with the next turn as EV_REQUEST. May be
     * NULL. */
    bool (*request)(void *brain, struct request *r);
    /* Asked after each turn: true once it has ended, after EV_STOP or for a reason of its own, and may be
     * closed. May be NULL: the turn with EV_STOP is the last. */
    bool (*finished)(void *brain);
    /* Drops the memory and does nothing else: kill -9. The disk has crashed already. */
    void (*crash)(void *brain);
    void (*close)(void *brain);
    /* Appends what must be equal on all nodes once the cluster has converged. May be NULL. */
    void (*digest)(void *brain, struct str *ret_text);
};

/* Ranges of delays in microseconds; each is drawn uniformly. */
struct sim_range {
    int64_t min_us, max_us;
};

struct sim_opts {
    uint64_t seed;
    int nodes;
    struct sim_range link;    /* one way between two nodes, and from a client */
    struct sim_range commit;  /* a turn's transaction */
    struct sim_range spawn;   /* until exec */
    struct sim_range channel; /* a line between node and worker */
    struct sim_range reap;    /* from kill -9 of skepd to its keeper's last SIGKILL */
    int loss_ppm;             /* packets of a million that TCP sends again, 200 ms later, then 400 … */
    int slow_commit_ppm;      /* commits of a million that take 20 times as long */
    int64_t skew_ms;          /* clocks are off by up to this, either way */
    int64_t keeper_ms;        /* no turn for so long: the keeper kills all children, and skepd ends */
    bool unique_names;        /* two processes under one name at once are a violation */
    int spare;                /* nodes that sim_add and sim_clone may add later */
    const struct declared *declared; /* by the configuration of each node (node/declare.h); NULL: none */
    int64_t tombstone_min_ms, tombstone_max_ms; /* retention of the nodes; 0 = as skepd has it */
    int64_t sync_ms;                            /* the same of the pause between two pulls */
    enum log_level log_level;
    int log_fd; /* of the nodes' own logs; -1 = silent */
    bool trace; /* notes every operation, process and broken call too; changes nothing else, nor the digest */
    /* Where the simulation's own notes go, one line without newline each. NULL = nowhere. */
    void (*line)(void *ctx, const char *text);
    void *line_ctx;
};

/* A LAN with the defaults of skepd. */
struct sim_opts sim_opts_default(uint64_t seed, int nodes);

/* brain is borrowed. No node is up yet. One simulation at a time in a process: SQLite's random numbers are
 * one generator for all of it, and start anew here. */
struct sim *sim_new(const struct sim_opts *o, const struct sim_brain *brain);
/* Crashes what is up and frees everything. Accepts NULL. */
void sim_free(struct sim *s);

/* ---- Time ---- */

int64_t sim_now_us(const struct sim *s);
/* Plans fire(s, arg) at that moment (now, if it is past). drop(arg) instead, if the simulation ends before;
 * NULL = nothing to free. fire owns arg. */
void sim_at(struct sim *s, int64_t at_us, void (*fire)(struct sim *s, void *arg), void *arg,
            void (*drop)(void *));
/* Runs everything planned up to and including that moment; then it is that moment. Ends early, with false, at
 * the first violation. */
bool sim_run(struct sim *s, int64_t until_us);
/* The simulation's own generator, for load and nemesis. */
struct prng *sim_prng(struct sim *s);
int64_t sim_draw(struct prng *p, struct sim_range r);

/* ---- Nodes ---- */

/* Those that were added included, also the retired ones. */
int sim_nodes(const struct sim *s);
struct sim_node *sim_node(struct sim *s, int index);
const char *sim_node_name(const struct sim_node *n);
struct id sim_node_id(const struct sim_node *n);
bool sim_node_up(const struct sim_node *n);
bool sim_node_paused(const struct sim_node *n);
/* For faults of its disk. */
struct simdisk *sim_node_disk(struct sim_node *n);
/* NULL while it is down. */
void *sim_node_brain(const struct sim_node *n);
/* An event for the node's next turn, stamped with its arrival. Takes the event; drops it if the node is down.
 * For brains whose `request` answers at once what their turn must know of, too. */
void sim_event(struct sim_node *n, struct event *e TAKES);
/* False if the brain refuses: a violation. Nothing happens to a node that is up. */
bool sim_start(struct sim *s, int index);
/* kill -9 of skepd; its keeper kills the children within opts.reap. Peers are refused from now on. */
void sim_crash(struct sim *s, int index);
/* The machine is gone until sim_start: the disk loses what was not synced, the children are gone at once,
 * peers hear nothing. */
void sim_cut_power(struct sim *s, int index);
/* SIGTERM. It is down once the brain has finished. */
void sim_stop(struct sim *s, int index);
/* SIGSTOP and, for_us later, SIGCONT of skepd. Its connections stay open, its clock runs on. */
void sim_pause(struct sim *s, int index, int64_t for_us);
/* Kills the children of a node at once; skepd goes on, and hears EV_KEEPER_DIED when it has a new keeper. */
void sim_kill_keeper(struct sim *s, int index);
/* From now on it may refuse to start, or end by itself, without that being a violation: its disk is faulty,
 * or it is somebody's clone. */
void sim_may_refuse(struct sim *s, int index, bool may);
/* Takes a node that is down, or will be, out of the cluster for good: no check asks for it any more. */
void sim_retire(struct sim *s, int index);
bool sim_node_retired(const struct sim_node *n);
/* When it last went down; 0 = never. */
int64_t sim_node_down_us(const struct sim_node *n);

/* Clocks. CLOCK_REALTIME steps; CLOCK_BOOTTIME never does. Both count one oscillator, which may be off. */
void sim_step_clock(struct sim *s, int index, int64_t by_ms);
void sim_drift(struct sim *s, int index, int ppm);
/* How far CLOCK_REALTIME is ahead of the truth. */
int64_t sim_clock_off_ms(const struct sim *s, int index);

/* Commits of a node take that many times as long (1 = as always); the keeper kills when one exceeds
 * opts.keeper_ms. */
void sim_slow_disk(struct sim *s, int index, int times);

/* The files of a node as they are now, with who it is: an old backup, one day. Between two turns that is
 * consistent. */
struct sim_backup;
struct sim_backup *sim_backup_new(struct sim *s, int index);
void sim_backup_free(struct sim_backup *b); /* accepts NULL */
/* What a node that is down has on its disk is lost, or will be: what it said with one copy may be gone. Said
 * by who takes it away, as soon as it can no longer give it to others. */
void sim_loses(struct sim *s);
/* When that was for the last time; 0 = never. */
int64_t sim_lost_us(const struct sim *s);
/* Puts it back, on a node that is down. */
void sim_restore(struct sim *s, int index, const struct sim_backup *b);
/* An empty disk for a node that is down: it joins as a new one, under a new id and name. */
void sim_wipe(struct sim *s, int index);
/* One more node, down, that knows the urls of all others; they do not know its own. Bounded by opts.spare. */
int sim_add(struct sim *s);
/* How many may still be added. */
int sim_spare(const struct sim *s);
/* One more, down, on a copy of a node's files; with a url of its own, or with the same one: who was there
 * first is reached. It may refuse. */
int sim_clone(struct sim *s, int index, bool same_url);

/* ---- The network ---- */

#define SIM_CLIENTS (-1) /* as one end of a link */

/* One way between two nodes. */
struct sim_link {
    struct sim_range delay;
    int loss_ppm;  /* packets of a million that are sent again, 200 ms later, then 400 … */
    int break_ppm; /* … with which the connection breaks; the caller cannot know whether they arrived */
};
/* Copied; NULL = as opts says. */
void sim_link(struct sim *s, int from, int to, const struct sim_link *l);
/* From now on nothing passes from one to the other: what TCP has to send it sends again and again, and after
 * a heal that came in time it arrives. */
void sim_cut(struct sim *s, int from, int to);
/* The same, by a firewall that answers with RST: looks as if nobody listened. */
void sim_reject(struct sim *s, int from, int to);
void sim_heal(struct sim *s, int from, int to);
/* All cuts; and all links as opts says. */
void sim_heal_all(struct sim *s);

/* ---- Processes ---- */

/* What becomes of the processes that a node starts. */
struct sim_odds {
    int fail_ppm;     /* exec fails */
    int slow_ppm;     /* exec takes 200 times as long */
    int stubborn_ppm; /* ignores SIGTERM */
};
void sim_process_odds(struct sim *s, int index, const struct sim_odds *o);
/* When an exec failed by these odds for the last time, anywhere; 0 = never. */
int64_t sim_exec_failed_us(const struct sim *s);
/* One of the node's processes ends of a signal of its own. False if none runs. */
bool sim_process_crash(struct sim *s, int index);
/* One of them reads nothing and heeds no SIGTERM for a while. False if none runs. */
bool sim_process_hang(struct sim *s, int index, int64_t for_us);

/* ---- What may be expected ---- */

/* Promises that some faults suspend. */
enum sim_promise {
    SIM_ONE_PROCESS = 1, /* never two processes under a name */
    SIM_ANSWERS = 2,     /* what one client was told binds what another one is told */
};
#define SIM_PROMISES 2
/* Suspends promises (bits), until the same is restored as often. */
void sim_suspend(struct sim *s, unsigned promises);
void sim_resume(struct sim *s, unsigned promises);
/* Whether all of them held all the time since that moment. */
bool sim_promised(const struct sim *s, unsigned promises, int64_t since_us);

/* ---- What is written down ---- */

/* A line of the log, with time and node (NULL = the simulation). */
void sim_note(struct sim *s, const struct sim_node *n, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The same for what is only worth reading while looking for a bug: nothing without opts.trace, and no part of
 * the digest. */
void sim_trace(struct sim *s, const struct sim_node *n, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* A broken invariant: noted, and the run ends. */
void sim_violation(struct sim *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool sim_violated(const struct sim *s);
/* The sum of everything that has happened, also of what is not noted. */
uint64_t sim_digest(const struct sim *s);

/* What hooks call is outside of the cluster: somebody answers with a status (0: nothing comes back) after a
 * while. Without one nobody listens there. */
struct sim_called {
    const struct sim_node *node; /* who calls */
    const char *url, *event_id, *body;
    unsigned attempt;
};
struct sim_said {
    int status;
    int64_t after_ms;
    const char *answer; /* borrowed until the next call; NULL: none */
};
void sim_outside(struct sim *s, struct sim_said (*called)(void *ctx, const struct sim_called *c), void *ctx);

/* An invariant, asked after every turn of a node (each_turn) or by sim_check_all. Appends to why if broken.
 */
struct sim_check {
    const char *name;
    bool each_turn;
    bool (*holds)(struct sim *s, void *ctx, struct str *why);
    void *ctx;
};
/* Copied; the name is borrowed. */
void sim_check_add(struct sim *s, const struct sim_check *c);
/* Asks all of them, notes each; false if one is broken. */
bool sim_check_all(struct sim *s);
/* A check for after the convergence: every node is up and brain->digest gives the same everywhere. */
bool sim_digests_equal(struct sim *s, void *ctx, struct str *why);

/* ---- Clients ---- */

struct sim_reply {
    int status; /* HTTP; 0 = no answer: refused, closed or timed out */
    bool sent;  /* with 0: the request may have been carried out */
    const char *body;
    size_t body_n;
};

struct sim_ask {
    int node;
    enum req_method method;
    const char *path, *query, *body, *if_match, *key; /* copied; all but path may be NULL */
    int64_t timeout_ms;
    void (*done)(struct sim *s, void *arg, const struct sim_reply *reply); /* exactly once, or drop */
    void (*drop)(void *arg); /* the simulation ended before; may be NULL */
    void *arg;
};
/* A request by a client with the role admin. */
void sim_ask(struct sim *s, const struct sim_ask *a);

#endif
