/* host_door: requests as they come in: who asks, may they, and which thread answers. On the I/O thread.
 *
 * Rights of a connection: a bearer token counts wherever it is shown. Without one, the Unix socket trusts
 * root and skepd's own user, but no process that descends from the keeper; on the TLS port a certificate of
 * the cluster's CA speaks for its node, on the paths of peers only.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "node/relay.h"
#include "real/host_inside.h"
#include "real/machine.h"
#include "real/tls.h"

#define PEER_PATH   "/v1/peer/"
#define PING_PATH   "/v1/peer/ping"
#define PULL_PATH   "/v1/peer/pull"
#define BACKUP_PATH "/v1/backup"

bool host_is_peer_path(const char *path)
{
    return text_starts(path, PEER_PATH);
}

/* ---- who asks ---- */

/* A child has our user id, but is none of ours: it acts through its channel, or with a token, unless
 * worker_role makes it as good as the owner. */
static void local_who(struct host *h, const struct request *r, struct principal *ret)
{
    if (r->peer_uid != 0 && r->peer_uid != geteuid())
        return;
    enum lineage of = machine_lineage((int)r->peer_pid, h->keeper ? keeper_link_pid(h->keeper) : -1);
    bool trusted =
        of == LINEAGE_OTHER || (of == LINEAGE_BELOW && strcmp(h->setup->config.worker_role, "admin") == 0);
    if (!trusted)
        return;
    ret->role = ROLE_ADMIN;
    snprintf(ret->name, sizeof ret->name, "uid:%u", r->peer_uid);
}

static void peer_who(const struct frozen *f, const struct request *r, const char *cn, struct principal *ret)
{
    struct id node;
    if (!host_is_peer_path(r->path) || !id_parse(cn, &node) || id_is_zero(&node) ||
        frozen_forgotten(f, &node))
        return;
    ret->role = ROLE_PEER;
    ret->node = node;
    snprintf(ret->name, sizeof ret->name, "node:%.58s", frozen_name_of(f, cn));
    if (!relay_speaks_for(f, r->path, r->query, ret))
        ret->role = ROLE_NONE;
}

static void who_asks(struct host *h, const struct http_head *head, const struct frozen *f,
                     struct principal *ret)
{
    const struct request *r = head->request;
    if (r->authorization)
        api_token(f, r->authorization, machine_boot_ms() + f->clock_line_ms, ret);
    else if (r->local)
        local_who(h, r, ret);
    else if (head->cert_cn)
        peer_who(f, r, head->cert_cn, ret);
}

/* ---- may they ---- */

static int metrics_allowed(struct host *h, const struct request *r, const struct principal *who,
                           struct err *e)
{
    if (!h->setup->config.metrics_token_required || strcmp(r->path, "/metrics") != 0 ||
        who->role != ROLE_NONE)
        return 0;
    return err_set(e, SKEP_EUNAUTHORIZED,
                   "this node wants a token for its metrics: send \"Authorization: Bearer TOKEN\"");
}

static void authorize(void *ctx, const struct http_head *head, struct principal *ret_who,
                      struct answer **ret_reject)
{
    struct host *h = ctx;
    struct request *r = head->request;
    char allow[64];
    struct err e = {0};
    const struct route *route = r->route = api_find(r->method, r->path, allow, &e);
    if (!route) {
        *ret_reject = api_problem(&e, allow);
        return;
    }
    const struct frozen *f = node_frozen(h->node);
    who_asks(h, head, f, ret_who);
    frozen_unref(f);
    if (api_allowed(route, r->path, ret_who, &e) < 0 || metrics_allowed(h, r, ret_who, &e) < 0)
        *ret_reject = api_problem(&e, NULL);
}

/* After authorize, which has found the route. */
static void head(void *ctx, const struct http_head *head, size_t *ret_body_max, bool *ret_streaming UNUSED,
                 struct answer **ret_reject UNUSED)
{
    struct host *h = ctx;
    const struct route *route = head->request->route;
    const struct config *c = &h->setup->config;
    *ret_body_max = route->role == ROLE_PEER                ? route->body_max
                    : route->body_max == API_BODY_BYTES     ? (size_t)c->body_bytes_max
                    : route->body_max == API_BIG_BODY_BYTES ? (size_t)c->body_large_bytes_max
                                                            : route->body_max;
}

/* ---- who answers ---- */

static void overloaded(struct host *h, uint64_t id)
{
    struct err e;
    err_set(&e, SKEP_EOVERLOADED, "too many requests wait here already; try again, or ask another node");
    http_server_answer(h->server, id, api_problem(&e, NULL));
}

static void to_brain(struct host *h, struct request *r)
{
    uint64_t id = r->id;
    if (r->who.role != ROLE_PEER && host_overloaded(h)) {
        request_free(r);
        overloaded(h, id);
    } else if (!host_post(h, (struct event){.kind = EV_REQUEST, .request = r})) {
        overloaded(h, id);
    }
}

static void to_reader(struct host *h, struct request *r)
{
    uint64_t id = r->id;
    if (!host_read(h, r))
        overloaded(h, id);
}

/* Answered from the frozen view, with the age of the brain's last turn: a wedged brain behind living I/O is
 * not alive. */
static void ping(struct host *h, struct request *r)
{
    struct str body = STR_INIT;
    struct err e = {0};
    const struct frozen *f = node_frozen(h->node);
    int rc = node_serve_ping(f, host_brain_age_ms(h), machine_real_ms(), r->body, r->body_n, &body, &e);
    frozen_unref(f);
    struct answer *a = rc < 0 ? api_problem(&e, NULL) : answer_json(200, &body);
    if (rc == 0) {
        a->content_type = "application/octet-stream";
        host_post(h,
                  (struct event){
                      .kind = EV_PINGED, .node = r->who.node, .bytes = TAKE(r->body), .bytes_n = r->body_n});
    } else {
        str_fini(&body);
    }
    http_server_answer(h->server, r->id, a);
    request_free(r);
}

static void pull(struct host *h, struct request *r)
{
    bool told = host_post(h, (struct event){.kind = EV_PULLED,
                                            .node = r->who.node,
                                            .bytes = mem_copy(r->body, r->body_n),
                                            .bytes_n = r->body_n});
    if (told) {
        to_reader(h, r);
    } else { /* an answer would say that we know what it has */
        overloaded(h, r->id);
        request_free(r);
    }
}

static void here(struct host *h, const struct route *route, struct request *r)
{
    const struct frozen *f = node_frozen(h->node);
    struct reading reading = {NULL, f, machine_real_ms(), host_brain_age_ms(h)};
    http_server_answer(h->server, r->id, api_read(route, r, &reading));
    frozen_unref(f);
    request_free(r);
}

/* ?read=owner: the brain knows who that is. */
static bool asks_owner(const char *query)
{
    static const char word[] = "read=owner";
    for (const char *p = query; p && (p = strstr(p, word)); p += sizeof word - 1)
        if ((p == query || p[-1] == '&') && (p[sizeof word - 1] == 0 || p[sizeof word - 1] == '&'))
            return true;
    return false;
}

static void dispatch(struct host *h, const struct route *route, struct request *r)
{
    switch (asks_owner(r->query) && route->where == API_READER ? API_BRAIN : route->where) {
    case API_IO:
        here(h, route, r);
        return;
    case API_READER:
        to_reader(h, r);
        return;
    case API_BRAIN:
        to_brain(h, r);
        return;
    }
}

static void request(void *ctx, struct request *r TAKES)
{
    struct host *h = ctx;
    log_debug(&h->log, "%s %s by %s", api_method_word(r->method), r->path,
              r->who.name[0] ? r->who.name : "nobody");
    if (strcmp(r->path, PING_PATH) == 0)
        ping(h, r);
    else if (strcmp(r->path, PULL_PATH) == 0)
        pull(h, r);
    else if (strcmp(r->path, BACKUP_PATH) == 0)
        host_backup(h, r);
    else
        dispatch(h, r->route, r);
}

static void empty(void *ctx)
{
    host_drained(ctx);
}

static void gone(void *ctx, uint64_t id)
{
    host_stream_gone(ctx, id);
    host_backup_gone(ctx, id);
}

static void drained(void *ctx, uint64_t id)
{
    host_stream_drained(ctx, id);
    host_backup_drained(ctx, id);
}

/* ---- calls to peers ---- */

static void answered(void *ctx, uint64_t call, int status, char *body TAKES, size_t n)
{
    host_post(ctx,
              (struct event){
                  .kind = EV_PEER_ANSWERED, .call = call, .status = status, .bytes = body, .bytes_n = n});
}

static void failed(void *ctx, uint64_t call, enum net_failure failure, const char *why)
{
    struct host *h = ctx;
    log_debug(&h->log, "call %llu to a peer failed: %s", (unsigned long long)call, why);
    host_post(h, (struct event){.kind = EV_PEER_FAILED, .call = call, .failure = failure});
}

static void closed(void *ctx, struct id node)
{
    host_post(ctx, (struct event){.kind = EV_PEER_CLOSED, .node = node});
}

/* ---- opening ---- */

static int tls_load(const struct config *c, SSL_CTX **ret_server, SSL_CTX **ret_client, struct err *e)
{
    struct tls_files files = {.cert = c->cert, .key = c->key, .ca = c->ca};
    int rc = tls_server_new(&files, ret_server, e);
    if (rc < 0)
        return rc;
    rc = tls_client_new(&files, ret_client, e);
    if (rc < 0)
        tls_free(*ret_server);
    return rc;
}

int host_door_tls(struct host *h, struct err *e)
{
    SSL_CTX *server, *client;
    int rc = tls_load(&h->setup->config, &server, &client, e);
    if (rc < 0)
        return rc;
    http_server_set_tls(h->server, server);
    http_client_set_tls(h->client, client);
    tls_free(server);
    tls_free(client);
    return 0;
}

static int listen_all(struct host *h, SSL_CTX *tls, struct err *e)
{
    AUTOFREE char *host = NULL;
    uint16_t port = setup_listen(h->setup, &host);
    int rc = http_server_listen_tls(h->server, host, port, tls, e);
    return rc < 0 ? rc : http_server_listen_unix(h->server, h->setup->config.socket, e);
}

int host_door_open(struct host *h, struct err *e)
{
    const struct config *c = &h->setup->config;
    const struct http_server_callbacks server_calls = {.ctx = h,
                                                       .authorize = authorize,
                                                       .head = head,
                                                       .request = request,
                                                       .gone = gone,
                                                       .drained = drained,
                                                       .empty = empty};
    const struct http_client_options ordinary = {0};
    const struct http_client_callbacks client_calls = {
        .ctx = h, .answered = answered, .failed = failed, .closed = closed};
    const struct http_server_options options = {.connections_max = (size_t)c->connections_max,
                                                .address_connections_max = (size_t)c->connections_address_max,
                                                .accepts_per_s = (unsigned)c->accepts_per_s,
                                                .address_accepts_per_s = (unsigned)c->accepts_address_per_s,
                                                .head_bytes_max = (size_t)c->header_bytes_max,
                                                .handshake_ms = c->head_ms,
                                                .head_ms = c->head_ms,
                                                .idle_ms = c->idle_ms};
    SSL_CTX *server, *client;
    int rc = tls_load(c, &server, &client, e);
    if (rc < 0)
        return rc;
    h->server = http_server_new(loop_base(h->loop), &options, &server_calls);
    h->client = http_client_new(loop_base(h->loop), &ordinary, &client_calls, client);
    rc = listen_all(h, server, e);
    tls_free(server);
    tls_free(client);
    return rc;
}
