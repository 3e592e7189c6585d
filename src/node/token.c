/* token: decides the text form of secrets. It stores nothing and compares nothing. */
#include "node/token.h"

#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "wire/digest.h"

#define SECRET_BYTES 32
#define SECRET_TEXT  43 /* base64url without padding */

char *token_new(const struct world_random *random, const char *ca_hex)
{
    unsigned char secret[SECRET_BYTES];
    random->fill(random->self, secret, sizeof secret);
    struct str text = STR_INIT;
    str_base64(&text, secret, sizeof secret);
    for (size_t i = 0; i < text.n; i++)
        text.p[i] = text.p[i] == '+' ? '-' : text.p[i] == '/' ? '_' : text.p[i];
    text.n = SECRET_TEXT;
    text.p[text.n] = 0;
    if (ca_hex)
        str_printf(&text, ".%s", ca_hex);
    explicit_bzero(secret, sizeof secret);
    return str_take(&text);
}

static bool is_secret(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!((p[i] >= 'a' && p[i] <= 'z') || (p[i] >= 'A' && p[i] <= 'Z') || (p[i] >= '0' && p[i] <= '9') ||
              p[i] == '-' || p[i] == '_'))
            return false;
    return n == SECRET_TEXT;
}

int token_ca(const char *token, char ret_ca_hex[TOKEN_HEX], struct err *e)
{
    const char *dot = strchr(token, '.');
    if (!dot || !is_secret(token, (size_t)(dot - token)) || strlen(dot + 1) != TOKEN_HEX - 1 ||
        strspn(dot + 1, "0123456789abcdef") != TOKEN_HEX - 1)
        return err_field(e, SKEP_EARG, "token",
                         "not a join token; it looks like SECRET.HEX and comes from skep token on a member");
    memcpy(ret_ca_hex, dot + 1, TOKEN_HEX);
    return 0;
}

void token_hash(const char *token, char ret_hex[TOKEN_HEX])
{
    unsigned char sum[DIGEST_BYTES];
    digest_sha256(token, strlen(token), sum);
    AUTOSTR struct str hex = STR_INIT;
    str_hex(&hex, sum, sizeof sum);
    memcpy(ret_hex, str_get(&hex), TOKEN_HEX);
}
