/* child: supervised processes over HTTP. Start, look up, list, stop, restart, move, metadata, messages and
 * calls.
 *
 * A start is decided by the name's home, everything else by its owner; a request that arrives elsewhere is
 * sent on. Handlers run again whenever the name's rows change, and decide by the rows as they are.
 */
#include <stdio.h>
#include <string.h>

#include "api/api.h"
#include "api/metadata.h"
#include "api/plan.h"
#include "node/child.h"
#include "node/conflict.h"
#include "node/settings.h"

/* ---- arguments ---- */

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

static bool is(const char *a, const char *b)
{
    return a && strcmp(a, b) == 0;
}

/* ---- rows of a name ---- */

struct known {
    struct name_row name;
    struct child_row child;
    bool found, current; /* current: the child row is of the claim's epoch */
};

static void known_fini(struct known *k)
{
    row_fini(T_NAME, &k->name);
    row_fini(T_CHILD, &k->child);
}

static int known_load(struct node *n, const struct call *c, struct known *k)
{
    *k = (struct known){.name = {.swarm = mem_dup(c->param[0]), .name = mem_dup(c->param[1])},
                        .child = {.swarm = mem_dup(c->param[0]), .name = mem_dup(c->param[1])}};
    int rc = store_load(n->store, T_NAME, &k->name, &n->fault);
    int dead = rc == 1 ? alias_dead(n->store, &k->name, &n->fault) : rc;
    k->found = rc == 1 && dead == 0;
    if (dead < 0)
        rc = dead;
    if (rc >= 0)
        rc = store_load(n->store, T_CHILD, &k->child, &n->fault);
    k->current = k->found && rc == 1 && k->child.epoch == k->name.epoch;
    return rc < 0 ? rc : 0;
}

/* ended: the status it will have once it is gone; NULL = as it is. */
static int render(struct node *n, const struct call *c, const char *ended, struct str *body, char rev[32])
{
    const struct frozen *f = node_frozen(n);
    struct jw j = jw_init(body);
    int rc = show_child_as(n->store, f, c->param[0], c->param[1], ended, &j, rev, &n->fault);
    frozen_unref(f);
    return rc;
}

/* Who is told of the child through another node finds it there: claim and state are rows of two nodes. */
static int shows_child(struct node *n, struct op *op, const struct call *c)
{
    struct name_row name = {.swarm = (char *)(uintptr_t)c->param[0], .name = (char *)(uintptr_t)c->param[1]};
    struct child_row child = {.swarm = name.swarm, .name = name.name};
    int rc = store_version(n->store, T_NAME, &name, &op->shows[0], NULL, &n->fault);
    return rc < 0 ? rc : store_version(n->store, T_CHILD, &child, &op->shows[1], NULL, &n->fault);
}

static int answer_child(struct node *n, struct op *op, const struct call *c, int status, int64_t hlc,
                        int need)
{
    struct str body = STR_INIT;
    char rev[32] = "";
    int rc = shows_child(n, op, c);
    if (rc >= 0)
        rc = render(n, c, NULL, &body, rev);
    if (rc <= 0) {
        str_fini(&body);
        struct err e;
        err_set(&e, SKEP_ENOTFOUND, "%s has ended meanwhile", c->param[1]);
        return rc < 0 ? rc : api_fail(n, op, &e);
    }
    (need ? api_answer_owned : api_answer_copies)(n, op, status, &body, rev, hlc, need);
    return 0;
}

static int not_found(struct node *n, struct op *op, const struct call *c)
{
    struct err e;
    err_set(&e, SKEP_ENOTFOUND, "no process of the name %s runs in swarm %s", c->param[1], c->param[0]);
    return api_fail(n, op, &e);
}

/* ---- start ---- */

static int already(struct node *n, struct op *op, const struct call *c, const struct known *k)
{
    const struct start_query *q = c->query;
    const struct start_body *b = c->body;
    AUTOSTR struct str child = STR_INIT, asked = STR_INIT, spec = STR_INIT, has = STR_INIT, extras = STR_INIT;
    struct err e;
    if (q->if_exists == 1)
        return answer_child(n, op, c, 200, 0, 0);
    int rc = shows_child(n, op, c);
    if (rc >= 0)
        rc = render(n, c, NULL, &child, NULL);
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

/* The reason of a failed start, as the answer: who gets it finds nothing any more, through whatever node. */
static int start_failed(struct node *n, struct op *op, const struct call *c, const struct known *k)
{
    AUTOSTR struct str extras = STR_INIT;
    const char *reason = k->child.reason ? k->child.reason : "{}";
    bool refused = strstr(reason, "\"exec_not_allowed\"") != NULL;
    struct err e;
    if (strstr(reason, "\"no_node_available\""))
        err_set(&e, SKEP_ENONODE, "no node may take it: each is full (max_children)");
    else if (refused)
        err_field(&e, SKEP_EEXEC, "argv",
                  "node %s does not allow this program; add its path to allow_exec there",
                  node_name_of(n, k->child.node));
    else
        err_set(&e, SKEP_ESTARTFAILED,
                "the process did not start on %s; reason says why, skep logs %s its output",
                node_name_of(n, k->child.node), k->child.name);
    int rc = shows_child(n, op, c);
    if (rc < 0)
        return rc;
    str_printf(&extras, "\"reason\":%s", reason);
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

/* Who meets a start or stop under way waits for what becomes of it. */
static bool in_flight(const struct known *k)
{
    return !k->current || is(k->child.status, "starting") || is(k->child.status, "stopping");
}

/* We claimed it; what has become of it? */
static int start_wait(struct node *n, struct op *op, const struct call *c, const struct known *k)
{
    char op_text[ID_TEXT];
    bool ours = k->found && is(k->name.op, id_text(&op->id, op_text));
    if (ours && k->current && is(k->child.status, "running"))
        return answer_child(n, op, c, 201, op->st.hlc, 1);
    if (ours && k->current && k->child.started_at &&
        (is(k->child.status, "backoff") || is(k->child.status, "failed"))) /* it ran: the start took place */
        return answer_child(n, op, c, 201, op->st.hlc, 1);
    if (ours && k->current && is(k->child.status, "failed"))
        return start_failed(n, op, c, k);
    if (!ours && k->child.epoch >= op->st.epoch && is(k->child.status, "gone"))
        return k->child.started_at && !strstr(k->child.reason ? k->child.reason : "", "start_failed")
                   ? started_and_gone(n, op, c, k)
                   : start_failed(n, op, c, k);
    if (k->found && !ours && (is(k->name.kind, "address") || !in_flight(k)))
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
    if (!in_flight(k))
        return already(n, op, c, k);
    op_wait_key(n, op, c->param[0], c->param[1]);
    return 0;
}

/* Not for this node: a client's request goes on; who forwarded one decides anew, for one of us is behind. */
static void send_on(struct node *n, struct op *op, const struct id *to, bool again)
{
    if (op->source == OP_PEER)
        op_retry(n, op);
    else
        op_forward(n, op, to, again);
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
    if (plan_check(n, c->param[0], "nodes", c->param[1], b->spec.nodes.n, &e) < 0)
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
        send_on(n, op, &home, true);
        return 0;
    }
    return start_at_home(n, op, c, &k);
}

/* ---- what the owner decides ---- */

static bool anybody_takes(struct node *n, const struct name_row *name)
{
    CLEANUP(places_fini) struct places t;
    struct id to;
    own_takers(n, name, &t);
    return places_pick(n, &t, name->swarm, name->name, &to);
}

int api_homeless(struct node *n, struct op *op, const struct name_row *name)
{
    CLEANUP(places_fini) struct places t;
    struct err e;
    own_takers(n, name, &t);
    places_none(n, &t, &e);
    return api_fail(n, op, &e);
}

int api_to_owner(struct node *n, struct op *op, const struct name_row *name, bool child, bool again)
{
    int64_t since;
    struct id owner, home = own_home(n, name->swarm, name->name);
    if (child && op->st.stamp && name->incarnation > op->st.stamp) {
        op_retry(n, op); /* it was asked of a former life of the name, or by a node that is behind */
        return 0;
    }
    if (child && name->owner_actor == n->actor)
        return 1;
    enum owner_state state = child ? owner_state(n, name->owner, name->owner_actor, &since) : OWNER_LEFT;
    if (child && state == OWNER_ALIVE && id_parse(name->owner, &owner) && !id_equal(&owner, &n->self)) {
        send_on(n, op, &owner, again);
        return 0;
    }
    if (!child && !node_open_now(n)) { /* we may be behind: only an OPEN home knows that there is none */
        op_wait_open(n, op);
        return 0;
    }
    if (!child && !id_equal(&home, &n->self)) {
        send_on(n, op, &home, again);
        return 0;
    }
    if (!child)
        return 2;
    if (node_open_now(n) && !anybody_takes(n, name))
        return 3;
    op_wait_key(n, op, name->swarm, name->name); /* its home gives it a new owner */
    return 0;
}

/* As api_to_owner (k is filled), but who is not there is answered: 0. */
static int to_owner(struct node *n, struct op *op, const struct call *c, struct known *k, bool again)
{
    int rc = api_swarm_known(n, op, c->param[0]);
    if (rc <= 0)
        return rc;
    rc = known_load(n, c, k);
    if (rc < 0)
        return rc;
    rc = api_to_owner(n, op, &k->name, k->found && is(k->name.kind, "child"), again);
    return rc == 2 ? not_found(n, op, c) : rc;
}

/* Brings the op to the owner of a child. 1: we are it (k is filled); 0: under way, or answered. */
static int at_owner(struct node *n, struct op *op, const struct call *c, struct known *k, bool again)
{
    int rc = to_owner(n, op, c, k, again);
    return rc == 3 ? api_homeless(n, op, &k->name) : rc;
}

static void keep_answer(struct op *op, struct str *body TAKES)
{
    free(op->memo);
    op->memo = str_take(body);
}

static int audit(struct node *n, struct op *op, const struct call *c, const char *type, int64_t epoch)
{
    return node_log(n, type, c->param[0], c->param[1], n->name, epoch, op->request->who.name, NULL);
}

/* It ends from now on; the answer is as it was, stopped. */
static int stop_begin(struct node *n, struct op *op, const struct call *c, const struct known *k)
{
    struct str body = STR_INIT;
    int rc = render(n, c, "stopped", &body, NULL);
    if (rc < 0)
        return rc;
    keep_answer(op, &body);
    op->st.step = 1;
    op->st.incarnation = k->name.incarnation;
    op_wait_key(n, op, c->param[0], c->param[1]);
    return audit(n, op, c, "child_stop_asked", k->name.epoch);
}

/* Nobody owns it who could end it: its home does. */
static int stop_homeless(struct node *n, struct op *op, const struct call *c, const struct known *k)
{
    struct id home = own_home(n, c->param[0], c->param[1]);
    if (!id_equal(&home, &n->self)) {
        send_on(n, op, &home, true);
        return 0;
    }
    if (!homeless_is(n, &k->name)) { /* its owner has been silent for too short a time */
        op_wait_key(n, op, c->param[0], c->param[1]);
        return 0;
    }
    int rc = stop_begin(n, op, c, k);
    return rc < 0 ? rc : child_stop_homeless(n, &k->name);
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
    int rc = to_owner(n, op, c, &k, true);
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
    int rc = at_owner(n, op, c, &k, true);
    if (rc <= 0)
        return rc;
    if (op->st.step == 0 && q->only_if == 1 && !(k.current && is(k.child.status, "running")))
        return answer_child(n, op, c, 200, 0, 0);
    if (op->st.step == 1) {
        bool again = k.current && is(k.child.status, "running") && k.child.started_at != op->st.hlc;
        if (again || (k.current && is(k.child.status, "failed")))
            return again ? answer_child(n, op, c, 200, 0, 0) : start_failed(n, op, c, &k);
        op_wait_key(n, op, c->param[0], c->param[1]);
        return 0;
    }
    op->st.step = 1;
    op->st.hlc = k.child.started_at;
    if ((rc = audit(n, op, c, "child_restart_asked", k.name.epoch)) < 0)
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
            return there ? answer_child(n, op, c, 200, 0, 0) : not_found(n, op, c);
        op_wait_key(n, op, c->param[0], c->param[1]);
        return 0;
    }
    int rc = at_owner(n, op, c, &k, false);
    if (rc <= 0)
        return rc;
    if (b->node && !node_id_of(n, b->node, &to)) {
        err_field(&e, SKEP_ENOTFOUND, "node", "there is no node %s; skep nodes lists them", b->node);
        return api_fail(n, op, &e);
    }
    char *const named[] = {b->node, NULL};
    bool here = b->node && id_equal(&to, &n->self);
    if (here)
        return answer_child(n, op, c, 200, 0, 0);
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
    if ((rc = audit(n, op, c, "child_move_asked", k.name.epoch)) < 0)
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

/* In a strict swarm the process itself writes its entry, by its channel; and an admin, who may have to mend
 * it. */
static bool may_change(struct node *n, const struct op *op, const struct call *c, struct err *e)
{
    const struct child *child = child_find(n, c->param[0], c->param[1]);
    bool itself = op->source == OP_WORKER && child && child->s.run == op->run;
    if (itself || op->request->who.role >= ROLE_ADMIN || !node_settings(n, c->param[0])->strict)
        return true;
    err_set(e, SKEP_EFORBIDDEN,
            "the swarm %s is strict: only %s itself changes its metadata, by its channel, or an admin",
            c->param[0], c->param[1]);
    return false;
}

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
    int rc = at_owner(n, op, c, &k, false);
    if (rc <= 0)
        return rc;
    if ((rc = show_rev(n->store, c->param[0], c->param[1], &rev, &n->fault)) < 0)
        return rc;
    if (!may_change(n, op, c, &e) || api_match(op->request, rev, &e) < 0)
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
            rc = audit(n, op, c, "child_metadata_changed", k.name.epoch);
    }
    return rc < 0 ? rc : answer_child(n, op, c, 200, same ? 0 : store_written(n->store), 0);
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
            return k.found ? answer_child(n, op, c, 200, 0, 0) : not_found(n, op, c);
        op_wait_key(n, op, c->param[0], c->param[1]);
        return 0;
    }
    int rc = at_owner(n, op, c, &k, false);
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
        return answer_child(n, op, c, 200, store_written(n->store), 0);
    op->st.step = 1;
    op_wait_key(n, op, c->param[0], c->param[1]);
    return 0;
}

/* ---- messages and calls ---- */

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
    int rc = at_owner(n, op, c, &k, false);
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
    int rc = at_owner(n, op, c, &k, false);
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
    int rc = at_owner(n, op, c, &k, false);
    if (rc <= 0)
        return rc;
    struct checkpoint_row row = {.swarm = k.name.swarm,
                                 .name = k.name.name,
                                 .at = n->real_ms,
                                 .epoch = k.name.epoch,
                                 .data = {(char *)(uintptr_t)b->data.p, b->data.n}};
    rc = store_save(n->store, T_CHECKPOINT, &row, &n->fault);
    if (rc == 0)
        rc = audit(n, op, c, "child_checkpoint_set", k.name.epoch);
    str_printf(&body, "{\"epoch\":\"%lld\"}", (long long)k.name.epoch);
    api_answer_copies(n, op, 200, &body, NULL, store_written(n->store), n->o.checkpoint_acks);
    return rc;
}

#define CHILD "/v1/swarms/{swarm}/children/{name}"

const struct route child_routes[] = {
    {HTTP_M_PUT, CHILD, ROLE_WRITE, API_BRAIN, API_BODY_BYTES, true, start_params, COUNT(start_params),
     sizeof(struct start_query), &start_table, NULL, start_serve,
     "Start a process under a name that is unique."},
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
    {HTTP_M_POST, CHILD "/checkpoint", ROLE_WRITE, API_BRAIN, API_BIG_BODY_BYTES, true, NULL, 0, 0,
     &data_table, NULL, checkpoint_serve,
     "Replace the checkpoint that the next start of a process is given."},
    {HTTP_M_POST, CHILD "/messages", ROLE_WRITE, API_BRAIN, API_BODY_BYTES, true, NULL, 0, 0, &data_table,
     NULL, message_serve, "Send a process a message, at most once."},
    {HTTP_M_POST, CHILD "/calls", ROLE_WRITE, API_BRAIN, API_BODY_BYTES, true, NULL, 0, 0, &data_table, NULL,
     call_serve, "Call a process and wait for its reply."},
    {0},
};
