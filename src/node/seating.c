/* This file refuses to know who may take a process (target.c) and which of those is preferred (choice.c). */
#include "node/seating.h"

#include <stdio.h>
#include <string.h>

#include "node/brain.h"
#include "node/swarm.h"

struct seating_some {
    char *key; /* what was named, one a line */
    struct places places;
    UT_hash_handle hh;
};

/* What others see as we do: a node that is full is one that may take it, as room is counted anew each time.
 */
static uint64_t signature(struct node *n, const char *swarm, const struct places *p)
{
    uint64_t sum = swarm_topology(n, swarm);
    char id[ID_TEXT];
    for (size_t i = 0; i < p->n; i++) {
        uint64_t why = p->why[i] == TARGET_FULL ? TARGET_TAKES : p->why[i];
        uint64_t weight = (uint64_t)(p->list[i].weight * 100 + 0.5);
        sum += prng_mix(place_hash("", id_text(&p->list[i].id, id)) ^ prng_mix(weight << 8 | why));
    }
    return prng_mix(sum);
}

void seating_init(struct node *n, const char *swarm, size_t count, bool only_plan, struct seating *ret)
{
    const struct settings *settings = node_settings(n, swarm);
    *ret = (struct seating){.n = n, .swarm = swarm, .only_plan = only_plan};
    own_targets(n, swarm, NULL, NULL, &ret->all);
    ret->all.choice.only_plan = only_plan;
    ret->room = mem_array(ret->all.n, sizeof *ret->room);
    ret->limited = settings->max_children > 0;
    for (size_t i = 0; i < ret->all.n; i++) {
        struct peer *p = peer_find(n, &ret->all.list[i].id);
        int64_t max = p ? p->max_children : n->o.children_max;
        ret->room[i] = swarm_room_left(n, settings, swarm, p ? p->actor : n->actor, max, (int64_t)count);
        ret->limited |= max > 0;
    }
    ret->signature = signature(n, swarm, &ret->all);
}

void seating_fini(struct seating *s)
{
    struct seating_some *some, *next;
    HASH_ITER(hh, s->some, some, next)
    {
        HASH_DEL(s->some, some);
        places_fini(&some->places);
        free(some->key);
        free(some);
    }
    places_fini(&s->all);
    free(TAKE(s->room));
}

void seating_text(const struct seating *s, char ret[17])
{
    snprintf(ret, 17, "%016llx", (unsigned long long)s->signature);
}

static struct places *places_of(struct seating *s, char *const *nodes)
{
    AUTOSTR struct str key = STR_INIT;
    struct seating_some *some;
    if (!nodes || !nodes[0])
        return &s->all;
    for (char *const *p = nodes; *p; p++)
        str_printf(&key, "%s\n", *p);
    HASH_FIND_STR(s->some, str_get(&key), some);
    if (!some) {
        some = mem_alloc(sizeof *some);
        some->key = str_take(&key);
        own_targets(s->n, s->swarm, nodes, NULL, &some->places);
        some->places.choice.only_plan = s->only_plan;
        HASH_ADD_KEYPTR(hh, s->some, some->key, strlen(some->key), some);
    }
    return &some->places;
}

struct places *seating_places(struct seating *s, char *const *nodes)
{
    struct places *p = places_of(s, nodes);
    ensure(p->n == s->all.n, "candidates are all the nodes, in one order");
    for (size_t i = 0; i < p->n; i++)
        if (p->list[i].eligible && s->room[i] <= 0) {
            p->list[i].eligible = false;
            p->why[i] = TARGET_FULL;
        }
    return p;
}

int seating_pick(struct seating *s, struct places *from, const char *name)
{
    int at = choice_pick(s->n, &from->choice, from->list, from->n, s->swarm, name);
    if (at >= 0)
        s->room[at]--;
    return at;
}

void seating_follow(struct seating *s, size_t at)
{
    s->room[at]--;
    choice_given(s->n, &s->all.choice, &s->all.list[at].id, at, s->swarm);
}
