/* swarm: who serves what. Rows, limits, and what follows when they change; where a process goes is
 * target.c's.
 */
#include "node/swarm.h"

#include <string.h>

#include "base/hlc.h"
#include "core/place.h"
#include "node/child.h"

#define META_JOINED   "swarms_joined" /* names, one a line, that this node was told to serve */
#define SEATS_KEPT_MS 500
#define SEATS_SURE    100 /* so many of them others may have given away meanwhile */

/* ---- who serves ---- */

static bool has_joined(struct store *s, const char *swarm, const char *node)
{
    struct serve_row row = {.swarm = (char *)(uintptr_t)swarm, .node = (char *)(uintptr_t)node};
    struct stamp stamp;
    bool dead = true;
    return store_version(s, T_SERVE, &row, &stamp, &dead, NULL) == 1 && !dead;
}

bool swarm_serves(struct store *s, const struct settings *settings, const char *swarm, const struct id *node,
                  const char *name, const char *labels)
{
    char id[ID_TEXT];
    id_text(node, id);
    if (settings->has_nodes && (settings->nodes.n == 0 || !settings_means(settings->nodes.list, name, id)))
        return false;
    return settings_labels(&settings->labels, labels) &&
           (settings->serve == SERVE_ALL || has_joined(s, swarm, id));
}

bool swarm_serves_here(struct node *n, const char *swarm)
{
    return *swarm == 0 ||
           swarm_serves(n->store, node_settings(n, swarm), swarm, &n->self, n->name, n->o.labels);
}

uint64_t swarm_signature(uint64_t view, const struct settings *settings, const struct id *serving, size_t n)
{
    uint64_t sum = prng_mix(view ^ place_hash("", settings->text));
    for (size_t i = 0; i < n; i++) {
        char text[ID_TEXT];
        sum += place_hash("", id_text(&serving[i], text));
    }
    return prng_mix(sum);
}

uint64_t swarm_topology(struct node *n, const char *swarm)
{
    const struct settings *settings = node_settings(n, swarm);
    AUTOFREE struct id *ids = mem_array(n->view.n + 1, sizeof *ids);
    size_t count = 0;
    struct peer *p;
    if (swarm_serves_here(n, swarm))
        ids[count++] = n->self;
    TAILQ_FOREACH (p, &n->peers, link) {
        const struct view_node *v = view_find(&n->view, &p->id);
        if (v && v->member && v->in_view &&
            swarm_serves(n->store, settings, swarm, &p->id, p->name ? p->name : "", p->labels))
            ids[count++] = p->id;
    }
    uint64_t board =
        settings->distribution.kind == DISTRIBUTION_LOAD_BALANCER ? board_signature(n->store) : 0;
    return swarm_signature(n->view.signature ^ board, settings, ids, count);
}

/* ---- room ----
 *
 * What a node owns is counted in its rows, which takes as long as it owns many: so the number is kept for a
 * moment, with what was claimed meanwhile added. Who is near its limit is counted anew each time: a place
 * that is free again must be found. The node itself counts what runs, and has the last word. */

struct seats {
    char *key; /* "actor/swarm"; no swarm: all of the node */
    int64_t owned, at_ms;
    UT_hash_handle hh;
};

static struct seats *seats_find(struct node *n, const char *swarm, int64_t actor)
{
    AUTOFREE char *key = mem_printf("%lld/%s", (long long)actor, swarm);
    struct seats *r;
    HASH_FIND_STR(n->seats, key, r);
    return r;
}

static void seats_free(struct node *n, struct seats *r)
{
    HASH_DEL(n->seats, r);
    free(r->key);
    free(r);
}

static struct seats *seats_of(struct node *n, const char *swarm, int64_t actor)
{
    struct seats *r = seats_find(n, swarm, actor);
    if (r)
        return r;
    r = mem_alloc(sizeof *r);
    r->key = mem_printf("%lld/%s", (long long)actor, swarm);
    r->at_ms = INT64_MIN;
    HASH_ADD_KEYPTR(hh, n->seats, r->key, strlen(r->key), r);
    return r;
}

/* How many of `wanted` there are for. max 0: no limit. */
static int64_t seats_for(struct node *n, const char *swarm, int64_t actor, int64_t max, int64_t wanted)
{
    if (max == 0)
        return wanted;
    struct seats *r = seats_of(n, swarm, actor);
    bool kept = r->at_ms != INT64_MIN && n->now_ms - r->at_ms < SEATS_KEPT_MS;
    if (kept && r->owned + SEATS_SURE + wanted <= max)
        return wanted;
    r->owned = store_number(n->store, Q_NAME_ROOM, 0, "iti", actor, swarm, max);
    r->at_ms = n->now_ms;
    return wanted < max - r->owned ? wanted : max - r->owned;
}

int64_t swarm_room_left(struct node *n, const struct settings *settings, const char *swarm, int64_t actor,
                        int64_t max_children, int64_t wanted)
{
    return seats_for(n, swarm, actor, settings->max_children, seats_for(n, "", actor, max_children, wanted));
}

bool swarm_room(struct node *n, const struct settings *settings, const char *swarm, int64_t actor,
                int64_t max_children)
{
    return *swarm == 0 || swarm_room_left(n, settings, swarm, actor, max_children, 1) > 0;
}

/* What a rollback takes back is counted for a moment all the same. */
void swarm_taken(struct node *n, const char *swarm, int64_t actor)
{
    struct seats *all = seats_find(n, "", actor), *some = *swarm ? seats_find(n, swarm, actor) : NULL;
    if (all)
        all->owned++;
    if (some)
        some->owned++;
}

static int64_t running(struct node *n, const char *swarm)
{
    struct child *c, *next;
    int64_t count = 0;
    HASH_ITER(hh, n->children, c, next)
    count += c->s.run && strcmp(c->swarm, swarm) == 0;
    return count;
}

bool swarm_room_here(struct node *n, const char *swarm)
{
    int64_t max = node_settings(n, swarm)->max_children;
    return (n->o.children_max == 0 || n->children_run < n->o.children_max) &&
           (max == 0 || running(n, swarm) < max);
}

/* Those of runs that are over stay behind: now and then all begin anew. */
void swarm_seats_fini(struct node *n)
{
    struct seats *r, *next;
    HASH_ITER(hh, n->seats, r, next)
    seats_free(n, r);
}

/* ---- this node's rows ---- */

static bool in_lines(const char *lines, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = lines; p && *p; p = strchrnul(p, '\n'), p += *p == '\n')
        if (strncmp(p, name, n) == 0 && (p[n] == '\n' || p[n] == 0))
            return true;
    return false;
}

bool swarm_declared(const struct node *n, const char *swarm)
{
    for (char *const *p = n->o.serves; p && *p; p++)
        if (strcmp(*p, swarm) == 0)
            return true;
    return false;
}

bool swarm_exists(struct node *n, const char *swarm)
{
    struct swarm_row row = {.swarm = (char *)(uintptr_t)swarm};
    struct stamp stamp;
    bool dead = true;
    return strcmp(swarm, "default") == 0 ||
           (store_version(n->store, T_SWARM, &row, &stamp, &dead, NULL) == 1 && !dead);
}

static int serve_write(struct node *n, const char *swarm)
{
    struct serve_row row = {.swarm = (char *)(uintptr_t)swarm, .node = n->self_text, .at = n->real_ms};
    if (!swarm_exists(n, swarm) || has_joined(n->store, swarm, n->self_text))
        return 0;
    int rc = store_save(n->store, T_SERVE, &row, &n->fault);
    if (rc == 0)
        rc = node_log(n, "swarm_joined", swarm, NULL, n->name, 0, NULL, NULL);
    swarm_changed(n);
    return rc;
}

static int serve_kill(struct node *n, const struct serve_row *row)
{
    int rc = store_kill(n->store, T_SERVE, row, 0, &n->fault);
    if (rc == 0)
        rc = node_log(n, "swarm_left", row->swarm, NULL, node_name_of(n, row->node), 0, NULL, NULL);
    swarm_changed(n);
    return rc;
}

/* Of all rows those that `which` picks are killed. */
static int serve_kill_some(struct node *n, bool (*which)(struct node *n, const struct serve_row *row))
{
    struct serve_row *rows = NULL, row = {0};
    size_t count = 0, cap = 0;
    struct stmt *q = store_ask(n->store, Q_SERVES, "");
    int rc;
    while ((rc = store_next(q, T_SERVE, &row, &n->fault)) == 1) {
        if (!which(n, &row))
            continue;
        ARRAY_GROW(rows, count, cap);
        rows[count++] = row;
        row = (struct serve_row){0};
    }
    for (size_t i = 0; i < count; i++) {
        if (rc == 0)
            rc = serve_kill(n, &rows[i]);
        row_fini(T_SERVE, &rows[i]);
    }
    free(rows);
    row_fini(T_SERVE, &row);
    return rc;
}

static bool is_not_wanted(struct node *n, const struct serve_row *row)
{
    if (strcmp(row->node, n->self_text) != 0 || swarm_declared(n, row->swarm))
        return false;
    AUTOFREE char *joined = store_meta(n->store, META_JOINED);
    return !in_lines(joined, row->swarm) || !swarm_exists(n, row->swarm);
}

int swarm_keep(struct node *n)
{
    AUTOFREE char *joined = store_meta(n->store, META_JOINED);
    int rc = serve_kill_some(n, is_not_wanted);
    for (char *const *p = n->o.serves; rc == 0 && p && *p; p++)
        rc = serve_write(n, *p);
    char *rest = joined;
    for (char *line; rc == 0 && (line = strsep(&rest, "\n"));)
        rc = *line ? serve_write(n, line) : 0;
    return rc;
}

/* The list without this name, and with it at its end if it is to be there. */
static int joined_set(struct node *n, const char *swarm, bool is_there)
{
    AUTOFREE char *joined = store_meta(n->store, META_JOINED);
    AUTOSTR struct str list = STR_INIT;
    char *rest = joined;
    for (char *line; (line = strsep(&rest, "\n"));)
        if (*line && strcmp(line, swarm) != 0)
            str_printf(&list, "%s\n", line);
    if (is_there)
        str_printf(&list, "%s\n", swarm);
    bool same = strcmp(str_get(&list), joined ? joined : "") == 0;
    return same ? 0 : store_meta_set(n->store, META_JOINED, str_get(&list), &n->fault);
}

int swarm_join(struct node *n, const char *swarm)
{
    int rc = joined_set(n, swarm, true);
    return rc < 0 ? rc : serve_write(n, swarm);
}

int swarm_leave(struct node *n, const char *swarm)
{
    struct serve_row row = {.swarm = (char *)(uintptr_t)swarm, .node = n->self_text};
    int rc = joined_set(n, swarm, false);
    return rc < 0 || !has_joined(n->store, swarm, n->self_text) ? rc : serve_kill(n, &row);
}

int swarm_ended(struct node *n, const char *swarm)
{
    int rc = joined_set(n, swarm, false);
    return rc < 0 ? rc : swarm_keep(n);
}

/* Whether a run of this node wrote it. */
static bool is_ours(struct node *n, int64_t actor)
{
    struct actor_row row = {.actor = actor};
    bool ours =
        store_load(n->store, T_ACTOR, &row, NULL) == 1 && row.node && strcmp(row.node, n->self_text) == 0;
    row_fini(T_ACTOR, &row);
    return ours;
}

/* Joined or left after the backup that this folder was restored from: the list is older than the row. What
 * others took away was away too long, and is made again. */
int swarm_serve_merged(struct node *n, const char *swarm, const struct remote_row *row)
{
    bool forgotten = !row->dead && !swarm_declared(n, swarm);
    int rc = forgotten || (row->dead && is_ours(n, row->stamp.actor)) ? joined_set(n, swarm, forgotten) : 0;
    return rc < 0 ? rc : swarm_keep(n);
}

/* ---- rows of those that are gone ---- */

/* When a node wrote that it has left, real ms; 0: it has not. */
static int64_t left_at(struct node *n, const char *node)
{
    struct node_row row = {.node = mem_dup(node)};
    struct stamp stamp;
    bool left = store_load(n->store, T_NODE, &row, NULL) == 1 && row.state && strcmp(row.state, "left") == 0;
    left = left && store_version(n->store, T_NODE, &row, &stamp, NULL, NULL) == 1;
    row_fini(T_NODE, &row);
    return left ? hlc_ms(stamp.hlc) : 0;
}

static bool is_gone(struct node *n, const struct serve_row *row)
{
    struct id id;
    AUTOSTR struct str key = STR_INIT;
    if (!id_parse(row->node, &id) || id_equal(&id, &n->self))
        return false;
    struct peer *p = peer_find(n, &id);
    bool gone = node_is_forgotten(n, &id);
    if (!gone && p && p->left)
        gone = left_at(n, row->node) && n->real_ms - left_at(n, row->node) >= SWARM_GONE_KEEP_MS;
    else if (!gone && p)
        gone = p->down && n->now_ms - p->down_since_ms >= SWARM_GONE_KEEP_MS;
    store_key(T_SERVE, row, &key);
    return gone && own_is_home(n, "", str_get(&key));
}

int swarm_sweep(struct node *n)
{
    swarm_seats_fini(n);
    int rc = node_open_now(n) ? serve_kill_some(n, is_gone) : 0;
    return rc < 0 ? rc : swarm_keep(n);
}

/* ---- when something has changed ---- */

static void changed(struct node *n, void *arg UNUSED)
{
    n->unsettled = true;
    n->frozen_dirty = true;
    if (n->unplaced)
        own_scan(n);
    n->unplaced = false;
}

void swarm_changed(struct node *n)
{
    eff_do(n, changed, NULL, NULL);
}

int swarm_settle(struct node *n)
{
    struct child *c, *next;
    int rc = 0;
    if (!n->unsettled)
        return 0;
    HASH_ITER(hh, n->children, c, next)
    {
        bool may_stay = !c->s.run || c->s.is_asked || c->s.session || swarm_serves_here(n, c->swarm);
        if (rc == 0 && !may_stay)
            rc = child_stop(n, c->swarm, c->name, EXIT_ASKED_MOVE);
    }
    node_touch(n, &n->unsettled, sizeof n->unsettled);
    n->unsettled = false;
    return rc;
}
