/* Small files: whole or not at all, with the right mode, and never a pipe. */
#include "folder.h"

#include <sys/stat.h>

#include "base/mem.h"
#include "base/str.h"
#include "real/file.h"

static void files_are_replaced_whole_or_not_at_all(void **state)
{
    (void)state;
    struct err e = {0};
    AUTOSTR struct str text = STR_INIT;
    mode_t mode = 0;
    mode_t old = umask(0077);
    assert_int_equal(file_create(in_dir("f"), 0644, "one", 3, &e), 0);
    umask(old);
    assert_int_equal(file_create(in_dir("f"), 0644, "two", 3, &e), SKEP_ETAKEN);
    assert_int_equal(file_read(in_dir("f"), 3, &text, &mode, &e), 0);
    assert_string_equal(str_get(&text), "one");
    assert_int_equal(mode, 0644);
    assert_int_equal(file_read(in_dir("f"), 2, &text, NULL, &e), SKEP_ETOOLARGE);
    assert_int_equal(text.n, 0);
    assert_int_equal(file_replace(in_dir("f"), 0600, "", 0, &e), 0);
    assert_int_equal(file_read(in_dir("f"), 3, &text, &mode, &e), 0);
    assert_int_equal(text.n, 0);
    assert_int_equal(mode, 0600);
    int left = 0;
    DIR *d = opendir(dir);
    for (struct dirent *one; (one = readdir(d));)
        left += one->d_name[0] != '.';
    closedir(d);
    assert_int_equal(left, 1); /* no temporary file stays */
    assert_int_equal(file_replace("/dev/full/x", 0600, "x", 1, &e), SKEP_EIO);
}

static void only_regular_files_are_read(void **state)
{
    (void)state;
    struct err e = {0};
    AUTOSTR struct str text = STR_INIT;
    assert_int_equal(mkfifo(in_dir("pipe"), 0600), 0);
    assert_int_equal(file_read(in_dir("pipe"), 100, &text, NULL, &e), SKEP_EARG);
    assert_int_equal(file_read(dir, 100, &text, NULL, &e), SKEP_EARG);
    assert_int_equal(file_read("/dev/zero", 100, &text, NULL, &e), SKEP_EARG);
    assert_int_equal(file_read(in_dir("none"), 100, &text, NULL, &e), SKEP_ENOTFOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(files_are_replaced_whole_or_not_at_all, folder_empty),
        cmocka_unit_test_setup(only_regular_files_are_read, folder_empty),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
