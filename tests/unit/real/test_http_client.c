#include "http_rig.h"

#include <sys/ioctl.h>

#include "real/http_client.h"

static struct certs certs;
static SSL_CTX *peer_tls; /* ours: node B calls node A */
static struct id node_a, node_b;

static int setup(void **state UNUSED)
{
    certs_make(&certs);
    peer_tls = client_tls_ctx(&certs.b, &certs.ca);
    assert_true(id_parse(NODE_A, &node_a) && id_parse(NODE_B, &node_b));
    return 0;
}

static int teardown(void **state UNUSED)
{
    tls_free(peer_tls);
    certs_free(&certs);
    return 0;
}

static const struct http_server_options usual = {0};

/* ---- a client on this thread's loop ---- */

#define OUTCOMES 256

struct outcome {
    uint64_t id;
    int status; /* 0 = failed */
    enum net_failure failure;
    char *body;
    size_t n;
    char why[128];
};

struct caller {
    struct event_base *base;
    struct http_client *client;
    struct outcome outcomes[OUTCOMES];
    size_t n;
    unsigned closed_n;
    struct id closed;
    int64_t closed_at_ms;
    uint64_t ids;
    bool again; /* call /hello again from the callback */
    uint16_t port;
};

static uint64_t call(struct caller *k, const char *host, uint16_t port, const struct id *node,
                     enum net_lane lane, const char *path, const char *body, int64_t timeout_ms);

static void on_answered(void *ctx, uint64_t id, int status, char *body TAKES, size_t n)
{
    struct caller *k = ctx;
    assert_true(k->n < OUTCOMES);
    assert_int_equal(body[n], 0);
    k->outcomes[k->n++] = (struct outcome){.id = id, .status = status, .body = body, .n = n};
}

static void on_failed(void *ctx, uint64_t id, enum net_failure failure, const char *why)
{
    struct caller *k = ctx;
    assert_true(k->n < OUTCOMES);
    struct outcome *o = &k->outcomes[k->n++];
    *o = (struct outcome){.id = id, .failure = failure};
    snprintf(o->why, sizeof o->why, "%s", why);
    if (k->again) {
        k->again = false;
        call(k, "127.0.0.1", k->port, &node_a, LANE_CONTROL, "/hello", "", 5000);
    }
}

static void on_closed(void *ctx, struct id node)
{
    struct caller *k = ctx;
    k->closed_n++;
    k->closed = node;
    k->closed_at_ms = clock_ms();
}

static struct caller *caller_new(const struct http_client_options *options)
{
    struct caller *k = mem_alloc(sizeof *k);
    struct http_client_callbacks callbacks = {k, on_answered, on_failed, on_closed};
    k->base = event_base_new();
    k->client = http_client_new(k->base, options, &callbacks, peer_tls);
    return k;
}

static void caller_free(struct caller *k)
{
    http_client_free(k->client);
    event_base_free(k->base);
    for (size_t i = 0; i < k->n; i++)
        free(k->outcomes[i].body);
    free(k);
}

static uint64_t call_url(struct caller *k, const char *url, const struct id *node, enum net_lane lane,
                         const char *path, const char *body, size_t n, int64_t timeout_ms)
{
    struct peer_call *c = mem_alloc(sizeof *c);
    c->id = ++k->ids;
    c->node = *node;
    c->url = mem_dup(url);
    c->lane = lane;
    c->path = mem_dup(path);
    c->body = mem_copy(body, n);
    c->body_n = n;
    c->timeout_ms = timeout_ms;
    http_client_call(k->client, c);
    return c->id;
}

static uint64_t call(struct caller *k, const char *host, uint16_t port, const struct id *node,
                     enum net_lane lane, const char *path, const char *body, int64_t timeout_ms)
{
    AUTOFREE char *url = mem_printf("https://%s:%u", host, port);
    return call_url(k, url, node, lane, path, body, strlen(body), timeout_ms);
}

/* Turns the loop until a condition holds, with a deadline. */
#define turn_until(k, cond)                                                                                  \
    do {                                                                                                     \
        int64_t end_ = clock_ms() + DEADLINE_S * 1000;                                                       \
        while (!(cond) && clock_ms() < end_) {                                                               \
            event_base_loop((k)->base, EVLOOP_NONBLOCK);                                                     \
            usleep(200);                                                                                     \
        }                                                                                                    \
        assert_true(cond);                                                                                   \
    } while (0)

static struct outcome *outcome_of(struct caller *k, uint64_t id)
{
    for (size_t i = 0; i < k->n; i++)
        if (k->outcomes[i].id == id)
            return &k->outcomes[i];
    return NULL;
}

static struct outcome *await_outcome(struct caller *k, uint64_t id)
{
    turn_until(k, outcome_of(k, id));
    return outcome_of(k, id);
}

static void expect_failure(struct caller *k, uint64_t id, enum net_failure failure)
{
    struct outcome *o = await_outcome(k, id);
    if (o->status || o->failure != failure)
        fail_msg("status %d, failure %d (%s) instead of %d", o->status, (int)o->failure, o->why,
                 (int)failure);
}

static const struct http_client_options plain = {0};

/* ---- answers ---- */

static void calls_are_answered_in_order_on_one_connection(void **state UNUSED)
{
    struct rig *rig = rig_new(&certs, &usual);
    struct caller *k = caller_new(&plain);
    for (int i = 0; i < 20; i++) {
        AUTOFREE char *body = mem_printf("body %d", i);
        call(k, "127.0.0.1", rig->port, &node_a, LANE_CONTROL, "/echo", body, 5000);
    }
    turn_until(k, k->n == 20);
    for (int i = 0; i < 20; i++) {
        AUTOFREE char *expected = mem_printf("body %d", i);
        assert_int_equal(k->outcomes[i].status, 200);
        assert_string_equal(k->outcomes[i].body, expected);
        assert_int_equal(k->outcomes[i].id, i + 1);
    }
    assert_int_equal(rig_stats(rig).accepted, 1);
    uint64_t who = call(k, "127.0.0.1", rig->port, &node_a, LANE_CONTROL, "/who", "", 5000);
    assert_true(text_starts(await_outcome(k, who)->body, NODE_B "|"));
    caller_free(k);
    rig_free(rig);
}

static void lanes_do_not_wait_for_each_other(void **state UNUSED)
{
    struct rig *rig = rig_new(&certs, &usual);
    struct caller *k = caller_new(&plain);
    uint64_t slow = call(k, "127.0.0.1", rig->port, &node_a, LANE_BULK, "/later", "", 5000);
    turn_until(k, rig_get(rig, &rig->held_n) == 1);
    uint64_t ping = call(k, "127.0.0.1", rig->port, &node_a, LANE_CONTROL, "/hello", "", 5000);
    uint64_t other = call(k, "127.0.0.1", rig->port, &node_a, LANE_FORWARD, "/hello", "", 5000);
    assert_int_equal(await_outcome(k, ping)->status, 200);
    assert_int_equal(await_outcome(k, other)->status, 200);
    assert_null(outcome_of(k, slow));
    rig_answer_held(rig, 0);
    assert_int_equal(await_outcome(k, slow)->status, 200);
    assert_int_equal(rig_stats(rig).accepted, 3);
    caller_free(k);
    rig_free(rig);
}

static void large_bodies_and_other_statuses(void **state UNUSED)
{
    struct rig *rig = rig_new(&certs, &usual);
    struct caller *k = caller_new(&plain);
    size_t n = 1000000;
    AUTOFREE char *big = mem_alloc(n);
    for (size_t i = 0; i < n; i++)
        big[i] = (char)(i * 31);
    AUTOFREE char *url = mem_printf("https://127.0.0.1:%u", rig->port);
    uint64_t echo = call_url(k, url, &node_a, LANE_BULK, "/echo", big, n, 5000);
    assert_int_equal(await_outcome(k, echo)->n, n);
    assert_memory_equal(outcome_of(k, echo)->body, big, n);
    uint64_t nothing = call(k, "127.0.0.1", rig->port, &node_a, LANE_BULK, "/nothing", "", 5000);
    assert_int_equal(await_outcome(k, nothing)->status, 204);
    uint64_t refused = call(k, "127.0.0.1", rig->port, &node_a, LANE_BULK, "/private", "", 5000);
    assert_int_equal(await_outcome(k, refused)->status, 401);
    AUTOFREE char *too_big = mem_alloc(2 << 20);
    uint64_t large = call_url(k, url, &node_a, LANE_BULK, "/echo", too_big, 2 << 20, 5000);
    assert_int_equal(await_outcome(k, large)->status, 413);
    uint64_t after = call(k, "127.0.0.1", rig->port, &node_a, LANE_BULK, "/hello", "", 5000);
    assert_int_equal(await_outcome(k, after)->status, 200); /* on a new connection: that one was closed */
    assert_int_equal(k->closed_n, 0);
    caller_free(k);
    rig_free(rig);
}

static void an_answer_beyond_the_limit(void **state UNUSED)
{
    struct rig *rig = rig_new(&certs, &usual);
    struct http_client_options o = {.answer_bytes_max = 1000};
    struct caller *k = caller_new(&o);
    AUTOFREE char *body = mem_alloc(1002);
    memset(body, 'x', 1001);
    uint64_t large = call(k, "127.0.0.1", rig->port, &node_a, LANE_BULK, "/echo", body, 5000);
    expect_failure(k, large, NET_CLOSED);
    body[1000] = 0;
    uint64_t fits = call(k, "127.0.0.1", rig->port, &node_a, LANE_BULK, "/echo", body, 5000);
    assert_int_equal(await_outcome(k, fits)->n, 1000);
    caller_free(k);
    rig_free(rig);
}

static void names_are_resolved(void **state UNUSED)
{
    struct rig *rig = rig_new(&certs, &usual);
    struct caller *k = caller_new(&plain);
    /* localhost may be ::1 first, where nobody listens: the next address is tried. */
    uint64_t named = call(k, "localhost", rig->port, &node_a, LANE_CONTROL, "/hello", "", 5000);
    assert_int_equal(await_outcome(k, named)->status, 200);
    uint64_t v6 = call(k, "[::1]", rig->port, &node_a, LANE_CONTROL, "/hello", "", 5000);
    struct outcome *o = await_outcome(k, v6);
    assert_true(!o->status && (o->failure == NET_REFUSED || o->failure == NET_UNREACHABLE));
    const char *bad[] = {"http://127.0.0.1:1", "https://127.0.0.1", "127.0.0.1:1", "",
                         "https://a:b",        "unix:/tmp/x"};
    for (size_t i = 0; i < COUNT(bad); i++)
        expect_failure(k, call_url(k, bad[i], &node_a, LANE_CONTROL, "/", "", 0, 5000), NET_UNREACHABLE);
    uint64_t nowhere = call(k, "no-such-host.invalid", 1, &node_a, LANE_CONTROL, "/", "", 300);
    o = await_outcome(k, nowhere);
    assert_true(!o->status && (o->failure == NET_UNREACHABLE || o->failure == NET_TIMEOUT));
    caller_free(k);
    rig_free(rig);
}

/* ---- failures ---- */

static uint16_t free_port(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t n = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, n), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &n), 0);
    close(fd);
    return ntohs(at.sin_port);
}

/* Listens, and says nothing to anybody. */
static int mute_listener(uint16_t *ret_port)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t n = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, n), 0);
    assert_int_equal(listen(fd, 16), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &n), 0);
    *ret_port = ntohs(at.sin_port);
    return fd;
}

static void refused_at_once(void **state UNUSED)
{
    struct caller *k = caller_new(&plain);
    uint16_t port = free_port();
    int64_t start = clock_ms();
    uint64_t first = call(k, "127.0.0.1", port, &node_a, LANE_CONTROL, "/", "", 5000);
    uint64_t second = call(k, "127.0.0.1", port, &node_a, LANE_CONTROL, "/", "", 5000);
    expect_failure(k, first, NET_REFUSED);
    expect_failure(k, second, NET_REFUSED);
    assert_true(clock_ms() - start < 1000);
    assert_int_equal(k->closed_n, 0);
    caller_free(k);
}

static void timeouts_count_from_the_call(void **state UNUSED)
{
    struct rig *rig = rig_new(&certs, &usual);
    struct caller *k = caller_new(&plain);
    int64_t start = clock_ms();
    uint64_t sent = call(k, "127.0.0.1", rig->port, &node_a, LANE_CONTROL, "/later", "", 200);
    uint64_t queued = call(k, "127.0.0.1", rig->port, &node_a, LANE_CONTROL, "/hello", "", 100);
    uint64_t patient = call(k, "127.0.0.1", rig->port, &node_a, LANE_CONTROL, "/hello", "", 5000);
    expect_failure(k, queued, NET_TIMEOUT);
    assert_null(outcome_of(k, sent));
    expect_failure(k, sent, NET_TIMEOUT);
    assert_true(clock_ms() - start >= 190 && clock_ms() - start < 2000);
    assert_int_equal(await_outcome(k, patient)->status, 200);
    assert_int_equal(k->closed_n, 0); /* it was us who closed */
    caller_free(k);
    rig_free(rig);
}

/* A run of a peer that is over answers nobody, and a new one is called over new connections. */
static void calls_to_a_node_can_be_ended_at_once(void **state UNUSED)
{
    struct rig *rig = rig_new(&certs, &usual);
    struct caller *k = caller_new(&plain);
    uint64_t elsewhere = call(k, "127.0.0.1", rig->port, &(struct id){{0}}, LANE_BULK, "/later", "", 5000);
    uint64_t idle = call(k, "127.0.0.1", rig->port, &node_a, LANE_CONTROL, "/hello", "", 5000);
    assert_int_equal(await_outcome(k, idle)->status, 200);
    int64_t start = clock_ms();
    uint64_t sent = call(k, "127.0.0.1", rig->port, &node_a, LANE_BULK, "/later", "", 5000);
    uint64_t queued = call(k, "127.0.0.1", rig->port, &node_a, LANE_BULK, "/hello", "", 5000);
    turn_until(k, rig_stats(rig).open == 3);
    http_client_reset(k->client, &node_a);
    expect_failure(k, sent, NET_CLOSED);
    expect_failure(k, queued, NET_CLOSED);
    assert_true(clock_ms() - start < 2000);
    assert_null(outcome_of(k, elsewhere));
    assert_int_equal(k->closed_n, 0); /* it was us who closed */
    turn_until(k, rig_stats(rig).open == 1);
    uint64_t again = call(k, "127.0.0.1", rig->port, &node_a, LANE_BULK, "/hello", "", 5000);
    assert_int_equal(await_outcome(k, again)->status, 200);
    caller_free(k);
    rig_free(rig);
}

static void a_mute_peer(void **state UNUSED)
{
    struct http_client_options o = {.connect_ms = 100};
    struct caller *k = caller_new(&o);
    uint16_t port;
    int fd = mute_listener(&port);
    expect_failure(k, call(k, "127.0.0.1", port, &node_a, LANE_CONTROL, "/", "", 5000), NET_TIMEOUT);
    close(fd);
    caller_free(k);
}

static void who_is_not_called_is_not_spoken_to(void **state UNUSED)
{
    struct rig *rig = rig_new(&certs, &usual);
    struct caller *k = caller_new(&plain);
    uint64_t wrong = call(k, "127.0.0.1", rig->port, &node_b, LANE_CONTROL, "/hello", "", 5000);
    expect_failure(k, wrong, NET_TLS);
    assert_non_null(strstr(outcome_of(k, wrong)->why, "names another node"));
    assert_int_equal(rig_get(rig, &rig->delivered), 0);
    struct id anybody = {0};
    uint64_t any = call(k, "127.0.0.1", rig->port, &anybody, LANE_CONTROL, "/hello", "", 5000);
    assert_int_equal(await_outcome(k, any)->status, 200);
    caller_free(k);
    rig_free(rig);
}

static void do_server_tls(struct rig *rig, void *arg)
{
    http_server_set_tls(rig->server, arg);
}

/* A server with a certificate that our own checks would not even load. */
static SSL_CTX *bad_server(const struct pair *p)
{
    SSL_CTX *tls = server_tls(&certs.a, &certs.ca);
    assert_int_equal(SSL_CTX_use_certificate(tls, p->cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(tls, p->key), 1);
    return tls;
}

static void wrong_ca_and_expired_certificate(void **state UNUSED)
{
    const struct pair *bad[] = {&certs.foreign, &certs.expired};
    const char *why[] = {"not of this cluster's CA", "has expired"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct rig *rig = rig_new(&certs, &usual);
        SSL_CTX *tls = bad_server(bad[i]);
        rig_do(rig, do_server_tls, tls);
        tls_free(tls);
        struct caller *k = caller_new(&plain);
        uint64_t id = call(k, "127.0.0.1", rig->port, &node_a, LANE_CONTROL, "/hello", "", 5000);
        expect_failure(k, id, NET_TLS);
        const struct outcome *o = outcome_of(k, id);
        assert_non_null(o);
        if (!strstr(o->why, why[i]))
            fail_msg("%s", o->why);
        assert_int_equal(k->closed_n, 0);
        caller_free(k);
        rig_free(rig);
    }
}

static void a_peer_that_does_not_speak_tls(void **state UNUSED)
{
    struct caller *k = caller_new(&plain);
    uint16_t port;
    int fd = mute_listener(&port);
    uint64_t id = call(k, "127.0.0.1", port, &node_a, LANE_CONTROL, "/", "", 5000);
    int conn = -1;
    turn_until(k, conn >= 0 || (conn = accept(fd, NULL, NULL)) >= 0);
    assert_true(send(conn, "HTTP/1.1 400 Bad Request\r\n\r\n", 28, 0) == 28);
    expect_failure(k, id, NET_TLS);
    assert_non_null(strstr(outcome_of(k, id)->why, "does not speak TLS"));
    close(conn);
    close(fd);
    caller_free(k);
}

/* A peer that says one thing, whatever it is asked, then closes. */
struct script {
    int fd;
    const char *says;
    int go; /* >= 0: a pipe; when something comes out of it, the peer says it all once more, unasked */
    SSL_CTX *tls;
};

static void *play(void *arg)
{
    struct script *p = arg;
    char ignored[4096];
    int conn;
    while ((conn = accept(p->fd, NULL, NULL)) < 0)
        usleep(500);
    client_deadline(conn);
    int flags = 0;
    ioctl(conn, FIONBIO, &flags);
    SSL *ssl = SSL_new(p->tls);
    SSL_set_fd(ssl, conn);
    if (SSL_accept(ssl) == 1 && SSL_read(ssl, ignored, sizeof ignored) > 0)
        SSL_write(ssl, p->says, (int)strlen(p->says));
    if (p->go >= 0 && read(p->go, ignored, 1) == 1) {
        SSL_write(ssl, p->says, (int)strlen(p->says));
        SSL_read(ssl, ignored, sizeof ignored);
    }
    SSL_shutdown(ssl);
    SSL_free(ssl);
    close(conn);
    return NULL;
}

static void odd_answers(void **state UNUSED)
{
    const struct {
        const char *says;
        int status;
        const char *body;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", 200, "abc"},
        {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 1\r\n\r\nx", 201, "x"},
        {"HTTP/1.1 304 Not Modified\r\n\r\n", 304, ""},
        {"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, "ok"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", 200, "ok"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", 0, NULL}, /* cut */
        {"HTTP/1.1 200 OK\r\n\r\nuntil the end", 0, NULL},           /* its end cannot be told from a cut */
        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokmore", 0, NULL}, /* more than was asked for */
        {"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", 0, NULL},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0, NULL},
        {"HTTP/1.1 2000 OK\r\n\r\n", 0, NULL},
        {"what?", 0, NULL},
        {"", 0, NULL},
    };
    SSL_CTX *tls = server_tls(&certs.a, &certs.ca);
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct caller *k = caller_new(&plain);
        uint16_t port;
        struct script script = {.fd = mute_listener(&port), .says = cases[i].says, .go = -1, .tls = tls};
        pthread_t thread;
        pthread_create(&thread, NULL, play, &script);
        uint64_t id = call(k, "127.0.0.1", port, &node_a, LANE_BULK, "/", "", 5000);
        struct outcome *o = await_outcome(k, id);
        if (o->status != cases[i].status || (!o->status && o->failure != NET_CLOSED))
            fail_msg("case %zu: status %d, failure %d", i, o->status, (int)o->failure);
        if (cases[i].body)
            assert_string_equal(o->body, cases[i].body);
        pthread_join(thread, NULL);
        close(script.fd);
        caller_free(k);
    }
    tls_free(tls);
}

static void a_peer_that_speaks_unasked_is_dropped(void **state UNUSED)
{
    SSL_CTX *tls = server_tls(&certs.a, &certs.ca);
    struct caller *k = caller_new(&plain);
    uint16_t port;
    int go[2];
    pthread_t thread;
    assert_int_equal(pipe(go), 0);
    struct script script = {.fd = mute_listener(&port),
                            .says = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
                            .go = go[0],
                            .tls = tls};
    pthread_create(&thread, NULL, play, &script);
    uint64_t id = call(k, "127.0.0.1", port, &node_a, LANE_CONTROL, "/", "", 5000);
    assert_int_equal(await_outcome(k, id)->status, 200);
    assert_int_equal(write(go[1], "x", 1), 1);
    turn_until(k, k->closed_n == 1);
    assert_int_equal(k->n, 1);
    pthread_join(thread, NULL);
    close(go[0]);
    close(go[1]);
    close(script.fd);
    caller_free(k);
    tls_free(tls);
}

/* ---- the end of a connection ---- */

static void do_free_server(struct rig *rig, void *arg UNUSED)
{
    http_server_free(rig->server);
    rig->server = NULL;
}

/* How long it takes to hear that the peer's end of an idle connection is closed. */
static int64_t idle_end_ms(void)
{
    struct rig *rig = rig_new(&certs, &usual);
    struct caller *k = caller_new(&plain);
    k->port = rig->port;
    uint64_t first = call(k, "127.0.0.1", rig->port, &node_a, LANE_CONTROL, "/hello", "", 5000);
    uint64_t bulk = call(k, "127.0.0.1", rig->port, &node_a, LANE_BULK, "/hello", "", 5000);
    await_outcome(k, first);
    await_outcome(k, bulk);
    int64_t start = clock_ms();
    rig_do(rig, do_free_server, NULL);
    turn_until(k, k->closed_n == 1);
    int64_t took = k->closed_at_ms - start;
    assert_true(id_equal(&k->closed, &node_a));
    expect_failure(k, call(k, "127.0.0.1", k->port, &node_a, LANE_CONTROL, "/", "", 5000), NET_REFUSED);
    assert_int_equal(k->closed_n, 1);
    caller_free(k);
    rig_free(rig);
    return took;
}

static void an_idle_end_is_noticed_at_once(void **state UNUSED)
{
    int64_t best = INT64_MAX;
    for (int i = 0; i < 5 && best >= 50; i++) { /* a busy machine may spoil one try */
        int64_t took = idle_end_ms();
        best = took < best ? took : best;
    }
    assert_true(best < 50);
}

static void a_busy_end_fails_the_call_and_a_new_one_reconnects(void **state UNUSED)
{
    struct rig *rig = rig_new(&certs, &usual);
    struct caller *k = caller_new(&plain);
    k->port = rig->port;
    struct id unknown = {0};
    uint64_t busy = call(k, "127.0.0.1", rig->port, &unknown, LANE_CONTROL, "/stream", "", 5000);
    uint64_t behind = call(k, "127.0.0.1", rig->port, &unknown, LANE_CONTROL, "/hello", "", 5000);
    turn_until(k, rig_get(rig, &rig->held_n) == 1);
    k->again = true; /* calls from within the callback */
    rig_do(rig, do_free_server, NULL);
    expect_failure(k, busy, NET_CLOSED);
    turn_until(k, k->closed_n == 1);
    assert_true(id_equal(&k->closed, &node_a)); /* its certificate said so */
    expect_failure(k, behind, NET_REFUSED);     /* it tried a new connection */
    turn_until(k, k->n == 3);
    caller_free(k);
    rig_free(rig);
}

static void an_announced_close_is_no_break_an_idle_timeout_is(void **state UNUSED)
{
    struct http_server_options o = {.idle_ms = 100};
    struct rig *rig = rig_new(&certs, &o);
    struct caller *k = caller_new(&plain);
    AUTOFREE char *too_big = mem_alloc((1 << 20) + 2);
    memset(too_big, 'x', (1 << 20) + 1);
    uint64_t closing = call(k, "127.0.0.1", rig->port, &node_a, LANE_CONTROL, "/echo", too_big, 5000);
    assert_int_equal(await_outcome(k, closing)->status, 413);
    assert_int_equal(k->closed_n, 0);
    uint64_t again = call(k, "127.0.0.1", rig->port, &node_a, LANE_CONTROL, "/hello", "", 5000);
    assert_int_equal(await_outcome(k, again)->status, 200);
    turn_until(k, k->closed_n == 1);
    caller_free(k);
    rig_free(rig);
}

static void idle_bulk_connections_end(void **state UNUSED)
{
    struct http_client_options o = {.idle_ms = 100};
    struct rig *rig = rig_new(&certs, &usual);
    struct caller *k = caller_new(&o);
    await_outcome(k, call(k, "127.0.0.1", rig->port, &node_a, LANE_BULK, "/hello", "", 5000));
    await_outcome(k, call(k, "127.0.0.1", rig->port, &node_a, LANE_CONTROL, "/hello", "", 5000));
    assert_int_equal(rig_stats(rig).open, 2);
    turn_until(k, rig_stats(rig).open == 1);
    uint64_t again = call(k, "127.0.0.1", rig->port, &node_a, LANE_BULK, "/hello", "", 5000);
    assert_int_equal(await_outcome(k, again)->status, 200);
    assert_int_equal(k->closed_n, 0);
    caller_free(k);
    rig_free(rig);
}

static void connections_to_one_peer_are_rationed(void **state UNUSED)
{
    struct http_client_options o = {.connects_per_s = 10};
    struct caller *k = caller_new(&o);
    uint16_t port = free_port();
    int64_t start = clock_ms();
    for (int i = 0; i < 15; i++)
        expect_failure(k, call(k, "127.0.0.1", port, &node_a, LANE_CONTROL, "/", "", 5000), NET_REFUSED);
    int64_t took = clock_ms() - start;
    assert_true(took >= 400 && took < 5000); /* ten at once, five more at ten a second */
    caller_free(k);
}

/* Peers have each a free port that nobody listens on: every connection is refused. */
static int64_t refusals_took_ms(struct caller *k, int peers, int calls, enum net_lane lane)
{
    int64_t start = clock_ms();
    uint64_t id[64];
    for (int i = 0; i < calls; i++) {
        uint16_t port = free_port();
        struct id node = {{7, (unsigned char)(i % peers)}};
        id[i] = call(k, "127.0.0.1", port, &node, lane, "/", "", 9000);
    }
    for (int i = 0; i < calls; i++)
        expect_failure(k, id[i], NET_REFUSED);
    return clock_ms() - start;
}

static void connections_to_all_peers_are_rationed(void **state UNUSED)
{
    struct http_client_options o = {.all_connects_per_s = 20};
    struct caller *k = caller_new(&o);
    assert_true(refusals_took_ms(k, 62, 62, LANE_CONTROL) < 500); /* pings are not */
    assert_true(refusals_took_ms(k, 62, 62, LANE_BULK) >= 50);    /* 60 at once, 2 more */
    assert_true(refusals_took_ms(k, 20, 20, LANE_FORWARD) >= 900);
    caller_free(k);
}

static void who_cannot_be_reached_is_tried_less_often(void **state UNUSED)
{
    struct http_client_options o = {.backoff_ms = 50};
    struct caller *k = caller_new(&o);
    uint16_t port = free_port();
    int64_t start = clock_ms(), longest = 0;
    for (int i = 0; i < 5; i++) {
        int64_t before = clock_ms();
        expect_failure(k, call(k, "127.0.0.1", port, &node_a, LANE_BULK, "/", "", 5000), NET_REFUSED);
        longest = clock_ms() - before;
    }
    assert_true(clock_ms() - start >= (50 + 100 + 200 + 400) / 2 - 10);
    assert_true(longest >= 190);
    start = clock_ms();
    expect_failure(k, call(k, "127.0.0.1", port, &node_a, LANE_CONTROL, "/", "", 5000), NET_REFUSED);
    assert_true(clock_ms() - start < 150);
    caller_free(k);
}

/* A ping that gets through ends the pause of all. */
static void a_peer_that_is_back_is_not_waited_for(void **state UNUSED)
{
    struct http_client_options o = {.backoff_ms = 4000};
    struct caller *k = caller_new(&o);
    struct rig *rig = rig_new(&certs, &usual);
    SSL_CTX *wrong = client_tls_ctx(NULL, &certs.other_ca);
    http_client_set_tls(k->client, wrong);
    expect_failure(k, call(k, "127.0.0.1", rig->port, &node_a, LANE_BULK, "/hello", "", 5000), NET_TLS);
    http_client_set_tls(k->client, peer_tls);
    int64_t start = clock_ms();
    uint64_t waits = call(k, "127.0.0.1", rig->port, &node_a, LANE_BULK, "/hello", "", 5000);
    for (int i = 0; i < 100; i++) {
        event_base_loop(k->base, EVLOOP_NONBLOCK);
        usleep(1000);
    }
    assert_null(outcome_of(k, waits));
    uint64_t ping = call(k, "127.0.0.1", rig->port, &node_a, LANE_CONTROL, "/hello", "", 5000);
    assert_int_equal(await_outcome(k, ping)->status, 200);
    assert_int_equal(await_outcome(k, waits)->status, 200);
    assert_true(clock_ms() - start < 1500);
    tls_free(wrong);
    caller_free(k);
    rig_free(rig);
}

static void freeing_with_calls_in_flight(void **state UNUSED)
{
    struct rig *rig = rig_new(&certs, &usual);
    struct caller *k = caller_new(&plain);
    for (int i = 0; i < 3; i++)
        call(k, "127.0.0.1", rig->port, &node_a, (enum net_lane)i, "/later", "", 5000);
    turn_until(k, rig_get(rig, &rig->held_n) == 3);
    call(k, "127.0.0.1", rig->port, &node_a, LANE_BULK, "/hello", "", 5000);
    caller_free(k); /* no callback: they would count in k->n, which is gone */
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_are_answered_in_order_on_one_connection),
        cmocka_unit_test(lanes_do_not_wait_for_each_other),
        cmocka_unit_test(large_bodies_and_other_statuses),
        cmocka_unit_test(an_answer_beyond_the_limit),
        cmocka_unit_test(names_are_resolved),
        cmocka_unit_test(refused_at_once),
        cmocka_unit_test(timeouts_count_from_the_call),
        cmocka_unit_test(a_mute_peer),
        cmocka_unit_test(who_is_not_called_is_not_spoken_to),
        cmocka_unit_test(wrong_ca_and_expired_certificate),
        cmocka_unit_test(a_peer_that_does_not_speak_tls),
        cmocka_unit_test(odd_answers),
        cmocka_unit_test(a_peer_that_speaks_unasked_is_dropped),
        cmocka_unit_test(an_idle_end_is_noticed_at_once),
        cmocka_unit_test(a_busy_end_fails_the_call_and_a_new_one_reconnects),
        cmocka_unit_test(an_announced_close_is_no_break_an_idle_timeout_is),
        cmocka_unit_test(idle_bulk_connections_end),
        cmocka_unit_test(connections_to_one_peer_are_rationed),
        cmocka_unit_test(connections_to_all_peers_are_rationed),
        cmocka_unit_test(who_cannot_be_reached_is_tried_less_often),
        cmocka_unit_test(a_peer_that_is_back_is_not_waited_for),
        cmocka_unit_test(calls_to_a_node_can_be_ended_at_once),
        cmocka_unit_test(freeing_with_calls_in_flight),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
