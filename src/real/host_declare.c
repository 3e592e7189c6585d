/* host_declare: the swarms of the configuration, said to the cluster as anybody would say them: PUT
 * /v1/swarms/{swarm}.
 *
 * On the brain's thread, once the node is ready and after each reload; a swarm that is as declared already is
 * left alone. The answers have ids of their own, which no connection uses.
 */
#include <string.h>

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

static struct request *request_of(size_t i, const char *name, char *settings TAKES)
{
    struct request *r = mem_alloc(sizeof *r);
    struct str path = STR_INIT;
    str_puts(&path, "/v1/swarms/");
    uri_encode(&path, name, strlen(name));
    *r = (struct request){
        .id = DECLARED_ID + i, .method = HTTP_M_PUT, .body = settings, .body_n = strlen(settings)};
    r->path = str_take(&path);
    r->who = (struct principal){.role = ROLE_ADMIN, .name = "config"};
    return r;
}

void host_declare(struct host *h)
{
    const struct config *c = &h->brain_setup->config;
    for (size_t i = 0; i < c->swarms_n; i++) {
        char *settings = settings_json(&c->swarms[i]);
        if (is_so(h, c->swarms[i].name, settings))
            free(settings);
        else
            host_post(
                h, (struct event){.kind = EV_REQUEST, .request = request_of(i, c->swarms[i].name, settings)});
    }
}

bool host_declared(struct host *h, uint64_t request, const struct answer *a)
{
    if (request < DECLARED_ID)
        return false;
    if (a->status >= 300)
        log_error(&h->log, "a swarm that the configuration declares was refused: %.*s", (int)a->body_n,
                  a->body ? a->body : "");
    return true;
}
