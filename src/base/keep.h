/* keep: what skepd and its keeper say to each other, and the keeper to its log process.
 *
 * One message is one datagram of a SOCK_SEQPACKET pair: a struct keep_msg in host order (both ends come
 * from one build), with the descriptors it needs riding along. Nothing here waits: every socket is
 * non-blocking, and a caller that gets -EAGAIN keeps its message.
 *
 * The order of a spawn travels in a memfd, because an environment may be larger than a datagram:
 *
 *     cwd 0 user 0 log 0 argc 0 argv[0] 0 … argv[argc-1] 0 env[0] 0 … env[n-1] 0
 *
 * A program of a hook reads its input from a second memfd instead of having a channel, and may have its
 * output read by skepd instead of by the log.
 *
 * argc is decimal; user and log may be empty. keep_unpack refuses everything else.
 *
 *   skepd -> keeper     SPAWN TERMINATE KILL FEED PING REOPEN SHUTDOWN
 *   keeper -> skepd     READY SPAWNED FAILED EXITED PONG
 *   keeper -> log       STREAM PING REOPEN
 *   log -> keeper       DONE PONG
 */
#ifndef SKEP_BASE_KEEP_H
#define SKEP_BASE_KEEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

#define KEEP_SOCKET_FD       3 /* in the keeper and in its log process: the socket to the one above */
#define KEEP_SKEPD_FD        4 /* in the keeper: a pidfd of skepd */
#define KEEP_CHANNEL_FD      3 /* in a child: its channel */
#define KEEP_FDS_MAX         3
#define KEEP_ORDER_BYTES_MAX (8u << 20)
#define KEEP_LOG_NAME_MAX    200

enum keep_kind {
    KEEP_SPAWN,     /* run; descriptors: the order's memfd, then the worker's end of the channel if any; with
                       value 1 its standard input, and then its standard output if any */
    KEEP_TERMINATE, /* run */
    KEEP_KILL,      /* run */
    KEEP_FEED,      /* value: the deadline in ms of CLOCK_BOOTTIME; 0 = none */
    KEEP_PING,
    KEEP_REOPEN,   /* close the log files, open them by name again */
    KEEP_SHUTDOWN, /* kill everything, then exit */
    KEEP_READY,    /* leftovers are gone: spawns begin */
    KEEP_SPAWNED,  /* run, value: pid */
    KEEP_FAILED,   /* run, value: errno */
    KEEP_EXITED,   /* run, status, signal: nothing of it is left */
    KEEP_PONG,
    KEEP_STREAM, /* run, text: name of the log; descriptor: the read end of its output */
    KEEP_DONE,   /* run: its output ended and is written */
};

struct keep_msg {
    uint32_t magic;
    enum keep_kind kind;
    uint64_t run;
    int64_t value;
    int32_t status, signal;
    char text[KEEP_LOG_NAME_MAX + 1];
};

/* Sends one message with fds_n descriptors (borrowed). 0, or -errno (-EAGAIN: later). */
int keep_send(int socket, struct keep_msg msg, const int *fds, size_t fds_n);
/* Receives one message; its descriptors (yours, close-on-exec) go to ret_fds, unused places are -1.
 * 1 = a message, 0 = the other end is gone, -EAGAIN = nothing now, -EBADMSG = not one of ours, -EMFILE =
 * a message whose descriptors found no room (ret_msg is valid), other -errno. */
int keep_recv(int socket, struct keep_msg *ret_msg, int ret_fds[KEEP_FDS_MAX]);

/* An order: what to run. The strings point into bytes. */
struct keep_order {
    const char *cwd, *user, *log; /* user, log: "" = none */
    char **argv, **env;           /* NULL-terminated */
    char *bytes;
};

void keep_pack(struct str *s, const char *cwd, const char *user, const char *log, char *const *argv,
               char *const *env);
/* bytes must have a 0 behind its n. False: malformed, bytes are freed. */
bool keep_unpack(char *bytes TAKES, size_t n, struct keep_order *ret);
void keep_order_fini(struct keep_order *o);

#endif
