/* skep start: a spec from options, a command from behind "--"; or many of them from a file. The node checks
 * all of it. */
#include <string.h>

#include "skep/batch.h"
#include "skep/cli.h"
#include "skep/options.h"

static const struct verb_option options[] = {
    OPTION_SWARM,
    {.name = "handoff", .kind = OPT_FLAG, .help = "its state moves along when it moves (the default)"},
    {.name = "no-handoff", .kind = OPT_FLAG, .help = "it starts anew wherever it starts"},
    {.name = "restart",
     .kind = OPT_TEXT,
     .value = "R",
     .help = "when it is started again: always, after a failure, never",
     .words = "permanent transient temporary"},
    {.name = "tag", .letter = 't', .kind = OPT_TEXT, .value = "T", .help = "metadata.tag, to find it by"},
    OPTION_METADATA,
    {.name = "env",
     .letter = 'e',
     .kind = OPT_MANY,
     .value = "K=V",
     .help = "one more variable of its environment"},
    {.name = "cwd",
     .kind = OPT_TEXT,
     .value = "D",
     .help = "its folder; the node's work_dir if not said",
     .complete = COMPLETE_FOLDER},
    {.name = "ready",
     .kind = OPT_TEXT,
     .value = "R",
     .help = "it is running once spawned, or once it says so",
     .words = "spawn protocol"},
    {.name = "node",
     .kind = OPT_MANY,
     .value = "N",
     .help = "a node it may run on; all if not said",
     .complete = COMPLETE_NODE},
    {.name = "if-exists",
     .kind = OPT_TEXT,
     .value = "return",
     .help = "a running one of this name is no error",
     .words = "return error"},
    OPTION_INT("max-restarts", "N", "given up after more restarts than this within the window"),
    OPTION_INT("restart-window-ms", "N", "the window in which restarts are counted"),
    OPTION_INT("backoff-min-ms", "N", "first pause before a restart"),
    OPTION_INT("backoff-max-ms", "N", "longest pause before a restart"),
    OPTION_INT("shutdown-ms", "N", "between SIGTERM and SIGKILL"),
    OPTION_INT("start-ms", "N", "to say that it is ready"),
    OPTION_INT("handoff-ms", "N", "to hand its state over"),
    {.name = "batch",
     .letter = 'b',
     .kind = OPT_TEXT,
     .value = "FILE",
     .help = "start many: a JSON document, or one child a line; - is standard input",
     .complete = COMPLETE_FILE},
    {.name = "mode",
     .kind = OPT_TEXT,
     .value = "M",
     .help = "of a batch with names that run already: refuse it, start the missing, or each for itself",
     .words = "all_or_none missing each"},
    {.name = "on-failure",
     .kind = OPT_TEXT,
     .value = "F",
     .help = "of a batch in which one does not start: go on, or stop the others again",
     .words = "continue rollback"},
    OPTION_NO_WAIT,
    {.name = "acks", .kind = OPT_INT, .value = "N", .help = "answer once so many nodes have it on disk"},
    OPTION_END,
};

static void put_nodes(const struct cli *c, struct jw *j)
{
    const char *node;
    if (!args_flag(&c->args, "node"))
        return;
    jw_kv_array(j, "nodes");
    for (size_t i = 0; (node = args_nth(&c->args, "node", i)); i++)
        jw_string(j, node);
    jw_array_close(j);
}

/* --metadata, with --tag put into it. */
static int put_metadata(const struct cli *c, struct jw *j, struct err *e)
{
    char *metadata AUTOFREE = NULL;
    const char *tag = args_text(&c->args, "tag");
    int rc = cli_json_option(c, "metadata", JSON_T_OBJECT, &metadata, e);
    if (rc || (!metadata && !tag))
        return rc;
    struct str patch AUTOSTR = STR_INIT, merged AUTOSTR = STR_INIT;
    struct jw p = jw_init(&patch);
    jw_object(&p);
    if (tag)
        jw_kv_string(&p, "tag", tag);
    jw_object_close(&p);
    jw_end(&p);
    if (metadata && !tag) {
        jw_kv_raw(j, "metadata", span_of(metadata));
        return 0;
    }
    rc = json_merge_patch(metadata, metadata ? strlen(metadata) : 0, patch.p, patch.n, &merged, e);
    if (rc == 0)
        jw_kv_raw(j, "metadata", (struct span){merged.p, merged.n});
    return rc;
}

static int put_spec(const struct cli *c, struct jw *j, struct err *e)
{
    static const char *const texts[] = {"restart", "cwd", "ready"};
    static const char *const numbers[] = {"max-restarts",   "restart-window-ms", "backoff-min-ms",
                                          "backoff-max-ms", "shutdown-ms",       "start-ms",
                                          "handoff-ms"};
    for (size_t i = 0; i < COUNT(texts); i++)
        cli_put_text(c, j, texts[i]);
    for (size_t i = 0; i < COUNT(numbers); i++)
        cli_put_i64(c, j, numbers[i]);
    if (args_flag(&c->args, "handoff") || args_flag(&c->args, "no-handoff"))
        jw_kv_bool(j, "handoff", args_flag(&c->args, "handoff"));
    put_nodes(c, j);
    int rc = cli_put_env(c, j, e);
    return rc ? rc : put_metadata(c, j, e);
}

static int body_of(const struct cli *c, struct str *ret_body, struct err *e)
{
    struct jw j = jw_init(ret_body);
    jw_object(&j);
    cli_put_words(&j, "argv", c->args.tail);
    int rc = put_spec(c, &j, e);
    if (rc)
        return rc;
    jw_object_close(&j);
    jw_end(&j);
    return 0;
}

/* Accepted, but with no process behind it yet: exit status 75. */
static int check_running(struct span child, struct err *e)
{
    char *status AUTOFREE = text_at(child, "status"), *name AUTOFREE = text_at(child, "name");
    if (!*status || strcmp(status, "running") == 0 || strcmp(status, "moving") == 0)
        return 0;
    return err_set(e, SKEP_ENOTYET, "%s is %s; \"skep why %s\" tells more", name, status, name);
}

static int run_one(struct cli *c, struct err *e)
{
    if (!c->args.tail || !c->args.tail[0])
        return err_set(e, SKEP_EUSAGE,
                       "what shall run? The command stands behind \"--\": skep start %s -- COMMAND…",
                       args_word(&c->args, 0));
    if (args_flag(&c->args, "handoff") && args_flag(&c->args, "no-handoff"))
        return err_set(e, SKEP_EUSAGE, "--handoff and --no-handoff exclude each other");
    struct str body AUTOSTR = STR_INIT, path AUTOSTR = STR_INIT;
    char *child AUTOFREE = cli_child_path(c, args_word(&c->args, 0), "");
    str_puts(&path, child);
    const char *exists = args_text(&c->args, "if-exists");
    if (exists && strcmp(exists, "return") == 0)
        str_puts(&path, "?if_exists=return");
    cli_query(c, &path, "acks");
    struct http_answer a = {0};
    int rc = body_of(c, &body, e);
    if (rc == 0)
        rc = cli_call_json(c, "PUT", str_get(&path), str_get(&body), &a, e);
    if (rc == 0) {
        struct span answer = {a.body, a.body_n};
        cli_print_told(c, answer,
                       a.status == 200 ? "{name} runs already on {node}, pid {pid}, epoch {epoch}"
                                       : "{name}: {status} on {node}, pid {pid}, epoch {epoch}");
        rc = check_running(answer, e);
    }
    http_answer_fini(&a);
    return rc;
}

static int run(struct cli *c, struct err *e)
{
    const char *file = args_text(&c->args, "batch");
    if (file && (c->args.words_n || (c->args.tail && c->args.tail[0])))
        return err_set(e, SKEP_EUSAGE,
                       "a batch has its names and commands in its file: skep start --batch FILE");
    if (!file && c->args.words_n == 0)
        return err_set(e, SKEP_EUSAGE,
                       "under which name? skep start NAME -- COMMAND…, or skep start --batch FILE");
    if (!file && args_flag(&c->args, "no-wait"))
        return err_set(e, SKEP_EUSAGE, "--no-wait is for --batch");
    return file ? batch_start(c, file, e) : run_one(c, e);
}

const struct verb verb_start = {
    .name = "start",
    .args = "NAME -- COMMAND…",
    .help = "Start a program under a name that is unique in the cluster.",
    .more =
        "Exactly one process of a name runs, wherever it runs. The answer comes once a second node knows.",
    .options = options,
    .args_min = 0,
    .args_max = 1,
    .tail = true,
    .complete = COMPLETE_COMMAND,
    .run = run,
};
