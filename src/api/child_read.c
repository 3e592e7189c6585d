/* child_read: what there is to know of one supervised process: itself, its checkpoint, its history, why, its
 * output. Lists are in child_list.c.
 */
#include <stdio.h>
#include <string.h>

#include "api/api.h"
#include "node/child.h"

/* ---- one ---- */

static int child_read(const struct call *c, const struct reading *r, struct str *body, struct answer *ret,
                      struct err *e)
{
    struct jw j = jw_init(body);
    int rc = show_child(r->store, r->frozen, c->param[0], c->param[1], &j, ret->etag, e);
    return rc == 0  ? err_set(e, SKEP_ENOTFOUND, "no process of the name %s runs in swarm %s", c->param[1],
                              c->param[0])
           : rc < 0 ? rc
                    : 200;
}

/* ---- checkpoint ---- */

static int checkpoint_read(const struct call *c, const struct reading *r, struct str *body,
                           struct answer *ret UNUSED, struct err *e)
{
    struct checkpoint_row row = {.swarm = mem_dup(c->param[0]), .name = mem_dup(c->param[1])};
    int rc = store_load(r->store, T_CHECKPOINT, &row, e);
    if (rc == 1) {
        struct jw j = jw_init(body);
        jw_object(&j);
        jw_kv_raw(&j, "data", (struct span){row.data.p, row.data.n});
        jw_kv_time(&j, "at", row.at);
        jw_kv_i64_text(&j, "epoch", row.epoch);
        jw_object_close(&j);
        jw_end(&j);
    }
    row_fini(T_CHECKPOINT, &row);
    return rc == 0  ? err_set(e, SKEP_ENOTFOUND, "%s has written no checkpoint", c->param[1])
           : rc < 0 ? rc
                    : 200;
}

/* ---- history ---- */

struct history_query {
    int64_t limit, after;
};
static const struct uri_param history_params[] = {
    {.name = "limit",
     .kind = URI_INT,
     .offset = offsetof(struct history_query, limit),
     .min = 1,
     .max = 1000},
    {.name = "after", .kind = URI_INT, .offset = offsetof(struct history_query, after), .max = INT64_MAX},
};

static int history_read(const struct call *c, const struct reading *r, struct str *body,
                        struct answer *ret UNUSED, struct err *e)
{
    const struct history_query *hq = c->query;
    int64_t limit = hq->limit ? hq->limit : 100, shown = 0, last = 0;
    struct jw j = jw_init(body);
    struct stmt *q = store_ask(r->store, Q_LOG_NAME, "ttii", c->param[0], c->param[1], hq->after, limit);
    int rc;
    jw_object(&j);
    jw_kv_array(&j, "history");
    while ((rc = stmt_step(q, e)) == 1) {
        last = col_i64(q, 0);
        shown++;
        show_event(q, r->frozen->name, &j);
    }
    jw_array_close(&j);
    if (shown == limit)
        jw_kv_i64_text(&j, "next", last);
    else
        jw_kv_null(&j, "next");
    jw_object_close(&j);
    return rc < 0 ? rc : 200;
}

/* ---- logs ---- */

struct logs_query {
    int64_t lines, after;
};
static const struct uri_param logs_params[] = {
    {.name = "lines", .kind = URI_INT, .offset = offsetof(struct logs_query, lines), .min = 1, .max = 10000},
    {.name = "after", .kind = URI_INT, .offset = offsetof(struct logs_query, after), .max = INT64_MAX},
};

/* The output of a process lies at its owner: the last lines, or what came behind `after`. */
static int logs_serve(struct node *n, struct op *op, const struct call *c)
{
    const struct logs_query *q = c->query;
    char name[CHILD_LOG_NAME];
    AUTOSTR struct str text = STR_INIT;
    struct str body = STR_INIT;
    struct err e;
    int64_t next = 0;
    struct name_row row = {.swarm = mem_dup(c->param[0]), .name = mem_dup(c->param[1])};
    struct id owner;
    int rc = store_load(n->store, T_NAME, &row, &n->fault);
    bool elsewhere = rc == 1 && row.owner && id_parse(row.owner, &owner) && !id_equal(&owner, &n->self) &&
                     op->source != OP_PEER;
    row_fini(T_NAME, &row);
    if (rc < 0)
        return rc;
    if (elsewhere) {
        op_forward(n, op, &owner, true);
        return 0;
    }
    child_log_name(c->param[0], c->param[1], name);
    if (n->w.proc.tail(n->w.proc.self, name, q->lines ? q->lines : 100, q->after, &text, &next) < 0) {
        err_set(&e, SKEP_ENOTFOUND, "%s has written nothing on node %s", c->param[1], n->name);
        return api_fail(n, op, &e);
    }
    struct jw j = jw_init(&body);
    jw_object(&j);
    jw_kv_string(&j, "node", n->name);
    jw_key(&j, "text");
    jw_string_n(&j, str_get(&text), text.n);
    jw_kv_i64_text(&j, "next", next);
    jw_object_close(&j);
    op_answer(n, op, answer_json(200, &body));
    return 0;
}

#define CHILD "/v1/swarms/{swarm}/children/{name}"

const struct route child_read_routes[] = {
    {HTTP_M_GET, CHILD, ROLE_READ, API_READER, API_BODY_BYTES, true, NULL, 0, 0, NULL, child_read, NULL,
     "Look up a process."},
    {HTTP_M_GET, CHILD "/checkpoint", ROLE_READ, API_READER, API_BODY_BYTES, true, NULL, 0, 0, NULL,
     checkpoint_read, NULL, "Show the last checkpoint of a process."},
    {HTTP_M_GET, CHILD "/history", ROLE_READ, API_READER, API_BODY_BYTES, true, history_params,
     COUNT(history_params), sizeof(struct history_query), NULL, history_read, NULL,
     "What happened to a name, as this node saw it."},
    {HTTP_M_GET, CHILD "/logs", ROLE_READ, API_BRAIN, API_BODY_BYTES, true, logs_params, COUNT(logs_params),
     sizeof(struct logs_query), NULL, NULL, logs_serve,
     "The output of a process: its last lines, or what is new."},
    {0},
};
