/* The mass-failure brake: when it is pulled, when it is not, and how long it holds. */
#include "core/brake.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct brake_opts opts = {5, 2, 30, 30000, 30000};

static bool silent(struct brake *b, unsigned char n, size_t members, int64_t at)
{
    struct id id = {{n}};
    return brake_silent(b, &opts, &id, members, at);
}

static void test_small_clusters_have_none(void **state)
{
    (void)state;
    struct brake b = {0};
    for (unsigned char i = 0; i < 3; i++)
        assert_false(silent(&b, i, 4, 1000));
    assert_false(brake_held(&b, 1000));
    brake_fini(&b);
}

static void test_two_of_five_pull_it(void **state)
{
    (void)state;
    struct brake b = {0};
    assert_false(silent(&b, 1, 5, 1000));
    assert_true(silent(&b, 2, 5, 2000));
    assert_true(brake_held(&b, 31999));
    assert_false(brake_held(&b, 32000));
    brake_fini(&b);
}

static void test_thirty_percent_is_not_over_thirty_percent(void **state)
{
    (void)state;
    struct brake b = {0};
    for (unsigned char i = 0; i < 3; i++)
        assert_false(silent(&b, i, 10, 1000 + i));
    assert_true(silent(&b, 3, 10, 1003));
    brake_fini(&b);
}

static void test_deaths_apart_do_not_add_up(void **state)
{
    (void)state;
    struct brake b = {0};
    assert_false(silent(&b, 1, 5, 1000));
    assert_false(silent(&b, 2, 5, 31001));
    assert_true(silent(&b, 3, 5, 61000)); /* 29.999 s after the second */
    brake_fini(&b);
}

static void test_a_node_counts_once_and_not_when_it_lives(void **state)
{
    (void)state;
    struct brake b = {0};
    struct id one = {{1}};
    assert_false(silent(&b, 1, 5, 1000));
    assert_false(silent(&b, 1, 5, 2000));
    brake_alive(&b, &one);
    assert_false(silent(&b, 2, 5, 3000));
    assert_true(silent(&b, 3, 5, 4000));
    brake_fini(&b);
}

static void test_a_further_death_prolongs_without_a_second_event(void **state)
{
    (void)state;
    struct brake b = {0};
    silent(&b, 1, 6, 1000);
    assert_true(silent(&b, 2, 6, 1000));
    assert_false(silent(&b, 3, 6, 20000));
    assert_true(brake_held(&b, 49999));
    assert_false(brake_held(&b, 50000));
    brake_fini(&b);
}

static void test_one_death_is_no_mass(void **state)
{
    (void)state;
    struct brake b = {0};
    struct brake_opts small = opts;
    struct id one = {{1}}, two = {{2}};
    small.nodes_min = 2;
    assert_false(brake_silent(&b, &small, &one, 3, 1000)); /* 33 %, but alone */
    assert_true(brake_silent(&b, &small, &two, 3, 1000));
    brake_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_clusters_have_none),
        cmocka_unit_test(test_two_of_five_pull_it),
        cmocka_unit_test(test_one_death_is_no_mass),
        cmocka_unit_test(test_thirty_percent_is_not_over_thirty_percent),
        cmocka_unit_test(test_deaths_apart_do_not_add_up),
        cmocka_unit_test(test_a_node_counts_once_and_not_when_it_lives),
        cmocka_unit_test(test_a_further_death_prolongs_without_a_second_event),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
