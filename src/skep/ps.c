/* skep ps: the children of a swarm, wherever they run. */
#include "skep/cli.h"
#include "skep/options.h"
#include "wire/uri.h"

static const struct verb_option options[] = {
    OPTION_SWARM,
    {.name = "tag",
     .letter = 't',
     .kind = OPT_TEXT,
     .value = "T",
     .help = "only those with this metadata.tag"},
    {.name = "node",
     .kind = OPT_TEXT,
     .value = "N",
     .help = "only those on this node",
     .complete = COMPLETE_NODE},
    {.name = "status",
     .kind = OPT_TEXT,
     .value = "S",
     .help = "only those with this status",
     .words = "starting running backoff stopping moving stopped failed"},
    {.name = "where",
     .letter = 'w',
     .kind = OPT_TEXT,
     .value = "K=V",
     .help = "only those whose metadata has this member"},
    {.name = "count", .letter = 'c', .kind = OPT_FLAG, .help = "how many, on which node, in what status"},
    OPTION_LIMIT,
    OPTION_QUIET,
    OPTION_END,
};

static const struct column columns[] = {
    {"NAME", "name", CELL_TEXT},           {"STATUS", "status", CELL_STATUS},
    {"NODE", "node", CELL_TEXT},           {"PID", "pid", CELL_NUMBER},
    {"EPOCH", "epoch", CELL_NUMBER},       {"AGE", "started_at", CELL_TIME},
    {"RESTARTS", "restarts", CELL_NUMBER}, {"TAG", "metadata.tag", CELL_TEXT},
    {"COMMAND", "spec.argv", CELL_WORDS},  {NULL, NULL, CELL_TEXT},
};

/* K=V of people is K:V in a query, where = has a meaning. */
static int put_where(const struct cli *c, struct str *path, struct err *e)
{
    const char *where = args_text(&c->args, "where"), *equals = where ? strchr(where, '=') : NULL;
    if (!where)
        return 0;
    if (!equals || equals == where)
        return err_set(e, SKEP_EUSAGE, "--where wants K=V, a member of the metadata and what it is");
    str_printf(path, "%cwhere=", strchr(str_get(path), '?') ? '&' : '?');
    uri_encode(path, where, (size_t)(equals - where));
    str_puts(path, ":");
    uri_encode(path, equals + 1, strlen(equals + 1));
    return 0;
}

static void print_tally(const char *what, struct span object)
{
    struct span key, value;
    struct json_iter it = json_iter_init(object);
    while (json_iter_next(&it, &key, &value)) {
        struct str name AUTOSTR = STR_INIT;
        json_unquote(key, &name);
        put_line("%s %s: %.*s", what, str_get(&name), (int)value.n, value.p);
    }
}

static int count(struct cli *c, struct str *path, struct err *e)
{
    str_puts(path, strchr(str_get(path), '?') ? "&count=true" : "?count=true");
    if (c->style.format != FORMAT_TABLE)
        return cli_show(c, "GET", str_get(path), NULL, e);
    struct http_answer a = {0};
    int rc = cli_call_json(c, "GET", str_get(path), NULL, &a, e);
    if (rc == 0) {
        struct span n = json_raw_member(a.body, a.body_n, "count");
        struct span nodes = json_raw_member(a.body, a.body_n, "nodes");
        struct span statuses = json_raw_member(a.body, a.body_n, "statuses");
        put_line("%.*s", (int)n.n, n.p ? n.p : "");
        print_tally("on", nodes);
        print_tally("that are", statuses);
    }
    http_answer_fini(&a);
    return rc;
}

static int run(struct cli *c, struct err *e)
{
    struct str path AUTOSTR = STR_INIT;
    char *list AUTOFREE = path_printf("/v1/swarms/%s/children", cli_swarm(c));
    str_puts(&path, list);
    cli_query(c, &path, "tag");
    cli_query(c, &path, "node");
    cli_query(c, &path, "status");
    if (put_where(c, &path, e) < 0)
        return e->code;
    if (args_flag(&c->args, "count"))
        return count(c, &path, e);
    return cli_list(c, str_get(&path), "children", columns, e);
}

const struct verb verb_ps = {
    .name = "ps",
    .args = "",
    .help = "List what runs, or should run, in a swarm.",
    .options = options,
    .run = run,
};
