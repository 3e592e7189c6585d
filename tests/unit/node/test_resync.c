/* Copying what another node has, page by page: what a page proves, who is asked, and for how long somebody is
 * refused. The peer here sends what the test says.
 */
#include "base/hlc.h"
#include "bench.h"
#include "node/child.h"

#define A INT64_C(500)
#define B INT64_C(600)

static struct {
    int64_t early, late; /* stamps of the rows of A and B; late: 0 = there is none */
    int64_t entries;     /* of the vector, besides */
    int pages, asked;
    bool busy;
} script;

static void row(struct str *out, const char *key, int64_t actor, int64_t hlc)
{
    buf_bytes(out, "name", 4);
    buf_bytes(out, key, strlen(key));
    buf_i64(out, 1);
    buf_i64(out, hlc);
    buf_i64(out, actor);
    buf_u8(out, true);
    buf_bytes(out, "", 0);
}

/* The rows are of one page, the last one; before it come pages of a dead row each. */
static void page(struct bench *b, struct str *out)
{
    AUTOVV struct vv vv = VV_INIT;
    (void)b;
    if (script.busy) {
        buf_u8(out, PULL_BUSY);
        return;
    }
    bool last = ++script.asked >= script.pages;
    vv_put(&vv, A, script.early);
    if (script.late)
        vv_put(&vv, B, script.late);
    for (int64_t i = 0; i < script.entries; i++)
        vv_put(&vv, 1000 + i, script.early);
    buf_u8(out, PULL_PAGE);
    vector_write(out, &vv);
    vector_write(out, &VV_INIT);
    buf_i64(out, 0);
    buf_u8(out, !last);
    if (!last) {
        char key[32];
        snprintf(key, sizeof key, "default/a%05d", script.asked);
        buf_u32(out, 1);
        row(out, key, A, script.early);
        return;
    }
    buf_u32(out, 1u + (script.late > 0));
    row(out, "default/b", A, script.early);
    if (script.late)
        row(out, "default/c", B, script.late);
}

static int wish(struct node *n, void *arg)
{
    return resync_want(n, NULL, arg);
}

static void begin(struct bench *b)
{
    static char why[] = "a test wants it";
    bench_begin(b, true, NULL);
    memset(&script, 0, sizeof script);
    script.early = bench_stamp(b, -1000);
    script.pages = 1;
    TAILQ_FIRST(&b->n->peers)->member = true;
    b->resync = page;
    assert_int_equal(node_transact(b->n, wish, why), 0);
}

static bool has(struct bench *b, const char *name)
{
    struct name_row r = {.swarm = mem_dup("default"), .name = mem_dup(name)};
    struct stamp there;
    int rc = store_version(b->n->store, T_NAME, &r, &there, NULL, NULL);
    row_fini(T_NAME, &r);
    return rc == 1;
}

static int64_t logged(struct bench *b, const char *type)
{
    AUTOFREE char *sql = mem_printf("SELECT count(*) FROM log WHERE type = '%s'", type);
    return db_i64(store_db(b->n->store), sql, -1);
}

/* As in a pull: the other rows are taken, nothing is proven, and it goes on until there is no such row. */
static void a_row_from_the_future_is_left_out(void **state)
{
    (void)state;
    struct bench b;
    begin(&b);
    script.late = bench_stamp(&b, 60000);
    bench_run(&b, 3000);
    assert_true(script.asked >= 1);
    assert_true(has(&b, "b"));
    assert_false(has(&b, "c"));
    assert_true(b.n->resync.wanted);
    assert_int_equal(bench_vector(&b, A), 0);
    assert_int_equal(bench_vector(&b, B), 0);
    assert_int_equal(logged(&b, "clock_skew"), 1);
    assert_int_equal(logged(&b, "resync_done"), 0);
    script.late = bench_stamp(&b, 1000);
    bench_run(&b, 10000);
    assert_false(b.n->resync.wanted);
    assert_true(has(&b, "c"));
    assert_int_equal(bench_vector(&b, A), script.early);
    assert_int_equal(bench_vector(&b, B), script.late);
    assert_int_equal(logged(&b, "resync_done"), 1);
    bench_end(&b);
}

static bool copying(struct bench *b)
{
    const struct frozen *f = node_frozen(b->n);
    bool is = f->copying;
    frozen_unref(f);
    return is;
}

/* While it lasts this node is not ready; but when nobody can be copied from what is here has to do. */
static void who_copies_is_not_ready_until_nobody_answers(void **state)
{
    (void)state;
    struct bench b;
    begin(&b);
    script.busy = true;
    bench_run(&b, 25000);
    assert_true(copying(&b));
    bench_run(&b, 10000);
    assert_true(b.n->resync.wanted);
    assert_false(copying(&b));
    script.busy = false;
    script.pages = 3;
    bench_run(&b, 20000);
    assert_int_equal(logged(&b, "resync_done"), 1);
    assert_false(copying(&b));
    bench_end(&b);
}

/* The vectors are written with the first page only, and the way so far is found again by the next run. */
static void what_a_page_writes_is_small(void **state)
{
    (void)state;
    struct bench b;
    begin(&b);
    script.entries = 10000;
    script.pages = 1000;
    for (int i = 0; script.asked < 5 && i < 1000; i++)
        bench_turn(&b, 10, NULL);
    bench_turn(&b, 1, NULL);
    struct db *db = store_db(b.n->store);
    assert_in_range(db_i64(db, "SELECT length(value) FROM meta WHERE key = 'resync_at'", -1), 50, 300);
    assert_true(db_i64(db, "SELECT length(value) FROM meta WHERE key = 'resync_vectors'", -1) > 320000);
    assert_int_equal(db_exec(db, "UPDATE meta SET value = value || '00' WHERE key = 'resync_vectors'", NULL),
                     0);
    int64_t marked = db_i64(db, "SELECT length(value) FROM meta WHERE key = 'resync_vectors'", -1);
    bench_run(&b, 100);
    assert_true(script.asked > 6);
    assert_int_equal(db_i64(db, "SELECT length(value) FROM meta WHERE key = 'resync_vectors'", -1), marked);
    bench_end(&b);
}

struct asking {
    struct id who;
    int said;
};

static int serve(struct node *n, void *arg)
{
    struct asking *a = arg;
    AUTOSTR struct str ask = STR_INIT, answer = STR_INIT;
    buf_u8(&ask, PULL_PROTO);
    buf_id(&ask, &n->cluster);
    buf_id(&ask, &a->who);
    buf_i64(&ask, BENCH_PEER_ACTOR);
    buf_text(&ask, NULL);
    buf_text(&ask, NULL);
    int rc = resync_serve(n, &a->who, str_get(&ask), ask.n, &answer);
    a->said = rc < 0 ? rc : (unsigned char)str_get(&answer)[0];
    return rc;
}

/* How many seconds somebody who asks each second is refused, while a peer's rows are left out for ever. */
static int refused_s(struct bench *b)
{
    for (int s = 0; s < 300; s++) {
        struct asking a = {.who = b->peer_id};
        struct peer *p = TAILQ_FIRST(&b->n->peers);
        vv_raise(&p->pull.cut, A, 1);
        assert_int_equal(node_transact(b->n, serve, &a), 0);
        if (a.said == PULL_PAGE)
            return s;
        assert_int_equal(a.said, PULL_BUSY);
        bench_run(b, 1000);
    }
    return 300;
}

static void who_is_cut_for_ever_does_not_keep_others_from_copying(void **state)
{
    (void)state;
    struct bench b;
    bench_begin(&b, true, NULL);
    b.peer_deaf = true;
    assert_in_range(refused_s(&b), 25, 35);
    assert_int_equal(refused_s(&b), 0); /* its other pages, too */
    bench_run(&b, 60000);
    assert_in_range(refused_s(&b), 25, 35); /* and anew for the next one who comes */
    bench_end(&b);
}

static int handed_over_in_doubt(struct node *n, void *arg)
{
    struct handoff_row handoff = {.swarm = "default", .name = "web", .epoch = 7, .chunks = 1};
    struct chunk_row chunk = {.swarm = "default", .name = "web", .epoch = 7};
    AUTOSTR struct str key = STR_INIT;
    store_key(T_CHUNK, &chunk, &key);
    assert_int_equal(store_save(n->store, T_CHUNK, &chunk, &n->fault), 0);
    assert_int_equal(store_save(n->store, T_HANDOFF, &handoff, &n->fault), 0);
    assert_int_equal(
        store_doubt(n->store, (struct span){"chunk", 5}, (struct span){str_get(&key), key.n}, &n->fault), 1);
    assert_int_equal(handoff_forget(n, "default", "web"), 0);
    struct stamp stamp;
    *(bool *)arg = store_version(n->store, T_CHUNK, &chunk, &stamp, NULL, &n->fault) == 0;
    return 0;
}

/* Others have dropped it without a word: it must not wait here for somebody to decide. */
static void a_chunk_in_doubt_goes_with_its_handoff(void **state)
{
    (void)state;
    struct bench b;
    bool gone = false;
    bench_begin(&b, false, NULL);
    assert_int_equal(node_transact(b.n, handed_over_in_doubt, &gone), 0);
    assert_true(gone);
    bench_end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_from_the_future_is_left_out),
        cmocka_unit_test(who_copies_is_not_ready_until_nobody_answers),
        cmocka_unit_test(what_a_page_writes_is_small),
        cmocka_unit_test(a_chunk_in_doubt_goes_with_its_handoff),
        cmocka_unit_test(who_is_cut_for_ever_does_not_keep_others_from_copying),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
