/* target: weighted rendezvous over the nodes that may take a process. */
#include "node/brain.h"
#include "node/spec.h"
#include "node/swarm.h"

#define SHOWN_NODES 8

static enum target_why alive(struct node *n, const struct peer *p)
{
    const struct view_node *v = p ? view_find(&n->view, &p->id) : NULL;
    if (p && (!v || !v->member || !v->in_view || p->left))
        return TARGET_AWAY;
    if (!p && (!n->member || n->leaving))
        return TARGET_AWAY;
    if (p ? p->draining : n->draining)
        return TARGET_DRAINS;
    if (p ? p->weight == 0 : n->view.self.weight == 0)
        return TARGET_CLOCK;
    return p && !peer_placeable(n, p) ? TARGET_AWAY : TARGET_TAKES;
}

struct asked {
    const char *swarm;
    const struct settings *settings;
    char *const *nodes;
    const struct id *not_this;
};

/* p NULL: this node. */
static enum target_why judge(struct node *n, const struct asked *a, const struct peer *p)
{
    char text[ID_TEXT];
    const struct id *id = p ? &p->id : &n->self;
    const char *name = p ? p->name ? p->name : "" : n->name;
    enum target_why why = alive(n, p);
    if (why != TARGET_TAKES)
        return why;
    if (a->not_this && id_equal(a->not_this, id))
        return TARGET_NOT_THIS;
    if (!settings_means(a->nodes, name, id_text(id, text)))
        return TARGET_UNNAMED;
    if (*a->swarm && !swarm_serves(n->store, a->settings, a->swarm, id, name, p ? p->labels : n->o.labels))
        return TARGET_NO_SERVE;
    return swarm_room(n, a->settings, a->swarm, p ? p->actor : n->actor,
                      p ? p->max_children : n->o.children_max)
               ? TARGET_TAKES
               : TARGET_FULL;
}

/* Who cannot have processes of the swarm at all has no weight among those that share them. */
static bool shares(enum target_why why)
{
    return why == TARGET_TAKES || why == TARGET_FULL || why == TARGET_UNNAMED || why == TARGET_NOT_THIS;
}

static void add(struct places *p, const struct id *id, int64_t weight, enum target_why why)
{
    p->list[p->n] = (struct place_node){*id, shares(why) ? (double)weight / 100 : 0, why == TARGET_TAKES};
    p->why[p->n++] = why;
}

void own_targets(struct node *n, const char *swarm, char *const *nodes, const struct id *not_this,
                 struct places *ret)
{
    const struct asked a = {swarm, node_settings(n, swarm), nodes, not_this};
    struct peer *p;
    size_t max = 1;
    TAILQ_FOREACH (p, &n->peers, link)
        max++;
    *ret =
        (struct places){.list = mem_array(max, sizeof *ret->list), .why = mem_array(max, sizeof *ret->why)};
    add(ret, &n->self, n->view.self.weight, judge(n, &a, NULL));
    TAILQ_FOREACH (p, &n->peers, link)
        if (p->member)
            add(ret, &p->id, p->weight, judge(n, &a, p));
    choice_init(n, swarm, a.settings, ret->list, ret->n, &ret->choice);
}

void own_takers(struct node *n, const struct name_row *row, struct places *ret)
{
    struct spec spec;
    char *const *nodes = NULL;
    spec_defaults(&spec);
    if (row->spec && spec_parse(row->spec, &spec, NULL) == 0)
        nodes = spec.nodes.list;
    own_targets(n, row->swarm, nodes, NULL, ret);
    spec_fini(&spec);
}

const char *target_word(enum target_why why)
{
    switch (why) {
    case TARGET_TAKES:
    case TARGET_NOT_THIS:
        break;
    case TARGET_AWAY:
        return "is away";
    case TARGET_CLOCK:
        return "has a wrong clock";
    case TARGET_DRAINS:
        return "is draining";
    case TARGET_UNNAMED:
        return "is not among \"nodes\"";
    case TARGET_NO_SERVE:
        return "does not serve this swarm";
    case TARGET_FULL:
        return "is full (max_children)";
    }
    return "is where it is now";
}

int places_none(struct node *n, const struct places *p, struct err *e)
{
    AUTOSTR struct str list = STR_INIT;
    char id[ID_TEXT];
    for (size_t i = 0; i < p->n && i < SHOWN_NODES; i++)
        str_printf(&list, "%s%.63s %s", i ? ", " : "", node_name_of(n, id_text(&p->list[i].id, id)),
                   target_word(p->why[i]));
    if (p->n > SHOWN_NODES)
        str_printf(&list, ", and %zu more", p->n - SHOWN_NODES);
    return err_set(e, SKEP_ENONODE, "no node may take it: %s", str_get(&list));
}

bool own_target(struct node *n, const char *swarm, const char *name, char *const *nodes,
                const struct id *not_this, struct id *ret)
{
    CLEANUP(places_fini) struct places targets;
    own_targets(n, swarm, nodes, not_this, &targets);
    bool some = places_pick(n, &targets, swarm, name, ret);
    if (!some)
        n->unplaced = true;
    return some;
}
