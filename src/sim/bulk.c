/* Clients of many names at once. They speak HTTP as docs/batches.md has it. */
#include "sim/bulk.h"

#include <stdio.h>
#include <string.h>

#include "node/brain.h"
#include "sim/brain.h"
#include "sim/worker.h"
#include "wire/json.h"

#define NAMES      9
#define TIMEOUT_MS 35000
#define REST_US                                                                                              \
    (60 * SIM_SECOND) /* after an unknown outcome: others have found out by then, and finished it */
#define BEHIND_US (5 * SIM_SECOND) /* as load.c has it */
#define START     "/v1/swarms/default/children"
#define STOP      "/v1/swarms/default/stop"

enum deed { BULK_START, BULK_MISSING, BULK_UNDO, BULK_STOP };
#define DEEDS 4
static const char *const deed_words[DEEDS] = {"start", "missing", "rollback", "stop"};

enum known { ALL_ABSENT, ALL_THERE, NOBODY_KNOWS };

struct group {
    char prefix[24];
    enum known known;
    bool busy;
    bool whole;       /* nobody knows, but it is all or none … */
    bool none;        /* … or it is none */
    int64_t since_us; /* nobody knows since then */
    int64_t rest_us;  /* not before that moment */
    int64_t ended_us; /* when all were heard to be absent */
};

struct bulk {
    struct sim *sim;
    struct group *groups;
    int n, open;
    bool audited;
    int counts[DEEDS][6];
};

struct errand {
    struct bulk *bulk;
    struct group *group;
    enum deed deed;
    int node;
    int64_t begun_us;
};

/* ---- what an answer proves ---- */

static bool binds(const struct errand *e)
{
    const struct sim *s = e->bulk->sim;
    return sim_promised(s, SIM_ANSWERS, e->begun_us) && sim_lost_us(s) < e->begun_us;
}

static void unsure(const struct errand *e)
{
    struct group *g = e->group;
    bool sure = g->known != NOBODY_KNOWS && binds(e);
    g->whole = sure;
    g->none = sure && e->deed == BULK_UNDO && g->known == ALL_ABSENT;
    g->known = NOBODY_KNOWS;
    g->since_us = e->begun_us;
    g->rest_us = sim_now_us(e->bulk->sim) + REST_US;
}

static void learn(const struct errand *e, enum known known)
{
    struct group *g = e->group;
    if (!binds(e)) {
        unsure(e);
        return;
    }
    g->known = known;
    g->whole = g->none = false;
    if (known == ALL_ABSENT)
        g->ended_us = sim_now_us(e->bulk->sim);
}

static void odd(const struct errand *e, const struct sim_reply *r)
{
    sim_violation(e->bulk->sim, "%s of all %s at %s: %d %.300s", deed_words[e->deed], e->group->prefix,
                  sim_node_name(sim_node(e->bulk->sim, e->node)), r->status, r->body ? r->body : "");
}

static bool says(const struct sim_reply *r, const char *member, const char *want)
{
    AUTOSTR struct str text = STR_INIT;
    struct span raw = json_raw_member(r->body, r->body_n, member);
    if (!raw.p)
        return false;
    if (!json_unquote(raw, &text))
        str_add(&text, raw.p, raw.n);
    return strcmp(str_get(&text), want) == 0;
}

/* Of a name that ended a moment ago a home may not have heard yet. */
static bool behind(const struct errand *e)
{
    return e->group->ended_us && e->begun_us < e->group->ended_us + BEHIND_US;
}

static void after_start(const struct errand *e, const struct sim_reply *r)
{
    enum known before = e->group->known;
    if (r->status == 200 && says(r, "status", "ok"))
        learn(e, ALL_THERE);
    else if (r->status == 409 && (before != ALL_ABSENT || behind(e) || !binds(e)))
        e->group->known = before == ALL_ABSENT ? NOBODY_KNOWS : before;
    else if (r->status == 200) /* some did not: no node may take them, or they ended at once */
        unsure(e), e->group->whole = false;
    else if (r->status == 409)
        odd(e, r);
    else
        unsure(e);
}

static void after_undo(const struct errand *e, const struct sim_reply *r)
{
    enum known before = e->group->known;
    if (r->status == 200 && says(r, "rollback", "true"))
        learn(e, before == ALL_ABSENT ? ALL_ABSENT : NOBODY_KNOWS);
    else if (r->status == 409 && (before != ALL_ABSENT || behind(e) || !binds(e)))
        e->group->known = before == ALL_ABSENT ? NOBODY_KNOWS : before;
    else if (r->status == 200 || r->status == 409)
        binds(e) ? odd(e, r) : unsure(e);
    else
        unsure(e);
}

static void after_stop(const struct errand *e, const struct sim_reply *r)
{
    bool ok = r->status == 200 && says(r, "status", "ok");
    if (r->status == 200 && (ok || e->group->known != ALL_THERE || !binds(e)))
        learn(e, ALL_ABSENT); /* what was not found is absent, too */
    else if (r->status == 200)
        odd(e, r);
    else
        unsure(e);
}

static int listed(const struct sim_reply *r, const char *member)
{
    struct json_iter it = json_iter_init(json_raw_member(r->body, r->body_n, member));
    struct span one;
    int n = 0;
    while (json_iter_next(&it, NULL, &one))
        n++;
    return n;
}

/* Each name that was asked for is in one of the lists. */
static bool adds_up(const struct errand *e, const struct sim_reply *r)
{
    static const char *const lists[] = {"started", "existing", "stopped", "errors"};
    int sum = 0;
    for (size_t i = 0; i < COUNT(lists); i++)
        sum += listed(r, lists[i]);
    return r->status != 200 || says(r, "rollback", "true") || !binds(e) ||
           sum == NAMES + (e->deed == BULK_UNDO);
}

static bool never(int status)
{
    return status == 400 || status == 401 || status == 403 || status == 404 || status == 405 || status == 500;
}

static void errand_done(struct sim *s, void *arg, const struct sim_reply *r)
{
    AUTOFREE struct errand *e = arg;
    sim_trace(s, sim_node(s, e->node), "%s all %s: %d %.400s", deed_words[e->deed], e->group->prefix,
              r->status, r->body ? r->body : "");
    e->group->busy = false;
    e->bulk->open--;
    e->bulk->counts[e->deed][r->status / 100 % 6]++;
    if (never(r->status) || !adds_up(e, r))
        odd(e, r);
    else if (r->status == 503 || (r->status == 0 && !r->sent))
        return; /* refused: nothing has happened */
    else if (e->deed == BULK_STOP)
        after_stop(e, r);
    else if (e->deed == BULK_UNDO)
        after_undo(e, r);
    else
        after_start(e, r);
}

/* ---- operations ---- */

static void body_of(const struct errand *e, struct str *ret)
{
    bool stop = e->deed == BULK_STOP;
    str_puts(ret, stop ? "{\"names\":[" : "{\"children\":[");
    for (int i = 0; i < NAMES; i++)
        str_printf(ret,
                   stop ? "%s\"%s%d\""
                        : "%s{\"name\":\"%s%d\",\"argv\":[\"/bin/counter\"],\"restart\":\"permanent\","
                          "\"max_restarts\":1000}",
                   i ? "," : "", e->group->prefix, i);
    if (e->deed == BULK_UNDO)
        str_printf(ret, ",{\"name\":\"%sbad\",\"argv\":[\"/bin/nothing\"]}", e->group->prefix);
    str_puts(ret, e->deed == BULK_MISSING ? "],\"mode\":\"missing\"}"
                  : e->deed == BULK_UNDO  ? "],\"on_failure\":\"rollback\"}"
                                          : "]}");
}

static enum deed choose(struct bulk *b, const struct group *g)
{
    uint64_t dice = prng_below(sim_prng(b->sim), 10);
    if (g->known == ALL_THERE)
        return dice < 7 ? BULK_STOP : dice < 9 ? BULK_MISSING : BULK_START;
    if (g->known == NOBODY_KNOWS)
        return dice < 7 ? BULK_STOP : BULK_MISSING;
    return dice < 5 ? BULK_START : dice < 7 ? BULK_MISSING : BULK_UNDO;
}

void bulk_act(struct bulk *b)
{
    struct prng *p = sim_prng(b->sim);
    struct group *g = &b->groups[prng_below(p, (uint64_t)b->n)];
    if (g->busy || sim_now_us(b->sim) < g->rest_us)
        return;
    AUTOSTR struct str body = STR_INIT;
    struct errand *e = mem_alloc(sizeof *e);
    *e = (struct errand){b, g, choose(b, g), (int)prng_below(p, (uint64_t)sim_nodes(b->sim)),
                         sim_now_us(b->sim)};
    body_of(e, &body);
    struct sim_ask a = {.node = e->node,
                        .method = HTTP_M_POST,
                        .path = e->deed == BULK_STOP ? STOP : START,
                        .query = "timeout_ms=30000",
                        .body = str_get(&body),
                        .timeout_ms = TIMEOUT_MS,
                        .done = errand_done,
                        .drop = free,
                        .arg = e};
    sim_trace(b->sim, sim_node(b->sim, e->node), "%s all %s …", deed_words[e->deed], g->prefix);
    g->busy = true;
    b->open++;
    sim_ask(b->sim, &a);
}

/* ---- the check ---- */

/* A home was away for longer than the dead are remembered (a few seconds here): whether it has carried out
 * its part nobody can know, so its names have an error instead, and the others stay. */
static bool in_doubt(struct sim *s, const struct group *g)
{
    AUTOFREE char *sql = mem_printf("SELECT count(*) FROM operation_part WHERE result LIKE "
                                    "'%%\"name\":\"%s%%\"code\":\"timeout\"%%'",
                                    g->prefix);
    bool some = false;
    for (int i = 0; i < sim_nodes(s); i++)
        if (sim_node_up(sim_node(s, i))) {
            struct node *n = sim_brain_of(sim_node_brain(sim_node(s, i)));
            some |= db_i64(store_db(node_store(n)), sql, 0) > 0;
        }
    return some;
}

static bool processes_hold(struct sim *s, void *ctx, struct str *why)
{
    struct bulk *b = ctx;
    size_t before = why->n;
    for (int g = 0; g < b->n && b->audited; g++) {
        const struct group *x = &b->groups[g];
        /* one that could not be started is missing, and the others stay */
        bool whole = x->whole && sim_exec_failed_us(s) < x->since_us;
        int runs = 0, most = 0;
        for (int i = 0; i < NAMES; i++) {
            char name[40];
            snprintf(name, sizeof name, "%s%d", x->prefix, i);
            int here = sim_running(s, "default", name, NULL);
            runs += here;
            most = here > most ? here : most;
        }
        bool good = most <= 1 && (x->known == ALL_THERE    ? runs == NAMES
                                  : x->known == ALL_ABSENT ? runs == 0
                                  : x->none                ? runs == 0
                                  : whole                  ? runs == 0 || runs == NAMES || in_doubt(s, x)
                                                           : true);
        if (!good)
            str_printf(why, "%d of all %d %s run, which should be %s; ", runs, NAMES, x->prefix,
                       x->known == ALL_THERE               ? "all"
                       : x->known == ALL_ABSENT || x->none ? "none"
                                                           : "all or none");
    }
    return why->n == before;
}

void bulk_audit(struct bulk *b)
{
    b->audited = true;
}

int bulk_open(const struct bulk *b)
{
    return b->open;
}

struct bulk *bulk_new(struct sim *s, int groups)
{
    struct bulk *b = mem_alloc(sizeof *b);
    b->sim = s;
    b->n = groups;
    b->groups = mem_array((size_t)groups, sizeof *b->groups);
    for (int i = 0; i < groups; i++)
        snprintf(b->groups[i].prefix, sizeof b->groups[i].prefix, "bulk-%d-", i);
    sim_check_add(s, &(struct sim_check){"of many at once all run, or none", false, processes_hold, b});
    return b;
}

void bulk_free(struct bulk *b)
{
    if (!b)
        return;
    free(b->groups);
    free(b);
}

void bulk_summary(struct bulk *b)
{
    for (int d = 0; d < DEEDS; d++) {
        const int *c = b->counts[d];
        sim_note(b->sim, NULL, "many: %-8s 2xx %-5d 4xx %-5d 5xx %-5d unanswered %d", deed_words[d], c[2],
                 c[4], c[5], c[0]);
    }
}
