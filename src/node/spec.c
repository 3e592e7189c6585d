#include "node/spec.h"

#include <string.h>

static const char *const restart_words[] = {"permanent", "transient", "temporary", NULL};
static const char *const ready_words[] = {"spawn", "protocol", NULL};

#define DAY_MS INT64_C(86400000)

const struct json_field spec_fields[SPEC_FIELDS] = {
    JSON_FIELD(struct spec, argv, JSON_STRINGS, .required = true, .bytes_max = 128 * 1024, .max = 1024,
               .may_be_empty = true),
    JSON_FIELD(struct spec, env, JSON_STRING_MAP, .bytes_max = 128 * 1024, .max = 1024, .may_be_empty = true),
    JSON_FIELD(struct spec, cwd, JSON_STRING, .nullable = true, .bytes_max = 4095),
    JSON_FIELD(struct spec, restart, JSON_WORD, .words = restart_words),
    JSON_FIELD(struct spec, max_restarts, JSON_INT, .min = 0, .max = 1000000),
    JSON_FIELD(struct spec, restart_window_ms, JSON_INT, .min = 1, .max = 365 * DAY_MS),
    JSON_FIELD(struct spec, backoff_min_ms, JSON_INT, .min = 0, .max = DAY_MS),
    JSON_FIELD(struct spec, backoff_max_ms, JSON_INT, .min = 0, .max = 7 * DAY_MS),
    JSON_FIELD(struct spec, shutdown_ms, JSON_INT, .min = 0, .max = DAY_MS),
    JSON_FIELD(struct spec, ready, JSON_WORD, .words = ready_words),
    JSON_FIELD(struct spec, start_ms, JSON_INT, .min = 1, .max = DAY_MS),
    JSON_FIELD(struct spec, handoff, JSON_BOOL),
    JSON_FIELD(struct spec, handoff_ms, JSON_INT, .min = 0, .max = DAY_MS),
    JSON_FIELD(struct spec, nodes, JSON_STRINGS, .bytes_max = 1024, .max = 1000),
};
static const struct json_table table = JSON_TABLE(struct spec, spec_fields);



void spec_defaults(struct spec *s)
{
    *s = (struct spec){.restart = RESTART_TRANSIENT,
                       .ready = READY_SPAWN,
                       .max_restarts = 3,
                       .restart_window_ms = 5000,
                       .backoff_min_ms = 100,
                       .backoff_max_ms = 60000,
                       .shutdown_ms = 5000,
                       .start_ms = 10000,
                       .handoff_ms = 1000,
                       .handoff = true};
}

void spec_fini(struct spec *s)
{
    json_release(&table, s);
}

int spec_check(const struct spec *s, struct err *e)
{
    if (s->argv.n == 0 || s->argv.list[0][0] == 0)
        return err_field(e, SKEP_EARG, "argv", "argv must name a program: [\"/usr/bin/sleep\", \"60\"]");
    for (size_t i = 0; i < s->env.n; i++) {
        const char *name = s->env.list[i].name;
        if (!*name || strchr(name, '='))
            return err_field(e, SKEP_EARG, "env", "\"%s\" is no name of a variable: it must not be empty nor hold '='",
                             name);
        if (text_starts(name, "SKEP_"))
            return err_field(e, SKEP_EARG, "env", "%s is set by skep itself; choose another name", name);
    }
    if (s->backoff_max_ms < s->backoff_min_ms)
        return err_field(e, SKEP_EARG, "backoff_max_ms", "backoff_max_ms (%lld) must not be below backoff_min_ms (%lld)",
                         (long long)s->backoff_max_ms, (long long)s->backoff_min_ms);
    if (s->cwd && s->cwd[0] != '/')
        return err_field(e, SKEP_EARG, "cwd", "cwd must be an absolute path, for it may run on any node");
    return 0;
}

int spec_parse(const char *text, struct spec *ret, struct err *e)
{
    spec_defaults(ret);
    return json_read(text, strlen(text), &table, ret, e);
}

static void strings_write(struct jw *j, const char *key, const struct json_strings *list)
{
    jw_kv_array(j, key);
    for (size_t i = 0; i < list->n; i++)
        jw_string(j, list->list[i]);
    jw_array_close(j);
}

void spec_write(const struct spec *s, struct str *out)
{
    struct jw j = jw_init(out);
    jw_object(&j);
    strings_write(&j, "argv", &s->argv);
    jw_kv_object(&j, "env");
    for (size_t i = 0; i < s->env.n; i++)
        jw_kv_string(&j, s->env.list[i].name, s->env.list[i].value);
    jw_object_close(&j);
    jw_kv_string(&j, "cwd", s->cwd);
    jw_kv_string(&j, "restart", restart_words[s->restart]);
    jw_kv_i64(&j, "max_restarts", s->max_restarts);
    jw_kv_i64(&j, "restart_window_ms", s->restart_window_ms);
    jw_kv_i64(&j, "backoff_min_ms", s->backoff_min_ms);
    jw_kv_i64(&j, "backoff_max_ms", s->backoff_max_ms);
    jw_kv_i64(&j, "shutdown_ms", s->shutdown_ms);
    jw_kv_string(&j, "ready", ready_words[s->ready]);
    jw_kv_i64(&j, "start_ms", s->start_ms);
    jw_kv_bool(&j, "handoff", s->handoff);
    jw_kv_i64(&j, "handoff_ms", s->handoff_ms);
    strings_write(&j, "nodes", &s->nodes);
    jw_object_close(&j);
    jw_end(&j);
}
