/* skep hooks: what is run, called or told when something happens. */
#include "skep/cli.h"
#include "skep/options.h"

static char *hook_path(const struct cli *c)
{
    return path_printf("/v1/hooks/%s/%s", args_word(&c->args, 0), args_word(&c->args, 1));
}

/* The kind follows from what was given. */
static int put_kind(struct cli *c, struct jw *j, struct err *e)
{
    const char *url = args_text(&c->args, "url"), *to = args_text(&c->args, "to");
    bool program = c->args.tail && c->args.tail[0];
    if ((url != NULL) + (to != NULL) + program != 1)
        return err_set(
            e, SKEP_EUSAGE,
            "say one of: --url URL, --to NAME, or a program behind \"--\": skep hooks put %s %s -- COMMAND…",
            args_word(&c->args, 0), args_word(&c->args, 1));
    jw_kv_string(j, "kind", url ? "url" : to ? "message" : "exec");
    cli_put_text(c, j, "url");
    cli_put_text(c, j, "secret");
    if (program)
        cli_put_words(j, "argv", c->args.tail);
    if (to) {
        jw_kv_object(j, "to");
        jw_kv_string(j, "name", to);
        if (args_text(&c->args, "to-swarm"))
            jw_kv_string(j, "swarm", args_text(&c->args, "to-swarm"));
        jw_object_close(j);
    }
    return cli_put_env(c, j, e);
}

static int put_body(struct cli *c, struct str *body, struct err *e)
{
    static const char *const numbers[] = {"priority", "concurrency", "queue", "attempts"};
    int64_t call_ms;
    struct jw j = jw_init(body);
    jw_object(&j);
    int rc = put_kind(c, &j, e);
    if (rc)
        return rc;
    cli_put_text(c, &j, "swarm");
    cli_put_text(c, &j, "name");
    cli_put_text(c, &j, "where");
    for (size_t i = 0; i < COUNT(numbers); i++)
        cli_put_i64(c, &j, numbers[i]);
    if (args_i64(&c->args, "call-ms", &call_ms)) /* --timeout-ms is how long skep waits for the node */
        jw_kv_i64(&j, "timeout_ms", call_ms);
    if (args_flag(&c->args, "required"))
        jw_kv_bool(&j, "required", true);
    jw_object_close(&j);
    jw_end(&j);
    return 0;
}

static int run_put(struct cli *c, struct err *e)
{
    struct str body AUTOSTR = STR_INIT;
    int rc = put_body(c, &body, e);
    char *path AUTOFREE = hook_path(c);
    return rc ? rc : cli_tell(c, "PUT", path, str_get(&body), "hook {id} of {event} is there", e);
}

static int run_ls(struct cli *c, struct err *e)
{
    static const struct column columns[] = {{"EVENT", "event", CELL_TEXT},
                                            {"ID", "id", CELL_TEXT},
                                            {"KIND", "kind", CELL_TEXT},
                                            {"PRIORITY", "priority", CELL_TEXT},
                                            {"WAITING", "here.waiting", CELL_TEXT},
                                            {"FAILED", "here.detail", CELL_LONG},
                                            {NULL, NULL, CELL_TEXT}};
    struct str path AUTOSTR = STR_INIT;
    str_puts(&path, "/v1/hooks");
    cli_query(c, &path, "event");
    return cli_list(c, str_get(&path), "hooks", columns, e);
}

static int run_show(struct cli *c, struct err *e)
{
    char *path AUTOFREE = hook_path(c);
    return cli_show(c, "GET", path, NULL, e);
}

static int run_rm(struct cli *c, struct err *e)
{
    char *path AUTOFREE = hook_path(c);
    return cli_tell(c, "DELETE", path, NULL, "hook {id} of {event} is gone", e);
}

static const struct verb_option put_options[] = {
    {.name = "url", .kind = OPT_TEXT, .value = "URL", .help = "POST the event there"},
    {.name = "secret", .kind = OPT_TEXT, .value = "NAME", .help = "sign with this one of hook_secrets"},
    {.name = "to",
     .kind = OPT_TEXT,
     .value = "NAME",
     .help = "send the event to this worker",
     .complete = COMPLETE_CHILD},
    {.name = "to-swarm", .kind = OPT_TEXT, .value = "S", .help = "the swarm of that worker; default"},
    {.name = "env",
     .letter = 'e',
     .kind = OPT_MANY,
     .value = "K=V",
     .help = "one more variable of the program's environment; no secrets"},
    {.name = "swarm",
     .letter = 's',
     .kind = OPT_TEXT,
     .value = "P",
     .help = "only events of such a swarm; * and ?"},
    {.name = "name", .kind = OPT_TEXT, .value = "P", .help = "only events of such a name; * and ?"},
    {.name = "where", .kind = OPT_TEXT, .value = "W", .help = "which node runs it", .words = "origin every"},
    {.name = "priority",
     .kind = OPT_INT,
     .value = "N",
     .help = "the highest begins first; 0",
     .min = -1000000,
     .max = 1000000},
    OPTION_INT("call-ms", "N", "how long a call may take; 5000"),
    OPTION_INT("concurrency", "N", "calls at once on a node; 1"),
    OPTION_INT("queue", "N", "events that may wait on a node; 1000"),
    OPTION_INT("attempts", "N", "how often a call is tried; 20, of programs 1"),
    {.name = "required", .kind = OPT_FLAG, .help = "child_data_alter: no start without a good answer"},
    OPTION_END,
};
static const struct verb_option list_options[] = {
    {.name = "event", .kind = OPT_TEXT, .value = "E", .help = "only hooks of this event"},
    OPTION_LIMIT,
    OPTION_QUIET,
    OPTION_END};

static const struct verb put_verb = {
    .name = "put",
    .args = "EVENT ID [-- COMMAND…]",
    .help = "Make a hook: a program, a URL or a worker for an event.",
    .options = put_options,
    .args_min = 2,
    .args_max = 2,
    .tail = true,
    .run = run_put,
};
static const struct verb ls_verb = {
    .name = "ls",
    .args = "",
    .help = "List the hooks, and what waits for them on this node.",
    .options = list_options,
    .run = run_ls,
};
static const struct verb show_verb = {
    .name = "show",
    .args = "EVENT ID",
    .help = "Show one hook.",
    .args_min = 2,
    .args_max = 2,
    .run = run_show,
};
static const struct verb rm_verb = {
    .name = "rm",
    .args = "EVENT ID",
    .help = "Remove a hook, with what waits for it.",
    .args_min = 2,
    .args_max = 2,
    .run = run_rm,
};
static const struct verb *const subs[] = {&put_verb, &ls_verb, &show_verb, &rm_verb, NULL};

const struct verb verb_hooks = {
    .name = "hooks",
    .help = "Run, call or tell when something happens.",
    .subs = subs,
};
