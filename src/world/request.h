/* A request as it reaches a node, and the one answer it gets. The same for clients, peers and workers.
 *
 * Owned by whoever handles it; request_free and answer_free accept NULL.
 */
#ifndef SKEP_WORLD_REQUEST_H
#define SKEP_WORLD_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/id.h"
#include "base/mem.h"

enum req_method {
    HTTP_M_GET,
    HTTP_M_HEAD,
    HTTP_M_PUT,
    HTTP_M_POST,
    HTTP_M_PATCH,
    HTTP_M_DELETE,
    HTTP_M_OTHER
};

enum role { ROLE_NONE, ROLE_READ, ROLE_WRITE, ROLE_ADMIN, ROLE_PEER };

/* Who asks. */
struct principal {
    enum role role;
    char name[64];  /* for the audit: token's name, "uid:1000", node's name, "worker:swarm/name" */
    char *swarm;    /* scope: may act in this swarm only; NULL = everywhere. Owned. */
    struct id node; /* the peer's node id, from its certificate; only with ROLE_PEER */
};

struct route;

struct request {
    const struct route *route; /* once found: api/ knows what it is. NULL = not looked for yet */
    uint64_t id;               /* of the connection layer; answered exactly once under it */
    enum req_method method;
    char *path;  /* as it came: percent-encoded, without query */
    char *query; /* without '?', or NULL */
    char *authorization, *if_match, *idempotency_key, *last_event_id, *accept; /* header values or NULL */
    char *body; /* never NULL once complete; has a 0 byte behind it */
    size_t body_n;
    struct principal who;
    bool local;                  /* came over the Unix socket */
    uint32_t peer_uid, peer_pid; /* of the Unix socket's other end, with local */
    int64_t arrived_boot_ms;
};

struct answer {
    int status;               /* HTTP status */
    const char *content_type; /* static string; NULL = application/json */
    char *body;               /* owned; may be NULL */
    size_t body_n;
    char etag[32];     /* without quotes; "" = none */
    char allow[64];    /* for 405; "" = none */
    int retry_after_s; /* 0 = none */
    bool close;        /* close the connection afterwards */
};

void request_free(struct request *r);
void answer_free(struct answer *a);

#endif
