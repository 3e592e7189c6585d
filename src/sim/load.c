/* The standard load and its oracle (load.h says what it may conclude). It speaks HTTP as api.md has it and
 * knows nothing of what is behind; the number of processes under a name it asks of the process table.
 */
#include "sim/load.h"

#include <stdio.h>
#include <string.h>

#include "base/ensure.h"
#include "node/brain.h"
#include "sim/bell.h"
#include "sim/brain.h"
#include "sim/brawl.h"
#include "sim/bulk.h"
#include "sim/chat.h"
#include "sim/club.h"
#include "sim/crowd.h"
#include "sim/rules.h"
#include "sim/tally.h"
#include "sim/whim.h"
#include "sim/worker.h"
#include "wire/json.h"

#define FOG_US     (45 * SIM_SECOND)
#define BEHIND_US  (5 * SIM_SECOND) /* an open home knows what happened so long ago, lost packets included */
#define TIMEOUT_MS 35000
#define BURST      6
#define WHIM_EACH  60                /* operations */
#define SPREAD_US  (10 * SIM_SECOND) /* what one disk has others have by then */

enum slot_kind { SLOT_CHILD, SLOT_NAME };
enum known { KNOWN_ABSENT, KNOWN_THERE, KNOWN_NOTHING };
enum deed { DO_START, DO_STOP, DO_LOOKUP, DO_CALL, DO_MOVE, DO_REPEAT, DO_REGISTER, DO_REMOVE, DO_FIND };
#define DEEDS 9

static const char *const deed_words[DEEDS] = {"start",  "stop",     "lookup", "call", "move",
                                              "repeat", "register", "remove", "find"};

/* A name and what must be true of it. */
struct slot {
    enum slot_kind kind;
    int index;
    char name[32], path[80];
    bool busy;
    enum known known;
    int64_t fog_us;   /* before this moment nothing is definite */
    int64_t ended_us; /* when it was last heard to be absent */
    int64_t replied;  /* of a counter */
    int64_t asked;    /* calls of it since it was started, each adds 1; -1 = who knows */
    int64_t starts;   /* the newest of them has this number in its key */
    char first[32];   /* the epoch that its first answer said; "" = it said none that binds */
    int by;           /* who gave that answer, and when */
    int64_t first_us;
    /* what the audit heard */
    char answers[SIM_NODES_MAX + 1]; /* + there, - absent, ? neither, . not asked */
    char where[64];                  /* node and epoch, as the first node said */
};

struct load {
    struct sim *sim;
    struct load_opts opts;
    struct slot *slots;
    struct crowd *crowd; /* NULL = none */
    struct chat *chat;   /* NULL = none */
    struct tally *tally; /* NULL = none */
    struct bulk *bulk;   /* NULL = none */
    struct club *club;   /* NULL = none */
    struct bell *bell;   /* NULL = none */
    struct rules *rules; /* NULL = none */
    struct brawl *brawl; /* NULL = none */
    int slots_n, open;
    int64_t until_us;
    bool audited;
    struct str broken;         /* what the audit's answers contradict */
    int counts[DEEDS][6];      /* [status / 100], 0 = no answer */
    int64_t longest_us[DEEDS]; /* until an answer */
};

/* An operation under way. */
struct errand {
    struct load *load;
    struct slot *slot;
    enum deed deed;
    int node;
    int64_t begun_us;
};

/* ---- What an answer proves ---- */

static bool foggy(const struct slot *slot, const struct load *l)
{
    return slot->fog_us > sim_now_us(l->sim);
}

static void learn(struct load *l, struct slot *slot, enum known known)
{
    if (slot->known != known)
        slot->replied = 0;
    if (known == KNOWN_ABSENT)
        slot->ended_us = sim_now_us(l->sim);
    slot->known = foggy(slot, l) ? KNOWN_NOTHING : known;
}

static void unsure(struct load *l, struct slot *slot)
{
    slot->known = KNOWN_NOTHING;
    slot->replied = 0;
    slot->asked = -1;
    slot->fog_us = sim_now_us(l->sim) + FOG_US;
}

/* Whether a fault suspended what answers prove, at any time since the operation began. */
static bool proves_nothing(const struct errand *e)
{
    return !sim_promised(e->load->sim, SIM_ANSWERS, e->begun_us);
}

/* Whether nothing can be concluded; then the slot is in the fog. */
static bool indefinite(const struct errand *e, const struct sim_reply *r)
{
    struct load *l = e->load;
    struct slot *slot = e->slot;
    if (proves_nothing(e)) {
        unsure(l, slot);
        return true;
    }
    if (r->status == 503 || (r->status == 0 && !r->sent))
        return true; /* refused: nothing has happened, nothing is learnt */
    if (r->status == 0 || r->status >= 500) {
        unsure(l, slot);
        return true;
    }
    return false;
}

static void odd(const struct errand *e, const struct sim_reply *r)
{
    sim_violation(e->load->sim, "%s %s at %s: %d %.200s", deed_words[e->deed], e->slot->name,
                  sim_node_name(sim_node(e->load->sim, e->node)), r->status, r->body);
}

static void epoch_of(const struct sim_reply *r, char ret[32])
{
    AUTOSTR struct str text = STR_INIT;
    struct span raw = json_raw_member(r->body, r->body_n, "epoch");
    if (raw.p && json_unquote(raw, &text))
        snprintf(ret, 32, "%s", str_get(&text));
}

static void after_start(const struct errand *e, const struct sim_reply *r)
{
    struct slot *slot = e->slot;
    if (indefinite(e, r))
        return;
    if (r->status == 201) {
        epoch_of(r, slot->first);
        slot->by = e->node;
        slot->first_us = sim_now_us(e->load->sim);
    }
    /* of a name that ended a moment ago a home may not have heard yet; later nothing but a start brings it
     * back */
    bool behind = slot->ended_us && sim_now_us(e->load->sim) < slot->ended_us + BEHIND_US;
    if (r->status == 201 && slot->known != KNOWN_THERE) {
        learn(e->load, slot, KNOWN_THERE);
        slot->asked = slot->known == KNOWN_THERE ? 0 : -1;
    } else if (r->status == 409 && behind)
        learn(e->load, slot, KNOWN_NOTHING);
    else if (r->status == 409 && slot->known != KNOWN_ABSENT)
        learn(e->load, slot, KNOWN_THERE);
    else if (r->status == 422 && slot->known != KNOWN_THERE) /* its program did not start */
        learn(e->load, slot, KNOWN_ABSENT);
    else
        odd(e, r);
}

/* Of a stop, and of the removal of an address. */
static void after_end(const struct errand *e, const struct sim_reply *r)
{
    if (indefinite(e, r))
        return;
    if (r->status == 200 || (r->status == 404 && e->slot->known != KNOWN_THERE))
        learn(e->load, e->slot, KNOWN_ABSENT);
    else
        odd(e, r);
}

/* A call that was carried out twice, or the state of a former life. */
static bool is_too_much(const struct slot *slot, int64_t value)
{
    return slot->asked >= 0 && value > slot->asked;
}

static void after_call(const struct errand *e, const struct sim_reply *r)
{
    struct slot *slot = e->slot;
    struct span data = r->body ? json_raw_member(r->body, r->body_n, "data") : (struct span){NULL, 0};
    int64_t value = 0;
    if (proves_nothing(e))
        unsure(e->load, slot);
    else if (r->status == 404 && slot->known != KNOWN_THERE)
        learn(e->load, slot, KNOWN_ABSENT);
    else if (r->status != 200)
        return r->status == 404 ? odd(e, r)
                                : (void)0; /* anything else leaves the counter where it was, or adds 1 */
    else if (!data.p || !json_int(data, &value) || value <= slot->replied || is_too_much(slot, value))
        odd(e, r);
    else {
        learn(e->load, slot, KNOWN_THERE);
        slot->replied = slot->known == KNOWN_THERE ? value : 0;
    }
}

/* A start under the key of an earlier one gets the answer of that, wherever it is asked and whatever has
 * happened to the process since. */
static void after_repeat(const struct errand *e, const struct sim_reply *r)
{
    char epoch[32] = "";
    if (indefinite(e, r))
        return;
    if (r->status == 201)
        epoch_of(r, epoch);
    if (strcmp(epoch, e->slot->first) != 0)
        odd(e, r);
}

/* It is somewhere, before and after: with the state that was replied. */
static void after_move(const struct errand *e, const struct sim_reply *r)
{
    if (proves_nothing(e))
        unsure(e->load, e->slot);
    else if (r->status == 404 && e->slot->known != KNOWN_THERE)
        learn(e->load, e->slot, KNOWN_ABSENT);
    else if (r->status == 404)
        odd(e, r);
}

static void after_register(const struct errand *e, const struct sim_reply *r)
{
    if (indefinite(e, r))
        return;
    if (r->status == 200 || (r->status == 201 && e->slot->known != KNOWN_THERE))
        learn(e->load, e->slot, KNOWN_THERE);
    else
        odd(e, r);
}

static void after_lookup(const struct errand *e, const struct sim_reply *r)
{
    if (r->status >= 400 && r->status < 500 && r->status != 404)
        odd(e, r);
}

static void (*const after[DEEDS])(const struct errand *e, const struct sim_reply *r) = {
    [DO_START] = after_start,       [DO_STOP] = after_end,   [DO_LOOKUP] = after_lookup,
    [DO_CALL] = after_call,         [DO_MOVE] = after_move,  [DO_REPEAT] = after_repeat,
    [DO_REGISTER] = after_register, [DO_REMOVE] = after_end, [DO_FIND] = after_lookup,
};

/* What no well-formed request of an administrator may get. */
static bool never(int status)
{
    return status == 400 || status == 401 || status == 403 || status == 405 || status == 500;
}

static void errand_done(struct sim *s, void *arg, const struct sim_reply *r)
{
    AUTOFREE struct errand *e = arg;
    sim_trace(s, sim_node(s, e->node), "%s %s: %d %.300s", deed_words[e->deed], e->slot->name, r->status,
              r->body);
    e->slot->busy = false;
    e->load->open--;
    e->load->counts[e->deed][r->status / 100 % 6]++;
    int64_t took_us = sim_now_us(s) - e->begun_us;
    if (r->status && took_us > e->load->longest_us[e->deed])
        e->load->longest_us[e->deed] = took_us;
    if (never(r->status))
        odd(e, r);
    else
        after[e->deed](e, r);
}

/* ---- Operations ---- */

/* Whether the newest start of it may be repeated: its answer has reached every node, on a disk that is still
 * there. */
static bool can_repeat(const struct load *l, const struct slot *slot)
{
    const struct sim_node *by = sim_node(l->sim, slot->by);
    return *slot->first && sim_now_us(l->sim) > slot->first_us + SPREAD_US && sim_node_up(by) &&
           sim_node_down_us(by) < slot->first_us && sim_lost_us(l->sim) < slot->first_us &&
           sim_promised(l->sim, SIM_ANSWERS, slot->first_us);
}

static enum deed choose(const struct load *l, const struct slot *slot)
{
    struct prng *p = sim_prng(l->sim);
    uint64_t dice = prng_below(p, 100);
    if (l->opts.rich && slot->kind == SLOT_CHILD && prng_below(p, 20) == 0) {
        if (slot->known == KNOWN_THERE && prng_below(p, 2) == 0)
            return DO_MOVE;
        if (can_repeat(l, slot))
            return DO_REPEAT;
    }
    if (slot->kind == SLOT_NAME)
        return dice < 45 ? DO_REGISTER : dice < 85 ? DO_FIND : DO_REMOVE;
    if (slot->known == KNOWN_THERE)
        return dice < 60 ? DO_CALL : dice < 85 ? DO_LOOKUP : dice < 93 ? DO_START : DO_STOP;
    return dice < 60 ? DO_START : dice < 75 ? DO_CALL : dice < 90 ? DO_LOOKUP : DO_STOP;
}

static struct sim_ask ask_of(const struct errand *e, char *path, size_t path_n, char *key, size_t key_n)
{
    struct sim_ask a = {.node = e->node, .timeout_ms = TIMEOUT_MS, .path = e->slot->path};
    switch (e->deed) {
    case DO_START:
    case DO_REPEAT:
        snprintf(key, key_n, "%s-%lld", e->slot->name, (long long)e->slot->starts);
        a.key = key;
        a.method = HTTP_M_PUT;
        a.body =
            "{\"argv\":[\"/bin/counter\"],\"restart\":\"permanent\",\"max_restarts\":1000,\"handoff\":true}";
        break;
    case DO_REGISTER:
        a.method = HTTP_M_PUT;
        a.body = "{\"address\":\"10.0.0.1:80\",\"ttl_ms\":3600000}";
        break;
    case DO_STOP:
    case DO_REMOVE:
        a.method = HTTP_M_DELETE;
        break;
    case DO_LOOKUP:
    case DO_FIND:
        a.method = HTTP_M_GET;
        break;
    case DO_MOVE:
        a.method = HTTP_M_POST;
        snprintf(path, path_n, "%s/move", e->slot->path);
        a.path = path;
        a.body = "{}";
        break;
    case DO_CALL:
        a.method = HTTP_M_POST;
        snprintf(path, path_n, "%s/calls", e->slot->path);
        a.path = path;
        a.body = "{\"data\":1}";
        break;
    }
    return a;
}

static void errand_run(struct load *l, struct slot *slot)
{
    struct prng *p = sim_prng(l->sim);
    struct errand *e = mem_alloc(sizeof *e);
    *e = (struct errand){l, slot, choose(l, slot), (int)prng_below(p, (uint64_t)sim_nodes(l->sim)),
                         sim_now_us(l->sim)};
    char path[96], key[64];
    if (e->deed == DO_START) {
        slot->starts++;
        *slot->first = 0;
    }
    struct sim_ask a = ask_of(e, path, sizeof path, key, sizeof key);
    a.done = errand_done;
    a.drop = free;
    a.arg = e;
    sim_trace(l->sim, sim_node(l->sim, e->node), "%s %s …", deed_words[e->deed], slot->name);
    slot->busy = true;
    slot->asked += e->deed == DO_CALL && slot->asked >= 0;
    l->open++;
    sim_ask(l->sim, &a);
}

/* One operation on a name of which none is under way. */
static void errand_any(struct load *l)
{
    struct slot *slot = &l->slots[prng_below(sim_prng(l->sim), (uint64_t)l->slots_n)];
    for (int i = 0; i < l->slots_n && slot->busy; i++)
        slot = &l->slots[(slot - l->slots + 1) % l->slots_n];
    if (!slot->busy)
        errand_run(l, slot);
}

static void act(struct load *l)
{
    if (l->opts.gossip && prng_below(sim_prng(l->sim), WHIM_EACH) == 0)
        whim_act(l->sim);
    uint64_t dice = l->opts.rich ? prng_below(sim_prng(l->sim), 17) : 16;
    if (dice < 3)
        crowd_act(l->crowd);
    else if (dice < 5)
        chat_act(l->chat);
    else if (dice == 5)
        tally_act(l->tally);
    else if (dice == 6)
        bulk_act(l->bulk);
    else if (dice < 10)
        club_act(l->club);
    else if (dice == 10)
        bell_act(l->bell);
    else if (dice == 11)
        rules_act(l->rules);
    else if (dice == 12)
        brawl_act(l->brawl);
    else
        errand_any(l);
}

void load_burst(struct load *l)
{
    for (int i = 0; i < BURST && l->opts.per_second > 0; i++)
        act(l);
}

static void load_fire(struct sim *s, void *arg)
{
    struct load *l = arg;
    struct prng *p = sim_prng(s);
    act(l);
    int64_t next =
        sim_now_us(s) + 1 + (int64_t)prng_below(p, (uint64_t)(2 * SIM_SECOND / l->opts.per_second));
    if (next < l->until_us)
        sim_at(s, next, load_fire, l, NULL);
}

void load_begin(struct load *l, int64_t until_us)
{
    l->until_us = until_us;
    if (l->opts.rich) {
        bell_begin(l->bell, until_us);
        rules_begin(l->rules, until_us);
        brawl_begin(l->brawl);
    }
    if (l->opts.gossip)
        whim_act(l->sim);
    if (l->opts.per_second > 0)
        sim_at(l->sim, sim_now_us(l->sim), load_fire, l, NULL);
}

int load_open(const struct load *l)
{
    return l->open + (l->opts.rich ? crowd_open(l->crowd) + chat_open(l->chat) + tally_open(l->tally) +
                                         bulk_open(l->bulk) + club_open(l->club) + bell_open(l->bell) +
                                         rules_open(l->rules) + brawl_open(l->brawl)
                                   : 0);
}

/* A lone node whose clock has been set right by hand believes it after half a minute. */
static bool a_clock_is_doubted(struct sim *s)
{
    for (int i = 0; i < sim_nodes(s); i++)
        if (sim_node_up(sim_node(s, i)) && watch_frozen(sim_brain_of(sim_node_brain(sim_node(s, i)))))
            return true;
    return false;
}

bool load_owed(const struct load *l)
{
    return l->opts.rich && (bell_waits(l->bell) || a_clock_is_doubted(l->sim));
}

/* ---- The audit ---- */

/* "node/epoch" of a child's document. */
static void where(const struct sim_reply *r, char *ret, size_t ret_n)
{
    AUTOSTR struct str text = STR_INIT;
    struct span node = json_raw_member(r->body, r->body_n, "node");
    struct span epoch = json_raw_member(r->body, r->body_n, "epoch");
    if (node.p)
        json_unquote(node, &text);
    str_putc(&text, '/');
    if (epoch.p)
        json_unquote(epoch, &text);
    snprintf(ret, ret_n, "%s", str_get(&text));
}

static void audit_done(struct sim *s, void *arg, const struct sim_reply *r)
{
    AUTOFREE struct errand *e = arg;
    struct slot *slot = e->slot;
    char here[sizeof slot->where] = "";
    e->load->open--;
    slot->answers[e->node] = r->status == 200 ? '+' : r->status == 404 ? '-' : '?';
    if (r->status != 200 || json_check(r->body, r->body_n, NULL) != 0)
        return;
    where(r, here, sizeof here);
    if (slot->kind == SLOT_CHILD && *slot->where && strcmp(slot->where, here) != 0)
        str_printf(&e->load->broken, "%s is %s according to %s, elsewhere %s; ", slot->name, here,
                   sim_node_name(sim_node(s, e->node)), slot->where);
    memcpy(slot->where, here, sizeof here);
}

static void audit_ask(struct load *l, struct slot *slot, int node)
{
    struct errand *e = mem_alloc(sizeof *e);
    *e = (struct errand){l, slot, slot->kind == SLOT_CHILD ? DO_LOOKUP : DO_FIND, node, sim_now_us(l->sim)};
    struct sim_ask a = {.node = node, .method = HTTP_M_GET, .path = slot->path, .timeout_ms = TIMEOUT_MS};
    a.done = audit_done;
    a.drop = free;
    a.arg = e;
    l->open++;
    sim_ask(l->sim, &a);
}

void load_audit(struct load *l)
{
    ensure(l->open == 0, "%d operations are open", l->open);
    for (int i = 0; i < l->slots_n; i++) {
        struct slot *slot = &l->slots[i];
        memset(slot->answers, '.', (size_t)sim_nodes(l->sim));
        *slot->where = 0;
        for (int node = 0; node < sim_nodes(l->sim); node++)
            if (sim_node_up(sim_node(l->sim, node)))
                audit_ask(l, slot, node);
    }
    if (l->opts.rich) {
        crowd_audit(l->crowd);
        chat_audit(l->chat);
        tally_audit(l->tally);
        bulk_audit(l->bulk);
        club_audit(l->club);
        rules_audit(l->rules);
        brawl_audit(l->brawl);
    }
    l->audited = true;
}

static bool all(const char *answers, char want)
{
    for (; *answers; answers++)
        if (*answers != want && *answers != '.')
            return false;
    return true;
}

/* Every node says the same of each name, and what clients were told. */
static bool answers_hold(struct sim *s UNUSED, void *ctx, struct str *why)
{
    struct load *l = ctx;
    size_t before = why->n;
    str_add(why, str_get(&l->broken), l->broken.n);
    for (int i = 0; i < l->slots_n && l->audited; i++) {
        const struct slot *slot = &l->slots[i];
        bool there = all(slot->answers, '+'), absent = all(slot->answers, '-');
        if (slot->known == KNOWN_THERE ? !there : slot->known == KNOWN_ABSENT ? !absent : !there && !absent)
            str_printf(why, "%s should be %s, the nodes say %s; ", slot->name,
                       slot->known == KNOWN_THERE    ? "there"
                       : slot->known == KNOWN_ABSENT ? "absent"
                                                     : "the same everywhere",
                       slot->answers);
    }
    return why->n == before;
}

/* What is there runs once, with all that was replied; what is not does not run. */
static bool processes_hold(struct sim *s, void *ctx, struct str *why)
{
    struct load *l = ctx;
    size_t before = why->n;
    for (int i = 0; i < l->slots_n && l->audited; i++) {
        const struct slot *slot = &l->slots[i];
        if (slot->kind != SLOT_CHILD)
            continue;
        struct sim_process p = {0};
        int runs = sim_running(s, "default", slot->name, &p), want = all(slot->answers, '+') ? 1 : 0;
        if (runs != want)
            str_printf(why, "%s runs %d times instead of %d; ", slot->name, runs, want);
        else if (runs && p.value < slot->replied && !sim_brain_in_doubt(s)) /* what it had may lie aside */
            str_printf(why, "%s is at %lld, but %lld was replied; ", slot->name, (long long)p.value,
                       (long long)slot->replied);
        else if (runs && is_too_much(slot, p.value))
            str_printf(why, "%s is at %lld, but %lld calls were made; ", slot->name, (long long)p.value,
                       (long long)slot->asked);
    }
    return why->n == before;
}

/* ---- Begin and end ---- */

static void slot_make(struct slot *slot, enum slot_kind kind, int index)
{
    slot->kind = kind;
    slot->index = index;
    slot->known = KNOWN_ABSENT;
    slot->asked = -1;
    snprintf(slot->name, sizeof slot->name, "%s-%d", kind == SLOT_CHILD ? "counter" : "address", index);
    snprintf(slot->path, sizeof slot->path, "/v1/swarms/default/%s/%s",
             kind == SLOT_CHILD ? "children" : "names", slot->name);
}

struct load *load_new(struct sim *s, const struct load_opts *o)
{
    struct load *l = mem_alloc(sizeof *l);
    l->sim = s;
    l->opts = *o;
    l->slots_n = o->children + o->names;
    ensure(l->slots_n > 0, "a load on nothing");
    l->slots = mem_array((size_t)l->slots_n, sizeof *l->slots);
    for (int i = 0; i < l->slots_n; i++)
        slot_make(&l->slots[i], i < o->children ? SLOT_CHILD : SLOT_NAME, i);
    if (o->rich) {
        l->crowd = crowd_new(s, 4, 4);
        l->chat = chat_new(s, 3);
        l->tally = tally_new(s, 2);
        l->bulk = bulk_new(s, 3);
        l->club = club_new(s);
        l->bell = bell_new(s);
        l->rules = rules_new(s);
        l->brawl = brawl_new(s);
    }
    sim_check_add(s, &(struct sim_check){"every node gives the acknowledged answer", false, answers_hold, l});
    sim_check_add(
        s, &(struct sim_check){"every acknowledged child runs exactly once", false, processes_hold, l});
    return l;
}

void load_free(struct load *l)
{
    if (!l)
        return;
    crowd_free(l->crowd);
    chat_free(l->chat);
    tally_free(l->tally);
    bulk_free(l->bulk);
    club_free(l->club);
    bell_free(l->bell);
    rules_free(l->rules);
    brawl_free(l->brawl);
    free(l->slots);
    str_fini(&l->broken);
    free(l);
}

void load_summary(struct load *l)
{
    for (int d = 0; d < DEEDS; d++) {
        const int *c = l->counts[d];
        sim_note(l->sim, NULL, "%-8s 2xx %-5d 4xx %-5d 5xx %-5d unanswered %-5d longest %lld ms",
                 deed_words[d], c[2], c[4], c[5], c[0], (long long)(l->longest_us[d] / 1000));
    }
    int there = 0, nothing = 0;
    for (int i = 0; i < l->slots_n; i++) {
        there += l->slots[i].known == KNOWN_THERE;
        nothing += l->slots[i].known == KNOWN_NOTHING;
    }
    if (l->opts.rich) {
        crowd_summary(l->crowd);
        chat_summary(l->chat);
        tally_summary(l->tally);
        bulk_summary(l->bulk);
        club_summary(l->club);
        bell_summary(l->bell);
        rules_summary(l->rules);
        brawl_summary(l->brawl);
    }
    sim_note(l->sim, NULL, "%d names there, %d absent, %d unknown", there, l->slots_n - there - nothing,
             nothing);
}
