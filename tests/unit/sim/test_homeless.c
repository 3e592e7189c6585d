/* Processes of a dead node that no other node may take: shown as what they are, said once, started as soon as
 * somebody may take them, and stopped by their home. */
#include "rig.h"

#include <stdlib.h>

#define NODES   3
#define CHILD   "/v1/swarms/s/children/"
#define COUNTER "{\"argv\":[\"/bin/counter\"],\"restart\":\"permanent\"}"

static void begin(struct rig *r, uint64_t seed, const char *settings)
{
    struct sim_opts opts = sim_opts_default(seed, NODES);
    rig_begin_opts(r, &opts);
    agree_within(r, NODES, 5000);
    want(r, 201, 0, HTTP_M_PUT, "/v1/swarms/s", settings);
    run_ms(r, 1000);
}

static void serve(struct rig *r, int node)
{
    AUTOFREE char *path = mem_printf("/v1/swarms/s/nodes/n%d", node + 1);
    want(r, 200, node, HTTP_M_PUT, path, NULL);
    run_ms(r, 500);
}

static void killed(struct rig *r, int node)
{
    sim_crash(r->sim, node);
    agree_within(r, NODES - 1, 10000);
    run_ms(r, 1000);
}

static int running(struct rig *r, const char *name)
{
    struct sim_process p = {0};
    return sim_running(r->sim, "s", name, &p);
}

static void runs_within(struct rig *r, const char *name, int64_t within_ms)
{
    for (int64_t ms = 0; ms < within_ms && running(r, name) != 1; ms += 20)
        run_ms(r, 20);
    if (running(r, name) != 1)
        fail_msg("%s does not run after %lld ms", name, (long long)within_ms);
}

/* By HTTP, by the list's filter, and in SQL. */
static void shown_as(struct rig *r, int node, const char *name, const char *status)
{
    AUTOFREE char *path = mem_printf(CHILD "%s", name);
    AUTOFREE char *list = mem_printf("/v1/swarms/s/children?status=%s", status);
    AUTOFREE char *in_list = mem_printf("\"name\":\"%s\"", name);
    AUTOFREE char *sql =
        mem_printf("SELECT count(*) FROM v_child WHERE name = '%s' AND status = '%s'", name, status);
    want(r, 200, node, HTTP_M_GET, path, NULL);
    assert_string_equal(member(r, "status"), status);
    want(r, 200, node, HTTP_M_GET, list, NULL);
    assert_non_null(strstr(str_get(&r->body), in_list));
    assert_int_equal(rows_number(r, node, sql), 1);
}

static void who_has_no_node_is_shown_as_stopped(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 1, "{\"serve\":\"joined\"}");
    serve(&r, 0);
    want(&r, 201, 1, HTTP_M_PUT, CHILD "x", COUNTER);
    killed(&r, 0);
    for (int node = 1; node < NODES; node++) {
        shown_as(&r, node, "x", "stopped");
        want(&r, 200, node, HTTP_M_GET, CHILD "x", NULL);
        assert_string_equal(member(&r, "pid"), "null");
        assert_non_null(strstr(str_get(&r.body), "\"code\":\"no_node_available\""));
        assert_int_equal(rows_number(&r, node,
                                     "SELECT count(*) FROM v_child WHERE name = 'x' AND pid IS NULL AND "
                                     "json_extract(reason, '$.code') = 'no_node_available'"),
                         1);
        assert_int_equal(rows_number(&r, node, "SELECT count(*) FROM v_node WHERE state = 'down'"), 1);
        want(&r, 503, node, HTTP_M_POST, CHILD "x/messages", "{\"data\":1}");
        assert_string_equal(member(&r, "code"), "no_node_available");
    }
    run_ms(&r, 20000);
    for (int node = 1; node < NODES; node++)
        assert_int_equal(events(&r, node, "child_unplaced"), 1);
    serve(&r, 1);
    runs_within(&r, "x", 1000);
    run_ms(&r, 500);
    shown_as(&r, 2, "x", "running");
    assert_true(sim_start(r.sim, 0));
    agree_within(&r, NODES, 10000);
    run_ms(&r, 2000);
    assert_int_equal(running(&r, "x"), 1);
    assert_int_equal(rows_number(&r, 1, "SELECT count(*) FROM v_node WHERE state = 'down'"), 0);
    rig_end(&r);
}

/* Its own node comes back, and it is the only one that may. */
static void who_may_run_nowhere_else_starts_with_its_node(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 2, "{\"nodes\":[\"n*\",\"!n2\",\"!n3\"]}");
    want(&r, 201, 1, HTTP_M_PUT, CHILD "x", COUNTER);
    killed(&r, 0);
    shown_as(&r, 1, "x", "stopped");
    assert_true(sim_start(r.sim, 0));
    agree_within(&r, NODES, 10000);
    runs_within(&r, "x", 1000);
    run_ms(&r, 500);
    shown_as(&r, 2, "x", "running");
    rig_end(&r);
}

/* A place that becomes free is nobody's event. */
static void room_that_becomes_free_is_found(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 3, "{\"nodes\":[\"n1\",\"n2\"],\"limits\":{\"max_children\":1}}");
    want(&r, 201, 2, HTTP_M_PUT, CHILD "x", "{\"argv\":[\"/bin/counter\"],\"nodes\":[\"n1\",\"n2\"]}");
    want(&r, 201, 2, HTTP_M_PUT, CHILD "y", "{\"argv\":[\"/bin/counter\"],\"nodes\":[\"n1\",\"n2\"]}");
    want(&r, 200, 2, HTTP_M_GET, CHILD "x", NULL);
    int of_x = member(&r, "node")[1] - '1';
    killed(&r, of_x);
    shown_as(&r, 2, "x", "stopped");
    shown_as(&r, 2, "y", "running");
    want(&r, 200, 2, HTTP_M_DELETE, CHILD "y", NULL);
    runs_within(&r, "x", 2500);
    rig_end(&r);
}

/* Through its home, and through another node; a new life of the name starts anew. */
static void its_home_stops_who_has_no_node(void **state)
{
    (void)state;
    for (int through = 1; through < NODES; through++) {
        struct rig r;
        begin(&r, (uint64_t)(4 + through), "{\"serve\":\"joined\"}");
        serve(&r, 0);
        want(&r, 201, 1, HTTP_M_PUT, CHILD "x", COUNTER);
        killed(&r, 0);
        want(&r, 200, through, HTTP_M_DELETE, CHILD "x", NULL);
        assert_string_equal(member(&r, "status"), "stopped");
        want(&r, 404, through, HTTP_M_GET, CHILD "x", NULL);
        want(&r, 404, NODES - through, HTTP_M_DELETE, CHILD "x", NULL);
        assert_true(sim_start(r.sim, 0));
        agree_within(&r, NODES, 10000);
        run_ms(&r, 3000);
        assert_int_equal(running(&r, "x"), 0);
        want(&r, 201, 2, HTTP_M_PUT, CHILD "x", COUNTER);
        runs_within(&r, "x", 1000);
        digests_equal(&r);
        rig_end(&r);
    }
}

/* The node that has it is full with it alone: that is no reason not to go on there under a new view. */
static void who_fills_its_node_stays_there(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 7, "{\"nodes\":[\"n1\"],\"limits\":{\"max_children\":1}}");
    want(&r, 201, 1, HTTP_M_PUT, CHILD "x",
         "{\"argv\":[\"/bin/false\"],\"restart\":\"permanent\",\"max_restarts\":1000,\"backoff_min_ms\":3000,"
         "\"backoff_max_ms\":3000}");
    run_ms(&r, 1000);
    killed(&r, 2);
    int64_t before = rows_number(&r, 0, "SELECT restarts FROM child WHERE name = 'x'");
    run_ms(&r, 20000);
    assert_true(rows_number(&r, 0, "SELECT restarts FROM child WHERE name = 'x'") > before + 1);
    rig_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_has_no_node_is_shown_as_stopped),
        cmocka_unit_test(who_may_run_nowhere_else_starts_with_its_node),
        cmocka_unit_test(room_that_becomes_free_is_found),
        cmocka_unit_test(its_home_stops_who_has_no_node),
        cmocka_unit_test(who_fills_its_node_stays_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
