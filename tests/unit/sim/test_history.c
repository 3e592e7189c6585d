/* What clients asked, kept in order. */
#include "sim/history.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void operations_begin_and_end(void **state)
{
    (void)state;
    struct history h = {0};
    size_t a = history_begin(&h, 10, 0, 1, 5, 0), b = history_begin(&h, 10, 2, 0, 6, 7);
    assert_int_equal(h.open, 2);
    history_end(&h, b, 20, HIST_OK, 1, 9);
    history_end(&h, a, 30, HIST_UNKNOWN, 3, 4);
    assert_int_equal(h.open, 0);
    assert_true(h.ops[a].ended_us == INT64_MAX && h.ops[a].verdict == 0 && h.ops[a].got == 0);
    assert_true(h.ops[b].ended_us == 20 && h.ops[b].got == 9 && h.ops[b].arg2 == 7 && h.ops[b].client == 2);
    history_clear(&h);
    assert_int_equal(h.n, 0);
    history_fini(&h);
}

static void it_can_be_read(void **state)
{
    (void)state;
    static const char *const words[] = {"put", "get"};
    struct history h = {0};
    struct str text = STR_INIT;
    history_end(&h, history_begin(&h, 1000000, 0, 0, 5, 0), 1500000, HIST_OK, 1, 5);
    history_end(&h, history_begin(&h, 2000000, 1, 1, 0, 0), 2000001, HIST_UNKNOWN, 0, 0);
    history_end(&h, history_begin(&h, 2000000, 1, 1, 0, 0), 2000001, HIST_FAILED, 0, 0);
    history_begin(&h, 3000000, 1, 1, 0, 0);
    history_print(&h, words, &text);
    assert_string_equal(str_get(&text), "0: n1 put 5 from 1.000000 to 1.500000: 1 5\n"
                                        "1: n2 get 0 from 2.000000: nobody knows\n"
                                        "2: n2 get 0 from 2.000000: refused\n"
                                        "3: n2 get 0 from 3.000000: open\n");
    str_fini(&text);
    history_fini(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operations_begin_and_end),
        cmocka_unit_test(it_can_be_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
