/* The description of all paths: valid JSON that says of every route what its row says. */
#include "bench.h"

#include "api/openapi.h"

static struct json *document(void)
{
    struct str s = STR_INIT;
    struct json *tree = NULL;
    struct err e = {0};
    openapi_write("1.2.3", &s);
    if (json_parse(str_get(&s), s.n, &tree, &e) < 0)
        print_error("%s\n", e.text);
    assert_non_null(tree);
    str_fini(&s);
    return tree;
}

static const struct cJSON *operation(const struct json *doc, const struct route *r)
{
    char lower[8] = "";
    const char *word = api_method_word(r->method);
    for (size_t i = 0; word[i] && i < sizeof lower - 1; i++)
        lower[i] = (char)(word[i] | 0x20);
    return json_member(json_member(json_path(json_root(doc), "paths"), r->path), lower);
}

static const struct cJSON *parameter(const struct cJSON *op, const char *name, const char *in)
{
    for (const struct cJSON *p = json_first(json_member(op, "parameters")); p; p = json_next(p)) {
        const char *got = json_text(json_member(p, "name")), *where = json_text(json_member(p, "in"));
        if (got && where && strcmp(got, name) == 0 && strcmp(where, in) == 0)
            return p;
    }
    return NULL;
}

static void every_route_is_described(void **state)
{
    (void)state;
    struct json *doc = document();
    assert_text(doc, "openapi", "3.1.0");
    assert_text(doc, "info.version", "1.2.3");
    size_t operations = 0, routes = 0;
    for (size_t i = 0; i < api_routes_n(); i++) {
        const struct route *r = api_route_at(i);
        const struct cJSON *op = operation(doc, r);
        if (r->role == ROLE_PEER) {
            assert_null(op);
            continue;
        }
        routes++;
        assert_non_null(op);
        assert_string_equal(json_text(json_member(op, "summary")), r->about);
        assert_true(json_is(json_path(op, "responses.default"), JSON_T_OBJECT));
        assert_int_equal(json_is(json_member(op, "security"), JSON_T_ARRAY), r->role == ROLE_NONE);
        for (size_t k = 0; k < r->query_n; k++)
            assert_non_null(parameter(op, r->query[k].name, "query"));
        for (const char *p = r->path; (p = strchr(p, '{')); p++) {
            AUTOFREE char *name = mem_copy(p + 1, strcspn(p + 1, "}"));
            assert_non_null(parameter(op, name, "path"));
        }
    }
    for (const struct cJSON *p = json_first(json_path(json_root(doc), "paths")); p; p = json_next(p))
        operations += json_count(p);
    assert_int_equal(operations, routes);
    json_free(doc);
}

static void every_field_of_a_body_is_described(void **state)
{
    (void)state;
    struct json *doc = document();
    size_t bodies = 0;
    for (size_t i = 0; i < api_routes_n(); i++) {
        const struct route *r = api_route_at(i);
        if (!r->body || r->role == ROLE_PEER)
            continue;
        bodies++;
        const struct cJSON *content = json_path(operation(doc, r), "requestBody.content");
        const struct cJSON *schema = json_member(json_member(content, "application/json"), "schema");
        assert_non_null(schema);
        assert_int_equal(json_count(json_member(schema, "properties")), r->body->n);
        size_t required = 0;
        for (size_t k = 0; k < r->body->n; k++) {
            assert_non_null(json_member(json_member(schema, "properties"), r->body->fields[k].name));
            required += r->body->fields[k].required;
        }
        assert_int_equal(json_count(json_member(schema, "required")), required);
    }
    assert_true(bodies > 3);
    json_free(doc);
}

static void bounds_are_those_of_the_tables(void **state)
{
    (void)state;
    struct json *doc = document();
    char allow[64];
    struct err e;
    const struct cJSON *op = operation(doc, api_find(HTTP_M_GET, "/v1/nodes", allow, &e));
    const struct cJSON *limit = json_member(parameter(op, "limit", "query"), "schema");
    assert_int_equal(json_i64(json_member(limit, "maximum"), 0), API_LIST_MAX);
    op = operation(doc, api_find(HTTP_M_POST, "/v1/tokens", allow, &e));
    const struct cJSON *content = json_path(op, "requestBody.content");
    const struct cJSON *fields = json_path(json_member(content, "application/json"), "schema.properties");
    assert_int_equal(json_count(json_path(fields, "role.enum")), 4);
    assert_string_equal(json_text(json_path(fields, "ttl_ms.type.0")), "integer");
    assert_string_equal(json_text(json_path(fields, "ttl_ms.type.1")), "null");
    json_free(doc);
}

static bool resolves(const struct json *doc, const char *ref)
{
    const struct cJSON *at = json_root(doc);
    AUTOFREE char *copy = mem_dup(ref);
    char *rest = copy + 2, *part;
    assert_true(text_starts(ref, "#/"));
    while ((part = strsep(&rest, "/")))
        at = json_member(at, part);
    return at != NULL;
}

static void references(const struct json *doc, const struct cJSON *v)
{
    const char *ref = json_text(json_member(v, "$ref"));
    assert_true(!ref || resolves(doc, ref));
    for (const struct cJSON *k = json_first(v); k; k = json_next(k))
        references(doc, k);
}

static void every_reference_leads_somewhere(void **state)
{
    (void)state;
    struct json *doc = document();
    references(doc, json_root(doc));
    json_free(doc);
}

int main(void)
{
    const struct CMUnitTest list[] = {
        cmocka_unit_test(every_route_is_described),
        cmocka_unit_test(every_field_of_a_body_is_described),
        cmocka_unit_test(bounds_are_those_of_the_tables),
        cmocka_unit_test(every_reference_leads_somewhere),
    };
    return cmocka_run_group_tests(list, NULL, NULL);
}
