/* Unpredictable bytes: getrandom() for real, the seed's generator in the simulator. */
#ifndef SKEP_WORLD_RANDOM_H
#define SKEP_WORLD_RANDOM_H

#include <stddef.h>

struct world_random {
    void *self;
    void (*fill)(void *self, void *bytes, size_t n);
};

#endif
