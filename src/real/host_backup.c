/* host_backup: POST /v1/backup. A thread of its own copies the database to a file beside it, the I/O thread
 * sends that in pieces.
 *
 *  1. One at a time: beside the database there is at most one copy, and none unless SPARE_BYTES stay
 *     free. Its name is gone before its first byte is sent, so that a crash leaves nothing to clean up; what
 * a crash while copying leaves, the next run removes.
 *  2. The brain waits for nothing here: the copy is read under a snapshot, which only makes the write-ahead
 *     log longer while it lasts.
 *  3. The client sees a whole copy or a connection that breaks off.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/ensure.h"
#include "real/host_inside.h"
#include "real/machine.h"
#include "store/backup.h"

#define SPARE_BYTES (64 << 20) /* a copy leaves so much of the disk to others */
#define PIECE_BYTES (256 << 10)
#define LOW_BYTES   (64 << 10) /* http_server_options.stream_low_bytes */
#define BACKUP_TYPE "application/vnd.sqlite3"

struct backup {
    struct host *host;
    uint64_t id; /* of the request; io */
    char *path;  /* of the copy */
    pthread_t thread;
    _Atomic bool stop;
    int fd;       /* of the copy; of the thread until that has ended */
    bool sending; /* io: the thread has ended */
    bool full;    /* io: `drained` will come */
    int64_t sent;
};

static char *copy_path(const struct host *h)
{
    return mem_printf("%s.backup", h->db);
}

void host_backup_sweep(struct host *h)
{
    AUTOFREE char *path = copy_path(h), *journal = mem_printf("%s-journal", path);
    unlink(path);
    unlink(journal);
}

/* ---- the thread ---- */

static bool has_room(const struct backup *b, int64_t bytes)
{
    struct statvfs fs;
    return statvfs(b->host->setup->config.dir, &fs) != 0 ||
           (int64_t)fs.f_bavail * (int64_t)fs.f_frsize >= bytes + SPARE_BYTES;
}

static int no_room(const struct backup *b, struct err *e)
{
    return err_set(e, SKEP_EDISKFULL,
                   "%s has no room for a copy of the database and %d MiB besides; make room, or ask another "
                   "node",
                   b->host->setup->config.dir, SPARE_BYTES >> 20);
}

static bool go_on(void *self)
{
    struct backup *b = self;
    return !atomic_load(&b->stop) && has_room(b, 0);
}

/* The copy, by a descriptor only. */
static int make(struct backup *b, struct err *e)
{
    struct stat st;
    host_backup_sweep(b->host);
    if (stat(b->host->db, &st) == 0 && !has_room(b, st.st_size))
        return no_room(b, e);
    int rc = store_backup(b->host->db, b->path, SKEP_VERSION, &machine_clock, go_on, b, e);
    if (rc == SKEP_ETIMEOUT && !atomic_load(&b->stop))
        return no_room(b, e);
    if (rc < 0)
        return rc;
    b->fd = open(b->path, O_RDONLY | O_CLOEXEC);
    rc = b->fd < 0 ? err_set(e, SKEP_ESTORE, "%s: %s", b->path, strerror(errno)) : 0;
    unlink(b->path);
    return rc;
}

static void *backup_run(void *arg)
{
    struct backup *b = arg;
    struct err e = {0};
    struct command *c = mem_alloc(sizeof *c);
    pthread_setname_np(pthread_self(), "skepd-backup");
    c->kind = CMD_BACKUP;
    if (make(b, &e) < 0)
        c->answer = api_problem(&e, NULL);
    mailbox_post_always(b->host->to_io, c);
    return NULL;
}

/* ---- the I/O thread ---- */

static void backup_free(struct host *h)
{
    struct backup *b = TAKE(h->backup);
    if (b->fd >= 0)
        close(b->fd);
    free(b->path);
    free(b);
}

static void refuse(struct host *h, const struct request *r)
{
    struct err e;
    err_set(&e, SKEP_EOVERLOADED, "a backup of this node is being taken already; wait, or ask another node");
    http_server_answer(h->server, r->id, api_problem(&e, NULL));
}

void host_backup(struct host *h, struct request *r TAKES)
{
    if (h->backup || h->ended) {
        refuse(h, r);
        request_free(r);
        return;
    }
    struct backup *b = mem_alloc(sizeof *b);
    *b = (struct backup){.host = h, .id = r->id, .path = copy_path(h), .fd = -1};
    h->backup = b;
    log_info(&h->log, "%s takes a backup", r->who.name[0] ? r->who.name : "somebody");
    request_free(r);
    int rc = pthread_create(&b->thread, NULL, backup_run, b);
    ensure(rc == 0, "no thread for a backup: %d", rc);
}

/* Pieces of it, until the client has enough of them to read. */
static void send_pieces(struct host *h)
{
    struct backup *b = h->backup;
    AUTOFREE char *piece = mem_alloc(PIECE_BYTES);
    for (b->full = false; !b->full;) {
        ssize_t n = pread(b->fd, piece, PIECE_BYTES, b->sent);
        if (n < 0) {
            log_error(&h->log, "reading the copy for a backup: %s", strerror(errno));
            http_server_stream_abort(h->server, b->id);
        } else if (n == 0) {
            http_server_stream_end(h->server, b->id);
        }
        if (n <= 0) {
            backup_free(h);
            return;
        }
        b->sent += n;
        size_t waits = http_server_stream_data(h->server, b->id, piece, (size_t)n);
        if (h->backup != b) /* it broke under that */
            return;
        b->full = waits > LOW_BYTES;
    }
}

void host_backup_made(struct host *h, struct command *c)
{
    struct backup *b = h->backup;
    pthread_join(b->thread, NULL);
    b->sending = true;
    if (c->answer)
        http_server_answer(h->server, b->id, TAKE(c->answer));
    else if (!atomic_load(&b->stop) && http_server_stream_begin(h->server, b->id, BACKUP_TYPE))
        return send_pieces(h);
    backup_free(h);
}

void host_backup_gone(struct host *h, uint64_t id)
{
    struct backup *b = h->backup;
    if (!b || b->id != id)
        return;
    atomic_store(&b->stop, true);
    if (b->sending)
        backup_free(h);
}

void host_backup_drained(struct host *h, uint64_t id)
{
    struct backup *b = h->backup;
    if (b && b->id == id && b->full)
        send_pieces(h);
}

void host_backup_end(struct host *h)
{
    struct backup *b = h->backup;
    if (!b)
        return;
    atomic_store(&b->stop, true);
    if (!b->sending)
        return;
    uint64_t id = b->id;
    backup_free(h);
    http_server_stream_abort(h->server, id);
}

void host_backup_fini(struct host *h)
{
    struct backup *b = h->backup;
    if (!b)
        return;
    atomic_store(&b->stop, true);
    if (!b->sending)
        pthread_join(b->thread, NULL);
    backup_free(h);
}
