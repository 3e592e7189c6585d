/* loop: see loop.h. One list of watches, for the end of the loop. */
#include "real/loop.h"

#include <event2/event.h>

#include "base/ensure.h"
#include "base/list.h"
#include "base/mem.h"

struct loop_timer {
    struct event *event;
    void (*fire)(void *ctx);
    void (*got)(void *ctx, int number);
    void *ctx;
    SLIST_ENTRY(loop_timer) next;
};

struct loop {
    struct event_base *base;
    SLIST_HEAD(, loop_timer) all;
};

struct loop *loop_new(void)
{
    struct loop *l = mem_alloc(sizeof *l);
    l->base = event_base_new();
    ensure(l->base, "libevent gives no loop");
    SLIST_INIT(&l->all);
    return l;
}

void loop_free(struct loop *l)
{
    if (!l)
        return;
    for (struct loop_timer *t; (t = SLIST_FIRST(&l->all));) {
        SLIST_REMOVE_HEAD(&l->all, next);
        event_free(t->event);
        free(t);
    }
    event_base_free(l->base);
    free(l);
}

struct event_base *loop_base(struct loop *l)
{
    return l->base;
}

void loop_run(struct loop *l)
{
    int rc = event_base_dispatch(l->base);
    ensure(rc >= 0, "libevent's loop broke: %d", rc);
}

void loop_end(struct loop *l)
{
    event_base_loopbreak(l->base);
}

static void on_time(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
    struct loop_timer *t = arg;
    t->fire(t->ctx);
}

static void on_signal(evutil_socket_t number, short what UNUSED, void *arg)
{
    struct loop_timer *t = arg;
    t->got(t->ctx, (int)number);
}

static struct loop_timer *add(struct loop *l, void *ctx)
{
    struct loop_timer *t = mem_alloc(sizeof *t);
    t->ctx = ctx;
    SLIST_INSERT_HEAD(&l->all, t, next);
    return t;
}

struct loop_timer *loop_timer_new(struct loop *l, void (*fire)(void *ctx), void *ctx)
{
    struct loop_timer *t = add(l, ctx);
    t->fire = fire;
    t->event = evtimer_new(l->base, on_time, t);
    ensure(t->event, "libevent takes no more events");
    return t;
}

void loop_timer_start(struct loop_timer *t, int ms)
{
    struct timeval in = {ms / 1000, ms % 1000 * 1000};
    evtimer_add(t->event, &in);
}

void loop_signal(struct loop *l, int number, void (*got)(void *ctx, int number), void *ctx)
{
    struct loop_timer *t = add(l, ctx);
    t->got = got;
    t->event = evsignal_new(l->base, number, on_signal, t);
    ensure(t->event && event_add(t->event, NULL) == 0, "libevent takes no signal %d", number);
}
