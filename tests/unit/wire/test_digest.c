/* digest: the published vectors, pieces against the whole, and lists that must not collide. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire/digest.h"

static void expect_hex(const unsigned char *digest, size_t n, const char *hex)
{
    AUTOSTR struct str s = STR_INIT;
    str_hex(&s, digest, n);
    assert_string_equal(str_get(&s), hex);
}

/* FIPS 180-4 examples. */
static void test_published_vectors(void **state)
{
    (void)state;
    unsigned char d[DIGEST_BYTES];
    digest_sha256("", 0, d);
    expect_hex(d, sizeof d, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    digest_sha256("abc", 3, d);
    expect_hex(d, sizeof d, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void test_pieces_equal_the_whole_and_start_again(void **state)
{
    (void)state;
    unsigned char whole[DIGEST_BYTES], pieces[DIGEST_BYTES];
    CLEANUP(digest_fini) struct digest d;
    digest_sha256("hello, world", 12, whole);
    digest_init(&d);
    for (int i = 0; i < 2; i++) {
        digest_add(&d, "hello", 5);
        digest_add(&d, NULL, 0);
        digest_add(&d, ", world", 7);
        digest_end(&d, pieces);
        assert_memory_equal(whole, pieces, sizeof whole);
    }
}

static void test_digest16_tells_lists_apart(void **state)
{
    (void)state;
    static const struct span lists[][3] = {{{"ab", 2}, {"c", 1}, {NULL, 0}},
                                           {{"a", 1}, {"bc", 2}, {NULL, 0}},
                                           {{"abc", 3}, {NULL, 0}, {NULL, 0}},
                                           {{NULL, 0}, {"abc", 3}, {NULL, 0}},
                                           {{"abd", 3}, {NULL, 0}, {NULL, 0}}};
    unsigned char d[COUNT(lists)][DIGEST16_BYTES];
    for (size_t i = 0; i < COUNT(lists); i++) {
        digest16(lists[i], 3, d[i]);
        for (size_t k = 0; k < i; k++)
            assert_memory_not_equal(d[i], d[k], DIGEST16_BYTES);
    }
    unsigned char shorter[DIGEST16_BYTES];
    digest16(lists[0], 2, shorter);
    assert_memory_not_equal(shorter, d[0], DIGEST16_BYTES);
}

/* The form that peers compare: length as 8 bytes little endian, then the bytes. */
static void test_digest16_is_the_prefix_of_sha256_over_lengths_and_bytes(void **state)
{
    (void)state;
    unsigned char got[DIGEST16_BYTES], whole[DIGEST_BYTES];
    digest16((struct span[]){{"abc", 3}, {"", 0}}, 2, got);
    digest_sha256("\3\0\0\0\0\0\0\0abc\0\0\0\0\0\0\0\0", 19, whole);
    assert_memory_equal(got, whole, sizeof got);
}

/* RFC 4231, cases 1, 2 and 6. */
static void test_hmac(void **state)
{
    (void)state;
    static const struct {
        const char *key, *data, *want;
        size_t times;
    } cases[] = {
        {"\x0b", "Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7", 20},
        {"Jefe", "what do ya want for nothing?",
         "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843", 1},
        {"\xaa", "Test Using Larger Than Block-Size Key - Hash Key First",
         "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54", 131},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTOSTR struct str key = STR_INIT;
        unsigned char got[DIGEST_BYTES];
        for (size_t k = 0; k < cases[i].times; k++)
            str_puts(&key, cases[i].key);
        size_t n = strlen(cases[i].data);
        struct span pieces[] = {{cases[i].data, 3}, {cases[i].data + 3, n - 3}};
        digest_hmac((struct span){key.p, key.n}, pieces, 2, got);
        expect_hex(got, sizeof got, cases[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_vectors),
        cmocka_unit_test(test_pieces_equal_the_whole_and_start_again),
        cmocka_unit_test(test_digest16_tells_lists_apart),
        cmocka_unit_test(test_hmac),
        cmocka_unit_test(test_digest16_is_the_prefix_of_sha256_over_lengths_and_bytes),
    };
    return cmocka_run_group_tests_name("wire/digest", tests, NULL, NULL);
}
