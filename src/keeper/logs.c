/* The keeper's side of the children's output.
 *
 * Each child writes to a pipe of its own; a log process reads them all and writes files. It is disposable:
 * it may die, hang or find no room on its disk, and neither the keeper nor a child dies of it. The keeper
 * holds every read end until the log process says that it is done with it, so a successor goes on where
 * the last one stopped, and the last words of a run that ended meanwhile are not lost.
 */
#include "keeper/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PING_MS    1000
#define SILENCE_MS 3000 /* without a pong: it hangs */
#define RESTART_MS 1000 /* between two starts at least */

void logs_init(struct logs *l, int epoll, const struct child_world *child, const char *dir,
               const char *bytes_max, const char *files_max)
{
    *l = (struct logs){
        .child = child, .dir = dir, .bytes_max = bytes_max, .files_max = files_max, .epoll = epoll};
    l->watch = (struct watch){.kind = WATCH_LOG, .fd = -1};
    l->exe = open("/proc/self/exe", O_PATH | O_CLOEXEC);
}

/* Once its socket has no room, the rest waits until it has. */
static void hand_over(struct logs *l, struct stream *s)
{
    if (l->watch.fd < 0 || l->blocked || s->handed)
        return;
    struct keep_msg m = {.kind = KEEP_STREAM, .run = s->run};
    memcpy(m.text, s->name, sizeof m.text);
    s->handed = keep_send(l->watch.fd, m, &s->fd, 1) == 0;
    l->blocked = !s->handed;
    if (l->blocked)
        watch_change(l->epoll, &l->watch, EPOLLIN | EPOLLOUT);
}

static void hand_over_all(struct logs *l)
{
    struct stream *s, *next;
    HASH_ITER(hh, l->streams, s, next)
    hand_over(l, s);
}

static void unblock(struct logs *l)
{
    if (!l->blocked || l->watch.fd < 0)
        return;
    l->blocked = false;
    watch_change(l->epoll, &l->watch, EPOLLIN);
    hand_over_all(l);
}

static _Noreturn void exec_log(const struct logs *l, int socket)
{
    char *argv[] = {"skep-keeper",        "--log",       (char *)l->dir,       "--log-bytes",
                    (char *)l->bytes_max, "--log-files", (char *)l->files_max, NULL};
    child_unshield(l->child);
    setsid();
    if (dup2(socket, KEEP_SOCKET_FD) < 0)
        _exit(126);
    execveat(l->exe, "", argv, environ, AT_EMPTY_PATH);
    _exit(127);
}

static void start(struct logs *l)
{
    int pair[2];
    l->started_ms = l->pinged_ms = boot_ms();
    l->waiting = l->blocked = false;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return;
    pid_t pid = fork();
    if (pid == 0)
        exec_log(l, pair[1]);
    close(pair[1]);
    l->watch.fd = pair[0];
    if (pid < 0) {
        close(pair[0]);
        l->watch.fd = -1;
        return;
    }
    l->pid = pid;
    watch_add(l->epoll, &l->watch, EPOLLIN);
    hand_over_all(l);
}

void logs_died(struct logs *l)
{
    struct stream *s, *next;
    watch_close(l->epoll, &l->watch);
    l->pid = 0;
    HASH_ITER(hh, l->streams, s, next)
    s->handed = false;
}

int logs_open(struct logs *l, uint64_t run, const char *name)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return -errno;
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    struct stream *s = mem_alloc(sizeof *s);
    s->run = run;
    s->fd = ends[0];
    snprintf(s->name, sizeof s->name, "%s", name);
    HASH_ADD(hh, l->streams, run, sizeof s->run, s);
    hand_over(l, s);
    return ends[1];
}

static void done(struct logs *l, uint64_t run)
{
    struct stream *s;
    HASH_FIND(hh, l->streams, &run, sizeof run, s);
    if (!s || !s->handed)
        return;
    HASH_DEL(l->streams, s);
    close(s->fd);
    free(s);
}

void logs_ready(struct logs *l)
{
    struct keep_msg m;
    int fds[KEEP_FDS_MAX] = {-1, -1, -1}, rc;
    while ((rc = keep_recv(l->watch.fd, &m, fds)) > 0) {
        if (m.kind == KEEP_DONE)
            done(l, m.run);
        if (m.kind == KEEP_PONG)
            l->waiting = false;
    }
    if (rc != -EAGAIN) {
        kill(l->pid,
             SIGKILL); /* its socket is gone or makes no sense: a successor follows when it is reaped */
        watch_close(l->epoll, &l->watch);
    }
    unblock(l);
}

void logs_reopen(struct logs *l)
{
    if (l->watch.fd >= 0)
        keep_send(l->watch.fd, (struct keep_msg){.kind = KEEP_REOPEN}, NULL, 0);
}

static int until(int64_t at_ms)
{
    int64_t ms = at_ms - boot_ms();
    return ms > 0 ? (int)ms : 0;
}

/* Only while there is output to read: an idle node has no log process and no timer. */
int logs_tick(struct logs *l)
{
    if (!l->dir || !l->streams)
        return -1;
    if (!l->pid) {
        if (l->started_ms && until(l->started_ms + RESTART_MS) > 0)
            return until(l->started_ms + RESTART_MS);
        start(l);
        return PING_MS;
    }
    if (l->waiting && until(l->pinged_ms + SILENCE_MS) == 0)
        kill(l->pid, SIGKILL);
    if (!l->waiting && until(l->pinged_ms + PING_MS) == 0 && l->watch.fd >= 0) {
        l->pinged_ms = boot_ms();
        l->waiting = keep_send(l->watch.fd, (struct keep_msg){.kind = KEEP_PING}, NULL, 0) == 0 || l->blocked;
    }
    return PING_MS;
}

void logs_fini(struct logs *l)
{
    struct stream *s, *next;
    watch_close(l->epoll, &l->watch);
    HASH_ITER(hh, l->streams, s, next)
    {
        HASH_DEL(l->streams, s);
        close(s->fd);
        free(s);
    }
    close(l->exe);
}

void logs_finish(struct logs *l, int wait_ms)
{
    int64_t at = boot_ms() + wait_ms;
    if (!l->pid)
        return;
    watch_close(l->epoll, &l->watch); /* the log process ends when all is read */
    while (waitpid(l->pid, NULL, WNOHANG) == 0 && until(at) > 0)
        poll(NULL, 0, 2);
}
