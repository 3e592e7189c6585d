/* cover: what waits until other nodes have our writes on disk.
 *
 * A peer covers a stamp of ours when the vector of its last pull request does: it sent that after its commit.
 * The list is kept in the order of the stamps, so that a check stops at the first one nobody has.
 */
#include "node/brain.h"
#include "node/compare.h"

#define HASTEN_MS 250 /* doubled from time to time */

struct cover {
    struct node *node;
    int64_t hlc;
    int need;
    bool strict, never;
    struct id witness; /* zero: nobody in particular */
    void (*fn)(struct node *n, void *arg, int copies);
    void *arg;
    void (*drop)(void *arg);
    struct timer timer;
    int64_t deadline_ms, pause_ms; /* pause: until all are poked once more */
    TAILQ_ENTRY(cover) link;
};

/* Only what a node of the view has counts: another one may be gone for good. */
static bool counts(struct node *n, const struct peer *p)
{
    const struct view_node *v = view_find(&n->view, &p->id);
    return v && v->member && v->in_view;
}

int cover_count(struct node *n, int64_t hlc)
{
    int copies = 0;
    struct peer *p;
    TAILQ_FOREACH (p, &n->peers, link)
        copies += counts(n, p) && vv_covers(&p->vv, n->actor, hlc);
    return copies;
}

/* Never more than there are to ask, unless the client named the number. */
static int needed(struct node *n, const struct cover *c)
{
    int others = (int)view_others(&n->view);
    return c->strict || c->need < others ? c->need : others;
}

/* Who is out of the view decides nothing; who comes into it pulls from us before it does. */
static bool witnessed(struct node *n, const struct cover *c)
{
    struct peer *p = id_is_zero(&c->witness) ? NULL : peer_find(n, &c->witness);
    return !p || !counts(n, p) || vv_covers(&p->vv, n->actor, c->hlc);
}

/* The number of copies, or -1: not yet. */
static int copies_of(struct node *n, const struct cover *c)
{
    int copies = cover_count(n, c->hlc);
    return copies >= needed(n, c) && witnessed(n, c) ? copies : -1;
}

static void end(struct node *n, struct cover *c, int copies)
{
    TAILQ_REMOVE(&n->covers, c, link);
    timer_set(n, &c->timer, INT64_MAX);
    c->fn(n, c->arg, copies);
    free(c);
}

void cover_check(struct node *n)
{
    struct cover *c, *next;
    int64_t best = 0;
    struct peer *p;
    TAILQ_FOREACH (p, &n->peers, link)
        if (counts(n, p) && vv_get(&p->vv, n->actor) > best)
            best = vv_get(&p->vv, n->actor);
    bool alone = view_others(&n->view) == 0;
    TAILQ_FOREACH_SAFE(c, &n->covers, link, next)
    {
        if (c->hlc > best && !alone)
            break;
        int copies = copies_of(n, c);
        if (copies >= 0)
            end(n, c, copies);
    }
}

static void end_overdue(struct node *n, void *arg)
{
    end(n, arg, -1);
}

static void look_again_at(struct node *n, struct cover *c)
{
    int64_t at_ms = n->now_ms + c->pause_ms;
    timer_set(n, &c->timer, at_ms < c->deadline_ms ? at_ms : c->deadline_ms);
}

/* Whoever was poked did not come. */
static void hasten(struct node *n, void *arg)
{
    struct cover *c = arg;
    poke_others(n, POKE_ALL, NULL);
    c->pause_ms *= 2;
    look_again_at(n, c);
}

static int due(struct node *n, struct timer *t)
{
    void *c = (char *)t - offsetof(struct cover, timer);
    eff_do(n, n->now_ms < ((struct cover *)c)->deadline_ms ? hasten : end_overdue, c, NULL);
    return 0;
}

static void begin(struct node *n, void *arg)
{
    struct cover *c = arg, *after;
    int copies = copies_of(n, c);
    if (copies >= 0) {
        c->fn(n, c->arg, copies);
        free(c);
        return;
    }
    if (c->never) {
        c->fn(n, c->arg, COVER_NEVER);
        free(c);
        return;
    }
    TAILQ_FOREACH_REVERSE(after, &n->covers, coverlist, link)
    if (after->hlc <= c->hlc)
        break;
    if (after)
        TAILQ_INSERT_AFTER(&n->covers, after, c, link);
    else
        TAILQ_INSERT_HEAD(&n->covers, c, link);
    struct peer *witness = peer_find(n, &c->witness);
    if (witness)
        witness->mail.poke = true;
    poke_others(n, (size_t)needed(n, c), NULL);
    c->timer.fire = due;
    c->pause_ms = HASTEN_MS;
    look_again_at(n, c);
}

/* Too few of the view may ever say that they have it. */
static bool in_vain(struct node *n, const struct cover *c)
{
    int may = 0;
    struct peer *p;
    TAILQ_FOREACH (p, &n->peers, link)
        may += counts(n, p) && compare_sends(n, p);
    return may < needed(n, c) && may < (int)view_others(&n->view);
}

static void forget(void *arg)
{
    struct cover *c = arg;
    if (c->drop)
        c->drop(c->arg);
    free(c);
}

void cover_wait(struct node *n, int64_t hlc, int need, bool strict, const struct id *witness,
                int64_t deadline_ms, void (*fn)(struct node *n, void *arg, int copies), void *arg,
                void (*drop)(void *arg))
{
    struct cover *c = mem_alloc(sizeof *c);
    *c = (struct cover){.node = n,
                        .hlc = hlc,
                        .need = need,
                        .strict = strict,
                        .fn = fn,
                        .arg = arg,
                        .drop = drop,
                        .deadline_ms = deadline_ms};
    if (witness)
        c->witness = *witness;
    c->never = deadline_ms != INT64_MAX && in_vain(n, c);
    eff_do(n, begin, c, forget);
}

void covers_fini(struct node *n)
{
    struct cover *c;
    while ((c = TAILQ_FIRST(&n->covers))) {
        TAILQ_REMOVE(&n->covers, c, link);
        timer_set(n, &c->timer, INT64_MAX);
        forget(c);
    }
}
