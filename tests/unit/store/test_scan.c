/* The look at every row: nothing stored is trusted, and each kind of damage has its name and its mend. */
#include "store/scan.h"

#include "bench.h"
#include "wire/sums.h"

struct seen {
    struct sums *sums;
    struct digest digest;
    int rows, dead;
    int of[SCAN_UNLISTED + 1];
    char key[64]; /* of the last damage */
    char tbl[64];
};

static void see(void *ctx, const struct scan_row *row)
{
    struct seen *s = ctx;
    unsigned char entry[DIGEST_BYTES];
    int64_t stamp[3] = {row->stamp.rank, row->stamp.hlc, row->stamp.actor};
    s->of[row->damage]++;
    s->dead += row->dead;
    if (row->damage != SCAN_SOUND) {
        snprintf(s->key, sizeof s->key, "%.*s", (int)row->key.n, row->key.p);
        snprintf(s->tbl, sizeof s->tbl, "%.*s", (int)row->tbl.n, row->tbl.p);
    }
    if (row->damage == SCAN_ORPHAN || row->damage == SCAN_MISSING || row->dead)
        return;
    s->rows++;
    sums_entry(&s->digest, row->tbl, row->key, stamp, row->real, entry);
    sums_add(s->sums, scan_bucket(row->tbl.p, row->key.p), entry);
}

static struct seen *look(struct store *s, int64_t slice_rows, size_t slice_bytes)
{
    struct seen *seen = mem_alloc(sizeof *seen);
    struct scan *scan = scan_new(s);
    int rc, slices = 0;
    seen->sums = mem_alloc(sizeof *seen->sums);
    digest_init(&seen->digest);
    scan_begin(scan, false);
    do {
        ok((rc = scan_step(scan, slice_rows, slice_bytes, see, seen, e)) > 0 ? 0 : rc);
        assert_true(slices++ < 100000);
    } while (rc == 1);
    scan_free(scan);
    return seen;
}

static void seen_free(struct seen *s)
{
    digest_fini(&s->digest);
    free(s->sums);
    free(s);
}

static void root_of(const struct seen *s, char ret_hex[2 * DIGEST16_BYTES + 1])
{
    unsigned char root[DIGEST16_BYTES];
    AUTOSTR struct str hex = STR_INIT;
    sums_root(s->sums, root);
    str_hex(&hex, root, sizeof root);
    memcpy(ret_hex, str_get(&hex), 2 * DIGEST16_BYTES + 1);
}

static void fill(struct bench *b, struct store *s, int n)
{
    struct prng p;
    prng_init(&p, 7);
    for (int i = 0; i < n; i++) {
        enum table_id id = (enum table_id)prng_below(&p, T_N);
        _Alignas(8) char row[ROW_MAX];
        any_row(id, row, &p);
        int rc = prng_below(&p, 5) == 0 ? store_kill(s, id, row, 0, NULL) : store_save(s, id, row, NULL);
        assert_true(rc == 0 || rc == SKEP_EFENCED);
        row_fini(id, row);
        b->real_ms++;
    }
}

static void every_row_is_seen_once_in_slices_of_any_size(void **state)
{
    struct bench *b = *state;
    struct store *s = store_new(b, 5);
    static const int64_t slices[] = {1, 2, 7, 256, 100000};
    char first[33], root[33];
    fill(b, s, 800);
    for (size_t i = 0; i < COUNT(slices) + 1; i++) {
        struct seen *seen = i < COUNT(slices) ? look(s, slices[i], SIZE_MAX) : look(s, 100000, 1);
        assert_int_equal(seen->rows, ask(s, "SELECT count(*) FROM change WHERE dead = 0"));
        assert_int_equal(seen->dead, ask(s, "SELECT count(*) FROM change WHERE dead = 1"));
        assert_int_equal(seen->of[SCAN_SOUND], seen->rows + seen->dead);
        assert_int_equal(sums_rows(seen->sums), seen->rows);
        root_of(seen, i ? root : first);
        if (i)
            assert_string_equal(root, first);
        seen_free(seen);
    }
    store_end(s);
}

static void equal_stores_have_equal_sums(void **state)
{
    struct bench *b = *state;
    struct store *s = store_new(b, 5), *other = store_new(b, 6);
    char x[33], y[33];
    fill(b, s, 500);
    pull_all(other, s);
    struct remote_row strange = {
        .t = T_N, .tbl = {"waypoint", 8}, .key = {"w", 1}, .stamp = {0, 5, 50}, .bytes = {"xyz", 3}};
    enum merged how;
    ok(store_merge(s, &strange, &how, e)); /* rows aside count with the bytes they came as */
    struct seen *mine = look(s, 256, SIZE_MAX), *theirs = look(other, 256, SIZE_MAX);
    root_of(mine, x);
    root_of(theirs, y);
    assert_string_not_equal(x, y);
    seen_free(theirs);
    ok(store_merge(other, &strange, &how, e));
    theirs = look(other, 256, SIZE_MAX);
    root_of(theirs, y);
    assert_string_equal(x, y);
    assert_int_equal(mine->of[SCAN_SOUND], ask(s, "SELECT count(*) FROM change"));
    seen_free(mine);
    seen_free(theirs);
    store_end(s);
    store_end(other);
}

/* ---- damage ---- */

static void exec(struct store *s, const char *sql)
{
    ok(db_exec(store_db(s), sql, e));
}

static void template_put(struct store *s, const char *name, const char *argv)
{
    struct template_row row = {.template = (char *)(uintptr_t)name, .spec = (char *)(uintptr_t)argv};
    ok(store_save(s, T_TEMPLATE, &row, e));
}

/* One table of a simple form, three rows. */
static struct store *simple(struct bench *b)
{
    struct store *s = store_new(b, 5);
    template_put(s, "a", "{\"argv\":[\"x\"]}");
    template_put(s, "b", "{\"argv\":[\"y\"]}");
    template_put(s, "c", "{\"argv\":[\"z\"]}");
    return s;
}

static void one_damage(struct store *s, enum scan_damage damage, const char *key)
{
    struct seen *seen = look(s, 256, SIZE_MAX);
    for (int d = SCAN_DIFFERS; d <= SCAN_UNLISTED; d++)
        if (seen->of[d] != (d == (int)damage))
            fail_msg("%s: %d times", scan_damage_word((enum scan_damage)d), seen->of[d]);
    assert_string_equal(seen->tbl, "template");
    assert_string_equal(seen->key, key);
    struct scan *scan = scan_new(s);
    struct scan_row row;
    assert_int_equal(
        scan_look(scan, (struct span){"template", 8}, (struct span){key, strlen(key)}, &row, NULL), 1);
    assert_int_equal(row.damage, damage);
    scan_free(scan);
    seen_free(seen);
}

static void no_damage(struct store *s)
{
    struct seen *seen = look(s, 256, SIZE_MAX);
    assert_int_equal(seen->of[SCAN_SOUND], ask(s, "SELECT count(*) FROM change"));
    for (int d = SCAN_DIFFERS; d <= SCAN_UNLISTED; d++)
        assert_int_equal(seen->of[d], 0);
    seen_free(seen);
    assert_versions_fit(s);
}

static void a_row_with_other_bytes(void **state)
{
    struct store *s = simple(*state);
    exec(s, "UPDATE template SET spec = '{\"argv\":[\"Y\"]}' WHERE template = 'b'");
    one_damage(s, SCAN_DIFFERS, "b");
    exec(s, "UPDATE template SET spec = NULL WHERE template = 'b'");
    one_damage(s, SCAN_DIFFERS, "b");
    exec(s, "UPDATE template SET spec = '{\"argv\":[\"y\"]}' WHERE template = 'b'");
    no_damage(s);
    exec(s, "UPDATE change SET hash = x'00112233445566778899aabbccddeeff' WHERE key = 'b'");
    one_damage(s, SCAN_DIFFERS, "b");
    store_end(s);
}

static void a_row_that_is_gone(void **state)
{
    struct store *s = simple(*state);
    exec(s, "DELETE FROM template WHERE template = 'c'");
    one_damage(s, SCAN_MISSING, "c");
    AUTOSTR struct str row = STR_INIT;
    struct scan *scan = scan_new(s);
    assert_int_equal(scan_fetch(scan, (struct span){"template", 8}, (struct span){"c", 1}, &row, NULL), 0);
    assert_int_equal(scan_fetch(scan, (struct span){"template", 8}, (struct span){"b", 1}, &row, NULL), 1);
    assert_int_equal(scan_fetch(scan, (struct span){"template", 8}, (struct span){"d", 1}, &row, NULL), 0);
    struct reader r = reader_init(str_get(&row), row.n);
    struct remote_row back;
    ok(store_read_row(&r, &back, e));
    assert_true(reader_done(&r) && back.t == T_TEMPLATE && back.stamp.actor == 5 && back.bytes.n > 0);
    scan_free(scan);
    store_end(s);
}

static void a_row_without_a_version(void **state)
{
    struct store *s = simple(*state);
    exec(s, "DELETE FROM change WHERE key = 'a'");
    one_damage(s, SCAN_ORPHAN, "a");
    struct scan *scan = scan_new(s);
    struct scan_row row;
    assert_int_equal(scan_glance(scan, (struct span){"template", 8}, (struct span){"a", 1}, &row, NULL), 0);
    ok(scan_keep(scan, (struct span){"template", 8}, (struct span){"a", 1}, "it had no version", e));
    assert_int_equal(ask(s, "SELECT count(*) FROM quarantine WHERE key = 'a' AND length(row) > 0"), 1);
    scan_free(scan);
    store_end(s);
}

static void a_row_that_outlived_its_deletion(void **state)
{
    struct store *s = simple(*state);
    exec(s, "UPDATE change SET dead = 1, hash = NULL WHERE key = 'b'");
    one_damage(s, SCAN_UNDEAD, "b");
    struct scan *scan = scan_new(s);
    ok(scan_undead(scan, (struct span){"template", 8}, (struct span){"b", 1}, "why", e));
    scan_free(scan);
    no_damage(s);
    assert_int_equal(ask(s, "SELECT count(*) FROM template"), 2);
    assert_int_equal(ask(s, "SELECT count(*) FROM quarantine WHERE key = 'b' AND why = 'why'"), 1);
    store_end(s);
}

static void shell(const char *db, const char *sql)
{
    AUTOFREE char *command = mem_printf("sqlite3 '%s' \"%s\"", db, sql);
    assert_int_equal(system(command), 0);
}

/* Takes the entries of one row out of an index: for a moment the index is one that has no such entries. */
static struct store *without_entries(struct bench *b, struct store *s, const char *index, const char *bent,
                                     const char *sound, const char *again)
{
    AUTOFREE char *path = mem_printf("%s/%d.db", b->dir, b->stores);
    AUTOFREE char *bend = mem_printf("PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = '%s' "
                                     "WHERE name = '%s'",
                                     bent, index);
    AUTOFREE char *unbend = mem_printf("PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = '%s' "
                                       "WHERE name = '%s'",
                                       sound, index);
    store_end(s);
    shell(path, bend);
    shell(path, again);
    shell(path, unbend);
    return store_again(b, b->stores, 0);
}

static void a_row_that_an_index_has_not(void **state)
{
    struct bench *b = *state;
    struct store *s = simple(b);
    exec(s, "UPDATE change SET hlc = hlc + 1000 WHERE key = 'b'"); /* where its entry will stay */
    s = without_entries(
        b, s, "change_dot", "CREATE UNIQUE INDEX change_dot ON change (actor, hlc) WHERE key <> ''b''",
        "CREATE UNIQUE INDEX change_dot ON change (actor, hlc)",
        "DROP TRIGGER guard_change_update; UPDATE change SET hlc = hlc - 1000 WHERE key = 'b'");
    one_damage(s, SCAN_UNLISTED, "b");
    struct scan *scan = scan_new(s);
    ok(scan_reindex(scan, (struct span){"template", 8}, e));
    scan_free(scan);
    no_damage(s);
    store_end(s);
}

/* ---- lists ---- */

static void list_one(void *ctx, const struct scan_row *row)
{
    struct seen *s = ctx;
    assert_int_equal(row->damage, SCAN_SOUND);
    assert_int_equal(row->bytes, 0);
    s->rows++;
}

static void a_list_has_versions_only(void **state)
{
    struct store *s = simple(*state);
    struct seen seen = {0};
    struct scan *scan = scan_new(s);
    exec(s, "UPDATE template SET spec = NULL WHERE template = 'b'");
    exec(s, "DELETE FROM template WHERE template = 'c'");
    scan_begin(scan, true);
    int rc, slices = 0;
    do {
        ok((rc = scan_step(scan, 2, SIZE_MAX, list_one, &seen, e)) > 0 ? 0 : rc);
        slices++;
    } while (rc == 1);
    assert_true(seen.rows == 3 && slices == 2);
    scan_free(scan);
    store_end(s);
}

/* ---- the numbers ---- */

/* What other versions of this program compute from the same rows. */
static void golden_text(const struct seen *seen, struct str *ret)
{
    unsigned char digest[DIGEST16_BYTES];
    for (unsigned i = 0; i < SUMS_BUCKETS; i++) {
        if (seen->sums->count[i] == 0)
            continue;
        sums_bucket(seen->sums, i, digest);
        str_printf(ret, "bucket %u rows %llu ", i, (unsigned long long)seen->sums->count[i]);
        str_hex(ret, digest, sizeof digest);
        str_putc(ret, '\n');
    }
    sums_group(seen->sums, 0, digest);
    str_puts(ret, "group 0 ");
    str_hex(ret, digest, sizeof digest);
    sums_root(seen->sums, digest);
    str_puts(ret, "\nroot ");
    str_hex(ret, digest, sizeof digest);
    str_putc(ret, '\n');
}

static void golden_numbers(void **state)
{
    struct store *s = simple(*state);
    AUTOSTR struct str text = STR_INIT, want = STR_INIT;
    struct name_row name = {
        .swarm = (char *)"default", .name = (char *)"ä/b%", .kind = (char *)"address", .epoch = 3};
    ok(store_save(s, T_NAME, &name, e));
    struct token_row token = {.token = (char *)"t", .hash = (char *)"h", .role = (char *)"read"};
    ok(store_save(s, T_TOKEN, &token, e));
    struct template_row gone = {.template = (char *)"b"};
    ok(store_kill(s, T_TEMPLATE, &gone, 0, e));
    struct remote_row strange = {
        .t = T_N, .tbl = {"waypoint", 8}, .key = {"w", 1}, .stamp = {0, 5, 50}, .bytes = {"xyz", 3}};
    enum merged how;
    ok(store_merge(s, &strange, &how, e));
    struct seen *seen = look(s, 256, SIZE_MAX);
    golden_text(seen, &text);
    char file[256], line[256];
    snprintf(file, sizeof file, "%s/tests/unit/store/golden/sums.txt", SKEP_SOURCE_DIR);
    FILE *f = fopen(file, "r");
    while (f && fgets(line, sizeof line, f))
        if (line[0] != '#')
            str_puts(&want, line);
    if (f)
        fclose(f);
    if (strcmp(str_get(&want), str_get(&text)) != 0)
        fail_msg("the sums are others than in %s:\n%s", file, str_get(&text));
    seen_free(seen);
    store_end(s);
}

/* No statement of a scan reads more than its slice. */
static void no_slice_reads_a_whole_table(void **state)
{
    struct store *s = store_new(*state, 1);
    struct db *db = store_db(s);
    int before = db_stmt_count(db), bad = 0;
    struct scan *scan = scan_new(s);
    assert_int_equal(db_stmt_count(db), before + T_N + 2);
    for (int i = before; i < before + T_N + 2; i++) {
        AUTOFREE char *explain = mem_printf("EXPLAIN QUERY PLAN %s", stmt_sql(db_stmt_at(db, i)));
        struct stmt *q = stmt_new(db, explain);
        while (stmt_step(q, NULL) == 1)
            if (strncmp(col_text(q, 3), "SEARCH ", 7) != 0) {
                print_error("%s\n  %s\n", stmt_sql(db_stmt_at(db, i)), col_text(q, 3));
                bad++;
            }
        stmt_free(q);
    }
    assert_int_equal(bad, 0);
    scan_free(scan);
    store_end(s);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, bench_make, bench_remove)
    const struct CMUnitTest tests[] = {
        T(every_row_is_seen_once_in_slices_of_any_size),
        T(equal_stores_have_equal_sums),
        T(a_row_with_other_bytes),
        T(a_row_that_is_gone),
        T(a_row_without_a_version),
        T(a_row_that_outlived_its_deletion),
        T(a_row_that_an_index_has_not),
        T(a_list_has_versions_only),
        T(golden_numbers),
        T(no_slice_reads_a_whole_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
