/* Passing on: what a relayer takes, how much of it, and who may speak for whom. How it works together is in
 * tests/unit/sim/test_relay.c.
 */
#include "bench.h"

#define ORIGIN 3 /* the bench's peer */

static int serve(struct bench *b, struct op *op)
{
    (void)b, (void)op;
    return 0;
}

static struct id node_id(int of)
{
    return (struct id){{(unsigned char)of}};
}

static struct event wish(struct bench *b, int origin, int target, const char *path)
{
    struct str body = STR_INIT;
    struct id from = node_id(origin), to = node_id(target);
    struct event ev = bench_request(b);
    struct request *r = ev.request;
    buf_id(&body, &b->n->cluster);
    buf_id(&body, &from);
    buf_id(&body, &to);
    buf_varint(&body, 800);
    buf_text(&body, path);
    buf_bytes(&body, "x", 1);
    mem_replace(&r->path, RELAY_PATH);
    free(r->body);
    r->body_n = body.n;
    r->body = str_take(&body);
    r->who = (struct principal){.role = ROLE_PEER, .node = node_id(ORIGIN)};
    return ev;
}

/* A second peer, which nobody has heard yet. */
static struct peer *meet(struct bench *b, int of)
{
    struct node_row row = {.boot = (char[]){"00000000000000000000000000000001"},
                           .name = (char[]){"far"},
                           .state = (char[]){"up"},
                           .url = (char[]){"https://far:1"},
                           .version = (char[]){"1"},
                           .actor = 5,
                           .member = true};
    char text[ID_TEXT];
    struct id id = node_id(of);
    struct err e;
    row.node = (char *)(uintptr_t)id_text(&id, text);
    assert_int_equal(db_begin(store_db(b->n->store), &e), 0);
    assert_int_equal(store_save(b->n->store, T_NODE, &row, &e), 0);
    assert_int_equal(db_commit(store_db(b->n->store), &e), 0);
    assert_int_equal(peers_load(b->n), 0);
    return peer_find(b->n, &id);
}

static int asked(struct bench *b, struct event ev)
{
    uint64_t id = ev.request->id;
    bench_turn(b, 1, &ev);
    return bench_status(b, id);
}

static void what_cannot_be_passed_on_is_refused_at_once(void **state)
{
    (void)state;
    struct bench b;
    bench_begin(&b, true, serve);
    b.peer_deaf = true;
    meet(&b, 4);
    assert_int_equal(asked(&b, wish(&b, ORIGIN, 9, "/v1/peer/ping")), 409); /* unknown: no opinion */
    assert_int_equal(asked(&b, wish(&b, 4, ORIGIN, "/v1/peer/ping")), 400); /* in the name of another one */
    assert_int_equal(asked(&b, wish(&b, ORIGIN, ORIGIN, "/v1/peer/ping")), 400);
    assert_int_equal(asked(&b, wish(&b, ORIGIN, 4, RELAY_PATH)), 400); /* two hops, never three */
    assert_int_equal(asked(&b, wish(&b, ORIGIN, 4, "/v1/peer/ping?for=x")), 400);
    assert_int_equal(asked(&b, wish(&b, ORIGIN, 4, "/v1/shutdown")), 400);
    struct event cut = wish(&b, ORIGIN, 4, "/v1/peer/ping");
    cut.request->body_n--;
    assert_int_equal(asked(&b, cut), 400);
    assert_int_equal(b.n->relays.n, 0);
    bench_end(&b);
}

static void so_many_calls_of_one_node_are_passed_on(void **state)
{
    (void)state;
    struct bench b;
    bench_begin(&b, true, serve);
    b.peer_deaf = true;
    meet(&b, 4);
    for (int i = 0; i < RELAYS_MAX; i++)
        assert_int_equal(asked(&b, wish(&b, ORIGIN, 4, "/v1/peer/pull")), 0);
    assert_int_equal(asked(&b, wish(&b, ORIGIN, 4, "/v1/peer/pull")), 503);
    assert_int_equal(b.n->relays.n, RELAYS_MAX);
    struct event failed = {.kind = EV_PEER_FAILED, .call = b.n->relays.list[0].call, .failure = NET_REFUSED};
    bench_turn(&b, 1, &failed);
    assert_int_equal(b.n->relays.n, RELAYS_MAX - 1);
    assert_int_equal(bench_status(&b, b.answers[b.answers_n - 1].request), 200);
    assert_int_equal(b.answers[b.answers_n - 1].body[0], 0); /* silent, whatever the failure was */
    assert_int_equal(asked(&b, wish(&b, ORIGIN, 4, "/v1/peer/pull")), 0);
    bench_end(&b);
}

/* Who waits for a node that falls silent is told at once, and who asks then, too. */
static void a_silent_target_is_not_waited_for(void **state)
{
    (void)state;
    struct bench b;
    bench_begin(&b, true, serve);
    b.peer_deaf = true;
    struct peer *far = meet(&b, 4);
    struct event ev = wish(&b, ORIGIN, 4, "/v1/peer/mail");
    uint64_t waits = ev.request->id;
    bench_turn(&b, 1, &ev);
    assert_int_equal(bench_status(&b, waits), 0);
    assert_true(far->ping_call != 0);
    struct event silence = {.kind = EV_PEER_FAILED, .call = far->ping_call, .failure = NET_TIMEOUT};
    bench_turn(&b, 1, &silence);
    assert_int_equal(bench_status(&b, waits), 200);
    assert_int_equal(asked(&b, wish(&b, ORIGIN, 4, "/v1/peer/ping")), 200);
    bench_end(&b);
}

static void who_may_speak_for_whom(void **state)
{
    (void)state;
    struct id forgotten[] = {{{8}}};
    struct frozen_node nodes[] = {{.id = {{1}}, .name = (char[]){"a"}, .member = true},
                                  {.id = {{2}}, .name = (char[]){"b"}, .member = true},
                                  {.id = {{5}}, .name = (char[]){"new"}}};
    struct frozen f = {.self = {{2}}, .nodes = nodes, .nodes_n = 3, .forgotten = forgotten, .forgotten_n = 1};
    static const struct {
        int by;
        const char *path, *query;
        bool may;
    } cases[] = {
        {1, "/v1/peer/ping", NULL, true},
        {1, "/v1/peer/ping", "for=03000000000000000000000000000000", true},
        {1, "/v1/peer/mail", "for=05000000000000000000000000000000", true},
        {1, "/v1/peer/relay", "for=03000000000000000000000000000000", false},
        {1, "/v1/peer/ping", "for=02000000000000000000000000000000", false}, /* for us */
        {1, "/v1/peer/ping", "for=08000000000000000000000000000000", false}, /* forgotten */
        {1, "/v1/peer/ping", "for=00000000000000000000000000000000", false},
        {1, "/v1/peer/ping", "for=03", false},
        {1, "/v1/peer/ping", "", false},
        {5, "/v1/peer/ping", "for=03000000000000000000000000000000", false}, /* no member yet */
        {7, "/v1/peer/ping", "for=03000000000000000000000000000000", false}, /* nobody knows it */
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct principal who = {.role = ROLE_PEER, .node = node_id(cases[i].by)};
        if (relay_speaks_for(&f, cases[i].path, cases[i].query, &who) != cases[i].may)
            fail_msg("case %d", (int)i);
        assert_int_equal(who.node.b[0], i == 1 ? 3 : i == 2 ? 5 : cases[i].by);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_cannot_be_passed_on_is_refused_at_once),
        cmocka_unit_test(so_many_calls_of_one_node_are_passed_on),
        cmocka_unit_test(a_silent_target_is_not_waited_for),
        cmocka_unit_test(who_may_speak_for_whom),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
