/* skep drain: everything moves away from a node, which stays a member; asked again, how many are left. */
#include "skep/cli.h"
#include "skep/options.h"

static const struct verb_option options[] = {
    {.name = "undo", .kind = OPT_FLAG, .help = "let it take processes again"},
    OPTION_END,
};

static int run(struct cli *c, struct err *e)
{
    char *path AUTOFREE = path_printf("/v1/nodes/%s/drain", args_word(&c->args, 0));
    if (args_flag(&c->args, "undo"))
        return cli_tell(c, "DELETE", path, NULL, "{node} takes processes again", e);
    return cli_tell(c, "PUT", path, NULL, "{node} takes nothing new; processes left there: {children}", e);
}

const struct verb verb_drain = {
    .name = "drain",
    .args = "NODE",
    .help = "Move everything away from a node, which stays a member.",
    .more = "Asked again, it says how many are left there.",
    .options = options,
    .args_min = 1,
    .args_max = 1,
    .complete = COMPLETE_NODE,
    .run = run,
};
