/* Liveness over time: silence, refusal, newer actors, wedged brains, own lateness. */
#include "core/detect.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/prng.h"

static const struct detect_opts opts = {5000, 30000, 300, 5000, true, false};
static const struct detect_opts quorum = {5000, 30000, 300, 5000, false, false};

static void test_silence(void **state)
{
    (void)state;
    struct detector d;
    detector_init(&d, 1000);
    detector_answered(&d, 1990, 2000, 3);
    assert_int_equal(detector_judge(&d, &opts, 6999, 0), LIVENESS_HEALTHY);
    assert_int_equal(detector_judge(&d, &opts, 7000, 0), LIVENESS_SUSPECT);
    assert_int_equal(detector_judge(&d, &opts, 31999, 0), LIVENESS_SUSPECT);
    assert_int_equal(detector_judge(&d, &opts, 32000, 0), LIVENESS_DOWN);
    assert_false(detector_proven(&d, &opts, 32000));
    assert_true(detector_in_view(&d, &opts, 6999, 0));
    assert_false(detector_in_view(&d, &opts, 7000, 0));
    detector_heard(&d, 40000);
    assert_int_equal(detector_judge(&d, &opts, 40001, 0), LIVENESS_HEALTHY);
}

static void test_never_heard_stays_in_the_view_until_down(void **state)
{
    (void)state;
    struct detector d;
    detector_init(&d, 100);
    assert_int_equal(detector_judge(&d, &opts, 101, 0), LIVENESS_SUSPECT);
    assert_true(detector_in_view(&d, &opts, 29000, 0));
    assert_false(detector_fresh(&d, 101, 4000)); /* and keeps the barrier closed */
    assert_int_equal(detector_judge(&d, &opts, 30100, 0), LIVENESS_DOWN);
    assert_false(detector_in_view(&d, &opts, 30100, 0));
}

static void test_refusal_is_proof_after_its_minimum(void **state)
{
    (void)state;
    struct detector d;
    detector_init(&d, 0);
    detector_answered(&d, 990, 1000, 0);
    detector_refused(&d, 1100);
    detector_refused(&d, 1350); /* the first one counts */
    assert_int_equal(detector_judge(&d, &opts, 1399, 0), LIVENESS_SUSPECT);
    assert_int_equal(detector_judge(&d, &opts, 1400, 0), LIVENESS_DOWN);
    assert_true(detector_proven(&d, &opts, 1400));
    assert_int_equal(detector_judge(&d, &quorum, 1400, 0), LIVENESS_SUSPECT);
    assert_false(detector_proven(&d, &quorum, 1400));
}

static void test_life_after_a_refusal_undoes_it_and_life_before_does_not(void **state)
{
    (void)state;
    struct detector d;
    detector_init(&d, 0);
    detector_refused(&d, 1100);
    detector_answered(&d, 1000, 1090, 0); /* handled late, arrived before */
    assert_int_equal(detector_judge(&d, &opts, 1400, 0), LIVENESS_DOWN);
    detector_heard(&d, 1500);
    assert_int_equal(detector_judge(&d, &opts, 1501, 0), LIVENESS_HEALTHY);
    detector_refused(&d, 1400); /* an old refusal */
    assert_int_equal(detector_judge(&d, &opts, 2000, 0), LIVENESS_HEALTHY);
}

static void test_newer_actor(void **state)
{
    (void)state;
    struct detector d;
    detector_init(&d, 0);
    detector_answered(&d, 90, 100, 40000);
    assert_int_equal(detector_judge(&d, &opts, 101, 0), LIVENESS_DOWN); /* wedged */
    detector_refused(&d, 200);
    detector_newer_actor(&d, 700);
    assert_int_equal(detector_judge(&d, &opts, 701, 0), LIVENESS_HEALTHY);
    assert_false(detector_proven(&d, &opts, 5000));
    assert_int_equal(rtt_last_ms(&d.rtt), 10);
}

static void test_a_wedged_brain_gets_nothing_and_dies_of_it(void **state)
{
    (void)state;
    struct detector d;
    detector_init(&d, 0);
    detector_answered(&d, 90, 100, 5000);
    assert_true(detector_placeable(&d, &opts, 101, 0));
    detector_answered(&d, 1090, 1100, 5001);
    assert_false(detector_placeable(&d, &opts, 1101, 0));
    assert_int_equal(detector_judge(&d, &opts, 1101, 0), LIVENESS_HEALTHY);
    detector_answered(&d, 2090, 2100, 30000);
    assert_int_equal(detector_judge(&d, &opts, 2101, 0), LIVENESS_DOWN);
    detector_answered(&d, 3090, 3100, 10);
    assert_true(detector_placeable(&d, &opts, 3101, 0));
}

static void test_own_lateness_extends(void **state)
{
    (void)state;
    struct detector d;
    detector_init(&d, 0);
    detector_answered(&d, 0, 0, 0);
    assert_int_equal(detector_judge(&d, &opts, 8999, 4000), LIVENESS_HEALTHY);
    assert_int_equal(detector_judge(&d, &opts, 9000, 4000), LIVENESS_SUSPECT);
    assert_int_equal(detector_judge(&d, &opts, 33999, 4000), LIVENESS_SUSPECT);
    assert_int_equal(detector_judge(&d, &opts, 34000, 4000), LIVENESS_DOWN);
}

static void test_doubt_fades(void **state)
{
    (void)state;
    struct doubt d = {0};
    doubt_tick(&d, 1000, 1000);
    assert_int_equal(doubt_late_ms(&d, 1000), 0);
    doubt_tick(&d, 1500, 4000);
    assert_int_equal(doubt_late_ms(&d, 4000), 2500);
    doubt_tick(&d, 4500, 4510); /* a lesser lateness does not hide the greater */
    assert_int_equal(doubt_late_ms(&d, 13999), 2500);
    assert_int_equal(doubt_late_ms(&d, 14000), 0);
    doubt_tick(&d, 14500, 14503);
    assert_int_equal(doubt_late_ms(&d, 14503), 3);
}

static void test_fresh_counts_from_sending(void **state)
{
    (void)state;
    struct detector d;
    detector_init(&d, 0);
    detector_answered(&d, 1000, 3500, 0);
    assert_true(detector_fresh(&d, 4999, 4000));
    assert_false(detector_fresh(&d, 5000, 4000));
    detector_heard(&d, 4500);
    assert_true(detector_fresh(&d, 8499, 4000));
    assert_false(detector_fresh(&d, 8500, 4000));
}

static void test_rtt(void **state)
{
    (void)state;
    struct rtt_history h = {0};
    assert_int_equal(rtt_last_ms(&h), -1);
    assert_true(rtt_avg_ms(&h) < 0 && rtt_jitter_ms(&h) < 0);
    rtt_add(&h, 10);
    assert_true(rtt_jitter_ms(&h) < 0);
    rtt_add(&h, 30);
    assert_int_equal(rtt_last_ms(&h), 30);
    assert_true(rtt_avg_ms(&h) == 20 && rtt_jitter_ms(&h) == 20);
    for (int i = 0; i < 60; i++)
        rtt_add(&h, i % 2 ? 4 : 2);
    assert_int_equal(h.count, 60);
    assert_int_equal(rtt_last_ms(&h), 4);
    assert_true(rtt_avg_ms(&h) == 3 && rtt_jitter_ms(&h) == 2); /* the first two are gone */
    rtt_add(&h, -5);
    assert_int_equal(rtt_last_ms(&h), 0);
}

/* Over random histories: the verdict only worsens while nothing is heard, and exactly at the deadlines. */
static void test_deadline_is_where_the_verdict_changes(void **state)
{
    (void)state;
    struct prng p;
    prng_init(&p, 7);
    for (int round = 0; round < 300; round++) {
        struct detector d;
        int64_t now = 1000, late = (int64_t)prng_below(&p, 3) * 700;
        detector_init(&d, now);
        for (uint64_t i = prng_below(&p, 5); i > 0; i--) {
            now += (int64_t)prng_below(&p, 2000);
            switch (prng_below(&p, 3)) {
            case 0:
                detector_answered(&d, now - 5, now, 0);
                break;
            case 1:
                detector_heard(&d, now);
                break;
            default:
                detector_refused(&d, now);
            }
        }
        enum liveness l = detector_judge(&d, &opts, now, late);
        int64_t deadline = detector_deadline_ms(&d, &opts, now, late);
        for (int64_t t = now; t < now + 40000; t++) {
            enum liveness next = detector_judge(&d, &opts, t, late);
            assert_true(next >= l);
            if (next != l)
                assert_int_equal(t, deadline);
            l = next;
            if (t == deadline)
                deadline = detector_deadline_ms(&d, &opts, t, late);
        }
        assert_int_equal(l, LIVENESS_DOWN);
    }
}

static void test_a_verdict_of_silence_wants_a_second_opinion(void **state)
{
    (void)state;
    struct detect_opts o = opts;
    struct detector d;
    o.second_opinion = true;
    detector_init(&d, 0);
    detector_answered(&d, 990, 1000, 0);
    detector_seconded(&d, 3000); /* too long ago to second the verdict */
    assert_int_equal(detector_judge(&d, &o, 31000, 0), LIVENESS_SUSPECT);
    assert_false(detector_in_view(&d, &o, 31000, 0));                     /* the view does not wait for it */
    assert_int_equal(detector_judge(&d, &opts, 31000, 0), LIVENESS_DOWN); /* nobody could have one */
    assert_int_equal(detector_deadline_ms(&d, &o, 32000, 0), 61000);
    assert_int_equal(detector_judge(&d, &o, 60999, 0), LIVENESS_SUSPECT);
    assert_int_equal(detector_judge(&d, &o, 61000, 0), LIVENESS_DOWN);
    detector_seconded(&d, 26000);
    assert_int_equal(detector_judge(&d, &o, 30999, 0), LIVENESS_SUSPECT);
    assert_int_equal(detector_judge(&d, &o, 31000, 0), LIVENESS_DOWN);
    assert_int_equal(detector_judge(&d, &o, 50000, 0), LIVENESS_DOWN);
    assert_false(detector_proven(&d, &o, 31000));
    detector_heard(&d, 30000); /* what was said of it before says nothing now */
    assert_int_equal(detector_judge(&d, &o, 60000, 0), LIVENESS_SUSPECT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_silence),
        cmocka_unit_test(test_never_heard_stays_in_the_view_until_down),
        cmocka_unit_test(test_refusal_is_proof_after_its_minimum),
        cmocka_unit_test(test_life_after_a_refusal_undoes_it_and_life_before_does_not),
        cmocka_unit_test(test_newer_actor),
        cmocka_unit_test(test_a_wedged_brain_gets_nothing_and_dies_of_it),
        cmocka_unit_test(test_own_lateness_extends),
        cmocka_unit_test(test_doubt_fades),
        cmocka_unit_test(test_fresh_counts_from_sending),
        cmocka_unit_test(test_rtt),
        cmocka_unit_test(test_a_verdict_of_silence_wants_a_second_opinion),
        cmocka_unit_test(test_deadline_is_where_the_verdict_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
