/* help: prints the verb table. Knows no verb. */
#include "skep/help.h"

#include "skep/cli.h"

static void print_verbs(const struct verb *const *table)
{
    for (; *table; table++)
        put_line("  %-11s %s", (*table)->name, (*table)->help);
}

static void print_option(const struct verb_option *o)
{
    struct str s AUTOSTR = STR_INIT;
    if (o->letter)
        str_printf(&s, "-%c, ", o->letter);
    else
        str_puts(&s, "    ");
    str_printf(&s, "--%s", o->name);
    if (o->value)
        str_printf(&s, " %s", o->value);
    put_line("  %-26s %s%s%s%s", str_get(&s), o->help, o->words ? " (" : "", o->words ? o->words : "",
             o->words ? ")" : "");
}

static void print_options(const struct verb_option *o, const char *title)
{
    if (!o || !o->name)
        return;
    put_line("\n%s", title);
    for (; o->name; o++)
        print_option(o);
}

void help_print(const struct verb *family, const struct verb *v)
{
    struct str usage AUTOSTR = STR_INIT;
    verb_usage(family, v, &usage);
    put_line("usage: %s", str_get(&usage));
    if (v)
        put_line("\n%s", v->help);
    if (!v || v->subs) {
        put_line("\nVerbs:");
        print_verbs(v ? v->subs : verbs);
    }
    if (v)
        print_options(v->options, "Options:");
    if (!v)
        print_options(options_common, "Options of every verb:");
    if (v && v->more)
        put_line("\n%s", v->more);
    if (!v)
        put_line("\n\"skep help VERB\" tells more. Exit status: 0 done, 1 refused or failed, 64 usage, 69 "
                 "unreachable,\n"
                 "75 accepted but not yet true, 77 not allowed.");
    else
        put_line("\n\"skep help\" lists the options of every verb.");
}

static int run(struct cli *c, struct err *e)
{
    const struct verb *family = NULL, *v = NULL;
    for (size_t i = 0; i < c->args.words_n; i++) {
        const struct verb *next = verb_find(v ? v->subs : verbs, c->args.word[i]);
        if (!next)
            return err_set(e, SKEP_EUSAGE, "no verb \"%s%s%.64s\"; \"skep help\" lists them",
                           v ? v->name : "", v ? " " : "", c->args.word[i]);
        family = v;
        v = next;
    }
    help_print(family, v);
    return 0;
}

const struct verb verb_help = {
    .name = "help",
    .args = "[VERB…]",
    .help = "Explain a verb and its options.",
    .args_max = 2,
    .complete = COMPLETE_VERB,
    .run = run,
};
