/* skep config: what is in force on this machine, and where each value comes from. A secret is never shown. */
#include "skep/cli.h"
#include "skep/options.h"

static void show_one(const struct cli *c, struct print *p, const struct config_row *row)
{
    struct str line AUTOSTR = STR_INIT;
    struct jw j = jw_init(&line);
    cli_plain_flags(row->origin);
    jw_object(&j);
    jw_kv_string(&j, "name", row->name);
    jw_kv_string(&j, "value", row->value);
    if (args_flag(&c->args, "origin"))
        jw_kv_string(&j, "origin", row->origin);
    jw_kv_string(&j, "unit", row->unit);
    jw_object_close(&j);
    jw_end(&j);
    print_item(p, (struct span){line.p, line.n});
}

static int run_show(struct cli *c, struct err *e)
{
    (void)e;
    static const struct column with_origin[] = {{"NAME", "name", CELL_TEXT},
                                                {"VALUE", "value", CELL_TEXT},
                                                {"UNIT", "unit", CELL_TEXT},
                                                {"ORIGIN", "origin", CELL_TEXT},
                                                {NULL, NULL, CELL_TEXT}};
    static const struct column plain[] = {{"NAME", "name", CELL_TEXT},
                                          {"VALUE", "value", CELL_TEXT},
                                          {"UNIT", "unit", CELL_TEXT},
                                          {NULL, NULL, CELL_TEXT}};
    struct config_row *rows;
    size_t n;
    config_rows(&c->config, &rows, &n);
    struct print *p = print_new(&c->style, args_flag(&c->args, "origin") ? with_origin : plain);
    for (size_t i = 0; i < n; i++)
        show_one(c, p, &rows[i]);
    print_end(p);
    config_rows_free(rows, n);
    return 0;
}

static const struct verb_option show_options[] = {
    {.name = "origin", .kind = OPT_FLAG, .help = "also say what each value comes from"}, OPTION_END};
static const struct verb show_verb = {
    .name = "show",
    .args = "",
    .help = "Show what is in force.",
    .options = show_options,
    .run = run_show,
};
static const struct verb *const subs[] = {&show_verb, NULL};

const struct verb verb_config = {
    .name = "config",
    .help = "Show the configuration in force.",
    .subs = subs,
};
