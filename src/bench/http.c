#include "bench/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/samples.h"

#define READ_BYTES 16384

int http_tls_new(const char *ca_file, struct ssl_ctx_st **ret, struct err *e)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_client_method());
    if (!tls || SSL_CTX_set_min_proto_version(tls, TLS1_3_VERSION) != 1 ||
        SSL_CTX_load_verify_locations(tls, ca_file, NULL) != 1) {
        SSL_CTX_free(tls);
        return err_set(e, SKEP_ECONFIG, "cannot use %s: %s", ca_file,
                       ERR_reason_error_string(ERR_peek_last_error()));
    }
    SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_read_ahead(tls, 1); /* a record in one read */
    *ret = tls;
    return 0;
}

void http_tls_free(struct ssl_ctx_st *tls)
{
    SSL_CTX_free(tls);
}

static int dial(uint16_t port, struct err *e)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) == 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        return fd;
    }
    int rc = err_set(e, SKEP_EUNREACHABLE, "port %u: %s", port, strerror(errno));
    if (fd >= 0)
        close(fd);
    return rc;
}

int http_open(struct http *h, struct ssl_ctx_st *tls, uint16_t port, struct err *e)
{
    int fd = dial(port, e);
    *h = (struct http){.fd = fd < 0 ? -1 : fd};
    if (fd < 0)
        return fd;
    h->ssl = SSL_new(tls);
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(h->ssl), "127.0.0.1");
    SSL_set_fd(h->ssl, h->fd);
    ERR_clear_error();
    if (SSL_connect(h->ssl) != 1) {
        http_close(h);
        return err_set(e, SKEP_EUNREACHABLE, "no TLS at port %u: %s", port,
                       ERR_reason_error_string(ERR_peek_last_error()));
    }
    fcntl(h->fd, F_SETFL, O_NONBLOCK);
    return 0;
}

void http_close(struct http *h)
{
    SSL_free(h->ssl);
    if (h->fd >= 0)
        close(h->fd);
    str_fini(&h->in);
    *h = (struct http){.fd = -1};
}

void http_request(struct str *s, const char *method, const char *path, const char *token, const char *body)
{
    str_printf(s, "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\n", method, path);
    if (token)
        str_printf(s, "Authorization: Bearer %s\r\n", token);
    if (body)
        str_printf(s, "Content-Length: %zu\r\n", strlen(body));
    str_puts(s, "\r\n");
    if (body)
        str_puts(s, body);
}

static int wait_for(struct http *h, short events, int timeout_ms, struct err *e)
{
    struct pollfd p = {h->fd, events, 0};
    if (poll(&p, 1, timeout_ms) > 0)
        return 0;
    return err_set(e, SKEP_ETIMEOUT, "no answer within %d ms", timeout_ms);
}

int http_send(struct http *h, const char *p, size_t n, struct err *e)
{
    str_clear(&h->in);
    h->head_n = h->body_n = 0;
    for (;;) {
        ERR_clear_error();
        int r = SSL_write(h->ssl, p, (int)n);
        if (r > 0)
            return 0;
        int why = SSL_get_error(h->ssl, r);
        if (why != SSL_ERROR_WANT_WRITE && why != SSL_ERROR_WANT_READ)
            return err_set(e, SKEP_EUNREACHABLE, "the connection broke while writing");
        int rc = wait_for(h, why == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, 10000, e);
        if (rc < 0)
            return rc;
    }
}

/* The head is whole: its status, and how much body follows. */
static int head(struct http *h, struct err *e)
{
    const char *end = h->in.n < 16 ? NULL : memmem(h->in.p, h->in.n, "\r\n\r\n", 4);
    if (!end)
        return 0;
    h->status = atoi(h->in.p + 9);
    h->head_n = (size_t)(end - h->in.p) + 4;
    for (const char *line = h->in.p; (line = memchr(line, '\n', (size_t)(end - line))) != NULL;)
        if (strncasecmp(++line, "Content-Length:", 15) == 0) {
            h->body_n = strtoul(line + 15, NULL, 10);
            return 1;
        }
    return err_set(e, SKEP_EINTERNAL, "an answer without Content-Length");
}

int http_step(struct http *h, struct err *e)
{
    for (;;) {
        str_reserve(&h->in, READ_BYTES);
        int r = SSL_read(h->ssl, h->in.p + h->in.n, READ_BYTES);
        if (r <= 0) {
            int why = SSL_get_error(h->ssl, r);
            if (why == SSL_ERROR_WANT_READ)
                return 0;
            ERR_clear_error();
            return err_set(e, SKEP_EUNREACHABLE, "the connection broke while reading");
        }
        h->in.n += (size_t)r;
        h->in.p[h->in.n] = 0;
        int rc = h->head_n ? 1 : head(h, e);
        if (rc < 0)
            return rc;
        if (rc && h->in.n >= h->head_n + h->body_n)
            return 1;
    }
}

int http_call(struct http *h, const char *method, const char *path, const char *token, const char *body,
              int timeout_ms, struct err *e)
{
    AUTOSTR struct str request = STR_INIT;
    int64_t end = now_ms() + timeout_ms;
    http_request(&request, method, path, token, body);
    int rc = http_send(h, str_get(&request), request.n, e);
    while (rc >= 0 && (rc = http_step(h, e)) == 0) {
        int64_t left = end - now_ms();
        rc = wait_for(h, POLLIN, left > 0 ? (int)left : 0, e);
    }
    return rc < 0 ? err_wrap(e, "%s %s", method, path) : 0;
}

struct span http_body(const struct http *h)
{
    return (struct span){h->in.p + h->head_n, h->body_n};
}
