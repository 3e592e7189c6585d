/* One run among many: what its output says, and how a failing one gets smaller. */
#include "sim/runner.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define ALL ((1u << NEMESIS_KINDS) - 1)

static void options_say_everything(void **state)
{
    (void)state;
    struct scenario c = scenario_default(7, 5);
    struct str text = STR_INIT;
    c.for_us = 90 * SIM_SECOND;
    c.faults = NEMESIS_BIT(NEMESIS_KILL) | NEMESIS_BIT(NEMESIS_PAUSE);
    c.load.per_second = 9;
    runner_options(&c, &text);
    assert_string_equal(str_get(&text), "--seed 7 --nodes 5 --for 90s --ops 9 --faults kill,pause");
    str_clear(&text);
    runner_faults(0, &text);
    assert_string_equal(str_get(&text), "none");
    str_fini(&text);
}

static void seeds_have_one_to_seven_nodes(void **state)
{
    (void)state;
    int times[8] = {0};
    for (uint64_t seed = 0; seed < 2000; seed++)
        times[runner_nodes(seed)]++;
    for (int n = 1; n <= 7; n++)
        assert_true(n == 3 ? times[n] > 600 : times[n] > 40);
    assert_int_equal(times[0], 0);
}

/* ---- Output ---- */

static struct story story_of(const char *const *lines, size_t n)
{
    struct story s = {.keep_us = 10 * SIM_SECOND};
    for (size_t i = 0; i < n; i++)
        story_line(&s, lines[i]);
    return s;
}

static void a_good_run(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "   0.100000 n1   started",
        "   9.000000 n2   killed",
        "  12.500000 n2   paused for 300 ms",
        "  13.500000 n1   paused for 9 ms",
        "  20.000000 sim  2 names there, 1 absent, 0 unknown",
        "  21.500000 sim  seed 4: ok, digest 0123456789abcdef",
    };
    struct story s = story_of(lines, COUNT(lines));
    assert_int_equal(story_end(&s, 0, 0), STORY_GOOD);
    assert_null(s.violation);
    assert_int_equal(s.now_us, 21500000);
    assert_int_equal(s.words_n, 3);
    assert_string_equal(s.words[2].word, "paused for");
    assert_int_equal(s.words[2].times, 2);
    struct str text = STR_INIT;
    story_tell(&s, &text); /* the last ten seconds */
    assert_null(strstr(str_get(&text), "killed"));
    assert_non_null(strstr(str_get(&text), "12.500000 n2   paused"));
    str_fini(&text);
    story_fini(&s);
}

static void a_violation(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "   9.000000 n2   killed",
        "  10.250000 sim  VIOLATION: default/counter-12 runs on n1 (pid 7)",
        "  10.250000 sim  seed 4: FAILED, digest 0123456789abcdef",
    };
    struct story s = story_of(lines, COUNT(lines));
    struct str kind = STR_INIT;
    assert_int_equal(story_end(&s, 1, 0), STORY_VIOLATED);
    assert_string_equal(s.violation, "default/counter-12 runs on n1 (pid 7)");
    assert_int_equal(s.violated_us, 10250000);
    story_kind(&s, &kind);
    assert_string_equal(str_get(&kind), "default/counter- runs on n (pid )");
    str_fini(&kind);
    story_fini(&s);
}

static void the_broken_check_says_more_than_the_end(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "  60.000000 sim  check every node is up: ok",
        "  60.000000 sim  check all nodes hold the same: BROKEN: n1 has a, n2 has b",
        "  60.000000 sim  VIOLATION: not converged",
        "  60.000000 sim  seed 4: FAILED, digest 0123456789abcdef",
    };
    struct story s = story_of(lines, COUNT(lines));
    assert_int_equal(story_end(&s, 1, 0), STORY_VIOLATED);
    assert_string_equal(s.violation, "check all nodes hold the same: BROKEN: n1 has a, n2 has b");
    story_fini(&s);
}

static void a_run_that_did_not_end_well_has_crashed(void **state)
{
    (void)state;
    static const char *const good[] = {"  21.500000 sim  seed 4: ok, digest 0123456789abcdef"};
    static const char *const cut[] = {"  21.500000 n1   killed"};
    struct story s = story_of(good, 1);
    assert_int_equal(story_end(&s, 0, 11), STORY_CRASHED);
    assert_string_equal(s.violation, "ended by signal 11 (Segmentation fault)");
    story_fini(&s);
    s = story_of(cut, 1);
    assert_int_equal(story_end(&s, 0, 0), STORY_CRASHED);
    story_fini(&s);
    s = story_of(good, 1); /* leaks, told at its exit */
    static const char errors[] = "1 s simulated\n==7==ERROR: LeakSanitizer: detected memory leaks\nmore\n";
    story_error(&s, errors, sizeof errors - 1);
    assert_int_equal(story_end(&s, 1, 0), STORY_CRASHED);
    assert_string_equal(s.violation, "exit 1: ==7==ERROR: LeakSanitizer: detected memory leaks");
    story_fini(&s);
    s = story_of(NULL, 0);
    assert_int_equal(story_end(&s, 64, 0), STORY_REFUSED);
    story_fini(&s);
}

static void of_standard_error_the_end_is_kept(void **state)
{
    (void)state;
    struct story s = {0};
    for (int i = 0; i < 20000; i++)
        story_error(&s, "abcdefg\n", 8);
    story_error(&s, "the end", 7);
    assert_true(s.errors.n < 40000);
    assert_string_equal(str_get(&s.errors) + s.errors.n - 7, "the end");
    story_fini(&s);
}

/* ---- Smaller ---- */

/* Runs the shrinking against a bug that needs certain things. */
static struct scenario shrunk(struct scenario c, int64_t failed_us, bool (*fails)(const struct scenario *c),
                              int *ret_runs)
{
    struct shrink s = shrink_begin(&c, failed_us);
    for (*ret_runs = 0; shrink_next(&s); ++*ret_runs) {
        assert_true(*ret_runs < 500);
        shrink_told(&s, fails(&s.trial), 0);
    }
    return s.best;
}

static bool needs_kill_and_two_nodes(const struct scenario *c)
{
    return c->faults & NEMESIS_BIT(NEMESIS_KILL) && c->sim.nodes >= 2 && c->for_us >= 30 * SIM_SECOND &&
           c->load.per_second >= 4;
}

static void what_the_bug_does_not_need_goes(void **state)
{
    (void)state;
    struct scenario c = scenario_default(100, 5);
    int runs;
    c.faults = ALL;
    struct scenario best = shrunk(c, 0, needs_kill_and_two_nodes, &runs);
    assert_int_equal(best.faults, NEMESIS_BIT(NEMESIS_KILL));
    assert_int_equal(best.sim.nodes, 2);
    assert_true(best.for_us >= 30 * SIM_SECOND && best.for_us < 45 * SIM_SECOND);
    assert_int_equal(best.load.per_second, 5);
    assert_true(needs_kill_and_two_nodes(&best));
}

static bool always(const struct scenario *c)
{
    (void)c;
    return true;
}

static bool never(const struct scenario *c)
{
    (void)c;
    return false;
}

static void shrinking_ends(void **state)
{
    (void)state;
    struct scenario c = scenario_default(100, 7);
    int runs;
    c.faults = ALL;
    struct scenario best = shrunk(c, 0, always, &runs);
    assert_true(best.faults == 0 && best.sim.nodes == 1 && best.load.per_second == 1);
    best = shrunk(c, 50 * SIM_SECOND, never, &runs);
    assert_true(best.sim.seed == 100 && best.faults == ALL && best.sim.nodes == 7 && best.for_us == c.for_us);
}

static bool needs_an_even_seed_and_no_power_cut(const struct scenario *c)
{
    return c->faults == ALL || (c->sim.seed % 2 == 0 && !(c->faults & NEMESIS_BIT(NEMESIS_POWER)));
}

static void a_smaller_run_may_need_another_seed(void **state)
{
    (void)state;
    struct scenario c = scenario_default(101, 3);
    int runs;
    c.faults = ALL;
    struct scenario best = shrunk(c, 0, needs_an_even_seed_and_no_power_cut, &runs);
    assert_int_equal(best.faults, 0);
    assert_int_equal(best.sim.seed % 2, 0);
}

static void what_comes_after_the_violation_goes_first(void **state)
{
    (void)state;
    struct scenario c = scenario_default(3, 3);
    c.for_us = 3600 * SIM_SECOND;
    struct shrink s = shrink_begin(&c, 200 * SIM_SECOND);
    assert_true(shrink_next(&s));
    assert_int_equal(s.trial.sim.seed, 3);
    assert_int_equal(s.trial.for_us, 267 * SIM_SECOND);
    shrink_told(&s, true, 200 * SIM_SECOND);
    assert_int_equal(s.best.for_us, s.trial.for_us);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_say_everything),
        cmocka_unit_test(seeds_have_one_to_seven_nodes),
        cmocka_unit_test(a_good_run),
        cmocka_unit_test(a_violation),
        cmocka_unit_test(the_broken_check_says_more_than_the_end),
        cmocka_unit_test(a_run_that_did_not_end_well_has_crashed),
        cmocka_unit_test(of_standard_error_the_end_is_kept),
        cmocka_unit_test(what_the_bug_does_not_need_goes),
        cmocka_unit_test(shrinking_ends),
        cmocka_unit_test(a_smaller_run_may_need_another_seed),
        cmocka_unit_test(what_comes_after_the_violation_goes_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
