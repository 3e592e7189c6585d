/* folder: a folder of the test's own, empty before each case. Include it once a program. */
#ifndef SKEP_TEST_REAL_FOLDER_H
#define SKEP_TEST_REAL_FOLDER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

static char dir[] = "/tmp/skep-test-XXXXXX";

/* In one of eight buffers. */
static inline char *in_dir(const char *name)
{
    static char paths[8][sizeof dir + 1 + NAME_MAX];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", dir, name);
    return path;
}

static inline int folder_empty(void **state)
{
    (void)state;
    DIR *d = opendir(dir);
    for (struct dirent *one; (one = readdir(d));)
        if (one->d_name[0] != '.')
            unlink(in_dir(one->d_name));
    closedir(d);
    return 0;
}

static inline int folder_make(void **state)
{
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}

static inline int folder_remove(void **state)
{
    folder_empty(state);
    return rmdir(dir);
}

#endif
