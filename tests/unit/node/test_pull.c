/* Pulling: what a page proves, and when. The peer here sends what the test says and notes what it is asked.
 */
#include "base/hlc.h"
#include "bench.h"

#include <time.h>

#define A INT64_C(500) /* actors that only the peer knows */
#define B INT64_C(600)

struct chain {
    bool more[8], holes[8], lies[8]; /* lies: the row's stamp is that of another one */
    int64_t rows_of[8], rows_at[8];  /* one dead row of that actor with that stamp; 0 = none */
    int pages, sent;
    int64_t proven; /* that the peer proves for A and B */
    int64_t of_us;  /* the same for the run that asks */
    int64_t asked_a[64], asked_b[64], cursor_a[64], cursor_b[64];
    int asked;
    int64_t asked_ms[64];
};

static struct chain chain;

static int64_t entry(struct reader *r, int64_t *ret_b)
{
    int64_t a = 0;
    *ret_b = 0;
    read_i64(r); /* the floor */
    for (size_t n = read_count(r, 16); n > 0; n--) {
        int64_t actor = read_i64(r), hlc = read_i64(r);
        a = actor == A ? hlc : a;
        *ret_b = actor == B ? hlc : *ret_b;
    }
    return a;
}

static void row(struct str *out, int64_t actor, int64_t hlc, bool lies)
{
    AUTOFREE char *key =
        mem_printf("default/%s%lld-%lld", lies ? "lie-" : "", (long long)actor, (long long)hlc);
    buf_bytes(out, "name", 4);
    buf_bytes(out, key, strlen(key));
    buf_i64(out, 1);
    buf_i64(out, hlc);
    buf_i64(out, actor);
    buf_u8(out, true);
    buf_bytes(out, "", 0);
}

static void page(struct bench *b, struct reader *request, struct str *out)
{
    struct chain *c = &chain;
    assert_in_range(c->asked, 0, (int)COUNT(c->asked_a) - 1);
    assert_int_equal(read_u8(request), PULL_PROTO);
    read_id(request);
    read_id(request);
    read_i64(request);
    read_varint(request);
    bool whole = read_varint(request) == 0;
    int64_t b_before = whole || c->asked == 0 ? 0 : c->asked_b[c->asked - 1], b_gc;
    int64_t a_before = whole || c->asked == 0 ? 0 : c->asked_a[c->asked - 1];
    c->asked_a[c->asked] = entry(request, &c->asked_b[c->asked]);
    if (c->asked_a[c->asked] == 0) /* not said again */
        c->asked_a[c->asked] = a_before;
    if (c->asked_b[c->asked] == 0)
        c->asked_b[c->asked] = b_before;
    entry(request, &b_gc);
    c->cursor_a[c->asked] = entry(request, &c->cursor_b[c->asked]);
    c->asked_ms[c->asked++] = b->boot_ms;
    bool script = c->sent < c->pages;
    bool has_row = script && c->rows_of[c->sent];
    AUTOVV struct vv vector = VV_INIT;
    if (c->proven) {
        vv_put(&vector, A, c->proven);
        vv_put(&vector, B, c->proven);
    }
    if (c->of_us)
        vv_put(&vector, b->n->actor, c->of_us);
    buf_u8(out, PULL_PAGE);
    vector_write(out, &vector);
    buf_u8(out, (uint8_t)((script && c->more[c->sent] ? PULL_MORE : 0) |
                          (script && c->holes[c->sent] ? PULL_HOLES : 0)));
    buf_u32(out, has_row);
    if (has_row)
        row(out, c->rows_of[c->sent], c->rows_at[c->sent], c->lies[c->sent]);
    c->sent++;
}

static void begin(struct bench *b)
{
    bench_begin(b, true, NULL);
    chain = (struct chain){0};
}

static void the_vector_moves_at_the_end_of_a_chain(void **state)
{
    (void)state;
    struct bench b;
    begin(&b);
    int64_t at = bench_stamp(&b, -1000);
    chain.proven = at + 5;
    chain.pages = 3;
    chain.more[0] = chain.more[1] = true;
    for (int i = 0; i < 3; i++) {
        chain.rows_of[i] = A;
        chain.rows_at[i] = at + i;
    }
    b.page = page;
    while (chain.asked < 3)
        bench_turn(&b, 10, NULL);
    for (int i = 0; i < 3; i++)
        assert_int_equal(chain.asked_a[i], 0); /* nothing is proven inside of a chain */
    assert_int_equal(chain.cursor_a[0], 0);
    assert_int_equal(chain.cursor_a[1], at);
    assert_int_equal(chain.cursor_a[2], at + 1);
    assert_int_equal(bench_vector(&b, A), 0);
    bench_turn(&b, 1, NULL);
    bench_turn(&b, 1, NULL);
    assert_in_range(chain.asked, 4, 5); /* what came is acknowledged at once */
    assert_int_equal(chain.asked_a[3], at + 5);
    assert_int_equal(chain.cursor_a[3], 0);
    assert_int_equal(bench_vector(&b, A), at + 5);
    bench_end(&b);
}

static void a_chain_that_breaks_proves_nothing(void **state)
{
    (void)state;
    struct bench b;
    begin(&b);
    int64_t at = bench_stamp(&b, -1000);
    chain.proven = at;
    chain.pages = 2;
    chain.more[0] = chain.more[1] = true;
    chain.rows_of[0] = chain.rows_of[1] = A;
    chain.rows_at[0] = at - 2;
    chain.rows_at[1] = at - 1;
    b.page = page;
    while (chain.asked < 2)
        bench_turn(&b, 10, NULL);
    for (size_t i = 0; i < b.queue_n; i++) /* the second one ends without an answer */
        if (b.queue[i].call == TAILQ_FIRST(&b.n->peers)->pull.call) {
            b.queue[i].kind = EV_PEER_FAILED;
            b.queue[i].failure = NET_CLOSED;
        }
    bench_turn(&b, 1, NULL);
    assert_int_equal(bench_vector(&b, A), 0);
    int asked = chain.asked;
    bench_run(&b, 200);
    assert_int_equal(chain.asked, asked); /* 250 ms at least */
    bench_run(&b, 400);
    assert_true(chain.asked > asked);
    assert_int_equal(chain.asked_a[asked], 0);
    assert_int_equal(chain.cursor_a[asked], 0); /* and from the start */
    assert_int_equal(bench_vector(&b, A), at);
    bench_end(&b);
}

static bool has_version(struct bench *b, int64_t actor, int64_t hlc)
{
    struct name_row row = {.swarm = mem_dup("default"),
                           .name = mem_printf("%lld-%lld", (long long)actor, (long long)hlc)};
    struct stamp there;
    int rc = store_version(b->n->store, T_NAME, &row, &there, NULL, NULL);
    row_fini(T_NAME, &row);
    return rc == 1;
}

/* A stamp too far ahead cuts its actor to the end of the chain; the others' rows are merged, but nothing is
 * proven. */
static void a_row_from_the_future_cuts_its_actor(void **state)
{
    (void)state;
    struct bench b;
    begin(&b);
    int64_t early = bench_stamp(&b, -1000), late = bench_stamp(&b, 60000);
    chain.proven = early;
    chain.pages = 3;
    chain.more[0] = chain.more[1] = true;
    chain.rows_of[0] = A;
    chain.rows_at[0] = late;
    chain.rows_of[1] = B;
    chain.rows_at[1] = early;
    b.page = page;
    while (chain.asked < 3)
        bench_turn(&b, 10, NULL);
    assert_int_equal(chain.cursor_a[1], late); /* the chain goes on behind it */
    bench_turn(&b, 10, NULL);
    assert_int_equal(bench_vector(&b, A), 0);
    assert_int_equal(bench_vector(&b, B), 0); /* what was left out may have superseded something of B's */
    assert_true(has_version(&b, B, early));
    int asked = chain.asked;
    bench_run(&b, 300);
    assert_int_equal(chain.asked, asked); /* not at once: the same would come again */
    assert_false(has_version(&b, A, late));
    bench_end(&b);
}

/* A machine that was put back to a snapshot of its memory, or a copy that runs beside us. */
static void who_knows_more_of_this_run_than_it_wrote_ends_it(void **state)
{
    (void)state;
    struct bench b;
    begin(&b);
    b.page = page;
    int64_t written = vv_get(&b.n->vv, b.n->actor);
    chain.of_us = written;
    bench_run(&b, 2000); /* what it wrote is no news */
    assert_true(chain.asked > 0);
    chain.of_us = vv_get(&b.n->vv, b.n->actor) + 1;
    chain.proven = bench_stamp(&b, -1000);
    for (int i = 0; i < 200 && node_ended(b.n) < 0; i++)
        bench_turn_end(&b, 10, NULL);
    assert_int_equal(node_ended(b.n), 75);
    assert_int_equal(bench_vector(&b, A), 0); /* nor is anything believed that came with it */
    bench_end(&b);
}

/* A responder that leaves out a damaged row proves nothing by that chain; a row with the stamp of another one
 * is kept once, however often it comes. */
static void holes_prove_nothing_and_a_lie_is_kept_once(void **state)
{
    (void)state;
    struct bench b;
    begin(&b);
    int64_t early = bench_stamp(&b, -1000);
    chain.proven = early;
    chain.pages = 6;
    for (int i = 0; i < 6; i++) {
        chain.rows_of[i] = A;
        chain.rows_at[i] = early;
        chain.more[i] = i % 2 == 0;
        chain.lies[i] = i % 2;
        chain.holes[i] = i == 0 || i == 3;
    }
    b.page = page;
    while (chain.asked < 4)
        bench_turn(&b, 10, NULL);
    bench_turn(&b, 10, NULL);
    assert_true(has_version(&b, A, early));
    assert_int_equal(bench_vector(&b, A), 0);
    while (chain.asked < 6)
        bench_turn(&b, 10, NULL);
    bench_turn(&b, 10, NULL);
    assert_int_equal(bench_vector(&b, A), early); /* the third one is whole */
    assert_int_equal(db_i64(store_db(b.n->store), "SELECT count(*) FROM quarantine", -1), 1);
    bench_end(&b);
}

/* What a puller with that id is answered, who says so many entries. */
static enum verdict pull_as(struct bench *b, struct pull_memory *memory, int64_t id, uint64_t number,
                            uint64_t base, int64_t entries)
{
    AUTOSTR struct str ask = STR_INIT, answer = STR_INIT;
    AUTOVV struct vv vv = VV_INIT;
    struct id puller = {{1}};
    memcpy(puller.b + 8, &id, sizeof id);
    for (int64_t i = 1; i <= entries; i++)
        vv_put(&vv, i, 1);
    buf_u8(&ask, PULL_PROTO);
    buf_id(&ask, &b->n->cluster);
    buf_id(&ask, &puller);
    buf_i64(&ask, 7);
    buf_varint(&ask, number);
    buf_varint(&ask, base);
    vector_write(&ask, &vv);
    vector_write(&ask, &(struct vv){0});
    vector_write(&ask, &(struct vv){0});
    assert_int_equal(node_serve_pull(b->n->store, memory, &puller, ask.p, ask.n, &answer, &b->n->fault), 0);
    return (enum verdict) * str_get(&answer);
}

/* Many who say much push out others, who then say all again; it is no more than that. */
static void what_pullers_said_has_a_bound(void **state)
{
    (void)state;
    struct bench b;
    begin(&b);
    struct pull_memory *memory = pull_memory_new();
    assert_int_equal(pull_as(&b, memory, 1, 1, 0, 60000), PULL_PAGE);
    assert_int_equal(pull_as(&b, memory, 1, 2, 1, 0), PULL_PAGE);
    for (int64_t i = 2; i < 42; i++)
        assert_int_equal(pull_as(&b, memory, i, 1, 0, 60000), PULL_PAGE);
    assert_int_equal(pull_as(&b, memory, 1, 3, 2, 0), PULL_BASE);
    assert_int_equal(pull_as(&b, memory, 41, 2, 1, 0), PULL_PAGE);
    pull_memory_free(memory);
    bench_end(&b);
}

/* A pull request of a node, which says so many things: entries of actors from `first`, in steps of two. */
static void say(struct bench *b, const struct id *who, uint64_t base, int64_t first, int64_t entries,
                struct str *out)
{
    AUTOVV struct vv vv = VV_INIT;
    for (int64_t i = 0; i < entries; i++)
        vv_put(&vv, first + 2 * i, 5);
    buf_u8(out, PULL_PROTO);
    buf_id(out, &b->n->cluster);
    buf_id(out, who);
    buf_i64(out, BENCH_PEER_ACTOR);
    buf_varint(out, base + 1);
    buf_varint(out, base);
    vector_write(out, &vv);
    vector_write(out, &VV_INIT);
    vector_write(out, &VV_INIT);
}

static struct event pulled(const struct bench *b, const struct str *body)
{
    return (struct event){.kind = EV_PULLED,
                          .node = b->peer_id,
                          .at_boot_ms = b->boot_ms,
                          .bytes = mem_copy(str_get(body), body->n),
                          .bytes_n = body->n};
}

static void nobody_speaks_for_another(void **state)
{
    (void)state;
    struct bench b;
    begin(&b);
    AUTOSTR struct str ask = STR_INIT, answer = STR_INIT;
    struct id other = {{9}};
    struct pull_memory *memory = pull_memory_new();
    struct vv *has = &TAILQ_FIRST(&b.n->peers)->vv;
    say(&b, &other, 0, 1, 3, &ask);
    int rc = node_serve_pull(b.n->store, memory, &b.peer_id, ask.p, ask.n, &answer, &b.n->fault);
    assert_int_equal(rc, SKEP_EFORBIDDEN);
    assert_int_equal(answer.n, 0);
    struct event ev = pulled(&b, &ask);
    bench_turn(&b, 1, &ev);
    assert_int_equal(vv_get(has, 1), 0);
    assert_int_equal(b.n->counters.impostors, 1);
    str_clear(&ask);
    say(&b, &b.peer_id, 0, 1, 3, &ask);
    ev = pulled(&b, &ask);
    bench_turn(&b, 1, &ev);
    assert_int_equal(vv_get(has, 1), 5);
    assert_int_equal(b.n->counters.impostors, 1);
    pull_memory_free(memory);
    bench_end(&b);
}

static double cpu_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* 60 000 entries that fall between 60 000 others, again and again: each is one walk over both (entry by entry
 * it takes seconds), and what is remembered has a bound. */
static void a_hostile_change_costs_one_walk(void **state)
{
    (void)state;
    struct bench b;
    begin(&b);
    struct pull_memory *memory = pull_memory_new();
    double began_s = cpu_s();
    for (int i = 0; i < 8; i++) {
        AUTOSTR struct str ask = STR_INIT, answer = STR_INIT;
        say(&b, &b.peer_id, (uint64_t)i, 1 + i % 2 + i / 2 * 200000, 60000, &ask);
        assert_in_range(ask.n, 900000, 1 << 20);
        int rc = node_serve_pull(b.n->store, memory, &b.peer_id, ask.p, ask.n, &answer, &b.n->fault);
        assert_int_equal(rc, 0);
        struct event ev = pulled(&b, &ask);
        bench_turn(&b, 1, &ev);
    }
    assert_true(cpu_s() - began_s < 2);
    assert_in_range(TAILQ_FIRST(&b.n->peers)->vv.n, 120000, 1 << 18);
    pull_memory_free(memory);
    bench_end(&b);
}

static void an_idle_pull_comes_every_500_ms(void **state)
{
    (void)state;
    struct bench b;
    begin(&b);
    b.page = page;
    bench_run(&b, 10000);
    assert_in_range(chain.asked, 18, 23);
    for (int i = 2; i < chain.asked; i++)
        assert_in_range(chain.asked_ms[i] - chain.asked_ms[i - 1], 440, 570);
    bench_end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vector_moves_at_the_end_of_a_chain),
        cmocka_unit_test(a_chain_that_breaks_proves_nothing),
        cmocka_unit_test(a_row_from_the_future_cuts_its_actor),
        cmocka_unit_test(who_knows_more_of_this_run_than_it_wrote_ends_it),
        cmocka_unit_test(holes_prove_nothing_and_a_lie_is_kept_once),
        cmocka_unit_test(what_pullers_said_has_a_bound),
        cmocka_unit_test(nobody_speaks_for_another),
        cmocka_unit_test(a_hostile_change_costs_one_walk),
        cmocka_unit_test(an_idle_pull_comes_every_500_ms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
