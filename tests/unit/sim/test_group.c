/* Groups of processes, and messages to names that move: simulated clusters of real brains. */
#include "rig.h"

#include "wire/buf.h"

#define GROUP   "/v1/swarms/default/groups/g"
#define NAMES   "/v1/swarms/default/names/"
#define CHILD   "/v1/swarms/default/children/"
#define MEMBERS GROUP "/members/"

/* ---- ear: a program that remembers what it was told, across its lives and everybody's ----
 *
 * A message is a number. A call is answered with its number; one above LATE only when the next message
 * comes. The state it hands over is nothing. */

#define HEARD_MAX 4000
#define LATE      100000

static struct {
    int64_t number;
    char name[16];
} heard[HEARD_MAX];
static int heard_n;

struct ear {
    char ref[32];
};

static void *ear_start(struct sim_worker *w)
{
    worker_say(w, "{\"type\":\"ready\"}");
    return mem_alloc(sizeof(struct ear));
}

static bool text_of(const char *p, size_t n, const char *name, struct str *ret)
{
    str_clear(ret);
    return json_unquote(json_raw_member(p, n, name), ret);
}

static void ear_line(struct sim_worker *w, const char *p, size_t n)
{
    AUTOSTR struct str type = STR_INIT, ref = STR_INIT;
    struct ear *ear = worker_state(w);
    int64_t number = 0;
    json_int(json_raw_member(p, n, "data"), &number);
    text_of(p, n, "type", &type);
    text_of(p, n, "ref", &ref);
    bool call = strcmp(str_get(&type), "call") == 0, message = strcmp(str_get(&type), "message") == 0;
    if (strcmp(str_get(&type), "begin_handoff") == 0)
        worker_say(w, "{\"type\":\"ignore\",\"ref\":\"%s\"}", str_get(&ref));
    if (call || message) {
        assert_true(heard_n < HEARD_MAX);
        heard[heard_n].number = number;
        snprintf(heard[heard_n++].name, sizeof heard[0].name, "%s", worker_env(w, "SKEP_NAME"));
    }
    if (message && ear->ref[0]) {
        worker_say(w, "{\"type\":\"reply\",\"ref\":\"%s\",\"data\":1}", ear->ref);
        ear->ref[0] = 0;
    }
    if (call && number > LATE)
        snprintf(ear->ref, sizeof ear->ref, "%s", str_get(&ref));
    else if (call)
        worker_say(w, "{\"type\":\"reply\",\"ref\":\"%s\",\"data\":%lld}", str_get(&ref), (long long)number);
}

static const struct sim_program ear = {.name = "ear", .start = ear_start, .line = ear_line, .free = free};

static int times_heard(int64_t number, const char *name)
{
    int n = 0;
    for (int i = 0; i < heard_n; i++)
        n += heard[i].number == number && (!name || strcmp(heard[i].name, name) == 0);
    return n;
}

/* ---- the rig ---- */

static void begin(struct rig *r, uint64_t seed, int nodes)
{
    struct sim_opts o = rig_opts(seed, nodes);
    o.unique_names = false;
    heard_n = 0;
    *r = (struct rig){.sim = sim_new(&o, &sim_brain_node)};
    sim_program_add(r->sim, &ear);
    for (int i = 0; i < nodes; i++)
        assert_true(sim_start(r->sim, i));
    agree_within(r, nodes, 3000);
}

static void start(struct rig *r, const char *name, int node)
{
    AUTOFREE char *path = mem_printf(CHILD "%s", name);
    AUTOFREE char *body =
        mem_printf("{\"argv\":[\"ear\"],\"restart\":\"permanent\",\"ready\":\"protocol\",\"nodes\":[\"%s\"]}",
                   node_at(r, node)->name);
    want(r, 201, node, HTTP_M_PUT, path, body);
}

static void join(struct rig *r, const char *name, int node, int status, const char *metadata)
{
    AUTOFREE char *path = mem_printf(MEMBERS "%s", name), *body = mem_printf("{\"metadata\":%s}", metadata);
    want(r, status, node, HTTP_M_PUT, path, body);
}

static void address(struct rig *r, const char *name)
{
    AUTOFREE char *path = mem_printf(NAMES "%s", name);
    want(r, 201, 0, HTTP_M_PUT, path, "{\"address\":\"x\"}");
}

static int64_t count(struct rig *r, int node)
{
    int64_t n = -1;
    want(r, 200, node, HTTP_M_GET, GROUP, NULL);
    json_int(json_raw_member(str_get(&r->body), r->body.n, "count"), &n);
    return n;
}

static void everywhere(struct rig *r, int64_t members)
{
    for (int i = 0; i < sim_nodes(r->sim); i++)
        if (sim_node_up(sim_node(r->sim, i)))
            assert_int_equal(count(r, i), members);
}

/* The first node alone. */
static void split(struct rig *r)
{
    split_off(r, 0);
    run_ms(r, 50000);
}

static void heal(struct rig *r)
{
    sim_heal_all(r->sim);
    agree_within(r, sim_nodes(r->sim), 40000);
    converge_within(r, 20000);
}

/* ---- who is in ---- */

static void what_joins_while_it_leaves_is_in(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 1, 3);
    address(&r, "one");
    address(&r, "two");
    join(&r, "one", 0, 201, "{\"v\":1}");
    join(&r, "two", 0, 201, "{\"v\":1}");
    run_ms(&r, 2000);
    everywhere(&r, 2);
    split(&r);
    want(&r, 200, 0, HTTP_M_DELETE, MEMBERS "one", NULL);
    want(&r, 200, 0, HTTP_M_DELETE, MEMBERS "two", NULL);
    join(&r, "one", 1, 200, "{\"v\":1}"); /* nothing new is said, and yet it counts */
    heal(&r);
    everywhere(&r, 1);
    for (int i = 0; i < 3; i++) {
        want(&r, 200, i, HTTP_M_GET, MEMBERS "one", NULL);
        want(&r, 404, i, HTTP_M_GET, MEMBERS "two", NULL);
    }
    rig_end(&r);
}

static void a_join_on_two_sides_is_one_member(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 2, 3);
    address(&r, "one");
    split(&r);
    join(&r, "one", 0, 201, "{\"side\":0}");
    run_ms(&r, 5000);
    join(&r, "one", 1, 201, "{\"side\":1}");
    heal(&r);
    everywhere(&r, 1);
    for (int i = 0; i < 3; i++) {
        want(&r, 200, i, HTTP_M_GET, MEMBERS "one", NULL);
        assert_string_equal(member(&r, "metadata"), "{\"side\":1}");
    }
    want(&r, 200, 2, HTTP_M_DELETE, MEMBERS "one", NULL);
    run_ms(&r, 2000);
    everywhere(&r, 0);
    rig_end(&r);
}

static void late_news_revive_no_member(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 3, 3);
    address(&r, "one");
    address(&r, "two");
    join(&r, "one", 0, 201, "{}");
    join(&r, "two", 0, 201, "{}");
    run_ms(&r, 2000);
    sim_stop(r.sim, 2); /* it knows both as members, and comes back with that */
    run_ms(&r, 20000);
    want(&r, 200, 0, HTTP_M_DELETE, MEMBERS "one", NULL);
    want(&r, 200, 1, HTTP_M_DELETE, NAMES "two", NULL);
    address(&r, "two"); /* another life */
    run_ms(&r, 2000);
    everywhere(&r, 0);
    assert_true(sim_start(r.sim, 2));
    agree_within(&r, 3, 20000);
    converge_within(&r, 20000);
    everywhere(&r, 0);
    rig_end(&r);
}

/* What began on the side that lost, and whoever joined in that life, is swept. */
static void members_of_a_lost_life_are_swept(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 4, 3);
    split(&r);
    for (int i = 0; i < 2; i++) {
        want(&r, 201, i, HTTP_M_PUT, NAMES "one", i ? "{\"address\":\"b\"}" : "{\"address\":\"a\"}");
        join(&r, "one", i, 201, i ? "{\"side\":1}" : "{\"side\":0}");
        run_ms(&r, 3000);
    }
    heal(&r);
    everywhere(&r, 1);
    want(&r, 200, 0, HTTP_M_GET, MEMBERS "one", NULL);
    assert_string_equal(member(&r, "metadata"), "{\"side\":1}");
    run_ms(&r, 130000);
    for (int i = 0; i < 3; i++)
        assert_int_equal(rows_number(&r, i, "SELECT count(*) FROM member"), 1);
    rig_end(&r);
}

static void a_membership_survives_the_node(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 5, 3);
    want(&r, 201, 0, HTTP_M_PUT, CHILD "one", "{\"argv\":[\"counter\"],\"restart\":\"permanent\"}");
    join(&r, "one", 1, 201, "{\"v\":7}");
    struct sim_process p = process_of(&r, "one");
    int at = 0;
    while (sim_node(r.sim, at) != p.node)
        at++;
    int other = (at + 1) % 3;
    sim_crash(r.sim, at);
    run_ms(&r, 20000);
    assert_true(process_of(&r, "one").node != p.node);
    want(&r, 200, other, HTTP_M_GET, MEMBERS "one", NULL);
    assert_string_equal(member(&r, "metadata"), "{\"v\":7}");
    want(&r, 202, other, HTTP_M_POST, GROUP "/messages", "{\"data\":1}");
    assert_string_equal(member(&r, "reached"), "1");
    want(&r, 200, other, HTTP_M_DELETE, CHILD "one", NULL);
    run_ms(&r, 2000);
    assert_int_equal(rows_number(&r, other, "SELECT count(*) FROM member"), 0);
    rig_end(&r);
}

/* One node at a time is killed, while names join and leave through the others: what was answered, is. */
enum { STORM_NAMES = 8, STORM_OPS = 120 };
enum known { OUT, IN, UNKNOWN };

static void storm_op(struct rig *r, struct prng *p, int down, enum known *known)
{
    int i = (int)prng_below(p, STORM_NAMES), node = (int)prng_below(p, 3);
    bool joins = prng_below(p, 2);
    AUTOFREE char *path = mem_printf(MEMBERS "n%d", i);
    if (node == down)
        node = (node + 1) % 3;
    int status = ask(r, node, joins ? HTTP_M_PUT : HTTP_M_DELETE, path, joins ? "{}" : NULL);
    if (status == (joins ? 201 : 404) && known[i] == IN)
        fail_msg("n%d is in, but %s answered %d", i, joins ? "a join" : "a leave", status);
    if (status == 200 && known[i] == OUT)
        fail_msg("n%d is out, but %s answered 200", i, joins ? "a join" : "a leave");
    if (status == 200 || status == 201 || status == 404)
        known[i] = joins ? IN : OUT;
    else if (status != 503)
        known[i] = UNKNOWN;
}

static void storm(uint64_t seed)
{
    struct rig r;
    struct prng p;
    enum known known[STORM_NAMES] = {OUT};
    int down = -1;
    begin(&r, seed, 3);
    prng_init(&p, seed);
    for (int i = 0; i < STORM_NAMES; i++) {
        AUTOFREE char *path = mem_printf(CHILD "n%d", i);
        want(&r, 201, i % 3, HTTP_M_PUT, path, "{\"argv\":[\"counter\"],\"restart\":\"permanent\"}");
    }
    for (int i = 0; i < STORM_OPS; i++) {
        if (i % 15 == 5)
            sim_crash(r.sim, down = (int)prng_below(&p, 3));
        if (i % 15 == 12) {
            assert_true(sim_start(r.sim, down));
            down = -1;
            agree_within(&r, 3, 40000);
        }
        storm_op(&r, &p, down, known);
    }
    if (down >= 0)
        assert_true(sim_start(r.sim, down));
    agree_within(&r, 3, 40000);
    converge_within(&r, 20000);
    for (int i = 0; i < 3 * STORM_NAMES; i++) {
        AUTOFREE char *path = mem_printf(MEMBERS "n%d", i / 3);
        int status = ask(&r, i % 3, HTTP_M_GET, path, NULL);
        if (known[i / 3] != UNKNOWN && status != (known[i / 3] == IN ? 200 : 404))
            fail_msg("seed %d: n%d should be %s", (int)seed, i / 3, known[i / 3] == IN ? "in" : "out");
    }
    rig_end(&r);
}

static void what_was_answered_outlives_each_node(void **state)
{
    (void)state;
    for (uint64_t seed = 20; seed < 28; seed++)
        storm(seed);
}

/* ---- messages and questions ---- */

static void each_member_has_the_same_chance(void **state)
{
    (void)state;
    struct rig r;
    char name[16];
    begin(&r, 6, 3);
    for (int i = 0; i < 6; i++) {
        snprintf(name, sizeof name, "m%d", i);
        start(&r, name, i % 2); /* none on the third, which asks, too */
        join(&r, name, i % 3, 201, "{}");
    }
    address(&r, "deaf");
    join(&r, "deaf", 0, 201, "{}");
    run_ms(&r, 2000);
    for (int i = 0; i < 600; i++) {
        want(&r, 202, i % 3, HTTP_M_POST, GROUP "/messages?to=random", "{\"data\":5}");
        assert_string_equal(member(&r, "reached"), "1");
    }
    run_ms(&r, 100);
    assert_int_equal(times_heard(5, NULL), 600);
    for (int i = 0; i < 6; i++) { /* 100 ± 4.4 deviations */
        snprintf(name, sizeof name, "m%d", i);
        int n = times_heard(5, name);
        if (n < 60 || n > 140)
            fail_msg("%s was picked %d times of 600", name, n);
    }
    rig_end(&r);
}

static void nobody_waits_for_a_node_that_is_away(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 7, 3);
    static const char *const names[] = {"a", "b", "c"};
    for (int i = 0; i < 3; i++) {
        start(&r, names[i], i);
        join(&r, names[i], 0, 201, "{}");
    }
    run_ms(&r, 2000);
    split_off(&r, 2); /* nobody knows yet */
    int64_t begun_us = sim_now_us(r.sim);
    want(&r, 202, 0, HTTP_M_POST, GROUP "/messages", "{\"data\":9}");
    assert_string_equal(member(&r, "reached"), "2");
    assert_in_range(sim_now_us(r.sim) - begun_us, 0, 2200000);
    begun_us = sim_now_us(r.sim);
    want(&r, 200, 0, HTTP_M_POST, GROUP "/calls?timeout_ms=1000", "{\"data\":10}");
    assert_string_equal(member(&r, "replies"), "[{\"name\":\"a\",\"data\":10},{\"name\":\"b\",\"data\":10}]");
    assert_string_equal(member(&r, "missing"), "[\"c\"]");
    assert_in_range(sim_now_us(r.sim) - begun_us, 900000, 1200000);
    want(&r, 202, 2, HTTP_M_POST, GROUP "/messages", "{\"data\":11}");
    assert_string_equal(member(&r, "reached"), "1");
    heal(&r);
    run_ms(&r, 2000);
    assert_true(times_heard(9, "c") <= 1);
    assert_int_equal(times_heard(9, "a"), 1);
    assert_int_equal(times_heard(9, "b"), 1);
    rig_end(&r);
}

/* Its node is known to be dead, and nobody else may run it. */
static void nobody_waits_for_the_dead(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 14, 3);
    start(&r, "a", 0);
    start(&r, "c", 2);
    join(&r, "a", 0, 201, "{}");
    join(&r, "c", 0, 201, "{}");
    run_ms(&r, 2000);
    sim_crash(r.sim, 2);
    run_ms(&r, 10000);
    everywhere(&r, 2);
    int64_t begun_us = sim_now_us(r.sim);
    want(&r, 200, 0, HTTP_M_POST, GROUP "/calls?timeout_ms=5000", "{\"data\":10}");
    assert_string_equal(member(&r, "missing"), "[\"c\"]");
    want(&r, 202, 1, HTTP_M_POST, GROUP "/messages", "{\"data\":11}");
    assert_string_equal(member(&r, "reached"), "1");
    assert_in_range(sim_now_us(r.sim) - begun_us, 0, 500000);
    rig_end(&r);
}

static void a_reply_after_the_deadline_goes_nowhere(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, 8, 2);
    start(&r, "near", 0);
    start(&r, "far", 1);
    join(&r, "near", 0, 201, "{}");
    join(&r, "far", 0, 201, "{}");
    run_ms(&r, 1000);
    want(&r, 200, 0, HTTP_M_POST, GROUP "/calls?timeout_ms=500", "{\"data\":100001}");
    assert_string_equal(member(&r, "replies"), "[]");
    assert_string_equal(member(&r, "missing"), "[\"far\",\"near\"]");
    want(&r, 202, 0, HTTP_M_POST, GROUP "/messages", "{\"data\":1}"); /* now they reply */
    run_ms(&r, 200);
    want(&r, 200, 0, HTTP_M_POST, GROUP "/calls?timeout_ms=500", "{\"data\":7}");
    assert_string_equal(member(&r, "replies"),
                        "[{\"name\":\"far\",\"data\":7},{\"name\":\"near\",\"data\":7}]");
    rig_end(&r);
}

/* A mail may arrive twice: its sender could not know that the first one did. */
static struct str question;

static int ask_again(struct node *n, void *arg)
{
    struct reader m = reader_init(str_get(&question), question.n);
    return gather_asked(n, arg, &m);
}

static void a_mail_that_comes_twice_is_carried_out_once(void **state)
{
    (void)state;
    struct rig r;
    struct group_member m;
    struct id ask = {{1}}, op = {{2}};
    begin(&r, 13, 2);
    start(&r, "one", 1);
    join(&r, "one", 1, 201, "{}");
    struct node *n = node_at(&r, 1);
    assert_int_equal(group_find(n->store, "default", "g", "one", &m, NULL), 1);
    buf_id(&question, &ask);
    buf_id(&question, &op);
    buf_u8(&question, 0);
    buf_i64(&question, 1000);
    buf_text(&question, "me");
    buf_text(&question, "default");
    buf_text(&question, "g");
    buf_bytes(&question, "42", 2);
    buf_varint(&question, 2);
    for (int i = 0; i < 2; i++) { /* the second one is of another life */
        buf_varint(&question, (uint64_t)i);
        buf_text(&question, "one");
        buf_i64(&question, m.incarnation + i);
    }
    for (int i = 0; i < 2; i++)
        assert_int_equal(node_transact(n, ask_again, &node_at(&r, 0)->self), 0);
    run_ms(&r, 200);
    assert_int_equal(times_heard(42, "one"), 1);
    for (size_t cut = 0; cut < question.n; cut++) { /* half a mail does no harm */
        struct str whole = question;
        question.n = cut;
        question.p[0] = (char)(3 + cut); /* another mail each */
        assert_int_equal(node_transact(n, ask_again, &node_at(&r, 0)->self), 0);
        question = whole;
    }
    str_fini(&question);
    group_member_fini(&m);
    rig_end(&r);
}

/* ---- many ---- */

static void counted(struct sim *s, void *arg, const struct sim_reply *reply)
{
    (void)s;
    int *statuses = arg; /* 0: good ones, 1: others */
    statuses[reply->status / 100 != 2]++;
}

static void until_done(struct rig *r, const int *statuses, int n)
{
    for (int i = 0; i < 120000 && statuses[0] + statuses[1] < n; i += 10)
        run_ms(r, 10);
    assert_int_equal(statuses[0], n);
}

static void a_thousand_members(void **state)
{
    (void)state;
    struct rig r;
    int statuses[2] = {0, 0};
    enum { N = 1000 };
    begin(&r, 9, 3);
    for (int i = 0; i < N; i++) {
        AUTOFREE char *path = mem_printf(CHILD "k%03d", i);
        sim_ask(r.sim, &(struct sim_ask){.node = i % 3,
                                         .method = HTTP_M_PUT,
                                         .path = path,
                                         .timeout_ms = 60000,
                                         .body = "{\"argv\":[\"ear\"]}",
                                         .done = counted,
                                         .arg = statuses});
    }
    until_done(&r, statuses, N);
    statuses[0] = 0;
    for (int i = 0; i < N; i++) {
        AUTOFREE char *path = mem_printf(MEMBERS "k%03d", i);
        sim_ask(r.sim, &(struct sim_ask){.node = i % 3,
                                         .method = HTTP_M_PUT,
                                         .path = path,
                                         .timeout_ms = 60000,
                                         .body = "{}",
                                         .done = counted,
                                         .arg = statuses});
    }
    until_done(&r, statuses, N);
    run_ms(&r, 3000);
    everywhere(&r, N);
    int64_t begun_us = sim_now_us(r.sim);
    want(&r, 202, 0, HTTP_M_POST, GROUP "/messages", "{\"data\":3}");
    assert_string_equal(member(&r, "reached"), "1000");
    assert_true(sim_now_us(r.sim) - begun_us < 1000000);
    want(&r, 200, 1, HTTP_M_POST, GROUP "/calls", "{\"data\":4}");
    assert_string_equal(member(&r, "missing"), "[]");
    run_ms(&r, 500);
    assert_int_equal(times_heard(3, NULL), N);
    assert_int_equal(times_heard(4, NULL), N);
    want(&r, 200, 2, HTTP_M_DELETE, GROUP, NULL);
    run_ms(&r, 3000);
    everywhere(&r, 0);
    rig_end(&r);
}

/* ---- a name that moves ---- */

struct sent {
    int status;
};

static void sent_answered(struct sim *s, void *arg, const struct sim_reply *reply)
{
    (void)s;
    ((struct sent *)arg)->status = reply->status;
}

enum { SENT = 600 };

/* Messages and calls through all nodes, one every few ms, while the name goes round. */
static void send_while_it_moves(struct rig *r, struct sent *sent)
{
    int moved[2] = {0, 0};
    for (int i = 0; i < SENT; i++) {
        AUTOFREE char *body = mem_printf("{\"data\":%d}", i + 1);
        sim_ask(r->sim, &(struct sim_ask){.node = i % 3,
                                          .method = HTTP_M_POST,
                                          .path = i % 2 ? CHILD "one/calls" : CHILD "one/messages",
                                          .body = body,
                                          .timeout_ms = 20000,
                                          .done = sent_answered,
                                          .arg = &sent[i]});
        if (i % 40 == 0)
            sim_ask(r->sim, &(struct sim_ask){.node = 0,
                                              .method = HTTP_M_POST,
                                              .path = CHILD "one/move",
                                              .timeout_ms = 20000,
                                              .done = counted,
                                              .arg = moved});
        run_ms(r, 11);
    }
    run_ms(r, 30000);
    assert_true(moved[0] >= 5);
}

static void a_moving_name(uint64_t seed, int loss_ppm)
{
    struct rig r;
    struct sim_opts o = sim_opts_default(seed, 3);
    static struct sent sent[SENT];
    int good = 0;
    o.loss_ppm = loss_ppm;
    memset(sent, 0, sizeof sent);
    heard_n = 0;
    r = (struct rig){.sim = sim_new(&o, &sim_brain_node)};
    sim_program_add(r.sim, &ear);
    for (int i = 0; i < 3; i++)
        assert_true(sim_start(r.sim, i));
    agree_within(&r, 3, 5000);
    want(&r, 201, 0, HTTP_M_PUT, CHILD "one", "{\"argv\":[\"ear\"],\"restart\":\"permanent\"}");
    send_while_it_moves(&r, sent);
    for (int i = 0; i < SENT; i++) {
        int times = times_heard(i + 1, "one");
        bool told = sent[i].status == 200 || sent[i].status == 202;
        good += told;
        if (sent[i].status == 0 || times > 1 || (told && times == 0) || (sent[i].status == 503 && times))
            fail_msg("%d of seed %d: answered %d, heard %d times", i + 1, (int)seed, sent[i].status, times);
    }
    if (good < (loss_ppm ? SENT * 9 / 10 : SENT))
        fail_msg("only %d of %d arrived", good, SENT);
    rig_end(&r);
}

/* Nothing comes back any more from where it was sent, and nobody bridges the broken link. */
static void what_has_no_answer_is_said_once(void **state)
{
    (void)state;
    struct rig r;
    struct sent sent[8] = {{0}};
    begin(&r, 15, 2);
    start(&r, "one", 1);
    run_ms(&r, 2000);
    for (int i = 0; i < (int)COUNT(sent); i++) {
        AUTOFREE char *body = mem_printf("{\"data\":%d}", i + 1);
        sim_ask(r.sim, &(struct sim_ask){.node = 0,
                                         .method = HTTP_M_POST,
                                         .path = i % 2 ? CHILD "one/calls" : CHILD "one/messages",
                                         .body = body,
                                         .timeout_ms = 20000,
                                         .done = sent_answered,
                                         .arg = &sent[i]});
        assert_true(sim_run(r.sim, sim_now_us(r.sim) + i / 2 * 1000));
        sim_cut(r.sim, 1, 0);
        run_ms(&r, 15000);
        sim_heal_all(r.sim);
        agree_within(&r, 2, 40000);
        run_ms(&r, 10000);
        int least = sent[i].status == 200 || sent[i].status == 202;
        assert_in_range(times_heard(i + 1, "one"), least, 1);
    }
    rig_end(&r);
}

static void what_is_said_to_a_moving_name_arrives_once(void **state)
{
    (void)state;
    a_moving_name(10, 0);
    a_moving_name(11, 0);
    a_moving_name(12, 20000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_joins_while_it_leaves_is_in),
        cmocka_unit_test(a_join_on_two_sides_is_one_member),
        cmocka_unit_test(late_news_revive_no_member),
        cmocka_unit_test(members_of_a_lost_life_are_swept),
        cmocka_unit_test(a_membership_survives_the_node),
        cmocka_unit_test(what_was_answered_outlives_each_node),
        cmocka_unit_test(each_member_has_the_same_chance),
        cmocka_unit_test(nobody_waits_for_a_node_that_is_away),
        cmocka_unit_test(nobody_waits_for_the_dead),
        cmocka_unit_test(a_reply_after_the_deadline_goes_nowhere),
        cmocka_unit_test(a_mail_that_comes_twice_is_carried_out_once),
        cmocka_unit_test(a_thousand_members),
        cmocka_unit_test(what_has_no_answer_is_said_once),
        cmocka_unit_test(what_is_said_to_a_moving_name_arrives_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
