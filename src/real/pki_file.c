/* pki_file: certificates and keys as PEM, in files. A private key is written 0600 and used only if nobody but
 * its owner and group can read it.
 */
#include "real/pki_inside.h"

int pki_ssl_failed(const char *what, struct err *e)
{
    char why[160];
    ERR_error_string_n(ERR_get_error(), why, sizeof why);
    ERR_clear_error();
    return err_set(e, SKEP_EINTERNAL, "cannot make %s: %s", what, why);
}

int pki_no_pass_phrase(char *buf, int size, int writing, void *arg)
{
    (void)buf, (void)size, (void)writing, (void)arg;
    return -1;
}

BIO *pki_bio_of(const char *text, size_t n)
{
    BIO *bio = BIO_new_mem_buf(text, (int)n);
    ensure(bio, "no memory for a BIO");
    return bio;
}

X509 *pki_cert_parse(const char *pem, size_t n)
{
    CLEANUP(bio_free) BIO *bio = pki_bio_of(pem, n);
    X509 *cert = PEM_read_bio_X509(bio, NULL, pki_no_pass_phrase, NULL);
    ERR_clear_error();
    return cert;
}

/* Reads a PEM file; every failure is one of configuration. */
static int pki_pem_read(const char *path, struct str *ret, mode_t *ret_mode, struct err *e)
{
    int rc = file_read(path, PKI_PEM_BYTES_MAX, ret, ret_mode, e);
    return rc == SKEP_ENOTFOUND || rc == SKEP_EFORBIDDEN || rc == SKEP_EIO || rc == 0
               ? rc
               : err_set(e, SKEP_ECONFIG, "%s is not a PEM file", path);
}

int pki_cert_read(const char *path, X509 **ret, struct err *e)
{
    AUTOSTR struct str pem = STR_INIT;
    int rc = pki_pem_read(path, &pem, NULL, e);
    if (rc != 0)
        return rc;
    X509 *cert = pki_cert_parse(str_get(&pem), pem.n);
    if (!cert)
        return err_set(e, SKEP_ECONFIG, "%s holds no certificate in PEM form", path);
    *ret = cert;
    return 0;
}

int pki_key_read(const char *path, EVP_PKEY **ret, struct err *e)
{
    AUTOSTR struct str pem = STR_INIT;
    mode_t mode = 0;
    int rc = pki_pem_read(path, &pem, &mode, e);
    if (rc != 0)
        return rc;
    if (mode & 0037)
        rc = err_set(e, SKEP_ECONFIG, "%s can be read or changed by others (mode %04o); chmod 600 %s", path,
                     (unsigned)mode, path);
    EVP_PKEY *key = NULL;
    if (rc == 0) {
        CLEANUP(bio_free) BIO *bio = pki_bio_of(str_get(&pem), pem.n);
        key = PEM_read_bio_PrivateKey(bio, NULL, pki_no_pass_phrase, NULL);
        ERR_clear_error();
        if (!key)
            rc = err_set(e, SKEP_ECONFIG, "%s holds no private key in PEM form without a pass phrase", path);
    }
    if (pem.n)
        OPENSSL_cleanse(pem.p, pem.n);
    if (rc == 0)
        *ret = key;
    return rc;
}

char *pki_bio_text(BIO *bio, size_t *ret_n)
{
    char *p;
    long n = BIO_get_mem_data(bio, &p);
    *ret_n = (size_t)n;
    return mem_copy(p, (size_t)n);
}

char *pki_cert_pem(X509 *cert)
{
    CLEANUP(bio_free) BIO *bio = BIO_new(BIO_s_mem());
    ensure(bio && PEM_write_bio_X509(bio, cert) == 1, "a certificate of ours has no PEM form");
    size_t n;
    return pki_bio_text(bio, &n);
}

static int key_write(const char *path, EVP_PKEY *key, struct err *e)
{
    CLEANUP(bio_free) BIO *bio = BIO_new(BIO_s_secmem());
    ensure(bio && PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1,
           "a key of ours has no PEM form");
    size_t n;
    AUTOFREE char *pem = pki_bio_text(bio, &n);
    int rc = file_create(path, 0600, pem, n, e);
    OPENSSL_cleanse(pem, n);
    return rc;
}

int pki_key_read_or_make(const char *path, EVP_PKEY **ret, struct err *e)
{
    int rc = pki_key_read(path, ret, e);
    if (rc != SKEP_ENOTFOUND)
        return rc;
    CLEANUP(key_free) EVP_PKEY *key = EVP_EC_gen("P-256");
    if (!key)
        return pki_ssl_failed("a key", e);
    rc = key_write(path, key, e);
    if (rc == 0)
        *ret = TAKE(key);
    return rc;
}

int pki_store_read(const char *path, X509_STORE *store, struct err *e)
{
    AUTOSTR struct str pem = STR_INIT;
    int rc = pki_pem_read(path, &pem, NULL, e);
    if (rc != 0)
        return rc;
    CLEANUP(bio_free) BIO *bio = pki_bio_of(str_get(&pem), pem.n);
    for (size_t n = 0;; n++) {
        CLEANUP(cert_free) X509 *cert = PEM_read_bio_X509(bio, NULL, pki_no_pass_phrase, NULL);
        ERR_clear_error();
        if (!cert)
            return n ? 0 : err_set(e, SKEP_ECONFIG, "%s holds no certificate in PEM form", path);
        ensure(X509_STORE_add_cert(store, cert) == 1, "no memory for a certificate");
    }
}
