/* What lies beside the database: room that is really taken, a note that outlives a process that is killed. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "real/reserve.h"

static char folder[] = "/tmp/skep-reserve-XXXXXX";

static void the_room_is_taken_and_given(void **state)
{
    (void)state;
    struct reserve *r = reserve_new(folder);
    struct world_disk d = {0};
    struct stat st;
    AUTOFREE char *path = mem_printf("%s/reserve", folder);
    reserve_world(r, &d);
    assert_int_equal(d.reserve(d.self, true), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_true(st.st_blocks * 512 >= RESERVE_BYTES);
    assert_int_equal(d.reserve(d.self, true), 0);
    assert_int_equal(d.reserve(d.self, false), 0);
    assert_int_not_equal(stat(path, &st), 0);
    assert_int_equal(d.reserve(d.self, false), 0);
    reserve_free(r);
}

static void the_note_outlives_the_process(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        struct world_disk d = {0};
        reserve_world(reserve_new(folder), &d);
        *d.note = (struct disk_note){7, 9};
        raise(SIGKILL);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    struct reserve *r = reserve_new(folder);
    struct world_disk d = {0};
    reserve_world(r, &d);
    assert_int_equal(d.note->actor, 7);
    assert_int_equal(d.note->hlc, 9);
    reserve_free(r);
}

static int make(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int clear(void **state)
{
    (void)state;
    AUTOFREE char *command = mem_printf("rm -rf '%s'", folder);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_room_is_taken_and_given),
        cmocka_unit_test(the_note_outlives_the_process),
    };
    return cmocka_run_group_tests(tests, make, clear);
}
