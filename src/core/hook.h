/* hook: which hooks an event is for, in which order they are run, and when.
 *
 * Pure: a hook here is what it listens to and how often it may run; what it runs is somebody else's matter.
 * Between the events of one hook the order is that of the events as long as all goes well. One that fails is
 * tried again later and holds up the others only for the pause that follows each failure, so neither a dead
 * receiver is called all the time nor an event that nobody can digest stops those behind it.
 */
#ifndef SKEP_CORE_HOOK_H
#define SKEP_CORE_HOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- which ---- */

enum hook_where { HOOK_ORIGIN, HOOK_EVERY };

/* What a hook listens to. All borrowed; NULL = any. */
struct hook_filter {
    const char *event, *swarm, *name; /* patterns with * and ? */
    const char *const *nodes; /* names of nodes that run it, NULL-terminated; NULL = as `where` says */
    enum hook_where where;
};

/* What happened. */
struct hook_fact {
    const char *type, *swarm, *name; /* swarm, name: NULL = the event has none */
    const char *node;                /* the name of the node that asks */
    bool origin;                     /* it happened on this node, not on another one that told of it */
};

bool hook_wants(const struct hook_filter *f, const struct hook_fact *fact);

/* < 0: the first one runs before the second. Descending priority, then by id, then by event. */
struct hook_rank {
    int64_t priority;
    const char *id, *event;
};
int hook_order(const struct hook_rank *a, const struct hook_rank *b);

/* ---- when ---- */

#define HOOK_PAUSE_MIN_MS 500
#define HOOK_PAUSE_MAX_MS 60000
#define HOOK_AGAIN_MAX_MS 300000

/* A hook's own pace. Zero bytes: idle, and all is well. */
struct hook_gate {
    int64_t running, paused_until_ms;
    unsigned failures; /* in a row */
};

bool hook_may(const struct hook_gate *g, int64_t concurrency, int64_t now_ms);
void hook_began(struct hook_gate *g);
/* A call ended. random: any number. */
void hook_ended(struct hook_gate *g, bool ok, int64_t now_ms, uint64_t random);
/* When an event is tried again whose attempt number `attempts` (1, 2 …) failed. */
int64_t hook_again_ms(unsigned attempts, int64_t now_ms, uint64_t random);

/* ---- what waits ---- */

struct hook_item {
    int64_t id, due_ms; /* id: grows with time, and within an event with falling priority */
    int64_t first;      /* the least id of its event; 0: not known, then it waits for nobody */
    unsigned attempts;
    bool running;
};

/* The events that wait for one hook, oldest first. Zero bytes: none. */
struct hook_queue {
    struct hook_item *list; /* owned */
    size_t n, cap;
};

void hook_queue_fini(struct hook_queue *q);
/* Its id is above all others there. */
void hook_queue_add(struct hook_queue *q, struct hook_item item);
/* NULL: there is none. */
struct hook_item *hook_queue_find(const struct hook_queue *q, int64_t id);
void hook_queue_drop(struct hook_queue *q, int64_t id);
/* What has been due longest and does not run, of equal ones the oldest; so what fails goes behind what waits.
 * NULL: none is due. */
struct hook_item *hook_queue_next(const struct hook_queue *q, int64_t now_ms);
/* Whether a hook before it, of this queue, has still to be told of the same event for the first time. */
bool hook_queue_before(const struct hook_queue *q, const struct hook_item *it);
/* When there will be one; INT64_MAX: nothing waits. */
int64_t hook_queue_due_ms(const struct hook_queue *q);
/* The id of the oldest that does not run; 0: there is none. */
int64_t hook_queue_oldest(const struct hook_queue *q);

#endif
