/* Laws of the merge rule over random stamps. */
#include "core/dot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/prng.h"

/* Small ranges, so that ties in each field are common. */
static struct stamp any(struct prng *p)
{
    return (struct stamp){(int64_t)prng_below(p, 3), (int64_t)prng_below(p, 3), (int64_t)prng_below(p, 3)};
}

static int sign(int x)
{
    return (x > 0) - (x < 0);
}

static struct stamp merge(struct stamp a, struct stamp b)
{
    return stamp_compare(&a, &b) >= 0 ? a : b;
}

static void assert_same(struct stamp a, struct stamp b)
{
    assert_int_equal(a.rank, b.rank);
    assert_int_equal(a.hlc, b.hlc);
    assert_int_equal(a.actor, b.actor);
}

static void test_total_order(void **state)
{
    (void)state;
    struct prng p;
    prng_init(&p, 1);
    for (int i = 0; i < 20000; i++) {
        struct stamp a = any(&p), b = any(&p), c = any(&p);
        int ab = sign(stamp_compare(&a, &b)), bc = sign(stamp_compare(&b, &c));
        assert_int_equal(ab, -sign(stamp_compare(&b, &a)));
        assert_int_equal(ab == 0, a.rank == b.rank && a.hlc == b.hlc && a.actor == b.actor);
        if (ab >= 0 && bc >= 0)
            assert_true(stamp_compare(&a, &c) >= 0);
    }
}

static void test_merge_is_a_semilattice(void **state)
{
    (void)state;
    struct prng p;
    prng_init(&p, 2);
    for (int i = 0; i < 20000; i++) {
        struct stamp a = any(&p), b = any(&p), c = any(&p);
        assert_same(merge(a, b), merge(b, a));
        assert_same(merge(a, a), a);
        assert_same(merge(merge(a, b), c), merge(a, merge(b, c)));
    }
}

static void test_fields_weigh_in_their_order(void **state)
{
    (void)state;
    struct stamp low = {1, INT64_MAX, INT64_MAX}, high = {2, 0, 0};
    assert_true(stamp_compare(&high, &low) > 0);
    struct stamp early = {1, 4, INT64_MAX}, late = {1, 5, 0};
    assert_true(stamp_compare(&late, &early) > 0);
    struct stamp one = {INT64_MIN, 5, 1}, two = {INT64_MIN, 5, 2};
    assert_true(stamp_compare(&two, &one) > 0);
    struct stamp least = {INT64_MIN, 0, 0}, most = {INT64_MAX, 0, 0};
    assert_true(stamp_compare(&most, &least) > 0); /* a difference would overflow */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_total_order),
        cmocka_unit_test(test_merge_is_a_semilattice),
        cmocka_unit_test(test_fields_weigh_in_their_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
