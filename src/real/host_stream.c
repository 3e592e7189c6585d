/* host_stream: answers that go on: which are open, and when the reader may fill them again. On the I/O
 * thread.
 *
 * The reader sends one piece of a stream and then waits for room, so a client that does not read costs one
 * piece.
 */
#include "api/follow.h"
#include "base/list.h"
#include "real/host_inside.h"

#define LOW_BYTES (64 * 1024) /* http_server_options.stream_low_bytes */

struct stream_open {
    uint64_t id;
    bool full; /* `drained` will come */
    UT_hash_handle hh;
};

static struct stream_open *find(struct host *h, uint64_t id)
{
    struct stream_open *s;
    HASH_FIND(hh, h->streams, &id, sizeof id, s);
    return s;
}

static struct stream_open *begin(struct host *h, uint64_t id)
{
    if (h->ended || !http_server_stream_begin(h->server, id, FOLLOW_TYPE))
        return NULL;
    struct stream_open *s = mem_alloc(sizeof *s);
    s->id = id;
    HASH_ADD(hh, h->streams, id, sizeof s->id, s);
    return s;
}

static void forget(struct host *h, struct stream_open *s)
{
    HASH_DEL(h->streams, s);
    free(s);
}

void host_stream(struct host *h, uint64_t id, const char *bytes, size_t n)
{
    struct stream_open *s = find(h, id);
    if (!s && !(s = begin(h, id))) {
        host_read_stream(h, ERRAND_GONE, id);
        return;
    }
    size_t waits = http_server_stream_data(h->server, id, bytes, n);
    if (!(s = find(h, id))) /* it broke under that */
        return;
    s->full = waits > LOW_BYTES;
    if (!s->full)
        host_read_stream(h, ERRAND_ROOM, id);
}

void host_stream_gone(struct host *h, uint64_t id)
{
    struct stream_open *s = find(h, id);
    if (!s)
        return;
    forget(h, s);
    host_read_stream(h, ERRAND_GONE, id);
}

void host_stream_drained(struct host *h, uint64_t id)
{
    struct stream_open *s = find(h, id);
    if (!s || !s->full)
        return;
    s->full = false;
    host_read_stream(h, ERRAND_ROOM, id);
}

void host_streams_end(struct host *h)
{
    struct stream_open *s, *next;
    HASH_ITER(hh, h->streams, s, next)
    {
        uint64_t id = s->id;
        forget(h, s);
        http_server_stream_end(h->server, id);
    }
}
