/* Draws settings of `synchronization`. A request that is no good is the only thing that can go wrong. */
#include "sim/whim.h"

#include "base/mem.h"

#define TIMEOUT_MS 10000

static void done(struct sim *s, void *arg UNUSED, const struct sim_reply *r)
{
    if (r->status == 400 || r->status == 500)
        sim_violation(s, "settings of a swarm: %d %.200s", r->status, r->body);
}

/* Every node serves it, and no two are the same, for what changes nothing must not be written. */
static char *settings(struct sim *s)
{
    static const int intervals_ms[] = {50, 200, 5000};
    static const char *const kinds[] = {"\"pubsub\"", "\"gossip\",\"recipients\":1",
                                        "\"gossip\",\"recipients\":2", "\"gossip\""};
    struct prng *p = sim_prng(s);
    return mem_printf(
        "{\"nodes\":[\"*\",\"!at-%lld\"],\"synchronization\":{\"kind\":%s,\"sync_interval_ms\":%d}}",
        (long long)sim_now_us(s), kinds[prng_below(p, COUNT(kinds))],
        intervals_ms[prng_below(p, COUNT(intervals_ms))]);
}

void whim_act(struct sim *s)
{
    AUTOFREE char *body = settings(s);
    struct sim_ask a = {.node = (int)prng_below(sim_prng(s), (uint64_t)sim_nodes(s)),
                        .method = HTTP_M_PUT,
                        .path = "/v1/swarms/default",
                        .body = body,
                        .timeout_ms = TIMEOUT_MS,
                        .done = done};
    sim_ask(s, &a);
}
