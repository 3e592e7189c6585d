/* effect: the list that a batch leaves behind; see node/brain.h for how to add to it. */
#ifndef SKEP_NODE_EFFECT_H
#define SKEP_NODE_EFFECT_H

#include "node/brain.h"

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
