/* skep-sim: runs a simulated cluster from a seed. Standard output is the log, the same bytes for the same
 * arguments; standard error has what differs (CPU time, the nodes' own logs). Exit 0: nothing was violated,
 * 1: something was, 64: bad arguments.
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "sim/brain.h"
#include "sim/scenario.h"

static const char usage[] =
    "usage: skep-sim [--seed N] [--nodes K] [--for 120s] [--ops N] [--faults LIST]\n"
    "                [--trace] [--quiet] [--log LEVEL]\n"
    "  --seed N    what everything follows from (1)\n"
    "  --nodes K   1 to 63 nodes (3)\n"
    "  --for T     simulated time: ms, s, m or h (120s)\n"
    "  --ops N     client operations a simulated second (20)\n"
    "  --faults L  of kill, stop, power and pause, or none (kill,stop)\n"
    "  --trace     every operation and process, too\n"
    "  --quiet     only the last line\n"
    "  --log L     the nodes' own logs on standard error: debug, info, warn or error\n";

enum { OPT_SEED = 256, OPT_NODES, OPT_FOR, OPT_OPS, OPT_FAULTS, OPT_TRACE, OPT_QUIET, OPT_LOG, OPT_HELP };

static const struct option options[] = {
    {"seed", required_argument, NULL, OPT_SEED},     {"nodes", required_argument, NULL, OPT_NODES},
    {"for", required_argument, NULL, OPT_FOR},       {"ops", required_argument, NULL, OPT_OPS},
    {"faults", required_argument, NULL, OPT_FAULTS}, {"trace", no_argument, NULL, OPT_TRACE},
    {"quiet", no_argument, NULL, OPT_QUIET},         {"log", required_argument, NULL, OPT_LOG},
    {"help", no_argument, NULL, OPT_HELP},           {NULL, 0, NULL, 0},
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
    if (!text_i64(head, 1, 1000000, &number))
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

static bool parse_faults(const char *text, unsigned *ret)
{
    unsigned faults = 0;
    if (strcmp(text, "none") == 0) {
        *ret = 0;
        return true;
    }
    for (const char *word = text;; word++) {
        size_t n = strcspn(word, ","), i = 0;
        while (i < FAULT_KINDS &&
               (strlen(scenario_fault_words[i]) != n || strncmp(scenario_fault_words[i], word, n) != 0))
            i++;
        if (i == FAULT_KINDS)
            return false;
        faults |= 1u << i;
        word += n;
        if (!*word)
            break;
    }
    *ret = faults;
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
        return parse_faults(optarg, &c->faults);
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

int main(int argc, char **argv)
{
    struct scenario c = scenario_default(1, 3);
    struct printer p = {false, STR_INIT};
    for (int opt; (opt = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (opt == OPT_HELP) {
            fputs(usage, stdout);
            return 0;
        }
        if (!option(&c, &p, opt)) {
            fputs(usage, stderr);
            return 64;
        }
    }
    if (optind != argc) {
        fputs(usage, stderr);
        return 64;
    }
    c.sim.line = line;
    c.sim.line_ctx = &p;
    bool good = scenario_run(&c, &sim_brain_node);
    print_last(&p);
    str_fini(&p.last);
    timings(&c);
    return good ? 0 : 1;
}
