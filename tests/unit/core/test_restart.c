/* Supervision: the table, the intensity ring against a naive count, and the back-off's bounds. */
#include "core/restart.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/prng.h"

static void test_kinds(void **state)
{
    (void)state;
    assert_int_equal(restart_after(RESTART_PERMANENT, EXIT_CLEAN), NEXT_AGAIN);
    assert_int_equal(restart_after(RESTART_PERMANENT, EXIT_FAILED), NEXT_AGAIN);
    assert_int_equal(restart_after(RESTART_TRANSIENT, EXIT_CLEAN), NEXT_GONE);
    assert_int_equal(restart_after(RESTART_TRANSIENT, EXIT_FAILED), NEXT_AGAIN);
    assert_int_equal(restart_after(RESTART_TEMPORARY, EXIT_CLEAN), NEXT_GONE);
    assert_int_equal(restart_after(RESTART_TEMPORARY, EXIT_FAILED), NEXT_GONE);
    assert_int_equal(restart_after(RESTART_TEMPORARY, EXIT_LOST), NEXT_GONE);
    assert_int_equal(restart_after(RESTART_TRANSIENT, EXIT_LOST), NEXT_AGAIN_NOW);
}

/* What was asked for happens whatever the kind, and a first start that fails is refused. */
static void test_wishes_do_not_depend_on_the_kind(void **state)
{
    (void)state;
    const struct {
        enum exit_kind exit;
        enum restart_next next;
    } rows[] = {
        {EXIT_ASKED_STOP, NEXT_GONE}, {EXIT_ASKED_AGAIN, NEXT_AGAIN_NOW}, {EXIT_ASKED_MOVE, NEXT_MOVED},
        {EXIT_SHUTDOWN, NEXT_KEPT},   {EXIT_FENCED, NEXT_YIELDED},        {EXIT_UNSTARTED, NEXT_REFUSED},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        for (int r = 0; r < RESTART_KINDS; r++)
            assert_int_equal(restart_after((enum restart)r, rows[i].exit), rows[i].next);
}

static void test_words(void **state)
{
    (void)state;
    enum restart r = RESTART_PERMANENT;
    for (int i = 0; i < RESTART_KINDS; i++) {
        assert_true(restart_parse(restart_word((enum restart)i), &r));
        assert_int_equal(r, i);
    }
    assert_false(restart_parse("always", &r));
    assert_int_equal(r, RESTART_TEMPORARY); /* untouched */
    AUTOSTR struct str table = STR_INIT;
    restart_table(&table);
    size_t lines = 0;
    for (const char *p = str_get(&table); *p; p++)
        lines += *p == '\n';
    assert_int_equal(lines, RESTART_KINDS * EXIT_KINDS);
}

static void test_three_in_five_seconds(void **state)
{
    (void)state;
    struct intensity i = {0};
    assert_true(restart_allowed(&i, 3, 5000, 1000));
    assert_true(restart_allowed(&i, 3, 5000, 2000));
    assert_true(restart_allowed(&i, 3, 5000, 3000));
    assert_false(restart_allowed(&i, 3, 5000, 5999));
    assert_true(restart_allowed(&i, 3, 5000, 6000));
    assert_false(restart_allowed(&i, 3, 5000, 6001));
    assert_false(restart_allowed(&i, 0, 5000, 99999));
    assert_true(restart_allowed(&i, 1, 5000, 99999));
    intensity_fini(&i);
}

static void test_intensity_law(void **state)
{
    (void)state;
    struct prng p;
    prng_init(&p, 5);
    for (size_t max = 1; max < 7; max++) {
        struct intensity i = {0};
        int64_t taken[2000], now = 0;
        size_t n = 0;
        for (int step = 0; step < 2000; step++) {
            now += (int64_t)prng_below(&p, 900);
            size_t recent = 0;
            for (size_t k = 0; k < n; k++)
                recent += now - taken[k] < 2000;
            bool allowed = restart_allowed(&i, max, 2000, now);
            assert_int_equal(allowed, recent < max);
            if (allowed)
                taken[n++] = now;
        }
        intensity_fini(&i);
    }
}

static void test_delay_doubles_within_its_bounds(void **state)
{
    (void)state;
    struct prng p;
    prng_init(&p, 6);
    for (int i = 0; i < 5000; i++) {
        unsigned attempt = (unsigned)prng_below(&p, 100);
        int64_t d = attempt < 10 ? 100 << attempt : 60000;
        d = d < 60000 ? d : 60000;
        int64_t delay = restart_delay_ms(attempt, 100, 60000, prng_next(&p));
        assert_in_range(delay, d / 2, d);
    }
    assert_int_equal(restart_delay_ms(0, 100, 60000, 0), 50);
    assert_int_equal(restart_delay_ms(0, 100, 60000, 50), 100);
    assert_int_equal(restart_delay_ms(9, 0, 60000, 12345), 0);
    assert_int_equal(restart_delay_ms(0, 500, 100, 0), 50); /* max wins over min */
    assert_true(restart_delay_ms(UINT32_MAX, 1, INT64_MAX, UINT64_MAX) >= INT64_MAX / 2);
}

static void test_attempt_starts_anew_after_a_whole_window(void **state)
{
    (void)state;
    assert_int_equal(restart_attempt(4, 4999, 5000), 5);
    assert_int_equal(restart_attempt(4, 5000, 5000), 0);
    assert_int_equal(restart_attempt(UINT32_MAX, 0, 5000), UINT32_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_wishes_do_not_depend_on_the_kind),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_three_in_five_seconds),
        cmocka_unit_test(test_intensity_law),
        cmocka_unit_test(test_delay_doubles_within_its_bounds),
        cmocka_unit_test(test_attempt_starts_anew_after_a_whole_window),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
