/* session: conversations that outlive their node, for session.c, turn.c and the routes of api/.
 *
 * A session is owned like a process: its claim is a name row (swarm '', kind session). Whoever holds the
 * claim, and nobody else, writes the session's rows, under the claim's epoch.
 */
#ifndef SKEP_NODE_SESSION_H
#define SKEP_NODE_SESSION_H

#include "node/child.h"

struct session {
    struct name_row claim;
    struct session_row row;
    bool fresh; /* claimed in this very handler: what is answered needs a second copy */
};

#define SESSION_ID_MAX 1024

void session_fini(struct session *s);
/* 1; 0: no such session here. */
int session_load(struct node *n, const char *id, struct session *ret);
/* The same while the view is open. 0: the op waits until it is, or is answered. */
int session_load_open(struct node *n, struct op *op, const char *id, struct session *ret);
/* This run holds the claim, and no row of a newer claim is here. */
bool session_is_mine(const struct node *n, const struct session *s);

/* Brings a write to where it may happen. 1: here; go on with *ret (yours), in this handler. 0: the op was
 * answered, sent on, or waits. If nobody alive owns the session, the node that was asked claims it first.
 * epoch 0: any. */
int session_here(struct node *n, struct op *op, const char *id, int64_t epoch, struct session *ret);

/* A new session, owned by the node that was asked. want: all but session, epoch and times. 1: *ret; 0 as
 * above. */
int session_create(struct node *n, struct op *op, const char *id, const struct session_row *want,
                   struct session *ret);
/* POST …/claim: the node that was asked becomes the owner under a new epoch. As above. */
int session_claim(struct node *n, struct op *op, const char *id, struct session *ret);
/* Whether the session may be ended here: at its owner, or at its home if nobody owns it. As above. */
int session_end_here(struct node *n, struct op *op, const char *id, struct session *ret);
/* Ends it, with all that depends on it. */
int session_end(struct node *n, const struct session *s, const char *type, const char *who);

/* What tells the life of a session, from its making to its end, from others under the same id; 0: it is not
 * known here. */
int64_t session_life(struct node *n, const char *id);
/* Whether what has that stamp is about a former life of the session that the path of a request names: 1, 0, <
 * 0. What follows the making of a session has a later stamp, whoever wrote it. */
int session_had_before(struct node *n, const char *path, int64_t hlc);
/* The id of what this op makes, the same wherever and however often it runs: from its Idempotency-Key, or
 * from the op; another one in another life. kind keeps different things apart. */
void session_op_id(const struct op *op, const char *session, int64_t life, const char *kind,
                   char ret[ID_TEXT]);
/* Appends an entry behind its parent, or behind the head, and moves the head there. In: entry (its id), role,
 * content, parent or NULL, turn or NULL. Out: all of it; if it is there already, as it is there. 1, or
 * SESSION_SAID_AGAIN: nothing was written; 0: refused, see e. */
#define SESSION_SAID_AGAIN 2
int session_append(struct node *n, struct session *s, struct entry_row *entry, struct err *e);
int session_put_state(struct node *n, struct session *s, struct span state);
/* The enum resume that holds for it: its own, or that of its template as it is now. < 0: the store failed. */
int session_resume(struct store *s, const struct session_row *row, struct err *e);
/* Writes s->row with now as its last use. */
int session_save(struct node *n, struct session *s);
/* For how many other nodes an answer about a write waits. May raise op->acks. */
int session_need(struct node *n, struct op *op, const struct session *s);
/* Looks at the session again after this batch. */
void session_later(struct node *n, const char *id);

/* ---- between session.c and session_life.c ---- */

bool session_holds_claim(const struct node *n, const struct session *s);
bool session_owner_lives(struct node *n, const struct session *s);
/* Writes a claim for `to`, and what follows from it here. */
int session_take(struct node *n, struct name_row *claim, const struct id *to, const char *why,
                 const char *who);
/* The node that the client spoke to. */
struct id session_asked_node(const struct node *n, const struct op *op);
bool session_can_own(struct node *n, const struct id *id);
/* Not for this node: who forwarded it decides anew, a client's request is sent on. Whatever is asked of
 * sessions may run twice: what it makes has one id, and what it ends stays ended. */
void session_send_on(struct node *n, struct op *op, const char *to_text, const struct id *to_id);
/* Only its home knows for certain that there is no such session. Returns 0. */
int session_unknown(struct node *n, struct op *op, const char *id);
void session_op_name(const struct op *op, char ret[ID_TEXT]);

/* ---- turns and the worker (turn.c, turn_worker.c) ---- */

/* Queues a turn, if it is not there already. input {NULL, 0}: none. */
int turn_accept(struct node *n, struct session *s, const char *turn, struct span input, const char *who);
/* 1; 0: it has ended already, or there is none. */
int turn_cancel(struct node *n, struct session *s, const char *turn, const char *who);
/* What is to be done for the session that is ours: spawn its worker, give it its next turn, or let it idle.
 */
int turn_kick(struct node *n, struct session *s);
/* The session's claim is new: unfinished turns come under it, interrupted ones go back into the queue. */
int turns_possess(struct node *n, struct session *s);
bool turns_unfinished(struct node *n, const char *session);
/* Stops its worker, if one runs. */
/* True: a worker runs here, and was asked to end; no other is spawned for a while. Its end wakes who waits
 * for the session. */
bool turn_worker_leaves(struct node *n, const char *session);
void turn_worker_end(struct node *n, const char *session, enum exit_kind asked, enum chan_stop why);

#endif
