/* Two arrays change places: posters fill one under the mutex while the reader works through the other
 * without it. A poster wakes the reader only when the array was empty before, hence once per batch.
 */
#include "real/mailbox.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/ensure.h"
#include "base/err.h"

struct batch {
    void **items;
    size_t n, cap;
};

struct mailbox {
    pthread_mutex_t mutex;
    pthread_cond_t filled;
    struct batch in;  /* under the mutex */
    struct batch out; /* the reader's */
    size_t items_max;
    bool closed;  /* under the mutex */
    bool waiting; /* under the mutex: a reader sleeps */
    void (*item_free)(void *item);
    int wake_fd; /* -1 = not watched */
    struct event *wake;
    void (*arrived)(void *ctx, void **items, size_t n);
    void *ctx;
};

struct mailbox *mailbox_new(size_t items_max, void (*item_free)(void *item))
{
    struct mailbox *m = mem_alloc(sizeof *m);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&m->filled, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&m->mutex, NULL);
    m->items_max = items_max;
    m->item_free = item_free;
    m->wake_fd = -1;
    return m;
}

void mailbox_free(struct mailbox *m)
{
    if (!m)
        return;
    if (m->wake)
        event_free(m->wake);
    if (m->wake_fd >= 0)
        close(m->wake_fd);
    for (size_t i = 0; i < m->in.n; i++)
        m->item_free(m->in.items[i]);
    free(m->in.items);
    free(m->out.items);
    pthread_cond_destroy(&m->filled);
    pthread_mutex_destroy(&m->mutex);
    free(m);
}

/* Under the mutex, or after it for the descriptor: a write to it may be late, never lost. */
static void wake_fd(int fd)
{
    uint64_t one = 1;
    ssize_t n;
    do
        n = write(fd, &one, sizeof one);
    while (n < 0 && errno == EINTR);
    ensure(n == sizeof one || errno == EAGAIN, "the mailbox cannot wake its reader: errno %d", errno);
}

static bool post(struct mailbox *m, void *item, bool always)
{
    pthread_mutex_lock(&m->mutex);
    bool fits = !m->closed && (always || m->in.n < m->items_max);
    bool first = fits && m->in.n == 0;
    if (fits) {
        ARRAY_GROW(m->in.items, m->in.n, m->in.cap);
        m->in.items[m->in.n++] = item;
    }
    bool wake = first && m->waiting;
    pthread_mutex_unlock(&m->mutex);
    if (wake)
        pthread_cond_signal(&m->filled);
    if (first && m->wake_fd >= 0)
        wake_fd(m->wake_fd);
    if (!fits)
        m->item_free(item);
    return fits;
}

bool mailbox_post(struct mailbox *m, void *item TAKES)
{
    return post(m, item, false);
}

bool mailbox_post_always(struct mailbox *m, void *item TAKES)
{
    return post(m, item, true);
}

static struct timespec after_ms(int64_t ms)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += ms % 1000 * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    return t;
}

static void wait_filled(struct mailbox *m, int64_t wait_ms)
{
    struct timespec until = after_ms(wait_ms < 0 ? 0 : wait_ms);
    m->waiting = true;
    while (m->in.n == 0 && !m->closed) {
        if (wait_ms < 0)
            pthread_cond_wait(&m->filled, &m->mutex);
        else if (pthread_cond_timedwait(&m->filled, &m->mutex, &until) == ETIMEDOUT)
            break;
    }
    m->waiting = false;
}

size_t mailbox_take_all(struct mailbox *m, int64_t wait_ms, void ***ret_items)
{
    pthread_mutex_lock(&m->mutex);
    if (m->in.n == 0 && !m->closed && wait_ms != 0)
        wait_filled(m, wait_ms);
    struct batch full = m->in;
    m->in = (struct batch){.items = m->out.items, .cap = m->out.cap};
    m->out = full;
    pthread_mutex_unlock(&m->mutex);
    *ret_items = full.items;
    return full.n;
}

static void on_wake(evutil_socket_t fd, short what UNUSED, void *arg)
{
    struct mailbox *m = arg;
    uint64_t count;
    ssize_t got = read(fd, &count, sizeof count);
    ensure(got == sizeof count || errno == EAGAIN || errno == EINTR, "the mailbox's eventfd: errno %d",
           errno);
    void **items;
    size_t n = mailbox_take_all(m, 0, &items);
    if (n > 0)
        m->arrived(m->ctx, items, n);
}

int mailbox_watch(struct mailbox *m, struct event_base *base,
                  void (*arrived)(void *ctx, void **items, size_t n), void *ctx)
{
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (fd < 0)
        return SKEP_EINTERNAL;
    m->arrived = arrived;
    m->ctx = ctx;
    m->wake = event_new(base, fd, EV_READ | EV_PERSIST, on_wake, m);
    ensure(m->wake && event_add(m->wake, NULL) == 0, "libevent takes no more events");
    m->wake_fd = fd;
    return 0;
}

void mailbox_close(struct mailbox *m)
{
    pthread_mutex_lock(&m->mutex);
    m->closed = true;
    pthread_cond_broadcast(&m->filled);
    pthread_mutex_unlock(&m->mutex);
    if (m->wake_fd >= 0)
        wake_fd(m->wake_fd);
}

bool mailbox_closed(struct mailbox *m)
{
    pthread_mutex_lock(&m->mutex);
    bool closed = m->closed;
    pthread_mutex_unlock(&m->mutex);
    return closed;
}

size_t mailbox_count(struct mailbox *m)
{
    pthread_mutex_lock(&m->mutex);
    size_t n = m->in.n;
    pthread_mutex_unlock(&m->mutex);
    return n;
}
