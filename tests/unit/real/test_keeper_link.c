/* The keeper and skepd's end of it, with the real skep-keeper and real processes. Each sentence of the
 * architecture about the keeper that can be tested is a test here. Nothing sleeps and hopes: every wait is
 * for a condition, with a deadline.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/str.h"
#include "real/keeper_link.h"

#define KEEPER  SKEP_BUILD_DIR "/bin/skep-keeper"
#define WAIT_MS 20000
#define RUNS    2200

enum { NOTHING, SPAWNED, FAILED, EXITED };

struct seen {
    int state;
    pid_t pid;
    int error, status, signal;
    bool overlong;
    struct str lines; /* each with its newline */
    size_t lines_n, drained_n, queued;
};

struct test {
    struct event_base *base;
    struct keeper_link *link;
    char dir[64], node[40];
    bool died, logs, busy;
    int64_t log_bytes;
    const char *cgroup;
    size_t exits;
    struct seen run[RUNS];
};

/* ---- the driver ---- */

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void on_spawned(void *ctx, uint64_t run, pid_t pid)
{
    struct seen *s = &((struct test *)ctx)->run[run];
    assert_int_equal(s->state, NOTHING);
    s->state = SPAWNED;
    s->pid = pid;
}

static void on_failed(void *ctx, uint64_t run, int error)
{
    struct seen *s = &((struct test *)ctx)->run[run];
    assert_int_equal(s->state, NOTHING);
    s->state = FAILED;
    s->error = error;
}

static void on_exited(void *ctx, uint64_t run, int status, int signal)
{
    struct test *t = ctx;
    struct seen *s = &t->run[run];
    assert_int_equal(s->state, SPAWNED);
    s->state = EXITED;
    s->status = status;
    s->signal = signal;
    t->exits++;
}

static void on_line(void *ctx, uint64_t run, char *line, size_t n)
{
    struct seen *s = &((struct test *)ctx)->run[run];
    assert_int_equal(s->state, SPAWNED);
    str_add(&s->lines, line, n);
    str_putc(&s->lines, '\n');
    s->lines_n++;
    free(line);
}

static void on_overlong(void *ctx, uint64_t run)
{
    ((struct test *)ctx)->run[run].overlong = true;
}

static void on_drained(void *ctx, uint64_t run, size_t queued)
{
    struct seen *s = &((struct test *)ctx)->run[run];
    s->drained_n++;
    s->queued = queued;
}

static void on_died(void *ctx)
{
    struct test *t = ctx;
    assert_false(t->died);
    t->died = true;
}

static bool on_busy(void *ctx)
{
    return ((struct test *)ctx)->busy;
}

static const struct keeper_link_callbacks callbacks = {
    .spawned = on_spawned,
    .failed = on_failed,
    .exited = on_exited,
    .line = on_line,
    .overlong = on_overlong,
    .drained = on_drained,
    .died = on_died,
    .busy = on_busy,
};

static void link_start(struct test *t)
{
    char logs[80];
    struct err e = {0};
    snprintf(logs, sizeof logs, "%s/logs", t->dir);
    const char *other = getenv("SKEP_TEST_KEEPER"); /* one under valgrind */
    struct keeper_link_options o = {.keeper_path = other ? other : KEEPER,
                                    .node = t->node,
                                    .log_dir = t->logs ? logs : NULL,
                                    .log_bytes = t->log_bytes,
                                    .log_files = 3,
                                    .cgroup = t->cgroup};
    t->died = false;
    if (keeper_link_new(t->base, &o, &callbacks, t, &t->link, &e) != 0)
        fail_msg("%s", e.text);
}

static struct test *test_new(void)
{
    static int number;
    struct test *t = mem_alloc(sizeof *t);
    snprintf(t->dir, sizeof t->dir, "/tmp/skep-keeper-XXXXXX");
    assert_non_null(mkdtemp(t->dir));
    assert_int_equal(chmod(t->dir, 0777), 0);
    snprintf(t->node, sizeof t->node, "%020d%012d", (int)getpid(), ++number);
    t->base = event_base_new();
    return t;
}

static int start(void **state)
{
    struct test *t = test_new();
    link_start(t);
    *state = t;
    return 0;
}

static int start_with_logs(void **state)
{
    struct test *t = test_new();
    t->logs = true;
    t->log_bytes = 65536;
    link_start(t);
    *state = t;
    return 0;
}

static int start_bare(void **state)
{
    *state = test_new();
    return 0;
}

static int end(void **state)
{
    struct test *t = *state;
    char command[100];
    keeper_link_free(t->link);
    event_base_free(t->base);
    for (size_t i = 0; i < RUNS; i++)
        str_fini(&t->run[i].lines);
    snprintf(command, sizeof command, "rm -rf %s", t->dir);
    assert_int_equal(system(command), 0);
    free(t);
    return 0;
}

static void turn(struct test *t)
{
    struct timeval tv = {0, 5000};
    event_base_loopexit(t->base, &tv);
    event_base_loop(t->base, EVLOOP_ONCE);
}

#define until(t, cond)                                                                                       \
    do {                                                                                                     \
        int64_t end_ = now_ms() + WAIT_MS;                                                                   \
        while (!(cond)) {                                                                                    \
            if (now_ms() > end_)                                                                             \
                fail_msg("never true: %s", #cond);                                                           \
            turn(t);                                                                                         \
        }                                                                                                    \
    } while (0)

static char **list(const char *const *from)
{
    size_t n = 0;
    while (from[n])
        n++;
    char **to = mem_array(n + 1, sizeof *to);
    for (size_t i = 0; i < n; i++)
        to[i] = mem_dup(from[i]);
    return to;
}

static struct spawn *order(struct test *t, uint64_t run, const char *const *argv)
{
    AUTOFREE char *mark = mem_printf("SKEP_RUN=%s/boot", t->node);
    AUTOFREE char *name = mem_printf("SKEP_NAME=run-%llu", (unsigned long long)run);
    AUTOFREE char *dir = mem_printf("DIR=%s", t->dir);
    struct spawn *s = mem_alloc(sizeof *s);
    s->run = run;
    s->argv = list(argv);
    s->env =
        list((const char *const[]){"PATH=/usr/local/bin:/usr/bin:/bin", "SKEP_FD=3", mark, name, dir, NULL});
    s->cwd = mem_dup(t->dir);
    s->log = mem_printf("out-%llu", (unsigned long long)run);
    s->channel = true;
    return s;
}

static void sh(struct test *t, uint64_t run, const char *script)
{
    keeper_link_spawn(t->link, order(t, run, (const char *const[]){"/bin/sh", "-c", script, NULL}));
}

static const char *lines(struct test *t, uint64_t run)
{
    return str_get(&t->run[run].lines);
}

/* The pid that a worker wrote to its channel as its nth line, from 0. */
static pid_t told_pid(struct test *t, uint64_t run, size_t nth)
{
    until(t, t->run[run].lines_n > nth);
    const char *at = lines(t, run);
    for (; nth; nth--)
        at = strchr(at, '\n') + 1;
    long pid = strtol(at, NULL, 10);
    assert_true(pid > 1);
    return (pid_t)pid;
}

static bool alive(pid_t pid)
{
    char path[40], text[512] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    const char *bracket = n > 0 ? strrchr(text, ')') : NULL;
    return bracket && bracket[2] != 'Z' && bracket[2] != 'X';
}

static bool dead_within(pid_t pid, int ms)
{
    int64_t at = now_ms() + ms;
    while (alive(pid) && now_ms() < at)
        poll(NULL, 0, 2);
    return !alive(pid);
}

static char *file_text(struct test *t, const char *name)
{
    AUTOFREE char *path = mem_printf("%s/%s", t->dir, name);
    struct str s = STR_INIT;
    FILE *f = fopen(path, "r");
    char part[4096];
    for (size_t n; f && (n = fread(part, 1, sizeof part, f)) > 0;)
        str_add(&s, part, n);
    if (f)
        fclose(f);
    return str_take(&s);
}

static bool file_has(struct test *t, const char *name, const char *what)
{
    AUTOFREE char *text = file_text(t, name);
    return strstr(text, what) != NULL;
}

static off_t file_bytes(struct test *t, const char *name)
{
    AUTOFREE char *path = mem_printf("%s/%s", t->dir, name);
    struct stat st;
    return stat(path, &st) == 0 ? st.st_size : -1;
}

/* ---- spawning ---- */

static void test_exit_status_and_signal(void **state)
{
    struct test *t = *state;
    sh(t, 1, "exit 0");
    sh(t, 2, "exit 7");
    sh(t, 3, "kill -9 $$");
    sh(t, 4, "kill -TERM $$");
    until(t, t->exits == 4);
    assert_int_equal(t->run[1].status, 0);
    assert_int_equal(t->run[1].signal, 0);
    assert_int_equal(t->run[2].status, 7);
    assert_int_equal(t->run[3].signal, SIGKILL);
    assert_int_equal(t->run[4].signal, SIGTERM);
}

static void test_exec_errors(void **state)
{
    struct test *t = *state;
    AUTOFREE char *plain = mem_printf("%s/plain", t->dir);
    AUTOFREE char *noformat = mem_printf("%s/noformat", t->dir);
    close(open(plain, O_CREAT | O_WRONLY, 0644));
    int fd = open(noformat, O_CREAT | O_WRONLY, 0755);
    assert_int_equal(write(fd, "\1\2\3\4", 4), 4);
    close(fd);
    keeper_link_spawn(t->link, order(t, 1, (const char *const[]){"/no/such/file", NULL}));
    keeper_link_spawn(t->link, order(t, 2, (const char *const[]){plain, NULL}));
    keeper_link_spawn(t->link, order(t, 3, (const char *const[]){noformat, NULL}));
    keeper_link_spawn(t->link, order(t, 4, (const char *const[]){"no-such-program", NULL}));
    struct spawn *s = order(t, 5, (const char *const[]){"/bin/true", NULL});
    mem_replace(&s->cwd, "/no/such/dir");
    keeper_link_spawn(t->link, s);
    s = order(t, 6, (const char *const[]){"/bin/true", NULL});
    mem_replace(&s->user, "no-such-user");
    keeper_link_spawn(t->link, s);
    s = order(t, 7, (const char *const[]){"/bin/true", NULL});
    mem_replace(&s->log, "../escape");
    keeper_link_spawn(t->link, s);
    int expected[] = {0, ENOENT, EACCES, ENOEXEC, ENOENT, ENOENT, EINVAL, EINVAL};
    for (int i = 1; i <= 7; i++) {
        until(t, t->run[i].state == FAILED);
        assert_int_equal(t->run[i].error, expected[i]);
    }
    sh(t, 8, "exit 3"); /* and it goes on */
    until(t, t->run[8].state == EXITED);
    assert_int_equal(t->exits, 1);
}

/* A hook's program: its input as it is, also by name; its output as lines, errors still go to the log. */
static void test_input_and_answer(void **state)
{
    struct test *t = *state;
    static const char *const scripts[] = {"cat", "cat /dev/stdin; echo told > /dev/stdout; printf end",
                                          "echo x >&2"};
    AUTOSTR struct str big = STR_INIT;
    for (int i = 0; i < 100000; i++)
        str_printf(&big, "%d\n", i);
    for (uint64_t run = 1; run <= 3; run++) {
        struct spawn *s = order(t, run, (const char *const[]){"/bin/sh", "-c", scripts[run - 1], NULL});
        s->channel = false;
        s->answers = true;
        s->input = run == 1 ? mem_copy(big.p, big.n) : mem_dup("{\"a\":1}\n");
        s->input_n = run == 1 ? big.n : strlen(s->input);
        keeper_link_spawn(t->link, s);
    }
    for (uint64_t run = 1; run <= 3; run++) {
        until(t, t->run[run].state == EXITED);
        assert_int_equal(t->run[run].status, 0);
    }
    assert_int_equal(t->run[1].lines_n, 100000);
    assert_string_equal(str_get(&t->run[1].lines), str_get(&big));
    assert_string_equal(str_get(&t->run[2].lines), "{\"a\":1}\ntold\nend\n");
    assert_int_equal(t->run[3].lines_n, 0);
}

static void test_path_of_the_childs_environment(void **state)
{
    struct test *t = *state;
    AUTOFREE char *file = mem_printf("%s/own-program", t->dir);
    AUTOFREE char *path = mem_printf("PATH=/nowhere:%s", t->dir);
    int fd = open(file, O_CREAT | O_WRONLY, 0755);
    assert_int_equal(write(fd, "#!/bin/sh\nexit 42\n", 18), 18);
    close(fd);
    struct spawn *s = order(t, 1, (const char *const[]){"own-program", NULL});
    mem_replace(&s->env[0], path);
    keeper_link_spawn(t->link, s);
    until(t, t->run[1].state == EXITED);
    assert_int_equal(t->run[1].status, 42);
}

static void test_surroundings_of_a_child(void **state)
{
    struct test *t = *state;
    signal(SIGUSR2, SIG_IGN); /* a keeper started by somebody who ignores signals */
    keeper_link_free(t->link);
    link_start(t);
    signal(SIGUSR2, SIG_DFL);
    sh(t, 1,
       "exec 9>&1; env | sort | tr '\\n' ' ' >&3; echo >&3; pwd >&3; readlink /proc/self/fd/0 >&3;"
       "(ls /proc/$$/fd >fds); tr '\\n' ' ' <fds >&3; echo >&3;"
       "grep -E 'SigBlk|SigIgn' /proc/self/status | tr -d '\\n' >&3; echo >&3;"
       "cut -d' ' -f1,5,6 /proc/$$/stat >&3; cat /proc/self/oom_score_adj >&3; ulimit -n >&3");
    until(t, t->run[1].state == EXITED);
    char expected[800], mine[16] = "", limit[32];
    FILE *f = fopen("/proc/self/oom_score_adj", "r");
    assert_non_null(f);
    assert_non_null(fgets(mine, sizeof mine, f));
    fclose(f);
    int pid = (int)t->run[1].pid;
    snprintf(limit, sizeof limit, "%ld", sysconf(_SC_OPEN_MAX));
    snprintf(
        expected, sizeof expected,
        "DIR=%s PATH=/usr/local/bin:/usr/bin:/bin PWD=%s SKEP_FD=3 SKEP_NAME=run-1 SKEP_RUN=%s/boot \n"
        "%s\n/dev/null\n0 1 2 3 9 \nSigBlk:\t0000000000000000SigIgn:\t0000000000000000\n%d %d %d\n%s%s\n",
        t->dir, t->dir, t->node, t->dir, pid, pid, pid, mine, limit);
    assert_string_equal(lines(t, 1), expected);
}

static void test_no_channel(void **state)
{
    struct test *t = *state;
    struct spawn *s = order(t, 1, (const char *const[]){"/bin/sh", "-c", "test ! -e /proc/self/fd/3", NULL});
    s->channel = false;
    keeper_link_spawn(t->link, s);
    keeper_link_line(t->link, 1, mem_dup("into the void"), 13);
    until(t, t->run[1].state == EXITED);
    assert_int_equal(t->run[1].status, 0);
}

static void test_user(void **state)
{
    struct test *t = *state;
    if (geteuid() != 0) {
        print_message("skipped: only root can become somebody else\n");
        skip();
    }
    struct spawn *s =
        order(t, 1,
              (const char *const[]){"/bin/sh", "-c",
                                    "id -u >&3; id -G >&3; echo err >/dev/stderr && exec sleep 1000", NULL});
    mem_replace(&s->user, "nobody");
    keeper_link_spawn(t->link, s);
    until(t, t->run[1].lines_n == 2);
    assert_string_equal(lines(t, 1), "65534\n65534\n");
    /* The parent-death signal was asked for after the change of user, or it would be forgotten. */
    kill(keeper_link_pid(t->link), SIGKILL);
    assert_true(dead_within(t->run[1].pid, 2000));
}

static void test_many_quick_spawns(void **state)
{
    struct test *t = *state;
    for (uint64_t i = 1; i <= 200; i++)
        keeper_link_spawn(t->link, order(t, i, (const char *const[]){"/bin/true", NULL}));
    until(t, t->exits == 200);
    for (uint64_t i = 1; i <= 200; i++)
        assert_int_equal(t->run[i].status, 0);
}

static void test_a_thousand_live_at_once_and_end_at_once(void **state)
{
    struct test *t = *state;
    int64_t from = now_ms();
    for (uint64_t i = 1; i <= 1000; i++)
        keeper_link_spawn(t->link, order(t, i, (const char *const[]){"/bin/sleep", "1000", NULL}));
    for (uint64_t i = 1; i <= 1000; i++)
        until(t, t->run[i].state == SPAWNED);
    print_message("1000 spawned in %lld ms\n", (long long)(now_ms() - from));
    from = now_ms();
    for (uint64_t i = 1; i <= 1000; i++)
        keeper_link_kill(t->link, i);
    until(t, t->exits == 1000);
    print_message("1000 killed in %lld ms\n", (long long)(now_ms() - from));
    for (uint64_t i = 1; i <= 1000; i++)
        assert_int_equal(t->run[i].signal, SIGKILL);
}

static void test_cancelled_before_it_was_sent(void **state)
{
    struct test *t = *state;
    sh(t, 1, "exit 0");
    keeper_link_kill(t->link, 1);
    until(t, t->run[1].state == FAILED);
    assert_int_equal(t->run[1].error, ECANCELED);
}

static void test_no_keeper_there(void **state)
{
    struct test *t = *state;
    struct err e = {0};
    struct keeper_link_options o = {.keeper_path = "/no/such/keeper", .node = t->node};
    assert_true(keeper_link_new(t->base, &o, &callbacks, t, &t->link, &e) < 0);
    assert_non_null(strstr(e.text, "/no/such/keeper"));
    assert_null(t->link);
}

/* ---- ending ---- */

static void test_terminate_reaches_the_group(void **state)
{
    struct test *t = *state;
    sh(t, 1,
       "(trap 'echo inner >&3; exit' TERM; echo up >&3; while :; do sleep 0.05; done) &"
       "trap 'wait; echo outer >&3; exit 5' TERM; wait; wait");
    until(t, t->run[1].lines_n == 1);
    keeper_link_terminate(t->link, 1);
    until(t, t->run[1].state == EXITED);
    assert_non_null(strstr(lines(t, 1), "inner\n"));
    assert_int_equal(t->run[1].signal, 0);
}

static void test_kill_ends_who_ignores_signals(void **state)
{
    struct test *t = *state;
    sh(t, 1, "trap '' TERM INT HUP; echo up >&3; while :; do sleep 1; done");
    until(t, t->run[1].lines_n == 1);
    keeper_link_terminate(t->link, 1);
    keeper_link_kill(t->link, 1);
    until(t, t->run[1].state == EXITED);
    assert_int_equal(t->run[1].signal, SIGKILL);
}

static void test_kill_ends_who_is_stopped(void **state)
{
    struct test *t = *state;
    sh(t, 1, "echo $$ >&3; kill -STOP $$");
    told_pid(t, 1, 0);
    keeper_link_kill(t->link, 1);
    until(t, t->run[1].state == EXITED);
}

#define STRAY "setsid sh -c 'echo $$ >&3; exec 3>&-; exec sleep 1000' </dev/null >/dev/null 2>&1 &"

static void test_kill_ends_grandchildren_with_sessions_of_their_own(void **state)
{
    struct test *t = *state;
    sh(t, 1, STRAY STRAY "exec sleep 1000");
    pid_t a = told_pid(t, 1, 0), b = told_pid(t, 1, 1);
    keeper_link_kill(t->link, 1);
    until(t, t->run[1].state == EXITED);
    assert_false(alive(a));
    assert_false(alive(b));
}

static void test_exit_takes_grandchildren_along(void **state)
{
    struct test *t = *state;
    sh(t, 1, STRAY "read line <&3; exit 4");
    sh(t, 2, STRAY "exec sleep 1000");
    pid_t mine = told_pid(t, 1, 0), others = told_pid(t, 2, 0);
    keeper_link_line(t->link, 1, mem_dup("end"), 3);
    until(t, t->run[1].state == EXITED);
    assert_int_equal(t->run[1].status, 4);
    assert_false(alive(mine));
    assert_true(alive(others));
    assert_int_equal(t->run[2].state, SPAWNED);
}

/* Forked twice and gone to a session of its own: it was ours to adopt long before its run ended. */
static void test_daemons_end_with_their_run(void **state)
{
    struct test *t = *state;
    sh(t, 1, "(" STRAY "); read line <&3");
    sh(t, 2, "(" STRAY "); read line <&3");
    pid_t mine = told_pid(t, 1, 0), others = told_pid(t, 2, 0);
    keeper_link_kill(t->link, 1);
    until(t, t->run[1].state == EXITED);
    assert_false(alive(mine));
    assert_true(alive(others));
}

/* A worker's helper with so many MiB; then it does what is said. */
static void large(struct test *t, int mib, const char *then)
{
    AUTOFREE char *path = mem_printf("%s/large", t->dir);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f,
            "import os, sys, time\nx = b'x' * (%d << 20)\nif len(sys.argv) == 1:\n"
            "    os.write(3, b'%%d\\n' %% os.getpid())\n    os.close(3)\n%s\n",
            mib, then);
    assert_int_equal(fclose(f), 0);
}
#define LARGE "setsid python3 -S ./large </dev/null >/dev/null 2>&1 &"

/* The keeper knows whose a stray is by its environment. Who dies has none any more, for as long as it takes
 * to give its memory back; who executes another program has none yet. */
static void test_who_dies_slowly_ends_before_its_run(void **state)
{
    struct test *t = *state;
    large(t, 256, "time.sleep(1000)");
    sh(t, 1, LARGE "exec sleep 1000");
    pid_t stray = told_pid(t, 1, 0);
    keeper_link_kill(t->link, 1);
    until(t, t->run[1].state == EXITED);
    assert_false(alive(stray));
}

static void test_daemons_in_the_midst_of_exec_end_with_their_run(void **state)
{
    struct test *t = *state;
    enum { DAEMONS = 6 };
    large(t, 48, "os.execv(sys.executable, [sys.executable, '-S', './large', 'again'])");
    sh(t, 1, "for i in 1 2 3 4 5 6; do (" LARGE "); done; read line <&3");
    pid_t daemons[DAEMONS];
    for (size_t i = 0; i < DAEMONS; i++)
        daemons[i] = told_pid(t, 1, i);
    keeper_link_kill(t->link, 1);
    until(t, t->run[1].state == EXITED);
    for (size_t i = 0; i < DAEMONS; i++)
        assert_false(alive(daemons[i]));
}

/* Children of a killed process keep being born while it dies. */
static void test_nothing_outruns_the_kill(void **state)
{
    struct test *t = *state;
    sh(t, 1,
       "f() { while :; do setsid sh -c ':' & setsid sh -c 'sleep 0.2' & wait $!; done; };"
       "f & f & f & echo up >&3; wait");
    until(t, t->run[1].lines_n == 1);
    keeper_link_kill(t->link, 1);
    until(t, t->run[1].state == EXITED);
    AUTOFREE char *look =
        mem_printf("grep -alzx 'SKEP_RUN=%s/boot' /proc/[0-9]*/environ 2>/dev/null", t->node);
    int rc = system(look);
    assert_true(WIFEXITED(rc) && WEXITSTATUS(rc) != 0);
}

static void test_a_leaked_channel_does_not_hide_the_end(void **state)
{
    struct test *t = *state;
    int thief[2];
    assert_int_equal(pipe(thief), 0);
    /* A process outside of the run holds the worker's end: opened through /proc it would be another. */
    sh(t, 1, "echo $$ >&3; exec sleep 1000");
    pid_t pid = told_pid(t, 1, 0);
    pid_t holder = fork();
    if (holder == 0) {
        close(thief[0]);
        int self = (int)syscall(434, pid, 0);    /* pidfd_open */
        int fd = (int)syscall(438, self, 3, 0);  /* pidfd_getfd: its channel */
        int out = (int)syscall(438, self, 1, 0); /* and its output */
        char ok = fd >= 0 && out >= 0 ? 'y' : 'n';
        if (write(thief[1], &ok, 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    char ok = 0;
    close(thief[1]);
    assert_int_equal(read(thief[0], &ok, 1), 1);
    close(thief[0]);
    if (ok == 'y') {
        keeper_link_kill(t->link, 1);
        until(t, t->run[1].state == EXITED);
    }
    kill(holder, SIGKILL);
    waitpid(holder, NULL, 0);
    assert_int_equal(ok, 'y');
}

static void test_shutdown_kills_and_waits(void **state)
{
    struct test *t = *state;
    sh(t, 1, STRAY "trap '' TERM; while :; do sleep 1; done");
    pid_t stray = told_pid(t, 1, 0);
    pid_t keeper = keeper_link_pid(t->link), main_pid = t->run[1].pid;
    keeper_link_shutdown(t->link, 5000);
    assert_false(alive(keeper));
    assert_false(alive(main_pid));
    assert_false(alive(stray));
    assert_false(t->died);
}

static void test_signals_to_the_keeper_are_ignored(void **state)
{
    struct test *t = *state;
    sh(t, 1, "read line <&3; exit 6");
    until(t, t->run[1].state == SPAWNED);
    int all[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGPIPE, SIGALRM};
    for (size_t i = 0; i < COUNT(all); i++)
        assert_int_equal(kill(keeper_link_pid(t->link), all[i]), 0);
    keeper_link_line(t->link, 1, mem_dup("go"), 2);
    until(t, t->run[1].state == EXITED);
    assert_int_equal(t->run[1].status, 6);
    assert_false(t->died);
}

/* ---- the channel ---- */

static void test_echo(void **state)
{
    struct test *t = *state;
    sh(t, 1, "while read -r line <&3; do echo \"$line\" >&3; done");
    keeper_link_line(t->link, 1, mem_dup("first"), 5); /* before it runs */
    until(t, t->run[1].state == SPAWNED);
    keeper_link_line(t->link, 1, mem_dup("second line"), 11);
    keeper_link_line(t->link, 1, mem_dup("{\"a\":\"\\u00e9\"}"), 14);
    until(t, t->run[1].lines_n == 3);
    assert_string_equal(lines(t, 1), "first\nsecond line\n{\"a\":\"\\u00e9\"}\n");
    assert_true(t->run[1].drained_n > 0);
    assert_int_equal(t->run[1].queued, 0);
}

static void test_what_was_said_before_the_end_arrives(void **state)
{
    struct test *t = *state;
    sh(t, 1, "seq 1 20000 >&3; printf unfinished >&3");
    until(t, t->run[1].state == EXITED);
    assert_int_equal(t->run[1].lines_n, 20000);
    assert_non_null(strstr(lines(t, 1), "\n20000\n"));
    assert_null(strstr(lines(t, 1), "unfinished"));
}

static void test_bytes_that_wait_are_told(void **state)
{
    struct test *t = *state;
    size_t n = 1 << 20;
    sh(t, 1, "echo up >&3; kill -STOP $$; head -c 3145731 <&3 | wc -c >&3");
    until(t, t->run[1].lines_n == 1);
    for (int i = 0; i < 3; i++) {
        char *line = mem_alloc(n + 1);
        memset(line, 'x', n);
        keeper_link_line(t->link, 1, line, n);
    }
    until(t, t->run[1].drained_n > 0);
    assert_in_range(t->run[1].queued, 1, 3 * n);
    until(t, (t->run[1].state == EXITED || kill(t->run[1].pid, SIGCONT) == 0) && t->run[1].lines_n == 2);
    assert_int_equal(t->run[1].queued, 0);
    assert_string_equal(lines(t, 1), "up\n3145731\n");
}

/* Something else takes longer than several looks at who may be read from. */
static void meanwhile(struct test *t, uint64_t run)
{
    sh(t, run, "exec sleep 0.6");
    until(t, t->run[run].state == EXITED);
}

static void test_lines_wait_while_nobody_can_take_them(void **state)
{
    struct test *t = *state;
    t->busy = true;
    sh(t, 1, "exec yes line >&3");
    until(t, t->run[1].state == SPAWNED);
    meanwhile(t, 2);
    assert_int_equal(t->run[1].lines_n, 0);
    t->busy = false;
    until(t, t->run[1].lines_n > 100000);
    keeper_link_kill(t->link, 1);
    until(t, t->run[1].state == EXITED);
}

/* Else the answers to what it says would pile up here. */
static void test_who_does_not_read_is_not_read_from(void **state)
{
    struct test *t = *state;
    size_t n = 5 << 20;
    char *line = mem_alloc(n + 1);
    memset(line, 'x', n);
    sh(t, 1, "exec yes line >&3");
    until(t, t->run[1].lines_n > 10);
    keeper_link_line(t->link, 1, line, n);
    meanwhile(t, 2);
    size_t before = t->run[1].lines_n;
    meanwhile(t, 3);
    assert_int_equal(t->run[1].lines_n, before);
    keeper_link_kill(t->link, 1);
    until(t, t->run[1].state == EXITED);
}

static void test_giant_lines(void **state)
{
    struct test *t = *state;
    /* 8 MiB exactly is a line; one byte more is the end of the worker. */
    sh(t, 1, "head -c 8388608 /dev/zero | tr '\\0' x >&3; echo >&3; echo after >&3");
    sh(t, 2, "head -c 8388609 /dev/zero | tr '\\0' x >&3; echo >&3; echo after >&3; exec sleep 1000");
    sh(t, 3, "exec cat /dev/zero >&3");
    until(t, t->exits == 3);
    assert_int_equal(t->run[1].lines_n, 2);
    assert_int_equal(t->run[1].lines.n, 8388608 + 1 + 6);
    assert_false(t->run[1].overlong);
    for (int i = 2; i <= 3; i++) {
        assert_true(t->run[i].overlong);
        assert_int_equal(t->run[i].lines_n, 0);
        assert_int_equal(t->run[i].signal, SIGKILL);
    }
}

static void test_a_closed_channel_is_not_the_end(void **state)
{
    struct test *t = *state;
    sh(t, 1, "echo last >&3; exec 3>&-; while test ! -e $DIR/go; do sleep 0.01; done; exit 9");
    until(t, t->run[1].lines_n == 1);
    for (int i = 0; i < 3; i++) {
        keeper_link_line(t->link, 1, mem_dup("nobody reads"), 12);
        turn(t);
    }
    AUTOFREE char *go = mem_printf("%s/go", t->dir);
    close(open(go, O_CREAT | O_WRONLY, 0644));
    until(t, t->run[1].state == EXITED);
    assert_int_equal(t->run[1].status, 9);
}

static void test_python_worker(void **state)
{
    struct test *t = *state;
    if (access("/usr/bin/python3", X_OK) != 0) {
        print_message("skipped: no python3\n");
        skip();
    }
    static const char script[] = "import os,socket\n"
                                 "s=socket.socket(fileno=int(os.environ['SKEP_FD'])).makefile('rw')\n"
                                 "for line in s:\n"
                                 "  s.write(line.strip()[::-1]+'\\n'); s.flush()\n";
    keeper_link_spawn(t->link, order(t, 1, (const char *const[]){"/usr/bin/python3", "-c", script, NULL}));
    keeper_link_line(t->link, 1, mem_dup("abc"), 3);
    until(t, t->run[1].lines_n == 1);
    assert_string_equal(lines(t, 1), "cba\n");
}

/* A container may refuse that even to root. */
static bool may_lower_oom(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        int fd = open("/proc/self/oom_score_adj", O_WRONLY);
        _exit(fd >= 0 && write(fd, "-1000", 5) == 5);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 1;
}

static void test_the_keeper_is_shielded(void **state)
{
    struct test *t = *state;
    AUTOFREE char *path = mem_printf("/proc/%d/oom_score_adj", (int)keeper_link_pid(t->link));
    AUTOFREE char *status = mem_printf("/proc/%d/status", (int)keeper_link_pid(t->link));
    char oom[16] = "", line[256];
    long locked = 0;
    sh(t, 1, "exit 0"); /* by then it is ready */
    until(t, t->run[1].state == EXITED);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_non_null(fgets(oom, sizeof oom, f));
    fclose(f);
    f = fopen(status, "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "VmLck: %ld", &locked) == 1)
            break;
    fclose(f);
    assert_string_equal(oom, may_lower_oom() ? "-1000\n" : "0\n");
#ifndef __SANITIZE_ADDRESS__ /* which swallows mlockall */
    assert_true(locked > 0);
#else
    assert_int_equal(locked, 0);
#endif
}

/* ---- skepd gone, stopped, late ---- */

struct fake {
    pid_t pid;
    pid_t keeper, child, stray;
    int hold; /* a leaked copy of everything that skepd had open */
};

/* A skepd in a process of its own, with one child and a stray grandchild. deadline_ms: fed once. */
static struct fake fake_skepd(struct test *t, int deadline_ms, bool go_on_feeding)
{
    int told[2], hold[2];
    assert_int_equal(pipe(told), 0);
    assert_int_equal(pipe(hold), 0);
    pid_t pid = fork();
    if (pid == 0) {
        t->base = event_base_new();
        link_start(t);
        sh(t, 1, "(" STRAY "); exec sleep 1000");
        struct fake f = {.keeper = keeper_link_pid(t->link), .stray = told_pid(t, 1, 0)};
        until(t, t->run[1].state == SPAWNED);
        f.child = t->run[1].pid;
        if (deadline_ms)
            keeper_link_feed(t->link, deadline_ms);
        pid_t leak = fork(); /* keeps the socket open when skepd is gone */
        if (leak == 0) {
            char c;
            close(hold[1]);
            _exit(read(hold[0], &c, 1) == 0 ? 0 : 1);
        }
        close(hold[1]);
        if (write(told[1], &f, sizeof f) != sizeof f)
            _exit(1);
        while (!t->died) {
            turn(t);
            if (go_on_feeding)
                keeper_link_feed(t->link, deadline_ms);
        }
        _exit(99);
    }
    struct fake f = {0};
    close(told[1]);
    close(hold[0]);
    assert_int_equal(read(told[0], &f, sizeof f), sizeof f);
    close(told[0]);
    f.pid = pid;
    f.hold = hold[1];
    assert_true(alive(f.keeper) && alive(f.child) && alive(f.stray));
    return f;
}

static void fake_end(struct fake *f)
{
    kill(f->pid, SIGKILL);
    waitpid(f->pid, NULL, 0);
    close(f->hold);
    assert_true(dead_within(f->keeper, 2000));
}

static void test_skepd_killed(void **state)
{
    struct fake f = fake_skepd(*state, 0, false);
    int64_t at = now_ms();
    kill(f.pid, SIGKILL);
    assert_true(dead_within(f.child, 500) && dead_within(f.stray, 500) && dead_within(f.keeper, 500));
    print_message("all dead %lld ms after skepd\n", (long long)(now_ms() - at));
    fake_end(&f);
}

static void test_skepd_stopped_past_its_deadline(void **state)
{
    struct fake f = fake_skepd(*state, 400, true);
    kill(f.pid, SIGSTOP);
    assert_true(dead_within(f.child, 1500) && dead_within(f.stray, 500) && dead_within(f.keeper, 500));
    fake_end(&f);
}

static void test_skepd_that_feeds_keeps_its_children(void **state)
{
    struct fake f = fake_skepd(*state, 400, true);
    assert_false(dead_within(f.child, 1500));
    assert_true(alive(f.stray));
    fake_end(&f);
}

static void test_skepd_stopped_without_a_deadline(void **state)
{
    struct fake f = fake_skepd(*state, 0, false);
    kill(f.pid, SIGSTOP);
    assert_false(dead_within(f.child, 4000));
    kill(f.pid, SIGCONT);
    /* And back: its own stop is not the keeper's silence. */
    assert_false(dead_within(f.keeper, 1000));
    assert_true(alive(f.child));
    fake_end(&f);
}

static void test_deadline_can_be_taken_back(void **state)
{
    struct test *t = *state;
    sh(t, 1, "exec sleep 1000");
    until(t, t->run[1].state == SPAWNED);
    keeper_link_feed(t->link, 300);
    keeper_link_feed(t->link, 0);
    int64_t at = now_ms() + 800;
    until(t, now_ms() > at);
    assert_true(alive(t->run[1].pid));
    keeper_link_feed(t->link, 100);
    until(t, t->died);
    assert_false(alive(t->run[1].pid));
    assert_true(keeper_link_starved(t->link));
}

/* A feed that arrives after the deadline does not undo it: the lease is gone. */
static void test_a_passed_deadline_is_final(void **state)
{
    struct test *t = *state;
    sh(t, 1, "exec sleep 1000");
    until(t, t->run[1].state == SPAWNED);
    keeper_link_feed(t->link, 300);
    kill(keeper_link_pid(t->link), SIGSTOP);
    int64_t at = now_ms() + 600;
    until(t, now_ms() > at);
    keeper_link_feed(t->link, 60000);
    kill(keeper_link_pid(t->link), SIGCONT);
    until(t, t->died);
    assert_false(alive(t->run[1].pid));
    assert_true(keeper_link_starved(t->link));
}

static void test_a_keeper_that_was_fed_did_not_starve(void **state)
{
    struct test *t = *state;
    keeper_link_feed(t->link, 60000);
    kill(keeper_link_pid(t->link), SIGKILL);
    until(t, t->died);
    assert_false(keeper_link_starved(t->link));
}

/* ---- the keeper gone, stopped ---- */

static void test_keeper_killed(void **state)
{
    struct test *t = *state;
    sh(t, 1, "exec sleep 1000");
    sh(t, 2, "sleep 1000 & echo $! >&3; " STRAY " wait");
    pid_t inner = told_pid(t, 2, 0), stray = told_pid(t, 2, 1);
    until(t, t->run[1].state == SPAWNED);
    kill(keeper_link_pid(t->link), SIGKILL);
    /* Nobody turns the loop here: PR_SET_PDEATHSIG alone kills the main processes. */
    assert_true(dead_within(t->run[1].pid, 1000));
    until(t, t->died);
    assert_false(alive(inner));
    assert_false(alive(stray));
    assert_string_equal(keeper_link_why(t->link), "the keeper ended");
    sh(t, 3, "exit 0"); /* harmless now */
    keeper_link_kill(t->link, 1);
    keeper_link_line(t->link, 1, mem_dup("x"), 1);
}

static void test_keeper_stopped(void **state)
{
    struct test *t = *state;
    sh(t, 1, "sleep 1000 & echo $! >&3; " STRAY " wait");
    pid_t inner = told_pid(t, 1, 0), stray = told_pid(t, 1, 1), keeper = keeper_link_pid(t->link);
    int64_t at = now_ms();
    kill(keeper, SIGSTOP);
    until(t, t->died);
    assert_in_range(now_ms() - at, KEEPER_SILENCE_MS - 300, KEEPER_SILENCE_MS + 2500);
    assert_false(alive(t->run[1].pid));
    assert_false(alive(inner));
    assert_false(alive(stray));
    assert_false(alive(keeper));
    assert_string_equal(keeper_link_why(t->link), "the keeper does not answer");
}

/* A link may follow a dead one in the same skepd. */
static void test_another_keeper_after_a_dead_one(void **state)
{
    struct test *t = *state;
    kill(keeper_link_pid(t->link), SIGKILL);
    until(t, t->died);
    keeper_link_free(t->link);
    link_start(t);
    sh(t, 2, "exit 8");
    until(t, t->run[2].state == EXITED);
    assert_int_equal(t->run[2].status, 8);
}

static void test_leftovers_of_an_older_run(void **state)
{
    struct test *t = *state;
    pid_t left[3];
    AUTOFREE char *mine = mem_printf("SKEP_RUN=%s/older", t->node);
    AUTOFREE char *others = mem_printf("SKEP_RUN=%sf/older", t->node);
    for (int i = 0; i < 3; i++) {
        left[i] = fork();
        if (left[i] == 0) {
            char *env[] = {"A=b", i < 2 ? mine : others, NULL};
            signal(SIGTERM, SIG_IGN);
            execle("/bin/sleep", "sleep", "1000", NULL, env);
            _exit(127);
        }
    }
    char comm[40], text[16] = "";
    for (int i = 0; i < 3; i++) { /* until exec has put the mark there */
        snprintf(comm, sizeof comm, "/proc/%d/comm", (int)left[i]);
        for (int64_t at = now_ms() + WAIT_MS; strcmp(text, "sleep\n") != 0 && now_ms() < at;
             poll(NULL, 0, 1)) {
            FILE *f = fopen(comm, "r");
            if (!f || !fgets(text, sizeof text, f))
                text[0] = 0;
            if (f)
                fclose(f);
        }
        assert_string_equal(text, "sleep\n");
        text[0] = 0;
    }
    link_start(t);
    sh(t, 1, "exit 0");
    until(t, t->run[1].state != NOTHING);
    assert_false(alive(left[0]));
    assert_false(alive(left[1]));
    assert_true(alive(left[2]));
    kill(left[2], SIGKILL);
    for (int i = 0; i < 3; i++)
        waitpid(left[i], NULL, 0);
}

/* ---- output ---- */

static pid_t log_process(struct test *t)
{
    char path[64], text[4096] = "";
    pid_t found = 0;
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)keeper_link_pid(t->link),
             (int)keeper_link_pid(t->link));
    int fd = open(path, O_RDONLY);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    close(fd);
    for (char *at = text, *next; n > 0 && *at && !found; at = next) {
        long pid = strtol(at, &next, 10);
        char cmd[128] = "";
        if (next == at)
            break;
        snprintf(path, sizeof path, "/proc/%ld/cmdline", pid);
        fd = open(path, O_RDONLY);
        n = fd < 0 ? 0 : read(fd, cmd, sizeof cmd - 1);
        close(fd);
        if (n > 18 && strcmp(cmd, "skep-keeper") == 0 && strcmp(cmd + 12, "--log") == 0)
            found = (pid_t)pid;
        n = 1;
    }
    return found;
}

static void test_output_is_kept(void **state)
{
    struct test *t = *state;
    sh(t, 1, "echo to stdout; echo to stderr >&2");
    until(t, t->run[1].state == EXITED);
    until(t, file_has(t, "logs/out-1.log", "to stdout\nto stderr\n"));
}

static void test_log_files_are_bounded(void **state)
{
    struct test *t = *state;
    sh(t, 1, "seq 1 200000; echo the end"); /* 1.3 MB into 3 x 64 KiB */
    until(t, t->run[1].state == EXITED);
    until(t, file_has(t, "logs/out-1.log", "the end\n"));
    assert_in_range(file_bytes(t, "logs/out-1.log"), 1, 65536);
    assert_in_range(file_bytes(t, "logs/out-1.log.1"), 1, 65536);
    assert_in_range(file_bytes(t, "logs/out-1.log.2"), 1, 65536);
    assert_int_equal(file_bytes(t, "logs/out-1.log.3"), -1);
}

static void test_reopened_logs(void **state)
{
    struct test *t = *state;
    sh(t, 1, "while read -r line <&3; do echo \"$line\"; done");
    keeper_link_line(t->link, 1, mem_dup("before"), 6);
    until(t, file_has(t, "logs/out-1.log", "before"));
    AUTOFREE char *from = mem_printf("%s/logs/out-1.log", t->dir);
    AUTOFREE char *to = mem_printf("%s/moved", t->dir);
    assert_int_equal(rename(from, to), 0);
    keeper_link_reopen_logs(t->link);
    until(t, (keeper_link_line(t->link, 1, mem_dup("after"), 5), file_has(t, "logs/out-1.log", "after")));
    assert_true(file_has(t, "moved", "before"));
}

static void test_log_process_killed(void **state)
{
    struct test *t = *state;
    sh(t, 1, "while read -r line <&3; do echo \"$line\"; done");
    keeper_link_line(t->link, 1, mem_dup("one"), 3);
    until(t, file_has(t, "logs/out-1.log", "one\n"));
    pid_t first = log_process(t);
    assert_true(first > 0);
    kill(first, SIGKILL);
    keeper_link_line(t->link, 1, mem_dup("two"), 3);
    until(t, file_has(t, "logs/out-1.log", "two\n"));
    assert_int_equal(t->run[1].state, SPAWNED);
    assert_false(t->died);
    /* What a run said before it ended is not lost either, though no log process is there at its end. */
    kill(log_process(t), SIGKILL);
    keeper_link_line(t->link, 1, mem_dup("last words"), 10);
    until(t, t->run[1].drained_n >= 3);
    keeper_link_spawn(t->link, order(t, 2, (const char *const[]){"/bin/echo", "short life", NULL}));
    until(t, t->run[2].state == EXITED);
    until(t, file_has(t, "logs/out-1.log", "last words\n") && file_has(t, "logs/out-2.log", "short life\n"));
}

static void test_log_process_stopped(void **state)
{
    struct test *t = *state;
    sh(t, 1, "echo up; while read -r line <&3; do seq 1 100000; echo \"$line\" >&3; done");
    until(t, file_has(t, "logs/out-1.log", "up\n"));
    pid_t first = log_process(t);
    kill(first, SIGSTOP);
    keeper_link_line(t->link, 1, mem_dup("written"), 7); /* more than a pipe holds */
    until(t, t->run[1].lines_n == 1);
    assert_false(alive(first));
    assert_false(t->died);
}

static void test_full_log_disk(void **state)
{
    struct test *t = *state;
    AUTOFREE char *logs = mem_printf("%s/logs", t->dir);
    AUTOFREE char *ballast = mem_printf("%s/logs/ballast", t->dir);
    mkdir(logs, 0755);
    if (mount("none", logs, "tmpfs", 0, "size=128k") != 0) {
        print_message("skipped: no small tmpfs here (%s)\n", strerror(errno));
        skip();
    }
    int fd = open(ballast, O_CREAT | O_WRONLY, 0600);
    static const char block[4096] = {1};
    while (write(fd, block, sizeof block) > 0)
        continue;
    close(fd);
    sh(t, 1, "while read -r n <&3; do seq 1 $n; echo \"$n\" >&3; done");
    keeper_link_line(t->link, 1, mem_dup("100000"), 6); /* more than what takes it could hold back */
    until(t, t->run[1].lines_n == 1);
    assert_int_equal(t->run[1].state, SPAWNED);
    assert_int_equal(unlink(ballast), 0);
    keeper_link_line(t->link, 1, mem_dup("10"), 2); /* too little to push the marker out of the files */
    until(t, t->run[1].lines_n == 2);
    until(t, file_has(t, "logs/out-1.log.1", "bytes of output were lost here: No space left on device]") ||
                 file_has(t, "logs/out-1.log", "bytes of output were lost here: No space left on device]") ||
                 file_has(t, "logs/out-1.log.2", "bytes of output were lost here: No space left on device]"));
    keeper_link_shutdown(t->link, 5000);
    assert_int_equal(umount2(logs, MNT_DETACH), 0);
}

/* ---- cgroup ---- */

static char *cgroup_root(void)
{
    FILE *f = fopen("/proc/self/mounts", "r");
    char line[1024], at[512], type[64];
    char *found = NULL;
    while (f && !found && fgets(line, sizeof line, f))
        if (sscanf(line, "%*s %511s %63s", at, type) == 2 && strcmp(type, "cgroup2") == 0)
            found = mem_dup(at);
    if (f)
        fclose(f);
    return found;
}

static void test_a_cgroup_holds_who_drops_everything(void **state)
{
    struct test *t = *state;
    AUTOFREE char *root = cgroup_root();
    AUTOFREE char *dir = root ? mem_printf("%s/skep-test-%d", root, (int)getpid()) : NULL;
    AUTOFREE char *run = dir ? mem_printf("%s/run-1", dir) : NULL;
    if (!dir || mkdir(dir, 0755) != 0) {
        print_message("skipped: no writable cgroup v2\n");
        skip();
    }
    t->cgroup = dir;
    link_start(t);
    sh(t, 1,
       "(env -i setsid /bin/sh -c 'echo $$ >&3; exec 3>&-; exec sleep 1000' </dev/null >/dev/null 2>&1 &);"
       "exec sleep 1000");
    pid_t stray = told_pid(t, 1, 0);
    assert_int_equal(access(run, F_OK), 0);
    keeper_link_kill(t->link, 1);
    until(t, t->run[1].state == EXITED);
    assert_false(alive(stray));
    assert_int_not_equal(access(run, F_OK), 0);
    keeper_link_shutdown(t->link, 5000);
    assert_int_equal(rmdir(dir), 0);
}

/* Without a cgroup this is the documented limit; but it does not outlive the keeper. */
static void test_who_drops_everything_dies_with_the_keeper(void **state)
{
    struct test *t = *state;
    sh(t, 1,
       "(env -i setsid /bin/sh -c 'echo $$ >&3; exec 3>&-; exec sleep 1000' </dev/null >/dev/null 2>&1 &);"
       "read line <&3");
    pid_t stray = told_pid(t, 1, 0);
    keeper_link_line(t->link, 1, mem_dup("end"), 3);
    until(t, t->run[1].state == EXITED);
    keeper_link_shutdown(t->link, 5000);
    assert_false(alive(stray));
}

#define T(f)    cmocka_unit_test_setup_teardown(f, start, end)
#define LOGS(f) cmocka_unit_test_setup_teardown(f, start_with_logs, end)
#define BARE(f) cmocka_unit_test_setup_teardown(f, start_bare, end)

/* With an argument: only the tests that match it. */
int main(int argc, char **argv)
{
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        T(test_exit_status_and_signal),
        T(test_exec_errors),
        T(test_input_and_answer),
        T(test_path_of_the_childs_environment),
        T(test_surroundings_of_a_child),
        T(test_no_channel),
        T(test_user),
        T(test_many_quick_spawns),
        LOGS(test_a_thousand_live_at_once_and_end_at_once),
        T(test_cancelled_before_it_was_sent),
        BARE(test_no_keeper_there),
        T(test_terminate_reaches_the_group),
        T(test_kill_ends_who_ignores_signals),
        T(test_kill_ends_who_is_stopped),
        T(test_kill_ends_grandchildren_with_sessions_of_their_own),
        T(test_exit_takes_grandchildren_along),
        T(test_daemons_end_with_their_run),
        T(test_who_dies_slowly_ends_before_its_run),
        T(test_daemons_in_the_midst_of_exec_end_with_their_run),
        T(test_nothing_outruns_the_kill),
        LOGS(test_a_leaked_channel_does_not_hide_the_end),
        T(test_shutdown_kills_and_waits),
        T(test_signals_to_the_keeper_are_ignored),
        T(test_the_keeper_is_shielded),
        T(test_echo),
        T(test_what_was_said_before_the_end_arrives),
        T(test_bytes_that_wait_are_told),
        T(test_lines_wait_while_nobody_can_take_them),
        T(test_who_does_not_read_is_not_read_from),
        T(test_giant_lines),
        T(test_a_closed_channel_is_not_the_end),
        T(test_python_worker),
        BARE(test_skepd_killed),
        BARE(test_skepd_stopped_past_its_deadline),
        BARE(test_skepd_that_feeds_keeps_its_children),
        BARE(test_skepd_stopped_without_a_deadline),
        T(test_deadline_can_be_taken_back),
        T(test_a_passed_deadline_is_final),
        T(test_a_keeper_that_was_fed_did_not_starve),
        T(test_keeper_killed),
        T(test_keeper_stopped),
        T(test_another_keeper_after_a_dead_one),
        BARE(test_leftovers_of_an_older_run),
        LOGS(test_output_is_kept),
        LOGS(test_log_files_are_bounded),
        LOGS(test_reopened_logs),
        LOGS(test_log_process_killed),
        LOGS(test_log_process_stopped),
        LOGS(test_full_log_disk),
        BARE(test_a_cgroup_holds_who_drops_everything),
        T(test_who_drops_everything_dies_with_the_keeper),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
