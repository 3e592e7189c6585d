/* What the tests of node/ share: one real node on a real file, a world that writes down what leaves it, a
 * clock that only the test moves, and one peer, if wanted, that answers pings and pulls as a peer would.
 */
#ifndef SKEP_TEST_NODE_BENCH_H
#define SKEP_TEST_NODE_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "node/brain.h"
#include "wire/buf.h"

#define BENCH_REAL_MS    INT64_C(1767225600000)
#define BENCH_PEER_ACTOR 77

struct bench_answer {
    uint64_t request;
    int status;
    char *body;
};

struct bench {
    struct node *n;
    struct world w;
    int64_t boot_ms;
    uint64_t random, requests;
    char folder[64], path[96];
    struct bench_answer answers[64];
    int answers_n;
    int mails;                       /* that went out and carried something */
    struct str mail;                 /* the newest of them */
    bool peer, peer_deaf, peer_full; /* full: it takes no mail */
    struct id peer_id;
    struct event queue[64]; /* what the peer answers in the next turn */
    size_t queue_n;
    int (*serve)(struct bench *b, struct op *op);
    int served;
    void (*page)(struct bench *b, struct reader *request, struct str *answer); /* NULL: nothing new */
    void (*resync)(struct bench *b, struct str *answer);                       /* NULL: no answer */
};

static struct bench *bench_now; /* for the serve function, which gets no pointer of ours */

static inline int64_t bench_boot_ms(void *self)
{
    return ((struct bench *)self)->boot_ms;
}

static inline int64_t bench_real_ms(void *self)
{
    return BENCH_REAL_MS + ((struct bench *)self)->boot_ms;
}

static inline void bench_fill(void *self, void *bytes, size_t n)
{
    struct bench *b = self;
    for (size_t i = 0; i < n; i++)
        ((unsigned char *)bytes)[i] =
            (unsigned char)(b->random = b->random * 6364136223846793005u + 1) >> 3 | 1;
}

static inline void bench_answered(void *self, uint64_t request, struct answer *a TAKES)
{
    struct bench *b = self;
    assert_in_range(b->answers_n, 0, (int)COUNT(b->answers) - 1);
    b->answers[b->answers_n++] =
        (struct bench_answer){request, a->status, mem_copy(a->body ? a->body : "", a->body_n)};
    answer_free(a);
}

static inline struct event *bench_reply(struct bench *b, const struct peer_call *c, struct str *bytes TAKES)
{
    struct event *ev = &b->queue[b->queue_n++];
    *ev = (struct event){.kind = EV_PEER_ANSWERED, .call = c->id, .status = 200, .at_boot_ms = b->boot_ms};
    ev->bytes_n = bytes->n;
    ev->bytes = mem_copy(str_get(bytes), bytes->n);
    str_fini(bytes);
    return ev;
}

/* The peer agrees with whatever view this node has. */
static inline void bench_ping(struct bench *b, const struct peer_call *c)
{
    struct str bytes = STR_INIT;
    struct frozen f = {.cluster = b->n->cluster,
                       .self = b->peer_id,
                       .name = (char *)"other",
                       .url = (char *)"https://other:1",
                       .version = (char *)"1",
                       .actor = BENCH_PEER_ACTOR,
                       .born = 1,
                       .member = true,
                       .signature = b->n->view.signature};
    int rc = node_serve_ping(&f, 0, bench_real_ms(b), c->body, c->body_n, &bytes, NULL);
    assert_int_equal(rc, 0);
    bench_reply(b, c, &bytes);
}

/* It has nothing that this node has not. */
static inline void bench_page(struct bench *b, const struct peer_call *c)
{
    struct str bytes = STR_INIT;
    struct reader request = reader_init(c->body, c->body_n);
    if (b->page) {
        b->page(b, &request, &bytes);
    } else {
        buf_u8(&bytes, PULL_PAGE);
        vector_write(&bytes, &VV_INIT);
        buf_u8(&bytes, false);
        buf_u32(&bytes, 0);
    }
    bench_reply(b, c, &bytes);
}

static inline void bench_called(void *self, struct peer_call *c TAKES)
{
    struct bench *b = self;
    assert_in_range(b->queue_n, 0, COUNT(b->queue) - 1);
    if (b->peer_deaf)
        ;
    else if (strcmp(c->path, "/v1/peer/ping") == 0)
        bench_ping(b, c);
    else if (strcmp(c->path, "/v1/peer/pull") == 0)
        bench_page(b, c);
    else if (strcmp(c->path, "/v1/peer/resync") == 0) {
        struct str bytes = STR_INIT;
        if (b->resync) {
            b->resync(b, &bytes);
            bench_reply(b, c, &bytes);
        }
    } else {
        struct str empty = STR_INIT;
        if (c->body_n > 2 * sizeof(struct id) + 1 /* cluster, node, poke */) {
            b->mails++;
            str_clear(&b->mail);
            str_add(&b->mail, c->body, c->body_n);
        }
        bench_reply(b, c, &empty)->status = b->peer_full ? 503 : 200;
    }
    peer_call_free(c);
}

static inline int bench_serve(struct node *n, struct op *op)
{
    (void)n;
    bench_now->served++;
    return bench_now->serve(bench_now, op);
}

/* A turn after so many ms, with what the peer has answered, and one more event if wanted. */
static inline void bench_turn_end(struct bench *b, int64_t after_ms, struct event *more)
{
    struct event events[65];
    size_t n = b->queue_n;
    b->boot_ms += after_ms;
    memcpy(events, b->queue, n * sizeof *events);
    b->queue_n = 0;
    if (more)
        events[n++] = *more;
    node_turn(b->n, events, n);
}

/* The same, of a node that goes on. */
static inline void bench_turn(struct bench *b, int64_t after_ms, struct event *more)
{
    bench_turn_end(b, after_ms, more);
    assert_int_equal(node_ended(b->n), -1);
}

static inline void bench_run(struct bench *b, int64_t ms)
{
    for (int64_t end = b->boot_ms + ms; b->boot_ms < end;)
        bench_turn(b, 10, NULL);
}

static inline void bench_begin(struct bench *b, bool peer, int (*serve)(struct bench *b, struct op *op))
{
    struct err e = {0};
    static char url[] = "https://other:1";
    static char *const urls[] = {url, NULL};
    struct id cluster = {{1}}, self = {{2}};
    *b = (struct bench){.boot_ms = 1000000, .random = 42, .peer = peer, .peer_id = {{3}}, .serve = serve};
    bench_now = b;
    snprintf(b->folder, sizeof b->folder, "/tmp/skep-node-XXXXXX");
    assert_non_null(mkdtemp(b->folder));
    snprintf(b->path, sizeof b->path, "%s/skep.db", b->folder);
    b->w = (struct world){.clock = {b, bench_real_ms, bench_boot_ms},
                          .random = {b, bench_fill},
                          .net = {.self = b, .answer = bench_answered, .call = bench_called},
                          .disk = {.path = b->path}};
    static const struct log silent = {.min = LOG_ERROR, .fd = -1};
    b->w.log = &silent;
    int rc = store_create(b->path, &cluster, &self, "self", true, NULL, &e);
    if (rc < 0)
        fail_msg("%s", e.text);
    struct node_options o = {.url = "https://self:1",
                             .version = "1",
                             .peers = peer ? urls : NULL,
                             .suspect_ms = 5000,
                             .down_ms = 30000,
                             .ping_ms = 1000,
                             .sync_ms = 500,
                             .batch_window_ms = 500,
                             .brake_ms = 30000,
                             .tombstone_min_ms = 600000,
                             .tombstone_max_ms = 86400000,
                             .events_keep_ms = 86400000,
                             .events_keep_rows = 1000,
                             .alone_ms = 5000,
                             .checkpoint_acks = 1,
                             .serve = bench_serve};
    rc = node_open(&b->n, &o, &b->w, &e);
    if (rc < 0)
        fail_msg("%s", e.text);
    bench_run(b, peer ? 1000 : 20);
    assert_true(node_open_now(b->n));
    assert_int_equal(view_others(&b->n->view), peer);
}

static inline void bench_end(struct bench *b)
{
    static const char *const files[] = {"skep.db", "skep.db-wal", "skep.db-shm"};
    node_close(b->n);
    for (size_t i = 0; i < b->queue_n; i++)
        event_fini(&b->queue[i]);
    for (int i = 0; i < b->answers_n; i++)
        free(b->answers[i].body);
    str_fini(&b->mail);
    for (size_t i = 0; i < COUNT(files); i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", b->folder, files[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(b->folder), 0);
}

/* A client's request, whose id is returned. */
static inline struct event bench_request(struct bench *b)
{
    struct request *r = mem_alloc(sizeof *r);
    r->id = ++b->requests;
    r->method = HTTP_M_POST;
    r->path = mem_dup("/v1/test");
    r->body = mem_dup("");
    r->who.role = ROLE_ADMIN;
    return (struct event){.kind = EV_REQUEST, .request = r, .at_boot_ms = b->boot_ms};
}

static inline void bench_ask(struct bench *b)
{
    struct event ev = bench_request(b);
    bench_turn(b, 1, &ev);
}

static inline int bench_status(const struct bench *b, uint64_t request)
{
    int found = 0, status = 0;
    for (int i = 0; i < b->answers_n; i++)
        if (b->answers[i].request == request) {
            found++;
            status = b->answers[i].status;
        }
    assert_in_range(found, 0, 1);
    return status;
}

/* The peer has pulled, and says that it has on disk what this node wrote up to hlc. */
static inline struct event bench_pulled(struct bench *b, int64_t hlc)
{
    struct str body = STR_INIT;
    AUTOVV struct vv has = VV_INIT;
    buf_u8(&body, PULL_PROTO);
    buf_id(&body, &b->n->cluster);
    buf_id(&body, &b->peer_id);
    buf_i64(&body, BENCH_PEER_ACTOR);
    buf_varint(&body, 1);
    buf_varint(&body, 0);
    vv_put(&has, b->n->actor, hlc);
    vector_write(&body, &has);
    vector_write(&body, &VV_INIT);
    vector_write(&body, &VV_INIT);
    struct event ev = {.kind = EV_PULLED, .node = b->peer_id, .at_boot_ms = b->boot_ms, .bytes_n = body.n};
    ev.bytes = str_take(&body);
    return ev;
}

static inline struct answer *bench_text(int status, const char *text)
{
    struct str s = STR_INIT;
    str_puts(&s, text);
    return answer_json(status, &s);
}

static inline int bench_waits_open(struct bench *b, struct op *op)
{
    if (node_open_now(b->n))
        op_answer(b->n, op, bench_text(200, "{}"));
    else
        op_wait_open(b->n, op);
    return 0;
}

static inline int64_t bench_stamp(const struct bench *b, int64_t ahead_ms)
{
    return (BENCH_REAL_MS + b->boot_ms + ahead_ms) << 16;
}

/* In memory, which must be as it is on disk. */
static inline int64_t bench_vector(struct bench *b, int64_t actor)
{
    AUTOVV struct vv disk = VV_INIT;
    assert_int_equal(store_vv(b->n->store, &disk, NULL), 0);
    assert_int_equal(vv_get(&disk, actor), vv_get(&b->n->vv, actor));
    return vv_get(&b->n->vv, actor);
}

/* A row of ours; its stamp is store_written. */
static inline int bench_write(struct bench *b, const char *name)
{
    struct name_row row = {.swarm = mem_dup("default"), .name = mem_dup(name), .kind = mem_dup("address")};
    own_claim(b->n, &row, NULL, 0);
    int rc = store_save(b->n->store, T_NAME, &row, &b->n->fault);
    row_fini(T_NAME, &row);
    return rc;
}

static inline bool bench_has(struct bench *b, const char *name)
{
    struct name_row row = {.swarm = mem_dup("default"), .name = mem_dup(name)};
    int rc = store_load(b->n->store, T_NAME, &row, NULL);
    row_fini(T_NAME, &row);
    return rc == 1;
}

#endif
