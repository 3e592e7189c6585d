/* libskep: the worker's end of skep's channel, for programs in C.
 *
 * A program that skep starts finds one end of a socket pair at the descriptor named by SKEP_FD. Both sides
 * write JSON objects, one a line. This library frames, sends and takes the lines apart; it decides nothing:
 * it starts no thread, touches no signal and calls nobody back.
 *
 *     struct skep_worker *w;
 *     struct skep_line line;
 *     if (skep_worker_open(&w) < 0)
 *         return 1;                                    // not started by skep
 *     while (skep_worker_next(w, -1, &line) > 0)
 *         if (line.type == SKEP_CALL)
 *             skep_worker_reply(w, line.ref, "\"hello\"");
 *     skep_worker_free(w);
 *
 * Rules
 * 1. One thread at a time may use a worker.
 * 2. Everything a skep_line points to is borrowed, until the next call of skep_worker_next on its worker.
 * 3. `json` arguments and fields are JSON texts, bytes as they came: a string has its quotes, a number all
 *    its digits. Other strings are plain UTF-8. Line ends inside a json argument become spaces.
 * 4. Functions return 0 or more, or a negative errno: -EINVAL (an argument is no JSON or no UTF-8),
 *    -EMSGSIZE (a line over SKEP_LINE_MAX), -EPIPE (skep has closed the channel: end), -ENOMEM, -EPROTO
 *    (skep sent what is no line), or what the socket gave. After -EPIPE or -EPROTO a worker can only be
 * freed.
 * 5. Sending waits until the socket has taken the line.
 * 6. skep stops a worker by the line SKEP_STOP together with SIGTERM. Ignore or handle SIGTERM to finish in
 *    order; SIGKILL follows at the deadline.
 */
#ifndef SKEP_H
#define SKEP_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SKEP_LINE_MAX (8 * 1024 * 1024) /* bytes of a line, its end included */

struct skep_worker;

enum skep_line_type {
    SKEP_START,            /* state, metadata, mode. Always the first line */
    SKEP_BEGIN_HANDOFF,    /* ref, deadline_ms: answer skep_worker_state or skep_worker_ignore */
    SKEP_END_HANDOFF,      /* ref, state: take it over, then skep_worker_restored */
    SKEP_RESOLVE_CONFLICT, /* state, node: the last state of the process that lost the name */
    SKEP_MODE,             /* mode: "active" or "passive" */
    SKEP_MESSAGE,          /* id, from, data */
    SKEP_CALL,             /* ref, from, data: answer skep_worker_reply or skep_worker_fail */
    SKEP_WORK,             /* id, chain, stage, key, data */
    SKEP_TURN,             /* session, turn, epoch, input, history, state, resumed */
    SKEP_APPROVED,         /* turn, decisions */
    SKEP_CANCEL,           /* turn */
    SKEP_RESPONSE,         /* ref, status, body: the answer to skep_worker_request */
    SKEP_OK,               /* ack: that line is durable; copies, for a checkpoint (else -1) */
    SKEP_ERROR,            /* ack, code: that line was refused. "fenced": write no more and end */
    SKEP_STOP,             /* reason, deadline_ms: end */
    SKEP_OTHER,            /* a type that this library does not know: see text, or ignore it */
};

/* One line from skep. What the line did not carry is NULL, 0 or false. */
struct skep_line {
    enum skep_line_type type;
    const char *text; /* json: the whole line */
    /* strings */
    const char *ack, *chain, *code, *epoch, *from, *id, *key, *mode, *node, *reason, *ref, *session, *stage,
        *turn;
    /* json */
    const char *body, *data, *decisions, *history, *input, *metadata, *state;
    long long deadline_ms; /* milliseconds from now */
    int status;            /* HTTP status */
    int copies;            /* nodes besides this one that hold the checkpoint; -1: not said */
    bool resumed;          /* this turn has run before, and was interrupted */
};

/* Opens the channel named by SKEP_FD and marks it close-on-exec. -ENOENT: skep did not start this program. */
int skep_worker_open(struct skep_worker **ret_w);
/* The same over a stream socket of yours; the worker closes it. */
int skep_worker_open_fd(int fd, struct skep_worker **ret_w);
/* Closes the channel. NULL is fine. */
void skep_worker_free(struct skep_worker *w);

/* The descriptor to poll for POLLIN. Lines may already wait inside the worker: call skep_worker_next with
 * timeout 0 until it returns 0, then poll. */
int skep_worker_fd(const struct skep_worker *w);
/* The next line. timeout_ms: -1 waits without end, 0 not at all. 1 = *ret_line is filled, 0 = time passed. */
int skep_worker_next(struct skep_worker *w, int timeout_ms, struct skep_line *ret_line);
/* Waits for the answer to the line that carried `ack`; lines that come before it are kept for
 * skep_worker_next. 0 = durable, -ECANCELED = refused (fenced or another code), -ETIMEDOUT. */
int skep_worker_wait(struct skep_worker *w, const char *ack, int timeout_ms);

/* `ack` may be NULL; otherwise skep answers SKEP_OK or SKEP_ERROR under it. */
int skep_worker_ready(struct skep_worker *w, const char *ack);
/* Durable before the next crash; comes back with SKEP_START. */
int skep_worker_checkpoint(struct skep_worker *w, const char *json, const char *ack);

int skep_worker_state(struct skep_worker *w, const char *ref, const char *json);
int skep_worker_ignore(struct skep_worker *w, const char *ref);
int skep_worker_restored(struct skep_worker *w, const char *ref);

int skep_worker_reply(struct skep_worker *w, const char *ref, const char *json);
int skep_worker_fail(struct skep_worker *w, const char *ref, const char *detail);

/* A turn's course. `calls`: a JSON array of objects with an "id". */
int skep_worker_append(struct skep_worker *w, const char *turn, const char *role, const char *json,
                       const char *ack);
int skep_worker_save(struct skep_worker *w, const char *turn, const char *json, const char *ack);
int skep_worker_park(struct skep_worker *w, const char *turn, const char *calls, const char *ack);
int skep_worker_done(struct skep_worker *w, const char *turn, const char *json, const char *ack);
int skep_worker_fail_turn(struct skep_worker *w, const char *turn, const char *detail, const char *ack);

/* The HTTP API over the same channel; json is the body or NULL. Answered by SKEP_RESPONSE. */
int skep_worker_request(struct skep_worker *w, const char *ref, const char *method, const char *path,
                        const char *json);

/* For small states: an integer member of a JSON object, and a JSON string that says `text`. */
bool skep_json_integer(const char *json, const char *member, long long *ret);
bool skep_json_says(const char *json, const char *text);

#ifdef __cplusplus
}
#endif

#endif
