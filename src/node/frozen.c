/* frozen: publishes what the brain knows and no row says, for the threads that answer reads and pings. */
#include "node/frozen.h"

#include <stdlib.h>
#include <string.h>

#include "node/brain.h"

#define READY_AFTER_MS 10000 /* a first pull that takes longer has timed out */

static void node_fini(struct frozen_node *f)
{
    free(f->name);
    free(f->url);
    free(f->version);
    free(f->role);
    free(f->labels);
    free(f->link);
}

static void token_fini(struct frozen_token *t)
{
    free(t->token);
    free(t->hash);
    free(t->name);
    free(t->role);
    free(t->swarm);
}

const struct frozen *frozen_ref(const struct frozen *f)
{
    atomic_fetch_add(&((struct frozen *)(uintptr_t)f)->refs, 1);
    return f;
}

void frozen_unref(const struct frozen *shared)
{
    struct frozen *f = (struct frozen *)(uintptr_t)shared;
    if (!f || atomic_fetch_sub(&f->refs, 1) > 1)
        return;
    for (int i = 0; i < f->nodes_n; i++)
        node_fini(&f->nodes[i]);
    for (int i = 0; i < f->tokens_n; i++)
        token_fini(&f->tokens[i]);
    free(f->nodes);
    free(f->tokens);
    free(f->forgotten);
    free(f->name);
    free(f->url);
    free(f->version);
    free(f->commander);
    free(f);
}

const struct frozen_node *frozen_node(const struct frozen *f, const char *name)
{
    char text[ID_TEXT];
    for (int i = 0; i < f->nodes_n; i++)
        if (strcmp(f->nodes[i].name, name) == 0 || strcmp(id_text(&f->nodes[i].id, text), name) == 0)
            return &f->nodes[i];
    return NULL;
}

bool frozen_forgotten(const struct frozen *f, const struct id *node)
{
    for (int i = 0; i < f->forgotten_n; i++)
        if (id_equal(&f->forgotten[i], node))
            return true;
    return false;
}

const char *frozen_name_of(const struct frozen *f, const char *id_text_)
{
    const struct frozen_node *n = id_text_ ? frozen_node(f, id_text_) : NULL;
    return n ? n->name : id_text_;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct frozen_node *)a)->name, ((const struct frozen_node *)b)->name);
}

static struct frozen_node of_self(struct node *n)
{
    return (struct frozen_node){.id = n->self,
                                .name = mem_dup(n->name),
                                .url = mem_dup(n->url),
                                .version = mem_dup(n->o.version),
                                .labels = mem_dup(n->o.labels),
                                .max_children = n->o.children_max,
                                .liveness = LIVENESS_HEALTHY,
                                .self = true,
                                .left = n->left,
                                .draining = n->draining,
                                .member = n->member,
                                .in_view = true,
                                .actor = n->actor,
                                .started_at_ms = n->started_at_ms,
                                .load = children_count(n),
                                .weight = n->view.self.weight,
                                .clock_off_ms = watch_off_ms(n, NULL)};
}

static struct frozen_node of_peer(struct node *n, struct peer *p)
{
    const struct view_node *v = view_find(&n->view, &p->id);
    enum liveness l = p->down ? LIVENESS_DOWN : p->known ? p->liveness : LIVENESS_SUSPECT;
    int64_t behind = vv_get(&n->vv, n->actor) - vv_get(&p->vv, n->actor);
    return (struct frozen_node){.id = p->id,
                                .name = mem_dup(p->name ? p->name : p->url),
                                .url = mem_dup(p->url),
                                .version = mem_dup(p->version ? p->version : ""),
                                .link = p->left ? NULL : way_text(n, p),
                                .labels = mem_dup(p->labels),
                                .max_children = p->max_children,
                                .down_at_ms = p->down ? n->real_ms - (n->now_ms - p->down_since_ms) : 0,
                                .liveness = l,
                                .left = p->left,
                                .draining = p->draining,
                                .member = p->member,
                                .in_view = v && v->in_view,
                                .actor = p->actor,
                                .born = p->born,
                                .started_at_ms = p->born >> 16,
                                .rtt_ms = rtt_last_ms(&p->detector.rtt),
                                .avg_rtt_ms = rtt_avg_ms(&p->detector.rtt),
                                .load = p->load,
                                .lag_ms = behind > 0 ? behind >> 16 : 0,
                                .weight = p->weight,
                                .clock_off_ms = watch_off_ms(n, p)};
}

static void nodes_of(struct node *n, struct frozen *f)
{
    struct peer *p;
    int count = 1;
    TAILQ_FOREACH (p, &n->peers, link)
        count++;
    f->nodes = mem_array((size_t)count, sizeof *f->nodes);
    f->nodes[f->nodes_n++] = of_self(n);
    TAILQ_FOREACH (p, &n->peers, link)
        if (!id_is_zero(&p->id))
            f->nodes[f->nodes_n++] = of_peer(n, p);
    qsort(f->nodes, (size_t)f->nodes_n, sizeof *f->nodes, by_name);
}

static void roles_of(struct node *n, struct frozen *f)
{
    struct node_mark_row mark = {0};
    struct stmt *q = store_ask(n->store, Q_NODE_MARKS, "");
    while (store_next(q, T_NODE_MARK, &mark, NULL) == 1) {
        struct frozen_node *node = (struct frozen_node *)(uintptr_t)frozen_node(f, mark.node);
        if (node && mark.role)
            mem_replace(&node->role, mark.role);
    }
}

static void tokens_of(struct node *n, struct frozen *f)
{
    struct token_row t = {0};
    size_t cap = 0, count = 0;
    struct stmt *q = store_ask(n->store, Q_TOKENS, "");
    while (store_next(q, T_TOKEN, &t, NULL) == 1) {
        ARRAY_GROW(f->tokens, count, cap);
        f->tokens[count++] = (struct frozen_token){TAKE(t.token), TAKE(t.hash), TAKE(t.name), TAKE(t.role),
                                                   TAKE(t.swarm), t.expires_at, t.used_at};
    }
    f->tokens_n = (int)count;
}

static void forgotten_of(struct node *n, struct frozen *f)
{
    if (n->forgotten_n == 0)
        return;
    f->forgotten = mem_copy(n->forgotten, n->forgotten_n * sizeof *n->forgotten);
    f->forgotten_n = (int)n->forgotten_n;
}

static struct frozen *freeze(struct node *n)
{
    struct frozen *f = mem_alloc(sizeof *f);
    atomic_init(&f->refs, 1);
    f->cluster = n->cluster;
    f->self = n->self;
    f->boot = n->boot;
    f->name = mem_dup(n->name);
    f->url = mem_dup(n->url);
    f->version = mem_dup(n->o.version);
    f->actor = n->actor;
    f->born = n->born;
    f->started_at_ms = n->started_at_ms;
    f->published_boot_ms = n->now_ms;
    f->member = n->member && !n->resync.wanted && !watch_refused(n);
    f->open = n->view.open;
    f->draining = n->draining;
    f->leaving = n->leaving;
    f->left = n->left;
    f->ready = n->born > 0 && (n->ready || n->now_ms - n->opened_first_ms > READY_AFTER_MS);
    f->copying = resync_goes_on(n);
    f->signature = n->view.signature;
    f->life = n->life;
    struct id commander = board_commander(n);
    char id[ID_TEXT];
    f->commander = mem_dup(node_name_of(n, id_text(&commander, id)));
    f->score = board_said(n);
    f->clock_line_ms = n->watch.clock.line_ms;
    f->pid = n->o.pid;
    f->keeper_pid = n->o.keeper_pid;
    f->counters = n->counters;
    f->counters.children = children_count(n);
    f->counters.pull_pause_ms = n->gossip.pause_ms;
    f->counters.wal_bytes = db_wal_bytes(store_db(n->store));
    struct op *op;
    TAILQ_FOREACH (op, &n->ops, link)
        f->counters.ops_waiting++;
    nodes_of(n, f);
    roles_of(n, f);
    tokens_of(n, f);
    forgotten_of(n, f);
    return f;
}

/* Tokens and swarms: what the threads of I/O decide by. */
void node_settings_merged(struct node *n)
{
    n->frozen_dirty = true;
    n->unsettled = true;
    poke_changed(n);
}

/* Held for two instructions: a reference must be taken before the last one is given up. */
static void lock(struct node *n)
{
    while (atomic_flag_test_and_set_explicit(&n->frozen_lock, memory_order_acquire))
        ;
}

static void unlock(struct node *n)
{
    atomic_flag_clear_explicit(&n->frozen_lock, memory_order_release);
}

void node_publish(struct node *n)
{
    if (!n->frozen_dirty)
        return;
    n->frozen_dirty = false;
    n->frozen_at_ms = n->now_ms;
    if (n->opened_first_ms == 0)
        n->opened_first_ms = n->now_ms;
    const struct frozen *fresh = freeze(n), *old;
    lock(n);
    old = n->frozen;
    n->frozen = fresh;
    unlock(n);
    frozen_unref(old);
}

const struct frozen *node_frozen(struct node *n)
{
    lock(n);
    const struct frozen *f = frozen_ref(n->frozen);
    unlock(n);
    return f;
}
