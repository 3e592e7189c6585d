/* Sessions that end on one side of a split and go on on the other, that are made again under the id of one
 * that was ended, and whose entries are sent again, in another order: clusters of real brains.
 */
#include "rig.h"

#define TALK  "/v1/sessions/talk"
#define SAYS  "{\"role\":\"user\",\"content\":\"%s\"}"
#define KEEPS 30000 /* ms that tombstones are kept in these clusters */

static void begin(struct rig *r, uint64_t seed)
{
    struct sim_opts o = rig_opts(seed, 3);
    o.unique_names = false;
    o.tombstone_min_ms = KEEPS;
    o.spare = 1;
    rig_begin_opts(r, &o);
    agree_within(r, 3, 3000);
}

/* The last node away from the two others, until each side may take what the other one owned. */
static void split(struct rig *r)
{
    split_off(r, 2);
    run_ms(r, 50000);
}

static void heal(struct rig *r)
{
    sim_heal_all(r->sim);
    agree_within(r, 3, 40000);
}

static int said_as(struct rig *r, int node, const char *what, const char *key)
{
    AUTOFREE char *body = mem_printf(SAYS, what);
    struct sim_ask a = {.node = node,
                        .method = HTTP_M_POST,
                        .path = TALK "/entries",
                        .body = body,
                        .key = key,
                        .timeout_ms = 60000,
                        .done = rig_answered,
                        .arg = r};
    r->answered = false;
    sim_ask(r->sim, &a);
    for (int i = 0; i < 60001 && !r->answered; i++)
        run_ms(r, 1);
    return r->status;
}

static void say_as(struct rig *r, int node, const char *what, const char *key)
{
    assert_int_equal(said_as(r, node, what, key), 201);
}

static bool says(struct rig *r, const char *what)
{
    AUTOFREE char *content = mem_printf("\"%s\"", what);
    return strstr(str_get(&r->body), content) != NULL;
}

static void made(struct rig *r, int node)
{
    want(r, 201, node, HTTP_M_POST, "/v1/sessions", "{\"id\":\"talk\"}");
}

/* ---- ended here, alive there ---- */

/* Whoever sees the session sees all of it. */
static void whole_at(struct rig *r, int node, const char *turn)
{
    AUTOFREE char *path = mem_printf(TALK "/turns/%s", turn);
    if (ask(r, node, HTTP_M_GET, TALK, NULL) == 404)
        return;
    want(r, 200, node, HTTP_M_GET, TALK "/entries", NULL);
    assert_true(says(r, "first") && says(r, "second"));
    want(r, 200, node, HTTP_M_GET, TALK "/state", NULL);
    assert_true(says(r, "saved"));
    want(r, 200, node, HTTP_M_GET, path, NULL);
}

static void what_was_ended_here_and_lives_there_is_whole(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 401);
    made(&r, 0);
    say_as(&r, 0, "first", "1");
    say_as(&r, 1, "second", "2");
    want(&r, 200, 0, HTTP_M_PUT, TALK "/state", "{\"state\":\"saved\"}");
    want(&r, 202, 0, HTTP_M_POST, TALK "/turns", "{\"input\":\"turned\",\"wait\":false}");
    AUTOFREE char *turn = mem_dup(member(&r, "turn"));
    run_ms(&r, 2000);
    split(&r);
    want(&r, 200, 2, HTTP_M_DELETE, TALK, NULL);
    want(&r, 404, 2, HTTP_M_GET, TALK, NULL);
    run_ms(&r, 100);
    want(&r, 200, 1, HTTP_M_POST, TALK "/claim", "{}");
    say_as(&r, 1, "third", "3");
    sim_heal_all(r.sim);
    for (int ms = 0; ms < 10000; ms += 20, run_ms(&r, 20))
        whole_at(&r, 2, turn);
    for (int i = 0; i < 3; i++) {
        whole_at(&r, i, turn);
        want(&r, 200, i, HTTP_M_GET, TALK "/entries", NULL);
        assert_true(says(&r, "third"));
        assert_int_equal(events(&r, i, "row_late"), 0);
    }
    digests_equal(&r);
    rig_end(&r);
}

/* A node that joins on the side where it was ended gets what lies idle there, and nothing else. */
static void who_joins_meanwhile_gets_all_of_it(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 402);
    made(&r, 0);
    say_as(&r, 0, "first", "1");
    say_as(&r, 0, "second", "2");
    run_ms(&r, 2000);
    split(&r);
    want(&r, 200, 2, HTTP_M_DELETE, TALK, NULL);
    run_ms(&r, 100);
    want(&r, 200, 1, HTTP_M_POST, TALK "/claim", "{}");
    int newcomer = sim_add(r.sim);
    for (int i = 0; i < 2; i++) {
        sim_cut(r.sim, i, newcomer);
        sim_cut(r.sim, newcomer, i);
    }
    assert_true(sim_start(r.sim, newcomer));
    run_ms(&r, 10000);
    want(&r, 404, newcomer, HTTP_M_GET, TALK, NULL);
    assert_int_equal(rows_number(&r, newcomer, "SELECT count(*) FROM entry"), 2);
    sim_heal_all(r.sim);
    agree_within(&r, 4, 40000);
    run_ms(&r, 3000);
    for (int i = 0; i < 4; i++) {
        want(&r, 200, i, HTTP_M_GET, TALK "/entries", NULL);
        assert_true(says(&r, "first") && says(&r, "second"));
    }
    digests_equal(&r);
    rig_end(&r);
}

/* Links to the last node on which a pull of more than a few pages takes longer than a round of gc. */
static void slow_links(struct rig *r)
{
    const struct sim_link slow = {.delay = {200000, 200000}};
    for (int i = 0; i < 2; i++) {
        sim_link(r->sim, i, 2, &slow);
        sim_link(r->sim, 2, i, &slow);
    }
}

/* After the heal all know of the end before the node where it was ended knows of the claim: much comes with
 * that, and the tombstone is old enough to go. */
static void it_is_kept_until_the_claim_is_here(void **state)
{
    (void)state;
    struct rig r;
    char much[100001];
    memset(much, 'x', sizeof much);
    much[sizeof much - 1] = 0;
    begin(&r, 415);
    made(&r, 0);
    say_as(&r, 0, "first", "1");
    say_as(&r, 1, "second", "2");
    run_ms(&r, 2000);
    split(&r);
    want(&r, 200, 2, HTTP_M_DELETE, TALK, NULL);
    run_ms(&r, 100);
    want(&r, 200, 1, HTTP_M_POST, TALK "/claim", "{}");
    for (int i = 0; i < 80; i++) {
        AUTOFREE char *key = mem_printf("more-%d", i);
        say_as(&r, 1, much, key);
    }
    run_ms(&r, KEEPS);
    sim_heal_all(r.sim);
    slow_links(&r);
    run_ms(&r, 20000);
    sim_heal_all(r.sim);
    converge_within(&r, 40000);
    for (int i = 0; i < 3; i++) {
        want(&r, 200, i, HTTP_M_GET, TALK "/entries?limit=10", NULL);
        assert_int_equal(rows_number(&r, i, "SELECT count(*) FROM entry"), 82);
        assert_int_equal(events(&r, i, "row_late") + events(&r, i, "row_set_aside"), 0);
    }
    rig_end(&r);
}

static int64_t rows_left(struct rig *r, int node)
{
    return rows_number(r, node,
                       "SELECT (SELECT count(*) FROM entry) + (SELECT count(*) FROM turn) + "
                       "(SELECT count(*) FROM session_state)");
}

static bool nothing_left(struct rig *r)
{
    return rows_left(r, 0) + rows_left(r, 1) + rows_left(r, 2) == 0;
}

static void what_an_ended_one_leaves_goes_with_its_tombstone(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 403);
    made(&r, 0);
    say_as(&r, 0, "first", "1");
    want(&r, 200, 0, HTTP_M_PUT, TALK "/state", "{\"state\":\"saved\"}");
    want(&r, 202, 1, HTTP_M_POST, TALK "/turns", "{\"input\":\"turned\",\"wait\":false}");
    AUTOFREE char *turn = mem_printf(TALK "/turns/%s", member(&r, "turn"));
    run_ms(&r, 2000);
    want(&r, 200, 1, HTTP_M_DELETE, TALK, NULL);
    converge_within(&r, 3000);
    for (int i = 0; i < 3; i++) {
        assert_true(rows_left(&r, i) > 0);
        want(&r, 404, i, HTTP_M_GET, TALK, NULL);
        want(&r, 404, i, HTTP_M_GET, TALK "/state", NULL);
        want(&r, 404, i, HTTP_M_GET, turn, NULL);
        want(&r, 200, i, HTTP_M_GET, TALK "/turns", NULL);
        assert_false(says(&r, "turned"));
        want(&r, 200, i, HTTP_M_GET, TALK "/entries", NULL);
        assert_false(says(&r, "first"));
    }
    for (int ms = 0; ms < 4 * KEEPS && !nothing_left(&r); ms += 1000) {
        digests_equal(&r); /* also while it is gone on some of them only */
        run_ms(&r, 1000);
    }
    assert_true(nothing_left(&r));
    run_ms(&r, 150000);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(events(&r, i, "row_late"), 0);
        assert_int_equal(rows_left(&r, i), 0);
    }
    rig_end(&r);
}

/* ---- another life ---- */

/* One that was away while the session ended and was made again has rows of the former life. */
static void a_new_life_has_nothing_of_the_former_one(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 404);
    made(&r, 0);
    say_as(&r, 0, "old", "1");
    want(&r, 200, 0, HTTP_M_PUT, TALK "/state", "{\"state\":\"saved\"}");
    want(&r, 202, 0, HTTP_M_POST, TALK "/turns", "{\"input\":\"turned\",\"wait\":false}");
    run_ms(&r, 2000);
    split_off(&r, 2);
    run_ms(&r, 1000);
    want(&r, 200, 0, HTTP_M_DELETE, TALK, NULL);
    made(&r, 1);
    say_as(&r, 0, "other", "0");
    say_as(&r, 0, "new", "2");
    sim_heal_all(r.sim);
    agree_within(&r, 3, 40000);
    converge_within(&r, 5000);
    for (int i = 0; i < 3; i++) {
        want(&r, 200, i, HTTP_M_GET, TALK "/entries", NULL);
        assert_true(says(&r, "other") && says(&r, "new"));
        assert_false(says(&r, "old"));
        want(&r, 200, i, HTTP_M_GET, TALK "/branches", NULL);
        assert_null(strstr(str_get(&r.body), "\"head\""));
        want(&r, 200, i, HTTP_M_GET, TALK "/turns", NULL);
        assert_false(says(&r, "turned"));
        want(&r, 200, i, HTTP_M_GET, TALK "/state", NULL);
        assert_false(says(&r, "saved"));
        assert_int_equal(rows_left(&r, i), 2);
    }
    run_ms(&r, 150000);
    for (int i = 0; i < 3; i++)
        assert_int_equal(events(&r, i, "row_late"), 0);
    rig_end(&r);
}

/* ---- sent again ---- */

static void entries_sent_again_in_another_order_make_no_ring(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 405);
    made(&r, 0);
    say_as(&r, 0, "root", "0");
    run_ms(&r, 2000);
    split(&r);
    say_as(&r, 0, "a", "A"); /* behind the root */
    run_ms(&r, 1000);        /* more than clocks differ */
    say_as(&r, 2, "b", "B"); /* behind the root */
    run_ms(&r, 1000);
    say_as(&r, 0, "b", "B"); /* behind a */
    run_ms(&r, 1000);
    say_as(&r, 2, "a", "A"); /* behind b: each side's newer one has the other one for its parent */
    say_as(&r, 0, "end", "0E");
    say_as(&r, 2, "end", "2E");
    heal(&r);
    converge_within(&r, 5000);
    for (int i = 0; i < 3; i++) {
        want(&r, 200, i, HTTP_M_GET, TALK "/entries", NULL);
        assert_true(says(&r, "root") && says(&r, "end") && (says(&r, "a") || says(&r, "b")));
        assert_int_equal(rows_number(&r, i, "SELECT count(*) FROM entry WHERE content IN ('\"a\"', '\"b\"')"),
                         2);
        assert_int_equal(rows_number(&r, i,
                                     "SELECT count(*) FROM entry e JOIN entry p ON p.entry = e.parent "
                                     "WHERE p.seq >= e.seq"),
                         0);
    }
    rig_end(&r);
}

static void what_is_sent_again_is_logged_once(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 406);
    made(&r, 0);
    for (int i = 0; i < 3; i++)
        say_as(&r, i, "once", "1");
    assert_int_equal(events(&r, 0, "entry_appended"), 1);
    say_as(&r, 1, "twice", "2");
    assert_int_equal(events(&r, 0, "entry_appended"), 2);
    rig_end(&r);
}

/* Within the time that answers are kept a key is one request: a repeat gets the first answer, also after the
 * end of the session; a new life under the id is told that the key is not new, and nothing is left out
 * unsaid. */
static void a_key_of_a_former_life_is_refused(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 413);
    made(&r, 0);
    say_as(&r, 0, "first", "1");
    AUTOFREE char *id = mem_dup(member(&r, "id"));
    say_as(&r, 1, "first", "1");
    assert_string_equal(member(&r, "id"), id);
    want(&r, 200, 1, HTTP_M_DELETE, TALK, NULL);
    run_ms(&r, 1000);
    say_as(&r, 1, "first", "1");
    assert_string_equal(member(&r, "id"), id);
    made(&r, 1);
    run_ms(&r, 1000);
    for (int node = 0; node < 3; node++) {
        assert_int_equal(said_as(&r, node, "first", "1"), 409);
        assert_string_equal(member(&r, "code"), "key_reused");
    }
    run_ms(&r, 2 * KEEPS); /* its tombstone is no more */
    assert_int_equal(said_as(&r, 2, "first", "1"), 409);
    say_as(&r, 2, "first", "2");
    want(&r, 200, 0, HTTP_M_GET, TALK "/entries", NULL);
    assert_true(says(&r, "first"));
    rig_end(&r);
}

/* ---- a claim without a session ---- */

static int64_t epoch_at(struct rig *r, int node, const char *table)
{
    AUTOFREE char *sql = mem_printf("SELECT epoch FROM %s", table);
    return rows_number(r, node, sql);
}

/* Claimed on one side of a split while it is ended on the other. Who claims it dies before it has written it
 * under that claim, or before anybody has seen that: the claim is the greater row, the session the lesser
 * one. */
static void claimed_and_lost(struct rig *r, bool possessed)
{
    static const char rows[] = "SELECT (SELECT count(*) FROM name) + (SELECT count(*) FROM session)";
    made(r, 2);
    run_ms(r, 2000);
    split(r);
    want(r, 200, 2, HTTP_M_DELETE, TALK, NULL);
    struct id at = own_home(node_at(r, 0), "", "talk");
    int home = id_equal(&at, &node_at(r, 0)->self) ? 0 : 1, other = 1 - home;
    struct sim_ask a = {.node = other,
                        .method = HTTP_M_POST,
                        .path = TALK "/claim",
                        .body = "{}",
                        .timeout_ms = 60000,
                        .done = rig_answered,
                        .arg = r};
    sim_ask(r->sim, &a);
    int64_t before = epoch_at(r, home, "name");
    while (possessed ? epoch_at(r, other, "session") == before : epoch_at(r, home, "name") == before)
        assert_true(sim_run(r->sim, sim_now_us(r->sim) + 50));
    assert_int_equal(epoch_at(r, home, "session"), before);
    sim_crash(r->sim, other);
    sim_heal_all(r->sim);
    agree_within(r, 2, 40000);
    run_ms(r, 3000);
    assert_int_equal(rows_number(r, 2, rows), 0);
    assert_true(sim_start(r->sim, other));
    agree_within(r, 3, 40000);
    run_ms(r, 3000);
    for (int i = 0; i < 3; i++)
        assert_int_equal(rows_number(r, i, rows), 0);
}

static void a_claim_goes_with_its_session(void **state)
{
    (void)state;
    for (int possessed = 0; possessed < 2; possessed++) {
        struct rig r;
        begin(&r, 411);
        claimed_and_lost(&r, possessed);
        want(&r, 404, 2, HTTP_M_DELETE, TALK, NULL);
        made(&r, 2);
        say_as(&r, 2, "anew", "1");
        want(&r, 200, 2, HTTP_M_DELETE, TALK, NULL);
        digests_equal(&r);
        rig_end(&r);
    }
}

static void forgets_session(struct rig *r, int node)
{
    struct db *db = store_db(node_store(node_at(r, node)));
    assert_int_equal(db_exec(db, "DELETE FROM session; DELETE FROM change WHERE tbl = 'session'", NULL), 0);
}

/* Its owner died when its claim had left, and the session had not: who asks for the id later gets it. */
static void an_id_whose_session_never_came_is_free_again(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 412);
    made(&r, 2);
    run_ms(&r, 2000);
    sim_crash(r.sim, 2);
    agree_within(&r, 2, 40000);
    forgets_session(&r, 0);
    forgets_session(&r, 1);
    want(&r, 409, 0, HTTP_M_POST, "/v1/sessions", "{\"id\":\"talk\"}");
    run_ms(&r, KEEPS);
    made(&r, 0);
    say_as(&r, 1, "anew", "1");
    sim_retire(r.sim, 2);
    rig_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_ended_here_and_lives_there_is_whole),
        cmocka_unit_test(it_is_kept_until_the_claim_is_here),
        cmocka_unit_test(who_joins_meanwhile_gets_all_of_it),
        cmocka_unit_test(what_an_ended_one_leaves_goes_with_its_tombstone),
        cmocka_unit_test(a_key_of_a_former_life_is_refused),
        cmocka_unit_test(a_claim_goes_with_its_session),
        cmocka_unit_test(an_id_whose_session_never_came_is_free_again),
        cmocka_unit_test(a_new_life_has_nothing_of_the_former_one),
        cmocka_unit_test(entries_sent_again_in_another_order_make_no_ring),
        cmocka_unit_test(what_is_sent_again_is_logged_once),
    };
    cmocka_set_test_filter(getenv("SKEP_TEST"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
