/* register: durable registrations of external names, beside SQLite alone writing the same rows to the same
 * tables, as many operations a commit as skep's own median batch.
 */
#include <math.h>
#include <stdio.h>

#include "bench/bench.h"
#include "bench/load.h"

#define FDATASYNCS 200

static const int connection_counts[] = {1, 32, 256};

struct names {
    const char *token;
    int round; /* so that no name comes twice */
    int64_t next[256];
};

static void put_name(void *ctx, int connection, struct str *ret)
{
    struct names *n = ctx;
    char path[96];
    snprintf(path, sizeof path, "/v1/swarms/default/names/bench-%d-%d-%lld", n->round, connection,
             (long long)n->next[connection]++);
    http_request(ret, "PUT", path, n->token, "{\"address\":\"10.1.2.3:5432\"}");
}

/* Rows of the tables that a registration may write to. */
static int64_t rows_now(const struct cluster *c)
{
    int64_t n = 0;
    for (size_t i = 0; i < c->n; i++)
        n += raw_ask(c->node[i].db, "SELECT (SELECT count(*) FROM name) + (SELECT count(*) FROM change) + "
                                    "(SELECT count(*) FROM log) + (SELECT count(*) FROM idem) + "
                                    "(SELECT count(*) FROM metadata) + (SELECT count(*) FROM child)");
    return n;
}

/* Median over nodes of the events in a transaction. */
static double batch_now(struct cluster *c)
{
    struct samples s = SAMPLES_INIT;
    for (size_t i = 0; i < c->n; i++)
        samples_add(&s, cluster_metric(c, i, "skep_batch_median"));
    double median = samples_median(&s);
    samples_fini(&s);
    return median >= 1 ? median : 1;
}

struct case_results {
    struct result *rate, *p50;
    double rows, batch, p99, cpu_us, load_us, raw_us; /* of the last run; us: processor time an operation */
};

static int measure_run(struct bench *b, struct cluster *c, struct raw *raw, struct names *names,
                       int connections, struct case_results *r, struct err *e)
{
    struct load l = {.tls = c->tls,
                     .ports = c->port,
                     .ports_n = connections == 1 ? 1 : c->n,
                     .connections = connections,
                     .status = 201,
                     .warm_ms = b->warm_ms,
                     .run_ms = b->run_ms,
                     .request = put_name,
                     .ctx = names};
    struct loaded got;
    double yard = NAN;
    double disk = r->p50 ? raw_fdatasync_ms(b->dir, FDATASYNCS) : 0;
    int64_t before = rows_now(c);
    names->round++;
    double nodes_s = cluster_cpu_s(c);
    int64_t ours = cpu_ns();
    int rc = load_run(&l, &got, e);
    if (rc == 0) {
        r->cpu_us = (cluster_cpu_s(c) - nodes_s) * 1e6 / (double)got.answered;
        r->load_us = (double)(cpu_ns() - ours) / 1e3 / (double)got.answered;
        r->batch = connections == 1 ? 1 : batch_now(c);
        r->rows = (double)(rows_now(c) - before) / (double)got.answered;
        r->p99 = samples_at(&got.latency_ms, 0.99);
        ours = cpu_ns();
        int64_t raw_n = 0;
        rc = raw_run(raw, (int)r->batch, connections, b->run_ms, &yard, &raw_n, e);
        r->raw_us = (double)(cpu_ns() - ours) / 1e3 / (double)raw_n;
    }
    if (rc == 0) {
        result_run(r->rate, got.per_second, yard);
        if (r->p50)
            result_run(r->p50, samples_median(&got.latency_ms),
                       (disk + raw_fdatasync_ms(b->dir, FDATASYNCS)) / 2);
    }
    loaded_fini(&got);
    return rc;
}

static int measure_case(struct bench *b, struct cluster *c, struct raw *raw, struct names *names,
                        int connections, struct err *e)
{
    struct case_results r = {0};
    int rc = 0;
    r.rate = report_new(&b->report, "register", "1/s", "%d connection%s, %zu node%s", connections,
                        connections > 1 ? "s" : "", c->n, c->n > 1 ? "s" : "");
    r.rate->yardstick = "raw SQLite";
    if (connections > 1) {
        r.rate->aim = AIM_RATIO_MIN;
        r.rate->limit = 0.5;
    } else {
        r.p50 = report_new(&b->report, "register", "ms", "1 connection, %zu node%s: p50", c->n,
                           c->n > 1 ? "s" : "");
        r.p50->yardstick = "fdatasync";
        r.p50->aim = AIM_RATIO_MAX;
        r.p50->limit = 3;
    }
    for (int i = 0; rc == 0 && i < b->runs; i++) {
        progress("register: %d connections, %zu nodes, run %d of %d", connections, c->n, i + 1, b->runs);
        rc = measure_run(b, c, raw, names, connections, &r, e);
    }
    str_printf(
        &r.rate->note,
        "last run: %.2f rows an operation on each node, median batch %.0f, p99 %.1f ms; processor time an "
        "operation: nodes %.0f us, load generator %.0f us, raw SQLite %.0f us",
        r.rows / (double)c->n, r.batch, r.p99, r.cpu_us, r.load_us, r.raw_us);
    return rc;
}

static int measure_nodes(struct bench *b, size_t nodes, struct err *e)
{
    AUTOFREE char *dir = folder_new(b->dir, "register");
    struct cluster c = {0};
    struct raw *raw = NULL;
    struct names names = {0};
    int rc = cluster_start(&c, b->bin, dir, nodes, e);
    if (rc == 0) {
        names.token = c.token;
        rc = cluster_call(&c, 0, "PUT", "/v1/swarms/default/names/first", "{\"address\":\"10.1.2.3:5432\"}",
                          201, NULL, e);
    }
    if (rc == 0)
        for (size_t i = 0; rc == 0 && i < c.n && !raw; i++) /* the node that has logged it */
            if (raw_ask(c.node[i].db, "SELECT count(*) FROM log WHERE type = 'name_registered'") > 0)
                rc = raw_new(dir, c.node[i].db, &raw, e);
    for (size_t i = 0; rc == 0 && raw && i < COUNT(connection_counts); i++)
        if (b->connections == 0 || b->connections == connection_counts[i])
            rc = measure_case(b, &c, raw, &names, connection_counts[i], e);
    raw_free(raw);
    cluster_stop(&c);
    folder_remove(dir);
    return rc;
}

static int measure(struct bench *b, struct err *e)
{
    int rc = measure_nodes(b, 1, e);
    return rc < 0 || b->nodes < 2 ? rc : measure_nodes(b, (size_t)b->nodes, e);
}

const struct figure figure_register = {"register", "durable registrations of external names", measure};
