#include "base/prng.h"

#include <string.h>

#include "base/ensure.h"

uint64_t prng_mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

void prng_init(struct prng *p, uint64_t seed)
{
    for (int i = 0; i < 4; i++)
        p->s[i] = seed = prng_mix(seed + (uint64_t)i);
}

static uint64_t rotl(uint64_t x, int k)
{
    return x << k | x >> (64 - k);
}

uint64_t prng_next(struct prng *p)
{
    uint64_t *s = p->s, result = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

uint64_t prng_below(struct prng *p, uint64_t n)
{
    ensure(n > 0, "empty range");
    return (uint64_t)((unsigned __int128)prng_next(p) * n >> 64);
}

void prng_fill(struct prng *p, void *bytes, size_t n)
{
    unsigned char *b = bytes;
    while (n) {
        uint64_t word = prng_next(p);
        size_t part = n < sizeof word ? n : sizeof word;
        memcpy(b, &word, part);
        b += part;
        n -= part;
    }
}
