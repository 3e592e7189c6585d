/* api: finds the route of a request, says who may, reads its arguments, and runs its handler. Knows no
 * resource. */
#include "api/api.h"

#include <stdio.h>
#include <string.h>

#include "node/child.h"
#include "node/session.h"
#include "node/settings.h"
#include "wire/digest.h"

static const char *const method_words[] = {"GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OTHER"};

const char *api_method_word(enum req_method m)
{
    return method_words[m];
}

/* ---- finding ---- */

/* One segment of a pattern against one of a path, both up to '/' or the end. Advances both when they match.
 * Every request is held against every route: the first byte that differs ends it. */
static bool segment_matches(const char **pattern, const char **path)
{
    const char *p = *pattern, *q = *path;
    if (*p == '{') {
        p = strchrnul(p, '/');
        q = strchrnul(q, '/');
        if (q == *path)
            return false;
    } else {
        while (*p && *p != '/' && *p == *q)
            p++, q++;
        if ((*p && *p != '/') || (*q && *q != '/'))
            return false;
    }
    *pattern = p;
    *path = q;
    return true;
}

static bool path_matches(const char *pattern, const char *path)
{
    while (*pattern == '/' && *path == '/') {
        pattern++;
        path++;
        if (!segment_matches(&pattern, &path))
            return false;
    }
    return *pattern == 0 && *path == 0;
}

static void allow_add(char allow[64], const char *word)
{
    size_t n = strlen(allow);
    snprintf(allow + n, 64 - n, "%s%s", n ? ", " : "", word);
}

const struct route *api_find(enum req_method method, const char *path, char ret_allow[64], struct err *e)
{
    if (method == HTTP_M_HEAD)
        method = HTTP_M_GET;
    ret_allow[0] = 0;
    for (const struct route *const *list = api_routes; *list; list++)
        for (const struct route *r = *list; r->path; r++) {
            if (!path_matches(r->path, path))
                continue;
            if (r->method == method)
                return r;
            allow_add(ret_allow, method_words[r->method]);
            if (r->method == HTTP_M_GET)
                allow_add(ret_allow, "HEAD");
        }
    if (ret_allow[0])
        err_set(e, SKEP_EMETHOD, "this path takes %s; GET /v1/openapi.json describes every path", ret_allow);
    else
        err_set(e, SKEP_ENOTFOUND, "there is no path %.200s; GET /v1/openapi.json describes every path",
                path);
    return NULL;
}

/* ---- rights ---- */

static const char *const role_words[] = {"none", "read", "write", "admin", "peer"};

/* The swarm in the path, decoded; yours. */
static char *swarm_of(const struct route *route, const char *path)
{
    CLEANUP(uri_path_fini) struct uri_path p = {0};
    if (!route->swarm_scoped || uri_path_parse(path, &p, NULL) < 0 || p.n < 3)
        return NULL;
    return mem_dup(p.segments[2]);
}

int api_allowed(const struct route *route, const char *path, const struct principal *who, struct err *e)
{
    if (route->role == ROLE_NONE)
        return 0;
    if (who->role == ROLE_NONE)
        return err_set(e, SKEP_EUNAUTHORIZED,
                       "send \"Authorization: Bearer TOKEN\", or a client certificate of this "
                       "cluster");
    if ((route->role == ROLE_PEER) != (who->role == ROLE_PEER) || who->role < route->role)
        return err_set(e, SKEP_EFORBIDDEN, "this needs the role %s; these credentials have the role %s",
                       role_words[route->role], role_words[who->role]);
    if (!who->swarm || route->role == ROLE_READ)
        return 0;
    AUTOFREE char *swarm = swarm_of(route, path);
    if (!swarm || strcmp(swarm, who->swarm) != 0)
        return err_set(e, SKEP_EFORBIDDEN, "these credentials may change things in swarm %s only",
                       who->swarm);
    return 0;
}

bool api_token(const struct frozen *f, const char *authorization, int64_t now_real_ms, struct principal *ret)
{
    static const char bearer[] = "bearer ";
    unsigned char sum[DIGEST_BYTES];
    AUTOSTR struct str hex = STR_INIT;
    if (!authorization || strncasecmp(authorization, bearer, sizeof bearer - 1) != 0)
        return false;
    const char *secret = authorization + sizeof bearer - 1;
    digest_sha256(secret, strlen(secret), sum);
    str_hex(&hex, sum, sizeof sum);
    for (int i = 0; i < f->tokens_n; i++) {
        const struct frozen_token *t = &f->tokens[i];
        if (!t->hash || strcmp(t->hash, str_get(&hex)) != 0 ||
            (t->expires_at_ms && t->expires_at_ms <= now_real_ms))
            continue;
        for (int role = ROLE_READ; role <= ROLE_ADMIN; role++)
            if (t->role && strcmp(t->role, role_words[role]) == 0)
                ret->role = (enum role)role;
        if (ret->role == ROLE_NONE)
            return false;
        snprintf(ret->name, sizeof ret->name, "token:%.50s", t->name && *t->name ? t->name : t->token);
        text_whole(ret->name); /* it becomes a part of keys */
        ret->swarm = mem_dup(t->swarm);
        return true;
    }
    return false;
}

/* ---- arguments ---- */

#define IDEM_KEY_MAX 255
#define TIMEOUT_MS   30000

static const char *const read_words[] = {"local", "owner", NULL};

struct common_query {
    int64_t timeout_ms, acks;
    int read;
};

static const struct uri_param common_params[] = {
    {.name = "timeout_ms",
     .kind = URI_INT,
     .offset = offsetof(struct common_query, timeout_ms),
     .max = 3600000},
    {.name = "acks", .kind = URI_INT, .offset = offsetof(struct common_query, acks), .min = 1, .max = 1000},
    {.name = "read", .kind = URI_WORD, .offset = offsetof(struct common_query, read), .words = read_words},
};

static int parse_query(const struct route *route, const struct request *r, struct call *c, struct err *e)
{
    struct common_query q = {.timeout_ms = -1};
    struct uri_table tables[2] = {{common_params, COUNT(common_params), &q},
                                  {route->query, route->query_n, NULL}};
    c->query = mem_alloc(route->query_bytes);
    tables[1].ret = c->query;
    int rc = uri_query(r->query, tables, route->query_n ? 2 : 1, e);
    c->common = (struct common){.timeout_ms = q.timeout_ms < 0 ? TIMEOUT_MS : q.timeout_ms,
                                .timeout_said = q.timeout_ms >= 0,
                                .acks = q.acks,
                                .read_owner = q.read == 1};
    return rc;
}

static int parse_params(const struct route *route, struct call *c, struct err *e)
{
    const char *p = route->path;
    size_t count = 0;
    for (size_t i = 0; i < c->path.n && *p == '/'; i++) {
        p++;
        size_t n = strcspn(p, "/");
        if (*p == '{') {
            char field[32];
            snprintf(field, sizeof field, "%.*s", (int)n - 2, p + 1);
            int rc = name_check(c->path.segments[i], strlen(c->path.segments[i]), field, e);
            if (rc < 0)
                return rc;
            c->param[count++] = c->path.segments[i];
        }
        p += n;
    }
    return 0;
}

/* A body that a route has no fields for: nothing, or {}. What peers send is not JSON. */
static int no_body(const struct route *route, const struct request *r, struct err *e)
{
    static const struct json_table none = {.bytes = 1};
    char nothing;
    return r->body_n && route->role != ROLE_PEER ? json_read(r->body, r->body_n, &none, &nothing, e) : 0;
}

int api_parse(const struct route *route, const struct request *r, struct call *ret, struct err *e)
{
    *ret = (struct call){.route = route, .request = r};
    int rc = uri_path_parse(r->path, &ret->path, e);
    if (rc == 0)
        rc = parse_params(route, ret, e);
    if (rc == 0)
        rc = parse_query(route, r, ret, e);
    if (rc < 0 || !route->body)
        return rc < 0 ? rc : no_body(route, r, e);
    ret->body = mem_alloc(route->body->bytes);
    if (route->body->defaults)
        memcpy(ret->body, route->body->defaults, route->body->bytes);
    return json_read(r->body, r->body_n, route->body, ret->body, e);
}

void call_fini(struct call *c)
{
    uri_path_fini(&c->path);
    if (c->route && c->query && c->route->query_n) {
        struct uri_table t = {c->route->query, c->route->query_n, c->query};
        uri_query_fini(&t, 1);
    }
    free(c->query);
    if (c->body)
        json_release(c->route->body, c->body);
    free(c->body);
    *c = (struct call){0};
}

static void call_free(void *arg)
{
    call_fini(arg);
    free(arg);
}

/* ---- serving ---- */

struct answer *api_problem(const struct err *e, const char *allow)
{
    struct str s = STR_INIT;
    json_problem(&s, e, (struct span){NULL, 0});
    struct answer *a = answer_json(err_info(e->code)->http, &s);
    a->content_type = "application/problem+json";
    a->retry_after_s = a->status == 503 || a->status == 429;
    snprintf(a->allow, sizeof a->allow, "%s", allow ? allow : "");
    return a;
}

static struct answer *run_read(const struct call *c, const struct reading *reading)
{
    struct answer head = {.status = 200};
    struct err e = {0};
    struct str body = STR_INIT;
    int rc = reading->store ? store_read_begin(reading->store, &e) : 0;
    if (rc == 0)
        rc = c->route->read(c, reading, &body, &head, &e);
    if (reading->store)
        store_read_end(reading->store);
    if (rc < 0) {
        str_fini(&body);
        e.code = rc;
        return api_problem(&e, NULL);
    }
    struct answer *a = answer_json(rc ? rc : 200, &body);
    a->content_type = head.content_type;
    memcpy(a->etag, head.etag, sizeof a->etag);
    a->retry_after_s = head.retry_after_s;
    return a;
}

struct answer *api_read(const struct route *route, const struct request *r, const struct reading *reading)
{
    CLEANUP(call_fini) struct call c;
    struct err e;
    if (api_parse(route, r, &c, &e) < 0)
        return api_problem(&e, NULL);
    return run_read(&c, reading);
}

/* What is wrong with a key that came before: NULL, it is a repeat. An answer about what has ended since, and
 * was made again, would be taken for one about what is there now. */
static int key_reused(struct node *n, const struct request *r, const struct idem_row *row,
                      const char **ret_why)
{
    AUTOFREE char *request = op_idem_request(r);
    struct stamp stamp = {0};
    bool same = row->request && strcmp(row->request, request) == 0;
    int rc = same ? store_version(n->store, T_IDEM, row, &stamp, NULL, &n->fault) : 0;
    if (rc == 1)
        rc = session_had_before(n, r->path, stamp.hlc);
    *ret_why = !same ? "another request" : rc == 1 ? "this request, to a former session of this id," : NULL;
    return rc < 0 ? rc : 0;
}

static int replay_kept(struct node *n, struct op *op, const struct idem_row *row)
{
    const char *why;
    int rc = key_reused(n, op->request, row, &why);
    if (rc < 0)
        return rc;
    op->replayed = true;
    if (why) {
        struct err e;
        err_field(&e, SKEP_EKEYREUSED, "Idempotency-Key",
                  "this key came with %s before; a new request needs a new key", why);
        op_fail(n, op, &e, (struct span){NULL, 0});
    } else {
        struct str body = STR_INIT;
        str_puts(&body, row->answer ? row->answer : "");
        op_answer(n, op, answer_json((int)row->status, &body));
    }
    return 1;
}

/* A repeat of a request whose answer was kept: 1 if it was answered here. */
static int replay(struct node *n, struct op *op)
{
    const struct request *r = op->request;
    if (!r->idempotency_key || r->method == HTTP_M_GET || op->st.remembered)
        return 0;
    struct idem_row row = {.key = op_idem_key(r)};
    int rc = store_load(n->store, T_IDEM, &row, &n->fault);
    if (rc == 1)
        rc = replay_kept(n, op, &row);
    row_fini(T_IDEM, &row);
    return rc;
}

int api_fail(struct node *n, struct op *op, const struct err *e)
{
    op_fail(n, op, e, (struct span){NULL, 0});
    return 0;
}

static struct answer *with_copies(int status, struct str *body TAKES, const char *etag)
{
    struct str s = STR_INIT;
    str_puts(&s, "{\"copies\":@");
    str_puts(&s, body->n > 2 ? "," : "");
    str_add(&s, body->p + 1, body->n - 1);
    str_fini(body);
    struct answer *a = answer_json(status, &s);
    snprintf(a->etag, sizeof a->etag, "%s", etag ? etag : "");
    return a;
}

void api_answer_copies(struct node *n, struct op *op, int status, struct str *body TAKES, const char *etag,
                       int64_t hlc, int need)
{
    op_answer_covered(n, op, hlc, need, with_copies(status, body, etag));
}

void api_answer_owned(struct node *n, struct op *op, int status, struct str *body TAKES, const char *etag,
                      int64_t hlc, int need)
{
    op_answer_owned(n, op, hlc, need, with_copies(status, body, etag));
}

int api_match(const struct request *r, int64_t rev, struct err *e)
{
    if (!r->if_match || strcmp(r->if_match, "*") == 0)
        return 0;
    const char *p = r->if_match;
    size_t n = strlen(p);
    if (n > 1 && p[0] == '"' && p[n - 1] == '"') {
        p++;
        n -= 2;
    }
    char now[32];
    snprintf(now, sizeof now, "%lld", (long long)rev);
    if (strlen(now) == n && memcmp(now, p, n) == 0)
        return 0;
    return err_field(e, SKEP_ECONFLICT, "If-Match", "its rev is %s now; read it again and decide anew", now);
}

bool api_is_itself(struct node *n, const struct op *op, const char *swarm, const char *name)
{
    const struct child *child = child_find(n, swarm, name);
    return op->source == OP_WORKER && child && child->s.run == op->run;
}

bool api_may_change(struct node *n, const struct op *op, const char *swarm, const char *name,
                    const char *what, struct err *e)
{
    if (op->request->who.role >= ROLE_ADMIN || !node_settings(n, swarm)->strict ||
        api_is_itself(n, op, swarm, name))
        return true;
    err_set(e, SKEP_EFORBIDDEN, "the swarm %s is strict: only %s itself %s, by its channel, or an admin",
            swarm, name, what);
    return false;
}

bool api_swarm_exists(struct store *s, const char *swarm, struct err *e)
{
    if (strcmp(swarm, "default") == 0)
        return true;
    struct swarm_row row = {.swarm = mem_dup(swarm)};
    bool found = store_load(s, T_SWARM, &row, NULL) == 1;
    row_fini(T_SWARM, &row);
    if (!found)
        err_field(e, SKEP_ENOTFOUND, "swarm", "there is no swarm %s; PUT /v1/swarms/{swarm} makes one",
                  swarm);
    return found;
}

int api_swarm_known(struct node *n, struct op *op, const char *swarm)
{
    struct err e;
    if (api_swarm_exists(n->store, swarm, &e))
        return 1;
    if (op->source == OP_PEER)
        op_retry(n, op); /* who sent it on knows the swarm: this node is behind, and soon is not */
    else if (!node_open_now(n))
        op_wait_open(n, op); /* a new node has heard of none yet */
    else
        return api_fail(n, op, &e);
    return 0;
}

static void show_now(struct node *n, void *arg UNUSED)
{
    node_settings_merged(n);
    node_publish(n);
}

void api_show_soon(struct node *n)
{
    eff_do(n, show_now, NULL, NULL);
}

/* A part of a row's key, on every node. */
static int check_key(const struct request *r, struct err *e)
{
    const char *key = r->idempotency_key;
    if (!key || (*key && strlen(key) <= IDEM_KEY_MAX && text_is_clean(key, strlen(key))))
        return 0;
    return err_field(e, SKEP_EARG, "Idempotency-Key",
                     "must be 1 to %d bytes of UTF-8 without control characters", IDEM_KEY_MAX);
}

/* The first run of an op: its route, rights (a peer's forward carries them) and arguments. */
static int prepare(struct node *n, struct op *op, struct err *e)
{
    char allow[64];
    const struct request *r = op->request;
    const struct route *route = r->route ? r->route : api_find(r->method, r->path, allow, e);
    if (!route)
        return e->code;
    int rc = api_allowed(route, r->path, &r->who, e);
    if (rc == 0)
        rc = check_key(r, e);
    if (rc < 0)
        return rc;
    struct call *c = mem_alloc(sizeof *c);
    op->args = c;
    op->args_free = call_free;
    rc = api_parse(route, r, c, e);
    op->acks = (int)c->common.acks;
    if (op->source != OP_PEER && rc == 0)
        op->deadline_ms = n->now_ms + c->common.timeout_ms;
    return rc;
}

/* Who answers ?read=owner: the owner of the name in the path, or the home of one nobody owns. */
static bool owner_of(struct node *n, const struct call *c, struct id *ret)
{
    bool session = c->path.n >= 2 && strcmp(c->path.segments[1], "sessions") == 0;
    if (!session && (!c->route->swarm_scoped || !c->param[1]))
        return false;
    const char *swarm = session ? "" : c->param[0], *name = session ? c->param[0] : c->param[1];
    if (!name)
        return false;
    struct name_row row = {.swarm = mem_dup(swarm), .name = mem_dup(name)};
    *ret = own_home(n, swarm, name);
    if (store_load(n->store, T_NAME, &row, NULL) == 1 && row.owner)
        id_parse(row.owner, ret);
    row_fini(T_NAME, &row);
    return true;
}

/* A read that came to the brain: a worker's, or ?read=owner. */
static int read_here(struct node *n, struct op *op, const struct call *c)
{
    struct id to;
    bool asked = c->common.read_owner && owner_of(n, c, &to);
    if (asked && !node_open_now(n)) { /* who was away may be behind, and believe to be asked */
        op_wait_open(n, op);
        return 0;
    }
    if (asked && !id_equal(&to, &n->self)) {
        if (op->source ==
            OP_PEER) /* who forwarded it knows of another owner, or of none: one of us is behind */
            op_retry(n, op);
        else
            op_forward(n, op, &to, true);
        return 0;
    }
    const struct frozen *f = node_frozen(n);
    struct reading reading = {n->store, f, n->real_ms, 0};
    struct answer head = {.status = 200};
    struct err e = {0};
    struct str body = STR_INIT;
    int rc = c->route->read(c, &reading, &body, &head, &e);
    frozen_unref(f);
    if (rc < 0) {
        str_fini(&body);
        e.code = rc;
        return api_fail(n, op, &e);
    }
    struct answer *a = answer_json(rc ? rc : 200, &body);
    a->content_type = head.content_type;
    memcpy(a->etag, head.etag, sizeof a->etag);
    op_answer(n, op, a);
    return 0;
}

int api_serve(struct node *n, struct op *op)
{
    struct err e;
    bool first = !op->args;
    if (first && prepare(n, op, &e) < 0)
        return api_fail(n, op, &e);
    int rc = replay(n, op); /* also of one that came while this one waited */
    if (rc != 0)
        return rc < 0 ? rc : 0;
    if (first) {
        if (room_refuses(n, op->request->method, op->request->path, &e) < 0) {
            node_touch(n, &n->counters.disk_full, sizeof n->counters.disk_full);
            n->counters.disk_full++;
            return api_fail(n, op, &e);
        }
        if (((const struct call *)op->args)->route->method != HTTP_M_GET && watch_frozen(n)) {
            watch_refuse(n, &e);
            return api_fail(n, op, &e);
        }
    }
    const struct call *c = op->args;
    if (c->route->serve)
        return c->route->serve(n, op, c);
    return read_here(n, op, c);
}
