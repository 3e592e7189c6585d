/* Where a program is found, and who descends from whom. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "real/machine.h"

static char dir[64];

static char *at(const char *name)
{
    return mem_printf("%s/%s", dir, name);
}

static void put(const char *name, mode_t mode)
{
    AUTOFREE char *path = at(name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs("#!/bin/sh\n", f);
    fclose(f);
    assert_int_equal(chmod(path, mode), 0);
}

static int setup(void **state UNUSED)
{
    strcpy(dir, "/tmp/skep-machine-XXXXXX");
    assert_non_null(mkdtemp(dir));
    AUTOFREE char *a = at("a"), *b = at("b"), *deep = at("a/deep"), *link = at("link");
    mkdir(a, 0755);
    mkdir(b, 0755);
    mkdir(deep, 0755);
    put("a/tool", 0755);
    put("b/tool", 0755);
    put("b/plain", 0644);
    return symlink("a/tool", link);
}

static int teardown(void **state UNUSED)
{
    AUTOFREE char *command = mem_printf("rm -rf %s", dir);
    return system(command);
}

static void finds(const char *argv0, const char *cwd, const char *expected)
{
    AUTOFREE char *path = mem_printf("PATH=%s/none:%s/b:%s/a", dir, dir, dir);
    char *env[] = {(char *)"X=1", path, NULL}, got[256] = "";
    AUTOFREE char *want = at(expected);
    assert_int_equal(machine_find(argv0, env, cwd, got, sizeof got), 0);
    assert_string_equal(got, want);
}

static int fails(const char *argv0, const char *path)
{
    AUTOFREE char *pair = mem_printf("PATH=%s", path);
    char *env[] = {pair, NULL}, got[256] = "";
    return machine_find(argv0, env, dir, got, sizeof got);
}

static void a_name_is_looked_up_in_path_in_order(void **state UNUSED)
{
    finds("tool", "/", "b/tool");
    assert_int_equal(fails("tool", "/nowhere"), ENOENT);
    assert_int_equal(fails("", "/bin"), ENOENT);
}

static void an_empty_part_of_path_is_the_folder(void **state UNUSED)
{
    char *env[] = {(char *)"PATH=/nowhere:", NULL}, got[256];
    AUTOFREE char *cwd = at("a"), *want = at("a/tool");
    assert_int_equal(machine_find("tool", env, cwd, got, sizeof got), 0);
    assert_string_equal(got, want);
}

/* The brain does this, and a user's PATH may have any number of parts. */
static void only_so_many_parts_of_path_are_looked_at(void **state UNUSED)
{
    AUTOSTR struct str path = STR_INIT;
    AUTOFREE char *a = at("a");
    for (int i = 0; i < 255; i++)
        str_puts(&path, "/nowhere:");
    str_puts(&path, a);
    assert_int_equal(fails("tool", str_get(&path)), 0);
    AUTOFREE char *longer = mem_printf("/nowhere:%s", str_get(&path));
    assert_int_equal(fails("tool", longer), ENOENT);
}

static void a_slash_means_a_path(void **state UNUSED)
{
    AUTOFREE char *absolute = at("a/tool"), *b = at("b");
    finds(absolute, "/", "a/tool");
    finds("./tool", b, "b/tool");
    finds("a/tool", dir, "a/tool");
    finds("a//.//tool", dir, "a/tool");
}

static void what_cannot_run_says_why(void **state UNUSED)
{
    AUTOFREE char *b = at("b"), *plain = at("b/plain"), *folder = at("a");
    assert_int_equal(fails("plain", b), EACCES);
    assert_int_equal(fails(plain, "/"), EACCES);
    assert_int_equal(fails(folder, "/"), EISDIR);
    assert_int_equal(fails("/dev/null", "/"), EACCES);
}

/* A pattern like DIR/a must not be escaped by going up again. */
static void dots_are_resolved_links_are_kept(void **state UNUSED)
{
    finds("a/../b/tool", dir, "b/tool");
    finds("a/deep/../tool", dir, "a/tool");
    AUTOFREE char *link = at("link");
    finds(link, "/", "link");
    assert_int_equal(fails("a/none/../tool", "/"), ENOENT);
}

static void a_short_buffer_is_an_error(void **state UNUSED)
{
    char got[4];
    assert_int_equal(machine_find("/bin/sh", NULL, "/", got, sizeof got), ENAMETOOLONG);
}

static void descent_is_seen_through_generations(void **state UNUSED)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        pid_t grandchild = fork();
        if (grandchild == 0) {
            pause();
            _exit(0);
        }
        if (write(ends[1], &grandchild, sizeof grandchild) < 0)
            _exit(1);
        pause();
        _exit(0);
    }
    pid_t grandchild;
    assert_int_equal(read(ends[0], &grandchild, sizeof grandchild), sizeof grandchild);
    assert_int_equal(machine_lineage(grandchild, getpid()), LINEAGE_BELOW);
    assert_int_equal(machine_lineage(grandchild, child), LINEAGE_BELOW);
    assert_int_equal(machine_lineage(child, child), LINEAGE_BELOW);
    assert_int_equal(machine_lineage(child, grandchild), LINEAGE_OTHER);
    assert_int_equal(machine_lineage(getpid(), child), LINEAGE_OTHER);
    kill(grandchild, SIGKILL);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    assert_int_equal(machine_lineage(child, getpid()), LINEAGE_GONE);
    assert_int_equal(machine_lineage(0, getpid()), LINEAGE_GONE);
    close(ends[0]);
    close(ends[1]);
}

static void work_shows_in_the_load(void **state)
{
    (void)state;
    struct machine_gauge g = {0};
    struct machine_load l = {-1, -1, -1};
    assert_true(machine_load(&g, &l));
    assert_in_range(l.cpu_permille, 0, 1000);
    assert_in_range(l.memory_permille, 1, 999);
    assert_in_range(l.runq, 0, 1000000);
    int64_t before = g.busy;
    do { /* no time is measured in less than a tick */
        for (volatile int i = 0; i < 10000000; i++)
            ;
        assert_true(machine_load(&g, &l));
    } while (l.cpu_permille == 0);
    assert_true(g.busy > before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_is_looked_up_in_path_in_order),
        cmocka_unit_test(an_empty_part_of_path_is_the_folder),
        cmocka_unit_test(only_so_many_parts_of_path_are_looked_at),
        cmocka_unit_test(a_slash_means_a_path),
        cmocka_unit_test(what_cannot_run_says_why),
        cmocka_unit_test(dots_are_resolved_links_are_kept),
        cmocka_unit_test(a_short_buffer_is_an_error),
        cmocka_unit_test(descent_is_seen_through_generations),
        cmocka_unit_test(work_shows_in_the_load),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
