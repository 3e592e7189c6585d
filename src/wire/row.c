/* row: canonical row bytes (the format and its invariants are in row.h). Knows no table and no SQL.
 *
 * Encoding is on the path of every replicated write: room for a whole field is reserved at once and the bytes
 * are put without further checks. Decoding walks fields and columns side by side, both sorted by name. */
#include "wire/row.h"

#include <math.h>
#include <string.h>

#include "base/ensure.h"
#include "wire/buf.h"

/* A field as it lies in the bytes. */
struct field {
    const char *name, *value;
    size_t name_n, value_n;
    unsigned char tag;
    const char *start; /* the whole field, for extra */
    size_t bytes;
};

static int name_compare(const char *a, size_t a_n, const char *b, size_t b_n)
{
    int c = memcmp(a, b, a_n < b_n ? a_n : b_n);
    return c ? c : (a_n > b_n) - (a_n < b_n);
}

bool val_equal(const struct val *a, const struct val *b)
{
    if (a->type != b->type)
        return false;
    switch (a->type) {
    case VAL_NULL:
        return true;
    case VAL_INT:
        return a->i == b->i;
    case VAL_REAL:
        return !(a->real < b->real) && !(a->real > b->real) && isnan(a->real) == isnan(b->real);
    case VAL_TEXT:
    case VAL_BLOB:
        return a->n == b->n && (a->n == 0 || memcmp(a->p, b->p, a->n) == 0);
    }
    unreachable("value of type %d", (int)a->type);
}

void row_cols_check(const struct col *cols, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct col *c = &cols[i];
        size_t name_n = strlen(c->name);
        ensure(name_n > 0 && name_n <= ROW_NAME_MAX, "column %zu: name of %zu bytes", i, name_n);
        ensure(i == 0 || strcmp(cols[i - 1].name, c->name) < 0, "column %s is not after %s", c->name,
               cols[i - 1].name);
        ensure(c->type > VAL_NULL && c->type <= VAL_BLOB, "column %s has type %d", c->name, (int)c->type);
        ensure(c->def.type == VAL_NULL || c->def.type == c->type, "default of column %s has type %d", c->name,
               (int)c->def.type);
        ensure(c->def.type != VAL_REAL || !isnan(c->def.real), "default of column %s is no number", c->name);
    }
}

/* The fewest bytes of two's complement that hold v; none for 0. */
static size_t int_bytes(int64_t v)
{
    if (v == 0)
        return 0;
    uint64_t magnitude = v < 0 ? ~(uint64_t)v : (uint64_t)v;
    size_t bits = magnitude ? 65 - (size_t)__builtin_clzll(magnitude) : 1;
    return (bits + 7) / 8;
}

static uint64_t real_bits(double real)
{
    uint64_t bits;
    double positive = real + 0.0; /* -0.0 becomes 0.0 */
    memcpy(&bits, &positive, sizeof bits);
    return bits;
}

static unsigned char *put_big_endian(unsigned char *p, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (unsigned char)(v >> (8 * (n - 1 - i)));
    return p + n;
}

static void put_field(struct str *out, const char *name, size_t name_n, const struct val *v)
{
    size_t room = 2 + name_n + VARINT_MAX + (v->type == VAL_TEXT || v->type == VAL_BLOB ? v->n : 8);
    str_reserve(out, room);
    unsigned char *p = (unsigned char *)out->p + out->n;
    *p++ = (unsigned char)name_n;
    memcpy(p, name, name_n);
    p += name_n;
    *p++ = (unsigned char)v->type;
    switch (v->type) {
    case VAL_NULL:
        *p++ = 0;
        break;
    case VAL_INT: {
        size_t n = int_bytes(v->i);
        *p++ = (unsigned char)n;
        p = put_big_endian(p, (uint64_t)v->i, n);
        break;
    }
    case VAL_REAL:
        *p++ = 8;
        p = put_big_endian(p, real_bits(v->real), 8);
        break;
    case VAL_TEXT:
    case VAL_BLOB:
        p += varint_put(p, v->n);
        if (v->n)
            memcpy(p, v->p, v->n);
        p += v->n;
        break;
    }
    out->n = (size_t)(p - (unsigned char *)out->p);
    *p = 0;
}

/* Takes the next field off bytes: its frame and its value's own form, not its place among the others. */
static bool field_next(struct span *bytes, struct field *ret)
{
    const unsigned char *p = (const unsigned char *)bytes->p;
    size_t n = bytes->n, name_n = p[0];
    if (name_n == 0 || name_n > ROW_NAME_MAX || n < name_n + 3)
        return false;
    unsigned char tag = p[1 + name_n];
    size_t head = 2 + name_n;
    uint64_t value_n;
    size_t length = varint_get(p + head, n - head, &value_n);
    if (length == 0 || value_n > n - head - length)
        return false;
    head += length;
    *ret = (struct field){.name = bytes->p + 1,
                          .name_n = name_n,
                          .tag = tag,
                          .value = bytes->p + head,
                          .value_n = (size_t)value_n,
                          .start = bytes->p,
                          .bytes = head + (size_t)value_n};
    bytes->p += ret->bytes;
    bytes->n -= ret->bytes;
    return true;
}

static uint64_t get_big_endian(const char *bytes, size_t n)
{
    const unsigned char *p = (const unsigned char *)bytes;
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++)
        v = v << 8 | p[i];
    return v;
}

static bool get_int(const struct field *f, struct val *ret)
{
    size_t n = f->value_n;
    if (n > 8)
        return false;
    uint64_t v = get_big_endian(f->value, n);
    if (n > 0 && n < 8 && (f->value[0] & 0x80))
        v |= ~UINT64_C(0) << (8 * n);
    ret->i = (int64_t)v;
    return int_bytes(ret->i) == n;
}

static bool get_real(const struct field *f, struct val *ret)
{
    if (f->value_n != 8)
        return false;
    uint64_t bits = get_big_endian(f->value, 8);
    memcpy(&ret->real, &bits, sizeof bits);
    return !isnan(ret->real) && real_bits(ret->real) == bits;
}

/* The value of a field, if it has the one form that row_encode writes. */
static bool field_value(const struct field *f, struct val *ret)
{
    *ret = (struct val){.type = (enum val_type)f->tag};
    switch (f->tag) {
    case VAL_NULL:
        return f->value_n == 0;
    case VAL_INT:
        return get_int(f, ret);
    case VAL_REAL:
        return get_real(f, ret);
    case VAL_TEXT:
        ret->p = f->value;
        ret->n = f->value_n;
        return !memchr(f->value, 0, f->value_n) && text_is_utf8(f->value, f->value_n);
    case VAL_BLOB:
        ret->p = f->value;
        ret->n = f->value_n;
        return true;
    }
    return false;
}

static bool name_is_clean(const struct field *f)
{
    return text_is_clean(f->name, f->name_n);
}

static bool is_default(const struct col *c, const struct val *v)
{
    return v->type == c->def.type && val_equal(v, &c->def);
}

/* A walk over extra: `next` is its first field not yet merged, while has is true. */
struct walk {
    struct span rest;
    struct field next;
    bool has;
};

/* Ends at the first byte that is not canonical: extra comes from a disk, and the result must not spread it.
 */
static void walk_step(struct walk *w)
{
    struct field before = w->next;
    struct val v;
    w->has = w->rest.n && field_next(&w->rest, &w->next) && name_is_clean(&w->next) &&
             field_value(&w->next, &v) &&
             (!before.name || name_compare(before.name, before.name_n, w->next.name, w->next.name_n) < 0);
    if (!w->has)
        w->rest.n = 0;
}

/* Appends the fields of extra that come before the name (all, when it is NULL), skips one of that name. */
static void put_extra(struct str *out, struct walk *w, const char *name, size_t name_n)
{
    for (; w->has; walk_step(w)) {
        int order = name ? name_compare(w->next.name, w->next.name_n, name, name_n) : -1;
        if (order > 0)
            return;
        if (order < 0)
            str_add(out, w->next.start, w->next.bytes);
    }
}

void row_encode(struct str *out, const struct col *cols, const struct val *vals, size_t n, struct span extra)
{
    struct walk more = {.rest = extra};
    walk_step(&more);
    for (size_t i = 0; i < n; i++) {
        const struct col *c = &cols[i];
        const struct val *v = &vals[i];
        size_t name_n = strlen(c->name);
        ensure(v->type == VAL_NULL || v->type == c->type, "column %s: value of type %d", c->name,
               (int)v->type);
        struct val null = {0};
        if (v->type == VAL_REAL && isnan(v->real))
            v = &null;
        if (more.has)
            put_extra(out, &more, c->name, name_n);
        if (!is_default(c, v))
            put_field(out, c->name, name_n, v);
    }
    put_extra(out, &more, NULL, 0);
}

static int malformed(struct err *e, const struct field *f, const char *what)
{
    /* The name is a peer's: shown only as far as it is clean text. */
    bool clean = f && name_is_clean(f);
    return err_set(e, SKEP_EARG, "row bytes: column \"%.*s\" %s", clean ? (int)f->name_n : 1,
                   clean ? f->name : "?", what);
}

/* One field: into its column's place or, when no column has its name, to extra. *at is the first column that
 * is not before the field. */
static int decode_field(const struct field *f, const struct col *cols, struct val *vals, size_t n, size_t *at,
                        struct str *extra, struct err *e)
{
    struct val v;
    int order = 1;
    while (*at < n &&
           (order = name_compare(cols[*at].name, strlen(cols[*at].name), f->name, f->name_n)) < 0) {
        vals[*at] = cols[*at].def;
        ++*at;
    }
    if (!field_value(f, &v))
        return malformed(e, f, "is not in canonical form");
    if (*at == n || order != 0) {
        if (!name_is_clean(f))
            return malformed(e, f, "has a name that is no text");
        str_add(extra, f->start, f->bytes);
        return 0;
    }
    const struct col *c = &cols[*at];
    if (v.type != VAL_NULL && v.type != c->type)
        return malformed(e, f, "has a value of the wrong type");
    if (is_default(c, &v))
        return malformed(e, f, "is at its default and must be left out");
    vals[*at] = v;
    ++*at;
    return 0;
}

int row_decode(struct span bytes, const struct col *cols, struct val *ret_vals, size_t n,
               struct str *ret_extra, struct err *e)
{
    size_t at = 0, extra_n = ret_extra->n;
    struct field f = {0}, before = {0};
    while (bytes.n) {
        int rc = 0;
        if (!field_next(&bytes, &f))
            rc = malformed(e, before.name ? &before : NULL, "is followed by bytes that are no field");
        else if (before.name && name_compare(before.name, before.name_n, f.name, f.name_n) >= 0)
            rc = malformed(e, &f, "is out of order or comes twice");
        else
            rc = decode_field(&f, cols, ret_vals, n, &at, ret_extra, e);
        if (rc < 0) {
            ret_extra->n = extra_n;
            if (ret_extra->p)
                ret_extra->p[extra_n] = 0;
            return rc;
        }
        before = f;
    }
    for (; at < n; at++)
        ret_vals[at] = cols[at].def;
    return 0;
}
