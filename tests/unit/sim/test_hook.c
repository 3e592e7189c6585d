/* Hooks while nodes crash and receivers come and go: simulated clusters of real brains. */
#include "rig.h"

#define SLEEP "{\"argv\":[\"sleep\"],\"restart\":\"permanent\"}"
#define CALLS 4000

/* A receiver that remembers. */
struct receiver {
    struct sim_said now;
    struct {
        char id[64], name[64];
    } got[CALLS];
    int n, taken; /* taken: of these, answered with 200 in time */
};

static struct sim_said called(void *ctx, const struct sim_called *c)
{
    struct receiver *r = ctx;
    AUTOSTR struct str name = STR_INIT;
    json_unquote(json_raw_member(c->body, strlen(c->body), "name"), &name);
    assert_true(r->n < CALLS);
    snprintf(r->got[r->n].id, sizeof r->got[0].id, "%s", c->event_id);
    snprintf(r->got[r->n].name, sizeof r->got[0].name, "%s", str_get(&name));
    r->n++;
    r->taken += r->now.status == 200 && r->now.after_ms < 5000;
    return r->now;
}

static int times(const struct receiver *r, const char *name)
{
    int n = 0;
    for (int i = 0; i < r->n; i++)
        n += strcmp(r->got[i].name, name) == 0;
    return n;
}

static bool one_id(const struct receiver *r, const char *name)
{
    const char *id = NULL;
    for (int i = 0; i < r->n; i++)
        if (strcmp(r->got[i].name, name) == 0) {
            if (id && strcmp(id, r->got[i].id) != 0)
                return false;
            id = r->got[i].id;
        }
    return true;
}

static void start(struct rig *r, const char *name)
{
    AUTOFREE char *path = mem_printf("/v1/swarms/default/children/%s", name);
    want(r, 201, 0, HTTP_M_PUT, path, SLEEP);
}

static void hook(struct rig *r, const char *path, const char *body)
{
    want(r, 201, 0, HTTP_M_PUT, path, body);
    run_ms(r, 2000); /* until every node knows it */
}

/* A dead, a slow and a refusing receiver, and one node after the other dies: each event arrives at last,
 * always under its one id, and starts take no longer than without. */
static void every_event_arrives_whatever_crashes(void **state)
{
    (void)state;
    struct rig r;
    static struct receiver got;
    got = (struct receiver){.now = {.status = 0, .after_ms = 1}};
    rig_begin(&r, 7, 3);
    sim_outside(r.sim, called, &got);
    hook(&r, "/v1/hooks/child_started/h", "{\"kind\":\"url\",\"url\":\"https://out/\",\"attempts\":1000}");
    char names[12][16];
    for (int i = 0; i < 12; i++) {
        snprintf(names[i], sizeof names[i], "c%d", i);
        got.now = (struct sim_said){.status = i % 3 == 0 ? 0 : 503, .after_ms = i % 3 == 1 ? 60000 : 1};
        int64_t before = sim_now_us(r.sim);
        start(&r, names[i]);
        assert_true(sim_now_us(r.sim) - before < 3000000);
    }
    for (int i = 0; i < 3; i++) {
        sim_crash(r.sim, i);
        run_ms(&r, 100);
        assert_true(sim_start(r.sim, i));
        agree_within(&r, 3, 30000);
    }
    got.now = (struct sim_said){.status = 200, .after_ms = 5};
    run_ms(&r, 600000);
    for (int i = 0; i < 12; i++)
        assert_true(times(&got, names[i]) >= 1);
    for (int i = 0; i < 3; i++)
        assert_int_equal(rows_number(&r, i, "SELECT count(*) FROM outbox"), 0);
    int before = got.n;
    run_ms(&r, 60000);
    assert_int_equal(got.n, before); /* what was taken is not told again */
    rig_end(&r);
}

/* The answer is lost with the node that waited for it: the same event comes again, under the same id. */
static void a_crash_before_the_answer_repeats_the_event(void **state)
{
    (void)state;
    struct rig r;
    static struct receiver got;
    got = (struct receiver){.now = {.status = 200, .after_ms = 1000}};
    rig_begin(&r, 11, 1);
    sim_outside(r.sim, called, &got);
    hook(&r, "/v1/hooks/name_registered/h", "{\"kind\":\"url\",\"url\":\"https://out/\"}");
    want(&r, 201, 0, HTTP_M_PUT, "/v1/swarms/default/names/n", "{\"address\":\"x\"}");
    run_ms(&r, 100);
    assert_int_equal(times(&got, "n"), 1);
    sim_crash(r.sim, 0);
    assert_true(sim_start(r.sim, 0));
    run_ms(&r, 20000);
    assert_int_equal(times(&got, "n"), 2);
    assert_true(one_id(&got, "n"));
    rig_end(&r);
}

/* Its clock cannot be trusted, and what its process did waits behind that: an answer is taken all the same,
 * and what the log has to say of it said later.
 */
static void an_answer_needs_no_clock(void **state)
{
    (void)state;
    struct rig r;
    static struct receiver got;
    got = (struct receiver){.now = {.status = 503, .after_ms = 1}};
    rig_begin(&r, 19, 3);
    sim_outside(r.sim, called, &got);
    for (char name[] = "c0"; name[1] < '9'; name[1]++)
        start(&r, name);
    hook(&r, "/v1/hooks/name_registered/h", "{\"kind\":\"url\",\"url\":\"https://out/\"}");
    want(&r, 201, 0, HTTP_M_PUT, "/v1/swarms/default/names/n", "{\"address\":\"x\"}");
    int at = 0;
    while (at < 2 && rows_number(&r, at, "SELECT count(*) FROM outbox") == 0)
        at++;
    sim_step_clock(r.sim, at, -3600000);
    run_ms(&r, 100);
    assert_true(sim_process_crash(r.sim, at));
    run_ms(&r, 100);
    assert_true(node_held_bytes(node_at(&r, at)) > 0);
    got.now.status = 200;
    run_ms(&r, 40000);
    assert_int_equal(rows_number(&r, at, "SELECT count(*) FROM outbox"), 0);
    assert_int_equal(events(&r, at, "hook_recovered"), 0);
    int before = got.n;
    sim_step_clock(r.sim, at, 3600000);
    run_ms(&r, 40000);
    assert_int_equal(got.n, before);
    assert_int_equal(events(&r, at, "hook_failed"), 1);
    assert_int_equal(events(&r, at, "hook_recovered"), 1);
    rig_end(&r);
}

/* ---- programs ---- */

static void *alter_start(struct sim_worker *w)
{
    struct span in = worker_input(w);
    struct span spec = json_raw_member(in.p, in.n, "spec");
    assert_true(spec.n > 0);
    if (worker_has_arg(w, "--hang"))
        return NULL;
    worker_say(w, "{\"spec\":{\"argv\":[\"counter\"],\"env\":{\"ALTERED\":\"1\"}}}");
    worker_exit(w, 0);
    return NULL;
}

static void ignored(struct sim_worker *w)
{
    (void)w;
}

static const struct sim_program alter = {.name = "alter", .start = alter_start, .terminated = ignored};

static int running(struct rig *r, const char *name)
{
    struct sim_process p;
    return sim_running(r->sim, "default", name, &p);
}

/* Asked before the start, killed when it hangs, and the start goes on; nothing runs twice if its node dies
 * meanwhile.
 */
static void a_start_waits_for_alter_and_not_for_ever(void **state)
{
    (void)state;
    struct rig r;
    rig_begin(&r, 13, 3);
    sim_program_add(r.sim, &alter);
    hook(&r, "/v1/hooks/child_data_alter/a", "{\"kind\":\"exec\",\"argv\":[\"alter\"],\"name\":\"good\"}");
    hook(&r, "/v1/hooks/child_data_alter/b",
         "{\"kind\":\"exec\",\"argv\":[\"alter\",\"--hang\"],\"name\":\"hangs\",\"timeout_ms\":3000}");
    start(&r, "good");
    want(&r, 200, 0, HTTP_M_POST, "/v1/swarms/default/children/good/calls",
         "{\"data\":4}"); /* it is a counter now */
    int64_t before = sim_now_us(r.sim);
    start(&r, "hangs");
    int64_t took_ms = (sim_now_us(r.sim) - before) / 1000;
    assert_in_range(took_ms, 3000, 8000);
    int altered = 0, failed = 0;
    for (int i = 0; i < 3; i++) {
        altered += events(&r, i, "child_data_altered");
        failed += events(&r, i, "child_alter_failed");
    }
    assert_int_equal(altered, 1);
    assert_int_equal(failed, 1);
    for (int i = 0; i < 3; i++) { /* wherever it is, with the question open: it runs once in the end */
        sim_crash(r.sim, i);
        run_ms(&r, 2000);
        assert_true(running(&r, "hangs") <= 1);
        assert_true(sim_start(r.sim, i));
        agree_within(&r, 3, 40000);
        run_ms(&r, 20000);
        assert_int_equal(running(&r, "hangs"), 1);
        assert_int_equal(running(&r, "good"), 1);
    }
    rig_end(&r);
}

/* ---- events ---- */

/* A partition and its heal are told by both sides; what lost its name says so where it ran. */
static void a_partition_is_told_and_healed(void **state)
{
    (void)state;
    struct rig r;
    struct sim_opts o = sim_opts_default(17, 3);
    o.loss_ppm = o.slow_commit_ppm = 0;
    o.unique_names = false;
    rig_begin_opts(&r, &o);
    agree_within(&r, 3, 3000);
    start(&r, "x");
    start(&r, "y");
    start(&r, "z");
    split_off(&r, 2);
    run_ms(&r, 60000);
    sim_heal_all(r.sim);
    agree_within(&r, 3, 40000);
    run_ms(&r, 10000);
    assert_int_equal(events(&r, 0, "cluster_partitioned"), 1);
    assert_int_equal(events(&r, 0, "cluster_healed"), 1);
    assert_int_equal(events(&r, 2, "cluster_partitioned"), 2);
    assert_int_equal(events(&r, 2, "cluster_healed"), 2);
    int fenced = 0, conflicts = 0;
    for (int i = 0; i < 3; i++) {
        fenced += events(&r, i, "child_fenced");
        conflicts += events(&r, i, "name_conflict");
        assert_int_equal(events(&r, i, "pre_node_join"), events(&r, i, "post_node_join"));
        assert_int_equal(events(&r, i, "pre_node_leave"), events(&r, i, "post_node_leave"));
        assert_int_equal(events(&r, i, "pre_redistribution"), events(&r, i, "post_redistribution"));
    }
    assert_true(fenced >= 1 && conflicts >= fenced);
    digests_equal(&r);
    rig_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_event_arrives_whatever_crashes),
        cmocka_unit_test(a_crash_before_the_answer_repeats_the_event),
        cmocka_unit_test(an_answer_needs_no_clock),
        cmocka_unit_test(a_start_waits_for_alter_and_not_for_ever),
        cmocka_unit_test(a_partition_is_told_and_healed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
