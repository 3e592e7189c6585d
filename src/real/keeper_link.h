/* keeper_link: skepd's end of its keeper, and of the channels of all children.
 *
 * Lives on the I/O thread, on its event base; nothing waits but keeper_link_new (for exec) and
 * keeper_link_shutdown. world/proc.h says what the operations mean. This is the only place where skepd
 * makes a process, and it makes only keepers: everything else is the keeper's child.
 *
 * The keeper is pinged. When it is silent for KEEPER_SILENCE_MS, or dead, the link kills every process group
 * it knows and the keeper itself, sweeps away by `skep-keeper --sweep` what carries SKEP_RUN=<node>/… in a
 * session of its own, and then calls died, once; no other callback comes after it. Runs that were not
 * answered get no answer: none of them lives.
 *
 * Callbacks run from the event base, never from inside a call of this header.
 */
#ifndef SKEP_REAL_KEEPER_LINK_H
#define SKEP_REAL_KEEPER_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/mem.h"
#include "world/proc.h"

#define KEEPER_SILENCE_MS     3000
#define KEEPER_LINE_BYTES_MAX (8u << 20)

struct event_base;
struct keeper_link;

struct keeper_link_options {
    const char *keeper_path; /* of skep-keeper */
    const char *node;        /* id as in SKEP_RUN=<node>/<boot> */
    const char *log_dir;     /* absolute; NULL = output is thrown away */
    int64_t log_bytes;       /* of one file; 0 = 1 MiB */
    int64_t log_files;       /* per name; 0 = 4 */
    int64_t nofile;          /* soft RLIMIT_NOFILE of children; 0 = ours */
    const char *cgroup;      /* a cgroup v2 directory delegated to us; NULL = none */
};

struct keeper_link_callbacks {
    void (*spawned)(void *ctx, uint64_t run, pid_t pid);
    /* An errno; EINVAL: no such user or a bad order; ECANCELED: killed before it was started. */
    void (*failed)(void *ctx, uint64_t run, int error);
    /* Nothing of it is left. signal is 0 when it exited with status. */
    void (*exited)(void *ctx, uint64_t run, int status, int signal);
    /* One line of its channel, without newline, with a 0 behind it. May hold any bytes. */
    void (*line)(void *ctx, uint64_t run, char *line TAKES, size_t n);
    /* Its line is longer than KEEPER_LINE_BYTES_MAX: it is being killed, exited follows, no line does. */
    void (*overlong)(void *ctx, uint64_t run);
    /* Some bytes went to its channel; so many still wait. */
    void (*drained)(void *ctx, uint64_t run, size_t queued_bytes);
    /* The keeper is gone, and so is everything it had (or, after 3 s of killing, it hangs in the kernel).
     * Only free the link now; a new one may follow. */
    void (*died)(void *ctx);
    /* Whether lines should rather wait in their channels for a while. May be NULL: never. */
    bool (*busy)(void *ctx);
};

/* Strings of the options are borrowed for the call; the callbacks are copied. */
int keeper_link_new(struct event_base *base, const struct keeper_link_options *o,
                    const struct keeper_link_callbacks *callbacks, void *ctx, struct keeper_link **ret,
                    struct err *e);
/* Shuts down first if that was not done. Accepts NULL. */
void keeper_link_free(struct keeper_link *k);

void keeper_link_spawn(struct keeper_link *k, struct spawn *s TAKES);
void keeper_link_terminate(struct keeper_link *k, uint64_t run);
void keeper_link_kill(struct keeper_link *k, uint64_t run);
void keeper_link_line(struct keeper_link *k, uint64_t run, char *line TAKES, size_t n);
/* Everything dies, and the keeper ends, if it is not fed again within deadline_ms from now. 0: no deadline.
 * Once it has passed, it is final. */
void keeper_link_feed(struct keeper_link *k, int64_t deadline_ms);
void keeper_link_reopen_logs(struct keeper_link *k);
/* Kills every child and ends the keeper, waiting for it for wait_ms at most. No callback follows. */
void keeper_link_shutdown(struct keeper_link *k, int wait_ms);

pid_t keeper_link_pid(const struct keeper_link *k);
/* After died: why, for the log. Borrowed. */
const char *keeper_link_why(const struct keeper_link *k);
/* After died: it was not fed in time, and has killed all for that, or would have. */
bool keeper_link_starved(const struct keeper_link *k);

#endif
