#include "real/http_in.h"

#include <string.h>
#include <strings.h>

enum field {
    FIELD_OTHER,
    FIELD_AUTHORIZATION,
    FIELD_IF_MATCH,
    FIELD_KEY,
    FIELD_LAST_EVENT,
    FIELD_ACCEPT,
    FIELD_EXPECT,
    FIELD_HOST
};

#define FIELD(name, field)                                                                                   \
    {                                                                                                        \
        name, sizeof(name) - 1, field                                                                        \
    }
static const struct {
    const char *name;
    size_t n;
    enum field field;
} fields[] = {
    FIELD("authorization", FIELD_AUTHORIZATION),
    FIELD("if-match", FIELD_IF_MATCH),
    FIELD("idempotency-key", FIELD_KEY),
    FIELD("last-event-id", FIELD_LAST_EVENT),
    FIELD("accept", FIELD_ACCEPT),
    FIELD("expect", FIELD_EXPECT),
    FIELD("host", FIELD_HOST),
};

static struct http_in *of(const http_parser *p)
{
    return p->data;
}

/* Ends the feed with an error: a non-zero callback makes the parser stop for good. */
static int bad(struct http_in *in, int code, const char *text)
{
    in->step = HTTP_IN_BAD;
    err_set(&in->error, code, "%s", text);
    return -1;
}

static int stop_at(struct http_in *in, enum http_in_step step)
{
    in->step = step;
    http_parser_pause(&in->parser, 1);
    return 0;
}

static int on_begin(http_parser *p)
{
    struct http_in *in = of(p);
    request_free(in->request);
    in->request = mem_alloc(sizeof *in->request);
    in->content_length = -1;
    in->begun = true;
    in->head_complete = in->chunked = in->has_body = in->expects_continue = in->expect_unknown = false;
    in->in_value = false;
    in->head_bytes = in->name_n = 0;
    in->field = FIELD_OTHER;
    in->seen = 0;
    str_clear(&in->uri);
    return 0;
}

static int on_url(http_parser *p, const char *at, size_t n)
{
    struct http_in *in = of(p);
    if (in->uri.n + n > in->limits.uri_max)
        return bad(in, SKEP_ETOOLARGE,
                   "The request target is too long. Names have at most 1024 bytes; put "
                   "everything else into the body");
    str_add(&in->uri, at, n);
    return 0;
}

static int count(struct http_in *in, size_t n)
{
    in->head_bytes += n;
    if (in->head_bytes > in->limits.head_max)
        return bad(in, SKEP_ETOOLARGE,
                   "The header fields are too large together. Send fewer or shorter ones");
    return 0;
}

static int keep(struct http_in *in, char **slot)
{
    if (*slot)
        return bad(in, SKEP_EARG,
                   "A header field that may come once came twice (Authorization, If-Match, "
                   "Idempotency-Key, Last-Event-ID)");
    *slot = mem_copy(str_get(&in->value), in->value.n);
    return 0;
}

static int value_done(struct http_in *in)
{
    struct request *r = in->request;
    bool again = in->seen & (1U << in->field);
    in->in_value = false;
    in->seen |= 1U << in->field;
    switch ((enum field)in->field) {
    case FIELD_OTHER:
        return 0;
    case FIELD_AUTHORIZATION:
        return keep(in, &r->authorization);
    case FIELD_IF_MATCH:
        return keep(in, &r->if_match);
    case FIELD_KEY:
        return keep(in, &r->idempotency_key);
    case FIELD_LAST_EVENT:
        return keep(in, &r->last_event_id);
    case FIELD_ACCEPT: /* a list, which may come in several lines: the first says enough */
        return r->accept ? 0 : keep(in, &r->accept);
    case FIELD_EXPECT:
        in->expects_continue = strcasecmp(str_get(&in->value), "100-continue") == 0;
        in->expect_unknown = !in->expects_continue;
        return 0;
    case FIELD_HOST:
        return again ? bad(in, SKEP_EARG, "The Host header came twice. Send it once") : 0;
    }
    return 0;
}

static int on_field(http_parser *p, const char *at, size_t n)
{
    struct http_in *in = of(p);
    if (in->in_value || in->name_n == 0) {
        if (in->in_value && !in->head_complete && value_done(in))
            return -1;
        in->in_value = false;
        in->name_n = 0;
    }
    if (memchr(at, ' ', n)) /* "Host : x" is a way to smuggle headers past whoever reads it otherwise */
        return bad(in, SKEP_EARG, "The name of a header field has a blank in it");
    size_t fits = sizeof in->name - 1 - in->name_n;
    size_t take = n < fits ? n : fits;
    memcpy(in->name + in->name_n, at, take);
    in->name_n += take;
    return count(in, n);
}

static enum field field_of(const char *name, size_t n)
{
    for (size_t i = 0; i < COUNT(fields); i++)
        if (fields[i].n == n && strncasecmp(fields[i].name, name, n) == 0)
            return fields[i].field;
    return FIELD_OTHER;
}

static int on_value(http_parser *p, const char *at, size_t n)
{
    struct http_in *in = of(p);
    if (!in->in_value) {
        in->in_value = true;
        in->field = in->head_complete ? FIELD_OTHER : (int)field_of(in->name, in->name_n);
        str_clear(&in->value);
        if (count(in, 4)) /* ": " and the line's end */
            return -1;
    }
    if (in->field != FIELD_OTHER)
        str_add(&in->value, at, n);
    return count(in, n);
}

static enum req_method method_of(unsigned method)
{
    switch (method) {
    case HTTP_GET:
        return HTTP_M_GET;
    case HTTP_HEAD:
        return HTTP_M_HEAD;
    case HTTP_PUT:
        return HTTP_M_PUT;
    case HTTP_POST:
        return HTTP_M_POST;
    case HTTP_PATCH:
        return HTTP_M_PATCH;
    case HTTP_DELETE:
        return HTTP_M_DELETE;
    default:
        return HTTP_M_OTHER;
    }
}

/* "/path?query", "http://host/path?query", or whatever CONNECT and OPTIONS bring: theirs goes nowhere. */
static int split_uri(struct http_in *in)
{
    const char *uri = str_get(&in->uri), *path = uri;
    for (const char *p = uri; *p; p++) /* the parser lets a tab and a form feed through */
        if ((unsigned char)*p <= ' ' || *p == 0x7f)
            return bad(in, SKEP_EARG, "The request target has a control character. Percent-encode it");
    if (strncasecmp(uri, "http://", 7) == 0 || strncasecmp(uri, "https://", 8) == 0) {
        path = strstr(uri, "://") + 3;
        path += strcspn(path, "/?");
    }
    if (strchr(path, '#'))
        return bad(in, SKEP_EARG, "The request target has a fragment. Write # as %23 in names");
    size_t n = strcspn(path, "?");
    in->request->path = n ? mem_copy(path, n) : mem_dup("/");
    if (path[n] == '?')
        in->request->query = mem_dup(path + n + 1);
    return 0;
}

/* After Fielding et al., RFC 9112, section 6.3, as far as http-parser leaves it to us. */
static int on_head(http_parser *p)
{
    struct http_in *in = of(p);
    if (in->in_value && value_done(in))
        return -1;
    if (split_uri(in))
        return -1;
    in->http_1_0 = p->http_major < 1 || (p->http_major == 1 && p->http_minor == 0);
    if (p->http_major != 1)
        return bad(in, SKEP_EARG, "This port speaks HTTP/1.1. Use that version");
    if (!in->http_1_0 && !(in->seen & (1U << FIELD_HOST)))
        return bad(in, SKEP_EARG, "The Host header is missing. HTTP/1.1 demands it");
    if (in->expect_unknown)
        return bad(in, SKEP_EARG, "The Expect header asks for something unknown. Only 100-continue is");
    in->request->method = method_of(p->method);
    in->chunked = p->flags & F_CHUNKED;
    if (p->flags & F_CONTENTLENGTH)
        in->content_length = p->content_length > INT64_MAX ? INT64_MAX : (int64_t)p->content_length;
    in->has_body = in->chunked || in->content_length > 0;
    in->expects_continue = in->expects_continue && in->has_body && !in->http_1_0;
    in->keep_alive = http_should_keep_alive(p);
    in->head_complete = true;
    in->head_bytes = 0; /* trailers are counted anew */
    in->name_n = 0;
    p->upgrade = 0; /* we never change the protocol, and may ignore the wish (RFC 9110, section 7.8) */
    return stop_at(in, HTTP_IN_HEAD);
}

static int on_body(http_parser *p, const char *at, size_t n)
{
    struct http_in *in = of(p);
    in->body = (struct span){at, n};
    return stop_at(in, HTTP_IN_BODY);
}

static int on_end(http_parser *p)
{
    struct http_in *in = of(p);
    in->begun = false;
    p->upgrade = 0;
    return stop_at(in, HTTP_IN_END);
}

static const http_parser_settings settings = {
    .on_message_begin = on_begin,
    .on_url = on_url,
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_headers_complete = on_head,
    .on_body = on_body,
    .on_message_complete = on_end,
};

void http_in_init(struct http_in *in, const struct http_in_limits *limits)
{
    *in = (struct http_in){.limits = *limits, .content_length = -1};
    http_parser_init(&in->parser, HTTP_REQUEST);
    in->parser.data = in;
}

void http_in_fini(struct http_in *in)
{
    request_free(in->request);
    str_fini(&in->uri);
    str_fini(&in->value);
    in->request = NULL;
}

static void blame_parser(struct http_in *in)
{
    enum http_errno why = HTTP_PARSER_ERRNO(&in->parser);
    if (why == HPE_HEADER_OVERFLOW)
        bad(in, SKEP_ETOOLARGE, "The header is too large. Send fewer or shorter fields");
    else
        err_set(&in->error, SKEP_EARG, "This is not HTTP/1.1: %s", http_errno_description(why));
    in->step = HTTP_IN_BAD;
}

enum http_in_step http_in_feed(struct http_in *in, const char *bytes, size_t n, size_t *ret_used,
                               struct span *ret_body)
{
    *ret_used = 0;
    if (in->step == HTTP_IN_BAD)
        return HTTP_IN_BAD;
    if (n == 0)
        return HTTP_IN_MORE;
    if (HTTP_PARSER_ERRNO(&in->parser) == HPE_PAUSED)
        http_parser_pause(&in->parser, 0);
    in->step = HTTP_IN_MORE;
    *ret_used = http_parser_execute(&in->parser, &settings, bytes, n);
    enum http_errno why = HTTP_PARSER_ERRNO(&in->parser);
    if (why != HPE_OK && why != HPE_PAUSED && in->step != HTTP_IN_BAD)
        blame_parser(in);
    if (in->step == HTTP_IN_BODY)
        *ret_body = in->body;
    return in->step;
}

bool http_in_safe(enum req_method m)
{
    return m == HTTP_M_GET || m == HTTP_M_HEAD;
}
