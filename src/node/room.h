/* room: a full disk. Some room is held back; once the disk is full it goes to what must still be written:
 * ends, fences, stops and what others pull. Everything else is refused until it can be held again.
 */
#ifndef SKEP_NODE_ROOM_H
#define SKEP_NODE_ROOM_H

#include "base/err.h"
#include "world/request.h"

struct node;

struct room {
    bool held, full; /* full: what was held has been given away */
    bool said;       /* whether the log says full */
    int64_t look_ms; /* boot: when to try again to hold it */
    int64_t say_ms;  /* boot: not to be written before */
};

/* When a run begins. */
void room_begin(struct node *n);
/* A transaction met the end of the disk. True: there is room now that was not there, so it may be tried
 * again. */
bool room_give(struct node *n);
/* Once a turn: holds room again when there is some. */
void room_tick(struct node *n);
/* SKEP_EDISKFULL for a request that would fill what is left; 0 for reads, and for what ends something. */
int room_refuses(const struct node *n, enum req_method method, const char *path, struct err *e);

#endif
