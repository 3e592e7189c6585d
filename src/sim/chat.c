/* Sessions as clients use them. Every entry has a number as its content and in its key, so that whoever reads
 * a conversation can tell what is missing and what is there twice. It speaks HTTP and knows nothing of what
 * is behind.
 */
#include "sim/chat.h"

#include <stdio.h>
#include <string.h>

#include "base/ensure.h"
#include "wire/json.h"

#define TIMEOUT_MS 20000
#define TRIES      3  /* of one entry, each through another node */
#define CLIENTS    3  /* in one session at once */
#define SAID_MAX   60 /* entries of a session */
#define END_ONE_IN 15 /* things said */
#define LIVES      5  /* sessions in one place, one after the other */
#define SPREAD_US                                                                                            \
    (10 * SIM_SECOND) /* what is on one disk is on another one by then, unless that is suspended */

enum deed { DO_TEMPLATE, DO_SESSION, DO_ENTRY, DO_TURN, DO_END, DO_READ, DO_BRANCHES, DO_BRANCH, DO_HELD };
static const char *const deed_words[] = {"template", "session",  "entry",  "turn", "end",
                                         "read",     "branches", "branch", "held"};

/* What was said once. */
struct said {
    int64_t number;
    char id[64]; /* as the first 201 said; "" = none has */
    bool told;   /* a 201 that binds came */
};

struct talk {
    char name[32], path[64];
    bool there;
    bool ends, ended; /* somebody asked for its end; a 200 that binds came */
    struct said said[SAID_MAX];
    int said_n, open;
    /* what the audit heard */
    char *seen[SIM_NODES_MAX]; /* owned: the conversation as a node has it */
    int status[SIM_NODES_MAX];
    struct str branches; /* what lies beside it, as the first node has it */
};

/* A 201 that would bind, if what was said with one copy reaches others before its node loses it. */
struct oath {
    struct chat *chat;
    struct said *said; /* NULL: the end of a session */
    struct talk *talk;
    int64_t begun_us;
};

struct chat {
    struct sim *sim;
    struct talk *talks; /* one after the other takes the place of one that was ended */
    int *current;       /* owned: of talks, the places */
    int places, talks_n, talks_cap, open;
    bool template_there, audited;
    int64_t numbers, told, repeated, turns, ends;
    struct str held; /* what waits for a decision, of all nodes, as the audit heard */
    struct str broken;
};

struct errand {
    struct chat *chat;
    struct talk *talk;
    enum deed deed;
    int node, tries;
    int64_t begun_us;
    struct said *said;
    char path[160], body[200], key[48];
    const char *query;
};

static void errand_send(struct errand *e TAKES);

static int node_draw(struct chat *c)
{
    return (int)prng_below(sim_prng(c->sim), (uint64_t)sim_nodes(c->sim));
}

/* ---- What an answer says ---- */

static bool member_text(struct span object, const char *name, char *ret, size_t ret_n)
{
    AUTOSTR struct str text = STR_INIT;
    struct span raw = json_raw_member(object.p, object.n, name);
    if (!raw.p || !json_unquote(raw, &text) || text.n >= ret_n)
        return false;
    snprintf(ret, ret_n, "%s", str_get(&text));
    return true;
}

static bool lost_with_it(const struct chat *c, struct span body)
{
    struct span raw = json_raw_member(body.p, body.n, "copies");
    int64_t copies;
    return raw.p && json_int(raw, &copies) && copies == 0 && sim_nodes(c->sim) > 1;
}

static void oath_due(struct sim *s, void *arg)
{
    AUTOFREE struct oath *o = arg;
    bool binds = sim_lost_us(s) < o->begun_us;
    if (!o->said) {
        o->chat->ends += binds && !o->talk->ended;
        o->talk->ended |= binds;
        return;
    }
    o->chat->told += binds && !o->said->told;
    o->said->told |= binds;
}

/* An answer that binds, if it is still true in a while. */
static void swear(const struct errand *e)
{
    struct oath *o = mem_alloc(sizeof *o);
    *o = (struct oath){e->chat, e->said, e->talk, e->begun_us};
    sim_at(e->chat->sim, sim_now_us(e->chat->sim) + SPREAD_US, oath_due, o, free);
}

static void after_end(const struct errand *e, const struct sim_reply *r)
{
    struct span body = {r->body, r->body_n};
    if (r->status == 200 && sim_promised(e->chat->sim, SIM_ANSWERS, e->begun_us) &&
        !lost_with_it(e->chat, body))
        swear(e);
}

static void after_entry(const struct errand *e, const struct sim_reply *r)
{
    struct said *said = e->said;
    struct span body = {r->body, r->body_n};
    char id[sizeof said->id];
    if (r->status != 201 || !member_text(body, "id", id, sizeof id))
        return;
    if (*said->id && strcmp(said->id, id) != 0)
        sim_violation(e->chat->sim, "%s: %lld is the entry %s, and %s through %s", e->talk->name,
                      (long long)said->number, said->id, id, sim_node_name(sim_node(e->chat->sim, e->node)));
    memcpy(said->id, id, sizeof id);
    if (!sim_promised(e->chat->sim, SIM_ANSWERS, e->begun_us) || lost_with_it(e->chat, body))
        return;
    swear(e);
}

/* What no well-formed request of an administrator may get. */
static bool never(int status)
{
    return status == 400 || status == 401 || status == 403 || status == 405 || status == 500;
}

/* An entry is sent again, under the same key, until it is there; and sometimes once more. */
static bool wants_again(const struct errand *e, const struct sim_reply *r)
{
    if (e->deed != DO_ENTRY || e->tries >= TRIES)
        return false;
    return r->status != 201 || prng_below(sim_prng(e->chat->sim), 4) == 0;
}

static void hear(const struct errand *e, const struct sim_reply *r);

static void errand_done(struct sim *s, void *arg, const struct sim_reply *r)
{
    AUTOFREE struct errand *e = arg;
    struct chat *c = e->chat;
    sim_trace(s, sim_node(s, e->node), "%s %s %s: %d %.300s", deed_words[e->deed],
              e->talk ? e->talk->name : "", e->body, r->status, r->body);
    if (never(r->status))
        sim_violation(s, "%s %s at %s: %d %.200s", deed_words[e->deed], e->path,
                      sim_node_name(sim_node(s, e->node)), r->status, r->body);
    c->open--;
    if (e->talk)
        e->talk->open--;
    if (e->deed == DO_TEMPLATE)
        c->template_there |= r->status == 200 || r->status == 201;
    else if (e->deed == DO_SESSION)
        e->talk->there |= r->status == 201 || r->status == 409;
    else if (e->deed == DO_ENTRY)
        after_entry(e, r);
    else if (e->deed == DO_TURN)
        c->turns += r->status == 200;
    else if (e->deed == DO_END)
        after_end(e, r);
    else
        hear(e, r);
    if (!wants_again(e, r))
        return;
    c->repeated++;
    e->tries++;
    e->node = node_draw(c);
    errand_send(TAKE(e));
}

/* ---- Operations ---- */

static void errand_send(struct errand *e TAKES)
{
    bool reads = e->deed >= DO_READ;
    struct sim_ask a = {.node = e->node,
                        .method = reads                    ? HTTP_M_GET
                                  : e->deed == DO_END      ? HTTP_M_DELETE
                                  : e->deed == DO_TEMPLATE ? HTTP_M_PUT
                                                           : HTTP_M_POST,
                        .path = e->path,
                        .query = e->query,
                        .body = reads || e->deed == DO_END ? NULL : e->body,
                        .key = *e->key ? e->key : NULL,
                        .timeout_ms = TIMEOUT_MS,
                        .done = errand_done,
                        .drop = free,
                        .arg = e};
    e->begun_us = sim_now_us(e->chat->sim);
    e->chat->open++;
    if (e->talk)
        e->talk->open++;
    sim_ask(e->chat->sim, &a);
}

static struct errand *errand_new(struct chat *c, struct talk *t, enum deed deed)
{
    struct errand *e = mem_alloc(sizeof *e);
    e->chat = c;
    e->talk = t;
    e->deed = deed;
    e->node = node_draw(c);
    e->tries = 1;
    return e;
}

static void say(struct chat *c, struct talk *t)
{
    struct errand *e = errand_new(c, t, DO_ENTRY);
    e->said = &t->said[t->said_n++];
    e->said->number = ++c->numbers;
    snprintf(e->path, sizeof e->path, "%s/entries", t->path);
    snprintf(e->body, sizeof e->body, "{\"role\":\"user\",\"content\":\"said-%lld\"}", (long long)c->numbers);
    snprintf(e->key, sizeof e->key, "entry-%lld", (long long)c->numbers);
    errand_send(e);
}

static void turn(struct chat *c, struct talk *t)
{
    struct errand *e = errand_new(c, t, DO_TURN);
    snprintf(e->path, sizeof e->path, "%s/turns", t->path);
    snprintf(e->body, sizeof e->body, "{\"input\":1,\"wait\":true}");
    errand_send(e);
}

static void session_make(struct chat *c, struct talk *t)
{
    struct errand *e = errand_new(c, t, DO_SESSION);
    snprintf(e->path, sizeof e->path, "/v1/sessions");
    snprintf(e->body, sizeof e->body, "{\"id\":\"%s\",\"template\":\"talker\",\"resume\":\"lazy\"}", t->name);
    errand_send(e);
}

static void template_make(struct chat *c)
{
    struct errand *e = errand_new(c, NULL, DO_TEMPLATE);
    snprintf(e->path, sizeof e->path, "/v1/templates/talker");
    snprintf(e->body, sizeof e->body, "{\"argv\":[\"/bin/counter\"],\"turn_ms\":10000,\"idle_ms\":3000}");
    errand_send(e);
}

/* Ends a session; from now on another one is in its place. */
static void end(struct chat *c, struct talk *t, int place)
{
    struct errand *e = errand_new(c, t, DO_END);
    snprintf(e->path, sizeof e->path, "%s", t->path);
    t->ends = true;
    c->current[place] = c->talks_n++;
    errand_send(e);
}

void chat_act(struct chat *c)
{
    struct prng *p = sim_prng(c->sim);
    int place = (int)prng_below(p, (uint64_t)c->places);
    struct talk *t = &c->talks[c->current[place]];
    if (!c->template_there)
        template_make(c);
    else if (!t->there)
        session_make(c, t);
    else if (!t->open && c->talks_n < c->talks_cap && prng_below(p, END_ONE_IN) == 0)
        end(c, t, place);
    else if (t->open < CLIENTS && prng_below(p, 5) == 0)
        turn(c, t);
    else if (t->open < CLIENTS && t->said_n < SAID_MAX)
        say(c, t);
}

int chat_open(const struct chat *c)
{
    return c->open;
}

/* ---- The end ---- */

static void read_more(struct chat *c, struct talk *t, enum deed deed, int node, const char *head)
{
    struct errand *e = errand_new(c, t, deed);
    e->node = node;
    snprintf(e->path, sizeof e->path, "%s/%s", t->path, deed == DO_BRANCHES ? "branches" : "entries");
    snprintf(e->body, sizeof e->body, "limit=1000%s%s", head ? "&head=" : "", head ? head : "");
    e->query = e->body;
    if (t->ends) { /* is it there at all */
        snprintf(e->path, sizeof e->path, "%s", t->path);
        e->query = NULL;
    }
    errand_send(e);
}

/* The ends of what lies beside the conversation, each to be read. */
static void hear_branches(const struct errand *e, struct span body)
{
    struct json_iter it = json_iter_init(json_raw_member(body.p, body.n, "branches"));
    struct span one;
    char head[100];
    while (json_iter_next(&it, NULL, &one))
        if (member_text(one, "head", head, sizeof head))
            read_more(e->chat, e->talk, DO_BRANCH, e->node, head);
}

/* What an audit's question was answered. */
static void hear(const struct errand *e, const struct sim_reply *r)
{
    struct span body = {r->body, r->body_n};
    struct talk *t = e->talk;
    if (e->deed == DO_READ)
        t->status[e->node] = r->status;
    if (t && t->ends)
        return;
    if (r->status != 200) {
        str_printf(&e->chat->broken, "%s of %s: %d; ", deed_words[e->deed], t ? t->name : "all", r->status);
        return;
    }
    if (e->deed == DO_HELD)
        str_add(&e->chat->held, body.p, body.n);
    else if (e->deed == DO_BRANCHES)
        hear_branches(e, body);
    else if (e->deed == DO_BRANCH)
        str_add(&t->branches, body.p, body.n);
    else
        t->seen[e->node] = mem_copy(body.p, body.n);
}

static void read_held(struct chat *c, int node)
{
    struct errand *e = errand_new(c, NULL, DO_HELD);
    e->node = node;
    snprintf(e->path, sizeof e->path, "/v1/quarantine");
    e->query = "limit=1000";
    errand_send(e);
}

static bool can_be_asked(const struct chat *c, int node)
{
    const struct sim_node *n = sim_node(c->sim, node);
    return sim_node_up(n) && !sim_node_retired(n);
}

void chat_audit(struct chat *c)
{
    ensure(c->open == 0, "%d operations are open", c->open);
    for (int node = 0; node < sim_nodes(c->sim) && c->template_there; node++)
        if (can_be_asked(c, node))
            read_held(c, node);
    for (int i = 0; i < c->talks_n; i++) {
        bool first = true;
        for (int node = 0; node < sim_nodes(c->sim) && c->talks[i].there; node++) {
            if (!can_be_asked(c, node))
                continue;
            read_more(c, &c->talks[i], DO_READ, node, NULL);
            if (first && !c->talks[i].ends)
                read_more(c, &c->talks[i], DO_BRANCHES, node, NULL);
            first = false;
        }
    }
    c->audited = true;
}

static bool is_there(const char *text, const char *id)
{
    AUTOFREE char *member = mem_printf("\"id\":\"%s\"", id);
    return text && strstr(text, member);
}

/* A row that may have been deleted while two sides did not hear of each other waits for a person: until then
 * what was said lies there, and the conversation begins behind it. */
static bool is_held(const struct chat *c, const struct talk *t, const char *id)
{
    AUTOFREE char *key = mem_printf("\"%s/%s\"", t->name, id);
    return *id && strstr(str_get(&c->held), key);
}

/* Nodes where it lies aside and those that had it before they heard of any doubt tell the conversation each
 * in their own way until then. */
static bool is_disputed(const struct chat *c, const struct talk *t)
{
    char head[sizeof t->name + 4];
    snprintf(head, sizeof head, "\"%s/", t->name);
    return strstr(str_get(&c->held), head) != NULL;
}

/* Whether the conversation may begin behind that entry: there is none, or it waits for a decision. */
static bool may_begin_behind(const struct chat *c, const struct talk *t, const char *parent)
{
    return !*parent || is_held(c, t, parent);
}

/* One chain of parents, along which seq rises: no entry can come twice. */
static void chain_holds(const struct chat *c, const struct talk *t, const char *text, struct str *why)
{
    struct json_iter it = json_iter_init(json_raw_member(text, strlen(text), "entries"));
    struct span one;
    char parent[100] = "", id[100] = "", last[100] = "";
    for (int64_t before = 0, seq = 0; json_iter_next(&it, NULL, &one); before = seq) {
        struct span raw = json_raw_member(one.p, one.n, "seq");
        *parent = 0;
        member_text(one, "parent", parent, sizeof parent);
        member_text(one, "id", id, sizeof id);
        bool fits = *last ? strcmp(parent, last) == 0 : may_begin_behind(c, t, parent);
        if (!raw.p || !json_int(raw, &seq) || seq <= before || !fits)
            str_printf(why, "%s: entry %s (%lld, behind %s) comes behind %s (%lld); ", t->name, id,
                       (long long)seq, parent, last, (long long)before);
        memcpy(last, id, sizeof last);
    }
}

static int times(const char *text, const char *what)
{
    int n = 0;
    for (const char *p = text; (p = strstr(p, what)); p += strlen(what))
        n++;
    return n;
}

/* Nothing was said twice, and everything that was acknowledged is somewhere. */
static void all_was_kept(const struct chat *c, const struct talk *t, const char *text, struct str *why)
{
    for (int i = 0; i < t->said_n; i++) {
        const struct said *said = &t->said[i];
        AUTOFREE char *content = mem_printf("\"said-%lld\"", (long long)said->number);
        int n = times(text, content);
        if (n > 1)
            str_printf(why, "%s: %s is there %d times; ", t->name, content, n);
        if (said->told && !is_there(text, said->id) && !is_there(str_get(&t->branches), said->id) &&
            !is_held(c, t, said->id))
            str_printf(why, "%s: %s was acknowledged as %s, and is nowhere; ", t->name, content, said->id);
    }
}

/* What was ended is there no more. */
static void end_holds(struct sim *s, const struct talk *t, struct str *why)
{
    for (int node = 0; t->ended && node < sim_nodes(s); node++)
        if (t->status[node] && t->status[node] != 404)
            str_printf(why, "%s was ended, and %s says %d; ", t->name, sim_node_name(sim_node(s, node)),
                       t->status[node]);
}

static bool talks_hold(struct sim *s, void *ctx, struct str *why)
{
    struct chat *c = ctx;
    str_add(why, str_get(&c->broken), c->broken.n);
    for (int i = 0; i < c->talks_n && c->audited; i++) {
        const struct talk *t = &c->talks[i];
        const char *first = NULL;
        end_holds(s, t, why);
        for (int node = 0; node < sim_nodes(s); node++) {
            if (!t->seen[node])
                continue;
            if (first && strcmp(first, t->seen[node]) != 0 && !is_disputed(c, t))
                str_printf(why, "%s: %s has another conversation; ", t->name,
                           sim_node_name(sim_node(s, node)));
            first = first ? first : t->seen[node];
        }
        if (!first)
            continue;
        chain_holds(c, t, first, why);
        all_was_kept(c, t, first, why);
    }
    return why->n == 0;
}

struct chat *chat_new(struct sim *s, int sessions)
{
    struct chat *c = mem_alloc(sizeof *c);
    c->sim = s;
    c->places = c->talks_n = sessions;
    c->talks_cap = LIVES * sessions;
    c->talks = mem_array((size_t)c->talks_cap, sizeof *c->talks);
    c->current = mem_array((size_t)sessions, sizeof *c->current);
    for (int i = 0; i < sessions; i++)
        c->current[i] = i;
    for (int i = 0; i < c->talks_cap; i++) {
        snprintf(c->talks[i].name, sizeof c->talks[i].name, "talk-%d", i);
        snprintf(c->talks[i].path, sizeof c->talks[i].path, "/v1/sessions/talk-%d", i);
    }
    sim_check_add(s, &(struct sim_check){"what was said is there, once", false, talks_hold, c});
    return c;
}

void chat_free(struct chat *c)
{
    if (!c)
        return;
    for (int i = 0; i < c->talks_n; i++) {
        for (int node = 0; node < SIM_NODES_MAX; node++)
            free(c->talks[i].seen[node]);
        str_fini(&c->talks[i].branches);
    }
    str_fini(&c->held);
    str_fini(&c->broken);
    free(c->current);
    free(c->talks);
    free(c);
}

void chat_summary(struct chat *c)
{
    int64_t said = 0;
    for (int i = 0; i < c->talks_n; i++)
        said += c->talks[i].said_n;
    sim_note(c->sim, NULL, "chat     %lld said, %lld acknowledged, %lld sent again, %lld turns, %lld ends",
             (long long)said, (long long)c->told, (long long)c->repeated, (long long)c->turns,
             (long long)c->ends);
}
