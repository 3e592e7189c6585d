/* skep-keeper: see keeper.h. Started by skepd (real/keeper_link.c), never by hand. */
#include "keeper/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define SWEEP_MS 10000

struct options {
    const char *node, *logs, *log_only, *sweep_only, *log_bytes, *log_files, *cgroup, *nofile;
};

static int usage(int status)
{
    fprintf(status ? stderr : stdout,
            "usage: skep-keeper --node ID [--logs DIR] [--log-bytes N] [--log-files N] [--cgroup DIR]\n"
            "                   [--nofile N]\n"
            "       skep-keeper --log DIR [--log-bytes N] [--log-files N]\n"
            "       skep-keeper --sweep ID\n"
            "The parent of every process of a node. skepd starts it; by hand it is of no use.\n");
    return status;
}

/* -1: go on; otherwise the exit status. */
static int options_parse(int argc, char **argv, struct options *ret)
{
    static const struct option known[] = {
        {"node", required_argument, NULL, 'n'},
        {"logs", required_argument, NULL, 'd'},
        {"log", required_argument, NULL, 'l'},
        {"log-bytes", required_argument, NULL, 'b'},
        {"log-files", required_argument, NULL, 'f'},
        {"cgroup", required_argument, NULL, 'c'},
        {"sweep", required_argument, NULL, 's'},
        {"nofile", required_argument, NULL, 'o'},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'v'},
        {NULL, 0, NULL, 0},
    };
    *ret = (struct options){.log_bytes = "1048576", .log_files = "4"};
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        const char **to = c == 'n'   ? &ret->node
                          : c == 'd' ? &ret->logs
                          : c == 'l' ? &ret->log_only
                          : c == 's' ? &ret->sweep_only
                          : c == 'b' ? &ret->log_bytes
                          : c == 'f' ? &ret->log_files
                          : c == 'c' ? &ret->cgroup
                          : c == 'o' ? &ret->nofile
                                     : NULL;
        if (to)
            *to = optarg;
        else if (c == 'h')
            return usage(0);
        else if (c == 'v')
            return puts("skep-keeper " SKEP_VERSION) < 0;
        else
            return usage(64);
    }
    return optind == argc && (ret->node || ret->log_only || ret->sweep_only) ? -1 : usage(64);
}

static bool may_lock_all(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct cap[2] = {{0}};
    struct rlimit r;
    if (syscall(SYS_capget, &head, cap) == 0 && cap[0].effective & 1u << CAP_IPC_LOCK)
        return true;
    return getrlimit(RLIMIT_MEMLOCK, &r) == 0 && r.rlim_cur == RLIM_INFINITY;
}

/* Stays in memory and out of the OOM killer's way. Both may be refused; with a limit on locked memory only
 * what is there now is locked, for a lock on the future would make allocations fail. */
static void shield(struct child_world *c)
{
    mlockall(may_lock_all() ? MCL_CURRENT | MCL_FUTURE : MCL_CURRENT);
    int fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t n = pread(fd, c->oom, sizeof c->oom - 1, 0);
    c->shielded = n > 0 && pwrite(fd, "-1000", 5, 0) == 5;
    close(fd);
}

/* Everything that a terminal or an init system sends to a whole group is not for us: we end with skepd. */
static int signals(void)
{
    sigset_t all, chld;
    struct sigaction dfl = {.sa_handler = SIG_DFL};
    sigaction(SIGCHLD, &dfl, NULL); /* ignored, it would hide exits */
    sigfillset(&all);
    int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP};
    for (size_t i = 0; i < COUNT(faults); i++)
        sigdelset(&all, faults[i]);
    sigprocmask(SIG_SETMASK, &all, NULL);
    sigemptyset(&chld);
    sigaddset(&chld, SIGCHLD);
    return signalfd(-1, &chld, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* We need one for each child; children get what they would have had without us. */
static void limits(struct child_world *c, const char *nofile)
{
    if (getrlimit(RLIMIT_NOFILE, &c->nofile) != 0)
        return;
    unsigned long soft = nofile ? strtoul(nofile, NULL, 10) : 0;
    if (soft > 0 && soft < c->nofile.rlim_max)
        c->nofile.rlim_cur = soft;
    struct rlimit all = {c->nofile.rlim_max, c->nofile.rlim_max};
    setrlimit(RLIMIT_NOFILE, &all);
}

static bool started_by_skepd(void)
{
    return fcntl(KEEP_SOCKET_FD, F_SETFD, FD_CLOEXEC) == 0 &&
           fcntl(KEEP_SKEPD_FD, F_SETFD, FD_CLOEXEC) == 0 && fcntl(0, F_GETFD) >= 0 &&
           fcntl(1, F_GETFD) >= 0 && fcntl(2, F_GETFD) >= 0;
}

static void watches(struct keeper *k)
{
    k->socket = (struct watch){.kind = WATCH_SOCKET, .fd = KEEP_SOCKET_FD};
    k->skepd = (struct watch){.kind = WATCH_SKEPD, .fd = KEEP_SKEPD_FD};
    k->deadline = (struct watch){.kind = WATCH_DEADLINE,
                                 .fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK)};
    k->sigchld = (struct watch){.kind = WATCH_SIGCHLD, .fd = signals()};
    struct watch *all[] = {&k->skepd, &k->deadline, &k->socket, &k->sigchld};
    for (size_t i = 0; i < COUNT(all); i++)
        watch_add(k->epoll, all[i], EPOLLIN);
}

static int failed(const char *what)
{
    fprintf(stderr, "skep-keeper: %s\n", what);
    return 71;
}

/* Nothing of an earlier run of this node may live when the first process of this one starts. */
static int sweep(const char *node)
{
    pid_t pid = 0;
    if (tree_sweep(node, SWEEP_MS, &pid))
        return 0;
    fprintf(stderr,
            "skep-keeper: process %d of an earlier run of this node cannot be killed; it may hang in the "
            "kernel\n",
            (int)pid);
    return 71;
}

static int keeper_main(const struct options *o)
{
    struct keeper k = {.epoll = epoll_create1(EPOLL_CLOEXEC), .cgroup = -1};
    STAILQ_INIT(&k.notes);
    if (!started_by_skepd())
        return usage(64);
    if (!tree_usable())
        return failed("this kernel shows no /proc/PID/task/TID/children (CONFIG_PROC_CHILDREN)");
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0)
        return failed("cannot become a subreaper");
    k.child.keeper = getpid();
    k.child.null = open("/dev/null", O_RDWR | O_CLOEXEC);
    limits(&k.child, o->nofile);
    shield(&k.child);
    watches(&k);
    logs_init(&k.logs, k.epoll, &k.child, o->logs, o->log_bytes, o->log_files);
    if (sweep(o->node) != 0)
        return 71;
    if (o->cgroup)
        k.cgroup = cgroup_open(o->cgroup);
    keeper_tell(&k, (struct keep_msg){.kind = KEEP_READY});
    keeper_run(&k);
    logs_fini(&k.logs);
    return 0;
}

int main(int argc, char **argv)
{
    struct options o;
    int status = options_parse(argc, argv, &o);
    if (status >= 0)
        return status;
    if (o.sweep_only)
        return sweep(o.sweep_only);
    return o.log_only ? log_main(o.log_only, o.log_bytes, o.log_files) : keeper_main(&o);
}
