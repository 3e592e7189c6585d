/* uri: what a path, a query, a name and a base address may be, and the sentence when they may not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/prng.h"
#include "wire/uri.h"

static int decode(const char *text, struct str *ret, struct err *e)
{
    size_t n = strlen(text);
    AUTOFREE char *exact = malloc(n ? n : 1);
    memcpy(exact, text, n);
    return uri_decode((struct span){exact, n}, ret, e);
}

static void test_decode(void **state)
{
    (void)state;
    static const char *const good[][2] = {{"", ""},         {"abc", "abc"},       {"a%2Fb%2fc", "a/b/c"},
                                          {"%25", "%"},     {"a+b", "a+b"},       {"%c5%BE%C3%A1ba", "žába"},
                                          {"žába", "žába"}, {"%0a%7F", "\n\x7f"}, {"..%2f..", "../.."}};
    for (size_t i = 0; i < COUNT(good); i++) {
        AUTOSTR struct str s = STR_INIT;
        assert_int_equal(decode(good[i][0], &s, NULL), 0);
        assert_string_equal(str_get(&s), good[i][1]);
    }
}

static void test_decode_refuses(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        {"a%zz", "\"%zz\" is no percent escape"},
        {"%", "\"%\" is no percent escape"},
        {"%4", "\"%4\" is no percent escape"},
        {"%4g", "\"%4g\""},
        {"%\x01\x02", "\"%\" is no"},
        {"%00", "%00 is not allowed"},
        {"a%00b", "%00 is not allowed"},
        {"%ff", "not valid UTF-8"},
        {"%c3", "not valid UTF-8"},
        {"\xff", "not valid UTF-8"},
        {"a b", "byte 0x20 must be percent-encoded"},
        {"\n", "byte 0x0a"},
        {"\x7f", "byte 0x7f"},
        {"%%41", "is no percent escape"},
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        AUTOSTR struct str s = STR_INIT;
        struct err e = {0};
        str_puts(&s, "kept");
        assert_int_equal(decode(bad[i][0], &s, &e), SKEP_EARG);
        if (!strstr(e.text, bad[i][1]))
            fail_msg("%s: %s", bad[i][0], e.text);
        assert_string_equal(str_get(&s), "kept");
    }
}

static void test_encode(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"aZ09-._~", "aZ09-._~"}, {"a/b c", "a%2Fb%20c"}, {".", "%2E"},
        {"..", "%2E%2E"},         {"...", "..."},         {"ž%", "%C5%BE%25"}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTOSTR struct str s = STR_INIT, back = STR_INIT;
        uri_encode(&s, cases[i][0], strlen(cases[i][0]));
        assert_string_equal(str_get(&s), cases[i][1]);
        assert_int_equal(decode(str_get(&s), &back, NULL), 0);
        assert_string_equal(str_get(&back), cases[i][0]);
    }
}

static void test_paths(void **state)
{
    (void)state;
    struct uri_path p;
    assert_int_equal(uri_path_parse("/", &p, NULL), 0);
    assert_int_equal(p.n, 0);
    assert_int_equal(uri_path_parse("/v1/swarms/a%2Fb/children/..%2F..%2Fx", &p, NULL), 0);
    assert_int_equal(p.n, 5);
    assert_string_equal(p.segments[0], "v1");
    assert_string_equal(p.segments[2], "a/b");
    assert_string_equal(p.segments[4], "../../x");
    uri_path_fini(&p);
    static const struct {
        const char *path, *says;
        int code;
    } bad[] = {
        {"", "begins with a slash", SKEP_EARG},
        {"v1", "begins with a slash", SKEP_EARG},
        {"//", "empty segment", SKEP_EARG},
        {"/v1/", "empty segment", SKEP_EARG},
        {"/v1//x", "empty segment", SKEP_EARG},
        {"/v1/%zz", "path segment 2: \"%zz\"", SKEP_EARG},
        {"/a%00", "path segment 1", SKEP_EARG},
        {"/1/2/3/4/5/6/7/8/9/10/11/12/13", "12 segments", SKEP_ENOTFOUND},
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct err e = {0};
        assert_int_equal(uri_path_parse(bad[i].path, &p, &e), bad[i].code);
        if (!strstr(e.text, bad[i].says))
            fail_msg("%s: %s", bad[i].path, e.text);
        assert_int_equal(uri_path_parse(bad[i].path, &p, NULL), bad[i].code);
    }
}

struct args {
    int64_t timeout_ms, limit;
    char *tag, *name;
    bool local;
    int read;
};

static const char *const reads[] = {"local", "owner", NULL};
static const struct uri_param common[] = {
    URI_PARAM(struct args, timeout_ms, URI_INT, .min = 1, .max = 600000),
    URI_PARAM(struct args, read, URI_WORD, .words = reads),
};
static const struct uri_param own[] = {
    URI_PARAM(struct args, limit, URI_INT, .min = 1, .max = 1000),
    URI_PARAM(struct args, tag, URI_TEXT, .max = 5),
    URI_PARAM(struct args, name, URI_NAME),
    URI_PARAM(struct args, local, URI_BOOL),
};

static int query(const char *text, struct args *a, struct err *e)
{
    const struct uri_table tables[] = {{common, COUNT(common), a}, {own, COUNT(own), a}};
    *a = (struct args){.timeout_ms = 30000, .limit = 100};
    int rc = uri_query(text, tables, 2, e);
    if (rc < 0)
        uri_query_fini(tables, 2);
    return rc;
}

static void test_queries(void **state)
{
    (void)state;
    struct args a;
    assert_int_equal(query(NULL, &a, NULL), 0);
    assert_int_equal(query("", &a, NULL), 0);
    assert_true(a.timeout_ms == 30000 && a.limit == 100 && !a.tag && !a.local);
    assert_int_equal(query("limit=7&read=owner&tag=a%26b&name=%c5%be&local&timeout_ms=1", &a, NULL), 0);
    assert_true(a.limit == 7 && a.read == 1 && a.local && a.timeout_ms == 1);
    assert_string_equal(a.tag, "a&b");
    assert_string_equal(a.name, "ž");
    free(a.tag);
    free(a.name);
    assert_int_equal(query("local=false&tag=", &a, NULL), 0);
    assert_true(!a.local && a.tag && !*a.tag);
    free(a.tag);
    assert_int_equal(query("&local=1&", &a, NULL), 0);
    assert_true(a.local);
}

static void test_queries_refuse(void **state)
{
    (void)state;
    static const struct {
        const char *query, *field, *says;
    } bad[] = {
        {"x=1", "x", "unknown query parameter \"x\"; known: timeout_ms, read, limit, tag, name, local"},
        {"Limit=1", "Limit", "unknown"},
        {"%01=1", "", "unknown query parameter; known"},
        {"limit=1&limit=1", "limit", "comes twice"},
        {"tag=a&tag=b", "tag", "comes twice"},
        {"limit=0", "limit", "must be a whole number from 1 to 1000"},
        {"limit=1001", "limit", "must be a whole number"},
        {"limit=", "limit", "must be a whole number"},
        {"limit=1x", "limit", "must be a whole number"},
        {"limit=99999999999999999999", "limit", "must be a whole number"},
        {"limit", "limit", "needs a value"},
        {"tag", "tag", "needs a value"},
        {"tag=123456", "tag", "has 6 bytes; 5 are allowed"},
        {"tag=%zz", "", "query parameter \"tag\": \"%zz\" is no percent escape"},
        {"%zz=1", "", "is no percent escape"},
        {"name=..", "name", "must not be"},
        {"name=", "name", "is empty"},
        {"local=yes", "local", "must be true or false"},
        {"read=remote", "read", "must be one of local, owner"},
        {"=1", "", "unknown query parameter"},
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct args a;
        struct err e = {0};
        if (query(bad[i].query, &a, &e) != SKEP_EARG || strcmp(e.field, bad[i].field) != 0 ||
            !strstr(e.text, bad[i].says))
            fail_msg("%s: field \"%s\": %s", bad[i].query, e.field, e.text);
    }
    struct err e = {0};
    assert_int_equal(uri_query("a=1", NULL, 0, &e), SKEP_EARG);
    assert_non_null(strstr(e.text, "takes no query parameters"));
    assert_int_equal(uri_query("", NULL, 0, &e), 0);
}

static void test_names(void **state)
{
    (void)state;
    char longest[NAME_BYTES_MAX + 1];
    memset(longest, 'x', sizeof longest);
    assert_int_equal(name_check("a", 1, "name", NULL), 0);
    assert_int_equal(name_check("../../x", 7, "name", NULL), 0);
    assert_int_equal(name_check("...", 3, "name", NULL), 0);
    assert_int_equal(name_check(" ", 1, "name", NULL), 0);
    assert_int_equal(name_check(longest, NAME_BYTES_MAX, "name", NULL), 0);
    static const struct {
        const char *p;
        size_t n;
        const char *says;
    } bad[] = {{"", 0, "swarm is empty"},
               {".", 1, "must not be"},
               {"..", 2, "must not be"},
               {"a\nb", 3, "control character"},
               {"\x7f", 1, "control character"},
               {"a\xc2\x9b\x31m", 5, "control character"},
               {"\xc2\x85", 2, "control character"},
               {"a\0b", 3, "control character"},
               {"\xff", 1, "not valid UTF-8"}};
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct err e = {0};
        assert_int_equal(name_check(bad[i].p, bad[i].n, "swarm", &e), SKEP_EARG);
        assert_string_equal(e.field, "swarm");
        assert_non_null(strstr(e.text, bad[i].says));
    }
    struct err e = {0};
    assert_int_equal(name_check(longest, sizeof longest, "name", &e), SKEP_EARG);
    assert_non_null(strstr(e.text, "1025 bytes; 1024 are allowed"));
}

static void test_bases(void **state)
{
    (void)state;
    static const char *const good[][2] = {
        {"https://127.0.0.1:7537", "https://127.0.0.1:7537"},
        {"https://Node-1.example.org/", "https://node-1.example.org:7537"},
        {"http://localhost:80", "http://localhost:80"},
        {"https://[::1]:9", "https://[::1]:9"},
        {"https://[FE80::1]", "https://[fe80::1]:7537"},
        {"unix:///run/skep.sock", "unix:///run/skep.sock"},
        {"unix:///a%20b", "unix:///a%20b"},
        {"https://h:65535", "https://h:65535"},
    };
    for (size_t i = 0; i < COUNT(good); i++) {
        AUTOSTR struct str s = STR_INIT;
        struct uri_base b;
        struct err e = {0};
        if (uri_base_parse(good[i][0], 7537, &b, &e) < 0)
            fail_msg("%s: %s", good[i][0], e.text);
        uri_base_text(&s, &b);
        assert_string_equal(str_get(&s), good[i][1]);
        uri_base_fini(&b);
    }
    static const char *const bad[] = {
        "",
        "h:1",
        "ftp://h",
        "https://",
        "https://:1",
        "https://h:",
        "https://h:0",
        "https://h:65536",
        "https://h:1x",
        "https://h:000001",
        "https://h/x",
        "https://u@h",
        "https://h?x",
        "https://h#x",
        "https://[::1",
        "https://[]",
        "https://[::g]",
        "https://::1",
        "unix://",
        "unix:///",
        "unix://x/y",
        "unix:///%zz",
        "https://h h",
        "HTTPS://h",
        "https://\xff",
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct uri_base b;
        struct err e = {0};
        if (uri_base_parse(bad[i], 7537, &b, &e) != SKEP_EARG || !*e.text)
            fail_msg("%s was taken", bad[i]);
        assert_true(text_is_utf8(e.text, strlen(e.text)));
    }
}

static void test_any_name_survives_a_path(void **state)
{
    (void)state;
    struct prng p;
    prng_init(&p, 7);
    for (int round = 0; round < 5000; round++) {
        AUTOSTR struct str s = STR_INIT;
        struct uri_path path;
        char name[17];
        size_t n = 1 + (size_t)prng_below(&p, sizeof name - 1);
        for (size_t i = 0; i < n; i++)
            name[i] = prng_below(&p, 3) ? (char)(1 + prng_below(&p, 127)) : "./%&?#+"[prng_below(&p, 7)];
        name[n] = 0;
        str_puts(&s, "/");
        uri_encode(&s, name, n);
        assert_int_equal(uri_path_parse(str_get(&s), &path, NULL), 0);
        assert_int_equal(path.n, 1);
        assert_string_equal(path.segments[0], name);
        uri_path_fini(&path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decode),
        cmocka_unit_test(test_decode_refuses),
        cmocka_unit_test(test_encode),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_queries),
        cmocka_unit_test(test_queries_refuse),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_bases),
        cmocka_unit_test(test_any_name_survives_a_path),
    };
    return cmocka_run_group_tests_name("wire/uri", tests, NULL, NULL);
}
