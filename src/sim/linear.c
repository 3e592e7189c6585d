/* The search of linear.h, and the model of a name. It knows nothing of the cluster. */
#include "sim/linear.h"

#include <string.h>

#include "base/ensure.h"
#include "base/list.h"

#define PLACES 64 /* operations under way at once, unknown ones included */

/* What may be true at a moment. */
struct config {
    int64_t state;
    uint64_t done; /* places of operations under way that have taken effect */
};

struct seen {
    struct config config;
    UT_hash_handle hh;
};

struct configs {
    struct seen *set;
};

struct search {
    const struct history *h;
    bool (*step)(int64_t state, const struct hist_op *op, int64_t *ret_state);
    size_t max, tried;
    size_t place[PLACES]; /* operations under way */
    uint64_t used, unknown;
    struct configs now;
};

static void configs_fini(struct configs *c)
{
    struct seen *one, *next;
    HASH_ITER(hh, c->set, one, next)
    {
        HASH_DEL(c->set, one);
        free(one);
    }
}

static bool configs_add(struct configs *c, struct config what)
{
    struct seen *one;
    HASH_FIND(hh, c->set, &what, sizeof what, one);
    if (one)
        return false;
    one = mem_alloc(sizeof *one);
    one->config = what;
    HASH_ADD(hh, c->set, config, sizeof one->config, one);
    return true;
}

/* Whether an older one of unknown outcome asks for the same: that goes first. */
static bool waits(const struct search *s, struct config c, int place)
{
    const struct hist_op *own = &s->h->ops[s->place[place]];
    for (uint64_t left = s->unknown & ~c.done; left; left &= left - 1) {
        const struct hist_op *other = &s->h->ops[s->place[__builtin_ctzll(left)]];
        if (other < own && other->kind == own->kind && other->arg == own->arg && other->arg2 == own->arg2)
            return true;
    }
    return false;
}

/* From one configuration, every one in which one more operation has taken effect. */
static void spread(struct search *s, struct config c, struct configs *ret)
{
    for (uint64_t left = s->used & ~c.done; left; left &= left - 1) {
        int place = __builtin_ctzll(left);
        int64_t state;
        s->tried++;
        bool unknown = s->unknown >> place & 1;
        if (!s->step(c.state, &s->h->ops[s->place[place]], &state))
            continue;
        if (unknown && (state == c.state || waits(s, c, place)))
            continue;
        configs_add(ret, (struct config){state, c.done | UINT64_C(1) << place});
    }
}

/* Drops what another one like it makes needless: the same, with fewer unknown operations used up. */
static void prune(struct search *s)
{
    struct seen *one, *next, *other;
    size_t n = HASH_COUNT(s->now.set);
    if (!s->unknown || n < 2 || n > 4096)
        return;
    HASH_ITER(hh, s->now.set, one, next)
    {
        for (other = s->now.set; other; other = other->hh.next) {
            const struct config *a = &one->config, *b = &other->config;
            if (a != b && a->state == b->state && (a->done & ~s->unknown) == (b->done & ~s->unknown) &&
                !(b->done & ~a->done)) {
                HASH_DEL(s->now.set, one);
                free(one);
                break;
            }
        }
    }
}

/* The operation at a place has ended: only what has it done remains. True if something does. */
static bool force(struct search *s, int place)
{
    struct configs next = {NULL}, work = s->now;
    uint64_t bit = UINT64_C(1) << place;
    s->now.set = NULL;
    while (work.set && s->tried < s->max) {
        struct configs more = {NULL};
        struct seen *one, *after;
        HASH_ITER(hh, work.set, one, after)
        {
            if (one->config.done & bit)
                configs_add(&next, (struct config){one->config.state, one->config.done & ~bit});
            else
                spread(s, one->config, &more);
        }
        configs_fini(&work);
        work = more;
    }
    configs_fini(&work);
    s->now = next;
    s->used &= ~bit;
    prune(s);
    return s->now.set != NULL;
}

/* Begins and ends in time; at the same moment begins first. */
struct moment {
    int64_t at_us;
    size_t op;
    bool end;
};

static int moment_compare(const void *a, const void *b)
{
    const struct moment *x = a, *y = b;
    if (x->at_us != y->at_us)
        return x->at_us < y->at_us ? -1 : 1;
    if (x->end != y->end)
        return x->end ? 1 : -1;
    return x->op < y->op ? -1 : x->op > y->op;
}

/* What takes part is all but what failed. */
static struct moment *moments(const struct history *h, size_t *ret_n)
{
    struct moment *m = mem_array(2 * h->n + 1, sizeof *m);
    size_t n = 0;
    for (size_t i = 0; i < h->n; i++) {
        const struct hist_op *o = &h->ops[i];
        if (o->end == HIST_FAILED)
            continue;
        m[n++] = (struct moment){o->begun_us, i, false};
        if (o->end == HIST_OK)
            m[n++] = (struct moment){o->ended_us, i, true};
    }
    qsort(m, n, sizeof *m, moment_compare);
    *ret_n = n;
    return m;
}

static int place_of(const struct search *s, size_t op)
{
    for (uint64_t left = s->used; left; left &= left - 1)
        if (s->place[__builtin_ctzll(left)] == op)
            return __builtin_ctzll(left);
    unreachable("operation %zu never began", op);
}

/* False: too many are under way. */
static bool begin(struct search *s, size_t op)
{
    if (!~s->used)
        return false;
    int place = __builtin_ctzll(~s->used);
    s->place[place] = op;
    s->used |= UINT64_C(1) << place;
    if (s->h->ops[op].end != HIST_OK)
        s->unknown |= UINT64_C(1) << place;
    return true;
}

enum linear linear_check(const struct history *h, int64_t initial,
                         bool (*step)(int64_t state, const struct hist_op *op, int64_t *ret_state),
                         size_t tries_max, size_t *ret_bad)
{
    struct search s = {.h = h, .step = step, .max = tries_max};
    size_t n;
    AUTOFREE struct moment *m = moments(h, &n);
    enum linear verdict = LINEAR_YES;
    configs_add(&s.now, (struct config){initial, 0});
    for (size_t i = 0; i < n && verdict == LINEAR_YES; i++) {
        if (!m[i].end) {
            verdict = begin(&s, m[i].op) ? LINEAR_YES : LINEAR_UNDECIDED;
            continue;
        }
        bool some = force(&s, place_of(&s, m[i].op));
        verdict = s.tried >= s.max ? LINEAR_UNDECIDED : some ? LINEAR_YES : LINEAR_NO;
        if (verdict == LINEAR_NO && ret_bad)
            *ret_bad = m[i].op;
    }
    configs_fini(&s.now);
    return verdict;
}

/* ---- A name ---- */

const char *const claim_words[CLAIM_KINDS] = {"take", "replace", "free", "read", "call"};

/* A state above 0 is the holder and its calls, others are nobody, after the holder that there was. */
#define CALLS      20 /* bits of the number of calls */
#define HOLDER(st) ((st) >> CALLS)
#define HELD(who)  ((who) * (INT64_C(1) << CALLS))
#define CALLED(st) ((st) & (HELD(1) - 1))
#define OFTEN      (HELD(1) - 1) /* calls: who knows how many */
#define AFTER(st)  ((st) > 0 ? -HOLDER(st) : (st))

/* What happens if nobody can say what was answered. */
static int64_t step_unknown(int64_t state, const struct hist_op *op)
{
    switch ((enum claim_kind)op->kind) {
    case CLAIM_TAKE:
        return state <= 0 ? HELD(op->arg) : state;
    case CLAIM_REPLACE:
        return state > 0 && HOLDER(state) == op->arg2 ? HELD(op->arg) : state;
    case CLAIM_FREE:
        return AFTER(state);
    case CLAIM_CALL:
        return state > 0 && CALLED(state) != OFTEN ? state + 1 : state;
    case CLAIM_READ:
    case CLAIM_KINDS:
        break;
    }
    return state;
}

static bool becomes(bool may, int64_t state, int64_t *ret_state)
{
    if (may)
        *ret_state = state;
    return may;
}

/* got: 0 = it was not said. */
static bool holds(int64_t state, int64_t got)
{
    return state > 0 && (got == 0 || HOLDER(state) == got);
}

static bool take(int64_t state, const struct hist_op *op, enum claim_verdict v, int64_t *ret)
{
    bool nobody = state <= 0;
    if (v == CLAIM_DONE || (v == CLAIM_SAME && nobody))
        return becomes(nobody, HELD(op->arg), ret);
    return becomes(holds(state, v == CLAIM_SAME ? op->arg : op->got), state, ret);
}

static bool set_free(int64_t state, const struct hist_op *op, enum claim_verdict v, int64_t *ret)
{
    if (v == CLAIM_NOBODY)
        return becomes(state <= 0, state, ret);
    bool another = v == CLAIM_SAME && state < 0 && (op->got == 0 || -state == op->got);
    return becomes(another || holds(state, op->got), AFTER(state), ret);
}

static bool step_known(int64_t state, const struct hist_op *op, int64_t *ret)
{
    enum claim_verdict v = (enum claim_verdict)op->verdict;
    bool was = state > 0 && HOLDER(state) == op->arg2;
    switch ((enum claim_kind)op->kind) {
    case CLAIM_TAKE:
        return take(state, op, v, ret);
    case CLAIM_REPLACE:
        return becomes(was == (v == CLAIM_DONE), was ? HELD(op->arg) : state, ret);
    case CLAIM_FREE:
        return set_free(state, op, v, ret);
    case CLAIM_READ:
        return becomes(v == CLAIM_DONE ? holds(state, op->got) : state <= 0, state, ret);
    case CLAIM_CALL:
        if (v == CLAIM_NOBODY)
            return becomes(state <= 0, state, ret);
        return becomes(state > 0 && (CALLED(state) == OFTEN || CALLED(state) + 1 == op->got),
                       HELD(HOLDER(state)) + op->got, ret);
    case CLAIM_KINDS:
        break;
    }
    unreachable("operation of kind %d", op->kind);
}

/* A history that begins in the middle: the first answer that tells something says what was true, but for how
 * often somebody was called before. */
static bool step_any(const struct hist_op *op, int64_t *ret)
{
    enum claim_verdict v = (enum claim_verdict)op->verdict;
    bool told = op->kind == CLAIM_READ || v == CLAIM_HELD;
    bool taken = (op->kind == CLAIM_TAKE || op->kind == CLAIM_REPLACE) && v == CLAIM_DONE;
    int64_t who = op->kind == CLAIM_REPLACE && !taken ? 0 : told ? op->got : v == CLAIM_SAME ? op->arg : 0;
    if (op->end == HIST_OK && taken)
        return becomes(true, HELD(op->arg), ret);
    if (op->end == HIST_OK && (op->kind == CLAIM_FREE || v == CLAIM_NOBODY))
        return becomes(true, 0, ret);
    return becomes(true, op->end == HIST_OK && who ? HELD(who) + OFTEN : CLAIM_ANY, ret);
}

bool claim_step(int64_t state, const struct hist_op *op, int64_t *ret_state)
{
    if (state == CLAIM_ANY)
        return step_any(op, ret_state);
    return op->end == HIST_OK ? step_known(state, op, ret_state)
                              : becomes(true, step_unknown(state, op), ret_state);
}
