/* message: messages and questions to the members of a group. Those to one name are child.c's.
 *
 * Any node may be asked; it asks the owners (node/gather.h) and answers when they have told, at its deadline
 * at the latest. A message waits for word from slow nodes for TELL_MS only.
 */
#include <string.h>

#include "api/api.h"

#define TELL_MS 2000

struct data_body {
    struct span data;
};
static const struct json_field data_fields[] = {
    JSON_FIELD(struct data_body, data, JSON_RAW, .required = true)};
static const struct json_table data_table = JSON_TABLE(struct data_body, data_fields);

struct to_query {
    int to;
    bool local;
};
static const char *const to_words[] = {"all", "random", NULL};
static const struct uri_param to_params[] = {
    URI_PARAM(struct to_query, to, URI_WORD, .words = to_words),
    URI_PARAM(struct to_query, local, URI_BOOL),
};

static int begin(struct node *n, struct op *op, const struct call *c, bool call)
{
    const struct data_body *b = c->body;
    const struct to_query *q = c->query;
    CLEANUP(group_members_fini) struct group_members m = {0};
    int rc = api_swarm_known(n, op, c->param[0]);
    if (rc <= 0)
        return rc;
    if ((rc = group_members(n->store, c->param[0], c->param[1], NULL, INT64_MAX, &m, &n->fault)) < 0)
        return rc;
    struct gather *g = gather_new(n, &m, call, q->local);
    g->random = q->to;
    g->from = mem_dup(op->request->who.name);
    g->swarm = mem_dup(c->param[0]);
    g->group = mem_dup(c->param[1]);
    g->data = mem_copy(b->data.p, b->data.n);
    g->data_n = b->data.n;
    g->until_ms = op->deadline_ms;
    if (!call && g->until_ms > n->now_ms + TELL_MS)
        g->until_ms = n->now_ms + TELL_MS;
    op->st.step = 1;
    return gather_begin(n, op, g);
}

static struct answer *reached(const struct gather *g)
{
    struct str body = STR_INIT;
    struct jw j = jw_init(&body);
    int64_t count = 0;
    for (size_t i = 0; i < g->n; i++)
        count += g->list[i].told == TOLD_REACHED;
    jw_object(&j);
    jw_kv_i64(&j, "reached", count);
    jw_object_close(&j);
    return answer_json(202, &body);
}

/* Of a random choice only those that were asked are spoken of. */
static struct answer *replies(const struct gather *g)
{
    struct str body = STR_INIT;
    struct jw j = jw_init(&body);
    jw_object(&j);
    jw_kv_array(&j, "replies");
    for (size_t i = 0; i < g->n; i++) {
        const struct gather_one *one = &g->list[i];
        if (one->told != TOLD_REPLY)
            continue;
        jw_object(&j);
        jw_kv_string(&j, "name", one->name);
        jw_kv_raw(&j, "data", (struct span){one->data, strlen(one->data)});
        jw_object_close(&j);
    }
    jw_array_close(&j);
    jw_kv_array(&j, "missing");
    for (size_t i = 0; i < g->n; i++) {
        const struct gather_one *one = &g->list[i];
        bool asked = !g->random || one->asked || one->told == TOLD_MISSING;
        if (asked && one->told != TOLD_REPLY)
            jw_string(&j, one->name);
    }
    jw_array_close(&j);
    jw_object_close(&j);
    return answer_json(200, &body);
}

static int serve(struct node *n, struct op *op, const struct call *c, bool call)
{
    if (op->st.step == 0)
        return begin(n, op, c, call);
    int rc = gather_step(n, op);
    if (rc == 1)
        op_answer(n, op, call ? replies(op->gather) : reached(op->gather));
    return rc < 0 ? rc : 0;
}

static int publish_serve(struct node *n, struct op *op, const struct call *c)
{
    return serve(n, op, c, false);
}

static int call_serve(struct node *n, struct op *op, const struct call *c)
{
    return serve(n, op, c, true);
}

#define GROUP "/v1/swarms/{swarm}/groups/{group}"

const struct route message_routes[] = {
    {HTTP_M_POST, GROUP "/messages", ROLE_WRITE, API_BRAIN, API_BODY_BYTES, true, to_params, COUNT(to_params),
     sizeof(struct to_query), &data_table, NULL, publish_serve,
     "Send the processes of a group a message, at most once each."},
    {HTTP_M_POST, GROUP "/calls", ROLE_WRITE, API_BRAIN, API_BODY_BYTES, true, to_params, COUNT(to_params),
     sizeof(struct to_query), &data_table, NULL, call_serve,
     "Ask the processes of a group, and wait for their replies until the deadline."},
    {0},
};
