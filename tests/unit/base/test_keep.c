#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/keep.h"
#include "base/prng.h"

static char *const argv[] = {"./worker", "", "two words", NULL};
static char *const env[] = {"A=1", "EMPTY=", "B=x\ny", NULL};

static void same(char *const *a, char *const *b)
{
    for (; *a && *b; a++, b++)
        assert_string_equal(*a, *b);
    assert_null(*a);
    assert_null(*b);
}

static bool unpack(const struct str *s, size_t n, struct keep_order *ret)
{
    return keep_unpack(mem_copy(str_get(s), n), n, ret);
}

static void test_order_comes_back(void **state UNUSED)
{
    struct keep_order o;
    AUTOSTR struct str s = STR_INIT;
    keep_pack(&s, "/srv", "nobody", "a-1", argv, env);
    assert_true(unpack(&s, s.n, &o));
    assert_string_equal(o.cwd, "/srv");
    assert_string_equal(o.user, "nobody");
    assert_string_equal(o.log, "a-1");
    same(o.argv, argv);
    same(o.env, env);
    keep_order_fini(&o);
}

static void test_order_without_user_log_and_environment(void **state UNUSED)
{
    struct keep_order o;
    AUTOSTR struct str s = STR_INIT;
    char *const none[] = {NULL};
    keep_pack(&s, "/", NULL, NULL, argv, none);
    assert_true(unpack(&s, s.n, &o));
    assert_string_equal(o.user, "");
    assert_string_equal(o.log, "");
    same(o.env, none);
    keep_order_fini(&o);
}

static void test_bad_orders_are_refused(void **state UNUSED)
{
#define BAD(text)                                                                                            \
    {                                                                                                        \
        text, sizeof text - 1                                                                                \
    }
    static const struct {
        const char *p;
        size_t n;
    } bad[] = {
        BAD(""),
        BAD("\0"),
        BAD("/\0\0\0001\0a"),   /* no zero at the end */
        BAD("/\0\0\0000\0a\0"), /* no argv */
        BAD("/\0\0\0002\0a\0"), /* fewer than said */
        BAD("/\0\0\0-1\0a\0"),
        BAD("/\0\0\0x\0a\0"),
        BAD("/\0\0\0001\0\0"),       /* empty program */
        BAD("srv\0\0\0001\0a\0"),    /* not absolute */
        BAD("/\0\0../up\0001\0a\0"), /* logs that are paths or hidden */
        BAD("/\0\0a/b\0001\0a\0"),
        BAD("/\0\0.hidden\0001\0a\0"),
        BAD("/\0\0new\nline\0001\0a\0"),
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct keep_order o = {0};
        if (keep_unpack(mem_copy(bad[i].p, bad[i].n), bad[i].n, &o))
            fail_msg("order %zu was taken", i);
        assert_null(o.bytes);
    }
}

/* Whatever the bytes: refused, or an order whose strings lie inside of them. */
static void test_damaged_orders_do_no_harm(void **state UNUSED)
{
    struct prng p;
    AUTOSTR struct str s = STR_INIT;
    keep_pack(&s, "/srv", "", "log", argv, env);
    prng_init(&p, 1);
    for (int i = 0; i < 20000; i++) {
        struct keep_order o;
        size_t n = prng_below(&p, s.n + 1);
        char *bytes = mem_copy(s.p, n);
        for (uint64_t k = prng_below(&p, 4); n && k; k--)
            bytes[prng_below(&p, n)] = (char)prng_below(&p, 256);
        if (!keep_unpack(bytes, n, &o))
            continue;
        for (char **a = o.argv; *a; a++)
            assert_true(*a >= o.bytes && *a + strlen(*a) < o.bytes + n);
        for (char **e = o.env; *e; e++)
            assert_true(*e >= o.bytes && *e + strlen(*e) < o.bytes + n);
        keep_order_fini(&o);
    }
}

static void pair_open(int pair[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
}

static void test_messages_carry_descriptors(void **state UNUSED)
{
    int pair[2], file[2], got[KEEP_FDS_MAX];
    struct keep_msg m = {.kind = KEEP_STREAM, .run = 7, .value = -3, .text = "name"}, back;
    pair_open(pair);
    assert_int_equal(pipe(file), 0);
    assert_int_equal(keep_recv(pair[1], &back, got), -EAGAIN);
    assert_int_equal(keep_send(pair[0], m, file, 2), 0);
    assert_int_equal(keep_recv(pair[1], &back, got), 1);
    assert_int_equal(back.kind, KEEP_STREAM);
    assert_int_equal(back.run, 7);
    assert_int_equal(back.value, -3);
    assert_string_equal(back.text, "name");
    assert_int_equal(fcntl(got[0], F_GETFD), FD_CLOEXEC);
    assert_int_equal(write(got[1], "x", 1), 1);
    char c;
    assert_int_equal(read(file[0], &c, 1), 1);
    close(got[0]);
    close(got[1]);
    assert_int_equal(keep_send(pair[0], (struct keep_msg){.kind = KEEP_PING}, NULL, 0), 0);
    assert_int_equal(keep_recv(pair[1], &back, got), 1);
    assert_int_equal(back.kind, KEEP_PING);
    assert_int_equal(got[0], -1);
    close(pair[0]);
    assert_int_equal(keep_recv(pair[1], &back, got), 0);
    assert_int_equal(keep_send(pair[1], m, NULL, 0), -EPIPE);
    close(pair[1]);
    close(file[0]);
    close(file[1]);
}

static void test_foreign_messages_are_refused(void **state UNUSED)
{
    int pair[2], got[KEEP_FDS_MAX];
    struct keep_msg back;
    static const char junk[2 * sizeof(struct keep_msg)] = "hello";
    pair_open(pair);
    assert_int_equal(write(pair[0], junk, 5), 5);
    assert_int_equal(keep_recv(pair[1], &back, got), -EBADMSG);
    assert_int_equal(write(pair[0], junk, sizeof(struct keep_msg)), sizeof(struct keep_msg));
    assert_int_equal(keep_recv(pair[1], &back, got), -EBADMSG);
    assert_int_equal(write(pair[0], junk, sizeof junk), sizeof junk);
    assert_int_equal(keep_recv(pair[1], &back, got), -EBADMSG);
    close(pair[0]);
    close(pair[1]);
}

static void test_a_full_socket_says_later(void **state UNUSED)
{
    int pair[2], rc = 0, got[KEEP_FDS_MAX];
    size_t sent = 0, received = 0;
    struct keep_msg back;
    pair_open(pair);
    for (; rc == 0 && sent < 1000000; sent += rc == 0)
        rc = keep_send(pair[0], (struct keep_msg){.kind = KEEP_PONG, .run = sent}, NULL, 0);
    assert_int_equal(rc, -EAGAIN);
    for (; keep_recv(pair[1], &back, got) == 1; received++)
        assert_int_equal(back.run, received);
    assert_int_equal(sent, received);
    close(pair[0]);
    close(pair[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_comes_back),
        cmocka_unit_test(test_order_without_user_log_and_environment),
        cmocka_unit_test(test_bad_orders_are_refused),
        cmocka_unit_test(test_damaged_orders_do_no_harm),
        cmocka_unit_test(test_messages_carry_descriptors),
        cmocka_unit_test(test_foreign_messages_are_refused),
        cmocka_unit_test(test_a_full_socket_says_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
