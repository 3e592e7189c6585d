/* Many started at once: where they go, how many there is room for, and how long they may take. */
#include "batch.h"

/* ---- no outcome ---- */

/* What has no outcome after 10 minutes has none: it may still happen, as it does here. */
static void what_takes_too_long_has_no_outcome(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct rig r;
        begin(&r, seed, 3);
        AUTOFREE char *all = body_of("n", CHILDREN, SILENT, ",\"await\":false");
        want(&r, 202, 0, HTTP_M_POST, MANY, all);
        AUTOFREE char *path = mem_printf("/v1/operations/%s", member(&r, "operation"));
        run_ms(&r, 9 * 60000 + 50000);
        want(&r, 200, 1, HTTP_M_GET, path, NULL);
        assert_string_equal(member(&r, "state"), "running");
        if (seed == 2) /* its successor ends it */
            sim_crash(r.sim, 0);
        run_ms(&r, 20000);
        want(&r, 200, 2, HTTP_M_GET, path, NULL);
        assert_string_equal(member(&r, "state"), "done");
        assert_non_null(strstr(member(&r, "result"), "\"code\":\"timeout\""));
        assert_non_null(strstr(member(&r, "progress"), "\"failed\":1"));
        run_ms(&r, 9 * 60000 + 30000); /* counted from the end, not from the beginning */
        want(&r, 200, 1, HTTP_M_GET, path, NULL);
        run_ms(&r, 90000);
        want(&r, 404, 1, HTTP_M_GET, path, NULL);
        rig_end(&r);
    }
}

/* ---- room, and what the plan rests on ---- */

#define SMALL "/v1/swarms/small"

/* Every node tells of each, wherever it was made. */
static int64_t claims(struct rig *r)
{
    return rows_number(r, 0, "SELECT count(*) FROM log WHERE type = 'child_claimed'");
}

/* As many as there is room for, on any way to ask; who is refused is told, and nothing was claimed for it. */
static void no_more_are_placed_than_there_is_room_for(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        static const char *const kinds[] = {"consistent_hash", "load_balancer", "random", "consistent_hash"};
        struct rig r;
        begin(&r, seed, 3);
        AUTOFREE char *settings =
            mem_printf("{\"limits\":{\"max_children\":50},\"distribution\":\"%s\"}", kinds[seed - 1]);
        want(&r, 201, 0, HTTP_M_PUT, SMALL, settings);
        run_ms(&r, seed == 2 ? 30000 : 1000); /* a scoreboard takes its time */
        AUTOFREE char *all = body_of("x", 300, NULL, "");
        want(&r, 503, (int)(seed % 3), HTTP_M_POST, SMALL "/children", all);
        assert_string_equal(member(&r, "code"), "no_node_available");
        assert_int_equal(length(&r, "names"), 150);
        for (int i = 0; i < 3; i++)
            assert_int_equal(rows_number(&r, i, "SELECT count(*) FROM name"), 0);
        AUTOFREE char *each = body_of("x", 300, NULL, ",\"mode\":\"each\"");
        want(&r, 200, (int)(seed % 3), HTTP_M_POST, SMALL "/children", each);
        assert_int_equal(length(&r, "started"), 150);
        assert_int_equal(length(&r, "errors"), 150);
        assert_non_null(strstr(member(&r, "errors"), "n1 is full (max_children)"));
        run_ms(&r, 2000);
        assert_int_equal(claims(&r), 150); /* the rest was known before */
        for (int i = 0; i < 3; i++) {
            AUTOFREE char *sql =
                mem_printf("SELECT count(*) FROM name WHERE owner = '%s'", node_at(&r, i)->self_text);
            assert_int_equal(rows_number(&r, 0, sql), 50);
        }
        /* those that run need no room: what is missing finds none, and they are shown */
        AUTOFREE char *missing = body_of("x", 300, NULL, ",\"mode\":\"missing\"");
        want(&r, 200, 0, HTTP_M_POST, SMALL "/children", missing);
        assert_int_equal(length(&r, "existing"), 150);
        assert_int_equal(length(&r, "errors"), 150);
        want(&r, 409, 0, HTTP_M_POST, SMALL "/children", all);
        rig_end(&r);
    }
}

struct two {
    int status;
    struct str body;
};

static void answered(struct sim *s, void *arg, const struct sim_reply *reply)
{
    (void)s;
    struct two *t = arg;
    t->status = reply->status;
    str_add(&t->body, reply->body ? reply->body : "", reply->body_n);
}

/* Two that do not know of each other want more than there is room for: the nodes have the last word, and each
 * is all or none. */
static void two_at_once_are_all_or_none(void **state)
{
    (void)state;
    int refused = 0;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct rig r;
        struct two t[2] = {{0}, {0}};
        begin(&r, seed, 3);
        want(&r, 201, 0, HTTP_M_PUT, SMALL, "{\"limits\":{\"max_children\":20}}");
        run_ms(&r, 1000);
        AUTOFREE char *left = body_of("l", 40, NULL, ""), *right = body_of("r", 40, NULL, "");
        for (int i = 0; i < 2; i++) {
            struct sim_ask a = {.node = i,
                                .method = HTTP_M_POST,
                                .path = SMALL "/children",
                                .body = i ? right : left,
                                .timeout_ms = 60000,
                                .done = answered,
                                .arg = &t[i]};
            sim_ask(r.sim, &a);
        }
        for (int i = 0; i < 60000 && !(t[0].status && t[1].status); i++)
            run_ms(&r, 1);
        run_ms(&r, 3000);
        for (int i = 0; i < 2; i++) {
            AUTOFREE char *like =
                mem_printf("SELECT count(*) FROM name WHERE name LIKE '%s%%'", i ? "r" : "l");
            int64_t n = rows_number(&r, 2, like);
            refused += t[i].status == 503 && strstr(str_get(&t[i].body), "no_node_available");
            if (n != (t[i].status == 200 ? 40 : 0) || (t[i].status != 200 && t[i].status != 503))
                fail_msg("seed %d: %d, and %d are there: %.800s", (int)seed, t[i].status, (int)n,
                         str_get(&t[i].body));
            str_fini(&t[i].body);
        }
        rig_end(&r);
    }
    assert_true(refused >= 8);
}

/* One of the names runs already, or there is room for all as long as no node dies; and the coordinator or a
 * home does: all are claimed or none, whoever decides. */
static void all_or_none_with_a_death(uint64_t seed, int64_t us, bool full, bool comes_back)
{
    struct rig r;
    begin(&r, seed, 3);
    int node = (int)(seed % 3), dies = seed % 2 ? node : (node + 1) % 3;
    want(&r, 201, 0, HTTP_M_PUT, SMALL, full ? "{\"limits\":{\"max_children\":9}}" : "{}");
    run_ms(&r, 1000);
    if (!full)
        want(&r, 201, 0, HTTP_M_PUT, SMALL "/children/z23", "{\"argv\":[\"/bin/counter\"]}");
    AUTOFREE char *all = body_of("z", CHILDREN, NULL, "");
    struct sim_ask a = {.node = node,
                        .method = HTTP_M_POST,
                        .path = SMALL "/children",
                        .query = "timeout_ms=50000",
                        .body = all,
                        .timeout_ms = 60000,
                        .done = rig_answered,
                        .arg = &r};
    r.answered = false;
    sim_ask(r.sim, &a);
    assert_true(sim_run(r.sim, sim_now_us(r.sim) + us));
    sim_crash(r.sim, dies);
    if (full && !comes_back) /* what the dead node had waits for room, and has no outcome in time */
        run_ms(&r, 10 * 60000);
    settle(&r, comes_back ? dies : -1, true);
    int64_t n = rows_number(&r, (dies + 1) % 3, "SELECT count(*) FROM name") - !full;
    if (n != 0 && !(full && n == CHILDREN))
        fail_msg("seed %d, %d us: %d are left", (int)seed, (int)us, (int)n);
    rig_end(&r);
}

static void all_or_none_while_nodes_die(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++)
        for (int64_t us = 1500; us < 60000; us = us * 6) {
            all_or_none_with_a_death(seed, us + (int64_t)seed * 177, false, seed % 4 < 2);
            all_or_none_with_a_death(seed, us + (int64_t)seed * 173, true, seed % 4 < 2);
        }
}

/* What a dead node ran, and nobody else may take, is stopped with the others, and taken back with them. */
#define BOUND ",\"child_mapping\":{\"z03\":[\"n3\"],\"z04\":[\"n3\"]}"

static void what_no_node_may_take_is_ended_too(void **state)
{
    static const char slow[] = "{\"name\":\"slow\",\"argv\":[\"/bin/sleep\"],\"ready\":\"protocol\","
                               "\"start_ms\":120000}";
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct rig r;
        begin(&r, seed, 3);
        want(&r, 201, 0, HTTP_M_PUT, SMALL, "{}");
        run_ms(&r, 1000);
        AUTOFREE char *some = body_of("z", CHILDREN, NULL, BOUND), *names = names_of("z", CHILDREN);
        AUTOFREE char *all =
            body_of("z", CHILDREN, slow, BOUND ",\"on_failure\":\"rollback\",\"await\":false");
        want(&r, seed % 2 ? 200 : 202, 0, HTTP_M_POST, SMALL "/children", seed % 2 ? some : all);
        AUTOFREE char *path =
            mem_printf("/v1/operations/%s?wait=true&timeout_ms=100000", member(&r, "operation"));
        run_ms(&r, 2000);
        sim_crash(r.sim, 2);
        if (seed % 2) {
            run_ms(&r, 5000);
            want(&r, 200, 1, HTTP_M_POST, SMALL "/stop?timeout_ms=50000", names);
            assert_int_equal(length(&r, "stopped"), CHILDREN);
        } else {
            run_ms(&r, 90000);
            want(&r, 200, 1, HTTP_M_GET, path, NULL);
            assert_string_equal(member(&r, "state"), "done");
            assert_non_null(strstr(member(&r, "result"), "\"rollback\":true"));
        }
        for (int i = 0; i < 2; i++)
            assert_int_equal(rows_number(&r, i, "SELECT count(*) FROM name"), 0);
        assert_true(sim_start(r.sim, 2)); /* which brings nothing of it back */
        run_ms(&r, 20000);
        converge_within(&r, 30000);
        assert_int_equal(rows_number(&r, 2, "SELECT count(*) FROM name"), 0);
        rig_end(&r);
    }
}

/* One of them never gets ready. */
static void gives_up_after(struct rig *r, const char *path, int names, int64_t want_ms)
{
    AUTOFREE char *all = body_of("t", names - 1, SILENT, "");
    int64_t began = sim_now_us(r->sim) / 1000;
    want(r, 504, 1, HTTP_M_POST, path, all);
    int64_t took = sim_now_us(r->sim) / 1000 - began;
    if (took < want_ms || took > want_ms + 300)
        fail_msg("%d names: answered after %d ms", names, (int)took);
    assert_string_equal(member(r, "code"), "timeout");
    assert_int_equal(strlen(member(r, "operation")), 32);
}

/* 5 s and 1 ms a name, unless something else was said. */
static void a_call_takes_as_long_as_it_may(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 1, 3);
    want(&r, 201, 0, HTTP_M_PUT, SMALL, "{}");
    run_ms(&r, 1000);
    gives_up_after(&r, MANY, 25, 5025);
    gives_up_after(&r, SMALL "/children", 900, 5900);
    rig_end(&r);
}

static int64_t plans(struct rig *r, bool kept)
{
    int64_t sum = 0;
    for (int i = 0; i < 3; i++)
        sum += kept ? node_at(r, i)->counters.plans_kept : node_at(r, i)->counters.plans_anew;
    return sum;
}

static void ignored(struct sim *s, void *arg, const struct sim_reply *reply)
{
    (void)s;
    (void)arg;
    (void)reply;
}

static void on_node(void *arg, const struct sim_process *p)
{
    struct rig *r = arg;
    r->status += p->node == sim_node(r->sim, 1);
}

/* Where nothing changes between the plan and the claims, nobody places anew. */
static void what_was_placed_is_placed_once(void **state)
{
    (void)state;
    static const char *const kinds[] = {"\"consistent_hash\"", "\"load_balancer\"",
                                        "{\"kind\":\"consistent_hash\",\"bound_percent\":110}"};
    for (uint64_t seed = 1; seed <= COUNT(kinds); seed++) {
        struct rig r;
        begin(&r, seed, 3);
        AUTOFREE char *settings = mem_printf("{\"distribution\":%s}", kinds[seed - 1]);
        want(&r, 201, 0, HTTP_M_PUT, SMALL, settings);
        run_ms(&r, 1000);
        AUTOFREE char *all = body_of("p", 90, NULL, ",\"mode\":\"each\"");
        want(&r, 200, 1, HTTP_M_POST, SMALL "/children", all);
        assert_string_equal(member(&r, "status"), "ok");
        assert_int_equal(plans(&r, true), 3);
        assert_int_equal(plans(&r, false), 0);
        rig_end(&r);
    }
}

/* A home knows more than the coordinator did: a node drains. What that home claims goes elsewhere at once. */
static void what_has_changed_is_placed_anew(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct rig r;
        begin(&r, seed, 3);
        AUTOFREE char *all = body_of("p", 90, NULL, ",\"mode\":\"each\"");
        struct sim_ask drain = {.node = 1,
                                .method = HTTP_M_PUT,
                                .path = "/v1/nodes/n2/drain",
                                .timeout_ms = 60000,
                                .done = ignored};
        sim_ask(r.sim, &drain);
        want(&r, 200, 0, HTTP_M_POST, MANY, all);
        assert_int_equal(length(&r, "started"), 90);
        assert_true(plans(&r, false) > 0);
        run_ms(&r, 20000);
        assert_int_equal(running(&r, "p", 90), 90);
        r.status = 0;
        sim_processes(r.sim, on_node, &r);
        assert_int_equal(r.status, 0);
        rig_end(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_takes_too_long_has_no_outcome),
        cmocka_unit_test(no_more_are_placed_than_there_is_room_for),
        cmocka_unit_test(two_at_once_are_all_or_none),
        cmocka_unit_test(all_or_none_while_nodes_die),
        cmocka_unit_test(what_no_node_may_take_is_ended_too),
        cmocka_unit_test(a_call_takes_as_long_as_it_may),
        cmocka_unit_test(what_was_placed_is_placed_once),
        cmocka_unit_test(what_has_changed_is_placed_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
