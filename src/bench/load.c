#include "bench/load.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

struct connection {
    struct http http;
    int64_t sent_ns;
    bool busy;
};

struct loader {
    struct load load;
    const struct load *l; /* the same */
    struct connection *c;
    int epoll, busy;
    struct str request;
    int64_t from_ns, until_ns, counted; /* what is measured */
    int64_t asked;
    struct loaded *ret;
};

static bool goes_on(const struct loader *r)
{
    return r->l->run_ms ? now_ns() < r->until_ns : r->asked < r->l->requests;
}

static int ask(struct loader *r, int i, struct err *e)
{
    struct connection *c = &r->c[i];
    str_clear(&r->request);
    r->l->request(r->l->ctx, i, &r->request);
    r->asked++;
    c->sent_ns = now_ns();
    if (!c->busy)
        r->busy++;
    c->busy = true;
    return http_send(&c->http, str_get(&r->request), r->request.n, e);
}

static int answered(struct loader *r, int i, struct err *e)
{
    struct connection *c = &r->c[i];
    int64_t now = now_ns();
    struct span body = http_body(&c->http);
    if (c->http.status != r->l->status)
        return err_set(e, SKEP_EINTERNAL, "status %d instead of %d: %.*s", c->http.status, r->l->status,
                       (int)(body.n < 300 ? body.n : 300), body.p);
    r->ret->answered++;
    if (now >= r->from_ns && now <= r->until_ns) {
        r->counted++;
        if (c->sent_ns >= r->from_ns)
            samples_add(&r->ret->latency_ms, (double)(now - c->sent_ns) / 1e6);
    }
    if (goes_on(r))
        return ask(r, i, e);
    c->busy = false;
    r->busy--;
    return 0;
}

static int turn(struct loader *r, struct err *e)
{
    struct epoll_event ready[64];
    int n = epoll_wait(r->epoll, ready, 64, 30000);
    if (n == 0)
        return err_set(e, SKEP_ETIMEOUT, "no answer within 30 s");
    for (int k = 0; k < n; k++) {
        int i = (int)ready[k].data.u32, rc = http_step(&r->c[i].http, e);
        if (rc == 1)
            rc = answered(r, i, e);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int open_all(struct loader *r, struct err *e)
{
    for (int i = 0; i < r->l->connections; i++) {
        int rc = http_open(&r->c[i].http, r->l->tls, r->l->ports[(size_t)i % r->l->ports_n], e);
        if (rc < 0)
            return rc;
        struct epoll_event ev = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
        if (epoll_ctl(r->epoll, EPOLL_CTL_ADD, r->c[i].http.fd, &ev) < 0)
            return err_set(e, SKEP_EIO, "epoll: %m");
    }
    return 0;
}

int loader_open(const struct load *l, struct loader **ret, struct err *e)
{
    struct loader *r = mem_alloc(sizeof *r);
    r->load = *l;
    r->l = &r->load;
    r->epoll = epoll_create1(EPOLL_CLOEXEC);
    r->c = mem_array((size_t)l->connections, sizeof *r->c);
    for (int i = 0; i < l->connections; i++)
        r->c[i].http.fd = -1;
    int rc = open_all(r, e);
    if (rc < 0)
        loader_close(r);
    else
        *ret = r;
    return rc;
}

void loader_close(struct loader *r)
{
    if (!r)
        return;
    for (int i = 0; i < r->l->connections; i++)
        http_close(&r->c[i].http);
    close(r->epoll);
    str_fini(&r->request);
    free(r->c);
    free(r);
}

int loader_run(struct loader *r, struct loaded *ret, struct err *e)
{
    const struct load *l = r->l;
    int rc = 0;
    *ret = (struct loaded){0};
    r->ret = ret;
    r->asked = r->counted = 0;
    r->from_ns = now_ns() + l->warm_ms * 1000000;
    r->until_ns = l->run_ms ? r->from_ns + l->run_ms * 1000000 : INT64_MAX;
    for (int i = 0; rc == 0 && i < l->connections && (l->run_ms || r->asked < l->requests); i++)
        rc = ask(r, i, e);
    while (rc == 0 && r->busy)
        rc = turn(r, e);
    int64_t end = l->run_ms ? r->until_ns : now_ns();
    ret->per_second = (double)r->counted * 1e9 / (double)(end - r->from_ns);
    return rc;
}

int load_run(const struct load *l, struct loaded *ret, struct err *e)
{
    struct loader *r = NULL;
    *ret = (struct loaded){0};
    int rc = loader_open(l, &r, e);
    if (rc == 0)
        rc = loader_run(r, ret, e);
    loader_close(r);
    return rc;
}

void loaded_fini(struct loaded *l)
{
    samples_fini(&l->latency_ms);
}
