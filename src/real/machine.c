/* machine: decides how clocks are read, how a program's name becomes a path, and who descends from whom. */
#include "real/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "base/ensure.h"
#include "base/mem.h"

#define ANCESTORS_MAX  4096
#define PATH_PARTS_MAX 256
#define PATH_DEFAULT   "/usr/local/bin:/usr/bin:/bin"

/* ---- clocks and chance ---- */

static int64_t clock_ms(clockid_t which)
{
    struct timespec t;
    clock_gettime(which, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t machine_real_ms(void)
{
    return clock_ms(CLOCK_REALTIME);
}

int64_t machine_boot_ms(void)
{
    return clock_ms(CLOCK_BOOTTIME);
}

int64_t machine_monotonic_ms(void)
{
    return clock_ms(CLOCK_MONOTONIC);
}

static int64_t real_ms(void *self UNUSED)
{
    return machine_real_ms();
}

static int64_t boot_ms(void *self UNUSED)
{
    return machine_boot_ms();
}

static void fill(void *self UNUSED, void *bytes, size_t n)
{
    for (char *p = bytes; n > 0;) {
        ssize_t got = getrandom(p, n, 0);
        ensure(got > 0 || errno == EINTR, "getrandom: %s", strerror(errno));
        p += got > 0 ? got : 0;
        n -= got > 0 ? (size_t)got : 0;
    }
}

const struct world_clock machine_clock = {NULL, real_ms, boot_ms};
const struct world_random machine_random = {NULL, fill};

/* ---- programs ---- */

/* 0 for a file that we could run. */
static int runnable(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return errno;
    if (S_ISDIR(st.st_mode))
        return EISDIR;
    if (!S_ISREG(st.st_mode))
        return EACCES;
    return access(path, X_OK) == 0 ? 0 : errno;
}

static bool has_dots(const char *path)
{
    for (const char *p = path; (p = strstr(p, "..")); p += 2)
        if ((p == path || p[-1] == '/') && (p[2] == 0 || p[2] == '/'))
            return true;
    return false;
}

/* One slash for several, nothing for "/./". */
static void squeeze(char *path)
{
    char *to = path;
    for (const char *p = path; *p;) {
        if (p[0] == '/' && p[1] == '/')
            p++;
        else if (p[0] == '/' && p[1] == '.' && p[2] == '/')
            p += 2;
        else
            *to++ = *p++;
    }
    *to = 0;
}

/* Only the kernel knows where ".." leads behind a symbolic link, hence realpath for such a path. */
static int canonical(const char *path, char *ret_path, size_t bytes)
{
    AUTOFREE char *real = has_dots(path) ? realpath(path, NULL) : mem_dup(path);
    if (!real)
        return errno;
    squeeze(real);
    if (strlen(real) >= bytes)
        return ENAMETOOLONG;
    strcpy(ret_path, real);
    return 0;
}

static char *path_under(const char *cwd, const char *dir, size_t dir_n, const char *name)
{
    bool absolute = dir_n ? dir[0] == '/' : name[0] == '/';
    return mem_printf("%s%s%.*s%s%s", absolute ? "" : cwd, absolute ? "" : "/", (int)dir_n, dir,
                      dir_n ? "/" : "", name);
}

static const char *env_path(char *const *env)
{
    for (; env && *env; env++)
        if (strncmp(*env, "PATH=", 5) == 0)
            return *env + 5;
    return PATH_DEFAULT;
}

/* As execvp does: what may not be run counts only if nothing else is found. An empty part is the folder. The
 * brain waits for this, and the list may be a user's: what stands behind PATH_PARTS_MAX is not looked at. */
static int find_in(const char *list, const char *name, const char *cwd, char **ret)
{
    int why = ENOENT, parts = 0;
    for (const char *p = list; parts < PATH_PARTS_MAX; parts++) {
        size_t n = strcspn(p, ":");
        AUTOFREE char *path = path_under(cwd, n ? p : ".", n ? n : 1, name);
        int error = runnable(path);
        if (error == 0) {
            *ret = TAKE(path);
            return 0;
        }
        if (error == EACCES)
            why = EACCES;
        if (p[n] == 0)
            return why;
        p += n + 1;
    }
    return why;
}

int machine_find(const char *argv0, char *const *env, const char *cwd, char *ret_path, size_t bytes)
{
    AUTOFREE char *path = NULL;
    if (argv0[0] == 0)
        return ENOENT;
    if (!strchr(argv0, '/')) {
        int error = find_in(env_path(env), argv0, cwd, &path);
        return error ? error : canonical(path, ret_path, bytes);
    }
    path = path_under(cwd, "", 0, argv0);
    int error = runnable(path);
    return error ? error : canonical(path, ret_path, bytes);
}

/* ---- descent ---- */

/* The parent of a process; 0 of init, -1 if it is gone. The name in the line may hold anything, ')' too. */
static int parent_of(int pid)
{
    char path[32], line[512];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t n = read(fd, line, sizeof line - 1);
    close(fd);
    line[n > 0 ? n : 0] = 0;
    const char *end = strrchr(line, ')');
    int parent;
    return end && sscanf(end + 1, " %*c %d", &parent) == 1 ? parent : -1;
}

/* A parent that dies while we climb hands its children to somebody further up: then we climb again. */
enum lineage machine_lineage(int pid, int ancestor)
{
    for (int tries = 0; tries < 5; tries++) {
        int at = pid;
        for (int i = 0; at > 1 && at != ancestor && i < ANCESTORS_MAX; i++)
            at = parent_of(at);
        if (at == ancestor && at > 0)
            return LINEAGE_BELOW;
        if (at == 0 || at == 1)
            return parent_of(pid) < 0 ? LINEAGE_GONE : LINEAGE_OTHER;
    }
    return LINEAGE_GONE;
}

/* ---- the cgroup ---- */

/* systemd marks what it delegates. */
static bool is_delegated(const char *dir)
{
    char mark[2] = "";
    bool yes =
        getxattr(dir, "trusted.delegate", mark, 1) == 1 || getxattr(dir, "user.delegate", mark, 1) == 1;
    return yes && mark[0] == '1';
}

char *machine_cgroup(void)
{
    char text[PATH_MAX] = "";
    int fd = open("/proc/self/cgroup", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = 0;
    const char *unified = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");
    if (!unified)
        return NULL;
    const char *path = strstr(unified, "0::") + 3;
    AUTOFREE char *dir = mem_printf("/sys/fs/cgroup%.*s", (int)strcspn(path, "\n"), path);
    return is_delegated(dir) ? TAKE(dir) : NULL;
}

/* ---- load ---- */

/* The first line of /proc/stat: user nice system idle iowait irq softirq steal. */
static bool cpu_read(int64_t *ret_busy, int64_t *ret_all)
{
    long long t[8] = {0};
    FILE *f = fopen("/proc/stat", "re");
    int n = f ? fscanf(f, "cpu %lld %lld %lld %lld %lld %lld %lld %lld", &t[0], &t[1], &t[2], &t[3], &t[4],
                       &t[5], &t[6], &t[7])
              : 0;
    if (f)
        fclose(f);
    *ret_all = 0;
    for (int i = 0; i < 8; i++)
        *ret_all += t[i];
    *ret_busy = *ret_all - t[3] - t[4];
    return n >= 4;
}

/* /proc/loadavg: "0.1 0.2 0.3 2/345 6789"; we are one of the two. */
static bool runq_read(int64_t *ret)
{
    long long running = 0;
    FILE *f = fopen("/proc/loadavg", "re");
    int n = f ? fscanf(f, "%*s %*s %*s %lld", &running) : 0;
    if (f)
        fclose(f);
    *ret = running > 0 ? running - 1 : 0;
    return n == 1;
}

static bool memory_read(int64_t *ret_permille)
{
    char line[128];
    long long total = 0, available = 0;
    FILE *f = fopen("/proc/meminfo", "re");
    while (f && (total == 0 || available == 0) && fgets(line, sizeof line, f))
        if (sscanf(line, "MemTotal: %lld", &total) != 1)
            sscanf(line, "MemAvailable: %lld", &available);
    if (f)
        fclose(f);
    if (total <= 0)
        return false;
    *ret_permille = (total - available) * 1000 / total;
    return true;
}

bool machine_load(struct machine_gauge *g, struct machine_load *ret)
{
    int64_t busy, all;
    struct machine_load l;
    if (!cpu_read(&busy, &all) || !runq_read(&l.runq) || !memory_read(&l.memory_permille))
        return false;
    l.cpu_permille = all > g->all ? (busy - g->busy) * 1000 / (all - g->all) : 0;
    *g = (struct machine_gauge){busy, all};
    *ret = l;
    return true;
}
