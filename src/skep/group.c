/* skep group: who is in which group, and messages to all of one. */
#include "skep/cli.h"
#include "skep/options.h"

static char *group_path(const struct cli *c, const char *rest)
{
    char *head AUTOFREE = path_printf("/v1/swarms/%s/groups/%s", cli_swarm(c), args_word(&c->args, 0));
    return mem_printf("%s%s", head, rest);
}

static char *member_path(const struct cli *c)
{
    return path_printf("/v1/swarms/%s/groups/%s/members/%s", cli_swarm(c), args_word(&c->args, 0),
                       args_word(&c->args, 1));
}

static int run_ls(struct cli *c, struct err *e)
{
    static const struct column columns[] = {
        {"GROUP", "group", CELL_TEXT},
        {"MEMBERS", "count", CELL_NUMBER},
        {"RESTART", "restart_strategy", CELL_TEXT},
        {NULL, NULL, CELL_TEXT},
    };
    char *path AUTOFREE = path_printf("/v1/swarms/%s/groups", cli_swarm(c));
    return cli_list(c, path, "groups", columns, e);
}

static int run_show(struct cli *c, struct err *e)
{
    static const struct column columns[] = {
        {"NAME", "name", CELL_TEXT},        {"KIND", "kind", CELL_TEXT},         {"NODE", "node", CELL_TEXT},
        {"JOINED", "joined_at", CELL_TIME}, {"METADATA", "metadata", CELL_LONG}, {NULL, NULL, CELL_TEXT},
    };
    char *path AUTOFREE = group_path(c, "");
    return cli_list(c, path, "members", columns, e);
}

static int run_set(struct cli *c, struct err *e)
{
    struct str body AUTOSTR = STR_INIT;
    char *path AUTOFREE = group_path(c, "");
    const char *word = args_text(&c->args, "restart-strategy");
    struct jw j = jw_init(&body);
    jw_object(&j);
    if (word)
        jw_kv_string(&j, "restart_strategy", word);
    jw_object_close(&j);
    jw_end(&j);
    return cli_tell(c, "PUT", path, str_get(&body), "{group} restarts {restart_strategy}", e);
}

static int run_delete(struct cli *c, struct err *e)
{
    char *path AUTOFREE = group_path(c, "");
    return cli_tell(c, "DELETE", path, NULL, "{group} is empty, and forgotten", e);
}

static int run_join(struct cli *c, struct err *e)
{
    struct str body AUTOSTR = STR_INIT;
    char *metadata AUTOFREE = NULL, *path AUTOFREE = member_path(c);
    int rc = cli_json_option(c, "metadata", JSON_T_OBJECT, &metadata, e);
    if (rc)
        return rc;
    struct jw j = jw_init(&body);
    jw_object(&j);
    if (metadata)
        jw_kv_raw(&j, "metadata", span_of(metadata));
    jw_object_close(&j);
    jw_end(&j);
    return cli_tell(c, "PUT", path, str_get(&body), "{name} is in {group}", e);
}

static int run_leave(struct cli *c, struct err *e)
{
    char *path AUTOFREE = member_path(c);
    return cli_tell(c, "DELETE", path, NULL, "{name} has left {group}", e);
}

/* The data goes to all, or as the options say. */
static int tell(struct cli *c, const char *what, const char *sentence, struct err *e)
{
    char *data AUTOFREE = NULL;
    bool local = args_flag(&c->args, "local"), random = args_flag(&c->args, "random");
    char *rest AUTOFREE = mem_printf("/%s%s%s", what, random ? "?to=random" : "",
                                     !local   ? ""
                                     : random ? "&local=true"
                                              : "?local=true");
    char *path AUTOFREE = group_path(c, rest);
    int rc = cli_data(c, args_word(&c->args, 1), &data, e);
    if (rc)
        return rc;
    char *body AUTOFREE = mem_printf("{\"data\":%s}", data);
    struct http_answer a = {0};
    rc = cli_call_json(c, "POST", path, body, &a, e);
    if (rc == 0) {
        struct span document = {a.body, a.body_n};
        char *missing AUTOFREE = text_at(document, "missing");
        bool all = !*missing || strcmp(missing, "[]") == 0;
        char *whole AUTOFREE = mem_printf("%s%s", sentence, all ? "" : "\nwithout a reply: {missing}");
        cli_print_told(c, document, whole);
    }
    http_answer_fini(&a);
    return rc;
}

static int run_send(struct cli *c, struct err *e)
{
    return tell(c, "messages", "reached {reached}", e);
}

static int run_call(struct cli *c, struct err *e)
{
    return tell(c, "calls", "{replies}", e);
}

static const struct verb_option swarm_only[] = {OPTION_SWARM, OPTION_END};
static const struct verb_option list_options[] = {OPTION_SWARM, OPTION_LIMIT, OPTION_QUIET, OPTION_END};
static const struct verb_option join_options[] = {OPTION_SWARM, OPTION_METADATA, OPTION_END};
static const struct verb_option set_options[] = {
    OPTION_SWARM,
    {.name = "restart-strategy",
     .kind = OPT_TEXT,
     .value = "R",
     .help = "what a member that fails means for the others; one_for_all if not said",
     .words = "none one_for_one one_for_all"},
    OPTION_END,
};
static const struct verb_option tell_options[] = {
    OPTION_SWARM,
    OPTION_TEXT,
    {.name = "random", .kind = OPT_FLAG, .help = "to one of them, whichever"},
    {.name = "local", .kind = OPT_FLAG, .help = "only to those on the node that is asked"},
    OPTION_END,
};

static const struct verb ls_verb = {
    .name = "ls", .args = "", .help = "List the groups of a swarm.", .options = list_options, .run = run_ls};
static const struct verb show_verb = {
    .name = "show",
    .args = "GROUP",
    .help = "List the members of a group.",
    .options = list_options,
    .args_min = 1,
    .args_max = 1,
    .run = run_show,
};
static const struct verb set_verb = {
    .name = "set",
    .args = "GROUP",
    .help = "Make a group, or change its settings.",
    .options = set_options,
    .args_min = 1,
    .args_max = 1,
    .run = run_set,
};
static const struct verb delete_verb = {
    .name = "delete",
    .args = "GROUP",
    .help = "Take everybody out of a group, and forget its settings.",
    .options = swarm_only,
    .args_min = 1,
    .args_max = 1,
    .run = run_delete,
};
static const struct verb join_verb = {
    .name = "join",
    .args = "GROUP NAME",
    .help = "Join a name to a group.",
    .options = join_options,
    .args_min = 2,
    .args_max = 2,
    .complete = COMPLETE_NAME,
    .run = run_join,
};
static const struct verb leave_verb = {
    .name = "leave",
    .args = "GROUP NAME",
    .help = "Take a name out of a group.",
    .options = swarm_only,
    .args_min = 2,
    .args_max = 2,
    .complete = COMPLETE_NAME,
    .run = run_leave,
};
static const struct verb send_verb = {
    .name = "send",
    .args = "GROUP DATA|-",
    .help = "Send a message to all processes of a group.",
    .more = "DATA that is JSON is sent as JSON, anything else as a string. At most once each, and not kept.",
    .options = tell_options,
    .args_min = 2,
    .args_max = 2,
    .run = run_send,
};
static const struct verb call_verb = {
    .name = "call",
    .args = "GROUP DATA|-",
    .help = "Ask all processes of a group, and print their replies.",
    .more =
        "DATA that is JSON is sent as JSON, anything else as a string. --timeout-ms is the deadline of all.",
    .options = tell_options,
    .args_min = 2,
    .args_max = 2,
    .run = run_call,
};
static const struct verb *const subs[] = {&ls_verb,   &show_verb, &join_verb,   &leave_verb, &send_verb,
                                          &call_verb, &set_verb,  &delete_verb, NULL};

const struct verb verb_group = {
    .name = "group",
    .help = "Groups of processes: who is in, and messages to all of them.",
    .subs = subs,
};
