/* pki: decides what a certificate of this cluster says and which requests the CA signs. It never decides
 * who may ask: that is the token's or the peer's business, above. Files are pki_file.c's, what is looked at
 * in a certificate that was read pki_check.c's.
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
#include "real/pki_inside.h"

#include <arpa/inet.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/rand.h>

#include "base/when.h"

#define DAY_MS 86400000LL

PKI_AUTO(X509_REQ, req_free, X509_REQ_free)
PKI_AUTO(X509_NAME, subject_free, X509_NAME_free)
PKI_AUTO(BIGNUM, number_free, BN_free)
PKI_AUTO(X509_EXTENSION, extension_free, X509_EXTENSION_free)
PKI_AUTO(GENERAL_NAMES, names_free, GENERAL_NAMES_free)

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

/* --- making certificates ----------------------------------------------------------------------------- */

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
        return pki_ssl_failed("the CA's certificate", e);
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
    rc = pki_key_read_or_make(key_path, &key, e);
    if (rc == 0)
        rc = ca_cert_make(key, cluster, now_real_ms, &cert, e);
    if (rc != 0)
        return rc;
    AUTOFREE char *pem = pki_cert_pem(cert);
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
    int64_t ca_until_ms = pki_time_ms(X509_get0_notAfter(ca->cert));
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
        return pki_ssl_failed("a certificate", e);
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
        rc = pki_key_read_or_make(key_path, &key, e);
    if (rc == 0)
        rc = node_cert_make(ca, subject, key, names, &cert, e);
    if (rc != 0)
        return rc;
    AUTOFREE char *pem = pki_cert_pem(cert);
    return file_replace(crt_path, 0644, pem, strlen(pem), e);
}

int pki_install(const char *crt_path, const char *pem, struct err *e)
{
    CLEANUP(cert_free) X509 *cert = pki_cert_parse(pem, strlen(pem));
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
        rc = pki_key_read_or_make(key_path, &key, e);
    if (rc != 0)
        return rc;
    CLEANUP(req_free) X509_REQ *req = X509_REQ_new();
    CLEANUP(bio_free) BIO *bio = BIO_new(BIO_s_mem());
    if (!req || !bio || !req_fill(req, name, names, key) || PEM_write_bio_X509_REQ(bio, req) != 1)
        return pki_ssl_failed("a certificate request", e);
    size_t n;
    *ret_csr_pem = pki_bio_text(bio, &n);
    return 0;
}

static int req_parse(const char *pem, X509_REQ **ret, struct err *e)
{
    size_t n = strnlen(pem, PKI_CSR_BYTES_MAX + 1);
    if (n > PKI_CSR_BYTES_MAX)
        return err_field(e, SKEP_EARG, "csr", "a certificate request has at most %d bytes",
                         PKI_CSR_BYTES_MAX);
    CLEANUP(bio_free) BIO *bio = pki_bio_of(pem, n);
    X509_REQ *req = PEM_read_bio_X509_REQ(bio, NULL, pki_no_pass_phrase, NULL);
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
    if (!pki_subject_node(X509_REQ_get_subject_name(req), &asked))
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
        *ret_pem = pki_cert_pem(cert);
    return rc;
}

/* --- the CA, opened ---------------------------------------------------------------------------------- */

int pki_ca_open(const char *crt_path, const char *key_path, const struct pki_policy *policy,
                const struct world_clock *clock, struct pki_ca **ret, struct err *e)
{
    CLEANUP(cert_free) X509 *cert = NULL;
    CLEANUP(key_free) EVP_PKEY *key = NULL;
    int rc = pki_cert_read(crt_path, &cert, e);
    if (rc == 0)
        rc = pki_key_read(key_path, &key, e);
    if (rc == 0)
        rc = pki_pair_check(cert, key, crt_path, key_path, e);
    if (rc == 0 && X509_check_ca(cert) != 1)
        rc = err_set(e, SKEP_ECONFIG, "%s is a certificate, but not one of a CA", crt_path);
    if (rc == 0)
        rc = pki_time_check(cert, crt_path, clock->real_ms(clock->self), "the cluster needs a new CA", e);
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
