/* A pool of processes, one a seed. What their output means, and which smaller run to try, is runner.c's. */
#include "sim/main/many.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/ensure.h"

#define JOBS_MAX     64
#define ARGS_MAX     64
#define TRANSCRIPT_S 30 /* of simulated time before the end */

/* A process and what it has said so far. */
struct job {
    pid_t pid; /* 0 = none */
    int out, err;
    struct scenario plan;
    struct str rest; /* of a line of standard output that has not ended */
    struct story story;
    double cpu_s;
    enum story_end end;
};

struct failure {
    struct scenario plan;
    char *what, *kind;
    int64_t failed_us;
    enum story_end end;
};

struct pool {
    const struct many *m;
    struct job jobs[JOBS_MAX];
    uint64_t begun, done;
    double cpu_s, simulated_s;
    struct story_word words[STORY_WORDS_MAX];
    int words_n;
    struct failure *failures;
    size_t failures_n, failures_cap;
    int64_t began_ms, shown_ms;
};

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- One process ---- */

static void limits(const struct many *m)
{
    struct rlimit cpu = {(rlim_t)m->cpu_s, (rlim_t)m->cpu_s + 5};
    struct rlimit memory = {(rlim_t)m->memory_mb << 20, (rlim_t)m->memory_mb << 20};
    struct rlimit core = {0, 0};
    setrlimit(RLIMIT_CPU, &cpu);
    setrlimit(RLIMIT_CORE, &core);
    if (m->memory_mb)
        setrlimit(RLIMIT_DATA, &memory);
}

/* Words of a text into an argv; the text is changed. */
static size_t words_of(char *text, char **ret, size_t max)
{
    size_t n = 0;
    for (char *p = strtok(text, " "); p && n + 1 < max; p = strtok(NULL, " "))
        ret[n++] = p;
    ret[n] = NULL;
    return n;
}

static void be_child(const struct many *m, const struct scenario *plan, bool trace, int out, int err)
{
    AUTOSTR struct str text = STR_INIT;
    char *argv[ARGS_MAX];
    str_puts(&text, "skep-sim ");
    runner_options(plan, &text);
    for (char *const *one = m->more; one && *one; one++)
        str_printf(&text, " %s", *one);
    str_puts(&text, trace ? " --trace" : "");
    words_of(text.p, argv, COUNT(argv));
    dup2(out, 1);
    dup2(err, 2);
    limits(m);
    execv("/proc/self/exe", argv);
    _exit(127);
}

static bool job_start(struct job *j, const struct many *m, const struct scenario *plan, bool trace)
{
    int out[2], err[2];
    *j = (struct job){.plan = *plan, .story = {.keep_us = TRANSCRIPT_S * SIM_SECOND}};
    if (pipe2(out, O_CLOEXEC) < 0)
        return false;
    if (pipe2(err, O_CLOEXEC) < 0) {
        close(out[0]);
        close(out[1]);
        return false;
    }
    j->pid = fork();
    if (j->pid == 0)
        be_child(m, plan, trace, out[1], err[1]);
    close(out[1]);
    close(err[1]);
    j->out = out[0];
    j->err = err[0];
    return j->pid > 0;
}

static void job_fini(struct job *j)
{
    story_fini(&j->story);
    str_fini(&j->rest);
    j->pid = 0;
}

static void lines(struct job *j)
{
    char *begin = j->rest.p, *end;
    if (!begin)
        return;
    while ((end = memchr(begin, '\n', (size_t)(j->rest.p + j->rest.n - begin)))) {
        *end = 0;
        story_line(&j->story, begin);
        begin = end + 1;
    }
    size_t left = (size_t)(j->rest.p + j->rest.n - begin);
    memmove(j->rest.p, begin, left + 1);
    j->rest.n = left;
}

/* What has come on one of the two. False: it has ended. */
static bool job_read(struct job *j, bool errors)
{
    char bytes[65536];
    int *fd = errors ? &j->err : &j->out;
    ssize_t n = read(*fd, bytes, sizeof bytes);
    if (n <= 0) {
        close(*fd);
        *fd = -1;
        return false;
    }
    if (errors)
        story_error(&j->story, bytes, (size_t)n);
    else {
        str_add(&j->rest, bytes, (size_t)n);
        lines(j);
    }
    return true;
}

static void job_reap(struct job *j)
{
    int status = 0;
    struct rusage u = {0};
    while (wait4(j->pid, &status, 0, &u) < 0 && errno == EINTR)
        continue;
    j->cpu_s = (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
               (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
    j->end = story_end(&j->story, WIFEXITED(status) ? WEXITSTATUS(status) : 0,
                       WIFSIGNALED(status) ? WTERMSIG(status) : 0);
}

/* Waits until one of the jobs has ended and returns it; NULL after a while. */
static struct job *jobs_wait(struct job *jobs, int n)
{
    struct pollfd fds[2 * JOBS_MAX];
    struct job *of[2 * JOBS_MAX];
    nfds_t k = 0;
    for (int i = 0; i < n; i++) {
        for (int e = 0; e < 2 && jobs[i].pid; e++) {
            fds[k] = (struct pollfd){.fd = e ? jobs[i].err : jobs[i].out, .events = POLLIN};
            of[k++] = &jobs[i];
        }
    }
    if (poll(fds, k, 500) <= 0)
        return NULL;
    for (nfds_t i = 0; i < k; i++) {
        if (!(fds[i].revents & (POLLIN | POLLHUP | POLLERR)))
            continue;
        if (!job_read(of[i], fds[i].fd == of[i]->err) && of[i]->out < 0 && of[i]->err < 0) {
            job_reap(of[i]);
            return of[i];
        }
    }
    return NULL;
}

/* Runs one plan to its end, alone. */
static enum story_end run_alone(const struct many *m, const struct scenario *plan, bool trace,
                                struct job *ret)
{
    if (!job_start(ret, m, plan, trace))
        return STORY_REFUSED;
    while (jobs_wait(ret, 1) != ret)
        continue;
    return ret->end;
}

/* ---- A failure ---- */

static void command(const struct many *m, const struct scenario *plan, struct str *ret_text)
{
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    str_add(ret_text, n > 0 ? self : "skep-sim", n > 0 ? (size_t)n : 8);
    str_putc(ret_text, ' ');
    runner_options(plan, ret_text);
    for (char *const *one = m->more; one && *one; one++)
        str_printf(ret_text, " %s", *one);
}

/* The smallest run that fails in the same way, within the time. */
static struct scenario smaller(const struct many *m, const struct failure *f)
{
    struct shrink s = shrink_begin(&f->plan, f->failed_us);
    int64_t end_ms = now_ms() + m->shrink_ms;
    while (now_ms() < end_ms && shrink_next(&s)) {
        struct job j;
        AUTOSTR struct str kind = STR_INIT;
        enum story_end end = run_alone(m, &s.trial, false, &j);
        story_kind(&j.story, &kind);
        shrink_told(&s, end == f->end && strcmp(str_get(&kind), f->kind) == 0, j.story.violated_us);
        job_fini(&j);
    }
    return s.best;
}

/* Runs it once more, with a trace, and writes that down. ret_again: it failed as before. */
static bool transcript(const struct many *m, const struct failure *f, const struct scenario *small,
                       const char *path, bool *ret_again)
{
    struct job j;
    AUTOSTR struct str text = STR_INIT, kind = STR_INIT;
    FILE *file = fopen(path, "w");
    enum story_end end = run_alone(m, small, true, &j);
    story_kind(&j.story, &kind);
    *ret_again = end == f->end && strcmp(str_get(&kind), f->kind) == 0;
    str_puts(&text, "repeat it:   ");
    command(m, small, &text);
    str_puts(&text, " --trace\nfound with:  ");
    command(m, &f->plan, &text);
    str_printf(&text, "\nwhat it is:  %s\n\nIts last %d s:\n",
               j.story.violation ? j.story.violation : f->what, TRANSCRIPT_S);
    story_tell(&j.story, &text);
    if (j.story.errors.n)
        str_printf(&text, "\nStandard error:\n%s", str_get(&j.story.errors));
    job_fini(&j);
    if (file)
        fwrite(str_get(&text), 1, text.n, file);
    return file && fclose(file) == 0;
}

static void tell_failure(const struct many *m, const struct failure *f)
{
    AUTOSTR struct str found = STR_INIT, small = STR_INIT;
    struct scenario least = f->plan;
    AUTOFREE char *path = mem_printf("%s/skep-sim-%llu.txt", m->folder, (unsigned long long)f->plan.sim.seed);
    bool again, shrinks = m->shrink_ms && f->end != STORY_REFUSED;
    command(m, &f->plan, &found);
    printf("FAILED seed %llu: %.300s\n  %s\n", (unsigned long long)f->plan.sim.seed, f->what,
           str_get(&found));
    fflush(stdout);
    if (shrinks)
        least = smaller(m, f);
    bool written = transcript(m, f, &least, path, &again);
    command(m, &least, &small);
    if (!again) /* the same bytes in, others out */
        printf("  NOT THE SAME TWICE: %s\n", str_get(&small));
    else if (shrinks)
        printf("  smaller: %s\n", str_get(&small));
    if (written)
        printf("  its last seconds: %s\n", path);
    fflush(stdout);
}

/* ---- The pool ---- */

static void words_add(struct pool *p, const struct story *s)
{
    for (int i = 0; i < s->words_n; i++) {
        int k = 0;
        while (k < p->words_n && strcmp(p->words[k].word, s->words[i].word) != 0)
            k++;
        if (k == STORY_WORDS_MAX)
            continue;
        if (k == p->words_n) {
            p->words[p->words_n] = s->words[i];
            p->words[p->words_n++].times = 0;
        }
        p->words[k].times += s->words[i].times;
    }
}

static void failed(struct pool *p, const struct job *j)
{
    AUTOSTR struct str kind = STR_INIT;
    story_kind(&j->story, &kind);
    ARRAY_GROW(p->failures, p->failures_n, p->failures_cap);
    p->failures[p->failures_n++] =
        (struct failure){j->plan, mem_dup(j->story.violation ? j->story.violation : ""), str_take(&kind),
                         j->story.violated_us, j->end};
}

static void job_done(struct pool *p, struct job *j)
{
    p->done++;
    p->cpu_s += j->cpu_s;
    p->simulated_s += (double)j->story.now_us / SIM_SECOND;
    words_add(p, &j->story);
    if (j->end != STORY_GOOD)
        failed(p, j);
    job_fini(j);
}

static double speed(const struct pool *p)
{
    return p->cpu_s > 0 ? p->simulated_s / p->cpu_s : 0;
}

static void progress(struct pool *p, bool last)
{
    if (!isatty(2) || (!last && now_ms() < p->shown_ms + 200))
        return;
    p->shown_ms = now_ms();
    fprintf(stderr, "\r%llu seeds, %zu failed, %.0f simulated seconds a CPU second, %lld s%s",
            (unsigned long long)p->done, p->failures_n, speed(p), (long long)(now_ms() - p->began_ms) / 1000,
            last ? "\n" : " ");
}

static bool more(const struct pool *p)
{
    const struct many *m = p->m;
    if (p->failures_n >= (size_t)m->failures_max)
        return false;
    return m->wall_ms ? now_ms() < p->began_ms + m->wall_ms : p->begun < m->count;
}

static struct scenario next_plan(struct pool *p)
{
    struct scenario plan = p->m->plan;
    plan.sim.seed = p->m->first + p->begun++;
    if (p->m->draw_nodes)
        plan.sim.nodes = runner_nodes(plan.sim.seed);
    return plan;
}

/* Keeps every place of the pool busy. False: nothing runs any more. */
static bool pool_fill(struct pool *p)
{
    bool some = false;
    for (int i = 0; i < p->m->jobs; i++) {
        struct job *j = &p->jobs[i];
        if (!j->pid && more(p)) {
            struct scenario plan = next_plan(p);
            if (!job_start(j, p->m, &plan, false)) {
                fprintf(stderr, "skep-sim: no process for a seed: %s\n", strerror(errno));
                exit(71);
            }
        }
        some |= j->pid != 0;
    }
    return some;
}

static void summary(const struct pool *p)
{
    printf("%llu seeds from %llu, %zu failed; %.0f simulated s in %.1f s of CPU: %.0f a CPU second\n",
           (unsigned long long)p->done, (unsigned long long)p->m->first, p->failures_n, p->simulated_s,
           p->cpu_s, speed(p));
    for (int i = 0; i < p->words_n; i++)
        printf("%s%lld %s", i ? ", " : "", (long long)p->words[i].times, p->words[i].word);
    printf("%s", p->words_n ? "\n" : "");
    fflush(stdout);
}

static int failure_compare(const void *a, const void *b)
{
    uint64_t x = ((const struct failure *)a)->plan.sim.seed, y = ((const struct failure *)b)->plan.sim.seed;
    return x < y ? -1 : x > y;
}

int many_run(const struct many *m)
{
    struct pool p = {.m = m, .began_ms = now_ms()};
    ensure(m->jobs >= 1 && m->jobs <= JOBS_MAX, "%d jobs", m->jobs);
    if (m->random)
        printf("fresh seeds from %llu\n", (unsigned long long)m->first);
    fflush(stdout);
    while (pool_fill(&p)) {
        struct job *j = jobs_wait(p.jobs, m->jobs);
        if (j)
            job_done(&p, j);
        progress(&p, false);
    }
    progress(&p, true);
    if (p.failures_n)
        qsort(p.failures, p.failures_n, sizeof *p.failures, failure_compare);
    for (size_t i = 0; i < p.failures_n; i++)
        tell_failure(m, &p.failures[i]);
    summary(&p);
    for (size_t i = 0; i < p.failures_n; i++) {
        free(p.failures[i].what);
        free(p.failures[i].kind);
    }
    free(p.failures);
    return p.failures_n ? 1 : 0;
}
