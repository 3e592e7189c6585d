/* Who else is in the way, from /proc/locks.
 *
 * The kernel lists POSIX locks as
 *   7: POSIX  ADVISORY  WRITE 1234 fe:00:131202 120 120
 * (pid, device and inode in hexadecimal and decimal, first and last byte). SQLite's bytes: in -shm 120
 * is the write lock, 121 the checkpointer, 122 a recovery, 123 to 127 the readers' marks; in the database
 * itself 0x40000000 to 0x40000001 are PENDING and RESERVED, the 510 behind them SHARED: a WRITE on one of
 * those belongs to a program that has the database in another journal mode, or is about to.
 * Device numbers of stacked file systems (overlay, btrfs) differ between stat() and this list, so a match
 * of the inode alone counts when no line matches both.
 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/mem.h"
#include "db/db.h"

enum {
    SHM_WRITE = 120,
    SHM_CHECKPOINT,
    SHM_RECOVER,
    SHM_READ,
    SHM_READ_LAST = 127,
    DB_PENDING = 0x40000000,
    DB_SHARED_LAST = DB_PENDING + 511,
};

/* One line of /proc/locks. */
struct held {
    int pid;
    bool write;
    unsigned major, minor;
    unsigned long long inode, first, last;
};

static bool parse_line(const char *line, struct held *ret)
{
    char kind[16], mode[16], last[24];
    struct held h = {0};
    if (sscanf(line, "%*s POSIX %15s %15s %d %x:%x:%llu %llu %23s", kind, mode, &h.pid, &h.major, &h.minor,
               &h.inode, &h.first, last) != 8)
        return false;
    h.write = strcmp(mode, "WRITE") == 0;
    if (strcmp(last, "EOF") == 0)
        h.last = ~0ULL;
    else if (sscanf(last, "%llu", &h.last) != 1)
        return false;
    *ret = h;
    return true;
}

static bool touches(const struct held *h, unsigned long long first, unsigned long long last)
{
    return h->first <= last && h->last >= first;
}

/* What a lock keeps us from, the worst first; NULL: nothing. */
static const char *offence_shm(const struct held *h, int *ret_rank)
{
    static const char *const words[] = {"holds the write lock", "runs a recovery", "runs a checkpoint",
                                        "reads, and so keeps the WAL from shrinking"};
    int rank = h->write && touches(h, SHM_WRITE, SHM_WRITE)             ? 0
               : h->write && touches(h, SHM_RECOVER, SHM_RECOVER)       ? 1
               : h->write && touches(h, SHM_CHECKPOINT, SHM_CHECKPOINT) ? 2
               : touches(h, SHM_READ, SHM_READ_LAST)                    ? 3
                                                                        : -1;
    if (rank < 0)
        return NULL;
    *ret_rank = 1 + rank;
    return words[rank];
}

static const char *offence_db(const struct held *h, int *ret_rank)
{
    *ret_rank = 0;
    return h->write && touches(h, DB_PENDING, DB_SHARED_LAST) ? "holds a lock on the whole database" : NULL;
}

struct search {
    struct stat db, shm;
    bool has_db, has_shm;
    int self, rank, pid; /* rank: of the best so far, lower is worse for us */
    const char *offence;
};

static bool is_file(const struct held *h, const struct stat *st, bool *ret_device)
{
    *ret_device = h->major == major(st->st_dev) && h->minor == minor(st->st_dev);
    return h->inode == st->st_ino;
}

static void judge(struct search *s, const struct held *h)
{
    enum { OTHER_DEVICE = 100, NONE = 1000 };
    int rank = NONE;
    bool same = false;
    const char *offence = NULL;
    if (h->pid <= 0 || h->pid == s->self)
        return;
    if (s->has_shm && is_file(h, &s->shm, &same))
        offence = offence_shm(h, &rank);
    else if (s->has_db && is_file(h, &s->db, &same))
        offence = offence_db(h, &rank);
    rank += same ? 0 : OTHER_DEVICE;
    if (!offence || (s->offence && s->rank <= rank))
        return;
    s->offence = offence;
    s->rank = rank;
    s->pid = h->pid;
}

/* Our own pid as /proc sees it. */
static int self_pid(void)
{
    char text[24] = "";
    int pid = 0;
    return readlink("/proc/self", text, sizeof text - 1) > 0 && sscanf(text, "%d", &pid) == 1 ? pid : 0;
}

static void name_of(int pid, char *ret, size_t n)
{
    char path[48];
    snprintf(path, sizeof path, "/proc/%d/comm", pid);
    snprintf(ret, n, "?");
    FILE *f = fopen(path, "re");
    if (!f)
        return;
    if (fgets(ret, (int)n, f))
        ret[strcspn(ret, "\n")] = 0;
    fclose(f);
}

bool db_culprit(const char *path, int *ret_pid, char *ret_what, size_t what_bytes)
{
    AUTOFREE char *shm = mem_printf("%s-shm", path);
    struct search s = {.self = self_pid()};
    s.has_db = stat(path, &s.db) == 0;
    s.has_shm = stat(shm, &s.shm) == 0;
    FILE *f = fopen("/proc/locks", "re");
    if (!f)
        return false;
    char line[256], name[32];
    struct held h;
    while (fgets(line, sizeof line, f))
        if (parse_line(line, &h))
            judge(&s, &h);
    fclose(f);
    if (!s.offence)
        return false;
    name_of(s.pid, name, sizeof name);
    *ret_pid = s.pid;
    snprintf(ret_what, what_bytes, "pid %d (%s) %s", s.pid, name, s.offence);
    return true;
}
