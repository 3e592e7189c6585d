/* http: a client's connection over TLS 1.3 that costs little, so that the load generator leaves the two cores
 * to what it measures. One request at a time, keep-alive, answers with a Content-Length.
 */
#ifndef SKEP_BENCH_HTTP_H
#define SKEP_BENCH_HTTP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct ssl_st;
struct ssl_ctx_st;

/* TLS for all connections: the server must have a certificate of the CA for 127.0.0.1. */
int http_tls_new(const char *ca_file, struct ssl_ctx_st **ret, struct err *e);
void http_tls_free(struct ssl_ctx_st *tls);

struct http {
    int fd;
    struct ssl_st *ssl;
    struct str in; /* the answer as far as it is here */
    int status;
    size_t head_n, body_n; /* of a whole answer: in.p + head_n is its body */
};

/* Connects and shakes hands, waiting. Non-blocking from then on. */
int http_open(struct http *h, struct ssl_ctx_st *tls, uint16_t port, struct err *e);
/* Accepts what was never opened, if its fd is -1. */
void http_close(struct http *h);
/* The whole request, at once. */
int http_send(struct http *h, const char *p, size_t n, struct err *e);
/* 1: the answer is whole; 0: not yet, wait for h->fd to be readable; < 0: failed. */
int http_step(struct http *h, struct err *e);
/* Sends one request with a body (or NULL) and waits for its answer. */
int http_call(struct http *h, const char *method, const char *path, const char *token, const char *body,
              int timeout_ms, struct err *e);
/* Appends a request. */
void http_request(struct str *s, const char *method, const char *path, const char *token, const char *body);
/* The body of the answer: borrowed until the next request. */
struct span http_body(const struct http *h);

#endif
