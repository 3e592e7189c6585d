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

/* What is asked, where, and what came of it. */
struct subject {
    struct asking asking;
    struct loader *loader;
    const uint16_t *port;
    pid_t pid; /* of the server */
    double per_second, cpu_s;
    int64_t answered;
};

static int subject_open(const struct bench *b, struct cluster *c, struct subject *s, struct err *e)
{
    struct load l = {.tls = c->tls,
                     .ports = s->port,
                     .ports_n = 1,
                     .connections = CONNECTIONS,
                     .status = 200,
                     .warm_ms = b->warm_ms / SLICES,
                     .run_ms = b->run_ms / SLICES,
                     .request = get_one,
                     .ctx = &s->asking};
    return loader_open(&l, &s->loader, e);
}

static int slice(struct subject *s, struct err *e)
{
    struct loaded got;
    double before = process_cpu_s(s->pid);
    int rc = loader_run(s->loader, &got, e);
    s->cpu_s += process_cpu_s(s->pid) - before;
    s->per_second += got.per_second / SLICES;
    s->answered += got.answered;
    loaded_fini(&got);
    return rc;
}

enum { S_NAME, S_LIVEZ, S_BARE, SUBJECTS };

static void say_cpu(const struct subject s[SUBJECTS], struct str *ret)
{
    double us[SUBJECTS];
    for (int k = 0; k < SUBJECTS; k++)
        us[k] = s[k].cpu_s * 1e6 / (double)s[k].answered;
    str_printf(ret, "processor time of the server: a name %.1f us, /livez %.1f us, bare loop %.1f us",
               us[S_NAME], us[S_LIVEZ], us[S_BARE]);
}

static int measure_runs(struct bench *b, struct cluster *c, uint16_t bare_port, pid_t bare_pid, struct err *e)
{
    struct result *name = report_new(&b->report, "lookup", "1/s", "a name, %d connections", CONNECTIONS);
    struct result *constant = report_new(&b->report, "lookup", "1/s", "/livez, %d connections", CONNECTIONS);
    struct subject s[SUBJECTS] = {
        [S_NAME] = {.asking.token = c->token, .port = c->port, .pid = c->node[0].pid},
        [S_LIVEZ] = {.asking.fixed = "/livez", .port = c->port, .pid = c->node[0].pid},
        [S_BARE] = {.asking.fixed = "/livez", .port = &bare_port, .pid = bare_pid},
    };
    int rc = 0;
    name->yardstick = "/livez";
    name->aim = constant->aim = AIM_RATIO_MIN;
    name->limit = 0.7;
    constant->yardstick = "epoll + OpenSSL";
    constant->limit = 0.75;
    for (int k = 0; rc == 0 && k < SUBJECTS; k++)
        rc = subject_open(b, c, &s[k], e);
    for (int i = 0; rc == 0 && i < b->runs; i++) {
        progress("lookup: run %d of %d", i + 1, b->runs);
        for (int k = 0; k < SUBJECTS; k++)
            s[k].per_second = 0;
        for (int k = 0; rc == 0 && k < SLICES * SUBJECTS; k++)
            rc = slice(&s[k % SUBJECTS], e);
        if (rc == 0) {
            result_run(name, s[S_NAME].per_second, s[S_LIVEZ].per_second);
            result_run(constant, s[S_LIVEZ].per_second, s[S_BARE].per_second);
        }
    }
    if (rc == 0)
        say_cpu(s, &name->note);
    for (int k = 0; k < SUBJECTS; k++)
        loader_close(s[k].loader);
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
        rc = measure_runs(b, &c, port, pid, e);
    bare_stop(pid);
    cluster_stop(&c);
    folder_remove(dir);
    return rc;
}

const struct figure figure_lookup = {"lookup", "looking a name up", measure};
