/* Who is in which group, and which name leads to whom, as clients were told. They speak HTTP as
 * docs/groups.md and docs/names.md have it.
 */
#include "sim/club.h"

#include <stdio.h>
#include <string.h>

#include "base/ensure.h"
#include "sim/brain.h"
#include "sim/ear.h"
#include "sim/worker.h"
#include "wire/json.h"

#define EARS       5
#define GROUPS     2
#define NICKS      3
#define NOBODY     (-1)
#define TIMEOUT_MS 35000
#define FOG_US     (45 * SIM_SECOND) /* as load.c has it */
#define BEHIND_US  (5 * SIM_SECOND)  /* as load.c has it */
#define SWARM      "/v1/swarms/default/"

enum deed { DO_START, DO_STOP, DO_JOIN, DO_LEAVE, DO_ALIAS, DO_FREE, DO_SEND, DO_CALL, DO_PUBLISH, DO_ASK };
#define DEEDS 10
static const char *const deed_words[DEEDS] = {"start", "stop", "join", "leave",   "alias",
                                              "free",  "send", "call", "publish", "ask all"};

enum known { OUT, IN, UNSURE };

/* That an ear lives, that it is in a group, that a name leads to it. */
struct belief {
    enum known known;
    int64_t fog_us;   /* before this moment nothing is definite */
    int64_t since_us; /* it is OUT */
};

struct nick {
    struct belief led;
    int ear;          /* that it leads to; NOBODY = who knows */
    unsigned version; /* of what is known */
    bool busy;
};

/* What the audit heard of an ear, a group or a nick. */
struct heard {
    char answers[SIM_NODES_MAX + 1]; /* + there, - absent, ? neither */
    char *first;                     /* owned: what the first node that has it says of it */
};

struct club {
    struct sim *sim;
    struct ears *ears;
    struct belief lives[EARS], members[GROUPS][EARS];
    bool busy[EARS];
    struct nick nicks[NICKS];
    int groups[GROUPS]; /* their own numbers: what letters to them point to */
    int open;
    bool audited;
    struct heard lives_heard[EARS], groups_heard[GROUPS], nicks_heard[NICKS];
    int64_t last_letters[GROUPS]; /* to all, once all is quiet */
    struct str broken;
    int counts[DEEDS][6];
};

struct errand {
    struct club *club;
    enum deed deed;
    int node, ear, group, nick; /* NOBODY: none */
    int64_t begun_us, letter;
    unsigned version; /* of the nick */
    struct heard *heard;
};

/* ---- What is known ---- */

static void learn(struct club *c, struct belief *b, enum known known)
{
    if (known == OUT && b->known != OUT)
        b->since_us = sim_now_us(c->sim);
    b->known = b->fog_us > sim_now_us(c->sim) ? UNSURE : known;
}

static void unsure(struct club *c, struct belief *b)
{
    b->known = UNSURE;
    b->fog_us = sim_now_us(c->sim) + FOG_US;
}

static void nick_learn(struct club *c, struct nick *k, enum known known, int ear)
{
    learn(c, &k->led, known);
    k->ear = k->led.known == IN ? ear : NOBODY;
    k->version++;
}

static void nick_unsure(struct club *c, struct nick *k)
{
    unsure(c, &k->led);
    k->ear = NOBODY;
    k->version++;
}

/* Its groups and other names end with it. */
static void life_ended(struct club *c, int ear)
{
    learn(c, &c->lives[ear], OUT);
    for (int g = 0; g < GROUPS; g++)
        learn(c, &c->members[g][ear], OUT);
    for (int k = 0; k < NICKS; k++)
        if (c->nicks[k].ear == ear)
            nick_learn(c, &c->nicks[k], OUT, NOBODY);
}

static void life_unsure(struct club *c, int ear)
{
    unsure(c, &c->lives[ear]);
    for (int g = 0; g < GROUPS; g++)
        unsure(c, &c->members[g][ear]);
    for (int k = 0; k < NICKS; k++)
        if (c->nicks[k].ear == ear)
            nick_unsure(c, &c->nicks[k]);
}

static struct belief *member_of(const struct errand *e)
{
    return &e->club->members[e->group][e->ear];
}

static void errand_unsure(const struct errand *e)
{
    if (e->deed == DO_START || e->deed == DO_STOP)
        life_unsure(e->club, e->ear);
    else if (e->deed == DO_JOIN || e->deed == DO_LEAVE)
        unsure(e->club, member_of(e));
    else
        nick_unsure(e->club, &e->club->nicks[e->nick]);
}

/* A moment ago it was something else: who is asked may not have heard yet. */
static bool behind(const struct errand *e, const struct belief *b)
{
    return e->begun_us < b->since_us + BEHIND_US;
}

/* ---- What an answer proves ---- */

static void odd(const struct errand *e, const struct sim_reply *r)
{
    char what[96];
    int n = snprintf(what, sizeof what, "%s", deed_words[e->deed]);
    if (e->ear != NOBODY)
        n += snprintf(what + n, sizeof what - (size_t)n, " ear-%d", e->ear);
    if (e->group != NOBODY)
        n += snprintf(what + n, sizeof what - (size_t)n, " group-%d", e->group);
    if (e->nick != NOBODY)
        snprintf(what + n, sizeof what - (size_t)n, " nick-%d", e->nick);
    sim_violation(e->club->sim, "%s at %s: %d %.200s", what, sim_node_name(sim_node(e->club->sim, e->node)),
                  r->status, r->body ? r->body : "");
}

static int64_t member_int(const struct sim_reply *r, const char *name, int64_t otherwise)
{
    struct span raw = json_raw_member(r->body, r->body_n, name);
    int64_t n;
    return raw.p && json_int(raw, &n) ? n : otherwise;
}

static bool refused(const struct sim_reply *r)
{
    return r->status == 503 || (r->status == 0 && !r->sent);
}

/* A definite answer has a second copy; with one it may be lost with its node. */
static bool definite(const struct errand *e, const struct sim_reply *r)
{
    struct sim *s = e->club->sim;
    return sim_promised(s, SIM_ANSWERS, e->begun_us) && r->status && r->status < 500 &&
           (sim_nodes(s) == 1 || member_int(r, "copies", 1) > 0);
}

static void after_life(const struct errand *e, const struct sim_reply *r)
{
    struct club *c = e->club;
    const struct belief *life = &c->lives[e->ear];
    if (e->deed == DO_START && r->status == 201 && life->known != IN) {
        life_ended(c, e->ear); /* whatever was before */
        learn(c, &c->lives[e->ear], IN);
    } else if (e->deed == DO_START && r->status == 409 && (life->known != OUT || behind(e, life)))
        learn(c, &c->lives[e->ear], life->known == OUT ? UNSURE : IN);
    else if ((e->deed == DO_START ? r->status == 422 : r->status == 404) && life->known != IN)
        life_ended(c, e->ear);
    else if (e->deed == DO_STOP && r->status == 200)
        life_ended(c, e->ear);
    else
        odd(e, r);
}

static void after_member(const struct errand *e, const struct sim_reply *r)
{
    struct club *c = e->club;
    enum known life = c->lives[e->ear].known;
    struct belief *m = member_of(e);
    bool joined = e->deed == DO_JOIN && (r->status == 200 || r->status == 201);
    if (joined)
        learn(c, m, life == IN ? IN : UNSURE);
    else if (e->deed == DO_LEAVE && (r->status == 200 || (r->status == 404 && m->known != IN)))
        learn(c, m, OUT);
    else if (e->deed == DO_JOIN && r->status == 404 && life != IN)
        learn(c, m, OUT);
    else
        odd(e, r);
}

static void after_nick(const struct errand *e, const struct sim_reply *r)
{
    struct club *c = e->club;
    struct nick *k = &c->nicks[e->nick];
    bool known_out = k->led.known == OUT && !behind(e, &k->led);
    bool known_in = k->led.known == IN && !c->busy[k->ear]; /* whose end may be under way */
    enum known life = e->ear == NOBODY ? UNSURE : c->lives[e->ear].known;
    bool former = e->ear != NOBODY && behind(e, &c->lives[e->ear]); /* that it is bound to, maybe */
    if (e->deed == DO_FREE && (r->status == 200 || (r->status == 404 && !known_in)))
        nick_learn(c, k, OUT, NOBODY);
    else if (e->deed == DO_FREE)
        odd(e, r);
    else if (r->status == 201 ? !known_in : r->status == 200 && !known_out)
        nick_learn(c, k, life == IN && !former ? IN : UNSURE, e->ear);
    else if (r->status == 409 && !known_out)
        return; /* somebody else has it, still */
    else if (r->status != 404 || life == IN)
        odd(e, r);
}

/* One to a name: heard once, never, or who knows. */
static void after_message(const struct errand *e, const struct sim_reply *r)
{
    struct club *c = e->club;
    const struct nick *k = e->nick == NOBODY ? NULL : &c->nicks[e->nick];
    if (refused(r) || r->status == 404) {
        ears_only(c->ears, e->letter, 0);
        return;
    }
    if (r->status != 202 && r->status != 200)
        return;
    if (r->status == 200 && member_int(r, "data", 0) != e->letter)
        odd(e, r);
    ears_reached(c->ears, e->letter, 1);
    bool sure = k && k->version == e->version && k->led.known == IN && !k->busy && !c->busy[k->ear];
    if (sure && !sim_brain_was_full(sim_node(c->sim, e->node)))
        ears_only(c->ears, e->letter, 1u << k->ear);
}

/* Who is told to have replied has heard it. */
static void after_all(const struct errand *e, const struct sim_reply *r)
{
    struct ears *ears = e->club->ears;
    if (refused(r))
        ears_only(ears, e->letter, 0);
    if (r->status != 202 && r->status != 200)
        return;
    if (r->status == 202) {
        ears_reached(ears, e->letter, (int)member_int(r, "reached", 0));
        return;
    }
    struct json_iter it = json_iter_init(json_raw_member(r->body, r->body_n, "replies"));
    struct span one;
    while (json_iter_next(&it, NULL, &one)) {
        AUTOSTR struct str name = STR_INIT;
        struct span raw = json_raw_member(one.p, one.n, "name"), data = json_raw_member(one.p, one.n, "data");
        int64_t number;
        int ear;
        bool good = raw.p && json_unquote(raw, &name) && sscanf(str_get(&name), "ear-%d", &ear) == 1 &&
                    data.p && json_int(data, &number) && number == e->letter;
        if (!good || !(ears_heard(ears, e->letter) >> ear & 1))
            odd(e, r);
    }
}

static bool never(int status)
{
    return status == 400 || status == 401 || status == 403 || status == 405 || status == 500;
}

static void after(const struct errand *e, const struct sim_reply *r)
{
    if (e->deed == DO_SEND || e->deed == DO_CALL)
        after_message(e, r);
    else if (e->deed == DO_PUBLISH || e->deed == DO_ASK)
        after_all(e, r);
    else if (refused(r) && sim_promised(e->club->sim, SIM_ANSWERS, e->begun_us))
        return; /* nothing has happened, nothing is learnt */
    else if (!definite(e, r))
        errand_unsure(e);
    else if (e->deed == DO_START || e->deed == DO_STOP)
        after_life(e, r);
    else if (e->deed == DO_JOIN || e->deed == DO_LEAVE)
        after_member(e, r);
    else
        after_nick(e, r);
}

/* Whether it changes something about an ear, of which one thing at a time changes. */
static bool is_change(enum deed deed)
{
    return deed <= DO_ALIAS;
}

static void errand_done(struct sim *s, void *arg, const struct sim_reply *r)
{
    AUTOFREE struct errand *e = arg;
    struct club *c = e->club;
    sim_trace(s, sim_node(s, e->node), "%s ear %d group %d nick %d letter %lld: %d %.300s",
              deed_words[e->deed], e->ear, e->group, e->nick, (long long)e->letter, r->status,
              r->body ? r->body : "");
    c->open--;
    c->counts[e->deed][r->status / 100 % 6]++;
    if (is_change(e->deed))
        c->busy[e->ear] = false;
    if (e->deed == DO_ALIAS || e->deed == DO_FREE)
        c->nicks[e->nick].busy = false;
    (never(r->status) ? odd : after)(e, r);
}

/* ---- Operations ---- */

/* path and body are the caller's; ret borrows them. */
static struct sim_ask ask_of(const struct errand *e, char path[120], char body[120])
{
    static const enum req_method methods[DEEDS] = {
        [DO_START] = HTTP_M_PUT,    [DO_STOP] = HTTP_M_DELETE, [DO_JOIN] = HTTP_M_PUT,
        [DO_LEAVE] = HTTP_M_DELETE, [DO_ALIAS] = HTTP_M_PUT,   [DO_FREE] = HTTP_M_DELETE,
        [DO_SEND] = HTTP_M_POST,    [DO_CALL] = HTTP_M_POST,   [DO_PUBLISH] = HTTP_M_POST,
        [DO_ASK] = HTTP_M_POST,
    };
    bool calls = e->deed == DO_CALL || e->deed == DO_ASK;
    const char *last = e->letter ? calls ? "/calls" : "/messages" : "";
    if (e->letter && e->group != NOBODY)
        snprintf(path, 120, SWARM "groups/group-%d%s", e->group, last);
    else if (e->group != NOBODY)
        snprintf(path, 120, SWARM "groups/group-%d/members/ear-%d", e->group, e->ear);
    else if (e->letter && e->nick != NOBODY)
        snprintf(path, 120, SWARM "children/nick-%d%s", e->nick, last);
    else if (e->nick != NOBODY)
        snprintf(path, 120, SWARM "names/nick-%d", e->nick);
    else
        snprintf(path, 120, SWARM "children/ear-%d%s", e->ear, last);
    *body = 0;
    if (e->letter)
        snprintf(body, 120, "{\"data\":%lld}", (long long)e->letter);
    else if (e->deed == DO_START)
        snprintf(body, 120,
                 "{\"argv\":[\"/bin/ear\"],\"restart\":\"permanent\",\"ready\":\"protocol\",\"max_restarts\":"
                 "1000}");
    else if (e->deed == DO_JOIN)
        snprintf(body, 120, "{\"metadata\":{\"n\":%d}}", e->node % 2);
    else if (e->deed == DO_ALIAS)
        snprintf(body, 120, "{\"child\":\"ear-%d\"}", e->ear);
    return (struct sim_ask){.node = e->node,
                            .method = methods[e->deed],
                            .path = path,
                            .query = calls ? "timeout_ms=10000" : NULL,
                            .body = *body ? body : NULL,
                            .timeout_ms = TIMEOUT_MS};
}

/* The number of its letter; 0 = none. */
static int64_t errand_send(struct club *c, const struct errand *like)
{
    char path[120], body[120];
    struct errand *e = mem_alloc(sizeof *e);
    *e = *like;
    e->club = c;
    e->begun_us = sim_now_us(c->sim);
    e->version = e->nick == NOBODY ? 0 : c->nicks[e->nick].version;
    if (e->deed >= DO_SEND)
        e->letter =
            ears_letter(c->ears, e->group == NOBODY, e->group == NOBODY ? NULL : &c->groups[e->group]);
    if (is_change(e->deed))
        c->busy[e->ear] = true;
    if (e->deed == DO_ALIAS || e->deed == DO_FREE)
        c->nicks[e->nick].busy = true;
    struct sim_ask a = ask_of(e, path, body);
    a.done = errand_done;
    a.drop = free;
    a.arg = e;
    c->open++;
    int64_t letter = e->letter;
    sim_ask(c->sim, &a);
    return letter;
}

static int draw(const struct club *c, int below)
{
    return (int)prng_below(sim_prng(c->sim), (uint64_t)below);
}

static void act_message(struct club *c, struct errand *e)
{
    int dice = draw(c, 10);
    e->deed = dice < 4 ? DO_SEND : dice < 6 ? DO_CALL : dice < 9 ? DO_PUBLISH : DO_ASK;
    if (dice >= 6)
        e->group = draw(c, GROUPS);
    else if (dice % 2)
        e->nick = draw(c, NICKS);
    else
        e->ear = draw(c, EARS);
    errand_send(c, e);
}

static void act_change(struct club *c, struct errand *e)
{
    int dice = draw(c, 10);
    e->ear = draw(c, EARS);
    if (c->busy[e->ear])
        return;
    if (c->lives[e->ear].known == OUT || (c->lives[e->ear].known == UNSURE && dice < 3))
        e->deed = DO_START;
    else if (dice == 0)
        e->deed = DO_STOP;
    else if (dice < 7) {
        e->group = draw(c, GROUPS);
        e->deed = c->members[e->group][e->ear].known == OUT || dice < 3 ? DO_JOIN : DO_LEAVE;
    } else {
        e->nick = draw(c, NICKS);
        e->deed = DO_ALIAS;
        if (c->nicks[e->nick].busy)
            return;
    }
    errand_send(c, e);
}

static void act_free(struct club *c, struct errand *e)
{
    e->nick = draw(c, NICKS);
    e->deed = DO_FREE;
    if (!c->nicks[e->nick].busy)
        errand_send(c, e);
}

void club_act(struct club *c)
{
    struct errand e = {.node = draw(c, sim_nodes(c->sim)), .ear = NOBODY, .group = NOBODY, .nick = NOBODY};
    int dice = draw(c, 12);
    (dice < 6 ? act_message : dice < 11 ? act_change : act_free)(c, &e);
}

int club_open(const struct club *c)
{
    return c->open;
}

/* Only who left before it was written, and has not been about to come back since, must not hear it. */
static bool may_hear(void *ctx, const void *group, int ear, int64_t written_us)
{
    const struct club *c = ctx;
    const struct belief *m = &c->members[*(const int *)group][ear];
    bool out = m->known == OUT && m->since_us < written_us && !c->busy[ear];
    return !out || !sim_promised(c->sim, SIM_ANSWERS, m->since_us);
}

/* ---- The end ---- */

static void audit_done(struct sim *s, void *arg, const struct sim_reply *r)
{
    AUTOFREE struct errand *e = arg;
    struct club *c = e->club;
    struct heard *h = e->heard;
    c->open--;
    h->answers[e->node] = r->status == 200 ? '+' : r->status == 404 ? '-' : '?';
    if (r->status != 200)
        return;
    AUTOSTR struct str says = STR_INIT;
    static const char *const members[] = {"members", "child", "epoch", "status", "node", "groups", "aliases"};
    for (size_t i = 0; i < COUNT(members); i++) {
        struct span raw = json_raw_member(r->body, r->body_n, members[i]);
        if (raw.p)
            str_printf(&says, "%s %.*s ", members[i], (int)raw.n, raw.p);
    }
    if (h->first && strcmp(h->first, str_get(&says)) != 0)
        str_printf(&c->broken, "%s says %.200s, another one %.200s; ", sim_node_name(sim_node(s, e->node)),
                   str_get(&says), h->first);
    if (!h->first)
        h->first = mem_dup(str_get(&says));
}

static void audit_ask(struct club *c, struct heard *h, int node, const char *what, int number)
{
    struct errand *e = mem_alloc(sizeof *e);
    char path[80];
    *e = (struct errand){.club = c, .node = node, .heard = h};
    snprintf(path, sizeof path, SWARM "%s-%d", what, number);
    c->open++;
    sim_ask(c->sim, &(struct sim_ask){.node = node,
                                      .method = HTTP_M_GET,
                                      .path = path,
                                      .timeout_ms = TIMEOUT_MS,
                                      .done = audit_done,
                                      .drop = free,
                                      .arg = e});
}

void club_audit(struct club *c)
{
    ensure(c->open == 0, "%d operations are open", c->open);
    int asked = 0;
    for (int node = 0; node < sim_nodes(c->sim); node++) {
        if (!sim_node_up(sim_node(c->sim, node)) || sim_node_retired(sim_node(c->sim, node)))
            continue;
        asked = node;
        for (int i = 0; i < EARS; i++)
            audit_ask(c, &c->lives_heard[i], node, "children/ear", i);
        for (int i = 0; i < GROUPS; i++)
            audit_ask(c, &c->groups_heard[i], node, "groups/group", i);
        for (int i = 0; i < NICKS; i++)
            audit_ask(c, &c->nicks_heard[i], node, "names/nick", i);
    }
    for (int g = 0; g < GROUPS; g++)
        c->last_letters[g] = errand_send(
            c,
            &(struct errand){.deed = DO_PUBLISH, .node = asked, .ear = NOBODY, .group = g, .nick = NOBODY});
    c->audited = true;
}

/* '+': all say that it is there, '-': that it is not, '?': neither. */
static char verdict(const struct heard *h)
{
    char all = 0;
    for (int i = 0; i < SIM_NODES_MAX; i++)
        if (h->answers[i])
            all = all && all != h->answers[i] ? '?' : h->answers[i];
    return all;
}

static void belief_holds(const struct belief *b, bool is, const char *what, int which, int ear,
                         struct str *why)
{
    if (b->known != UNSURE && is != (b->known == IN))
        str_printf(why, "%s-%d %s ear-%d; ", what, which, is ? "has" : "lacks", ear);
}

static bool lives_hold(const struct club *c, int ear, struct str *why)
{
    char name[16], there = verdict(&c->lives_heard[ear]);
    snprintf(name, sizeof name, "ear-%d", ear);
    int runs = sim_running(c->sim, "default", name, NULL);
    if (there == '?' || runs != (there == '+'))
        str_printf(why, "%s runs %d times, the nodes say %c; ", name, runs, there);
    belief_holds(&c->lives[ear], there == '+', "the world", 0, ear, why);
    return runs == 1;
}

/* What it says between quotes. */
static bool names(const struct heard *h, const char *key, int ear)
{
    char text[40];
    snprintf(text, sizeof text, "%s\"ear-%d\"", key, ear);
    return h->first && strstr(h->first, text);
}

static bool groups_hold(struct sim *s UNUSED, void *ctx, struct str *why)
{
    struct club *c = ctx;
    str_add(why, str_get(&c->broken), c->broken.n);
    for (int ear = 0; ear < EARS && c->audited; ear++) {
        bool runs = lives_hold(c, ear, why);
        for (int g = 0; g < GROUPS; g++) {
            bool is = names(&c->groups_heard[g], "\"name\":", ear);
            belief_holds(&c->members[g][ear], is, "group", g, ear, why);
            if (is && !runs)
                str_printf(why, "group-%d has ear-%d, which has ended; ", g, ear);
            if (is != (ears_heard(c->ears, c->last_letters[g]) >> ear & 1))
                str_printf(why, "ear-%d is %s group-%d, and %s; ", ear, is ? "in" : "not in", g,
                           is ? "hears nothing" : "hears what is said to it");
        }
        for (int k = 0; k < NICKS; k++) {
            bool is = names(&c->nicks_heard[k], "child ", ear);
            const struct nick *nick = &c->nicks[k];
            if (nick->led.known != IN || nick->ear == ear)
                belief_holds(&nick->led, is, "nick", k, ear, why);
            if (is && !runs)
                str_printf(why, "nick-%d leads to ear-%d, which has ended; ", k, ear);
        }
    }
    for (int k = 0; k < NICKS && c->audited; k++)
        if (verdict(&c->nicks_heard[k]) == '?')
            str_printf(why, "the nodes differ about nick-%d; ", k);
    return why->n == 0;
}

struct club *club_new(struct sim *s)
{
    struct club *c = mem_alloc(sizeof *c);
    c->sim = s;
    c->ears = ears_new(s);
    ears_guard(c->ears, may_hear, c);
    for (int g = 0; g < GROUPS; g++)
        c->groups[g] = g;
    for (int k = 0; k < NICKS; k++)
        c->nicks[k].ear = NOBODY;
    sim_check_add(
        s, &(struct sim_check){"groups and other names are as clients were told", false, groups_hold, c});
    return c;
}

static void heard_fini(struct heard *h, int n)
{
    for (int i = 0; i < n; i++)
        free(h[i].first);
}

void club_free(struct club *c)
{
    if (!c)
        return;
    heard_fini(c->lives_heard, EARS);
    heard_fini(c->groups_heard, GROUPS);
    heard_fini(c->nicks_heard, NICKS);
    ears_free(c->ears);
    str_fini(&c->broken);
    free(c);
}

void club_summary(struct club *c)
{
    int64_t letters, heard;
    for (int d = 0; d < DEEDS; d++) {
        const int *n = c->counts[d];
        sim_note(c->sim, NULL, "club: %-8s 2xx %-5d 4xx %-5d 5xx %-5d unanswered %d", deed_words[d], n[2],
                 n[4], n[5], n[0]);
    }
    ears_count(c->ears, &letters, &heard);
    sim_note(c->sim, NULL, "club: %lld letters, %lld were heard", (long long)letters, (long long)heard);
}
