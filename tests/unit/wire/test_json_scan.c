/* json_scan: looking into checked text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire/json.h"

static struct span span(const char *text)
{
    return (struct span){text, strlen(text)};
}

static void expect(struct span got, const char *want)
{
    assert_int_equal(got.n, strlen(want));
    assert_memory_equal(got.p, want, got.n);
}

static void test_types(void **state)
{
    (void)state;
    assert_int_equal(json_type(span(" null")), JSON_T_NULL);
    assert_int_equal(json_type(span("true")), JSON_T_BOOL);
    assert_int_equal(json_type(span("false")), JSON_T_BOOL);
    assert_int_equal(json_type(span("\n-1")), JSON_T_NUMBER);
    assert_int_equal(json_type(span("\"x\"")), JSON_T_STRING);
    assert_int_equal(json_type(span("[]")), JSON_T_ARRAY);
    assert_int_equal(json_type(span("{}")), JSON_T_OBJECT);
}

static void test_members_keep_their_bytes(void **state)
{
    (void)state;
    static const char text[] =
        " { \"a\" : [1, {\"b\" : \"]}\"} ] , \"b\":-1.50e1,\"c\\n\":\"\\\"\" , \"d\" : null } ";
    const size_t n = sizeof text - 1;
    assert_int_equal(json_check(text, n, NULL), 0);
    expect(json_raw_member(text, n, "a"), "[1, {\"b\" : \"]}\"} ]");
    expect(json_raw_member(text, n, "b"), "-1.50e1");
    expect(json_raw_member(text, n, "c\n"), "\"\\\"\"");
    expect(json_raw_member(text, n, "d"), "null");
    assert_null(json_raw_member(text, n, "e").p);
    assert_null(json_raw_member(text, n, "").p);
    assert_null(json_raw_member("[1]", 3, "a").p);
    assert_null(json_raw_member("1", 1, "a").p);
}

static void test_iterating(void **state)
{
    (void)state;
    static const char *const elements[] = {"1", "\"a,b\"", "[2,3]", "{}", "null"};
    struct json_iter it = json_iter_init(span(" [ 1,\"a,b\" , [2,3],{} ,null ] "));
    struct span key, value;
    for (size_t i = 0; i < COUNT(elements); i++) {
        assert_true(json_iter_next(&it, &key, &value));
        assert_null(key.p);
        expect(value, elements[i]);
    }
    assert_false(json_iter_next(&it, &key, &value));
    assert_false(json_iter_next(&it, &key, &value));
    static const char *const none[] = {"[]", "{ }", "1", "\"[1]\""};
    for (size_t i = 0; i < COUNT(none); i++) {
        it = json_iter_init(span(none[i]));
        assert_false(json_iter_next(&it, NULL, &value));
    }
    it = json_iter_init((struct span){NULL, 0});
    assert_false(json_iter_next(&it, NULL, &value));
    it = json_iter_init(span("{\"k\":1}"));
    assert_true(json_iter_next(&it, &key, &value));
    expect(key, "\"k\"");
}

static void test_unquote(void **state)
{
    (void)state;
    static const struct {
        const char *raw, *text;
    } cases[] = {{"\"\"", ""},
                 {" \"plain\" ", "plain"},
                 {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t"},
                 {"\"\\u0041\\u00e9\\u20ac\\ud83d\\uDC1D\"", "Aé€🐝"}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTOSTR struct str s = STR_INIT;
        assert_true(json_unquote(span(cases[i].raw), &s));
        assert_string_equal(str_get(&s), cases[i].text);
    }
    AUTOSTR struct str s = STR_INIT;
    assert_false(json_unquote(span("1"), &s));
    assert_int_equal(s.n, 0);
}

static void test_where_a_string_ends(void **state)
{
    (void)state;
    static const char *const strings[] = {
        "\"\"",         "\"\\\"\"",     "\"\\\\\"",      "\"\\\\\\\"\"",
        "\"\\\"\\\"\"", "\"\\\"\\\\\"", "\"a\\\\\\\\\"", "\"]}\"",
    };
    for (size_t i = 0; i < COUNT(strings); i++) {
        AUTOSTR struct str s = STR_INIT;
        str_printf(&s, "[%s,{%s:%s},7]", strings[i], strings[i], strings[i]);
        struct json_iter it = json_iter_init((struct span){s.p, s.n});
        struct span value;
        assert_int_equal(json_check(s.p, s.n, NULL), 0);
        assert_true(json_iter_next(&it, NULL, &value));
        expect(value, strings[i]);
        assert_true(json_iter_next(&it, NULL, &value));
        assert_true(json_iter_next(&it, NULL, &value));
        expect(value, "7");
        assert_false(json_iter_next(&it, NULL, &value));
    }
}

static void test_integers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool good;
        int64_t v;
    } cases[] = {
        {"0", true, 0},
        {"-0", true, 0},
        {"7", true, 7},
        {"-12", true, -12},
        {"5.0", true, 5},
        {"1e3", true, 1000},
        {"1.25e2", true, 125},
        {"1200e-2", true, 12},
        {"0e999999999999", true, 0},
        {"0.000", true, 0},
        {"9007199254740992", true, JSON_INT_MAX},
        {"-9007199254740992", true, -JSON_INT_MAX},
        {"9007199254740993", false, 0},
        {"-9007199254740993", false, 0},
        {"1e15", true, 1000000000000000},
        {"1e16", false, 0},
        {"1e17", false, 0},
        {"1e999999999999", false, 0},
        {"0.5", false, 0},
        {"1.25e1", false, 0},
        {"1e-1", false, 0},
        {"123456789012345678901234567890", false, 0},
        {"0.0001e4", true, 1},
        {"10.0e0", true, 10},
        {"100000000000000000000000e-22", true, 10},
        {"\"1\"", false, 0},
        {"true", false, 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        int64_t v = 77;
        if (json_int(span(cases[i].text), &v) != cases[i].good || v != (cases[i].good ? cases[i].v : 77))
            fail_msg("%s gave %lld", cases[i].text, (long long)v);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_members_keep_their_bytes),
        cmocka_unit_test(test_iterating),
        cmocka_unit_test(test_unquote),
        cmocka_unit_test(test_where_a_string_ends),
        cmocka_unit_test(test_integers),
    };
    return cmocka_run_group_tests_name("wire/json_scan", tests, NULL, NULL);
}
