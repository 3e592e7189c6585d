/* The table of runs, from the order to the moment when nothing of a run is left.
 *
 * A run ends when its main process does, or when skepd wants it dead. Then everything of it is killed: its
 * process group, what is found below it, and the orphans: once a parent dies, its children become ours
 * (we are their subreaper), so whatever is left of a run is sooner or later a child of ours or below one.
 * An orphan belongs to the run whose session it is in, or whose SKEP_* environment it carries. One that
 * left both belongs to nobody we can tell; it dies with the keeper at the latest, or with its cgroup.
 */
#include "keeper/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define RETRY_MS_MIN 4
#define RETRY_MS_MAX 256
#define FDS_SPARE    64 /* kept free for looking into /proc */
#define UNSURE_MS    2000

static struct run *find(struct keeper *k, uint64_t id)
{
    struct run *r;
    HASH_FIND(by_id, k->runs_by_id, &id, sizeof id, r);
    return r;
}

static struct run *find_pid(struct keeper *k, pid_t pid)
{
    struct run *r;
    HASH_FIND(by_pid, k->runs_by_pid, &pid, sizeof pid, r);
    return r;
}

static int order_read(int fd, struct keep_order *ret)
{
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0 || st.st_size <= 0)
        return -EINVAL;
    if (st.st_size > KEEP_ORDER_BYTES_MAX)
        return -E2BIG;
    size_t n = (size_t)st.st_size;
    AUTOFREE char *bytes = mem_alloc(n + 1);
    if (pread(fd, bytes, n, 0) != (ssize_t)n)
        return -EINVAL;
    return keep_unpack(TAKE(bytes), n, ret) ? 0 : -EINVAL;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}
#define AUTOCLOSE CLEANUP(close_fd)

static struct run *run_new(struct keeper *k, uint64_t id, pid_t pid, int exit_fd, int exec_fd)
{
    struct run *r = mem_alloc(sizeof *r);
    r->id = id;
    r->pid = pid;
    r->exit = (struct watch){WATCH_EXIT, exit_fd, r};
    r->exec = (struct watch){WATCH_EXEC, exec_fd, r};
    watch_add(k->epoll, &r->exit, EPOLLIN);
    watch_add(k->epoll, &r->exec, EPOLLIN);
    HASH_ADD(by_id, k->runs_by_id, id, sizeof r->id, r);
    HASH_ADD(by_pid, k->runs_by_pid, pid, sizeof r->pid, r);
    return r;
}

/* fork that gives a pidfd along: no second call that may fail once the child is there. */
static pid_t fork_watched(int *ret_pidfd)
{
    return (pid_t)syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, NULL, ret_pidfd, NULL, NULL);
}

/* 0 or -errno: then nothing runs. */
static int spawn(struct keeper *k, uint64_t id, const struct keep_order *o, struct ends ends)
{
    int error[2];
    if (pipe2(error, O_CLOEXEC | O_NONBLOCK) != 0)
        return -errno;
    AUTOCLOSE int error_end = error[1];
    AUTOCLOSE int told = error[0];
    if (told >= (int)k->child.nofile.rlim_max - FDS_SPARE)
        return -EMFILE;
    AUTOCLOSE int output = k->logs.dir && o->log[0] ? logs_open(&k->logs, id, o->log) : dup(k->child.null);
    if (output < 0)
        return -EMFILE;
    AUTOCLOSE int procs = k->cgroup >= 0 ? cgroup_make(k->cgroup, id) : -1;
    int exit_fd = -1;
    pid_t pid = fork_watched(&exit_fd);
    if (pid == 0)
        child_exec(&k->child, o, ends, output, error_end, procs);
    if (pid < 0)
        return -errno;
    struct run *r = run_new(k, id, pid, exit_fd, told);
    told = -1;
    r->mark = tree_mark(o->env);
    r->cgroup = procs >= 0;
    return 0;
}

void run_spawn(struct keeper *k, uint64_t id, int order_fd, struct ends ends)
{
    AUTOCLOSE int order_end = order_fd;
    AUTOCLOSE int channel_end = ends.channel;
    AUTOCLOSE int input_end = ends.input;
    AUTOCLOSE int output_end = ends.output;
    struct keep_order o = {0};
    int rc = find(k, id) ? -EEXIST : order_read(order_end, &o);
    if (rc == 0)
        rc = spawn(k, id, &o, (struct ends){channel_end, input_end, output_end});
    keep_order_fini(&o);
    if (rc != 0)
        keeper_tell(k, (struct keep_msg){.kind = KEEP_FAILED, .run = id, .value = -rc});
}

void run_terminate(struct keeper *k, uint64_t id)
{
    struct run *r = find(k, id);
    if (r && !r->exited && kill(-r->pid, SIGTERM) != 0)
        kill(r->pid, SIGTERM); /* it has no group of its own yet */
}

void run_kill(struct keeper *k, uint64_t id)
{
    struct run *r = find(k, id);
    if (r)
        r->ending = k->look = true;
}

void run_exec_ready(struct keeper *k, struct run *r)
{
    int error = 0;
    r->failed = read(r->exec.fd, &error, sizeof error) == (ssize_t)sizeof error;
    watch_close(k->epoll, &r->exec);
    keeper_tell(k, r->failed ? (struct keep_msg){.kind = KEEP_FAILED, .run = r->id, .value = error}
                             : (struct keep_msg){.kind = KEEP_SPAWNED, .run = r->id, .value = r->pid});
}

void run_exit_ready(struct keeper *k, struct run *r)
{
    siginfo_t si = {0};
    if (waitid(P_PIDFD, (id_t)r->exit.fd, &si, WEXITED | WNOHANG | WNOWAIT) != 0 || si.si_pid == 0)
        return;
    r->status = si.si_code == CLD_EXITED ? si.si_status : 0;
    r->signal = si.si_code == CLD_EXITED ? 0 : si.si_status;
    r->exited = r->ending = k->look = true;
    r->aimed = false;
    watch_close(k->epoll, &r->exit);
    if (r->exec.fd >= 0)
        run_exec_ready(k, r);
}

static void finish(struct keeper *k, struct run *r)
{
    waitpid(r->pid, NULL, 0);
    if (!r->failed)
        keeper_tell(k, (struct keep_msg){
                           .kind = KEEP_EXITED, .run = r->id, .status = r->status, .signal = r->signal});
    HASH_DELETE(by_id, k->runs_by_id, r);
    HASH_DELETE(by_pid, k->runs_by_pid, r);
    free(r);
}

/* Each gets its SIGKILL once, and again at each retry; not at every look, for a thousand that end at once
 * cause a thousand looks. When everything ends, links need no walk: all of it comes to us and dies. */
static void aim_runs(struct keeper *k)
{
    struct run *r, *next;
    HASH_ITER(by_id, k->runs_by_id, r, next)
    {
        r->left = 0;
        r->ending |= k->ending;
        if (!r->ending || r->aimed)
            continue;
        r->aimed = true;
        if (r->exited || k->ending)
            kill(-r->pid, SIGKILL);
        if (!r->exited && k->ending)
            kill(r->pid, SIGKILL);
        else if (!r->exited)
            tree_kill(r->pid, true);
        if (r->cgroup)
            cgroup_kill(k->cgroup, r->id);
    }
}

static uint64_t marked(struct keeper *k, uint64_t mark)
{
    uint64_t owner = 0;
    struct run *r, *next;
    HASH_ITER(by_id, k->runs_by_id, r, next)
    if (mark && r->mark == mark && (!owner || r->ending))
        owner = r->id;
    return owner;
}

/* Whose is it? Asked until it is known and not again: later it may have changed its session or environment.
 * In the midst of exec, or while it dies, it has no environment: soon it has one or is gone. One that shows
 * none for longer was started without: then it is nobody's. */
static void orphan_ask(struct keeper *k, struct orphan *o)
{
    const struct run *r = find_pid(k, getsid(o->pid));
    uint64_t mark;
    o->asked = true;
    if (r)
        o->run = r->id;
    else if (tree_mark_of(o->pid, &mark))
        o->run = marked(k, mark);
    else
        o->asked = boot_ms() - o->seen_ms >= UNSURE_MS;
}

static struct orphan *orphan_get(struct keeper *k, pid_t pid)
{
    struct orphan *o;
    HASH_FIND(hh, k->orphans, &pid, sizeof pid, o);
    if (o)
        return o;
    o = mem_alloc(sizeof *o);
    o->pid = pid;
    o->seen_ms = boot_ms();
    HASH_ADD(hh, k->orphans, pid, sizeof o->pid, o);
    return o;
}

static void orphan_forget(struct keeper *k, pid_t pid)
{
    struct orphan *o;
    HASH_FIND(hh, k->orphans, &pid, sizeof pid, o);
    if (!o)
        return;
    HASH_DEL(k->orphans, o);
    free(o);
}

/* True when it was reaped. */
static bool orphan_look(struct keeper *k, pid_t pid)
{
    if (waitpid(pid, NULL, WNOHANG) == pid) {
        orphan_forget(k, pid);
        return true;
    }
    struct orphan *o = orphan_get(k, pid);
    if (!o->asked)
        orphan_ask(k, o);
    k->unsure += !o->asked;
    struct run *r = find(k, o->run);
    if (r)
        r->left++;
    if ((k->ending || (o->run && (!r || r->ending))) && !o->aimed) {
        o->aimed = true;
        tree_kill(pid, false);
    }
    return false;
}

/* Looks at all our children once. Returns how many were reaped: then their children are ours by now, and a
 * look that came before cannot tell that nothing is left. */
static size_t look(struct keeper *k)
{
    struct pids pids = {0};
    size_t reaped = 0;
    k->unsure = 0;
    tree_children(k->child.keeper, &pids);
    for (size_t i = 0; i < pids.n; i++) {
        pid_t pid = pids.p[i];
        if (pid == k->logs.pid) {
            if (waitpid(pid, NULL, WNOHANG) == pid)
                logs_died(&k->logs);
        } else if (!find_pid(k, pid)) {
            reaped += orphan_look(k, pid);
        }
    }
    free(pids.p);
    return reaped;
}

static size_t finish_runs(struct keeper *k, size_t *ret_ending)
{
    struct run *r, *next;
    size_t finished = 0;
    HASH_ITER(by_id, k->runs_by_id, r, next)
    {
        if (r->exited && r->left == 0 && k->unsure == 0 && (!r->cgroup || cgroup_kill(k->cgroup, r->id))) {
            finish(k, r);
            finished++;
        } else {
            *ret_ending += r->ending;
        }
    }
    return finished;
}

static void aim_again(struct keeper *k)
{
    struct run *r, *next;
    struct orphan *o, *after;
    HASH_ITER(by_id, k->runs_by_id, r, next)
    r->aimed = false;
    HASH_ITER(hh, k->orphans, o, after)
    o->aimed = false;
}

/* Never later than what is set: runs that end all the time must not put off a stubborn one. */
static void retry_soon(struct keeper *k)
{
    int64_t at = boot_ms() + RETRY_MS_MIN;
    k->retry_ms = RETRY_MS_MIN;
    if (!k->retry_at_ms || at < k->retry_at_ms)
        k->retry_at_ms = at;
}

void runs_look(struct keeper *k)
{
    if (k->retry_at_ms && boot_ms() >= k->retry_at_ms) {
        aim_again(k);
        k->retry_ms = k->retry_ms * 2 > RETRY_MS_MAX ? RETRY_MS_MAX : k->retry_ms * 2;
        k->retry_at_ms = boot_ms() + k->retry_ms;
    }
    size_t reaped = 0, again, ending = 0;
    k->look = false;
    do {
        aim_runs(k);
        again = look(k);
        reaped += again;
    } while (again);
    bool progress = finish_runs(k, &ending) || reaped;
    if (!ending && !(k->ending && k->orphans))
        k->retry_at_ms = 0;
    else if (progress || !k->retry_at_ms)
        retry_soon(k);
}
