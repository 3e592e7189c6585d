/* poke: pokes, and what the settings of swarms say of them. When and what to pull is pull.c's. */
#include "node/poke.h"

#include <string.h>

#include "core/fanout.h"
#include "node/brain.h"
#include "node/settings.h"

#define ROWS_MAX 1000 /* of a commit that are looked at */

/* A swarm that gossips. */
struct rumour {
    char *swarm;
    size_t recipients;
};

/* ---- what swarms say ---- */

static void list_clear(struct gossip *w)
{
    while (w->n > 0)
        free(w->list[--w->n].swarm);
}

void poke_init(struct node *n)
{
    n->gossip = (struct gossip){.pause_ms = n->o.sync_ms};
}

void poke_fini(struct node *n)
{
    list_clear(&n->gossip);
    free(n->gossip.list);
}

void poke_changed(struct node *n)
{
    n->gossip.known = false;
}

static void swarm_says(struct gossip *w, const struct swarm_row *row)
{
    struct settings s;
    settings_parse(row->settings, &s);
    int64_t pause_ms = strategy_int(&s.synchronization, "sync_interval_ms", w->pause_ms);
    w->pause_ms = pause_ms < w->pause_ms ? pause_ms : w->pause_ms;
    if (s.synchronization.kind == SYNCHRONIZATION_GOSSIP) {
        ARRAY_GROW(w->list, w->n, w->cap);
        int64_t recipients = strategy_int(&s.synchronization, "recipients", FANOUT_PEERS);
        w->list[w->n++] = (struct rumour){mem_dup(row->swarm), (size_t)recipients};
    }
    settings_fini(&s);
}

static int swarms_read(struct node *n, struct gossip *w)
{
    struct swarm_row row = {0};
    struct stmt *q = store_ask(n->store, Q_SWARMS, "");
    int rc;
    while ((rc = store_next(q, T_SWARM, &row, NULL)) == 1)
        swarm_says(w, &row);
    stmt_reset(q);
    row_fini(T_SWARM, &row);
    return rc;
}

/* A shorter pause counts at once. */
static void hasten(struct node *n)
{
    struct peer *p;
    int64_t latest_ms = n->now_ms + n->gossip.pause_ms;
    n->draw_ms = n->draw_ms < latest_ms ? n->draw_ms : latest_ms;
    TAILQ_FOREACH (p, &n->peers, link)
        if (p->pull.failures == 0 && p->pull.next_ms != PULL_WHEN_DRAWN && p->pull.next_ms > latest_ms)
            p->pull.next_ms = latest_ms;
}

void poke_tick(struct node *n)
{
    struct gossip now = {.known = true, .pause_ms = n->o.sync_ms};
    if (n->gossip.known)
        return;
    if (swarms_read(n, &now) < 0) { /* what held before holds on */
        list_clear(&now);
        free(now.list);
        return;
    }
    poke_fini(n);
    n->gossip = now;
    n->frozen_dirty = true;
    hasten(n);
}

/* ---- how far a row is told ---- */

/* Whether its rows are of a swarm, and no settings of it, which concern every node. */
static bool is_of_swarm(enum table_id t)
{
    if (t == T_N || t == T_SWARM || t == T_SERVE)
        return false;
    const struct table *table = table_get(t);
    return strcmp(table->cols[table->key[0]].name, "swarm") == 0;
}

static const struct rumour *rumour_of(const struct gossip *w, enum table_id t, struct span key)
{
    AUTOSTR struct str memory = STR_INIT;
    struct val keys[TABLE_KEYS_MAX];
    if (w->n == 0 || !is_of_swarm(t) || !table_unkey(table_get(t), key, &memory, keys))
        return NULL;
    for (size_t i = 0; i < w->n; i++)
        if (strlen(w->list[i].swarm) == keys[0].n && memcmp(w->list[i].swarm, keys[0].p, keys[0].n) == 0)
            return &w->list[i];
    return NULL;
}

size_t poke_written(struct node *n)
{
    size_t most = 0;
    int64_t before = vv_get(&n->vv, n->actor);
    if (n->gossip.n == 0)
        return POKE_ALL;
    struct stmt *q = store_ask(n->store, Q_CHANGE_OF_ACTOR, "iii", n->actor, before, (int64_t)ROWS_MAX);
    while (most != POKE_ALL && stmt_step(q, NULL) == 1) {
        struct span tbl = {col_text(q, 0), col_bytes(q, 0)}, key = {col_text(q, 1), col_bytes(q, 1)};
        const struct rumour *r = rumour_of(&n->gossip, table_find(tbl), key);
        most = !r ? POKE_ALL : r->recipients > most ? r->recipients : most;
    }
    stmt_reset(q);
    return most ? most : POKE_ALL;
}

size_t poke_merged(struct node *n, enum table_id t, struct span key)
{
    const struct rumour *r = rumour_of(&n->gossip, t, key);
    if (!r)
        return fanout_is_mesh(peers_reached(n)) ? 0 : FANOUT_PEERS;
    return r->recipients + 1 < peers_reached(n) ? r->recipients : 0;
}

/* ---- telling ---- */

/* Good enough to be drawn: whoever failed has a time of its own, whoever is busy with us has been drawn. */
static bool is_candidate(const struct peer *p)
{
    return p->known && !p->down && !p->left && p->liveness == LIVENESS_HEALTHY && p->pull.failures == 0 &&
           !id_is_zero(&p->id);
}

void peers_draw(struct node *n, size_t want, const struct peer *but,
                void (*fn)(struct node *n, struct peer *p))
{
    AUTOFREE struct peer **list = mem_array(n->view.n + 1, sizeof *list);
    size_t count = 0, drawn[FANOUT_MESH_MAX];
    struct peer *p;
    TAILQ_FOREACH (p, &n->peers, link)
        if (p != but && is_candidate(p) && count <= n->view.n)
            list[count++] = p;
    size_t got = fanout_draw(&n->prng, count, want < COUNT(drawn) ? want : COUNT(drawn), drawn);
    for (size_t i = 0; i < got; i++)
        fn(n, list[drawn[i]]);
}

static void poke(struct node *n UNUSED, struct peer *p)
{
    p->mail.poke = true;
}

static void tell_all(struct node *n)
{
    struct peer *p;
    TAILQ_FOREACH (p, &n->peers, link)
        p->mail.poke |= p->known && !p->down;
}

void poke_others(struct node *n, size_t count, const struct peer *but)
{
    struct peer *p;
    size_t waiting = 0;
    if (count == POKE_ALL && fanout_is_mesh(peers_reached(n))) {
        tell_all(n);
        return;
    }
    count = count == POKE_ALL ? FANOUT_PEERS : count;
    TAILQ_FOREACH (p, &n->peers, link)
        waiting += p->mail.poke && p->mail.call == 0 && n->now_ms >= p->mail.next_ms;
    if (waiting < count)
        peers_draw(n, count, but, poke);
}

static void poke_now(struct node *n, void *arg)
{
    AUTOFREE struct id *node = arg;
    struct peer *p = peer_find(n, node);
    if (p)
        p->mail.poke = true;
}

void poke_node(struct node *n, const struct id *node)
{
    if (n->gossip.n > 0) /* otherwise as many are told as ever */
        eff_do(n, poke_now, mem_copy(node, sizeof *node), free);
}

void poke_home(struct node *n, const char *swarm, const char *name)
{
    if (n->gossip.n == 0)
        return;
    const struct id home = own_home(n, swarm, name);
    poke_node(n, &home);
}
