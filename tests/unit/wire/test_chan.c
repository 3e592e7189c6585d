/* chan: each line of the worker's channel, both ways, as the surface's page lists them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire/chan.h"
#include "wire/json.h"

static int decode(const char *text, struct chan_line *line, char **ack, struct err *e)
{
    size_t n = strlen(text);
    AUTOFREE char *exact = malloc(n ? n : 1); /* exactly its size: the sanitizer sees one byte too far */
    struct chan_line first;
    memcpy(exact, text, n);
    int rc = chan_decode(exact, n, &first, NULL, NULL);
    if (rc == 0)
        chan_line_fini(&first);
    assert_int_equal(chan_decode(text, n, line, ack, e), rc);
    return rc;
}

static void expect_span(struct span got, const char *want)
{
    if (!want) {
        assert_null(got.p);
        return;
    }
    assert_int_equal(got.n, strlen(want));
    assert_memory_equal(got.p, want, got.n);
}

static void expect_text(const char *got, const char *want)
{
    if (want)
        assert_string_equal(got, want);
    else
        assert_null(got);
}

static void test_lines_from_a_worker(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum chan_type type;
        const char *ref, *ack, *turn, *id, *detail, *data;
    } good[] = {
        {"{\"type\":\"ready\"}", CHAN_READY, .ref = NULL},
        {"{\"type\":\"ready\",\"ack\":\"a1\"}", CHAN_READY, .ack = "a1"},
        {"{\"type\":\"ready\",\"ack\":null}", CHAN_READY, .ref = NULL},
        {"{\"type\":\"state\",\"ref\":\"7\",\"data\":{ \"n\":1}}", CHAN_STATE, .ref = "7",
         .data = "{ \"n\":1}"},
        {"{\"type\":\"ignore\",\"ref\":\"7\"}", CHAN_IGNORE, .ref = "7"},
        {"{\"type\":\"restored\",\"ref\":\"7\"}", CHAN_RESTORED, .ref = "7"},
        {"{\"type\":\"checkpoint\",\"data\":null}", CHAN_CHECKPOINT, .data = "null"},
        {"{\"data\":[1],\"ack\":\"x\",\"type\":\"checkpoint\"}", CHAN_CHECKPOINT, .ack = "x", .data = "[1]"},
        {"{\"type\":\"reply\",\"ref\":\"7\",\"data\":\"d\"}", CHAN_REPLY, .ref = "7", .data = "\"d\""},
        {"{\"type\":\"fail\",\"ref\":\"7\",\"detail\":\"no\"}", CHAN_FAIL_CALL, .ref = "7", .detail = "no"},
        {"{\"type\":\"fail\",\"ref\":\"7\",\"detail\":\"\"}", CHAN_FAIL_CALL, .ref = "7", .detail = ""},
        {"{\"type\":\"next\",\"id\":\"3\",\"data\":1}", CHAN_NEXT, .id = "3", .data = "1"},
        {"{\"type\":\"drop\",\"id\":\"3\",\"detail\":\"no\"}", CHAN_DROP, .id = "3", .detail = "no"},
        {"{\"type\":\"fail\",\"id\":\"3\"}", CHAN_FAIL_WORK, .id = "3"},
        {"{\"type\":\"done\",\"turn\":\"t\",\"ack\":\"1\"}", CHAN_DONE, .turn = "t", .ack = "1"},
        {"{\"type\":\"fail\",\"turn\":\"t\",\"detail\":\"no\",\"ack\":\"1\"}", CHAN_FAIL_TURN, .turn = "t",
         .detail = "no", .ack = "1"},
    };
    for (size_t i = 0; i < COUNT(good); i++) {
        struct chan_line line;
        struct err e = {0};
        AUTOFREE char *ack = NULL;
        if (decode(good[i].text, &line, &ack, &e) < 0)
            fail_msg("%s: %s", good[i].text, e.text);
        assert_int_equal(line.type, good[i].type);
        expect_text(line.ref, good[i].ref);
        expect_text(line.ack, good[i].ack);
        expect_text(ack, good[i].ack);
        expect_text(line.turn, good[i].turn);
        expect_text(line.id, good[i].id);
        expect_text(line.detail, good[i].detail);
        expect_span(line.data, good[i].data);
        chan_line_fini(&line);
    }
}

static void test_a_turns_lines(void **state)
{
    (void)state;
    struct chan_line l;
    assert_int_equal(
        decode("{\"type\":\"append\",\"turn\":\"t\",\"role\":\"user\",\"content\":[ ]}", &l, NULL, NULL), 0);
    assert_int_equal(l.type, CHAN_APPEND);
    assert_string_equal(l.role, "user");
    expect_span(l.content, "[ ]");
    chan_line_fini(&l);
    assert_int_equal(decode("{\"type\":\"save\",\"turn\":\"t\",\"state\":{\"a\":1}}", &l, NULL, NULL), 0);
    assert_int_equal(l.type, CHAN_SAVE);
    expect_span(l.state, "{\"a\":1}");
    chan_line_fini(&l);
    assert_int_equal(decode("{\"type\":\"park\",\"turn\":\"t\",\"calls\":[{\"id\":\"c\"}]}", &l, NULL, NULL),
                     0);
    assert_int_equal(l.type, CHAN_PARK);
    expect_span(l.calls, "[{\"id\":\"c\"}]");
    chan_line_fini(&l);
    assert_int_equal(decode("{\"type\":\"done\",\"turn\":\"t\",\"result\":null}", &l, NULL, NULL), 0);
    expect_span(l.result, "null");
    chan_line_fini(&l);
    assert_int_equal(
        decode("{\"type\":\"request\",\"ref\":\"1\",\"method\":\"PUT\",\"path\":\"/v1/x\",\"body\":{}}", &l,
               NULL, NULL),
        0);
    assert_int_equal(l.type, CHAN_REQUEST);
    assert_string_equal(l.method, "PUT");
    assert_string_equal(l.path, "/v1/x");
    expect_span(l.body, "{}");
    chan_line_fini(&l);
}

static void test_bad_lines(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says, *ack;
        int code;
    } bad[] = {
        {"", "there is no text", NULL, SKEP_EJSON},
        {"{\"type\":\"ready\"", "byte 15", NULL, SKEP_EJSON},
        {"[]", "must be a JSON object", NULL, SKEP_EARG},
        {"{}", "\"type\" is missing", NULL, SKEP_EARG},
        {"{\"type\":1}", "\"type\" must be a string", NULL, SKEP_EARG},
        {"{\"type\":\"Ready\"}", "unknown type of line \"Ready\"; known: ready, state, ignore", NULL,
         SKEP_EARG},
        {"{\"type\":\"a\\nb\",\"ack\":\"1\"}", "unknown type of line \"?\"", "1", SKEP_EARG},
        {"{\"type\":\"ready\",\"x\":1}", "unknown field \"x\"", NULL, SKEP_EARG},
        {"{\"type\":\"ready\",\"data\":1,\"ack\":\"q\"}",
         "a \"ready\" line has no field data; its fields: [ack]", "q", SKEP_EARG},
        {"{\"type\":\"state\",\"ref\":\"1\"}",
         "with the fields [ref] is not complete; its fields: ref, data []", NULL, SKEP_EARG},
        {"{\"type\":\"state\",\"ref\":1,\"data\":1}", "\"ref\" must be a string", NULL, SKEP_EARG},
        {"{\"type\":\"state\",\"ref\":\"\",\"data\":1}", "\"ref\" must not be empty", NULL, SKEP_EARG},
        {"{\"type\":\"fail\"}",
         "not complete; its fields: ref [detail]; or id [detail]; or turn [ack, detail]", NULL, SKEP_EARG},
        {"{\"type\":\"fail\",\"ref\":\"1\",\"id\":\"2\"}", "not complete", NULL, SKEP_EARG},
        {"{\"type\":\"fail\",\"ref\":\"1\",\"ack\":\"2\"}", "not complete", "2", SKEP_EARG},
        {"{\"type\":\"park\",\"turn\":\"t\",\"calls\":{}}", "\"calls\" must be an array", NULL, SKEP_EARG},
        {"{\"type\":\"request\",\"ref\":\"1\",\"path\":\"/\"}", "not complete", NULL, SKEP_EARG},
        {"{\"type\":\"checkpoint\",\"data\":1,\"ack\":5}", "\"ack\" must be a string", NULL, SKEP_EARG},
        {"{\"type\":\"start\",\"ack\":\"1\"}", "unknown type of line \"start\"", "1", SKEP_EARG},
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct chan_line line;
        struct err e = {0};
        AUTOFREE char *ack = NULL;
        if (decode(bad[i].text, &line, &ack, &e) != bad[i].code || !strstr(e.text, bad[i].says))
            fail_msg("%s: %s", bad[i].text, e.text);
        expect_text(ack, bad[i].ack);
    }
}

static void test_long_lines(void **state)
{
    (void)state;
    AUTOSTR struct str s = STR_INIT;
    struct chan_line line;
    struct err e = {0};
    str_puts(&s, "{\"type\":\"checkpoint\",\"data\":\"");
    while (s.n < CHAN_LINE_MAX - 2)
        str_putc(&s, 'x');
    str_puts(&s, "\"}");
    assert_int_equal(s.n, CHAN_LINE_MAX);
    assert_int_equal(chan_decode(s.p, s.n, &line, NULL, NULL), 0);
    assert_int_equal(line.data.n, CHAN_LINE_MAX - 29);
    chan_line_fini(&line);
    str_putc(&s, ' ');
    assert_int_equal(chan_decode(s.p, s.n, &line, NULL, &e), SKEP_ETOOLARGE);
    assert_non_null(strstr(e.text, "8388608"));
}

static void expect(struct str *s, const char *want)
{
    assert_string_equal(str_get(s), want);
    assert_int_equal(json_check(str_get(s), s->n, NULL), 0);
    assert_null(strpbrk(str_get(s), "\r\n"));
    str_clear(s);
}

static void test_lines_to_a_worker(void **state)
{
    (void)state;
    AUTOSTR struct str s = STR_INIT;
    const struct span none = {NULL, 0}, data = {"{\n\"a\":1}", 8};
    chan_start(&s, none, (struct span){"{}", 2}, true);
    expect(&s, "{\"type\":\"start\",\"metadata\":{},\"mode\":\"active\"}");
    chan_start(&s, data, none, false);
    expect(&s, "{\"type\":\"start\",\"state\":{ \"a\":1},\"metadata\":null,\"mode\":\"passive\"}");
    chan_begin_handoff(&s, "r1", 1000);
    expect(&s, "{\"type\":\"begin_handoff\",\"ref\":\"r1\",\"deadline_ms\":1000}");
    chan_end_handoff(&s, "r1", data);
    expect(&s, "{\"type\":\"end_handoff\",\"ref\":\"r1\",\"state\":{ \"a\":1}}");
    chan_resolve_conflict(&s, data, "n\n1");
    expect(&s, "{\"type\":\"resolve_conflict\",\"state\":{ \"a\":1},\"node\":\"n\\n1\"}");
    chan_mode(&s, true);
    expect(&s, "{\"type\":\"mode\",\"mode\":\"active\"}");
    chan_message(&s, "1", NULL, data);
    expect(&s, "{\"type\":\"message\",\"id\":\"1\",\"from\":null,\"data\":{ \"a\":1}}");
    chan_call(&s, "1", "x", data);
    expect(&s, "{\"type\":\"call\",\"ref\":\"1\",\"from\":\"x\",\"data\":{ \"a\":1}}");
    chan_work(&s, &(struct chan_work){"1", "c", "s", NULL, data});
    expect(
        &s,
        "{\"type\":\"work\",\"id\":\"1\",\"chain\":\"c\",\"stage\":\"s\",\"key\":null,\"data\":{ \"a\":1}}");
    chan_turn(&s, &(struct chan_turn){"s", "t", 12, data, none, none, true});
    expect(&s, "{\"type\":\"turn\",\"session\":\"s\",\"turn\":\"t\",\"epoch\":\"12\",\"input\":{ "
               "\"a\":1},\"history\":[],"
               "\"state\":null,\"resumed\":true}");
    chan_approved(&s, "t", (struct span){"{\"c\":\"approve\"}", 15});
    expect(&s, "{\"type\":\"approved\",\"turn\":\"t\",\"decisions\":{\"c\":\"approve\"}}");
    chan_cancel(&s, "t");
    expect(&s, "{\"type\":\"cancel\",\"turn\":\"t\"}");
    chan_ok(&s, "a", -1);
    expect(&s, "{\"type\":\"ok\",\"ack\":\"a\"}");
    chan_ok(&s, "a", 1);
    expect(&s, "{\"type\":\"ok\",\"ack\":\"a\",\"copies\":1}");
    chan_stop(&s, CHAN_NAME_CONFLICT, 5000);
    expect(&s, "{\"type\":\"stop\",\"reason\":\"name_conflict\",\"deadline_ms\":5000}");
    struct err e = {0};
    err_set(&e, SKEP_EFENCED, "epoch 4 is gone");
    chan_error(&s, "a", &e);
    expect(&s, "{\"type\":\"error\",\"ack\":\"a\",\"code\":\"fenced\",\"detail\":\"epoch 4 is gone\"}");
}

static void test_responses_take_any_body(void **state)
{
    (void)state;
    AUTOSTR struct str s = STR_INIT;
    chan_response(&s, "1", 200, "{\"a\":\n1}", 8);
    expect(&s, "{\"type\":\"response\",\"ref\":\"1\",\"status\":200,\"body\":{\"a\": 1}}");
    chan_response(&s, "1", 204, NULL, 0);
    expect(&s, "{\"type\":\"response\",\"ref\":\"1\",\"status\":204,\"body\":null}");
    chan_response(&s, "1", 200, "up 1\n", 5);
    expect(&s, "{\"type\":\"response\",\"ref\":\"1\",\"status\":200,\"body\":\"up 1\\n\"}");
}

static void test_words(void **state)
{
    (void)state;
    assert_string_equal(chan_type_word(CHAN_READY), "ready");
    assert_string_equal(chan_type_word(CHAN_FAIL_TURN), "fail");
    assert_string_equal(chan_type_word(CHAN_REQUEST), "request");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_from_a_worker),
        cmocka_unit_test(test_a_turns_lines),
        cmocka_unit_test(test_bad_lines),
        cmocka_unit_test(test_long_lines),
        cmocka_unit_test(test_lines_to_a_worker),
        cmocka_unit_test(test_responses_take_any_body),
        cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests_name("wire/chan", tests, NULL, NULL);
}
