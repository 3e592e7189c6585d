/* history: what clients asked of one thing (a name, a counter), when, and what they were told.
 *
 * An operation begins when a client sends it and ends when the client has its answer. How it ended is one of
 *
 *   ok       the answer says what happened (also "no, somebody has it")
 *   failed   it certainly changed nothing, and learnt nothing: refused, never sent, a read without an answer
 *   unknown  there is no answer, or one that says that nobody knows: it may happen until the end of the run,
 *            once, or never
 *
 * Times are those of the simulation, in microseconds. Two operations are concurrent unless one ended before
 * the other began; the same microsecond is concurrent.
 */
#ifndef SKEP_SIM_HISTORY_H
#define SKEP_SIM_HISTORY_H

#include <stdint.h>

#include "base/str.h"

enum hist_end { HIST_OPEN, HIST_OK, HIST_FAILED, HIST_UNKNOWN };

struct hist_op {
    int64_t begun_us, ended_us; /* ended_us: INT64_MAX while open or unknown */
    enum hist_end end;
    int kind;          /* the model's */
    int64_t arg, arg2; /* what was asked */
    int verdict;       /* the model's: what kind of answer */
    int64_t got;       /* what the answer says */
    int client;        /* to be shown: the node that was asked */
};

/* Zero bytes are an empty history. */
struct history {
    struct hist_op *ops; /* owned, in order of their begin */
    size_t n, cap;
    int64_t open; /* operations that have not ended */
};

void history_fini(struct history *h);
/* Forgets all operations that have ended. Only when none is open. */
void history_clear(struct history *h);
/* The operation's number. Its end is HIST_OPEN. */
size_t history_begin(struct history *h, int64_t now_us, int client, int kind, int64_t arg, int64_t arg2);
/* verdict and got only count with HIST_OK. */
void history_end(struct history *h, size_t op, int64_t now_us, enum hist_end end, int verdict, int64_t got);
/* One line an operation. words: of the kinds. */
void history_print(const struct history *h, const char *const *words, struct str *ret_text);

#endif
