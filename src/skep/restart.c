/* skep restart: the same spec, a new process. */
#include "skep/cli.h"
#include "skep/options.h"

static const struct verb_option options[] = {OPTION_SWARM, OPTION_END};

static int run(struct cli *c, struct err *e)
{
    int rc = 0;
    for (size_t i = 0; i < c->args.words_n && rc == 0; i++) {
        char *path AUTOFREE = cli_child_path(c, c->args.word[i], "/restart");
        rc = cli_tell(c, "POST", path, "{}", "{name}: {status} on {node}, pid {pid}, epoch {epoch}", e);
    }
    return rc;
}

const struct verb verb_restart = {
    .name = "restart",
    .args = "NAME…",
    .help = "End a process and start it again from its spec.",
    .options = options,
    .args_min = 1,
    .args_max = -1,
    .complete = COMPLETE_CHILD,
    .run = run,
};
