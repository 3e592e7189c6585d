/* The checker, checked: histories that a right cluster may leave, histories that none may, and random ones
 * against a search that tries every order.
 */
#include "sim/linear.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/prng.h"

#define TRIES 1000000

/* A line of a hand-made history: from, to, kind, arg, arg2, verdict (-1: nobody knows, -2: refused), got. */
struct made {
    int from, to;
    enum claim_kind kind;
    int arg, arg2, verdict, got;
};
#define NEVER    (-1)
#define REFUSED  (-2)
#define AFTER(n) (10 * (n)), (10 * (n) + 5) /* one after the other */

static int moment_of_begin(const void *a, const void *b)
{
    return ((const struct made *)a)->from - ((const struct made *)b)->from;
}

static struct history history_of(const struct made *made, size_t n)
{
    struct history h = {0};
    struct made sorted[64];
    memcpy(sorted, made, n * sizeof *made);
    qsort(sorted, n, sizeof *sorted, moment_of_begin);
    for (size_t i = 0; i < n; i++)
        history_begin(&h, sorted[i].from, 0, sorted[i].kind, sorted[i].arg, sorted[i].arg2);
    for (size_t i = 0; i < n; i++) {
        int v = sorted[i].verdict;
        history_end(&h, i, sorted[i].to,
                    v == NEVER     ? HIST_UNKNOWN
                    : v == REFUSED ? HIST_FAILED
                                   : HIST_OK,
                    v, sorted[i].got);
    }
    return h;
}

static enum linear judge(const struct made *made, size_t n, int64_t initial, size_t *ret_bad)
{
    struct history h = history_of(made, n);
    enum linear verdict = linear_check(&h, initial, claim_step, TRIES, ret_bad);
    history_fini(&h);
    return verdict;
}

#define GOOD(...)                                                                                            \
    do {                                                                                                     \
        const struct made made_[] = {__VA_ARGS__};                                                           \
        assert_int_equal(judge(made_, COUNT(made_), 0, NULL), LINEAR_YES);                                   \
    } while (0)
/* bad: the operation that fits nowhere. */
#define BAD(bad, ...)                                                                                        \
    do {                                                                                                     \
        const struct made made_[] = {__VA_ARGS__};                                                           \
        size_t which_ = 999;                                                                                 \
        assert_int_equal(judge(made_, COUNT(made_), 0, &which_), LINEAR_NO);                                 \
        assert_int_equal(which_, bad);                                                                       \
    } while (0)

/* ---- One after the other ---- */

static void what_happened_in_order_is_right(void **state)
{
    (void)state;
    GOOD({AFTER(0), CLAIM_READ, 0, 0, CLAIM_NOBODY, 0}, {AFTER(1), CLAIM_TAKE, 7, 0, CLAIM_DONE, 0},
         {AFTER(2), CLAIM_READ, 0, 0, CLAIM_DONE, 7}, {AFTER(3), CLAIM_TAKE, 8, 0, CLAIM_HELD, 7},
         {AFTER(4), CLAIM_TAKE, 7, 0, CLAIM_SAME, 0}, {AFTER(5), CLAIM_CALL, 0, 0, CLAIM_DONE, 1},
         {AFTER(6), CLAIM_CALL, 0, 0, CLAIM_DONE, 2}, {AFTER(7), CLAIM_REPLACE, 9, 7, CLAIM_DONE, 0},
         {AFTER(8), CLAIM_REPLACE, 10, 7, CLAIM_HELD, 0}, {AFTER(9), CLAIM_FREE, 0, 0, CLAIM_DONE, 9},
         {AFTER(10), CLAIM_FREE, 0, 0, CLAIM_NOBODY, 0}, {AFTER(11), CLAIM_TAKE, 11, 0, CLAIM_DONE, 0},
         {AFTER(12), CLAIM_CALL, 0, 0, CLAIM_DONE, 1});
}

static void a_stale_read(void **state)
{
    (void)state;
    BAD(2, {AFTER(0), CLAIM_TAKE, 1, 0, CLAIM_DONE, 0}, {AFTER(1), CLAIM_REPLACE, 2, 1, CLAIM_DONE, 0},
        {AFTER(2), CLAIM_READ, 0, 0, CLAIM_DONE, 1});
    BAD(1, {AFTER(0), CLAIM_TAKE, 1, 0, CLAIM_DONE, 0}, {AFTER(1), CLAIM_READ, 0, 0, CLAIM_NOBODY, 0});
}

static void a_read_that_goes_back(void **state)
{
    (void)state;
    BAD(3, {0, 100, CLAIM_TAKE, 1, 0, CLAIM_DONE, 0}, {10, 20, CLAIM_READ, 0, 0, CLAIM_NOBODY, 0},
        {30, 40, CLAIM_READ, 0, 0, CLAIM_DONE, 1}, {50, 60, CLAIM_READ, 0, 0, CLAIM_NOBODY, 0});
}

static void a_lost_write(void **state)
{
    (void)state;
    BAD(1, {AFTER(0), CLAIM_TAKE, 1, 0, CLAIM_DONE, 0}, {AFTER(1), CLAIM_TAKE, 2, 0, CLAIM_DONE, 0});
    BAD(2, {AFTER(0), CLAIM_TAKE, 1, 0, CLAIM_DONE, 0}, {AFTER(1), CLAIM_FREE, 0, 0, CLAIM_DONE, 1},
        {AFTER(2), CLAIM_READ, 0, 0, CLAIM_DONE, 1});
    BAD(1, {AFTER(0), CLAIM_TAKE, 1, 0, CLAIM_DONE, 0}, {AFTER(1), CLAIM_FREE, 0, 0, CLAIM_NOBODY, 0});
}

static void a_call_that_is_lost_or_repeated(void **state)
{
    (void)state;
    BAD(2, {AFTER(0), CLAIM_TAKE, 1, 0, CLAIM_DONE, 0}, {AFTER(1), CLAIM_CALL, 0, 0, CLAIM_DONE, 1},
        {AFTER(2), CLAIM_CALL, 0, 0, CLAIM_DONE, 1});
    BAD(1, {AFTER(0), CLAIM_TAKE, 1, 0, CLAIM_DONE, 0}, {AFTER(1), CLAIM_CALL, 0, 0, CLAIM_DONE, 2});
    BAD(3, {AFTER(0), CLAIM_TAKE, 1, 0, CLAIM_DONE, 0}, {AFTER(1), CLAIM_FREE, 0, 0, CLAIM_DONE, 1},
        {AFTER(2), CLAIM_TAKE, 2, 0, CLAIM_DONE, 0}, {AFTER(3), CLAIM_CALL, 0, 0, CLAIM_DONE, 2});
}

static void a_name_that_nobody_took(void **state)
{
    (void)state;
    BAD(0, {AFTER(0), CLAIM_READ, 0, 0, CLAIM_DONE, 3});
    BAD(0, {AFTER(0), CLAIM_TAKE, 1, 0, CLAIM_HELD, 3});
    BAD(1, {AFTER(0), CLAIM_TAKE, 1, 0, CLAIM_DONE, 0}, {AFTER(1), CLAIM_TAKE, 2, 0, CLAIM_HELD, 3});
}

/* ---- At the same time ---- */

static void two_winners(void **state)
{
    (void)state;
    BAD(1, {0, 10, CLAIM_TAKE, 1, 0, CLAIM_DONE, 0}, {1, 11, CLAIM_TAKE, 2, 0, CLAIM_DONE, 0});
    GOOD({0, 10, CLAIM_TAKE, 1, 0, CLAIM_DONE, 0}, {1, 11, CLAIM_TAKE, 2, 0, CLAIM_HELD, 1});
    GOOD({0, 10, CLAIM_TAKE, 1, 0, CLAIM_HELD, 2}, {1, 11, CLAIM_TAKE, 2, 0, CLAIM_DONE, 0});
    GOOD({0, 10, CLAIM_TAKE, 1, 0, CLAIM_DONE, 0}, {1, 11, CLAIM_TAKE, 2, 0, CLAIM_DONE, 0},
         {2, 12, CLAIM_FREE, 0, 0, CLAIM_DONE, 2});
    BAD(3, {0, 10, CLAIM_TAKE, 1, 0, CLAIM_DONE, 0}, {1, 11, CLAIM_TAKE, 2, 0, CLAIM_DONE, 0},
        {2, 12, CLAIM_FREE, 0, 0, CLAIM_DONE, 2}, {20, 21, CLAIM_READ, 0, 0, CLAIM_NOBODY, 0});
    BAD(2, {AFTER(0), CLAIM_TAKE, 1, 0, CLAIM_DONE, 0}, {20, 30, CLAIM_REPLACE, 2, 1, CLAIM_DONE, 0},
        {21, 31, CLAIM_REPLACE, 3, 1, CLAIM_DONE, 0});
}

static void two_may_stop_the_same(void **state)
{
    (void)state;
    GOOD({AFTER(0), CLAIM_TAKE, 1, 0, CLAIM_DONE, 0}, {20, 30, CLAIM_FREE, 0, 0, CLAIM_SAME, 1},
         {21, 31, CLAIM_FREE, 0, 0, CLAIM_SAME, 1}, {AFTER(4), CLAIM_READ, 0, 0, CLAIM_NOBODY, 0});
    BAD(2, {AFTER(0), CLAIM_TAKE, 1, 0, CLAIM_DONE, 0}, {20, 30, CLAIM_FREE, 0, 0, CLAIM_DONE, 1},
        {21, 31, CLAIM_FREE, 0, 0, CLAIM_DONE, 1});
    BAD(3, {AFTER(0), CLAIM_TAKE, 1, 0, CLAIM_DONE, 0}, {AFTER(1), CLAIM_FREE, 0, 0, CLAIM_DONE, 1},
        {AFTER(2), CLAIM_TAKE, 2, 0, CLAIM_DONE, 0}, {AFTER(3), CLAIM_FREE, 0, 0, CLAIM_SAME, 1});
}

static void who_asks_again_finds_itself(void **state)
{
    (void)state;
    GOOD({AFTER(0), CLAIM_TAKE, 1, 0, CLAIM_SAME, 0}, {AFTER(1), CLAIM_READ, 0, 0, CLAIM_DONE, 1});
    BAD(1, {AFTER(0), CLAIM_TAKE, 1, 0, CLAIM_DONE, 0}, {AFTER(1), CLAIM_TAKE, 2, 0, CLAIM_SAME, 0});
}

static void readers_of_the_same_time_may_differ(void **state)
{
    (void)state;
    GOOD({0, 10, CLAIM_TAKE, 1, 0, CLAIM_DONE, 0}, {1, 9, CLAIM_READ, 0, 0, CLAIM_DONE, 1},
         {1, 9, CLAIM_READ, 0, 0, CLAIM_NOBODY, 0});
    /* the same microsecond is at the same time */
    GOOD({0, 10, CLAIM_TAKE, 1, 0, CLAIM_DONE, 0}, {10, 12, CLAIM_READ, 0, 0, CLAIM_NOBODY, 0});
    BAD(1, {0, 10, CLAIM_TAKE, 1, 0, CLAIM_DONE, 0}, {11, 12, CLAIM_READ, 0, 0, CLAIM_NOBODY, 0});
}

static void calls_of_the_same_time(void **state)
{
    (void)state;
    GOOD({AFTER(0), CLAIM_TAKE, 1, 0, CLAIM_DONE, 0}, {20, 30, CLAIM_CALL, 0, 0, CLAIM_DONE, 3},
         {20, 30, CLAIM_CALL, 0, 0, CLAIM_DONE, 1}, {20, 30, CLAIM_CALL, 0, 0, CLAIM_DONE, 2});
    BAD(3, {AFTER(0), CLAIM_TAKE, 1, 0, CLAIM_DONE, 0}, {20, 30, CLAIM_CALL, 0, 0, CLAIM_DONE, 2},
        {20, 30, CLAIM_CALL, 0, 0, CLAIM_DONE, 1}, {20, 31, CLAIM_CALL, 0, 0, CLAIM_DONE, 2});
}

/* ---- Nobody knows ---- */

static void the_unknown_may_happen_at_any_time_or_never(void **state)
{
    (void)state;
    GOOD({AFTER(0), CLAIM_TAKE, 1, 0, NEVER, 0}, {AFTER(1), CLAIM_READ, 0, 0, CLAIM_NOBODY, 0});
    GOOD({AFTER(0), CLAIM_TAKE, 1, 0, NEVER, 0}, {AFTER(1), CLAIM_READ, 0, 0, CLAIM_DONE, 1});
    GOOD({AFTER(0), CLAIM_TAKE, 1, 0, NEVER, 0}, {AFTER(1), CLAIM_READ, 0, 0, CLAIM_NOBODY, 0},
         {AFTER(2), CLAIM_READ, 0, 0, CLAIM_DONE, 1});
    BAD(3, {AFTER(0), CLAIM_TAKE, 1, 0, NEVER, 0}, {AFTER(1), CLAIM_READ, 0, 0, CLAIM_DONE, 1},
        {AFTER(2), CLAIM_FREE, 0, 0, CLAIM_DONE, 1}, {AFTER(3), CLAIM_READ, 0, 0, CLAIM_DONE, 1});
    BAD(0, {AFTER(1), CLAIM_TAKE, 1, 0, NEVER, 0}, {AFTER(0), CLAIM_READ, 0, 0, CLAIM_DONE, 1},
        {AFTER(2), CLAIM_READ, 0, 0, CLAIM_NOBODY, 0});
}

static void the_refused_never_happens(void **state)
{
    (void)state;
    BAD(1, {AFTER(0), CLAIM_TAKE, 1, 0, REFUSED, 0}, {AFTER(1), CLAIM_READ, 0, 0, CLAIM_DONE, 1});
}

static void unknown_stops_free_what_others_took(void **state)
{
    (void)state;
    GOOD({AFTER(0), CLAIM_TAKE, 1, 0, CLAIM_DONE, 0}, {AFTER(1), CLAIM_FREE, 0, 0, NEVER, 0},
         {AFTER(2), CLAIM_READ, 0, 0, CLAIM_DONE, 1}, {AFTER(3), CLAIM_TAKE, 2, 0, CLAIM_DONE, 0});
    /* it happens once */
    BAD(3, {AFTER(0), CLAIM_TAKE, 1, 0, CLAIM_DONE, 0}, {AFTER(1), CLAIM_FREE, 0, 0, NEVER, 0},
        {AFTER(2), CLAIM_TAKE, 2, 0, CLAIM_DONE, 0}, {AFTER(3), CLAIM_TAKE, 3, 0, CLAIM_DONE, 0});
    GOOD({AFTER(0), CLAIM_TAKE, 1, 0, CLAIM_DONE, 0}, {AFTER(1), CLAIM_FREE, 0, 0, NEVER, 0},
         {AFTER(2), CLAIM_FREE, 0, 0, NEVER, 0}, {AFTER(3), CLAIM_TAKE, 2, 0, CLAIM_DONE, 0},
         {AFTER(4), CLAIM_TAKE, 3, 0, CLAIM_DONE, 0});
}

static void unknown_calls_count_at_most_once(void **state)
{
    (void)state;
    GOOD({AFTER(0), CLAIM_TAKE, 1, 0, CLAIM_DONE, 0}, {AFTER(1), CLAIM_CALL, 0, 0, NEVER, 0},
         {AFTER(2), CLAIM_CALL, 0, 0, NEVER, 0}, {AFTER(3), CLAIM_CALL, 0, 0, CLAIM_DONE, 3});
    BAD(3, {AFTER(0), CLAIM_TAKE, 1, 0, CLAIM_DONE, 0}, {AFTER(1), CLAIM_CALL, 0, 0, NEVER, 0},
        {AFTER(2), CLAIM_CALL, 0, 0, NEVER, 0}, {AFTER(3), CLAIM_CALL, 0, 0, CLAIM_DONE, 4});
}

/* ---- From the middle ---- */

static void a_history_may_begin_in_the_middle(void **state)
{
    (void)state;
    const struct made held[] = {{AFTER(0), CLAIM_TAKE, 1, 0, CLAIM_HELD, 0},
                                {AFTER(1), CLAIM_READ, 0, 0, CLAIM_DONE, 9},
                                {AFTER(2), CLAIM_FREE, 0, 0, CLAIM_DONE, 9},
                                {AFTER(3), CLAIM_READ, 0, 0, CLAIM_DONE, 9}};
    assert_int_equal(judge(held, 3, CLAIM_ANY, NULL), LINEAR_YES);
    assert_int_equal(judge(held, 4, CLAIM_ANY, NULL), LINEAR_NO);
    const struct made nobody[] = {{AFTER(0), CLAIM_READ, 0, 0, CLAIM_NOBODY, 0},
                                  {AFTER(1), CLAIM_READ, 0, 0, CLAIM_DONE, 9}};
    assert_int_equal(judge(nobody, 2, CLAIM_ANY, NULL), LINEAR_NO);
    /* how often it was called before is known from the first reply on */
    const struct made calls[] = {{AFTER(0), CLAIM_CALL, 0, 0, CLAIM_DONE, 3},
                                 {AFTER(1), CLAIM_READ, 0, 0, CLAIM_DONE, 9},
                                 {AFTER(2), CLAIM_CALL, 0, 0, CLAIM_DONE, 7},
                                 {AFTER(3), CLAIM_CALL, 0, 0, CLAIM_DONE, 8},
                                 {AFTER(4), CLAIM_CALL, 0, 0, CLAIM_DONE, 8}};
    assert_int_equal(judge(calls, 4, CLAIM_ANY, NULL), LINEAR_YES);
    assert_int_equal(judge(calls, 5, CLAIM_ANY, NULL), LINEAR_NO);
    const struct made taken[] = {{AFTER(0), CLAIM_TAKE, 1, 0, CLAIM_DONE, 0},
                                 {AFTER(1), CLAIM_CALL, 0, 0, CLAIM_DONE, 2}};
    assert_int_equal(judge(taken, 2, CLAIM_ANY, NULL), LINEAR_NO);
}

static void what_is_too_large_is_undecided(void **state)
{
    (void)state;
    struct made made[60];
    for (int i = 0; i < 60; i++)
        made[i] = (struct made){i, 1000, CLAIM_TAKE, i + 1, 0, i ? NEVER : CLAIM_DONE, 0};
    struct history h = history_of(made, COUNT(made));
    assert_int_equal(linear_check(&h, 0, claim_step, 30, NULL), LINEAR_UNDECIDED);
    assert_int_equal(linear_check(&h, 0, claim_step, TRIES, NULL), LINEAR_YES);
    history_fini(&h);
}

/* ---- Against every order ---- */

/* Whether what is left (bits) can follow that state, in any order. */
static bool possible(const struct history *h, uint64_t left, int64_t state)
{
    bool definite = false;
    int64_t first_end = INT64_MAX;
    for (size_t i = 0; i < h->n; i++)
        if (left >> i & 1 && h->ops[i].end == HIST_OK) {
            definite = true;
            first_end = h->ops[i].ended_us < first_end ? h->ops[i].ended_us : first_end;
        }
    if (!definite)
        return true;
    for (size_t i = 0; i < h->n; i++) {
        int64_t next;
        if (left >> i & 1 && h->ops[i].begun_us <= first_end && claim_step(state, &h->ops[i], &next) &&
            possible(h, left & ~(UINT64_C(1) << i), next))
            return true;
    }
    return false;
}

static bool brute(const struct history *h)
{
    uint64_t left = 0;
    for (size_t i = 0; i < h->n; i++)
        left |= (uint64_t)(h->ops[i].end != HIST_FAILED) << i;
    return possible(h, left, 0);
}

/* Carries out operations at random moments, then spoils an answer now and then. */
static struct history random_history(struct prng *p, size_t n)
{
    struct made made[16];
    int64_t state = 0;
    int takes = 0;
    for (size_t i = 0; i < n; i++) {
        int at = (int)i * 10;
        struct made *m = &made[i];
        *m = (struct made){at - (int)prng_below(p, 40),
                           at + 1 + (int)prng_below(p, 40),
                           (enum claim_kind)prng_below(p, CLAIM_KINDS),
                           0,
                           0,
                           0,
                           0};
        m->from = m->from < 0 ? 0 : m->from;
        if (m->kind == CLAIM_TAKE || m->kind == CLAIM_REPLACE)
            m->arg = ++takes;
        int64_t who = state >> 20;
        if (m->kind == CLAIM_REPLACE)
            m->arg2 = who && prng_below(p, 3) ? (int)who : 1 + (int)prng_below(p, 3);
        bool replaced = m->kind == CLAIM_REPLACE && who == m->arg2;
        m->verdict = m->kind == CLAIM_TAKE      ? (who ? CLAIM_HELD : CLAIM_DONE)
                     : m->kind == CLAIM_REPLACE ? (replaced ? CLAIM_DONE : CLAIM_HELD)
                                                : (who ? CLAIM_DONE : CLAIM_NOBODY);
        m->got = m->kind == CLAIM_CALL ? (int)(state & 0xfffff) + 1 : m->kind == CLAIM_REPLACE ? 0 : (int)who;
        bool happens = prng_below(p, 8) > 0;
        if (!happens || !prng_below(p, 6))
            m->verdict = m->kind == CLAIM_READ || (!happens && prng_below(p, 2)) ? REFUSED : NEVER;
        if (happens && m->verdict != REFUSED)
            state = m->kind == CLAIM_TAKE          ? (who ? state : (int64_t)m->arg << 20)
                    : replaced                     ? (int64_t)m->arg << 20
                    : m->kind == CLAIM_FREE        ? 0
                    : m->kind == CLAIM_CALL && who ? state + 1
                                                   : state;
    }
    if (prng_below(p, 2)) {
        struct made *m = &made[prng_below(p, n)];
        if (m->verdict > 0 && prng_below(p, 2))
            m->got = (int)prng_below(p, 4);
        else if (m->verdict > 0)
            m->verdict = m->verdict == CLAIM_DONE
                             ? (m->kind == CLAIM_TAKE || m->kind == CLAIM_REPLACE ? CLAIM_HELD : CLAIM_NOBODY)
                             : CLAIM_DONE;
    }
    return history_of(made, n);
}

static void random_histories_against_every_order(void **state)
{
    (void)state;
    int right = 0, wrong = 0;
    for (uint64_t seed = 1; seed <= 6000; seed++) {
        struct prng p;
        prng_init(&p, seed);
        struct history h = random_history(&p, 2 + prng_below(&p, 8));
        bool want = brute(&h);
        enum linear got = linear_check(&h, 0, claim_step, TRIES, NULL);
        if (got != (want ? LINEAR_YES : LINEAR_NO)) {
            struct str text = STR_INIT;
            history_print(&h, claim_words, &text);
            fail_msg("seed %llu: %d instead of %d\n%s", (unsigned long long)seed, got, want, str_get(&text));
        }
        right += want;
        wrong += !want;
        history_fini(&h);
    }
    print_message("%d right, %d wrong\n", right, wrong);
    assert_true(right > 500 && wrong > 500); /* both sides were tried */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_happened_in_order_is_right),
        cmocka_unit_test(a_stale_read),
        cmocka_unit_test(a_read_that_goes_back),
        cmocka_unit_test(a_lost_write),
        cmocka_unit_test(a_call_that_is_lost_or_repeated),
        cmocka_unit_test(a_name_that_nobody_took),
        cmocka_unit_test(two_winners),
        cmocka_unit_test(two_may_stop_the_same),
        cmocka_unit_test(who_asks_again_finds_itself),
        cmocka_unit_test(readers_of_the_same_time_may_differ),
        cmocka_unit_test(calls_of_the_same_time),
        cmocka_unit_test(the_unknown_may_happen_at_any_time_or_never),
        cmocka_unit_test(the_refused_never_happens),
        cmocka_unit_test(unknown_stops_free_what_others_took),
        cmocka_unit_test(unknown_calls_count_at_most_once),
        cmocka_unit_test(a_history_may_begin_in_the_middle),
        cmocka_unit_test(what_is_too_large_is_undecided),
        cmocka_unit_test(random_histories_against_every_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
