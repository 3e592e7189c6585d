/* skep checkpoint: the last state that a child has saved, or another in its place. */
#include "skep/cli.h"
#include "skep/options.h"

static const struct verb_option options[] = {OPTION_SWARM, OPTION_TEXT, OPTION_END};

static int run(struct cli *c, struct err *e)
{
    char *path AUTOFREE = cli_child_path(c, args_word(&c->args, 0), "/checkpoint");
    const char *word = args_word(&c->args, 1);
    if (!word)
        return cli_show(c, "GET", path, NULL, e);
    char *data AUTOFREE = NULL;
    int rc = cli_data(c, word, &data, e);
    if (rc < 0)
        return rc;
    char *body AUTOFREE = mem_printf("{\"data\":%s}", data);
    return cli_show(c, "POST", path, body, e);
}

const struct verb verb_checkpoint = {
    .name = "checkpoint",
    .args = "NAME [DATA|-]",
    .help = "Show the last saved state of a child, or replace it for its next start.",
    .options = options,
    .args_min = 1,
    .args_max = 2,
    .complete = COMPLETE_CHILD,
    .run = run,
};
