/* http_server: the connection layer. TLS 1.3 on a TCP port, plain HTTP/1.1 on a Unix socket, one event loop.
 *
 * Decides: when a connection lives and dies, how long a client may take, in which order what it sent is
 * handled, and every refusal that needs no knowledge of skep (malformed, too large, too slow, too many).
 * Refuses to know: routes, tokens, JSON, the brain.
 *
 * Invariants
 * 1. Every request handed to `request` is answered by the owner once, or reported by `gone`, after which its
 *    id means nothing. Ids are never used twice.
 * 2. Answers of a connection leave in the order of its requests. Requests that may change something run alone
 *    on their connection; those that change nothing (GET, HEAD) may overlap (RFC 9112, section 9.3.2).
 * 3. Nothing grows without a bound: see struct http_server_options.
 *
 * All functions, and all callbacks, on the thread of the event loop. Callbacks may call any function here
 * except http_server_free.
 */
#ifndef SKEP_REAL_HTTP_SERVER_H
#define SKEP_REAL_HTTP_SERVER_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "world/request.h"

struct event_base;
struct http_server;

/* What is known once the head of a request is there. Borrowed for the length of the callback. */
struct http_head {
    struct request *request; /* borrowed; no body yet; who is filled by authorize, hence empty there */
    const char *cert_cn;     /* subject CN of the verified client certificate, or NULL */
    const char *from;        /* "192.0.2.1:4711", or "unix" */
    int64_t content_length;  /* -1: not announced */
    bool has_body;
};

struct http_server_callbacks {
    void *ctx;
    /* Who asks? Fills ret_who, or sets *ret_reject (yours to make, ours afterwards). Called first. */
    void (*authorize)(void *ctx, const struct http_head *head, struct principal *ret_who,
                      struct answer **ret_reject);
    /* How much body may this request have? Sets *ret_body_max, or *ret_reject, or *ret_streaming: then
     * `request` comes at once, without a body, and the body as body_part, without a limit. */
    void (*head)(void *ctx, const struct http_head *head, size_t *ret_body_max, bool *ret_streaming,
                 struct answer **ret_reject);
    /* A complete request. Answer under r->id, now or later. */
    void (*request)(void *ctx, struct request *r TAKES);
    /* A part of a streamed body, borrowed; last: with n = 0, after all of it. False: send me no more until
     * http_server_body_resume(id); this part counts as taken. May be NULL if nothing is streamed in. */
    bool (*body_part)(void *ctx, uint64_t id, const char *bytes, size_t n, bool last);
    /* The client of an unanswered request, or of a streamed answer, is gone. May be NULL. */
    void (*gone)(void *ctx, uint64_t id);
    /* The queue of a streamed answer fell to stream_low_bytes after it was above. May be NULL. */
    void (*drained)(void *ctx, uint64_t id);
    /* After http_server_drain: the last connection is closed. May be NULL. */
    void (*empty)(void *ctx);
};

/* 0 in any field = its default (in brackets). A client that is too slow for head_ms or body_ms gets a problem
 * document and loses its connection; one that breaks another limit in time just loses it. */
struct http_server_options {
    int backlog;            /* of listen() [1024] */
    size_t connections_max; /* [8192]; beyond it the one that waits longest for its client is closed, those
                               of peers last; or, if all are busy, accepting waits */
    unsigned accepts_per_s; /* on the TLS port, bursts of a second's worth [500] */
    size_t address_connections_max; /* on the TLS port, of one address; beyond: closed [no limit] */
    unsigned address_accepts_per_s; /* http_gate.h [accepts_per_s] */
    size_t handshakes_max;   /* unfinished ones; beyond, the oldest of the address with the most is closed
                                [connections_max / 4, at least 8] */
    unsigned pipeline_max;   /* requests of one connection in flight [16] */
    size_t uri_bytes_max;    /* request target [8 KiB] */
    size_t head_bytes_max;   /* header fields [16 KiB] */
    size_t bodies_bytes_max; /* all bodies being received, together [256 MiB]; beyond: overloaded */
    size_t out_bytes_max;  /* of a stream, waiting for a client that does not read [32 MiB]; beyond: closed */
    size_t outs_bytes_max; /* all that waits for clients to read [256 MiB]; beyond, larger answers that change
                              nothing become overloaded */
    size_t stream_low_bytes;   /* see drained [64 KiB] */
    unsigned body_bytes_per_s; /* slowest body, on average, after the first body_ms [1024] */
    int64_t handshake_ms;      /* [10 000] */
    int64_t head_ms;           /* from the first byte of a request to the end of its head [10 000] */
    int64_t body_ms;           /* a body without any progress [30 000] */
    int64_t idle_ms;           /* keep-alive without a request; a streamed body without progress [120 000] */
    int64_t stall_ms;          /* a client that does not read [30 000] */
    int64_t linger_ms;         /* to read a refused client's last bytes, so that it reads our answer [2000] */
};

/* Counters since the start, for metrics. */
struct http_server_stats {
    uint64_t accepted, handshakes, handshakes_failed, resumed;
    uint64_t requests, answers, rejects; /* rejects: refused here or by authorize and head */
    uint64_t timeouts, gone, evicted, accept_waits, refused, delayed; /* the last two: by the gate */
    uint64_t bytes_in, bytes_out;
    size_t open, in_flight, body_bytes, out_bytes, handshaking; /* now */
};

/* The process ignores SIGPIPE from here on. */
struct http_server *http_server_new(struct event_base *base, const struct http_server_options *options,
                                    const struct http_server_callbacks *callbacks);
/* Closes everything at once; requests in flight are not reported any more. NULL is allowed. */
void http_server_free(struct http_server *s);

/* Listens for TLS. host: a name or number, "::" or "0.0.0.0" for all; port 0 = any free one. Takes a
 * reference on tls. SKEP_EUNREACHABLE for a port in use, SKEP_ECONFIG with a
 * sentence for the rest: no such address, not permitted. */
int http_server_listen_tls(struct http_server *s, const char *host, uint16_t port, SSL_CTX *tls,
                           struct err *e);
/* Listens on a Unix socket, mode 0660. A socket file that nobody listens on is replaced; one that somebody
 * answers on, or another kind of file, is SKEP_ELOCKED or SKEP_ECONFIG. Removed by http_server_free. */
int http_server_listen_unix(struct http_server *s, const char *path, struct err *e);
/* The TCP port listened on, 0 if none. */
uint16_t http_server_port(const struct http_server *s);
/* New certificates, for connections from now on; the open ones live on. Takes a reference. */
void http_server_set_tls(struct http_server *s, SSL_CTX *tls);

/* Answers a request. An unknown id (gone, answered) is fine: the answer is freed. */
void http_server_answer(struct http_server *s, uint64_t id, struct answer *a TAKES);

/* Answers with a stream of unknown length (status 200, chunked). content_type: static. False: the id is
 * unknown, nothing happened. */
bool http_server_stream_begin(struct http_server *s, uint64_t id, const char *content_type);
/* Copies n bytes to the stream. Returns how many bytes wait for the client now; above stream_low_bytes the
 * caller should pause until `drained`. An unknown id: 0. */
size_t http_server_stream_data(struct http_server *s, uint64_t id, const char *bytes, size_t n);
void http_server_stream_end(struct http_server *s, uint64_t id);
/* Ends a stream that cannot be completed: the connection breaks off, so that the client sees it. */
void http_server_stream_abort(struct http_server *s, uint64_t id);

/* Goes on with a streamed body after body_part returned false. */
void http_server_body_resume(struct http_server *s, uint64_t id);

/* Stops listening, closes idle connections, lets requests in flight end, each with Connection: close.
 * `empty` is called, from the loop, once none is left. Streams are the owner's to end. */
void http_server_drain(struct http_server *s);
void http_server_stats(const struct http_server *s, struct http_server_stats *ret_stats);

#endif
