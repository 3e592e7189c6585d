/* What a node may do to processes. A run is one process from its spawn to its end, named by a number
 * that its caller chose. Everything that happens comes back as events (world/event.h).
 */
#ifndef SKEP_WORLD_PROC_H
#define SKEP_WORLD_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "base/str.h"

struct spawn {
    uint64_t run; /* unique within a run of skepd, never 0 */
    char **argv;  /* NULL-terminated, owned; argv[0] as the kernel gets it after PATH look-up by the keeper */
    char **env;   /* NULL-terminated "NAME=value", owned: the whole environment, SKEP_* included */
    char *cwd;    /* owned, absolute */
    char *user;   /* owned; NULL = the user of skepd */
    char *log;    /* owned: name of the log stream (a file name without directory) */
    bool channel; /* give it the worker's end of a socket pair at descriptor 3 */
    /* A hook's program, without a channel: these bytes are its standard input. With `answers` what it writes
     * to its standard output comes back as lines, the last one also without a line end, before the exit. */
    char *input; /* owned; NULL: it reads nothing */
    size_t input_n;
    bool answers;
};

struct machine_load {
    int64_t cpu_permille; /* of all processors */
    int64_t runq;         /* threads that run or want to */
    int64_t memory_permille;
};

struct world_proc {
    void *self;
    /* EV_CHILD_SPAWNED or EV_CHILD_FAILED follows; then lines; then EV_CHILD_EXITED, once nothing of it is
     * left. */
    void (*spawn)(void *self, struct spawn *s TAKES);
    /* The absolute path that spawning argv0 would run, by PATH of env and by cwd. 0, or an errno. At once. */
    int (*find)(void *self, const char *argv0, char *const *env, const char *cwd, char *ret_path,
                size_t bytes);
    /* Appends output of the log stream `log`: the last `lines` lines, or with after > 0 what stands behind
     * that place (at most 256 KiB). *ret_next: the place behind what was given. < 0: there is no such stream.
     */
    int (*tail)(void *self, const char *log, int64_t lines, int64_t after, struct str *ret_text,
                int64_t *ret_next);
    /* SIGTERM to the process group, once. */
    void (*terminate)(void *self, uint64_t run);
    /* SIGKILL, again and again, until it has no descendant. */
    void (*kill)(void *self, uint64_t run);
    /* A line (without newline) to its channel; dropped when it is gone. Bounded by the caller. */
    void (*line)(void *self, uint64_t run, char *line TAKES, size_t n);
    /* What the machine does at the moment; CPU time since the last time it was asked. False: it cannot tell.
     * NULL: never. */
    bool (*load)(void *self, struct machine_load *ret);
    /* The run begins: what earlier runs of this node left on this machine ends now, before the first spawn.
     * NULL: nobody has to be told. */
    void (*begin)(void *self);
};

void spawn_free(struct spawn *s);

#endif
