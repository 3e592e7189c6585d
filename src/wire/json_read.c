/* json_read: fills a struct from an object as a table of fields says. Decides types, ranges and the words of
 * complaints; knows no body in particular. Every complaint names the whole path of the field and what to
 * give. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/ensure.h"
#include "wire/json_scan.h"
#include "wire/uri.h"

#define LIST_MAX 65536 /* elements where a table says nothing: memory is bounded whatever a body holds */

/* Where in the document we are, the innermost first. */
struct place {
    const struct place *up;
    const char *name; /* NULL: an element, by index */
    size_t index;
};

static void place_text(const struct place *at, struct str *s)
{
    if (!at)
        return;
    place_text(at->up, s);
    if (at->name)
        str_printf(s, "%s%s", s->n ? "." : "", at->name);
    else
        str_printf(s, "[%zu]", at->index);
}

static int blame(struct err *e, const struct place *at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static int blame(struct err *e, const struct place *at, const char *fmt, ...)
{
    AUTOSTR struct str path = STR_INIT;
    char sentence[512];
    va_list ap;
    place_text(at, &path);
    va_start(ap, fmt);
    vsnprintf(sentence, sizeof sentence, fmt, ap);
    va_end(ap);
    return err_field(e, SKEP_EARG, str_get(&path), "field \"%s\" %s", str_get(&path), sentence);
}

static int read_object(struct span text, const struct json_table *table, void *ret, const struct place *at,
                       struct err *e);

static int read_text(struct span value, const struct json_field *f, const struct place *at, char **ret,
                     struct err *e)
{
    AUTOSTR struct str text = STR_INIT;
    if (!json_unquote(value, &text))
        return blame(e, at, "must be a string");
    if (f->kind == JSON_NAME) {
        AUTOSTR struct str path = STR_INIT;
        place_text(at, &path);
        int rc = name_check(str_get(&text), text.n, str_get(&path), e);
        if (rc < 0)
            return rc;
    } else if (text.n == 0 && !f->may_be_empty) {
        return blame(e, at, "must not be empty");
    }
    if (f->bytes_max && text.n > f->bytes_max)
        return blame(e, at, "has %zu bytes; %zu are allowed", text.n, f->bytes_max);
    free(*ret);
    *ret = str_take(&text);
    return 0;
}

static int read_word(struct span value, const struct json_field *f, const struct place *at, int *ret,
                     struct err *e)
{
    AUTOSTR struct str known = STR_INIT;
    for (int i = 0; f->words[i]; i++) {
        if (*value.p == '"' && key_is(value.p, f->words[i])) {
            *ret = i;
            return 0;
        }
        str_printf(&known, "%s%s", i ? ", " : "", f->words[i]);
    }
    return blame(e, at, "must be one of %s", str_get(&known));
}

static int read_int(struct span value, const struct json_field *f, const struct place *at, int64_t *ret,
                    struct err *e)
{
    bool bounded = f->min || f->max;
    int64_t min = bounded ? f->min : -JSON_INT_MAX, max = bounded ? f->max : JSON_INT_MAX, v;
    if (!json_int(value, &v) || v < min || v > max)
        return blame(e, at, "must be a whole number from %lld to %lld", (long long)min, (long long)max);
    *ret = v;
    return 0;
}

static int read_i64_text(struct span value, const struct json_field *f, const struct place *at, int64_t *ret,
                         struct err *e)
{
    bool bounded = f->min || f->max;
    int64_t min = bounded ? f->min : INT64_MIN, max = bounded ? f->max : INT64_MAX;
    AUTOSTR struct str text = STR_INIT;
    if (!json_unquote(value, &text))
        return blame(e, at, "must be a string of digits, like \"123\"");
    if (!text_i64(str_get(&text), min, max, ret))
        return blame(e, at, "must be a string of digits from \"%lld\" to \"%lld\"", (long long)min,
                     (long long)max);
    return 0;
}

static int too_many(const struct json_field *f, size_t n, const struct place *at, struct err *e)
{
    size_t max = f->max > 0 ? (size_t)f->max : LIST_MAX;
    return n < max ? 0 : blame(e, at, "has too many elements; %zu are allowed", max);
}

static int too_few(const struct json_field *f, size_t n, const struct place *at, struct err *e)
{
    return (int64_t)n >= f->min
               ? 0
               : blame(e, at, "needs at least %lld element%s", (long long)f->min, f->min == 1 ? "" : "s");
}

static int read_strings(struct span value, const struct json_field *f, const struct place *at,
                        struct json_strings *ret, struct err *e)
{
    struct json_iter it = json_iter_init(value);
    size_t cap = 0;
    int rc = 0;
    if (*value.p != '[')
        return blame(e, at, "must be an array of strings");
    json_strings_fini(ret);
    for (struct span element; rc == 0 && json_iter_next(&it, NULL, &element);) {
        struct place inside = {at, NULL, ret->n};
        if ((rc = too_many(f, ret->n, at, e)) < 0)
            break;
        if (ret->n + 2 > cap)
            ret->list = mem_resize(ret->list, cap = cap ? cap * 2 : 8, sizeof *ret->list);
        ret->list[ret->n] = ret->list[ret->n + 1] = NULL;
        if ((rc = read_text(element, f, &inside, &ret->list[ret->n], e)) == 0)
            ret->n++;
    }
    if (rc == 0 && !ret->list)
        ret->list = mem_alloc(sizeof *ret->list);
    return rc < 0 ? rc : too_few(f, ret->n, at, e);
}

static int read_map(struct span value, const struct json_field *f, const struct place *at,
                    struct json_map *ret, struct err *e)
{
    struct json_iter it = json_iter_init(value);
    size_t cap = 0;
    int rc = 0;
    if (*value.p != '{')
        return blame(e, at, "must be an object of strings");
    json_map_fini(ret);
    for (struct span key, element; rc == 0 && json_iter_next(&it, &key, &element);) {
        AUTOSTR struct str name = STR_INIT;
        if ((rc = too_many(f, ret->n, at, e)) < 0)
            break;
        json_unquote(key, &name);
        struct place inside = {at, str_get(&name), 0};
        ARRAY_GROW(ret->list, ret->n, cap);
        ret->list[ret->n] = (struct json_pair){NULL, NULL};
        if ((rc = read_text(element, f, &inside, &ret->list[ret->n].value, e)) == 0)
            ret->list[ret->n++].name = str_take(&name);
    }
    return rc < 0 ? rc : too_few(f, ret->n, at, e);
}

static int read_objects(struct span value, const struct json_field *f, const struct place *at,
                        struct json_array *ret, struct err *e)
{
    const struct json_table *inner = f->inner;
    struct json_iter it = json_iter_init(value);
    size_t cap = 0;
    int rc = 0;
    if (*value.p != '[')
        return blame(e, at, "must be an array of objects");
    ensure(!ret->list, "field %s is filled already", f->name);
    for (struct span element; rc == 0 && json_iter_next(&it, NULL, &element);) {
        struct place inside = {at, NULL, ret->n};
        if ((rc = too_many(f, ret->n, at, e)) < 0)
            break;
        if (ret->n == cap)
            ret->list = mem_resize(ret->list, cap = cap ? cap * 2 : 8, inner->bytes);
        char *slot = (char *)ret->list + ret->n++ * inner->bytes;
        if (inner->defaults)
            memcpy(slot, inner->defaults, inner->bytes);
        else
            memset(slot, 0, inner->bytes);
        rc = read_object(element, inner, slot, &inside, e);
    }
    return rc < 0 ? rc : too_few(f, ret->n, at, e);
}

static int read_raw(struct span value, const struct json_field *f, const struct place *at, struct span *ret,
                    struct err *e)
{
    if (f->kind == JSON_RAW_OBJECT && *value.p != '{')
        return blame(e, at, "must be an object");
    if (f->kind == JSON_RAW_ARRAY && *value.p != '[')
        return blame(e, at, "must be an array");
    if (f->bytes_max && value.n > f->bytes_max)
        return blame(e, at, "has %zu bytes; %zu are allowed", value.n, f->bytes_max);
    *ret = value;
    return 0;
}

static int read_bool(struct span value, const struct place *at, bool *ret, struct err *e)
{
    if (*value.p != 't' && *value.p != 'f')
        return blame(e, at, "must be true or false");
    *ret = *value.p == 't';
    return 0;
}

static int read_field(struct span value, const struct json_field *f, void *member, const struct place *at,
                      struct err *e)
{
    switch (f->kind) {
    case JSON_STRING:
    case JSON_NAME:
        return read_text(value, f, at, member, e);
    case JSON_WORD:
        return read_word(value, f, at, member, e);
    case JSON_INT:
        return read_int(value, f, at, member, e);
    case JSON_I64_TEXT:
        return read_i64_text(value, f, at, member, e);
    case JSON_BOOL:
        return read_bool(value, at, member, e);
    case JSON_STRINGS:
        return read_strings(value, f, at, member, e);
    case JSON_STRING_MAP:
        return read_map(value, f, at, member, e);
    case JSON_RAW:
    case JSON_RAW_OBJECT:
    case JSON_RAW_ARRAY:
        return read_raw(value, f, at, member, e);
    case JSON_OBJECT:
        return read_object(value, f->inner, member, at, e);
    case JSON_OBJECTS:
        return read_objects(value, f, at, member, e);
    }
    unreachable("field %s of kind %d", f->name, (int)f->kind);
}

static int unknown(struct span key, const struct json_table *table, const struct place *at, struct err *e)
{
    AUTOSTR struct str name = STR_INIT, path = STR_INIT, known = STR_INIT;
    json_unquote(key, &name);
    if (name.n > 64 || !text_is_clean(str_get(&name), name.n)) {
        str_clear(&name);
        str_puts(&name, "?");
    }
    struct place inside = {at, str_get(&name), 0};
    place_text(&inside, &path);
    for (size_t i = 0; i < table->n; i++)
        str_printf(&known, "%s%s", i ? ", " : "", table->fields[i].name);
    return err_field(e, SKEP_EARG, str_get(&path), "unknown field \"%s\"; known: %s", str_get(&path),
                     known.n ? str_get(&known) : "none");
}

static int required(const struct json_table *table, uint64_t seen, const struct place *at, struct err *e)
{
    for (size_t i = 0; i < table->n; i++) {
        struct place inside = {at, table->fields[i].name, 0};
        if (table->fields[i].required && !(seen >> i & 1))
            return blame(e, &inside, "is missing");
    }
    return 0;
}

static size_t field_find(const struct json_table *table, const char *quote)
{
    size_t i = 0;
    while (i < table->n && !key_is(quote, table->fields[i].name))
        i++;
    return i;
}

static int read_object(struct span text, const struct json_table *table, void *ret, const struct place *at,
                       struct err *e)
{
    uint64_t seen = 0;
    struct json_iter it = json_iter_init(text);
    ensure(table->n <= 64, "a table of %zu fields", table->n);
    if (!it.object)
        return at ? blame(e, at, "must be an object")
                  : err_set(e, SKEP_EARG, "the body must be a JSON object");
    for (struct span key, value; json_iter_next(&it, &key, &value);) {
        size_t i = field_find(table, key.p);
        if (i == table->n)
            return unknown(key, table, at, e);
        const struct json_field *f = &table->fields[i];
        if (*value.p == 'n' && f->nullable)
            continue;
        struct place inside = {at, f->name, 0};
        int rc = read_field(value, f, (char *)ret + f->offset, &inside, e);
        if (rc < 0)
            return rc;
        seen |= UINT64_C(1) << i;
        if (f->present)
            *(bool *)((char *)ret + f->present) = true;
    }
    return required(table, seen, at, e);
}

int json_read(const char *p, size_t n, const struct json_table *table, void *ret, struct err *e)
{
    struct span text = n ? (struct span){p, n} : (struct span){"{}", 2};
    int rc = json_check(text.p, text.n, e);
    return rc < 0 ? rc : read_object(text, table, ret, NULL, e);
}

int json_read_checked(struct span checked, const char *path, const struct json_table *table, void *ret,
                      struct err *e)
{
    struct place at = {NULL, path, 0};
    return read_object(checked, table, ret, path ? &at : NULL, e);
}

void json_strings_fini(struct json_strings *s)
{
    for (size_t i = 0; i < s->n; i++)
        free(s->list[i]);
    free(s->list);
    *s = (struct json_strings){NULL, 0};
}

void json_map_fini(struct json_map *m)
{
    for (size_t i = 0; i < m->n; i++) {
        free(m->list[i].name);
        free(m->list[i].value);
    }
    free(m->list);
    *m = (struct json_map){NULL, 0};
}

static void release_objects(const struct json_table *inner, struct json_array *a)
{
    for (size_t i = 0; i < a->n; i++)
        json_release(inner, (char *)a->list + i * inner->bytes);
    free(a->list);
    *a = (struct json_array){NULL, 0};
}

void json_release(const struct json_table *table, void *p)
{
    for (size_t i = 0; i < table->n; i++) {
        const struct json_field *f = &table->fields[i];
        void *member = (char *)p + f->offset;
        switch (f->kind) {
        case JSON_STRING:
        case JSON_NAME:
            mem_replace(member, NULL);
            break;
        case JSON_STRINGS:
            json_strings_fini(member);
            break;
        case JSON_STRING_MAP:
            json_map_fini(member);
            break;
        case JSON_OBJECT:
            json_release(f->inner, member);
            break;
        case JSON_OBJECTS:
            release_objects(f->inner, member);
            break;
        case JSON_RAW:
        case JSON_RAW_OBJECT:
        case JSON_RAW_ARRAY:
            *(struct span *)member = (struct span){NULL, 0};
            break;
        case JSON_WORD:
        case JSON_INT:
        case JSON_I64_TEXT:
        case JSON_BOOL:
            break;
        }
    }
}
