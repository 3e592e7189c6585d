/* mail: small messages between brains, many in one request: forwarded requests, their outcomes, lines for
 * workers on other nodes, and the poke that says "I wrote something, pull". A mail that was not answered may
 * or may not have arrived. A forward is sent once: whoever waits for its outcome decides what a loss means.
 * An outcome counts once, however often it comes (op.c), and nobody else would tell: it is sent again; so is
 * what a process answered to a question to many (gather.h).
 *
 *   mail := cluster id, node id, poke u8, (message as bytes)*
 */
#include <stdio.h>
#include <string.h>

#include "base/hlc.h"
#include "node/brain.h"
#include "wire/buf.h"

#define MAIL_TIMEOUT_MS 5000
#define MAIL_BYTES_MAX                                                                                       \
    (16u << 20) /* waiting for one peer; what comes on top is lost, as on a broken line                      \
                 */
#define MAIL_FAIL_MS    100
#define MAIL_FAIL_STEPS 5   /* doublings of it, once the budget is spent */
#define BUDGET_MAX      10  /* retries that may follow soon … */
#define BUDGET_EACH     0.1 /* … and what each mail that is taken gives back: 10 % more calls, not more */
#define TRIES_MAX       50  /* of an outcome, in a row */

void mail_send(struct node *n UNUSED, struct peer *p, struct str *message TAKES)
{
    if (p->mail.out.n + message->n < MAIL_BYTES_MAX || p->mail.out.n == 0)
        buf_bytes(&p->mail.out, str_get(message), message->n);
    str_fini(message);
}

/* Whoever waits has been told that it is gone: what comes late would only surprise. */
void mail_forget(struct peer *p)
{
    str_clear(&p->mail.out);
    str_clear(&p->mail.again);
}

/* The outcomes among the messages that wait. */
static void keep_outcomes(struct peer *p)
{
    struct reader all = reader_init(str_get(&p->mail.out), p->mail.out.n);
    str_clear(&p->mail.again);
    while (all.n && !all.bad) {
        struct span m = read_bytes(&all);
        if (m.n && (m.p[0] == MAIL_OUTCOME || m.p[0] == MAIL_TOLD))
            buf_bytes(&p->mail.again, m.p, m.n);
    }
}

/* Before what was said since. */
static void outcomes_again(struct peer *p)
{
    if (p->mail.again.n == 0 || ++p->mail.tries > TRIES_MAX)
        return;
    str_add(&p->mail.again, str_get(&p->mail.out), p->mail.out.n);
    str_fini(&p->mail.out);
    p->mail.out = p->mail.again;
    p->mail.again = (struct str)STR_INIT;
}

static void post(struct node *n, struct peer *p)
{
    struct str body = STR_INIT;
    struct peer_call *c = mem_alloc(sizeof *c);
    buf_id(&body, &n->cluster);
    buf_id(&body, &n->self);
    buf_u8(&body, p->mail.poke);
    str_add(&body, str_get(&p->mail.out), p->mail.out.n);
    p->mail.carries = p->mail.out.n > 0;
    keep_outcomes(p);
    str_clear(&p->mail.out);
    p->mail.poke = false;
    *c = (struct peer_call){.id = ++n->next_call,
                            .node = p->id,
                            .url = mem_dup(p->url),
                            .lane = LANE_FORWARD,
                            .path = mem_dup("/v1/peer/mail"),
                            .body_n = body.n,
                            .timeout_ms = MAIL_TIMEOUT_MS};
    c->body = str_take(&body);
    p->mail.call = c->id;
    if (p->mail.carries)
        ops_posted(n, &p->id, c->id);
    n->counters.pokes++;
    relay_call(n, p, c);
}

bool mail_waits(const struct node *n)
{
    const struct peer *p;
    TAILQ_FOREACH (p, &n->peers, link)
        if (!p->down && !p->left && (p->mail.call || p->mail.out.n))
            return true;
    return false;
}

void mail_tick(struct node *n)
{
    struct peer *p;
    TAILQ_FOREACH (p, &n->peers, link)
        if (p->mail.call == 0 && (p->mail.out.n || p->mail.poke) && !id_is_zero(&p->id) && !p->down &&
            n->now_ms >= p->mail.next_ms)
            post(n, p);
}

/* How long a peer that did not take a mail is left alone: not long now and then, longer and longer if that is
 * the rule, for whoever is overloaded must not hear everything twice. */
static int64_t pause_ms(struct node *n, struct peer *p)
{
    int step = p->mail.failures < MAIL_FAIL_STEPS ? ++p->mail.failures : MAIL_FAIL_STEPS;
    if (p->mail.on_budget <= BUDGET_MAX - 1) {
        p->mail.on_budget += 1;
        return MAIL_FAIL_MS;
    }
    int64_t most_ms = (int64_t)MAIL_FAIL_MS << step;
    return most_ms - (int64_t)prng_below(&n->prng, (uint64_t)most_ms / 2);
}

bool mail_answered(struct node *n, const struct event *ev)
{
    struct peer *p;
    TAILQ_FOREACH (p, &n->peers, link)
        if (p->mail.call == ev->call)
            break;
    if (!p || ev->call == 0)
        return false;
    p->mail.call = 0;
    if (ev->kind == EV_PEER_ANSWERED && ev->status == 200) {
        p->mail.failures = p->mail.tries = 0;
        p->mail.on_budget = p->mail.on_budget > BUDGET_EACH ? p->mail.on_budget - BUDGET_EACH : 0;
        return true;
    }
    p->mail.next_ms = n->now_ms + pause_ms(n, p);
    if (!p->down)
        outcomes_again(p);
    if (p->mail.carries)
        ops_lost(n, &p->id, ev->call);
    return true;
}

/* ---- arriving ---- */

static bool role_ok(uint8_t role)
{
    return role >= ROLE_READ && role <= ROLE_ADMIN;
}

static int forward_arrived(struct node *n, const struct id *from, struct reader *m)
{
    struct request *r = mem_alloc(sizeof *r);
    struct op *op = op_new(n, OP_PEER, r);
    op->id = read_id(m);
    op->from = *from;
    op->from_try = read_varint(m);
    op->st.stamp = read_i64(m);
    int64_t timeout_ms = read_i64(m);
    r->who.role = (enum role)read_u8(m);
    AUTOFREE char *name = read_text(m);
    r->who.swarm = read_text(m);
    r->method = (enum req_method)read_u8(m);
    r->path = read_text(m);
    r->query = read_text(m);
    r->if_match = read_text(m);
    r->idempotency_key = read_text(m);
    struct span body = read_bytes(m);
    snprintf(r->who.name, sizeof r->who.name, "%s", name ? name : "");
    text_whole(r->who.name);
    r->body = mem_copy(body.p ? body.p : "", body.n);
    r->body_n = body.n;
    if (!reader_done(m) || !r->path || !role_ok((uint8_t)r->who.role) || r->method > HTTP_M_DELETE ||
        op->st.stamp <= 0 || hlc_ms(op->st.stamp) > n->real_ms + HLC_AHEAD_MS_MAX) {
        op_drop(op);
        return 0;
    }
    store_heard(n->store, op->st.stamp); /* a copy that comes later is known by what this one wrote */
    struct op *before = op_find(n, &op->id);
    if (before && before->source == OP_PEER && id_equal(&before->from, from)) { /* the same, asked again */
        node_touch(n, &before->from_try, sizeof before->from_try);
        if (op->from_try > before->from_try) /* mails through another node may overtake each other */
            before->from_try = op->from_try;
        op_drop(op);
        return 0;
    }
    op->deadline_ms = n->now_ms + (timeout_ms > 0 && timeout_ms < 3600000 ? timeout_ms : 1);
    return op_begin(n, op);
}

struct outcome {
    struct id op;
    uint64_t attempt;
    struct answer *answer;
    bool retry;
    struct stamp seen[1 + OP_SHOWN];
};

static void outcome_drop(void *arg)
{
    struct outcome *o = arg;
    answer_free(o->answer);
    free(o);
}

static void outcome_take(struct node *n, void *arg)
{
    struct outcome *o = arg;
    ops_outcome(n, &o->op, o->attempt, TAKE(o->answer), o->retry, o->seen);
    free(o);
}

/* It becomes a header as it is. */
static bool is_etag(const char *etag)
{
    return text_is_clean(etag, strlen(etag)) && !strchr(etag, '"') &&
           strlen(etag) < sizeof((struct answer){0}).etag;
}

static void outcome_arrived(struct node *n, struct reader *m)
{
    struct outcome *o = mem_alloc(sizeof *o);
    o->answer = mem_alloc(sizeof *o->answer);
    o->op = read_id(m);
    o->attempt = read_varint(m);
    o->retry = read_bool(m);
    o->answer->status = (int)read_u32(m);
    AUTOFREE char *etag = read_text(m);
    o->answer->retry_after_s = (int)read_u32(m);
    for (size_t i = 0; i < COUNT(o->seen); i++) {
        o->seen[i].actor = read_i64(m);
        o->seen[i].hlc = read_i64(m);
    }
    struct span body = read_bytes(m);
    if (!reader_done(m) || (!o->retry && (o->answer->status < 200 || o->answer->status > 599)) ||
        (etag && !is_etag(etag))) {
        outcome_drop(o);
        return;
    }
    snprintf(o->answer->etag, sizeof o->answer->etag, "%s", etag ? etag : "");
    o->answer->body = mem_copy(body.p, body.n);
    o->answer->body_n = body.n;
    if (o->answer->status >= 400)
        o->answer->content_type = "application/problem+json";
    eff_do(n, outcome_take, o, outcome_drop);
}

static int message(struct node *n, const struct id *from, struct span bytes)
{
    struct reader m = reader_init(bytes.p, bytes.n);
    switch (read_u8(&m)) {
    case MAIL_FORWARD:
        return forward_arrived(n, from, &m);
    case MAIL_OUTCOME:
        outcome_arrived(n, &m);
        return 0;
    case MAIL_ASK:
        return gather_asked(n, from, &m);
    case MAIL_TOLD:
        gather_told(n, from, &m);
        return 0;
    default: /* of a newer version: its sender's deadline answers */
        return 0;
    }
}

struct message {
    const struct id *from;
    struct span bytes;
};

static int message_take(struct node *n, void *arg)
{
    const struct message *m = arg;
    return message(n, m->from, m->bytes);
}

static void accept_mail(struct node *n, const struct request *r, struct peer *p, bool poke)
{
    struct str empty = STR_INIT;
    if (p && poke)
        pull_poked(n, p);
    eff_answer(n, r->id, answer_json(p ? 200 : 409, &empty));
}

int mail_arrived(struct node *n, const struct request *r, bool *ret_only_poke)
{
    struct reader body = reader_init(r->body, r->body_n);
    struct id cluster = read_id(&body), id = read_id(&body);
    bool poke = read_bool(&body);
    struct peer *p = peer_find(n, &id);
    if (body.bad || !id_equal(&cluster, &n->cluster) || !id_equal(&id, &r->who.node))
        p = NULL; /* says who it is by a ping first */
    if (ret_only_poke) {
        *ret_only_poke = !p || body.n == 0;
        if (*ret_only_poke)
            accept_mail(n, r, p, poke);
        return 0;
    }
    accept_mail(n, r, p, poke);
    int rc = 0;
    while (p && rc == 0 && body.n && !body.bad) {
        struct message m = {&id, read_bytes(&body)};
        rc = node_try(n, message_take, &m, "a peer's message");
    }
    return rc;
}
