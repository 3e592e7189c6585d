/* Many started and stopped at once, and the node that was asked dies in the middle: all or none. */
#include "batch.h"
#include "told.h"

static void each_child_has_its_result(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 1, 3);
    AUTOFREE char *all = body_of("a", CHILDREN, NULL, ",\"metadata\":{\"tag\":\"x\"}");
    want(&r, 200, 0, HTTP_M_POST, MANY, all);
    assert_string_equal(member(&r, "status"), "ok");
    assert_int_equal(length(&r, "started"), CHILDREN);
    assert_int_equal(running(&r, "a", CHILDREN), CHILDREN);
    want(&r, 409, 1, HTTP_M_POST, MANY, all);
    assert_string_equal(member(&r, "code"), "already_started");
    assert_int_equal(length(&r, "names"), CHILDREN);

    AUTOFREE char *more = body_of("a", CHILDREN + 4, NULL, ",\"mode\":\"missing\"");
    want(&r, 200, 2, HTTP_M_POST, MANY, more);
    assert_string_equal(member(&r, "status"), "ok");
    assert_int_equal(length(&r, "started"), 4);
    assert_int_equal(length(&r, "existing"), CHILDREN);

    AUTOFREE char *each = body_of("a", CHILDREN + 5, NULL, ",\"mode\":\"each\"");
    want(&r, 200, 1, HTTP_M_POST, MANY, each);
    assert_string_equal(member(&r, "status"), "error");
    assert_int_equal(length(&r, "started"), 1);
    assert_int_equal(length(&r, "errors"), CHILDREN + 4);

    AUTOFREE char *names = names_of("a", CHILDREN + 6);
    want(&r, 200, 0, HTTP_M_POST, STOP, names);
    assert_int_equal(length(&r, "stopped"), CHILDREN + 5);
    assert_int_equal(length(&r, "errors"), 1);
    assert_int_equal(running(&r, "a", CHILDREN + 6), 0);
    for (int i = 0; i < 3; i++)
        want(&r, 404, i, HTTP_M_GET, MANY "/a00", NULL);
    want(&r, 200, 2, HTTP_M_POST, MANY, all); /* what was stopped a moment ago is free, for everybody */
    assert_int_equal(length(&r, "started"), CHILDREN);
    run_ms(&r, 3000);
    digests_equal(&r);
    rig_end(&r);
}

static void what_failed_takes_the_others_with_it(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 2, 3);
    AUTOFREE char *bad = body_of("r", CHILDREN, "{\"name\":\"bad\",\"argv\":[\"/bin/nothing\"]}",
                                 ",\"on_failure\":\"rollback\"");
    AUTOFREE char *go_on =
        body_of("r", CHILDREN, "{\"name\":\"bad\",\"argv\":[\"/bin/nothing\"]}", ",\"mode\":\"each\"");
    want(&r, 200, 0, HTTP_M_POST, MANY, bad);
    assert_string_equal(member(&r, "status"), "error");
    assert_string_equal(member(&r, "rollback"), "true");
    assert_int_equal(length(&r, "started"), 0);
    assert_int_equal(length(&r, "errors"), 1);
    assert_int_equal(length(&r, "undone"), CHILDREN);
    assert_int_equal(running(&r, "r", CHILDREN), 0);
    want(&r, 200, 1, HTTP_M_POST, MANY, go_on);
    assert_string_equal(member(&r, "rollback"), "false");
    assert_int_equal(length(&r, "started"), CHILDREN);
    assert_int_equal(length(&r, "errors"), 1);
    rig_end(&r);
}

/* ---- the coordinator dies ---- */

enum death { DEATH_KILL, DEATH_POWER, DEATH_STOP, DEATHS };

static void ask_and_die(struct rig *r, int node, const char *path, const char *body, int64_t us,
                        enum death how)
{
    struct sim_ask a = {.node = node,
                        .method = HTTP_M_POST,
                        .path = path,
                        .body = body,
                        .timeout_ms = 60000,
                        .done = rig_answered,
                        .arg = r};
    r->answered = false;
    sim_ask(r->sim, &a);
    assert_true(sim_run(r->sim, sim_now_us(r->sim) + us));
    if (how == DEATH_KILL)
        sim_crash(r->sim, node);
    else if (how == DEATH_POWER)
        sim_cut_power(r->sim, node);
    else
        sim_stop(r->sim, node);
}

/* Of all pairs of seeds and moments one in four: each moment still meets each kind of death. */
static bool is_tried(uint64_t seed, int64_t moment)
{
    return (seed / 4 + (uint64_t)moment) % 4 == 0;
}

static void start_with_a_death(uint64_t seed, int64_t us, enum death how, bool comes_back, const char *mode)
{
    struct rig r;
    begin(&r, seed, 3);
    int node = (int)(seed % 3);
    AUTOFREE char *rest = mem_printf(",\"mode\":\"%s\"", mode);
    AUTOFREE char *all = body_of("k", CHILDREN, NULL, rest);
    ask_and_die(&r, node, MANY, all, us, how);
    bool answered = r.answered && r.status == 200;
    settle(&r, comes_back ? node : -1, how == DEATH_POWER);
    int n = running(&r, "k", CHILDREN);
    if ((n != 0 && n != CHILDREN) || (answered && n != CHILDREN))
        fail_msg("seed %d, %d us, death %d: %d of %d run%s", (int)seed, (int)us, (int)how, n, CHILDREN,
                 answered ? ", and it was answered" : "");
    if (comes_back)
        converge_within(&r, 30000);
    rig_end(&r);
}

static void a_batch_is_finished_by_others(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++)
        for (int64_t us = 500, moment = 0; us < 60000; us = us * 2, moment++)
            if (is_tried(seed, moment))
                start_with_a_death(seed, us + (int64_t)seed * 137, (enum death)(seed % DEATHS), seed % 4 < 2,
                                   seed % 2 ? "all_or_none" : "missing");
}

/* The only node begins again where it was. */
static void a_node_alone_finishes_what_it_began(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 8; seed++)
        for (int64_t us = 500, moment = 0; us < 60000; us = us * 2, moment++) {
            struct rig r;
            if (!is_tried(seed, moment))
                continue;
            begin(&r, seed, 1);
            AUTOFREE char *all =
                body_of("o", CHILDREN, seed % 2 ? "{\"name\":\"bad\",\"argv\":[\"/bin/nothing\"]}" : NULL,
                        seed % 2 ? ",\"on_failure\":\"rollback\"" : "");
            ask_and_die(&r, 0, MANY, all, us + (int64_t)seed * 97, seed % 3 ? DEATH_KILL : DEATH_POWER);
            run_ms(&r, 3000);
            assert_true(sim_start(r.sim, 0));
            run_ms(&r, 5000);
            all_ended_within(&r, 20000);
            run_ms(&r, 1000);
            int n = running(&r, "o", CHILDREN);
            if (n != 0 && (seed % 2 || n != CHILDREN))
                fail_msg("seed %d, %d us: %d of %d run", (int)seed, (int)us, n, CHILDREN);
            rig_end(&r);
        }
}

static void undo_with_a_death(uint64_t seed, int64_t us, enum death how, bool comes_back)
{
    struct rig r;
    begin(&r, seed, 3);
    int node = (int)(seed % 3);
    AUTOFREE char *bad = body_of("u", CHILDREN, "{\"name\":\"bad\",\"argv\":[\"/bin/nothing\"]}",
                                 ",\"on_failure\":\"rollback\"");
    ask_and_die(&r, node, MANY, bad, us, how);
    settle(&r, comes_back ? node : -1, how == DEATH_POWER);
    int n = running(&r, "u", CHILDREN);
    if (n != 0)
        fail_msg("seed %d, %d us, death %d: %d of %d are left", (int)seed, (int)us, (int)how, n, CHILDREN);
    for (int i = 0; i < 3; i++)
        if (sim_node_up(sim_node(r.sim, i)))
            assert_int_equal(rows_number(&r, i, "SELECT count(*) FROM name"), 0);
    rig_end(&r);
}

static void a_rollback_is_finished_by_others(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 24; seed++)
        for (int64_t us = 2000, moment = 0; us < 80000; us = us * 5 / 3, moment++)
            if (is_tried(seed, moment))
                undo_with_a_death(seed, us + (int64_t)seed * 211, (enum death)(seed % DEATHS), seed % 4 < 2);
}

/* The coordinator dies when the part with the failure is undone, and another one is not yet: nothing but the
 * word of the operation says any more that the rest has to go, too. */
static void a_rollback_goes_on_where_it_was(void **state)
{
    static const char half_way[] = "SELECT sum(state = 'undone') = 1 AND count(*) = 2 FROM operation_part "
                                   "WHERE part >= 0";
    (void)state;
    struct rig r, answer = {0};
    begin(&r, 3, 3);
    AUTOFREE char *bad = name_at(&r, 1), *stays = name_at(&r, 2);
    AUTOFREE char *body =
        mem_printf("{\"children\":[{\"name\":\"%s\",\"argv\":[\"/bin/nothing\"]},{\"name\":\"%s\",\"argv\":"
                   "[\"/bin/counter\",\"--stubborn\"],\"nodes\":[\"n1\"]}],\"on_failure\":\"rollback\"}",
                   bad, stays);
    ask_later(&r, &answer, 0, HTTP_M_POST, MANY, body);
    for (int i = 0; i < 3000 && rows_number(&r, 1, half_way) != 1; i++)
        run_ms(&r, 1);
    assert_int_equal(rows_number(&r, 1, half_way), 1);
    assert_int_equal(sim_running(r.sim, "default", stays, NULL), 1);
    sim_crash(r.sim, 0);
    settle(&r, 0, false);
    assert_int_equal(sim_running(r.sim, "default", stays, NULL), 0);
    assert_int_equal(rows_number(&r, 1, "SELECT count(*) FROM name"), 0);
    str_fini(&answer.body);
    rig_end(&r);
}

static void stop_with_a_death(uint64_t seed, int64_t us, enum death how)
{
    struct rig r;
    begin(&r, seed, 3);
    int node = (int)(seed % 3);
    AUTOFREE char *all = body_of("s", CHILDREN, NULL, ""), *names = names_of("s", CHILDREN);
    want(&r, 200, node, HTTP_M_POST, MANY, all);
    run_ms(&r, 1000);
    ask_and_die(&r, node, STOP, names, us, how);
    settle(&r, node, how == DEATH_POWER);
    int n = running(&r, "s", CHILDREN);
    if ((n != 0 && n != CHILDREN) || (r.answered && r.status == 200 && n != 0))
        fail_msg("seed %d, %d us, death %d: %d of %d are left", (int)seed, (int)us, (int)how, n, CHILDREN);
    converge_within(&r, 30000);
    rig_end(&r);
}

static void a_stop_of_many_is_finished_by_others(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 9; seed++)
        for (int64_t us = 500, moment = 0; us < 40000; us = us * 9 / 4, moment++)
            if (is_tried(seed, moment))
                stop_with_a_death(seed, us + (int64_t)seed * 171, (enum death)(seed % DEATHS));
}

/* A home dies, while it is asked or after it has claimed. */
static void a_home_may_die(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++)
        for (int64_t us = 3000, moment = 0; us < 60000; us = us * 2, moment++) {
            struct rig r;
            if (!is_tried(seed, moment))
                continue;
            begin(&r, seed, 3);
            int node = (int)(seed % 3), home = (node + 1) % 3;
            AUTOFREE char *all = body_of("h", CHILDREN, NULL, seed % 2 ? ",\"mode\":\"each\"" : "");
            struct sim_ask a = {.node = node,
                                .method = HTTP_M_POST,
                                .path = MANY,
                                .body = all,
                                .query = "timeout_ms=50000",
                                .timeout_ms = 60000,
                                .done = rig_answered,
                                .arg = &r};
            sim_ask(r.sim, &a);
            assert_true(sim_run(r.sim, sim_now_us(r.sim) + us + (int64_t)seed * 313));
            sim_crash(r.sim, home);
            settle(&r, home, false);
            if (!r.answered || r.status != 200 || strcmp(member(&r, "status"), "ok") != 0 ||
                running(&r, "h", CHILDREN) != CHILDREN)
                fail_msg("seed %d, %d us: %d, %d run: %s", (int)seed, (int)us, r.status,
                         running(&r, "h", CHILDREN), str_get(&r.body));
            rig_end(&r);
        }
}

/* A home dies when others have heard of some of its claims, and not yet of its answer: what is asked again of
 * the next homes finds them. */
static void what_was_heard_in_part_is_claimed_once(void **state)
{
    (void)state;
    int found = 0;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct rig r;
        begin(&r, seed, 3);
        AUTOFREE char *all =
            body_of("p", 1100, NULL, seed % 2 ? ",\"mode\":\"each\"" : ",\"mode\":\"all_or_none\"");
        AUTOFREE char *sql =
            mem_printf("SELECT count(*) > 0 AND (SELECT count(*) FROM operation_part p WHERE "
                       "p.result IS NULL AND p.node = '%s') > 0 FROM name n WHERE (SELECT actor "
                       "FROM change WHERE tbl = 'name' AND key = 'default/' || n.name) = %lld",
                       node_at(&r, 1)->self_text, (long long)node_at(&r, 1)->actor);
        struct sim_ask a = {.node = 0,
                            .method = HTTP_M_POST,
                            .path = MANY,
                            .query = "timeout_ms=50000",
                            .body = all,
                            .timeout_ms = 60000,
                            .done = rig_answered,
                            .arg = &r};
        sim_ask(r.sim, &a);
        for (int i = 0; i < 4000 && rows_number(&r, 0, sql) != 1; i++)
            assert_true(sim_run(r.sim, sim_now_us(r.sim) + 200));
        found += rows_number(&r, 0, sql) == 1;
        sim_crash(r.sim, 1);
        for (int i = 0; i < 60000 && !r.answered; i++)
            run_ms(&r, 1);
        if (r.status != 200 || strcmp(member(&r, "status"), "ok") != 0 || running(&r, "p", 1100) != 1100)
            fail_msg("seed %d: %d, %d run: %.800s", (int)seed, r.status, running(&r, "p", 1100),
                     str_get(&r.body));
        rig_end(&r);
    }
    assert_true(found > 0);
}

/* A node joins while a part is on its way: its home has become another one for some of the names. */
static void who_is_asked_for_others_names_hands_them_back(void **state)
{
    (void)state;
    int forwarded = 0;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct rig r;
        struct sim_opts o = sim_opts_default(seed, 3);
        o.loss_ppm = 0;
        rig_begin_opts(&r, &o);
        agree_within(&r, 3, 5000);
        sim_stop(r.sim, 2);
        run_ms(&r, 3000);
        agree_within(&r, 2, 10000);
        assert_true(sim_start(r.sim, 2));
        AUTOFREE char *all = body_of("j", CHILDREN, NULL, seed % 2 ? ",\"mode\":\"each\"" : "");
        for (int i = 0; i < 3000 && view_others(&node_at(&r, 1)->view) == 1; i++)
            assert_true(
                sim_run(r.sim, sim_now_us(r.sim) + 200)); /* the home sees it before the coordinator */
        struct sim_ask a = {.node = 0,
                            .method = HTTP_M_POST,
                            .path = MANY,
                            .query = "timeout_ms=50000",
                            .body = all,
                            .timeout_ms = 60000,
                            .done = rig_answered,
                            .arg = &r};
        sim_ask(r.sim, &a);
        for (int i = 0; i < 60000 && !r.answered; i++)
            run_ms(&r, 1);
        if (r.status != 200 || running(&r, "j", CHILDREN) != CHILDREN)
            fail_msg("seed %d: %d, %d run: %s", (int)seed, r.status, running(&r, "j", CHILDREN),
                     str_get(&r.body));
        int times = events(&r, 0, "children_forwarded");
        told_with(&r, "children_forwarded", NULL, times, times ? "\"operation\":\"" : "");
        told_with(&r, "children_forwarded", NULL, times, times ? "\"part\":" : "");
        told_with(&r, "children_forwarded", NULL, times, times ? "\"names\":[\"j" : "");
        forwarded += times;
        rig_end(&r);
    }
    assert_true(forwarded > 0);
}

/* A home hands back some names, as a node has joined, and wants to be asked anew about one that has ended
 * since the batch began: each is asked again, in a part of its own. */
static void what_is_asked_again_for_two_reasons_is_all_asked(void **state)
{
    static const char both[] = "SELECT count(*) FROM operation_part WHERE result LIKE '%\"late\"%' AND "
                               "result LIKE '%\"elsewhere\"%'";
    static const char spec[] = "{\"argv\":[\"/bin/counter\"],\"nodes\":[\"n2\"],\"restart\":\"temporary\"}";
    (void)state;
    struct rig r, answer = {0};
    begin(&r, 1, 3);
    AUTOFREE char *ends = name_at(&r, 1), *path = mem_printf(MANY "/%s", ends);
    AUTOFREE char *last = mem_printf("{\"name\":\"%s\",\"argv\":[\"/bin/counter\"]}", ends);
    AUTOFREE char *all = body_of("j", CHILDREN, last, ",\"mode\":\"each\"");
    want(&r, 201, 1, HTTP_M_PUT, path, spec);
    sim_stop(r.sim, 2);
    run_ms(&r, 3000);
    agree_within(&r, 2, 10000);
    for (int i = 1; i < 3; i++) { /* the coordinator is the last to know */
        sim_link(r.sim, i, 0, &(struct sim_link){.delay = {100000, 100000}});
        sim_link(r.sim, 0, i, &(struct sim_link){.delay = {100000, 100000}});
    }
    assert_true(sim_start(r.sim, 2));
    for (int i = 0; i < 3000 && view_others(&node_at(&r, 1)->view) == 1; i++)
        run_ms(&r, 1);
    assert_int_equal(view_others(&node_at(&r, 0)->view), 1);
    ask_later(&r, &answer, 0, HTTP_M_POST, MANY, all);
    run_ms(&r, 2);
    assert_true(sim_process_crash(r.sim, 1));
    for (int i = 0; i < 5000 && rows_number(&r, 1, both) != 1; i++)
        run_ms(&r, 1);
    assert_int_equal(rows_number(&r, 1, both), 1);
    for (int i = 0; i < 60000 && !answer.answered; i++)
        run_ms(&r, 1);
    if (answer.status != 200 || length(&answer, "started") != CHILDREN + 1)
        fail_msg("%d: %s", answer.status, str_get(&answer.body));
    str_fini(&answer.body);
    rig_end(&r);
}

/* Two at once that have one name in common, and neither is there when it is looked for. */
static void of_two_that_want_one_name_one_has_all(void **state)
{
    (void)state;
    int one_has_all = 0;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct rig r, answers[2] = {{0}};
        static const char both[] = "{\"name\":\"both\",\"argv\":[\"/bin/counter\"]}";
        AUTOFREE char *v_body = body_of("v", CHILDREN, both, ""), *w_body = body_of("w", CHILDREN, both, "");
        begin(&r, seed, 3);
        for (int i = 0; i < 2; i++) {
            ask_later(&r, &answers[i], i, HTTP_M_POST, MANY, i ? w_body : v_body);
            assert_true(sim_run(r.sim, sim_now_us(r.sim) + (int64_t)seed * 300));
        }
        for (int i = 0; i < 60000 && !(answers[0].answered && answers[1].answered); i++)
            run_ms(&r, 1);
        all_ended_within(&r, 20000);
        run_ms(&r, 2000);
        int v = running(&r, "v", CHILDREN), w = running(&r, "w", CHILDREN);
        if ((v && v != CHILDREN) || (w && w != CHILDREN) || (v && w) ||
            sim_running(r.sim, "default", "both", NULL) != (v || w))
            fail_msg("seed %d: %d and %d of %d run: %s %s", (int)seed, v, w, CHILDREN,
                     str_get(&answers[0].body), str_get(&answers[1].body));
        one_has_all += v || w;
        for (int i = 0; i < 2; i++)
            str_fini(&answers[i].body);
        rig_end(&r);
    }
    assert_true(one_has_all > 0);
}

static void results_can_be_read_again(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 5, 3);
    AUTOFREE char *all = body_of("o", CHILDREN, NULL, ",\"await\":false");
    want(&r, 202, 0, HTTP_M_POST, MANY, all);
    AUTOFREE char *path = mem_printf("/v1/operations/%s", member(&r, "operation"));
    AUTOFREE char *waiting = mem_printf("%s?wait=true&timeout_ms=20000", path);
    for (int i = 0; i < 3; i++) {
        want(&r, 200, i, HTTP_M_GET, waiting, NULL);
        assert_string_equal(member(&r, "state"), "done");
    }
    run_ms(&r, 9 * 60000);
    want(&r, 200, 1, HTTP_M_GET, path, NULL);
    run_ms(&r, 2 * 60000);
    for (int i = 0; i < 3; i++)
        want(&r, 404, i, HTTP_M_GET, path, NULL);
    assert_int_equal(rows_number(&r, 0, "SELECT count(*) FROM operation_part"), 0);
    rig_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_child_has_its_result),
        cmocka_unit_test(what_failed_takes_the_others_with_it),
        cmocka_unit_test(a_batch_is_finished_by_others),
        cmocka_unit_test(a_rollback_is_finished_by_others),
        cmocka_unit_test(a_rollback_goes_on_where_it_was),
        cmocka_unit_test(a_node_alone_finishes_what_it_began),
        cmocka_unit_test(a_stop_of_many_is_finished_by_others),
        cmocka_unit_test(a_home_may_die),
        cmocka_unit_test(what_was_heard_in_part_is_claimed_once),
        cmocka_unit_test(who_is_asked_for_others_names_hands_them_back),
        cmocka_unit_test(what_is_asked_again_for_two_reasons_is_all_asked),
        cmocka_unit_test(of_two_that_want_one_name_one_has_all),
        cmocka_unit_test(results_can_be_read_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
