/* The log process: reads the children's output and writes NAME.log files that stay bounded.
 *
 * A file that is full becomes NAME.log.1, which becomes NAME.log.2, and so on; the oldest is dropped. What
 * cannot be written is dropped and counted: the first line that fits again says how much is missing. It
 * reads on whatever happens, so that a full disk never blocks a child. Bytes are written as they came.
 *
 * It ends when the keeper is gone and every pipe is at its end, or FAREWELL_MS later: something that got
 * away may hold a pipe for ever.
 */
#include "keeper/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_BYTES  65536
#define FAREWELL_MS 1000

struct file {
    char name[KEEP_LOG_NAME_MAX + 1];
    int fd; /* -1: not open */
    size_t users;
    int64_t bytes, lost;
    int error; /* why they were lost */
    UT_hash_handle hh;
};

struct source {
    uint64_t run;
    int fd;
    struct file *file;
    LIST_ENTRY(source) next;
};

struct logger {
    const char *path;
    int dir, epoll; /* dir: -1 = not there yet */
    int64_t bytes_max, files_max;
    bool alone; /* the keeper is gone */
    struct file *files;
    LIST_HEAD(, source) sources;
    char buffer[READ_BYTES];
};

static void file_name(const struct file *f, int64_t generation, char name[NAME_MAX + 1])
{
    if (generation)
        snprintf(name, NAME_MAX + 1, "%s.log.%lld", f->name, (long long)generation);
    else
        snprintf(name, NAME_MAX + 1, "%s.log", f->name);
}

static void file_close(struct file *f)
{
    if (f->fd >= 0)
        close(f->fd);
    f->fd = -1;
    f->bytes = 0;
}

static void dir_open(struct logger *l)
{
    mkdir(l->path, 0750);
    l->dir = open(l->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static void file_open(struct logger *l, struct file *f)
{
    if (l->dir < 0)
        dir_open(l);
    if (l->dir < 0)
        return;
    char name[NAME_MAX + 1];
    struct stat st;
    file_name(f, 0, name);
    f->fd = openat(l->dir, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0640);
    if (f->fd >= 0 && (fstat(f->fd, &st) != 0 || !S_ISREG(st.st_mode))) {
        file_close(f);
        errno = EINVAL;
    } else if (f->fd >= 0) {
        f->bytes = st.st_size;
    }
}

static void file_rotate(struct logger *l, struct file *f)
{
    char from[NAME_MAX + 1], to[NAME_MAX + 1];
    file_close(f);
    for (int64_t g = l->files_max - 1; g > 0; g--) {
        file_name(f, g - 1, from);
        file_name(f, g, to);
        renameat(l->dir, from, l->dir, to);
    }
    if (l->files_max == 1) {
        file_name(f, 0, from);
        unlinkat(l->dir, from, 0);
    }
    file_open(l, f);
}

static void lose(struct file *f, size_t n, int error)
{
    f->lost += (int64_t)n;
    f->error = error;
}

/* Writes all or loses the rest. True when all went out. */
static bool put(struct file *f, const char *p, size_t n, bool counts)
{
    while (n) {
        ssize_t did = write(f->fd, p, n);
        if (did < 0 && errno == EINTR)
            continue;
        if (did <= 0) {
            lose(f, counts ? n : 0, did < 0 ? errno : ENOSPC);
            return false;
        }
        f->bytes += did;
        p += did;
        n -= (size_t)did;
    }
    return true;
}

static bool put_marker(struct file *f)
{
    char line[160];
    int n = snprintf(line, sizeof line, "\n[skep: %lld bytes of output were lost here: %s]\n",
                     (long long)f->lost, strerrordesc_np(f->error));
    if (!put(f, line, (size_t)n, false))
        return false;
    f->lost = 0;
    return true;
}

static void file_write(struct logger *l, struct file *f, const char *p, size_t n)
{
    if (f->fd < 0)
        file_open(l, f);
    if (f->fd >= 0 && f->bytes > 0 && f->bytes + (int64_t)n > l->bytes_max)
        file_rotate(l, f);
    if (f->bytes + (int64_t)n > l->bytes_max && f->bytes > 0)
        lose(f, n, EPERM); /* it cannot be renamed: bounded all the same */
    else if (f->fd < 0 || (f->lost && !put_marker(f)))
        lose(f, n, f->fd < 0 ? errno : f->error);
    else
        put(f, p, n, true);
}

static struct file *file_get(struct logger *l, const char *name)
{
    struct file *f;
    HASH_FIND_STR(l->files, name, f);
    if (!f) {
        f = mem_alloc(sizeof *f);
        f->fd = -1;
        snprintf(f->name, sizeof f->name, "%s", name);
        HASH_ADD_STR(l->files, name, f);
    }
    f->users++;
    return f;
}

/* A file that still owes its reader a marker stays, closed. */
static void file_put(struct logger *l, struct file *f)
{
    if (--f->users)
        return;
    if (f->lost && f->fd >= 0)
        put_marker(f);
    file_close(f);
    if (f->lost)
        return;
    HASH_DEL(l->files, f);
    free(f);
}

static void stream(struct logger *l, const struct keep_msg *m, int fd)
{
    if (fd < 0)
        return;
    struct source *s = mem_alloc(sizeof *s);
    s->run = m->run;
    s->fd = fd;
    s->file = file_get(l, m->text);
    LIST_INSERT_HEAD(&l->sources, s, next);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = s};
    if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &e) != 0)
        _exit(1); /* a successor may have more luck */
}

static void reopen(struct logger *l)
{
    struct file *f, *next;
    HASH_ITER(hh, l->files, f, next)
    file_close(f);
    if (l->dir >= 0)
        close(l->dir);
    l->dir = -1;
}

/* Blocks when the keeper does not read: it always does, and kills who is silent. */
static void tell(struct keep_msg m)
{
    struct pollfd room = {.fd = KEEP_SOCKET_FD, .events = POLLOUT};
    while (keep_send(KEEP_SOCKET_FD, m, NULL, 0) == -EAGAIN)
        poll(&room, 1, -1);
}

static void keeper_ready(struct logger *l)
{
    struct keep_msg m;
    int fds[KEEP_FDS_MAX] = {-1, -1, -1}, rc;
    while ((rc = keep_recv(KEEP_SOCKET_FD, &m, fds)) > 0) {
        if (m.kind == KEEP_STREAM)
            stream(l, &m, fds[0]);
        if (m.kind == KEEP_REOPEN)
            reopen(l);
        if (m.kind == KEEP_PING)
            tell((struct keep_msg){.kind = KEEP_PONG});
    }
    if (rc == -EAGAIN)
        return;
    if (rc < 0)
        _exit(1);
    l->alone = true;
    epoll_ctl(l->epoll, EPOLL_CTL_DEL, KEEP_SOCKET_FD, NULL);
}

static void source_end(struct logger *l, struct source *s)
{
    file_put(l, s->file);
    epoll_ctl(l->epoll, EPOLL_CTL_DEL, s->fd, NULL);
    close(s->fd);
    LIST_REMOVE(s, next);
    free(s);
}

static void source_ready(struct logger *l, struct source *s)
{
    size_t room = l->bytes_max < READ_BYTES ? (size_t)l->bytes_max : READ_BYTES;
    ssize_t n = read(s->fd, l->buffer, room);
    if (n > 0) {
        file_write(l, s->file, l->buffer, (size_t)n);
        return;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    struct keep_msg done = {.kind = KEEP_DONE, .run = s->run};
    source_end(l, s);
    if (!l->alone)
        tell(done);
}

static void logger_fini(struct logger *l)
{
    struct file *f, *next;
    while (!LIST_EMPTY(&l->sources))
        source_end(l, LIST_FIRST(&l->sources));
    HASH_ITER(hh, l->files, f, next)
    {
        HASH_DEL(l->files, f);
        free(f);
    }
}

static void loop(struct logger *l)
{
    int64_t farewell = 0;
    while (!l->alone || (!LIST_EMPTY(&l->sources) && boot_ms() < farewell)) {
        struct epoll_event e[64];
        int n = epoll_wait(l->epoll, e, 64, l->alone ? FAREWELL_MS / 10 : -1);
        for (int i = 0; i < n; i++)
            if (e[i].data.ptr)
                source_ready(l, e[i].data.ptr);
        for (int i = 0; i < n; i++)
            if (!e[i].data.ptr && !l->alone) {
                keeper_ready(l);
                farewell = boot_ms() + FAREWELL_MS;
            }
    }
}

int log_main(const char *dir, const char *bytes_max, const char *files_max)
{
    AUTOFREE struct logger *l = mem_alloc(sizeof *l);
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    l->path = dir;
    l->dir = -1;
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (l->epoll < 0 || !text_i64(bytes_max, 1024, INT64_MAX, &l->bytes_max) ||
        !text_i64(files_max, 1, 99, &l->files_max))
        return 64;
    struct epoll_event e = {.events = EPOLLIN};
    if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, KEEP_SOCKET_FD, &e) != 0)
        return 64;
    loop(l);
    logger_fini(l);
    return 0;
}
