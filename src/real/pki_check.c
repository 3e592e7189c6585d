/* pki_check: what a certificate that was read says, and whether it is one to run with. */
#include <string.h>

#include "base/when.h"
#include "real/pki_inside.h"
#include "wire/digest.h"

PKI_AUTO(X509_STORE_CTX, store_ctx_free, X509_STORE_CTX_free)

bool pki_subject_node(const X509_NAME *name, struct id *ret)
{
    int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
    if (at < 0 || X509_NAME_get_index_by_NID(name, NID_commonName, at) >= 0)
        return false;
    const ASN1_STRING *cn = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at));
    char text[ID_TEXT] = "";
    if (ASN1_STRING_length(cn) != ID_TEXT - 1)
        return false;
    memcpy(text, ASN1_STRING_get0_data(cn), ID_TEXT - 1);
    return id_parse(text, ret);
}

int64_t pki_time_ms(const ASN1_TIME *t)
{
    struct tm tm;
    if (ASN1_TIME_to_tm(t, &tm) != 1)
        return 0;
    return (int64_t)timegm(&tm) * 1000;
}

int pki_pair_check(X509 *cert, EVP_PKEY *key, const char *crt_path, const char *key_path, struct err *e)
{
    int match = X509_check_private_key(cert, key);
    ERR_clear_error();
    if (match != 1)
        return err_set(e, SKEP_ECONFIG, "%s is not the key of %s; put back the pair that belongs together",
                       key_path, crt_path);
    return 0;
}

int pki_time_check(X509 *cert, const char *path, int64_t now_real_ms, const char *remedy, struct err *e)
{
    char when[WHEN_TEXT], now[WHEN_TEXT];
    int64_t from_ms = pki_time_ms(X509_get0_notBefore(cert)),
            until_ms = pki_time_ms(X509_get0_notAfter(cert));
    if (now_real_ms < from_ms)
        return err_set(e, SKEP_ECONFIG, "%s is not valid before %s and the clock says %s; set the clock",
                       path, when_text(from_ms, when), when_text(now_real_ms, now));
    if (now_real_ms >= until_ms)
        return err_set(e, SKEP_ECONFIG, "%s expired at %s; %s", path, when_text(until_ms, when), remedy);
    return 0;
}

static int chain_check(const char *ca_path, X509 *cert, const char *crt_path, int64_t now_real_ms,
                       struct err *e)
{
    CLEANUP(store_free) X509_STORE *store = X509_STORE_new();
    CLEANUP(store_ctx_free) X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    ensure(store && ctx, "no memory for a certificate store");
    int rc = pki_store_read(ca_path, store, e);
    if (rc != 0)
        return rc;
    ensure(X509_STORE_CTX_init(ctx, store, cert, NULL) == 1, "no memory for a verification");
    X509_STORE_CTX_set_time(ctx, 0, now_real_ms / 1000);
    int valid = X509_verify_cert(ctx);
    ERR_clear_error();
    if (valid == 1)
        return 0;
    return err_set(e, SKEP_ECONFIG, "%s is not trusted by %s (%s); it must be signed by this cluster's CA",
                   crt_path, ca_path, X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
}

static int owner_check(X509 *cert, const char *crt_path, const struct id *node, struct id *ret_node,
                       struct err *e)
{
    struct id found;
    char want[ID_TEXT], have[ID_TEXT];
    if (!pki_subject_node(X509_get_subject_name(cert), &found))
        return err_set(e, SKEP_ECONFIG, "%s names no node: its common name must be a node id", crt_path);
    if (!id_is_zero(node) && !id_equal(&found, node))
        return err_set(e, SKEP_ECONFIG,
                       "%s is for node %s, and this folder belongs to node %s; put back its own certificate",
                       crt_path, id_text(&found, have), id_text(node, want));
    if (ret_node)
        *ret_node = found;
    return 0;
}

int pki_check(const char *ca_path, const char *crt_path, const char *key_path, const struct id *node,
              int64_t now_real_ms, struct id *ret_node, struct err *e)
{
    CLEANUP(cert_free) X509 *cert = NULL;
    CLEANUP(key_free) EVP_PKEY *key = NULL;
    int rc = pki_cert_read(crt_path, &cert, e);
    if (rc == 0)
        rc = pki_key_read(key_path, &key, e);
    if (rc == SKEP_ENOTFOUND)
        return err_wrap(e, "no certificate yet: make one with skep init or skep join");
    if (rc == 0)
        rc = pki_pair_check(cert, key, crt_path, key_path, e);
    if (rc == 0)
        rc = pki_time_check(cert, crt_path, now_real_ms, "enrol the node again with skep join", e);
    if (rc == 0)
        rc = chain_check(ca_path, cert, crt_path, now_real_ms, e);
    return rc == 0 ? owner_check(cert, crt_path, node, ret_node, e) : rc;
}

int pki_cluster(const char *ca_path, struct id *ret_cluster, struct err *e)
{
    CLEANUP(cert_free) X509 *cert = NULL;
    int rc = pki_cert_read(ca_path, &cert, e);
    if (rc == 0 && !pki_subject_node(X509_get_subject_name(cert), ret_cluster))
        rc = err_set(e, SKEP_ECONFIG, "%s names no cluster: its common name must be a cluster's id", ca_path);
    return rc;
}

int pki_expiry(const char *crt_path, int64_t *ret_real_ms, struct err *e)
{
    CLEANUP(cert_free) X509 *cert = NULL;
    int rc = pki_cert_read(crt_path, &cert, e);
    if (rc == 0)
        *ret_real_ms = pki_time_ms(X509_get0_notAfter(cert));
    return rc;
}

static void fingerprint(X509 *cert, char ret_hex[PKI_FINGERPRINT])
{
    unsigned char sum[DIGEST_BYTES], *der = NULL;
    int n = i2d_X509(cert, &der);
    ensure(n > 0, "a parsed certificate has no DER form");
    digest_sha256(der, (size_t)n, sum);
    OPENSSL_free(der);
    AUTOSTR struct str hex = STR_INIT;
    str_hex(&hex, sum, sizeof sum);
    memcpy(ret_hex, str_get(&hex), PKI_FINGERPRINT);
}

int pki_fingerprint(const char *crt_path, char ret_hex[PKI_FINGERPRINT], struct err *e)
{
    CLEANUP(cert_free) X509 *cert = NULL;
    int rc = pki_cert_read(crt_path, &cert, e);
    if (rc == 0)
        fingerprint(cert, ret_hex);
    return rc;
}

int pki_fingerprint_pem(const char *pem, char ret_hex[PKI_FINGERPRINT], struct err *e)
{
    CLEANUP(cert_free) X509 *cert = pki_cert_parse(pem, strlen(pem));
    if (!cert)
        return err_set(e, SKEP_EARG, "not a certificate in PEM form");
    fingerprint(cert, ret_hex);
    return 0;
}
