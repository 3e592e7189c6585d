/* Paths, queries, names and base addresses. The first byte chooses. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "base/ensure.h"
#include "wire/uri.h"

struct args {
    char *tag, *name;
    int64_t limit;
    bool local;
    int read;
};

static const char *const reads[] = {"local", "owner", NULL};
static const struct uri_param common[] = {
    URI_PARAM(struct args, limit, URI_INT, .min = 1, .max = 1000),
    URI_PARAM(struct args, read, URI_WORD, .words = reads),
};
static const struct uri_param own[] = {
    URI_PARAM(struct args, tag, URI_TEXT, .max = 20),
    URI_PARAM(struct args, name, URI_NAME),
    URI_PARAM(struct args, local, URI_BOOL),
};

static void has_words(int rc, const struct err *e)
{
    ensure(rc == 0 || (*e->text && text_is_utf8(e->text, strlen(e->text))), "a refusal without a word");
}

static void fuzz_path(const char *text)
{
    struct uri_path path = {.n = 0}, again = {.n = 0};
    struct err e = {0};
    AUTOSTR struct str s = STR_INIT;
    int rc = uri_path_parse(text, &path, &e);
    has_words(rc, &e);
    if (rc < 0)
        return;
    for (size_t i = 0; i < path.n; i++) {
        str_putc(&s, '/');
        uri_encode(&s, path.segments[i], strlen(path.segments[i]));
    }
    ensure(uri_path_parse(s.n ? str_get(&s) : "/", &again, NULL) == 0 && again.n == path.n, "a path lost");
    for (size_t i = 0; i < path.n; i++)
        ensure(strcmp(path.segments[i], again.segments[i]) == 0, "a segment changed");
    uri_path_fini(&path);
    uri_path_fini(&again);
}

static void fuzz_query(const char *text)
{
    struct args args = {.limit = 100};
    const struct uri_table tables[] = {{common, COUNT(common), &args}, {own, COUNT(own), &args}};
    struct err e = {0};
    has_words(uri_query(text, tables, COUNT(tables), &e), &e);
    ensure(args.limit >= 1 && args.limit <= 1000, "limit out of range");
    uri_query_fini(tables, COUNT(tables));
}

static void fuzz_base(const char *text)
{
    struct uri_base base, again;
    struct err e = {0};
    AUTOSTR struct str s = STR_INIT, t = STR_INIT;
    int rc = uri_base_parse(text, 7537, &base, &e);
    has_words(rc, &e);
    if (rc < 0)
        return;
    uri_base_text(&s, &base);
    ensure(uri_base_parse(str_get(&s), 1, &again, NULL) == 0, "%s", str_get(&s));
    uri_base_text(&t, &again);
    ensure(strcmp(str_get(&s), str_get(&t)) == 0, "%s is not canonical", str_get(&s));
    uri_base_fini(&base);
    uri_base_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct err e = {0};
    if (n == 0)
        return 0;
    has_words(name_check((const char *)data + 1, n - 1, "name", &e), &e);
    AUTOFREE char *text = mem_copy(data + 1, n - 1);
    if (data[0] % 3 == 0)
        fuzz_path(text);
    else if (data[0] % 3 == 1)
        fuzz_query(text);
    else
        fuzz_base(text);
    return 0;
}
