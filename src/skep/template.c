/* skep template: what the worker of a session is started from. */
#include "skep/cli.h"
#include "skep/options.h"

static char *template_path(const struct cli *c)
{
    return path_printf("/v1/templates/%s", args_word(&c->args, 0));
}

static int run_put(struct cli *c, struct err *e)
{
    static const char *const numbers[] = {"idle-ms", "turn-ms", "approval-ms", "max-messages"};
    if (!c->args.tail || !c->args.tail[0])
        return err_set(e, SKEP_EUSAGE,
                       "what shall run? The command stands behind \"--\": skep template put %s -- COMMAND…",
                       args_word(&c->args, 0));
    struct str body AUTOSTR = STR_INIT;
    struct jw j = jw_init(&body);
    jw_object(&j);
    cli_put_words(&j, "argv", c->args.tail);
    for (size_t i = 0; i < COUNT(numbers); i++)
        cli_put_i64(c, &j, numbers[i]);
    cli_put_text(c, &j, "resume");
    int rc = cli_put_env(c, &j, e);
    if (rc)
        return rc;
    jw_object_close(&j);
    jw_end(&j);
    char *path AUTOFREE = template_path(c);
    return cli_tell(c, "PUT", path, str_get(&body), "template {id} is kept", e);
}

static int run_ls(struct cli *c, struct err *e)
{
    static const struct column columns[] = {{"ID", "id", CELL_TEXT},
                                            {"RESUME", "resume", CELL_TEXT},
                                            {"COMMAND", "argv", CELL_WORDS},
                                            {NULL, NULL, CELL_TEXT}};
    return cli_list(c, "/v1/templates", "templates", columns, e);
}

static int run_show(struct cli *c, struct err *e)
{
    char *path AUTOFREE = template_path(c);
    return cli_show(c, "GET", path, NULL, e);
}

static int run_rm(struct cli *c, struct err *e)
{
    char *path AUTOFREE = template_path(c);
    return cli_tell(c, "DELETE", path, NULL, "template {id} is gone", e);
}

static const struct verb_option put_options[] = {
    {.name = "env",
     .letter = 'e',
     .kind = OPT_MANY,
     .value = "K=V",
     .help = "one more variable of its environment; no secrets"},
    {.name = "resume",
     .kind = OPT_TEXT,
     .value = "R",
     .help = "what happens when its node is gone",
     .words = "eager lazy"},
    OPTION_INT("idle-ms", "N", "how long a worker stays without a turn"),
    OPTION_INT("turn-ms", "N", "how long a turn may take"),
    OPTION_INT("approval-ms", "N", "how long a turn waits for an approval"),
    OPTION_INT("max-messages", "N", "how many entries a turn is given"),
    OPTION_END,
};
static const struct verb_option list_options[] = {OPTION_LIMIT, OPTION_QUIET, OPTION_END};

static const struct verb put_verb = {
    .name = "put",
    .args = "ID -- COMMAND…",
    .help = "Keep a template, or replace it.",
    .options = put_options,
    .args_min = 1,
    .args_max = 1,
    .tail = true,
    .complete = COMPLETE_TEMPLATE,
    .run = run_put,
};
static const struct verb ls_verb = {
    .name = "ls",
    .args = "",
    .help = "List the templates.",
    .options = list_options,
    .run = run_ls,
};
static const struct verb show_verb = {
    .name = "show",
    .args = "ID",
    .help = "Show one template.",
    .args_min = 1,
    .args_max = 1,
    .complete = COMPLETE_TEMPLATE,
    .run = run_show,
};
static const struct verb rm_verb = {
    .name = "rm",
    .args = "ID",
    .help = "Remove a template.",
    .args_min = 1,
    .args_max = 1,
    .complete = COMPLETE_TEMPLATE,
    .run = run_rm,
};
static const struct verb *const subs[] = {&put_verb, &ls_verb, &show_verb, &rm_verb, NULL};

const struct verb verb_template = {
    .name = "template",
    .help = "Keep what the workers of sessions are started from.",
    .subs = subs,
};
