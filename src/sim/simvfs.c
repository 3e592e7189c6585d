#include "sim/simvfs.h"

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "base/ensure.h"
#include "base/mem.h"
#include "sim/simfile.h"

#define JULIAN_MS_OF_1970 210866760000000LL

/* A name, what it leads to now and what it would lead to after a power cut; either may be NULL. */
struct entry {
    char *name;
    struct simfile *now, *durable;
};

struct plan {
    int64_t left; /* 0 = none */
    enum simdisk_fault fault;
};

struct simdisk {
    sqlite3_vfs vfs;
    char *name;
    struct simdisk_hooks hooks;
    struct entry *entries;
    size_t entries_n, entries_cap;
    struct plan plans[SIMDISK_OPS];
    bool spared;
    int64_t counts[SIMDISK_OPS], limit;
    uint64_t life; /* handles of an older life are dead */
    int handles, temps;
    bool dead;
};

struct handle {
    sqlite3_file base;
    struct simdisk *disk;
    struct simfile *file;
    char *name; /* for the name's durability; owned */
    uint64_t life;
    bool delete_on_close;
};

/* ---- names ---- */

static struct entry *find(const struct simdisk *d, const char *name)
{
    for (size_t i = 0; i < d->entries_n; i++)
        if (strcmp(d->entries[i].name, name) == 0)
            return &d->entries[i];
    return NULL;
}

static struct entry *find_or_add(struct simdisk *d, const char *name)
{
    struct entry *e = find(d, name);
    if (e)
        return e;
    ARRAY_GROW(d->entries, d->entries_n, d->entries_cap);
    d->entries[d->entries_n] = (struct entry){.name = mem_dup(name)};
    return &d->entries[d->entries_n++];
}

static void point(struct simfile **place, struct simfile *f)
{
    struct simfile *old = *place;
    *place = f ? simfile_ref(f) : NULL;
    simfile_unref(old);
}

static void entry_fini(struct entry *e)
{
    point(&e->now, NULL);
    point(&e->durable, NULL);
    free(e->name);
}

static void drop_dead_names(struct simdisk *d)
{
    size_t kept = 0;
    for (size_t i = 0; i < d->entries_n; i++) {
        if (d->entries[i].now || d->entries[i].durable)
            d->entries[kept++] = d->entries[i];
        else
            entry_fini(&d->entries[i]);
    }
    d->entries_n = kept;
}

/* ---- faults ---- */

static bool is_dead(const struct handle *h)
{
    return h->disk->dead || h->life != h->disk->life;
}

/* Counts an operation; the fault planned for it, or -1. */
static int strike(struct simdisk *d, enum simdisk_op op)
{
    struct plan *p = &d->plans[op];
    if (d->spared)
        return -1;
    d->counts[op]++;
    return p->left > 0 && --p->left == 0 ? (int)p->fault : -1;
}

static bool no_room(const struct handle *h, size_t end)
{
    return h->disk->limit && end > h->file->n &&
           simdisk_bytes(h->disk) + (int64_t)(end - h->file->n) > h->disk->limit;
}

/* ---- SQLite's file ---- */

static int file_close(sqlite3_file *f)
{
    struct handle *h = (struct handle *)f;
    struct entry *e = h->delete_on_close && h->life == h->disk->life ? find(h->disk, h->name) : NULL;
    if (e) {
        point(&e->now, NULL);
        point(&e->durable, NULL);
        drop_dead_names(h->disk);
    }
    if (h->file->owner == h)
        h->file->owner = NULL;
    h->disk->handles--;
    simfile_unref(h->file);
    free(h->name);
    return SQLITE_OK;
}

static int file_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
    struct handle *h = (struct handle *)f;
    if (is_dead(h) || strike(h->disk, SIMDISK_READ) >= 0)
        return SQLITE_IOERR_READ;
    return simfile_read(h->file, p, (size_t)n, (size_t)at) == (size_t)n ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
}

static int file_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
    struct handle *h = (struct handle *)f;
    if (is_dead(h))
        return SQLITE_IOERR_WRITE;
    int fault = strike(h->disk, SIMDISK_WRITE);
    if (fault == SIMDISK_FULL || no_room(h, (size_t)(at + n)))
        return SQLITE_FULL;
    if (fault == SIMDISK_IOERR)
        return SQLITE_IOERR_WRITE;
    simfile_write(h->file, p, (size_t)n, (size_t)at);
    h->disk->dead = fault == SIMDISK_DEAD;
    return h->disk->dead ? SQLITE_IOERR_WRITE : SQLITE_OK;
}

static int file_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    struct handle *h = (struct handle *)f;
    if (is_dead(h))
        return SQLITE_IOERR_TRUNCATE;
    int fault = strike(h->disk, SIMDISK_WRITE);
    if (fault == SIMDISK_FULL || fault == SIMDISK_IOERR)
        return SQLITE_IOERR_TRUNCATE;
    simfile_truncate(h->file, (size_t)size);
    h->disk->dead = fault == SIMDISK_DEAD;
    return h->disk->dead ? SQLITE_IOERR_TRUNCATE : SQLITE_OK;
}

/* As a file system's journal does: what is durable of the names is a state that they all once had together.
 */
static void sync_names(struct simdisk *d)
{
    for (size_t i = 0; i < d->entries_n; i++)
        point(&d->entries[i].durable, d->entries[i].now);
    drop_dead_names(d);
}

/* The first sync of a new file also syncs the directory. */
static int file_sync(sqlite3_file *f, int flags UNUSED)
{
    struct handle *h = (struct handle *)f;
    if (is_dead(h))
        return SQLITE_IOERR_FSYNC;
    int fault = strike(h->disk, SIMDISK_SYNC);
    if (fault == SIMDISK_FULL || fault == SIMDISK_IOERR)
        return SQLITE_IOERR_FSYNC;
    simfile_sync(h->file);
    struct entry *e = find(h->disk, h->name);
    if (e && e->now == h->file && e->durable != h->file)
        sync_names(h->disk);
    h->disk->dead = fault == SIMDISK_DEAD;
    return h->disk->dead ? SQLITE_IOERR_FSYNC : SQLITE_OK;
}

static int file_size(sqlite3_file *f, sqlite3_int64 *ret_size)
{
    struct handle *h = (struct handle *)f;
    if (is_dead(h))
        return SQLITE_IOERR_FSTAT;
    *ret_size = (sqlite3_int64)h->file->n;
    return SQLITE_OK;
}

/* One connection a file: its first lock of any level keeps all others out. */
static int file_lock(sqlite3_file *f, int level UNUSED)
{
    struct handle *h = (struct handle *)f;
    if (is_dead(h))
        return SQLITE_IOERR_LOCK;
    if (h->file->owner && h->file->owner != h)
        return SQLITE_BUSY;
    h->file->owner = h;
    return SQLITE_OK;
}

static int file_unlock(sqlite3_file *f, int level)
{
    struct handle *h = (struct handle *)f;
    if (level == SQLITE_LOCK_NONE && h->file->owner == h)
        h->file->owner = NULL;
    return SQLITE_OK;
}

static int file_check_reserved(sqlite3_file *f, int *ret_reserved)
{
    struct handle *h = (struct handle *)f;
    *ret_reserved = h->file->owner && h->file->owner != h;
    return SQLITE_OK;
}

static int file_control(sqlite3_file *f UNUSED, int op UNUSED, void *arg UNUSED)
{
    return SQLITE_NOTFOUND;
}

/* As the VFS "unix" says. */
static int file_sector(sqlite3_file *f UNUSED)
{
    return 4096;
}

static int file_device(sqlite3_file *f UNUSED)
{
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

static const sqlite3_io_methods methods = {
    .iVersion = 1, /* no shared memory: the WAL index lies on the heap */
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
};

/* ---- SQLite's file system ---- */

static int vfs_open(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags, int *ret_flags)
{
    struct simdisk *d = v->pAppData;
    struct handle *h = (struct handle *)f;
    f->pMethods = NULL;
    if (d->dead)
        return SQLITE_IOERR;
    AUTOFREE char *temp = name ? NULL : mem_printf("temp-%d", d->temps++);
    const char *path = name ? name : temp;
    struct entry *e = find(d, path);
    if (!(flags & SQLITE_OPEN_CREATE) && !(e && e->now))
        return SQLITE_CANTOPEN;
    e = find_or_add(d, path);
    if (!e->now)
        e->now = simfile_new();
    *h = (struct handle){.base = {&methods}, .disk = d, .file = simfile_ref(e->now), .name = mem_dup(path)};
    h->life = d->life;
    h->delete_on_close = flags & SQLITE_OPEN_DELETEONCLOSE;
    d->handles++;
    if (ret_flags)
        *ret_flags = flags;
    return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *v, const char *name, int sync)
{
    struct simdisk *d = v->pAppData;
    struct entry *e = find(d, name);
    if (d->dead)
        return SQLITE_IOERR_DELETE;
    if (!e || !e->now)
        return SQLITE_IOERR_DELETE_NOENT;
    point(&e->now, NULL);
    if (sync)
        sync_names(d);
    drop_dead_names(d);
    return SQLITE_OK;
}

static int vfs_access(sqlite3_vfs *v, const char *name, int flags UNUSED, int *ret)
{
    struct simdisk *d = v->pAppData;
    const struct entry *e = find(d, name);
    if (d->dead)
        return SQLITE_IOERR_ACCESS;
    *ret = e && e->now;
    return SQLITE_OK;
}

static int vfs_full_pathname(sqlite3_vfs *v UNUSED, const char *name, int n, char *ret)
{
    return snprintf(ret, (size_t)n, "%s", name) < n ? SQLITE_OK : SQLITE_CANTOPEN;
}

static int vfs_randomness(sqlite3_vfs *v, int n, char *ret)
{
    struct simdisk *d = v->pAppData;
    d->hooks.fill(d->hooks.self, ret, (size_t)n);
    return n;
}

static int vfs_sleep(sqlite3_vfs *v, int us)
{
    struct simdisk *d = v->pAppData;
    d->hooks.sleep_ms(d->hooks.self, (us + 999) / 1000);
    return us;
}

static int vfs_time(sqlite3_vfs *v, sqlite3_int64 *ret)
{
    struct simdisk *d = v->pAppData;
    *ret = d->hooks.real_ms(d->hooks.self) + JULIAN_MS_OF_1970;
    return SQLITE_OK;
}

static int vfs_time_days(sqlite3_vfs *v, double *ret)
{
    sqlite3_int64 ms = 0;
    vfs_time(v, &ms);
    *ret = (double)ms / 86400000.0;
    return SQLITE_OK;
}

static int vfs_last_error(sqlite3_vfs *v UNUSED, int n UNUSED, char *ret UNUSED)
{
    return 0;
}

/* ---- the disk ---- */

struct simdisk *simdisk_new(const char *name, const struct simdisk_hooks *hooks)
{
    ensure(!sqlite3_vfs_find(name), "two disks named %s", name);
    struct simdisk *d = mem_alloc(sizeof *d);
    d->name = mem_dup(name);
    d->hooks = *hooks;
    d->vfs = (sqlite3_vfs){
        .iVersion = 2,
        .szOsFile = sizeof(struct handle),
        .mxPathname = 512,
        .zName = d->name,
        .pAppData = d,
        .xOpen = vfs_open,
        .xDelete = vfs_delete,
        .xAccess = vfs_access,
        .xFullPathname = vfs_full_pathname,
        .xRandomness = vfs_randomness,
        .xSleep = vfs_sleep,
        .xCurrentTime = vfs_time_days,
        .xGetLastError = vfs_last_error,
        .xCurrentTimeInt64 = vfs_time,
    };
    ensure(sqlite3_vfs_register(&d->vfs, 0) == SQLITE_OK, "SQLite refuses to start");
    return d;
}

void simdisk_free(struct simdisk *d)
{
    if (!d)
        return;
    ensure(d->handles == 0, "%d files of %s are open", d->handles, d->name);
    sqlite3_vfs_unregister(&d->vfs);
    for (size_t i = 0; i < d->entries_n; i++)
        entry_fini(&d->entries[i]);
    free(d->entries);
    free(d->name);
    free(d);
}

void simdisk_seed(uint32_t seed)
{
    ensure(seed != 0, "SQLite takes 0 for no seed");
    sqlite3_test_control(SQLITE_TESTCTRL_PRNG_SEED, (int)seed, (sqlite3 *)NULL);
}

/* Ends a life: locks go, plans stay. */
static void die(struct simdisk *d)
{
    for (size_t i = 0; i < d->entries_n; i++) {
        if (d->entries[i].now)
            d->entries[i].now->owner = NULL;
        if (d->entries[i].durable)
            d->entries[i].durable->owner = NULL;
    }
    d->life++;
    d->dead = false;
}

void simdisk_kill(struct simdisk *d)
{
    die(d);
}

static void settle(struct simdisk *d, enum simfile_fate fate, struct prng *dice)
{
    bool newer = fate == FATE_KEEP || (fate == FATE_MIX && prng_below(dice, 2));
    for (size_t i = 0; i < d->entries_n; i++) {
        struct entry *e = &d->entries[i];
        point(newer ? &e->durable : &e->now, newer ? e->now : e->durable);
        if (e->now)
            simfile_crash(e->now, fate, dice);
    }
    drop_dead_names(d);
}

void simdisk_crash(struct simdisk *d, struct prng *dice)
{
    static const enum simfile_fate fates[] = {FATE_KEEP, FATE_LOSE, FATE_MIX, FATE_MIX};
    enum simfile_fate fate = fates[prng_below(dice, COUNT(fates))];
    die(d);
    settle(d, fate, dice);
}

void simdisk_spare(struct simdisk *d, bool spare)
{
    d->spared = spare;
}

void simdisk_plan(struct simdisk *d, enum simdisk_op op, int64_t nth, enum simdisk_fault fault)
{
    d->plans[op] = (struct plan){nth, fault};
}

void simdisk_limit(struct simdisk *d, int64_t bytes)
{
    d->limit = bytes;
}

bool simdisk_flip(struct simdisk *d, const char *path, struct prng *dice)
{
    struct entry *e = find(d, path);
    if (!e || !e->now || e->now->n == 0)
        return false;
    uint64_t bit = prng_below(dice, e->now->n * 8);
    simfile_flip(e->now, bit / 8, bit % 8);
    return true;
}

int64_t simdisk_count(const struct simdisk *d, enum simdisk_op op)
{
    return d->counts[op];
}

bool simdisk_is_dead(const struct simdisk *d)
{
    return d->dead;
}

int64_t simdisk_bytes(const struct simdisk *d)
{
    int64_t sum = 0;
    for (size_t i = 0; i < d->entries_n; i++)
        sum += d->entries[i].now ? (int64_t)d->entries[i].now->n : 0;
    return sum;
}

const void *simdisk_file(const struct simdisk *d, const char *path, size_t *ret_bytes)
{
    const struct entry *e = find(d, path);
    if (!e || !e->now)
        return NULL;
    *ret_bytes = e->now->n;
    return e->now->n ? (const void *)e->now->bytes : "";
}

void simdisk_put(struct simdisk *d, const char *path, const void *bytes, size_t n)
{
    struct entry *e = find_or_add(d, path);
    point(&e->now, NULL);
    if (bytes) {
        e->now = simfile_new();
        simfile_write(e->now, bytes, n, 0);
        simfile_sync(e->now);
    }
    point(&e->durable, e->now);
    drop_dead_names(d);
}

/* ---- backups ---- */

struct copy {
    char *name;  /* owned */
    char *bytes; /* owned */
    size_t n;
};

struct simdisk_image {
    struct copy *copies;
    size_t n, cap;
};

struct simdisk_image *simdisk_image_new(const struct simdisk *d)
{
    struct simdisk_image *i = mem_alloc(sizeof *i);
    for (size_t k = 0; k < d->entries_n; k++) {
        const struct entry *e = &d->entries[k];
        if (!e->now)
            continue;
        ARRAY_GROW(i->copies, i->n, i->cap);
        i->copies[i->n++] = (struct copy){
            mem_dup(e->name), mem_copy(e->now->n ? (const char *)e->now->bytes : "", e->now->n), e->now->n};
    }
    return i;
}

void simdisk_image_free(struct simdisk_image *i)
{
    if (!i)
        return;
    for (size_t k = 0; k < i->n; k++) {
        free(i->copies[k].name);
        free(i->copies[k].bytes);
    }
    free(i->copies);
    free(i);
}

void simdisk_load(struct simdisk *d, const struct simdisk_image *i)
{
    ensure(d->handles == 0, "%d files of %s are open", d->handles, d->name);
    for (size_t k = 0; k < d->entries_n; k++)
        entry_fini(&d->entries[k]);
    d->entries_n = 0;
    for (size_t k = 0; i && k < i->n; k++)
        simdisk_put(d, i->copies[k].name, i->copies[k].bytes, i->copies[k].n);
}
