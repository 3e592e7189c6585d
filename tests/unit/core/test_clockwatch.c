#include "core/clockwatch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/prng.h"

#define REAL INT64_C(1767225600000)
#define HOUR INT64_C(3600000)

/* A clock that is read, and what its peers say. */
struct bench {
    struct clockwatch w;
    int64_t boot_ms, wrong_ms; /* wrong_ms: the wall clock against the truth */
};

static struct bench begin(int64_t wrong_ms)
{
    struct bench b = {.boot_ms = 5000, .wrong_ms = wrong_ms};
    clockwatch_init(&b.w, b.boot_ms, REAL + wrong_ms);
    return b;
}

static int64_t truth(const struct bench *b)
{
    return REAL + b->boot_ms - 5000;
}

static enum clock_news later(struct bench *b, int64_t ms)
{
    b->boot_ms += ms;
    return clockwatch_read(&b->w, b->boot_ms, truth(b) + b->wrong_ms);
}

/* Peers whose clocks are wrong by so much. */
static enum clock_news peers(struct bench *b, size_t n, const int64_t *wrong_ms)
{
    int64_t lines[8];
    for (size_t i = 0; i < n; i++)
        lines[i] = truth(b) + wrong_ms[i] - b->boot_ms;
    return clockwatch_peers(&b->w, b->boot_ms, lines, n);
}

#define PEERS(b, ...) peers((b), COUNT(((const int64_t[]){__VA_ARGS__})), (const int64_t[]){__VA_ARGS__})

static void a_clock_that_runs_is_believed(void **state)
{
    (void)state;
    struct bench b = begin(0);
    for (int i = 0; i < 1000; i++) {
        b.wrong_ms += 7; /* slewed */
        assert_int_equal(later(&b, 100), CLOCK_NOTHING);
        assert_int_equal(clockwatch_real_ms(&b.w, b.boot_ms + 3), truth(&b) + b.wrong_ms + 3);
    }
}

static void a_jump_freezes_until_it_is_back(void **state)
{
    (void)state;
    for (int sign = -1; sign <= 1; sign += 2) {
        struct bench b = begin(0);
        b.wrong_ms = sign * CLOCK_STEP_MS;
        assert_int_equal(later(&b, 100), CLOCK_NOTHING);
        b.wrong_ms += sign * (CLOCK_STEP_MS + 1);
        int64_t before = sign * CLOCK_STEP_MS;
        assert_int_equal(later(&b, 100), CLOCK_FROZE);
        assert_int_equal(b.w.off_ms, sign * (CLOCK_STEP_MS + 1));
        assert_int_equal(clockwatch_real_ms(&b.w, b.boot_ms), truth(&b) + before);
        b.wrong_ms = sign * 10 * HOUR;
        assert_int_equal(later(&b, 100), CLOCK_NOTHING);
        assert_int_equal(clockwatch_real_ms(&b.w, b.boot_ms), truth(&b) + before);
        b.wrong_ms = 0;
        assert_int_equal(later(&b, 100), CLOCK_RETURNED);
        assert_int_equal(b.w.jump_ms, -before);
        assert_false(clockwatch_frozen(&b.w));
    }
}

static void peers_confirm_a_jump(void **state)
{
    (void)state;
    struct bench b = begin(-HOUR); /* a machine that slept, say */
    b.w.confirmed = true;
    b.wrong_ms = 0;
    assert_int_equal(later(&b, 100), CLOCK_FROZE);
    assert_int_equal(PEERS(&b, 100, -CLOCK_APART_MS - 1), CLOCK_CONFIRMED);
    assert_int_equal(b.w.jump_ms, HOUR);
    assert_int_equal(clockwatch_real_ms(&b.w, b.boot_ms), truth(&b));
}

static void peers_that_disagree_lead_the_time(void **state)
{
    (void)state;
    struct bench b = begin(HOUR);
    assert_int_equal(PEERS(&b, 200, 300, -400), CLOCK_FROZE);
    assert_int_equal(b.w.doubt, CLOCK_OFF_PEERS);
    assert_int_equal(clockwatch_real_ms(&b.w, b.boot_ms), truth(&b) + 200);
    for (int i = 0; i < 1000; i++) { /* however long */
        assert_int_equal(later(&b, 100), CLOCK_NOTHING);
        assert_int_equal(PEERS(&b, 200), CLOCK_NOTHING);
    }
    b.wrong_ms = -CLOCK_APART_MS;
    assert_int_equal(later(&b, 100), CLOCK_NOTHING);
    assert_int_equal(PEERS(&b, 1), CLOCK_NOTHING);
    assert_int_equal(PEERS(&b, 0), CLOCK_CONFIRMED);
}

static void nobody_to_ask(void **state)
{
    (void)state;
    struct bench b = begin(0);
    b.w.confirmed = true;
    b.wrong_ms = HOUR;
    assert_int_equal(later(&b, 100), CLOCK_FROZE);
    assert_int_equal(later(&b, CLOCK_ALONE_MS - 1), CLOCK_NOTHING);
    assert_int_equal(PEERS(&b, 0), CLOCK_NOTHING); /* one answers after all: it counts from here */
    later(&b, CLOCK_ALONE_MS - 1);
    assert_int_equal(peers(&b, 0, NULL), CLOCK_NOTHING);
    later(&b, 1);
    assert_int_equal(peers(&b, 0, NULL), CLOCK_WENT_ON);
    assert_int_equal(b.w.jump_ms, HOUR);
    assert_int_equal(clockwatch_real_ms(&b.w, b.boot_ms), truth(&b) + HOUR);
    assert_int_equal(PEERS(&b, 0), CLOCK_FROZE); /* it went on unconfirmed */
}

static void of_two_nobody_knows_who_is_wrong(void **state)
{
    (void)state;
    struct bench b = begin(0);
    assert_int_equal(PEERS(&b, 0), CLOCK_NOTHING);
    assert_int_equal(PEERS(&b, HOUR), CLOCK_NOTHING);
    assert_int_equal(PEERS(&b, HOUR, -HOUR), CLOCK_NOTHING);
    assert_int_equal(PEERS(&b, HOUR, HOUR, 0), CLOCK_NOTHING);
    assert_int_equal(PEERS(&b, HOUR, HOUR), CLOCK_FROZE);
}

static void a_file_from_later_is_not_believed_at_once(void **state)
{
    (void)state;
    struct bench b = begin(-56 * 365 * 24 * HOUR);
    assert_int_equal(clockwatch_rows(&b.w, b.boot_ms, truth(&b)), CLOCK_FROZE);
    assert_int_equal(b.w.doubt, CLOCK_BEHIND_ROWS);
    assert_int_equal(later(&b, 1000), CLOCK_NOTHING);
    b.wrong_ms = -4000;
    assert_int_equal(later(&b, 1000), CLOCK_RETURNED);
    struct bench good = begin(0);
    assert_int_equal(clockwatch_rows(&good.w, good.boot_ms, truth(&good) + 4000), CLOCK_NOTHING);
}

/* Whatever the wall clock shows while it is frozen, time goes on with boot time only. */
static void frozen_time_is_steady(void **state)
{
    (void)state;
    struct prng p;
    prng_init(&p, 7);
    for (int round = 0; round < 200; round++) {
        struct bench b = begin(0);
        b.wrong_ms = 60000 + (int64_t)prng_below(&p, 1000000000);
        assert_int_equal(later(&b, 10), CLOCK_FROZE);
        for (int i = 0; i < 50; i++) {
            int64_t was = clockwatch_real_ms(&b.w, b.boot_ms), ms = (int64_t)prng_below(&p, 500);
            b.wrong_ms = 3000 + (int64_t)prng_below(&p, 1000000000) * (prng_below(&p, 2) ? 1 : -1);
            if (llabs(b.wrong_ms) <= CLOCK_STEP_MS)
                continue;
            assert_int_equal(later(&b, ms), CLOCK_NOTHING);
            assert_int_equal(clockwatch_real_ms(&b.w, b.boot_ms), was + ms);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_clock_that_runs_is_believed),
        cmocka_unit_test(a_jump_freezes_until_it_is_back),
        cmocka_unit_test(peers_confirm_a_jump),
        cmocka_unit_test(peers_that_disagree_lead_the_time),
        cmocka_unit_test(nobody_to_ask),
        cmocka_unit_test(of_two_nobody_knows_who_is_wrong),
        cmocka_unit_test(a_file_from_later_is_not_believed_at_once),
        cmocka_unit_test(frozen_time_is_steady),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
