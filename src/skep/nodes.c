/* skep nodes: who belongs to the cluster and how well this node hears them. */
#include "skep/cli.h"
#include "skep/options.h"

static const struct verb_option options[] = {
    {.name = "status",
     .kind = OPT_TEXT,
     .value = "S",
     .help = "only those with this status",
     .words = "healthy suspect down left"},
    OPTION_LIMIT,
    OPTION_QUIET,
    OPTION_END,
};

static const struct column columns[] = {
    {"NAME", "name", CELL_TEXT},       {"STATUS", "status", CELL_STATUS},
    {"ROLE", "role", CELL_TEXT},       {"LINK", "link", CELL_TEXT},
    {"RTT ms", "rtt_ms", CELL_NUMBER}, {"CLOCK ms", "clock_off_ms", CELL_NUMBER},
    {"LOAD", "load", CELL_NUMBER},     {"LABELS", "labels", CELL_LONG},
    {"URL", "url", CELL_TEXT},         {"UP", "started_at", CELL_TIME},
    {"VERSION", "version", CELL_TEXT}, {"ID", "id", CELL_TEXT},
    {NULL, NULL, CELL_TEXT},
};

static int run(struct cli *c, struct err *e)
{
    const char *node = args_word(&c->args, 0);
    if (node) {
        char *path AUTOFREE = path_printf("/v1/nodes/%s", node);
        return cli_show(c, "GET", path, NULL, e);
    }
    struct str path AUTOSTR = STR_INIT;
    str_puts(&path, "/v1/nodes");
    cli_query(c, &path, "status");
    return cli_list(c, str_get(&path), "nodes", columns, e);
}

const struct verb verb_nodes = {
    .name = "nodes",
    .args = "[NODE]",
    .help = "List the nodes of the cluster, or show one.",
    .options = options,
    .args_max = 1,
    .complete = COMPLETE_NODE,
    .run = run,
};
