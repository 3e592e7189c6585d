/* Other names of processes through fail-over, partition and heal: simulated clusters of real brains. */
#include "rig.h"

#define COUNTER "{\"argv\":[\"counter\"],\"restart\":\"permanent\"}"
#define CHILD   "/v1/swarms/default/children/"
#define NAMES   "/v1/swarms/default/names/"

static void split(struct rig *r)
{
    sim_cut(r->sim, 0, 1);
    sim_cut(r->sim, 1, 0);
    run_ms(r, 50000); /* until each is alone, and what the other owned may be taken */
}

static void heal(struct rig *r)
{
    sim_heal_all(r->sim);
    agree_within(r, sim_nodes(r->sim), 40000);
    run_ms(r, 25000); /* and what dangles has been taken away */
}

/* On every node that is up the name leads to the one process of that child. */
static void leads(struct rig *r, const char *name, const char *child)
{
    struct sim_process p = process_of(r, child);
    AUTOFREE char *path = mem_printf(NAMES "%s", name),
                  *node = mem_printf("\"node\":\"%s\"", sim_node_name(p.node));
    for (int i = 0; i < sim_nodes(r->sim); i++) {
        if (!sim_node_up(sim_node(r->sim, i)))
            continue;
        want(r, 200, i, HTTP_M_GET, path, NULL);
        assert_string_equal(member(r, "kind"), "alias");
        assert_string_equal(member(r, "child"), child);
        assert_non_null(strstr(member(r, "process"), node));
    }
}

static void called(struct rig *r, int node, const char *name, int add, const char *answer)
{
    AUTOFREE char *path = mem_printf(CHILD "%s/calls", name), *body = mem_printf("{\"data\":%d}", add);
    want(r, 200, node, HTTP_M_POST, path, body);
    if (answer)
        assert_string_equal(member(r, "data"), answer);
}

static void it_follows_its_process_to_other_nodes(void **state)
{
    (void)state;
    struct rig r;
    rig_begin_apart(&r, 11, 3);
    want(&r, 201, 0, HTTP_M_PUT, CHILD "one", COUNTER);
    want(&r, 201, 1, HTTP_M_PUT, NAMES "nick", "{\"child\":\"one\"}");
    run_ms(&r, 2000);
    leads(&r, "nick", "one");
    for (int lost = 0; lost < 2; lost++) { /* the second fail-over is like the first */
        struct sim_process p = process_of(&r, "one");
        for (int i = 0; i < 3; i++)
            if (sim_node(r.sim, i) == p.node) {
                sim_crash(r.sim, i);
                run_ms(&r, 60000);
                leads(&r, "nick", "one");
                called(&r, (i + 1) % 3, "nick", 1, NULL);
                assert_true(sim_start(r.sim, i));
                break;
            }
        agree_within(&r, 3, 20000);
        run_ms(&r, 3000);
        leads(&r, "nick", "one");
    }
    digests_equal(&r);
    rig_end(&r);
}

/* Through a node that has not heard of the process yet. */
static void a_node_that_is_behind_asks_the_home(void **state)
{
    (void)state;
    struct rig r;
    rig_begin_apart(&r, 19, 3);
    for (int i = 0; i < 2; i++) {
        sim_cut(r.sim, i, 2);
        sim_cut(r.sim, 2, i);
    }
    want(&r, 201, 0, HTTP_M_PUT, CHILD "one", "{\"argv\":[\"counter\"],\"nodes\":[\"n1\"]}");
    sim_heal_all(r.sim);
    want(&r, 201, 2, HTTP_M_PUT, NAMES "nick", "{\"child\":\"one\"}");
    run_ms(&r, 2000);
    leads(&r, "nick", "one");
    want(&r, 404, 2, HTTP_M_PUT, NAMES "other", "{\"child\":\"none\"}");
    rig_end(&r);
}

/* Its own processes are all it need ask, but it slept while the name was given to another one. */
static void a_node_that_slept_looks_again(void **state)
{
    (void)state;
    struct rig r, call = {0};
    char nick[] = "nick-a";
    rig_begin_apart(&r, 20, 3);
    want(&r, 201, 0, HTTP_M_PUT, CHILD "here", "{\"argv\":[\"counter\"],\"nodes\":[\"n1\"]}");
    want(&r, 201, 0, HTTP_M_PUT, CHILD "there", "{\"argv\":[\"counter\"],\"nodes\":[\"n2\"]}");
    while (home_of(&r, nick) == 0)
        nick[5]++;
    AUTOFREE char *name = mem_printf(NAMES "%s", nick), *calls = mem_printf(CHILD "%s/calls", nick);
    want(&r, 201, 1, HTTP_M_PUT, name, "{\"child\":\"here\"}");
    run_ms(&r, 2000);
    called(&r, 0, nick, 1, "1");
    sim_slow_disk(r.sim, 0, 15000); /* 3 to 22.5 s: at 24 its keeper would end it */
    ask_later(&r, &call, 0, HTTP_M_PUT, "/v1/hooks/name_registered/any",
              "{\"kind\":\"url\",\"url\":\"https://out/\"}");
    run_ms(&r, 50);
    sim_slow_disk(r.sim, 0, 1);
    want(&r, 200, 1, HTTP_M_DELETE, name, NULL);
    want(&r, 201, 1, HTTP_M_PUT, name, "{\"child\":\"there\"}");
    assert_false(call.answered);
    want(&r, 200, 0, HTTP_M_POST, calls, "{\"data\":7}");
    assert_true(call.answered);
    assert_string_equal(member(&r, "data"), "7"); /* of the other one's counter */
    str_fini(&call.body);
    rig_end(&r);
}

static void on_both_sides_it_is_the_process_of_that_side(void **state)
{
    (void)state;
    struct rig r;
    rig_begin_apart(&r, 12, 2);
    want(&r, 201, 0, HTTP_M_PUT, CHILD "one", COUNTER);
    want(&r, 201, 1, HTTP_M_PUT, NAMES "nick", "{\"child\":\"one\"}");
    run_ms(&r, 2000);
    split(&r);
    for (int i = 0; i < 2; i++) {
        want(&r, 200, i, HTTP_M_GET, NAMES "nick", NULL);
        assert_non_null(strstr(member(&r, "process"), "\"running\""));
        called(&r, i, "nick", 1, NULL);
    }
    heal(&r);
    leads(&r, "nick", "one");
    called(&r, 0, "nick", 1, NULL);
    digests_equal(&r);
    rig_end(&r);
}

/* The same word, on one side another name of a process, on the other one a process: the newer claim stays. */
static void met_by_a_process(uint64_t seed, bool alias_is_newer)
{
    struct rig r;
    rig_begin_apart(&r, seed, 2);
    want(&r, 201, 0, HTTP_M_PUT, CHILD "one", COUNTER);
    run_ms(&r, 2000);
    split(&r);
    for (int step = 0; step < 2; step++) {
        if ((step == 1) == alias_is_newer)
            want(&r, 201, 0, HTTP_M_PUT, NAMES "word", "{\"child\":\"one\"}");
        else
            want(&r, 201, 1, HTTP_M_PUT, CHILD "word", COUNTER);
        run_ms(&r, 3000);
    }
    heal(&r);
    if (alias_is_newer) {
        assert_int_equal(sim_running(r.sim, "default", "word", NULL), 0);
        leads(&r, "word", "one");
    } else {
        process_of(&r, "word");
        process_of(&r, "one");
        for (int i = 0; i < 2; i++) {
            want(&r, 200, i, HTTP_M_GET, NAMES "word", NULL);
            assert_string_equal(member(&r, "name"), "word");
            assert_string_equal(member(&r, "status"), "running");
        }
    }
    digests_equal(&r);
    rig_end(&r);
}

static void a_newer_other_name_beats_a_process(void **state)
{
    (void)state;
    met_by_a_process(13, true);
}

static void a_newer_process_beats_another_name(void **state)
{
    (void)state;
    met_by_a_process(14, false);
}

/* Both sides gave it to another process: one of them keeps it, on both. */
static void two_sides_gave_it_away(void **state)
{
    (void)state;
    struct rig r;
    rig_begin_apart(&r, 15, 2);
    want(&r, 201, 0, HTTP_M_PUT, CHILD "one", COUNTER);
    want(&r, 201, 0, HTTP_M_PUT, CHILD "two", COUNTER);
    run_ms(&r, 2000);
    split(&r);
    want(&r, 201, 0, HTTP_M_PUT, NAMES "nick", "{\"child\":\"one\"}");
    run_ms(&r, 3000);
    want(&r, 201, 1, HTTP_M_PUT, NAMES "nick", "{\"child\":\"two\"}");
    heal(&r);
    leads(&r, "nick", "two");
    digests_equal(&r);
    rig_end(&r);
}

/* The life it belongs to is stopped on the other side, and another one begins there under the same name. */
static void it_ends_with_that_life_of_its_process(void **state)
{
    (void)state;
    struct rig r;
    rig_begin_apart(&r, 16, 2);
    want(&r, 201, 0, HTTP_M_PUT, CHILD "one", COUNTER);
    want(&r, 201, 0, HTTP_M_PUT, NAMES "nick", "{\"child\":\"one\"}");
    run_ms(&r, 2000);
    split(&r);
    want(&r, 200, 1, HTTP_M_DELETE, CHILD "one", NULL);
    want(&r, 404, 1, HTTP_M_GET, NAMES "nick", NULL);
    want(&r, 201, 1, HTTP_M_PUT, CHILD "one", COUNTER);
    want(&r, 404, 1, HTTP_M_GET, NAMES "nick", NULL);
    heal(&r);
    process_of(&r, "one");
    for (int i = 0; i < 2; i++) {
        want(&r, 404, i, HTTP_M_GET, NAMES "nick", NULL);
        assert_int_equal(rows_number(&r, i, "SELECT count(*) FROM name WHERE name = 'nick'"), 0);
    }
    digests_equal(&r);
    rig_end(&r);
}

/* The row is still there: it means nothing, and whoever wants the word next has it. */
static void it_is_free_as_soon_as_its_process_has_ended(void **state)
{
    (void)state;
    struct rig r;
    rig_begin_apart(&r, 17, 3);
    want(&r, 201, 0, HTTP_M_PUT, CHILD "one", COUNTER);
    want(&r, 201, 0, HTTP_M_PUT, CHILD "two", COUNTER);
    want(&r, 201, 1, HTTP_M_PUT, NAMES "nick", "{\"child\":\"one\"}");
    want(&r, 409, 2, HTTP_M_PUT, NAMES "nick", "{\"child\":\"two\"}");
    want(&r, 200, 2, HTTP_M_DELETE, CHILD "one", NULL);
    run_ms(&r, 1000);
    assert_int_equal(rows_number(&r, 0, "SELECT count(*) FROM name WHERE name = 'nick'"), 1);
    want(&r, 201, 2, HTTP_M_PUT, NAMES "nick", "{\"child\":\"two\"}");
    run_ms(&r, 25000); /* until what dangles is taken away: this does not */
    leads(&r, "nick", "two");
    digests_equal(&r);
    rig_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_follows_its_process_to_other_nodes),
        cmocka_unit_test(a_node_that_is_behind_asks_the_home),
        cmocka_unit_test(a_node_that_slept_looks_again),
        cmocka_unit_test(on_both_sides_it_is_the_process_of_that_side),
        cmocka_unit_test(a_newer_other_name_beats_a_process),
        cmocka_unit_test(a_newer_process_beats_another_name),
        cmocka_unit_test(two_sides_gave_it_away),
        cmocka_unit_test(it_ends_with_that_life_of_its_process),
        cmocka_unit_test(it_is_free_as_soon_as_its_process_has_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
