/* Certificates and requests for them. The first byte chooses:
 *
 *   0  text: a request to sign, a certificate to keep
 *   1  the same from DER: whatever a sane encoder of PEM would let through
 *   2  a request whose own signature holds: subject n u8, subject, extensions, both DER
 *   3  the same from what may stand in it: hosts, one a line
 */
#include "fuzz.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/ensure.h"
#include "base/str.h"
#include "real/pki.h"

#define NOW INT64_C(1700000000000)

static const struct id node = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};
static char dir[] = "/dev/shm/fuzz-pki-XXXXXX", ca_crt[64], ca_key[64], kept[64], node_key[64];

static const char *const granted[] = {"*.example.org", "10.0.0.?"};

static int64_t fixed_ms(void *self UNUSED)
{
    return NOW;
}

static void tidy(void)
{
    unlink(ca_crt);
    unlink(ca_key);
    unlink(kept);
    unlink(node_key);
    rmdir(dir);
}

/* A CA and a key, made once. */
static struct pki_ca *ca_once(void)
{
    static const struct world_clock clock = {.real_ms = fixed_ms, .boot_ms = fixed_ms};
    static const struct pki_policy policy = {granted, COUNT(granted), 30};
    static struct pki_ca *ca;
    struct err e = {0};
    if (ca)
        return ca;
    ensure(mkdtemp(dir), "no folder");
    snprintf(ca_crt, sizeof ca_crt, "%s/ca.crt", dir);
    snprintf(ca_key, sizeof ca_key, "%s/ca.key", dir);
    snprintf(kept, sizeof kept, "%s/kept.crt", dir);
    snprintf(node_key, sizeof node_key, "%s/node.key", dir);
    atexit(tidy);
    ensure(pki_ca_new(dir, "c", NOW, &e) == 0, "%s", e.text);
    ensure(pki_ca_open(ca_crt, ca_key, &policy, &clock, &ca, &e) == 0, "%s", e.text);
    return ca;
}

static EVP_PKEY *key_once(void)
{
    static EVP_PKEY *key;
    if (!key)
        key = EVP_EC_gen("P-256");
    ensure(key, "no key");
    return key;
}

static void has_words(int rc, const struct err *e)
{
    ensure(rc == 0 || (*e->text && text_is_utf8(e->text, strlen(e->text))), "a refusal without a word");
}

/* What was signed says what it must, and nothing else. */
static void signed_well(const char *pem)
{
    struct id who = {0};
    struct err e = {0};
    BIO *b = BIO_new_mem_buf(pem, -1);
    X509 *x = PEM_read_bio_X509(b, NULL, NULL, NULL);
    ensure(x, "what was signed is no certificate");
    char cn[64] = "";
    X509_NAME_get_text_by_NID(X509_get_subject_name(x), NID_commonName, cn, sizeof cn);
    ensure(id_parse(cn, &who) && id_equal(&who, &node), "signed for somebody else: %s", cn);
    ensure(!X509_check_ca(x), "signed a CA");
    GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
    ensure(names && sk_GENERAL_NAME_num(names) <= PKI_HOSTS_MAX + 3, "hosts without a bound");
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, i);
        ensure(g->type == GEN_DNS || g->type == GEN_IPADD, "signed a name of kind %d", g->type);
        const unsigned char *p = ASN1_STRING_get0_data(g->d.ia5);
        int n = ASN1_STRING_length(g->d.ia5);
        ensure(g->type == GEN_IPADD || !memchr(p, 0, (size_t)n), "a 0 in a host");
        AUTOFREE char *host = mem_copy(p, (size_t)n);
        ensure(g->type == GEN_IPADD || strcmp(host, "localhost") == 0 || text_matches(granted[0], host) ||
                   text_matches(granted[1], host),
               "signed %s", host);
    }
    GENERAL_NAMES_free(names);
    X509_free(x);
    BIO_free(b);
    ensure(pki_install(kept, pem, &e) == 0, "%s", e.text);
}

static int sign(const char *csr)
{
    struct err e = {0};
    AUTOFREE char *pem = NULL;
    int rc = pki_sign(ca_once(), csr, &node, "name", &pem, &e);
    has_words(rc, &e);
    if (rc == 0)
        signed_well(pem);
    ERR_clear_error();
    return rc;
}

static void keep(const char *pem)
{
    struct err e = {0};
    char hex[PKI_FINGERPRINT];
    int64_t end_ms;
    struct id who;
    int rc = pki_fingerprint_pem(pem, hex, &e);
    has_words(rc, &e);
    rc = pki_install(kept, pem, &e);
    has_words(rc, &e);
    if (rc == 0) {
        has_words(pki_fingerprint(kept, hex, &e), &e);
        has_words(pki_expiry(kept, &end_ms, &e), &e);
        has_words(pki_check(ca_crt, kept, ca_key, NULL, NOW, &who, &e), &e);
        has_words(pki_check(kept, ca_crt, ca_key, &node, NOW, NULL, &e), &e);
    }
    ERR_clear_error();
}

static void from_text(const char *p, size_t n)
{
    AUTOFREE char *text = mem_copy(p, n);
    sign(text);
    keep(text);
}

static void from_der(const char *p, size_t n)
{
    static const char *const kinds[] = {PEM_STRING_X509_REQ, PEM_STRING_X509, PEM_STRING_X509_REQ_OLD,
                                        PEM_STRING_X509_TRUSTED};
    size_t kind = n ? (unsigned char)*p % COUNT(kinds) : 0;
    char *text;
    if (n == 0)
        return;
    BIO *b = BIO_new(BIO_s_mem());
    PEM_write_bio(b, kinds[kind], "", (const unsigned char *)p + 1, (long)n - 1);
    BIO_write(b, "", 1);
    BIO_get_mem_data(b, &text);
    if (kind % 2 == 0)
        sign(text);
    else
        keep(text);
    BIO_free(b);
}

static char *request_text(X509_REQ *req)
{
    char *text, *copy = NULL;
    BIO *b = BIO_new(BIO_s_mem());
    X509_REQ_set_version(req, 0);
    X509_REQ_set_pubkey(req, key_once());
    if (X509_REQ_sign(req, key_once(), EVP_sha256()) > 0 && PEM_write_bio_X509_REQ(b, req)) {
        BIO_write(b, "", 1);
        BIO_get_mem_data(b, &text);
        copy = mem_dup(text);
    }
    BIO_free(b);
    return copy;
}

static void cn_is_ours(X509_REQ *req)
{
    char cn[ID_TEXT];
    X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(req), "CN", MBSTRING_UTF8,
                               (const unsigned char *)id_text(&node, cn), -1, -1, 0);
}

static void from_parts(const char *p, size_t n)
{
    size_t subject_n = n ? (unsigned char)*p : 0;
    if (n < 1 + subject_n)
        return;
    X509_REQ *req = X509_REQ_new();
    const unsigned char *at = (const unsigned char *)p + 1;
    X509_NAME *name = subject_n ? d2i_X509_NAME(NULL, &at, (long)subject_n) : NULL;
    at = (const unsigned char *)p + 1 + subject_n;
    X509_EXTENSIONS *x = d2i_X509_EXTENSIONS(NULL, &at, (long)(n - 1 - subject_n));
    if (name)
        X509_REQ_set_subject_name(req, name);
    else
        cn_is_ours(req);
    if (x)
        X509_REQ_add_extensions(req, x);
    AUTOFREE char *text = request_text(req);
    if (text)
        sign(text);
    sk_X509_EXTENSION_pop_free(x, X509_EXTENSION_free);
    X509_NAME_free(name);
    X509_REQ_free(req);
    ERR_clear_error();
}

/* As `skep join` would ask; what it refuses to ask is asked all the same in the other forms. */
static void from_hosts(const char *p, size_t n)
{
    const char *list[PKI_HOSTS_MAX + 8];
    AUTOFREE char *text = mem_copy(p, n), *csr = NULL;
    char *rest = text;
    struct pki_subject who = {.node = node, .name = "n", .hosts = list};
    struct err e = {0};
    ca_once();
    if (!text_is_utf8(text, strlen(text)))
        return; /* words of the command line and of the configuration are text before they come here */
    while (who.hosts_n < COUNT(list) && rest)
        list[who.hosts_n++] = strsep(&rest, "\n");
    int rc = pki_csr_new(&who, node_key, &csr, &e);
    has_words(rc, &e);
    if (rc == 0)
        sign(csr);
    ERR_clear_error();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const char *p = (const char *)data + 1;
    if (n == 0)
        return 0;
    switch (data[0] % 4) {
    case 0:
        from_text(p, n - 1);
        break;
    case 1:
        from_der(p, n - 1);
        break;
    case 2:
        from_parts(p, n - 1);
        break;
    case 3:
        from_hosts(p, n - 1);
        break;
    }
    return 0;
}
