/* keeper_inside: what the files of skepd's end of its keeper share. */
#ifndef SKEP_REAL_KEEPER_INSIDE_H
#define SKEP_REAL_KEEPER_INSIDE_H

#include <event2/event.h>
#include <unistd.h>

#include "base/keep.h"
#include "base/list.h"
#include "real/keeper_link.h"

enum run_state { RUN_WAITING, RUN_SENT, RUN_RUNNING };

struct link_run {
    uint64_t id;
    enum run_state state;
    struct keeper_link *link;
    struct spawn *order; /* while waiting */
    pid_t pid;
    int fd; /* our end of its channel, -1 = none */
    struct event *readable, *writable;
    struct str in, out;
    size_t scanned, sent; /* bytes of in without a newline; bytes of out that went */
    bool overlong, cancelled, answers;
    bool held;                  /* not read from at the moment */
    TAILQ_ENTRY(link_run) next; /* while waiting */
    UT_hash_handle hh;
};

struct note;

struct keeper_link {
    struct event_base *base;
    struct keeper_link_callbacks on;
    void *ctx;
    pid_t pid;
    int socket, pidfd;
    struct event *readable, *writable, *ended, *tick, *funeral;
    bool ready, pinged, dead, shut;
    int64_t deadline_ms; /* as it was fed last, CLOCK_BOOTTIME; 0: none */
    bool starved;        /* that had passed when it died */
    int silent_ticks, funeral_ms;
    size_t open; /* spawns sent and not answered */
    struct link_run *runs;
    TAILQ_HEAD(, link_run) waiting;
    STAILQ_HEAD(, note) notes;
    char *keeper_path, *node;
    pid_t sweeper; /* after the keeper's end, 0 = none or done */
    char why[160];
};

/* keeper_channel.c: our end of a run's channel, from now on; not read from before it runs. */
void channel_watch(struct link_run *r, int fd);
void channel_close(struct link_run *r);
/* One read. True: there may be more. */
bool channel_read(struct link_run *r);
/* Reads on, if it was held and need not be any more. */
void channel_resume(struct link_run *r);

/* keeper_exec.c: starts the program with its two descriptors, of which it gets copies; 0, or an errno. */
int keeper_exec(const struct keeper_link_options *o, int socket, int skepd, pid_t *ret_pid);
/* Starts one that ends what a dead keeper of that node has left; 0: it cannot be started. */
pid_t keeper_exec_sweeper(const char *path, const char *node);

static inline void event_drop(struct event **e)
{
    if (*e)
        event_free(*e);
    *e = NULL;
}

static inline void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

#endif
