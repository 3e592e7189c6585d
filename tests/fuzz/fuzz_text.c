/* Small texts that stand in many places: times, ids, numbers, tokens. What is read and written again is the
 * same. */
#include "fuzz.h"

#include <string.h>

#include "base/ensure.h"
#include "base/id.h"
#include "base/str.h"
#include "base/when.h"
#include "node/token.h"

#define YEAR_10000_MS INT64_C(253402300800000)

static void fuzz_when(const char *text)
{
    int64_t ms = 0, again = 0;
    char form[WHEN_TEXT];
    if (!when_parse(text, &ms) || ms >= YEAR_10000_MS) /* a leap second at the very end */
        return;
    ensure(when_parse(when_text(ms, form), &again) && again == ms, "%s became %s", text, form);
}

static void fuzz_id(const char *text)
{
    struct id id, again;
    char form[ID_TEXT];
    if (!id_parse(text, &id))
        return;
    ensure(id_parse(id_text(&id, form), &again) && id_equal(&id, &again), "%s became %s", text, form);
}

static void fuzz_number(const char *text)
{
    int64_t v, again;
    if (!text_i64(text, INT64_MIN, INT64_MAX, &v))
        return;
    AUTOFREE char *form = mem_printf("%lld", (long long)v);
    ensure(text_i64(form, v, v, &again) && again == v, "%s is %s", text, form);
}

static void fuzz_token(const char *text)
{
    char ca[TOKEN_HEX];
    struct err e = {0};
    int rc = token_ca(text, ca, &e);
    ensure(rc == 0 ? strlen(ca) == TOKEN_HEX - 1 : *e.text != 0, "a token of nobody");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    AUTOFREE char *text = mem_copy(data, n);
    fuzz_when(text);
    fuzz_id(text);
    fuzz_number(text);
    fuzz_token(text);
    size_t half = n / 2;
    AUTOFREE char *pattern = mem_copy(data, half < 64 ? half : 64);
    text_matches(pattern, text + half);
    size_t whole = text_utf8_prefix(text, n);
    ensure(whole <= n && text_is_utf8(text, whole), "a prefix that is no text");
    return 0;
}
