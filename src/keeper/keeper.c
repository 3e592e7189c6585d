/* The keeper's loop: skepd's messages, its death, its deadline. See keeper.h. */
#include "keeper/keeper.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define MESSAGES_A_TURN 32
#define EVENTS_A_TURN   128
#define GOODBYE_MS      1000 /* for the log process to write the last lines after an orderly shutdown */

int64_t boot_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void watch_add(int epoll, struct watch *w, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.ptr = w};
    int rc = epoll_ctl(epoll, EPOLL_CTL_ADD, w->fd, &e);
    ensure(rc == 0, "descriptor %d cannot be watched: %d", w->fd, errno);
}

void watch_change(int epoll, struct watch *w, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.ptr = w};
    epoll_ctl(epoll, EPOLL_CTL_MOD, w->fd, &e);
}

void watch_close(int epoll, struct watch *w)
{
    if (w->fd < 0)
        return;
    epoll_ctl(epoll, EPOLL_CTL_DEL, w->fd, NULL);
    close(w->fd);
    w->fd = -1;
}

static void end(struct keeper *k)
{
    k->ending = k->look = true;
}

/* Sends what waits. A skepd that does not read costs memory for as many notes as it has runs, no more. */
static void notes_flush(struct keeper *k)
{
    struct note *n;
    while ((n = STAILQ_FIRST(&k->notes)) && keep_send(k->socket.fd, n->msg, NULL, 0) != -EAGAIN) {
        STAILQ_REMOVE_HEAD(&k->notes, next);
        free(n);
    }
    if (!k->ending)
        watch_change(k->epoll, &k->socket, STAILQ_EMPTY(&k->notes) ? EPOLLIN : EPOLLIN | EPOLLOUT);
}

void keeper_tell(struct keeper *k, struct keep_msg msg)
{
    if (STAILQ_EMPTY(&k->notes) && keep_send(k->socket.fd, msg, NULL, 0) != -EAGAIN)
        return;
    struct note *n = mem_alloc(sizeof *n);
    n->msg = msg;
    STAILQ_INSERT_TAIL(&k->notes, n, next);
    notes_flush(k);
}

static bool deadline_passed(const struct keeper *k)
{
    return k->deadline_ms && boot_ms() >= k->deadline_ms;
}

static void feed(struct keeper *k, int64_t deadline_ms)
{
    if (deadline_passed(k)) {
        end(k);
        return;
    }
    k->deadline_ms = deadline_ms;
    struct itimerspec t = {.it_value = {deadline_ms / 1000, deadline_ms % 1000 * 1000000}};
    int rc = timerfd_settime(k->deadline.fd, TFD_TIMER_ABSTIME, &t, NULL);
    if (rc != 0 || deadline_passed(k))
        end(k);
}

static void message(struct keeper *k, const struct keep_msg *m, int fds[KEEP_FDS_MAX])
{
    switch (m->kind) {
    case KEEP_SPAWN:
        run_spawn(k, m->run, fds[0],
                  m->value ? (struct ends){-1, fds[1], fds[2]} : (struct ends){fds[1], -1, -1});
        return; /* it took the descriptors */
    case KEEP_TERMINATE:
        run_terminate(k, m->run);
        break;
    case KEEP_KILL:
        run_kill(k, m->run);
        break;
    case KEEP_FEED:
        feed(k, m->value);
        break;
    case KEEP_PING:
        keeper_tell(k, (struct keep_msg){.kind = KEEP_PONG});
        break;
    case KEEP_REOPEN:
        logs_reopen(&k->logs);
        break;
    case KEEP_SHUTDOWN:
        k->orderly = true;
        end(k);
        break;
    case KEEP_READY:
    case KEEP_SPAWNED:
    case KEEP_FAILED:
    case KEEP_EXITED:
    case KEEP_PONG:
    case KEEP_STREAM:
    case KEEP_DONE:
        break;
    }
    for (int i = 0; i < KEEP_FDS_MAX; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

static void socket_ready(struct keeper *k)
{
    notes_flush(k);
    for (int i = 0; i < MESSAGES_A_TURN && !k->ending; i++) {
        struct keep_msg m;
        int fds[KEEP_FDS_MAX] = {-1, -1, -1};
        int rc = keep_recv(k->socket.fd, &m, fds);
        if (rc == -EAGAIN)
            return;
        if (rc == -EMFILE && m.kind == KEEP_SPAWN)
            keeper_tell(k, (struct keep_msg){.kind = KEEP_FAILED, .run = m.run, .value = EMFILE});
        else if (rc <= 0)
            end(k); /* skepd is gone, or no longer itself */
        else
            message(k, &m, fds);
    }
}

static void sigchld_ready(struct keeper *k)
{
    struct signalfd_siginfo si[16];
    while (read(k->sigchld.fd, si, sizeof si) == (ssize_t)sizeof si)
        continue;
    k->look = true;
}

static void ready(struct keeper *k, struct watch *w)
{
    if (w->fd < 0)
        return; /* closed earlier in this turn */
    switch (w->kind) {
    case WATCH_SOCKET:
        socket_ready(k);
        break;
    case WATCH_SKEPD:
    case WATCH_DEADLINE:
        end(k);
        break;
    case WATCH_SIGCHLD:
        sigchld_ready(k);
        break;
    case WATCH_LOG:
        logs_ready(&k->logs);
        break;
    case WATCH_EXIT:
        run_exit_ready(k, w->run);
        break;
    case WATCH_EXEC:
        run_exec_ready(k, w->run);
        break;
    }
}

/* Once we are ending, what ends us would be ready for ever. */
static void stop_listening(struct keeper *k)
{
    struct watch *w[] = {&k->socket, &k->skepd, &k->deadline};
    for (size_t i = 0; i < COUNT(w); i++)
        epoll_ctl(k->epoll, EPOLL_CTL_DEL, w[i]->fd, NULL);
}

static int timeout_ms(int a, int b)
{
    return a < 0 ? b : b < 0 || a < b ? a : b;
}

static int retry_wait_ms(const struct keeper *k)
{
    if (!k->retry_at_ms)
        return -1;
    int64_t wait = k->retry_at_ms - boot_ms();
    return wait > 0 ? (int)wait : 0;
}

void keeper_run(struct keeper *k)
{
    bool deaf = false;
    for (;;) {
        if (k->ending && !deaf) {
            stop_listening(k);
            deaf = true;
        }
        if (k->look || retry_wait_ms(k) == 0)
            runs_look(k);
        if (k->ending && !k->runs_by_id && !k->orphans)
            break;
        int wait = timeout_ms(logs_tick(&k->logs), retry_wait_ms(k));
        struct epoll_event e[EVENTS_A_TURN];
        int n = epoll_wait(k->epoll, e, EVENTS_A_TURN, wait);
        ensure(n >= 0 || errno == EINTR, "epoll: %d", errno);
        for (int i = 0; i < n; i++)
            ready(k, e[i].data.ptr);
    }
    if (k->orderly)
        logs_finish(&k->logs, GOODBYE_MS);
}
