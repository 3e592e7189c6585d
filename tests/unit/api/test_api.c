/* The dispatch: which route a request finds, who may call it, and how its arguments are read. */
#include "bench.h"

#include "node/token.h"

static const struct route *find(enum req_method m, const char *path, char allow[64], struct err *e)
{
    *e = (struct err){0};
    return api_find(m, path, allow, e);
}

/* The pattern with every variable as `value`. */
static char *filled(const char *pattern, const char *value)
{
    struct str s = STR_INIT;
    while (*pattern) {
        if (*pattern == '{') {
            str_puts(&s, value);
            pattern += strcspn(pattern, "}") + 1;
        } else {
            str_putc(&s, *pattern++);
        }
    }
    return str_take(&s);
}

static void every_route_is_whole(void **state)
{
    (void)state;
    assert_true(api_routes_n() > 20);
    for (size_t i = 0; i < api_routes_n(); i++) {
        const struct route *r = api_route_at(i);
        size_t params = 0;
        for (const char *p = r->path; (p = strchr(p, '{')); p++)
            params++;
        assert_true(r->path[0] == '/' && r->path[strlen(r->path) - 1] != '/');
        assert_true(params <= API_PARAMS_MAX);
        assert_true(!r->read || !r->serve);
        assert_true((r->where == API_BRAIN) == (r->read == NULL) || r->role == ROLE_PEER);
        assert_true(r->about && r->about[0] >= 'A' && r->about[0] <= 'Z' &&
                    r->about[strlen(r->about) - 1] == '.');
        assert_true(r->body_max > 0 || r->method == HTTP_M_GET);
        assert_true(!r->swarm_scoped || text_starts(r->path, "/v1/swarms/{swarm}"));
        assert_true(r->role == ROLE_PEER || !text_starts(r->path, "/v1/peer/"));
        assert_true(r->method != HTTP_M_GET || !r->body);
        assert_true(r->role != ROLE_READ || r->method == HTTP_M_GET);
        assert_true(r->role != ROLE_NONE || !text_starts(r->path, "/v1/") || strstr(r->path, "enrol"));
        for (size_t k = 0; k < r->query_n; k++)
            assert_true(r->query[k].offset < r->query_bytes);
    }
    assert_null(api_route_at(api_routes_n()));
}

static void every_route_is_found_by_its_path(void **state)
{
    (void)state;
    for (size_t i = 0; i < api_routes_n(); i++) {
        const struct route *r = api_route_at(i);
        AUTOFREE char *path = filled(r->path, "..%2Fa%20b");
        char allow[64];
        struct err e;
        assert_ptr_equal(find(r->method, path, allow, &e), r);
        AUTOFREE char *longer = mem_printf("%s/", path);
        const struct route *other = find(r->method, longer, allow, &e);
        assert_true(other == NULL && (e.code == SKEP_ENOTFOUND || e.code == SKEP_EMETHOD));
    }
}

static void a_wrong_method_is_told_the_right_ones(void **state)
{
    (void)state;
    char allow[64];
    struct err e;
    assert_null(find(HTTP_M_OTHER, "/v1/swarms/default/children/x", allow, &e));
    assert_int_equal(e.code, SKEP_EMETHOD);
    assert_string_equal(allow, "PUT, PATCH, DELETE, GET, HEAD");
    assert_null(find(HTTP_M_POST, "/livez", allow, &e));
    assert_string_equal(allow, "GET, HEAD");
    assert_null(find(HTTP_M_DELETE, "/v1/tokens", allow, &e));
    assert_string_equal(allow, "GET, HEAD, POST");
    const struct route *get = find(HTTP_M_GET, "/livez", allow, &e);
    assert_ptr_equal(find(HTTP_M_HEAD, "/livez", allow, &e), get);
    for (size_t i = 0; i < api_routes_n(); i++) {
        AUTOFREE char *path = filled(api_route_at(i)->path, "x");
        assert_null(find(HTTP_M_OTHER, path, allow, &e));
        assert_int_equal(e.code, SKEP_EMETHOD);
        assert_non_null(strstr(allow, api_method_word(api_route_at(i)->method)));
        assert_true(strlen(allow) < 63);
    }
}

static void paths_that_are_none(void **state)
{
    (void)state;
    static const char *const paths[] = {"",
                                        "/",
                                        "//",
                                        "livez",
                                        "/livez/",
                                        "/LIVEZ",
                                        "/v1",
                                        "/v1/",
                                        "/v2/cluster",
                                        "/v1/swarms//children",
                                        "/v1/swarms/default/children/",
                                        "/v1/swarms/default/children/a/b/c",
                                        "/v1/nodes/../cluster",
                                        "/v1%2Fcluster",
                                        "*",
                                        "https://x/livez"};
    for (size_t i = 0; i < COUNT(paths); i++) {
        char allow[64];
        struct err e;
        assert_null(find(HTTP_M_GET, paths[i], allow, &e));
        assert_int_equal(e.code, SKEP_ENOTFOUND);
        assert_true(text_is_utf8(e.text, strlen(e.text)) && strstr(e.text, "openapi"));
    }
}

static void rights(void **state)
{
    (void)state;
    for (size_t i = 0; i < api_routes_n(); i++) {
        const struct route *r = api_route_at(i);
        AUTOFREE char *path = filled(r->path, "s%20x");
        for (int role = ROLE_NONE; role <= ROLE_PEER; role++) {
            struct principal all = {.role = (enum role)role}, here = all, other = all;
            here.swarm = (char *)"s x";
            other.swarm = (char *)"s";
            struct err e = {0};
            bool level = r->role == ROLE_NONE || (r->role == ROLE_PEER) == (role == ROLE_PEER);
            bool may = r->role == ROLE_NONE || (level && role != ROLE_NONE && role >= (int)r->role);
            bool changes = r->role != ROLE_NONE && r->role != ROLE_READ;
            int rc = api_allowed(r, path, &all, &e);
            assert_int_equal(rc == 0, may);
            assert_int_equal(rc == SKEP_EUNAUTHORIZED, !may && role == ROLE_NONE);
            assert_int_equal(api_allowed(r, path, &here, &e) == 0, may && (!changes || r->swarm_scoped));
            assert_int_equal(api_allowed(r, path, &other, &e) == 0, may && !changes);
        }
    }
}

static bool token_role(const struct frozen *f, const char *header, enum role *ret)
{
    struct principal who = {0};
    bool known = api_token(f, header, NOW_MS, &who);
    *ret = who.role;
    free(who.swarm);
    return known;
}

/* It becomes a part of a key (Idempotency-Key), and no node takes a row whose key is no text. */
static void a_long_name_of_a_token_is_cut_between_characters(void **state)
{
    (void)state;
    char hash[TOKEN_HEX], name[101] = "";
    struct frozen *f = bench_frozen();
    struct frozen_token one = {.token = (char *)"id", .hash = hash, .role = (char *)"read", .name = name};
    struct principal who = {0};
    for (int i = 0; i < 33; i++)
        memcpy(name + 3 * i, "\xe2\x82\xac", 3);
    token_hash("one", hash);
    f->tokens = &one;
    f->tokens_n = 1;
    assert_true(api_token(f, "Bearer one", NOW_MS, &who));
    assert_true(text_is_utf8(who.name, strlen(who.name)));
    assert_int_equal(strlen(who.name), strlen("token:") + 48);
}

static void tokens(void **state)
{
    (void)state;
    static struct frozen_token list[5];
    static const char *const roles[] = {"read", "write", "admin", "join", "king"};
    static const char *const secrets[] = {"Bearer one", "Bearer two", "Bearer three", "Bearer four",
                                          "Bearer five"};
    char hashes[5][TOKEN_HEX];
    struct frozen *f = bench_frozen();
    enum role role;
    for (int i = 0; i < 5; i++) {
        token_hash(secrets[i] + strlen("Bearer "), hashes[i]);
        list[i] = (struct frozen_token){.token = (char *)"id",
                                        .hash = hashes[i],
                                        .role = (char *)(uintptr_t)roles[i],
                                        .name = (char *)"n"};
    }
    f->tokens = list;
    f->tokens_n = 5;
    for (int i = 0; i < 3; i++) {
        assert_true(token_role(f, secrets[i], &role));
        assert_int_equal(role, ROLE_READ + i);
    }
    assert_true(token_role(f, "bEARER two", &role));
    assert_false(token_role(f, secrets[3], &role)); /* a join token is for joining */
    assert_false(token_role(f, secrets[4], &role));
    static const char *const none[] = {"",          "Bearer", "Bearer ", "Bearer  one", "Bearer one ",
                                       "Basic one", "one",    NULL};
    for (size_t i = 0; i < COUNT(none); i++)
        assert_false(token_role(f, none[i], &role));
    AUTOFREE char *hash = mem_printf("Bearer %s", hashes[0]);
    assert_false(token_role(f, hash, &role)); /* who reads the database has no secret */
    list[0].expires_at_ms = NOW_MS;
    assert_false(token_role(f, secrets[0], &role));
    list[0].expires_at_ms = NOW_MS + 1;
    assert_true(token_role(f, secrets[0], &role));
}

/* The code with which these arguments are refused, 0 if they are not; the field to blame. */
static int parsed(enum req_method m, const char *path, const char *query, const char *body, char field[128])
{
    char allow[64];
    struct err e = {0};
    struct request r = {.method = m,
                        .path = (char *)(uintptr_t)path,
                        .query = (char *)(uintptr_t)query,
                        .body = (char *)(uintptr_t)body,
                        .body_n = strlen(body)};
    const struct route *route = api_find(m, path, allow, &e);
    assert_non_null(route);
    CLEANUP(call_fini) struct call c;
    int rc = api_parse(route, &r, &c, &e);
    assert_true(rc == 0 || (*e.text && text_is_utf8(e.text, strlen(e.text))));
    snprintf(field, 128, "%s", rc ? e.field : "");
    return rc;
}

#define CHILD "/v1/swarms/default/children/"

static void names_in_paths(void **state)
{
    (void)state;
    char field[128];
    AUTOFREE char *most = mem_array(1, sizeof CHILD + 1024), *more = mem_array(1, sizeof CHILD + 2000);
    memcpy(most, CHILD, sizeof CHILD);
    memcpy(more, CHILD, sizeof CHILD);
    memset(most + strlen(CHILD), 'x', 1024);
    memset(more + strlen(CHILD), 'x', 2000);
    static const char *const good[] = {CHILD "..%2F..%2Fx", CHILD "%F0%9F%90%9D", CHILD "a+b", CHILD "%25zz",
                                       CHILD "...",         CHILD "a%2Fb",        CHILD "~"};
    static const char *const bad[] = {CHILD "%zz",       CHILD "%",     CHILD "a%2", CHILD "%00",
                                      CHILD "a%00b",     CHILD "%0a",   CHILD "%7F", CHILD "%ff",
                                      CHILD "%C3",       CHILD ".",     CHILD "..",  CHILD "%2e%2E",
                                      CHILD "%ED%A0%80", CHILD "\x80x", CHILD "\x01"};
    for (size_t i = 0; i < COUNT(good); i++)
        assert_int_equal(parsed(HTTP_M_GET, good[i], NULL, "", field), 0);
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(parsed(HTTP_M_GET, bad[i], NULL, "", field), SKEP_EARG);
    assert_int_equal(parsed(HTTP_M_GET, most, NULL, "", field), 0);
    assert_int_equal(parsed(HTTP_M_GET, more, NULL, "", field), SKEP_EARG);
    assert_string_equal(field, "name");
}

static void queries(void **state)
{
    (void)state;
    char field[128];
    static const struct {
        const char *query;
        int code;
    } cases[] = {{"limit=1", 0},
                 {"limit=1000&after=x", 0},
                 {"status=running&timeout_ms=5", 0},
                 {"read=owner", 0},
                 {"read=local&acks=1", 0},
                 {"limit=0", SKEP_EARG},
                 {"limit=1001", SKEP_EARG},
                 {"limit=x", SKEP_EARG},
                 {"limit=", SKEP_EARG},
                 {"limit=1&limit=2", SKEP_EARG},
                 {"colour=red", SKEP_EARG},
                 {"status=fine", SKEP_EARG},
                 {"read=all", SKEP_EARG},
                 {"timeout_ms=-1", SKEP_EARG},
                 {"timeout_ms=99999999999999999999", SKEP_EARG},
                 {"acks=0", SKEP_EARG},
                 {"after=%zz", SKEP_EARG},
                 {"after=%00", SKEP_EARG},
                 {"tag=%ff", SKEP_EARG}};
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_int_equal(parsed(HTTP_M_GET, "/v1/swarms/default/children", cases[i].query, "", field),
                         cases[i].code);
    assert_int_equal(parsed(HTTP_M_GET, "/livez", "x=1", "", field), SKEP_EARG);
    assert_string_equal(field, "x");
}

static void bodies(void **state)
{
    (void)state;
    char field[128];
    static const struct {
        const char *body, *field;
        int code;
    } cases[] = {{"{\"argv\":[\"x\"]}", "", 0},
                 {"{\"argv\":[\"x\"],\"metadata\":null}", "", 0},
                 {"", "argv", SKEP_EARG},
                 {"{}", "argv", SKEP_EARG},
                 {"{\"argv\":\"x\"}", "argv", SKEP_EARG},
                 {"{\"argv\":[1]}", "argv[0]", SKEP_EARG},
                 {"{\"argv\":[\"x\"],\"colour\":1}", "colour", SKEP_EARG},
                 {"{\"argv\":[\"x\"],\"restart\":\"never\"}", "restart", SKEP_EARG},
                 {"{\"argv\":[\"x\"],\"max_restarts\":1.5}", "max_restarts", SKEP_EARG},
                 {"{\"argv\":[\"x\"],\"max_restarts\":-1}", "max_restarts", SKEP_EARG},
                 {"{\"argv\":[\"x\"],\"env\":{\"a\":1}}", "env.a", SKEP_EARG},
                 {"[]", "", SKEP_EARG},
                 {"null", "", SKEP_EARG},
                 {"{\"argv\":[\"x\"]", "", SKEP_EJSON},
                 {"{\"argv\":[\"\xff\"]}", "", SKEP_EJSON},
                 {"{\"argv\":[\"\\u0000\"]}", "", SKEP_EJSON},
                 {"{\"argv\":[\"x\"],\"argv\":[\"y\"]}", "", SKEP_EJSON},
                 {"{\"argv\":[\"x\"]} x", "", SKEP_EJSON}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        int rc = parsed(HTTP_M_PUT, CHILD "x", NULL, cases[i].body, field);
        if (rc != cases[i].code || strcmp(field, cases[i].field) != 0)
            print_error("%s: %d, field %s\n", cases[i].body, rc, field);
        assert_int_equal(rc, cases[i].code);
        assert_string_equal(field, cases[i].field);
    }
}

static void a_body_that_nobody_reads_is_refused(void **state)
{
    (void)state;
    char field[128];
    for (size_t i = 0; i < api_routes_n(); i++) {
        const struct route *r = api_route_at(i);
        AUTOFREE char *path = filled(r->path, "x");
        if (r->body || r->role == ROLE_PEER)
            continue;
        assert_int_equal(parsed(r->method, path, NULL, "{}", field), 0);
        assert_int_equal(parsed(r->method, path, NULL, "{\"colour\":1}", field), SKEP_EARG);
        assert_string_equal(field, "colour");
        assert_int_equal(parsed(r->method, path, NULL, "{", field), SKEP_EJSON);
    }
}

static void every_route_bounds_its_depth(void **state)
{
    (void)state;
    char field[128];
    struct str deep = STR_INIT;
    str_puts(&deep, "{\"metadata\":");
    for (int i = 0; i < 100; i++)
        str_puts(&deep, "[");
    for (size_t i = 0; i < api_routes_n(); i++) {
        const struct route *r = api_route_at(i);
        AUTOFREE char *path = filled(r->path, "x");
        if (r->body)
            assert_int_equal(parsed(r->method, path, NULL, str_get(&deep), field), SKEP_EJSON);
    }
    str_fini(&deep);
}

static void problems(void **state)
{
    (void)state;
    struct err e;
    err_field(&e, SKEP_EBUSY, "x", "busy \"now\"");
    struct answer *a = api_problem(&e, NULL);
    struct json *tree = NULL;
    assert_int_equal(a->status, 503);
    assert_int_equal(a->retry_after_s, 1);
    assert_string_equal(a->content_type, "application/problem+json");
    assert_int_equal(json_parse(a->body, a->body_n, &tree, &e), 0);
    assert_text(tree, "code", "store_busy");
    assert_text(tree, "field", "x");
    assert_text(tree, "detail", "busy \"now\"");
    json_free(tree);
    answer_free(a);
    err_set(&e, SKEP_EMETHOD, "no");
    a = api_problem(&e, "GET, HEAD");
    assert_int_equal(a->status, 405);
    assert_int_equal(a->retry_after_s, 0);
    assert_string_equal(a->allow, "GET, HEAD");
    answer_free(a);
}

static void if_match(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        bool passes;
    } cases[] = {{NULL, true},    {"*", true},     {"\"17\"", true}, {"17", true},        {"\"18\"", false},
                 {"\"17", false}, {"\"\"", false}, {"", false},      {"W/\"17\"", false}, {"\"017\"", false}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct request r = {.if_match = (char *)(uintptr_t)cases[i].header};
        struct err e;
        assert_int_equal(api_match(&r, 17, &e), cases[i].passes ? 0 : SKEP_ECONFLICT);
    }
}

int main(void)
{
    const struct CMUnitTest list[] = {
        cmocka_unit_test(every_route_is_whole),
        cmocka_unit_test(every_route_is_found_by_its_path),
        cmocka_unit_test(a_wrong_method_is_told_the_right_ones),
        cmocka_unit_test(paths_that_are_none),
        cmocka_unit_test(rights),
        cmocka_unit_test(a_long_name_of_a_token_is_cut_between_characters),
        cmocka_unit_test(tokens),
        cmocka_unit_test(names_in_paths),
        cmocka_unit_test(queries),
        cmocka_unit_test(bodies),
        cmocka_unit_test(a_body_that_nobody_reads_is_refused),
        cmocka_unit_test(every_route_bounds_its_depth),
        cmocka_unit_test(problems),
        cmocka_unit_test(if_match),
    };
    return cmocka_run_group_tests(list, NULL, NULL);
}
