/* child_tell: what a process is told through its owner: messages, calls, the checkpoint of its next start. */
#include "api/known.h"
#include "node/child.h"

struct data_body {
    struct span data;
};
static const struct json_field data_fields[] = {
    JSON_FIELD(struct data_body, data, JSON_RAW, .required = true)};
static const struct json_table data_table = JSON_TABLE(struct data_body, data_fields);

/* The process, if it may be told something now. NULL: taken care of. A line goes to one process once: a copy
 * of the mail that brought it is dropped, and while the name is on its way the line waits here. */
static struct child *about_to_tell(struct node *n, struct op *op, const struct call *c)
{
    struct child *child = child_find(n, c->param[0], c->param[1]);
    if (op->source == OP_PEER && line_handed_before(n, &op->id, op->from_try)) {
        op_silence(n, op);
        return NULL;
    }
    if (child && !child_passes(child))
        return child;
    op_wait_key(n, op, c->param[0], c->param[1]); /* without a child: its claim is not looked at yet */
    return NULL;
}

/* Who is meant: *ret_name is yours, NULL if the name is its own. 0, < 0. */
static int meant(struct node *n, const struct call *c, char **ret_name)
{
    struct name_row row = {.swarm = mem_dup(c->param[0]), .name = mem_dup(c->param[1])}, child = {0};
    int rc = store_load(n->store, T_NAME, &row, &n->fault);
    if (rc == 1 && alias_is(&row) && (rc = alias_child(n->store, &row, &child, &n->fault)) == 1)
        *ret_name = mem_dup(child.name);
    row_fini(T_NAME, &row);
    row_fini(T_NAME, &child);
    return rc < 0 ? rc : 0;
}

static int message_to(struct node *n, struct op *op, const struct call *c)
{
    const struct data_body *b = c->body;
    CLEANUP(known_fini) struct known k = {0};
    struct str line = STR_INIT, body = STR_INIT;
    struct err e;
    char id[ID_TEXT];
    int rc = known_at_owner(n, op, c, &k, false);
    if (rc <= 0)
        return rc;
    struct child *child = about_to_tell(n, op, c);
    if (!child)
        return 0;
    id_text(&op->id, id);
    chan_message(&line, id, op->request->who.name, b->data);
    if (child_line(n, child, &line, &e) < 0)
        return api_fail(n, op, &e);
    line_handed(n, &op->id, op->from_try);
    str_printf(&body, "{\"id\":\"%s\"}", id);
    op_answer(n, op, answer_json(202, &body));
    return 0;
}

/* The same for a process under another name of it. */
static int to_meant(struct node *n, struct op *op, const struct call *c,
                    int (*serve)(struct node *n, struct op *op, const struct call *c))
{
    AUTOFREE char *name = NULL;
    struct call to = *c;
    int rc = meant(n, c, &name);
    if (rc == 0 && name && op->st.step == 0 &&
        !node_open_now(n)) { /* it slept, maybe, and the name is another's by now */
        op_wait_open(n, op);
        return 0;
    }
    if (name)
        to.param[1] = name;
    return rc < 0 ? rc : serve(n, op, &to);
}

static int message_serve(struct node *n, struct op *op, const struct call *c)
{
    return to_meant(n, op, c, message_to);
}

static int call_to(struct node *n, struct op *op, const struct call *c)
{
    const struct data_body *b = c->body;
    CLEANUP(known_fini) struct known k = {0};
    struct err e;
    if (op->st.step == 1) { /* asked: the reply, the end of the process, or the deadline answers */
        op_wait_key(n, op, c->param[0], c->param[1]);
        return 0;
    }
    int rc = known_at_owner(n, op, c, &k, false);
    if (rc <= 0)
        return rc;
    struct child *child = about_to_tell(n, op, c);
    if (!child)
        return 0;
    if (child_call(n, child, op, op->request->who.name, b->data, &e) < 0)
        return api_fail(n, op, &e);
    line_handed(n, &op->id, op->from_try);
    op->st.step = 1;
    op_wait_key(n, op, c->param[0], c->param[1]);
    return 0;
}

static int call_serve(struct node *n, struct op *op, const struct call *c)
{
    return to_meant(n, op, c, call_to);
}

/* ---- checkpoint ---- */

static int checkpoint_serve(struct node *n, struct op *op, const struct call *c)
{
    const struct data_body *b = c->body;
    CLEANUP(known_fini) struct known k = {0};
    struct str body = STR_INIT;
    struct err e;
    int rc = known_at_owner(n, op, c, &k, false);
    if (rc <= 0)
        return rc;
    if (!api_may_change(n, op, c->param[0], c->param[1], "says its state", &e))
        return api_fail(n, op, &e);
    struct checkpoint_row row = {.swarm = k.name.swarm,
                                 .name = k.name.name,
                                 .at = n->real_ms,
                                 .epoch = k.name.epoch,
                                 .data = {(char *)(uintptr_t)b->data.p, b->data.n}};
    rc = store_save(n->store, T_CHECKPOINT, &row, &n->fault);
    if (rc == 0)
        rc = known_audit(n, op, c, "child_checkpoint_set", k.name.epoch);
    str_printf(&body, "{\"epoch\":\"%lld\"}", (long long)k.name.epoch);
    api_answer_copies(n, op, 200, &body, NULL, store_written(n->store), n->o.checkpoint_acks);
    return rc;
}

#define CHILD "/v1/swarms/{swarm}/children/{name}"

const struct route child_tell_routes[] = {
    {HTTP_M_POST, CHILD "/checkpoint", ROLE_WRITE, API_BRAIN, API_BIG_BODY_BYTES, true, NULL, 0, 0,
     &data_table, NULL, checkpoint_serve,
     "Replace the checkpoint that the next start of a process is given."},
    {HTTP_M_POST, CHILD "/messages", ROLE_WRITE, API_BRAIN, API_BODY_BYTES, true, NULL, 0, 0, &data_table,
     NULL, message_serve, "Send a process a message, at most once."},
    {HTTP_M_POST, CHILD "/calls", ROLE_WRITE, API_BRAIN, API_BODY_BYTES, true, NULL, 0, 0, &data_table, NULL,
     call_serve, "Call a process and wait for its reply."},
    {0},
};
