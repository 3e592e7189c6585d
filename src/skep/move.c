/* skep move: the same process, with its state, on another node. */
#include "skep/cli.h"
#include "skep/options.h"
#include "wire/json.h"

static const struct verb_option options[] = {OPTION_SWARM, OPTION_END};

static int run(struct cli *c, struct err *e)
{
    char *path AUTOFREE = cli_child_path(c, args_word(&c->args, 0), "/move");
    AUTOSTR struct str body = STR_INIT;
    struct jw j = jw_init(&body);
    jw_object(&j);
    if (args_word(&c->args, 1))
        jw_kv_string(&j, "node", args_word(&c->args, 1));
    jw_object_close(&j);
    jw_end(&j);
    return cli_tell(c, "POST", path, str_get(&body), "{name}: {status} on {node}, pid {pid}, epoch {epoch}",
                    e);
}

const struct verb verb_move = {
    .name = "move",
    .args = "NAME [NODE]",
    .help = "Move a process and its state to another node.",
    .options = options,
    .args_min = 1,
    .args_max = 2,
    .complete = COMPLETE_CHILD,
    .run = run,
};
