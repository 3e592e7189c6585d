/* Bytes of a client, whole and cut into pieces: nothing may crash, no limit may be passed, and where the
 * pieces end must not matter. The first byte says how the rest is cut.
 */
#include <string.h>

#include "base/ensure.h"
#include "fuzz.h"
#include "real/http_in.h"

#define URI_MAX  300
#define HEAD_MAX 600

struct log {
    struct str steps; /* a letter for each step; runs of BODY as one */
    struct str text;  /* what the requests said */
    struct str body;
};

static void note_head(const struct http_in *in, struct log *log)
{
    const struct request *r = in->request;
    ensure(r && r->path && *r->path, "a head without a path");
    ensure(strlen(r->path) <= URI_MAX, "a path of %zu bytes", strlen(r->path));
    ensure(in->content_length >= -1, "content length %lld", (long long)in->content_length);
    ensure(in->has_body == (in->chunked || in->content_length > 0), "has_body lies");
    str_printf(&log->text, "%d %s?%s a=%s m=%s k=%s l=%s cl=%lld %d%d%d%d\n", (int)r->method, r->path,
               r->query ? r->query : "-", r->authorization ? r->authorization : "-",
               r->if_match ? r->if_match : "-", r->idempotency_key ? r->idempotency_key : "-",
               r->last_event_id ? r->last_event_id : "-", (long long)in->content_length, in->chunked,
               in->expects_continue, in->keep_alive, in->http_1_0);
}

static void note(const struct http_in *in, enum http_in_step step, struct span body, struct log *log)
{
    switch (step) {
    case HTTP_IN_MORE:
        break;
    case HTTP_IN_HEAD:
        str_putc(&log->steps, 'H');
        note_head(in, log);
        break;
    case HTTP_IN_BODY:
        if (log->steps.n == 0 || log->steps.p[log->steps.n - 1] != 'B')
            str_putc(&log->steps, 'B');
        str_add(&log->body, body.p, body.n);
        break;
    case HTTP_IN_END:
        str_putc(&log->steps, 'E');
        break;
    case HTTP_IN_BAD:
        ensure(in->error.code < 0 && *in->error.text, "refused without a reason");
        ensure(text_is_clean(in->error.text, strlen(in->error.text)) && !strpbrk(in->error.text, "\"\\"),
               "a reason that is not fit for JSON: %s", in->error.text);
        str_putc(&log->steps, '!');
        break;
    }
}

/* Feeds one piece. False = nothing more may be fed. */
static bool feed(struct http_in *in, const char *bytes, size_t n, struct log *log)
{
    while (n > 0) {
        size_t used = 0;
        struct span body = {0};
        enum http_in_step step = http_in_feed(in, bytes, n, &used, &body);
        ensure(used <= n, "used %zu of %zu bytes", used, n);
        ensure(step != HTTP_IN_BODY || (body.p >= bytes && body.p + body.n <= bytes + n),
               "a body from elsewhere");
        ensure(step != HTTP_IN_MORE || used == n, "stopped without a reason");
        note(in, step, body, log);
        if (step == HTTP_IN_BAD)
            return false;
        bytes += used;
        n -= used;
    }
    return true;
}

static void run(const char *bytes, size_t n, size_t piece, struct log *log)
{
    struct http_in_limits limits = {URI_MAX, HEAD_MAX};
    struct http_in in;
    http_in_init(&in, &limits);
    for (size_t at = 0; at < n; at += piece) {
        size_t size = n - at < piece ? n - at : piece;
        AUTOFREE char *copy = mem_alloc(size); /* of exactly this size, so that a look beyond it is caught */
        memcpy(copy, bytes + at, size);
        if (!feed(&in, copy, size, log))
            break;
    }
    http_in_fini(&in);
}

static void log_fini(struct log *log)
{
    str_fini(&log->steps);
    str_fini(&log->text);
    str_fini(&log->body);
}

static void same(const struct str *a, const struct str *b)
{
    ensure(a->n == b->n && (a->n == 0 || memcmp(a->p, b->p, a->n) == 0), "whole: %s\nin pieces: %s",
           str_get(a), str_get(b));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 2)
        return 0;
    struct log whole CLEANUP(log_fini) = {0}, pieces CLEANUP(log_fini) = {0};
    run((const char *)data + 1, n - 1, n - 1, &whole);
    run((const char *)data + 1, n - 1, 1 + data[0] % 64, &pieces);
    same(&whole.steps, &pieces.steps);
    same(&whole.text, &pieces.text);
    /* Where the parser finds an error in the middle of a body, it may keep back what it had before. */
    if (whole.steps.n == 0 || whole.steps.p[whole.steps.n - 1] != '!')
        same(&whole.body, &pieces.body);
    return 0;
}
