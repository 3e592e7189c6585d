/* uri: percent-encoding, paths, queries, base addresses, and the rule for names.
 *
 * RFC 3986, strictly: a % must be followed by two hex digits, %00 is refused, what is decoded must be UTF-8,
 * and + is a plus. A decoded segment is a name like any other, also when it reads `../x`: this file splits
 * before it decodes and nobody turns a name into a file path.
 */
#ifndef SKEP_WIRE_URI_H
#define SKEP_WIRE_URI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

#define NAME_BYTES_MAX 1024

/* A name: UTF-8, 1 byte to 1 KiB, no control characters, not "." or "..". SKEP_EARG blames `field`. */
int name_check(const char *p, size_t n, const char *field, struct err *e);

/* Appends the decoded bytes to ret_text (as it was on failure). SKEP_EARG. */
int uri_decode(struct span text, struct str *ret_text, struct err *e);
/* Appends p[0..n) with everything but unreserved characters (A-Z a-z 0-9 - . _ ~) encoded; "." and ".." are
 * encoded too, for clients resolve them. */
void uri_encode(struct str *s, const char *p, size_t n);

#define URI_SEGMENTS_MAX 12

struct uri_path {
    char *segments[URI_SEGMENTS_MAX]; /* owned, decoded, 0-terminated, no NUL inside */
    size_t n;
};

/* "/v1/swarms/a%2Fb" → v1, swarms, a/b. "/" has none; an empty segment (//, a slash at the end) is refused.
 */
int uri_path_parse(const char *path, struct uri_path *ret_path, struct err *e);
void uri_path_fini(struct uri_path *path);

/* Query parameters: a table of what may come, each with its place in the caller's struct. What is absent
 * leaves its place alone: fill in the defaults first. */
enum uri_kind {
    URI_TEXT, /* char *, owned, freed by uri_query_fini; at most max bytes if max > 0 */
    URI_NAME, /* the same, and name_check()ed */
    URI_INT,  /* int64_t in min..max */
    URI_BOOL, /* bool: true, false, 1, 0, or the bare name for true */
    URI_WORD, /* int: index into words */
};

struct uri_param {
    const char *name;
    enum uri_kind kind;
    size_t offset;
    int64_t min, max;
    const char *const *words; /* NULL-terminated */
};

/* URI_PARAM(struct args, limit, URI_INT, .min = 1, .max = 1000) */
#define URI_PARAM(type, member, kind_, ...)                                                                  \
    {                                                                                                        \
        .name = #member, .kind = kind_, .offset = offsetof(type, member), __VA_ARGS__                        \
    }

#define URI_PARAMS_MAX 32 /* in all tables of one call */

/* Several tables may describe one query (what all routes take, and what this one takes). */
struct uri_table {
    const struct uri_param *params;
    size_t n;
    void *ret; /* the struct that offsets count from; its URI_TEXT and URI_NAME members NULL or owned */
};

/* query: without '?'; NULL and "" are empty. SKEP_EARG names the parameter: unknown, twice, out of range,
 * malformed. On failure as on success uri_query_fini frees what was filled in. */
int uri_query(const char *query, const struct uri_table *tables, size_t n, struct err *e);
void uri_query_fini(const struct uri_table *tables, size_t n);

/* Where somebody listens: https://host[:port], http://host[:port], unix:///path. */
enum uri_scheme { URI_HTTPS, URI_HTTP, URI_UNIX };

struct uri_base {
    enum uri_scheme scheme;
    char *host;    /* owned; lower case; IPv6 without brackets; NULL for unix */
    uint16_t port; /* 0 for unix */
    char *path;    /* owned: the socket, absolute; NULL otherwise */
};

/* A trailing slash is fine; user, path, query or fragment are refused. SKEP_EARG. */
int uri_base_parse(const char *text, uint16_t port_default, struct uri_base *ret_base, struct err *e);
/* Appends the canonical text, always with the port. */
void uri_base_text(struct str *s, const struct uri_base *base);
void uri_base_fini(struct uri_base *base);

#endif
