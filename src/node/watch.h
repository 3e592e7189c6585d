/* watch: what follows from a clock that may not be believed (core/clockwatch.h judges it). */
#ifndef SKEP_NODE_WATCH_H
#define SKEP_NODE_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "core/clockwatch.h"
#include "world/clock.h"

struct node;

struct watch {
    struct clockwatch clock;
    struct world_clock stamps; /* the clock of the store: what is believed, and boot time inside a turn */
    int64_t set_ms;            /* boot: when what is believed last jumped; INT64_MIN = never */
    const char *fact;          /* waits to be logged; NULL = none */
    char said[160];            /* its data, JSON */
    bool stamped_ahead, unasked_ok; /* a new run is due; nobody but this node can have seen its rows */
};

/* The first reading, before the store is opened. */
void watch_begin(struct node *n);
/* The store is open, and this run's first rows are in it. */
void watch_opened(struct node *n);
/* At the beginning of a turn: what time it is. */
void watch_read(struct node *n);
/* With the peers' clocks: after an answer of theirs, and once a turn. */
void watch_judge(struct node *n);
/* Whether nothing may be stamped. */
bool watch_frozen(const struct node *n);
/* Whether others refuse this node's rows, for they are from the future: it is out of every view then, or all
 * would wait for a chain of its pages that brings everything. */
bool watch_refused(const struct node *n);
/* SKEP_ECLOCK with what is off and what to do. */
int watch_refuse(const struct node *n, struct err *e);
/* Whether what is believed has gone on without a jump for so long: nothing ends of its own before that. */
bool watch_period(const struct node *n, int64_t period_ms);
/* How far the clock of a peer is ahead of what this node believes; of its own the same with id NULL. */
struct peer;
int64_t watch_off_ms(const struct node *n, const struct peer *p);

bool watch_has_work(const struct node *n);
/* What needs the store; inside a handler. */
int watch_work(struct node *n);
/* When a run begins: rows that the last one stamped ahead of a clock that was put right since get stamps of
 * this one. Inside the first transaction, before any stamp. */
int watch_restamp(struct node *n);

#endif
