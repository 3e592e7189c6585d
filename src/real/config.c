/* config: decides which layer's word counts, and what a change needs. What a good value is, setting.c knows;
 * how a file is written, conf_file.c.
 *
 * 1. Later layers replace earlier ones whole, lists too.
 * 2. A failed load leaves nothing behind; a failed reload leaves the running configuration alone.
 * 3. The environment and flags are kept, so that a reload sees what the start saw.
 */
#include "real/config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/ensure.h"
#include "base/mem.h"
#include "real/conf_file.h"
#include "real/file.h"

static void texts_one(struct texts *t, const char *text)
{
    texts_fini(t);
    texts_add(t, text);
}

/* --- layers ------------------------------------------------------------------------------------------- */

static int put(struct config *c, size_t i, const struct texts *given, const char *base_dir,
               enum config_layer layer, int line, struct err *e)
{
    int rc = setting_parse(setting_at(i), given, base_dir, c, e);
    if (rc == 0)
        c->origin[i] = (struct config_origin){layer, line};
    return rc;
}

static void defaults(struct config *c)
{
    for (size_t i = 0; i < setting_count(); i++) {
        const struct setting *s = setting_at(i);
        if (!s->initial || s->initial[0] == '<')
            continue;
        CLEANUP(texts_fini) struct texts given = TEXTS_INIT;
        struct err e;
        texts_add(&given, s->initial);
        ensure(setting_parse(s, &given, "/", c, &e) == 0, "the default of %s is not allowed", s->name);
    }
}

static char *current_folder(void)
{
    char *here = getcwd(NULL, 0);
    return here ? here : mem_dup("/");
}

/* The folder a file's relative paths start from. */
static char *folder_of(const char *path)
{
    AUTOFREE char *here = current_folder();
    const char *slash = strrchr(path, '/');
    if (!slash)
        return TAKE(here);
    if (slash == path)
        return mem_dup("/");
    int n = (int)(slash - path);
    return path[0] == '/' ? mem_printf("%.*s", n, path) : mem_printf("%s/%.*s", here, n, path);
}

static struct config_swarm *section_of(struct config_swarm **list, size_t *n, const char *name, int line)
{
    for (size_t i = 0; i < *n; i++)
        if (strcmp((*list)[i].name, name) == 0)
            return &(*list)[i];
    *list = mem_resize(*list, *n + 1, sizeof **list);
    (*list)[*n] = (struct config_swarm){.name = mem_dup(name), .line = line};
    return &(*list)[(*n)++];
}

static void section_put(struct config_swarm *section, const struct conf_entry *entry)
{
    if (!entry->name)
        return;
    section->settings = mem_resize(section->settings, section->settings_n + 1, sizeof *section->settings);
    struct config_swarm_setting *one = &section->settings[section->settings_n++];
    *one = (struct config_swarm_setting){.name = entry->name, .line = entry->line};
    texts_copy(&one->value, &entry->value);
}

static int hook_put(struct config *c, const struct conf_entry *entry, const char *path, struct err *e)
{
    const char *slash = strchr(entry->title ? entry->title : "", '/');
    if (!slash || slash == entry->title || !slash[1] || strchr(slash + 1, '/'))
        return err_set(e, SKEP_ECONFIG, "%s:%d: a hook is called EVENT/ID: hook \"child_failed/page\" { … }",
                       path, entry->line);
    section_put(section_of(&c->hooks, &c->hooks_n, entry->title, entry->line), entry);
    return 0;
}

static int entry_put(struct config *c, const struct conf_entry *entry, const char *path, const char *base_dir,
                     struct err *e)
{
    size_t title_n = entry->title ? strlen(entry->title) : 0;
    if (!entry->section) {
        int rc = put(c, (size_t)setting_find(entry->name), &entry->value, base_dir, CONFIG_IN_FILE,
                     entry->line, e);
        return rc == 0 ? 0 : err_wrap(e, "%s:%d", path, entry->line);
    }
    if (strcmp(entry->section, "hook") == 0)
        return hook_put(c, entry, path, e);
    if (title_n == 0 || title_n > 255 || !text_is_clean(entry->title, title_n))
        return err_set(e, SKEP_ECONFIG,
                       "%s:%d: a swarm's name has 1 to 255 bytes, without control characters", path,
                       entry->line);
    section_put(section_of(&c->swarms, &c->swarms_n, entry->title, entry->line), entry);
    return 0;
}

static int load_text(struct config *c, const char *path, const struct str *text, struct err *e)
{
    CLEANUP(conf_file_fini) struct conf_file file;
    AUTOFREE char *base_dir = folder_of(path);
    int rc = conf_file_parse(path, str_get(text), text->n, &file, e);
    for (size_t i = 0; i < file.n && rc == 0; i++)
        rc = entry_put(c, &file.entries[i], path, base_dir, e);
    return rc;
}

/* named: somebody asked for this file, so it must be there. */
static int load_file(struct config *c, const char *path, bool named, struct err *e)
{
    AUTOSTR struct str text = STR_INIT;
    struct err why = {0};
    int rc = file_read(path, CONFIG_FILE_BYTES_MAX, &text, NULL, &why);
    if (!named && (rc == SKEP_ENOTFOUND || rc == SKEP_EFORBIDDEN))
        return 0;
    if (rc != 0)
        return err_set(e, SKEP_ECONFIG, "%s", why.text);
    AUTOFREE char *folder = folder_of(path); /* absolute: a reload may run in another folder */
    const char *slash = strrchr(path, '/');
    c->file = mem_printf("%s/%s", strcmp(folder, "/") == 0 ? "" : folder, slash ? slash + 1 : path);
    return load_text(c, path, &text, e);
}

static const char *env_get(const struct texts *env, const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i < env->n; i++)
        if (strncmp(env->v[i], name, n) == 0 && env->v[i][n] == '=')
            return env->v[i] + n + 1;
    return NULL;
}

static void value_of(const struct setting *s, const char *text, struct texts *ret)
{
    if (s->type == SETTING_LIST)
        setting_split(text, ret);
    else
        texts_one(ret, text);
}

static int load_env(struct config *c, const char *here, struct err *e)
{
    for (size_t i = 0; i < setting_count(); i++) {
        const struct setting *s = setting_at(i);
        const char *text = env_get(&c->env, s->env);
        if (!text)
            continue;
        CLEANUP(texts_fini) struct texts given = TEXTS_INIT;
        value_of(s, text, &given);
        if (put(c, i, &given, here, CONFIG_IN_ENV, 0, e) != 0)
            return err_wrap(e, "environment variable %s", s->env);
    }
    return 0;
}

/* A flag's name with dashes, as the table has it. */
static int flag_find(const char *text, size_t n)
{
    AUTOFREE char *name = mem_copy(text, n);
    for (char *p = name; *p; p++)
        if (*p == '-')
            *p = '_';
    return setting_find(name);
}

/* The values of all flags for one setting, in order. */
static void flags_of(const struct config *c, size_t i, struct texts *ret)
{
    for (size_t k = 0; k < c->flags.n; k++) {
        const char *equals = strchr(c->flags.v[k], '=');
        if (flag_find(c->flags.v[k], (size_t)(equals - c->flags.v[k])) == (int)i)
            value_of(setting_at(i), equals + 1, ret);
    }
}

static int flag_unknown(const char *flag, struct err *e)
{
    AUTOFREE char *name = mem_copy(flag, strcspn(flag, "="));
    for (char *p = name; *p; p++)
        if (*p == '-')
            *p = '_';
    const char *best = setting_nearest(name);
    return err_field(e, SKEP_EUSAGE, name, "flag --%.*s: there is no such setting; %s%s",
                     (int)strcspn(flag, "="), flag, best ? "do you mean " : "skep config show lists all",
                     best ? best : "");
}

static int load_flags(struct config *c, const char *here, struct err *e)
{
    for (size_t k = 0; k < c->flags.n; k++)
        if (flag_find(c->flags.v[k], strcspn(c->flags.v[k], "=")) < 0)
            return flag_unknown(c->flags.v[k], e);
    for (size_t i = 0; i < setting_count(); i++) {
        CLEANUP(texts_fini) struct texts given = TEXTS_INIT;
        bool has_flag = false;
        for (size_t k = 0; k < c->flags.n; k++)
            has_flag |= flag_find(c->flags.v[k], strcspn(c->flags.v[k], "=")) == (int)i;
        if (!has_flag)
            continue;
        flags_of(c, i, &given);
        if (put(c, i, &given, here, CONFIG_IN_FLAG, 0, e) == 0)
            continue;
        AUTOFREE char *text = mem_dup(e ? e->text : "");
        return err_field(e, SKEP_EUSAGE, setting_at(i)->name, "flag --%s", text);
    }
    return 0;
}

/* --- what follows from other settings ----------------------------------------------------------------- */

static void in_dir(char **path, const char *dir, const char *name)
{
    if (!*path)
        *path = mem_printf("%s/%s", strcmp(dir, "/") == 0 ? "" : dir, name);
}

/* The host's name up to its first dot, without what a node's name may not have. */
static char *host_name(void)
{
    char name[256] = "";
    if (gethostname(name, sizeof name - 1) != 0 || !name[0])
        snprintf(name, sizeof name, "localhost");
    name[strcspn(name, ".")] = 0;
    name[63] = 0;
    for (char *p = name; *p; p++)
        if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9')))
            *p = '-';
    return mem_dup(name[0] ? name : "localhost");
}

/* Listening everywhere says nothing about where others find us: then the host's name does. */
static char *advertised(const char *listen)
{
    const char *colon = strrchr(listen, ':');
    AUTOFREE char *host = mem_copy(listen, (size_t)(colon - listen));
    bool everywhere = strcmp(host, "0.0.0.0") == 0 || strcmp(host, "[::]") == 0 || strcmp(host, "*") == 0;
    AUTOFREE char *name = everywhere ? host_name() : NULL;
    return mem_printf("https://%s%s", everywhere ? name : host, colon);
}

static void resolve(struct config *c)
{
    bool ca_key_given = c->ca_key != NULL;
    in_dir(&c->socket, c->dir, "skep.sock");
    in_dir(&c->ca, c->dir, "ca.crt");
    in_dir(&c->cert, c->dir, "node.crt");
    in_dir(&c->key, c->dir, "node.key");
    in_dir(&c->ca_key, c->dir, "ca.key");
    in_dir(&c->log_dir, c->dir, "logs");
    if (!ca_key_given && access(c->ca_key, F_OK) != 0)
        mem_replace(&c->ca_key, NULL);
    if (!c->node)
        c->node = host_name();
    if (!c->advertise)
        c->advertise = advertised(c->listen);
    if (!c->client.addr)
        c->client.addr = mem_printf("unix://%s", c->socket);
    if (!c->client.cacert)
        c->client.cacert = mem_dup(c->ca);
}

/* Where a value came from: "/etc/skep/skep.conf:4". */
static void origin_text(const struct config *c, size_t i, struct str *ret)
{
    const struct setting *s = setting_at(i);
    switch (c->origin[i].layer) {
    case CONFIG_DEFAULT:
        str_puts(ret, "default");
        return;
    case CONFIG_IN_FILE:
        str_puts(ret, c->file);
        if (c->origin[i].line)
            str_printf(ret, ":%d", c->origin[i].line);
        return;
    case CONFIG_IN_ENV:
        str_printf(ret, "environment %s", s->env);
        return;
    case CONFIG_IN_FLAG:
        str_printf(ret, "flag --%s", s->name);
        return;
    }
}

static int rule_broken(const struct config *c, const char *name, const char *rule, struct err *e)
{
    AUTOSTR struct str from = STR_INIT;
    origin_text(c, (size_t)setting_find(name), &from);
    return err_field(e, SKEP_ECONFIG, name, "%s: %s: %s", str_get(&from), name, rule);
}

static int check_rules(const struct config *c, struct err *e)
{
    if (c->down_ms <= c->suspect_ms)
        return rule_broken(c, "down_ms", "must be more than suspect_ms", e);
    if (c->suspect_ms < 2 * c->ping_ms)
        return rule_broken(c, "suspect_ms", "must be at least twice ping_ms", e);
    if (c->body_large_bytes_max < c->body_bytes_max)
        return rule_broken(c, "body_large_bytes_max", "must be at least body_bytes_max", e);
    if (!c->client.cert != !c->client.key)
        return rule_broken(c, c->client.cert ? "client.cert" : "client.key",
                           "client.cert and client.key belong together; give both or none", e);
    return 0;
}

/* --- loading ------------------------------------------------------------------------------------------ */

static void remember(struct config *c, char *const *envp, const struct config_flag *flags, size_t flags_n)
{
    for (char *const *p = envp; p && *p; p++)
        if (text_starts(*p, "SKEP_"))
            texts_add(&c->env, *p);
    for (size_t i = 0; i < flags_n; i++) {
        AUTOFREE char *flag = mem_printf("%s=%s", flags[i].name, flags[i].value);
        texts_add(&c->flags, flag);
    }
}

/* With env and flags in place. */
static int load(struct config *c, const char *file, struct err *e)
{
    AUTOFREE char *here = current_folder();
    const char *named = file ? file : env_get(&c->env, "SKEP_CONFIG");
    defaults(c);
    int rc = load_file(c, named ? named : CONFIG_FILE, named != NULL, e);
    if (rc == 0)
        rc = load_env(c, here, e);
    if (rc == 0)
        rc = load_flags(c, here, e);
    if (rc == 0)
        resolve(c);
    return rc == 0 ? check_rules(c, e) : rc;
}

int config_load(struct config *ret, const char *file, char *const *envp, const struct config_flag *flags,
                size_t flags_n, struct err *e)
{
    struct err mine = {0};
    *ret = CONFIG_INIT;
    ret->origin = mem_array(setting_count(), sizeof *ret->origin);
    remember(ret, envp, flags, flags_n);
    int rc = load(ret, file, e ? e : &mine);
    if (rc != 0)
        config_fini(ret);
    return rc;
}

const struct texts *config_swarm_value(const struct config_swarm *s, const char *setting)
{
    for (size_t i = 0; i < s->settings_n; i++)
        if (strcmp(s->settings[i].name, setting) == 0)
            return &s->settings[i].value;
    return NULL;
}

bool config_swarm_joined(const struct config_swarm *s)
{
    const struct texts *serve = config_swarm_value(s, "serve");
    if (serve)
        return serve->n && strcmp(serve->v[0], "joined") == 0;
    return !config_swarm_value(s, "nodes") && strcmp(s->name, "default") != 0;
}

static void swarm_fini(struct config_swarm *swarm)
{
    for (size_t i = 0; i < swarm->settings_n; i++)
        texts_fini(&swarm->settings[i].value);
    free(swarm->settings);
    free(swarm->name);
}

static void sections_fini(struct config_swarm *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        swarm_fini(&list[i]);
    free(list);
}

void config_fini(struct config *c)
{
    for (size_t i = 0; i < setting_count(); i++)
        setting_fini(setting_at(i), c);
    sections_fini(c->swarms, c->swarms_n);
    sections_fini(c->hooks, c->hooks_n);
    free(c->file);
    free(c->origin);
    texts_fini(&c->env);
    texts_fini(&c->flags);
    *c = CONFIG_INIT;
}

/* --- reloading ---------------------------------------------------------------------------------------- */

static const struct config_swarm *section_find(const struct config_swarm *list, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i].name, name) == 0)
            return &list[i];
    return NULL;
}

static void swarm_text(const struct config_swarm *swarm, struct str *ret)
{
    for (size_t i = 0; i < swarm->settings_n; i++) {
        str_printf(ret, "%s\n", swarm->settings[i].name);
        for (size_t k = 0; k < swarm->settings[i].value.n; k++)
            str_printf(ret, "\t%s\n", swarm->settings[i].value.v[k]);
    }
}

static bool swarm_equal(const struct config_swarm *a, const struct config_swarm *b)
{
    AUTOSTR struct str x = STR_INIT;
    AUTOSTR struct str y = STR_INIT;
    swarm_text(a, &x);
    swarm_text(b, &y);
    return strcmp(str_get(&x), str_get(&y)) == 0;
}

/* Adds the names of a's sections that b does not have, or, unless missing_only, has otherwise. */
static void sections_changed(const char *kind, const struct config_swarm *a, size_t a_n,
                             const struct config_swarm *b, size_t b_n, bool missing_only, struct texts *ret)
{
    for (size_t i = 0; i < a_n; i++) {
        const struct config_swarm *other = section_find(b, b_n, a[i].name);
        if (other && (missing_only || swarm_equal(&a[i], other)))
            continue;
        AUTOFREE char *name = mem_printf("%s.%s", kind, a[i].name);
        texts_add(ret, name);
    }
}

static void both_changed(const struct config *a, const struct config *b, bool missing_only, struct texts *ret)
{
    sections_changed("swarm", a->swarms, a->swarms_n, b->swarms, b->swarms_n, missing_only, ret);
    sections_changed("hook", a->hooks, a->hooks_n, b->hooks, b->hooks_n, missing_only, ret);
}

int config_reload(const struct config *now, struct config *ret, struct texts *ret_applied,
                  struct texts *ret_restart, struct err *e)
{
    struct err mine = {0};
    struct config next = CONFIG_INIT;
    next.origin = mem_array(setting_count(), sizeof *next.origin);
    texts_copy(&next.env, &now->env);
    texts_copy(&next.flags, &now->flags);
    int rc = load(&next, now->file, e ? e : &mine);
    if (rc != 0) {
        config_fini(&next);
        return rc;
    }
    for (size_t i = 0; i < setting_count(); i++) {
        const struct setting *s = setting_at(i);
        if (setting_equal(s, now, &next))
            continue;
        texts_add(s->reload ? ret_applied : ret_restart, s->name);
        if (s->reload)
            continue;
        setting_copy(s, &next, now);
        next.origin[i] = now->origin[i];
    }
    both_changed(&next, now, false, ret_applied);
    both_changed(now, &next, true, ret_applied);
    *ret = next;
    return 0;
}

/* --- showing ------------------------------------------------------------------------------------------ */

static void row_of(const struct config *c, size_t i, struct config_row *ret)
{
    const struct setting *s = setting_at(i);
    AUTOSTR struct str value = STR_INIT;
    AUTOSTR struct str origin = STR_INIT;
    setting_text(s, c, &value);
    origin_text(c, i, &origin);
    bool hide = s->secret && value.n;
    *ret = (struct config_row){
        .name = mem_dup(s->name), .unit = s->unit, .initial = s->initial, .reload = s->reload};
    ret->value = hide ? mem_dup("(set)") : str_take(&value);
    ret->origin = str_take(&origin);
}

static void section_row(const struct config *c, const char *kind, const struct config_swarm *section,
                        const struct config_swarm_setting *setting, struct config_row *ret)
{
    AUTOSTR struct str value = STR_INIT;
    for (size_t i = 0; i < setting->value.n; i++)
        str_printf(&value, "%s%s", i ? ", " : "", setting->value.v[i]);
    *ret = (struct config_row){.name = mem_printf("%s.%s.%s", kind, section->name, setting->name),
                               .value = str_take(&value),
                               .origin = setting->line ? mem_printf("%s:%d", c->file, setting->line)
                                                       : mem_dup(c->file),
                               .unit = "",
                               .reload = true};
}

static size_t sections_rows(const struct config *c, const char *kind, const struct config_swarm *list,
                            size_t n, struct config_row *rows)
{
    size_t at = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < list[i].settings_n; k++, at++)
            if (rows)
                section_row(c, kind, &list[i], &list[i].settings[k], &rows[at]);
    return at;
}

void config_rows(const struct config *c, struct config_row **ret, size_t *ret_n)
{
    size_t n = setting_count();
    n += sections_rows(c, "swarm", c->swarms, c->swarms_n, NULL);
    n += sections_rows(c, "hook", c->hooks, c->hooks_n, NULL);
    struct config_row *rows = mem_array(n, sizeof *rows);
    size_t at = 0;
    for (; at < setting_count(); at++)
        row_of(c, at, &rows[at]);
    at += sections_rows(c, "swarm", c->swarms, c->swarms_n, rows + at);
    sections_rows(c, "hook", c->hooks, c->hooks_n, rows + at);
    *ret = rows;
    *ret_n = n;
}

void config_rows_free(struct config_row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(rows[i].name);
        free(rows[i].value);
        free(rows[i].origin);
    }
    free(rows);
}

/* --- the client's token ------------------------------------------------------------------------------- */

static int token_read(const char *path, char **ret, struct err *e)
{
    AUTOSTR struct str text = STR_INIT;
    struct err why = {0};
    if (file_read(path, 4096, &text, NULL, &why) != 0)
        return err_field(e, SKEP_ECONFIG, "client.token_file", "client.token_file: %s", why.text);
    while (text.n && strchr(" \t\r\n", text.p[text.n - 1]))
        text.p[--text.n] = 0;
    if (text.n == 0 || memchr(text.p, 0, text.n) || strpbrk(text.p, " \t\r\n"))
        return err_field(e, SKEP_ECONFIG, "client.token_file",
                         "client.token_file: %s does not hold one token", path);
    *ret = str_take(&text);
    return 0;
}

int config_client_token(const struct config *c, char **ret, struct err *e)
{
    enum config_layer text = c->origin[setting_find("client.token")].layer;
    enum config_layer file = c->origin[setting_find("client.token_file")].layer;
    if (c->client.token_file && (!c->client.token || file > text))
        return token_read(c->client.token_file, ret, e);
    *ret = mem_dup(c->client.token);
    return 0;
}
