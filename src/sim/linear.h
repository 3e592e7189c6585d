/* linear: is there one order of all operations on a thing, that fits what each client was told and when?
 *
 * That is linearizability (Herlihy and Wing, 1990), asked of the history of one thing at a time: by their
 * locality theorem a whole is linearizable exactly if each of its parts is. The search walks through begins
 * and ends in time and keeps every configuration that is still possible: the state of the thing, and which
 * of the operations under way have taken effect already. It is the search of Wing and Gong ("Testing and
 * Verifying Concurrent Objects", 1993) with configurations remembered, in the just-in-time order of Lowe
 * ("Testing for Linearizability", 2017, section 5): an operation takes effect only when the end of one
 * forces it. No configuration left at an end: there is no such order.
 *
 * Operations of unknown outcome stay under way for ever, and each may double the configurations. So
 *  - one that would not change the state is not tried,
 *  - of two that ask for the same thing the older one goes first,
 *  - a configuration is dropped when there is another one like it that has used up fewer of them.
 * None of the three loses an answer. What is still too large ends undecided.
 */
#ifndef SKEP_SIM_LINEAR_H
#define SKEP_SIM_LINEAR_H

#include <stdbool.h>

#include "sim/history.h"

enum linear { LINEAR_YES, LINEAR_NO, LINEAR_UNDECIDED };

/* step: whether the operation may happen in that state with the outcome that it had, and the state
 * afterwards; one of unknown or no outcome always may. Pure. tries_max: of step, then it is undecided.
 * ret_bad (may be NULL), with LINEAR_NO: the operation whose answer fits no order. */
enum linear linear_check(const struct history *h, int64_t initial,
                         bool (*step)(int64_t state, const struct hist_op *op, int64_t *ret_state),
                         size_t tries_max, size_t *ret_bad);

/* ---- A name: a register of which one holds the name, and a counter that its process is ---- */

enum claim_kind {
    CLAIM_TAKE,    /* start, register: arg, a number of its own for each */
    CLAIM_REPLACE, /* register arg over arg2 */
    CLAIM_FREE,    /* stop, remove */
    CLAIM_READ,
    CLAIM_CALL, /* adds 1 */
    CLAIM_KINDS
};
extern const char *const claim_words[CLAIM_KINDS];

enum claim_verdict {
    CLAIM_DONE = 1, /* taken, replaced, freed (got: whom), read (got: whom), called (got: the reply) */
    CLAIM_SAME,   /* of a take: it is ours, from before or since just now. Of a free: done, or somebody else,
                   * who asked for the same at the same time, had done it */
    CLAIM_HELD,   /* of a take: somebody (got; 0 = it was not said) holds it. Of a replace: not arg2 */
    CLAIM_NOBODY, /* of a free, read or call: nobody holds it */
};

/* State: 0 = nobody yet. */
#define CLAIM_ANY INT64_MIN /* who knows: the state of a history that begins in the middle */
bool claim_step(int64_t state, const struct hist_op *op, int64_t *ret_state);

#endif
