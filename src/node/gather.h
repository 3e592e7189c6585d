/* gather: one message, or one question, to many processes at once, and one answer to who asked.
 *
 * The node that was asked (entry) looks up who owns each name and sends every owner one mail with the names
 * there; an owner hands the line to those that run, and tells what became of each: at once, or when a reply
 * comes. Nothing is sent twice, nothing is kept on disk; what is not told until the deadline is missing.
 *
 *   ask  := MAIL_ASK, id of the ask, op id, call u8, ms left i64, from text, swarm text, group text,
 *           data bytes, count varint, (index varint, name text, incarnation i64)*
 *   told := MAIL_TOLD, op id, (index varint, what u8, data bytes)*
 */
#ifndef SKEP_NODE_GATHER_H
#define SKEP_NODE_GATHER_H

#include "node/group.h"
#include "node/op.h"

struct reader;

enum told {
    TOLD_NOTHING, /* not asked yet, or no answer yet */
    TOLD_REACHED,
    TOLD_REPLY,
    TOLD_MISSING,
    TOLD_LOST, /* the mail with the question may not have arrived; a late answer still counts */
};

struct gather_one {
    char *name;
    int64_t incarnation;
    struct id node; /* zero: nobody could be asked */
    bool asked;
    enum told told;
    uint64_t mail; /* peer call that carries the question; 0 = not posted yet */
    char *data;    /* of the reply: JSON */
};

struct gather {
    bool call, random; /* random: one of them, the next one if that does not run */
    char *from, *swarm, *group, *data;
    size_t data_n;
    int64_t until_ms;
    size_t n, open; /* open: asked, and nothing told yet */
    struct gather_one *list;
};

/* Takes the members of m over. Addresses can be asked nothing. local: those of this node only, which leaves
 * the others out. */
struct gather *gather_new(struct node *n, struct group_members *m, bool call, bool local);
void gather_free(struct gather *g);
/* Asks everybody (or the first one) and hangs it on the op, whose handler runs again when all have told, and
 * at until_ms. Inside the handler. */
int gather_begin(struct node *n, struct op *op, struct gather *g TAKES);
/* What is to be done now: 1 = all is told, or it is late; 0 = wait. A random one that does not run is
 * followed by the next. */
int gather_step(struct node *n, struct op *op);

/* A mail to that peer is posted, or was not taken (call 0: the peer is gone). */
void gather_posted(struct op *op, const struct id *peer, uint64_t call);
void gather_lost(struct node *n, struct op *op, const struct id *peer, uint64_t call);
/* The end of one question here (op.c): its answer goes back to who asked. */
void gather_answered(struct node *n, const struct op *part, const struct answer *a);
int gather_asked(struct node *n, const struct id *from, struct reader *m);
void gather_told(struct node *n, const struct id *from, struct reader *m);

#define HANDED_KEPT 16384 /* so many are remembered, about */

/* A line for a process was handed over under this id: a copy of the mail that comes later is known. */
void line_handed(struct node *n, const struct id *id, uint64_t attempt);
bool line_handed_before(const struct node *n, const struct id *id, uint64_t attempt);

#endif
