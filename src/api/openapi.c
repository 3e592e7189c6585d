/* openapi: writes what the route table and its tables of fields say in the words of OpenAPI 3.1.
 *
 * Decides nothing: a path, a parameter, a field or a bound is described if and only if it is in a table.
 * Paths that only peers may call are left out.
 */
#include "api/openapi.h"

#include <string.h>

#include "api/api.h"

/* ---- JSON schemas of bodies ---- */

static void schema(struct jw *j, const struct json_table *table);

static void bounds(struct jw *j, const struct json_field *f)
{
    if (f->min || f->max) {
        jw_kv_i64(j, "minimum", f->min);
        jw_kv_i64(j, "maximum", f->max);
    }
}

static void text_bounds(struct jw *j, const struct json_field *f)
{
    if (!f->may_be_empty)
        jw_kv_i64(j, "minLength", 1);
    if (f->bytes_max)
        jw_kv_i64(j, "maxLength", (int64_t)f->bytes_max);
}

static void words(struct jw *j, const char *const *list)
{
    jw_kv_array(j, "enum");
    for (; list && *list; list++)
        jw_string(j, *list);
    jw_array_close(j);
}

static void type(struct jw *j, const char *word, bool nullable)
{
    if (!nullable) {
        jw_kv_string(j, "type", word);
        return;
    }
    jw_kv_array(j, "type");
    jw_string(j, word);
    jw_string(j, "null");
    jw_array_close(j);
}

static void list_of(struct jw *j, const struct json_field *f)
{
    type(j, "array", f->nullable);
    if (f->max)
        jw_kv_i64(j, "maxItems", f->max);
    jw_kv_object(j, "items");
    if (f->kind == JSON_OBJECTS) {
        schema(j, f->inner);
    } else {
        jw_kv_string(j, "type", "string");
        text_bounds(j, f);
    }
    jw_object_close(j);
}

static void field_schema(struct jw *j, const struct json_field *f)
{
    switch (f->kind) {
    case JSON_STRING:
        type(j, "string", f->nullable);
        text_bounds(j, f);
        break;
    case JSON_NAME:
        type(j, "string", f->nullable);
        jw_kv_i64(j, "minLength", 1);
        jw_kv_i64(j, "maxLength", NAME_BYTES_MAX);
        break;
    case JSON_WORD:
        type(j, "string", f->nullable);
        words(j, f->words);
        break;
    case JSON_INT:
        type(j, "integer", f->nullable);
        bounds(j, f);
        break;
    case JSON_I64_TEXT:
        type(j, "string", f->nullable);
        jw_kv_string(j, "pattern", "^-?[0-9]+$");
        break;
    case JSON_BOOL:
        type(j, "boolean", f->nullable);
        break;
    case JSON_STRINGS:
    case JSON_OBJECTS:
        list_of(j, f);
        break;
    case JSON_STRING_MAP:
        type(j, "object", f->nullable);
        jw_kv_object(j, "additionalProperties");
        jw_kv_string(j, "type", "string");
        jw_object_close(j);
        break;
    case JSON_RAW:
        break; /* any JSON at all */
    case JSON_RAW_OBJECT:
        type(j, "object", f->nullable);
        break;
    case JSON_RAW_ARRAY:
        type(j, "array", f->nullable);
        break;
    case JSON_OBJECT:
        schema(j, f->inner);
        break;
    }
}

static void required(struct jw *j, const struct json_table *table)
{
    bool some = false;
    for (size_t i = 0; i < table->n; i++)
        if (table->fields[i].required) {
            if (!some)
                jw_kv_array(j, "required");
            some = true;
            jw_string(j, table->fields[i].name);
        }
    if (some)
        jw_array_close(j);
}

static void schema(struct jw *j, const struct json_table *table)
{
    jw_kv_string(j, "type", "object");
    jw_kv_bool(j, "additionalProperties", false);
    required(j, table);
    jw_kv_object(j, "properties");
    for (size_t i = 0; i < table->n; i++) {
        jw_kv_object(j, table->fields[i].name);
        field_schema(j, &table->fields[i]);
        jw_object_close(j);
    }
    jw_object_close(j);
}

/* ---- parameters ---- */

static void path_params(struct jw *j, const char *path)
{
    for (const char *p = path; (p = strchr(p, '{')); p++) {
        AUTOFREE char *name = mem_copy(p + 1, strcspn(p + 1, "}"));
        jw_object(j);
        jw_kv_string(j, "name", name);
        jw_kv_string(j, "in", "path");
        jw_kv_bool(j, "required", true);
        jw_kv_object(j, "schema");
        jw_kv_string(j, "type", "string");
        jw_kv_i64(j, "minLength", 1);
        jw_kv_i64(j, "maxLength", NAME_BYTES_MAX);
        jw_object_close(j);
        jw_object_close(j);
    }
}

static void param_schema(struct jw *j, const struct uri_param *p)
{
    switch (p->kind) {
    case URI_TEXT:
    case URI_NAME:
        jw_kv_string(j, "type", "string");
        if (p->kind == URI_NAME)
            jw_kv_i64(j, "minLength", 1);
        if (p->kind == URI_NAME || p->max)
            jw_kv_i64(j, "maxLength", p->max ? p->max : NAME_BYTES_MAX);
        break;
    case URI_INT:
        jw_kv_string(j, "type", "integer");
        jw_kv_i64(j, "minimum", p->min);
        jw_kv_i64(j, "maximum", p->max);
        break;
    case URI_BOOL:
        jw_kv_string(j, "type", "boolean");
        break;
    case URI_WORD:
        jw_kv_string(j, "type", "string");
        words(j, p->words);
        break;
    }
}

static void query_params(struct jw *j, const struct uri_param *params, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        jw_object(j);
        jw_kv_string(j, "name", params[i].name);
        jw_kv_string(j, "in", "query");
        jw_kv_object(j, "schema");
        param_schema(j, &params[i]);
        jw_object_close(j);
        jw_object_close(j);
    }
}

static void reference(struct jw *j, const char *to)
{
    jw_object(j);
    jw_kv_string(j, "$ref", to);
    jw_object_close(j);
}

/* ---- operations ---- */

static bool is_json(const struct route *r)
{
    return strcmp(r->path, "/metrics") != 0;
}

static void responses(struct jw *j, const struct route *r)
{
    jw_kv_object(j, "responses");
    jw_kv_object(j, "2XX");
    jw_kv_string(j, "description", "Done, or accepted.");
    jw_kv_object(j, "content");
    jw_kv_object(j, is_json(r) ? "application/json" : "text/plain");
    jw_object_close(j);
    jw_object_close(j);
    jw_object_close(j);
    jw_key(j, "default");
    reference(j, "#/components/responses/Problem");
    jw_object_close(j);
}

static void body_of(struct jw *j, const struct route *r)
{
    if (!r->body)
        return;
    bool must = false;
    for (size_t i = 0; i < r->body->n; i++)
        must = must || r->body->fields[i].required;
    jw_kv_object(j, "requestBody");
    jw_kv_bool(j, "required", must);
    jw_kv_object(j, "content");
    jw_kv_object(j, "application/json");
    jw_kv_object(j, "schema");
    schema(j, r->body);
    jw_object_close(j);
    jw_object_close(j);
    jw_object_close(j);
    jw_object_close(j);
}

static void security(struct jw *j, const struct route *r)
{
    static const char *const words_[] = {"none", "read", "write", "admin", "peer"};
    jw_kv_string(j, "x-skep-role", words_[r->role]);
    jw_kv_i64(j, "x-skep-body-bytes-max", (int64_t)r->body_max);
    if (r->role != ROLE_NONE)
        return; /* the document's own security holds */
    jw_kv_array(j, "security");
    jw_array_close(j);
}

static void operation(struct jw *j, const struct route *r)
{
    const char *word = api_method_word(r->method);
    char lower[8] = "";
    for (size_t i = 0; word[i] && i < sizeof lower - 1; i++)
        lower[i] = (char)(word[i] | 0x20);
    jw_kv_object(j, lower);
    jw_kv_string(j, "summary", r->about);
    security(j, r);
    jw_kv_array(j, "parameters");
    path_params(j, r->path);
    query_params(j, r->query, r->query_n);
    reference(j, "#/components/parameters/timeout_ms");
    reference(j, r->read ? "#/components/parameters/read" : "#/components/parameters/acks");
    if (r->serve && r->method != HTTP_M_GET)
        reference(j, "#/components/parameters/Idempotency-Key");
    jw_array_close(j);
    body_of(j, r);
    responses(j, r);
    jw_object_close(j);
}

/* The first route of a path writes all of its methods. */
static bool is_first(size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (strcmp(api_route_at(i)->path, api_route_at(at)->path) == 0)
            return false;
    return true;
}

static void paths(struct jw *j)
{
    jw_kv_object(j, "paths");
    for (size_t i = 0; i < api_routes_n(); i++) {
        const struct route *r = api_route_at(i);
        if (r->role == ROLE_PEER || !is_first(i))
            continue;
        jw_kv_object(j, r->path);
        for (size_t k = i; k < api_routes_n(); k++)
            if (strcmp(api_route_at(k)->path, r->path) == 0 && api_route_at(k)->role != ROLE_PEER)
                operation(j, api_route_at(k));
        jw_object_close(j);
    }
    jw_object_close(j);
}

/* What does not depend on the table. */
static const char components[] =
    "{\"securitySchemes\":{\"bearer\":{\"type\":\"http\",\"scheme\":\"bearer\"},"
    "\"certificate\":{\"type\":\"mutualTLS\"}},"
    "\"parameters\":{"
    "\"timeout_ms\":{\"name\":\"timeout_ms\",\"in\":\"query\",\"description\":\"How long to wait for the "
    "outcome.\","
    "\"schema\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":3600000,\"default\":30000}},"
    "\"acks\":{\"name\":\"acks\",\"in\":\"query\",\"description\":\"Answer once so many nodes have it on "
    "disk.\","
    "\"schema\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":1000}},"
    "\"read\":{\"name\":\"read\",\"in\":\"query\",\"description\":\"Ask this node, or the owner of the "
    "name.\","
    "\"schema\":{\"type\":\"string\",\"enum\":[\"local\",\"owner\"]}},"
    "\"Idempotency-Key\":{\"name\":\"Idempotency-Key\",\"in\":\"header\","
    "\"description\":\"A repeat under the same key within 24 hours gets the first answer.\","
    "\"schema\":{\"type\":\"string\"}}},"
    "\"schemas\":{\"Problem\":{\"type\":\"object\",\"required\":[\"type\",\"title\",\"status\",\"detail\","
    "\"code\"],"
    "\"properties\":{\"type\":{\"type\":\"string\"},\"title\":{\"type\":\"string\"},\"status\":{\"type\":"
    "\"integer\"},"
    "\"detail\":{\"type\":\"string\"},\"code\":{\"type\":\"string\"},\"field\":{\"type\":\"string\"}}}},"
    "\"responses\":{\"Problem\":{\"description\":\"What went wrong, and what to do about it (RFC 9457).\","
    "\"content\":{\"application/problem+json\":{\"schema\":{\"$ref\":\"#/components/schemas/Problem\"}}}}}}";

static const char security_of_all[] = "[{\"bearer\":[]},{\"certificate\":[]}]";

void openapi_write(const char *version, struct str *s)
{
    struct jw j = jw_init(s);
    jw_object(&j);
    jw_kv_string(&j, "openapi", "3.1.0");
    jw_kv_object(&j, "info");
    jw_kv_string(&j, "title", "skep");
    jw_kv_string(&j, "version", version);
    jw_object_close(&j);
    jw_kv_raw(&j, "security", (struct span){security_of_all, sizeof security_of_all - 1});
    paths(&j);
    jw_kv_raw(&j, "components", (struct span){components, sizeof components - 1});
    jw_object_close(&j);
    jw_end(&j);
}
