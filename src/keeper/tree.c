/* What /proc tells: who is below whom, and who carries the mark of a node.
 *
 * A pid read from /proc may be somebody else's a moment later, unless it is a child of ours that we have
 * not reaped. So a descendant is signalled through a pidfd, after a second look that it still is below us.
 */
#include "keeper/keeper.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#define RESCAN_MS 5

/* Appends a whole file of /proc. */
static bool slurp(const char *path, struct str *s)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n;
    do {
        str_reserve(s, 16384);
        n = read(fd, s->p + s->n, 16384);
        if (n > 0)
            s->n += (size_t)n;
    } while (n > 0);
    s->p[s->n] = 0;
    close(fd);
    return n == 0;
}

static bool pid_parse(const char *name, pid_t *ret)
{
    int64_t v;
    if (!text_i64(name, 1, INT32_MAX, &v))
        return false;
    *ret = (pid_t)v;
    return true;
}

static void pids_add(struct pids *l, pid_t pid)
{
    ARRAY_GROW(l->p, l->n, l->cap);
    l->p[l->n++] = pid;
}

static void thread_children(pid_t pid, const char *thread, struct pids *ret)
{
    char path[64];
    AUTOSTR struct str s = STR_INIT;
    snprintf(path, sizeof path, "/proc/%d/task/%.16s/children", (int)pid, thread);
    slurp(path, &s);
    for (char *at = s.p, *end; at; at = end) {
        long child = strtol(at, &end, 10);
        if (end == at)
            break;
        pids_add(ret, (pid_t)child);
    }
}

static void close_dir(DIR **d)
{
    if (*d)
        closedir(*d);
}

void tree_children(pid_t pid, struct pids *ret)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    CLEANUP(close_dir) DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));)
        if (e->d_name[0] != '.')
            thread_children(pid, e->d_name, ret);
}

bool tree_usable(void)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)getpid(), (int)getpid());
    return access(path, R_OK) == 0;
}

/* 0 when it is gone. The name before the state may hold anything, so count from the last bracket. */
static pid_t parent_of(pid_t pid)
{
    char path[64];
    AUTOSTR struct str s = STR_INIT;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int parent = 0;
    char *bracket = slurp(path, &s) ? strrchr(s.p, ')') : NULL;
    if (!bracket || sscanf(bracket, ") %*c %d", &parent) != 1)
        return 0;
    return parent;
}

static void kill_below(pid_t pid, pid_t parent)
{
    int fd = pidfd_open(pid, 0);
    if (fd < 0)
        return;
    pid_t now = parent_of(pid);
    if (now == parent || now == getpid())
        pidfd_send_signal(fd, SIGKILL, NULL, 0);
    close(fd);
}

void tree_kill(pid_t child, bool group)
{
    struct pids all = {0}, parents = {0};
    pids_add(&all, child);
    pids_add(&parents, 0);
    for (size_t i = 0; i < all.n; i++) {
        tree_children(all.p[i], &all);
        while (parents.n < all.n)
            pids_add(&parents, all.p[i]);
    }
    if (group)
        kill(-child, SIGKILL);
    kill(child, SIGKILL);
    for (size_t i = 1; i < all.n; i++)
        kill_below(all.p[i], parents.p[i]);
    free(all.p);
    free(parents.p);
}

/* FNV-1a of one string; the marks of an environment are added up, so their order does not matter. */
static uint64_t text_hash(const char *s)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (; *s; s++)
        h = (h ^ (unsigned char)*s) * 0x100000001b3u;
    return h;
}

static uint64_t mark_of_text(const char *s)
{
    return text_starts(s, "SKEP_") && !text_starts(s, "SKEP_FD=") ? text_hash(s) : 0;
}

uint64_t tree_mark(char *const *env)
{
    uint64_t mark = 0;
    for (; *env; env++)
        mark += mark_of_text(*env);
    return mark;
}

static bool environment_of(pid_t pid, struct str *s)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/environ", (int)pid);
    return slurp(path, s);
}

bool tree_mark_of(pid_t pid, uint64_t *ret)
{
    AUTOSTR struct str s = STR_INIT;
    uint64_t mark = 0;
    if (!environment_of(pid, &s) || s.n == 0)
        return false;
    for (size_t i = 0; i < s.n; i += strlen(s.p + i) + 1)
        mark += mark_of_text(s.p + i);
    *ret = mark;
    return true;
}

static bool carries(pid_t pid, const char *prefix)
{
    AUTOSTR struct str s = STR_INIT;
    if (environment_of(pid, &s))
        for (size_t i = 0; i < s.n; i += strlen(s.p + i) + 1)
            if (text_starts(s.p + i, prefix))
                return true;
    return false;
}

/* The pidfd first: what carries the mark afterwards is what the signal meets. */
static bool sweep_one(pid_t pid, const char *prefix)
{
    int fd = pidfd_open(pid, 0);
    if (fd < 0)
        return false;
    bool found = carries(pid, prefix);
    if (found)
        pidfd_send_signal(fd, SIGKILL, NULL, 0);
    close(fd);
    return found;
}

/* One of those that were found and killed, 0 = none. A zombie has no environment any more. */
static pid_t sweep_once(const char *prefix, pid_t self, pid_t skepd)
{
    pid_t found = 0, pid;
    CLEANUP(close_dir) DIR *d = opendir("/proc");
    for (struct dirent *e; d && (e = readdir(d));)
        if (pid_parse(e->d_name, &pid) && pid != self && pid != skepd && sweep_one(pid, prefix))
            found = pid;
    return found;
}

bool tree_sweep(const char *node, int wait_ms, pid_t *ret_pid)
{
    AUTOFREE char *prefix = mem_printf("SKEP_RUN=%s/", node);
    pid_t self = getpid(), skepd = getppid(), found;
    int64_t until = boot_ms() + wait_ms;
    while ((found = sweep_once(prefix, self, skepd)) != 0) {
        if (boot_ms() >= until) {
            *ret_pid = found;
            return false;
        }
        poll(NULL, 0, RESCAN_MS);
    }
    return true;
}
