/* The table of a light cluster: one thing after the other, each with nothing else going on. */
#include "sim/main/light.h"

#include <stdio.h>

#include "core/fanout.h"
#include "sim/light.h"

#define ROWS       10 /* watched one by one */
#define PER_SECOND 10
#define PATIENCE_S 120
#define STEP_US    10000
#define LOSS_PPM   20000

struct course {
    struct light *l;
    int64_t third_us;
    int status;
};

static double seconds(int64_t us)
{
    return (double)us / SIM_SECOND;
}

/* Until that is so, or for long enough. */
static bool until(struct course *c, bool (*done)(struct course *c, int64_t about), int64_t about)
{
    int64_t end_us = light_now_us(c->l) + PATIENCE_S * SIM_SECOND;
    while (!done(c, about) && light_now_us(c->l) < end_us)
        light_run(c->l, light_now_us(c->l) + STEP_US);
    bool good = done(c, about);
    if (!good)
        c->status = 1;
    return good;
}

static void row(const char *what, const char *figure)
{
    printf("%-48s %s\n", what, figure);
}

/* ---- what it costs ---- */

static void costs(const struct course *c, const char *what, const struct light_counters *a, int64_t from_us)
{
    struct light_counters b = light_counters(c->l);
    double node_s = seconds(light_now_us(c->l) - from_us) * light_alive(c->l);
    AUTOFREE char *figure =
        mem_printf("%.1f messages/s, %.0f bytes/s, %.1f pulls/s, %.1f pings/s",
                   (double)(b.messages - a->messages) / node_s, (double)(b.bytes - a->bytes) / node_s,
                   (double)(b.pulls - a->pulls) / node_s, (double)(b.pings - a->pings) / node_s);
    row(what, figure);
}

static void idle(struct course *c)
{
    struct light_counters a = light_counters(c->l);
    int64_t from_us = light_now_us(c->l);
    light_run(c->l, from_us + c->third_us);
    costs(c, "idle, a node", &a, from_us);
}

/* ---- how rows spread ---- */

static bool is_everywhere(struct course *c, int64_t about)
{
    return light_spread_us(c->l, (int)about) >= 0;
}

static int ascending(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void tell_spread(const struct course *c, const char *what, int first, int count, bool rounds)
{
    AUTOFREE int64_t *us = mem_array((size_t)count, sizeof *us);
    for (int i = 0; i < count; i++)
        us[i] = light_spread_us(c->l, first + i);
    qsort(us, (size_t)count, sizeof *us, ascending);
    double median = seconds(us[count / 2]), most = seconds(us[count - 1]), round_s = 0.5;
    AUTOFREE char *figure = rounds
                                ? mem_printf("median %.1f rounds of 500 ms (%.2f s), longest %.1f (%.2f s)",
                                             median / round_s, median, most / round_s, most)
                                : mem_printf("median %.3f s, longest %.3f s", median, most);
    row(what, figure);
}

static void spread(struct course *c, const char *what, bool pokes)
{
    int first = -1;
    light_set_pokes(c->l, pokes);
    for (int i = 0; i < ROWS; i++) {
        light_run(c->l, light_now_us(c->l) + SIM_SECOND + i * 137000);
        int written = light_write(c->l, light_any(c->l));
        first = first < 0 ? written : first;
        if (!until(c, is_everywhere, written)) {
            row(what, "never");
            return;
        }
    }
    light_set_pokes(c->l, true);
    tell_spread(c, what, first, ROWS, !pokes);
}

/* PER_SECOND writes for a third of the time; returns the first row. */
static int load(struct course *c, int *ret_count)
{
    int64_t end_us = light_now_us(c->l) + c->third_us;
    int first = -1, count = 0;
    while (light_now_us(c->l) < end_us) {
        int written = light_write(c->l, light_any(c->l));
        first = first < 0 ? written : first;
        count++;
        light_run(c->l, light_now_us(c->l) + SIM_SECOND / PER_SECOND);
    }
    *ret_count = count;
    return first;
}

static bool are_everywhere(struct course *c, int64_t last)
{
    for (int64_t i = 0; i <= last; i++)
        if (light_spread_us(c->l, (int)i) < 0)
            return false;
    return true;
}

static void loaded(struct course *c, const char *cost, const char *spreads)
{
    struct light_counters a = light_counters(c->l), b;
    int64_t from_us = light_now_us(c->l);
    int count, first = load(c, &count);
    costs(c, cost, &a, from_us);
    b = light_counters(c->l);
    AUTOFREE char *figure =
        mem_printf("%.2f", (double)(b.rows - a.rows) / (double)(b.rows - a.rows - (b.twice - a.twice)));
    row("  a row comes to a node so many times", figure);
    if (until(c, are_everywhere, first + count - 1))
        tell_spread(c, spreads, first, count, false);
    else
        row(spreads, "never");
}

/* ---- who is there ---- */

static bool all_mourn(struct course *c, int64_t about)
{
    return light_mourners(c->l, (int)about) == light_alive(c->l);
}

static bool half_mourn(struct course *c, int64_t about)
{
    return 2 * light_mourners(c->l, (int)about) >= light_alive(c->l);
}

static bool one_mourns(struct course *c, int64_t about)
{
    return light_mourners(c->l, (int)about) > 0;
}

static void killed(struct course *c, const char *what, bool silent)
{
    int about = light_any(c->l);
    int64_t from_us = light_now_us(c->l);
    light_kill(c->l, about, silent);
    until(c, one_mourns, about);
    double first = seconds(light_now_us(c->l) - from_us);
    until(c, half_mourn, about);
    double half = seconds(light_now_us(c->l) - from_us);
    AUTOFREE char *figure = until(c, all_mourn, about)
                                ? mem_printf("first %.2f s, half %.2f s, everywhere %.2f s", first, half,
                                             seconds(light_now_us(c->l) - from_us))
                                : mem_dup("not everywhere");
    row(what, figure);
}

static void lossy(struct course *c)
{
    light_set_loss(c->l, LOSS_PPM);
    struct light_counters a = light_counters(c->l), b;
    loaded(c, "2 % of packets lost, 10 writes/s, a node", "  a row is everywhere");
    b = light_counters(c->l);
    AUTOFREE char *figure =
        mem_printf("%lld of %lld pings, %lld nobody got through, %lld held for down",
                   (long long)(b.suspicions - a.suspicions), (long long)(b.pings - a.pings),
                   (long long)(b.hints - a.hints), (long long)(b.false_downs - a.false_downs));
    row("  living nodes that did not answer in time", figure);
    light_set_loss(c->l, 0);
}

static bool is_settled(struct course *c, int64_t about UNUSED)
{
    return light_settled(c->l);
}

static void storm(struct course *c, int joiners)
{
    struct light_counters a = light_counters(c->l);
    int64_t from_us = light_now_us(c->l);
    for (int i = 0; i < joiners; i++)
        light_join(c->l);
    AUTOFREE char *what = mem_printf("%d join at once", joiners);
    if (!until(c, is_settled, 0)) {
        row(what, "not all know all");
        return;
    }
    struct light_counters b = light_counters(c->l);
    AUTOFREE char *figure =
        mem_printf("all know all after %.2f s, %.0f bytes a node", seconds(light_now_us(c->l) - from_us),
                   (double)(b.bytes - a.bytes) / light_alive(c->l));
    row(what, figure);
}

/* ---- pubsub and gossip ---- */

/* A row alone, with nothing but pokes: what it costs, whom it reaches. */
static void pokes_alone(struct light_opts o, const char *what)
{
    int64_t reached = 0, by_writer = 0;
    int hops = 0;
    o.sync_ms = PATIENCE_S * 10000;
    struct light *l = light_new(&o);
    light_run(l, SIM_SECOND);
    struct light_counters a = light_counters(l);
    for (int i = 0; i < ROWS; i++) {
        int writer = light_any(l);
        by_writer -= light_news_bytes(l, writer);
        int written = light_write(l, writer);
        light_run(l, light_now_us(l) + SIM_SECOND);
        by_writer += light_news_bytes(l, writer);
        reached += light_holders(l, written);
        hops = light_hops(l, written) > hops ? light_hops(l, written) : hops;
    }
    struct light_counters b = light_counters(l);
    AUTOFREE char *figure = mem_printf(
        "%.1f messages, %.0f bytes a row, %.0f by its writer; %.1f %% reached, %d rounds",
        (double)(b.news_messages - a.news_messages) / ROWS, (double)(b.news_bytes - a.news_bytes) / ROWS,
        (double)by_writer / ROWS, 100.0 * (double)reached / ROWS / o.nodes, hops);
    row(what, figure);
    light_free(l);
}

static int strategy(struct light_opts o, int recipients)
{
    AUTOFREE char *what = recipients ? mem_printf("gossip, %d recipients: pokes alone", recipients)
                                     : mem_dup("pubsub: pokes alone");
    o.recipients = recipients;
    pokes_alone(o, what);
    struct course c = {.l = light_new(&o)};
    light_run(c.l, 5 * SIM_SECOND);
    spread(&c, "  with pulls, a row is everywhere", true);
    light_free(c.l);
    return c.status;
}

int light_table(uint64_t seed, int nodes, int64_t for_us)
{
    int joiners = nodes < 100 ? nodes : 100;
    struct light_opts o = light_opts_default(seed, nodes);
    o.spare = joiners;
    struct course c = {.l = light_new(&o), .third_us = for_us / 3};
    printf("%d light nodes, seed %llu; pulls: %s\n", nodes, (unsigned long long)seed,
           fanout_is_mesh((size_t)nodes) ? "a mesh" : "3 drawn a tick of 500 ms");
    light_run(c.l, 5 * SIM_SECOND);
    idle(&c);
    spread(&c, "a row is everywhere without pokes", false);
    spread(&c, "a row is everywhere", true);
    loaded(&c, "10 writes/s, a node", "  a row is everywhere");
    killed(&c, "killed, connections refused: known to be down", false);
    killed(&c, "without power, silent: known to be down", true);
    lossy(&c);
    storm(&c, joiners);
    for (int recipients = 0; recipients <= FANOUT_PEERS; recipients++)
        c.status |= strategy(o, recipients);
    printf("%.1f s simulated, digest %016llx\n", seconds(light_now_us(c.l)),
           (unsigned long long)light_digest(c.l));
    light_free(c.l);
    return c.status;
}
