/* The seam between the simulator and the real brain: what skepd's I/O thread and reader do around a node,
 * without sockets and threads. A ping is answered from the frozen view, a pull and a look-up from the store,
 * outside of any turn, as skepd does it; everything else is an event of the next turn.
 *
 * The simulator's disk has one connection a file, so reads go through the brain's own store, between turns:
 * nothing is ever in a transaction there.
 */
#include "sim/brain.h"

#include <stdio.h>
#include <string.h>

#include "api/api.h"
#include "base/ensure.h"
#include "node/brain.h"
#include "node/relay.h"

struct sim_mind {
    const struct sim_home *home;
    struct node *node;
    struct pull_memory *pullers;
    int64_t last_turn_ms; /* boot */
};

static char *const allow_exec[] = {(char[]){"/bin/*"}, NULL};
static char *const child_env[] = {(char[]){"PATH=/bin"}, NULL};

bool sim_is_odd(const char *name)
{
    int number = 0;
    return sscanf(name, "n%d", &number) == 1 && number % 2;
}

/* The defaults of skepd. */
static struct node_options options_of(const struct sim_home *home)
{
    return (struct node_options){
        .url = home->url,
        .labels = sim_is_odd(home->name) ? "{\"disk\":\"ssd\",\"zone\":\"a\"}" : "{\"zone\":\"b\"}",
        .version = SKEP_VERSION,
        .peers = (char *const *)(uintptr_t)home->peers,
        .allow_exec = allow_exec,
        .env = child_env,
        .work_dir = "/",
        .worker_role = "write",
        .suspect_ms = 5000,
        .down_ms = 30000,
        .ping_ms = 1000,
        .sync_ms = home->opts->sync_ms ? home->opts->sync_ms : 500,
        .compare_ms = 60000,
        .declared = home->opts->declared,
        .batch_window_ms = 500,
        .brake_ms = 30000,
        .handoff_ttl_ms = 3600000,
        .tombstone_min_ms = home->opts->tombstone_min_ms ? home->opts->tombstone_min_ms : 600000,
        .tombstone_max_ms = home->opts->tombstone_max_ms ? home->opts->tombstone_max_ms : 86400000,
        .events_keep_ms = 7 * 86400000LL,
        .events_keep_rows = 100000,
        .history_keep_rows = 100,
        .alone_ms = 5000,
        .checkpoint_acks = 1,
        .children_max = 10000,
        .serve = api_serve};
}

static int64_t boot_ms(const struct sim_mind *b)
{
    const struct world_clock *c = &b->home->world->clock;
    return c->boot_ms(c->self);
}

static int64_t real_ms(const struct sim_mind *b)
{
    const struct world_clock *c = &b->home->world->clock;
    return c->real_ms(c->self);
}

/* skep init at the first node, skep join at the others. */
static int database_make(const struct sim_home *home, struct err *e)
{
    const struct world *w = home->world;
    struct store_options o = {
        .path = w->disk.path, .vfs = w->disk.vfs, .exclusive = w->disk.exclusive, .clock = &w->clock};
    return store_create_in(&o, &home->cluster, &home->node, home->name, home->founder, NULL, e);
}

static void *brain_open(void *ctx UNUSED, const struct sim_home *home, struct err *e)
{
    if (home->first && database_make(home, e) < 0)
        return NULL;
    struct node_options o = options_of(home);
    struct sim_mind *b = mem_alloc(sizeof *b);
    b->home = home;
    b->last_turn_ms = boot_ms(b);
    b->pullers = pull_memory_new();
    if (node_open(&b->node, &o, home->world, e) < 0) {
        pull_memory_free(b->pullers);
        free(b);
        return NULL;
    }
    return b;
}

static void brain_turn(void *brain, struct event *events, size_t n)
{
    struct sim_mind *b = brain;
    b->last_turn_ms = boot_ms(b);
    node_turn(b->node, events, n);
}

static int64_t brain_deadline_ms(void *brain)
{
    const struct sim_mind *b = brain;
    return node_deadline_boot_ms(b->node);
}

static bool brain_finished(void *brain)
{
    const struct sim_mind *b = brain;
    return node_ended(b->node) >= 0;
}

struct node *sim_brain_of(void *brain)
{
    const struct sim_mind *b = brain;
    return b->node;
}

bool sim_brain_was_full(const struct sim_node *n)
{
    return !sim_node_up(n) || sim_brain_of(sim_node_brain(n))->counters.disk_full > 0;
}

bool sim_brain_in_doubt(struct sim *s)
{
    static const char some[] = "SELECT (SELECT count(*) FROM aside) + (SELECT count(*) FROM quarantine)";
    for (int i = 0; i < sim_nodes(s); i++) {
        const struct sim_node *n = sim_node(s, i);
        struct store *store = sim_node_up(n) ? node_store(sim_brain_of(sim_node_brain(n))) : NULL;
        if (store && db_i64(store_db(store), some, 0) > 0)
            return true;
    }
    return false;
}

/* ---- what needs no turn ---- */

/* Answers, and tells the brain of it. rc: of node_serve_*. */
static void peer_served(struct sim_mind *b, struct request *r, int rc, struct str *body TAKES,
                        const struct err *e, enum event_kind kind)
{
    const struct world_net *net = &b->home->world->net;
    if (rc < 0) {
        str_fini(body);
        net->answer(net->self, r->id, api_problem(e, NULL));
        return;
    }
    net->answer(net->self, r->id, answer_json(200, body));
    struct event ev = {
        .kind = kind, .node = r->who.node, .bytes = mem_copy(r->body, r->body_n), .bytes_n = r->body_n};
    sim_event(b->home->self, &ev);
}

static void serve_ping(struct sim_mind *b, struct request *r)
{
    struct str body = STR_INIT;
    struct err e = {0};
    const struct frozen *f = node_frozen(b->node);
    int rc = node_serve_ping(f, boot_ms(b) - b->last_turn_ms, real_ms(b), r->body, r->body_n, &body, &e);
    frozen_unref(f);
    peer_served(b, r, rc, &body, &e, EV_PINGED);
}

static void serve_pull(struct sim_mind *b, struct request *r)
{
    struct str body = STR_INIT;
    struct err e = {0};
    int rc = node_serve_pull(node_store(b->node), b->pullers, &r->who.node, r->body, r->body_n, &body, &e);
    ensure(rc < 0 || !b->node->resync.wanted || *str_get(&body) != PULL_PAGE,
           "a node in the middle of a RESYNC serves a page [I14]");
    peer_served(b, r, rc, &body, &e, EV_PULLED);
}

static struct answer *serve_read(struct sim_mind *b, const struct route *route, const struct request *r)
{
    const struct frozen *f = node_frozen(b->node);
    struct reading reading = {.store = route->where == API_READER ? node_store(b->node) : NULL,
                              .frozen = f,
                              .now_real_ms = real_ms(b),
                              .brain_age_ms = boot_ms(b) - b->last_turn_ms};
    struct answer *a = api_read(route, r, &reading);
    frozen_unref(f);
    return a;
}

/* As the I/O thread checks it. */
static bool speaks(const struct sim_mind *b, struct request *r)
{
    const struct frozen *f = node_frozen(b->node);
    bool may = relay_speaks_for(f, r->path, r->query, &r->who);
    frozen_unref(f);
    return may;
}

/* ?read=owner: the brain knows who that is. */
static bool asks_owner(const struct request *r)
{
    return r->query && strcmp(r->query, "read=owner") == 0;
}

static bool brain_request(void *brain, struct request *r)
{
    struct sim_mind *b = brain;
    const struct world_net *net = &b->home->world->net;
    struct answer *a = NULL;
    struct err e = {0};
    char allow[64];
    const struct route *route = api_find(r->method, r->path, allow, &e);
    if (r->who.role == ROLE_PEER && !speaks(b, r))
        r->who.role = ROLE_NONE;
    if (!route || api_allowed(route, r->path, &r->who, &e) < 0)
        a = api_problem(&e, allow);
    else if (route->where == API_BRAIN || (route->where == API_READER && asks_owner(r)))
        return false;
    else if (strcmp(r->path, "/v1/peer/ping") == 0)
        serve_ping(b, r);
    else if (strcmp(r->path, "/v1/peer/pull") == 0)
        serve_pull(b, r);
    else
        a = serve_read(b, route, r);
    if (a)
        net->answer(net->self, r->id, a);
    request_free(r);
    return true;
}

/* ---- the end ---- */

static void brain_close(void *brain)
{
    struct sim_mind *b = brain;
    node_close(b->node);
    pull_memory_free(b->pullers);
    free(b);
}

static void brain_digest(void *brain, struct str *ret_text)
{
    const struct sim_mind *b = brain;
    char hex[33];
    struct err e = {0};
    int rc = store_digest(node_store(b->node), hex, &e);
    ensure(rc == 0, "no digest: %s", e.text);
    str_puts(ret_text, hex);
}

const struct sim_brain sim_brain_node = {.open = brain_open,
                                         .turn = brain_turn,
                                         .deadline_ms = brain_deadline_ms,
                                         .request = brain_request,
                                         .finished = brain_finished,
                                         .crash = brain_close,
                                         .close = brain_close,
                                         .digest = brain_digest};
