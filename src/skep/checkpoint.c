/* skep checkpoint: asks a worker for its state now. */
#include "skep/cli.h"
#include "skep/options.h"

static const struct verb_option options[] = {OPTION_SWARM, OPTION_END};

static int run(struct cli *c, struct err *e)
{
    char *path AUTOFREE = cli_child_path(c, args_word(&c->args, 0), "/checkpoint");
    return cli_show(c, "POST", path, "{}", e);
}

const struct verb verb_checkpoint = {
    .name = "checkpoint",
    .args = "NAME",
    .help = "Have a worker save its state now.",
    .options = options,
    .args_min = 1,
    .args_max = 1,
    .complete = COMPLETE_CHILD,
    .run = run,
};
