#include "core/clockwatch.h"

#include <stdlib.h>

#include "base/hlc.h"

void clockwatch_init(struct clockwatch *w, int64_t boot_ms, int64_t real_ms)
{
    *w = (struct clockwatch){.line_ms = real_ms - boot_ms, .raw_ms = real_ms - boot_ms, .alone_ms = boot_ms};
}

bool clockwatch_frozen(const struct clockwatch *w)
{
    return w->doubt != CLOCK_SURE;
}

int64_t clockwatch_real_ms(const struct clockwatch *w, int64_t boot_ms)
{
    return boot_ms + w->line_ms;
}

static enum clock_news freeze(struct clockwatch *w, enum clock_doubt why, int64_t off_ms, int64_t boot_ms)
{
    w->off_ms = off_ms;
    w->doubt = why;
    w->alone_ms = boot_ms;
    w->before_ms = w->line_ms;
    return CLOCK_FROZE;
}

static enum clock_news thaw(struct clockwatch *w, enum clock_news news)
{
    w->jump_ms = w->raw_ms - w->before_ms;
    w->doubt = CLOCK_SURE;
    w->line_ms = w->raw_ms;
    w->confirmed = news == CLOCK_CONFIRMED || (news == CLOCK_RETURNED && w->confirmed);
    return news;
}

enum clock_news clockwatch_rows(struct clockwatch *w, int64_t boot_ms, int64_t newest_ms)
{
    int64_t real_ms = boot_ms + w->raw_ms;
    w->newest_ms = newest_ms;
    return newest_ms - real_ms > HLC_AHEAD_MS_MAX ? freeze(w, CLOCK_BEHIND_ROWS, real_ms - newest_ms, boot_ms)
                                                  : CLOCK_NOTHING;
}

enum clock_news clockwatch_read(struct clockwatch *w, int64_t boot_ms, int64_t real_ms)
{
    w->raw_ms = real_ms - boot_ms;
    int64_t step_ms = w->raw_ms - w->line_ms;
    bool close = llabs(step_ms) <= CLOCK_STEP_MS;
    switch (w->doubt) {
    case CLOCK_SURE:
        if (!close)
            return freeze(w, CLOCK_STEPPED, step_ms, boot_ms);
        w->line_ms = w->raw_ms;
        break;
    case CLOCK_STEPPED:
        w->off_ms = step_ms;
        return close ? thaw(w, CLOCK_RETURNED) : CLOCK_NOTHING;
    case CLOCK_BEHIND_ROWS:
        if (w->newest_ms - real_ms <= HLC_AHEAD_MS_MAX)
            return thaw(w, CLOCK_RETURNED);
        break;
    case CLOCK_OFF_PEERS:
        break;
    }
    return CLOCK_NOTHING;
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Of an even number, of the two in the middle the one that is closer to our own clock. */
static int64_t median(const struct clockwatch *w, const int64_t *lines_ms, size_t n)
{
    int64_t low = lines_ms[(n - 1) / 2], high = lines_ms[n / 2];
    return llabs(low - w->raw_ms) <= llabs(high - w->raw_ms) ? low : high;
}

/* Whether more than half of all clocks, ours among them, are apart from ours on the same side. */
static bool outvoted(const struct clockwatch *w, const int64_t *lines_ms, size_t n)
{
    size_t before = 0, behind = 0;
    for (size_t i = 0; i < n; i++) {
        before += w->raw_ms - lines_ms[i] > CLOCK_APART_MS;
        behind += lines_ms[i] - w->raw_ms > CLOCK_APART_MS;
    }
    return 2 * before > n + 1 || 2 * behind > n + 1;
}

enum clock_news clockwatch_peers(struct clockwatch *w, int64_t boot_ms, int64_t *lines_ms, size_t n)
{
    if (n == 0 && !clockwatch_frozen(w))
        return CLOCK_NOTHING;
    if (n == 0)
        return boot_ms - w->alone_ms >= CLOCK_ALONE_MS ? thaw(w, CLOCK_WENT_ON) : CLOCK_NOTHING;
    qsort(lines_ms, n, sizeof *lines_ms, by_value);
    int64_t line_ms = median(w, lines_ms, n), off_ms = w->raw_ms - line_ms;
    bool apart = llabs(off_ms) > CLOCK_APART_MS;
    w->alone_ms = boot_ms;
    if (clockwatch_frozen(w)) {
        w->line_ms = line_ms;
        w->off_ms = off_ms;
        return apart ? CLOCK_NOTHING : thaw(w, CLOCK_CONFIRMED);
    }
    if (w->confirmed ? outvoted(w, lines_ms, n) : apart) {
        freeze(w, CLOCK_OFF_PEERS, off_ms, boot_ms);
        w->line_ms = line_ms;
        return CLOCK_FROZE;
    }
    w->confirmed = true;
    return CLOCK_NOTHING;
}
