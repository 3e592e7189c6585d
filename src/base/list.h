/* list, hash: the only door to queue.h and uthash. Use their macros through this header. */
#ifndef SKEP_BASE_LIST_H
#define SKEP_BASE_LIST_H

#include <sys/queue.h>

#include "base/ensure.h"

#define uthash_fatal(msg) unreachable("uthash: %s", msg)
#include <uthash.h>

#ifndef TAILQ_FOREACH_SAFE
#define TAILQ_FOREACH_SAFE(var, head, field, next)                                                           \
    for ((var) = TAILQ_FIRST(head); (var) && ((next) = TAILQ_NEXT(var, field), 1); (var) = (next))
#endif

#endif
