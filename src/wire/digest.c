/* digest: SHA-256 through OpenSSL's EVP. A failure of OpenSSL here is a broken installation: it aborts.
 *
 * Fetching the algorithm costs ten times as much as digesting a row, so it is fetched once per process and
 * never freed: immutable, the same for every node in the process. */
#include "wire/digest.h"

#include <openssl/evp.h>
#include <stdatomic.h>
#include <string.h>

#include "base/ensure.h"

static const EVP_MD *sha256(void)
{
    static _Atomic(EVP_MD *) cached;
    EVP_MD *md = atomic_load_explicit(&cached, memory_order_acquire);
    if (md)
        return md;
    md = EVP_MD_fetch(NULL, "SHA256", NULL);
    ensure(md, "OpenSSL has no SHA256");
    EVP_MD *other = NULL;
    if (!atomic_compare_exchange_strong(&cached, &other, md)) {
        EVP_MD_free(md);
        return other;
    }
    return md;
}

void digest_init(struct digest *d)
{
    d->ctx = EVP_MD_CTX_new();
    ensure(d->ctx && EVP_DigestInit_ex(d->ctx, sha256(), NULL) == 1, "SHA256 does not start");
}

void digest_add(struct digest *d, const void *p, size_t n)
{
    ensure(EVP_DigestUpdate(d->ctx, p, n) == 1, "SHA256 over %zu bytes", n);
}

static void finish(struct digest *d, unsigned char digest[DIGEST_BYTES])
{
    ensure(EVP_DigestFinal_ex(d->ctx, digest, NULL) == 1, "SHA256 does not end");
}

void digest_end(struct digest *d, unsigned char ret_digest[DIGEST_BYTES])
{
    finish(d, ret_digest);
    ensure(EVP_DigestInit_ex(d->ctx, NULL, NULL) == 1, "SHA256 does not start again");
}

void digest_fini(struct digest *d)
{
    if (d)
        EVP_MD_CTX_free(TAKE(d->ctx));
}

void digest_sha256(const void *p, size_t n, unsigned char ret_digest[DIGEST_BYTES])
{
    CLEANUP(digest_fini) struct digest d = {NULL};
    digest_init(&d);
    digest_add(&d, p, n);
    finish(&d, ret_digest);
}

void digest16(const struct span *list, size_t n, unsigned char ret_digest[DIGEST16_BYTES])
{
    CLEANUP(digest_fini) struct digest d = {NULL};
    unsigned char whole[DIGEST_BYTES];
    digest_init(&d);
    for (size_t i = 0; i < n; i++) {
        unsigned char length[8];
        for (size_t k = 0; k < sizeof length; k++)
            length[k] = (unsigned char)((uint64_t)list[i].n >> (8 * k));
        digest_add(&d, length, sizeof length);
        digest_add(&d, list[i].p, list[i].n);
    }
    finish(&d, whole);
    memcpy(ret_digest, whole, DIGEST16_BYTES);
}

/* RFC 2104 over the digest above: the key, longer than a block, is digested first. */
void digest_hmac(struct span key, const struct span *list, size_t n, unsigned char ret_digest[DIGEST_BYTES])
{
    enum { BLOCK = 64 };
    CLEANUP(digest_fini) struct digest d = {NULL};
    unsigned char block[BLOCK] = {0}, pad[BLOCK];
    if (key.n > BLOCK)
        digest_sha256(key.p, key.n, block);
    else if (key.n)
        memcpy(block, key.p, key.n);
    digest_init(&d);
    for (size_t i = 0; i < BLOCK; i++)
        pad[i] = block[i] ^ 0x36;
    digest_add(&d, pad, BLOCK);
    for (size_t i = 0; i < n; i++)
        digest_add(&d, list[i].p, list[i].n);
    digest_end(&d, ret_digest);
    for (size_t i = 0; i < BLOCK; i++)
        pad[i] = block[i] ^ 0x5c;
    digest_add(&d, pad, BLOCK);
    digest_add(&d, ret_digest, DIGEST_BYTES);
    finish(&d, ret_digest);
}
