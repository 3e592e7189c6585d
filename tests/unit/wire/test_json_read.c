/* json_read: bodies become structs, and every complaint names the field and what to give. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire/json.h"

enum { PERMANENT, TRANSIENT, TEMPORARY };

struct spec {
    char *name, *cwd;
    struct json_strings argv;
    struct json_map env;
    int restart;
    int64_t max_restarts;
    struct span metadata;
};

struct options {
    int64_t depth;
    bool deep;
};

struct body {
    char *name, *note;
    int64_t ttl_ms, epoch;
    bool had_epoch, await;
    int mode;
    struct span data, metadata, list;
    struct options options;
    struct json_array children;
    struct json_strings tags;
};

static const char *const restarts[] = {"permanent", "transient", "temporary", NULL};
static const char *const modes[] = {"each", "missing", NULL};

static const struct json_field spec_fields[] = {
    JSON_FIELD(struct spec, name, JSON_NAME, .required = true),
    JSON_FIELD(struct spec, argv, JSON_STRINGS, .required = true, .min = 1, .max = 3, .may_be_empty = true),
    JSON_FIELD(struct spec, env, JSON_STRING_MAP, .may_be_empty = true, .bytes_max = 5, .max = 2),
    JSON_FIELD(struct spec, cwd, JSON_STRING, .nullable = true),
    JSON_FIELD(struct spec, restart, JSON_WORD, .words = restarts),
    JSON_FIELD(struct spec, max_restarts, JSON_INT, .min = 0, .max = 100),
    JSON_FIELD(struct spec, metadata, JSON_RAW_OBJECT),
};
static const struct spec spec_defaults = {.restart = TRANSIENT, .max_restarts = 3};
static const struct json_table spec_table = JSON_TABLE(struct spec, spec_fields, .defaults = &spec_defaults);

static const struct json_field options_fields[] = {
    JSON_FIELD(struct options, depth, JSON_INT, .required = true, .min = 1, .max = 9),
    JSON_FIELD(struct options, deep, JSON_BOOL),
};
static const struct json_table options_table = JSON_TABLE(struct options, options_fields);

static const struct json_field body_fields[] = {
    JSON_FIELD(struct body, name, JSON_NAME),
    JSON_FIELD(struct body, note, JSON_STRING, .bytes_max = 4, .nullable = true),
    JSON_FIELD(struct body, ttl_ms, JSON_INT),
    JSON_FIELD(struct body, epoch, JSON_I64_TEXT, .present = offsetof(struct body, had_epoch),
               .nullable = true),
    JSON_FIELD(struct body, await, JSON_BOOL),
    JSON_FIELD(struct body, mode, JSON_WORD, .words = modes),
    JSON_FIELD(struct body, data, JSON_RAW, .bytes_max = 40),
    JSON_FIELD(struct body, metadata, JSON_RAW_OBJECT),
    JSON_FIELD(struct body, list, JSON_RAW_ARRAY),
    JSON_FIELD(struct body, options, JSON_OBJECT, .inner = &options_table),
    JSON_FIELD(struct body, children, JSON_OBJECTS, .inner = &spec_table, .min = 1, .max = 3),
    JSON_FIELD(struct body, tags, JSON_STRINGS),
};
static const struct json_table table = JSON_TABLE(struct body, body_fields);

static int read_body(const char *text, struct body *body, struct err *e)
{
    /* A block of exactly its size, so that the sanitizer sees one byte too far; spans are not kept. */
    size_t n = strlen(text);
    AUTOFREE char *exact = malloc(n ? n : 1);
    memcpy(exact, text, n);
    struct body first = {0};
    int rc = json_read(exact, n, &table, &first, NULL);
    json_release(&table, &first);
    assert_int_equal(json_read(text, n, &table, body, e), rc);
    return rc;
}

static void expect_span(struct span got, const char *want)
{
    assert_int_equal(got.n, strlen(want));
    assert_memory_equal(got.p, want, got.n);
}

static void test_everything(void **state)
{
    (void)state;
    static const char text[] =
        " {\"name\":\"a\\u00e9\", \"note\":\"n\", \"ttl_ms\":5e3, \"epoch\":\"9223372036854775807\", "
        "\"await\":true,"
        "\"mode\":\"missing\",\"data\": { \"n\" : 1.0 } ,\"metadata\":{},\"list\":[ ],"
        "\"options\":{\"depth\":9,\"deep\":true},\"tags\":[],"
        "\"children\":[{\"name\":\"c1\",\"argv\":[\"./x\",\"\"],\"env\":{\"A\":\"\",\"B\":\"12345\"},"
        "\"cwd\":null,\"restart\":\"temporary\",\"max_restarts\":0,\"metadata\":{\"t\":[]}},"
        "{\"argv\":[\"y\"],\"name\":\"c2\"}]} ";
    struct body b = {.await = false};
    struct err e = {0};
    if (read_body(text, &b, &e) < 0)
        fail_msg("%s", e.text);
    assert_string_equal(b.name, "aé");
    assert_string_equal(b.note, "n");
    assert_true(b.ttl_ms == 5000 && b.epoch == INT64_MAX && b.had_epoch && b.await && b.mode == 1);
    expect_span(b.data, "{ \"n\" : 1.0 }");
    expect_span(b.metadata, "{}");
    expect_span(b.list, "[ ]");
    assert_true(b.options.depth == 9 && b.options.deep);
    assert_true(b.tags.n == 0 && b.tags.list && !b.tags.list[0]);
    assert_int_equal(b.children.n, 2);
    const struct spec *c = b.children.list;
    assert_string_equal(c[0].name, "c1");
    assert_true(c[0].argv.n == 2 && !c[0].argv.list[2]);
    assert_string_equal(c[0].argv.list[1], "");
    assert_int_equal(c[0].env.n, 2);
    assert_string_equal(c[0].env.list[1].name, "B");
    assert_string_equal(c[0].env.list[1].value, "12345");
    assert_true(!c[0].cwd && c[0].restart == TEMPORARY && c[0].max_restarts == 0);
    expect_span(c[0].metadata, "{\"t\":[]}");
    assert_true(c[1].restart == TRANSIENT && c[1].max_restarts == 3 && !c[1].metadata.p);
    json_release(&table, &b);
    assert_true(!b.name && !b.children.list && !b.tags.list && !b.data.p);
    json_release(&table, &b);
}

static void test_absent_and_null_leave_the_default(void **state)
{
    (void)state;
    static const char *const bodies[] = {"", "{}", "{\"note\":null,\"epoch\":null}"};
    for (size_t i = 0; i < COUNT(bodies); i++) {
        struct body b = {.ttl_ms = 30, .epoch = 4, .await = true};
        assert_int_equal(read_body(bodies[i], &b, NULL), 0);
        assert_true(b.ttl_ms == 30 && b.epoch == 4 && !b.had_epoch && b.await && !b.note);
        json_release(&table, &b);
    }
    struct body b = {0};
    assert_int_equal(read_body("{\"data\":null}", &b, NULL), 0);
    expect_span(b.data, "null");
}

#define SPEC(rest) "{\"children\":[{\"name\":\"a\",\"argv\":[\"x\"]},{\"name\":\"b\"," rest "}]}"

static void test_complaints(void **state)
{
    (void)state;
    static const struct {
        const char *body, *field, *says;
    } bad[] = {
        {"[]", "", "the body must be a JSON object"},
        {"{\"x\":1}", "x", "unknown field \"x\"; known: name, note, ttl_ms, epoch, await, mode"},
        {"{\"Name\":\"a\"}", "Name", "unknown field"},
        {"{\"\\u0001\":1}", "?", "unknown field"},
        {"{\"name\":1}", "name", "field \"name\" must be a string"},
        {"{\"name\":null}", "name", "must be a string"},
        {"{\"name\":\"\"}", "name", "name is empty"},
        {"{\"name\":\"..\"}", "name", "must not be"},
        {"{\"name\":\"a\\n\"}", "name", "control character"},
        {"{\"note\":\"\"}", "note", "must not be empty"},
        {"{\"note\":\"12345\"}", "note", "has 5 bytes; 4 are allowed"},
        {"{\"ttl_ms\":1.5}", "ttl_ms", "must be a whole number"},
        {"{\"ttl_ms\":\"1\"}", "ttl_ms", "must be a whole number"},
        {"{\"ttl_ms\":9007199254740993}", "ttl_ms", "from -9007199254740992 to 9007199254740992"},
        {"{\"epoch\":5}", "epoch", "must be a string of digits"},
        {"{\"epoch\":\"5x\"}", "epoch", "must be a string of digits"},
        {"{\"epoch\":\"9223372036854775808\"}", "epoch", "must be a string of digits"},
        {"{\"await\":1}", "await", "must be true or false"},
        {"{\"await\":null}", "await", "must be true or false"},
        {"{\"mode\":\"all\"}", "mode", "must be one of each, missing"},
        {"{\"mode\":3}", "mode", "must be one of"},
        {"{\"mode\":\"eac\"}", "mode", "must be one of"},
        {"{\"data\":\"0123456789012345678901234567890123456789\"}", "data", "has 42 bytes; 40 are allowed"},
        {"{\"metadata\":[]}", "metadata", "must be an object"},
        {"{\"list\":{}}", "list", "must be an array"},
        {"{\"options\":1}", "options", "must be an object"},
        {"{\"options\":{}}", "options.depth", "is missing"},
        {"{\"options\":{\"depth\":10}}", "options.depth", "from 1 to 9"},
        {"{\"options\":{\"depth\":1,\"q\":1}}", "options.q",
         "unknown field \"options.q\"; known: depth, deep"},
        {"{\"children\":{}}", "children", "must be an array of objects"},
        {"{\"children\":[]}", "children", "needs at least 1 element"},
        {"{\"children\":[1]}", "children[0]", "must be an object"},
        {"{\"children\":[{}]}", "children[0].name", "is missing"},
        {SPEC("\"argv\":[]"), "children[1].argv", "needs at least 1 element"},
        {SPEC("\"argv\":[\"a\",\"b\",\"c\",\"d\"]"), "children[1].argv",
         "has too many elements; 3 are allowed"},
        {SPEC("\"argv\":\"x\""), "children[1].argv", "must be an array of strings"},
        {SPEC("\"argv\":[\"x\",2]"), "children[1].argv[1]", "must be a string"},
        {SPEC("\"env\":[]"), "children[1].env", "must be an object of strings"},
        {SPEC("\"env\":{\"A\":1}"), "children[1].env.A", "must be a string"},
        {SPEC("\"env\":{\"A\":\"\",\"B\":\"\",\"C\":\"\"}"), "children[1].env",
         "has too many elements; 2 are allowed"},
        {SPEC("\"env\":{\"A\":\"123456\"}"), "children[1].env.A", "has 6 bytes; 5 are allowed"},
        {SPEC("\"max_restarts\":-1"), "children[1].max_restarts", "from 0 to 100"},
        {SPEC("\"argv\":[\"x\"],\"what\":0"), "children[1].what", "known: name, argv"},
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct body b = {0};
        struct err e = {0};
        if (read_body(bad[i].body, &b, &e) != SKEP_EARG || strcmp(e.field, bad[i].field) != 0 ||
            !strstr(e.text, bad[i].says))
            fail_msg("%s: field \"%s\": %s", bad[i].body, e.field, e.text);
        json_release(&table, &b);
    }
}

static void test_bad_json_is_another_error(void **state)
{
    (void)state;
    struct body b = {0};
    assert_int_equal(read_body("{\"name\":\"a\",}", &b, NULL), SKEP_EJSON);
    assert_int_equal(read_body("{\"name\":\"a\",\"name\":\"b\"}", &b, NULL), SKEP_EJSON);
    assert_int_equal(read_body("null 1", &b, NULL), SKEP_EJSON);
    assert_null(b.name);
}

static void test_a_raw_member_can_be_read_on(void **state)
{
    (void)state;
    static const char text[] = "{\"data\":{\"depth\":12}}";
    struct body b = {0};
    struct options o = {0};
    struct err e = {0};
    assert_int_equal(json_read(text, sizeof text - 1, &table, &b, NULL), 0);
    assert_int_equal(json_read_checked(b.data, "partition", &options_table, &o, &e), SKEP_EARG);
    assert_string_equal(e.field, "partition.depth");
    assert_int_equal(json_read_checked((struct span){"3", 1}, "partition", &options_table, &o, &e),
                     SKEP_EARG);
    assert_string_equal(e.field, "partition");
    assert_int_equal(json_read_checked((struct span){"{\"depth\":2}", 11}, NULL, &options_table, &o, &e), 0);
    assert_true(o.depth == 2);
}

/* A list without a limit of its own is bounded all the same. */
static void test_memory_is_bounded(void **state)
{
    (void)state;
    AUTOSTR struct str s = STR_INIT;
    struct body b = {0};
    struct err e = {0};
    str_puts(&s, "{\"tags\":[\"a\"");
    for (int i = 0; i < 70000; i++)
        str_puts(&s, ",\"a\"");
    str_puts(&s, "]}");
    assert_int_equal(json_read(s.p, s.n, &table, &b, &e), SKEP_EARG);
    assert_string_equal(e.field, "tags");
    json_release(&table, &b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything),
        cmocka_unit_test(test_absent_and_null_leave_the_default),
        cmocka_unit_test(test_complaints),
        cmocka_unit_test(test_bad_json_is_another_error),
        cmocka_unit_test(test_a_raw_member_can_be_read_on),
        cmocka_unit_test(test_memory_is_bounded),
    };
    return cmocka_run_group_tests_name("wire/json_read", tests, NULL, NULL);
}
