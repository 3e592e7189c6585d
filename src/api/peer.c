/* peer: what nodes ask of nodes, and how a new one enrols.
 *
 * Pings, pulls and mail are bytes between brains (node/peer.c, pull.c, mail.c specify them); their rows here
 * give them a right and a limit. Enrolment needs no credentials but a one-time token: the node that holds the
 * CA's key signs.
 */
#include <string.h>

#include "api/api.h"
#include "node/compare.h"
#include "wire/digest.h"

struct enrol_body {
    char *token, *csr, *node, *name, *url;
};

static const struct json_field enrol_fields[] = {
    JSON_FIELD(struct enrol_body, token, JSON_STRING, .required = true, .bytes_max = 256),
    JSON_FIELD(struct enrol_body, csr, JSON_STRING, .required = true, .bytes_max = 16384),
    JSON_FIELD(struct enrol_body, node, JSON_STRING, .required = true, .bytes_max = 32),
    JSON_FIELD(struct enrol_body, name, JSON_NAME, .required = true),
    JSON_FIELD(struct enrol_body, url, JSON_STRING, .required = true, .bytes_max = 512),
};
static const struct json_table enrol_table = JSON_TABLE(struct enrol_body, enrol_fields);

/* The join token that was presented, unused. 1, 0: none such. */
static int join_token(struct node *n, const char *text, struct token_row *ret)
{
    unsigned char sum[DIGEST_BYTES];
    AUTOSTR struct str hex = STR_INIT;
    digest_sha256(text, strlen(text), sum);
    str_hex(&hex, sum, sizeof sum);
    struct stmt *q = store_ask(n->store, Q_TOKENS, "");
    int rc;
    while ((rc = store_next(q, T_TOKEN, ret, &n->fault)) == 1) {
        bool valid = ret->hash && strcmp(ret->hash, str_get(&hex)) == 0 && ret->role &&
                     strcmp(ret->role, "join") == 0 && ret->used_at == 0 &&
                     (ret->expires_at == 0 || ret->expires_at > n->real_ms);
        if (valid)
            break;
    }
    stmt_reset(q);
    return rc;
}

static void write_peers(struct node *n, struct jw *j)
{
    struct peer *p;
    jw_kv_array(j, "peers");
    jw_string(j, n->url);
    TAILQ_FOREACH (p, &n->peers, link)
        if (p->member && !p->left)
            jw_string(j, p->url);
    jw_array_close(j);
}

static int enrolled(struct node *n, struct op *op, const struct enrol_body *b, struct token_row *token,
                    const char *cert)
{
    struct str body = STR_INIT;
    struct jw j = jw_init(&body);
    char cluster[ID_TEXT];
    token->used_at = n->real_ms;
    int rc = store_save(n->store, T_TOKEN, token, &n->fault);
    if (rc == 0)
        rc = node_log(n, "node_enrolled", NULL, NULL, b->name, 0, token->name, NULL);
    if (rc < 0)
        return rc;
    node_settings_merged(n);
    jw_object(&j);
    jw_kv_string(&j, "cert", cert);
    jw_kv_string(&j, "ca", n->o.ca_pem);
    jw_kv_string(&j, "cluster", id_text(&n->cluster, cluster));
    write_peers(n, &j);
    jw_object_close(&j);
    op_answer_covered(n, op, store_written(n->store), 1, answer_json(201, &body));
    return 0;
}

static int sign(struct node *n, const struct enrol_body *b, const struct id *id, char **ret_cert,
                struct err *e)
{
    if (!n->w.ca.sign)
        return err_set(e, SKEP_EFORBIDDEN,
                       "this node does not hold the cluster's CA key; join at the node that does");
    return n->w.ca.sign(n->w.ca.self, b->csr, id, b->name, ret_cert, e);
}

static int enrol_serve(struct node *n, struct op *op, const struct call *c)
{
    const struct enrol_body *b = c->body;
    struct token_row token = {0};
    struct id id;
    struct err e;
    AUTOFREE char *cert = NULL;
    if (!id_parse(b->node, &id)) {
        err_field(&e, SKEP_EARG, "node", "node must be 32 lower-case hex digits");
        return api_fail(n, op, &e);
    }
    int rc = join_token(n, b->token, &token);
    if (rc == 0)
        err_field(&e, SKEP_EUNAUTHORIZED, "token",
                  "this join token is unknown, used or expired; make a new one with "
                  "skep token create --role join");
    else if (rc == 1 && sign(n, b, &id, &cert, &e) < 0)
        rc = 0;
    if (rc == 1)
        rc = enrolled(n, op, b, &token, cert);
    else if (rc == 0)
        rc = api_fail(n, op, &e);
    row_fini(T_TOKEN, &token);
    return rc;
}

static int resync_asked(struct node *n, struct op *op, const struct call *c)
{
    struct str body = STR_INIT;
    const struct request *r = c->request;
    int rc = resync_serve(n, &r->who.node, r->body, r->body_n, &body);
    if (rc == 0)
        op_answer(n, op, answer_json(200, &body));
    str_fini(&body);
    return rc == SKEP_EARG ? api_fail(n, op, &n->fault) : rc;
}

static int compare_asked(struct node *n, struct op *op, const struct call *c)
{
    struct str body = STR_INIT;
    const struct request *r = c->request;
    int rc = compare_serve(n, &r->who.node, r->body, r->body_n, &body);
    if (rc == 0)
        op_answer(n, op, answer_json(200, &body));
    str_fini(&body);
    return rc == SKEP_EARG ? api_fail(n, op, &n->fault) : rc;
}

/* Never reached through the table: the I/O thread hands these bytes to the brain or the reader. */
static int bytes_only(struct node *n, struct op *op, const struct call *c UNUSED)
{
    struct err e;
    err_set(&e, SKEP_EFORBIDDEN, "this path is for nodes of the cluster");
    return api_fail(n, op, &e);
}

const struct route peer_routes[] = {
    {HTTP_M_POST, "/v1/enrol", ROLE_NONE, API_BRAIN, 64 * 1024, false, NULL, 0, 0, &enrol_table, NULL,
     enrol_serve, "Enrol a new node with a one-time token: its certificate is signed."},
    {HTTP_M_POST, "/v1/peer/ping", ROLE_PEER, API_IO, 16 * 1024, false, NULL, 0, 0, NULL, NULL, bytes_only,
     "Ask a node for a sign of life (peers only)."},
    {HTTP_M_POST, "/v1/peer/pull", ROLE_PEER, API_READER, API_BODY_BYTES, false, NULL, 0, 0, NULL, NULL,
     bytes_only, "Pull what changed (peers only)."},
    {HTTP_M_POST, "/v1/peer/resync", ROLE_PEER, API_BRAIN, 64 * 1024, false, NULL, 0, 0, NULL, NULL,
     resync_asked, "Copy what this node has, after missing deletions (peers only)."},
    {HTTP_M_POST, "/v1/peer/compare", ROLE_PEER, API_BRAIN, API_BODY_BYTES, false, NULL, 0, 0, NULL, NULL,
     compare_asked, "Compare all rows, in sums and in detail (peers only)."},
    {HTTP_M_POST, "/v1/peer/mail", ROLE_PEER, API_BRAIN, 32 * API_BODY_BYTES, false, NULL, 0, 0, NULL, NULL,
     bytes_only, "Messages between brains (peers only)."},
    {HTTP_M_POST, "/v1/peer/relay", ROLE_PEER, API_BRAIN, 33 * API_BODY_BYTES, false, NULL, 0, 0, NULL, NULL,
     bytes_only, "Pass a call on to a node whose link to the caller is broken (peers only)."},
    {0},
};
