/* What is kept with a process: counted once whatever is lost on the way, changed by whom its swarm lets, and
 * seen by who watches. Simulated clusters of real brains. */
#include "rig.h"

#define COUNTER "{\"argv\":[\"counter\"],\"restart\":\"permanent\",\"nodes\":[\"n2\"],\"metadata\":{\"n\":0}}"
#define ONE     "/v1/swarms/default/children/one"
#define STRICT  "/v1/swarms/strict/"

static void answered_within(struct rig *r, const struct rig *answer, int64_t within_ms)
{
    for (int64_t ms = 0; ms < within_ms && !answer->answered; ms++)
        run_ms(r, 1);
    assert_true(answer->answered);
}

static int64_t count_of(struct rig *r, int node)
{
    int64_t n = -1;
    want(r, 200, node, HTTP_M_GET, ONE, NULL);
    struct span metadata = json_raw_member(str_get(&r->body), r->body.n, "metadata");
    assert_true(json_int(json_raw_member(metadata.p, metadata.n, "n"), &n));
    return n;
}

/* Nothing comes back from the owner any more, sooner or later after it was asked. */
static void what_is_added_is_added_once(void **state)
{
    (void)state;
    struct rig r, answer = {0};
    int64_t n = 0;
    rig_begin(&r, 1, 2); /* a third one would bridge the broken link */
    want(&r, 201, 0, HTTP_M_PUT, ONE, COUNTER);
    run_ms(&r, 2000);
    for (int i = 0; i < 8; i++) {
        ask_later(&r, &answer, 0, HTTP_M_PATCH, ONE, "{\"increment\":{\"n\":1}}");
        assert_true(sim_run(r.sim, sim_now_us(r.sim) + i * 500));
        sim_cut(r.sim, 1, 0);
        run_ms(&r, 15000);
        sim_heal_all(r.sim);
        answered_within(&r, &answer, 60000);
        agree_within(&r, 2, 40000);
        int64_t now = count_of(&r, 1);
        assert_in_range(now - n, answer.status == 200, 1);
        n = now;
    }
    assert_true(n > 0);
    str_fini(&answer.body);
    rig_end(&r);
}

/* ---- strict ---- */

/* It changes its own entry and another one's, and takes another name for itself and for the other one. */
static const struct {
    const char *method, *path, *body;
    int status;
} asks[] = {
    {"PATCH", "children/asker", "{\"increment\":{\"n\":1}}", 200},
    {"PATCH", "children/one", "{\"increment\":{\"n\":1}}", 403},
    {"PUT", "names/mine", "{\"child\":\"asker\"}", 201},
    {"PUT", "names/its", "{\"child\":\"one\"}", 403},
};
static int statuses[COUNT(asks)], answers;

static void asker_asks(struct sim_worker *w)
{
    for (size_t i = 0; i < COUNT(asks); i++)
        worker_say(w,
                   "{\"type\":\"request\",\"ref\":\"%zu\",\"method\":\"%s\",\"path\":\"" STRICT
                   "%s\",\"body\":%s}",
                   i, asks[i].method, asks[i].path, asks[i].body);
}

static void *asker_start(struct sim_worker *w)
{
    worker_say(w, "{\"type\":\"ready\"}");
    return NULL;
}

static void asker_line(struct sim_worker *w, const char *line, size_t n)
{
    AUTOSTR struct str type = STR_INIT, ref = STR_INIT;
    int64_t status;
    json_unquote(json_raw_member(line, n, "type"), &type);
    if (strcmp(str_get(&type), "message") == 0)
        asker_asks(w);
    if (json_unquote(json_raw_member(line, n, "ref"), &ref) &&
        json_int(json_raw_member(line, n, "status"), &status)) {
        statuses[str_get(&ref)[0] - '0'] = (int)status;
        answers++;
    }
}

static const struct sim_program asker = {.name = "asker", .start = asker_start, .line = asker_line};

static void in_a_strict_swarm_a_process_changes_its_own_entry_only(void **state)
{
    (void)state;
    struct rig r;
    rig_begin(&r, 2, 2);
    sim_program_add(r.sim, &asker);
    want(&r, 201, 0, HTTP_M_PUT, "/v1/swarms/strict", "{\"strict\":true}");
    run_ms(&r, 1000);
    want(&r, 201, 0, HTTP_M_PUT, STRICT "children/one", COUNTER);
    want(&r, 201, 0, HTTP_M_PUT, STRICT "children/asker",
         "{\"argv\":[\"asker\"],\"ready\":\"protocol\",\"nodes\":[\"n2\"]}");
    want(&r, 202, 0, HTTP_M_POST, STRICT "children/asker/messages", "{\"data\":1}");
    for (int ms = 0; ms < 5000 && answers < (int)COUNT(asks); ms++)
        run_ms(&r, 1);
    for (size_t i = 0; i < COUNT(asks); i++)
        if (statuses[i] != asks[i].status)
            fail_msg("%s: %d instead of %d", asks[i].path, statuses[i], asks[i].status);
    want(&r, 200, 1, HTTP_M_GET, STRICT "children/one", NULL);
    assert_string_equal(member(&r, "metadata"), "{\"n\":0}");
    want(&r, 404, 1, HTTP_M_GET, STRICT "names/its", NULL);
    rig_end(&r);
}

/* ---- watching ---- */

/* Asks behind what was seen last. */
static void watch(struct rig *r, struct rig *answer)
{
    const char *version = member(answer, "version");
    AUTOFREE char *path = mem_printf(ONE "/watch?timeout_ms=50000%s%s", *version ? "&after=" : "", version);
    ask_later(r, answer, 0, HTTP_M_GET, path, NULL);
}

/* Told at once when something is new, and not before; what happens between two questions counts, too. */
static void who_watches_misses_nothing(void **state)
{
    (void)state;
    struct rig r, answer = {0};
    rig_begin(&r, 3, 3);
    want(&r, 201, 0, HTTP_M_PUT, ONE,
         "{\"argv\":[\"counter\"],\"restart\":\"permanent\",\"nodes\":[\"n2\",\"n3\"]}");
    run_ms(&r, 3000);
    watch(&r, &answer);
    answered_within(&r, &answer, 1000);
    for (int i = 0; i < 6; i++) {
        bool before = i % 2;
        AUTOFREE char *body = mem_printf("{\"metadata\":{\"n\":%d}}", i);
        if (before) {
            want(&r, 200, 1 + i % 2, HTTP_M_PATCH, ONE, body);
            run_ms(&r, 1000);
        }
        watch(&r, &answer);
        if (!before) {
            run_ms(&r, 2000);
            assert_false(answer.answered);
            want(&r, 200, 1 + i % 2, HTTP_M_PATCH, ONE, body);
        }
        answered_within(&r, &answer, 1000);
        assert_string_equal(member(&answer, "changed"), "true");
    }
    watch(&r, &answer); /* it is seen, too, that somebody else has it */
    sim_crash(r.sim, process_of(&r, "one").node == sim_node(r.sim, 1) ? 1 : 2);
    answered_within(&r, &answer, 20000);
    str_fini(&answer.body);
    rig_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_added_is_added_once),
        cmocka_unit_test(in_a_strict_swarm_a_process_changes_its_own_entry_only),
        cmocka_unit_test(who_watches_misses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
