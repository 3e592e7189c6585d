/* buf: what is written is read back, and no bytes whatever make a reader overrun. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/prng.h"
#include "wire/buf.h"

static void test_every_kind_comes_back(void **state)
{
    (void)state;
    struct id id = {{1, 2, 3, 255}};
    AUTOSTR struct str s = STR_INIT;
    buf_u8(&s, 200);
    buf_u32(&s, 0xdeadbeef);
    buf_i64(&s, INT64_MIN);
    buf_varint(&s, UINT64_MAX);
    buf_bytes(&s, "a\0b", 3);
    buf_text(&s, "žába");
    buf_text(&s, "");
    buf_text(&s, NULL);
    buf_id(&s, &id);
    buf_u8(&s, 1);

    struct reader r = reader_init(s.p, s.n);
    assert_int_equal(read_u8(&r), 200);
    assert_int_equal(read_u32(&r), 0xdeadbeef);
    assert_true(read_i64(&r) == INT64_MIN);
    assert_true(read_varint(&r) == UINT64_MAX);
    struct span bytes = read_bytes(&r);
    assert_int_equal(bytes.n, 3);
    assert_memory_equal(bytes.p, "a\0b", 3);
    AUTOFREE char *text = read_text(&r), *empty = read_text(&r), *null = read_text(&r);
    assert_string_equal(text, "žába");
    assert_string_equal(empty, "");
    assert_null(null);
    struct id got = read_id(&r);
    assert_true(id_equal(&id, &got));
    assert_false(reader_done(&r));
    assert_true(read_bool(&r));
    assert_true(reader_done(&r));
}

static void test_fixed_numbers_are_little_endian(void **state)
{
    (void)state;
    AUTOSTR struct str s = STR_INIT;
    buf_u32(&s, 0x01020304);
    buf_i64(&s, -2);
    assert_int_equal(s.n, 12);
    assert_memory_equal(s.p, "\4\3\2\1\xfe\xff\xff\xff\xff\xff\xff\xff", 12);
}

static void test_varint_has_one_form(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n, used;
        uint64_t v;
    } cases[] = {
        {"\x00", 1, 1, 0},
        {"\x7f", 1, 1, 127},
        {"\x80\x01", 2, 2, 128},
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10, 10, UINT64_MAX},
        {"", 0, 0, 0},                                              /* nothing */
        {"\x80", 1, 0, 0},                                          /* cut */
        {"\x80\x00", 2, 0, 0},                                      /* not the shortest */
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10, 0, 0},     /* 65 bits */
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81\x00", 11, 0, 0}, /* 11 bytes */
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint64_t v = 7;
        assert_int_equal(varint_get((const unsigned char *)cases[i].bytes, cases[i].n, &v), cases[i].used);
        assert_true(v == (cases[i].used ? cases[i].v : 7));
    }
    for (int shift = 0; shift < 64; shift++) {
        unsigned char bytes[VARINT_MAX];
        uint64_t v = (UINT64_C(1) << shift) - (shift & 1), back = 0;
        size_t n = varint_put(bytes, v);
        assert_int_equal(varint_get(bytes, n, &back), n);
        assert_true(back == v);
        assert_int_equal(varint_get(bytes, n - 1, &back), 0);
    }
}

static void test_bad_is_sticky(void **state)
{
    (void)state;
    struct reader r = reader_init("\x05xyz", 4);
    assert_null(read_bytes(&r).p);
    assert_true(r.bad);
    assert_int_equal(read_u8(&r), 0);
    assert_int_equal(read_u32(&r), 0);
    assert_true(read_i64(&r) == 0);
    assert_true(read_varint(&r) == 0);
    assert_null(read_text(&r));
    assert_int_equal(read_count(&r, 1), 0);
    struct id id = read_id(&r);
    assert_true(id_is_zero(&id));
    assert_false(reader_done(&r));
}

static void test_text_must_be_text(void **state)
{
    (void)state;
    static const char *const bad[] = {"\x03\xc3\x28", "\x02\xff", "\x04\xed\xa0\x80"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct reader r = reader_init(bad[i], strlen(bad[i]));
        assert_null(read_text(&r));
        assert_true(r.bad);
    }
    struct reader nul = reader_init("\x04"
                                    "a\0b",
                                    4);
    assert_null(read_text(&nul));
    assert_true(nul.bad);
}

static void test_a_count_must_fit_in_the_rest(void **state)
{
    (void)state;
    AUTOSTR struct str s = STR_INIT;
    buf_varint(&s, 4);
    str_add(&s, "12345678", 8);
    struct reader fits = reader_init(s.p, s.n), over = fits;
    assert_int_equal(read_count(&fits, 2), 4);
    assert_false(fits.bad);
    assert_int_equal(read_count(&over, 3), 0);
    assert_true(over.bad);
    struct reader flag = reader_init("\x02", 1);
    assert_false(read_bool(&flag));
    assert_true(flag.bad);
}

/* A random sequence of reads over random bytes in a block of exactly their size: the sanitizer watches. */
static void test_random_bytes_never_overrun(void **state)
{
    (void)state;
    struct prng p;
    prng_init(&p, 1);
    for (int round = 0; round < 20000; round++) {
        size_t n = (size_t)prng_below(&p, 40);
        AUTOFREE unsigned char *bytes = malloc(n ? n : 1);
        prng_fill(&p, bytes, n);
        if (n && prng_below(&p, 2))
            bytes[0] &= 15;
        struct reader r = reader_init(bytes, n);
        size_t before = n;
        while (!r.bad && r.n) {
            switch (prng_below(&p, 8)) {
            case 0:
                read_u8(&r);
                break;
            case 1:
                read_u32(&r);
                break;
            case 2:
                read_i64(&r);
                break;
            case 3:
                read_varint(&r);
                break;
            case 4:
                read_bytes(&r);
                break;
            case 5:
                free(read_text(&r));
                break;
            case 6:
                read_id(&r);
                break;
            default:
                read_count(&r, 3);
            }
            assert_true(r.bad || r.n < before);
            before = r.n;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_kind_comes_back),
        cmocka_unit_test(test_fixed_numbers_are_little_endian),
        cmocka_unit_test(test_varint_has_one_form),
        cmocka_unit_test(test_bad_is_sticky),
        cmocka_unit_test(test_text_must_be_text),
        cmocka_unit_test(test_a_count_must_fit_in_the_rest),
        cmocka_unit_test(test_random_bytes_never_overrun),
    };
    return cmocka_run_group_tests_name("wire/buf", tests, NULL, NULL);
}
