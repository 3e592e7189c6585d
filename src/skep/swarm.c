/* skep swarm: named sets of settings, and which nodes serve them. */
#include "skep/cli.h"
#include "skep/options.h"

static char *swarm_path(const struct cli *c)
{
    return path_printf("/v1/swarms/%s", args_word(&c->args, 0));
}

/* ---- put ---- */

static void put_list(const struct cli *c, struct jw *j, const char *option, const char *member)
{
    const char *one;
    if (!args_flag(&c->args, option))
        return;
    jw_kv_array(j, member);
    for (size_t i = 0; (one = args_nth(&c->args, option, i)); i++)
        jw_string(j, one);
    jw_array_close(j);
}

static int put_labels(const struct cli *c, struct jw *j, struct err *e)
{
    const char *pair;
    if (!args_flag(&c->args, "label"))
        return 0;
    jw_kv_object(j, "labels");
    for (size_t i = 0; (pair = args_nth(&c->args, "label", i)); i++) {
        const char *equals = strchr(pair, '=');
        if (!equals || equals == pair)
            return err_set(e, SKEP_EUSAGE, "--label takes NAME=VALUE, not \"%.100s\"", pair);
        char *name AUTOFREE = mem_printf("%.*s", (int)(equals - pair), pair);
        jw_kv_string(j, name, equals + 1);
    }
    jw_object_close(j);
    return 0;
}

static void put_synchronization(const struct cli *c, struct jw *j)
{
    const char *kind = args_text(&c->args, "synchronization");
    bool some = args_flag(&c->args, "recipients"), alone = !some && !args_flag(&c->args, "sync-interval-ms");
    if (!kind && alone)
        return;
    jw_kv_object(j, "synchronization");
    jw_kv_string(j, "kind", kind ? kind : some ? "gossip" : "pubsub");
    cli_put_i64(c, j, "recipients");
    cli_put_i64(c, j, "sync-interval-ms");
    jw_object_close(j);
}

static int put_options(const struct cli *c, struct str *body, struct err *e)
{
    static const char *const texts[] = {"serve", "restart", "conflict", "distribution", "worker-role"};
    int64_t max;
    struct jw j = jw_init(body);
    jw_object(&j);
    for (size_t i = 0; i < COUNT(texts); i++)
        cli_put_text(c, &j, texts[i]);
    if (args_flag(&c->args, "no-handoff"))
        jw_kv_bool(&j, "handoff", false);
    if (args_flag(&c->args, "strict"))
        jw_kv_bool(&j, "strict", true);
    put_list(c, &j, "node", "nodes");
    if (args_i64(&c->args, "max-children", &max)) {
        jw_kv_object(&j, "limits");
        jw_kv_i64(&j, "max_children", max);
        jw_object_close(&j);
    }
    put_synchronization(c, &j);
    int rc = put_labels(c, &j, e);
    if (rc < 0)
        return rc;
    jw_object_close(&j);
    jw_end(&j);
    return 0;
}

static bool has_options(const struct cli *c)
{
    static const char *const names[] = {
        "serve", "restart",    "conflict",        "worker-role",      "no-handoff",   "node",  "max-children",
        "label", "recipients", "synchronization", "sync-interval-ms", "distribution", "strict"};
    for (size_t i = 0; i < COUNT(names); i++)
        if (args_flag(&c->args, names[i]))
            return true;
    return false;
}

static int run_put(struct cli *c, struct err *e)
{
    struct str body AUTOSTR = STR_INIT;
    char *json AUTOFREE = NULL, *path AUTOFREE = swarm_path(c);
    const char *word = args_word(&c->args, 1);
    if (word && has_options(c))
        return err_set(e, SKEP_EUSAGE, "settings come as one JSON object or as options, not as both");
    int rc = word ? cli_data(c, word, &json, e) : put_options(c, &body, e);
    return rc < 0 ? rc : cli_tell(c, "PUT", path, json ? json : str_get(&body), "swarm {name} is set", e);
}

/* ---- the others ---- */

static int run_ls(struct cli *c, struct err *e)
{
    static const struct column columns[] = {{"NAME", "name", CELL_TEXT},
                                            {"SERVE", "serve", CELL_TEXT},
                                            {"NODES", "nodes", CELL_WORDS},
                                            {"DISTRIBUTION", "distribution", CELL_TEXT},
                                            {"PARTITION", "partition", CELL_TEXT},
                                            {"CONFLICT", "conflict", CELL_TEXT},
                                            {NULL, NULL, CELL_TEXT}};
    return cli_list(c, "/v1/swarms", "swarms", columns, e);
}

static int run_show(struct cli *c, struct err *e)
{
    char *path AUTOFREE = swarm_path(c);
    return cli_show(c, "GET", path, NULL, e);
}

static int run_rm(struct cli *c, struct err *e)
{
    char *path AUTOFREE = swarm_path(c);
    return cli_tell(c, "DELETE", path, NULL, "swarm {name} is gone", e);
}

/* The node that was named, or the one that we talk to. Yours. */
static int node_of(struct cli *c, char **ret_node, struct err *e)
{
    struct http_answer a = {0};
    struct json *j = NULL;
    const char *word = args_word(&c->args, 1);
    *ret_node = word ? mem_dup(word) : NULL;
    if (word)
        return 0;
    int rc = cli_call_json(c, "GET", "/v1/cluster", NULL, &a, e);
    if (rc == 0)
        rc = json_parse(a.body, a.body_n, &j, e);
    if (rc == 0)
        *ret_node = mem_dup(json_text(json_member(json_root(j), "name")));
    json_free(j);
    http_answer_fini(&a);
    return rc;
}

static int serve(struct cli *c, const char *method, const char *sentence, struct err *e)
{
    char *node AUTOFREE = NULL;
    int rc = node_of(c, &node, e);
    if (rc < 0)
        return rc;
    char *path AUTOFREE = path_printf("/v1/swarms/%s/nodes/%s", args_word(&c->args, 0), node);
    return cli_tell(c, method, path, NULL, sentence, e);
}

static int run_join(struct cli *c, struct err *e)
{
    return serve(c, "PUT", "{node} serves swarm {swarm}", e);
}

static int run_leave(struct cli *c, struct err *e)
{
    return serve(c, "DELETE", "{node} serves swarm {swarm} no more", e);
}

static const struct verb_option put_rows[] = {
    {.name = "serve",
     .kind = OPT_TEXT,
     .value = "S",
     .help = "by whom: all nodes, or those that join it",
     .words = "all joined"},
    {.name = "node",
     .kind = OPT_MANY,
     .value = "N",
     .help = "a node that may serve it: a name, an id or a pattern; !N: not that one",
     .complete = COMPLETE_NODE},
    {.name = "label", .kind = OPT_MANY, .value = "K=V", .help = "a label that its nodes must have"},
    {.name = "max-children",
     .kind = OPT_INT,
     .value = "N",
     .help = "so many of its processes on one node",
     .min = 0},
    {.name = "restart",
     .kind = OPT_TEXT,
     .value = "R",
     .help = "of processes that do not say",
     .words = "permanent transient temporary"},
    {.name = "no-handoff", .kind = OPT_FLAG, .help = "processes that do not say hand no state over"},
    {.name = "conflict", .kind = OPT_TEXT, .value = "C", .help = "which process stays after a partition"},
    {.name = "strict", .kind = OPT_FLAG, .help = "its processes alone change their entries"},
    {.name = "distribution",
     .kind = OPT_TEXT,
     .value = "D",
     .help = "where its processes go; options of one: as JSON",
     .words = "consistent_hash guided load_balancer random"},
    {.name = "worker-role",
     .kind = OPT_TEXT,
     .value = "R",
     .help = "what its processes may ask at most",
     .words = "none read write admin"},
    {.name = "synchronization",
     .kind = OPT_TEXT,
     .value = "S",
     .help = "whom a change is told to: all nodes, or some, who pass it on",
     .words = "pubsub gossip"},
    {.name = "recipients", .kind = OPT_INT, .value = "N", .help = "so many with gossip (3)", .min = 1},
    {.name = "sync-interval-ms",
     .kind = OPT_INT,
     .value = "MS",
     .help = "what nobody told comes after so long at most",
     .min = 1},
    OPTION_END,
};
static const struct verb_option list_rows[] = {OPTION_LIMIT, OPTION_QUIET, OPTION_END};

static const struct verb put_verb = {
    .name = "put",
    .args = "SWARM [JSON]",
    .help = "Make a swarm, or replace all of its settings.",
    .options = put_rows,
    .args_min = 1,
    .args_max = 2,
    .run = run_put,
};
static const struct verb ls_verb = {
    .name = "ls", .args = "", .help = "List the swarms.", .options = list_rows, .run = run_ls};
static const struct verb show_verb = {
    .name = "show",
    .args = "SWARM",
    .help = "Show the settings of a swarm and who serves it.",
    .args_min = 1,
    .args_max = 1,
    .run = run_show,
};
static const struct verb rm_verb = {
    .name = "rm",
    .args = "SWARM",
    .help = "Delete a swarm that holds no names.",
    .args_min = 1,
    .args_max = 1,
    .run = run_rm,
};
static const struct verb join_verb = {
    .name = "join",
    .args = "SWARM [NODE]",
    .help = "Let a node serve a swarm that has to be joined: this one, or NODE.",
    .args_min = 1,
    .args_max = 2,
    .run = run_join,
};
static const struct verb leave_verb = {
    .name = "leave",
    .args = "SWARM [NODE]",
    .help = "Let a node serve it no more; its processes move.",
    .args_min = 1,
    .args_max = 2,
    .run = run_leave,
};
static const struct verb *const subs[] = {&put_verb,  &ls_verb,    &show_verb, &rm_verb,
                                          &join_verb, &leave_verb, NULL};

const struct verb verb_swarm = {
    .name = "swarm",
    .help = "Make, show, join and leave swarms: settings, and the nodes that serve them.",
    .subs = subs,
};
