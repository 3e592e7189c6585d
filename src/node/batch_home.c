/* batch_home: what the homes of the names of an operation answer, and what owners end for it.
 *
 * A part is answered in one transaction: what was claimed and the word of it are on disk together. Rules 1 to
 * 5 of who owns a name hold for each claim as for a single start: only the home of the name, only while its
 * view is open, never for a request that is older than what the name has seen. Where the part was put
 * together under this very view, whose homes they are is not computed again.
 *
 * Invariants
 *  1. Nothing is claimed for an operation that one other node does not have.
 *  2. A name with a claim of this operation is not claimed for it again.
 */
#include <string.h>

#include "base/hlc.h"
#include "node/batch.h"
#include "node/child.h"

struct answering {
    struct node *n;
    const struct operation_row *op;
    struct batch_options options;
    struct batch_head head;
    struct seating seating;
    size_t *placed; /* of the head's targets: which node of the seating; NULL: they are placed anew */
    bool trusted;   /* the part was put together under our view */
    bool stop, undo;
    size_t elsewhere;
    struct str forwarded; /* their names, as a JSON array */
    struct jw fj;
};

static bool is(const char *a, const char *b)
{
    return a && strcmp(a, b) == 0;
}

static void refused(struct batch_item *ret, int code, const char *detail)
{
    ret->is = IS_ERROR;
    ret->code = mem_dup(err_info(code)->word);
    ret->detail = mem_dup(detail);
}

/* ---- one name ---- */

struct there {
    struct name_row name;
    struct child_row child;
    struct stamp version;
    bool found, current;
};

static void there_fini(struct there *t)
{
    row_fini(T_NAME, &t->name);
    row_fini(T_CHILD, &t->child);
}

static int there_load(struct node *n, const char *swarm, const char *name, struct there *t)
{
    *t = (struct there){.name = {.swarm = mem_dup(swarm), .name = mem_dup(name)},
                        .child = {.swarm = mem_dup(swarm), .name = mem_dup(name)}};
    int rc = store_load(n->store, T_NAME, &t->name, &n->fault);
    int dead = rc == 1 ? alias_dead(n->store, &t->name, &n->fault) : rc;
    t->found = rc == 1 && dead == 0;
    if (dead < 0)
        return dead;
    if (t->found && (rc = store_load(n->store, T_CHILD, &t->child, &n->fault)) == 1)
        t->current = t->child.epoch == t->name.epoch;
    if (rc >= 0 && (!t->found || (t->current && is(t->child.status, "failed"))))
        rc = store_version(n->store, T_NAME, &t->name, &t->version, NULL, &n->fault);
    return rc < 0 ? rc : 0;
}

static bool is_free(const struct there *t)
{
    return !t->found || (is(t->name.kind, "child") && t->current && is(t->child.status, "failed"));
}

int batch_is_free(struct node *n, const char *swarm, const char *name)
{
    CLEANUP(there_fini) struct there t;
    int rc = there_load(n, swarm, name, &t);
    return rc < 0 ? rc : is_free(&t);
}

static void say_there(struct answering *a, const struct there *t, int what, struct batch_item *ret)
{
    ret->is = what;
    ret->epoch = t->name.epoch;
    ret->node = mem_dup(node_name_of(a->n, t->name.owner));
    ret->pid = t->current ? t->child.pid : 0;
}

static bool is_late(const struct answering *a, int64_t version)
{
    return version >= a->head.stamp || a->n->real_ms - hlc_ms(a->head.stamp) >= a->n->o.tombstone_min_ms;
}

static void late(const struct answering *a, struct batch_item *ret)
{
    if (a->head.unsure)
        refused(ret, SKEP_ETIMEOUT, "the node that was asked is gone; it may have been carried out");
    else
        ret->is = IS_LATE;
}

/* As the coordinator has placed it, if what it went by is what we see. */
static int target_of(struct answering *a, const struct batch_want *w, struct id *ret, struct err *e)
{
    struct seating *s = &a->seating;
    struct json_strings nodes;
    if (a->placed && w->to >= 0 && w->to < (int64_t)a->head.targets.n) {
        size_t at = a->placed[w->to];
        *ret = s->all.list[at].id;
        if (!is(a->op->node, a->n->self_text))
            seating_follow(s, at);
        return 0;
    }
    want_nodes(w, &nodes);
    struct places *from = seating_places(s, nodes.list);
    int at = seating_pick(s, from, w->name);
    json_strings_fini(&nodes);
    if (at < 0)
        return places_none(a->n, from, e);
    *ret = from->list[at].id;
    return 0;
}

static int claim(struct answering *a, const struct batch_want *w, const struct there *t,
                 struct batch_item *ret)
{
    struct node *n = a->n;
    struct id to;
    struct err e;
    if (target_of(a, w, &to, &e) < 0) {
        refused(ret, e.code, e.text);
        return 0;
    }
    AUTOFREE char *spec = mem_copy(w->spec.p, w->spec.n);
    struct own_start s = {.swarm = a->op->swarm,
                          .name = w->name,
                          .op = a->op->operation,
                          .who = a->op->who,
                          .spec = spec,
                          .metadata = w->metadata.p ? w->metadata : a->options.metadata,
                          .over = t->version.rank};
    char text[ID_TEXT];
    int rc = own_start(n, &s, &to, &ret->epoch);
    ret->is = IS_CLAIMED;
    ret->node = mem_dup(node_name_of(n, id_text(&to, text)));
    node_wake(n, a->op->swarm, w->name);
    return rc == 0 && id_equal(&to, &n->self) ? own_changed(n, a->op->swarm, w->name) : rc;
}

static int start_one(struct answering *a, const struct batch_want *w, struct there *t, struct batch_item *ret)
{
    if (t->found && is(t->name.op, a->op->operation)) {
        say_there(a, t, IS_CLAIMED, ret);
        ret->epoch = t->name.incarnation;
        return 0;
    }
    if (a->undo) {
        ret->is = IS_NONE;
        return 0;
    }
    if (t->found && !is(t->name.kind, "child")) {
        refused(ret, SKEP_ETAKEN, "the name is registered for an address");
        return 0;
    }
    if (!is_free(t)) {
        say_there(a, t, IS_EXISTING, ret);
        return 0;
    }
    if (!w->spec.p) { /* no coordinator asks that */
        refused(ret, SKEP_EARG, "it has no specification");
        return 0;
    }
    if (a->n->real_ms >= a->op->deadline) {
        refused(ret, SKEP_ETIMEOUT, "its time was up before it could be started");
        return 0;
    }
    if (is_late(a, t->version.hlc)) {
        late(a, ret);
        return 0;
    }
    return claim(a, w, t, ret);
}

static int stop_one(struct answering *a, struct there *t, struct batch_item *ret)
{
    if (!t->found || !is(t->name.kind, "child")) {
        refused(ret, SKEP_ENOTFOUND,
                t->found ? "the name is registered for an address" : "no process of this name runs");
        return 0;
    }
    if (t->name.incarnation >
        a->head.stamp) { /* a later life than the one that was meant, or we were behind */
        late(a, ret);
        return 0;
    }
    say_there(a, t, IS_FOUND, ret);
    ret->epoch = t->name.incarnation;
    return 0;
}

/* Of a check: only what speaks against it is said. */
static void check_one(struct answering *a, struct there *t, struct batch_item *ret)
{
    if (is_free(t) || is(t->name.op, a->op->operation))
        ret->is = IS_NONE;
    else
        say_there(a, t, IS_EXISTING, ret);
}

static int answer_one(struct answering *a, const struct batch_want *w, bool check, struct jw *j)
{
    CLEANUP(there_fini) struct there t = {0};
    struct batch_item item = {.name = mem_dup(w->name)};
    int rc = 0;
    if (!a->trusted && !own_is_home(a->n, a->op->swarm, w->name)) {
        item.is = IS_ELSEWHERE;
        a->elsewhere++;
        jw_string(&a->fj, w->name);
    } else if ((rc = there_load(a->n, a->op->swarm, w->name, &t)) == 0) {
        if (check)
            check_one(a, &t, &item);
        else
            rc = a->stop ? stop_one(a, &t, &item) : start_one(a, w, &t, &item);
    }
    if (rc == 0 && !(check && item.is == IS_NONE))
        item_write(j, &item);
    item_fini(&item);
    return rc;
}

/* ---- one part ---- */

static int say_forwarded(struct answering *a, int64_t part)
{
    AUTOSTR struct str data = STR_INIT;
    struct jw j = jw_init(&data);
    jw_object(&j);
    jw_kv_string(&j, "operation", a->op->operation);
    jw_kv_i64(&j, "part", part);
    jw_kv_raw(&j, "names", (struct span){str_get(&a->forwarded), a->forwarded.n});
    jw_object_close(&j);
    jw_end(&j);
    return node_log(a->n, "children_forwarded", a->op->swarm, NULL, a->n->name, a->op->epoch, a->op->who,
                    str_get(&data));
}

/* The nodes that the coordinator has placed by, where they are ours; else nothing. */
static void take_plan(struct answering *a, size_t count)
{
    struct node *n = a->n;
    const struct places *all = &a->seating.all;
    char text[17];
    seating_init(n, a->op->swarm, count, false, &a->seating);
    seating_text(&a->seating, text);
    bool same = is(a->head.seating, text);
    AUTOFREE size_t *placed = mem_array(a->head.targets.n, sizeof *placed);
    for (size_t i = 0; same && i < a->head.targets.n; i++) {
        struct id id;
        size_t k = 0;
        same = id_parse(a->head.targets.list[i], &id);
        while (same && k < all->n && !id_equal(&all->list[k].id, &id))
            k++;
        placed[i] = k;
        same = same && k < all->n;
    }
    if (same)
        a->placed = TAKE(placed);
    n->counters.plans_kept += same;
    n->counters.plans_anew += !same;
}

static int answer_part(struct node *n, const struct operation_row *op, struct operation_part_row *part)
{
    struct answering a = {
        .n = n, .op = op, .stop = is(op->kind, "stop"), .undo = is(op->state, "rolling_back")};
    struct batch_want *wants;
    size_t count;
    char view[17];
    AUTOSTR struct str result = STR_INIT;
    bool check = is(part->state, "waiting");
    struct jw j = jw_init(&result);
    part_read(part->body, &a.head, &wants, &count);
    batch_options_read(op, &a.options);
    own_signature(n, view);
    a.trusted = is(a.head.view, view);
    if (!a.stop && !a.undo && !check)
        take_plan(&a, count);
    a.fj = jw_init(&a.forwarded);
    jw_array(&a.fj);
    jw_array(&j);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = answer_one(&a, &wants[i], check, &j);
    jw_array_close(&j);
    jw_array_close(&a.fj);
    if (rc == 0 && a.elsewhere)
        rc = say_forwarded(&a, part->part);
    if (rc == 0) {
        mem_replace(&part->result, str_get(&result));
        rc = store_save(n->store, T_OPERATION_PART, part, &n->fault);
    }
    str_fini(&a.forwarded);
    seating_fini(&a.seating);
    free(a.placed);
    batch_options_fini(&a.options);
    head_fini(&a.head);
    wants_free(wants, count);
    return rc;
}

static void covered(struct node *n, void *arg, int copies)
{
    if (copies >= 0)
        batch_later(n, arg);
    free(arg);
}

/* Invariant 1. */
static int has_copy(struct node *n, const struct operation_part_row *part, bool *ret)
{
    struct stamp v;
    int rc = store_version(n->store, T_OPERATION_PART, part, &v, NULL, &n->fault);
    if (rc < 0)
        return rc;
    *ret = v.actor != n->actor || view_others(&n->view) == 0 || cover_count(n, v.hlc) > 0;
    if (!*ret)
        cover_wait(n, v.hlc, 1, false, NULL, INT64_MAX, covered, mem_dup(part->operation), free);
    return 0;
}

int batch_answer(struct node *n, const struct operation_row *op, bool *ret_more)
{
    struct operation_part_row part = {0};
    bool copy = true;
    *ret_more = false;
    if (!node_open_now(n))
        return 0;
    struct stmt *q = store_ask(n->store, Q_OPERATION_ASKED, "tti", op->operation, n->self_text, INT64_C(2));
    int rc = store_next(q, T_OPERATION_PART, &part, &n->fault);
    if (rc == 1)
        *ret_more = stmt_step(q, NULL) == 1;
    stmt_reset(q);
    if (rc == 1 && is(part.state, "running"))
        rc = has_copy(n, &part, &copy) < 0 ? n->fault.code : 1;
    if (rc == 1 && copy)
        rc = answer_part(n, op, &part);
    *ret_more &= copy;
    row_fini(T_OPERATION_PART, &part);
    return rc < 0 ? rc : 0;
}

/* ---- the owner's side ---- */

static int end_child(struct node *n, struct child *c, const struct operation_row *op)
{
    struct there t = {.name = {.swarm = mem_dup(c->swarm), .name = mem_dup(c->name)},
                      .child = {.swarm = mem_dup(c->swarm), .name = mem_dup(c->name)}};
    int rc = store_load(n->store, T_NAME, &t.name, &n->fault);
    bool mine = rc == 1 && t.name.owner_actor == n->actor;
    if (mine && (rc = store_load(n->store, T_CHILD, &t.child, &n->fault)) >= 0) {
        t.current = rc == 1 && t.child.epoch == t.name.epoch;
        rc = 0;
        bool asked = c->s.run && c->s.is_asked && c->s.asked == EXIT_ASKED_STOP;
        if (!asked && own_may_end(n, &t.name, !t.current || is(t.child.status, "backoff"))) {
            rc = node_log(n, "child_stop_asked", c->swarm, c->name, n->name, t.name.epoch, op->who, NULL);
            if (rc == 0)
                rc = child_stop(n, t.name.swarm, t.name.name, EXIT_ASKED_STOP);
        }
    }
    there_fini(&t);
    return rc < 0 ? rc : 0;
}

/* Of a stop: what was found. */
static int end_found(struct node *n, const struct operation_row *op)
{
    struct operation_part_row part = {0};
    struct batch_item item = {0};
    int rc, end = 0;
    struct stmt *q = store_ask(n->store, Q_OPERATION_ANSWERED, "tt", op->operation, "running");
    while (end == 0 && (rc = store_next(q, T_OPERATION_PART, &part, &n->fault)) == 1) {
        struct json_iter it = json_iter_init((struct span){part.result, strlen(part.result)});
        while (end == 0 && item_next(&it, &item)) {
            struct child *c = child_find(n, op->swarm, item.name);
            if (c && !c->s.session && item.is == IS_FOUND && c->s.incarnation == item.epoch)
                end = end_child(n, c, op);
        }
    }
    stmt_reset(q);
    item_fini(&item);
    row_fini(T_OPERATION_PART, &part);
    return end < 0 ? end : rc < 0 ? rc : 0;
}

/* Of a start: all, or (of) those that nobody knew of in time. */
static int end_claimed(struct node *n, const struct operation_row *op, const struct batch_outcomes *of)
{
    struct child *c, *next;
    int rc = 0;
    HASH_ITER(hh, n->children, c, next)
    if (rc == 0 && !c->s.session && is(c->op, op->operation) && (!of || outcomes_lack(of, c->name)))
        rc = end_child(n, c, op);
    return rc;
}

static int end_unknown(struct node *n, const struct operation_row *op)
{
    CLEANUP(outcomes_fini) struct batch_outcomes of = {0};
    int rc = batch_is_partly(n, op->operation);
    if (rc == 1)
        rc = outcomes_said(n, op, &of);
    return rc < 0 || !of.list ? rc : end_claimed(n, op, &of);
}

static int end_homeless(struct node *n, const struct operation_row *op, const struct batch_item *i)
{
    struct name_row row = {.swarm = mem_dup(op->swarm), .name = mem_dup(i->name)};
    int rc = store_load(n->store, T_NAME, &row, &n->fault);
    bool meant = i->is == IS_FOUND ? row.incarnation == i->epoch : is(row.op, op->operation);
    if (rc == 1 && meant && homeless_is(n, &row)) {
        rc = node_log(n, "child_stop_asked", row.swarm, row.name, n->name, row.epoch, op->who, NULL);
        rc = rc < 0 ? rc : child_end_homeless(n, &row, EXIT_ASKED_STOP);
    }
    row_fini(T_NAME, &row);
    return rc < 0 ? rc : 0;
}

/* Nobody owns them who could end them: their home does. */
static int end_all_homeless(struct node *n, const struct operation_row *op)
{
    struct operation_part_row part = {0};
    struct batch_item item = {0};
    int rc = 0, end = 0;
    if (!n->homeless || !node_open_now(n) || op->ended_at)
        return 0;
    struct stmt *q = store_ask(n->store, Q_OPERATION_RESULTS, "t", op->operation);
    while (end == 0 && (rc = store_next(q, T_OPERATION_PART, &part, &n->fault)) == 1) {
        struct json_iter it = json_iter_init((struct span){part.result, strlen(part.result)});
        while (end == 0 && item_next(&it, &item))
            if (homeless_was(n, op->swarm, item.name))
                end = end_homeless(n, op, &item);
    }
    stmt_reset(q);
    item_fini(&item);
    row_fini(T_OPERATION_PART, &part);
    return end < 0 ? end : rc < 0 ? rc : 0;
}

int batch_end_mine(struct node *n, const struct operation_row *op)
{
    bool stop = is(op->kind, "stop");
    int undone = stop || is(op->state, "rolling_back") ? 1 : batch_is_marked(n, op);
    if (undone != 1)
        return undone < 0 ? undone : end_unknown(n, op);
    int rc = end_all_homeless(n, op);
    if (rc < 0 || stop)
        return rc < 0 || op->ended_at ? rc : end_found(n, op);
    return end_claimed(n, op, NULL);
}

int batch_is_marked(struct node *n, const struct operation_row *op)
{
    struct operation_part_row mark = {.operation = mem_dup(op->operation), .part = BATCH_UNDONE};
    int rc = store_load(n->store, T_OPERATION_PART, &mark, &n->fault);
    row_fini(T_OPERATION_PART, &mark);
    return rc;
}

int batch_is_undone(struct node *n, const char *op, const char *name)
{
    if (!op)
        return 0;
    struct operation_row row = {.operation = mem_dup(op)};
    int rc = store_load(n->store, T_OPERATION, &row, &n->fault);
    if (rc == 1)
        rc = is(row.state, "rolling_back") ? 1 : batch_is_marked(n, &row);
    if (rc == 0)
        rc = batch_is_unknown(n, &row, name);
    row_fini(T_OPERATION, &row);
    return rc;
}
