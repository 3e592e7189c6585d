/* identity: decides who may use a node's folder. Knows nothing of what is in it.
 *
 * The lock is flock(2) on a file of its own, never on the database: closing any descriptor of that would
 * drop SQLite's locks. It ends with the process, however it ends, so no stale lock can exist; the pid in
 * the file is for people, and is wrong for at most the moment between taking the lock and writing it.
 */
#include "real/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

static int folder_failed(const char *dir, struct err *e)
{
    int code = errno == ENOENT || errno == ENOTDIR ? SKEP_ENOTFOUND
               : errno == EACCES || errno == EROFS ? SKEP_EFORBIDDEN
                                                   : SKEP_EIO;
    return err_set(e, code, "cannot use the folder %s: %s", dir, strerror(errno));
}

static int locked(int fd, const char *dir, struct err *e)
{
    char text[24] = "";
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = 0;
    text[strcspn(text, "\n")] = 0;
    int64_t pid;
    if (!text_i64(text, 1, INT32_MAX, &pid))
        return err_set(e, SKEP_ELOCKED,
                       "another skepd uses %s; stop it, or give this one a folder of its own", dir);
    return err_set(e, SKEP_ELOCKED,
                   "another skepd (pid %lld) uses %s; stop it, or give this one a folder of its own",
                   (long long)pid, dir);
}

static int write_pid(int fd)
{
    char text[24];
    int n = snprintf(text, sizeof text, "%d\n", (int)getpid());
    return ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)n, 0) != n ? -1 : 0;
}

int identity_lock(const char *dir, struct identity_lock *ret, struct err *e)
{
    AUTOFREE char *path = mem_printf("%s/skepd.lock", dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (fd < 0)
        return folder_failed(dir, e);
    int rc = 0;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0)
        rc = errno == EWOULDBLOCK ? locked(fd, dir, e) : folder_failed(dir, e);
    else if (write_pid(fd) != 0)
        rc = folder_failed(dir, e);
    if (rc != 0) {
        close(fd);
        return rc;
    }
    ret->fd = fd;
    return 0;
}

void identity_unlock(struct identity_lock *lock)
{
    if (lock->fd < 0)
        return;
    /* The pid goes before the lock does; if that fails the next holder overwrites it. */
    if (ftruncate(lock->fd, 0) != 0)
        errno = 0;
    close(lock->fd);
    lock->fd = -1;
}

int identity_check(const char *dir, struct str *ret_warnings, struct err *e)
{
    struct stat st;
    if (stat(dir, &st) != 0)
        return folder_failed(dir, e);
    if (!S_ISDIR(st.st_mode))
        return err_set(e, SKEP_EARG, "%s is not a folder", dir);
    if (st.st_uid != geteuid() && st.st_uid != 0)
        str_printf(ret_warnings, "%s belongs to uid %u, who can replace its keys; chown it to uid %u\n", dir,
                   (unsigned)st.st_uid, (unsigned)geteuid());
    if (st.st_mode & (S_IWGRP | S_IWOTH))
        str_printf(ret_warnings, "%s is writable by %s, who can replace its keys; chmod %s %s\n", dir,
                   st.st_mode & S_IWOTH ? "everybody" : "its group", "go-w", dir);
    return 0;
}
