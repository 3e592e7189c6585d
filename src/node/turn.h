/* turn: what turn.c and turn_worker.c share. */
#ifndef SKEP_NODE_TURN_H
#define SKEP_NODE_TURN_H

#include "core/turn.h"
#include "node/session.h"

enum turn_status turn_status_of(const struct turn_row *t);
/* Writes it with this status, under the session's claim. */
int turn_save(struct node *n, const struct session *s, struct turn_row *t, enum turn_status status);
/* 1 found: row_fini is yours. */
int turn_row_load(struct node *n, const char *session, const char *turn, struct turn_row *ret);
/* The turn that runs, or is to run next. 1 found; row_fini is yours in any case. */
int turn_next_row(struct node *n, const char *session, struct turn_row *ret);
/* What an event about a turn says of it: JSON, appended. */
void turn_data(const struct turn_row *t, struct str *ret);
int turn_log(struct node *n, const struct turn_row *t, const char *type, const char *who);
/* Puts the input into the conversation, once. */
int turn_input_append(struct node *n, struct session *s, const struct turn_row *t);
/* The turn its worker is busy with; NULL: it is free. Nothing is due then. */
void turn_work_on(struct node *n, struct child *c, const char *turn);
/* session_due is asked in so many ms. */
void turn_due_in(struct node *n, struct child *c, int64_t ms);
/* The end of a turn: its row, the session's status, word to who waits; the next one follows behind this
 * batch. */
int turn_settle_failed(struct node *n, struct session *s, struct turn_row *t, char *detail TAKES);

#endif
