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

/* One case: so many connections to so many nodes. */
struct subject {
    struct bench *b;
    struct cluster *c;
    struct raw *raw;
    struct names *names;
    int connections;
    struct loader *loader;
    struct result *rate, *p50;
    double per_second, yard_per_second; /* of this run so far */
    struct samples latency_ms, fdatasync_ms, batch;
    double nodes_s, load_s, raw_s; /* processor time, of all runs */
    int64_t answered, raw_n, rows;
};

static int load_slice(struct subject *s, struct err *e)
{
    struct loaded got;
    int64_t rows = rows_now(s->c), ours = cpu_ns();
    double nodes_s = cluster_cpu_s(s->c);
    s->names->round++;
    int rc = loader_run(s->loader, &got, e);
    if (rc == 0) {
        s->nodes_s += cluster_cpu_s(s->c) - nodes_s;
        s->load_s += (double)(cpu_ns() - ours) / 1e9;
        samples_add(&s->batch, s->connections == 1 ? 1 : batch_now(s->c));
        s->rows += rows_now(s->c) - rows;
        s->answered += got.answered;
        s->per_second += got.per_second / SLICES;
        for (size_t i = 0; i < got.latency_ms.n; i++)
            samples_add(&s->latency_ms, got.latency_ms.v[i]);
    }
    loaded_fini(&got);
    return rc;
}

static int raw_slice(struct subject *s, struct err *e)
{
    double per_second;
    int64_t n, ours = cpu_ns();
    int rc = raw_run(s->raw, (int)samples_median(&s->batch), s->connections, s->b->run_ms / SLICES,
                     &per_second, &n, e);
    if (rc < 0)
        return rc;
    s->raw_s += (double)(cpu_ns() - ours) / 1e9;
    s->raw_n += n;
    s->yard_per_second += per_second / SLICES;
    return 0;
}

static int measure_run(struct subject *s, struct err *e)
{
    int rc = 0;
    s->per_second = s->yard_per_second = 0;
    s->latency_ms.n = s->fdatasync_ms.n = 0;
    for (int i = 0; rc == 0 && i < SLICES; i++) {
        rc = load_slice(s, e);
        if (rc == 0 && s->p50)
            samples_add(&s->fdatasync_ms, raw_fdatasync_ms(s->b->dir, FDATASYNCS));
        if (rc == 0)
            rc = raw_slice(s, e);
    }
    if (rc < 0)
        return rc;
    result_run(s->rate, s->per_second, s->yard_per_second);
    if (s->p50)
        result_run(s->p50, samples_median(&s->latency_ms), samples_median(&s->fdatasync_ms));
    return 0;
}

static int loader_new(struct subject *s, struct err *e)
{
    struct load l = {.tls = s->c->tls,
                     .ports = s->c->port,
                     .ports_n = s->connections == 1 ? 1 : s->c->n,
                     .connections = s->connections,
                     .status = 201,
                     .warm_ms = s->b->warm_ms / SLICES,
                     .run_ms = s->b->run_ms / SLICES,
                     .request = put_name,
                     .ctx = s->names};
    return loader_open(&l, &s->loader, e);
}

static void results_new(struct subject *s)
{
    struct report *r = &s->b->report;
    const char *many = s->connections > 1 ? "s" : "", *nodes = s->c->n > 1 ? "s" : "";
    s->rate =
        report_new(r, "register", "1/s", "%d connection%s, %zu node%s", s->connections, many, s->c->n, nodes);
    s->rate->yardstick = "raw SQLite";
    if (s->connections > 1) {
        s->rate->aim = AIM_RATIO_MIN;
        s->rate->limit = 0.5;
        return;
    }
    s->p50 = report_new(r, "register", "ms", "1 connection, %zu node%s: p50", s->c->n, nodes);
    s->p50->yardstick = "fdatasync";
    s->p50->aim = AIM_RATIO_MAX;
    s->p50->limit = 3;
}

static int measure_case(struct subject *s, struct err *e)
{
    int rc = loader_new(s, e);
    results_new(s);
    for (int i = 0; rc == 0 && i < s->b->runs; i++) {
        progress("register: %d connections, %zu nodes, run %d of %d", s->connections, s->c->n, i + 1,
                 s->b->runs);
        rc = measure_run(s, e);
    }
    if (rc == 0)
        str_printf(
            &s->rate->note,
            "%.2f rows an operation on each node, median batch %.0f, p99 %.1f ms in the last run; processor "
            "time an operation: nodes %.0f us, load generator %.0f us, raw SQLite %.0f us",
            (double)s->rows / (double)s->answered / (double)s->c->n, samples_median(&s->batch),
            samples_at(&s->latency_ms, 0.99), s->nodes_s * 1e6 / (double)s->answered,
            s->load_s * 1e6 / (double)s->answered, s->raw_s * 1e6 / (double)s->raw_n);
    loader_close(s->loader);
    samples_fini(&s->latency_ms);
    samples_fini(&s->fdatasync_ms);
    samples_fini(&s->batch);
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
            rc = measure_case(
                &(struct subject){
                    .b = b, .c = &c, .raw = raw, .names = &names, .connections = connection_counts[i]},
                e);
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
