/* json_scan: steps over checked JSON text, and what can be asked of it without a tree. */
#include "wire/json_scan.h"

#include <string.h>

#include "base/ensure.h"

/* A quote ends the string unless an odd number of backslashes is before it. */
const char *scan_string(const char *p)
{
    for (const char *start = p + 1, *quote = start;; quote++) {
        quote = rawmemchr(quote, '"');
        const char *slashes = quote;
        while (slashes > start && slashes[-1] == '\\')
            slashes--;
        if ((quote - slashes) % 2 == 0)
            return quote + 1;
        start = quote + 1;
    }
}

enum class { PLAIN, QUOTE, OPEN, CLOSE };

static const unsigned char classes[256] = {
    ['"'] = QUOTE, ['{'] = OPEN, ['['] = OPEN, ['}'] = CLOSE, [']'] = CLOSE};

static bool ends_scalar(char c)
{
    return c == ',' || c == '}' || c == ']' || c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

const char *scan_value(const char *p, const char *end)
{
    unsigned depth = 0;
    if (*p == '"')
        return scan_string(p);
    if (classes[(unsigned char)*p] != OPEN) {
        while (p < end && !ends_scalar(*p))
            p++;
        return p;
    }
    for (;; p++) {
        while (classes[(unsigned char)*p] == PLAIN)
            p++;
        if (*p == '"')
            p = scan_string(p) - 1;
        else if (classes[(unsigned char)*p] == OPEN)
            depth++;
        else if (--depth == 0)
            return p + 1;
    }
}

static unsigned hex4(const char *p)
{
    unsigned v = 0;
    for (int i = 0; i < 4; i++) {
        unsigned c = (unsigned char)p[i];
        v = v << 4 | (c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    return v;
}

/* Puts a code point's UTF-8 into pending. */
static void pend(struct unescape *u, unsigned c)
{
    unsigned char *b = u->pending;
    u->pending_at = 0;
    if (c < 0x80) {
        u->pending_n = 1;
        b[0] = (unsigned char)c;
    } else if (c < 0x800) {
        u->pending_n = 2;
        b[0] = (unsigned char)(0xC0 | c >> 6);
    } else if (c < 0x10000) {
        u->pending_n = 3;
        b[0] = (unsigned char)(0xE0 | c >> 12);
    } else {
        u->pending_n = 4;
        b[0] = (unsigned char)(0xF0 | c >> 18);
    }
    for (unsigned i = 1; i < u->pending_n; i++)
        b[i] = (unsigned char)(0x80 | (c >> (6 * (u->pending_n - 1 - i)) & 0x3F));
}

static unsigned escape_letter(char c)
{
    switch (c) {
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    default: /* " \ / stand for themselves */
        return (unsigned char)c;
    }
}

int unescape_next(struct unescape *u)
{
    if (u->pending_at < u->pending_n)
        return u->pending[u->pending_at++];
    if (*u->p == '"')
        return -1;
    if (*u->p != '\\')
        return (unsigned char)*u->p++;
    unsigned c;
    if (u->p[1] != 'u') {
        c = escape_letter(u->p[1]);
        u->p += 2;
    } else {
        c = hex4(u->p + 2);
        u->p += 6;
        if (c >= 0xD800 && c < 0xDC00) {
            c = 0x10000 + ((c - 0xD800) << 10) + (hex4(u->p + 2) - 0xDC00);
            u->p += 6;
        }
    }
    pend(u, c);
    return u->pending[u->pending_at++];
}

struct key key_init(const char *quote)
{
    struct unescape u = unescape_init(quote);
    uint64_t hash =
        UINT64_C(0xcbf29ce484222325); /* FNV-1a: only order and speed rest on it, never the verdict */
    for (int c; (c = unescape_next(&u)) >= 0;)
        hash = (hash ^ (unsigned)c) * UINT64_C(0x100000001b3);
    return (struct key){hash, quote};
}

int key_compare(const void *a, const void *b)
{
    const struct key *x = a, *y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    struct unescape u = unescape_init(x->quote), v = unescape_init(y->quote);
    int c, d;
    do {
        c = unescape_next(&u);
        d = unescape_next(&v);
    } while (c == d && c >= 0);
    return (c > d) - (c < d);
}

bool key_is(const char *quote, const char *name)
{
    struct unescape u = unescape_init(quote);
    int c;
    while ((c = unescape_next(&u)) >= 0)
        if (c != (unsigned char)*name++) /* c is never 0: name is not left behind */
            return false;
    return *name == 0;
}

struct span json_trim(struct span checked)
{
    const char *end = checked.p + checked.n, *p = scan_space(checked.p, end);
    while (end > p && strchr(" \t\n\r", end[-1]))
        end--;
    return (struct span){p, (size_t)(end - p)};
}

enum json_type json_type(struct span checked)
{
    switch (*scan_space(checked.p, checked.p + checked.n)) {
    case 'n':
        return JSON_T_NULL;
    case 't':
    case 'f':
        return JSON_T_BOOL;
    case '"':
        return JSON_T_STRING;
    case '[':
        return JSON_T_ARRAY;
    case '{':
        return JSON_T_OBJECT;
    default:
        return JSON_T_NUMBER;
    }
}

struct json_iter json_iter_init(struct span checked)
{
    if (!checked.p)
        return (struct json_iter){NULL, NULL, false};
    const char *end = checked.p + checked.n, *p = scan_space(checked.p, end);
    if (p == end || (*p != '{' && *p != '['))
        return (struct json_iter){end, end, false};
    return (struct json_iter){p + 1, end, *p == '{'};
}

bool json_iter_next(struct json_iter *it, struct span *ret_key, struct span *ret_value)
{
    struct span key = {NULL, 0};
    const char *p = scan_space(it->p, it->end);
    if (p == it->end || *p == '}' || *p == ']')
        return false;
    if (*p == ',')
        p = scan_space(p + 1, it->end);
    if (it->object) {
        const char *behind = scan_string(p);
        key = (struct span){p, (size_t)(behind - p)};
        p = scan_space(behind, it->end) + 1; /* the colon */
        p = scan_space(p, it->end);
    }
    it->p = scan_value(p, it->end);
    if (ret_key)
        *ret_key = key;
    *ret_value = (struct span){p, (size_t)(it->p - p)};
    return true;
}

struct span json_raw_member(const char *p, size_t n, const char *name)
{
    struct json_iter it = json_iter_init((struct span){p, n});
    struct span key, value;
    while (it.object && json_iter_next(&it, &key, &value))
        if (key_is(key.p, name))
            return value;
    return (struct span){NULL, 0};
}

bool json_unquote(struct span checked, struct str *ret_text)
{
    struct span s = json_trim(checked);
    if (s.n == 0 || *s.p != '"')
        return false;
    if (!memchr(s.p, '\\', s.n)) {
        str_add(ret_text, s.p + 1, s.n - 2);
        return true;
    }
    str_reserve(ret_text, s.n);
    struct unescape u = unescape_init(s.p);
    for (int c; (c = unescape_next(&u)) >= 0;)
        ret_text->p[ret_text->n++] = (char)c; /* never longer than its escaped form */
    ret_text->p[ret_text->n] = 0;
    return true;
}

/* The exponent part at p, clamped: beyond ±9999 only the sign matters, for no text is that long a number. */
static int exponent(const char *p, const char *end)
{
    if (p == end)
        return 0;
    bool minus = p[1] == '-';
    int v = 0;
    for (p += 1 + (p[1] == '-' || p[1] == '+'); p < end; p++)
        v = v < 100000000 ? v * 10 + (*p - '0') : v;
    return minus ? -v : v;
}

bool json_int(struct span checked, int64_t *ret)
{
    struct span s = json_trim(checked);
    if (s.n == 0 || (*s.p != '-' && (*s.p < '0' || *s.p > '9')))
        return false;
    const char *p = s.p + (*s.p == '-'), *end = s.p + s.n, *digits_end = p, *last = NULL;
    while (digits_end < end && *digits_end != 'e' && *digits_end != 'E')
        digits_end++;
    /* The value is the digits up to the last that is not 0, times 10 to `shift`. */
    const char *point = memchr(p, '.', (size_t)(digits_end - p));
    for (const char *c = p; c < digits_end; c++)
        if (*c >= '1' && *c <= '9')
            last = c;
    if (!last) {
        *ret = 0;
        return true;
    }
    int64_t whole = (point ? point : digits_end) - p, used = last - p + (last < (point ? point : digits_end));
    int64_t shift = whole - used + exponent(digits_end, end), v = 0;
    if (shift < 0 || shift > 16)
        return false;
    for (const char *c = p; c <= last; c++) {
        if (*c != '.')
            v = v * 10 + (*c - '0');
        if (v > JSON_INT_MAX)
            return false;
    }
    for (; shift > 0; shift--)
        if ((v *= 10) > JSON_INT_MAX)
            return false;
    *ret = *s.p == '-' ? -v : v;
    return true;
}
