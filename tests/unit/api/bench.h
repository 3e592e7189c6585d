/* What the tests of api/ share: a frozen view of three nodes, and requests that never came over a wire. */
#ifndef SKEP_TEST_API_BENCH_H
#define SKEP_TEST_API_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "api/api.h"

#define NOW_MS INT64_C(1700000000000)

/* Nodes a (this one), b (suspect) and c (left), as a brain would publish them. */
static inline struct frozen *bench_frozen(void)
{
    static struct frozen_node nodes[3];
    static struct frozen f;
    nodes[0] = (struct frozen_node){.id = {{1}},
                                    .name = (char *)"a",
                                    .url = (char *)"https://127.0.0.1:1",
                                    .version = (char *)"9.9",
                                    .self = true,
                                    .member = true,
                                    .in_view = true,
                                    .started_at_ms = NOW_MS};
    nodes[1] = (struct frozen_node){.id = {{2}},
                                    .name = (char *)"b \"x\\y\"",
                                    .url = (char *)"https://127.0.0.1:2",
                                    .version = (char *)"",
                                    .link = (char *)"via d",
                                    .liveness = LIVENESS_SUSPECT,
                                    .rtt_ms = 70,
                                    .avg_rtt_ms = 70.5,
                                    .lag_ms = 1500,
                                    .started_at_ms = NOW_MS};
    nodes[2] = (struct frozen_node){.id = {{3}},
                                    .name = (char *)"c",
                                    .url = (char *)"https://127.0.0.1:3",
                                    .left = true,
                                    .rtt_ms = -1,
                                    .avg_rtt_ms = -1};
    f = (struct frozen){.cluster = {{7}},
                        .self = {{1}},
                        .name = (char *)"a",
                        .url = (char *)"https://127.0.0.1:1",
                        .version = (char *)"9.9",
                        .started_at_ms = NOW_MS,
                        .open = true,
                        .ready = true,
                        .signature = 0xabc,
                        .nodes = nodes,
                        .nodes_n = 3,
                        .pid = 42};
    return &f;
}

/* A read of the API, from its path and query to its answer, which is yours. */
static inline struct answer *bench_get(struct store *s, const struct frozen *f, const char *path,
                                       const char *query)
{
    char allow[64];
    struct err e = {0};
    struct request r = {.method = HTTP_M_GET,
                        .path = (char *)(uintptr_t)path,
                        .query = (char *)(uintptr_t)query,
                        .body = (char *)""};
    const struct route *route = api_find(r.method, r.path, allow, &e);
    if (!route)
        return api_problem(&e, allow);
    assert_non_null(route->read);
    struct reading reading = {.store = s, .frozen = f, .now_real_ms = NOW_MS, .brain_age_ms = 3};
    return api_read(route, &r, &reading);
}

/* The same, with a status to expect, as a tree. */
static inline struct json *bench_tree(struct store *s, const struct frozen *f, const char *path,
                                      const char *query, int status)
{
    struct json *tree = NULL;
    struct err e = {0};
    struct answer *a = bench_get(s, f, path, query);
    if (a->status != status || json_parse(a->body, a->body_n, &tree, &e) < 0)
        print_error("%s: %d, %.*s (%s)\n", path, a->status, (int)a->body_n, a->body, e.text);
    assert_int_equal(a->status, status);
    assert_non_null(tree);
    answer_free(a);
    return tree;
}

static inline void assert_text(const struct json *j, const char *path, const char *expected)
{
    const char *got = json_text(json_path(json_root(j), path));
    if (!got || strcmp(got, expected) != 0)
        print_error("%s is %s\n", path, got ? got : "no text");
    assert_non_null(got);
    assert_string_equal(got, expected);
}

#endif
