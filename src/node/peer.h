/* peer: the other nodes. Pings and verdicts (peer.c), replication (pull.c), small messages (mail.c). */
#ifndef SKEP_NODE_PEER_H
#define SKEP_NODE_PEER_H

#include "base/list.h"
#include "core/detect.h"
#include "core/reap.h"
#include "core/score.h"
#include "core/vv.h"
#include "node/pull.h"
#include "node/relay.h"
#include "store/store.h"
#include "world/world.h"

struct node;

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
    bool joined;          /* its row says that it is a member, whether it can be one now or not */
    int64_t life;         /* of the cluster, as it knows it; 0 = it does not */
    char *labels;         /* JSON, of its row; may be NULL */
    int64_t max_children; /* of its row; 0: no limit */
    int change;           /* facts.h: 1 it joins, -1 it leaves, 0 neither */
    bool change_said;     /* a redistribution because of it has begun */
    int64_t lost_actor;   /* its run when it was silent for too long */
    int64_t down_since_ms, load, weight, skew_said_ms;
    int64_t clock_ms, clock_at_ms; /* its CLOCK_REALTIME as distance from our CLOCK_BOOTTIME, and when that
                                      was measured, boot; 0 = never */
    int64_t clock_doubt_ms;        /* by how much that may be wrong, either way */
    struct score_history scores;   /* board.c */
    int score;
    int64_t up_at_ms;    /* boot: when it came, or came back; 0 = never */
    int64_t score_at_ms; /* boot; 0 = it never said one */
    struct vv vv;        /* what it has on disk, as its last pull request said */
    bool gc_seen;        /* vv of this run counts in gc_look */
    uint64_t ping_call;  /* the direct one */
    int64_t ping_sent_ms, ping_ask, ping_next_ms;
    struct way way;
    struct pull pull;
    struct {
        uint64_t call;
        struct str out;   /* messages to send */
        struct str again; /* those on their way that are sent again if they may be lost */
        int tries;
        bool poke, carries; /* carries: the mail that is on its way has messages */
        int64_t next_ms;
        int failures; /* since the last that was taken */
        double
            on_budget; /* mails after a failure that went out soon, less a tenth of those that were taken */
    } mail;
    struct {
        int64_t actor, since_ms, said_ms;
        int count;
        char *url;
    } echo; /* of a run of it that is older than this one */
    TAILQ_ENTRY(peer) link;
};
TAILQ_HEAD(peers, peer);

#define PEER_WEIGHT   100 /* of a node that does not say its own; 0: it is no home, for its clock is off */
#define PEER_NAME_MAX 1024
#define PEER_URL_MAX  2048

struct peer *peer_find(struct node *n, const struct id *id);
struct peer *peer_by_url(struct node *n, const char *url);
/* One that was not known; and one that is no more. */
struct peer *peer_new(struct node *n, const struct id *id, const char *url);
void peer_drop(struct node *n, struct peer *p);
/* Text of a peer that is logged and shown. */
bool peer_is_line(const char *text, size_t bytes_max);
void peer_set_text(char **text, const char *s);
/* Alive, in the view, not leaving, with a moving brain. */
bool peer_placeable(struct node *n, const struct peer *p);
/* Is the run `actor` of node `id` (text) alive as far as we know? Our own included. */
enum owner_state owner_state(struct node *n, const char *node_id, int64_t actor, int64_t *ret_down_since_ms);
void peers_init(struct node *n);
void peers_fini(struct node *n);
int peers_load(struct node *n); /* node rows into memory; inside or outside a handler */
bool node_is_forgotten(const struct node *n, const struct id *id);
struct detect_opts node_detect_opts(const struct node *n);

#define PING_PATH "/v1/peer/ping"

/* What a ping or its answer says. */
struct ping {
    struct id cluster, id;
    char *name, *url, *version;
    int64_t actor, born, signature, brain_age_ms, real_ms, load, weight, life;
    int64_t score; /* of its machine, and 1; 0: it does not say */
    bool member, draining, left;
    struct {
        int64_t actor, born; /* 0: none */
        char *url;
    } later; /* of an answer: the run of the one who asked that the answering one knows, if it is a later one
              */
};
void ping_fini(struct ping *p);
bool ping_decode(const char *body, size_t n, bool answer, struct ping *ret);
void ping_write(struct node *n, struct str *ret);
/* The answer to a ping of ours. False: it is none of this cluster. */
bool ping_answer(struct node *n, const struct event *ev, struct ping *ret);

/* Something that happened to a peer, waiting to be logged. */
struct peer_fact {
    const char *type;
    struct id id, via; /* via: through whom, or zero */
};
void peer_log(struct node *n, const char *type, const struct peer *p, const struct id *via);
void peers_tick(struct node *n); /* pings, pulls, liveness; no store */
bool peers_have_work(const struct node *n);
int peers_work(struct node *n);  /* what needs the store: verdicts' events; inside a handler */
void peers_view(struct node *n); /* view_update, and what follows */
int peer_pinged(struct node *n, const struct event *ev);                    /* memory only */
void peer_answered(struct node *n, const struct event *ev, bool *ret_mine); /* pings; memory only */
/* A ping to that peer, not sent yet. */
struct peer_call *ping_new(struct node *n, const struct peer *p);
/* When the next one is due: at next_ms, or earlier while the view is closed and waits for an answer. */
int64_t ping_due_ms(const struct node *n, const struct peer *p, int64_t sent_ms, int64_t ask,
                    int64_t next_ms);
/* The answer to a ping that was sent then, with that ask. False: it is none. */
bool peer_pong(struct node *n, struct peer *p, const struct event *ev, int64_t sent_ms, int64_t ask);
void peer_closed(struct node *n, const struct id *id, int64_t at_ms);
int node_row_merged(struct node *n, const char *node_id); /* rows of node or node_mark changed */
/* `row` of our own node as it is now. */
int node_row_write(struct node *n, struct err *e);

enum mail_kind { MAIL_FORWARD = 1, MAIL_OUTCOME = 2, MAIL_ASK = 3, MAIL_TOLD = 4 };
/* Room for one message to a peer: append its bytes (after the kind) to the returned string. Effects only. */
void mail_send(struct node *n, struct peer *p, struct str *message TAKES);
void mail_forget(struct peer *p); /* what still waits for it is lost */
void mail_tick(struct node *n);
/* Whether something is on its way, or waits for it, to somebody who may take it. */
bool mail_waits(const struct node *n);
/* ret_only_poke NULL: inside a handler, all of it. Otherwise memory only: done if it was nothing but a poke.
 */
int mail_arrived(struct node *n, const struct request *r, bool *ret_only_poke);
bool mail_answered(struct node *n, const struct event *ev);

void node_settings_merged(struct node *n); /* rows of tokens or swarms changed */

#endif
