/* skep token: who may do what over HTTPS. A token is shown once, when it is made. */
#include "skep/cli.h"
#include "skep/options.h"

static int run_create(struct cli *c, struct err *e)
{
    struct str body AUTOSTR = STR_INIT;
    struct jw j = jw_init(&body);
    jw_object(&j);
    jw_kv_string(&j, "role", args_text(&c->args, "role") ? args_text(&c->args, "role") : "read");
    if (args_word(&c->args, 0))
        jw_kv_string(&j, "name", args_word(&c->args, 0));
    cli_put_text(c, &j, "swarm");
    cli_put_i64(c, &j, "ttl-ms");
    jw_object_close(&j);
    jw_end(&j);
    return cli_tell(c, "POST", "/v1/tokens", str_get(&body), "{token}", e);
}

static int run_ls(struct cli *c, struct err *e)
{
    static const struct column columns[] = {
        {"ID", "id", CELL_TEXT},
        {"ROLE", "role", CELL_TEXT},
        {"NAME", "name", CELL_TEXT},
        {"SWARM", "swarm", CELL_TEXT},
        {"CREATED", "created_at", CELL_TIME},
        {"EXPIRES", "expires_at", CELL_TIME},
        {NULL, NULL, CELL_TEXT},
    };
    return cli_list(c, "/v1/tokens", "tokens", columns, e);
}

static int run_rm(struct cli *c, struct err *e)
{
    char *path AUTOFREE = path_printf("/v1/tokens/%s", args_word(&c->args, 0));
    return cli_tell(c, "DELETE", path, NULL, "the token is no longer valid", e);
}

static const struct verb_option create_options[] = {
    {.name = "role",
     .kind = OPT_TEXT,
     .value = "R",
     .help = "what it may do; join lets one node in, once",
     .words = "read write admin join"},
    {.name = "swarm", .letter = 's', .kind = OPT_TEXT, .value = "S", .help = "in this swarm only"},
    {.name = "ttl-ms",
     .kind = OPT_INT,
     .value = "N",
     .help = "how long it is valid; for ever if not said",
     .min = 1},
    OPTION_END,
};
static const struct verb_option list_options[] = {OPTION_LIMIT, OPTION_QUIET, OPTION_END};

static const struct verb create_verb = {
    .name = "create",
    .args = "NAME",
    .help = "Make a token and print it, this once.",
    .options = create_options,
    .args_min = 1,
    .args_max = 1,
    .run = run_create,
};
static const struct verb ls_verb = {
    .name = "ls",
    .args = "",
    .help = "List the tokens, without their secrets.",
    .options = list_options,
    .run = run_ls,
};
static const struct verb rm_verb = {
    .name = "rm",
    .args = "ID",
    .help = "Revoke a token.",
    .args_min = 1,
    .args_max = 1,
    .run = run_rm,
};
static const struct verb *const subs[] = {&create_verb, &ls_verb, &rm_verb, NULL};

const struct verb verb_token = {
    .name = "token",
    .help = "Make, list and revoke tokens.",
    .subs = subs,
};
