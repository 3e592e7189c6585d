/* Which sessions are taken over, and the bucket that bounds them. */
#include "core/reap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/prng.h"

static struct reap_input orphan(enum owner_state owner)
{
    return (struct reap_input){.resume = RESUME_EAGER,
                               .unfinished = true,
                               .owner = owner,
                               .down_since_ms = 10000,
                               .orphan_delay_ms = 15000,
                               .am_home = true};
}

static enum reap_verdict judge(struct reap_input in, int64_t now)
{
    int64_t at = -1;
    enum reap_verdict v = reap_judge(&in, now, &at);
    assert_int_equal(v == REAP_WAIT, at != -1);
    return v;
}

static void test_owner_gone(void **state)
{
    (void)state;
    assert_int_equal(judge(orphan(OWNER_NEWER_ACTOR), 0), REAP_CLAIM);
    assert_int_equal(judge(orphan(OWNER_LEFT), 0), REAP_CLAIM);
    assert_int_equal(judge(orphan(OWNER_ALIVE), 99999999), REAP_NONE);
    assert_int_equal(judge(orphan(OWNER_DOWN_PROVEN), 24999), REAP_WAIT);
    assert_int_equal(judge(orphan(OWNER_DOWN_PROVEN), 25000), REAP_CLAIM);
    assert_int_equal(judge(orphan(OWNER_DOWN_SILENT), 25000), REAP_CLAIM);
}

static void test_wait_says_until_when(void **state)
{
    (void)state;
    struct reap_input in = orphan(OWNER_DOWN_SILENT);
    int64_t at = 0;
    assert_int_equal(reap_judge(&in, 12000, &at), REAP_WAIT);
    assert_int_equal(at, 25000);
}

static void test_brake_holds_the_silent_only(void **state)
{
    (void)state;
    struct reap_input in = orphan(OWNER_DOWN_SILENT);
    in.brake_held = true;
    int64_t at = 0;
    assert_int_equal(reap_judge(&in, 99999, &at), REAP_WAIT);
    assert_int_equal(at, INT64_MAX);
    in.owner = OWNER_DOWN_PROVEN;
    assert_int_equal(judge(in, 99999), REAP_CLAIM);
    in.owner = OWNER_LEFT;
    assert_int_equal(judge(in, 99999), REAP_CLAIM);
}

/* Each of these alone keeps the reaper away, whatever became of the owner. */
static void test_never(void **state)
{
    (void)state;
    for (int o = OWNER_ALIVE; o <= OWNER_DOWN_SILENT; o++) {
        struct reap_input in = orphan((enum owner_state)o);
        in.resume = RESUME_LAZY;
        assert_int_equal(judge(in, 99999), REAP_NONE);
        in = orphan((enum owner_state)o);
        in.unfinished = false;
        assert_int_equal(judge(in, 99999), REAP_NONE);
        in = orphan((enum owner_state)o);
        in.am_home = false;
        assert_int_equal(judge(in, 99999), REAP_NONE);
        in = orphan((enum owner_state)o);
        in.draining = true;
        assert_int_equal(judge(in, 99999), REAP_NONE);
    }
}

static void test_bucket_burst_then_rate(void **state)
{
    (void)state;
    struct bucket b;
    bucket_init(&b, 20, 64, 1000);
    for (int i = 0; i < 64; i++)
        assert_true(bucket_take(&b, 1000));
    assert_false(bucket_take(&b, 1000));
    assert_int_equal(bucket_next_ms(&b, 1000), 1050);
    assert_false(bucket_take(&b, 1049));
    assert_true(bucket_take(&b, 1050));
    assert_false(bucket_take(&b, 1050));
    assert_false(bucket_take(&b, 900)); /* time never runs back here, but nothing breaks if it did */
    int taken = 0;
    for (int64_t now = 1051; now <= 11050; now++)
        taken += bucket_take(&b, now);
    assert_int_equal(taken, 200);
}

static void test_bucket_fills_to_its_burst_only(void **state)
{
    (void)state;
    struct bucket b;
    bucket_init(&b, 1000000, 3, 0);
    for (int round = 0; round < 3; round++) {
        int64_t now = round == 2 ? INT64_MAX / 2 : round * 100000;
        for (int i = 0; i < 3; i++)
            assert_true(bucket_take(&b, now));
        assert_false(bucket_take(&b, now));
    }
}

static void test_next_is_the_first_moment_that_gives(void **state)
{
    (void)state;
    struct prng p;
    prng_init(&p, 4);
    for (int round = 0; round < 500; round++) {
        struct bucket b;
        int64_t now = 0;
        bucket_init(&b, 1 + (int64_t)prng_below(&p, 50), 1 + (int64_t)prng_below(&p, 5), now);
        while (bucket_take(&b, now))
            now += (int64_t)prng_below(&p, 5);
        int64_t next = bucket_next_ms(&b, now);
        assert_true(next > now);
        assert_false(bucket_take(&b, next - 1));
        assert_true(bucket_take(&b, next));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_owner_gone),
        cmocka_unit_test(test_wait_says_until_when),
        cmocka_unit_test(test_brake_holds_the_silent_only),
        cmocka_unit_test(test_never),
        cmocka_unit_test(test_bucket_burst_then_rate),
        cmocka_unit_test(test_bucket_fills_to_its_burst_only),
        cmocka_unit_test(test_next_is_the_first_moment_that_gives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
