/* Names that ran on several sides of a partition, when the sides meet: simulated clusters of real brains. */
#include "rig.h"

#define COUNTER "{\"argv\":[\"counter\"],\"restart\":\"permanent\",\"metadata\":{\"by\":\"%d\"}}"
#define NAME    "/v1/swarms/default/children/one"

/* Every node in one of the sides, which are numbers. */
static void split(struct rig *r, const int *side)
{
    for (int i = 0; i < sim_nodes(r->sim); i++)
        for (int k = 0; k < sim_nodes(r->sim); k++)
            if (side[i] != side[k])
                sim_cut(r->sim, i, k);
    run_ms(r, 50000); /* until each is alone, and what the others owned may be taken */
}

static void heal(struct rig *r)
{
    sim_heal_all(r->sim);
    agree_within(r, sim_nodes(r->sim), 40000);
    run_ms(r, 8000);
}

static void start_at(struct rig *r, int node, int value)
{
    char body[128], call[32];
    snprintf(body, sizeof body, COUNTER, node);
    snprintf(call, sizeof call, "{\"data\":%d}", value);
    want(r, 201, node, HTTP_M_PUT, NAME, body);
    if (value)
        want(r, 200, node, HTTP_M_POST, NAME "/calls", call);
}

struct wanted {
    int64_t value;
    struct sim_process found;
};

static void if_wanted(void *ctx, const struct sim_process *p)
{
    struct wanted *w = ctx;
    if (p->value == w->value)
        w->found = *p;
}

/* The process with this value. */
static struct sim_process process_at(struct rig *r, int64_t value)
{
    struct wanted w = {.value = value};
    sim_processes(r->sim, if_wanted, &w);
    assert_non_null(w.found.node);
    return w.found;
}

static int64_t conflicts_left(struct rig *r)
{
    int64_t left = 0;
    for (int i = 0; i < sim_nodes(r->sim); i++) {
        struct conflict_row row = {0};
        struct stmt *q = store_ask(node_at(r, i)->store, Q_CONFLICTS, "i", (int64_t)100);
        while (store_next(q, T_CONFLICT, &row, NULL) == 1)
            left++;
        stmt_reset(q);
        row_fini(T_CONFLICT, &row);
    }
    return left;
}

/* One process everywhere, which knows the greatest value of all sides. */
static void settled(struct rig *r, int node, int64_t value)
{
    struct sim_process p = process_of(r, "one");
    assert_ptr_equal(p.node, sim_node(r->sim, node));
    assert_int_equal(p.value, value);
    for (int i = 0; i < sim_nodes(r->sim); i++) {
        char by[8];
        snprintf(by, sizeof by, "%d", node);
        want(r, 200, i, HTTP_M_GET, NAME, NULL);
        assert_string_equal(member(r, "node"), sim_node_name(p.node));
        assert_string_equal(member(r, "status"), "running");
        want(r, 200, i, HTTP_M_GET, NAME, NULL);
        assert_non_null(strstr(member(r, "metadata"), by));
    }
    assert_int_equal(conflicts_left(r), 0);
    digests_equal(r);
}

static void told(struct rig *r, int winner, int loser)
{
    assert_true(events(r, winner, "name_conflict") > 0);
    assert_true(events(r, loser, "name_conflict") > 0);
    want(r, 200, loser, HTTP_M_GET, "/v1/events?type=name_conflict&name=one", NULL);
    const char *text = str_get(&r->body);
    assert_non_null(strstr(text, "\"winner\":"));
    assert_non_null(strstr(text, "\"loser_epoch\":"));
}

/* Two sides, each with a node alone; the second one starts later. greater: the side with the greater value.
 */
static void two_sides(uint64_t seed, const char *policy, bool greater_first, int want_node)
{
    struct rig r;
    rig_begin_apart(&r, seed, 2);
    if (policy)
        want(&r, 200, 0, HTTP_M_PUT, "/v1/swarms/default", policy);
    run_ms(&r, 1000);
    split(&r, (const int[]){0, 1});
    start_at(&r, 0, greater_first ? 900 : 9);
    run_ms(&r, 3000);
    start_at(&r, 1, greater_first ? 9 : 900);
    int pid = 0;
    for (int i = 0; i < 2; i++) { /* the one that will stay */
        want(&r, 200, i, HTTP_M_GET, NAME, NULL);
        if (i == want_node)
            pid = (int)strtol(member(&r, "pid"), NULL, 10);
    }
    heal(&r);
    settled(&r, want_node, 900);
    assert_int_equal(process_of(&r, "one").pid, pid);
    told(&r, want_node, 1 - want_node);
    rig_end(&r);
}

static void the_newer_claim_wins_and_hears_of_the_other(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        two_sides(seed, NULL, true, 1);
        two_sides(seed, NULL, false, 1);
    }
}

static void the_oldest_process_stays_if_the_swarm_says_so(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        two_sides(seed, "{\"conflict\":\"oldest\"}", true, 0);
        two_sides(seed, "{\"conflict\":{\"kind\":\"oldest\"}}", false, 0);
    }
}

/* Under "callback" somebody says which side goes on; until then the newer claim's process does. */
static void asked_who_stays(uint64_t seed, const char *keep)
{
    struct rig r;
    AUTOFREE char *answer = mem_printf("{\"keep\":\"%s\"}", keep);
    bool loser = strcmp(keep, "loser") == 0;
    rig_begin_apart(&r, seed, 2);
    want(&r, 200, 0, HTTP_M_PUT, "/v1/swarms/default", "{\"conflict\":{\"kind\":\"callback\"}}");
    run_ms(&r, 1000);
    split(&r, (const int[]){0, 1});
    start_at(&r, 0, 9);
    run_ms(&r, 3000);
    start_at(&r, 1, 900);
    want(&r, 404, 1, HTTP_M_POST, NAME "/conflict", answer);
    heal(&r);
    struct sim_process stays = process_of(&r, "one");
    assert_ptr_equal(stays.node, sim_node(r.sim, 1));
    assert_true(conflicts_left(&r) > 0); /* it waits */
    want(&r, 200, 0, HTTP_M_GET, NAME, NULL);
    int64_t before = strtoll(member(&r, "epoch"), NULL, 10);
    want(&r, 400, 0, HTTP_M_POST, NAME "/conflict", "{\"keep\":\"both\"}");
    want(&r, 200, 0, HTTP_M_POST, NAME "/conflict", answer);
    run_ms(&r, 3000);
    struct sim_process p = process_of(&r, "one");
    assert_ptr_equal(p.node, sim_node(r.sim, loser ? 0 : 1));
    assert_int_equal(p.value, loser ? 9 : 900);
    assert_true(loser || p.pid == stays.pid);
    want(&r, 200, 1, HTTP_M_GET, NAME, NULL);
    assert_true((strtoll(member(&r, "epoch"), NULL, 10) > before) == loser); /* another side is a new claim */
    assert_int_equal(conflicts_left(&r), 0);
    assert_true(events(&r, 1, "conflict_resolved") == 1);
    want(&r, 404, 0, HTTP_M_POST, NAME "/conflict", answer);
    digests_equal(&r);
    rig_end(&r);
}

static void somebody_is_asked_who_stays(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        asked_who_stays(seed, "loser");
        asked_who_stays(seed, "winner");
    }
}

/* Nobody answers: the one that stayed stays, and what waited goes after its time. */
static void without_an_answer_the_newer_stays(void **state)
{
    (void)state;
    struct rig r;
    rig_begin_apart(&r, 5, 2);
    want(&r, 200, 0, HTTP_M_PUT, "/v1/swarms/default", "{\"conflict\":\"callback\"}");
    run_ms(&r, 1000);
    split(&r, (const int[]){0, 1});
    start_at(&r, 0, 9);
    run_ms(&r, 3000);
    start_at(&r, 1, 900);
    heal(&r);
    assert_true(conflicts_left(&r) > 0);
    for (int i = 0; i < 400 && conflicts_left(&r) > 0; i++)
        run_ms(&r, 10000);
    settled(&r, 1, 900);
    rig_end(&r);
}

/* Three nodes, three sides. */
static void three_sides(uint64_t seed, const char *policy, int want_node)
{
    struct rig r;
    rig_begin_apart(&r, seed, 3);
    want(&r, 200, 0, HTTP_M_PUT, "/v1/swarms/default", policy);
    run_ms(&r, 1000);
    split(&r, (const int[]){0, 1, 2});
    for (int i = 0; i < 3; i++) {
        start_at(&r, i, i == 1 ? 700 : 7);
        run_ms(&r, 2000);
    }
    heal(&r);
    settled(&r, want_node, 700);
    rig_end(&r);
}

static void of_three_sides_one_process_stays(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        three_sides(seed, "{\"conflict\":\"newest\"}", 2);
        three_sides(seed, "{\"conflict\":\"oldest\"}", 0);
    }
}

/* It ran before the split: one side keeps it, the other one takes it over after a while. */
static void what_was_taken_over_by_the_other_side(uint64_t seed, bool oldest)
{
    struct rig r;
    rig_begin_apart(&r, seed, 3);
    want(&r, 200, 0, HTTP_M_PUT, "/v1/swarms/default",
         oldest ? "{\"conflict\":\"oldest\"}" : "{\"conflict\":\"newest\"}");
    start_at(&r, 0, 5);
    run_ms(&r, 2000);
    struct sim_process first = process_of(&r, "one");
    int alone = (int)strtol(sim_node_name(first.node) + 1, NULL, 10) - 1, side[3] = {0, 0, 0};
    side[alone] = 1;
    int other = (alone + 1) % 3;
    split(&r, side);
    want(&r, 200, alone, HTTP_M_POST, NAME "/calls", "{\"data\":100}");
    want(&r, 200, other, HTTP_M_POST, NAME "/calls", "{\"data\":1000}");
    assert_int_equal(sim_running(r.sim, "default", "one", NULL), 2);
    heal(&r);
    struct sim_process p = process_of(&r, "one");
    assert_int_equal(p.value, 1005);
    assert_int_equal(p.pid == first.pid, oldest);
    assert_int_equal(conflicts_left(&r), 0);
    digests_equal(&r);
    rig_end(&r);
}

static void the_state_of_a_take_over_and_of_who_was_cut_off_meet(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++)
        what_was_taken_over_by_the_other_side(seed, seed % 2);
}

/* The loser's checkpoint is larger than a page, and the winner's comes in pages before and after its claim.
 */
static void the_state_is_saved_whatever_comes_first(void **state)
{
    (void)state;
    for (int early = 0; early < 2; early++) {
        struct rig r;
        rig_begin_apart(&r, 20 + (uint64_t)early, 2);
        split(&r, (const int[]){0, 1});
        start_at(&r, 0, 900);
        run_ms(&r, 2000);
        start_at(&r, 1, 9);
        if (early) { /* the claim moves behind its checkpoint: a restart writes the claim's row again */
            struct node *n = node_at(&r, 1);
            struct name_row row = {.swarm = mem_dup("default"), .name = mem_dup("one")};
            assert_int_equal(db_begin(store_db(n->store), NULL), 0);
            for (int i = 0; i < 600; i++) { /* two pages between them */
                char key[24];
                snprintf(key, sizeof key, "filler%d", i);
                struct template_row t = {.template = key, .spec = (char[]){"{}"}};
                assert_int_equal(store_save(n->store, T_TEMPLATE, &t, NULL), 0);
            }
            assert_int_equal(store_load(n->store, T_NAME, &row, NULL), 1);
            assert_int_equal(store_save(n->store, T_NAME, &row, NULL), 0);
            assert_int_equal(store_vv_raise(n->store, n->actor, store_written(n->store), NULL), 0);
            assert_int_equal(db_commit(store_db(n->store), NULL), 0);
            row_fini(T_NAME, &row);
        }
        heal(&r);
        settled(&r, 1, 900);
        rig_end(&r);
    }
}

/* What is offered is on disk until it was written to a channel: the winner's node may die before. */
static void the_offer_outlives_the_winners_node(void **state)
{
    (void)state;
    for (int64_t late_ms = 0; late_ms <= 2000; late_ms += 500) {
        struct rig r;
        rig_begin_apart(&r, 30, 3);
        split(&r, (const int[]){0, 1, 1});
        start_at(&r, 0, 900);
        run_ms(&r, 2000);
        start_at(&r, 1, 9);
        int winner = (int)strtol(sim_node_name(process_at(&r, 9).node) + 1, NULL, 10) - 1;
        sim_heal_all(r.sim);
        for (int i = 0; i < 40000 && conflicts_left(&r) < 3; i++)
            run_ms(&r, 1);
        assert_int_equal(conflicts_left(&r), 3);
        run_ms(&r, late_ms);
        sim_crash(r.sim, winner);
        run_ms(&r, 5000);
        assert_true(sim_start(r.sim, winner));
        agree_within(&r, 3, 10000);
        run_ms(&r, 10000);
        assert_int_equal(process_of(&r, "one").value, 900);
        assert_int_equal(conflicts_left(&r), 0);
        digests_equal(&r);
        rig_end(&r);
    }
}

/* A process that is in its back-off then hears of it when it runs again, here or elsewhere. */
static void the_offer_waits_for_a_process(void **state)
{
    (void)state;
    int waited = 0;
    for (uint64_t seed = 40; seed < 46; seed++) {
        struct rig r;
        rig_begin_apart(&r, seed, 2);
        split(&r, (const int[]){0, 1});
        start_at(&r, 0, 900);
        run_ms(&r, 2000);
        want(&r, 201, 1, HTTP_M_PUT, NAME,
             "{\"argv\":[\"counter\"],\"restart\":\"permanent\",\"backoff_min_ms\":30000,"
             "\"backoff_max_ms\":30000}");
        want(&r, 200, 1, HTTP_M_POST, NAME "/calls", "{\"data\":9}");
        assert_true(sim_process_crash(r.sim, 1));
        run_ms(&r, 1000);
        sim_heal_all(r.sim);
        agree_within(&r, 2, 10000);
        run_ms(&r, 5000);
        waited += conflicts_left(&r) > 0;
        run_ms(&r, 60000);
        assert_int_equal(process_of(&r, "one").value, 900);
        assert_int_equal(conflicts_left(&r), 0);
        digests_equal(&r);
        rig_end(&r);
    }
    assert_true(waited > 0);
}

/* It dies with its name, and is nothing for another life of it. */
static void the_offer_dies_with_its_name(void **state)
{
    (void)state;
    struct rig r;
    rig_begin_apart(&r, 31, 2);
    split(&r, (const int[]){0, 1});
    start_at(&r, 0, 900);
    run_ms(&r, 2000);
    start_at(&r, 1, 9);
    sim_process_hang(r.sim, 1, 60 * SIM_SECOND);
    sim_heal_all(r.sim);
    agree_within(&r, 2, 40000);
    run_ms(&r, 4000);
    want(&r, 200, 0, HTTP_M_DELETE, NAME, NULL);
    want(&r, 201, 0, HTTP_M_PUT, NAME, "{\"argv\":[\"counter\"]}");
    run_ms(&r, 5000);
    assert_int_equal(process_of(&r, "one").value, 0);
    assert_int_equal(conflicts_left(&r), 0);
    digests_equal(&r);
    rig_end(&r);
}

static int64_t rows_of(struct rig *r, int node, enum query q, enum table_id t, void *row)
{
    struct stmt *stmt = store_ask(node_at(r, node)->store, q, "tti", "default", "one", (int64_t)1);
    int rc = store_next(stmt, t, row, NULL);
    stmt_reset(stmt);
    return rc;
}

/* It comes when the name lives another life already. */
static void an_offer_for_a_former_life_is_dropped(void **state)
{
    (void)state;
    struct rig r;
    struct conflict_row row = {0};
    rig_begin_apart(&r, 35, 2);
    split(&r, (const int[]){0, 1});
    start_at(&r, 0, 900);
    run_ms(&r, 2000);
    start_at(&r, 1, 9);
    sim_heal(r.sim, 0, 1);
    sim_heal(r.sim, 1, 0);
    for (int i = 0; i < 60000 && rows_of(&r, 0, Q_CONFLICT_NAME, T_CONFLICT, &row) != 1; i++)
        assert_true(sim_run(r.sim, sim_now_us(r.sim) + 100));
    sim_crash(r.sim, 0);
    assert_int_equal(rows_of(&r, 1, Q_CONFLICT_NAME, T_CONFLICT, &row), 0);
    run_ms(&r, 15000);
    want(&r, 200, 1, HTTP_M_DELETE, NAME, NULL);
    want(&r, 201, 1, HTTP_M_PUT, NAME, "{\"argv\":[\"counter\"]}");
    assert_true(sim_start(r.sim, 0));
    agree_within(&r, 2, 10000);
    run_ms(&r, 8000);
    assert_int_equal(process_of(&r, "one").value, 0);
    assert_int_equal(conflicts_left(&r), 0);
    digests_equal(&r);
    row_fini(T_CONFLICT, &row);
    rig_end(&r);
}

/* Under its new epoch, in the transaction that claims again: or the next start would begin with the other
 * side's. */
static void who_claims_again_keeps_its_checkpoint(void **state)
{
    (void)state;
    struct rig r;
    rig_begin_apart(&r, 36, 2);
    want(&r, 200, 0, HTTP_M_PUT, "/v1/swarms/default", "{\"conflict\":\"oldest\"}");
    run_ms(&r, 1000);
    split(&r, (const int[]){0, 1});
    start_at(&r, 0, 7);
    run_ms(&r, 2000);
    start_at(&r, 1, 900);
    struct checkpoint_row row = {.swarm = mem_dup("default"), .name = mem_dup("one")};
    struct child *c = child_find(node_at(&r, 0), "default", "one");
    int64_t before = child_epoch(c);
    sim_heal_all(r.sim);
    for (int i = 0; i < 60000 && child_epoch(c) == before; i++)
        run_ms(&r, 1);
    assert_true(child_epoch(c) > before);
    assert_int_equal(store_load(node_at(&r, 0)->store, T_CHECKPOINT, &row, NULL), 1);
    assert_int_equal(row.epoch, child_epoch(c));
    assert_int_equal(row.data.n, 1);
    assert_int_equal(*row.data.p, '7');
    row_fini(T_CHECKPOINT, &row);
    run_ms(&r, 8000);
    settled(&r, 0, 900);
    rig_end(&r);
}

/* One side runs a process, the other one registers an address. */
static void a_process_that_lost_its_name_to_an_address_ends(void **state)
{
    (void)state;
    struct rig r;
    rig_begin_apart(&r, 32, 2);
    split(&r, (const int[]){0, 1});
    start_at(&r, 0, 5);
    run_ms(&r, 2000);
    want(&r, 201, 1, HTTP_M_PUT, "/v1/swarms/default/names/one", "{\"address\":\"here:1\"}");
    heal(&r);
    assert_int_equal(sim_running(r.sim, "default", "one", NULL), 0);
    for (int i = 0; i < 2; i++) {
        want(&r, 200, i, HTTP_M_GET, "/v1/swarms/default/names/one", NULL);
        assert_string_equal(member(&r, "address"), "here:1");
    }
    rig_end(&r);
}

/* Both sides wrote to one session: the claim that lost leaves its entries as a branch. */
static void what_the_loser_wrote_to_a_session_stays_as_a_branch(void **state)
{
    (void)state;
    struct rig r;
    rig_begin_apart(&r, 33, 3);
    want(&r, 201, 0, HTTP_M_POST, "/v1/sessions", "{\"id\":\"talk\"}");
    want(&r, 201, 0, HTTP_M_POST, "/v1/sessions/talk/entries", "{\"role\":\"user\",\"content\":\"both\"}");
    want(&r, 200, 0, HTTP_M_POST, "/v1/sessions/talk/claim", "{}");
    run_ms(&r, 2000);
    split(&r, (const int[]){1, 0, 0});
    want(&r, 201, 0, HTTP_M_POST, "/v1/sessions/talk/entries", "{\"role\":\"user\",\"content\":\"left\"}");
    want(&r, 201, 1, HTTP_M_POST, "/v1/sessions/talk/entries", "{\"role\":\"user\",\"content\":\"right\"}");
    heal(&r);
    for (int i = 0; i < 3; i++) {
        want(&r, 200, i, HTTP_M_GET, "/v1/sessions/talk/entries", NULL);
        assert_non_null(strstr(str_get(&r.body), "\"both\""));
        assert_non_null(strstr(str_get(&r.body), "\"right\""));
        assert_null(strstr(str_get(&r.body), "\"left\""));
        want(&r, 200, i, HTTP_M_GET, "/v1/sessions/talk/branches", NULL);
        struct span list = json_raw_member(str_get(&r.body), r.body.n, "branches"), one, more;
        struct json_iter it = json_iter_init(list);
        assert_true(json_iter_next(&it, NULL, &one));
        assert_false(json_iter_next(&it, NULL, &more));
        struct span entries = json_raw_member(one.p, one.n, "entries");
        assert_true(entries.n == 1 && *entries.p == '1');
    }
    digests_equal(&r);
    rig_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newer_claim_wins_and_hears_of_the_other),
        cmocka_unit_test(the_oldest_process_stays_if_the_swarm_says_so),
        cmocka_unit_test(of_three_sides_one_process_stays),
        cmocka_unit_test(the_state_of_a_take_over_and_of_who_was_cut_off_meet),
        cmocka_unit_test(the_state_is_saved_whatever_comes_first),
        cmocka_unit_test(the_offer_outlives_the_winners_node),
        cmocka_unit_test(the_offer_waits_for_a_process),
        cmocka_unit_test(the_offer_dies_with_its_name),
        cmocka_unit_test(an_offer_for_a_former_life_is_dropped),
        cmocka_unit_test(somebody_is_asked_who_stays),
        cmocka_unit_test(without_an_answer_the_newer_stays),
        cmocka_unit_test(who_claims_again_keeps_its_checkpoint),
        cmocka_unit_test(a_process_that_lost_its_name_to_an_address_ends),
        cmocka_unit_test(what_the_loser_wrote_to_a_session_stays_as_a_branch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
