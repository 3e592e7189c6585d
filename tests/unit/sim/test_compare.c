/* Damage of every kind in a cluster of real brains, and what the comparison of all rows makes of it: found,
 * reported, healed from a peer, and nothing else touched.
 */
#include "rig.h"

#include "node/compare.h"
#include "node/compare_inside.h"

#define TEMPLATES 40

static int asked; /* comparisons of nodes with nodes */

static bool count_request(void *brain, struct request *r)
{
    asked += strcmp(r->path, "/v1/peer/compare") == 0;
    return sim_brain_node.request(brain, r);
}

static struct store *store_at(struct rig *r, int i)
{
    return node_store(node_at(r, i));
}

static void put_template(struct rig *r, int node, int i, const char *word)
{
    char path[64], body[128];
    snprintf(path, sizeof path, "/v1/templates/t%02d", i);
    snprintf(body, sizeof body, "{\"argv\":[\"/bin/%s%02d\"]}", word, i);
    assert_in_range(ask(r, node, HTTP_M_PUT, path, body), 200, 201);
}

static void begin(struct rig *r, uint64_t seed, int nodes)
{
    static struct sim_brain brain;
    struct sim_opts o = rig_opts(seed, nodes);
    brain = sim_brain_node;
    brain.request = count_request;
    asked = 0;
    rig_begin_brain(r, &o, &brain);
    run_ms(r, 3000);
    for (int i = 0; i < TEMPLATES; i++)
        put_template(r, i % nodes, i, "findme");
    run_ms(r, 2000);
}

static void exec(struct rig *r, int node, const char *sql)
{
    struct err e = {0};
    if (db_exec(store_db(store_at(r, node)), sql, &e) < 0)
        fail_msg("%s: %s", sql, e.text);
}

static int64_t logged(struct rig *r, int node, const char *type)
{
    char sql[200];
    snprintf(sql, sizeof sql, "SELECT count(*) FROM log WHERE type = '%s'", type);
    return rows_number(r, node, sql);
}

static int64_t incidents(struct rig *r, int node)
{
    return logged(r, node, "row_damaged") + logged(r, node, "row_healed") + logged(r, node, "row_late") +
           logged(r, node, "row_set_aside") + logged(r, node, "file_damaged");
}

/* The digest trusts stored hashes; this does not. */
static void contents(struct rig *r, int node, struct str *ret)
{
    struct stmt *q =
        stmt_new(store_db(store_at(r, node)),
                 "SELECT t.template, t.spec, c.hlc, c.actor, hex(c.hash), c.dead FROM template t "
                 "FULL JOIN change c ON c.tbl = 'template' AND c.key = t.template WHERE c.tbl IS "
                 "NULL OR c.tbl = 'template' ORDER BY 1, 3");
    while (stmt_step(q, NULL) == 1)
        for (int i = 0; i < 6; i++)
            str_printf(ret, "%s|", col_is_null(q, i) ? "-" : col_text(q, i));
    stmt_free(q);
}

static bool same(struct rig *r)
{
    AUTOSTR struct str first = STR_INIT;
    contents(r, 0, &first);
    for (int i = 1; i < sim_nodes(r->sim); i++) {
        AUTOSTR struct str other = STR_INIT;
        contents(r, i, &other);
        if (strcmp(str_get(&first), str_get(&other)) != 0)
            return false;
    }
    return true;
}

static void run_until_same(struct rig *r, int64_t within_ms)
{
    for (int64_t ms = 0; ms < within_ms && !same(r); ms += 500)
        run_ms(r, 500);
    assert_true(same(r));
}

static void in_steady_state_there_are_no_incidents(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 1, 3);
    for (int i = 0; i < 100; i++) { /* while it is written to */
        put_template(&r, i % 3, i % TEMPLATES, i % 2 ? "x" : "y");
        run_ms(&r, 1000);
    }
    run_ms(&r, 200000);
    for (int i = 0; i < 3; i++) {
        const struct frozen_counters *c = &node_at(&r, i)->counters;
        assert_int_equal(incidents(&r, i), 0);
        assert_in_range(c->compares, 4, 8); /* one in 60 s */
        assert_true(c->compares_equal >= 3);
        assert_true(c->rows_scanned >= 4 * TEMPLATES);
    }
    assert_true(asked > 0);
    int64_t bytes = node_at(&r, 0)->counters.compare_bytes, rounds = node_at(&r, 0)->counters.compares;
    int before = asked;
    run_ms(&r, 180000);
    rounds = node_at(&r, 0)->counters.compares - rounds;
    bytes = node_at(&r, 0)->counters.compare_bytes - bytes;
    assert_in_range(rounds, 2, 5);
    assert_in_range(bytes, 1, rounds * 300); /* a few small messages */
    assert_in_range(asked - before, 3 * 2, 3 * 5 * 5);
    rig_end(&r);
}

/* Damage at node 1; it is reported there and nowhere else, and healed from one of the others. */
static void damage_and_heal(uint64_t seed, const char *sql, const char *damage, bool from_peer)
{
    struct rig r;
    char like[128];
    begin(&r, seed, 3);
    assert_true(same(&r));
    exec(&r, 1, sql);
    assert_false(same(&r));
    run_until_same(&r, 130000);
    run_ms(&r, 70000);
    assert_int_equal(logged(&r, 1, "row_damaged"), 1);
    assert_int_equal(logged(&r, 1, "row_healed"), 1);
    assert_int_equal(incidents(&r, 1), 2);
    assert_int_equal(incidents(&r, 0) + incidents(&r, 2), 0);
    snprintf(like, sizeof like,
             "SELECT count(*) FROM log WHERE type = 'row_damaged' AND data ->> 'how' = '%s' AND data ->> "
             "'key' = 't07'",
             damage);
    assert_int_equal(rows_number(&r, 1, like), 1);
    assert_int_equal(
        rows_number(&r, 1,
                    "SELECT count(*) FROM log WHERE type = 'row_healed' AND data ->> 'from' IS NOT NULL"),
        from_peer);
    assert_int_equal(node_at(&r, 1)->counters.rows_damaged, 1);
    assert_int_equal(node_at(&r, 1)->counters.rows_healed, 1);
    rig_end(&r);
}

static void a_row_whose_bytes_changed(void **state)
{
    (void)state;
    damage_and_heal(2, "UPDATE template SET spec = '{\"argv\":[\"/bin/findmf07\"]}' WHERE template = 't07'",
                    "bytes differ", true);
}

static void a_hash_that_changed(void **state)
{
    (void)state;
    damage_and_heal(3, "UPDATE change SET hash = x'00112233445566778899aabbccddeeff' WHERE key = 't07'",
                    "bytes differ", true);
}

static void a_row_that_is_gone(void **state)
{
    (void)state;
    damage_and_heal(4, "DELETE FROM template WHERE template = 't07'", "no row", true);
}

static void a_version_that_is_gone(void **state)
{
    (void)state;
    damage_and_heal(5, "DELETE FROM change WHERE key = 't07'", "no version", true);
}

/* Nothing here tells that it was there: the others have it, and their rounds do not matter. */
static void a_row_gone_with_its_version(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 6, 3);
    exec(&r, 1, "DELETE FROM template WHERE template = 't07'");
    exec(&r, 1, "DELETE FROM change WHERE key = 't07'");
    run_until_same(&r, 130000);
    assert_int_equal(logged(&r, 1, "row_late"), 1);
    assert_int_equal(incidents(&r, 0) + incidents(&r, 1) + incidents(&r, 2), 1);
    rig_end(&r);
}

/* A row that went back to what it was once, hash and all: the newer version wins the merge. */
static void a_row_that_went_back_in_time(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 7, 3);
    exec(&r, 2, "UPDATE change SET hlc = hlc - 100000 WHERE key = 't07'");
    run_until_same(&r, 250000);
    assert_int_equal(logged(&r, 2, "row_late"), 1);
    assert_int_equal(incidents(&r, 0) + incidents(&r, 1) + incidents(&r, 2), 1);
    rig_end(&r);
}

/* One version with two contents that are both sound: all settle on one. */
static void one_version_with_two_contents(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 8, 2);
    struct store *s = store_at(&r, 0);
    struct template_row row = {.template = (char *)"t07", .spec = (char *)"{\"argv\":[\"/bin/other\"]}"};
    struct err e = {0};
    struct stamp stamp;
    char sql[256];
    assert_int_equal(store_version(s, T_TEMPLATE, &row, &stamp, NULL, &e), 1);
    assert_int_equal(db_begin(store_db(s), &e), 0);
    assert_int_equal(store_save(s, T_TEMPLATE, &row, &e), 0);
    snprintf(sql, sizeof sql, "UPDATE change SET hlc = %lld, actor = %lld WHERE key = 't07'",
             (long long)stamp.hlc, (long long)stamp.actor);
    assert_int_equal(db_exec(store_db(s), sql, &e), 0);
    assert_int_equal(db_commit(store_db(s), &e), 0);
    assert_false(same(&r));
    run_until_same(&r, 250000);
    assert_int_equal(logged(&r, 0, "row_healed") + logged(&r, 1, "row_healed"), 1);
    assert_int_equal(incidents(&r, 0) + incidents(&r, 1), 1);
    rig_end(&r);
}

/* A tombstone whose row is still there: no peer is needed, and none loses anything. */
static void a_row_that_outlived_its_deletion(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 9, 3);
    for (int i = 0; i < 3; i++)
        exec(&r, i, "UPDATE change SET dead = 1, hash = NULL WHERE key = 't07'");
    exec(&r, 0, "DELETE FROM template WHERE template = 't07'");
    exec(&r, 2, "DELETE FROM template WHERE template = 't07'");
    run_until_same(&r, 130000);
    assert_int_equal(logged(&r, 1, "row_damaged"), 1);
    assert_int_equal(logged(&r, 1, "row_healed"), 1);
    assert_int_equal(rows_number(&r, 1, "SELECT count(*) FROM quarantine WHERE key = 't07'"), 1);
    assert_int_equal(incidents(&r, 0) + incidents(&r, 2), 0);
    rig_end(&r);
}

/* The same damage everywhere is reported everywhere, and not made worse. */
static void what_nobody_has_whole_stays_as_it_is(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 10, 2);
    exec(&r, 0, "UPDATE template SET spec = '{\"argv\":[\"/bin/a\"]}' WHERE template = 't07'");
    exec(&r, 1, "UPDATE template SET spec = '{\"argv\":[\"/bin/b\"]}' WHERE template = 't07'");
    run_ms(&r, 300000);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(logged(&r, i, "row_damaged"), 1);
        assert_int_equal(incidents(&r, i), 1);
        assert_int_equal(rows_number(&r, i, "SELECT count(*) FROM template WHERE template = 't07'"), 1);
    }
    rig_end(&r);
}

/* Below the floor a row that one node has alone may be one that was deleted: it goes aside at the others, and
 * is not revived; then also where it was. What two have was not deleted. */
static void what_may_have_been_deleted_goes_aside(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 11, 3);
    for (int i = 0; i < 3; i++) {
        struct node *n = node_at(&r, i);
        struct err e = {0};
        assert_int_equal(db_begin(store_db(n->store), &e), 0);
        assert_int_equal(store_gc_raise(n->store, 0, store_hlc(n->store), &e), 0);
        assert_int_equal(db_commit(store_db(n->store), &e), 0);
        if (i < 2)
            exec(&r, i, "DELETE FROM template WHERE template = 't07'; DELETE FROM change WHERE key = 't07'");
        if (i < 1)
            exec(&r, i, "DELETE FROM template WHERE template = 't08'; DELETE FROM change WHERE key = 't08'");
    }
    run_ms(&r, 900000);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(logged(&r, i, "row_set_aside"), 1);
        assert_int_equal(rows_number(&r, i, "SELECT count(*) FROM aside WHERE key = 't07'"), 1);
        assert_int_equal(rows_number(&r, i, "SELECT count(*) FROM template WHERE template = 't07'"), 0);
    }
    assert_int_equal(logged(&r, 0, "row_late"), 1);
    assert_int_equal(rows_number(&r, 0, "SELECT count(*) FROM template WHERE template = 't08'"), 1);
    AUTOSTR struct str why = STR_INIT;
    assert_true(sim_digests_equal(r.sim, NULL, &why));
    rig_end(&r);
}

/* A bit of a row's bytes on the disk of a node that is down. */
static void rot_on_the_disk(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 12, 3);
    sim_stop(r.sim, 1);
    for (int i = 0; i < 100 && sim_node_up(sim_node(r.sim, 1)); i++)
        run_ms(&r, 100);
    assert_false(sim_node_up(sim_node(r.sim, 1)));
    struct simdisk *d = sim_node_disk(sim_node(r.sim, 1));
    size_t n;
    const char *file = simdisk_file(d, "/skep.db", &n), *at = memmem(file, n, "findme07", 8);
    assert_non_null(at);
    AUTOFREE char *copy = mem_copy(file, n);
    for (size_t i = 0; i + 8 <= n; i++)
        if (memcmp(copy + i, "findme07", 8) == 0)
            copy[i + 5] ^= 1;
    simdisk_put(d, "/skep.db", copy, n);
    assert_true(sim_start(r.sim, 1));
    run_ms(&r, 3000);
    assert_false(same(&r));
    run_until_same(&r, 130000);
    assert_int_equal(logged(&r, 1, "row_damaged"), 1);
    assert_int_equal(logged(&r, 1, "row_healed"), 1);
    rig_end(&r);
}

/* However many rows there are, no turn is longer for it. */
static void a_look_goes_in_slices(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 40, 2);
    for (int i = TEMPLATES; i < 5 * SLICE_ROWS; i++)
        put_template(&r, 0, i, "more");
    const struct compare *c = node_at(&r, 0)->compare;
    while (c->walking) /* one that began among fewer */
        run_ms(&r, 1);
    int64_t look = c->looks;
    int walked_ms = 0;
    for (int ms = 0; c->looks == look; ms++) {
        assert_true(ms < 200000);
        walked_ms += c->walking;
        run_ms(&r, 1);
    }
    assert_true(walked_ms >= 5 * PAUSE_MS);
    rig_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_look_goes_in_slices),
        cmocka_unit_test(in_steady_state_there_are_no_incidents),
        cmocka_unit_test(a_row_whose_bytes_changed),
        cmocka_unit_test(a_hash_that_changed),
        cmocka_unit_test(a_row_that_is_gone),
        cmocka_unit_test(a_version_that_is_gone),
        cmocka_unit_test(a_row_gone_with_its_version),
        cmocka_unit_test(a_row_that_went_back_in_time),
        cmocka_unit_test(one_version_with_two_contents),
        cmocka_unit_test(a_row_that_outlived_its_deletion),
        cmocka_unit_test(what_nobody_has_whole_stays_as_it_is),
        cmocka_unit_test(what_may_have_been_deleted_goes_aside),
        cmocka_unit_test(rot_on_the_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
