/* spawning: keepers alone. All links to them live in one loop; nothing is written but what keepers write. */
#include "bench/spawning.h"

#include "real/keeper_link.h"
#include "real/loop.h"

#define KEEPERS_MAX 9

struct spawning {
    struct loop *loop;
    int left, failed;
};

static void one_spawned(void *ctx, uint64_t number, pid_t pid)
{
    struct spawning *s = ctx;
    (void)number, (void)pid;
    if (--s->left == 0)
        loop_end(s->loop);
}

static void one_failed(void *ctx, uint64_t number, int error)
{
    struct spawning *s = ctx;
    (void)number, (void)error;
    s->failed++;
    if (--s->left == 0)
        loop_end(s->loop);
}

static void keeper_died(void *ctx)
{
    struct spawning *s = ctx;
    s->failed = 1;
    loop_end(s->loop);
}

static void none_exited(void *ctx, uint64_t number, int status, int sig)
{
    (void)ctx, (void)number, (void)status, (void)sig;
}

static void none_line(void *ctx, uint64_t number, char *line TAKES, size_t n)
{
    (void)ctx, (void)number, (void)n;
    free(line);
}

static void none_overlong(void *ctx, uint64_t number)
{
    (void)ctx, (void)number;
}

static void none_drained(void *ctx, uint64_t number, size_t bytes)
{
    (void)ctx, (void)number, (void)bytes;
}

static struct spawn *spawn_new(const struct bench *b, uint64_t number)
{
    struct spawn *s = mem_alloc(sizeof *s);
    s->run = number;
    s->argv = mem_array(2, sizeof *s->argv);
    s->argv[0] = mem_printf("%s/sleeper", b->examples);
    s->env = mem_array(3, sizeof *s->env);
    s->env[0] = mem_dup("SKEP_FD=3");
    s->env[1] = mem_dup("SKEP_RUN=bench/1");
    s->cwd = mem_dup("/");
    s->log = mem_printf("w%04d", (int)number);
    s->channel = true;
    return s;
}

int keepers_spawn(struct bench *b, int keepers, double *ret_s, struct err *e)
{
    AUTOFREE char *dir = folder_new(b->dir, "keeper"), *path = mem_printf("%s/skep-keeper", b->bin);
    const struct keeper_link_callbacks callbacks = {.spawned = one_spawned,
                                                    .failed = one_failed,
                                                    .exited = none_exited,
                                                    .line = none_line,
                                                    .overlong = none_overlong,
                                                    .drained = none_drained,
                                                    .died = keeper_died};
    struct spawning s = {.loop = loop_new(), .left = b->workers};
    struct keeper_link *k[KEEPERS_MAX] = {0};
    int rc = 0;
    for (int i = 0; rc == 0 && i < keepers && i < KEEPERS_MAX; i++)
        rc = keeper_link_new(
            loop_base(s.loop),
            &(struct keeper_link_options){.keeper_path = path, .node = "bench", .log_dir = dir}, &callbacks,
            &s, &k[i], e);
    int64_t start = now_ns();
    if (rc == 0) {
        for (int i = 0; i < b->workers; i++)
            keeper_link_spawn(k[i % keepers], spawn_new(b, (uint64_t)i + 1));
        loop_run(s.loop);
        *ret_s = (double)(now_ns() - start) / 1e9;
        if (s.failed)
            rc = err_set(e, SKEP_EINTERNAL, "the keepers could not spawn %d of %d", s.failed, b->workers);
    }
    for (int i = 0; i < KEEPERS_MAX; i++)
        keeper_link_free(k[i]);
    loop_free(s.loop);
    folder_remove(dir);
    return rc;
}
