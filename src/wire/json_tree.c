/* json_tree: documents of unknown shape as a cJSON tree, checked before cJSON sees them: it is lenient about
 * what it takes. A tree is many times as large as its text: never made of a body that a stranger sent. */
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "base/ensure.h"
#include "base/mem.h"
#include "wire/json.h"

int json_parse(const char *p, size_t n, struct json **ret, struct err *e)
{
    int rc = json_check(p, n, e);
    if (rc < 0)
        return rc;
    const char *stop = p; /* some cJSON read 63 characters of a number and take the rest for what follows */
    struct cJSON *root = cJSON_ParseWithLengthOpts(p, n, &stop, false);
    bool whole = root && json_trim((struct span){stop, (size_t)(p + n - stop)}).n == 0;
    if (!whole) {
        cJSON_Delete(root);
        return err_set(e, SKEP_EJSON, "JSON with a number of over 63 characters cannot be shown as a tree");
    }
    struct json *j = mem_alloc(sizeof *j);
    j->root = root;
    *ret = j;
    return 0;
}

void json_free(struct json *j)
{
    if (!j)
        return;
    cJSON_Delete(j->root);
    free(j);
}

const struct cJSON *json_root(const struct json *j)
{
    return j ? j->root : NULL;
}

const struct cJSON *json_member(const struct cJSON *v, const char *name)
{
    return json_is(v, JSON_T_OBJECT) ? cJSON_GetObjectItemCaseSensitive(v, name) : NULL;
}

const struct cJSON *json_at(const struct cJSON *v, size_t index)
{
    const struct cJSON *at = json_first(v);
    while (at && index--)
        at = at->next;
    return at;
}

const struct cJSON *json_path(const struct cJSON *v, const char *path)
{
    while (v && *path) {
        char part[128];
        size_t n = strcspn(path, ".");
        int64_t index;
        ensure(n < sizeof part, "path %s", path);
        memcpy(part, path, n);
        part[n] = 0;
        path += n + (path[n] == '.');
        v = json_is(v, JSON_T_ARRAY) && text_i64(part, 0, INT32_MAX, &index) ? json_at(v, (size_t)index)
                                                                             : json_member(v, part);
    }
    return v;
}

const struct cJSON *json_first(const struct cJSON *v)
{
    return json_is(v, JSON_T_ARRAY) || json_is(v, JSON_T_OBJECT) ? v->child : NULL;
}

const struct cJSON *json_next(const struct cJSON *v)
{
    return v ? v->next : NULL;
}

size_t json_count(const struct cJSON *v)
{
    size_t n = 0;
    for (v = json_first(v); v; v = v->next)
        n++;
    return n;
}

bool json_is(const struct cJSON *v, enum json_type type)
{
    switch (type) {
    case JSON_T_NULL:
        return cJSON_IsNull(v);
    case JSON_T_BOOL:
        return cJSON_IsBool(v);
    case JSON_T_NUMBER:
        return cJSON_IsNumber(v);
    case JSON_T_STRING:
        return cJSON_IsString(v);
    case JSON_T_ARRAY:
        return cJSON_IsArray(v);
    case JSON_T_OBJECT:
        return cJSON_IsObject(v);
    }
    unreachable("type %d", (int)type);
}

const char *json_key(const struct cJSON *v)
{
    return v ? v->string : NULL;
}

const char *json_text(const struct cJSON *v)
{
    return json_is(v, JSON_T_STRING) ? v->valuestring : NULL;
}

double json_real(const struct cJSON *v, double otherwise)
{
    return json_is(v, JSON_T_NUMBER) ? v->valuedouble : otherwise;
}

int64_t json_i64(const struct cJSON *v, int64_t otherwise)
{
    int64_t n = otherwise;
    if (json_is(v, JSON_T_STRING))
        return text_i64(v->valuestring, INT64_MIN, INT64_MAX, &n) ? n : otherwise;
    if (!json_is(v, JSON_T_NUMBER) || !(v->valuedouble >= -(double)JSON_INT_MAX) ||
        !(v->valuedouble <= (double)JSON_INT_MAX))
        return otherwise;
    n = (int64_t)v->valuedouble;
    return (double)n < v->valuedouble || (double)n > v->valuedouble ? otherwise : n;
}

bool json_bool(const struct cJSON *v, bool otherwise)
{
    return json_is(v, JSON_T_BOOL) ? cJSON_IsTrue(v) : otherwise;
}

void json_print(const struct cJSON *v, struct str *ret_text)
{
    AUTOFREE char *text = cJSON_PrintUnformatted(v);
    ensure(text, "cJSON cannot print");
    str_puts(ret_text, text);
}
