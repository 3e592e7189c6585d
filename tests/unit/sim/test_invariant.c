/* The invariants, checked: real nodes whose stores are spoilt behind their back, in one way each. What is not
 * noticed is not checked.
 */
#include "sim/invariant.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "node/brain.h"
#include "sim/brain.h"
#include "sim/worker.h"

struct rig {
    struct sim *sim;
    struct invariants *invariants;
    int answers;
};

static void answered(struct sim *s, void *arg, const struct sim_reply *reply)
{
    (void)s;
    struct rig *r = arg;
    assert_true(reply->status == 201);
    r->answers++;
}

static void put(struct rig *r, const char *path, const char *body)
{
    struct sim_ask a = {.node = 0,
                        .method = HTTP_M_PUT,
                        .path = path,
                        .body = body,
                        .timeout_ms = 20000,
                        .done = answered,
                        .arg = r};
    sim_ask(r->sim, &a);
}

static int begin(void **state)
{
    struct rig *r = mem_alloc(sizeof *r);
    struct sim_opts o = sim_opts_default(7, 3);
    r->sim = sim_new(&o, &sim_brain_node);
    r->invariants = invariants_new(r->sim);
    for (int i = 0; i < 3; i++)
        assert_true(sim_start(r->sim, i));
    assert_true(sim_run(r->sim, 6 * SIM_SECOND));
    put(r, "/v1/swarms/default/names/a", "{\"address\":\"10.0.0.1:80\"}");
    put(r, "/v1/swarms/default/names/b", "{\"address\":\"10.0.0.2:80\"}");
    put(r, "/v1/swarms/default/children/c", "{\"argv\":[\"/bin/counter\"],\"metadata\":{\"x\":1}}");
    assert_true(sim_run(r->sim, 20 * SIM_SECOND));
    assert_int_equal(r->answers, 3);
    *state = r;
    return 0;
}

static int end(void **state)
{
    struct rig *r = *state;
    sim_free(r->sim);
    invariants_free(r->invariants);
    free(r);
    return 0;
}

static struct node *node(struct rig *r, int i)
{
    return sim_brain_of(sim_node_brain(sim_node(r->sim, i)));
}

static void spoil(struct rig *r, int i, const char *sql)
{
    struct err e = {0};
    if (db_exec(store_db(node(r, i)->store), sql, &e) < 0)
        fail_msg("%s: %s", sql, e.text);
}

/* What they say now; what they knew before was read when the rig began. */
static void assert_told(struct rig *r, const char *what)
{
    AUTOSTR struct str why = STR_INIT;
    if (invariants_hold(r->invariants, &why))
        fail_msg("nothing was noticed");
    if (!strstr(str_get(&why), what))
        fail_msg("no '%s' in: %s", what, str_get(&why));
}

/* A write that the store does not count is not looked for. */
static void touch(struct rig *r, int i)
{
    struct err e = {0};
    struct node_mark_row mark = {.node = mem_dup("nobody"), .forgotten_at = 1};
    assert_int_equal(db_begin(store_db(node(r, i)->store), &e), 0);
    assert_int_equal(store_save(node(r, i)->store, T_NODE_MARK, &mark, &e), 0);
    assert_int_equal(db_commit(store_db(node(r, i)->store), &e), 0);
    row_fini(T_NODE_MARK, &mark);
}

static void what_is_right_passes(void **state)
{
    struct rig *r = *state;
    AUTOSTR struct str why = STR_INIT;
    assert_true(sim_run(r->sim, 30 * SIM_SECOND));
    if (!invariants_hold(r->invariants, &why))
        fail_msg("%s", str_get(&why));
    assert_true(sim_check_all(r->sim));
}

static void a_row_without_its_version(void **state)
{
    spoil(*state, 0, "DELETE FROM change WHERE tbl = 'name' AND key = 'default/a'");
    assert_told(*state, "versions more than rows");
}

static void a_version_without_its_row(void **state)
{
    spoil(*state, 1, "DELETE FROM name WHERE name = 'a'");
    assert_told(*state, "which is not there");
}

static void a_row_with_other_bytes(void **state)
{
    spoil(*state, 1, "UPDATE name SET address = '10.9.9.9:80' WHERE name = 'a'");
    assert_told(*state, "is not what its hash says");
}

static void one_stamp_with_two_contents(void **state)
{
    struct rig *r = *state;
    spoil(r, 2, "UPDATE change SET hash = zeroblob(16) WHERE tbl = 'name' AND key = 'default/b'");
    touch(r, 2);
    assert_told(r, "other bytes under the same stamp");
}

static void a_row_that_falls(void **state)
{
    struct rig *r = *state;
    spoil(r, 2, "UPDATE change SET rank = rank - 1 WHERE tbl = 'name' AND key = 'default/b'");
    touch(r, 2);
    assert_told(r, "its epoch");
}

static void a_covered_row_that_is_not_there(void **state)
{
    struct rig *r = *state;
    spoil(r, 1, "DELETE FROM name WHERE name = 'b'");
    spoil(r, 1, "DELETE FROM change WHERE tbl = 'name' AND key = 'default/b'");
    touch(r, 1);
    assert_told(r, "[I4]");
}

static void a_row_from_the_future(void **state)
{
    struct rig *r = *state;
    spoil(r, 1, "UPDATE change SET hlc = hlc + (60000 << 16) WHERE tbl = 'name' AND key = 'default/b'");
    touch(r, 1);
    assert_told(r, "[I8]");
}

static void a_deleted_row_that_is_back(void **state)
{
    struct rig *r = *state;
    AUTOSTR struct str why = STR_INIT;
    /* one node says that it was deleted long after what the others have, and they know of that */
    spoil(r, 0,
          "UPDATE change SET dead = 1, hash = NULL, rank = rank + 1 WHERE tbl = 'name' AND "
          "key = 'default/b'");
    spoil(r, 0, "DELETE FROM name WHERE name = 'b'");
    touch(r, 0);
    assert_told(r, "[I5]");
}

static void a_vector_that_falls(void **state)
{
    struct rig *r = *state;
    struct vv *vv = &node(r, 1)->vv;
    vv->e[0].hlc--;
    assert_false(sim_run(r->sim, 25 * SIM_SECOND));
}

static void a_drop_that_others_did_not_wait_for(void **state)
{
    struct rig *r = *state;
    char sql[200];
    int64_t actor = node(r, 0)->vv.e[0].actor, hlc = node(r, 0)->vv.e[0].hlc + 1000;
    snprintf(sql, sizeof sql, "INSERT INTO gcvv (actor, hlc) VALUES (%lld, %lld)", (long long)actor,
             (long long)hlc);
    spoil(r, 0, sql);
    assert_told(r, "[I13]");
}

static void a_process_that_nobody_claimed(void **state)
{
    struct rig *r = *state;
    struct sim_process p = {0};
    assert_int_equal(sim_running(r->sim, "default", "c", &p), 1);
    for (int i = 0; i < 3; i++)
        if (sim_node(r->sim, i) == p.node)
            spoil(r, i, "DELETE FROM change WHERE tbl = 'name' AND key = 'default/c'");
    assert_told(r, "[I11]");
}

static void a_write_that_changes_nothing(void **state)
{
    struct rig *r = *state;
    touch(r, 1);
    assert_true(sim_run(r->sim, sim_now_us(r->sim) + 10 * SIM_SECOND));
    touch(r, 1);
    assert_false(sim_run(r->sim, sim_now_us(r->sim) + 10 * SIM_SECOND));
}

static void an_entry_under_a_fenced_epoch(void **state)
{
    struct rig *r = *state;
    struct err e = {0};
    struct metadata_row row = {
        .swarm = mem_dup("default"), .name = mem_dup("c2"), .data = mem_dup("{}"), .epoch = 5};
    spoil(r, 1, "UPDATE change SET key = 'default/c2' WHERE tbl = 'name' AND key = 'default/b'");
    spoil(r, 1, "UPDATE name SET name = 'c2' WHERE name = 'b'");
    touch(r, 1);
    AUTOSTR struct str why = STR_INIT;
    invariants_hold(r->invariants, &why); /* reads the claim */
    assert_int_equal(db_begin(store_db(node(r, 1)->store), &e), 0);
    assert_int_equal(store_save(node(r, 1)->store, T_METADATA, &row, &e), 0);
    assert_int_equal(db_commit(store_db(node(r, 1)->store), &e), 0);
    row_fini(T_METADATA, &row);
    assert_false(sim_run(r->sim, sim_now_us(r->sim) + SIM_SECOND));
}

#define INVARIANT(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        INVARIANT(what_is_right_passes),
        INVARIANT(a_row_without_its_version),
        INVARIANT(a_version_without_its_row),
        INVARIANT(a_row_with_other_bytes),
        INVARIANT(one_stamp_with_two_contents),
        INVARIANT(a_row_that_falls),
        INVARIANT(a_covered_row_that_is_not_there),
        INVARIANT(a_row_from_the_future),
        INVARIANT(a_deleted_row_that_is_back),
        INVARIANT(a_vector_that_falls),
        INVARIANT(a_drop_that_others_did_not_wait_for),
        INVARIANT(a_process_that_nobody_claimed),
        INVARIANT(a_write_that_changes_nothing),
        INVARIANT(an_entry_under_a_fenced_epoch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
