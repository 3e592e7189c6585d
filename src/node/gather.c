/* gather: see gather.h. Decides about waiting and counting; who is a member is group.c's, what a process is
 * told child.c's. */
#include "node/gather.h"

#include <string.h>

#include "node/brain.h"
#include "node/child.h"
#include "wire/buf.h"
#include "wire/json.h"

#define GRACE_MS 1000 /* an op lives so much longer than what it waits for */

/* ---- what was handed over ---- */

static uint64_t mark_of(const struct id *id, uint64_t attempt)
{
    uint64_t mark;
    memcpy(&mark, id->b, sizeof mark);
    return (mark ^ (attempt * UINT64_C(0x9e3779b97f4a7c15))) | 1;
}

void line_handed(struct node *n, const struct id *id, uint64_t attempt)
{
    uint64_t mark = mark_of(id, attempt), *slot = &n->handed[mark / 2 % HANDED_KEPT];
    node_touch(n, slot, sizeof *slot);
    *slot = mark;
}

bool line_handed_before(const struct node *n, const struct id *id, uint64_t attempt)
{
    uint64_t mark = mark_of(id, attempt);
    return n->handed[mark / 2 % HANDED_KEPT] == mark;
}

/* ---- at the entry ---- */

void gather_free(struct gather *g)
{
    if (!g)
        return;
    for (size_t i = 0; i < g->n; i++) {
        free(g->list[i].name);
        free(g->list[i].data);
    }
    free(g->list);
    free(g->from);
    free(g->swarm);
    free(g->group);
    free(g->data);
    free(g);
}

static void shuffle(struct node *n, struct gather *g)
{
    for (size_t i = g->n; i > 1; i--) {
        size_t k = (size_t)prng_below(&n->prng, i);
        struct gather_one one = g->list[i - 1];
        g->list[i - 1] = g->list[k];
        g->list[k] = one;
    }
}

struct gather *gather_new(struct node *n, struct group_members *m, bool call, bool local)
{
    struct gather *g = mem_alloc(sizeof *g);
    g->call = call;
    g->list = mem_array(m->n + 1, sizeof *g->list);
    for (size_t i = 0; i < m->n; i++) {
        struct group_member *from = &m->list[i];
        struct gather_one one = {.incarnation = from->incarnation};
        if (from->owner)
            id_parse(from->owner, &one.node);
        if (local && !id_equal(&one.node, &n->self))
            continue;
        one.name = TAKE(from->name);
        g->list[g->n++] = one;
    }
    return g;
}

static void wake_if_over(struct node *n, struct op *op)
{
    if (op->gather->open == 0)
        op_wake(n, op);
}

static void tell_one(struct node *n, struct op *op, struct gather_one *one, enum told told, struct span data)
{
    bool was_open = one->told == TOLD_NOTHING;
    if (!was_open && one->told != TOLD_LOST)
        return;
    one->told = told;
    if (told == TOLD_REPLY)
        one->data = mem_copy(data.p, data.n);
    op->gather->open -= was_open;
    wake_if_over(n, op);
}

static struct op *gathering(struct node *n, const struct id *id)
{
    struct op *op = op_find(n, id);
    return op && op->gather && !op->st.done ? op : NULL;
}

void gather_posted(struct op *op, const struct id *peer, uint64_t call)
{
    struct gather *g = op->gather;
    for (size_t i = 0; g && i < g->n; i++)
        if (g->list[i].asked && !g->list[i].mail && id_equal(&g->list[i].node, peer))
            g->list[i].mail = call;
}

void gather_lost(struct node *n, struct op *op, const struct id *peer, uint64_t call)
{
    struct gather *g = op->gather;
    for (size_t i = 0; g && !op->st.done && i < g->n; i++) {
        struct gather_one *one = &g->list[i];
        if (one->asked && one->told == TOLD_NOTHING && id_equal(&one->node, peer) &&
            (call == 0 || one->mail == call))
            tell_one(n, op, one, TOLD_LOST, (struct span){NULL, 0});
    }
}

/* What an owner told, in the order of effects. */
struct news {
    struct id op, from;
    struct str told; /* (index, what, data)* */
};

static void news_free(void *arg)
{
    struct news *news = arg;
    str_fini(&news->told);
    free(news);
}

static void news_take(struct node *n, void *arg)
{
    struct news *news = arg;
    struct op *op = gathering(n, &news->op);
    struct reader r = reader_init(str_get(&news->told), news->told.n);
    while (op && r.n && !r.bad) {
        uint64_t i = read_varint(&r);
        enum told told = (enum told)read_u8(&r);
        struct span data = read_bytes(&r);
        if (r.bad || i >= op->gather->n || told < TOLD_REACHED || told > TOLD_MISSING)
            break;
        struct gather_one *one = &op->gather->list[i];
        bool good = told != TOLD_REPLY || json_check(data.p, data.n, NULL) == 0;
        if (one->asked && id_equal(&one->node, &news->from))
            tell_one(n, op, one, good ? told : TOLD_MISSING, data);
    }
    news_free(news);
}

void gather_told(struct node *n, const struct id *from, struct reader *m)
{
    struct news *news = mem_alloc(sizeof *news);
    news->from = *from;
    news->op = read_id(m);
    str_add(&news->told, m->p, m->n);
    eff_do(n, news_take, news, news_free);
}

/* ---- at the owners ---- */

/* What is asked of the processes of one node. */
struct asked {
    struct id from, op; /* from: the entry */
    bool call;
    int64_t until_ms;
    const char *who, *swarm, *group;
    struct span data;
    struct str told; /* what is known at once */
};

static void told_add(struct str *s, uint64_t index, enum told told, struct span data)
{
    buf_varint(s, index);
    buf_u8(s, (uint8_t)told);
    buf_bytes(s, data.p ? data.p : "", data.n);
}

/* To the entry: by mail, or at once if that is us. Outside of handlers. */
static void told_send(struct node *n, const struct id *to, const struct id *op, struct str *told TAKES)
{
    if (id_equal(to, &n->self)) {
        struct news *news = mem_alloc(sizeof *news);
        *news = (struct news){*op, *to, *told};
        news_take(n, news);
        return;
    }
    struct peer *p = peer_find(n, to);
    struct str m = STR_INIT;
    buf_u8(&m, MAIL_TOLD);
    buf_id(&m, op);
    str_add(&m, str_get(told), told->n);
    if (p)
        mail_send(n, p, &m);
    str_fini(&m);
    str_fini(told);
}

void gather_answered(struct node *n, const struct op *part, const struct answer *a)
{
    struct str told = STR_INIT;
    struct span data = {NULL, 0};
    if (a->status == 200)
        data = json_raw_member(a->body, a->body_n, "data");
    told_add(&told, part->part, data.p ? TOLD_REPLY : TOLD_MISSING, data);
    told_send(n, &part->from, &part->parent, &told);
}

static void told_now(struct node *n, void *arg)
{
    struct news *news = arg; /* from: here, to whom it goes */
    told_send(n, &news->from, &news->op, &news->told);
    free(news);
}

static bool ask_child(struct node *n, const struct asked *a, uint64_t index, struct child *c)
{
    struct err e;
    if (!a->call) {
        struct str line = STR_INIT;
        char id[ID_TEXT];
        chan_message(&line, id_text(&a->op, id), a->who, a->data);
        return child_line(n, c, &line, &e) == 0;
    }
    struct op *part = op_part(n, &a->from, &a->op, index, a->until_ms);
    if (!part)
        return false;
    if (child_call(n, c, part, a->who, a->data, &e) < 0)
        op_fail(n, part, &e, (struct span){NULL, 0});
    return true;
}

/* One of the names: the owner knows best whether it is a member still. */
static int ask_name(struct node *n, struct asked *a, uint64_t index, const char *name, int64_t incarnation)
{
    CLEANUP(group_member_fini) struct group_member m = {0};
    int rc = group_find(n->store, a->swarm, a->group, name, &m, &n->fault);
    struct child *c = rc == 1 && m.incarnation == incarnation ? child_find(n, a->swarm, name) : NULL;
    if (rc < 0)
        return rc;
    bool alive = c && c->s.incarnation == incarnation && ask_child(n, a, index, c);
    if (!alive || !a->call)
        told_add(&a->told, index, alive ? TOLD_REACHED : TOLD_MISSING, (struct span){NULL, 0});
    return 0;
}

static void tell_entry(struct node *n, struct asked *a)
{
    if (a->told.n == 0)
        return;
    struct news *news = mem_alloc(sizeof *news);
    *news = (struct news){a->op, a->from, a->told};
    a->told = (struct str)STR_INIT;
    eff_do(n, told_now, news, news_free);
}

static int ask_names(struct node *n, struct asked *a, struct reader *m)
{
    int rc = 0;
    for (uint64_t left = read_varint(m); rc == 0 && left > 0 && !m->bad; left--) {
        uint64_t index = read_varint(m);
        AUTOFREE char *name = read_text(m);
        int64_t incarnation = read_i64(m);
        if (name && !m->bad)
            rc = ask_name(n, a, index, name, incarnation);
    }
    tell_entry(n, a);
    str_fini(&a->told);
    return rc;
}

int gather_asked(struct node *n, const struct id *from, struct reader *m)
{
    struct id ask = read_id(m);
    struct asked a = {.from = *from, .op = read_id(m), .call = read_bool(m)};
    int64_t left_ms = read_i64(m);
    AUTOFREE char *who = read_text(m), *swarm = read_text(m), *group = read_text(m);
    a.data = read_bytes(m);
    a.who = who ? who : "";
    a.swarm = swarm;
    a.group = group;
    a.until_ms = n->now_ms + (left_ms > 0 && left_ms < 3600000 ? left_ms : 1);
    if (m->bad || !swarm || !group || json_check(a.data.p, a.data.n, NULL) < 0 ||
        line_handed_before(n, &ask, 0))
        return 0;
    line_handed(n, &ask, 0);
    return ask_names(n, &a, m);
}

/* ---- asking ---- */

struct question {
    struct id to;
    struct str mail;
};

static void question_free(void *arg)
{
    struct question *q = arg;
    str_fini(&q->mail);
    free(q);
}

static void question_send(struct node *n, void *arg)
{
    struct question *q = arg;
    struct peer *p = peer_find(n, &q->to);
    if (p)
        mail_send(n, p, &q->mail);
    question_free(q);
}

static void write_names(const struct gather *g, const struct id *to, size_t from, size_t end, struct str *s)
{
    uint64_t count = 0;
    for (size_t i = from; i < end; i++)
        count += id_equal(&g->list[i].node, to);
    buf_varint(s, count);
    for (size_t i = from; i < end; i++)
        if (id_equal(&g->list[i].node, to)) {
            buf_varint(s, i);
            buf_text(s, g->list[i].name);
            buf_i64(s, g->list[i].incarnation);
        }
}

/* Those of list[from .. end) that are on node `to`. */
static int ask_node(struct node *n, const struct op *op, const struct gather *g, const struct id *to,
                    size_t from, size_t end)
{
    if (id_equal(to, &n->self)) {
        AUTOSTR struct str names = STR_INIT;
        struct asked a = {.from = n->self,
                          .op = op->id,
                          .call = g->call,
                          .until_ms = g->until_ms,
                          .who = g->from,
                          .swarm = g->swarm,
                          .group = g->group,
                          .data = {g->data, g->data_n}};
        write_names(g, to, from, end, &names);
        struct reader r = reader_init(str_get(&names), names.n);
        return ask_names(n, &a, &r);
    }
    struct question *q = mem_alloc(sizeof *q);
    struct id ask;
    q->to = *to;
    prng_fill(&n->prng, ask.b, sizeof ask.b);
    buf_u8(&q->mail, MAIL_ASK);
    buf_id(&q->mail, &ask);
    buf_id(&q->mail, &op->id);
    buf_u8(&q->mail, g->call);
    buf_i64(&q->mail, g->until_ms - n->now_ms);
    buf_text(&q->mail, g->from);
    buf_text(&q->mail, g->swarm);
    buf_text(&q->mail, g->group);
    buf_bytes(&q->mail, g->data, g->data_n);
    write_names(g, to, from, end, &q->mail);
    eff_do(n, question_send, q, question_free);
    return 0;
}

static bool can_ask(struct node *n, const struct id *id)
{
    struct peer *p = peer_find(n, id);
    return id_equal(id, &n->self) || (p && !p->down && !p->left);
}

/* Asks list[from .. end), each node once. The list is changed, so it must be a new one, or touched. */
static int ask_range(struct node *n, const struct op *op, struct gather *g, size_t from, size_t end)
{
    int rc = 0;
    for (size_t i = from; i < end; i++) {
        struct gather_one *one = &g->list[i];
        bool can = can_ask(n, &one->node);
        one->asked = can;
        one->told = can ? TOLD_NOTHING : TOLD_MISSING;
        g->open += can;
    }
    for (size_t i = from; rc == 0 && i < end; i++) {
        bool first = g->list[i].asked;
        for (size_t k = from; first && k < i; k++)
            first = !id_equal(&g->list[k].node, &g->list[i].node);
        if (first)
            rc = ask_node(n, op, g, &g->list[i].node, from, end);
    }
    return rc;
}

struct hanging {
    struct op *op;
    struct gather *gather;
};

static void hang(struct node *n, void *arg)
{
    struct hanging *h = arg;
    h->op->gather = TAKE(h->gather);
    op_keep(n, h->op, h->op->gather->until_ms);
    wake_if_over(n, h->op);
    free(h);
}

static void hang_dropped(void *arg)
{
    struct hanging *h = arg;
    gather_free(h->gather);
    free(h);
}

int gather_begin(struct node *n, struct op *op, struct gather *g TAKES)
{
    struct hanging *h = mem_alloc(sizeof *h);
    *h = (struct hanging){op, g};
    eff_do(n, hang, h, hang_dropped); /* before what is told of it */
    op->deadline_ms = g->until_ms + GRACE_MS;
    if (g->random)
        shuffle(n, g);
    return ask_range(n, op, g, 0, g->random && g->n ? 1 : g->n);
}

/* The last one of a random choice that was asked. */
static size_t last_asked(const struct gather *g)
{
    size_t i = 0;
    while (i + 1 < g->n && g->list[i + 1].told != TOLD_NOTHING)
        i++;
    return i;
}

int gather_step(struct node *n, struct op *op)
{
    struct gather *g = op->gather;
    if (g->open && n->now_ms < g->until_ms)
        return 0;
    size_t at = last_asked(g);
    if (!g->random || g->n == 0 || n->now_ms >= g->until_ms || at + 1 >= g->n ||
        g->list[at].told != TOLD_MISSING)
        return 1;
    node_touch(n, &g->open, sizeof g->open);
    node_touch(n, &g->list[at + 1], sizeof g->list[at + 1]);
    int rc = ask_range(n, op, g, at + 1, at + 2);
    return rc < 0 ? rc : g->open ? 0 : gather_step(n, op);
}
