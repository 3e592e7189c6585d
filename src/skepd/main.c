/* skepd: the coordinator of a node. Reads its options and runs until the node has ended. */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "real/host.h"
#include "real/machine.h"

#define FLAGS_MAX 128

static const char usage[] =
    "usage: skepd [--config FILE] [--SETTING VALUE]...\n"
    "\n"
    "Runs the node of a folder until it is told to stop. `skep init` makes a node, `skep dev` a whole "
    "cluster to try.\n"
    "\n"
    "  --config FILE    settings (else $SKEP_CONFIG, else " CONFIG_FILE ")\n"
    "  --SETTING VALUE  any setting, e.g. --dir /var/lib/skep --listen 127.0.0.1:7537; `skep config show` "
    "lists them\n"
    "  --check          reads the configuration, says what is wrong with it, and ends\n"
    "  --version, --help\n"
    "\n"
    "Signals: TERM, INT stop (again: now), HUP reads the configuration again, USR1 reopens the children's "
    "logs.\n";

struct options {
    const char *config;
    struct config_flag flags[FLAGS_MAX];
    size_t flags_n;
    bool help, version, check;
    char *owned[FLAGS_MAX]; /* names cut from --name=value */
};

static void options_fini(struct options *o)
{
    for (size_t i = 0; i < o->flags_n; i++)
        free(o->owned[i]);
}

static int flag_add(struct options *o, char *name TAKES, const char *value, struct err *e)
{
    if (o->flags_n == FLAGS_MAX || !value) {
        int rc = o->flags_n == FLAGS_MAX ? err_set(e, SKEP_EUSAGE, "too many flags; put settings into a file")
                                         : err_set(e, SKEP_EUSAGE, "--%s needs a value", name);
        free(name);
        return rc;
    }
    if (strcmp(name, "config") == 0) {
        o->config = value;
        free(name);
        return 0;
    }
    o->owned[o->flags_n] = name;
    o->flags[o->flags_n++] = (struct config_flag){name, value};
    return 0;
}

/* --name value and --name=value. */
static int flags_read(struct options *o, int argc, char **argv, struct err *e)
{
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0)
            o->help = true;
        else if (strcmp(arg, "--version") == 0)
            o->version = true;
        else if (strcmp(arg, "--check") == 0)
            o->check = true;
        else if (!text_starts(arg, "--") || arg[2] == 0)
            return err_set(e, SKEP_EUSAGE, "%s is no flag; skepd --help says what there is", arg);
        else {
            const char *equals = strchr(arg, '=');
            char *name = equals ? mem_copy(arg + 2, (size_t)(equals - arg) - 2) : mem_dup(arg + 2);
            int rc = flag_add(o, name, equals ? equals + 1 : argv[++i < argc ? i : argc], e);
            if (rc < 0)
                return rc;
        }
    }
    return 0;
}

/* skep-keeper lives beside skepd. */
static char *keeper_path(void)
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = 0;
    char *slash = strrchr(self, '/');
    return mem_printf("%.*s/skep-keeper", slash ? (int)(slash - self) : 0, self);
}

static int run(const struct options *o, int *ret_status, struct err *e)
{
    struct config config;
    struct setup *setup;
    struct host *host;
    AUTOFREE char *keeper = keeper_path(), *cgroup = machine_cgroup();
    int rc = config_load(&config, o->config, environ, o->flags, o->flags_n, e);
    if (rc == 0)
        rc = setup_new(&config, environ, &setup, e);
    if (rc < 0)
        return rc;
    if (o->check) {
        setup_unref(setup);
        return 0;
    }
    struct host_options ho = {.setup = setup, .keeper_path = keeper, .envp = environ, .cgroup = cgroup};
    rc = host_new(&ho, &host, e);
    if (rc < 0)
        return rc;
    *ret_status = host_run(host);
    host_free(host);
    return 0;
}

int main(int argc, char **argv)
{
    struct options o = {0};
    struct err e = {0};
    int status = 0, rc = flags_read(&o, argc, argv, &e);
    if (rc == 0 && o.help)
        fputs(usage, stdout);
    else if (rc == 0 && o.version)
        puts("skepd " SKEP_VERSION);
    else if (rc == 0)
        rc = run(&o, &status, &e);
    options_fini(&o);
    if (rc == 0)
        return status;
    fprintf(stderr, "skepd: %s\n", e.text);
    return err_info(e.code)->exit_status;
}
