/* Patches and increments of metadata. */
#include "api/metadata.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct span span(const char *s)
{
    return (struct span){s, s ? strlen(s) : 0};
}

static void is(const char *old, const char *patch, const char *increment, const char *expected)
{
    AUTOSTR struct str got = STR_INIT;
    struct err e;
    assert_int_equal(metadata_change(old, span(patch), span(increment), &got, &e), 0);
    assert_string_equal(str_get(&got), expected);
}

static void refused(const char *old, const char *increment, const char *field)
{
    AUTOSTR struct str got = STR_INIT;
    struct err e;
    assert_int_equal(metadata_change(old, span(NULL), span(increment), &got, &e), SKEP_EARG);
    assert_string_equal(e.field, field);
}

static void absent_counts_as_zero(void **state)
{
    (void)state;
    is(NULL, NULL, "{\"n\":3}", "{\"n\":3}");
    is("{\"n\":null,\"x\":\"y\"}", NULL, "{\"n\":-3}", "{\"n\":-3,\"x\":\"y\"}");
    is("{\"n\":5e0,\"m\":1}", NULL, "{\"n\":1,\"m\":0}", "{\"n\":6,\"m\":1}");
    is("{}", NULL, "{}", "{}");
    is(NULL, NULL, NULL, "{}");
}

static void the_patch_comes_first(void **state)
{
    (void)state;
    is("{\"n\":1}", "{\"n\":10}", "{\"n\":5}", "{\"n\":15}");
    is("{\"n\":1,\"x\":2}", "{\"n\":null,\"tag\":\"t\"}", "{\"n\":5}", "{\"x\":2,\"tag\":\"t\",\"n\":5}");
}

static void exact_up_to_two_to_the_53(void **state)
{
    (void)state;
    is("{\"n\":9007199254740991}", NULL, "{\"n\":1}", "{\"n\":9007199254740992}");
    is("{\"n\":9007199254740992}", NULL, "{\"n\":-9007199254740992}", "{\"n\":0}");
    refused("{\"n\":9007199254740992}", "{\"n\":1}", "increment.n");
    refused("{\"n\":-9007199254740992}", "{\"n\":-9007199254740992}", "increment.n");
    refused("{\"n\":0}", "{\"n\":9007199254740993}", "increment.n");
    refused("{\"n\":1e300}", "{\"n\":1}", "increment.n");
}

static void what_is_no_whole_number_is_named(void **state)
{
    (void)state;
    refused("{\"n\":\"1\"}", "{\"n\":1}", "increment.n");
    refused("{\"n\":1.5}", "{\"n\":1}", "increment.n");
    refused("{\"n\":{}}", "{\"n\":1}", "increment.n");
    refused("{\"n\":true}", "{\"n\":1}", "increment.n");
    refused("{}", "{\"a\":1,\"b\":\"1\"}", "increment.b");
    refused("{}", "{\"a b\":null}", "increment.a b");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(absent_counts_as_zero),
        cmocka_unit_test(the_patch_comes_first),
        cmocka_unit_test(exact_up_to_two_to_the_53),
        cmocka_unit_test(what_is_no_whole_number_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
