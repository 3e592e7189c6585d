/* The worker's channel: hostile lines in, and lines out that hold hostile text. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "base/ensure.h"
#include "wire/chan.h"
#include "wire/json.h"

static void one_good_line(const struct str *s)
{
    struct err e = {0};
    ensure(json_check(str_get(s), s->n, &e) == 0, "%s: %s", e.text, str_get(s));
    ensure(!memchr(str_get(s), '\n', s->n) && !memchr(str_get(s), '\r', s->n), "two lines: %s", str_get(s));
}

static void fuzz_in(const char *p, size_t n)
{
    struct chan_line line;
    struct err e = {0};
    AUTOFREE char *ack = NULL;
    int rc = chan_decode(p, n, &line, &ack, &e);
    if (rc < 0) {
        AUTOSTR struct str refusal = STR_INIT;
        ensure(*e.text && text_is_utf8(e.text, strlen(e.text)), "a refusal without a word");
        chan_error(&refusal, ack, &e);
        one_good_line(&refusal);
        return;
    }
    ensure(!line.ack == !ack && (!ack || strcmp(line.ack, ack) == 0), "two acks");
    if (line.data.p) {
        AUTOSTR struct str s = STR_INIT;
        chan_start(&s, line.data, line.data, true);
        one_good_line(&s);
    }
    chan_line_fini(&line);
}

static void fuzz_out(const char *p, size_t n)
{
    AUTOSTR struct str s = STR_INIT;
    if (memchr(p, 0, n))
        return; /* a NUL is written as \u0000, which is not read */
    chan_response(&s, "1", 200, p, n);
    one_good_line(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    fuzz_out((const char *)data, n);
    fuzz_in((const char *)data, n);
    return 0;
}
