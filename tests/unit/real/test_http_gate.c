/* What a flood of connections meets: the gate alone, by a clock of its own, and at the door of a server. */
#include "http_rig.h"

#include "real/http_gate.h"

static struct certs certs;
static SSL_CTX *nobody, *peer; /* clients without a certificate, and with a node's */

static int setup(void **state UNUSED)
{
    certs_make(&certs);
    nobody = client_tls_ctx(NULL, &certs.ca);
    peer = client_tls_ctx(&certs.b, &certs.ca);
    return 0;
}

static int teardown(void **state UNUSED)
{
    tls_free(nobody);
    tls_free(peer);
    certs_free(&certs);
    return 0;
}

/* ---- the gate ---- */

static struct sockaddr_in6 address(const char *text)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6};
    assert_int_equal(inet_pton(AF_INET6, text, &a.sin6_addr), 1);
    return a;
}

static int64_t enter(struct http_gate *g, const char *text, int64_t now_ms, struct http_guest **ret)
{
    struct sockaddr_in6 a = address(text);
    *ret = NULL;
    return http_gate_enter(g, (const struct sockaddr *)&a, now_ms, ret);
}

static void a_burst_is_free_then_it_is_slower_then_refused(void **state UNUSED)
{
    struct http_gate *g = http_gate_new(10, 1000);
    struct http_guest *guest[40];
    size_t n = 0;
    for (; n < 20; n++)
        assert_int_equal(enter(g, "::1", 5000, &guest[n]), 0);
    int64_t before_ms = 0;
    for (; n < 30; n++) {
        int64_t wait_ms = enter(g, "::1", 5000, &guest[n]);
        assert_true(wait_ms > before_ms && wait_ms <= before_ms + 101);
        before_ms = wait_ms;
    }
    assert_int_equal(enter(g, "::1", 5000, &guest[n]), HTTP_GATE_REFUSED);
    assert_null(guest[n]);
    assert_int_equal(enter(g, "2001:db8::1", 5000, &guest[n++]), 0); /* nobody else's fault */
    assert_true(enter(g, "::1", 5101, &guest[n++]) > 0);
    assert_int_equal(enter(g, "::1", 8000, &guest[n++]), 0);
    while (n > 0)
        http_gate_leave(guest[--n]);
    http_gate_free(g);
}

static void one_address_has_so_many_at_once(void **state UNUSED)
{
    struct http_gate *g = http_gate_new(1000, 2);
    struct http_guest *a, *b, *c;
    assert_int_equal(enter(g, "::1", 0, &a), 0);
    assert_int_equal(enter(g, "::1", 0, &b), 0);
    assert_int_equal(enter(g, "::1", 0, &c), HTTP_GATE_REFUSED);
    http_gate_leave(b);
    assert_int_equal(enter(g, "::1", 0, &b), 0);
    http_gate_leave(a);
    http_gate_leave(b);
    http_gate_free(g);
}

static void what_counts_as_one_address(void **state UNUSED)
{
    struct http_gate *g = http_gate_new(1, 1);
    struct http_guest *guest[4], *none;
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0a000001)};
    assert_int_equal(http_gate_enter(g, (const struct sockaddr *)&four, 0, &guest[0]), 0);
    assert_int_equal(enter(g, "::ffff:10.0.0.1", 0, &none), HTTP_GATE_REFUSED);
    assert_int_equal(enter(g, "::ffff:10.0.0.2", 0, &guest[1]), 0);
    assert_int_equal(enter(g, "2001:db8:0:1::1", 0, &guest[2]), 0);
    assert_int_equal(enter(g, "2001:db8:0:1:ffff::2", 0, &none), HTTP_GATE_REFUSED);
    assert_int_equal(enter(g, "2001:db8:0:2::1", 0, &guest[3]), 0);
    for (size_t i = 0; i < COUNT(guest); i++)
        http_gate_leave(guest[i]);
    http_gate_free(g);
}

static void who_is_gone_is_forgotten(void **state UNUSED)
{
    struct http_gate *g = http_gate_new(10, 10);
    struct http_guest *stays, *guest;
    assert_int_equal(enter(g, "2001:db8:ffff:ffff::", 0, &stays), 0);
    for (int i = 0; i < 100000; i++) {
        AUTOFREE char *text = mem_printf("2001:db8:%x:%x::", i >> 8, i & 255);
        assert_int_equal(enter(g, text, i, &guest), 0);
        http_gate_leave(guest);
    }
    assert_true(http_gate_count(g) < 10000);
    for (int i = 0; i < 9; i++)
        assert_int_equal(enter(g, "2001:db8:ffff:ffff::", 100000, &guest), 0);
    assert_int_equal(enter(g, "2001:db8:ffff:ffff::", 100000, &guest), HTTP_GATE_REFUSED); /* it was not */
    for (int i = 0; i < 10; i++)
        http_gate_leave(stays);
    http_gate_free(g);
}

/* ---- the server ---- */

static void ask(struct client *c)
{
    client_get(c, "/hello");
    expect_status(c, 200);
}

static void too_fast_an_address_waits_then_is_refused(void **state UNUSED)
{
    struct http_server_options o = {.address_accepts_per_s = 10};
    struct rig *rig = rig_new(&certs, &o);
    static struct client all[60];
    for (size_t i = 0; i < COUNT(all); i++)
        all[i] = client_plain(rig->port);
    await(rig_stats(rig).accepted + rig_stats(rig).refused == COUNT(all));
    struct http_server_stats s = rig_stats(rig);
    assert_in_range(s.delayed, 10, 13);
    assert_in_range(s.refused, 27, 30);
    for (size_t i = 0; i < COUNT(all); i++)
        client_close(&all[i]);
    await(rig_stats(rig).open == 0);
    struct client late = client_unix(rig->path); /* not a matter of the local socket */
    ask(&late);
    client_close(&late);
    rig_free(rig);
}

static void who_has_to_wait_is_served_all_the_same(void **state UNUSED)
{
    struct http_server_options o = {.address_accepts_per_s = 5};
    struct rig *rig = rig_new(&certs, &o);
    int64_t start = clock_ms();
    for (int i = 0; i < 14; i++) {
        struct client c = client_tls(rig->port, nobody);
        ask(&c);
        client_close(&c);
    }
    assert_true(clock_ms() - start >= 600); /* 10 at once, 4 more at 5 a second */
    assert_int_equal(rig_stats(rig).refused, 0);
    rig_free(rig);
}

/* Connected from another of this machine's addresses; says nothing yet. */
static struct client client_from(const char *address, uint16_t port)
{
    struct client c = {.fd = socket(AF_INET, SOCK_STREAM, 0)};
    struct sockaddr_in at = {.sin_family = AF_INET}, to = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, address, &at.sin_addr);
    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    assert_int_equal(bind(c.fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(connect(c.fd, (struct sockaddr *)&to, sizeof to), 0);
    return c;
}

static void half_open_connections_do_not_keep_others_out(void **state UNUSED)
{
    struct http_server_options o = {.connections_max = 100, .handshakes_max = 20};
    struct rig *rig = rig_new(&certs, &o);
    static struct client half[300];
    struct client node = client_tls(rig->port, peer);
    ask(&node);
    struct client patient = client_from("127.0.0.2", rig->port);
    for (size_t i = 0; i < COUNT(half); i++) {
        half[i] = client_plain(rig->port);
        if (i % 100 == 99) {
            struct client c = client_tls(rig->port, nobody);
            ask(&c);
            client_close(&c);
        }
    }
    assert_true(rig_stats(rig).handshaking <= 20);
    ask(&node);                                               /* on the connection it had */
    assert_true(send(patient.fd, "x", 1, MSG_NOSIGNAL) == 1); /* from elsewhere: it may take its time */
    assert_int_equal(recv(patient.fd, &(char){0}, 1, MSG_DONTWAIT | MSG_PEEK), -1);
    client_close(&patient);
    for (size_t i = 0; i < COUNT(half); i++)
        client_close(&half[i]);
    client_close(&node);
    rig_free(rig);
}

/* Clients that begin a request and go to sleep hold no place for longer than a second if others need it; a
 * node's connection stays. */
static void slow_heads_make_room(void **state UNUSED)
{
    struct http_server_options o = {.connections_max = 10};
    struct rig *rig = rig_new(&certs, &o);
    struct client slow[9], fast[9], node = client_tls(rig->port, peer);
    ask(&node);
    for (size_t i = 0; i < COUNT(slow); i++) {
        slow[i] = client_tls(rig->port, nobody);
        client_send(&slow[i], "GET /hello HT");
    }
    for (size_t i = 0; i < COUNT(fast); i++) {
        fast[i] = client_tls(rig->port, nobody);
        ask(&fast[i]);
    }
    assert_true(rig_stats(rig).evicted >= 8);
    assert_true(rig_stats(rig).open <= 11);
    ask(&node);
    for (size_t i = 0; i < COUNT(slow); i++) {
        client_close(&slow[i]);
        client_close(&fast[i]);
    }
    client_close(&node);
    rig_free(rig);
}

static void do_answer_large(struct rig *rig, void *arg)
{
    unsigned i = *(unsigned *)arg;
    struct answer *a = answer_new(200, "");
    free(a->body);
    a->body_n = 1 << 20;
    a->body = mem_alloc(a->body_n);
    memset(a->body, 'x', a->body_n);
    http_server_answer(rig->server, rig->held[i], a);
}

/* Clients that ask and do not read: what waits for them has a bound, and who reads is told to try again. */
static void answers_that_nobody_reads_have_a_bound(void **state UNUSED)
{
    struct http_server_options o = {.outs_bytes_max = 8 << 20};
    struct rig *rig = rig_new(&certs, &o);
    struct client deaf[10], c;
    unsigned held = 0;
    for (size_t i = 0; i < COUNT(deaf); i++) {
        deaf[i] = client_unix(rig->path);
        client_get(&deaf[i], "/later");
        client_get(&deaf[i], "/later");
        await(rig_get(rig, &rig->held_n) == held + 2);
        rig_do(rig, do_answer_large, &(unsigned){held++});
        rig_do(rig, do_answer_large, &(unsigned){held++});
        assert_true(rig_stats(rig).out_bytes <= (8 << 20) + 4096);
    }
    assert_true(rig_stats(rig).out_bytes > 6 << 20);
    c = client_unix(rig->path);
    client_get(&c, "/later");
    await(rig_get(rig, &rig->held_n) == held + 1);
    rig_do(rig, do_answer_large, &(unsigned){held++});
    struct reply r = client_reply(&c);
    assert_int_equal(r.status, 503);
    assert_non_null(strstr(r.head.p, "Retry-After: 1"));
    assert_non_null(strstr(r.body.p, "\"overloaded\""));
    reply_fini(&r);
    ask(&c); /* small ones leave */
    for (size_t i = 0; i < COUNT(deaf); i++)
        client_close(&deaf[i]);
    await(rig_stats(rig).out_bytes == 0);
    client_close(&c);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_burst_is_free_then_it_is_slower_then_refused),
        cmocka_unit_test(one_address_has_so_many_at_once),
        cmocka_unit_test(what_counts_as_one_address),
        cmocka_unit_test(who_is_gone_is_forgotten),
        cmocka_unit_test(too_fast_an_address_waits_then_is_refused),
        cmocka_unit_test(who_has_to_wait_is_served_all_the_same),
        cmocka_unit_test(half_open_connections_do_not_keep_others_out),
        cmocka_unit_test(slow_heads_make_room),
        cmocka_unit_test(answers_that_nobody_reads_have_a_bound),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
