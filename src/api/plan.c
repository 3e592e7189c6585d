/* plan: a dry run of placing. The same candidates and the same choice as of a start (node/target.c,
 * node/choice.c), with what they decided by written down instead of a claim.
 *
 * Names of one plan count for each other, as those of a batch do. What others start at the same time does
 * not: a plan is what would happen now, no reservation.
 */
#include "api/plan.h"

#include <string.h>

#include "node/batch.h"
#include "node/settings.h"
#include "node/swarm.h"

#define REASONED_MAX 1000 /* names of a plan that say what each node was to them */

struct planning {
    struct node *n;
    const char *swarm;
    struct jw *j;
    struct seating seats;
    bool reasons;
};

static void write_candidate(struct planning *p, const struct places *t, size_t i, const char *name)
{
    char id[ID_TEXT];
    double score = t->list[i].eligible ? choice_score(&t->choice, t->list, i, p->swarm, name) : -1;
    jw_object(p->j);
    jw_kv_string(p->j, "node", node_name_of(p->n, id_text(&t->list[i].id, id)));
    jw_kv_bool(p->j, "takes", t->list[i].eligible);
    jw_kv_string(p->j, "reason", t->list[i].eligible ? NULL : target_word(t->why[i]));
    jw_kv_i64(p->j, "weight", (int64_t)(t->list[i].weight * 100 + 0.5));
    if (score >= 0)
        jw_kv_real(p->j, "score", score);
    else
        jw_kv_null(p->j, "score");
    if (t->choice.loads)
        jw_kv_i64(p->j, "children", t->choice.loads[i].has);
    if (t->choice.scores && t->list[i].eligible)
        jw_kv_i64(p->j, "capacity", t->choice.scores[i].capacity);
    jw_object_close(p->j);
}

void plan_candidates(struct node *n, const char *swarm, const char *name, char *const *nodes, struct jw *j)
{
    struct planning p = {.n = n, .swarm = swarm, .j = j};
    CLEANUP(places_fini) struct places t = {0};
    own_targets(n, swarm, nodes && nodes[0] ? nodes : NULL, NULL, &t);
    t.choice.only_plan = true;
    for (size_t i = 0; i < t.n; i++)
        write_candidate(&p, &t, i, name);
}

static const char *why(const struct choice *c)
{
    switch ((enum distribution)c->kind) {
    case DISTRIBUTION_RANDOM:
        return "by chance: the start itself may choose another";
    case DISTRIBUTION_GUIDED:
        return "its specification names it";
    case DISTRIBUTION_LOAD_BALANCER:
        return c->scores ? "the most capacity left for what it was given"
                         : "the least score by name: the scoreboard is empty";
    case DISTRIBUTION_CONSISTENT_HASH:
        break;
    }
    if (c->spread && c->bound_percent)
        return "the least score by name within its bound, in the zone with the fewest";
    if (c->spread)
        return "the least score by name in the zone with the fewest";
    return c->bound_percent ? "the least score by name within its bound" : "the least score by name";
}

static int write_running(struct planning *p, const char *name)
{
    struct name_row row = {.swarm = mem_dup(p->swarm), .name = mem_dup(name)};
    int rc = store_load(p->n->store, T_NAME, &row, &p->n->fault);
    jw_kv_string(p->j, "runs_on", rc == 1 && row.owner ? node_name_of(p->n, row.owner) : NULL);
    row_fini(T_NAME, &row);
    return rc < 0 ? rc : 0;
}

static int write_name(struct planning *p, const struct plan_name *one)
{
    char id[ID_TEXT];
    struct id home = own_home(p->n, p->swarm, one->name);
    struct places *t = seating_places(&p->seats, one->nodes);
    jw_object(p->j);
    jw_kv_string(p->j, "name", one->name);
    jw_kv_string(p->j, "home", node_name_of(p->n, id_text(&home, id)));
    if (p->reasons) {
        jw_kv_array(p->j, "candidates");
        for (size_t i = 0; i < t->n; i++)
            write_candidate(p, t, i, one->name);
        jw_array_close(p->j);
    }
    jw_kv_array(p->j, "passed_over");
    for (size_t i = 0; i < t->n; i++)
        if (!t->list[i].eligible) {
            AUTOFREE char *text =
                mem_printf("%s %s", node_name_of(p->n, id_text(&t->list[i].id, id)), target_word(t->why[i]));
            jw_string(p->j, text);
        }
    jw_array_close(p->j);
    int to = seating_pick(&p->seats, t, one->name);
    if (to >= 0 && p->seats.limited && batch_is_free(p->n, p->swarm, one->name) == 0)
        p->seats.room[to]++; /* what runs has its room */
    jw_kv_string(p->j, "node", to < 0 ? NULL : node_name_of(p->n, id_text(&t->list[to].id, id)));
    jw_kv_string(p->j, "why", to < 0 ? "no node may take it" : why(&t->choice));
    int rc = write_running(p, one->name);
    jw_object_close(p->j);
    return rc;
}

int plan_answer(struct node *n, struct op *op, const char *swarm, const struct plan_name *names, size_t count)
{
    struct str body = STR_INIT;
    struct jw j = jw_init(&body);
    struct planning p = {.n = n, .swarm = swarm, .j = &j, .reasons = count <= REASONED_MAX};
    const struct settings *settings = node_settings(n, swarm);
    AUTOFREE char *signature = mem_printf("%016llx", (unsigned long long)swarm_topology(n, swarm));
    int rc = 0;
    seating_init(n, swarm, count, true, &p.seats);
    jw_object(&j);
    jw_kv_bool(&j, "dry_run", true);
    jw_kv_string(&j, "swarm", swarm);
    jw_kv_string(&j, "distribution", settings_distribution(settings));
    jw_kv_bool(&j, "deterministic", settings_deterministic(settings));
    jw_kv_string(&j, "topology_signature", signature);
    jw_kv_array(&j, "plan");
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = write_name(&p, &names[i]);
    jw_array_close(&j);
    jw_object_close(&j);
    jw_end(&j);
    seating_fini(&p.seats);
    if (rc < 0)
        str_fini(&body);
    else
        op_answer(n, op, answer_json(200, &body));
    return rc;
}

int plan_check(struct node *n, const char *swarm, const char *field, const char *name,
               const struct json_strings *nodes, struct err *e)
{
    if (node_settings(n, swarm)->distribution.kind != DISTRIBUTION_GUIDED)
        return 0;
    if (nodes->n == 1 && nodes->list[0][0] != '!' && !strpbrk(nodes->list[0], "*?"))
        return 0;
    if (nodes->n == 1)
        return err_field(
            e, SKEP_EARG, field,
            "invalid_child_mapping: swarm %.100s is guided, and %.200s names a pattern, not a node", swarm,
            name);
    if (nodes->n == 0)
        return err_field(e, SKEP_EARG, field,
                         "missing_child_mapping: swarm %.100s is guided, so each child says its node; %.200s "
                         "does not",
                         swarm, name);
    return err_field(
        e, SKEP_EARG, field,
        "child_replication_mismatch: swarm %.100s keeps one copy of a child, and %.200s names %zu "
        "nodes",
        swarm, name, nodes->n);
}
