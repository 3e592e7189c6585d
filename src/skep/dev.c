/* skep dev: a whole cluster on loopback, with TLS, in one command. */
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "skep/cli.h"
#include "skep/devrun.h"
#include "skep/devstate.h"
#include "skep/folder.h"
#include "skep/options.h"

#define READY_MS 60000

/* Contract: {"nodes":[{"name","url","socket","db","pid","keeper_pid","argv"}],"ca","token"}, and "dir". */
static void describe(const struct devcluster *c, const struct devrun *r, struct str *s)
{
    struct jw j = jw_init(s);
    jw_object(&j);
    jw_kv_array(&j, "nodes");
    for (size_t i = 0; i < c->n; i++) {
        const struct devnode *n = &c->nodes[i];
        jw_object(&j);
        jw_kv_string(&j, "name", n->name);
        jw_kv_string(&j, "url", n->url);
        jw_kv_string(&j, "socket", n->socket);
        jw_kv_string(&j, "db", n->db);
        jw_kv_i64(&j, "pid", r->started_pid[i]);
        if (r->keeper_pid[i])
            jw_kv_i64(&j, "keeper_pid", r->keeper_pid[i]);
        else
            jw_kv_null(&j, "keeper_pid");
        cli_put_words(&j, "argv", (char *const[]){r->skepd, (char *)"--config", n->conf, NULL});
        jw_object_close(&j);
    }
    jw_array_close(&j);
    jw_kv_string(&j, "ca", c->ca);
    jw_kv_string(&j, "token", c->token);
    jw_kv_string(&j, "dir", c->dir);
    jw_object_close(&j);
    jw_end(&j);
}

/* "skep" where the PATH finds this very program, else its whole path. Yours. */
static char *own_name(void)
{
    char self[PATH_MAX], found[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = 0;
    const char *path = getenv("PATH");
    while (path && *path) {
        size_t len = strcspn(path, ":");
        char *candidate AUTOFREE = mem_printf("%.*s/skep", (int)len, path);
        if (access(candidate, X_OK) == 0)
            return mem_dup(realpath(candidate, found) && strcmp(found, self) == 0 ? "skep" : self);
        path += len + (path[len] == ':');
    }
    return mem_dup(self);
}

/* Yours. */
static char *quoted(const char *word)
{
    struct str s = STR_INIT;
    shell_word(&s, word);
    return str_take(&s);
}

static void tell_nodes(const struct devcluster *c, const struct devrun *r)
{
    put_line("skep %s: %zu node%s, TLS 1.3, every program allowed\n", SKEP_VERSION, c->n,
             c->n == 1 ? "" : "s");
    for (size_t i = 0; i < c->n; i++) {
        put_line("  node %s  %s, pid %lld", c->nodes[i].name, c->nodes[i].url, (long long)r->started_pid[i]);
        put_line("          folder %s", c->nodes[i].dir);
        put_line("          socket %s", c->nodes[i].socket);
    }
    put_line("\n  CA      %s", c->ca);
    put_line("  token   %s/token (admin)", c->dir);
}

static void tell_people(const struct devcluster *c, const struct devrun *r)
{
    char *self AUTOFREE = own_name(), *skep AUTOFREE = quoted(self);
    char *db AUTOFREE = quoted(c->nodes[0].db), *dir AUTOFREE = quoted(c->dir);
    tell_nodes(c, r);
    put_line("  look    sqlite3 -readonly %s 'SELECT name, status, node FROM v_child'", db);
    put_text("\nTry, in another terminal:\n");
    put_line("  %s start clock -- sh -c 'while date; do sleep 1; done'", skep);
    put_line("  %s ps", skep);
    put_line("  %s why clock", skep);
    put_line("  %s logs -f clock", skep);
    put_text("\nThen kill the node it runs on (kill -9 PID) and look again. Ctrl-C ends the cluster;\n");
    put_line("%s dev --dir %s resumes it.", skep, dir);
}

static void block_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
}

/* From the start to the end of all nodes. */
static int live(struct cli *c, const struct devcluster *cluster, struct devrun *r, struct err *e)
{
    bool asked = false;
    struct str state AUTOSTR = STR_INIT;
    int rc = devrun_start(r, e);
    if (rc == 0)
        rc = devrun_wait_ready(r, READY_MS, &asked, e);
    if (rc == 0) {
        struct err why = {0};
        describe(cluster, r, &state);
        if (devstate_write(&state, &why))
            fprintf(stderr, "skep: other commands will need --addr: %s\n", why.text);
        if (c->style.format == FORMAT_TABLE)
            tell_people(cluster, r);
        else
            put_line("%s", str_get(&state));
        devrun_wait_end(r);
    }
    devrun_stop(r);
    if (state.n)
        devstate_forget(&state);
    return asked ? 0 : rc;
}

static int run(struct cli *c, struct err *e)
{
    int64_t n = 0, base_port = 0;
    struct devcluster cluster;
    struct devrun r;
    args_i64(&c->args, "nodes", &n);
    args_i64(&c->args, "base-port", &base_port);
    if (base_port + n > 65536)
        return err_set(e, SKEP_EUSAGE, "there are no %lld ports from %lld on", (long long)n,
                       (long long)base_port);
    block_signals();
    int rc = devcluster_open(args_text(&c->args, "dir"), (size_t)n, (uint16_t)base_port, &cluster, e);
    if (rc)
        return rc;
    rc = devrun_init(&r, &cluster, e);
    if (rc == 0) {
        rc = live(c, &cluster, &r, e);
        devrun_fini(&r);
    }
    devcluster_fini(&cluster);
    return rc;
}

static const struct verb_option options[] = {
    {.name = "nodes",
     .letter = 'n',
     .kind = OPT_INT,
     .value = "N",
     .help = "so many nodes; 1, or what DIR holds, if not said",
     .min = 1,
     .max = DEV_NODES_MAX},
    {.name = "dir",
     .letter = 'd',
     .kind = OPT_TEXT,
     .value = "DIR",
     .help = "its folder; a new temporary one if not said",
     .complete = COMPLETE_FOLDER},
    {.name = "base-port",
     .kind = OPT_INT,
     .value = "P",
     .help = "ports P, P+1, …; any free ones if not said",
     .min = 1,
     .max = 65535},
    OPTION_END,
};

const struct verb verb_dev = {
    .name = "dev",
    .args = "",
    .help = "Run a cluster on this machine, to try things out or to test against.",
    .more = "With -o json one object is printed once all nodes are ready and see each other. The nodes end "
            "with this\n"
            "command; the same DIR resumes the same cluster.",
    .options = options,
    .run = run,
};
