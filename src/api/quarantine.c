/* quarantine: rows of this node that wait for a decision, over HTTP: those in quarantine and those that lie
 * aside. What they are and what a decision does: store/held.h.
 */
#include <string.h>

#include "api/api.h"
#include "store/held.h"

struct page_query {
    int64_t limit;
    char *after;
};
static const struct uri_param page_params[] = {
    URI_PARAM(struct page_query, limit, URI_INT, .min = 1, .max = API_LIST_MAX),
    URI_PARAM(struct page_query, after, URI_TEXT, .max = 8192),
};

enum decision { DECISION_KEEP, DECISION_DROP };
static const char *const decision_words[] = {"keep", "drop", NULL};

struct decision_body {
    int decision;
};
static const struct json_field decision_fields[] = {
    JSON_FIELD(struct decision_body, decision, JSON_WORD, .required = true, .words = decision_words),
};
static const struct json_table decision_table = JSON_TABLE(struct decision_body, decision_fields);

static void write_held(const struct held *h, struct jw *j)
{
    AUTOSTR struct str columns = STR_INIT;
    AUTOSTR struct str hex = STR_INIT;
    struct jw c = jw_init(&columns);
    jw_object(j);
    jw_kv_string(j, "id", h->id);
    jw_kv_string(j, "where", h->aside ? "aside" : "quarantine");
    jw_kv_string(j, "table", h->tbl);
    jw_kv_string(j, "key", h->key);
    jw_kv_string(j, "why", h->why);
    jw_kv_time(j, "at", h->at);
    jw_kv_i64_text(j, "rank", h->stamp.rank);
    jw_kv_i64_text(j, "hlc", h->stamp.hlc);
    jw_kv_i64_text(j, "actor", h->stamp.actor);
    jw_kv_bool(j, "dead", h->dead);
    if (held_columns(h, &c)) {
        jw_kv_raw(j, "row", (struct span){str_get(&columns), columns.n});
    } else {
        str_hex(&hex, str_get(&h->bytes), h->bytes.n);
        jw_kv_null(j, "row");
    }
    jw_kv_string(j, "bytes", hex.n ? str_get(&hex) : NULL);
    jw_object_close(j);
}

static int list_read(const struct call *c, const struct reading *r, struct str *body,
                     struct answer *ret UNUSED, struct err *e)
{
    const struct page_query *q = c->query;
    CLEANUP(held_fini) struct held h = {.bytes = STR_INIT};
    AUTOFREE char *last = mem_dup(q->after ? q->after : "");
    int64_t left = q->limit ? q->limit : API_LIST_LIMIT;
    bool more = false;
    int rc;
    struct jw j = jw_init(body);
    jw_object(&j);
    jw_kv_array(&j, "rows");
    while ((rc = held_after(r->store, last, &h, e)) == 1 &&
           !(more = left-- == 0 || body->n > API_LIST_BYTES)) {
        write_held(&h, &j);
        mem_replace(&last, h.id);
    }
    jw_array_close(&j);
    jw_kv_string(&j, "next", more ? last : NULL);
    jw_object_close(&j);
    return rc < 0 ? rc : 200;
}

static int decide(struct node *n, struct op *op, const struct held *h, enum decision d)
{
    struct remote_row row = {0};
    struct str body = STR_INIT;
    struct err e = {0};
    int rc = d == DECISION_KEEP ? held_keep(n->store, h, &row, &e) : held_drop(n->store, h, &row, &e);
    if (rc == SKEP_ECONFLICT || rc == SKEP_EARG) {
        api_fail(n, op, &e);
        return 0;
    }
    if (rc < 0) {
        n->fault = e;
        return rc;
    }
    if (row.key.n)
        rc = told_merged(n, &row, 1);
    if (rc == 0 && row.key.n)
        rc = row_merged(n, &row);
    if (rc == 0)
        rc = node_log(n, d == DECISION_KEEP ? "held_row_kept" : "held_row_dropped", NULL, NULL, n->name, 0,
                      op->request->who.name, NULL);
    if (rc < 0)
        return rc;
    struct jw j = jw_init(&body);
    jw_object(&j);
    jw_kv_string(&j, "id", h->id);
    jw_kv_string(&j, "decision", decision_words[d]);
    jw_object_close(&j);
    api_answer_copies(n, op, 200, &body, NULL, store_written(n->store), 0);
    return 0;
}

static int decide_serve(struct node *n, struct op *op, const struct call *c)
{
    const struct decision_body *b = c->body;
    CLEANUP(held_fini) struct held h = {.bytes = STR_INIT};
    struct err e;
    int rc = held_get(n->store, c->param[0], &h, &n->fault);
    if (rc < 0)
        return rc;
    if (rc == 1)
        return decide(n, op, &h, (enum decision)b->decision);
    err_set(&e, SKEP_ENOTFOUND,
            "no row is held here under %.100s; GET /v1/quarantine lists them, each node its own",
            c->param[0]);
    return api_fail(n, op, &e);
}

const struct route quarantine_routes[] = {
    {HTTP_M_GET, "/v1/quarantine", ROLE_ADMIN, API_READER, API_BODY_BYTES, false, page_params,
     COUNT(page_params), sizeof(struct page_query), NULL, list_read, NULL,
     "List the rows of this node that wait for a decision, with their contents."},
    {HTTP_M_POST, "/v1/quarantine/{id}", ROLE_ADMIN, API_BRAIN, API_BODY_BYTES, false, NULL, 0, 0,
     &decision_table, NULL, decide_serve,
     "Decide about such a row: keep writes it again, drop lets go of it."},
    {0},
};
