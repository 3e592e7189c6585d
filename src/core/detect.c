/* Liveness by stamps. It decides what this node thinks of one peer; what follows from that (the view,
 * take-overs, the batch, the brake) is decided elsewhere, and no clock is read.
 */
#include "core/detect.h"

void rtt_add(struct rtt_history *h, int64_t rtt_ms)
{
    if (rtt_ms < 0)
        rtt_ms = 0;
    h->ms[h->next] = rtt_ms > INT32_MAX ? INT32_MAX : (int32_t)rtt_ms;
    h->next = (h->next + 1) % RTT_SAMPLES;
    if (h->count < RTT_SAMPLES)
        h->count++;
}

/* The i-th newest sample. */
static int64_t sample(const struct rtt_history *h, int i)
{
    return h->ms[(h->next - 1 - i + 2 * RTT_SAMPLES) % RTT_SAMPLES];
}

int64_t rtt_last_ms(const struct rtt_history *h)
{
    return h->count ? sample(h, 0) : -1;
}

double rtt_avg_ms(const struct rtt_history *h)
{
    int64_t sum = 0;
    for (int i = 0; i < h->count; i++)
        sum += sample(h, i);
    return h->count ? (double)sum / h->count : -1;
}

double rtt_jitter_ms(const struct rtt_history *h)
{
    int64_t sum = 0;
    for (int i = 0; i + 1 < h->count; i++) {
        int64_t step = sample(h, i) - sample(h, i + 1);
        sum += step < 0 ? -step : step;
    }
    return h->count > 1 ? (double)sum / (h->count - 1) : -1;
}

const char *liveness_word(enum liveness l)
{
    switch (l) {
    case LIVENESS_HEALTHY:
        return "healthy";
    case LIVENESS_SUSPECT:
        return "suspect";
    case LIVENESS_DOWN:
        return "down";
    }
    return "unknown";
}

void detector_init(struct detector *d, int64_t now_ms)
{
    *d = (struct detector){.began_ms = now_ms,
                           .answered_ms = -1,
                           .answered_sent_ms = -1,
                           .heard_ms = -1,
                           .refused_ms = -1,
                           .seconded_ms = -1};
}

static void lift(int64_t *stamp, int64_t at)
{
    if (at > *stamp)
        *stamp = at;
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static void lived(struct detector *d, int64_t at)
{
    if (d->refused_ms >= 0 && at > d->refused_ms)
        d->refused_ms = -1;
}

void detector_answered(struct detector *d, int64_t sent_ms, int64_t got_ms, int64_t brain_age_ms)
{
    rtt_add(&d->rtt, got_ms - sent_ms);
    if (got_ms >= d->answered_ms)
        d->brain_age_ms = brain_age_ms;
    lift(&d->answered_ms, got_ms);
    lift(&d->answered_sent_ms, sent_ms);
    lived(d, got_ms);
}

void detector_heard(struct detector *d, int64_t at_ms)
{
    lift(&d->heard_ms, at_ms);
    lived(d, at_ms);
}

void detector_seconded(struct detector *d, int64_t asked_ms)
{
    lift(&d->seconded_ms, asked_ms);
}

/* The latest sign of life, -1 if there was none. */
static int64_t life(const struct detector *d)
{
    return later(d->answered_ms, d->heard_ms);
}

void detector_refused(struct detector *d, int64_t at_ms)
{
    if (d->refused_ms < 0 && at_ms >= life(d))
        d->refused_ms = at_ms;
}

void detector_newer_actor(struct detector *d, int64_t at_ms)
{
    struct rtt_history rtt = d->rtt;
    detector_init(d, at_ms);
    d->rtt = rtt;
    d->heard_ms = at_ms;
}

bool detector_proven(const struct detector *d, const struct detect_opts *o, int64_t now_ms)
{
    return o->refusal_is_proof && d->refused_ms >= 0 && now_ms - d->refused_ms >= o->refused_min_ms;
}

static bool silent(const struct detector *d, int64_t limit_ms, int64_t now_ms, int64_t self_late_ms)
{
    return now_ms - later(life(d), d->began_ms) >= limit_ms + self_late_ms;
}

/* Silent for long enough to be given up. An opinion counts that is not much older than the verdict. */
static bool given_up(const struct detector *d, const struct detect_opts *o, int64_t now_ms,
                     int64_t self_late_ms)
{
    int64_t due_ms = later(life(d), d->began_ms) + o->down_ms + self_late_ms;
    bool alone = o->second_opinion && d->seconded_ms < due_ms - o->suspect_ms;
    return silent(d, alone ? 2 * o->down_ms : o->down_ms, now_ms, self_late_ms);
}

enum liveness detector_judge(const struct detector *d, const struct detect_opts *o, int64_t now_ms,
                             int64_t self_late_ms)
{
    if (detector_proven(d, o, now_ms) || given_up(d, o, now_ms, self_late_ms) ||
        d->brain_age_ms >= o->down_ms)
        return LIVENESS_DOWN;
    if (d->refused_ms >= 0 || life(d) < 0 || silent(d, o->suspect_ms, now_ms, self_late_ms))
        return LIVENESS_SUSPECT;
    return LIVENESS_HEALTHY;
}

bool detector_in_view(const struct detector *d, const struct detect_opts *o, int64_t now_ms,
                      int64_t self_late_ms)
{
    if (detector_judge(d, o, now_ms, self_late_ms) == LIVENESS_DOWN)
        return false;
    return life(d) < 0 || !silent(d, o->suspect_ms, now_ms, self_late_ms);
}

bool detector_placeable(const struct detector *d, const struct detect_opts *o, int64_t now_ms,
                        int64_t self_late_ms)
{
    return d->brain_age_ms <= o->stuck_ms && detector_judge(d, o, now_ms, self_late_ms) == LIVENESS_HEALTHY;
}

bool detector_fresh(const struct detector *d, int64_t now_ms, int64_t within_ms)
{
    int64_t at = later(d->answered_sent_ms, d->heard_ms);
    return at >= 0 && now_ms - at < within_ms;
}

int64_t detector_deadline_ms(const struct detector *d, const struct detect_opts *o, int64_t now_ms,
                             int64_t self_late_ms)
{
    int64_t from = later(life(d), d->began_ms) + self_late_ms;
    const int64_t moments[] = {
        from + o->suspect_ms,
        from + o->down_ms,
        from + 2 * o->down_ms,
        o->refusal_is_proof && d->refused_ms >= 0 ? d->refused_ms + o->refused_min_ms : -1,
    };
    int64_t next = INT64_MAX;
    for (size_t i = 0; i < sizeof moments / sizeof *moments; i++)
        if (moments[i] > now_ms && moments[i] < next)
            next = moments[i];
    return next;
}

void doubt_tick(struct doubt *d, int64_t due_ms, int64_t ran_ms)
{
    int64_t late = ran_ms > due_ms ? ran_ms - due_ms : 0;
    if (late >= doubt_late_ms(d, ran_ms))
        *d = (struct doubt){late, ran_ms};
}

int64_t doubt_late_ms(const struct doubt *d, int64_t now_ms)
{
    return now_ms - d->at_ms < DOUBT_MS ? d->late_ms : 0;
}
