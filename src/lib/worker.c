/* The worker's end of the channel: bytes in, bytes out, and the lines that have to wait.
 *
 * Invariants
 * 1. Bytes in[start, end) are received and not yet given out; none before `scanned` is a line end.
 * 2. Lines leave in the order in which they came: `kept` first, then `in`.
 * 3. `line` and `parts` hold what the caller's last skep_line points to.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "lib/line.h"
#include "lib/skep.h"

#define READ_BYTES 4096

struct kept {
    struct kept *next;
    char *text;
};

struct skep_worker {
    int fd;
    int broken; /* the code with which the channel ended, or 0 */
    char *in;
    size_t start, scanned, end, cap;
    struct kept *kept, **kept_end;
    char *line, *parts;
};

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int skep_worker_open_fd(int fd, struct skep_worker **ret_w)
{
    struct skep_worker *w;

    if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        return -errno;
    w = calloc(1, sizeof *w);
    if (!w)
        return -ENOMEM;
    w->fd = fd;
    w->kept_end = &w->kept;
    *ret_w = w;
    return 0;
}

int skep_worker_open(struct skep_worker **ret_w)
{
    const char *text = getenv("SKEP_FD");
    char *end;
    long fd;

    if (!text || !*text)
        return -ENOENT;
    fd = strtol(text, &end, 10);
    if (*end || fd < 0 || fd > INT32_MAX)
        return -EBADF;
    return skep_worker_open_fd((int)fd, ret_w);
}

void skep_worker_free(struct skep_worker *w)
{
    if (!w)
        return;
    close(w->fd);
    while (w->kept) {
        struct kept *k = w->kept;
        w->kept = k->next;
        free(k->text);
        free(k);
    }
    free(w->in);
    free(w->line);
    free(w->parts);
    free(w);
}

int skep_worker_fd(const struct skep_worker *w)
{
    return w->fd;
}

static int make_room(struct skep_worker *w)
{
    size_t have = w->end - w->start;

    if (w->start) {
        memmove(w->in, w->in + w->start, have);
        w->scanned -= w->start;
        w->start = 0;
        w->end = have;
    }
    if (w->cap - w->end >= READ_BYTES)
        return 0;
    size_t cap = w->cap ? w->cap * 2 : READ_BYTES;
    char *in = realloc(w->in, cap);
    if (!in)
        return -ENOMEM;
    w->in = in;
    w->cap = cap;
    return 0;
}

/* Takes one whole line out of `in`: 1, or 0 when there is none yet. */
static int cut_line(struct skep_worker *w, char **ret_text)
{
    char *eol = w->end > w->scanned ? memchr(w->in + w->scanned, '\n', w->end - w->scanned) : NULL;
    char *text;

    if (!eol) {
        w->scanned = w->end;
        return w->end - w->start >= SKEP_LINE_MAX ? -EPROTO : 0;
    }
    *eol = 0;
    text = strdup(w->in + w->start);
    if (!text) {
        *eol = '\n';
        return -ENOMEM;
    }
    w->start = w->scanned = (size_t)(eol + 1 - w->in);
    *ret_text = text;
    return 1;
}

/* Waits for bytes until deadline_ms (-1: without end): 1 = there are some, 0 = time passed. */
static int wait_readable(struct skep_worker *w, int64_t deadline_ms)
{
    struct pollfd p = {.fd = w->fd, .events = POLLIN};

    for (;;) {
        int64_t left = deadline_ms < 0 ? -1 : deadline_ms - now_ms();
        int r = poll(&p, 1, deadline_ms < 0 ? -1 : left > 0 ? (int)left : 0);
        if (r >= 0)
            return r;
        if (errno != EINTR)
            return -errno;
    }
}

/* 1 = bytes came, 0 = none are there. */
static int receive(struct skep_worker *w)
{
    int r = make_room(w);

    if (r < 0)
        return r;
    ssize_t n = recv(w->fd, w->in + w->end, w->cap - w->end, MSG_DONTWAIT);
    if (n > 0) {
        w->end += (size_t)n;
        return 1;
    }
    if (n == 0 || errno == ECONNRESET)
        return -EPIPE;
    return errno == EAGAIN || errno == EINTR ? 0 : -errno;
}

/* The next line off the socket: 1 and *ret_text (yours), or 0 when the time passed. */
static int fetch(struct skep_worker *w, int64_t deadline_ms, char **ret_text)
{
    int r;

    while ((r = w->broken) == 0) {
        r = cut_line(w, ret_text);
        if (r > 0)
            return r;
        if (r == 0)
            r = wait_readable(w, deadline_ms);
        if (r == 0)
            return 0;
        if (r > 0)
            r = receive(w);
        if (r < 0 && r != -ENOMEM)
            w->broken = r;
        if (r == -ENOMEM)
            break;
    }
    return r;
}

static int64_t deadline_of(int timeout_ms)
{
    return timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
}

static char *kept_take(struct skep_worker *w)
{
    struct kept *k = w->kept;
    char *text = k->text;

    w->kept = k->next;
    if (!w->kept)
        w->kept_end = &w->kept;
    free(k);
    return text;
}

static int kept_add(struct skep_worker *w, char *text)
{
    struct kept *k = calloc(1, sizeof *k);

    if (!k) {
        free(text);
        return -ENOMEM;
    }
    k->text = text;
    *w->kept_end = k;
    w->kept_end = &k->next;
    return 0;
}

int skep_worker_next(struct skep_worker *w, int timeout_ms, struct skep_line *ret_line)
{
    char *text;
    int r;

    if (w->kept) {
        text = kept_take(w);
    } else {
        r = fetch(w, deadline_of(timeout_ms), &text);
        if (r <= 0)
            return r;
    }
    free(w->line);
    free(w->parts);
    w->line = text;
    w->parts = NULL;
    r = line_parse(text, strlen(text), ret_line, &w->parts);
    if (r == -EPROTO)
        w->broken = r;
    return r < 0 ? r : 1;
}

/* Whether the line is the answer to ack: 1 = durable, -ECANCELED = refused, 0 = another line. */
static int answers(const char *text, const char *ack)
{
    struct skep_line line;
    char *parts;
    int r = line_parse(text, strlen(text), &line, &parts);

    if (r < 0)
        return r;
    if ((line.type == SKEP_OK || line.type == SKEP_ERROR) && line.ack && !strcmp(line.ack, ack))
        r = line.type == SKEP_OK ? 1 : -ECANCELED;
    free(parts);
    return r;
}

/* Looks for the answer among the kept lines, and takes it out. */
static int kept_answer(struct skep_worker *w, const char *ack)
{
    for (struct kept **at = &w->kept; *at; at = &(*at)->next) {
        struct kept *k = *at;
        int r = answers(k->text, ack);
        if (r == 0)
            continue;
        *at = k->next;
        if (w->kept_end == &k->next)
            w->kept_end = at;
        free(k->text);
        free(k);
        return r;
    }
    return 0;
}

int skep_worker_wait(struct skep_worker *w, const char *ack, int timeout_ms)
{
    int64_t deadline_ms = deadline_of(timeout_ms);
    int r = kept_answer(w, ack);

    while (r == 0) {
        char *text;
        r = fetch(w, deadline_ms, &text);
        if (r <= 0)
            return r == 0 ? -ETIMEDOUT : r;
        r = answers(text, ack);
        if (r == 0)
            r = kept_add(w, text);
        else
            free(text);
        if (r == -EPROTO)
            w->broken = r;
    }
    return r > 0 ? 0 : r;
}

static int send_all(struct skep_worker *w, const char *p, size_t n)
{
    while (n) {
        ssize_t done = send(w->fd, p, n, MSG_NOSIGNAL);
        if (done >= 0) {
            p += done;
            n -= (size_t)done;
        } else if (errno == EAGAIN) {
            struct pollfd wait = {.fd = w->fd, .events = POLLOUT};
            poll(&wait, 1, -1);
        } else if (errno != EINTR) {
            return errno == ECONNRESET ? -EPIPE : -errno;
        }
    }
    return 0;
}

static int send_line(struct skep_worker *w, const char *type, const struct line_part *parts)
{
    char *text;
    size_t n;
    int r = line_format(type, parts, &text, &n);

    if (r < 0)
        return r;
    r = send_all(w, text, n);
    free(text);
    return r;
}

/* clang-format off */
#define STRING(member) {#member, member, LINE_STRING, 0}
#define JSON(name, value) {name, value, LINE_JSON, 0}
#define ACK {"ack", ack, LINE_STRING, 1}
#define SEND(w, type, ...) send_line(w, type, (const struct line_part[]){__VA_ARGS__, {0}})
/* clang-format on */

int skep_worker_ready(struct skep_worker *w, const char *ack)
{
    return SEND(w, "ready", ACK);
}

int skep_worker_checkpoint(struct skep_worker *w, const char *json, const char *ack)
{
    return SEND(w, "checkpoint", ACK, JSON("data", json));
}

int skep_worker_state(struct skep_worker *w, const char *ref, const char *json)
{
    return SEND(w, "state", STRING(ref), JSON("data", json));
}

int skep_worker_ignore(struct skep_worker *w, const char *ref)
{
    return SEND(w, "ignore", STRING(ref));
}

int skep_worker_restored(struct skep_worker *w, const char *ref)
{
    return SEND(w, "restored", STRING(ref));
}

int skep_worker_reply(struct skep_worker *w, const char *ref, const char *json)
{
    return SEND(w, "reply", STRING(ref), JSON("data", json));
}

int skep_worker_fail(struct skep_worker *w, const char *ref, const char *detail)
{
    return SEND(w, "fail", STRING(ref), STRING(detail));
}

int skep_worker_append(struct skep_worker *w, const char *turn, const char *role, const char *json,
                       const char *ack)
{
    return SEND(w, "append", STRING(turn), ACK, STRING(role), JSON("content", json));
}

int skep_worker_save(struct skep_worker *w, const char *turn, const char *json, const char *ack)
{
    return SEND(w, "save", STRING(turn), ACK, JSON("state", json));
}

int skep_worker_park(struct skep_worker *w, const char *turn, const char *calls, const char *ack)
{
    return SEND(w, "park", STRING(turn), ACK, JSON("calls", calls));
}

int skep_worker_done(struct skep_worker *w, const char *turn, const char *json, const char *ack)
{
    return SEND(w, "done", STRING(turn), ACK, JSON("result", json));
}

int skep_worker_fail_turn(struct skep_worker *w, const char *turn, const char *detail, const char *ack)
{
    return SEND(w, "fail", STRING(turn), ACK, STRING(detail));
}

int skep_worker_request(struct skep_worker *w, const char *ref, const char *method, const char *path,
                        const char *json)
{
    const struct line_part body = {"body", json, LINE_JSON, 1};

    return SEND(w, "request", STRING(ref), STRING(method), STRING(path), body);
}
