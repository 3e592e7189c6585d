/* keeper_exec: the keeper's command line, and its start. */
#include "real/keeper_inside.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>

static int number_text(int64_t n, int64_t otherwise, char text[24])
{
    return snprintf(text, 24, "%lld", (long long)(n ? n : otherwise));
}

/* posix_spawn: no copy of our memory, and safe with threads. The sources are above the targets. */
int keeper_exec(const struct keeper_link_options *o, int socket, int skepd, pid_t *ret_pid)
{
    char bytes[24], files[24], nofile[24], *argv[14];
    size_t n = 0;
    number_text(o->log_bytes, 1 << 20, bytes);
    number_text(o->log_files, 4, files);
    const char *args[] = {"skep-keeper", "--node", o->node, "--log-bytes", bytes, "--log-files", files};
    for (size_t i = 0; i < COUNT(args); i++)
        argv[n++] = (char *)args[i];
    if (o->log_dir) {
        argv[n++] = "--logs";
        argv[n++] = (char *)o->log_dir;
    }
    if (o->nofile) {
        number_text(o->nofile, 0, nofile);
        argv[n++] = "--nofile";
        argv[n++] = nofile;
    }
    if (o->cgroup) {
        argv[n++] = "--cgroup";
        argv[n++] = (char *)o->cgroup;
    }
    argv[n] = NULL;
    posix_spawn_file_actions_t files_do;
    posix_spawnattr_t attr;
    posix_spawn_file_actions_init(&files_do);
    posix_spawnattr_init(&attr);
    posix_spawn_file_actions_addopen(&files_do, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files_do, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&files_do, socket, KEEP_SOCKET_FD);
    posix_spawn_file_actions_adddup2(&files_do, skepd, KEEP_SKEPD_FD);
    posix_spawn_file_actions_addclosefrom_np(&files_do, KEEP_SKEPD_FD + 1);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID); /* a terminal's ^C is skepd's matter */
    int error = posix_spawn(ret_pid, o->keeper_path, &files_do, &attr, argv, environ);
    posix_spawn_file_actions_destroy(&files_do);
    posix_spawnattr_destroy(&attr);
    return error;
}

pid_t keeper_exec_sweeper(const char *path, const char *node)
{
    char *argv[] = {"skep-keeper", "--sweep", (char *)(uintptr_t)node, NULL};
    pid_t pid;
    posix_spawn_file_actions_t files_do;
    posix_spawn_file_actions_init(&files_do);
    posix_spawn_file_actions_addclosefrom_np(&files_do, 3);
    if (posix_spawn(&pid, path, &files_do, NULL, argv, environ) != 0)
        pid = 0;
    posix_spawn_file_actions_destroy(&files_do);
    return pid;
}
