/* One store: rows in and out, their versions, epochs, tombstones, dropping, stamps. */
#include "bench.h"

static void create_refuses_what_is_there_and_open_what_is_not(void **state)
{
    struct bench *b = *state;
    struct store *s = store_new(b, 1);
    struct id id = {{9}};
    struct err why = {0};
    AUTOFREE char *path = mem_printf("%s/1.db", b->dir), *none = mem_printf("%s/none.db", b->dir);
    store_end(s);
    assert_int_equal(store_create(path, &id, &id, "x", true, NULL, &why), SKEP_EARG);
    assert_non_null(strstr(why.text, path));
    assert_int_equal(store_open(&s, &(struct store_options){.path = none, .clock = &b->clock}, &why),
                     SKEP_ENOTFOUND);
    assert_int_not_equal(access(none, F_OK), 0);
}

static void meta_keeps_who_the_node_is(void **state)
{
    struct store *s = store_new(*state, 1);
    AUTOFREE char *cluster = store_meta(s, "cluster"), *name = store_meta(s, "name");
    assert_string_equal(cluster, "01000000000000000000000000000000");
    assert_string_equal(name, "a");
    assert_null(store_meta(s, "admin_token_hash"));
    assert_null(store_meta(s, "nothing"));
    ok(store_meta_set(s, "nothing", "some", e));
    ok(store_meta_set(s, "nothing", "more", e));
    AUTOFREE char *value = store_meta(s, "nothing");
    assert_string_equal(value, "more");
    store_end(s);
}

static void every_struct_comes_back_as_it_was_saved(void **state)
{
    struct bench *b = *state;
    struct store *s = store_new(b, 1);
    struct prng p;
    prng_init(&p, 3);
    for (int i = 0; i < 400; i++) {
        enum table_id id = (enum table_id)(i % T_N);
        _Alignas(8) char row[ROW_MAX], back[ROW_MAX];
        struct stamp before;
        any_row(id, row, &p);
        const struct table *t = table_get(id);
        if (store_version(s, id, row, &before, NULL, NULL) == 1 &&
            t->epoch >= 0) /* not below what is there */
            *(int64_t *)(void *)(row + t->offset[t->epoch]) = before.rank;
        ok(store_save(s, id, row, e));
        key_only(id, row, back);
        assert_int_equal(store_load(s, id, back, NULL), 1);
        assert_rows_equal(id, row, back);
        row_fini(id, back);
        key_only(id, row, back);
        store_end(TAKE(s));
        s = store_again(b, 1, 2 + i);
        assert_int_equal(store_load(s, id, back, NULL), 1);
        assert_rows_equal(id, row, back);
        row_fini(id, row);
        row_fini(id, back);
        if (i == 2 * T_N) /* reopening costs: twice around is enough, the rest checks updates */
            break;
    }
    assert_versions_fit(s);
    store_end(s);
}

static void a_row_that_is_not_there_leaves_the_struct_alone(void **state)
{
    struct store *s = store_new(*state, 1);
    struct name_row row = {.swarm = (char *)"s", .name = (char *)"n", .epoch = 5};
    struct stamp stamp = {7, 7, 7};
    assert_int_equal(store_load(s, T_NAME, &row, NULL), 0);
    assert_int_equal(row.epoch, 5);
    assert_string_equal(row.name, "n");
    assert_int_equal(store_version(s, T_NAME, &row, &stamp, NULL, NULL), 0);
    assert_int_equal(stamp.rank, 7);
    ok(store_kill(s, T_NAME, &row, 9, e)); /* nothing there is fine, and leaves nothing */
    assert_int_equal(ask(s, "SELECT count(*) FROM change"), 0);
    store_end(s);
}

static void columns_of_a_newer_version_stay_with_their_row(void **state)
{
    struct store *s = store_new(*state, 1);
    AUTOSTR struct str extra = STR_INIT;
    struct col newer = {"zeal", VAL_INT, {.type = VAL_INT}};
    row_encode(&extra, &newer, &(struct val){.type = VAL_INT, .i = 5}, 1, (struct span){NULL, 0});
    struct swarm_row row = {.swarm = (char *)"x", .settings = (char *)"{}", .extra = {extra.p, extra.n}},
                     back = {.swarm = mem_dup("x")};
    ok(store_save(s, T_SWARM, &row, e));
    assert_int_equal(store_load(s, T_SWARM, &back, NULL), 1);
    assert_rows_equal(T_SWARM, &row, &back);
    row_fini(T_SWARM, &back);
    store_end(s);
}

static void random_writes_keep_versions_and_rows_together(void **state)
{
    struct bench *b = *state;
    struct store *s = store_new(b, 77);
    struct prng p;
    prng_init(&p, 11);
    int64_t last = 0;
    for (int i = 0; i < 3000; i++) {
        enum table_id id = (enum table_id)prng_below(&p, T_N);
        _Alignas(8) char row[ROW_MAX];
        struct stamp old = {0}, now;
        bool dead;
        any_row(id, row, &p);
        int found = store_version(s, id, row, &old, NULL, NULL);
        bool kill = prng_below(&p, 3) == 0;
        int rc =
            kill ? store_kill(s, id, row, (int64_t)prng_below(&p, 7), NULL) : store_save(s, id, row, NULL);
        assert_true(rc == 0 || rc == SKEP_EFENCED);
        if (rc == 0 && store_version(s, id, row, &now, &dead, NULL) == 1) {
            bool wrote = !found || stamp_compare(&now, &old) != 0;
            assert_true(!found || stamp_compare(&now, &old) >= 0);
            assert_true(!wrote || (now.actor == 77 && now.hlc > last && dead == kill));
            if (wrote)
                last = now.hlc;
            assert_int_equal(store_written(s), last);
        }
        row_fini(id, row);
        b->real_ms += (int64_t)prng_below(&p, 3) - 1; /* a clock that also steps back */
    }
    assert_versions_fit(s);
    assert_true(ask(s, "SELECT count(*) FROM change WHERE dead = 1") > 10);
    store_end(s);
}

static struct name_row claim(int64_t epoch)
{
    return (struct name_row){
        .swarm = (char *)"s", .name = (char *)"n", .kind = (char *)"child", .epoch = epoch};
}

/* Whatever a peer sent: what has no epoch can always be written over. */
static void a_rank_where_there_is_none_fences_nobody(void **state)
{
    struct store *s = store_new(*state, 1);
    struct swarm_row w = {.swarm = (char *)"jobs", .settings = (char *)"{}"};
    struct stamp stamp;
    bool dead;
    ok(store_save(s, T_SWARM, &w, e));
    ok(store_kill(s, T_SWARM, &w, 13, e));
    ok(store_save(s, T_SWARM, &w, e));
    assert_int_equal(store_version(s, T_SWARM, &w, &stamp, &dead, NULL), 1);
    assert_int_equal(stamp.rank, 13);
    assert_false(dead);
    store_end(s);
}

/* What is said again is no write: no stamp, so nobody hears of it. */
static void what_the_row_says_already_is_not_set_again(void **state)
{
    struct store *s = store_new(*state, 1);
    struct metadata_row m = {
        .swarm = (char *)"s", .name = (char *)"n", .data = (char *)"{\"a\":1}", .epoch = 7};
    struct stamp first, now;
    ok(store_set(s, T_METADATA, &m, e));
    assert_int_equal(store_version(s, T_METADATA, &m, &first, NULL, NULL), 1);
    int64_t written = store_written(s), writes = store_writes(s);
    ok(store_set(s, T_METADATA, &m, e));
    assert_int_equal(store_version(s, T_METADATA, &m, &now, NULL, NULL), 1);
    assert_int_equal(stamp_compare(&first, &now), 0);
    assert_true(store_written(s) == written && store_writes(s) == writes);
    m.epoch = 8; /* the same, by somebody who holds the name now */
    ok(store_set(s, T_METADATA, &m, e));
    assert_true(store_written(s) > written);
    m.epoch = 7;
    struct err why = {0};
    assert_int_equal(store_set(s, T_METADATA, &m, &why), SKEP_EFENCED);
    m.epoch = 8;
    written = store_written(s);
    ok(store_save(s, T_METADATA, &m, e));
    assert_true(store_written(s) > written);
    ok(store_kill(s, T_METADATA, &m, 0, e));
    written = store_written(s);
    ok(store_set(s, T_METADATA, &m, e));
    assert_true(store_written(s) > written);
    store_end(s);
}

static void an_older_epoch_is_fenced(void **state)
{
    struct store *s = store_new(*state, 1);
    struct name_row now = claim(5), old = claim(4), more = claim(6);
    struct stamp stamp;
    struct err why = {0};
    bool dead;
    ok(store_save(s, T_NAME, &now, e));
    ok(store_save(s, T_NAME, &now, e)); /* its owner may go on */
    assert_int_equal(store_save(s, T_NAME, &old, &why), SKEP_EFENCED);
    assert_non_null(strstr(why.text, "4"));
    assert_non_null(strstr(why.text, "5"));
    assert_int_equal(ask(s, "SELECT epoch FROM name"), 5);
    ok(store_save(s, T_NAME, &more, e));
    assert_int_equal(store_version(s, T_NAME, &old, &stamp, &dead, NULL), 1);
    assert_int_equal(stamp.rank, 6);
    assert_false(dead);
    store_end(s);
}

static void a_tombstone_keeps_the_rank_and_still_fences(void **state)
{
    struct store *s = store_new(*state, 1);
    struct name_row row = claim(5), old = claim(4), more = claim(9);
    struct stamp stamp, again;
    bool dead;
    ok(store_save(s, T_NAME, &row, e));
    ok(store_kill(s, T_NAME, &row, 8, e));
    assert_int_equal(ask(s, "SELECT count(*) FROM name"), 0);
    assert_int_equal(store_version(s, T_NAME, &row, &stamp, &dead, NULL), 1);
    assert_true(dead && stamp.rank == 8);
    ok(store_kill(s, T_NAME, &row, 3, e)); /* dead is dead: no second tombstone */
    assert_int_equal(store_version(s, T_NAME, &row, &again, &dead, NULL), 1);
    assert_int_equal(stamp_compare(&stamp, &again), 0);
    assert_int_equal(store_save(s, T_NAME, &old, NULL), SKEP_EFENCED);
    assert_int_equal(ask(s, "SELECT count(*) FROM name"), 0);
    ok(store_save(s, T_NAME, &more, e));
    assert_int_equal(store_version(s, T_NAME, &row, &again, &dead, NULL), 1);
    assert_true(!dead && again.rank == 9);
    assert_versions_fit(s);
    store_end(s);
}

static void a_kill_is_not_below_what_it_kills(void **state)
{
    struct store *s = store_new(*state, 1);
    struct name_row row = claim(5);
    struct stamp stamp;
    ok(store_save(s, T_NAME, &row, e));
    ok(store_kill(s, T_NAME, &row, 0, e));
    assert_int_equal(store_version(s, T_NAME, &row, &stamp, NULL, NULL), 1);
    assert_int_equal(stamp.rank, 5);
    store_end(s);
}

static void chunk_add(struct store *s, const char *swarm, const char *name, int64_t idx)
{
    struct chunk_row row = {.swarm = (char *)swarm, .name = (char *)name, .epoch = 1, .idx = idx};
    ok(store_save(s, T_CHUNK, &row, e));
}

static void drop_takes_what_begins_with_the_prefix_and_no_tombstone(void **state)
{
    struct store *s = store_new(*state, 1);
    for (int64_t i = 0; i < 20; i++)
        chunk_add(s, "s", "n", i);
    chunk_add(s, "s", "n2", 0);
    chunk_add(s, "s", "m", 0);
    chunk_add(s, "s", "n/0", 0); /* in its key the slash is escaped */
    chunk_add(s, "t", "n", 0);
    struct entry_row entry = {.session = (char *)"s/n",
                              .entry = (char *)"\xf4\x8f\xbf\xbf\xf4\x8f\xbf\xbf",
                              .role = (char *)"user",
                              .content = (char *)"1"};
    ok(store_save(s, T_ENTRY, &entry, e)); /* the highest characters there are */
    ok(store_drop(s, T_CHUNK, "s/n/", e));
    assert_int_equal(ask(s, "SELECT count(*) FROM chunk"), 4);
    assert_int_equal(ask(s, "SELECT count(*) FROM change"), 5);
    ok(store_drop(s, T_ENTRY, "s%2Fn/", e));
    assert_int_equal(ask(s, "SELECT count(*) FROM entry"), 0);
    assert_versions_fit(s);
    struct chunk_row one = {.swarm = (char *)"t", .name = (char *)"n", .epoch = 1};
    ok(store_drop_row(s, T_CHUNK, &one, e));
    ok(store_drop_row(s, T_CHUNK, &one, e));
    assert_int_equal(ask(s, "SELECT count(*) FROM chunk WHERE swarm = 't'"), 0);
    assert_int_equal(ask(s, "SELECT count(*) FROM change WHERE dead = 1"), 0);
    assert_versions_fit(s);
    store_end(s);
}

static void stamps_rise_while_the_clock_stands_or_falls(void **state)
{
    struct bench *b = *state;
    struct store *s = store_new(b, 1);
    int64_t last = 0;
    for (int i = 0; i < 100; i++) {
        int64_t hlc = store_stamp(s);
        assert_true(hlc > last && hlc_ms(hlc) == START_MS);
        assert_int_equal(store_hlc(s), hlc);
        last = hlc;
        b->real_ms--;
    }
    b->real_ms = START_MS + 5;
    assert_int_equal(store_stamp(s), hlc_at(START_MS + 5));
    assert_int_equal(store_written(s), 0); /* a stamp alone is no write */
    store_end(s);
}

/* A peer's clock is a little ahead of ours, and we were killed in the middle of a pull: what it wrote is
 * here, the vector does not say so. Writing the same row must still exceed it. */
static void a_write_exceeds_what_is_there_after_a_restart(void **state)
{
    struct bench *b = *state;
    struct store *s = store_new(b, 1), *peer = store_new(b, 2);
    struct template_row row = {.template = (char *)"t", .spec = (char *)"{}"};
    struct stamp theirs, ours;
    b->real_ms = START_MS + 4000;
    ok(store_save(peer, T_TEMPLATE, &row, e));
    pull_all(s, peer);
    store_end(s);
    b->real_ms = START_MS;
    s = store_again(b, 1, 3);
    assert_int_equal(store_version(s, T_TEMPLATE, &row, &theirs, NULL, NULL), 1);
    ok(store_save(s, T_TEMPLATE, &row, e));
    assert_int_equal(store_version(s, T_TEMPLATE, &row, &ours, NULL, NULL), 1);
    assert_true(ours.actor == 3 && stamp_compare(&ours, &theirs) > 0);
    store_end(s);
    store_end(peer);
}

/* A reader sees nothing that is committed after its snapshot began, however deep it is inside. */
static void snapshots_may_lie_in_one_another(void **state)
{
    struct bench *b = *state;
    struct store *s = store_new(b, 1), *r = NULL;
    AUTOFREE char *path = mem_printf("%s/1.db", b->dir);
    struct swarm_row row = {.swarm = (char *)"x", .settings = (char *)"{}"};
    ok(store_open(&r, &(struct store_options){.path = path, .readonly = true, .clock = &b->clock}, e));
    ok(store_read_begin(r, e));
    assert_int_equal(ask(r, "SELECT count(*) FROM swarm"), 0);
    ok(store_read_begin(r, e));
    ok(store_save(s, T_SWARM, &row, e));
    ok(db_commit(store_db(s), e));
    assert_int_equal(ask(r, "SELECT count(*) FROM swarm"), 0);
    store_read_end(r);
    assert_int_equal(ask(r, "SELECT count(*) FROM swarm"), 0);
    store_read_end(r);
    assert_int_equal(ask(r, "SELECT count(*) FROM swarm"), 1);
    store_read_end(r); /* does no harm */
    ok(store_read_begin(r, e));
    assert_int_equal(ask(r, "SELECT count(*) FROM swarm"), 1);
    store_close(r);
    store_close(s);
}

static void the_vector_only_grows(void **state)
{
    struct bench *b = *state;
    struct store *s = store_new(b, 1);
    AUTOVV struct vv vv = VV_INIT;
    ok(store_vv_raise(s, 5, 100, e));
    ok(store_vv_raise(s, 5, 50, e));
    ok(store_vv_raise(s, 6, hlc_at(START_MS + 9), e));
    ok(store_vv(s, &vv, e));
    assert_int_equal(vv.n, 2);
    assert_int_equal(vv_get(&vv, 5), 100);
    store_end(s);
    s = store_again(b, 1, 2);
    assert_true(store_stamp(s) > hlc_at(START_MS + 9)); /* and is never stamped below again */
    store_end(s);
}

static void the_log_is_one_sequence(void **state)
{
    struct store *s = store_new(*state, 1);
    ok(store_log(
        s, &(struct log_entry){.type = "child_started", .swarm = "s", .name = "n", .epoch = 3, .who = "me"},
        e));
    ok(store_log(s, &(struct log_entry){.type = "node_up", .node = "b"}, e));
    ok(store_log(s, &(struct log_entry){.type = "child_exited", .swarm = "s", .name = "n", .data = "{}"}, e));
    struct stmt *q = store_ask(s, Q_LOG_NAME, "ttii", "s", "n", (int64_t)0, (int64_t)10);
    assert_int_equal(stmt_step(q, NULL), 1);
    assert_int_equal(col_i64(q, 0), 1);
    assert_string_equal(col_text(q, 2), "child_started");
    assert_int_equal(col_i64(q, 6), 3);
    assert_int_equal(stmt_step(q, NULL), 1);
    assert_int_equal(col_i64(q, 0), 3);
    assert_true(col_is_null(q, 6) && col_is_null(q, 7));
    assert_int_equal(stmt_step(q, NULL), 0);
    assert_int_equal(ask(s, "SELECT count(*) FROM log WHERE node = 'b' AND swarm IS NULL AND name IS NULL"),
                     1);
    assert_int_equal(ask(s, "SELECT min(at) FROM log"), START_MS);
    assert_int_equal(ask(s, "SELECT count(*) FROM v_audit"), 1);
    /* trimming: by age, and by number */
    int64_t after = 0;
    ok(store_log_trim(s, &(struct log_keep){START_MS, 2, 100}, &after, e));
    assert_int_equal(ask(s, "SELECT min(seq) FROM log"), 2);
    ok(store_log_trim(s, &(struct log_keep){START_MS + 1, 100, 100}, &after, e));
    assert_int_equal(ask(s, "SELECT count(*) FROM log"), 1); /* or its number would be given again */
    ok(store_log(s, &(struct log_entry){.type = "node_up", .node = "b"}, e));
    assert_int_equal(ask(s, "SELECT max(seq) FROM log"), 4);
    store_end(s);
}

static void name_logs(struct store *s, const char *name, int count)
{
    for (int i = 0; i < count; i++)
        ok(store_log(s, &(struct log_entry){.type = "child_started", .swarm = "s", .name = name}, e));
}

static int64_t rows_of(struct store *s, const char *name)
{
    AUTOFREE char *sql = mem_printf("SELECT count(*) FROM log WHERE name = '%s'", name);
    return ask(s, sql);
}

/* A name that has much to say pushes out its own past, not that of others; gaps count as no rows. */
static void a_busy_name_takes_no_others_room(void **state)
{
    struct store *s = store_new(*state, 1);
    struct log_keep keep = {0, 100, 10};
    int64_t after = 0;
    name_logs(s, "quiet", 5);
    for (int round = 0; round < 20; round++) {
        name_logs(s, "busy", 60);
        ok(store_log_trim(s, &keep, &after, e));
        assert_int_equal(rows_of(s, "quiet"), 5);
        assert_int_equal(rows_of(s, "busy"), 10);
    }
    assert_int_equal(ask(s, "SELECT min(seq) FROM log WHERE name = 'busy'"),
                     5 + 20 * 60 - 9); /* the newest */
    for (int i = 0; i < 12; i++) {
        AUTOFREE char *name = mem_printf("other-%d", i);
        name_logs(s, name, 10);
    }
    ok(store_log_trim(s, &keep, &after, e)); /* as a whole: the oldest go */
    assert_int_equal(ask(s, "SELECT count(*) FROM log"), 100);
    assert_int_equal(rows_of(s, "quiet") + rows_of(s, "busy"), 0);
    assert_int_equal(rows_of(s, "other-11"), 10);
    after = 0; /* another run, with other bounds */
    keep.of_name = 4;
    ok(store_log_trim(s, &keep, &after, e));
    assert_int_equal(ask(s, "SELECT count(*) FROM log"), 40);
    store_end(s);
}

/* Peers would refuse it, and with it everything that comes behind it. */
static void what_no_peer_would_take_is_not_written(void **state)
{
    struct store *s = store_new(*state, 1);
    struct err why = {0};
    struct idem_row cut = {.key = (char *)"token:\xc3", .answer = (char *)"{}", .request = (char *)"r"};
    struct metadata_row text = {.swarm = (char *)"s", .name = (char *)"n", .data = (char *)"{\"a\":"};
    struct name_row kind = {.swarm = (char *)"s", .name = (char *)"n"};
    assert_int_equal(store_save(s, T_IDEM, &cut, &why), SKEP_EARG);
    assert_int_equal(store_save(s, T_METADATA, &text, &why), SKEP_EARG);
    assert_int_equal(store_save(s, T_NAME, &kind, &why), SKEP_EARG);
    assert_int_equal(ask(s, "SELECT count(*) FROM change"), 0);
    store_end(s);
}

static void queries_of_a_table_fill_its_struct(void **state)
{
    struct store *s = store_new(*state, 1);
    struct name_row row = {0};
    int n = 0;
    for (int64_t i = 1; i <= 5; i++) {
        AUTOFREE char *name = mem_printf("n%d", (int)i);
        struct name_row put = {.swarm = (char *)"s",
                               .name = name,
                               .kind = (char *)"child",
                               .epoch = i,
                               .owner_actor = i % 2,
                               .expires_at = i};
        ok(store_save(s, T_NAME, &put, e));
    }
    struct stmt *q = store_ask(s, Q_NAME_EXPIRED, "ii", (int64_t)3, (int64_t)10);
    while (store_next(q, T_NAME, &row, NULL) == 1)
        assert_int_equal(row.epoch, ++n);
    assert_int_equal(n, 3);
    assert_null(row.name);
    assert_int_equal(store_number(s, Q_NAME_OWNED_COUNT, -1, "i", (int64_t)1), 3);
    assert_int_equal(store_number(s, Q_NAME_OWNERS, -1, "i", (int64_t)1), -1); /* min of nothing is NULL */
    store_end(s);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, bench_make, bench_remove)
    const struct CMUnitTest tests[] = {
        T(create_refuses_what_is_there_and_open_what_is_not),
        T(meta_keeps_who_the_node_is),
        T(every_struct_comes_back_as_it_was_saved),
        T(a_row_that_is_not_there_leaves_the_struct_alone),
        T(columns_of_a_newer_version_stay_with_their_row),
        T(random_writes_keep_versions_and_rows_together),
        T(a_rank_where_there_is_none_fences_nobody),
        T(what_the_row_says_already_is_not_set_again),
        T(an_older_epoch_is_fenced),
        T(a_tombstone_keeps_the_rank_and_still_fences),
        T(a_kill_is_not_below_what_it_kills),
        T(drop_takes_what_begins_with_the_prefix_and_no_tombstone),
        T(stamps_rise_while_the_clock_stands_or_falls),
        T(a_write_exceeds_what_is_there_after_a_restart),
        T(snapshots_may_lie_in_one_another),
        T(the_vector_only_grows),
        T(the_log_is_one_sequence),
        T(a_busy_name_takes_no_others_room),
        T(what_no_peer_would_take_is_not_written),
        T(queries_of_a_table_fill_its_struct),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
