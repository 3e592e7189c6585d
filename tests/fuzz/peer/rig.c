#include "rig.h"

#include <stdio.h>
#include <string.h>

#include "api/api.h"
#include "base/ensure.h"
#include "kept.h"
#include "made.h"
#include "world/event.h"

#define DB  "/node.db"
#define VFS "fuzz_peer"

const struct id cluster = {{9, 9}}, self = {{1}};
const struct mate mate_b = {{{2}}, "b", "https://b:1", 77}, mate_c = {{{3}}, "c", "https://c:1", 79};

/* ---- the world ---- */

static void note(struct rig *g, const void *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        g->seen = (g->seen ^ ((const unsigned char *)p)[i]) * UINT64_C(0x100000001b3);
}

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
    note(g, a->body ? a->body : "", a->body_n);
    answer_free(a);
}

static void call(void *ctx, struct peer_call *one TAKES)
{
    struct rig *g = ctx;
    note(g, one->path, strlen(one->path));
    note(g, one->body, one->body_n);
    for (size_t i = 0; i < CALLS_MAX; i++)
        if (!g->calls[i]) {
            g->calls[i] = one;
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
    (void)run;
    ensure(!memchr(text, '\n', n), "a line of two lines");
    ensure(json_check(text, n, &e) == 0, "a line that is no JSON (%s): %s", e.text, text);
    note(ctx, text, n);
    free(text);
}

static struct world world_of(struct rig *g)
{
    static const struct log quiet = {.min = LOG_ERROR, .fd = -1};
    return (struct world){.clock = {g, real_ms, boot_ms},
                          .random = {g, fill},
                          .net = {.self = g, .answer = answer, .call = call},
                          .proc = {g, spawn, find, tail, end_soon, end_soon, line, NULL, NULL},
                          .disk = {.path = DB, .vfs = VFS, .exclusive = true},
                          .log = &quiet};
}

/* ---- turns ---- */

void turn(struct rig *g, struct event ev TAKES)
{
    ev.at_boot_ms = g->boot_ms;
    if (node_ended(g->node) < 0)
        node_turn(g->node, &ev, 1);
    ensure(node_ended(g->node) != err_info(SKEP_EIO)->exit_status,
           "what somebody said passed for a bad disk");
    event_fini(&ev);
}

void pass(struct rig *g, int64_t ms)
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

/* ---- calls ---- */

/* A static peer's call names nobody yet. */
static bool is_to(const struct peer_call *one, const struct mate *to)
{
    return one && (id_is_zero(&one->node) ? strcmp(one->url, to->url) == 0 : id_equal(&one->node, &to->id));
}

struct peer_call *call_take(struct rig *g, const struct mate *to, enum net_lane lane)
{
    for (size_t i = 0; i < CALLS_MAX; i++)
        if (is_to(g->calls[i], to) && g->calls[i]->lane == lane)
            return TAKE(g->calls[i]);
    return NULL;
}

struct peer_call *call_take_path(struct rig *g, const struct mate *to, const char *path)
{
    for (size_t i = 0; i < CALLS_MAX; i++)
        if (is_to(g->calls[i], to) && strcmp(g->calls[i]->path, path) == 0)
            return TAKE(g->calls[i]);
    return NULL;
}

bool is_asked(const struct rig *g, const struct mate *to, const char *path)
{
    for (size_t i = 0; i < CALLS_MAX; i++)
        if (is_to(g->calls[i], to) && strcmp(g->calls[i]->path, path) == 0)
            return true;
    return false;
}

void answered(struct rig *g, struct peer_call *one TAKES, int status, const void *p, size_t n)
{
    if (one)
        turn(g, (struct event){.kind = EV_PEER_ANSWERED,
                               .call = one->id,
                               .status = status,
                               .bytes = mem_copy(p, n),
                               .bytes_n = n});
    peer_call_free(one);
}

void failed(struct rig *g, struct peer_call *one TAKES, enum net_failure how)
{
    if (one)
        turn(g, (struct event){.kind = EV_PEER_FAILED, .call = one->id, .failure = how});
    peer_call_free(one);
}

/* ---- requests ---- */

struct request *request_new(struct rig *g, enum req_method method, const char *path, const void *body,
                            size_t n)
{
    struct request *r = mem_alloc(sizeof *r);
    r->id = (uint64_t)++g->requests;
    ensure(g->requests <= REQUESTS_MAX, "too many requests");
    r->method = method;
    r->path = mem_dup(path);
    r->body = mem_copy(body, n);
    r->body_n = n;
    return r;
}

void asked(struct rig *g, struct request *r TAKES)
{
    turn(g, (struct event){.kind = EV_REQUEST, .request = r});
}

void peer_posts(struct rig *g, const struct mate *by, const char *path, const void *p, size_t n)
{
    AUTOSTR struct str s = STR_INIT;
    buf_id(&s, &cluster);
    buf_id(&s, &by->id);
    str_add(&s, p, n);
    struct request *r = request_new(g, HTTP_M_POST, path, str_get(&s), s.n);
    r->who = (struct principal){.role = ROLE_PEER, .node = by->id};
    asked(g, r);
}

/* ---- peers that behave ---- */

/* As a node would answer that sees the same nodes. C is no home of anything. */
static bool pong_to(struct rig *g, const struct mate *by, const void *ping, size_t n, struct str *ret)
{
    const struct frozen *f = node_frozen(g->node);
    struct frozen_node light = {.id = mate_c.id, .name = (char[]){"c"}};
    bool is_b = by == &mate_b;
    struct frozen mine = {.cluster = cluster,
                          .self = by->id,
                          .name = (char *)(uintptr_t)by->name,
                          .url = (char *)(uintptr_t)by->url,
                          .version = (char[]){"1"},
                          .actor = by->actor,
                          .born = REAL_MS << 16,
                          .member = true,
                          .signature = f->signature,
                          .nodes = is_b ? f->nodes : &light,
                          .nodes_n = is_b ? f->nodes_n : 1};
    int rc = node_serve_ping(&mine, 1, real_ms(g), ping, n, ret, NULL);
    frozen_unref(f);
    return rc == 0;
}

static void good_pong(struct rig *g, const struct mate *by)
{
    AUTOSTR struct str s = STR_INIT;
    struct peer_call *one = call_take(g, by, LANE_CONTROL);
    if (!one)
        return;
    ensure(pong_to(g, by, one->body, one->body_n, &s), "our own ping is none");
    answered(g, one, 200, str_get(&s), s.n);
}

static void write_page(struct str *s)
{
    buf_u8(s, PULL_PAGE);
    vector_write(s, &VV_INIT);
    buf_u8(s, false);
    buf_u32(s, 0);
}

static void good_answers(struct rig *g, const struct mate *by)
{
    AUTOSTR struct str page = STR_INIT;
    write_page(&page);
    good_pong(g, by);
    answered(g, call_take_path(g, by, PULL), 200, str_get(&page), page.n);
    answered(g, call_take(g, by, LANE_FORWARD), 200, "", 0);
    answered(g, call_take_path(g, by, COMPARE), 200, "\2", 1); /* busy */
}

/* What C hears of B for us: the answer, wrapped; or that B is silent there, too. */
static void carried(struct rig *g, struct peer_call *one TAKES)
{
    AUTOSTR struct str s = STR_INIT, inner = STR_INIT;
    struct reader r = reader_init(one->body, one->body_n);
    read_id(&r);
    read_id(&r);
    struct id target = read_id(&r);
    read_varint(&r);
    AUTOFREE char *path = read_text(&r);
    struct span body = read_bytes(&r);
    ensure(reader_done(&r) && path, "what is passed on cannot be read");
    bool there = g->way != WAY_NONE && id_equal(&target, &mate_b.id);
    if (there && strcmp(path, PING_PATH) == 0)
        there = pong_to(g, &mate_b, body.p, body.n, &inner);
    else if (strcmp(path, PULL) == 0)
        write_page(&inner);
    else if (strcmp(path, RESYNC) == 0)
        buf_u8(&inner, PULL_BUSY);
    buf_u8(&s, there);
    if (there) {
        buf_u32(&s, 200);
        buf_bytes(&s, str_get(&inner), inner.n);
    }
    answered(g, one, 200, str_get(&s), s.n);
}

void good_pongs(struct rig *g)
{
    if (g->way == WAY_DIRECT)
        good_pong(g, &mate_b);
    else
        failed(g, call_take(g, &mate_b, LANE_CONTROL), NET_TIMEOUT);
    if (g->third) {
        good_pong(g, &mate_c);
        for (int i = 0; i < 4; i++) {
            struct peer_call *one = call_take_path(g, &mate_c, RELAY_PATH);
            if (one)
                carried(g, one);
        }
    }
}

void good_peer(struct rig *g, int turns)
{
    for (int i = 0; i < turns; i++) {
        good_pongs(g);
        if (g->way == WAY_DIRECT)
            good_answers(g, &mate_b);
        for (enum net_lane lane = LANE_BULK; g->way != WAY_DIRECT && lane <= LANE_FORWARD; lane++)
            failed(g, call_take(g, &mate_b, lane), NET_TIMEOUT);
        if (g->third)
            good_answers(g, &mate_c);
        bury(g);
        pass(g, 20);
    }
}

void third_comes(struct rig *g)
{
    AUTOSTR struct str s = STR_INIT;
    buf_id(&s, &cluster);
    buf_id(&s, &mate_c.id);
    buf_text(&s, mate_c.name);
    buf_text(&s, mate_c.url);
    buf_i64(&s, mate_c.actor);
    buf_i64(&s, REAL_MS << 16);
    buf_u8(&s, true);
    buf_varint(&s, 0);
    g->third = true;
    turn(g, (struct event){
                .kind = EV_PINGED, .node = mate_c.id, .bytes = mem_copy(str_get(&s), s.n), .bytes_n = s.n});
    good_peer(g, 4);
}

/* ---- an input ---- */

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

void rig_open(struct rig *g)
{
    static const char spec[] = "{\"argv\":[\"w\"],\"ready\":\"spawn\"}";
    static bool begun;
    const struct world w = world_of(g);
    if (!begun)
        kept_begin(&w.disk, &cluster, &self);
    begun = true;
    g->boot_ms = 100000;
    g->pullers = pull_memory_new();
    open_node(g);
    struct request *r = request_new(g, HTTP_M_PUT, "/v1/swarms/default/children/w", spec, sizeof spec - 1);
    r->who.role = ROLE_ADMIN;
    snprintf(r->who.name, sizeof r->who.name, "token:fuzz");
    asked(g, r);
    for (int i = 0; i < 200 && g->runs_n == 0; i++)
        good_peer(g, 1);
    ensure(g->runs_n == 1, "the worker was not started");
    turn(g, (struct event){.kind = EV_CHILD_SPAWNED, .run = g->runs[0], .pid = 4711});
}

/* Whoever waited for an answer has lost the connection, and every process of the node is gone. */
void rig_restart(struct rig *g)
{
    if (node_ended(g->node) >= 0)
        return;
    node_close(g->node);
    for (size_t i = 0; i < CALLS_MAX; i++)
        peer_call_free(TAKE(g->calls[i]));
    for (int i = 1; i <= g->requests; i++)
        g->answers[i] |= g->answers[i] == 0;
    g->runs_n = 0;
    memset(g->dying, 0, sizeof g->dying);
    g->boot_ms += 100;
    open_node(g);
}

static bool all_answered(const struct rig *g)
{
    for (int i = 1; i <= g->requests; i++)
        if (g->answers[i] == 0)
            return false;
    return true;
}

/* What was passed on for others and has no answer by now: as the network would end it. */
static void passed_on_end(struct rig *g)
{
    for (size_t i = 0; i < CALLS_MAX; i++)
        if (g->calls[i] && (g->calls[i]->lane == LANE_FOR || g->calls[i]->lane == LANE_FOR_PING))
            failed(g, TAKE(g->calls[i]), NET_TIMEOUT);
}

/* The longest time that a request may ask for is an hour. */
void rig_settle(struct rig *g)
{
    for (int i = 0; i < 40 && node_ended(g->node) < 0; i++) {
        bury(g);
        passed_on_end(g);
        if (i >= 8 && all_answered(g))
            return;
        pass(g, i < 5 || (i >= 8 && i < 20) ? 100 : 200000);
    }
    ensure(node_ended(g->node) >= 0 || all_answered(g), "a request was never answered");
}

void rig_close(struct rig *g)
{
    node_close(g->node);
    open_node(g);
    pass(g, 100);
    node_close(g->node);
    kept_reset();
    pull_memory_free(g->pullers);
    copies_free(g->whole, g->whole_n);
    for (size_t i = 0; i < CALLS_MAX; i++)
        peer_call_free(g->calls[i]);
}
