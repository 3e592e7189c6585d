/* A node whose disk fails at each of its writes in turn: every request gets exactly one answer, what was
 * acknowledged survives a power cut, what was refused is not there, and a worker's checkpoints take effect in
 * their order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "sim/simvfs.h"

#define DB           "/node.db"
#define VFS          "faults"
#define REAL_MS      INT64_C(1700000000000)
#define NAMES        24
#define REQUESTS_MAX 200
#define NTH_MAX      200

struct rig {
    struct node *node;
    struct simdisk *disk;
    struct prng dice;
    int64_t boot_ms;
    int status[REQUESTS_MAX + 1], answers[REQUESTS_MAX + 1];
    int requests;
    uint64_t spawned; /* told of by the next turn */
    uint64_t run;
    bool exits, crashes;
    int said, acked; /* the worker's checkpoints */
    int responses, queue_full;
    int register_id[NAMES], remove_id[NAMES];
};

static const struct id cluster = {{9}}, self = {{1}};

/* ---- the world ---- */

static int64_t boot_ms(void *ctx)
{
    return ((struct rig *)ctx)->boot_ms;
}

static int64_t real_ms(void *ctx)
{
    return REAL_MS + boot_ms(ctx);
}

static void fill(void *ctx, void *bytes, size_t n)
{
    prng_fill(&((struct rig *)ctx)->dice, bytes, n);
}

static void sleep_ms(void *ctx, int64_t ms)
{
    ((struct rig *)ctx)->boot_ms += ms;
}

static void answer(void *ctx, uint64_t request, struct answer *a TAKES)
{
    struct rig *g = ctx;
    assert_in_range(request, 1, g->requests);
    if (++g->answers[request] != 1)
        fail_msg("request %d was answered twice", (int)request);
    g->status[request] = a->status;
    answer_free(a);
}

static void call(void *ctx, struct peer_call *c TAKES)
{
    (void)ctx;
    peer_call_free(c);
}

static void spawn(void *ctx, struct spawn *s TAKES)
{
    struct rig *g = ctx;
    g->spawned = s->run;
    spawn_free(s);
}

static int find(void *ctx, const char *argv0, char *const *env, const char *cwd, char *ret_path, size_t bytes)
{
    (void)ctx, (void)env, (void)cwd;
    snprintf(ret_path, bytes, "/bin/%s", argv0);
    return 0;
}

static void end(void *ctx, uint64_t run)
{
    struct rig *g = ctx;
    g->exits |= run == g->run;
}

static void line(void *ctx, uint64_t run, char *text TAKES, size_t n)
{
    struct rig *g = ctx;
    static const char ok[] = "\"ack\":\"";
    const char *at = strstr(text, "\"type\":\"ok\"") ? strstr(text, ok) : NULL;
    (void)n;
    g->responses += strstr(text, "\"type\":\"response\"") != NULL;
    g->queue_full += strstr(text, "queue_full") != NULL;
    if (run == g->run && at) {
        int acked = atoi(at + sizeof ok - 1);
        assert_true(acked > g->acked); /* in order, and once */
        g->acked = acked;
    }
    free(text);
}

static const struct log quiet = {.min = LOG_ERROR, .fd = -1};

static void node_start(struct rig *g)
{
    static char programs[] = "/bin/*";
    static char *const allow[] = {programs, NULL};
    const struct node_options o = {.url = "https://a:1",
                                   .version = "1",
                                   .allow_exec = allow,
                                   .work_dir = "/",
                                   .suspect_ms = 1000,
                                   .down_ms = 3000,
                                   .ping_ms = 200,
                                   .sync_ms = 200,
                                   .batch_window_ms = 500,
                                   .brake_ms = 5000,
                                   .handoff_ttl_ms = 60000,
                                   .tombstone_min_ms = 600000,
                                   .tombstone_max_ms = 86400000,
                                   .events_keep_ms = 86400000,
                                   .events_keep_rows = 10000,
                                   .alone_ms = 100,
                                   .checkpoint_acks = 1,
                                   .children_max = 100,
                                   .serve = api_serve};
    const struct world w = {.clock = {g, real_ms, boot_ms},
                            .random = {g, fill},
                            .net = {.self = g, .answer = answer, .call = call},
                            .proc = {g, spawn, find, NULL, end, end, line, NULL, NULL},
                            .disk = {.path = DB, .vfs = VFS, .exclusive = true},
                            .log = &quiet};
    struct err e = {0};
    if (node_open(&g->node, &o, &w, &e) < 0)
        fail_msg("%s", e.text);
}

static void disk_start(struct rig *g)
{
    const struct simdisk_hooks hooks = {.self = g, .fill = fill, .real_ms = real_ms, .sleep_ms = sleep_ms};
    struct store_options o = {.path = DB, .vfs = VFS, .exclusive = true};
    struct err e = {0};
    g->disk = simdisk_new(VFS, &hooks);
    if (store_create_in(&o, &cluster, &self, "a", true, NULL, &e) < 0)
        fail_msg("%s", e.text);
}

/* ---- what happens ---- */

static void turn(struct rig *g, struct event *events, size_t n)
{
    for (size_t i = 0; i < n; i++)
        events[i].at_boot_ms = g->boot_ms;
    if (node_ended(g->node) < 0)
        node_turn(g->node, events, n);
    for (size_t i = 0; i < n; i++)
        event_fini(&events[i]);
}

/* Time passes, and processes do what was asked of them. */
static void pass(struct rig *g, int64_t ms)
{
    g->boot_ms += ms;
    struct event ev = {.kind = EV_TICK};
    if (g->crashes) {
        ev = (struct event){.kind = EV_CHILD_EXITED, .run = g->run, .exit_status = 1};
        g->crashes = false;
        g->run = 0;
    } else if (g->exits) {
        ev = (struct event){.kind = EV_CHILD_EXITED, .run = g->run};
        g->exits = false;
    } else if (g->spawned) {
        g->run = g->spawned;
        g->spawned = 0;
        ev = (struct event){.kind = EV_CHILD_SPAWNED, .run = g->run, .pid = 7};
    }
    turn(g, &ev, 1);
}

static struct event request(struct rig *g, enum req_method m, const char *path, const char *key,
                            const char *body)
{
    struct request *r = mem_alloc(sizeof *r);
    r->id = (uint64_t)++g->requests;
    assert_true(g->requests <= REQUESTS_MAX);
    r->method = m;
    r->path = mem_dup(path);
    r->idempotency_key = mem_dup(key);
    r->body = mem_dup(body);
    r->body_n = strlen(body);
    r->who = (struct principal){.role = ROLE_ADMIN, .name = "test"};
    return (struct event){.kind = EV_REQUEST, .request = r};
}

static struct event checkpoint(struct rig *g)
{
    char *text = mem_printf("{\"type\":\"checkpoint\",\"data\":%d,\"ack\":\"%d\"}", g->said + 1, g->said + 1);
    g->said++;
    return (struct event){.kind = EV_CHILD_LINE, .run = g->run, .bytes = text, .bytes_n = strlen(text)};
}

/* Four requests of different kinds and two lines in one batch. */
static void work_batch(struct rig *g, int i)
{
    struct event ev[8];
    size_t n = 0;
    AUTOFREE char *name = mem_printf("/v1/swarms/default/names/e%d", i);
    AUTOFREE char *old = mem_printf("/v1/swarms/default/names/e%d", i / 2);
    AUTOFREE char *template = mem_printf("/v1/templates/t%d", i);
    AUTOFREE char *key = mem_printf("key-%d", i);
    ev[n++] = request(g, HTTP_M_PUT, name, key, "{\"address\":\"h:1\",\"ttl_ms\":86400000}");
    g->register_id[i] = g->requests;
    if (g->run)
        ev[n++] = checkpoint(g);
    ev[n++] = request(g, HTTP_M_PUT, template, NULL, "{\"argv\":[\"x\"]}");
    if (g->run)
        ev[n++] = checkpoint(g);
    if (i % 4 == 2) {
        ev[n++] = request(g, HTTP_M_DELETE, old, NULL, "");
        g->remove_id[i / 2] = g->requests;
    }
    ev[n++] = request(g, HTTP_M_POST, "/v1/sessions", NULL, "{}");
    turn(g, ev, n);
}

static void worker_start(struct rig *g)
{
    struct event start = request(g, HTTP_M_PUT, "/v1/swarms/default/children/w", NULL,
                                 "{\"argv\":[\"w\"],\"restart\":\"permanent\"}");
    turn(g, &start, 1);
}

static void work_some(struct rig *g, int from, int to)
{
    for (int i = from; i < to; i++) {
        pass(g, 20);
        work_batch(g, i);
    }
}

static void settle(struct rig *g)
{
    for (int i = 0; i < 40 && node_ended(g->node) < 0; i++)
        pass(g, 1000);
}

static void work(struct rig *g)
{
    work_some(g, 0, NAMES);
    settle(g);
}

/* ---- what must hold ---- */

static bool exists(struct store *s, int i)
{
    struct name_row row = {.swarm = mem_dup("default"), .name = mem_printf("e%d", i)};
    int rc = store_load(s, T_NAME, &row, NULL);
    assert_true(rc >= 0);
    row_fini(T_NAME, &row);
    return rc == 1;
}

static bool good(int status)
{
    return status >= 200 && status < 300;
}

static bool refused(int status) /* 0: never answered; 504: it may have happened */
{
    return status >= 400 && status != 504;
}

static void assert_names(struct rig *g, struct store *s, const char *what)
{
    for (int i = 0; i < NAMES; i++) {
        int made = g->status[g->register_id[i]];
        int removed = g->remove_id[i] ? g->status[g->remove_id[i]] : 404;
        if (good(made) && refused(removed) && !exists(s, i))
            fail_msg("%s: e%d was acknowledged, and is not there", what, i);
        if (refused(made) && exists(s, i))
            fail_msg("%s: e%d was refused with %d, and is there", what, i, made);
        if (good(removed) && exists(s, i))
            fail_msg("%s: e%d was removed, and is there", what, i);
    }
}

static void assert_checkpoint(struct rig *g, struct store *s, const char *what, bool ended)
{
    struct checkpoint_row row = {.swarm = mem_dup("default"), .name = mem_dup("w")};
    int at = store_load(s, T_CHECKPOINT, &row, NULL) == 1 ? atoi(row.data.p) : 0;
    row_fini(T_CHECKPOINT, &row);
    if (at < g->acked || at > g->said || (!ended && at != g->said))
        fail_msg("%s: the checkpoint is %d, %d were sent, %d acknowledged", what, at, g->said, g->acked);
}

/* The power goes, and what is on the disk then is looked at. */
static void assert_kept(struct rig *g, const char *what, bool ended)
{
    struct store *s;
    struct err e = {0};
    struct store_options o = {.path = DB, .vfs = VFS, .exclusive = true};
    simdisk_crash(g->disk, &g->dice);
    node_close(g->node);
    if (store_open(&s, &o, &e) < 0)
        fail_msg("%s: %s", what, e.text);
    assert_names(g, s, what);
    assert_checkpoint(g, s, what, ended);
    store_close(s);
}

static void assert_answered(struct rig *g, const char *what)
{
    for (int i = 1; i <= g->requests; i++)
        if (g->answers[i] != 1)
            fail_msg("%s: request %d has %d answers", what, i, g->answers[i]);
}

static int count(const struct rig *g, bool (*which)(int status))
{
    int n = 0;
    for (int i = 1; i <= g->requests; i++)
        n += which(g->status[i]);
    return n;
}

static void begin(struct rig *g, uint64_t seed)
{
    *g = (struct rig){.boot_ms = 1000};
    prng_init(&g->dice, seed);
    disk_start(g);
    node_start(g);
    for (int i = 0; i < 10; i++)
        pass(g, 50);
    worker_start(g);
    pass(g, 10);
}

/* Whether the plan was reached. */
static bool run(enum simdisk_op op, int nth, enum simdisk_fault fault)
{
    struct rig g;
    char what[64];
    snprintf(what, sizeof what, "fault %d at operation %d.%d", (int)fault, (int)op, nth);
    begin(&g, (uint64_t)nth * 3 + op + 1);
    int64_t before = simdisk_count(g.disk, op);
    simdisk_plan(g.disk, op, nth, fault);
    work(&g);
    bool ended = node_ended(g.node) >= 0, reached = simdisk_count(g.disk, op) - before >= nth;
    if (!ended)
        assert_answered(&g, what);
    assert_true(ended || (g.said > NAMES && count(&g, good) > 3 * NAMES));
    if (fault == SIMDISK_FULL && ended)
        fail_msg("%s: a full disk ended the node", what);
    assert_kept(&g, what, ended);
    simdisk_free(g.disk);
    return reached;
}

static void a_disk_that_is_full_at_any_write(void **state)
{
    (void)state;
    int reached = 0;
    for (int nth = 1; nth <= NTH_MAX; nth++)
        reached += run(SIMDISK_WRITE, nth, SIMDISK_FULL);
    assert_true(reached > NTH_MAX / 2);
}

static void a_disk_that_breaks_at_any_write(void **state)
{
    (void)state;
    for (int nth = 1; nth <= NTH_MAX; nth += 7)
        run(SIMDISK_WRITE, nth, SIMDISK_IOERR);
}

/* One request in its batch, which nothing carries out again alone: its answer follows what is on the disk. */
static void no_answer_leaves_before_its_commit(void **state)
{
    (void)state;
    int broken = 0;
    for (int nth = 1; nth <= 8; nth++) {
        struct rig g;
        begin(&g, (uint64_t)nth);
        simdisk_plan(g.disk, SIMDISK_WRITE, nth, SIMDISK_IOERR);
        struct event ev =
            request(&g, HTTP_M_PUT, "/v1/swarms/default/names/e0", NULL, "{\"address\":\"h:1\"}");
        g.register_id[0] = g.requests;
        turn(&g, &ev, 1);
        broken += node_ended(g.node) >= 0;
        assert_kept(&g, "one request", true);
        simdisk_free(g.disk);
    }
    assert_true(broken > 0);
}

static void a_sync_that_fails(void **state)
{
    (void)state;
    for (int nth = 1; nth <= 20; nth++)
        run(SIMDISK_SYNC, nth, SIMDISK_IOERR);
}

/* A worker crashed once meanwhile: that counts once, however often its end could not be written. */
static void a_disk_that_stays_full_for_a_while(void **state)
{
    static const char what[] = "a full disk";
    struct rig g;
    (void)state;
    begin(&g, 5);
    work_some(&g, 0, 8);
    simdisk_limit(g.disk, simdisk_bytes(g.disk));
    work_some(&g, 8, 16);
    g.crashes = true;
    settle(&g);
    assert_int_equal(node_ended(g.node), -1);
    assert_true(count(&g, refused) >= 8);
    simdisk_limit(g.disk, 0);
    settle(&g);
    work_some(&g, 16, NAMES);
    settle(&g);
    assert_answered(&g, what);
    struct child_row row = {.swarm = mem_dup("default"), .name = mem_dup("w")};
    assert_int_equal(store_load(node_store(g.node), T_CHILD, &row, NULL), 1);
    assert_string_equal(row.status, "running");
    assert_int_equal(row.restarts, 1);
    row_fini(T_CHILD, &row);
    assert_kept(&g, what, false);
    simdisk_free(g.disk);
}

/* Each gets its answer: at once, if too many wait already. */
static void a_worker_that_asks_without_end(void **state)
{
    static const char text[] = "{\"type\":\"request\",\"ref\":\"r\",\"method\":\"POST\","
                               "\"path\":\"/v1/swarms/default/children/w/calls\",\"body\":{\"data\":1}}";
    struct rig g;
    (void)state;
    begin(&g, 6);
    for (int i = 0; i < 600; i++) {
        struct event ev = {
            .kind = EV_CHILD_LINE, .run = g.run, .bytes = mem_dup(text), .bytes_n = sizeof text - 1};
        turn(&g, &ev, 1);
    }
    assert_int_equal(g.responses, g.queue_full);
    assert_int_equal(g.queue_full, 600 - 256);
    settle(&g);
    assert_int_equal(g.responses, 600);
    struct event again = {
        .kind = EV_CHILD_LINE, .run = g.run, .bytes = mem_dup(text), .bytes_n = sizeof text - 1};
    turn(&g, &again, 1);
    assert_int_equal(g.queue_full, 600 - 256);
    simdisk_kill(g.disk);
    node_close(g.node);
    simdisk_free(g.disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_disk_that_is_full_at_any_write),
        cmocka_unit_test(a_disk_that_breaks_at_any_write),
        cmocka_unit_test(no_answer_leaves_before_its_commit),
        cmocka_unit_test(a_sync_that_fails),
        cmocka_unit_test(a_disk_that_stays_full_for_a_while),
        cmocka_unit_test(a_worker_that_asks_without_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
