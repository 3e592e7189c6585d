/* The nemesis, let loose on nodes that do nothing: whether each kind strikes and ends, stays within its
 * bounds, and says what it voids. */
#include "sim/nemesis.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "sim/worker.h"

#define NODES   5
#define CALM_US (300 * SIM_SECOND)
#define ALL     ((NEMESIS_BIT(NEMESIS_KINDS) - 1))
#define BEGIN   (5 * SIM_SECOND)

/* A node that starts a process, answers everybody, and refuses to run if it meets itself. */
struct dummy {
    struct rig *rig;
    const struct sim_home *home;
    bool up;
};

struct rig {
    struct sim *sim;
    struct nemesis *nemesis;
    struct sim_brain brain;
    struct dummy dummies[SIM_NODES_MAX];
    struct str log;
    bool clones_run; /* a flaw: nobody notices clones */
    int suspended;   /* checks that saw promises suspended */
};

static bool is_double(const struct rig *rig, const struct sim_home *home)
{
    for (int i = 0; i < SIM_NODES_MAX; i++) {
        const struct dummy *d = &rig->dummies[i];
        if (i != home->index && d->up && id_equal(&d->home->node, &home->node))
            return true;
    }
    return false;
}

static void *dummy_open(void *ctx, const struct sim_home *home, struct err *e)
{
    struct rig *rig = ctx;
    struct dummy *d = &rig->dummies[home->index];
    const struct world_proc *proc = &home->world->proc;
    if (!rig->clones_run && is_double(rig, home)) {
        err_set(e, SKEP_ETAKEN, "this node runs elsewhere");
        return NULL;
    }
    if (home->first)
        simdisk_put(sim_node_disk(home->self), "/skep.db", "data", 4);
    *d = (struct dummy){rig, home, true};
    struct spawn *s = mem_alloc(sizeof *s);
    s->run = 1;
    s->argv = mem_array(2, sizeof *s->argv);
    s->argv[0] = mem_dup("counter");
    proc->spawn(proc->self, s);
    return d;
}

static void dummy_turn(void *brain, struct event *events, size_t n)
{
    const struct dummy *d = brain;
    const struct world_net *net = &d->home->world->net;
    for (size_t i = 0; i < n; i++) {
        if (events[i].kind != EV_REQUEST)
            continue;
        struct answer *a = mem_alloc(sizeof *a);
        a->status = 200;
        net->answer(net->self, events[i].request->id, a);
    }
}

/* A tick a second: something is always going on. */
static int64_t dummy_deadline(void *brain)
{
    const struct world_clock *clock = &((struct dummy *)brain)->home->world->clock;
    return clock->boot_ms(clock->self) + 1000;
}

static void dummy_down(void *brain)
{
    ((struct dummy *)brain)->up = false;
}

static void keep(void *ctx, const char *text)
{
    str_printf(&((struct rig *)ctx)->log, "%s\n", text);
}

/* Asked after every turn: how many of those that belong to the cluster are away. */
static bool few_away(struct sim *s, void *ctx, struct str *why)
{
    struct rig *rig = ctx;
    int members = 0, away = 0;
    rig->suspended += !sim_promised(s, SIM_ONE_PROCESS | SIM_ANSWERS, sim_now_us(s) + 1);
    for (int i = 0; i < sim_nodes(s) && sim_now_us(s) > BEGIN; i++) {
        const struct sim_node *n = sim_node(s, i);
        if (sim_node_retired(n) || !rig->dummies[i].rig) /* nobody counts on who has not come yet */
            continue;
        members++;
        away += !sim_node_up(n) || sim_node_paused(n);
    }
    if (away > (members - 1) / 2)
        str_printf(why, "%d of %d are away", away, members);
    return !why->n;
}

/* A run of so many seconds after the calm; its log is in the rig. */
static void run_on(struct rig *rig, unsigned kinds, uint64_t seed)
{
    rig->brain = (struct sim_brain){.ctx = rig,
                                    .open = dummy_open,
                                    .turn = dummy_turn,
                                    .deadline_ms = dummy_deadline,
                                    .crash = dummy_down,
                                    .close = dummy_down};
    struct sim_opts o = sim_opts_default(seed, NODES);
    o.spare = 12;
    o.line = keep;
    o.line_ctx = rig;
    rig->sim = sim_new(&o, &rig->brain);
    rig->nemesis = nemesis_new(rig->sim, &(struct nemesis_opts){seed, kinds, CALM_US, NULL, NULL});
    sim_check_add(rig->sim, &(struct sim_check){"a minority is away", true, few_away, rig});
    bool good = sim_run(rig->sim, BEGIN);
    nemesis_begin(rig->nemesis);
    good = good && sim_run(rig->sim, CALM_US + 60 * SIM_SECOND);
    if (!good && !rig->clones_run)
        fail_msg("faults %x:\n%s", kinds, str_get(&rig->log));
}

static void rig_free(struct rig *rig)
{
    sim_free(rig->sim);
    nemesis_free(rig->nemesis);
    str_fini(&rig->log);
    free(rig);
}

static struct rig *run(unsigned kinds, uint64_t seed)
{
    struct rig *rig = mem_alloc(sizeof *rig);
    run_on(rig, kinds, seed);
    return rig;
}

static void fails(const struct rig *rig, const char *what)
{
    fail_msg("%s:\n%s", what, str_get(&rig->log));
}

/* Whether all that the blows did is over. */
static void assert_well(struct rig *rig)
{
    for (int i = 0; i < sim_nodes(rig->sim); i++) {
        const struct sim_node *n = sim_node(rig->sim, i);
        int64_t off_ms = sim_clock_off_ms(rig->sim, i);
        if (sim_node_retired(n))
            continue;
        if (!sim_node_up(n) || sim_node_paused(n))
            fails(rig, "a node is not up");
        if (off_ms < -250 || off_ms > 250)
            fails(rig, "a clock is wrong");
    }
    if (!sim_promised(rig->sim, SIM_ONE_PROCESS | SIM_ANSWERS, sim_now_us(rig->sim)))
        fails(rig, "promises are suspended");
}

static int times(const char *text, const char *word)
{
    int n = 0;
    for (const char *at = text; (at = strstr(at, word)); at += strlen(word))
        n++;
    return n;
}

static void each_kind_strikes_and_ends(void **state UNUSED)
{
    static const char *const marks[NEMESIS_KINDS] = {
        [NEMESIS_KILL] = "killed",
        [NEMESIS_STOP] = "asked to stop",
        [NEMESIS_POWER] = "power cut",
        [NEMESIS_PAUSE] = "paused for",
        [NEMESIS_PARTITION] = ": cut",
        [NEMESIS_ONEWAY] = ": cut",
        [NEMESIS_REJECT] = ": rejecting",
        [NEMESIS_SLOW] = "ppm lost",
        [NEMESIS_BREAK] = "ppm broken",
        [NEMESIS_DRIFT] = "ppm off",
        [NEMESIS_JUMP] = "clock stepped by",
        [NEMESIS_DISK] = "disk: ",
        [NEMESIS_FULL] = "disk: full",
        [NEMESIS_LATE] = "times as long",
        [NEMESIS_FLIP] = "a bit turns",
        [NEMESIS_CRASH] = "crashes",
        [NEMESIS_HANG] = "hangs for",
        [NEMESIS_EXEC] = "processes: ",
        [NEMESIS_KEEPER] = "its keeper dies",
        [NEMESIS_RESTORE] = "is restored",
        [NEMESIS_CLONE] = "is a clone of",
        [NEMESIS_WIPE] = "is wiped",
        [NEMESIS_AWAY] = "started",
        [NEMESIS_JOIN] = "is added",
        [NEMESIS_DRAIN] = "is drained: 200",
    };
    for (int kind = 0; kind < NEMESIS_KINDS; kind++) {
        struct rig *rig = run(NEMESIS_BIT(kind), 3);
        if (times(str_get(&rig->log), marks[kind]) < 2)
            fails(rig, marks[kind]);
        assert_well(rig);
        if (rig->suspended && !nemesis_voids(NEMESIS_BIT(kind)))
            fails(rig, "promises were suspended without a word");
        if (!rig->suspended && nemesis_voids(NEMESIS_BIT(kind)))
            fails(rig, "promises were not suspended");
        assert_int_equal(
            times(str_get(&rig->log), ": cut"),
            kind == NEMESIS_PARTITION || kind == NEMESIS_ONEWAY ? times(str_get(&rig->log), ": open") : 0);
        rig_free(rig);
    }
}

static void all_of_them_at_once_end_well(void **state UNUSED)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct rig *rig = run(ALL | NEMESIS_HARSH, seed);
        assert_well(rig);
        rig_free(rig);
    }
}

static void a_clone_that_runs_is_a_violation(void **state UNUSED)
{
    struct rig *rig = mem_alloc(sizeof *rig);
    rig->clones_run = true;
    run_on(rig, NEMESIS_BIT(NEMESIS_CLONE), 1);
    assert_true(sim_violated(rig->sim));
    assert_non_null(strstr(str_get(&rig->log), "is a clone of a node that is up, and runs"));
    rig_free(rig);
}

/* Nodes are gone for longer than anybody else is. */
static void who_is_away_is_away_for_long(void **state UNUSED)
{
    struct rig *rig = run(NEMESIS_BIT(NEMESIS_AWAY), 2);
    int64_t longest_us = 0, down_us[NODES] = {0};
    for (const char *line = str_get(&rig->log); *line; line = strchr(line, '\n') + 1) {
        long long s, us;
        int node;
        char word[16];
        if (sscanf(line, "%lld.%lld n%d %15s", &s, &us, &node, word) != 4 || node > NODES)
            continue;
        int64_t at_us = s * SIM_SECOND + us, *down = &down_us[node - 1];
        if (strcmp(word, "killed") == 0 || strcmp(word, "ended") == 0)
            *down = at_us;
        else if (strcmp(word, "started") == 0 && *down && at_us - *down > longest_us)
            longest_us = at_us - *down;
    }
    assert_in_range(longest_us, 30 * SIM_SECOND, 80 * SIM_SECOND);
    rig_free(rig);
}

static void the_same_seed_gives_the_same_bytes(void **state UNUSED)
{
    for (uint64_t seed = 7; seed <= 9; seed++) {
        struct rig *one = run(ALL | NEMESIS_DRAWN, seed), *two = run(ALL | NEMESIS_DRAWN, seed);
        assert_string_equal(str_get(&one->log), str_get(&two->log));
        assert_true(sim_digest(one->sim) == sim_digest(two->sim));
        rig_free(one);
        rig_free(two);
    }
}

/* What a seed draws can be said in words, and is the same run then. */
static void a_lot_in_words_is_the_same_run(void **state UNUSED)
{
    unsigned bits = 0, lot = nemesis_lot(ALL | NEMESIS_DRAWN, 11);
    AUTOSTR struct str words = STR_INIT;
    nemesis_list(lot, &words);
    assert_true(nemesis_parse(str_get(&words), &bits));
    assert_int_equal(bits, lot);
    struct rig *drawn = run(ALL | NEMESIS_DRAWN, 11), *said = run(bits, 11);
    assert_string_equal(str_get(&drawn->log), str_get(&said->log));
    rig_free(drawn);
    rig_free(said);
}

static void seeds_draw_different_lots(void **state UNUSED)
{
    unsigned all = 0, harsh = 0, mild = 0, single = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        unsigned lot = nemesis_lot(ALL | NEMESIS_DRAWN, seed), kinds = lot & ALL;
        assert_true(kinds);
        assert_int_equal(lot & NEMESIS_DRAWN, 0);
        assert_int_equal(lot, nemesis_lot(ALL | NEMESIS_DRAWN, seed));
        all |= kinds;
        harsh += (lot & NEMESIS_HARSH) != 0;
        mild += (lot & NEMESIS_MILD) != 0;
        single += (kinds & (kinds - 1)) == 0;
        assert_int_equal(nemesis_lot(NEMESIS_BIT(NEMESIS_KILL) | NEMESIS_DRAWN, seed) & ALL,
                         NEMESIS_BIT(NEMESIS_KILL));
    }
    assert_int_equal(all, ALL);
    assert_in_range(harsh, 40, 110);
    assert_in_range(mild, 8, 50);
    assert_in_range(single, 20, 90);
}

static void lists_of_faults(void **state UNUSED)
{
    unsigned bits = 77;
    for (const struct nemesis_word *w = nemesis_words; w->word; w++) {
        AUTOSTR struct str list = STR_INIT;
        assert_true(nemesis_parse(w->word, &bits));
        assert_int_equal(bits, w->bits);
        nemesis_list(bits, &list);
        assert_true(nemesis_parse(str_get(&list), &bits));
        assert_int_equal(bits, w->bits);
    }
    assert_true(nemesis_parse("kill,restore", &bits));
    assert_int_equal(bits, NEMESIS_BIT(NEMESIS_KILL) | NEMESIS_BIT(NEMESIS_RESTORE));
    const char *const wrong[] = {"", "rain", "kill,", ",kill", "kil", "killl", "kill pause"};
    for (size_t i = 0; i < COUNT(wrong); i++)
        assert_false(nemesis_parse(wrong[i], &bits));
    assert_true(nemesis_parse("all", &bits));
    assert_int_equal(bits & NEMESIS_BIT(NEMESIS_REJECT), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_strikes_and_ends),
        cmocka_unit_test(all_of_them_at_once_end_well),
        cmocka_unit_test(a_clone_that_runs_is_a_violation),
        cmocka_unit_test(who_is_away_is_away_for_long),
        cmocka_unit_test(the_same_seed_gives_the_same_bytes),
        cmocka_unit_test(a_lot_in_words_is_the_same_run),
        cmocka_unit_test(seeds_draw_different_lots),
        cmocka_unit_test(lists_of_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
