/* chan: the lines of a worker's channel, both directions. One JSON object a line, at most CHAN_LINE_MAX
 * bytes.
 *
 * Decides which fields a type of line needs and may carry; knows nothing of what they lead to. Lines from a
 * worker are hostile: an unknown type or field, or one too few, is SKEP_EARG naming it; bad JSON is
 * SKEP_EJSON. Lines to a worker are written without the newline, and no raw value can smuggle one in.
 */
#ifndef SKEP_WIRE_CHAN_H
#define SKEP_WIRE_CHAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

#define CHAN_LINE_MAX ((size_t)8 << 20)

enum chan_type {
    CHAN_READY,      /* [ack] */
    CHAN_STATE,      /* ref data: the answer to begin_handoff */
    CHAN_IGNORE,     /* ref */
    CHAN_RESTORED,   /* ref */
    CHAN_CHECKPOINT, /* data [ack] */
    CHAN_REPLY,      /* ref data */
    CHAN_FAIL_CALL,  /* ref [detail] */
    CHAN_NEXT,       /* id data */
    CHAN_DROP,       /* id [detail] */
    CHAN_FAIL_WORK,  /* id [detail] */
    CHAN_APPEND,     /* turn role content [ack] */
    CHAN_SAVE,       /* turn state [ack] */
    CHAN_PARK,       /* turn calls [ack] */
    CHAN_DONE,       /* turn [result ack] */
    CHAN_FAIL_TURN,  /* turn [detail ack] */
    CHAN_REQUEST,    /* ref method path [body] */
};

/* The word on the wire ("fail" for all three). */
const char *chan_type_word(enum chan_type type);

struct chan_line {
    enum chan_type type;
    char *ref, *ack, *turn, *id, *role, *method, *path, *detail; /* owned; NULL = absent */
    struct span data, state, content, calls, result, body; /* borrowed from the line; {NULL, 0} = absent */
};

/* One line without its newline. ret is filled only on success; chan_line_fini frees it. If the line is an
 * object with a text in `ack`, ret_ack (may be NULL) gets it also on failure, so that the refusal can name
 * it: yours, or NULL. */
int chan_decode(const char *p, size_t n, struct chan_line *ret_line, char **ret_ack, struct err *e);
void chan_line_fini(struct chan_line *line);

/* To the worker. Raw spans are checked JSON; {NULL, 0} is left out where "absent" is said, else null. */
void chan_start(struct str *s, struct span state /* or absent */, struct span metadata, bool active);
void chan_begin_handoff(struct str *s, const char *ref, int64_t deadline_ms);
void chan_end_handoff(struct str *s, const char *ref, struct span state);
void chan_resolve_conflict(struct str *s, struct span state, const char *node);
void chan_mode(struct str *s, bool active);
void chan_message(struct str *s, const char *id, const char *from, struct span data);
void chan_call(struct str *s, const char *ref, const char *from, struct span data);

struct chan_work {
    const char *id, *chain, *stage, *key;
    struct span data;
};
void chan_work(struct str *s, const struct chan_work *w);

struct chan_turn {
    const char *session, *turn;
    int64_t epoch;
    struct span input, history /* an array */, state;
    bool resumed;
};
void chan_turn(struct str *s, const struct chan_turn *t);
void chan_approved(struct str *s, const char *turn, struct span decisions);
void chan_cancel(struct str *s, const char *turn);
/* body: what the HTTP API answered; JSON as it is, anything else as a string, nothing as null. */
void chan_response(struct str *s, const char *ref, int status, const char *body, size_t n);
/* copies < 0: not said. */
void chan_ok(struct str *s, const char *ack, int copies);
/* The refusal of a line; ack NULL = the line carried none. */
void chan_error(struct str *s, const char *ack, const struct err *error);

enum chan_stop { CHAN_SHUTDOWN, CHAN_MOVED, CHAN_NAME_CONFLICT, CHAN_FENCED, CHAN_REMOVED, CHAN_RESTART };
void chan_stop(struct str *s, enum chan_stop reason, int64_t deadline_ms);

#endif
