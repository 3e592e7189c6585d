/* failover and handoff: a node with many small workers dies, or leaves, and they run elsewhere. Beside them a
 * keeper that spawns as many.
 *
 * The workers are put on one node by a swarm that only this node serves at first. Each run has a cluster of
 * its own, for a node that came back would not be the same.
 */
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/load.h"
#include "bench/spawning.h"

#define STATE_BYTES 4096
#define LIMIT_MS    120000
#define POLL_MS     20
#define STARTERS    16
#define SWARM       "/v1/swarms/bench"
#define RUNNING_SQL                                                                                          \
    "SELECT count(*) FROM child WHERE swarm = 'bench' AND status = 'running' AND "                           \
    "node = (SELECT value FROM meta WHERE key = 'node')"

struct start {
    const char *token, *body;
    int next;
};

static void start_one(void *ctx, int connection, struct str *ret)
{
    struct start *s = ctx;
    char path[64];
    (void)connection;
    snprintf(path, sizeof path, SWARM "/children/w%04d", s->next++);
    http_request(ret, "PUT", path, s->token, s->body);
}

static int start_all(struct bench *b, struct cluster *c, size_t on, bool state, struct err *e)
{
    AUTOFREE char *body = mem_printf("{\"argv\":[\"%s/sleeper\"%s],\"handoff_ms\":10000}", b->examples,
                                     state ? ",\"--state\",\"4096\"" : "");
    struct start s = {.token = c->token, .body = body};
    struct loaded got;
    struct load l = {.tls = c->tls,
                     .ports = &c->port[on],
                     .ports_n = 1,
                     .connections = STARTERS,
                     .status = 201,
                     .requests = b->workers,
                     .request = start_one,
                     .ctx = &s};
    int rc = load_run(&l, &got, e);
    loaded_fini(&got);
    return rc;
}

/* What the nodes other than one say in their own files. */
struct watches {
    struct watch *running[CLUSTER_NODES_MAX], *waiting[CLUSTER_NODES_MAX];
    size_t n;
};

static void watches_init(struct watches *w, const struct cluster *c, size_t without)
{
    *w = (struct watches){0};
    for (size_t i = 0; i < c->n; i++)
        if (i != without) {
            w->running[w->n] = watch_new(c->node[i].db, RUNNING_SQL);
            w->waiting[w->n++] = watch_new(c->node[i].db, "SELECT count(*) FROM handoff");
        }
}

static void watches_fini(struct watches *w)
{
    for (size_t i = 0; i < w->n; i++) {
        watch_free(w->running[i]);
        watch_free(w->waiting[i]);
    }
}

static int64_t sum(struct watch *const *list, size_t n)
{
    int64_t total = 0;
    for (size_t i = 0; i < n; i++)
        total += watch_get(list[i]);
    return total;
}

/* Until all workers run there and, with `restored`, no hand-off waits. */
static int until(const struct bench *b, struct watches *w, bool restored, double *ret_s, struct err *e)
{
    int64_t start = now_ns();
    for (;;) {
        int64_t n = sum(w->running, w->n), waiting = 0;
        if (n == b->workers && (!restored || (waiting = sum(w->waiting, w->n)) == 0))
            break;
        if (now_ns() - start > (int64_t)LIMIT_MS * 1000000)
            return err_set(e, SKEP_ETIMEOUT,
                           "after %d s %lld of %d workers run elsewhere, %lld hand-offs wait",
                           LIMIT_MS / 1000, (long long)n, b->workers, (long long)waiting);
        pause_ms(POLL_MS);
    }
    *ret_s = (double)(now_ns() - start) / 1e9;
    return 0;
}

/* Every node knows of the swarm's new nodes. */
static int serve(struct cluster *c, const char *nodes, int status, struct err *e)
{
    AUTOFREE char *body = mem_printf("{\"nodes\":[%s]}", nodes);
    int rc = cluster_call(c, 0, "PUT", SWARM, body, status, NULL, e);
    for (size_t i = 0; rc == 0 && i < c->n; i++)
        for (int64_t end = now_ms() + 10000;;) {
            AUTOFREE char *sql =
                mem_printf("SELECT count(*) FROM swarm WHERE swarm = 'bench' AND "
                           "json_array_length(settings, '$.nodes') = json_array_length('[%s]')",
                           nodes);
            if (raw_ask(c->node[i].db, sql) == 1)
                break;
            if (now_ms() > end)
                return err_set(e, SKEP_ETIMEOUT, "node %s does not see the swarm's nodes", c->node[i].name);
            pause_ms(POLL_MS);
        }
    return rc;
}

static int move(const struct bench *b, const struct cluster *c, size_t from, int sig, double *ret_s,
                struct err *e)
{
    struct watches w;
    int64_t here = raw_ask(c->node[from].db, RUNNING_SQL), came = b->workers;
    if (here != b->workers)
        return err_set(e, SKEP_EINTERNAL, "%lld of %d workers run on node %s", (long long)here, b->workers,
                       c->node[from].name);
    watches_init(&w, c, from);
    kill(c->node[from].pid, sig);
    int rc = until(b, &w, sig == SIGTERM, ret_s, e);
    watches_fini(&w);
    if (rc == 0 && sig == SIGTERM)
        came = raw_ask(c->node[0].db, "SELECT count(*) FROM change WHERE tbl = 'handoff' AND dead = 1");
    if (rc == 0 && came != b->workers)
        return err_set(e, SKEP_EINTERNAL, "%lld of %d states arrived", (long long)came, b->workers);
    return rc;
}

static int one_run(struct bench *b, int sig, double *ret_s, struct err *e)
{
    AUTOFREE char *dir = folder_new(b->dir, "move");
    AUTOSTR struct str nodes = STR_INIT;
    struct cluster c = {0};
    size_t last = (size_t)b->nodes - 1;
    int rc = cluster_start(&c, b->bin, dir, (size_t)b->nodes, e);
    if (rc == 0) {
        AUTOFREE char *one = mem_printf("\"%s\"", c.node[last].name);
        for (size_t i = 0; i < c.n; i++)
            str_printf(&nodes, "%s\"%s\"", i ? "," : "", c.node[i].name);
        rc = serve(&c, one, 201, e);
    }
    if (rc == 0)
        rc = start_all(b, &c, last, sig == SIGTERM, e);
    if (rc == 0)
        rc = serve(&c, str_get(&nodes), 200, e);
    if (rc == 0)
        rc = move(b, &c, last, sig, ret_s, e);
    cluster_stop(&c);
    folder_remove(dir);
    return rc;
}

static int measure_moves(struct bench *b, struct result *r, int sig, struct err *e)
{
    int rc = 0;
    r->yardstick = "keeper alone";
    r->aim = AIM_MAX;
    for (int i = 0; rc == 0 && i < b->runs; i++) {
        double got, yard;
        progress("%s: run %d of %d", r->figure, i + 1, b->runs);
        rc = keepers_spawn(b, 1, &yard, e);
        if (rc == 0)
            rc = one_run(b, sig, &got, e);
        if (rc == 0)
            result_run(r, got, yard);
    }
    return rc;
}

static int measure_failover(struct bench *b, struct err *e)
{
    struct result *r =
        report_new(&b->report, "failover", "s", "kill -9 with %d workers, %d nodes", b->workers, b->nodes);
    r->limit = 3;
    return measure_moves(b, r, SIGKILL, e);
}

static int measure_handoff(struct bench *b, struct err *e)
{
    struct result *r = report_new(&b->report, "handoff", "s", "SIGTERM with %d states of %d bytes, %d nodes",
                                  b->workers, STATE_BYTES, b->nodes);
    r->limit = 5;
    return measure_moves(b, r, SIGTERM, e);
}

const struct figure figure_failover = {"failover", "a killed node's workers run elsewhere", measure_failover};
const struct figure figure_handoff = {"handoff", "a leaving node's workers run elsewhere with their state",
                                      measure_handoff};
