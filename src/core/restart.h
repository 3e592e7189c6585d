/* restart: supervision as data. What follows the end of a supervised process, how often it may be started
 * again, and after which pause.
 *
 * The answer to "it ended" is a table [restart][exit]; the limit is a ring of moments: more than max_restarts
 * within window_ms means given up. Each child has its own: siblings never notice. The pause is exponential
 * with jitter in its upper half, so that a thousand children of a dead node do not start in step.
 *
 * After Armstrong, "Making reliable distributed systems in the presence of software errors", 2003, chapter 5
 * (kinds and intensity); Brooker, "Exponential Backoff And Jitter", 2015 (equal jitter).
 */
#ifndef SKEP_CORE_RESTART_H
#define SKEP_CORE_RESTART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

enum restart { RESTART_PERMANENT, RESTART_TRANSIENT, RESTART_TEMPORARY };
#define RESTART_KINDS 3

/* How a run ended, by what skep had asked of it first, by what it did second. */
enum exit_kind {
    EXIT_CLEAN,       /* by itself, status 0 */
    EXIT_FAILED,      /* by itself, another status or a signal */
    EXIT_UNSTARTED,   /* the first start of a name: exec failed, or it ended or dawdled before `ready` */
    EXIT_UNREADY,     /* the same at a later start of a published name */
    EXIT_LOST,        /* its keeper died and took it along: not its fault */
    EXIT_ASKED_STOP,  /* DELETE */
    EXIT_ASKED_AGAIN, /* restart was asked for */
    EXIT_ASKED_MOVE,  /* its hand-off to another node */
    EXIT_SHUTDOWN,    /* the whole cluster stops cleanly: what was wanted stays wanted */
    EXIT_FENCED,      /* a better claim was merged, or the lease lapsed */
};
#define EXIT_KINDS 10

enum restart_next {
    NEXT_AGAIN,     /* start it again after the back-off, if restart_allowed; else it is failed */
    NEXT_AGAIN_NOW, /* start it again at once; counts for nothing */
    NEXT_GONE,      /* the claim ends: name and groups are free */
    NEXT_REFUSED,   /* start_failed: the name is free, the reason is the answer */
    NEXT_MOVED,     /* claim it for the target */
    NEXT_KEPT,      /* the claim stays as it is, nothing runs here */
    NEXT_YIELDED,   /* another claim holds: nothing to write */
};

enum restart_next restart_after(enum restart r, enum exit_kind e);
const char *restart_word(enum restart r); /* permanent, transient, temporary */
bool restart_parse(const char *word, enum restart *ret);
const char *exit_kind_word(enum exit_kind e);
/* The table as lines "restart exit next", for people. */
void restart_table(struct str *out);

/* intensity: the moments of the last restarts, of one child. Zero bytes are none. */
struct intensity {
    int64_t *at_ms; /* owned ring of max_restarts moments */
    size_t n, next, cap;
};

void intensity_fini(struct intensity *i);
/* Whether one more restart stays within max_restarts in window_ms. With max_restarts 0 never. Another
 * max_restarts than the last time begins a new history. now_ms: CLOCK_BOOTTIME. */
bool restart_may(const struct intensity *i, size_t max_restarts, int64_t window_ms, int64_t now_ms);
/* There was one. */
void restart_counted(struct intensity *i, size_t max_restarts, int64_t now_ms);
/* Both: if it may, it is counted. */
bool restart_allowed(struct intensity *i, size_t max_restarts, int64_t window_ms, int64_t now_ms);

/* The number of the attempt that follows one that ran for ran_ms: a run through a whole window starts anew.
 */
unsigned restart_attempt(unsigned attempt, int64_t ran_ms, int64_t window_ms);
/* The pause before attempt 0, 1, 2 …: uniform in [d/2, d], d = min(max_ms, min_ms * 2^attempt). */
int64_t restart_delay_ms(unsigned attempt, int64_t min_ms, int64_t max_ms, uint64_t random);

#endif
