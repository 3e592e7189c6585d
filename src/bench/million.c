/* million: a node with very many names on disk: how soon it is ready, in how much memory, and how soon it
 * says why one of them is where it is. Beside it the same node without them. The rows are put into a stopped
 * node's file by the store itself.
 */
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "bench/bench.h"
#include "bench/load.h"
#include "real/machine.h"
#include "store/store.h"

#define PER_COMMIT  2000
#define READY_MS    60000
#define USES        20000
#define WHYS        1000
#define CONNECTIONS 8

struct node {
    const struct bench *b;
    struct cluster c; /* as it was made; the node runs without `skep dev` */
    pid_t pid;
    uint32_t at, put;
};

/* kB of a line of /proc/PID/status. */
static double status_mib(pid_t pid, const char *name)
{
    AUTOFREE char *path = mem_printf("/proc/%d/status", (int)pid);
    char line[256];
    double kib = NAN;
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f))
        if (text_starts(line, name))
            kib = strtod(line + strlen(name), NULL);
    if (f)
        fclose(f);
    return kib / 1024;
}

static bool is_ready(struct node *n)
{
    struct http h = {.fd = -1};
    bool ready = http_open(&h, n->c.tls, n->c.port[0], NULL) == 0 &&
                 http_call(&h, "GET", "/readyz", NULL, NULL, 5000, NULL) == 0 && h.status == 200;
    http_close(&h);
    return ready;
}

/* From exec to the first good answer of /readyz. */
static int start(struct node *n, double *ret_s, struct err *e)
{
    char *argv[] = {n->c.node[0].skepd, (char *)"--config", n->c.node[0].conf, NULL};
    int64_t began = now_ns();
    n->pid = run(argv, -1, n->c.log);
    while (n->pid > 0 && !is_ready(n)) {
        if (waitpid(n->pid, NULL, WNOHANG) != 0)
            return said(n->c.log, "skepd ended at its start", e);
        if (now_ns() - began > (int64_t)READY_MS * 1000000)
            return err_set(e, SKEP_ETIMEOUT, "skepd is not ready after %d s", READY_MS / 1000);
        pause_ms(2);
    }
    *ret_s = (double)(now_ns() - began) / 1e9;
    return 0;
}

static void stop(struct node *n)
{
    if (n->pid <= 0)
        return;
    kill(n->pid, SIGTERM);
    waitpid(n->pid, NULL, 0);
    n->pid = 0;
}

static int fill_some(struct store *s, int64_t from, int64_t to, struct err *e)
{
    int rc = db_begin(store_db(s), e);
    for (int64_t i = from; rc == 0 && i < to; i++) {
        AUTOFREE char *name = mem_printf("service-%lld", (long long)i);
        struct name_row row = {.swarm = (char *)"default",
                               .name = name,
                               .kind = (char *)"address",
                               .address = (char *)"10.1.2.3:5432",
                               .metadata = (char *)"{\"tag\":\"hot\"}",
                               .epoch = store_hlc(s) + 1};
        rc = store_save(s, T_NAME, &row, e);
    }
    if (rc == 0)
        rc = store_vv_raise(s, store_actor(s), store_written(s), e);
    return rc < 0 ? rc : db_commit(store_db(s), e);
}

/* As a run of the node that wrote nothing else. */
static int fill(const struct node *n, struct err *e)
{
    const char *db = n->c.node[0].db;
    struct store *s;
    int64_t names = n->b->names;
    int rc = store_open(&s, &(struct store_options){.path = db, .clock = &machine_clock}, e);
    if (rc < 0)
        return rc;
    AUTOFREE char *node = store_meta(s, "node");
    struct actor_row actor = {.actor = 4711, .node = node, .born_at = 1};
    store_run(s, actor.actor);
    rc = db_begin(store_db(s), e);
    if (rc == 0)
        rc = store_save(s, T_ACTOR, &actor, e);
    rc = rc == 0 ? db_commit(store_db(s), e) : rc;
    for (int64_t i = 0; rc == 0 && i < names; i += PER_COMMIT) {
        rc = fill_some(s, i, i + PER_COMMIT < names ? i + PER_COMMIT : names, e);
        if (rc == 0 && i % (20 * PER_COMMIT) == 0)
            rc = db_checkpoint(store_db(s), false, e);
    }
    if (rc == 0)
        rc = db_checkpoint(store_db(s), true, e);
    store_close(s);
    return rc;
}

static void get_one(void *ctx, int connection, struct str *ret)
{
    struct node *n = ctx;
    char path[80];
    (void)connection;
    snprintf(path, sizeof path, "/v1/swarms/default/names/service-%lld",
             (long long)(n->at++ * INT64_C(7919) % n->b->names));
    http_request(ret, "GET", path, n->c.token, NULL);
}

static void put_one(void *ctx, int connection, struct str *ret)
{
    struct node *n = ctx;
    char path[80];
    (void)connection;
    snprintf(path, sizeof path, "/v1/swarms/default/names/new-%u", n->put++ * 2654435761u);
    http_request(ret, "PUT", path, n->c.token, "{\"address\":\"10.1.2.3:5432\"}");
}

/* One after the other, over one connection. */
static struct load load_of(struct node *n, int64_t requests,
                           void (*request)(void *ctx, int connection, struct str *ret))
{
    return (struct load){.tls = n->c.tls,
                         .ports = n->c.port,
                         .ports_n = 1,
                         .connections = 1,
                         .status = 200,
                         .requests = requests,
                         .request = request,
                         .ctx = n};
}

static int use(struct node *n, bool put, struct err *e)
{
    struct loaded got;
    struct load l = load_of(n, USES, put ? put_one : get_one);
    l.connections = CONNECTIONS;
    l.status = put ? 201 : 200;
    int rc = load_run(&l, &got, e);
    loaded_fini(&got);
    return rc;
}

static void why_one(void *ctx, int connection, struct str *ret)
{
    struct node *n = ctx;
    char path[80];
    (void)connection;
    snprintf(path, sizeof path, "/v1/swarms/default/children/service-%lld/why",
             (long long)(n->at++ * INT64_C(7919) % n->b->names));
    http_request(ret, "GET", path, n->c.token, NULL);
}

/* Until it is told why a name is where it is: p99. The name may be nobody's. */
static int why(struct node *n, double *ret_ms, struct err *e)
{
    struct loaded got;
    struct load l = load_of(n, WHYS, why_one);
    int rc = load_run(&l, &got, e);
    *ret_ms = samples_at(&got.latency_ms, 0.99);
    loaded_fini(&got);
    return rc;
}

struct empty {
    double ready_s[16], mib[16], why_ms[16];
};

static int measure_empty(struct node *n, struct empty *ret, struct err *e)
{
    int rc = 0;
    for (int i = 0; rc == 0 && i < n->b->runs && i < 16; i++) {
        rc = start(n, &ret->ready_s[i], e);
        ret->mib[i] = status_mib(n->pid, "VmRSS:");
        if (rc == 0)
            rc = why(n, &ret->why_ms[i], e);
        stop(n);
    }
    return rc;
}

static int measure_full(struct bench *b, struct node *n, const struct empty *empty, struct err *e)
{
    struct result *ready = report_new(&b->report, "million", "s", "%lld names: ready", (long long)b->names);
    struct result *rss =
        report_new(&b->report, "million", "MiB", "%lld names: RSS when ready", (long long)b->names);
    struct result *used =
        report_new(&b->report, "million", "MiB", "%lld names: RSS after %d look-ups and writes",
                   (long long)b->names, USES);
    struct result *told =
        report_new(&b->report, "million", "ms", "%lld names: why NAME, p99", (long long)b->names);
    int rc = 0;
    told->aim = AIM_MAX;
    told->limit = 50;
    told->yardstick = "no names";
    ready->aim = rss->aim = used->aim = AIM_MAX;
    ready->limit = 1;
    rss->limit = used->limit = 96;
    ready->yardstick = rss->yardstick = used->yardstick = "no names";
    for (int i = 0; rc == 0 && i < b->runs && i < 16; i++) {
        double seconds, mib, why_ms;
        progress("million: run %d of %d", i + 1, b->runs);
        if ((rc = start(n, &seconds, e)) < 0)
            break;
        mib = status_mib(n->pid, "VmRSS:");
        if ((rc = use(n, false, e)) < 0 || (rc = use(n, true, e)) < 0)
            break;
        if ((rc = why(n, &why_ms, e)) < 0)
            break;
        result_run(told, why_ms, empty->why_ms[i]);
        result_run(ready, seconds, empty->ready_s[i]);
        result_run(rss, mib, empty->mib[i]);
        result_run(used, status_mib(n->pid, "VmRSS:"), empty->mib[i]);
        stop(n);
    }
    stop(n);
    return rc;
}

static int measure(struct bench *b, struct err *e)
{
    AUTOFREE char *dir = folder_new(b->dir, "million");
    struct node n = {.b = b};
    struct empty empty;
    int rc = cluster_start(&n.c, b->bin, dir, 1, e);
    if (rc == 0) { /* the folder and its node are made; from here on it runs by itself */
        kill(n.c.dev, SIGTERM);
        waitpid(n.c.dev, NULL, 0);
        n.c.dev = 0;
        rc = measure_empty(&n, &empty, e);
    }
    if (rc == 0) {
        progress("million: writing %lld names", (long long)b->names);
        rc = fill(&n, e);
    }
    if (rc == 0)
        rc = measure_full(b, &n, &empty, e);
    stop(&n);
    cluster_stop(&n.c);
    folder_remove(dir);
    return rc;
}

const struct figure figure_million = {"million", "a node with a million names starts", measure};
