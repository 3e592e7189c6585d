/* json_check: decides whether bytes are JSON as skep takes it (RFC 8259 and the further rules of json.h).
 *
 * One pass, recursion bounded by JSON_DEPTH_MAX. Each open object keeps a hash of its keys; when it closes
 * they are compared, few pairwise and many sorted, so that no body costs more than n log n. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "wire/json_scan.h"

#define PAIRWISE_MAX 8

struct check {
    const char *text, *p, *end;
    unsigned depth;
    struct key *keys; /* of all open objects, the innermost last */
    size_t keys_n, keys_cap;
    struct err *e;
};

static int check_value(struct check *c);

static int fail_at(struct check *c, const char *p, const char *what)
{
    return err_set(c->e, SKEP_EJSON, "not valid JSON at byte %zu: %s", (size_t)(p - c->text), what);
}

static int fail(struct check *c, const char *what)
{
    return fail_at(c, c->p, c->p == c->end ? "the text ends too early" : what);
}

static void space(struct check *c)
{
    c->p = scan_space(c->p, c->end);
}

static int hex_digits(struct check *c, unsigned *ret)
{
    unsigned v = 0;
    for (int i = 0; i < 4; i++, c->p++) {
        unsigned char h = c->p < c->end ? (unsigned char)*c->p : 0;
        unsigned char low = h | 0x20;
        if (h >= '0' && h <= '9')
            v = v << 4 | (h - '0');
        else if (low >= 'a' && low <= 'f')
            v = v << 4 | (low - 'a' + 10u);
        else
            return fail(c, "\\u needs four hex digits");
    }
    *ret = v;
    return 0;
}

/* Behind \u. */
static int check_unicode(struct check *c)
{
    const char *start = c->p - 2;
    unsigned v = 0, low = 0;
    int rc = hex_digits(c, &v);
    if (rc < 0)
        return rc;
    if (v == 0)
        return fail_at(c, start, "\\u0000 is not allowed");
    if (v < 0xD800 || v > 0xDFFF)
        return 0;
    if (v > 0xDBFF || c->end - c->p < 2 || c->p[0] != '\\' || c->p[1] != 'u')
        return fail_at(c, start, "half of a surrogate pair");
    c->p += 2;
    if ((rc = hex_digits(c, &low)) < 0)
        return rc;
    return low >= 0xDC00 && low <= 0xDFFF ? 0 : fail_at(c, start, "half of a surrogate pair");
}

static int check_escape(struct check *c)
{
    c->p++;
    if (c->p == c->end || !*c->p || !strchr("\"\\/bfnrtu", *c->p))
        return fail(c, "unknown escape");
    return *c->p++ == 'u' ? check_unicode(c) : 0;
}

static int check_string(struct check *c)
{
    const char *start = ++c->p;
    bool ascii = true;
    while (c->p < c->end && *c->p != '"') {
        unsigned char byte = (unsigned char)*c->p;
        if (byte < 0x20)
            return fail(c, "control characters in strings must be escaped");
        if (byte >= 0x80)
            ascii = false;
        int rc = 0;
        if (byte == '\\')
            rc = check_escape(c);
        else
            c->p++;
        if (rc < 0)
            return rc;
    }
    size_t n = (size_t)(c->p - start), valid = ascii ? n : text_utf8_prefix(start, n);
    if (valid < n)
        return fail_at(c, start + valid, "invalid UTF-8");
    if (c->p == c->end)
        return fail(c, "");
    c->p++;
    return 0;
}

static size_t digits(struct check *c)
{
    const char *start = c->p;
    while (c->p < c->end && *c->p >= '0' && *c->p <= '9')
        c->p++;
    return (size_t)(c->p - start);
}

static int check_number(struct check *c)
{
    c->p += *c->p == '-';
    const char *start = c->p;
    size_t n = digits(c);
    if (n == 0)
        return fail(c, "a digit is expected");
    if (n > 1 && *start == '0')
        return fail_at(c, start, "a number must not begin with 0");
    if (c->p < c->end && *c->p == '.') {
        c->p++;
        if (digits(c) == 0)
            return fail(c, "a digit is expected");
    }
    if (c->p < c->end && (*c->p == 'e' || *c->p == 'E')) {
        c->p++;
        c->p += c->p < c->end && (*c->p == '+' || *c->p == '-');
        if (digits(c) == 0)
            return fail(c, "a digit is expected");
    }
    return 0;
}

static int check_word(struct check *c, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(c->end - c->p) < n || memcmp(c->p, word, n) != 0)
        return fail(c, "a value is expected");
    c->p += n;
    return 0;
}

static int twice(struct check *c, const struct key *k)
{
    return fail_at(c, k->quote, "this key comes twice in its object");
}

/* The keys from `first` on belong to one object: no two may be equal. They are dropped. */
static int check_keys(struct check *c, size_t first)
{
    size_t n = c->keys_n - first;
    if (n < 2) {
        c->keys_n = first;
        return 0;
    }
    struct key *keys = c->keys + first;
    c->keys_n = first;
    if (n <= PAIRWISE_MAX) {
        for (size_t i = 1; i < n; i++)
            for (size_t k = 0; k < i; k++)
                if (key_compare(&keys[i], &keys[k]) == 0)
                    return twice(c, &keys[i]);
        return 0;
    }
    qsort(keys, n, sizeof *keys, key_compare);
    for (size_t i = 1; i < n; i++)
        if (key_compare(&keys[i], &keys[i - 1]) == 0)
            return twice(c, keys[i].quote > keys[i - 1].quote ? &keys[i] : &keys[i - 1]);
    return 0;
}

static int check_member(struct check *c)
{
    const char *quote = c->p;
    if (c->p == c->end || *c->p != '"')
        return fail(c, "a key in quotes is expected");
    int rc = check_string(c);
    if (rc < 0)
        return rc;
    ARRAY_GROW(c->keys, c->keys_n, c->keys_cap);
    c->keys[c->keys_n++] = key_init(quote);
    space(c);
    if (c->p == c->end || *c->p != ':')
        return fail(c, "a colon is expected");
    c->p++;
    space(c);
    return check_value(c);
}

/* An object or an array, up to its closing bracket. */
static int check_nest(struct check *c, bool object)
{
    size_t first = c->keys_n;
    char close = object ? '}' : ']';
    if (++c->depth > JSON_DEPTH_MAX)
        return fail(c, "nested too deeply; 64 levels are allowed");
    c->p++;
    space(c);
    bool empty = c->p < c->end && *c->p == close;
    while (!empty) {
        int rc = object ? check_member(c) : check_value(c);
        if (rc < 0)
            return rc;
        space(c);
        if (c->p < c->end && *c->p == close)
            break;
        if (c->p == c->end || *c->p != ',')
            return fail(c, object ? "a comma or } is expected" : "a comma or ] is expected");
        c->p++;
        space(c);
    }
    c->p++;
    c->depth--;
    return check_keys(c, first);
}

static int check_value(struct check *c)
{
    switch (c->p < c->end ? *c->p : 0) {
    case '{':
        return check_nest(c, true);
    case '[':
        return check_nest(c, false);
    case '"':
        return check_string(c);
    case 't':
        return check_word(c, "true");
    case 'f':
        return check_word(c, "false");
    case 'n':
        return check_word(c, "null");
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9':
        return check_number(c);
    }
    return fail(c, "a value is expected");
}

int json_check(const char *p, size_t n, struct err *e)
{
    struct check c = {.text = p, .p = p, .end = n ? p + n : p, .e = e};
    space(&c);
    int rc = c.p == c.end ? err_set(e, SKEP_EJSON, "not valid JSON: there is no text") : check_value(&c);
    if (rc == 0) {
        space(&c);
        if (c.p != c.end)
            rc = fail(&c, "something follows the value");
    }
    free(c.keys);
    return rc;
}
