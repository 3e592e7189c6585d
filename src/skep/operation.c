/* skep operation: starts and stops of many: how far they are, and what became of them. */
#include "skep/batch.h"
#include "skep/cli.h"
#include "skep/options.h"

static const struct verb_option ls_options[] = {OPTION_LIMIT, OPTION_QUIET, OPTION_END};

static const struct column columns[] = {
    {"OPERATION", "operation", CELL_TEXT},
    {"SWARM", "swarm", CELL_TEXT},
    {"KIND", "kind", CELL_TEXT},
    {"STATE", "state", CELL_STATUS},
    {"TOTAL", "total", CELL_TEXT},
    {"COORDINATOR", "coordinator", CELL_TEXT},
    {"AT", "at", CELL_TEXT},
    {"ENDED", "ended_at", CELL_TEXT},
    {NULL, NULL, CELL_TEXT},
};

static int run_ls(struct cli *c, struct err *e)
{
    return cli_list(c, "/v1/operations", "operations", columns, e);
}

static int run_show(struct cli *c, struct err *e)
{
    char *path AUTOFREE = path_printf("/v1/operations/%s", args_word(&c->args, 0));
    return cli_show(c, "GET", path, NULL, e);
}

static int run_wait(struct cli *c, struct err *e)
{
    return batch_wait(c, args_word(&c->args, 0), e);
}

static const struct verb ls_verb = {
    .name = "ls",
    .args = "",
    .help = "List the operations that go on, or ended in the last 10 minutes.",
    .options = ls_options,
    .args_min = 0,
    .args_max = 0,
    .run = run_ls,
};
static const struct verb show_verb = {
    .name = "show",
    .args = "OPERATION",
    .help = "Show how far one is, and its result once it has ended.",
    .args_min = 1,
    .args_max = 1,
    .run = run_show,
};
static const struct verb wait_verb = {
    .name = "wait",
    .args = "OPERATION",
    .help = "Wait for its end, and say what the call that began it would have said.",
    .args_min = 1,
    .args_max = 1,
    .run = run_wait,
};

static const struct verb *const subs[] = {&ls_verb, &show_verb, &wait_verb, NULL};

const struct verb verb_operation = {
    .name = "operation",
    .help = "Follow starts and stops of many (skep start --batch, skep stop).",
    .subs = subs,
};
