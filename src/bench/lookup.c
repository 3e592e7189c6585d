/* lookup: looking a name up, beside the same server answering a constant, and that beside a bare loop of
 * epoll and OpenSSL.
 */
#include <stdio.h>

#include "bench/bare.h"
#include "bench/bench.h"
#include "bench/load.h"

#define CONNECTIONS 32
#define NAMES       1000

struct asking {
    const char *token, *fixed; /* fixed: the one path to ask for */
    uint32_t at;
};

static void get_one(void *ctx, int connection, struct str *ret)
{
    struct asking *a = ctx;
    char path[64];
    (void)connection;
    if (!a->fixed)
        snprintf(path, sizeof path, "/v1/swarms/default/names/n%u", a->at++ * 7919 % NAMES);
    http_request(ret, "GET", a->fixed ? a->fixed : path, a->token, NULL);
}

static void put_one(void *ctx, int connection, struct str *ret)
{
    struct asking *a = ctx;
    char path[64];
    (void)connection;
    snprintf(path, sizeof path, "/v1/swarms/default/names/n%u", a->at++);
    http_request(ret, "PUT", path, a->token,
                 "{\"address\":\"10.1.2.3:5432\",\"metadata\":{\"tag\":\"hot\"}}");
}

static int rate(struct bench *b, struct load *l, double *ret, struct err *e)
{
    struct loaded got;
    l->warm_ms = b->warm_ms;
    l->run_ms = b->run_ms;
    int rc = load_run(l, &got, e);
    *ret = got.per_second;
    loaded_fini(&got);
    return rc;
}

static int measure_runs(struct bench *b, struct cluster *c, uint16_t bare, struct err *e)
{
    struct result *name = report_new(&b->report, "lookup", "1/s", "a name, %d connections", CONNECTIONS);
    struct result *constant = report_new(&b->report, "lookup", "1/s", "/livez, %d connections", CONNECTIONS);
    struct asking names = {.token = c->token}, livez = {.fixed = "/livez"};
    struct load l = {.tls = c->tls,
                     .ports = c->port,
                     .ports_n = 1,
                     .connections = CONNECTIONS,
                     .status = 200,
                     .request = get_one};
    int rc = 0;
    name->yardstick = "/livez";
    name->aim = constant->aim = AIM_RATIO_MIN;
    name->limit = 0.7;
    constant->yardstick = "epoll + OpenSSL";
    constant->limit = 0.75;
    for (int i = 0; rc == 0 && i < b->runs; i++) {
        double got[3] = {0};
        progress("lookup: run %d of %d", i + 1, b->runs);
        l.ports = c->port;
        l.ctx = &names;
        rc = rate(b, &l, &got[0], e);
        l.ctx = &livez;
        if (rc == 0)
            rc = rate(b, &l, &got[1], e);
        l.ports = &bare;
        if (rc == 0)
            rc = rate(b, &l, &got[2], e);
        if (rc == 0) {
            result_run(name, got[0], got[1]);
            result_run(constant, got[1], got[2]);
        }
    }
    return rc;
}

static int fill(struct cluster *c, struct err *e)
{
    struct asking a = {.token = c->token};
    struct loaded got;
    struct load l = {.tls = c->tls,
                     .ports = c->port,
                     .ports_n = 1,
                     .connections = CONNECTIONS,
                     .status = 201,
                     .requests = NAMES,
                     .request = put_one,
                     .ctx = &a};
    int rc = load_run(&l, &got, e);
    loaded_fini(&got);
    return rc;
}

static int measure(struct bench *b, struct err *e)
{
    AUTOFREE char *dir = folder_new(b->dir, "lookup");
    AUTOSTR struct str body = STR_INIT;
    struct cluster c = {0};
    pid_t pid = 0;
    uint16_t port = 0;
    int rc = cluster_start(&c, b->bin, dir, 1, e);
    if (rc == 0)
        rc = fill(&c, e);
    if (rc == 0)
        rc = cluster_call(&c, 0, "GET", "/livez", NULL, 200, &body, e);
    if (rc == 0) {
        AUTOFREE char *node = mem_printf("%s/%s", c.dir, c.node[0].name);
        rc = bare_start(node, str_get(&body), &pid, &port, e);
    }
    if (rc == 0)
        rc = measure_runs(b, &c, port, e);
    bare_stop(pid);
    cluster_stop(&c);
    folder_remove(dir);
    return rc;
}

const struct figure figure_lookup = {"lookup", "looking a name up", measure};
