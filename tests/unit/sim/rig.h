/* rig: a simulated cluster of real brains, for tests of one situation each. Include it once a program. */
#ifndef SKEP_TEST_SIM_RIG_H
#define SKEP_TEST_SIM_RIG_H

#include "sim/brain.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "node/brain.h"
#include "sim/worker.h"
#include "wire/json.h"

struct rig {
    struct sim *sim;
    int status;
    bool answered;
    struct str body;
};

/* The brain outlives the rig. */
static inline void rig_begin_brain(struct rig *r, const struct sim_opts *o, const struct sim_brain *brain)
{
    *r = (struct rig){.sim = sim_new(o, brain)};
    for (int i = 0; i < o->nodes; i++)
        assert_true(sim_start(r->sim, i));
}

static inline void rig_begin_opts(struct rig *r, const struct sim_opts *o)
{
    rig_begin_brain(r, o, &sim_brain_node);
}

/* Nothing is lost and no disk is slow, for tests that say how long something takes. */
static inline struct sim_opts rig_opts(uint64_t seed, int nodes)
{
    struct sim_opts o = sim_opts_default(seed, nodes);
    o.loss_ppm = o.slow_commit_ppm = 0;
    return o;
}

static inline void rig_end(struct rig *r)
{
    assert_false(sim_violated(r->sim));
    sim_free(r->sim);
    str_fini(&r->body);
}

static inline void run_ms(struct rig *r, int64_t ms)
{
    assert_true(sim_run(r->sim, sim_now_us(r->sim) + ms * 1000));
}

static inline struct node *node_at(struct rig *r, int i)
{
    return sim_brain_of(sim_node_brain(sim_node(r->sim, i)));
}

static inline int home_of(struct rig *r, const char *name)
{
    struct id home = own_home(node_at(r, 0), "default", name);
    for (int i = 0; i < sim_nodes(r->sim); i++) {
        struct id id = sim_node_id(sim_node(r->sim, i));
        if (id_equal(&home, &id))
            return i;
    }
    fail_msg("no home of %s", name);
    return -1;
}

/* A name whose home is that node. Yours. */
static inline char *name_at(struct rig *r, int home)
{
    for (int i = 0;; i++) {
        AUTOFREE char *name = mem_printf("x%d", i);
        if (home_of(r, name) == home)
            return TAKE(name);
    }
}

/* Whether every node that is up sees itself in an open view of so many nodes. */
static inline bool agree(struct rig *r, int want)
{
    for (int i = 0; i < sim_nodes(r->sim); i++) {
        if (!sim_node_up(sim_node(r->sim, i)))
            continue;
        const struct frozen *f = node_frozen(node_at(r, i));
        int seen = 0;
        for (int k = 0; k < f->nodes_n; k++)
            seen += f->nodes[k].in_view && f->nodes[k].member;
        bool good = f->open && seen == want;
        frozen_unref(f);
        if (!good)
            return false;
    }
    return true;
}

/* Returns the milliseconds until they agree. */
static inline int64_t agree_within(struct rig *r, int want, int64_t within_ms)
{
    for (int64_t ms = 0; ms <= within_ms; ms += 10) {
        if (agree(r, want))
            return ms;
        run_ms(r, 10);
    }
    fail_msg("%d nodes did not agree within %lld ms", want, (long long)within_ms);
    return 0;
}

static inline void rig_begin(struct rig *r, uint64_t seed, int nodes)
{
    struct sim_opts o = rig_opts(seed, nodes);
    rig_begin_opts(r, &o);
    agree_within(r, nodes, 3000);
}

/* For partitions: a name may run on each side. */
static inline void rig_begin_apart(struct rig *r, uint64_t seed, int nodes)
{
    struct sim_opts o = rig_opts(seed, nodes);
    o.unique_names = false;
    rig_begin_opts(r, &o);
    agree_within(r, nodes, 3000);
}

static inline void rig_answered(struct sim *s, void *arg, const struct sim_reply *reply)
{
    (void)s;
    struct rig *r = arg;
    r->answered = true;
    r->status = reply->status;
    str_clear(&r->body);
    str_add(&r->body, reply->body ? reply->body : "", reply->body_n);
}

/* A request whose answer is looked for later: in *answer, which is begun anew. */
static inline void ask_later(struct rig *r, struct rig *answer, int node, enum req_method method,
                             const char *path, const char *body)
{
    AUTOFREE char *copy = mem_dup(path);
    char *query = strchr(copy, '?');
    if (query)
        *query++ = 0;
    *answer = (struct rig){.sim = r->sim, .body = answer->body};
    str_clear(&answer->body);
    sim_ask(r->sim, &(struct sim_ask){.node = node,
                                      .method = method,
                                      .path = copy,
                                      .query = query,
                                      .body = body,
                                      .timeout_ms = 60000,
                                      .done = rig_answered,
                                      .arg = answer});
}

static inline int ask(struct rig *r, int node, enum req_method method, const char *path, const char *body)
{
    ask_later(r, r, node, method, path, body);
    for (int i = 0; i < 60001 && !r->answered; i++)
        run_ms(r, 1);
    assert_true(r->answered);
    return r->status;
}

static inline void want(struct rig *r, int status, int node, enum req_method method, const char *path,
                        const char *body)
{
    if (ask(r, node, method, path, body) != status)
        fail_msg("%s: %d instead of %d: %s", path, r->status, status, str_get(&r->body));
}

/* A member of the last answer, as text; "" if there is none. In a buffer that the next call uses again. */
static inline const char *member(struct rig *r, const char *name)
{
    static struct str text;
    struct span raw = json_raw_member(str_get(&r->body), r->body.n, name);
    str_clear(&text);
    if (raw.p && !json_unquote(raw, &text))
        str_add(&text, raw.p, raw.n);
    return str_get(&text);
}

/* The one process of a name. */
static inline struct sim_process process_of(struct rig *r, const char *name)
{
    struct sim_process p = {0};
    assert_int_equal(sim_running(r->sim, "default", name, &p), 1);
    assert_false(p.orphan);
    return p;
}

static inline void digests_equal(struct rig *r)
{
    AUTOSTR struct str why = STR_INIT;
    if (!sim_digests_equal(r->sim, NULL, &why))
        fail_msg("%s", str_get(&why));
}

static inline int64_t rows_number(struct rig *r, int node, const char *sql)
{
    return db_i64(store_db(node_store(node_at(r, node))), sql, -1);
}

static inline bool same_everywhere(struct rig *r)
{
    AUTOSTR struct str why = STR_INIT;
    for (int i = 0; i < sim_nodes(r->sim); i++)
        if (sim_node_up(sim_node(r->sim, i)) && node_at(r, i)->resync.wanted)
            return false;
    return sim_digests_equal(r->sim, NULL, &why);
}

/* Everybody is up and holds the same, within so long. */
static inline void converge_within(struct rig *r, int64_t within_ms)
{
    for (int64_t ms = 0; ms < within_ms && !same_everywhere(r); ms += 100)
        run_ms(r, 100);
    assert_true(same_everywhere(r));
}

/* No link to or from it works. */
static inline void split_off(struct rig *r, int node)
{
    for (int i = 0; i < sim_nodes(r->sim); i++)
        if (i != node) {
            sim_cut(r->sim, i, node);
            sim_cut(r->sim, node, i);
        }
}

/* How often an event of this type is in a node's log. */
static inline int events(struct rig *r, int node, const char *type)
{
    AUTOFREE char *path = mem_printf("/v1/events?limit=1000&type=%s", type);
    want(r, 200, node, HTTP_M_GET, path, NULL);
    int n = 0;
    struct span one;
    struct json_iter it = json_iter_init(json_raw_member(str_get(&r->body), r->body.n, "events"));
    while (json_iter_next(&it, NULL, &one))
        n++;
    return n;
}

#endif
