/* Deleting, in a simulated cluster: what becomes of tombstones, and of nodes that missed them. A "day" lasts
 * two minutes here.
 */
#include "rig.h"

#include "store/store.h"
#include "store/table.h"
#include "wire/row.h"

#define MIN_MS 20000
#define MAX_MS 120000

static void rig_new(struct rig *r, uint64_t seed, int nodes)
{
    struct sim_opts o = sim_opts_default(seed, nodes);
    o.tombstone_min_ms = MIN_MS;
    o.tombstone_max_ms = MAX_MS;
    o.loss_ppm = 0;
    rig_begin_opts(r, &o);
    run_ms(r, 5000);
}

static char *path_of(const char *kind, int i)
{
    return strcmp(kind, "t") == 0 ? mem_printf("/v1/templates/t%d", i)
                                  : mem_printf("/v1/swarms/default/names/n%d", i);
}

/* Both a row that the last writer wins and one that its epoch ranks. */
static void put(struct rig *r, int node, int i)
{
    AUTOFREE char *t = path_of("t", i), *name = path_of("n", i);
    int status = ask(r, node, HTTP_M_PUT, t, "{\"argv\":[\"/bin/x\"]}");
    if (status != 201 && status != 200)
        fail_msg("%s: %d %s", t, status, str_get(&r->body));
    status = ask(r, node, HTTP_M_PUT, name, "{\"address\":\"a:1\",\"ttl_ms\":86400000}");
    if (status != 201 && status != 200)
        fail_msg("%s: %d %s", name, status, str_get(&r->body));
}

static void del(struct rig *r, int node, int i)
{
    AUTOFREE char *t = path_of("t", i), *name = path_of("n", i);
    ask(r, node, HTTP_M_DELETE, t, NULL);
    assert_in_range(r->status, 200, 204);
    ask(r, node, HTTP_M_DELETE, name, NULL);
    assert_in_range(r->status, 200, 204);
}

static void there(struct rig *r, int node, int i, bool want)
{
    AUTOFREE char *t = path_of("t", i), *name = path_of("n", i);
    int a = ask(r, node, HTTP_M_GET, t, NULL), b = ask(r, node, HTTP_M_GET, name, NULL);
    if ((a == 200) != want || (b == 200) != want)
        fail_msg("%d at node %d: %d %d, wanted %s", i, node, a, b, want ? "there" : "gone");
}

/* So many rows, which everybody has. */
static void rig_filled(struct rig *r, uint64_t seed, int nodes, int rows)
{
    rig_new(r, seed, nodes);
    for (int i = 0; i < rows; i++)
        put(r, i % nodes, i);
    converge_within(r, 5000);
}

/* Until both sides have views of their own. */
static void isolate(struct rig *r, int node)
{
    split_off(r, node);
    run_ms(r, 45000);
}

#define LOGGED(r, i, type) rows_number((r), (i), "SELECT count(*) FROM log WHERE type = '" type "'")

/* ---- */

static void tombstones_go_once_all_have_them(void **state)
{
    (void)state;
    struct rig r;
    rig_new(&r, 1, 3);
    for (int i = 0; i < 5; i++)
        put(&r, i % 3, i);
    for (int i = 0; i < 5; i++)
        del(&r, (i + 1) % 3, i);
    run_ms(&r, 3000);
    for (int i = 0; i < 3; i++)
        assert_true(rows_number(&r, i, "SELECT count(*) FROM change WHERE dead = 1") >= 10);
    run_ms(&r, MIN_MS + 15000);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(rows_number(&r, i, "SELECT count(*) FROM change WHERE dead = 1 AND tbl <> 'news'"),
                         0);
        assert_true(rows_number(&r, i, "SELECT count(*) FROM gcvv") > 0);
        assert_int_equal(LOGGED(&r, i, "resync_started"), 0);
        there(&r, i, 2, false);
    }
    converge_within(&r, 5000);
    put(&r, 0, 2); /* and the key lives again */
    converge_within(&r, 5000);
    there(&r, 1, 2, true);
    rig_end(&r);
}

/* While a member is away they stay, until they are too old to wait for. */
static void a_member_that_is_away_is_waited_for(void **state)
{
    (void)state;
    struct rig r;
    rig_new(&r, 2, 3);
    put(&r, 0, 1);
    converge_within(&r, 5000);
    sim_crash(r.sim, 2);
    run_ms(&r, 5000);
    del(&r, 0, 1);
    run_ms(&r, MIN_MS + 20000);
    assert_true(rows_number(&r, 0, "SELECT count(*) FROM change WHERE dead = 1") > 0);
    sim_start(r.sim, 2);
    converge_within(&r, 20000);
    there(&r, 2, 1, false);
    run_ms(&r, 15000);
    assert_int_equal(rows_number(&r, 0, "SELECT count(*) FROM change WHERE dead = 1 AND tbl = 'template'"),
                     0);
    assert_int_equal(LOGGED(&r, 2, "resync_started"), 0);
    rig_end(&r);
}

static void who_was_away_for_too_long_copies(void **state)
{
    (void)state;
    for (uint64_t seed = 10; seed < 14; seed++) {
        struct rig r;
        rig_filled(&r, seed, 3, 8);
        sim_crash(r.sim, 2);
        run_ms(&r, 5000);
        for (int i = 0; i < 4; i++)
            del(&r, i % 2, i);
        put(&r, 0, 20);
        run_ms(&r, MAX_MS + 20000);
        assert_int_equal(
            rows_number(&r, 0, "SELECT count(*) FROM change WHERE dead = 1 AND tbl = 'template'"), 0);
        sim_start(r.sim, 2);
        converge_within(&r, 30000);
        assert_int_equal(LOGGED(&r, 2, "resync_done"), 1);
        assert_int_equal(LOGGED(&r, 0, "resync_started") + LOGGED(&r, 1, "resync_started"), 0);
        for (int node = 0; node < 3; node++) {
            for (int i = 0; i < 8; i++)
                there(&r, node, i, i >= 4);
            there(&r, node, 20, true);
        }
        rig_end(&r);
    }
}

/* Rows of a table that lie aside at a node, for they may have been deleted. */
static int64_t doubts(struct rig *r, int node)
{
    return rows_number(r, node,
                       "SELECT count(*) FROM aside WHERE why = '" STORE_ASIDE_AMBIGUOUS
                       "' AND tbl IN ('template', 'name')");
}

/* Its own writes in isolation stay, if no deletion that was dropped can have been about them. */
static void isolated_writes_are_kept(void **state)
{
    (void)state;
    for (uint64_t seed = 20; seed < 24; seed++) {
        struct rig r;
        rig_filled(&r, seed, 3, 4);
        isolate(&r, 2);
        del(&r, 0, 0);
        run_ms(&r, MAX_MS + 10000);
        put(&r, 2, 30); /* on both sides, for each of them may be the one that copies first */
        put(&r, 0, 31);
        sim_heal_all(r.sim);
        converge_within(&r, 60000);
        for (int node = 0; node < 3; node++) {
            there(&r, node, 0, false);
            there(&r, node, 1, true);
            there(&r, node, 30, true);
            there(&r, node, 31, true);
        }
        assert_int_equal(doubts(&r, 2), 0);
        rig_end(&r);
    }
}

/* Both sides deleted, and both dropped it: each copies from the other, nothing comes back. */
static void both_sides_may_be_behind(void **state)
{
    (void)state;
    for (uint64_t seed = 30; seed < 36; seed++) {
        struct rig r;
        rig_filled(&r, seed, 3, 6);
        isolate(&r, 2);
        del(&r, 0, 0);
        del(&r, 2, 1);
        put(&r, 0, 10);
        put(&r, 2, 11);
        run_ms(&r, MAX_MS + 10000);
        put(&r, 1, 12);
        put(&r, 2, 13);
        sim_heal_all(r.sim);
        converge_within(&r, 90000);
        for (int node = 0; node < 3; node++) {
            there(&r, node, 0, false);
            there(&r, node, 1, false);
            for (int i = 2; i < 6; i++)
                there(&r, node, i, true);
            there(&r, node, 12, true);
            there(&r, node, 13, true);
            assert_int_equal(
                rows_number(
                    &r, node,
                    "SELECT count(*) FROM aside WHERE key IN ('t0', 't1', 'default/n0', 'default/n1')"),
                0);
        }
        rig_end(&r);
    }
}

/* All have dropped what the others never saw, so that all want one and none calls itself a member: they copy
 * from each other, from who has what is missing, and wait for nobody. */
static void all_may_want_one_at_once(void **state)
{
    (void)state;
    for (uint64_t seed = 300; seed < 312; seed++) {
        struct rig r;
        int nodes = 2 + (int)(seed % 3);
        rig_filled(&r, seed, nodes, nodes);
        for (int i = 0; i < nodes; i++)
            split_off(&r, i);
        run_ms(&r, 45000);
        for (int i = 0; i < nodes; i++)
            del(&r, i, i);
        run_ms(&r, MAX_MS + 10000);
        sim_heal_all(r.sim);
        for (int64_t ms = 0; ms < 15000 && !agree(&r, nodes); ms += 100)
            run_ms(&r, 100);
        if (!agree(&r, nodes) || !same_everywhere(&r))
            fail_msg("seed %d: not equal 15 s after the heal", (int)seed);
        for (int i = 0; i < nodes; i++)
            there(&r, i, i, false);
        for (int i = 0; i < nodes; i++)
            assert_in_range(LOGGED(&r, i, "resync_started"), 0, nodes - 1);
        rig_end(&r);
    }
}

static int want_it(struct node *n, void *arg)
{
    return resync_want(n, NULL, arg);
}

/* As after a fault of all disks: nobody was told to want one by anybody. */
static void nobody_waits_for_a_member(void **state)
{
    (void)state;
    for (int nodes = 2; nodes <= 5; nodes++) {
        struct rig r;
        rig_filled(&r, 320, nodes, nodes);
        for (int i = 0; i < nodes; i++)
            split_off(&r, i);
        run_ms(&r, 45000);
        for (int i = 0; i < nodes; i++)
            assert_int_equal(node_transact(node_at(&r, i), want_it, (char[]){"a test"}), 0);
        sim_heal_all(r.sim);
        agree_within(&r, nodes, 15000);
        converge_within(&r, 1000);
        rig_end(&r);
    }
}

/* The row of that key, at that node: kept or dropped. */
static void decide(struct rig *r, int node, const char *tbl, const char *key, const char *decision)
{
    AUTOFREE char *path = mem_printf("/v1/quarantine/a:%s%%2F%s", tbl, key);
    AUTOFREE char *body = mem_printf("{\"decision\":\"%s\"}", decision);
    want(r, 200, node, HTTP_M_POST, path, body);
}

/* What nobody can tell is in no table, and in no silence either: every node has it aside, and one decision
 * settles it. */
static void what_may_have_been_deleted_is_set_aside(void **state)
{
    (void)state;
    struct rig r;
    rig_filled(&r, 40, 3, 1);
    isolate(&r, 2);
    put(&r, 2, 50); /* before the deletion over there */
    run_ms(&r, 1000);
    del(&r, 0, 0);
    run_ms(&r, MAX_MS + 20000);
    sim_heal_all(r.sim);
    converge_within(&r, 60000);
    for (int node = 0; node < 3; node++) {
        assert_int_equal(doubts(&r, node), 2);
        assert_int_equal(rows_number(&r, node, "SELECT count(*) FROM quarantine"), 0);
        there(&r, node, 0, false);
        there(&r, node, 50, false);
    }
    decide(&r, 0, "template", "t50", "keep");
    decide(&r, 1, "name", "default%2Fn50", "drop");
    converge_within(&r, 5000);
    for (int node = 0; node < 3; node++) {
        assert_int_equal(doubts(&r, node), 0);
        want(&r, 200, node, HTTP_M_GET, "/v1/templates/t50", NULL);
        want(&r, 404, node, HTTP_M_GET, "/v1/swarms/default/names/n50", NULL);
    }
    rig_end(&r);
}

/* Both sides deleted and dropped, and both wrote before: what each has alone is in doubt at both, whoever
 * copies first, and also for who had it and for who comes later. */
static void both_sides_are_in_doubt_about_the_same(void **state)
{
    (void)state;
    for (uint64_t seed = 100; seed < 108; seed++) {
        struct rig r;
        int alone = (int)(seed % 4);
        rig_filled(&r, seed, 4, 4);
        isolate(&r, alone);
        put(&r, (alone + 1) % 4, 50);
        put(&r, alone, 51);
        run_ms(&r, 1000);
        del(&r, (alone + 1) % 4, 0);
        del(&r, alone, 1);
        run_ms(&r, MAX_MS + 20000);
        put(&r, (alone + 1) % 4, 60); /* younger than what was dropped */
        put(&r, alone, 61);
        sim_heal_all(r.sim);
        converge_within(&r, 120000);
        sim_crash(r.sim, (alone + 2) % 4);
        sim_wipe(r.sim, (alone + 2) % 4);
        run_ms(&r, 2000);
        sim_start(r.sim, (alone + 2) % 4); /* it copies, and has no doubts of its own */
        converge_within(&r, 60000);
        for (int node = 0; node < 4; node++) {
            assert_int_equal(doubts(&r, node), 4);
            for (int i = 0; i < 4; i++)
                there(&r, node, i, i > 1);
            there(&r, node, 50, false);
            there(&r, node, 51, false);
            there(&r, node, 60, true);
            there(&r, node, 61, true);
        }
        decide(&r, alone, "template", "t50", "keep");
        decide(&r, alone, "template", "t51", "drop");
        decide(&r, alone, "name", "default%2Fn50", "keep");
        decide(&r, alone, "name", "default%2Fn51", "drop");
        converge_within(&r, 5000);
        for (int node = 0; node < 4; node++) {
            assert_int_equal(doubts(&r, node), 0);
            there(&r, node, 50, true);
            there(&r, node, 51, false);
        }
        rig_end(&r);
    }
}

/* A node that copies from one which has a doubt takes it over at once, whatever it had: nobody waits for the
 * comparison of all rows. */
static void what_both_have_and_one_doubts_is_in_doubt(void **state)
{
    (void)state;
    struct rig r;
    struct err e = {0};
    rig_new(&r, 43, 2);
    put(&r, 0, 0);
    put(&r, 0, 1);
    converge_within(&r, 5000);
    split_off(&r, 1);
    struct store *has = node_store(node_at(&r, 0)), *copies = node_store(node_at(&r, 1));
    assert_int_equal(db_begin(store_db(has), &e), 0);
    assert_int_equal(store_doubt(has, (struct span){"template", 8}, (struct span){"t0", 2}, &e), 1);
    assert_int_equal(db_commit(store_db(has), &e), 0);
    assert_int_equal(db_begin(store_db(copies), &e), 0);
    assert_int_equal(store_meta_set(copies, "resync", "a test", &e), 0);
    assert_int_equal(db_commit(store_db(copies), &e), 0);
    sim_crash(r.sim, 1);
    sim_heal_all(r.sim);
    sim_start(r.sim, 1);
    for (int ms = 0; ms < 20000 && LOGGED(&r, 1, "resync_done") == 0; ms++)
        run_ms(&r, 1);
    assert_int_equal(doubts(&r, 1), 1);
    want(&r, 404, 1, HTTP_M_GET, "/v1/templates/t0", NULL);
    there(&r, 1, 1, true);
    rig_end(&r);
}

/* Renewed later than the removal over there, but under an epoch that the next owner there had left behind:
 * the tombstone would have won. */
static void a_name_renewed_under_an_old_epoch_is_in_doubt(void **state)
{
    (void)state;
    static const char path[] = "/v1/swarms/default/names/n0", address[] = "{\"address\":\"a:1\"}";
    struct rig r;
    rig_new(&r, 42, 3);
    put(&r, 2, 0);
    converge_within(&r, 5000);
    isolate(&r, 2);
    del(&r, 0, 0);
    want(&r, 201, 0, HTTP_M_PUT, path, address);
    want(&r, 200, 0, HTTP_M_DELETE, path, NULL);
    run_ms(&r, 10000);
    want(&r, 200, 2, HTTP_M_PUT, path, address);
    run_ms(&r, MAX_MS + 10000);
    sim_heal_all(r.sim);
    converge_within(&r, 60000);
    for (int node = 0; node < 3; node++)
        want(&r, 404, node, HTTP_M_GET, path, NULL);
    rig_end(&r);
}

/* As if deletions were dropped a moment ago; those that every node knows, for gcvv says nothing of them. */
static void floor_raise(struct rig *r, int node)
{
    struct store *s = node_store(node_at(r, node));
    struct err e = {0};
    assert_int_equal(db_begin(store_db(s), &e), 0);
    assert_int_equal(store_gc_raise(s, 0, store_hlc(s), &e), 0);
    if (node == 2)
        assert_int_equal(store_meta_set(s, "resync", "a test", &e), 0);
    assert_int_equal(db_commit(store_db(s), &e), 0);
}

/* Who has seen every deletion that the other side dropped has no doubts: what that side lacks was not deleted
 * there. */
static void who_knows_all_deletions_has_no_doubts(void **state)
{
    (void)state;
    struct rig r;
    rig_filled(&r, 41, 3, 1);
    split_off(&r, 2);
    put(&r, 2, 50);
    put(&r, 0, 51);
    run_ms(&r, 2000);
    for (int node = 0; node < 3; node++)
        floor_raise(&r, node);
    sim_crash(r.sim, 2);
    sim_heal_all(r.sim);
    sim_start(r.sim, 2);
    converge_within(&r, 40000);
    assert_int_equal(LOGGED(&r, 2, "resync_done"), 1);
    for (int node = 0; node < 3; node++) {
        assert_int_equal(doubts(&r, node), 0);
        there(&r, node, 0, true);
        there(&r, node, 50, true);
        there(&r, node, 51, true);
    }
    rig_end(&r);
}

static void a_new_node_learns_of_nothing_that_was_deleted(void **state)
{
    (void)state;
    struct rig r;
    rig_new(&r, 50, 3);
    for (int i = 0; i < 3; i++)
        put(&r, i, i);
    del(&r, 0, 1);
    run_ms(&r, MIN_MS + 15000);
    assert_true(rows_number(&r, 0, "SELECT count(*) FROM gcvv") > 0);
    sim_crash(r.sim, 2);
    sim_wipe(r.sim, 2);
    run_ms(&r, 5000);
    sim_start(r.sim, 2);
    converge_within(&r, 30000);
    assert_int_equal(LOGGED(&r, 2, "resync_done"), 1);
    there(&r, 2, 0, true);
    there(&r, 2, 1, false);
    rig_end(&r);
}

/* An old backup of the files: what was deleted since stays deleted, what it wrote since comes back. */
static void an_old_backup_revives_nothing(void **state)
{
    (void)state;
    for (uint64_t seed = 60; seed < 66; seed++) {
        struct rig r;
        rig_new(&r, seed, 3);
        for (int i = 0; i < 6; i++)
            put(&r, 2, i);
        converge_within(&r, 5000);
        struct sim_backup *old = sim_backup_new(r.sim, 2);
        put(&r, 2, 20);
        for (int i = 0; i < 3; i++)
            del(&r, i, i);
        run_ms(&r, seed % 2 ? MIN_MS + 15000 : 2000);
        sim_crash(r.sim, 2);
        run_ms(&r, 3000);
        sim_restore(r.sim, 2, old);
        sim_backup_free(old);
        sim_start(r.sim, 2);
        converge_within(&r, 40000);
        for (int node = 0; node < 3; node++) {
            for (int i = 0; i < 6; i++)
                there(&r, node, i, i >= 3);
            there(&r, node, 20, true);
        }
        assert_int_equal(LOGGED(&r, 2, "resync_done"), 1);
        rig_end(&r);
    }
}

/* Thousands of rows, the peer dies in the midst, then the node itself: it goes on, and ends equal. */
static void it_goes_on_after_a_crash(void **state)
{
    (void)state;
    for (uint64_t seed = 70; seed < 74; seed++) {
        struct rig r;
        rig_new(&r, seed, 3);
        AUTOFREE char *big = mem_alloc(8001);
        memset(big, 'x', 8000);
        AUTOFREE char *body = mem_printf("{\"argv\":[\"/bin/x\",\"%s\"]}", big);
        for (int i = 0; i < 120; i++) {
            AUTOFREE char *t = path_of("t", i);
            assert_int_equal(ask(&r, i % 3, HTTP_M_PUT, t, body), 201);
        }
        converge_within(&r, 5000);
        sim_crash(r.sim, 2);
        run_ms(&r, 3000);
        for (int i = 0; i < 20; i++) {
            AUTOFREE char *t = path_of("t", i * 5);
            ask(&r, i % 2, HTTP_M_DELETE, t, NULL);
            assert_in_range(r.status, 200, 204);
        }
        run_ms(&r, MAX_MS + 20000);
        sim_start(r.sim, 2);
        for (int ms = 0; ms < 20000 && !(node_at(&r, 2)->resync.active && node_at(&r, 2)->resync.taken >= 0 &&
                                         node_at(&r, 2)->resync.key);
             ms++)
            run_ms(&r, 1);
        assert_true(node_at(&r, 2)->resync.active);
        int from = id_equal(&node_at(&r, 2)->resync.from, &node_at(&r, 0)->self) ? 0 : 1;
        sim_crash(r.sim, seed % 2 ? 2 : from);
        run_ms(&r, 2000);
        sim_start(r.sim, seed % 2 ? 2 : from);
        for (int ms = 0; seed % 2 && ms < 3000 && !node_at(&r, 2)->resync.wanted; ms++)
            run_ms(&r, 1);
        if (seed % 2) /* the way so far is on disk */
            assert_true(node_at(&r, 2)->resync.active && node_at(&r, 2)->resync.key);
        converge_within(&r, 60000);
        for (int i = 0; i < 120; i++) {
            AUTOFREE char *t = path_of("t", i);
            assert_int_equal(ask(&r, 2, HTTP_M_GET, t, NULL), i % 5 == 0 && i < 100 ? 404 : 200);
        }
        rig_end(&r);
    }
}

/* Runs that have ended leave nothing behind, once everybody knows their end. */
static void restarts_are_forgotten(void **state)
{
    (void)state;
    struct rig r;
    rig_new(&r, 80, 3);
    for (int i = 0; i < 60; i++) {
        sim_crash(r.sim, 2);
        run_ms(&r, 300);
        sim_start(r.sim, 2);
        run_ms(&r, 700);
    }
    converge_within(&r, 10000);
    assert_true(rows_number(&r, 0, "SELECT count(*) FROM vv") > 30);
    put(&r, 2, 1);
    run_ms(&r, 4 * MIN_MS);
    for (int i = 0; i < 3; i++) {
        assert_in_range(rows_number(&r, i, "SELECT count(*) FROM actor"), 3, 4);
        assert_in_range(rows_number(&r, i, "SELECT count(*) FROM vv"), 3, 6);
        assert_true(node_at(&r, i)->vv.floor > 0);
        assert_int_equal(LOGGED(&r, i, "resync_started"), 0);
    }
    converge_within(&r, 5000);
    sim_crash(r.sim, 1); /* what is on disk of it says the same */
    run_ms(&r, 1000);
    sim_start(r.sim, 1);
    put(&r, 1, 2);
    converge_within(&r, 10000);
    there(&r, 0, 2, true);
    assert_int_equal(LOGGED(&r, 1, "resync_started"), 0);
    rig_end(&r);
}

/* ---- more restarts than anybody counts ---- */

static struct {
    int pulls;
    size_t bytes, most;
} asked;

static bool count_request(void *brain, struct request *r)
{
    if (strcmp(r->path, "/v1/peer/pull") == 0) {
        asked.pulls++;
        asked.bytes += r->body_n;
        asked.most = r->body_n > asked.most ? r->body_n : asked.most;
    }
    return sim_brain_node.request(brain, r);
}

#define RUNS_EACH 50 /* in five seconds; a hundred may end in as many */

/* What so many earlier runs of this node would have left in its file, each a row that says that it was. */
static int runs_written(struct node *n, void *arg)
{
    const struct table *t = table_get(T_ACTOR);
    int64_t first = *(int64_t *)arg;
    struct span self = {n->self_text, strlen(n->self_text)};
    int rc = 0;
    for (int64_t i = first; rc == 0 && i < first + RUNS_EACH; i++) {
        AUTOSTR struct str bytes = STR_INIT, key = STR_INIT;
        struct val vals[] = {{.type = VAL_INT, .i = i},
                             {.type = VAL_TEXT, .p = self.p, .n = self.n},
                             {.type = VAL_INT, .i = n->real_ms},
                             {.type = VAL_TEXT, .p = self.p, .n = self.n}};
        struct remote_row row = {
            .t = T_ACTOR, .tbl = {t->name, strlen(t->name)}, .stamp = {0, store_stamp(n->store), i}};
        enum merged how;
        row_encode(&bytes, t->cols, vals, COUNT(vals), (struct span){NULL, 0});
        str_printf(&key, "%lld", (long long)i);
        row.bytes = (struct span){str_get(&bytes), bytes.n};
        row.key = (struct span){str_get(&key), key.n};
        rc = store_merge(n->store, &row, &how, &n->fault);
        if (rc == 0)
            rc = store_vv_raise(n->store, i, row.stamp.hlc, &n->fault);
        vv_raise(&n->vv, i, row.stamp.hlc);
    }
    return rc;
}

static void counted_s(struct rig *r, int s)
{
    memset(&asked, 0, sizeof asked);
    run_ms(r, 1000 * s);
}

/* SKEP_RESTARTS=100000 is what docs/benchmarks.md tells of. */
static void a_node_may_restart_for_ever(void **state)
{
    (void)state;
    static struct sim_brain brain;
    struct rig r;
    const char *many = getenv("SKEP_RESTARTS");
    int64_t runs = many ? atoll(many) : 1000, known = 0, most = 0, asked_most = 0;
    struct sim_opts o = rig_opts(81, 3); /* a pull that breaks makes the next one say all */
    o.tombstone_min_ms = MIN_MS;
    o.tombstone_max_ms = MAX_MS;
    brain = sim_brain_node;
    brain.request = count_request;
    rig_begin_brain(&r, &o, &brain);
    run_ms(&r, 5000);
    counted_s(&r, 10);
    size_t idle = asked.bytes;
    for (int64_t i = 1; i <= runs; i += RUNS_EACH) {
        assert_int_equal(node_transact(node_at(&r, 2), runs_written, &i), 0);
        counted_s(&r, 5);
        known = rows_number(&r, 0, "SELECT count(*) FROM vv");
        most = known > most ? known : most;
        asked_most = (int64_t)asked.most > asked_most ? (int64_t)asked.most : asked_most;
    }
    assert_in_range(most, 100, 1000);                /* of those of a minute and a half */
    assert_in_range(asked_most, 1, 200 + 33 * most); /* at times one says all that it has, and dropped */
    run_ms(&r, 4 * MIN_MS + 20000);
    counted_s(&r, 10);
    print_message(
        "%lld runs: %lld known at most, %lld bytes the longest request; then %zu bytes in 10 s, %zu "
        "without them\n",
        (long long)runs, (long long)most, (long long)asked_most, asked.bytes, idle);
    for (int i = 0; i < 3; i++) {
        assert_in_range(rows_number(&r, i, "SELECT count(*) FROM actor"), 3, 6);
        assert_in_range(rows_number(&r, i, "SELECT count(*) FROM vv"), 3, 10);
        assert_int_equal(LOGGED(&r, i, "resync_started"), 0);
    }
    assert_in_range(asked.bytes, 1, idle * 5 / 4);
    digests_equal(&r);
    rig_end(&r);
}

/* It died between two pages: the others have rows of it that no vector proves until it is back. They have
 * told each other, and need not do so over and over. */
static void who_died_in_the_middle_of_a_chain_costs_the_others_nothing(void **state)
{
    (void)state;
    static struct sim_brain brain;
    struct rig r;
    struct sim_opts o = rig_opts(82, 3);
    brain = sim_brain_node;
    brain.request = count_request;
    rig_begin_brain(&r, &o, &brain);
    run_ms(&r, 5000);
    isolate(&r, 2);
    for (int i = 0; i < 400; i++)
        put(&r, 2, i);
    sim_heal(r.sim, 0, 2);
    sim_heal(r.sim, 2, 0);
    while (rows_number(&r, 0, "SELECT count(*) FROM template") == 0)
        assert_true(sim_run(r.sim, sim_now_us(r.sim) + 100));
    sim_crash(r.sim, 2);
    assert_true(rows_number(&r, 0, "SELECT count(*) FROM template") < 400);
    sim_heal_all(r.sim);
    run_ms(&r, 5000);
    assert_int_equal(rows_number(&r, 0, "SELECT count(*) FROM template"),
                     rows_number(&r, 1, "SELECT count(*) FROM template"));
    counted_s(&r, 10);
    assert_in_range(asked.pulls, 1, 60);
    assert_true(sim_start(r.sim, 2));
    converge_within(&r, 10000);
    there(&r, 1, 399, true);
    rig_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tombstones_go_once_all_have_them),
        cmocka_unit_test(a_member_that_is_away_is_waited_for),
        cmocka_unit_test(who_was_away_for_too_long_copies),
        cmocka_unit_test(isolated_writes_are_kept),
        cmocka_unit_test(both_sides_may_be_behind),
        cmocka_unit_test(all_may_want_one_at_once),
        cmocka_unit_test(nobody_waits_for_a_member),
        cmocka_unit_test(what_may_have_been_deleted_is_set_aside),
        cmocka_unit_test(both_sides_are_in_doubt_about_the_same),
        cmocka_unit_test(what_both_have_and_one_doubts_is_in_doubt),
        cmocka_unit_test(a_name_renewed_under_an_old_epoch_is_in_doubt),
        cmocka_unit_test(who_knows_all_deletions_has_no_doubts),
        cmocka_unit_test(a_new_node_learns_of_nothing_that_was_deleted),
        cmocka_unit_test(an_old_backup_revives_nothing),
        cmocka_unit_test(it_goes_on_after_a_crash),
        cmocka_unit_test(restarts_are_forgotten),
        cmocka_unit_test(a_node_may_restart_for_ever),
        cmocka_unit_test(who_died_in_the_middle_of_a_chain_costs_the_others_nothing),
    };
    cmocka_set_test_filter(getenv("SKEP_TEST"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
