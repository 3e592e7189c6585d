/* The turn machine. It decides what an event does to a turn; entries, state and claims are the store's. */
#include "core/turn.h"

#include <string.h>

#include "base/ensure.h"

/* An empty cell refuses: its action is TURN_REFUSE, which is 0, and its status is not looked at. */
static const struct turn_next table[TURN_STATUSES][TURN_EVENTS] = {
    [TURN_QUEUED] =
        {
            [TURN_EV_BEGUN] = {TURN_RUNNING, TURN_SEND},
            [TURN_EV_CANCELLED] = {TURN_CANCELLED, TURN_SETTLE},
            [TURN_EV_FAILED] = {TURN_FAILED, TURN_SETTLE}, /* its worker cannot be started */
            [TURN_EV_LOST] = {TURN_QUEUED, TURN_STORE},
        },
    [TURN_RUNNING] =
        {
            [TURN_EV_APPENDED] = {TURN_RUNNING, TURN_STORE},
            [TURN_EV_SAVED] = {TURN_RUNNING, TURN_STORE},
            [TURN_EV_PARKED] = {TURN_AWAITING_APPROVAL, TURN_ASK},
            [TURN_EV_DONE] = {TURN_DONE, TURN_SETTLE},
            [TURN_EV_FAILED] = {TURN_FAILED, TURN_SETTLE},
            [TURN_EV_CANCELLED] = {TURN_CANCELLED, TURN_CANCEL},
            [TURN_EV_LOST] = {TURN_QUEUED, TURN_RESUME},
            [TURN_EV_OVERDUE] = {TURN_FAILED, TURN_CANCEL},
        },
    /* A parked turn needs no worker: losing it changes nothing, its decisions start it again. */
    [TURN_AWAITING_APPROVAL] =
        {
            [TURN_EV_APPROVED] = {TURN_RUNNING, TURN_APPROVE},
            [TURN_EV_FAILED] = {TURN_FAILED, TURN_SETTLE},
            [TURN_EV_CANCELLED] = {TURN_CANCELLED, TURN_CANCEL},
            [TURN_EV_LOST] = {TURN_AWAITING_APPROVAL, TURN_STORE},
            [TURN_EV_OVERDUE] = {TURN_FAILED, TURN_CANCEL},
        },
};

static const char *const status_words[TURN_STATUSES] = {"queued", "running", "awaiting_approval",
                                                        "done",   "failed",  "cancelled"};
static const char *const event_words[TURN_EVENTS] = {"begun", "appended", "saved",     "parked", "approved",
                                                     "done",  "failed",   "cancelled", "lost",   "overdue"};

struct turn_next turn_step(enum turn_status status, enum turn_event event)
{
    ensure((size_t)status < TURN_STATUSES && (size_t)event < TURN_EVENTS, "status %d event %d", status,
           event);
    struct turn_next next = table[status][event];
    if (next.action == TURN_REFUSE)
        next.status = status;
    return next;
}

bool turn_is_final(enum turn_status status)
{
    return status == TURN_DONE || status == TURN_FAILED || status == TURN_CANCELLED;
}

const char *turn_status_word(enum turn_status status)
{
    return status_words[status];
}

bool turn_status_parse(const char *word, enum turn_status *ret)
{
    for (size_t i = 0; i < TURN_STATUSES; i++) {
        if (strcmp(word, status_words[i]) == 0) {
            *ret = (enum turn_status)i;
            return true;
        }
    }
    return false;
}

const char *turn_event_word(enum turn_event event)
{
    return event_words[event];
}

void turn_graph(struct str *out)
{
    str_puts(out, "digraph turn {\n");
    for (size_t s = 0; s < TURN_STATUSES; s++)
        str_printf(out, "  %s [shape=%s];\n", status_words[s],
                   turn_is_final((enum turn_status)s) ? "doublecircle" : "circle");
    for (size_t s = 0; s < TURN_STATUSES; s++) {
        for (size_t e = 0; e < TURN_EVENTS; e++) {
            struct turn_next next = turn_step((enum turn_status)s, (enum turn_event)e);
            if (next.status != (enum turn_status)s)
                str_printf(out, "  %s -> %s [label=\"%s\"];\n", status_words[s], status_words[next.status],
                           event_words[e]);
        }
    }
    str_puts(out, "}\n");
}
