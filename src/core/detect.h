/* detect: is a peer alive, seen from here. One struct detector for each peer, judged by stamps of arrival.
 *
 * Silence makes a peer suspect after suspect_ms and down after down_ms. A refused connection is proof that
 * its skepd is gone, where refusal_is_proof says so (divergence mode), once its keeper has had refused_min_ms
 * to kill in. A verdict of silence wants a second opinion where one can be had: somebody else, asked, must
 * have found the peer silent too, or it waits for twice as long. An own stall is added to the limits: who is
 * late himself distrusts his verdicts (Lifeguard).
 *
 * Invariants
 *  1. Opinions only, in memory only: nothing here is ever stored or sent.
 *  2. Every time is in ms of this node's CLOCK_BOOTTIME and is handed in. Order of calls does not matter more
 *     than their stamps do: a sign of life that arrived before a refusal does not undo it.
 *  3. No verdict without elapsed time: a fresh detector is not DOWN before down_ms, or refused_min_ms.
 *
 * After Das, Gupta and Motivala, "SWIM", 2002, section 3; Bykov et al., "Orleans",
 * 2014, section 3.9 (two votes of silence); Dadgar, Phillips and Currey, "Lifeguard", 2017.
 */
#ifndef SKEP_CORE_DETECT_H
#define SKEP_CORE_DETECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RTT_SAMPLES 60

/* Round-trip times in ms, the last 60. Zero bytes are an empty history. */
struct rtt_history {
    int32_t ms[RTT_SAMPLES];
    int count, next;
};

void rtt_add(struct rtt_history *h, int64_t rtt_ms);
/* -1 while there is none. */
int64_t rtt_last_ms(const struct rtt_history *h);
double rtt_avg_ms(const struct rtt_history *h);
/* Mean difference between one sample and the next; -1 below two samples. */
double rtt_jitter_ms(const struct rtt_history *h);

enum liveness { LIVENESS_HEALTHY, LIVENESS_SUSPECT, LIVENESS_DOWN };
const char *liveness_word(enum liveness l); /* healthy, suspect, down */

struct detect_opts {
    int64_t suspect_ms, down_ms;
    int64_t refused_min_ms; /* time of a refused node's keeper to kill in */
    int64_t stuck_ms;       /* brain age over which a node gets nothing new */
    bool refusal_is_proof;  /* divergence mode; in the quorum modes the register decides */
    bool second_opinion;    /* there is somebody who could give one */
};
#define DETECT_OPTS_DEFAULT ((struct detect_opts){5000, 30000, 300, 5000, true, false})

struct detector {
    int64_t began_ms;         /* when this node began to ask it, or saw a newer actor of it */
    int64_t answered_ms;      /* arrival of its last answer; -1 = none yet */
    int64_t answered_sent_ms; /* when the ping of that answer, or a later one, had been sent; -1 */
    int64_t heard_ms;         /* arrival of its last own ping; -1 */
    int64_t refused_ms;       /* first refusal since its last sign of life; -1 */
    int64_t seconded_ms;      /* when somebody was last asked who found it silent, too; -1 */
    int64_t brain_age_ms;     /* as its last answer told */
    struct rtt_history rtt;
};

/* now: the moment from which silence counts. */
void detector_init(struct detector *d, int64_t now_ms);
/* An answer to a ping: sent then, got now, with the age of the peer's last brain turn. */
void detector_answered(struct detector *d, int64_t sent_ms, int64_t got_ms, int64_t brain_age_ms);
/* A ping of the peer arrived. Counts as life. */
void detector_heard(struct detector *d, int64_t at_ms);
/* A connection to the peer's address was refused. */
void detector_refused(struct detector *d, int64_t at_ms);
/* Somebody else, asked then, could not reach it either. No proof: only silence. */
void detector_seconded(struct detector *d, int64_t asked_ms);
/* The same node was seen under a newer actor: it lives, and what was said of the old one is void. */
void detector_newer_actor(struct detector *d, int64_t at_ms);

/* self_late_ms: how late this node itself was lately (struct doubt); 0 if punctual. */
enum liveness detector_judge(const struct detector *d, const struct detect_opts *o, int64_t now_ms,
                             int64_t self_late_ms);
/* Whether the peer belongs to the view: as detector_judge, but one not heard of since our own start stays in
 * it until down_ms, so that a node that starts beside a silent peer does not think itself alone. */
bool detector_in_view(const struct detector *d, const struct detect_opts *o, int64_t now_ms,
                      int64_t self_late_ms);
/* Whether a verdict of DOWN rests on proof (a refusal) instead of silence. */
bool detector_proven(const struct detector *d, const struct detect_opts *o, int64_t now_ms);
/* Healthy, and its brain moves: it may be given something new to run. */
bool detector_placeable(const struct detector *d, const struct detect_opts *o, int64_t now_ms,
                        int64_t self_late_ms);
/* The barrier's lease: it answered a ping sent, or was heard, less than within_ms ago. Own lateness gets no
 * allowance here: this one guards what we do, not what we think of others. */
bool detector_fresh(const struct detector *d, int64_t now_ms, int64_t within_ms);
/* The next moment at which a verdict may change without any further event; INT64_MAX if there is none. */
int64_t detector_deadline_ms(const struct detector *d, const struct detect_opts *o, int64_t now_ms,
                             int64_t self_late_ms);

/* doubt: how late this node was with its own ticks within the last DOUBT_MS. Zero bytes are no doubt. */
#define DOUBT_MS 10000
struct doubt {
    int64_t late_ms, at_ms;
};

void doubt_tick(struct doubt *d, int64_t due_ms, int64_t ran_ms);
int64_t doubt_late_ms(const struct doubt *d, int64_t now_ms);

#endif
