/* Sums of digests: the order does not matter, everything else does. */
#include "wire/sums.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/prng.h"

static void root(const struct sums *s, char ret[2 * DIGEST16_BYTES + 1])
{
    unsigned char digest[DIGEST16_BYTES];
    AUTOSTR struct str hex = STR_INIT;
    sums_root(s, digest);
    str_hex(&hex, digest, sizeof digest);
    memcpy(ret, str_get(&hex), 2 * DIGEST16_BYTES + 1);
}

static void any_order_gives_the_same_sums(void **state)
{
    (void)state;
    unsigned char entry[200][DIGEST_BYTES];
    AUTOFREE struct sums *a = mem_alloc(sizeof *a), *b = mem_alloc(sizeof *b);
    char x[33], y[33], none[33];
    struct prng p;
    prng_init(&p, 3);
    prng_fill(&p, entry, sizeof entry);
    memset(entry[0], 0xff, sizeof entry[0]); /* carries all the way */
    memset(entry[1], 0xff, sizeof entry[1]);
    root(a, none);
    for (unsigned i = 0; i < 200; i++)
        sums_add(a, i % 7, entry[i]);
    for (unsigned i = 200; i-- > 0;)
        sums_add(b, i % 7, entry[i]);
    root(a, x);
    root(b, y);
    assert_string_equal(x, y);
    assert_string_not_equal(x, none);
    assert_int_equal(sums_rows(a), 200);
}

static void the_sum_is_mod_2_to_256(void **state)
{
    (void)state;
    AUTOFREE struct sums *s = mem_alloc(sizeof *s);
    unsigned char most[DIGEST_BYTES], two[DIGEST_BYTES] = {2};
    memset(most, 0xff, sizeof most);
    sums_add(s, 9, most);
    sums_add(s, 9, two); /* 2^256 - 1 + 2 */
    assert_true(s->sum[9][0] == 1 && s->sum[9][1] == 0 && s->sum[9][2] == 0 && s->sum[9][3] == 0);
    assert_int_equal(s->count[9], 2);
}

/* What cancels itself out in a XOR does not here; nor do two rows that change places between buckets. */
static void twice_is_not_never(void **state)
{
    (void)state;
    AUTOFREE struct sums *a = mem_alloc(sizeof *a), *b = mem_alloc(sizeof *b);
    unsigned char one[DIGEST_BYTES] = {1}, other[DIGEST_BYTES] = {2}, none[DIGEST_BYTES] = {0};
    char x[33], y[33];
    sums_add(a, 1, one);
    sums_add(a, 1, one);
    root(a, x);
    root(b, y);
    assert_string_not_equal(x, y);
    memset(a, 0, sizeof *a);
    sums_add(a, 1, one);
    sums_add(a, 2, other);
    sums_add(b, 1, other);
    sums_add(b, 2, one);
    root(a, x);
    root(b, y);
    assert_string_not_equal(x, y);
    root(a, x);
    sums_add(a, 4095, none); /* a row whose digest is 0 counts, too */
    root(a, y);
    assert_string_not_equal(x, y);
}

/* Every part of a row is in its entry, and where one part ends and the next begins. */
static void an_entry_is_of_all_parts(void **state)
{
    (void)state;
    struct digest d;
    unsigned char hash[DIGEST16_BYTES] = {7}, other[DIGEST16_BYTES] = {8}, e[8][DIGEST_BYTES];
    const int64_t stamp[3] = {1, 2, 3}, later[3] = {1, 3, 3}, ranked[3] = {2, 2, 3}, foreign[3] = {1, 2, 4};
    digest_init(&d);
    sums_entry(&d, (struct span){"ab", 2}, (struct span){"c", 1}, stamp, hash, e[0]);
    sums_entry(&d, (struct span){"a", 1}, (struct span){"bc", 2}, stamp, hash, e[1]);
    sums_entry(&d, (struct span){"ab", 2}, (struct span){"d", 1}, stamp, hash, e[2]);
    sums_entry(&d, (struct span){"ab", 2}, (struct span){"c", 1}, later, hash, e[3]);
    sums_entry(&d, (struct span){"ab", 2}, (struct span){"c", 1}, ranked, hash, e[4]);
    sums_entry(&d, (struct span){"ab", 2}, (struct span){"c", 1}, foreign, hash, e[5]);
    sums_entry(&d, (struct span){"ab", 2}, (struct span){"c", 1}, stamp, other, e[6]);
    sums_entry(&d, (struct span){"ab", 2}, (struct span){"c", 1}, stamp, hash, e[7]);
    digest_fini(&d);
    for (size_t i = 0; i < 7; i++)
        for (size_t j = 0; j < i; j++)
            assert_memory_not_equal(e[i], e[j], DIGEST_BYTES);
    assert_memory_equal(e[0], e[7], DIGEST_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_order_gives_the_same_sums),
        cmocka_unit_test(the_sum_is_mod_2_to_256),
        cmocka_unit_test(twice_is_not_never),
        cmocka_unit_test(an_entry_is_of_all_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
