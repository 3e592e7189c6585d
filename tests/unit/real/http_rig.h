/* What the tests of the connection layer share: certificates made on the spot, a server on a thread of its
 * own whose answers follow from the path, and blocking clients with a deadline.
 */
#ifndef TESTS_UNIT_REAL_HTTP_RIG_H
#define TESTS_UNIT_REAL_HTTP_RIG_H

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/thread.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "real/http_server.h"
#include "real/mailbox.h"
#include "real/tls.h"

#define DAY_S      86400L
#define DEADLINE_S 10

static UNUSED int64_t clock_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Waits for a condition, with a deadline. */
#define await(cond)                                                                                          \
    do {                                                                                                     \
        int64_t end_ = clock_ms() + DEADLINE_S * 1000;                                                       \
        while (!(cond) && clock_ms() < end_)                                                                 \
            usleep(500);                                                                                     \
        assert_true(cond);                                                                                   \
    } while (0)

/* ---- certificates ---- */

struct pair {
    EVP_PKEY *key;
    X509 *cert;
    char cert_path[256], key_path[256];
};

static UNUSED void pair_free(struct pair *p)
{
    EVP_PKEY_free(p->key);
    X509_free(p->cert);
}

static UNUSED void add_ext(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert_non_null(ext);
    X509_add_ext(cert, ext, -1);
    X509_EXTENSION_free(ext);
}

/* ca NULL = self-signed CA. Valid from from_s to to_s, relative to now. */
static UNUSED struct pair pair_make(const char *dir, const char *file, const char *cn, const struct pair *ca,
                                    long from_s, long to_s)
{
    static long serial = 1;
    struct pair p = {.key = EVP_EC_gen("P-256"), .cert = X509_new()};
    X509_set_version(p.cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(p.cert), time(NULL) % 1000000 * 1000 + serial++);
    X509_gmtime_adj(X509_getm_notBefore(p.cert), from_s);
    X509_gmtime_adj(X509_getm_notAfter(p.cert), to_s);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(p.cert), "CN", MBSTRING_UTF8, (const unsigned char *)cn,
                               -1, -1, 0);
    X509_set_issuer_name(p.cert, X509_get_subject_name(ca ? ca->cert : p.cert));
    X509_set_pubkey(p.cert, p.key);
    add_ext(p.cert, ca ? ca->cert : p.cert, NID_basic_constraints,
            ca ? "critical,CA:FALSE" : "critical,CA:TRUE");
    if (ca)
        add_ext(p.cert, ca->cert, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1");
    assert_true(X509_sign(p.cert, ca ? ca->key : p.key, EVP_sha256()) > 0);
    snprintf(p.cert_path, sizeof p.cert_path, "%s/%s.pem", dir, file);
    snprintf(p.key_path, sizeof p.key_path, "%s/%s.key", dir, file);
    FILE *f = fopen(p.cert_path, "w");
    assert_non_null(f);
    PEM_write_X509(f, p.cert);
    fclose(f);
    f = fopen(p.key_path, "w");
    assert_non_null(f);
    PEM_write_PrivateKey(f, p.key, NULL, NULL, 0, NULL, NULL);
    fclose(f);
    return p;
}

#define NODE_A "0123456789abcdef0123456789abcdef"
#define NODE_B "ffffffffffffffffffffffffffffffff"

struct certs {
    char dir[64];
    struct pair ca, other_ca, a, b, user, expired, foreign;
};

static UNUSED void certs_make(struct certs *c)
{
    snprintf(c->dir, sizeof c->dir, "/tmp/skep-http-XXXXXX");
    assert_non_null(mkdtemp(c->dir));
    c->ca = pair_make(c->dir, "ca", "skep CA", NULL, -DAY_S, DAY_S);
    c->other_ca = pair_make(c->dir, "other-ca", "skep CA", NULL, -DAY_S, DAY_S);
    c->a = pair_make(c->dir, "a", NODE_A, &c->ca, -DAY_S, DAY_S);
    c->b = pair_make(c->dir, "b", NODE_B, &c->ca, -DAY_S, DAY_S);
    c->user = pair_make(c->dir, "user", "alice", &c->ca, -DAY_S, DAY_S);
    c->expired = pair_make(c->dir, "expired", NODE_A, &c->ca, -2 * DAY_S, -DAY_S);
    c->foreign = pair_make(c->dir, "foreign", NODE_A, &c->other_ca, -DAY_S, DAY_S);
}

static UNUSED void certs_free(struct certs *c)
{
    struct pair *all[] = {&c->ca, &c->other_ca, &c->a, &c->b, &c->user, &c->expired, &c->foreign};
    for (size_t i = 0; i < COUNT(all); i++) {
        unlink(all[i]->cert_path);
        unlink(all[i]->key_path);
        pair_free(all[i]);
    }
    rmdir(c->dir);
}

static UNUSED struct tls_files files_of(const struct pair *p, const struct pair *ca)
{
    return (struct tls_files){
        .cert = p ? p->cert_path : NULL, .key = p ? p->key_path : NULL, .ca = ca->cert_path};
}

static UNUSED SSL_CTX *server_tls(const struct pair *p, const struct pair *ca)
{
    struct err e = {0};
    struct tls_files files = files_of(p, ca);
    SSL_CTX *ctx = NULL;
    if (tls_server_new(&files, &ctx, &e))
        fail_msg("%s", e.text);
    return ctx;
}

static UNUSED SSL_CTX *client_tls_ctx(const struct pair *p, const struct pair *ca)
{
    struct err e = {0};
    struct tls_files files = files_of(p, ca);
    SSL_CTX *ctx = NULL;
    if (tls_client_new(&files, &ctx, &e))
        fail_msg("%s", e.text);
    return ctx;
}

/* ---- a server on a thread ---- */

#define NOTED_MAX 16384

struct rig {
    struct certs *certs;
    struct event_base *base;
    struct http_server *server;
    struct mailbox *jobs; /* functions for the loop's thread */
    pthread_t thread;
    uint16_t port;
    char path[100]; /* of the Unix socket */
    pthread_mutex_t mutex;
    /* under the mutex */
    uint64_t held[NOTED_MAX]; /* requests of /later and /stream, unanswered */
    char *held_path[NOTED_MAX];
    unsigned held_n, gone_n, drained_n, empty_n, delivered;
    uint64_t gone[NOTED_MAX];
    size_t uploaded;
    unsigned pauses, lasts;
    bool pause_upload;
    size_t queued_max;
};

struct job {
    void (*run)(struct rig *rig, void *arg);
    void *arg;
    bool done;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
};

static UNUSED void job_free(void *item UNUSED)
{
}

static UNUSED void rig_jobs(void *ctx, void **items, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct job *job = items[i];
        job->run(ctx, job->arg);
        pthread_mutex_lock(&job->mutex);
        job->done = true;
        pthread_cond_signal(&job->cond);
        pthread_mutex_unlock(&job->mutex);
    }
}

/* Runs a function on the loop's thread and waits for its end. */
static UNUSED void rig_do(struct rig *rig, void (*run)(struct rig *, void *), void *arg)
{
    struct job job = {run, arg, false, PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER};
    assert_true(mailbox_post(rig->jobs, &job));
    pthread_mutex_lock(&job.mutex);
    while (!job.done)
        pthread_cond_wait(&job.cond, &job.mutex);
    pthread_mutex_unlock(&job.mutex);
}

static UNUSED struct answer *answer_new(int status, const char *text)
{
    struct answer *a = mem_alloc(sizeof *a);
    a->status = status;
    a->body = mem_dup(text);
    a->body_n = strlen(text);
    return a;
}

static UNUSED void rig_authorize(void *ctx UNUSED, const struct http_head *head, struct principal *ret_who,
                                 struct answer **ret_reject)
{
    if (strcmp(head->request->path, "/private") == 0) {
        *ret_reject = answer_new(401, "{\"code\":\"unauthorized\"}");
        return;
    }
    snprintf(ret_who->name, sizeof ret_who->name, "%s", head->cert_cn ? head->cert_cn : head->from);
}

static UNUSED void rig_head(void *ctx UNUSED, const struct http_head *head, size_t *ret_body_max,
                            bool *ret_streaming, struct answer **ret_reject)
{
    if (strcmp(head->request->path, "/nowhere") == 0)
        *ret_reject = answer_new(404, "{\"code\":\"not_found\"}");
    *ret_body_max = 1 << 20;
    *ret_streaming = text_starts(head->request->path, "/upload");
}

static UNUSED void rig_hold(struct rig *rig, struct request *r)
{
    pthread_mutex_lock(&rig->mutex);
    assert_true(rig->held_n < NOTED_MAX);
    rig->held[rig->held_n] = r->id;
    rig->held_path[rig->held_n++] = mem_dup(r->path);
    pthread_mutex_unlock(&rig->mutex);
}

static UNUSED struct answer *rig_decide(struct request *r)
{
    if (strcmp(r->path, "/echo") == 0) {
        struct answer *a = mem_alloc(sizeof *a);
        a->status = 200;
        a->content_type = "application/octet-stream";
        a->body_n = r->body_n;
        a->body = TAKE(r->body);
        return a;
    }
    if (strcmp(r->path, "/rich") == 0) {
        struct answer *a = answer_new(405, "{}");
        snprintf(a->etag, sizeof a->etag, "7");
        snprintf(a->allow, sizeof a->allow, "GET, PUT");
        a->retry_after_s = 3;
        return a;
    }
    if (strcmp(r->path, "/nothing") == 0)
        return answer_new(204, "");
    if (strcmp(r->path, "/who") == 0) {
        AUTOFREE char *text = mem_printf("%s|%d|%u|%u|%s|%s|%s", r->who.name, r->local, r->peer_uid,
                                         r->peer_pid, r->authorization ? r->authorization : "-",
                                         r->query ? r->query : "-", r->if_match ? r->if_match : "-");
        return answer_new(200, text);
    }
    return answer_new(200, "{\"hello\":\"world\"}");
}

static UNUSED void rig_request(void *ctx, struct request *r TAKES)
{
    struct rig *rig = ctx;
    pthread_mutex_lock(&rig->mutex);
    rig->delivered++;
    pthread_mutex_unlock(&rig->mutex);
    if (text_starts(r->path, "/later") || text_starts(r->path, "/stream") || text_starts(r->path, "/upload"))
        rig_hold(rig, r);
    else
        http_server_answer(rig->server, r->id, rig_decide(r));
    request_free(r);
}

static UNUSED bool rig_body_part(void *ctx, uint64_t id UNUSED, const char *bytes UNUSED, size_t n, bool last)
{
    struct rig *rig = ctx;
    pthread_mutex_lock(&rig->mutex);
    rig->uploaded += n;
    rig->lasts += last;
    bool pause = rig->pause_upload && !last;
    rig->pauses += pause;
    pthread_mutex_unlock(&rig->mutex);
    return !pause;
}

static UNUSED void rig_gone(void *ctx, uint64_t id)
{
    struct rig *rig = ctx;
    pthread_mutex_lock(&rig->mutex);
    if (rig->gone_n < NOTED_MAX)
        rig->gone[rig->gone_n] = id;
    rig->gone_n++;
    pthread_mutex_unlock(&rig->mutex);
}

static UNUSED void rig_drained(void *ctx, uint64_t id UNUSED)
{
    struct rig *rig = ctx;
    pthread_mutex_lock(&rig->mutex);
    rig->drained_n++;
    pthread_mutex_unlock(&rig->mutex);
}

static UNUSED void rig_empty(void *ctx)
{
    struct rig *rig = ctx;
    pthread_mutex_lock(&rig->mutex);
    rig->empty_n++;
    pthread_mutex_unlock(&rig->mutex);
}

static UNUSED unsigned rig_get(struct rig *rig, unsigned *field)
{
    pthread_mutex_lock(&rig->mutex);
    unsigned value = *field;
    pthread_mutex_unlock(&rig->mutex);
    return value;
}

static UNUSED void rig_set(struct rig *rig, bool *field, bool value)
{
    pthread_mutex_lock(&rig->mutex);
    *field = value;
    pthread_mutex_unlock(&rig->mutex);
}

static UNUSED void *rig_main(void *arg)
{
    struct rig *rig = arg;
    event_base_loop(rig->base, EVLOOP_NO_EXIT_ON_EMPTY);
    return NULL;
}

static UNUSED struct rig *rig_new(struct certs *certs, const struct http_server_options *options)
{
    struct rig *rig = mem_alloc(sizeof *rig);
    struct err e = {0};
    struct http_server_callbacks callbacks = {rig,           rig_authorize, rig_head,    rig_request,
                                              rig_body_part, rig_gone,      rig_drained, rig_empty};
    SSL_CTX *tls = server_tls(&certs->a, &certs->ca);
    rig->certs = certs;
    rig->base = event_base_new();
    pthread_mutex_init(&rig->mutex, NULL);
    rig->jobs = mailbox_new(100, job_free);
    assert_int_equal(mailbox_watch(rig->jobs, rig->base, rig_jobs, rig), 0);
    rig->server = http_server_new(rig->base, options, &callbacks);
    if (http_server_listen_tls(rig->server, "127.0.0.1", 0, tls, &e))
        fail_msg("%s", e.text);
    rig->port = http_server_port(rig->server);
    static unsigned rigs; /* a failed test leaves its rig behind */
    snprintf(rig->path, sizeof rig->path, "%s/sock-%u", certs->dir, rigs++);
    if (http_server_listen_unix(rig->server, rig->path, &e))
        fail_msg("%s", e.text);
    tls_free(tls);
    assert_int_equal(pthread_create(&rig->thread, NULL, rig_main, rig), 0);
    return rig;
}

static UNUSED void rig_stop(struct rig *rig, void *arg UNUSED)
{
    http_server_free(rig->server);
    rig->server = NULL;
    event_base_loopbreak(rig->base);
}

static UNUSED void rig_free(struct rig *rig)
{
    rig_do(rig, rig_stop, NULL);
    pthread_join(rig->thread, NULL);
    mailbox_free(rig->jobs);
    event_base_free(rig->base);
    for (unsigned i = 0; i < rig->held_n; i++)
        free(rig->held_path[i]);
    pthread_mutex_destroy(&rig->mutex);
    free(rig);
}

static UNUSED void do_answer_held(struct rig *rig, void *arg)
{
    unsigned i = *(unsigned *)arg;
    http_server_answer(rig->server, rig->held[i], answer_new(200, rig->held_path[i]));
}

static UNUSED void rig_answer_held(struct rig *rig, unsigned i)
{
    rig_do(rig, do_answer_held, &i);
}

static UNUSED void do_stats(struct rig *rig, void *arg)
{
    http_server_stats(rig->server, arg);
}

static UNUSED struct http_server_stats rig_stats(struct rig *rig)
{
    struct http_server_stats stats;
    rig_do(rig, do_stats, &stats);
    return stats;
}

/* ---- blocking clients ---- */

struct client {
    int fd;
    SSL *ssl;
    struct str in;
};

static UNUSED void client_deadline(int fd)
{
    struct timeval wait = {.tv_sec = DEADLINE_S};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
}

static UNUSED int tcp_connect(uint16_t port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    client_deadline(fd);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (struct sockaddr *)&at, sizeof at)) {
        close(fd);
        return -1;
    }
    return fd;
}

static UNUSED struct client client_plain(uint16_t port)
{
    struct client c = {.fd = tcp_connect(port)};
    assert_true(c.fd >= 0);
    return c;
}

static UNUSED struct client client_tls(uint16_t port, SSL_CTX *ctx)
{
    struct client c = client_plain(port);
    c.ssl = SSL_new(ctx);
    SSL_set_fd(c.ssl, c.fd);
    SSL_clear_mode(c.ssl, SSL_MODE_ENABLE_PARTIAL_WRITE);
    if (SSL_connect(c.ssl) != 1) {
        ERR_print_errors_fp(stderr);
        fail_msg("the handshake failed");
    }
    return c;
}

static UNUSED struct client client_unix(const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    snprintf(at.sun_path, sizeof at.sun_path, "%s", path);
    struct client c = {.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    client_deadline(c.fd);
    assert_int_equal(connect(c.fd, (struct sockaddr *)&at, sizeof at), 0);
    return c;
}

static UNUSED void client_close(struct client *c)
{
    SSL_free(c->ssl);
    close(c->fd);
    str_fini(&c->in);
    *c = (struct client){.fd = -1};
}

/* Closes with a reset instead of an end. */
static UNUSED void client_reset(struct client *c)
{
    struct linger now = {1, 0};
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    client_close(c);
}

/* False: the other side takes no more. */
static UNUSED bool client_write(struct client *c, const void *bytes, size_t n)
{
    while (n > 0) {
        ssize_t sent = c->ssl ? SSL_write(c->ssl, bytes, n > 16384 ? 16384 : (int)n)
                              : send(c->fd, bytes, n, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        bytes = (const char *)bytes + sent;
        n -= (size_t)sent;
    }
    return true;
}

static UNUSED void client_send(struct client *c, const char *text)
{
    assert_true(client_write(c, text, strlen(text)));
}

static UNUSED void client_get(struct client *c, const char *path)
{
    AUTOFREE char *text = mem_printf("GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path);
    client_send(c, text);
}

/* > 0: some bytes more; 0: the end; < 0: broken. Fails the test when the deadline passes. */
static UNUSED int client_more(struct client *c)
{
    char bytes[16384];
    ERR_clear_error();
    errno = 0;
    ssize_t n = c->ssl ? SSL_read(c->ssl, bytes, sizeof bytes) : recv(c->fd, bytes, sizeof bytes, 0);
    if (n <= 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        fail_msg("nothing came within %d s", DEADLINE_S);
    if (n > 0)
        str_add(&c->in, bytes, (size_t)n);
    if (n <= 0 && c->ssl)
        return SSL_get_error(c->ssl, (int)n) == SSL_ERROR_ZERO_RETURN ? 0 : -1;
    return (int)n;
}

struct reply {
    int status; /* 0: the connection ended instead */
    struct str head, body;
};

static UNUSED void reply_fini(struct reply *r)
{
    str_fini(&r->head);
    str_fini(&r->body);
}
#define AUTOREPLY CLEANUP(reply_fini)

static UNUSED void client_eat(struct client *c, size_t n)
{
    memmove(c->in.p, c->in.p + n, c->in.n - n);
    c->in.n -= n;
    c->in.p[c->in.n] = 0;
}

static UNUSED bool client_need(struct client *c, size_t n)
{
    while (c->in.n < n)
        if (client_more(c) <= 0)
            return false;
    return true;
}

static UNUSED bool read_chunks(struct client *c, struct reply *r)
{
    for (;;) {
        char *end;
        while (!(end = c->in.n ? strstr(c->in.p, "\r\n") : NULL))
            if (client_more(c) <= 0)
                return false;
        size_t size = strtoul(c->in.p, NULL, 16), head = (size_t)(end - c->in.p) + 2;
        if (!client_need(c, head + size + 2))
            return false;
        str_add(&r->body, c->in.p + head, size);
        client_eat(c, head + size + 2);
        if (size == 0)
            return true;
    }
}

/* The next answer on the connection. head_only: after HEAD. */
static UNUSED struct reply client_reply_to(struct client *c, bool head_only)
{
    struct reply r = {0};
    char *end;
    while (!(end = c->in.n ? strstr(c->in.p, "\r\n\r\n") : NULL))
        if (client_more(c) <= 0)
            return r;
    str_add(&r.head, c->in.p, (size_t)(end - c->in.p) + 2);
    client_eat(c, r.head.n + 2);
    r.status = atoi(r.head.p + 9);
    const char *length = strcasestr(r.head.p, "\r\nContent-Length: ");
    if (strcasestr(r.head.p, "\r\nTransfer-Encoding: chunked")) {
        if (!read_chunks(c, &r))
            r.status = 0;
    } else if (length && !head_only) {
        size_t n = strtoul(length + 18, NULL, 10);
        if (!client_need(c, n))
            r.status = 0;
        else {
            str_add(&r.body, c->in.p, n);
            client_eat(c, n);
        }
    }
    return r;
}

static UNUSED struct reply client_reply(struct client *c)
{
    return client_reply_to(c, false);
}

/* Reads until the other side ends; what it sent before is in c->in. */
static UNUSED void client_expect_end(struct client *c)
{
    while (client_more(c) > 0)
        ;
}

static UNUSED void expect_status(struct client *c, int status)
{
    AUTOREPLY struct reply r = client_reply(c);
    assert_int_equal(r.status, status);
}

/* A problem document with this code, complete in its fields, then the end of the connection. */
static UNUSED void expect_problem(struct client *c, int status, const char *code)
{
    AUTOREPLY struct reply r = client_reply(c);
    AUTOFREE char *code_field = mem_printf("\"code\":\"%s\"}", code);
    AUTOFREE char *status_field = mem_printf("\"status\":%d,", status);
    assert_int_equal(r.status, status);
    assert_non_null(strstr(str_get(&r.head), "Content-Type: application/problem+json\r\n"));
    assert_non_null(strstr(str_get(&r.body), "{\"type\":\"about:blank\",\"title\":\""));
    assert_non_null(strstr(str_get(&r.body), "\"detail\":\""));
    assert_non_null(strstr(str_get(&r.body), status_field));
    assert_non_null(strstr(str_get(&r.body), code_field));
}

#endif
