/* The CA, certificates and requests: what they say and what they refuse. */
#include "folder.h"

#include <sys/stat.h>

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/mem.h"
#include "base/str.h"
#include "real/file.h"
#include "real/pki.h"

#define NOW    1700000000000LL
#define DAY_MS 86400000LL

static int64_t clock_ms = NOW;

static int64_t fixed_ms(void *self)
{
    return *(int64_t *)self;
}

static const struct world_clock fixed = {.self = &clock_ms, .real_ms = fixed_ms, .boot_ms = fixed_ms};

static int setup(void **state)
{
    (void)state;
    folder_empty(state);
    clock_ms = NOW;
    return 0;
}

static struct id node_id(unsigned char seed)
{
    struct id id;
    memset(id.b, seed, sizeof id.b);
    return id;
}

static struct pki_ca *ca_made(const struct pki_policy *policy)
{
    static const char *const all = "*";
    static const struct pki_policy any = {.hosts = &all, .hosts_n = 1, .days = PKI_NODE_DAYS};
    struct pki_ca *ca = NULL;
    struct err e = {0};
    assert_int_equal(pki_ca_new(dir, "test", NOW, &e), 0);
    assert_int_equal(pki_ca_open(in_dir("ca.crt"), in_dir("ca.key"), policy ? policy : &any, &fixed, &ca, &e),
                     0);
    return ca;
}

static X509 *cert_at(const char *path)
{
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    X509 *cert = PEM_read_X509(f, NULL, NULL, NULL);
    fclose(f);
    assert_non_null(cert);
    return cert;
}

static mode_t mode_of(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 07777;
}

static void text_write(const char *path, mode_t mode, const char *text)
{
    struct err e;
    assert_int_equal(file_replace(path, mode, text, strlen(text), &e), 0);
}

static char *text_read(const char *path)
{
    struct str text = STR_INIT;
    struct err e;
    assert_int_equal(file_read(path, 1 << 20, &text, NULL, &e), 0);
    return str_take(&text);
}

#define assert_says(e, word) assert_non_null(strstr((e).text, (word)))

/* --- the CA ------------------------------------------------------------------------------------------- */

static void ca_is_what_it_should_be(void **state)
{
    (void)state;
    struct pki_ca *ca = ca_made(NULL);
    assert_int_equal(mode_of(in_dir("ca.key")), 0600);
    assert_int_equal(mode_of(in_dir("ca.crt")), 0644);
    X509 *cert = cert_at(in_dir("ca.crt"));
    assert_int_equal(X509_check_ca(cert), 1);
    assert_int_equal(X509_get_pathlen(cert), 0);
    assert_int_equal(X509_get_key_usage(cert), KU_KEY_CERT_SIGN | KU_CRL_SIGN);
    assert_true(X509_verify(cert, X509_get0_pubkey(cert)) == 1);
    time_t before = NOW / 1000 - 300, after = NOW / 1000 + 3650 * 86400LL;
    assert_int_equal(X509_cmp_time(X509_get0_notBefore(cert), &before), -1); /* -1: equal or earlier */
    before -= 1;
    assert_int_equal(X509_cmp_time(X509_get0_notBefore(cert), &before), 1);
    after -= 1;
    assert_int_equal(X509_cmp_time(X509_get0_notAfter(cert), &after), 1);
    X509_free(cert);
    pki_ca_free(ca);
}

static void ca_is_never_overwritten(void **state)
{
    (void)state;
    struct err e = {0};
    pki_ca_free(ca_made(NULL));
    AUTOFREE char *before = text_read(in_dir("ca.crt"));
    assert_int_equal(pki_ca_new(dir, "other", NOW, &e), SKEP_ETAKEN);
    assert_says(e, "ca.crt");
    AUTOFREE char *after = text_read(in_dir("ca.crt"));
    assert_string_equal(before, after);
}

static void ca_is_finished_after_a_crash(void **state)
{
    (void)state;
    struct err e = {0};
    pki_ca_free(ca_made(NULL));
    AUTOFREE char *key = text_read(in_dir("ca.key"));
    unlink(in_dir("ca.crt"));
    pki_ca_free(ca_made(NULL));
    AUTOFREE char *again = text_read(in_dir("ca.key"));
    assert_string_equal(key, again);
    assert_int_equal(pki_ca_new("/nonexistent/folder", "x", NOW, &e), SKEP_EIO);
    assert_says(e, "/nonexistent/folder");
}

static void ca_refuses_bad_names(void **state)
{
    (void)state;
    struct err e = {0};
    char long_name[80];
    memset(long_name, 'x', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = 0;
    assert_int_equal(pki_ca_new(dir, "", NOW, &e), SKEP_EARG);
    assert_int_equal(pki_ca_new(dir, "a\nb", NOW, &e), SKEP_EARG);
    assert_int_equal(pki_ca_new(dir, long_name, NOW, &e), SKEP_EARG);
    assert_says(e, "64");
    assert_int_equal(access(in_dir("ca.crt"), F_OK), -1);
}

static int ca_open(struct err *e)
{
    static const struct pki_policy any = {.days = 1};
    struct pki_ca *ca = NULL;
    int rc = pki_ca_open(in_dir("ca.crt"), in_dir("ca.key"), &any, &fixed, &ca, e);
    pki_ca_free(ca);
    return rc;
}

static void ca_open_names_the_fault(void **state)
{
    (void)state;
    struct err e = {0};
    assert_int_equal(ca_open(&e), SKEP_ENOTFOUND);
    pki_ca_free(ca_made(NULL));
    assert_int_equal(ca_open(&e), 0);
    chmod(in_dir("ca.key"), 0644);
    assert_int_equal(ca_open(&e), SKEP_ECONFIG);
    assert_says(e, "chmod 600");
    chmod(in_dir("ca.key"), 0640); /* its group may */
    assert_int_equal(ca_open(&e), 0);
    clock_ms = NOW + 3651 * DAY_MS;
    assert_int_equal(ca_open(&e), SKEP_ECONFIG);
    assert_says(e, "expired");
    clock_ms = NOW - DAY_MS;
    assert_int_equal(ca_open(&e), SKEP_ECONFIG);
    assert_says(e, "set the clock");
    clock_ms = NOW;
    text_write(in_dir("ca.key"), 0600, "nothing of the kind\n");
    assert_int_equal(ca_open(&e), SKEP_ECONFIG);
    assert_says(e, "no private key");
    text_write(in_dir("ca.crt"), 0644, "");
    assert_int_equal(ca_open(&e), SKEP_ECONFIG);
    assert_says(e, "no certificate");
}

static void key_with_a_pass_phrase_is_refused_without_asking(void **state)
{
    (void)state;
    struct err e = {0};
    pki_ca_free(ca_made(NULL));
    EVP_PKEY *key = EVP_EC_gen("P-256");
    FILE *f = fopen(in_dir("ca.key"), "w");
    assert_int_equal(PEM_write_PKCS8PrivateKey(f, key, EVP_aes_128_cbc(), "secret", 6, NULL, NULL), 1);
    fclose(f);
    EVP_PKEY_free(key);
    assert_int_equal(ca_open(&e), SKEP_ECONFIG);
    assert_says(e, "pass phrase");
}

/* --- a node's certificate ----------------------------------------------------------------------------- */

static void issue(struct pki_ca *ca, unsigned char seed, const char *const *hosts, size_t n)
{
    struct err e = {0};
    struct pki_subject who = {.node = node_id(seed), .name = "alpha", .hosts = hosts, .hosts_n = n};
    assert_int_equal(pki_issue(ca, &who, in_dir("node.crt"), in_dir("node.key"), &e), 0);
}

static int node_check(unsigned char seed, int64_t now_ms, struct err *e)
{
    struct id want = node_id(seed), found;
    return pki_check(in_dir("ca.crt"), in_dir("node.crt"), in_dir("node.key"), &want, now_ms, &found, e);
}

static void issued_certificate_serves_its_names(void **state)
{
    (void)state;
    const char *hosts[] = {"db1.example.org", "10.1.2.3", "fd00::7", "localhost"};
    struct pki_ca *ca = ca_made(NULL);
    issue(ca, 0xab, hosts, COUNT(hosts));
    assert_int_equal(mode_of(in_dir("node.key")), 0600);
    assert_int_equal(mode_of(in_dir("node.crt")), 0644);
    X509 *cert = cert_at(in_dir("node.crt"));
    assert_int_equal(X509_check_host(cert, "db1.example.org", 0, 0, NULL), 1);
    assert_int_equal(X509_check_host(cert, "localhost", 0, 0, NULL), 1);
    assert_int_equal(X509_check_host(cert, "db2.example.org", 0, 0, NULL), 0);
    assert_int_equal(X509_check_ip_asc(cert, "10.1.2.3", 0), 1);
    assert_int_equal(X509_check_ip_asc(cert, "fd00::7", 0), 1);
    assert_int_equal(X509_check_ip_asc(cert, "127.0.0.1", 0), 1);
    assert_int_equal(X509_check_ip_asc(cert, "::1", 0), 1);
    assert_int_equal(X509_check_ca(cert), 0);
    assert_int_equal(X509_get_key_usage(cert), KU_DIGITAL_SIGNATURE);
    assert_int_equal(X509_get_extended_key_usage(cert), XKU_SSL_SERVER | XKU_SSL_CLIENT);
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    assert_int_equal(sk_GENERAL_NAME_num(names), 6); /* localhost once */
    GENERAL_NAMES_free(names);
    char subject[128];
    X509_NAME_oneline(X509_get_subject_name(cert), subject, sizeof subject);
    assert_string_equal(subject, "/OU=alpha/CN=abababababababababababababababab");
    BIGNUM *serial = ASN1_INTEGER_to_BN(X509_get0_serialNumber(cert), NULL);
    assert_in_range(BN_num_bits(serial), 64, 128);
    BN_free(serial);
    X509_free(cert);
    pki_ca_free(ca);
}

static void check_accepts_what_was_issued(void **state)
{
    (void)state;
    struct err e = {0};
    struct id any = {0}, found, want = node_id(0xab);
    struct pki_ca *ca = ca_made(NULL);
    issue(ca, 0xab, NULL, 0);
    assert_int_equal(node_check(0xab, NOW, &e), 0);
    assert_int_equal(node_check(0xab, NOW - 299000, &e), 0); /* back-dated */
    assert_int_equal(node_check(0xab, NOW + 364 * DAY_MS, &e), 0);
    assert_int_equal(
        pki_check(in_dir("ca.crt"), in_dir("node.crt"), in_dir("node.key"), &any, NOW, &found, &e), 0);
    assert_true(id_equal(&found, &want));
    int64_t until = 0;
    assert_int_equal(pki_expiry(in_dir("node.crt"), &until, &e), 0);
    assert_int_equal(until, NOW + 365 * DAY_MS);
    pki_ca_free(ca);
}

static void check_names_the_fault(void **state)
{
    (void)state;
    struct err e = {0};
    assert_int_equal(node_check(0xab, NOW, &e), SKEP_ENOTFOUND);
    assert_says(e, "skep join");
    struct pki_ca *ca = ca_made(NULL);
    issue(ca, 0xab, NULL, 0);
    assert_int_equal(node_check(0xab, NOW + 366 * DAY_MS, &e), SKEP_ECONFIG);
    assert_says(e, "expired at");
    assert_int_equal(node_check(0xab, NOW - 301000, &e), SKEP_ECONFIG);
    assert_says(e, "set the clock");
    assert_int_equal(node_check(0xcd, NOW, &e), SKEP_ECONFIG);
    assert_says(e, "belongs to node cdcd");
    /* another CA */
    AUTOFREE char *foreign = text_read(in_dir("ca.crt"));
    unlink(in_dir("ca.crt"));
    unlink(in_dir("ca.key"));
    pki_ca_free(ca_made(NULL));
    assert_int_equal(node_check(0xab, NOW, &e), SKEP_ECONFIG);
    assert_says(e, "not trusted");
    /* a bundle of both */
    AUTOFREE char *own = text_read(in_dir("ca.crt"));
    AUTOFREE char *both = mem_printf("%s%s", own, foreign);
    text_write(in_dir("ca.crt"), 0644, both);
    assert_int_equal(node_check(0xab, NOW, &e), 0);
    /* another key */
    AUTOFREE char *other_key = text_read(in_dir("ca.key"));
    text_write(in_dir("node.key"), 0600, other_key);
    assert_int_equal(node_check(0xab, NOW, &e), SKEP_ECONFIG);
    assert_says(e, "is not the key of");
    pki_ca_free(ca);
}

static void renewal_keeps_the_key(void **state)
{
    (void)state;
    struct pki_ca *ca = ca_made(NULL);
    issue(ca, 1, NULL, 0);
    AUTOFREE char *key = text_read(in_dir("node.key"));
    AUTOFREE char *first = text_read(in_dir("node.crt"));
    clock_ms += 100 * DAY_MS;
    issue(ca, 1, NULL, 0);
    AUTOFREE char *again = text_read(in_dir("node.key"));
    AUTOFREE char *second = text_read(in_dir("node.crt"));
    assert_string_equal(key, again);
    assert_string_not_equal(first, second);
    pki_ca_free(ca);
}

static void certificate_never_outlives_the_ca(void **state)
{
    (void)state;
    struct err e = {0};
    struct pki_ca *ca = ca_made(NULL);
    int64_t ca_until = 0, until = 0;
    assert_int_equal(pki_expiry(in_dir("ca.crt"), &ca_until, &e), 0);
    clock_ms = ca_until - 10 * DAY_MS;
    issue(ca, 1, NULL, 0);
    assert_int_equal(pki_expiry(in_dir("node.crt"), &until, &e), 0);
    assert_int_equal(until, ca_until);
    clock_ms = ca_until;
    struct pki_subject who = {.node = node_id(1)};
    assert_int_equal(pki_issue(ca, &who, in_dir("node.crt"), in_dir("node.key"), &e), SKEP_ECONFIG);
    assert_says(e, "expired");
    pki_ca_free(ca);
}

static void bad_hosts_are_refused(void **state)
{
    (void)state;
    struct err e = {0};
    struct pki_ca *ca = ca_made(NULL);
    const char *bad[] = {"",       "*.example.org", "a b",    "a,DNS:b", "https://x", "x:7537",
                         "-x.org", "x..org",        "x.org.", "[::1]",   "a\nb",      "\xc3\xa4.org"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct pki_subject who = {.node = node_id(1), .hosts = &bad[i], .hosts_n = 1};
        assert_int_equal(pki_issue(ca, &who, in_dir("n.crt"), in_dir("n.key"), &e), SKEP_EARG);
        assert_string_equal(e.field, "host");
    }
    const char *many[PKI_HOSTS_MAX + 1];
    for (size_t i = 0; i < COUNT(many); i++)
        many[i] = "a.org";
    struct pki_subject who = {.node = node_id(1), .hosts = many, .hosts_n = COUNT(many)};
    assert_int_equal(pki_issue(ca, &who, in_dir("n.crt"), in_dir("n.key"), &e), SKEP_EARG);
    assert_int_equal(access(in_dir("n.key"), F_OK), -1);
    pki_ca_free(ca);
}

/* --- requests ----------------------------------------------------------------------------------------- */

static char *csr_of(unsigned char seed, const char *const *hosts, size_t n)
{
    struct err e = {0};
    char *pem = NULL;
    struct pki_subject who = {.node = node_id(seed), .name = "beta", .hosts = hosts, .hosts_n = n};
    assert_int_equal(pki_csr_new(&who, in_dir("node.key"), &pem, &e), 0);
    return pem;
}

static void signed_request_makes_a_node(void **state)
{
    (void)state;
    struct err e = {0};
    const char *hosts[] = {"beta.example.org", "192.0.2.9"};
    struct pki_ca *ca = ca_made(NULL);
    AUTOFREE char *csr = csr_of(7, hosts, 2);
    struct id node = node_id(7);
    struct world_ca world;
    pki_ca_world(ca, &world);
    AUTOFREE char *pem = NULL;
    assert_int_equal(world.sign(world.self, csr, &node, "beta", &pem, &e), 0);
    assert_int_equal(pki_install(in_dir("node.crt"), pem, &e), 0);
    assert_int_equal(node_check(7, NOW, &e), 0);
    X509 *cert = cert_at(in_dir("node.crt"));
    assert_int_equal(X509_check_host(cert, "beta.example.org", 0, 0, NULL), 1);
    assert_int_equal(X509_check_ip_asc(cert, "192.0.2.9", 0), 1);
    assert_int_equal(X509_check_ip_asc(cert, "127.0.0.1", 0), 1);
    X509_free(cert);
    assert_int_equal(pki_install(in_dir("node.crt"), "rubbish", &e), SKEP_EARG);
    assert_int_equal(node_check(7, NOW, &e), 0); /* the good one is still there */
    pki_ca_free(ca);
}

static int sign(struct pki_ca *ca, const char *csr, unsigned char seed, struct err *e)
{
    struct id node = node_id(seed);
    char *pem = NULL;
    int rc = pki_sign(ca, csr, &node, "beta", &pem, e);
    assert_true((rc == 0) == (pem != NULL));
    free(pem);
    return rc;
}

static void request_for_another_node_is_refused(void **state)
{
    (void)state;
    struct err e = {0};
    struct pki_ca *ca = ca_made(NULL);
    AUTOFREE char *csr = csr_of(7, NULL, 0);
    assert_int_equal(sign(ca, csr, 8, &e), SKEP_EFORBIDDEN);
    assert_says(e, "another node");
    assert_int_equal(sign(ca, csr, 7, &e), 0);
    pki_ca_free(ca);
}

static void rubbish_requests_are_refused(void **state)
{
    (void)state;
    struct err e = {0};
    struct pki_ca *ca = ca_made(NULL);
    AUTOFREE char *huge = mem_alloc(PKI_CSR_BYTES_MAX + 100);
    memset(huge, 'A', PKI_CSR_BYTES_MAX + 99);
    AUTOFREE char *cert = text_read(in_dir("ca.crt"));
    const char *bad[] = {"", "x", "-----BEGIN CERTIFICATE REQUEST-----\n", huge, cert};
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_int_equal(sign(ca, bad[i], 7, &e), SKEP_EARG);
        assert_string_equal(e.field, "csr");
    }
    pki_ca_free(ca);
}

/* A request made by hand: what pki_csr_new would never write. */
static char *hand_made(EVP_PKEY *key, EVP_PKEY *signer, const char *cn, const char *san)
{
    X509_REQ *req = X509_REQ_new();
    X509_NAME *name = X509_NAME_new();
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)cn, -1, -1, 0);
    X509_REQ_set_subject_name(req, name);
    X509_REQ_set_pubkey(req, key);
    if (san) {
        STACK_OF(X509_EXTENSION) *list = sk_X509_EXTENSION_new_null();
        sk_X509_EXTENSION_push(list, X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, san));
        X509_REQ_add_extensions(req, list);
        sk_X509_EXTENSION_pop_free(list, X509_EXTENSION_free);
    }
    assert_true(X509_REQ_sign(req, signer, EVP_sha256()) > 0);
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509_REQ(bio, req);
    char *p;
    long n = BIO_get_mem_data(bio, &p);
    char *pem = mem_copy(p, (size_t)n);
    BIO_free(bio);
    X509_NAME_free(name);
    X509_REQ_free(req);
    return pem;
}

#define CN7 "07070707070707070707070707070707"

static void forged_requests_are_refused(void **state)
{
    (void)state;
    struct err e = {0};
    struct pki_ca *ca = ca_made(NULL);
    EVP_PKEY *key = EVP_EC_gen("P-256"), *other = EVP_EC_gen("P-256"), *big = EVP_EC_gen("P-384");
    EVP_PKEY *rsa = EVP_RSA_gen(2048);
    struct {
        EVP_PKEY *key, *signer;
        const char *cn, *san;
        int code;
        const char *says;
    } cases[] = {
        {key, key, CN7, NULL, 0, NULL},
        {key, other, CN7, NULL, SKEP_EARG, "signature"},
        {big, big, CN7, NULL, SKEP_EARG, "P-256"},
        {rsa, rsa, CN7, NULL, SKEP_EARG, "P-256"},
        {key, key, "alpha", NULL, SKEP_EARG, "32 hex"},
        {key, key, "0707070707070707070707070707070G", NULL, SKEP_EARG, "32 hex"},
        {key, key, CN7, "DNS:fine.org", 0, NULL},
        {key, key, CN7, "DNS:*.org", SKEP_EFORBIDDEN, "plain host name"},
        {key, key, CN7, "email:root@example.org", SKEP_EFORBIDDEN, "plain host name"},
        {key, key, CN7, "URI:https://example.org", SKEP_EFORBIDDEN, "plain host name"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTOFREE char *csr = hand_made(cases[i].key, cases[i].signer, cases[i].cn, cases[i].san);
        assert_int_equal(sign(ca, csr, 7, &e), cases[i].code);
        if (cases[i].says)
            assert_says(e, cases[i].says);
    }
    EVP_PKEY_free(key);
    EVP_PKEY_free(other);
    EVP_PKEY_free(big);
    EVP_PKEY_free(rsa);
    pki_ca_free(ca);
}

/* Extensions of a request do not reach the certificate: who asks for CA:TRUE gets CA:FALSE. */
static void request_cannot_make_a_ca(void **state)
{
    (void)state;
    struct err e = {0};
    struct pki_ca *ca = ca_made(NULL);
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509_REQ *req = X509_REQ_new();
    X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(req), "CN", MBSTRING_UTF8,
                               (const unsigned char *)CN7, -1, -1, 0);
    X509_REQ_set_pubkey(req, key);
    STACK_OF(X509_EXTENSION) *list = sk_X509_EXTENSION_new_null();
    sk_X509_EXTENSION_push(list, X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, "critical,CA:TRUE"));
    X509_REQ_add_extensions(req, list);
    sk_X509_EXTENSION_pop_free(list, X509_EXTENSION_free);
    X509_REQ_sign(req, key, EVP_sha256());
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509_REQ(bio, req);
    char *p;
    long n = BIO_get_mem_data(bio, &p);
    AUTOFREE char *csr = mem_copy(p, (size_t)n);
    struct id node = node_id(7);
    AUTOFREE char *pem = NULL;
    assert_int_equal(pki_sign(ca, csr, &node, NULL, &pem, &e), 0);
    text_write(in_dir("node.crt"), 0644, pem);
    X509 *cert = cert_at(in_dir("node.crt"));
    assert_int_equal(X509_check_ca(cert), 0);
    X509_free(cert);
    BIO_free(bio);
    X509_REQ_free(req);
    EVP_PKEY_free(key);
    pki_ca_free(ca);
}

static void policy_bounds_the_hosts(void **state)
{
    (void)state;
    struct err e = {0};
    const char *patterns[] = {"*.cluster.local", "10.0.0.*"};
    const struct pki_policy policy = {.hosts = patterns, .hosts_n = 2, .days = 30};
    struct pki_ca *ca = ca_made(&policy);
    const char *fine[] = {"b.cluster.local", "10.0.0.9"},
               *foreign[] = {"b.cluster.local", "bank.example.org"};
    AUTOFREE char *good = csr_of(7, fine, 2);
    AUTOFREE char *bad = csr_of(7, foreign, 2);
    AUTOFREE char *none = csr_of(7, NULL, 0);
    assert_int_equal(sign(ca, good, 7, &e), 0);
    assert_int_equal(sign(ca, none, 7, &e), 0); /* loopback is always granted */
    assert_int_equal(sign(ca, bad, 7, &e), SKEP_EFORBIDDEN);
    assert_says(e, "bank.example.org");
    assert_says(e, "ca_hosts");
    struct id node = node_id(7);
    AUTOFREE char *pem = NULL;
    assert_int_equal(pki_sign(ca, good, &node, NULL, &pem, &e), 0);
    int64_t until = 0;
    assert_int_equal(pki_install(in_dir("node.crt"), pem, &e), 0);
    assert_int_equal(pki_expiry(in_dir("node.crt"), &until, &e), 0);
    assert_int_equal(until, NOW + 30 * DAY_MS);
    pki_ca_free(ca);
    const struct pki_policy nothing = {.days = 30};
    assert_int_equal(pki_ca_open(in_dir("ca.crt"), in_dir("ca.key"), &nothing, &fixed, &ca, &e), 0);
    assert_int_equal(sign(ca, none, 7, &e), 0);
    assert_int_equal(sign(ca, good, 7, &e), SKEP_EFORBIDDEN);
    pki_ca_free(ca);
}

static void serials_differ(void **state)
{
    (void)state;
    struct pki_ca *ca = ca_made(NULL);
    issue(ca, 1, NULL, 0);
    X509 *a = cert_at(in_dir("node.crt"));
    issue(ca, 1, NULL, 0);
    X509 *b = cert_at(in_dir("node.crt"));
    assert_int_not_equal(ASN1_INTEGER_cmp(X509_get0_serialNumber(a), X509_get0_serialNumber(b)), 0);
    X509_free(a);
    X509_free(b);
    pki_ca_free(ca);
}

/* --- fingerprints --- */

static void fingerprint_is_that_of_the_der(void **state)
{
    (void)state;
    struct err e = {0};
    char from_file[PKI_FINGERPRINT], from_text[PKI_FINGERPRINT];
    pki_ca_free(ca_made(NULL));
    AUTOFREE char *pem = text_read(in_dir("ca.crt"));
    assert_int_equal(pki_fingerprint(in_dir("ca.crt"), from_file, &e), 0);
    assert_int_equal(pki_fingerprint_pem(pem, from_text, &e), 0);
    assert_string_equal(from_file, from_text);
    X509 *cert = cert_at(in_dir("ca.crt"));
    unsigned char sum[32];
    unsigned n = 0;
    X509_digest(cert, EVP_sha256(), sum, &n);
    AUTOSTR struct str hex = STR_INIT;
    str_hex(&hex, sum, n);
    assert_string_equal(from_file, str_get(&hex));
    X509_free(cert);
    assert_int_equal(pki_fingerprint_pem("x", from_text, &e), SKEP_EARG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(ca_is_what_it_should_be, setup),
        cmocka_unit_test_setup(ca_is_never_overwritten, setup),
        cmocka_unit_test_setup(ca_is_finished_after_a_crash, setup),
        cmocka_unit_test_setup(ca_refuses_bad_names, setup),
        cmocka_unit_test_setup(ca_open_names_the_fault, setup),
        cmocka_unit_test_setup(key_with_a_pass_phrase_is_refused_without_asking, setup),
        cmocka_unit_test_setup(issued_certificate_serves_its_names, setup),
        cmocka_unit_test_setup(check_accepts_what_was_issued, setup),
        cmocka_unit_test_setup(check_names_the_fault, setup),
        cmocka_unit_test_setup(renewal_keeps_the_key, setup),
        cmocka_unit_test_setup(certificate_never_outlives_the_ca, setup),
        cmocka_unit_test_setup(bad_hosts_are_refused, setup),
        cmocka_unit_test_setup(signed_request_makes_a_node, setup),
        cmocka_unit_test_setup(request_for_another_node_is_refused, setup),
        cmocka_unit_test_setup(rubbish_requests_are_refused, setup),
        cmocka_unit_test_setup(forged_requests_are_refused, setup),
        cmocka_unit_test_setup(request_cannot_make_a_ca, setup),
        cmocka_unit_test_setup(policy_bounds_the_hosts, setup),
        cmocka_unit_test_setup(serials_differ, setup),
        cmocka_unit_test_setup(fingerprint_is_that_of_the_der, setup),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
