/* Placement: golden values, independence of order, minimal movement, balance by weight. */
#include "core/place.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/prng.h"

#define NAMES 4000

static uint64_t name_hash(int i)
{
    char name[32];
    snprintf(name, sizeof name, "name-%d", i);
    return place_hash("default", name);
}

static void nodes_make(struct place_node *nodes, size_t n, double weight)
{
    for (size_t i = 0; i < n; i++) {
        nodes[i] = (struct place_node){.weight = weight, .eligible = true};
        for (size_t k = 0; k < sizeof nodes[i].id.b; k++)
            nodes[i].id.b[k] = (unsigned char)(i * 37 + k * 11 + 5);
    }
}

/* Computed once; a machine or compiler that gives anything else would place names elsewhere than its peers.
 */
static void test_golden_values(void **state)
{
    (void)state;
    assert_int_equal(place_hash("default", "counter-1"), 0x1e40e016a736325cu);
    assert_int_equal(place_hash("default", ""), 0x961582b8692c193du);
    assert_int_not_equal(place_hash("ab", "c"), place_hash("a", "bc"));
    struct place_node nodes[5];
    nodes_make(nodes, 5, 1);
    char equal[65] = {0}, weighted[65] = {0};
    for (int i = 0; i < 64; i++)
        equal[i] = (char)('0' + place_pick(nodes, 5, name_hash(i)));
    for (size_t i = 0; i < 5; i++)
        nodes[i].weight = 0.5 + 0.75 * (double)i;
    for (int i = 0; i < 64; i++)
        weighted[i] = (char)('0' + place_pick(nodes, 5, name_hash(i)));
    assert_string_equal(equal, "4242341222033223334104343114000144403322031434320302431110012230");
    assert_string_equal(weighted, "4244344222033423344134343114040144443322331444324302431113314232");
}

static void test_order_of_the_nodes_does_not_matter(void **state)
{
    (void)state;
    struct prng p;
    prng_init(&p, 1);
    struct place_node nodes[7], shuffled[7];
    nodes_make(nodes, 7, 1);
    for (size_t i = 0; i < 7; i++)
        nodes[i].weight = (double)(1 + i % 3);
    for (int round = 0; round < 500; round++) {
        for (size_t i = 0; i < 7; i++) {
            size_t at = (size_t)prng_below(&p, i + 1);
            if (at != i)
                shuffled[i] = shuffled[at];
            shuffled[at] = nodes[i];
        }
        uint64_t hash = prng_next(&p);
        int a = place_pick(nodes, 7, hash), b = place_pick(shuffled, 7, hash);
        assert_true(id_equal(&nodes[a].id, &shuffled[b].id));
    }
}

static void test_a_leaving_node_moves_only_its_own_names(void **state)
{
    (void)state;
    struct place_node nodes[6];
    nodes_make(nodes, 6, 1);
    nodes[1].weight = 2;
    int moved = 0;
    for (int i = 0; i < NAMES; i++) {
        nodes[3].eligible = true;
        int before = place_pick(nodes, 6, name_hash(i));
        nodes[3].eligible = false;
        int after = place_pick(nodes, 6, name_hash(i));
        if (before == 3)
            moved++;
        else
            assert_int_equal(before, after);
        assert_int_not_equal(after, 3);
    }
    assert_in_range(moved, NAMES / 7 - 120, NAMES / 7 + 120);
}

static void test_share_follows_weight(void **state)
{
    (void)state;
    struct place_node nodes[3];
    nodes_make(nodes, 3, 1);
    nodes[2].weight = 2;
    int share[3] = {0};
    for (int i = 0; i < NAMES; i++)
        share[place_pick(nodes, 3, name_hash(i))]++;
    assert_in_range(share[0], NAMES / 4 - 120, NAMES / 4 + 120);
    assert_in_range(share[1], NAMES / 4 - 120, NAMES / 4 + 120);
    assert_in_range(share[2], NAMES / 2 - 120, NAMES / 2 + 120);
}

/* Weighted and equal comparison are one order: a factor common to all weights changes nothing. */
static void test_a_common_factor_changes_nothing(void **state)
{
    (void)state;
    struct place_node nodes[4];
    for (int i = 0; i < NAMES; i++) {
        nodes_make(nodes, 4, 1);
        nodes[0].weight = 3;
        int a = place_pick(nodes, 4, name_hash(i));
        nodes_make(nodes, 4, 8);
        nodes[0].weight = 24;
        assert_int_equal(place_pick(nodes, 4, name_hash(i)), a);
    }
}

static void test_rank_is_pick_repeated(void **state)
{
    (void)state;
    struct place_node nodes[8];
    for (int i = 0; i < 500; i++) {
        nodes_make(nodes, 8, 1);
        nodes[4].weight = 3;
        nodes[6].eligible = false;
        int rank[8];
        for (size_t r = 0; r <= 8; r++)
            assert_int_equal(place_rank(nodes, 8, name_hash(i), r, rank), r < 7 ? r : 7);
        for (int k = 0; k < 7; k++) {
            int winner = place_pick(nodes, 8, name_hash(i));
            assert_int_equal(rank[k], winner);
            nodes[winner].eligible = false;
        }
        assert_int_equal(place_pick(nodes, 8, name_hash(i)), -1);
    }
}

static void test_bad_weights_are_not_eligible(void **state)
{
    (void)state;
    const double bad[] = {0, -1, -1e300, __builtin_nan("")};
    struct place_node nodes[2];
    nodes_make(nodes, 2, 1);
    for (size_t i = 0; i < COUNT(bad); i++) {
        nodes[0].weight = bad[i];
        for (int k = 0; k < 50; k++)
            assert_int_equal(place_pick(nodes, 2, name_hash(k)), 1);
    }
    nodes[0].weight = __builtin_inf();
    nodes[1].weight = 65536;
    int first = 0;
    for (int k = 0; k < 1000; k++)
        first += place_pick(nodes, 2, name_hash(k)) == 0;
    assert_in_range(first, 400, 600); /* both are at the limit */
    assert_int_equal(place_pick(nodes, 0, 1), -1);
}

static void test_twins_are_both_ranked(void **state)
{
    (void)state;
    struct place_node twins[2];
    nodes_make(twins, 2, 1);
    twins[1].id = twins[0].id;
    assert_in_range(place_pick(twins, 2, 77), 0, 1);
    int rank[2];
    assert_int_equal(place_rank(twins, 2, 77, 2, rank), 2);
}

/* Ten thousand names: each node within a few percent of its share. */
static void test_ten_thousand_are_shared_fairly(void **state)
{
    (void)state;
    struct place_node nodes[10];
    nodes_make(nodes, 10, 1);
    int share[10] = {0};
    for (int i = 0; i < 10000; i++)
        share[place_pick(nodes, 10, name_hash(i))]++;
    for (int i = 0; i < 10; i++)
        assert_in_range(share[i], 920, 1080);
}

static void test_no_node_passes_its_bound(void **state)
{
    (void)state;
    const int64_t bounds[] = {100, 110, 125, 200};
    for (size_t b = 0; b < COUNT(bounds); b++) {
        struct place_node nodes[6];
        struct place_load loads[6] = {{0}};
        int64_t weights = 0, at_first = 0;
        nodes_make(nodes, 6, 1);
        nodes[2].weight = 3;
        nodes[4].eligible = false;
        loads[4].has = 100000; /* counts for nobody */
        for (int i = 0; i < 6; i++)
            weights += i == 4 ? 0 : (int64_t)nodes[i].weight;
        for (int64_t k = 0; k < NAMES; k++) {
            int at = place_pick_bounded(nodes, loads, 6, bounds[b], name_hash((int)k));
            assert_in_range(at, 0, 5);
            assert_int_not_equal(at, 4);
            loads[at].has++;
            at_first += at == place_pick(nodes, 6, name_hash((int)k));
            for (int i = 0; i < 6; i++) /* has - 1 is below its bound: has is at most that, rounded up */
                if (i == at)
                    assert_true((loads[i].has - 1) * 100 * weights <
                                (k + 1) * bounds[b] * (int64_t)nodes[i].weight);
        }
        if (bounds[b] >= 125) /* with some slack, most are where they would be without a bound */
            assert_true(at_first > NAMES * 8 / 10);
    }
}

static void test_bounded_without_load_is_a_pick(void **state)
{
    (void)state;
    struct place_node nodes[5];
    struct place_load loads[5] = {{0}};
    nodes_make(nodes, 5, 1);
    nodes[1].weight = 4;
    for (int i = 0; i < 500; i++)
        assert_int_equal(place_pick_bounded(nodes, loads, 5, 125, name_hash(i)),
                         place_pick(nodes, 5, name_hash(i)));
    for (int i = 0; i < 5; i++)
        nodes[i].eligible = false;
    assert_int_equal(place_pick_bounded(nodes, loads, 5, 125, 1), -1);
}

/* Two zones, one of a single node: each gets half of what weighs the same. */
static void test_zones_are_filled_by_weight(void **state)
{
    (void)state;
    struct place_load loads[4] = {{0, 0}, {0, 0}, {0, 0}, {0, 1}};
    for (int i = 0; i < NAMES; i++) {
        struct place_node nodes[4];
        nodes_make(nodes, 4, 1);
        nodes[3].weight = 3;
        place_spread(nodes, loads, 4);
        loads[place_pick(nodes, 4, name_hash(i))].has++;
        int64_t left = loads[0].has + loads[1].has + loads[2].has, right = loads[3].has;
        assert_true(left - right <= 1 && right - left <= 1);
    }
    for (int i = 0; i < 3; i++)
        assert_in_range(loads[i].has, NAMES / 6 - 120, NAMES / 6 + 120);
}

static void test_a_full_zone_is_passed_over(void **state)
{
    (void)state;
    struct place_node nodes[3];
    struct place_load loads[3] = {{0, 7}, {5, 8}, {9, 9}};
    nodes_make(nodes, 3, 1);
    nodes[0].eligible = false;
    place_spread(nodes, loads, 3);
    assert_false(nodes[0].eligible);
    assert_true(nodes[1].eligible);
    assert_false(nodes[2].eligible);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_values),
        cmocka_unit_test(test_order_of_the_nodes_does_not_matter),
        cmocka_unit_test(test_a_leaving_node_moves_only_its_own_names),
        cmocka_unit_test(test_share_follows_weight),
        cmocka_unit_test(test_a_common_factor_changes_nothing),
        cmocka_unit_test(test_rank_is_pick_repeated),
        cmocka_unit_test(test_bad_weights_are_not_eligible),
        cmocka_unit_test(test_twins_are_both_ranked),
        cmocka_unit_test(test_ten_thousand_are_shared_fairly),
        cmocka_unit_test(test_no_node_passes_its_bound),
        cmocka_unit_test(test_bounded_without_load_is_a_pick),
        cmocka_unit_test(test_zones_are_filled_by_weight),
        cmocka_unit_test(test_a_full_zone_is_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
