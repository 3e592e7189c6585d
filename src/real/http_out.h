/* http_out: an answer as the bytes of HTTP/1.1. Pure; knows no socket and reads no clock.
 */
#ifndef SKEP_REAL_HTTP_OUT_H
#define SKEP_REAL_HTTP_OUT_H

#include "base/str.h"
#include "world/request.h"

/* What the request and its connection mean for the answer's head. */
struct http_out {
    bool head_only;   /* the request was HEAD: Content-Length tells, no body follows */
    bool close;       /* Connection: close */
    bool http_1_0;    /* an HTTP/1.0 client must be told that the connection stays open */
    const char *date; /* borrowed: the value of Date */
};

#define HTTP_DATE_MAX 32 /* bytes of Date's value, with the 0 */

/* "Fri, 20 Nov 2026 12:00:00 GMT", in any locale. */
void http_out_date(int64_t real_s, char ret_text[HTTP_DATE_MAX]);
/* Head and body of a whole answer. */
void http_out_answer(struct str *to, const struct answer *a, const struct http_out *how);
/* The head of an answer of unknown length; status 200. Chunks follow, or to HTTP/1.0 plain bytes until the
 * end. */
void http_out_stream(struct str *to, const char *content_type, const struct http_out *how);
void http_out_chunk(struct str *to, const char *bytes, size_t n); /* n > 0 */
void http_out_last_chunk(struct str *to);

/* A problem document of the connection layer itself. detail: text without quotes, backslashes or control
 * characters, as every format in this floor is. */
struct answer *http_out_problem(int err_code, const char *detail_fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif
