#include "skep/doctor_held.h"

bool doctor_held_asked(const struct cli *c)
{
    return args_flag(&c->args, "quarantine") || args_flag(&c->args, "export") ||
           args_text(&c->args, "keep") || args_text(&c->args, "drop");
}

static int decide(struct cli *c, const char *option, const char *decision, struct err *e)
{
    const char *id;
    int rc = 0;
    char *body AUTOFREE = mem_printf("{\"decision\":\"%s\"}", decision);
    for (size_t i = 0; rc == 0 && (id = args_nth(&c->args, option, i)); i++) {
        char *path AUTOFREE = path_printf("/v1/quarantine/%s", id);
        rc = cli_tell(c, "POST", path, body, "{id}: {decision}", e);
    }
    return rc;
}

int doctor_held(struct cli *c, struct err *e)
{
    static const struct column columns[] = {{"ID", "id", CELL_TEXT},   {"TABLE", "table", CELL_TEXT},
                                            {"KEY", "key", CELL_TEXT}, {"SINCE", "at", CELL_TEXT},
                                            {"WHY", "why", CELL_LONG}, {NULL, NULL, CELL_TEXT}};
    int rc = decide(c, "keep", "keep", e);
    if (rc == 0)
        rc = decide(c, "drop", "drop", e);
    if (args_flag(&c->args, "export"))
        c->style.format = FORMAT_JSONL;
    if (rc == 0 && (args_flag(&c->args, "quarantine") || args_flag(&c->args, "export")))
        rc = cli_list(c, "/v1/quarantine", "rows", columns, e);
    return rc;
}
