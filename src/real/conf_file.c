/* conf_file: decides what is written where in a configuration file, not whether a value is good.
 *
 * libconfuse sees every setting as text or a list of texts, so that the one checker of values (setting.c)
 * serves file, environment and flags alike. It is given bytes, never a path: it would expand ~ in it and
 * end the process on a folder.
 */
#include "real/conf_file.h"

#include <stdio.h>
#include <string.h>

#include <confuse.h>

#include "base/ensure.h"
#include "base/mem.h"

const char *const conf_swarm_settings[] = {
    "restart",   "handoff",         "distribution", "redundancy", "migration",
    "partition", "synchronization", "conflict",     "limits",     "worker_role",
    "serve",     "nodes",           "labels",       "children",   NULL,
};

bool conf_swarm_list(const char *setting)
{
    return strcmp(setting, "nodes") == 0 || strcmp(setting, "labels") == 0 ||
           strcmp(setting, "children") == 0;
}

const char *const conf_hook_settings[] = {
    "kind",  "argv",  "env",      "cwd",        "url",         "secret", "to",       "swarm",    "name",
    "nodes", "where", "priority", "timeout_ms", "concurrency", "queue",  "attempts", "required", NULL,
};

bool conf_hook_list(const char *setting)
{
    return strcmp(setting, "argv") == 0 || strcmp(setting, "env") == 0 || strcmp(setting, "nodes") == 0;
}

#define OPTIONS_MAX 96

/* libconfuse hands no context to its callbacks, and its scanner is a static anyway: so is what they fill. */
static struct parse {
    const char *path;
    struct err *e;
    int rc;
    struct place {
        char section[16], title[256], name[48];
        int line;
    } * places;
    size_t n, cap;
} parse;

/* Text of the file as a message may quote it: escapes can make any bytes, and a cut one half a character. */
static void make_clean(char *text)
{
    if (text_is_clean(text, strlen(text)))
        return;
    for (; *text; text++)
        if (*text < ' ' || *text > '~')
            *text = '?';
}

/* The words of libconfuse for an unknown name, which deserve better ones. */
static bool unknown_name(const char *text, char name[128])
{
    if (sscanf(text, "no such option '%127[^']'", name) != 1)
        return false;
    make_clean(name);
    return true;
}

static const char *nearest(cfg_t *cfg, const char *name)
{
    const char *section = cfg_name(cfg);
    if (strcmp(section, "swarm") == 0 || strcmp(section, "hook") == 0)
        return NULL;
    if (strcmp(section, "client") != 0)
        return setting_nearest(name);
    AUTOFREE char *full = mem_printf("client.%s", name);
    const char *best = setting_nearest(full);
    return best ? best + strlen("client.") : NULL;
}

static void names_of(const char *const *list, struct str *ret)
{
    for (const char *const *p = list; *p; p++)
        str_printf(ret, "%s%s", p == list ? "" : ", ", *p);
}

static void on_error(cfg_t *cfg, const char *fmt, va_list ap)
{
    char text[256], name[128];
    if (parse.rc != 0)
        return; /* the first one is the cause */
    vsnprintf(text, sizeof text, fmt, ap);
    make_clean(text);
    if (!unknown_name(text, name)) {
        parse.rc = err_set(parse.e, SKEP_ECONFIG, "%s:%d: %s", parse.path, cfg->line, text);
        return;
    }
    const char *best = nearest(cfg, name);
    AUTOSTR struct str hint = STR_INIT;
    if (strcmp(cfg_name(cfg), "swarm") == 0) {
        str_puts(&hint, "a swarm has: ");
        names_of(conf_swarm_settings, &hint);
    } else if (strcmp(cfg_name(cfg), "hook") == 0) {
        str_puts(&hint, "a hook has: ");
        names_of(conf_hook_settings, &hint);
    } else if (best) {
        str_printf(&hint, "do you mean %s?", best);
    } else {
        str_puts(&hint, "skep config show lists all");
    }
    parse.rc = err_field(parse.e, SKEP_ECONFIG, name, "%s:%d: there is no setting %s; %s", parse.path,
                         cfg->line, name, str_get(&hint));
}

static struct place *place_of(const cfg_t *cfg, const char *name)
{
    for (size_t i = 0; i < parse.n; i++)
        if (strcmp(parse.places[i].section, cfg->name) == 0 && strcmp(parse.places[i].name, name) == 0 &&
            strcmp(parse.places[i].title, cfg->title ? cfg->title : "") == 0)
            return &parse.places[i];
    return NULL;
}

/* Notes the line of a value; a setting that is no list must not come twice. */
static int on_value(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *ret_value)
{
    struct place *place = place_of(cfg, opt->name);
    if (place && !(opt->flags & CFGF_LIST)) {
        parse.rc =
            err_field(parse.e, SKEP_ECONFIG, opt->name, "%s:%d: %s is already set in line %d; keep one",
                      parse.path, cfg->line, opt->name, place->line);
        return -1;
    }
    if (!place) {
        ARRAY_GROW(parse.places, parse.n, parse.cap);
        place = &parse.places[parse.n++];
        snprintf(place->section, sizeof place->section, "%s", cfg->name);
        snprintf(place->title, sizeof place->title, "%s", cfg->title ? cfg->title : "");
        snprintf(place->name, sizeof place->name, "%s", opt->name);
        place->line = cfg->line;
    }
    *(const char **)ret_value = value;
    return 0;
}

static cfg_opt_t option(const char *name, bool list)
{
    cfg_opt_t text = CFG_STR_CB(name, NULL, CFGF_NODEFAULT, on_value);
    cfg_opt_t texts = CFG_STR_LIST_CB(name, NULL, CFGF_NODEFAULT, on_value);
    return list ? texts : text;
}

/* The top level's settings, or those of the client section (without "client."). */
static size_t options_fill(cfg_opt_t *options, bool client)
{
    size_t n = 0;
    for (size_t i = 0; i < setting_count(); i++) {
        const struct setting *s = setting_at(i);
        if (text_starts(s->name, "client.") != client)
            continue;
        ensure(n + 4 < OPTIONS_MAX, "too many settings for OPTIONS_MAX");
        options[n++] = option(s->name + (client ? strlen("client.") : 0), s->type == SETTING_LIST);
    }
    return n;
}

static cfg_t *grammar(void)
{
    cfg_opt_t top[OPTIONS_MAX], client[OPTIONS_MAX], swarm[COUNT(conf_swarm_settings)];
    cfg_opt_t hook[COUNT(conf_hook_settings)];
    cfg_opt_t end = CFG_END();
    client[options_fill(client, true)] = end;
    for (size_t i = 0; conf_swarm_settings[i]; i++)
        swarm[i] = option(conf_swarm_settings[i], conf_swarm_list(conf_swarm_settings[i]));
    swarm[COUNT(conf_swarm_settings) - 1] = end;
    for (size_t i = 0; conf_hook_settings[i]; i++)
        hook[i] = option(conf_hook_settings[i], conf_hook_list(conf_hook_settings[i]));
    hook[COUNT(conf_hook_settings) - 1] = end;
    size_t n = options_fill(top, false);
    cfg_opt_t client_section = CFG_SEC("client", client, CFGF_NONE);
    cfg_opt_t swarm_section = CFG_SEC("swarm", swarm, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES);
    top[n++] = client_section;
    cfg_opt_t hook_section = CFG_SEC("hook", hook, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES);
    top[n++] = swarm_section;
    top[n++] = hook_section;
    top[n] = end;
    cfg_t *cfg = cfg_init(top, CFGF_NONE);
    ensure(cfg, "no memory for a parser");
    cfg_set_error_function(cfg, on_error);
    return cfg;
}

static void entry_add(struct conf_file *f, cfg_t *cfg, cfg_opt_t *opt, const char *name, const char *section)
{
    ARRAY_GROW(f->entries, f->n, f->cap);
    struct place *place = place_of(cfg, opt->name);
    struct conf_entry *entry = &f->entries[f->n++];
    *entry = (struct conf_entry){.name = name, .line = place ? place->line : 0};
    entry->section = mem_dup(section);
    entry->title = section ? mem_dup(cfg_title(cfg)) : NULL;
    for (unsigned i = 0; i < cfg_opt_size(opt); i++)
        texts_add(&entry->value, cfg_opt_getnstr(opt, i));
}

static void entry_collect(struct conf_file *f, cfg_t *cfg, const char *option_name, const char *name,
                          const char *section)
{
    cfg_opt_t *opt = cfg_getopt(cfg, option_name);
    if (opt && (opt->flags & CFGF_MODIFIED))
        entry_add(f, cfg, opt, name, section);
}

/* A section that says nothing declares what it is called all the same. */
static void section_collect(struct conf_file *f, cfg_t *cfg, const char *section, const char *const *settings)
{
    size_t before = f->n;
    for (const char *const *p = settings; *p; p++)
        entry_collect(f, cfg, *p, *p, section);
    if (f->n > before)
        return;
    ARRAY_GROW(f->entries, f->n, f->cap);
    f->entries[f->n++] =
        (struct conf_entry){.section = mem_dup(section), .title = mem_dup(cfg_title(cfg)), .line = cfg->line};
}

static void collect(struct conf_file *f, cfg_t *cfg)
{
    cfg_t *client = cfg_getsec(cfg, "client");
    for (size_t i = 0; i < setting_count(); i++) {
        const char *name = setting_at(i)->name;
        if (!text_starts(name, "client."))
            entry_collect(f, cfg, name, name, NULL);
        else
            entry_collect(f, client, name + strlen("client."), name, NULL);
    }
    for (unsigned i = 0; i < cfg_size(cfg, "swarm"); i++)
        section_collect(f, cfg_getnsec(cfg, "swarm", i), "swarm", conf_swarm_settings);
    for (unsigned i = 0; i < cfg_size(cfg, "hook"); i++)
        section_collect(f, cfg_getnsec(cfg, "hook", i), "hook", conf_hook_settings);
}

/* --- before libconfuse sees it ------------------------------------------------------------------------ */

/* What libconfuse 3.3 gets wrong, or drops without a word, is seen to here: it counts the lines of comments
 * wrongly, takes a section that is never closed, and eats a bare * or +. So comments become blanks, and the
 * rest is refused. */
struct scan {
    const char *path;
    char *p, *end;
    int line, depth, open_line; /* open_line: of the outermost brace that is still open */
    struct err *e;
};

static int scan_fail(const struct scan *s, int line, const char *what)
{
    return err_set(s->e, SKEP_ECONFIG, "%s:%d: %s", s->path, line, what);
}

/* From a $ to the last byte of ${…}, or not at all. */
static void scan_variable(struct scan *s)
{
    char *close = s->p + 1 < s->end && s->p[1] == '{' ? memchr(s->p, '}', (size_t)(s->end - s->p)) : NULL;
    s->p = close ? close : s->p;
}

static int scan_quoted(struct scan *s)
{
    char quote = *s->p++;
    int from = s->line;
    while (s->p < s->end && *s->p != quote) {
        s->line += *s->p == '\n';
        if (*s->p == '\\' && s->p + 1 < s->end)
            s->line += *++s->p == '\n';
        else if (*s->p == '$' && quote == '"')
            scan_variable(s);
        if (s->p < s->end)
            s->p++;
    }
    if (s->p >= s->end)
        return scan_fail(s, from, "the text that begins here has no closing quote");
    s->p++;
    return 0;
}

static int scan_brace(struct scan *s)
{
    if (*s->p == '{' && s->depth++ == 0)
        s->open_line = s->line;
    if (*s->p == '}' && s->depth-- == 0)
        return scan_fail(s, s->line, "a closing brace without an opening one");
    s->p++;
    return 0;
}

/* At the first byte of a word, or within one. */
static int scan_word(struct scan *s, bool first)
{
    char next = s->p + 1 < s->end ? s->p[1] : 0;
    if (*s->p == '/' && (next == '*' || (first && next == '/')))
        return scan_fail(s, s->line, "a comment begins with #; text with * in it needs quotes");
    if (*s->p == '*')
        return scan_fail(s, s->line, "text with * in it needs quotes");
    if (*s->p == '+' && next != '=')
        return scan_fail(s, s->line, "text with + in it needs quotes");
    if (*s->p == '$')
        scan_variable(s);
    s->p++;
    return 0;
}

static int scan(struct scan *s)
{
    int rc = 0;
    bool first = true;
    while (s->p < s->end && rc == 0) {
        bool blank = strchr(" \t\r\n={},", *s->p) != NULL;
        s->line += *s->p == '\n';
        if (*s->p == '#')
            while (s->p < s->end && *s->p != '\n')
                *s->p++ = ' ';
        else if (*s->p == '"' || *s->p == '\'')
            rc = scan_quoted(s);
        else if (*s->p == '{' || *s->p == '}')
            rc = scan_brace(s);
        else
            rc = scan_word(s, first);
        first = blank;
    }
    return rc == 0 && s->depth > 0 ? scan_fail(s, s->open_line, "the brace that opens here is never closed")
                                   : rc;
}

static int check_bytes(const char *path, const char *text, size_t n, struct err *e)
{
    size_t line = 1;
    for (size_t i = 0; i < n; i++) {
        line += text[i] == '\n';
        if ((unsigned char)text[i] < 0x20 && !strchr("\n\t\r", text[i] ? text[i] : 'x'))
            return err_set(e, SKEP_ECONFIG, "%s:%zu: a control character (%d) does not belong here", path,
                           line, text[i]);
    }
    return text_is_utf8(text, n) ? 0 : err_set(e, SKEP_ECONFIG, "%s is not a text in UTF-8", path);
}

int conf_file_parse(const char *path, const char *text, size_t n, struct conf_file *ret, struct err *e)
{
    *ret = (struct conf_file){0};
    AUTOFREE char *copy = mem_copy(text, n);
    struct scan s = {.path = path, .p = copy, .end = copy + n, .line = 1, .e = e};
    int rc = check_bytes(path, text, n, e);
    if (rc == 0)
        rc = scan(&s);
    if (rc != 0)
        return rc;
    parse = (struct parse){.path = path, .e = e};
    cfg_t *cfg = grammar();
    int failed = cfg_parse_buf(cfg, copy);
    if (failed && parse.rc == 0)
        parse.rc = err_set(e, SKEP_ECONFIG, "%s:%d: this cannot be read as settings", path, cfg->line);
    if (!parse.rc)
        collect(ret, cfg);
    cfg_free(cfg); /* also resets the scanner, which a broken file leaves inside a string or comment */
    free(parse.places);
    rc = parse.rc;
    parse = (struct parse){0};
    return rc;
}

void conf_file_fini(struct conf_file *f)
{
    for (size_t i = 0; i < f->n; i++) {
        free(f->entries[i].section);
        free(f->entries[i].title);
        texts_fini(&f->entries[i].value);
    }
    free(f->entries);
    *f = (struct conf_file){0};
}
