/* Comparing with a peer that says anything: it is bounded, nothing of it is believed, and only rows that were
 * asked for come in. What comparing is good for is shown in tests/unit/sim/test_compare.c.
 */
#include "base/hlc.h"
#include "bench.h"
#include "node/compare_inside.h"
#include "node/vector.h"

#define EVIL INT64_C(666)

struct liar {
    struct prng p;
    int asked[STEP_FETCH + 1];
    bool noise;  /* bytes of no form at all */
    bool honest; /* the row that it lists is the one that it sends */
    char key[32];
    int64_t hlc;
    uint64_t wanted[SUMS_BUCKETS / 64];
};

static struct liar liar;

static void noise(struct str *out)
{
    for (uint64_t n = prng_below(&liar.p, 400); n > 0; n--)
        str_putc(out, (char)prng_next(&liar.p));
}

static void row_bytes(struct str *out)
{
    static const struct col cols[] = {{"spec", VAL_TEXT, {.type = VAL_NULL}},
                                      {"template", VAL_TEXT, {.type = VAL_NULL}}};
    struct val vals[] = {{.type = VAL_TEXT, .p = "{}", .n = 2},
                         {.type = VAL_TEXT, .p = liar.key, .n = strlen(liar.key)}};
    row_encode(out, cols, vals, 2, (struct span){NULL, 0});
}

/* A key that lies in a bucket that was asked for. */
static void find_key(void)
{
    do
        snprintf(liar.key, sizeof liar.key, "k%llu", (unsigned long long)prng_next(&liar.p));
    while (!bit_get(liar.wanted, scan_bucket("template", liar.key)));
}

static void say_keys(struct bench *b, struct reader *in, struct str *out)
{
    AUTOVV struct vv vv = VV_INIT;
    AUTOSTR struct str bytes = STR_INIT;
    unsigned char hash[DIGEST16_BYTES];
    if (!liar.key[0]) {
        for (size_t n = read_count(in, 4); n > 0; n--)
            bit_set(liar.wanted, read_u32(in));
        find_key();
        liar.hlc = hlc_at(BENCH_REAL_MS + b->boot_ms - 1000);
    }
    row_bytes(&bytes);
    digest16(&(struct span){str_get(&bytes), bytes.n}, 1, hash);
    vv_copy(&vv, &b->n->vv);
    vv_raise(&vv, EVIL, liar.hlc);
    vector_write(out, &vv);
    buf_u8(out, false);
    buf_varint(out, 1);
    buf_bytes(out, "template", 8);
    buf_bytes(out, liar.key, strlen(liar.key));
    buf_i64(out, 0);
    buf_i64(out, liar.hlc);
    buf_i64(out, EVIL);
    buf_u8(out, 0);
    str_add(out, hash, sizeof hash);
}

static void say_rows(struct str *out)
{
    AUTOSTR struct str bytes = STR_INIT;
    row_bytes(&bytes);
    if (!liar.honest && prng_below(&liar.p, 2))
        bytes.p[bytes.n - 1] ^= 1; /* other bytes than it listed */
    else if (!liar.honest)
        snprintf(liar.key, sizeof liar.key, "other"); /* another row */
    buf_u32(out, 1);
    buf_bytes(out, "template", 8);
    buf_bytes(out, liar.key, strlen(liar.key));
    buf_i64(out, 0);
    buf_i64(out, liar.hlc);
    buf_i64(out, EVIL);
    buf_u8(out, false);
    buf_bytes(out, str_get(&bytes), bytes.n);
}

static void lie(struct bench *b, const struct peer_call *c, struct str *out)
{
    struct reader in = reader_init(c->body, c->body_n);
    read_id(&in);
    read_id(&in);
    uint8_t step = read_u8(&in);
    assert_in_range(step, STEP_PREPARE, STEP_FETCH);
    liar.asked[step]++;
    buf_u8(out, COMPARE_OK);
    if (liar.noise && (step != STEP_PREPARE) && prng_below(&liar.p, 3) == 0) {
        noise(out);
        return;
    }
    if (step == STEP_ROOT) {
        buf_u8(out, false);
        for (int i = 0; i < 64 * 8; i++)
            buf_u8(out, (uint8_t)prng_next(&liar.p));
    } else if (step == STEP_BUCKETS) {
        for (size_t n = read_count(&in, 1) * SUMS_EACH; n > 0; n--) {
            for (int i = 0; i < 8; i++)
                buf_u8(out, (uint8_t)prng_next(&liar.p));
            buf_varint(out, liar.noise ? prng_next(&liar.p) >> prng_below(&liar.p, 64) : 1);
        }
    } else if (step == STEP_KEYS) {
        say_keys(b, &in, out);
    } else if (step == STEP_FETCH) {
        say_rows(out);
    }
    if (liar.noise && prng_below(&liar.p, 4) == 0)
        noise(out);
}

static void called(void *self, struct peer_call *c TAKES)
{
    struct bench *b = self;
    if (strcmp(c->path, "/v1/peer/compare") != 0) {
        bench_called(self, c);
        return;
    }
    struct str out = STR_INIT;
    lie(b, c, &out);
    bench_reply(b, c, &out);
    peer_call_free(c);
}

static void begin(struct bench *b, uint64_t seed)
{
    bench_begin(b, true, NULL);
    liar = (struct liar){0};
    prng_init(&liar.p, seed);
    for (int i = 0; i < 20; i++) {
        AUTOFREE char *name = mem_printf("n%d", i);
        struct err e = {0};
        assert_int_equal(db_begin(store_db(b->n->store), &e), 0);
        assert_int_equal(bench_write(b, name), 0);
        assert_int_equal(db_commit(store_db(b->n->store), &e), 0);
    }
    b->n->w.net.call = called;
    b->n->o.compare_ms = 1000;
    timer_set(b->n, &b->n->compare->round_timer, b->boot_ms);
}

static int64_t ask(struct bench *b, const char *sql)
{
    return db_i64(store_db(b->n->store), sql, -1);
}

/* This node has to have been told of what it is offered: its vector covers that. */
static void told_of(struct bench *b)
{
    vv_raise(&b->n->vv, EVIL, hlc_at(BENCH_REAL_MS + b->boot_ms + 4000));
}

static void an_honest_offer_is_taken_after_the_second_look(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, 1);
    liar.honest = true;
    told_of(&b);
    bench_run(&b, 4000);
    assert_int_equal(liar.asked[STEP_KEYS], 1);
    assert_int_equal(liar.asked[STEP_FETCH], 0);
    bench_run(&b, 8000);
    assert_true(liar.asked[STEP_FETCH] >= 1);
    assert_int_equal(ask(&b, "SELECT count(*) FROM change WHERE actor = 666"), 1);
    assert_int_equal(ask(&b, "SELECT count(*) FROM template"), 1);
    assert_int_equal(ask(&b, "SELECT count(*) FROM log WHERE type = 'row_late'"), 1);
    bench_end(&b);
}

static void what_may_be_on_its_way_is_not_taken(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, 2);
    liar.honest = true; /* but our vector does not cover it */
    bench_run(&b, 30000);
    assert_true(liar.asked[STEP_KEYS] > 3);
    assert_int_equal(liar.asked[STEP_FETCH], 0);
    assert_int_equal(ask(&b, "SELECT count(*) FROM change WHERE actor = 666"), 0);
    bench_end(&b);
}

static void other_rows_than_were_listed_are_not_taken(void **state)
{
    (void)state;
    for (uint64_t seed = 3; seed < 9; seed++) {
        struct bench b;
        begin(&b, seed);
        told_of(&b);
        bench_run(&b, 20000);
        assert_true(liar.asked[STEP_FETCH] >= 1);
        assert_int_equal(ask(&b, "SELECT count(*) FROM change WHERE actor = 666"), 0);
        bench_end(&b);
    }
}

static void who_missed_deletions_is_no_witness(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, 9);
    liar.honest = true;
    told_of(&b);
    vv_raise(&b.n->gcvv, 4711, 5); /* a deletion of which the peer's vector knows nothing */
    bench_run(&b, 20000);
    assert_true(liar.asked[STEP_KEYS] > 3);
    assert_int_equal(liar.asked[STEP_FETCH], 0);
    assert_int_equal(ask(&b, "SELECT count(*) FROM change WHERE actor = 666"), 0);
    bench_end(&b);
}

static void noise_does_no_harm(void **state)
{
    (void)state;
    for (uint64_t seed = 20; seed < 28; seed++) {
        struct bench b;
        begin(&b, seed);
        liar.noise = true;
        told_of(&b);
        int64_t rows = ask(&b, "SELECT count(*) FROM change");
        bench_run(&b, 30000);
        assert_true(liar.asked[STEP_ROOT] > 10);
        assert_int_equal(ask(&b, "SELECT count(*) FROM change WHERE actor <> 666"), rows);
        bench_end(&b);
    }
}

/* ---- requests ---- */

struct request_of {
    struct str body, answer;
    struct id peer;
    int rc;
};

static int serve_one(struct node *n, void *arg)
{
    struct request_of *r = arg;
    r->rc = compare_serve(n, &r->peer, str_get(&r->body), r->body.n, &r->answer);
    return r->rc < 0 && r->rc != SKEP_EARG ? r->rc : 0;
}

static void put_word(struct prng *p, struct str *body)
{
    static const char *const words[] = {"name", "default/n3", "", "\xff", "template", "a/b"};
    const char *word = words[prng_below(p, COUNT(words))];
    buf_bytes(body, word, strlen(word));
}

static void put_request(struct bench *b, struct prng *p, struct str *body)
{
    uint64_t step = prng_below(p, STEP_FETCH + 2);
    buf_id(body, prng_below(p, 20) ? &b->n->cluster : &(struct id){{9}});
    buf_id(body, prng_below(p, 20) ? &b->peer_id : &(struct id){{9}});
    buf_u8(body, (uint8_t)step);
    uint64_t count = prng_below(p, 30);
    if (step == STEP_ROOT)
        count = DIGEST16_BYTES;
    else if (step >= STEP_BUCKETS) /* as many as follow, mostly */
        buf_varint(body, prng_below(p, 4) ? count : prng_next(p) >> prng_below(p, 64));
    else
        count = prng_below(p, 2);
    for (uint64_t i = 0; i < count; i++)
        if (step == STEP_KEYS)
            buf_u32(body, (uint32_t)prng_below(p, prng_below(p, 99) ? SUMS_BUCKETS : UINT32_MAX));
        else if (step == STEP_FETCH)
            put_word(p, body);
        else
            buf_u8(body, (uint8_t)(step == STEP_BUCKETS ? i * 2 : prng_next(p)));
}

static void any_request_gets_a_bounded_answer_or_none(void **state)
{
    (void)state;
    struct bench b;
    struct prng p;
    int good = 0, bad = 0;
    begin(&b, 1);
    prng_init(&p, 77);
    for (int i = 0; i < 4000; i++) {
        struct request_of r = {.peer = b.peer_id};
        put_request(&b, &p, &r.body);
        if (prng_below(&p, 4) == 0 && r.body.n)
            r.body.n = prng_below(&p, r.body.n);
        assert_int_equal(node_transact(b.n, serve_one, &r), 0);
        assert_true(r.rc == 0 || r.rc == SKEP_EARG);
        assert_true(r.rc == SKEP_EARG ? r.answer.n == 0 : r.answer.n > 0);
        assert_true(r.answer.n < KEYS_BYTES + 64 * 1024);
        good += r.rc == 0;
        bad += r.rc != 0;
        str_fini(&r.body);
        str_fini(&r.answer);
        if (i % 20 == 0)
            bench_turn(&b, 10, NULL);
    }
    assert_true(good > 200 && bad > 200);
    bench_end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_honest_offer_is_taken_after_the_second_look),
        cmocka_unit_test(what_may_be_on_its_way_is_not_taken),
        cmocka_unit_test(other_rows_than_were_listed_are_not_taken),
        cmocka_unit_test(who_missed_deletions_is_no_witness),
        cmocka_unit_test(noise_does_no_harm),
        cmocka_unit_test(any_request_gets_a_bounded_answer_or_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
