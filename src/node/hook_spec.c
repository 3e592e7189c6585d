/* hook_spec: decides what a hook may be. Knows neither when one runs nor how. */
#include "node/hook_spec.h"

#include <string.h>

#include "node/spec.h"
#include "node/template.h"
#include "wire/uri.h"

const char *const hook_kind_words[] = {"exec", "url", "message", NULL};
const char *const hook_where_words[] = {"origin", "every", NULL};

static const struct json_field to_fields[] = {
    JSON_FIELD(struct hook_to, swarm, JSON_NAME, .nullable = true),
    JSON_FIELD(struct hook_to, name, JSON_NAME, .required = true),
};
static const struct json_table to_table = JSON_TABLE(struct hook_to, to_fields);

static const struct json_field fields[] = {
    JSON_FIELD(struct hook_spec, kind, JSON_WORD, .required = true, .words = hook_kind_words),
    JSON_FIELD(struct hook_spec, argv, JSON_STRINGS, .bytes_max = 128 * 1024, .max = 1024,
               .may_be_empty = true),
    JSON_FIELD(struct hook_spec, env, JSON_STRING_MAP, .bytes_max = 128 * 1024, .max = 1024,
               .may_be_empty = true),
    JSON_FIELD(struct hook_spec, cwd, JSON_STRING, .nullable = true, .bytes_max = 4095),
    JSON_FIELD(struct hook_spec, url, JSON_STRING, .nullable = true, .bytes_max = HOOK_URL_BYTES_MAX),
    JSON_FIELD(struct hook_spec, secret, JSON_STRING, .nullable = true, .bytes_max = 64),
    JSON_FIELD(struct hook_spec, to, JSON_OBJECT, .nullable = true, .inner = &to_table),
    JSON_FIELD(struct hook_spec, swarm, JSON_NAME, .nullable = true),
    JSON_FIELD(struct hook_spec, name, JSON_NAME, .nullable = true),
    JSON_FIELD(struct hook_spec, nodes, JSON_STRINGS, .bytes_max = 1024, .max = 1000),
    JSON_FIELD(struct hook_spec, where, JSON_WORD, .words = hook_where_words),
    JSON_FIELD(struct hook_spec, priority, JSON_INT, .min = -1000000, .max = 1000000),
    JSON_FIELD(struct hook_spec, timeout_ms, JSON_INT, .min = 1, .max = 600000),
    JSON_FIELD(struct hook_spec, concurrency, JSON_INT, .min = 1, .max = 100),
    JSON_FIELD(struct hook_spec, queue, JSON_INT, .min = 1, .max = 10000),
    JSON_FIELD(struct hook_spec, attempts, JSON_INT, .min = 1, .max = 1000),
    JSON_FIELD(struct hook_spec, required, JSON_BOOL),
};
static const struct hook_spec defaults = {.timeout_ms = 5000, .concurrency = 1, .queue = 1000};
const struct json_table hook_spec_table = JSON_TABLE(struct hook_spec, fields, .defaults = &defaults);

void hook_spec_fini(struct hook_spec *s)
{
    json_release(&hook_spec_table, s);
}

int64_t hook_spec_attempts(const struct hook_spec *s)
{
    return s->attempts ? s->attempts : s->kind == HOOK_EXEC ? 1 : HOOK_ATTEMPTS;
}

/* ---- checks ---- */

static bool all_of(const char *text, size_t max, const char *others)
{
    size_t n = strlen(text);
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!plain && !strchr(others, c))
            return false;
    }
    return n >= 1 && n <= max;
}

static int exec_check(const struct hook_spec *s, struct err *e)
{
    struct spec program;
    spec_defaults(&program);
    program.argv = s->argv;
    program.env = s->env;
    program.cwd = s->cwd;
    if (s->argv.n == 0)
        return err_field(e, SKEP_EARG, "argv",
                         "a hook of kind exec names its program: \"argv\": [\"/path/of/it\"]");
    return spec_check(&program, e);
}

/* The host of a URL of either scheme, without brackets; empty if it is none. */
static struct span host_of(const char *url)
{
    const char *p = strstr(url, "://");
    p = p ? p + 3 : "";
    if (*p == '[')
        return (struct span){p + 1, strcspn(p + 1, "]")};
    return (struct span){p, strcspn(p, ":/?")};
}

static bool is_host(struct span host, const char *text)
{
    return host.n == strlen(text) && strncmp(host.p, text, host.n) == 0;
}

static bool is_127(struct span host)
{
    for (size_t i = 0; i < host.n; i++)
        if (!((host.p[i] >= '0' && host.p[i] <= '9') || host.p[i] == '.'))
            return false;
    return host.n > 4 && strncmp(host.p, "127.", 4) == 0;
}

bool hook_url_is_local(const char *url)
{
    struct span host = host_of(url);
    return is_host(host, "localhost") || is_host(host, "::1") || is_127(host);
}

static int url_check(const struct hook_spec *s, struct err *e)
{
    static const char must[] = "must be https://HOST[:PORT]/PATH, or http:// to this machine itself";
    const char *url = s->url;
    if (!url)
        return err_field(e, SKEP_EARG, "url", "a hook of kind url names it: \"url\": \"https://…\"");
    bool tls = text_starts(url, "https://"), plain = text_starts(url, "http://");
    bool clean = true;
    for (const char *p = url; *p; p++)
        clean = clean && (unsigned char)*p > ' ' && (unsigned char)*p < 0x7f && !strchr("\"\\^`{|}<>#", *p);
    struct span host = host_of(url);
    if (!(tls || plain) || !clean || host.n == 0 || memchr(host.p, '@', host.n))
        return err_field(e, SKEP_EARG, "url", "url %s", must);
    const char *path = strchr(strstr(url, "://") + 3, '/');
    size_t authority = path ? (size_t)(path - url) : strlen(url);
    if (memchr(url, '@', authority))
        return err_field(e, SKEP_EARG, "url", "url holds a name or password; %s, and sign with \"secret\"",
                         must);
    if (plain && !hook_url_is_local(url))
        return err_field(
            e, SKEP_EARG, "url",
            "http:// is for 127.0.0.1, [::1] and localhost only; use https://, for what is sent can "
            "be read on the way");
    if (s->secret && !all_of(s->secret, 64, "-_."))
        return err_field(
            e, SKEP_EARG, "secret",
            "secret is the name of one of hook_secrets in the configuration of the node: up to 64 "
            "letters, digits, - _ or .");
    return 0;
}

/* What only another kind has. */
static const char *foreign_field(const struct hook_spec *s)
{
    if (s->kind != HOOK_EXEC && (s->argv.n || s->env.n || s->cwd))
        return s->argv.n ? "argv" : s->env.n ? "env" : "cwd";
    if (s->kind != HOOK_URL && (s->url || s->secret))
        return s->url ? "url" : "secret";
    return s->kind != HOOK_MESSAGE && s->to.name ? "to" : NULL;
}

static int kind_check(const struct hook_spec *s, struct err *e)
{
    const char *foreign = foreign_field(s);
    if (foreign)
        return err_field(e, SKEP_EARG, foreign, "%s says nothing to a hook of kind %s", foreign,
                         hook_kind_words[s->kind]);
    switch ((enum hook_kind)s->kind) {
    case HOOK_EXEC:
        return exec_check(s, e);
    case HOOK_URL:
        return url_check(s, e);
    case HOOK_MESSAGE:
        break;
    }
    return s->to.name
               ? 0
               : err_field(e, SKEP_EARG, "to", "a hook of kind message says to whom: \"to\": {\"name\": …}");
}

int hook_spec_check(const struct hook_spec *s, const char *event, const char *id, struct err *e)
{
    if (!all_of(event, HOOK_EVENT_MAX, "_*?"))
        return err_field(
            e, SKEP_EARG, "event",
            "an event is a type such as child_started, or a pattern such as child_*; GET /v1/events "
            "shows those that were");
    if (!all_of(id, HOOK_ID_MAX, "-_."))
        return err_field(e, SKEP_EARG, "id", "a hook's id has up to %d letters, digits, - _ or .",
                         HOOK_ID_MAX);
    if (s->required && strcmp(event, HOOK_ALTER) != 0)
        return err_field(e, SKEP_EARG, "required", "only %s is waited for; nothing else can be refused",
                         HOOK_ALTER);
    for (size_t i = 0; i < s->nodes.n; i++)
        if (name_check(s->nodes.list[i], strlen(s->nodes.list[i]), "nodes", e) < 0)
            return e ? e->code : SKEP_EARG;
    int rc = kind_check(s, e);
    return rc < 0 ? rc : credentials_check(&s->argv, &s->env, s->url, "a hook", e);
}

/* ---- text ---- */

int hook_spec_parse(const char *text, struct hook_spec *ret, struct err *e)
{
    *ret = defaults;
    return json_read(text, strlen(text), &hook_spec_table, ret, e);
}

static void strings_write(struct jw *j, const char *key, const struct json_strings *list)
{
    jw_kv_array(j, key);
    for (size_t i = 0; i < list->n; i++)
        jw_string(j, list->list[i]);
    jw_array_close(j);
}

static void exec_write(const struct hook_spec *s, struct jw *j)
{
    strings_write(j, "argv", &s->argv);
    jw_kv_object(j, "env");
    for (size_t i = 0; i < s->env.n; i++)
        jw_kv_string(j, s->env.list[i].name, s->env.list[i].value);
    jw_object_close(j);
    jw_kv_string(j, "cwd", s->cwd);
}

static void to_write(const struct hook_spec *s, struct jw *j)
{
    jw_kv_object(j, "to");
    jw_kv_string(j, "swarm", s->to.swarm ? s->to.swarm : "default");
    jw_kv_string(j, "name", s->to.name);
    jw_object_close(j);
}

void hook_spec_members(const struct hook_spec *s, struct jw *j)
{
    jw_kv_string(j, "kind", hook_kind_words[s->kind]);
    if (s->kind == HOOK_EXEC)
        exec_write(s, j);
    if (s->kind == HOOK_URL)
        jw_kv_string(j, "url", s->url);
    if (s->kind == HOOK_URL)
        jw_kv_string(j, "secret", s->secret);
    if (s->kind == HOOK_MESSAGE)
        to_write(s, j);
    jw_kv_string(j, "swarm", s->swarm);
    jw_kv_string(j, "name", s->name);
    strings_write(j, "nodes", &s->nodes);
    jw_kv_string(j, "where", hook_where_words[s->where]);
    jw_kv_i64(j, "priority", s->priority);
    jw_kv_i64(j, "timeout_ms", s->timeout_ms);
    jw_kv_i64(j, "concurrency", s->concurrency);
    jw_kv_i64(j, "queue", s->queue);
    jw_kv_i64(j, "attempts", hook_spec_attempts(s));
    jw_kv_bool(j, "required", s->required);
}

void hook_spec_write(const struct hook_spec *s, struct str *out)
{
    struct jw j = jw_init(out);
    jw_object(&j);
    hook_spec_members(s, &j);
    jw_object_close(&j);
    jw_end(&j);
}
