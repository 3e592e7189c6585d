/* brake: the mass-failure brake. When much of the cluster falls silent at once, this node is probably the one
 * that was cut off; then what silent nodes own is left alone for a while.
 *
 * Counts unproven deaths only: silence, never refused connections, leaves or drains. It needs at least
 * nodes_min members, and more than `percent` of them and at least deaths_min within window_ms. In the quorum
 * modes there is none: the register decides. Nothing is owned by it, all times are ms of CLOCK_BOOTTIME.
 */
#ifndef SKEP_CORE_BRAKE_H
#define SKEP_CORE_BRAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/id.h"

struct brake_opts {
    size_t nodes_min, deaths_min;
    int percent;
    int64_t window_ms, brake_ms;
};
#define BRAKE_OPTS_DEFAULT ((struct brake_opts){5, 2, 30, 30000, 30000})

struct brake_death {
    struct id node;
    int64_t at_ms;
};

/* Zero bytes are a released brake without history. */
struct brake {
    struct brake_death *deaths; /* owned; those within the window, oldest first */
    size_t n, cap;
    int64_t until_ms; /* held before this moment */
};

void brake_fini(struct brake *b);
/* A node went down by silence; members counts the cluster's members, the dead included, this node included.
 * True if that pulled a released brake: an event is due. A further death prolongs a held one. */
bool brake_silent(struct brake *b, const struct brake_opts *o, const struct id *node, size_t members,
                  int64_t at_ms);
/* The node lives after all: its death no longer counts. A held brake stays held. */
void brake_alive(struct brake *b, const struct id *node);
bool brake_held(const struct brake *b, int64_t now_ms);

#endif
