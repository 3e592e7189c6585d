/* row: one form for each row, pinned by golden/row.txt; whatever row_decode takes, row_encode gives back. */
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/prng.h"
#include "wire/buf.h"
#include "wire/row.h"

#define NUL_                                                                                                 \
    {                                                                                                        \
        .type = VAL_NULL                                                                                     \
    }
#define INT_(v)                                                                                              \
    {                                                                                                        \
        .type = VAL_INT, .i = v                                                                              \
    }
#define REAL_(v)                                                                                             \
    {                                                                                                        \
        .type = VAL_REAL, .real = v                                                                          \
    }
#define TEXT_(s)                                                                                             \
    {                                                                                                        \
        .type = VAL_TEXT, .p = s, .n = sizeof(s) - 1                                                         \
    }
#define BLOB_(s)                                                                                             \
    {                                                                                                        \
        .type = VAL_BLOB, .p = s, .n = sizeof(s) - 1                                                         \
    }

static const struct col cols[] = {
    {"blob", VAL_BLOB, {0}},      {"count", VAL_INT, INT_(0)},         {"count2", VAL_INT, {0}},
    {"load", VAL_REAL, REAL_(0)}, {"metadata", VAL_TEXT, TEXT_("{}")}, {"name", VAL_TEXT, {0}},
    {"ratio", VAL_REAL, {0}},
};
#define N COUNT(cols)

static void encode(struct str *s, const struct val *vals, struct span extra)
{
    row_encode(s, cols, vals, N, extra);
}

static int decode(const char *p, size_t n, struct val *vals, struct str *extra)
{
    /* Once in a block of exactly n bytes, so that the sanitizer sees an overrun. */
    AUTOFREE char *exact = malloc(n ? n : 1);
    AUTOSTR struct str ignored = STR_INIT;
    struct val in_exact[N];
    if (n)
        memcpy(exact, p, n);
    int rc = row_decode((struct span){exact, n}, cols, in_exact, N, &ignored, NULL);
    assert_int_equal(row_decode((struct span){p, n}, cols, vals, N, extra, NULL), rc);
    return rc;
}

static const struct {
    const char *name;
    struct val vals[N];
} golden[] = {
    {"all-at-default", {NUL_, INT_(0), NUL_, REAL_(0.0), TEXT_("{}"), NUL_}},
    {"null-is-not-the-default-0", {NUL_, NUL_, NUL_, NUL_, NUL_, NUL_}},
    {"zero-is-not-the-default-null", {BLOB_(""), INT_(0), INT_(0), REAL_(0.0), TEXT_(""), TEXT_("")}},
    {"minus-zero-is-zero", {NUL_, INT_(0), NUL_, REAL_(-0.0), TEXT_("{}"), NUL_}},
    {"one", {NUL_, INT_(1), INT_(-1), REAL_(1.0), TEXT_("{}"), TEXT_("a")}},
    {"int-edges-1", {NUL_, INT_(127), INT_(-128), REAL_(-1.5), TEXT_("{}"), TEXT_("a")}},
    {"int-edges-2", {NUL_, INT_(128), INT_(-129), REAL_(0.1), TEXT_("{}"), TEXT_("a")}},
    {"int-edges-8", {NUL_, INT_(INT64_MAX), INT_(INT64_MIN), REAL_(1e300), TEXT_("{}"), TEXT_("a")}},
    {"int-edges-7", {NUL_, INT_(0x7fffffffffffff), INT_(-0x80000000000000), NUL_, TEXT_("{}"), TEXT_("a")}},
    {"text-and-blob",
     {BLOB_("\0\xff"), INT_(0), NUL_, REAL_(INFINITY), TEXT_("{\"tag\":\"hot\"}"), TEXT_("žába 🐝")}},
    {"length-of-two-bytes",
     {NUL_, INT_(0), NUL_, REAL_(0.0),
      TEXT_("012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345"
            "6789"
            "0123456789012345678901234567"),
      NUL_}},
};

static void test_golden(void **state)
{
    (void)state;
    FILE *f = fopen(SKEP_SOURCE_DIR "/tests/unit/wire/golden/row.txt", "r");
    assert_non_null(f);
    char name[128], hex[1024];
    size_t i = 0;
    for (; fscanf(f, "%127s %1023s", name, hex) == 2; i++) {
        assert_true(i < COUNT(golden));
        AUTOSTR struct str row = STR_INIT, text = STR_INIT;
        encode(&row, golden[i].vals, (struct span){NULL, 0});
        str_hex(&text, row.p, row.n);
        assert_string_equal(name, golden[i].name);
        assert_string_equal(hex, text.n ? str_get(&text) : "-");
    }
    assert_int_equal(i, COUNT(golden));
    fclose(f);
}

static void expect_row(const struct val *got, const struct val *want)
{
    for (size_t i = 0; i < N; i++)
        assert_true(val_equal(&got[i], &want[i]));
}

static void test_golden_rows_come_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(golden); i++) {
        AUTOSTR struct str row = STR_INIT, extra = STR_INIT;
        struct val got[N];
        encode(&row, golden[i].vals, (struct span){NULL, 0});
        assert_int_equal(decode(str_get(&row), row.n, got, &extra), 0);
        expect_row(got, golden[i].vals);
        assert_int_equal(extra.n, 0);
    }
}

/* A field by hand: what row_encode would never write can be written too. */
static void put(struct str *s, const char *name, int tag, const char *bytes, size_t n)
{
    str_putc(s, (char)strlen(name));
    str_puts(s, name);
    str_putc(s, (char)tag);
    buf_bytes(s, bytes, n);
}

static void test_what_is_not_canonical_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *why, *name;
        int tag;
        const char *bytes;
        size_t n;
    } bad[] = {
        {"default 0", "count", VAL_INT, "", 0},
        {"default text", "metadata", VAL_TEXT, "{}", 2},
        {"default null", "name", VAL_NULL, "", 0},
        {"default real", "load", VAL_REAL, "\0\0\0\0\0\0\0\0", 8},
        {"-0.0", "load", VAL_REAL, "\x80\0\0\0\0\0\0\0", 8},
        {"-0.0, not near the default", "ratio", VAL_REAL, "\x80\0\0\0\0\0\0\0", 8},
        {"NaN", "load", VAL_REAL, "\x7f\xf8\0\0\0\0\0\0", 8},
        {"real of 7 bytes", "load", VAL_REAL, "\x3f\xf0\0\0\0\0\0", 7},
        {"wrong type", "count", VAL_TEXT, "1", 1},
        {"int in text column", "name", VAL_INT, "\1", 1},
        {"0 with a byte", "count2", VAL_INT, "\0", 1},
        {"1 in two bytes", "count", VAL_INT, "\0\1", 2},
        {"-1 in two bytes", "count", VAL_INT, "\xff\xff", 2},
        {"9 bytes", "count", VAL_INT, "\1\0\0\0\0\0\0\0\0", 9},
        {"null with bytes", "count", VAL_NULL, "x", 1},
        {"invalid UTF-8", "name", VAL_TEXT, "\xc3(", 2},
        {"NUL in text", "name", VAL_TEXT, "a\0b", 3},
        {"no such tag", "name", 5, "a", 1},
        {"no such tag in an unknown column", "zzz", 5, "a", 1},
        {"unknown column, not minimal", "zzz", VAL_INT, "\0\1", 2},
        {"unknown column, bad name", "z\x01", VAL_INT, "\1", 1},
        {"no name", "", VAL_INT, "\1", 1},
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        AUTOSTR struct str row = STR_INIT, extra = STR_INIT;
        struct val got[N];
        put(&row, bad[i].name, bad[i].tag, bad[i].bytes, bad[i].n);
        if (decode(str_get(&row), row.n, got, &extra) != SKEP_EARG)
            fail_msg("accepted: %s", bad[i].why);
        assert_int_equal(extra.n, 0);
    }
}

static void test_order_and_doubles(void **state)
{
    (void)state;
    static const char *const orders[][3] = {
        {"count2", "count", NULL}, {"count", "count", NULL}, {"zzz", "zzz", NULL},
        {"aaa", "zzz", "aaa"},     {"zzz", "count", NULL},   {"count", "aaa", NULL},
    };
    for (size_t i = 0; i < COUNT(orders); i++) {
        AUTOSTR struct str row = STR_INIT, extra = STR_INIT;
        struct val got[N];
        str_puts(&extra, "kept");
        for (size_t k = 0; k < 3 && orders[i][k]; k++)
            put(&row, orders[i][k], VAL_INT, "\1", 1);
        assert_int_equal(decode(str_get(&row), row.n, got, &extra), SKEP_EARG);
        assert_int_equal(extra.n, 4);
        assert_string_equal(str_get(&extra), "kept");
    }
}

static void test_every_cut_is_refused(void **state)
{
    (void)state;
    AUTOSTR struct str row = STR_INIT;
    struct val got[N];
    size_t fields = 0;
    encode(&row, golden[9].vals, (struct span){NULL, 0});
    for (size_t n = 1; n < row.n; n++) {
        AUTOSTR struct str extra = STR_INIT;
        fields += decode(row.p, n, got, &extra) == 0; /* a cut between two fields is a row */
    }
    assert_int_equal(fields, 3);
}

static void test_unknown_columns_travel_on(void **state)
{
    (void)state;
    AUTOSTR struct str newer = STR_INIT, extra = STR_INIT, again = STR_INIT;
    struct val got[N];
    put(&newer, "aaa", VAL_TEXT, "x", 1);
    put(&newer, "count", VAL_INT, "\5", 1);
    put(&newer, "count1", VAL_BLOB, "y", 1);
    put(&newer, "name", VAL_TEXT, "n", 1);
    put(&newer, "zzz", VAL_NULL, "", 0);
    assert_int_equal(decode(newer.p, newer.n, got, &extra), 0);
    assert_true(got[1].i == 5);
    encode(&again, got, (struct span){extra.p, extra.n});
    assert_int_equal(again.n, newer.n);
    assert_memory_equal(again.p, newer.p, newer.n);
}

/* A damaged extra (it comes from a disk) never makes bytes that are not canonical. */
static void test_damaged_extra_does_not_spread(void **state)
{
    (void)state;
    AUTOSTR struct str extra = STR_INIT;
    put(&extra, "aaa", VAL_TEXT, "x", 1);
    put(&extra, "count", VAL_INT, "\1", 1); /* known by now: the column's own value wins */
    put(&extra, "zzz", VAL_TEXT, "y", 1);
    put(&extra, "bbb", VAL_TEXT, "out of order", 12);
    struct prng p;
    prng_init(&p, 3);
    for (int i = 0; i < 5000; i++) {
        AUTOSTR struct str row = STR_INIT, rest = STR_INIT, hurt = STR_INIT;
        struct val got[N];
        str_add(&hurt, extra.p, extra.n);
        if (i)
            hurt.p[prng_below(&p, hurt.n)] ^= (char)(1 << prng_below(&p, 8));
        encode(&row, golden[4].vals, (struct span){hurt.p, hurt.n});
        assert_int_equal(decode(row.p, row.n, got, &rest), 0);
        expect_row(got, golden[4].vals);
    }
}

static void test_there_is_one_zero(void **state)
{
    (void)state;
    AUTOSTR struct str plus = STR_INIT, minus = STR_INIT;
    struct val vals[N] = {NUL_, INT_(0), NUL_, REAL_(0.0), TEXT_("{}"), NUL_, REAL_(0.0)};
    encode(&plus, vals, (struct span){NULL, 0});
    vals[6].real = -0.0;
    encode(&minus, vals, (struct span){NULL, 0});
    assert_int_equal(plus.n, 16);
    assert_int_equal(minus.n, 16);
    assert_memory_equal(plus.p, minus.p, 16);
}

static void test_nan_is_null(void **state)
{
    (void)state;
    AUTOSTR struct str nan_row = STR_INIT, null_row = STR_INIT;
    struct val vals[N] = {NUL_, INT_(0), NUL_, REAL_(0.0), TEXT_("{}"), NUL_};
    vals[3].real = (double)NAN;
    encode(&nan_row, vals, (struct span){NULL, 0});
    vals[3] = (struct val)NUL_;
    encode(&null_row, vals, (struct span){NULL, 0});
    assert_int_equal(nan_row.n, null_row.n);
    assert_memory_equal(nan_row.p, null_row.p, null_row.n);
}

static struct val random_val(struct prng *p, enum val_type type, const char *pool)
{
    if (prng_below(p, 5) == 0)
        return (struct val){0};
    switch (type) {
    case VAL_NULL:
        break;
    case VAL_INT: {
        int64_t v = (int64_t)(prng_next(p) >> prng_below(p, 64));
        return (struct val){.type = VAL_INT, .i = prng_below(p, 2) ? v : -v};
    }
    case VAL_REAL:
        return (struct val){.type = VAL_REAL,
                            .real = (double)(int64_t)prng_next(p) / (double)(1 + prng_below(p, 9))};
    case VAL_TEXT:
    case VAL_BLOB:
        return (struct val){.type = type, .p = pool + prng_below(p, 8), .n = (size_t)prng_below(p, 300)};
    }
    return (struct val){0};
}

static void test_random_rows_come_back_and_differ_where_they_differ(void **state)
{
    (void)state;
    struct prng p;
    char pool[320];
    memset(pool, 'x', sizeof pool);
    prng_init(&p, 2);
    for (int round = 0; round < 5000; round++) {
        struct str row[2] = {STR_INIT, STR_INIT};
        struct val vals[2][N], got[N];
        bool same = true;
        for (size_t i = 0; i < N; i++) {
            vals[0][i] = random_val(&p, cols[i].type, pool);
            vals[1][i] = prng_below(&p, 6) ? vals[0][i] : random_val(&p, cols[i].type, pool);
            same = same && val_equal(&vals[0][i], &vals[1][i]);
        }
        for (size_t k = 0; k < 2; k++) {
            AUTOSTR struct str extra = STR_INIT;
            encode(&row[k], vals[k], (struct span){NULL, 0});
            assert_int_equal(decode(str_get(&row[k]), row[k].n, got, &extra), 0);
            expect_row(got, vals[k]);
        }
        bool equal = row[0].n == row[1].n && memcmp(str_get(&row[0]), str_get(&row[1]), row[0].n) == 0;
        assert_int_equal(equal, same);
        str_fini(&row[0]);
        str_fini(&row[1]);
    }
}

/* Hostile bytes: one flipped bit anywhere is refused or is another row in its one form. */
static void test_flipped_bits_are_refused_or_canonical(void **state)
{
    (void)state;
    AUTOSTR struct str row = STR_INIT;
    encode(&row, golden[9].vals, (struct span){NULL, 0});
    for (size_t bit = 0; bit < row.n * 8; bit++) {
        AUTOSTR struct str hurt = STR_INIT, extra = STR_INIT, again = STR_INIT;
        struct val got[N];
        str_add(&hurt, row.p, row.n);
        hurt.p[bit / 8] ^= (char)(1 << bit % 8);
        if (decode(hurt.p, hurt.n, got, &extra) < 0)
            continue;
        encode(&again, got, (struct span){extra.p, extra.n});
        assert_int_equal(again.n, hurt.n);
        assert_memory_equal(again.p, hurt.p, hurt.n);
    }
}

static bool dies(const struct col *list, size_t n)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY);
        dup2(null, 2);
        row_cols_check(list, n);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void test_a_table_registered_wrongly_is_a_bug(void **state)
{
    (void)state;
    const struct col unsorted[] = {{"b", VAL_INT, {0}}, {"a", VAL_INT, {0}}};
    const struct col twice[] = {{"a", VAL_INT, {0}}, {"a", VAL_INT, {0}}};
    const struct col untyped[] = {{"a", VAL_NULL, {0}}}, other[] = {{"a", VAL_INT, TEXT_("0")}};
    const struct col unnamed[] = {{"", VAL_INT, {0}}};
    assert_false(dies(cols, N));
    assert_true(dies(unsorted, 2));
    assert_true(dies(twice, 2));
    assert_true(dies(untyped, 1));
    assert_true(dies(other, 1));
    assert_true(dies(unnamed, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_golden_rows_come_back),
        cmocka_unit_test(test_what_is_not_canonical_is_refused),
        cmocka_unit_test(test_order_and_doubles),
        cmocka_unit_test(test_every_cut_is_refused),
        cmocka_unit_test(test_unknown_columns_travel_on),
        cmocka_unit_test(test_damaged_extra_does_not_spread),
        cmocka_unit_test(test_there_is_one_zero),
        cmocka_unit_test(test_nan_is_null),
        cmocka_unit_test(test_random_rows_come_back_and_differ_where_they_differ),
        cmocka_unit_test(test_flipped_bits_are_refused_or_canonical),
        cmocka_unit_test(test_a_table_registered_wrongly_is_a_bug),
    };
    return cmocka_run_group_tests_name("wire/row", tests, NULL, NULL);
}
