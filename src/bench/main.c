/* skep-bench: measures skep beside its yardsticks, on this machine, in one go. Starts what it needs in a
 * folder of its own and takes it away again.
 */
#include <getopt.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "bench/bench.h"
#include "db/db.h"

static const struct figure *const figures[] = {&figure_register, &figure_lookup,  &figure_failover,
                                               &figure_handoff,  &figure_visible, &figure_million,
                                               &figure_sync,     &figure_batch};

static const char usage[] =
    "usage: skep-bench [options]\n"
    "\n"
    "Measures skep on this machine, each figure beside its yardstick, and prints median and spread of the "
    "runs.\n"
    "\n"
    "  --figure NAME     only this one; may be given again\n"
    "  --runs N          runs of each figure (5; quick: 2)\n"
    "  --quick           short runs, fewer workers and names: to see that all works, not to publish\n"
    "  --nodes N         nodes where a figure has several (3)\n"
    "  --connections N   of register: only 1, 32 or 256 (all three)\n"
    "  --workers N       of failover and handoff (1000; quick: 100), of batch (10000; quick: 600)\n"
    "  --names N         of million (1000000; quick: 50000)\n"
    "  --seconds N       of one load (3; quick: 1)\n"
    "  --dir DIR         where to put databases: on the disk to measure ($TMPDIR, /tmp)\n"
    "  -o table|json     (table)\n"
    "  --help            and the figures:\n";

void progress(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fputs("skep-bench: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
}

struct options {
    bool wanted[COUNT(figures)], some, quick, json;
    int64_t runs, nodes, connections, workers, names, seconds;
    const char *dir;
};

static void help(void)
{
    fputs(usage, stdout);
    for (size_t i = 0; i < COUNT(figures); i++)
        printf("    %-10s %s\n", figures[i]->name, figures[i]->about);
}

static bool want(struct options *o, const char *name)
{
    for (size_t i = 0; i < COUNT(figures); i++)
        if (strcmp(figures[i]->name, name) == 0)
            return o->some = o->wanted[i] = true;
    fprintf(stderr, "skep-bench: there is no figure %s; --help lists them\n", name);
    return false;
}

static bool number(const char *option, int64_t min, int64_t max, int64_t *ret)
{
    if (text_i64(optarg, min, max, ret))
        return true;
    fprintf(stderr, "skep-bench: --%s takes a number from %lld to %lld\n", option, (long long)min,
            (long long)max);
    return false;
}

enum {
    O_FIGURE = 256,
    O_RUNS,
    O_QUICK,
    O_NODES,
    O_CONNECTIONS,
    O_WORKERS,
    O_NAMES,
    O_SECONDS,
    O_DIR,
    O_HELP
};

static const struct option longs[] = {{"figure", required_argument, NULL, O_FIGURE},
                                      {"runs", required_argument, NULL, O_RUNS},
                                      {"quick", no_argument, NULL, O_QUICK},
                                      {"nodes", required_argument, NULL, O_NODES},
                                      {"workers", required_argument, NULL, O_WORKERS},
                                      {"names", required_argument, NULL, O_NAMES},
                                      {"seconds", required_argument, NULL, O_SECONDS},
                                      {"dir", required_argument, NULL, O_DIR},
                                      {"connections", required_argument, NULL, O_CONNECTIONS},
                                      {"help", no_argument, NULL, O_HELP},
                                      {NULL, 0, NULL, 0}};

static bool option(struct options *o, int c)
{
    switch (c) {
    case O_FIGURE:
        return want(o, optarg);
    case O_RUNS:
        return number("runs", 1, 16, &o->runs);
    case O_QUICK:
        return o->quick = true;
    case O_NODES:
        return number("nodes", 2, CLUSTER_NODES_MAX, &o->nodes);
    case O_CONNECTIONS:
        return number("connections", 1, 256, &o->connections);
    case O_WORKERS:
        return number("workers", 1, 50000, &o->workers);
    case O_NAMES:
        return number("names", 1, 100000000, &o->names);
    case O_SECONDS:
        return number("seconds", 1, 600, &o->seconds);
    case O_DIR:
        o->dir = optarg;
        return true;
    case 'o':
        o->json = strcmp(optarg, "json") == 0;
        return o->json || strcmp(optarg, "table") == 0;
    case O_HELP:
        help();
        exit(0);
    default:
        return false;
    }
}

/* The folders of the programs: bin/ holds this one, examples/ is beside it. */
static int places(char bin[PATH_MAX], char examples[PATH_MAX + 16])
{
    ssize_t n = readlink("/proc/self/exe", bin, PATH_MAX - 1);
    if (n <= 0)
        return -1;
    bin[n] = 0;
    dirname(bin);
    char copy[PATH_MAX];
    memcpy(copy, bin, sizeof copy);
    snprintf(examples, PATH_MAX + 16, "%s/examples", dirname(copy));
    return 0;
}

/* "2 cores, Linux 6.1, SQLite …": what a reader must know to compare. */
static char *machine(const char *dir)
{
    struct utsname u;
    uname(&u);
    return mem_printf("%d cores, %s %s %s, SQLite %s, one fdatasync %.2f ms", get_nprocs(), u.sysname,
                      u.release, u.machine, db_library_version(), raw_fdatasync_ms(dir, 100));
}

static int measure_all(struct bench *b, const struct options *o)
{
    int status = 0;
    for (size_t i = 0; i < COUNT(figures); i++) {
        struct err e = {0};
        if (o->some && !o->wanted[i])
            continue;
        if (figures[i]->measure(b, &e) < 0) {
            fprintf(stderr, "skep-bench: %s: %s\n", figures[i]->name, e.text);
            status = 1;
        }
    }
    return status;
}

static struct bench bench_of(const struct options *o)
{
    struct bench b = {.quick = o->quick, .nodes = (int)o->nodes, .connections = (int)o->connections};
    b.runs = (int)(o->runs ? o->runs : o->quick ? 2 : 5);
    b.many = (int)(o->workers ? o->workers : o->quick ? 600 : 10000);
    b.workers = (int)(o->workers ? o->workers : o->quick ? 100 : 1000);
    b.names = o->names ? o->names : o->quick ? 50000 : 1000000;
    b.run_ms = 1000 * (o->seconds ? o->seconds : o->quick ? 1 : 3);
    b.warm_ms = o->quick ? 200 : 500;
    return b;
}

int main(int argc, char **argv)
{
    struct options o = {.nodes = 3, .dir = getenv("TMPDIR")};
    char bin[PATH_MAX], examples[PATH_MAX + 16];
    for (int c; (c = getopt_long(argc, argv, "o:", longs, NULL)) != -1;)
        if (!option(&o, c))
            return 64;
    if (optind < argc || places(bin, examples) < 0) {
        fprintf(stderr, "skep-bench: takes options only; --help lists them\n");
        return 64;
    }
    signal(SIGPIPE, SIG_IGN);
    AUTOFREE char *dir = mem_printf("%s/skep-bench-XXXXXX", o.dir ? o.dir : "/tmp");
    if (!mkdtemp(dir)) {
        fprintf(stderr, "skep-bench: cannot make a folder in %s: %m\n", o.dir ? o.dir : "/tmp");
        return 1;
    }
    struct bench b = bench_of(&o);
    b.bin = bin;
    b.examples = examples;
    b.dir = dir;
    AUTOFREE char *about = machine(dir);
    progress("%s", about);
    int status = measure_all(&b, &o);
    if (o.json)
        report_json(&b.report, about, b.quick);
    else
        report_table(&b.report);
    report_fini(&b.report);
    folder_remove(dir);
    return status;
}
