/* json_write: JSON into a struct str. Escapes what must be escaped and decides where commas go; knows no
 * document but the one of errors (RFC 9457). */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/ensure.h"
#include "base/when.h"
#include "wire/json.h"

struct jw jw_init(struct str *s)
{
    return (struct jw){.s = s};
}

void jw_end(const struct jw *j)
{
    ensure(j->depth == 0, "%u objects or arrays still open", j->depth);
}

/* Before each key, and each value that has no key. */
static void comma(struct jw *j)
{
    if (j->comma)
        str_putc(j->s, ',');
    j->comma = true;
}

static void open_nest(struct jw *j, char bracket)
{
    comma(j);
    str_putc(j->s, bracket);
    j->comma = false;
    j->depth++;
}

static void close_nest(struct jw *j, char bracket)
{
    ensure(j->depth > 0, "%c closes nothing", bracket);
    str_putc(j->s, bracket);
    j->comma = true;
    j->depth--;
}

void jw_object(struct jw *j)
{
    open_nest(j, '{');
}

void jw_object_close(struct jw *j)
{
    close_nest(j, '}');
}

void jw_array(struct jw *j)
{
    open_nest(j, '[');
}

void jw_array_close(struct jw *j)
{
    close_nest(j, ']');
}

static bool is_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

static void put_escape(struct str *s, unsigned char c)
{
    switch (c) {
    case '"':
        str_puts(s, "\\\"");
        break;
    case '\\':
        str_puts(s, "\\\\");
        break;
    case '\n':
        str_puts(s, "\\n");
        break;
    case '\r':
        str_puts(s, "\\r");
        break;
    case '\t':
        str_puts(s, "\\t");
        break;
    default:
        str_printf(s, "\\u%04x", c);
    }
}

/* The bytes from p on that are one valid character above ASCII; 0 if they are none. */
static size_t wide_char(const char *p, size_t n)
{
    size_t most = n < 4 ? n : 4;
    for (size_t len = 2; len <= most; len++)
        if (text_is_utf8(p, len))
            return len;
    return 0;
}

static void put_text(struct str *s, const char *p, size_t n)
{
    str_putc(s, '"');
    for (size_t i = 0; i < n;) {
        size_t start = i;
        while (i < n && is_plain((unsigned char)p[i]))
            i++;
        str_add(s, p + start, i - start);
        if (i == n)
            break;
        size_t wide = (unsigned char)p[i] >= 0x80 ? wide_char(p + i, n - i) : 0;
        if (wide)
            str_add(s, p + i, wide);
        else if ((unsigned char)p[i] >= 0x80)
            str_puts(s, "\xEF\xBF\xBD");
        else
            put_escape(s, (unsigned char)p[i]);
        i += wide ? wide : 1;
    }
    str_putc(s, '"');
}

void jw_key(struct jw *j, const char *key)
{
    comma(j);
    put_text(j->s, key, strlen(key));
    str_putc(j->s, ':');
    j->comma = false;
}

void jw_string_n(struct jw *j, const char *p, size_t n)
{
    comma(j);
    put_text(j->s, p, n);
}

void jw_string(struct jw *j, const char *text)
{
    if (text)
        jw_string_n(j, text, strlen(text));
    else
        jw_null(j);
}

static void put_i64(struct str *s, int64_t v)
{
    char text[24], *p = text + sizeof text;
    uint64_t left = v < 0 ? -(uint64_t)v : (uint64_t)v;
    do
        *--p = (char)('0' + left % 10);
    while (left /= 10);
    if (v < 0)
        *--p = '-';
    str_add(s, p, (size_t)(text + sizeof text - p));
}

void jw_i64(struct jw *j, int64_t v)
{
    comma(j);
    put_i64(j->s, v);
}

void jw_i64_text(struct jw *j, int64_t v)
{
    comma(j);
    str_putc(j->s, '"');
    put_i64(j->s, v);
    str_putc(j->s, '"');
}

void jw_real(struct jw *j, double v)
{
    char text[512]; /* the greatest double has 309 digits */
    if (!isfinite(v)) {
        jw_null(j);
        return;
    }
    comma(j);
    size_t n = (size_t)snprintf(text, sizeof text, "%.6f", v);
    while (text[n - 1] == '0')
        n--;
    n -= text[n - 1] == '.' || text[n - 1] == ',';
    char *point = memchr(text, ',', n); /* a locale's */
    if (point)
        *point = '.';
    if (n == 2 && memcmp(text, "-0", 2) == 0)
        str_putc(j->s, '0');
    else
        str_add(j->s, text, n);
}

static void put_word(struct jw *j, const char *word)
{
    comma(j);
    str_puts(j->s, word);
}

void jw_bool(struct jw *j, bool v)
{
    put_word(j, v ? "true" : "false");
}

void jw_null(struct jw *j)
{
    put_word(j, "null");
}

void jw_raw(struct jw *j, struct span checked)
{
    if (!checked.p) {
        jw_null(j);
        return;
    }
    comma(j);
    size_t start = j->s->n;
    str_add(j->s, checked.p, checked.n);
    /* Within strings a line break is escaped, so every bare one is white space. */
    if (j->one_line)
        for (size_t i = start; i < j->s->n; i++)
            if (j->s->p[i] == '\n' || j->s->p[i] == '\r')
                j->s->p[i] = ' ';
}

void jw_time(struct jw *j, int64_t real_ms)
{
    char text[WHEN_TEXT];
    if (real_ms)
        jw_string(j, when_text(real_ms, text));
    else
        jw_null(j);
}

void jw_kv_object(struct jw *j, const char *key)
{
    jw_key(j, key);
    jw_object(j);
}

void jw_kv_array(struct jw *j, const char *key)
{
    jw_key(j, key);
    jw_array(j);
}

void jw_kv_string(struct jw *j, const char *key, const char *text)
{
    jw_key(j, key);
    jw_string(j, text);
}

void jw_kv_i64(struct jw *j, const char *key, int64_t v)
{
    jw_key(j, key);
    jw_i64(j, v);
}

void jw_kv_i64_text(struct jw *j, const char *key, int64_t v)
{
    jw_key(j, key);
    jw_i64_text(j, v);
}

void jw_kv_real(struct jw *j, const char *key, double v)
{
    jw_key(j, key);
    jw_real(j, v);
}

void jw_kv_bool(struct jw *j, const char *key, bool v)
{
    jw_key(j, key);
    jw_bool(j, v);
}

void jw_kv_null(struct jw *j, const char *key)
{
    jw_key(j, key);
    jw_null(j);
}

void jw_kv_raw(struct jw *j, const char *key, struct span checked)
{
    jw_key(j, key);
    jw_raw(j, checked);
}

void jw_kv_time(struct jw *j, const char *key, int64_t real_ms)
{
    jw_key(j, key);
    jw_time(j, real_ms);
}

void json_problem(struct str *s, const struct err *error, struct span extras)
{
    const struct err_info *info = err_info(error->code);
    struct jw j = jw_init(s);
    jw_object(&j);
    jw_kv_string(&j, "type", "about:blank");
    jw_kv_string(&j, "title", info->title);
    jw_kv_i64(&j, "status", info->http);
    jw_kv_string(&j, "detail", error->text);
    jw_kv_string(&j, "code", info->word);
    if (*error->field)
        jw_kv_string(&j, "field", error->field);
    if (extras.n) {
        comma(&j);
        str_add(s, extras.p, extras.n);
    }
    jw_object_close(&j);
    jw_end(&j);
}
