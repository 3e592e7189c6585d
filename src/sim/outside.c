/* What is outside of the simulated cluster: who answers to the hooks that its nodes call. */
#include <string.h>

#include "sim/inside.h"

struct outgoing {
    struct sim_node *from;
    uint64_t life;
    struct hook_call *call; /* owned */
    int status;
    char *answer; /* owned */
};

static void outgoing_free(void *arg)
{
    struct outgoing *o = arg;
    hook_call_free(o->call);
    free(o->answer);
    free(o);
}

static void said_fire(struct sim *s UNUSED, void *arg)
{
    struct outgoing *o = arg;
    if (o->from->up && o->from->life == o->life) {
        const char *text = o->answer ? o->answer : o->status ? "" : "nobody listens";
        struct event e = {.kind = EV_HOOK_ANSWERED,
                          .call = o->call->id,
                          .status = o->status,
                          .bytes = mem_dup(text),
                          .bytes_n = strlen(text)};
        sim_event(o->from, &e);
    }
    outgoing_free(o);
}

/* It has left the node: from here on it happens, whatever becomes of who sent it. */
static void outgoing_fire(struct sim *s, void *arg)
{
    struct outgoing *o = arg;
    struct sim_called c = {o->from, o->call->url, o->call->event_id, o->call->body, o->call->attempt};
    struct sim_said said = {.after_ms = 1};
    if (!o->from->up || o->from->life != o->life) {
        outgoing_free(o);
        return;
    }
    if (s->outside)
        said = s->outside(s->outside_ctx, &c);
    bool late = said.after_ms >= o->call->timeout_ms;
    o->status = late ? 0 : said.status;
    o->answer = late ? NULL : mem_dup(said.answer);
    sim_at(s, s->now_us + 1000 * (late ? o->call->timeout_ms : said.after_ms), said_fire, o, outgoing_free);
}

void simnet_hook(void *self, struct hook_call *c TAKES)
{
    struct sim_node *n = self;
    struct outgoing *o = mem_alloc(sizeof *o);
    *o = (struct outgoing){.from = n, .life = n->life, .call = c};
    sim_at(n->sim, sim_effect_us(n), outgoing_fire, o, outgoing_free);
}

void sim_outside(struct sim *s, struct sim_said (*called)(void *ctx, const struct sim_called *c), void *ctx)
{
    s->outside = called;
    s->outside_ctx = ctx;
}
