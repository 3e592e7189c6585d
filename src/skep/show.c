/* skep show: one child, everything about it. */
#include "skep/cli.h"
#include "skep/options.h"

static const struct verb_option options[] = {
    OPTION_SWARM,
    {.name = "read",
     .kind = OPT_TEXT,
     .value = "W",
     .help = "whom to ask: the node itself, or the owner",
     .words = "local owner"},
    OPTION_END,
};

static int run(struct cli *c, struct err *e)
{
    struct str path AUTOSTR = STR_INIT;
    char *child AUTOFREE = cli_child_path(c, args_word(&c->args, 0), "");
    str_puts(&path, child);
    const char *read = args_text(&c->args, "read");
    if (read && strcmp(read, "owner") == 0)
        str_puts(&path, "?read=owner");
    return cli_show(c, "GET", str_get(&path), NULL, e);
}

const struct verb verb_show = {
    .name = "show",
    .args = "NAME",
    .help = "Show everything about one child.",
    .options = options,
    .args_min = 1,
    .args_max = 1,
    .complete = COMPLETE_CHILD,
    .run = run,
};
