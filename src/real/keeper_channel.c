/* keeper_channel: the channel of one run, whole lines both ways. Decides when a worker is not read from; what
 * a line says is not asked here.
 */
#include "real/keeper_inside.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define READ_BYTES     65536
#define WRITE_BYTES    262144
#define OUT_BYTES_HOLD (4u << 20) /* so much waits for a worker: what it says next waits too */

/* One line from in, if there is one. */
static bool line_take(struct link_run *r, size_t *at, char **ret, size_t *ret_n)
{
    size_t from = *at > r->scanned ? *at : r->scanned;
    char *nl = r->in.n > from ? memchr(r->in.p + from, '\n', r->in.n - from) : NULL;
    if (!nl)
        return false;
    *ret_n = (size_t)(nl - (r->in.p + *at));
    *ret = mem_copy(r->in.p + *at, *ret_n);
    *at += *ret_n + 1;
    return true;
}

/* Gives all whole lines away. False: what is left can no longer become a line. */
static bool lines_give(struct link_run *r)
{
    struct keeper_link *k = r->link;
    size_t at = 0, n;
    char *line;
    while (line_take(r, &at, &line, &n)) {
        if (n > KEEPER_LINE_BYTES_MAX) {
            free(line);
            return false;
        }
        k->on.line(k->ctx, r->id, line, n);
    }
    r->in.n -= at;
    if (at)
        memmove(r->in.p, r->in.p + at, r->in.n);
    r->scanned = r->in.n;
    if (r->in.n == 0 && r->in.cap > 2 * READ_BYTES)
        str_fini(&r->in); /* one giant line is no reason to keep its room */
    return r->in.n <= KEEPER_LINE_BYTES_MAX;
}

static void channel_overlong(struct link_run *r)
{
    struct keeper_link *k = r->link;
    r->overlong = true;
    event_drop(&r->readable);
    event_drop(&r->writable);
    str_fini(&r->in); /* its end stays open: what ends it is the kill, not SIGPIPE */
    keeper_link_kill(k, r->id);
    k->on.overlong(k->ctx, r->id);
}

bool channel_read(struct link_run *r)
{
    str_reserve(&r->in, READ_BYTES);
    ssize_t n = read(r->fd, r->in.p + r->in.n, READ_BYTES);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (n <= 0) {
        event_del(r->readable); /* its end is closed; the run goes on without */
        return false;
    }
    r->in.n += (size_t)n;
    if (lines_give(r))
        return true;
    channel_overlong(r);
    return false;
}

/* Answers to what it says would pile up without end, here or with whoever takes the lines. */
static bool channel_holds(const struct link_run *r)
{
    const struct keeper_link *k = r->link;
    return r->out.n - r->sent > OUT_BYTES_HOLD || (k->on.busy && k->on.busy(k->ctx));
}

static void readable_cb(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
    struct link_run *r = arg;
    r->held = channel_holds(r);
    if (r->held)
        event_del(r->readable);
    else
        channel_read(r);
}

void channel_resume(struct link_run *r)
{
    if (!r->held || !r->readable || channel_holds(r))
        return;
    r->held = false;
    event_add(r->readable, NULL);
}

static void out_forget(struct link_run *r)
{
    str_fini(&r->out);
    r->sent = 0;
}

static void writable_cb(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
    struct link_run *r = arg;
    size_t wait = r->out.n - r->sent;
    ssize_t n = send(r->fd, r->out.p + r->sent, wait < WRITE_BYTES ? wait : WRITE_BYTES, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        out_forget(r);
        event_drop(&r->writable); /* lines to it are dropped from now on */
        return;
    }
    if (n > 0)
        r->sent += (size_t)n;
    wait = r->out.n - r->sent;
    if (wait == 0) {
        out_forget(r);
    } else if (r->sent > r->out.n / 2) {
        memmove(r->out.p, r->out.p + r->sent, wait);
        r->out.n = wait;
        r->sent = 0;
    }
    if (wait)
        event_add(r->writable, NULL);
    channel_resume(r);
    if (n > 0)
        r->link->on.drained(r->link->ctx, r->id, wait);
}

void channel_watch(struct link_run *r, int fd)
{
    r->fd = fd;
    r->readable = event_new(r->link->base, fd, EV_READ | EV_PERSIST, readable_cb, r);
    r->writable = event_new(r->link->base, fd, EV_WRITE, writable_cb, r);
    if (r->out.n)
        event_add(r->writable, NULL);
}

void channel_close(struct link_run *r)
{
    event_drop(&r->readable);
    event_drop(&r->writable);
    close_fd(&r->fd);
    str_fini(&r->in);
    str_fini(&r->out);
}
