/* skep logs: what a child wrote, byte by byte. */
#include "skep/cli.h"
#include "skep/options.h"

static const struct verb_option options[] = {
    OPTION_SWARM,
    {.name = "follow", .letter = 'f', .kind = OPT_FLAG, .help = "go on as it writes on"},
    {.name = "lines", .letter = 'n', .kind = OPT_INT, .value = "N", .help = "so many of the last lines"},
    OPTION_END,
};

static bool on_bytes(void *self, const char *bytes, size_t n)
{
    (void)self;
    put(bytes, n);
    return true;
}

static int run(struct cli *c, struct err *e)
{
    struct str path AUTOSTR = STR_INIT;
    char *logs AUTOFREE = cli_child_path(c, args_word(&c->args, 0), "/logs");
    str_puts(&path, logs);
    if (args_flag(&c->args, "follow"))
        str_puts(&path, "?follow=true");
    cli_query(c, &path, "lines");
    struct http *h;
    int rc = cli_http(c, &h, e);
    return rc ? rc : http_stream(h, str_get(&path), on_bytes, NULL, e);
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
