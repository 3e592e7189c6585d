/* How nodes learn of changes, as the settings of swarms have it: whom a write is told to, what an
 * acknowledgement waits for, what becomes of additions and removals whose pokes are all lost, and of news
 * that come late.
 */
#include "rig.h"

#include <stdlib.h>

#define DEFAULT "/v1/swarms/default"
#define ADDRESS "{\"address\":\"10.0.0.1:1\"}"
#define NEVER   60000 /* ms: a pause between pulls that no test waits for */

/* What the nodes' door does to what others send. */
static struct {
    bool no_pokes;
    bool armed; /* the next page with rows from `holder` to `puller` is held back */
    struct id puller;
    const char *holder;
    struct pull_memory *memory;
    struct node *held_at;
    uint64_t held; /* its request; 0: none */
    struct str page;
} door;

static bool is_only_poke(const struct request *r)
{
    return strcmp(r->path, "/v1/peer/mail") == 0 && r->body_n == 2 * sizeof(struct id) + 1;
}

static void answer(struct node *n, uint64_t request, struct str *body TAKES)
{
    n->w.net.answer(n->w.net.self, request, answer_json(200, body));
}

/* Answers in the node's place, or holds back a page with rows. False: it is left to the node. */
static bool hold(struct node *n, const struct request *r)
{
    struct err e;
    struct str body = STR_INIT;
    AUTOVV struct vv theirs = VV_INIT;
    int rc = node_serve_pull(n->store, door.memory, &r->who.node, r->body, r->body_n, &body, &e);
    assert_int_equal(rc, 0);
    struct reader page = reader_init(str_get(&body), body.n);
    uint8_t verdict = read_u8(&page);
    if (verdict == PULL_BASE) { /* then it says all, to this memory too */
        answer(n, r->id, &body);
        return true;
    }
    vector_read(&page, &theirs);
    read_u8(&page);
    if (verdict != PULL_PAGE || read_u32(&page) == 0) {
        str_fini(&body);
        return false;
    }
    door.held_at = n;
    door.held = r->id;
    door.page = body;
    door.armed = false;
    return true;
}

static bool at_the_door(void *brain, struct request *r)
{
    struct node *n = sim_brain_of(brain);
    struct str nothing = STR_INIT;
    bool taken = false;
    if (door.no_pokes && is_only_poke(r)) {
        answer(n, r->id, &nothing);
        taken = true;
    } else if (door.armed && strcmp(r->path, "/v1/peer/pull") == 0 && strcmp(n->name, door.holder) == 0 &&
               id_equal(&r->who.node, &door.puller))
        taken = hold(n, r);
    if (taken)
        request_free(r);
    return taken || sim_brain_node.request(brain, r);
}

static void begin(struct rig *r, struct sim_opts *o)
{
    static struct sim_brain brain;
    memset(&door, 0, sizeof door);
    brain = sim_brain_node;
    brain.request = at_the_door;
    o->loss_ppm = o->slow_commit_ppm = 0;
    rig_begin_brain(r, o, &brain);
    agree_within(r, o->nodes, 5000);
}

static bool obeys(struct node *n, int64_t pause_ms)
{
    struct peer *p;
    TAILQ_FOREACH (p, &n->peers, link)
        if (p->pull.next_ms > n->now_ms + pause_ms + pause_ms / 10)
            return false;
    return n->gossip.known && n->gossip.pause_ms == pause_ms;
}

/* Everybody obeys it, from the moment that they know of it. */
static void synchronize(struct rig *r, const char *how, int64_t pause_ms)
{
    AUTOFREE char *body = mem_printf("{\"synchronization\":%s}", how);
    ask(r, 0, HTTP_M_PUT, DEFAULT, body);
    assert_true(r->status == 200 || r->status == 201);
    for (int i = 0; i < sim_nodes(r->sim); i++) {
        struct node *n = node_at(r, i);
        for (int ms = 0; ms < 10000 && (!n->gossip.known || n->gossip.pause_ms != pause_ms); ms++)
            run_ms(r, 1);
        assert_true(obeys(n, pause_ms));
    }
    run_ms(r, 100);
}

/* The path of another name whose home is node 0; yours. */
static char *path_at_home(struct rig *r, int *number)
{
    for (;;) {
        AUTOFREE char *name = mem_printf("n%d", ++*number);
        if (home_of(r, name) == 0)
            return mem_printf(DEFAULT "/names/%s", name);
    }
}

/* Pokes that node 0 sent for a write of its own. */
static int64_t pokes_for(struct rig *r, const char *path, const char *body)
{
    run_ms(r, 100);
    int64_t before = node_at(r, 0)->counters.pokes;
    want(r, 201, 0, HTTP_M_PUT, path, body);
    return node_at(r, 0)->counters.pokes - before;
}

static void gossip_tells_few_and_all_learn(void **state)
{
    (void)state;
    struct rig r;
    struct sim_opts o = sim_opts_default(1, 8);
    int number = 0;
    begin(&r, &o);
    AUTOFREE char *one = path_at_home(&r, &number), *two = path_at_home(&r, &number);
    assert_int_equal(pokes_for(&r, one, ADDRESS), 7);
    synchronize(&r, "{\"kind\":\"gossip\",\"recipients\":2}", 500);
    assert_int_equal(pokes_for(&r, two, ADDRESS), 2);
    converge_within(&r, 1000);
    assert_int_equal(pokes_for(&r, "/v1/templates/t", "{\"argv\":[\"/bin/counter\"]}"), 7); /* of no swarm */
    synchronize(&r, "\"gossip\"", 500);
    AUTOFREE char *three = path_at_home(&r, &number);
    assert_int_equal(pokes_for(&r, three, ADDRESS), 3);
    synchronize(&r, "\"pubsub\"", 500);
    AUTOFREE char *four = path_at_home(&r, &number);
    assert_int_equal(pokes_for(&r, four, ADDRESS), 7);
    rig_end(&r);
}

/* Nobody asks untold; three who pass it on reach nearly all, and nearly at once. */
static void word_is_passed_on(void **state)
{
    (void)state;
    struct rig r;
    struct sim_opts o = sim_opts_default(2, 8);
    int everywhere = 0, number = 0;
    begin(&r, &o);
    synchronize(&r, "\"gossip\"", 500);
    for (int i = 0; i < sim_nodes(r.sim); i++)
        node_at(&r, i)->gossip.pause_ms = NEVER;
    run_ms(&r, 1000);
    for (int i = 0; i < 20; i++) {
        AUTOFREE char *path = path_at_home(&r, &number);
        want(&r, 201, 0, HTTP_M_PUT, path, ADDRESS);
        run_ms(&r, 200);
        everywhere += same_everywhere(&r);
    }
    assert_in_range(everywhere, 14, 20);
    rig_end(&r);
}

static int64_t took_ms(struct rig *r, const char *path)
{
    int64_t from_us = sim_now_us(r->sim);
    want(r, 201, 0, HTTP_M_PUT, path, ADDRESS);
    return (sim_now_us(r->sim) - from_us) / 1000;
}

/* The one that is told may hear nothing: then all are told, and no pull of its own accord is waited for. */
static void an_acknowledgement_does_not_wait_for_luck(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct rig r;
        struct sim_opts o = sim_opts_default(seed, 3);
        int number = 0;
        o.sync_ms = NEVER;
        begin(&r, &o);
        synchronize(&r, "{\"kind\":\"gossip\",\"recipients\":1}", NEVER);
        sim_pause(r.sim, 1, 3000 * 1000);
        for (int i = 0; i < 4; i++) {
            AUTOFREE char *path = path_at_home(&r, &number);
            assert_in_range(took_ms(&r, path), 0, 600);
        }
        rig_end(&r);
    }
}

/* So does a start, whose claim is for one node, and whose outcome for another. */
static void a_start_does_not_wait_for_luck(void **state)
{
    (void)state;
    struct rig r;
    struct sim_opts o = sim_opts_default(5, 8);
    o.sync_ms = NEVER;
    begin(&r, &o);
    synchronize(&r, "{\"kind\":\"gossip\",\"recipients\":1}", NEVER);
    for (int i = 0; i < 16; i++) {
        AUTOFREE char *path = mem_printf(DEFAULT "/children/c%d", i);
        int64_t from_us = sim_now_us(r.sim);
        AUTOFREE char *spec = mem_printf("{\"argv\":[\"/bin/counter\"],\"nodes\":[\"n%d\"]}", i * 3 % 8 + 1);
        want(&r, 201, i % 8, HTTP_M_PUT, path, spec);
        assert_in_range((sim_now_us(r.sim) - from_us) / 1000, 0, 100);
        assert_string_equal(member(&r, "status"), "running");
        assert_null(strstr(str_get(&r.body), "\"replicated\":false"));
    }
    rig_end(&r);
}

/* ---- nothing but the rounds ---- */

static bool all_have(struct rig *r, const char *name, int64_t count)
{
    AUTOFREE char *sql = mem_printf("SELECT count(*) FROM name WHERE name = '%s'", name);
    for (int i = 0; i < sim_nodes(r->sim); i++)
        if (rows_number(r, i, sql) != count)
            return false;
    return true;
}

static void ignored(struct sim *s, void *arg, const struct sim_reply *reply)
{
    (void)s;
    (void)arg;
    (void)reply;
}

/* From the request on. */
static int64_t until_all_have(struct rig *r, enum req_method method, const char *name, int64_t count)
{
    AUTOFREE char *path = mem_printf(DEFAULT "/names/%s", name);
    int64_t from_us = sim_now_us(r->sim);
    struct sim_ask a = {.node = 1,
                        .method = method,
                        .path = path,
                        .body = method == HTTP_M_PUT ? ADDRESS : NULL,
                        .timeout_ms = 60000,
                        .done = ignored};
    sim_ask(r->sim, &a);
    for (int ms = 0; ms < 30000 && !all_have(r, name, count); ms++)
        run_ms(r, 1);
    return (sim_now_us(r->sim) - from_us) / 1000;
}

static void what_no_poke_told_comes_with_the_next_round(void **state)
{
    (void)state;
    static const char *const kinds[] = {"pubsub", "gossip"};
    for (size_t k = 0; k < COUNT(kinds); k++) {
        struct rig r;
        struct sim_opts o = sim_opts_default(6 + k, 4);
        o.sync_ms = 2000;
        begin(&r, &o);
        AUTOFREE char *slow = mem_printf("\"%s\"", kinds[k]);
        AUTOFREE char *fast = mem_printf("{\"kind\":\"%s\",\"sync_interval_ms\":100}", kinds[k]);
        synchronize(&r, slow, 2000);
        door.no_pokes = true;
        assert_in_range(until_all_have(&r, HTTP_M_PUT, "added", 1), 500, 2300); /* a pause, and a tenth */
        assert_in_range(until_all_have(&r, HTTP_M_DELETE, "added", 0), 500, 2300);
        synchronize(&r, fast, 100); /* counts at once */
        assert_in_range(until_all_have(&r, HTTP_M_PUT, "again", 1), 1, 200);
        assert_in_range(until_all_have(&r, HTTP_M_DELETE, "again", 0), 1, 200);
        run_ms(&r, 3000);
        assert_true(all_have(&r, "added", 0) && all_have(&r, "again", 0));
        synchronize(&r, slow, 2000);
        assert_in_range(until_all_have(&r, HTTP_M_PUT, "added", 1), 300, 2300);
        converge_within(&r, 5000);
        rig_end(&r);
    }
}

/* ---- late news ---- */

#define LATE "SELECT count(*) FROM name WHERE name = 'late'"
#define DEAD "SELECT count(*) FROM change WHERE dead = 1 AND tbl = 'name' AND key = 'default/late'"

/* The page that brings the name from its home to `puller` is under way; which hears from the third one, in
 * the next round, that the name is gone. Returns the puller. */
static int deleted_while_a_page_is_under_way(struct rig *r, struct sim_opts *o)
{
    begin(r, o);
    synchronize(r, "\"gossip\"", 500);
    run_ms(r, 2000); /* tombstones are looked at each 5 s */
    int home = home_of(r, "late"), puller = (home + 1) % 3;
    door.memory = pull_memory_new();
    door.holder = node_at(r, home)->name;
    door.puller = node_at(r, puller)->self;
    door.armed = true;
    want(r, 201, home, HTTP_M_PUT, DEFAULT "/names/late", ADDRESS);
    for (int ms = 0; ms < 100 && !door.held; ms++)
        run_ms(r, 1);
    assert_true(door.held && rows_number(r, puller, LATE) == 0);
    want(r, 200, home, HTTP_M_DELETE, DEFAULT "/names/late", NULL);
    for (int ms = 0; ms < 1000 && rows_number(r, puller, DEAD) == 0; ms++)
        run_ms(r, 1);
    assert_int_equal(rows_number(r, puller, DEAD), 1);
    return puller;
}

static void nothing_comes_back(struct rig *r, int puller)
{
    int64_t pulls = node_at(r, puller)->counters.pulls;
    answer(door.held_at, door.held, &door.page);
    for (int ms = 0; ms < 3000; ms++) {
        run_ms(r, 1);
        for (int i = 0; i < 3; i++)
            assert_int_equal(rows_number(r, i, LATE), 0);
    }
    assert_true(node_at(r, puller)->counters.pulls > pulls);
    converge_within(r, 5000);
    pull_memory_free(door.memory);
    rig_end(r);
}

static void late_news_of_what_was_deleted_bring_nothing_back(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct rig r;
        struct sim_opts o = sim_opts_default(seed, 3);
        int puller = deleted_while_a_page_is_under_way(&r, &o);
        nothing_comes_back(&r, puller);
    }
}

/* Not even where nothing is left that says so: the page was asked for before the tombstone was dropped. */
static void nor_after_the_tombstone_is_gone(void **state)
{
    (void)state;
    int seen = 0;
    for (uint64_t seed = 1; seed <= 6 && seen < 3; seed++) {
        struct rig r;
        struct sim_opts o = sim_opts_default(seed, 3);
        o.tombstone_min_ms = o.tombstone_max_ms = 1500;
        int puller = deleted_while_a_page_is_under_way(&r, &o);
        int64_t until_us = sim_now_us(r.sim) + 4 * SIM_SECOND; /* a pull waits for five */
        while (sim_now_us(r.sim) < until_us && rows_number(&r, puller, DEAD) > 0)
            run_ms(&r, 1);
        seen += rows_number(&r, puller, DEAD) == 0;
        nothing_comes_back(&r, puller);
    }
    assert_int_equal(seen, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gossip_tells_few_and_all_learn),
        cmocka_unit_test(word_is_passed_on),
        cmocka_unit_test(an_acknowledgement_does_not_wait_for_luck),
        cmocka_unit_test(a_start_does_not_wait_for_luck),
        cmocka_unit_test(what_no_poke_told_comes_with_the_next_round),
        cmocka_unit_test(late_news_of_what_was_deleted_bring_nothing_back),
        cmocka_unit_test(nor_after_the_tombstone_is_gone),
    };
    cmocka_set_test_filter(getenv("SKEP_TEST"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
