/* What the tests of store/ share: a folder, stores of it on a clock that a test moves, rows of any table. */
#ifndef SKEP_TEST_STORE_BENCH_H
#define SKEP_TEST_STORE_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hlc.h"
#include "base/prng.h"
#include "store/store.h"
#include "wire/buf.h"

#define START_MS 1700000000000
#define ROW_MAX  256 /* bytes of the largest struct of store/rows.h */

struct bench {
    char dir[64];
    int64_t real_ms;
    struct world_clock clock;
    int stores;
};

static inline int64_t bench_real_ms(void *self)
{
    return ((struct bench *)self)->real_ms;
}

static inline int bench_make(void **state)
{
    struct bench *b = mem_alloc(sizeof *b);
    snprintf(b->dir, sizeof b->dir, "/tmp/skep-test-store.XXXXXX");
    if (!mkdtemp(b->dir))
        return -1;
    b->real_ms = START_MS;
    b->clock = (struct world_clock){.self = b, .real_ms = bench_real_ms, .boot_ms = bench_real_ms};
    *state = b;
    return 0;
}

static inline int bench_remove(void **state)
{
    struct bench *b = *state;
    AUTOFREE char *command = mem_printf("rm -rf '%s'", b->dir);
    free(b);
    return system(command);
}

static inline void ok_(int rc, const struct err *e, const char *file, int line)
{
    if (rc == 0)
        return;
    print_error("%d: %s\n", rc, e->text);
    _fail(file, line);
}
#define ok(call)                                                                                             \
    do {                                                                                                     \
        struct err err_ = {0}, *e = &err_;                                                                   \
        ok_((call), e, __FILE__, __LINE__);                                                                  \
    } while (0)

static inline struct store *store_again(struct bench *b, int number, int64_t actor)
{
    struct store *s = NULL;
    AUTOFREE char *path = mem_printf("%s/%d.db", b->dir, number);
    ok(store_open(&s, &(struct store_options){.path = path, .clock = &b->clock}, e));
    if (actor)
        store_run(s, actor);
    ok(db_begin(store_db(s), e));
    return s;
}

/* A new database, opened, in a transaction (one for a whole test: what is tested is not the disk). */
static inline struct store *store_new(struct bench *b, int64_t actor)
{
    AUTOFREE char *path = mem_printf("%s/%d.db", b->dir, ++b->stores);
    struct id cluster = {{1}}, node = {{(unsigned char)b->stores}};
    ok(store_create(path, &cluster, &node, "a", true, NULL, e));
    return store_again(b, b->stores, actor);
}

static inline void store_end(struct store *s)
{
    ok(db_commit(store_db(s), e));
    store_close(s);
}

static inline int64_t ask(struct store *s, const char *sql)
{
    return db_i64(store_db(s), sql, -1);
}

/* ---- rows of any table ---- */

static const char *const texts[] = {"a",     "b",    "a/b", "%", "%2F", "a%25", "ä ö", "\xf0\x9f\x90\x9d",
                                    "'; --", "../x", "0"};

static inline char *any_text(struct prng *p)
{
    return mem_dup(texts[prng_below(p, COUNT(texts))]);
}

static const char *const documents[] = {"{}", "{\"a\":[1,2]}", "\"ä/%\"", "null", "17"};

static inline char *any_document(struct prng *p)
{
    return mem_dup(documents[prng_below(p, COUNT(documents))]);
}

static inline struct blob any_blob(struct prng *p)
{
    struct blob b = {.n = prng_below(p, 40)};
    b.p = mem_copy("0123456789012345678901234567890123456789", b.n);
    prng_fill(p, b.p, b.n);
    return b;
}

/* Fills a row: keys out of few values, so that rows meet; everything else anything; epochs up to 5. */
static inline void any_row(enum table_id id, void *row, struct prng *p)
{
    const struct table *t = table_get(id);
    memset(row, 0, t->row_bytes);
    for (int i = 0; i < t->cols_n; i++) {
        char *at = (char *)row + t->offset[i];
        bool key = table_is_key(t, i), json = t->json >> i & 1;
        if (t->cols[i].type == VAL_INT)
            *(int64_t *)(void *)at = i == t->epoch || key    ? (int64_t)prng_below(p, 5) + 1
                                     : prng_below(p, 4) == 0 ? 0
                                                             : (int64_t)prng_next(p) / 2;
        else if (!key && !(t->needed >> i & 1) && prng_below(p, 4) == 0)
            continue;
        else if (t->cols[i].type == VAL_TEXT)
            *(char **)(void *)at = json ? any_document(p) : any_text(p);
        else if (json)
            *(struct blob *)(void *)at = (struct blob){mem_dup("[7]"), 3};
        else
            *(struct blob *)(void *)at = any_blob(p);
    }
}

/* A struct with the same key and nothing else. */
static inline void key_only(enum table_id id, const void *from, void *to)
{
    const struct table *t = table_get(id);
    struct val vals[TABLE_COLS_MAX];
    table_vals(t, from, vals);
    for (int i = 0; i < t->cols_n; i++)
        if (!table_is_key(t, i))
            vals[i] = (struct val){0};
    memset(to, 0, t->row_bytes);
    table_fill(t, to, vals);
}

static inline void assert_rows_equal(enum table_id id, const void *a, const void *b)
{
    const struct table *t = table_get(id);
    struct val x[TABLE_COLS_MAX], y[TABLE_COLS_MAX];
    table_vals(t, a, x);
    table_vals(t, b, y);
    for (int i = 0; i < t->cols_n; i++)
        if (!val_equal(&x[i], &y[i]))
            fail_msg("%s.%s differs", t->name, t->cols[i].name);
    const struct blob *ea = (const void *)((const char *)a + t->extra),
                      *eb = (const void *)((const char *)b + t->extra);
    assert_int_equal(ea->n, eb->n);
    assert_true(ea->n == 0 || memcmp(ea->p, eb->p, ea->n) == 0);
}

/* ---- invariants ---- */

/* Invariant 1 of store.h, and that each hash is that of what stands there: a whole page of everything can be
 * read, and as many live rows as there are rows in the tables. */
static inline void assert_versions_fit(struct store *s)
{
    int64_t rows = 0;
    for (int id = 0; id < T_N; id++) {
        AUTOFREE char *all = mem_printf("SELECT count(*) FROM %s", table_get((enum table_id)id)->name);
        AUTOFREE char *live = mem_printf("SELECT count(*) FROM change WHERE tbl = '%s' AND dead = 0",
                                         table_get((enum table_id)id)->name);
        AUTOFREE char *aside =
            mem_printf("SELECT count(*) FROM aside WHERE tbl = '%s'", table_get((enum table_id)id)->name);
        int64_t n = ask(s, all);
        assert_int_equal(n + ask(s, aside), ask(s, live));
        rows += n;
    }
    assert_int_equal(rows + ask(s, "SELECT count(*) FROM aside"),
                     ask(s, "SELECT count(*) FROM change WHERE dead = 0"));
    assert_int_equal(ask(s, "SELECT count(*) FROM aside a WHERE NOT EXISTS (SELECT 1 FROM change c WHERE "
                            "c.tbl = a.tbl AND c.key = a.key AND c.dead = 0)"),
                     0);
    assert_int_equal(ask(s, "SELECT count(*) FROM change WHERE (hash IS NULL) <> (dead = 1)"), 0);
    assert_int_equal(
        ask(s, "SELECT count(*) FROM (SELECT 1 FROM change GROUP BY actor, hlc HAVING count(*) > 1)"), 0);
}

static inline void assert_agree(struct store *a, struct store *b)
{
    char x[33], y[33];
    ok(store_digest(a, x, e));
    ok(store_digest(b, y, e));
    assert_string_equal(x, y);
}

/* ---- pages ---- */

/* A page of what `from` has above `have`; the rows borrow from bytes. */
struct page {
    struct str bytes;
    struct remote_row row[STORE_PAGE_ROWS + 1];
    uint32_t n;
    bool more;
};

/* What a node does with each commit: the rows of every actor that are here are known to be. */
static inline void saw_all(struct store *s)
{
    struct stmt *q = stmt_new(store_db(s), "INSERT INTO vv (actor, hlc, seen) SELECT actor, 0, max(hlc) FROM "
                                           "change WHERE true GROUP BY actor ON CONFLICT (actor) DO UPDATE "
                                           "SET seen = max(seen, excluded.seen)");
    ok(stmt_run(q, e));
    stmt_free(q);
}

static inline void page_get(struct store *from, const struct vv *have, struct page *ret)
{
    str_clear(&ret->bytes);
    saw_all(from);
    ok(store_page(from, have, &ret->bytes, &ret->n, &ret->more, e));
    struct reader r = reader_init(str_get(&ret->bytes), ret->bytes.n);
    assert_true(ret->n <= STORE_PAGE_ROWS);
    for (uint32_t i = 0; i < ret->n; i++)
        ok(store_read_row(&r, &ret->row[i], e));
    assert_true(reader_done(&r));
}

/* Everything that `from` has, into `to`, as a puller does it; returns the pages it took. */
static inline int pull_all(struct store *to, struct store *from)
{
    AUTOVV struct vv have = VV_INIT;
    struct page *g = mem_alloc(sizeof *g);
    int pages = 0;
    do {
        page_get(from, &have, g);
        pages++;
        for (uint32_t i = 0; i < g->n; i++) {
            enum merged how;
            ok(store_merge(to, &g->row[i], &how, e));
            vv_raise(&have, g->row[i].stamp.actor, g->row[i].stamp.hlc);
        }
    } while (g->more);
    str_fini(&g->bytes);
    free(g);
    return pages;
}

#endif
