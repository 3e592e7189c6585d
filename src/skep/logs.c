/* skep logs: what a child wrote, from the node that runs it; -f goes on, also when the child moves. */
#include <time.h>

#include "skep/cli.h"
#include "skep/options.h"

#define POLL_MS 250

static const struct verb_option options[] = {
    OPTION_SWARM,
    {.name = "follow", .letter = 'f', .kind = OPT_FLAG, .help = "go on as it writes on"},
    {.name = "lines", .letter = 'n', .kind = OPT_INT, .value = "N", .help = "so many of the last lines"},
    OPTION_END,
};

/* Where we are in the output, and whose output that is. */
struct place {
    char *node;
    int64_t after;
};

static void text_of(struct span document, const char *member, struct str *ret)
{
    json_unquote(json_raw_member(document.p, document.n, member), ret);
}

/* Prints one answer and moves the place behind it; another node's output begins at its own start. */
static void take(struct span document, struct place *at)
{
    struct str text AUTOSTR = STR_INIT, next AUTOSTR = STR_INIT, node AUTOSTR = STR_INIT;
    text_of(document, "text", &text);
    text_of(document, "next", &next);
    text_of(document, "node", &node);
    bool moved = at->node && strcmp(at->node, str_get(&node)) != 0;
    mem_replace(&at->node, str_get(&node));
    if (moved) {
        at->after = 0;
        return;
    }
    put(str_get(&text), text.n);
    text_i64(str_get(&next), 0, INT64_MAX, &at->after);
}

static int once(struct cli *c, const char *logs, struct place *at, struct err *e)
{
    struct str path AUTOSTR = STR_INIT;
    struct http_answer a = {0};
    str_puts(&path, logs);
    if (at->after)
        str_printf(&path, "?after=%lld", (long long)at->after);
    else
        cli_query(c, &path, "lines");
    int rc = cli_call_json(c, "GET", str_get(&path), NULL, &a, e);
    if (rc == 0)
        take((struct span){a.body, a.body_n}, at);
    http_answer_fini(&a);
    return rc;
}

static int run(struct cli *c, struct err *e)
{
    char *logs AUTOFREE = cli_child_path(c, args_word(&c->args, 0), "/logs");
    struct place at = {0};
    int rc = once(c, logs, &at, e);
    while (rc == 0 && args_flag(&c->args, "follow")) {
        const struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};
        nanosleep(&pause, NULL);
        rc = once(c, logs, &at, e);
    }
    free(at.node);
    return rc;
}

const struct verb verb_logs = {
    .name = "logs",
    .args = "NAME",
    .help = "Print what a child wrote to its output.",
    .options = options,
    .args_min = 1,
    .args_max = 1,
    .complete = COMPLETE_CHILD,
    .run = run,
};
