/* Clients that are in each other's way, and what must be true all the same. They speak HTTP as
 * docs/batches.md and docs/placement.md have it. A name says the node that it is for: "x1-n2".
 */
#include "sim/brawl.h"

#include <stdio.h>
#include <string.h>

#include "api/operation.h"
#include "node/batch.h"
#include "node/brain.h"
#include "sim/brain.h"
#include "sim/worker.h"
#include "wire/json.h"

#define TIMEOUT_MS 35000
#define LOOK_US    (SIM_SECOND / 4)
#define PER_NODE   3 /* names of each node */
#define MOST       8 /* names in a call */
#define SPEC       "\"argv\":[\"/bin/counter\"],\"restart\":\"permanent\",\"max_restarts\":1000"

enum lot { ANYWHERE, AS_NAMED, WITH_LABEL };

static const struct arena {
    const char *swarm, *settings;
    enum lot lot;
} arenas[] = {
    {"guided", "{\"distribution\":\"guided\"}", AS_NAMED},
    {"label",
     "{\"labels\":{\"disk\":\"ssd\"},\"distribution\":{\"kind\":\"consistent_hash\",\"bound_percent\":125,"
     "\"spread\":\"zone\"}}",
     WITH_LABEL},
    {"level",
     "{\"distribution\":{\"kind\":\"load_balancer\",\"push_interval_ms\":1000,"
     "\"nodeup_redistribution\":true}}",
     ANYWHERE},
    {"random", "{\"distribution\":\"random\",\"labels\":{\"zone\":\"b\"}}", WITH_LABEL},
};

/* Mappings of two children, x and y, that a guided swarm refuses. */
static const struct wrong {
    const char *reason, *rest;
} wrongs[] = {
    {"missing_child_mapping", ""},
    {"invalid_child_mapping", ",\"child_mapping\":{\"x\":[\"n1\"],\"y\":\"n1\"}"},
    {"invalid_child_mapping", ",\"child_mapping\":[\"n1\"]"},
    {"child_mapping_mismatch", ",\"child_mapping\":{\"x\":[\"n1\"],\"y\":[\"n1\"],\"z\":[\"n1\"]}"},
    {"child_mapping_mismatch", ",\"child_mapping\":{\"x\":[\"n1\"]}"},
    {"child_replication_mismatch", ",\"child_mapping\":{\"x\":[\"n1\",\"n2\"],\"y\":[\"n1\"]}"},
};

enum deed { DO_MAKE, DO_START, DO_STOP, DO_MANY, DO_END, DO_WRONG };
#define DEEDS 6
static const char *const deed_words[DEEDS] = {"make", "start", "stop", "many", "end", "wrong"};

struct brawl {
    struct sim *sim;
    int open, made;
    bool audited;
    int counts[DEEDS][6];
    int64_t seen; /* processes that were looked at */
};

struct errand {
    struct brawl *brawl;
    enum deed deed;
    int node, wrong;
};

static int draw(const struct brawl *b, size_t below)
{
    return (int)prng_below(sim_prng(b->sim), below);
}

/* ---- Answers ---- */

static bool is_refused_for(const struct sim_reply *r, const char *reason)
{
    AUTOSTR struct str detail = STR_INIT;
    struct span raw = r->body ? json_raw_member(r->body, r->body_n, "detail") : (struct span){NULL, 0};
    if (raw.p)
        json_unquote(raw, &detail);
    return r->status == 400 && strncmp(str_get(&detail), reason, strlen(reason)) == 0;
}

/* 404: a swarm that this node has not heard of yet. */
static bool is_odd(const struct errand *e, const struct sim_reply *r)
{
    if (r->status == 401 || r->status == 403 || r->status == 405 || r->status == 500)
        return true;
    if (e->deed != DO_WRONG)
        return r->status == 400;
    return r->status && r->status < 500 && r->status != 404 && !is_refused_for(r, wrongs[e->wrong].reason);
}

static void errand_done(struct sim *s, void *arg, const struct sim_reply *r)
{
    AUTOFREE struct errand *e = arg;
    struct sim_node *node = sim_node(s, e->node);
    sim_trace(s, node, "brawl: %s: %d %.400s", deed_words[e->deed], r->status, r->body ? r->body : "");
    e->brawl->open--;
    e->brawl->counts[e->deed][r->status / 100 % 6]++;
    if (is_odd(e, r))
        sim_violation(s, "brawl: %s%s%s at %s: %d %.300s", deed_words[e->deed],
                      e->deed == DO_WRONG ? " for " : "", e->deed == DO_WRONG ? wrongs[e->wrong].reason : "",
                      sim_node_name(node), r->status, r->body ? r->body : "");
}

/* ---- Operations ---- */

static void errand_send(struct brawl *b, enum deed deed, int wrong, const char *path, const char *body)
{
    static const enum req_method methods[DEEDS] = {
        [DO_MAKE] = HTTP_M_PUT,  [DO_START] = HTTP_M_PUT, [DO_STOP] = HTTP_M_DELETE,
        [DO_MANY] = HTTP_M_POST, [DO_END] = HTTP_M_POST,  [DO_WRONG] = HTTP_M_POST};
    struct errand *e = mem_alloc(sizeof *e);
    *e = (struct errand){b, deed, draw(b, (size_t)sim_nodes(b->sim)), wrong};
    sim_trace(b->sim, sim_node(b->sim, e->node), "brawl: %s %s %s", deed_words[deed], path, body ? body : "");
    b->open++;
    sim_ask(b->sim, &(struct sim_ask){.node = e->node,
                                      .method = methods[deed],
                                      .path = path,
                                      .query = deed == DO_MAKE ? NULL : "timeout_ms=30000",
                                      .body = body,
                                      .timeout_ms = TIMEOUT_MS,
                                      .done = errand_done,
                                      .drop = free,
                                      .arg = e});
}

struct pick {
    char name[40];
    const char *node;
};

static struct pick pick(const struct brawl *b)
{
    struct pick p;
    p.node = sim_node_name(sim_node(b->sim, draw(b, (size_t)sim_nodes(b->sim))));
    snprintf(p.name, sizeof p.name, "x%d-%s", draw(b, PER_NODE), p.node);
    return p;
}

static void make(struct brawl *b, const struct arena *a)
{
    AUTOFREE char *path = mem_printf("/v1/swarms/%s", a->swarm);
    errand_send(b, DO_MAKE, 0, path, a->settings);
}

static void one(struct brawl *b, const struct arena *a, bool stop)
{
    struct pick p = pick(b);
    AUTOFREE char *path = mem_printf("/v1/swarms/%s/children/%s", a->swarm, p.name);
    AUTOFREE char *body = mem_printf("{" SPEC ",\"nodes\":[\"%s\"]}", a->lot == AS_NAMED ? p.node : "*");
    errand_send(b, stop ? DO_STOP : DO_START, 0, path, stop ? NULL : body);
}

/* What a name may stand in twice: the second is answered as one that runs already. */
static void many(struct brawl *b, const struct arena *a)
{
    static const char *const modes[] = {"all_or_none", "missing", "each"};
    static const char *const failures[] = {"continue", "rollback"};
    AUTOSTR struct str body = STR_INIT, mapping = STR_INIT;
    struct pick picks[MOST];
    int n = 1 + draw(b, MOST);
    str_puts(&body, "{\"children\":[");
    for (int i = 0; i < n; i++) {
        picks[i] = pick(b);
        bool twice = false;
        for (int k = 0; k < i; k++)
            twice |= strcmp(picks[i].name, picks[k].name) == 0;
        str_printf(&body, "%s{\"name\":\"%s\"," SPEC "}", i ? "," : "", picks[i].name);
        if (!twice)
            str_printf(&mapping, "%s\"%s\":[\"%s\"]", mapping.n ? "," : "", picks[i].name, picks[i].node);
    }
    if (draw(b, 4) == 0) { /* one that never starts */
        struct pick p = pick(b);
        str_printf(&body, ",{\"name\":\"bad\",\"argv\":[\"/bin/nothing\"]}");
        str_printf(&mapping, ",\"bad\":[\"%s\"]", p.node);
    }
    str_printf(&body, "],\"mode\":\"%s\",\"on_failure\":\"%s\"", modes[draw(b, COUNT(modes))],
               failures[draw(b, COUNT(failures))]);
    if (a->lot == AS_NAMED)
        str_printf(&body, ",\"child_mapping\":{%s}", str_get(&mapping));
    str_puts(&body, draw(b, 3) ? "}" : ",\"await\":false}");
    AUTOFREE char *path = mem_printf("/v1/swarms/%s/children", a->swarm);
    errand_send(b, DO_MANY, 0, path, str_get(&body));
}

static void end(struct brawl *b, const struct arena *a)
{
    AUTOSTR struct str body = STR_INIT;
    int n = 1 + draw(b, MOST);
    str_puts(&body, "{\"names\":[");
    for (int i = 0; i < n; i++)
        str_printf(&body, "%s\"%s\"", i ? "," : "", pick(b).name);
    str_puts(&body, "]}");
    AUTOFREE char *path = mem_printf("/v1/swarms/%s/stop", a->swarm);
    errand_send(b, DO_END, 0, path, str_get(&body));
}

static void wrong(struct brawl *b)
{
    int which = draw(b, COUNT(wrongs));
    AUTOFREE char *body = mem_printf("{\"children\":[{\"name\":\"x\"," SPEC "},{\"name\":\"y\"," SPEC "}]%s}",
                                     wrongs[which].rest);
    errand_send(b, DO_WRONG, which, "/v1/swarms/guided/children", body);
}

void brawl_act(struct brawl *b)
{
    const struct arena *a = &arenas[draw(b, COUNT(arenas))];
    int dice = draw(b, 20);
    if (b->made < (int)COUNT(arenas) || dice == 0) /* it is as it was, or was lost with a disk */
        make(b, b->made < (int)COUNT(arenas) ? &arenas[b->made++] : a);
    else if (dice == 1)
        wrong(b);
    else if (dice < 5)
        one(b, a, false);
    else if (dice < 6)
        one(b, a, true);
    else if (dice < 14)
        many(b, a);
    else
        end(b, a);
}

int brawl_open(const struct brawl *b)
{
    return b->open;
}

/* ---- Where they run ---- */

static bool may_run(const struct arena *a, const char *name, const char *node)
{
    const char *said = strchr(name, '-');
    bool odd = sim_is_odd(node);
    if (a->lot == AS_NAMED)
        return said && strcmp(said + 1, node) == 0;
    return a->lot == ANYWHERE || odd == (strcmp(a->swarm, "label") == 0);
}

static const struct arena *arena_of(const char *swarm)
{
    for (size_t i = 0; i < COUNT(arenas); i++)
        if (strcmp(arenas[i].swarm, swarm) == 0)
            return &arenas[i];
    return NULL;
}

static void look_at(void *ctx, const struct sim_process *p)
{
    struct brawl *b = ctx;
    const struct arena *a = arena_of(p->swarm);
    b->seen += a != NULL;
    if (a && strcmp(p->name, "bad") != 0 && !may_run(a, p->name, sim_node_name(p->node)))
        sim_violation(b->sim, "%s of swarm %s runs on %s", p->name, p->swarm, sim_node_name(p->node));
}

static void look_fire(struct sim *s, void *arg)
{
    sim_processes(s, look_at, arg);
    sim_at(s, sim_now_us(s) + LOOK_US, look_fire, arg, NULL);
}

void brawl_begin(struct brawl *b)
{
    sim_at(b->sim, sim_now_us(b->sim), look_fire, b, NULL);
}

/* ---- The end ---- */

static bool has_node(struct sim *s, const struct arena *a, const char *name)
{
    for (int i = 0; i < sim_nodes(s); i++)
        if (sim_node_up(sim_node(s, i)) && !sim_node_retired(sim_node(s, i)) &&
            may_run(a, name, sim_node_name(sim_node(s, i))))
            return true;
    return false;
}

static struct sim_node *any_node(struct sim *s)
{
    for (int i = 0; i < sim_nodes(s); i++)
        if (sim_node_up(sim_node(s, i)) && !sim_node_retired(sim_node(s, i)))
            return sim_node(s, i);
    return NULL;
}

/* Views that look into JSON are for people, who trust the schema; skepd does not. */
static struct stmt *query(struct sim_node *at, const char *sql)
{
    struct db *db = store_db(node_store(sim_brain_of(sim_node_brain(at))));
    db_exec(db, "PRAGMA trusted_schema = ON", NULL);
    return stmt_new(db, sql);
}

struct tally {
    struct brawl *brawl;
    int runs;
};

static void add_one(void *ctx, const struct sim_process *p)
{
    struct tally *t = ctx;
    t->runs += arena_of(p->swarm) != NULL;
}

static bool names_run(struct sim *s, void *ctx, struct str *why)
{
    struct brawl *b = ctx;
    struct tally t = {b, 0};
    struct sim_node *at = any_node(s);
    int want = 0;
    if (!b->audited || !at || sim_brain_in_doubt(s))
        return true;
    struct stmt *q =
        query(at, "SELECT n.swarm, n.name, c.status IS 'failed', coalesce(c.status, 'nothing') || ' at ' || "
                  "coalesce(o.name, '?') || ' under ' || n.epoch FROM name n LEFT JOIN child c ON "
                  "c.swarm = n.swarm AND c.name = n.name AND c.epoch = n.epoch LEFT JOIN node o ON "
                  "o.node = n.owner WHERE n.kind = 'child'");
    while (stmt_step(q, NULL) == 1) {
        const struct arena *a = arena_of(col_text(q, 0));
        if (!a)
            continue;
        int runs = sim_running(s, a->swarm, col_text(q, 1), NULL);
        int should = has_node(s, a, col_text(q, 1)) && !col_i64(q, 2);
        want += should;
        if (runs != should)
            str_printf(why, "%s of swarm %s runs %d times, which should be %d: %s; ", col_text(q, 1),
                       a->swarm, runs, should, col_text(q, 3));
    }
    stmt_free(q);
    sim_processes(s, add_one, &t);
    if (why->n == 0 && t.runs != want)
        str_printf(why, "%d processes run, and there are names for %d; ", t.runs, want);
    return why->n == 0;
}

/* Whatever was broken meanwhile. */
static const char *const betrayals[] = {
    "SELECT group_concat(o.operation || ' (' || o.kind || ', ' || o.state || ' at ' || o.node || ') is open: "
    "' || "
    "coalesce((SELECT group_concat(p.part || ' ' || p.state || ' at ' || p.node || ' ' || "
    "coalesce(p.result, '?')) FROM operation_part p WHERE p.operation = o.operation), 'no parts')) "
    "FROM operation o WHERE o.ended_at = 0 AND o.state = 'rolling_back'",
    "SELECT group_concat(n.name || ' lives for ' || o.operation || ', which was rolled back') FROM name n "
    "JOIN operation o ON o.operation = n.op WHERE n.kind = 'child' AND o.state = 'rolling_back'",
    "SELECT group_concat(n.name || ' lives for ' || o.operation || ', which says ' || coalesce((SELECT "
    "group_concat(v.became || ' ' || coalesce(v.code, '') || ' ' || coalesce(v.node, '')) FROM "
    "v_operation_name v "
    "WHERE v.operation = o.operation AND v.name = n.name), 'nothing')) FROM name n JOIN operation o ON "
    "o.operation = n.op WHERE n.kind = 'child' AND o.ended_at <> 0 AND NOT EXISTS (SELECT 1 FROM "
    "v_operation_name "
    "v WHERE v.operation = o.operation AND v.name = n.name AND (v.became = 'started' OR (v.became = 'error' "
    "AND "
    "v.node IS NOT NULL)))",
    "SELECT group_concat(v.operation || ' has not got ' || v.name || ', but others') FROM v_operation_name v "
    "JOIN "
    "operation o USING (operation) WHERE o.kind = 'start' AND o.ended_at <> 0 AND json_extract(o.options, "
    "'$.mode') = "
    "'all_or_none' AND v.became = 'error' AND (v.code IN ('already_started', 'no_node_available') OR (v.code "
    "= "
    "'timeout' AND v.node IS NULL)) AND EXISTS (SELECT 1 FROM name n WHERE n.op = o.operation) AND NOT "
    "EXISTS "
    "(SELECT 1 FROM v_operation_name t WHERE t.operation = v.operation AND t.name = v.name AND (t.became = "
    "'started' OR t.code = 'start_failed'))", /* v is the second of two of that name, then */
};

/* ---- Results ---- */

struct result {
    char **lines; /* "list name node code" */
    size_t n, cap;
};

static void result_add(struct result *r, char *line)
{
    ARRAY_GROW(r->lines, r->n, r->cap);
    r->lines[r->n++] = line;
}

static void result_fini(struct result *r)
{
    for (size_t i = 0; i < r->n; i++)
        free(r->lines[i]);
    free(r->lines);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* As the outcome of the call and GET /v1/operations have it. Whether each name has one. */
static bool result_told(struct sim_node *at, const struct operation_row *op, struct result *ret)
{
    static const struct {
        const char *list, *became;
    } lists[] = {{"started", "started"},
                 {"stopped", "stopped"},
                 {"existing", "existing"},
                 {"errors", "error"},
                 {"undone", "undone"}};
    AUTOSTR struct str body = STR_INIT, names = STR_INIT;
    int refused;
    struct span one;
    operation_result(sim_brain_of(sim_node_brain(at)), op, &body, &names, &refused);
    for (size_t i = 0; i < COUNT(lists); i++) {
        struct json_iter it = json_iter_init(json_raw_member(str_get(&body), body.n, lists[i].list));
        while (json_iter_next(&it, NULL, &one)) {
            AUTOSTR struct str line = STR_INIT;
            str_puts(&line, lists[i].became);
            for (const char *const *m = (const char *const[]){"name", "node", "code", NULL}; *m; m++) {
                struct span v = json_raw_member(one.p, one.n, *m);
                str_putc(&line, ' ');
                if (v.p && *v.p == '"')
                    json_unquote(v, &line);
            }
            result_add(ret, str_take(&line));
        }
    }
    if (ret->n)
        qsort(ret->lines, ret->n, sizeof *ret->lines, by_text);
    struct batch_options o;
    batch_options_read(op, &o);
    struct span undone = json_raw_member(str_get(&body), body.n, "rollback");
    bool whole = refused || (undone.p && *undone.p == 't') || (int64_t)ret->n == o.total;
    batch_options_fini(&o);
    return whole;
}

static void result_sql(struct sim_node *at, const char *operation, struct result *ret)
{
    struct stmt *q = query(at, "SELECT became || ' ' || name || ' ' || coalesce(node, '') || ' ' || "
                               "coalesce(code, '') FROM v_operation_name WHERE operation = ?1 AND became IN "
                               "('started', 'stopped', 'existing', 'error', 'undone') ORDER BY 1");
    stmt_text(q, 1, operation);
    while (stmt_step(q, NULL) == 1)
        result_add(ret, mem_dup(col_text(q, 0)));
    stmt_free(q);
}

static void differ(const char *op, const struct result *a, const struct result *b, const char *what,
                   struct str *why)
{
    size_t i = 0;
    while (i < a->n && i < b->n && strcmp(a->lines[i], b->lines[i]) == 0)
        i++;
    if (i < a->n || i < b->n)
        str_printf(why, "%s: %s: %s, not %s; ", op, what, i < a->n ? a->lines[i] : "nothing",
                   i < b->n ? b->lines[i] : "nothing");
}

static void result_holds(struct sim *s, struct sim_node *first, const struct operation_row *op,
                         struct str *why)
{
    struct result told = {0};
    if (!result_told(first, op, &told))
        str_printf(why, "%s: %zu outcomes; ", op->operation, told.n);
    for (int i = 0; i < sim_nodes(s); i++) {
        struct sim_node *at = sim_node(s, i);
        struct result sql = {0};
        if (!sim_node_up(at) || sim_node_retired(at))
            continue;
        result_sql(at, op->operation, &sql);
        differ(op->operation, &told, &sql, sim_node_name(at), why);
        result_fini(&sql);
    }
    result_fini(&told);
}

/* Every name has one outcome, the same in HTTP and SQL, on all nodes. */
static bool results_hold(struct sim *s, void *ctx, struct str *why)
{
    const struct brawl *b = ctx;
    struct sim_node *at = any_node(s);
    struct operation_row op = {0};
    if (!b->audited || !at || sim_brain_in_doubt(s))
        return true;
    struct stmt *q = query(at, "SELECT operation FROM operation WHERE ended_at <> 0");
    while (why->n == 0 && stmt_step(q, NULL) == 1) {
        mem_replace(&op.operation, col_text(q, 0));
        if (store_load(node_store(sim_brain_of(sim_node_brain(at))), T_OPERATION, &op, NULL) == 1)
            result_holds(s, at, &op, why);
    }
    stmt_free(q);
    row_fini(T_OPERATION, &op);
    return why->n == 0;
}

static bool operations_hold(struct sim *s, void *ctx, struct str *why)
{
    const struct brawl *b = ctx;
    struct sim_node *at = any_node(s);
    for (size_t i = 0; i < COUNT(betrayals) && b->audited && at && !sim_brain_in_doubt(s); i++) {
        struct stmt *q = query(at, betrayals[i]);
        const char *betrayed = stmt_step(q, NULL) == 1 ? col_text(q, 0) : "it cannot be read";
        if (betrayed)
            str_printf(why, "%.600s; ", betrayed);
        stmt_free(q);
    }
    return why->n == 0;
}

void brawl_audit(struct brawl *b)
{
    b->audited = true;
}

struct brawl *brawl_new(struct sim *s)
{
    struct brawl *b = mem_alloc(sizeof *b);
    b->sim = s;
    sim_check_add(s, &(struct sim_check){"each name of a brawl runs once, if it may", false, names_run, b});
    sim_check_add(
        s, &(struct sim_check){"what lives for many at once is what was said", false, operations_hold, b});
    sim_check_add(s,
                  &(struct sim_check){"each of many has one outcome, for everybody", false, results_hold, b});
    return b;
}

void brawl_free(struct brawl *b)
{
    free(b);
}

void brawl_summary(struct brawl *b)
{
    for (int d = 0; d < DEEDS; d++) {
        const int *c = b->counts[d];
        sim_note(b->sim, NULL, "brawl: %-8s 2xx %-5d 4xx %-5d 5xx %-5d unanswered %d", deed_words[d], c[2],
                 c[4], c[5], c[0]);
    }
    sim_note(b->sim, NULL, "brawl: %lld looks at a process", (long long)b->seen);
}
