/* Replication between stores: the one merge rule as a law, pages, and rows that are none. */
#include "bench.h"

/* Some random writes of one store. */
static void write_some(struct bench *b, struct store *s, struct prng *p, int n)
{
    for (int i = 0; i < n; i++) {
        enum table_id id = (enum table_id)prng_below(p, T_N);
        _Alignas(8) char row[ROW_MAX];
        any_row(id, row, p);
        int rc = prng_below(p, 4) == 0 ? store_kill(s, id, row, 0, NULL) : store_save(s, id, row, NULL);
        assert_true(rc == 0 || rc == SKEP_EFENCED);
        row_fini(id, row);
        b->real_ms += (int64_t)prng_below(p, 2);
    }
}

struct rows {
    struct page *page[64];
    struct remote_row *row[64 * STORE_PAGE_ROWS];
    size_t pages_n, n;
};

/* Keeps all that a store has now. */
static void rows_take(struct rows *all, struct store *from)
{
    AUTOVV struct vv have = VV_INIT;
    struct page *g;
    do {
        g = all->page[all->pages_n++] = mem_alloc(sizeof *g);
        assert_true(all->pages_n < COUNT(all->page));
        page_get(from, &have, g);
        for (uint32_t i = 0; i < g->n; i++) {
            all->row[all->n++] = &g->row[i];
            vv_raise(&have, g->row[i].stamp.actor, g->row[i].stamp.hlc);
        }
    } while (g->more);
}

static void rows_fini(struct rows *all)
{
    for (size_t i = 0; i < all->pages_n; i++) {
        str_fini(&all->page[i]->bytes);
        free(all->page[i]);
    }
    free(all);
}

static void shuffle(struct rows *all, struct prng *p)
{
    for (size_t i = all->n; i > 1; i--) {
        size_t j = prng_below(p, i);
        struct remote_row *row = all->row[i - 1];
        all->row[i - 1] = all->row[j];
        all->row[j] = row;
    }
}

/* All rows, some of them twice. What was there wins or loses by the stamps alone. */
static void merge_all(struct store *to, const struct rows *all, struct prng *p)
{
    for (size_t i = 0; i < all->n; i++) {
        enum merged how;
        ok(store_merge(to, all->row[i], &how, e));
        if (prng_below(p, 5) == 0) {
            ok(store_merge(to, all->row[prng_below(p, i + 1)], &how, e));
            assert_int_equal(how, MERGED_KEPT);
        }
    }
}

static void any_order_gives_the_same_rows(void **state)
{
    struct bench *b = *state;
    struct prng p;
    prng_init(&p, 5);
    struct rows *all = mem_alloc(sizeof *all);
    struct store *writers[3];
    for (int w = 0; w < 3; w++) {
        writers[w] = store_new(b, 100 + w);
        b->real_ms = START_MS; /* stamps of the three overlap */
        write_some(b, writers[w], &p, 300);
        rows_take(all, writers[w]);
    }
    pull_all(writers[0], writers[1]); /* and then they go on, knowing of each other */
    pull_all(writers[2], writers[0]);
    for (int w = 0; w < 3; w++) {
        write_some(b, writers[w], &p, 150);
        rows_take(all, writers[w]);
    }
    struct store *x = store_new(b, 1), *y = store_new(b, 2);
    shuffle(all, &p);
    merge_all(x, all, &p);
    shuffle(all, &p);
    merge_all(y, all, &p);
    assert_agree(x, y);
    assert_versions_fit(x);
    assert_versions_fit(y);
    assert_true(ask(x, "SELECT count(*) FROM change") > 200);
    /* and so do the writers themselves, once each has pulled from each */
    for (int round = 0; round < 2; round++)
        for (int w = 0; w < 3; w++)
            pull_all(writers[w], writers[(w + 1) % 3]);
    for (int w = 0; w < 3; w++) {
        assert_versions_fit(writers[w]);
        assert_agree(writers[w], x);
        store_end(writers[w]);
    }
    rows_fini(all);
    store_end(x);
    store_end(y);
}

static void the_greater_stamp_wins(void **state)
{
    struct bench *b = *state;
    struct prng p;
    prng_init(&p, 6);
    struct store *w[2] = {store_new(b, 10), store_new(b, 11)}, *x = store_new(b, 1);
    struct rows *all = mem_alloc(sizeof *all);
    for (int i = 0; i < 2; i++) {
        b->real_ms = START_MS;
        write_some(b, w[i], &p, 600);
        rows_take(all, w[i]);
    }
    shuffle(all, &p);
    merge_all(x, all, &p);
    size_t fights = 0;
    for (size_t i = 0; i < all->n; i++)
        for (size_t j = 0; j < i; j++) {
            const struct remote_row *a = all->row[i], *c = all->row[j];
            if (a->t != c->t || a->key.n != c->key.n || memcmp(a->key.p, c->key.p, a->key.n) != 0)
                continue;
            const struct remote_row *won = stamp_compare(&a->stamp, &c->stamp) > 0 ? a : c;
            AUTOFREE char *sql =
                mem_printf("SELECT count(*) FROM change WHERE tbl = '%s' AND actor = %lld AND hlc = %lld "
                           "AND rank = %lld AND dead = %d",
                           table_get(won->t)->name, (long long)won->stamp.actor, (long long)won->stamp.hlc,
                           (long long)won->stamp.rank, won->dead);
            assert_int_equal(ask(x, sql), 1);
            fights++;
        }
    assert_true(fights > 50);
    rows_fini(all);
    store_end(w[0]);
    store_end(w[1]);
    store_end(x);
}

/* ---- pages ---- */

static void names_add(struct store *s, int from, int n)
{
    for (int i = from; i < from + n; i++) {
        AUTOFREE char *name = mem_printf("n%05d", i);
        struct name_row row = {.swarm = (char *)"s", .name = name, .kind = (char *)"address", .epoch = 1};
        ok(store_save(s, T_NAME, &row, e));
    }
}

static void a_page_has_256_rows_in_the_order_they_were_written(void **state)
{
    struct bench *b = *state;
    struct store *s = store_new(b, 8);
    struct page *g = mem_alloc(sizeof *g);
    AUTOVV struct vv have = VV_INIT;
    static const uint32_t wanted[] = {256, 256, 256, 232};
    int64_t last = 0;
    names_add(s, 0, 1000);
    for (size_t i = 0; i < COUNT(wanted); i++) {
        page_get(s, &have, g);
        assert_int_equal(g->n, wanted[i]);
        assert_int_equal(g->more, i + 1 < COUNT(wanted));
        for (uint32_t j = 0; j < g->n; j++) {
            assert_true(g->row[j].stamp.hlc > last);
            last = g->row[j].stamp.hlc;
        }
        vv_raise(&have, 8, last);
    }
    page_get(s, &have, g);
    assert_true(g->n == 0 && !g->more && g->bytes.n == 0);
    names_add(s, 0, 1); /* a row that is written again moves to the end */
    page_get(s, &have, g);
    assert_true(g->n == 1 && !g->more);
    assert_true(g->row[0].stamp.hlc > last);
    str_fini(&g->bytes);
    free(g);
    store_end(s);
}

static void a_full_page_says_whether_more_follows(void **state)
{
    struct bench *b = *state;
    struct store *s = store_new(b, 8), *other = store_new(b, 9);
    struct page *g = mem_alloc(sizeof *g);
    AUTOVV struct vv have = VV_INIT;
    names_add(s, 0, STORE_PAGE_ROWS);
    page_get(s, &have, g);
    assert_true(g->n == STORE_PAGE_ROWS && !g->more);
    names_add(other, 5000, 1); /* of another actor */
    pull_all(s, other);
    page_get(s, &have, g);
    assert_true(g->n == STORE_PAGE_ROWS && g->more);
    vv_raise(&have, 8, store_written(s));
    page_get(s, &have, g);
    assert_true(g->n == 1 && !g->more && g->row[0].stamp.actor == 9);
    str_fini(&g->bytes);
    free(g);
    store_end(s);
    store_end(other);
}

static void a_page_ends_after_256_KiB_but_has_a_row(void **state)
{
    struct bench *b = *state;
    struct store *s = store_new(b, 8), *to = store_new(b, 9);
    struct page *g = mem_alloc(sizeof *g);
    AUTOVV struct vv have = VV_INIT;
    AUTOFREE char *bytes = mem_alloc(600 * 1024);
    for (int64_t i = 0; i < 10; i++) {
        struct chunk_row row = {
            .swarm = (char *)"s", .name = (char *)"n", .idx = i, .data = {bytes, 100 * 1024}};
        ok(store_save(s, T_CHUNK, &row, e));
    }
    struct chunk_row big = {
        .swarm = (char *)"s", .name = (char *)"n", .idx = 10, .data = {bytes, 600 * 1024}};
    ok(store_save(s, T_CHUNK, &big, e));
    page_get(s, &have, g);
    assert_true(g->n == 3 && g->more); /* the third passed the limit */
    assert_int_equal(pull_all(to, s), 4);
    assert_agree(s, to);
    str_fini(&g->bytes);
    free(g);
    store_end(s);
    store_end(to);
}

static void a_vector_skips_what_it_covers(void **state)
{
    struct bench *b = *state;
    struct store *s = store_new(b, 8);
    struct page *g = mem_alloc(sizeof *g);
    AUTOVV struct vv have = VV_INIT;
    names_add(s, 0, 10);
    int64_t half = store_written(s);
    names_add(s, 10, 10);
    vv_raise(&have, 8, half);
    vv_raise(&have, 3, INT64_MAX);
    page_get(s, &have, g);
    assert_int_equal(g->n, 10);
    for (uint32_t i = 0; i < g->n; i++)
        assert_true(g->row[i].stamp.hlc > half);
    str_fini(&g->bytes);
    free(g);
    store_end(s);
}

/* It does not leave this store; what stands behind it does. */
static void a_version_without_its_row_is_damage(void **state)
{
    struct store *s = store_new(*state, 8);
    AUTOSTR struct str bytes = STR_INIT;
    AUTOVV struct vv none = VV_INIT;
    struct err why = {0};
    uint32_t n;
    bool more;
    names_add(s, 0, 3);
    ok(db_exec(store_db(s), "DELETE FROM name WHERE name = 'n00001'", e));
    saw_all(s);
    assert_int_equal(store_page(s, &none, &bytes, &n, &more, &why), 1);
    assert_int_equal(n, 2);
    assert_int_equal(store_scan_page(s, "", "", &bytes, &n, &more, &why), SKEP_EDAMAGED);
    assert_non_null(strstr(why.text, "n00001"));
    ok(db_exec(store_db(s), "UPDATE change SET hash = zeroblob(16) WHERE key LIKE '%n00002'", e));
    assert_int_equal(store_page(s, &none, &bytes, &n, &more, &why), 1);
    assert_int_equal(n, 1);
    store_end(s);
}

/* ---- rows that are none ---- */

/* A row of a table of one text key, as another node would send it. */
struct forged {
    struct str bytes;
    struct remote_row row;
};

static void forge(struct forged *f, enum table_id id, const void *row, int64_t rank)
{
    const struct table *t = table_get(id);
    struct val vals[TABLE_COLS_MAX];
    table_vals(t, row, vals);
    str_clear(&f->bytes);
    row_encode(&f->bytes, t->cols, vals, (size_t)t->cols_n, (struct span){NULL, 0});
    f->row = (struct remote_row){.t = id,
                                 .tbl = {t->name, strlen(t->name)},
                                 .stamp = {.rank = rank, .hlc = hlc_at(START_MS), .actor = 50},
                                 .bytes = {str_get(&f->bytes), f->bytes.n}};
}

/* Taken with its version, but as bytes only; then out again. */
static void set_aside(struct store *s, const struct remote_row *row, const char *key)
{
    struct remote_row r = *row;
    struct err why = {0};
    enum merged how = MERGED_TAKEN;
    r.key = (struct span){key, strlen(key)};
    int rc = store_merge(s, &r, &how, &why);
    if (rc != 0 || how != MERGED_ASIDE)
        fail_msg("key %s: %d %d %s", key, rc, (int)how, why.text);
    assert_int_equal(ask(s, "SELECT count(*) FROM change"), 1);
    assert_int_equal(ask(s, "SELECT count(*) FROM aside"), !row->dead);
    for (int id = 0; id < T_N; id++) {
        AUTOFREE char *sql = mem_printf("SELECT count(*) FROM %s", table_get((enum table_id)id)->name);
        assert_int_equal(ask(s, sql), 0);
    }
    ok(store_merge(s, &r, &how, e)); /* once more */
    assert_int_equal(how, MERGED_KEPT);
    assert_versions_fit(s);
    struct page *g = mem_alloc(sizeof *g);
    AUTOVV struct vv none = VV_INIT;
    page_get(s, &none, g); /* others get it as it came */
    assert_int_equal(g->n, 1);
    assert_true(g->row[0].dead == row->dead && g->row[0].bytes.n == row->bytes.n);
    assert_true(row->bytes.n == 0 || memcmp(g->row[0].bytes.p, row->bytes.p, row->bytes.n) == 0);
    str_fini(&g->bytes);
    free(g);
    ok(store_take_out(s, r.tbl, r.key, e));
    assert_int_equal(ask(s, "SELECT (SELECT count(*) FROM change) + (SELECT count(*) FROM aside)"), 0);
}

static void a_row_that_does_not_fit_its_key_or_rank_is_set_aside(void **state)
{
    struct store *s = store_new(*state, 1);
    struct forged f = {0};
    struct name_row name = {.swarm = (char *)"s", .name = (char *)"n", .kind = (char *)"child", .epoch = 3};
    forge(&f, T_NAME, &name, 3);
    set_aside(s, &f.row, "s/m");
    set_aside(s, &f.row, "s");
    set_aside(s, &f.row, "s/n/");
    set_aside(s, &f.row, "s/%6E");
    f.row.stamp.rank = 4;
    set_aside(s, &f.row, "s/n");
    f.row.dead = true;
    f.row.bytes = (struct span){"", 0};
    set_aside(s, &f.row, "s");
    set_aside(s, &f.row, "s/%2f");
    struct template_row t = {.template = (char *)"t"};
    forge(&f, T_TEMPLATE, &t, 7); /* only an epoch ranks a row */
    set_aside(s, &f.row, "t");
    struct actor_row a = {.actor = 12};
    forge(&f, T_ACTOR, &a, 0);
    set_aside(s, &f.row, "012");
    set_aside(s, &f.row, "+12");
    str_fini(&f.bytes);
    store_end(s);
}

static void a_row_that_the_table_cannot_hold_is_set_aside(void **state)
{
    struct store *s = store_new(*state, 1);
    AUTOSTR struct str bytes = STR_INIT;
    struct remote_row r = {.t = T_NAME, .tbl = {"name", 4}, .stamp = {3, hlc_at(START_MS), 50}};
    /* no key at all; NULL where a number must be */
    static const struct col cols[] = {{"epoch", VAL_INT, {.type = VAL_INT}},
                                      {"since", VAL_INT, {.type = VAL_INT}}};
    struct val vals[] = {{.type = VAL_INT, .i = 3}, {.type = VAL_NULL}};
    row_encode(&bytes, cols, vals, 1, (struct span){NULL, 0});
    r.bytes = (struct span){str_get(&bytes), bytes.n};
    set_aside(s, &r, "/");
    static const struct col all[] = {{"epoch", VAL_INT, {.type = VAL_INT}},
                                     {"name", VAL_TEXT, {.type = VAL_NULL}},
                                     {"since", VAL_INT, {.type = VAL_INT}},
                                     {"swarm", VAL_TEXT, {.type = VAL_NULL}}};
    struct val more[] = {{.type = VAL_INT, .i = 3},
                         {.type = VAL_TEXT, .p = "n", .n = 1},
                         {.type = VAL_NULL},
                         {.type = VAL_TEXT, .p = "s", .n = 1}};
    str_clear(&bytes);
    row_encode(&bytes, all, more, 4, (struct span){NULL, 0});
    r.bytes = (struct span){str_get(&bytes), bytes.n};
    set_aside(s, &r, "s/n");
    store_end(s);
}

/* Whoever reads it does not check again: a scan of broken JSON would leave its text. */
static void a_row_that_readers_cannot_rely_on_is_set_aside(void **state)
{
    struct store *s = store_new(*state, 1);
    struct forged f = {0};
    struct swarm_row swarm = {.swarm = (char *)"x", .settings = (char *)"{\"nodes\":[\"a"};
    forge(&f, T_SWARM, &swarm, 0);
    set_aside(s, &f.row, "x");
    swarm.settings = NULL;
    forge(&f, T_SWARM, &swarm, 0);
    set_aside(s, &f.row, "x");
    struct name_row name = {.swarm = (char *)"s", .name = (char *)"n", .epoch = 3};
    forge(&f, T_NAME, &name, 3);
    set_aside(s, &f.row, "s/n");
    struct entry_row last = {.session = (char *)"s",
                             .entry = (char *)"e",
                             .role = (char *)"user",
                             .content = (char *)"1",
                             .seq = INT64_MAX}; /* what comes behind it has no number */
    forge(&f, T_ENTRY, &last, 0);
    set_aside(s, &f.row, "s/e");
    str_fini(&f.bytes);
    store_end(s);
}

/* It would be found by the prefix of another row, and then the file would count as damaged. */
static void a_tombstone_without_a_key_is_set_aside(void **state)
{
    struct store *s = store_new(*state, 1);
    struct remote_row r = {
        .t = T_CHUNK, .tbl = {"chunk", 5}, .stamp = {0, hlc_at(START_MS), 50}, .dead = true};
    set_aside(s, &r, "///");
    r.t = T_ACTOR;
    r.tbl = (struct span){"actor", 5};
    set_aside(s, &r, "");
    enum merged how;
    r.t = T_CHUNK;
    r.tbl = (struct span){"chunk", 5};
    r.key = (struct span){"///", 3};
    ok(store_merge(s, &r, &how, e));
    ok(store_drop(s, T_CHUNK, "//", e));
    assert_int_equal(ask(s, "SELECT count(*) FROM change"), 0);
    store_end(s);
}

static void two_rows_under_one_stamp_are_refused(void **state)
{
    struct store *s = store_new(*state, 1);
    struct forged f = {0};
    enum merged how;
    struct err why = {0};
    struct template_row a = {.template = (char *)"a"}, b = {.template = (char *)"b"};
    forge(&f, T_TEMPLATE, &a, 0);
    f.row.key = (struct span){"a", 1};
    ok(store_merge(s, &f.row, &how, e));
    assert_int_equal(how, MERGED_TAKEN);
    forge(&f, T_TEMPLATE, &b, 0);
    f.row.key = (struct span){"b", 1};
    ok(db_savepoint(store_db(s), e));
    assert_int_equal(store_merge(s, &f.row, &how, &why), SKEP_EARG);
    assert_int_equal(db_rollback_to(store_db(s), NULL), 0);
    assert_versions_fit(s);
    str_fini(&f.bytes);
    store_end(s);
}

static void a_table_of_a_newer_version_is_set_aside(void **state)
{
    struct store *s = store_new(*state, 1);
    enum merged how;
    struct remote_row r = {
        .t = T_N, .tbl = {"waypoint", 8}, .key = {"w", 1}, .stamp = {0, 5, 50}, .bytes = {"xyz", 3}};
    ok(store_merge(s, &r, &how, e));
    assert_int_equal(how, MERGED_ASIDE);
    assert_int_equal(ask(s, "SELECT count(*) FROM aside WHERE tbl = 'waypoint' AND key = 'w' AND row = "
                            "x'78797a' AND why = 'a table of a newer version'"),
                     1);
    assert_int_equal(ask(s, "SELECT count(*) FROM change WHERE tbl = 'waypoint' AND actor = 50 AND hlc = 5"),
                     1);
    struct store *next = store_new(*state, 2);
    pull_all(next, s); /* and so it reaches one that may know the table */
    assert_agree(s, next);
    r.stamp.hlc = 7;
    r.dead = true;
    r.bytes = (struct span){"", 0};
    ok(store_merge(s, &r, &how, e));
    assert_int_equal(ask(s, "SELECT count(*) FROM aside"), 0);
    pull_all(next, s);
    assert_int_equal(ask(next, "SELECT count(*) FROM aside"), 0);
    store_end(next);
    store_end(s);
}

static void columns_of_a_newer_version_are_passed_on(void **state)
{
    struct bench *b = *state;
    struct store *s = store_new(b, 1), *next = store_new(b, 2);
    AUTOSTR struct str bytes = STR_INIT;
    static const struct col cols[] = {{"settings", VAL_TEXT, {.type = VAL_NULL}},
                                      {"swarm", VAL_TEXT, {.type = VAL_NULL}},
                                      {"zeal", VAL_INT, {.type = VAL_INT}}};
    struct val vals[] = {{.type = VAL_TEXT, .p = "{}", .n = 2},
                         {.type = VAL_TEXT, .p = "x", .n = 1},
                         {.type = VAL_INT, .i = 9}};
    enum merged how;
    row_encode(&bytes, cols, vals, 3, (struct span){NULL, 0});
    struct remote_row r = {.t = T_SWARM,
                           .tbl = {"swarm", 5},
                           .key = {"x", 1},
                           .stamp = {0, 5, 50},
                           .bytes = {str_get(&bytes), bytes.n}};
    ok(store_merge(s, &r, &how, e));
    pull_all(next, s);
    assert_agree(s, next);
    struct page *g = mem_alloc(sizeof *g);
    AUTOVV struct vv none = VV_INIT;
    page_get(next, &none, g);
    assert_int_equal(g->n, 1);
    assert_int_equal(g->row[0].bytes.n, bytes.n);
    assert_memory_equal(g->row[0].bytes.p, bytes.p, bytes.n);
    str_fini(&g->bytes);
    free(g);
    store_end(s);
    store_end(next);
}

/* A page with some bytes changed: every row of it merges, waits aside or is refused, and nothing else. */
static void damaged_pages_do_no_harm(void **state)
{
    struct bench *b = *state;
    struct prng p;
    prng_init(&p, 12);
    struct store *from = store_new(b, 8), *to = store_new(b, 9);
    struct page *g = mem_alloc(sizeof *g);
    AUTOVV struct vv none = VV_INIT;
    int bad = 0;
    write_some(b, from, &p, 60);
    page_get(from, &none, g);
    for (int i = 0; i < 2000; i++) {
        AUTOFREE char *bytes = mem_copy(g->bytes.p, g->bytes.n);
        for (uint64_t n = prng_below(&p, 3) + 1; n > 0; n--)
            bytes[prng_below(&p, g->bytes.n)] = (char)prng_next(&p);
        struct reader r = reader_init(bytes, prng_below(&p, 4) ? g->bytes.n : prng_below(&p, g->bytes.n));
        for (uint32_t k = 0; k < g->n; k++) {
            struct remote_row row;
            struct err why = {0};
            enum merged how;
            int rc = store_read_row(&r, &row, &why);
            if (rc == 0) {
                ok(db_savepoint(store_db(to), e));
                rc = store_merge(to, &row, &how, &why);
                if (rc < 0)
                    ok(db_rollback_to(store_db(to), e));
                else
                    ok(db_release(store_db(to), e));
            }
            if (rc != 0 && rc != SKEP_EARG)
                fail_msg("%d: %s", rc, why.text);
            bad += rc != 0;
            if (r.bad)
                break;
        }
    }
    assert_true(bad > 100);
    assert_versions_fit(to);
    str_fini(&g->bytes);
    free(g);
    store_end(from);
    store_end(to);
}

static void read_row_refuses_stamps_that_nobody_gives(void **state)
{
    static const struct stamp bad[] = {{-1, 1, 1}, {0, 0, 1}, {0, -5, 1}, {0, 1, 0}, {0, 1, -1}};
    (void)state;
    for (size_t i = 0; i <= COUNT(bad) + 1; i++) { /* the last one's key is cut by a zero byte */
        AUTOSTR struct str s = STR_INIT;
        struct remote_row row;
        struct stamp stamp = i < COUNT(bad) ? bad[i] : (struct stamp){0, 1, 1};
        buf_bytes(&s, "swarm", 5);
        buf_bytes(&s, i <= COUNT(bad) ? "x" : "x\0y", i <= COUNT(bad) ? 1 : 3);
        buf_i64(&s, stamp.rank);
        buf_i64(&s, stamp.hlc);
        buf_i64(&s, stamp.actor);
        buf_u8(&s, 1);
        buf_bytes(&s, "", 0);
        struct reader r = reader_init(s.p, s.n);
        assert_int_equal(store_read_row(&r, &row, NULL), i == COUNT(bad) ? 0 : SKEP_EARG);
    }
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, bench_make, bench_remove)
    const struct CMUnitTest tests[] = {
        T(any_order_gives_the_same_rows),
        T(the_greater_stamp_wins),
        T(a_page_has_256_rows_in_the_order_they_were_written),
        T(a_full_page_says_whether_more_follows),
        T(a_page_ends_after_256_KiB_but_has_a_row),
        T(a_vector_skips_what_it_covers),
        T(a_version_without_its_row_is_damage),
        T(a_row_that_does_not_fit_its_key_or_rank_is_set_aside),
        T(a_row_that_the_table_cannot_hold_is_set_aside),
        T(two_rows_under_one_stamp_are_refused),
        T(a_table_of_a_newer_version_is_set_aside),
        T(columns_of_a_newer_version_are_passed_on),
        T(a_row_that_readers_cannot_rely_on_is_set_aside),
        T(a_tombstone_without_a_key_is_set_aside),
        T(damaged_pages_do_no_harm),
        cmocka_unit_test(read_row_refuses_stamps_that_nobody_gives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
