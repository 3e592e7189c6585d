/* skep forget: a node that never comes back; its certificate is refused from now on. */
#include "skep/cli.h"

static int run(struct cli *c, struct err *e)
{
    char *path AUTOFREE = path_printf("/v1/nodes/%s", args_word(&c->args, 0));
    return cli_tell(c, "DELETE", path, NULL, "{name} is forgotten", e);
}

const struct verb verb_forget = {
    .name = "forget",
    .args = "NODE",
    .help = "Forget a node that never comes back, and refuse its certificate.",
    .args_min = 1,
    .args_max = 1,
    .complete = COMPLETE_NODE,
    .run = run,
};
