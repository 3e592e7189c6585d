/* pki_inside: what the files about certificates share: cleanup attributes, PEM in files, checks of what was
 * read. */
#ifndef SKEP_REAL_PKI_INSIDE_H
#define SKEP_REAL_PKI_INSIDE_H

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "base/ensure.h"
#include "base/mem.h"
#include "real/file.h"
#include "real/pki.h"

/* Cleanup attributes for what OpenSSL gives. */
#define PKI_AUTO(type, name, free_fn)                                                                        \
    static inline void name(type **p)                                                                        \
    {                                                                                                        \
        free_fn(*p);                                                                                         \
    }
PKI_AUTO(X509, cert_free, X509_free)
PKI_AUTO(EVP_PKEY, key_free, EVP_PKEY_free)
PKI_AUTO(BIO, bio_free, BIO_free_all)
PKI_AUTO(X509_STORE, store_free, X509_STORE_free)

/* OpenSSL failed where only memory or entropy can be the reason, or a value of ours was wrong. */
int pki_ssl_failed(const char *what, struct err *e);

/* pki_file.c. What is returned through ret is the caller's; every failure is one of configuration. */
/* An encrypted key would make OpenSSL ask on the terminal; a daemon must not. */
int pki_no_pass_phrase(char *buf, int size, int writing, void *arg);
BIO *pki_bio_of(const char *text, size_t n);
/* What a PEM_write_bio_… left in a memory BIO, as text of ours. */
char *pki_bio_text(BIO *bio, size_t *ret_n);
X509 *pki_cert_parse(const char *pem, size_t n); /* NULL: it is none */
int pki_cert_read(const char *path, X509 **ret, struct err *e);
char *pki_cert_pem(X509 *cert);
int pki_key_read(const char *path, EVP_PKEY **ret, struct err *e);
int pki_key_read_or_make(const char *path, EVP_PKEY **ret, struct err *e);
/* Every certificate of a bundle is trusted: so a cluster changes its CA. */
int pki_store_read(const char *path, X509_STORE *store, struct err *e);

/* pki_check.c. */
/* The id in the only CN of a subject. */
bool pki_subject_node(const X509_NAME *name, struct id *ret);
int64_t pki_time_ms(const ASN1_TIME *t);
int pki_pair_check(X509 *cert, EVP_PKEY *key, const char *crt_path, const char *key_path, struct err *e);
/* Within its time at now; remedy: what to do about it if that is over. */
int pki_time_check(X509 *cert, const char *path, int64_t now_real_ms, const char *remedy, struct err *e);

#endif
