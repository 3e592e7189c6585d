/* skep restore: a node's database out of a backup.
 *
 *   1. check the backup
 *   2. a folder that holds no node gets the first node of a new cluster, as skep init makes it; one that skep
 *      init or skep join made, and that never ran, keeps its identity
 *   3. copy the backup beside the database, give it the identity, put it in its place
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "real/identity.h"
#include "skep/backup.h"
#include "skep/folder.h"
#include "skep/options.h"

#define COPY_BYTES (1 << 20)

static int file_failed(const char *path, struct err *e)
{
    int code = errno == ENOSPC || errno == EDQUOT ? SKEP_EDISKFULL : SKEP_EIO;
    return err_set(e, code, "%s: %s", path, strerror(errno));
}

static int copy_bytes(int from, int to, const char *path, struct err *e)
{
    char *piece AUTOFREE = mem_alloc(COPY_BYTES);
    for (;;) {
        ssize_t n = read(from, piece, COPY_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n == 0 ? 0 : file_failed("reading the backup", e);
        for (ssize_t done = 0, w; done < n; done += w)
            if ((w = write(to, piece + done, (size_t)(n - done))) < 0)
                return file_failed(path, e);
    }
}

static int copy_file(const char *from, const char *to, struct err *e)
{
    int in = open(from, O_RDONLY | O_CLOEXEC);
    if (in < 0)
        return file_failed(from, e);
    int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    int rc = out < 0 ? file_failed(to, e) : copy_bytes(in, out, to, e);
    if (out >= 0)
        close(out);
    close(in);
    return rc;
}

static int sync_path(const char *path, int flags, struct err *e)
{
    int fd = open(path, flags | O_CLOEXEC);
    int rc = fd >= 0 && fsync(fd) == 0 ? 0 : file_failed(path, e);
    if (fd >= 0)
        close(fd);
    return rc;
}

static void remove_copy(const char *copy)
{
    static const char *const ends[] = {"", "-wal", "-shm", "-journal"};
    for (size_t i = 0; i < COUNT(ends); i++) {
        char *path AUTOFREE = mem_printf("%s%s", copy, ends[i]);
        unlink(path);
    }
}

/* Step 3, while no skepd can start on the folder. */
static int fill(const char *dir, const char *file, struct err *e)
{
    char *db AUTOFREE = folder_path(dir, "skep.db"), *copy AUTOFREE = folder_path(dir, "skep.db.restore");
    remove_copy(copy);
    int rc = copy_file(file, copy, e);
    if (rc == 0)
        rc = store_restore(copy, db, e);
    if (rc == 0)
        rc = sync_path(copy, O_RDONLY, e);
    if (rc == 0 && rename(copy, db) != 0)
        rc = file_failed(db, e);
    if (rc == 0)
        rc = sync_path(dir, O_RDONLY | O_DIRECTORY, e);
    remove_copy(copy);
    return rc;
}

/* Step 2, of a folder without a node. */
static int found(const struct cli *c, const char *dir, struct err *e)
{
    const char *name = args_text(&c->args, "name"), *listen = args_text(&c->args, "listen");
    const char *advertise = args_text(&c->args, "advertise");
    listen = listen ? listen : LISTEN_DEFAULT;
    char *reached AUTOFREE = advertise ? mem_dup(advertise) : folder_advertise(listen);
    struct folder f = {
        .dir = dir, .name = name ? name : c->config.node, .listen = listen, .advertise = reached};
    int rc = folder_check(&f, e);
    return rc ? rc : folder_found(&f, e);
}

static int keep(const struct cli *c, struct err *e)
{
    static const char *const named[] = {"name", "listen", "advertise"};
    for (size_t i = 0; i < COUNT(named); i++)
        if (args_text(&c->args, named[i]))
            return err_set(e, SKEP_EUSAGE,
                           "--%s is for a new node; this folder holds one, made by skep init "
                           "or skep join",
                           named[i]);
    return 0;
}

static int run(struct cli *c, struct err *e)
{
    const char *file = args_word(&c->args, 0), *given = args_text(&c->args, "dir");
    char *dir AUTOFREE = folder_absolute(given ? given : c->config.dir);
    char *conf AUTOFREE = folder_path(dir, "skep.conf");
    struct backup_facts f CLEANUP(backup_facts_fini) = {0};
    struct identity_lock lock = IDENTITY_LOCK_INIT;
    int rc = store_backup_check(file, &f, e);
    if (rc == 0)
        rc = folder_complete(dir) ? keep(c, e) : found(c, dir, e);
    if (rc == 0)
        rc = identity_lock(dir, &lock, e);
    if (rc == 0)
        rc = fill(dir, file, e);
    identity_unlock(&lock);
    if (rc)
        return rc;
    char *sentence AUTOFREE = mem_printf(
        "%s has {rows} rows of cluster {cluster} as of {at}\n\nStart it: skepd --config %s", dir, conf);
    backup_tell(c, file, &f, sentence);
    return 0;
}

static const struct verb_option options[] = {
    {.name = "dir",
     .letter = 'd',
     .kind = OPT_TEXT,
     .value = "D",
     .help = "the node's folder; /var/lib/skep if not said",
     .complete = COMPLETE_FOLDER},
    {.name = "name", .kind = OPT_TEXT, .value = "N", .help = "name of a new node; the host's if not said"},
    {.name = "listen",
     .kind = OPT_TEXT,
     .value = "H:P",
     .help = "where a new node listens; " LISTEN_DEFAULT " if not said"},
    {.name = "advertise",
     .kind = OPT_TEXT,
     .value = "URL",
     .help = "where others reach a new node: https://host:port"},
    OPTION_END,
};

const struct verb verb_restore = {
    .name = "restore",
    .args = "FILE",
    .help = "Make a node out of a backup.",
    .more = "A folder that holds no node gets the first node of a new cluster, as skep init makes it, with "
            "the backup's rows; the nodes that the backup lists are taken for lost. A folder that skep init "
            "or skep join made keeps its identity, if it never ran. While a node of the cluster lives, "
            "nothing has to be restored: skep join.",
    .options = options,
    .args_min = 1,
    .args_max = 1,
    .complete = COMPLETE_FILE,
    .run = run,
};
