/* http_client: the peers that were called of late, each with its lanes; what becomes of a call there is
 * http_lane.c's.
 */
#include "real/http_client.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/ensure.h"
#include "real/http_lane.h"
#include "real/tls.h"

#define BURST_S   3     /* of connections to all peers */
#define FORGET_MS 60000 /* a failure that is older says nothing any more */

/* ---- peers ---- */

static bool part_of(const char *url, const struct http_parser_url *u, int field, char *ret, size_t size)
{
    size_t n = u->field_data[field].len;
    if (!(u->field_set & (1U << field)) || n >= size)
        return false;
    memcpy(ret, url + u->field_data[field].off, n);
    ret[n] = 0;
    return true;
}

static bool peer_parse_url(struct peer *p)
{
    struct http_parser_url u;
    char scheme[8];
    http_parser_url_init(&u);
    return http_parser_parse_url(p->url, strlen(p->url), 0, &u) == 0 &&
           part_of(p->url, &u, UF_SCHEMA, scheme, sizeof scheme) && strcmp(scheme, "https") == 0 &&
           part_of(p->url, &u, UF_HOST, p->host, sizeof p->host) &&
           part_of(p->url, &u, UF_PORT, p->port, sizeof p->port);
}

static void peer_free(struct peer *p)
{
    for (size_t i = 0; i < NET_LANES; i++)
        lane_fini(&p->lanes[i]);
    TAILQ_REMOVE(&p->client->peers, p, next);
    free(p->url);
    free(p);
}

static struct peer *peer_get(struct http_client *k, const char *url, const struct id *node)
{
    struct peer *p;
    TAILQ_FOREACH (p, &k->peers, next)
        if (id_equal(&p->node, node) && strcmp(p->url, url) == 0)
            return p;
    p = mem_alloc(sizeof *p);
    p->client = k;
    p->node = *node;
    p->url = mem_dup(url);
    p->valid = peer_parse_url(p);
    p->connects = bucket_init(k->options.connects_per_s, 1);
    for (size_t i = 0; i < NET_LANES; i++)
        lane_init(&p->lanes[i], p, (enum net_lane)i);
    TAILQ_INSERT_TAIL(&k->peers, p, next);
    return p;
}

/* Nothing is lost with it: no connection, no call, a full bucket, no failure to remember. */
static bool peer_is_spare(const struct peer *p, int64_t now)
{
    for (size_t i = 0; i < NET_LANES; i++)
        if (!lane_is_spare(&p->lanes[i]))
            return false;
    return now - p->connects.at_ms > 1000 && (p->failures == 0 || now - p->failed_at_ms > FORGET_MS);
}

static void on_kick(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
    struct http_client *k = arg;
    struct lane_list due = TAILQ_HEAD_INITIALIZER(due);
    struct lane *l;
    TAILQ_CONCAT(&due, &k->kicked, kick_link);
    while ((l = TAILQ_FIRST(&due))) {
        TAILQ_REMOVE(&due, l, kick_link);
        l->kicked = false;
        lane_work(l);
    }
    struct peer *p, *next;
    int64_t now = lane_now_ms();
    TAILQ_FOREACH_SAFE(p, &k->peers, next, next)
    if (peer_is_spare(p, now))
        peer_free(p);
}

/* ---- the client ---- */

static struct evdns_base *resolver(struct event_base *base)
{
    struct evdns_base *dns =
        evdns_base_new(base, EVDNS_BASE_INITIALIZE_NAMESERVERS | EVDNS_BASE_DISABLE_WHEN_INACTIVE);
    if (!dns) { /* no resolv.conf: numbers and /etc/hosts still work */
        dns = evdns_base_new(base, EVDNS_BASE_DISABLE_WHEN_INACTIVE);
        ensure(dns, "libevent cannot make a resolver");
        evdns_base_load_hosts(dns, "/etc/hosts");
    }
    return dns;
}

struct http_client *http_client_new(struct event_base *base, const struct http_client_options *options,
                                    const struct http_client_callbacks *callbacks, SSL_CTX *tls)
{
    struct http_client *k = mem_alloc(sizeof *k);
    k->base = base;
    k->options = *options;
    k->options.answer_bytes_max = options->answer_bytes_max ? options->answer_bytes_max : 32U << 20;
    k->options.connects_per_s = options->connects_per_s ? options->connects_per_s : 10;
    k->options.all_connects_per_s = options->all_connects_per_s ? options->all_connects_per_s : 10;
    k->options.backoff_ms = options->backoff_ms ? options->backoff_ms : 100;
    k->connects = bucket_init(k->options.all_connects_per_s, BURST_S);
    prng_init(&k->prng, (uint64_t)lane_now_ms() ^ (uint64_t)(uintptr_t)k ^ (uint64_t)getpid() << 32);
    k->options.connect_ms = options->connect_ms ? options->connect_ms : 2000;
    k->options.idle_ms = options->idle_ms ? options->idle_ms : 60000;
    k->callbacks = *callbacks;
    k->dns = resolver(base);
    TAILQ_INIT(&k->peers);
    TAILQ_INIT(&k->kicked);
    k->kick = evtimer_new(base, on_kick, k);
    ensure(k->kick, "libevent takes no more events");
    http_client_set_tls(k, tls);
    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes with write() */
    return k;
}

void http_client_free(struct http_client *k)
{
    if (!k)
        return;
    while (!TAILQ_EMPTY(&k->peers))
        peer_free(TAILQ_FIRST(&k->peers));
    event_free(k->kick);
    evdns_base_free(k->dns, 1);
    tls_free(k->tls);
    free(k);
}

void http_client_set_tls(struct http_client *k, SSL_CTX *tls)
{
    SSL_CTX_up_ref(tls);
    tls_free(k->tls);
    k->tls = tls;
}

void http_client_call(struct http_client *k, struct peer_call *c TAKES)
{
    lane_call(&peer_get(k, c->url, &c->node)->lanes[c->lane], c);
}

void http_client_reset(struct http_client *k, const struct id *node)
{
    struct peer *p;
    TAILQ_FOREACH (p, &k->peers, next)
        for (size_t i = 0; i < NET_LANES && id_equal(&p->node, node); i++)
            lane_end(&p->lanes[i]);
}
