/* sync: what replicas cost that are equal: bytes of a round trip, processor time of a node that has nothing
 * to do, with nothing stored and with many names; and how long replicas that are far from equal need, after
 * the last of these names was acknowledged.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/load.h"
#include "bench/talk.h"

#define NAMES         50000
#define NAMES_QUICK   2000
#define CONNECTIONS   64
#define SETTLE_MS     3000
#define IDLE_MS       30000
#define FULL_MS       60000 /* all rows are compared once a minute */
#define IDLE_MS_QUICK 4000
#define LIMIT_MS      60000
#define PULLS_MIN_HZ  1.4 /* of a connection: pings come once a second, pulls nearly twice */

struct syncing {
    struct bench *b;
    struct cluster *c;
    struct result *trip, *node_bytes, *cpu, *names, *cpu_full;
    int64_t next[CONNECTIONS];
};

/* ---- nothing happens ---- */

/* Bytes between nodes in that time; ret_trip: of a pull and its answer. */
static int64_t said_between(const struct talk *a, const struct talk *b, double s, double *ret_trip)
{
    int64_t bytes = 0, pull_bytes = 0, pulls = 0;
    for (size_t i = 0; i < b->n; i++) {
        struct talk_line line;
        if (!talk_since(a, &b->line[i], &line))
            continue;
        bytes += line.bytes;
        if ((double)line.requests < PULLS_MIN_HZ * s)
            continue;
        pull_bytes += line.bytes;
        pulls += line.requests;
    }
    *ret_trip = pulls ? (double)pull_bytes / (double)pulls : NAN;
    return bytes;
}

/* Nothing, for so long; ret_cpu: percent of a core that a node took. */
static double rest(const struct syncing *s, int ms, double *ret_cpu)
{
    double cpu_s = cluster_cpu_s(s->c);
    int64_t from = now_ns();
    pause_ms(s->b->quick ? IDLE_MS_QUICK : ms);
    double wall_s = (double)(now_ns() - from) / 1e9;
    *ret_cpu = (cluster_cpu_s(s->c) - cpu_s) / wall_s / (double)s->c->n * 100;
    return wall_s;
}

static int idle(struct syncing *s, struct err *e)
{
    struct talk a = {0}, b = {0};
    double trip = NAN, cpu;
    pause_ms(SETTLE_MS); /* what ends the start is no idleness */
    int rc = talk_take(s->c->port, s->c->n, &a, e);
    double wall_s = rest(s, IDLE_MS, &cpu);
    if (rc == 0)
        rc = talk_take(s->c->port, s->c->n, &b, e);
    if (rc == 0) {
        int64_t bytes = said_between(&a, &b, wall_s, &trip);
        result_run(s->trip, trip, NAN);
        result_run(s->node_bytes, (double)bytes / wall_s / (double)s->c->n, NAN);
        result_run(s->cpu, cpu, NAN);
    }
    talk_fini(&a);
    talk_fini(&b);
    return rc;
}

/* ---- a lot has happened ---- */

static void put_name(void *ctx, int connection, struct str *ret)
{
    struct syncing *s = ctx;
    char path[96];
    snprintf(path, sizeof path, "/v1/swarms/default/names/sync-%d-%lld", connection,
             (long long)s->next[connection]++);
    http_request(ret, "PUT", path, s->c->token, "{\"address\":\"10.1.2.3:5432\"}");
}

/* Milliseconds until every node has so many names. */
static int everywhere(struct syncing *s, int64_t want, double *ret_ms, struct err *e)
{
    int64_t from = now_ns();
    for (size_t i = 0; i < s->c->n; i++) {
        struct watch *w = watch_new(s->c->node[i].db, "SELECT count(*) FROM name");
        while (watch_get(w) < want && now_ns() - from < LIMIT_MS * INT64_C(1000000))
            pause_ms(2);
        bool there = watch_get(w) >= want;
        watch_free(w);
        if (!there)
            return err_set(e, SKEP_ETIMEOUT, "%s has not all names after %d s", s->c->node[i].name,
                           LIMIT_MS / 1000);
    }
    *ret_ms = (double)(now_ns() - from) / 1e6;
    return 0;
}

static int names(struct syncing *s, struct err *e)
{
    struct load l = {.tls = s->c->tls,
                     .ports = s->c->port,
                     .ports_n = s->c->n,
                     .connections = CONNECTIONS,
                     .status = 201,
                     .requests = s->b->quick ? NAMES_QUICK : NAMES,
                     .request = put_name,
                     .ctx = s};
    struct loaded got = {0};
    double ms = NAN, cpu;
    int rc = load_run(&l, &got, e);
    if (rc == 0)
        rc = everywhere(s, got.answered, &ms, e);
    if (rc == 0) {
        pause_ms(SETTLE_MS);
        rest(s, FULL_MS, &cpu);
        result_run(s->names, ms / 1000, NAN);
        result_run(s->cpu_full, cpu, NAN);
    }
    loaded_fini(&got);
    return rc;
}

static void results_new(struct syncing *s)
{
    struct report *r = &s->b->report;
    int n = s->b->nodes, many = s->b->quick ? NAMES_QUICK : NAMES;
    s->trip = report_new(r, "sync", "bytes", "equal replicas, %d nodes: a pull and its answer", n);
    s->node_bytes = report_new(r, "sync", "bytes/s", "idle, %d nodes: to and from each", n);
    s->cpu = report_new(r, "sync", "% of a core", "idle, %d nodes: a node", n);
    s->names = report_new(r, "sync", "s", "%d names on %d nodes, after the last answer", many, n);
    s->cpu_full = report_new(r, "sync", "% of a core", "idle, %d nodes with %d names: a node", n, many);
    s->trip->aim = s->cpu->aim = s->names->aim = AIM_MAX;
    s->trip->limit = 1024;
    s->cpu->limit = s->names->limit = 1;
}

static int one_run(struct syncing *s, struct err *e)
{
    AUTOFREE char *dir = folder_new(s->b->dir, "sync");
    struct cluster c = {0};
    memset(s->next, 0, sizeof s->next);
    s->c = &c;
    int rc = cluster_start(&c, s->b->bin, dir, (size_t)s->b->nodes, e);
    if (rc == 0)
        rc = idle(s, e);
    if (rc == 0)
        rc = names(s, e);
    cluster_stop(&c);
    folder_remove(dir);
    return rc;
}

static int measure(struct bench *b, struct err *e)
{
    struct syncing s = {.b = b};
    int rc = 0;
    results_new(&s);
    for (int i = 0; rc == 0 && i < b->runs; i++) {
        progress("sync: run %d of %d", i + 1, b->runs);
        rc = one_run(&s, e);
    }
    return rc;
}

const struct figure figure_sync = {"sync", "equal replicas, an idle node, and many names to catch up",
                                   measure};
