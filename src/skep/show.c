/* skep show: one child, everything about it. */
#include "skep/cli.h"
#include "skep/options.h"

static const struct verb_option options[] = {
    OPTION_SWARM,
    {.name = "read",
     .kind = OPT_TEXT,
     .value = "W",
     .help = "whom to ask: the node itself, or the owner",
     .words = "local owner"},
    {.name = "watch", .kind = OPT_FLAG, .help = "again whenever it changes, until it is gone"},
    OPTION_END,
};

#define WATCH_MS 30000

/* One look; *version is replaced. 1: go on, 0: it is gone. */
static int look(struct cli *c, const char *base, char **version, struct err *e)
{
    struct http_answer a = {0};
    char *path AUTOFREE = *version ? mem_printf("%s?after=%s", base, *version) : mem_dup(base);
    int rc = cli_call_json(c, "GET", path, NULL, &a, e);
    if (rc)
        return rc;
    struct span document = {a.body, a.body_n}, child = json_raw_member(a.body, a.body_n, "child");
    char *changed AUTOFREE = text_at(document, "changed"), *now = text_at(document, "version");
    bool there = child.p && json_type(child) == JSON_T_OBJECT;
    if (!there && !*version)
        rc = err_set(e, SKEP_ENOTFOUND, "no process of the name %s runs", args_word(&c->args, 0));
    else if (there && strcmp(changed, "true") == 0)
        print_document(&c->style, child);
    free(*version);
    *version = now;
    http_answer_fini(&a);
    return rc < 0 ? rc : there;
}

static int watch(struct cli *c, struct err *e)
{
    char *path AUTOFREE = cli_child_path(c, args_word(&c->args, 0), "/watch"), *version AUTOFREE = NULL;
    struct http *h;
    int rc = cli_http(c, &h, e);
    if (rc)
        return rc;
    http_set_timeout(h, WATCH_MS);
    while ((rc = look(c, path, &version, e)) == 1)
        ;
    return rc;
}

static int run(struct cli *c, struct err *e)
{
    if (args_flag(&c->args, "watch"))
        return watch(c, e);
    struct str path AUTOSTR = STR_INIT;
    char *child AUTOFREE = cli_child_path(c, args_word(&c->args, 0), "");
    str_puts(&path, child);
    const char *read = args_text(&c->args, "read");
    if (read && strcmp(read, "owner") == 0)
        str_puts(&path, "?read=owner");
    return cli_show(c, "GET", str_get(&path), NULL, e);
}

const struct verb verb_show = {
    .name = "show",
    .args = "NAME",
    .help = "Show everything about one child.",
    .options = options,
    .args_min = 1,
    .args_max = 1,
    .complete = COMPLETE_CHILD,
    .run = run,
};
