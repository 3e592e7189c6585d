/* api: the HTTP surface. One table of routes; from it come dispatch, limits, rights, OpenAPI and the test
 * list.
 *
 * A request is looked up once (api_find), by the I/O thread, which learns from the route who may call it, how
 * large its body may be and where it is served: IO (from the frozen view alone), READER (a read-only store
 * and the frozen view) or BRAIN (an operation: node/brain.h). The same handlers serve clients, peers'
 * forwards and workers.
 */
#ifndef SKEP_API_API_H
#define SKEP_API_API_H

#include "node/brain.h"
#include "wire/json.h"
#include "wire/uri.h"

#define API_PARAMS_MAX     4
#define API_BODY_BYTES     (1u << 20)
#define API_BIG_BODY_BYTES (16u << 20)
#define API_LIST_LIMIT     100 /* of a list, unless ?limit= says more */
#define API_LIST_MAX       1000
#define API_LIST_BYTES     (16u << 20) /* a page that is longer ends, whatever its limit */

enum api_where { API_IO, API_READER, API_BRAIN };

/* Query parameters that any route takes. */
struct common {
    int64_t timeout_ms; /* 30000 unless said */
    bool timeout_said;
    int64_t acks;    /* 0: not said */
    bool read_owner; /* ?read=owner */
};

struct route;

/* A request on its way through a handler: what was in the path, the query and the body. */
struct call {
    const struct route *route;
    const struct request *request;     /* borrowed */
    struct uri_path path;              /* owned */
    const char *param[API_PARAMS_MAX]; /* the path's variables in order, decoded; borrowed from path */
    struct common common;
    void *query; /* route->query_bytes, filled by route->query; owned */
    void *body;  /* route->body->bytes, filled by route->body; owned; NULL without a table */
};

struct reading {
    struct store *store;         /* NULL for API_IO */
    const struct frozen *frozen; /* never NULL */
    int64_t now_real_ms, brain_age_ms;
};

struct route {
    enum req_method method;
    const char *path; /* "/v1/swarms/{swarm}/children/{name}" */
    enum role role;   /* least role; ROLE_NONE: no credentials needed */
    enum api_where where;
    size_t body_max;
    bool swarm_scoped; /* the first variable is a swarm: a scoped token must match it */
    const struct uri_param *query;
    size_t query_n, query_bytes;
    const struct json_table *body;
    /* API_IO and API_READER: appends the JSON body, returns the status, or a code (< 0) with e filled. May
     * set etag in *ret (an empty answer). */
    int (*read)(const struct call *c, const struct reading *r, struct str *body, struct answer *ret,
                struct err *e);
    /* API_BRAIN: inside a handler of the brain; ends or parks the op. 0, or a store's failure. A bad argument
     * is answered with op_fail. */
    int (*serve)(struct node *n, struct op *op, const struct call *c);
    const char *about; /* one sentence */
};

extern const struct route *const api_routes[]; /* one array per file of handlers, NULL-terminated */
size_t api_routes_n(void);
const struct route *api_route_at(size_t i);

/* The route of a method and raw path; NULL with e (404; or 405, and then allow names the methods). HEAD finds
 * GET. */
const struct route *api_find(enum req_method method, const char *path, char ret_allow[64], struct err *e);
/* Whether this principal may call it at all; scope of swarms included. */
int api_allowed(const struct route *route, const char *path, const struct principal *who, struct err *e);
/* Who presents this bearer token, by the frozen view. false: nobody. */
bool api_token(const struct frozen *f, const char *authorization, int64_t now_real_ms, struct principal *ret);
/* Parses path, query and body by the route's tables. */
int api_parse(const struct route *route, const struct request *r, struct call *ret, struct err *e);
void call_fini(struct call *c);

/* Serves an API_IO or API_READER request: always an answer of yours. */
struct answer *api_read(const struct route *route, const struct request *r, const struct reading *reading);
/* node_options.serve. */
int api_serve(struct node *n, struct op *op);
const char *api_method_word(enum req_method m);
/* Ends the op with this error; returns 0, for handlers to return. */
int api_fail(struct node *n, struct op *op, const struct err *e);
/* 200 or 201 with a body, once `need` other nodes have what was written up to hlc. "copies" is put in front
 * of the object's members. */
void api_answer_copies(struct node *n, struct op *op, int status, struct str *body TAKES, const char *etag,
                       int64_t hlc, int need);
/* The same of a claim or its end: op_answer_owned. */
void api_answer_owned(struct node *n, struct op *op, int status, struct str *body TAKES, const char *etag,
                      int64_t hlc, int need);
/* Brings an op about one name (its row as it is here; child: there is a process of that name) to who decides
 * about it. 1: we do, as the owner of the process. 2: we do, as the open home: there is no process. 3: its
 * owner is gone, and no other node may take it. 0: it is under way. again: it may be sent twice. */
int api_to_owner(struct node *n, struct op *op, const struct name_row *name, bool child, bool again);
/* Ends the op: nobody may take the process of that claim. Returns 0. */
int api_homeless(struct node *n, struct op *op, const struct name_row *name);
/* If-Match of the request against this rev. */
int api_match(const struct request *r, int64_t rev, struct err *e);
/* Whether the request is this process's own, by the channel of its run. On the node where it runs. */
bool api_is_itself(struct node *n, const struct op *op, const char *swarm, const char *name);
/* In a strict swarm the process itself writes its entry; and an admin, who may have to mend it. what: for the
 * error, "changes its metadata". */
bool api_may_change(struct node *n, const struct op *op, const char *swarm, const char *name,
                    const char *what, struct err *e);
/* After a handler that changed nodes, tokens or swarms: the threads that answer reads know of it before the
 * answer leaves. Call before the op is answered. */
void api_show_soon(struct node *n);
/* Whether a hook for this type of event, or pattern of types, may ever be called. */
bool api_event_named(const char *pattern);
/* Whether a swarm of this name exists (the default one always does). */
bool api_swarm_exists(struct store *s, const char *swarm, struct err *e);
/* The same for an operation: 1, or 0 and the op is taken care of. */
int api_swarm_known(struct node *n, struct op *op, const char *swarm);
/* The op is on the node that it is about: 1; otherwise it is on its way there, or answered: 0. */
int api_at_node(struct node *n, struct op *op, const char *node);
/* The problem document of an error as an answer. */
struct answer *api_problem(const struct err *e, const char *allow);

/* ---- resources as JSON (show.c), for reads and for the answers of operations ---- */

/* Appends the child object. 1, 0 if there is no such child, < 0. */
int show_child(struct store *s, const struct frozen *f, const char *swarm, const char *name, struct jw *j,
               char ret_rev[32], struct err *e);
/* What is known of its state: the claim's owner, actor and epoch, and the newest word of an owner. */
struct child_facts {
    const char *owner, *status; /* borrowed; NULL: nobody, nothing was said */
    int64_t owner_actor, epoch, status_epoch;
};
/* Its status: as its owner said it of this claim; "stopped" where that owner is gone and nobody has taken it;
 * "starting" where nobody has said anything. */
const char *show_status(const struct child_facts *c, const struct frozen *f);
/* The specification of a child, with what it leaves to its swarm filled in. */
void show_spec(struct store *s, const char *swarm, const char *kept, struct str *ret);
/* The same as it will be once nothing of it runs: with this status, without a process. */
int show_child_as(struct store *s, const struct frozen *f, const char *swarm, const char *name,
                  const char *ended, struct jw *j, char ret_rev[32], struct err *e);
/* What If-Match compares: the stamps of the claim and the metadata, added up. */
int show_rev(struct store *s, const char *swarm, const char *name, int64_t *ret, struct err *e);
/* The members of another name of a process, in an object that is open. */
void show_alias_members(const struct name_row *row, int64_t rev, struct jw *j);
/* Appends the external name's object. expires_ms: 0 = as its row says. */
int show_address(const struct name_row *row, int64_t expires_ms, int64_t rev, struct jw *j);
int show_session(struct store *s, const struct frozen *f, const char *session, struct jw *j, struct err *e);
void show_event(struct stmt *q, const char *node, struct jw *j); /* a row of Q_LOG_* */

#endif
