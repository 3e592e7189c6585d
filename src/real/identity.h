/* identity: one skepd per folder, and whether the folder is safe to keep keys in. */
#ifndef SKEP_REAL_IDENTITY_H
#define SKEP_REAL_IDENTITY_H

#include "base/err.h"
#include "base/str.h"

struct identity_lock {
    int fd; /* of <dir>/skepd.lock; -1 when not held. Close-on-exec. */
};

#define IDENTITY_LOCK_INIT ((struct identity_lock){-1})

/* Takes the folder's lock and writes our pid into the file. SKEP_ELOCKED names the pid that holds it;
 * SKEP_ENOTFOUND, SKEP_EFORBIDDEN, SKEP_EIO for a folder that cannot be used. */
int identity_lock(const char *dir, struct identity_lock *ret, struct err *e);
/* Gives it back. The file stays: removing it would let two holders lock two files of one name. */
void identity_unlock(struct identity_lock *lock);

/* Judges the folder that holds the node's keys. 0, and one sentence per line in ret_warnings when somebody
 * else could change what is in it; SKEP_ENOTFOUND or SKEP_EARG when it is no folder at all. */
int identity_check(const char *dir, struct str *ret_warnings, struct err *e);

#endif
