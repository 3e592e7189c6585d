/* The model of a number that is written by compare-and-set: histories that fit it, and some that do not. */
#include "sim/tally.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define NEVER (-1)

/* A line of a hand-made history, in order of their begin: got: of a read; NEVER: nobody knows. */
struct made {
    int from, to;
    enum tally_kind kind;
    int number, got;
};

static enum linear judge(const struct made *made, size_t n, int64_t initial)
{
    struct history h = {0};
    for (size_t i = 0; i < n; i++)
        history_begin(&h, made[i].from, 0, made[i].kind, made[i].number + 1, made[i].number);
    for (size_t i = 0; i < n; i++)
        history_end(&h, i, made[i].to, made[i].got == NEVER ? HIST_UNKNOWN : HIST_OK, 0, made[i].got);
    enum linear verdict = linear_check(&h, initial, tally_step, 100000, NULL);
    history_fini(&h);
    return verdict;
}

#define JUDGE(want, initial, ...)                                                                            \
    do {                                                                                                     \
        const struct made made[] = {__VA_ARGS__};                                                            \
        assert_int_equal(judge(made, sizeof made / sizeof *made, initial), want);                            \
    } while (0)

static void increments_in_a_row(void **state)
{
    (void)state;
    JUDGE(LINEAR_YES, 0, {0, 5, TALLY_ADD, 0, 0}, {10, 15, TALLY_ADD, 1, 0}, {20, 25, TALLY_READ, 0, 2});
    JUDGE(LINEAR_YES, TALLY_ANY, {0, 5, TALLY_READ, 0, 7}, {10, 15, TALLY_ADD, 7, 0},
          {20, 25, TALLY_READ, 0, 8});
}

static void a_lost_update(void **state)
{
    (void)state;
    JUDGE(LINEAR_NO, 0, {0, 20, TALLY_ADD, 0, 0}, {5, 25, TALLY_ADD, 0, 0});
    JUDGE(LINEAR_NO, 0, {0, 5, TALLY_ADD, 0, 0}, {10, 15, TALLY_READ, 0, 0});
    JUDGE(LINEAR_NO, TALLY_ANY, {0, 5, TALLY_ADD, 3, 0}, {10, 15, TALLY_ADD, 4, 0},
          {20, 25, TALLY_READ, 0, 4});
}

static void what_nobody_knows_may_have_happened(void **state)
{
    (void)state;
    JUDGE(LINEAR_YES, 0, {0, 5, TALLY_ADD, 0, NEVER}, {10, 15, TALLY_READ, 0, 0}, {20, 25, TALLY_READ, 0, 1});
    JUDGE(LINEAR_YES, 0, {0, 5, TALLY_ADD, 0, NEVER}, {10, 15, TALLY_ADD, 0, 0}, {20, 25, TALLY_READ, 0, 1});
    JUDGE(LINEAR_NO, 0, {0, 5, TALLY_ADD, 0, NEVER}, {10, 15, TALLY_READ, 0, 1}, {20, 25, TALLY_READ, 0, 0});
    JUDGE(LINEAR_NO, 0, {0, 5, TALLY_ADD, 0, NEVER}, {10, 15, TALLY_READ, 0, 2});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(increments_in_a_row),
        cmocka_unit_test(a_lost_update),
        cmocka_unit_test(what_nobody_knows_may_have_happened),
    };
    cmocka_set_test_filter(getenv("SKEP_TEST"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
