/* Replication where several rare things meet, in a simulated cluster: damage while others copy, chains that a
 * RESYNC or the sweep cuts across, clocks that are not believed, nodes that are left alone.
 */
#include "rig.h"

#include "base/hlc.h"
#include "node/pull.h"

#define MIN_MS 20000
#define MAX_MS 120000

static void begin(struct rig *r, uint64_t seed, int nodes)
{
    struct sim_opts o = rig_opts(seed, nodes);
    o.tombstone_min_ms = MIN_MS;
    o.tombstone_max_ms = MAX_MS;
    o.unique_names = false;
    if (getenv("SKEP_TRACE")) {
        o.log_fd = 2;
        o.log_level = LOG_INFO;
    }
    rig_begin_opts(r, &o);
    agree_within(r, nodes, 5000);
    run_ms(r, 2000);
}

static void put(struct rig *r, int node, const char *name, const char *arg)
{
    AUTOFREE char *path = mem_printf("/v1/templates/%s", name);
    AUTOFREE char *body = mem_printf("{\"argv\":[\"/bin/x\",\"%s\"]}", arg);
    ask(r, node, HTTP_M_PUT, path, body);
    assert_in_range(r->status, 200, 201);
}

static void del(struct rig *r, int node, const char *name)
{
    AUTOFREE char *path = mem_printf("/v1/templates/%s", name);
    ask(r, node, HTTP_M_DELETE, path, NULL);
    assert_in_range(r->status, 200, 204);
}

static int look(struct rig *r, int node, const char *name)
{
    AUTOFREE char *path = mem_printf("/v1/templates/%s", name);
    return ask(r, node, HTTP_M_GET, path, NULL);
}

/* What a bad disk does: behind the triggers' back. */
static void damage(struct rig *r, int i, const char *sql)
{
    struct err e;
    struct db *db = store_db(node_store(node_at(r, i)));
    if (db_exec(db, sql, &e) < 0)
        fail_msg("%s", e.text);
}

/* ---- */

/* A row that is gone from its table ends nobody who is asked for it. */
static void a_lost_row_ends_nobody_who_serves(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 1, 3);
    put(&r, 0, "a", "1");
    put(&r, 0, "gone", "1");
    converge_within(&r, 5000);
    del(&r, 0, "gone");
    run_ms(&r, MIN_MS + 20000); /* dropped: who comes anew copies */
    put(&r, 0, "b", "1");
    converge_within(&r, 5000);
    sim_crash(r.sim, 2);
    sim_wipe(r.sim, 2);
    damage(&r, 0, "DELETE FROM template WHERE template = 'a'");
    damage(&r, 1, "DELETE FROM template WHERE template = 'b'");
    sim_start(r.sim, 2);
    for (int s = 0; s < 60; s++) {
        run_ms(&r, 1000);
        assert_true(sim_node_up(sim_node(r.sim, 0)));
        assert_true(sim_node_up(sim_node(r.sim, 1)));
    }
    converge_within(&r, 120000); /* they heal each other */
    rig_end(&r);
}

/* Who wants to copy and has nobody left to copy from goes on with what it has. */
static void a_lone_survivor_does_not_wait_for_the_dead(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 2, 2);
    put(&r, 0, "a", "1");
    put(&r, 0, "k", "1");
    converge_within(&r, 5000);
    split_off(&r, 1);
    run_ms(&r, 50000);
    del(&r, 0, "a");
    run_ms(&r, MAX_MS + 20000);
    struct node *n = node_at(&r, 1);
    sim_heal_all(r.sim);
    for (int ms = 0; ms < 60000 && !n->resync.wanted; ms++)
        run_ms(&r, 1);
    assert_true(n->resync.wanted);
    sim_crash(r.sim, 0);
    sim_retire(r.sim, 0);
    run_ms(&r, 70000);
    AUTOFREE char *path = mem_printf("/v1/nodes/%s", sim_node_name(sim_node(r.sim, 0)));
    want(&r, 200, 1, HTTP_M_DELETE, path, NULL);
    run_ms(&r, 20000);
    assert_false(n->resync.wanted);
    want(&r, 201, 1, HTTP_M_PUT, "/v1/swarms/default/children/one", "{\"argv\":[\"counter\"]}");
    assert_int_equal(look(&r, 1, "k"), 200);
    rig_end(&r);
}

static int want_it(struct node *n, void *arg)
{
    (void)arg;
    return resync_want(n, NULL, "this is a test");
}

/* In the middle of a chain each, both want a RESYNC: each can have it from the other. */
static void a_chain_that_stopped_holds_up_no_resync(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 3, 2);
    put(&r, 0, "a", "1");
    converge_within(&r, 5000);
    for (int i = 0; i < 2; i++) {
        struct peer *p = TAILQ_FIRST(&node_at(&r, i)->peers);
        p->pull.chaining = true;
        p->pull.rows = 5;
        p->pull.next_ms = node_at(&r, i)->now_ms + 3000;
        assert_int_equal(node_transact(node_at(&r, i), want_it, NULL), 0);
    }
    for (int i = 0; i < 2; i++) {
        for (int ms = 0; ms < 90000 && node_at(&r, i)->resync.wanted; ms += 10)
            run_ms(&r, 10);
        assert_false(node_at(&r, i)->resync.wanted);
    }
    agree_within(&r, 2, 10000);
    rig_end(&r);
}

/* Whose clock is not believed writes nothing, and still gives way to a better claim. */
static void a_loser_whose_clock_is_frozen_ends(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 4, 3);
    split_off(&r, 0);
    run_ms(&r, 50000);
    want(&r, 201, 0, HTTP_M_PUT, "/v1/swarms/default/children/one", "{\"argv\":[\"counter\"]}");
    want(&r, 200, 0, HTTP_M_POST, "/v1/swarms/default/children/one/calls", "{\"data\":9}");
    run_ms(&r, 3000);
    want(&r, 201, 1, HTTP_M_PUT, "/v1/swarms/default/children/one", "{\"argv\":[\"counter\"]}");
    want(&r, 200, 1, HTTP_M_POST, "/v1/swarms/default/children/one/calls", "{\"data\":900}");
    assert_int_equal(sim_running(r.sim, "default", "one", NULL), 2);
    sim_step_clock(r.sim, 0, -3600 * 1000);
    run_ms(&r, 500);
    sim_heal_all(r.sim);
    run_ms(&r, 90000);
    assert_int_equal(sim_running(r.sim, "default", "one", NULL), 1);
    put(&r, 1, "x", "1");
    run_ms(&r, 5000);
    assert_int_equal(look(&r, 0, "x"), 200);
    rig_end(&r);
}

/* While tombstones are dropped all the time, a chain of many pages comes to its end. */
static void a_long_chain_outlives_the_sweep(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 5, 3);
    AUTOFREE char *big = mem_alloc(60001);
    memset(big, 'x', 60000);
    char name[16];
    for (int i = 0; i < 150; i++) {
        snprintf(name, sizeof name, "d%d", i);
        put(&r, 0, name, "1");
    }
    for (int i = 0; i < 150; i++) {
        snprintf(name, sizeof name, "d%d", i);
        del(&r, 0, name);
        run_ms(&r, 250);
    }
    sim_crash(r.sim, 2);
    for (int i = 0; i < 120; i++) {
        snprintf(name, sizeof name, "b%d", i);
        put(&r, 0, name, big);
    }
    struct sim_link slow = {.delay = {150000, 150000}};
    sim_start(r.sim, 2);
    for (int i = 0; i < 2; i++) {
        sim_link(r.sim, i, 2, &slow);
        sim_link(r.sim, 2, i, &slow);
    }
    int64_t pulls = node_at(&r, 2)->counters.pulls;
    converge_within(&r, 60000);
    assert_in_range(node_at(&r, 2)->counters.pulls - pulls, 25, 100);
    rig_end(&r);
}

static bool knows(struct rig *r, int node, int64_t actor)
{
    struct vv *v = &node_at(r, node)->vv;
    for (size_t i = 0; i < v->n; i++)
        if (v->e[i].actor == actor)
            return true;
    return false;
}

/* A machine that is put back to before a deletion, by a run that has been folded since. */
static void what_a_folded_run_deleted_stays_deleted(void **state)
{
    (void)state;
    for (uint64_t seed = 60; seed < 64; seed++) {
        struct rig r;
        begin(&r, seed, 3);
        run_ms(&r, MIN_MS);
        int64_t actor = node_at(&r, 0)->actor;
        put(&r, 0, "k", "1");
        converge_within(&r, 5000);
        run_ms(&r, MIN_MS);
        struct sim_backup *old = sim_backup_new(r.sim, 2);
        del(&r, 0, "k");
        run_ms(&r, MIN_MS + 15000);
        assert_int_equal(
            rows_number(&r, 1, "SELECT count(*) FROM change WHERE key LIKE '%k' AND tbl = 'template'"), 0);
        sim_crash(r.sim, 0);
        run_ms(&r, 500);
        sim_start(r.sim, 0);
        for (int ms = 0; ms < 60000 && (knows(&r, 0, actor) || knows(&r, 1, actor)); ms += 10)
            run_ms(&r, 10);
        assert_false(knows(&r, 0, actor) || knows(&r, 1, actor));
        sim_crash(r.sim, 2);
        run_ms(&r, 500);
        sim_restore(r.sim, 2, old);
        sim_backup_free(old);
        sim_start(r.sim, 2);
        for (int ms = 0; ms < 20000 && !same_everywhere(&r); ms += 100)
            run_ms(&r, 100);
        assert_int_equal(look(&r, 2, "k"), 404);
        assert_int_equal(look(&r, 0, "k"), 404);
        converge_within(&r, 20000);
        rig_end(&r);
    }
}

/* Whether the two that stayed began no RESYNC before the one that was away: who asks first is luck. */
static bool dropped_during_a_resync(uint64_t seed)
{
    struct rig r;
    begin(&r, seed, 3);
    AUTOFREE char *big = mem_alloc(60001);
    memset(big, 'x', 60000);
    for (int i = 0; i < 20; i++) {
        char name[16];
        snprintf(name, sizeof name, "b%d", i);
        put(&r, 0, name, big);
    }
    put(&r, 0, "early", "1");
    put(&r, 0, "late", "1");
    converge_within(&r, 10000);
    split_off(&r, 2);
    run_ms(&r, 45000);
    del(&r, 0, "early");
    run_ms(&r, 40000);
    put(&r, 2, "zz", "1"); /* older than this deletion */
    run_ms(&r, 1000);
    del(&r, 0, "late");
    run_ms(&r, MAX_MS - 41000 + 8000);
    assert_int_equal(rows_number(&r, 0, "SELECT count(*) FROM change WHERE dead AND tbl = 'template'"), 1);
    sim_heal_all(r.sim);
    for (int ms = 0; ms < 60000 && !(node_at(&r, 2)->resync.active && node_at(&r, 2)->resync.key); ms++)
        run_ms(&r, 1);
    assert_true(node_at(&r, 2)->resync.active);
    assert_true(strcmp(node_at(&r, 2)->resync.key, "zz") < 0);
    bool first = !node_at(&r, 0)->resync.wanted && !node_at(&r, 1)->resync.wanted &&
                 events(&r, 0, "resync_started") + events(&r, 1, "resync_started") == 0;
    sim_crash(r.sim, 2);
    run_ms(&r, 45000);
    for (int i = 0; i < 2; i++)
        assert_int_equal(rows_number(&r, i, "SELECT count(*) FROM change WHERE dead AND tbl = 'template'"),
                         0);
    sim_start(r.sim, 2);
    converge_within(&r, 60000);
    for (int i = 0; i < 3 && first; i++) {
        assert_int_equal(rows_number(&r, i, "SELECT count(*) FROM aside WHERE key = 'zz'"), 1);
        assert_int_equal(look(&r, i, "zz"), 404);
    }
    rig_end(&r);
    return first;
}

static void deletions_dropped_during_a_resync_count(void **state)
{
    (void)state;
    int met = 0;
    for (uint64_t seed = 9; seed < 60 && met < 2; seed++)
        met += dropped_during_a_resync(seed);
    assert_int_equal(met, 2);
}

/* A configured address at which nobody ever answered, or whose node was forgotten. */
static void an_address_without_a_node_holds_up_no_deletion(void **state)
{
    (void)state;
    static const struct id nobody;
    struct rig r;
    begin(&r, 7, 2);
    put(&r, 0, "k", "1");
    struct peer *p = mem_alloc(sizeof *p);
    struct node *n = node_at(&r, 0);
    *p = (struct peer){.id = nobody, .url = mem_dup("https://nowhere.sim:7537"), .weight = 1};
    detector_init(&p->detector, n->now_ms);
    TAILQ_INSERT_TAIL(&n->peers, p, link);
    del(&r, 0, "k");
    run_ms(&r, MIN_MS + 20000);
    assert_int_equal(rows_number(&r, 0, "SELECT count(*) FROM change WHERE dead AND tbl = 'template'"), 0);
    rig_end(&r);
}

/* A run that we have not pulled from yet, and whose first stamps lie below the end of one that would fold:
 * under a floor above them its rows would count as had. */
static void nothing_folds_above_a_run_that_is_not_here(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 8, 2);
    for (int i = 0; i < 2; i++) {
        sim_crash(r.sim, 1);
        run_ms(&r, 500);
        sim_start(r.sim, 1);
        agree_within(&r, 2, 20000);
    }
    struct node *n = node_at(&r, 0);
    size_t entries = n->vv.n;
    assert_true(entries >= 4);
    for (int ms = 0; ms < 6 * MIN_MS && n->vv.floor == 0; ms += 10) {
        vv_put(&TAILQ_FIRST(&n->peers)->vv, 77, 1000 << 16); /* it says so with each request */
        run_ms(&r, 10);
    }
    assert_int_equal(n->vv.floor, 0);
    assert_int_equal(n->vv.n, entries);
    rig_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lost_row_ends_nobody_who_serves),
        cmocka_unit_test(a_lone_survivor_does_not_wait_for_the_dead),
        cmocka_unit_test(a_chain_that_stopped_holds_up_no_resync),
        cmocka_unit_test(a_loser_whose_clock_is_frozen_ends),
        cmocka_unit_test(a_long_chain_outlives_the_sweep),
        cmocka_unit_test(what_a_folded_run_deleted_stays_deleted),
        cmocka_unit_test(deletions_dropped_during_a_resync_count),
        cmocka_unit_test(an_address_without_a_node_holds_up_no_deletion),
        cmocka_unit_test(nothing_folds_above_a_run_that_is_not_here),
    };
    cmocka_set_test_filter(getenv("SKEP_TEST"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
