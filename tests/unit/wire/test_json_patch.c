/* json_patch: the examples of RFC 7396 appendix A, and what is untouched keeps its bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire/json.h"

static void expect(const char *target, const char *patch, const char *want)
{
    AUTOSTR struct str s = STR_INIT, again = STR_INIT;
    struct err e = {0};
    if (json_merge_patch(target, target ? strlen(target) : 0, patch, strlen(patch), &s, &e) < 0)
        fail_msg("%s + %s: %s", target, patch, e.text);
    assert_string_equal(str_get(&s), want);
    assert_int_equal(json_check(s.p, s.n, NULL), 0);
    assert_int_equal(json_merge_patch(s.p, s.n, patch, strlen(patch), &again, NULL), 0);
    assert_string_equal(str_get(&again), want);
}

static void test_examples_of_the_rfc(void **state)
{
    (void)state;
    expect("{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}");
    expect("{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}");
    expect("{\"a\":\"b\"}", "{\"a\":null}", "{}");
    expect("{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}");
    expect("{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}");
    expect("{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}");
    expect("{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}");
    expect("{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}");
    expect("[\"a\",\"b\"]", "[\"c\",\"d\"]", "[\"c\",\"d\"]");
    expect("{\"a\":\"b\"}", "[\"c\"]", "[\"c\"]");
    expect("{\"a\":\"foo\"}", "null", "null");
    expect("{\"a\":\"foo\"}", "\"bar\"", "\"bar\"");
    expect("{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}");
    expect("[1,2]", "{\"a\":\"b\",\"c\":null}", "{\"a\":\"b\"}");
    expect("{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}");
}

static void test_untouched_bytes_stay(void **state)
{
    (void)state;
    expect(" { \"big\" : 12345678901234567890.10 , \"esc\":\"\\u0041\\/\", \"x\":1 } ",
           " { \"x\" : 2 , \"y\" : [ 1 ] } ",
           "{\"big\":12345678901234567890.10,\"esc\":\"\\u0041\\/\",\"x\":2,\"y\":[ 1 ]}");
    expect("{\"a\":{ \"p\" : 1.0 , \"q\":2},\"b\":1}", "{\"a\":{\"q\":3}}",
           "{\"a\":{\"p\":1.0,\"q\":3},\"b\":1}");
}

static void test_keys_are_compared_decoded(void **state)
{
    (void)state;
    expect("{\"\\u0061\":1,\"b\":2}", "{\"a\":3}", "{\"\\u0061\":3,\"b\":2}");
    expect("{\"a\":1}", "{\"\\u0061\":null}", "{}");
}

static void test_new_members_come_in_the_patchs_order(void **state)
{
    (void)state;
    expect("{\"z\":0}", "{\"d\":1,\"a\":2,\"c\":3,\"b\":4,\"e\":5}",
           "{\"z\":0,\"d\":1,\"a\":2,\"c\":3,\"b\":4,\"e\":5}");
}

static void test_no_target(void **state)
{
    (void)state;
    expect(NULL, "{\"a\":null,\"b\":{\"c\":null,\"d\":1}}", "{\"b\":{\"d\":1}}");
    expect(NULL, "7", "7");
}

static void test_bad_json_changes_nothing(void **state)
{
    (void)state;
    AUTOSTR struct str s = STR_INIT;
    str_puts(&s, "kept");
    assert_int_equal(json_merge_patch("{", 1, "{}", 2, &s, NULL), SKEP_EJSON);
    assert_int_equal(json_merge_patch("{}", 2, "{\"a\":1,\"a\":2}", 13, &s, NULL), SKEP_EJSON);
    assert_string_equal(str_get(&s), "kept");
}

/* Many members on both sides: sorted, not compared each with each. */
static void test_large(void **state)
{
    (void)state;
    AUTOSTR struct str target = STR_INIT, patch = STR_INIT, want = STR_INIT;
    str_puts(&target, "{\"first\":0");
    str_puts(&patch, "{\"last\":1");
    str_puts(&want, "{\"first\":0");
    for (int i = 0; i < 3000; i++) {
        str_printf(&target, ",\"k%d\":%d", i, i);
        if (i % 3 == 0)
            str_printf(&patch, ",\"k%d\":null", i);
        else
            str_printf(&want, ",\"k%d\":%d", i, i % 3 == 1 ? -i : i);
        if (i % 3 == 1)
            str_printf(&patch, ",\"k%d\":%d", i, -i);
    }
    str_puts(&target, "}");
    str_puts(&patch, "}");
    str_puts(&want, ",\"last\":1}");
    expect(target.p, patch.p, want.p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_examples_of_the_rfc),
        cmocka_unit_test(test_untouched_bytes_stay),
        cmocka_unit_test(test_keys_are_compared_decoded),
        cmocka_unit_test(test_no_target),
        cmocka_unit_test(test_new_members_come_in_the_patchs_order),
        cmocka_unit_test(test_bad_json_changes_nothing),
        cmocka_unit_test(test_large),
    };
    return cmocka_run_group_tests_name("wire/json_patch", tests, NULL, NULL);
}
