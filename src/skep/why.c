/* skep why: how it came that a name is where it is: its claim, its home, its last events. The node says it
 * as a document; people get its members as lines and its lists as tables.
 */
#include "skep/cli.h"
#include "skep/options.h"

static const struct verb_option options[] = {OPTION_SWARM, OPTION_END};

static const struct column columns[] = {
    {"AT", "at", CELL_TIME},     {"EVENT", "type", CELL_TEXT}, {"NODE", "node", CELL_TEXT},
    {"DATA", "data", CELL_LONG}, {NULL, NULL, CELL_TEXT},
};

static void print_events(const struct cli *c, struct span list)
{
    struct span item;
    struct json_iter it = json_iter_init(list);
    struct print *p = print_new(&c->style, columns);
    while (json_iter_next(&it, NULL, &item))
        print_item(p, item);
    print_end(p);
}

static void print_sentences(struct span list)
{
    struct span item;
    struct json_iter it = json_iter_init(list);
    while (json_iter_next(&it, NULL, &item)) {
        char *text AUTOFREE = text_at(item, "");
        put_line("%s", text);
    }
}

/* "b: may take it, score 0.3", "c: is draining". */
static void print_placement(struct span list)
{
    struct span item;
    struct json_iter it = json_iter_init(list);
    while (json_iter_next(&it, NULL, &item)) {
        char *node AUTOFREE = text_at(item, "node"), *takes AUTOFREE = text_at(item, "takes");
        char *reason AUTOFREE = text_at(item, "reason"), *score AUTOFREE = text_at(item, "score");
        bool may = strcmp(takes, "true") == 0;
        put_line("on %s: %s%s%s", node, may ? "possible" : reason, may && *score ? ", score " : "",
                 may ? score : "");
    }
}

/* "claim: node a, epoch 3, since 2026-…": one line for each member that is no list. */
static void print_member(const char *name, struct span value)
{
    struct span key, v;
    struct str line AUTOSTR = STR_INIT;
    if (json_type(value) != JSON_T_OBJECT) {
        char *text AUTOFREE = text_at(value, "");
        put_line("%s: %s", name, *text ? text : "-");
        return;
    }
    struct json_iter it = json_iter_init(value);
    while (json_iter_next(&it, &key, &v)) {
        char *text AUTOFREE = text_at(v, "");
        str_puts(&line, line.n ? ", " : "");
        json_unquote(key, &line);
        str_printf(&line, " %s", *text ? text : "-");
    }
    put_line("%s: %s", name, str_get(&line));
}

static void explain(const struct cli *c, struct span document)
{
    struct span key, value, events = {NULL, 0}, fences = {NULL, 0};
    struct json_iter it = json_iter_init(document);
    while (json_iter_next(&it, &key, &value)) {
        struct str name AUTOSTR = STR_INIT;
        json_unquote(key, &name);
        if (strcmp(str_get(&name), "events") == 0)
            events = value;
        else if (json_type(value) == JSON_T_ARRAY && strcmp(str_get(&name), "because") == 0)
            print_sentences(value);
        else if (json_type(value) == JSON_T_ARRAY && strcmp(str_get(&name), "placement") == 0)
            print_placement(value);
        else if (strcmp(str_get(&name), "fences") == 0)
            fences = value;
        else
            print_member(str_get(&name), value);
    }
    if (fences.p && json_type(fences) == JSON_T_ARRAY && json_trim(fences).n > 2) {
        put_text("\nfenced:\n");
        print_events(c, fences);
    }
    if (events.p && json_type(events) == JSON_T_ARRAY) {
        put_text("\n");
        print_events(c, events);
    }
}

static int run(struct cli *c, struct err *e)
{
    char *path AUTOFREE = cli_child_path(c, args_word(&c->args, 0), "/why");
    if (c->style.format != FORMAT_TABLE)
        return cli_show(c, "GET", path, NULL, e);
    struct http_answer a = {0};
    int rc = cli_call_json(c, "GET", path, NULL, &a, e);
    if (rc == 0)
        explain(c, (struct span){a.body, a.body_n});
    http_answer_fini(&a);
    return rc;
}

const struct verb verb_why = {
    .name = "why",
    .args = "NAME",
    .help = "Explain why a name is where it is.",
    .options = options,
    .args_min = 1,
    .args_max = 1,
    .complete = COMPLETE_CHILD,
    .run = run,
};
