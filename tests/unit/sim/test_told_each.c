/* Each type of event that every node tells, in the logs of all of a simulated cluster: once, the same, with
 * its fields. What needs real processes is in tests/e2e/told.test; that no type is forgotten, in
 * tests/source/docs.test. */
#include "told.h"

#define SWARM "/v1/swarms/default"
#define CHILD SWARM "/children/"

/* ---- a worker: a turn's input says what it does of it ---- */

static void fickle_line(struct sim_worker *w, const char *p, size_t n)
{
    AUTOSTR struct str type = STR_INIT, turn = STR_INIT, does = STR_INIT;
    json_unquote(json_raw_member(p, n, "type"), &type);
    json_unquote(json_raw_member(p, n, "turn"), &turn);
    json_unquote(json_raw_member(p, n, "input"), &does);
    struct span again = json_raw_member(p, n, "resumed");
    bool resumed = again.p && *again.p == 't';
    if (strcmp(str_get(&type), "turn") != 0 || strcmp(str_get(&does), "hang") == 0)
        return;
    if (strcmp(str_get(&does), "crash") == 0 && !resumed)
        worker_exit(w, 1);
    else if (strcmp(str_get(&does), "fail") == 0)
        worker_say(w, "{\"type\":\"fail\",\"turn\":\"%s\",\"detail\":\"as asked\",\"ack\":\"end\"}",
                   str_get(&turn));
    else
        worker_say(w, "{\"type\":\"done\",\"turn\":\"%s\",\"result\":1,\"ack\":\"end\"}", str_get(&turn));
}

static const struct sim_program fickle = {.name = "fickle", .line = fickle_line};

static void begin(struct rig *r, uint64_t seed, int nodes)
{
    struct sim_opts o = sim_opts_default(seed, nodes);
    o.loss_ppm = o.slow_commit_ppm = 0;
    o.unique_names = false;
    *r = (struct rig){.sim = sim_new(&o, &sim_brain_node)};
    sim_program_add(r->sim, &fickle);
    for (int i = 0; i < nodes; i++)
        assert_true(sim_start(r->sim, i));
    agree_within(r, nodes, 3000);
}

static void start(struct rig *r, const char *name, int node)
{
    AUTOFREE char *path = mem_printf(CHILD "%s", name);
    AUTOFREE char *body =
        mem_printf("{\"argv\":[\"counter\"],\"restart\":\"permanent\",\"nodes\":[\"n%d\"]}", node + 1);
    want(r, 201, node, HTTP_M_PUT, path, body);
}

/* ---- conflicts ---- */

/* On two sides of a cut, the first one of them earlier. */
static void two_of_a_name(struct rig *r, const char *policy)
{
    AUTOFREE char *body = mem_printf("{\"conflict\":\"%s\"}", policy);
    want(r, 200, 0, HTTP_M_PUT, SWARM, body);
    run_ms(r, 1000);
    split_off(r, 0);
    run_ms(r, 50000);
    want(r, 201, 0, HTTP_M_PUT, CHILD "two", "{\"argv\":[\"counter\"],\"restart\":\"permanent\"}");
    want(r, 200, 0, HTTP_M_POST, CHILD "two/calls", "{\"data\":5}");
    run_ms(r, 2000);
    want(r, 201, 1, HTTP_M_PUT, CHILD "two", "{\"argv\":[\"counter\"],\"restart\":\"permanent\"}");
    want(r, 200, 1, HTTP_M_POST, CHILD "two/calls", "{\"data\":7}");
    sim_heal_all(r->sim);
    agree_within(r, 3, 40000);
}

static void a_conflict_is_told(uint64_t seed, const char *policy, bool first_stays)
{
    struct rig r;
    begin(&r, seed, 3);
    two_of_a_name(&r, policy);
    const char *first = "n1";
    AUTOFREE char *who = mem_printf("\"%s\":\"%s\"", first_stays ? "winner" : "loser", first);
    told_with(&r, "name_conflict", "two", 1, who);
    told_with(&r, "name_conflict", "two", 1, "\"winner_epoch\":\"");
    told_with(&r, "name_conflict", "two", 1, "\"loser_epoch\":\"");
    told_with(&r, "child_fenced", "two", 1, "\"code\":");
    if (strcmp(policy, "callback") == 0) {
        want(&r, 200, 2, HTTP_M_POST, CHILD "two/conflict", "{\"keep\":\"loser\"}");
        told_with(&r, "conflict_resolved", "two", 1, "{\"kept\":\"loser\",\"loser\":\"n1\"}");
        told_alike(&r, "name_conflict", "two", 1);
    }
    told_alike(&r, "pre_children_redistribution", "two", 0);
    rig_end(&r);
}

static void conflicts(void **state UNUSED)
{
    for (uint64_t seed = 1; seed <= 3; seed++) {
        a_conflict_is_told(seed, "newest", false);
        a_conflict_is_told(seed, "oldest", true);
        a_conflict_is_told(seed, "callback", false);
    }
}

/* The other side gave its name away, and then removed it: nobody has it any more. */
static void a_process_whose_name_is_gone(void **state UNUSED)
{
    struct rig r;
    begin(&r, 4, 3);
    want(&r, 201, 0, HTTP_M_PUT, CHILD "x", "{\"argv\":[\"counter\"],\"restart\":\"permanent\"}");
    int at = (int)strtol(sim_node_name(process_of(&r, "x").node) + 1, NULL, 10) - 1;
    converge_within(&r, 20000);
    split_off(&r, at);
    run_ms(&r, 90000);
    want(&r, 200, (at + 1) % 3, HTTP_M_DELETE, CHILD "x", NULL);
    sim_heal_all(r.sim);
    agree_within(&r, 3, 40000);
    told_with(&r, "name_conflict", "x", 1, ": null");
    told_with(&r, "child_fenced", "x", 1, "\"code\":");
    rig_end(&r);
}

/* ---- processes ---- */

static void serve(struct rig *r, enum req_method method)
{
    want(r, 200, 0, method, "/v1/swarms/s/nodes/n1", NULL);
    run_ms(r, 500);
}

/* By its node, which serves its swarm no more; and by its home, when that node is gone: once for each claim,
 * also by a home that has started again. */
static void a_process_that_has_no_node(void **state UNUSED)
{
    struct rig r;
    begin(&r, 5, 3);
    want(&r, 201, 0, HTTP_M_PUT, "/v1/swarms/s", "{\"serve\":\"joined\"}");
    run_ms(&r, 1000);
    serve(&r, HTTP_M_PUT);
    want(&r, 201, 1, HTTP_M_PUT, "/v1/swarms/s/children/x",
         "{\"argv\":[\"counter\"],\"restart\":\"permanent\"}");
    serve(&r, HTTP_M_DELETE);
    told_with(&r, "child_unplaced", "x", 1, "x at n1 under");
    told_with(&r, "child_unplaced", "x", 1, "{\"code\":\"no_node_available\",\"detail\":");
    serve(&r, HTTP_M_PUT);
    run_ms(&r, 20000);
    sim_crash(r.sim, 0);
    agree_within(&r, 2, 40000);
    told_with(&r, "child_unplaced", "x", 2, "its node is gone");
    for (int i = 1; i < 3; i++) {
        sim_crash(r.sim, i);
        run_ms(&r, 100);
        assert_true(sim_start(r.sim, i));
        agree_within(&r, 2, 40000);
        told_alike(&r, "child_unplaced", "x", 2);
    }
    rig_end(&r);
}

static void a_keeper_that_dies(void **state UNUSED)
{
    struct rig r;
    begin(&r, 6, 3);
    start(&r, "x", 1);
    sim_kill_keeper(r.sim, 1);
    told_with(&r, "keeper_died", NULL, 1, "/ at n2 under 0: null");
    told_with(&r, "child_pid_updated", "x", 1, "\"restarts\":1");
    rig_end(&r);
}

static void a_group_that_restarts(void **state UNUSED)
{
    struct rig r;
    begin(&r, 7, 3);
    want(&r, 201, 0, HTTP_M_PUT, SWARM "/groups/crew", "{}");
    for (int i = 0; i < 3; i++) {
        char name[] = {(char)('a' + i), 0};
        AUTOFREE char *path = mem_printf(SWARM "/groups/crew/members/%s", name);
        start(&r, name, i);
        want(&r, 201, 0, HTTP_M_PUT, path, "{}");
    }
    converge_within(&r, 20000);
    assert_true(sim_process_crash(r.sim, 1));
    told_with(&r, "group_restarted", NULL, 1, "default/b at n2 under 0: {\"group\":\"crew\"}");
    for (int i = 0; i < 3; i++)
        told_alike(&r, "child_pid_updated", (char[]){(char)('a' + i), 0}, 1);
    rig_end(&r);
}

/* ---- addresses ---- */

static void an_address(void **state UNUSED)
{
    struct rig r;
    begin(&r, 15, 3);
    const char *path = SWARM "/names/x", *leased = SWARM "/names/l",
               *body = "{\"address\":\"y\",\"ttl_ms\":1000}";
    want(&r, 201, 1, HTTP_M_PUT, path, body);
    told_alike(&r, "name_expired", "x", 1);
    want(&r, 201, 1, HTTP_M_PUT, path, "{\"address\":\"y\"}");
    told_alike(&r, "name_registered", "x", 2);
    want(&r, 200, 1, HTTP_M_PUT, path, "{\"address\":\"y\",\"ttl_ms\":90000}");
    told_alike(&r, "name_renewed", "x", 1);
    want(&r, 200, 2, HTTP_M_DELETE, path, NULL);
    told_alike(&r, "name_released", "x", 1);
    body = "{\"address\":\"y\",\"ttl_ms\":20000}";
    want(&r, 201, 1, HTTP_M_PUT, leased, body);
    run_ms(&r, 6000);
    want(&r, 200, 1, HTTP_M_PUT, leased, body); /* in memory, until the row says that it is over */
    told_alike(&r, "name_renewed", "l", 0);
    told_alike(&r, "name_renewed", "l", 1);
    told_alike(&r, "name_expired", "l", 1);
    rig_end(&r);
}

/* ---- starts and stops of many ---- */

static void a_rollback(void **state UNUSED)
{
    struct rig r;
    begin(&r, 8, 3);
    want(&r, 200, 1, HTTP_M_POST, SWARM "/children",
         "{\"children\":[{\"name\":\"x\",\"argv\":[\"counter\"]},{\"name\":\"bad\",\"argv\":[\"nothing\"]}],"
         "\"on_failure\":\"rollback\"}");
    AUTOFREE char *op = mem_printf("\"operation\":\"%s\"", member(&r, "operation"));
    AUTOFREE char *alone = mem_printf("default/ at n2 under ");
    told_with(&r, "operation_begun", NULL, 1, op);
    told_with(&r, "operation_begun", NULL, 1, ",\"kind\":\"start\",\"total\":2}");
    told_with(&r, "operation_rolled_back", NULL, 1, op);
    told_with(&r, "operation_rolled_back", NULL, 1, alone);
    told_with(&r, "operation_ended", NULL, 1, op);
    told_with(&r, "operation_ended", NULL, 1, ",\"rollback\":true}");
    rig_end(&r);
}

/* The first child never says that it is ready, so that the operation is under way when its coordinator dies.
 */
static void an_operation_that_is_taken(void **state UNUSED)
{
    struct rig r, answer = {0};
    begin(&r, 9, 3);
    ask_later(&r, &answer, 1, HTTP_M_POST, SWARM "/children",
              "{\"children\":[{\"name\":\"x\",\"argv\":[\"sleep\"],\"ready\":\"protocol\",\"start_ms\":60000,"
              "\"nodes\":[\"n1\",\"n3\"]}]}");
    run_ms(&r, 1500);
    sim_crash(r.sim, 1);
    agree_within(&r, 2, 40000);
    told_with(&r, "operation_taken", NULL, 1, ",\"from\":\"n2\"}");
    told_with(&r, "operation_taken", NULL, 1, "{\"operation\":\"");
    assert_true(sim_start(r.sim, 1));
    agree_within(&r, 3, 40000);
    told_alike(&r, "operation_taken", NULL, 1);
    rig_end(&r);
    str_fini(&answer.body);
}

/* ---- sessions ---- */

static char *turn_of(struct rig *r, int status, const char *input, bool waits)
{
    AUTOFREE char *body = mem_printf("{\"input\":\"%s\",\"wait\":%s}", input, waits ? "true" : "false");
    want(r, status, 0, HTTP_M_POST, "/v1/sessions/s/turns?timeout_ms=30000", body);
    return mem_dup(member(r, "turn"));
}

static void template_put(struct rig *r)
{
    want(r, 201, 0, HTTP_M_PUT, "/v1/templates/t", "{\"argv\":[\"fickle\"],\"resume\":\"eager\"}");
    want(r, 201, 1, HTTP_M_POST, "/v1/sessions", "{\"id\":\"s\",\"template\":\"t\"}");
    told_alike(r, "session_created", "s", 1);
}

/* In its order; of a turn that began and ended between two pulls, too. */
static void in_order(struct rig *r, const char *turn, const char *types)
{
    AUTOSTR struct str all = STR_INIT;
    for (int i = 0; i < 3; i++) {
        struct stmt *q = stmt_new(store_db(node_store(node_at(r, i))),
                                  "SELECT type FROM log WHERE data ->> 'turn' = ?1 ORDER BY seq");
        stmt_text(q, 1, turn);
        str_clear(&all);
        while (stmt_step(q, NULL) == 1)
            str_printf(&all, "%s%s", all.n ? " " : "", col_text(q, 0));
        stmt_free(q);
        assert_string_equal(str_get(&all), types);
    }
}

static void turns(void **state UNUSED)
{
    struct rig r;
    begin(&r, 10, 3);
    template_put(&r);
    AUTOFREE char *quick = turn_of(&r, 200, "go", true), *failing = turn_of(&r, 200, "fail", true),
                  *crashing = turn_of(&r, 200, "crash", true), *hanging = turn_of(&r, 202, "hang", false);
    AUTOFREE char *path = mem_printf("/v1/sessions/s/turns/%s", hanging);
    AUTOFREE char *of_hanging = mem_printf("{\"turn\":\"%s\"}", hanging);
    told_with(&r, "turn_started", NULL, 4, of_hanging);
    want(&r, 200, 2, HTTP_M_DELETE, path, NULL);
    told_with(&r, "turn_cancelled", NULL, 1, of_hanging);
    told_with(&r, "turn_queued", NULL, 4, of_hanging);
    told_with(&r, "turn_resumed", NULL, 1, crashing);
    told_with(&r, "turn_failed", NULL, 1, "\"detail\":\"as asked\"}");
    told_with(&r, "turn_done", NULL, 2, quick);
    in_order(&r, quick, "turn_queued turn_started turn_done");
    in_order(&r, failing, "turn_queued turn_started turn_failed");
    in_order(&r, crashing, "turn_queued turn_started turn_resumed turn_done");
    in_order(&r, hanging, "turn_queued turn_started turn_cancelled");
    rig_end(&r);
}

/* A claim in order lets the worker end first; one by the owner itself fences it. */
static void a_session_that_is_claimed(void **state UNUSED)
{
    struct rig r;
    begin(&r, 11, 3);
    template_put(&r);
    free(turn_of(&r, 202, "hang", false));
    run_ms(&r, 1000);
    want(&r, 200, 2, HTTP_M_POST, "/v1/sessions/s/claim", "{}");
    told_with(&r, "session_claimed", "s", 1, "{\"from\":\"n2\",\"why\":\"claim\"}");
    told_with(&r, "turn_resumed", "s", 1, "/s at n3 under ");
    told_alike(&r, "session_fenced", "s", 0);
    want(&r, 200, 2, HTTP_M_POST, "/v1/sessions/s/claim", "{}");
    told_with(&r, "session_fenced", "s", 1, "/s at n3 under ");
    sim_crash(r.sim, 2);
    agree_within(&r, 2, 40000);
    told_with(&r, "session_claimed", "s", 3, "{\"from\":\"n3\",\"why\":\"reaped\"}");
    assert_true(sim_start(r.sim, 2));
    agree_within(&r, 3, 40000);
    told_alike(&r, "session_claimed", "s", 3);
    told_alike(&r, "session_fenced", "s", 1);
    rig_end(&r);
}

/* Its owner is gone: whoever ends it says whose it was, as everybody does. */
static void a_session_without_its_owner(void **state UNUSED)
{
    struct rig r;
    begin(&r, 12, 3);
    want(&r, 201, 1, HTTP_M_POST, "/v1/sessions", "{\"id\":\"s\",\"ttl_ms\":2000}");
    want(&r, 201, 1, HTTP_M_POST, "/v1/sessions", "{\"id\":\"u\"}");
    run_ms(&r, 500);
    sim_crash(r.sim, 1);
    agree_within(&r, 2, 40000);
    want(&r, 200, 0, HTTP_M_DELETE, "/v1/sessions/u", NULL);
    told_with(&r, "session_ended", "u", 1, "/u at n2 under ");
    told_with(&r, "session_expired", "s", 1, "/s at n");
    rig_end(&r);
}

/* ---- members ---- */

static void members_of_the_cluster(void **state UNUSED)
{
    struct rig r;
    struct sim_opts o = sim_opts_default(13, 3);
    o.loss_ppm = o.slow_commit_ppm = 0;
    o.spare = 1;
    rig_begin_opts(&r, &o);
    agree_within(&r, 3, 3000);
    assert_int_equal(sim_add(r.sim), 3);
    assert_true(sim_start(r.sim, 3));
    agree_within(&r, 4, 40000);
    run_ms(&r, 2000);
    for (int i = 0; i < 4; i++) /* of the others each one that was a member itself by then */
        assert_int_equal(
            rows_number(&r, i, "SELECT count(*) FROM log WHERE type = 'node_joined' AND node = 'n4'"), 1);
    sim_stop(r.sim, 3);
    agree_within(&r, 3, 40000);
    told_with(&r, "coordinator_shutdown", NULL, 1, "/ at n4 under 0: {\"reason\":\"stop\"}");
    told_with(&r, "node_left", NULL, 1, "/ at n4 under 0: null");
    want(&r, 200, 1, HTTP_M_DELETE, "/v1/nodes/n4", NULL);
    told_with(&r, "node_forgotten", NULL, 1, "/ at n4 under 0: null");
    rig_end(&r);
}

/* ---- order ---- */

/* What one node does, as it is in its log and in the others'. What is gathered comes at the end of its
 * transaction. */
static char *story(struct rig *r, int node)
{
    struct str all = STR_INIT;
    struct stmt *q = stmt_new(
        store_db(node_store(node_at(r, node))),
        "SELECT type, coalesce(name, data ->> 'group', swarm, '') FROM log WHERE seq > (SELECT min(seq) FROM "
        "log WHERE type = 'drain_began') AND type NOT IN ('child_started', 'child_exited', 'child_stopped', "
        "'child_stop_asked') AND type NOT LIKE '%\\_children\\_%' ESCAPE '\\' ORDER BY seq");
    while (stmt_step(q, NULL) == 1)
        str_printf(&all, "%s %s\n", col_text(q, 0), col_text(q, 1));
    stmt_free(q);
    return str_take(&all);
}

static void does(struct rig *r, int status, enum req_method method, const char *path, const char *body)
{
    want(r, status, 0, method, path, body);
    run_ms(r, 300); /* so that the others see it before it is replaced */
}

static void of_one_node_the_events_come_in_its_order(void **state UNUSED)
{
    struct rig r;
    begin(&r, 14, 3);
    AUTOFREE char *name = name_at(&r, 0);
    AUTOFREE char *child = mem_printf(CHILD "%s", name),
                  *in_crew = mem_printf(SWARM "/groups/crew/members/%s", name);
    does(&r, 200, HTTP_M_PUT, "/v1/nodes/n1/drain", NULL);
    does(&r, 200, HTTP_M_DELETE, "/v1/nodes/n1/drain", NULL);
    does(&r, 201, HTTP_M_PUT, child, "{\"argv\":[\"counter\"],\"restart\":\"permanent\",\"nodes\":[\"n1\"]}");
    does(&r, 201, HTTP_M_PUT, SWARM "/groups/crew", "{\"restart_strategy\":\"none\"}");
    does(&r, 201, HTTP_M_PUT, in_crew, "{}");
    does(&r, 200, HTTP_M_PUT, "/v1/nodes/n1/drain", NULL);
    does(&r, 200, HTTP_M_DELETE, "/v1/nodes/n1/drain", NULL);
    does(&r, 201, HTTP_M_PUT, "/v1/swarms/q", "{\"serve\":\"joined\"}");
    does(&r, 200, HTTP_M_PUT, "/v1/swarms/q/nodes/n1", NULL);
    sim_kill_keeper(r.sim, 0);
    run_ms(&r, 3000);
    does(&r, 200, HTTP_M_DELETE, "/v1/swarms/q/nodes/n1", NULL);
    does(&r, 200, HTTP_M_PUT, in_crew, "{\"metadata\":{\"n\":1}}");
    does(&r, 200, HTTP_M_DELETE, child, NULL);
    does(&r, 200, HTTP_M_DELETE, SWARM "/groups/crew", NULL);
    converge_within(&r, 20000);
    AUTOFREE char *own = story(&r, 0);
    assert_non_null(strstr(own, "keeper_died \nchild_pid_updated "));
    for (int i = 1; i < 3; i++) {
        AUTOFREE char *other = story(&r, i);
        assert_string_equal(other, own);
    }
    rig_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conflicts),
        cmocka_unit_test(a_process_whose_name_is_gone),
        cmocka_unit_test(a_process_that_has_no_node),
        cmocka_unit_test(a_keeper_that_dies),
        cmocka_unit_test(a_group_that_restarts),
        cmocka_unit_test(an_address),
        cmocka_unit_test(a_rollback),
        cmocka_unit_test(an_operation_that_is_taken),
        cmocka_unit_test(turns),
        cmocka_unit_test(a_session_that_is_claimed),
        cmocka_unit_test(a_session_without_its_owner),
        cmocka_unit_test(members_of_the_cluster),
        cmocka_unit_test(of_one_node_the_events_come_in_its_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
