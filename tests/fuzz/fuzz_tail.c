/* Logs of children as they are read: up to four generations of a log, then questions about it.
 *
 *   input := generations u8, (bytes n u16, bytes)*, (lines i8, after i64)*
 *
 * What is answered is never more than its bound, and a reader that goes on from place to place sees what the
 * files hold, in order, and comes to an end. */
#include "fuzz.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/ensure.h"
#include "real/tail.h"

#define GENERATIONS 4
#define QUESTIONS   16

static char dir[] = "/dev/shm/fuzz-tail-XXXXXX";

static void path_of(size_t generation, char ret[64])
{
    if (generation)
        snprintf(ret, 64, "%s/x.log.%zu", dir, generation);
    else
        snprintf(ret, 64, "%s/x.log", dir);
}

static void tidy(void)
{
    char path[64];
    for (size_t i = 0; i < GENERATIONS; i++) {
        path_of(i, path);
        unlink(path);
    }
    rmdir(dir);
}

static void file_put(size_t generation, const uint8_t *p, size_t n)
{
    char path[64];
    path_of(generation, path);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ensure(fd >= 0 && write(fd, p, n) == (ssize_t)n, "no room for a log");
    close(fd);
}

static int64_t number(const uint8_t *p, size_t n)
{
    uint64_t v = 0;
    for (size_t i = n; i-- > 0;)
        v = v << 8 | p[i];
    return (int64_t)v;
}

static void ask(int64_t lines, int64_t after)
{
    AUTOSTR struct str s = STR_INIT;
    int64_t next = -7;
    int rc = tail_read(dir, "x", lines, after, &s, &next);
    ensure(rc == 0 && next > 0, "a log that is there: %d, %lld", rc, (long long)next);
    ensure(s.n <= TAIL_BYTES_MAX, "%zu bytes", s.n);
    if (after <= 0 && lines >= 0) {
        size_t ends = 0;
        for (size_t i = 0; i < s.n; i++)
            ends += s.p[i] == '\n';
        ensure((int64_t)ends <= lines, "%zu lines instead of %lld", ends, (long long)lines);
    }
}

/* From the oldest on: everything, once. */
static void all(const struct str *whole)
{
    AUTOSTR struct str seen = STR_INIT;
    int64_t place = INT64_MAX, before = 0; /* of a file that is gone */
    for (int i = 0; place != before; i++) {
        ensure(i < 16, "no end");
        before = place;
        ensure(tail_read(dir, "x", 0, before, &seen, &place) == 0, "the log is gone");
    }
    ensure(seen.n == whole->n && (seen.n == 0 || memcmp(seen.p, whole->p, seen.n) == 0), "%zu bytes of %zu",
           seen.n, whole->n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static bool made;
    if (!made) {
        ensure(mkdtemp(dir), "no folder");
        made = true;
        atexit(tidy);
    }
    const uint8_t *p = data, *end = data + n;
    if (n < 1)
        return 0;
    size_t count = 1 + *p++ % GENERATIONS;
    AUTOSTR struct str whole = STR_INIT;
    for (size_t i = GENERATIONS; i-- > 0;) { /* the oldest first */
        char path[64];
        path_of(i, path);
        unlink(path);
        if (i >= count)
            continue;
        size_t bytes = end - p >= 2 ? (size_t)number(p, 2) : 0;
        p += end - p >= 2 ? 2 : 0;
        bytes = bytes > (size_t)(end - p) ? (size_t)(end - p) : bytes;
        file_put(i, p, bytes);
        str_add(&whole, p, bytes);
        p += bytes;
    }
    for (int i = 0; i < QUESTIONS && end - p >= 9; i++, p += 9)
        ask((int8_t)p[0], number(p + 1, 8));
    ask(3, 0);
    all(&whole);
    return 0;
}
