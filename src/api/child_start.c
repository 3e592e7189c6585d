/* child_start: the start of a process under a name. The name's home decides; a request that arrives elsewhere
 * is sent on.
 */
#include "api/known.h"
#include "api/plan.h"
#include "node/spec.h"

struct start_body {
    struct spec spec;
    struct span metadata;
};

static const struct json_field start_fields[] = {
    SPEC_ROWS, JSON_FIELD(struct start_body, metadata, JSON_RAW_OBJECT, .nullable = true)};
static const struct start_body start_defaults = {.spec = SPEC_DEFAULTS};
static const struct json_table start_table =
    JSON_TABLE(struct start_body, start_fields, .defaults = &start_defaults);

struct start_query {
    int if_exists;
    bool dry_run;
};
static const char *const if_exists_words[] = {"fail", "return", NULL};
static const struct uri_param start_params[] = {
    URI_PARAM(struct start_query, if_exists, URI_WORD, .words = if_exists_words),
    URI_PARAM(struct start_query, dry_run, URI_BOOL)};

static int already(struct node *n, struct op *op, const struct call *c, const struct known *k)
{
    const struct start_query *q = c->query;
    const struct start_body *b = c->body;
    AUTOSTR struct str child = STR_INIT, asked = STR_INIT, spec = STR_INIT, has = STR_INIT, extras = STR_INIT;
    struct err e;
    if (q->if_exists == 1)
        return known_answer(n, op, c, 200, 0, 0);
    int rc = known_shows(n, op, c);
    if (rc >= 0)
        rc = known_render(n, c, NULL, &child, NULL);
    if (rc < 0)
        return rc;
    spec_write(&b->spec, &asked);
    show_spec(n->store, c->param[0], str_get(&asked), &spec);
    show_spec(n->store, c->param[0], k->name.spec, &has);
    str_printf(&extras, "\"child\":%s,\"same_spec\":%s", rc ? str_get(&child) : "null",
               is(str_get(&has), str_get(&spec)) ? "true" : "false");
    err_set(&e, SKEP_ESTARTED, "%s runs on %s already; ?if_exists=return answers with it", c->param[1],
            node_name_of(n, k->name.owner) ? node_name_of(n, k->name.owner) : "?");
    op_fail(n, op, &e, (struct span){str_get(&extras), extras.n});
    return 0;
}

/* It ran and ended before we looked: the start took place. */
static int started_and_gone(struct node *n, struct op *op, const struct call *c, const struct known *k)
{
    struct str body = STR_INIT;
    struct jw j = jw_init(&body);
    jw_object(&j);
    jw_kv_string(&j, "swarm", c->param[0]);
    jw_kv_string(&j, "name", c->param[1]);
    jw_kv_string(&j, "status", "gone");
    jw_kv_string(&j, "node", node_name_of(n, k->child.node));
    jw_kv_i64_text(&j, "epoch", k->child.epoch);
    jw_kv_null(&j, "pid");
    jw_kv_time(&j, "started_at", k->child.started_at);
    jw_kv_i64(&j, "restarts", k->child.restarts);
    jw_kv_raw(&j, "reason", (struct span){k->child.reason, k->child.reason ? strlen(k->child.reason) : 0});
    jw_object_close(&j);
    jw_end(&j);
    api_answer_owned(n, op, 201, &body, NULL, op->st.hlc, 1);
    return 0;
}

/* We claimed it; what has become of it? */
static int start_wait(struct node *n, struct op *op, const struct call *c, const struct known *k)
{
    char op_text[ID_TEXT];
    bool ours = k->found && is(k->name.op, id_text(&op->id, op_text));
    if (ours && k->current && is(k->child.status, "running"))
        return known_answer(n, op, c, 201, op->st.hlc, 1);
    if (ours && k->current && k->child.started_at &&
        (is(k->child.status, "backoff") || is(k->child.status, "failed"))) /* it ran: the start took place */
        return known_answer(n, op, c, 201, op->st.hlc, 1);
    if (ours && k->current && is(k->child.status, "failed"))
        return known_not_started(n, op, c, k);
    if (!ours && k->child.epoch >= op->st.epoch && is(k->child.status, "gone"))
        return k->child.started_at && !strstr(k->child.reason ? k->child.reason : "", "start_failed")
                   ? started_and_gone(n, op, c, k)
                   : known_not_started(n, op, c, k);
    if (k->found && !ours && (is(k->name.kind, "address") || !known_is_in_flight(k)))
        return already(n, op, c, k);
    op_wait_key(n, op, c->param[0], c->param[1]);
    return 0;
}

static int claim(struct node *n, struct op *op, const struct call *c, int64_t over, const struct id *target)
{
    const struct start_body *b = c->body;
    char op_text[ID_TEXT];
    AUTOSTR struct str spec = STR_INIT;
    spec_write(&b->spec, &spec);
    struct own_start s = {.swarm = c->param[0],
                          .name = c->param[1],
                          .op = id_text(&op->id, op_text),
                          .who = op->request->who.name,
                          .spec = str_get(&spec),
                          .metadata = b->metadata,
                          .over = over};
    int rc = own_start(n, &s, target, &op->st.epoch);
    op->st.incarnation = op->st.epoch;
    op->st.hlc = store_written(n->store);
    if (rc < 0)
        return rc;
    op_wait_key(n, op, c->param[0], c->param[1]);
    return own_changed(n, c->param[0], c->param[1]);
}

/* The stamp of the row as it stands: an older request is refused, for it may have been done and undone
 * already. */
static int start_claim(struct node *n, struct op *op, const struct call *c, const struct known *k)
{
    const struct start_body *b = c->body;
    struct stamp v = {0};
    CLEANUP(places_fini) struct places t = {0};
    struct id target;
    struct err e;
    int rc = store_version(n->store, T_NAME, &k->name, &v, NULL, &n->fault);
    if (rc < 0)
        return rc;
    if (op_is_late(n, op, v.hlc)) {
        op_retry(n, op);
        return 0;
    }
    own_targets(n, c->param[0], b->spec.nodes.list, NULL, &t);
    if (!places_pick(n, &t, c->param[0], c->param[1], &target)) {
        places_none(n, &t, &e);
        return api_fail(n, op, &e);
    }
    return claim(n, op, c, v.rank, &target);
}

static int start_at_home(struct node *n, struct op *op, const struct call *c, const struct known *k)
{
    char op_text[ID_TEXT];
    struct err e;
    if (!k->found)
        return start_claim(n, op, c, k);
    if (is(k->name.kind, "address")) {
        err_set(&e, SKEP_ETAKEN, "the name %s is registered for the address %s", c->param[1],
                k->name.address);
        return api_fail(n, op, &e);
    }
    if (is(k->name.op, id_text(&op->id, op_text))) { /* an earlier try of this very request */
        op->st.epoch = op->st.incarnation = k->name.incarnation;
        return start_wait(n, op, c, k);
    }
    if (k->current && is(k->child.status, "failed"))
        return start_claim(n, op, c, k);
    if (!known_is_in_flight(k))
        return already(n, op, c, k);
    op_wait_key(n, op, c->param[0], c->param[1]);
    return 0;
}

static int start_serve(struct node *n, struct op *op, const struct call *c)
{
    const struct start_body *b = c->body;
    CLEANUP(known_fini) struct known k = {0};
    struct err e;
    if (spec_check(&b->spec, &e) < 0)
        return api_fail(n, op, &e);
    int rc = api_swarm_known(n, op, c->param[0]);
    if (rc <= 0)
        return rc;
    if (plan_check(n, c->param[0], "nodes", c->param[1], &b->spec.nodes, &e) < 0)
        return api_fail(n, op, &e);
    rc = known_load(n, c, &k);
    if (rc < 0)
        return rc;
    if (op->st.epoch)
        return start_wait(n, op, c, &k);
    if (!node_open_now(n)) {
        op_wait_open(n, op);
        return 0;
    }
    if (((const struct start_query *)c->query)->dry_run)
        return plan_answer(n, op, c->param[0], &(struct plan_name){c->param[1], b->spec.nodes.list}, 1);
    struct id home = own_home(n, c->param[0], c->param[1]);
    if (!id_equal(&home, &n->self)) {
        known_send_on(n, op, &home, true);
        return 0;
    }
    return start_at_home(n, op, c, &k);
}

#define CHILD "/v1/swarms/{swarm}/children/{name}"

const struct route child_start_routes[] = {
    {HTTP_M_PUT, CHILD, ROLE_WRITE, API_BRAIN, API_BODY_BYTES, true, start_params, COUNT(start_params),
     sizeof(struct start_query), &start_table, NULL, start_serve,
     "Start a process under a name that is unique."},
    {0},
};
