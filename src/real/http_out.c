#include "real/http_out.h"

#include <http_parser.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/ensure.h"
#include "base/err.h"

#define PUT(to, literal) str_add((to), "" literal, sizeof(literal) - 1)

static void put_number(struct str *to, uint64_t value)
{
    char digits[20];
    size_t n = sizeof digits;
    do
        digits[--n] = (char)('0' + value % 10);
    while (value /= 10);
    str_add(to, digits + n, sizeof digits - n);
}

static void put_status(struct str *to, int status)
{
    if (status == 200) {
        PUT(to, "HTTP/1.1 200 OK\r\n");
        return;
    }
    ensure(status >= 200 && status < 600, "an answer with status %d", status);
    PUT(to, "HTTP/1.1 ");
    put_number(to, (uint64_t)status);
    str_putc(to, ' ');
    str_puts(to, http_status_str((enum http_status)status));
    PUT(to, "\r\n");
}

static void put_common(struct str *to, const char *content_type, const struct http_out *how)
{
    if (how->date) {
        PUT(to, "Date: ");
        str_puts(to, how->date);
        PUT(to, "\r\n");
    }
    if (content_type) {
        PUT(to, "Content-Type: ");
        str_puts(to, content_type);
        PUT(to, "\r\n");
    }
    if (how->close)
        PUT(to, "Connection: close\r\n");
    else if (how->http_1_0)
        PUT(to, "Connection: keep-alive\r\n");
}

static void put_rare(struct str *to, const struct answer *a)
{
    if (*a->etag) {
        PUT(to, "ETag: \"");
        str_puts(to, a->etag);
        PUT(to, "\"\r\n");
    }
    if (*a->allow) {
        PUT(to, "Allow: ");
        str_puts(to, a->allow);
        PUT(to, "\r\n");
    }
    if (a->retry_after_s > 0) {
        PUT(to, "Retry-After: ");
        put_number(to, (uint64_t)a->retry_after_s);
        PUT(to, "\r\n");
    }
}

void http_out_answer(struct str *to, const struct answer *a, const struct http_out *how)
{
    bool bodyless = a->status == 204 || a->status == 304;
    str_reserve(to, 256 + a->body_n);
    put_status(to, a->status);
    put_common(to, bodyless ? NULL : a->content_type ? a->content_type : "application/json", how);
    put_rare(to, a);
    if (!bodyless) {
        PUT(to, "Content-Length: ");
        put_number(to, a->body_n);
        PUT(to, "\r\n");
    }
    PUT(to, "\r\n");
    if (!bodyless && !how->head_only)
        str_add(to, a->body, a->body_n);
}

void http_out_stream(struct str *to, const char *content_type, const struct http_out *how)
{
    put_status(to, 200);
    put_common(to, content_type, how);
    PUT(to, "Cache-Control: no-store\r\n");
    if (!how->http_1_0)
        PUT(to, "Transfer-Encoding: chunked\r\n");
    PUT(to, "\r\n");
}

void http_out_chunk(struct str *to, const char *bytes, size_t n)
{
    char size[20];
    int size_n = snprintf(size, sizeof size, "%zx\r\n", n);
    str_reserve(to, n + sizeof size + 2);
    str_add(to, size, (size_t)size_n);
    str_add(to, bytes, n);
    PUT(to, "\r\n");
}

void http_out_last_chunk(struct str *to)
{
    PUT(to, "0\r\n\r\n");
}

void http_out_date(int64_t real_s, char ret_text[HTTP_DATE_MAX])
{
    static const char day[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char month[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                    "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t t = (time_t)real_s;
    struct tm tm;
    gmtime_r(&t, &tm);
    snprintf(ret_text, HTTP_DATE_MAX, "%s, %02u %s %04u %02u:%02u:%02u GMT", day[tm.tm_wday % 7],
             (unsigned)tm.tm_mday % 100, month[tm.tm_mon % 12], (unsigned)(tm.tm_year + 1900) % 10000,
             (unsigned)tm.tm_hour % 100, (unsigned)tm.tm_min % 100, (unsigned)tm.tm_sec % 100);
}

struct answer *http_out_problem(int err_code, const char *detail_fmt, ...)
{
    const struct err_info *info = err_info(err_code);
    char detail[512];
    va_list ap;
    va_start(ap, detail_fmt);
    vsnprintf(detail, sizeof detail, detail_fmt, ap);
    va_end(ap);
    struct answer *a = mem_alloc(sizeof *a);
    a->status = info->http;
    a->content_type = "application/problem+json";
    a->body =
        mem_printf("{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d,\"detail\":\"%s\",\"code\":"
                   "\"%s\"}",
                   info->title, info->http, detail, info->word);
    a->body_n = strlen(a->body);
    if (info->http == 503 || info->http == 429)
        a->retry_after_s = 1;
    return a;
}
