/* http_conn: inside the connection layer. Only http_server.c, http_conn.c and http_conn_in.c include it.
 *
 * http_conn_in.c   decides what a client's bytes may do: heads, bodies, waiting, refusals
 * http_conn.c      decides what happens next on a connection: answers out, deadlines, life and death
 * http_server.c    decides who may connect, and is the door for the owner
 */
#ifndef SKEP_REAL_HTTP_CONN_H
#define SKEP_REAL_HTTP_CONN_H

#include <event2/event_struct.h>
#include <netinet/in.h>
#include <sys/stat.h>

#include "base/list.h"
#include "real/http_gate.h"
#include "real/http_in.h"
#include "real/http_out.h"
#include "real/http_server.h"
#include "real/stream.h"

#define CONN_MAGIC   0x636f6e6eU
#define SERVER_MAGIC 0x73727672U
#define INDEX_BITS   20 /* of a request's id: its connection's place in http_server.conns */
#define BUFFER_BYTES 65536

struct http_slot {
    TAILQ_ENTRY(http_slot) next;
    uint64_t id;
    struct answer *answer;
    const char *stream_type; /* not NULL: a streamed answer */
    struct str queued;       /* stream bytes, framed, while it is not this slot's turn */
    bool head_only, http_1_0;
    bool close;     /* the connection ends after this answer */
    bool safe;      /* of a request that changes nothing */
    bool delivered; /* the owner knows it: it hears of its end */
    bool head_written, ended, above_low;
};
TAILQ_HEAD(http_slot_list, http_slot);

enum conn_state { CONN_HANDSHAKE, CONN_OPEN, CONN_LINGER };

struct http_conn {
    unsigned magic;
    struct http_server *server;
    uint32_t index;
    enum conn_state state;
    struct stream stream;
    struct event io, timer;
    short watched;
    int depth; /* who is inside; see http_conn_enter */
    bool dead, local, idle, timer_set;
    bool early;    /* its address is too fast: nothing is done for it before state_ms */
    bool served;   /* it has sent a request before */
    bool read_eof; /* the client sends no more */
    bool closing;  /* no request is begun or continued any more */
    bool want_write;
    bool more;      /* the TLS layer holds bytes that we did not ask for yet; the socket will not say so */
    bool head_due;  /* a head is parsed but must wait for its turn */
    bool exclusive; /* a request that may change something is in flight */
    bool receiving; /* a head was handled, the body's end is still to come */
    bool streaming, body_paused, discard;

    struct http_in in;
    uint64_t body_id; /* slot of the request being received */
    struct str body;
    size_t body_max;
    int64_t body_got;
    struct str input;
    size_t input_at;
    struct str out;
    size_t out_at;
    struct http_slot_list slots;
    unsigned slots_n;

    int64_t state_ms, head_ms, body_start_ms, body_ms, wrote_ms, idle_ms; /* since when */
    int64_t timer_at_ms;
    TAILQ_ENTRY(http_conn) idle_link; /* in server.idle, or in server.young until its handshake ends */
    struct http_guest *guest;         /* NULL: the Unix socket */
    size_t out_counted;               /* of stats.out_bytes */
    uint32_t peer_uid, peer_pid;
    char *cert_cn;
    char from[INET6_ADDRSTRLEN + 8];
};
TAILQ_HEAD(http_conn_list, http_conn);

struct http_server {
    unsigned magic;
    struct event_base *base;
    struct http_server_options options;
    struct http_server_callbacks callbacks;
    struct http_server_stats stats;
    SSL_CTX *tls;
    struct evconnlistener *tcp, *local;
    char *local_path;
    dev_t local_dev;
    ino_t local_ino;
    struct event *accept_again, *empty;
    double accept_tokens;
    int64_t accept_at_ms;
    bool draining, silent;
    struct http_conn **conns;
    size_t conns_n, conns_cap;
    uint32_t *free_index;
    size_t free_n, free_cap;
    struct http_conn_list idle, young; /* each the oldest first */
    struct http_gate *gate;
    uint64_t sequence;
    int64_t date_s;
    char date[HTTP_DATE_MAX];
    char buffer[BUFFER_BYTES];
};

int64_t http_now_ms(void);

static inline struct timeval http_timeval(int64_t ms)
{
    return (struct timeval){.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
}

/* ---- http_conn.c ---- */

/* Takes fd. from, guest NULL: the Unix socket. Nothing is done for it before wait_ms are over. */
void http_conn_new(struct http_server *s, int fd, const struct sockaddr *from, struct http_guest *guest,
                   int64_t wait_ms);
/* Around everything that may end in a callback: the connection outlives its innermost user. Leaving settles
 * what is to be done next. */
void http_conn_enter(struct http_conn *c);
void http_conn_leave(struct http_conn *c, int64_t now);
/* Ends the connection at once; owners of requests in flight hear that their client is gone. */
void http_conn_kill(struct http_conn *c);
/* The same after a proper farewell, for one that is idle. */
void http_conn_end(struct http_conn *c);
void http_conn_leave_idle(struct http_conn *c);
/* Since when it waits for its client with nothing of ours under way; INT64_MAX: it does not. */
int64_t http_conn_waits_since_ms(const struct http_conn *c);
void http_conn_drop_body(struct http_conn *c);
/* Before anything is added to the output: from now on the client has time to take it. */
void http_conn_out_begins(struct http_conn *c, int64_t now);
void http_conn_flush(struct http_conn *c, int64_t now);
struct http_slot *http_slot_new(struct http_conn *c);
struct http_slot *http_slot_of(struct http_conn *c, uint64_t id);

/* ---- http_conn_in.c ---- */

/* Handles bytes of the client, or keeps them if they must wait. */
void http_conn_take(struct http_conn *c, const char *bytes, size_t n, int64_t now);
/* Goes on with what had to wait. True: something was done. */
bool http_conn_take_waiting(struct http_conn *c, int64_t now);
/* Whether no further request may be begun, or no more of the body taken, at the moment. */
bool http_conn_blocked(const struct http_conn *c);
/* The layer's own answer to what is being received, or to nothing in particular; the connection ends after.
 */
void http_conn_refuse(struct http_conn *c, struct answer *a TAKES);

#endif
