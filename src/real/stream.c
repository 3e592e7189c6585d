#include "real/stream.h"

#include <errno.h>
#include <openssl/err.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/ensure.h"

void stream_init(struct stream *s, int fd, SSL_CTX *ctx, bool server)
{
    *s = (struct stream){.fd = fd};
    if (!ctx)
        return;
    s->ssl = SSL_new(ctx);
    ensure(s->ssl && SSL_set_fd(s->ssl, fd) == 1, "OpenSSL cannot make a connection: out of memory");
    if (server)
        SSL_set_accept_state(s->ssl);
    else
        SSL_set_connect_state(s->ssl);
}

void stream_fini(struct stream *s)
{
    SSL_free(s->ssl);
    if (s->fd >= 0)
        close(s->fd);
    *s = (struct stream){.fd = -1};
}

static enum stream_result of_errno(enum stream_result again)
{
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
        return again;
    return STREAM_BROKEN;
}

static enum stream_result of_ssl(const struct stream *s, int rc)
{
    switch (SSL_get_error(s->ssl, rc)) {
    case SSL_ERROR_WANT_READ:
        return STREAM_WANT_READ;
    case SSL_ERROR_WANT_WRITE:
        return STREAM_WANT_WRITE;
    case SSL_ERROR_ZERO_RETURN:
        return STREAM_EOF;
    case SSL_ERROR_SSL:
        return STREAM_TLS;
    default:
        ERR_clear_error();
        return STREAM_BROKEN;
    }
}

enum stream_result stream_handshake(struct stream *s)
{
    if (!s->ssl)
        return STREAM_DONE;
    ERR_clear_error();
    int rc = SSL_do_handshake(s->ssl);
    return rc == 1 ? STREAM_DONE : of_ssl(s, rc);
}

enum stream_result stream_read(struct stream *s, char *bytes, size_t cap, size_t *ret_n)
{
    if (s->ssl) {
        ERR_clear_error();
        int rc = SSL_read_ex(s->ssl, bytes, cap, ret_n);
        return rc == 1 ? STREAM_DONE : of_ssl(s, rc);
    }
    ssize_t n = recv(s->fd, bytes, cap, 0);
    if (n < 0)
        return of_errno(STREAM_WANT_READ);
    if (n == 0)
        return STREAM_EOF;
    *ret_n = (size_t)n;
    return STREAM_DONE;
}

enum stream_result stream_write(struct stream *s, const char *bytes, size_t n, size_t *ret_n)
{
    if (s->ssl) {
        ERR_clear_error();
        int rc = SSL_write_ex(s->ssl, bytes, n, ret_n);
        return rc == 1 ? STREAM_DONE : of_ssl(s, rc);
    }
    ssize_t sent = send(s->fd, bytes, n, MSG_NOSIGNAL);
    if (sent < 0)
        return of_errno(STREAM_WANT_WRITE);
    *ret_n = (size_t)sent;
    return STREAM_DONE;
}

bool stream_pending(const struct stream *s)
{
    return s->ssl && SSL_has_pending(s->ssl);
}

void stream_finish(struct stream *s)
{
    if (s->ssl && SSL_is_init_finished(s->ssl)) {
        ERR_clear_error();
        SSL_shutdown(s->ssl);
        ERR_clear_error();
    }
    shutdown(s->fd, SHUT_WR);
}

bool stream_gone(const struct stream *s)
{
    struct pollfd p = {.fd = s->fd};
    return poll(&p, 1, 0) > 0 && (p.revents & (POLLERR | POLLHUP));
}
