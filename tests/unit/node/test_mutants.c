/* Moments of one node that a random walk hardly meets, each of which some bug in tests/mutants needs to be
 * seen.
 */
#include "bench.h"

#include "node/child.h"

/* ---- copies ---- */

static int writes(struct bench *b, struct op *op)
{
    int rc = bench_write(b, "x");
    op_answer_covered(b->n, op, store_written(b->n->store), 1, bench_text(201, "{\"copies\":@,\"x\":1}"));
    return rc;
}

/* The copy of a node that is silent may be gone for good. */
static void a_copy_out_of_the_view_counts_for_nothing(void **state)
{
    (void)state;
    struct bench b;
    bench_begin(&b, true, writes);
    b.peer_deaf = true;
    bench_run(&b, 12000); /* out of the view, and alone_ms */
    assert_int_equal(view_others(&b.n->view), 0);
    struct event ev = bench_pulled(&b, INT64_MAX / 2);
    bench_turn(&b, 1, &ev);
    bench_ask(&b);
    assert_string_equal(b.answers[0].body, "{\"copies\":0,\"x\":1}");
    bench_end(&b);
}

/* What an ended run of the peer had on disk, it need not have any more. */
static void a_pull_of_a_former_run_is_no_copy(void **state)
{
    (void)state;
    struct bench b;
    bench_begin(&b, true, writes);
    bench_ask(&b);
    struct event ev = bench_pulled(&b, store_written(b.n->store));
    ev.bytes[1 + 2 * sizeof(struct id) + 3] ^= 1; /* of the actor */
    bench_turn(&b, 1, &ev);
    bench_run(&b, 100);
    assert_int_equal(bench_status(&b, 1), 0);
    ev = bench_pulled(&b, store_written(b.n->store));
    bench_turn(&b, 1, &ev);
    assert_int_equal(bench_status(&b, 1), 201);
    bench_end(&b);
}

static int writes_before_a_witness(struct bench *b, struct op *op)
{
    int rc = bench_write(b, "x");
    op->witness = TAILQ_FIRST(&b->n->peers)->id;
    op_answer_covered(b->n, op, store_written(b->n->store), 0, bench_text(200, "{}"));
    return rc;
}

/* A home that decides by what was written here must have heard of it when the client has. */
static void an_answer_waits_for_its_witness(void **state)
{
    (void)state;
    struct bench b;
    bench_begin(&b, true, writes_before_a_witness);
    bench_ask(&b);
    bench_run(&b, 100);
    assert_int_equal(bench_status(&b, 1), 0);
    struct event ev = bench_pulled(&b, store_written(b.n->store));
    bench_turn(&b, 1, &ev);
    assert_int_equal(bench_status(&b, 1), 200);
    bench_end(&b);
}

/* ---- the view ---- */

static void who_begins_to_wait_as_the_view_opens_is_woken(void **state)
{
    (void)state;
    struct bench b;
    uint64_t asked = 0;
    bench_begin(&b, true, bench_waits_open);
    bench_turn(&b, 4500, NULL); /* it was asleep for more than 0.8 suspect_ms: closed */
    assert_false(node_open_now(b.n));
    while (!b.n->was_open && asked < 60) { /* one in each turn, so also in that which opens it */
        struct event ev = bench_request(&b);
        bench_turn(&b, 5, &ev);
        asked++;
    }
    assert_true(b.n->was_open);
    bench_run(&b, 100);
    for (uint64_t i = 1; i <= asked; i++)
        assert_int_equal(bench_status(&b, i), 200);
    bench_end(&b);
}

/* What was answered before it slept says nothing of what others did meanwhile. */
static void who_slept_asks_everybody_again(void **state)
{
    (void)state;
    struct bench b;
    bench_begin(&b, true, NULL);
    int64_t ask = b.n->view.ask;
    bench_turn(&b, 4500, NULL); /* whatever it finds in its queue */
    assert_true(b.n->view.ask > ask);
    assert_false(node_open_now(b.n));
    bench_run(&b, 1000);
    assert_true(node_open_now(b.n));
    bench_end(&b);
}

/* An answer is worth as much as its question is young, however late it is read. */
static void an_answer_that_was_long_on_its_way_is_old(void **state)
{
    (void)state;
    struct bench b;
    bench_begin(&b, true, NULL);
    struct peer *p = TAILQ_FIRST(&b.n->peers);
    for (int i = 0; i < 500 && !(p->ping_call && p->ping_sent_ms == b.boot_ms); i++)
        bench_turn(&b, 10, NULL);
    int64_t sent_ms = p->ping_sent_ms;
    assert_int_equal(sent_ms, b.boot_ms);
    b.peer_deaf = true;
    bench_turn(&b, 900, NULL);
    bench_run(&b, sent_ms + 3900 - b.boot_ms);
    assert_true(node_open_now(b.n));
    bench_run(&b, 200); /* 0.8 suspect_ms after it was sent */
    assert_false(node_open_now(b.n));
    bench_end(&b);
}

/* ---- deletions that somebody missed ---- */

/* What a pull is answered whose node has `had` of actor 500 and has dropped what was deleted up to `dropped`.
 */
static int verdict(struct bench *b, int64_t had, int64_t dropped)
{
    struct str ask = STR_INIT, answer = STR_INIT;
    AUTOVV struct vv vv = VV_INIT, gcvv = VV_INIT;
    struct pull_memory *memory = pull_memory_new();
    if (had)
        vv_put(&vv, 500, had);
    if (dropped)
        vv_put(&gcvv, 500, dropped);
    buf_u8(&ask, PULL_PROTO);
    buf_id(&ask, &b->n->cluster);
    buf_id(&ask, &b->peer_id);
    buf_i64(&ask, BENCH_PEER_ACTOR);
    buf_varint(&ask, 1);
    buf_varint(&ask, 0);
    vector_write(&ask, &vv);
    vector_write(&ask, &gcvv);
    vector_write(&ask, &VV_INIT);
    int rc = node_serve_pull(b->n->store, memory, &b->peer_id, str_get(&ask), ask.n, &answer, &b->n->fault);
    assert_int_equal(rc, 0);
    int said = (unsigned char)str_get(&answer)[0];
    pull_memory_free(memory);
    str_fini(&ask);
    str_fini(&answer);
    return said;
}

static int drops(struct node *n, void *arg)
{
    (void)arg;
    int rc = store_vv_raise(n->store, 500, 40, &n->fault);
    return rc < 0 ? rc : store_gc_raise(n->store, 500, 40, &n->fault);
}

static void neither_side_of_a_pull_may_have_missed_deletions(void **state)
{
    (void)state;
    struct bench b;
    bench_begin(&b, true, NULL);
    assert_int_equal(verdict(&b, 50, 50), PULL_STALE);
    assert_int_equal(node_transact(b.n, drops, NULL), 0);
    assert_int_equal(verdict(&b, 0, 0), PULL_RESYNC);
    assert_int_equal(verdict(&b, 39, 0), PULL_RESYNC);
    assert_int_equal(verdict(&b, 40, 40), PULL_PAGE);
    assert_int_equal(verdict(&b, 50, 41), PULL_STALE);
    bench_end(&b);
}

static int asked_for_a_resync(struct node *n, void *arg)
{
    struct bench *b = arg;
    struct str ask = STR_INIT, answer = STR_INIT;
    buf_u8(&ask, PULL_PROTO);
    buf_id(&ask, &n->cluster);
    buf_id(&ask, &b->peer_id);
    buf_i64(&ask, BENCH_PEER_ACTOR);
    buf_text(&ask, "");
    buf_text(&ask, "");
    int rc = resync_serve(n, &b->peer_id, str_get(&ask), ask.n, &answer);
    b->served = rc < 0 ? rc : (unsigned char)str_get(&answer)[0];
    str_fini(&ask);
    str_fini(&answer);
    return rc;
}

static int resync_verdict(struct bench *b)
{
    assert_int_equal(node_transact(b->n, asked_for_a_resync, b), 0);
    return b->served;
}

/* Rows are here then that the vector does not prove, or none that it does. */
static void nobody_copies_from_who_is_in_the_midst(void **state)
{
    (void)state;
    struct bench b;
    bench_begin(&b, true, NULL);
    struct peer *p = TAILQ_FIRST(&b.n->peers);
    assert_int_equal(resync_verdict(&b), PULL_PAGE);
    p->pull.chaining = true;
    p->pull.rows = 1;
    assert_int_equal(resync_verdict(&b), PULL_BUSY);
    p->pull.chaining = false;
    b.n->resync.active = b.n->resync.wanted = true;
    b.n->resync.from = (struct id){{8}}; /* a third one; of two that want it from each other one gives way */
    assert_int_equal(resync_verdict(&b), PULL_BUSY);
    b.n->resync.active = b.n->resync.wanted = false;
    bench_end(&b);
}

/* ---- spawning ---- */

static int spawned;

static void note_spawn(void *self, struct spawn *s TAKES)
{
    (void)self;
    spawned++;
    spawn_free(s);
}

static int find_any(void *self, const char *argv0, char *const *env, const char *cwd, char *ret_path,
                    size_t bytes)
{
    (void)self;
    (void)env;
    (void)cwd;
    snprintf(ret_path, bytes, "/bin/%s", argv0);
    return 0;
}

static int64_t commit_ms;
static const char *view_said; /* in the claim; NULL: ours */
static char not_home[16];     /* a name that the peer decides on */

static void time_passes(struct node *n, void *arg)
{
    (void)n;
    ((struct bench *)arg)->boot_ms += commit_ms;
}

/* What was committed after so long a time: a claim of ours for ourselves, which the peer has. */
static int claims_for_itself(struct node *n, void *arg)
{
    struct name_row row = {.swarm = mem_dup("default"),
                           .name = mem_dup(not_home),
                           .kind = mem_dup("child"),
                           .spec = mem_dup("{\"argv\":[\"x\"]}")};
    eff_do(n, time_passes, arg, NULL);
    own_claim(n, &row, &n->self, 0);
    if (view_said)
        mem_replace(&row.view, view_said);
    int rc = store_save(n->store, T_NAME, &row, &n->fault);
    row_fini(T_NAME, &row);
    return rc < 0 ? rc : own_changed(n, "default", not_home);
}

/* And in the same batch it is told that its keeper is gone. */
static int claims_and_is_bereft(struct node *n, void *arg)
{
    struct event ev = {.kind = EV_KEEPER_DIED};
    int rc = claims_for_itself(n, arg);
    return rc < 0 ? rc : child_event(n, &ev);
}

static void spawn_in(int (*batch)(struct node *n, void *arg), int64_t ms, const char *view, int want)
{
    static char any[] = "*";
    static char *const allow[] = {any, NULL};
    struct bench b;
    bench_begin(&b, true, NULL);
    b.n->w.proc.spawn = note_spawn;
    b.n->w.proc.find = find_any;
    b.n->o.allow_exec = allow;
    struct event ev = bench_pulled(&b, INT64_MAX / 2);
    bench_turn(&b, 1, &ev);
    spawned = 0;
    for (int i = 0; i == 0 || own_is_home(b.n, "default", not_home); i++)
        snprintf(not_home, sizeof not_home, "x%d", i);
    commit_ms = ms;
    view_said = view;
    assert_int_equal(node_transact(b.n, batch, &b), 0);
    assert_int_equal(spawned, want);
    b.n->held_n = 0; /* what is tried again later is not of interest */
    bench_end(&b);
}

static void a_spawn_does_not_leave_after_a_lapse(void **state)
{
    (void)state;
    spawn_in(claims_for_itself, 10, NULL, 1);
    spawn_in(claims_for_itself, 5000, NULL, 0);
}

/* Under another view somebody else may have claimed the same name. */
static void a_claim_of_another_view_is_not_started(void **state)
{
    (void)state;
    spawn_in(claims_for_itself, 10, "0000000000000001", 0);
}

static void who_loses_its_keeper_at_birth_is_started_once(void **state)
{
    (void)state;
    spawn_in(claims_and_is_bereft, 10, NULL, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy_out_of_the_view_counts_for_nothing),
        cmocka_unit_test(a_pull_of_a_former_run_is_no_copy),
        cmocka_unit_test(an_answer_waits_for_its_witness),
        cmocka_unit_test(who_begins_to_wait_as_the_view_opens_is_woken),
        cmocka_unit_test(who_slept_asks_everybody_again),
        cmocka_unit_test(an_answer_that_was_long_on_its_way_is_old),
        cmocka_unit_test(neither_side_of_a_pull_may_have_missed_deletions),
        cmocka_unit_test(nobody_copies_from_who_is_in_the_midst),
        cmocka_unit_test(a_spawn_does_not_leave_after_a_lapse),
        cmocka_unit_test(a_claim_of_another_view_is_not_started),
        cmocka_unit_test(who_loses_its_keeper_at_birth_is_started_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
