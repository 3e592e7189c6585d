/* tls: certificates and the settings of TLS, once for the server and once for calls to peers.
 *
 * Decides: TLS 1.3 only; a peer is who its certificate's subject CN says, and only if the certificate
 * chains to the cluster's CA. A server asks for a client certificate but does not insist: what is presented
 * must verify. Refuses to know who may do what (that is the owner's authorize callback), and to log.
 */
#ifndef SKEP_REAL_TLS_H
#define SKEP_REAL_TLS_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/id.h"
#include "base/mem.h"

/* Paths of PEM files; borrowed. */
struct tls_files {
    const char *cert; /* the certificate, then what is between it and the CA; NULL (client only): none */
    const char *key;  /* its private key; NULL with cert NULL */
    const char *ca;   /* the cluster's CA: whom to trust */
};

#define TLS_CN_MAX 256 /* bytes of a subject CN as text, with the 0 */

/* Reads the files. 0, or SKEP_ECONFIG with a sentence that names the file and the remedy: unreadable, not
 * PEM, key does not match, expired or not valid yet, not signed by the CA. *ret_ctx is yours: tls_free. */
int tls_server_new(const struct tls_files *files, SSL_CTX **ret_ctx, struct err *e);
int tls_client_new(const struct tls_files *files, SSL_CTX **ret_ctx, struct err *e);
void tls_free(SSL_CTX *ctx);

/* When the ctx's own certificate expires, in ms since 1970; INT64_MAX if it has none. */
int64_t tls_expires_ms(const SSL_CTX *ctx);

/* The subject CN of the other side's verified certificate. False: none was presented, it has no CN, or one
 * with a 0 byte or a control character in it. */
bool tls_peer_cn(const SSL *ssl, char ret_cn[TLS_CN_MAX]);

/* Why a handshake or a record failed, as a sentence, from OpenSSL's error queue, which is emptied. */
void tls_why(const SSL *ssl, char *ret_text, size_t size);

#endif
