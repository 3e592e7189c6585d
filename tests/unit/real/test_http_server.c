#include "http_rig.h"

#include "base/err.h"
#include "base/prng.h"

static struct certs certs;
static SSL_CTX *ctx; /* a client without a certificate */

static int setup(void **state UNUSED)
{
    certs_make(&certs);
    ctx = client_tls_ctx(NULL, &certs.ca);
    return 0;
}

static int teardown(void **state UNUSED)
{
    tls_free(ctx);
    certs_free(&certs);
    return 0;
}

static const struct http_server_options usual = {0};

/* ---- answers ---- */

static void a_constant_over_tls_and_keep_alive(void **state UNUSED)
{
    struct rig *rig = rig_new(&certs, &usual);
    struct client c = client_tls(rig->port, ctx);
    for (int i = 0; i < 3; i++) {
        client_get(&c, "/hello");
        AUTOREPLY struct reply r = client_reply(&c);
        assert_int_equal(r.status, 200);
        assert_string_equal(str_get(&r.body), "{\"hello\":\"world\"}");
        assert_non_null(strstr(r.head.p, "HTTP/1.1 200 OK\r\nDate: "));
        assert_non_null(strstr(r.head.p, " GMT\r\nContent-Type: application/json\r\nContent-Length: 17\r\n"));
        assert_null(strstr(r.head.p, "Connection"));
    }
    client_close(&c);
    rig_free(rig);
}

static void head_rich_and_empty_answers(void **state UNUSED)
{
    struct rig *rig = rig_new(&certs, &usual);
    struct client c = client_tls(rig->port, ctx);
    client_send(&c, "HEAD /hello HTTP/1.1\r\nHost: x\r\n\r\n");
    AUTOREPLY struct reply head = client_reply_to(&c, true);
    assert_int_equal(head.status, 200);
    assert_non_null(strstr(head.head.p, "Content-Length: 17\r\n"));
    client_get(&c, "/rich");
    AUTOREPLY struct reply rich = client_reply(&c);
    assert_int_equal(rich.status, 405);
    assert_non_null(strstr(rich.head.p, "ETag: \"7\"\r\nAllow: GET, PUT\r\nRetry-After: 3\r\n"));
    client_get(&c, "/nothing");
    AUTOREPLY struct reply nothing = client_reply(&c);
    assert_int_equal(nothing.status, 204);
    assert_null(strstr(nothing.head.p, "Content-"));
    client_get(&c, "/hello");
    expect_status(&c, 200);
    client_close(&c);
    rig_free(rig);
}

static void headers_and_query_reach_the_owner(void **state UNUSED)
{
    struct rig *rig = rig_new(&certs, &usual);
    struct client c = client_tls(rig->port, ctx);
    client_send(&c,
                "GET /who?a=b%20c HTTP/1.1\r\nHost: x\r\nauthorization:  Bearer tok\r\nIF-MATCH: \"3\"\r\n"
                "X-A-Very-Long-Name-Of-A-Header-That-Nobody-Knows: y\r\n\r\n");
    AUTOREPLY struct reply r = client_reply(&c);
    assert_non_null(strstr(str_get(&r.body), "|0|0|0|Bearer tok|a=b%20c|\"3\""));
    assert_true(text_starts(str_get(&r.body), "127.0.0.1:"));
    client_send(&c, "GET http://skep.example/who?q HTTP/1.1\r\nHost: x\r\n\r\n");
    AUTOREPLY struct reply absolute = client_reply(&c);
    assert_non_null(strstr(str_get(&absolute.body), "|-|q|-"));
    client_close(&c);
    rig_free(rig);
}

static void http_1_0_closes_unless_asked(void **state UNUSED)
{
    struct rig *rig = rig_new(&certs, &usual);
    struct client c = client_unix(rig->path);
    client_send(&c, "GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    AUTOREPLY struct reply kept = client_reply(&c);
    assert_non_null(strstr(kept.head.p, "Connection: keep-alive\r\n"));
    client_send(&c, "GET /hello HTTP/1.0\r\n\r\n");
    AUTOREPLY struct reply closed = client_reply(&c);
    assert_non_null(strstr(closed.head.p, "Connection: close\r\n"));
    assert_int_equal(client_more(&c), 0);
    client_close(&c);
    rig_free(rig);
}

/* ---- the Unix socket ---- */

static void the_unix_socket_knows_its_peer(void **state UNUSED)
{
    struct rig *rig = rig_new(&certs, &usual);
    struct stat st;
    assert_int_equal(stat(rig->path, &st), 0);
    assert_true(S_ISSOCK(st.st_mode));
    assert_int_equal(st.st_mode & 07777, 0660);
    struct client c = client_unix(rig->path);
    client_get(&c, "/who");
    AUTOREPLY struct reply r = client_reply(&c);
    AUTOFREE char *expected = mem_printf("unix|1|%u|%d|-|-|-", getuid(), getpid());
    assert_string_equal(str_get(&r.body), expected);
    client_close(&c);
    AUTOFREE char *path = mem_dup(rig->path);
    rig_free(rig);
    assert_int_equal(access(path, F_OK), -1);
}

static void a_stale_socket_is_replaced_a_live_one_is_not(void **state UNUSED)
{
    struct rig *rig = rig_new(&certs, &usual);
    struct event_base *base = event_base_new();
    struct http_server_callbacks none = {0};
    struct http_server *second = http_server_new(base, &usual, &none);
    struct err e = {0};
    assert_int_equal(http_server_listen_unix(second, rig->path, &e), SKEP_ELOCKED);
    assert_non_null(strstr(e.text, "another process answers"));
    AUTOFREE char *stale = mem_printf("%s/stale", certs.dir);
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    snprintf(at.sun_path, sizeof at.sun_path, "%s", stale);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    close(fd);
    assert_int_equal(http_server_listen_unix(second, stale, &e), 0);
    http_server_free(second);
    assert_int_equal(access(stale, F_OK), -1);
    second = http_server_new(base, &usual, &none);
    assert_int_equal(http_server_listen_unix(second, certs.a.cert_path, &e), SKEP_ECONFIG);
    assert_non_null(strstr(e.text, "is not a socket"));
    AUTOFREE char *deep = mem_printf("/tmp/%0200d", 1);
    assert_int_equal(http_server_listen_unix(second, deep, &e), SKEP_ECONFIG);
    assert_non_null(strstr(e.text, "longer than"));
    http_server_free(second);
    event_base_free(base);
    rig_free(rig);
}

static void a_port_in_use_is_said_clearly(void **state UNUSED)
{
    struct rig *rig = rig_new(&certs, &usual);
    struct event_base *base = event_base_new();
    struct http_server_callbacks none = {0};
    struct http_server *second = http_server_new(base, &usual, &none);
    SSL_CTX *tls = server_tls(&certs.a, &certs.ca);
    struct err e = {0};
    assert_int_equal(http_server_listen_tls(second, "127.0.0.1", rig->port, tls, &e), SKEP_EUNREACHABLE);
    assert_non_null(strstr(e.text, "is in use by another program"));
    assert_int_equal(http_server_listen_tls(second, "192.0.2.1", 0, tls, &e), SKEP_ECONFIG);
    assert_non_null(strstr(e.text, "is not an address of this machine"));
    tls_free(tls);
    http_server_free(second);
    event_base_free(base);
    rig_free(rig);
}

/* ---- order ---- */

static void pipelined_answers_keep_their_order(void **state UNUSED)
{
    struct rig *rig = rig_new(&certs, &usual);
    struct client c = client_tls(rig->port, ctx);
    client_send(&c, "GET /later/0 HTTP/1.1\r\nHost: x\r\n\r\nGET /hello HTTP/1.1\r\nHost: x\r\n\r\n"
                    "GET /later/1 HTTP/1.1\r\nHost: x\r\n\r\n");
    await(rig_get(rig, &rig->delivered) == 3);
    rig_answer_held(rig, 1);
    rig_answer_held(rig, 0);
    rig_answer_held(rig, 0); /* again: the id means nothing any more */
    AUTOREPLY struct reply first = client_reply(&c), second = client_reply(&c), third = client_reply(&c);
    assert_string_equal(str_get(&first.body), "/later/0");
    assert_string_equal(str_get(&second.body), "{\"hello\":\"world\"}");
    assert_string_equal(str_get(&third.body), "/later/1");
    client_close(&c);
    rig_free(rig);
}

static void what_changes_something_runs_alone(void **state UNUSED)
{
    struct rig *rig = rig_new(&certs, &usual);
    struct client c = client_tls(rig->port, ctx);
    client_send(&c, "GET /later/0 HTTP/1.1\r\nHost: x\r\n\r\n"
                    "PUT /later/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
                    "GET /later/2 HTTP/1.1\r\nHost: x\r\n\r\n");
    await(rig_get(rig, &rig->held_n) == 1);
    struct client other = client_tls(rig->port, ctx); /* proof that the loop had its turn */
    client_get(&other, "/hello");
    expect_status(&other, 200);
    assert_int_equal(rig_get(rig, &rig->held_n), 1);
    rig_answer_held(rig, 0);
    await(rig_get(rig, &rig->held_n) == 2);
    client_get(&other, "/hello");
    expect_status(&other, 200);
    assert_int_equal(rig_get(rig, &rig->held_n), 2);
    rig_answer_held(rig, 1);
    await(rig_get(rig, &rig->held_n) == 3);
    rig_answer_held(rig, 2);
    for (int i = 0; i < 3; i++) {
        AUTOREPLY struct reply r = client_reply(&c);
        AUTOFREE char *expected = mem_printf("/later/%d", i);
        assert_string_equal(str_get(&r.body), expected);
    }
    client_close(&other);
    client_close(&c);
    rig_free(rig);
}

static void more_pipelined_requests_than_may_be_in_flight(void **state UNUSED)
{
    struct rig *rig = rig_new(&certs, &usual);
    struct client c = client_tls(rig->port, ctx);
    AUTOSTR struct str all = STR_INIT;
    for (int i = 0; i < 3000; i++)
        str_printf(&all, "%s /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\n%06d",
                   i % 3 ? "GET" : "POST", i);
    assert_true(client_write(&c, all.p, all.n));
    for (int i = 0; i < 3000; i++) {
        AUTOREPLY struct reply r = client_reply(&c);
        AUTOFREE char *expected = mem_printf("%06d", i);
        assert_string_equal(str_get(&r.body), expected);
    }
    client_close(&c);
    rig_free(rig);
}

/* ---- bodies ---- */

static void bodies_in_one_piece_in_chunks_and_byte_by_byte(void **state UNUSED)
{
    struct rig *rig = rig_new(&certs, &usual);
    struct client c = client_tls(rig->port, ctx);
    const char *forms[] = {
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
        "chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nT: v\r\n\r\n",
    };
    for (size_t i = 0; i < COUNT(forms); i++) {
        client_send(&c, forms[i]);
        AUTOREPLY struct reply whole = client_reply(&c);
        assert_string_equal(str_get(&whole.body), "hello");
        for (const char *p = forms[i]; *p; p++)
            assert_true(client_write(&c, p, 1));
        AUTOREPLY struct reply split = client_reply(&c);
        assert_string_equal(str_get(&split.body), "hello");
    }
    AUTOFREE char *big = mem_alloc(1 << 20);
    for (size_t i = 0; i < 1 << 20; i++)
        big[i] = (char)(i * 7 + i / 251);
    client_send(&c, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1048576\r\n\r\n");
    assert_true(client_write(&c, big, 1 << 20));
    AUTOREPLY struct reply r = client_reply(&c);
    assert_int_equal(r.body.n, 1 << 20);
    assert_memory_equal(r.body.p, big, 1 << 20);
    assert_int_equal(rig_stats(rig).body_bytes, 0);
    client_close(&c);
    rig_free(rig);
}

static void too_large_is_said_from_the_head(void **state UNUSED)
{
    struct rig *rig = rig_new(&certs, &usual);
    struct client c = client_tls(rig->port, ctx);
    client_send(&c, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2097152\r\n\r\n");
    expect_problem(&c, 413, "too_large"); /* not a byte of the body was sent */
    client_expect_end(&c);
    client_close(&c);
    assert_int_equal(rig_get(rig, &rig->delivered), 0);
    rig_free(rig);
}

static void two_mib_sent_in_full_still_gets_its_413(void **state UNUSED)
{
    struct rig *rig = rig_new(&certs, &usual);
    AUTOFREE char *big = mem_alloc(2 << 20);
    for (int tls = 0; tls < 2; tls++) {
        struct client c = tls ? client_tls(rig->port, ctx) : client_unix(rig->path);
        client_send(&c, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2097152\r\n\r\n");
        assert_true(client_write(&c, big, 2 << 20));
        expect_problem(&c, 413, "too_large");
        client_close(&c);
    }
    rig_free(rig);
}

static void sixty_four_mib_end_at_once(void **state UNUSED)
{
    struct http_server_options o = {.linger_ms = 200};
    struct rig *rig = rig_new(&certs, &o);
    struct client c = client_tls(rig->port, ctx);
    AUTOFREE char *big = mem_alloc(1 << 20);
    client_send(&c, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 67108864\r\n\r\n");
    int64_t start = clock_ms();
    for (int i = 0; i < 64 && client_write(&c, big, 1 << 20); i++)
        ;
    assert_true(clock_ms() - start < 5000);
    client_close(&c);
    await(rig_stats(rig).open == 0);
    assert_int_equal(rig_get(rig, &rig->delivered), 0);
    rig_free(rig);
}

static void chunks_beyond_the_limit(void **state UNUSED)
{
    struct rig *rig = rig_new(&certs, &usual);
    struct client c = client_tls(rig->port, ctx);
    AUTOFREE char *part = mem_alloc(65536);
    client_send(&c, "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 17; i++)
        if (!(client_write(&c, "10000\r\n", 7) && client_write(&c, part, 65536) &&
              client_write(&c, "\r\n", 2)))
            break;
    expect_problem(&c, 413, "too_large");
    client_expect_end(&c);
    client_close(&c);
    assert_int_equal(rig_stats(rig).body_bytes, 0);
    rig_free(rig);
}

static void expect_100_continue(void **state UNUSED)
{
    struct rig *rig = rig_new(&certs, &usual);
    struct client c = client_tls(rig->port, ctx);
    client_send(&c, "POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    expect_status(&c, 100);
    client_send(&c, "ok");
    AUTOREPLY struct reply r = client_reply(&c);
    assert_string_equal(str_get(&r.body), "ok");
    client_send(&c,
                "POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9999999\r\n\r\n");
    expect_problem(&c, 413, "too_large");
    assert_int_equal(client_more(&c), 0);
    client_close(&c);
    struct client odd = client_tls(rig->port, ctx);
    client_send(&odd, "POST /echo HTTP/1.1\r\nHost: x\r\nExpect: cake\r\nContent-Length: 2\r\n\r\n");
    expect_problem(&odd, 400, "invalid_argument");
    client_close(&odd);
    rig_free(rig);
}

static void rejects_of_the_owner(void **state UNUSED)
{
    struct rig *rig = rig_new(&certs, &usual);
    struct client c = client_tls(rig->port, ctx);
    client_get(&c, "/private");
    expect_status(&c, 401);
    client_send(&c, "PUT /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
    expect_status(&c, 404);
    client_get(&c, "/hello"); /* the small body was read over */
    expect_status(&c, 200);
    client_send(&c, "PUT /private HTTP/1.1\r\nHost: x\r\nContent-Length: 999999\r\n\r\n");
    AUTOREPLY struct reply r = client_reply(&c);
    assert_int_equal(r.status, 401);
    assert_non_null(strstr(r.head.p, "Connection: close\r\n"));
    assert_int_equal(client_more(&c), 0);
    client_close(&c);
    assert_int_equal(rig_get(rig, &rig->delivered), 1);
    rig_free(rig);
}

static void all_bodies_together_have_a_limit(void **state UNUSED)
{
    struct http_server_options o = {.bodies_bytes_max = 1000000};
    struct rig *rig = rig_new(&certs, &o);
    AUTOFREE char *half = mem_alloc(600000);
    struct client a = client_tls(rig->port, ctx), b = client_tls(rig->port, ctx);
    client_send(&a, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 600001\r\n\r\n");
    assert_true(client_write(&a, half, 600000));
    await(rig_stats(rig).body_bytes == 600000);
    client_send(&b, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 600001\r\n\r\n");
    expect_problem(&b, 503, "overloaded");
    client_send(&a, "x");
    expect_status(&a, 200);
    client_close(&a);
    client_close(&b);
    rig_free(rig);
}

/* ---- malformed ---- */

static void malformed_requests_are_problems(void **state UNUSED)
{
    struct rig *rig = rig_new(&certs, &usual);
    static const char nul[] = "GET /hello HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n";
    static const char nul_uri[] = "GET /he\0llo HTTP/1.1\r\nHost: x\r\n\r\n";
    const struct {
        const char *bytes;
        size_t n;
    } bad[] = {
#define BAD(text) {text, sizeof(text) - 1}
        BAD("\x16\x03\x01\x02 what is this\r\n\r\n"),
        BAD("hello, is anybody there?\r\n\r\n"),
        BAD(nul),
        BAD(nul_uri),
        BAD("GET /hello HTTP/1.1\r\n\r\n"),
        BAD("GET /hello HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n"),
        BAD("GET /hello HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n"),
        BAD("GET /hello HTTP/2.0\r\nHost: x\r\n\r\n"),
        BAD("GET /hello HTTP/9.9\r\nHost: x\r\n\r\n"),
        BAD("GET /hel lo HTTP/1.1\r\nHost: x\r\n\r\n"),
        BAD("GET /he\tllo HTTP/1.1\r\nHost: x\r\n\r\n"),
        BAD("GET /he\x7fllo HTTP/1.1\r\nHost: x\r\n\r\n"),
        BAD("GET /hello#top HTTP/1.1\r\nHost: x\r\n\r\n"),
        BAD("GET /hello HTTP/1.1\r\nHost: x\r\nNo colon here\r\n\r\n"),
        BAD("GET /hello HTTP/1.1\r\nHost : x\r\n\r\n"),
        BAD("GET /hello HTTP/1.1\r\nHost: x\r\nContent-Length : 1\r\n\r\n"),
        BAD("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: "
            "chunked\r\n\r\n0\r\n\r\n"),
        BAD("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
        BAD("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n"),
        BAD("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n"),
        BAD("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n"),
        BAD("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n\r\n"),
        BAD("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n"),
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct client c = i % 2 ? client_tls(rig->port, ctx) : client_unix(rig->path);
        assert_true(client_write(&c, bad[i].bytes, bad[i].n));
        AUTOREPLY struct reply r = client_reply(&c);
        if (r.status != 400)
            fail_msg("case %zu: status %d", i, r.status);
        assert_non_null(strstr(str_get(&r.body), "\"code\":\"invalid_argument\"}"));
        assert_non_null(strstr(str_get(&r.head), "Content-Type: application/problem+json\r\n"));
        assert_non_null(strstr(str_get(&r.head), "Connection: close\r\n"));
        client_expect_end(&c);
        client_close(&c);
    }
    assert_int_equal(rig_get(rig, &rig->delivered), 0);
    rig_free(rig);
}

static void an_upgrade_and_odd_methods_do_no_harm(void **state UNUSED)
{
    struct rig *rig = rig_new(&certs, &usual);
    struct client c = client_tls(rig->port, ctx);
    client_send(&c, "GET /hello HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n");
    expect_status(&c, 200);
    client_send(
        &c,
        "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\nCONNECT a:1 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
        "TRACE / HTTP/1.1\r\nHost: x\r\n\r\n\r\n\r\nGET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
    for (int i = 0; i < 4; i++)
        expect_status(&c, 200);
    client_close(&c);
    rig_free(rig);
}

static void a_huge_head(void **state UNUSED)
{
    struct rig *rig = rig_new(&certs, &usual);
    AUTOFREE char *x = mem_alloc(20001);
    memset(x, 'x', 20000);
    AUTOFREE char *one = mem_printf("GET / HTTP/1.1\r\nHost: x\r\nX: %s\r\n\r\n", x);
    AUTOFREE char *uri = mem_printf("GET /%s HTTP/1.1\r\nHost: x\r\n\r\n", x);
    AUTOSTR struct str many = STR_INIT;
    str_puts(&many, "GET / HTTP/1.1\r\nHost: x\r\n");
    for (int i = 0; i < 3000; i++)
        str_printf(&many, "A%d: b\r\n", i);
    AUTOSTR struct str trailers = STR_INIT;
    str_puts(&trailers, "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n");
    for (int i = 0; i < 3000; i++)
        str_printf(&trailers, "A%d: b\r\n", i);
    const char *huge[] = {one, uri, str_get(&many), str_get(&trailers)};
    for (size_t i = 0; i < COUNT(huge); i++) {
        struct client c = client_tls(rig->port, ctx);
        client_send(&c, huge[i]);
        expect_problem(&c, 413, "too_large");
        client_expect_end(&c);
        client_close(&c);
    }
    rig_free(rig);
}

static void plain_http_on_the_tls_port(void **state UNUSED)
{
    struct rig *rig = rig_new(&certs, &usual);
    struct client c = client_plain(rig->port);
    client_get(&c, "/hello");
    expect_problem(&c, 400, "invalid_argument");
    client_close(&c);
    struct client noise = client_plain(rig->port);
    client_send(&noise, "\x01\x02\x03 this is neither\r\n\r\n");
    client_expect_end(&noise);
    client_close(&noise);
    await(rig_stats(rig).open == 0);
    rig_free(rig);
}

/* ---- slow clients ---- */

static void slow_clients_are_cut(void **state UNUSED)
{
    struct http_server_options o = {.head_ms = 300, .body_ms = 300, .handshake_ms = 500, .idle_ms = 600};
    struct rig *rig = rig_new(&certs, &o);
    struct client silent = client_plain(rig->port); /* no handshake */
    int64_t start = clock_ms();
    assert_true(client_more(&silent) <= 0);
    assert_true(clock_ms() - start < 4000);
    client_close(&silent);
    struct client loris = client_tls(rig->port, ctx);
    start = clock_ms();
    client_send(&loris, "GET /hello HTTP/1.1\r\nHost: x\r\n");
    for (int i = 0; i < 3; i++) { /* drips do not help */
        usleep(40000);
        client_send(&loris, "X: y\r\n");
    }
    expect_problem(&loris, 400, "invalid_argument");
    assert_true(clock_ms() - start >= 290 && clock_ms() - start < 4000);
    client_close(&loris);
    struct client body = client_tls(rig->port, ctx);
    client_send(&body, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc");
    expect_problem(&body, 400, "invalid_argument");
    client_close(&body);
    struct client idle = client_tls(rig->port, ctx);
    client_get(&idle, "/hello");
    expect_status(&idle, 200);
    assert_int_equal(client_more(&idle), 0); /* an orderly end */
    client_close(&idle);
    await(rig_stats(rig).open == 0);
    rig_free(rig);
}

static void a_dripping_body_is_too_slow(void **state UNUSED)
{
    struct http_server_options o = {.body_ms = 200, .body_bytes_per_s = 1000};
    struct rig *rig = rig_new(&certs, &o);
    struct client c = client_tls(rig->port, ctx);
    int64_t start = clock_ms();
    client_send(&c, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n");
    for (int i = 0; i < 40 && clock_ms() - start < 240; i++) { /* progress, at 100 bytes/s */
        client_write(&c, "x", 1);
        usleep(10000);
    }
    expect_problem(&c, 400, "invalid_argument");
    assert_true(clock_ms() - start < 4000);
    client_close(&c);
    rig_free(rig);
}

static void a_slow_answer_is_not_the_clients_fault(void **state UNUSED)
{
    struct http_server_options o = {.head_ms = 50, .body_ms = 50, .idle_ms = 50, .stall_ms = 50};
    struct rig *rig = rig_new(&certs, &o);
    struct client c = client_tls(rig->port, ctx);
    client_send(&c, "POST /later HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}GET /hel");
    await(rig_get(rig, &rig->held_n) == 1);
    for (int64_t end = clock_ms() + 200; clock_ms() < end; usleep(5000))
        assert_int_equal(rig_stats(rig).open, 1);
    rig_answer_held(rig, 0);
    expect_status(&c, 200);
    client_close(&c);
    rig_free(rig);
}

/* ---- ends ---- */

static void a_half_closed_client_gets_its_answer(void **state UNUSED)
{
    struct rig *rig = rig_new(&certs, &usual);
    for (int kind = 0; kind < 3; kind++) {
        struct client c = kind ? client_tls(rig->port, ctx) : client_unix(rig->path);
        client_get(&c, "/later");
        await(rig_get(rig, &rig->held_n) == (unsigned)kind + 1);
        if (kind == 2)
            SSL_shutdown(c.ssl); /* a proper farewell, below it the end of the socket */
        shutdown(c.fd, SHUT_WR);
        struct client other = client_tls(rig->port, ctx);
        client_get(&other, "/hello");
        expect_status(&other, 200);
        client_close(&other);
        rig_answer_held(rig, (unsigned)kind);
        expect_status(&c, 200);
        assert_int_equal(client_more(&c), 0);
        client_close(&c);
    }
    await(rig_stats(rig).open == 0);
    assert_int_equal(rig_get(rig, &rig->gone_n), 0);
    rig_free(rig);
}

static void an_end_in_the_middle_of_a_request(void **state UNUSED)
{
    struct rig *rig = rig_new(&certs, &usual);
    const char *halves[] = {"GET /hel", "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc",
                            ""};
    for (size_t i = 0; i < COUNT(halves); i++) {
        struct client c = client_tls(rig->port, ctx);
        client_send(&c, halves[i]);
        shutdown(c.fd, SHUT_WR);
        client_expect_end(&c);
        client_close(&c);
    }
    await(rig_stats(rig).open == 0);
    assert_int_equal(rig_get(rig, &rig->delivered), 0);
    assert_int_equal(rig_stats(rig).body_bytes, 0);
    rig_free(rig);
}

static void a_vanished_client_is_reported(void **state UNUSED)
{
    struct rig *rig = rig_new(&certs, &usual);
    struct client tls = client_tls(rig->port, ctx), local = client_unix(rig->path);
    struct client half = client_tls(rig->port, ctx);
    client_get(&tls, "/later");
    await(rig_get(rig, &rig->held_n) == 1);
    client_reset(&tls);
    await(rig_get(rig, &rig->gone_n) == 1);
    assert_true(rig->gone[0] == rig->held[0]);
    rig_answer_held(rig, 0); /* nobody there: freed */
    client_get(&local, "/later");
    await(rig_get(rig, &rig->held_n) == 2);
    client_close(&local);
    await(rig_get(rig, &rig->gone_n) == 2);
    client_get(&half, "/later");
    await(rig_get(rig, &rig->held_n) == 3);
    shutdown(half.fd, SHUT_WR);
    client_reset(&half); /* done with sending first, gone then */
    await(rig_get(rig, &rig->gone_n) == 3);
    await(rig_stats(rig).open == 0);
    rig_free(rig);
}

/* ---- streamed answers ---- */

struct stream_job {
    unsigned held;
    const char *bytes;
    size_t n, waits;
    bool end, abort, begun;
};

static void do_stream(struct rig *rig, void *arg)
{
    struct stream_job *j = arg;
    uint64_t id = rig->held[j->held];
    j->begun = http_server_stream_begin(rig->server, id, "text/event-stream");
    if (j->n)
        j->waits = http_server_stream_data(rig->server, id, j->bytes, j->n);
    if (j->end)
        http_server_stream_end(rig->server, id);
    if (j->abort)
        http_server_stream_abort(rig->server, id);
}

static void a_streamed_answer(void **state UNUSED)
{
    struct rig *rig = rig_new(&certs, &usual);
    struct client c = client_tls(rig->port, ctx);
    client_send(&c, "GET /later HTTP/1.1\r\nHost: x\r\n\r\nGET /stream HTTP/1.1\r\nHost: x\r\n\r\n"
                    "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
    await(rig_get(rig, &rig->held_n) == 2);
    struct stream_job early = {.held = 1, .bytes = "early,", .n = 6};
    rig_do(rig, do_stream, &early);
    assert_true(early.begun && early.waits > 6); /* it is not its turn */
    rig_answer_held(rig, 0);
    struct stream_job late = {.held = 1, .bytes = "late", .n = 4, .end = true};
    rig_do(rig, do_stream, &late);
    assert_false(late.begun); /* twice */
    assert_int_equal(late.waits, 0);
    expect_status(&c, 200);
    AUTOREPLY struct reply r = client_reply(&c);
    assert_string_equal(str_get(&r.body), "early,late");
    assert_non_null(strstr(r.head.p, "Content-Type: text/event-stream\r\n"));
    expect_status(&c, 200);
    client_close(&c);
    rig_free(rig);
}

static void a_stream_to_http_1_0_and_an_aborted_one(void **state UNUSED)
{
    struct rig *rig = rig_new(&certs, &usual);
    struct client old = client_unix(rig->path);
    client_send(&old, "GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    await(rig_get(rig, &rig->held_n) == 1);
    struct stream_job all = {.held = 0, .bytes = "plain", .n = 5, .end = true};
    rig_do(rig, do_stream, &all);
    client_expect_end(&old);
    assert_non_null(strstr(old.in.p, "Connection: close\r\n"));
    assert_non_null(strstr(old.in.p, "\r\n\r\nplain"));
    client_close(&old);
    struct client c = client_tls(rig->port, ctx);
    client_get(&c, "/stream");
    await(rig_get(rig, &rig->held_n) == 2);
    struct stream_job broken = {.held = 1, .bytes = "half", .n = 4, .abort = true};
    rig_do(rig, do_stream, &broken);
    AUTOREPLY struct reply r = client_reply(&c);
    assert_int_equal(r.status, 0); /* no last chunk */
    client_close(&c);
    assert_int_equal(rig_get(rig, &rig->gone_n), 0);
    rig_free(rig);
}

static void do_fill(struct rig *rig, void *arg)
{
    struct stream_job *j = arg;
    static char bytes[65536];
    http_server_stream_begin(rig->server, rig->held[j->held], "text/plain");
    do
        j->waits = http_server_stream_data(rig->server, rig->held[j->held], bytes, sizeof bytes);
    while (j->waits > 0 && j->waits <= j->n);
}

static void a_stream_waits_for_its_reader(void **state UNUSED)
{
    struct rig *rig = rig_new(&certs, &usual);
    struct client c = client_tls(rig->port, ctx);
    client_get(&c, "/stream");
    await(rig_get(rig, &rig->held_n) == 1);
    struct stream_job j = {.held = 0, .n = 1 << 20};
    for (unsigned round = 1; round <= 3; round++) {
        int64_t end = clock_ms() + 5000;
        do
            rig_do(rig, do_fill, &j);
        while (j.waits <= j.n && clock_ms() < end);
        assert_true(j.waits > j.n);
        assert_int_equal(rig_get(rig, &rig->drained_n), round - 1);
        size_t before = c.in.n;
        while (rig_get(rig, &rig->drained_n) < round)
            assert_true(client_more(&c) > 0);
        assert_true(c.in.n > before);
    }
    client_reset(&c);
    await(rig_get(rig, &rig->gone_n) == 1);
    rig_free(rig);
}

static void who_never_reads_is_cut(void **state UNUSED)
{
    struct http_server_options o = {.stall_ms = 200};
    struct rig *rig = rig_new(&certs, &o);
    struct client c = client_tls(rig->port, ctx);
    client_get(&c, "/stream");
    await(rig_get(rig, &rig->held_n) == 1);
    struct stream_job j = {.held = 0, .n = 1 << 20};
    for (int64_t end = clock_ms() + 5000; j.waits <= j.n && clock_ms() < end;)
        rig_do(rig, do_fill, &j);
    await(rig_get(rig, &rig->gone_n) == 1);
    await(rig_stats(rig).open == 0);
    client_close(&c);
    /* And an owner who ignores the queue cannot fill the memory. */
    struct client d = client_tls(rig->port, ctx);
    client_get(&d, "/stream");
    await(rig_get(rig, &rig->held_n) == 2);
    struct stream_job flood = {.held = 1, .n = SIZE_MAX};
    for (int64_t end = clock_ms() + 5000; rig_get(rig, &rig->gone_n) < 2 && clock_ms() < end;)
        rig_do(rig, do_fill, &flood);
    assert_int_equal(rig_get(rig, &rig->gone_n), 2);
    client_close(&d);
    rig_free(rig);
}

/* ---- streamed bodies ---- */

static void do_resume(struct rig *rig, void *arg)
{
    http_server_body_resume(rig->server, rig->held[*(unsigned *)arg]);
}

#define UPLOAD_BYTES (3 << 20) /* beyond what a whole body may have */

static void *upload(void *arg)
{
    AUTOFREE char *bytes = mem_alloc(UPLOAD_BYTES);
    return client_write(arg, bytes, UPLOAD_BYTES) ? arg : NULL;
}

static void a_streamed_body_with_pauses(void **state UNUSED)
{
    struct rig *rig = rig_new(&certs, &usual);
    struct client c = client_tls(rig->port, ctx);
    pthread_t thread;
    void *sent;
    client_send(&c, "POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 3145728\r\n\r\n");
    await(rig_get(rig, &rig->held_n) == 1);
    rig_set(rig, &rig->pause_upload, true); /* nothing arrives before we send */
    assert_int_equal(pthread_create(&thread, NULL, upload, &c), 0);
    unsigned held = 0;
    for (unsigned seen = 0; seen < 8; seen++) {
        await(rig_get(rig, &rig->pauses) == seen + 1);
        rig_do(rig, do_resume, &held);
    }
    await(rig_get(rig, &rig->pauses) == 9);
    rig_set(rig, &rig->pause_upload, false);
    rig_do(rig, do_resume, &held);
    await(rig_get(rig, &rig->lasts) == 1);
    pthread_join(thread, &sent);
    assert_ptr_equal(sent, &c);
    assert_int_equal(rig->uploaded, UPLOAD_BYTES);
    rig_answer_held(rig, 0);
    expect_status(&c, 200);
    client_get(&c, "/hello");
    expect_status(&c, 200);
    client_close(&c);
    rig_free(rig);
}

static void a_streamed_body_answered_early_or_cut(void **state UNUSED)
{
    struct rig *rig = rig_new(&certs, &usual);
    struct client c = client_tls(rig->port, ctx);
    client_send(&c, "POST /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    await(rig_get(rig, &rig->held_n) == 1);
    rig_answer_held(rig, 0);
    AUTOREPLY struct reply r = client_reply(&c);
    assert_int_equal(r.status, 200);
    assert_non_null(strstr(r.head.p, "Connection: close\r\n"));
    client_expect_end(&c);
    client_close(&c);
    struct client d = client_tls(rig->port, ctx);
    client_send(&d, "POST /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    await(rig_get(rig, &rig->held_n) == 2);
    client_send(&d, "zz\r\n"); /* not a chunk */
    expect_problem(&d, 400, "invalid_argument");
    await(rig_get(rig, &rig->gone_n) == 1);
    client_close(&d);
    struct client both = client_tls(rig->port, ctx); /* its answer has begun: there cannot be another head */
    client_send(&both, "POST /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    await(rig_get(rig, &rig->held_n) == 3);
    struct stream_job begun = {.held = 2, .bytes = "begun", .n = 5};
    rig_do(rig, do_stream, &begun);
    client_send(&both, "zz\r\n");
    client_expect_end(&both);
    assert_true(text_starts(both.in.p, "HTTP/1.1 200 OK\r\n"));
    assert_null(strstr(both.in.p + 1, "HTTP/1.1"));
    client_close(&both);
    await(rig_get(rig, &rig->gone_n) == 2);
    struct client f = client_tls(rig->port, ctx);
    client_send(&f, "POST /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    await(rig_get(rig, &rig->held_n) == 4);
    client_close(&f);
    await(rig_get(rig, &rig->gone_n) == 3);
    await(rig_stats(rig).open == 0);
    rig_free(rig);
}

/* ---- TLS ---- */

static void client_certificates(void **state UNUSED)
{
    struct rig *rig = rig_new(&certs, &usual);
    SSL_CTX *good = client_tls_ctx(&certs.user, &certs.ca);
    struct client c = client_tls(rig->port, good);
    client_get(&c, "/who");
    AUTOREPLY struct reply r = client_reply(&c);
    assert_true(text_starts(str_get(&r.body), "alice|"));
    client_close(&c);
    tls_free(good);
    const struct pair *bad[] = {&certs.foreign, &certs.expired};
    for (size_t i = 0; i < COUNT(bad); i++) {
        SSL_CTX *refused = client_tls_ctx(NULL, &certs.ca);
        SSL_CTX_use_certificate(refused, bad[i]->cert);
        SSL_CTX_use_PrivateKey(refused, bad[i]->key);
        struct client d = client_tls(rig->port, refused); /* in TLS 1.3 the client hears of it later */
        client_get(&d, "/who");
        ERR_clear_error();
        char byte;
        assert_true(SSL_read(d.ssl, &byte, 1) <= 0);
        char why[256];
        tls_why(d.ssl, why, sizeof why);
        if (!strstr(why, i == 0 ? "belongs to another cluster" : "our certificate has expired"))
            fail_msg("%s", why);
        client_close(&d);
        tls_free(refused);
    }
    assert_int_equal(rig_stats(rig).handshakes_failed, 2);
    assert_int_equal(rig_get(rig, &rig->delivered), 1);
    rig_free(rig);
}

static void tls_1_2_and_a_foreign_server_are_refused(void **state UNUSED)
{
    struct rig *rig = rig_new(&certs, &usual);
    SSL_CTX *old = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_max_proto_version(old, TLS1_2_VERSION);
    SSL_CTX *stranger = client_tls_ctx(NULL, &certs.other_ca);
    SSL_CTX *all[] = {old, stranger};
    const char *why[] = {"TLS 1.3 only", "not of this cluster's CA"};
    for (int i = 0; i < 2; i++) {
        SSL *ssl = SSL_new(all[i]);
        int fd = tcp_connect(rig->port);
        SSL_set_fd(ssl, fd);
        ERR_clear_error();
        assert_int_not_equal(SSL_connect(ssl), 1);
        char text[256];
        tls_why(ssl, text, sizeof text);
        if (!strstr(text, why[i]))
            fail_msg("%s", text);
        SSL_free(ssl);
        close(fd);
        tls_free(all[i]);
    }
    await(rig_stats(rig).open == 0);
    rig_free(rig);
}

static void do_reload(struct rig *rig, void *arg)
{
    http_server_set_tls(rig->server, arg);
}

static void new_certificates_without_dropping_anybody(void **state UNUSED)
{
    struct rig *rig = rig_new(&certs, &usual);
    struct client before = client_tls(rig->port, ctx);
    SSL_CTX *next = server_tls(&certs.b, &certs.ca);
    rig_do(rig, do_reload, next);
    tls_free(next);
    struct client after = client_tls(rig->port, ctx);
    char cn[TLS_CN_MAX];
    assert_true(tls_peer_cn(after.ssl, cn));
    assert_string_equal(cn, NODE_B);
    assert_true(tls_peer_cn(before.ssl, cn));
    assert_string_equal(cn, NODE_A);
    client_get(&before, "/hello");
    expect_status(&before, 200);
    client_get(&after, "/hello");
    expect_status(&after, 200);
    client_close(&before);
    client_close(&after);
    rig_free(rig);
}

static void certificate_files_are_judged(void **state UNUSED)
{
    AUTOFREE char *missing = mem_printf("%s/missing", certs.dir);
    const struct {
        struct tls_files files;
        const char *says;
    } cases[] = {
        {{certs.a.cert_path, certs.b.key_path, certs.ca.cert_path}, "does not match the certificate"},
        {{certs.expired.cert_path, certs.expired.key_path, certs.ca.cert_path}, "has expired"},
        {{certs.a.cert_path, certs.a.key_path, certs.other_ca.cert_path}, "was not signed by the CA"},
        {{missing, certs.a.key_path, certs.ca.cert_path}, "No such file"},
        {{certs.a.key_path, certs.a.key_path, certs.ca.cert_path}, "holds no certificate"},
        {{certs.a.cert_path, certs.a.cert_path, certs.ca.cert_path}, "holds no private key"},
        {{certs.a.cert_path, certs.a.key_path, certs.a.key_path}, "holds no CA certificate"},
        {{certs.a.cert_path, NULL, certs.ca.cert_path}, "no private key is given"},
        {{NULL, NULL, certs.ca.cert_path}, "no certificate is given"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct err e = {0};
        SSL_CTX *none = NULL;
        assert_int_equal(tls_server_new(&cases[i].files, &none, &e), SKEP_ECONFIG);
        assert_null(none);
        if (!strstr(e.text, cases[i].says))
            fail_msg("case %zu: %s", i, e.text);
        assert_int_equal(ERR_peek_error(), 0);
    }
    SSL_CTX *good = server_tls(&certs.a, &certs.ca);
    int64_t expected = ((int64_t)time(NULL) + DAY_S) * 1000;
    assert_true(llabs(tls_expires_ms(good) - expected) < 60000);
    assert_true(tls_expires_ms(ctx) == INT64_MAX);
    tls_free(good);
}

static int64_t cpu_ms(pthread_t thread)
{
    clockid_t clock;
    struct timespec t;
    assert_int_equal(pthread_getcpuclockid(thread, &clock), 0);
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void half_a_record_costs_nothing(void **state UNUSED)
{
    struct rig *rig = rig_new(&certs, &usual);
    struct client c = client_tls(rig->port, ctx);
    BIO *record = BIO_new(BIO_s_mem());
    SSL_set0_wbio(c.ssl, record);
    client_get(&c, "/hello");
    char *bytes;
    long n = BIO_get_mem_data(record, &bytes);
    int64_t before = cpu_ms(rig->thread);
    assert_true(send(c.fd, bytes, (size_t)n / 2, MSG_NOSIGNAL) == n / 2);
    usleep(300000); /* long enough to tell waiting from spinning */
    assert_true(cpu_ms(rig->thread) - before < 100);
    assert_true(send(c.fd, bytes + n / 2, (size_t)(n - n / 2), MSG_NOSIGNAL) == n - n / 2);
    expect_status(&c, 200);
    client_close(&c);
    rig_free(rig);
}

static void a_refused_body_that_never_comes_gets_no_second_answer(void **state UNUSED)
{
    struct http_server_options o = {.body_ms = 100};
    struct rig *rig = rig_new(&certs, &o);
    const char *rests[] = {"", "2\r\nab\r\n"};
    for (size_t i = 0; i < COUNT(rests); i++) {
        struct client c = client_tls(rig->port, ctx);
        client_send(&c, "PUT /private HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n");
        client_send(&c, rests[i]);
        expect_status(&c, 401);
        AUTOREPLY struct reply r = client_reply(&c);
        assert_int_equal(r.status, 0);
        client_close(&c);
    }
    await(rig_stats(rig).open == 0);
    rig_free(rig);
}

/* ---- many ---- */

static void two_hundred_connections(void **state UNUSED)
{
    struct rig *rig = rig_new(&certs, &usual);
    static struct client all[200];
    for (size_t i = 0; i < COUNT(all); i++)
        all[i] = client_tls(rig->port, ctx);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < COUNT(all); i++)
            client_get(&all[i], "/hello");
        for (size_t i = 0; i < COUNT(all); i++)
            expect_status(&all[i], 200);
    }
    assert_int_equal(rig_stats(rig).open, 200);
    assert_int_equal(rig_stats(rig).handshakes, 200);
    for (size_t i = 0; i < COUNT(all); i++)
        client_close(&all[i]);
    await(rig_stats(rig).open == 0);
    assert_int_equal(rig_stats(rig).answers, 600);
    rig_free(rig);
}

static void the_longest_idle_makes_room(void **state UNUSED)
{
    struct http_server_options o = {.connections_max = 3};
    struct rig *rig = rig_new(&certs, &o);
    struct client busy = client_unix(rig->path), idle = client_unix(rig->path),
                  fresh = client_unix(rig->path);
    client_get(&busy, "/later");
    await(rig_get(rig, &rig->held_n) == 1);
    client_get(&idle, "/hello");
    expect_status(&idle, 200);
    client_get(&fresh, "/hello");
    expect_status(&fresh, 200);
    struct client more = client_unix(rig->path);
    client_get(&more, "/hello");
    expect_status(&more, 200);
    assert_true(client_more(&idle) <= 0);
    client_get(&fresh, "/hello");
    expect_status(&fresh, 200);
    rig_answer_held(rig, 0);
    expect_status(&busy, 200);
    assert_int_equal(rig_stats(rig).evicted, 1);
    client_close(&busy);
    client_close(&idle);
    client_close(&fresh);
    client_close(&more);
    rig_free(rig);
}

static void when_all_are_busy_the_next_one_waits(void **state UNUSED)
{
    struct http_server_options o = {.connections_max = 2};
    struct rig *rig = rig_new(&certs, &o);
    struct client a = client_unix(rig->path), b = client_unix(rig->path);
    client_get(&a, "/later");
    client_get(&b, "/later");
    await(rig_get(rig, &rig->held_n) == 2);
    struct client third = client_unix(rig->path); /* it is taken before we can know; no more are */
    client_get(&third, "/later");
    await(rig_get(rig, &rig->held_n) == 3);
    struct client next = client_unix(rig->path);
    client_get(&next, "/hello");
    await(rig_stats(rig).accept_waits > 0);
    assert_int_equal(rig_stats(rig).open, 3);
    rig_answer_held(rig, 2);
    rig_answer_held(rig, 1);
    rig_answer_held(rig, 0);
    expect_status(&next, 200);
    expect_status(&a, 200);
    expect_status(&b, 200);
    expect_status(&third, 200);
    client_close(&a);
    client_close(&b);
    client_close(&third);
    client_close(&next);
    rig_free(rig);
}

static void connections_come_at_a_bounded_rate(void **state UNUSED)
{
    struct http_server_options o = {.accepts_per_s = 20};
    struct rig *rig = rig_new(&certs, &o);
    int64_t start = clock_ms();
    struct client all[40]; /* no handshakes: they wait in the backlog from the start */
    for (size_t i = 0; i < COUNT(all); i++)
        all[i] = client_plain(rig->port);
    await(rig_stats(rig).accepted == COUNT(all));
    assert_true(clock_ms() - start >= 900); /* 20 at once, 20 more at 20 a second */
    assert_true(rig_stats(rig).accept_waits > 0);
    for (size_t i = 0; i < COUNT(all); i++)
        client_close(&all[i]);
    rig_free(rig);
}

static void do_drain(struct rig *rig, void *arg UNUSED)
{
    http_server_drain(rig->server);
}

static void draining_ends_everything_in_order(void **state UNUSED)
{
    struct rig *rig = rig_new(&certs, &usual);
    struct client busy = client_tls(rig->port, ctx), idle = client_tls(rig->port, ctx);
    client_get(&idle, "/hello");
    expect_status(&idle, 200);
    client_get(&busy, "/later");
    await(rig_get(rig, &rig->held_n) == 1);
    uint16_t port = rig->port;
    rig_do(rig, do_drain, NULL);
    assert_int_equal(tcp_connect(port), -1);
    assert_int_equal(access(rig->path, F_OK), -1);
    assert_int_equal(client_more(&idle), 0);
    assert_int_equal(rig_get(rig, &rig->empty_n), 0);
    rig_answer_held(rig, 0);
    AUTOREPLY struct reply r = client_reply(&busy);
    assert_int_equal(r.status, 200);
    assert_non_null(strstr(r.head.p, "Connection: close\r\n"));
    assert_int_equal(client_more(&busy), 0);
    client_close(&busy);
    client_close(&idle);
    await(rig_get(rig, &rig->empty_n) == 1);
    rig_free(rig);
}

/* ---- anything, in any order ---- */

#define CHAOS_CLIENTS 12
#define CHAOS_STEPS   4000

static const char *const scraps[] = {
    "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /later HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /later HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n",
    "HEAD /stream HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /stream HTTP/1.0\r\n\r\n",
    "HEAD /later HTTP/1.1\r\nHost: x\r\n\r\n",
    "PUT /later HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
    "PUT /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
    "PUT /private HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
    "PUT /nowhere HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    "PUT /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
    "POST /later HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "POST /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
    "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n",
    "GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "GET /later HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "this is not HTTP\r\n\r\n",
    "zz\r\n",
};

struct chaos {
    struct prng prng;
    struct client clients[CHAOS_CLIENTS];
    bool touched[NOTED_MAX]; /* held requests that were answered, or begun as a stream */
};

static void chaos_send(struct rig *rig, struct chaos *k, struct client *c)
{
    if (c->fd < 0)
        *c = prng_below(&k->prng, 2) ? client_tls(rig->port, ctx) : client_unix(rig->path);
    AUTOSTR struct str text = STR_INIT;
    for (uint64_t i = prng_below(&k->prng, 4); i < 4; i++)
        str_puts(&text, scraps[prng_below(&k->prng, COUNT(scraps))]);
    size_t n = prng_below(&k->prng, 3) ? text.n : prng_below(&k->prng, text.n + 1);
    for (size_t at = 0; at < n;) {
        size_t piece = 1 + prng_below(&k->prng, n - at);
        if (!client_write(c, text.p + at, piece))
            return;
        at += piece;
    }
}

static void chaos_leave(struct chaos *k, struct client *c)
{
    if (c->fd < 0)
        return;
    switch (prng_below(&k->prng, 3)) {
    case 0:
        client_reset(c);
        break;
    case 1:
        client_close(c);
        break;
    default:
        shutdown(c->fd, SHUT_WR);
    }
}

static void do_chaos_answer(struct rig *rig, void *arg)
{
    struct chaos *k = arg;
    if (rig->held_n == 0)
        return;
    size_t last = rig->held_n < 40 ? rig->held_n : 40, i = rig->held_n - 1 - prng_below(&k->prng, last);
    bool stream = text_starts(rig->held_path[i], "/stream");
    struct stream_job j = {.held = (unsigned)i, .bytes = "some bytes", .n = 10};
    j.end = prng_below(&k->prng, 2);
    j.abort = prng_below(&k->prng, 8) == 0;
    k->touched[i] = true;
    http_server_body_resume(rig->server, rig->held[i]);
    if (stream)
        do_stream(rig, &j);
    else
        http_server_answer(rig->server, rig->held[i], answer_new(200, rig->held_path[i]));
}

static bool was_gone(struct rig *rig, uint64_t id)
{
    unsigned times = 0;
    for (unsigned i = 0; i < rig->gone_n; i++)
        times += rig->gone[i] == id;
    assert_true(times <= 1);
    return times == 1;
}

/* Whatever clients and owner do: each request is answered or its client is reported gone, nothing is left. */
static void anything_in_any_order(void **state UNUSED)
{
    const char *seed = getenv("SKEP_SEED");
    uint64_t number = seed ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL);
    struct http_server_options o = {.linger_ms = 50, .pipeline_max = 4};
    struct rig *rig = rig_new(&certs, &o);
    struct chaos *k = mem_alloc(sizeof *k);
    print_message("SKEP_SEED=%llu\n", (unsigned long long)number);
    prng_init(&k->prng, number);
    for (size_t i = 0; i < CHAOS_CLIENTS; i++)
        k->clients[i].fd = -1;
    rig->pause_upload = number % 2;
    for (int step = 0; step < CHAOS_STEPS; step++) {
        struct client *c = &k->clients[prng_below(&k->prng, CHAOS_CLIENTS)];
        uint64_t what = prng_below(&k->prng, 8);
        if (what < 4)
            chaos_send(rig, k, c);
        else if (what < 7)
            rig_do(rig, do_chaos_answer, k);
        else
            chaos_leave(k, c);
    }
    for (size_t i = 0; i < CHAOS_CLIENTS; i++)
        if (k->clients[i].fd >= 0)
            client_reset(&k->clients[i]);
    await(rig_stats(rig).open == 0);
    struct http_server_stats stats = rig_stats(rig);
    assert_int_equal(stats.in_flight, 0);
    assert_int_equal(stats.body_bytes, 0);
    assert_true(rig->held_n > 100 && rig->gone_n > 10);
    for (unsigned i = 0; i < rig->held_n; i++)
        assert_true(was_gone(rig, rig->held[i]) || k->touched[i]);
    free(k);
    rig_free(rig);
}

static void curl_is_content(void **state UNUSED)
{
    if (system("curl --version >/dev/null 2>&1"))
        skip();
    struct rig *rig = rig_new(&certs, &usual);
    AUTOFREE char *line =
        mem_printf("curl -sS --max-time 10 --cacert %s https://localhost:%u/hello -d @%s "
                   "https://127.0.0.1:%u/echo --next -sS --unix-socket %s http://x/hello 2>&1",
                   certs.ca.cert_path, rig->port, certs.ca.cert_path, rig->port, rig->path);
    FILE *f = popen(line, "r");
    char out[8192];
    size_t n = fread(out, 1, sizeof out - 1, f);
    out[n] = 0;
    assert_int_equal(pclose(f), 0);
    assert_true(text_starts(out, "{\"hello\":\"world\"}-----BEGIN CERTIFICATE-----"));
    assert_non_null(strstr(out, "-----END CERTIFICATE-----{\"hello\":\"world\"}"));
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_constant_over_tls_and_keep_alive),
        cmocka_unit_test(head_rich_and_empty_answers),
        cmocka_unit_test(headers_and_query_reach_the_owner),
        cmocka_unit_test(http_1_0_closes_unless_asked),
        cmocka_unit_test(the_unix_socket_knows_its_peer),
        cmocka_unit_test(a_stale_socket_is_replaced_a_live_one_is_not),
        cmocka_unit_test(a_port_in_use_is_said_clearly),
        cmocka_unit_test(pipelined_answers_keep_their_order),
        cmocka_unit_test(what_changes_something_runs_alone),
        cmocka_unit_test(more_pipelined_requests_than_may_be_in_flight),
        cmocka_unit_test(bodies_in_one_piece_in_chunks_and_byte_by_byte),
        cmocka_unit_test(too_large_is_said_from_the_head),
        cmocka_unit_test(two_mib_sent_in_full_still_gets_its_413),
        cmocka_unit_test(sixty_four_mib_end_at_once),
        cmocka_unit_test(chunks_beyond_the_limit),
        cmocka_unit_test(expect_100_continue),
        cmocka_unit_test(rejects_of_the_owner),
        cmocka_unit_test(all_bodies_together_have_a_limit),
        cmocka_unit_test(malformed_requests_are_problems),
        cmocka_unit_test(an_upgrade_and_odd_methods_do_no_harm),
        cmocka_unit_test(a_huge_head),
        cmocka_unit_test(plain_http_on_the_tls_port),
        cmocka_unit_test(slow_clients_are_cut),
        cmocka_unit_test(a_dripping_body_is_too_slow),
        cmocka_unit_test(a_slow_answer_is_not_the_clients_fault),
        cmocka_unit_test(a_half_closed_client_gets_its_answer),
        cmocka_unit_test(an_end_in_the_middle_of_a_request),
        cmocka_unit_test(a_vanished_client_is_reported),
        cmocka_unit_test(a_streamed_answer),
        cmocka_unit_test(a_stream_to_http_1_0_and_an_aborted_one),
        cmocka_unit_test(a_stream_waits_for_its_reader),
        cmocka_unit_test(who_never_reads_is_cut),
        cmocka_unit_test(a_streamed_body_with_pauses),
        cmocka_unit_test(a_streamed_body_answered_early_or_cut),
        cmocka_unit_test(client_certificates),
        cmocka_unit_test(tls_1_2_and_a_foreign_server_are_refused),
        cmocka_unit_test(new_certificates_without_dropping_anybody),
        cmocka_unit_test(certificate_files_are_judged),
        cmocka_unit_test(half_a_record_costs_nothing),
        cmocka_unit_test(a_refused_body_that_never_comes_gets_no_second_answer),
        cmocka_unit_test(two_hundred_connections),
        cmocka_unit_test(when_all_are_busy_the_next_one_waits),
        cmocka_unit_test(the_longest_idle_makes_room),
        cmocka_unit_test(connections_come_at_a_bounded_rate),
        cmocka_unit_test(draining_ends_everything_in_order),
        cmocka_unit_test(anything_in_any_order),
        cmocka_unit_test(curl_is_content),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
