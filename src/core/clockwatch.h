/* clockwatch: whether this node's wall clock may be believed, and what time it is meanwhile.
 *
 * CLOCK_REALTIME may jump, CLOCK_BOOTTIME does not: so the wall clock is kept as its distance from the other.
 * What is believed is the line, a distance too: real time is boot time + line, and inside a turn nothing but
 * boot time moves it. A distance that changes by more than CLOCK_STEP_MS from one reading to the next, a
 * clock that no peer has confirmed yet and that is more than CLOCK_APART_MS off the peers' median, or a start
 * before the newest row of the node's own file, freeze it: no stamp may be taken then, and the line goes on
 * as before the jump, or with the peers' median. It thaws when the peers' median agrees with the clock, when
 * the clock is back where it was, or after CLOCK_ALONE_MS with nobody to ask.
 *
 * Invariants
 *  1. While it is frozen, the reading of the wall clock moves nothing.
 *  2. A clock that went on unconfirmed is judged anew by the first peers that answer.
 *  3. Of two clocks nobody can tell which one is wrong: a confirmed one is doubted only if two peers or more
 *     say so.
 * All times are ms; readings are handed in.
 */
#ifndef SKEP_CORE_CLOCKWATCH_H
#define SKEP_CORE_CLOCKWATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLOCK_STEP_MS  2000
#define CLOCK_APART_MS 5000
#define CLOCK_ALONE_MS 30000

enum clock_doubt {
    CLOCK_SURE,
    CLOCK_STEPPED,     /* it jumped */
    CLOCK_OFF_PEERS,   /* it is off the peers' median */
    CLOCK_BEHIND_ROWS, /* the node's own file has rows from later */
};

/* What a reading or an answer has changed. */
enum clock_news {
    CLOCK_NOTHING,
    CLOCK_FROZE,
    CLOCK_CONFIRMED, /* thawed: the peers agree with it */
    CLOCK_RETURNED,  /* thawed: what was doubted is over */
    CLOCK_WENT_ON,   /* thawed: nobody could be asked */
};

struct clockwatch {
    int64_t line_ms, raw_ms; /* distances from CLOCK_BOOTTIME: what is believed, what was read last */
    enum clock_doubt doubt;
    bool confirmed;    /* peers agreed with it since it began, or last went on unasked */
    int64_t off_ms;    /* how far it is off what is believed, as the doubt says */
    int64_t alone_ms;  /* boot: since when nobody could be asked */
    int64_t newest_ms; /* CLOCK_BEHIND_ROWS: real time of the newest row */
    int64_t before_ms; /* the line when it froze */
    int64_t jump_ms;   /* after a thaw: by how much what is believed has moved since it froze */
};

/* The first reading. */
void clockwatch_init(struct clockwatch *w, int64_t boot_ms, int64_t real_ms);
/* The newest row of the file that was opened is from newest_ms. */
enum clock_news clockwatch_rows(struct clockwatch *w, int64_t boot_ms, int64_t newest_ms);
/* A reading, at the beginning of a turn. */
enum clock_news clockwatch_read(struct clockwatch *w, int64_t boot_ms, int64_t real_ms);
/* The wall clocks of the peers that answered lately, as distances from our CLOCK_BOOTTIME; sorts them. Once a
 * turn, also with none. */
enum clock_news clockwatch_peers(struct clockwatch *w, int64_t boot_ms, int64_t *lines_ms, size_t n);

bool clockwatch_frozen(const struct clockwatch *w);
/* What time it is, as far as is believed. */
int64_t clockwatch_real_ms(const struct clockwatch *w, int64_t boot_ms);

#endif
