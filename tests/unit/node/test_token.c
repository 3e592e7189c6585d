/* Tokens: their form, what a join token carries, and the hash that is stored. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "node/token.h"

static void fill_counted(void *self, void *bytes, size_t n)
{
    unsigned char *next = self, *p = bytes;
    for (size_t i = 0; i < n; i++)
        p[i] = (*next)++;
}

static void tokens_carry_the_ca(void **state)
{
    (void)state;
    struct err e = {0};
    unsigned char next = 0xf0;
    struct world_random random = {.self = &next, .fill = fill_counted};
    static const char hex[] = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    char found[TOKEN_HEX], one[TOKEN_HEX], two[TOKEN_HEX];
    AUTOFREE char *token = token_new(&random, hex);
    AUTOFREE char *client = token_new(&random, NULL);
    assert_int_equal(strlen(token), 43 + 1 + 64);
    assert_int_equal(strspn(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"), 43);
    assert_int_equal(strlen(client), 43);
    assert_int_equal(token_ca(token, found, &e), 0);
    assert_string_equal(found, hex);
    token_hash(token, one);
    token_hash(client, two);
    assert_string_not_equal(one, two);
    token_hash("abc", one);
    assert_string_equal(one, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    const char *bad[] = {"", ".", client, "x.00", hex};
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(token_ca(bad[i], found, &e), SKEP_EARG);
    token[0] = '+';
    assert_int_equal(token_ca(token, found, &e), SKEP_EARG);
    assert_string_equal(e.field, "token");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(tokens_carry_the_ca)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
