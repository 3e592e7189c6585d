/* Lines of the worker's channel: taken apart, put together, and bytes that must arrive as they were sent. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/line.h"

static int parse(const char *text, struct skep_line *line, char **parts)
{
    *parts = NULL;
    return line_parse(text, strlen(text), line, parts);
}

static void every_member_lands_in_its_field(void **state)
{
    (void)state;
    struct skep_line line;
    char *parts;
    const char *text =
        "{\"type\":\"turn\",\"session\":\"s\",\"turn\":\"t1\",\"epoch\":\"3\",\"input\":{\"a\":[1,2]},"
        "\"history\":[],\"state\":null,\"resumed\":true}";

    assert_int_equal(parse(text, &line, &parts), 0);
    assert_int_equal(line.type, SKEP_TURN);
    assert_string_equal(line.text, text);
    assert_string_equal(line.session, "s");
    assert_string_equal(line.turn, "t1");
    assert_string_equal(line.epoch, "3");
    assert_string_equal(line.input, "{\"a\":[1,2]}");
    assert_string_equal(line.history, "[]");
    assert_string_equal(line.state, "null");
    assert_true(line.resumed);
    assert_null(line.ref);
    assert_int_equal(line.copies, -1);
    free(parts);
}

static void every_type_has_its_number(void **state)
{
    (void)state;
    static const char *const names[] = {"start", "begin_handoff", "end_handoff", "resolve_conflict",
                                        "mode",  "message",       "call",        "work",
                                        "turn",  "approved",      "cancel",      "response",
                                        "ok",    "error",         "stop",        "of a newer skep"};

    for (int i = 0; i <= SKEP_OTHER; i++) {
        char text[64];
        struct skep_line line;
        char *parts;
        snprintf(text, sizeof text, "{\"type\":\"%s\",\"new\":[{}]}", names[i]);
        assert_int_equal(parse(text, &line, &parts), 0);
        assert_int_equal(line.type, i);
        free(parts);
    }
}

static void json_keeps_its_bytes(void **state)
{
    (void)state;
    struct skep_line line;
    char *parts;
    const char *text = " { \"data\" : {\"n\": 9007199254740993, \"s\":\"}],\\\"{\" } , \"type\" : \"call\" , "
                       "\"ref\":\"r\\u0031\\n\\\"\" } ";

    assert_int_equal(parse(text, &line, &parts), 0);
    assert_int_equal(line.type, SKEP_CALL);
    assert_string_equal(line.data, "{\"n\": 9007199254740993, \"s\":\"}],\\\"{\" }");
    assert_string_equal(line.ref, "r1\n\"");
    free(parts);
}

static void numbers_are_read(void **state)
{
    (void)state;
    struct skep_line line;
    char *parts;

    assert_int_equal(
        parse("{\"type\":\"stop\",\"deadline_ms\":86400000000,\"reason\":\"moved\"}", &line, &parts), 0);
    assert_true(line.deadline_ms == 86400000000LL);
    assert_string_equal(line.reason, "moved");
    free(parts);
    assert_int_equal(parse("{\"type\":\"ok\",\"ack\":\"a\",\"copies\":1}", &line, &parts), 0);
    assert_int_equal(line.copies, 1);
    free(parts);
}

static void what_is_no_line_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "[]",
                                      "null",
                                      "{}",
                                      "{\"type\":1}",
                                      "{\"type\":\"ok\"",
                                      "{\"type\":\"ok\"} x",
                                      "\"type\"",
                                      "{\"ref\":\"type\"}"};

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct skep_line line;
        char *parts;
        assert_int_equal(parse(bad[i], &line, &parts), -EPROTO);
        assert_null(parts);
    }
}

static void a_line_is_put_together(void **state)
{
    (void)state;
    char *text;
    size_t n;
    const struct line_part parts[] = {{"ref", "a\"\\\x01\n", LINE_STRING, 0},
                                      {"ack", NULL, LINE_STRING, 1},
                                      {"data", "{\r\n \"x\": 18446744073709551615}", LINE_JSON, 0},
                                      {0}};

    assert_int_equal(line_format("reply", parts, &text, &n), 0);
    assert_string_equal(text, "{\"type\":\"reply\",\"ref\":\"a\\\"\\\\\\u0001\\u000a\","
                              "\"data\":{   \"x\": 18446744073709551615}}\n");
    assert_int_equal(n, strlen(text));
    free(text);
}

static void bad_arguments_are_refused(void **state)
{
    (void)state;
    static const struct line_part bad[] = {
        {"data", NULL, LINE_JSON, 0},        {"data", "{", LINE_JSON, 0},
        {"data", "", LINE_JSON, 0},          {"data", "1 2", LINE_JSON, 0},
        {"ref", NULL, LINE_STRING, 0},       {"ref", "\xff", LINE_STRING, 0},
        {"ref", "\xc0\xaf", LINE_STRING, 0}, {"ref", "\xed\xa0\x80", LINE_STRING, 0},
        {"ref", "\xe2\x82", LINE_STRING, 0}, {"ref", "\xf4\x90\x80\x80", LINE_STRING, 0},
        {"data", "\"\xc3(\"", LINE_JSON, 0},
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char *text = NULL;
        size_t n;
        assert_int_equal(line_format("reply", (struct line_part[]){bad[i], {0}}, &text, &n), -EINVAL);
        assert_null(text);
    }
}

static void a_line_over_the_limit_is_refused(void **state)
{
    (void)state;
    char *text = NULL, *value = malloc(SKEP_LINE_MAX + 1);
    size_t n;

    memset(value, 'x', SKEP_LINE_MAX);
    value[SKEP_LINE_MAX] = 0;
    assert_int_equal(
        line_format("fail", (struct line_part[]){{"detail", value, LINE_STRING, 0}, {0}}, &text, &n),
        -EMSGSIZE);
    assert_null(text);
    free(value);
}

static void utf8_passes(void **state)
{
    (void)state;
    char *text;
    size_t n;
    const char *value = "Zeidler \xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\x9d";

    assert_int_equal(
        line_format("fail", (struct line_part[]){{"detail", value, LINE_STRING, 0}, {0}}, &text, &n), 0);
    assert_non_null(strstr(text, value));
    free(text);
}

static void small_states_are_read(void **state)
{
    (void)state;
    long long n = -1;

    assert_true(skep_json_integer(" {\"a\":{\"count\":1},\"count\":-42}", "count", &n));
    assert_true(n == -42);
    assert_false(skep_json_integer("{\"count\":1.5}", "count", &n));
    assert_false(skep_json_integer("{\"count\":\"1\"}", "count", &n));
    assert_false(skep_json_integer("[1]", "count", &n));
    assert_false(skep_json_integer("null", "count", &n));
    assert_false(skep_json_integer("{\"count\":", "count", &n));
    assert_false(skep_json_integer(NULL, "count", &n));
    assert_true(n == -42);
    assert_true(skep_json_says("\"inc\"", "inc"));
    assert_true(skep_json_says(" \"\\u0069nc\" ", "inc"));
    assert_false(skep_json_says("inc", "inc"));
    assert_false(skep_json_says("\"increase\"", "inc"));
    assert_false(skep_json_says(NULL, "inc"));
}

/* Bytes of good lines, changed by a small generator: whatever comes out, it is parsed or refused. */
static void changed_lines_do_no_harm(void **state)
{
    (void)state;
    static const char *const good[] = {
        ("{\"type\":\"turn\",\"turn\":\"t\\u00e9\\\"\",\"input\":{\"a\":[1,{\"b\":\"]}\"}]},\"state\":null,"
         "\"resumed\":true}"),
        "{\"type\":\"ok\",\"ack\":\"17\",\"copies\":2}",
        " { \"data\" : [ ] , \"type\" : \"call\" , \"ref\" : \"r\" } ",
    };
    static const char alphabet[] = "{}[]\",:\\ u0e-1tn\xc3\t";
    uint32_t seed = 1;
    int parsed = 0;

    for (int i = 0; i < 60000; i++) {
        char text[128];
        struct skep_line line;
        char *parts;
        snprintf(text, sizeof text, "%s", good[i % 3]);
        size_t n = strlen(text);
        for (int change = 0; change < 1 + i % 4; change++) {
            seed = seed * 1664525u + 1013904223u;
            text[(seed >> 8) % n] = alphabet[(seed >> 24) % (sizeof alphabet - 1)];
        }
        int r = parse(text, &line, &parts);
        assert_true(r == 0 || r == -EPROTO);
        parsed += r == 0;
        free(parts);
    }
    assert_in_range(parsed, 1000, 59000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_member_lands_in_its_field),
        cmocka_unit_test(every_type_has_its_number),
        cmocka_unit_test(json_keeps_its_bytes),
        cmocka_unit_test(numbers_are_read),
        cmocka_unit_test(what_is_no_line_is_refused),
        cmocka_unit_test(a_line_is_put_together),
        cmocka_unit_test(bad_arguments_are_refused),
        cmocka_unit_test(a_line_over_the_limit_is_refused),
        cmocka_unit_test(changed_lines_do_no_harm),
        cmocka_unit_test(utf8_passes),
        cmocka_unit_test(small_states_are_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
