/* http_client: calls to peers over HTTPS, as src/world/net.h promises them, on one event loop.
 *
 * Decides: one keep-alive connection per peer (url and node) and lane, calls in order with one outstanding,
 * when to connect, and who may be on the other side: a certificate of the cluster's CA whose CN is the
 * node's id. An idle connection is always watched, so that its end is known at once. Refuses to know what is
 * called, to retry, and to judge peers: a call fails once, with a reason, and the caller decides.
 *
 * All functions, and all callbacks, on the thread of the event loop. Callbacks may call http_client_call; no
 * callback runs inside it.
 */
#ifndef SKEP_REAL_HTTP_CLIENT_H
#define SKEP_REAL_HTTP_CLIENT_H

#include <openssl/ssl.h>

#include "world/net.h"

struct event_base;
struct http_client;

struct http_client_callbacks {
    void *ctx;
    /* Exactly one of these two for each call. body has a 0 byte behind it; why is a sentence for the log. */
    void (*answered)(void *ctx, uint64_t call_id, int status, char *body TAKES, size_t n);
    void (*failed)(void *ctx, uint64_t call_id, enum net_failure failure, const char *why);
    /* An established control connection was broken by the other side, idle or busy (then failed() came
     * first). node: as called, or from the certificate if that was zero. Not called when the close was
     * announced in an answer, nor when a timeout made us close. */
    void (*closed)(void *ctx, struct id node);
};

/* 0 in any field = its default (in brackets). */
struct http_client_options {
    size_t answer_bytes_max;     /* a body beyond it fails the call, NET_CLOSED [32 MiB] */
    unsigned connects_per_s;     /* new connections to one peer; bursts of a second's worth [10] */
    unsigned all_connects_per_s; /* to all of them, but for control connections; bursts of three seconds'
                                    worth [10] */
    int64_t backoff_ms; /* bulk and forward connections to a peer that none came about to: the first pause,
                           doubled up to 16 times that, each by up to a half less [100] */
    int64_t connect_ms; /* one address: TCP and TLS handshake; then the next address [2000] */
    int64_t idle_ms;    /* idle bulk and forward connections are closed; control ones never [60 000] */
};

/* Takes a reference on tls. */
struct http_client *http_client_new(struct event_base *base, const struct http_client_options *options,
                                    const struct http_client_callbacks *callbacks, SSL_CTX *tls);
/* Calls in flight end without a callback. NULL is allowed. */
void http_client_free(struct http_client *k);
/* New certificates for connections from now on. */
void http_client_set_tls(struct http_client *k, SSL_CTX *tls);
void http_client_call(struct http_client *k, struct peer_call *call TAKES);
/* Ends all calls to a node, NET_CLOSED, and closes its connections without a word to closed(). */
void http_client_reset(struct http_client *k, const struct id *node);

#endif
