/* http: one conversation of the command line with one node, over its Unix socket or over TLS.
 *
 * An answer of 400 and up becomes a struct err made of its problem document; what cannot be reached or does
 * not answer is SKEP_EUNREACHABLE. On a terminal, whatever takes over a second says so on standard error.
 */
#ifndef SKEP_SKEP_HTTP_H
#define SKEP_SKEP_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct http;

struct http_target {
    char *addr;                              /* "unix:///path" or "https://host:port"; owned */
    char *token;                             /* owned; NULL = none */
    char *cacert, *client_cert, *client_key; /* paths, owned; NULL = none */
    char *ca_pem;                            /* the CA itself, instead of cacert; owned; NULL */
};

struct http_answer {
    int status;
    char *body; /* owned; 0 byte behind it; never NULL */
    size_t body_n;
    char etag[64]; /* without quotes; "" = none */
};

void http_target_fini(struct http_target *t);
/* Checks the address only; connects at the first call. Takes the target's strings, also on failure. */
int http_new(struct http_target *t, struct http **ret_h, struct err *e);
void http_free(struct http *h);
/* What follows must be answered within this time; sent along as timeout_ms. 0 = the server's default. */
void http_set_timeout(struct http *h, int64_t timeout_ms);
/* What follows is given up after this time, and the node is not told. */
void http_set_patience(struct http *h, int64_t ms);
void http_set_header(struct http *h, const char *header); /* "If-Match: \"3\"", for every call from now on */
const char *http_addr(const struct http *h);              /* for messages; borrowed */

/* body NULL = none. ret_a may be NULL. */
int http_call(struct http *h, const char *method, const char *path, const char *body,
              struct http_answer *ret_a, struct err *e);
/* A call without a body, of any length, whose answer is handed on as it comes; on_bytes returns false to end
 * it (which is no failure). */
int http_stream(struct http *h, const char *method, const char *path,
                bool (*on_bytes)(void *self, const char *bytes, size_t n), void *self, struct err *e);
/* The PEM certificates that the node at an https address shows, nothing of it believed. *ret_chain is yours.
 */
int http_chain(struct http *h, char **ret_chain, struct err *e);
void http_answer_fini(struct http_answer *a);

/* A path or query: every %s is percent-encoded. Yours. */
char *path_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* True if somebody accepts connections on this Unix socket. */
bool unix_answers(const char *path);

#endif
