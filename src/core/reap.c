/* Orphans and their rate. Decides whether to claim; what a claim is, and whether it still may be written when
 * the transaction runs, is decided where it is written.
 */
#include "core/reap.h"

#include "base/ensure.h"

enum reap_verdict reap_judge(const struct reap_input *in, int64_t now_ms, int64_t *ret_at_ms)
{
    if (in->resume == RESUME_LAZY || !in->unfinished || !in->am_home || in->draining)
        return REAP_NONE;
    int64_t due_ms = in->down_since_ms + in->orphan_delay_ms;
    switch (in->owner) {
    case OWNER_ALIVE:
        return REAP_NONE;
    case OWNER_NEWER_ACTOR:
    case OWNER_LEFT:
        return REAP_CLAIM;
    case OWNER_DOWN_SILENT:
        if (in->brake_held) {
            *ret_at_ms = INT64_MAX;
            return REAP_WAIT;
        }
        break;
    case OWNER_DOWN_PROVEN:
        break;
    }
    if (now_ms >= due_ms)
        return REAP_CLAIM;
    *ret_at_ms = due_ms;
    return REAP_WAIT;
}

void bucket_init(struct bucket *b, int64_t rate, int64_t burst, int64_t now_ms)
{
    ensure(rate > 0 && burst > 0, "bucket of %lld a second, burst %lld", (long long)rate, (long long)burst);
    *b = (struct bucket){rate, burst, burst * 1000, now_ms};
}

/* rate tokens a second are rate thousandths a millisecond. */
static int64_t level(const struct bucket *b, int64_t now_ms)
{
    int64_t full = b->burst * 1000, passed = now_ms > b->at_ms ? now_ms - b->at_ms : 0;
    if (passed > (full - b->milli) / b->rate) /* divided, for passed * rate may be beyond 64 bits */
        return full;
    return b->milli + passed * b->rate;
}

bool bucket_take(struct bucket *b, int64_t now_ms)
{
    b->milli = level(b, now_ms);
    if (now_ms > b->at_ms)
        b->at_ms = now_ms;
    if (b->milli < 1000)
        return false;
    b->milli -= 1000;
    return true;
}

int64_t bucket_next_ms(const struct bucket *b, int64_t now_ms)
{
    int64_t missing = 1000 - level(b, now_ms);
    return missing <= 0 ? now_ms : now_ms + (missing + b->rate - 1) / b->rate;
}
