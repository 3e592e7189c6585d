/* reap: which sessions a node takes over and resumes, and how fast.
 *
 * A session is an orphan when its owner left, was forgotten, lives on under a newer actor, or has been down
 * for orphan_delay_ms. Its home claims it, if it is to be resumed eagerly and has an unfinished turn; a lazy
 * one waits for the next request. While the mass-failure brake is held, what silent nodes own is not touched.
 * A token bucket bounds the claims: ten thousand orphans must not become ten thousand spawns in a second.
 */
#ifndef SKEP_CORE_REAP_H
#define SKEP_CORE_REAP_H

#include <stdbool.h>
#include <stdint.h>

enum resume { RESUME_EAGER, RESUME_LAZY };

/* What has become of the actor that holds the claim. */
enum owner_state {
    OWNER_ALIVE,       /* also while suspect, and when the owner is this very run */
    OWNER_NEWER_ACTOR, /* the node lives, the run that claimed is gone: also our own former runs */
    OWNER_LEFT,        /* left cleanly, or forgotten */
    OWNER_DOWN_PROVEN, /* refused connections */
    OWNER_DOWN_SILENT,
};

struct reap_input {
    enum resume resume;
    bool unfinished; /* has a turn that is queued or running */
    enum owner_state owner;
    int64_t down_since_ms; /* CLOCK_BOOTTIME of this node; only with the DOWN states */
    int64_t orphan_delay_ms;
    bool am_home;  /* home(session) is this node, in an open view */
    bool draining; /* this node leaves or drains: it takes nothing */
    bool brake_held;
};

enum reap_verdict {
    REAP_NONE, /* nothing to do, now or later, unless the input changes otherwise than by time */
    REAP_WAIT, /* an orphan, not yet: ask again at *ret_at_ms */
    REAP_CLAIM,
};

/* ret_at_ms is set with REAP_WAIT only; INT64_MAX there means: when the brake is released. */
enum reap_verdict reap_judge(const struct reap_input *in, int64_t now_ms, int64_t *ret_at_ms);

/* bucket: `rate` tokens a second, at most `burst` at once. Starts full. */
struct bucket {
    int64_t rate, burst;
    int64_t milli; /* tokens * 1000 */
    int64_t at_ms;
};
#define REAP_RATE  20
#define REAP_BURST 64

void bucket_init(struct bucket *b, int64_t rate, int64_t burst, int64_t now_ms);
/* Takes one token if there is one. */
bool bucket_take(struct bucket *b, int64_t now_ms);
/* When the next token will be there: now_ms if one is. */
int64_t bucket_next_ms(const struct bucket *b, int64_t now_ms);

#endif
