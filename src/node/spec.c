#include "node/spec.h"

#include <string.h>

const char *const spec_restart_words[] = {"permanent", "transient", "temporary", NULL};
const char *const spec_ready_words[] = {"spawn", "protocol", NULL};

static const struct json_field spec_fields[] = {SPEC_ROWS};
static const struct json_table table = JSON_TABLE(struct spec, spec_fields);

void spec_defaults(struct spec *s)
{
    *s = (struct spec)SPEC_DEFAULTS;
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
            return err_field(e, SKEP_EARG, "env",
                             "\"%s\" is no name of a variable: it must not be empty nor hold '='", name);
        if (text_starts(name, "SKEP_"))
            return err_field(e, SKEP_EARG, "env", "%s is set by skep itself; choose another name", name);
    }
    if (s->backoff_max_ms < s->backoff_min_ms)
        return err_field(e, SKEP_EARG, "backoff_max_ms",
                         "backoff_max_ms (%lld) must not be below backoff_min_ms (%lld)",
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
    if (s->restart_said)
        jw_kv_string(&j, "restart", spec_restart_words[s->restart]);
    jw_kv_i64(&j, "max_restarts", s->max_restarts);
    jw_kv_i64(&j, "restart_window_ms", s->restart_window_ms);
    jw_kv_i64(&j, "backoff_min_ms", s->backoff_min_ms);
    jw_kv_i64(&j, "backoff_max_ms", s->backoff_max_ms);
    jw_kv_i64(&j, "shutdown_ms", s->shutdown_ms);
    jw_kv_string(&j, "ready", spec_ready_words[s->ready]);
    jw_kv_i64(&j, "start_ms", s->start_ms);
    if (s->handoff_said)
        jw_kv_bool(&j, "handoff", s->handoff);
    jw_kv_i64(&j, "handoff_ms", s->handoff_ms);
    strings_write(&j, "nodes", &s->nodes);
    jw_object_close(&j);
    jw_end(&j);
}
