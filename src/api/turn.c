/* turn: the turns of a session over HTTP: asked for, waited for, read, cancelled.
 *
 * A turn's id depends on the request alone, so a request that ran twice, also on another node, waits for the
 * one turn.
 */
#include <stdio.h>
#include <string.h>

#include "api/session.h"
#include "core/turn.h"

#define MARGIN_MS 200 /* how long before its deadline a waiting turn is answered 202 */

static struct span text(const char *s)
{
    return s ? (struct span){s, strlen(s)} : (struct span){NULL, 0};
}

static void write_turn(struct jw *j, const struct turn_row *t, const char *node)
{
    jw_object(j);
    jw_kv_string(j, "turn", t->turn);
    jw_kv_string(j, "status", t->status);
    jw_kv_raw(j, "result", text(t->result));
    if (t->detail)
        jw_kv_string(j, "detail", t->detail);
    jw_kv_raw(j, "input", text(t->input));
    jw_kv_i64(j, "attempts", t->attempts);
    jw_kv_string(j, "node", node);
    jw_kv_i64_text(j, "epoch", t->epoch);
    jw_kv_time(j, "created_at", t->created_at);
    jw_kv_time(j, "ended_at", t->ended_at);
    jw_object_close(j);
}

struct turn_body {
    struct span input;
    bool wait;
};
static const struct json_field turn_fields[] = {
    JSON_FIELD(struct turn_body, input, JSON_RAW, .nullable = true),
    JSON_FIELD(struct turn_body, wait, JSON_BOOL),
};
static const struct turn_body turn_defaults = {.wait = true};
const struct json_table turn_table = JSON_TABLE(struct turn_body, turn_fields, .defaults = &turn_defaults);

/* What an ended session leaves lies idle for a while, and is not shown. 1, 0. */
static int session_is_there(struct store *s, const char *session, struct err *e)
{
    const struct session_row row = {.session = (char *)(uintptr_t)session};
    struct stamp stamp;
    bool dead;
    int rc = store_version(s, T_SESSION, &row, &stamp, &dead, e);
    return rc < 1 ? rc : !dead;
}

static int load_turn(struct store *s, const char *session, const char *turn, struct turn_row *ret,
                     struct err *e)
{
    *ret = (struct turn_row){.session = mem_dup(session), .turn = mem_dup(turn)};
    int rc = session_is_there(s, session, e);
    if (rc == 1)
        rc = store_load(s, T_TURN, ret, e);
    if (rc < 1)
        row_fini(T_TURN, ret);
    return rc;
}

static bool has_ended(const struct turn_row *t)
{
    enum turn_status status;
    return t->status && turn_status_parse(t->status, &status) && turn_is_final(status);
}

static struct str turn_text(struct node *n, const struct turn_row *t)
{
    struct str body = STR_INIT;
    struct jw j = jw_init(&body);
    write_turn(&j, t, t->node ? node_name_of(n, t->node) : NULL);
    jw_end(&j);
    return body;
}

/* A worker that could not be started is no outcome of a turn: nobody has worked on it. */
static void answer_unstarted(struct node *n, struct op *op, const struct turn_row *t)
{
    AUTOSTR struct str extras = STR_INIT;
    struct err e;
    str_puts(&extras, "\"turn\":");
    struct jw j = jw_init(&extras);
    jw_string(&j, t->turn);
    err_set(&e, SKEP_EWORKER, "%s", t->detail ? t->detail : "the worker could not be started");
    op_fail(n, op, &e, (struct span){str_get(&extras), extras.n});
}

/* The outcome, once a second node has it. */
static void answer_turn(struct node *n, struct op *op, const struct turn_row *t, int status)
{
    struct stamp v = {0};
    if (status == 200 && t->attempts == 0 && t->status && strcmp(t->status, "failed") == 0) {
        answer_unstarted(n, op, t);
        return;
    }
    struct str body = turn_text(n, t);
    bool ours = store_version(n->store, T_TURN, t, &v, NULL, NULL) == 1 && v.actor == n->actor;
    op_answer_covered(n, op, ours ? v.hlc : 0, ours && status == 200, answer_json(status, &body));
}

struct look {
    struct op *op;
    int64_t at_ms;
};

static void look_again(struct node *n, void *arg)
{
    struct look *look = arg;
    timer_set(n, &look->op->timer, look->at_ms);
    free(look);
}

static int64_t answer_by(const struct node *n, const struct op *op)
{
    int64_t left = op->deadline_ms - n->now_ms;
    return op->deadline_ms - (left / 4 < MARGIN_MS ? left / 4 : MARGIN_MS);
}

/* Waits for the session to change, but not beyond the deadline: then the turn goes on, and the answer says
 * so. */
static void wait_for_turn(struct node *n, struct op *op, const char *session)
{
    struct look *look = mem_alloc(sizeof *look);
    if (op->st.epoch == 0)
        op->st.epoch = answer_by(n, op);
    *look = (struct look){op, op->st.epoch};
    op_wait_key(n, op, "", session);
    eff_do(n, look_again, look, free);
}

static int turn_progress(struct node *n, struct op *op, const struct call *c, const struct turn_row *t)
{
    const struct turn_body *b = c->body;
    if (has_ended(t) && b->wait)
        answer_turn(n, op, t, 200);
    else if (!b->wait || op->deadline_ms <= n->now_ms || (op->st.epoch && n->now_ms >= op->st.epoch))
        answer_turn(n, op, t, 202);
    else
        wait_for_turn(n, op, c->param[0]);
    return 0;
}

int session_turn_post(struct node *n, struct op *op, const struct call *c)
{
    const struct turn_body *b = c->body;
    CLEANUP(session_fini) struct session s = {0};
    struct turn_row t;
    char id[ID_TEXT];
    session_op_id(op, c->param[0], session_life(n, c->param[0]), "turn", id);
    int rc = load_turn(n->store, c->param[0], id, &t, &n->fault);
    if (rc == 1 && has_ended(&t)) { /* wherever it ran */
        rc = turn_progress(n, op, c, &t);
        row_fini(T_TURN, &t);
        return rc;
    }
    if (rc >= 0)
        row_fini(T_TURN, &t);
    if (rc < 0 || (rc = session_here(n, op, c->param[0], 0, &s)) < 1)
        return rc;
    session_need(n, op, &s);
    rc = turn_accept(n, &s, id, b->input, op->request->who.name);
    if (rc < 0 || (rc = load_turn(n->store, c->param[0], id, &t, &n->fault)) < 1)
        return rc;
    rc = turn_progress(n, op, c, &t);
    row_fini(T_TURN, &t);
    return rc;
}

static int no_turn(struct err *e, const struct call *c)
{
    return err_set(e, SKEP_ENOTFOUND, "the session %s has no turn %s; GET its turns lists them", c->param[0],
                   c->param[1]);
}

int session_turn_get(const struct call *c, const struct reading *r, struct str *body, struct answer *ret,
                     struct err *e)
{
    struct turn_row t;
    int rc = load_turn(r->store, c->param[0], c->param[1], &t, e);
    if (rc < 1)
        return rc < 0 ? rc : no_turn(e, c);
    struct jw j = jw_init(body);
    write_turn(&j, &t, t.node ? frozen_name_of(r->frozen, t.node) : NULL);
    jw_end(&j);
    snprintf(ret->etag, sizeof ret->etag, "%lld", (long long)session_version(r->store, T_TURN, &t));
    row_fini(T_TURN, &t);
    return 200;
}

/* Behind which turn a page begins. */
static int turn_after(const struct call *c, const struct reading *r, int64_t *ret_at, struct err *e)
{
    const struct session_page *q = c->query;
    struct turn_row t;
    *ret_at = -1;
    if (!q->after)
        return 0;
    int rc = load_turn(r->store, c->param[0], q->after, &t, e);
    if (rc < 1)
        return rc < 0 ? rc : err_field(e, SKEP_EARG, "after", "the session has no turn %s", q->after);
    *ret_at = t.created_at;
    row_fini(T_TURN, &t);
    return 0;
}

int session_turn_list(const struct call *c, const struct reading *r, struct str *body,
                      struct answer *ret UNUSED, struct err *e)
{
    const struct session_page *q = c->query;
    struct turn_row t = {0};
    AUTOFREE char *last = NULL;
    int64_t at, left = session_page_limit(q);
    bool more = false;
    int rc = turn_after(c, r, &at, e);
    if (rc < 0 || (rc = session_is_there(r->store, c->param[0], e)) < 0)
        return rc;
    struct jw j = jw_init(body);
    session_page_open(&j, "turns");
    struct stmt *s = rc == 0 ? NULL
                             : store_ask(r->store, Q_TURN_LIST, "titti", c->param[0], at,
                                         q->after ? q->after : "", q->status, left + 1);
    while (s && (rc = store_next(s, T_TURN, &t, e)) == 1 &&
           !(more = left-- == 0 || body->n > API_LIST_BYTES)) {
        write_turn(&j, &t, t.node ? frozen_name_of(r->frozen, t.node) : NULL);
        mem_replace(&last, t.turn);
    }
    if (s)
        stmt_reset(s);
    row_fini(T_TURN, &t);
    session_page_close(&j, more ? last : NULL);
    return rc < 0 ? rc : 200;
}

int session_turn_delete(struct node *n, struct op *op, const struct call *c)
{
    CLEANUP(session_fini) struct session s = {0};
    struct turn_row t;
    struct err e;
    int rc = session_here(n, op, c->param[0], 0, &s);
    if (rc < 1)
        return rc;
    rc = turn_cancel(n, &s, c->param[1], op->request->who.name);
    if (rc < 0 || (rc = load_turn(n->store, c->param[0], c->param[1], &t, &n->fault)) < 0)
        return rc;
    if (rc == 0) {
        no_turn(&e, c);
        return api_fail(n, op, &e);
    }
    struct str body = turn_text(n, &t);
    int need = session_need(n, op, &s);
    op_answer_covered(n, op, store_written(n->store), need, answer_json(200, &body));
    row_fini(T_TURN, &t);
    return 0;
}
