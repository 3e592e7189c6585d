/* Situations that a random walk hardly meets, each of which some bug in tests/mutants needs to be seen. */
#include "rig.h"

#include "wire/buf.h"

#define ONE "/v1/swarms/default/children/one"

static void begin(struct rig *r, uint64_t seed, int nodes)
{
    rig_begin(r, seed, nodes);
    run_ms(r, 2000);
}

static void end(struct rig *r, int nodes)
{
    sim_heal_all(r->sim);
    agree_within(r, nodes, 40000);
    run_ms(r, 8000);
    digests_equal(r);
    rig_end(r);
}

static void cut(struct rig *r, int from, int to)
{
    sim_cut(r->sim, from, to);
}

static char *child_path(const char *name)
{
    return mem_printf("/v1/swarms/default/children/%s", name);
}

static int owner_of(struct rig *r, const char *name)
{
    struct sim_process p = process_of(r, name);
    for (int i = 0; i < sim_nodes(r->sim); i++)
        if (p.node == sim_node(r->sim, i))
            return i;
    return -1;
}

/* ---- a worker that the test can look into ---- */

static struct {
    struct sim_worker *w; /* the newest one */
    int started, acked, handed;
    char state[64]; /* of its start */
} seen;

static void started(struct sim_worker *w, const char *line, size_t n)
{
    struct span state = json_raw_member(line, n, "state");
    seen.w = w;
    seen.started++;
    snprintf(seen.state, sizeof seen.state, "%.*s", (int)state.n, state.p ? state.p : "");
    if (worker_has_arg(w, "--doomed")) {
        worker_say(w, "{\"type\":\"checkpoint\",\"data\":7}");
        worker_exit(w, 1);
    }
}

static void handed(struct sim_worker *w, const char *line, size_t n)
{
    AUTOSTR struct str ref = STR_INIT;
    struct span state = json_raw_member(line, n, "state");
    snprintf(seen.state, sizeof seen.state, "%.*s", (int)state.n, state.p ? state.p : "");
    if (++seen.handed == 1)
        worker_exit(w, 1); /* before it could restore anything */
    else if (json_unquote(json_raw_member(line, n, "ref"), &ref))
        worker_say(w, "{\"type\":\"restored\",\"ref\":\"%s\"}", str_get(&ref));
}

static void actor_line(struct sim_worker *w, const char *line, size_t n)
{
    AUTOSTR struct str type = STR_INIT, ref = STR_INIT;
    if (!json_unquote(json_raw_member(line, n, "type"), &type))
        return;
    const char *is = str_get(&type);
    if (strcmp(is, "start") == 0)
        started(w, line, n);
    else if (strcmp(is, "message") == 0)
        worker_say(w, "{\"type\":\"checkpoint\",\"data\":1,\"ack\":\"a\"}");
    else if (strcmp(is, "ok") == 0)
        seen.acked++;
    else if (strcmp(is, "begin_handoff") == 0 && json_unquote(json_raw_member(line, n, "ref"), &ref))
        worker_say(w, "{\"type\":\"state\",\"ref\":\"%s\",\"data\":42}", str_get(&ref));
    else if (strcmp(is, "end_handoff") == 0)
        handed(w, line, n);
}

static const struct sim_program actor = {.name = "actor", .line = actor_line};

static void begin_acting(struct rig *r, uint64_t seed, int nodes)
{
    memset(&seen, 0, sizeof seen);
    begin(r, seed, nodes);
    sim_program_add(r->sim, &actor);
}

/* ---- copies ---- */

static void a_reply_waits_for_the_copy_of_its_checkpoint(void **state)
{
    (void)state;
    struct rig r, reply = {0};
    begin(&r, 1, 3);
    want(&r, 201, 0, HTTP_M_PUT, ONE, "{\"argv\":[\"counter\"],\"nodes\":[\"n1\"]}");
    run_ms(&r, 1000);
    sim_pause(r.sim, 1, 2 * SIM_SECOND);
    sim_pause(r.sim, 2, 2 * SIM_SECOND);
    ask_later(&r, &reply, 0, HTTP_M_POST, ONE "/calls", "{\"data\":5}");
    run_ms(&r, 1500);
    assert_int_equal(process_of(&r, "one").value, 5);
    assert_false(reply.answered);
    run_ms(&r, 3000);
    assert_true(reply.answered);
    assert_int_equal(reply.status, 200);
    str_fini(&reply.body);
    end(&r, 3);
}

static void a_checkpoint_is_acknowledged_with_its_copy(void **state)
{
    (void)state;
    struct rig r;
    begin_acting(&r, 2, 3);
    want(&r, 201, 0, HTTP_M_PUT, ONE, "{\"argv\":[\"actor\"],\"nodes\":[\"n1\"]}");
    run_ms(&r, 1000);
    sim_pause(r.sim, 1, 2 * SIM_SECOND);
    sim_pause(r.sim, 2, 2 * SIM_SECOND);
    want(&r, 202, 0, HTTP_M_POST, ONE "/messages", "{\"data\":1}");
    run_ms(&r, 1000);
    assert_int_equal(seen.acked, 0);
    run_ms(&r, 3000);
    assert_int_equal(seen.acked, 1);
    end(&r, 3);
}

/* The owner stops and dies at once: nobody hears 200 whose stop can be lost. */
static void a_stop_is_answered_with_its_copy(void **state)
{
    (void)state;
    struct rig r, reply = {0};
    begin(&r, 3, 3);
    want(&r, 201, 0, HTTP_M_PUT, ONE, "{\"argv\":[\"counter\"],\"nodes\":[\"n1\"]}");
    run_ms(&r, 1000);
    sim_pause(r.sim, 1, 2 * SIM_SECOND);
    sim_pause(r.sim, 2, 2 * SIM_SECOND);
    ask_later(&r, &reply, 0, HTTP_M_DELETE, ONE, NULL);
    run_ms(&r, 1500);
    assert_int_equal(sim_running(r.sim, "default", "one", NULL), 0);
    assert_false(reply.answered);
    run_ms(&r, 3000);
    assert_int_equal(reply.status, 200);
    str_fini(&reply.body);
    end(&r, 3);
}

/* ---- what a life of a name leaves ---- */

static void a_handoff_comes_again_until_it_is_restored(void **state)
{
    (void)state;
    struct rig r;
    begin_acting(&r, 4, 3);
    want(&r, 201, 0, HTTP_M_PUT, ONE, "{\"argv\":[\"actor\"],\"restart\":\"permanent\",\"nodes\":[\"n1\"]}");
    run_ms(&r, 1000);
    want(&r, 200, 0, HTTP_M_POST, ONE "/move", "{\"node\":\"n2\"}");
    run_ms(&r, 5000);
    assert_int_equal(seen.handed, 2);
    assert_string_equal(seen.state, "42");
    want(&r, 200, 1, HTTP_M_POST, ONE "/restart", "");
    run_ms(&r, 5000);
    assert_int_equal(seen.handed, 2); /* and no more once it was */
    end(&r, 3);
}

/* Nothing of an earlier hand-off of that life gets in the way of a later one. */
static void each_handoff_of_a_life_arrives(void **state)
{
    (void)state;
    struct rig r;
    begin_acting(&r, 12, 3);
    seen.handed = 1; /* it restores at once */
    want(&r, 201, 0, HTTP_M_PUT, ONE, "{\"argv\":[\"actor\"],\"restart\":\"permanent\",\"nodes\":[\"n1\"]}");
    run_ms(&r, 1000);
    static const char *const to[] = {"{\"node\":\"n2\"}", "{\"node\":\"n3\"}", "{\"node\":\"n2\"}"};
    for (int i = 0; i < 3; i++) {
        seen.state[0] = 0;
        want(&r, 200, 0, HTTP_M_POST, ONE "/move", to[i]);
        run_ms(&r, 3000);
        assert_int_equal(seen.handed, 2 + i);
        assert_string_equal(seen.state, "42");
    }
    end(&r, 3);
}

static void a_new_life_begins_without_the_old_state(void **state)
{
    (void)state;
    struct rig r;
    begin_acting(&r, 5, 3);
    const char *body = "{\"argv\":[\"actor\",\"--doomed\"],\"restart\":\"permanent\",\"max_restarts\":2}";
    want(&r, 201, 0, HTTP_M_PUT, ONE, body);
    run_ms(&r, 10000);
    want(&r, 200, 0, HTTP_M_GET, ONE, NULL);
    assert_string_equal(member(&r, "status"), "failed");
    assert_string_equal(seen.state, "7"); /* each start got what the one before it left */
    seen.started = 0;
    want(&r, 201, 0, HTTP_M_PUT, ONE, body);
    while (seen.started == 0)
        run_ms(&r, 1);
    assert_string_not_equal(seen.state, "7");
    run_ms(&r, 10000);
    end(&r, 3);
}

/* ---- who decides ---- */

/* A change of the view while a process takes its time to become ready: it is let be. */
static void a_slow_start_outlives_a_change_of_the_view(void **state)
{
    (void)state;
    struct rig r, reply = {0};
    begin_acting(&r, 6, 3);
    AUTOFREE char *name = name_at(&r, 1), *path = child_path(name);
    ask_later(&r, &reply, 0, HTTP_M_PUT, path,
              "{\"argv\":[\"actor\"],\"ready\":\"protocol\",\"start_ms\":60000,\"nodes\":[\"n1\"]}");
    run_ms(&r, 1000);
    int pid = process_of(&r, name).pid;
    sim_crash(r.sim, 2);
    run_ms(&r, 4000);
    assert_true(agree(&r, 2));
    assert_int_equal(process_of(&r, name).pid, pid);
    assert_false(reply.answered);
    worker_say(seen.w, "{\"type\":\"ready\"}");
    run_ms(&r, 1000);
    assert_int_equal(reply.status, 201);
    str_fini(&reply.body);
    assert_true(sim_start(r.sim, 2));
    end(&r, 3);
}

/* The owner has started what it was given, and nobody could hear of it: silent is not down. */
static void a_silent_owner_is_not_given_up(void **state)
{
    (void)state;
    struct rig r, reply = {0};
    begin(&r, 7, 3);
    AUTOFREE char *name = name_at(&r, 1), *path = child_path(name);
    AUTOFREE char *sql = mem_printf("SELECT count(*) FROM name WHERE name = '%s'", name);
    struct node *owner = node_at(&r, 0);
    ask_later(&r, &reply, 1, HTTP_M_PUT, path, "{\"argv\":[\"counter\"],\"nodes\":[\"n1\",\"n3\"]}");
    for (int i = 0; i < 100000 && db_i64(store_db(node_store(owner)), sql, 0) == 0; i++)
        assert_true(sim_run(r.sim, sim_now_us(r.sim) + 10));
    cut(&r, 0, 1);
    cut(&r, 0, 2);
    run_ms(&r, 15000);
    assert_int_equal(sim_running(r.sim, "default", name, NULL), 1);
    sim_heal_all(r.sim);
    run_ms(&r, 20000);
    assert_int_equal(sim_running(r.sim, "default", name, NULL), 1);
    str_fini(&reply.body);
    end(&r, 3);
}

/* The home is a third node now and then: it would choose by the name alone. */
static void a_node_that_drains_is_given_nothing(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 13, 3);
    want(&r, 200, 0, HTTP_M_PUT, "/v1/nodes/n1/drain", "");
    for (int i = 0; i < 20; i++) {
        AUTOFREE char *name = mem_printf("x%d", i), *path = child_path(name);
        want(&r, 201, i % 3, HTTP_M_PUT, path, "{\"argv\":[\"counter\"],\"nodes\":[\"n1\",\"n2\"]}");
        assert_int_not_equal(owner_of(&r, name), 0);
    }
    run_ms(&r, 5000);
    for (int i = 0; i < 20; i++) {
        AUTOFREE char *name = mem_printf("x%d", i);
        assert_int_not_equal(owner_of(&r, name), 0);
    }
    end(&r, 3);
}

/* An owner gives its name away, dies and is back at once; a home that has not heard of the gift must not take
 * the name from its dead run. */
static void a_new_run_must_be_pulled_from_first(void **state)
{
    (void)state;
    struct rig r, reply = {0};
    begin(&r, 9, 3);
    AUTOFREE char *name = name_at(&r, 2), *path = child_path(name), *move = mem_printf("%s/move", path);
    want(&r, 201, 0, HTTP_M_PUT, path,
         "{\"argv\":[\"counter\"],\"restart\":\"permanent\",\"nodes\":[\"n1\"]}");
    run_ms(&r, 2000);
    cut(&r, 0, 2);
    cut(&r, 1, 2);
    ask_later(&r, &reply, 0, HTTP_M_POST, move, "{\"node\":\"n2\"}");
    run_ms(&r, 300);
    assert_int_equal(owner_of(&r, name), 1);
    sim_crash(r.sim, 0);
    run_ms(&r, 50);
    assert_true(sim_start(r.sim, 0));
    sim_heal(r.sim, 0, 2);
    for (int i = 0; i < 3000; i++) {
        run_ms(&r, 1);
        assert_int_equal(owner_of(&r, name), 1);
    }
    sim_heal_all(r.sim);
    run_ms(&r, 10000);
    assert_int_equal(owner_of(&r, name), 1);
    str_fini(&reply.body);
    end(&r, 3);
}

/* Where it moved to it cannot start: it goes back, for somebody was told that it exists. */
static void a_failed_start_after_a_move_frees_no_name(void **state)
{
    (void)state;
    struct rig r, reply = {0};
    begin(&r, 16, 3);
    want(&r, 201, 0, HTTP_M_PUT, ONE,
         "{\"argv\":[\"counter\"],\"restart\":\"permanent\",\"max_restarts\":1000,\"nodes\":[\"n1\"]}");
    run_ms(&r, 1000);
    sim_process_odds(r.sim, 1, &(struct sim_odds){.fail_ppm = 1000000});
    ask_later(&r, &reply, 0, HTTP_M_POST, ONE "/move", "{\"node\":\"n2\"}");
    run_ms(&r, 3000);
    want(&r, 200, 2, HTTP_M_GET, ONE, NULL);
    sim_process_odds(r.sim, 1, &(struct sim_odds){0});
    run_ms(&r, 60000);
    process_of(&r, "one");
    str_fini(&reply.body);
    end(&r, 3);
}

/* ---- deletions ---- */

#define DAY_MS 120000 /* what a week is elsewhere */

static void begin_short(struct rig *r, uint64_t seed)
{
    struct sim_opts o = rig_opts(seed, 3);
    o.tombstone_min_ms = 20000;
    o.tombstone_max_ms = DAY_MS;
    rig_begin_opts(r, &o);
    agree_within(r, 3, 3000);
    run_ms(r, 2000);
}

static int64_t count(struct rig *r, int node, const char *sql)
{
    return db_i64(store_db(node_store(node_at(r, node))), sql, -1);
}

/* Many pages of rows that were written while it was away, and a deletion that was dropped. */
static void all_pages_of_a_resync_are_taken(void **state)
{
    (void)state;
    struct rig r;
    AUTOFREE char *big = mem_alloc(8001);
    memset(big, 'x', 8000);
    AUTOFREE char *body = mem_printf("{\"argv\":[\"/bin/x\",\"%s\"]}", big);
    begin_short(&r, 14);
    want(&r, 201, 0, HTTP_M_PUT, "/v1/templates/gone", body);
    run_ms(&r, 1000);
    sim_crash(r.sim, 2);
    run_ms(&r, 5000);
    want(&r, 200, 0, HTTP_M_DELETE, "/v1/templates/gone", NULL);
    for (int i = 0; i < 120; i++) {
        AUTOFREE char *path = mem_printf("/v1/templates/t%d", i);
        want(&r, 201, i % 2, HTTP_M_PUT, path, body);
    }
    run_ms(&r, DAY_MS + 20000);
    assert_true(sim_start(r.sim, 2));
    run_ms(&r, 20000);
    assert_int_equal(count(&r, 2, "SELECT count(*) FROM log WHERE type = 'resync_done'"), 1);
    assert_int_equal(count(&r, 2, "SELECT count(*) FROM template"), 120);
    end(&r, 3);
}

/* A node in isolation begins a run and writes; elsewhere a later run ends and leaves no row. Were that one
 * folded before the isolated node agrees, what the isolated run wrote would count as had. */
static void what_an_isolated_run_wrote_is_not_below_the_floor(void **state)
{
    (void)state;
    struct rig r;
    begin_short(&r, 15);
    for (int i = 0; i < 2; i++) {
        cut(&r, i, 2);
        cut(&r, 2, i);
    }
    sim_crash(r.sim, 2);
    run_ms(&r, 500);
    assert_true(sim_start(r.sim, 2));
    want(&r, 201, 2, HTTP_M_PUT, "/v1/templates/alone", "{\"argv\":[\"/bin/x\"]}");
    run_ms(&r, 5000);
    want(&r, 201, 1, HTTP_M_PUT, "/v1/templates/t", "{\"argv\":[\"/bin/x\"]}");
    run_ms(&r, 1000);
    sim_crash(r.sim, 1);
    run_ms(&r, 100);
    assert_true(sim_start(r.sim, 1));
    run_ms(&r, 5000);
    want(&r, 200, 0, HTTP_M_PUT, "/v1/templates/t", "{\"argv\":[\"/bin/y\"]}");
    run_ms(&r, 60000);
    sim_heal_all(r.sim);
    agree_within(&r, 3, 40000);
    run_ms(&r, 5000);
    want(&r, 200, 0, HTTP_M_GET, "/v1/templates/alone", NULL);
    end(&r, 3);
}

/* ---- late requests ---- */

/* A node's mail with a request that its client gave up long ago, as it may come out of a slow network. */
static void late(struct rig *r, int from, int to, int64_t stamp, enum req_method method, const char *path,
                 const char *body)
{
    struct str m = STR_INIT, mail = STR_INIT;
    struct id sender = sim_node_id(sim_node(r->sim, from));
    struct request *q = mem_alloc(sizeof *q);
    buf_u8(&m, MAIL_FORWARD);
    buf_id(&m, &(struct id){{9}});
    buf_varint(&m, 1);
    buf_i64(&m, stamp);
    buf_i64(&m, 5000);
    buf_u8(&m, ROLE_ADMIN);
    buf_text(&m, "admin");
    buf_text(&m, NULL);
    buf_u8(&m, (uint8_t)method);
    buf_text(&m, path);
    buf_text(&m, NULL);
    buf_text(&m, NULL);
    buf_text(&m, NULL);
    buf_bytes(&m, body, strlen(body));
    buf_id(&mail, &node_at(r, to)->cluster);
    buf_id(&mail, &sender);
    buf_u8(&mail, false);
    buf_bytes(&mail, str_get(&m), m.n);
    q->method = HTTP_M_POST;
    q->path = mem_dup("/v1/peer/mail");
    q->body_n = mail.n;
    q->body = str_take(&mail);
    q->who.role = ROLE_PEER;
    q->who.node = sender;
    sim_event(sim_node(r->sim, to), &(struct event){.kind = EV_REQUEST, .request = q});
    str_fini(&m);
}

static void a_late_start_is_refused(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 10, 3);
    int home = home_of(&r, "one");
    int64_t stamp = store_stamp(node_at(&r, home)->store);
    want(&r, 201, 0, HTTP_M_PUT, ONE, "{\"argv\":[\"counter\"]}");
    want(&r, 200, 0, HTTP_M_DELETE, ONE, NULL);
    run_ms(&r, 1000);
    late(&r, (home + 1) % 3, home, stamp, HTTP_M_PUT, ONE, "{\"argv\":[\"counter\"]}");
    for (int i = 0; i < 5000; i++) {
        run_ms(&r, 1);
        assert_int_equal(sim_running(r.sim, "default", "one", NULL), 0);
    }
    end(&r, 3);
}

/* The same request twice, of a node whose clock is ahead of the home's. */
static void a_copy_of_a_start_from_a_fast_clock_is_refused(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 12, 3);
    int home = home_of(&r, "one"), from = (home + 1) % 3;
    int64_t stamp = store_stamp(node_at(&r, home)->store) + (400 << 16);
    late(&r, from, home, stamp, HTTP_M_PUT, ONE, "{\"argv\":[\"counter\"]}");
    run_ms(&r, 100);
    process_of(&r, "one");
    want(&r, 200, home, HTTP_M_DELETE, ONE, NULL);
    late(&r, from, home, stamp, HTTP_M_PUT, ONE, "{\"argv\":[\"counter\"]}");
    for (int i = 0; i < 5000; i++) {
        run_ms(&r, 1);
        assert_int_equal(sim_running(r.sim, "default", "one", NULL), 0);
    }
    end(&r, 3);
}

/* Nobody can tell any more what became of it. */
static void a_start_older_than_tombstones_is_refused(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 13, 3);
    int home = home_of(&r, "one"), from = (home + 1) % 3;
    int64_t old_ms = node_at(&r, home)->o.tombstone_min_ms;
    int64_t stamp = store_stamp(node_at(&r, home)->store) - (old_ms << 16);
    late(&r, from, home, stamp, HTTP_M_PUT, ONE, "{\"argv\":[\"counter\"]}");
    for (int i = 0; i < 1000; i++) {
        run_ms(&r, 1);
        assert_int_equal(sim_running(r.sim, "default", "one", NULL), 0);
    }
    late(&r, from, home, stamp + (5000 << 16), HTTP_M_PUT, ONE, "{\"argv\":[\"counter\"]}");
    run_ms(&r, 100);
    process_of(&r, "one");
    end(&r, 3);
}

static void a_late_stop_ends_no_later_life(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 11, 3);
    const char *body = "{\"argv\":[\"counter\"],\"nodes\":[\"n1\"]}";
    want(&r, 201, 0, HTTP_M_PUT, ONE, body);
    int64_t stamp = store_stamp(node_at(&r, home_of(&r, "one"))->store);
    want(&r, 200, 0, HTTP_M_DELETE, ONE, NULL);
    want(&r, 201, 0, HTTP_M_PUT, ONE, body);
    run_ms(&r, 1000);
    int pid = process_of(&r, "one").pid;
    late(&r, 1, 0, stamp, HTTP_M_DELETE, ONE, "");
    run_ms(&r, 5000);
    assert_int_equal(process_of(&r, "one").pid, pid);
    end(&r, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reply_waits_for_the_copy_of_its_checkpoint),
        cmocka_unit_test(a_checkpoint_is_acknowledged_with_its_copy),
        cmocka_unit_test(a_stop_is_answered_with_its_copy),
        cmocka_unit_test(a_handoff_comes_again_until_it_is_restored),
        cmocka_unit_test(each_handoff_of_a_life_arrives),
        cmocka_unit_test(a_new_life_begins_without_the_old_state),
        cmocka_unit_test(a_slow_start_outlives_a_change_of_the_view),
        cmocka_unit_test(a_silent_owner_is_not_given_up),
        cmocka_unit_test(a_node_that_drains_is_given_nothing),
        cmocka_unit_test(a_failed_start_after_a_move_frees_no_name),
        cmocka_unit_test(all_pages_of_a_resync_are_taken),
        cmocka_unit_test(what_an_isolated_run_wrote_is_not_below_the_floor),
        cmocka_unit_test(a_new_run_must_be_pulled_from_first),
        cmocka_unit_test(a_late_start_is_refused),
        cmocka_unit_test(a_copy_of_a_start_from_a_fast_clock_is_refused),
        cmocka_unit_test(a_start_older_than_tombstones_is_refused),
        cmocka_unit_test(a_late_stop_ends_no_later_life),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
