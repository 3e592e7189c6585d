/* The score of a node for a name is -ln(u) / w, least wins, with u uniform in (0, 1) from the hash of both.
 *
 *   u     = (prng_mix(name_hash ^ XXH64(node id)) + 1) / 2^64
 *   cost  = -log2(u) in 2^-48 steps, by repeated squaring in 128-bit integers
 *   order = cost / weight, compared by cross-multiplying; then the raw hash, greater first; then the id
 *
 * Cost never rises with the raw hash, so among equal weights this is the order of the raw hashes, and no
 * logarithm is taken.
 * This file refuses to know what makes a node eligible.
 */
#include "core/place.h"

#include <string.h>
#include <xxhash.h>

#include "base/prng.h"

#define COST_BITS  48
#define WEIGHT_ONE 65536.0
#define WEIGHT_MAX 65536.0

struct score {
    uint64_t raw, weight; /* weight 0: not eligible */
    const struct id *id;
};

/* The swarm's hash is the seed of the name's, which keeps ("ab", "c") and ("a", "bc") apart. */
uint64_t place_hash(const char *swarm, const char *name)
{
    return XXH64(name, strlen(name), XXH64(swarm, strlen(swarm), 0));
}

/* -log2(raw / 2^64) in units of 2^-COST_BITS. The fraction's bits come one by one: square the mantissa, and a
 * result of 2 or more is a 1. */
static uint64_t cost_of(uint64_t raw)
{
    uint64_t x = raw ? raw : 1;
    int zeros = __builtin_clzll(x);
    uint64_t mantissa = x << zeros, log = 0; /* mantissa / 2^63 is in [1, 2) */
    for (int i = 0; i < COST_BITS; i++) {
        unsigned __int128 square = (unsigned __int128)mantissa * mantissa; /* / 2^126: in [1, 4) */
        unsigned bit = (unsigned)(square >> 127);
        mantissa = (uint64_t)(square >> (63 + bit));
        log = log << 1 | bit;
    }
    return ((uint64_t)(zeros + 1) << COST_BITS) - log;
}

static uint64_t weight_of_any(const struct place_node *node)
{
    if (!(node->weight > 0))
        return 0;
    double weight = node->weight < WEIGHT_MAX ? node->weight : WEIGHT_MAX;
    return (uint64_t)(weight * WEIGHT_ONE + 0.5);
}

static uint64_t weight_of(const struct place_node *node)
{
    return node->eligible ? weight_of_any(node) : 0;
}

static struct score score_of(const struct place_node *node, uint64_t name_hash)
{
    struct score s = {.weight = weight_of(node), .id = &node->id};
    if (s.weight)
        s.raw = prng_mix(name_hash ^ XXH64(node->id.b, sizeof node->id.b, 0));
    return s;
}

static bool better(const struct score *a, const struct score *b)
{
    if (a->weight != b->weight) {
        unsigned __int128 left = (unsigned __int128)cost_of(a->raw) * b->weight;
        unsigned __int128 right = (unsigned __int128)cost_of(b->raw) * a->weight;
        if (left != right)
            return left < right;
    }
    if (a->raw != b->raw)
        return a->raw > b->raw;
    return id_compare(a->id, b->id) < 0;
}

int place_pick(const struct place_node *nodes, size_t n, uint64_t name_hash)
{
    int winner = -1;
    struct score best = {0};
    for (size_t i = 0; i < n; i++) {
        struct score s = score_of(&nodes[i], name_hash);
        if (s.weight && (winner < 0 || better(&s, &best))) {
            best = s;
            winner = (int)i;
        }
    }
    return winner;
}

size_t place_rank(const struct place_node *nodes, size_t n, uint64_t name_hash, size_t r, int *ret_index)
{
    size_t found = 0;
    for (size_t i = 0; i < n; i++) {
        struct score s = score_of(&nodes[i], name_hash);
        if (!s.weight)
            continue;
        size_t at = found;
        for (; at > 0; at--) {
            struct score above = score_of(&nodes[ret_index[at - 1]], name_hash);
            if (!better(&s, &above))
                break;
        }
        if (at >= r)
            continue;
        size_t kept = found < r ? found : r - 1;
        memmove(ret_index + at + 1, ret_index + at, (kept - at) * sizeof *ret_index);
        ret_index[at] = (int)i;
        found = kept + 1;
    }
    return found;
}

double place_cost(const struct place_node *node, uint64_t name_hash)
{
    struct score s = score_of(node, name_hash);
    if (!s.weight)
        return -1;
    return (double)cost_of(s.raw) / (double)(UINT64_C(1) << COST_BITS) / ((double)s.weight / WEIGHT_ONE);
}

/* ---- with what they carry already ---- */

int place_pick_bounded(const struct place_node *nodes, const struct place_load *loads, size_t n,
                       int64_t bound_percent, uint64_t name_hash)
{
    unsigned __int128 weights = 0, children = 1;
    int winner = -1;
    struct score best = {0};
    for (size_t i = 0; i < n; i++)
        if (weight_of(&nodes[i])) {
            weights += weight_of(&nodes[i]);
            children += (uint64_t)loads[i].has;
        }
    for (size_t i = 0; i < n; i++) {
        struct score s = score_of(&nodes[i], name_hash);
        unsigned __int128 has = (uint64_t)loads[i].has;
        if (s.weight && has * weights * 100 < children * s.weight * (uint64_t)bound_percent &&
            (winner < 0 || better(&s, &best))) {
            best = s;
            winner = (int)i;
        }
    }
    return winner;
}

struct zone {
    uint64_t has, weight;
};

/* What one zone has and weighs. */
static struct zone zone_sum(const struct place_node *nodes, const struct place_load *loads, size_t n,
                            int zone)
{
    struct zone sum = {0};
    for (size_t i = 0; i < n; i++)
        if (loads[i].zone == zone && weight_of_any(&nodes[i])) {
            sum.has += (uint64_t)loads[i].has;
            sum.weight += weight_of_any(&nodes[i]);
        }
    return sum;
}

static int zones_compare(const struct zone *a, const struct zone *b)
{
    unsigned __int128 left = (unsigned __int128)a->has * b->weight;
    unsigned __int128 right = (unsigned __int128)b->has * a->weight;
    return left < right ? -1 : left > right;
}

void place_spread(struct place_node *nodes, const struct place_load *loads, size_t n)
{
    struct zone least = {0};
    for (size_t i = 0; i < n; i++) {
        if (!weight_of(&nodes[i]))
            continue;
        struct zone sum = zone_sum(nodes, loads, n, loads[i].zone);
        if (!least.weight || zones_compare(&sum, &least) < 0)
            least = sum;
    }
    for (size_t i = 0; i < n; i++) {
        if (!weight_of(&nodes[i]))
            continue;
        struct zone sum = zone_sum(nodes, loads, n, loads[i].zone);
        nodes[i].eligible = zones_compare(&sum, &least) == 0;
    }
}
