/* skep stop: ends processes and frees their names; several, or those of standard input, in one call. */
#include "skep/batch.h"
#include "skep/cli.h"
#include "skep/options.h"

static const struct verb_option options[] = {OPTION_SWARM, OPTION_NO_WAIT, OPTION_END};

static int run(struct cli *c, struct err *e)
{
    bool goes_on = args_flag(&c->args, "no-wait"); /* one may be stopped as many are */
    if (goes_on || c->args.words_n > 1 || strcmp(args_word(&c->args, 0), "-") == 0)
        return batch_stop(c, e);
    char *path AUTOFREE = cli_child_path(c, args_word(&c->args, 0), "");
    return cli_tell(c, "DELETE", path, NULL, "{name} is gone", e);
}

const struct verb verb_stop = {
    .name = "stop",
    .args = "NAME…|-",
    .help = "Stop processes and free their names; returns once they are gone.",
    .options = options,
    .args_min = 1,
    .args_max = -1,
    .complete = COMPLETE_CHILD,
    .run = run,
};
