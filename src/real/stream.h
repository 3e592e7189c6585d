/* stream: bytes over a non-blocking socket, with TLS or without. The one transport of server and client.
 *
 * Decides nothing about HTTP, events or time. A stream never blocks and never raises SIGPIPE provided that
 * the process ignores it (OpenSSL writes with write()).
 */
#ifndef SKEP_REAL_STREAM_H
#define SKEP_REAL_STREAM_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>

struct stream {
    int fd;   /* owned */
    SSL *ssl; /* owned; NULL = plain */
};

enum stream_result {
    STREAM_DONE,       /* some bytes moved, or the handshake is through */
    STREAM_WANT_READ,  /* call again once readable */
    STREAM_WANT_WRITE, /* call again once writable */
    STREAM_EOF,        /* the other side will send no more */
    STREAM_BROKEN,     /* the connection is gone (reset, unreachable) */
    STREAM_TLS,        /* TLS failed: tls_why() says why */
};

/* Takes fd; ctx NULL = plain. server: our side of the handshake. */
void stream_init(struct stream *s, int fd, SSL_CTX *ctx, bool server);
/* Closes, without any farewell. */
void stream_fini(struct stream *s);
enum stream_result stream_handshake(struct stream *s);
enum stream_result stream_read(struct stream *s, char *bytes, size_t cap, size_t *ret_n);
enum stream_result stream_write(struct stream *s, const char *bytes, size_t n, size_t *ret_n);
/* Bytes may wait inside the TLS layer, of which the socket says nothing. */
bool stream_pending(const struct stream *s);
/* Says that we send no more, and shuts our half of the socket. */
void stream_finish(struct stream *s);
/* True once the other side is known to be gone for good, not merely done with sending. */
bool stream_gone(const struct stream *s);

#endif
