/* judge: what to do about a key that two replicas hold differently, asked by one of them about itself.
 *
 * Nobody tells the other what to do: each side heals itself, so a lie can only offer rows, and those go
 * through the one merge rule. A difference counts only where it cannot be a row that is still on its way:
 * where each side's vector covers the other side's dot. (A dropped tombstone lies below both vectors, so the
 * vectors are all that is asked.)
 *
 * Invariants
 *  1. Of two sound sides that cover each other at most one takes, and taking ends the difference.
 *  2. A damaged copy never wins, and is never given up for less than it was: only for the same version,
 * sound, or for a newer one.
 *  3. Nothing is ever deleted because the other side has it not.
 */
#ifndef SKEP_CORE_JUDGE_H
#define SKEP_CORE_JUDGE_H

#include <stdbool.h>

#include "core/dot.h"

#define JUDGE_HASH_BYTES 16

enum side_kind { SIDE_ABSENT, SIDE_ALIVE, SIDE_DEAD };

struct side {
    enum side_kind kind;
    bool damaged; /* ALIVE: its bytes are not those that were written, or gone. ABSENT: a row without version
                   */
    bool doubt;   /* ALIVE: it lies aside, for it may have been deleted */
    struct stamp stamp;                   /* unless ABSENT */
    unsigned char hash[JUDGE_HASH_BYTES]; /* ALIVE: of its bytes as they are */
};

/* What else is known. */
struct grounds {
    bool we_cover, they_cover; /* each other's dot; true where there is none */
    bool caught_up;            /* they have all that we had when we first saw the difference */
    int64_t gc_floor;          /* the highest stamp or rank of any tombstone dropped here */
};

enum judgement {
    JUDGE_EQUAL,      /* or nothing that this side could mend */
    JUDGE_NOT_YET,    /* it may be on its way */
    JUDGE_THEY_LOSE,  /* theirs is worse: they heal it when they ask us */
    JUDGE_TAKE_LATE,  /* a hole: merge theirs */
    JUDGE_TAKE_HEAL,  /* ours is damaged: replace it by theirs */
    JUDGE_TAKE_OTHER, /* both sound, one version, other bytes: theirs is the one that both keep */
    JUDGE_TAKE_DOUBT, /* the same, but in doubt there: in doubt here, too */
    JUDGE_DOUBT,      /* theirs may be a row that was deleted: ask the others */
    JUDGE_STUCK,      /* ours is damaged, and theirs is no better */
};

enum judgement judge(const struct side *mine, const struct side *theirs, const struct grounds *g);
/* Whether that tombstone may have been dropped which deleted a row of this stamp. */
bool judge_may_be_deleted(const struct stamp *stamp, int64_t gc_floor);
/* Equal in all that is judged. */
bool side_equal(const struct side *a, const struct side *b);

#endif
