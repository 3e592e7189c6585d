/* What the tests of db/ share: a folder of their own, opening, and a stock sqlite3 shell as a child. */
#ifndef SKEP_TEST_DB_BENCH_H
#define SKEP_TEST_DB_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "db/db.h"

enum { OUR_ID = 0x736b6570, DEADLINE_MS = 20000 };

struct folder {
    char dir[64], path[96];
};

static inline int folder_make(void **state)
{
    struct folder *f = mem_alloc(sizeof *f);
    snprintf(f->dir, sizeof f->dir, "/tmp/skep-test-db.XXXXXX");
    if (!mkdtemp(f->dir))
        return -1;
    snprintf(f->path, sizeof f->path, "%s/skep.db", f->dir);
    *state = f;
    return 0;
}

static inline int folder_remove(void **state)
{
    struct folder *f = *state;
    char *command = mem_printf("rm -rf '%s'", f->dir);
    int rc = system(command);
    free(command);
    free(f);
    return rc;
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
        struct err e_ = {0}, *e = &e_;                                                                       \
        ok_((call), e, __FILE__, __LINE__);                                                                  \
    } while (0)

static inline struct db_options writer_options(const struct folder *f)
{
    return (struct db_options){.path = f->path, .create = true, .application_id = OUR_ID};
}

static inline struct db *writer(const struct folder *f)
{
    struct db *db = NULL;
    struct db_options o = writer_options(f);
    ok(db_open(&db, &o, e));
    return db;
}

static inline struct db *reader(const struct folder *f)
{
    struct db *db = NULL;
    ok(db_open(&db, &(struct db_options){.path = f->path, .readonly = true, .application_id = OUR_ID}, e));
    return db;
}

static inline int64_t file_bytes(const struct folder *f, const char *suffix)
{
    char path[128];
    struct stat st;
    snprintf(path, sizeof path, "%s%s", f->path, suffix);
    return stat(path, &st) == 0 ? st.st_size : -1;
}

static inline int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* A person at a shell. */
struct shell {
    pid_t pid;
    int in, out, marks;
    struct str answer;
};

static inline void shell_start(struct shell *s, const struct folder *f)
{
    int in[2], out[2];
    extern char **environ;
    char *argv[] = {"stdbuf", "-oL", "sqlite3", "-batch", "-init", "/dev/null", (char *)f->path, NULL};
    posix_spawn_file_actions_t a;
    *s = (struct shell){.answer = STR_INIT};
    assert_int_equal(pipe2(in, O_CLOEXEC) | pipe2(out, O_CLOEXEC), 0);
    posix_spawn_file_actions_init(&a);
    posix_spawn_file_actions_adddup2(&a, in[0], 0);
    posix_spawn_file_actions_adddup2(&a, out[1], 1);
    posix_spawn_file_actions_adddup2(&a, out[1], 2);
    assert_int_equal(posix_spawnp(&s->pid, argv[0], &a, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&a);
    close(in[0]);
    close(out[1]);
    s->in = in[1];
    s->out = out[0];
}

/* Types a line; returns all that is printed for it, without the last newline. */
static inline const char *shell_ask(struct shell *s, const char *line)
{
    char mark[32], bytes[4096];
    int n = snprintf(mark, sizeof mark, "~done %d~\n", ++s->marks);
    dprintf(s->in, "%s\n.print '~done %d~'\n", line, s->marks);
    str_clear(&s->answer);
    for (int64_t end = now_ms() + DEADLINE_MS;;) {
        struct pollfd p = {s->out, POLLIN, 0};
        assert_true(poll(&p, 1, (int)(end - now_ms())) == 1);
        ssize_t got = read(s->out, bytes, sizeof bytes);
        assert_true(got > 0);
        str_add(&s->answer, bytes, (size_t)got);
        if (s->answer.n >= (size_t)n && strcmp(s->answer.p + s->answer.n - n, mark) == 0)
            break;
    }
    s->answer.n -= (size_t)n;
    if (s->answer.n && s->answer.p[s->answer.n - 1] == '\n')
        s->answer.n--;
    s->answer.p[s->answer.n] = 0;
    return s->answer.p;
}

static inline void shell_end(struct shell *s)
{
    close(s->in);
    waitpid(s->pid, NULL, 0);
    close(s->out);
    str_fini(&s->answer);
}

#endif
