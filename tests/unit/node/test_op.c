/* Operations: each ends in exactly one answer, whatever wakes it, fails it or forgets it. */
#include "bench.h"

static int answers_at_once(struct bench *b, struct op *op)
{
    op_answer(b->n, op, bench_text(200, "{}"));
    return 0;
}

static void an_answer_leaves_once(void **state)
{
    (void)state;
    struct bench b;
    bench_begin(&b, false, answers_at_once);
    bench_ask(&b);
    assert_int_equal(bench_status(&b, 1), 200);
    bench_run(&b, 40000);
    assert_int_equal(bench_status(&b, 1), 200);
    assert_int_equal(b.served, 1);
    bench_end(&b);
}

/* ---- waiting ---- */

static int waits_for_a_name(struct bench *b, struct op *op)
{
    if (bench_has(b, "x"))
        op_answer(b->n, op, bench_text(201, "{}"));
    else
        op_wait_key(b->n, op, "default", "x");
    return 0;
}

static int write_x(struct node *n, void *arg)
{
    int rc = bench_write(arg, "x");
    node_wake(n, "default", "x");
    return rc;
}

static int wake_y(struct node *n, void *arg)
{
    (void)arg;
    node_wake(n, "default", "y");
    return 0;
}

static void who_waits_for_a_name_is_woken_by_it(void **state)
{
    (void)state;
    struct bench b;
    bench_begin(&b, false, waits_for_a_name);
    bench_ask(&b);
    assert_int_equal(bench_status(&b, 1), 0);
    assert_int_equal(node_transact(b.n, wake_y, &b), 0);
    bench_turn(&b, 1, NULL);
    assert_int_equal(b.served, 1); /* another name */
    assert_int_equal(node_transact(b.n, write_x, &b), 0);
    bench_turn(&b, 1, NULL);
    assert_int_equal(bench_status(&b, 1), 201);
    assert_int_equal(b.served, 2);
    bench_end(&b);
}

/* The second request of a batch writes what the first one waits for. */
static int waits_or_writes(struct bench *b, struct op *op)
{
    if (op->request->id == 2) {
        op_answer(b->n, op, bench_text(200, "{}"));
        return write_x(b->n, b);
    }
    return waits_for_a_name(b, op);
}

static void a_wait_that_begins_in_the_batch_that_ends_it_ends(void **state)
{
    (void)state;
    struct bench b;
    bench_begin(&b, false, waits_or_writes);
    struct event both[2] = {bench_request(&b), bench_request(&b)};
    node_turn(b.n, both, 2);
    assert_int_equal(bench_status(&b, 1), 201);
    assert_int_equal(bench_status(&b, 2), 200);
    bench_end(&b);
}

static void a_deadline_answers_504(void **state)
{
    (void)state;
    struct bench b;
    bench_begin(&b, false, waits_for_a_name);
    bench_ask(&b);
    bench_run(&b, 29900);
    assert_int_equal(bench_status(&b, 1), 0);
    bench_run(&b, 200);
    assert_int_equal(bench_status(&b, 1), 504);
    assert_int_equal(node_transact(b.n, write_x, &b), 0);
    bench_run(&b, 1000);
    assert_int_equal(bench_status(&b, 1), 504);
    bench_end(&b);
}

static void a_closed_view_answers_503_and_an_open_one_at_once(void **state)
{
    (void)state;
    struct bench b;
    bench_begin(&b, true, bench_waits_open);
    b.peer_deaf = true;
    bench_run(&b, 4500); /* nothing heard of the peer for 0.8 suspect_ms: closed */
    bench_ask(&b);
    assert_int_equal(bench_status(&b, 1), 0);
    bench_run(&b, 8000); /* the peer is suspect, then this node waits alone_ms */
    assert_int_equal(bench_status(&b, 1), 200);
    bench_end(&b);
}

static int waits_in_vain(struct bench *b, struct op *op)
{
    op_wait_open(b->n, op);
    return 0;
}

static void waiting_for_the_view_ends_with_503(void **state)
{
    (void)state;
    struct bench b;
    bench_begin(&b, false, waits_in_vain);
    bench_ask(&b);
    bench_run(&b, 30100);
    assert_int_equal(bench_status(&b, 1), 503);
    assert_non_null(strstr(b.answers[0].body, "settling"));
    bench_end(&b);
}

/* ---- failing ---- */

static int touched;

static void bump(struct node *n, void *arg)
{
    (void)n;
    ++*(int *)arg;
}

/* The request with an even number fails after it has done all it can. */
static int fails_when_even(struct bench *b, struct op *op)
{
    bool even = op->request->id % 2 == 0;
    node_touch(b->n, &touched, sizeof touched);
    touched += even ? 1000 : 1;
    eff_do(b->n, bump, &b->mails, NULL);
    int rc = bench_write(b, even ? "even" : "odd");
    op_wait_key(b->n, op, "default", "never");
    op_answer(b->n, op, bench_text(200, "{}"));
    return rc < 0 ? rc : even ? SKEP_EDISKFULL : 0;
}

static void a_handler_that_fails_never_happened(void **state)
{
    (void)state;
    struct bench b;
    touched = 0;
    bench_begin(&b, false, fails_when_even);
    b.mails = 0;
    struct event all[5];
    for (int i = 0; i < 5; i++)
        all[i] = bench_request(&b);
    node_turn(b.n, all, 5);
    for (uint64_t i = 1; i <= 5; i++)
        assert_int_equal(bench_status(&b, i), i % 2 ? 200 : 503);
    assert_int_equal(touched, 3);
    assert_int_equal(b.mails, 3);
    assert_true(bench_has(&b, "odd"));
    assert_false(bench_has(&b, "even"));
    bench_run(&b, 31000);
    assert_int_equal(b.answers_n, 5);
    bench_end(&b);
}

/* ---- forwarding ---- */

static int forwards(struct bench *b, struct op *op)
{
    if (op->source == OP_CLIENT && op->st.step == 0)
        op_forward(b->n, op, &b->peer_id, true);
    else
        op_answer(b->n, op, bench_text(200, "{\"here\":true}"));
    return 0;
}

static int64_t forwarded_stamp;

/* What the newest mail forwards: its op and its try, and its stamp. */
static struct id forwarded(struct bench *b, uint64_t *ret_try)
{
    struct reader r = reader_init(str_get(&b->mail), b->mail.n);
    read_id(&r);
    read_id(&r);
    read_bool(&r);
    struct span bytes = read_bytes(&r);
    struct reader m = reader_init(bytes.p, bytes.n);
    assert_int_equal(read_u8(&m), MAIL_FORWARD);
    struct id op = read_id(&m);
    *ret_try = read_varint(&m);
    forwarded_stamp = read_i64(&m);
    assert_false(m.bad);
    return op;
}

static struct event outcome(struct bench *b, struct id op, uint64_t try, int status, bool refused,
                            int64_t hlc)
{
    struct str m = STR_INIT, body = STR_INIT;
    buf_u8(&m, MAIL_OUTCOME);
    buf_id(&m, &op);
    buf_varint(&m, try);
    buf_u8(&m, refused);
    buf_u32(&m, (uint32_t)status);
    buf_text(&m, "");
    buf_u32(&m, 0);
    for (int i = 0; i <= OP_SHOWN; i++) {
        buf_i64(&m, i ? 0 : BENCH_PEER_ACTOR);
        buf_i64(&m, i ? 0 : hlc);
    }
    buf_bytes(&m, "{\"there\":1}", 11);
    buf_id(&body, &b->n->cluster);
    buf_id(&body, &b->peer_id);
    buf_u8(&body, false);
    buf_bytes(&body, str_get(&m), m.n);
    str_fini(&m);
    struct event ev = bench_request(b);
    mem_replace(&ev.request->path, "/v1/peer/mail");
    ev.request->who = (struct principal){.role = ROLE_PEER, .node = b->peer_id};
    free(ev.request->body);
    ev.request->body_n = body.n;
    ev.request->body = str_take(&body);
    return ev;
}

static void tell(struct bench *b, struct id op, uint64_t try, int status, bool refused, int64_t hlc)
{
    struct event ev = outcome(b, op, try, status, refused, hlc);
    bench_turn(b, 1, &ev);
}

/* A request is on its way to the peer. */
static struct id begin_forwarded(struct bench *b, uint64_t *ret_try)
{
    bench_begin(b, true, forwards);
    bench_ask(b);
    bench_turn(b, 1, NULL);
    return forwarded(b, ret_try);
}

static void an_outcome_answers_and_a_former_trys_does_not(void **state)
{
    (void)state;
    struct bench b;
    uint64_t try;
    struct id op = begin_forwarded(&b, &try);
    tell(&b, op, try + 1, 200, false, 0);
    assert_int_equal(bench_status(&b, 1), 0);
    tell(&b, op, try, 201, false, 0);
    assert_int_equal(bench_status(&b, 1), 201);
    tell(&b, op, try, 200, false, 0);
    assert_int_equal(bench_status(&b, 1), 201);
    bench_end(&b);
}

static void an_answer_waits_for_what_it_shows(void **state)
{
    (void)state;
    struct bench b;
    uint64_t try;
    struct id op = begin_forwarded(&b, &try);
    tell(&b, op, try, 201, false, 12345);
    bench_run(&b, 900);
    assert_int_equal(bench_status(&b, 1), 0);
    bench_run(&b, 200);
    assert_int_equal(bench_status(&b, 1), 201);
    bool said = false;
    for (int i = 0; i < b.answers_n; i++)
        said |= strcmp(b.answers[i].body, "{\"replicated\":false,\"there\":1}") == 0;
    assert_true(said);
    bench_end(&b);
}

static void a_refusal_is_asked_again_under_a_new_number(void **state)
{
    (void)state;
    struct bench b;
    uint64_t first, second;
    struct id op = begin_forwarded(&b, &first);
    tell(&b, op, first, 0, true, 0);
    bench_run(&b, 100);
    assert_int_equal(b.mails, 2);
    struct id again = forwarded(&b, &second);
    assert_true(id_equal(&op, &again));
    assert_int_equal(second, first + 1);
    tell(&b, op, second, 200, false, 0);
    assert_int_equal(bench_status(&b, 1), 200);
    bench_end(&b);
}

/* Only when every try was refused is a new stamp safe: a lost one may have been carried out, and undone
 * since. */
static void a_lost_try_keeps_its_stamp(void **state)
{
    (void)state;
    for (int lost = 0; lost < 2; lost++) {
        struct bench b;
        uint64_t try;
        struct id op = begin_forwarded(&b, &try);
        int64_t first = forwarded_stamp;
        if (lost) {
            ops_lost(b.n, &b.peer_id, 0);
            bench_run(&b, 200);
            op = forwarded(&b, &try);
            assert_int_equal(forwarded_stamp, first);
        }
        tell(&b, op, try, 0, true, 0);
        bench_run(&b, 500);
        assert_int_equal(b.mails, lost ? 3 : 2);
        forwarded(&b, &try);
        assert_int_equal(forwarded_stamp == first, lost);
        bench_end(&b);
    }
}

/* "There is none" after a lost try may be that try's own work. */
static void nothing_found_after_a_lost_try_is_no_404(void **state)
{
    (void)state;
    struct bench b;
    uint64_t try;
    bench_begin(&b, true, forwards);
    bench_ask(&b);
    bench_turn(&b, 1, NULL);
    ops_lost(b.n, &b.peer_id, 0);
    bench_run(&b, 200);
    assert_int_equal(b.mails, 2);
    struct id op = forwarded(&b, &try);
    tell(&b, op, try, 404, false, 0);
    assert_int_equal(bench_status(&b, 1), 504);
    bench_end(&b);
}

/* A peer that takes no mail is not asked ten times a second by everybody who has something for it. */
static void who_takes_no_mail_is_asked_less_and_less(void **state)
{
    (void)state;
    struct bench b;
    bench_begin(&b, true, forwards);
    struct event ev = bench_request(&b);
    b.peer_full = true;
    bench_turn(&b, 1, &ev);
    bench_run(&b, 29000);
    assert_in_range(b.mails, 12, 40); /* the budget of soon ones, then one in two to three seconds */
    assert_int_equal(bench_status(&b, 1), 0);
    b.peer_full = false;
    int before = b.mails;
    bench_run(&b, 900); /* its time is nearly up; a mail gets through or not, it ends */
    bench_run(&b, 4000);
    assert_true(b.mails <= before + 3);
    assert_true(bench_status(&b, 1) > 0);
    bench_end(&b);
}

/* What was taken pays for what must be said again: a tenth of it. */
static void a_mail_that_is_lost_now_and_then_is_soon_repeated(void **state)
{
    (void)state;
    struct bench b;
    bench_begin(&b, true, forwards);
    for (int i = 0; i < 40; i++) {
        struct event ev = bench_request(&b);
        int before = b.mails;
        b.peer_full = i % 12 == 0;
        bench_turn(&b, 1, &ev);
        bench_run(&b, 50);
        b.peer_full = false;
        bench_run(&b, 300);
        assert_true(b.mails >= before + 1 + (i % 12 == 0));
    }
    bench_end(&b);
}

static int parks(struct bench *b, struct op *op)
{
    op_wait_key(b->n, op, "default", "never");
    return 0;
}

static void only_so_many_requests_wait(void **state)
{
    (void)state;
    struct bench b;
    bench_begin(&b, false, parks);
    for (int i = 0; i < 10000 + 5; i++) {
        struct event ev = bench_request(&b);
        bench_turn(&b, 0, &ev);
    }
    assert_int_equal(b.answers_n, 5);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(b.answers[i].status, 503);
        assert_non_null(strstr(b.answers[i].body, "\"overloaded\""));
    }
    bench_end(&b);
}

static void what_waits_is_freed_with_the_node(void **state)
{
    (void)state;
    struct bench b;
    bench_begin(&b, true, forwards);
    for (int i = 0; i < 3; i++) {
        struct event ev = bench_request(&b);
        bench_turn(&b, 1, &ev);
    }
    bench_end(&b); /* the leak checker looks */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_leaves_once),
        cmocka_unit_test(who_waits_for_a_name_is_woken_by_it),
        cmocka_unit_test(a_wait_that_begins_in_the_batch_that_ends_it_ends),
        cmocka_unit_test(a_deadline_answers_504),
        cmocka_unit_test(a_closed_view_answers_503_and_an_open_one_at_once),
        cmocka_unit_test(waiting_for_the_view_ends_with_503),
        cmocka_unit_test(a_handler_that_fails_never_happened),
        cmocka_unit_test(an_outcome_answers_and_a_former_trys_does_not),
        cmocka_unit_test(an_answer_waits_for_what_it_shows),
        cmocka_unit_test(a_refusal_is_asked_again_under_a_new_number),
        cmocka_unit_test(a_lost_try_keeps_its_stamp),
        cmocka_unit_test(nothing_found_after_a_lost_try_is_no_404),
        cmocka_unit_test(who_takes_no_mail_is_asked_less_and_less),
        cmocka_unit_test(a_mail_that_is_lost_now_and_then_is_soon_repeated),
        cmocka_unit_test(only_so_many_requests_wait),
        cmocka_unit_test(what_waits_is_freed_with_the_node),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
