/* Where a node's database lives. SQLite does the rest, through the named VFS. */
#ifndef SKEP_WORLD_DISK_H
#define SKEP_WORLD_DISK_H

#include <stdbool.h>

struct world_disk {
    const char *path; /* of the database file, absolute */
    const char *vfs;  /* registered SQLite VFS; NULL = the default one under the checkpoint shim */
    bool exclusive;   /* locking_mode=EXCLUSIVE: the simulator has no shared memory */
};

#endif
