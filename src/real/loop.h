/* loop: libevent's loop, timers and signals for those who also know world/event.h, where an event is a fact.
 */
#ifndef SKEP_REAL_LOOP_H
#define SKEP_REAL_LOOP_H

struct event_base;
struct loop;
struct loop_timer;

struct loop *loop_new(void);
/* Frees its timers and signals too. Accepts NULL. */
void loop_free(struct loop *l);
struct event_base *loop_base(struct loop *l);
/* Runs until loop_end. */
void loop_run(struct loop *l);
void loop_end(struct loop *l);

/* A timer that is not running yet; owned by the loop. */
struct loop_timer *loop_timer_new(struct loop *l, void (*fire)(void *ctx), void *ctx);
/* Fires once, in ms from now. */
void loop_timer_start(struct loop_timer *t, int ms);
/* Calls got on the loop's thread with each signal of this number from now on. */
void loop_signal(struct loop *l, int number, void (*got)(void *ctx, int number), void *ctx);

#endif
