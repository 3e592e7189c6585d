/* host_reader: the reader's thread: lists, look-ups and peers' pulls, from what is committed. Writes nothing.
 */
#include <string.h>

#include "base/ensure.h"
#include "real/host_inside.h"
#include "real/machine.h"

#define READ_LIMIT_MS 1000

static void free_request(void *r)
{
    request_free(r);
}

int64_t host_brain_age_ms(struct host *h)
{
    return machine_boot_ms() - atomic_load(&h->turned_boot_ms);
}

static struct answer *pull(struct host *h, const struct request *r)
{
    struct str body = STR_INIT;
    struct err e = {0};
    int rc = node_serve_pull(h->store, r->body, r->body_n, &body, &e);
    if (rc < 0) {
        str_fini(&body);
        e.code = rc;
        return api_problem(&e, NULL);
    }
    struct answer *a = answer_json(200, &body);
    a->content_type = "application/octet-stream";
    return a;
}

static struct answer *read_route(struct host *h, const struct request *r)
{
    char allow[64];
    struct err e;
    const struct route *route = api_find(r->method, r->path, allow, &e);
    if (!route)
        return api_problem(&e, allow);
    const struct frozen *f = node_frozen(h->node);
    struct reading reading = {h->store, f, machine_real_ms(), host_brain_age_ms(h)};
    struct answer *a = api_read(route, r, &reading);
    frozen_unref(f);
    return a;
}

static void serve(struct host *h, struct request *r)
{
    struct command *c = mem_alloc(sizeof *c);
    *c = (struct command){.kind = CMD_ANSWER, .id = r->id};
    c->answer = r->who.role == ROLE_PEER ? pull(h, r) : read_route(h, r);
    mailbox_post_always(h->to_io, c);
    request_free(r);
}

/* Peers first: what they pull is what the cluster agrees on, and clients can wait for it. */
static void *reader_run(void *arg)
{
    struct host *h = arg;
    void **requests;
    pthread_setname_np(pthread_self(), "skepd-reader");
    while (!mailbox_closed(h->to_reader)) {
        size_t n = mailbox_take_all(h->to_reader, -1, &requests);
        for (int peers = 1; peers >= 0; peers--)
            for (size_t i = 0; i < n; i++) {
                struct request *r = requests[i];
                if (r && (r->who.role == ROLE_PEER) == peers)
                    serve(h, TAKE(requests[i]));
            }
    }
    return NULL;
}

bool host_read(struct host *h, struct request *r TAKES)
{
    return r->who.role == ROLE_PEER ? mailbox_post_always(h->to_reader, r) : mailbox_post(h->to_reader, r);
}

int host_reader_open(struct host *h, struct err *e)
{
    struct store_options o = {
        .path = h->db, .readonly = true, .read_limit_ms = READ_LIMIT_MS, .clock = &machine_clock};
    h->to_reader = mailbox_new(READER_REQUESTS_MAX, free_request);
    return store_open(&h->store, &o, e);
}

void host_reader_start(struct host *h)
{
    h->reader_started = true;
    int rc = pthread_create(&h->reader, NULL, reader_run, h);
    ensure(rc == 0, "no thread for the reader: %d", rc);
}
