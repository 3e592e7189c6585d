/* skep plan: where names would go, and why; nothing is started. */
#include "skep/batch.h"
#include "skep/cli.h"
#include "skep/options.h"

static const struct verb_option options[] = {
    OPTION_SWARM,
    {.name = "node",
     .kind = OPT_MANY,
     .value = "N",
     .help = "a node it may run on; all if not said",
     .complete = COMPLETE_NODE},
    {.name = "batch",
     .letter = 'b',
     .kind = OPT_TEXT,
     .value = "FILE",
     .help = "what skep start --batch would start; - is standard input",
     .complete = COMPLETE_FILE},
    OPTION_QUIET,
    OPTION_END,
};

static const struct column columns[] = {
    {"NAME", "name", CELL_TEXT},       {"NODE", "node", CELL_TEXT}, {"HOME", "home", CELL_TEXT},
    {"RUNS ON", "runs_on", CELL_TEXT}, {"WHY", "why", CELL_TEXT},   {"PASSED OVER", "passed_over", CELL_LONG},
    {NULL, NULL, CELL_TEXT},
};

/* Without a command any will do: nobody runs it. */
static void names_body(const struct cli *c, struct str *ret_body)
{
    static char word[] = "plan", *const command[] = {word, NULL};
    struct jw j = jw_init(ret_body);
    jw_object(&j);
    jw_kv_array(&j, "children");
    for (size_t i = 0; i < c->args.words_n; i++) {
        const char *node;
        jw_object(&j);
        jw_kv_string(&j, "name", args_word(&c->args, i));
        cli_put_words(&j, "argv", c->args.tail ? c->args.tail : command);
        jw_kv_array(&j, "nodes");
        for (size_t k = 0; (node = args_nth(&c->args, "node", k)); k++)
            jw_string(&j, node);
        jw_array_close(&j);
        jw_object_close(&j);
    }
    jw_array_close(&j);
    jw_object_close(&j);
    jw_end(&j);
}

static void show(const struct cli *c, struct span answer)
{
    struct json_iter it = json_iter_init(span_at(answer, "plan"));
    struct span one;
    if (c->style.format == FORMAT_JSON && !c->style.quiet) {
        print_document(&c->style, answer);
        return;
    }
    struct print *p = print_new(&c->style, columns);
    while (json_iter_next(&it, NULL, &one))
        print_item(p, one);
    print_end(p);
}

static int run(struct cli *c, struct err *e)
{
    const char *file = args_text(&c->args, "batch");
    struct str body AUTOSTR = STR_INIT;
    if (!file == !c->args.words_n || (file && c->args.tail))
        return err_set(e, SKEP_EUSAGE, "of which names? skep plan NAME…, or skep plan --batch FILE");
    int rc = file ? batch_file(file, &body, e) : 0;
    if (!file)
        names_body(c, &body);
    char *path AUTOFREE = path_printf("/v1/swarms/%s/children?dry_run=true", cli_swarm(c));
    struct http_answer a = {0};
    if (rc == 0)
        rc = cli_call_json(c, "POST", path, str_get(&body), &a, e);
    if (rc == 0)
        show(c, (struct span){a.body, a.body_n});
    http_answer_fini(&a);
    return rc;
}

const struct verb verb_plan = {
    .name = "plan",
    .args = "[NAME…] [-- COMMAND…]",
    .help = "Say where names would run, and why, without starting them.",
    .more = "The answer holds for the cluster as it is now. With -o json it has every node's score.",
    .options = options,
    .args_min = 0,
    .args_max = -1,
    .tail = true,
    .complete = COMPLETE_CHILD,
    .run = run,
};
