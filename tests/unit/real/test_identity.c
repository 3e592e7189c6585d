/* The folder's lock and what is said about a folder that others can write. */
#include "folder.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/mem.h"
#include "base/str.h"
#include "real/file.h"
#include "real/identity.h"

#define assert_says(e, word) assert_non_null(strstr((e).text, (word)))

static void folder_has_one_holder(void **state)
{
    (void)state;
    struct err e = {0};
    struct identity_lock first = IDENTITY_LOCK_INIT, second = IDENTITY_LOCK_INIT;
    assert_int_equal(identity_lock(dir, &first, &e), 0);
    assert_true(fcntl(first.fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(identity_lock(dir, &second, &e), SKEP_ELOCKED);
    char pid[32];
    snprintf(pid, sizeof pid, "pid %d", (int)getpid());
    assert_says(e, pid);
    assert_says(e, dir);
    assert_int_equal(second.fd, -1);
    identity_unlock(&first);
    assert_int_equal(first.fd, -1);
    assert_int_equal(identity_lock(dir, &second, &e), 0);
    identity_unlock(&second);
}

static void killed_holder_leaves_no_lock(void **state)
{
    (void)state;
    struct err e = {0};
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct identity_lock lock = IDENTITY_LOCK_INIT;
        char code = (char)identity_lock(dir, &lock, NULL);
        if (write(ready[1], &code, 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    char code = 1;
    assert_int_equal(read(ready[0], &code, 1), 1);
    assert_int_equal(code, 0);
    struct identity_lock lock = IDENTITY_LOCK_INIT;
    assert_int_equal(identity_lock(dir, &lock, &e), SKEP_ELOCKED);
    char who[32];
    snprintf(who, sizeof who, "pid %d", (int)pid);
    assert_says(e, who);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    assert_int_equal(identity_lock(dir, &lock, &e), 0);
    identity_unlock(&lock);
    close(ready[0]);
    close(ready[1]);
}

static void folder_faults_are_named(void **state)
{
    (void)state;
    struct err e = {0};
    struct identity_lock lock = IDENTITY_LOCK_INIT;
    assert_int_equal(identity_lock("/nonexistent", &lock, &e), SKEP_ENOTFOUND);
    assert_int_equal(file_replace(in_dir("file"), 0600, "x", 1, &e), 0);
    AUTOSTR struct str warnings = STR_INIT;
    assert_int_equal(identity_check("/nonexistent", &warnings, &e), SKEP_ENOTFOUND);
    assert_int_equal(identity_check(in_dir("file"), &warnings, &e), SKEP_EARG);
    assert_int_equal(identity_check(dir, &warnings, &e), 0);
    assert_string_equal(str_get(&warnings), "");
    chmod(dir, 0770);
    assert_int_equal(identity_check(dir, &warnings, &e), 0);
    assert_non_null(strstr(str_get(&warnings), "its group"));
    str_clear(&warnings);
    chmod(dir, 0707);
    assert_int_equal(identity_check(dir, &warnings, &e), 0);
    assert_non_null(strstr(str_get(&warnings), "everybody"));
    chmod(dir, 0700);
    if (geteuid() != 0)
        return;
    str_clear(&warnings);
    assert_int_equal(chown(dir, 65534, 65534), 0);
    assert_int_equal(identity_check(dir, &warnings, &e), 0);
    assert_non_null(strstr(str_get(&warnings), "uid 65534"));
    assert_int_equal(chown(dir, 0, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(folder_has_one_holder, folder_empty),
        cmocka_unit_test_setup(killed_holder_leaves_no_lock, folder_empty),
        cmocka_unit_test_setup(folder_faults_are_named, folder_empty),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
