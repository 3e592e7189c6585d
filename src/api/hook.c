/* hook: what is run, called or told when something happens, over HTTP. Last writer wins, on any node; but an
 * id that is in use is not taken over by accident.
 */
#include <stdio.h>
#include <string.h>

#include "api/api.h"
#include "node/hook.h"

struct list_query {
    char *after, *event;
    int64_t limit;
};
static const struct uri_param list_params[] = {
    URI_PARAM(struct list_query, limit, URI_INT, .min = 1, .max = API_LIST_MAX),
    URI_PARAM(struct list_query, after, URI_TEXT, .max = HOOK_EVENT_MAX + HOOK_ID_MAX + 1),
    URI_PARAM(struct list_query, event, URI_NAME),
};

static int rev_of(struct store *s, const struct hook_row *row, int64_t *ret, struct err *e)
{
    struct stamp stamp = {0};
    int rc = store_version(s, T_HOOK, row, &stamp, NULL, e);
    *ret = rc == 1 ? stamp.hlc : 0;
    return rc < 0 ? rc : 0;
}

/* What waits for it on this node, and why the last call failed if it did. */
static int write_here(struct store *s, const struct hook_row *row, struct jw *j, struct err *e)
{
    struct stmt *q = store_ask(s, Q_OUTBOX_OF, "tt", row->event, row->hook);
    int rc = stmt_step(q, e);
    if (rc == 1) {
        jw_kv_object(j, "here");
        jw_kv_i64(j, "waiting", col_i64(q, 0));
        jw_kv_time(j, "oldest_at", col_i64(q, 1));
        jw_kv_string(j, "detail", col_text(q, 2));
        jw_object_close(j);
    }
    stmt_reset(q);
    return rc < 0 ? rc : 0;
}

static int write_hook(struct store *s, const struct hook_row *row, struct jw *j, struct err *e)
{
    struct hook_spec spec = {0};
    int64_t rev;
    int rc = rev_of(s, row, &rev, e);
    if (rc == 0 && hook_spec_parse(row->spec, &spec, e) < 0)
        rc = err_set(e, SKEP_ESTORE, "the hook %s of %s cannot be read; DELETE it, and PUT it again",
                     row->hook, row->event);
    if (rc == 0) {
        jw_object(j);
        jw_kv_string(j, "event", row->event);
        jw_kv_string(j, "id", row->hook);
        hook_spec_members(&spec, j);
        rc = write_here(s, row, j, e);
        jw_kv_i64_text(j, "rev", rev);
        jw_object_close(j);
    }
    hook_spec_fini(&spec);
    return rc;
}

static bool is_after(const struct hook_row *row, const char *after)
{
    AUTOFREE char *key = mem_printf("%s/%s", row->event, row->hook);
    return !after || strcmp(key, after) > 0;
}

static int list_read(const struct call *c, const struct reading *r, struct str *body,
                     struct answer *ret UNUSED, struct err *e)
{
    const struct list_query *q = c->query;
    struct hook_row row = {0};
    AUTOFREE char *last = NULL;
    int64_t left = q->limit ? q->limit : API_LIST_LIMIT;
    bool more = false;
    int rc;
    struct jw j = jw_init(body);
    jw_object(&j);
    jw_kv_array(&j, "hooks");
    struct stmt *s = store_ask(r->store, Q_HOOKS, "");
    while (!more && (rc = store_next(s, T_HOOK, &row, e)) == 1) {
        if (!is_after(&row, q->after) || (q->event && strcmp(row.event, q->event) != 0))
            continue;
        more = left-- == 0;
        if (more)
            break;
        if ((rc = write_hook(r->store, &row, &j, e)) < 0)
            break;
        free(last);
        last = mem_printf("%s/%s", row.event, row.hook);
    }
    stmt_reset(s);
    row_fini(T_HOOK, &row);
    jw_array_close(&j);
    jw_kv_string(&j, "next", more ? last : NULL);
    jw_object_close(&j);
    return rc < 0 ? rc : 200;
}

static int no_hook(const struct call *c, struct err *e)
{
    return err_set(e, SKEP_ENOTFOUND, "there is no hook %.100s of %.100s; GET /v1/hooks lists them",
                   c->param[1], c->param[0]);
}

static struct hook_row row_of(const struct call *c)
{
    return (struct hook_row){.event = mem_dup(c->param[0]), .hook = mem_dup(c->param[1])};
}

static int hook_read(const struct call *c, const struct reading *r, struct str *body, struct answer *ret,
                     struct err *e)
{
    struct hook_row row = row_of(c);
    struct jw j = jw_init(body);
    int64_t rev = 0;
    int rc = store_load(r->store, T_HOOK, &row, e);
    if (rc == 0)
        rc = no_hook(c, e);
    if (rc > 0)
        rc = rev_of(r->store, &row, &rev, e);
    if (rc == 0)
        rc = write_hook(r->store, &row, &j, e);
    snprintf(ret->etag, sizeof ret->etag, "%lld", (long long)rev);
    row_fini(T_HOOK, &row);
    return rc < 0 ? rc : 200;
}

/* ---- changing ---- */

static int answer_hook(struct node *n, struct op *op, int status, const struct hook_row *row)
{
    struct str body = STR_INIT;
    struct jw j = jw_init(&body);
    char etag[32];
    int64_t rev;
    int rc = rev_of(n->store, row, &rev, &n->fault);
    if (rc == 0)
        rc = write_hook(n->store, row, &j, &n->fault);
    if (rc < 0) {
        str_fini(&body);
        return rc;
    }
    snprintf(etag, sizeof etag, "%lld", (long long)rev);
    api_answer_copies(n, op, status, &body, etag, store_written(n->store), 0);
    return 0;
}

static int in_use(struct node *n, struct op *op, const struct hook_row *row)
{
    struct err e;
    int64_t rev;
    int rc = rev_of(n->store, row, &rev, &n->fault);
    if (rc < 0)
        return rc;
    err_field(
        &e, SKEP_ETAKEN, "id",
        "there is another hook %.60s of %.60s; choose another id, or replace it with If-Match: \"%lld\"",
        row->hook, row->event, (long long)rev);
    return api_fail(n, op, &e);
}

static int log_it(struct node *n, const struct op *op, const char *type, const struct hook_row *row)
{
    AUTOSTR struct str data = STR_INIT;
    struct jw j = jw_init(&data);
    jw_object(&j);
    jw_kv_string(&j, "event", row->event);
    jw_kv_string(&j, "hook", row->hook);
    jw_object_close(&j);
    jw_end(&j);
    return node_log(n, type, NULL, NULL, n->name, 0, op->request->who.name, str_get(&data));
}

static int save(struct node *n, struct op *op, const struct call *c, struct hook_row *row, bool found)
{
    struct str spec = STR_INIT;
    struct err e;
    int64_t rev = 0;
    hook_spec_write(c->body, &spec);
    AUTOFREE char *text = str_take(&spec);
    int rc = rev_of(n->store, row, &rev, &n->fault);
    if (rc < 0)
        return rc;
    if (api_match(op->request, found ? rev : 0, &e) < 0)
        return api_fail(n, op, &e);
    bool same = found && strcmp(row->spec, text) == 0;
    if (found && !same && !op->request->if_match)
        return in_use(n, op, row);
    if (same)
        return answer_hook(n, op, 200, row);
    mem_replace(&row->spec, text);
    rc = store_set(n->store, T_HOOK, row, &n->fault);
    if (rc == 0)
        rc = log_it(n, op, "hook_put", row);
    hooks_changed(n);
    return rc < 0 ? rc : answer_hook(n, op, found ? 200 : 201, row);
}

static int hook_put(struct node *n, struct op *op, const struct call *c)
{
    struct err e;
    if (hook_spec_check(c->body, c->param[0], c->param[1], &e) < 0)
        return api_fail(n, op, &e);
    if (!api_event_named(c->param[0])) {
        err_field(&e, SKEP_EARG, "event",
                  "no event that calls hooks is called %.100s; docs/api.md has the types, a pattern such as "
                  "child_* "
                  "takes several",
                  c->param[0]);
        return api_fail(n, op, &e);
    }
    struct hook_row row = row_of(c);
    int rc = store_load(n->store, T_HOOK, &row, &n->fault);
    if (rc >= 0)
        rc = save(n, op, c, &row, rc == 1);
    row_fini(T_HOOK, &row);
    return rc;
}

static int remove_row(struct node *n, struct op *op, const struct hook_row *row)
{
    struct str body = STR_INIT;
    struct jw j = jw_init(&body);
    struct err e;
    int64_t rev = 0;
    int rc = rev_of(n->store, row, &rev, &n->fault);
    if (rc == 0 && api_match(op->request, rev, &e) < 0)
        return api_fail(n, op, &e);
    if (rc == 0)
        rc = write_hook(n->store, row, &j, &n->fault);
    if (rc == 0)
        rc = store_kill(n->store, T_HOOK, row, 0, &n->fault);
    if (rc == 0)
        rc = log_it(n, op, "hook_removed", row);
    hooks_changed(n);
    if (rc < 0)
        str_fini(&body);
    else
        api_answer_copies(n, op, 200, &body, NULL, store_written(n->store), 0);
    return rc;
}

static int hook_delete(struct node *n, struct op *op, const struct call *c)
{
    struct hook_row row = row_of(c);
    struct err e;
    int rc = store_load(n->store, T_HOOK, &row, &n->fault);
    if (rc == 1)
        rc = remove_row(n, op, &row);
    else if (rc == 0 && no_hook(c, &e) < 0)
        rc = api_fail(n, op, &e);
    row_fini(T_HOOK, &row);
    return rc;
}

const struct route hook_routes[] = {
    {HTTP_M_GET, "/v1/hooks", ROLE_ADMIN, API_READER, API_BODY_BYTES, false, list_params, COUNT(list_params),
     sizeof(struct list_query), NULL, list_read, NULL,
     "List the hooks, and what waits for them on this node."},
    {HTTP_M_GET, "/v1/hooks/{event}/{id}", ROLE_ADMIN, API_READER, .read = hook_read,
     .about = "Show a hook."},
    {HTTP_M_PUT, "/v1/hooks/{event}/{id}", ROLE_ADMIN, API_BRAIN, API_BODY_BYTES, .body = &hook_spec_table,
     .serve = hook_put, .about = "Make a hook; If-Match replaces one."},
    {HTTP_M_DELETE, "/v1/hooks/{event}/{id}", ROLE_ADMIN, API_BRAIN, API_BODY_BYTES, .serve = hook_delete,
     .about = "Remove a hook, with what waits for it."},
    {0},
};
