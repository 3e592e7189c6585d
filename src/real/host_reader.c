/* host_reader: the reader's thread: lists, look-ups, peers' pulls and event streams, from what is committed.
 * Writes nothing.
 *
 * Streams are filled a piece at a time: after one, a stream waits until the I/O thread has room for the next.
 * News is looked for every FOLLOW_MS while somebody follows.
 */
#include <string.h>

#include "api/follow.h"
#include "base/ensure.h"
#include "base/list.h"
#include "real/host_inside.h"
#include "real/machine.h"

#define READ_LIMIT_MS 1000
#define SNAPSHOT_READS                                                                                       \
    64                 /* a snapshot costs two locks and a cold start: reads that wait together share one */
#define SNAPSHOT_MS 20 /* but a slow one makes no long one: it would pin the write-ahead log */
#define FOLLOW_MS   50
#define LOOKS_MAX   16
#define ALIVE_MS    15000 /* a comment in a silent stream: proxies and clients know that it lives */

struct follower {
    uint64_t id;
    struct follow *follow;
    bool waits;       /* for room */
    int64_t seen;     /* the newest row when it last was up to date */
    int64_t spoke_ms; /* boot time */
    TAILQ_ENTRY(follower) link;
};

struct reader_state {
    struct host *host;
    struct log log;
    struct pull_memory *pullers;
    TAILQ_HEAD(, follower) followers;
    size_t followers_n;
    bool checking;  /* the file of an unclean end is being checked, a table at a time */
    size_t checked; /* tables so far */
};

static void errand_free(void *errand)
{
    struct errand *e = errand;
    if (e)
        request_free(e->request);
    free(e);
}

int64_t host_brain_age_ms(struct host *h)
{
    return machine_boot_ms() - atomic_load(&h->turned_boot_ms);
}

static void post(struct host *h, struct command c)
{
    struct command *copy = mem_alloc(sizeof *copy);
    *copy = c;
    mailbox_post_always(h->to_io, copy);
}

static struct reading reading_of(struct host *h)
{
    return (struct reading){h->store, node_frozen(h->node), machine_real_ms(), host_brain_age_ms(h)};
}

/* ---- one answer ---- */

static struct answer *pull(struct reader_state *s, const struct request *r)
{
    struct str body = STR_INIT;
    struct err e = {0};
    int rc = node_serve_pull(s->host->store, s->pullers, &r->who.node, r->body, r->body_n, &body, &e);
    if (rc < 0) {
        str_fini(&body);
        e.code = rc;
        return api_problem(&e, NULL);
    }
    struct answer *a = answer_json(200, &body);
    a->content_type = "application/octet-stream";
    return a;
}

static void serve(struct reader_state *s, struct request *r)
{
    struct host *h = s->host;
    struct answer *a;
    if (r->who.role == ROLE_PEER) {
        a = pull(s, r);
    } else {
        struct reading reading = reading_of(h);
        a = api_read(r->route, r, &reading);
        frozen_unref(reading.frozen);
    }
    post(h, (struct command){.kind = CMD_ANSWER, .id = r->id, .answer = a});
    request_free(r);
}

/* ---- streams ---- */

static struct follower *follower_find(struct reader_state *s, uint64_t id)
{
    struct follower *f;
    TAILQ_FOREACH (f, &s->followers, link)
        if (f->id == id)
            return f;
    return NULL;
}

static void follower_end(struct reader_state *s, struct follower *f)
{
    TAILQ_REMOVE(&s->followers, f, link);
    s->followers_n--;
    follow_free(f->follow);
    free(f);
}

static void send(struct reader_state *s, struct follower *f, struct str *piece)
{
    f->waits = true;
    f->spoke_ms = machine_boot_ms();
    size_t n = piece->n;
    post(s->host, (struct command){.kind = CMD_STREAM, .id = f->id, .line = str_take(piece), .line_n = n});
}

static int follower_new(struct reader_state *s, const struct request *r, struct err *e)
{
    struct follow *follow;
    if (s->followers_n == STREAMS_MAX)
        return err_set(e, SKEP_EOVERLOADED,
                       "%d clients follow the events of this node already; ask another node", STREAMS_MAX);
    struct reading reading = reading_of(s->host);
    int rc = follow_new(r->route, r, &reading, &follow, e);
    frozen_unref(reading.frozen);
    if (rc < 0)
        return rc;
    struct follower *f = mem_alloc(sizeof *f);
    *f = (struct follower){.id = r->id, .follow = follow, .seen = -1};
    TAILQ_INSERT_TAIL(&s->followers, f, link);
    s->followers_n++;
    struct str hello = STR_INIT;
    str_puts(&hello, ": events of this node\n\n");
    send(s, f, &hello);
    return 0;
}

static void follow_begin(struct reader_state *s, struct request *r)
{
    struct err e = {0};
    int rc = follower_new(s, r, &e);
    if (rc < 0)
        post(s->host, (struct command){.kind = CMD_ANSWER, .id = r->id, .answer = api_problem(&e, NULL)});
    request_free(r);
}

/* Rows that nobody here asked for cost one look each; a long way through them is cut into pieces. A read that
 * failed is tried again: the stream has no word for it. */
static void follower_fill(struct reader_state *s, struct follower *f, const struct reading *reading,
                          int64_t newest)
{
    struct str piece = STR_INIT;
    int rows = f->seen == newest ? 0 : 1;
    for (int i = 0; rows > 0 && piece.n == 0 && i < LOOKS_MAX; i++)
        rows = follow_read(f->follow, reading, &piece, NULL);
    if (rows == 0)
        f->seen = newest;
    if (piece.n == 0 && machine_boot_ms() - f->spoke_ms >= ALIVE_MS)
        str_puts(&piece, ":\n\n");
    if (piece.n)
        send(s, f, &piece);
    str_fini(&piece);
}

static void followers_fill(struct reader_state *s)
{
    struct follower *f;
    if (s->followers_n == 0)
        return;
    struct reading reading = reading_of(s->host);
    int64_t newest = store_number(s->host->store, Q_LOG_NEWEST, -1, "");
    TAILQ_FOREACH (f, &s->followers, link)
        if (!f->waits)
            follower_fill(s, f, &reading, newest);
    frozen_unref(reading.frozen);
}

static void stream_errand(struct reader_state *s, const struct errand *e)
{
    struct follower *f = follower_find(s, e->id);
    if (!f)
        return;
    if (e->kind == ERRAND_ROOM)
        f->waits = false;
    else
        follower_end(s, f);
}

/* ---- the check after an unclean end ---- */

static void check_end(struct reader_state *s, int rc, const struct err *e)
{
    s->checking = false;
    if (rc == 0)
        log_info(&s->log, "the database was checked after an unclean end: it is sound");
    else
        log_error(&s->log,
                  "the database is damaged: %s. What is there can be read; stop this node, move its "
                  "folder aside and join anew, so that it gets its rows from its peers",
                  e->text);
}

/* One table while nobody waits, never before the node is ready. */
static void check_slice(struct reader_state *s)
{
    struct err e = {0};
    const struct frozen *f = node_frozen(s->host->node);
    bool ready = f->ready;
    frozen_unref(f);
    if (!ready)
        return;
    int rc = store_check_slice(s->host->store, s->checked++, &e);
    if (rc <= 0)
        check_end(s, rc, &e);
}

/* ---- the thread ---- */

static bool is_peers(const struct errand *e)
{
    return e->kind == ERRAND_READ && e->request->who.role == ROLE_PEER;
}

static void errand(struct reader_state *s, struct errand *e)
{
    if (e->kind != ERRAND_READ)
        stream_errand(s, e);
    else if (follow_wanted(e->request))
        follow_begin(s, TAKE(e->request));
    else
        serve(s, TAKE(e->request));
    errand_free(e);
}

/* The reads of clients. Each snapshot is begun after they were asked, so each sees what was acknowledged
 * before. */
static void errands_run(struct reader_state *s, void **errands, size_t n)
{
    int64_t began_ms = 0;
    int reads = 0; /* in this snapshot; -1: there is none, each read begins its own */
    for (size_t i = 0; i < n; i++) {
        if (!errands[i])
            continue;
        if (reads == 0) {
            began_ms = machine_boot_ms();
            reads = store_read_begin(s->host->store, NULL) < 0 ? -1 : 0;
        }
        errand(s, errands[i]);
        if (reads < 0 || (++reads < SNAPSHOT_READS && machine_boot_ms() - began_ms < SNAPSHOT_MS))
            continue;
        store_read_end(s->host->store);
        reads = 0;
    }
    if (reads > 0)
        store_read_end(s->host->store);
}

/* Peers first: what they pull is what the cluster agrees on, and clients can wait for it. */
static void *reader_run(void *arg)
{
    struct host *h = arg;
    struct reader_state s = {
        .host = h, .log = h->log, .pullers = pull_memory_new(), .checking = node_unclean(h->node)};
    void **errands;
    TAILQ_INIT(&s.followers);
    pthread_setname_np(pthread_self(), "skepd-reader");
    while (!mailbox_closed(h->to_reader)) {
        size_t n = mailbox_take_all(h->to_reader, s.followers_n || s.checking ? FOLLOW_MS : -1, &errands);
        for (size_t i = 0; i < n; i++)
            if (is_peers(errands[i]))
                errand(&s, TAKE(errands[i]));
        errands_run(&s, errands, n);
        followers_fill(&s);
        if (s.checking && n == 0)
            check_slice(&s);
    }
    for (struct follower *f; (f = TAILQ_FIRST(&s.followers));)
        follower_end(&s, f);
    pull_memory_free(s.pullers);
    return NULL;
}

bool host_read(struct host *h, struct request *r TAKES)
{
    struct errand *e = mem_alloc(sizeof *e);
    e->request = r;
    return r->who.role == ROLE_PEER ? mailbox_post_always(h->to_reader, e) : mailbox_post(h->to_reader, e);
}

void host_read_stream(struct host *h, enum errand_kind kind, uint64_t id)
{
    struct errand *e = mem_alloc(sizeof *e);
    *e = (struct errand){.kind = kind, .id = id};
    mailbox_post_always(h->to_reader, e);
}

int host_reader_open(struct host *h, struct err *e)
{
    struct store_options o = {
        .path = h->db, .readonly = true, .read_limit_ms = READ_LIMIT_MS, .clock = &machine_clock};
    h->to_reader = mailbox_new(READER_REQUESTS_MAX, errand_free);
    return store_open(&h->store, &o, e);
}

void host_reader_start(struct host *h)
{
    h->reader_started = true;
    int rc = pthread_create(&h->reader, NULL, reader_run, h);
    ensure(rc == 0, "no thread for the reader: %d", rc);
}
