/* known: see known.h. Decides which node a request about a process goes to; what it does there is its
 * route's.
 */
#include "api/known.h"

#include "node/child.h"

void known_fini(struct known *k)
{
    row_fini(T_NAME, &k->name);
    row_fini(T_CHILD, &k->child);
}

int known_load(struct node *n, const struct call *c, struct known *k)
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

bool known_is_in_flight(const struct known *k)
{
    return !k->current || is(k->child.status, "starting") || is(k->child.status, "stopping");
}

/* ---- answers ---- */

int known_render(struct node *n, const struct call *c, const char *ended, struct str *body, char rev[32])
{
    const struct frozen *f = node_frozen(n);
    struct jw j = jw_init(body);
    int rc = show_child_as(n->store, f, c->param[0], c->param[1], ended, &j, rev, &n->fault);
    frozen_unref(f);
    return rc;
}

int known_shows(struct node *n, struct op *op, const struct call *c)
{
    struct name_row name = {.swarm = (char *)(uintptr_t)c->param[0], .name = (char *)(uintptr_t)c->param[1]};
    struct child_row child = {.swarm = name.swarm, .name = name.name};
    int rc = store_version(n->store, T_NAME, &name, &op->shows[0], NULL, &n->fault);
    return rc < 0 ? rc : store_version(n->store, T_CHILD, &child, &op->shows[1], NULL, &n->fault);
}

int known_answer(struct node *n, struct op *op, const struct call *c, int status, int64_t hlc, int need)
{
    struct str body = STR_INIT;
    char rev[32] = "";
    int rc = known_shows(n, op, c);
    if (rc >= 0)
        rc = known_render(n, c, NULL, &body, rev);
    if (rc <= 0) {
        str_fini(&body);
        struct err e;
        err_set(&e, SKEP_ENOTFOUND, "%s has ended meanwhile", c->param[1]);
        return rc < 0 ? rc : api_fail(n, op, &e);
    }
    (need ? api_answer_owned : api_answer_copies)(n, op, status, &body, rev, hlc, need);
    return 0;
}

int known_none(struct node *n, struct op *op, const struct call *c)
{
    struct err e;
    err_set(&e, SKEP_ENOTFOUND, "no process of the name %s runs in swarm %s", c->param[1], c->param[0]);
    return api_fail(n, op, &e);
}

int known_not_started(struct node *n, struct op *op, const struct call *c, const struct known *k)
{
    AUTOSTR struct str extras = STR_INIT, why = STR_INIT;
    const char *reason = k->child.reason ? k->child.reason : "{}";
    child_reason_words(reason, &why);
    bool refused = strstr(reason, "\"exec_not_allowed\"") != NULL;
    struct err e;
    if (strstr(reason, "\"no_node_available\""))
        err_set(&e, SKEP_ENONODE, "no node may take it: each is full (max_children)");
    else if (refused)
        err_field(&e, SKEP_EEXEC, "argv",
                  "node %s does not allow this program; add its path to allow_exec there",
                  node_name_of(n, k->child.node));
    else
        err_set(&e, SKEP_ESTARTFAILED, "the process did not start on %s: %s", node_name_of(n, k->child.node),
                str_get(&why));
    int rc = known_shows(n, op, c);
    if (rc < 0)
        return rc;
    str_printf(&extras, "\"reason\":%s", reason);
    op_fail(n, op, &e, (struct span){str_get(&extras), extras.n});
    return 0;
}

/* ---- who may decide ---- */

void known_send_on(struct node *n, struct op *op, const struct id *to, bool again)
{
    if (op->source == OP_PEER)
        op_retry(n, op);
    else
        op_forward(n, op, to, again);
}

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
        known_send_on(n, op, &owner, again);
        return 0;
    }
    if (!child && !node_open_now(n)) { /* we may be behind: only an OPEN home knows that there is none */
        op_wait_open(n, op);
        return 0;
    }
    if (!child && !id_equal(&home, &n->self)) {
        known_send_on(n, op, &home, again);
        return 0;
    }
    if (!child)
        return 2;
    if (node_open_now(n) && !anybody_takes(n, name))
        return 3;
    op_wait_key(n, op, name->swarm, name->name); /* its home gives it a new owner */
    return 0;
}

int known_to_owner(struct node *n, struct op *op, const struct call *c, struct known *k, bool again)
{
    int rc = api_swarm_known(n, op, c->param[0]);
    if (rc <= 0)
        return rc;
    rc = known_load(n, c, k);
    if (rc < 0)
        return rc;
    rc = api_to_owner(n, op, &k->name, k->found && is(k->name.kind, "child"), again);
    return rc == 2 ? known_none(n, op, c) : rc;
}

int known_at_owner(struct node *n, struct op *op, const struct call *c, struct known *k, bool again)
{
    int rc = known_to_owner(n, op, c, k, again);
    return rc == 3 ? api_homeless(n, op, &k->name) : rc;
}

int known_audit(struct node *n, struct op *op, const struct call *c, const char *type, int64_t epoch)
{
    return node_log(n, type, c->param[0], c->param[1], n->name, epoch, op->request->who.name, NULL);
}
