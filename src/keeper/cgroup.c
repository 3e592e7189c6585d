/* One cgroup a run, below a directory of cgroup v2 that was delegated to us: what nothing can leave that
 * has no rights there. Optional: where the directory is missing or refuses, runs go without.
 */
#include "keeper/keeper.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LEFTOVER_TRIES 400
#define LEFTOVER_MS    5

static void kill_at(int dir, const char *name)
{
    char path[300];
    snprintf(path, sizeof path, "%s/cgroup.kill", name);
    int fd = openat(dir, path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    if (write(fd, "1", 1) != 1)
        errno = 0; /* the removal tells whether it worked */
    close(fd);
}

static bool removed(int dir, const char *name)
{
    return unlinkat(dir, name, AT_REMOVEDIR) == 0 || errno == ENOENT;
}

int cgroup_make(int dir, uint64_t run)
{
    char path[64];
    snprintf(path, sizeof path, "run-%llu", (unsigned long long)run);
    if (mkdirat(dir, path, 0755) != 0 && errno != EEXIST)
        return -1;
    snprintf(path, sizeof path, "run-%llu/cgroup.procs", (unsigned long long)run);
    return openat(dir, path, O_WRONLY | O_CLOEXEC);
}

/* A worker may have made cgroups below its own: those stay, empty, until the next start. */
static bool empty(int dir, const char *name)
{
    char path[300], text[256];
    snprintf(path, sizeof path, "%s/cgroup.events", name);
    int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = 0;
    return strstr(text, "populated 0") != NULL;
}

bool cgroup_kill(int dir, uint64_t run)
{
    char name[64];
    snprintf(name, sizeof name, "run-%llu", (unsigned long long)run);
    kill_at(dir, name);
    return removed(dir, name) || empty(dir, name);
}

static void leftover(int dir, const char *name)
{
    for (int i = 0; i < LEFTOVER_TRIES; i++) {
        kill_at(dir, name);
        if (removed(dir, name))
            return;
        poll(NULL, 0, LEFTOVER_MS);
    }
}

int cgroup_open(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || faccessat(fd, "cgroup.procs", W_OK, 0) != 0) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));)
        if (text_starts(e->d_name, "run-"))
            leftover(fd, e->d_name);
    if (d)
        closedir(d);
    return fd;
}
