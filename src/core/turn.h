/* turn: the course of one turn of a session, as a table [status][event] -> {next, action}.
 *
 * done, failed and cancelled are final: no event leaves them. An event that does not fit is answered with
 * TURN_REFUSE and changes nothing; so a worker's late or doubled line is harmless.
 * turn_graph prints the table for Graphviz.
 */
#ifndef SKEP_CORE_TURN_H
#define SKEP_CORE_TURN_H

#include <stdbool.h>

#include "base/str.h"

enum turn_status {
    TURN_QUEUED,
    TURN_RUNNING,
    TURN_AWAITING_APPROVAL,
    TURN_DONE,
    TURN_FAILED,
    TURN_CANCELLED,
};
#define TURN_STATUSES 6

enum turn_event {
    TURN_EV_BEGUN,     /* a worker is ready and the turn is its session's next */
    TURN_EV_APPENDED,  /* the worker appended an entry */
    TURN_EV_SAVED,     /* the worker saved its state */
    TURN_EV_PARKED,    /* the worker asks for approvals */
    TURN_EV_APPROVED,  /* all asked decisions are in */
    TURN_EV_DONE,      /* the worker: done */
    TURN_EV_FAILED,    /* the worker: fail */
    TURN_EV_CANCELLED, /* DELETE */
    TURN_EV_LOST,      /* worker or owner gone: to be resumed */
    TURN_EV_OVERDUE,   /* turn_ms or approval_ms passed */
};
#define TURN_EVENTS 10

enum turn_action {
    TURN_REFUSE,  /* does not fit: error to whoever sent it, nothing changes */
    TURN_STORE,   /* write the event's row, no one waits for it */
    TURN_SEND,    /* send the turn to the worker */
    TURN_APPROVE, /* send the decisions to the worker */
    TURN_ASK,     /* approvals are open: tell who waits */
    TURN_RESUME,  /* back in the queue, marked resumed */
    TURN_CANCEL,  /* send cancel to the worker, answer who waits */
    TURN_SETTLE,  /* answer who waits, begin the session's next turn */
};

struct turn_next {
    enum turn_status status;
    enum turn_action action;
};

struct turn_next turn_step(enum turn_status status, enum turn_event event);
bool turn_is_final(enum turn_status status);
/* queued, running, awaiting_approval, done, failed, cancelled. */
const char *turn_status_word(enum turn_status status);
bool turn_status_parse(const char *word, enum turn_status *ret);
const char *turn_event_word(enum turn_event event);
/* A directed graph in the language of Graphviz, one edge for each change of status. */
void turn_graph(struct str *out);

#endif
