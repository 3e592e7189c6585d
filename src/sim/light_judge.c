/* light_judge: a light node looks after somebody whose ping failed, and asks others; until it is heard of, or
 * down.
 */
#include "sim/light_inside.h"

#define PROBES 3

static struct watch *watch_find(struct light_node *n, int about)
{
    for (size_t i = 0; i < n->watches_n; i++)
        if (n->watches[i].about == about)
            return &n->watches[i];
    return NULL;
}

static void watch_end(struct light_node *n, struct watch *w)
{
    n->peers[w->about].watched = false;
    *w = n->watches[--n->watches_n];
}

static void probe(struct light *l, int self, int about, size_t count)
{
    struct light_node *n = node(l, self);
    size_t some, drawn[PROBES];
    AUTOFREE size_t *list = light_candidates(n, -1, &some);
    count = fanout_draw(&n->prng, some, count, drawn);
    for (size_t i = 0; i < count; i++) {
        struct pack *p = mem_alloc(sizeof *p);
        p->about = about;
        light_request(l, self, (int)list[drawn[i]], WORD_PROBE, p, PING_BYTES + 80)->about = about;
    }
}

void light_ping(struct light *l, int self, int about)
{
    l->count.pings++;
    light_request(l, self, about, WORD_PING, NULL, PING_BYTES);
}

void light_look_after(struct light *l, int self, int about, bool heard_of)
{
    struct light_node *n = node(l, self);
    if (about == self || n->peers[about].state != ALIVE || n->peers[about].watched)
        return;
    if (!heard_of)
        l->count.suspicions += node(l, about)->alive;
    ARRAY_GROW(n->watches, n->watches_n, n->watches_cap);
    struct watch *w = &n->watches[n->watches_n++];
    *w = (struct watch){.about = about, .heard_of = heard_of, .next_us = l->now_us + l->o.ping_ms * 1000};
    detector_init(&w->d, l->now_us / 1000);
    n->peers[about].watched = true;
    if (heard_of)
        light_ping(l, self, about);
}

/* Everybody should look for themselves. */
static void hint(struct light *l, int self, struct watch *w)
{
    if (w->hinted || w->heard_of)
        return;
    w->hinted = true;
    l->count.hints += node(l, w->about)->alive;
    light_write_row(l, self, ROW_HINT, w->about);
}

void light_ping_failed(struct light *l, int self, int about, bool refused)
{
    light_look_after(l, self, about, false);
    struct watch *w = watch_find(node(l, self), about);
    if (!w)
        return;
    if (refused)
        detector_refused(&w->d, l->now_us / 1000);
    if (refused)
        hint(l, self, w);
    else
        probe(l, self, about, w->heard_of || w->hinted ? 1 : PROBES);
}

void light_lives(struct light *l, int self, int about, const struct call *c)
{
    struct light_node *n = node(l, self);
    struct watch *w = watch_find(n, about);
    light_know(l, self, about);
    if (!w)
        return;
    if (c)
        detector_answered(&w->d, c->sent_us / 1000, l->now_us / 1000, 0);
    else
        detector_heard(&w->d, l->now_us / 1000);
}

void light_probed(struct light *l, int self, const struct call *c, bool good)
{
    struct watch *w = watch_find(node(l, self), c->about);
    if (good)
        light_lives(l, self, c->about, NULL);
    if (!w || good)
        return;
    detector_seconded(&w->d, c->sent_us / 1000);
    if (++w->silent == PROBES)
        hint(l, self, w);
}

void light_watch_judge(struct light *l, int self, struct watch *w)
{
    struct light_node *n = node(l, self);
    struct detect_opts o = DETECT_OPTS_DEFAULT;
    o.second_opinion = true;
    enum liveness is = detector_judge(&w->d, &o, l->now_us / 1000, 0);
    if (is == LIVENESS_DOWN) {
        n->peers[w->about].state = DOWN;
        l->count.false_downs += node(l, w->about)->alive;
    }
    if (is != LIVENESS_SUSPECT) {
        watch_end(n, w);
        return;
    }
    if (l->now_us < w->next_us)
        return;
    w->next_us = l->now_us + l->o.ping_ms * 1000;
    light_ping(l, self, w->about);
}
