/* Whom to talk to: draws are uniform, everybody's turn comes, pauses keep what the barrier needs. */
#include "core/fanout.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/mem.h"

static void test_a_mesh_up_to_sixteen(void **state)
{
    (void)state;
    assert_true(fanout_is_mesh(0));
    assert_true(fanout_is_mesh(16));
    assert_false(fanout_is_mesh(17));
}

static void test_a_draw_has_nobody_twice_and_nobody_else(void **state)
{
    (void)state;
    struct prng p;
    prng_init(&p, 1);
    for (size_t n = 0; n < 40; n++)
        for (size_t want = 0; want < 12; want++) {
            size_t got[12], count = fanout_draw(&p, n, want, got);
            assert_int_equal(count, want < n ? want : n);
            for (size_t i = 0; i < count; i++) {
                assert_true(got[i] < n);
                for (size_t j = 0; j < i; j++)
                    assert_int_not_equal(got[i], got[j]);
            }
        }
}

/* 60000 draws of 3 of 20: each candidate 9000 times, give or take five standard deviations; each pair in the
 * same way, or the draw would prefer neighbours. */
static void test_a_draw_is_uniform(void **state)
{
    (void)state;
    enum { N = 20, DRAWS = 60000 };
    int times[N] = {0}, pairs[N][N] = {{0}};
    struct prng p;
    prng_init(&p, 7);
    for (int d = 0; d < DRAWS; d++) {
        size_t got[3];
        fanout_draw(&p, N, 3, got);
        for (int i = 0; i < 3; i++) {
            times[got[i]]++;
            for (int j = 0; j < 3; j++)
                pairs[got[i]][got[j]] += i != j;
        }
    }
    for (int i = 0; i < N; i++) {
        assert_in_range(times[i], 9000 - 440, 9000 + 440);
        for (int j = 0; j < i; j++)
            assert_in_range(pairs[i][j], 947 - 155, 947 + 155);
    }
}

/* With three of n a tick nobody is left out for 20 (n - 1) / 3 ticks: once in e^20 per peer. */
static void test_everybody_is_pulled_from_within_a_bound(void **state)
{
    (void)state;
    struct prng p;
    prng_init(&p, 3);
    for (size_t others = 16; others <= 1000; others = others * 5 / 2) {
        AUTOFREE size_t *last = mem_array(others, sizeof *last);
        size_t bound = 20 * others / FANOUT_PEERS;
        for (size_t tick = 1; tick <= 3 * bound; tick++) {
            size_t got[FANOUT_PEERS], count = fanout_draw(&p, others, FANOUT_PEERS, got);
            for (size_t i = 0; i < count; i++)
                last[got[i]] = tick;
            for (size_t i = 0; i < others; i++)
                assert_true(tick - last[i] <= bound);
        }
    }
}

/* What view.h asks for: an answer to a ping sent less than fresh_ms ago, also if one ping is lost and waited
 * for. */
static void test_pauses_leave_time_for_a_second_try(void **state)
{
    (void)state;
    for (int64_t suspect = 200; suspect <= 60000; suspect += 97)
        for (int64_t ping = 50; 2 * ping <= suspect; ping *= 2) {
            int64_t fresh = suspect * 8 / 10, timeout = suspect * 3 / 5 - ping, before = 0;
            timeout = timeout < suspect / 5 ? suspect / 5 : timeout > 1000 ? 1000 : timeout;
            for (size_t nodes = 1; nodes <= 1000; nodes += nodes < 20 ? 1 : 90) {
                int64_t pause = fanout_ping_pause_ms(nodes, ping, timeout, fresh);
                assert_true(pause >= before && pause >= ping);
                assert_true(pause == ping || pause + timeout <= fresh * 3 / 4);
                if (nodes <= 16)
                    assert_int_equal(pause, ping);
                before = pause;
            }
        }
    assert_int_equal(fanout_ping_pause_ms(24, 1000, 1000, 4000), 1500);
    assert_int_equal(fanout_ping_pause_ms(100, 1000, 1000, 4000), 2000);
}

/* However many have not agreed yet, a node asks as often as sixteen would make it. */
static void test_asking_costs_no_more_in_a_large_cluster(void **state)
{
    (void)state;
    assert_int_equal(fanout_ask_pause_ms(16, 50), 50);
    for (size_t nodes = 17; nodes <= 1000; nodes++) {
        double asks_a_second = (double)nodes * 1000 / (double)fanout_ask_pause_ms(nodes, 50);
        assert_true(asks_a_second <= 16 * 1000 / 50 * 1.05);
    }
}

static void test_a_round_has_everybody_once(void **state)
{
    (void)state;
    struct prng p;
    struct fanout_round r = {0};
    prng_init(&p, 5);
    enum { N = 50 };
    size_t last[N] = {0}, turn = 0;
    for (int i = 0; i < N; i++)
        fanout_round_add(&r, &p);
    int same_place = 0;
    size_t before[N] = {0};
    for (int round = 0; round < 20; round++) {
        bool seen[N] = {false};
        for (int i = 0; i < N; i++) {
            size_t x = fanout_round_next(&r, &p);
            assert_true(x < N && !seen[x]);
            seen[x] = true;
            turn++;
            assert_true(round == 0 || turn - last[x] < 2 * N);
            last[x] = turn;
            same_place += round > 0 && before[i] == x;
            before[i] = x;
        }
    }
    assert_true(same_place < 60); /* 19 expected: each round is another one */
    fanout_round_fini(&r);
}

/* Newcomers in the midst of a round come in it, and nobody loses a turn. */
static void test_who_comes_is_in_the_round(void **state)
{
    (void)state;
    struct prng p;
    struct fanout_round r = {0};
    prng_init(&p, 9);
    int turns[40] = {0};
    for (int i = 0; i < 10; i++)
        fanout_round_add(&r, &p);
    for (int i = 0; i < 4; i++)
        turns[fanout_round_next(&r, &p)]++;
    for (int i = 0; i < 30; i++)
        fanout_round_add(&r, &p);
    for (int i = 0; i < 36; i++)
        turns[fanout_round_next(&r, &p)]++;
    for (int i = 0; i < 40; i++)
        assert_int_equal(turns[i], 1);
    fanout_round_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_mesh_up_to_sixteen),
        cmocka_unit_test(test_a_draw_has_nobody_twice_and_nobody_else),
        cmocka_unit_test(test_a_draw_is_uniform),
        cmocka_unit_test(test_everybody_is_pulled_from_within_a_bound),
        cmocka_unit_test(test_pauses_leave_time_for_a_second_try),
        cmocka_unit_test(test_asking_costs_no_more_in_a_large_cluster),
        cmocka_unit_test(test_a_round_has_everybody_once),
        cmocka_unit_test(test_who_comes_is_in_the_round),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
