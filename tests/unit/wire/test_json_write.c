/* json_write: commas, escapes and numbers; whatever is written is read. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/prng.h"
#include "wire/json.h"

static void test_commas_come_by_themselves(void **state)
{
    (void)state;
    AUTOSTR struct str s = STR_INIT;
    struct jw j = jw_init(&s);
    jw_object(&j);
    jw_kv_string(&j, "name", "a");
    jw_kv_array(&j, "list");
    jw_i64(&j, 1);
    jw_object(&j);
    jw_object_close(&j);
    jw_array(&j);
    jw_array_close(&j);
    jw_string(&j, NULL);
    jw_array_close(&j);
    jw_kv_object(&j, "in");
    jw_kv_bool(&j, "yes", true);
    jw_kv_bool(&j, "no", false);
    jw_kv_null(&j, "nil");
    jw_object_close(&j);
    jw_kv_i64(&j, "min", INT64_MIN);
    jw_kv_i64_text(&j, "max", INT64_MAX);
    jw_kv_raw(&j, "raw", (struct span){"{ \"a\" : 1 }", 11});
    jw_kv_raw(&j, "none", (struct span){NULL, 0});
    jw_kv_time(&j, "at", 1769860800123);
    jw_kv_time(&j, "never", 0);
    jw_object_close(&j);
    jw_end(&j);
    assert_string_equal(
        str_get(&s),
        "{\"name\":\"a\",\"list\":[1,{},[],null],\"in\":{\"yes\":true,\"no\":false,\"nil\":null},"
        "\"min\":-9223372036854775808,\"max\":\"9223372036854775807\",\"raw\":{ \"a\" : 1 },"
        "\"none\":null,\"at\":\"2026-01-31T12:00:00.123Z\",\"never\":null}");
    assert_int_equal(json_check(s.p, s.n, NULL), 0);
}

static void expect_text(const char *p, size_t n, const char *want)
{
    AUTOSTR struct str s = STR_INIT;
    struct jw j = jw_init(&s);
    jw_string_n(&j, p, n);
    assert_string_equal(str_get(&s), want);
}

static void test_escapes(void **state)
{
    (void)state;
    expect_text("", 0, "\"\"");
    expect_text("a\"b\\c/d", 7, "\"a\\\"b\\\\c/d\"");
    expect_text("\n\r\t\b\x1f\x7f", 6, "\"\\n\\r\\t\\u0008\\u001f\\u007f\"");
    expect_text("a\0b", 3, "\"a\\u0000b\"");
    expect_text("žába 🐝", strlen("žába 🐝"), "\"žába 🐝\"");
    expect_text("a\xff"
                "b\xc3",
                4,
                "\"a\xEF\xBF\xBD"
                "b\xEF\xBF\xBD\"");
    expect_text("\xed\xa0\x80", 3, "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"");
}

static void test_any_bytes_make_a_good_string(void **state)
{
    (void)state;
    struct prng p;
    prng_init(&p, 5);
    for (int round = 0; round < 5000; round++) {
        AUTOSTR struct str s = STR_INIT, back = STR_INIT;
        char bytes[24];
        size_t n = (size_t)prng_below(&p, sizeof bytes);
        prng_fill(&p, bytes, n);
        for (size_t i = 0; i < n; i++)
            if (!bytes[i] || prng_below(&p, 2))
                bytes[i] = (char)(1 + prng_below(&p, 127));
        struct jw j = jw_init(&s);
        jw_string_n(&j, bytes, n);
        assert_int_equal(json_check(s.p, s.n, NULL), 0);
        assert_true(json_unquote((struct span){s.p, s.n}, &back));
        if (text_is_utf8(bytes, n)) {
            assert_int_equal(back.n, n);
            assert_memory_equal(str_get(&back), bytes, n);
        }
    }
}

static void test_reals(void **state)
{
    (void)state;
    static const struct {
        double v;
        const char *text;
    } cases[] = {{0, "0"},
                 {1, "1"},
                 {-1.5, "-1.5"},
                 {0.31, "0.31"},
                 {100, "100"},
                 {1e-9, "0"},
                 {-1e-9, "0"},
                 {INFINITY, "null"},
                 {-INFINITY, "null"},
                 {(double)NAN, "null"},
                 {1e20, "100000000000000000000"},
                 {0.1234567, "0.123457"}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTOSTR struct str s = STR_INIT;
        struct jw j = jw_init(&s);
        jw_real(&j, cases[i].v);
        assert_string_equal(str_get(&s), cases[i].text);
    }
    AUTOSTR struct str s = STR_INIT;
    struct jw j = jw_init(&s);
    jw_real(&j, -1.7976931348623157e308);
    assert_int_equal(json_check(s.p, s.n, NULL), 0);
}

static void test_one_line(void **state)
{
    (void)state;
    AUTOSTR struct str s = STR_INIT;
    struct jw j = jw_init(&s);
    j.one_line = true;
    jw_raw(&j, (struct span){"{\n\t\"a\":\r\n\"x\\ny\"}", 17});
    assert_string_equal(str_get(&s), "{ \t\"a\":  \"x\\ny\"}");
}

static void test_problem(void **state)
{
    (void)state;
    AUTOSTR struct str plain = STR_INIT, full = STR_INIT;
    struct err e = {0};
    err_set(&e, SKEP_ENOTFOUND, "no \"x\" here");
    json_problem(&plain, &e, (struct span){NULL, 0});
    assert_string_equal(str_get(&plain),
                        "{\"type\":\"about:blank\",\"title\":\"There is no such thing\",\"status\":404,"
                        "\"detail\":\"no \\\"x\\\" here\",\"code\":\"not_found\"}");
    err_field(&e, SKEP_ESTARTED, "name", "it runs");
    static const char extras[] = "\"child\":{},\"same_spec\":true";
    json_problem(&full, &e, (struct span){extras, sizeof extras - 1});
    assert_int_equal(json_check(full.p, full.n, NULL), 0);
    assert_non_null(
        strstr(full.p, "\"code\":\"already_started\",\"field\":\"name\",\"child\":{},\"same_spec\":true}"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commas_come_by_themselves),
        cmocka_unit_test(test_escapes),
        cmocka_unit_test(test_any_bytes_make_a_good_string),
        cmocka_unit_test(test_reals),
        cmocka_unit_test(test_one_line),
        cmocka_unit_test(test_problem),
    };
    return cmocka_run_group_tests_name("wire/json_write", tests, NULL, NULL);
}
