/* The supervision table, the intensity ring and the back-off. Knows no process, no claim and no clock. */
#include "core/restart.h"

#include <string.h>

#include "base/ensure.h"

static const enum restart_next after[RESTART_KINDS][EXIT_KINDS] = {
    [RESTART_PERMANENT] =
        {
            [EXIT_CLEAN] = NEXT_AGAIN,
            [EXIT_FAILED] = NEXT_AGAIN,
            [EXIT_UNSTARTED] = NEXT_REFUSED,
            [EXIT_UNREADY] = NEXT_AGAIN,
            [EXIT_LOST] = NEXT_AGAIN_NOW,
            [EXIT_ASKED_STOP] = NEXT_GONE,
            [EXIT_ASKED_AGAIN] = NEXT_AGAIN_NOW,
            [EXIT_ASKED_MOVE] = NEXT_MOVED,
            [EXIT_SHUTDOWN] = NEXT_KEPT,
            [EXIT_FENCED] = NEXT_YIELDED,
        },
    [RESTART_TRANSIENT] =
        {
            [EXIT_CLEAN] = NEXT_GONE,
            [EXIT_FAILED] = NEXT_AGAIN,
            [EXIT_UNSTARTED] = NEXT_REFUSED,
            [EXIT_UNREADY] = NEXT_AGAIN,
            [EXIT_LOST] = NEXT_AGAIN_NOW,
            [EXIT_ASKED_STOP] = NEXT_GONE,
            [EXIT_ASKED_AGAIN] = NEXT_AGAIN_NOW,
            [EXIT_ASKED_MOVE] = NEXT_MOVED,
            [EXIT_SHUTDOWN] = NEXT_KEPT,
            [EXIT_FENCED] = NEXT_YIELDED,
        },
    /* A move and a restart are wishes, not ends; any other end of a temporary child is its end. */
    [RESTART_TEMPORARY] =
        {
            [EXIT_CLEAN] = NEXT_GONE,
            [EXIT_FAILED] = NEXT_GONE,
            [EXIT_UNSTARTED] = NEXT_REFUSED,
            [EXIT_UNREADY] = NEXT_GONE,
            [EXIT_LOST] = NEXT_GONE,
            [EXIT_ASKED_STOP] = NEXT_GONE,
            [EXIT_ASKED_AGAIN] = NEXT_AGAIN_NOW,
            [EXIT_ASKED_MOVE] = NEXT_MOVED,
            [EXIT_SHUTDOWN] = NEXT_KEPT,
            [EXIT_FENCED] = NEXT_YIELDED,
        },
};

static const char *const restart_words[RESTART_KINDS] = {"permanent", "transient", "temporary"};
static const char *const exit_words[EXIT_KINDS] = {"clean",    "failed",     "unstarted",   "unready",
                                                   "lost",     "asked_stop", "asked_again", "asked_move",
                                                   "shutdown", "fenced"};
static const char *const next_words[] = {"again", "again_now", "gone", "refused", "moved", "kept", "yielded"};

enum restart_next restart_after(enum restart r, enum exit_kind e)
{
    ensure((size_t)r < RESTART_KINDS && (size_t)e < EXIT_KINDS, "restart %d exit %d", r, e);
    return after[r][e];
}

const char *restart_word(enum restart r)
{
    return restart_words[r];
}

bool restart_parse(const char *word, enum restart *ret)
{
    for (size_t i = 0; i < RESTART_KINDS; i++) {
        if (strcmp(word, restart_words[i]) == 0) {
            *ret = (enum restart)i;
            return true;
        }
    }
    return false;
}

const char *exit_kind_word(enum exit_kind e)
{
    return exit_words[e];
}

void restart_table(struct str *out)
{
    for (size_t r = 0; r < RESTART_KINDS; r++)
        for (size_t e = 0; e < EXIT_KINDS; e++)
            str_printf(out, "%s %s %s\n", restart_words[r], exit_words[e], next_words[after[r][e]]);
}

void intensity_fini(struct intensity *i)
{
    free(i->at_ms);
    *i = (struct intensity){0};
}

/* The ring is as long as the limit: it is full of fresh moments exactly when one more would be too many. */
bool restart_may(const struct intensity *i, size_t max_restarts, int64_t window_ms, int64_t now_ms)
{
    bool full = i->cap == max_restarts && i->n == i->cap;
    return max_restarts && !(full && now_ms - i->at_ms[i->next] < window_ms);
}

void restart_counted(struct intensity *i, size_t max_restarts, int64_t now_ms)
{
    if (i->cap != max_restarts) {
        intensity_fini(i);
        i->at_ms = max_restarts ? mem_array(max_restarts, sizeof *i->at_ms) : NULL;
        i->cap = max_restarts;
    }
    if (!max_restarts)
        return;
    i->at_ms[i->next] = now_ms;
    i->next = (i->next + 1) % i->cap;
    i->n += i->n < i->cap;
}

bool restart_allowed(struct intensity *i, size_t max_restarts, int64_t window_ms, int64_t now_ms)
{
    bool may = restart_may(i, max_restarts, window_ms, now_ms);
    if (may)
        restart_counted(i, max_restarts, now_ms);
    return may;
}

unsigned restart_attempt(unsigned attempt, int64_t ran_ms, int64_t window_ms)
{
    if (ran_ms >= window_ms)
        return 0;
    return attempt < UINT32_MAX ? attempt + 1 : attempt;
}

int64_t restart_delay_ms(unsigned attempt, int64_t min_ms, int64_t max_ms, uint64_t random)
{
    ensure(min_ms >= 0 && max_ms >= 0, "back-off from %lld to %lld", (long long)min_ms, (long long)max_ms);
    int64_t d = min_ms < max_ms ? min_ms : max_ms;
    for (unsigned i = 0; i < attempt && d && d < max_ms; i++)
        d = d > max_ms / 2 ? max_ms : d * 2;
    int64_t half = d / 2;
    return half + (int64_t)(random % (uint64_t)(d - half + 1));
}
