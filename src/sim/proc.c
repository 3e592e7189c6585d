/* The process tables of the simulation: what keepers do, without the operating system.
 *
 * A process lives from its exec to its exit in true time: when its skepd dies, the keeper needs a moment to
 * kill it, and until then it counts as running (that is what opts.unique_names looks at). What programs do is
 * theirs.
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/ensure.h"
#include "sim/inside.h"
#include "sim/worker.h"

#define SOCKET_BYTES 212992 /* what Linux lets a channel hold */
#define DRAIN_US     50000

struct sim_worker {
    uint64_t number;
    struct simproc *proc;
    struct sim_node *node;
    uint64_t life;
    struct spawn *spawn; /* owned */
    const struct sim_program *program;
    void *state;
    int pid;               /* 0 until exec */
    bool leaving;          /* its exit is planned */
    bool stubborn;         /* ignores SIGTERM */
    int error;             /* why exec will fail; 0 = it will not */
    int64_t hung_us;       /* does nothing until then */
    int64_t in_us, out_us; /* its last line in each direction: later ones come later */
    size_t unread;         /* bytes written to its channel that it has not read */
    bool drain_planned;
    TAILQ_ENTRY(sim_worker) link;
    UT_hash_handle hh;
};

struct simproc {
    struct sim *sim;
    struct prng prng;
    uint64_t numbers;
    int pids;
    int64_t failed_us; /* when an exec failed by the odds of its node for the last time */
    struct sim_worker *by_number;
    TAILQ_HEAD(, sim_worker) list;
    const struct sim_program **programs;
    size_t programs_n, programs_cap;
    struct sim_odds odds[SIM_NODES_MAX];
    void (*unread)(void *ctx, const char *line, size_t n);
    void *unread_ctx;
};

/* What is planned for a worker. */
struct deed {
    struct simproc *proc;
    struct sim_node *node;
    uint64_t node_life, number, run;
    unsigned keeper; /* that the node took to be alive */
    int status, signal;
    char *line; /* owned */
    size_t line_n;
    struct spawn *spawn; /* owned */
};

static void deed_free(void *arg)
{
    struct deed *d = arg;
    free(d->line);
    spawn_free(d->spawn);
    free(d);
}

static void deed_done(struct deed **d)
{
    if (*d)
        deed_free(*d);
}
#define AUTODEED CLEANUP(deed_done)

static struct deed *deed_new(struct sim_node *n, const struct sim_worker *w)
{
    struct deed *d = mem_alloc(sizeof *d);
    d->proc = n->sim->proc;
    d->node = n;
    d->node_life = w ? w->life : n->life;
    d->keeper = n->seen;
    d->number = w ? w->number : 0;
    d->run = w ? w->spawn->run : 0;
    return d;
}

static struct sim_worker *worker_find(struct simproc *proc, uint64_t number)
{
    struct sim_worker *w;
    HASH_FIND(hh, proc->by_number, &number, sizeof number, w);
    return w;
}

static void worker_free(struct sim_worker *w)
{
    struct simproc *proc = w->proc;
    TAILQ_REMOVE(&proc->list, w, link);
    HASH_DEL(proc->by_number, w);
    if (w->program && w->program->free)
        w->program->free(w->state);
    spawn_free(w->spawn);
    free(w);
}

struct simproc *simproc_new(struct sim *s)
{
    struct simproc *proc = mem_alloc(sizeof *proc);
    proc->sim = s;
    proc->pids = 1000;
    prng_init(&proc->prng, prng_next(&s->prng));
    TAILQ_INIT(&proc->list);
    s->proc = proc;
    const struct sim_program *built_in[] = {&sim_counter, &sim_sleep, &sim_true, &sim_false};
    for (size_t i = 0; i < COUNT(built_in); i++)
        sim_program_add(s, built_in[i]);
    return proc;
}

void simproc_free(struct simproc *proc)
{
    while (!TAILQ_EMPTY(&proc->list))
        worker_free(TAILQ_FIRST(&proc->list));
    free(proc->programs);
    free(proc);
}

void sim_program_add(struct sim *s, const struct sim_program *p)
{
    struct simproc *proc = s->proc;
    ARRAY_GROW(proc->programs, proc->programs_n, proc->programs_cap);
    proc->programs[proc->programs_n++] = p;
}

void sim_unread(struct sim *s, void (*heard)(void *ctx, const char *line, size_t n), void *ctx)
{
    s->proc->unread = heard;
    s->proc->unread_ctx = ctx;
}

static const struct sim_program *program_find(const struct simproc *proc, const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    for (size_t i = proc->programs_n; i-- > 0;)
        if (strcmp(proc->programs[i]->name, name) == 0)
            return proc->programs[i];
    return NULL;
}

/* An event about a run, for the life of the node that spawned it only. */
static void tell(struct sim_node *n, uint64_t life, uint64_t run, struct event *e TAKES)
{
    e->run = run;
    if (n->up && n->life == life)
        sim_event(n, e);
    else
        event_fini(e);
}

/* ---- Start and end ---- */

static void trace(const struct sim_worker *w, const char *what, int number)
{
    const char *name = worker_env(w, "SKEP_NAME"), *epoch = worker_env(w, "SKEP_EPOCH");
    sim_trace(w->proc->sim, w->node, "process %s epoch %s run %llu %s %d", name ? name : w->spawn->argv[0],
              epoch ? epoch : "-", (unsigned long long)w->spawn->run, what, number);
}

static void exit_fire(struct sim *s, void *arg)
{
    AUTODEED struct deed *d = arg;
    struct sim_worker *w = worker_find(d->proc, d->number);
    if (!w)
        return;
    if (!w->pid) { /* killed between fork and exec */
        struct event born = {.kind = EV_CHILD_SPAWNED, .pid = ++d->proc->pids};
        tell(w->node, w->life, w->spawn->run, &born);
    }
    struct event e = {.kind = EV_CHILD_EXITED, .exit_status = d->status, .signal = d->signal};
    sim_mark(s, 8, d->number, (uint64_t)d->signal);
    trace(w, d->signal ? "killed by signal" : "exited with", d->signal ? d->signal : d->status);
    tell(w->node, w->life, w->spawn->run, &e);
    worker_free(w);
}

static void exit_plan(struct sim_worker *w, int64_t at_us, int status, int signal)
{
    struct deed *d = deed_new(w->node, w);
    d->status = status;
    d->signal = signal;
    w->leaving = true;
    sim_at(w->proc->sim, at_us, exit_fire, d, deed_free);
}

static void unique(struct sim *s, const struct sim_worker *w);

/* exec: either the program begins, or there is none. */
static void exec_fire(struct sim *s, void *arg)
{
    AUTODEED struct deed *d = arg;
    struct sim_worker *w = worker_find(d->proc, d->number);
    if (!w || w->leaving)
        return;
    if (w->error)
        d->proc->failed_us = s->now_us;
    if (!w->program || w->error) {
        struct event e = {.kind = EV_CHILD_FAILED, .error = w->program ? w->error : ENOENT};
        trace(w, "not started: error", e.error);
        tell(w->node, w->life, w->spawn->run, &e);
        worker_free(w);
        return;
    }
    w->pid = ++d->proc->pids;
    sim_mark(s, 9, w->number, (uint64_t)w->node->index);
    struct event e = {.kind = EV_CHILD_SPAWNED, .pid = w->pid};
    tell(w->node, w->life, w->spawn->run, &e);
    trace(w, "started as", w->pid);
    unique(s, w);
    w->state = w->program->start ? w->program->start(w) : NULL;
}

/* What the odds of its node make of a process. */
static void odds_draw(struct simproc *proc, struct sim_worker *w)
{
    static const int errors[] = {EAGAIN, ENOMEM, EMFILE};
    const struct sim_odds *o = &proc->odds[w->node->index];
    uint64_t dice = o->fail_ppm || o->slow_ppm || o->stubborn_ppm ? prng_next(&proc->prng) : 0;
    if (!dice)
        return;
    if (dice % 1000000 < (uint64_t)o->fail_ppm)
        w->error = errors[(dice >> 32) % COUNT(errors)];
    if (dice / 3 % 1000000 < (uint64_t)o->slow_ppm)
        w->in_us += 200 * (w->in_us - proc->sim->now_us);
    w->stubborn = dice / 7 % 1000000 < (uint64_t)o->stubborn_ppm;
    w->out_us = w->in_us;
}

/* fork: from now on it can be killed, and its end of the channel holds lines. */
static void fork_fire(struct sim *s, void *arg)
{
    AUTODEED struct deed *d = arg;
    struct sim_node *n = d->node;
    struct simproc *proc = d->proc;
    if (!n->up || n->life != d->node_life || d->keeper != n->keepers)
        return;
    struct sim_worker *w = mem_alloc(sizeof *w);
    w->number = ++proc->numbers;
    w->proc = proc;
    w->node = n;
    w->life = n->life;
    w->spawn = TAKE(d->spawn);
    w->program = program_find(proc, w->spawn->argv[0]);
    w->in_us = w->out_us = s->now_us + sim_draw(&proc->prng, s->opts.spawn);
    odds_draw(proc, w);
    TAILQ_INSERT_TAIL(&proc->list, w, link);
    HASH_ADD(hh, proc->by_number, number, sizeof w->number, w);
    sim_at(s, w->in_us, exec_fire, deed_new(n, w), deed_free);
}

static void proc_spawn(void *self, struct spawn *spawn TAKES)
{
    struct sim_node *n = self;
    ensure(spawn->run && spawn->argv && spawn->argv[0], "spawn without run or argv");
    struct deed *d = deed_new(n, NULL);
    d->run = spawn->run;
    d->spawn = spawn;
    sim_at(n->sim, sim_effect_us(n), fork_fire, d, deed_free);
}

/* Every program is in /bin, and there is no other folder. */
static int proc_find(void *self, const char *argv0, char *const *env UNUSED, const char *cwd UNUSED,
                     char *ret_path, size_t bytes)
{
    const struct sim_node *n = self;
    const char *folder = strchr(argv0, '/') ? "" : "/bin/";
    if (!program_find(n->sim->proc, argv0))
        return ENOENT;
    if (strlen(folder) + strlen(argv0) >= bytes)
        return ENAMETOOLONG;
    snprintf(ret_path, bytes, "%s%s", folder, argv0);
    return 0;
}

/* No program here writes to its standard output: every stream is there, and empty. */
static int proc_tail(void *self UNUSED, const char *log UNUSED, int64_t lines UNUSED, int64_t after,
                     struct str *ret_text UNUSED, int64_t *ret_next)
{
    *ret_next = after;
    return 0;
}

/* ---- Signals and lines from the node ---- */

static struct sim_worker *worker_of_run(struct sim_node *n, uint64_t run)
{
    struct sim_worker *w;
    TAILQ_FOREACH (w, &n->sim->proc->list, link)
        if (w->node == n && w->life == n->life && w->spawn->run == run)
            return w;
    return NULL;
}

static bool is_hung(const struct sim_worker *w)
{
    return w->hung_us > w->proc->sim->now_us;
}

static void terminate_fire(struct sim *s, void *arg)
{
    AUTODEED struct deed *d = arg;
    struct sim_worker *w = d->node->life == d->node_life ? worker_of_run(d->node, d->run) : NULL;
    if (!w || w->leaving || (w->stubborn && w->pid))
        return;
    if (is_hung(w)) {
        sim_at(s, w->hung_us, terminate_fire, TAKE(d), deed_free);
        return;
    }
    if (w->pid && w->program->terminated)
        w->program->terminated(w);
    else
        exit_plan(w, s->now_us + sim_draw(&d->proc->prng, s->opts.channel), 0, SIGTERM);
}

static void kill_fire(struct sim *s, void *arg)
{
    AUTODEED struct deed *d = arg;
    struct sim_worker *w = d->node->life == d->node_life ? worker_of_run(d->node, d->run) : NULL;
    if (w)
        exit_plan(w, s->now_us + sim_draw(&d->proc->prng, s->opts.channel), 0, SIGKILL);
}

static void signal_plan(struct sim_node *n, uint64_t run, void (*fire)(struct sim *, void *))
{
    struct sim *s = n->sim;
    struct deed *d = deed_new(n, NULL);
    d->run = run;
    sim_at(s, sim_effect_us(n) + sim_draw(&s->proc->prng, s->opts.channel), fire, d, deed_free);
}

static void proc_terminate(void *self, uint64_t run)
{
    signal_plan(self, run, terminate_fire);
}

static void proc_kill(void *self, uint64_t run)
{
    signal_plan(self, run, kill_fire);
}

/* What of it the socket has no room for waits in skepd. */
static size_t waiting(const struct sim_worker *w)
{
    return w->unread > SOCKET_BYTES ? w->unread - SOCKET_BYTES : 0;
}

static void drained_fire(struct sim *s UNUSED, void *arg)
{
    AUTODEED struct deed *d = arg;
    struct sim_worker *w = worker_find(d->proc, d->number);
    if (!w)
        return;
    struct event e = {.kind = EV_CHILD_DRAINED, .bytes_n = waiting(w)};
    w->drain_planned = false;
    tell(w->node, w->life, w->spawn->run, &e);
}

/* skepd hears of many lines at once. */
static void drain_plan(struct sim_worker *w)
{
    if (w->drain_planned)
        return;
    w->drain_planned = true;
    sim_at(w->proc->sim, w->proc->sim->now_us + DRAIN_US, drained_fire, deed_new(w->node, w), deed_free);
}

static void unread(const struct deed *d)
{
    if (d->proc->unread)
        d->proc->unread(d->proc->unread_ctx, d->line, d->line_n);
}

static void line_in_fire(struct sim *s, void *arg)
{
    AUTODEED struct deed *d = arg;
    struct sim_worker *w = worker_find(d->proc, d->number);
    if (!w || w->leaving) {
        unread(d);
        return;
    }
    if (is_hung(w)) {
        sim_at(s, w->hung_us, line_in_fire, TAKE(d), deed_free);
        return;
    }
    bool waited = waiting(w) > 0;
    w->unread -= d->line_n + 1;
    if (waited)
        drain_plan(w);
    if (w->program->line)
        w->program->line(w, d->line, d->line_n);
}

/* The line has left the node: it reaches the worker after those before it. */
static void line_fire(struct sim *s, void *arg)
{
    struct deed *d = arg;
    struct sim_worker *w = d->node->life == d->node_life ? worker_of_run(d->node, d->run) : NULL;
    if (!w || !w->spawn->channel) {
        unread(d);
        deed_free(d);
        return;
    }
    w->unread += d->line_n + 1;
    drain_plan(w);
    int64_t at = s->now_us + sim_draw(&d->proc->prng, s->opts.channel);
    at = at > w->hung_us ? at : w->hung_us + 1; /* after those that wait already */
    w->in_us = at > w->in_us ? at : w->in_us;
    d->number = w->number;
    sim_at(s, w->in_us, line_in_fire, d, deed_free);
}

static void proc_line(void *self, uint64_t run, char *line TAKES, size_t line_n)
{
    struct sim_node *n = self;
    struct deed *d = deed_new(n, NULL);
    d->run = run;
    d->line = line;
    d->line_n = line_n;
    sim_at(n->sim, sim_effect_us(n), line_fire, d, deed_free);
}

/* Made up, and another one each ten seconds: busy and idle machines, all of them at some time. */
static bool proc_load(void *self, struct machine_load *ret)
{
    struct sim_node *n = self;
    uint64_t draw = prng_mix((uint64_t)(n->sim->now_us / 10000000) * 31 + (uint64_t)n->index);
    *ret = (struct machine_load){(int64_t)(draw % 1001), (int64_t)(draw / 1001 % 120),
                                 (int64_t)(draw >> 32) % 1001};
    return true;
}

void simproc_world(struct sim_node *n, struct world_proc *ret)
{
    *ret = (struct world_proc){.self = n,
                               .spawn = proc_spawn,
                               .find = proc_find,
                               .tail = proc_tail,
                               .terminate = proc_terminate,
                               .kill = proc_kill,
                               .line = proc_line,
                               .load = proc_load};
}

/* ---- The node's ends and starts ---- */

void simproc_up(struct sim_node *n)
{
    struct sim_worker *w, *next;
    TAILQ_FOREACH_SAFE(w, &n->sim->proc->list, link, next)
    if (w->node == n)
        worker_free(w);
}

void simproc_down(struct sim_node *n, struct sim_range within)
{
    struct sim *s = n->sim;
    struct sim_worker *w, *next;
    TAILQ_FOREACH_SAFE(w, &s->proc->list, link, next)
    if (w->node == n)
        exit_plan(w, s->now_us + sim_draw(&s->proc->prng, within), 0, SIGKILL);
}

void simproc_vanish(struct sim_node *n)
{
    struct sim_worker *w, *next;
    TAILQ_FOREACH_SAFE(w, &n->sim->proc->list, link, next)
    if (w->node == n && w->life == n->life)
        worker_free(w);
}

/* ---- What else may happen to processes ---- */

int64_t sim_exec_failed_us(const struct sim *s)
{
    return s->proc->failed_us;
}

void sim_process_odds(struct sim *s, int index, const struct sim_odds *o)
{
    struct sim_odds *own = &s->proc->odds[sim_node(s, index)->index];
    if (memcmp(own, o, sizeof *o) != 0)
        sim_note(s, sim_node(s, index), "processes: %d ppm fail, %d ppm are slow, %d ppm stubborn",
                 o->fail_ppm, o->slow_ppm, o->stubborn_ppm);
    *own = *o;
}

static bool is_victim(const struct sim_worker *w, const struct sim_node *n)
{
    return w->node == n && w->life == n->life && w->pid && !w->leaving;
}

/* One of the node's living processes, drawn; NULL if there is none. */
static struct sim_worker *victim(struct sim *s, int index)
{
    const struct sim_node *n = sim_node(s, index);
    struct sim_worker *w;
    uint64_t count = 0;
    TAILQ_FOREACH (w, &s->proc->list, link)
        count += is_victim(w, n);
    if (!count)
        return NULL;
    uint64_t left = prng_below(&s->proc->prng, count);
    TAILQ_FOREACH (w, &s->proc->list, link)
        if (is_victim(w, n) && left-- == 0)
            break;
    return w;
}

bool sim_process_crash(struct sim *s, int index)
{
    struct sim_worker *w = victim(s, index);
    if (!w)
        return false;
    sim_note(s, w->node, "process %d crashes", w->pid);
    exit_plan(w, s->now_us, 0, SIGSEGV);
    return true;
}

bool sim_process_hang(struct sim *s, int index, int64_t for_us)
{
    struct sim_worker *w = victim(s, index);
    if (!w)
        return false;
    sim_note(s, w->node, "process %d hangs for %lld ms", w->pid, (long long)(for_us / 1000));
    if (w->hung_us < s->now_us + for_us)
        w->hung_us = s->now_us + for_us;
    return true;
}

/* ---- What programs may do ---- */

void *worker_state(struct sim_worker *w)
{
    return w->state;
}

void *worker_ctx(const struct sim_worker *w)
{
    return w->program->ctx;
}

struct sim *worker_sim(struct sim_worker *w)
{
    return w->proc->sim;
}

bool worker_has_arg(const struct sim_worker *w, const char *arg)
{
    for (char **a = w->spawn->argv + 1; *a; a++)
        if (strcmp(*a, arg) == 0)
            return true;
    return false;
}

const char *worker_env(const struct sim_worker *w, const char *name)
{
    size_t n = strlen(name);
    for (char **e = w->spawn->env; e && *e; e++)
        if (strncmp(*e, name, n) == 0 && (*e)[n] == '=')
            return *e + n + 1;
    return NULL;
}

static void line_out_fire(struct sim *s UNUSED, void *arg)
{
    AUTODEED struct deed *d = arg;
    struct event e = {.kind = EV_CHILD_LINE, .bytes_n = d->line_n};
    e.bytes = TAKE(d->line);
    tell(d->node, d->node_life, d->run, &e);
}

struct span worker_input(const struct sim_worker *w)
{
    return (struct span){w->spawn->input ? w->spawn->input : "", w->spawn->input_n};
}

void worker_say(struct sim_worker *w, const char *fmt, ...)
{
    struct sim *s = w->proc->sim;
    if ((!w->spawn->channel && !w->spawn->answers) || w->leaving)
        return;
    char *text = NULL;
    va_list args;
    va_start(args, fmt);
    int n = vasprintf(&text, fmt, args);
    va_end(args);
    ensure(n >= 0, "out of memory for a line");
    struct deed *d = deed_new(w->node, w);
    d->line = text;
    d->line_n = (size_t)n;
    int64_t at = s->now_us + sim_draw(&w->proc->prng, s->opts.channel);
    w->out_us = at > w->out_us ? at : w->out_us;
    sim_at(s, w->out_us, line_out_fire, d, deed_free);
}

void worker_exit(struct sim_worker *w, int status)
{
    int64_t now = w->proc->sim->now_us;
    if (!w->leaving)
        exit_plan(w, w->out_us > now ? w->out_us : now, status, 0);
}

/* ---- What checks may see ---- */

static struct sim_process process_of(const struct sim_worker *w)
{
    const char *swarm = worker_env(w, "SKEP_SWARM"), *name = worker_env(w, "SKEP_NAME");
    const char *epoch = worker_env(w, "SKEP_EPOCH");
    struct sim_process p = {
        .node = w->node, .pid = w->pid, .swarm = swarm ? swarm : "", .name = name ? name : ""};
    p.epoch = epoch ? strtoll(epoch, NULL, 10) : 0;
    p.orphan = !w->node->up || w->node->life != w->life;
    p.value = w->program == &sim_counter ? sim_counter_value(w->state) : 0;
    return p;
}

void sim_processes(struct sim *s, void (*each)(void *ctx, const struct sim_process *p), void *ctx)
{
    struct sim_worker *w;
    TAILQ_FOREACH (w, &s->proc->list, link) {
        struct sim_process p = process_of(w);
        if (p.pid)
            each(ctx, &p);
    }
}

int sim_running(struct sim *s, const char *swarm, const char *name, struct sim_process *ret)
{
    int n = 0;
    struct sim_worker *w;
    TAILQ_FOREACH (w, &s->proc->list, link) {
        struct sim_process p = process_of(w);
        if (!p.pid || strcmp(p.swarm, swarm) != 0 || strcmp(p.name, name) != 0)
            continue;
        n++;
        if (ret)
            *ret = p;
    }
    return n;
}

/* A new process under a name that another one still runs under is the one thing skep must never let happen;
 * only a start can make it true, so it is asked at starts, and once this may be expected again. */
static void unique(struct sim *s, const struct sim_worker *w)
{
    struct sim_process own = process_of(w);
    struct sim_worker *other;
    if (!s->opts.unique_names || !*own.name || !sim_promised(s, SIM_ONE_PROCESS, s->now_us + 1))
        return;
    TAILQ_FOREACH (other, &s->proc->list, link) {
        struct sim_process p = process_of(other);
        if (other == w || !other->pid || strcmp(p.name, own.name) != 0 || strcmp(p.swarm, own.swarm) != 0)
            continue;
        sim_violation(s, "%s/%s runs on %s (pid %d, epoch %lld%s) and starts on %s (pid %d, epoch %lld)",
                      p.swarm, p.name, p.node->name, p.pid, (long long)p.epoch, p.orphan ? ", orphan" : "",
                      own.node->name, own.pid, (long long)own.epoch);
    }
}

void simproc_unique(struct sim *s)
{
    struct sim_worker *w;
    TAILQ_FOREACH (w, &s->proc->list, link)
        if (w->pid && !s->violated)
            unique(s, w);
}
