/* The nemesis: it decides which kinds a run has, when they strike and whom, and whether that is within
 * bounds. It refuses to know what a blow does (blow.c), and what must be true afterwards (load.c,
 * scenario.c).
 */
#include "sim/nemesis.h"

#include <string.h>

#include "base/ensure.h"
#include "sim/blow.h"

#define POLL_US    (SIM_SECOND / 2)
#define RETURN_MIN (1 * SIM_SECOND) /* until a node that is down comes back */
#define RETURN_MAX (10 * SIM_SECOND)
#define BURST_US   (SIM_SECOND / 50) /* operations take about so long */
#define WELL_US    (5 * SIM_SECOND)  /* what has been well for so long is well */
#define WISH_US    (25 * SIM_SECOND) /* how long others hold back for who wants all to be well */
#define SETTLE_US  (15 * SIM_SECOND) /* until promises hold again */

#define LOT_SALT UINT64_C(0x6e656d65736973)
#define KINDS    (NEMESIS_BIT(NEMESIS_KINDS) - 1)

#define OFF_BY_DEFAULT (NEMESIS_BIT(NEMESIS_REJECT) | NEMESIS_BIT(NEMESIS_FLIP))
#define ALL            (KINDS & ~OFF_BY_DEFAULT)

/* ---- Words ---- */

const struct nemesis_word nemesis_words[] = {
    {"none", 0, "no fault at all"},
    {"kill", NEMESIS_BIT(NEMESIS_KILL), "kill -9 of skepd"},
    {"stop", NEMESIS_BIT(NEMESIS_STOP), "SIGTERM"},
    {"power", NEMESIS_BIT(NEMESIS_POWER), "power cuts"},
    {"pause", NEMESIS_BIT(NEMESIS_PAUSE), "SIGSTOP for a while"},
    {"partition", NEMESIS_BIT(NEMESIS_PARTITION), "links cut both ways"},
    {"oneway", NEMESIS_BIT(NEMESIS_ONEWAY), "links cut one way"},
    {"reject", NEMESIS_BIT(NEMESIS_REJECT), "a firewall that says REJECT (not in all)"},
    {"slow", NEMESIS_BIT(NEMESIS_SLOW), "late and lost packets"},
    {"break", NEMESIS_BIT(NEMESIS_BREAK), "connections that break"},
    {"drift", NEMESIS_BIT(NEMESIS_DRIFT), "clocks that run fast or slow"},
    {"jump", NEMESIS_BIT(NEMESIS_JUMP), "clocks that step"},
    {"disk", NEMESIS_BIT(NEMESIS_DISK), "EIO"},
    {"full", NEMESIS_BIT(NEMESIS_FULL), "ENOSPC for a while"},
    {"late", NEMESIS_BIT(NEMESIS_LATE), "commits that take long"},
    {"flip", NEMESIS_BIT(NEMESIS_FLIP), "bits of databases that turn (not in all)"},
    {"crash", NEMESIS_BIT(NEMESIS_CRASH), "processes that crash"},
    {"hang", NEMESIS_BIT(NEMESIS_HANG), "processes that hang"},
    {"exec", NEMESIS_BIT(NEMESIS_EXEC), "processes that start badly, or ignore SIGTERM"},
    {"keeper", NEMESIS_BIT(NEMESIS_KEEPER), "keepers that die"},
    {"restore", NEMESIS_BIT(NEMESIS_RESTORE), "old backups"},
    {"clone", NEMESIS_BIT(NEMESIS_CLONE), "copies of a node that are started, perhaps as it sleeps"},
    {"wipe", NEMESIS_BIT(NEMESIS_WIPE), "nodes that lose their files and join anew"},
    {"away", NEMESIS_BIT(NEMESIS_AWAY), "nodes away for longer than tombstones are kept"},
    {"join", NEMESIS_BIT(NEMESIS_JOIN), "nodes that join late, and leave"},
    {"drain", NEMESIS_BIT(NEMESIS_DRAIN), "nodes that are drained"},
    {"mild", NEMESIS_MILD, "and rarely"},
    {"harsh", NEMESIS_HARSH, "and often"},
    {"drawn", NEMESIS_DRAWN, "of those before a subset, drawn from the seed"},
    {"all", ALL, "all of these"},
    {"nemesis", ALL | NEMESIS_DRAWN, "some of them, drawn from the seed"},
    {NULL, 0, NULL},
};

bool nemesis_parse(const char *list, unsigned *ret_bits)
{
    unsigned bits = 0;
    for (const char *word = list;; word++) {
        size_t n = strcspn(word, ",");
        const struct nemesis_word *w = nemesis_words;
        while (w->word && (strlen(w->word) != n || strncmp(w->word, word, n) != 0))
            w++;
        if (!w->word)
            return false;
        bits |= w->bits;
        word += n;
        if (!*word)
            break;
    }
    *ret_bits = bits;
    return true;
}

static bool is_single(unsigned bits)
{
    return bits && !(bits & (bits - 1));
}

void nemesis_list(unsigned bits, struct str *ret_list)
{
    size_t before = ret_list->n;
    if (bits == (ALL | NEMESIS_DRAWN)) {
        str_puts(ret_list, "nemesis");
        return;
    }
    for (const struct nemesis_word *w = nemesis_words; w->word; w++)
        if (is_single(w->bits) && bits & w->bits)
            str_printf(ret_list, "%s%s", ret_list->n > before ? "," : "", w->word);
    if (ret_list->n == before)
        str_puts(ret_list, "none");
}

unsigned nemesis_voids(unsigned kinds)
{
    unsigned voids = 0;
    for (int i = 0; i < NEMESIS_KINDS; i++)
        voids |= kinds & NEMESIS_BIT(i) ? blows[i].voids : 0;
    return voids;
}

/* ---- Dice and plans ---- */

int64_t nemesis_draw(struct nemesis *n, int64_t min_us, int64_t max_us)
{
    return sim_draw(&n->prng, (struct sim_range){min_us, max_us});
}

int64_t nemesis_span(struct nemesis *n, int64_t min_us, int64_t max_us)
{
    int64_t us = nemesis_draw(n, min_us, max_us), left = n->opts.calm_us - sim_now_us(n->sim);
    return us < left ? us : left > 0 ? left : 0;
}

bool nemesis_toss(struct nemesis *n, unsigned one_in)
{
    return prng_below(&n->prng, one_in) == 0;
}

struct later {
    struct nemesis *n;
    int node;
    void (*fn)(struct nemesis *n, int node);
};

static void later_fire(struct sim *s UNUSED, void *arg)
{
    AUTOFREE struct later *l = arg;
    l->fn(l->n, l->node);
}

void nemesis_later(struct nemesis *n, int64_t after_us, void (*fn)(struct nemesis *n, int node), int node)
{
    struct later *l = mem_alloc(sizeof *l);
    *l = (struct later){n, node, fn};
    sim_at(n->sim, sim_now_us(n->sim) + after_us, later_fire, l, free);
}

void nemesis_within_s(struct nemesis *n, int min_s, int max_s, void (*fn)(struct nemesis *n, int node),
                      int node)
{
    nemesis_later(n, nemesis_span(n, min_s * SIM_SECOND, max_s * SIM_SECOND), fn, node);
}

static void weak_end(struct nemesis *n, int node)
{
    n->weak[node]--;
}

void nemesis_weaken(struct nemesis *n, int node, int64_t for_us)
{
    n->weak[node]++;
    nemesis_later(n, for_us, weak_end, node);
}

/* ---- Bounds ---- */

static bool is_member(const struct nemesis *n, int node)
{
    return !sim_node_retired(sim_node(n->sim, node));
}

/* Whether it is not there, or must be taken not to be. */
static bool away(const struct nemesis *n, int node)
{
    const struct sim_node *it = sim_node(n->sim, node);
    return !sim_node_up(it) || sim_node_paused(it) || n->weak[node] || n->held[node];
}

static void count(const struct nemesis *n, int *ret_members, int *ret_away)
{
    *ret_members = *ret_away = 0;
    for (int i = 0; i < sim_nodes(n->sim); i++) {
        *ret_members += is_member(n, i);
        *ret_away += is_member(n, i) && away(n, i);
    }
}

/* A minority may be away at a time; of one or two nodes, one. */
bool nemesis_spare(const struct nemesis *n, int node)
{
    int members, gone;
    count(n, &members, &gone);
    int minority = (members - 1) / 2;
    return is_member(n, node) && !away(n, node) && gone < (minority > 0 ? minority : 1);
}

void nemesis_suspend(struct nemesis *n, unsigned promises)
{
    unsigned more = promises & ~n->suspended;
    if (more)
        sim_suspend(n->sim, more);
    n->suspended |= more;
}

/* ---- Somebody starts it again ---- */

static void start_now(struct nemesis *n, int node)
{
    n->starting[node] = false;
    if (is_member(n, node) && !n->held[node])
        sim_start(n->sim, node);
}

void nemesis_start(struct nemesis *n, int node, int64_t after_us)
{
    if (n->starting[node])
        return;
    n->starting[node] = true;
    nemesis_later(n, after_us, start_now, node);
}

/* Once there is peace a node that ends to begin anew is up again at once, or the last look comes before it.
 */
static int64_t pause_before_start(struct nemesis *n)
{
    int64_t drawn_us = nemesis_draw(n, RETURN_MIN, RETURN_MAX);
    return sim_now_us(n->sim) < n->opts.calm_us ? drawn_us : POLL_US;
}

/* Starts what is down, and knows since when all is well. */
static void poll_fire(struct sim *s, void *arg)
{
    struct nemesis *n = arg;
    int members, gone;
    for (int i = 0; i < sim_nodes(s); i++)
        if (is_member(n, i) && !sim_node_up(sim_node(s, i)) && !n->held[i] && !n->starting[i])
            nemesis_start(n, i, pause_before_start(n));
    count(n, &members, &gone);
    if (gone || n->cuts)
        n->disturbed_us = sim_now_us(s);
    if (n->suspended && sim_now_us(s) - n->disturbed_us >= SETTLE_US) {
        sim_note(s, NULL, "promises hold again");
        sim_resume(s, n->suspended);
        n->suspended = 0;
    }
    sim_at(s, sim_now_us(s) + POLL_US, poll_fire, n, NULL);
}

static bool is_well(const struct nemesis *n)
{
    int members, gone;
    count(n, &members, &gone);
    return !gone && !n->cuts && !n->suspended && sim_now_us(n->sim) - n->disturbed_us >= WELL_US;
}

/* ---- Strikes ---- */

static enum nemesis_kind kind_draw(struct nemesis *n)
{
    int sum = 0;
    for (int i = 0; i < NEMESIS_KINDS; i++)
        sum += n->kinds & NEMESIS_BIT(i) ? blows[i].weight : 0;
    int64_t left = nemesis_draw(n, 0, sum - 1);
    for (int i = 0; i < NEMESIS_KINDS; i++)
        if (n->kinds & NEMESIS_BIT(i) && (left -= blows[i].weight) < 0)
            return (enum nemesis_kind)i;
    unreachable("no kind of fault");
}

/* A fault on its way. */
struct thrust {
    struct nemesis *n;
    int node;
    enum nemesis_kind kind;
};

static void thrust_fire(struct sim *s, void *arg)
{
    AUTOFREE struct thrust *t = arg;
    struct nemesis *n = t->n;
    bool settling = n->suspended && !n->cuts;
    int members, gone;
    count(n, &members, &gone);
    if (settling || sim_now_us(s) >= n->opts.calm_us || !is_member(n, t->node))
        return;
    if (members == 1 && !blows[t->kind].single)
        return;
    if (blows[t->kind].calm && !is_well(n)) {
        n->wish = t->kind;
        n->wish_until_us = sim_now_us(s) + WISH_US;
        return;
    }
    blows[t->kind].strike(n, t->node);
}

/* Half of the faults strike while something is going on: those find what a promise rests on. */
static void thrust(struct nemesis *n, enum nemesis_kind kind)
{
    struct thrust *t = mem_alloc(sizeof *t);
    *t = (struct thrust){n, (int)nemesis_draw(n, 0, sim_nodes(n->sim) - 1), kind};
    int64_t at_us = sim_now_us(n->sim);
    if (n->opts.burst && nemesis_toss(n, 2)) {
        n->opts.burst(n->opts.ctx);
        at_us += nemesis_draw(n, 0, BURST_US);
    }
    sim_at(n->sim, at_us, thrust_fire, t, free);
}

/* Whether others must hold back, for somebody waits until all is well; thrusts when it is. */
static bool wish_waits(struct nemesis *n)
{
    enum nemesis_kind kind = n->wish;
    if (kind == NEMESIS_KINDS)
        return false;
    bool well = is_well(n);
    if (!well && sim_now_us(n->sim) < n->wish_until_us)
        return true;
    n->wish = NEMESIS_KINDS;
    if (well)
        thrust(n, kind);
    return true;
}

static void strike_fire(struct sim *s, void *arg)
{
    struct nemesis *n = arg;
    if (sim_now_us(s) >= n->opts.calm_us)
        return;
    int64_t next_us = POLL_US;
    if (!wish_waits(n)) {
        thrust(n, kind_draw(n));
        next_us = nemesis_draw(n, n->gap.min_us, n->gap.max_us);
    }
    sim_at(s, sim_now_us(s) + next_us, strike_fire, n, NULL);
}

static void calm_fire(struct sim *s UNUSED, void *arg)
{
    blows_end(arg);
}

/* ---- What a run has ---- */

static unsigned subset(struct prng *p, unsigned kinds, unsigned one_in)
{
    unsigned some = 0;
    while (!some)
        for (int i = 0; i < NEMESIS_KINDS; i++)
            if (kinds & NEMESIS_BIT(i) && prng_below(p, one_in) == 0)
                some |= NEMESIS_BIT(i);
    return some;
}

static unsigned one_of(struct prng *p, unsigned kinds)
{
    for (;;) {
        unsigned bit = NEMESIS_BIT(prng_below(p, NEMESIS_KINDS));
        if (kinds & bit)
            return bit;
    }
}

/* Swarm testing (Groce et al., 2012): a run with few kinds goes where one with all of them never comes. */
unsigned nemesis_lot(unsigned bits, uint64_t seed)
{
    struct prng p;
    unsigned kinds = bits & KINDS;
    if (!(bits & NEMESIS_DRAWN) || !kinds)
        return bits & ~NEMESIS_DRAWN;
    prng_init(&p, seed ^ LOT_SALT);
    uint64_t lot = prng_below(&p, 8);
    unsigned often = lot < 3 ? NEMESIS_HARSH : lot < 7 ? 0 : NEMESIS_MILD;
    return often | (lot == 0 || lot == 3 ? one_of(&p, kinds) : subset(&p, kinds, lot % 2 ? 2 : 4));
}

static struct sim_range gap_of(unsigned bits)
{
    static const struct sim_range mild = {15 * SIM_SECOND, 40 * SIM_SECOND};
    static const struct sim_range usual = {4 * SIM_SECOND, 20 * SIM_SECOND};
    static const struct sim_range harsh = {SIM_SECOND / 2, 4 * SIM_SECOND};
    return bits & NEMESIS_HARSH ? harsh : bits & NEMESIS_MILD ? mild : usual;
}

static void lot_note(struct sim *s, unsigned bits)
{
    AUTOSTR struct str text = STR_INIT;
    nemesis_list(bits, &text);
    sim_note(s, NULL, "faults: %s", str_get(&text));
}

struct nemesis *nemesis_new(struct sim *s, const struct nemesis_opts *o)
{
    struct nemesis *n = mem_alloc(sizeof *n);
    n->sim = s;
    n->opts = *o;
    n->wish = NEMESIS_KINDS;
    unsigned lot = nemesis_lot(o->kinds, o->seed);
    n->kinds = lot & KINDS;
    n->gap = gap_of(lot);
    lot_note(s, lot);
    prng_init(&n->prng, prng_next(sim_prng(s)));
    for (int i = 0; i < sim_nodes(s); i++)
        nemesis_start(n, i, nemesis_draw(n, 0, SIM_SECOND / 2));
    sim_at(s, SIM_SECOND, poll_fire, n, NULL);
    return n;
}

void nemesis_begin(struct nemesis *n)
{
    n->begun_us = sim_now_us(n->sim);
    if (!n->kinds)
        return;
    sim_at(n->sim, n->begun_us + nemesis_draw(n, n->gap.min_us, n->gap.max_us), strike_fire, n, NULL);
    sim_at(n->sim, n->opts.calm_us, calm_fire, n, NULL);
}

void nemesis_free(struct nemesis *n)
{
    if (!n)
        return;
    for (int i = 0; i < SIM_NODES_MAX; i++)
        sim_backup_free(n->backups[i]);
    free(n);
}
