/* child: stop, restart, move, metadata of a supervised process, and the answer to a conflict about its name:
 * what its owner decides. A request that arrives elsewhere is sent on.
 */
#include <stdio.h>
#include <string.h>

#include "api/known.h"
#include "api/metadata.h"
#include "node/child.h"
#include "node/conflict.h"
#include "node/settings.h"

static void keep_answer(struct op *op, struct str *body TAKES)
{
    free(op->memo);
    op->memo = str_take(body);
}

/* It ends from now on; the answer is as it was, stopped. */
static int stop_begin(struct node *n, struct op *op, const struct call *c, const struct known *k)
{
    struct str body = STR_INIT;
    int rc = known_render(n, c, "stopped", &body, NULL);
    if (rc < 0)
        return rc;
    keep_answer(op, &body);
    op->st.step = 1;
    op->st.incarnation = k->name.incarnation;
    op_wait_key(n, op, c->param[0], c->param[1]);
    return known_audit(n, op, c, "child_stop_asked", k->name.epoch);
}

/* Nobody owns it who could end it: its home does. */
static int stop_homeless(struct node *n, struct op *op, const struct call *c, const struct known *k)
{
    struct id home = own_home(n, c->param[0], c->param[1]);
    if (!id_equal(&home, &n->self)) {
        known_send_on(n, op, &home, true);
        return 0;
    }
    if (!homeless_is(n, &k->name)) { /* its owner has been silent for too short a time */
        op_wait_key(n, op, c->param[0], c->param[1]);
        return 0;
    }
    int rc = stop_begin(n, op, c, k);
    return rc < 0 ? rc : child_end_homeless(n, &k->name, EXIT_ASKED_STOP);
}

static int stop_serve(struct node *n, struct op *op, const struct call *c)
{
    CLEANUP(known_fini) struct known k = {0};
    struct str body = STR_INIT;
    if (op->st.step == 1) { /* asked: gone? */
        int rc = known_load(n, c, &k);
        if (rc < 0)
            return rc;
        bool same = k.found && k.name.incarnation == op->st.incarnation;
        if (same && k.name.owner_actor == n->actor) {
            op_wait_key(n, op, c->param[0], c->param[1]);
            return 0;
        }
        if (!same) {
            str_puts(&body, op->memo);
            op->witness = own_home(n, c->param[0], c->param[1]); /* it decides about the next start */
            api_answer_owned(n, op, 200, &body, NULL, store_written(n->store), 1);
            return 0;
        }
        op->st.step = 0; /* it was given to another node while we ended it: that one has to end it, too */
        known_fini(&k);
        k = (struct known){0};
    }
    int rc = known_to_owner(n, op, c, &k, true);
    if (rc <= 0)
        return rc;
    if (rc == 3)
        return stop_homeless(n, op, c, &k);
    bool waits = !k.current || is(k.child.status, "backoff");
    if (!own_may_end(n, &k.name, waits)) { /* the home claims again, for us or another node */
        op_wait_key(n, op, c->param[0], c->param[1]);
        return 0;
    }
    rc = stop_begin(n, op, c, &k);
    return rc < 0 ? rc : child_stop(n, c->param[0], c->param[1], EXIT_ASKED_STOP);
}

struct restart_query {
    int only_if;
};
static const char *const restart_words[] = {"any", "running", NULL};
static const struct uri_param restart_params[] = {{.name = "if",
                                                   .kind = URI_WORD,
                                                   .offset = offsetof(struct restart_query, only_if),
                                                   .words = restart_words}};

static int restart_serve(struct node *n, struct op *op, const struct call *c)
{
    const struct restart_query *q = c->query;
    CLEANUP(known_fini) struct known k = {0};
    int rc = known_at_owner(n, op, c, &k, true);
    if (rc <= 0)
        return rc;
    if (op->st.step == 0 && q->only_if == 1 && !(k.current && is(k.child.status, "running")))
        return known_answer(n, op, c, 200, 0, 0);
    if (op->st.step == 1) {
        bool again = k.current && is(k.child.status, "running") && k.child.started_at != op->st.hlc;
        if (again || (k.current && is(k.child.status, "failed")))
            return again ? known_answer(n, op, c, 200, 0, 0) : known_not_started(n, op, c, &k);
        op_wait_key(n, op, c->param[0], c->param[1]);
        return 0;
    }
    op->st.step = 1;
    op->st.hlc = k.child.started_at;
    if ((rc = known_audit(n, op, c, "child_restart_asked", k.name.epoch)) < 0)
        return rc;
    op_wait_key(n, op, c->param[0], c->param[1]);
    return child_stop(n, c->param[0], c->param[1], EXIT_ASKED_AGAIN);
}

struct move_body {
    char *node;
};
static const struct json_field move_fields[] = {
    JSON_FIELD(struct move_body, node, JSON_NAME, .nullable = true)};
static const struct json_table move_table = JSON_TABLE(struct move_body, move_fields);

static int move_serve(struct node *n, struct op *op, const struct call *c)
{
    const struct move_body *b = c->body;
    CLEANUP(known_fini) struct known k = {0};
    CLEANUP(places_fini) struct places t = {0};
    struct id to;
    struct err e;
    char text[ID_TEXT];
    if (op->st.step == 1) {
        int rc = known_load(n, c, &k);
        if (rc < 0)
            return rc;
        bool there = k.current && is(k.child.status, "running") && k.name.epoch > op->st.epoch;
        if (there || !k.found)
            return there ? known_answer(n, op, c, 200, 0, 0) : known_none(n, op, c);
        op_wait_key(n, op, c->param[0], c->param[1]);
        return 0;
    }
    int rc = known_at_owner(n, op, c, &k, false);
    if (rc <= 0)
        return rc;
    if (b->node && !node_id_of(n, b->node, &to)) {
        err_field(&e, SKEP_ENOTFOUND, "node", "there is no node %s; skep nodes lists them", b->node);
        return api_fail(n, op, &e);
    }
    char *const named[] = {b->node, NULL};
    bool here = b->node && id_equal(&to, &n->self);
    if (here)
        return known_answer(n, op, c, 200, 0, 0);
    own_targets(n, c->param[0], b->node ? named : NULL, &n->self, &t);
    if (!places_pick(n, &t, c->param[0], c->param[1], &to)) {
        places_none(n, &t, &e);
        snprintf(e.field, sizeof e.field, "node");
        return api_fail(n, op, &e);
    }
    struct child *child = child_find(n, c->param[0], c->param[1]);
    if (child)
        mem_replace(&child->move_to, id_text(&to, text));
    op->st.step = 1;
    op->st.epoch = k.name.epoch;
    if ((rc = known_audit(n, op, c, "child_move_asked", k.name.epoch)) < 0)
        return rc;
    op_wait_key(n, op, c->param[0], c->param[1]);
    return child_stop(n, c->param[0], c->param[1], EXIT_ASKED_MOVE);
}

/* ---- metadata ---- */

struct patch_body {
    struct span metadata, increment;
};
static const struct json_field patch_fields[] = {JSON_FIELD(struct patch_body, metadata, JSON_RAW_OBJECT),
                                                 JSON_FIELD(struct patch_body, increment, JSON_RAW_OBJECT)};
static const struct json_table patch_table = JSON_TABLE(struct patch_body, patch_fields);

static int patch_serve(struct node *n, struct op *op, const struct call *c)
{
    const struct patch_body *b = c->body;
    CLEANUP(known_fini) struct known k = {0};
    AUTOSTR struct str changed = STR_INIT;
    struct err e;
    int64_t rev;
    if (!b->metadata.p && !b->increment.p) {
        err_field(&e, SKEP_EARG, "metadata", "missing: say metadata, increment, or both");
        return api_fail(n, op, &e);
    }
    int rc = known_at_owner(n, op, c, &k, false);
    if (rc <= 0)
        return rc;
    if ((rc = show_rev(n->store, c->param[0], c->param[1], &rev, &n->fault)) < 0)
        return rc;
    if (!api_may_change(n, op, c->param[0], c->param[1], "changes its metadata", &e) ||
        api_match(op->request, rev, &e) < 0)
        return api_fail(n, op, &e);
    struct metadata_row old = {.swarm = mem_dup(c->param[0]), .name = mem_dup(c->param[1])};
    rc = store_load(n->store, T_METADATA, &old, &n->fault);
    int bad = rc < 0 ? 0 : metadata_change(old.data, b->metadata, b->increment, &changed, &e);
    bool same = rc == 1 && bad == 0 && is(old.data, str_get(&changed));
    row_fini(T_METADATA, &old);
    if (rc < 0 || bad < 0)
        return rc < 0 ? rc : api_fail(n, op, &e);
    if (!same) { /* what changes nothing is not replicated */
        rc = own_metadata(n, c->param[0], c->param[1], k.name.epoch,
                          (struct span){str_get(&changed), changed.n});
        if (rc == 0)
            rc = known_audit(n, op, c, "child_metadata_changed", k.name.epoch);
    }
    return rc < 0 ? rc : known_answer(n, op, c, 200, same ? 0 : store_written(n->store), 0);
}

/* ---- the answer to a conflict ---- */

struct conflict_body {
    int keep;
};
static const char *const keep_words[] = {"winner", "loser", NULL};
static const struct json_field conflict_fields[] = {
    JSON_FIELD(struct conflict_body, keep, JSON_WORD, .required = true, .words = keep_words)};
static const struct json_table conflict_table = JSON_TABLE(struct conflict_body, conflict_fields);

static int conflict_serve(struct node *n, struct op *op, const struct call *c)
{
    const struct conflict_body *b = c->body;
    CLEANUP(known_fini) struct known k = {0};
    struct err e;
    if (op->st.step == 1) { /* answered: the state of the other side runs, under a new claim */
        int rc = known_load(n, c, &k);
        if (rc < 0)
            return rc;
        if (!k.found || (k.current && is(k.child.status, "running") && k.name.epoch > op->st.epoch))
            return k.found ? known_answer(n, op, c, 200, 0, 0) : known_none(n, op, c);
        op_wait_key(n, op, c->param[0], c->param[1]);
        return 0;
    }
    int rc = known_at_owner(n, op, c, &k, false);
    if (rc <= 0)
        return rc;
    struct child *child = child_find(n, c->param[0], c->param[1]);
    if (!child || child->s.phase != PHASE_RUNNING || child->s.is_asked) {
        err_set(&e, SKEP_ENOTALIVE, "%s is not running at the moment; try again later", c->param[1]);
        return api_fail(n, op, &e);
    }
    op->st.epoch = k.name.epoch;
    if ((rc = conflict_answer(n, child, b->keep == 1, op->request->who.name)) < 0)
        return rc;
    if (rc == 0) {
        err_set(&e, SKEP_ENOTFOUND, "no conflict about %s waits for an answer", c->param[1]);
        return api_fail(n, op, &e);
    }
    if (b->keep == 0)
        return known_answer(n, op, c, 200, store_written(n->store), 0);
    op->st.step = 1;
    op_wait_key(n, op, c->param[0], c->param[1]);
    return 0;
}

#define CHILD "/v1/swarms/{swarm}/children/{name}"

const struct route child_routes[] = {
    {HTTP_M_PATCH, CHILD, ROLE_WRITE, API_BRAIN, API_BODY_BYTES, true, NULL, 0, 0, &patch_table, NULL,
     patch_serve, "Change a process's metadata: a JSON merge patch, increments; If-Match compares its rev."},
    {HTTP_M_DELETE, CHILD, ROLE_WRITE, API_BRAIN, API_BODY_BYTES, true, NULL, 0, 0, NULL, NULL, stop_serve,
     "Stop a process and free its name."},
    {HTTP_M_POST, CHILD "/restart", ROLE_WRITE, API_BRAIN, API_BODY_BYTES, true, restart_params,
     COUNT(restart_params), sizeof(struct restart_query), NULL, NULL, restart_serve,
     "Restart a process where it is."},
    {HTTP_M_POST, CHILD "/move", ROLE_WRITE, API_BRAIN, API_BODY_BYTES, true, NULL, 0, 0, &move_table, NULL,
     move_serve, "Move a process with its state to another node."},
    {HTTP_M_POST, CHILD "/conflict", ROLE_WRITE, API_BRAIN, API_BODY_BYTES, true, NULL, 0, 0, &conflict_table,
     NULL, conflict_serve,
     "Say which side of a healed conflict goes on: the one that stayed, or the other one."},
    {0},
};
