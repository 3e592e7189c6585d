/* cluster: the cluster as a whole and its nodes over HTTP. Look, forget, drain.
 *
 * What is shown is this node's own view, from the frozen state; what changes a node is done by that node
 * (drain) or is a row that every node follows (forget).
 */
#include <stdio.h>
#include <string.h>

#include "api/api.h"
#include "node/swarm.h"

#define SWARMS_MAX 1000

/* ---- the swarms a node serves ---- */

static int write_swarms(struct store *s, const struct frozen_node *f, struct jw *j, struct err *e)
{
    struct swarm_row row = {0};
    int rc, left = SWARMS_MAX;
    bool defaults = true; /* "default" needs no row; if it has one, that one decides */
    jw_kv_array(j, "swarms");
    struct stmt *q = store_ask(s, Q_SWARMS, "");
    while ((rc = store_next(q, T_SWARM, &row, e)) == 1) {
        struct settings settings;
        defaults = defaults && strcmp(row.swarm, "default") != 0;
        settings_parse(row.settings, &settings);
        if (left-- > 0 && swarm_serves(s, &settings, row.swarm, &f->id, f->name, f->labels))
            jw_string(j, row.swarm);
        settings_fini(&settings);
    }
    if (defaults)
        jw_string(j, "default");
    jw_array_close(j);
    return rc;
}

/* ---- a node ---- */

static const char *status_of(const struct frozen_node *f)
{
    return f->left ? "left" : liveness_word(f->liveness);
}

static void write_rtt(struct jw *j, const struct frozen_node *f)
{
    jw_key(j, "rtt_ms");
    if (f->rtt_ms < 0)
        jw_null(j);
    else
        jw_i64(j, f->rtt_ms);
    jw_key(j, "avg_rtt_ms");
    if (f->avg_rtt_ms < 0)
        jw_null(j);
    else
        jw_real(j, f->avg_rtt_ms);
    jw_kv_string(j, "link", f->link);
}

static void write_pid(struct jw *j, const char *key, int64_t pid)
{
    jw_key(j, key);
    if (pid > 0)
        jw_i64(j, pid);
    else
        jw_null(j);
}

/* What the scoreboard says of it; null: it is not on it. */
static int write_score(struct store *s, const char *id, struct jw *j, struct err *e)
{
    struct score_row row = {.node = mem_dup(id)};
    int rc = store_load(s, T_SCORE, &row, e);
    jw_key(j, "score");
    if (rc == 1)
        jw_real(j, (double)row.permille / 1000);
    else
        jw_null(j);
    row_fini(T_SCORE, &row);
    return rc < 0 ? rc : 0;
}

static int write_node(const struct reading *r, const struct frozen_node *f, struct jw *j, struct err *e)
{
    char id[ID_TEXT];
    jw_object(j);
    jw_kv_string(j, "name", f->name);
    jw_kv_string(j, "id", id_text(&f->id, id));
    jw_kv_string(j, "url", f->url);
    jw_kv_string(j, "status", status_of(f));
    jw_kv_string(j, "role", f->role);
    write_rtt(j, f);
    int rc = write_swarms(r->store, f, j, e);
    jw_kv_i64(j, "load", f->load);
    if (rc >= 0)
        rc = write_score(r->store, id, j, e);
    jw_kv_raw(j, "labels", f->labels ? (struct span){f->labels, strlen(f->labels)} : (struct span){"{}", 2});
    jw_kv_i64(j, "weight", f->weight);
    jw_kv_i64(j, "max_children", f->max_children);
    jw_kv_string(j, "version", f->version && *f->version ? f->version : NULL);
    jw_kv_time(j, "started_at", f->started_at_ms);
    jw_kv_bool(j, "draining", f->draining);
    jw_kv_i64(j, "lag", f->lag_ms);
    jw_kv_i64(j, "clock_off_ms", f->clock_off_ms);
    jw_kv_bool(j, "member", f->member);
    jw_kv_bool(j, "in_view", f->in_view);
    jw_kv_bool(j, "self", f->self);
    if (f->self) {
        write_pid(j, "pid", r->frozen->pid);
        write_pid(j, "keeper_pid", r->frozen->keeper_pid);
    }
    jw_object_close(j);
    return rc;
}

static int no_node(const char *name, struct err *e)
{
    return err_field(e, SKEP_ENOTFOUND, "node", "this cluster has no node %.100s; GET /v1/nodes lists them",
                     name);
}

static int node_read(const struct call *c, const struct reading *r, struct str *body,
                     struct answer *ret UNUSED, struct err *e)
{
    const struct frozen_node *f = frozen_node(r->frozen, c->param[0]);
    struct jw j = jw_init(body);
    if (!f)
        return no_node(c->param[0], e);
    int rc = write_node(r, f, &j, e);
    return rc < 0 ? rc : 200;
}

struct nodes_query {
    char *after;
    int64_t limit;
    int status;
};
static const char *const status_words[] = {"any", "healthy", "suspect", "down", "left", NULL};
static const struct uri_param nodes_params[] = {
    URI_PARAM(struct nodes_query, limit, URI_INT, .min = 1, .max = API_LIST_MAX),
    URI_PARAM(struct nodes_query, after, URI_NAME),
    URI_PARAM(struct nodes_query, status, URI_WORD, .words = status_words),
};

static int nodes_read(const struct call *c, const struct reading *r, struct str *body,
                      struct answer *ret UNUSED, struct err *e)
{
    const struct nodes_query *q = c->query;
    int64_t left = q->limit ? q->limit : API_LIST_LIMIT;
    const char *last = NULL;
    bool more = false;
    int rc = 0;
    struct jw j = jw_init(body);
    jw_object(&j);
    jw_kv_array(&j, "nodes");
    for (int i = 0; i < r->frozen->nodes_n && rc >= 0 && !more; i++) {
        const struct frozen_node *f = &r->frozen->nodes[i];
        if ((q->after && strcmp(f->name, q->after) <= 0) ||
            (q->status && strcmp(status_of(f), status_words[q->status]) != 0))
            continue;
        more = left-- == 0;
        if (!more)
            rc = write_node(r, f, &j, e);
        last = more ? last : f->name;
    }
    jw_array_close(&j);
    jw_kv_string(&j, "next", more ? last : NULL);
    jw_object_close(&j);
    return rc < 0 ? rc : 200;
}

/* ---- the cluster ---- */

static void write_cluster(const struct frozen *f, struct jw *j)
{
    char id[ID_TEXT], signature[17];
    snprintf(signature, sizeof signature, "%016llx", (unsigned long long)f->signature);
    jw_object(j);
    jw_kv_string(j, "id", id_text(&f->cluster, id));
    jw_kv_string(j, "name", f->name);
    jw_kv_string(j, "version", f->version);
    jw_kv_array(j, "nodes");
    for (int i = 0; i < f->nodes_n; i++)
        jw_string(j, f->nodes[i].name);
    jw_array_close(j);
    jw_kv_string(j, "commander", f->commander);
    jw_kv_i64_text(j, "term", 0);
    jw_kv_null(j, "quorum");
    jw_kv_bool(j, "partitioned", false);
    jw_kv_bool(j, "locked", false);
    jw_kv_i64(j, "pending", 0);
    jw_kv_bool(j, "open", f->open);
    jw_kv_string(j, "topology_signature", signature);
    jw_object_close(j);
}

static int cluster_read(const struct call *c UNUSED, const struct reading *r, struct str *body,
                        struct answer *ret UNUSED, struct err *e UNUSED)
{
    struct jw j = jw_init(body);
    write_cluster(r->frozen, &j);
    return 200;
}

/* ---- forget ---- */

/* Why a node cannot be forgotten: it is this one, or it is alive. */
static int may_forget(struct node *n, const struct id *id, const char *name, struct err *e)
{
    if (id_equal(id, &n->self))
        return err_field(e, SKEP_ETAKEN, "node",
                         "a node cannot forget itself; stop it, then ask another node");
    struct peer *p = peer_find(n, id);
    if (p && !p->left && !p->down)
        return err_field(e, SKEP_ETAKEN, "node",
                         "%.100s is %s; only a node that is down or has left can be forgotten: stop it first",
                         name, liveness_word(p->known ? p->liveness : LIVENESS_SUSPECT));
    return 0;
}

static int forget_serve(struct node *n, struct op *op, const struct call *c)
{
    struct id id;
    char text[ID_TEXT];
    struct err e;
    struct str body = STR_INIT;
    if (!node_id_of(n, c->param[0], &id) || id_is_zero(&id)) {
        no_node(c->param[0], &e);
        return api_fail(n, op, &e);
    }
    if (may_forget(n, &id, c->param[0], &e) < 0)
        return api_fail(n, op, &e);
    id_text(&id, text);
    AUTOFREE char *name = mem_dup(node_name_of(n, text));
    struct node_mark_row mark = {.node = mem_dup(text)};
    int rc = store_load(n->store, T_NODE_MARK, &mark, &n->fault);
    mark.forgotten_at = n->real_ms;
    if (rc >= 0)
        rc = store_set(n->store, T_NODE_MARK, &mark, &n->fault);
    row_fini(T_NODE_MARK, &mark);
    if (rc == 0)
        rc = node_log(n, "node_forgotten", NULL, NULL, name, 0, op->request->who.name, NULL);
    if (rc == 0)
        rc = node_row_merged(n, text);
    if (rc < 0)
        return rc;
    struct jw j = jw_init(&body);
    jw_object(&j);
    jw_kv_string(&j, "name", name);
    jw_kv_string(&j, "id", text);
    jw_kv_time(&j, "forgotten_at", n->real_ms);
    jw_object_close(&j);
    api_show_soon(n);
    api_answer_copies(n, op, 200, &body, NULL, store_written(n->store), 0);
    return 0;
}

/* ---- drain ---- */

int api_at_node(struct node *n, struct op *op, const char *node)
{
    struct id id;
    struct err e;
    if (!node_id_of(n, node, &id) || id_is_zero(&id)) {
        no_node(node, &e);
        return api_fail(n, op, &e);
    }
    if (id_equal(&id, &n->self))
        return 1;
    struct peer *p = peer_find(n, &id);
    if (!p || p->left || p->down) {
        err_field(&e, SKEP_ENOTALIVE, "node",
                  "%.100s does not answer: it is down, or has left; ask again when it is back", node);
        return api_fail(n, op, &e);
    }
    op_forward(n, op, &id, true);
    return 0;
}

static int drain_set(struct node *n, struct op *op, const struct call *c, bool draining)
{
    struct str body = STR_INIT;
    int rc = api_at_node(n, op, c->param[0]);
    if (rc <= 0)
        return rc;
    bool news = n->draining != draining;
    node_touch(n, &n->draining, sizeof n->draining);
    n->draining = draining;
    rc = store_meta_set(n->store, "draining", draining ? "1" : "0", &n->fault);
    if (rc == 0 && news) /* what changes nothing is not replicated */
        rc = node_row_write(n, &n->fault);
    if (rc == 0 && news)
        rc = node_log(n, draining ? "drain_began" : "drain_ended", NULL, NULL, n->name, 0,
                      op->request->who.name, NULL);
    if (rc == 0 && draining)
        rc = children_drain(n);
    if (rc < 0)
        return rc;
    struct jw j = jw_init(&body);
    jw_object(&j);
    jw_kv_string(&j, "node", n->name);
    jw_kv_bool(&j, "draining", draining);
    jw_kv_i64(&j, "children", children_count(n));
    jw_object_close(&j);
    api_show_soon(n);
    api_answer_copies(n, op, 200, &body, NULL, store_written(n->store), 0);
    return 0;
}

static int drain_serve(struct node *n, struct op *op, const struct call *c)
{
    return drain_set(n, op, c, true);
}

static int undrain_serve(struct node *n, struct op *op, const struct call *c)
{
    struct err e;
    if (n->leaving) {
        err_set(&e, SKEP_ETAKEN, "this node is being stopped; it takes nothing new");
        return api_fail(n, op, &e);
    }
    return drain_set(n, op, c, false);
}

const struct route cluster_routes[] = {
    {HTTP_M_GET, "/v1/cluster", ROLE_READ, API_IO, API_BODY_BYTES, false, NULL, 0, 0, NULL, cluster_read,
     NULL, "Show the cluster as this node sees it."},
    {HTTP_M_GET, "/v1/nodes", ROLE_READ, API_READER, API_BODY_BYTES, false, nodes_params, COUNT(nodes_params),
     sizeof(struct nodes_query), NULL, nodes_read, NULL, "List the nodes, in byte order of their names."},
    {HTTP_M_GET, "/v1/nodes/{node}", ROLE_READ, API_READER, API_BODY_BYTES, false, NULL, 0, 0, NULL,
     node_read, NULL, "Show a node, by its name or id."},
    {HTTP_M_DELETE, "/v1/nodes/{node}", ROLE_ADMIN, API_BRAIN, API_BODY_BYTES, false, NULL, 0, 0, NULL, NULL,
     forget_serve, "Forget a node that never comes back: its certificate is refused from then on."},
    {HTTP_M_PUT, "/v1/nodes/{node}/drain", ROLE_ADMIN, API_BRAIN, API_BODY_BYTES, false, NULL, 0, 0, NULL,
     NULL, drain_serve,
     "Move everything away from a node, which stays a member; asked again, it says how many are left."},
    {HTTP_M_DELETE, "/v1/nodes/{node}/drain", ROLE_ADMIN, API_BRAIN, API_BODY_BYTES, false, NULL, 0, 0, NULL,
     NULL, undrain_serve, "Let a drained node take processes again."},
    {0},
};
