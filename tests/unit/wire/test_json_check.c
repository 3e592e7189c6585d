/* json_check: what is JSON to skep and what is not, and that no text can make it slow, deep or wild. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/prng.h"
#include "wire/json.h"

/* In a block of exactly its size: the sanitizer sees one byte too far. */
static int check_n(const char *p, size_t n, struct err *e)
{
    AUTOFREE char *exact = malloc(n ? n : 1);
    memcpy(exact, p, n);
    return json_check(exact, n, e);
}

static void test_good(void **state)
{
    (void)state;
    static const char *const good[] = {
        "{}",
        "[]",
        "null",
        "true",
        "false",
        "0",
        "-0",
        "12",
        "1.5",
        "-1.5e+10",
        "1E5",
        "0.0",
        "\"\"",
        "\"žába 🐝\"",
        " \t\r\n{ \"a\" : [ 1 , 2 , { } ] } \n",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uD83D\\udc1d\"",
        "\"\x7f\"",
        "{\"a\":1,\"A\":2,\"\":3}",
        "[[],[[]],{}]",
        "{\"\\u0061b\":1,\"a\":2}",
    };
    for (size_t i = 0; i < COUNT(good); i++) {
        struct err e = {0};
        if (check_n(good[i], strlen(good[i]), &e) < 0)
            fail_msg("%s: %s", good[i], e.text);
    }
}

static void test_bad_names_the_byte(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"", "there is no text"},
        {"  ", "there is no text"},
        {"{", "byte 1: the text ends too early"},
        {"{\"a\":1,}", "byte 7: a key in quotes is expected"},
        {"[1,]", "byte 3: a value is expected"},
        {"[1 2]", "byte 3: a comma or ] is expected"},
        {"{\"a\" 1}", "byte 5: a colon is expected"},
        {"{\"a\":1 \"b\":2}", "byte 7: a comma or } is expected"},
        {"{a:1}", "byte 1: a key in quotes is expected"},
        {"{1:1}", "byte 1: a key in quotes is expected"},
        {"[1}", "byte 2: a comma or ] is expected"},
        {"tru", "byte 0: a value is expected"},
        {"nullx", "byte 4: something follows the value"},
        {"1 2", "byte 2: something follows the value"},
        {"01", "byte 0: a number must not begin with 0"},
        {"-", "byte 1: the text ends too early"},
        {"1.", "byte 2: the text ends too early"},
        {"1.x", "byte 2: a digit is expected"},
        {".5", "byte 0: a value is expected"},
        {"+1", "byte 0: a value is expected"},
        {"1e", "byte 2: the text ends too early"},
        {"1e+", "byte 3: the text ends too early"},
        {"NaN", "byte 0: a value is expected"},
        {"'a'", "byte 0: a value is expected"},
        {"\"a", "byte 2: the text ends too early"},
        {"\"\\", "byte 2: the text ends too early"},
        {"\"\\x\"", "byte 2: unknown escape"},
        {"\"\\u12g4\"", "byte 5: \\u needs four hex digits"},
        {"\"\\u12", "byte 5: the text ends too early"},
        {"\"\\u0000\"", "byte 1: \\u0000 is not allowed"},
        {"\"\\ud800\"", "byte 1: half of a surrogate pair"},
        {"\"\\ud800x\"", "byte 1: half of a surrogate pair"},
        {"\"\\ud800\\u0041\"", "byte 1: half of a surrogate pair"},
        {"\"\\udc00\"", "byte 1: half of a surrogate pair"},
        {"\"a\nb\"", "byte 2: control characters in strings must be escaped"},
        {"\"ab\xff\"", "byte 3: invalid UTF-8"},
        {"\"\xc3\xa9\xc3\"", "byte 3: invalid UTF-8"},
        {"\"\xed\xa0\x80\"", "byte 1: invalid UTF-8"},
        {"\xef\xbb\xbf{}", "byte 0: a value is expected"},
        {"[\xff]", "byte 1: a value is expected"},
        {"{\"a\":1,\"b\":2,\"a\":3}", "byte 13: this key comes twice in its object"},
        {"{\"a\":1,\"\\u0061\":3}", "byte 7: this key comes twice in its object"},
        {"[{\"b\":{\"a\":1,\"a\":2}}]", "byte 13: this key comes twice in its object"},
        {"// x\n1", "byte 0: a value is expected"},
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct err e = {0};
        assert_int_equal(check_n(bad[i].text, strlen(bad[i].text), &e), SKEP_EJSON);
        if (!strstr(e.text, bad[i].says))
            fail_msg("%s: got \"%s\", not \"%s\"", bad[i].text, e.text, bad[i].says);
    }
}

static void test_invalid_utf8_at_every_place(void **state)
{
    (void)state;
    static const char *const bad[] = {"\xff",         "\xc3",     "\xe2\x82",
                                      "\xf0\x9f\x90", "\xc0\x80", "\xf5\x80\x80\x80"};
    for (size_t i = 0; i < COUNT(bad); i++)
        for (size_t at = 0; at < 40; at++) {
            AUTOSTR struct str s = STR_INIT;
            char says[48];
            struct err e = {0};
            str_printf(&s, "\"%.*s%s%.*s\"", (int)at, "0123456789012345678901234567890123456789", bad[i],
                       (int)(40 - at), "0123456789012345678901234567890123456789");
            snprintf(says, sizeof says, "byte %zu: invalid UTF-8", at + 1);
            assert_int_equal(check_n(s.p, s.n, &e), SKEP_EJSON);
            assert_non_null(strstr(e.text, says));
        }
}

static void test_a_nul_is_refused(void **state)
{
    (void)state;
    assert_int_equal(check_n("1\0", 2, NULL), SKEP_EJSON);
    assert_int_equal(check_n("\"a\0b\"", 5, NULL), SKEP_EJSON);
    assert_int_equal(check_n("\"\\\0\"", 4, NULL), SKEP_EJSON);
    assert_int_equal(check_n("\0", 1, NULL), SKEP_EJSON);
}

static void nest(struct str *s, size_t depth, const char *open, const char *close)
{
    for (size_t i = 0; i < depth; i++)
        str_puts(s, open);
    str_puts(s, "1");
    for (size_t i = 0; i < depth; i++)
        str_puts(s, close);
}

static void test_depth_is_64(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {{"[", "]"}, {"{\"a\":", "}"}};
    for (size_t i = 0; i < 2; i++) {
        AUTOSTR struct str fits = STR_INIT, over = STR_INIT, wild = STR_INIT;
        struct err e = {0};
        nest(&fits, JSON_DEPTH_MAX, pairs[i][0], pairs[i][1]);
        nest(&over, JSON_DEPTH_MAX + 1, pairs[i][0], pairs[i][1]);
        nest(&wild, 1000000, pairs[i][0], pairs[i][1]);
        assert_int_equal(check_n(fits.p, fits.n, NULL), 0);
        assert_int_equal(check_n(over.p, over.n, &e), SKEP_EJSON);
        assert_non_null(strstr(e.text, "64 levels"));
        assert_int_equal(check_n(wild.p, wild.n, NULL), SKEP_EJSON);
    }
}

static void test_siblings_are_no_depth(void **state)
{
    (void)state;
    AUTOSTR struct str s = STR_INIT;
    str_puts(&s, "[[]");
    for (int i = 0; i < 100; i++)
        str_puts(&s, ",{},[{}]");
    str_puts(&s, "]");
    assert_int_equal(check_n(s.p, s.n, NULL), 0);
}

/* Many keys in one object: found by sorting. The double is always named at its second place. */
static void test_doubles_among_many_keys(void **state)
{
    (void)state;
    for (int n = 2; n < 400; n += 37) {
        AUTOSTR struct str s = STR_INIT;
        char says[32];
        struct err e = {0};
        str_puts(&s, "{\"x\":{\"k0\":1}");
        for (int i = 0; i < n; i++)
            str_printf(&s, ",\"k%d\":%d", i, i);
        str_puts(&s, ",\"last\":0}");
        assert_int_equal(check_n(s.p, s.n, NULL), 0);
        s.n--;
        snprintf(says, sizeof says, "byte %zu:", s.n + 1);
        str_puts(&s, ",\"k\\u0030\":1}");
        assert_int_equal(check_n(s.p, s.n, &e), SKEP_EJSON);
        assert_non_null(strstr(e.text, says));
    }
}

static void test_every_cut_is_refused(void **state)
{
    (void)state;
    static const char text[] = "{\"a\\u00e9\":[1.5e3,true,null,\"\xc3\xa9\\ud83d\\udc1d\"],\"b\":{}}";
    assert_int_equal(check_n(text, sizeof text - 1, NULL), 0);
    for (size_t n = 0; n < sizeof text - 1; n++)
        assert_int_equal(check_n(text, n, NULL), SKEP_EJSON);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_bad_names_the_byte),
        cmocka_unit_test(test_invalid_utf8_at_every_place),
        cmocka_unit_test(test_a_nul_is_refused),
        cmocka_unit_test(test_depth_is_64),
        cmocka_unit_test(test_siblings_are_no_depth),
        cmocka_unit_test(test_doubles_among_many_keys),
        cmocka_unit_test(test_every_cut_is_refused),
    };
    return cmocka_run_group_tests_name("wire/json_check", tests, NULL, NULL);
}
