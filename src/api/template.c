/* template: what the workers of sessions are started from, over HTTP. Last writer wins, on any node. */
#include "node/template.h"

#include <stdio.h>
#include <string.h>

#include "api/api.h"

struct page_query {
    int64_t limit;
    char *after;
};
static const struct uri_param page_params[] = {
    URI_PARAM(struct page_query, limit, URI_INT, .min = 1, .max = 1000),
    URI_PARAM(struct page_query, after, URI_TEXT, .max = NAME_BYTES_MAX),
};

static int64_t rev_of(struct store *s, const struct template_row *row)
{
    struct stamp v = {0};
    return store_version(s, T_TEMPLATE, row, &v, NULL, NULL) == 1 ? v.hlc : 0;
}

/* {"id":…, its members, "rev":…} */
static int write_template(const struct template_row *row, int64_t rev, struct jw *j, struct err *e)
{
    struct template t;
    template_defaults(&t);
    int rc =
        json_read(row->spec ? row->spec : "{}", row->spec ? strlen(row->spec) : 2, &template_table, &t, e);
    if (rc == 0) {
        jw_object(j);
        jw_kv_string(j, "id", row->template);
        template_write(&t, j);
        jw_kv_i64_text(j, "rev", rev);
        jw_object_close(j);
    } else {
        rc = err_set(e, SKEP_ESTORE, "the template %s cannot be read; PUT it again", row->template);
    }
    template_fini(&t);
    return rc;
}

static int list_templates(const struct call *c, const struct reading *r, struct str *body,
                          struct answer *ret UNUSED, struct err *e)
{
    const struct page_query *q = c->query;
    struct template_row row = {0};
    AUTOFREE char *last = NULL;
    int64_t left = q->limit ? q->limit : 100;
    bool more = false;
    int rc;
    struct jw j = jw_init(body);
    jw_object(&j);
    jw_kv_array(&j, "templates");
    struct stmt *s = store_ask(r->store, Q_TEMPLATE_LIST, "ti", q->after ? q->after : "", left + 1);
    while ((rc = store_next(s, T_TEMPLATE, &row, e)) == 1 &&
           !(more = left-- == 0 || body->n > API_LIST_BYTES)) {
        if ((rc = write_template(&row, rev_of(r->store, &row), &j, e)) < 0)
            break;
        mem_replace(&last, row.template);
    }
    stmt_reset(s);
    row_fini(T_TEMPLATE, &row);
    jw_array_close(&j);
    jw_kv_string(&j, "next", more ? last : NULL);
    jw_object_close(&j);
    return rc < 0 ? rc : 200;
}

static int no_template(struct err *e, const char *id)
{
    return err_set(e, SKEP_ENOTFOUND, "there is no template %s; GET /v1/templates lists them", id);
}

static int get_template(const struct call *c, const struct reading *r, struct str *body, struct answer *ret,
                        struct err *e)
{
    struct template_row row = {.template = mem_dup(c->param[0])};
    struct jw j = jw_init(body);
    int64_t rev = rev_of(r->store, &row);
    int rc = store_load(r->store, T_TEMPLATE, &row, e);
    if (rc == 1)
        rc = write_template(&row, rev, &j, e) < 0 ? e->code : 200;
    else if (rc == 0)
        rc = no_template(e, c->param[0]);
    snprintf(ret->etag, sizeof ret->etag, "%lld", (long long)rev);
    row_fini(T_TEMPLATE, &row);
    return rc;
}

static int answer_template(struct node *n, struct op *op, const struct template_row *row, int64_t rev,
                           int status)
{
    struct str body = STR_INIT;
    struct jw j = jw_init(&body);
    char etag[32];
    struct err e;
    if (write_template(row, rev, &j, &e) < 0) {
        str_fini(&body);
        return api_fail(n, op, &e);
    }
    snprintf(etag, sizeof etag, "%lld", (long long)rev);
    struct answer *a = answer_json(status, &body);
    memcpy(a->etag, etag, sizeof a->etag);
    op_answer_covered(n, op, store_written(n->store), 0, a);
    return 0;
}

static int put_template(struct node *n, struct op *op, const struct call *c)
{
    const struct template *t = c->body;
    struct err e;
    struct str spec = STR_INIT;
    if (template_check(t, &e) < 0)
        return api_fail(n, op, &e);
    struct template_row row = {.template = mem_dup(c->param[0])};
    int rc = store_load(n->store, T_TEMPLATE, &row, &n->fault);
    int status = rc == 1 ? 200 : 201;
    if (rc >= 0 && op->request->if_match && api_match(op->request, rc ? rev_of(n->store, &row) : 0, &e) < 0) {
        row_fini(T_TEMPLATE, &row);
        return api_fail(n, op, &e);
    }
    if (rc >= 0) {
        struct jw j = jw_init(&spec);
        jw_object(&j);
        template_write(t, &j);
        jw_object_close(&j);
        free(row.spec);
        row.spec = str_take(&spec);
        rc = store_set(n->store, T_TEMPLATE, &row, &n->fault);
    }
    if (rc == 0)
        rc = node_log(n, "template_put", NULL, c->param[0], n->name, 0, op->request->who.name, NULL);
    if (rc == 0)
        rc = answer_template(n, op, &row, rev_of(n->store, &row), status);
    row_fini(T_TEMPLATE, &row);
    return rc;
}

static int delete_template(struct node *n, struct op *op, const struct call *c)
{
    struct err e;
    struct template_row row = {.template = mem_dup(c->param[0])};
    int rc = store_load(n->store, T_TEMPLATE, &row, &n->fault);
    if (rc == 0) {
        no_template(&e, c->param[0]);
        api_fail(n, op, &e);
    } else if (rc == 1 && api_match(op->request, rev_of(n->store, &row), &e) < 0) {
        rc = api_fail(n, op, &e);
    } else if (rc == 1) {
        int64_t rev = rev_of(n->store, &row);
        rc = store_kill(n->store, T_TEMPLATE, &row, 0, &n->fault);
        if (rc == 0)
            rc = node_log(n, "template_removed", NULL, c->param[0], n->name, 0, op->request->who.name, NULL);
        if (rc == 0)
            rc = answer_template(n, op, &row, rev, 200);
    }
    row_fini(T_TEMPLATE, &row);
    return rc;
}

#define PAGE .query = page_params, .query_n = 2, .query_bytes = sizeof(struct page_query)

const struct route template_routes[] = {
    {HTTP_M_GET, "/v1/templates", ROLE_READ, API_READER, PAGE, .read = list_templates,
     .about = "Templates by name."},
    {HTTP_M_GET, "/v1/templates/{template}", ROLE_READ, API_READER, .read = get_template,
     .about = "One template."},
    {HTTP_M_PUT, "/v1/templates/{template}", ROLE_WRITE, API_BRAIN, API_BODY_BYTES, .body = &template_table,
     .serve = put_template, .about = "Keeps a template, or replaces it; never with a credential in it."},
    {HTTP_M_DELETE, "/v1/templates/{template}", ROLE_WRITE, API_BRAIN, API_BODY_BYTES,
     .serve = delete_template, .about = "Removes a template; sessions made from it keep their rows."},
    {0},
};
