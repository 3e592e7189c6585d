/* skep-sim: runs simulated clusters from seeds. Of one seed, standard output is the log, the same bytes for
 * the same arguments, and standard error has what differs (CPU time, the nodes' own logs); of many, it is a
 * report (many.h). Exit 0: nothing was violated, 1: something was, 64: bad arguments.
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include "sim/brain.h"
#include "sim/invariant.h"
#include "sim/main/light.h"
#include "sim/main/many.h"
#include "sim/scenario.h"

static const char usage[] =
    "usage: skep-sim [--seed N | --seeds SEEDS [--jobs N]] [--nodes K] [--for 120s] [--ops N]\n"
    "                [--faults LIST] [--trace] [--quiet] [--log LEVEL]\n"
    "  --seed N    what everything follows from (1)\n"
    "  --nodes K   1 to 63 nodes (3)\n"
    "  --for T     simulated time: ms, s, m or h (120s)\n"
    "  --ops N     client operations a simulated second (20)\n"
    "  --faults L  none, all, nemesis (some, drawn from the seed), or of kill, stop, power, pause,\n"
    "              partition, oneway, reject, slow, break, drift, jump, disk, full, late, flip, crash,\n"
    "              hang, exec, keeper, restore, clone, wipe, away, join, drain; mild, harsh (kill,stop)\n"
    "  --trace     every operation and process, too\n"
    "  --quiet     only the last line\n"
    "  --log L     the nodes' own logs on standard error: debug, info, warn or error\n"
    "A thousand nodes without stores: who learns what when, and what it costs, as a table (sim/light.h):\n"
    "  --light N   2 to 2000 nodes; takes --seed and --for\n"
    "Many seeds, each in a process of its own; each has its own number of nodes and kinds of faults, unless\n"
    "--nodes and --faults say which:\n"
    "  --seeds S   A..B, or random:COUNT for seeds that nobody has tried\n"
    "  --for-wall T  fresh seeds for so long\n"
    "  --jobs N    at a time (one a processor)\n"
    "  --shrink T  time to make a failing run smaller, 0s for none (30s)\n"
    "  --failures N  no new seed after so many of them (3)\n"
    "  --out DIR   where the last seconds of failing runs are written (.)\n"
    "  --cpu-limit T  of one run (300s)\n";

enum {
    OPT_SEED = 256,
    OPT_NODES,
    OPT_FOR,
    OPT_OPS,
    OPT_FAULTS,
    OPT_TRACE,
    OPT_QUIET,
    OPT_LOG,
    OPT_LIGHT,
    OPT_SEEDS,
    OPT_FOR_WALL,
    OPT_JOBS,
    OPT_SHRINK,
    OPT_FAILURES,
    OPT_OUT,
    OPT_CPU_LIMIT,
    OPT_HELP
};

static const struct option options[] = {
    {"seed", required_argument, NULL, OPT_SEED},
    {"nodes", required_argument, NULL, OPT_NODES},
    {"for", required_argument, NULL, OPT_FOR},
    {"ops", required_argument, NULL, OPT_OPS},
    {"faults", required_argument, NULL, OPT_FAULTS},
    {"trace", no_argument, NULL, OPT_TRACE},
    {"quiet", no_argument, NULL, OPT_QUIET},
    {"log", required_argument, NULL, OPT_LOG},
    {"light", required_argument, NULL, OPT_LIGHT},
    {"seeds", required_argument, NULL, OPT_SEEDS},
    {"for-wall", required_argument, NULL, OPT_FOR_WALL},
    {"jobs", required_argument, NULL, OPT_JOBS},
    {"shrink", required_argument, NULL, OPT_SHRINK},
    {"failures", required_argument, NULL, OPT_FAILURES},
    {"out", required_argument, NULL, OPT_OUT},
    {"cpu-limit", required_argument, NULL, OPT_CPU_LIMIT},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

/* A line is printed when the next one comes, so that --quiet knows the last one. */
struct printer {
    bool quiet;
    struct str last;
};

static void print_last(struct printer *p)
{
    if (p->last.n)
        puts(str_get(&p->last));
    str_clear(&p->last);
}

static void line(void *ctx, const char *text)
{
    struct printer *p = ctx;
    if (!p->quiet)
        print_last(p);
    str_clear(&p->last);
    str_puts(&p->last, text);
}

static bool parse_time(const char *text, int64_t *ret_us)
{
    static const struct {
        const char *unit;
        int64_t us;
    } units[] = {{"ms", 1000}, {"s", SIM_SECOND}, {"m", 60 * SIM_SECOND}, {"h", 3600 * SIM_SECOND}};
    size_t digits = strspn(text, "0123456789");
    int64_t number;
    AUTOFREE char *head = mem_copy(text, digits);
    if (!text_i64(head, 1, INT32_MAX, &number))
        return false;
    for (size_t i = 0; i < COUNT(units); i++) {
        if (strcmp(text + digits, units[i].unit) != 0)
            continue;
        *ret_us = number * units[i].us;
        return true;
    }
    return false;
}

static bool parse_level(const char *text, enum log_level *ret)
{
    static const char *const words[] = {"debug", "info", "warn", "error"};
    for (size_t i = 0; i < COUNT(words); i++) {
        if (strcmp(text, words[i]) == 0) {
            *ret = (enum log_level)i;
            return true;
        }
    }
    return false;
}

/* What was asked for. */
struct asked {
    struct scenario plan;
    struct printer printer;
    struct many many;
    int light; /* nodes; 0 = real brains */
    bool is_many, one_seed, nodes_said, faults_said;
};

/* A seed nobody has tried: short enough to be typed. */
static uint64_t fresh(void)
{
    uint64_t seed = 0;
    if (getrandom(&seed, 5, 0) != 5)
        seed = (uint64_t)getpid();
    return seed;
}

/* A..B or random:COUNT */
static bool parse_seeds(const char *text, struct many *ret)
{
    int64_t a, b;
    if (text_starts(text, "random:")) {
        ret->random = true;
        ret->first = fresh();
        if (!text_i64(text + 7, 1, INT32_MAX, &b))
            return false;
        ret->count = (uint64_t)b;
        return true;
    }
    const char *dots = strstr(text, "..");
    AUTOFREE char *head = dots ? mem_copy(text, (size_t)(dots - text)) : NULL;
    if (!dots || !text_i64(head, 0, INT64_MAX - 1, &a) || !text_i64(dots + 2, a, INT64_MAX - 1, &b))
        return false;
    ret->first = (uint64_t)a;
    ret->count = (uint64_t)(b - a) + 1;
    return true;
}

/* Options of many runs. */
static bool option_many(struct many *m, int opt)
{
    int64_t number = 0;
    switch (opt) {
    case OPT_SEEDS:
        return parse_seeds(optarg, m);
    case OPT_FOR_WALL:
        m->random = true;
        m->first = fresh();
        if (!parse_time(optarg, &number))
            return false;
        m->wall_ms = number / 1000;
        return true;
    case OPT_JOBS:
        if (!text_i64(optarg, 1, 64, &number))
            return false;
        m->jobs = (int)number;
        return true;
    case OPT_SHRINK:
        if (strcmp(optarg, "0s") != 0 && !parse_time(optarg, &number))
            return false;
        m->shrink_ms = number / 1000;
        return true;
    case OPT_FAILURES:
        if (!text_i64(optarg, 1, 1000, &number))
            return false;
        m->failures_max = (int)number;
        return true;
    case OPT_CPU_LIMIT:
        if (!parse_time(optarg, &number))
            return false;
        m->cpu_s = (int)(number / SIM_SECOND) + 1;
        return true;
    case OPT_OUT:
        m->folder = optarg;
        return true;
    default:
        return false;
    }
}

static bool option_light(int *ret)
{
    int64_t number;
    if (!text_i64(optarg, 2, LIGHT_NODES_MAX, &number))
        return false;
    *ret = (int)number;
    return true;
}

static bool option(struct scenario *c, struct printer *p, int opt)
{
    int64_t number = 0;
    switch (opt) {
    case OPT_SEED:
        if (!text_i64(optarg, 0, INT64_MAX, &number))
            return false;
        c->sim.seed = (uint64_t)number;
        return true;
    case OPT_NODES:
        if (!text_i64(optarg, 1, SIM_NODES_MAX - 1, &number))
            return false;
        c->sim.nodes = (int)number;
        return true;
    case OPT_FOR:
        return parse_time(optarg, &c->for_us);
    case OPT_OPS:
        if (!text_i64(optarg, 0, 10000, &number))
            return false;
        c->load.per_second = (int)number;
        return true;
    case OPT_FAULTS:
        return nemesis_parse(optarg, &c->faults);
    case OPT_TRACE:
        c->sim.trace = true;
        return true;
    case OPT_QUIET:
        p->quiet = true;
        return true;
    case OPT_LOG:
        c->sim.log_fd = 2;
        return parse_level(optarg, &c->sim.log_level);
    default:
        return false;
    }
}

static void timings(const struct scenario *c)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    double cpu_s = (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
                   (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
    double simulated_s = (double)c->for_us / SIM_SECOND;
    fprintf(stderr, "%.1f s simulated in %.2f s of CPU: %.0f times real time\n", simulated_s, cpu_s,
            simulated_s / (cpu_s > 0 ? cpu_s : 1e-6));
}

/* Both cores, and as much memory as a run may ever need; sanitizers reserve address space as they like. */
static struct many many_default(void)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
#ifdef __SANITIZE_ADDRESS__
    int64_t memory_mb = 0;
#else
    int64_t memory_mb = 2048;
#endif
    return (struct many){.jobs = processors < 1    ? 1
                                 : processors > 64 ? 64
                                                   : (int)processors,
                         .shrink_ms = 30000,
                         .failures_max = 3,
                         .folder = ".",
                         .cpu_s = 300,
                         .memory_mb = memory_mb};
}

static bool parse(struct asked *a, int argc, char **argv)
{
    for (int opt; (opt = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        a->is_many |= opt == OPT_SEEDS || opt == OPT_FOR_WALL;
        a->one_seed |= opt == OPT_SEED || opt == OPT_TRACE || opt == OPT_LOG;
        a->nodes_said |= opt == OPT_NODES;
        a->faults_said |= opt == OPT_FAULTS;
        bool good = opt == OPT_LIGHT                     ? option_light(&a->light)
                    : opt >= OPT_SEEDS && opt < OPT_HELP ? option_many(&a->many, opt)
                                                         : option(&a->plan, &a->printer, opt);
        if (opt == OPT_HELP) {
            fputs(usage, stdout);
            exit(0);
        }
        if (!good)
            return false;
    }
    return optind == argc && !(a->is_many && (a->one_seed || a->light));
}

static void prepare(struct sim *s, void *ctx)
{
    struct invariants **invariants = ctx;
    *invariants = invariants_new(s);
}

static int one(struct asked *a)
{
    struct invariants *invariants = NULL;
    setvbuf(stdout, NULL, _IOLBF, 0); /* what was said before a crash counts most */
    a->plan.load.rich = true;
    a->plan.load.gossip = prng_mix(a->plan.sim.seed ^ 5) % 3 == 0;
    a->plan.prepare = prepare;
    a->plan.ctx = &invariants;
    a->plan.sim.line = line;
    a->plan.sim.line_ctx = &a->printer;
    bool good = scenario_run(&a->plan, &sim_brain_node);
    invariants_free(invariants);
    print_last(&a->printer);
    str_fini(&a->printer.last);
    timings(&a->plan);
    return good ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct asked a = {.plan = scenario_default(1, 3), .printer = {false, STR_INIT}, .many = many_default()};
    if (!parse(&a, argc, argv)) {
        fputs(usage, stderr);
        return 64;
    }
    if (a.light)
        return light_table(a.plan.sim.seed, a.light, a.plan.for_us);
    if (!a.is_many)
        return one(&a);
    if (!a.faults_said)
        nemesis_parse("nemesis", &a.plan.faults);
    a.many.plan = a.plan;
    a.many.draw_nodes = !a.nodes_said;
    return many_run(&a.many);
}
