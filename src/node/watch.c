/* watch: the clock's doubts, carried out.
 *
 * Decides when nothing may be stamped (the store refuses then, store_freeze), what is told of it, and when
 * rows from the future are stamped anew: a run that finds the clock confirmed and its own rows ahead of it
 * ends, and the next one, in its first transaction, moves them back by as much as the clock was wrong. Others
 * cannot have seen them: nobody takes a row from more than HLC_AHEAD_MS_MAX ahead.
 */
#include "node/watch.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hlc.h"
#include "node/brain.h"

/* Beyond this no peer took a row: its clock may be as far ahead of the median as ours. */
#define AHEAD_MS       (HLC_AHEAD_MS_MAX + CLOCK_APART_MS)
#define NEW_RUN_STATUS 75        /* as for a clone: started again, it begins a new run */
#define META           "restamp" /* real time at which the last run found its rows ahead */

static int64_t stamp_ms(void *self)
{
    struct node *n = self;
    return clockwatch_real_ms(&n->watch.clock, n->w.clock.boot_ms(n->w.clock.self));
}

static int64_t boot_ms(void *self)
{
    struct node *n = self;
    return n->w.clock.boot_ms(n->w.clock.self);
}

void watch_begin(struct node *n)
{
    n->watch = (struct watch){.stamps = {n, stamp_ms, boot_ms}, .set_ms = INT64_MIN};
    clockwatch_init(&n->watch.clock, n->now_ms, n->real_ms);
}

bool watch_frozen(const struct node *n)
{
    return clockwatch_frozen(&n->watch.clock);
}

bool watch_refused(const struct node *n)
{
    return watch_frozen(n) && hlc_ms(vv_max(&n->vv)) > n->real_ms + HLC_AHEAD_MS_MAX;
}

static const char *why_of(const struct clockwatch *c)
{
    switch (c->doubt) {
    case CLOCK_SURE:
        break;
    case CLOCK_STEPPED:
        return "jumped";
    case CLOCK_OFF_PEERS:
        return "is off the other nodes' median";
    case CLOCK_BEHIND_ROWS:
        return "is behind the newest row of this node's own database";
    }
    return "is right";
}

int watch_refuse(const struct node *n, struct err *e)
{
    const struct clockwatch *c = &n->watch.clock;
    return err_set(e, SKEP_ECLOCK,
                   "the clock of %s %s, by %+.1f s; nothing is written until it is within %d s of the other "
                   "nodes', or none of them was reachable for %d s. Set it right (timedatectl, chronyc "
                   "tracking), or ask another node",
                   n->name, why_of(c), (double)c->off_ms / 1000, CLOCK_APART_MS / 1000,
                   CLOCK_ALONE_MS / 1000);
}

bool watch_period(const struct node *n, int64_t period_ms)
{
    int64_t set_ms = n->watch.set_ms;
    return !watch_frozen(n) && (set_ms == INT64_MIN || n->now_ms - set_ms >= period_ms);
}

int64_t watch_off_ms(const struct node *n, const struct peer *p)
{
    if (!p)
        return n->watch.clock.raw_ms - n->watch.clock.line_ms;
    return p->clock_at_ms ? p->clock_ms - n->watch.clock.line_ms : 0;
}

/* ---- news ---- */

static void say(struct node *n, const char *fact, const char *why, int64_t off_ms)
{
    n->watch.fact = fact;
    snprintf(n->watch.said, sizeof n->watch.said, "{\"why\":\"%s\",\"off_ms\":%" PRId64 "}", why, off_ms);
}

static void froze(struct node *n)
{
    struct err e;
    watch_refuse(n, &e);
    store_freeze(n->store, e.text);
    say(n, "clock_frozen", why_of(&n->watch.clock), n->watch.clock.off_ms);
    log_warn(n->w.log, "%s", e.text);
}

static bool has_members(struct node *n)
{
    struct peer *p;
    TAILQ_FOREACH (p, &n->peers, link)
        if (!p->left || id_is_zero(&p->id))
            return true;
    return false;
}

static void thawed(struct node *n, const char *why, enum clock_doubt was)
{
    int64_t jump_ms = n->watch.clock.jump_ms;
    store_freeze(n->store, NULL);
    if (llabs(jump_ms) > CLOCK_STEP_MS)
        n->watch.set_ms = n->now_ms;
    n->watch.unasked_ok = was == CLOCK_STEPPED && !has_members(n);
    say(n, "clock_thawed", why, jump_ms);
    log_warn(n->w.log, "the clock is believed again: %s (moved by %+.1f s)", why, (double)jump_ms / 1000);
    own_scan(n); /* what was left alone meanwhile */
}

static void follow(struct node *n, enum clock_news news, enum clock_doubt was)
{
    switch (news) {
    case CLOCK_NOTHING:
        return;
    case CLOCK_FROZE:
        froze(n);
        break;
    case CLOCK_CONFIRMED:
        thawed(n, "the other nodes agree", was);
        break;
    case CLOCK_RETURNED:
        thawed(n, "it is back", was);
        break;
    case CLOCK_WENT_ON:
        thawed(n, "no other node could be asked", was);
        break;
    }
    n->real_ms = clockwatch_real_ms(&n->watch.clock, n->now_ms);
    n->frozen_dirty = true;
}

void watch_opened(struct node *n)
{
    follow(n, clockwatch_rows(&n->watch.clock, n->now_ms, hlc_ms(store_hlc(n->store))), CLOCK_SURE);
}

void watch_read(struct node *n)
{
    enum clock_doubt was = n->watch.clock.doubt;
    follow(n, clockwatch_read(&n->watch.clock, n->now_ms, n->real_ms), was);
    n->real_ms = clockwatch_real_ms(&n->watch.clock, n->now_ms);
}

/* Our own rows are from the future, and the clock is right: then nobody has them. */
static bool is_ahead(struct node *n)
{
    return (n->watch.clock.confirmed || n->watch.unasked_ok) && !watch_frozen(n) && n->exit_status < 0 &&
           hlc_ms(vv_max(&n->vv)) > n->real_ms + AHEAD_MS;
}

void watch_judge(struct node *n)
{
    size_t count = 0, others = 0;
    struct peer *p;
    enum clock_doubt was = n->watch.clock.doubt;
    TAILQ_FOREACH (p, &n->peers, link)
        others++;
    AUTOFREE int64_t *lines = mem_array(others + 1, sizeof *lines);
    TAILQ_FOREACH (p, &n->peers, link)
        if (p->clock_at_ms && !p->down && !p->left && n->now_ms - p->clock_at_ms <= n->o.suspect_ms)
            lines[count++] = p->clock_ms;
    follow(n, clockwatch_peers(&n->watch.clock, n->now_ms, lines, count), was);
    if (!n->watch.stamped_ahead && is_ahead(n))
        n->watch.stamped_ahead = true;
}

/* ---- what needs the store ---- */

bool watch_has_work(const struct node *n)
{
    return n->watch.fact || n->watch.stamped_ahead;
}

static void said(struct node *n, void *arg)
{
    if (n->watch.fact == arg)
        n->watch.fact = NULL;
}

static void end_run(struct node *n, void *arg UNUSED)
{
    log_error(n->w.log, "rows of this node are from the future, stamped while its clock was wrong; ending, "
                        "to begin a new run that stamps them anew");
    n->exit_status = NEW_RUN_STATUS;
}

int watch_work(struct node *n)
{
    char now[24];
    int rc = 0;
    if (n->watch.fact) {
        rc = node_log(n, n->watch.fact, NULL, NULL, n->name, 0, NULL, n->watch.said);
        eff_do(n, said, (void *)(uintptr_t)n->watch.fact, NULL);
    }
    if (rc < 0 || !n->watch.stamped_ahead)
        return rc;
    snprintf(now, sizeof now, "%" PRId64, n->real_ms);
    rc = store_meta_set(n->store, META, now, &n->fault);
    if (rc == 0)
        eff_do(n, end_run, NULL, NULL);
    return rc;
}

int watch_restamp(struct node *n)
{
    AUTOFREE char *found = store_meta(n->store, META);
    int64_t found_ms = found && *found ? strtoll(found, NULL, 10) : 0;
    if (found_ms == 0)
        return 0;
    int64_t limit = hlc_at(n->real_ms + AHEAD_MS), ahead_ms = hlc_ms(vv_max(&n->vv)) - n->real_ms;
    int rc = store_meta_set(n->store, META, "", &n->fault);
    /* a clock that was put wrong again meanwhile says nothing */
    if (rc < 0 || n->real_ms < found_ms - CLOCK_STEP_MS || ahead_ms <= AHEAD_MS)
        return rc;
    int64_t rows = 0;
    rc = store_restamp(n->store, limit, ahead_ms, &rows, &n->fault);
    vv_clear(&n->vv);
    if (rc == 0)
        rc = store_vv(n->store, &n->vv, &n->fault);
    snprintf(n->watch.said, sizeof n->watch.said, "{\"rows\":%" PRId64 ",\"moved_ms\":%" PRId64 "}", rows,
             -ahead_ms);
    return rc < 0 ? rc : node_log(n, "clock_restamped", NULL, NULL, n->name, 0, NULL, n->watch.said);
}
