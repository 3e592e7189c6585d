/* skep events: what happened in the cluster, from the node's bounded log; -f goes on as it happens. */
#include "skep/cli.h"
#include "skep/options.h"

static const struct verb_option options[] = {
    {.name = "type", .kind = OPT_TEXT, .value = "T", .help = "only events of this type"},
    {.name = "name",
     .kind = OPT_TEXT,
     .value = "NAME",
     .help = "only events of this name",
     .complete = COMPLETE_CHILD},
    {.name = "swarm", .letter = 's', .kind = OPT_TEXT, .value = "S", .help = "only events of this swarm"},
    {.name = "follow", .letter = 'f', .kind = OPT_FLAG, .help = "what happens from now on, as it happens"},
    {.name = "after",
     .kind = OPT_TEXT,
     .value = "ID",
     .help = "with -f: what happened behind this event, and then on"},
    OPTION_LIMIT,
    OPTION_END,
};

static const struct column columns[] = {
    {"ID", "id", CELL_TEXT},     {"AT", "at", CELL_TEXT},       {"EVENT", "type", CELL_TEXT},
    {"NODE", "node", CELL_TEXT}, {"SWARM", "swarm", CELL_TEXT}, {"NAME", "name", CELL_TEXT},
    {"DATA", "data", CELL_LONG}, {NULL, NULL, CELL_TEXT},
};

/* ---- the stream ---- */

struct follow {
    const struct print_style *style;
    struct str line;
    char *last; /* the id of the event that was shown last; NULL */
    int64_t left;
};

/* A line of its own, at once: nobody knows how wide the columns will be. */
static void show(const struct follow *f, struct span event)
{
    if (f->style->format == FORMAT_JSON || f->style->format == FORMAT_JSONL) {
        put_line("%.*s", (int)event.n, event.p);
        return;
    }
    struct print *p = print_new(f->style, columns);
    print_item(p, event);
    print_end(p);
}

static void take_line(struct follow *f)
{
    const char *line = str_get(&f->line);
    struct span event = span_of(line + 6);
    if (!text_starts(line, "data: ") || json_check(event.p, event.n, NULL) < 0)
        return;
    show(f, event);
    free(f->last);
    f->last = text_at(event, "id");
    f->left--;
}

static bool on_bytes(void *self, const char *bytes, size_t n)
{
    struct follow *f = self;
    for (size_t i = 0; i < n && f->left > 0; i++) {
        if (bytes[i] != '\n') {
            str_add(&f->line, bytes + i, 1);
            continue;
        }
        take_line(f);
        str_clear(&f->line);
    }
    return f->left > 0;
}

static int follow(struct cli *c, const char *path, struct err *e)
{
    struct print_style style = c->style;
    style.header = false;
    struct follow f = {.style = &style, .left = INT64_MAX};
    struct http *h;
    const char *after = args_text(&c->args, "after");
    args_i64(&c->args, "limit", &f.left);
    int rc = cli_http(c, &h, e);
    if (rc)
        return rc;
    http_set_header(h, "Accept: text/event-stream");
    char *header AUTOFREE = after ? mem_printf("Last-Event-ID: %s", after) : NULL;
    if (header)
        http_set_header(h, header);
    rc = http_stream(h, "GET", path, on_bytes, &f, e);
    if (f.left > 0 && (rc == 0 || rc == SKEP_EUNREACHABLE))
        rc = err_set(e, SKEP_EUNREACHABLE, "the stream has ended%s%s",
                     f.last ? "; it goes on with --after " : "", f.last ? f.last : "");
    str_fini(&f.line);
    free(f.last);
    return rc;
}

static int run(struct cli *c, struct err *e)
{
    struct str path AUTOSTR = STR_INIT;
    str_puts(&path, "/v1/events");
    cli_query(c, &path, "type");
    cli_query(c, &path, "name");
    cli_query(c, &path, "swarm");
    if (args_flag(&c->args, "follow"))
        return follow(c, str_get(&path), e);
    if (args_text(&c->args, "after"))
        return err_set(e, SKEP_EUSAGE, "--after goes with -f: skep events -f --after ID");
    return cli_list(c, str_get(&path), "events", columns, e);
}

const struct verb verb_events = {
    .name = "events",
    .args = "",
    .help = "List what happened in the cluster, or follow it.",
    .options = options,
    .run = run,
};
