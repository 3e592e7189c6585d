/* A child is stopped in the moment in which its home gives its claim anew: what was acknowledged stays so. */
#include "rig.h"

static char *path_of(const char *name)
{
    return mem_printf("/v1/swarms/default/children/%s", name);
}

static bool has_pulled(struct node *home, const struct node *from)
{
    const struct view_node *v = view_find(&home->view, &from->self);
    return view_others(&home->view) == 1 && v && v->pulled_ask == home->view.ask;
}

/* In back-off, one node dies, and the stop comes so long after the home has pulled from the owner under the
 * new view: before, while or after it claims the name anew under it. */
static void stop_after(uint64_t seed, int64_t us)
{
    struct rig r;
    int o = (int)(seed % 3), dead = (o + 1 + (int)(seed % 2)) % 3;
    AUTOFREE char *name = mem_printf("x%d", (int)seed), *child = path_of(name);
    AUTOFREE char *spec = mem_printf("{\"argv\":[\"/bin/counter\"],\"restart\":\"permanent\","
                                     "\"max_restarts\":100,\"backoff_min_ms\":5000,\"nodes\":[\"n%d\"]}",
                                     o + 1); /* or its owner would be its home */
    struct sim_opts opts = sim_opts_default(seed, 3);
    opts.loss_ppm = 0;
    rig_begin_opts(&r, &opts);
    agree_within(&r, 3, 5000);
    assert_int_equal(ask(&r, 0, HTTP_M_PUT, child, spec), 201);
    run_ms(&r, 1000);
    assert_true(sim_process_crash(r.sim, o));
    struct node *n = node_at(&r, o);
    run_ms(&r, 20);
    sim_crash(r.sim, dead);
    for (int i = 0; i < 100000 && view_others(&n->view) == 2; i++)
        assert_true(sim_run(r.sim, sim_now_us(r.sim) + 50));
    struct id home_id = own_home(n, "default", name);
    struct node *home = node_at(&r, id_equal(&home_id, &n->self) ? o : 3 - o - dead);
    for (int i = 0; i < 100000 && home != n && !has_pulled(home, n); i++)
        assert_true(sim_run(r.sim, sim_now_us(r.sim) + 50));
    assert_true(sim_run(r.sim, sim_now_us(r.sim) + us));
    int status = ask(&r, o, HTTP_M_DELETE, child, NULL);
    if (status != 200)
        fail_msg("seed %d, %d us: %d %s", (int)seed, (int)us, status, str_get(&r.body));
    run_ms(&r, 8000);
    for (int i = 0; i < 3; i++)
        if (i != dead && ask(&r, i, HTTP_M_GET, child, NULL) != 404)
            fail_msg("seed %d, %d us: node %d: %s", (int)seed, (int)us, i, str_get(&r.body));
    for (int i = 0; i < 3; i++)
        assert_false(i != dead && sim_process_crash(r.sim, i));
    rig_end(&r);
}

static void a_stop_beside_a_new_claim_is_not_undone(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++)
        for (int64_t us = 0; us < 3000; us += 250)
            stop_after(seed, us);
}

/* The last node that is left takes its names back when it takes again, though its view never closes for long.
 */
static void who_is_alone_and_drained_no_more_takes_again(void **state)
{
    (void)state;
    struct rig r;
    struct sim_opts opts = sim_opts_default(7, 2);
    rig_begin_opts(&r, &opts);
    agree_within(&r, 2, 5000);
    AUTOFREE char *child = path_of("x");
    want(&r, 201, 0, HTTP_M_PUT, child, "{\"argv\":[\"/bin/counter\"],\"restart\":\"permanent\"}");
    want(&r, 200, 0, HTTP_M_PUT, "/v1/nodes/n1/drain", NULL);
    run_ms(&r, 3000);
    assert_true(sim_process_crash(r.sim, 1)); /* it has moved */
    run_ms(&r, 2000);
    sim_crash(r.sim, 1);
    run_ms(&r, 1000);
    want(&r, 200, 0, HTTP_M_DELETE, "/v1/nodes/n2", NULL);
    sim_retire(r.sim, 1);
    run_ms(&r, 10000);
    want(&r, 200, 0, HTTP_M_DELETE, "/v1/nodes/n1/drain", NULL);
    run_ms(&r, 10000);
    assert_true(sim_process_crash(r.sim, 0)); /* and back */
    rig_end(&r);
}

/* A node is asked to stop while it starts a process, which heeds no signal: it hears of its end as soon as it
 * can, and nobody waits until it is killed. */
static void who_is_ended_while_it_starts_is_told(void **state)
{
    (void)state;
    struct rig r;
    struct sim_opts opts = sim_opts_default(9, 2);
    struct sim_odds odds = {.slow_ppm = 1000000};
    rig_begin_opts(&r, &opts);
    agree_within(&r, 2, 5000);
    sim_process_odds(r.sim, 0, &odds);
    struct sim_ask start = {
        .node = 1,
        .method = HTTP_M_PUT,
        .body = "{\"argv\":[\"/bin/counter\",\"--stubborn\",\"--obeys\"],\"shutdown_ms\":30000}",
        .timeout_ms = 60000,
        .done = rig_answered,
        .arg = &r};
    const struct child *c = NULL;
    for (int tries = 0; tries < 20 && !c; tries++) { /* under some name it is put there */
        AUTOFREE char *path = mem_printf("/v1/swarms/default/children/x%d", tries);
        start.path = path;
        sim_ask(r.sim, &start);
        for (int ms = 0; ms < 50 && !c; ms++) {
            run_ms(&r, 1);
            AUTOFREE char *name = mem_printf("x%d", tries);
            c = child_find(node_at(&r, 0), "default", name);
            c = c && child_phase(c) == PHASE_SPAWNING ? c : NULL;
        }
    }
    assert_non_null(c);
    sim_stop(r.sim, 0);
    for (int ms = 0; ms < 8000 && sim_node_up(sim_node(r.sim, 0)); ms++)
        run_ms(&r, 1);
    assert_false(sim_node_up(sim_node(r.sim, 0)));
    run_ms(&r, 3000);
    rig_end(&r);
}

/* What was asked of a node that leaves is answered before it ends, soon; and it does not join anew meanwhile.
 */
static void who_asked_a_node_that_leaves_is_answered(void **state)
{
    (void)state;
    struct rig r;
    struct sim_opts opts = sim_opts_default(10, 3);
    const char *joins = "SELECT count(*) FROM log WHERE type = 'node_joined' AND node = 'n1'";
    struct sim_ask start = {.node = 0,
                            .method = HTTP_M_PUT,
                            .path = "/v1/swarms/default/children/never-ready",
                            .body = "{\"argv\":[\"/bin/counter\"],\"nodes\":[\"n2\"],\"ready\":\"protocol\","
                                    "\"start_ms\":60000}",
                            .timeout_ms = 60000,
                            .done = rig_answered,
                            .arg = &r};
    rig_begin_opts(&r, &opts);
    agree_within(&r, 3, 5000);
    int64_t before = rows_number(&r, 0, joins);
    sim_ask(r.sim, &start);
    run_ms(&r, 1000);
    assert_false(r.answered);
    sim_stop(r.sim, 0);
    run_ms(&r, 500);
    assert_true(sim_node_up(sim_node(r.sim, 0)));
    assert_int_equal(rows_number(&r, 0, joins), before);
    run_ms(&r, 1000);
    assert_false(sim_node_up(sim_node(r.sim, 0)));
    assert_true(r.answered);
    assert_int_equal(r.status, 504);
    rig_end(&r);
}

static void replace(struct rig *r, struct rig *answer, int node, const char *path, const char *rev)
{
    answer->answered = false;
    str_clear(&answer->body);
    sim_ask(r->sim, &(struct sim_ask){.node = node,
                                      .method = HTTP_M_PUT,
                                      .path = path,
                                      .body = "{\"address\":\"new\"}",
                                      .if_match = rev,
                                      .timeout_ms = 60000,
                                      .done = rig_answered,
                                      .arg = answer});
    for (int i = 0; i < 20000 && !answer->answered; i++)
        run_ms(r, 1);
}

/* A home releases an address and sleeps before anybody has that; the others replace it. */
static void a_release_that_was_overtaken_is_not_called_done(void **state)
{
    (void)state;
    struct rig r, answer = {0}, replaced = {0};
    struct sim_opts opts = sim_opts_default(5, 3);
    opts.loss_ppm = 0;
    rig_begin_opts(&r, &opts);
    agree_within(&r, 3, 5000);
    AUTOFREE char *name = name_at(&r, 0), *path = mem_printf("/v1/swarms/default/names/%s", name);
    want(&r, 201, 0, HTTP_M_PUT, path, "{\"address\":\"old\"}");
    AUTOFREE char *rev = mem_printf("\"%s\"", member(&r, "rev"));
    run_ms(&r, 1000);
    ask_later(&r, &answer, 0, HTTP_M_DELETE, path, NULL);
    for (int i = 0; i < 1000 && rows_number(&r, 0, "SELECT count(*) FROM name") > 0; i++)
        assert_true(sim_run(r.sim, sim_now_us(r.sim) + 10));
    assert_int_equal(rows_number(&r, 0, "SELECT count(*) FROM name"), 0);
    assert_int_equal(rows_number(&r, 1, "SELECT count(*) FROM name"), 1);
    sim_pause(r.sim, 0, 20 * SIM_SECOND);
    replace(&r, &replaced, 1, path, rev);
    assert_false(answer.answered);
    assert_int_equal(replaced.status, 201);
    for (int i = 0; i < 60000 && !answer.answered; i++)
        run_ms(&r, 1);
    assert_int_equal(answer.status, 504);
    str_fini(&answer.body);
    str_fini(&replaced.body);
    rig_end(&r);
}

/* A home writes a replacement and dies before it has told anybody. What it had replaced is released
 * meanwhile: when it is back, so it stays. */
static void what_was_released_is_not_replaced_from_a_former_life(void **state)
{
    (void)state;
    struct rig r, lost = {0};
    struct sim_opts opts = sim_opts_default(6, 3);
    opts.loss_ppm = 0;
    rig_begin_opts(&r, &opts);
    agree_within(&r, 3, 5000);
    AUTOFREE char *name = name_at(&r, 0), *path = mem_printf("/v1/swarms/default/names/%s", name);
    want(&r, 201, 0, HTTP_M_PUT, path, "{\"address\":\"old\"}");
    AUTOFREE char *rev = mem_printf("\"%s\"", member(&r, "rev"));
    run_ms(&r, 1000);
    split_off(&r, 0);
    sim_ask(r.sim, &(struct sim_ask){.node = 0,
                                     .method = HTTP_M_PUT,
                                     .path = path,
                                     .body = "{\"address\":\"new\"}",
                                     .if_match = rev,
                                     .timeout_ms = 60000,
                                     .done = rig_answered,
                                     .arg = &lost});
    static const char is_new[] = "SELECT count(*) FROM name WHERE address = 'new'";
    for (int i = 0; i < 1000 && rows_number(&r, 0, is_new) != 1; i++)
        run_ms(&r, 1);
    assert_int_equal(rows_number(&r, 0, is_new), 1);
    sim_crash(r.sim, 0);
    sim_heal_all(r.sim);
    run_ms(&r, 2000);
    agree_within(&r, 2, 10000);
    want(&r, 200, 1, HTTP_M_DELETE, path, NULL);
    assert_true(sim_start(r.sim, 0));
    agree_within(&r, 3, 20000);
    converge_within(&r, 20000);
    for (int i = 0; i < 3; i++)
        want(&r, 404, i, HTTP_M_GET, path, NULL);
    str_fini(&lost.body);
    rig_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_release_that_was_overtaken_is_not_called_done),
        cmocka_unit_test(what_was_released_is_not_replaced_from_a_former_life),
        cmocka_unit_test(a_stop_beside_a_new_claim_is_not_undone),
        cmocka_unit_test(who_is_alone_and_drained_no_more_takes_again),
        cmocka_unit_test(who_is_ended_while_it_starts_is_told),
        cmocka_unit_test(who_asked_a_node_that_leaves_is_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
