#include "kept.h"

#include "base/ensure.h"
#include "sim/simvfs.h"
#include "store/inside.h"
#include "store/scan.h"
#include "wire/sums.h"

#define SCANS_MAX 4

/* What is called instead of what, and the way to what it replaces. */
int __real_store_open(struct store **ret, const struct store_options *o, struct err *e);
int __real_db_begin(struct db *db, struct err *e);
int __real_db_commit(struct db *db, struct err *e);
int __real_db_rollback(struct db *db, struct err *e);
bool __real_db_in_transaction(struct db *db);
struct scan *__real_scan_new(struct store *s);

static struct {
    struct store *store;
    bool inside;  /* the transaction around all is open */
    bool running; /* a transaction of the node is: a savepoint of that */
    bool lent;
    struct scan *scans[SCANS_MAX];
    bool scan_lent[SCANS_MAX];
} kept;

/* ---- the disk ---- */

static void disk_fill(void *ctx UNUSED, void *bytes, size_t n)
{
    memset(bytes, 7, n);
}

static int64_t disk_real_ms(void *ctx UNUSED)
{
    return 0;
}

static void disk_sleep(void *ctx UNUSED, int64_t ms UNUSED)
{
}

void kept_begin(const struct world_disk *disk, const struct id *cluster, const struct id *self)
{
    static const struct simdisk_hooks hooks = {
        .fill = disk_fill, .real_ms = disk_real_ms, .sleep_ms = disk_sleep};
    const struct store_options o = {.path = disk->path, .vfs = disk->vfs, .exclusive = disk->exclusive};
    struct err e = {0};
    simdisk_new(disk->vfs, &hooks); /* for as long as this process lives, as all here */
    ensure(store_create_in(&o, cluster, self, "a", true, NULL, &e) == 0, "%s", e.text);
    ensure(__real_store_open(&kept.store, &o, &e) == 0, "%s", e.text);
    kept_is_start();
}

void kept_is_start(void)
{
    struct err e = {0};
    struct db *db = store_db(kept.store);
    ensure(!kept.lent, "a node is open");
    ensure(!kept.inside || __real_db_commit(db, &e) == 0, "%s", e.text);
    ensure(__real_db_begin(db, &e) == 0, "%s", e.text);
    kept.inside = true;
}

void kept_reset(void)
{
    struct err e = {0};
    struct db *db = store_db(kept.store);
    ensure(!kept.lent && !kept.running, "a node is open");
    ensure(__real_db_rollback(db, &e) == 0, "%s", e.text);
    ensure(__real_db_begin(db, &e) == 0, "%s", e.text);
}

/* ---- the store ---- */

/* As one that was just opened. */
static int begin_anew(struct store *s, const struct world_clock *clock, struct err *e)
{
    AUTOVV struct vv vv = VV_INIT;
    int rc = store_vv(s, &vv, e);
    s->clock = clock;
    s->actor = s->written = s->writes = 0;
    s->snapshots = 0;
    s->on_loss = NULL;
    s->on_loss_ctx = NULL;
    s->gc_floor = store_number(s, Q_GC_FLOOR, 0, "");
    s->asides = store_number(s, Q_ASIDE_SOME, 0, "") != 0;
    s->hlc = vv_max(&vv) > s->gc_floor ? vv_max(&vv) : s->gc_floor;
    free(TAKE(s->frozen));
    return rc;
}

int __wrap_store_open(struct store **ret, const struct store_options *o, struct err *e);
int __wrap_store_open(struct store **ret, const struct store_options *o, struct err *e)
{
    ensure(!kept.lent, "one node at a time");
    kept.lent = true;
    *ret = kept.store;
    return begin_anew(kept.store, o->clock, e);
}

void __wrap_store_close(struct store *s);
void __wrap_store_close(struct store *s)
{
    if (!s)
        return;
    for (int i = 0; i < db_stmt_count(s->db); i++)
        stmt_reset(db_stmt_at(s->db, i));
    kept.running = kept.lent = false;
}

struct scan *__wrap_scan_new(struct store *s);
struct scan *__wrap_scan_new(struct store *s)
{
    size_t i = 0;
    while (i < SCANS_MAX && kept.scan_lent[i])
        i++;
    ensure(i < SCANS_MAX, "%d looks at once", SCANS_MAX);
    if (!kept.scans[i])
        kept.scans[i] = __real_scan_new(s);
    kept.scan_lent[i] = true;
    scan_begin(kept.scans[i], false);
    return kept.scans[i];
}

void __wrap_scan_free(struct scan *scan);
void __wrap_scan_free(struct scan *scan)
{
    for (size_t i = 0; i < SCANS_MAX; i++)
        if (scan && kept.scans[i] == scan)
            kept.scan_lent[i] = false;
}

/* ---- digests ---- */

/* Of nearly all buckets of a comparison, and of nearly all groups, it is the same one: that of nothing, four
 * thousand times for each root. */
void __real_digest16(const struct span *parts, size_t n, unsigned char ret_digest[DIGEST16_BYTES]);
void __wrap_digest16(const struct span *parts, size_t n, unsigned char ret_digest[DIGEST16_BYTES]);
void __wrap_digest16(const struct span *parts, size_t n, unsigned char ret_digest[DIGEST16_BYTES])
{
    static struct {
        size_t n;
        unsigned char bytes[SUMS_EACH * DIGEST16_BYTES], digest[DIGEST16_BYTES];
    } known[2];
    size_t which = parts[0].n == sizeof known->bytes;
    if (n != 1 || (!which && parts[0].n != 5 * sizeof(uint64_t))) {
        __real_digest16(parts, n, ret_digest);
        return;
    }
    if (known[which].n != parts[0].n || memcmp(known[which].bytes, parts[0].p, parts[0].n) != 0) {
        known[which].n = parts[0].n;
        memcpy(known[which].bytes, parts[0].p, parts[0].n);
        __real_digest16(parts, 1, known[which].digest);
    }
    memcpy(ret_digest, known[which].digest, DIGEST16_BYTES);
}

/* ---- transactions ---- */

int __wrap_db_begin(struct db *db, struct err *e);
int __wrap_db_begin(struct db *db, struct err *e)
{
    if (!kept.inside)
        return __real_db_begin(db, e);
    ensure(!kept.running, "a transaction inside a transaction");
    int rc = db_savepoint(db, e);
    kept.running = rc == 0;
    return rc;
}

int __wrap_db_commit(struct db *db, struct err *e);
int __wrap_db_commit(struct db *db, struct err *e)
{
    if (!kept.inside)
        return __real_db_commit(db, e);
    ensure(kept.running, "a commit of nothing");
    kept.running = false;
    return db_release(db, e);
}

int __wrap_db_rollback(struct db *db, struct err *e);
int __wrap_db_rollback(struct db *db, struct err *e)
{
    if (!kept.inside)
        return __real_db_rollback(db, e);
    if (!kept.running)
        return 0;
    kept.running = false;
    return db_rollback_to(db, e);
}

bool __wrap_db_in_transaction(struct db *db);
bool __wrap_db_in_transaction(struct db *db)
{
    return kept.inside ? kept.running : __real_db_in_transaction(db);
}

int __wrap_db_checkpoint(struct db *db, bool truncate, struct err *e);
int __wrap_db_checkpoint(struct db *db UNUSED, bool truncate UNUSED, struct err *e UNUSED)
{
    return 0;
}

int __wrap_store_read_begin(struct store *s, struct err *e);
int __wrap_store_read_begin(struct store *s UNUSED, struct err *e UNUSED)
{
    return 0;
}

void __wrap_store_read_end(struct store *s);
void __wrap_store_read_end(struct store *s UNUSED)
{
}
