/* What the tests of whole files share: a store with rows in it, at rest, and ways to damage a file. */
#ifndef SKEP_TEST_STORE_DAMAGE_H
#define SKEP_TEST_STORE_DAMAGE_H

#include <fcntl.h>
#include <sys/stat.h>

#include "bench.h"

#define ROWS      400
#define PAGE_SIZE 4096

static inline char *path_in(const struct bench *b, const char *name)
{
    return mem_printf("%s/%s", b->dir, name);
}

/* Node 1's database with ROWS templates, one of which is dead, one in quarantine and an event; closed. */
static inline void make_node(struct bench *b)
{
    struct store *s = store_new(b, 10);
    struct log_entry event = {.type = "node_started"};
    struct actor_row run = {.actor = 10, .born_at = 1};
    struct template_row gone = {.template = mem_dup("gone")};
    AUTOFREE char *spec = mem_alloc(301);
    memset(spec, 'x', 300);
    run.node = store_meta(s, "node");
    run.boot = mem_dup("b");
    ok(store_save(s, T_ACTOR, &run, e));
    row_fini(T_ACTOR, &run);
    for (int i = 0; i < ROWS; i++) {
        struct template_row row = {.template = mem_printf("t%03d", i), .spec = mem_printf("\"%s\"", spec)};
        ok(store_save(s, T_TEMPLATE, &row, e));
        row_fini(T_TEMPLATE, &row);
    }
    gone.spec = mem_dup("{}");
    ok(store_save(s, T_TEMPLATE, &gone, e));
    ok(store_kill(s, T_TEMPLATE, &gone, 0, e));
    row_fini(T_TEMPLATE, &gone);
    struct template_row held = {.template = mem_dup("t000")};
    ok(store_keep(s, T_TEMPLATE, &held, "why", e));
    row_fini(T_TEMPLATE, &held);
    ok(store_take_out(s, (struct span){"template", 8}, (struct span){"t000", 4}, e));
    ok(store_log(s, &event, e));
    store_end(s);
}

/* Past all guards, as a broken program would. */
static inline void spoil(const char *path, const char *sql)
{
    struct db_options o = {.path = path};
    struct db *db;
    ok(db_open(&db, &o, e));
    ok(db_exec(db, sql, e));
    db_close(db);
}

static inline int64_t look(const char *path, const char *sql)
{
    struct db_options o = {.path = path, .readonly = true};
    struct db *db;
    ok(db_open(&db, &o, e));
    int64_t n = db_i64(db, sql, -1);
    db_close(db);
    return n;
}

static inline void overwrite(const char *path, off_t at, size_t n)
{
    AUTOFREE char *bytes = mem_alloc(n);
    memset(bytes, 0xa5, n);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, n, at), (ssize_t)n);
    close(fd);
}

#endif
