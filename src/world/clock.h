/* The clocks a node reads. Only src/real and src/sim implement them. */
#ifndef SKEP_WORLD_CLOCK_H
#define SKEP_WORLD_CLOCK_H

#include <stdint.h>

struct world_clock {
    void *self;
    int64_t (*real_ms)(void *self); /* CLOCK_REALTIME: may jump */
    int64_t (*boot_ms)(void *self); /* CLOCK_BOOTTIME: never steps back, counts suspend */
};

#endif
