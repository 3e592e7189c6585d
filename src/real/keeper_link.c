/* See keeper_link.h for what it promises. Lines are keeper_channel.c's. How it keeps it:
 *
 * 1. At most SPAWNS_OPEN spawns are unanswered; the others wait here, without descriptors. So a burst of a
 *    thousand neither fills the socket nor the kernel's limit of descriptors in flight, and pings, feeds
 *    and kills never stand behind it.
 * 2. Silence is counted in ticks of our own timer, not by the clock: when skepd itself was stopped, one tick
 *    has passed, not three seconds, and the pong that waits in the socket is read first.
 * 3. A channel is read to its end before exited is told, and what stays without newline is dropped; of a
 * hook's program it is a line too.
 */
#include "real/keeper_inside.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#define TICK_MS         250
#define START_MS        15000 /* for the keeper's sweep, before it answers its first ping */
#define SPAWNS_OPEN     128
#define MESSAGES_A_TURN 64
#define LAST_READS      256 /* after the end: somebody who was handed the channel may write for ever */
#define FUNERAL_MS      5   /* between two looks at groups that were killed */
#define FUNERAL_MS_MAX  1000

struct note {
    struct keep_msg msg;
    STAILQ_ENTRY(note) next;
};

static int64_t boot_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static struct timeval after_ms(int ms)
{
    return (struct timeval){ms / 1000, ms % 1000 * 1000};
}

#define AUTOCLOSE CLEANUP(close_fd)

/* ---- runs ---- */

static struct link_run *find(struct keeper_link *k, uint64_t id)
{
    struct link_run *r;
    HASH_FIND(hh, k->runs, &id, sizeof id, r);
    return r;
}

static void run_free(struct link_run *r)
{
    struct keeper_link *k = r->link;
    if (r->state == RUN_WAITING)
        TAILQ_REMOVE(&k->waiting, r, next);
    if (r->state == RUN_SENT)
        k->open--;
    HASH_DEL(k->runs, r);
    channel_close(r);
    spawn_free(r->order);
    free(r);
}

/* ---- the end of a keeper ---- */

/* True once no group is left. A group that only holds zombies counts until they are reaped, hence the
 * limit of the caller. */
static bool groups_killed(struct keeper_link *k)
{
    struct link_run *r, *next;
    bool gone = true;
    HASH_ITER(hh, k->runs, r, next)
    if (r->pid && (kill(-r->pid, SIGKILL) == 0 || errno != ESRCH))
        gone = false;
    return gone;
}

static void reap(struct keeper_link *k)
{
    if (k->pid)
        waitpid(k->pid, NULL, 0);
    k->pid = 0;
}

static void stop_listening(struct keeper_link *k)
{
    struct link_run *r, *next;
    event_drop(&k->readable);
    event_drop(&k->writable);
    event_drop(&k->ended); /* before its pidfd is closed */
    event_drop(&k->tick);
    HASH_ITER(hh, k->runs, r, next)
    channel_close(r);
}

static bool sweeper_done(struct keeper_link *k)
{
    if (k->sweeper && waitpid(k->sweeper, NULL, WNOHANG) != 0)
        k->sweeper = 0;
    return k->sweeper == 0;
}

static void funeral_cb(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
    struct keeper_link *k = arg;
    bool groups = groups_killed(k), strays = sweeper_done(k);
    k->funeral_ms += FUNERAL_MS;
    if ((groups && strays) || k->funeral_ms >= FUNERAL_MS_MAX) {
        k->on.died(k->ctx);
        return;
    }
    struct timeval t = after_ms(FUNERAL_MS);
    evtimer_add(k->funeral, &t);
}

static bool deadline_passed(const struct keeper_link *k)
{
    return k->deadline_ms && boot_ms() >= k->deadline_ms;
}

/* The groups first: a keeper that only hung would otherwise not see whom it loses. */
static void die(struct keeper_link *k, const char *why)
{
    if (k->dead)
        return;
    k->dead = true;
    k->starved = deadline_passed(k);
    snprintf(k->why, sizeof k->why, "%s", why);
    stop_listening(k);
    groups_killed(k);
    kill(k->pid, SIGKILL);
    reap(k);
    /* What left its group does not know that its keeper died: it is found by its mark. */
    k->sweeper = keeper_exec_sweeper(k->keeper_path, k->node);
    struct timeval now = {0};
    evtimer_add(k->funeral, &now);
}

/* ---- messages to the keeper ---- */

static void notes_flush(struct keeper_link *k)
{
    struct note *n;
    while ((n = STAILQ_FIRST(&k->notes))) {
        int rc = keep_send(k->socket, n->msg, NULL, 0);
        if (rc == -EAGAIN && k->writable)
            event_add(k->writable, NULL);
        if (rc == -EAGAIN)
            return;
        STAILQ_REMOVE_HEAD(&k->notes, next);
        free(n); /* what could not be sent otherwise has no receiver: its pidfd will tell */
    }
}

static void tell(struct keeper_link *k, struct keep_msg msg)
{
    if (k->dead || k->shut)
        return;
    struct note *n = mem_alloc(sizeof *n);
    n->msg = msg;
    STAILQ_INSERT_TAIL(&k->notes, n, next);
    notes_flush(k);
}

/* Bytes in a memfd, sealed, to be read from its start. */
static int bytes_fd(const char *p, size_t n)
{
    int fd = memfd_create("skep-order", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    if ((n && write(fd, p, n) != (ssize_t)n) || lseek(fd, 0, SEEK_SET) != 0) {
        close(fd);
        return -ENOSPC;
    }
    fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
    return fd;
}

static int order_fd(const struct spawn *s)
{
    AUTOSTR struct str bytes = STR_INIT;
    keep_pack(&bytes, s->cwd, s->user, s->log, s->argv, s->env);
    return bytes_fd(bytes.p, bytes.n);
}

/* The two ends of what skepd reads a run by: ours first. */
static int ends_open(const struct spawn *s, int pair[2])
{
    if (s->answers)
        return pipe2(pair, O_CLOEXEC);
    return s->channel ? socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) : 0;
}

/* 0, -EAGAIN (later) or another -errno: this one cannot be. */
static int spawn_send(struct keeper_link *k, struct link_run *r)
{
    const struct spawn *s = r->order;
    int pair[2] = {-1, -1}, fds[KEEP_FDS_MAX];
    size_t n = 0;
    AUTOCLOSE int order = order_fd(s);
    AUTOCLOSE int input = s->input ? bytes_fd(s->input, s->input_n) : -1;
    if (order < 0 || (s->input && input < 0))
        return order < 0 ? order : input;
    if (ends_open(s, pair) != 0)
        return -errno;
    AUTOCLOSE int ours = pair[0];
    AUTOCLOSE int theirs = pair[1];
    fds[n++] = order;
    if (s->input)
        fds[n++] = input;
    if (theirs >= 0)
        fds[n++] = theirs;
    int rc = keep_send(
        k->socket, (struct keep_msg){.kind = KEEP_SPAWN, .run = r->id, .value = s->input != NULL}, fds, n);
    if (rc == 0 && ours >= 0) {
        fcntl(ours, F_SETFL, O_NONBLOCK);
        channel_watch(r, ours);
        ours = -1;
    }
    return rc == -ETOOMANYREFS || rc == -ENOBUFS ? -EAGAIN : rc;
}

static void run_failed(struct link_run *r, int error)
{
    struct keeper_link *k = r->link;
    uint64_t id = r->id;
    run_free(r);
    k->on.failed(k->ctx, id, error);
}

/* Called from the event base only, for it may report a failure. */
static void spawns_send(struct keeper_link *k)
{
    struct link_run *r;
    while (!k->dead && k->open < SPAWNS_OPEN && (r = TAILQ_FIRST(&k->waiting))) {
        int rc = r->cancelled ? -ECANCELED : spawn_send(k, r);
        if (rc == -EAGAIN) {
            event_add(k->writable, NULL);
            return;
        }
        if (rc == -EPIPE || rc == -ECONNRESET)
            return; /* its pidfd will tell */
        if (rc != 0) {
            run_failed(r, -rc);
            continue;
        }
        TAILQ_REMOVE(&k->waiting, r, next);
        r->answers = r->order->answers;
        spawn_free(TAKE(r->order));
        r->state = RUN_SENT;
        k->open++;
    }
}

static void keeper_writable_cb(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
    struct keeper_link *k = arg;
    notes_flush(k);
    spawns_send(k);
}

/* ---- messages of the keeper ---- */

static void spawned(struct keeper_link *k, const struct keep_msg *m)
{
    struct link_run *r = find(k, m->run);
    if (!r || r->state != RUN_SENT)
        return;
    r->state = RUN_RUNNING;
    r->pid = (pid_t)m->value;
    k->open--;
    if (r->readable)
        event_add(r->readable, NULL); /* no line before spawned */
    k->on.spawned(k->ctx, m->run, r->pid);
}

static void exited(struct keeper_link *k, const struct keep_msg *m)
{
    struct link_run *r = find(k, m->run);
    if (!r || r->state != RUN_RUNNING)
        return;
    for (int i = 0; i < LAST_READS && r->readable && channel_read(r); i++)
        continue;
    if (r->answers && r->in.n && !r->overlong)
        k->on.line(k->ctx, r->id, mem_copy(r->in.p, r->in.n), r->in.n);
    run_free(r);
    k->on.exited(k->ctx, m->run, m->status, m->signal);
}

static void message(struct keeper_link *k, const struct keep_msg *m)
{
    struct link_run *r;
    switch (m->kind) {
    case KEEP_READY:
        k->ready = true;
        break;
    case KEEP_SPAWNED:
        spawned(k, m);
        break;
    case KEEP_FAILED:
        if ((r = find(k, m->run)) && r->state == RUN_SENT)
            run_failed(r, (int)m->value);
        break;
    case KEEP_EXITED:
        exited(k, m);
        break;
    case KEEP_PONG:
        k->pinged = false;
        break;
    case KEEP_SPAWN:
    case KEEP_TERMINATE:
    case KEEP_KILL:
    case KEEP_FEED:
    case KEEP_PING:
    case KEEP_REOPEN:
    case KEEP_SHUTDOWN:
    case KEEP_STREAM:
    case KEEP_DONE:
        break;
    }
}

/* Reads what the keeper said. False: it says no more. */
static bool messages_read(struct keeper_link *k, int most)
{
    for (int i = 0; i < most; i++) {
        struct keep_msg m;
        int fds[KEEP_FDS_MAX];
        int rc = keep_recv(k->socket, &m, fds);
        if (rc <= 0)
            return rc == -EAGAIN;
        k->silent_ticks = 0;
        message(k, &m);
    }
    return true;
}

static void keeper_readable_cb(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
    struct keeper_link *k = arg;
    if (!messages_read(k, MESSAGES_A_TURN))
        event_del(k->readable); /* its pidfd will tell, or its silence */
    spawns_send(k);
}

static void ended_cb(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
    struct keeper_link *k = arg;
    messages_read(k, INT_MAX); /* its last words count */
    die(k, "the keeper ended");
}

static void tick_cb(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
    struct keeper_link *k = arg;
    struct link_run *r, *next;
    HASH_ITER(hh, k->runs, r, next)
    channel_resume(r);
    k->silent_ticks += k->pinged;
    if (k->silent_ticks * TICK_MS >= (k->ready ? KEEPER_SILENCE_MS : START_MS)) {
        die(k, k->ready ? "the keeper does not answer" : "the keeper did not get ready");
        return;
    }
    if (!k->pinged) {
        k->pinged = true;
        k->silent_ticks = 0;
        tell(k, (struct keep_msg){.kind = KEEP_PING});
    }
    if (!TAILQ_EMPTY(&k->waiting))
        spawns_send(k);
}

/* ---- the operations ---- */

void keeper_link_spawn(struct keeper_link *k, struct spawn *s TAKES)
{
    ensure(s->run && !find(k, s->run), "run %llu twice", (unsigned long long)s->run);
    struct link_run *r = mem_alloc(sizeof *r);
    r->id = s->run;
    r->link = k;
    r->fd = -1;
    r->order = s;
    HASH_ADD(hh, k->runs, id, sizeof r->id, r);
    TAILQ_INSERT_TAIL(&k->waiting, r, next);
    if (k->writable)
        event_add(k->writable, NULL);
}

void keeper_link_line(struct keeper_link *k, uint64_t run, char *line TAKES, size_t n)
{
    struct link_run *r = k->dead ? NULL : find(k, run);
    bool early = r && r->order && r->order->channel;
    if (early || (r && r->writable)) {
        str_add(&r->out, line, n);
        str_putc(&r->out, '\n');
    }
    if (r && r->writable)
        event_add(r->writable, NULL);
    free(line);
}

void keeper_link_terminate(struct keeper_link *k, uint64_t run)
{
    struct link_run *r = find(k, run);
    if (r && r->state == RUN_WAITING)
        r->cancelled = true;
    else if (r)
        tell(k, (struct keep_msg){.kind = KEEP_TERMINATE, .run = run});
}

void keeper_link_kill(struct keeper_link *k, uint64_t run)
{
    struct link_run *r = find(k, run);
    if (r && r->state == RUN_WAITING)
        r->cancelled = true;
    else if (r)
        tell(k, (struct keep_msg){.kind = KEEP_KILL, .run = run});
}

void keeper_link_feed(struct keeper_link *k, int64_t deadline_ms)
{
    if (deadline_passed(k))
        return; /* its children are dead, or about to be */
    k->deadline_ms = deadline_ms ? boot_ms() + deadline_ms : 0;
    tell(k, (struct keep_msg){.kind = KEEP_FEED, .value = k->deadline_ms});
}

void keeper_link_reopen_logs(struct keeper_link *k)
{
    tell(k, (struct keep_msg){.kind = KEEP_REOPEN});
}

pid_t keeper_link_pid(const struct keeper_link *k)
{
    return k->pid;
}

const char *keeper_link_why(const struct keeper_link *k)
{
    return k->why;
}

bool keeper_link_starved(const struct keeper_link *k)
{
    return k->starved;
}

/* ---- life ---- */

static int above(int fd)
{
    int high = fcntl(fd, F_DUPFD_CLOEXEC, KEEP_SKEPD_FD + 1);
    close(fd);
    return high;
}

static void link_events(struct keeper_link *k)
{
    struct timeval t = after_ms(TICK_MS);
    k->readable = event_new(k->base, k->socket, EV_READ | EV_PERSIST, keeper_readable_cb, k);
    k->writable = event_new(k->base, k->socket, EV_WRITE, keeper_writable_cb, k);
    k->ended = event_new(k->base, k->pidfd, EV_READ, ended_cb, k);
    k->tick = event_new(k->base, -1, EV_PERSIST, tick_cb, k);
    k->funeral = evtimer_new(k->base, funeral_cb, k);
    event_add(k->readable, NULL);
    event_add(k->ended, NULL);
    event_add(k->tick, &t);
}

int keeper_link_new(struct event_base *base, const struct keeper_link_options *o,
                    const struct keeper_link_callbacks *callbacks, void *ctx, struct keeper_link **ret,
                    struct err *e)
{
    int pair[2];
    pid_t pid;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return err_set(e, SKEP_EINTERNAL, "no socket for the keeper: %s", strerror(errno));
    AUTOCLOSE int ours = pair[0];
    AUTOCLOSE int theirs = above(pair[1]);
    AUTOCLOSE int skepd = above(pidfd_open(getpid(), 0));
    if (theirs < 0 || skepd < 0)
        return err_set(e, SKEP_EINTERNAL, "no descriptor for the keeper: %s", strerror(errno));
    int error = keeper_exec(o, theirs, skepd, &pid);
    if (error)
        return err_field(e, SKEP_EINTERNAL, "keeper", "%s cannot be started: %s; it belongs beside skepd",
                         o->keeper_path, strerror(error));
    struct keeper_link *k = mem_alloc(sizeof *k);
    *k = (struct keeper_link){.base = base, .on = *callbacks, .ctx = ctx, .pid = pid, .socket = ours};
    ours = -1;
    k->keeper_path = mem_dup(o->keeper_path);
    k->node = mem_dup(o->node);
    k->pidfd = pidfd_open(pid, 0);
    ensure(k->pidfd >= 0, "no pidfd for the keeper: %d", errno);
    TAILQ_INIT(&k->waiting);
    STAILQ_INIT(&k->notes);
    link_events(k);
    *ret = k;
    return 0;
}

/* Waits for the keeper's end, giving it what it has not got yet and dropping what it says. */
static bool wait_end(struct keeper_link *k, int wait_ms)
{
    int64_t until = boot_ms() + wait_ms;
    for (int64_t left = wait_ms; left >= 0; left = until - boot_ms()) {
        notes_flush(k);
        struct pollfd p[] = {{.fd = k->pidfd, .events = POLLIN}, {.fd = k->socket, .events = POLLIN}};
        poll(p, 2, left < 20 ? (int)left : 20);
        struct keep_msg m;
        int fds[KEEP_FDS_MAX];
        while (keep_recv(k->socket, &m, fds) > 0)
            continue;
        if (p[0].revents)
            return true;
    }
    return false;
}

void keeper_link_shutdown(struct keeper_link *k, int wait_ms)
{
    if (k->shut)
        return;
    if (!k->dead) {
        tell(k, (struct keep_msg){.kind = KEEP_SHUTDOWN});
        stop_listening(k);
        if (!wait_end(k, wait_ms)) {
            groups_killed(k);
            kill(k->pid, SIGKILL);
        }
        reap(k);
    }
    event_drop(&k->funeral);
    k->shut = k->dead = true;
}

void keeper_link_free(struct keeper_link *k)
{
    if (!k)
        return;
    keeper_link_shutdown(k, KEEPER_SILENCE_MS);
    struct link_run *r, *next;
    HASH_ITER(hh, k->runs, r, next)
    run_free(r);
    for (struct note *n; (n = STAILQ_FIRST(&k->notes));) {
        STAILQ_REMOVE_HEAD(&k->notes, next);
        free(n);
    }
    if (!sweeper_done(k)) {
        kill(k->sweeper, SIGKILL);
        waitpid(k->sweeper, NULL, 0);
    }
    close_fd(&k->socket);
    close_fd(&k->pidfd);
    free(k->keeper_path);
    free(k->node);
    free(k);
}
