/* pki: decides what a certificate of this cluster says and which requests the CA signs. It never decides
 * who may ask: that is the token's or the peer's business, above.
 *
 * 1. A node's certificate: v3, 128 bit random serial, CN = node id, CA:FALSE, digitalSignature, server and
 *    client authentication, subject alternative names. It never outlives its CA. (RFC 5280.)
 * 2. Of a request only the public key, the CN (checked) and the names (checked) are used; no extension of a
 *    request is ever copied.
 * 3. No name goes through a text that OpenSSL parses: names are built one by one, so that a comma or a
 *    colon in a host name cannot smuggle in another.
 * 4. A private key is written 0600, used only if nobody but its owner and group can read it, and never
 *    asked for a pass phrase.
 */
#include "real/pki.h"

#include <arpa/inet.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "base/ensure.h"
#include "base/mem.h"
#include "base/when.h"
#include "real/file.h"
#include "wire/digest.h"

#define DAY_MS 86400000LL

/* Cleanup attributes for what OpenSSL gives. */
#define AUTOSSL(type, name, free_fn)                                                                         \
    static void name(type **p)                                                                               \
    {                                                                                                        \
        free_fn(*p);                                                                                         \
    }
AUTOSSL(X509, cert_free, X509_free)
AUTOSSL(X509_REQ, req_free, X509_REQ_free)
AUTOSSL(EVP_PKEY, key_free, EVP_PKEY_free)
AUTOSSL(BIO, bio_free, BIO_free_all)
AUTOSSL(X509_NAME, subject_free, X509_NAME_free)
AUTOSSL(BIGNUM, number_free, BN_free)
AUTOSSL(X509_EXTENSION, extension_free, X509_EXTENSION_free)
AUTOSSL(X509_STORE, store_free, X509_STORE_free)
AUTOSSL(X509_STORE_CTX, store_ctx_free, X509_STORE_CTX_free)
AUTOSSL(GENERAL_NAMES, names_free, GENERAL_NAMES_free)

static void extensions_free(STACK_OF(X509_EXTENSION) * *p)
{
    sk_X509_EXTENSION_pop_free(*p, X509_EXTENSION_free);
}

struct pki_ca {
    X509 *cert;
    EVP_PKEY *key;
    struct pki_policy policy;
    const struct world_clock *clock;
};

/* OpenSSL failed where only memory or entropy can be the reason, or a value of ours was wrong. */
static int ssl_failed(const char *what, struct err *e)
{
    char why[160];
    ERR_error_string_n(ERR_get_error(), why, sizeof why);
    ERR_clear_error();
    return err_set(e, SKEP_EINTERNAL, "cannot make %s: %s", what, why);
}

/* --- PEM and files ----------------------------------------------------------------------------------- */

/* An encrypted key would make OpenSSL ask on the terminal; a daemon must not. */
static int no_pass_phrase(char *buf, int size, int writing, void *arg)
{
    (void)buf, (void)size, (void)writing, (void)arg;
    return -1;
}

static BIO *bio_of(const char *text, size_t n)
{
    BIO *bio = BIO_new_mem_buf(text, (int)n);
    ensure(bio, "no memory for a BIO");
    return bio;
}

static X509 *cert_parse(const char *pem, size_t n)
{
    CLEANUP(bio_free) BIO *bio = bio_of(pem, n);
    X509 *cert = PEM_read_bio_X509(bio, NULL, no_pass_phrase, NULL);
    ERR_clear_error();
    return cert;
}

/* Reads a PEM file; every failure is one of configuration. */
static int pem_read(const char *path, struct str *ret, mode_t *ret_mode, struct err *e)
{
    int rc = file_read(path, PKI_PEM_BYTES_MAX, ret, ret_mode, e);
    return rc == SKEP_ENOTFOUND || rc == SKEP_EFORBIDDEN || rc == SKEP_EIO || rc == 0
               ? rc
               : err_set(e, SKEP_ECONFIG, "%s is not a PEM file", path);
}

static int cert_read(const char *path, X509 **ret, struct err *e)
{
    AUTOSTR struct str pem = STR_INIT;
    int rc = pem_read(path, &pem, NULL, e);
    if (rc != 0)
        return rc;
    X509 *cert = cert_parse(str_get(&pem), pem.n);
    if (!cert)
        return err_set(e, SKEP_ECONFIG, "%s holds no certificate in PEM form", path);
    *ret = cert;
    return 0;
}

static int key_read(const char *path, EVP_PKEY **ret, struct err *e)
{
    AUTOSTR struct str pem = STR_INIT;
    mode_t mode = 0;
    int rc = pem_read(path, &pem, &mode, e);
    if (rc != 0)
        return rc;
    if (mode & 0037)
        rc = err_set(e, SKEP_ECONFIG, "%s can be read or changed by others (mode %04o); chmod 600 %s", path,
                     (unsigned)mode, path);
    EVP_PKEY *key = NULL;
    if (rc == 0) {
        CLEANUP(bio_free) BIO *bio = bio_of(str_get(&pem), pem.n);
        key = PEM_read_bio_PrivateKey(bio, NULL, no_pass_phrase, NULL);
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

/* What a PEM_write_bio_… left in a memory BIO, as text of ours. */
static char *bio_text(BIO *bio, size_t *ret_n)
{
    char *p;
    long n = BIO_get_mem_data(bio, &p);
    *ret_n = (size_t)n;
    return mem_copy(p, (size_t)n);
}

static char *cert_pem(X509 *cert)
{
    CLEANUP(bio_free) BIO *bio = BIO_new(BIO_s_mem());
    ensure(bio && PEM_write_bio_X509(bio, cert) == 1, "a certificate of ours has no PEM form");
    size_t n;
    return bio_text(bio, &n);
}

static int key_write(const char *path, EVP_PKEY *key, struct err *e)
{
    CLEANUP(bio_free) BIO *bio = BIO_new(BIO_s_secmem());
    ensure(bio && PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1,
           "a key of ours has no PEM form");
    size_t n;
    AUTOFREE char *pem = bio_text(bio, &n);
    int rc = file_create(path, 0600, pem, n, e);
    OPENSSL_cleanse(pem, n);
    return rc;
}

static int key_read_or_make(const char *path, EVP_PKEY **ret, struct err *e)
{
    int rc = key_read(path, ret, e);
    if (rc != SKEP_ENOTFOUND)
        return rc;
    CLEANUP(key_free) EVP_PKEY *key = EVP_EC_gen("P-256");
    if (!key)
        return ssl_failed("a key", e);
    rc = key_write(path, key, e);
    if (rc == 0)
        *ret = TAKE(key);
    return rc;
}

/* --- names ------------------------------------------------------------------------------------------- */

static bool label_is_good(const char *p, size_t n)
{
    if (n == 0 || n > 63 || p[0] == '-' || p[n - 1] == '-')
        return false;
    for (size_t i = 0; i < n; i++)
        if (!((p[i] >= 'a' && p[i] <= 'z') || (p[i] >= 'A' && p[i] <= 'Z') || (p[i] >= '0' && p[i] <= '9') ||
              p[i] == '-' || p[i] == '_'))
            return false;
    return true;
}

/* A host name of letters, digits, - and _ in labels; no wildcard, no address, no final dot. */
static bool host_is_name(const char *host)
{
    if (strlen(host) > 253)
        return false;
    for (const char *p = host;;) {
        size_t n = strcspn(p, ".");
        if (!label_is_good(p, n))
            return false;
        if (!p[n])
            return true;
        p += n + 1;
    }
}

/* Bytes of an address, 0 if the text is none. */
static int host_address(const char *host, unsigned char ret[16])
{
    return inet_pton(AF_INET, host, ret) == 1 ? 4 : inet_pton(AF_INET6, host, ret) == 1 ? 16 : 0;
}

static GENERAL_NAME *name_of(const char *host)
{
    unsigned char ip[16];
    int ip_n = host_address(host, ip);
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_STRING *text = ip_n ? ASN1_OCTET_STRING_new() : ASN1_IA5STRING_new();
    ensure(name && text && ASN1_STRING_set(text, ip_n ? (const char *)ip : host, ip_n ? ip_n : -1) == 1,
           "no memory for a name");
    GENERAL_NAME_set0_value(name, ip_n ? GEN_IPADD : GEN_DNS, text);
    return name;
}

static void names_add(GENERAL_NAMES *names, GENERAL_NAME *name TAKES)
{
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++)
        if (GENERAL_NAME_cmp(sk_GENERAL_NAME_value(names, i), name) == 0) {
            GENERAL_NAME_free(name);
            return;
        }
    ensure(sk_GENERAL_NAME_push(names, name) > 0, "no memory for a name");
}

static const char *const loopback[] = {"localhost", "127.0.0.1", "::1"};

static GENERAL_NAMES *names_loopback(void)
{
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    ensure(names, "no memory for names");
    for (size_t i = 0; i < COUNT(loopback); i++)
        names_add(names, name_of(loopback[i]));
    return names;
}

static int names_of(const struct pki_subject *subject, GENERAL_NAMES **ret, struct err *e)
{
    CLEANUP(names_free) GENERAL_NAMES *names = names_loopback();
    unsigned char ip[16];
    if (subject->hosts_n > PKI_HOSTS_MAX)
        return err_field(e, SKEP_EARG, "host", "a certificate holds at most %d host names", PKI_HOSTS_MAX);
    for (size_t i = 0; i < subject->hosts_n; i++) {
        const char *host = subject->hosts[i];
        if (!host_address(host, ip) && !host_is_name(host))
            return err_field(e, SKEP_EARG, "host",
                             "\"%s\" is neither a host name nor an address; give it without scheme and port",
                             host);
        names_add(names, name_of(host));
    }
    *ret = TAKE(names);
    return 0;
}

/* CN and, when there is one, OU. UTF-8 in both. */
static int subject_of(const char *cn, const char *ou, X509_NAME **ret, struct err *e)
{
    CLEANUP(subject_free) X509_NAME *name = X509_NAME_new();
    ensure(name, "no memory for a subject");
    if (ou && ou[0] &&
        X509_NAME_add_entry_by_NID(name, NID_organizationalUnitName, MBSTRING_UTF8, (const unsigned char *)ou,
                                   -1, -1, 0) != 1) {
        ERR_clear_error();
        return err_field(e, SKEP_EARG, "name", "a node's name in a certificate has at most 64 characters");
    }
    if (X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8, (const unsigned char *)cn, -1, -1,
                                   0) != 1) {
        ERR_clear_error();
        return err_field(e, SKEP_EARG, "name", "a common name has at most 64 characters");
    }
    *ret = TAKE(name);
    return 0;
}

/* The id in the only CN of a subject. */
static bool subject_node(const X509_NAME *name, struct id *ret)
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

/* --- making certificates ----------------------------------------------------------------------------- */

static int64_t time_ms(const ASN1_TIME *t)
{
    struct tm tm;
    if (ASN1_TIME_to_tm(t, &tm) != 1)
        return 0;
    return (int64_t)timegm(&tm) * 1000;
}

static bool serial_set(X509 *cert)
{
    CLEANUP(number_free) BIGNUM *n = BN_new();
    return n && BN_rand(n, 128, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1 && !BN_is_zero(n) &&
           BN_to_ASN1_INTEGER(n, X509_get_serialNumber(cert)) != NULL;
}

static bool extension_add(X509 *cert, int nid, const char *value, X509 *issuer)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    CLEANUP(extension_free) X509_EXTENSION *x = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    return x && X509_add_ext(cert, x, -1) == 1;
}

struct extension {
    int nid;
    const char *value; /* constants only: rule 3 */
};

static const struct extension ca_extensions[] = {
    {NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
    {NID_key_usage, "critical,keyCertSign,cRLSign"},
    {NID_subject_key_identifier, "hash"},
};

static const struct extension node_extensions[] = {
    {NID_basic_constraints, "critical,CA:FALSE"},   {NID_key_usage, "critical,digitalSignature"},
    {NID_ext_key_usage, "serverAuth,clientAuth"},   {NID_subject_key_identifier, "hash"},
    {NID_authority_key_identifier, "keyid:always"},
};

/* Everything but names and extensions. from and until in milliseconds. */
static bool cert_fill(X509 *cert, const X509_NAME *subject, const X509_NAME *issuer, EVP_PKEY *key,
                      int64_t from_ms, int64_t until_ms)
{
    return X509_set_version(cert, X509_VERSION_3) == 1 && serial_set(cert) &&
           X509_set_subject_name(cert, subject) == 1 && X509_set_issuer_name(cert, issuer) == 1 &&
           X509_set_pubkey(cert, key) == 1 && ASN1_TIME_set(X509_getm_notBefore(cert), from_ms / 1000) &&
           ASN1_TIME_set(X509_getm_notAfter(cert), until_ms / 1000);
}

static bool extensions_add(X509 *cert, X509 *issuer, const struct extension *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!extension_add(cert, x[i].nid, x[i].value, issuer))
            return false;
    return true;
}

static int ca_cert_make(EVP_PKEY *key, const char *cluster, int64_t now_real_ms, X509 **ret, struct err *e)
{
    CLEANUP(subject_free) X509_NAME *subject = NULL;
    int rc = subject_of(cluster, "skep CA", &subject, e);
    if (rc != 0)
        return rc;
    CLEANUP(cert_free) X509 *cert = X509_new();
    if (!cert ||
        !cert_fill(cert, subject, subject, key, now_real_ms - PKI_BACKDATE_MS,
                   now_real_ms + PKI_CA_DAYS * DAY_MS) ||
        !extensions_add(cert, cert, ca_extensions, COUNT(ca_extensions)) ||
        !X509_sign(cert, key, EVP_sha256()))
        return ssl_failed("the CA's certificate", e);
    *ret = TAKE(cert);
    return 0;
}

int pki_ca_new(const char *dir, const char *cluster, int64_t now_real_ms, struct err *e)
{
    AUTOFREE char *crt_path = mem_printf("%s/ca.crt", dir);
    AUTOFREE char *key_path = mem_printf("%s/ca.key", dir);
    AUTOSTR struct str old = STR_INIT;
    int rc = file_read(crt_path, PKI_PEM_BYTES_MAX, &old, NULL, NULL);
    if (rc != SKEP_ENOTFOUND)
        return err_set(e, SKEP_ETAKEN,
                       "%s exists already: this folder belongs to a cluster; choose another folder",
                       crt_path);
    if (!cluster[0] || !text_is_clean(cluster, strlen(cluster)))
        return err_field(e, SKEP_EARG, "cluster",
                         "a cluster's name is text of at most 64 characters, without control characters");
    CLEANUP(key_free) EVP_PKEY *key = NULL;
    CLEANUP(cert_free) X509 *cert = NULL;
    rc = key_read_or_make(key_path, &key, e);
    if (rc == 0)
        rc = ca_cert_make(key, cluster, now_real_ms, &cert, e);
    if (rc != 0)
        return rc;
    AUTOFREE char *pem = cert_pem(cert);
    return file_create(crt_path, 0644, pem, strlen(pem), e);
}

/* The key is one on P-256 by name: explicit curve parameters are a way to forge. */
static bool key_is_p256(EVP_PKEY *key)
{
    char group[64] = "";
    int is_explicit = 0;
    size_t n;
    if (EVP_PKEY_get_base_id(key) != EVP_PKEY_EC ||
        EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof group, &n) != 1)
        return false;
    EVP_PKEY_get_int_param(key, OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS, &is_explicit);
    return !is_explicit && (strcmp(group, "prime256v1") == 0 || strcmp(group, "P-256") == 0);
}

/* A node's certificate over a public key: the one place that signs. */
static int node_cert_make(struct pki_ca *ca, const struct pki_subject *who, EVP_PKEY *key,
                          GENERAL_NAMES *names, X509 **ret, struct err *e)
{
    int64_t now_ms = ca->clock->real_ms(ca->clock->self);
    int64_t ca_until_ms = time_ms(X509_get0_notAfter(ca->cert));
    int64_t until_ms = now_ms + ca->policy.days * DAY_MS;
    char id[ID_TEXT], when[WHEN_TEXT];
    if (now_ms >= ca_until_ms)
        return err_set(e, SKEP_ECONFIG, "the CA's certificate expired at %s; the cluster needs a new CA",
                       when_text(ca_until_ms, when));
    CLEANUP(subject_free) X509_NAME *subject = NULL;
    int rc = subject_of(id_text(&who->node, id), who->name, &subject, e);
    if (rc != 0)
        return rc;
    CLEANUP(cert_free) X509 *cert = X509_new();
    if (!cert ||
        !cert_fill(cert, subject, X509_get_subject_name(ca->cert), key, now_ms - PKI_BACKDATE_MS,
                   until_ms < ca_until_ms ? until_ms : ca_until_ms) ||
        !extensions_add(cert, ca->cert, node_extensions, COUNT(node_extensions)) ||
        X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) != 1 ||
        !X509_sign(cert, ca->key, EVP_sha256()))
        return ssl_failed("a certificate", e);
    *ret = TAKE(cert);
    return 0;
}

int pki_issue(struct pki_ca *ca, const struct pki_subject *subject, const char *crt_path,
              const char *key_path, struct err *e)
{
    CLEANUP(names_free) GENERAL_NAMES *names = NULL;
    CLEANUP(key_free) EVP_PKEY *key = NULL;
    CLEANUP(cert_free) X509 *cert = NULL;
    int rc = names_of(subject, &names, e);
    if (rc == 0)
        rc = key_read_or_make(key_path, &key, e);
    if (rc == 0)
        rc = node_cert_make(ca, subject, key, names, &cert, e);
    if (rc != 0)
        return rc;
    AUTOFREE char *pem = cert_pem(cert);
    return file_replace(crt_path, 0644, pem, strlen(pem), e);
}

int pki_install(const char *crt_path, const char *pem, struct err *e)
{
    CLEANUP(cert_free) X509 *cert = cert_parse(pem, strlen(pem));
    if (!cert)
        return err_set(e, SKEP_EARG, "what came for %s is no certificate in PEM form", crt_path);
    return file_replace(crt_path, 0644, pem, strlen(pem), e);
}

/* --- requests ---------------------------------------------------------------------------------------- */

static bool req_fill(X509_REQ *req, const X509_NAME *subject, GENERAL_NAMES *names, EVP_PKEY *key)
{
    CLEANUP(extensions_free) STACK_OF(X509_EXTENSION) *list = NULL;
    return X509V3_add1_i2d(&list, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) == 1 &&
           X509_REQ_set_version(req, X509_REQ_VERSION_1) == 1 &&
           X509_REQ_set_subject_name(req, subject) == 1 && X509_REQ_set_pubkey(req, key) == 1 &&
           X509_REQ_add_extensions(req, list) == 1 && X509_REQ_sign(req, key, EVP_sha256()) > 0;
}

int pki_csr_new(const struct pki_subject *subject, const char *key_path, char **ret_csr_pem, struct err *e)
{
    CLEANUP(names_free) GENERAL_NAMES *names = NULL;
    CLEANUP(key_free) EVP_PKEY *key = NULL;
    CLEANUP(subject_free) X509_NAME *name = NULL;
    char id[ID_TEXT];
    int rc = names_of(subject, &names, e);
    if (rc == 0)
        rc = subject_of(id_text(&subject->node, id), subject->name, &name, e);
    if (rc == 0)
        rc = key_read_or_make(key_path, &key, e);
    if (rc != 0)
        return rc;
    CLEANUP(req_free) X509_REQ *req = X509_REQ_new();
    CLEANUP(bio_free) BIO *bio = BIO_new(BIO_s_mem());
    if (!req || !bio || !req_fill(req, name, names, key) || PEM_write_bio_X509_REQ(bio, req) != 1)
        return ssl_failed("a certificate request", e);
    size_t n;
    *ret_csr_pem = bio_text(bio, &n);
    return 0;
}

static int req_parse(const char *pem, X509_REQ **ret, struct err *e)
{
    size_t n = strnlen(pem, PKI_CSR_BYTES_MAX + 1);
    if (n > PKI_CSR_BYTES_MAX)
        return err_field(e, SKEP_EARG, "csr", "a certificate request has at most %d bytes",
                         PKI_CSR_BYTES_MAX);
    CLEANUP(bio_free) BIO *bio = bio_of(pem, n);
    X509_REQ *req = PEM_read_bio_X509_REQ(bio, NULL, no_pass_phrase, NULL);
    ERR_clear_error();
    if (!req)
        return err_field(e, SKEP_EARG, "csr", "not a certificate request in PEM form");
    *ret = req;
    return 0;
}

/* Proof that who asks holds the key, that the key is one we take, and that it asks for itself. */
static int req_check(X509_REQ *req, const struct id *node, struct err *e)
{
    EVP_PKEY *key = X509_REQ_get0_pubkey(req);
    struct id asked;
    int valid = key ? X509_REQ_verify(req, key) : 0;
    ERR_clear_error();
    if (valid != 1)
        return err_field(e, SKEP_EARG, "csr", "the request's own signature does not hold");
    if (!key_is_p256(key))
        return err_field(e, SKEP_EARG, "csr", "the key must be an EC key on P-256");
    if (!subject_node(X509_REQ_get_subject_name(req), &asked))
        return err_field(e, SKEP_EARG, "csr", "the request's common name must be a node id: 32 hex digits");
    if (!id_equal(&asked, node))
        return err_field(e, SKEP_EFORBIDDEN, "csr", "the request is for another node than the one that asks");
    return 0;
}

static bool policy_grants(const struct pki_policy *policy, const char *host)
{
    for (size_t i = 0; i < COUNT(loopback); i++)
        if (strcmp(loopback[i], host) == 0)
            return true;
    for (size_t i = 0; i < policy->hosts_n; i++)
        if (text_matches(policy->hosts[i], host))
            return true;
    return false;
}

/* The text of a name that may stand in a certificate of ours; false for any other kind. */
static bool name_text(const GENERAL_NAME *name, char text[256])
{
    int type;
    const ASN1_STRING *value = GENERAL_NAME_get0_value(name, &type);
    if (type != GEN_DNS && type != GEN_IPADD)
        return false;
    int n = ASN1_STRING_length(value);
    const unsigned char *p = ASN1_STRING_get0_data(value);
    if (type == GEN_IPADD)
        return (n == 4 || n == 16) && inet_ntop(n == 4 ? AF_INET : AF_INET6, p, text, 256) != NULL;
    if (n < 1 || n > 253 || memchr(p, 0, (size_t)n))
        return false;
    memcpy(text, p, (size_t)n);
    text[n] = 0;
    return host_is_name(text);
}

static int req_names(X509_REQ *req, const struct pki_policy *policy, GENERAL_NAMES **ret, struct err *e)
{
    CLEANUP(names_free) GENERAL_NAMES *names = names_loopback();
    CLEANUP(extensions_free) STACK_OF(X509_EXTENSION) *list = X509_REQ_get_extensions(req);
    CLEANUP(names_free) GENERAL_NAMES *asked = X509V3_get_d2i(list, NID_subject_alt_name, NULL, NULL);
    ERR_clear_error();
    int n = asked ? sk_GENERAL_NAME_num(asked) : 0;
    if (n > PKI_HOSTS_MAX + (int)COUNT(loopback))
        return err_field(e, SKEP_EARG, "csr", "a certificate holds at most %d host names", PKI_HOSTS_MAX);
    for (int i = 0; i < n; i++) {
        char host[256];
        if (!name_text(sk_GENERAL_NAME_value(asked, i), host))
            return err_field(e, SKEP_EFORBIDDEN, "csr",
                             "the request names what is neither a plain host name nor an address");
        if (!policy_grants(policy, host))
            return err_field(
                e, SKEP_EFORBIDDEN, "csr",
                "this CA does not sign for \"%s\"; its node's setting ca_hosts would have to allow it", host);
        names_add(names, name_of(host));
    }
    *ret = TAKE(names);
    return 0;
}

int pki_sign(struct pki_ca *ca, const char *csr_pem, const struct id *node, const char *name, char **ret_pem,
             struct err *e)
{
    CLEANUP(req_free) X509_REQ *req = NULL;
    CLEANUP(names_free) GENERAL_NAMES *names = NULL;
    CLEANUP(cert_free) X509 *cert = NULL;
    struct pki_subject subject = {.node = *node, .name = name};
    int rc = req_parse(csr_pem, &req, e);
    if (rc == 0)
        rc = req_check(req, node, e);
    if (rc == 0)
        rc = req_names(req, &ca->policy, &names, e);
    if (rc == 0)
        rc = node_cert_make(ca, &subject, X509_REQ_get0_pubkey(req), names, &cert, e);
    if (rc == 0)
        *ret_pem = cert_pem(cert);
    return rc;
}

/* --- the CA, opened ---------------------------------------------------------------------------------- */

static int pair_check(X509 *cert, EVP_PKEY *key, const char *crt_path, const char *key_path, struct err *e)
{
    int match = X509_check_private_key(cert, key);
    ERR_clear_error();
    if (match != 1)
        return err_set(e, SKEP_ECONFIG, "%s is not the key of %s; put back the pair that belongs together",
                       key_path, crt_path);
    return 0;
}

/* Within its time at now; what names it in the message. */
static int time_check(X509 *cert, const char *path, int64_t now_real_ms, const char *remedy, struct err *e)
{
    char when[WHEN_TEXT], now[WHEN_TEXT];
    int64_t from_ms = time_ms(X509_get0_notBefore(cert)), until_ms = time_ms(X509_get0_notAfter(cert));
    if (now_real_ms < from_ms)
        return err_set(e, SKEP_ECONFIG, "%s is not valid before %s and the clock says %s; set the clock",
                       path, when_text(from_ms, when), when_text(now_real_ms, now));
    if (now_real_ms >= until_ms)
        return err_set(e, SKEP_ECONFIG, "%s expired at %s; %s", path, when_text(until_ms, when), remedy);
    return 0;
}

int pki_ca_open(const char *crt_path, const char *key_path, const struct pki_policy *policy,
                const struct world_clock *clock, struct pki_ca **ret, struct err *e)
{
    CLEANUP(cert_free) X509 *cert = NULL;
    CLEANUP(key_free) EVP_PKEY *key = NULL;
    int rc = cert_read(crt_path, &cert, e);
    if (rc == 0)
        rc = key_read(key_path, &key, e);
    if (rc == 0)
        rc = pair_check(cert, key, crt_path, key_path, e);
    if (rc == 0 && X509_check_ca(cert) != 1)
        rc = err_set(e, SKEP_ECONFIG, "%s is a certificate, but not one of a CA", crt_path);
    if (rc == 0)
        rc = time_check(cert, crt_path, clock->real_ms(clock->self), "the cluster needs a new CA", e);
    if (rc != 0)
        return rc;
    struct pki_ca *ca = mem_alloc(sizeof *ca);
    ca->cert = TAKE(cert);
    ca->key = TAKE(key);
    ca->policy = *policy;
    ca->clock = clock;
    *ret = ca;
    return 0;
}

void pki_ca_free(struct pki_ca *ca)
{
    if (!ca)
        return;
    X509_free(ca->cert);
    EVP_PKEY_free(ca->key);
    free(ca);
}

static int world_sign(void *self, const char *csr_pem, const struct id *node, const char *name,
                      char **ret_pem, struct err *e)
{
    return pki_sign(self, csr_pem, node, name, ret_pem, e);
}

void pki_ca_world(struct pki_ca *ca, struct world_ca *ret)
{
    *ret = (struct world_ca){.self = ca, .sign = world_sign};
}

/* --- reading ----------------------------------------------------------------------------------------- */

/* Every certificate of a bundle is trusted: so a cluster changes its CA. */
static int store_read(const char *path, X509_STORE *store, struct err *e)
{
    AUTOSTR struct str pem = STR_INIT;
    int rc = pem_read(path, &pem, NULL, e);
    if (rc != 0)
        return rc;
    CLEANUP(bio_free) BIO *bio = bio_of(str_get(&pem), pem.n);
    for (size_t n = 0;; n++) {
        CLEANUP(cert_free) X509 *cert = PEM_read_bio_X509(bio, NULL, no_pass_phrase, NULL);
        ERR_clear_error();
        if (!cert)
            return n ? 0 : err_set(e, SKEP_ECONFIG, "%s holds no certificate in PEM form", path);
        ensure(X509_STORE_add_cert(store, cert) == 1, "no memory for a certificate");
    }
}

static int chain_check(const char *ca_path, X509 *cert, const char *crt_path, int64_t now_real_ms,
                       struct err *e)
{
    CLEANUP(store_free) X509_STORE *store = X509_STORE_new();
    CLEANUP(store_ctx_free) X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    ensure(store && ctx, "no memory for a certificate store");
    int rc = store_read(ca_path, store, e);
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
    if (!subject_node(X509_get_subject_name(cert), &found))
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
    int rc = cert_read(crt_path, &cert, e);
    if (rc == 0)
        rc = key_read(key_path, &key, e);
    if (rc == SKEP_ENOTFOUND)
        return err_wrap(e, "no certificate yet: make one with skep init or skep join");
    if (rc == 0)
        rc = pair_check(cert, key, crt_path, key_path, e);
    if (rc == 0)
        rc = time_check(cert, crt_path, now_real_ms, "enrol the node again with skep join", e);
    if (rc == 0)
        rc = chain_check(ca_path, cert, crt_path, now_real_ms, e);
    return rc == 0 ? owner_check(cert, crt_path, node, ret_node, e) : rc;
}

int pki_cluster(const char *ca_path, struct id *ret_cluster, struct err *e)
{
    CLEANUP(cert_free) X509 *cert = NULL;
    int rc = cert_read(ca_path, &cert, e);
    if (rc == 0 && !subject_node(X509_get_subject_name(cert), ret_cluster))
        rc = err_set(e, SKEP_ECONFIG, "%s names no cluster: its common name must be a cluster's id", ca_path);
    return rc;
}

int pki_expiry(const char *crt_path, int64_t *ret_real_ms, struct err *e)
{
    CLEANUP(cert_free) X509 *cert = NULL;
    int rc = cert_read(crt_path, &cert, e);
    if (rc == 0)
        *ret_real_ms = time_ms(X509_get0_notAfter(cert));
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
    int rc = cert_read(crt_path, &cert, e);
    if (rc == 0)
        fingerprint(cert, ret_hex);
    return rc;
}

int pki_fingerprint_pem(const char *pem, char ret_hex[PKI_FINGERPRINT], struct err *e)
{
    CLEANUP(cert_free) X509 *cert = cert_parse(pem, strlen(pem));
    if (!cert)
        return err_set(e, SKEP_EARG, "not a certificate in PEM form");
    fingerprint(cert, ret_hex);
    return 0;
}
