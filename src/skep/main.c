/* skep: the command line. Reads the line by the verb table, runs the verb, prints what went wrong. */
#include <locale.h>
#include <signal.h>
#include <stdio.h>

#include "skep/cli.h"
#include "skep/help.h"

/* On standard error in every format: "skep: what happened and the remedy (code)". A verb that has said it
 * all on standard output leaves the text empty. */
static int report(const struct err *e)
{
    const struct err_info *info = err_info(e->code);
    if (e->text[0])
        fprintf(stderr, "skep: %s (%s)\n", e->text, info->word);
    switch (info->exit_status) {
    case 64: /* usage */
    case 78: /* configuration */
        return 64;
    case 69: /* unreachable */
    case 75: /* not yet */
    case 77: /* not allowed */
        return info->exit_status;
    default:
        return 1;
    }
}

static int run(struct cli *c, int argc, char **argv, struct err *e)
{
    int rc = cli_init(c, argc, argv, e);
    if (rc)
        return rc;
    if (c->args.help || !c->args.verb) {
        help_print(c->args.family, c->args.verb);
        if (!c->args.help)
            return err_set(e, SKEP_EUSAGE, "which verb?");
        return 0;
    }
    return c->args.verb->run(c, e);
}

int main(int argc, char **argv)
{
    struct cli c;
    struct err e = {0};
    setlocale(LC_ALL, "");
    signal(SIGPIPE, SIG_IGN);
    int rc = run(&c, argc, argv, &e);
    cli_fini(&c);
    return rc ? report(&e) : 0;
}
