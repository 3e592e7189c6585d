/* A real node, its peer and its worker, of whom the input decides what they say: pings, pull requests, pages,
 * rows of any table, mail, lines of a channel, requests, ends of processes, and how much time passes between.
 *
 *   input := (what u8, bytes n u16 little-endian, bytes)*
 *
 * Whatever they say, nothing breaks, and every request gets exactly one answer. */
#include "fuzz.h"

#include <stdio.h>
#include <string.h>

#include "api/api.h"
#include "base/ensure.h"
#include "sim/simvfs.h"
#include "wire/buf.h"

#define DB           "/node.db"
#define VFS          "fuzz_peer"
#define EVENTS_MAX   96 /* of one input */
#define REQUESTS_MAX 97 /* one each, and the one that starts the worker */
#define RUNS_MAX     64
#define CALLS_MAX    64
#define LANES        7
#define PULL         "/v1/peer/pull"
#define ROWS_MAX     32 /* of one page */
#define REAL_MS      INT64_C(1700000000000)

enum what {
    WHAT_PING,
    WHAT_PULL,
    WHAT_PAGE,    /* the answer to our pull */
    WHAT_MAIL,    /* its messages */
    WHAT_LINE,    /* of the worker that was spawned last */
    WHAT_REQUEST, /* "METHOD path?query", a line break, the body */
    WHAT_PONG,    /* the answer to our ping */
    WHAT_MAILED,  /* the answer to our mail: a status */
    WHAT_FAILED,  /* how a call failed */
    WHAT_SPAWNED,
    WHAT_ENDED,     /* exit status, signal */
    WHAT_TIME,      /* ms, u16 */
    WHAT_GOOD_PEER, /* the peer answers as it should, for so many turns */
    WHAT_STOP,
    WHAT_KEEPER,
    WHAT_ROWS, /* a page of rows that are rows of their tables: see rows_make() */
    WHAT_POST, /* path u8, what follows after who it is: another message of the peer */
    WHAT_N
};

struct rig {
    struct node *node;
    struct simdisk *disk;
    int64_t boot_ms;
    uint8_t dice;
    int answers[REQUESTS_MAX + 1], requests;
    struct peer_call *calls[CALLS_MAX];
    uint64_t runs[RUNS_MAX];
    bool dying[RUNS_MAX];
    size_t runs_n;
};

static const struct id cluster = {{9, 9}}, self = {{1}}, other = {{2}};

/* ---- the world ---- */

static int64_t real_ms(void *ctx)
{
    struct rig *g = ctx;
    return REAL_MS + g->boot_ms;
}

static int64_t boot_ms(void *ctx)
{
    struct rig *g = ctx;
    return g->boot_ms;
}

static void fill(void *ctx, void *bytes, size_t n)
{
    struct rig *g = ctx;
    for (size_t i = 0; i < n; i++)
        ((unsigned char *)bytes)[i] = ++g->dice;
}

static void answer(void *ctx, uint64_t request, struct answer *a TAKES)
{
    struct rig *g = ctx;
    ensure(request > 0 && request <= (uint64_t)g->requests, "an answer to no request");
    ensure(++g->answers[request] == 1, "request %d was answered twice", (int)request);
    ensure(a->status >= 200 && a->status <= 599, "status %d", a->status);
    answer_free(a);
}

static void call(void *ctx, struct peer_call *c TAKES)
{
    struct rig *g = ctx;
    for (size_t i = 0; i < CALLS_MAX; i++)
        if (!g->calls[i]) {
            g->calls[i] = c;
            return;
        }
    unreachable("%d calls are out", CALLS_MAX);
}

static void spawn(void *ctx, struct spawn *s TAKES)
{
    struct rig *g = ctx;
    ensure(s->argv[0] && s->argv[0][0] == '/' && s->cwd, "nothing to run");
    g->runs[g->runs_n++ % RUNS_MAX] = s->run;
    spawn_free(s);
}

static int find(void *ctx, const char *argv0, char *const *env, const char *cwd, char *ret_path, size_t bytes)
{
    (void)ctx, (void)env, (void)cwd;
    return snprintf(ret_path, bytes, "/bin/%s", argv0) < (int)bytes ? 0 : 36;
}

static int tail(void *ctx, const char *log, int64_t lines, int64_t after, struct str *ret_text,
                int64_t *ret_next)
{
    (void)ctx, (void)lines, (void)after, (void)ret_text;
    ensure(!strchr(log, '/') && *log != '.', "a log that is a path: %s", log);
    *ret_next = 0;
    return -1;
}

static void end_soon(void *ctx, uint64_t run)
{
    struct rig *g = ctx;
    for (size_t i = 0; i < RUNS_MAX; i++)
        if (g->runs[i] == run)
            g->dying[i] = true;
}

static void line(void *ctx, uint64_t run, char *text TAKES, size_t n)
{
    struct err e = {0};
    (void)ctx, (void)run;
    ensure(!memchr(text, '\n', n), "a line of two lines");
    ensure(json_check(text, n, &e) == 0, "a line that is no JSON (%s): %s", e.text, text);
    free(text);
}

static const struct log quiet = {.min = LOG_ERROR, .fd = -1};

static struct world world_of(struct rig *g)
{
    return (struct world){.clock = {g, real_ms, boot_ms},
                          .random = {g, fill},
                          .net = {.self = g, .answer = answer, .call = call},
                          .proc = {g, spawn, find, tail, end_soon, end_soon, line, NULL},
                          .disk = {.path = DB, .vfs = VFS, .exclusive = true},
                          .log = &quiet};
}

/* ---- what happens ---- */

static void turn(struct rig *g, struct event ev)
{
    ev.at_boot_ms = g->boot_ms;
    if (node_ended(g->node) < 0)
        node_turn(g->node, &ev, 1);
    ensure(node_ended(g->node) != err_info(SKEP_EIO)->exit_status,
           "what somebody said passed for a bad disk");
    event_fini(&ev);
}

static void pass(struct rig *g, int64_t ms)
{
    g->boot_ms += ms;
    turn(g, (struct event){.kind = EV_TICK});
}

/* What was killed ends. */
static void bury(struct rig *g)
{
    for (size_t i = 0; i < RUNS_MAX; i++)
        if (g->dying[i]) {
            g->dying[i] = false;
            turn(g, (struct event){.kind = EV_CHILD_EXITED, .run = g->runs[i], .signal = 9});
        }
}

static struct peer_call *call_take(struct rig *g, int lane)
{
    for (size_t i = 0; i < CALLS_MAX; i++)
        if (g->calls[i] && (int)g->calls[i]->lane == lane)
            return TAKE(g->calls[i]);
    return NULL;
}

static void answered(struct rig *g, enum net_lane lane, int status, const void *p, size_t n)
{
    struct peer_call *c = call_take(g, (int)lane);
    if (c)
        turn(g, (struct event){.kind = EV_PEER_ANSWERED,
                               .call = c->id,
                               .status = status,
                               .bytes = mem_copy(p, n),
                               .bytes_n = n});
    peer_call_free(c);
}

/* The same for a call to this path. */
static void answered_at(struct rig *g, const char *path, int status, const void *p, size_t n)
{
    for (size_t i = 0; i < CALLS_MAX; i++) {
        struct peer_call *c = g->calls[i];
        if (!c || strcmp(c->path, path) != 0)
            continue;
        g->calls[i] = NULL;
        turn(g, (struct event){.kind = EV_PEER_ANSWERED,
                               .call = c->id,
                               .status = status,
                               .bytes = mem_copy(p, n),
                               .bytes_n = n});
        peer_call_free(c);
        return;
    }
}

static bool is_asked(const struct rig *g, const char *path)
{
    for (size_t i = 0; i < CALLS_MAX; i++)
        if (g->calls[i] && strcmp(g->calls[i]->path, path) == 0)
            return true;
    return false;
}

static void who_it_is(struct str *s)
{
    buf_id(s, &cluster);
    buf_id(s, &other);
}

/* As a node would answer that sees the same nodes. */
static void good_pong(struct rig *g)
{
    AUTOSTR struct str s = STR_INIT;
    struct peer_call *c = NULL;
    for (size_t i = 0; i < CALLS_MAX && !c; i++)
        c = g->calls[i] && g->calls[i]->lane == LANE_CONTROL ? g->calls[i] : NULL;
    if (!c)
        return;
    const struct frozen *f = node_frozen(g->node);
    struct frozen b = {.cluster = cluster,
                       .self = other,
                       .name = (char[]){"b"},
                       .url = (char[]){"https://b:1"},
                       .version = (char[]){"1"},
                       .actor = 77,
                       .born = REAL_MS << 16,
                       .member = true,
                       .signature = f->signature,
                       .nodes = f->nodes,
                       .nodes_n = f->nodes_n};
    int rc = node_serve_ping(&b, 1, real_ms(g), c->body, c->body_n, &s, NULL);
    ensure(rc == 0, "our own ping is none");
    frozen_unref(f);
    answered(g, LANE_CONTROL, 200, s.p, s.n);
}

static void good_page(struct rig *g)
{
    AUTOSTR struct str s = STR_INIT;
    buf_u8(&s, PULL_PAGE);
    vector_write(&s, &VV_INIT);
    buf_u8(&s, false);
    buf_u32(&s, 0);
    answered_at(g, PULL, 200, s.p, s.n);
}

static void good_peer(struct rig *g, int turns)
{
    for (int i = 0; i < turns; i++) {
        good_pong(g);
        good_page(g);
        answered(g, LANE_FORWARD, 200, "", 0);
        answered_at(g, "/v1/peer/compare", 200, "\2", 1); /* busy */
        bury(g);
        pass(g, 20);
    }
}

static unsigned byte(const char *p, size_t n, size_t i)
{
    return i < n ? (unsigned char)p[i] : 0;
}

/* ---- rows ---- */

static const char *const texts[] = {"",
                                    "w",
                                    "default",
                                    "02000000000000000000000000000000",
                                    "01000000000000000000000000000000",
                                    "{}",
                                    "{\"argv\":[\"w\"],\"ready\":\"spawn\",\"handoff\":true}",
                                    "{\"nodes\":[\"a\"]}",
                                    "running",
                                    "child",
                                    "address",
                                    "session",
                                    "s",
                                    "e1",
                                    "user",
                                    "\"half"};

/* A value of a column, from one byte: NULL, a small number, a moment, a text that means something there. */
static struct val value(const struct col *c, unsigned what)
{
    if (what == 0xff || (what == 0xfe && c->type != VAL_TEXT))
        return (struct val){.type = VAL_NULL};
    switch (c->type) {
    case VAL_INT:
        return (struct val){.type = VAL_INT,
                            .i = what < 0x80   ? (int64_t)what - 2
                                 : what < 0xf0 ? (REAL_MS + 1000 * (int64_t)what) << (what % 2 ? 16 : 0)
                                               : TABLE_INT_MAX - (what & 1)};
    case VAL_REAL:
        return (struct val){.type = VAL_REAL, .real = what};
    case VAL_TEXT:
    case VAL_BLOB:
    case VAL_NULL:
        break;
    }
    const char *text = texts[what % COUNT(texts)];
    return (struct val){.type = c->type, .p = text, .n = strlen(text)};
}

/* One row: table u8, flags u8 (1 dead, 2 of another actor, 4 without regard to its rank), age u8, a byte for
 * each column. Returns the bytes it took. */
static size_t row_make(struct str *s, const char *p, size_t n)
{
    const struct table *t = table_get((enum table_id)(byte(p, n, 0) % T_N));
    unsigned flags = byte(p, n, 1);
    struct val vals[TABLE_COLS_MAX];
    AUTOSTR struct str key = STR_INIT;
    AUTOSTR struct str bytes = STR_INIT;
    for (size_t i = 0; i < (size_t)t->cols_n; i++)
        vals[i] = value(&t->cols[i], byte(p, n, 3 + i));
    if (!table_fits(t, vals))
        return 3 + (size_t)t->cols_n;
    table_key(t, vals, &key);
    row_encode(&bytes, t->cols, vals, (size_t)t->cols_n, (struct span){NULL, 0});
    buf_bytes(s, t->name, strlen(t->name));
    buf_bytes(s, str_get(&key), key.n);
    buf_i64(s, t->epoch >= 0 && !(flags & 4) ? vals[t->epoch].i : flags >> 3);
    buf_i64(s, ((REAL_MS + 100000) << 16) + byte(p, n, 2));
    buf_i64(s, flags & 2 ? 78 : 77);
    buf_u8(s, flags & 1);
    buf_bytes(s, flags & 1 ? "" : str_get(&bytes), flags & 1 ? 0 : bytes.n);
    return 3 + (size_t)t->cols_n;
}

static void rows(struct rig *g, const char *p, size_t n)
{
    AUTOSTR struct str s = STR_INIT;
    AUTOSTR struct str all = STR_INIT;
    uint32_t count = 0;
    for (size_t at = 0; at < n && count < ROWS_MAX;) {
        size_t before = all.n;
        at += row_make(&all, p + at, n - at);
        count += all.n > before;
    }
    buf_u8(&s, PULL_PAGE);
    vector_write(&s, &VV_INIT);
    buf_u8(&s, false);
    buf_u32(&s, count);
    str_add(&s, str_get(&all), all.n);
    for (int i = 0; i < 40 && !is_asked(g, PULL); i++) {
        good_pong(g);
        pass(g, 20);
    }
    answered_at(g, PULL, 200, s.p, s.n);
}

/* ---- what the peer says unasked ---- */

static void pinged(struct rig *g, const char *p, size_t n)
{
    AUTOSTR struct str s = STR_INIT;
    const struct frozen *f = node_frozen(g->node);
    node_serve_ping(f, 1, real_ms(g), p, n, &s, NULL);
    frozen_unref(f);
    turn(g, (struct event){.kind = EV_PINGED, .node = other, .bytes = mem_copy(p, n), .bytes_n = n});
}

static void pulled(struct rig *g, const char *p, size_t n)
{
    AUTOSTR struct str s = STR_INIT;
    struct pull_memory *pullers = pull_memory_new();
    node_serve_pull(node_store(g->node), pullers, p, n, &s, NULL);
    pull_memory_free(pullers);
    turn(g, (struct event){.kind = EV_PULLED, .node = other, .bytes = mem_copy(p, n), .bytes_n = n});
}

static struct request *request_new(struct rig *g)
{
    struct request *r = mem_alloc(sizeof *r);
    r->id = (uint64_t)++g->requests;
    return r;
}

static void peer_posts(struct rig *g, const char *path, const char *p, size_t n)
{
    struct request *r = request_new(g);
    struct str s = STR_INIT;
    who_it_is(&s);
    str_add(&s, p, n);
    r->method = HTTP_M_POST;
    r->path = mem_dup(path);
    r->who = (struct principal){.role = ROLE_PEER, .node = other};
    r->body_n = s.n;
    r->body = str_take(&s);
    turn(g, (struct event){.kind = EV_REQUEST, .request = r});
}

static enum req_method method_take(const char **p, const char *end)
{
    for (int m = HTTP_M_GET; m < HTTP_M_OTHER; m++) {
        const char *word = api_method_word((enum req_method)m);
        size_t n = strlen(word);
        if ((size_t)(end - *p) > n && memcmp(*p, word, n) == 0 && (*p)[n] == ' ') {
            *p += n + 1;
            return (enum req_method)m;
        }
    }
    return HTTP_M_OTHER;
}

/* With an Idempotency-Key if the first line has a third word. */
static void asked(struct rig *g, const char *p, size_t n)
{
    struct request *r = request_new(g);
    const char *end = p + n, *nl = n ? memchr(p, '\n', n) : NULL;
    r->method = method_take(&p, nl ? nl : end);
    size_t head = (size_t)((nl ? nl : end) - p);
    r->path = mem_copy(p, head);
    r->body_n = nl ? (size_t)(end - nl) - 1 : 0;
    r->body = mem_copy(nl ? nl + 1 : "", r->body_n);
    char *key = strchr(r->path, ' ');
    if (key) {
        *key = 0;
        r->idempotency_key = mem_dup(key + 1);
    }
    char *query = strchr(r->path, '?');
    if (query) {
        *query = 0;
        r->query = mem_dup(query + 1);
    }
    r->who.role = ROLE_ADMIN;
    snprintf(r->who.name, sizeof r->who.name, "token:fuzz");
    if (strcmp(r->path, "/v1/peer/mail") == 0)
        r->who = (struct principal){.role = ROLE_PEER, .node = other};
    turn(g, (struct event){.kind = EV_REQUEST, .request = r});
}

static uint64_t run_of(const struct rig *g)
{
    return g->runs_n ? g->runs[(g->runs_n - 1) % RUNS_MAX] : 0;
}

static void happens(struct rig *g, enum what what, const char *p, size_t n)
{
    static const struct id *const node = &other;
    switch (what) {
    case WHAT_PING:
        pinged(g, p, n);
        return;
    case WHAT_PULL:
        pulled(g, p, n);
        return;
    case WHAT_PAGE:
        answered(g, LANE_BULK, 200, p, n);
        return;
    case WHAT_MAIL:
        peer_posts(g, "/v1/peer/mail", p, n);
        return;
    case WHAT_ROWS:
        rows(g, p, n);
        return;
    case WHAT_POST: {
        static const char *const paths[] = {"/v1/peer/resync", "/v1/peer/compare", "/v1/peer/relay"};
        peer_posts(g, paths[byte(p, n, 0) % COUNT(paths)], p + (n > 0), n - (n > 0));
        return;
    }
    case WHAT_LINE:
        turn(g,
             (struct event){.kind = EV_CHILD_LINE, .run = run_of(g), .bytes = mem_copy(p, n), .bytes_n = n});
        return;
    case WHAT_REQUEST:
        asked(g, p, n);
        return;
    case WHAT_PONG:
        answered(g, LANE_CONTROL, 200, p, n);
        return;
    case WHAT_MAILED:
        answered(g, LANE_FORWARD, byte(p, n, 0) ? 200 : 503, p, n);
        return;
    case WHAT_FAILED: {
        struct peer_call *c = call_take(g, (int)(byte(p, n, 0) % LANES));
        if (c)
            turn(g, (struct event){.kind = EV_PEER_FAILED,
                                   .call = c->id,
                                   .failure = (enum net_failure)(byte(p, n, 1) % (NET_UNREACHABLE + 1))});
        peer_call_free(c);
        return;
    }
    case WHAT_SPAWNED:
        turn(g, (struct event){.kind = EV_CHILD_SPAWNED, .run = run_of(g), .pid = 4711});
        return;
    case WHAT_ENDED:
        turn(g, (struct event){.kind = n > 2 ? EV_CHILD_FAILED : EV_CHILD_EXITED,
                               .run = run_of(g),
                               .error = 2,
                               .exit_status = (int)byte(p, n, 0),
                               .signal = (int)byte(p, n, 1) % 65});
        return;
    case WHAT_TIME:
        pass(g, (int64_t)(byte(p, n, 0) | byte(p, n, 1) << 8));
        return;
    case WHAT_GOOD_PEER:
        good_peer(g, (int)byte(p, n, 0) % 32);
        return;
    case WHAT_STOP:
        turn(g, (struct event){.kind = n ? EV_STOP : EV_PEER_CLOSED, .node = *node});
        return;
    case WHAT_KEEPER:
        turn(g, (struct event){.kind = EV_KEEPER_DIED});
        return;
    case WHAT_N:
        return;
    }
}

/* ---- an input ---- */

/* The database of a node that was never opened, made once. */
static void image_put(struct simdisk *d)
{
    static void *image;
    static size_t image_n;
    struct err e = {0};
    if (!image) {
        struct store_options o = {.path = DB, .vfs = VFS, .exclusive = true};
        ensure(store_create_in(&o, &cluster, &self, "a", true, NULL, &e) == 0, "%s", e.text);
        const void *bytes = simdisk_file(d, DB, &image_n);
        image = mem_copy(bytes, image_n);
    }
    simdisk_put(d, DB, image, image_n);
}

static int64_t disk_real_ms(void *ctx UNUSED)
{
    return REAL_MS;
}

static void disk_sleep(void *ctx UNUSED, int64_t ms UNUSED)
{
}

static void open_node(struct rig *g)
{
    static char url[] = "https://b:1", programs[] = "/bin/*";
    static char *const peers[] = {url, NULL}, *const allow[] = {programs, NULL};
    const struct node_options o = {.url = "https://a:1",
                                   .version = "1",
                                   .peers = peers,
                                   .allow_exec = allow,
                                   .work_dir = "/",
                                   .worker_role = "write",
                                   .suspect_ms = 1000,
                                   .down_ms = 3000,
                                   .ping_ms = 200,
                                   .sync_ms = 200,
                                   .compare_ms = 1000,
                                   .batch_window_ms = 500,
                                   .brake_ms = 5000,
                                   .handoff_ttl_ms = 60000,
                                   .tombstone_min_ms = 600000,
                                   .tombstone_max_ms = 86400000,
                                   .events_keep_ms = 86400000,
                                   .events_keep_rows = 10000,
                                   .alone_ms = 1000,
                                   .checkpoint_acks = 1,
                                   .children_max = 100,
                                   .serve = api_serve};
    const struct world w = world_of(g);
    struct err e = {0};
    ensure(node_open(&g->node, &o, &w, &e) == 0, "%s", e.text);
}

static void open_rig(struct rig *g)
{
    const struct simdisk_hooks hooks = {
        .self = g, .fill = fill, .real_ms = disk_real_ms, .sleep_ms = disk_sleep};
    g->boot_ms = 100000;
    g->disk = simdisk_new(VFS, &hooks);
    image_put(g->disk);
    open_node(g);
    static const char start[] = "PUT /v1/swarms/default/children/w\n{\"argv\":[\"w\"],\"ready\":\"spawn\"}";
    asked(g, start, sizeof start - 1);
    for (int i = 0; i < 200 && g->runs_n == 0; i++)
        good_peer(g, 1);
    ensure(g->runs_n == 1, "the worker was not started");
    happens(g, WHAT_SPAWNED, NULL, 0);
}

/* The longest time that a request may ask for is an hour. */
static void all_answered(struct rig *g)
{
    for (int i = 0; i < 40; i++) {
        bury(g);
        pass(g, i < 20 ? 100 : 200000);
    }
    for (int i = 1; i <= g->requests && node_ended(g->node) < 0; i++)
        ensure(g->answers[i] == 1, "request %d was never answered", i);
}

/* What was written must let it start again. */
static void close_rig(struct rig *g)
{
    node_close(g->node);
    open_node(g);
    pass(g, 100);
    node_close(g->node);
    simdisk_free(g->disk);
    for (size_t i = 0; i < CALLS_MAX; i++)
        peer_call_free(g->calls[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct rig g = {0};
    const char *p = (const char *)data, *end = p + n;
    open_rig(&g);
    for (int i = 0; i < EVENTS_MAX && end - p >= 3; i++) {
        enum what what = (enum what)(byte(p, 3, 0) % WHAT_N);
        size_t bytes = byte(p, 3, 1) | byte(p, 3, 2) << 8;
        p += 3;
        if (bytes > (size_t)(end - p))
            bytes = (size_t)(end - p);
        happens(&g, what, p, bytes);
        p += bytes;
    }
    all_answered(&g);
    close_rig(&g);
    return 0;
}
