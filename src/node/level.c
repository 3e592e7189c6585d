/* Each node moves only what it runs itself, by what it knows: two of them may give one too many to a new node
 * in the same second, which harms nobody. What names its nodes stays. */
#include "node/level.h"

#include <string.h>

#include "node/brain.h"
#include "node/child.h"
#include "node/settings.h"

#define JOINED_MS 300000

static bool has_joined(const struct node *n, const struct peer *p)
{
    return p && p->up_at_ms && n->now_ms - p->up_at_ms < JOINED_MS;
}

static bool someone_joined(const struct node *n)
{
    const struct peer *p;
    TAILQ_FOREACH (p, &n->peers, link)
        if (has_joined(n, p))
            return true;
    return false;
}

static struct child *movable(struct node *n, const char *swarm)
{
    struct child *c, *next;
    HASH_ITER(hh, n->children, c, next)
    if (c->s.run && c->s.published && !c->s.is_asked && !c->s.session && c->spec.nodes.n == 0 &&
        strcmp(c->swarm, swarm) == 0)
        return c;
    return NULL;
}

struct shares {
    int64_t children, capacity; /* of all that may take some */
};

/* What it has above its share, rounded towards doing nothing; < 0: what it lacks. */
static int64_t over(const struct shares *s, int64_t has, int64_t capacity)
{
    int64_t share = s->children * capacity, least = share / s->capacity;
    int64_t most = least + (share % s->capacity != 0);
    return has > most ? has - most : has < least ? has - least : 0;
}

/* Index of the node that joined and lacks the most, while this one has too many; -1. */
static int taker(struct node *n, const char *swarm, const struct places *t)
{
    struct shares s = {0};
    int best = -1;
    int64_t lacks = 0;
    for (size_t i = 0; i < t->n; i++)
        if (t->list[i].eligible) {
            s.children += choice_count(n, swarm, &t->list[i].id);
            s.capacity += t->choice.scores[i].capacity;
        }
    if (!t->list[0].eligible || over(&s, choice_count(n, swarm, &n->self), t->choice.scores[0].capacity) <= 0)
        return -1;
    for (size_t i = 1; i < t->n; i++) {
        int64_t more = t->list[i].eligible && has_joined(n, peer_find(n, &t->list[i].id))
                           ? over(&s, choice_count(n, swarm, &t->list[i].id), t->choice.scores[i].capacity)
                           : 0;
        if (more < lacks) {
            lacks = more;
            best = (int)i;
        }
    }
    return best;
}

static int level(struct node *n, const char *swarm)
{
    CLEANUP(places_fini) struct places t = {0};
    const struct settings *s = node_settings(n, swarm);
    char text[ID_TEXT];
    if (s->distribution.kind != DISTRIBUTION_LOAD_BALANCER ||
        !strategy_bool(&s->distribution, "nodeup_redistribution", false))
        return 0;
    own_targets(n, swarm, NULL, NULL, &t); /* this node is the first */
    int to = t.choice.scores ? taker(n, swarm, &t) : -1;
    struct child *c = to > 0 ? movable(n, swarm) : NULL;
    if (!c)
        return 0;
    mem_replace(&c->move_to, id_text(&t.list[to].id, text));
    int rc = node_log(n, "child_move_asked", swarm, c->name, n->name, c->s.epoch, NULL, NULL);
    return rc < 0 ? rc : child_stop(n, swarm, c->name, EXIT_ASKED_MOVE);
}

int level_tick(struct node *n)
{
    struct swarm_row row = {0};
    char **swarms = NULL;
    size_t count = 0, cap = 0;
    int rc = 0;
    if (!node_open_now(n) || watch_frozen(n) || n->leaving || n->draining || !someone_joined(n))
        return 0;
    struct stmt *q = store_ask(n->store, Q_SWARMS, "");
    while (store_next(q, T_SWARM, &row, NULL) == 1)
        if (row.settings && strstr(row.settings, "nodeup_redistribution")) {
            ARRAY_GROW(swarms, count, cap);
            swarms[count++] = mem_dup(row.swarm);
        }
    row_fini(T_SWARM, &row);
    for (size_t i = 0; i < count; i++) {
        if (rc == 0)
            rc = level(n, swarms[i]);
        free(swarms[i]);
    }
    free(swarms);
    return rc;
}
