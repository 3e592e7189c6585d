/* op_answer: the end of a request: what its answer says, which copies and which open view it waits for, how
 * it gets to whoever asked, and that a repeat under its Idempotency-Key gets the same.
 */
#include "node/op_inside.h"

#include <string.h>

#include "node/hook.h"
#include "wire/buf.h"
#include "wire/digest.h"
#include "wire/json.h"

struct answer *answer_json(int status, struct str *body TAKES)
{
    struct answer *a = mem_alloc(sizeof *a);
    a->status = status;
    a->content_type = status >= 400 ? "application/problem+json" : NULL;
    a->body_n = body->n;
    a->body = str_take(body);
    return a;
}

void op_tell_peer(struct node *n, struct op *op, struct answer *a, bool retry)
{
    struct str m = STR_INIT;
    buf_u8(&m, MAIL_OUTCOME);
    buf_id(&m, &op->id);
    buf_varint(&m, op->from_try);
    buf_u8(&m, retry);
    buf_u32(&m, a ? (uint32_t)a->status : 0);
    buf_text(&m, a ? a->etag : "");
    buf_u32(&m, a ? (uint32_t)a->retry_after_s : 0);
    buf_i64(&m, n->actor);
    buf_i64(&m, op->st.hlc);
    for (size_t i = 0; i < OP_SHOWN; i++) {
        buf_i64(&m, op->shows[i].actor);
        buf_i64(&m, op->shows[i].hlc);
    }
    buf_bytes(&m, a && a->body ? a->body : "", a ? a->body_n : 0);
    struct peer *p = peer_find(n, &op->from);
    if (p)
        mail_send(n, p, &m);
    str_fini(&m);
}

struct answer *op_problem_of(const struct op *op, int code, const char *text)
{
    struct err e;
    struct str s = STR_INIT;
    err_set(&e, code, "%s", text);
    json_problem(&s, &e, (struct span){op->extras, op->extras ? strlen(op->extras) : 0});
    struct answer *a = answer_json(err_info(code)->http, &s);
    a->retry_after_s = a->status == 503;
    return a;
}

struct answer *op_problem(int code, const char *text)
{
    return op_problem_of(&(struct op){0}, code, text);
}

/* After a lost try "there is none" and "it has changed" may be that try's own work, and "not now" is true of
 * the last try only. */
static struct answer *honest(const struct op *op, struct answer *a TAKES)
{
    bool gone = a->status == 404, changed = a->status == 412;
    if (!op->unsure || !(gone || changed || a->status == 503) || op->request->method == HTTP_M_GET)
        return a;
    const char *text =
        gone      ? "It is not there. A try of this request was lost on the way; it may have been "
                    "carried out"
        : changed ? "It has changed. A try of this request was lost on the way; the change may be its "
                    "own. Look it up before trying again"
                  : "A try of this request was lost on the way; it may have been carried "
                    "out, or happen yet. Look it up before trying again";
    answer_free(a);
    return op_problem(SKEP_ETIMEOUT, text);
}

void op_deliver(struct node *n, struct op *op, struct answer *a TAKES)
{
    a = honest(op, a);
    if (op->source == OP_PEER) {
        op_tell_peer(n, op, a, false);
        answer_free(a);
    } else if (op->source == OP_WORKER) {
        struct str line = STR_INIT;
        chan_response(&line, op->ref, a->status, a->body ? a->body : "", a->body_n);
        n->w.proc.line(n->w.proc.self, op->run, line.p, line.n);
        answer_free(a);
    } else if (op->source == OP_DECLARED) {
        declare_answered(n, op, a);
        answer_free(a);
    } else if (op->source == OP_HOOK) {
        hook_op_answered(n, op->run, a);
        answer_free(a);
    } else if (op->source == OP_PART || op->source == OP_OWN) {
        if (op->source == OP_PART)
            gather_answered(n, op, a);
        answer_free(a);
    } else {
        n->counters.answers++;
        n->w.net.answer(n->w.net.self, op->request->id, a);
    }
}

struct ending {
    struct op *op;
    struct answer *answer;
};

static void ending_free(void *arg)
{
    struct ending *end = arg;
    answer_free(end->answer);
    free(end);
}

static void end_now(struct node *n, void *arg)
{
    struct ending *end = arg;
    op_deliver(n, end->op, TAKE(end->answer));
    op_gone(n, end->op);
    free(end);
}

char *op_idem_key(const struct request *r)
{
    return mem_printf("%s/%s", r->who.name, r->idempotency_key);
}

char *op_idem_request(const struct request *r)
{
    unsigned char sum[DIGEST_BYTES];
    struct digest d;
    struct str hex = STR_INIT;
    digest_init(&d);
    digest_add(&d, &r->method, sizeof r->method);
    digest_add(&d, r->path, strlen(r->path) + 1);
    digest_add(&d, r->body, r->body_n);
    digest_end(&d, sum);
    digest_fini(&d);
    str_hex(&hex, sum, 16);
    return str_take(&hex);
}

/* Puts the number of copies where the body says "copies":@. */
static void say_copies(struct answer *a, int copies)
{
    static const char mark[] = "\"copies\":@";
    char *at = a->body ? strstr(a->body, mark) : NULL;
    if (!at)
        return;
    struct str s = STR_INIT;
    str_add(&s, a->body, (size_t)(at - a->body));
    str_printf(&s, "\"copies\":%d", copies);
    str_puts(&s, at + sizeof mark - 1);
    free(a->body);
    a->body_n = s.n;
    a->body = str_take(&s);
}

/* A try that was given up, and comes late, finds what another one did. */
static bool is_kept(struct node *n, const char *key)
{
    struct idem_row row = {.key = mem_dup(key)};
    int rc = store_load(n->store, T_IDEM, &row, &n->fault);
    row_fini(T_IDEM, &row);
    return rc == 1;
}

/* The first answer under an Idempotency-Key is a row of the same transaction as what it answers. */
static void remember(struct node *n, struct op *op, const struct answer *a, int copies)
{
    const struct request *r = op->request;
    if (!r || !r->idempotency_key || r->method == HTTP_M_GET || a->status >= 500 || op->replayed)
        return;
    AUTOFREE char *key = op_idem_key(r), *request = op_idem_request(r);
    if (!op->st.remembered && is_kept(n, key))
        return;
    op->st.remembered = true;
    struct answer copy = {.body = mem_copy(a->body ? a->body : "", a->body_n), .body_n = a->body_n};
    say_copies(&copy, copies);
    struct idem_row row = {
        .key = key, .request = request, .answer = copy.body, .at = n->real_ms, .status = a->status};
    if (store_save(n->store, T_IDEM, &row, &n->fault) < 0)
        log_warn(n->w.log, "an Idempotency-Key could not be kept: %s", n->fault.text);
    free(copy.body);
}

void op_answer(struct node *n, struct op *op, struct answer *a TAKES)
{
    remember(n, op, a, 0);
    struct ending *end = mem_alloc(sizeof *end);
    *end = (struct ending){op, a};
    op->st.done = true;
    eff_do(n, end_now, end, ending_free);
}

/* The view closed while the copy was on its way: somebody else may have decided since. The handler looks
 * again once it is open. */
static void look_again(struct node *n, struct ending *end)
{
    struct op *op = end->op;
    ending_free(end);
    op->st.done = false;
    op->waits_open = true;
    timer_set(n, &op->timer, op->deadline_ms);
}

static void covered(struct node *n, void *arg, int copies)
{
    struct ending *end = arg;
    if (end->op->owned && copies >= 0 && !node_open_now(n)) {
        look_again(n, end);
        return;
    }
    if (copies < 0) {
        answer_free(end->answer);
        end->answer =
            copies == COVER_NEVER
                ? op_problem(
                      SKEP_ETIMEOUT,
                      "It is on this node's disk alone: damaged rows there, which skep doctor names, keep "
                      "the others from confirming what they get from it. Mend them, and look it up before "
                      "trying again")
                : op_problem(SKEP_ETIMEOUT,
                             "It is on this node's disk, but not on as many others as asked for in "
                             "time; it may still get there. Look it up before trying again");
    } else {
        say_copies(end->answer, copies);
    }
    end_now(n, end);
}

void op_answer_covered(struct node *n, struct op *op, int64_t hlc, int need, struct answer *a TAKES)
{
    struct ending *end = mem_alloc(sizeof *end);
    *end = (struct ending){op, a};
    remember(n, op, a, need);
    op->st.done = true;
    op->st.hlc = hlc;
    eff_do(n, op_enter, op, NULL);
    bool strict = op->acks > 0;
    cover_wait(n, hlc, strict ? op->acks - 1 : need, strict, &op->witness, op->deadline_ms, covered, end,
               ending_free);
    timer_set(n, &op->timer, INT64_MAX); /* from here the cover has the deadline */
}

void op_answer_owned(struct node *n, struct op *op, int64_t hlc, int need, struct answer *a TAKES)
{
    op->owned = true;
    op_answer_covered(n, op, hlc, need, a);
}

void op_fail(struct node *n, struct op *op, const struct err *e, struct span extras)
{
    struct str s = STR_INIT;
    json_problem(&s, e, extras);
    struct answer *a = answer_json(err_info(e->code)->http, &s);
    a->retry_after_s = a->status == 503;
    op_answer(n, op, a);
}
