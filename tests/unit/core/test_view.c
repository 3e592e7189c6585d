/* The barrier in front of every decision: when a view opens, and what closes it again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/view.h"

#define FRESH_MS 4000
#define ALONE_MS 5000

static struct id id_of(unsigned char b)
{
    struct id id = {{0}};
    id.b[0] = b;
    return id;
}

/* Node 2 of three members, 1 and 3 in the view. */
static void three(struct view *v)
{
    struct id self = id_of(2);
    view_init(v, &self, FRESH_MS, ALONE_MS);
    v->self.member = true;
    for (unsigned char b = 1; b <= 3; b += 2) {
        struct id id = id_of(b);
        struct view_node *p = view_node(v, &id);
        p->member = p->in_view = true;
    }
    view_update(v, 0);
}

static void answer(struct view *v, unsigned char b, int64_t now)
{
    struct id id = id_of(b);
    view_answered(v, &id, v->ask, now, v->signature);
}

static void pull(struct view *v, unsigned char b)
{
    struct id id = id_of(b);
    view_chain_ended(v, &id, view_chain_begins(v, &id));
}

static void open_it(struct view *v, int64_t now)
{
    answer(v, 1, now);
    answer(v, 3, now);
    pull(v, 1);
    pull(v, 3);
    assert_true(view_is_open(v, now));
}

static void a_view_opens_after_every_answer_and_a_chain_behind_it(void **state)
{
    struct view v;
    (void)state;
    three(&v);
    assert_false(view_is_open(&v, 10));
    pull(&v, 1); /* begun before the answer: proves nothing */
    answer(&v, 1, 10);
    answer(&v, 3, 10);
    assert_false(view_is_open(&v, 10));
    pull(&v, 1);
    assert_false(view_is_open(&v, 10));
    pull(&v, 3);
    assert_true(view_is_open(&v, 10));
    view_fini(&v);
}

static void the_signature_does_not_depend_on_who_looks(void **state)
{
    struct view a, b;
    struct id one = id_of(1), two = id_of(2), three_ = id_of(3);
    (void)state;
    three(&a);
    view_init(&b, &three_, FRESH_MS, ALONE_MS);
    b.self.member = true;
    struct view_node *p = view_node(&b, &two);
    p->member = p->in_view = true;
    p = view_node(&b, &one);
    p->member = p->in_view = true;
    view_update(&b, 0);
    assert_true(a.signature == b.signature);
    p = view_node(&b, &one);
    p->draining = true;
    assert_true(view_update(&b, 0));
    assert_true(a.signature != b.signature);
    p->draining = false;
    p->weight = 1; /* who may be home is a part of what they agree on */
    assert_true(view_update(&b, 0));
    assert_true(a.signature != b.signature);
    view_fini(&a);
    view_fini(&b);
}

static void a_change_of_the_view_needs_everything_again(void **state)
{
    struct view v;
    struct id three_ = id_of(3);
    (void)state;
    three(&v);
    open_it(&v, 10);
    int64_t ask = v.ask;
    view_node(&v, &three_)->in_view = false;
    assert_true(view_update(&v, 20));
    assert_true(v.ask > ask);
    assert_false(view_is_open(&v, 20));
    answer(&v, 1, 21);
    pull(&v, 1);
    assert_true(view_is_open(&v, 21));
    view_fini(&v);
}

static void a_lapse_is_latched(void **state)
{
    struct view v;
    (void)state;
    three(&v);
    open_it(&v, 10);
    int64_t old = v.ask;
    struct id one = id_of(1);
    assert_true(view_lapse(&v, 10 + FRESH_MS));
    view_answered(&v, &one, old, 10 + FRESH_MS, v.signature); /* an answer to the older ask */
    answer(&v, 3, 10 + FRESH_MS);
    pull(&v, 1);
    pull(&v, 3);
    assert_false(view_is_open(&v, 10 + FRESH_MS));
    open_it(&v, 11 + FRESH_MS);
    view_fini(&v);
}

static void another_signature_closes_and_its_return_does_not_open(void **state)
{
    struct view v;
    struct id one = id_of(1);
    (void)state;
    three(&v);
    open_it(&v, 10);
    int64_t ask = v.ask;
    view_answered(&v, &one, ask, 20, v.signature + 1);
    assert_false(view_is_open(&v, 20));
    view_answered(&v, &one, ask, 30, v.signature); /* it was under another view meanwhile */
    assert_false(view_is_open(&v, 30));
    open_it(&v, 40);
    view_fini(&v);
}

static void a_bounced_peer_must_answer_and_be_pulled_from_again(void **state)
{
    struct view v;
    struct id one = id_of(1);
    (void)state;
    three(&v);
    open_it(&v, 10);
    view_bounced(&v, &one);
    assert_false(view_is_open(&v, 11));
    answer(&v, 1, 12);
    answer(&v, 3, 12);
    pull(&v, 1);
    assert_false(view_is_open(&v, 12));
    pull(&v, 3);
    assert_true(view_is_open(&v, 12));
    view_fini(&v);
}

static void alone_among_known_members_waits(void **state)
{
    struct view v;
    struct id one = id_of(1), three_ = id_of(3);
    (void)state;
    three(&v);
    view_node(&v, &one)->in_view = false;
    view_node(&v, &three_)->in_view = false;
    view_update(&v, 100);
    assert_false(view_is_open(&v, 100 + ALONE_MS - 1));
    assert_true(view_deadline_ms(&v, 100) == 100 + ALONE_MS);
    assert_true(view_is_open(&v, 100 + ALONE_MS));
    view_fini(&v);
}

static void the_first_node_of_a_cluster_opens_at_once(void **state)
{
    struct view v;
    struct id self = id_of(2);
    (void)state;
    view_init(&v, &self, FRESH_MS, ALONE_MS);
    v.self.member = true;
    view_update(&v, 0);
    assert_true(view_is_open(&v, 0));
    view_fini(&v);
}

static void a_newcomer_never_opens_but_may_join_after_the_barrier(void **state)
{
    struct view v;
    (void)state;
    three(&v);
    v.self.member = false;
    view_update(&v, 0);
    assert_false(view_may_join(&v, 10));
    answer(&v, 1, 10);
    answer(&v, 3, 10);
    pull(&v, 1);
    pull(&v, 3);
    assert_true(view_may_join(&v, 10));
    assert_false(view_is_open(&v, 10));
    view_fini(&v);
}

static void a_newcomer_that_sees_no_member_may_not_join(void **state)
{
    struct view v;
    struct id self = id_of(2), other = id_of(3);
    (void)state;
    view_init(&v, &self, FRESH_MS, ALONE_MS);
    view_node(&v, &other)->in_view = true;
    view_update(&v, 0);
    assert_false(view_may_join(&v, 10));
    assert_false(view_is_open(&v, 10 + ALONE_MS));
    view_fini(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_view_opens_after_every_answer_and_a_chain_behind_it),
        cmocka_unit_test(the_signature_does_not_depend_on_who_looks),
        cmocka_unit_test(a_change_of_the_view_needs_everything_again),
        cmocka_unit_test(a_lapse_is_latched),
        cmocka_unit_test(another_signature_closes_and_its_return_does_not_open),
        cmocka_unit_test(a_bounced_peer_must_answer_and_be_pulled_from_again),
        cmocka_unit_test(alone_among_known_members_waits),
        cmocka_unit_test(the_first_node_of_a_cluster_opens_at_once),
        cmocka_unit_test(a_newcomer_never_opens_but_may_join_after_the_barrier),
        cmocka_unit_test(a_newcomer_that_sees_no_member_may_not_join),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
