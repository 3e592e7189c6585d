/* token: bearer tokens over HTTP. A secret is shown once, in the answer that made it; only its hash is
 * stored.
 *
 * A repeat under the same Idempotency-Key is told the same id, but no secret: kept answers are rows that
 * every node has, and a row must not hold one.
 */
#include <stdio.h>
#include <string.h>

#include "api/api.h"
#include "node/token.h"

#define TTL_MAX_MS INT64_C(3153600000000) /* a hundred years */

struct token_body {
    char *name, *swarm;
    int role;
    int64_t ttl_ms;
};

static const char *const role_words[] = {"read", "write", "admin", "join", NULL};
enum { WORD_JOIN = 3 };

static const struct json_field token_fields[] = {
    JSON_FIELD(struct token_body, role, JSON_WORD, .required = true, .words = role_words),
    JSON_FIELD(struct token_body, name, JSON_STRING, .required = true, .bytes_max = 100),
    JSON_FIELD(struct token_body, swarm, JSON_NAME, .nullable = true),
    JSON_FIELD(struct token_body, ttl_ms, JSON_INT, .min = 1, .max = TTL_MAX_MS, .nullable = true),
};
static const struct json_table token_table = JSON_TABLE(struct token_body, token_fields);

/* secret NULL: it is not shown (again). */
static void write_token(const struct token_row *row, const char *secret, struct jw *j)
{
    jw_object(j);
    jw_kv_string(j, "id", row->token);
    if (secret)
        jw_kv_string(j, "token", secret);
    jw_kv_string(j, "role", row->role);
    jw_kv_string(j, "name", row->name);
    jw_kv_string(j, "swarm", row->swarm);
    jw_kv_time(j, "created_at", row->created_at);
    jw_kv_time(j, "expires_at", row->expires_at);
    jw_kv_time(j, "used_at", row->used_at);
    jw_object_close(j);
}

static int body_check(struct node *n, const struct token_body *b, struct err *e)
{
    if (!text_is_clean(b->name, strlen(b->name)))
        return err_field(e, SKEP_EARG, "name", "must be text without control characters");
    if (b->swarm && b->role != WORD_JOIN && !api_swarm_exists(n->store, b->swarm, e))
        return e->code;
    if (b->role == WORD_JOIN && b->swarm)
        return err_field(e, SKEP_EARG, "swarm", "a join token lets a node into the cluster; it has no swarm");
    if (b->role == WORD_JOIN && !n->o.ca_fingerprint)
        return err_set(e, SKEP_EFORBIDDEN,
                       "this node does not know the cluster's CA certificate; name it with ca in skep.conf");
    return 0;
}

/* What a repeat of this request is told: everything but the secret. */
static int remember(struct node *n, struct op *op, const struct token_row *row)
{
    const struct request *r = op->request;
    struct str body = STR_INIT;
    if (!r->idempotency_key)
        return 0;
    struct jw j = jw_init(&body);
    write_token(row, NULL, &j);
    AUTOFREE char *key = op_idem_key(r), *request = op_idem_request(r), *answer = str_take(&body);
    struct idem_row kept = {
        .key = key, .request = request, .answer = answer, .at = n->real_ms, .status = 201};
    op->replayed = true; /* kept here, and not once more with its answer */
    return store_save(n->store, T_IDEM, &kept, &n->fault);
}

static int create(struct node *n, struct op *op, const struct token_body *b, const char *secret)
{
    char id_text_[ID_TEXT], hash[TOKEN_HEX];
    struct str body = STR_INIT;
    struct id id;
    node_random_id(n, &id);
    token_hash(secret, hash);
    struct token_row row = {.token = (char *)(uintptr_t)id_text(&id, id_text_),
                            .hash = hash,
                            .name = b->name,
                            .role = (char *)(uintptr_t)role_words[b->role],
                            .swarm = b->swarm,
                            .created_at = n->real_ms,
                            .expires_at = b->ttl_ms ? n->real_ms + b->ttl_ms : 0};
    int rc = store_save(n->store, T_TOKEN, &row, &n->fault);
    if (rc == 0)
        rc = node_log(n, "token_created", b->swarm, NULL, NULL, 0, op->request->who.name, NULL);
    if (rc == 0)
        rc = remember(n, op, &row);
    if (rc < 0)
        return rc;
    struct jw j = jw_init(&body);
    write_token(&row, secret, &j);
    api_show_soon(n);
    api_answer_copies(n, op, 201, &body, NULL, store_written(n->store), 0);
    return 0;
}

static int create_serve(struct node *n, struct op *op, const struct call *c)
{
    const struct token_body *b = c->body;
    struct err e;
    if (body_check(n, b, &e) < 0)
        return api_fail(n, op, &e);
    char *secret = token_new(&n->w.random, b->role == WORD_JOIN ? n->o.ca_fingerprint : NULL);
    int rc = create(n, op, b, secret);
    explicit_bzero(secret, strlen(secret));
    free(secret);
    return rc;
}

static int delete_row(struct node *n, struct op *op, struct token_row *row)
{
    struct str body = STR_INIT;
    struct err e;
    int rc = store_load(n->store, T_TOKEN, row, &n->fault);
    if (rc == 0) {
        err_set(&e, SKEP_ENOTFOUND, "there is no token of the id %.100s; GET /v1/tokens lists them",
                row->token);
        return api_fail(n, op, &e);
    }
    if (rc == 1)
        rc = store_kill(n->store, T_TOKEN, row, 0, &n->fault);
    if (rc == 0)
        rc = node_log(n, "token_deleted", row->swarm, NULL, NULL, 0, op->request->who.name, NULL);
    if (rc < 0)
        return rc;
    struct jw j = jw_init(&body);
    write_token(row, NULL, &j);
    api_show_soon(n);
    api_answer_copies(n, op, 200, &body, NULL, store_written(n->store), 0);
    return 0;
}

static int delete_serve(struct node *n, struct op *op, const struct call *c)
{
    struct token_row row = {.token = mem_dup(c->param[0])};
    int rc = delete_row(n, op, &row);
    row_fini(T_TOKEN, &row);
    return rc;
}

struct list_query {
    char *after;
    int64_t limit;
};
static const struct uri_param list_params[] = {
    URI_PARAM(struct list_query, limit, URI_INT, .min = 1, .max = API_LIST_MAX),
    URI_PARAM(struct list_query, after, URI_NAME),
};

static int list_read(const struct call *c, const struct reading *r, struct str *body,
                     struct answer *ret UNUSED, struct err *e)
{
    const struct list_query *q = c->query;
    int64_t left = q->limit ? q->limit : API_LIST_LIMIT;
    AUTOFREE char *last = NULL;
    struct token_row row = {0};
    bool more = false;
    int rc;
    struct jw j = jw_init(body);
    jw_object(&j);
    jw_kv_array(&j, "tokens");
    struct stmt *s = store_ask(r->store, Q_TOKENS, "");
    while (!more && (rc = store_next(s, T_TOKEN, &row, e)) == 1) {
        if (q->after && strcmp(row.token, q->after) <= 0)
            continue;
        more = left-- == 0;
        if (more)
            break;
        write_token(&row, NULL, &j);
        mem_replace(&last, row.token);
    }
    row_fini(T_TOKEN, &row);
    stmt_reset(s);
    jw_array_close(&j);
    jw_kv_string(&j, "next", more ? last : NULL);
    jw_object_close(&j);
    return rc < 0 ? rc : 200;
}

const struct route token_routes[] = {
    {HTTP_M_GET, "/v1/tokens", ROLE_ADMIN, API_READER, API_BODY_BYTES, false, list_params, COUNT(list_params),
     sizeof(struct list_query), NULL, list_read, NULL, "List the tokens, without their secrets."},
    {HTTP_M_POST, "/v1/tokens", ROLE_ADMIN, API_BRAIN, API_BODY_BYTES, false, NULL, 0, 0, &token_table, NULL,
     create_serve, "Make a token; its secret is in this answer and nowhere else."},
    {HTTP_M_DELETE, "/v1/tokens/{id}", ROLE_ADMIN, API_BRAIN, API_BODY_BYTES, false, NULL, 0, 0, NULL, NULL,
     delete_serve, "Revoke a token."},
    {0},
};
