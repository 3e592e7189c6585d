/* What children wrote, across rotations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "real/tail.h"

static char dir[64];

static int setup(void **state UNUSED)
{
    strcpy(dir, "/tmp/skep-tail-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state UNUSED)
{
    AUTOFREE char *command = mem_printf("rm -rf %s", dir);
    return system(command);
}

static char *path(int generation)
{
    return generation ? mem_printf("%s/c.log.%d", dir, generation) : mem_printf("%s/c.log", dir);
}

static void add(const char *text)
{
    AUTOFREE char *at = path(0);
    FILE *f = fopen(at, "a");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

/* As the log process does it. */
static void rotate(int files)
{
    for (int i = files - 1; i > 0; i--) {
        AUTOFREE char *from = path(i - 1), *to = path(i);
        rename(from, to);
    }
}

static int64_t reads(int64_t lines, int64_t after, const char *expected)
{
    AUTOSTR struct str got = STR_INIT;
    int64_t next = 0;
    assert_int_equal(tail_read(dir, "c", lines, after, &got, &next), 0);
    assert_string_equal(str_get(&got), expected);
    assert_true(next > 0);
    return next;
}

static void no_file_is_no_stream(void **state UNUSED)
{
    struct str got = STR_INIT;
    int64_t next;
    assert_true(tail_read(dir, "nobody", 10, 0, &got, &next) < 0);
    AUTOFREE char *folder = mem_printf("%s/folder.log", dir);
    mkdir(folder, 0755);
    assert_true(tail_read(dir, "folder", 10, 0, &got, &next) < 0);
}

static void the_last_lines(void **state UNUSED)
{
    add("one\ntwo\nthree\n");
    reads(1, 0, "three\n");
    reads(2, 0, "two\nthree\n");
    reads(100, 0, "one\ntwo\nthree\n");
    add("no end");
    reads(1, 0, "no end");
    reads(2, 0, "three\nno end");
    add("\n");
}

static void what_came_since(void **state UNUSED)
{
    int64_t next = reads(1, 0, "no end\n");
    reads(1, next, "");
    add("four\n");
    next = reads(1, next, "four\n");
    assert_true(reads(1, next, "") == next);
}

static void a_place_survives_rotation(void **state UNUSED)
{
    int64_t next = reads(1, 0, "four\n");
    add("five\n");
    rotate(3);
    add("six\n");
    reads(1, next, "five\nsix\n");
    reads(2, 0, "five\nsix\n");
    rotate(3);
    add("seven\n");
    next = reads(1, next, "five\nsix\nseven\n");
    add("eight\n");
    reads(1, next, "eight\n");
}

static void a_place_that_is_gone_means_the_oldest(void **state UNUSED)
{
    AUTOSTR struct str got = STR_INIT;
    int64_t next;
    int64_t wrong = (int64_t)1 << 50 | 5; /* of no file, or behind the end of one */
    assert_int_equal(tail_read(dir, "c", 1, wrong, &got, &next), 0);
    assert_non_null(strstr(str_get(&got), "eight\n"));
    assert_int_equal(tail_read(dir, "c", 1, INT64_MAX, &got, &next), 0);
}

static void at_most_so_much_at_once(void **state UNUSED)
{
    AUTOSTR struct str big = STR_INIT;
    for (int i = 0; i < 60000; i++)
        str_printf(&big, "line %d\n", i);
    AUTOFREE char *at = path(0);
    unlink(at);
    AUTOFREE char *one = path(1), *two = path(2);
    unlink(one);
    unlink(two);
    add("begin\n");
    int64_t next = reads(1, 0, "begin\n");
    add(str_get(&big));
    AUTOSTR struct str got = STR_INIT;
    for (size_t before = SIZE_MAX; got.n != before;) {
        before = got.n;
        assert_int_equal(tail_read(dir, "c", 1, next, &got, &next), 0);
        assert_true(got.n - before <= TAIL_BYTES_MAX);
    }
    assert_int_equal(got.n, big.n);
    assert_memory_equal(str_get(&got), str_get(&big), big.n);
    str_clear(&got);
    assert_int_equal(tail_read(dir, "c", 1000000, 0, &got, &next), 0);
    assert_true(got.n <= TAIL_BYTES_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_file_is_no_stream),
        cmocka_unit_test(the_last_lines),
        cmocka_unit_test(what_came_since),
        cmocka_unit_test(a_place_survives_rotation),
        cmocka_unit_test(a_place_that_is_gone_means_the_oldest),
        cmocka_unit_test(at_most_so_much_at_once),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
