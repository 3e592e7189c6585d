/* compare: one round with one member: root, groups, buckets, keys; then once more, some seconds later, for
 * what differs, so that only what stays is judged; then the rows that are wanted. Decides whom to ask and
 * what; what an answer means for a row is heal.c's.
 *
 * Everything here is memory, changed between transactions; a round that comes to nothing is forgotten.
 */
#include "node/compare_inside.h"
#include "node/vector.h"
#include "wire/buf.h"

#define CALL_MS    10000
#define ROUND_MS   300000 /* nothing takes so long */
#define AGAIN_MS   500    /* when the other side is not ready */
#define BUSY_MS    3000
#define CONFIRM_OF 10 /* times sync_ms between the two passes */

void suspects_clear(struct suspect *list, size_t *n)
{
    for (size_t i = 0; i < *n; i++) {
        free(list[i].tbl);
        free(list[i].key);
    }
    *n = 0;
}

/* ---- whom, and when ---- */

static bool can_be_asked(const struct peer *p)
{
    return p->known && p->member && !p->left && !p->down && p->liveness == LIVENESS_HEALTHY &&
           !id_is_zero(&p->id);
}

static struct peer *somebody(struct node *n)
{
    struct peer *p, *chosen = NULL;
    uint64_t count = 0;
    TAILQ_FOREACH (p, &n->peers, link)
        if (can_be_asked(p) && prng_below(&n->prng, ++count) == 0)
            chosen = p;
    return chosen;
}

static void next_round(struct node *n, int64_t in_ms)
{
    int64_t fifth = in_ms / 5;
    n->compare->round.due_ms =
        n->now_ms + in_ms - fifth + (int64_t)prng_below(&n->prng, (uint64_t)fifth * 2 + 1);
    timer_set(n, &n->compare->round_timer, n->compare->round.due_ms);
}

void round_end(struct node *n)
{
    struct round *r = &n->compare->round;
    /* where rows were mended there may be more than one round can look at */
    int64_t in_ms = r->mended && CONFIRM_OF * n->o.sync_ms < n->o.compare_ms ? CONFIRM_OF * n->o.sync_ms
                                                                             : n->o.compare_ms;
    r->step = STEP_NONE;
    r->call = 0;
    r->mended = false;
    suspects_clear(r->before, &r->before_n);
    suspects_clear(r->found, &r->found_n);
    str_clear(&r->rows);
    next_round(n, in_ms);
}

static void round_busy(struct node *n)
{
    round_end(n);
    next_round(n, BUSY_MS < n->o.compare_ms ? BUSY_MS : n->o.compare_ms);
}

static void go_to(struct node *n, enum compare_step step, int64_t in_ms)
{
    struct round *r = &n->compare->round;
    r->step = step;
    r->next_ms = n->now_ms + in_ms;
    timer_set(n, &n->compare->round_timer, r->next_ms);
}

/* ---- asking ---- */

static void put_fetch(struct round *r, struct str *body)
{
    size_t count = r->found_n - r->fetched < FETCH_MAX ? r->found_n - r->fetched : FETCH_MAX;
    buf_varint(body, count);
    for (size_t i = 0; i < count; i++) {
        const struct suspect *s = &r->found[r->fetched + i];
        buf_bytes(body, s->tbl, s->tbl_n);
        buf_bytes(body, s->key, s->key_n);
    }
}

static void put_body(struct node *n, struct round *r, struct str *body)
{
    unsigned char root[DIGEST16_BYTES];
    switch (r->step) {
    case STEP_ROOT:
        sums_root(n->compare->sums, root);
        str_add(body, root, sizeof root);
        break;
    case STEP_BUCKETS:
        buf_varint(body, r->groups_n);
        str_add(body, r->groups, r->groups_n);
        break;
    case STEP_KEYS:
        buf_varint(body, r->buckets_n);
        for (size_t i = 0; i < r->buckets_n; i++)
            buf_u32(body, r->buckets[i]);
        break;
    case STEP_FETCH:
        put_fetch(r, body);
        break;
    case STEP_NONE:
    case STEP_PREPARE:
        break;
    }
}

static void ask(struct node *n, const struct peer *p)
{
    struct round *r = &n->compare->round;
    struct str body = STR_INIT;
    struct peer_call *c = mem_alloc(sizeof *c);
    buf_id(&body, &n->cluster);
    buf_id(&body, &n->self);
    buf_u8(&body, (uint8_t)r->step);
    put_body(n, r, &body);
    n->counters.compare_bytes += (int64_t)body.n;
    *c = (struct peer_call){.id = ++n->next_call,
                            .node = p->id,
                            .url = mem_dup(p->url),
                            .lane = LANE_BULK,
                            .path = mem_dup("/v1/peer/compare"),
                            .body_n = body.n,
                            .timeout_ms = CALL_MS};
    c->body = str_take(&body);
    r->call = c->id;
    eff_call(n, c);
}

/* Looks at the rows first, at both ends at the same time. */
static void round_begin(struct node *n)
{
    struct round *r = &n->compare->round;
    struct peer *p = somebody(n);
    if (!rescan_fresh(n))
        rescan_want(n);
    next_round(n, n->o.compare_ms);
    if (!p)
        return;
    r->peer = p->id;
    r->deadline_ms = n->now_ms + ROUND_MS;
    r->confirming = false;
    n->counters.compares++;
    go_to(n, STEP_PREPARE, 0);
}

static void round_go(struct node *n, void *arg UNUSED)
{
    struct round *r = &n->compare->round;
    if (n->o.compare_ms <= 0) {
        timer_set(n, &n->compare->round_timer, INT64_MAX);
        return;
    }
    if (r->step == STEP_NONE && !n->resync.wanted)
        round_begin(n);
    struct peer *p = peer_find(n, &r->peer);
    if (r->step == STEP_NONE) {
        if (n->resync.wanted)
            next_round(n, n->o.compare_ms);
        return;
    }
    if (!p || !can_be_asked(p) || n->resync.wanted || n->now_ms > r->deadline_ms) {
        round_end(n);
        return;
    }
    timer_set(n, &n->compare->round_timer, n->now_ms + 1000);
    bool waits = r->rows.n > 0 || (r->step == STEP_ROOT && !rescan_fresh(n));
    if (r->step == STEP_ROOT && !rescan_fresh(n))
        rescan_want(n);
    if (r->call || waits || n->now_ms < r->next_ms)
        timer_set(n, &n->compare->round_timer, n->now_ms < r->next_ms ? r->next_ms : n->now_ms + 1000);
    else
        ask(n, p);
}

int round_due(struct node *n, struct timer *t)
{
    timer_set(n, t, n->now_ms + 1000); /* unless the round says otherwise */
    eff_do(n, round_go, NULL, NULL);
    return 0;
}

void round_looked(struct node *n)
{
    if (n->compare->round.step == STEP_ROOT)
        timer_set(n, &n->compare->round_timer, n->now_ms);
}

/* ---- answers ---- */

static void root_answered(struct node *n, struct reader *in)
{
    struct round *r = &n->compare->round;
    static const uint64_t nowhere[SUMS_BUCKETS / 64];
    if (!rescan_fresh(n)) {
        go_to(n, STEP_ROOT, 0);
        return;
    }
    if (read_bool(in)) {
        n->counters.compares_equal++;
        if (!in->bad)
            heal_lacking(n, nowhere);
        round_end(n);
        return;
    }
    r->groups_n = 0;
    for (unsigned g = 0; g < SUMS_GROUPS; g++) {
        unsigned char mine[DIGEST16_BYTES], theirs[8];
        for (size_t i = 0; i < sizeof theirs; i++)
            theirs[i] = read_u8(in);
        sums_group(n->compare->sums, g, mine);
        if (memcmp(mine, theirs, sizeof theirs) != 0)
            r->groups[r->groups_n++] = (unsigned char)g;
    }
    if (in->bad || r->groups_n == 0)
        round_end(n);
    else
        go_to(n, STEP_BUCKETS, 0);
}

struct candidate {
    uint32_t bucket;
    uint64_t rows;
};

/* As many as one list can hold; those with damage first, then from anywhere on. */
static void choose(struct node *n, const struct candidate *all, size_t count)
{
    struct compare *c = n->compare;
    struct round *r = &c->round;
    uint64_t damaged[SUMS_BUCKETS / 64] = {0}, rows = 0;
    size_t start = prng_below(&n->prng, count);
    for (size_t i = 0; i < c->damages_n; i++)
        bit_set(damaged, c->damages[i].bucket);
    r->buckets_n = 0;
    for (size_t i = 0; i < 2 * count && r->buckets_n < BUCKETS_MAX; i++) {
        const struct candidate *one = &all[(start + i) % count];
        if (bit_get(damaged, one->bucket) != (i < count))
            continue;
        rows += one->rows;
        if (rows > KEYS_MAX / 2 && r->buckets_n > 0)
            break;
        r->buckets[r->buckets_n++] = one->bucket;
    }
}

static void buckets_answered(struct node *n, struct reader *in)
{
    struct round *r = &n->compare->round;
    AUTOFREE struct candidate *all = mem_array(SUMS_BUCKETS, sizeof *all);
    const struct sums *sums = n->compare->sums;
    size_t count = 0;
    memset(r->differ, 0, sizeof r->differ);
    for (size_t g = 0; g < r->groups_n; g++)
        for (uint32_t i = 0; i < SUMS_EACH; i++) {
            unsigned char mine[DIGEST16_BYTES], theirs[8];
            uint32_t bucket = r->groups[g] * (uint32_t)SUMS_EACH + i;
            for (size_t k = 0; k < sizeof theirs; k++)
                theirs[k] = read_u8(in);
            uint64_t rows = read_varint(in);
            sums_bucket(sums, bucket, mine);
            if (memcmp(mine, theirs, sizeof theirs) == 0)
                continue;
            bit_set(r->differ, bucket);
            all[count++] = (struct candidate){bucket, rows};
        }
    if (!reader_done(in) || count == 0) {
        round_end(n);
        return;
    }
    heal_lacking(n, r->differ);
    choose(n, all, count);
    vv_copy(&r->first, &n->vv);
    go_to(n, STEP_KEYS, 0);
}

/* The list is judged: rows to fetch, something to look at again, or nothing. */
static void judged(struct node *n)
{
    struct round *r = &n->compare->round;
    r->fetched = 0;
    if (r->found_n > 0) {
        go_to(n, STEP_FETCH, 0);
    } else if (!r->confirming && r->before_n > 0) {
        r->confirming = true;
        go_to(n, STEP_KEYS, n->o.sync_ms * CONFIRM_OF);
    } else {
        round_end(n);
    }
}

/* What was asked for is in. */
static void fetched_more(struct node *n)
{
    struct round *r = &n->compare->round;
    if (r->fetched < r->found_n) {
        go_to(n, STEP_FETCH, 0);
        return;
    }
    suspects_clear(r->found, &r->found_n);
    judged(n);
}

static void rows_answered(struct node *n, struct reader *in)
{
    struct round *r = &n->compare->round;
    uint32_t count = read_u32(in);
    size_t left = r->found_n - r->fetched;
    if (in->bad || count > FETCH_MAX) {
        round_end(n);
        return;
    }
    r->fetched += left < FETCH_MAX ? left : FETCH_MAX;
    r->rows_n = count;
    str_clear(&r->rows);
    if (count == 0) {
        fetched_more(n);
        return;
    }
    str_add(&r->rows, in->p, in->n);
    rescan_work(n);
}

void round_rows_in(struct node *n)
{
    struct round *r = &n->compare->round;
    str_clear(&r->rows);
    r->mended = true;
    r->mended_ms = n->now_ms;
    if (r->step == STEP_FETCH)
        fetched_more(n);
}

static void step_answered(struct node *n, struct reader *in)
{
    struct round *r = &n->compare->round;
    switch (r->step) {
    case STEP_NONE:
        break;
    case STEP_PREPARE:
        go_to(n, STEP_ROOT, 0);
        break;
    case STEP_ROOT:
        root_answered(n, in);
        break;
    case STEP_BUCKETS:
        buckets_answered(n, in);
        break;
    case STEP_KEYS:
        if (heal_judge(n, in))
            judged(n);
        else
            round_end(n);
        break;
    case STEP_FETCH:
        rows_answered(n, in);
        break;
    }
}

bool compare_answered(struct node *n, const struct event *ev)
{
    struct round *r = &n->compare->round;
    if (r->call == 0 || ev->call != r->call)
        return false;
    r->call = 0;
    n->counters.compare_bytes += (int64_t)ev->bytes_n;
    struct reader in = reader_init(ev->bytes, ev->bytes_n);
    uint8_t status = read_u8(&in);
    if (r->step == STEP_NONE || ev->kind != EV_PEER_ANSWERED || ev->status != 200 || in.bad)
        round_end(n);
    else if (status == COMPARE_WAIT && r->step != STEP_PREPARE) /* it looks at its rows, as we do */
        go_to(n, r->step, AGAIN_MS);
    else if (status == COMPARE_OK || status == COMPARE_WAIT)
        step_answered(n, &in);
    else
        round_busy(n);
    return true;
}
