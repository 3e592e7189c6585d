/* json_tree: walking a document whose shape is not known; every step may find nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire/json.h"

static const char text[] = "{\"nodes\":[{\"name\":\"a\",\"rtt_ms\":0.5},{\"name\":\"b\",\"up\":true}],"
                           "\"epoch\":\"12\",\"count\":3,\"none\":null,\"half\":1.5}";

static void test_walking(void **state)
{
    (void)state;
    struct json *j;
    assert_int_equal(json_parse(text, sizeof text - 1, &j, NULL), 0);
    const struct cJSON *root = json_root(j), *nodes = json_member(root, "nodes");
    assert_int_equal(json_count(nodes), 2);
    assert_string_equal(json_text(json_path(root, "nodes.1.name")), "b");
    assert_true(json_bool(json_path(root, "nodes.1.up"), false));
    assert_true(json_real(json_path(root, "nodes.0.rtt_ms"), 0) > 0.4);
    assert_true(json_i64(json_member(root, "epoch"), -1) == 12);
    assert_true(json_i64(json_member(root, "count"), -1) == 3);
    assert_true(json_i64(json_member(root, "half"), -1) == -1);
    assert_true(json_is(json_member(root, "none"), JSON_T_NULL));
    assert_string_equal(json_key(json_first(root)), "nodes");
    assert_string_equal(json_text(json_member(json_next(json_first(nodes)), "name")), "b");
    AUTOSTR struct str s = STR_INIT;
    json_print(json_at(nodes, 0), &s);
    assert_string_equal(str_get(&s), "{\"name\":\"a\",\"rtt_ms\":0.5}");
    json_free(j);
}

static void test_nothing_is_found_quietly(void **state)
{
    (void)state;
    struct json *j;
    assert_int_equal(json_parse(text, sizeof text - 1, &j, NULL), 0);
    const struct cJSON *root = json_root(j);
    assert_null(json_member(root, "Nodes"));
    assert_null(json_path(root, "nodes.2.name"));
    assert_null(json_path(root, "nodes.x"));
    assert_null(json_path(root, "epoch.0"));
    assert_null(json_text(json_member(root, "count")));
    assert_null(json_member(json_at(NULL, 0), "x"));
    assert_null(json_first(json_member(root, "count")));
    assert_int_equal(json_count(NULL), 0);
    assert_null(json_next(NULL));
    assert_null(json_key(NULL));
    assert_true(json_bool(NULL, true));
    assert_null(json_root(NULL));
    json_free(j);
    json_free(NULL);
}

static void test_only_checked_text_becomes_a_tree(void **state)
{
    (void)state;
    struct json *j = NULL;
    AUTOSTR struct str s = STR_INIT;
    assert_int_equal(json_parse("{\"a\":1,\"a\":2}", 13, &j, NULL), SKEP_EJSON);
    assert_int_equal(json_parse("[1] x", 5, &j, NULL), SKEP_EJSON);
    assert_null(j);
    /* A long number is whole or refused, never cut. */
    for (int i = 0; i < 100; i++)
        str_putc(&s, '1');
    assert_int_equal(json_check(s.p, s.n, NULL), 0);
    int rc = json_parse(s.p, s.n, &j, NULL);
    assert_true(rc == SKEP_EJSON || (rc == 0 && json_real(json_root(j), 0) > 1e99));
    json_free(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_walking),
        cmocka_unit_test(test_nothing_is_found_quietly),
        cmocka_unit_test(test_only_checked_text_becomes_a_tree),
    };
    return cmocka_run_group_tests_name("wire/json_tree", tests, NULL, NULL);
}
