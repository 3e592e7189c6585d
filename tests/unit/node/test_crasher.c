/* A row of a peer that ends skepd when it is applied: twice, and then it is kept aside while all else goes
 * on.
 */
#include "base/hlc.h"
#include "bench.h"

#define A INT64_C(500)

static int64_t evil_hlc; /* of the row that comes with every page until it is proven */
static struct disk_note note;

static void live_row(struct str *out, const char *key, int64_t hlc)
{
    struct template_row row = {.template = (char *)(uintptr_t)key, .spec = (char *)"{}"};
    const struct table *t = table_get(T_TEMPLATE);
    struct val vals[TABLE_COLS_MAX];
    AUTOSTR struct str bytes = STR_INIT;
    table_vals(t, &row, vals);
    row_encode(&bytes, t->cols, vals, (size_t)t->cols_n, (struct span){NULL, 0});
    buf_bytes(out, t->name, strlen(t->name));
    buf_bytes(out, key, strlen(key));
    buf_i64(out, 0);
    buf_i64(out, hlc);
    buf_i64(out, A);
    buf_u8(out, false);
    buf_bytes(out, str_get(&bytes), bytes.n);
}

static void page(struct bench *b, struct reader *request, struct str *out)
{
    (void)request;
    AUTOVV struct vv vector = VV_INIT;
    bool has = vv_get(&b->n->vv, A) > evil_hlc;
    if (!has)
        vv_put(&vector, A, evil_hlc + 1);
    buf_u8(out, PULL_PAGE);
    vector_write(out, &vector);
    buf_u8(out, false);
    buf_u32(out, has ? 0 : 2);
    if (!has) {
        live_row(out, "evil", evil_hlc);
        live_row(out, "good", evil_hlc + 1);
    }
}

/* The process ends while that row is being applied, and begins again: a run that does not pull yet. */
static void end_and_begin(struct bench *b)
{
    struct node_options o = b->n->o;
    struct err e = {0};
    node_close(b->n);
    note = (struct disk_note){A, evil_hlc};
    b->w.disk.note = &note;
    while (b->queue_n)
        event_fini(&b->queue[--b->queue_n]);
    if (node_open(&b->n, &o, &b->w, &e) < 0)
        fail_msg("%s", e.text);
    for (int64_t end = b->boot_ms + 2 * PROBE_MS; b->n->probe.running && b->boot_ms < end;)
        bench_turn(b, 10, NULL);
    assert_false(b->n->probe.running);
    assert_int_equal(note.actor, 0);
}

static int64_t count(struct bench *b, const char *sql)
{
    return db_i64(store_db(b->n->store), sql, -1);
}

static void after(int ends, bool aside)
{
    struct bench b;
    bench_begin(&b, true, NULL);
    evil_hlc = (BENCH_REAL_MS + b.boot_ms) << 16;
    b.page = page;
    for (int i = 0; i < ends; i++)
        end_and_begin(&b);
    bench_run(&b, 3000);
    assert_int_equal(vv_get(&b.n->vv, A), evil_hlc + 1);
    assert_int_equal(count(&b, "SELECT count(*) FROM template WHERE template = 'good'"), 1);
    assert_int_equal(count(&b, "SELECT count(*) FROM template WHERE template = 'evil'"), !aside);
    assert_int_equal(count(&b, "SELECT count(*) FROM aside WHERE key = 'evil'"), aside);
    assert_int_equal(count(&b, "SELECT count(*) FROM change WHERE key = 'evil'"), 1);
    if (aside) { /* and the next run does not try it again */
        end_and_begin(&b);
        bench_run(&b, 3000);
        assert_int_equal(count(&b, "SELECT count(*) FROM template WHERE template = 'evil'"), 0);
    }
    bench_end(&b);
}

static void one_end_proves_nothing(void **state)
{
    (void)state;
    after(1, false);
}

static void a_row_that_ended_two_runs_is_kept_aside(void **state)
{
    (void)state;
    after(2, true);
}

static void the_note_is_empty_between_pages(void **state)
{
    (void)state;
    struct bench b;
    bench_begin(&b, true, NULL);
    evil_hlc = (BENCH_REAL_MS + b.boot_ms) << 16;
    b.page = page;
    b.n->w.disk.note = &note;
    note = (struct disk_note){0, 0};
    bench_run(&b, 2000);
    assert_int_equal(vv_get(&b.n->vv, A), evil_hlc + 1);
    assert_int_equal(note.actor, 0);
    bench_end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_end_proves_nothing),
        cmocka_unit_test(a_row_that_ended_two_runs_is_kept_aside),
        cmocka_unit_test(the_note_is_empty_between_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
