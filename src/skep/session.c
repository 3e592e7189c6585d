/* skep session: conversations that outlive their worker and its node. */
#include "skep/cli.h"
#include "skep/options.h"

/* "/v1/sessions/ID" and what may follow; yours. */
static char *session_path(const struct cli *c, const char *rest)
{
    char *path AUTOFREE = path_printf("/v1/sessions/%s", args_word(&c->args, 0));
    return mem_printf("%s%s", path, rest);
}

static char *turn_path(const struct cli *c)
{
    return path_printf("/v1/sessions/%s/turns/%s", args_word(&c->args, 0), args_word(&c->args, 1));
}

static int run_new(struct cli *c, struct err *e)
{
    struct str body AUTOSTR = STR_INIT;
    char *metadata AUTOFREE = NULL;
    int rc = cli_json_option(c, "metadata", JSON_T_OBJECT, &metadata, e);
    if (rc)
        return rc;
    struct jw j = jw_init(&body);
    jw_object(&j);
    if (args_word(&c->args, 0))
        jw_kv_string(&j, "id", args_word(&c->args, 0));
    cli_put_text(c, &j, "template");
    cli_put_text(c, &j, "resume");
    cli_put_text(c, &j, "consistency");
    cli_put_i64(c, &j, "ttl-ms");
    if (metadata)
        jw_kv_raw(&j, "metadata", span_of(metadata));
    jw_object_close(&j);
    jw_end(&j);
    return cli_tell(c, "POST", "/v1/sessions", str_get(&body), "{id}", e);
}

static int run_ls(struct cli *c, struct err *e)
{
    static const struct column columns[] = {
        {"ID", "id", CELL_TEXT},
        {"STATUS", "status", CELL_STATUS},
        {"OWNER", "owner", CELL_TEXT},
        {"EPOCH", "epoch", CELL_NUMBER},
        {"TEMPLATE", "template", CELL_TEXT},
        {"RESUME", "resume", CELL_TEXT},
        {"HEAD", "head", CELL_TEXT},
        {NULL, NULL, CELL_TEXT},
    };
    struct str path AUTOSTR = STR_INIT;
    str_puts(&path, "/v1/sessions");
    return cli_list(c, str_get(&path), "sessions", columns, e);
}

static int run_show(struct cli *c, struct err *e)
{
    char *path AUTOFREE = session_path(c, "");
    return cli_show(c, "GET", path, NULL, e);
}

static int run_rm(struct cli *c, struct err *e)
{
    char *path AUTOFREE = session_path(c, "");
    return cli_tell(c, "DELETE", path, NULL, "session {id} is gone", e);
}

static int run_append(struct cli *c, struct err *e)
{
    struct str body AUTOSTR = STR_INIT;
    char *content AUTOFREE = NULL, *path AUTOFREE = session_path(c, "/entries");
    int rc = cli_data(c, args_word(&c->args, 1), &content, e);
    if (rc)
        return rc;
    const char *role = args_text(&c->args, "role");
    struct jw j = jw_init(&body);
    jw_object(&j);
    jw_kv_string(&j, "role", role ? role : "user");
    jw_kv_raw(&j, "content", span_of(content));
    cli_put_text(c, &j, "parent");
    cli_put_text(c, &j, "epoch");
    jw_object_close(&j);
    jw_end(&j);
    return cli_tell(c, "POST", path, str_get(&body), "entry {id}, number {seq}", e);
}

static int run_entries(struct cli *c, struct err *e)
{
    static const struct column columns[] = {
        {"SEQ", "seq", CELL_NUMBER}, {"AT", "at", CELL_TIME}, {"ROLE", "role", CELL_TEXT},
        {"TURN", "turn", CELL_TEXT}, {"ID", "id", CELL_TEXT}, {"CONTENT", "content", CELL_LONG},
        {NULL, NULL, CELL_TEXT},
    };
    char *path AUTOFREE = session_path(c, "/entries");
    return cli_list(c, path, "entries", columns, e);
}

static int run_branches(struct cli *c, struct err *e)
{
    static const struct column columns[] = {{"HEAD", "head", CELL_TEXT},
                                            {"ENTRIES", "entries", CELL_NUMBER},
                                            {"AT", "at", CELL_TIME},
                                            {NULL, NULL, CELL_TEXT}};
    char *path AUTOFREE = session_path(c, "/branches");
    return cli_list(c, path, "branches", columns, e);
}

static int run_state(struct cli *c, struct err *e)
{
    char *path AUTOFREE = session_path(c, "/state"), *state AUTOFREE = NULL;
    const char *set = args_text(&c->args, "set");
    if (!set)
        return cli_tell(c, "GET", path, NULL, "{state}", e);
    int rc = cli_data(c, set, &state, e);
    if (rc)
        return rc;
    struct str body AUTOSTR = STR_INIT;
    struct jw j = jw_init(&body);
    jw_object(&j);
    jw_kv_raw(&j, "state", span_of(state));
    cli_put_text(c, &j, "epoch");
    jw_object_close(&j);
    jw_end(&j);
    return cli_tell(c, "PUT", path, str_get(&body), "the state is kept", e);
}

static int run_claim(struct cli *c, struct err *e)
{
    char *path AUTOFREE = session_path(c, "/claim");
    return cli_tell(c, "POST", path, "{}", "owner {owner}, epoch {epoch}", e);
}

/* The turn that was asked for may outlast this call: it is then true later (75). */
static int check_done(const struct cli *c, int status, struct span turn, struct err *e)
{
    char *word AUTOFREE = text_at(turn, "status"), *id AUTOFREE = text_at(turn, "turn");
    if (strcmp(word, "failed") == 0 || strcmp(word, "cancelled") == 0)
        return err_set(e, SKEP_EWORKER, "the turn %s %s", id, word);
    if (status != 202 || args_flag(&c->args, "no-wait"))
        return 0;
    return err_set(e, SKEP_ENOTYET, "the turn %s goes on; \"skep session result %s %s\" shows its outcome",
                   id, args_word(&c->args, 0), id);
}

static int run_turn(struct cli *c, struct err *e)
{
    char *path AUTOFREE = session_path(c, "/turns"), *input AUTOFREE = NULL;
    int rc = cli_data(c, args_word(&c->args, 1), &input, e);
    if (rc)
        return rc;
    bool wait = !args_flag(&c->args, "no-wait");
    char *body AUTOFREE = mem_printf("{\"input\":%s,\"wait\":%s}", input, wait ? "true" : "false");
    struct http_answer a = {0};
    rc = cli_call_json(c, "POST", path, body, &a, e);
    if (rc == 0) {
        struct span turn = {a.body, a.body_n};
        cli_print_told(c, turn, a.status == 202 ? "turn {turn} is {status}" : "{result}");
        rc = check_done(c, a.status, turn, e);
    }
    http_answer_fini(&a);
    return rc;
}

static int run_turns(struct cli *c, struct err *e)
{
    static const struct column columns[] = {
        {"TURN", "turn", CELL_TEXT},           {"STATUS", "status", CELL_STATUS}, {"NODE", "node", CELL_TEXT},
        {"ATTEMPTS", "attempts", CELL_NUMBER}, {"INPUT", "input", CELL_LONG},     {NULL, NULL, CELL_TEXT},
    };
    char *path AUTOFREE = session_path(c, "/turns");
    return cli_list(c, path, "turns", columns, e);
}

static int run_result(struct cli *c, struct err *e)
{
    char *path AUTOFREE = turn_path(c);
    return cli_show(c, "GET", path, NULL, e);
}

static int run_cancel(struct cli *c, struct err *e)
{
    char *path AUTOFREE = turn_path(c);
    return cli_tell(c, "DELETE", path, NULL, "turn {turn} is {status}", e);
}

static const struct verb_option new_options[] = {
    {.name = "template",
     .letter = 't',
     .kind = OPT_TEXT,
     .value = "T",
     .help = "what its worker is started from",
     .complete = COMPLETE_TEMPLATE},
    {.name = "resume",
     .kind = OPT_TEXT,
     .value = "R",
     .help = "when its node is gone: at once, or with the next request",
     .words = "eager lazy"},
    {.name = "consistency",
     .kind = OPT_TEXT,
     .value = "C",
     .help = "how many nodes a write needs",
     .words = "local quorum"},
    {.name = "ttl-ms", .kind = OPT_INT, .value = "N", .help = "how long it is kept without use", .min = 1},
    OPTION_METADATA,
    OPTION_END,
};
static const struct verb_option append_options[] = {
    {.name = "role", .letter = 'r', .kind = OPT_TEXT, .value = "R", .help = "who says it; user if not said"},
    {.name = "parent", .kind = OPT_TEXT, .value = "ENTRY", .help = "what it follows; the head if not said"},
    {.name = "epoch", .kind = OPT_TEXT, .value = "E", .help = "only under this claim"},
    OPTION_TEXT,
    OPTION_END,
};
static const struct verb_option state_options[] = {
    {.name = "set", .kind = OPT_TEXT, .value = "DATA|-", .help = "keep this instead of showing what is kept"},
    {.name = "epoch", .kind = OPT_TEXT, .value = "E", .help = "only under this claim"},
    OPTION_TEXT,
    OPTION_END,
};
static const struct verb_option turn_options[] = {
    {.name = "no-wait", .kind = OPT_FLAG, .help = "return once it is queued"}, OPTION_TEXT, OPTION_END};
static const struct verb_option list_options[] = {OPTION_LIMIT, OPTION_QUIET, OPTION_END};

#define ON_SESSION .complete = COMPLETE_SESSION
static const struct verb new_verb = {
    .name = "new",
    .args = "[ID]",
    .help = "Begin a session and print its id.",
    .options = new_options,
    .args_max = 1,
    .run = run_new,
};
static const struct verb ls_verb = {
    .name = "ls",
    .args = "",
    .help = "List the sessions.",
    .options = list_options,
    .run = run_ls,
};
static const struct verb show_verb = {
    .name = "show",
    .args = "ID",
    .help = "Show one session.",
    .args_min = 1,
    .args_max = 1,
    ON_SESSION,
    .run = run_show,
};
static const struct verb rm_verb = {
    .name = "rm",
    .args = "ID",
    .help = "Delete a session and all that belongs to it.",
    .args_min = 1,
    .args_max = 1,
    ON_SESSION,
    .run = run_rm,
};
static const struct verb append_verb = {
    .name = "append",
    .args = "ID CONTENT|-",
    .help = "Add an entry.",
    .options = append_options,
    .args_min = 2,
    .args_max = 2,
    ON_SESSION,
    .run = run_append,
};
static const struct verb entries_verb = {
    .name = "entries",
    .args = "ID",
    .help = "List the entries, oldest first.",
    .options = list_options,
    .args_min = 1,
    .args_max = 1,
    ON_SESSION,
    .run = run_entries,
};
static const struct verb branches_verb = {
    .name = "branches",
    .args = "ID",
    .help = "List the branches that fenced owners left.",
    .options = list_options,
    .args_min = 1,
    .args_max = 1,
    ON_SESSION,
    .run = run_branches,
};
static const struct verb state_verb = {
    .name = "state",
    .args = "ID",
    .help = "Show the state, or set it.",
    .options = state_options,
    .args_min = 1,
    .args_max = 1,
    ON_SESSION,
    .run = run_state,
};
static const struct verb claim_verb = {
    .name = "claim",
    .args = "ID",
    .help = "Make the asked node the owner, under a new epoch.",
    .args_min = 1,
    .args_max = 1,
    ON_SESSION,
    .run = run_claim,
};
static const struct verb turn_verb = {
    .name = "turn",
    .args = "ID INPUT|-",
    .help = "Run a turn and print its result.",
    .options = turn_options,
    .args_min = 2,
    .args_max = 2,
    ON_SESSION,
    .run = run_turn,
};
static const struct verb turns_verb = {
    .name = "turns",
    .args = "ID",
    .help = "List the turns.",
    .options = list_options,
    .args_min = 1,
    .args_max = 1,
    ON_SESSION,
    .run = run_turns,
};
static const struct verb result_verb = {
    .name = "result",
    .args = "ID TURN",
    .help = "Show one turn.",
    .args_min = 2,
    .args_max = 2,
    ON_SESSION,
    .run = run_result,
};
static const struct verb cancel_verb = {
    .name = "cancel",
    .args = "ID TURN",
    .help = "Cancel a turn.",
    .args_min = 2,
    .args_max = 2,
    ON_SESSION,
    .run = run_cancel,
};
static const struct verb *const subs[] = {
    &new_verb,   &ls_verb,    &show_verb, &rm_verb,    &append_verb, &entries_verb, &branches_verb,
    &state_verb, &claim_verb, &turn_verb, &turns_verb, &result_verb, &cancel_verb,  NULL};

const struct verb verb_session = {
    .name = "session",
    .help = "Work with sessions: entries, state, claims and turns.",
    .subs = subs,
};
