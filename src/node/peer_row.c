/* peer_row: the others as their rows say, in memory; and what became of them, for the log and for who reads
 * the file. Opinions about them are peer.c's.
 */
#include <string.h>

#include "node/brain.h"
#include "wire/json.h"

int node_row_write(struct node *n, struct err *e)
{
    struct node_row row = {.node = n->self_text,
                           .boot = n->boot_text,
                           .name = n->name,
                           .state = n->left ? (char[]){"left"} : (char[]){"up"},
                           .url = n->url,
                           .version = (char *)(uintptr_t)n->o.version,
                           .actor = n->actor,
                           .draining = n->draining,
                           .labels = (char *)(uintptr_t)n->o.labels,
                           .max_children = n->o.children_max,
                           .member = n->member,
                           .schema = store_schema(n->store),
                           .started_at = n->started_at_ms,
                           .weight = n->o.weight};
    n->frozen_dirty = true;
    return store_set(n->store, T_NODE, &row, e);
}

static bool is_same(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

/* What it may be given, as it says itself. */
static void meet_room(struct node *n, struct peer *p, const struct node_row *row)
{
    bool news = !is_same(p->labels, row->labels) || p->max_children != row->max_children;
    if (!news)
        return;
    mem_replace(&p->labels, row->labels);
    p->max_children = row->max_children > 0 ? row->max_children : 0;
    n->unsettled = true;
    if (n->unplaced)
        own_scan(n);
}

static void meet_row(struct node *n, const struct node_row *row)
{
    struct id id;
    if (!id_parse(row->node, &id) || id_equal(&id, &n->self) || !peer_is_line(row->url, PEER_URL_MAX) ||
        node_is_forgotten(n, &id))
        return;
    struct peer *p = peer_find(n, &id);
    if (!p && (p = peer_by_url(n, row->url)) && id_is_zero(&p->id))
        p->id = id;
    if (!p)
        p = peer_new(n, &id, row->url);
    if (peer_is_line(row->name, PEER_NAME_MAX))
        peer_set_text(&p->name, row->name);
    if (row->member)
        p->member = p->joined = true;
    meet_room(n, p, row);
    if (row->actor == p->actor || p->actor == 0) {
        p->draining = row->draining != 0;
        p->left = row->state && strcmp(row->state, "left") == 0;
    }
}

bool node_is_forgotten(const struct node *n, const struct id *id)
{
    for (size_t i = 0; i < n->forgotten_n; i++)
        if (id_equal(&n->forgotten[i], id))
            return true;
    return false;
}

static int load_marks(struct node *n)
{
    struct node_mark_row mark = {0};
    struct stmt *q = store_ask(n->store, Q_NODE_MARKS, "");
    int rc;
    n->forgotten_n = 0;
    while ((rc = store_next(q, T_NODE_MARK, &mark, &n->fault)) == 1) {
        struct id id;
        if (mark.forgotten_at == 0 || !id_parse(mark.node, &id))
            continue;
        ARRAY_GROW(n->forgotten, n->forgotten_n, n->forgotten_cap);
        n->forgotten[n->forgotten_n++] = id;
    }
    return rc;
}

/* Rows of nodes as they are on disk, into memory: at the start and whenever one was merged or written. */
int peers_load(struct node *n)
{
    struct node_row row = {0};
    int rc = load_marks(n);
    struct stmt *q = store_ask(n->store, Q_NODES, "");
    while (rc == 0 && (rc = store_next(q, T_NODE, &row, &n->fault)) == 1) {
        meet_row(n, &row);
        rc = 0;
    }
    stmt_reset(q);
    struct peer *p, *next;
    TAILQ_FOREACH_SAFE(p, &n->peers, link, next)
    if (node_is_forgotten(n, &p->id)) {
        ops_lost(n, &p->id, 0);
        peer_drop(n, p);
        own_scan(n); /* what it held has no owner: we may not have seen it die */
    }
    n->frozen_dirty = true;
    return rc;
}

static void load_later(struct node *n, void *arg UNUSED)
{
    peers_load(n);
}

int node_row_merged(struct node *n, const char *node_id)
{
    eff_do(n, load_later, NULL, NULL);
    return node_id && strcmp(node_id, n->self_text) == 0 ? probe_own_row(n) : 0;
}

void peers_init(struct node *n)
{
    static const struct id nobody;
    n->away_changed = true; /* of the former run */
    for (char *const *url = n->o.peers; url && *url; url++)
        if (strcmp(*url, n->url) != 0 && !peer_by_url(n, *url))
            peer_new(n, &nobody, *url);
}

static bool may_join(const struct node *n)
{
    return !n->left && view_may_join(&n->view, n->now_ms) && !watch_frozen(n);
}

bool peers_have_work(const struct node *n)
{
    return n->peer_facts_n > 0 || n->away_changed || n->probe.met || may_join(n);
}

static void facts_written(struct node *n, void *arg UNUSED)
{
    n->peer_facts_n = 0;
}

static void away_written(struct node *n, void *arg UNUSED)
{
    n->away_changed = false;
}

/* Who is down, for who reads beside skepd: an opinion, so no row that others get. */
static int away_write(struct node *n)
{
    AUTOSTR struct str ids = STR_INIT;
    char id[ID_TEXT];
    struct peer *p;
    TAILQ_FOREACH (p, &n->peers, link)
        if (p->down && !id_is_zero(&p->id))
            str_printf(&ids, "%s%s", ids.n ? " " : "", id_text(&p->id, id));
    AUTOFREE char *old = store_meta(n->store, "away");
    eff_do(n, away_written, NULL, NULL);
    return strcmp(old ? old : "", str_get(&ids)) == 0
               ? 0
               : store_meta_set(n->store, "away", str_get(&ids), &n->fault);
}

static void joined(struct node *n, void *arg UNUSED)
{
    peers_view(n);
}

/* Where both of them run. */
static void clone_data(const struct peer *p, struct str *ret)
{
    struct jw j = jw_init(ret);
    jw_object(&j);
    jw_kv_array(&j, "urls");
    jw_string(&j, p->url);
    jw_string(&j, p->echo.url);
    jw_array_close(&j);
    jw_object_close(&j);
    jw_end(&j);
}

/* JSON, yours; NULL if there is nothing to say. */
static char *fact_data(struct node *n, const struct peer_fact *f, const struct peer *p)
{
    char id[ID_TEXT];
    struct str s = STR_INIT;
    if (p && p->echo.url && strcmp(f->type, "clone_seen") == 0) {
        clone_data(p, &s);
        return str_take(&s);
    }
    if (id_is_zero(&f->via))
        return NULL;
    struct jw j = jw_init(&s);
    jw_object(&j);
    jw_kv_string(&j, "via", node_name_of(n, id_text(&f->via, id)));
    jw_object_close(&j);
    return str_take(&s);
}

int peers_work(struct node *n)
{
    if (n->probe.met)
        return probe_work(n);
    for (size_t i = 0; i < n->peer_facts_n; i++) {
        struct peer *p = peer_find(n, &n->peer_facts[i].id);
        const char *name = p && p->name ? p->name : id_equal(&n->peer_facts[i].id, &n->self) ? n->name : "";
        AUTOFREE char *data = fact_data(n, &n->peer_facts[i], p);
        int rc = node_log(n, n->peer_facts[i].type, NULL, NULL, name, 0, NULL, data);
        if (rc < 0)
            return rc;
        if (p && text_starts(n->peer_facts[i].type, "pre_node_"))
            facts_change(n, p, strcmp(n->peer_facts[i].type, "pre_node_join") == 0);
    }
    eff_do(n, facts_written, NULL, NULL);
    int rc = n->away_changed ? away_write(n) : 0;
    if (rc < 0 || !may_join(n))
        return rc;
    node_touch(n, &n->member, sizeof n->member);
    n->member = true;
    rc = store_meta_set(n->store, "member", "1", &n->fault);
    if (rc == 0)
        rc = node_row_write(n, &n->fault);
    if (rc == 0)
        rc = node_log(n, "node_joined", NULL, NULL, n->name, 0, NULL, NULL);
    eff_do(n, joined, NULL, NULL);
    return rc;
}
