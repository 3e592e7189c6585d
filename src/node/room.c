#include "node/room.h"

#include <string.h>

#include "node/brain.h"

#define LOOK_MS 2000

void room_begin(struct node *n)
{
    const struct world_disk *d = &n->w.disk;
    if (!d->reserve)
        return;
    n->room.held = d->reserve(d->self, true) == 0;
    n->room.look_ms = n->now_ms + LOOK_MS;
    if (!n->room.held)
        log_warn(n->w.log,
                 "there is no room to hold back beside %s: on a full disk not even a stop can be "
                 "written",
                 d->path);
}

bool room_give(struct node *n)
{
    const struct world_disk *d = &n->w.disk;
    if (!d->reserve || n->room.full)
        return false;
    bool gave = n->room.held && d->reserve(d->self, false) == 0;
    n->room.held = false; /* also of room that would not be given: it is looked at again */
    n->room.full = true;
    n->room.look_ms = n->now_ms + LOOK_MS;
    n->frozen_dirty = true;
    log_error(n->w.log,
              "the disk of %s is full: until there is room again this node writes only ends, fences and "
              "what others have written",
              d->path);
    return gave;
}

static int say(struct node *n, void *arg UNUSED)
{
    node_touch(n, &n->room.said, sizeof n->room.said);
    n->room.said = n->room.full;
    return node_log(n, n->room.full ? "disk_full" : "disk_room", NULL, NULL, n->name, 0, NULL, NULL);
}

static void look(struct node *n)
{
    const struct world_disk *d = &n->w.disk;
    n->room.look_ms = n->now_ms + LOOK_MS;
    n->room.held = d->reserve(d->self, true) == 0;
    if (!n->room.held || !n->room.full)
        return;
    n->room.full = false;
    n->frozen_dirty = true;
    log_info(n->w.log, "there is room on the disk again");
}

void room_tick(struct node *n)
{
    if (!n->w.disk.reserve)
        return;
    if (!n->room.held && n->now_ms >= n->room.look_ms)
        look(n);
    if (n->room.said != n->room.full && n->now_ms >= n->room.say_ms && node_transact(n, say, NULL) < 0)
        n->room.say_ms = n->now_ms + LOOK_MS;
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* Taking away makes room in the end, a drain or a claim is what fences, and calls and messages write nothing.
 */
static bool goes_on(enum req_method method, const char *path)
{
    static const char *const ends[] = {"/stop", "/drain", "/claim", "/move", "/calls", "/messages"};
    for (size_t i = 0; i < COUNT(ends); i++)
        if (ends_with(path, ends[i]))
            return true;
    return method == HTTP_M_DELETE;
}

int room_refuses(const struct node *n, enum req_method method, const char *path, struct err *e)
{
    if (!n->room.full || method == HTTP_M_GET || method == HTTP_M_HEAD || goes_on(method, path))
        return 0;
    return err_set(
        e, SKEP_EDISKFULL,
        "the disk of this node is full; what is left is kept for stops. Make room in the folder of "
        "%s, or ask another node",
        n->w.disk.path);
}
