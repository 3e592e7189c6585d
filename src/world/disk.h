/* Where a node's database lives, and what the machine keeps beside it. SQLite does the rest, through the
 * named VFS.
 */
#ifndef SKEP_WORLD_DISK_H
#define SKEP_WORLD_DISK_H

#include <stdbool.h>
#include <stdint.h>

/* What outlives the end of the process, though not that of the machine. */
struct disk_note {
    int64_t actor, hlc; /* of the row that is being applied; 0: none */
};

struct world_disk {
    const char *path; /* of the database file, absolute */
    const char *vfs;  /* registered SQLite VFS; NULL = the default one under the checkpoint shim */
    bool exclusive;   /* locking_mode=EXCLUSIVE: the simulator has no shared memory */
    void *self;
    /* Keeps room on the disk that nobody else can take (hold), or gives it to the database. 0 or an errno.
     * NULL: there is no such thing. */
    int (*reserve)(void *self, bool hold);
    struct disk_note *note; /* written in place; NULL: there is none */
};

#endif
