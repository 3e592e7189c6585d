/* http_in: the bytes of a client as requests. http-parser reads them; this file says what a request may be.
 *
 * Decides: the limits of the request line and the header block, which headers matter, that a header which
 * says who asks or under which condition may come once only, and what is refused as malformed. Refuses to
 * know sockets, routes, body limits, time, and what a path means: it stays percent-encoded, and bytes from
 * 0x80 on pass as they came. Pull style: feed bytes, get one step, feed the rest.
 */
#ifndef SKEP_REAL_HTTP_IN_H
#define SKEP_REAL_HTTP_IN_H

#include <http_parser.h>

#include "base/err.h"
#include "base/str.h"
#include "world/request.h"

struct http_in_limits {
    size_t uri_max;  /* bytes of the request target */
    size_t head_max; /* bytes of all header fields, and again of all trailers */
};

enum http_in_step {
    HTTP_IN_MORE, /* all bytes are used, nothing is complete */
    HTTP_IN_HEAD, /* the head is complete: request, content_length and the flags below are valid */
    HTTP_IN_BODY, /* ret_body holds bytes of the body, borrowed from what was fed */
    HTTP_IN_END,  /* the request is complete */
    HTTP_IN_BAD,  /* malformed or over a limit: error says why. Nothing more may be fed */
};

struct http_in {
    http_parser parser;
    struct http_in_limits limits;
    struct request *request; /* from its first byte on; owned; who wants it sets NULL. No body in it */
    int64_t content_length;  /* -1: none given */
    bool chunked;
    bool has_body;
    bool expects_continue;
    bool keep_alive;
    bool http_1_0;
    bool begun; /* the first byte of a request was seen, its end was not */
    bool head_complete;
    struct err error;

    /* inner */
    enum http_in_step step;
    struct span body;
    struct str uri, value;
    size_t head_bytes;
    char name[20]; /* longer names matter to nobody */
    size_t name_n;
    bool in_value;
    int field;     /* which header the value belongs to */
    unsigned seen; /* fields that came, a bit each */
    bool expect_unknown;
};

void http_in_init(struct http_in *in, const struct http_in_limits *limits);
void http_in_fini(struct http_in *in);
/* One step. *ret_used: how many of the n bytes are done with; feed from there on next time. With n = 0 and a
 * step waiting behind (a request without a body after HTTP_IN_HEAD needs one more byte) returns HTTP_IN_MORE.
 */
enum http_in_step http_in_feed(struct http_in *in, const char *bytes, size_t n, size_t *ret_used,
                               struct span *ret_body);
/* GET, HEAD: changes nothing, so that several may run at once. */
bool http_in_safe(enum req_method m);

#endif
