/* batch: many small workers started over all nodes by one call, and stopped again. Beside them as many
 * keepers that spawn as many, and do nothing else.
 */
#include <string.h>

#include "bench/bench.h"
#include "bench/load.h"
#include "bench/spawning.h"

#define TIMEOUT_MS 300000
#define MANY       "/v1/swarms/default/children?timeout_ms=300000"
#define STOP       "/v1/swarms/default/stop?timeout_ms=300000"

static void start_body(const struct bench *b, struct str *ret)
{
    str_puts(ret, "{\"children\":[");
    for (int i = 0; i < b->workers; i++)
        str_printf(ret, "%s{\"name\":\"w%05d\",\"argv\":[\"%s/sleeper\"]}", i ? "," : "", i, b->examples);
    str_puts(ret, "]}");
}

static void stop_body(const struct bench *b, struct str *ret)
{
    str_puts(ret, "{\"names\":[");
    for (int i = 0; i < b->workers; i++)
        str_printf(ret, "%s\"w%05d\"", i ? "," : "", i);
    str_puts(ret, "]}");
}

static int timed(struct cluster *c, const char *path, const struct str *body, double *ret_s, struct err *e)
{
    struct http h = {.fd = -1};
    int64_t start = now_ns();
    int rc = http_open(&h, c->tls, c->port[0], e);
    if (rc == 0)
        rc = http_call(&h, "POST", path, c->token, str_get(body), TIMEOUT_MS, e);
    *ret_s = (double)(now_ns() - start) / 1e9;
    if (rc == 0 && (h.status != 200 || !strstr(http_body(&h).p, "\"status\":\"ok\"")))
        rc = err_set(e, SKEP_EINTERNAL, "POST %s: %d %.200s", path, h.status, http_body(&h).p);
    http_close(&h);
    return rc;
}

static int one_run(struct bench *b, double *ret_start_s, double *ret_stop_s, double *ret_cpu_s, struct err *e)
{
    AUTOFREE char *dir = folder_new(b->dir, "batch");
    AUTOSTR struct str start = STR_INIT, stop = STR_INIT;
    struct cluster c = {0};
    start_body(b, &start);
    stop_body(b, &stop);
    int rc = cluster_start(&c, b->bin, dir, (size_t)b->nodes, e);
    if (rc == 0) {
        double cpu = cluster_cpu_s(&c);
        rc = timed(&c, MANY, &start, ret_start_s, e);
        *ret_cpu_s = cluster_cpu_s(&c) - cpu;
    }
    if (rc == 0)
        rc = timed(&c, STOP, &stop, ret_stop_s, e);
    cluster_stop(&c);
    folder_remove(dir);
    return rc;
}

static int measure_batch(struct bench *b, struct err *e)
{
    struct bench mine = *b;
    double stop = 0, cpu = 0, sum = 0;
    int rc = 0;
    mine.workers = b->many;
    struct result *r = report_new(&b->report, "batch", "s", "%d workers started by one call, %d nodes",
                                  mine.workers, b->nodes);
    r->yardstick = "as many keepers alone";
    r->aim = AIM_RATIO_MAX;
    r->limit = 1.5;
    for (int i = 0; rc == 0 && i < b->runs; i++) {
        double got, yard;
        progress("%s: run %d of %d", r->figure, i + 1, b->runs);
        rc = keepers_spawn(&mine, b->nodes, &yard, e);
        if (rc == 0)
            rc = one_run(&mine, &got, &stop, &cpu, e);
        if (rc == 0)
            result_run(r, got, yard);
        sum += stop;
    }
    if (rc == 0)
        str_printf(&r->note, "stopped again in %.2f s; skepd used %.2f s of processor time to start them",
                   sum / b->runs, cpu);
    return rc;
}

const struct figure figure_batch = {"batch", "many started by one call", measure_batch};
