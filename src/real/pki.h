/* pki: the cluster's own certificate authority, with ECDSA on P-256.
 *
 * A certificate's CN is the node's id (32 hex digits): that is who it speaks for. Its readable name rides
 * in OU for people. The subject alternative names are where clients may reach it. All paths are borrowed;
 * times are milliseconds of the real-time clock, given by the caller; returned text is yours. Errors name
 * the file and the remedy.
 */
#ifndef SKEP_REAL_PKI_H
#define SKEP_REAL_PKI_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/id.h"
#include "world/clock.h"
#include "world/world.h"

#define PKI_CA_DAYS       3650
#define PKI_NODE_DAYS     365
#define PKI_BACKDATE_MS   300000 /* a certificate is valid this long before it was made: clocks differ */
#define PKI_HOSTS_MAX     32     /* subject alternative names in one certificate */
#define PKI_CSR_BYTES_MAX 16384
#define PKI_PEM_BYTES_MAX 65536
#define PKI_FINGERPRINT   65 /* bytes of a fingerprint as text, with the 0 */

/* What a certificate should say. 127.0.0.1, ::1 and localhost are always added to hosts. */
struct pki_subject {
    struct id node;
    const char *name;         /* readable, at most 63 bytes; NULL = none */
    const char *const *hosts; /* DNS names and IP addresses; may be NULL with hosts_n 0 */
    size_t hosts_n;
};

/* Makes dir/ca.key (0600) and dir/ca.crt (0644), or only the certificate when a crash left a lone key.
 * SKEP_ETAKEN when dir has a CA: one is never overwritten. */
int pki_ca_new(const char *dir, const char *cluster, int64_t now_real_ms, struct err *e);

/* An opened CA: what signs. Holds everything in memory, touches no file after pki_ca_open. */
struct pki_ca;

/* How a CA signs. hosts are the patterns (with * and ?) of the host names and addresses it grants to
 * others; loopback is always granted, and with none nothing else. Borrowed for the life of the CA. */
struct pki_policy {
    const char *const *hosts;
    size_t hosts_n;
    int days;
};

/* Loads and checks the pair. SKEP_ECONFIG when they do not belong together, the certificate is no CA or
 * has expired, or others can read the key. Free with pki_ca_free. */
int pki_ca_open(const char *crt_path, const char *key_path, const struct pki_policy *policy,
                const struct world_clock *clock, struct pki_ca **ret, struct err *e);
void pki_ca_free(struct pki_ca *ca);
/* Lets a node sign through it; ca stays the caller's and must live as long. */
void pki_ca_world(struct pki_ca *ca, struct world_ca *ret);

/* Signs a request for the node. The request's own signature must hold, its CN be the node's id, its key be
 * P-256, and its hosts granted by the policy; everything else in it is ignored. `name` becomes OU.
 * SKEP_EARG for a request that is none, SKEP_EFORBIDDEN for one that asks too much. */
int pki_sign(struct pki_ca *ca, const char *csr_pem, const struct id *node, const char *name, char **ret_pem,
             struct err *e);
/* A node's key (made at key_path with 0600 if there is none, else reused: renewing then replaces one file
 * only) and its certificate (0644), signed by ca. The policy's patterns do not bind the CA's own holder. */
int pki_issue(struct pki_ca *ca, const struct pki_subject *subject, const char *crt_path,
              const char *key_path, struct err *e);

/* A request for subject under the key at key_path, made there as by pki_issue. */
int pki_csr_new(const struct pki_subject *subject, const char *key_path, char **ret_csr_pem, struct err *e);

/* Writes a certificate (0644, atomically) after checking that it parses. */
int pki_install(const char *crt_path, const char *pem, struct err *e);

/* Whether a node can live with these files now: all readable, key and certificate belong together, signed
 * by one of the CAs, within its time, and for this node (zero id: any; then *ret_node, if not NULL, tells).
 * SKEP_ECONFIG says which it is. */
int pki_check(const char *ca_path, const char *crt_path, const char *key_path, const struct id *node,
              int64_t now_real_ms, struct id *ret_node, struct err *e);

/* The cluster that a CA's certificate was made for. */
int pki_cluster(const char *ca_path, struct id *ret_cluster, struct err *e);
/* The end of the first certificate in the file. */
int pki_expiry(const char *crt_path, int64_t *ret_real_ms, struct err *e);
/* SHA-256 over the DER form of the first certificate in a file or a text: what
 * `openssl x509 -fingerprint -sha256` prints, as 64 lower-case hex digits. */
int pki_fingerprint(const char *crt_path, char ret_hex[PKI_FINGERPRINT], struct err *e);
int pki_fingerprint_pem(const char *pem, char ret_hex[PKI_FINGERPRINT], struct err *e);

#endif
