/* skep metadata: what is kept with a child, shown or changed. */
#include "skep/cli.h"
#include "skep/options.h"

static const struct verb_option options[] = {
    OPTION_SWARM,
    {.name = "set",
     .kind = OPT_MANY,
     .value = "K=V",
     .help = "this member; V is JSON, anything else is text"},
    {.name = "unset", .kind = OPT_MANY, .value = "K", .help = "without this member"},
    {.name = "inc",
     .kind = OPT_MANY,
     .value = "K=N",
     .help = "add to this member, a whole number; 0 where it is absent"},
    OPTION_TEXT,
    {.name = "if-match", .kind = OPT_TEXT, .value = "R", .help = "only if its rev is still this one"},
    OPTION_END,
};

/* Every K=V of an option as members of the object. */
static int put_pairs(const struct cli *c, const char *option, struct jw *j, struct err *e)
{
    const char *pair;
    for (size_t i = 0; (pair = args_nth(&c->args, option, i)); i++) {
        const char *equals = strchr(pair, '=');
        char *value AUTOFREE = NULL;
        if (!equals || equals == pair)
            return err_set(e, SKEP_EUSAGE, "--%s takes K=V, not \"%.100s\"", option, pair);
        char *name AUTOFREE = mem_copy(pair, (size_t)(equals - pair));
        int rc = cli_data(c, equals + 1, &value, e);
        if (rc)
            return rc;
        jw_kv_raw(j, name, span_of(value));
    }
    return 0;
}

static int body_of(const struct cli *c, struct str *ret_body, struct err *e)
{
    const char *key;
    int rc = 0;
    struct jw j = jw_init(ret_body);
    jw_object(&j);
    jw_kv_object(&j, "metadata");
    rc = put_pairs(c, "set", &j, e);
    for (size_t i = 0; (key = args_nth(&c->args, "unset", i)); i++)
        jw_kv_null(&j, key);
    jw_object_close(&j);
    if (rc == 0 && args_flag(&c->args, "inc")) {
        jw_kv_object(&j, "increment");
        rc = put_pairs(c, "inc", &j, e);
        jw_object_close(&j);
    }
    jw_object_close(&j);
    return rc;
}

static int show(const struct cli *c, const struct http_answer *a)
{
    struct span metadata = json_raw_member(a->body, a->body_n, "metadata");
    print_document(&c->style, metadata.p ? metadata : span_of("{}"));
    return 0;
}

static int run(struct cli *c, struct err *e)
{
    char *path AUTOFREE = cli_child_path(c, args_word(&c->args, 0), "");
    struct str body AUTOSTR = STR_INIT;
    bool changes = args_flag(&c->args, "set") || args_flag(&c->args, "unset") || args_flag(&c->args, "inc");
    const char *rev = args_text(&c->args, "if-match");
    char *header AUTOFREE = mem_printf("If-Match: \"%s\"", rev ? rev : "");
    struct http_answer a = {0};
    struct http *h;
    int rc = changes ? body_of(c, &body, e) : 0;
    if (rc == 0)
        rc = cli_http(c, &h, e);
    if (rc == 0 && rev)
        http_set_header(h, header);
    if (rc == 0)
        rc = cli_call_json(c, changes ? "PATCH" : "GET", path, changes ? str_get(&body) : NULL, &a, e);
    if (rc == 0)
        rc = show(c, &a);
    http_answer_fini(&a);
    return rc;
}

const struct verb verb_metadata = {
    .name = "metadata",
    .args = "NAME",
    .help = "Show what is kept with a child, or change it.",
    .options = options,
    .args_min = 1,
    .args_max = 1,
    .complete = COMPLETE_CHILD,
    .run = run,
};
