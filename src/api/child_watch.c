/* child_watch: a question that is answered when a process is no longer what it was.
 *
 * What a client has seen is a version: a digest of the stamps of its rows, its claim, its state and its
 * metadata. Who asks behind a version is answered as soon as it is another one, so nothing that happens
 * between two questions is missed; what happens twice between them is seen once.
 */
#include <stdio.h>
#include <string.h>

#include "api/api.h"
#include "wire/digest.h"

#define WAITING_MAX 5000 /* requests that wait here, watchers among them: half of what may wait at all */

struct watch_query {
    char *after;
};
static const struct uri_param watch_params[] = {
    URI_PARAM(struct watch_query, after, URI_TEXT, .max = 32),
};

/* Rows that are gone count with the stamp of their end, as long as that is kept. */
static int version_of(struct node *n, const struct call *c, char ret[17])
{
    struct name_row name = {.swarm = (char *)(uintptr_t)c->param[0], .name = (char *)(uintptr_t)c->param[1]};
    struct child_row child = {.swarm = name.swarm, .name = name.name};
    struct metadata_row metadata = {.swarm = name.swarm, .name = name.name};
    const void *rows[] = {&name, &child, &metadata};
    static const enum table_id tables[] = {T_NAME, T_CHILD, T_METADATA};
    AUTOSTR struct str text = STR_INIT;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct stamp stamp = {0};
        int rc = store_version(n->store, tables[i], rows[i], &stamp, NULL, &n->fault);
        if (rc < 0)
            return rc;
        str_printf(&text, "%lld.%lld ", (long long)stamp.hlc, (long long)stamp.actor);
    }
    unsigned char digest[DIGEST16_BYTES];
    digest16(&(struct span){str_get(&text), text.n}, 1, digest);
    for (size_t i = 0; i < 8; i++)
        snprintf(ret + 2 * i, 3, "%02x", digest[i]);
    return 0;
}

static int answer(struct node *n, struct op *op, const struct call *c, const char *version, bool changed)
{
    AUTOSTR struct str child = STR_INIT;
    struct str body = STR_INIT;
    const struct frozen *f = node_frozen(n);
    struct jw k = jw_init(&child), j = jw_init(&body);
    int rc = show_child(n->store, f, c->param[0], c->param[1], &k, NULL, &n->fault);
    frozen_unref(f);
    if (rc < 0)
        return rc;
    jw_object(&j);
    jw_kv_bool(&j, "changed", changed);
    jw_kv_string(&j, "version", version);
    jw_kv_raw(&j, "child", rc ? (struct span){str_get(&child), child.n} : (struct span){NULL, 0});
    jw_object_close(&j);
    op_answer(n, op, answer_json(200, &body));
    return 0;
}

static int watch_serve(struct node *n, struct op *op, const struct call *c)
{
    const struct watch_query *q = c->query;
    char version[17];
    struct err e;
    int rc = api_swarm_known(n, op, c->param[0]);
    if (rc <= 0 || (rc = version_of(n, c, version)) < 0)
        return rc;
    bool changed = !q->after || strcmp(q->after, version) != 0;
    if (changed || op->late)
        return answer(n, op, c, version, changed);
    if (!op->kept && n->ops_n >= WAITING_MAX) {
        err_set(&e, SKEP_EOVERLOADED,
                "too many requests wait here; watch on another node, or read the events");
        return api_fail(n, op, &e);
    }
    op_wait_until(n, op, c->param[0], c->param[1]);
    return 0;
}

const struct route child_watch_routes[] = {
    {HTTP_M_GET, "/v1/swarms/{swarm}/children/{name}/watch", ROLE_READ, API_BRAIN, API_BODY_BYTES, true,
     watch_params, COUNT(watch_params), sizeof(struct watch_query), NULL, NULL, watch_serve,
     "Wait until a process is no longer what it was: its claim, its state or its metadata."},
    {0},
};
