/* The heap of timers against a plain list of moments. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/prng.h"
#include "node/brain.h"

#define TIMERS 50

static int64_t soonest(const struct timer *t)
{
    int64_t at = INT64_MAX;
    for (int i = 0; i < TIMERS; i++)
        at = t[i].due_ms < at ? t[i].due_ms : at;
    return at;
}

static void check(const struct node *n, const struct timer *t)
{
    size_t set = 0;
    for (int i = 0; i < TIMERS; i++) {
        set += t[i].due_ms != INT64_MAX;
        assert_int_equal(t[i].at != 0, t[i].due_ms != INT64_MAX);
        if (t[i].at)
            assert_ptr_equal(n->heap[t[i].at - 1], &t[i]);
    }
    assert_int_equal(n->heap_n, set);
    if (set)
        assert_int_equal(n->heap[0]->due_ms, soonest(t));
}

static void the_nearest_is_on_top_whatever_is_set(void **state)
{
    (void)state;
    struct node *n = mem_alloc(sizeof *n);
    struct timer t[TIMERS] = {{0}};
    struct prng p;
    prng_init(&p, 7);
    for (int i = 0; i < TIMERS; i++)
        t[i].due_ms = INT64_MAX;
    for (int step = 0; step < 20000; step++) {
        struct timer *one = &t[prng_below(&p, TIMERS)];
        bool off = prng_below(&p, 3) == 0;
        timer_set(n, one, off ? INT64_MAX : (int64_t)prng_below(&p, 100));
        check(n, t);
    }
    for (int i = 0; i < TIMERS; i++)
        timer_set(n, &t[i], INT64_MAX);
    check(n, t);
    free(n->heap);
    free(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_nearest_is_on_top_whatever_is_set)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
