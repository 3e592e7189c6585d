/* Reads that need no brain: probes, the cluster, swarms, events and tokens, from a frozen view and a store.
 */
#include "bench.h"

#include <unistd.h>

static char dir[64];

static int64_t clock_ms(void *self)
{
    (void)self;
    return NOW_MS;
}

static const struct world_clock test_clock = {.real_ms = clock_ms, .boot_ms = clock_ms};

#define ok(call)                                                                                             \
    do {                                                                                                     \
        struct err err_ = {0}, *e = &err_;                                                                   \
        if ((call) != 0)                                                                                     \
            print_error("%s\n", e->text);                                                                    \
        assert_int_equal(err_.code, 0);                                                                      \
    } while (0)

/* A new database in a transaction of its own. */
static struct store *store_new(void)
{
    static int count;
    struct store *s = NULL;
    AUTOFREE char *path = mem_printf("%s/%d.db", dir, ++count);
    struct id cluster = {{7}}, node = {{1}};
    ok(store_create(path, &cluster, &node, "a", true, NULL, e));
    ok(store_open(&s, &(struct store_options){.path = path, .clock = &test_clock}, e));
    store_run(s, 5);
    ok(db_begin(store_db(s), e));
    return s;
}

/* What api_read sees: nobody has a transaction open on the store. */
static void store_written_down(struct store *s)
{
    ok(db_commit(store_db(s), e));
}

static int64_t number(const struct json *j, const char *path)
{
    return json_i64(json_path(json_root(j), path), -1);
}

static bool truth(const struct json *j, const char *path)
{
    return json_bool(json_path(json_root(j), path), false);
}

/* ---- probes ---- */

static void live_and_ready(void **state)
{
    (void)state;
    struct frozen *f = bench_frozen();
    struct json *j = bench_tree(NULL, f, "/livez", NULL, 200);
    assert_text(j, "status", "ok");
    json_free(j);
    j = bench_tree(NULL, f, "/readyz", NULL, 200);
    assert_text(j, "status", "ok");
    assert_null(json_path(json_root(j), "parts"));
    json_free(j);
    j = bench_tree(NULL, f, "/readyz", "verbose", 200);
    assert_text(j, "parts.pulled", "ok");
    assert_text(j, "parts.brain", "ok");
    json_free(j);
}

static void what_is_missing_is_said(void **state)
{
    (void)state;
    struct frozen *f = bench_frozen();
    f->ready = false;
    struct json *j = bench_tree(NULL, f, "/readyz", NULL, 503);
    assert_text(j, "code", "settling");
    assert_non_null(strstr(json_text(json_path(json_root(j), "detail")), "pulled"));
    assert_text(j, "parts.serving", "ok");
    json_free(j);
    f->ready = true;
    f->copying = true;
    j = bench_tree(NULL, f, "/readyz", NULL, 503);
    assert_non_null(strstr(json_text(json_path(json_root(j), "detail")), "copies what it missed"));
    assert_text(j, "parts.pulled", "ok");
    json_free(j);
    f->copying = false;
    f->leaving = true;
    j = bench_tree(NULL, f, "/readyz", NULL, 503);
    assert_non_null(strstr(json_text(json_path(json_root(j), "detail")), "stopped"));
    json_free(j);
    struct answer *a = bench_get(NULL, f, "/readyz", NULL);
    assert_string_equal(a->content_type, "application/problem+json");
    assert_int_equal(a->retry_after_s, 1);
    answer_free(a);
    j = bench_tree(NULL, f, "/livez", NULL, 200);
    json_free(j);
}

/* One sample: a name, labels in braces, a number. */
static void assert_sample(const char *line)
{
    size_t name = strspn(line, "abcdefghijklmnopqrstuvwxyz_");
    const char *p = line + name;
    char *end;
    assert_true(text_starts(line, "skep_") && (*p == ' ' || *p == '{'));
    if (*p == '{') {
        for (bool quoted = false; *p && (quoted || *p != '}'); p++)
            if (quoted && *p == '\\')
                p++;
            else if (*p == '"')
                quoted = !quoted;
        assert_int_equal(*p++, '}');
    }
    assert_int_equal(*p++, ' ');
    strtod(p, &end);
    assert_true(end > p && *end == 0);
}

static void figures(void **state)
{
    (void)state;
    struct frozen *f = bench_frozen();
    f->counters = (struct frozen_counters){.commits = 12, .children = 3, .busy = 1};
    struct answer *a = bench_get(NULL, f, "/metrics", NULL);
    assert_int_equal(a->status, 200);
    assert_true(text_starts(a->content_type, "text/plain; version=0.0.4"));
    assert_true(text_is_utf8(a->body, a->body_n) && a->body[a->body_n - 1] == '\n');
    static const char *const lines[] = {"\nskep_commits_total 12\n",
                                        "\nskep_children 3\n",
                                        "\nskep_store_busy_total 1\n",
                                        "\nskep_nodes{status=\"healthy\"} 1\n",
                                        "\nskep_nodes{status=\"suspect\"} 1\n",
                                        "\nskep_nodes{status=\"down\"} 0\n",
                                        "\nskep_nodes{status=\"left\"} 1\n",
                                        "\nskep_view_open 1\n",
                                        "\nskep_brain_age_seconds 0.003\n",
                                        "\nskep_build_info{version=\"9.9\"} 1\n",
                                        "\nskep_peer_rtt_seconds{peer=\"b \\\"x\\\\y\\\"\"} 0.07\n",
                                        "\nskep_peer_lag_seconds{peer=\"b \\\"x\\\\y\\\"\"} 1.5\n"};
    for (size_t i = 0; i < COUNT(lines); i++) {
        if (!strstr(a->body, lines[i]))
            print_error("missing:%s in\n%s", lines[i], a->body);
        assert_non_null(strstr(a->body, lines[i]));
    }
    char *rest = a->body, *line;
    while ((line = strsep(&rest, "\n")) && rest)
        if (*line != '#')
            assert_sample(line);
    answer_free(a);
}

/* ---- the cluster ---- */

static void cluster(void **state)
{
    (void)state;
    struct json *j = bench_tree(NULL, bench_frozen(), "/v1/cluster", NULL, 200);
    assert_text(j, "id", "07000000000000000000000000000000");
    assert_text(j, "nodes.0", "a");
    assert_text(j, "nodes.2", "c");
    assert_text(j, "term", "0");
    assert_text(j, "topology_signature", "0000000000000abc");
    assert_true(json_is(json_path(json_root(j), "commander"), JSON_T_NULL));
    assert_true(truth(j, "open") && !truth(j, "partitioned") && !truth(j, "locked"));
    assert_int_equal(number(j, "pending"), 0);
    json_free(j);
}

static void nodes(void **state)
{
    (void)state;
    struct store *s = store_new();
    struct frozen *f = bench_frozen();
    ok(store_save(s, T_SWARM,
                  &(struct swarm_row){.swarm = (char *)"jobs", .settings = (char *)"{\"nodes\":[\"a\"]}"},
                  e));
    store_written_down(s);
    struct json *j = bench_tree(s, f, "/v1/nodes", NULL, 200);
    assert_text(j, "nodes.0.name", "a");
    assert_true(truth(j, "nodes.0.self"));
    assert_int_equal(number(j, "nodes.0.pid"), 42);
    assert_true(json_is(json_path(json_root(j), "nodes.0.keeper_pid"), JSON_T_NULL));
    assert_text(j, "nodes.0.swarms.0", "jobs");
    assert_text(j, "nodes.0.swarms.1", "default");
    assert_text(j, "nodes.1.status", "suspect");
    assert_true(json_is(json_path(json_root(j), "nodes.0.link"), JSON_T_NULL));
    assert_text(j, "nodes.1.link", "via d");
    assert_int_equal(number(j, "nodes.1.rtt_ms"), 70);
    assert_int_equal(number(j, "nodes.1.lag"), 1500);
    assert_text(j, "nodes.1.swarms.0", "default");
    assert_null(json_path(json_root(j), "nodes.1.pid"));
    assert_text(j, "nodes.2.status", "left");
    assert_true(json_is(json_path(json_root(j), "nodes.2.rtt_ms"), JSON_T_NULL));
    assert_true(json_is(json_path(json_root(j), "next"), JSON_T_NULL));
    json_free(j);
    j = bench_tree(s, f, "/v1/nodes/02000000000000000000000000000000", NULL, 200);
    assert_text(j, "url", "https://127.0.0.1:2");
    json_free(j);
    j = bench_tree(s, f, "/v1/nodes/nobody", NULL, 404);
    assert_text(j, "field", "node");
    json_free(j);
    store_close(s);
}

static void nodes_in_pages(void **state)
{
    (void)state;
    struct store *s = store_new();
    store_written_down(s);
    struct frozen *f = bench_frozen();
    struct json *j = bench_tree(s, f, "/v1/nodes", "limit=2", 200);
    assert_int_equal(json_count(json_path(json_root(j), "nodes")), 2);
    assert_text(j, "next", f->nodes[1].name);
    json_free(j);
    j = bench_tree(s, f, "/v1/nodes", "limit=2&after=b%20%22x%5Cy%22", 200);
    assert_int_equal(json_count(json_path(json_root(j), "nodes")), 1);
    assert_text(j, "nodes.0.name", "c");
    assert_true(json_is(json_path(json_root(j), "next"), JSON_T_NULL));
    json_free(j);
    j = bench_tree(s, f, "/v1/nodes", "status=suspect", 200);
    assert_int_equal(json_count(json_path(json_root(j), "nodes")), 1);
    json_free(j);
    j = bench_tree(s, f, "/v1/nodes", "limit=3", 200);
    assert_true(json_is(json_path(json_root(j), "next"), JSON_T_NULL));
    json_free(j);
    store_close(s);
}

/* A page of large rows is short, and says where to go on: else one request takes the memory of all. */
static void a_page_of_large_rows_ends_early(void **state)
{
    (void)state;
    struct store *s = store_new();
    size_t n = 1 << 20, seen = 0, pages = 0;
    AUTOFREE char *text = mem_alloc(n + 3);
    AUTOFREE char *query = mem_dup("limit=1000");
    memset(text, 'x', n + 2);
    text[0] = text[n + 1] = '"';
    for (int64_t i = 1; i <= 40; i++) {
        AUTOFREE char *entry = mem_printf("e%d", (int)i), *parent = mem_printf("e%d", (int)i - 1);
        ok(store_save(s, T_ENTRY,
                      &(struct entry_row){.session = (char *)"s",
                                          .entry = entry,
                                          .parent = i > 1 ? parent : NULL,
                                          .role = (char *)"user",
                                          .content = text,
                                          .seq = i},
                      e));
    }
    ok(store_save(s, T_SESSION, &(struct session_row){.session = (char *)"s", .head = (char *)"e40"}, e));
    store_written_down(s);
    for (bool more = true; more; pages++) {
        struct json *j = bench_tree(s, bench_frozen(), "/v1/sessions/s/entries", query, 200);
        size_t here = json_count(json_path(json_root(j), "entries"));
        const char *next = json_text(json_path(json_root(j), "next"));
        assert_in_range(here, 1, 17);
        seen += here;
        more = next != NULL;
        free(query);
        query = mem_printf("limit=1000&after=%s", next ? next : "");
        json_free(j);
    }
    assert_int_equal(seen, 40);
    assert_int_equal(pages, 3);
    store_close(s);
}

/* ---- swarms ---- */

static struct store *swarms_of(const char *const *names, size_t n)
{
    struct store *s = store_new();
    for (size_t i = 0; i < n; i++)
        ok(store_save(s, T_SWARM,
                      &(struct swarm_row){.swarm = (char *)(uintptr_t)names[i],
                                          .settings = (char *)"{\"partition\":{\"kind\":\"divergence\"}}"},
                      e));
    store_written_down(s);
    return s;
}

static void the_default_swarm_has_its_place(void **state)
{
    (void)state;
    static const char *const names[] = {"alpha", "jobs", "default"};
    for (size_t n = 0; n <= COUNT(names); n++) {
        struct store *s = swarms_of(names, n);
        struct json *j = bench_tree(s, bench_frozen(), "/v1/swarms", NULL, 200);
        size_t at = n == 0 ? 0 : 1;
        assert_int_equal(json_count(json_path(json_root(j), "swarms")), n == 3 ? 3 : n + 1);
        AUTOFREE char *path = mem_printf("swarms.%zu.name", at);
        assert_text(j, path, "default");
        json_free(j);
        store_close(s);
    }
}

static void swarms_in_pages(void **state)
{
    (void)state;
    static const char *const names[] = {"alpha", "jobs", "zeta"};
    static const char *const order[] = {"alpha", "default", "jobs", "zeta"};
    struct store *s = swarms_of(names, COUNT(names));
    AUTOFREE char *query = mem_dup("limit=1");
    for (size_t i = 0; i < COUNT(order); i++) {
        struct json *j = bench_tree(s, bench_frozen(), "/v1/swarms", query, 200);
        assert_int_equal(json_count(json_path(json_root(j), "swarms")), 1);
        assert_text(j, "swarms.0.name", order[i]);
        bool last = i + 1 == COUNT(order);
        assert_int_equal(json_is(json_path(json_root(j), "next"), JSON_T_NULL), last);
        if (!last) {
            assert_text(j, "next", order[i]);
            free(query);
            query = mem_printf("limit=1&after=%s", order[i]);
        }
        json_free(j);
    }
    store_close(s);
}

static void a_swarm_shows_what_was_said_and_what_holds(void **state)
{
    (void)state;
    static const char *const names[] = {"jobs"};
    struct store *s = swarms_of(names, 1);
    struct json *j = bench_tree(s, bench_frozen(), "/v1/swarms/jobs", NULL, 200);
    assert_text(j, "partition.kind", "divergence");
    assert_text(j, "redundancy", "singularity");
    assert_true(truth(j, "deterministic"));
    assert_int_equal(json_count(json_path(json_root(j), "nodes")), 2); /* c has left */
    json_free(j);
    j = bench_tree(s, bench_frozen(), "/v1/swarms/default", NULL, 200);
    assert_text(j, "rev", "0");
    json_free(j);
    j = bench_tree(s, bench_frozen(), "/v1/swarms/none", NULL, 404);
    assert_text(j, "field", "swarm");
    json_free(j);
    struct answer *a = bench_get(s, bench_frozen(), "/v1/swarms/jobs", NULL);
    assert_true(strlen(a->etag) > 5);
    answer_free(a);
    store_close(s);
}

/* ---- events ---- */

static struct store *events_of(void)
{
    struct store *s = store_new();
    static const struct log_entry list[] = {
        {.type = "node_started", .node = "a"},
        {.type = "child_started", .swarm = "default", .name = "x", .epoch = 3},
        {.type = "child_failed", .swarm = "default", .name = "x", .data = "{\"code\":\"exited\"}"},
        {.type = "swarm_changed", .swarm = "jobs", .who = "token:ci"},
        {.type = "child_started", .swarm = "jobs", .name = "x"},
    };
    for (size_t i = 0; i < COUNT(list); i++)
        ok(store_log(s, &list[i], e));
    store_written_down(s);
    return s;
}

static size_t how_many(struct store *s, const char *path, const char *plural, const char *query)
{
    struct json *j = bench_tree(s, bench_frozen(), path, query, 200);
    size_t n = json_count(json_path(json_root(j), plural));
    assert_non_null(json_path(json_root(j), "next"));
    json_free(j);
    return n;
}

static void events(void **state)
{
    (void)state;
    struct store *s = events_of();
    struct json *j = bench_tree(s, bench_frozen(), "/v1/events", NULL, 200);
    assert_text(j, "events.0.id", "a:1");
    assert_text(j, "events.0.type", "node_started");
    assert_text(j, "events.1.epoch", "3");
    assert_text(j, "events.1.node", "a");
    assert_text(j, "events.2.data.code", "exited");
    assert_text(j, "events.0.at", "2023-11-14T22:13:20.000Z");
    json_free(j);
    assert_int_equal(how_many(s, "/v1/events", "events", "type=child_started"), 2);
    assert_int_equal(how_many(s, "/v1/events", "events", "type=child_started&swarm=jobs"), 1);
    assert_int_equal(how_many(s, "/v1/events", "events", "name=x"), 3);
    assert_int_equal(how_many(s, "/v1/events", "events", "name=x&swarm=none"), 0);
    assert_int_equal(how_many(s, "/v1/audit", "audit", NULL), 1);
    assert_int_equal(how_many(s, "/v1/incidents", "incidents", NULL), 1);
    store_close(s);
}

static void events_in_pages(void **state)
{
    (void)state;
    struct store *s = events_of();
    struct json *j = bench_tree(s, bench_frozen(), "/v1/events", "limit=2", 200);
    assert_text(j, "next", "a:2");
    json_free(j);
    j = bench_tree(s, bench_frozen(), "/v1/events", "limit=5", 200);
    assert_true(json_is(json_path(json_root(j), "next"), JSON_T_NULL)); /* all of them fit */
    json_free(j);
    j = bench_tree(s, bench_frozen(), "/v1/events", "limit=1&type=child_started", 200);
    assert_text(j, "next", "a:4");
    json_free(j);
    j = bench_tree(s, bench_frozen(), "/v1/events", "limit=2&type=child_started", 200);
    assert_true(json_is(json_path(json_root(j), "next"), JSON_T_NULL));
    json_free(j);
    assert_int_equal(how_many(s, "/v1/events", "events", "after=a:2"), 3);
    assert_int_equal(how_many(s, "/v1/events", "events", "after=2"), 3);
    assert_int_equal(how_many(s, "/v1/events", "events", "after=a:5"), 0);
    static const char *const bad[] = {"after=b:2",
                                      "after=x",
                                      "after=a:",
                                      "after=a:-1",
                                      "after=a:1x",
                                      "after=9223372036854775808",
                                      "after=a:6", /* it has not come to that one */
                                      "after=9223372036854775807"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        j = bench_tree(s, bench_frozen(), "/v1/events", bad[i], 400);
        assert_text(j, "field", "after");
        json_free(j);
    }
    store_close(s);
}

/* ---- tokens ---- */

static void tokens_without_their_secrets(void **state)
{
    (void)state;
    struct store *s = store_new();
    ok(store_save(s, T_TOKEN,
                  &(struct token_row){.token = (char *)"t1",
                                      .hash = (char *)"feedface",
                                      .role = (char *)"read",
                                      .name = (char *)"ci",
                                      .created_at = NOW_MS,
                                      .expires_at = NOW_MS + 1},
                  e));
    ok(store_save(s, T_TOKEN, &(struct token_row){.token = (char *)"t2", .hash = (char *)"feedface"}, e));
    store_written_down(s);
    struct answer *a = bench_get(s, bench_frozen(), "/v1/tokens", NULL);
    assert_int_equal(a->status, 200);
    assert_null(strstr(a->body, "feedface"));
    assert_null(strstr(a->body, "\"token\":"));
    answer_free(a);
    struct json *j = bench_tree(s, bench_frozen(), "/v1/tokens", "limit=1", 200);
    assert_text(j, "tokens.0.id", "t1");
    assert_text(j, "tokens.0.name", "ci");
    assert_text(j, "next", "t1");
    json_free(j);
    j = bench_tree(s, bench_frozen(), "/v1/tokens", "limit=1&after=t1", 200);
    assert_text(j, "tokens.0.id", "t2");
    assert_true(json_is(json_path(json_root(j), "next"), JSON_T_NULL));
    json_free(j);
    store_close(s);
}

static int make(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/skep-test-api.XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_all(void **state)
{
    (void)state;
    AUTOFREE char *command = mem_printf("rm -rf '%s'", dir);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest list[] = {
        cmocka_unit_test(live_and_ready),
        cmocka_unit_test(what_is_missing_is_said),
        cmocka_unit_test(figures),
        cmocka_unit_test(cluster),
        cmocka_unit_test(nodes),
        cmocka_unit_test(nodes_in_pages),
        cmocka_unit_test(the_default_swarm_has_its_place),
        cmocka_unit_test(swarms_in_pages),
        cmocka_unit_test(a_swarm_shows_what_was_said_and_what_holds),
        cmocka_unit_test(events),
        cmocka_unit_test(events_in_pages),
        cmocka_unit_test(a_page_of_large_rows_ends_early),
        cmocka_unit_test(tokens_without_their_secrets),
    };
    return cmocka_run_group_tests(list, make, remove_all);
}
