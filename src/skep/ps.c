/* skep ps: the children of a swarm, wherever they run. */
#include "skep/cli.h"
#include "skep/options.h"

static const struct verb_option options[] = {
    OPTION_SWARM,
    {.name = "tag",
     .letter = 't',
     .kind = OPT_TEXT,
     .value = "T",
     .help = "only those with this metadata.tag"},
    {.name = "node",
     .kind = OPT_TEXT,
     .value = "N",
     .help = "only those on this node",
     .complete = COMPLETE_NODE},
    {.name = "status",
     .kind = OPT_TEXT,
     .value = "S",
     .help = "only those with this status",
     .words = "starting running backoff stopping moving stopped failed"},
    OPTION_LIMIT,
    OPTION_QUIET,
    OPTION_END,
};

static const struct column columns[] = {
    {"NAME", "name", CELL_TEXT},           {"STATUS", "status", CELL_STATUS},
    {"NODE", "node", CELL_TEXT},           {"PID", "pid", CELL_NUMBER},
    {"EPOCH", "epoch", CELL_NUMBER},       {"AGE", "started_at", CELL_TIME},
    {"RESTARTS", "restarts", CELL_NUMBER}, {"TAG", "metadata.tag", CELL_TEXT},
    {"COMMAND", "spec.argv", CELL_WORDS},  {NULL, NULL, CELL_TEXT},
};

static int run(struct cli *c, struct err *e)
{
    struct str path AUTOSTR = STR_INIT;
    char *list AUTOFREE = path_printf("/v1/swarms/%s/children", cli_swarm(c));
    str_puts(&path, list);
    cli_query(c, &path, "tag");
    cli_query(c, &path, "node");
    cli_query(c, &path, "status");
    return cli_list(c, str_get(&path), "children", columns, e);
}

const struct verb verb_ps = {
    .name = "ps",
    .args = "",
    .help = "List what runs, or should run, in a swarm.",
    .options = options,
    .run = run,
};
