/* skep backup: takes a backup of the cluster from one node, or checks one that was taken.
 *
 * The file gets its name once it is there whole, on disk and checked; what failed leaves nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "skep/backup.h"
#include "skep/options.h"

struct taking {
    int fd;
    int error; /* errno of a write */
};

static bool on_bytes(void *self, const char *bytes, size_t n)
{
    struct taking *t = self;
    while (n > 0) {
        ssize_t w = write(t->fd, bytes, n);
        if (w < 0 && errno == EINTR)
            continue;
        if (w < 0) {
            t->error = errno;
            return false;
        }
        bytes += w;
        n -= (size_t)w;
    }
    return true;
}

static int write_failed(const char *path, int error, struct err *e)
{
    int code = error == ENOSPC || error == EDQUOT    ? SKEP_EDISKFULL
               : error == EACCES || error == EPERM   ? SKEP_EFORBIDDEN
               : error == EEXIST                     ? SKEP_ETAKEN
               : error == ENOENT || error == ENOTDIR ? SKEP_ENOTFOUND
                                                     : SKEP_EIO;
    return err_set(e, code, "%s: %s", path, strerror(error));
}

static int receive(struct cli *c, int fd, const char *path, struct err *e)
{
    struct taking t = {.fd = fd};
    struct http *h;
    int rc = cli_http(c, &h, e);
    if (rc == 0)
        rc = http_stream(h, "POST", "/v1/backup", on_bytes, &t, e);
    return rc == 0 && t.error ? write_failed(path, t.error, e) : rc;
}

/* ---- what it is ---- */

void backup_tell(const struct cli *c, const char *path, const struct backup_facts *f, const char *sentence)
{
    struct str s AUTOSTR = STR_INIT;
    struct stat st = {0};
    struct jw j = jw_init(&s);
    stat(path, &st);
    jw_object(&j);
    jw_kv_string(&j, "file", path);
    jw_kv_i64(&j, "bytes", st.st_size);
    jw_kv_string(&j, "cluster", f->cluster);
    jw_kv_string(&j, "node", f->of);
    jw_kv_string(&j, "at", f->at);
    jw_kv_string(&j, "version", f->version);
    jw_kv_bool(&j, "rows_checked", f->whole);
    if (f->whole) {
        jw_kv_i64(&j, "rows", f->rows);
        jw_kv_i64(&j, "tombstones", f->dead);
        jw_kv_string(&j, "digest", f->digest);
    }
    jw_object_close(&j);
    jw_end(&j);
    cli_print_told(c, (struct span){s.p, s.n}, sentence);
}

static int verify(const struct cli *c, const char *path, struct err *e)
{
    struct backup_facts f CLEANUP(backup_facts_fini) = {0};
    int rc = store_backup_check(path, &f, e);
    if (rc == 0)
        backup_tell(c, path, &f,
                    f.whole
                        ? "{file} is sound: {rows} rows of cluster {cluster}, taken at {at} from {node}\n"
                          "digest {digest}"
                        : "{file} is sound as a file: cluster {cluster}, taken at {at} from {node} by skep "
                          "{version}, whose rows are checked when it is restored");
    return rc;
}

/* ---- taking one ---- */

static int sync_fd(int fd, const char *path, struct err *e)
{
    return fsync(fd) == 0 ? 0 : write_failed(path, errno, e);
}

/* The name, unless something has it. */
static int name_file(const char *part, const char *path, struct err *e)
{
    if (link(part, path) != 0)
        return write_failed(path, errno, e);
    return 0;
}

static int take(struct cli *c, const char *path, struct err *e)
{
    struct backup_facts f CLEANUP(backup_facts_fini) = {0};
    char *part AUTOFREE = mem_printf("%s.part", path);
    if (access(path, F_OK) == 0)
        return write_failed(path, EEXIST, e);
    int fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return write_failed(part, errno, e);
    int rc = receive(c, fd, part, e);
    if (rc == 0)
        rc = sync_fd(fd, part, e);
    close(fd);
    if (rc == 0)
        rc = store_backup_check(part, &f, e);
    if (rc == 0)
        rc = name_file(part, path, e);
    unlink(part);
    if (rc == 0)
        backup_tell(c, path, &f, "{file}: {rows} rows of cluster {cluster} as of {at}, checked");
    return rc;
}

static char *default_name(void)
{
    char text[32];
    time_t now = time(NULL);
    struct tm tm;
    strftime(text, sizeof text, "%Y%m%dT%H%M%SZ", gmtime_r(&now, &tm));
    return mem_printf("skep-%s.backup", text);
}

static int run(struct cli *c, struct err *e)
{
    const char *word = args_word(&c->args, 0);
    char *made AUTOFREE = word ? NULL : default_name();
    if (args_flag(&c->args, "verify"))
        return word ? verify(c, word, e) : err_set(e, SKEP_EUSAGE, "--verify needs the FILE to check");
    if (word && strcmp(word, "-") == 0)
        return receive(c, STDOUT_FILENO, "standard output", e);
    return take(c, word ? word : made, e);
}

static const struct verb_option options[] = {
    {.name = "verify", .kind = OPT_FLAG, .help = "check FILE, which was taken before; asks no node"},
    OPTION_END,
};

const struct verb verb_backup = {
    .name = "backup",
    .args = "[FILE]",
    .help = "Take a backup of the cluster from one of its nodes.",
    .more = "Without FILE it is skep-TIME.backup, here; \"-\" is standard output. The file has what the "
            "cluster has, and nothing of the node: no keys, no identity, no log. It is checked before it "
            "gets its name.",
    .options = options,
    .args_max = 1,
    .complete = COMPLETE_FILE,
    .run = run,
};
