/* Waiting for copies: what a peer's pull request proves, and when nobody is asked. */
#include "bench.h"

static int copies_wanted = 1;

/* "copies" in the body becomes the number. */
static int writes(struct bench *b, struct op *op)
{
    AUTOFREE char *name = mem_printf("n%llu", (unsigned long long)op->request->id);
    int rc = bench_write(b, name);
    op_answer_covered(b->n, op, store_written(b->n->store), copies_wanted,
                      bench_text(201, "{\"copies\":@,\"x\":1}"));
    return rc;
}

static const char *body_of(const struct bench *b, uint64_t request)
{
    for (int i = 0; i < b->answers_n; i++)
        if (b->answers[i].request == request)
            return b->answers[i].body;
    return "";
}

static void alone_nobody_is_waited_for(void **state)
{
    (void)state;
    struct bench b;
    bench_begin(&b, false, writes);
    bench_ask(&b);
    assert_string_equal(body_of(&b, 1), "{\"copies\":0,\"x\":1}");
    bench_end(&b);
}

static void a_pull_that_covers_answers_and_a_former_one_does_not(void **state)
{
    (void)state;
    struct bench b;
    bench_begin(&b, true, writes);
    bench_ask(&b);
    int64_t hlc = store_written(b.n->store);
    bench_run(&b, 500);
    assert_int_equal(bench_status(&b, 1), 0);
    struct event ev = bench_pulled(&b, hlc - 1);
    bench_turn(&b, 1, &ev);
    assert_int_equal(bench_status(&b, 1), 0);
    ev = bench_pulled(&b, hlc);
    bench_turn(&b, 1, &ev);
    assert_string_equal(body_of(&b, 1), "{\"copies\":1,\"x\":1}");
    bench_end(&b);
}

static void one_pull_answers_all_it_covers(void **state)
{
    (void)state;
    struct bench b;
    int64_t hlc[5];
    bench_begin(&b, true, writes);
    for (int i = 0; i < 5; i++) {
        struct event ev = bench_request(&b);
        bench_turn(&b, 1, &ev);
        hlc[i] = store_written(b.n->store);
    }
    struct event ev = bench_pulled(&b, hlc[2]);
    bench_turn(&b, 1, &ev);
    for (uint64_t i = 1; i <= 5; i++)
        assert_int_equal(bench_status(&b, i), i <= 3 ? 201 : 0);
    ev = bench_pulled(&b, hlc[4]);
    bench_turn(&b, 1, &ev);
    for (uint64_t i = 1; i <= 5; i++)
        assert_int_equal(bench_status(&b, i), 201);
    bench_end(&b);
}

static void more_than_there_are_is_not_waited_for(void **state)
{
    (void)state;
    struct bench b;
    copies_wanted = 4;
    bench_begin(&b, true, writes);
    bench_ask(&b);
    struct event ev = bench_pulled(&b, store_written(b.n->store));
    bench_turn(&b, 1, &ev);
    assert_string_equal(body_of(&b, 1), "{\"copies\":1,\"x\":1}");
    copies_wanted = 1;
    bench_end(&b);
}

static int writes_with_acks(struct bench *b, struct op *op)
{
    op->acks = 3;
    op->deadline_ms = b->boot_ms + 2000;
    return writes(b, op);
}

static void acks_of_a_client_are_never_lowered(void **state)
{
    (void)state;
    struct bench b;
    bench_begin(&b, true, writes_with_acks);
    bench_ask(&b);
    struct event ev = bench_pulled(&b, store_written(b.n->store));
    bench_turn(&b, 1, &ev);
    assert_int_equal(bench_status(&b, 1), 0);
    bench_run(&b, 2100);
    assert_int_equal(bench_status(&b, 1), 504);
    assert_true(bench_has(&b, "n1"));
    bench_end(&b);
}

/* Who waits for a node that is gone goes on without it. */
static void a_peer_that_leaves_the_view_ends_the_wait(void **state)
{
    (void)state;
    struct bench b;
    bench_begin(&b, true, writes);
    bench_ask(&b);
    b.peer_deaf = true;
    bench_run(&b, 4000);
    assert_int_equal(bench_status(&b, 1), 0);
    bench_run(&b, 2500);
    assert_string_equal(body_of(&b, 1), "{\"copies\":0,\"x\":1}");
    bench_end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alone_nobody_is_waited_for),
        cmocka_unit_test(a_pull_that_covers_answers_and_a_former_one_does_not),
        cmocka_unit_test(one_pull_answers_all_it_covers),
        cmocka_unit_test(more_than_there_are_is_not_waited_for),
        cmocka_unit_test(acks_of_a_client_are_never_lowered),
        cmocka_unit_test(a_peer_that_leaves_the_view_ends_the_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
