/* visible: how long until what one node acknowledges is seen on all others, at light load. From the sending
 * of the write, so that what its answer waits for counts too. The yardstick is a round trip that reads.
 */
#include <math.h>
#include <poll.h>
#include <stdio.h>

#include "bench/bench.h"

#define WRITES_QUICK 50
#define WRITES       200
#define APART_MS     25
#define LIMIT_NS     (10 * INT64_C(1000000000))

struct seeing {
    struct http http[CLUSTER_NODES_MAX]; /* 0: the writer */
    const char *token;
    size_t n;
    struct samples seen_ms, answered_ms, read_ms;
};

/* Asks each other node until it has the name. */
static int see(struct seeing *s, const char *path, int64_t sent, struct err *e)
{
    bool seen[CLUSTER_NODES_MAX] = {true}, answered = false;
    size_t left = s->n - 1;
    while (left || !answered) {
        if (now_ns() - sent > LIMIT_NS)
            return err_set(e, SKEP_ETIMEOUT, "%s is not seen everywhere after 10 s", path);
        int rc = answered ? 0 : http_step(&s->http[0], e);
        if (rc < 0 || (rc == 1 && s->http[0].status != 201))
            return rc < 0 ? rc : err_set(e, SKEP_EINTERNAL, "PUT %s: %d", path, s->http[0].status);
        if (rc == 1) {
            answered = true;
            samples_add(&s->answered_ms, (double)(now_ns() - sent) / 1e6);
        }
        for (size_t i = 1; i < s->n; i++) {
            int64_t start = now_ns();
            if (seen[i])
                continue;
            if ((rc = http_call(&s->http[i], "GET", path, s->token, NULL, 10000, e)) < 0)
                return rc;
            samples_add(&s->read_ms, (double)(now_ns() - start) / 1e6);
            seen[i] = s->http[i].status == 200;
            left -= seen[i];
        }
        if (left || !answered)
            pause_ms(1);
    }
    samples_add(&s->seen_ms, (double)(now_ns() - sent) / 1e6);
    return 0;
}

static int one_run(struct bench *b, struct seeing *s, int number, struct err *e)
{
    int rc = 0;
    for (int i = 0; rc == 0 && i < (b->quick ? WRITES_QUICK : WRITES); i++) {
        AUTOFREE char *path = mem_printf("/v1/swarms/default/names/seen-%d-%d", number, i);
        AUTOSTR struct str request = STR_INIT;
        http_request(&request, "PUT", path, s->token, "{\"address\":\"10.1.2.3:5432\"}");
        int64_t sent = now_ns();
        rc = http_send(&s->http[0], str_get(&request), request.n, e);
        if (rc == 0)
            rc = see(s, path, sent, e);
        pause_ms(APART_MS);
    }
    return rc;
}

static int measure_runs(struct bench *b, struct seeing *s, struct err *e)
{
    struct result *p99 = report_new(&b->report, "visible", "ms", "on all %d nodes, p99", b->nodes);
    struct result *p50 = report_new(&b->report, "visible", "ms", "on all %d nodes, p50", b->nodes);
    struct result *answer = report_new(&b->report, "visible", "ms", "its answer, p50");
    int rc = 0;
    p99->aim = AIM_MAX;
    p99->limit = 20;
    p99->yardstick = p50->yardstick = answer->yardstick = "one GET, p50";
    for (int i = 0; rc == 0 && i < b->runs; i++) {
        progress("visible: run %d of %d", i + 1, b->runs);
        s->seen_ms.n = s->answered_ms.n = s->read_ms.n = 0;
        if ((rc = one_run(b, s, i, e)) < 0)
            break;
        double yard = samples_median(&s->read_ms);
        result_run(p99, samples_at(&s->seen_ms, 0.99), yard);
        result_run(p50, samples_median(&s->seen_ms), yard);
        result_run(answer, samples_median(&s->answered_ms), yard);
    }
    return rc;
}

static int measure(struct bench *b, struct err *e)
{
    AUTOFREE char *dir = folder_new(b->dir, "visible");
    struct cluster c = {0};
    struct seeing s = {.n = (size_t)b->nodes};
    int rc = cluster_start(&c, b->bin, dir, s.n, e);
    s.token = c.token;
    for (size_t i = 0; i < s.n; i++)
        s.http[i] = (struct http){.fd = -1};
    for (size_t i = 0; rc == 0 && i < s.n; i++)
        rc = http_open(&s.http[i], c.tls, c.port[i], e);
    if (rc == 0)
        rc = measure_runs(b, &s, e);
    for (size_t i = 0; i < s.n; i++)
        http_close(&s.http[i]);
    samples_fini(&s.seen_ms);
    samples_fini(&s.answered_ms);
    samples_fini(&s.read_ms);
    cluster_stop(&c);
    folder_remove(dir);
    return rc;
}

const struct figure figure_visible = {"visible", "a write is seen on the other nodes", measure};
