/* uri: percent-encoding, paths, queries, base addresses, names (RFC 3986; the rules are in uri.h).
 * Splits before it decodes, so that an encoded slash is part of a segment. Resolves no host, opens nothing.
 */
#include "wire/uri.h"

#include <ctype.h>
#include <string.h>

#include "base/ensure.h"

int name_check(const char *p, size_t n, const char *field, struct err *e)
{
    if (n == 0)
        return err_field(e, SKEP_EARG, field, "%s is empty; give 1 to %d bytes", field, NAME_BYTES_MAX);
    if (n > NAME_BYTES_MAX)
        return err_field(e, SKEP_EARG, field, "%s has %zu bytes; %d are allowed", field, n, NAME_BYTES_MAX);
    if ((n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
        return err_field(e, SKEP_EARG, field, "%s must not be \".\" or \"..\"", field);
    if (!text_is_utf8(p, n))
        return err_field(e, SKEP_EARG, field, "%s is not valid UTF-8", field);
    if (!text_is_clean(p, n))
        return err_field(e, SKEP_EARG, field, "%s holds a control character; use printable text", field);
    return 0;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int escape_error(struct err *e, const char *p, size_t left)
{
    char shown[4] = "";
    for (size_t i = 0; i < 3 && i < left && p[i] > 0x20 && p[i] < 0x7f; i++)
        shown[i] = p[i];
    return err_set(e, SKEP_EARG, "\"%s\" is no percent escape; write a %% itself as %%25", shown);
}

/* One byte of encoded text, and how many it took there; 0 with e set. */
static size_t decode_byte(const char *p, size_t left, char *ret, struct err *e)
{
    if (*p != '%') {
        *ret = *p;
        if ((unsigned char)*p > 0x20 && *p != 0x7f)
            return 1;
        err_set(e, SKEP_EARG, "byte 0x%02x must be percent-encoded", (unsigned)(unsigned char)*p);
        return 0;
    }
    int high = left > 1 ? hex_digit(p[1]) : -1, low = left > 2 ? hex_digit(p[2]) : -1;
    if (high < 0 || low < 0) {
        escape_error(e, p, left);
        return 0;
    }
    *ret = (char)(high << 4 | low);
    if (*ret)
        return 3;
    err_set(e, SKEP_EARG, "%%00 is not allowed: no argument may hold a NUL");
    return 0;
}

int uri_decode(struct span text, struct str *ret_text, struct err *e)
{
    size_t before = ret_text->n, took;
    str_reserve(ret_text, text.n);
    for (size_t i = 0; i < text.n; i += took) {
        char c;
        took = decode_byte(text.p + i, text.n - i, &c, e);
        if (took == 0)
            goto fail;
        ret_text->p[ret_text->n++] = c;
    }
    ret_text->p[ret_text->n] = 0;
    if (text_is_utf8(ret_text->p + before, ret_text->n - before))
        return 0;
    err_set(e, SKEP_EARG, "what the percent escapes spell is not valid UTF-8");
fail:
    ret_text->n = before;
    ret_text->p[before] = 0;
    return SKEP_EARG;
}

static bool is_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

void uri_encode(struct str *s, const char *p, size_t n)
{
    static const char digit[] = "0123456789ABCDEF";
    bool dots = (n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.');
    str_reserve(s, n);
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)p[i];
        if (is_unreserved(p[i]) && !dots) {
            str_putc(s, p[i]);
        } else {
            char escape[3] = {'%', digit[c >> 4], digit[c & 15]};
            str_add(s, escape, sizeof escape);
        }
    }
}

int uri_path_parse(const char *path, struct uri_path *ret_path, struct err *e)
{
    struct uri_path made = {.n = 0};
    int rc = 0;
    if (path[0] != '/')
        return err_set(e, SKEP_EARG, "a path begins with a slash");
    for (const char *p = path[1] ? path : ""; *p && rc == 0;) {
        size_t n = strcspn(++p, "/"); /* p was at a slash */
        AUTOSTR struct str text = STR_INIT;
        if (n == 0)
            rc = err_set(e, SKEP_EARG, "the path has an empty segment; leave out the second or last slash");
        else if (made.n == URI_SEGMENTS_MAX)
            rc = err_set(e, SKEP_ENOTFOUND, "no path has more than %d segments", URI_SEGMENTS_MAX);
        else if ((rc = uri_decode((struct span){p, n}, &text, e)) < 0)
            err_wrap(e, "path segment %zu", made.n + 1);
        else
            made.segments[made.n++] = str_take(&text);
        p += n;
    }
    if (rc < 0)
        uri_path_fini(&made);
    else
        *ret_path = made;
    return rc;
}

void uri_path_fini(struct uri_path *path)
{
    for (size_t i = 0; i < path->n; i++)
        free(TAKE(path->segments[i]));
    path->n = 0;
}

/* ---- Queries ---- */

static const struct uri_param *param_find(const struct uri_table *tables, size_t n, const char *name,
                                          void **ret_place, size_t *ret_index)
{
    size_t index = 0;
    for (size_t t = 0; t < n; t++)
        for (size_t i = 0; i < tables[t].n; i++, index++)
            if (strcmp(tables[t].params[i].name, name) == 0) {
                *ret_place = (char *)tables[t].ret + tables[t].params[i].offset;
                *ret_index = index;
                return &tables[t].params[i];
            }
    return NULL;
}

static int param_unknown(const struct uri_table *tables, size_t n, const char *name, struct err *e)
{
    AUTOSTR struct str known = STR_INIT;
    for (size_t t = 0; t < n; t++)
        for (size_t i = 0; i < tables[t].n; i++)
            str_printf(&known, "%s%s", known.n ? ", " : "", tables[t].params[i].name);
    bool clean = text_is_clean(name, strlen(name)) && strlen(name) < 100;
    if (known.n == 0)
        return err_field(e, SKEP_EARG, clean ? name : "", "this call takes no query parameters");
    return err_field(e, SKEP_EARG, clean ? name : "", "unknown query parameter%s%s%s; known: %s",
                     clean ? " \"" : "", clean ? name : "", clean ? "\"" : "", str_get(&known));
}

static int param_word(const struct uri_param *p, const char *value, int *ret, struct err *e)
{
    AUTOSTR struct str words = STR_INIT;
    for (int i = 0; p->words[i]; i++) {
        if (strcmp(p->words[i], value) == 0) {
            *ret = i;
            return 0;
        }
        str_printf(&words, "%s%s", i ? ", " : "", p->words[i]);
    }
    return err_field(e, SKEP_EARG, p->name, "query parameter \"%s\" must be one of %s", p->name,
                     str_get(&words));
}

static int param_bool(const struct uri_param *p, const char *value, bool *ret, struct err *e)
{
    bool yes = strcmp(value, "true") == 0 || strcmp(value, "1") == 0 || !*value;
    if (!yes && strcmp(value, "false") != 0 && strcmp(value, "0") != 0)
        return err_field(e, SKEP_EARG, p->name, "query parameter \"%s\" must be true or false", p->name);
    *ret = yes;
    return 0;
}

static int param_text(const struct uri_param *p, const char *value, char **ret, struct err *e)
{
    size_t n = strlen(value);
    if (p->max > 0 && n > (size_t)p->max)
        return err_field(e, SKEP_EARG, p->name, "query parameter \"%s\" has %zu bytes; %lld are allowed",
                         p->name, n, (long long)p->max);
    mem_replace(ret, value);
    return 0;
}

static int param_set(const struct uri_param *p, const char *value, void *place, struct err *e)
{
    switch (p->kind) {
    case URI_NAME: {
        int rc = name_check(value, strlen(value), p->name, e);
        return rc < 0 ? rc : param_text(p, value, place, e);
    }
    case URI_TEXT:
        return param_text(p, value, place, e);
    case URI_INT:
        if (text_i64(value, p->min, p->max, place))
            return 0;
        return err_field(e, SKEP_EARG, p->name,
                         "query parameter \"%s\" must be a whole number from %lld to %lld", p->name,
                         (long long)p->min, (long long)p->max);
    case URI_BOOL:
        return param_bool(p, value, place, e);
    case URI_WORD:
        return param_word(p, value, place, e);
    }
    unreachable("query parameter %s of kind %d", p->name, (int)p->kind);
}

/* One name=value. seen: a bit per parameter of the tables. */
static int query_pair(struct span pair, const struct uri_table *tables, size_t n, uint32_t *seen,
                      struct err *e)
{
    AUTOSTR struct str name = STR_INIT, value = STR_INIT;
    const char *equals = memchr(pair.p, '=', pair.n);
    size_t name_n = equals ? (size_t)(equals - pair.p) : pair.n, index = 0;
    struct span raw = equals ? (struct span){equals + 1, pair.n - name_n - 1} : (struct span){pair.p, 0};
    void *place = NULL;
    int rc = uri_decode((struct span){pair.p, name_n}, &name, e);
    if (rc < 0)
        return rc;
    const struct uri_param *p = param_find(tables, n, str_get(&name), &place, &index);
    if (!p)
        return param_unknown(tables, n, str_get(&name), e);
    if (*seen & UINT32_C(1) << index)
        return err_field(e, SKEP_EARG, p->name, "query parameter \"%s\" comes twice", p->name);
    *seen |= UINT32_C(1) << index;
    if ((rc = uri_decode(raw, &value, e)) < 0) {
        err_wrap(e, "query parameter \"%s\"", p->name);
        return rc;
    }
    if (!equals && p->kind != URI_BOOL)
        return err_field(e, SKEP_EARG, p->name, "query parameter \"%s\" needs a value", p->name);
    return param_set(p, str_get(&value), place, e);
}

int uri_query(const char *query, const struct uri_table *tables, size_t n, struct err *e)
{
    size_t all = 0;
    uint32_t seen = 0;
    for (size_t t = 0; t < n; t++)
        all += tables[t].n;
    ensure(all <= URI_PARAMS_MAX, "%zu query parameters", all);
    for (const char *p = query ? query : ""; *p;) {
        size_t pair_n = strcspn(p, "&");
        int rc = pair_n ? query_pair((struct span){p, pair_n}, tables, n, &seen, e) : 0;
        if (rc < 0)
            return rc;
        p += pair_n + (p[pair_n] == '&');
    }
    return 0;
}

void uri_query_fini(const struct uri_table *tables, size_t n)
{
    for (size_t t = 0; t < n; t++)
        for (size_t i = 0; i < tables[t].n; i++) {
            const struct uri_param *p = &tables[t].params[i];
            if (p->kind == URI_TEXT || p->kind == URI_NAME)
                mem_replace((char **)((char *)tables[t].ret + p->offset), NULL);
        }
}

/* ---- Base addresses ---- */

static int base_error(const char *text, const char *what, struct err *e)
{
    bool clean = text_is_clean(text, strlen(text)) && strlen(text) < 200;
    return err_set(e, SKEP_EARG, "\"%s\" %s; write https://host:port, http://host:port or unix:///path",
                   clean ? text : "?", what);
}

static bool host_is_good(const char *p, size_t n, bool v6)
{
    for (size_t i = 0; i < n; i++) {
        bool good =
            v6 ? hex_digit(p[i]) >= 0 || p[i] == ':' || p[i] == '.' : (is_unreserved(p[i]) && p[i] != '~');
        if (!good)
            return false;
    }
    return n > 0 && n <= 253;
}

static int base_unix(const char *text, const char *path, struct uri_base *ret_base, struct err *e)
{
    AUTOSTR struct str decoded = STR_INIT;
    if (path[0] != '/' || !path[1])
        return base_error(text, "names no absolute path", e);
    int rc = uri_decode((struct span){path, strlen(path)}, &decoded, e);
    if (rc == 0)
        *ret_base = (struct uri_base){.scheme = URI_UNIX, .path = str_take(&decoded)};
    return rc;
}

int uri_base_parse(const char *text, uint16_t port_default, struct uri_base *ret_base, struct err *e)
{
    if (text_starts(text, "unix://"))
        return base_unix(text, text + strlen("unix://"), ret_base, e);
    bool https = text_starts(text, "https://");
    if (!https && !text_starts(text, "http://"))
        return base_error(text, "has no scheme that skep speaks", e);
    const char *host = text + (https ? strlen("https://") : strlen("http://"));
    bool v6 = *host == '[';
    host += v6;
    size_t host_n = strcspn(host, v6 ? "]" : ":/?#@");
    const char *rest = host + host_n;
    if (!host_is_good(host, host_n, v6) || (v6 && *rest++ != ']'))
        return base_error(text, "has no good host", e);
    int64_t port = port_default;
    if (*rest == ':') {
        char digits[6] = "";
        size_t n = strspn(rest + 1, "0123456789");
        if (n < sizeof digits)
            memcpy(digits, rest + 1, n);
        if (!text_i64(digits, 1, 65535, &port))
            return base_error(text, "has no port from 1 to 65535", e);
        rest += 1 + n;
    }
    if (strcmp(rest, "") != 0 && strcmp(rest, "/") != 0)
        return base_error(text, "has more than a host and a port", e);
    *ret_base = (struct uri_base){
        .scheme = https ? URI_HTTPS : URI_HTTP, .host = mem_copy(host, host_n), .port = (uint16_t)port};
    for (char *c = ret_base->host; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    return 0;
}

void uri_base_text(struct str *s, const struct uri_base *base)
{
    switch (base->scheme) {
    case URI_UNIX:
        str_puts(s, "unix://");
        for (const char *p = base->path; *p;) {
            size_t n = strcspn(++p, "/"); /* p was at a slash */
            str_putc(s, '/');
            uri_encode(s, p, n);
            p += n;
        }
        return;
    case URI_HTTPS:
    case URI_HTTP: {
        bool v6 = strchr(base->host, ':');
        str_printf(s, "%s://%s%s%s:%u", base->scheme == URI_HTTPS ? "https" : "http", v6 ? "[" : "",
                   base->host, v6 ? "]" : "", (unsigned)base->port);
        return;
    }
    }
    unreachable("scheme %d", (int)base->scheme);
}

void uri_base_fini(struct uri_base *base)
{
    free(TAKE(base->host));
    free(TAKE(base->path));
}
