/* skep version: of this program. */
#include "skep/cli.h"

static int run(struct cli *c, struct err *e)
{
    (void)e;
    static const char document[] = "{\"version\":\"" SKEP_VERSION "\"}";
    cli_print_told(c, span_of(document), "skep {version}");
    return 0;
}

const struct verb verb_version = {
    .name = "version",
    .args = "",
    .help = "Print the version of this program.",
    .run = run,
};
