/* Environment files: what a line means, and that no message ever holds a value. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <unistd.h>

#include "base/mem.h"
#include "real/env_file.h"
#include "real/file.h"

static char path[] = "/tmp/skep-env-XXXXXX";

#define assert_says(e, word)                                                                                 \
    do {                                                                                                     \
        if (!strstr((e).text, (word)))                                                                       \
            fail_msg("\"%s\" does not say \"%s\"", (e).text, (word));                                        \
    } while (0)

static int env_read(const char *text, size_t n, mode_t mode, char ***ret, struct err *e)
{
    struct err mine;
    assert_int_equal(file_replace(path, mode, text, n, &mine), 0);
    return env_file_read(path, ret, e);
}

static void env_file_is_read(void **state)
{
    (void)state;
    static const char text[] =
        "# secrets\n\n  A=1\r\nB= two words \nC=\"quo\"ted\"\nD='#'\nA=2\nE=\nF=\"\nG=$HOME=x";
    static const char *const want[] = {"A=2", "B= two words", "C=quo\"ted", "D=#",
                                       "E=",  "F=\"",         "G=$HOME=x",  NULL};
    struct err e = {0};
    char **list = NULL;
    assert_int_equal(env_read(text, sizeof text - 1, 0600, &list, &e), 0);
    for (size_t i = 0; want[i] || list[i]; i++)
        assert_string_equal(list[i] ? list[i] : "(none)", want[i] ? want[i] : "(none)");
    env_file_free(list);
    assert_int_equal(env_read("", 0, 0640, &list, &e), 0);
    assert_null(list[0]);
    env_file_free(list);
}

static void env_file_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t n;
        const char *says;
    } cases[] = {
        {"A=1\nhush\n", 9, ":2: not NAME=value"}, {"=hush\n", 6, ":1: "}, {"1A=hush\n", 8, ":1: "},
        {"export A=hush\n", 14, ":1: "},          {"A =hush", 7, ":1: "}, {"A=hu\0sh\n", 8, "NUL"},
    };
    struct err e = {0};
    char **list = NULL;
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(env_read(cases[i].text, cases[i].n, 0600, &list, &e), SKEP_ECONFIG);
        assert_says(e, cases[i].says);
        assert_null(strstr(e.text, "hush")); /* never a value */
    }
    assert_int_equal(env_read("A=1\n", 4, 0644, &list, &e), SKEP_ECONFIG);
    assert_says(e, "chmod o=");
    assert_int_equal(env_file_read("/nonexistent", &list, &e), SKEP_ECONFIG);
    assert_says(e, "/nonexistent");
    assert_int_equal(env_file_read("/nonexistent", &list, NULL), SKEP_ECONFIG);
    assert_null(list);
}

int main(void)
{
    int fd = mkstemp(path);
    if (fd < 0)
        return 1;
    close(fd);
    const struct CMUnitTest tests[] = {cmocka_unit_test(env_file_is_read),
                                       cmocka_unit_test(env_file_refusals)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return failed;
}
