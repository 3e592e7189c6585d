/* hlc: hybrid logical clock stamps. 48 bits of milliseconds since 1970, 16 bits of counter, in an int64.
 *
 * After Kulkarni et al., "Logical Physical Clocks", 2014. A stamp is unique per row write of an actor.
 */
#ifndef SKEP_BASE_HLC_H
#define SKEP_BASE_HLC_H

#include <stdint.h>

#define HLC_AHEAD_MS_MAX 5000 /* a stamp further ahead of the receiver's clock is not accepted */

static inline int64_t hlc_ms(int64_t hlc)
{
    return hlc >> 16;
}

static inline int64_t hlc_at(int64_t real_ms)
{
    return (int64_t)((uint64_t)real_ms << 16);
}

/* The next stamp after `last` at real_ms: never less than either. */
static inline int64_t hlc_next(int64_t last, int64_t real_ms)
{
    int64_t now = hlc_at(real_ms);
    return now > last ? now : last + 1;
}

#endif
