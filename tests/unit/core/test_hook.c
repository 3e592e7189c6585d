/* Which hooks an event is for, in which order, and how a hook that fails is paced. */
#include "core/hook.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/prng.h"

static const struct hook_fact started = {
    .type = "child_started", .swarm = "default", .name = "web-1", .node = "a", .origin = true};

static void test_filter(void **state)
{
    (void)state;
    assert_true(hook_wants(&(struct hook_filter){0}, &started));
    assert_true(hook_wants(&(struct hook_filter){.event = "child_started"}, &started));
    assert_true(hook_wants(&(struct hook_filter){.event = "child_*"}, &started));
    assert_false(hook_wants(&(struct hook_filter){.event = "child_start"}, &started));
    assert_true(hook_wants(&(struct hook_filter){.swarm = "default", .name = "web-?"}, &started));
    assert_false(hook_wants(&(struct hook_filter){.swarm = "other"}, &started));
    assert_false(hook_wants(&(struct hook_filter){.name = "db-*"}, &started));
    struct hook_fact node = {.type = "node_down", .node = "a", .origin = true};
    assert_true(hook_wants(&(struct hook_filter){.event = "node_*"}, &node));
    assert_false(hook_wants(&(struct hook_filter){.name = "*"}, &node)); /* it has no name */
}

static void test_where(void **state)
{
    (void)state;
    struct hook_fact told = started;
    const char *const ab[] = {"a", "b", NULL}, *const c[] = {"c", NULL}, *const none[] = {NULL};
    told.origin = false;
    assert_false(hook_wants(&(struct hook_filter){.where = HOOK_ORIGIN}, &told));
    assert_true(hook_wants(&(struct hook_filter){.where = HOOK_EVERY}, &told));
    assert_true(hook_wants(&(struct hook_filter){.where = HOOK_EVERY, .nodes = ab}, &told));
    assert_false(hook_wants(&(struct hook_filter){.where = HOOK_EVERY, .nodes = c}, &told));
    assert_true(hook_wants(&(struct hook_filter){.where = HOOK_EVERY, .nodes = none}, &told));
    assert_false(hook_wants(&(struct hook_filter){.where = HOOK_ORIGIN, .nodes = ab}, &told));
    assert_true(hook_wants(&(struct hook_filter){.where = HOOK_ORIGIN, .nodes = ab}, &started));
}

/* A strict total order: whatever the ranks, each pair has one answer, and opposite ones either way round. */
static void test_order(void **state)
{
    (void)state;
    const struct hook_rank ranks[] = {{100, "z", "e"}, {1, "a", "e"}, {0, "a", "a"},
                                      {0, "a", "e"},   {0, "b", "a"}, {-5, "a", "e"}};
    for (size_t i = 0; i < 6; i++)
        for (size_t k = 0; k < 6; k++) {
            int said = hook_order(&ranks[i], &ranks[k]);
            assert_int_equal(said < 0, i < k);
            assert_int_equal(said > 0, i > k);
        }
}

static void test_gate(void **state)
{
    (void)state;
    struct hook_gate g = {0};
    assert_true(hook_may(&g, 2, 0));
    hook_began(&g);
    assert_true(hook_may(&g, 2, 0));
    hook_began(&g);
    assert_false(hook_may(&g, 2, 0));
    hook_ended(&g, false, 1000, 7);
    assert_false(hook_may(&g, 2, 1000));
    assert_false(hook_may(&g, 2, 10000)); /* another one still runs: after a failure one at a time */
    hook_ended(&g, true, 2000, 7);
    assert_true(hook_may(&g, 2, 2000));
    assert_int_equal(g.failures, 0);
}

/* The pause doubles, never exceeds its limit, and never holds up for less than half of what it should. */
static void test_pause(void **state)
{
    (void)state;
    struct prng p;
    struct hook_gate g = {0};
    int64_t now = 0, want = HOOK_PAUSE_MIN_MS;
    prng_init(&p, 11);
    for (int i = 0; i < 20; i++) {
        hook_began(&g);
        hook_ended(&g, false, now, prng_next(&p));
        int64_t pause = g.paused_until_ms - now;
        assert_in_range(pause, want / 2, want);
        assert_false(hook_may(&g, 8, g.paused_until_ms - 1));
        assert_true(hook_may(&g, 8, g.paused_until_ms));
        now = g.paused_until_ms;
        want = want * 2 > HOOK_PAUSE_MAX_MS ? HOOK_PAUSE_MAX_MS : want * 2;
    }
    for (unsigned i = 1; i < 40; i++)
        assert_in_range(hook_again_ms(i, 0, prng_next(&p)), 500, HOOK_AGAIN_MAX_MS);
    assert_in_range(hook_again_ms(1, 0, prng_next(&p)), 500, 1000);
}

/* Of one event: hooks with a higher priority have lower ids. */
static void test_who_is_told_first(void **state)
{
    (void)state;
    struct hook_queue q = {0};
    hook_queue_add(&q, (struct hook_item){.id = 5, .first = 4});
    hook_queue_add(&q, (struct hook_item){.id = 8, .first = 7});
    assert_true(hook_queue_before(&q, &(struct hook_item){.id = 6, .first = 4}));
    assert_true(hook_queue_before(&q, &(struct hook_item){.id = 9, .first = 7}));
    assert_false(hook_queue_before(&q, &(struct hook_item){.id = 4, .first = 4})); /* it is before that one */
    assert_false(hook_queue_before(&q, &(struct hook_item){.id = 12, .first = 10})); /* another event */
    assert_false(hook_queue_before(&q, &(struct hook_item){.id = 6}));               /* of a former run */
    hook_queue_find(&q, 5)->running = true;
    assert_true(hook_queue_before(&q, &(struct hook_item){.id = 6, .first = 4}));
    hook_queue_find(&q, 5)->attempts = 1; /* it was told, and will be again */
    assert_false(hook_queue_before(&q, &(struct hook_item){.id = 6, .first = 4}));
    hook_queue_drop(&q, 8);
    assert_false(hook_queue_before(&q, &(struct hook_item){.id = 9, .first = 7}));
    hook_queue_fini(&q);
}

static void test_queue(void **state)
{
    (void)state;
    struct hook_queue q = {0};
    assert_null(hook_queue_next(&q, 100));
    assert_int_equal(hook_queue_due_ms(&q), INT64_MAX);
    assert_int_equal(hook_queue_oldest(&q), 0);
    for (int i = 1; i <= 100; i++)
        hook_queue_add(&q, (struct hook_item){.id = i * 3, .due_ms = i == 1 ? 50 : 10});
    assert_int_equal(hook_queue_next(&q, 10)->id, 6); /* the oldest is not due yet */
    assert_int_equal(hook_queue_next(&q, 50)->id, 6); /* what failed goes behind what waits */
    assert_null(hook_queue_next(&q, 9));
    assert_int_equal(hook_queue_due_ms(&q), 10);
    for (int i = 2; i <= 100; i++)
        hook_queue_find(&q, i * 3)->due_ms = 60;
    assert_int_equal(hook_queue_next(&q, 60)->id, 3);
    hook_queue_find(&q, 3)->running = true;
    assert_int_equal(hook_queue_oldest(&q), 6);
    assert_int_equal(hook_queue_next(&q, 60)->id, 6);
    assert_null(hook_queue_find(&q, 4));
    for (int i = 2; i <= 100; i++)
        hook_queue_drop(&q, i * 3);
    hook_queue_drop(&q, 1);
    assert_int_equal(q.n, 1);
    assert_null(hook_queue_next(&q, 60)); /* it runs */
    assert_int_equal(hook_queue_due_ms(&q), INT64_MAX);
    hook_queue_fini(&q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_filter), cmocka_unit_test(test_where), cmocka_unit_test(test_order),
        cmocka_unit_test(test_gate),   cmocka_unit_test(test_pause), cmocka_unit_test(test_who_is_told_first),
        cmocka_unit_test(test_queue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
