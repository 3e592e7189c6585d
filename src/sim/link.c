/* The links of the simulated network, each one way: what they do to packets, and since when.
 *
 * It refuses to know what a packet is, and what an end makes of a silence (net.c).
 */
#include "base/ensure.h"
#include "sim/inside.h"

#define RESEND_US 200000
#define LOSS_MAX  500000              /* of a million: something gets through */
#define ENDS      (SIM_NODES_MAX + 1) /* with the clients */

struct link {
    enum simlink_state state;
    bool shaped;
    struct sim_link shape;
};

struct simlinks {
    struct link links[ENDS][ENDS];
};

struct simlinks *simlinks_new(void)
{
    return mem_alloc(sizeof(struct simlinks));
}

void simlinks_free(struct simlinks *l)
{
    free(l);
}

static struct link *link_get(const struct sim *s, int from, int to)
{
    ensure(from >= SIM_CLIENTS && from < s->nodes_n && to >= SIM_CLIENTS && to < s->nodes_n, "link %d to %d",
           from, to);
    return &s->links->links[from + 1][to + 1];
}

static const char *end_name(const struct sim *s, int index)
{
    return index == SIM_CLIENTS ? "clients" : s->nodes[index].name;
}

/* Notes it, if it is news. */
static void state_set(struct sim *s, int from, int to, enum simlink_state state)
{
    static const char *const words[] = {"open", "cut", "rejecting"};
    struct link *l = link_get(s, from, to);
    if (l->state != state)
        sim_note(s, NULL, "link %s to %s: %s", end_name(s, from), end_name(s, to), words[state]);
    l->state = state;
}

void sim_cut(struct sim *s, int from, int to)
{
    state_set(s, from, to, LINK_SILENT);
}

void sim_reject(struct sim *s, int from, int to)
{
    state_set(s, from, to, LINK_REJECTS);
}

void sim_heal(struct sim *s, int from, int to)
{
    state_set(s, from, to, LINK_OPEN);
}

void sim_link(struct sim *s, int from, int to, const struct sim_link *shape)
{
    struct link *l = link_get(s, from, to);
    ensure(!shape || shape->loss_ppm <= LOSS_MAX, "%d packets of a million are lost", shape->loss_ppm);
    if (shape)
        l->shape = *shape;
    if (shape)
        sim_note(s, NULL, "link %s to %s: %lld to %lld us, %d ppm lost, %d ppm broken", end_name(s, from),
                 end_name(s, to), (long long)shape->delay.min_us, (long long)shape->delay.max_us,
                 shape->loss_ppm, shape->break_ppm);
    else if (l->shaped)
        sim_note(s, NULL, "link %s to %s: as always", end_name(s, from), end_name(s, to));
    l->shaped = shape != NULL;
}

void sim_heal_all(struct sim *s)
{
    for (int from = SIM_CLIENTS; from < s->nodes_n; from++) {
        for (int to = SIM_CLIENTS; to < s->nodes_n; to++) {
            sim_heal(s, from, to);
            sim_link(s, from, to, NULL);
        }
    }
}

enum simlink_state simlink_state(const struct sim *s, int from, int to)
{
    return link_get(s, from, to)->state;
}

int64_t simlink_delay_us(struct sim *s, int from, int to)
{
    const struct link *l = link_get(s, from, to);
    int loss_ppm = l->shaped ? l->shape.loss_ppm : s->opts.loss_ppm;
    int64_t us = sim_draw(&s->net_prng, l->shaped ? l->shape.delay : s->opts.link);
    for (int64_t again = RESEND_US; prng_below(&s->net_prng, 1000000) < (uint64_t)loss_ppm; again *= 2)
        us += again;
    return us;
}

bool simlink_breaks(struct sim *s, int from, int to)
{
    const struct link *l = link_get(s, from, to);
    return l->shaped && l->shape.break_ppm &&
           prng_below(&s->net_prng, 1000000) < (uint64_t)l->shape.break_ppm;
}
