/* Clients that count by compare-and-set. They speak HTTP as the API has it and know nothing of what is
 * behind; whether the processes are there at all is asked by others (load.h, crowd.h).
 */
#include "sim/tally.h"

#include <stdio.h>
#include <string.h>

#include "base/ensure.h"
#include "wire/json.h"

#define TIMEOUT_MS 35000
#define REST_US    (45 * SIM_SECOND) /* what nobody knows has happened by then, or never will */
#define CLIENTS    4                 /* at one process at once */
#define OPS_MAX    150               /* of one history */
#define TRIES_MAX  200000
#define UNREAD     (-1)

static const char *const kind_words[TALLY_KINDS] = {"add", "read"};

struct place {
    char name[32], path[80];
    bool there; /* it was started */
    struct history history;
    int64_t initial;
    bool spoilt;     /* the history has ended; what comes is not recorded */
    int64_t last_us; /* when the last operation ended */
    int64_t number;  /* as an answer said lately; UNREAD = none has */
    char rev[32];    /* of that */
    int open;
};

struct tally {
    struct sim *sim;
    struct place *places;
    int places_n, open;
    int64_t judged, added, histories, undecided;
    bool audited;
};

struct errand {
    struct tally *tally;
    struct place *place;
    bool starts, recorded;
    enum tally_kind kind;
    int node;
    int64_t begun_us, from;
    size_t op;
};

/* ---- The model ---- */

bool tally_step(int64_t state, const struct hist_op *op, int64_t *ret_state)
{
    bool known = state != TALLY_ANY;
    if (op->kind == TALLY_READ) {
        *ret_state = op->end == HIST_OK ? op->got : state;
        return op->end != HIST_OK || !known || state == op->got;
    }
    bool fits = !known || state == op->arg2;
    *ret_state = op->end == HIST_OK || (known && fits) ? op->arg : state;
    return op->end != HIST_OK || fits;
}

static void note_history(const struct tally *t, const struct place *p, size_t bad)
{
    AUTOSTR struct str text = STR_INIT;
    history_print(&p->history, kind_words, &text);
    sim_note(t->sim, NULL, "%s has no order: %zu fits nowhere in", p->name, bad);
    for (char *line = strtok(text.p, "\n"); line; line = strtok(NULL, "\n"))
        sim_note(t->sim, NULL, "  %s", line);
}

/* False, with the story appended: there is no order. */
static bool judge(struct tally *t, struct place *p, struct str *why)
{
    size_t bad = 0;
    enum linear verdict = linear_check(&p->history, p->initial, tally_step, TRIES_MAX, &bad);
    t->histories++;
    t->judged += (int64_t)p->history.n;
    t->undecided += verdict == LINEAR_UNDECIDED;
    if (verdict != LINEAR_NO)
        return true;
    const struct hist_op *o = &p->history.ops[bad];
    note_history(t, p, bad);
    str_printf(why, "a %s of %s, asked of %s at %.6f, came to %lld, which fits no order; ",
               kind_words[o->kind], p->name, sim_node_name(sim_node(t->sim, o->client)),
               (double)o->begun_us / SIM_SECOND, (long long)(o->kind == TALLY_READ ? o->got : o->arg));
    return false;
}

/* ---- Histories ---- */

/* Whether what was under way when the history ended has had its time. */
static bool has_rested(const struct tally *t, const struct place *p)
{
    return !p->open && sim_promised(t->sim, SIM_ANSWERS, p->last_us) &&
           sim_now_us(t->sim) >= p->last_us + REST_US;
}

static void begin_anew(struct tally *t, struct place *p)
{
    AUTOSTR struct str why = STR_INIT;
    if (!judge(t, p, &why))
        sim_violation(t->sim, "%s", str_get(&why));
    history_clear(&p->history);
    p->initial = TALLY_ANY;
    p->number = UNREAD;
    p->spoilt = false;
}

/* Whether one more client may come. While answers bind nobody they do, and are not recorded. */
static bool has_room(struct tally *t, struct place *p)
{
    if (p->spoilt && has_rested(t, p))
        begin_anew(t, p);
    bool resting = p->spoilt && sim_promised(t->sim, SIM_ANSWERS, sim_now_us(t->sim));
    return !resting && p->open < CLIENTS;
}

/* ---- What an answer says ---- */

/* The number of a process's document; UNREAD: there is none. */
static int64_t number_of(struct span document)
{
    int64_t n;
    struct span metadata = json_raw_member(document.p, document.n, "metadata");
    struct span raw = metadata.p ? json_raw_member(metadata.p, metadata.n, "n") : (struct span){NULL, 0};
    return raw.p && json_int(raw, &n) ? n : UNREAD;
}

static void remember(struct place *p, struct span document)
{
    AUTOSTR struct str rev = STR_INIT;
    struct span raw = json_raw_member(document.p, document.n, "rev");
    if (!raw.p || !json_unquote(raw, &rev) || rev.n >= sizeof p->rev)
        return;
    p->number = number_of(document);
    snprintf(p->rev, sizeof p->rev, "%s", str_get(&rev));
}

static enum hist_end end_of(const struct errand *e, const struct sim_reply *r)
{
    if (r->status == 200)
        return HIST_OK;
    bool nothing = r->status == 503 || r->status == 412 || (r->status == 0 && !r->sent);
    return nothing || e->kind == TALLY_READ ? HIST_FAILED : HIST_UNKNOWN;
}

static void errand_done(struct sim *s, void *arg, const struct sim_reply *r)
{
    AUTOFREE struct errand *e = arg;
    struct place *p = e->place;
    struct span body = {r->body, r->body_n};
    enum hist_end end = end_of(e, r);
    sim_trace(s, sim_node(s, e->node), "tally %s %s %lld: %d %.300s", p->name,
              e->starts ? "start" : kind_words[e->kind], (long long)e->from, r->status, r->body);
    p->open--;
    e->tally->open--;
    p->last_us = sim_now_us(s);
    if (e->starts) {
        p->there |= r->status == 201 || r->status == 409;
        return;
    }
    /* it may be gone, with its number, where answers did not bind: who starts it again counts from 0 */
    if (!sim_promised(s, SIM_ANSWERS, e->begun_us) || r->status == 404) {
        end = e->kind == TALLY_READ ? HIST_FAILED : HIST_UNKNOWN;
        p->spoilt = true;
        p->there &= r->status != 404;
    }
    if (e->recorded)
        history_end(&p->history, e->op, p->last_us, end, 0, r->status == 200 ? number_of(body) : 0);
    e->tally->added += e->kind == TALLY_ADD && end == HIST_OK;
    if (r->status == 200)
        remember(p, body);
    p->spoilt |= p->history.n >= OPS_MAX;
}

/* ---- Operations ---- */

static void errand_send(struct errand *e TAKES)
{
    char body[160];
    const struct place *p = e->place;
    struct sim_ask a = {.node = e->node,
                        .path = p->path,
                        .timeout_ms = TIMEOUT_MS,
                        .method = e->starts               ? HTTP_M_PUT
                                  : e->kind == TALLY_READ ? HTTP_M_GET
                                                          : HTTP_M_PATCH,
                        .done = errand_done,
                        .drop = free,
                        .arg = e};
    snprintf(body, sizeof body, "{\"metadata\":{\"n\":%lld}}", (long long)e->from + 1);
    if (e->starts) {
        a.body = "{\"argv\":[\"/bin/counter\"],\"restart\":\"permanent\",\"max_restarts\":1000,"
                 "\"metadata\":{\"n\":0}}";
    } else if (e->kind == TALLY_READ) {
        a.query = "read=owner";
    } else {
        a.body = body;
        a.if_match = p->rev;
        a.query = sim_nodes(e->tally->sim) > 1 ? "acks=2" : NULL;
    }
    sim_ask(e->tally->sim, &a);
}

static void errand_begin(struct tally *t, struct place *p, enum tally_kind kind, int node)
{
    struct errand *e = mem_alloc(sizeof *e);
    *e = (struct errand){.tally = t,
                         .place = p,
                         .starts = !p->there,
                         .recorded = p->there && !p->spoilt,
                         .kind = kind,
                         .node = node,
                         .begun_us = sim_now_us(t->sim),
                         .from = kind == TALLY_ADD ? p->number : UNREAD};
    if (e->recorded)
        e->op = history_begin(&p->history, e->begun_us, node, (int)kind, e->from + 1, e->from);
    p->open++;
    t->open++;
    errand_send(e);
}

void tally_act(struct tally *t)
{
    struct prng *prng = sim_prng(t->sim);
    struct place *p = &t->places[prng_below(prng, (uint64_t)t->places_n)];
    bool reads = p->number == UNREAD || prng_below(prng, 3) == 0;
    int clients = 1 + (int)prng_below(prng, 3); /* who have read the same */
    for (int i = 0; i < clients && has_room(t, p); i++)
        errand_begin(t, p, reads ? TALLY_READ : TALLY_ADD,
                     (int)prng_below(prng, (uint64_t)sim_nodes(t->sim)));
}

int tally_open(const struct tally *t)
{
    return t->open;
}

/* ---- The end ---- */

void tally_audit(struct tally *t)
{
    ensure(t->open == 0, "%d operations are open", t->open);
    for (int i = 0; i < t->places_n; i++) {
        struct place *p = &t->places[i];
        if (p->spoilt && has_rested(t, p))
            begin_anew(t, p);
        for (int node = 0; node < sim_nodes(t->sim) && p->there; node++)
            if (sim_node_up(sim_node(t->sim, node)) && !sim_node_retired(sim_node(t->sim, node)))
                errand_begin(t, p, TALLY_READ, node);
    }
    t->audited = true;
}

static bool orders_exist(struct sim *s UNUSED, void *ctx, struct str *why)
{
    struct tally *t = ctx;
    bool good = true;
    for (int i = 0; i < t->places_n && t->audited; i++)
        good &= judge(t, &t->places[i], why);
    return good;
}

struct tally *tally_new(struct sim *s, int processes)
{
    struct tally *t = mem_alloc(sizeof *t);
    t->sim = s;
    t->places_n = processes;
    t->places = mem_array((size_t)processes, sizeof *t->places);
    for (int i = 0; i < processes; i++) {
        struct place *p = &t->places[i];
        p->number = UNREAD;
        p->initial = TALLY_ANY; /* who starts it late, after an answer that was lost, is not known */
        snprintf(p->name, sizeof p->name, "tally-%d", i);
        snprintf(p->path, sizeof p->path, "/v1/swarms/default/children/%s", p->name);
    }
    sim_check_add(s, &(struct sim_check){"no increment was lost", false, orders_exist, t});
    return t;
}

void tally_free(struct tally *t)
{
    if (!t)
        return;
    for (int i = 0; i < t->places_n; i++)
        history_fini(&t->places[i].history);
    free(t->places);
    free(t);
}

void tally_summary(struct tally *t)
{
    sim_note(t->sim, NULL, "tally    %lld added, %lld operations in %lld histories, %lld undecided",
             (long long)t->added, (long long)t->judged, (long long)t->histories, (long long)t->undecided);
}
