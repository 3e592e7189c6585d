/* The rules are in the header. How they meet SQLite's wal.c:
 *
 *   checkpoint   lock(1,1) … [lock(0,1) unless PASSIVE] … read slots … unlock(0,1), unlock(1,1)
 *   recovery     lock(0,1), lock(1,2) … unlock(1,2), unlock(0,1); without slot 1 inside a checkpoint
 *   commit       lock(0,1) … unlock(0,1)
 *
 * Slot 1 is never asked of the VFS below once held. From the start to the end of a checkpoint slot 0 is
 * held below as well, whatever SQLite does with it meanwhile; `write` is what SQLite believes about it.
 */
#include "db/shim.h"

#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/ensure.h"
#include "base/err.h"
#include "base/mem.h"

enum { SLOT_WRITE = 0, SLOT_CHECKPOINT = 1, SLOT_READ = 3 };

struct shim {
    sqlite3_vfs vfs;
    sqlite3_vfs *lower;
    char name[48];
    struct shim_file *file; /* the open database, or NULL */
    bool held;              /* slot 1 is locked below */
    bool checkpoint;        /* ours is running: slot 0 is locked below */
    bool write;             /* SQLite believes to hold slot 0 */
};

/* The database file. The other files are opened by the VFS below straight into SQLite's memory. */
struct shim_file {
    sqlite3_file base;
    struct shim *shim;
    sqlite3_file *lower; /* lies right behind this struct */
};

static sqlite3_file *lower(sqlite3_file *f)
{
    return ((struct shim_file *)f)->lower;
}

static int lock_below(struct shim *s, int first, int n, int flags)
{
    sqlite3_file *f = s->file->lower;
    return n > 0 ? f->pMethods->xShmLock(f, first, n, flags) : SQLITE_OK;
}

/* Slot 1, once and for good. */
static int hold(struct shim *s)
{
    if (s->held)
        return SQLITE_OK;
    int rc = lock_below(s, SLOT_CHECKPOINT, 1, SQLITE_SHM_LOCK | SQLITE_SHM_EXCLUSIVE);
    s->held = rc == SQLITE_OK;
    return rc;
}

static int checkpoint_begin(struct shim *s)
{
    int rc = hold(s);
    if (rc == SQLITE_OK && !s->write)
        rc = lock_below(s, SLOT_WRITE, 1, SQLITE_SHM_LOCK | SQLITE_SHM_EXCLUSIVE);
    s->checkpoint = rc == SQLITE_OK;
    return rc;
}

static int checkpoint_end(struct shim *s)
{
    if (!s->checkpoint)
        return SQLITE_OK;
    s->checkpoint = false;
    return s->write ? SQLITE_OK : lock_below(s, SLOT_WRITE, 1, SQLITE_SHM_UNLOCK | SQLITE_SHM_EXCLUSIVE);
}

static int lock_write(struct shim *s, int flags)
{
    int rc = s->checkpoint ? SQLITE_OK : lock_below(s, SLOT_WRITE, 1, flags);
    if (rc == SQLITE_OK && (flags & SQLITE_SHM_EXCLUSIVE))
        s->write = !(flags & SQLITE_SHM_UNLOCK);
    return rc;
}

/* A range that contains slot 1: a recovery. Its neighbours go below, one part after the other. */
static int lock_around(struct shim *s, int first, int n, int flags)
{
    int before = SLOT_CHECKPOINT - first, after = first + n - 1 - SLOT_CHECKPOINT;
    int rc = lock_below(s, first, before, flags);
    if (rc != SQLITE_OK)
        return rc;
    rc = lock_below(s, SLOT_CHECKPOINT + 1, after, flags);
    if (rc != SQLITE_OK && (flags & SQLITE_SHM_LOCK))
        lock_below(s, first, before,
                   SQLITE_SHM_UNLOCK | (flags & (SQLITE_SHM_SHARED | SQLITE_SHM_EXCLUSIVE)));
    return rc;
}

static int shm_lock(sqlite3_file *f, int first, int n, int flags)
{
    struct shim *s = ((struct shim_file *)f)->shim;
    if (first == SLOT_WRITE && n == 1)
        return lock_write(s, flags);
    if (first == SLOT_CHECKPOINT && n == 1 && (flags & SQLITE_SHM_EXCLUSIVE))
        return flags & SQLITE_SHM_UNLOCK ? checkpoint_end(s) : checkpoint_begin(s);
    if (s->held && first <= SLOT_CHECKPOINT && first + n > SLOT_CHECKPOINT)
        return lock_around(s, first, n, flags);
    bool passive = s->checkpoint && !s->write;
    if (passive && first >= SLOT_READ && (flags & SQLITE_SHM_LOCK) && (flags & SQLITE_SHM_EXCLUSIVE))
        return SQLITE_BUSY;
    return lock_below(s, first, n, flags);
}

/* The VFS below forgets a connection's locks only with the last connection of the process. */
static int shm_unmap(sqlite3_file *f, int remove)
{
    struct shim *s = ((struct shim_file *)f)->shim;
    if (s->held)
        lock_below(s, SLOT_CHECKPOINT, 1, SQLITE_SHM_UNLOCK | SQLITE_SHM_EXCLUSIVE);
    s->held = s->checkpoint = s->write = false;
    return lower(f)->pMethods->xShmUnmap(lower(f), remove);
}

/* Everything below here passes through. */

static int file_close(sqlite3_file *f)
{
    struct shim_file *file = (struct shim_file *)f;
    file->shim->file = NULL;
    return lower(f)->pMethods->xClose(lower(f));
}

static int file_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
    return lower(f)->pMethods->xRead(lower(f), p, n, at);
}

static int file_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
    return lower(f)->pMethods->xWrite(lower(f), p, n, at);
}

static int file_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    return lower(f)->pMethods->xTruncate(lower(f), size);
}

static int file_sync(sqlite3_file *f, int flags)
{
    return lower(f)->pMethods->xSync(lower(f), flags);
}

static int file_size(sqlite3_file *f, sqlite3_int64 *ret_size)
{
    return lower(f)->pMethods->xFileSize(lower(f), ret_size);
}

static int file_lock(sqlite3_file *f, int level)
{
    return lower(f)->pMethods->xLock(lower(f), level);
}

static int file_unlock(sqlite3_file *f, int level)
{
    return lower(f)->pMethods->xUnlock(lower(f), level);
}

static int file_check_reserved(sqlite3_file *f, int *ret_reserved)
{
    return lower(f)->pMethods->xCheckReservedLock(lower(f), ret_reserved);
}

static int file_control(sqlite3_file *f, int op, void *arg)
{
    return lower(f)->pMethods->xFileControl(lower(f), op, arg);
}

static int file_sector(sqlite3_file *f)
{
    return lower(f)->pMethods->xSectorSize(lower(f));
}

static int file_device(sqlite3_file *f)
{
    return lower(f)->pMethods->xDeviceCharacteristics(lower(f));
}

static int shm_map(sqlite3_file *f, int region, int size, int extend, void volatile **ret_p)
{
    return lower(f)->pMethods->xShmMap(lower(f), region, size, extend, ret_p);
}

static void shm_barrier(sqlite3_file *f)
{
    lower(f)->pMethods->xShmBarrier(lower(f));
}

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_check_reserved,
    .xFileControl = file_control,
    .xSectorSize = file_sector,
    .xDeviceCharacteristics = file_device,
    .xShmMap = shm_map,
    .xShmLock = shm_lock,
    .xShmBarrier = shm_barrier,
    .xShmUnmap = shm_unmap,
};

static struct shim *shim_of(sqlite3_vfs *v)
{
    return v->pAppData;
}

static int vfs_open(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags, int *ret_flags)
{
    struct shim *s = shim_of(v);
    if (!(flags & SQLITE_OPEN_MAIN_DB) || s->file)
        return s->lower->xOpen(s->lower, name, f, flags, ret_flags);
    struct shim_file *file = (struct shim_file *)f;
    *file = (struct shim_file){.shim = s, .lower = (sqlite3_file *)(file + 1)};
    int rc = s->lower->xOpen(s->lower, name, file->lower, flags, ret_flags);
    if (rc != SQLITE_OK)
        return rc;
    ensure(file->lower->pMethods->iVersion >= 2, "the VFS %s has no shared memory", s->lower->zName);
    file->base.pMethods = &methods;
    s->file = file;
    return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *v, const char *name, int sync)
{
    return shim_of(v)->lower->xDelete(shim_of(v)->lower, name, sync);
}

static int vfs_access(sqlite3_vfs *v, const char *name, int flags, int *ret)
{
    return shim_of(v)->lower->xAccess(shim_of(v)->lower, name, flags, ret);
}

static int vfs_full_pathname(sqlite3_vfs *v, const char *name, int n, char *ret)
{
    return shim_of(v)->lower->xFullPathname(shim_of(v)->lower, name, n, ret);
}

static int vfs_randomness(sqlite3_vfs *v, int n, char *ret)
{
    return shim_of(v)->lower->xRandomness(shim_of(v)->lower, n, ret);
}

static int vfs_sleep(sqlite3_vfs *v, int us)
{
    return shim_of(v)->lower->xSleep(shim_of(v)->lower, us);
}

static int vfs_current_time(sqlite3_vfs *v, double *ret)
{
    return shim_of(v)->lower->xCurrentTime(shim_of(v)->lower, ret);
}

static int vfs_last_error(sqlite3_vfs *v, int n, char *ret)
{
    return shim_of(v)->lower->xGetLastError(shim_of(v)->lower, n, ret);
}

static int vfs_current_time_i64(sqlite3_vfs *v, sqlite3_int64 *ret)
{
    return shim_of(v)->lower->xCurrentTimeInt64(shim_of(v)->lower, ret);
}

struct shim *shim_new(void)
{
    struct shim *s = mem_alloc(sizeof *s);
    s->lower = sqlite3_vfs_find("unix");
    ensure(s->lower && s->lower->iVersion >= 2, "SQLite was built without its VFS \"unix\"");
    snprintf(s->name, sizeof s->name, "skep-shim-%p", (void *)s);
    s->vfs = (sqlite3_vfs){
        .iVersion = 2,
        .szOsFile = s->lower->szOsFile + (int)sizeof(struct shim_file),
        .mxPathname = s->lower->mxPathname,
        .zName = s->name,
        .pAppData = s,
        .xOpen = vfs_open,
        .xDelete = vfs_delete,
        .xAccess = vfs_access,
        .xFullPathname = vfs_full_pathname,
        .xRandomness = vfs_randomness,
        .xSleep = vfs_sleep,
        .xCurrentTime = vfs_current_time,
        .xGetLastError = vfs_last_error,
        .xCurrentTimeInt64 = vfs_current_time_i64,
    };
    ensure(sqlite3_vfs_register(&s->vfs, 0) == SQLITE_OK, "SQLite refuses to start");
    return s;
}

void shim_free(struct shim *s)
{
    if (!s)
        return;
    ensure(!s->file, "shim freed under an open database");
    sqlite3_vfs_unregister(&s->vfs);
    free(s);
}

const char *shim_vfs(const struct shim *s)
{
    return s->name;
}

int shim_hold(struct shim *s)
{
    ensure(s->file, "shim_hold without an open database");
    switch (hold(s)) {
    case SQLITE_OK:
        return 0;
    case SQLITE_BUSY:
        return SKEP_EBUSY;
    default:
        return SKEP_EIO;
    }
}
