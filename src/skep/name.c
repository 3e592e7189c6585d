/* skep name: addresses under a lease, of things that skep did not start. */
#include "skep/cli.h"
#include "skep/options.h"

static char *name_path(const struct cli *c)
{
    return path_printf("/v1/swarms/%s/names/%s", cli_swarm(c), args_word(&c->args, 0));
}

static int run_register(struct cli *c, struct err *e)
{
    struct str body AUTOSTR = STR_INIT;
    char *metadata AUTOFREE = NULL, *path AUTOFREE = name_path(c);
    int rc = cli_json_option(c, "metadata", JSON_T_OBJECT, &metadata, e);
    if (rc)
        return rc;
    struct jw j = jw_init(&body);
    jw_object(&j);
    jw_kv_string(&j, "address", args_word(&c->args, 1));
    cli_put_i64(c, &j, "ttl-ms");
    if (metadata)
        jw_kv_raw(&j, "metadata", span_of(metadata));
    jw_object_close(&j);
    jw_end(&j);
    const char *rev = args_text(&c->args, "if-rev");
    struct http *h;
    rc = cli_http(c, &h, e);
    if (rc)
        return rc;
    char *header AUTOFREE = mem_printf("If-Match: \"%s\"", rev ? rev : "");
    if (rev)
        http_set_header(h, header);
    return cli_tell(c, "PUT", path, str_get(&body), "{name} is {address}, epoch {epoch}, until {expires_at}",
                    e);
}

static int run_alias(struct cli *c, struct err *e)
{
    struct str body AUTOSTR = STR_INIT;
    char *path AUTOFREE = name_path(c);
    struct jw j = jw_init(&body);
    jw_object(&j);
    jw_kv_string(&j, "child", args_word(&c->args, 1));
    jw_object_close(&j);
    jw_end(&j);
    return cli_tell(c, "PUT", path, str_get(&body), "{name} is another name of {child}", e);
}

static int run_get(struct cli *c, struct err *e)
{
    char *path AUTOFREE = name_path(c);
    return cli_show(c, "GET", path, NULL, e);
}

static int run_release(struct cli *c, struct err *e)
{
    char *path AUTOFREE = name_path(c);
    return cli_tell(c, "DELETE", path, NULL, "{name} is free", e);
}

static int run_ls(struct cli *c, struct err *e)
{
    static const struct column columns[] = {
        {"NAME", "name", CELL_TEXT},         {"ADDRESS", "address", CELL_TEXT},
        {"CHILD", "child", CELL_TEXT},       {"NODE", "node", CELL_TEXT},
        {"EPOCH", "epoch", CELL_NUMBER},     {"EXPIRES", "expires_at", CELL_TIME},
        {"METADATA", "metadata", CELL_LONG}, {NULL, NULL, CELL_TEXT},
    };
    char *path AUTOFREE = path_printf("/v1/swarms/%s/names", cli_swarm(c));
    return cli_list(c, path, "names", columns, e);
}

static const struct verb_option swarm_only[] = {OPTION_SWARM, OPTION_END};
static const struct verb_option list_options[] = {OPTION_SWARM, OPTION_LIMIT, OPTION_QUIET, OPTION_END};
static const struct verb_option register_options[] = {
    OPTION_SWARM,
    OPTION_METADATA,
    {.name = "ttl-ms", .kind = OPT_INT, .value = "N", .help = "how long the lease lasts", .min = 1},
    {.name = "if-rev", .kind = OPT_TEXT, .value = "REV", .help = "take it over, if this is still its rev"},
    OPTION_END,
};

static const struct verb register_verb = {
    .name = "register",
    .args = "NAME ADDRESS",
    .help = "Register an address under a name, or renew its lease.",
    .options = register_options,
    .args_min = 2,
    .args_max = 2,
    .run = run_register,
};
static const struct verb alias_verb = {
    .name = "alias",
    .args = "NAME CHILD",
    .help = "Give a child another name, for as long as it lives.",
    .options = swarm_only,
    .args_min = 2,
    .args_max = 2,
    .complete = COMPLETE_CHILD,
    .run = run_alias,
};
static const struct verb get_verb = {
    .name = "get",
    .args = "NAME",
    .help = "Look a name up: an address or a child.",
    .options = swarm_only,
    .args_min = 1,
    .args_max = 1,
    .complete = COMPLETE_NAME,
    .run = run_get,
};
static const struct verb release_verb = {
    .name = "release",
    .args = "NAME",
    .help = "Give a registered name back.",
    .options = swarm_only,
    .args_min = 1,
    .args_max = 1,
    .complete = COMPLETE_NAME,
    .run = run_release,
};
static const struct verb ls_verb = {
    .name = "ls",
    .args = "",
    .help = "List the names of a swarm.",
    .options = list_options,
    .run = run_ls,
};
static const struct verb *const subs[] = {&register_verb, &alias_verb, &get_verb,
                                          &release_verb,  &ls_verb,    NULL};

const struct verb verb_name = {
    .name = "name",
    .help = "Register, look up and release addresses of things that skep did not start.",
    .subs = subs,
};
