/* template: reads, checks and writes templates.
 *
 * Refuses what looks like a credential. That is a guess by names and well-known shapes: it catches accidents,
 * not intent. Secrets belong into the node's pass_env or env_file, which never leave the node.
 */
#include "node/template.h"

#include <ctype.h>
#include <string.h>

#include "node/spec.h"

#define DAY_MS INT64_C(86400000)

const char *const resume_words[] = {"eager", "lazy", NULL};

static const struct template defaults = {
    .idle_ms = 60000, .turn_ms = 600000, .approval_ms = 300000, .resume = RESUME_LAZY};

static const struct json_field fields[] = {
    JSON_FIELD(struct template, argv, JSON_STRINGS, .required = true, .bytes_max = 128 * 1024, .max = 1024,
               .may_be_empty = true),
    JSON_FIELD(struct template, env, JSON_STRING_MAP, .bytes_max = 128 * 1024, .max = 1024,
               .may_be_empty = true),
    JSON_FIELD(struct template, idle_ms, JSON_INT, .min = 0, .max = 365 * DAY_MS),
    JSON_FIELD(struct template, turn_ms, JSON_INT, .min = 1, .max = 365 * DAY_MS),
    JSON_FIELD(struct template, approval_ms, JSON_INT, .min = 1, .max = 365 * DAY_MS),
    JSON_FIELD(struct template, max_messages, JSON_INT, .nullable = true, .min = 1, .max = 1000000),
    JSON_FIELD(struct template, resume, JSON_WORD, .words = resume_words),
};
const struct json_table template_table = JSON_TABLE(struct template, fields, .defaults = &defaults);

void template_defaults(struct template *t)
{
    *t = defaults;
}

void template_fini(struct template *t)
{
    json_release(&template_table, t);
}

/* ---- credentials ---- */

static bool holds_fold(const char *text, const char *word)
{
    return strcasestr(text, word) != NULL;
}

static bool is_number(const char *s)
{
    size_t n = strspn(s, "0123456789");
    return n > 0 && n < 10 && s[n] == 0;
}

/* A name that says what its value is. MAX_TOKENS=4096 is a limit, not a token. */
static bool name_is_secret(const char *name, const char *value)
{
    static const char *const words[] = {"SECRET",     "PASSWORD",   "PASSWD",       "PASSPHRASE",
                                        "API_KEY",    "APIKEY",     "API-KEY",      "PRIVATE_KEY",
                                        "ACCESS_KEY", "CREDENTIAL", "AUTHORIZATION"};
    for (size_t i = 0; i < COUNT(words); i++)
        if (holds_fold(name, words[i]))
            return true;
    return holds_fold(name, "TOKEN") && !(holds_fold(name, "TOKENS") && is_number(value));
}

/* At least n characters of the kind that keys are made of. */
static bool key_like(const char *s, size_t n)
{
    size_t i = 0;
    while (isalnum((unsigned char)s[i]) || s[i] == '-' || s[i] == '_')
        i++;
    return i >= n;
}

static bool at_word(const char *text, const char *at)
{
    return at == text || !isalnum((unsigned char)at[-1]);
}

/* https://user:password@host */
static bool has_userinfo(const char *text)
{
    const char *p = strstr(text, "://");
    if (!p)
        return false;
    p += 3;
    size_t n = strcspn(p, "/?# ");
    const char *colon = memchr(p, ':', n), *at = memchr(p, '@', n);
    return colon && at && colon + 1 < at;
}

static bool value_is_secret(const char *value)
{
    static const struct {
        const char *prefix;
        size_t rest;
    } shapes[] = {{"sk-", 16},    {"ghp_", 20},  {"gho_", 20},       {"ghs_", 20}, {"github_pat_", 20},
                  {"glpat-", 16}, {"xoxb-", 10}, {"xoxp-", 10},      {"AKIA", 16}, {"ASIA", 16},
                  {"AIza", 30},   {"hf_", 20},   {"eyJhbGciOi", 20}, {"npm_", 30}};
    if (strstr(value, "-----BEGIN ") && strstr(value, "PRIVATE KEY"))
        return true;
    for (size_t i = 0; i < COUNT(shapes); i++) {
        const char *at = strstr(value, shapes[i].prefix);
        if (at && at_word(value, at) && key_like(at + strlen(shapes[i].prefix), shapes[i].rest))
            return true;
    }
    const char *bearer = strcasestr(value, "bearer ");
    return (bearer && key_like(bearer + 7, 12)) || has_userinfo(value);
}

static int refuse(struct err *e, const char *field, const char *what, const char *in)
{
    return err_field(e, SKEP_EARG, field,
                     "%.200s looks like a credential, and %s is kept in plain text on "
                     "every node; give it to the node instead: pass_env or env_file",
                     what, in);
}

/* --password=x, --api-key x */
static bool option_is_secret(const char *arg, const char *next)
{
    const char *equals = strchr(arg, '=');
    if (arg[0] != '-' || (!equals && (!next || next[0] == '-')))
        return false;
    AUTOFREE char *name = mem_copy(arg, equals ? (size_t)(equals - arg) : strlen(arg));
    return name_is_secret(name, equals ? equals + 1 : next);
}

int credentials_check(const struct json_strings *argv, const struct json_map *env, const char *url,
                      const char *what, struct err *e)
{
    for (size_t i = 0; i < env->n; i++) {
        const struct json_pair *v = &env->list[i];
        if (name_is_secret(v->name, v->value) || value_is_secret(v->value))
            return refuse(e, "env", v->name, what);
    }
    for (size_t i = 0; i < argv->n; i++) {
        const char *next = i + 1 < argv->n ? argv->list[i + 1] : NULL;
        if (option_is_secret(argv->list[i], next) || value_is_secret(argv->list[i])) {
            AUTOFREE char *which = mem_printf("argument %zu", i);
            return refuse(e, "argv", which, what);
        }
    }
    return url && value_is_secret(url) ? refuse(e, "url", "a part of it", what) : 0;
}

int template_check(const struct template *t, struct err *e)
{
    struct spec s;
    spec_defaults(&s);
    s.argv = t->argv;
    s.env = t->env;
    int rc = spec_check(&s, e);
    return rc < 0 ? rc : credentials_check(&t->argv, &t->env, NULL, "a template", e);
}

/* ---- text ---- */

void template_write(const struct template *t, struct jw *j)
{
    jw_kv_array(j, "argv");
    for (size_t i = 0; i < t->argv.n; i++)
        jw_string(j, t->argv.list[i]);
    jw_array_close(j);
    jw_kv_object(j, "env");
    for (size_t i = 0; i < t->env.n; i++)
        jw_kv_string(j, t->env.list[i].name, t->env.list[i].value);
    jw_object_close(j);
    jw_kv_i64(j, "idle_ms", t->idle_ms);
    jw_kv_i64(j, "turn_ms", t->turn_ms);
    jw_kv_i64(j, "approval_ms", t->approval_ms);
    if (t->max_messages)
        jw_kv_i64(j, "max_messages", t->max_messages);
    else
        jw_kv_null(j, "max_messages");
    jw_kv_string(j, "resume", resume_words[t->resume]);
}

int template_load(struct store *s, const char *id, struct template *ret, struct err *e)
{
    template_defaults(ret);
    if (!id)
        return 0;
    struct template_row row = {.template = mem_dup(id)};
    int rc = store_load(s, T_TEMPLATE, &row, e);
    if (rc == 1 && (!row.spec || json_read(row.spec, strlen(row.spec), &template_table, ret, NULL) < 0)) {
        template_fini(ret); /* of a newer version */
        template_defaults(ret);
        rc = 0;
    }
    row_fini(T_TEMPLATE, &row);
    return rc;
}
