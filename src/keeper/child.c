/* Between fork and exec: what makes a worker of a copy of the keeper.
 *
 * The order matters. PR_SET_PDEATHSIG is forgotten when the user changes, so it comes after setresuid; the
 * keeper may have died before it, so its pid is checked after it. Whatever fails is told as an errno
 * through a pipe that exec closes.
 */
#include "keeper/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ERROR_FD     4 /* in the child, until exec */
#define PATH_DEFAULT "/usr/local/bin:/usr/bin:/bin"

static _Noreturn void fail(int error)
{
    ssize_t n = write(ERROR_FD, &error, sizeof error);
    _exit(n == (ssize_t)sizeof error ? 127 : 126);
}

static void must(int rc)
{
    if (rc < 0)
        fail(errno);
}

/* 0-2, the channel at 3, the way to tell errors at 4, and nothing else. All sources are above 4. */
static void descriptors(const struct child_world *w, struct ends ends, int output, int error)
{
    must(dup3(error, ERROR_FD, O_CLOEXEC));
    must(dup2(ends.input >= 0 ? ends.input : w->null, 0));
    must(dup2(ends.output >= 0 ? ends.output : output, 1));
    must(dup2(output, 2));
    if (ends.channel >= 0)
        must(dup2(ends.channel, KEEP_CHANNEL_FD));
    else
        close(KEEP_CHANNEL_FD);
    must(close_range(ERROR_FD + 1, ~0U, 0));
}

/* Ignored signals survive exec: the keeper was started by anybody. The kernel's call, for libc's refuses the
 * two that it keeps for itself. */
static void signals(void)
{
    static const uint64_t dfl[4]; /* handler, flags, restorer, mask: SIG_DFL and nothing else */
    for (int s = 1; s < NSIG; s++)
        syscall(SYS_rt_sigaction, s, dfl, NULL, sizeof(uint64_t)); /* refused for SIGKILL and SIGSTOP */
    sigset_t none;
    sigemptyset(&none);
    must(sigprocmask(SIG_SETMASK, &none, NULL));
}

void child_unshield(const struct child_world *w)
{
    int fd = w->shielded ? open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    if (write(fd, w->oom, strlen(w->oom)) < 0)
        errno = 0; /* a child that the OOM killer spares is no reason not to run it */
    close(fd);
}

static void become(const char *user)
{
    errno = 0;
    const struct passwd *pw = getpwnam(user);
    if (!pw)
        fail(errno && errno != ENOENT ? errno : EINVAL);
    if (geteuid() != 0 && pw->pw_uid == geteuid())
        return;
    must(fchown(1, pw->pw_uid, pw->pw_gid)); /* or it could not open /dev/stdout */
    must(fchown(2, pw->pw_uid, pw->pw_gid));
    must(initgroups(user, pw->pw_gid));
    must(setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid));
    must(setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid));
}

static const char *path_of(char *const *env)
{
    for (; *env; env++)
        if (text_starts(*env, "PATH="))
            return *env + strlen("PATH=");
    return PATH_DEFAULT;
}

/* Returns the errno of what was worst: a file that may not be run beats one that is not there. */
static int exec_in_path(const struct keep_order *o)
{
    int worst = ENOENT;
    const char *name = o->argv[0];
    for (const char *at = path_of(o->env), *end;; at = end + 1) {
        end = strchrnul(at, ':');
        char file[4096];
        int n = snprintf(file, sizeof file, "%.*s%s%s", (int)(end - at), at, end > at ? "/" : "", name);
        if (n < (int)sizeof file)
            execve(file, o->argv, o->env);
        if (n >= (int)sizeof file)
            worst = ENAMETOOLONG;
        else if (errno != ENOENT && errno != ENOTDIR && errno != EACCES)
            return errno;
        else if (errno == EACCES)
            worst = EACCES;
        if (!*end)
            return worst;
    }
}

_Noreturn void child_exec(const struct child_world *w, const struct keep_order *o, struct ends ends,
                          int output, int error, int cgroup_procs)
{
    if (cgroup_procs >= 0 && write(cgroup_procs, "0", 1) != 1)
        errno = 0; /* then it runs without one */
    descriptors(w, ends, output, error);
    child_unshield(w);
    must(setsid());
    must(setrlimit(RLIMIT_NOFILE, &w->nofile));
    if (o->user[0])
        become(o->user);
    must(prctl(PR_SET_PDEATHSIG, SIGKILL));
    if (getppid() != w->keeper)
        _exit(126);
    must(chdir(o->cwd));
    signals();
    if (!strchr(o->argv[0], '/'))
        fail(exec_in_path(o));
    execve(o->argv[0], o->argv, o->env);
    fail(errno);
}
