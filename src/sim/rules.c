/* A swarm and its settings, as clients were told. They speak HTTP as docs/swarms.md and docs/placement.md
 * have it. Each change has a number, which it says as its limit of children: who shows the settings tells
 * which.
 */
#include "sim/rules.h"

#include <stdio.h>
#include <string.h>

#include "base/ensure.h"
#include "sim/brain.h"
#include "sim/worker.h"
#include "wire/json.h"

#define CHILDREN    6
#define CHANGES_MAX 1000
#define FIRST       1000 /* limit of the first change: more than there are children */
#define TIMEOUT_MS  35000
#define FOG_US      (45 * SIM_SECOND) /* as load.c has it */
#define BEHIND_US   (5 * SIM_SECOND)  /* as load.c has it */
#define REST_US     (2 * SIM_SECOND)  /* between two changes, for clocks that differ */
#define CALM_US     (20 * SIM_SECOND) /* after the faults: what they set going has ended */
#define SWARM       "/v1/swarms/rules"

/* Who serves it, in words and as a function of a node's name; NULL: who has joined. */
static bool serves_all(const char *name UNUSED)
{
    return true;
}

static bool serves_some(const char *name)
{
    return strcmp(name, "n1") == 0 || strcmp(name, "n3") == 0;
}

static bool serves_not_first(const char *name)
{
    return strcmp(name, "n1") != 0;
}

static bool serves_zone_a(const char *name)
{
    return sim_is_odd(name);
}

static bool serves_none(const char *name UNUSED)
{
    return false;
}

static const struct who {
    const char *says;
    bool (*serves)(const char *name);
} whos[] = {
    {"\"serve\":\"all\"", serves_all},
    {"\"nodes\":[\"n1\",\"n3\"]", serves_some},
    {"\"nodes\":[\"!n1\"],\"handoff\":false", serves_not_first},
    {"\"serve\":\"joined\"", NULL},
    {"\"labels\":{\"zone\":\"a\"}", serves_zone_a},
    {"\"labels\":{\"zone\":\"none\"}", serves_none},
};

static const char *const strategies[] = {
    "\"consistent_hash\"",
    "{\"kind\":\"consistent_hash\",\"bound_percent\":125,\"spread\":\"zone\"}",
    "\"random\"",
    "\"load_balancer\"",
    /* the last: it moves some on purpose */
    "{\"kind\":\"load_balancer\",\"push_interval_ms\":1000,\"nodeup_redistribution\":true}",
};

enum deed { DO_CHANGE, DO_JOIN, DO_LEAVE, DO_START, DO_STOP, DO_ASK };
#define DEEDS 6
static const char *const deed_words[DEEDS] = {"change", "join", "leave", "start", "stop", "ask"};

enum known { ABSENT, THERE, UNSURE };

/* That a child was started, or that a node has joined. */
struct belief {
    enum known known;
    int64_t fog_us, since_us; /* nothing is definite before; it is so since then */
    bool busy;
};

struct rules {
    struct sim *sim;
    struct belief children[CHILDREN], joined[SIM_NODES_MAX];
    char joined_as[SIM_NODES_MAX][16]; /* the name that the node had then */
    const struct who *changes[CHANGES_MAX];
    int changes_n, told; /* told: the newest that is surely in force; 0 = who knows */
    bool changing, audited;
    int64_t rest_us;
    int open;
    /* when the strategy alone changes */
    int pids[CHILDREN];
    const struct sim_node *nodes[CHILDREN];
    int64_t snapshot_us, quiet_changes;
    /* what the audit heard */
    char *first; /* owned */
    struct str broken;
    int counts[DEEDS][6];
};

struct errand {
    struct rules *rules;
    enum deed deed;
    int node, which; /* the change, child or node it is about */
    int64_t begun_us;
};

/* ---- What an answer proves ---- */

static void learn(struct rules *r, struct belief *b, enum known known)
{
    if (b->known != known)
        b->since_us = sim_now_us(r->sim);
    b->known = b->fog_us > sim_now_us(r->sim) ? UNSURE : known;
}

static void unsure(struct rules *r, struct belief *b)
{
    b->known = UNSURE;
    b->fog_us = sim_now_us(r->sim) + FOG_US;
}

static struct belief *belief_of(const struct errand *e)
{
    struct rules *r = e->rules;
    return e->deed == DO_START || e->deed == DO_STOP ? &r->children[e->which] : &r->joined[e->which];
}

static void odd(const struct errand *e, const struct sim_reply *a)
{
    sim_violation(e->rules->sim, "rules: %s %d at %s: %d %.200s", deed_words[e->deed], e->which,
                  sim_node_name(sim_node(e->rules->sim, e->node)), a->status, a->body ? a->body : "");
}

static bool refused(const struct sim_reply *a)
{
    return a->status == 503 || (a->status == 0 && !a->sent);
}

static bool definite(const struct errand *e, const struct sim_reply *a)
{
    struct sim *s = e->rules->sim;
    struct span raw = json_raw_member(a->body, a->body_n, "copies");
    int64_t copies = 1;
    if (raw.p)
        json_int(raw, &copies);
    return sim_promised(s, SIM_ANSWERS, e->begun_us) && a->status && a->status < 500 &&
           (copies > 0 || sim_nodes(s) == 1);
}

static void after_change(const struct errand *e, const struct sim_reply *a)
{
    struct rules *r = e->rules;
    r->changing = false;
    r->rest_us = sim_now_us(r->sim) + REST_US;
    if (refused(a) && sim_promised(r->sim, SIM_ANSWERS, e->begun_us))
        return;
    bool good = definite(e, a) && (a->status == 200 || a->status == 201);
    r->told = good ? e->which : 0;
    if (!good) /* it may come late */
        r->rest_us = sim_now_us(r->sim) + FOG_US;
}

static void after(const struct errand *e, const struct sim_reply *a)
{
    struct rules *r = e->rules;
    struct belief *b = belief_of(e);
    bool behind = e->begun_us < b->since_us + BEHIND_US;
    if (refused(a) && sim_promised(r->sim, SIM_ANSWERS, e->begun_us))
        return;
    if (!definite(e, a))
        unsure(r, b);
    else if (e->deed == DO_JOIN || e->deed == DO_LEAVE)
        a->status == 200 ? learn(r, b, e->deed == DO_JOIN ? THERE : ABSENT) : unsure(r, b);
    else if (e->deed == DO_START && a->status == 201 && b->known != THERE)
        learn(r, b, THERE);
    else if (e->deed == DO_START && a->status == 409 && (b->known != ABSENT || behind))
        learn(r, b, b->known == ABSENT ? UNSURE : THERE);
    else if (e->deed == DO_STOP ? a->status == 200 : a->status == 422 && b->known != THERE)
        learn(r, b, ABSENT);
    else if (a->status == 404 && (b->known != THERE || sim_brain_was_full(sim_node(
                                                           r->sim, e->node)))) /* also: no such swarm yet */
        learn(r, b, b->known);
    else
        odd(e, a);
}

static bool never(int status)
{
    return status == 400 || status == 401 || status == 403 || status == 405 || status == 500;
}

static void errand_done(struct sim *s, void *arg, const struct sim_reply *a)
{
    AUTOFREE struct errand *e = arg;
    sim_trace(s, sim_node(s, e->node), "rules: %s %d: %d %.300s", deed_words[e->deed], e->which, a->status,
              a->body ? a->body : "");
    e->rules->open--;
    e->rules->counts[e->deed][a->status / 100 % 6]++;
    if (e->deed != DO_CHANGE)
        belief_of(e)->busy = false;
    (never(a->status) ? odd : e->deed == DO_CHANGE ? after_change : after)(e, a);
}

/* ---- Operations ---- */

static int draw(const struct rules *r, size_t below)
{
    return (int)prng_below(sim_prng(r->sim), below);
}

static void errand_send(struct rules *r, enum deed deed, int which, const char *path, const char *body)
{
    struct errand *e = mem_alloc(sizeof *e);
    *e = (struct errand){r, deed, draw(r, (size_t)sim_nodes(r->sim)), which, sim_now_us(r->sim)};
    if (deed != DO_CHANGE)
        belief_of(e)->busy = true;
    r->open++;
    sim_ask(r->sim,
            &(struct sim_ask){.node = e->node,
                              .method = deed == DO_STOP || deed == DO_LEAVE ? HTTP_M_DELETE : HTTP_M_PUT,
                              .path = path,
                              .query = deed == DO_CHANGE && sim_nodes(r->sim) > 1 ? "acks=2" : NULL,
                              .body = body,
                              .timeout_ms = TIMEOUT_MS,
                              .done = errand_done,
                              .drop = free,
                              .arg = e});
}

static void change(struct rules *r, const struct who *who, bool quiet)
{
    char body[200];
    if (r->changing || sim_now_us(r->sim) < r->rest_us || r->changes_n == CHANGES_MAX)
        return;
    r->changes[r->changes_n++] = who;
    r->changing = true;
    snprintf(body, sizeof body, "{%s,\"distribution\":%s,\"limits\":{\"max_children\":%d}}", who->says,
             strategies[draw(r, COUNT(strategies) - quiet)], FIRST + r->changes_n);
    errand_send(r, DO_CHANGE, r->changes_n, SWARM, body);
}

static const struct who *in_force(const struct rules *r)
{
    return r->told && !r->changing ? r->changes[r->told - 1] : NULL;
}

/* A node joins, or leaves. */
static void serve(struct rules *r)
{
    char path[64];
    int node = draw(r, (size_t)sim_nodes(r->sim));
    const char *name = sim_node_name(sim_node(r->sim, node));
    struct belief *b = &r->joined[node];
    if (b->busy || sim_node_retired(sim_node(r->sim, node)))
        return;
    if (strcmp(name, r->joined_as[node]) != 0)
        *b = (struct belief){0};
    snprintf(r->joined_as[node], sizeof r->joined_as[node], "%s", name);
    snprintf(path, sizeof path, SWARM "/nodes/%s", name);
    enum deed deed = b->known == ABSENT || (b->known == UNSURE && draw(r, 2)) ? DO_JOIN : DO_LEAVE;
    errand_send(r, deed, node, path, NULL);
}

void rules_act(struct rules *r)
{
    const struct who *who = in_force(r);
    int dice = draw(r, 10), which = draw(r, CHILDREN);
    char path[64];
    if (!r->changes_n || dice < 3)
        change(r, &whos[draw(r, COUNT(whos))], false);
    else if (dice < 5 && who && !who->serves)
        serve(r);
    else if (!r->children[which].busy) {
        bool stop = r->children[which].known != ABSENT && dice > 6;
        snprintf(path, sizeof path, SWARM "/children/rule-%d", which);
        errand_send(r, stop ? DO_STOP : DO_START, which, path,
                    stop ? NULL
                         : "{\"argv\":[\"/bin/counter\"],\"restart\":\"permanent\",\"max_restarts\":1000}");
    }
}

int rules_open(const struct rules *r)
{
    return r->open;
}

/* ---- Strategies alone ---- */

static int pid_of(const struct rules *r, int child, const struct sim_node **ret_node)
{
    char name[16];
    struct sim_process p = {0};
    snprintf(name, sizeof name, "rule-%d", child);
    int runs = sim_running(r->sim, "rules", name, &p);
    *ret_node = p.node;
    return runs == 1 ? p.pid : 0;
}

static void quiet_fire(struct sim *s, void *arg)
{
    struct rules *r = arg;
    const struct who *who = in_force(r);
    if (r->audited || (!r->snapshot_us && (!who || r->open)))
        return;
    if (r->quiet_changes == 1) { /* from here on no strategy moves anybody */
        r->snapshot_us = sim_now_us(s);
        for (int i = 0; i < CHILDREN; i++)
            r->pids[i] = pid_of(r, i, &r->nodes[i]);
    }
    if (who)
        change(r, who, true);
    if (++r->quiet_changes < 4)
        sim_at(s, sim_now_us(s) + (r->snapshot_us ? REST_US + SIM_SECOND / 10 : CALM_US / 4), quiet_fire, r,
               NULL);
}

void rules_begin(struct rules *r, int64_t until_us)
{
    sim_at(r->sim, until_us + CALM_US, quiet_fire, r, NULL);
}

static bool nobody_moved(struct sim *s, void *ctx, struct str *why)
{
    const struct rules *r = ctx;
    for (int i = 0; i < CHILDREN && r->snapshot_us; i++) {
        const struct sim_node *node;
        int pid = pid_of(r, i, &node);
        bool excused = !r->pids[i] || sim_node_down_us(r->nodes[i]) >= r->snapshot_us ||
                       !sim_promised(s, SIM_ANSWERS | SIM_ONE_PROCESS, r->snapshot_us);
        if (!excused && pid != r->pids[i])
            str_printf(why, "rule-%d was pid %d of %s, and is %d since the strategy changed; ", i, r->pids[i],
                       sim_node_name(r->nodes[i]), pid);
    }
    return why->n == 0;
}

/* ---- The end ---- */

static void audit_done(struct sim *s, void *arg, const struct sim_reply *a)
{
    AUTOFREE struct errand *e = arg;
    struct rules *r = e->rules;
    AUTOSTR struct str says = STR_INIT;
    static const char *const members[] = {"limits", "serve", "labels", "distribution", "handoff", "nodes"};
    r->open--;
    for (size_t i = 0; i < COUNT(members) && a->status == 200; i++) {
        struct span raw = json_raw_member(a->body, a->body_n, members[i]);
        str_printf(&says, "%s %.*s ", members[i], (int)raw.n, raw.n ? raw.p : "");
    }
    if (a->status != 200)
        str_printf(&says, "%d", a->status);
    if (!r->first)
        r->first = mem_dup(str_get(&says));
    else if (strcmp(r->first, str_get(&says)) != 0)
        str_printf(&r->broken, "%s says %s, another one %s; ", sim_node_name(sim_node(s, e->node)),
                   str_get(&says), r->first);
}

void rules_audit(struct rules *r)
{
    ensure(r->open == 0, "%d operations are open", r->open);
    for (int node = 0; node < sim_nodes(r->sim); node++) {
        if (!sim_node_up(sim_node(r->sim, node)) || sim_node_retired(sim_node(r->sim, node)))
            continue;
        struct errand *e = mem_alloc(sizeof *e);
        *e = (struct errand){.rules = r, .deed = DO_ASK, .node = node};
        r->open++;
        sim_ask(r->sim, &(struct sim_ask){.node = node,
                                          .method = HTTP_M_GET,
                                          .path = SWARM,
                                          .timeout_ms = TIMEOUT_MS,
                                          .done = audit_done,
                                          .drop = free,
                                          .arg = e});
    }
    r->audited = true;
}

/* The change that the nodes say is in force; 0 = none. */
static int shown(const struct rules *r)
{
    int n = 0;
    const char *limit = r->first ? strstr(r->first, "\"max_children\":") : NULL;
    if (!limit || sscanf(limit, "\"max_children\":%d", &n) != 1)
        return 0;
    return n > FIRST && n <= FIRST + r->changes_n ? n - FIRST : 0;
}

/* 1: it lets the node run its processes; 0: it does not; -1: who knows. */
static int lets(const struct rules *r, const struct who *who, int node)
{
    const char *name = sim_node_name(sim_node(r->sim, node));
    const struct belief *b = &r->joined[node];
    if (who->serves)
        return who->serves(name);
    if (strcmp(name, r->joined_as[node]) != 0)
        return 0;
    return b->known == UNSURE ? -1 : b->known == THERE;
}

static void child_holds(const struct rules *r, int child, const struct who *who, int least, int most,
                        struct str *why)
{
    const struct sim_node *node;
    const struct belief *b = &r->children[child];
    bool runs = pid_of(r, child, &node) != 0;
    for (int i = 0; runs && i < sim_nodes(r->sim); i++)
        if (sim_node(r->sim, i) == node && lets(r, who, i) == 0)
            str_printf(why, "rule-%d runs on %s, where %s does not let it; ", child, sim_node_name(node),
                       who->says);
    bool wanted = b->known == THERE && least > 0, unwanted = b->known == ABSENT || most == 0;
    if (runs ? unwanted : wanted)
        str_printf(why, "rule-%d %s, under %s; ", child, runs ? "runs" : "does not run", who->says);
}

static bool rules_hold(struct sim *s, void *ctx, struct str *why)
{
    const struct rules *r = ctx;
    int least = 0, most = 0, number = shown(r); /* nodes that may run them */
    str_add(why, str_get(&r->broken), r->broken.n);
    if (!r->audited || !r->changes_n)
        return why->n == 0;
    if (r->told && r->told != number)
        str_printf(why, "the change %d was the last, the nodes show %d; ", r->told, number);
    const struct who *who = number ? r->changes[number - 1] : NULL;
    for (int i = 0; who && i < sim_nodes(s); i++) {
        bool up = sim_node_up(sim_node(s, i)) && !sim_node_retired(sim_node(s, i));
        least += up && lets(r, who, i) == 1;
        most += up && lets(r, who, i) != 0;
    }
    for (int i = 0; who && i < CHILDREN; i++)
        child_holds(r, i, who, least, most, why);
    return why->n == 0;
}

struct rules *rules_new(struct sim *s)
{
    struct rules *r = mem_alloc(sizeof *r);
    r->sim = s;
    sim_check_add(s, &(struct sim_check){"processes run where their swarm is served", false, rules_hold, r});
    sim_check_add(s, &(struct sim_check){"a strategy that changes moves nobody", false, nobody_moved, r});
    return r;
}

void rules_free(struct rules *r)
{
    if (!r)
        return;
    free(r->first);
    str_fini(&r->broken);
    free(r);
}

void rules_summary(struct rules *r)
{
    for (int d = 0; d < DO_ASK; d++) {
        const int *c = r->counts[d];
        sim_note(r->sim, NULL, "rules: %-8s 2xx %-5d 4xx %-5d 5xx %-5d unanswered %d", deed_words[d], c[2],
                 c[4], c[5], c[0]);
    }
    sim_note(r->sim, NULL, "rules: %d changes, %lld of the strategy alone", r->changes_n,
             (long long)r->quiet_changes);
}
