/* Configuration files and environment files, from the bytes to the checked values. The first byte chooses. */
#include "fuzz.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/ensure.h"
#include "real/config.h"
#include "real/env_file.h"

static void has_words(int rc, const struct err *e)
{
    ensure(rc == 0 || (*e->text && text_is_utf8(e->text, strlen(e->text))), "a refusal without a word");
}

static void fuzz_config(const char *path)
{
    struct config c;
    struct err e = {0};
    int rc = config_load(&c, path, NULL, NULL, 0, &e);
    has_words(rc, &e);
    ensure((rc == 0) == (c.origin != NULL), "half a configuration");
    if (rc != 0)
        return;
    ensure(c.node && c.dir[0] == '/' && c.suspect_ms >= 2 * c.ping_ms && c.down_ms > c.suspect_ms,
           "unchecked");
    struct config_row *rows;
    size_t n;
    config_rows(&c, &rows, &n);
    config_rows_free(rows, n);
    config_fini(&c);
}

static void fuzz_env(const char *path)
{
    char **list = NULL;
    struct err e = {0};
    int rc = env_file_read(path, &list, &e);
    has_words(rc, &e);
    for (char **p = list; p && *p; p++)
        ensure(strchr(*p, '=') > *p, "an entry without a name");
    env_file_free(list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char path[64];
    if (n == 0)
        return 0;
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    ensure(fd >= 0 && fchmod(fd, 0600) == 0 && write(fd, data + 1, n - 1) == (ssize_t)(n - 1),
           "no memory file");
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (data[0] % 2 == 0)
        fuzz_config(path);
    else
        fuzz_env(path);
    close(fd);
    return 0;
}
