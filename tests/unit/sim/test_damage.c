/* A row that is damaged on the one node that has it: what that holds up, and what it does not. */
#include "rig.h"

#define DAY_MS 120000 /* a day of tombstones */

static int asked; /* pages of a RESYNC, of the damaged node */
static struct id damaged;

static bool count_asks(void *brain, struct request *r)
{
    if (strcmp(r->path, "/v1/peer/resync") == 0 && id_equal(&sim_brain_of(brain)->self, &damaged))
        asked++;
    return sim_brain_node.request(brain, r);
}

static void begin(struct rig *r, uint64_t seed, int64_t day_ms)
{
    static struct sim_brain brain;
    struct sim_opts o = rig_opts(seed, 3);
    o.tombstone_min_ms = 20000;
    o.tombstone_max_ms = day_ms;
    brain = sim_brain_node;
    brain.request = count_asks;
    asked = 0;
    rig_begin_brain(r, &o, &brain);
    agree_within(r, 3, 10000);
}

static void put(struct rig *r, int node, const char *name)
{
    AUTOFREE char *path = mem_printf("/v1/templates/%s", name);
    want(r, 201, node, HTTP_M_PUT, path, "{\"argv\":[\"/bin/x\"]}");
}

/* As bits that turn would: past the brain. */
static void rot(struct rig *r, int node, const char *name)
{
    struct err e = {0};
    AUTOFREE char *sql =
        mem_printf("UPDATE template SET spec = '{\"argv\":[\"/bin/y\"]}' WHERE template = '%s'", name);
    if (db_exec(store_db(node_store(node_at(r, node))), sql, &e) < 0)
        fail_msg("%s", e.text);
}

static int64_t has(struct rig *r, int node, const char *name)
{
    AUTOFREE char *sql = mem_printf("SELECT count(*) FROM template WHERE template = '%s'", name);
    return rows_number(r, node, sql);
}

/* Node 2 wrote it while it was alone, and it rots before anybody has it. Afterwards all agree on the view,
 * and what any node writes before and after reaches all; the row is named. */
static void a_row_that_nobody_can_send_holds_up_nothing_else(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 1, 10 * DAY_MS); /* what it deletes later is stuck behind that row, too */
    put(&r, 2, "first");
    converge_within(&r, 5000);
    split_off(&r, 2);
    run_ms(&r, 60000);
    put(&r, 2, "before");
    put(&r, 2, "rotten");
    put(&r, 2, "after");
    rot(&r, 2, "rotten");
    sim_heal_all(r.sim);
    agree_within(&r, 3, 30000);
    put(&r, 2, "later");
    put(&r, 0, "elsewhere");
    run_ms(&r, 5000);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(has(&r, i, "before"), 1);
        assert_int_equal(has(&r, i, "after"), 1);
        assert_int_equal(has(&r, i, "later"), 1);
        assert_int_equal(has(&r, i, "rotten"), 0);
    }
    assert_int_equal(has(&r, 2, "elsewhere"), 1);
    sim_crash(r.sim, 1); /* and a new view opens, too */
    run_ms(&r, 3000);
    sim_start(r.sim, 1);
    agree_within(&r, 3, 30000);
    run_ms(&r, 130000);
    assert_int_equal(rows_number(&r, 2,
                                 "SELECT count(*) FROM log WHERE type = 'row_damaged' AND "
                                 "data ->> 'key' = 'rotten'"),
                     1);
    int64_t asked_us =
        sim_now_us(r.sim); /* who waits for a copy is told at once that none will be confirmed */
    want(&r, 504, 2, HTTP_M_PUT, "/v1/templates/told?acks=2", "{\"argv\":[\"/bin/x\"]}");
    assert_non_null(strstr(str_get(&r.body), "damaged rows"));
    assert_true(sim_now_us(r.sim) - asked_us < 2 * SIM_SECOND);
    want(&r, 200, 2, HTTP_M_PUT, "/v1/templates/rotten?acks=2",
         "{\"argv\":[\"/bin/z\"]}"); /* what mends it */
    converge_within(&r, 10000);
    assert_int_equal(has(&r, 0, "rotten"), 1);
    rig_end(&r);
}

/* Who cannot give all is asked once, while there is somebody else. */
static void a_resync_goes_to_somebody_else(void **state)
{
    (void)state;
    int failed_first = 0;
    for (uint64_t seed = 10; seed < 18; seed++) {
        struct rig r;
        begin(&r, seed, DAY_MS);
        damaged = node_at(&r, 0)->self;
        put(&r, 0, "first");
        put(&r, 0, "gone");
        converge_within(&r, 5000);
        sim_crash(r.sim, 2);
        run_ms(&r, 5000);
        want(&r, 200, 1, HTTP_M_DELETE, "/v1/templates/gone", NULL);
        run_ms(&r, DAY_MS + 20000);
        rot(&r, 0, "first");
        sim_start(r.sim, 2);
        for (int ms = 0;
             ms < 30000 && rows_number(&r, 2, "SELECT count(*) FROM log WHERE type = 'resync_done'") == 0;
             ms += 10)
            run_ms(&r, 10);
        assert_int_equal(rows_number(&r, 2, "SELECT count(*) FROM log WHERE type = 'resync_done'"), 1);
        assert_in_range(asked, 0, 1);
        failed_first += asked;
        rig_end(&r);
    }
    assert_true(failed_first > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_that_nobody_can_send_holds_up_nothing_else),
        cmocka_unit_test(a_resync_goes_to_somebody_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
