/* show: rows as the JSON of the API. The same for reads and for the answers of operations. */
#include <stdio.h>
#include <string.h>

#include "api/api.h"
#include "node/settings.h"
#include "node/spec.h"

static struct span text(const char *s, const char *otherwise)
{
    s = s ? s : otherwise;
    return s ? (struct span){s, strlen(s)} : (struct span){NULL, 0};
}

/* What a client may change is the claim and the metadata: their stamps added up, which change with either.
 * The newer of the two would not: metadata that a former owner wrote last may come late, and be older than
 * the claim.
 */
static int rev_of(struct store *s, const char *swarm, const char *name, bool with_metadata, int64_t *ret,
                  struct err *e)
{
    struct stamp stamp;
    struct name_row row = {.swarm = (char *)(uintptr_t)swarm, .name = (char *)(uintptr_t)name};
    struct metadata_row meta = {.swarm = row.swarm, .name = row.name};
    *ret = 0;
    int rc = store_version(s, T_NAME, &row, &stamp, NULL, e);
    if (rc == 1)
        *ret = stamp.hlc;
    if (rc >= 0 && with_metadata && (rc = store_version(s, T_METADATA, &meta, &stamp, NULL, e)) == 1)
        *ret += stamp.hlc;
    return rc < 0 ? rc : 0;
}

int show_rev(struct store *s, const char *swarm, const char *name, int64_t *ret, struct err *e)
{
    return rev_of(s, swarm, name, true, ret, e);
}

struct parts {
    struct name_row name;
    struct child_row child;
    struct metadata_row metadata;
};

static void parts_fini(struct parts *p)
{
    row_fini(T_NAME, &p->name);
    row_fini(T_CHILD, &p->child);
    row_fini(T_METADATA, &p->metadata);
}

static int parts_load(struct store *s, struct parts *p, const char *swarm, const char *name, struct err *e)
{
    p->name = (struct name_row){.swarm = mem_dup(swarm), .name = mem_dup(name)};
    p->child = (struct child_row){.swarm = mem_dup(swarm), .name = mem_dup(name)};
    p->metadata = (struct metadata_row){.swarm = mem_dup(swarm), .name = mem_dup(name)};
    int rc = store_load(s, T_NAME, &p->name, e);
    if (rc == 1 && (!p->name.kind || strcmp(p->name.kind, "child") != 0))
        return 0;
    if (rc == 1 && (rc = store_load(s, T_CHILD, &p->child, e)) >= 0)
        rc = store_load(s, T_METADATA, &p->metadata, e) < 0 ? SKEP_ESTORE : 1;
    return rc;
}

/* Of a run that is over: its keeper has killed what ran, even if nobody has said so in the row yet. */
static bool is_of_old_run(const struct child_facts *c, const struct frozen *f)
{
    static const char *const living[] = {"running", "stopping", "moving"};
    const struct frozen_node *owner = c->owner ? frozen_node(f, c->owner) : NULL;
    bool lives = false;
    for (size_t i = 0; i < COUNT(living); i++)
        lives |= strcmp(c->status, living[i]) == 0;
    return lives && owner && owner->actor && c->owner_actor && owner->actor != c->owner_actor;
}

/* Its node is no more, as seen from here, and nobody has taken it. v_child says the same. */
static bool is_homeless(const struct child_facts *c, const struct frozen *f)
{
    struct id id;
    if (!c->owner || !id_parse(c->owner, &id))
        return false;
    const struct frozen_node *owner = frozen_node(f, c->owner);
    return owner ? owner->left || owner->liveness == LIVENESS_DOWN : frozen_forgotten(f, &id);
}

static const char nowhere[] = "{\"code\":\"no_node_available\",\"detail\":\"its node is gone, and no other "
                              "one has taken it\"}";

const char *show_status(const struct child_facts *c, const struct frozen *f)
{
    const char *said = c->status && c->status_epoch == c->epoch ? c->status : NULL;
    bool ended = said && (strcmp(said, "failed") == 0 || strcmp(said, "stopped") == 0);
    if (!ended && is_homeless(c, f))
        return "stopped";
    return said && !is_of_old_run(c, f) ? said : "starting";
}

/* A child row of the claim that goes on to say what is so. */
struct runtime {
    const char *status;
    bool said; /* by its owner */
    bool runs;
};

static struct runtime runtime_of(const struct parts *p, const struct frozen *f)
{
    const struct child_facts facts = {p->name.owner, p->child.status, p->name.owner_actor, p->name.epoch,
                                      p->child.epoch};
    struct runtime r = {.status = show_status(&facts, f)};
    r.said = p->child.status && p->child.epoch == p->name.epoch && strcmp(r.status, p->child.status) == 0;
    r.runs = r.said && p->child.pid > 0;
    return r;
}

static void write_runtime(struct jw *j, const struct parts *p, const struct frozen *f)
{
    struct runtime r = runtime_of(p, f);
    jw_kv_string(j, "status", r.status);
    jw_kv_string(j, "node", frozen_name_of(f, p->name.owner));
    jw_kv_i64_text(j, "epoch", p->name.epoch);
    jw_key(j, "pid");
    if (r.runs)
        jw_i64(j, p->child.pid);
    else
        jw_null(j);
    jw_key(j, "started_at");
    jw_time(j, r.said ? p->child.started_at : 0);
    jw_kv_i64(j, "restarts", p->child.epoch >= p->name.incarnation ? p->child.restarts : 0);
    if (r.said && p->child.reason)
        jw_kv_raw(j, "reason", text(p->child.reason, NULL));
    else if (!r.said && strcmp(r.status, "stopped") == 0)
        jw_kv_raw(j, "reason", text(nowhere, NULL));
}

static void write_replica(struct jw *j, const struct parts *p, const struct frozen *f)
{
    struct runtime r = runtime_of(p, f);
    jw_kv_array(j, "replicas");
    jw_object(j);
    jw_kv_string(j, "node", frozen_name_of(f, p->name.owner));
    jw_key(j, "pid");
    if (r.runs)
        jw_i64(j, p->child.pid);
    else
        jw_null(j);
    jw_kv_string(j, "status", r.status);
    jw_kv_i64_text(j, "epoch", p->name.epoch);
    jw_kv_string(j, "mode", "active");
    jw_object_close(j);
    jw_array_close(j);
}

/* What is left to the swarm is shown as it would be now. */
void show_spec(struct store *s, const char *swarm, const char *kept, struct str *ret)
{
    struct settings settings = {0};
    struct spec spec;
    if (!kept || spec_parse(kept, &spec, NULL) < 0) { /* a newer version's: as it is */
        str_puts(ret, kept ? kept : "{}");
    } else {
        settings_load(s, swarm, &settings, NULL);
        settings_fill(&settings, &spec);
        spec_write(&spec, ret);
        settings_fini(&settings);
    }
    if (kept)
        spec_fini(&spec);
}

static int write_groups(struct store *s, const struct parts *p, struct jw *j, struct err *e)
{
    struct stmt *q = store_ask(s, Q_GROUP_OF_NAME, "tti", p->name.swarm, p->name.name, p->name.incarnation);
    int rc;
    jw_kv_array(j, "groups");
    while ((rc = stmt_step(q, e)) == 1)
        jw_string(j, col_text(q, 0));
    jw_array_close(j);
    return rc;
}

static int write_aliases(struct store *s, const struct parts *p, struct jw *j, struct err *e)
{
    struct stmt *q = store_ask(s, Q_ALIASES, "tti", p->name.swarm, p->name.name, p->name.incarnation);
    int rc;
    jw_kv_array(j, "aliases");
    while ((rc = stmt_step(q, e)) == 1)
        jw_string(j, col_text(q, 0));
    jw_array_close(j);
    return rc;
}

int show_child_as(struct store *s, const struct frozen *f, const char *swarm, const char *name,
                  const char *ended, struct jw *j, char ret_rev[32], struct err *e)
{
    CLEANUP(parts_fini) struct parts p;
    AUTOSTR struct str spec = STR_INIT;
    int64_t rev;
    int rc = parts_load(s, &p, swarm, name, e);
    if (rc <= 0 || (rc = rev_of(s, swarm, name, true, &rev, e)) < 0)
        return rc;
    if (ended) { /* what becomes of it is known already */
        mem_replace(&p.child.status, ended);
        p.child.epoch = p.name.epoch;
        p.child.pid = 0;
    }
    jw_object(j);
    jw_kv_string(j, "swarm", swarm);
    jw_kv_string(j, "name", name);
    write_runtime(j, &p, f);
    jw_kv_i64_text(j, "rev", rev);
    show_spec(s, swarm, p.name.spec, &spec);
    jw_kv_raw(j, "spec", (struct span){str_get(&spec), spec.n});
    jw_kv_raw(j, "metadata", text(p.metadata.data, "{}"));
    if ((rc = write_groups(s, &p, j, e)) < 0 || (rc = write_aliases(s, &p, j, e)) < 0)
        return rc;
    write_replica(j, &p, f);
    jw_object_close(j);
    if (ret_rev)
        snprintf(ret_rev, 32, "%lld", (long long)rev);
    return 1;
}

int show_child(struct store *s, const struct frozen *f, const char *swarm, const char *name, struct jw *j,
               char ret_rev[32], struct err *e)
{
    return show_child_as(s, f, swarm, name, NULL, j, ret_rev, e);
}

void show_alias_members(const struct name_row *row, int64_t rev, struct jw *j)
{
    jw_kv_string(j, "swarm", row->swarm);
    jw_kv_string(j, "name", row->name);
    jw_kv_string(j, "kind", "alias");
    jw_kv_string(j, "child", row->address);
    jw_kv_i64_text(j, "epoch", row->epoch);
    jw_kv_raw(j, "metadata", text(row->metadata, "{}"));
    jw_kv_i64_text(j, "rev", rev);
}

int show_address(const struct name_row *row, int64_t expires_ms, int64_t rev, struct jw *j)
{
    jw_object(j);
    if (alias_is(row)) {
        show_alias_members(row, rev, j);
        jw_object_close(j);
        return 0;
    }
    jw_kv_string(j, "swarm", row->swarm);
    jw_kv_string(j, "name", row->name);
    jw_kv_string(j, "kind", "address");
    jw_kv_string(j, "address", row->address);
    jw_kv_i64_text(j, "epoch", row->epoch);
    jw_key(j, "ttl_ms");
    if (row->ttl_ms)
        jw_i64(j, row->ttl_ms);
    else
        jw_null(j);
    jw_kv_time(j, "expires_at", expires_ms ? expires_ms : row->expires_at);
    jw_kv_raw(j, "metadata", text(row->metadata, "{}"));
    jw_kv_i64_text(j, "rev", rev);
    jw_object_close(j);
    return 0;
}

void show_event(struct stmt *q, const char *node, struct jw *j)
{
    jw_object(j);
    AUTOFREE char *id = mem_printf("%s:%lld", node, (long long)col_i64(q, 0));
    jw_kv_string(j, "id", id);
    jw_kv_string(j, "type", col_text(q, 2));
    jw_kv_time(j, "at", col_i64(q, 1));
    jw_kv_string(j, "node", col_is_null(q, 5) ? node : col_text(q, 5));
    jw_kv_string(j, "swarm", col_text(q, 3));
    jw_kv_string(j, "name", col_text(q, 4));
    if (!col_is_null(q, 6))
        jw_kv_i64_text(j, "epoch", col_i64(q, 6));
    if (!col_is_null(q, 7))
        jw_kv_string(j, "who", col_text(q, 7));
    jw_kv_raw(j, "data", text(col_text(q, 8), NULL));
    jw_object_close(j);
}
