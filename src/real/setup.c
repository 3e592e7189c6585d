/* setup: decides what of skepd's own environment and files a child sees, and which setting is which option.
 */
#include "real/setup.h"

#include <errno.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/api.h"
#include "node/declare.h"
#include "real/env_file.h"
#include "real/file.h"

#define CA_BYTES_MAX     65536
#define SECRET_BYTES_MAX 4096

/* ---- the environment of children ---- */

/* NAME of "NAME=value" is this one. */
static bool is_named(const char *pair, const char *name, size_t n)
{
    return strncmp(pair, name, n) == 0 && pair[n] == '=';
}

static void env_set(struct texts *env, const char *pair)
{
    size_t n = strcspn(pair, "=");
    for (size_t i = 0; i < env->n; i++)
        if (is_named(env->v[i], pair, n)) {
            mem_replace(&env->v[i], pair);
            return;
        }
    texts_add(env, pair);
}

static void env_pass(struct texts *env, char *const *envp, const char *name)
{
    for (char *const *p = envp; p && *p; p++)
        if (is_named(*p, name, strlen(name)))
            env_set(env, *p);
}

/* "*" means everything of the user's, not what is between skepd and whoever started it. */
static bool is_ours(const char *pair)
{
    static const char *const ours[] = {"SKEP_", "NOTIFY_SOCKET=", "WATCHDOG_", "LISTEN_", "INVOCATION_ID="};
    for (size_t i = 0; i < COUNT(ours); i++)
        if (text_starts(pair, ours[i]))
            return true;
    return !strchr(pair, '=') || pair[0] == '=';
}

static void env_pass_all(struct texts *env, char *const *envp)
{
    for (char *const *p = envp; p && *p; p++)
        if (!is_ours(*p))
            env_set(env, *p);
}

/* Children of another user live in that user's home. */
static int env_user(struct texts *env, const struct config *c, struct err *e)
{
    if (!c->exec_user)
        return 0;
    const struct passwd *pw = getpwnam(c->exec_user);
    if (!pw)
        return err_field(e, SKEP_ECONFIG, "exec_user", "exec_user: there is no user %s on this machine",
                         c->exec_user);
    if (geteuid() != 0 && pw->pw_uid != geteuid())
        return err_field(e, SKEP_ECONFIG, "exec_user",
                         "exec_user: only a skepd that runs as root can run children as %s", c->exec_user);
    AUTOFREE char *home = mem_printf("HOME=%s", pw->pw_dir);
    env_set(env, home);
    return 0;
}

static int env_of_file(struct texts *env, const struct config *c, struct err *e)
{
    char **list;
    if (!c->env_file)
        return 0;
    int rc = env_file_read(c->env_file, &list, e);
    if (rc < 0)
        return rc;
    for (char **p = list; *p; p++)
        env_set(env, *p);
    env_file_free(list);
    return 0;
}

static int env_of(const struct config *c, char *const *envp, char ***ret, struct err *e)
{
    static const char *const always[] = {"PATH", "HOME", "LANG", "TZ"};
    CLEANUP(texts_fini) struct texts env = TEXTS_INIT;
    env_set(&env, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    for (size_t i = 0; i < COUNT(always); i++)
        env_pass(&env, envp, always[i]);
    int rc = env_user(&env, c, e);
    for (size_t i = 0; i < c->pass_env.n; i++)
        if (strcmp(c->pass_env.v[i], "*") == 0)
            env_pass_all(&env, envp);
        else
            env_pass(&env, envp, c->pass_env.v[i]);
    if (rc == 0)
        rc = env_of_file(&env, c, e);
    if (rc == 0)
        *ret = TAKE(env.v);
    env.n = rc == 0 ? 0 : env.n;
    return rc;
}

/* ---- what hooks sign with ---- */

static const char *env_value(char *const *envp, const char *name)
{
    for (char *const *p = envp; p && *p; p++)
        if (is_named(*p, name, strlen(name)))
            return *p + strlen(name) + 1;
    return NULL;
}

/* The text of one, yours: without the line end that an editor leaves behind. */
static int secret_read(const char *from, char *const *envp, char **ret, struct err *e)
{
    AUTOSTR struct str text = STR_INIT;
    if (text_starts(from, "env:")) {
        const char *value = env_value(envp, from + 4);
        if (!value || !*value)
            return err_field(e, SKEP_ECONFIG, "hook_secrets", "hook_secrets: the environment has no %s",
                             from + 4);
        *ret = mem_dup(value);
        return 0;
    }
    mode_t mode = 0;
    if (file_read(from + 5, SECRET_BYTES_MAX, &text, &mode, e) < 0) {
        err_wrap(e, "hook_secrets");
        return e ? e->code : SKEP_ECONFIG;
    }
    if (mode & S_IROTH)
        return err_field(e, SKEP_ECONFIG, "hook_secrets",
                         "hook_secrets: everybody can read %s, and it holds a secret: chmod o-r", from + 5);
    while (text.n && (text.p[text.n - 1] == '\n' || text.p[text.n - 1] == '\r'))
        text.p[--text.n] = 0;
    if (text.n == 0 || strlen(text.p) != text.n)
        return err_field(e, SKEP_ECONFIG, "hook_secrets", "hook_secrets: %s holds no secret", from + 5);
    *ret = str_take(&text);
    return 0;
}

static int secrets_of(struct setup *s, char *const *envp, struct err *e)
{
    const struct texts *list = &s->config.hook_secrets;
    s->hook_secrets = mem_array(2 * list->n + 1, sizeof *s->hook_secrets);
    for (size_t i = 0; i < list->n; i++) {
        const char *equals = strchr(list->v[i], '=');
        char *value = NULL;
        int rc = secret_read(equals + 1, envp, &value, e);
        if (rc < 0)
            return rc;
        s->hook_secrets[2 * i] = mem_copy(list->v[i], (size_t)(equals - list->v[i]));
        s->hook_secrets[2 * i + 1] = value;
    }
    return 0;
}

const char *setup_hook_secret(const struct setup *s, const char *name)
{
    for (char **p = s->hook_secrets; p && *p; p += 2)
        if (strcmp(p[0], name) == 0)
            return p[1];
    return NULL;
}

/* ---- options ---- */

static void options_of(struct setup *s)
{
    const struct config *c = &s->config;
    s->options = (struct node_options){
        .version = SKEP_VERSION,
        .ca_pem = s->ca_pem,
        .ca_fingerprint = *s->ca_fingerprint ? s->ca_fingerprint : NULL,
        .peers = c->peers.v,
        .allow_exec = c->allow_exec.v,
        .env = s->env,
        .work_dir = c->work_dir,
        .exec_user = c->exec_user,
        .socket = c->socket,
        .worker_role = c->worker_role,
        .labels = s->labels,
        .declared = s->declared,
        .weight = c->weight,
        .serves = s->serves.v,
        .suspect_ms = c->suspect_ms,
        .down_ms = c->down_ms,
        .ping_ms = c->ping_ms,
        .sync_ms = c->sync_ms,
        .compare_ms = c->compare_ms,
        .batch_window_ms = c->nodedown_batch_window_ms,
        .brake_ms = c->brake_ms,
        .handoff_ttl_ms = c->handoff_ttl_ms,
        .tombstone_min_ms = c->tombstone_min_ms,
        .tombstone_max_ms = c->tombstone_max_ms,
        .events_keep_ms = c->events_keep_ms,
        .events_keep_rows = c->events_keep_rows,
        .history_keep_rows = c->history_keep_rows,
        .alone_ms = SETUP_ALONE_MS,
        .checkpoint_acks = (int)c->checkpoint_acks,
        .children_max = c->max_children,
        .serve = api_serve,
    };
}

/* "zone=a" as a member of an object: the last one of a name counts. */
static char *labels_text(const struct texts *labels)
{
    struct str s = STR_INIT;
    struct jw j = jw_init(&s);
    if (labels->n == 0)
        return NULL;
    jw_object(&j);
    for (size_t i = 0; i < labels->n; i++) {
        size_t n = strcspn(labels->v[i], "=");
        bool again = false;
        for (size_t k = i + 1; k < labels->n; k++)
            again |= is_named(labels->v[k], labels->v[i], n);
        AUTOFREE char *name = mem_copy(labels->v[i], n);
        if (!again)
            jw_kv_string(&j, name, labels->v[i] + n + 1);
    }
    jw_object_close(&j);
    jw_end(&j);
    return str_take(&s);
}

static void serves_of(struct setup *s)
{
    for (size_t i = 0; i < s->config.swarms_n; i++)
        if (config_swarm_joined(&s->config.swarms[i]))
            texts_add(&s->serves, s->config.swarms[i].name);
}

/* The object without its name: what PUT …/children/{name} takes. */
static char *body_of(struct span object)
{
    struct str s = STR_INIT;
    struct span key, value;
    struct json_iter it = json_iter_init(object);
    while (json_iter_next(&it, &key, &value))
        if (key.n != 6 || memcmp(key.p, "\"name\"", 6) != 0)
            str_printf(&s, "%s%.*s:%.*s", s.n ? "," : "{", (int)key.n, key.p, (int)value.n, value.p);
    str_puts(&s, s.n ? "}" : "{}");
    return str_take(&s);
}

static int declared_add(struct setup *s, const char *swarm, const char *text, struct err *e)
{
    AUTOSTR struct str name = STR_INIT;
    AUTOFREE char *field = mem_printf("swarm.%.80s.children", swarm);
    struct span object = {text, strlen(text)};
    int rc = json_check(text, object.n, e);
    struct span said = rc == 0 ? json_raw_member(text, object.n, "name") : (struct span){NULL, 0};
    if (rc == 0 && (!said.p || !json_unquote(said, &name)))
        rc = SKEP_EARG;
    if (rc < 0 || name_check(str_get(&name), name.n, "name", e) < 0)
        return err_field(e, SKEP_ECONFIG, field,
                         "%s: each is a JSON object like '{\"name\":\"web\",\"argv\":[\"/usr/bin/web\"]}', "
                         "not %.100s",
                         field, text);
    AUTOFREE char *body = body_of(object);
    texts_add(&s->declared_texts, swarm);
    texts_add(&s->declared_texts, str_get(&name));
    texts_add(&s->declared_texts, body);
    return 0;
}

static int declared_of(struct setup *s, struct err *e)
{
    int rc = 0;
    for (size_t i = 0; i < s->config.swarms_n; i++) {
        const struct config_swarm *swarm = &s->config.swarms[i];
        const struct texts *list = config_swarm_value(swarm, "children");
        for (size_t k = 0; rc == 0 && list && k < list->n; k++)
            rc = declared_add(s, swarm->name, list->v[k], e);
    }
    size_t n = s->declared_texts.n / 3;
    s->declared = mem_array(n + 1, sizeof *s->declared);
    for (size_t i = 0; i < n; i++) {
        char **v = s->declared_texts.v + 3 * i;
        s->declared[i] = (struct declared){v[0], v[1], v[2]};
    }
    return rc;
}

static char *ca_text(const struct config *c)
{
    AUTOSTR struct str text = STR_INIT;
    return file_read(c->ca, CA_BYTES_MAX, &text, NULL, NULL) == 0 ? str_take(&text) : NULL;
}

int setup_new(struct config *c TAKES, char *const *envp, struct setup **ret, struct err *e)
{
    struct setup *s = mem_alloc(sizeof *s);
    atomic_init(&s->refs, 1);
    s->config = *c;
    *c = CONFIG_INIT;
    int rc = env_of(&s->config, envp, &s->env, e);
    if (rc == 0)
        rc = secrets_of(s, envp, e);
    if (rc < 0) {
        setup_unref(s);
        return rc;
    }
    s->ca_pem = ca_text(&s->config);
    if (s->ca_pem)
        pki_fingerprint_pem(s->ca_pem, s->ca_fingerprint, NULL);
    rc = declared_of(s, e);
    if (rc < 0) {
        setup_unref(s);
        return rc;
    }
    s->labels = labels_text(&s->config.labels);
    serves_of(s);
    options_of(s);
    *ret = s;
    return 0;
}

struct setup *setup_ref(struct setup *s)
{
    atomic_fetch_add(&s->refs, 1);
    return s;
}

void setup_unref(struct setup *s)
{
    if (!s || atomic_fetch_sub(&s->refs, 1) > 1)
        return;
    env_file_free(s->env);
    env_file_free(s->hook_secrets);
    free(s->ca_pem);
    free(s->labels);
    texts_fini(&s->serves);
    texts_fini(&s->declared_texts);
    free(s->declared);
    free(s->url);
    free(s->boot);
    config_fini(&s->config);
    free(s);
}

void setup_name(struct setup *s, const char *url, const char *boot, int pid, int keeper_pid)
{
    mem_replace(&s->url, url);
    mem_replace(&s->boot, boot);
    s->options.url = s->url;
    s->options.boot = s->boot;
    s->options.pid = pid;
    s->options.keeper_pid = keeper_pid;
}

enum log_level setup_log_level(const struct setup *s)
{
    static const char *const words[] = {"debug", "info", "warn", "error"};
    for (size_t i = 0; i < COUNT(words); i++)
        if (strcmp(s->config.log_level, words[i]) == 0)
            return (enum log_level)i;
    return LOG_INFO;
}

uint16_t setup_listen(const struct setup *s, char **ret_host)
{
    const char *text = s->config.listen, *colon = strrchr(text, ':');
    int64_t port = 0;
    bool bracket = text[0] == '[';
    text_i64(colon + 1, 0, UINT16_MAX, &port);
    AUTOFREE char *host = mem_copy(text + bracket, (size_t)(colon - text) - 2 * (size_t)bracket);
    *ret_host = strcmp(host, "*") == 0 ? mem_dup("0.0.0.0") : TAKE(host);
    return (uint16_t)port;
}
