/* skep call: a question to whoever holds the name; its reply is what is printed. */
#include "skep/cli.h"
#include "skep/options.h"

static const struct verb_option options[] = {OPTION_SWARM, OPTION_TEXT, OPTION_END};

static int run(struct cli *c, struct err *e)
{
    char *data AUTOFREE = NULL, *path AUTOFREE = cli_child_path(c, args_word(&c->args, 0), "/calls");
    int rc = cli_data(c, args_word(&c->args, 1), &data, e);
    if (rc)
        return rc;
    char *body AUTOFREE = mem_printf("{\"data\":%s}", data);
    return cli_tell(c, "POST", path, body, "{data}", e);
}

const struct verb verb_call = {
    .name = "call",
    .args = "NAME DATA|-",
    .help = "Ask the process that holds a name, and print its reply.",
    .more = "DATA that is JSON is sent as JSON, anything else as a string.",
    .options = options,
    .args_min = 2,
    .args_max = 2,
    .complete = COMPLETE_CHILD,
    .run = run,
};
