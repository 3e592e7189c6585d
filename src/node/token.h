/* token: the secrets that skep hands out, as text. A secret is 32 random bytes in base64url.
 *
 * A client's token is the secret. A join token also names the cluster's CA, so that who joins needs to
 * trust nothing else: "<secret>.<SHA-256 of the CA's certificate, 64 hex digits>". Only hashes are stored.
 */
#ifndef SKEP_NODE_TOKEN_H
#define SKEP_NODE_TOKEN_H

#include <stdbool.h>

#include "base/err.h"
#include "world/random.h"

#define TOKEN_HEX 65 /* bytes of a SHA-256 as hex text, with the 0 */

/* A new token, yours. ca_hex as from pki_fingerprint, or NULL for a client's token. */
char *token_new(const struct world_random *random, const char *ca_hex);
/* The SHA-256 of the whole text, as it is stored and compared. */
void token_hash(const char *token, char ret_hex[TOKEN_HEX]);
/* Checks a join token's form and gives the CA's fingerprint. SKEP_EARG with the remedy. */
int token_ca(const char *token, char ret_ca_hex[TOKEN_HEX], struct err *e);

#endif
