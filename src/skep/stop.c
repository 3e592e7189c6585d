/* skep stop: ends processes and frees their names, one after the other; the first failure ends it. */
#include "skep/cli.h"
#include "skep/options.h"

static const struct verb_option options[] = {OPTION_SWARM, OPTION_END};

static int run(struct cli *c, struct err *e)
{
    int rc = 0;
    for (size_t i = 0; i < c->args.words_n && rc == 0; i++) {
        char *path AUTOFREE = cli_child_path(c, c->args.word[i], "");
        rc = cli_tell(c, "DELETE", path, NULL, "{name} is gone", e);
    }
    return rc;
}

const struct verb verb_stop = {
    .name = "stop",
    .args = "NAME…",
    .help = "Stop processes and free their names; returns once they are gone.",
    .options = options,
    .args_min = 1,
    .args_max = -1,
    .complete = COMPLETE_CHILD,
    .run = run,
};
