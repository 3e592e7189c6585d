/* Scores: the weights, the decay, the allotment. */
#include "core/score.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/mem.h"

static int score(int64_t cpu, int64_t runq, int64_t processes, int64_t memory)
{
    return score_of(&(struct score_sample){cpu, runq, processes, memory});
}

static void test_each_part_has_its_weight(void **state)
{
    (void)state;
    assert_int_equal(score(0, 0, 0, 0), 0);
    assert_int_equal(score(1000, 0, 0, 0), 400);
    assert_int_equal(score(0, 100, 0, 0), 300);
    assert_int_equal(score(0, 0, 10000, 0), 200);
    assert_int_equal(score(0, 0, 0, 1000), 100);
    assert_int_equal(score(250, 10, 1000, 500), 100 + 30 + 20 + 50);
    assert_int_equal(score(5000, 7000, 1000000, 2000), SCORE_ONE);
    assert_int_equal(score(-1, -1, -1, -1), 0);
}

static void test_newer_samples_count_more(void **state)
{
    (void)state;
    struct score_history h = {0};
    assert_int_equal(score_mean(&h), -1);
    score_add(&h, 400);
    assert_int_equal(score_mean(&h), 400);
    score_add(&h, 0);
    assert_int_equal(score_mean(&h), 189); /* 400 * 0.9 / 1.9 */
    score_add(&h, 1000);
    assert_int_equal(score_mean(&h), 489); /* (1000 + 0 + 400 * 0.81) / 2.71 */
}

static void test_thirty_samples_are_kept(void **state)
{
    (void)state;
    struct score_history h = {0};
    for (int i = 0; i < 5; i++)
        score_add(&h, 1000);
    for (int i = 0; i < SCORE_KEPT - 1; i++)
        score_add(&h, 0);
    assert_true(score_mean(&h) > 0);
    score_add(&h, 0);
    assert_int_equal(score_mean(&h), 0);
}

static void test_a_busy_node_keeps_a_tenth(void **state)
{
    (void)state;
    assert_int_equal(score_capacity(0), 1000);
    assert_int_equal(score_capacity(300), 700);
    assert_int_equal(score_capacity(950), 100);
    assert_int_equal(score_capacity(1000), 100);
}

static void give(struct score_node *nodes, size_t n, int count)
{
    for (int i = 0; i < count; i++) {
        int at = score_pick(nodes, n);
        assert_true(at >= 0 && nodes[at].eligible);
        nodes[at].given++;
    }
}

static void test_shares_follow_capacity(void **state)
{
    (void)state;
    struct score_node nodes[] = {
        {{{1}}, true, 1000, 0}, {{{2}}, true, 500, 0}, {{{3}}, true, 100, 0}, {{{4}}, false, 1000, 0}};
    give(nodes, COUNT(nodes), 16);
    assert_int_equal(nodes[0].given, 10);
    assert_int_equal(nodes[1].given, 5);
    assert_int_equal(nodes[2].given, 1);
    give(nodes, COUNT(nodes), 1600 - 16);
    assert_int_equal(nodes[0].given, 1000);
    assert_int_equal(nodes[1].given, 500);
    assert_int_equal(nodes[2].given, 100);
    assert_int_equal(nodes[3].given, 0);
}

static void test_the_rest_goes_to_the_biggest(void **state)
{
    (void)state;
    struct score_node nodes[] = {{{{1}}, true, 300, 0}, {{{2}}, true, 310, 0}, {{{3}}, true, 300, 0}};
    give(nodes, COUNT(nodes), 4);
    assert_int_equal(nodes[1].given, 2);
    struct score_node none[] = {{{{1}}, false, 300, 0}};
    assert_int_equal(score_pick(none, 1), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_part_has_its_weight), cmocka_unit_test(test_newer_samples_count_more),
        cmocka_unit_test(test_thirty_samples_are_kept),  cmocka_unit_test(test_a_busy_node_keeps_a_tenth),
        cmocka_unit_test(test_shares_follow_capacity),   cmocka_unit_test(test_the_rest_goes_to_the_biggest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
