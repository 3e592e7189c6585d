/* Laws of version vectors over random vectors, checked against a plain array indexed by actor. */
#include "core/vv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/prng.h"

#define ACTORS 8 /* the model's actors; one more stands for "any other" */

static struct vv any(struct prng *p)
{
    struct vv v = VV_INIT;
    for (uint64_t i = prng_below(p, 12); i > 0; i--)
        vv_raise(&v, (int64_t)prng_below(p, ACTORS), (int64_t)prng_below(p, 6));
    if (prng_below(p, 3) == 0)
        vv_fold(&v, (int64_t)prng_below(p, ACTORS));
    return v;
}

static void assert_sorted(const struct vv *v)
{
    for (size_t i = 1; i < v->n; i++)
        assert_true(v->e[i - 1].actor < v->e[i].actor);
}

static struct vv merged(const struct vv *a, const struct vv *b)
{
    struct vv out = VV_INIT;
    vv_copy(&out, a);
    vv_merge(&out, b);
    assert_sorted(&out);
    return out;
}

static void assert_same(const struct vv *a, const struct vv *b)
{
    assert_int_equal(a->floor, b->floor);
    for (int64_t actor = 0; actor <= ACTORS; actor++)
        assert_int_equal(vv_get(a, actor), vv_get(b, actor));
    assert_true(vv_equal(a, b));
}

static void test_merge_is_the_pointwise_maximum(void **state)
{
    (void)state;
    struct prng p;
    prng_init(&p, 1);
    for (int i = 0; i < 5000; i++) {
        struct vv a = any(&p), b = any(&p), ab = merged(&a, &b);
        for (int64_t actor = 0; actor <= ACTORS; actor++) {
            int64_t x = vv_get(&a, actor), y = vv_get(&b, actor);
            assert_int_equal(vv_get(&ab, actor), x > y ? x : y);
        }
        vv_fini(&a);
        vv_fini(&b);
        vv_fini(&ab);
    }
}

static void test_merge_is_a_semilattice(void **state)
{
    (void)state;
    struct prng p;
    prng_init(&p, 2);
    for (int i = 0; i < 5000; i++) {
        struct vv a = any(&p), b = any(&p), c = any(&p);
        struct vv ab = merged(&a, &b), ba = merged(&b, &a), bc = merged(&b, &c), aa = merged(&a, &a);
        struct vv left = merged(&ab, &c), right = merged(&a, &bc);
        assert_same(&ab, &ba);
        assert_same(&aa, &a);
        assert_same(&left, &right);
        assert_false(vv_merge(&ab, &b)); /* nothing new */
        struct vv *all[] = {&a, &b, &c, &ab, &ba, &bc, &aa, &left, &right};
        for (size_t k = 0; k < COUNT(all); k++)
            vv_fini(all[k]);
    }
}

static void test_merge_tells_whether_it_changed(void **state)
{
    (void)state;
    struct prng p;
    prng_init(&p, 3);
    int changes = 0;
    for (int i = 0; i < 5000; i++) {
        struct vv a = any(&p), b = any(&p), before = VV_INIT;
        vv_copy(&before, &a);
        bool changed = vv_merge(&a, &b);
        assert_int_equal(changed, !vv_equal(&before, &a));
        changes += changed;
        vv_fini(&a);
        vv_fini(&b);
        vv_fini(&before);
    }
    assert_in_range(changes, 1, 4999);
}

static void test_raise_never_lowers(void **state)
{
    (void)state;
    struct prng p;
    prng_init(&p, 4);
    struct vv v = VV_INIT;
    int64_t model[ACTORS] = {0};
    for (int i = 0; i < 2000; i++) {
        int64_t actor = (int64_t)prng_below(&p, ACTORS), hlc = (int64_t)prng_below(&p, 1000);
        assert_int_equal(vv_raise(&v, actor, hlc), hlc > model[actor]);
        model[actor] = hlc > model[actor] ? hlc : model[actor];
        for (int64_t k = 0; k < ACTORS; k++) {
            assert_int_equal(vv_get(&v, k), model[k]);
            assert_true(vv_covers(&v, k, model[k]));
            assert_false(vv_covers(&v, k, model[k] + 1));
        }
        assert_sorted(&v);
    }
    vv_fini(&v);
}

static void test_an_absent_actor_counts_as_the_floor(void **state)
{
    (void)state;
    AUTOVV struct vv v = VV_INIT;
    vv_raise(&v, 1, 100);
    vv_raise(&v, 2, 50);
    assert_int_equal(vv_get(&v, 7), 0);
    vv_fold(&v, 1);
    assert_int_equal(v.n, 1);
    assert_int_equal(v.floor, 100);
    assert_int_equal(vv_get(&v, 1), 100);
    assert_int_equal(vv_get(&v, 7), 100);
    assert_int_equal(vv_get(&v, 2), 50); /* an entry below the floor keeps its own value */
    assert_false(vv_raise(&v, 7, 100));
    assert_int_equal(v.n, 1);
    assert_true(vv_raise(&v, 7, 101));
    assert_int_equal(vv_max(&v), 101);
    vv_clear(&v);
    assert_int_equal(vv_max(&v), 0);
}

static void test_equal_as_functions(void **state)
{
    (void)state;
    AUTOVV struct vv a = VV_INIT;
    AUTOVV struct vv b = VV_INIT;
    a.floor = b.floor = 5;
    vv_raise(&a, 3, 9);
    assert_false(vv_equal(&a, &b));
    vv_raise(&b, 3, 9);
    assert_true(vv_equal(&a, &b));
    b.floor = 6;
    assert_false(vv_equal(&a, &b));
}

static void test_reaches(void **state)
{
    (void)state;
    struct prng p;
    prng_init(&p, 5);
    int reached = 0;
    for (int i = 0; i < 5000; i++) {
        struct vv a = any(&p), b = any(&p), ab = merged(&a, &b);
        assert_true(vv_reaches(&a, &a));
        assert_true(vv_reaches(&ab, &a));
        assert_true(vv_reaches(&ab, &b));
        bool want = vv_max(&a) >= b.floor;
        for (size_t k = 0; k < b.n; k++)
            want &= vv_get(&a, b.e[k].actor) >= b.e[k].hlc;
        assert_int_equal(vv_reaches(&a, &b), want);
        reached += want;
        vv_fini(&a);
        vv_fini(&b);
        vv_fini(&ab);
    }
    assert_in_range(reached, 100, 4900);
}

static void test_folding_on_one_side_is_not_behind(void **state)
{
    (void)state;
    AUTOVV struct vv a = VV_INIT;
    AUTOVV struct vv b = VV_INIT;
    vv_raise(&a, 1, 100);
    vv_raise(&a, 2, 200);
    vv_copy(&b, &a);
    vv_fold(&b, 1);
    assert_true(vv_reaches(&a, &b)); /* read as 0 this would be a RESYNC */
    assert_true(vv_reaches(&b, &a));
    AUTOVV struct vv newcomer = VV_INIT;
    assert_false(vv_reaches(&newcomer, &b));
    vv_fold(&b, 2); /* nothing but a floor is left */
    assert_false(vv_reaches(&newcomer, &b));
    assert_true(vv_reaches(&a, &b));
}

static void test_replace_puts_each_entry(void **state)
{
    (void)state;
    struct prng p;
    prng_init(&p, 9);
    for (int i = 0; i < 5000; i++) {
        AUTOVV struct vv a = any(&p), b = any(&p), want = VV_INIT;
        vv_copy(&want, &a);
        for (size_t k = 0; k < b.n; k++)
            vv_put(&want, b.e[k].actor, b.e[k].hlc);
        vv_replace(&a, &b);
        assert_sorted(&a);
        assert_int_equal(a.n, want.n);
        assert_true(a.n == 0 || memcmp(a.e, want.e, a.n * sizeof *a.e) == 0);
        assert_int_equal(a.floor, want.floor);
    }
}

static void test_copy_keeps_its_own_memory(void **state)
{
    (void)state;
    AUTOVV struct vv a = VV_INIT;
    AUTOVV struct vv b = VV_INIT;
    for (int64_t i = 0; i < 100; i++)
        vv_raise(&a, i * 7 % 101, i + 1);
    vv_copy(&b, &a);
    struct vv_entry *memory = b.e;
    vv_raise(&a, 1, 5000);
    assert_false(vv_equal(&a, &b));
    vv_copy(&b, &a);
    assert_ptr_equal(b.e, memory);
    assert_true(vv_equal(&a, &b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merge_is_the_pointwise_maximum),
        cmocka_unit_test(test_merge_is_a_semilattice),
        cmocka_unit_test(test_merge_tells_whether_it_changed),
        cmocka_unit_test(test_raise_never_lowers),
        cmocka_unit_test(test_an_absent_actor_counts_as_the_floor),
        cmocka_unit_test(test_equal_as_functions),
        cmocka_unit_test(test_reaches),
        cmocka_unit_test(test_folding_on_one_side_is_not_behind),
        cmocka_unit_test(test_replace_puts_each_entry),
        cmocka_unit_test(test_copy_keeps_its_own_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
