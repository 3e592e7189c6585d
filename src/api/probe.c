/* probe: what machines ask: is it alive, is it ready, how does it fare; and the description of all paths.
 *
 * All of it comes from the frozen view, so it is answered while the database is held by somebody else.
 */
#include <stdio.h>
#include <string.h>

#include "api/api.h"
#include "api/openapi.h"
#include "base/hlc.h"

#define BRAIN_STUCK_MS 10000 /* no turn for so long: the node decides nothing any more */

/* ---- live, ready ---- */

struct verbose_query {
    bool verbose;
};
static const struct uri_param verbose_params[] = {URI_PARAM(struct verbose_query, verbose, URI_BOOL)};

static int livez_read(const struct call *c UNUSED, const struct reading *r UNUSED, struct str *body,
                      struct answer *ret UNUSED, struct err *e UNUSED)
{
    str_puts(body, "{\"status\":\"ok\"}");
    return 200;
}

struct part {
    const char *name, *missing;
    bool ok;
};

enum { PARTS = 4 };

static void parts_of(const struct reading *r, struct part ret[PARTS])
{
    const struct frozen *f = r->frozen;
    ret[0] = (struct part){"pulled", "it has not yet pulled from its peers what it missed", f->ready};
    ret[1] = (struct part){"copied", "it was away for long, and copies what it missed from another node",
                           !f->copying};
    ret[2] = (struct part){"brain",
                           "its brain has not turned for ten seconds: the disk hangs, or the machine does",
                           r->brain_age_ms < BRAIN_STUCK_MS};
    ret[3] = (struct part){"serving", "it is being stopped", !f->leaving && !f->left};
}

static void write_parts(const struct part parts[PARTS], struct str *s)
{
    struct jw j = jw_init(s);
    jw_object(&j);
    for (int i = 0; i < PARTS; i++)
        jw_kv_string(&j, parts[i].name, parts[i].ok ? "ok" : parts[i].missing);
    jw_object_close(&j);
}

static int not_ready(const struct part parts[PARTS], const char *missing, struct str *body,
                     struct answer *ret)
{
    struct err e;
    AUTOSTR struct str extras = STR_INIT;
    str_puts(&extras, "\"parts\":");
    write_parts(parts, &extras);
    err_set(&e, SKEP_ESETTLING, "not ready: %s", missing);
    json_problem(body, &e, (struct span){str_get(&extras), extras.n});
    ret->content_type = "application/problem+json";
    ret->retry_after_s = 1;
    return 503;
}

static int readyz_read(const struct call *c, const struct reading *r, struct str *body, struct answer *ret,
                       struct err *e UNUSED)
{
    const struct verbose_query *q = c->query;
    struct part parts[PARTS];
    parts_of(r, parts);
    for (int i = 0; i < PARTS; i++)
        if (!parts[i].ok)
            return not_ready(parts, parts[i].missing, body, ret);
    str_puts(body, "{\"status\":\"ok\"");
    if (q->verbose) {
        str_puts(body, ",\"parts\":");
        write_parts(parts, body);
    }
    str_puts(body, "}");
    return 200;
}

/* ---- metrics, in the text format of Prometheus ---- */

static void head(struct str *s, const char *name, const char *type, const char *help)
{
    str_printf(s, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void metric(struct str *s, const char *name, const char *type, const char *help, double value)
{
    head(s, name, type, help);
    str_printf(s, "%s %.15g\n", name, value);
}

/* A label's value: \, " and line breaks are escaped. */
static void label(struct str *s, const char *text)
{
    for (; text && *text; text++) {
        if (*text == '\\' || *text == '"')
            str_putc(s, '\\');
        if (*text == '\n')
            str_puts(s, "\\n");
        else
            str_putc(s, *text);
    }
}

static void of_peer(struct str *s, const char *name, const struct frozen_node *f, double value)
{
    str_printf(s, "%s{peer=\"", name);
    label(s, f->name);
    str_printf(s, "\"} %.15g\n", value);
}

static void metrics_nodes(const struct frozen *f, struct str *s)
{
    static const char *const words[] = {"healthy", "suspect", "down", "left"};
    int counts[4] = {0};
    for (int i = 0; i < f->nodes_n; i++)
        counts[f->nodes[i].left ? 3 : (int)f->nodes[i].liveness]++;
    head(s, "skep_nodes", "gauge", "Nodes of the cluster as this node sees them.");
    for (int i = 0; i < 4; i++)
        str_printf(s, "skep_nodes{status=\"%s\"} %d\n", words[i], counts[i]);
    metric(s, "skep_view_open", "gauge", "1 if this node's view is agreed on and it may decide.", f->open);
}

static void metrics_peers(const struct frozen *f, struct str *s)
{
    head(s, "skep_peer_rtt_seconds", "gauge", "Last round trip to a peer.");
    for (int i = 0; i < f->nodes_n; i++)
        if (!f->nodes[i].self && f->nodes[i].rtt_ms >= 0)
            of_peer(s, "skep_peer_rtt_seconds", &f->nodes[i], (double)f->nodes[i].rtt_ms / 1000);
    head(s, "skep_peer_lag_seconds", "gauge", "How far a peer is behind this node's own writes.");
    for (int i = 0; i < f->nodes_n; i++)
        if (!f->nodes[i].self)
            of_peer(s, "skep_peer_lag_seconds", &f->nodes[i], (double)f->nodes[i].lag_ms / 1000);
}

struct counter {
    const char *name, *type, *help;
    size_t offset;
};

#define COUNTER(name_, member, type_, help_)                                                                 \
    {                                                                                                        \
        "skep_" name_, type_, help_, offsetof(struct frozen_counters, member)                                \
    }

static const struct counter counters[] = {
    COUNTER("turns_total", turns, "counter", "Turns of the brain."),
    COUNTER("events_total", events, "counter", "Events the brain has handled."),
    COUNTER("commits_total", commits, "counter", "Transactions committed."),
    COUNTER("answers_total", answers, "counter", "Answers the brain has given to clients."),
    COUNTER("pulls_total", pulls, "counter", "Pages pulled from peers."),
    COUNTER("rows_merged_total", rows_merged, "counter", "Rows of other nodes that were merged."),
    COUNTER("pokes_total", pokes, "counter", "Pokes sent to peers."),
    COUNTER("relayed_calls_total", relayed, "counter", "Calls passed on for peers whose link is broken."),
    COUNTER("impostors_total", impostors, "counter",
            "Pulls and pings of a node that spoke for another one, which were refused."),
    COUNTER("store_busy_total", busy, "counter", "Requests refused while somebody else held the database."),
    COUNTER("disk_full_total", disk_full, "counter", "Requests refused because the disk was full."),
    COUNTER("rows_scanned_total", rows_scanned, "counter", "Rows whose bytes were checked."),
    COUNTER("looks_total", looks, "counter", "Times that all rows were checked."),
    COUNTER("compares_total", compares, "counter", "Full comparisons with a peer that were begun."),
    COUNTER("compares_equal_total", compares_equal, "counter", "Full comparisons that found nothing."),
    COUNTER("compare_bytes_total", compare_bytes, "counter",
            "Bytes of requests and answers of our comparisons."),
    COUNTER("hooks_delivered_total", hooks_delivered, "counter", "Calls of hooks that went well."),
    COUNTER("hooks_failed_total", hooks_failed, "counter", "Calls of hooks that failed."),
    COUNTER("hooks_dropped_total", hooks_dropped, "counter",
            "Events that a hook will not be told of any more."),
    COUNTER("hooks_waiting", hooks_waiting, "gauge", "Events that wait for a hook."),
    COUNTER("children", children, "gauge", "Processes this node owns."),
    COUNTER("operations_waiting", ops_waiting, "gauge", "Requests that wait for something to happen."),
    COUNTER("wal_bytes", wal_bytes, "gauge",
            "Bytes of the write-ahead log that no checkpoint has moved yet."),
    COUNTER("batch_plans_kept_total", plans_kept, "counter",
            "Parts of batches that were claimed where their coordinator had placed them."),
    COUNTER("batch_plans_anew_total", plans_anew, "counter",
            "Parts of batches that were placed anew, as something had changed."),
    COUNTER("batch_last", batch_last, "gauge", "Replicated rows written by the last transaction that wrote."),
    COUNTER("batch_median", batch_median, "gauge",
            "Replicated rows a transaction wrote, median of the last ones that wrote."),
};

static void metrics_incidents(const struct frozen_counters *c, struct str *s)
{
    const struct {
        const char *kind;
        int64_t n;
    } all[] = {{"row_damaged", c->rows_damaged},
               {"row_healed", c->rows_healed},
               {"row_late", c->rows_late},
               {"row_set_aside", c->rows_set_aside}};
    head(s, "skep_incidents_total", "counter", "Rows that were not as they should be, by kind.");
    for (size_t i = 0; i < COUNT(all); i++)
        str_printf(s, "skep_incidents_total{kind=\"%s\"} %lld\n", all[i].kind, (long long)all[i].n);
}

static int metrics_read(const struct call *c UNUSED, const struct reading *r, struct str *body,
                        struct answer *ret, struct err *e UNUSED)
{
    const struct frozen *f = r->frozen;
    head(body, "skep_build_info", "gauge", "1, with the version that runs.");
    str_puts(body, "skep_build_info{version=\"");
    label(body, f->version);
    str_puts(body, "\"} 1\n");
    metric(body, "skep_start_time_seconds", "gauge", "When this run began.", (double)f->started_at_ms / 1000);
    metric(body, "skep_ready", "gauge", "1 if /readyz says 200.",
           f->ready && !f->copying && !f->leaving && !f->left);
    metric(body, "skep_pull_pause_seconds", "gauge", "Between two pulls from a peer that nobody asked for.",
           (double)f->counters.pull_pause_ms / 1000);
    metric(body, "skep_brain_age_seconds", "gauge", "Since the brain's last turn.",
           (double)r->brain_age_ms / 1000);
    metrics_nodes(f, body);
    metrics_peers(f, body);
    metrics_incidents(&f->counters, body);
    for (size_t i = 0; i < COUNT(counters); i++)
        metric(body, counters[i].name, counters[i].type, counters[i].help,
               (double)*(const int64_t *)(const void *)((const char *)&f->counters + counters[i].offset));
    ret->content_type = "text/plain; version=0.0.4; charset=utf-8";
    return 200;
}

/* ---- the description ---- */

static int openapi_read(const struct call *c UNUSED, const struct reading *r, struct str *body,
                        struct answer *ret UNUSED, struct err *e UNUSED)
{
    openapi_write(r->frozen->version, body);
    return 200;
}

const struct route probe_routes[] = {
    {HTTP_M_GET, "/livez", ROLE_NONE, API_IO, API_BODY_BYTES, false, NULL, 0, 0, NULL, livez_read, NULL,
     "Say that the process is alive."},
    {HTTP_M_GET, "/readyz", ROLE_NONE, API_IO, API_BODY_BYTES, false, verbose_params, COUNT(verbose_params),
     sizeof(struct verbose_query), NULL, readyz_read, NULL,
     "Say whether this node is ready to serve, and what is missing."},
    {HTTP_M_GET, "/metrics", ROLE_NONE, API_IO, API_BODY_BYTES, false, NULL, 0, 0, NULL, metrics_read, NULL,
     "Figures of this node in the text format of Prometheus."},
    {HTTP_M_GET, "/v1/openapi.json", ROLE_READ, API_IO, API_BODY_BYTES, false, NULL, 0, 0, NULL, openapi_read,
     NULL, "Describe every path (OpenAPI 3.1), from the same table that serves them."},
    {0},
};
