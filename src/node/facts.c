/* facts: see facts.h. What a row of "child" says of the registry is decided by two rows of it and nothing
 * else, so that every node says the same of the same rows; of rows that were replaced before they came
 * nothing is said.
 */
#include "node/facts.h"

#include <string.h>

#include "base/hlc.h"
#include "node/brain.h"
#include "wire/json.h"

#define AT_ONCE 1000 /* of one event */

struct gathered {
    enum gathered_kind kind;
    char *node; /* that tells it; NULL: this one */
    char *swarm, *name, *json;
    bool written;
};

/* ---- many as one ---- */

static void one_free(struct gathered *g)
{
    free(g->node);
    free(g->swarm);
    free(g->name);
    free(g->json);
    *g = (struct gathered){0};
}

/* One more of these; json: the members of its object, without braces. */
static void gather(struct node *n, enum gathered_kind kind, const char *by, const char *swarm,
                   const char *name, char *json TAKES)
{
    struct facts *f = &n->facts;
    node_touch(n, &f->n, sizeof f->n);
    if (f->n < f->filled) {
        one_free(&f->list[f->n]); /* of a handler that failed */
    } else {
        ARRAY_GROW(f->list, f->filled, f->cap);
        f->filled++;
    }
    f->list[f->n++] = (struct gathered){kind, mem_dup(by), mem_dup(swarm), mem_dup(name), json, false};
}

void facts_clear(struct node *n)
{
    for (size_t i = 0; i < n->facts.filled; i++)
        one_free(&n->facts.list[i]);
    n->facts.n = n->facts.filled = 0;
    told_clear(n);
}

void facts_fini(struct node *n)
{
    facts_clear(n);
    free(TAKE(n->facts.list));
}

static const char *const kinds[] = {[GATHER_STARTING] = "pre_children_start",
                                    [GATHER_STARTED] = "post_children_start",
                                    [GATHER_TAKEN] = "pre_children_redistribution",
                                    [GATHER_MOVED] = "migration_completed"};

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

/* All that are like the i-th, up to AT_ONCE. */
static int write_like(struct node *n, size_t i)
{
    struct facts *f = &n->facts;
    const struct gathered first = f->list[i];
    AUTOSTR struct str data = STR_INIT;
    size_t count = 0;
    str_puts(&data, "{\"children\":[");
    for (; i < f->n && count < AT_ONCE; i++) {
        struct gathered *g = &f->list[i];
        if (g->written || g->kind != first.kind || !same_text(g->node, first.node) ||
            strcmp(g->swarm, first.swarm) != 0)
            continue;
        str_printf(&data, "%s{%s}", count++ ? "," : "", g->json);
        g->written = true;
    }
    str_puts(&data, first.kind == GATHER_TAKEN   ? "],\"event\":\"node_leave\"}"
                    : first.kind == GATHER_MOVED ? "],\"migration\":\"cold_swap\"}"
                                                 : "]}");
    const char *name = count == 1 ? first.name : NULL;
    return first.node ? node_told(n, kinds[first.kind], first.swarm, name, first.node, 0, str_get(&data))
                      : node_log(n, kinds[first.kind], first.swarm, name, n->name, 0, NULL, str_get(&data));
}

int facts_write(struct node *n)
{
    int rc = 0;
    for (size_t i = 0; i < n->facts.n; i++) /* again if the transaction is */
        n->facts.list[i].written = false;
    for (size_t i = 0; rc == 0 && i < n->facts.n; i++)
        if (!n->facts.list[i].written)
            rc = write_like(n, i);
    return rc;
}

void facts_taken(struct node *n, const char *by, const char *swarm, const char *name, const char *from,
                 const char *to)
{
    struct str json = STR_INIT;
    struct jw j = jw_init(&json);
    jw_kv_string(&j, "name", name);
    jw_kv_array(&j, "old_nodes");
    jw_string(&j, from ? from : "");
    jw_array_close(&j);
    jw_kv_array(&j, "new_nodes");
    jw_string(&j, to);
    jw_array_close(&j);
    gather(n, GATHER_TAKEN, by, swarm, name, str_take(&json));
}

void facts_moved(struct node *n, const char *by, const char *swarm, const char *name, const char *to)
{
    struct str json = STR_INIT;
    struct jw j = jw_init(&json);
    jw_kv_string(&j, "name", name);
    jw_kv_string(&j, "node", to);
    gather(n, GATHER_MOVED, by, swarm, name, str_take(&json));
}

static void start(struct node *n, enum gathered_kind kind, const char *by, const struct child_row *row)
{
    struct str json = STR_INIT;
    struct jw j = jw_init(&json);
    jw_kv_string(&j, "name", row->name);
    jw_kv_i64_text(&j, "epoch", row->epoch);
    jw_kv_i64(&j, "restarts", row->restarts);
    if (kind == GATHER_STARTED) {
        jw_kv_string(&j, "result", row->reason ? "start_failed" : "ok");
        jw_kv_i64(&j, "pid", row->reason ? 0 : row->pid);
    }
    if (row->reason)
        jw_kv_raw(&j, "reason", (struct span){row->reason, strlen(row->reason)});
    gather(n, kind, by, row->swarm, row->name, str_take(&json));
}

void facts_start_here(struct node *n, enum gathered_kind kind, const struct child_row *row)
{
    start(n, kind, NULL, row);
}

/* ---- the registry ---- */

static bool is(const char *text, const char *word)
{
    return text && strcmp(text, word) == 0;
}

static bool ended(const struct child_row *r)
{
    return is(r->status, "gone") || is(r->status, "failed") || is(r->status, "stopped");
}

/* It ran, and is on its way up again if it does not. */
static bool published(const struct child_row *r)
{
    return r->started_at && r->status && !ended(r);
}

/* The same process under its claim: what comes now is the next run of it, where it was. The rows between may
 * have been replaced on the way. */
static bool is_again(const struct child_row *old, const struct child_row *now)
{
    bool up = is(old->status, "running") || is(old->status, "stopping") || is(old->status, "moving");
    return old->epoch == now->epoch && old->node && now->node && strcmp(old->node, now->node) == 0 &&
           (up ||
            old->started_at >= hlc_ms(old->epoch)); /* else it ran somewhere else, under another claim */
}

static int say(struct node *n, const char *type, const struct child_row *at, const struct child_row *now,
               bool told)
{
    AUTOSTR struct str data = STR_INIT;
    struct jw j = jw_init(&data);
    const char *node = at->node ? node_name_of(n, at->node) : NULL;
    jw_object(&j);
    jw_kv_string(&j, "node", node);
    if (at == now && now->pid)
        jw_kv_i64(&j, "pid", now->pid);
    if (at == now && now->pid)
        jw_kv_i64(&j, "restarts", now->restarts);
    if (at != now && now->reason)
        jw_kv_raw(&j, "reason", (struct span){now->reason, strlen(now->reason)});
    jw_object_close(&j);
    jw_end(&j);
    return (told ? node_told(n, type, now->swarm, now->name, node, now->epoch, str_get(&data))
                 : node_log(n, type, now->swarm, now->name, node, now->epoch, NULL, str_get(&data)));
}

int facts_registry(struct node *n, const struct child_row *old, const struct child_row *now, bool told)
{
    bool was = published(old);
    if (was && ended(now))
        return say(n, "child_unregistered", old, now, told);
    bool here = was && old->node && now->node && strcmp(old->node, now->node) == 0;
    if (!is(now->status, "running") || (here && old->pid == now->pid))
        return 0;
    return say(n, is_again(old, now) ? "child_pid_updated" : "child_registered", now, now, told);
}

/* A start that came to be told of, once: its row before it ran may have been replaced on the way. */
void facts_start(struct node *n, const struct child_row *old, const struct child_row *now)
{
    const char *by = node_name_of(n, now->node);
    bool same = old->epoch == now->epoch && old->restarts == now->restarts && is(old->status, "starting");
    bool failed = now->reason && strstr(now->reason, "\"start_failed\"") && !is(old->status, now->status);
    bool up =
        is(now->status, "running") && !(old->epoch == now->epoch && old->pid == now->pid &&
                                        old->started_at == now->started_at && is(old->status, "running"));
    struct child_row pre = *now;
    pre.reason = NULL;
    if ((up || is(now->status, "starting")) && !same)
        start(n, GATHER_STARTING, by, &pre);
    if (up || failed)
        start(n, GATHER_STARTED, by, up ? &pre : now);
}

static const char *const telling[] = {"running", "gone", "failed", "stopped"};

bool facts_status_matters(const char *status)
{
    for (size_t i = 0; i < COUNT(telling); i++)
        if (is(status, telling[i]))
            return true;
    return false;
}

/* ---- a redistribution ---- */

void facts_change(struct node *n, struct peer *p, bool joins)
{
    node_touch(n, &p->change, sizeof p->change);
    node_touch(n, &p->change_said, sizeof p->change_said);
    p->change = joins ? 1 : -1;
    p->change_said = false;
}

static int say_nodes(struct node *n, const char *type, int change, bool said)
{
    AUTOSTR struct str data = STR_INIT;
    struct jw j = jw_init(&data);
    struct peer *p;
    int count = 0;
    jw_object(&j);
    jw_kv_string(&j, "event", change > 0 ? "node_join" : "node_leave");
    jw_kv_array(&j, "nodes");
    TAILQ_FOREACH (p, &n->peers, link)
        if (p->change == change && p->change_said == said && p->name) {
            jw_string(&j, p->name);
            count++;
        }
    jw_array_close(&j);
    jw_object_close(&j);
    jw_end(&j);
    return count ? node_log(n, type, NULL, NULL, n->name, 0, NULL, str_get(&data)) : 0;
}

int facts_redistribution_begins(struct node *n, bool *ret_anew)
{
    struct peer *p;
    *ret_anew = false;
    if (!node_open_now(n))
        return 0;
    TAILQ_FOREACH (p, &n->peers, link)
        *ret_anew |= p->change && !p->change_said;
    int rc = *ret_anew ? say_nodes(n, "pre_redistribution", -1, false) : 0;
    if (rc == 0 && *ret_anew)
        rc = say_nodes(n, "pre_redistribution", 1, false);
    TAILQ_FOREACH (p, &n->peers, link)
        if (p->change && !p->change_said) {
            node_touch(n, &p->change_said, sizeof p->change_said);
            p->change_said = true;
        }
    return rc;
}

int facts_redistribution_ends(struct node *n)
{
    struct peer *p;
    bool some = false;
    int rc = 0;
    if (!node_open_now(n))
        return 0;
    TAILQ_FOREACH (p, &n->peers, link)
        if (rc == 0 && p->change && p->change_said) {
            const char *name = p->name ? p->name : "";
            rc = p->change > 0 ? node_log(n, "post_node_join", NULL, NULL, name, 0, NULL, NULL)
                               : node_log(n, "post_node_leave", NULL, NULL, name, 0, NULL, NULL);
            some = true;
        }
    if (rc == 0 && some)
        rc = say_nodes(n, "post_redistribution", -1, true);
    if (rc == 0 && some)
        rc = say_nodes(n, "post_redistribution", 1, true);
    TAILQ_FOREACH (p, &n->peers, link)
        if (p->change && p->change_said) {
            node_touch(n, &p->change, sizeof p->change);
            p->change = 0;
        }
    return rc;
}
