/* prng: a small deterministic generator (xoshiro256**, Blackman and Vigna 2018; seeded by splitmix64).
 * For jitter, sampling and the simulator. Never for secrets.
 */
#ifndef SKEP_BASE_PRNG_H
#define SKEP_BASE_PRNG_H

#include <stddef.h>
#include <stdint.h>

struct prng {
    uint64_t s[4];
};

void prng_init(struct prng *p, uint64_t seed);
uint64_t prng_next(struct prng *p);
/* Uniform in [0, n); n > 0. */
uint64_t prng_below(struct prng *p, uint64_t n);
void prng_fill(struct prng *p, void *bytes, size_t n);
/* splitmix64 finaliser: a good mix of one word. */
uint64_t prng_mix(uint64_t x);

#endif
