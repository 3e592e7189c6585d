/* effect: what a batch wants done, and what it takes to make it unhappen. Handlers add (eff_*, node_touch);
 * the turn marks, drops and releases.
 */
#ifndef SKEP_NODE_EFFECT_H
#define SKEP_NODE_EFFECT_H

#include "world/world.h"

struct node;

struct effects;

void eff_answer(struct node *n, uint64_t request, struct answer *a TAKES);
void eff_call(struct node *n, struct peer_call *c TAKES);
/* Ends all calls to that node and its connections. */
void eff_reset(struct node *n, const struct id *node);
void eff_spawn(struct node *n, struct spawn *s TAKES);
void eff_terminate(struct node *n, uint64_t run);
void eff_kill(struct node *n, uint64_t run);
/* A line to a worker's channel. */
void eff_line(struct node *n, uint64_t run, struct str *line TAKES);
/* fn(n, arg) after the commit, in its place among the other effects; drop(arg) if it never happened. */
void eff_do(struct node *n, void (*fn)(struct node *n, void *arg), void *arg, void (*drop)(void *arg));
/* p[0..bytes) will be changed in place: restored if this handler fails. */
void node_touch(struct node *n, void *p, size_t bytes);

/* ---- for the turn ---- */

struct mark {
    size_t effects, undos;
};

struct effects *effects_new(void);
void effects_free(struct effects *fx);
struct mark effects_mark(const struct effects *fx);
/* Drops the effects since the mark and restores the memory touched since, newest first. */
void effects_drop(struct effects *fx, struct mark m);
/* After the commit: everything leaves, in order. */
void effects_release(struct node *n);

#endif
