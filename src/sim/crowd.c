/* Clients that do not wait for each other. They speak HTTP as the API has it; what their answers mean for a
 * name is the model's (linear.h).
 */
#include "sim/crowd.h"

#include <stdio.h>
#include <string.h>

#include "base/ensure.h"
#include "wire/json.h"

#define TIMEOUT_MS 35000
#define REST_US    (45 * SIM_SECOND) /* what nobody knows has happened by then, or never will */
#define CLIENTS    5                 /* at one name at once */
#define OPS_MAX    180               /* of one history */
#define TRIES_MAX  200000

enum way {
    WAY_START,
    WAY_START_OR_GET,
    WAY_STOP,
    WAY_CALL,
    WAY_LOOK,
    WAY_REGISTER,
    WAY_RENEW,
    WAY_REPLACE,
    WAY_REMOVE,
    WAY_FIND,
};

static const enum claim_kind kinds[] = {
    [WAY_START] = CLAIM_TAKE, [WAY_START_OR_GET] = CLAIM_TAKE, [WAY_STOP] = CLAIM_FREE,
    [WAY_CALL] = CLAIM_CALL,  [WAY_LOOK] = CLAIM_READ,         [WAY_REGISTER] = CLAIM_TAKE,
    [WAY_RENEW] = CLAIM_TAKE, [WAY_REPLACE] = CLAIM_REPLACE,   [WAY_REMOVE] = CLAIM_FREE,
    [WAY_FIND] = CLAIM_READ,
};

struct place {
    char name[32], path[80];
    bool child;
    struct history history;
    int64_t initial;
    bool spoilt;     /* the history has ended; what comes is not recorded */
    int64_t last_us; /* when the last operation ended */
    int64_t holder;  /* as an answer said lately; to be renewed or replaced */
    char rev[32];    /* of that */
    int open;        /* operations under way */
};

struct crowd {
    struct sim *sim;
    struct place *places;
    int places_n, open;
    int64_t numbers; /* every start and address has one of its own */
    int64_t judged, histories, undecided;
    bool audited;
};

struct errand {
    struct crowd *crowd;
    struct place *place;
    enum way way;
    int node;
    int64_t begun_us, number;
    bool recorded, audit;
    size_t op;
};

/* ---- What an answer says ---- */

/* A member of an object, of a member of it …: NULL ends the names. */
static struct span inside(struct span object, const char *const *names)
{
    for (; *names && object.p; names++)
        object = json_raw_member(object.p, object.n, *names);
    return object;
}

static int64_t number_in(struct span raw)
{
    int64_t v;
    return raw.p && json_int(raw, &v) ? v : 0;
}

/* "10.a.b.c:80" */
static int64_t address_number(struct span raw)
{
    AUTOSTR struct str text = STR_INIT;
    long long a, b, c;
    if (!raw.p || !json_unquote(raw, &text) ||
        sscanf(str_get(&text), "10.%lld.%lld.%lld:80", &a, &b, &c) != 3)
        return 0;
    return a << 16 | b << 8 | c;
}

/* Who holds the name, as a child's or an address's document says; 0 = it does not. */
static int64_t holder_of(const struct place *p, struct span document)
{
    return p->child ? number_in(inside(document, (const char *const[]){"metadata", "start", NULL}))
                    : address_number(inside(document, (const char *const[]){"address", NULL}));
}

static bool text_is(struct span raw, const char *want)
{
    AUTOSTR struct str text = STR_INIT;
    return raw.p && json_unquote(raw, &text) && strcmp(str_get(&text), want) == 0;
}

struct outcome {
    enum hist_end end;
    enum claim_verdict verdict;
    int64_t got;
};

#define UNKNOWN                                                                                              \
    (struct outcome)                                                                                         \
    {                                                                                                        \
        HIST_UNKNOWN, CLAIM_DONE, 0                                                                          \
    }
#define FAILED                                                                                               \
    (struct outcome)                                                                                         \
    {                                                                                                        \
        HIST_FAILED, CLAIM_DONE, 0                                                                           \
    }
#define SAYS(verdict, got)                                                                                   \
    (struct outcome)                                                                                         \
    {                                                                                                        \
        HIST_OK, verdict, got                                                                                \
    }

/* Somebody holds it, perhaps we: then our operation took place. */
static struct outcome held(const struct errand *e, int64_t who)
{
    return who && who == e->number ? SAYS(CLAIM_DONE, 0) : SAYS(CLAIM_HELD, who);
}

static struct outcome of_take(const struct errand *e, const struct sim_reply *r, struct span body)
{
    const struct place *p = e->place;
    if (r->status == 201)
        return SAYS(CLAIM_DONE, 0);
    if (r->status == 200 && !p->child)
        return SAYS(CLAIM_SAME, 0);
    if (r->status == 200)
        return held(e, holder_of(p, body));
    if (r->status == 409)
        return held(e, holder_of(p, json_raw_member(body.p, body.n, p->child ? "child" : "holder")));
    return UNKNOWN; /* 422: it did not start, or was stopped before it had */
}

static struct outcome of_read(const struct errand *e, const struct sim_reply *r, struct span body)
{
    struct span status = json_raw_member(body.p, body.n, "status");
    if (r->status == 404)
        return SAYS(CLAIM_NOBODY, 0);
    if (r->status != 200 || (e->place->child && (text_is(status, "starting") || text_is(status, "failed"))))
        return FAILED;
    return SAYS(CLAIM_DONE, holder_of(e->place, body));
}

static struct outcome outcome_of(const struct errand *e, const struct sim_reply *r)
{
    struct span body = {r->body, r->body_n};
    struct span copies = r->body ? json_raw_member(body.p, body.n, "copies") : (struct span){NULL, 0};
    bool reads = kinds[e->way] == CLAIM_READ;
    if (r->status == 503 || (r->status == 0 && !r->sent))
        return FAILED;
    if (!r->body || r->status == 0 || r->status >= 500)
        return reads ? FAILED : UNKNOWN;
    if (copies.p && number_in(copies) == 0 && sim_nodes(e->crowd->sim) > 1)
        return UNKNOWN;
    switch (kinds[e->way]) {
    case CLAIM_TAKE:
        return of_take(e, r, body);
    case CLAIM_REPLACE:
        return r->status == 201 ? SAYS(CLAIM_DONE, 0) : r->status == 412 ? SAYS(CLAIM_HELD, 0) : UNKNOWN;
    case CLAIM_FREE:
        return r->status == 200   ? SAYS(CLAIM_DONE, holder_of(e->place, body))
               : r->status == 404 ? SAYS(CLAIM_NOBODY, 0)
                                  : UNKNOWN;
    case CLAIM_READ:
        return of_read(e, r, body);
    case CLAIM_CALL:
        return r->status == 200   ? SAYS(CLAIM_DONE, number_in(json_raw_member(body.p, body.n, "data")))
               : r->status == 404 ? SAYS(CLAIM_NOBODY, 0)
                                  : UNKNOWN;
    case CLAIM_KINDS:
        break;
    }
    unreachable("way %d", (int)e->way);
}

/* ---- Histories ---- */

static void note_history(const struct crowd *c, const struct place *p, size_t bad)
{
    AUTOSTR struct str text = STR_INIT;
    history_print(&p->history, claim_words, &text);
    sim_note(c->sim, NULL, "%s has no order: %zu fits nowhere in", p->name, bad);
    for (char *line = strtok(text.p, "\n"); line; line = strtok(NULL, "\n"))
        sim_note(c->sim, NULL, "  %s", line);
}

/* Of clients who stop the same process at the same time each is told that it is gone. So it is with an
 * address that waits for its second copy: while it waits it may be removed, registered again, and removed
 * again. */
static void meet(struct history *h, bool child)
{
    for (size_t i = 0; i < h->n; i++) {
        for (size_t j = 0; j < h->n; j++) {
            struct hist_op *a = &h->ops[i], *b = &h->ops[j];
            if (i != j && a->kind == CLAIM_FREE && b->kind == CLAIM_FREE && a->end == HIST_OK &&
                a->verdict == CLAIM_DONE && b->end != HIST_FAILED && b->verdict != CLAIM_NOBODY &&
                (child || a->got == b->got) && a->begun_us <= b->ended_us && b->begun_us <= a->ended_us)
                a->verdict = CLAIM_SAME;
        }
    }
}

/* How often an address was registered, as far as it is known; once more for who was there at the beginning.
 */
static int registered(const struct history *h, int64_t number, int64_t initial)
{
    int times = initial == CLAIM_ANY;
    for (size_t i = 0; i < h->n; i++) {
        const struct hist_op *o = &h->ops[i];
        bool took = o->end != HIST_FAILED && (o->end != HIST_OK || o->verdict == CLAIM_DONE);
        times += (o->kind == CLAIM_TAKE || o->kind == CLAIM_REPLACE) && o->arg == number && took;
    }
    return times;
}

/* A replacement names what it replaces by its revision: of an address that was removed and registered again
 * there are two, and to be refused for the older one says nothing about who is there. */
static void mistaken(struct place *p)
{
    struct history *h = &p->history;
    for (size_t i = 0; i < h->n; i++) {
        struct hist_op *o = &h->ops[i];
        if (o->kind == CLAIM_REPLACE && o->end == HIST_OK && o->verdict == CLAIM_HELD &&
            registered(h, o->arg2, p->initial) > 1)
            o->end = HIST_FAILED;
    }
}

/* Whether an answer says that this one had the name. */
static bool is_seen(const struct history *h, int64_t number)
{
    for (size_t i = 0; i < h->n; i++) {
        const struct hist_op *o = &h->ops[i];
        bool replaced = o->kind == CLAIM_REPLACE && o->verdict == CLAIM_DONE && o->arg2 == number;
        if (o->end == HIST_OK && (o->got == number || replaced))
            return true;
    }
    return false;
}

/* What is tried again through another home may find that it had succeeded, been seen by others and ended by
 * them: it is then told who is there now, which says nothing of what became of it. */
static void undone(struct history *h)
{
    for (size_t i = 0; i < h->n; i++) {
        struct hist_op *o = &h->ops[i];
        bool takes = o->kind == CLAIM_TAKE || o->kind == CLAIM_REPLACE;
        if (takes && o->end == HIST_OK && o->verdict == CLAIM_HELD && is_seen(h, o->arg)) {
            o->end = HIST_UNKNOWN;
            o->ended_us = INT64_MAX;
        }
    }
}

/* False, with the story appended: there is no order. */
static bool judge(struct crowd *c, struct place *p, struct str *why)
{
    size_t bad = 0;
    meet(&p->history, p->child);
    undone(&p->history);
    mistaken(p);
    enum linear verdict = linear_check(&p->history, p->initial, claim_step, TRIES_MAX, &bad);
    c->histories++;
    c->judged += (int64_t)p->history.n;
    c->undecided += verdict == LINEAR_UNDECIDED;
    if (verdict != LINEAR_NO)
        return true;
    const struct hist_op *o = &p->history.ops[bad];
    note_history(c, p, bad);
    str_printf(why, "a %s of %s, asked of %s at %.6f, was told %d %lld, which fits no order; ",
               claim_words[o->kind], p->name, sim_node_name(sim_node(c->sim, o->client)),
               (double)o->begun_us / SIM_SECOND, o->verdict, (long long)o->got);
    return false;
}

/* Whether what was under way when the history ended has had its time. */
static bool has_rested(const struct crowd *c, const struct place *p)
{
    return !p->open && sim_promised(c->sim, SIM_ANSWERS, p->last_us) &&
           sim_now_us(c->sim) >= p->last_us + REST_US;
}

static void begin_anew(struct crowd *c, struct place *p)
{
    AUTOSTR struct str why = STR_INIT;
    if (!judge(c, p, &why))
        sim_violation(c->sim, "%s", str_get(&why));
    history_clear(&p->history);
    p->initial = CLAIM_ANY;
    p->spoilt = false;
}

/* Whether one more client may come. While answers bind nobody they do, and are not recorded. */
static bool has_room(struct crowd *c, struct place *p)
{
    if (p->spoilt && has_rested(c, p))
        begin_anew(c, p);
    bool resting = p->spoilt && sim_promised(c->sim, SIM_ANSWERS, sim_now_us(c->sim));
    return !resting && p->open < CLIENTS;
}

/* ---- Operations ---- */

static void remember(struct place *p, const struct sim_reply *r)
{
    AUTOSTR struct str rev = STR_INIT;
    struct span body = {r->body, r->body_n};
    struct span raw = json_raw_member(body.p, body.n, "rev");
    if (raw.p && json_unquote(raw, &rev) && rev.n < sizeof p->rev) {
        p->holder = holder_of(p, body);
        snprintf(p->rev, sizeof p->rev, "%s", str_get(&rev));
    }
}

static void errand_done(struct sim *s, void *arg, const struct sim_reply *r)
{
    AUTOFREE struct errand *e = arg;
    struct place *p = e->place;
    struct outcome o = outcome_of(e, r);
    sim_trace(s, sim_node(s, e->node), "crowd %s %s %lld: %d %.300s", p->name, claim_words[kinds[e->way]],
              (long long)e->number, r->status, r->body);
    p->open--;
    e->crowd->open--;
    p->last_us = sim_now_us(s);
    if (!sim_promised(s, SIM_ANSWERS, e->begun_us)) {
        o = kinds[e->way] == CLAIM_READ ? FAILED : UNKNOWN;
        p->spoilt = true;
    }
    if (e->recorded)
        history_end(&p->history, e->op, sim_now_us(s), o.end, (int)o.verdict, o.got);
    if (!p->child && (r->status == 200 || r->status == 201))
        remember(p, r);
    if (p->history.n >= OPS_MAX)
        p->spoilt = true;
}

static enum way choose(struct prng *prng, const struct place *p)
{
    uint64_t dice = prng_below(prng, 100);
    if (p->child)
        return dice < 25   ? WAY_START
               : dice < 35 ? WAY_START_OR_GET
               : dice < 50 ? WAY_STOP
               : dice < 75 ? WAY_CALL
                           : WAY_LOOK;
    bool known = p->holder != 0;
    return dice < 25            ? WAY_REGISTER
           : dice < 40 && known ? WAY_RENEW
           : dice < 60 && known ? WAY_REPLACE
           : dice < 75          ? WAY_REMOVE
                                : WAY_FIND;
}

static void body_of(const struct errand *e, char *ret, size_t ret_n)
{
    if (e->way == WAY_CALL)
        snprintf(ret, ret_n, "{\"data\":1}");
    else if (e->place->child)
        snprintf(ret, ret_n,
                 "{\"argv\":[\"/bin/counter\"],\"restart\":\"permanent\",\"max_restarts\":1000,"
                 "\"metadata\":{\"start\":%lld}}",
                 (long long)e->number);
    else
        snprintf(ret, ret_n, "{\"address\":\"10.%lld.%lld.%lld:80\"}", (long long)(e->number >> 16),
                 (long long)(e->number >> 8 & 255), (long long)(e->number & 255));
}

static void errand_send(struct errand *e TAKES)
{
    char path[96], body[200];
    const struct place *p = e->place;
    struct sim_ask a = {.node = e->node, .path = p->path, .timeout_ms = TIMEOUT_MS};
    body_of(e, body, sizeof body);
    switch (kinds[e->way]) {
    case CLAIM_TAKE:
    case CLAIM_REPLACE:
        a.method = HTTP_M_PUT;
        a.body = body;
        a.query = e->way == WAY_START_OR_GET ? "if_exists=return" : NULL;
        a.if_match = e->way == WAY_REPLACE ? p->rev : NULL;
        break;
    case CLAIM_FREE:
        a.method = HTTP_M_DELETE;
        break;
    case CLAIM_READ:
        a.method = HTTP_M_GET;
        a.query = e->audit ? NULL : "read=owner";
        break;
    case CLAIM_CALL:
        a.method = HTTP_M_POST;
        snprintf(path, sizeof path, "%s/calls", p->path);
        a.path = path;
        a.body = body;
        break;
    case CLAIM_KINDS:
        unreachable("way %d", (int)e->way);
    }
    a.done = errand_done;
    a.drop = free;
    a.arg = e;
    sim_ask(e->crowd->sim, &a);
}

static void errand_begin(struct crowd *c, struct place *p, enum way way, int node, bool audit)
{
    struct errand *e = mem_alloc(sizeof *e);
    bool takes = way == WAY_START || way == WAY_START_OR_GET || way == WAY_REGISTER || way == WAY_REPLACE;
    *e = (struct errand){.crowd = c,
                         .place = p,
                         .way = way,
                         .node = node,
                         .begun_us = sim_now_us(c->sim),
                         .number = takes              ? ++c->numbers
                                   : way == WAY_RENEW ? p->holder
                                                      : 0,
                         .recorded = !p->spoilt,
                         .audit = audit};
    if (e->recorded)
        e->op = history_begin(&p->history, e->begun_us, node, (int)kinds[way], e->number,
                              way == WAY_REPLACE ? p->holder : 0);
    sim_trace(c->sim, sim_node(c->sim, node), "crowd %s %s %lld …", p->name, claim_words[kinds[way]],
              (long long)e->number);
    p->open++;
    c->open++;
    errand_send(e);
}

void crowd_act(struct crowd *c)
{
    struct prng *prng = sim_prng(c->sim);
    if (!c->places_n)
        return;
    struct place *p = &c->places[prng_below(prng, (uint64_t)c->places_n)];
    int node = (int)prng_below(prng, (uint64_t)sim_nodes(c->sim));
    if (has_room(c, p))
        errand_begin(c, p, choose(prng, p), node, false);
}

int crowd_open(const struct crowd *c)
{
    return c->open;
}

/* ---- The end ---- */

void crowd_audit(struct crowd *c)
{
    ensure(c->open == 0, "%d operations are open", c->open);
    for (int i = 0; i < c->places_n; i++) {
        struct place *p = &c->places[i];
        if (p->spoilt && has_rested(c, p))
            begin_anew(c, p);
        for (int node = 0; node < sim_nodes(c->sim); node++)
            if (sim_node_up(sim_node(c->sim, node)) && !sim_node_retired(sim_node(c->sim, node)))
                errand_begin(c, p, p->child ? WAY_LOOK : WAY_FIND, node, true);
    }
    c->audited = true;
}

static bool orders_exist(struct sim *s UNUSED, void *ctx, struct str *why)
{
    struct crowd *c = ctx;
    bool good = true;
    for (int i = 0; i < c->places_n && c->audited; i++)
        good &= judge(c, &c->places[i], why);
    return good;
}

struct crowd *crowd_new(struct sim *s, int children, int names)
{
    struct crowd *c = mem_alloc(sizeof *c);
    c->sim = s;
    c->places_n = children + names;
    c->places = mem_array((size_t)c->places_n + 1, sizeof *c->places);
    for (int i = 0; i < c->places_n; i++) {
        struct place *p = &c->places[i];
        p->child = i < children;
        snprintf(p->name, sizeof p->name, "%s-%d", p->child ? "crowd" : "post", i);
        snprintf(p->path, sizeof p->path, "/v1/swarms/default/%s/%s", p->child ? "children" : "names",
                 p->name);
    }
    sim_check_add(s, &(struct sim_check){"clients of one name saw one order", false, orders_exist, c});
    return c;
}

void crowd_free(struct crowd *c)
{
    if (!c)
        return;
    for (int i = 0; i < c->places_n; i++)
        history_fini(&c->places[i].history);
    free(c->places);
    free(c);
}

void crowd_summary(struct crowd *c)
{
    sim_note(c->sim, NULL, "crowd    %lld operations in %lld histories, %lld undecided", (long long)c->judged,
             (long long)c->histories, (long long)c->undecided);
}
