/* Requests as the API reads them: "METHOD path?query", a line break, the body. Every one is found or refused
 * with a problem document that is JSON; what is found has its arguments read by the tables of its route. */
#include "fuzz.h"

#include <string.h>

#include "api/api.h"
#include "base/ensure.h"

static void has_document(const struct err *e, const char *allow)
{
    struct err why = {0};
    struct answer *a = api_problem(e, allow);
    ensure(*e->text && a->status >= 400 && a->status < 600, "a refusal without a word, or %d", a->status);
    ensure(json_check(a->body, a->body_n, &why) == 0, "%s: %s", why.text, a->body);
    answer_free(a);
}

static enum req_method method_of(const char **text)
{
    for (int m = HTTP_M_GET; m < HTTP_M_OTHER; m++) {
        const char *word = api_method_word((enum req_method)m);
        size_t n = strlen(word);
        if (strncmp(*text, word, n) == 0 && (*text)[n] == ' ') {
            *text += n + 1;
            return (enum req_method)m;
        }
    }
    return HTTP_M_OTHER;
}

static void parse(const struct route *route, struct request *r)
{
    struct err e = {0};
    struct call c;
    int rc = api_parse(route, r, &c, &e);
    if (rc < 0)
        has_document(&e, NULL);
    for (size_t i = 0; rc == 0 && i < API_PARAMS_MAX && c.param[i]; i++)
        ensure(name_check(c.param[i], strlen(c.param[i]), "x", NULL) == 0, "a bad name got through");
    ensure(rc < 0 || (c.common.timeout_ms >= 0 && c.common.acks <= 1000), "a bound was passed");
    call_fini(&c);
}

static void rights(const struct route *route, const char *path)
{
    for (int role = ROLE_NONE; role <= ROLE_PEER; role++) {
        struct principal who = {.role = (enum role)role, .swarm = role == ROLE_WRITE ? (char[]){"s"} : NULL};
        struct err e = {0};
        if (api_allowed(route, path, &who, &e) < 0)
            has_document(&e, NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    AUTOFREE char *copy = mem_copy(data, n);
    const char *text = copy;
    char allow[64];
    struct err e = {0};
    struct request r = {.method = method_of(&text)};
    r.path = (char *)(uintptr_t)text;
    size_t head = strcspn(r.path, "\n"), used = (size_t)(r.path - copy) + head;
    bool more = used < n && r.path[head] == '\n';
    r.body = copy + used + more;
    r.body_n = n - used - more;
    r.path[head] = 0;
    char *query = strchr(r.path, '?');
    if (query) {
        *query = 0;
        r.query = query + 1;
    }
    const struct route *route = api_find(r.method, r.path, allow, &e);
    if (!route) {
        has_document(&e, allow);
        return 0;
    }
    rights(route, r.path);
    parse(route, &r);
    return 0;
}
