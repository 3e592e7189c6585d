#include "real/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"

#define TICKET_S 3600 /* a resumed session skips the certificate check: not for longer than this */

static void ctx_free_ptr(SSL_CTX **ctx)
{
    SSL_CTX_free(*ctx);
}

void tls_free(SSL_CTX *ctx)
{
    SSL_CTX_free(ctx);
}

static int readable(const char *what, const char *path, struct err *e)
{
    if (!path || !*path)
        return err_set(e, SKEP_ECONFIG, "no %s is given. Name its PEM file", what);
    if (access(path, R_OK) == 0)
        return 0;
    return err_set(e, SKEP_ECONFIG, "cannot read the %s %s: %s. Check the path and the file's mode", what,
                   path, strerror(errno));
}

static int load_ca(SSL_CTX *ctx, const char *path, struct err *e)
{
    int rc = readable("CA certificate", path, e);
    if (rc)
        return rc;
    if (SSL_CTX_load_verify_locations(ctx, path, NULL) == 1)
        return 0;
    ERR_clear_error();
    return err_set(e, SKEP_ECONFIG, "%s holds no CA certificate in PEM form. Use the cluster's ca.pem", path);
}

static int load_pair(SSL_CTX *ctx, const struct tls_files *f, struct err *e)
{
    int rc = readable("certificate", f->cert, e);
    if (!rc)
        rc = readable("private key", f->key, e);
    if (rc)
        return rc;
    bool cert = SSL_CTX_use_certificate_chain_file(ctx, f->cert) == 1;
    bool key = cert && SSL_CTX_use_PrivateKey_file(ctx, f->key, SSL_FILETYPE_PEM) == 1;
    bool mismatch = !key && ERR_GET_REASON(ERR_peek_last_error()) == X509_R_KEY_VALUES_MISMATCH;
    ERR_clear_error();
    if (!cert)
        return err_set(e, SKEP_ECONFIG,
                       "%s holds no certificate in PEM form. Use the file that `skep init` or "
                       "`skep join` wrote",
                       f->cert);
    if (mismatch || (key && SSL_CTX_check_private_key(ctx) != 1))
        return err_set(e, SKEP_ECONFIG,
                       "the private key %s does not match the certificate %s. Use the pair that "
                       "was made together",
                       f->key, f->cert);
    if (!key)
        return err_set(e, SKEP_ECONFIG,
                       "%s holds no private key in PEM form without a passphrase. Use the file "
                       "that was made with the certificate",
                       f->key);
    return 0;
}

/* Our own certificate must satisfy the CA that we hold peers to: else every peer would refuse us later. */
static int check_pair(SSL_CTX *ctx, const struct tls_files *f, struct err *e)
{
    X509_STORE_CTX *check = X509_STORE_CTX_new();
    STACK_OF(X509) *between = NULL;
    SSL_CTX_get_extra_chain_certs(ctx, &between);
    X509_STORE_CTX_init(check, SSL_CTX_get_cert_store(ctx), SSL_CTX_get0_certificate(ctx), between);
    bool fine = X509_verify_cert(check) == 1;
    int why = X509_STORE_CTX_get_error(check);
    X509_STORE_CTX_free(check);
    ERR_clear_error();
    if (fine)
        return 0;
    if (why == X509_V_ERR_CERT_HAS_EXPIRED)
        return err_set(e, SKEP_ECONFIG,
                       "the certificate %s, or the CA it rests on, has expired. Renew it (`skep "
                       "cert renew`)",
                       f->cert);
    if (why == X509_V_ERR_CERT_NOT_YET_VALID)
        return err_set(e, SKEP_ECONFIG, "the certificate %s is not valid yet. Check this machine's clock",
                       f->cert);
    return err_set(e, SKEP_ECONFIG,
                   "the certificate %s was not signed by the CA %s (%s). Use the CA of the same "
                   "cluster",
                   f->cert, f->ca, X509_verify_cert_error_string(why));
}

static int ctx_new(const SSL_METHOD *method, const struct tls_files *files, SSL_CTX **ret_ctx, struct err *e)
{
    SSL_CTX *ctx CLEANUP(ctx_free_ptr) = SSL_CTX_new(method);
    if (!ctx)
        return err_set(e, SKEP_EINTERNAL, "OpenSSL cannot make a TLS context");
    SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
    /* HTTP frames its messages itself, so a connection that ends without a closing alert hides nothing. */
    SSL_CTX_set_options(ctx, SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(ctx, 1); /* one read() for a record instead of two */
    int rc = load_ca(ctx, files->ca, e);
    if (!rc && files->cert)
        rc = load_pair(ctx, files, e);
    if (!rc && files->cert)
        rc = check_pair(ctx, files, e);
    if (!rc)
        *ret_ctx = TAKE(ctx);
    return rc;
}

int tls_server_new(const struct tls_files *files, SSL_CTX **ret_ctx, struct err *e)
{
    if (!files->cert)
        return readable("certificate", NULL, e);
    int rc = ctx_new(TLS_server_method(), files, ret_ctx, e);
    if (rc)
        return rc;
    static const unsigned char sessions[] = "skep";
    SSL_CTX_set_session_id_context(*ret_ctx, sessions, sizeof sessions - 1);
    SSL_CTX_set_session_cache_mode(*ret_ctx, SSL_SESS_CACHE_OFF); /* tickets only: no state here */
    SSL_CTX_set_timeout(*ret_ctx, TICKET_S);
    SSL_CTX_set_num_tickets(*ret_ctx, 1);
    SSL_CTX_set_verify(*ret_ctx, SSL_VERIFY_PEER, NULL);
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(files->ca);
    if (names)
        SSL_CTX_set_client_CA_list(*ret_ctx, names);
    return 0;
}

int tls_client_new(const struct tls_files *files, SSL_CTX **ret_ctx, struct err *e)
{
    int rc = ctx_new(TLS_client_method(), files, ret_ctx, e);
    if (!rc)
        SSL_CTX_set_verify(*ret_ctx, SSL_VERIFY_PEER, NULL);
    return rc;
}

int64_t tls_expires_ms(const SSL_CTX *ctx)
{
    const X509 *cert = SSL_CTX_get0_certificate(ctx);
    ASN1_TIME *epoch = cert ? ASN1_TIME_set(NULL, 0) : NULL;
    int days, seconds;
    int64_t at = INT64_MAX;
    if (epoch && ASN1_TIME_diff(&days, &seconds, epoch, X509_get0_notAfter(cert)))
        at = ((int64_t)days * 86400 + seconds) * 1000;
    ASN1_TIME_free(epoch);
    return at;
}

bool tls_peer_cn(const SSL *ssl, char ret_cn[TLS_CN_MAX])
{
    X509 *cert = SSL_get0_peer_certificate(ssl);
    if (!cert || SSL_get_verify_result(ssl) != X509_V_OK)
        return false;
    const X509_NAME *subject = X509_get_subject_name(cert);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (at < 0)
        return false;
    unsigned char *text = NULL;
    int n = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
    bool fine = n > 0 && n < TLS_CN_MAX && text_is_clean((char *)text, (size_t)n);
    if (fine) {
        memcpy(ret_cn, text, (size_t)n);
        ret_cn[n] = 0;
    }
    OPENSSL_free(text);
    return fine;
}

static const char *alert_sentence(int reason)
{
    switch (reason) {
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
    case SSL_R_UNSUPPORTED_PROTOCOL:
        return "the two sides share no version of TLS; skep speaks TLS 1.3 only";
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_TLSV1_ALERT_DECRYPT_ERROR: /* a CA of the same name with another key */
        return "the other side does not trust the CA of our certificate: it belongs to another cluster";
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
        return "the other side says that our certificate has expired";
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
        return "the other side refuses our certificate";
    case SSL_R_HTTP_REQUEST:
        return "the other side speaks plain HTTP, but this port speaks TLS";
    case SSL_R_WRONG_VERSION_NUMBER:
        return "the other side does not speak TLS on this port";
    default:
        return NULL;
    }
}

void tls_why(const SSL *ssl, char *ret_text, size_t size)
{
    unsigned long code = ERR_peek_last_error();
    long verify = ssl ? SSL_get_verify_result(ssl) : X509_V_OK;
    const char *alert = alert_sentence(ERR_GET_REASON(code));
    if (verify == X509_V_ERR_CERT_HAS_EXPIRED)
        snprintf(ret_text, size, "the other side's certificate has expired");
    else if (verify == X509_V_ERR_CERT_NOT_YET_VALID)
        snprintf(ret_text, size, "the other side's certificate is not valid yet; compare the clocks");
    else if (verify != X509_V_OK)
        snprintf(ret_text, size, "the other side's certificate is not of this cluster's CA (%s)",
                 X509_verify_cert_error_string(verify));
    else if (alert)
        snprintf(ret_text, size, "%s", alert);
    else
        snprintf(ret_text, size, "TLS failed (%s)", code ? ERR_reason_error_string(code) : "no reason given");
    ERR_clear_error();
}
