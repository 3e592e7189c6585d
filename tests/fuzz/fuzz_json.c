/* The JSON checker, and everything that relies on its verdict. Input: one document, or target RS patch. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "base/ensure.h"
#include "wire/json.h"

struct body {
    bool had_count;
    char *name, *text;
    int64_t count, epoch;
    int word;
    bool flag;
    struct json_strings argv;
    struct json_map env;
    struct span data, metadata;
    struct inner {
        char *kind;
        int64_t size;
    } inner;
    struct json_array list;
};

static const char *const words[] = {"on", "off", NULL};
static const struct json_field inner_fields[] = {
    JSON_FIELD(struct inner, kind, JSON_STRING, .required = true),
    JSON_FIELD(struct inner, size, JSON_INT, .min = 1, .max = 9),
};
static const struct json_table inner_table = JSON_TABLE(struct inner, inner_fields);
static const struct json_field fields[] = {
    JSON_FIELD(struct body, name, JSON_NAME, .nullable = true),
    JSON_FIELD(struct body, text, JSON_STRING, .may_be_empty = true, .bytes_max = 100),
    JSON_FIELD(struct body, count, JSON_INT, .present = offsetof(struct body, had_count)),
    JSON_FIELD(struct body, epoch, JSON_I64_TEXT),
    JSON_FIELD(struct body, word, JSON_WORD, .words = words),
    JSON_FIELD(struct body, flag, JSON_BOOL),
    JSON_FIELD(struct body, argv, JSON_STRINGS, .min = 1, .max = 10),
    JSON_FIELD(struct body, env, JSON_STRING_MAP, .max = 10),
    JSON_FIELD(struct body, data, JSON_RAW),
    JSON_FIELD(struct body, metadata, JSON_RAW_OBJECT, .bytes_max = 200),
    JSON_FIELD(struct body, inner, JSON_OBJECT, .inner = &inner_table),
    JSON_FIELD(struct body, list, JSON_OBJECTS, .inner = &inner_table, .max = 20),
};
static const struct json_table table = JSON_TABLE(struct body, fields);

static void must_check(const struct str *s)
{
    struct err e = {0};
    ensure(json_check(str_get(s), s->n, &e) == 0, "%s: %.*s", e.text, (int)s->n, str_get(s));
}

/* Walks a checked value beside its tree: both see the same. */
static void walk(struct span value, const struct cJSON *node)
{
    ensure(json_is(node, json_type(value)), "another type than the tree's");
    AUTOSTR struct str text = STR_INIT;
    if (json_unquote(value, &text))
        ensure(strcmp(str_get(&text), json_text(node)) == 0, "another text than the tree's");
    int64_t v;
    if (json_int(value, &v))
        ensure(json_i64(node, v) == v, "another number than the tree's");
    struct json_iter it = json_iter_init(value);
    const struct cJSON *child = json_first(node);
    for (struct span key, element; json_iter_next(&it, &key, &element); child = json_next(child)) {
        AUTOSTR struct str name = STR_INIT;
        ensure(child, "more members than the tree has");
        if (it.object)
            ensure(json_unquote(key, &name) && strcmp(str_get(&name), json_key(child)) == 0, "another key");
        walk(element, child);
    }
    ensure(!child, "fewer members than the tree has");
}

static void fuzz_document(const char *p, size_t n)
{
    struct err e = {0};
    struct body body = {0};
    int rc = json_read(p, n, &table, &body, &e);
    ensure(rc == 0 || (*e.text && text_is_utf8(e.text, strlen(e.text))), "a refusal without a word");
    json_release(&table, &body);
    if (json_check(p, n, NULL) < 0)
        return;
    struct json *tree;
    if (json_parse(p, n, &tree, NULL) < 0) {
        ensure(n >= 64, "the tree differs in its verdict");
        return;
    }
    walk(json_trim((struct span){p, n}), json_root(tree));
    json_free(tree);
}

static void fuzz_patch(const char *target, size_t target_n, const char *patch, size_t patch_n)
{
    AUTOSTR struct str once = STR_INIT, twice = STR_INIT;
    if (json_merge_patch(target, target_n, patch, patch_n, &once, NULL) < 0)
        return;
    must_check(&once);
    ensure(json_merge_patch(str_get(&once), once.n, patch, patch_n, &twice, NULL) == 0, "patched once only");
    ensure(once.n == twice.n && memcmp(str_get(&once), str_get(&twice), once.n) == 0, "not idempotent");
}

static void fuzz_writer(const char *p, size_t n)
{
    AUTOSTR struct str s = STR_INIT, back = STR_INIT;
    struct jw j = jw_init(&s);
    jw_string_n(&j, p, n);
    if (memchr(p, 0, n))
        return; /* written as \u0000, which is not read */
    must_check(&s);
    ensure(json_unquote((struct span){s.p, s.n}, &back), "no string");
    if (text_is_utf8(p, n))
        ensure(back.n == n && memcmp(str_get(&back), p, n) == 0, "another text");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n == 0)
        return 0;
    const char *p = (const char *)data, *middle = memchr(p, 0x1e, n);
    fuzz_writer(p, n);
    if (!middle) {
        fuzz_document(p, n);
        return 0;
    }
    /* Both halves in blocks of their own, so that the sanitizer sees where each ends. */
    size_t target_n = (size_t)(middle - p), patch_n = n - target_n - 1;
    AUTOFREE char *target = malloc(target_n + 1), *patch = malloc(patch_n + 1);
    target[target_n] = patch[patch_n] = 'x';
    memcpy(target, p, target_n);
    memcpy(patch, middle + 1, patch_n);
    fuzz_patch(target, target_n, patch, patch_n);
    return 0;
}
