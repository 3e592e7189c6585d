/* file: decides how a small file reaches the disk, and nothing about what is in it.
 *
 * 1. A reader of the path sees the old bytes or the new ones, never a part, also after a power cut.
 * 2. The mode is right before the first byte is written: a key is never readable by others for a moment.
 * 3. A path that names a pipe, a device or a folder is refused, never waited for.
 */
#include "real/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

static void fd_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}
#define AUTOFD CLEANUP(fd_close)

static int open_failed(const char *path, struct err *e)
{
    int code = errno == ENOENT || errno == ENOTDIR ? SKEP_ENOTFOUND
               : errno == EACCES || errno == EPERM ? SKEP_EFORBIDDEN
                                                   : SKEP_EIO;
    return err_set(e, code, "cannot read %s: %s", path, strerror(errno));
}

/* Reads until the end or one byte over the bound; a file may grow while it is read. */
static int read_all(int fd, const char *path, size_t bytes_max, struct str *ret, struct err *e)
{
    for (;;) {
        str_reserve(ret, 4096);
        ssize_t n = read(fd, ret->p + ret->n, 4096);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(e, SKEP_EIO, "cannot read %s: %s", path, strerror(errno));
        ret->n += (size_t)n;
        ret->p[ret->n] = 0;
        if (ret->n > bytes_max)
            return err_set(e, SKEP_ETOOLARGE, "%s has more than %zu bytes", path, bytes_max);
        if (n == 0)
            return 0;
    }
}

int file_read(const char *path, size_t bytes_max, struct str *ret, mode_t *ret_mode, struct err *e)
{
    str_clear(ret);
    AUTOFD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return open_failed(path, e);
    struct stat st;
    if (fstat(fd, &st) != 0)
        return open_failed(path, e);
    if (!S_ISREG(st.st_mode))
        return err_set(e, SKEP_EARG, "%s is not a regular file", path);
    int rc = read_all(fd, path, bytes_max, ret, e);
    if (rc != 0)
        str_clear(ret);
    else if (ret_mode)
        *ret_mode = st.st_mode & 07777;
    return rc;
}

static int write_failed(const char *path, struct err *e)
{
    int code = errno == ENOSPC || errno == EDQUOT ? SKEP_EDISKFULL : SKEP_EIO;
    return err_set(e, code, "cannot write %s: %s", path, strerror(errno));
}

static int write_all(int fd, const char *bytes, size_t n)
{
    while (n) {
        ssize_t done = write(fd, bytes, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return -1;
        bytes += done;
        n -= (size_t)done;
    }
    return 0;
}

/* Makes the new name itself durable. */
static int folder_sync(const char *path)
{
    AUTOFREE char *folder = mem_dup(path);
    char *slash = strrchr(folder, '/');
    if (slash)
        slash[slash == folder ? 1 : 0] = 0;
    AUTOFD int fd = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -1 : fsync(fd);
}

static int fill(const char *temp, mode_t mode, const void *bytes, size_t n)
{
    unlink(temp); /* what a crashed process with our pid left */
    AUTOFD int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -1;
    return fchmod(fd, mode) != 0 || write_all(fd, bytes, n) != 0 || fsync(fd) != 0 ? -1 : 0;
}

/* link() instead of rename() is what refuses an existing target atomically. */
static int publish(const char *temp, const char *path, bool replace)
{
    if (replace)
        return rename(temp, path);
    return link(temp, path) != 0 || unlink(temp) != 0 ? -1 : 0;
}

static int put(const char *path, mode_t mode, const void *bytes, size_t n, bool replace, struct err *e)
{
    AUTOFREE char *temp = mem_printf("%s.%d.tmp", path, (int)getpid());
    if (fill(temp, mode, bytes, n) == 0 && publish(temp, path, replace) == 0 && folder_sync(path) == 0)
        return 0;
    int why = errno;
    unlink(temp);
    errno = why;
    if (why == EEXIST && !replace)
        return err_set(e, SKEP_ETAKEN, "%s exists already", path);
    return write_failed(path, e);
}

int file_replace(const char *path, mode_t mode, const void *bytes, size_t n, struct err *e)
{
    return put(path, mode, bytes, n, true, e);
}

int file_create(const char *path, mode_t mode, const void *bytes, size_t n, struct err *e)
{
    return put(path, mode, bytes, n, false, e);
}
