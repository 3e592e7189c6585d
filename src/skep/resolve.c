/* skep resolve: which side of a healed conflict goes on. */
#include "skep/cli.h"
#include "skep/options.h"

static const struct verb_option options[] = {OPTION_SWARM, OPTION_END};

static int run(struct cli *c, struct err *e)
{
    char *path AUTOFREE = cli_child_path(c, args_word(&c->args, 0), "/conflict");
    struct str body AUTOSTR = STR_INIT;
    struct jw j = jw_init(&body);
    jw_object(&j);
    jw_kv_string(&j, "keep", args_word(&c->args, 1));
    jw_object_close(&j);
    jw_end(&j);
    return cli_tell(c, "POST", path, str_get(&body), "{name} runs on {node}, epoch {epoch}", e);
}

const struct verb verb_resolve = {
    .name = "resolve",
    .args = "NAME winner|loser",
    .help = "Say which side of a healed conflict goes on, where the swarm asks.",
    .options = options,
    .args_min = 2,
    .args_max = 2,
    .complete = COMPLETE_CHILD,
    .run = run,
};
