/* Judging keys as laws, over all pairs of sides that there are. */
#include "core/judge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define SIDES 96

/* Every kind, three stamps (two of one rank), two contents, damaged or not. */
static int sides(struct side ret[SIDES])
{
    static const struct stamp stamps[] = {{0, 10, 1}, {0, 20, 1}, {3, 15, 2}};
    int n = 0;
    ret[n++] = (struct side){.kind = SIDE_ABSENT};
    ret[n++] = (struct side){.kind = SIDE_ABSENT, .damaged = true};
    for (size_t s = 0; s < 3; s++) {
        ret[n++] = (struct side){.kind = SIDE_DEAD, .stamp = stamps[s]};
        for (unsigned char hash = 1; hash <= 2; hash++)
            for (int flags = 0; flags < 4; flags++)
                ret[n++] = (struct side){.kind = SIDE_ALIVE,
                                         .damaged = flags & 1,
                                         .doubt = flags & 2,
                                         .stamp = stamps[s],
                                         .hash = {hash}};
    }
    return n;
}

static const struct grounds settled = {.we_cover = true, .they_cover = true, .caught_up = true};

static bool takes(enum judgement v)
{
    return v == JUDGE_TAKE_LATE || v == JUDGE_TAKE_HEAL || v == JUDGE_TAKE_OTHER || v == JUDGE_TAKE_DOUBT;
}

static void for_all(void (*law)(const struct side *a, const struct side *b))
{
    struct side all[SIDES];
    int n = sides(all);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++)
            law(&all[i], &all[j]);
}

static void at_most_one_takes(const struct side *a, const struct side *b)
{
    enum judgement x = judge(a, b, &settled), y = judge(b, a, &settled);
    assert_false(takes(x) && takes(y));
    if (a->damaged || b->damaged)
        return;
    /* two sound sides that differ in what lives come together: one takes, the other knows that it is ahead */
    bool lives = a->kind == SIDE_ALIVE || b->kind == SIDE_ALIVE;
    if (lives && !side_equal(a, b))
        assert_true((takes(x) && y != JUDGE_EQUAL) || (takes(y) && x != JUDGE_EQUAL));
    if (side_equal(a, b))
        assert_true(x == JUDGE_EQUAL && y == JUDGE_EQUAL);
}

static void a_damaged_copy_never_wins(const struct side *a, const struct side *b)
{
    if (b->damaged)
        assert_false(takes(judge(a, b, &settled)));
    if (a->damaged && takes(judge(a, b, &settled))) /* nor is it given up for less */
        assert_true(a->kind == SIDE_ABSENT || stamp_compare(&a->stamp, &b->stamp) <= 0);
}

static void nothing_is_deleted_for_not_being_there(const struct side *a, const struct side *b)
{
    if (b->kind == SIDE_ABSENT)
        assert_false(takes(judge(a, b, &settled)));
}

static void the_greater_version_is_taken(const struct side *a, const struct side *b)
{
    if (a->kind != SIDE_ABSENT && b->kind != SIDE_ABSENT && !a->damaged && !b->damaged &&
        stamp_compare(&a->stamp, &b->stamp) != 0)
        assert_int_equal(judge(a, b, &settled),
                         stamp_compare(&a->stamp, &b->stamp) < 0 ? JUDGE_TAKE_LATE : JUDGE_THEY_LOSE);
}

/* What a vector does not cover may be on its way: only damage, which no vector explains, is mended at once.
 */
static void nothing_is_taken_that_may_be_on_its_way(const struct side *a, const struct side *b)
{
    static const struct grounds open[] = {{.we_cover = false, .they_cover = true, .caught_up = true},
                                          {.we_cover = true, .they_cover = false, .caught_up = true}};
    for (size_t i = 0; i < 2; i++) {
        if (i == 1 && a->kind == SIDE_ABSENT) /* there is no dot to cover */
            continue;
        enum judgement v = judge(a, b, &open[i]);
        if (takes(v) && v != JUDGE_TAKE_HEAL)
            assert_int_equal(stamp_compare(&a->stamp, &b->stamp), 0);
    }
    struct grounds behind = settled;
    behind.caught_up = false;
    if (a->kind == SIDE_ABSENT && !a->damaged)
        assert_false(takes(judge(a, b, &behind)));
}

static void laws(void **state)
{
    (void)state;
    for_all(at_most_one_takes);
    for_all(a_damaged_copy_never_wins);
    for_all(nothing_is_deleted_for_not_being_there);
    for_all(the_greater_version_is_taken);
    for_all(nothing_is_taken_that_may_be_on_its_way);
}

static void what_may_have_been_deleted_is_in_doubt(void **state)
{
    (void)state;
    struct side absent = {.kind = SIDE_ABSENT}, orphan = {.kind = SIDE_ABSENT, .damaged = true};
    struct side row = {.kind = SIDE_ALIVE, .stamp = {0, 100, 1}};
    struct grounds g = settled;
    g.gc_floor = 99;
    assert_int_equal(judge(&absent, &row, &g), JUDGE_TAKE_LATE);
    g.gc_floor = 100;
    assert_int_equal(judge(&absent, &row, &g), JUDGE_DOUBT);
    assert_int_equal(judge(&orphan, &row, &g), JUDGE_TAKE_HEAL); /* it is here: nobody deleted it */
    row.stamp = (struct stamp){50, 200, 1}; /* a tombstone of a higher epoch may have beaten it */
    assert_int_equal(judge(&absent, &row, &g), JUDGE_DOUBT);
    row.stamp.rank = RANK_ROOT - 7; /* no epoch, but a place in a tree */
    g.gc_floor = INT64_C(1) << 56;
    row.stamp.hlc = g.gc_floor + 1;
    assert_int_equal(judge(&absent, &row, &g), JUDGE_TAKE_LATE);
    g.gc_floor = 100;
    row.stamp = (struct stamp){101, 200, 1};
    assert_int_equal(judge(&absent, &row, &g), JUDGE_TAKE_LATE);
    row.kind = SIDE_DEAD;
    assert_int_equal(judge(&absent, &row, &g), JUDGE_EQUAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(laws),
        cmocka_unit_test(what_may_have_been_deleted_is_in_doubt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
