/* This file refuses to know who may take a process (target.c), and how a node is measured (board.c). */
#include "node/choice.h"

#include <string.h>

#include "base/list.h"
#include "node/brain.h"
#include "node/settings.h"

#define COUNTED_A_MS 100 /* children for which a count is kept 1 ms: counting costs that much more */

/* ---- what each node has of a swarm ---- */

struct counted_node {
    int64_t actor, has;
};

struct counted {
    char *swarm;
    struct counted_node *nodes;
    size_t n, cap;
    int64_t at_ms, all;
    UT_hash_handle hh;
};

static void counted_read(struct node *n, struct counted *c)
{
    struct stmt *q = store_ask(n->store, Q_NAME_SPREAD, "t", c->swarm);
    c->n = 0;
    c->all = 0;
    while (stmt_step(q, NULL) == 1) {
        ARRAY_GROW(c->nodes, c->n, c->cap);
        c->nodes[c->n++] = (struct counted_node){col_i64(q, 0), col_i64(q, 1)};
        c->all += col_i64(q, 1);
    }
    c->at_ms = n->now_ms;
}

static struct counted *counted_of(struct node *n, const char *swarm)
{
    struct counted *c;
    HASH_FIND_STR(n->counted, swarm, c);
    if (c && n->now_ms - c->at_ms < c->all / COUNTED_A_MS)
        return c;
    if (!c) {
        c = mem_alloc(sizeof *c);
        c->swarm = mem_dup(swarm);
        HASH_ADD_KEYPTR(hh, n->counted, c->swarm, strlen(c->swarm), c);
    }
    counted_read(n, c);
    return c;
}

static int64_t *counted_at(struct counted *c, int64_t actor)
{
    for (size_t i = 0; i < c->n; i++)
        if (c->nodes[i].actor == actor)
            return &c->nodes[i].has;
    ARRAY_GROW(c->nodes, c->n, c->cap);
    c->nodes[c->n] = (struct counted_node){.actor = actor};
    return &c->nodes[c->n++].has;
}

int64_t choice_count(struct node *n, const char *swarm, const struct id *node)
{
    return *counted_at(counted_of(n, swarm), own_actor_of(n, node));
}

/* The number of a zone: nodes with the same value of the label, and all without one, share it. */
static int zone_of(struct node *n, const char *label, const struct id *id, struct json_strings *values)
{
    const struct peer *p = peer_find(n, id);
    const char *labels = p ? p->labels : n->o.labels;
    struct str value = STR_INIT;
    struct span has = labels ? json_raw_member(labels, strlen(labels), label) : (struct span){NULL, 0};
    if (has.p)
        json_unquote(has, &value);
    size_t i = 0;
    while (i < values->n && strcmp(values->list[i], str_get(&value)) != 0)
        i++;
    if (i < values->n)
        str_fini(&value);
    else
        values->list[values->n++] = str_take(&value);
    return (int)i;
}

static void loads_init(struct node *n, const char *swarm, const char *label, const struct place_node *list,
                       size_t count, struct choice *ret)
{
    struct counted *c = counted_of(n, swarm);
    struct json_strings zones = {.list = mem_array(count + 1, sizeof *zones.list)};
    ret->loads = mem_array(count, sizeof *ret->loads);
    for (size_t i = 0; i < count; i++) {
        ret->loads[i].has = *counted_at(c, own_actor_of(n, &list[i].id));
        ret->loads[i].zone = label ? zone_of(n, label, &list[i].id, &zones) : 0;
    }
    json_strings_fini(&zones);
}

/* ---- what each was given since the scoreboard was written ---- */

struct given {
    char *key; /* "node id/swarm" */
    int64_t at, count;
    UT_hash_handle hh;
};

static struct given *given_of(struct node *n, const char *swarm, const char *node, int64_t at)
{
    AUTOFREE char *key = mem_printf("%s/%s", node, swarm);
    struct given *g;
    HASH_FIND_STR(n->given, key, g);
    if (!g) {
        g = mem_alloc(sizeof *g);
        g->key = TAKE(key);
        HASH_ADD_KEYPTR(hh, n->given, g->key, strlen(g->key), g);
    }
    if (g->at != at) {
        g->at = at;
        g->count = 0;
    }
    return g;
}

/* Its row of the scoreboard. False: it has none. */
static bool score_row_of(struct node *n, const char *node, int64_t *ret_at, int *ret_score)
{
    struct score_row row = {.node = mem_dup(node)};
    bool is_there = store_load(n->store, T_SCORE, &row, NULL) == 1;
    *ret_at = row.at;
    *ret_score = (int)row.permille;
    row_fini(T_SCORE, &row);
    return is_there;
}

/* Who is not on it yet counts as the mean of the others. */
static void scores_init(struct node *n, const char *swarm, const struct place_node *list, size_t count,
                        struct choice *ret)
{
    char id[ID_TEXT];
    int64_t known = 0, sum = 0;
    struct score_node *scores = mem_array(count, sizeof *scores);
    for (size_t i = 0; i < count; i++) {
        int64_t at;
        int score;
        scores[i] = (struct score_node){.id = list[i].id, .eligible = list[i].eligible};
        if (!list[i].eligible || !score_row_of(n, id_text(&list[i].id, id), &at, &score))
            continue;
        scores[i].capacity = score_capacity(score);
        scores[i].given = given_of(n, swarm, id, at)->count;
        sum += scores[i].capacity;
        known++;
    }
    for (size_t i = 0; known && i < count; i++)
        if (scores[i].capacity == 0) {
            scores[i].capacity = sum / known;
            scores[i].given = given_of(n, swarm, id_text(&list[i].id, id), 0)->count;
        }
    if (known)
        ret->scores = TAKE(scores);
    free(scores);
}

/* ---- choosing ---- */

void choice_init(struct node *n, const char *swarm, const struct settings *s, const struct place_node *list,
                 size_t count, struct choice *ret)
{
    AUTOFREE char *label = strategy_text(&s->distribution, "spread");
    *ret = (struct choice){.kind = s->distribution.kind};
    if (ret->kind == DISTRIBUTION_LOAD_BALANCER)
        scores_init(n, swarm, list, count, ret);
    if (ret->kind != DISTRIBUTION_CONSISTENT_HASH)
        return;
    ret->bound_percent = strategy_int(&s->distribution, "bound_percent", 0);
    ret->spread = label != NULL;
    if (ret->bound_percent || ret->spread)
        loads_init(n, swarm, label, list, count, ret);
}

void choice_fini(struct choice *c)
{
    free(c->loads);
    free(c->scores);
    *c = (struct choice){0};
}

static int by_hash(const struct choice *c, const struct place_node *list, size_t count, uint64_t hash)
{
    if (!c->loads)
        return place_pick(list, count, hash);
    AUTOFREE struct place_node *some = mem_array(count, sizeof *some);
    memcpy(some, list, count * sizeof *some);
    if (c->spread)
        place_spread(some, c->loads, count);
    return c->bound_percent ? place_pick_bounded(some, c->loads, count, c->bound_percent, hash)
                            : place_pick(some, count, hash);
}

void choice_given(struct node *n, struct choice *c, const struct id *id, size_t i, const char *swarm)
{
    char text[ID_TEXT];
    struct given *g;
    if (c->loads) {
        c->loads[i].has++;
        if (!c->only_plan)
            ++*counted_at(counted_of(n, swarm), own_actor_of(n, id));
    }
    if (c->scores) {
        c->scores[i].given++;
        AUTOFREE char *key = mem_printf("%s/%s", id_text(id, text), swarm);
        HASH_FIND_STR(n->given, key, g);
        if (g && !c->only_plan)
            g->count++;
    }
}

int choice_pick(struct node *n, struct choice *c, const struct place_node *list, size_t count,
                const char *swarm, const char *name)
{
    bool chance = c->kind == DISTRIBUTION_RANDOM;
    for (size_t i = 0; c->scores && i < count; i++) /* one may be full by now */
        c->scores[i].eligible &= list[i].eligible;
    int at = c->scores ? score_pick(c->scores, count)
                       : by_hash(c, list, count, chance ? node_random(n) : place_hash(swarm, name));
    if (at >= 0)
        choice_given(n, c, &list[at].id, (size_t)at, swarm);
    return at;
}

double choice_score(const struct choice *c, const struct place_node *list, size_t i, const char *swarm,
                    const char *name)
{
    if (c->kind == DISTRIBUTION_RANDOM)
        return -1;
    if (c->scores)
        return (double)(c->scores[i].given + 1) / (double)c->scores[i].capacity;
    return place_cost(&list[i], place_hash(swarm, name));
}

void choices_fini(struct node *n)
{
    struct counted *c, *next;
    struct given *g, *g_next;
    HASH_ITER(hh, n->counted, c, next)
    {
        HASH_DEL(n->counted, c);
        free(c->swarm);
        free(c->nodes);
        free(c);
    }
    HASH_ITER(hh, n->given, g, g_next)
    {
        HASH_DEL(n->given, g);
        free(g->key);
        free(g);
    }
}
