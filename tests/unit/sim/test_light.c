/* Light nodes: rows reach all, deaths are known to all, and to none who lives; the seed decides everything.
 */
#include "sim/light.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define MS 1000

static struct light *begin(uint64_t seed, int nodes, int spare)
{
    struct light_opts o = light_opts_default(seed, nodes);
    o.spare = spare;
    struct light *l = light_new(&o);
    light_run(l, 2 * SIM_SECOND);
    return l;
}

static void for_ms(struct light *l, int64_t ms)
{
    light_run(l, light_now_us(l) + ms * MS);
}

static uint64_t course(uint64_t seed)
{
    struct light *l = begin(seed, 40, 3);
    light_write(l, light_any(l));
    light_kill(l, 7, false);
    light_set_loss(l, 20000);
    for_ms(l, 3000);
    light_join(l);
    for_ms(l, 3000);
    uint64_t digest = light_digest(l);
    light_free(l);
    return digest;
}

static void test_the_seed_decides(void **state)
{
    (void)state;
    assert_true(course(1) == course(1));
    assert_true(course(1) != course(2));
}

static void test_a_row_reaches_all(void **state)
{
    (void)state;
    static const int sizes[] = {2, 16, 17, 100};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        struct light *l = begin(3, sizes[i], 0);
        int row = light_write(l, 0);
        assert_int_equal(light_spread_us(l, row), -1);
        for_ms(l, 3000);
        assert_in_range(light_spread_us(l, row), 300, 2000 * MS);
        assert_true(light_settled(l));
        light_free(l);
    }
}

/* Without pokes it is the ticks that spread a row: three drawn each, log-many of them. */
static void test_ticks_alone_reach_all(void **state)
{
    (void)state;
    struct light *l = begin(4, 100, 0);
    light_set_pokes(l, false);
    for (int i = 0; i < 5; i++) {
        int row = light_write(l, light_any(l));
        for_ms(l, 6000);
        assert_in_range(light_spread_us(l, row), 500 * MS, 4000 * MS);
    }
    light_free(l);
}

/* With pokes that are passed on, most rows need no tick at all. */
static void test_word_is_passed_on(void **state)
{
    (void)state;
    int fast = 0;
    struct light *l = begin(10, 100, 0);
    for (int i = 0; i < 10; i++) {
        int row = light_write(l, light_any(l));
        for_ms(l, 1500);
        fast += light_spread_us(l, row) < 300 * MS;
    }
    assert_true(fast >= 6);
    light_free(l);
}

/* Few are told, who tell few: more rounds, less for the writer, and the ticks bring what word missed. */
static void test_gossip_reaches_all(void **state)
{
    (void)state;
    struct light_opts o = light_opts_default(11, 12);
    int64_t sent[2];
    for (int i = 0; i < 2; i++) {
        o.recipients = i ? 2 : 0;
        struct light *l = light_new(&o);
        light_run(l, 2 * SIM_SECOND);
        int64_t before = light_news_bytes(l, 0);
        int row = light_write(l, 0);
        for_ms(l, 20);
        sent[i] = light_news_bytes(l, 0) - before;
        assert_true(i ? light_hops(l, row) > 1 : light_hops(l, row) == 1);
        for_ms(l, 600);
        assert_int_equal(light_holders(l, row), 12);
        light_free(l);
    }
    assert_true(sent[1] < sent[0] / 2);
}

/* A cluster in which nothing happens sends the same, however large it is. */
static void test_idle_cost_does_not_grow(void **state)
{
    (void)state;
    double messages[2];
    for (int i = 0; i < 2; i++) {
        struct light *l = begin(5, i ? 200 : 20, 0);
        struct light_counters a = light_counters(l);
        for_ms(l, 20000);
        messages[i] = (double)(light_counters(l).messages - a.messages) / 20 / light_alive(l);
        assert_int_equal(light_counters(l).rows, 0);
        light_free(l);
    }
    assert_true(messages[0] > 10 && messages[0] < 15);
    assert_true(messages[1] < messages[0] * 1.05);
}

static void test_refused_connections_are_known_to_all_at_once(void **state)
{
    (void)state;
    struct light *l = begin(6, 60, 0);
    light_kill(l, 11, false);
    for_ms(l, 6000);
    assert_int_equal(light_mourners(l, 11), 59);
    assert_int_equal(light_mourners(l, 12), 0);
    assert_int_equal(light_counters(l).false_downs, 0);
    light_free(l);
}

/* Silence takes down_ms, and all together do not take much longer. */
static void test_silence_is_known_to_all(void **state)
{
    (void)state;
    struct light *l = begin(7, 60, 0);
    light_kill(l, 11, true);
    for_ms(l, 29000);
    assert_int_equal(light_mourners(l, 11), 0);
    for_ms(l, 9000);
    assert_int_equal(light_mourners(l, 11), 59);
    assert_int_equal(light_counters(l).false_downs, 0);
    light_free(l);
}

/* So much is lost that pings fail all the time; others are asked, and nobody who lives is given up. */
static void test_loss_kills_nobody(void **state)
{
    (void)state;
    struct light *l = begin(8, 50, 0);
    light_set_loss(l, 150000);
    for_ms(l, 120000);
    struct light_counters c = light_counters(l);
    assert_true(c.suspicions > 10);
    assert_int_equal(c.false_downs, 0);
    light_free(l);
}

static void test_a_storm_of_joins(void **state)
{
    (void)state;
    struct light *l = begin(9, 50, 50);
    for (int i = 0; i < 50; i++)
        light_join(l);
    assert_false(light_settled(l));
    for_ms(l, 5000);
    assert_true(light_settled(l));
    int row = light_write(l, 99);
    for_ms(l, 3000);
    assert_true(light_spread_us(l, row) > 0);
    light_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_seed_decides),
        cmocka_unit_test(test_a_row_reaches_all),
        cmocka_unit_test(test_ticks_alone_reach_all),
        cmocka_unit_test(test_word_is_passed_on),
        cmocka_unit_test(test_gossip_reaches_all),
        cmocka_unit_test(test_idle_cost_does_not_grow),
        cmocka_unit_test(test_refused_connections_are_known_to_all_at_once),
        cmocka_unit_test(test_silence_is_known_to_all),
        cmocka_unit_test(test_loss_kills_nobody),
        cmocka_unit_test(test_a_storm_of_joins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
