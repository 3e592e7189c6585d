/* hook_alter: child_data_alter, the one hook that is waited for. Before a process starts here, the hooks that
 * want its name are asked one after the other, each with what the one before it answered; what comes out is
 * started.
 *
 * What is wanted (the claim) does not change: the next start, here or elsewhere, begins with it and asks
 * again. A hook that fails, takes too long or answers nonsense changes nothing, unless it is "required": then
 * the start has failed.
 */
#include <string.h>

#include "node/child.h"
#include "node/hook.h"

/* The questions about one start. */
struct alter {
    char *key;
    int64_t incarnation;
    struct asked {
        char *id;
    } * list; /* hooks that are asked, in order */
    size_t n, at;
    char *spec, *metadata; /* as they are by now; owned */
    struct str changed_by; /* ids of hooks that changed something, as elements of a JSON array */
    char *refused;         /* JSON: why there is no start; owned */
    uint64_t run;          /* the call under way; 0 = none yet */
    bool ready, new_metadata;
    UT_hash_handle hh;
};

struct answer_fields {
    struct span spec, metadata;
};
static const struct json_field fields[] = {
    JSON_FIELD(struct answer_fields, spec, JSON_RAW_OBJECT, .nullable = true),
    JSON_FIELD(struct answer_fields, metadata, JSON_RAW_OBJECT, .nullable = true),
};
static const struct json_table answer_table = JSON_TABLE(struct answer_fields, fields);

static struct alter *find(struct node *n, const char *key)
{
    struct alter *a;
    HASH_FIND_STR(n->hooks->alters, key, a);
    return a;
}

static void alter_free(struct node *n, struct alter *a)
{
    HASH_DEL(n->hooks->alters, a);
    for (size_t i = 0; i < a->n; i++)
        free(a->list[i].id);
    free(a->list);
    free(a->key);
    free(a->spec);
    free(a->metadata);
    free(a->refused);
    str_fini(&a->changed_by);
    free(a);
}

void hook_alter_forget(struct node *n, const char *key)
{
    struct alter *a = n->hooks ? find(n, key) : NULL;
    if (a)
        alter_free(n, a);
}

void hook_alters_fini(struct node *n)
{
    struct alter *a, *next;
    HASH_ITER(hh, n->hooks->alters, a, next)
    alter_free(n, a);
}

/* ---- asking ---- */

static bool wants(struct node *n, const struct hook *h, const struct child *c)
{
    struct hook_filter f = {HOOK_ALTER, h->spec.swarm, h->spec.name, (const char *const *)h->spec.nodes.list,
                            HOOK_ORIGIN};
    return !h->gone && strcmp(h->event, HOOK_ALTER) == 0 &&
           hook_wants(&f, &(struct hook_fact){HOOK_ALTER, c->swarm, c->name, n->name, true});
}

static bool some_want(struct node *n, const struct child *c)
{
    for (size_t i = 0; n->hooks && i < n->hooks->n; i++)
        if (wants(n, n->hooks->list[i], c))
            return true;
    return false;
}

static char *metadata_of(struct node *n, const struct child *c)
{
    struct metadata_row row = {.swarm = mem_dup(c->swarm), .name = mem_dup(c->name)};
    char *data = store_load(n->store, T_METADATA, &row, NULL) == 1 ? TAKE(row.data) : NULL;
    row_fini(T_METADATA, &row);
    return data ? data : mem_dup("{}");
}

/* The questions are put together in one go; they are asked by the tick. */
static void ask(struct node *n, void *arg)
{
    AUTOFREE char *key = arg;
    char *name = strchr(key, '\n') + 1;
    AUTOFREE char *swarm = mem_copy(key, (size_t)(name - key) - 1);
    struct child *c = child_find(n, swarm, name);
    hook_alter_forget(n, key);
    if (!c)
        return;
    struct alter *a = mem_alloc(sizeof *a);
    a->key = mem_dup(key);
    a->incarnation = c->s.incarnation;
    a->spec = mem_dup(c->spec_text ? c->spec_text : "{}");
    a->metadata = metadata_of(n, c);
    a->list = mem_array(n->hooks->n + 1, sizeof *a->list);
    for (size_t i = 0; i < n->hooks->n; i++)
        if (wants(n, n->hooks->list[i], c))
            a->list[a->n++].id = mem_dup(n->hooks->list[i]->id);
    HASH_ADD_KEYPTR(hh, n->hooks->alters, a->key, strlen(a->key), a);
}

static char *question(struct node *n, const struct alter *a, const struct child *c, struct str *ret)
{
    struct jw j = jw_init(ret);
    jw_object(&j);
    jw_kv_string(&j, "type", HOOK_ALTER);
    jw_kv_time(&j, "at", n->real_ms);
    jw_kv_string(&j, "node", n->name);
    jw_kv_string(&j, "swarm", c->swarm);
    jw_kv_string(&j, "name", c->name);
    jw_kv_i64_text(&j, "epoch", c->s.epoch);
    jw_kv_i64(&j, "restarts", c->s.restarts);
    jw_kv_raw(&j, "spec", (struct span){a->spec, strlen(a->spec)});
    jw_kv_raw(&j, "metadata", (struct span){a->metadata, strlen(a->metadata)});
    jw_object_close(&j);
    jw_end(&j);
    return str_take(ret);
}

/* The next question, or the end of them. */
static void step(struct node *n, struct alter *a)
{
    char *name = strchr(a->key, '\n') + 1;
    AUTOFREE char *swarm = mem_copy(a->key, (size_t)(name - a->key) - 1);
    struct child *c = child_find(n, swarm, name);
    const struct hook *h = NULL;
    if (!c) {
        alter_free(n, a);
        return;
    }
    while (!a->refused && a->at < a->n && !(h = hook_find(n, HOOK_ALTER, a->list[a->at].id)))
        a->at++;
    if (h) {
        struct str s = STR_INIT;
        char *body = question(n, a, c, &s);
        a->run = hook_call_begin(n, h, 0, 1, "", body, strlen(body));
        return;
    }
    a->ready = true;
    own_later(n, swarm, name);
}

void hook_alters_tick(struct node *n)
{
    struct alter *a, *next;
    HASH_ITER(hh, n->hooks->alters, a, next)
    if (!a->ready && a->run == 0)
        step(n, a);
}

/* ---- what they answer ---- */

/* One answer, as it counts. */
struct outcome {
    uint64_t run;
    char *spec, *metadata, *refused; /* owned; NULL = as before */
};

static void outcome_free(void *arg)
{
    struct outcome *v = arg;
    free(v->spec);
    free(v->metadata);
    free(v->refused);
    free(v);
}

static void outcome_now(struct node *n, void *arg)
{
    struct outcome *v = arg;
    struct hook_run *r;
    struct alter *a, *next;
    HASH_ITER(hh, n->hooks->alters, a, next)
    if (a->run == v->run) {
        if (v->spec || v->metadata)
            str_printf(&a->changed_by, "%s\"%s\"", a->changed_by.n ? "," : "", a->list[a->at].id);
        a->new_metadata |= v->metadata != NULL;
        if (v->spec)
            mem_replace(&a->spec, v->spec);
        if (v->metadata)
            mem_replace(&a->metadata, v->metadata);
        a->refused = TAKE(v->refused);
        a->run = 0;
        a->at++;
    }
    HASH_FIND(hh, n->hooks->runs, &v->run, sizeof v->run, r);
    if (r)
        hook_run_free(n, r);
    outcome_free(v);
}

/* A worker's reply is what it said; a program's and a URL's answer is their text. Blank: nothing changes. */
static struct span answer_of(const struct hook_run *r, const char *text)
{
    struct span all = {text, text ? strlen(text) : 0};
    if (r->kind == HOOK_MESSAGE)
        all = json_raw_member(all.p, all.n, "data");
    while (all.n && strchr(" \t\r\n", all.p[0]))
        all = (struct span){all.p + 1, all.n - 1};
    return all;
}

static int spec_of(struct span text, char **ret, struct err *e)
{
    AUTOFREE char *copy = mem_copy(text.p, text.n);
    struct str normal = STR_INIT;
    struct spec s;
    int rc = spec_parse(copy, &s, e);
    if (rc == 0)
        rc = spec_check(&s, e);
    if (rc == 0)
        spec_write(&s, &normal);
    spec_fini(&s);
    if (rc == 0)
        *ret = str_take(&normal);
    return rc;
}

static int answer_read(const struct alter *a, struct span text, struct outcome *v, struct err *e)
{
    struct answer_fields f = {0};
    if (text.n == 0)
        return 0;
    int rc = json_check(text.p, text.n, e);
    if (rc == 0 && json_type(text) == JSON_T_NULL)
        return 0;
    if (rc == 0)
        rc = json_read(text.p, text.n, &answer_table, &f, e);
    if (rc == 0 && f.spec.p)
        rc = spec_of(f.spec, &v->spec, e);
    if (rc == 0 && v->spec && strcmp(v->spec, a->spec) == 0)
        free(TAKE(v->spec));
    if (rc == 0 && f.metadata.p &&
        (f.metadata.n != strlen(a->metadata) || strncmp(f.metadata.p, a->metadata, f.metadata.n) != 0))
        v->metadata = mem_copy(f.metadata.p, f.metadata.n);
    return rc;
}

static char *refusal(const struct hook_run *r, const char *why)
{
    struct str s = STR_INIT;
    struct jw j = jw_init(&s);
    AUTOFREE char *detail = mem_printf("the hook %s, which is required, failed: %s", r->id, why);
    jw_object(&j);
    jw_kv_string(&j, "code", "start_failed");
    jw_kv_string(&j, "detail", detail);
    jw_object_close(&j);
    jw_end(&j);
    return str_take(&s);
}

static int say_failed(struct node *n, const struct child *c, const struct hook_run *r, bool required,
                      const char *why)
{
    AUTOSTR struct str data = STR_INIT;
    struct jw j = jw_init(&data);
    jw_object(&j);
    jw_kv_string(&j, "hook", r->id);
    jw_kv_bool(&j, "required", required);
    jw_kv_string(&j, "detail", why);
    jw_object_close(&j);
    jw_end(&j);
    return node_log(n, "child_alter_failed", c->swarm, c->name, n->name, c->s.epoch, NULL, str_get(&data));
}

static struct alter *of_run(struct node *n, uint64_t run)
{
    struct alter *a, *next;
    HASH_ITER(hh, n->hooks->alters, a, next)
    if (a->run == run)
        return a;
    return NULL;
}

int hook_alter_ended(struct node *n, const struct hook_end *end)
{
    struct alter *a = of_run(n, end->run);
    struct hook_run *r;
    struct err e = {0};
    HASH_FIND(hh, n->hooks->runs, &end->run, sizeof end->run, r);
    struct outcome *v = mem_alloc(sizeof *v);
    v->run = end->run;
    eff_do(n, outcome_now, v, outcome_free);
    if (!a || !r)
        return 0;
    char *name = strchr(a->key, '\n') + 1;
    AUTOFREE char *swarm = mem_copy(a->key, (size_t)(name - a->key) - 1);
    const struct child *c = child_find(n, swarm, name);
    const struct hook *h = hook_find(n, r->event, r->id);
    if (end->ok && answer_read(a, answer_of(r, end->text), v, &e) == 0)
        return 0;
    free(TAKE(v->spec));
    free(TAKE(v->metadata));
    bool required = h && h->spec.required;
    const char *why = end->ok ? e.text : end->text;
    if (required)
        v->refused = refusal(r, why);
    return c ? say_failed(n, c, r, required, why) : 0;
}

/* ---- using it ---- */

/* Which members of the specification differ; both are spec_write's. */
static void write_changed(struct jw *j, const char *before, const char *after)
{
    struct span key, value;
    struct json_iter it = json_iter_init((struct span){after, strlen(after)});
    jw_kv_array(j, "changed");
    while (json_iter_next(&it, &key, &value)) {
        AUTOSTR struct str name = STR_INIT;
        json_unquote(key, &name);
        struct span old = json_raw_member(before, strlen(before), str_get(&name));
        if (!old.p || old.n != value.n || memcmp(old.p, value.p, old.n) != 0)
            jw_string(j, str_get(&name));
    }
    jw_array_close(j);
}

static int say_altered(struct node *n, const struct child *c, const struct alter *a)
{
    AUTOSTR struct str data = STR_INIT, hooks = STR_INIT;
    struct jw j = jw_init(&data);
    str_printf(&hooks, "[%s]", str_get(&a->changed_by));
    jw_object(&j);
    jw_kv_raw(&j, "hooks", (struct span){hooks.p, hooks.n});
    write_changed(&j, c->spec_text ? c->spec_text : "{}", a->spec);
    jw_kv_bool(&j, "metadata", a->new_metadata);
    jw_object_close(&j);
    jw_end(&j);
    return node_log(n, "child_data_altered", c->swarm, c->name, n->name, c->s.epoch, NULL, str_get(&data));
}

static int metadata_write(struct node *n, const struct child *c, const char *data)
{
    struct metadata_row row = {.swarm = mem_dup(c->swarm), .name = mem_dup(c->name)};
    AUTOSTR struct str tag = STR_INIT;
    int rc = store_load(n->store, T_METADATA, &row, &n->fault);
    mem_replace(&row.data, data);
    mem_replace(&row.tag,
                json_unquote(json_raw_member(data, strlen(data), "tag"), &tag) ? str_get(&tag) : NULL);
    row.epoch = c->s.epoch;
    if (rc >= 0)
        rc = store_save(n->store, T_METADATA, &row, &n->fault);
    row_fini(T_METADATA, &row);
    node_wake(n, c->swarm, c->name);
    return rc == SKEP_EFENCED ? 0 : rc;
}

static void used(struct node *n, void *arg)
{
    AUTOFREE char *key = arg;
    hook_alter_forget(n, key);
}

static void spec_use(struct child *c, const char *text)
{
    struct spec s;
    if (spec_parse(text, &s, NULL) == 0) {
        spec_fini(&c->spec);
        c->spec = s;
    } else {
        spec_fini(&s);
    }
}

static int use(struct node *n, struct child *c, struct alter *a, char **ret_reason)
{
    int rc = 0;
    eff_do(n, used, mem_dup(a->key), free);
    if (a->refused) {
        *ret_reason = mem_dup(a->refused);
        return 2;
    }
    spec_use(c, a->spec);
    c->altered = true;
    if (a->changed_by.n)
        rc = say_altered(n, c, a);
    if (rc == 0 && a->new_metadata)
        rc = metadata_write(n, c, a->metadata);
    return rc < 0 ? rc : 1;
}

int hook_alter(struct node *n, struct child *c, char **ret_reason)
{
    struct alter *a = n->hooks ? find(n, c->key) : NULL;
    if (a && a->incarnation == c->s.incarnation)
        return a->ready ? use(n, c, a, ret_reason) : 0;
    if (!some_want(n, c)) {
        if (c->altered)
            spec_use(c, c->spec_text ? c->spec_text : "{}");
        c->altered = false;
        return 1;
    }
    eff_do(n, ask, mem_dup(c->key), free);
    return 0;
}
