/* skep history: what happened to a name, oldest first, also after it is gone. */
#include "skep/cli.h"
#include "skep/options.h"

static const struct verb_option options[] = {OPTION_SWARM, OPTION_LIMIT, OPTION_END};

static const struct column columns[] = {
    {"AT", "at", CELL_TEXT},     {"EVENT", "type", CELL_STATUS}, {"NODE", "node", CELL_TEXT},
    {"DATA", "data", CELL_LONG}, {NULL, NULL, CELL_TEXT},
};

static int run(struct cli *c, struct err *e)
{
    char *path AUTOFREE = cli_child_path(c, args_word(&c->args, 0), "/history");
    return cli_list(c, path, "history", columns, e);
}

const struct verb verb_history = {
    .name = "history",
    .args = "NAME",
    .help = "List what happened to a name, also after it is gone.",
    .options = options,
    .args_min = 1,
    .args_max = 1,
    .complete = COMPLETE_CHILD,
    .run = run,
};
