/* why: how it came that a name is where it is, from what this node has: the claim and who has it on disk, who
 * decides about it, what every node was to the choice if it were made now, what fenced it, what happened
 * last, and how far the others are behind. A handful of rows by their keys, however many names there are.
 */
#include <string.h>

#include "api/api.h"
#include "api/plan.h"
#include "base/hlc.h"
#include "node/child.h"
#include "node/spec.h"

#define EVENTS 10
#define FENCES 5

static void write_events(const struct call *c, const struct reading *r, enum query q, const char *key,
                         int64_t n, struct jw *j)
{
    struct stmt *s = store_ask(r->store, q, "tti", c->param[0], c->param[1], n);
    jw_kv_array(j, key);
    while (stmt_step(s, NULL) == 1)
        show_event(s, r->frozen->name, j);
    jw_array_close(j);
}

/* What a peer wrote may be anything. */
static struct span cause_of(const struct name_row *row)
{
    size_t n = row->cause ? strlen(row->cause) : 0;
    bool good = n && json_check(row->cause, n, NULL) == 0;
    return good ? (struct span){row->cause, n} : (struct span){NULL, 0};
}

static void write_claim(struct node *n, const struct frozen *f, const struct name_row *row, struct jw *j)
{
    struct stamp stamp = {0};
    int found = store_version(n->store, T_NAME, row, &stamp, NULL, &n->fault);
    jw_kv_object(j, "claim");
    jw_kv_string(j, "kind", row->kind);
    jw_kv_string(j, "owner", frozen_name_of(f, row->owner));
    jw_kv_i64_text(j, "owner_actor", row->owner_actor);
    jw_kv_i64_text(j, "epoch", row->epoch);
    jw_kv_time(j, "since", hlc_ms(row->since));
    jw_kv_i64_text(j, "incarnation", row->incarnation);
    jw_kv_string(j, "view", row->view);
    jw_kv_raw(j, "cause", cause_of(row));
    if (found == 1 && stamp.actor == n->actor) /* who wrote it hears who has it */
        jw_kv_i64(j, "copies", cover_count(n, stamp.hlc));
    else
        jw_kv_null(j, "copies");
    jw_object_close(j);
}

static void write_placement(struct node *n, const struct call *c, const struct name_row *row, struct jw *j)
{
    struct spec spec;
    char *const *nodes = NULL;
    spec_defaults(&spec);
    if (row && row->spec && spec_parse(row->spec, &spec, NULL) == 0)
        nodes = spec.nodes.list;
    jw_kv_array(j, "placement");
    plan_candidates(n, c->param[0], c->param[1], nodes, j);
    jw_array_close(j);
    spec_fini(&spec);
}

/* How far what each other node has of our writes is behind. */
static void write_lag(const struct frozen *f, struct jw *j)
{
    jw_kv_object(j, "lag");
    for (int i = 0; i < f->nodes_n; i++)
        if (!f->nodes[i].self && f->nodes[i].member && !f->nodes[i].left)
            jw_kv_i64(j, f->nodes[i].name, f->nodes[i].lag_ms);
    jw_object_close(j);
}

/* Where it came from, and what is wrong with it, as far as anything is. */
static void write_past(const struct name_row *row, struct span child, struct jw *j)
{
    AUTOSTR struct str s = STR_INIT, from = STR_INIT, why = STR_INIT, status = STR_INIT;
    struct span reason = json_raw_member(child.p, child.n, "reason");
    struct span cause = cause_of(row);
    if (cause.p) {
        json_unquote(json_raw_member(cause.p, cause.n, "from"), &from);
        json_unquote(json_raw_member(cause.p, cause.n, "why"), &why);
        str_printf(&s, "it came from node %s: %s.", str_get(&from), str_get(&why));
        jw_string(j, str_get(&s));
        str_clear(&s);
    }
    json_unquote(json_raw_member(child.p, child.n, "status"), &status);
    if (!status.n || strcmp(str_get(&status), "running") == 0)
        return;
    str_printf(&s, "its process is %s", str_get(&status));
    AUTOFREE char *text = reason.p ? mem_copy(reason.p, reason.n) : NULL;
    if (text && json_type(reason) == JSON_T_OBJECT) {
        str_puts(&s, ": ");
        child_reason_words(text, &s);
    }
    str_putc(&s, '.');
    jw_string(j, str_get(&s));
}

/* The same in sentences. */
static void write_because(struct node *n, const struct call *c, const struct name_row *row, struct span child,
                          const char *home, struct jw *j)
{
    AUTOSTR struct str s = STR_INIT;
    jw_kv_array(j, "because");
    if (row && alias_is(row))
        str_printf(&s, "%s is another name of the process %s.", c->param[1], row->address);
    else if (row)
        str_printf(&s, "%s is claimed %s%s under epoch %lld.", c->param[1], row->owner ? "for node " : "for ",
                   row->owner ? node_name_of(n, row->owner) : row->address, (long long)row->epoch);
    else
        str_printf(&s, "nobody holds the name %s in swarm %s.", c->param[1], c->param[0]);
    jw_string(j, str_get(&s));
    if (row && child.n)
        write_past(row, child, j);
    str_clear(&s);
    str_printf(&s, "its home, which decides about it, is node %s: %s.", home,
               node_open_now(n) ? "the nodes agree who is alive"
                                : "but the nodes do not agree yet who is alive");
    jw_string(j, str_get(&s));
    jw_array_close(j);
}

static void write_all(struct node *n, const struct call *c, const struct frozen *f,
                      const struct name_row *row, struct span child, struct jw *j)
{
    struct reading r = {n->store, f, n->real_ms, 0};
    struct id home_id = own_home(n, c->param[0], c->param[1]);
    char view[17], home_text[ID_TEXT];
    const char *home = node_name_of(n, id_text(&home_id, home_text));
    own_signature(n, view);
    jw_object(j);
    jw_kv_string(j, "swarm", c->param[0]);
    jw_kv_string(j, "name", c->param[1]);
    write_because(n, c, row, child, home, j);
    jw_kv_string(j, "home", home);
    jw_kv_bool(j, "open", node_open_now(n));
    jw_kv_string(j, "view", view);
    if (row)
        write_claim(n, f, row, j);
    else
        jw_kv_null(j, "claim");
    write_placement(n, c, row, j);
    write_lag(f, j);
    jw_kv_raw(j, "child", child);
    write_events(c, &r, Q_LOG_FENCES, "fences", FENCES, j);
    write_events(c, &r, Q_LOG_LAST, "events", EVENTS, j);
    jw_object_close(j);
}

static int why_serve(struct node *n, struct op *op, const struct call *c)
{
    struct str body = STR_INIT;
    AUTOSTR struct str child = STR_INIT;
    struct jw j = jw_init(&body), k = jw_init(&child);
    const struct frozen *f = node_frozen(n);
    struct name_row row = {.swarm = mem_dup(c->param[0]), .name = mem_dup(c->param[1])};
    int rc = store_load(n->store, T_NAME, &row, &n->fault);
    int shown = rc < 0 ? rc : show_child(n->store, f, c->param[0], c->param[1], &k, NULL, &n->fault);
    if (shown >= 0)
        write_all(n, c, f, rc == 1 ? &row : NULL,
                  shown ? (struct span){str_get(&child), child.n} : (struct span){NULL, 0}, &j);
    row_fini(T_NAME, &row);
    frozen_unref(f);
    if (shown < 0) {
        str_fini(&body);
        return shown;
    }
    op_answer(n, op, answer_json(200, &body));
    return 0;
}

const struct route why_routes[] = {
    {HTTP_M_GET, "/v1/swarms/{swarm}/children/{name}/why", ROLE_READ, API_BRAIN, API_BODY_BYTES, true, NULL,
     0, 0, NULL, NULL, why_serve,
     "Why a name is where it is: its claim, its home, the nodes it could be on, its fences and last events."},
    {0},
};
