/* The window of refused nodes: one event for one power cut, and nobody before his minimum. */
#include "core/batch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/prng.h"

static const struct down_batch_opts opts = {500, 300, 2000};

static struct id node(unsigned char n)
{
    return (struct id){{n}};
}

static size_t due(struct down_batch *b, int64_t now, unsigned char *ret)
{
    struct id *nodes;
    size_t n = down_batch_due(b, &opts, now, &nodes);
    for (size_t i = 0; i < n; i++)
        ret[i] = nodes[i].b[0];
    free(nodes);
    return n;
}

static void refused(struct down_batch *b, unsigned char n, int64_t at)
{
    struct id id = node(n);
    down_batch_refused(b, &id, at);
}

static void test_one_window_one_event(void **state)
{
    (void)state;
    struct down_batch b = {0};
    unsigned char got[8];
    assert_int_equal(down_batch_deadline_ms(&b, &opts), INT64_MAX);
    refused(&b, 1, 1000);
    refused(&b, 2, 1100);
    refused(&b, 1, 1150); /* known already */
    assert_int_equal(down_batch_deadline_ms(&b, &opts), 1500);
    assert_int_equal(due(&b, 1499, got), 0);
    assert_int_equal(due(&b, 1500, got), 2);
    assert_int_equal(got[0], 1);
    assert_int_equal(got[1], 2);
    assert_int_equal(due(&b, 9999, got), 0);
    down_batch_fini(&b);
}

static void test_the_last_node_has_its_own_minimum(void **state)
{
    (void)state;
    struct down_batch b = {0};
    unsigned char got[8];
    refused(&b, 1, 1000);
    refused(&b, 2, 1470);
    assert_int_equal(due(&b, 1769, got), 0); /* prolonged for node 2 */
    assert_int_equal(due(&b, 1770, got), 2);
    down_batch_fini(&b);
}

static void test_hard_maximum_gives_the_ripe_ones(void **state)
{
    (void)state;
    struct down_batch b = {0};
    unsigned char got[16];
    for (unsigned char i = 0; i < 9; i++)
        refused(&b, i, 1000 + i * 240); /* the last at 2920 */
    assert_int_equal(down_batch_deadline_ms(&b, &opts), 3000);
    assert_int_equal(due(&b, 2999, got), 0);
    assert_int_equal(due(&b, 3000, got), 8);
    assert_int_equal(due(&b, 3419, got), 0); /* its window is its own: 2920 + 500 */
    assert_int_equal(due(&b, 3420, got), 1);
    assert_int_equal(got[0], 8);
    down_batch_fini(&b);
}

static void test_cancel(void **state)
{
    (void)state;
    struct down_batch b = {0};
    unsigned char got[8];
    struct id one = node(1), three = node(3);
    refused(&b, 1, 1000);
    refused(&b, 2, 1200);
    assert_true(down_batch_cancel(&b, &one));
    assert_false(down_batch_cancel(&b, &one));
    assert_false(down_batch_cancel(&b, &three));
    assert_int_equal(due(&b, 1700, got), 1);
    assert_int_equal(got[0], 2);
    down_batch_fini(&b);
}

/* Random refusals and cancels: nobody early, nobody twice, nobody forgotten, nobody kept over the limits. */
static void test_laws(void **state)
{
    (void)state;
    struct prng p;
    prng_init(&p, 3);
    for (int round = 0; round < 200; round++) {
        struct down_batch b = {0};
        int64_t since[10];
        for (int i = 0; i < 10; i++)
            since[i] = -1;
        for (int64_t now = 0; now < 6000; now += 10) {
            unsigned char n = (unsigned char)prng_below(&p, 10), got[16];
            if (now < 3000 && prng_below(&p, 40) == 0) {
                refused(&b, n, now);
                since[n] = since[n] < 0 ? now : since[n];
            }
            if (prng_below(&p, 200) == 0) {
                struct id id = node(n);
                assert_int_equal(down_batch_cancel(&b, &id), since[n] >= 0);
                since[n] = -1;
            }
            size_t k = due(&b, now, got);
            for (size_t i = 0; i < k; i++) {
                assert_true(since[got[i]] >= 0 && now - since[got[i]] >= 300);
                assert_true(now - since[got[i]] < 2600);
                since[got[i]] = -1;
            }
        }
        for (int i = 0; i < 10; i++)
            assert_int_equal(since[i], -1);
        down_batch_fini(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_window_one_event),
        cmocka_unit_test(test_the_last_node_has_its_own_minimum),
        cmocka_unit_test(test_hard_maximum_gives_the_ripe_ones),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_laws),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
