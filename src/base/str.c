#include "base/str.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/ensure.h"

void str_fini(struct str *s)
{
    free(s->p);
    *s = STR_INIT;
}

void str_clear(struct str *s)
{
    s->n = 0;
    if (s->p)
        s->p[0] = 0;
}

void str_reserve(struct str *s, size_t more)
{
    size_t need;
    ensure(!__builtin_add_overflow(s->n, more, &need) && need < SIZE_MAX / 2, "%zu more bytes", more);
    if (need < s->cap)
        return;
    size_t cap = s->cap ? s->cap : 64;
    while (cap <= need)
        cap *= 2;
    s->p = mem_resize(s->p, cap, 1);
    s->cap = cap;
}

void str_add(struct str *s, const void *bytes, size_t n)
{
    str_reserve(s, n);
    if (n)
        memcpy(s->p + s->n, bytes, n);
    s->n += n;
    s->p[s->n] = 0;
}

void str_puts(struct str *s, const char *text)
{
    str_add(s, text, strlen(text));
}

void str_putc(struct str *s, char c)
{
    str_add(s, &c, 1);
}

void str_printf(struct str *s, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    ensure(n >= 0, "bad format %s", fmt);
    str_reserve(s, (size_t)n);
    vsnprintf(s->p + s->n, (size_t)n + 1, fmt, again);
    va_end(again);
    s->n += (size_t)n;
}

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool str_unhex(struct str *s, const char *hex)
{
    size_t n = s->n;
    for (; hex[0] && hex[1] && digit(hex[0]) >= 0 && digit(hex[1]) >= 0; hex += 2)
        str_putc(s, (char)(digit(hex[0]) << 4 | digit(hex[1])));
    if (!*hex)
        return true;
    s->n = n;
    if (s->p)
        s->p[n] = 0;
    return false;
}

void str_hex(struct str *s, const void *bytes, size_t n)
{
    static const char digit[] = "0123456789abcdef";
    const unsigned char *b = bytes;
    str_reserve(s, n * 2);
    for (size_t i = 0; i < n; i++) {
        s->p[s->n++] = digit[b[i] >> 4];
        s->p[s->n++] = digit[b[i] & 15];
    }
    s->p[s->n] = 0;
}

const char *str_get(const struct str *s)
{
    return s->p ? s->p : "";
}

char *str_take(struct str *s)
{
    char *p = s->p ? s->p : mem_dup("");
    *s = STR_INIT;
    return p;
}

/* Length of the UTF-8 character at p, 0 if it is none (RFC 3629: no overlong forms, no surrogates). */
static size_t utf8_char(const unsigned char *p, size_t n)
{
    if (p[0] < 0x80)
        return 1;
    size_t len = p[0] >= 0xF0 ? 4 : p[0] >= 0xE0 ? 3 : 2;
    if (p[0] < 0xC2 || p[0] > 0xF4 || len > n)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    if ((p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xED && p[1] > 0x9F) || (p[0] == 0xF0 && p[1] < 0x90) ||
        (p[0] == 0xF4 && p[1] > 0x8F))
        return 0;
    return len;
}

size_t text_utf8_prefix(const char *p, size_t n)
{
    size_t i = 0;
    while (i < n) {
        uint64_t eight;
        if (n - i >= sizeof eight &&
            (memcpy(&eight, p + i, sizeof eight), (eight & 0x8080808080808080) == 0)) {
            i += sizeof eight; /* ASCII, the common case */
            continue;
        }
        size_t len = utf8_char((const unsigned char *)p + i, n - i);
        if (len == 0)
            break;
        i += len;
    }
    return i;
}

bool text_is_utf8(const char *p, size_t n)
{
    return text_utf8_prefix(p, n) == n;
}

size_t text_control(const char *p, size_t n)
{
    unsigned char first = n ? (unsigned char)p[0] : ' ', second = n > 1 ? (unsigned char)p[1] : 0;
    if (first < 0x20 || first == 0x7f)
        return 1;
    return first == 0xc2 && second >= 0x80 && second < 0xa0 ? 2 : 0;
}

bool text_is_clean(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (text_control(p + i, n - i))
            return false;
    return text_is_utf8(p, n);
}

void text_whole(char *text)
{
    text[text_utf8_prefix(text, strlen(text))] = 0;
}

bool text_starts(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool text_matches(const char *pattern, const char *s)
{
    const char *star = NULL, *back = NULL;
    while (*s) {
        if (*pattern == '*') {
            star = ++pattern;
            back = s;
        } else if (*pattern == '?' || *pattern == *s) {
            pattern++;
            s++;
        } else if (star) {
            pattern = star;
            s = ++back;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == 0;
}

bool text_i64(const char *s, int64_t min, int64_t max, int64_t *ret)
{
    char *end;
    if (!(*s == '-' || (*s >= '0' && *s <= '9')))
        return false;
    errno = 0;
    long long v = strtoll(s, &end, 10);
    if (errno || end == s || *end || v < min || v > max)
        return false;
    *ret = v;
    return true;
}

static const char b64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void str_base64(struct str *s, const void *bytes, size_t n)
{
    const unsigned char *b = bytes;
    str_reserve(s, (n + 2) / 3 * 4);
    for (size_t i = 0; i < n; i += 3) {
        unsigned v =
            (unsigned)b[i] << 16 | (i + 1 < n ? (unsigned)b[i + 1] << 8 : 0) | (i + 2 < n ? b[i + 2] : 0u);
        char quad[4] = {b64[v >> 18], b64[v >> 12 & 63], i + 1 < n ? b64[v >> 6 & 63] : '=',
                        i + 2 < n ? b64[v & 63] : '='};
        str_add(s, quad, 4);
    }
}

bool str_unbase64(struct str *s, const char *text, size_t n)
{
    if (n % 4)
        return false;
    for (size_t i = 0; i < n; i += 4) {
        unsigned v = 0;
        int pad = 0;
        for (int k = 0; k < 4; k++) {
            char c = text[i + (size_t)k];
            const char *at = c ? strchr(b64, c) : NULL;
            if (c == '=' && i + 4 == n && k >= 2)
                pad++;
            else if (!at || pad)
                return false;
            v = v << 6 | (at ? (unsigned)(at - b64) : 0);
        }
        char three[3] = {(char)(v >> 16), (char)(v >> 8), (char)v};
        str_add(s, three, (size_t)(3 - pad));
    }
    return true;
}
