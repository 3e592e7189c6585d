/* counter: a worker in C that keeps its value through hand-off and crash.
 *
 *     counter [--tick MS]      count by itself every MS milliseconds, too
 *
 * Calls and messages: "inc" counts, "get" only answers. The answer is {"count":N}, the same as its state.
 * A count is answered once it is durable, so no answer is ever taken back.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/skep.h"

#define ACK_MS 30000

struct counter {
    struct skep_worker *w;
    long long count;
    long long acks;   /* checkpoints sent: each has a number of its own */
    bool handed_over; /* what is counted from then on would be lost */
};

static long long now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int die(const char *what, int r)
{
    fprintf(stderr, "counter: %s: %s\n", what, strerror(-r));
    return 1;
}

static const char *counter_json(const struct counter *c, char text[64])
{
    snprintf(text, 64, "{\"count\":%lld}", c->count);
    return text;
}

/* Counts, and returns once that is durable. */
static int counter_add(struct counter *c)
{
    char json[64], ack[32];
    int r;

    c->count++;
    snprintf(ack, sizeof ack, "%lld", ++c->acks);
    r = skep_worker_checkpoint(c->w, counter_json(c, json), ack);
    return r < 0 ? r : skep_worker_wait(c->w, ack, ACK_MS);
}

/* A call has a ref and is answered; a message has none. */
static int counter_asked(struct counter *c, const struct skep_line *line)
{
    char json[64];
    bool inc = skep_json_says(line->data, "inc");
    const char *refusal = NULL;
    int r = 0;

    if (!inc && !skep_json_says(line->data, "get"))
        refusal = "the counter knows \"inc\" and \"get\"";
    else if (inc && c->handed_over)
        refusal = "the counter is moving";
    else if (inc)
        r = counter_add(c);
    if (r < 0 || !line->ref)
        return r;
    return refusal ? skep_worker_fail(c->w, line->ref, refusal)
                   : skep_worker_reply(c->w, line->ref, counter_json(c, json));
}

/* Two of us ran, on two sides of a cut: the greater count is kept. */
static int counter_resolve(struct counter *c, const struct skep_line *line)
{
    char json[64];
    long long other = 0;

    skep_json_integer(line->state, "count", &other);
    c->count = other > c->count ? other : c->count;
    return skep_worker_checkpoint(c->w, counter_json(c, json), NULL);
}

/* 1 = end in order, < 0 = the channel broke or this process was fenced. */
static int counter_step(struct counter *c, const struct skep_line *line)
{
    char json[64];

    switch (line->type) {
    case SKEP_START:
        skep_json_integer(line->state, "count", &c->count);
        return skep_worker_ready(c->w, NULL);
    case SKEP_BEGIN_HANDOFF:
        c->handed_over = true;
        return skep_worker_state(c->w, line->ref, counter_json(c, json));
    case SKEP_END_HANDOFF:
        skep_json_integer(line->state, "count", &c->count);
        return skep_worker_restored(c->w, line->ref);
    case SKEP_RESOLVE_CONFLICT:
        return counter_resolve(c, line);
    case SKEP_CALL:
    case SKEP_MESSAGE:
        return counter_asked(c, line);
    case SKEP_ERROR:
        return -ECANCELED;
    case SKEP_STOP:
        return 1;
    case SKEP_MODE:
    case SKEP_WORK:
    case SKEP_TURN:
    case SKEP_APPROVED:
    case SKEP_CANCEL:
    case SKEP_RESPONSE:
    case SKEP_OK:
    case SKEP_OTHER:
        return 0;
    }
    return 0;
}

static int counter_run(struct counter *c, long long tick_ms)
{
    long long due_ms = now_ms() + tick_ms;
    bool ticking = false;
    int r = 0;

    while (r == 0) {
        struct skep_line line;
        long long left_ms = due_ms - now_ms();
        r = skep_worker_next(c->w, !ticking ? -1 : left_ms > 0 ? (int)left_ms : 0, &line);
        if (r > 0) {
            r = counter_step(c, &line);
            ticking = tick_ms && !c->handed_over;
        }
        if (r == 0 && ticking && now_ms() >= due_ms) {
            due_ms = now_ms() + tick_ms;
            r = counter_add(c);
        }
    }
    return r > 0 ? 0 : die("the channel", r);
}

int main(int argc, char **argv)
{
    struct counter c = {0};
    long long tick_ms = argc == 3 && !strcmp(argv[1], "--tick") ? atoll(argv[2]) : 0;
    int r;

    if (argc != 1 && tick_ms <= 0) {
        fprintf(stderr, "usage: counter [--tick MS]\n");
        return 64;
    }
    signal(SIGTERM, SIG_IGN); /* the line "stop" comes with it, and is enough */
    r = skep_worker_open(&c.w);
    if (r < 0)
        return die("start me with skep", r);
    r = counter_run(&c, tick_ms);
    skep_worker_free(c.w);
    return r;
}
