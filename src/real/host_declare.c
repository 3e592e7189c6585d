/* host_declare: the swarms and hooks of the configuration, said to the cluster as anybody would say them: PUT
 * /v1/swarms/{swarm}, PUT /v1/hooks/{event}/{id}.
 *
 * On the brain's thread, once the node is ready and after each reload; what is as declared already is
 * left alone; another hook of that name is replaced. The answers have ids of their own, which no connection
 * uses.
 */
#include <string.h>

#include "node/hook_spec.h"
#include "real/conf_file.h"
#include "real/host_inside.h"

#define DECLARED_ID (UINT64_MAX - UINT32_MAX)

/* "zone=a", as a node says its own. What has no = is left for the swarm's check to refuse. */
static void write_labels(struct jw *j, const struct texts *labels)
{
    jw_kv_object(j, "labels");
    for (size_t i = 0; i < labels->n; i++) {
        size_t n = strcspn(labels->v[i], "=");
        AUTOFREE char *name = mem_copy(labels->v[i], n);
        jw_kv_string(j, name, labels->v[i][n] ? labels->v[i] + n + 1 : "");
    }
    jw_object_close(j);
}

static void write_setting(struct jw *j, const struct config_swarm_setting *s)
{
    const char *text = s->value.n ? s->value.v[0] : "";
    bool flag = strcmp(text, "true") == 0 || strcmp(text, "false") == 0;
    if (strcmp(s->name, "children") == 0) /* they are this node's business, not the swarm's */
        return;
    if (strcmp(s->name, "labels") == 0) {
        write_labels(j, &s->value);
    } else if (strcmp(s->name, "nodes") == 0) {
        jw_kv_array(j, s->name);
        for (size_t i = 0; i < s->value.n; i++)
            jw_string(j, s->value.v[i]);
        jw_array_close(j);
    } else if (flag || (text[0] == '{' && json_check(text, strlen(text), NULL) == 0)) {
        jw_kv_raw(j, s->name, (struct span){text, strlen(text)});
    } else {
        jw_kv_string(j, s->name, text);
    }
}

static char *settings_json(const struct config_swarm *swarm)
{
    struct str s = STR_INIT;
    struct jw j = jw_init(&s);
    jw_object(&j);
    for (size_t i = 0; i < swarm->settings_n; i++)
        write_setting(&j, &swarm->settings[i]);
    if (config_swarm_joined(swarm) && !config_swarm_value(swarm, "serve"))
        jw_kv_string(&j, "serve", "joined");
    jw_object_close(&j);
    jw_end(&j);
    return str_take(&s);
}

static bool is_so(struct host *h, const char *name, const char *settings)
{
    struct swarm_row row = {.swarm = mem_dup(name)};
    bool same = store_load(node_store(h->node), T_SWARM, &row, NULL) == 1 && row.settings &&
                strcmp(row.settings, settings) == 0;
    row_fini(T_SWARM, &row);
    return same;
}

static struct request *request_of(size_t i, const char *base, const char *name, char *settings TAKES)
{
    struct request *r = mem_alloc(sizeof *r);
    struct str path = STR_INIT;
    str_puts(&path, base);
    uri_encode(&path, name, strlen(name));
    *r = (struct request){
        .id = DECLARED_ID + i, .method = HTTP_M_PUT, .body = settings, .body_n = strlen(settings)};
    r->path = str_take(&path);
    r->who = (struct principal){.role = ROLE_ADMIN, .name = "config"};
    return r;
}

/* ---- hooks ---- */

static void write_env(struct jw *j, const struct texts *env)
{
    jw_kv_object(j, "env");
    for (size_t i = 0; i < env->n; i++) {
        size_t n = strcspn(env->v[i], "=");
        AUTOFREE char *name = mem_copy(env->v[i], n);
        jw_kv_string(j, name, env->v[i][n] ? env->v[i] + n + 1 : "");
    }
    jw_object_close(j);
}

/* "swarm/name", or a name of the swarm default. */
static void write_to(struct jw *j, const char *text)
{
    const char *slash = strchr(text, '/');
    AUTOFREE char *swarm = slash ? mem_copy(text, (size_t)(slash - text)) : NULL;
    jw_kv_object(j, "to");
    if (swarm)
        jw_kv_string(j, "swarm", swarm);
    jw_kv_string(j, "name", slash ? slash + 1 : text);
    jw_object_close(j);
}

static void write_hook_setting(struct jw *j, const struct config_swarm_setting *s)
{
    const char *text = s->value.n ? s->value.v[0] : "";
    int64_t number;
    bool flag = strcmp(text, "true") == 0 || strcmp(text, "false") == 0;
    if (strcmp(s->name, "env") == 0) {
        write_env(j, &s->value);
    } else if (strcmp(s->name, "to") == 0) {
        write_to(j, text);
    } else if (conf_hook_list(s->name)) {
        jw_kv_array(j, s->name);
        for (size_t i = 0; i < s->value.n; i++)
            jw_string(j, s->value.v[i]);
        jw_array_close(j);
    } else if (strcmp(s->name, "required") == 0 && flag) {
        jw_kv_bool(j, s->name, text[0] == 't');
    } else if (text_i64(text, -JSON_INT_MAX, JSON_INT_MAX, &number)) {
        jw_kv_i64(j, s->name, number);
    } else {
        jw_kv_string(j, s->name, text);
    }
}

static char *hook_json(const struct config_swarm *hook)
{
    struct str s = STR_INIT;
    struct jw j = jw_init(&s);
    jw_object(&j);
    for (size_t i = 0; i < hook->settings_n; i++)
        write_hook_setting(&j, &hook->settings[i]);
    jw_object_close(&j);
    jw_end(&j);
    return str_take(&s);
}

/* Whether it says the same; *ret_rev is what is there, 0 = nothing. */
static bool hook_is_so(struct host *h, const struct hook_row *key, const char *json, int64_t *ret_rev)
{
    struct hook_row row = {.event = mem_dup(key->event), .hook = mem_dup(key->hook)};
    struct hook_spec spec = {0};
    struct stamp stamp = {0};
    AUTOSTR struct str text = STR_INIT;
    int rc = store_load(node_store(h->node), T_HOOK, &row, NULL);
    bool same = rc == 1 && hook_spec_parse(json, &spec, NULL) == 0;
    if (same)
        hook_spec_write(&spec, &text);
    same = same && strcmp(str_get(&text), row.spec) == 0;
    *ret_rev =
        rc == 1 && store_version(node_store(h->node), T_HOOK, &row, &stamp, NULL, NULL) == 1 ? stamp.hlc : 0;
    hook_spec_fini(&spec);
    row_fini(T_HOOK, &row);
    return same;
}

static void declare_hook(struct host *h, size_t i, const struct config_swarm *hook)
{
    size_t n = strcspn(hook->name, "/");
    AUTOFREE char *event = mem_copy(hook->name, n);
    AUTOSTR struct str base = STR_INIT;
    char *json = hook_json(hook), *id = hook->name + n + 1;
    int64_t rev;
    if (hook_is_so(h, &(struct hook_row){.event = event, .hook = id}, json, &rev)) {
        free(json);
        return;
    }
    str_puts(&base, "/v1/hooks/");
    uri_encode(&base, event, n);
    str_putc(&base, '/');
    struct request *r = request_of(i, str_get(&base), id, json);
    if (rev)
        r->if_match = mem_printf("\"%lld\"", (long long)rev);
    host_post(h, (struct event){.kind = EV_REQUEST, .request = r});
}

void host_declare(struct host *h)
{
    const struct config *c = &h->brain_setup->config;
    for (size_t i = 0; i < c->swarms_n; i++) {
        char *settings = settings_json(&c->swarms[i]);
        if (is_so(h, c->swarms[i].name, settings))
            free(settings);
        else
            host_post(h,
                      (struct event){.kind = EV_REQUEST,
                                     .request = request_of(i, "/v1/swarms/", c->swarms[i].name, settings)});
    }
    for (size_t i = 0; i < c->hooks_n; i++)
        declare_hook(h, c->swarms_n + i, &c->hooks[i]);
}

bool host_declared(struct host *h, uint64_t request, const struct answer *a)
{
    if (request < DECLARED_ID)
        return false;
    if (a->status >= 300)
        log_error(&h->log, "what the configuration declares was refused: %.*s", (int)a->body_n,
                  a->body ? a->body : "");
    return true;
}
