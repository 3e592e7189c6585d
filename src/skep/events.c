/* skep events: what happened in the cluster, from the node's bounded log. */
#include "skep/cli.h"
#include "skep/options.h"

static const struct verb_option options[] = {
    {.name = "type", .kind = OPT_TEXT, .value = "T", .help = "only events of this type"},
    {.name = "name",
     .kind = OPT_TEXT,
     .value = "NAME",
     .help = "only events of this name",
     .complete = COMPLETE_CHILD},
    {.name = "swarm", .letter = 's', .kind = OPT_TEXT, .value = "S", .help = "only events of this swarm"},
    OPTION_LIMIT,
    OPTION_END,
};

static const struct column columns[] = {
    {"ID", "id", CELL_TEXT},     {"AT", "at", CELL_TEXT},       {"EVENT", "type", CELL_TEXT},
    {"NODE", "node", CELL_TEXT}, {"SWARM", "swarm", CELL_TEXT}, {"NAME", "name", CELL_TEXT},
    {"DATA", "data", CELL_LONG}, {NULL, NULL, CELL_TEXT},
};

static int run(struct cli *c, struct err *e)
{
    struct str path AUTOSTR = STR_INIT;
    str_puts(&path, "/v1/events");
    cli_query(c, &path, "type");
    cli_query(c, &path, "name");
    cli_query(c, &path, "swarm");
    return cli_list(c, str_get(&path), "events", columns, e);
}

const struct verb verb_events = {
    .name = "events",
    .args = "",
    .help = "List what happened in the cluster.",
    .options = options,
    .run = run,
};
