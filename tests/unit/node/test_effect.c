/* Effects and the memory that goes with them: in order after the commit, or as if nothing had been. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "node/brain.h"

static char order[64];

static void write_letter(struct node *n, void *arg)
{
    (void)n;
    strncat(order, arg, 1);
}

static void write_small(void *arg)
{
    char letter[2] = {(char)(*(char *)arg + 'a' - 'A'), 0};
    strcat(order, letter);
}

static void more(struct node *n, void *arg)
{
    write_letter(n, arg);
    eff_do(n, write_letter, (void *)(uintptr_t) "Z", write_small);
}

static struct node *begin(void)
{
    struct node *n = mem_alloc(sizeof *n);
    n->fx = effects_new();
    order[0] = 0;
    return n;
}

static void end(struct node *n)
{
    effects_free(n->fx);
    free(n);
}

static void add(struct node *n, const char *letter)
{
    eff_do(n, write_letter, (void *)(uintptr_t)letter, write_small);
}

static void effects_leave_in_order_and_may_add_more(void **state)
{
    (void)state;
    struct node *n = begin();
    add(n, "A");
    eff_do(n, more, (void *)(uintptr_t) "B", write_small);
    add(n, "C");
    assert_string_equal(order, "");
    effects_release(n);
    assert_string_equal(order, "ABCZ");
    effects_release(n);
    assert_string_equal(order, "ABCZ");
    end(n);
}

static void what_is_dropped_goes_back_to_its_mark(void **state)
{
    (void)state;
    struct node *n = begin();
    add(n, "A");
    struct mark m = effects_mark(n->fx);
    add(n, "B");
    add(n, "C");
    effects_drop(n->fx, m);
    assert_string_equal(order, "cb");
    effects_release(n);
    assert_string_equal(order, "cbA");
    end(n);
}

static void what_never_left_is_dropped_at_the_end(void **state)
{
    (void)state;
    struct node *n = begin();
    add(n, "A");
    end(n);
    assert_string_equal(order, "a");
}

static void touched_memory_comes_back_in_every_depth(void **state)
{
    (void)state;
    struct node *n = begin();
    struct {
        int a;
        char text[8];
    } v = {1, "one"};
    node_touch(n, &v, sizeof v);
    v.a = 2;
    struct mark m = effects_mark(n->fx);
    node_touch(n, &v.a, sizeof v.a);
    v.a = 3;
    node_touch(n, &v, sizeof v);
    v.a = 4;
    memcpy(v.text, "four", 5);
    effects_drop(n->fx, m);
    assert_int_equal(v.a, 2);
    assert_string_equal(v.text, "one");
    effects_drop(n->fx, (struct mark){0, 0});
    assert_int_equal(v.a, 1);
    node_touch(n, &v.a, sizeof v.a);
    v.a = 9;
    effects_release(n); /* committed: nothing brings the old value back */
    effects_drop(n->fx, (struct mark){0, 0});
    assert_int_equal(v.a, 9);
    end(n);
}

/* What a handler made and touched is restored first and freed then. */
static void undo_comes_before_drop(void **state)
{
    (void)state;
    struct node *n = begin();
    int *made = mem_alloc(sizeof *made);
    eff_do(n, write_letter, made, free);
    node_touch(n, made, sizeof *made);
    *made = 5;
    effects_drop(n->fx, (struct mark){0, 0}); /* AddressSanitizer looks */
    end(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(effects_leave_in_order_and_may_add_more),
        cmocka_unit_test(what_is_dropped_goes_back_to_its_mark),
        cmocka_unit_test(what_never_left_is_dropped_at_the_end),
        cmocka_unit_test(touched_memory_comes_back_in_every_depth),
        cmocka_unit_test(undo_comes_before_drop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
