/* tail: decides which bytes of which files answer "the last lines" and "what came since". Never writes. */
#include "real/tail.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/prng.h"

#define FILES_MAX   100 /* as the setting log_files */
#define OFFSET_BITS 31
#define TAG_BITS    21

struct log_file {
    int fd;
    int64_t bytes, tag;
};

struct log_files {
    struct log_file v[FILES_MAX]; /* the newest first */
    size_t n;
};

static void files_close(struct log_files *f)
{
    for (size_t i = 0; i < f->n; i++)
        close(f->v[i].fd);
}

/* What a place says of a file. Never 0: a place is greater than 0 then. */
static int64_t tag_of(const struct stat *st)
{
    return (int64_t)(prng_mix((uint64_t)st->st_ino) & ((1U << TAG_BITS) - 1)) | 1;
}

static int64_t place_of(const struct log_file *f, int64_t offset)
{
    return f->tag << OFFSET_BITS | offset;
}

static bool file_open(const char *dir, const char *log, size_t generation, struct log_file *ret)
{
    struct stat st;
    AUTOFREE char *path =
        generation ? mem_printf("%s/%s.log.%zu", dir, log, generation) : mem_printf("%s/%s.log", dir, log);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return false;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return false;
    }
    int64_t most = (1LL << OFFSET_BITS) - 1;
    *ret = (struct log_file){fd, st.st_size < most ? st.st_size : most, tag_of(&st)};
    return true;
}

/* A rotation between two opens shows a file twice, or hides one that was just renamed: the first is dropped,
 * and for the second we begin again. */
static void files_open_once(const char *dir, const char *log, struct log_files *ret)
{
    ret->n = 0;
    while (ret->n < FILES_MAX && file_open(dir, log, ret->n, &ret->v[ret->n]))
        ret->n++;
}

static bool rotated(const char *dir, const char *log, const struct log_files *f)
{
    struct log_file now;
    if (!file_open(dir, log, 0, &now))
        return f->n > 0;
    close(now.fd);
    return f->n == 0 || f->v[0].tag != now.tag;
}

static void files_open(const char *dir, const char *log, struct log_files *ret)
{
    files_open_once(dir, log, ret);
    for (int tries = 0; tries < 3 && rotated(dir, log, ret); tries++) {
        files_close(ret);
        files_open_once(dir, log, ret);
    }
}

static void add_range(const struct log_file *f, int64_t from, int64_t to, struct str *ret)
{
    while (from < to) {
        size_t want = (size_t)(to - from);
        str_reserve(ret, want);
        ssize_t n = pread(f->fd, ret->p + ret->n, want, from);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        ret->n += (size_t)n;
        from += n;
    }
    if (ret->p)
        ret->p[ret->n] = 0;
}

/* From a place on, at most TAIL_BYTES_MAX: oldest first. */
static void read_from(const struct log_files *f, size_t i, int64_t offset, struct str *ret, int64_t *ret_next)
{
    int64_t room = TAIL_BYTES_MAX;
    for (;; i--) {
        const struct log_file *file = &f->v[i];
        int64_t to = file->bytes - offset > room ? offset + room : file->bytes;
        add_range(file, offset, to, ret);
        room -= to - offset;
        *ret_next = place_of(file, to);
        if (i == 0 || room == 0)
            return;
        offset = 0;
    }
}

/* Where the last bytes that we would give begin. */
static size_t last_bytes(const struct log_files *f, int64_t *ret_offset)
{
    int64_t room = TAIL_BYTES_MAX;
    for (size_t i = 0; i < f->n; i++) {
        if (f->v[i].bytes >= room || i + 1 == f->n) {
            *ret_offset = f->v[i].bytes > room ? f->v[i].bytes - room : 0;
            return i;
        }
        room -= f->v[i].bytes;
    }
    return 0;
}

/* Keeps the last lines. What stands behind the last newline is a line, too. */
static void keep_lines(struct str *s, int64_t lines)
{
    size_t at = s->n;
    if (at && s->p[at - 1] == '\n')
        at--;
    while (at > 0 && (s->p[at - 1] != '\n' || --lines > 0))
        at--;
    if (at == 0)
        return;
    s->n -= at;
    memmove(s->p, s->p + at, s->n + 1);
}

static void read_last(const struct log_files *f, int64_t lines, struct str *ret, int64_t *ret_next)
{
    AUTOSTR struct str text = STR_INIT;
    int64_t offset = 0;
    size_t i = last_bytes(f, &offset);
    read_from(f, i, offset, &text, ret_next);
    if (lines > 0)
        keep_lines(&text, lines);
    if (lines > 0)
        str_add(ret, str_get(&text), text.n);
}

int tail_read(const char *dir, const char *log, int64_t lines, int64_t after, struct str *ret_text,
              int64_t *ret_next)
{
    struct log_files f;
    files_open(dir, log, &f);
    if (f.n == 0)
        return -1;
    if (after <= 0) {
        read_last(&f, lines, ret_text, ret_next);
    } else {
        int64_t tag = after >> OFFSET_BITS, offset = after & ((1LL << OFFSET_BITS) - 1);
        size_t i = 0;
        while (i < f.n && f.v[i].tag != tag)
            i++;
        bool there = i < f.n && offset <= f.v[i].bytes;
        read_from(&f, there ? i : f.n - 1, there ? offset : 0, ret_text, ret_next);
    }
    files_close(&f);
    return 0;
}
