/* skep init: the first node of a new cluster, and the cluster's CA with it. */
#include "skep/cli.h"
#include "skep/folder.h"
#include "skep/options.h"

static void tell(const struct cli *c, const struct folder *f)
{
    char cluster[ID_TEXT], node[ID_TEXT];
    char *conf AUTOFREE = folder_path(f->dir, "skep.conf"),
               *token AUTOFREE = folder_path(f->dir, "admin.token");
    char *ca AUTOFREE = folder_path(f->dir, "ca.crt");
    struct str s AUTOSTR = STR_INIT;
    struct jw j = jw_init(&s);
    jw_object(&j);
    jw_kv_string(&j, "cluster", id_text(&f->cluster, cluster));
    jw_kv_string(&j, "node", f->name);
    jw_kv_string(&j, "id", id_text(&f->node, node));
    jw_kv_string(&j, "url", f->advertise);
    jw_kv_string(&j, "conf", conf);
    jw_kv_string(&j, "ca", ca);
    jw_kv_string(&j, "token_file", token);
    jw_object_close(&j);
    jw_end(&j);
    cli_print_told(c, (struct span){s.p, s.n},
                   "cluster {cluster}, node {node}, reached at {url}\n"
                   "\n"
                   "Allow what it may run in {conf} (allow_exec), then start it:\n"
                   "  skepd --config {conf}\n"
                   "From elsewhere:\n"
                   "  skep --addr {url} --cacert {ca} --token-file {token_file} nodes");
}

static int run(struct cli *c, struct err *e)
{
    const char *dir = args_text(&c->args, "dir"), *name = args_text(&c->args, "name");
    const char *listen = args_text(&c->args, "listen"), *advertise = args_text(&c->args, "advertise");
    listen = listen ? listen : LISTEN_DEFAULT;
    char *absolute AUTOFREE = folder_absolute(dir ? dir : c->config.dir);
    char *reached AUTOFREE = advertise ? mem_dup(advertise) : folder_advertise(listen);
    struct folder f = {
        .dir = absolute, .name = name ? name : c->config.node, .listen = listen, .advertise = reached};
    int rc = folder_check(&f, e);
    if (rc)
        return rc;
    rc = folder_found(&f, e);
    if (rc == 0)
        tell(c, &f);
    return rc;
}

static const struct verb_option options[] = {
    {.name = "dir",
     .letter = 'd',
     .kind = OPT_TEXT,
     .value = "D",
     .help = "its folder; /var/lib/skep if not said",
     .complete = COMPLETE_FOLDER},
    {.name = "name", .kind = OPT_TEXT, .value = "N", .help = "its readable name; the host's if not said"},
    {.name = "listen",
     .kind = OPT_TEXT,
     .value = "H:P",
     .help = "where it listens; " LISTEN_DEFAULT " if not said"},
    {.name = "advertise",
     .kind = OPT_TEXT,
     .value = "URL",
     .help = "where others reach it: https://host:port"},
    OPTION_END,
};

const struct verb verb_init = {
    .name = "init",
    .args = "",
    .help = "Make a new cluster: its CA and its first node.",
    .more = "The folder then holds ca.crt, ca.key (keep it safe), node.crt, node.key, skep.conf, admin.token "
            "and skep.db.",
    .options = options,
    .run = run,
};
