/* Everything that can happen to a node. Facts, in the past tense, stamped with their arrival. */
#ifndef SKEP_WORLD_EVENT_H
#define SKEP_WORLD_EVENT_H

#include "world/net.h"

enum event_kind {
    EV_REQUEST,       /* request: a route that the brain serves */
    EV_PEER_ANSWERED, /* call, status, bytes */
    EV_PEER_FAILED,   /* call, failure */
    EV_PEER_CLOSED,   /* node: its control connection broke */
    EV_PINGED,        /* node, bytes: a peer's ping, already answered from the frozen view */
    EV_PULLED,        /* node, bytes: a peer's pull request, which says what that peer has on disk */
    EV_CHILD_SPAWNED, /* run, pid */
    EV_CHILD_FAILED,  /* run, error (an errno): exec or what comes before it failed; nothing runs */
    EV_CHILD_EXITED,  /* run, exit_status or signal */
    EV_CHILD_LINE,    /* run, bytes: one line of its channel, without newline */
    EV_CHILD_DRAINED, /* run, bytes_n: still waiting for it after some were written */
    EV_KEEPER_DIED,   /* every child of it is dead */
    EV_HOOK_ANSWERED, /* call, status (0: no answer), bytes (the answer, or why there is none) */
    EV_TICK,          /* time passed */
    EV_STOP,          /* asked to end; again = now */
    EV_RELOADED,      /* configuration was read again: bytes unused */
};

struct event {
    enum event_kind kind;
    int64_t at_boot_ms;      /* arrival */
    struct request *request; /* owned */
    uint64_t call, run;
    struct id node;
    int status, pid, error, exit_status, signal;
    enum net_failure failure;
    char *bytes; /* owned, 0 byte behind */
    size_t bytes_n;
};

void event_fini(struct event *e);

#endif
